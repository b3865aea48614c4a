"""What all estimators of quantum neural networks share: training by `qmljax.fit`, and files.

What is compiled is shared by equal networks, so clones, folds and searches compile once; for this the training set is
padded, by at most an eighth, with samples of weight zero.

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
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qmljax import _files
from qmljax._models.circuit_bytes import circuit_from, circuit_to
from qmljax._models.protocols import Model
from qmljax._models.save import decode, encode
from qmljax._training.checks import check_optimizer
from qmljax._training.fit import fit
from qmljax._training.leaves import as_numpy, like
from qmljax.sklearn._matrices import FLOATS
from qmljax.sklearn._objective import Objective, Outputs, evaluate, room, weighted
from qmljax.sklearn._variational import variational_network

KINDS: dict[str, type] = {}  # the estimators that can be saved, by name


def can_be_saved(kind: type) -> type:
    """Enters a class of estimators into those that `load` makes."""
    KINDS[kind.__name__] = kind
    return kind


KIND = "scikit-learn estimator"
ABOUT = {  # what the header of a file says of an estimator, besides what it has learned
    "outputs": [str, int, (int, float)],
    "class": str,
    "settings": {str: object},
    "circuits": [str],
    "left_out": [str],
    "n_features_in_": int,
    "feature_names_in_?": [str],
    ...: object,
}


@functools.cache
def _adam() -> optax.GradientTransformation:
    """One object, so that other learning rates do not compile anew."""
    return optax.inject_hyperparams(optax.adam)(learning_rate=0.0)


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetwork(BaseEstimator):
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

    neural_network_: Model = field(init=False)  # once it is trained

    @staticmethod
    def default_map(features: int) -> QuantumCircuit:
        """The feature map where none is given."""
        raise NotImplementedError

    def _network(self, features: int, outputs: int) -> Model:
        """The QNN that is to be trained."""
        raise NotImplementedError

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
            self.__dict__.pop("weights_", None)

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
        data = weighted(data, pad=batch_size is None)
        validation = None if validation is None else weighted(validation)
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
        trees = [jax.tree.structure(s) for s in (self._opt_state, state)]
        if trees[0] == trees[1]:  # type: ignore[operator]  # JAX's stub lacks it
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
        if KINDS.get(type(self).__name__) is not type(self):
            raise TypeError(f"{type(self).__name__} is no class of qmljax.sklearn, so that `load` could not make one.")
        header, arrays = encode(self.neural_network_)
        settings: dict[str, Any] = {}
        circuits: list[str] = []
        left_out: list[str] = []
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, QuantumCircuit):
                arrays["circuit of " + name] = circuit_to(value)
                circuits.append(name)
            elif name != "neural_network" or value is None:
                value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
                try:
                    settings[name] = json.loads(json.dumps(value))
                except TypeError:
                    left_out.append(name)
        about: dict[str, Any] = {"outputs": [self.outputs_.kind, self.outputs_.count, self.outputs_.scale]}
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


@dataclass(kw_only=True, eq=False, repr=False)
class OfNetwork(NeuralNetwork):
    """Estimators that take a QNN."""

    neural_network: Any = None

    def _network(self, features: int, outputs: int) -> Model:
        if self.neural_network is None:
            return variational_network(features, outputs, default_map=self.default_map)
        if not all(hasattr(self.neural_network, name) for name in ("num_inputs", "num_weights", "normalised")):
            raise TypeError(
                "`neural_network` must be what qmljax.estimator_qnn or qmljax.sampler_qnn returns, but is a "
                f"{type(self.neural_network).__name__}."
            )
        return self.neural_network


@dataclass(kw_only=True, eq=False, repr=False)
class OfCircuits(NeuralNetwork):
    """Estimators that make a QNN of circuits."""

    feature_map: Any = None
    ansatz: Any = None
    observables: Any = None

    def _network(self, features: int, outputs: int) -> Any:
        given = {name: getattr(self, name, None) for name in ("feature_map", "ansatz", "observables", "interpret")}
        return variational_network(features, outputs, **given, default_map=self.default_map)


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
    with _files.reading(path):
        _files.check(header, {"network": dict, "estimator": dict}, "its header")
        _files.check(header["estimator"], ABOUT, "its header of an estimator")
        estimator = _estimator(header["estimator"], decode(header["network"], arrays), arrays)
    if left_out := header["estimator"]["left_out"]:
        warnings.warn(
            f"These settings are not in {str(path)!r}, since they hold code or objects, and have their defaults: "
            f"{', '.join(left_out)}. Set them before you train on.",
            UserWarning,
            stacklevel=2,
        )
    return estimator


def _estimator(about: dict[str, Any], network: Model, arrays: dict[str, np.ndarray]) -> Any:
    settings = dict(about["settings"])
    for name in about["circuits"]:
        settings[name] = circuit_from(arrays["circuit of " + name])
    estimator = KINDS[about["class"]](**settings)
    if "neural_network" in estimator.get_params(deep=False) and "neural_network" not in settings:
        estimator.neural_network = network
    estimator.neural_network_, estimator.outputs_ = network, Outputs(network, *about["outputs"])
    estimator.weights_, estimator.loss_curve_ = arrays["weights"], arrays["loss_curve"]
    if estimator.weights_.shape != (network.num_weights,) or not np.isfinite(estimator.weights_).all():
        raise ValueError(f"its weights must be {network.num_weights} finite numbers")
    estimator.n_features_in_ = about["n_features_in_"]
    if "feature_names_in_" in about:
        estimator.feature_names_in_ = np.array(about["feature_names_in_"], object)
    estimator._rng, estimator._opt_state = check_random_state(estimator.random_state), None
    estimator._relearn(about)
    return estimator
