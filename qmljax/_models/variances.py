"""The variances of the terms of an observable: what shots on each Pauli string err by."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.observables import PROJECTORS, Observable, is_single, terms
from qmljax._circuit.parse import parse
from qmljax._models.functions import expectation


@dataclass(frozen=True)
class TermVariances:
    """`f(params)`: (..., P) -> the variance of each term, (..., terms)."""

    values: Any  # a function of the means of all terms, and of the means of their squares
    coefficients: tuple[float, ...]

    def __call__(self, params: Any = None) -> Array:
        """The variances for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.

        Returns:
            Of shape (..., terms), in the order of the observable.
        """
        both = self.values(params)
        means, squares = jnp.split(both, 2, axis=-1)
        weights = jnp.broadcast_to(jnp.asarray(np.square(self.coefficients), both.dtype), means.shape)
        return weights * jnp.maximum(squares - means**2, 0)


def term_variances(circuit: Any, observable: Any) -> TermVariances:
    """The function that gives the variances of the terms of an observable, each measured by itself.

    A term ``c_k P_k`` has ``c_k**2 (<P_k**2> - <P_k>**2)``; the square of a Pauli string is 1. The mean of the
    observable over N_k shots on each term has the variance ``sum_k variance_k / N_k``, which is least for N_k in
    proportion to the square roots.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        observable: One observable, as `expectation` takes them; the terms are those that it is written with.

    Returns:
        ``f(params)``: parameters of shape (..., P) to variances of shape (..., terms), in the order of the observable.

    Raises:
        TypeError: It is a list, or none.
        ValueError: It has a complex coefficient or another number of qubits than the circuit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> zero = QuantumCircuit(1)
        >>> term_variances(zero, {"Z": 1.0, "X": 0.5})([])  # Z is certain, X is not
        Array([0.  , 0.25], dtype=float32)

    References:
        D. Wecker, M. Hastings, M. Troyer, "Progress towards practical quantum variational algorithms", PRA 92, 042303
        (2015).
    """
    program = parse(circuit)
    if not is_single(observable):
        raise TypeError(
            f"`observable` must be one observable, but is a {type(observable).__name__}. Take them in turn."
        )
    rows = terms(observable, program.width)
    n = program.width
    means = [Observable(n, ((product, 1.0),)) for product, _ in rows]
    squares = [
        Observable(n, ((tuple((q, letter) for q, letter in product if letter in PROJECTORS), 1.0),))
        for product, _ in rows
    ]
    return TermVariances(expectation(program, [*means, *squares]), tuple(c for _, c in rows))
