"""Reads a Qiskit `QuantumCircuit`, instruction by instruction.

Standard gates, which nearly all circuits consist of, are looked up in the table of `gates`; every other instruction is
taken apart until only those, constant matrices and permutations are left. Global phases at any depth are kept: a
controlled gate turns them into relative ones.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    BoxOp,
    BreakLoopOp,
    ContinueLoopOp,
    ControlFlowOp,
    ControlledGate,
    ControlModifier,
    Delay,
    ForLoopOp,
    InverseModifier,
    Measure,
    Parameter,
    ParameterExpression,
    PowerModifier,
    Reset,
    Store,
)
from qiskit.circuit.library import (
    DiagonalGate,
    HamiltonianGate,
    PauliEvolutionGate,
    PauliProductMeasurement,
    PauliProductRotationGate,
    PermutationGate,
    RC3XGate,
    RCCXGate,
    UnitaryGate,
    WeightedSumGate,
)
from qiskit.quantum_info import Clifford, SparseObservable, SparsePauliOp

from qmljax._circuit import gates, self_descriptions
from qmljax._circuit.expressions import Affine, Expression, from_qiskit
from qmljax._circuit.gates import NONE, RULES, Control
from qmljax._circuit.program import Angle, Op, Program, Table, constant, inverse
from qmljax._circuit.self_descriptions import is_masked, is_standard
from qmljax.circuits import AmplitudeEncoding

MOST_REPEATED = 10**6  # operations that a loop or a power may come to: files may ask for more than memory holds


class IsDynamic(Exception):
    """The circuit measures, resets or branches before its end, which takes another reader."""


class Reader:
    """Reads one circuit. Holds what accumulates: ops, expressions, which qubits are measured."""

    def __init__(self, circuit: QuantumCircuit, evolution: str):
        self.circuit = circuit
        self.exact = evolution == "exact"
        self.names = tuple(p.name for p in circuit.parameters)
        self.position = {name: k for k, name in enumerate(self.names)}
        self.ops: list[Op] = []
        self.expressions: dict[Expression, int] = {}
        self.angles: dict[Parameter, Angle] = {}
        self.measured: set[int] = set()
        self.reads: dict[int, int] = {}  # classical bit: qubit
        self.at: tuple[int, str, tuple[int, ...]] | None = None  # the instruction being read: index, name, qubits

    def read_circuit(self) -> None:
        """Reads all instructions."""
        circuit = self.circuit
        self.global_phase(self.angle(circuit.global_phase), NONE)
        qubits = {bit: k for k, bit in enumerate(circuit.qubits)}
        clbits = {bit: k for k, bit in enumerate(circuit.clbits)}
        placed: dict[tuple[str, tuple[int, ...]], list[Op]] = {}
        for index, instruction in enumerate(circuit.data):
            name = instruction.name
            places = tuple([qubits[q] for q in instruction.qubits])
            self.at = index, name, places
            if name in RULES and instruction.is_standard_gate():
                if self.measured:
                    self.check_unmeasured(places)
                ops = placed.get((name, places))
                if ops is None:
                    ops = placed[name, places] = [op.on(places) for op in gates.template(name)]
                if RULES[name][1]:
                    angles = [self.angle(p) for p in instruction.params]
                    ops = [op.of(angles) for op in ops]
                self.ops.extend(ops)
                self.after(name, places)
            else:
                self.read(instruction.operation, places, tuple([clbits[c] for c in instruction.clbits]), NONE)

    def program(self) -> Program:
        """What has been read."""
        bits = tuple(sorted(self.reads))
        measured = tuple(self.reads[c] for c in bits) if bits else None
        circuit = self.circuit
        about = self.names, tuple(self.expressions), tuple(self.ops)
        return Program(circuit.num_qubits, *about, measured, bits, circuit.num_clbits)

    def after(self, name: str, qubits: tuple[int, ...]) -> None:
        """What happens after a gate: nothing, where there is no noise."""

    def angle(self, value: Any) -> Angle:
        """A gate's argument as a multiple of one of the program's expressions."""
        if isinstance(value, float | int):
            return constant(float(value))
        if isinstance(value, Parameter) and value in self.angles:
            return self.angles[value]
        if isinstance(value, ParameterExpression):
            try:
                angle = self.register(from_qiskit(value, self.position))
            except (ValueError, NotImplementedError) as error:
                self.fail(type(error), str(error))
            if isinstance(value, Parameter):
                self.angles[value] = angle
            return angle
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
            self.ops.extend(gates.phase(c, angle))

    @property
    def where(self) -> str:
        if self.at is None:
            return "The global phase of the circuit"
        index, name, qubits = self.at
        return f"Instruction {index}, `{name}` on qubits {list(qubits)}"

    def fail(self, error: type[Exception], reason: str) -> NoReturn:
        raise error(f"{self.where}: {reason}")

    def check_unmeasured(self, qubits: Sequence[int]) -> None:
        if not self.measured.isdisjoint(qubits):
            raise IsDynamic

    def read(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        """Adds the ops of any operation on `qubits`, acting where `c` is met."""
        if isinstance(operation, Barrier | Delay) or _is_saving(operation):
            pass
        elif isinstance(operation, Measure):
            self.measured.add(qubits[0])
            self.reads[clbits[0]] = qubits[0]
        elif isinstance(operation, Reset):
            if qubits[0] in self.measured or any(qubits[0] in op.qubits + op.controls for op in self.ops):
                raise IsDynamic
        elif isinstance(operation, BoxOp):
            self.read_definition(operation.body, qubits, clbits, c)
        elif isinstance(operation, ForLoopOp):
            self.read_loop(operation, qubits, clbits, c)
        elif isinstance(operation, ControlFlowOp | BreakLoopOp | ContinueLoopOp | Store | PauliProductMeasurement):
            raise IsDynamic
        else:
            self.read_unitary(operation, qubits, clbits, c)

    def read_unitary(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        name = operation.name
        if name in RULES and is_standard(operation):
            self.check_unmeasured(qubits)
            angles = [self.angle(p) for p in operation.params]
            places = c.qubits + qubits
            self.ops.extend(op.on(places).of(angles) for op in gates.template(name, len(c.qubits), c.pattern))
        elif isinstance(operation, AnnotatedOperation):
            self.read_annotated(operation, qubits, c)
        elif isinstance(operation, ControlledGate) and is_masked(operation):
            count = operation.num_ctrl_qubits
            self.check_unmeasured(qubits)
            inner = c.and_(*qubits[:count], pattern=operation.ctrl_state)
            if operation.base_gate.name == "u" and len(operation.params) == 4:  # CU: the fourth angle is a phase
                self.global_phase(self.angle(operation.params[3]), inner)
            self.read_unitary(operation.base_gate, qubits[count:], clbits, inner)
        elif isinstance(operation, AmplitudeEncoding) or name == "ParameterizedInitialize":  # of Qiskit ML
            self.read_amplitudes(operation, qubits, c)
        elif isinstance(operation, DiagonalGate):
            self.check_unmeasured(qubits)
            table = Table(np.angle(np.asarray(operation.params, complex)))
            self.ops.append(Op("diagonal", qubits, c.qubits, c.pattern, table=table))
        elif isinstance(operation, PermutationGate):
            self.add(gates.bit_permutation(tuple(int(k) for k in operation.pattern), qubits), qubits, c)
        elif isinstance(operation, WeightedSumGate):
            self.add(gates.weighted_sum([int(w) for w in operation.params], qubits), qubits, c)
        elif isinstance(operation, PauliProductRotationGate):  # its definition forgets the phase of an identity
            self.check_unmeasured(qubits)
            change, support = gates.pauli(operation.pauli().to_label(), qubits)
            turn = gates.parity(c, support, self.angle(operation.params[0]).times(-0.5))
            self.ops.extend(gates.conjugate(change, turn))
        elif isinstance(operation, PauliEvolutionGate) and self.exact:
            self.read_evolution(operation, qubits, c)
        elif isinstance(operation, UnitaryGate | HamiltonianGate | RCCXGate | RC3XGate):
            self.read_matrix(operation, qubits, c)
        elif isinstance(operation, Clifford):
            self.read_definition(operation.to_circuit(), qubits, clbits, c)
        elif (definition := self_descriptions.definition(operation, self.where)) is not None:
            self.read_definition(definition, qubits, clbits, c)
        else:
            self.read_matrix(operation, qubits, c)

    def read_amplitudes(self, operation: Any, qubits: tuple[int, ...], c: Control) -> None:
        self.check_unmeasured(qubits)
        if c.qubits or any(set(qubits) & {*op.qubits, *op.controls} for op in self.ops):
            self.fail_to_load()
        self.ops.append(Op("load", qubits, table=Table([self.angle(p) for p in operation.params])))

    def fail_to_load(self) -> NoReturn:
        self.fail(
            NotImplementedError,
            "amplitudes can be loaded only by the first instruction on their qubits, without controls or modifiers. "
            "Put it first, or bind its parameters and use its `definition`, which is made of gates.",
        )

    def add(self, ops: list[Op], qubits: Sequence[int], c: Control) -> None:
        self.check_unmeasured(qubits)
        self.ops.extend(gates.under_control(ops, c))

    def read_loop(self, loop: ForLoopOp, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        indices, parameter, body = loop.params
        if not isinstance(indices, range | Sequence) or not isinstance(parameter, Parameter | None):
            self.fail(NotImplementedError, "it loops over what is not known before it runs. Loop over numbers instead.")
        for turn, index in enumerate(indices):
            self.check_repeated(max(turn, len(self.ops)))
            used = parameter is not None and parameter in body.parameters
            turned = body.assign_parameters({parameter: index}) if used else body
            if not self.read_turn(turned, qubits, clbits, c):
                break

    def read_turn(self, body: QuantumCircuit, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> bool:
        """Reads one turn of a loop. Whether there may be another."""
        self.read_definition(body, qubits, clbits, c)
        return True

    def check_repeated(self, count: int) -> None:
        if count > MOST_REPEATED:
            self.fail(ValueError, f"it must not repeat more than {MOST_REPEATED} operations. Repeat it fewer times.")

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
        self.add(gates.matrix(self_descriptions.matrix(operation, self.where), qubits), qubits, c)

    def read_annotated(self, operation: AnnotatedOperation, qubits: tuple[int, ...], c: Control) -> None:
        """Reads the base, then lets each modifier in turn act on its ops; the controls are first in `qubits`."""
        # `DiagonalGate.inverse(annotated=True)` of Qiskit has the class where an object belongs.
        modifiers = [InverseModifier() if m is InverseModifier else m for m in operation.modifiers]
        for m in modifiers:
            if not isinstance(m, InverseModifier | PowerModifier | ControlModifier):
                self.fail(
                    NotImplementedError, f"its modifier {m!r} is no inverse, power or control. Write it as gates."
                )
        start = sum(m.num_ctrl_qubits for m in modifiers if isinstance(m, ControlModifier))
        if any(isinstance(m, PowerModifier) and not float(m.power).is_integer() for m in modifiers):
            # A root of a matrix is its principal one, which no gate by gate rule gives.
            self.read_matrix(AnnotatedOperation(operation.base_op, modifiers), qubits, c)
            return
        outside, self.ops = self.ops, []
        self.read_unitary(operation.base_op, qubits[start:], (), NONE)
        ops, self.ops = self.ops, outside
        if any(op.kind == "load" for op in ops):
            self.fail_to_load()
        for modifier in modifiers:
            if isinstance(modifier, InverseModifier) or (isinstance(modifier, PowerModifier) and modifier.power < 0):
                ops = [inverse(op) for op in reversed(ops)]
            if isinstance(modifier, PowerModifier):
                self.check_repeated(len(ops) * abs(int(modifier.power)))
                ops = ops * abs(int(modifier.power))
            elif isinstance(modifier, ControlModifier):
                count = modifier.num_ctrl_qubits
                ops = gates.under_control(ops, Control(qubits[start - count : start], modifier.ctrl_state))
                start -= count
        self.add(ops, qubits, c)

    def read_evolution(self, gate: PauliEvolutionGate, qubits: tuple[int, ...], c: Control) -> None:
        """exp(-i t H) = V exp(-i t diag(E)) V^dagger, so that the time t may stay a parameter."""
        time = self.angle(gate.time).times(-1.0)
        operators = gate.operator if isinstance(gate.operator, list) else [gate.operator]
        sparse = [SparsePauliOp.from_sparse_observable(o) if isinstance(o, SparseObservable) else o for o in operators]
        hamiltonian = np.asarray(sum(o.to_matrix() for o in sparse))  # a list means its sum here
        if np.count_nonzero(hamiltonian - np.diag(np.diag(hamiltonian))) == 0:
            outer, energies = [], np.diag(hamiltonian).real
        else:
            energies, vectors = np.linalg.eigh(hamiltonian)
            outer = [Op("dense", qubits, table=Table(vectors.conj().T.astype(complex)))]
        self.check_unmeasured(qubits)
        self.ops.extend(gates.conjugate(outer, [Op("diagonal", qubits, c.qubits, c.pattern, time, Table(energies))]))


def _is_saving(operation: Any) -> bool:
    """Whether this is one of Aer's instructions to save something, which do nothing to a state."""
    # Some classes of Qiskit name no module.
    return (type(operation).__module__ or "").startswith("qiskit_aer.library.save_instructions")
