"""Finitely many shots of an ideal device, or one whose readout errs: a backend of every model and kernel."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import jax

from qmljax._checks import check_count, check_key
from qmljax._circuit import readout
from qmljax._circuit.observables import reads
from qmljax._engine.readings import string_sums, with_parts
from qmljax._models.arguments import check_misread, readout_of, stochastic
from qmljax._models.by_value import hash_of_leaves, same_leaves
from qmljax._models.of_shots import Measurement, OfShots
from qmljax._models.uncompute import OfPairs, fidelity_of


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, repr=False)
class Shots:
    """A backend of every model and kernel: what so many shots would give, of a device without other noise.

    Each Pauli string of an observable is measured in its own run of `shots` shots, a distribution in one, and an entry
    of a fidelity kernel by the part of the shots of its compute-uncompute circuit that give 0. It is a pytree, whose
    leaves are the key and the errors of readout.

    Attributes:
        shots: How often a circuit is run.
        key: A JAX random key. The noise depends on it and on the exact values: the same question gets the same answer.
        gradient: "exact" gives the derivatives of the exact values; "shift" those that the parameter-shift rule gives
            of measured values, with the noise of their own shots, as on a device.
        readout: A matrix P[true][read] of probabilities, or one for each qubit of the circuit, (n, 2, 2).

    Raises:
        TypeError: `shots` is no integer, or `key` no random key.
        ValueError: There are no shots, `gradient` is neither, or a matrix is not stochastic.

    Example:
        >>> import numpy as np
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = qj.fidelity_kernel(zz_feature_map(2), backend=qj.Shots(100, jax.random.key(0)))
        >>> gram = kernel(np.random.default_rng(0).normal(size=(5, 2)))
        >>> bool((gram == gram.T).all()), bool(abs(100 * gram - (100 * gram).round()).max() < 1e-3)
        (True, True)

    References:
        M. Schuld et al., "Evaluating analytic gradients on quantum hardware", Phys. Rev. A 99, 032331 (2019).
    """

    shots: int
    key: Any
    gradient: Literal["exact", "shift"] = field(default="exact", kw_only=True)
    readout: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_count(self.shots, "shots", most=2**31 - 1)
        check_key(self.key)
        if self.gradient not in ("exact", "shift"):
            raise ValueError(f'`gradient` must be "exact" or "shift", but is {self.gradient!r}.')
        if self.readout is not None:
            object.__setattr__(self, "readout", stochastic(self.readout, "readout"))

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (self.key, self.readout), (self.shots, self.gradient)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> Self:
        self = object.__new__(cls)
        for name, value in zip(("key", "readout", "shots", "gradient"), (*leaves, *static), strict=True):
            object.__setattr__(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"Shots({self.shots})"

    @property
    def is_plain(self) -> bool:
        """Whether readout is perfect, and derivatives are those of exact values."""
        return self.readout is None and self.gradient == "exact"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shots) and same_leaves(self, other)

    def __hash__(self) -> int:
        return hash_of_leaves(self)

    def expectation(self, circuit: Any, observables: Any) -> OfShots:
        """The function that measures expectation values, each Pauli string in a run of its own.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes.
            observables: One or a list, as `qmljax.expectation` takes them.

        Returns:
            ``f(params)``: (..., P), in the order of the circuit, in radians, to (...) for one observable, (..., n_obs)
            for a list.

        Raises:
            TypeError: An observable is of another type.
            ValueError: An observable has a complex coefficient or another number of qubits than the circuit; or there
                is another number of matrices of readout than of qubits.

        Example:
            >>> import qmljax as qj
            >>> from qiskit import QuantumCircuit
            >>> circuit = QuantumCircuit(1)
            >>> _ = circuit.h(0)
            >>> value = qj.Shots(10_000, jax.random.key(0)).expectation(circuit, "Z")([])
            >>> bool(abs(value) < 0.05)
            True
        """
        asked = readout.of_observables(circuit, observables)
        check_misread(self.readout, asked.program)
        errors = readout_of(self.readout, string_sums(asked.observables, asked.single).qubits)
        read = asked.on_wires()
        whole = string_sums(read.observables, read.single)
        if errors is None:
            small = read.reduced()
            program, sums = small.program, string_sums(small.observables, read.single)
        else:  # idle qubits may be misread, too
            cone = read.program.cone(reads(read.observables))
            program = cone.on_touched(whole.qubits)
            sums = with_parts(whole.on(sorted({*cone.touched, *whole.qubits})))
        return OfShots(Measurement(program, sums, (), self.shots, self.gradient), self.key, errors)

    def probabilities(
        self, circuit: Any, qubits: Sequence[int] | None = None, *, clbits: Sequence[int] | None = None
    ) -> OfShots:
        """The function that measures how often each outcome is read, all qubits in the same run.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read,
                unless by `clbits`.
            qubits: What to measure, all by default: bit j of an outcome is `qubits[j]`.
            clbits: The places of classical bits to read instead, with what is measured into them: bit j is `clbits[j]`.

        Returns:
            ``f(params)``: (..., P) to frequencies (..., 2**k), which sum to 1.

        Raises:
            TypeError: `qubits` or `clbits` are no integers.
            ValueError: `qubits` are not different qubits of the circuit, or `clbits` not different classical bits of
                it, or both are given; or there is another number of matrices of readout than of qubits.

        Example:
            >>> import qmljax as qj
            >>> from qiskit import QuantumCircuit
            >>> circuit = QuantumCircuit(2)
            >>> _ = circuit.x(1)
            >>> qj.Shots(100, jax.random.key(0)).probabilities(circuit)([])
            Array([0., 0., 1., 0.], dtype=float32)
        """
        read = readout.of_bits(circuit, qubits, clbits)
        check_misread(self.readout, read.program)
        small = read.reduced()
        errors = readout_of(self.readout, read.on_wires().qubits)
        return OfShots(Measurement(small.program, None, small.qubits, self.shots, self.gradient), self.key, errors)

    def fidelity(self, circuit: Any) -> OfPairs:
        """What a kernel asks for: the part of the shots of compute and uncompute that give 0 on all qubits.

        Args:
            circuit: A feature map of gates alone, which can be undone.

        Returns:
            ``f(params_a, params_b)``: two arrays (pairs, P) to (pairs,).

        Raises:
            ValueError: The circuit cannot be undone; or there is another number of matrices of readout than of qubits.

        Example:
            >>> import numpy as np
            >>> import qmljax as qj
            >>> from qiskit.circuit.library import z_feature_map
            >>> fidelity = qj.Shots(100, jax.random.key(0)).fidelity(z_feature_map(2))
            >>> fidelity(np.ones((3, 2)), np.ones((3, 2)))
            Array([1., 1., 1.], dtype=float32)

        References:
            V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
        """
        return fidelity_of(self, circuit)
