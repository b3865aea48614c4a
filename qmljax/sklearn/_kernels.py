"""Support vector machines with quantum kernels.

`QSVC` and `QSVR` are scikit-learn's own support vector machines on a quantum kernel's matrix, so all that holds for
those (any labels, several classes, sample weights, clone, pickle, pipelines, grid search) holds for these. For
estimators that take a precomputed kernel (KernelRidge, KernelPCA, SpectralClustering) no class is needed: pass them
`kernel(x)`.
"""

from collections.abc import Callable
from typing import Any, NoReturn, Self

import jax
import numpy as np
from sklearn.svm import SVC, SVR
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qmljax import gram
from qmljax._models.protocols import Kernel
from qmljax.sklearn._matrices import FLOATS, FittedKernel, dense, modest, no_probabilities
from qmljax.sklearn._options import factors_of_classes, weights_of_samples

REPAIRS: dict[str, Callable[[Any], Any]] = {
    "clip": gram.clip,
    "shift": gram.shift,
    "nearest_correlation": gram.nearest_correlation,
}


ABOUT_POINTS = ("n_features_in_", "feature_names_in_")


class _QuantumKernel:
    """The kernel of a support vector machine, whose class comes next: scikit-learn is given the matrix alone."""

    quantum_kernel: Kernel | None
    kernel_weights: Any
    repair: str | Callable | None
    support_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains on points (N, d) and labels or targets (N,), with optional weights (N,).

        A sample of weight 0 counts as one that is not there.
        """
        self._check_options()
        regression = isinstance(self, SVR)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, y_numeric=regression)  # noqa: N806
        X, y = dense(X), column_or_1d(y, warn=True)  # noqa: N806
        weights = weights_of_samples(sample_weight, X)
        rows = np.flatnonzero(weights)
        if not regression:
            check_classification_targets(y)
            if len(np.unique(y[rows])) < 2:
                raise ValueError("A classifier needs at least two classes, but the samples with weight are of 1 class.")
            factors_of_classes(getattr(self, "class_weight", None), np.unique(y[rows]))
        self.kernel_ = FittedKernel(self.quantum_kernel, self.kernel_weights, X)
        block = self.kernel_matrix_ = self.kernel_.gram()
        if len(rows) < len(X):
            block = block[np.ix_(rows, rows)]
        if self.repair is not None:
            block = self._repaired(block)
            self.kernel_matrix_ = self.kernel_matrix_.copy()
            self.kernel_matrix_[np.ix_(rows, rows)] = block
        about = {name: self.__dict__[name] for name in ABOUT_POINTS if name in self.__dict__}
        try:  # rows without weight are left out here: scikit-learn would count support vectors without them
            super().fit(block, y[rows], None if sample_weight is None else weights[rows])  # type: ignore[misc]
        finally:
            for name in ABOUT_POINTS:
                self.__dict__.pop(name, None)
            self.__dict__.update(about)
        self.support_ = rows[self.support_].astype(np.int32)
        self.shape_fit_ = X.shape
        return self

    def _check_options(self) -> None:
        self._validate_params()  # type: ignore[attr-defined]  # scikit-learn's
        for name in ("C", "epsilon", "tol", "cache_size", "max_iter"):
            if isinstance(getattr(self, name, None), bool | np.bool_):
                raise ValueError(f"`{name}` must be a number, but is {getattr(self, name)!r}.")
        if not (
            self.repair is None or callable(self.repair) or isinstance(self.repair, str) and self.repair in REPAIRS
        ):
            raise ValueError(
                f"`repair` must be one of {', '.join(map(repr, REPAIRS))}, a function of a matrix, or None, but is "
                f"{self.repair!r}."
            )

    def _repaired(self, matrix: np.ndarray) -> np.ndarray:
        repair = self.repair if callable(self.repair) else REPAIRS[str(self.repair)]
        with jax.enable_x64(True):
            repaired = np.array(repair(matrix), np.float64)
        if repaired.shape != matrix.shape:
            raise ValueError(
                f"`repair` must return a matrix of shape {matrix.shape}, but returns one of shape {repaired.shape}."
            )
        return repaired

    def __sklearn_tags__(self) -> Any:
        tags = modest(super().__sklearn_tags__())  # type: ignore[misc]  # scikit-learn's
        tags.input_tags.pairwise, tags.input_tags.sparse = False, True
        return tags

    def _validate_for_predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """What scikit-learn predicts from: the kernel matrix of these and the training points, (M, N)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)  # noqa: N806
        return self.kernel_.between(dense(X))


