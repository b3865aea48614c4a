"""What executes circuits under noise: functions like qmljax's own, and a backend of every model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import jax
import numpy as np

from qmljax._checks import check_count, check_key
from qmljax._circuit import readout
from qmljax._circuit.noisy import NoisyProgram
from qmljax._circuit.readout import Readout
from qmljax._engine.plan import MEMORY
from qmljax._models.arguments import check_memory, check_misread
from qmljax._models.by_value import hash_of_leaves, same_leaves
from qmljax._models.density import OfDensity, SampleOfNoisy, noisy_question
from qmljax._models.trajectories import of_trajectories
from qmljax._models.uncompute import OfPairs, fidelity_of
from qmljax.noise._channel import Channel
from qmljax.noise._model import NoiseModel


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, repr=False)
class Simulator:
    """Simulates circuits under a noise model: a backend of every model and kernel, and functions of its own.

    Attributes:
        noise_model: The noise. It may be traced, in which case so is what the functions depend on.
        method: "density_matrix" is exact, takes 4**n numbers for n qubits, up to 14, and is differentiable in the
            strengths of channels. "trajectories" takes statevectors, many of them, and channels of Pauli strings alone.
        trajectories: How many of them.
        key: A JAX random key, which trajectories need.
        memory: Bytes of states that a call may take.

    Raises:
        TypeError: `noise_model` is none of qmljax, or trajectories have no random key.
        ValueError: `method` is neither, or there are no trajectories or no memory.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qmljax import noise
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.x(0)
        >>> simulator = noise.Simulator(noise.NoiseModel({"x": noise.depolarizing(0.1)}))
        >>> simulator.expectation(circuit, "Z")([]).round(3)
        Array(-0.9, dtype=float32)

    References:
        D. Greenbaum, "Introduction to quantum gate set tomography", arXiv:1509.02921 (2015), for states and channels in
        the basis of Pauli strings. K. Molmer, Y. Castin, J. Dalibard, "Monte Carlo wave-function method in quantum
        optics", J. Opt. Soc. Am. B 10, 524 (1993), for trajectories.
    """

    noise_model: NoiseModel
    method: Literal["density_matrix", "trajectories"] = field(default="density_matrix", kw_only=True)
    trajectories: int = field(default=1000, kw_only=True)
    key: Any = field(default=None, kw_only=True)
    memory: int = field(default=MEMORY, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.noise_model, NoiseModel):
            raise TypeError(
                f"`noise_model` must be a qmljax.noise.NoiseModel, but is a {type(self.noise_model).__name__}. One of "
                "Aer becomes one by NoiseModel.from_aer, a device by NoiseModel.from_backend."
            )
        if self.method not in ("density_matrix", "trajectories"):
            raise ValueError(f'`method` must be "density_matrix" or "trajectories", but is {self.method!r}.')
        check_count(self.trajectories, "trajectories")
        check_memory(self.memory)
        if self.method == "trajectories":
            if self.key is None:
                raise TypeError("Trajectories are random: `key` must be a JAX random key, not None.")
            check_key(self.key)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (self.noise_model, self.key), (self.method, self.trajectories, self.memory)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> Self:
        self = object.__new__(cls)
        names = ("noise_model", "key", "method", "trajectories", "memory")
        for name, value in zip(names, (*leaves, *static), strict=True):
            object.__setattr__(self, name, value)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Simulator) and same_leaves(self, other)

    def __hash__(self) -> int:
        return hash_of_leaves(self)

    def __repr__(self) -> str:
        return f"Simulator({self.noise_model!r}, {self.method})"

    def expectation(self, circuit: Any, observables: Any, *, with_std: bool = False) -> Callable[..., Any]:
        """The function that gives expectation values, errors of readout included.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes. It may have channels in it.
            observables: One or a list, as `qmljax.expectation` takes them.
            with_std: Whether to give standard errors, too, which only trajectories have. A model on this backend has
                ``model.with_std(weights, x)``.

        Returns:
            ``f(params)``: (..., P), in the order of the circuit, in radians, to (...) for one observable, (..., n_obs)
            for a list; with `with_std` two of those, the second the standard errors.

        Raises:
            TypeError: An observable is of another type.
            ValueError: An observable has a complex coefficient or another number of qubits than the circuit; a channel
                acts on another number of qubits than its gate, or is no mixture of Pauli strings where trajectories are
                to follow it; density matrices have no standard errors, and hold at most 14 qubits; a single trajectory
                has no standard error; or there is another number of matrices of readout than of qubits.
            NotImplementedError: Trajectories are differentiated in strengths, where the function is called.

        Example:
            >>> from qiskit import QuantumCircuit
            >>> from qmljax import noise
            >>> circuit = QuantumCircuit(2)
            >>> _ = circuit.h(0), circuit.cx(0, 1)
            >>> model = noise.NoiseModel({"cx": noise.depolarizing(0.5, 2)})
            >>> noise.Simulator(model).expectation(circuit, ["ZZ", "XX", "YY"])([]).round(3)
            Array([ 0.5,  0.5, -0.5], dtype=float32)
            >>> followed = noise.Simulator(model, method="trajectories", trajectories=4000, key=jax.random.key(0))
            >>> value, std = followed.expectation(circuit, "ZZ", with_std=True)([])
            >>> bool(abs(value - 0.5) < 5 * std), bool(std < 0.02)
            (True, True)
        """
        noisy, channels = self.noise_model.read(circuit)
        read = readout.of_observables(noisy.program, observables)
        return self._function(noisy, channels, read, with_std)

    def probabilities(
        self,
        circuit: Any,
        qubits: Sequence[int] | None = None,
        *,
        clbits: Sequence[int] | None = None,
        with_std: bool = False,
    ) -> Callable[..., Any]:
        """The function that gives the probabilities of measurement outcomes, errors of readout included.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read,
                unless by `clbits`.
            qubits: What to measure, all by default: bit j of an outcome is `qubits[j]`.
            clbits: Classical bits to read instead, as `qmljax.probabilities` does.
            with_std: Whether to give standard errors, too, which only trajectories have.

        Returns:
            ``f(params)``: (..., P) to (..., 2**k), which sum to 1; with `with_std` two of those.

        Raises:
            TypeError: `qubits` or `clbits` are no integers.
            ValueError: `qubits` are not different qubits of the circuit, or `clbits` not different classical bits of
                it; a channel acts on another number of qubits than its gate, or is no mixture of Pauli strings where
                trajectories are to follow it; or density matrices would hold more than 14 qubits.

        Example:
            >>> from qiskit import QuantumCircuit
            >>> from qmljax import noise
            >>> circuit = QuantumCircuit(1)
            >>> _ = circuit.x(0)
            >>> model = noise.NoiseModel({"x": noise.bit_flip(0.5)}, readout=[[1, 0], [0.5, 0.5]])
            >>> [round(float(p), 3) for p in noise.Simulator(model).probabilities(circuit)([])]
            [0.75, 0.25]
        """
        noisy, channels = self.noise_model.read(circuit)
        return self._function(noisy, channels, readout.of_bits(noisy.program, qubits, clbits), with_std)

    def density_matrix(self, circuit: Any, qubits: Sequence[int] | None = None) -> OfDensity:
        """The function that gives the density matrix of some qubits, before they are read.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read.
            qubits: Of which qubits, all by default: qubit j of the matrix is `qubits[j]`. The rest is traced out.

        Returns:
            ``f(params)``: (..., P) to complex matrices (..., 2**k, 2**k), little endian, of trace 1, positive.

        Raises:
            TypeError: `qubits` are no integers.
            ValueError: The method is "trajectories"; `qubits` are not different qubits of the circuit, or more than 12;
                or a channel acts on another number of qubits than its gate, or more than 14 qubits matter.

        Example:
            >>> from qiskit import QuantumCircuit
            >>> from qmljax import noise
            >>> circuit = QuantumCircuit(1)
            >>> _ = circuit.x(0)
            >>> simulator = noise.Simulator(noise.NoiseModel({"x": noise.amplitude_damping(0.2)}))
            >>> simulator.density_matrix(circuit)([]).real.round(3)
            Array([[0.2, 0. ],
                   [0. , 0.8]], dtype=float32)
        """
        if self.method != "density_matrix":
            raise ValueError('Density matrices need `method="density_matrix"`.')
        noisy, channels = self.noise_model.read(circuit)
        read = readout.of_qubits(noisy.program, qubits)
        found = self._function(noisy, channels, read, False, matrix=True)
        assert isinstance(found, OfDensity)
        return found

    def sample(self, circuit: Any, shots: int) -> SampleOfNoisy:
        """The function that draws outcomes of what the circuit measures, or of all qubits if it measures nothing.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes.
            shots: How many outcomes.

        Returns:
            ``f(params, key)``: (..., P) and a JAX random key to int32 outcomes (..., shots). They are drawn from the
            distribution that `probabilities` gives.

        Raises:
            TypeError: `shots` is no integer.
            ValueError: There are no shots, a channel acts on another number of qubits than its gate or cannot be
                followed, or the simulation does not fit.

        Example:
            >>> from qiskit import QuantumCircuit
            >>> from qmljax import noise
            >>> circuit = QuantumCircuit(1)
            >>> _ = circuit.x(0)
            >>> draw = noise.Simulator(noise.NoiseModel({"x": noise.bit_flip(0.1)})).sample(circuit, 1000)
            >>> bool(abs(draw([], jax.random.key(0)).mean() - 0.9) < 0.05)
            True
        """
        noisy, channels = self.noise_model.read(circuit)
        read = readout.of_measurements(noisy.program)
        shots = check_count(shots, "shots", most=1 << 30)
        return SampleOfNoisy(self._function(noisy, channels, read, False), shots)

    def fidelity(self, circuit: Any) -> OfPairs:
        """What a kernel asks for: the probability to read 0 on all qubits after compute and uncompute.

        Args:
            circuit: A feature map of gates alone, which can be undone. The noise of its inverse is that of the names of
                its inverse gates.

        Returns:
            ``f(params_a, params_b)``: two arrays (pairs, P) to (pairs,).

        Raises:
            ValueError: The circuit cannot be undone, a channel acts on another number of qubits than its gate or cannot
                be followed, or the simulation does not fit.

        Example:
            >>> from qiskit.circuit.library import zz_feature_map
            >>> from qmljax import noise
            >>> simulator = noise.Simulator(noise.NoiseModel({"cx": noise.depolarizing(0.1, 2)}))
            >>> simulator.fidelity(zz_feature_map(2, reps=1))(np.ones((1, 2)), np.ones((1, 2))).round(3)
            Array([0.742], dtype=float32)

        References:
            V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
        """
        return fidelity_of(self, circuit)

    def _function(
        self, noisy: NoisyProgram, channels: Sequence[Channel], read: Readout, with_std: bool, matrix: bool = False
    ) -> Any:
        exact = self.method == "density_matrix"
        if exact and with_std:
            raise ValueError('Density matrices are exact. Standard errors need `method="trajectories"`.')
        check_misread(self.noise_model.readout, noisy.program)
        read = read.on_wires()
        noisy = replace(noisy, program=read.program)
        outcomes = (
            {"observables": read.observables, "single": read.single} if read.observables else {"qubits": read.qubits}
        )
        about: Any = {**outcomes, "matrix": matrix}
        classes = [channel.classes for channel in channels]
        limit: Any = {} if exact else {"most": readout.MAX_QUBITS}
        question, whole = noisy_question(noisy, classes, **about, memory=self.memory, **limit)
        errors = None if question.kind == "matrix" else self.noise_model.readout_of(whole)
        if exact:
            given = tuple(channel.factors if channel.is_pauli else channel.matrix for channel in channels)
            return OfDensity(question, given, errors)
        self._check_pauli(question.noisy, channels)
        given = tuple(c.probabilities if c.is_pauli else np.ones(1) for c in channels)  # the others act on nothing read
        return of_trajectories(question, given, errors, self.key, self.trajectories, with_std)

    def _check_pauli(self, noisy: NoisyProgram, channels: Sequence[Channel]) -> None:
        """Refuses channels that no trajectory of Pauli strings follows."""
        for site in noisy.sites:
            if site.channel < 0:
                matrix = noisy.constants[~site.channel].array
                pauli, name = not (matrix != np.diag(np.diag(matrix))).any(), "a channel of the circuit"
            else:
                pauli, name = channels[site.channel].is_pauli, f"{channels[site.channel]!r}"
            if not pauli:
                raise ValueError(
                    f"Trajectories follow mixtures of Pauli strings alone, but {name} on qubits {list(site.qubits)} is "
                    'none. Use `method="density_matrix"`, or, if another channel will do, its Pauli twirl: '
                    "noise_model.twirled()."
                )
