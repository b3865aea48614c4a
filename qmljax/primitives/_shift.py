"""Parameter-shift rules: a circuit with one fresh parameter for each gate argument, and derivatives by these.

As a function of one argument of one gate, all others fixed, an expectation value is a short Fourier series, so that its
derivative is a sum of a few of its values. What those arguments are as functions of the user's parameters is left to
JAX, which chains the two: shared parameters and expressions such as ``sin(a * b) + a`` need nothing special.
"""

import functools
import itertools
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import (
    BoxOp,
    Clbit,
    ControlFlowOp,
    ControlledGate,
    ForLoopOp,
    Measure,
    Parameter,
    ParameterExpression,
    Register,
    Reset,
    Store,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError

from qmljax._circuit.expressions import Affine, Expression, from_qiskit
from qmljax._circuit.parse import parse
from qmljax._circuit.program import Program
from qmljax._circuit.self_descriptions import is_standard

# The terms (quarter turns, coefficient) of a derivative, by the number of frequencies of the argument. One frequency,
# 1: f' = [f(+pi/2) - f(-pi/2)] / 2. Two, 1/2 and 1, the differences of the eigenvalues -1/2, 0, 1/2 of what generates
# a controlled rotation: c1 [f(+pi/2) - f(-pi/2)] - c2 [f(+3pi/2) - f(-3pi/2)].
_C1, _C2 = (math.sqrt(2) + 1) / (4 * math.sqrt(2)), (math.sqrt(2) - 1) / (4 * math.sqrt(2))
TERMS = {1: ((1, 0.5), (-1, -0.5)), 2: ((1, _C1), (-1, -_C1), (3, -_C2), (-3, _C2))}

# Standard gates by name: the number of frequencies of each argument, bare and under controls. 0: no such rule, because
# the argument turns the gate from both sides. The gate is then decomposed, and the argument becomes two.
_ROTATION, _PHASE, _U = ((1,), (2,)), ((1,), (1,)), ((1, 1, 1), (2, 1, 1))
RULES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    **dict.fromkeys(["rx", "ry", "rz", "rxx", "ryy", "rzz", "rzx"], _ROTATION),
    **dict.fromkeys(["p", "u1"], _PHASE),
    **dict.fromkeys(["u", "u3"], _U),
    "u2": ((1, 1), (1, 1)),
    "r": ((1, 0), (2, 0)),
    **dict.fromkeys(["xx_plus_yy", "xx_minus_yy"], ((2, 0), (2, 0))),
}
BASIS = list(get_standard_gate_name_mapping())


@dataclass(frozen=True)
class Slots:
    """A circuit whose gates have arguments of their own; equal by value.

    Circuits that differ in barriers, delays or identities alone are one program, but not the same on a device.

    Attributes:
        program: What the circuit does, as data.
        expressions: The arguments as functions of the user's parameters.
        frequencies: The number of frequencies of each argument, 1 or 2.
        num_parameters: The number of the user's parameters.
        circuit: The circuit, without global phase and final measurements, unless these are read.
        parameters: Its parameters, one for each argument.
    """

    program: Program
    expressions: tuple[Expression, ...]
    frequencies: tuple[int, ...]
    num_parameters: int
    circuit: QuantumCircuit = field(hash=False, repr=False)
    parameters: tuple[Parameter, ...] = field(compare=False, repr=False)

    @property
    def pauses(self) -> tuple[tuple, ...]:
        """What the circuit has and the program has not: its delays and barriers, and where."""
        place = {bit: k for k, bit in enumerate(self.circuit.qubits)}
        return tuple(
            (index, repr(item.operation), tuple(place[q] for q in item.qubits))
            for index, item in enumerate(self.circuit.data)
            if item.name in ("barrier", "delay", "id")
        )


