"""Quantum neural networks as scikit-learn classifiers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import z_feature_map
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import validate_data

from qmljax._checks import check_number
from qmljax.sklearn._matrices import FLOATS, dense, modest
from qmljax.sklearn._networks import NeuralNetwork, OfCircuits, OfNetwork
from qmljax.sklearn._objective import ERRORS, Outputs
from qmljax.sklearn._options import labels_of, weights_of_classes, weights_of_samples
from qmljax.sklearn._saved import can_be_saved, labels_from, labels_to


@dataclass(kw_only=True, eq=False, repr=False)
class _Classifier(ClassifierMixin, NeuralNetwork):
    loss: str | Callable = "cross_entropy"
    scale: float = 4.0
    class_weight: Any = None

    classes_: np.ndarray = field(init=False)  # once it is trained

    @staticmethod
    def default_map(features: int) -> QuantumCircuit:
        """The feature map where none is given: `z_feature_map`, two repetitions.

        Args:
            features: The number of features.

        Returns:
            A circuit with a qubit for each feature.
        """
        return z_feature_map(features)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on points and their labels.

        Args:
            X: Points (N, d), angles in radians or what the feature map makes of them.
            y: Labels (N,), or one-hot rows (N, C).
            sample_weight: Weights (N,). A sample of weight 0 counts as one that is not there. Default: 1 each.

        Returns:
            The estimator itself.

        Raises:
            TypeError: An option is of another type.
            ValueError: The data are not finite, there is one class alone, the network does not fit features or classes,
                or an option is out of range.
        """
        x, targets, sample_weight = self._read(X, y, sample_weight)
        self._start(self._meaning(x.shape[1]), x.shape[1])
        return self._train(x, targets, sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Goes on for one pass through these samples.

        Args:
            X: Points (N, d).
            y: Labels (N,), or one-hot rows (N, C).
            classes: All labels that will come. The first call needs them, unless labels are one-hot rows.
            sample_weight: Weights (N,). Default: 1 each.

        Returns:
            The estimator itself.

        Raises:
            ValueError: The data are not finite, `classes` are others than in the first call, `class_weight` is
                "balanced", or another network was set since.
        """
        first = not self.__sklearn_is_fitted__()
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"`class_weight` must be a dictionary for `partial_fit`, but is {self.class_weight!r}: of a part of "
                "the samples it is not known what is balanced. Give {label: factor}."
            )
        if not first and classes is not None and set(np.unique(classes).tolist()) != set(self.classes_.tolist()):
            raise ValueError(f"`classes` must be those of the first call, {self.classes_.tolist()}, or be left out.")
        x, targets, sample_weight = self._read(X, y, sample_weight, classes, first, part=True)
        if first:
            self._start(self._meaning(x.shape[1]), x.shape[1])
        else:
            self._go_on(lambda: self._meaning(x.shape[1]))
        return self._pass(x, targets, sample_weight)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes.

        Args:
            X: Points (N, d).

        Returns:
            Of shape (N, C), in the order of `classes_`.
        """
        return self._evaluate(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable classes.

        Args:
            X: Points (N, d).

        Returns:
            Labels (N,), or one-hot rows (N, C) if it was trained on such.
        """
        index = self._evaluate(X).argmax(axis=1)
        return np.eye(len(self.classes_), dtype=int)[index] if self._one_hot else self.classes_[index]

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        classes: Any = None,
        reset: bool = True,
        part: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, one-hot targets (N, C) and weights of the samples that have weight; sets `classes_`."""
        self._forget(reset)
        self._check_options((*ERRORS, "cross_entropy"))
        check_number(self.scale, "scale", above=True)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, multi_output=True, reset=reset)
        X, y = dense(X), dense(y)
        weight = weights_of_samples(sample_weight, X)
        there = weight > 0
        y, columns = labels_of(y)
        X, y, weight = X[there], y[there], weight[there]
        if columns is not None and classes is None and (part or len(np.unique(y)) > 1):
            classes = np.arange(columns)
        if not reset:
            self._check_form(columns)
            classes = self.classes_
        classes = unique_labels(y) if classes is None else unique_labels(classes)
        if self.warm_start and self.__sklearn_is_fitted__() and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"`warm_start` goes on with the classes {self.classes_.tolist()}, but the labels are of "
                f"{classes.tolist()}. Set it to False for others."
            )
        self.classes_, self._one_hot = classes, columns is not None
        if len(self.classes_) < 2:
            raise ValueError("A classifier needs at least two classes, but the labels are of one class.")
        if columns not in (None, len(classes)):
            raise ValueError(
                f"`y` must be one-hot rows of {len(classes)} columns, one for each of the classes, but has {columns}."
            )
        index = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (strange := self.classes_[index] != y).any():
            raise ValueError(
                f"The label {y[strange][:1].tolist()[0]!r} is none of the classes {self.classes_.tolist()}."
            )
        weight = weights_of_classes(self.class_weight, self.classes_, y, weight)
        there = weight > 0
        return X[there], np.eye(len(self.classes_))[index][there], weight[there]

    def _check_form(self, columns: int | None) -> None:
        """Whether labels are of the form, one-hot or not, in which training began."""
        if self._one_hot != (columns is not None) or columns not in (None, len(self.classes_)):
            began = f"one-hot rows of {len(self.classes_)} columns" if self._one_hot else "labels of shape (N,)"
            came = "labels of shape (N,)" if columns is None else f"rows of {columns} columns"
            raise ValueError(f"`y` must hold {began}, as when training began, but holds {came}.")

    def _scale(self) -> float:
        return float(self.scale)

    def _meaning(self, features: int) -> Outputs:
        classes = len(self.classes_)
        network = self._network(features, 1 if classes == 2 else classes)
        outputs = int(np.prod(network.output_shape))
        if network.normalised:
            kind, most = "probabilities", outputs
        else:
            kind, most = ("sign", 2) if outputs == 1 else ("logits", outputs)
        if kind == "logits" and classes < outputs:
            raise ValueError(
                f"There are {classes} classes, but the network has {outputs} expectation values. Give one for each "
                "class; of two classes, one is enough."
            )
        if classes > most:
            raise ValueError(
                f"There are {classes} classes, but the network has {outputs} outputs, enough for {most} classes. Use "
                "a network with an output for each class."
            )
        return Outputs(network, kind, 1 if kind == "sign" else classes, float(self.scale))

    def __sklearn_tags__(self) -> Any:
        tags = modest(super().__sklearn_tags__())
        tags.input_tags.sparse = True
        return tags

    def _learned(self) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
        model, about, arrays = super()._learned()
        return model, about | labels_to(self.classes_) | {"one_hot": self._one_hot}, arrays

    def _relearn(self, model: Any, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        super()._relearn(model, about, arrays)
        self.classes_, self._one_hot = labels_from(about), about["one_hot"]


@can_be_saved
@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetworkClassifier(OfNetwork, _Classifier):
    """A classifier that trains any QNN.

    With one expectation value as output, f, it tells two classes apart, of probabilities (1 - f) / 2 and (1 + f) / 2.
    With several, the probabilities are the softmax of `scale` times the outputs. The outputs of a `sampler_qnn` are the
    probabilities of the classes, in the order of `classes_`; those of outcomes beyond the classes are made small.

    Args:
        neural_network: What `estimator_qnn` or `sampler_qnn` returns. Default: that of `VQC`, `z_feature_map` and then
            `real_amplitudes`.
        loss: "cross_entropy"; "squared_error", "absolute_error" or "huber" of the outputs, whose aims are -1 and 1 for
            expectation values and 0 and 1 for probabilities; or a function ``(outputs (N, k), one-hot targets (N, C))
            -> (N,)`` that JAX can trace.
        scale: The factor before the softmax. Expectation values lie in [-1, 1]: without a factor, the softmax of three
            could not exceed 0.79.
        class_weight: Factors of the weights of samples, {label: factor}, or "balanced": as if each class had as many
            samples. Default: 1 each.
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
        classes_: The labels, (C,).
        weights_: The trained weights, (W,).
        loss_curve_: The loss before each step, `partial_fit` and warm starts included.
        neural_network_: The QNN.
        n_features_in_: The number of features.

    Example:
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [0.9, 0.8], [0.8, 0.9]])
        >>> y = ["left", "left", "right", "right"]
        >>> NeuralNetworkClassifier(random_state=0).fit(x, y).predict(x).tolist()
        ['left', 'left', 'right', 'right']
    """

    neural_network: Any = field(default=None, kw_only=False)


@can_be_saved
@dataclass(kw_only=True, eq=False, repr=False)
class VQC(OfCircuits, _Classifier):
    """The variational quantum classifier: a feature map, a trained ansatz, and an expectation value for each class.

    With one expectation value, f, it tells two classes apart, of probabilities (1 - f) / 2 and (1 + f) / 2. With
    several, the probabilities are the softmax of `scale` times the values.

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: `z_feature_map`, two repetitions.
        ansatz: A `QuantumCircuit` on as many qubits. Default: `real_amplitudes`, three repetitions.
        observables: What the network gives: one for two classes, else one for each class. Default: the parity of all
            qubits; else Z on one qubit for each class, then on pairs of qubits, then Pauli strings with X, then with Y.
        interpret: Takes probabilities of outcomes instead: "parity", for two classes, the parity of the outcome's bits;
            "modulo", the outcome modulo the number of classes; or a function of the outcome.
        backend: What executes the network, such as `Shots`, `noise.Simulator` or `primitives.PrimitiveBackend`.
            Default: the simulator.
        loss: "cross_entropy"; "squared_error", "absolute_error" or "huber" of the outputs, whose aims are -1 and 1 for
            expectation values and 0 and 1 for probabilities; or a function ``(outputs (N, k), one-hot targets (N, C))
            -> (N,)`` that JAX can trace.
        scale: The factor before the softmax. Expectation values lie in [-1, 1]: without a factor, the softmax of three
            could not exceed 0.79.
        class_weight: Factors of the weights of samples, {label: factor}, or "balanced": as if each class had as many
            samples. Default: 1 each.
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
        classes_: The labels, (C,).
        weights_: The trained weights, (W,).
        loss_curve_: The loss before each step, `partial_fit` and warm starts included.
        neural_network_: The QNN.
        n_features_in_: The number of features.

    Example:
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [0.9, 0.8], [0.8, 0.9]])
        >>> VQC(steps=100, random_state=0).fit(x, [0, 0, 1, 1]).predict(x).tolist()
        [0, 0, 1, 1]

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """

    interpret: Any = None
