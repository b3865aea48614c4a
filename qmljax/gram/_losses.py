"""Losses to train a kernel by: what a machine with the kernel's matrix reaches on the labels."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax.gram._checks import PRECISION, checked


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
    gram, y = checked(gram, y, columns=False)
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
    gram, y = checked(gram, y, columns=False)
    return _dual_optimum(gram, y, functools.partial(_solve_svr, C=C, epsilon=epsilon), epsilon)


def squared_loss(gram: Any, y: Any, *, ridge: float = 1.0) -> Array:
    """Half the least ``|f - y|**2 + ridge |f|_K**2`` that a function f can reach: kernel ridge regression.

    In closed form, ``ridge y^T (K + ridge)^{-1} y / 2``; differentiable to any order. `y` may be (N,) or (N, c).
    """
    gram, y = checked(gram, y)
    if not isinstance(ridge, jax.core.Tracer) and not ridge > 0:
        raise ValueError(f"`ridge` must be positive, but is {ridge!r}.")
    matrix = gram + ridge * jnp.eye(len(gram), dtype=gram.dtype)
    return ridge * jnp.sum(y * jax.scipy.linalg.solve(matrix, y, assume_a="pos")) / 2


def huber_loss(gram: Any, y: Any, *, delta: float = 1.0, ridge: float = 1.0) -> Array:
    """The least ``sum_i h(f_i - y_i) + ridge |f|_K**2 / 2``, h being Huber's loss: a square up to `delta`, then linear.

    `y` is real, (N,). Differentiable once in `gram`.
    """
    gram, y = checked(gram, y, columns=False)
    solve = functools.partial(_solve_box, bound=delta / ridge, quadratic=ridge)
    return ridge * _dual_optimum(gram, y, solve, quadratic=ridge)


def absolute_loss(gram: Any, y: Any, *, ridge: float = 1.0) -> Array:
    """The least ``sum_i |f_i - y_i| + ridge |f|_K**2 / 2``; `y` is real, (N,). Differentiable once in `gram`."""
    gram, y = checked(gram, y, columns=False)
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
