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
from qmljax.sklearn._saved import Saved, array_of, can_be_saved, kernel_from, kernel_to, labels_from, labels_to

REPAIRS: dict[str, Callable[[Any], Any]] = {
    "clip": gram.clip,
    "shift": gram.shift,
    "nearest_correlation": gram.nearest_correlation,
}


ABOUT_POINTS = ("n_features_in_", "feature_names_in_")


class _QuantumKernel(Saved):
    """The kernel of a support vector machine, whose class comes next: scikit-learn is given the matrix alone."""

    quantum_kernel: Kernel | None
    kernel_weights: Any
    repair: str | Callable | None
    support_: np.ndarray
    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on points and their labels or targets.

        Args:
            X: Points (N, d), angles in radians or what the feature map makes of them.
            y: Labels, or targets of a regression, (N,).
            sample_weight: Weights (N,), factors of `C`. A sample of weight 0 counts as one that is not there. Default:
                1 each.

        Returns:
            The estimator itself.

        Raises:
            ValueError: The data are not finite, there is one class alone, the kernel takes another number of features,
                or an option is out of range.
        """
        self._check_options()
        regression = isinstance(self, SVR)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, y_numeric=regression)
        X, y = dense(X), column_or_1d(y, warn=True)
        weights = weights_of_samples(sample_weight, X)
        rows = np.flatnonzero(weights)
        if not regression:
            check_classification_targets(y)
            if len(np.unique(y[rows])) < 2:
                raise ValueError("A classifier needs at least two classes, but the samples with weight are of 1 class.")
            factors = factors_of_classes(getattr(self, "class_weight", None), np.unique(y[rows]))
            if factors is not None and not factors.all():
                raise ValueError(
                    "`class_weight` must be above 0 for each class of a support vector machine, but is "
                    f"{self.class_weight!r}. Leave the samples of a class out instead."  # type: ignore[attr-defined]  # QSVC's
                )
        self.kernel_ = FittedKernel(self.quantum_kernel, self.kernel_weights, X)
        matrix = self.kernel_.gram()
        if self.repair is not None:
            block, matrix = np.ix_(rows, rows), matrix.copy()
            matrix[block] = self._repaired(matrix[block])
        return self._solve(matrix, y, None if sample_weight is None else weights)

    def _solve(self, matrix: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> Self:
        """Trains on a kernel matrix (N, N), labels or targets (N,) and weights (N,)."""
        self.kernel_matrix_ = matrix
        self._learned_from = y, weights, self.get_params(deep=False)  # type: ignore[attr-defined]  # scikit-learn's
        about = {name: self.__dict__[name] for name in ABOUT_POINTS if name in self.__dict__}
        # Rows without weight are left out here: scikit-learn would count support vectors without them.
        rows = np.arange(len(matrix)) if weights is None else np.flatnonzero(weights)
        block = matrix if len(rows) == len(matrix) else matrix[np.ix_(rows, rows)]
        try:
            super().fit(block, y[rows], None if weights is None else weights[rows])  # type: ignore[misc]  # scikit-learn's
        finally:
            for name in ABOUT_POINTS:
                self.__dict__.pop(name, None)
            self.__dict__.update(about)
        self.support_ = rows[self.support_].astype(np.int32)
        self.shape_fit_ = self.kernel_.x.shape
        return self

    def _learned(self) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
        """What was solved, not the solution: scikit-learn finds it again, to the bit, in whatever version."""
        y, weights, settings = self._learned_from
        now = self.get_params(deep=False)  # type: ignore[attr-defined]  # scikit-learn's
        if changed := [name for name, value in settings.items() if now[name] is not value]:
            raise ValueError(
                f"`{'`, `'.join(changed)}` must be as they were when the estimator was trained, but were set since. "
                "Call `fit`, or set them again."
            )
        model, arrays = kernel_to(self.kernel_)
        arrays |= {"matrix": self.kernel_matrix_} | ({} if weights is None else {"weights": weights})
        if isinstance(self, SVR):
            return model, {}, arrays | {"targets": np.asarray(y, np.float64)}
        place = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)  # others are without weight
        return model, labels_to(self.classes_), arrays | {"targets": place}

    def _relearn(self, model: Any, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self._check_options()
        self.kernel_ = FittedKernel(*kernel_from(model, arrays, about["n_features_in_"]))
        points = len(self.kernel_.x)
        y = array_of(arrays, "targets", (points,))
        weights = array_of(arrays, "weights", (points,)) if "weights" in arrays else None
        if not isinstance(self, SVR):
            y = labels_from(about)[np.ravel_multi_index((y,), (len(about["classes"]),))]
        self._solve(array_of(arrays, "matrix", (points, points)), y, weights)

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

    def _validate_for_predict(self, X: Any) -> np.ndarray:
        """What scikit-learn predicts from: the kernel matrix of these and the training points, (M, N)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        return self.kernel_.between(dense(X))


