"""Fidelities of all points at once: N states and one matrix product, instead of N**2 circuits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine.state import PRECISION
from qmljax._models import shared
from qmljax._models.compiled import question
from qmljax._models.kernels.devices import varying
from qmljax._models.kernels.kernel import BaseKernel, common_dtype
from qmljax._models.kernels.points import alike, all_equal, equal, pairs_equal
from qmljax._models.parts import cut
from qmljax._models.questions import Question, of_amplitudes
from qmljax._progress import CompiledBar


@dataclass(frozen=True, repr=False)
class FidelityKernel(BaseKernel):
    """The fidelity kernel ``|<psi(x)|psi(y)>|**2``: call it as ``kernel(x, y=None, *, weights=None)``.

    Points of shape (N, d) and (M, d) give a matrix (N, M); without `y`, (N, N). It is computed by tiles if the states
    would take more than `memory` bytes.
    """

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = common_dtype(x, y, weights)
        if 0 in (len(x), len(x if y is None else y)):
            return jnp.zeros((len(x), len(x if y is None else y)), dtype)
        tile = self._tile(dtype)
        if max(len(x), 0 if y is None else len(y)) <= tile:
            return self._whole(x, y, weights, dtype)
        return self._tiles(x, y, weights, dtype, tile)

    def _tile(self, dtype: Any) -> int:
        """How many points of a tile, and how many it is compared with."""
        state = 2 * dtype.itemsize << self.program.num_qubits
        # Running a batch of states takes some copies of them, and squaring a tile of products some of it.
        return max(1, min(self.memory // (8 * state), math.isqrt(self.memory // (8 * dtype.itemsize))))

    def _block(self, left: Any, right: Any, weights: Array, *more: Any) -> Array:
        if max(len(left), 0 if right is None else len(right)) > self._tile(left.dtype):
            return self._compared(left, right, weights)  # a gradient keeps nothing of tiles
        return super()._block(left, right, weights)

    def _whole(self, x: Array, y: Array | None, weights: Array, dtype: Any) -> Array:
        states = [self._state_of(points, weights, dtype) for points in (x, y) if points is not None]
        return _gram(states, equal(x.astype(dtype), None if y is None else y.astype(dtype)))

    def _question(self) -> Question | None:
        return of_amplitudes(self.program, self.features, self.weights, whole=True)

    def _first(self, x: Any, y: Any, weights: Any) -> Array | None:
        asked = question(self)
        if asked is None:
            return None
        points = alike(x, x if y is None else y, weights=weights)
        states = [shared.answer(asked, p, weights) for p in (points if y is not None else points[:1])]
        same = all_equal(*points, len(states[0]), len(states[-1]))
        return cut(_gram_of_amplitudes(states, same), *map(len, points))

    def _first_pairs(self, x: Any, y: Any, weights: Any) -> Array | None:
        asked = question(self)
        if asked is None:
            return None
        points = alike(x, y, weights=weights)
        states = [shared.answer(asked, p, weights) for p in points]
        left, right = points
        return cut(_pairs_of_amplitudes(*states, pairs_equal(left, right, len(states[0]))), len(x))

    def _tiles(self, x: Array, y: Array | None, weights: Array, dtype: Any, tile: int) -> Array:
        """The matrix tile by tile, of a symmetric one the upper half alone; states are computed for each tile again.

        The last tile of a row may overlap the one before it, so that nothing is cut off in the end. Tiles on the
        diagonal come last: they alone have its exact ones, and are symmetric where tiles overlap.
        """
        columns = x if y is None else y
        height, width = min(tile, len(x)), min(tile, len(columns))
        rows_at, columns_at = (
            np.minimum(np.arange(0, len(points), size), len(points) - size)
            for points, size in ((x, height), (columns, width))
        )

        def block(i: Array, j: Array | None) -> Array:
            left = lax.dynamic_slice_in_dim(x, i, height)
            right = None if j is None else lax.dynamic_slice_in_dim(columns, j, width)
            return self._whole(left, right, weights, dtype)

        def add(gram: Array, at: Any) -> tuple[Array, None]:
            i, j = at
            new = jax.checkpoint(block)(i, j)
            gram = lax.dynamic_update_slice(gram, new, (i, j))
            return gram if y is not None else lax.dynamic_update_slice(gram, new.T, (j, i)), None

        def add_diagonal(gram: Array, i: Any) -> tuple[Array, None]:
            return lax.dynamic_update_slice(gram, jax.checkpoint(lambda i: block(i, None))(i), (i, i)), None

        gram = jnp.broadcast_to(varying(jnp.zeros((), dtype), x, y, weights), (len(x), len(columns)))
        half = np.triu_indices(len(rows_at), 1)
        pairs = half if y is None else np.indices((len(rows_at), len(columns_at))).reshape(2, -1)
        if self.progress:
            bar = CompiledBar(len(pairs[0]) + (len(rows_at) if y is None else 0))
            add, add_diagonal = bar.over(add), bar.over(add_diagonal)
        gram, _ = lax.scan(add, gram, (rows_at[pairs[0]], columns_at[pairs[1]]))
        if y is None:
            gram, _ = lax.scan(add_diagonal, gram, rows_at)
        return gram

    def _trace_pairs(self, x: Array, y: Array, weights: Array) -> Array:
        dtype = common_dtype(x, y, weights)
        x, y = x.astype(dtype), y.astype(dtype)

        def some(x: Array, y: Array) -> Array:
            return _overlaps(*(self._state_of(points, weights, dtype) for points in (x, y)))

        return _exact(self._in_parts(some, x, y, copies=16), (x == y).all(axis=-1))


def _gram(states: Sequence[Array], same: Array) -> Array:
    """The matrix, from the states (C, 2**n, N) of x, and those of y if there is any; and which points are equal."""
    left, right = _normalised(states[0]), _normalised(states[-1])
    if len(states) == 2:
        return _exact(_fidelities(left, right), same)
    gram = _fidelities(left, left)
    gram = (gram + gram.T) / 2  # exactly symmetric, whatever order the products were summed in
    return _exact(gram, same | jnp.eye(len(gram), dtype=bool))


def _overlaps(left: Array, right: Array) -> Array:
    """The fidelities of pairs of states, (C, 2**n, N) each."""
    left, right = _normalised(left), _normalised(right)
    fidelities = jnp.sum(left * right, axis=(0, 1)) ** 2
    if len(left) == 2:
        fidelities = fidelities + jnp.sum(left[0] * right[1] - left[1] * right[0], axis=0) ** 2
    return fidelities - lax.stop_gradient(jnp.maximum(fidelities - 1, 0))


def _exact(fidelities: Array, same: Array) -> Array:
    """Exactly 1 for equal points; one that is NaN stays visible."""
    missing = jnp.where(same & (fidelities > 1 - 1e-4), 1 - fidelities, 0)
    return fidelities + lax.stop_gradient(missing)


@jax.jit
def _gram_of_amplitudes(amplitudes: Sequence[Array], same: Array) -> Array:
    return _gram([_parts(a) for a in amplitudes], same)


@jax.jit
def _pairs_of_amplitudes(left: Array, right: Array, same: Array) -> Array:
    return _exact(_overlaps(_parts(left), _parts(right)), same)


def _parts(amplitudes: Array) -> Array:
    """(N, 2**n) -> (2, 2**n, N)."""
    return jnp.stack([amplitudes.real.T, amplitudes.imag.T])


def _normalised(states: Array) -> Array:
    """Norms a few roundings above 1 would cost a Gram matrix of unit diagonal its positive eigenvalues."""
    return states * lax.stop_gradient(lax.rsqrt(jnp.sum(states * states, axis=(0, 1), keepdims=True)))


def _fidelities(left: Array, right: Array) -> Array:
    """``|<left_i|right_j>|**2`` of states (C, 2**n, N) and (C, 2**n, M), at most 1."""
    real = jnp.einsum("czi,czj->ij", left, right, precision=PRECISION)
    fidelities = real * real
    if len(left) == 2:
        imag = jnp.matmul(left[0].T, right[1], precision=PRECISION)
        if left is right:
            imag = imag - imag.T
        else:
            imag = imag - jnp.matmul(left[1].T, right[0], precision=PRECISION)
        fidelities = fidelities + imag * imag
    # Rounding may exceed 1. `minimum` would drop the derivatives there, of which the second is not 0 at equal points.
    return fidelities - lax.stop_gradient(jnp.maximum(fidelities - 1, 0))