class QSVC(_QuantumKernel, SVC):
    """A support vector classifier with a quantum kernel.

    It has no `predict_proba`, as scikit-learn's SVC has none from version 1.11 on. ``CalibratedClassifierCV(QSVC(),
    ensemble=False)`` of `sklearn.calibration` has: it learns probabilities from decision values in cross-validation.

    Args:
        quantum_kernel: Of the kind that `fidelity_kernel` and `projected_kernel` return, or an object with a method
            ``evaluate(x, y)``, as those of Qiskit Machine Learning. Default: the fidelity kernel of Qiskit's
            `zz_feature_map` with as many qubits as the points have features.
        kernel_weights: The weights of a trainable kernel.
        repair: What to make of the kernel matrix of the training points, which the noise of shots may leave with
            negative eigenvalues: "clip", "shift" or "nearest_correlation", functions of `qmljax.gram`; or a function
            (N, N) -> (N, N), such as ``functools.partial(qmljax.gram.shrink, amount=0.1)``. Default: nothing.
        C: And the others, see `sklearn.svm.SVC`.

    Attributes:
        kernel_matrix_: The kernel matrix of the training points, (N, N), repaired where these have weight.

    Example:
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [2.0, 2.1], [2.1, 2.0]])
        >>> QSVC().fit(x, ["a", "a", "b", "b"]).predict(x).tolist()
        ['a', 'a', 'b', 'b']
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        repair: str | Callable | None = None,
        C: float = 1.0,  # noqa: N803
        shrinking: bool = True,
        tol: float = 1e-3,
        cache_size: float = 200,
        class_weight: Any = None,
        verbose: bool = False,
        max_iter: int = -1,
        decision_function_shape: str = "ovr",
        break_ties: bool = False,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            kernel="precomputed",
            C=C,
            shrinking=shrinking,
            tol=tol,
            cache_size=cache_size,
            class_weight=class_weight,
            verbose=verbose,
            max_iter=max_iter,
            decision_function_shape=decision_function_shape,
            break_ties=break_ties,
            random_state=random_state,
        )
        self.quantum_kernel = quantum_kernel
        self.kernel_weights = kernel_weights
        self.repair = repair

    @property
    def predict_proba(self) -> NoReturn:  # scikit-learn's would not say what to do
        """There are none: ``CalibratedClassifierCV(QSVC(), ensemble=False)`` has probabilities."""
        raise AttributeError(no_probabilities(self))


class QSVR(_QuantumKernel, SVR):
    """A support vector regression with a quantum kernel; the arguments are those of `QSVC` and `sklearn.svm.SVR`.

    Attributes:
        kernel_matrix_: The kernel matrix of the training points, (N, N), repaired where these have weight.
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        repair: str | Callable | None = None,
        C: float = 1.0,  # noqa: N803
        epsilon: float = 0.1,
        shrinking: bool = True,
        tol: float = 1e-3,
        cache_size: float = 200,
        verbose: bool = False,
        max_iter: int = -1,
    ) -> None:
        super().__init__(
            kernel="precomputed",
            C=C,
            epsilon=epsilon,
            shrinking=shrinking,
            tol=tol,
            cache_size=cache_size,
            verbose=verbose,
            max_iter=max_iter,
        )
        self.quantum_kernel = quantum_kernel
        self.kernel_weights = kernel_weights
        self.repair = repair
