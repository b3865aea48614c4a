"""Repair: what shots or noise did to a kernel matrix."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from qmljax._checks import check_count, check_number
from qmljax.gram._checks import PRECISION, check_gram, matrix_on_meshes


@matrix_on_meshes
def clip(gram: Any) -> Array:
    """The nearest positive semidefinite matrix in the Frobenius norm: negative eigenvalues become 0.

    Args:
        gram: A kernel matrix, (N, N).

    Returns:
        Of shape (N, N), differentiable, also where eigenvalues coincide. The diagonal need not stay 1.

    Raises:
        ValueError: `gram` is no kernel matrix.

    Example:
        >>> clip(jnp.array([[1.0, 2.0], [2.0, 1.0]]))  # of eigenvalues 3 and -1
        Array([[1.5, 1.5],
               [1.5, 1.5]], dtype=float32)

    References:
        T. Hubregtsen et al., "Training quantum embedding kernels on near-term quantum computers", PRA 106, 042431
        (2022), section V.B, "thresholding".
    """
    gram = check_gram(gram)
    return _clipped(gram)


@jax.custom_jvp
def _clipped(gram: Array) -> Array:
    values, vectors = jnp.linalg.eigh(gram)
    return jnp.matmul(vectors * jnp.maximum(values, 0)[None], vectors.T, precision=PRECISION)


@_clipped.defjvp
def _clipped_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The Daleckii-Krein formula: divided differences of the function take the place of its derivative."""
    (gram,), (dgram,) = primals, tangents
    values, vectors = jnp.linalg.eigh(gram)
    kept = jnp.maximum(values, 0)
    gaps = values[:, None] - values[None]
    equal = gaps == 0
    slopes = jnp.where(
        equal, (values > 0)[:, None].astype(gram.dtype), (kept[:, None] - kept[None]) / jnp.where(equal, 1.0, gaps)
    )
    product = functools.partial(jnp.matmul, precision=PRECISION)
    inner = product(product(vectors.T, (dgram + dgram.T) / 2), vectors)
    return product(vectors * kept[None], vectors.T), product(product(vectors, slopes * inner), vectors.T)


@matrix_on_meshes
def shift(gram: Any) -> Array:
    """The matrix plus the least multiple of the identity that makes it positive semidefinite.

    Args:
        gram: A kernel matrix, (N, N).

    Returns:
        Of shape (N, N), differentiable; `gram` itself where that is positive semidefinite.

    Raises:
        ValueError: `gram` is no kernel matrix.

    Example:
        >>> shift(jnp.array([[1.0, 2.0], [2.0, 1.0]]))  # of eigenvalues 3 and -1
        Array([[2., 2.],
               [2., 2.]], dtype=float32)

    References:
        T. Hubregtsen et al., "Training quantum embedding kernels on near-term quantum computers", PRA 106, 042431
        (2022), section V.B.
    """
    gram = check_gram(gram)
    return gram - jnp.minimum(jnp.linalg.eigvalsh(gram)[0], 0) * jnp.eye(len(gram), dtype=gram.dtype)


@matrix_on_meshes
def shrink(gram: Any, amount: Any) -> Array:
    """The mean of the matrix and the identity, by weights: Tikhonov regularisation that keeps a unit diagonal.

    Args:
        gram: A kernel matrix, (N, N).
        amount: The weight of the identity, 0 or more, typically below 1; it may be traced.

    Returns:
        ``(1 - amount) gram + amount`` times the identity, (N, N), differentiable in both.

    Raises:
        ValueError: `gram` is no kernel matrix, or `amount` is negative.

    Example:
        >>> shrink(jnp.array([[1.0, 0.5], [0.5, 1.0]]), 0.2)
        Array([[1. , 0.4],
               [0.4, 1. ]], dtype=float32)

    References:
        T. Hubregtsen et al., "Training quantum embedding kernels on near-term quantum computers", PRA 106, 042431
        (2022), section V.B.
    """
    gram = check_gram(gram)
    check_number(amount, "amount")
    return (1 - amount) * gram + amount * jnp.eye(len(gram), dtype=gram.dtype)


@matrix_on_meshes
def nearest_correlation(gram: Any, *, steps: int = 100) -> Array:
    """The nearest positive semidefinite matrix with a unit diagonal, by alternating projections.

    Args:
        gram: A kernel matrix, (N, N).
        steps: How many projections. The last one clips and rescales, so that the result is exactly of the kind wanted.

    Returns:
        Of shape (N, N), differentiable.

    Raises:
        ValueError: `gram` is no kernel matrix, or `steps` no positive integer.

    Example:
        >>> nearest_correlation(jnp.array([[1.0, 2.0], [2.0, 1.0]])).round(3)
        Array([[1., 1.],
               [1., 1.]], dtype=float32)

    References:
        N. J. Higham, "Computing the nearest correlation matrix: a problem from finance", IMA J. Numer. Anal. 22, 329
        (2002), algorithm 3.3.
    """
    gram = check_gram(gram)
    check_count(steps, "steps")
    diagonal = jnp.eye(len(gram), dtype=bool)

    def project(_: Any, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        current, correction = pair
        raised = current - correction
        definite = _clipped(raised)
        return jnp.where(diagonal, 1.0, definite).astype(gram.dtype), definite - raised

    current, _ = lax.fori_loop(0, steps, project, (gram, jnp.zeros_like(gram)))
    definite = _clipped(current)
    scale = jnp.sqrt(jnp.diagonal(definite))
    return jnp.where(diagonal, 1.0, definite / (scale[:, None] * scale[None])).astype(gram.dtype)
