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


def kernel_matrix(kernel: Callable | None, x: Any, y: Any = None, *, weights: Any = None) -> np.ndarray:
    """A kernel matrix as float64. That of a kernel of qmljax is kept: the next call with equal arguments is for free.

    Points in double precision, scikit-learn's default, are computed with in double precision, whatever JAX is set to.

    Args:
        kernel: Of the kind that `fidelity_kernel` returns; None stands for that of `zz_feature_map`.
        x: Points, (N, d).
        y: Points, (M, d), or None for those of `x`.
        weights: Of the kernel, if it has any.

    Returns:
        An array (N, M), not to be written to.
    """
    x = np.ascontiguousarray(dense(x))
    y = None if y is None else np.ascontiguousarray(dense(y))
    kernel = default_kernel(x.shape[1]) if kernel is None else kernel
    given = {} if weights is None else {"weights": weights}
    if not isinstance(kernel, Compiled):  # may be changed in place, or not be hashable
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
