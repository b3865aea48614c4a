"""Diagnostics: what a kernel matrix says of a kernel, and whether it can be better than a classical one."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from qmljax._checks import check_number
from qmljax.gram._checks import PRECISION, check_gram, check_labels, on_meshes


@on_meshes
def spectrum(gram: Any) -> Array:
    """The eigenvalues of a kernel matrix, divided by their sum.

    Args:
        gram: A kernel matrix, (N, N).

    Returns:
        Of shape (N,), descending. They sum to 1; negative ones are kept.

    Raises:
        ValueError: `gram` is no kernel matrix.

    Example:
        >>> spectrum(jnp.array([[1.0, 0.5], [0.5, 1.0]]))
        Array([0.75, 0.25], dtype=float32)
    """
    gram = check_gram(gram)
    values = jnp.linalg.eigvalsh(gram)[::-1]
    return values / values.sum()


@on_meshes
def concentration(gram: Any) -> tuple[Array, Array]:
    """The mean and the variance of the entries off the diagonal.

    A variance that falls exponentially with the number of qubits is the sign of exponential concentration: the number
    of shots that tells entries apart then grows exponentially.

    Args:
        gram: A kernel matrix, (N, N), of at least two points.

    Returns:
        Two numbers, the mean and the variance over the N (N - 1) / 2 pairs of points.

    Raises:
        ValueError: `gram` is no kernel matrix, or of fewer than two points.

    Example:
        >>> concentration(jnp.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]]))
        (Array(0.4, dtype=float32), Array(0.0266, dtype=float32))

    References:
        S. Thanasilp et al., "Exponential concentration in quantum kernel methods", Nature Communications 15, 5200
        (2024).
    """
    gram = check_gram(gram)
    if len(gram) < 2:
        raise ValueError("A kernel matrix of one point has no entries off the diagonal.")
    above = jnp.arange(len(gram))[:, None] < jnp.arange(len(gram))[None]
    mean = gram.mean(where=above)
    return mean, ((gram - mean) ** 2).mean(where=above)


@on_meshes
def geometric_difference(classical: Any, quantum: Any, *, ridge: float = 0.0) -> Array:
    """How much better than the classical kernel a quantum kernel can predict: g(K_C || K_Q), without a ridge >= 1.

    ``sqrt(| sqrt(K_Q) sqrt(K_C) (K_C + ridge)^-2 sqrt(K_C) sqrt(K_Q) |)``, the spectral norm, for matrices scaled to
    the trace N. If g is small, no labels exist that the quantum kernel learns from far fewer samples; g of about
    sqrt(N) is needed for a large advantage, and is not enough for one.

    Args:
        classical: The kernel matrix K_C, (N, N).
        quantum: The kernel matrix K_Q of the same points, (N, N).
        ridge: Regularises the inverse, as the classical model is regularised; 0 or more.

    Returns:
        A number; infinite where the classical matrix is singular in a direction that the quantum one has, and there is
        no ridge.

    Raises:
        ValueError: The matrices are no kernel matrices of one shape, or `ridge` is negative.

    Example:
        >>> classical, quantum = jnp.array([[1.0, 0.6], [0.6, 1.0]]), jnp.eye(2)
        >>> geometric_difference(classical, quantum)  # 1 / sqrt(0.4)
        Array(1.5811, dtype=float32)

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), equation
        (5), and with a ridge equation (F15).
    """
    inner, _, unbounded = _relative(classical, quantum, ridge)
    return jnp.where(unbounded, jnp.inf, jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(inner)[-1], 0)))


def _relative(classical: Any, quantum: Any, ridge: float) -> tuple[Array, Array, Array]:
    """``sqrt(K_Q) sqrt(K_C) (K_C + ridge)^-2 sqrt(K_C) sqrt(K_Q)``, sqrt(K_Q), and whether the first is infinite."""
    classical, quantum = check_gram(classical, "classical"), check_gram(quantum, "quantum")
    check_number(ridge, "ridge")
    if classical.shape != quantum.shape:
        raise ValueError(f"The kernel matrices must have one shape, but have {classical.shape} and {quantum.shape}.")
    values, vectors = jnp.linalg.eigh(_unit_trace(classical))
    root = _square_root(_unit_trace(quantum))
    inner = jnp.matmul(root, vectors, precision=PRECISION)
    weights = _inverse_weights(values, ridge, jnp.sum(inner**2, axis=0))
    finite = jnp.where(jnp.isinf(weights), 0.0, weights)
    return jnp.matmul(inner * finite[None], inner.T, precision=PRECISION), root, jnp.isinf(weights).any()


@on_meshes
def engineered_labels(classical: Any, quantum: Any, *, ridge: float = 0.0) -> Array:
    """The real labels that are hardest for the classical kernel, relative to the quantum one.

    They saturate the geometric difference: their model complexities are in the ratio of its square. As labels of two
    classes take their signs; classes of equal size are above and below the median.

    Args:
        classical: The kernel matrix K_C, (N, N).
        quantum: The kernel matrix K_Q of the same points, (N, N), training and test points together.
        ridge: Regularises the inverse of K_C, as the classical model is regularised; 0 or more.

    Returns:
        Of shape (N,), of norm sqrt(N); their overall sign means nothing.

    Raises:
        ValueError: The matrices are no kernel matrices of one shape, or `ridge` is negative.

    Example:
        >>> classical, quantum = jnp.array([[1.0, 0.6], [0.6, 1.0]]), jnp.eye(2)
        >>> y = engineered_labels(classical, quantum)
        >>> y * jnp.sign(y[0])
        Array([ 1., -1.], dtype=float32)

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), equation
        (G4) and what follows.
    """
    inner, root, _ = _relative(classical, quantum, ridge)
    labels = jnp.matmul(root, jnp.linalg.eigh(inner)[1][:, -1], precision=PRECISION)
    return labels * jnp.sqrt(len(labels) / jnp.sum(labels**2))


@on_meshes
def model_complexity(gram: Any, y: Any, *, ridge: float = 0.0) -> Array:
    """The model complexity s_K(N): a model on this kernel errs on new points by about sqrt(s_K / N) at most.

    ``y^T sqrt(K) (K + ridge)^-2 sqrt(K) y`` for the matrix scaled to the trace N, which is y^T K^{-1} y without a
    ridge.

    Args:
        gram: A kernel matrix, (N, N).
        y: Labels, (N,), or one-hot, (N, c), whose columns add up.
        ridge: Regularises the inverse, as the model is regularised; 0 or more.

    Returns:
        A number; infinite where the matrix is singular in a direction that the labels have, and there is no ridge.

    Raises:
        ValueError: `gram` is no kernel matrix, `y` is of other points, or `ridge` is negative.

    Example:
        >>> gram = jnp.array([[1.0, 0.6], [0.6, 1.0]])
        >>> model_complexity(gram, jnp.array([1.0, -1.0]))  # 2 / 0.4
        Array(5., dtype=float32)

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), equation
        (4).
    """
    gram = check_gram(gram)
    y = check_labels(y, gram)
    check_number(ridge, "ridge")
    values, vectors = jnp.linalg.eigh(_unit_trace(gram))
    parts = jnp.sum(jnp.matmul(vectors.T, y.reshape(len(y), -1), precision=PRECISION) ** 2, axis=1)
    weights = _inverse_weights(values, ridge, parts)
    return jnp.sum(jnp.where(weights > 0, weights * parts, 0.0))


def _inverse_weights(values: Array, ridge: Any, parts: Array) -> Array:
    """``value / (value + ridge)**2``; of null values without a ridge, 0 where nothing lies there, else infinite."""
    null = values + ridge <= len(values) * jnp.finfo(values.dtype).eps * values[-1]
    nothing = parts <= len(values) * jnp.finfo(values.dtype).eps * jnp.sum(parts)
    safe = jnp.where(null, 1.0, values + ridge)
    return jnp.where(null, jnp.where(nothing, 0.0, jnp.inf), jnp.maximum(values, 0) / safe**2)


def _unit_trace(gram: Array) -> Array:
    return gram * (len(gram) / jnp.trace(gram))


def _square_root(gram: Array) -> Array:
    values, vectors = jnp.linalg.eigh(gram)
    return jnp.matmul(vectors * jnp.sqrt(jnp.maximum(values, 0))[None], vectors.T, precision=PRECISION)
