"""Approximation: features whose inner products are nearly a kernel, from few of its columns."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qmljax._checks import check_count, check_function, check_key, check_number, shown
from qmljax._meshes import everywhere
from qmljax.gram._checks import PRECISION, check_points, on_meshes


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
        is a kernel machine. They lie as `x` does: where that is on several devices, each computes those of its points;
        the landmarks and their matrix (m, m) are sent.

    Raises:
        TypeError: `kernel` is no function.
        ValueError: `x` or `landmarks` is no array of points, they have other numbers of features, there are no
            landmarks, or `cutoff` is not from 0 to below 1.

    Example:
        >>> kernel = lambda x, y: jnp.exp(-((x - y.T) ** 2))
        >>> x = jnp.linspace(0, 1, 50)[:, None]
        >>> features = nystroem(kernel, x, x[::10])
        >>> bool(abs(features @ features.T - kernel(x, x)).max() < 1e-3)
        True

    References:
        C. Williams, M. Seeger, "Using the Nystroem method to speed up kernel machines", NIPS 13 (2001).
    """
    check_function(kernel, "kernel", "``kernel(x, y)`` of points")
    check_number(cutoff, "cutoff", below=1, optional=True, hint="It is a part of the largest eigenvalue.")
    x = check_points(x, "x", "points of shape (N, d)")
    landmarks = check_points(landmarks, "landmarks", "points of shape (m, d), at least one")
    if not len(landmarks) or landmarks.shape[1] != x.shape[1]:
        raise ValueError(
            f"`landmarks` must be points like those of `x`, at least one, but are {shown(landmarks)}, and `x` is "
            f"{shown(x)}."
        )
    if isinstance(landmarks, jax.Array):  # they are few: where points lie on several devices, each has them all
        landmarks = everywhere(landmarks, landmarks)
    columns = jnp.asarray(kernel(landmarks, landmarks))
    values, vectors = jnp.linalg.eigh(everywhere(columns, columns))
    cutoff = len(values) * float(jnp.finfo(values.dtype).eps) if cutoff is None else cutoff
    kept = values > cutoff * values[-1]
    scale = jnp.where(kept, 1 / jnp.sqrt(jnp.where(kept, values, 1.0)), 0.0)
    return jnp.matmul(kernel(x, landmarks), vectors * scale[None], precision=PRECISION)


@on_meshes
def approximation_error(
    kernel: Callable[[Any, Any], Array], x: Any, features: Any, key: Array, *, pairs: int = 1000
) -> tuple[Array, Array]:
    """The root mean square error of a kernel's approximation over pairs of points, and its standard error.

    It is estimated from `pairs` random pairs, as a square of entries: sqrt(pairs) random points against as many.

    Args:
        kernel: The exact kernel, ``kernel(x, y)``, of points (N, d) and (M, d) to (N, M).
        x: The points, (N, d).
        features: The approximation, (N, m): ``features @ features.T`` is nearly the kernel matrix.
        key: A JAX random key, which chooses the pairs.
        pairs: About how many entries to compare.

    Returns:
        Two numbers: the error, and its standard error, which is 0 where the error is.

    Raises:
        TypeError: `kernel` is no function, or `key` no random key.
        ValueError: `x` or `features` is no array of rows, there are no points, or not as many features as points.

    Example:
        >>> kernel = lambda x, y: x @ y.T
        >>> x = jnp.eye(4)
        >>> error, _ = approximation_error(kernel, x, x.at[3].set(0.0), jax.random.key(0), pairs=10_000)
        >>> round(float(error), 1)  # one entry of 16 is missing: sqrt(1 / 16)
        0.2
    """
    check_function(kernel, "kernel", "``kernel(x, y)`` of points"), check_key(key), check_count(pairs, "pairs")
    x = jnp.asarray(check_points(x, "x", "points of shape (N, d)"))
    features = jnp.asarray(check_points(features, "features", "of shape (N, m)"))
    if len(x) != len(features) or not len(x):
        raise ValueError(
            f"`features` must hold those of each of the points, at least one, but is {shown(features)}, and `x` is "
            f"{shown(x)}."
        )
    side = max(1, round(pairs**0.5))
    rows, columns = (jax.random.randint(k, (side,), 0, len(x)) for k in jax.random.split(key))
    approximate = jnp.matmul(features[rows], features[columns].T, precision=PRECISION)
    squares = (kernel(x[rows], x[columns]) - approximate) ** 2
    error = jnp.sqrt(squares.mean())
    spread = squares.mean(axis=1).std() / jnp.sqrt(side)  # rows are independent, entries of a row are not
    return error, jnp.where(error > 0, spread / (2 * jnp.where(error > 0, error, 1.0)), 0.0)
