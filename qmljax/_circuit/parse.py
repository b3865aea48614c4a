"""`parse`: a Qiskit `QuantumCircuit`, or OpenQASM, becomes a `Program`.

Standard gates, which nearly all circuits consist of, are looked up in the table of `gates`; every other instruction is
taken apart until only those, constant matrices and permutations are left. Global phases at any depth are kept: a
controlled gate turns them into relative ones.
"""

import pathlib
import weakref
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

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
from qmljax._circuit.openqasm import load
from qmljax._circuit.program import Angle, Op, Program, Table, constant, inverse
from qmljax._circuit.self_descriptions import is_masked, is_standard
from qmljax.circuits import AmplitudeEncoding

MOST_REPEATED = 10**6  # operations that a loop or a power may come to: files may ask for more than memory holds

_programs: "weakref.WeakKeyDictionary[Program, weakref.ref[Program]]" = weakref.WeakKeyDictionary()


def parse(
    circuit: QuantumCircuit | Program | str | pathlib.Path,
    *,
    evolution: Literal["definition", "exact"] = "definition",
) -> Program:
    """Turns a circuit into a `Program`, the static form that every other function of qmljax works on.

    Args:
        circuit: A Qiskit `QuantumCircuit` (also of the circuit library, also transpiled); or OpenQASM 2 or 3, as a
            string or as the `pathlib.Path` of a file, which may be a `.qpy` file; or a `Program`, returned as it is.
            `for` loops over numbers are unrolled; what Aer saves is not read.
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
        ValueError: An instruction has no value, such as a `HamiltonianGate` with an unbound time, or its definition or
            matrix is faulty; or Qiskit cannot read the OpenQASM.

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
    check_circuit(circuit)
    if isinstance(circuit, str | pathlib.Path):
        circuit = load(circuit)
    reader = Reader(circuit, evolution)
    try:
        program = reader.program()
    except RecursionError:
        raise ValueError(
            f"{reader.where}: it is defined by itself, or nested too deep. Define it by other gates."
        ) from None
    return _programs.setdefault(program, weakref.ref(program))() or program


def check_circuit(value: Any, name: str = "circuit") -> None:
    """Refuses what `parse` cannot take, by the name it has in the caller."""
    if not isinstance(value, QuantumCircuit | Program | str | pathlib.Path):
        raise TypeError(
            f"`{name}` must be a qiskit QuantumCircuit, a qmljax Program, an OpenQASM string or the pathlib.Path of an "
            f"OpenQASM file, but is a {type(value).__name__}."
        )


def own(circuit: Any) -> Any:
    """The circuit as a copy that nobody else changes, OpenQASM as a circuit; all else as it is."""
    if isinstance(circuit, str | pathlib.Path):
        return load(circuit)
    return circuit.copy() if isinstance(circuit, QuantumCircuit) else circuit


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
        self.measured: dict[int, str] = {}  # qubit: the instruction that measured it
        self.reads: dict[int, int] = {}  # classical bit: qubit
        self.at: tuple[int, str, tuple[int, ...]] | None = None  # the instruction being read: index, name, qubits

    def program(self) -> Program:
        circuit = self.circuit
        phase = self.angle(circuit.global_phase)
        qubits = {bit: k for k, bit in enumerate(circuit.qubits)}
        clbits = {bit: k for k, bit in enumerate(circuit.clbits)}
        self.global_phase(phase, NONE)
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
        measured_qubits = tuple(self.reads[c] for c in sorted(self.reads)) if self.reads else None
        return Program(circuit.num_qubits, self.names, tuple(self.expressions), tuple(self.ops), measured_qubits)

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
        for q in qubits:
            if q in self.measured:
                self.fail(
                    NotImplementedError,
                    f"qubit {q} was measured before, by {self.measured[q]}, and mid-circuit measurement is not "
                    "supported. Measure at the end of the circuit only.",
                )

    def read(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        """Adds the ops of any operation on `qubits`, acting where `c` is met."""
        if isinstance(operation, Barrier | Delay) or _is_saving(operation):
            pass
        elif isinstance(operation, Measure):
            self.measured[qubits[0]] = self.where
            self.reads[clbits[0]] = qubits[0]
        elif isinstance(operation, Reset):
            if qubits[0] in self.measured or any(qubits[0] in op.qubits + op.controls for op in self.ops):
                self.fail(
                    NotImplementedError,
                    f"qubit {qubits[0]} is in use, and mid-circuit reset is not supported. Use another qubit instead.",
                )
        elif isinstance(operation, BoxOp):
            self.read_definition(operation.body, qubits, clbits, c)
        elif isinstance(operation, ForLoopOp):
            self.read_loop(operation, qubits, clbits, c)
        elif isinstance(operation, ControlFlowOp | BreakLoopOp | ContinueLoopOp | Store):
            self.fail(
                NotImplementedError,
                "control flow and classical variables are not supported. Unroll loops and branches before parsing.",
            )
        elif isinstance(operation, PauliProductMeasurement):
            self.fail(NotImplementedError, "mid-circuit measurement is not supported. Measure an observable instead.")
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
            self.read_definition(body.assign_parameters({parameter: index}) if used else body, qubits, clbits, c)

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