@can_be_saved
class QSVC(_QuantumKernel, SVC):
    """A support vector classifier with a quantum kernel.

    It has no `predict_proba`, as scikit-learn's SVC has none from version 1.11 on. ``CalibratedClassifierCV(QSVC(),
    ensemble=False)`` of `sklearn.calibration` has: it learns probabilities from decision values in cross-validation.

    Args:
        quantum_kernel: Of the kind that `fidelity_kernel` and `projected_kernel` return, or an object with a method
            ``evaluate(x, y)``, as those of Qiskit Machine Learning. Default: the fidelity kernel of Qiskit's
            `zz_feature_map` with as many qubits as the points have features.
        kernel_weights: The weights of a trainable kernel, (W,).
        repair: What to make of the kernel matrix of the training points, which the noise of shots may leave with
            negative eigenvalues: "clip", "shift" or "nearest_correlation", functions of `qmljax.gram`; or a function
            (N, N) -> (N, N), such as ``functools.partial(qmljax.gram.shrink, amount=0.1)``. Default: nothing.
        C: The penalty of margin violations, above 0.
        shrinking: Whether the solver leaves out, meanwhile, what will hardly change.
        tol: By how much the solver may miss the conditions of the optimum.
        cache_size: Of the solver, in megabytes.
        class_weight: Factors of `C` for the classes, {label: factor}, or "balanced": as if each class had as many
            samples. Default: 1 each.
        verbose: Whether the solver prints what it does.
        max_iter: The most iterations of the solver; -1 for no limit.
        decision_function_shape: Of several classes "ovr", a value for each, or "ovo", one for each pair.
        break_ties: Whether `predict` breaks ties by the decision values of "ovr".
        random_state: Not used: nothing here is random.

    Attributes:
        kernel_matrix_: The kernel matrix of the training points, (N, N), repaired where these have weight.
        classes_: The labels, (c,).
        support_: The places of the support vectors among the training points.
        dual_coef_: Their coefficients, (c - 1, support vectors).

    Example:
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [2.0, 2.1], [2.1, 2.0]])
        >>> QSVC().fit(x, ["a", "a", "b", "b"]).predict(x).tolist()
        ['a', 'a', 'b', 'b']

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        repair: str | Callable | None = None,
        C: float = 1.0,
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

    @property
    def predict_log_proba(self) -> NoReturn:
        """There are none: ``CalibratedClassifierCV(QSVC(), ensemble=False)`` has probabilities."""
        raise AttributeError(no_probabilities(self))


@can_be_saved
class QSVR(_QuantumKernel, SVR):
    """A support vector regression with a quantum kernel.

    Args:
        quantum_kernel: Of the kind that `fidelity_kernel` and `projected_kernel` return, or an object with a method
            ``evaluate(x, y)``, as those of Qiskit Machine Learning. Default: the fidelity kernel of Qiskit's
            `zz_feature_map` with as many qubits as the points have features.
        kernel_weights: The weights of a trainable kernel, (W,).
        repair: What to make of the kernel matrix of the training points, which the noise of shots may leave with
            negative eigenvalues: "clip", "shift" or "nearest_correlation", functions of `qmljax.gram`; or a function
            (N, N) -> (N, N), such as ``functools.partial(qmljax.gram.shrink, amount=0.1)``. Default: nothing.
        C: The penalty of errors beyond `epsilon`, above 0.
        epsilon: The error that costs nothing, 0 or more, in the unit of the targets.
        shrinking: Whether the solver leaves out, meanwhile, what will hardly change.
        tol: By how much the solver may miss the conditions of the optimum.
        cache_size: Of the solver, in megabytes.
        verbose: Whether the solver prints what it does.
        max_iter: The most iterations of the solver; -1 for no limit.

    Attributes:
        kernel_matrix_: The kernel matrix of the training points, (N, N), repaired where these have weight.
        support_: The places of the support vectors among the training points.
        dual_coef_: Their coefficients, (1, support vectors).

    Example:
        >>> x = np.linspace(0, 2, 10)[:, None]
        >>> QSVR(C=10, epsilon=0.01).fit(x, np.cos(2 * x[:, 0])).score(x, np.cos(2 * x[:, 0])) > 0.99
        True

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        repair: str | Callable | None = None,
        C: float = 1.0,
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
