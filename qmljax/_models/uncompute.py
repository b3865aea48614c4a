"""Compute and uncompute: a circuit, then its inverse for other parameters, whose zeros are a fidelity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.exceptions import QiskitError

from qmljax._circuit.openqasm import load
from qmljax._circuit.parse import check_circuit
from qmljax._circuit.program import Table
from qmljax._models.backend import HasProbabilities, Part, of_parts


@dataclass(frozen=True, repr=False)
class OfPairs:
    """`f(params_a, params_b)`: two arrays (pairs, P) -> (pairs,), the mean of a number for each outcome of a circuit.

    Attributes:
        function: Of the parameters of both points, in the order of the circuit, to probabilities of outcomes.
        places: Where each parameter of the first point, then of the second, is among those of the circuit, (2 P,).
        numbers: Of each outcome; without them the first probability is taken.
    """

    function: Callable[[Any], Array]
    places: tuple[int, ...]
    numbers: Table | None = None

    def __call__(self, params_a: Any, params_b: Any) -> Array:
        """What is measured of pairs of points.

        Args:
            params_a: The parameters of the first points, (pairs, P), in the order of the circuit, in radians.
            params_b: Those of the second points, (pairs, P).

        Returns:
            Of shape (pairs,).
        """
        each = range(len(self.places) // 2)
        return self.parts([(each, jnp.asarray(params_a))], [(each, jnp.asarray(params_b))])

    def parts(self, left: Sequence[Part], right: Sequence[Part]) -> Array:
        """The same function of parameters in parts, of which only those differentiated by are shifted.

        Args:
            left: Pairs of positions of parameters and their values, (pairs, positions), of the first points.
            right: Those of the second points.

        Returns:
            Of shape (pairs,).
        """
        half = len(self.places) // 2
        moved = [
            ([self.places[start + p] for p in at], v) for start, given in ((0, left), (half, right)) for at, v in given
        ]
        p = of_parts(self.function, *moved)
        if self.numbers is None:
            return p[..., 0]
        return jnp.tensordot(p, self.numbers.array.astype(p.dtype), 1, precision=lax.Precision.HIGHEST)

    def __repr__(self) -> str:
        return f"OfPairs({self.function!r})"


def fidelity_of(backend: HasProbabilities, circuit: Any) -> OfPairs:
    """What a kernel asks for, by probabilities: that of 0 on all qubits after compute and uncompute."""
    both, places, qubits = compute_uncompute(circuit)
    return OfPairs(backend.probabilities(both, qubits), places)


def local_fidelity_of(backend: HasProbabilities, circuit: Any) -> OfPairs:
    """The mean over qubits of the probability of 0 on each. All are measured in one run, so their noise is shared.

    A qubit that nothing acts on is not measured, and counts as 0.
    """
    both, places, qubits = compute_uncompute(circuit)
    zeros = 1 - np.bitwise_count(np.arange(1 << len(qubits))) / max(1, both.num_qubits)
    return OfPairs(backend.probabilities(both, qubits), places, Table(zeros))


def compute_uncompute(circuit: Any) -> tuple[QuantumCircuit, tuple[int, ...], tuple[int, ...]]:
    """The circuit of a pair of points.

    Returns:
        The circuit; the place of each parameter of the first point, then of the second, among its own, (2 P,); and the
        qubits on which it acts.
    """
    check_circuit(circuit)
    if not isinstance(circuit, QuantumCircuit):
        circuit = load(circuit)
    circuit = circuit.remove_final_measurements(inplace=False)
    names = [f"{name}{k:06d}" for name in ("a", "b") for k in range(len(circuit.parameters))]
    left, right = (
        circuit.assign_parameters({p: Parameter(f"{name}{k:06d}") for k, p in enumerate(circuit.parameters)})
        for name in ("a", "b")
    )
    used = {left.find_bit(q).index for step in left.data if step.operation.name != "barrier" for q in step.qubits}
    left.barrier()  # a transpiler must not cancel what noise is to act on
    try:
        both = left.compose(right.inverse())
    except QiskitError as error:
        raise ValueError(
            f"`circuit` must be one that can be undone, of gates alone, but Qiskit says: {error.message}"
        ) from error
    found = [p.name for p in both.parameters]
    return both, tuple(found.index(name) for name in names), tuple(sorted(used)) or (0,)
