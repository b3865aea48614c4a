"""Losses to train a kernel by: what a machine with the kernel's matrix reaches on the labels."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_number
from qmljax._meshes import everywhere
from qmljax.gram._checks import PRECISION, check_gram, check_labels, on_meshes


@on_meshes
def svc_loss(gram: Any, y: Any, *, C: float = 1.0) -> Array:
    """The optimum of the dual of a support vector classifier: what `QuantumKernelTrainer` minimises by default.

    Args:
        gram: A kernel matrix, (N, N).
        y: Labels of two classes, (N,): the larger value is the positive class. Of several classes take the sum of the
            losses of pairs or of one against the rest.
        C: The penalty of margin violations.

    Returns:
        The largest ``sum(a) - sum_ij a_i a_j y_i y_j K_ij / 2`` with 0 <= a_i <= C and sum_i a_i y_i = 0. Solved by
        scikit-learn, and differentiable once in `gram`. Where labels have no values yet, while JAX traces, as in `fit`,
        or lie with several processes: 0 for labels of one class, as a mini-batch may have, and NaN for three and more.

    Raises:
        ImportError: scikit-learn is missing.
        TypeError: `C` is traced by JAX.
        ValueError: `y` does not hold two classes, or `C` is not positive.

    Example:
        >>> svc_loss(jnp.eye(2), jnp.array([1.0, -1.0]))  # a = 1, 1
        Array(1., dtype=float32)

    References:
        J. R. Glick et al., "Covariant quantum kernels for data with group structure", Nature Physics 20, 479 (2024),
        equation (9).
    """
    gram, y = _checked(gram, y)
    solve = functools.partial(_solve_svc, _svm(), C=_number("C", C))
    if not isinstance(y, jax.core.Tracer) and y.is_fully_addressable and len(np.unique(y)) != 2:
        raise ValueError(
            f"`y` must hold two classes, but has the values {np.unique(y)[:8].tolist()}. Of several classes take the "
            "sum of the losses of one against the rest, `jnp.where(y == k, 1, -1)`."
        )
    high, low = y.max(), y.min()
    strange = jnp.any((y != high) & (y != low))  # a third class, or NaN
    optimum = _dual_optimum(gram, jnp.where(y == high, 1.0, -1.0).astype(gram.dtype), solve)
    return optimum * jnp.where(strange, jnp.nan, 1.0).astype(gram.dtype)  # and so is its gradient


@on_meshes
def svr_loss(gram: Any, y: Any, *, C: float = 1.0, epsilon: float = 0.1) -> Array:
    """The optimum of the dual of a support vector regression, with an offset.

    Args:
        gram: A kernel matrix, (N, N).
        y: Real labels, (N,).
        C: The penalty of an error beyond `epsilon`, a positive number.
        epsilon: The error that costs nothing, 0 or more, in the unit of `y`.

    Returns:
        The largest ``y.b - epsilon |b|_1 - b^T K b / 2`` with |b_i| <= C and sum(b) = 0, a number. Solved by
        scikit-learn, and differentiable once in `gram`.

    Raises:
        ImportError: scikit-learn is missing.
        TypeError: `C` or `epsilon` is traced by JAX.
        ValueError: `gram` is no kernel matrix, `y` is of other points, or `C` or `epsilon` is out of range.

    Example:
        >>> svr_loss(jnp.eye(2), jnp.array([1.0, -1.0]), C=10.0, epsilon=0.1)  # b = 0.9, -0.9
        Array(0.81, dtype=float32)

    References:
        B. Schoelkopf, A. J. Smola, "Learning with Kernels" (2002), chapter 9.
    """
    gram, y = _checked(gram, y)
    epsilon = _number("epsilon", epsilon, zero=True)
    return _dual_optimum(gram, y, functools.partial(_solve_svr, _svm(), C=_number("C", C), epsilon=epsilon), epsilon)


@on_meshes
def squared_loss(gram: Any, y: Any, *, ridge: float = 1.0) -> Array:
    """Half the least ``|f - y|**2 + ridge |f|_K**2`` that a function f can reach: kernel ridge regression.

    Args:
        gram: A kernel matrix, (N, N).
        y: Labels, (N,), or (N, c), whose columns add up.
        ridge: The weight of the norm, a positive number, which may be traced.

    Returns:
        ``ridge y^T (K + ridge)^{-1} y / 2``, a number, differentiable to any order.

    Raises:
        ValueError: `gram` is no kernel matrix, `y` is of other points, or `ridge` is not positive.

    Example:
        >>> squared_loss(jnp.eye(2), jnp.array([1.0, -1.0]), ridge=1.0)
        Array(0.5, dtype=float32)

    References:
        C. Saunders, A. Gammerman, V. Vovk, "Ridge regression learning algorithm in dual variables", ICML (1998).
    """
    gram = check_gram(gram)
    y = check_labels(y, gram)
    ridge = check_number(ridge, "ridge", above=True)
    ridge = ridge if isinstance(ridge, jax.Array) else float(ridge)
    matrix = gram + ridge * jnp.eye(len(gram), dtype=gram.dtype)
    return ridge * jnp.sum(y * jax.scipy.linalg.solve(matrix, y, assume_a="pos")) / 2


@on_meshes
def huber_loss(gram: Any, y: Any, *, delta: float = 1.0, ridge: float = 1.0) -> Array:
    """The least ``sum_i h(f_i - y_i) + ridge |f|_K**2 / 2``, h being Huber's loss: a square up to `delta`, then linear.

    Args:
        gram: A kernel matrix, (N, N).
        y: Real labels, (N,).
        delta: Where ``h(r) = r**2 / 2`` becomes ``delta |r| - delta**2 / 2``, a positive number, in the unit of `y`.
        ridge: The weight of the norm, a positive number.

    Returns:
        A number, differentiable once in `gram`. Solved by SciPy.

    Raises:
        TypeError: `delta` or `ridge` is traced by JAX.
        ValueError: `gram` is no kernel matrix, `y` is of other points, or `delta` or `ridge` is not positive.

    Example:
        >>> huber_loss(jnp.eye(2), jnp.array([1.0, -1.0]), delta=10.0)  # as half of the squares
        Array(0.5, dtype=float32)

    References:
        B. Schoelkopf, A. J. Smola, "Learning with Kernels" (2002), chapter 9.
    """
    gram, y = _checked(gram, y)
    delta, ridge = _number("delta", delta), _number("ridge", ridge)
    solve = functools.partial(_solve_box, bound=delta / ridge, quadratic=ridge)
    return ridge * _dual_optimum(gram, y, solve, quadratic=ridge)


@on_meshes
def absolute_loss(gram: Any, y: Any, *, ridge: float = 1.0) -> Array:
    """The least ``sum_i |f_i - y_i| + ridge |f|_K**2 / 2`` that a function f can reach.

    Args:
        gram: A kernel matrix, (N, N).
        y: Real labels, (N,).
        ridge: The weight of the norm, a positive number.

    Returns:
        A number, differentiable once in `gram`. Solved by SciPy.

    Raises:
        TypeError: `ridge` is traced by JAX.
        ValueError: `gram` is no kernel matrix, `y` is of other points, or `ridge` is not positive.

    Example:
        >>> absolute_loss(jnp.eye(2), jnp.array([1.0, -1.0]), ridge=0.5)  # f = y
        Array(0.5, dtype=float32)

    References:
        B. Schoelkopf, A. J. Smola, "Learning with Kernels" (2002), chapter 9.
    """
    gram, y = _checked(gram, y)
    ridge = _number("ridge", ridge)
    return ridge * _dual_optimum(gram, y, functools.partial(_solve_box, bound=1 / ridge, quadratic=0.0))


def _checked(gram: Any, y: Any) -> tuple[Array, Array]:
    gram = check_gram(gram)
    y = check_labels(y, gram, columns=False)
    if not len(y):
        raise ValueError("A loss needs points, but the kernel matrix has shape (0, 0).")
    return gram, y


def _number(name: str, value: Any, *, zero: bool = False) -> float:
    """A positive number with a value: the solver on the host is given it as such, and it has no derivative."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"`{name}` must be a number, but JAX traces it: pass it as a number, such as 1.0, from outside of `jit`, "
            "`vmap` or `grad`."
        )
    return float(check_number(value, name, above=not zero))


