"""Which points are equal, and matrices that are symmetric because of it."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._models import shared


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


def alike(*points: Any, weights: Any) -> list[Any]:
    """Points of the dtype that the kernel of them has."""
    dtype = jnp.result_type(*points, weights)
    return [p if p.dtype == dtype else p.astype(dtype) for p in points]


def all_equal(x: Any, y: Any, *sizes: int) -> Any:
    """`equal`, filled up to some sizes; nothing is compiled for it where the points are numbers."""
    return _filled(equal_numbers if shared.known((x, y)) else equal, x, y, *sizes)


def pairs_equal(x: Any, y: Any, size: int) -> Any:
    """Which pairs of points are equal, likewise."""
    return _filled(lambda x, y: (x == y).all(axis=-1), x, y, size)


def _filled(compare: Callable[[Any, Any], Any], x: Any, y: Any, *sizes: int) -> Any:
    there = shared.known((x, y))
    same = compare(*(map(shared.numbers, (x, y)) if there else (x, y)))
    return (np if there else jnp).pad(same, [(0, size - n) for size, n in zip(sizes, same.shape, strict=True)])


def mirrored(gram: Array) -> Array:
    """The symmetric matrix with the entries above the diagonal, and 1 on it, or NaN."""
    upper = jnp.triu(gram, 1)
    return (
        upper + upper.T + jnp.where(jnp.isnan(jnp.diag(jnp.diagonal(gram))), gram, jnp.eye(len(gram), dtype=gram.dtype))
    )
