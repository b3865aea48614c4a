"""Quantum neural networks as scikit-learn classifiers and regressors, trained by `qmljax.fit`.

`NeuralNetworkClassifier` and `NeuralNetworkRegressor` take any QNN; `VQC` and `VQR` make one of a feature map and an
ansatz. What is compiled is shared by equal networks, so clones, folds and searches compile once; for this the training
set is padded, by at most an eighth, with samples of weight zero.

Features are angles, or what the circuit makes of them: scale them to a range such as [0, 1] or [0, pi] first
(`sklearn.preprocessing.MinMaxScaler`), as nothing is scaled here. Nor are targets: expectation values lie in [-1, 1]
(`sklearn.compose.TransformedTargetRegressor`).
"""

import functools
import json
import numbers
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import joblib
import numpy as np
import optax
from jax import Array
from qiskit import QuantumCircuit
from qiskit.circuit.library import z_feature_map
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from qmljax import _files
from qmljax._models import save as _save
from qmljax._training.checks import check_optimizer
from qmljax._training.fit import fit
from qmljax._training.leaves import as_numpy, like
from qmljax.sklearn._kernels import FLOATS, modest
from qmljax.sklearn._objective import ERRORS, Objective, Outputs, evaluate, room, weighted
from qmljax.sklearn._variational import rotations, variational_network

KIND = "scikit-learn estimator"


@functools.cache
def _adam() -> optax.GradientTransformation:
    """One object, so that other learning rates do not compile anew."""
    return optax.inject_hyperparams(optax.adam)(learning_rate=0.0)


