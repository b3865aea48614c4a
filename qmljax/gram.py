"""Functions of kernel matrices: alignment, losses to train a kernel by, repair, diagnostics and approximation.

All are pure functions of arrays, whichever kernel the matrix comes from. A kernel matrix `gram` is real, symmetric, of
shape (N, N); labels `y` have shape (N,) for two classes or regression, or (N, c), one-hot, for c classes.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

PRECISION = lax.Precision.HIGHEST


# How well a kernel fits the labels.


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
    gram, y = _checked(gram, y)
    if not len(y):
        raise ValueError("There are no points to align.")
    columns = y.reshape(len(y), -1)
    largest = lax.stop_gradient(jnp.max(jnp.abs(columns)))
    columns = columns / jnp.where(largest > 0, largest, 1.0)  # against overflow: their size does not matter
    if centred:
        columns = columns - columns.mean(axis=0, keepdims=True)
        gram = centre(gram)
    # <K, Y Y^T> is the trace of Y^T K Y; the matrix Y Y^T is never made.
    product = jnp.sum(columns * jnp.matmul(gram, columns, precision=PRECISION))
    square = jnp.sum(jnp.matmul(columns.T, columns, precision=PRECISION) ** 2) * jnp.sum(gram**2)
    vanishes = square == 0
    return jnp.where(vanishes, 0.0, product / jnp.sqrt(jnp.where(vanishes, 1.0, square)))


def centre(gram: Any) -> Array:
    """The kernel matrix (N, N) of feature vectors whose mean is subtracted."""
    gram = jnp.asarray(gram)
    return gram - gram.mean(axis=0, keepdims=True) - gram.mean(axis=1, keepdims=True) + gram.mean()


# Losses of a kernel matrix: the least regularised risk that a model on this kernel can reach on these labels.
#
# Each is an optimum over dual variables b of y.b - c(b) - b^T K b / 2. By the envelope theorem its derivative in K is
# that of the objective at the optimal b, -b b^T / 2; how b depends on K does not matter.


def svc_loss(gram: Any, y: Any, *, C: float = 1.0) -> Array:  # noqa: N803
    """The optimum of the dual of a support vector classifier: what `QuantumKernelTrainer` minimises by default.

    Args:
        gram: A kernel matrix, (N, N).
        y: Labels of two classes, (N,): the larger value is the positive class.
        C: The penalty of margin violations.

    Returns:
        The largest ``sum(a) - sum_ij a_i a_j y_i y_j K_ij / 2`` with 0 <= a_i <= C and sum_i a_i y_i = 0. Solved by
        scikit-learn, and differentiable once in `gram`.

    Raises:
        ImportError: scikit-learn is missing.

    References:
        J. R. Glick et al., "Covariant quantum kernels for data with group structure", Nature Physics 20, 479 (2024),
        equation (9).
    """
    gram, y = _checked(gram, y, columns=False)
    if not isinstance(y, jax.core.Tracer) and len(np.unique(y)) != 2:
        raise ValueError(f"`y` must hold two classes, but has the values {np.unique(y)[:8].tolist()}.")
    return _dual_optimum(
        gram, jnp.where(y == y.max(), 1.0, -1.0).astype(gram.dtype), functools.partial(_solve_svc, C=C)
    )


def svr_loss(gram: Any, y: Any, *, C: float = 1.0, epsilon: float = 0.1) -> Array:  # noqa: N803
    """The optimum of the dual of a support vector regression, with an offset; `y` (N,) real.

    The largest ``y.b - epsilon |b|_1 - b^T K b / 2`` with |b_i| <= C and sum(b) = 0. Solved by scikit-learn, and
    differentiable once in `gram`.
    """
    gram, y = _checked(gram, y, columns=False)
    return _dual_optimum(gram, y, functools.partial(_solve_svr, C=C, epsilon=epsilon), epsilon)


def squared_loss(gram: Any, y: Any, *, ridge: float = 1.0) -> Array:
    """Half the least ``|f - y|**2 + ridge |f|_K**2`` that a function f can reach: kernel ridge regression.

    In closed form, ``ridge y^T (K + ridge)^{-1} y / 2``; differentiable to any order. `y` may be (N,) or (N, c).
    """
    gram, y = _checked(gram, y)
    if not isinstance(ridge, jax.core.Tracer) and not ridge > 0:
        raise ValueError(f"`ridge` must be positive, but is {ridge!r}.")
    matrix = gram + ridge * jnp.eye(len(gram), dtype=gram.dtype)
    return ridge * jnp.sum(y * jax.scipy.linalg.solve(matrix, y, assume_a="pos")) / 2


def huber_loss(gram: Any, y: Any, *, delta: float = 1.0, ridge: float = 1.0) -> Array:
    """The least ``sum_i h(f_i - y_i) + ridge |f|_K**2 / 2``, h being Huber's loss: a square up to `delta`, then linear.

    `y` is real, (N,). Differentiable once in `gram`.
    """
    gram, y = _checked(gram, y, columns=False)
    solve = functools.partial(_solve_box, bound=delta / ridge, quadratic=ridge)
    return ridge * _dual_optimum(gram, y, solve, quadratic=ridge)


def absolute_loss(gram: Any, y: Any, *, ridge: float = 1.0) -> Array:
    """The least ``sum_i |f_i - y_i| + ridge |f|_K**2 / 2``; `y` is real, (N,). Differentiable once in `gram`."""
    gram, y = _checked(gram, y, columns=False)
    return ridge * _dual_optimum(gram, y, functools.partial(_solve_box, bound=1 / ridge, quadratic=0.0))


def _dual_optimum(
    gram: Array,
    y: Array,
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
    linear: float = 0.0,
    quadratic: float = 0.0,
) -> Array:
    """y.b - linear |b|_1 - b^T (K + quadratic) b / 2 at the b that `solve` finds on the host."""
    shape = jax.ShapeDtypeStruct(y.shape, gram.dtype)
    b = jax.pure_callback(
        lambda k, t: solve(np.asarray(k, float), np.asarray(t, float)).astype(gram.dtype),
        shape,
        lax.stop_gradient(gram),
        lax.stop_gradient(y),
        vmap_method="sequential",
    )
    products = jnp.matmul(gram, b, precision=PRECISION) + quadratic * b
    return jnp.vdot(y, b) - linear * jnp.abs(b).sum() - jnp.vdot(b, products) / 2


def _solve_svc(gram: np.ndarray, y: np.ndarray, C: float) -> np.ndarray:  # noqa: N803
    svm = _sklearn_svm().SVC(kernel="precomputed", C=C, tol=1e-8).fit(gram, y)
    b = np.zeros(len(y))
    b[svm.support_] = svm.dual_coef_[0]
    return b


def _solve_svr(gram: np.ndarray, y: np.ndarray, C: float, epsilon: float) -> np.ndarray:  # noqa: N803
    svm = _sklearn_svm().SVR(kernel="precomputed", C=C, epsilon=epsilon, tol=1e-8).fit(gram, y)
    b = np.zeros(len(y))
    b[svm.support_] = svm.dual_coef_[0]
    return b


def _solve_box(gram: np.ndarray, y: np.ndarray, bound: float, quadratic: float) -> np.ndarray:
    from scipy.optimize import minimize

    def objective(b: np.ndarray) -> tuple[float, np.ndarray]:
        products = gram @ b + quadratic * b
        return b @ products / 2 - y @ b, products - y

    start = np.clip(y, -bound, bound)
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10}
    return minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(-bound, bound)] * len(y), options=options).x


def _sklearn_svm() -> Any:
    try:
        from sklearn import svm
    except ImportError:
        raise ImportError("This loss needs scikit-learn: pip install 'qmljax[sklearn]'.") from None
    return svm


# Repair: what shots or noise did to a kernel matrix.


def clip(gram: Any) -> Array:
    """The nearest positive semidefinite matrix in the Frobenius norm: negative eigenvalues become 0.

    Differentiable, also where eigenvalues coincide.

    References:
        T. Hubregtsen et al., "Training quantum embedding kernels on near-term quantum computers", PRA 106, 042431
        (2022), section V.B, "thresholding".
    """
    gram, _ = _checked(gram)
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


def shift(gram: Any) -> Array:
    """The matrix plus the least multiple of the identity that makes it positive semidefinite."""
    gram, _ = _checked(gram)
    return gram - jnp.minimum(jnp.linalg.eigvalsh(gram)[0], 0) * jnp.eye(len(gram), dtype=gram.dtype)


def shrink(gram: Any, amount: Any) -> Array:
    """``(1 - amount) gram + amount`` times the identity: Tikhonov regularisation that keeps a unit diagonal."""
    gram, _ = _checked(gram)
    return (1 - amount) * gram + amount * jnp.eye(len(gram), dtype=gram.dtype)


def nearest_correlation(gram: Any, *, steps: int = 100) -> Array:
    """The nearest positive semidefinite matrix with a unit diagonal, by alternating projections.

    Args:
        gram: A kernel matrix, (N, N).
        steps: How many projections. The last one clips and rescales, so that the result is exactly of the kind wanted.

    References:
        N. J. Higham, "Computing the nearest correlation matrix: a problem from finance", IMA J. Numer. Anal. 22, 329
        (2002), algorithm 3.3.
    """
    gram, _ = _checked(gram)
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


# Diagnostics.


def spectrum(gram: Any) -> Array:
    """The eigenvalues of a kernel matrix, (N,), descending, divided by their sum."""
    gram, _ = _checked(gram)
    values = jnp.linalg.eigvalsh(gram)[::-1]
    return values / values.sum()


def concentration(gram: Any) -> tuple[Array, Array]:
    """Mean and variance of the entries off the diagonal.

    A variance that falls exponentially with the number of qubits is the sign of exponential concentration: the number
    of shots that tells entries apart then grows exponentially.

    References:
        S. Thanasilp et al., "Exponential concentration in quantum kernel methods", Nature Communications 15, 5200
        (2024).
    """
    gram, _ = _checked(gram)
    if len(gram) < 2:
        raise ValueError("A kernel matrix of one point has no entries off the diagonal.")
    off = gram[np.triu_indices(len(gram), 1)]
    return off.mean(), off.var()


def geometric_difference(classical: Any, quantum: Any, *, ridge: float = 0.0) -> Array:
    """How much better than the classical kernel a quantum kernel can predict: g(K_C || K_Q), without a ridge >= 1.

    ``sqrt(| sqrt(K_Q) sqrt(K_C) (K_C + ridge)^-2 sqrt(K_C) sqrt(K_Q) |)``, the spectral norm, for matrices scaled to
    the trace N. If g is small, no labels exist that the quantum kernel learns from far fewer samples; g of about
    sqrt(N) is needed for a large advantage, and is not enough for one.

    Args:
        classical: The kernel matrix K_C, (N, N).
        quantum: The kernel matrix K_Q of the same points.
        ridge: Regularises the inverse, as the classical model is regularised.

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), equation
        (5), and with a ridge equation (F15).
    """
    inner, _, unbounded = _relative(classical, quantum, ridge)
    return jnp.where(unbounded, jnp.inf, jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(inner)[-1], 0)))


def _relative(classical: Any, quantum: Any, ridge: float) -> tuple[Array, Array, Array]:
    """``sqrt(K_Q) sqrt(K_C) (K_C + ridge)^-2 sqrt(K_C) sqrt(K_Q)``, sqrt(K_Q), and whether the first is infinite."""
    classical, _ = _checked(classical)
    quantum, _ = _checked(quantum)
    if classical.shape != quantum.shape:
        raise ValueError(f"The kernel matrices must have one shape, but have {classical.shape} and {quantum.shape}.")
    values, vectors = jnp.linalg.eigh(_unit_trace(classical))
    root = _square_root(_unit_trace(quantum))
    inner = jnp.matmul(root, vectors, precision=PRECISION)
    weights = _inverse_weights(values, ridge, jnp.sum(inner**2, axis=0))
    finite = jnp.where(jnp.isinf(weights), 0.0, weights)
    return jnp.matmul(inner * finite[None], inner.T, precision=PRECISION), root, jnp.isinf(weights).any()


def engineered_labels(classical: Any, quantum: Any, *, ridge: float = 0.0) -> Array:
    """The real labels, (N,), of norm sqrt(N), that are hardest for the classical kernel, relative to the quantum one.

    They saturate the geometric difference: their model complexities are in the ratio of its square. As labels of two
    classes take their signs; classes of equal size are above and below the median.

    Args:
        classical: The kernel matrix K_C, (N, N).
        quantum: The kernel matrix K_Q of the same points, training and test points together.
        ridge: As in `geometric_difference`.

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), equation
        (G4) and what follows.
    """
    inner, root, _ = _relative(classical, quantum, ridge)
    labels = jnp.matmul(root, jnp.linalg.eigh(inner)[1][:, -1], precision=PRECISION)
    return labels * jnp.sqrt(len(labels) / jnp.sum(labels**2))


def model_complexity(gram: Any, y: Any, *, ridge: float = 0.0) -> Array:
    """s_K(N): a model on this kernel errs on new points by about sqrt(s_K / N) at most.

    ``y^T sqrt(K) (K + ridge)^-2 sqrt(K) y`` for the matrix scaled to the trace N, which is y^T K^{-1} y without a
    ridge.

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), equation
        (4).
    """
    gram, y = _checked(gram, y)
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


# Approximation.


def nystroem(kernel: Callable[[Any, Any], Array], x: Any, landmarks: Any, *, cutoff: float = 1e-6) -> Array:
    """Feature vectors whose inner products approximate a kernel, from its values at some landmarks alone.

    Args:
        kernel: ``kernel(x, y)``, of points (N, d) and (M, d) to (N, M), such as `fidelity_kernel` returns.
        x: The points, (N, d); N may be large, since only the columns of the landmarks are computed.
        landmarks: (m, d), such as a random choice of the points.
        cutoff: Eigenvalues of the landmarks' kernel matrix below this part of the largest are left out.

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
    values, vectors = jnp.linalg.eigh(kernel(landmarks, landmarks))
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
    x, features = jnp.asarray(x), jnp.asarray(features)
    side = max(1, round(pairs**0.5))
    rows, columns = (jax.random.randint(k, (side,), 0, len(x)) for k in jax.random.split(key))
    approximate = jnp.matmul(features[rows], features[columns].T, precision=PRECISION)
    squares = (kernel(x[rows], x[columns]) - approximate) ** 2
    error = jnp.sqrt(squares.mean())
    spread = squares.mean(axis=1).std() / jnp.sqrt(side)  # rows are independent, entries of a row are not
    return error, jnp.where(error > 0, spread / (2 * jnp.where(error > 0, error, 1.0)), 0.0)


def _checked(gram: Any, y: Any = None, *, columns: bool = True) -> tuple[Array, Array]:
    gram = jnp.asarray(gram)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not jnp.issubdtype(gram.dtype, jnp.floating):
        raise ValueError(f"A kernel matrix must be real, of shape (N, N), but is {gram.dtype} of shape {gram.shape}.")
    if y is None:
        return gram, gram[:0]
    y = y if isinstance(y, jax.Array) else np.asarray(y)
    if y.ndim not in ((1, 2) if columns else (1,)) or len(y) != len(gram) or y.dtype.kind not in "fiub":
        raise ValueError(
            f"`y` must hold a number for each of the {len(gram)} points, (N,){', or one-hot labels (N, c)' * columns}, "
            f"but is {y.dtype} of shape {y.shape}."
        )
    return gram, jnp.asarray(y, gram.dtype)
