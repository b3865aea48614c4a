"""What all estimators of quantum neural networks share: training by `qmljax.fit`, and files.

What is compiled is shared by equal networks, so clones, folds and searches compile once; for this the training set is
padded, by at most an eighth, with samples of weight zero.

Features are angles, or what the circuit makes of them: scale them to a range such as [0, 1] or [0, pi] first
(`sklearn.preprocessing.MinMaxScaler`), as nothing is scaled here. Nor are targets: expectation values lie in [-1, 1]
(`sklearn.compose.TransformedTargetRegressor`).
"""

import functools
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
from sklearn.utils.validation import check_is_fitted, validate_data

from qmljax._checks import check_count, check_flag, check_number
from qmljax._models.arguments import check_amplitudes
from qmljax._models.backend import Backend
from qmljax._models.protocols import Model
from qmljax._training.checks import check_callback, check_optimizer
from qmljax._training.fit import fit
from qmljax._training.leaves import as_numpy, like
from qmljax._training.result import FitResult
from qmljax.sklearn._matrices import FLOATS, dense
from qmljax.sklearn._objective import Objective, Outputs, evaluate, room, weighted
from qmljax.sklearn._options import generator
from qmljax.sklearn._saved import Saved, array_of
from qmljax.sklearn._variational import variational_network


