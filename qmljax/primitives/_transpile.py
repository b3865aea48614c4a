"""From a circuit to what a device executes: once for each circuit and device, seeded, and checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, generate_preset_pass_manager

LEVEL = 3
SEED = 0

# The gates with parameters that Aer's own primitives bind rightly: those of controlled gates are overlooked (measured
# with qiskit-aer 0.18.2: cp crx cry crz cu1 cu3 mcphase), and those of open controls go to another gate.
BOUND_BY_AER = {"p", "r", "rx", "rxx", "ry", "ryy", "rz", "rzx", "rzz", "u", "u1", "u2", "u3"}
BIND_BY_THEMSELVES = {"qiskit", "qiskit_ibm_runtime"}  # packages whose primitives give Aer's simulator numbers alone


class Prepared(NamedTuple):
    """A circuit in the instructions of a device.

    Attributes:
        circuit: That circuit.
        columns: Which arguments its parameters are, in their order. It may have lost some that cannot matter.
    """

    circuit: QuantumCircuit
    columns: tuple[int, ...]

    def lay_out(self, observable: SparsePauliOp) -> SparsePauliOp:
        """An observable on the qubits of the device.

        Args:
            observable: On the qubits of the circuit before it was transpiled.

        Returns:
            The same on those of `circuit`.
        """
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


def binds_as_aer(primitive: Any) -> bool:
    """Whether Aer binds the parameters: in its own primitives, and in what wraps one."""
    if _package(primitive) in BIND_BY_THEMSELVES:
        return False
    inside = [part for part in getattr(primitive, "__dict__", {}).values() if hasattr(part, "run")]
    return any(_is_aers(part) for part in (primitive, device(primitive), *inside))


def _package(thing: Any) -> str:
    return type(thing).__module__.partition(".")[0]


def _is_aers(thing: Any) -> bool:
    return any(cls.__module__.partition(".")[0] == "qiskit_aer" for cls in type(thing).__mro__)


def prepare(circuit: QuantumCircuit, parameters: Sequence[Any], primitive: Any, pass_manager: Any) -> Prepared:
    """Transpiles and checks. `parameters` are those of the arguments, in order.

    Raises:
        ValueError: The circuit is still not one that the backend executes.
    """
    backend = device(primitive)
    if pass_manager is None and backend is not None:
        free = without(backend.target, bounded(backend))
        pass_manager = generate_preset_pass_manager(
            optimization_level=LEVEL, backend=backend, target=free, seed_transpiler=SEED
        )
    if pass_manager is not None:
        circuit = pass_manager.run(circuit)
    if binds_as_aer(primitive):
        circuit = decomposed(circuit, BOUND_BY_AER)
    if backend is not None:
        check(circuit, backend)
    place = {p: k for k, p in enumerate(parameters)}
    return Prepared(circuit, tuple(place[p] for p in circuit.parameters))


def _has_parameters(operation: Any) -> bool:
    """Not Qiskit's `is_parameterized`, which overlooks those of controlled gates: that is what Aer relies on."""
    return any(isinstance(p, ParameterExpression) and p.parameters for p in operation.params)


def decomposed(circuit: QuantumCircuit, kept: set[str]) -> QuantumCircuit:
    """The circuit, in which no gates but those in `kept` have parameters; its layout stays."""
    if all(item.name in kept or not _has_parameters(item.operation) for item in circuit.data):
        return circuit
    result = circuit.copy_empty_like()

    def add(item: Any, places: dict[Any, Any]) -> None:
        qubits = [places[q] for q in item.qubits]
        if item.name in kept or not _has_parameters(item.operation):
            result.append(item.operation, qubits, item.clbits)
            return
        definition = item.operation.definition
        result.global_phase += definition.global_phase
        for part in definition.data:
            add(part, dict(zip(definition.qubits, qubits, strict=True)))

    for item in circuit.data:
        add(item, {q: q for q in circuit.qubits})
    return result


def bounded(backend: Any) -> set[str]:
    """The gates of a device whose angles must lie in an interval, which parameter shifts leave: fractional gates."""
    target, options = backend.target, getattr(backend, "options", None)
    names = {name for name in target.operation_names if target.gate_has_angle_bounds(name)}
    return names | ({"rzz"} & set(target.operation_names) if getattr(options, "use_fractional_gates", False) else set())


def without(target: Target, names: set[str]) -> Target:
    """The target without some gates."""
    if not names:
        return target
    about = ("description", "num_qubits", "dt", "granularity", "min_length", "pulse_alignment", "acquire_alignment")
    more = ("qubit_properties", "concurrent_measurements")
    free = Target(**{name: getattr(target, name) for name in about + more})
    for name in target.operation_names:
        if name not in names:
            where = target[name]
            free.add_instruction(target.operation_from_name(name), None if None in where else where, name=name)
    return free


def check(circuit: QuantumCircuit, backend: Any) -> None:
    """Refuses a circuit that the backend does not execute as it is."""
    target, name = backend.target, getattr(backend, "name", "the backend")
    if limited := {i.name for i in circuit.data if _has_parameters(i.operation)} & bounded(backend):
        raise ValueError(
            f"{name} executes `{min(limited)}` with angles in an interval alone, which parameter shifts leave, but the "
            "transpiled circuit has one with a parameter. Leave out `pass_manager`, or make it for this backend opened "
            "with use_fractional_gates=False."
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
