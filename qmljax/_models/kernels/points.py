"""Which points are equal, and matrices that are symmetric because of it."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def equal(x: Array, y: Array | None) -> Array:
    """Which points (N, d) and (M, d) are equal, (N, M): by sums of their bits, which few others share."""

    def code(points: Array) -> Array:
        words = points.shape[1] * points.dtype.itemsize // 4
        bits = lax.bitcast_convert_type(points, np.uint32).reshape(len(points), words)
        odd = np.random.default_rng(0).integers(1 << 31, size=bits.shape[1], dtype=np.uint32) * np.uint32(2) + 1
        return jnp.sum((bits ^ bits >> 15) * odd[None].astype(np.uint32), axis=1, dtype=np.uint32)

    left = code(x)
    return left[:, None] == (left if y is None else code(y))[None]


def equal_numbers(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`equal` of points that are numbers, by NumPy."""
    left, right = (np.ascontiguousarray(points).view(f"u{points.dtype.itemsize}") for points in (x, y))
    same: np.ndarray = (left[:, None] == right[None]).all(axis=-1)
    return same


def mirrored(gram: Array) -> Array:
    """The symmetric matrix with the entries above the diagonal, and 1 on it, or NaN."""
    upper = jnp.triu(gram, 1)
    return (
        upper + upper.T + jnp.where(jnp.isnan(jnp.diag(jnp.diagonal(gram))), gram, jnp.eye(len(gram), dtype=gram.dtype))
    )
