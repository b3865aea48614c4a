"""Quantum neural networks as scikit-learn regressors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from qiskit import QuantumCircuit
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from qmljax.sklearn._matrices import FLOATS, dense, modest
from qmljax.sklearn._networks import NeuralNetwork, OfCircuits, OfNetwork
from qmljax.sklearn._objective import ERRORS, Outputs
from qmljax.sklearn._options import weights_of_samples
from qmljax.sklearn._saved import can_be_saved
from qmljax.sklearn._variational import rotations


@dataclass(kw_only=True, eq=False, repr=False)
class _Regressor(RegressorMixin, NeuralNetwork):
    loss: str | Callable = "squared_error"

    _flat: bool = field(init=False)  # whether targets came as (N,)

    @staticmethod
    def default_map(features: int) -> QuantumCircuit:
        """RY of each feature on a qubit of its own."""
        return rotations(features)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on points (N, d) and targets (N,) or (N, k), with optional weights (N,)."""
        x, targets, sample_weight = self._read(X, y, sample_weight)
        self._start(self._meaning(x.shape[1], targets.shape[1]), x.shape[1])
        return self._train(x, targets, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Goes on for one pass through these samples."""
        first = not self.__sklearn_is_fitted__()
        x, targets, sample_weight = self._read(X, y, sample_weight, first)
        if first:
            self._start(self._meaning(x.shape[1], targets.shape[1]), x.shape[1])
        else:
            self._go_on(lambda: self._meaning(x.shape[1], targets.shape[1]))
        return self._pass(x, targets, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Points (N, d) to values (N,), or (N, k) if it was trained on such."""
        values = self._evaluate(X)
        return values[:, 0] if self._flat else values

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        reset: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._forget(reset)
        self._check_options(tuple(ERRORS))
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=FLOATS, multi_output=True, y_numeric=True, reset=reset
        )
        X, y = dense(X), dense(y)
        flat = y.ndim == 1
        if not reset and y.reshape(len(y), -1).shape[1] != self.outputs_.count:
            raise ValueError(
                f"`y` must have {self.outputs_.count} targets, as when training began, but has shape {y.shape}."
            )
        self._flat = flat if reset else self._flat
        weight = weights_of_samples(sample_weight, X)
        there = weight > 0
        return X[there], y.reshape(len(y), -1)[there], weight[there]

    def _meaning(self, features: int, targets: int) -> Outputs:
        network = self._network(features, targets)
        if (outputs := int(np.prod(network.output_shape))) != targets:
            raise ValueError(f"The network has {outputs} outputs, but y has {targets} targets. There must be as many.")
        return Outputs(network, "values", targets)

    def __sklearn_tags__(self) -> Any:
        tags = modest(super().__sklearn_tags__())
        tags.target_tags.multi_output, tags.input_tags.sparse = True, True
        return tags

    def _learned(self) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
        model, about, arrays = super()._learned()
        return model, about | {"flat": self._flat}, arrays

    def _relearn(self, model: Any, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        super()._relearn(model, about, arrays)
        self._flat = about["flat"]


@can_be_saved
@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetworkRegressor(OfNetwork, _Regressor):
    """A regressor that trains any QNN, with an output for each target.

    Expectation values lie in [-1, 1] and probabilities in [0, 1]; scale the targets to that.

    Args:
        neural_network: What `estimator_qnn` or `sampler_qnn` returns. Default: that of `VQR`.
        loss: "squared_error", "absolute_error" or "huber"; or a function ``(outputs (N, k), targets (N, k)) -> (N,)``
            that JAX can trace.
        optimizer: And all others: see `NeuralNetworkClassifier`.

    Attributes:
        weights_: The trained weights, (W,).
        loss_curve_: The loss at each step, `partial_fit` and warm starts included.
        neural_network_: The QNN.
        n_features_in_: The number of features.
    """

    neural_network: Any = field(default=None, kw_only=False)


@can_be_saved
@dataclass(kw_only=True, eq=False, repr=False)
class VQR(OfCircuits, _Regressor):
    """The variational quantum regressor: a feature map, a trained ansatz, and an expectation value for each target.

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: RY of each feature, of
            period 2 pi, on a qubit of its own.
        ansatz: A `QuantumCircuit` on as many qubits. Default: `real_amplitudes`, three repetitions.
        observables: One for each target. Default: the parity of all qubits; of several targets, Z on one qubit each,
            then more Pauli strings, as for `VQC`.
        backend: What executes the network, as for `qmljax.estimator_qnn`. Default: the simulator.
        loss: And all others: see `NeuralNetworkRegressor`.

    Example:
        >>> x = np.linspace(-np.pi, np.pi, 20)[:, None]
        >>> VQR(random_state=0).fit(x, np.sin(x[:, 0])).score(x, np.sin(x[:, 0])) > 0.99
        True
    """
