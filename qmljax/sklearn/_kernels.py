"""Quantum kernels as scikit-learn estimators.

`QSVC` and `QSVR` are scikit-learn's own support vector machines with a quantum kernel in them, so all that holds for
those (any labels, several classes, sample weights, clone, pickle, pipelines, grid search) holds for these. For
estimators that take a precomputed kernel (KernelRidge, KernelPCA, SpectralClustering) no class is needed: pass them
`kernel(x)`.
"""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

import jax
import numpy as np
from qiskit.circuit.library import z_feature_map, zz_feature_map
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.gaussian_process import kernels
from sklearn.svm import SVC, SVR
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from qmljax._models.functions import Compiled, statevector
from qmljax._models.kernels.fidelity import fidelity_kernel
from qmljax._models.kernels.projected import projected_kernel

MOST_FEATURES = 12
FLOATS = [np.float64, np.float32]
KEPT = 1 << 28  # bytes of kernel matrices that are kept for the next fit on the same points

_matrices: OrderedDict[tuple[Callable, bytes], np.ndarray] = OrderedDict()


def _default_map(num_features: int) -> Any:
    if num_features > MOST_FEATURES:
        raise ValueError(
            f"The default feature map has a qubit for each feature, at most {MOST_FEATURES}, but the points have "
            f"{num_features} features. Reduce them, as by PCA, or pass a feature map or kernel of your own."
        )
    return zz_feature_map(num_features) if num_features > 1 else z_feature_map(1)


@functools.lru_cache(maxsize=32)
def _default_kernel(num_features: int) -> Callable:
    return fidelity_kernel(_default_map(num_features))


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
    x = np.ascontiguousarray(_dense(x))
    y = None if y is None else np.ascontiguousarray(_dense(y))
    kernel = _default_kernel(x.shape[1]) if kernel is None else kernel
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


def _dense(x: Any) -> np.ndarray:
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


class _QuantumKernel:
    """The kernel of a support vector machine. At fit, scikit-learn passes the same array twice."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains on points (N, d) and labels or targets (N,), with optional weights (N,)."""
        regression = isinstance(self, SVR)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, y_numeric=regression)  # noqa: N806
        if sample_weight is not None:
            _check_sample_weight(sample_weight, X)  # before the kernel matrix is computed
        return super().fit(_dense(X), y, sample_weight)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.kernel = self._evaluate  # of the copy

    def __sklearn_tags__(self) -> Any:
        return modest(super().__sklearn_tags__())

    def _validate_for_predict(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        return _dense(validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False))

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
        quantum_kernel: Callable | None = None,
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
        quantum_kernel: Callable | None = None,
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
        quantum_kernel: Callable | None = None,
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


class QuantumFeatureMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A circuit as a transformer: points to classical features of the states it prepares from them.

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: `zz_feature_map`.
        output: "paulis", the expectation values of `observables`; or "state", the amplitudes, real parts first.
        observables: As for `projected_kernel`: a list, or k for all Pauli strings on 1 to k qubits.

    Example:
        >>> QuantumFeatureMap().fit_transform(np.zeros((4, 2))).shape
        (4, 6)
    """

    def __init__(self, feature_map: Any = None, *, output: str = "paulis", observables: Any = None) -> None:
        self.feature_map = feature_map
        self.output = output
        self.observables = observables

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Learns the number of features alone."""
        X = validate_data(self, X)  # noqa: N806
        if self.output not in ("paulis", "state"):
            raise ValueError(f"`output` must be 'paulis' or 'state', but is {self.output!r}.")
        self.circuit_ = _default_map(X.shape[1]) if self.feature_map is None else self.feature_map
        self._n_features_out = self._map(X[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Points (N, d) to features (N, D)."""
        check_is_fitted(self)
        return self._map(validate_data(self, X, reset=False))

    def _map(self, x: np.ndarray) -> np.ndarray:
        with jax.enable_x64(x.dtype != np.float32):
            if self.output == "paulis":
                kernel = projected_kernel(self.circuit_, observables=self.observables)
                return np.asarray(kernel.projections(x), np.float64)
            psi = np.asarray(statevector(self.circuit_)(x))
            return np.concatenate([psi.real, psi.imag], axis=1).astype(np.float64)


class QuantumGPKernel(kernels.Kernel):
    """A quantum kernel for Gaussian processes, without hyperparameters of its own.

    Combine it with others: ``ConstantKernel() * QuantumGPKernel(kernel) + WhiteKernel()``.
    """

    def __init__(self, quantum_kernel: Callable | None = None, kernel_weights: Any = None) -> None:
        self.quantum_kernel = quantum_kernel
        self.kernel_weights = kernel_weights

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:  # noqa: N803
        """The kernel matrix, (N, M), and on request its derivatives in the hyperparameters, of which there are none."""
        matrix = kernel_matrix(self.quantum_kernel, X, Y, weights=self.kernel_weights).copy()
        return (matrix, np.empty((*matrix.shape, 0))) if eval_gradient else matrix

    def diag(self, X: Any) -> np.ndarray:  # noqa: N803
        """The diagonal of the kernel matrix, (N,)."""
        return np.diagonal(self(X)).copy()

    def is_stationary(self) -> bool:
        """No: a quantum kernel depends on more than the difference of two points."""
        return False