def _dual_optimum(
    gram: Array,
    y: Array,
    solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
    linear: float = 0.0,
    quadratic: float = 0.0,
) -> Array:
    """y.b - linear |b|_1 - b^T (K + quadratic) b / 2 at the b that `solve` finds on the host."""
    b = _on_the_host(functools.partial(_solved, solve), lax.stop_gradient(gram), lax.stop_gradient(y))
    products = jnp.matmul(gram, b, precision=PRECISION) + quadratic * b
    return jnp.sum(y * b) - linear * jnp.abs(b).sum() - jnp.sum(b * products) / 2


def _on_the_host(function: Callable[[np.ndarray, np.ndarray], np.ndarray], gram: Array, y: Array) -> Array:
    """`function` of arrays in double precision on the host, in the shape and dtype of `y`.

    Bits cross the border, as integers of 32 bits: the thread that calls back does not know of `jax.enable_x64`, and
    would round, and refuse, what has 64.
    """
    dtype = np.dtype(np.float64 if y.dtype.itemsize == 8 else np.float32)  # of what crosses
    lies = gram  # on several devices, perhaps, of which one calls back
    gram, y = everywhere(gram, lies), everywhere(y, lies)
    if _spread_out(gram, y):  # an array is no program, in which that could be said
        found = function(*(np.asarray(a).astype(float) for a in (gram, y)))
        return everywhere(jnp.asarray(found.astype(y.dtype)), lies)

    def call(*bits: Any) -> np.ndarray:
        matrix, labels = (np.ascontiguousarray(b).view(dtype).astype(float) for b in bits)
        found = function(matrix.reshape(shapes[0]), labels.reshape(shapes[1])).astype(dtype)
        return found.view(np.uint32).reshape(out.shape)

    shapes = gram.shape, y.shape
    given = [lax.bitcast_convert_type(a.astype(dtype), np.uint32) for a in (gram, y)]
    out = jax.ShapeDtypeStruct(given[1].shape, np.uint32)
    found = jax.pure_callback(call, out, *given, vmap_method="sequential")
    return lax.bitcast_convert_type(everywhere(found, lies), dtype).astype(y.dtype)


