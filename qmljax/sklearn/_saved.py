"""Files of trained estimators: the network's circuit, weights and settings. Loading one runs no code."""

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
from qmljax._models.save import NOWHERE, decode, encode

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
KINDS: dict[str, Any] = {}  # the estimators that can be saved, by name


def can_be_saved(kind: type) -> type:
    """Enters a class of estimators into those that `load` makes."""
    KINDS[kind.__name__] = kind
    return kind


def save(path: str | os.PathLike, estimator: Any) -> None:
    """Writes a trained estimator of a network to a file."""
    check_is_fitted(estimator)
    name = type(estimator).__name__
    if KINDS.get(name) is not type(estimator):
        raise TypeError(f"{name} is no class of qmljax.sklearn, so that `load` could not make one.")
    header, arrays = encode(estimator.neural_network_)
    settings: dict[str, Any] = {}
    circuits: list[str] = []
    left_out: list[str] = []
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, QuantumCircuit):
            arrays["circuit of " + name] = circuit_to(value)
            circuits.append(name)
        elif name != "neural_network" or value is None:
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
    about: dict[str, Any] = {"class": type(estimator).__name__}
    about |= {"settings": settings, "circuits": circuits, "left_out": left_out}
    about["n_features_in_"] = estimator.n_features_in_
    if hasattr(estimator, "feature_names_in_"):
        about["feature_names_in_"] = estimator.feature_names_in_.tolist()
    about |= estimator._learned()
    arrays |= {"weights": estimator.weights_, "loss_curve": estimator.loss_curve_}
    _files.write(path, KIND, {"network": header, "estimator": about}, arrays)


def load(path: str | os.PathLike, *, backend: Backend | None = None) -> Any:
    """Reads the estimator that its method `save` wrote to a file.

    Args:
        path: The file.
        backend: What executes the network, as for `qmljax.estimator_qnn`. Default: the simulator.

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
    about, network = header["estimator"], decode(header["network"], arrays, backend)
    settings = dict(about["settings"])
    for name in about["circuits"]:
        settings[name] = circuit_from(arrays["circuit of " + name])
    estimator = KINDS[about["class"]](**settings)
    options = estimator.get_params(deep=False)
    if "neural_network" in options and "neural_network" not in settings:
        estimator.neural_network = network
    if "backend" in options:
        estimator.backend = backend
    weights, losses = arrays["weights"], arrays["loss_curve"]
    if weights.shape != (network.num_weights,) or not np.isfinite(weights).all():
        raise ValueError(f"its weights must be {network.num_weights} finite numbers")
    estimator.n_features_in_ = about["n_features_in_"]
    if "feature_names_in_" in about:
        estimator.feature_names_in_ = np.array(about["feature_names_in_"], object)
    estimator._relearn(about, network, weights, losses)
    return estimator
