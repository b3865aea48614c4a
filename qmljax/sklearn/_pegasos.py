"""A support vector classifier with a quantum kernel, trained by stochastic subgradients."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from qmljax._models.protocols import Kernel
from qmljax.sklearn._matrices import kernel_matrix, modest


class PegasosQSVC(ClassifierMixin, BaseEstimator):
    """A support vector classifier trained by stochastic subgradient steps, one kernel row each.

    Several classes are told apart one against the rest.

    Args:
        quantum_kernel: As for `QSVC`.
        kernel_weights: The weights of a trainable kernel.
        C: The penalty of margin violations; the regularisation of the paper is 1 / (C N).
        num_steps: How many steps.
        bias: Whether the decision function has an offset. It is regularised like the rest, as by a constant feature.
        precomputed: Whether `fit` gets the kernel matrix (N, N), and `predict` that of test and training points, (M,
        N).
        random_state: The seed of the choice of points.

    Attributes:
        classes_: The labels, (c,).
        dual_coef_: Coefficients of the training points, (1, N) for two classes, else (c, N).
        kernel_matrix_: The kernel matrix of the training points, (N, N).

    References:
        S. Shalev-Shwartz, Y. Singer, N. Srebro, A. Cotter, "Pegasos: primal estimated sub-gradient solver for SVM",
        Math. Program. 127, 3 (2011), figure 3.
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        C: float = 1.0,  # noqa: N803
        num_steps: int = 1000,
        bias: bool = True,
        precomputed: bool = False,
        random_state: Any = None,
    ) -> None:
        self.quantum_kernel = quantum_kernel
        self.kernel_weights = kernel_weights
        self.C = C
        self.num_steps = num_steps
        self.bias = bias
        self.precomputed = precomputed
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains on points (N, d) and labels (N,), which are drawn in proportion to the weights (N,)."""
        X, y = validate_data(self, X, y)  # noqa: N806
        check_classification_targets(y)
        if not self.C > 0 or self.num_steps < 1:
            raise ValueError(f"`C` and `num_steps` must be positive, but are {self.C} and {self.num_steps}.")
        chances = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("A classifier needs at least two classes, but the labels are of one class.")
        if self.precomputed and X.shape[0] != X.shape[1]:
            raise ValueError(f"A precomputed kernel matrix must be square, but has shape {X.shape}.")
        self.kernel_matrix_ = X if self.precomputed else self._matrix(X, None)
        self.x_ = None if self.precomputed else X
        gram = self.kernel_matrix_ + (1.0 if self.bias else 0.0)
        draws = check_random_state(self.random_state).choice(len(X), self.num_steps, p=chances / chances.sum())
        positive = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        scale = self.C * len(X) / self.num_steps  # 1 / (lambda T)
        self.dual_coef_ = (
            np.stack([self._steps(gram, np.where(index == k, 1.0, -1.0), draws) for k in positive]) * scale
        )
        return self

    def __sklearn_tags__(self) -> Any:
        tags = modest(super().__sklearn_tags__())
        tags.input_tags.pairwise = self.precomputed
        return tags

    def _steps(self, gram: np.ndarray, signs: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """How often each point violated its margin, with its sign."""
        counts = np.zeros(len(gram))
        values = np.zeros(len(gram))  # gram @ counts
        for t, i in enumerate(draws):
            if t == 0 or signs[i] * values[i] * self.C * len(gram) < t:
                counts[i] += signs[i]
                values += signs[i] * gram[i]
        return counts

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Points (M, d) to values (M,) for two classes, else (M, c)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)  # noqa: N806
        matrix = X if self.precomputed else self._matrix(X, self.x_)
        values = (matrix + (1.0 if self.bias else 0.0)) @ self.dual_coef_.T
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Points (M, d) to labels (M,)."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]

    def _matrix(self, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
        return kernel_matrix(self.quantum_kernel, x, y, weights=self.kernel_weights)