def _spread_out(*arrays: Array) -> bool:
    """Whether the numbers of all arrays are there, on several devices."""
    return not any(isinstance(a, jax.core.Tracer) for a in arrays) and any(len(a.devices()) > 1 for a in arrays)


def _solved(solve: Callable[[np.ndarray, np.ndarray], np.ndarray], gram: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What `solve` finds, and NaN where it finds nothing: an exception would end the program that calls back."""
    if not (np.isfinite(gram).all() and np.isfinite(y).all()):
        return np.full(len(y), np.nan)
    try:
        return solve(gram, y)
    except Exception:
        return np.full(len(y), np.nan)


def _solve_svc(svm: Any, gram: np.ndarray, y: np.ndarray, C: float) -> np.ndarray:
    b = np.zeros(len(y))
    if (y == y[0]).all():  # one class: sum_i a_i y_i = 0 leaves a = 0
        return b
    machine = svm.SVC(kernel="precomputed", C=C, tol=1e-8).fit(gram, y)
    b[machine.support_] = machine.dual_coef_[0]
    return b


def _solve_svr(svm: Any, gram: np.ndarray, y: np.ndarray, C: float, epsilon: float) -> np.ndarray:
    b = np.zeros(len(y))
    if len(y) == 1:
        return b
    machine = svm.SVR(kernel="precomputed", C=C, epsilon=epsilon, tol=1e-8).fit(gram, y)
    b[machine.support_] = machine.dual_coef_[0]
    return b


def _solve_box(gram: np.ndarray, y: np.ndarray, bound: float, quadratic: float) -> np.ndarray:
    from scipy.optimize import minimize

    def objective(b: np.ndarray) -> tuple[float, np.ndarray]:
        products = gram @ b + quadratic * b
        return b @ products / 2 - y @ b, products - y

    start = np.clip(y, -bound, bound)
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10}
    return minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(-bound, bound)] * len(y), options=options).x


def _svm() -> Any:
    try:
        from sklearn import svm
    except ImportError:
        raise ImportError("This loss needs scikit-learn: pip install 'qmljax[sklearn]'.") from None
    return svm
