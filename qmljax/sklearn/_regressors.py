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
        """The feature map where none is given: RY of each feature on a qubit of its own.

        Args:
            features: The number of features.

        Returns:
            A circuit with a qubit for each feature.
        """
        return rotations(features)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on points and their targets.

        Args:
            X: Points (N, d), angles in radians or what the feature map makes of them.
            y: Targets (N,) or (N, k).
            sample_weight: Weights (N,). A sample of weight 0 counts as one that is not there. Default: 1 each.

        Returns:
            The estimator itself.

        Raises:
            TypeError: An option is of another type.
            ValueError: The data are not finite, the network does not fit features or targets, or an option is out of
                range.
        """
        x, targets, sample_weight = self._read(X, y, sample_weight)
        self._start(self._meaning(x.shape[1], targets.shape[1]), x.shape[1])
        return self._train(x, targets, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Goes on for one pass through these samples.

        Args:
            X: Points (N, d).
            y: Targets (N,) or (N, k).
            sample_weight: Weights (N,). Default: 1 each.

        Returns:
            The estimator itself.

        Raises:
            ValueError: The data are not finite, there are other numbers of targets than before, or another network was
                set since.
        """
        first = not self.__sklearn_is_fitted__()
        x, targets, sample_weight = self._read(X, y, sample_weight, first)
        if first:
            self._start(self._meaning(x.shape[1], targets.shape[1]), x.shape[1])
        else:
            self._go_on(lambda: self._meaning(x.shape[1], targets.shape[1]))
        return self._pass(x, targets, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """The values of points.

        Args:
            X: Points (N, d).

        Returns:
            Of shape (N,), or (N, k) if it was trained on such.
        """
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
        neural_network: What `estimator_qnn` or `sampler_qnn` returns. Default: that of `VQR`, RY of each feature and
            then `real_amplitudes`.
        loss: "squared_error", "absolute_error" or "huber"; or a function ``(outputs (N, k), targets (N, k)) -> (N,)``
            that JAX can trace.
        alpha: Adds ``alpha |weights|**2 / 2`` to the loss.
        optimizer: An optax transformation, or the name of a SciPy minimiser such as "L-BFGS-B" or "COBYLA". Default:
            Adam at the constant rate `learning_rate`.
        options: Of a SciPy minimiser: its further options, as for `qmljax.fit`, such as ``{"maxiter": 60}`` of COBYLA,
            its most evaluations of the loss.
        learning_rate: Of the default optimiser; other values compile nothing anew.
        steps: The number of steps, or the most iterations of SciPy.
        batch_size: The number of samples in a step. Default: all.
        batches: How they are chosen: "epochs", each in a new random order, or "replacement", drawn anew in each step.
        convergence: A number of losses, a window: stops when the means of the last two windows differ by at most half
            the standard error of the last one. For `fit` alone.
        patience: Stops when the loss on a share of `validation_fraction` of the samples, kept apart, has not fallen for
            so many steps; the best weights count. For `fit` alone.
        validation_fraction: The share of the samples that is kept apart for `patience`.
        initial_weights: Of shape (W,), in radians. Default: uniform in [-1, 1], from `random_state`.
        warm_start: Whether `fit` goes on from the weights of the last one.
        callback: ``callback(step, weights, loss)``, called about a hundred times in a run, of a SciPy minimiser after
            each iteration: with the weights after the step, and the loss before it (that of these weights comes with
            the next call). COBYLA's first W + 1 evaluations are no iterations. What it asks of the estimator, such as
            `score`, is answered by the weights of then. To stop, it may raise `StopIteration`.
        progress: Whether to show a progress bar (needs tqdm: the extra `progress`).
        random_state: The seed of initial weights, mini-batches and the validation split.

    Attributes:
        weights_: The trained weights, (W,).
        loss_curve_: The loss before each step, `partial_fit` and warm starts included.
        neural_network_: The QNN.
        n_features_in_: The number of features.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> feature_map = rotations(1)
        >>> model = qj.estimator_qnn(feature_map.compose(real_amplitudes(1, reps=1)), inputs=feature_map.parameters)
        >>> x = np.linspace(-np.pi, np.pi, 20)[:, None]
        >>> NeuralNetworkRegressor(model, random_state=0).fit(x, np.cos(x[:, 0])).score(x, np.cos(x[:, 0])) > 0.99
        True
    """

    neural_network: Any = field(default=None, kw_only=False)


@can_be_saved
@dataclass(kw_only=True, eq=False, repr=False)
class VQR(OfCircuits, _Regressor):
    """The variational quantum regressor: a feature map, a trained ansatz, and an expectation value for each target.

    Expectation values lie in [-1, 1]; scale the targets to that.

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: RY of each feature, of
            period 2 pi, on a qubit of its own.
        ansatz: A `QuantumCircuit` on as many qubits. Default: `real_amplitudes`, three repetitions.
        observables: One for each target. Default: the parity of all qubits; of several targets, Z on one qubit for each
            target, then on pairs of qubits, then Pauli strings with X, then with Y.
        backend: What executes the network, such as `Shots`, `noise.Simulator` or `primitives.PrimitiveBackend`.
            Default: the simulator.
        loss: "squared_error", "absolute_error" or "huber"; or a function ``(outputs (N, k), targets (N, k)) -> (N,)``
            that JAX can trace.
        alpha: Adds ``alpha |weights|**2 / 2`` to the loss.
        optimizer: An optax transformation, or the name of a SciPy minimiser such as "L-BFGS-B" or "COBYLA". Default:
            Adam at the constant rate `learning_rate`.
        options: Of a SciPy minimiser: its further options, as for `qmljax.fit`, such as ``{"maxiter": 60}`` of COBYLA,
            its most evaluations of the loss.
        learning_rate: Of the default optimiser; other values compile nothing anew.
        steps: The number of steps, or the most iterations of SciPy.
        batch_size: The number of samples in a step. Default: all.
        batches: How they are chosen: "epochs", each in a new random order, or "replacement", drawn anew in each step.
        convergence: A number of losses, a window: stops when the means of the last two windows differ by at most half
            the standard error of the last one. For `fit` alone.
        patience: Stops when the loss on a share of `validation_fraction` of the samples, kept apart, has not fallen for
            so many steps; the best weights count. For `fit` alone.
        validation_fraction: The share of the samples that is kept apart for `patience`.
        initial_weights: Of shape (W,), in radians. Default: uniform in [-1, 1], from `random_state`.
        warm_start: Whether `fit` goes on from the weights of the last one.
        callback: ``callback(step, weights, loss)``, called about a hundred times in a run, of a SciPy minimiser after
            each iteration: with the weights after the step, and the loss before it (that of these weights comes with
            the next call). COBYLA's first W + 1 evaluations are no iterations. What it asks of the estimator, such as
            `score`, is answered by the weights of then. To stop, it may raise `StopIteration`.
        progress: Whether to show a progress bar (needs tqdm: the extra `progress`).
        random_state: The seed of initial weights, mini-batches and the validation split.

    Attributes:
        weights_: The trained weights, (W,).
        loss_curve_: The loss before each step, `partial_fit` and warm starts included.
        neural_network_: The QNN.
        n_features_in_: The number of features.

    Example:
        >>> x = np.linspace(-np.pi, np.pi, 20)[:, None]
        >>> VQR(random_state=0).fit(x, np.sin(x[:, 0])).score(x, np.sin(x[:, 0])) > 0.99
        True

    References:
        K. Mitarai, M. Negoro, M. Kitagawa, K. Fujii, "Quantum circuit learning", PRA 98, 032309 (2018).
    """