@dataclass(kw_only=True, eq=False, repr=False)
class _NeuralNetwork(BaseEstimator):
    """The training of all four."""

    optimizer: Any = None
    learning_rate: float = 0.05
    steps: int = 300
    batch_size: int | None = None
    patience: int | None = None
    validation_fraction: float = 0.1
    initial_weights: Any = None
    warm_start: bool = False
    callback: Callable | None = None
    progress: bool = False
    random_state: Any = None

    def _start(self, outputs: Outputs, features: int) -> None:
        """New weights and a new optimiser state, unless the last ones are to be gone on from."""
        network = outputs.network
        if network.num_inputs != features:
            raise ValueError(
                f"The network has {network.num_inputs} inputs, but X has {features} features. There must be as many."
            )
        going_on = self.warm_start and self.__sklearn_is_fitted__() and self.neural_network_ == network
        self.outputs_, self.neural_network_ = outputs, network
        self._rng = check_random_state(self.random_state)
        self._opt_state = None
        if going_on:
            return
        self.loss_curve_ = np.zeros(0)
        if self.initial_weights is None:
            self.weights_ = self._rng.uniform(-1, 1, network.num_weights)
        else:
            self.weights_ = np.asarray(self.initial_weights, np.float64)
            if self.weights_.shape != (network.num_weights,):
                raise ValueError(
                    f"`initial_weights` must have shape ({network.num_weights},), but have {self.weights_.shape}."
                )

    def _forget(self, reset: bool) -> None:
        """Before a new fit, so that one that fails leaves no half of the last one."""
        if reset and not self.warm_start:
            vars(self).pop("weights_", None)

    def _train(self, x: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray) -> Self:
        """All steps on (N, d), (N, k) and (N,), with a part of the samples kept apart if there is patience."""
        data, validation = (x, targets, sample_weight), None
        if self.patience is not None:
            stratify = targets if isinstance(self, ClassifierMixin) else None
            try:
                split = train_test_split(
                    *data, test_size=self.validation_fraction, stratify=stratify, random_state=self._rng
                )
            except ValueError as error:
                raise ValueError(
                    f"`patience` keeps the share `validation_fraction`, {self.validation_fraction!r}, of the {len(x)} "
                    f"samples apart, but {error} Change the share, or leave `patience` out."
                ) from error
            data, validation = split[::2], split[1::2]
            if not (data[2].any() and validation[2].any()):
                raise ValueError(
                    "`patience` keeps a share of the samples apart, but there or in the rest all `sample_weight` are "
                    "zero. Leave out samples without weight."
                )
        return self._advance(data, self.steps, self.batch_size, validation)

    def _pass(self, x: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray) -> Self:
        """One pass through all samples, (N, d), (N, k) and (N,), whatever the patience; few make one batch."""
        size = None if self.batch_size is None else min(self.batch_size, len(x))
        return self._advance((x, targets, sample_weight), 1 if size is None else len(x) // max(size, 1), size)

    def _advance(self, data: Any, steps: int, batch_size: int | None, validation: Any = None) -> Self:
        """Trains from the weights and the optimiser state of now on."""
        objective, x = Objective(self.outputs_, self.loss), data[0]
        data = weighted(*data, pad=batch_size is None)
        validation = None if validation is None else weighted(*validation)
        key = self._rng.randint(np.iinfo(np.int32).max)
        with jax.enable_x64(x.dtype != np.float32):
            weights, options = jnp.asarray(self.weights_, x.dtype), {}
            optimizer = _adam() if self.optimizer is None else self.optimizer
            if not isinstance(optimizer, str):
                check_optimizer(optimizer)
                options = {"opt_state": self._state(optimizer, weights), "batch_size": batch_size}
                options |= {"key": jax.random.key(key)}
            elif batch_size is not None:
                raise ValueError(
                    f"The SciPy minimiser {optimizer!r} takes all samples at once: leave out `batch_size`."
                )
            result = fit(
                objective,
                weights,
                data,
                optimizer=optimizer,
                steps=steps,
                validation=validation,
                patience=None if validation is None else self.patience,
                callback=self.callback,
                progress=self.progress,
                ensemble=False,
                **options,
            )
        if result.stopped == "interrupt":
            warnings.warn(
                f"Training was interrupted after {len(result.history)} of {steps} steps: these weights are kept.",
                UserWarning,
                stacklevel=4,
            )
        self.weights_ = np.asarray(result.weights, np.float64)
        self.loss_curve_ = np.concatenate([self.loss_curve_, result.history])
        self._opt_state = None if isinstance(optimizer, str) else jax.tree.map(as_numpy, result.opt_state)
        return self

    def _state(self, optimizer: Any, weights: Array) -> Any:
        """The state that was reached; a new one for an optimiser of another kind."""
        state = optimizer.init(weights)
        if jax.tree.structure(self._opt_state) == jax.tree.structure(state):
            state = jax.tree.map(like, self._opt_state, state)
        if self.optimizer is None:
            rate = jnp.asarray(self.learning_rate, weights.dtype)
            state = state._replace(hyperparams=state.hyperparams | {"learning_rate": rate})
        return state

    def _check_options(self, names: tuple[str, ...]) -> None:
        if not callable(self.loss) and self.loss not in names:
            raise ValueError(f"`loss` must be one of {', '.join(names)}, or a function, but is {self.loss!r}.")
        if not isinstance(self.learning_rate, numbers.Real) or not self.learning_rate > 0:
            raise ValueError(
                f"`learning_rate` must be positive, a number, but is {self.learning_rate!r}. For a schedule pass an "
                "optax transformation as `optimizer`."
            )

    def _evaluate(self, X: Any) -> np.ndarray:  # noqa: N803
        """What `Outputs` gives for points (N, d)."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=FLOATS, reset=False)
        padded = np.concatenate([x, np.repeat(x[:1], room(len(x)) - len(x), axis=0)])
        with jax.enable_x64(x.dtype != np.float32):
            return np.asarray(evaluate(self.outputs_, jnp.asarray(self.weights_, x.dtype), padded))[: len(x)]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")

    def __getstate__(self) -> dict[str, Any]:
        """Functions that pickle cannot take, such as optax transformations, go by joblib's cloudpickle."""
        state = super().__getstate__()
        wrap = functools.partial(joblib.wrap_non_picklable_objects, keep_wrapper=False)
        for name in ("optimizer", "loss", "callback", "interpret"):
            if callable(state.get(name)) or isinstance(state.get(name), tuple):
                state[name] = wrap(state[name])
        return state

    def save(self, path: str | os.PathLike) -> None:
        """Writes the trained model to a file, from which `load` reads it: circuit, weights and settings.

        No code is in the file. Settings that are code (an optax transformation, functions) are left out, and `load`
        says which.

        Args:
            path: The file.

        Raises:
            NotFittedError: The estimator is not trained.
            TypeError: It is of a class of your own.
        """
        check_is_fitted(self)
        if type(self) not in _kinds().values():
            raise TypeError(f"{type(self).__name__} is no class of qmljax.sklearn, so that `load` could not make one.")
        header, arrays = _save.encode(self.neural_network_)
        settings, circuits, left_out = {}, [], []
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, QuantumCircuit):
                arrays["circuit of " + name] = _save.circuit_to(value)
                circuits.append(name)
            elif name != "neural_network" or value is None:
                value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
                try:
                    settings[name] = json.loads(json.dumps(value))
                except TypeError:
                    left_out.append(name)
        about = {"outputs": [self.outputs_.kind, self.outputs_.count, self.outputs_.scale]}
        about |= {"class": type(self).__name__, "settings": settings, "circuits": circuits, "left_out": left_out}
        about["n_features_in_"] = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            about["feature_names_in_"] = self.feature_names_in_.tolist()
        about |= self._learned()
        arrays |= {"weights": self.weights_, "loss_curve": self.loss_curve_}
        _files.write(path, KIND, {"network": header, "estimator": about}, arrays)

    def _learned(self) -> dict[str, Any]:
        return {}

    def _relearn(self, about: dict[str, Any]) -> None:
        pass


