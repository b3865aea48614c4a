"""Approximation: features whose inner products are nearly a kernel, from few of its columns."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._checks import check_count, check_function, check_key
from qmljax.gram._checks import PRECISION


def nystroem(kernel: Callable[[Any, Any], Array], x: Any, landmarks: Any, *, cutoff: float | None = None) -> Array:
    """Feature vectors whose inner products approximate a kernel, from its values at some landmarks alone.

    Args:
        kernel: ``kernel(x, y)``, of points (N, d) and (M, d) to (N, M), such as `fidelity_kernel` returns.
        x: The points, (N, d); N may be large, since only the columns of the landmarks are computed.
        landmarks: (m, d), such as a random choice of the points.
        cutoff: Eigenvalues of the landmarks' kernel matrix below this part of the largest are left out. Default: m
            times the rounding error of their dtype, below which eigenvalues are noise.

    Returns:
        Features (N, m): ``features @ features.T`` is the approximation, exact at the landmarks. A linear model on them
        is a kernel machine.

    References:
        C. Williams, M. Seeger, "Using the Nystroem method to speed up kernel machines", NIPS 13 (2001).

    Example:
        >>> kernel = lambda x, y: jnp.exp(-((x - y.T) ** 2))
        >>> x = jnp.linspace(0, 1, 50)[:, None]
        >>> features = nystroem(kernel, x, x[::10])
        >>> bool(abs(features @ features.T - kernel(x, x)).max() < 1e-3)
        True
    """
    check_function(kernel, "kernel", "``kernel(x, y)`` of points")
    number = isinstance(cutoff, int | float | np.number) and not isinstance(cutoff, bool)
    if cutoff is not None and not (number and 0 <= cutoff < 1):
        raise ValueError(f"`cutoff` must be a part, a number from 0 to below 1, or None, but is {cutoff!r}.")
    if np.ndim(landmarks) != 2 or not len(landmarks):
        raise ValueError(
            f"`landmarks` must be points of shape (m, d), at least one, but have shape {np.shape(landmarks)}."
        )
    values, vectors = jnp.linalg.eigh(jnp.asarray(kernel(landmarks, landmarks)))
    cutoff = len(values) * float(jnp.finfo(values.dtype).eps) if cutoff is None else cutoff
    kept = values > cutoff * values[-1]
    scale = jnp.where(kept, 1 / jnp.sqrt(jnp.where(kept, values, 1.0)), 0.0)
    return jnp.matmul(kernel(x, landmarks), vectors * scale[None], precision=PRECISION)


def approximation_error(
    kernel: Callable[[Any, Any], Array], x: Any, features: Any, key: Array, *, pairs: int = 1000
) -> tuple[Array, Array]:
    """The root mean square error of a kernel's approximation over pairs of points, and its standard error.

    It is estimated from `pairs` random pairs, as a square of entries: sqrt(pairs) random points against as many.

    Args:
        kernel: The exact kernel, as for `nystroem`.
        x: The points, (N, d).
        features: The approximation, (N, m).
        key: A JAX random key.
        pairs: About how many entries to compare.
    """
    check_function(kernel, "kernel", "``kernel(x, y)`` of points"), check_key(key), check_count(pairs, "pairs")
    x, features = jnp.asarray(x), jnp.asarray(features)
    side = max(1, round(pairs**0.5))
    rows, columns = (jax.random.randint(k, (side,), 0, len(x)) for k in jax.random.split(key))
    approximate = jnp.matmul(features[rows], features[columns].T, precision=PRECISION)
    squares = (kernel(x[rows], x[columns]) - approximate) ** 2
    error = jnp.sqrt(squares.mean())
    spread = squares.mean(axis=1).std() / jnp.sqrt(side)  # rows are independent, entries of a row are not
    return error, jnp.where(error > 0, spread / (2 * jnp.where(error > 0, error, 1.0)), 0.0)