def slots(circuit: Any, *, measured: bool = False) -> Slots:
    """The circuit with a parameter for each gate argument.

    A gate in a branch has the same rule: what is measured is linear in the channel that the gate is where it acts.

    Args:
        circuit: A `QuantumCircuit`.
        measured: Whether its final measurements stay in it.

    Raises:
        TypeError: It is no `QuantumCircuit`.
        ValueError: A gate has parameters, but neither a shift rule nor a definition in gates that have; or a loop that
            is left by `break` or `continue` has some.
    """
    return _made(_reader(circuit, measured=measured), circuit.num_parameters)


def compute_uncompute(circuit: Any) -> Slots:
    """The circuit on one half of the parameters, undone with the other half.

    The user's parameters are those of the circuit twice: of what is computed, and of what is undone.
    """
    left = _reader(circuit)
    count = circuit.num_parameters
    right = _reader(circuit, start=count, first=len(left.parameters))
    left.circuit.barrier()  # the optimiser must not cancel what noise is to act on
    left.circuit.compose(right.circuit.inverse(), inplace=True)
    for name in ("parameters", "expressions", "frequencies"):
        getattr(left, name).extend(getattr(right, name))
    return _made(left, 2 * count)


def _made(reader: "_Reader", count: int) -> Slots:
    expressions, frequencies = tuple(reader.expressions), tuple(reader.frequencies)
    return Slots(parse(reader.circuit), expressions, frequencies, count, reader.circuit, tuple(reader.parameters))


def _reader(circuit: Any, start: int = 0, first: int = 0, measured: bool = False) -> "_Reader":
    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(f"A backend executes a qiskit QuantumCircuit, but `circuit` is a {type(circuit).__name__}.")
    position = {p.name: start + k for k, p in enumerate(circuit.parameters)}
    if not measured and not parse(circuit).is_dynamic:
        reader = _Reader(QuantumCircuit(circuit.num_qubits), position, first)
    else:
        copy = circuit.copy_empty_like()
        copy.global_phase = 0
        reader = _Dynamic(copy, position, first)
        if not measured:
            reader.unread = _final_measurements(circuit)
    reader.read_circuit(circuit)
    return reader


