"""Feature maps as transformers, and quantum kernels for Gaussian processes."""

from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.gaussian_process import kernels
from sklearn.utils.validation import check_is_fitted, validate_data

from qmljax._models.functions import statevector
from qmljax._models.kernels.projected import projected_kernel
from qmljax._models.protocols import Kernel
from qmljax.sklearn._matrices import default_map, kernel_matrix


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
        self.circuit_ = default_map(X.shape[1]) if self.feature_map is None else self.feature_map
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

    def __init__(self, quantum_kernel: Kernel | None = None, kernel_weights: Any = None) -> None:
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
