"""Inference on Bayesian networks that are quantum circuits: what some variables tell of others."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import grover_operator

from qmljax._checks import check_count, check_flag, check_number, shown
from qmljax._models import functions

TINY = 1e-15  # what is no probability, but a rounding error


class QBayesian:
    """Inference on a network of binary variables, each on a register of one qubit, with the interface of Qiskit's.

    The circuit prepares a state whose probabilities are the joint distribution. Without a sampler all answers are
    exact: the joint distribution is computed once, and conditioned. With one, a device finds the evidence by amplitude
    amplification, 1, 2, 4, ... Grover steps, and shots without it are rejected.

    Args:
        circuit: A circuit without parameters whose registers, of one qubit each, have the names of the variables.
        limit: The most Grover steps are ``2**limit``.
        threshold: The share of shots that must show the value of the evidence, for each of its variables.
        sampler: A V2 sampler, such as `qmljax.primitives.Sampler` or that of a device; or a backend of qmljax, such
            as `qj.Shots` or a `noise.Simulator`. None is exact.
        pass_manager: Transpiles the circuits for the sampler.

    Attributes:
        converged: Whether the last evidence was found up to the threshold by at most so many steps; what the exact
            answer does not depend on, but that of a device does.
        samples: The last distribution; see `rejection_sampling`.

    Raises:
        TypeError: `circuit` is no circuit, or `sampler` can neither run circuits nor compute probabilities.
        ValueError: A register has not one qubit, the circuit has parameters or measures on its way, or a number is out
            of its range.

    Example:
        >>> from qiskit import QuantumRegister
        >>> rain, wet = QuantumRegister(1, "rain"), QuantumRegister(1, "wet")
        >>> network = QuantumCircuit(rain, wet)
        >>> _ = network.ry(2 * np.arcsin(0.2**0.5), rain)  # P(rain) = 0.2
        >>> _ = network.cry(2 * np.arcsin(0.9**0.5), rain, wet)  # P(wet | rain) = 0.9
        >>> round(QBayesian(network).inference(query={"rain": 1}, evidence={"wet": 0}), 4)  # 0.02 / 0.82
        0.0244

    References:
        G. H. Low, T. Yoder, I. Chuang, "Quantum inference on Bayesian networks", PRA 89, 062315 (2014).
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        *,
        limit: int = 10,
        threshold: float = 0.9,
        sampler: Any = None,
        pass_manager: Any = None,
    ):
        self._circuit = _network(circuit)
        self._places = {register.name: circuit.find_bit(register[0]).index for register in circuit.qregs}
        self._joint: np.ndarray | None = None
        self._samples: dict[str, float] = {}
        self._converged = False
        if pass_manager is not None and not callable(getattr(pass_manager, "run", None)):
            raise TypeError(f"`pass_manager` must be a PassManager of Qiskit, or None, but is {shown(pass_manager)}.")
        self._pass_manager = pass_manager
        self.limit, self.threshold, self.sampler = limit, threshold, sampler

    def rejection_sampling(self, evidence: Mapping[str, int], format_res: bool = False) -> dict[str, float]:
        """The distribution of all variables, given the evidence.

        Args:
            evidence: Names of variables and their values, 0 or 1. It may be empty.
            format_res: Whether the keys of the result name the variables: "P(A=0,B=1|C=1)" instead of "110".

        Returns:
            Outcomes and their probabilities, without those of probability 0. The last variable is the first letter.

        Raises:
            TypeError: `evidence` is no mapping.
            ValueError: It names what is no variable, has a value that is not 0 or 1, or is impossible; or no shot
                showed it.
        """
        given = self._values(evidence, "evidence")
        check_flag(format_res, "format_res")
        found, self._converged = self._amplified(given) if self.sampler is not None and given else self._exactly(given)
        kept = np.where(self._agree(given), found, 0.0)
        if not kept.sum() > TINY:
            if self.sampler is None:
                raise ValueError(f"`evidence` must be possible, but {dict(evidence)} has the probability 0.")
            raise ValueError(f"No shot showed the `evidence` {dict(evidence)}. Use more shots, or a higher `limit`.")
        kept = kept / kept.sum()
        self._samples = {self._key(int(k)): float(kept[k]) for k in np.flatnonzero(kept > TINY)}
        return {self._named(key, given): p for key, p in self._samples.items()} if format_res else self.samples

    def inference(self, query: Mapping[str, int], evidence: Mapping[str, int] | None = None) -> float:
        """The probability of a query, given the evidence.

        Args:
            query: Names of variables and their values, 0 or 1. Variables that are not named may have any.
            evidence: Names of variables and their values, 0 or 1. By default the distribution that it gave last is used
                again.

        Returns:
            A number from 0 to 1.

        Raises:
            TypeError: An argument is no mapping.
            ValueError: It names what is no variable, has a value that is not 0 or 1, or is impossible evidence; or
                there is no distribution yet.
        """
        asked = self._values(query, "query")
        if evidence is not None:
            self.rejection_sampling(evidence)
        elif not self._samples:
            raise ValueError("`evidence` must be given in the first call, but is None. Without any, pass {}.")
        names = list(self._places)
        letters = {name: -1 - names.index(name) for name in asked}
        agree = lambda key: all(key[letters[name]] == str(value) for name, value in asked.items())  # noqa: E731
        return float(sum(p for key, p in self._samples.items() if agree(key)))

    @property
    def converged(self) -> bool:
        """Whether the last evidence was found up to the threshold."""
        return self._converged

    @property
    def samples(self) -> dict[str, float]:
        """The last distribution."""
        return dict(self._samples)

    @property
    def limit(self) -> int:
        """The most Grover steps are ``2**limit``."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = check_count(limit, "limit", least=0, most=60)

    @property
    def threshold(self) -> float:
        """The share of shots that must show the evidence."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        if not 0 < check_number(threshold, "threshold") <= 1:
            raise ValueError(f"`threshold` must be a share, above 0 and at most 1, but is {shown(threshold)}.")
        self._threshold = threshold

    @property
    def sampler(self) -> Any:
        """What runs the circuits; None is exact."""
        return self._sampler

    @sampler.setter
    def sampler(self, sampler: Any) -> None:
        able = any(callable(getattr(sampler, method, None)) for method in ("probabilities", "run"))
        if sampler is not None and (isinstance(sampler, type) or not able):
            raise TypeError(
                "`sampler` must be a V2 sampler, or a backend of qmljax such as qj.Shots(shots, key), or None, but is "
                f"{shown(sampler)}."
            )
        self._sampler = sampler

    def _exactly(self, given: dict[str, int]) -> tuple[np.ndarray, bool]:
        """The joint distribution, (2**n,); and whether amplitude amplification would find the evidence."""
        if self.sampler is not None:  # and there is no evidence
            return self._run(self._circuit), True
        if self._joint is None:
            with jax.enable_x64(True):
                self._joint = np.asarray(functions.probabilities(self._circuit)(np.zeros(0)))
        good = self._agree(given)
        share = min(float(self._joint[good].sum()), 1.0)
        if share <= TINY or not given:
            return self._joint, not given
        angle = np.arcsin(np.sqrt(share))
        for k in range(self.limit + 1):  # m steps turn the angle of what agrees into 2 m + 1 times that
            now = np.sin((2 * 2**k + 1) * angle) ** 2
            other = (1 - now) / (1 - share) if share < 1 else 0.0
            if self._is_found(np.where(good, now / share, other) * self._joint, given):
                return self._joint, True
        return self._joint, False

    def _amplified(self, given: dict[str, int]) -> tuple[np.ndarray, bool]:
        """The distribution of the first circuit that finds the evidence, else of that which does so most often."""
        oracle = QuantumCircuit(self._circuit.num_qubits)
        wires, zeros = [self._places[name] for name in given], [self._places[name] for name in given if not given[name]]
        for flip in (True, False):  # -1 where all variables agree, of a phase between X on those that are to be 0
            if zeros:
                oracle.x(zeros)
            if flip:
                oracle.mcp(np.pi, wires[:-1], wires[-1]) if wires[1:] else oracle.z(wires[0])
        step = grover_operator(oracle, state_preparation=self._circuit)
        circuit, best = self._circuit, np.zeros(1 << self._circuit.num_qubits)
        agree = self._agree(given)
        for k in range(self.limit + 1):
            for _ in range(2 ** max(k - 1, 0)):
                circuit = circuit.compose(step)
            found = self._run(circuit)
            if self._is_found(found, given):
                return found, True
            if found[agree].sum() > best[agree].sum():
                best = found
        return best, False

    def _run(self, circuit: QuantumCircuit) -> np.ndarray:
        """The probabilities of all outcomes, (2**n,), by the sampler."""
        if callable(getattr(self.sampler, "probabilities", None)):
            return np.asarray(self.sampler.probabilities(circuit)(np.zeros(0)))
        measured = circuit.measure_all(inplace=False)
        if self._pass_manager is not None:
            measured = self._pass_manager.run(measured)
        counts = self.sampler.run([measured]).result()[0].join_data().get_int_counts()
        out = np.zeros(1 << circuit.num_qubits)
        for outcome, count in counts.items():
            out[outcome] = count
        return out / out.sum()

    def _is_found(self, found: np.ndarray, given: dict[str, int]) -> bool:
        return all(found[self._agree({name: value})].sum() >= self.threshold for name, value in given.items())

    def _agree(self, given: dict[str, int]) -> np.ndarray:
        """Which outcomes have these values, (2**n,)."""
        z, agree = np.arange(1 << self._circuit.num_qubits), np.ones(1 << self._circuit.num_qubits, bool)
        for name, value in given.items():
            agree &= (z >> self._places[name] & 1) == value
        return agree

    def _key(self, outcome: int) -> str:
        return "".join(str(outcome >> q & 1) for q in reversed(self._places.values()))

    def _named(self, key: str, given: dict[str, int]) -> str:
        bits = dict(zip(self._places, reversed(key), strict=True))
        asked, known = (
            ",".join(f"{name}={bit}" for name, bit in bits.items() if (name in given) == of) for of in (False, True)
        )
        return f"P({asked}|{known})" if given else f"P({asked})"

    def _values(self, values: Any, name: str) -> dict[str, int]:
        """Variables with their values, in the order of the circuit."""
        if not isinstance(values, Mapping):
            raise TypeError(f"`{name}` must be a mapping of variables to 0 or 1, but is {shown(values)}.")
        for variable, value in values.items():
            if variable not in self._places:
                raise ValueError(
                    f"`{name}` must name variables of the network, {', '.join(self._places)}, but names {variable!r}."
                )
            if isinstance(value, bool) or value not in (0, 1):
                raise ValueError(f"`{name}` must give each variable 0 or 1, but gives {variable!r} {shown(value)}.")
        return {variable: int(values[variable]) for variable in self._places if variable in values}


def _network(circuit: Any) -> QuantumCircuit:
    """The circuit of a network, checked, without final measurements."""
    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(
            f"`circuit` must be a QuantumCircuit with a register for each variable, but is {shown(circuit)}."
        )
    sizes = {register.name: register.size for register in circuit.qregs}
    if not sizes or set(sizes.values()) != {1} or len(sizes) != circuit.num_qubits:
        raise ValueError(
            "`circuit` must have a register of one qubit for each variable, such as QuantumRegister(1, 'A'), but its "
            f"{circuit.num_qubits} qubits are in registers of the sizes {sizes}."
        )
    if circuit.num_parameters:
        names = ", ".join(p.name for p in circuit.parameters)
        raise ValueError(f"`circuit` must have no parameters, but has {names}. Use circuit.assign_parameters.")
    plain = circuit.remove_final_measurements(inplace=False) if circuit.num_clbits else circuit
    if plain.num_clbits or any(item.operation.name in ("measure", "reset") for item in plain.data):
        raise ValueError("`circuit` must be unitary, but it measures or resets on its way. Leave that out.")
    return plain.copy()
