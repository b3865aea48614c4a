"""Circuits that measure, reset and branch, as programs of unitary operations on more wires.

A measurement defers to the end of a circuit (M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum
Information", section 4.4): a measured qubit that only controls what follows is its own record; before anything else
acts on it, its bit is copied to a fresh wire. A branch is a control by records. A reset qubit goes on as a fresh wire,
and the old one is left behind. So all that holds of static circuits, derivatives of any order included, holds of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    BreakLoopOp,
    ClassicalRegister,
    Clbit,
    ContinueLoopOp,
    ForLoopOp,
    IfElseOp,
    Measure,
    Reset,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr, types
from qiskit.circuit.controlflow import CASE_DEFAULT, ControlFlowOp
from qiskit.circuit.library import PauliProductMeasurement

from qmljax._circuit import conditions
from qmljax._circuit.classical import Expressions, Held
from qmljax._circuit.conditions import ALWAYS, NEVER, Bit, Condition, Record, both, is_set, negation, shortest
from qmljax._circuit.gates import NONE, Control
from qmljax._circuit.program import Op, Program
from qmljax._circuit.reader import Reader
from qmljax._circuit.wires import Wires

MANY_PRODUCTS = 8  # of a condition that is no parity: from there on it gets a wire of its own


@dataclass
class _Loop:
    """Under which conditions a loop has been left, and its present turn."""

    left: Condition = NEVER
    skipped: Condition = NEVER


class DynamicReader(Reader):
    """A reader of circuits that measure, reset and branch. What `Reader` reads, on qubits, it puts on wires."""

    def __init__(self, circuit: QuantumCircuit, evolution: str):
        super().__init__(circuit, evolution)
        self.wires = Wires(circuit.num_qubits)
        self.bits: dict[int, Bit] = {}
        self.variables: dict[Any, Held] = {}
        self.written: set[int] = set()
        self.scope: dict[Clbit, int] = {bit: k for k, bit in enumerate(circuit.clbits)}
        self.branches: list[Condition] = []
        self.loops: list[_Loop] = []
        self.active: Condition = ALWAYS  # when what is being read happens
        self.classical = Expressions(self.held, self.where_met, self.odd)

    def read_circuit(self) -> None:
        super().read_circuit()
        self.flush()
        wires = self.wires
        for wire in wires.of:  # what is left of a measured qubit is a mixture
            record = wires.records.get(wire)
            if record is not None and record.used:
                wires.place(Op("flip", (wires.fresh(record.where),), (wire,), 1))

    def program(self) -> Program:
        wires = self.wires
        bits = [self.bits.get(c, False) for c in sorted(self.written)]
        measured = tuple(bit.wire if isinstance(bit, Record) else ~int(bit) for bit in bits)
        plain = wires.of == list(range(self.circuit.num_qubits)) and not wires.reasons
        return Program(
            len(wires.values),
            self.names,
            tuple(self.expressions),
            tuple(wires.ops),
            measured if self.written else None,
            tuple(sorted(self.written)),
            self.circuit.num_clbits,
            None if plain else tuple(wires.of),
            tuple(wires.reasons),
        )

    # Ops on qubits become ops on wires.

    def flush(self) -> None:
        """Places what has been read since the last time."""
        ops, self.ops = self.ops, []
        for op in ops:
            on = op.qubits + op.controls
            wires = dict(zip(on, (self.wires.of[q] for q in on), strict=True))
            self.wires.act(op._replace(qubits=_at(wires, op.qubits), controls=_at(wires, op.controls)), self.active)

    # Instructions that are not unitary.

    def read(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        dynamic = isinstance(operation, Measure | Reset | ControlFlowOp | Store | BreakLoopOp | ContinueLoopOp)
        if dynamic and c.qubits:
            self.fail(NotImplementedError, "a measurement has no controlled form. Use a condition on a classical bit.")
        if not dynamic:
            self.read_static(operation, qubits, clbits, c)
            return
        self.flush()
        self.read_dynamic(operation, qubits, clbits)
        self.flush()

    def read_static(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        if isinstance(operation, PauliProductMeasurement):
            self.read_definition(operation.definition, qubits, clbits, c)
        else:
            super().read(operation, qubits, clbits, c)

    def read_dynamic(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...]) -> None:
        if isinstance(operation, Measure):
            self.measure(qubits[0], clbits[0])
        elif isinstance(operation, Reset):
            self.reset(qubits[0])
        elif isinstance(operation, Store):
            self.store(operation)
        elif isinstance(operation, IfElseOp):
            condition = self.evaluated(self.classical.condition, operation.condition)
            self.read_branches([condition, negation(condition)], operation.blocks, qubits, clbits)
        elif isinstance(operation, SwitchCaseOp):
            self.read_switch(operation, qubits, clbits)
        elif isinstance(operation, BreakLoopOp | ContinueLoopOp):
            loop = self.loops[-1]
            if isinstance(operation, BreakLoopOp):
                loop.left = self.simple(loop.left + self.active)
            else:
                loop.skipped = self.simple(loop.skipped + self.active)
            self.update()
        elif isinstance(operation, WhileLoopOp):
            self.read_while(operation, qubits, clbits)
        else:
            super().read(operation, qubits, clbits, NONE)

    def check_unmeasured(self, qubits: Sequence[int]) -> None:
        """Anything may follow a measurement here."""

    def read_amplitudes(self, operation: Any, qubits: tuple[int, ...], c: Control) -> None:
        self.flush()
        used = {wire for op in self.wires.ops for wire in op.qubits + op.controls}
        if c.qubits or self.active != ALWAYS or used & {self.wires.of[q] for q in qubits}:
            self.fail_to_load()
        super().read_amplitudes(operation, qubits, c)

    def measure(self, qubit: int, clbit: int) -> None:
        self.written.add(clbit)
        wire, old = self.wires.of[qubit], self.bits.get(clbit, False)
        record = self.wires.records.get(wire)
        value = self.wires.values[wire]
        if value is not None:
            self.assign(clbit, ALWAYS if value else NEVER)
        elif record is not None:
            self.assign(clbit, is_set(record))
        elif self.active == ALWAYS:
            self.bits[clbit] = self.wires.records[wire] = Record(wire, self.where)
        elif self.active != NEVER:
            kept = both(negation(self.active), is_set(old))
            self.bits[clbit] = self.wires.computed([(wire, self.active), (None, shortest(kept))], self.where)

    def assign(self, clbit: int, value: Condition) -> None:
        """Sets a classical bit to a function of measured bits, where what is being read happens."""
        self.bits[clbit] = self.merged(self.bits.get(clbit, False), value)

    def merged(self, old: Bit, value: Condition) -> Bit:
        if self.active == NEVER:
            return old
        whole = both(self.active, value) + both(negation(self.active), is_set(old))
        return self.wires.recorded(whole, self.where)

    def reset(self, qubit: int) -> None:
        wire = self.wires.of[qubit]
        value, record = self.wires.values[wire], self.wires.records.get(wire)
        if value == 0 or self.active == NEVER:
            return
        if value == 1:
            self.wires.act(Op("flip", (wire,)), self.active)
        elif self.active == ALWAYS:
            self.wires.of[qubit] = self.wires.fresh(self.where)
        elif record is not None:
            self.wires.act(Op("flip", (wire,)), both(self.active, is_set(record)))
        else:  # its bit moves to a fresh wire
            moved = self.wires.fresh(self.where)
            self.wires.act(Op("flip", (moved,), (wire,), 1), self.active)
            self.wires.act(Op("flip", (wire,), (moved,), 1), ALWAYS)

    # Branches and loops.

    def update(self) -> None:
        """Says anew when what is being read happens. Nothing may be waiting to be placed."""
        every = [*self.branches, *(negation(c) for loop in self.loops for c in (loop.left, loop.skipped))]
        self.active = ALWAYS
        for condition in every:
            self.active = self.simple(both(self.active, condition))

    def simple(self, condition: Condition) -> Condition:
        """The same in few products, or as a parity, or else as a record that is computed now."""
        condition = shortest(condition)
        if len(condition) <= MANY_PRODUCTS or conditions.as_parity(condition) is not None:
            return condition
        return is_set(self.wires.recorded(condition, self.where))

    def where_met(self, on: list[Record], met: np.ndarray) -> Condition:
        """The condition that has a table."""
        even = conditions.is_parity(met) if len(on) > conditions.FEW_BITS else None
        if even is None:
            return self.simple(conditions.tabulated(on, met))
        return self.odd(on, even)

    def odd(self, on: list[Record], even: bool) -> Condition:
        """That the sum of bits is odd, or even, as a record of its own."""
        odd = is_set(self.wires.parity(on, self.where))
        return negation(odd) if even else odd

    def read_branches(
        self, cases: Sequence[Condition], blocks: Sequence[QuantumCircuit], qubits: Any, clbits: Any
    ) -> None:
        for condition, block in zip(cases, blocks, strict=False):
            self.branches.append(condition)
            self.update()
            if self.active == NEVER:
                self.note(block, clbits)
            else:
                self.read_definition(block, qubits, clbits, NONE)
                self.flush()
            self.branches.pop()
            self.update()

    def read_switch(self, operation: SwitchCaseOp, qubits: tuple[int, ...], clbits: tuple[int, ...]) -> None:
        labels = [[v for v in values if v is not CASE_DEFAULT] for values, _ in operation.cases_specifier()]
        found = self.evaluated(self.classical.cases, operation.target, labels)
        rest = ALWAYS
        for condition in found:
            rest = self.simple(both(rest, negation(condition)))
        default = [any(v is CASE_DEFAULT for v in values) for values, _ in operation.cases_specifier()]
        cases = [self.simple(rest + c) if other else self.simple(c) for c, other in zip(found, default, strict=True)]
        self.read_branches(cases, operation.blocks, qubits, clbits)

    def read_loop(self, loop: ForLoopOp, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        self.loops.append(_Loop())
        super().read_loop(loop, qubits, clbits, c)
        self.note(loop.params[2], clbits)
        self.loops.pop()
        self.update()

    def check_repeated(self, count: int) -> None:
        super().check_repeated(max(count, len(self.wires.ops)))

    def read_turn(self, body: QuantumCircuit, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> bool:
        self.flush()
        self.loops[-1].skipped = NEVER
        self.update()
        if self.active == NEVER:
            self.note(body, clbits)
            return False
        super().read_turn(body, qubits, clbits, c)
        self.flush()
        return True

    def read_while(self, loop: WhileLoopOp, qubits: tuple[int, ...], clbits: tuple[int, ...]) -> None:
        self.loops.append(_Loop())
        (body,) = loop.blocks
        turn = 0
        while True:
            goes_on = shortest(self.evaluated(self.classical.condition, loop.condition))
            now = both(self.active, goes_on)
            if now == NEVER:
                break
            if goes_on != ALWAYS:
                self.fail(
                    NotImplementedError,
                    "whether it goes on depends on what is measured, so that it may take any number of turns. Write a "
                    "for loop of as many turns as there may be, with a break.",
                )
            self.check_repeated(turn)
            turn += 1
            if not self.read_turn(body, qubits, clbits, NONE):
                break
        self.note(body, clbits)
        self.loops.pop()
        self.update()

    def note(self, block: QuantumCircuit, clbits: Sequence[int]) -> None:
        """The bits that a block would write, which is not run."""
        place = dict(zip(block.clbits, clbits, strict=False))
        for instruction in block.data:
            operation, inner = instruction.operation, [place[b] for b in instruction.clbits]
            if isinstance(operation, Measure):
                self.written.update(inner)
            elif isinstance(operation, Store):
                self.written.update(place[bit] for bit in _bits(operation.lvalue))
            elif isinstance(operation, ControlFlowOp):
                for part in operation.blocks:
                    self.note(part, inner)
            elif inner and operation.definition is not None:
                self.note(operation.definition, inner)

    def read_definition(
        self, definition: QuantumCircuit, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control
    ) -> None:
        outer = self.scope
        self.scope = dict(zip(definition.clbits, clbits, strict=False))
        super().read_definition(definition, qubits, clbits, c)
        self.scope = outer

    # Classical values.

    def evaluated(self, function: Callable[..., Any], *given: Any) -> Any:
        """What a function of classical values gives. Its errors say which instruction needs it."""
        try:
            return function(*given)
        except (NotImplementedError, ValueError) as error:
            self.fail(type(error), str(error))

    def held(self, target: Any) -> Held:
        """What a classical bit or a variable holds."""
        if isinstance(target, Clbit):
            bit = self.bits.get(self.scope[target], False)
            if isinstance(bit, Record):
                bit.used = True
            return [bit]
        if target not in self.variables:
            raise NotImplementedError(
                f"the variable {getattr(target, 'name', target)} has no value before the circuit runs. Assign "
                "it first, or make it a Parameter."
            )
        return self.variables[target]

    def store(self, operation: Store) -> None:
        target, value = operation.lvalue, operation.rvalue
        if isinstance(target, expr.Index):
            self.fail(NotImplementedError, "it assigns a bit of a variable. Assign the whole variable.")
        if bits := _bits(target):
            for bit, condition in zip(bits, self.evaluated(self.classical.assigned, value, len(bits)), strict=True):
                self.written.add(self.scope[bit])
                self.assign(self.scope[bit], condition)
            return
        if isinstance(target.type, types.Float):
            on, found = self.evaluated(self.classical.tabulate, value)
            if on or self.active != ALWAYS:
                self.fail(
                    NotImplementedError, "a number that is no integer depends on what is measured. Use an integer."
                )
            self.variables[target] = float(np.asarray(found).reshape(-1)[0])
            return
        width = target.type.width if isinstance(target.type, types.Uint) else 1
        old = self.variables.get(target, [False] * width)
        assert isinstance(old, list)
        new = self.evaluated(self.classical.assigned, value, width)
        self.variables[target] = [self.merged(a, b) for a, b in zip(old, new, strict=True)]


def _bits(target: Any) -> list[Clbit]:
    """The bits of the circuit that a variable is, if any."""
    var = getattr(target, "var", None)
    return [var] if isinstance(var, Clbit) else list(var) if isinstance(var, ClassicalRegister) else []


def _at(wires: dict[int, int], qubits: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(wires[q] for q in qubits)