def _kinds() -> dict[str, type]:
    return {kind.__name__: kind for kind in (NeuralNetworkClassifier, NeuralNetworkRegressor, VQC, VQR)}


def load(path: str | os.PathLike) -> Any:
    """Reads the estimator that its method `save` wrote to a file.

    Args:
        path: The file.

    Returns:
        The trained estimator. Further training starts with a new optimiser state.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, foreign, or of a later version.
    """
    header, arrays = _files.read(path, KIND)
    about = header["estimator"]
    network = _save.decode(header["network"], arrays)
    settings = dict(about["settings"])
    for name in about["circuits"]:
        settings[name] = _save.circuit_from(arrays["circuit of " + name])
    estimator = _kinds()[about["class"]](**settings)
    if "neural_network" in estimator.get_params(deep=False) and "neural_network" not in settings:
        estimator.neural_network = network
    if about["left_out"]:
        warnings.warn(
            f"These settings are not in {str(path)!r}, since they hold code or objects, and have their defaults: "
            f"{', '.join(about['left_out'])}. Set them before you train on.",
            UserWarning,
            stacklevel=2,
        )
    estimator.neural_network_, estimator.outputs_ = network, Outputs(network, *about["outputs"])
    estimator.weights_, estimator.loss_curve_ = arrays["weights"], arrays["loss_curve"]
    estimator.n_features_in_ = about["n_features_in_"]
    if "feature_names_in_" in about:
        estimator.feature_names_in_ = np.array(about["feature_names_in_"], object)
    estimator._rng, estimator._opt_state = check_random_state(estimator.random_state), None
    estimator._relearn(about)
    return estimator


@dataclass(kw_only=True, eq=False, repr=False)
class _Classifier(ClassifierMixin, _NeuralNetwork):
    loss: str | Callable = "cross_entropy"
    scale: float = 4.0

    default_map = staticmethod(z_feature_map)

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
        self.classes_, self._one_hot = np.array(about["classes"], about["dtype"]), about["one_hot"]