@functools.cache
def _adam() -> optax.GradientTransformation:
    """One object, so that other learning rates do not compile anew."""
    return optax.inject_hyperparams(optax.adam)(learning_rate=0.0)


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralNetwork(Saved, BaseEstimator):
    """The training of all four."""

    optimizer: Any = None
    options: Any = None
    learning_rate: float = 0.05
    alpha: float = 0.0
    steps: int = 300
    batch_size: int | None = None
    batches: str = "epochs"
    convergence: int | None = None
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
        weights = None if going_on else self._first_weights(network.num_weights)
        self.outputs_, self.neural_network_ = outputs, network
        self._made_of = self._parts()
        self._rng = generator(self.random_state)
        self._opt_state = None
        if going_on:
            return
        self.loss_curve_ = np.zeros(0)
        self.weights_ = self._rng.uniform(-1, 1, network.num_weights) if weights is None else weights

    def _first_weights(self, count: int) -> np.ndarray | None:
        if self.initial_weights is None:
            return None
        given = np.asarray(self.initial_weights)
        if given.shape != (count,):
            raise ValueError(f"`initial_weights` must have shape ({count},), but have {given.shape}.")
        if given.dtype.kind not in "fiu" or not np.isfinite(given).all():
            raise ValueError(f"`initial_weights` must be finite real numbers, but are {given[:8].tolist()}.")
        return given.astype(np.float64)

    def _parts(self) -> tuple[Any, ...]:
        """What a network is made of."""
        raise NotImplementedError

    def _go_on(self, outputs: Callable[[], Outputs]) -> None:
        """Before `partial_fit` goes on: what was set since must be of the same network."""
        same = all(a is b for a, b in zip(self._made_of, self._parts(), strict=True))
        if same and self.outputs_.scale == self._scale():
            return
        new = outputs()
        if new.network != self.neural_network_:
            raise ValueError(
                "`partial_fit` goes on with the network that was trained, but another one has been set since. Call "
                "`fit`, or set the former one again."
            )
        self.outputs_, self._made_of = new, self._parts()

    def _scale(self) -> float:
        return 1.0

    def _forget(self, reset: bool) -> None:
        """Before a new fit, so that one that fails leaves no half of the last one."""
        if reset and not self.warm_start:
            self.__dict__.pop("weights_", None)

    def _train(self, x: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray) -> Self:
        """All steps on (N, d), (N, k) and (N,), with a part of the samples kept apart if there is patience."""
        self._check_points(x)
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
        return self._advance(data, self.steps, self.batch_size, validation, self.convergence)

    def _pass(self, x: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray) -> Self:
        """One pass through all samples, (N, d), (N, k) and (N,), whatever the patience; few make one batch."""
        self._check_points(x)
        size = None if self.batch_size is None else min(self.batch_size, len(x))
        return self._advance((x, targets, sample_weight), 1 if size is None else len(x) // max(size, 1), size)

    def _advance(
        self,
        data: Any,
        steps: int,
        batch_size: int | None,
        validation: Any = None,
        convergence: int | None = None,
    ) -> Self:
        """Trains from the weights and the optimiser state of now on. If that fails, it leaves what was there before."""
        before = self.weights_
        try:
            result = self._fit(data, steps, batch_size, validation, convergence)
        except BaseException:
            self.weights_ = before
            if not len(self.loss_curve_):
                del self.weights_  # they were never trained
            raise
        if result.stopped == "interrupt":
            warnings.warn(
                f"Training was interrupted after {len(result.history)} of {steps} steps: these weights are kept.",
                UserWarning,
                stacklevel=4,
            )
        self.weights_ = np.asarray(result.weights, np.float64)
        self.loss_curve_ = np.concatenate([self.loss_curve_, result.history])
        state = result.opt_state
        self._opt_state = None if isinstance(self.optimizer, str) else jax.tree.map(as_numpy, state)
        return self

    def _fit(
        self, data: Any, steps: int, batch_size: int | None, validation: Any, convergence: int | None
    ) -> FitResult:
        objective, x = Objective(self.outputs_, self.loss, float(self.alpha)), data[0]
        data = weighted(data, pad=batch_size is None)
        validation = None if validation is None else weighted(validation)
        key = self._rng.randint(np.iinfo(np.int32).max)
        with jax.enable_x64(x.dtype != np.float32):
            weights, options = jnp.asarray(self.weights_, x.dtype), {}
            optimizer = _adam() if self.optimizer is None else self.optimizer
            if not isinstance(optimizer, str):
                check_optimizer(optimizer)
                options = {"opt_state": self._state(optimizer, weights), "batch_size": batch_size}
                options |= {"key": jax.random.key(key), "batches": self.batches}
            elif batch_size is not None:
                raise ValueError(
                    f"The SciPy minimiser {optimizer!r} takes all samples at once: leave out `batch_size`."
                )
            return fit(
                objective,
                weights,
                data,
                optimizer=optimizer,
                steps=steps,
                validation=validation,
                patience=None if validation is None else self.patience,
                convergence=convergence,
                callback=None if self.callback is None else self._call_back,
                progress=self.progress,
                ensemble=False,
                options=self.options,
                **options,
            )

    def _call_back(self, step: int, weights: Any, loss: float) -> None:
        """The callback may ask the estimator itself, such as for its score: it answers by the weights of now."""
        assert self.callback is not None
        self.weights_ = np.asarray(weights, np.float64)
        self.callback(step, weights, loss)

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
        if not callable(self.loss) and not (isinstance(self.loss, str) and self.loss in names):
            raise ValueError(f"`loss` must be one of {', '.join(names)}, or a function, but is {self.loss!r}.")
        hint = "For a schedule pass an optax transformation as `optimizer`."
        check_number(self.learning_rate, "learning_rate", above=True, hint=hint)
        check_number(self.alpha, "alpha")
        check_number(self.validation_fraction, "validation_fraction", above=True, below=1)
        check_count(self.steps, "steps", least=0)
        check_count(self.batch_size, "batch_size", optional=True)
        check_count(self.patience, "patience", optional=True)
        check_count(self.convergence, "convergence", least=2, optional=True)
        if not isinstance(self.batches, str) or self.batches not in ("epochs", "replacement"):
            raise ValueError(f"`batches` must be 'epochs' or 'replacement', but is {self.batches!r}.")
        if self.batches != "epochs" and self.batch_size is None:
            raise ValueError(f"`batches={self.batches!r}` needs `batch_size`, the number of samples in a step.")
        check_flag(self.warm_start, "warm_start"), check_flag(self.progress, "progress")
        check_callback(self.callback)

    def _check_points(self, x: np.ndarray) -> None:
        """Refuses points that the network has no state for, as the network itself does where it is not compiled."""
        network: Any = self.neural_network_
        if network.program.loads:
            given = {"weights_": (network.weights, self.weights_), "X": (network.inputs, x)}
            check_amplitudes(network.program, **given)

    def _evaluate(self, X: Any) -> np.ndarray:
        """What `Outputs` gives for points (N, d)."""
        check_is_fitted(self)
        x = dense(validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False))
        self._check_points(x)
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

    def _learned(self) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
        about = {"outputs": [self.outputs_.kind, self.outputs_.count, self.outputs_.scale]}
        return self.neural_network_, about, {"weights": self.weights_, "loss_curve": self.loss_curve_}

    def _relearn(self, model: Any, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.neural_network_, self.outputs_ = model, Outputs(model, *about["outputs"])
        self.weights_, self.loss_curve_ = array_of(arrays, "weights", (model.num_weights,)), arrays["loss_curve"]
        self._made_of = self._parts()
        self._rng, self._opt_state = generator(self.random_state), None


@dataclass(kw_only=True, eq=False, repr=False)
class OfNetwork(NeuralNetwork):
    """Estimators that take a QNN."""

    neural_network: Any = None

    def _parts(self) -> tuple[Any, ...]:
        return (self.neural_network,)

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
    backend: Backend | None = None

    def _parts(self) -> tuple[Any, ...]:
        return self.feature_map, self.ansatz, self.observables, getattr(self, "interpret", None), self.backend

    def _network(self, features: int, outputs: int) -> Any:
        names = ("feature_map", "ansatz", "observables", "interpret", "backend")
        given = {name: getattr(self, name, None) for name in names}
        return variational_network(features, outputs, **given, default_map=self.default_map)
