"""A support vector classifier with a quantum kernel, trained by stochastic subgradients."""

from typing import Any, NoReturn, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qmljax._checks import check_count, check_flag, check_number
from qmljax._models.protocols import Kernel
from qmljax.sklearn._matrices import FittedKernel, dense, modest, no_probabilities
from qmljax.sklearn._options import generator, weights_of_classes, weights_of_samples
from qmljax.sklearn._saved import Saved, array_of, can_be_saved, kernel_from, kernel_to, labels_from, labels_to


@can_be_saved
class PegasosQSVC(Saved, ClassifierMixin, BaseEstimator):
    """A support vector classifier trained by stochastic subgradient steps, one kernel row each.

    Several classes are told apart one against the rest. It has no `predict_proba`; see `QSVC` for probabilities.

    Args:
        quantum_kernel: Of the kind that `fidelity_kernel` and `projected_kernel` return, or an object with a method
            ``evaluate(x, y)``, as those of Qiskit Machine Learning. Default: the fidelity kernel of Qiskit's
            `zz_feature_map` with as many qubits as the points have features.
        kernel_weights: The weights of a trainable kernel, (W,).
        C: The penalty of margin violations; the regularisation of the paper is 1 / (C N), N being the sum of weights.
        num_steps: How many steps.
        class_weight: Factors of `C` for the classes, {label: factor}, or "balanced": as if each class had as many
            samples. Default: 1 each.
        bias: Whether the decision function has an offset. It is regularised like the rest, as by a constant feature.
        precomputed: Whether `fit` gets the kernel matrix (N, N), and `predict` that of test and training points, (M,
        N).
        random_state: The seed of the choice of points.

    Attributes:
        classes_: The labels, (c,).
        dual_coef_: Coefficients of the training points, (1, N) for two classes, else (c, N).
        kernel_matrix_: The kernel matrix of the training points, (N, N).

    Example:
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [2.0, 2.1], [2.1, 2.0]])
        >>> PegasosQSVC(num_steps=100, random_state=0).fit(x, ["a", "a", "b", "b"]).predict(x).tolist()
        ['a', 'a', 'b', 'b']

    References:
        S. Shalev-Shwartz, Y. Singer, N. Srebro, A. Cotter, "Pegasos: primal estimated sub-gradient solver for SVM",
        Math. Program. 127, 3 (2011), figure 3.
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        C: float = 1.0,
        num_steps: int = 1000,
        class_weight: Any = None,
        bias: bool = True,
        precomputed: bool = False,
        random_state: Any = None,
    ) -> None:
        self.quantum_kernel = quantum_kernel
        self.kernel_weights = kernel_weights
        self.C = C
        self.num_steps = num_steps
        self.class_weight = class_weight
        self.bias = bias
        self.precomputed = precomputed
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on points and their labels.

        Args:
            X: Points (N, d); or, if `precomputed`, the kernel matrix (N, N).
            y: Labels (N,).
            sample_weight: Weights (N,), in proportion to which points are drawn. A weight multiplies `C`, as in `QSVC`:
                2 is as good as a sample twice, 0 as none. Default: 1 each.

        Returns:
            The estimator itself.

        Raises:
            TypeError: An option is of another type.
            ValueError: The data are not finite, there is one class alone, a precomputed matrix is not square, or an
                option is out of range.
        """
        self._check_options()
        X, y = validate_data(self, X, y, accept_sparse="csr")
        X = dense(X)
        check_classification_targets(y)
        weights = weights_of_samples(sample_weight, X)
        self.classes_ = np.unique(y[weights > 0])
        if len(self.classes_) < 2:
            raise ValueError("A classifier needs at least two classes, but the labels with weight are of one class.")
        there = weights > 0
        weights[there] = weights_of_classes(self.class_weight, self.classes_, y[there], weights[there])
        if self.precomputed and X.shape[0] != X.shape[1]:
            raise ValueError(f"A precomputed kernel matrix must be square, but has shape {X.shape}.")
        self.kernel_ = None if self.precomputed else FittedKernel(self.quantum_kernel, self.kernel_weights, X)
        self.kernel_matrix_ = X if self.kernel_ is None else self.kernel_.gram()
        self.offset_ = 1.0 if self.bias else 0.0
        gram = self.kernel_matrix_ + self.offset_
        total = weights.sum()
        draws = generator(self.random_state).choice(len(X), self.num_steps, p=weights / total)
        positive = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        strength = self.C * total  # 1 / lambda
        counts = [_violations(gram, np.where(y == label, 1.0, -1.0), draws, strength) for label in positive]
        self.dual_coef_ = np.stack(counts) * (strength / self.num_steps)
        return self

    def _learned(self) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
        model, arrays = (None, {}) if self.kernel_ is None else kernel_to(self.kernel_)
        arrays |= {"matrix": self.kernel_matrix_, "dual_coef": self.dual_coef_}
        return model, labels_to(self.classes_) | {"offset": self.offset_}, arrays

    def _relearn(self, model: Any, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.kernel_ = None if model is None else FittedKernel(*kernel_from(model, arrays, about["n_features_in_"]))
        self.classes_, self.offset_ = labels_from(about), float(about["offset"])
        points = len(arrays["matrix"]) if self.kernel_ is None else len(self.kernel_.x)
        rows = len(self.classes_) if len(self.classes_) > 2 else 1
        self.kernel_matrix_ = array_of(arrays, "matrix", (points, points))
        self.dual_coef_ = array_of(arrays, "dual_coef", (rows, points))

    def _check_options(self) -> None:
        check_number(self.C, "C", above=True)
        check_count(self.num_steps, "num_steps")
        check_flag(self.bias, "bias"), check_flag(self.precomputed, "precomputed")

    def __sklearn_tags__(self) -> Any:
        tags = modest(super().__sklearn_tags__())
        tags.input_tags.pairwise, tags.input_tags.sparse = self.precomputed, True
        return tags

    @property
    def predict_proba(self) -> NoReturn:
        """There are none: ``CalibratedClassifierCV(PegasosQSVC(), ensemble=False)`` has probabilities."""
        raise AttributeError(no_probabilities(self))

    @property
    def predict_log_proba(self) -> NoReturn:
        """There are none: ``CalibratedClassifierCV(PegasosQSVC(), ensemble=False)`` has probabilities."""
        raise AttributeError(no_probabilities(self))

    def decision_function(self, X: Any) -> np.ndarray:
        """The decision values of points.

        Args:
            X: Points (M, d); or, if `precomputed`, the kernel matrix of these and the training points, (M, N).

        Returns:
            Of shape (M,) for two classes, positive for the second; else (M, c).

        Raises:
            NotFittedError: It is not trained.
            ValueError: The points have another number of features than those it was trained on.
        """
        check_is_fitted(self)
        X = dense(validate_data(self, X, accept_sparse="csr", reset=False))
        matrix = X if self.kernel_ is None else self.kernel_.between(X)
        values = (matrix + self.offset_) @ self.dual_coef_.T
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: Any) -> np.ndarray:
        """The classes of points.

        Args:
            X: Points (M, d); or, if `precomputed`, the kernel matrix of these and the training points, (M, N).

        Returns:
            Labels (M,).
        """
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]


def _violations(gram: np.ndarray, signs: np.ndarray, draws: np.ndarray, strength: float) -> np.ndarray:
    """How often each point, of those drawn, violated its margin, with its sign."""
    counts = np.zeros(len(gram))
    values = np.zeros(len(gram))  # gram @ counts
    for t, i in enumerate(draws):
        if t == 0 or signs[i] * values[i] * strength < t:
            counts[i] += signs[i]
            values += signs[i] * gram[i]
    return counts
