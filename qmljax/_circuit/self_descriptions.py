"""What a gate says of itself, its definition and its matrix, checked: anybody may write a gate, and make it raise."""

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ControlledGate, ParameterExpression
from qiskit.circuit.library import HamiltonianGate, PauliEvolutionGate
from qiskit.quantum_info import Operator


def definition(operation: Any, where: str) -> QuantumCircuit | None:
    """Its definition, if it has one; `where` says in errors which instruction it is."""
    try:
        found = getattr(operation, "definition", None)
    except RecursionError:
        raise
    except Exception as error:  # such as RVGate's, which needs numbers to be decomposed
        if isinstance(operation, PauliEvolutionGate):
            raise ValueError(
                f"{where}: its {type(operation.synthesis).__name__} synthesis gives no definition: {error} Bind its "
                'time, use another synthesis, or read the exponential itself: parse(circuit, evolution="exact").'
            ) from error
        return None
    if found is None:
        return None
    wanted = operation.num_qubits, operation.num_clbits if hasattr(operation, "num_clbits") else 0
    size = getattr(found, "num_qubits", None), getattr(found, "num_clbits", None)
    fits = isinstance(found, QuantumCircuit) and found.num_qubits <= wanted[0] and found.num_clbits <= wanted[1]
    if not fits:  # some of Qiskit's own leave out ancillas that they do not use
        raise ValueError(
            f"{where}: its definition must be a QuantumCircuit on {wanted[0]} qubits and {wanted[1]} classical bits, "
            f"but is a {type(found).__name__} on {size[0]} and {size[1]}. Correct the class of the gate."
        )
    return found


def matrix(operation: Any, where: str) -> np.ndarray:
    """Its matrix, which is unitary and has the size of its qubits."""
    if is_channel(operation):
        raise NotImplementedError(
            f"{where}: it is a channel, which mixes states. Simulate the circuit by qj.density_matrix, or by "
            "noise.Simulator(noise.NoiseModel({})), which is a backend of models, too."
        )
    if any(isinstance(p, ParameterExpression) and p.parameters for p in getattr(operation, "params", ())):
        hint = ""
        if isinstance(operation, HamiltonianGate):
            hint = (
                " Or use PauliEvolutionGate. If it defines one, by MatrixExponential, read the exponential itself: "
                'parse(circuit, evolution="exact").'
            )
        raise ValueError(f"{where}: it has unbound parameters and no closed form. Bind them before parsing.{hint}")
    try:
        own = operation.to_matrix() if hasattr(operation, "to_matrix") else Operator(operation).data
        unitary = np.asarray(own).astype(complex)
    except RecursionError:
        raise
    except Exception as error:
        reason = f" ({type(error).__name__}: {error})" if str(error) else ""
        raise NotImplementedError(
            f"{where}: it has neither a definition nor a matrix{reason}. Decompose it into standard gates, such as "
            'by qiskit.transpile(circuit, basis_gates=["u", "cx"]).'
        ) from error
    size = 1 << operation.num_qubits
    if unitary.shape != (size, size):
        raise ValueError(
            f"{where}: its matrix must be of size {size}, for {operation.num_qubits} qubits, but has shape "
            f"{unitary.shape}. Correct the class of the gate."
        )
    if not np.abs(unitary @ unitary.conj().T - np.eye(size)).max() < 1e-6:  # also where it is NaN
        raise ValueError(f"{where}: its matrix is not unitary. Only unitary operations can be simulated.")
    return unitary


def is_channel(operation: Any) -> bool:
    """Whether it is a channel, such as Qiskit's Kraus or an error of Aer."""
    return operation.name in ("kraus", "superop") or hasattr(operation, "_quantum_error")


def is_standard(operation: Any) -> bool:
    """Whether the operation is one of Qiskit's own standard gates, and not another one of the same name."""
    return getattr(operation, "_standard_gate", None) is not None


def is_masked(gate: ControlledGate) -> bool:
    """Whether the gate is its base gate under a mask (MCMT and MCX with ancillas are not)."""
    base = gate.base_gate
    if base is None or gate.num_ctrl_qubits + base.num_qubits != gate.num_qubits:
        return False
    # `QuantumCircuit.assign_parameters` changes `base.params` and `gate.definition`, but not `base.definition`.
    definition = getattr(base, "_definition", None)
    expressions = [p for p in base.params if isinstance(p, ParameterExpression)]
    return is_standard(base) or definition is None or list(definition.parameters) == expressions
