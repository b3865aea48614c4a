"""Quantum neural networks as scikit-learn classifiers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import z_feature_map
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import _check_sample_weight, validate_data

from qmljax.sklearn._matrices import FLOATS, modest
from qmljax.sklearn._networks import NeuralNetwork, OfCircuits, OfNetwork, can_be_saved
from qmljax.sklearn._objective import ERRORS, Outputs


@dataclass(kw_only=True, eq=False, repr=False)
class _Classifier(ClassifierMixin, NeuralNetwork):
    loss: str | Callable = "cross_entropy"
    scale: float = 4.0

    classes_: np.ndarray = field(init=False)  # once it is trained

    @staticmethod
    def default_map(features: int) -> QuantumCircuit:
        """`z_feature_map`, two repetitions."""
        return z_feature_map(features)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains on points (N, d) and labels (N,), or one-hot rows (N, C), with optional weights (N,)."""
        x, targets, sample_weight = self._read(X, y, sample_weight, None)
        self._start(self._meaning(x.shape[1]), x.shape[1])
        return self._train(x, targets, sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Goes on for one pass through these samples; the first call needs all `classes` that will come."""
        first = not self.__sklearn_is_fitted__()
        if not first and classes is not None and set(np.unique(classes).tolist()) != set(self.classes_.tolist()):
            raise ValueError(f"`classes` must be those of the first call, {self.classes_.tolist()}, or be left out.")
        x, targets, sample_weight = self._read(X, y, sample_weight, classes if first else self.classes_, first)
        if first:
            self._start(self._meaning(x.shape[1]), x.shape[1])
        return self._pass(x, targets, sample_weight)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Points (N, d) to probabilities of the classes (N, C), in the order of `classes_`."""
        return self._evaluate(X)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Points (N, d) to labels (N,), or one-hot rows (N, C) if it was trained on such."""
        index = self._evaluate(X).argmax(axis=1)
        return np.eye(len(self.classes_), dtype=int)[index] if self._one_hot else self.classes_[index]

    def _read(
        self,
        X: Any,  # noqa: N803
        y: Any,
        sample_weight: Any,
        classes: Any,
        reset: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Checked points, one-hot targets (N, C) and weights; sets `classes_`."""
        self._forget(reset)
        self._check_options((*ERRORS, "cross_entropy"))
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, reset=reset)  # noqa: N806
        self._one_hot = y.ndim == 2 and y.shape[1] > 1
        if self._one_hot:
            if y.dtype.kind not in "biuf" or not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
                raise ValueError("Labels of shape (N, C) must be one-hot: one 1 in each row, else 0.")
            columns, y = y.shape[1], y.argmax(axis=1)
            if classes is None and len(np.unique(y)) > 1:
                classes = np.arange(columns)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        classes = unique_labels(y) if classes is None else unique_labels(classes)
        if self.warm_start and self.__sklearn_is_fitted__() and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"`warm_start` goes on with the classes {self.classes_.tolist()}, but the labels are of "
                f"{classes.tolist()}. Set it to False for others."
            )
        self.classes_ = classes
        if len(self.classes_) < 2:
            raise ValueError("A classifier needs at least two classes, but the labels are of one class.")
        index = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (strange := self.classes_[index] != y).any():
            raise ValueError(
                f"The label {y[strange][:1].tolist()[0]!r} is none of the classes {self.classes_.tolist()}."
            )
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True, dtype=np.float64)
        return X, np.eye(len(self.classes_))[index], weight

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
        return modest(super().__sklearn_tags__())

    def _learned(self) -> dict[str, Any]:
        dtype = self.classes_.dtype
        return {"classes": self.classes_.tolist(), "dtype": dtype.str, "one_hot": self._one_hot}

    def _relearn(self, about: dict[str, Any]) -> None:
        if np.dtype(about["dtype"]).itemsize > max(16, np.array(about["classes"]).dtype.itemsize):
            raise ValueError(f"its labels cannot have the dtype {about['dtype']}")
        self.classes_, self._one_hot = np.array(about["classes"], about["dtype"]), about["one_hot"]


@can_be_saved
@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetworkClassifier(OfNetwork, _Classifier):
    """A classifier that trains any QNN.

    With one expectation value as output, f, it tells two classes apart, of probabilities (1 - f) / 2 and (1 + f) / 2.
    With several, the probabilities are the softmax of `scale` times the outputs. The outputs of a `sampler_qnn` are the
    probabilities of the classes, in the order of `classes_`; those of outcomes beyond the classes are made small.

    Args:
        neural_network: What `estimator_qnn` or `sampler_qnn` returns. Default: that of `VQC`.
        loss: "cross_entropy"; "squared_error", "absolute_error" or "huber" of the outputs, whose aims are -1 and 1 for
            expectation values and 0 and 1 for probabilities; or a function ``(outputs (N, k), one-hot targets (N, C))
            -> (N,)`` that JAX can trace.
        scale: The factor before the softmax. Expectation values lie in [-1, 1]: without a factor, the softmax of three
            could not exceed 0.79.
        optimizer: An optax transformation, or the name of a SciPy minimiser such as "L-BFGS-B" or "COBYLA". Default:
            Adam at the constant rate `learning_rate`.
        learning_rate: Of the default optimiser; other values compile nothing anew.
        steps: The number of steps, or the most iterations of SciPy.
        batch_size: The number of samples in a step. Default: all.
        patience: Stops when the loss on a share of `validation_fraction` of the samples, kept apart, has not fallen for
            so many steps; the best weights count. For `fit` alone.
        validation_fraction: See `patience`.
        initial_weights: Of shape (W,). Default: uniform in [-1, 1], from `random_state`.
        warm_start: Whether `fit` goes on from the weights of the last one.
        callback: ``callback(step, weights, loss)``, as for `qmljax.fit`.
        progress: Whether to show a progress bar.
        random_state: The seed of initial weights, mini-batches and the validation split.

    Attributes:
        classes_: The labels, (C,).
        weights_: The trained weights, (W,).
        loss_curve_: The loss at each step, `partial_fit` and warm starts included.
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

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: `z_feature_map`, two repetitions.
        ansatz: A `QuantumCircuit` on as many qubits. Default: `real_amplitudes`, three repetitions.
        observables: What the network gives: one for two classes, else one for each class. Default: the parity of all
            qubits; else Z on one qubit for each class, then on pairs of qubits.
        interpret: Takes probabilities of outcomes instead: "parity", for two classes, the parity of the outcome's bits;
            "modulo", the outcome modulo the number of classes; or a function of the outcome.
        loss: And all others: see `NeuralNetworkClassifier`.

    Example:
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [0.9, 0.8], [0.8, 0.9]])
        >>> VQC(steps=100, random_state=0).fit(x, [0, 0, 1, 1]).predict(x).tolist()
        [0, 0, 1, 1]

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """

    interpret: Any = None
