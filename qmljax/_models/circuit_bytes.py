"""A circuit as bytes: Qiskit's QPY, in one version, so that a file depends on no more of Qiskit than that."""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Instruction

from qmljax._models.qpy_limits import VERSION, check_limits
from qmljax.circuits import AmplitudeEncoding

AMPLITUDES, OPAQUE = {"amplitude_encoding", "ParameterizedInitialize"}, "amplitudes"


def circuit_to(circuit: Any) -> np.ndarray:
    """A circuit as the bytes of its QPY, in which amplitudes, no gates for Qiskit while parameters, are opaque."""
    if not isinstance(circuit, QuantumCircuit):
        raise ValueError("What was built from a Program has no circuit to save. Build it from the circuit.")
    file = io.BytesIO()
    opaque = functools.partial(Instruction, OPAQUE)
    replaced = _replaced(circuit, AMPLITUDES, lambda op: opaque(op.num_qubits, 0, list(op.params)))
    qpy.dump(replaced, file, version=VERSION)
    check_limits(file.getvalue())  # what cannot be loaded again should not be saved
    return np.frombuffer(file.getvalue(), np.uint8)


def circuit_from(array: np.ndarray) -> QuantumCircuit:
    """The circuit of `circuit_to`.

    Raises:
        ValueError: The array is no circuit, or one that states more than can be.
        Exception: Whatever else Qiskit raises; `qmljax._files.reading` makes one error of them.
    """
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"its circuit must be bytes, but is {array.dtype} of shape {array.shape}")
    content = array.tobytes()
    check_limits(content)
    (circuit,) = qpy.load(io.BytesIO(content))
    return _replaced(circuit, {OPAQUE}, lambda op: AmplitudeEncoding(op.params))


def _replaced(circuit: QuantumCircuit, names: set[str], new: Callable[[Any], Any]) -> QuantumCircuit:
    if not any(item.operation.name in names for item in circuit.data):
        return circuit
    copy = circuit.copy_empty_like()
    for item in circuit.data:
        copy.append(item.replace(operation=new(item.operation)) if item.operation.name in names else item)
    return copy
