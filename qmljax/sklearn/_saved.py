"""Files of trained estimators: the circuit, the settings, and what was learned. Loading one runs no code."""

import json
import os
import warnings
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from sklearn.utils.validation import check_is_fitted

from qmljax import _files
from qmljax._models.backend import Backend
from qmljax._models.circuit_bytes import circuit_from, circuit_to
from qmljax._models.kernels.kernel import BaseKernel
from qmljax._models.save import NOWHERE, decode, encode

KIND = "scikit-learn estimator"
ABOUT = {  # what the header of a file says of an estimator, besides what it has learned
    "outputs?": [str, int, (int, float)],
    "class": str,
    "settings": {str: object},
    "circuits": [str],
    "left_out": [str],
    "n_features_in_": int,
    "feature_names_in_?": [str],
    ...: object,
}
MODELS = ("neural_network", "quantum_kernel")  # settings that are the model or kernel of a file
KINDS: dict[str, Any] = {}  # the estimators that can be saved, by name


def can_be_saved(kind: type) -> type:
    """Enters a class of estimators into those that `load` makes."""
    KINDS[kind.__name__] = kind
    return kind


class Saved:
    """Estimators that a file can hold.

    A class of them says what it has learned, by `_learned`: a model or kernel, what a header can hold, and arrays;
    and takes it back, by `_relearn`.
    """

    def save(self, path: str | os.PathLike) -> None:
        """Writes the trained estimator to a file, from which `load` reads it: circuit, settings, what was learned.

        No code is in the file. Settings that are code (an optax transformation, functions) or a backend are left out,
        and `load` says which. A support vector machine is written with its training points and their kernel matrix.

        Args:
            path: The file.

        Raises:
            NotFittedError: The estimator is not trained.
            TypeError: It is of a class of your own, or its kernel is no kernel of qmljax.
            ValueError: A setting of a support vector machine was changed since it was trained.
        """
        check_is_fitted(self)
        name = type(self).__name__
        if KINDS.get(name) is not type(self):
            raise TypeError(f"{name} is no class of qmljax.sklearn, so that `load` could not make one.")
        model, about, learned = self._learned()
        header, arrays = (None, {}) if model is None else encode(model)
        about |= {"class": name, "n_features_in_": self.n_features_in_}  # type: ignore[attr-defined]  # of scikit-learn
        if hasattr(self, "feature_names_in_"):
            about["feature_names_in_"] = self.feature_names_in_.tolist()
        settings, circuits = _settings(self)
        about |= settings
        arrays |= {"circuit of " + name: circuit_to(circuit) for name, circuit in circuits.items()}
        _files.write(path, KIND, {"model": header, "estimator": about}, arrays | learned)

    def _learned(self) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
        raise NotImplementedError

    def _relearn(self, model: Any, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        raise NotImplementedError


def _settings(estimator: Any) -> tuple[dict[str, Any], dict[str, QuantumCircuit]]:
    """What the header says of the settings, and those that are circuits."""
    settings: dict[str, Any] = {}
    circuits: dict[str, QuantumCircuit] = {}
    left_out: list[str] = []
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, QuantumCircuit):
            circuits[name] = value
        elif name not in MODELS or value is None:
            value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            try:
                written = json.loads(json.dumps(value))
            except TypeError:
                left_out.append(name)
                continue
            if isinstance(value, dict) and written != value:  # its keys are no text
                left_out.append(name)
            else:
                settings[name] = written
    return {"settings": settings, "circuits": list(circuits), "left_out": left_out}, circuits


def labels_to(classes: np.ndarray) -> dict[str, Any]:
    """Classes for a header, in order."""
    return {"classes": classes.tolist(), "dtype": classes.dtype.str}


def labels_from(about: dict[str, Any]) -> np.ndarray:
    """The classes of a header."""
    if np.dtype(about["dtype"]).itemsize > max(16, np.array(about["classes"]).dtype.itemsize):
        raise ValueError(f"its labels cannot have the dtype {about['dtype']}")
    classes = np.array(about["classes"], about["dtype"])
    if classes.dtype.kind not in "biufUS" or len(classes) < 2 or not np.array_equal(np.unique(classes), classes):
        raise ValueError(f"its classes must be different labels in order, but are {about['classes']!r}")
    return classes


