"""Files of models and kernels: the circuit, what is read from it, and the weights. Loading one runs no code.

A file holds the question that a model asks, not what answers it: a model or kernel on a backend is saved without it,
since a device, its session and its account can be in no file. `load` takes another one. Nor is a mesh of devices: a
model over one is saved as the same on one device.
"""

import math
import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from qmljax import _files
from qmljax._circuit.observables import IN_ZERO, Observable
from qmljax._models.backend import Backend
from qmljax._models.circuit_bytes import circuit_from, circuit_to
from qmljax._models.kernels.fidelity import fidelity_kernel
from qmljax._models.kernels.kernel import BaseKernel
from qmljax._models.kernels.local import LocalFidelityKernel
from qmljax._models.kernels.pairs import BackendKernel
from qmljax._models.kernels.projected import ProjectedKernel, projected_kernel
from qmljax._models.networks import estimator_qnn, sampler_qnn
from qmljax._models.protocols import Kernel, Model
from qmljax._models.qnn import QNN
from qmljax._models.trees import PREFIX, TREE, tree_from, tree_to

KIND = "model"
OBSERVABLES = [[[[[int, str]], float]]]  # of each the terms, of each the product and its coefficient
COMMON = {"weights": [str], "inputs": [str], "memory": int}
HEADERS = (
    COMMON | {"type": "estimator", "observables": OBSERVABLES},
    COMMON | {"type": "sampler", "output_shape": [int]},
    COMMON | {"type": "fidelity kernel", "progress": bool, "local": bool, "evaluate_duplicates": str},
    COMMON | {"type": "projected kernel", "progress": bool, "observables": OBSERVABLES, "gamma": (float, None)},
)


def save(path: str | os.PathLike[str], model: Model | Kernel, weights: Any = ()) -> None:
    """Writes a model or kernel and its weights to a file, all at once: the old file stays until the new one is whole.

    The file is a safetensors file; the circuit in it is Qiskit's QPY. What is on a backend, or over a mesh, is saved
    without it. (For estimators of scikit-learn's kind see their method `save`.)

    Args:
        path: The file.
        model: What `estimator_qnn`, `sampler_qnn`, `fidelity_kernel`, `projected_kernel` or a kernel's `as_qnn`
            returns.
        weights: Of shape (W,); or, where the model is a part of something larger, a dictionary, list or tuple of
            arrays, nested as you like; or what `fit` returns, of which the weights are saved. Default: none, for a
            kernel without weights.

    Raises:
        TypeError: `model` is neither, or the weights are not real numbers.
        ValueError: The weights do not fit or are not finite, or the model was built from a `Program`, which has no
            circuit to save.
        OSError: The file cannot be written. What was there before is unchanged.

    Example:
        >>> import tempfile
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> model = qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=[])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     qj.save(folder + "/model.qmljax", model, np.arange(4.0))
        ...     again, weights = qj.load(folder + "/model.qmljax")
        >>> again == model, weights
        (True, array([0., 1., 2., 3.]))
    """
    header, arrays = encode(model)
    if hasattr(weights, "weights") and hasattr(weights, "history"):  # a FitResult
        weights = weights.weights
    if weights is None and model.num_weights:
        raise ValueError(f"`weights` must be those of the model, {model.num_weights} numbers, but are None.")
    tree, leaves = tree_to(weights)
    if tree == PREFIX:
        _check_shape(leaves[PREFIX], model.num_weights)
    _files.write(path, KIND, {"model": header, "weights": tree}, arrays | leaves)


def load(path: str | os.PathLike[str], *, backend: Backend | None = None) -> tuple[Any, Any]:
    """Reads a file that `save` wrote. Whatever is in it, no code in it is run.

    Args:
        path: The file.
        backend: What executes the circuit, as for the builders of models and kernels. Default: the simulator.

    Returns:
        The model or kernel, and its weights: of shape (W,), or of the structure that was saved.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, foreign, or of a later version.

    Example:
        >>> import tempfile
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import z_feature_map
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     qj.save(folder + "/kernel.qmljax", qj.fidelity_kernel(z_feature_map(2)))
        ...     kernel, weights = qj.load(folder + "/kernel.qmljax")
        >>> kernel.num_features, weights.shape
        (2, (0,))
    """
    header, arrays = _files.read(path, KIND)
    with _files.reading(path):
        _files.check(header, {"model": dict, "weights": TREE}, "its header")
        weights = tree_from(header["weights"], arrays)
        # With a backend in it, what is wrong with the file is told from what is wrong with the backend.
        model = decode(header["model"], arrays, backend and NOWHERE)
        if header["weights"] == PREFIX:
            _check_shape(weights, model.num_weights)
    return model if backend is None else decode(header["model"], arrays, backend), weights


