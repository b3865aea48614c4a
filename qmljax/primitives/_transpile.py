"""From a circuit to what a device executes: once for each circuit and device, seeded, and checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager

LEVEL = 3
SEED = 0


class Prepared(NamedTuple):
    """A circuit in the instructions of a device.

    Attributes:
        circuit: That circuit.
        columns: Which arguments its parameters are, in their order. It may have lost some that cannot matter.
    """

    circuit: QuantumCircuit
    columns: tuple[int, ...]

    def lay_out(self, observable: SparsePauliOp) -> SparsePauliOp:
        """The observable on the qubits of the device."""
        return observable.apply_layout(self.circuit.layout, self.circuit.num_qubits)


def device(primitive: Any) -> Any:
    """The backend that a primitive runs on, or None where it takes any circuit."""
    for name in ("backend", "_backend"):
        found = getattr(primitive, name, None)
        if callable(found) and not hasattr(found, "target"):
            found = found()
        if hasattr(found, "target"):
            return found
    return None


def prepare(circuit: QuantumCircuit, parameters: Sequence[Any], backend: Any, pass_manager: Any) -> Prepared:
    """Transpiles and checks. `parameters` are those of the arguments, in order.

    Raises:
        ValueError: The circuit is still not one that the backend executes.
    """
    if pass_manager is None and backend is not None:
        pass_manager = generate_preset_pass_manager(optimization_level=LEVEL, backend=backend, seed_transpiler=SEED)
    if pass_manager is not None:
        circuit = pass_manager.run(circuit)
    if backend is not None:
        check(circuit, backend)
    place = {p: k for k, p in enumerate(parameters)}
    return Prepared(circuit, tuple(place[p] for p in circuit.parameters))


def check(circuit: QuantumCircuit, backend: Any) -> None:
    """Refuses a circuit that the backend does not execute as it is."""
    target, name = backend.target, getattr(backend, "name", "the backend")
    if getattr(getattr(backend, "options", None), "use_fractional_gates", False):
        raise ValueError(
            f"{name} was opened with fractional gates, whose angles must lie in [0, pi/2]; parameter shifts leave that "
            "range. Open it with use_fractional_gates=False."
        )
    way_out = "Leave out `pass_manager`, or make it for this backend with generate_preset_pass_manager."
    if target.num_qubits is not None and circuit.num_qubits > target.num_qubits:
        raise ValueError(
            f"{name} has {target.num_qubits} qubits, but the transpiled circuit has {circuit.num_qubits}. {way_out}"
        )
    place = {bit: k for k, bit in enumerate(circuit.qubits)}
    for instruction in circuit.data:
        qubits = tuple(place[q] for q in instruction.qubits)
        if instruction.name != "barrier" and not target.instruction_supported(instruction.name, qubits):
            raise ValueError(
                f"{name} does not execute `{instruction.name}` on qubits {list(qubits)}, which the circuit has after "
                f"transpiling. {way_out}"
            )
