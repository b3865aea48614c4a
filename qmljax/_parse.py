"""`parse`: a Qiskit `QuantumCircuit`, or OpenQASM, becomes a `Program`.

Standard gates, which nearly all circuits consist of, are looked up in the table of `_gates`; every other instruction is
taken apart until only those, constant matrices and permutations are left. Global phases at any depth are kept: a
controlled gate turns them into relative ones.
"""

import pathlib
import weakref
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit import (
    AnnotatedOperation,
    ControlFlowOp,
    ControlledGate,
    ControlModifier,
    InverseModifier,
    Parameter,
    ParameterExpression,
    PowerModifier,
)
from qiskit.circuit.library import DiagonalGate, HamiltonianGate, PauliEvolutionGate, PermutationGate, UnitaryGate
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford, Operator

from qmljax import _gates
from qmljax._expressions import Affine, Expression, from_qiskit
from qmljax._gates import NONE, RULES, Control
from qmljax._program import Angle, Op, Program, Table, constant, inverse

_programs: "weakref.WeakValueDictionary[Program, Program]" = weakref.WeakValueDictionary()
_SKIPPED = ("barrier", "delay")
_NO_MATRIX = "It has neither a definition nor a matrix. Bind its parameters, or decompose it into standard gates."


def parse(
    circuit: QuantumCircuit | Program | str | pathlib.Path,
    *,
    evolution: Literal["definition", "exact"] = "definition",
) -> Program:
    """Turns a circuit into a `Program`, the static form that every other function of qmljax works on.

    Args:
        circuit: A Qiskit `QuantumCircuit` (also of the circuit library, also transpiled); or OpenQASM 2 or 3, as a
            string that starts with its `OPENQASM` line or as the `pathlib.Path` of a file; or a `Program`, returned as
            it is.
        evolution: What a `PauliEvolutionGate` means. "definition" follows its `.definition`, a product formula, as the
            transpiler and hardware do; "exact" the exponential of the operator, as `qiskit.quantum_info.Operator` does
            (a dense matrix of size ``4**k`` on k qubits).

    Returns:
        The program, with the circuit's parameters in the order of `circuit.parameters`. Programs of equal circuits are
        equal, hash alike and are one object: names of circuits and uuids of parameters do not count.

    Raises:
        TypeError: `circuit` is none of the above.
        NotImplementedError: The circuit has a mid-circuit measurement or reset, control flow, or another instruction
            that is no unitary operation.
        ValueError: An instruction has no value, such as a `HamiltonianGate` with an unbound time.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(2)
        >>> circuit.ry(Parameter("t"), 0)  # doctest: +ELLIPSIS
        <qiskit...>
        >>> circuit.cx(0, 1)  # doctest: +ELLIPSIS
        <qiskit...>
        >>> parse(circuit)
        Program(2 qubits, 1 parameters, 2 ops)
    """
    if isinstance(circuit, Program):
        return circuit
    if evolution not in ("definition", "exact"):
        raise ValueError(f'`evolution` must be "definition" or "exact", but is {evolution!r}.')
    if isinstance(circuit, str | pathlib.Path):
        circuit = _load_qasm(circuit)
    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(
            "`circuit` must be a qiskit QuantumCircuit, a qmljax Program, an OpenQASM string or the pathlib.Path of an "
            f"OpenQASM file, but is a {type(circuit).__name__}."
        )
    program = _Reader(circuit, evolution).program()
    return _programs.setdefault(program, program)


