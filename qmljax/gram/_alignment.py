"""How well a kernel fits the labels: alignment."""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from qmljax._checks import check_flag
from qmljax.gram._checks import PRECISION, check_gram, check_labels, matrix_on_meshes, on_meshes


@on_meshes
def kernel_alignment(gram: Any, y: Any, *, centred: bool = True) -> Array:
    """The kernel-target alignment, the cosine of the angle between a kernel matrix and the ideal one, y y^T.

    Args:
        gram: A kernel matrix, (N, N).
        y: Labels, (N,), of two classes (-1 and 1 where `centred` is False) or real; or one-hot, (N, c).
        centred: Whether to centre both matrices in feature space first, which Cortes et al. advise.

    Returns:
        A number in [-1, 1]; 0 where one of the matrices vanishes, as when all labels are equal and centred.

    Raises:
        ValueError: The shapes do not match.

    Example:
        >>> y = jnp.array([1.0, 1.0, -1.0])
        >>> kernel_alignment(jnp.outer(y, y), y)
        Array(1., dtype=float32)

    References:
        C. Cortes, M. Mohri, A. Rostamizadeh, "Algorithms for Learning Kernels Based on Centered Alignment", JMLR 13,
        795 (2012), definition 4. N. Cristianini et al., "On Kernel-Target Alignment", NIPS 14 (2001).
    """
    gram = check_gram(gram)
    y = check_labels(y, gram)
    if not len(y):
        raise ValueError("There are no points to align.")
    columns = y.reshape(len(y), -1)
    largest = lax.stop_gradient(jnp.max(jnp.abs(columns)))
    columns = columns / jnp.where(largest > 0, largest, 1.0)  # against overflow: their size does not matter
    if check_flag(centred, "centred"):
        columns = columns - columns.mean(axis=0, keepdims=True)
        gram = centre(gram)
    # <K, Y Y^T> is the trace of Y^T K Y; the matrix Y Y^T is never made.
    product = jnp.sum(columns * jnp.matmul(gram, columns, precision=PRECISION))
    square = jnp.sum(jnp.matmul(columns.T, columns, precision=PRECISION) ** 2) * jnp.sum(gram**2)
    vanishes = square == 0
    return jnp.where(vanishes, 0.0, product / jnp.sqrt(jnp.where(vanishes, 1.0, square)))


@matrix_on_meshes
def centre(gram: Any) -> Array:
    """The kernel matrix of feature vectors whose mean is subtracted.

    Args:
        gram: A kernel matrix, (N, N).

    Returns:
        Of shape (N, N); the sum of each row and column is 0.

    Raises:
        ValueError: `gram` is no kernel matrix.

    Example:
        >>> centre(jnp.eye(2))
        Array([[ 0.5, -0.5],
               [-0.5,  0.5]], dtype=float32)

    References:
        B. Schoelkopf, A. Smola, K.-R. Mueller, "Nonlinear component analysis as a kernel eigenvalue problem", Neural
        Computation 10, 1299 (1998).
    """
    gram = check_gram(gram)
    return gram - gram.mean(axis=0, keepdims=True) - gram.mean(axis=1, keepdims=True) + gram.mean()