def _check_shape(weights: np.ndarray, count: int) -> None:
    if weights.shape != (count,):
        hint = " Of an ensemble, save one member." if weights.ndim == 2 and weights.shape[1] == count else ""
        raise ValueError(f"`weights` must have shape ({count},), but have shape {weights.shape}.{hint}")


NOWHERE: Any = SimpleNamespace(
    expectation=lambda *_: _nowhere, probabilities=lambda *_: _nowhere, fidelity=lambda *_: _nowhere
)


def _nowhere(*_: Any) -> Any:
    raise NotImplementedError


def encode(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A model or kernel as a header and arrays, from which `decode` makes an equal one.

    Raises:
        TypeError: It is neither.
        ValueError: It was built from a `Program`.
    """
    if not isinstance(model, QNN | BaseKernel):
        raise TypeError(
            "`model` must be a QNN of estimator_qnn or sampler_qnn, or a kernel of fidelity_kernel or "
            f"projected_kernel, but is a {type(model).__name__}. Pass the model itself, and its weights as `weights`."
        )
    circuit, observables = model.source
    names, inputs = model.program.parameters, model.inputs if isinstance(model, QNN) else model.features
    header: dict[str, Any] = {
        "inputs": [names[k] for k in inputs],
        "weights": [names[k] for k in model.weights],
        "memory": model.memory,
    }
    arrays = {"circuit": circuit_to(circuit)}
    terms = [_plain(o.terms) for o in observables]
    if isinstance(model, ProjectedKernel):
        header |= {"type": "projected kernel", "observables": terms, "gamma": model.gamma, "progress": model.progress}
    elif isinstance(model, BaseKernel):
        duplicates = model.duplicates if isinstance(model, BackendKernel) else "off_diagonal"
        header |= {"type": "fidelity kernel", "local": _is_local(model)}
        header |= {"evaluate_duplicates": duplicates, "progress": model.progress}
    elif not model.normalised:
        header |= {"type": "estimator", "observables": terms}
    else:
        header |= {"type": "sampler", "output_shape": list(model.output_shape)}
        if (index := getattr(model, "index", None)) is not None:
            arrays["index"] = index.array
    return header, arrays


def decode(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], backend: Any = None) -> Any:
    """The model or kernel of a header and arrays.

    They may come from anyone: call it inside `qmljax._files.reading`, which makes one error of all that may be wrong.
    """
    _files.check(header, tuple(HEADERS), "its header of a model")
    if "circuit" not in arrays:
        raise ValueError("it holds no circuit")
    circuit = circuit_from(arrays["circuit"])
    options = {key: header[key] for key in ("inputs", "weights", "memory")} | {"backend": backend}
    match header["type"]:
        case "fidelity kernel":
            options |= {key: header[key] for key in ("local", "evaluate_duplicates", "progress")}
            return fidelity_kernel(circuit, **options)
        case "projected kernel":
            options |= {"observables": _observables(header, circuit.num_qubits), "progress": header["progress"]}
            return projected_kernel(circuit, gamma=header["gamma"], **options)
        case "estimator":
            return estimator_qnn(circuit, _observables(header, circuit.num_qubits), **options)
    shape = tuple(header["output_shape"])
    if "index" not in arrays:
        return sampler_qnn(circuit, output_shape=shape, **options)
    index = arrays["index"]
    if index.dtype.kind not in "iu" or index.ndim != 1 or min(shape, default=0) < 1 or math.prod(shape) >= 2**31:
        raise ValueError(f"its table of outputs, {index.dtype} of shape {index.shape}, does not fit {list(shape)}")
    outputs = np.stack(np.unravel_index(index, shape), axis=-1).tolist()
    options |= {"interpret": lambda outcome: tuple(outputs[outcome]), "output_shape": shape}
    model: Any = sampler_qnn(circuit, **options)
    if len(model.index.array) != len(index):
        raise ValueError(f"its table of outputs has {len(index)} entries for {len(model.index.array)} outcomes")
    return model


def _is_local(kernel: BaseKernel) -> bool:
    return kernel.local if isinstance(kernel, BackendKernel) else isinstance(kernel, LocalFidelityKernel)


def _plain(terms: Any) -> list[Any]:
    return [[[[int(q), letter] for q, letter in product], float(c)] for product, c in terms]


def _observables(header: Mapping[str, Any], num_qubits: int) -> list[Observable]:
    read = []
    for terms in header["observables"]:
        for product, coefficient in terms:
            qubits = [q for q, _ in product]
            inside = all(0 <= q < num_qubits for q in qubits) and sorted(set(qubits)) == qubits
            if not (inside and all(letter in IN_ZERO for _, letter in product) and math.isfinite(coefficient)):
                raise ValueError(f"it has an observable with the term {coefficient} {product}")
        products = tuple((tuple((q, letter) for q, letter in product), c) for product, c in terms)
        read.append(Observable(num_qubits, products))
    return read
