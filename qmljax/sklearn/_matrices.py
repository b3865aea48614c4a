"""Kernel matrices that are kept for the next fit on the same points, and what all estimators share."""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from qiskit.circuit.library import z_feature_map, zz_feature_map

from qmljax._models.compiled import Compiled
from qmljax._models.kernels.fidelity import fidelity_kernel
from qmljax._models.kernels.kernel import BaseKernel

MOST_FEATURES = 12


FLOATS = [np.float64, np.float32]


KEPT = 1 << 28  # bytes of kernel matrices that are kept for the next fit on the same points


_matrices: OrderedDict[tuple[Callable, bytes], np.ndarray] = OrderedDict()


def default_map(num_features: int) -> Any:
    if num_features > MOST_FEATURES:
        raise ValueError(
            f"The default feature map has a qubit for each feature, at most {MOST_FEATURES}, but the points have "
            f"{num_features} features. Reduce them, as by PCA, or pass a feature map or kernel of your own."
        )
    return zz_feature_map(num_features) if num_features > 1 else z_feature_map(1)


@functools.lru_cache(maxsize=32)
def default_kernel(num_features: int) -> Callable:
    return fidelity_kernel(default_map(num_features))


def read_kernel(
    kernel: Any, weights: Any, features: int, name: str = "quantum_kernel"
) -> tuple[Callable, np.ndarray | None]:
    """A kernel as a function, and its weights (W,), checked; None stands for the kernel of `zz_feature_map`."""
    if kernel is None:
        kernel = default_kernel(features)
    if not callable(kernel):
        if not callable(getattr(kernel, "evaluate", None)):
            hint = "For a kernel matrix use sklearn.svm.SVC(kernel='precomputed'). " * (
                isinstance(kernel, str) and kernel == "precomputed"
            )
            raise TypeError(
                "`quantum_kernel` must be what qmljax.fidelity_kernel or qmljax.projected_kernel returns, or have a "
                f"method `evaluate(x, y)`, but is {kernel!r}. {hint or 'Build one from a feature map.'}".rstrip()
            )
        if weights is not None:
            raise TypeError(
                f"`kernel_weights` are of kernels of qmljax, but the kernel is a {type(kernel).__name__}. Assign its "
                "parameters in the object itself, and leave `kernel_weights` out."
            )
        kernel = kernel.evaluate
    weights = None if weights is None else np.array(weights)
    if isinstance(kernel, BaseKernel):
        if kernel.num_features != features:
            raise ValueError(
                f"`{name}` is of points with {kernel.num_features} features, but X has {features} features. "
                "There must be as many."
            )
        shape, given = (kernel.num_weights,), (0,) if weights is None else weights.shape
        if given != shape:
            names = ", ".join([kernel.program.parameters[k] for k in kernel.weights][:8])
            what = f"one for each of {names}" if names else "since the kernel has none: leave them out"
            raise ValueError(f"`kernel_weights` must have shape {shape}, {what}, but have shape {given}.")
        if weights is not None and not (weights.dtype.kind in "fiu" and np.isfinite(weights).all()):
            raise ValueError(f"`kernel_weights` must be finite real numbers, but are {weights.tolist()}.")
    return kernel, weights


class FittedKernel:
    """The kernel of an estimator, and its training points: what `predict` needs, whatever is set after `fit`.

    Args:
        kernel: What the estimator was given, or None for the kernel of `zz_feature_map`.
        weights: Of the kernel.
        x: The training points, (N, d).
    """

    def __init__(self, kernel: Any, weights: Any, x: np.ndarray) -> None:
        self.kernel, self.weights = read_kernel(kernel, weights, x.shape[1])
        self.x = x.copy()  # the caller may write to them

    def gram(self) -> np.ndarray:
        """The kernel matrix of the training points, (N, N)."""
        return self._checked(kernel_matrix(self.kernel, self.x, weights=self.weights), self.x)

    def between(self, x: np.ndarray) -> np.ndarray:
        """The kernel matrix of points (M, d) and the training points, (M, N)."""
        return self._checked(kernel_matrix(self.kernel, x, self.x, weights=self.weights), x)

    def _checked(self, matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
        if matrix.shape != (len(x), len(self.x)):
            raise ValueError(
                f"`quantum_kernel` must return a matrix of shape {(len(x), len(self.x))}, but returned one of shape "
                f"{matrix.shape}."
            )
        if not np.isfinite(matrix).all():
            row = int(np.argwhere(~np.isfinite(matrix))[0][0])
            raise ValueError(
                f"`quantum_kernel` must return finite numbers, but gives NaN or infinity for row {row} of X. Leave out "
                "the point, or look at what the kernel makes of it."
            )
        return matrix


def kernel_matrix(
    kernel: Callable | None, x: Any, y: Any = None, *, weights: Any = None, keep: bool = True
) -> np.ndarray:
    """A kernel matrix as float64. That of a kernel of qmljax is kept: the next call with equal arguments is for free.

    Points in double precision, scikit-learn's default, are computed with in double precision, whatever JAX is set to.

    Args:
        kernel: Of the kind that `fidelity_kernel` returns; None stands for that of `zz_feature_map`.
        x: Points, (N, d).
        y: Points, (M, d), or None for those of `x`.
        weights: Of the kernel, if it has any.
        keep: Whether to keep it.

    Returns:
        An array (N, M), not to be written to.
    """
    x = np.ascontiguousarray(dense(x))
    y = None if y is None else np.ascontiguousarray(dense(y))
    kernel = default_kernel(x.shape[1]) if kernel is None else kernel
    given = {} if weights is None else {"weights": weights}
    if not (keep and isinstance(kernel, Compiled)):  # others may change in place, or have no hash
        with jax.enable_x64(x.dtype != np.float32):
            return np.asarray(kernel(x, y, **given), np.float64)
    digest = hashlib.sha256()
    for array in (x, y, weights):
        array = None if array is None else np.ascontiguousarray(array)
        digest.update(b"none" if array is None else repr((array.shape, array.dtype)).encode() + array.tobytes())
    key = kernel, digest.digest()
    if key in _matrices:
        _matrices.move_to_end(key)
        return _matrices[key]
    with jax.enable_x64(x.dtype != np.float32):
        matrix = np.asarray(kernel(x, y, **given), np.float64)
    matrix.flags.writeable = False
    _matrices[key] = matrix
    while len(_matrices) > 1 and sum(m.nbytes for m in _matrices.values()) > KEPT:
        _matrices.popitem(last=False)
    return matrix


def modest(tags: Any) -> Any:
    """The default kernel is periodic in the features: on data that are not scaled to angles its scores are poor."""
    for of_kind in (tags.classifier_tags, tags.regressor_tags):
        if of_kind is not None:
            of_kind.poor_score = True
    return tags


def dense(x: Any) -> np.ndarray:
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def no_probabilities(estimator: Any) -> str:
    """What to say to someone who asks a support vector machine for probabilities."""
    name = type(estimator).__name__
    return (
        f"{name} has no predict_proba: a support vector machine decides without probabilities. To learn them from its "
        f"decision values, use sklearn.calibration.CalibratedClassifierCV({name}(...), ensemble=False)."
    )