def _load_qasm(source: str | pathlib.Path) -> QuantumCircuit:
    if isinstance(source, pathlib.Path):
        source = source.read_text(encoding="utf-8")
    lines = (line.split("//")[0].strip() for line in source.splitlines())
    header = next((line for line in lines if line), "")
    if not header.startswith("OPENQASM"):
        raise ValueError(
            "An OpenQASM program must start with its version line, such as `OPENQASM 3.0;`, but this one starts with "
            f"{header[:40]!r}. To read a file, pass a pathlib.Path instead of a string."
        )
    if header.removeprefix("OPENQASM").strip().startswith("2"):
        return qasm2.loads(source, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    try:
        return qasm3.loads(source)
    except ImportError as error:
        raise ImportError("Reading OpenQASM 3 needs one more package: pip install 'qmljax[qasm]'.") from error


class _Reader:
    """Reads one circuit. Holds what accumulates: ops, expressions, which qubits are touched and measured."""

    def __init__(self, circuit: QuantumCircuit, evolution: str):
        self.circuit = circuit
        self.exact = evolution == "exact"
        self.names = tuple(p.name for p in circuit.parameters)
        self.position = {name: k for k, name in enumerate(self.names)}
        self.ops: list[Op] = []
        self.expressions: dict[Expression, int] = {}
        self.angles: dict[Parameter, Angle] = {}
        self.touched: set[int] = set()
        self.measured: dict[int, tuple[int, str]] = {}  # qubit: (where, which instruction) of its measurement
        self.reads: dict[int, int] = {}  # classical bit: qubit
        self.where = ""

    def program(self) -> Program:
        circuit = self.circuit
        phase = self.angle(circuit.global_phase)
        qubits = {bit: k for k, bit in enumerate(circuit.qubits)}
        clbits = {bit: k for k, bit in enumerate(circuit.clbits)}
        self.global_phase(phase, NONE)
        ops, touched, measured, template = self.ops, self.touched, self.measured, _gates.template
        for index, instruction in enumerate(circuit.data):
            name = instruction.name
            places = tuple([qubits[q] for q in instruction.qubits])
            if name in RULES and instruction.is_standard_gate():
                if measured:
                    self.where = _describe(index, name, places)
                    self.check_unmeasured(places)
                touched.update(places)
                angles = tuple([self.angle(p) for p in instruction.params])
                ops.extend([op.on(places, angles) for op in template(name)])
            else:
                self.where = _describe(index, name, places)
                self.read(instruction.operation, places, tuple([clbits[c] for c in instruction.clbits]), NONE)
        measured_qubits = tuple(self.reads[c] for c in sorted(self.reads)) if self.reads else None
        return Program(circuit.num_qubits, self.names, tuple(self.expressions), tuple(ops), measured_qubits)

    def angle(self, value: Any) -> Angle:
        """A gate's argument as a multiple of one of the program's expressions."""
        if isinstance(value, float | int):
            return constant(float(value))
        if isinstance(value, Parameter):
            angle = self.angles.get(value)
            if angle is None:
                angle = self.angles[value] = self.register(Affine(0.0, ((self.position[value.name], 1.0),)))
            return angle
        if isinstance(value, ParameterExpression):
            try:
                return self.register(from_qiskit(value, self.position))
            except ValueError as error:
                self.fail(ValueError, f"{error}")
        value = complex(value)
        if value.imag:
            self.fail(ValueError, f"Its argument {value} is complex; an angle must be real.")
        return constant(value.real)

    def register(self, expression: Expression) -> Angle:
        factor = 1.0
        if isinstance(expression, Affine):
            if not expression.terms:
                return constant(expression.const)
            if expression.const == 0.0 and len(expression.terms) == 1:
                ((index, factor),) = expression.terms
                expression = Affine(0.0, ((index, 1.0),))
        return Angle(self.expressions.setdefault(expression, len(self.expressions)), factor)

    def global_phase(self, angle: Angle, c: Control) -> None:
        if angle.scale != 0.0:
            self.ops.extend(_gates.phase(c, angle))

    def fail(self, error: type[Exception], reason: str) -> NoReturn:
        raise error(f"{self.where}: {reason}")

    def check_unmeasured(self, qubits: Sequence[int]) -> None:
        for q in qubits:
            if q in self.measured:
                self.fail(
                    NotImplementedError,
                    f"qubit {q} was measured before, by {self.measured[q]}, and mid-circuit measurement is not "
                    "supported. Measure at the end of the circuit only.",
                )

    def touch(self, qubits: Sequence[int]) -> None:
        self.check_unmeasured(qubits)
        self.touched.update(qubits)

    def read(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        """Adds the ops of any operation on `qubits`, acting where `c` is met."""
        name = operation.name
        if name in _SKIPPED:
            return
        if name == "measure":
            self.measured[qubits[0]] = self.where
            self.reads[clbits[0]] = qubits[0]
            return
        if name == "reset":
            if self.touched.intersection(qubits) or any(q in self.measured for q in qubits):
                self.fail(
                    NotImplementedError,
                    f"qubit {qubits[0]} is in use, and mid-circuit reset is not supported. Use another qubit instead.",
                )
            return
        if isinstance(operation, ControlFlowOp) or name == "store":
            self.fail(
                NotImplementedError,
                "control flow and classical variables are not supported. Unroll loops and branches before parsing.",
            )
        if name == "pauli_product_measurement":
            self.fail(NotImplementedError, "mid-circuit measurement is not supported. Measure an observable instead.")
        self.read_unitary(operation, qubits, clbits, c)

    def read_unitary(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        name = operation.name
        if name in RULES and RULES[name][0] == len(qubits) and getattr(operation, "_standard_gate", None) is not None:
            self.touch(qubits)
            angles = tuple(self.angle(p) for p in operation.params)
            places = c.qubits + qubits
            self.ops.extend(op.on(places, angles) for op in _gates.template(name, len(c.qubits), c.pattern))
        elif isinstance(operation, AnnotatedOperation):
            self.read_annotated(operation, qubits, c)
        elif isinstance(operation, ControlledGate) and _is_masked(operation):
            count = operation.num_ctrl_qubits
            self.touch(qubits)
            inner = c.and_(*qubits[:count], pattern=operation.ctrl_state)
            if operation.base_gate.name == "u" and len(operation.params) == 4:  # CU: the fourth angle is a phase
                self.global_phase(self.angle(operation.params[3]), inner)
            self.read_unitary(operation.base_gate, qubits[count:], clbits, inner)
        elif isinstance(operation, DiagonalGate):
            self.touch(qubits)
            table = Table(np.angle(np.asarray(operation.params, complex)))
            self.ops.append(Op("diagonal", qubits, c.qubits, c.pattern, table=table))
        elif isinstance(operation, PermutationGate):
            self.add(_gates.bit_permutation(tuple(int(k) for k in operation.pattern), qubits), qubits, c)
        elif isinstance(operation, PauliEvolutionGate) and self.exact:
            self.read_evolution(operation, qubits, c)
        elif isinstance(operation, UnitaryGate | HamiltonianGate) or name in ("rccx", "rcccx"):
            self.read_matrix(operation, qubits, c)
        elif isinstance(operation, Clifford):
            self.read_definition(operation.to_circuit(), qubits, clbits, c)
        elif getattr(operation, "definition", None) is not None:
            self.read_definition(operation.definition, qubits, clbits, c)
        else:
            self.read_matrix(operation, qubits, c)

    def add(self, ops: list[Op], qubits: Sequence[int], c: Control) -> None:
        self.touch(qubits)
        self.ops.extend(_gates.under_control(ops, c))

    def read_definition(
        self, definition: QuantumCircuit, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control
    ) -> None:
        self.global_phase(self.angle(definition.global_phase), c)
        place = {bit: qubits[k] for k, bit in enumerate(definition.qubits)}
        cplace = dict(zip(definition.clbits, clbits, strict=False))
        for instruction in definition.data:
            inner = tuple(place[q] for q in instruction.qubits)
            self.read(instruction.operation, inner, tuple(cplace[b] for b in instruction.clbits), c)

    def read_matrix(self, operation: Any, qubits: tuple[int, ...], c: Control) -> None:
        if any(isinstance(p, ParameterExpression) and p.parameters for p in operation.params):
            hint = " Or use PauliEvolutionGate." if isinstance(operation, HamiltonianGate) else ""
            self.fail(ValueError, f"it has unbound parameters and no closed form. Bind them before parsing.{hint}")
        try:
            unitary = np.asarray(operation.to_matrix() if hasattr(operation, "to_matrix") else Operator(operation).data)
        except (QiskitError, AttributeError, TypeError) as error:
            raise NotImplementedError(f"{self.where}: {_NO_MATRIX}") from error
        identity = unitary @ unitary.conj().T
        if np.abs(identity - np.eye(len(unitary))).max() > 1e-6:
            self.fail(ValueError, "its matrix is not unitary. Only unitary operations can be simulated.")
        self.add(_gates.matrix(unitary, qubits), qubits, c)

    def read_annotated(self, operation: AnnotatedOperation, qubits: tuple[int, ...], c: Control) -> None:
        """Reads the base, then lets each modifier in turn act on its ops; the controls are first in `qubits`."""
        start = sum(m.num_ctrl_qubits for m in operation.modifiers if isinstance(m, ControlModifier))
        base, modifiers = operation.base_op, list(operation.modifiers)
        if modifiers and isinstance(modifiers[0], PowerModifier) and not float(modifiers[0].power).is_integer():
            base = base.power(modifiers.pop(0).power)
        outside, self.ops = self.ops, []
        self.read_unitary(base, qubits[start:], (), NONE)
        ops, self.ops = self.ops, outside
        for modifier in modifiers:
            if isinstance(modifier, InverseModifier):
                ops = [inverse(op) for op in reversed(ops)]
            elif isinstance(modifier, ControlModifier):
                count = modifier.num_ctrl_qubits
                ops = _gates.under_control(ops, Control(qubits[start - count : start], modifier.ctrl_state))
                start -= count
            elif isinstance(modifier, PowerModifier) and float(modifier.power).is_integer():
                if modifier.power < 0:
                    ops = [inverse(op) for op in reversed(ops)]
                ops = ops * abs(int(modifier.power))
            else:
                self.fail(
                    NotImplementedError,
                    f"the modifier {modifier} is not supported. Apply fractional powers first, or use a UnitaryGate.",
                )
        self.add(ops, qubits, c)

    def read_evolution(self, gate: PauliEvolutionGate, qubits: tuple[int, ...], c: Control) -> None:
        """exp(-i t H) = V exp(-i t diag(E)) V^dagger, so that the time t may stay a parameter."""
        time = self.angle(gate.time).times(-1.0)
        operators = gate.operator if isinstance(gate.operator, list) else [gate.operator]
        for operator in operators:
            hamiltonian = np.asarray(operator.to_matrix())
            if np.count_nonzero(hamiltonian - np.diag(np.diag(hamiltonian))) == 0:
                outer, energies = [], np.diag(hamiltonian).real
            else:
                energies, vectors = np.linalg.eigh(hamiltonian)
                outer = [Op("dense", qubits, table=Table(vectors.conj().T.astype(complex)))]
            evolve = Op("diagonal", qubits, c.qubits, c.pattern, time, Table(energies))
            self.touch(qubits)
            self.ops.extend(_gates.conjugate(outer, [evolve]))


def _describe(index: int, name: str, qubits: tuple[int, ...]) -> str:
    return f"Instruction {index}, `{name}` on qubits {list(qubits)}"


def _is_masked(gate: ControlledGate) -> bool:
    """Whether the gate is its base gate under a mask (MCMT and MCX with ancillas are not)."""
    return gate.base_gate is not None and gate.num_ctrl_qubits + gate.base_gate.num_qubits == gate.num_qubits
