"""Compute and uncompute: a circuit, then its inverse for other parameters, whose zeros are a fidelity."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qmljax._circuit.openqasm import load
from qmljax._circuit.parse import check_circuit, parse


def compute_uncompute(circuit: Any) -> tuple[QuantumCircuit, np.ndarray, str]:
    """The circuit of a pair of points.

    Returns:
        The circuit; the place of each of its parameters among those of both points, (2 P,); and the observable that
        all qubits on which it acts read 0.
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
    both = left.compose(right.inverse())
    touched = parse(left).touched or (0,)
    zeros = "".join("0" if q in touched else "I" for q in reversed(range(both.num_qubits)))
    return both, np.array([names.index(p.name) for p in both.parameters], int), zeros


def of_pairs(function: Callable[[Any], Array], order: np.ndarray) -> Callable[[Any, Any], Array]:
    """A function of the parameters of both points as one of two arrays (pairs, P)."""

    def fidelity(params_a: Any, params_b: Any) -> Array:
        both = jnp.broadcast_arrays(jnp.asarray(params_a), jnp.asarray(params_b))
        return function(jnp.concatenate(both, axis=-1)[..., order])

    return fidelity