@dataclass(kw_only=True, eq=False, repr=False)
class _Regressor(RegressorMixin, _NeuralNetwork):
    loss: str | Callable = "squared_error"

    default_map = staticmethod(rotations)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains on points (N, d) and targets (N,) or (N, k), with optional weights (N,)."""
        x, targets, sample_weight = self._read(X, y, sample_weight)
        self._start(self._meaning(x.shape[1], targets.shape[1]), x.shape[1])
        return self._train(x, targets, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Goes on for one pass through these samples."""
        first = not self.__sklearn_is_fitted__()
        x, targets, sample_weight = self._read(X, y, sample_weight, first)
        if first:
            self._start(self._meaning(x.shape[1], targets.shape[1]), x.shape[1])
        return self._pass(x, targets, sample_weight)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Points (N, d) to values (N,), or (N, k) if it was trained on such."""
        values = self._evaluate(X)
        return values[:, 0] if self._flat else values

    def _read(
        self,
        X: Any,  # noqa: N803
        y: Any,
        sample_weight: Any,
        reset: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._forget(reset)
        self._check_options(tuple(ERRORS))
        X, y = validate_data(  # noqa: N806
            self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True, reset=reset
        )
        self._flat = y.ndim == 1
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True, dtype=np.float64)
        return X, y.reshape(len(y), -1), weight

    def _meaning(self, features: int, targets: int) -> Outputs:
        network = self._network(features, targets)
        if (outputs := int(np.prod(network.output_shape))) != targets:
            raise ValueError(f"The network has {outputs} outputs, but y has {targets} targets. There must be as many.")
        return Outputs(network, "values", targets)

    def __sklearn_tags__(self) -> Any:
        tags = modest(super().__sklearn_tags__())
        tags.target_tags.multi_output = True
        return tags

    def _learned(self) -> dict[str, Any]:
        return {"flat": self._flat}

    def _relearn(self, about: dict[str, Any]) -> None:
        self._flat = about["flat"]


@dataclass(kw_only=True, eq=False, repr=False)
class _OfNetwork:
    def _network(self, features: int, outputs: int) -> Any:
        if self.neural_network is None:
            return variational_network(features, outputs, default_map=self.default_map)
        if not all(hasattr(self.neural_network, name) for name in ("num_inputs", "num_weights", "normalised")):
            raise TypeError(
                "`neural_network` must be what qmljax.estimator_qnn or qmljax.sampler_qnn returns, but is a "
                f"{type(self.neural_network).__name__}."
            )
        return self.neural_network


@dataclass(kw_only=True, eq=False, repr=False)
class _OfCircuits:
    feature_map: Any = None
    ansatz: Any = None
    observables: Any = None

    def _network(self, features: int, outputs: int) -> Any:
        given = {name: getattr(self, name, None) for name in ("feature_map", "ansatz", "observables", "interpret")}
        return variational_network(features, outputs, **given, default_map=self.default_map)


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetworkClassifier(_OfNetwork, _Classifier):
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


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetworkRegressor(_OfNetwork, _Regressor):
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


@dataclass(kw_only=True, eq=False, repr=False)
class VQC(_OfCircuits, _Classifier):
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


@dataclass(kw_only=True, eq=False, repr=False)
class VQR(_OfCircuits, _Regressor):
    """The variational quantum regressor: a feature map, a trained ansatz, and an expectation value for each target.

    Args:
        feature_map: A `QuantumCircuit` with a parameter for each feature. Default: RY of each feature, of
            period 2 pi, on a qubit of its own.
        ansatz: A `QuantumCircuit` on as many qubits. Default: `real_amplitudes`, three repetitions.
        observables: One for each target. Default: the parity of all qubits; of several targets, Z on one qubit each.
        loss: And all others: see `NeuralNetworkRegressor`.

    Example:
        >>> x = np.linspace(-np.pi, np.pi, 20)[:, None]
        >>> VQR(random_state=0).fit(x, np.sin(x[:, 0])).score(x, np.sin(x[:, 0])) > 0.99
        True
    """
