"""Compute and uncompute: a circuit, then its inverse for other parameters, whose zeros are a fidelity."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.exceptions import QiskitError

from qmljax._circuit.openqasm import load
from qmljax._circuit.parse import check_circuit


def compute_uncompute(circuit: Any) -> tuple[QuantumCircuit, np.ndarray, tuple[int, ...]]:
    """The circuit of a pair of points.

    Returns:
        The circuit; the place of each of its parameters among those of both points, (2 P,); and the qubits on which
        it acts.
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
    try:
        both = left.compose(right.inverse())
    except QiskitError as error:
        raise ValueError(
            f"`circuit` must be one that can be undone, of gates alone, but Qiskit says: {error.message}"
        ) from error
    used = {both.find_bit(q).index for instruction in left.data for q in instruction.qubits}
    order = np.array([names.index(p.name) for p in both.parameters], int)
    return both, order, tuple(sorted(used)) or (0,)


def of_pairs(function: Callable[[Any], Array], order: np.ndarray) -> Callable[[Any, Any], Array]:
    """A function of the parameters of both points as one of two arrays (pairs, P)."""

    def fidelity(params_a: Any, params_b: Any) -> Array:
        both = jnp.broadcast_arrays(jnp.asarray(params_a), jnp.asarray(params_b))
        return function(jnp.concatenate(both, axis=-1)[..., order])

    return fidelity
