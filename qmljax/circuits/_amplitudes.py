"""Amplitude encoding: a gate that Qiskit does not have for parameters, and the circuit of it alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterExpression, ParameterVector
from qiskit.circuit.library import StatePreparation
from qiskit.exceptions import QiskitError

from qmljax._checks import check_count


class AmplitudeEncoding(Gate):
    """The gate that prepares |0...0> in the state whose amplitudes are its arguments, normalised.

    Qiskit's own, `StatePreparation`, needs numbers for them; this one takes parameters, too.

    Args:
        amplitudes: Numbers or parameters, at least two. If they are no power of two, zeros follow.

    Raises:
        QiskitError: Where it is decomposed, its amplitudes are no numbers yet, or all are zero.

    Example:
        >>> import qmljax as qj
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.append(AmplitudeEncoding(ParameterVector("x", 2)), [0])
        >>> qj.statevector(circuit)([3.0, 4.0]).real
        Array([0.6, 0.8], dtype=float32)
    """

    def __init__(self, amplitudes: Sequence[Any]):
        super().__init__("amplitude_encoding", (len(amplitudes) - 1).bit_length(), list(amplitudes))

    def _define(self) -> None:
        if any(isinstance(p, ParameterExpression) and p.parameters for p in self.params):
            raise QiskitError("Amplitudes must be numbers before they become gates: use `assign_parameters`.")
        amplitudes = np.zeros(1 << self.num_qubits)
        amplitudes[: len(self.params)] = np.array(self.params, float)
        norm = np.linalg.norm(amplitudes)
        if norm == 0:
            raise QiskitError("A vector of zeros cannot be normalised, so there is no state with these amplitudes.")
        self.definition = QuantumCircuit(self.num_qubits)
        self.definition.append(StatePreparation(amplitudes / norm), range(self.num_qubits))


def raw_feature_vector(num_features: int, name: str = "x") -> QuantumCircuit:
    """The amplitude encoding: the state has the features as its amplitudes, divided by their norm.

    To follow, other gates may be appended. A vector of zeros has no such state: qmljax refuses it, unless it is hidden
    by a transformation of JAX around the call; then its state is the null vector, and its fidelities are NaN. What
    Qiskit does to gates, such as `inverse` and `transpile`, needs bound parameters.

    Args:
        num_features: How many. If it is no power of two, zeros pad them.
        name: Of the `ParameterVector`.

    Returns:
        A circuit of ceil(log2(num_features)) qubits, at least one, with a parameter for each feature.

    Raises:
        ValueError: There are fewer than two features.
        TypeError: The name is no string.

    Example:
        >>> import qmljax as qj
        >>> circuit = raw_feature_vector(3)
        >>> circuit.num_qubits
        2
        >>> qj.statevector(circuit)([3.0, 0.0, 4.0]).real
        Array([0.6, 0. , 0.8, 0. ], dtype=float32)

    References:
        M. Schuld, F. Petruccione, "Supervised Learning with Quantum Computers", Springer (2018), section 5.2.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a string, the name of the parameters, but is {name!r}.")
    gate = AmplitudeEncoding(ParameterVector(name, check_count(num_features, "num_features", least=2)).params)
    circuit = QuantumCircuit(gate.num_qubits, name="raw_feature_vector")
    circuit.append(gate, range(gate.num_qubits))
    return circuit