class _Reader:
    """Copies a circuit, gate by gate. `start` is the place of its first parameter, `first` of its first argument."""

    def __init__(self, copy: QuantumCircuit, position: Mapping[str, int], first: int):
        self.position, self.first, self.circuit = position, first, copy
        self.parameters: list[Parameter] = []
        self.expressions: list[Expression] = []
        self.frequencies: list[int] = []
        self.at = ""
        self.unread: set[int] = set()  # instructions to leave out

    def read_circuit(self, circuit: QuantumCircuit) -> None:
        places = {bit: k for k, bit in enumerate(circuit.qubits)}
        clbits = {bit: k for k, bit in enumerate(circuit.clbits)}
        for index, instruction in enumerate(circuit.data):
            if index in self.unread:
                continue
            qubits = [places[q] for q in instruction.qubits]
            self.at = f"Instruction {index}, `{instruction.name}` on qubits {qubits}"
            self.read(instruction.operation, qubits, [clbits[c] for c in instruction.clbits])

    def read(self, operation: Any, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        if isinstance(operation, Measure | Reset):  # measurements at the end, resets at the beginning: `parse` has seen
            return
        if isinstance(operation, BoxOp):
            self.read_all(operation.body, qubits, clbits)
        elif not any(_free(p) for p in operation.params):
            self.circuit.append(operation, qubits, clbits)
        elif frequencies := _frequencies(operation):
            arguments = [self.slot(p, f) if _free(p) else p for p, f in zip(operation.params, frequencies, strict=True)]
            self.circuit.append(_with(operation, arguments), qubits)
        elif (definition := _definition(operation)) is not None:
            self.read_all(definition, qubits, clbits)
        else:
            self.fail()

    def read_all(self, definition: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        places = {bit: qubits[k] for k, bit in enumerate(definition.qubits)}
        into = dict(zip(definition.clbits, clbits, strict=False))
        for instruction in definition.data:
            inner = [places[q] for q in instruction.qubits]
            self.read(instruction.operation, inner, [into[c] for c in instruction.clbits])

    def slot(self, value: Any, frequencies: int) -> Any:
        """A new parameter in the place of a gate's argument, or the number that it is."""
        expression = from_qiskit(value, self.position)
        if isinstance(expression, Affine) and not expression.terms:
            return expression.const
        number = self.first + len(self.parameters)
        parameter = Parameter(f"argument{number:06d}", uuid=uuid.UUID(int=number))  # so that equal circuits are equal
        self.parameters.append(parameter)
        self.expressions.append(expression)
        self.frequencies.append(frequencies)
        return parameter

    def fail(self) -> NoReturn:
        raise ValueError(
            f"{self.at}: it has parameters, but neither a shift rule nor a definition in gates that have one. "
            "A backend cannot run it. Write it in standard gates, or bind its parameters."
        )


def _final_measurements(circuit: QuantumCircuit) -> set[int]:
    """Those after which nothing acts on their qubit or reads their bit; Qiskit's own function forgets the latter."""
    found, acted, read = set(), set[Any](), set[Any]()
    for index in reversed(range(len(circuit.data))):
        instruction = circuit.data[index]
        if isinstance(instruction.operation, Measure):
            if acted.isdisjoint(instruction.qubits) and read.isdisjoint(instruction.clbits):
                found.add(index)
                continue
        elif instruction.name in ("barrier", "delay"):
            continue
        else:
            read.update(instruction.clbits)
        if isinstance(instruction.operation, Store):
            for var in expr.iter_vars(instruction.operation.rvalue):
                read.update(
                    [var.var] if isinstance(var.var, Clbit) else var.var if isinstance(var.var, Register) else []
                )
        acted.update(instruction.qubits)
    return found


class _Dynamic(_Reader):
    """The same for a circuit that measures on its way, which a device runs as it is."""

    def read(self, operation: Any, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        if isinstance(operation, Measure | Reset):
            self.circuit.append(operation, qubits, clbits)
        elif isinstance(operation, ForLoopOp) and set(operation.blocks[0].parameters) - {operation.params[1]}:
            self.unroll(operation, qubits, clbits)
        elif isinstance(operation, WhileLoopOp) and operation.blocks[0].parameters:
            raise ValueError(
                f"{self.at}: the loop has parameters, and its turns have no arguments of their own. Write them one by "
                "one, or bind its parameters."
            )
        elif isinstance(operation, ControlFlowOp) and not isinstance(operation, ForLoopOp):
            blocks = [self.block(block) for block in operation.blocks]
            self.circuit.append(operation.replace_blocks(blocks), qubits, clbits)
        elif isinstance(operation, ControlFlowOp):
            self.circuit.append(operation, qubits, clbits)
        else:
            super().read(operation, qubits, clbits)

    def unroll(self, loop: ForLoopOp, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        """An argument in a loop is one for each turn, each with a rule of its own."""
        indices, parameter, body = loop.params
        if _jumps(body) or any(True for _ in body.iter_declared_vars()):
            raise ValueError(
                f"{self.at}: the loop has parameters, and is left by `break` or `continue` or has variables, so that "
                "its turns have no arguments of their own. Write its turns one by one, or bind its parameters."
            )
        for index in indices:
            turn = body.assign_parameters({parameter: index}) if parameter in body.parameters else body
            self.read_all(turn, qubits, clbits)

    def block(self, body: QuantumCircuit) -> QuantumCircuit:
        outer, self.circuit = self.circuit, body.copy_empty_like()
        self.circuit.global_phase = 0
        self.read_all(body, range(body.num_qubits), range(body.num_clbits))
        self.circuit, block = outer, self.circuit
        return block


def _jumps(body: QuantumCircuit) -> bool:
    """Whether a block leaves the loop that it is in."""
    return any(
        instruction.name in ("break_loop", "continue_loop")
        or (not isinstance(instruction.operation, ForLoopOp) and any(map(_jumps, _blocks(instruction.operation))))
        for instruction in body.data
    )


def _blocks(operation: Any) -> Sequence[QuantumCircuit]:
    return operation.blocks if isinstance(operation, ControlFlowOp) else ()


def _free(value: Any) -> bool:
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def _frequencies(operation: Any) -> tuple[int, ...] | None:
    """The number of frequencies of each argument of a gate, or None where it has to be decomposed."""
    base, under = operation, False
    if isinstance(operation, ControlledGate):
        base, under = operation.base_gate, True
        if operation.num_ctrl_qubits + base.num_qubits != operation.num_qubits:
            return None
    if base.name not in RULES or not is_standard(base):
        return None
    found = RULES[base.name][under]
    if operation.name == "cu" or operation.name.startswith("cu_o"):
        found = (*found, 1)  # its fourth argument is a phase
    if len(found) != len(operation.params):
        return None
    if any(not f and _free(p) for p, f in zip(operation.params, found, strict=True)):
        return None
    return found


def _with(operation: Any, arguments: Sequence[Any]) -> Any:
    """The gate with other arguments."""
    if not isinstance(operation, ControlledGate):
        return type(operation)(*arguments)
    if is_standard(operation):
        return type(operation)(*arguments, ctrl_state=operation.ctrl_state)
    base = type(operation.base_gate)(*arguments)
    return base.control(operation.num_ctrl_qubits, ctrl_state=operation.ctrl_state)


def _definition(operation: Any) -> QuantumCircuit | None:
    """What a gate consists of; where it does not say, what Qiskit's transpiler makes of it."""
    try:
        definition = getattr(operation, "definition", None)
        if definition is not None:
            return definition
        single = QuantumCircuit(operation.num_qubits)
        single.append(operation, range(operation.num_qubits))
        lowered = transpile(single, basis_gates=BASIS, optimization_level=0, num_processes=1)
    except (QiskitError, TypeError, AttributeError):  # such as RVGate, which needs numbers
        return None
    return None if operation.name in lowered.count_ops() else lowered


class Shifts(NamedTuple):
    """Where to evaluate a function of some arguments, and how its derivatives are made of the values there.

    Attributes:
        offsets: What to add to the arguments, (evaluations, arguments); the first row is 0.
        first: (evaluation, argument, coefficient), which are added up to first derivatives.
        second: (evaluation, argument, argument, coefficient), to second ones.
    """

    offsets: np.ndarray
    first: tuple[np.ndarray, ...]
    second: tuple[np.ndarray, ...]


@functools.lru_cache(maxsize=64)
def shifts(frequencies: tuple[int, ...], moving: tuple[int, ...], order: int) -> Shifts:
    """The evaluations for the derivatives up to `order`, at most 2, by the arguments `moving`."""
    number: dict[tuple[tuple[int, int], ...], int] = {(): 0}  # offsets as (argument, quarter turns): number
    first, second = [], []
    if order:
        for k, s in enumerate(moving):
            for turns, c in TERMS[frequencies[s]]:
                first.append((number.setdefault(((s, turns),), len(number)), k, c))
    if order == 2:
        for (k, s), (m, t) in itertools.combinations_with_replacement(enumerate(moving), 2):
            for (turns, c), (more, d) in itertools.product(TERMS[frequencies[s]], TERMS[frequencies[t]]):
                both = {s: turns + more} if s == t else {s: turns, t: more}
                key = tuple((a, b) for a, b in both.items() if b)
                at = number.setdefault(key, len(number))
                second.append((at, k, m, c * d))
                if k != m:
                    second.append((at, m, k, c * d))
    offsets = np.zeros((len(number), len(frequencies)))
    for key, row in number.items():
        for s, turns in key:
            offsets[row, s] = turns * math.pi / 2
    return Shifts(offsets, _columns(first, 3), _columns(second, 4))


def _columns(rows: list[tuple], width: int) -> tuple[np.ndarray, ...]:
    """Rows of numbers as columns: all indices, but for the last one."""
    columns = zip(*rows, strict=True) if rows else ((),) * width
    return tuple(np.array(c, float if k == width - 1 else int) for k, c in enumerate(columns))
