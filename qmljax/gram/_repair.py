"""Repair: what shots or noise did to a kernel matrix."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from qmljax._checks import check_count, check_number
from qmljax.gram._checks import PRECISION, check_gram, matrix_on_meshes


@matrix_on_meshes
def clip(gram: Any) -> Array:
    """The nearest positive semidefinite matrix in the Frobenius norm: negative eigenvalues become 0.

    Differentiable, also where eigenvalues coincide.

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
    inner = vectors.T @ ((dgram + dgram.T) / 2) @ vectors
    return (vectors * kept[None]) @ vectors.T, vectors @ (slopes * inner) @ vectors.T


@matrix_on_meshes
def shift(gram: Any) -> Array:
    """The matrix plus the least multiple of the identity that makes it positive semidefinite."""
    gram = check_gram(gram)
    return gram - jnp.minimum(jnp.linalg.eigvalsh(gram)[0], 0) * jnp.eye(len(gram), dtype=gram.dtype)


@matrix_on_meshes
def shrink(gram: Any, amount: Any) -> Array:
    """``(1 - amount) gram + amount`` times the identity: Tikhonov regularisation that keeps a unit diagonal."""
    gram = check_gram(gram)
    check_number(amount, "amount")
    return (1 - amount) * gram + amount * jnp.eye(len(gram), dtype=gram.dtype)


@matrix_on_meshes
def nearest_correlation(gram: Any, *, steps: int = 100) -> Array:
    """The nearest positive semidefinite matrix with a unit diagonal, by alternating projections.

    Args:
        gram: A kernel matrix, (N, N).
        steps: How many projections. The last one clips and rescales, so that the result is exactly of the kind wanted.

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
