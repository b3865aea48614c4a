"""Amplitudes that are loaded, as data: what a circuit that is arrays (`any_circuit`) starts from, up to its norm.

Each load is a vector on some qubits, linear in expressions; the state is their product. The norm is left to whoever
runs the circuit, which is linear. All is done by NumPy, as with angles; by JAX where that is asked to.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.program import Program


@dataclass(frozen=True, eq=False)
class Loads:
    """Some loads on n qubits.

    Attributes:
        vectors: Of each its expressions, -1 being the constant 1; their scales; and which of its amplitudes each basis
            state has, (2**n,), that behind the last being 0.
    """

    vectors: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]

    def start(self, values: np.ndarray) -> np.ndarray:
        """Values of expressions (B, V) to states (B, 2**n)."""
        return np.prod(self._factors(values)[0], axis=0)

    def pushed(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """The derivative of `start` in the direction of some tangents (B, V)."""
        factors, sizes = self._factors(values)
        moved = np.concatenate([tangents, np.zeros((len(values), 1))], axis=1)
        total = np.zeros_like(factors[0])
        for k, (vector, size) in enumerate(zip(self.vectors, sizes, strict=True)):
            total += _spread(vector, moved, np) / size * _others(factors, k)
        return total

    def pulled(self, values: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Its transpose, (B, 2**n) -> (B, V)."""
        factors, sizes = self._factors(values)
        total = np.zeros((values.shape[1] + 1, len(values)))
        for k, ((expressions, scales, index), size) in enumerate(zip(self.vectors, sizes, strict=True)):
            each = np.zeros((len(expressions) + 1, len(values)))
            np.add.at(each, index, (cotangents * _others(factors, k) / size).T)
            np.add.at(total, expressions, each[:-1] * scales[:, None])
        return total[:-1].T

    def traced(self, values: Array) -> Array:
        """`start` as JAX computes it."""
        ones = jnp.concatenate([values, jnp.ones_like(values, shape=(len(values), 1))], axis=1)
        state = jnp.ones((), values.dtype)
        for vector in self.vectors:
            factor = _spread(vector, ones, jnp)
            state = state * (factor / lax.stop_gradient(_size(factor, jnp)))
        return state

    def _factors(self, values: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Each vector as a function of the basis state, (B, 2**n), divided by its size."""
        ones = np.concatenate([values, np.ones((len(values), 1))], axis=1)
        factors = [_spread(vector, ones, np) for vector in self.vectors]
        sizes = [_size(factor, np) for factor in factors]
        return [factor / size for factor, size in zip(factors, sizes, strict=True)], sizes


def loads(program: Program, n: int) -> Loads | None:
    """Those of a program, on n qubits; None if there are none."""
    if not program.loads:
        return None
    z, vectors = np.arange(1 << n), []
    loaded = sum(1 << q for op in program.loads for q in op.qubits)
    for op in program.loads:
        index = sum(((z >> q & 1) << j for j, q in enumerate(op.qubits)), np.zeros_like(z))
        index = np.where(z & ~loaded == 0, np.minimum(index, len(op.array)), len(op.array))
        vectors.append((op.array[:, 0].astype(int), op.array[:, 1], index))
    return Loads(tuple(vectors))


def _spread(vector: tuple[np.ndarray, np.ndarray, np.ndarray], values: Any, xp: Any) -> Any:
    """A vector as a function of the basis state, from the values of expressions and a last one, of the constant."""
    expressions, scales, index = vector
    amplitudes = values[:, expressions] * scales[None].astype(values.dtype)
    return xp.pad(amplitudes, ((0, 0), (0, 1)))[:, index]


def _size(factor: Any, xp: Any) -> Any:
    """Against overflow; 1 where all amplitudes are 0, which is no state."""
    size = xp.max(xp.abs(factor), axis=1, keepdims=True)
    return xp.where(size > 0, size, 1)


def _others(factors: list[np.ndarray], k: int) -> Any:
    return np.prod([1.0 + 0 * factors[0], *factors[:k], *factors[k + 1 :]], axis=0)
