"""Feature maps as transformers, and quantum kernels for Gaussian processes."""

from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.gaussian_process import kernels
from sklearn.utils.validation import check_is_fitted, validate_data

from qmljax._circuit.parse import parse
from qmljax._models.amplitudes import statevector
from qmljax._models.compiled import Compiled
from qmljax._models.kernels.projected import projected_kernel
from qmljax._models.positions import features_and_weights
from qmljax._models.protocols import Kernel
from qmljax.sklearn._matrices import default_map, dense, kernel_matrix, read_kernel

FEW = 16  # points whose matrix is computed for its diagonal: more would waste work, fewer would take more calls


class QuantumFeatureMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A circuit as a transformer: points to classical features of the states it prepares from them.

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: `zz_feature_map`.
        output: "paulis", the expectation values of `observables`; or "state", the amplitudes, real parts first.
        observables: A list of observables, or an integer k: all Pauli strings on 1 to k qubits. Default 1: X, Y and Z
            on every qubit, in this order on qubit 0, then on qubit 1, ...
        weights: The parameters of `feature_map` that are no features, in the order of `kernel_weights`.
        kernel_weights: Their values, (W,), such as those of a kernel that was trained.

    Attributes:
        circuit_: The feature map.
        n_features_in_: The number of features.

    Example:
        >>> QuantumFeatureMap().fit_transform(np.zeros((4, 2))).shape
        (4, 6)

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), for the
        expectation values.
    """

    def __init__(
        self,
        feature_map: Any = None,
        *,
        output: str = "paulis",
        observables: Any = None,
        weights: Any = (),
        kernel_weights: Any = None,
    ) -> None:
        self.feature_map = feature_map
        self.output = output
        self.observables = observables
        self.weights = weights
        self.kernel_weights = kernel_weights

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns the number of features alone.

        Args:
            X: Points (N, d).
            y: Not used.

        Returns:
            The transformer itself.

        Raises:
            ValueError: `output` is neither, or the feature map takes another number of features.
        """
        X = dense(validate_data(self, X, accept_sparse="csr"))
        if not isinstance(self.output, str) or self.output not in ("paulis", "state"):
            raise ValueError(f"`output` must be 'paulis' or 'state', but is {self.output!r}.")
        self.circuit_ = default_map(X.shape[1]) if self.feature_map is None else self.feature_map
        weights = () if self.weights is None else self.weights
        projector = projected_kernel(self.circuit_, observables=self.observables, weights=weights)
        _, self.kernel_weights_ = read_kernel(projector, self.kernel_weights, X.shape[1], "feature_map")
        self._function = projector.projections if self.output == "paulis" else statevector(self.circuit_)
        self._places = features_and_weights(parse(self.circuit_), weights)
        self._n_features_out = self._map(X[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The features of the states of points.

        Args:
            X: Points (N, d).

        Returns:
            Of shape (N, D): D is the number of observables, or 2**(n + 1) for amplitudes.

        Raises:
            NotFittedError: It is not fitted.
            ValueError: The points have another number of features than those it was fitted to.
        """
        check_is_fitted(self)
        return self._map(dense(validate_data(self, X, accept_sparse="csr", reset=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _map(self, x: np.ndarray) -> np.ndarray:
        values = np.zeros(0) if self.kernel_weights_ is None else self.kernel_weights_
        with jax.enable_x64(x.dtype != np.float32):
            if not isinstance(self._function, Compiled):
                return np.asarray(self._function(x, weights=values.astype(x.dtype)), np.float64)
            params = np.zeros((len(x), x.shape[1] + len(values)), x.dtype)
            params[:, self._places[0]], params[:, self._places[1]] = x, values
            psi = np.asarray(self._function(params))
        return np.concatenate([psi.real, psi.imag], axis=1).astype(np.float64)


class QuantumGPKernel(kernels.Kernel):
    """A quantum kernel for Gaussian processes, without hyperparameters of its own.

    Combine it with others: ``ConstantKernel() * QuantumGPKernel(kernel) + WhiteKernel()``.

    Args:
        quantum_kernel: Of the kind that `fidelity_kernel` and `projected_kernel` return, or an object with a method
            ``evaluate(x, y)``, as those of Qiskit Machine Learning. Default: the fidelity kernel of Qiskit's
            `zz_feature_map` with as many qubits as the points have features.
        kernel_weights: The weights of a trainable kernel, (W,).

    Example:
        >>> from sklearn.gaussian_process import GaussianProcessRegressor
        >>> x = np.linspace(0, 2, 5)[:, None]
        >>> model = GaussianProcessRegressor(QuantumGPKernel(), alpha=1e-4).fit(x, np.cos(2 * x[:, 0]))
        >>> bool(abs(model.predict(x) - np.cos(2 * x[:, 0])).max() < 0.01)
        True

    References:
        C. E. Rasmussen, C. K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press (2006), chapter 2.
    """

    def __init__(self, quantum_kernel: Kernel | None = None, kernel_weights: Any = None) -> None:
        self.quantum_kernel = quantum_kernel
        self.kernel_weights = kernel_weights

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """The kernel matrix of points.

        Args:
            X: Points (N, d).
            Y: Points (M, d). Default: those of `X`.
            eval_gradient: Whether to give the derivatives in the hyperparameters, too, of which there are none.

        Returns:
            Of shape (N, M); with `eval_gradient` that and an empty array (N, M, 0).
        """
        kernel, weights = read_kernel(self.quantum_kernel, self.kernel_weights, np.shape(X)[1])
        matrix = kernel_matrix(kernel, X, Y, weights=weights).copy()
        return (matrix, np.empty((*matrix.shape, 0))) if eval_gradient else matrix

    def diag(self, X: Any) -> np.ndarray:
        """The diagonal of the kernel matrix, from the matrices of a few points at a time.

        Args:
            X: Points (N, d).

        Returns:
            Of shape (N,).
        """
        x = dense(X)
        kernel, weights = read_kernel(self.quantum_kernel, self.kernel_weights, x.shape[1])
        padded = np.concatenate([x, np.repeat(x[:1], -len(x) % FEW, axis=0)])
        blocks = [
            kernel_matrix(kernel, few, weights=weights, keep=False) for few in padded.reshape(-1, FEW, x.shape[1])
        ]
        return np.concatenate([np.zeros(0), *map(np.diagonal, blocks)])[: len(x)]

    def is_stationary(self) -> bool:
        """No: a quantum kernel depends on more than the difference of two points."""
        return False