def kernel_to(fitted: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The kernel of a `FittedKernel`, and the arrays of one: points, weights."""
    if not isinstance(fitted.kernel, BaseKernel):
        raise TypeError(
            "`quantum_kernel` must be what qmljax.fidelity_kernel or qmljax.projected_kernel returns, to be saved, but "
            f"is a {type(fitted.kernel).__name__}. Use pickle, which may hold code."
        )
    return fitted.kernel, {"x": fitted.x} | ({} if fitted.weights is None else {"kernel_weights": fitted.weights})


def kernel_from(model: Any, arrays: dict[str, np.ndarray], features: int) -> tuple[Any, np.ndarray | None, np.ndarray]:
    """Kernel, weights and points, of which a `FittedKernel` is made."""
    if not isinstance(model, BaseKernel):
        raise ValueError("it holds no kernel")
    weights = array_of(arrays, "kernel_weights", (model.num_weights,)) if "kernel_weights" in arrays else None
    return model, weights, array_of(arrays, "x", (len(arrays["x"]), features))


def array_of(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A finite array of a file, of this shape."""
    array = arrays[name]
    if array.shape != shape or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"its {name} must be finite numbers of shape {shape}, but are {array.dtype} of {array.shape}")
    return array


def load(path: str | os.PathLike, *, backend: Backend | None = None) -> Any:
    """Reads an estimator that its method `save` wrote to a file.

    Args:
        path: The file.
        backend: What executes the circuit, such as `Shots` or `primitives.PrimitiveBackend`. Default: the simulator.

    Returns:
        The trained estimator. Further training of a network starts with a new optimiser state.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, foreign, or of a later version.

    Example:
        >>> import tempfile
        >>> from qmljax.sklearn import QSVC, load
        >>> x = np.array([[0.1, 0.2], [0.2, 0.1], [2.0, 2.1], [2.1, 2.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     QSVC().fit(x, ["a", "a", "b", "b"]).save(folder + "/machine.qmljax")
        ...     machine = load(folder + "/machine.qmljax")
        >>> machine.predict(x).tolist()
        ['a', 'a', 'b', 'b']
    """
    header, arrays = _files.read(path, KIND)
    with _files.reading(path):
        _files.check(header, {"model": (dict, None), "estimator": dict}, "its header")
        _files.check(header["estimator"], ABOUT, "its header of an estimator")
        # With a backend in it, what is wrong with the file is told from what is wrong with the backend.
        estimator = _estimator(header, arrays, backend and NOWHERE)
    if backend is not None:
        estimator = _estimator(header, arrays, backend)
    if left_out := [n for n in header["estimator"]["left_out"] if n != "backend" or backend is None]:
        warnings.warn(
            f"These settings are not in {str(path)!r}, since they hold code or objects, and have their defaults: "
            f"{', '.join(left_out)}. Set them before you train on.",
            UserWarning,
            stacklevel=2,
        )
    return estimator


def _estimator(header: dict[str, Any], arrays: dict[str, np.ndarray], backend: Any) -> Any:
    about = header["estimator"]
    model = None if header["model"] is None else decode(header["model"], arrays, backend)
    settings = dict(about["settings"])
    for name in about["circuits"]:
        settings[name] = circuit_from(arrays["circuit of " + name])
    estimator = KINDS[about["class"]](**settings)
    options = estimator.get_params(deep=False)
    for name in MODELS:
        if name in options and name not in settings:
            setattr(estimator, name, model)
    if "backend" in options:
        estimator.backend = backend
    estimator.n_features_in_ = about["n_features_in_"]
    if "feature_names_in_" in about:
        estimator.feature_names_in_ = np.array(about["feature_names_in_"], object)
    estimator._relearn(model, about, arrays)
    return estimator
