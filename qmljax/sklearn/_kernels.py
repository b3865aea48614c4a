"""Support vector machines with quantum kernels.

`QSVC` and `QSVR` are scikit-learn's own support vector machines with a quantum kernel in them, so all that holds for
those (any labels, several classes, sample weights, clone, pickle, pipelines, grid search) holds for these. For
estimators that take a precomputed kernel (KernelRidge, KernelPCA, SpectralClustering) no class is needed: pass them
`kernel(x)`.
"""

from typing import Any, Self

import numpy as np
from sklearn.svm import SVC, SVR
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from qmljax._models.protocols import Kernel
from qmljax.sklearn._matrices import FLOATS, dense, kernel_matrix, modest


class _QuantumKernel:
    """The kernel of a support vector machine, whose class comes next. At fit, scikit-learn passes one array twice."""

    quantum_kernel: Kernel | None
    kernel_weights: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains on points (N, d) and labels or targets (N,), with optional weights (N,)."""
        regression = isinstance(self, SVR)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, y_numeric=regression)  # noqa: N806
        if sample_weight is not None:
            _check_sample_weight(sample_weight, X)  # before the kernel matrix is computed
        return super().fit(dense(X), y, sample_weight)  # type: ignore[misc]  # scikit-learn's

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[misc]  # scikit-learn's
        self.kernel = self._evaluate  # of the copy

    def __sklearn_tags__(self) -> Any:
        return modest(super().__sklearn_tags__())  # type: ignore[misc]  # scikit-learn's

    def _validate_for_predict(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        return dense(validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False))

    def _evaluate(self, x: Any, y: Any) -> np.ndarray:
        matrix = kernel_matrix(self.quantum_kernel, x, None if y is x else y, weights=self.kernel_weights)
        if y is x:
            self.kernel_matrix_ = matrix
        return matrix


class QSVC(_QuantumKernel, SVC):
    """A support vector classifier with a quantum kernel.

    Args:
        quantum_kernel: Of the kind that `fidelity_kernel` and `projected_kernel` return. Default: the fidelity kernel
            of Qiskit's `zz_feature_map` with as many qubits as the points have features.
        kernel_weights: The weights of a trainable kernel.
        C: And the others, see `sklearn.svm.SVC`.

    Attributes:
        kernel_matrix_: The kernel matrix of the training points, (N, N).

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
            kernel=self._evaluate,
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


class QSVR(_QuantumKernel, SVR):
    """A support vector regression with a quantum kernel; the arguments are those of `QSVC` and `sklearn.svm.SVR`.

    Attributes:
        kernel_matrix_: The kernel matrix of the training points, (N, N).
    """

    def __init__(
        self,
        *,
        quantum_kernel: Kernel | None = None,
        kernel_weights: Any = None,
        C: float = 1.0,  # noqa: N803
        epsilon: float = 0.1,
        shrinking: bool = True,
        tol: float = 1e-3,
        cache_size: float = 200,
        verbose: bool = False,
        max_iter: int = -1,
    ) -> None:
        super().__init__(
            kernel=self._evaluate,
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
