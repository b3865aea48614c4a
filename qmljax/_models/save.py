"""Files of trained models: the circuit as QPY, what is read from it, and the weights. Loading one runs no code."""

import functools
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Instruction

from qmljax import _files
from qmljax._circuit.observables import Observable
from qmljax._models.backend import Backend
from qmljax._models.networks import estimator_qnn, sampler_qnn
from qmljax._models.protocols import Model
from qmljax.circuits import AmplitudeEncoding

KIND = "model"
AMPLITUDES, OPAQUE = {"amplitude_encoding", "ParameterizedInitialize"}, "amplitudes"


def save(path: str | os.PathLike[str], model: Model, weights: Any) -> None:
    """Writes a QNN and its weights to a file, all at once: what was there before stays until the new file is whole.

    The file is a safetensors file; the circuit in it is Qiskit's QPY. A model on a backend is saved without it. (For
    estimators of scikit-learn's kind see their method `save`.)

    Args:
        path: The file.
        model: What `estimator_qnn` or `sampler_qnn` returns.
        weights: Of shape (W,).

    Raises:
        TypeError: `model` is no QNN.
        ValueError: The weights do not fit, or the QNN was built from a `Program`, which has no circuit to save.

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
    weights = np.asarray(weights)
    if weights.shape != (model.num_weights,):
        raise ValueError(f"`weights` must have shape ({model.num_weights},), but have shape {weights.shape}.")
    _files.write(path, KIND, header, arrays | {"weights": weights})


def load(path: str | os.PathLike[str], *, backend: Backend | None = None) -> tuple[Model, np.ndarray]:
    """Reads a file that `save` wrote.

    Args:
        path: The file.
        backend: What executes the circuit, as for `estimator_qnn`. Default: the simulator.

    Returns:
        The model, and its weights of shape (W,).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, foreign, or of a later version.
    """
    header, arrays = _files.read(path, KIND)
    return decode(header, arrays, backend), arrays["weights"]


def encode(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A QNN as a header and arrays."""
    if not hasattr(model, "source"):
        raise TypeError(f"`model` must be a QNN of estimator_qnn or sampler_qnn, but is a {type(model).__name__}.")
    circuit, observables = model.source
    names = model.program.parameters
    header = {
        "inputs": [names[k] for k in model.inputs],
        "weights": [names[k] for k in model.weights],
        "observables": [o.terms for o in observables],
        "output_shape": model.output_shape,
        "memory": model.memory,
    }
    arrays = {"circuit": circuit_to(circuit)}
    if getattr(model, "index", None) is not None:
        arrays["index"] = model.index.array
    return header, arrays


def decode(header: dict[str, Any], arrays: dict[str, np.ndarray], backend: Any = None) -> Any:
    """The QNN of a header and arrays."""
    circuit = circuit_from(arrays["circuit"])
    options = {key: header[key] for key in ("inputs", "weights", "memory")} | {"backend": backend}
    if header["observables"]:
        read = [
            Observable(circuit.num_qubits, tuple((tuple((q, a) for q, a in product), c) for product, c in terms))
            for terms in header["observables"]
        ]
        return estimator_qnn(circuit, read, **options)
    if "index" in arrays:
        shape = tuple(header["output_shape"])
        outputs = np.stack(np.unravel_index(arrays["index"], shape), axis=-1).tolist()
        options |= {"interpret": lambda outcome: tuple(outputs[outcome]), "output_shape": shape}
    return sampler_qnn(circuit, **options)


def circuit_to(circuit: Any) -> np.ndarray:
    """A circuit as the bytes of its QPY, in which amplitudes, no gates for Qiskit while parameters, are opaque."""
    if not isinstance(circuit, QuantumCircuit):
        raise ValueError("A model that was built from a Program has no circuit to save. Build it from the circuit.")
    file = io.BytesIO()
    opaque = functools.partial(Instruction, OPAQUE)
    qpy.dump(_replaced(circuit, AMPLITUDES, lambda op: opaque(op.num_qubits, 0, list(op.params))), file)
    return np.frombuffer(file.getvalue(), np.uint8)


def circuit_from(array: np.ndarray) -> QuantumCircuit:
    """The circuit of `circuit_to`."""
    (circuit,) = qpy.load(io.BytesIO(array.tobytes()))
    return _replaced(circuit, {OPAQUE}, lambda op: AmplitudeEncoding(op.params))


def _replaced(circuit: QuantumCircuit, names: set[str], new: Callable[[Any], Any]) -> QuantumCircuit:
    if not any(item.operation.name in names for item in circuit.data):
        return circuit
    copy = circuit.copy_empty_like()
    for item in circuit.data:
        copy.append(item.replace(operation=new(item.operation)) if item.operation.name in names else item)
    return copy
