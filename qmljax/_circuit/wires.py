"""The wires of a circuit that measures on its way, and the operations on them.

The first wires are the qubits that the circuit begins with; others begin in |0> where one is needed.
"""

from collections.abc import Sequence
from typing import Any

from qmljax._circuit import conditions
from qmljax._circuit.conditions import ALWAYS, NEVER, Bit, Condition, Record, is_set, negation, shortest
from qmljax._circuit.program import Op, controlled, given


class Wires:
    """What accumulates on wires.

    Attributes:
        of: The wire of each qubit.
        ops: The ops on wires.
        values: The bit of each wire, where it is known before the circuit runs; else None.
        reasons: The instruction that needs each of the wires beyond the qubits.
        records: The records on wires whose bit has not changed since they were measured.
    """

    def __init__(self, num_qubits: int):
        self.of = list(range(num_qubits))
        self.ops: list[Op] = []
        self.values: list[int | None] = [0] * num_qubits
        self.reasons: list[str] = []
        self.records: dict[int, Record] = {}
        self._known: dict[Any, Record] = {}  # the bits of conditions

    def fresh(self, reason: str) -> int:
        """One more wire."""
        self.values.append(0)
        self.reasons.append(reason)
        return len(self.values) - 1

    def act(self, op: Op, condition: Condition) -> None:
        """Places an op on wires that acts where a condition is met."""
        for wire in op.moved:
            self.keep(wire)
        if (parity := conditions.as_parity(condition)) is not None:
            on, even = parity
            for record in on:
                record.used = True
            self.act_on_parity(op, on, even)
            return
        for product in condition:
            inner: Op | None = op
            controls: list[int] = []
            pattern = 0
            for record, value in product.items():
                record.used = True
                if record.wire in op.qubits + op.controls:
                    inner = inner and given(inner, record.wire, value)
                pattern |= value << len(controls)
                controls.append(record.wire)
            if inner is not None:
                for part in controlled(inner, tuple(controls), pattern):
                    self.place(part)

    def act_on_parity(self, op: Op, on: Sequence[Record], even: bool) -> None:
        """Places an op on wires that acts where the sum of some bits is odd, or even."""
        if op.kind == "flip":
            for product in (*ALWAYS[: int(even)], *({record: True} for record in on)):
                self.act(op, (product,))
        elif op.kind == "ry":  # as a controlled one
            half, flip = op._replace(angle=op.angle.times(0.5)), Op("flip", op.qubits)
            for part in (half, op._replace(angle=op.angle.times(-0.5))):
                self.place(part)
                self.act_on_parity(flip, on, even)
        elif op.kind == "phase":
            wires = [record.wire for record in on]
            signs = tuple(w for w in (*op.qubits, *wires) if (w in op.qubits) != (w in wires))
            half = op._replace(angle=op.angle.times(0.5))
            self.place(half)
            self.place(half._replace(qubits=signs, angle=half.angle.times(1.0 if even else -1.0)))
        else:
            odd = is_set(self.parity(on, on[0].where))
            self.act(op, negation(odd) if even else odd)

    def place(self, op: Op) -> None:
        """Adds an op on wires, without controls whose bits are known."""
        values = self.values
        for wire in op.qubits + op.controls:
            value = values[wire]
            if value is not None and wire not in op.moved:
                known = given(op, wire, bool(value))
                if known is None:
                    return
                op = known
        for wire in op.qubits + op.controls:
            if wire in self.records:
                self.records[wire].used = True
        if op.kind == "flip" and not op.controls:
            value = values[op.qubits[0]]
            values[op.qubits[0]] = None if value is None else 1 - value
        else:
            for wire in op.moved:
                values[wire] = None
        self.ops.append(op)

    def keep(self, wire: int) -> None:
        """Copies a record that is on a wire, which is about to change."""
        record = self.records.pop(wire, None)
        if record is not None:
            copy = self.fresh(record.where)
            self.place(Op("flip", (copy,), (wire,), 1))
            record.wire = copy
            self.records[copy] = record

    def recorded(self, condition: Condition, where: str) -> Bit:
        """A bit that is 1 where a condition is met."""
        condition = shortest(condition)
        if condition in (ALWAYS, NEVER):
            return condition == ALWAYS
        if len(condition) == 1 and list(condition[0].values()) == [True]:
            return next(iter(condition[0]))
        key = frozenset(frozenset(product.items()) for product in condition)
        if key not in self._known:
            self._known[key] = self.computed([(None, condition)], where)
        return self._known[key]

    def parity(self, on: Sequence[Record], where: str) -> Record:
        """A record of the sum modulo 2 of some."""
        key = frozenset(on)
        if key not in self._known:
            self._known[key] = self.computed([(None, is_set(record)) for record in on], where)
        return self._known[key]

    def computed(self, parts: Sequence[tuple[int | None, Condition]], where: str) -> Record:
        """A fresh record, the sum modulo 2 of the bits of wires under conditions; None is a bit that is always 1."""
        target = self.fresh(where)
        for wire, condition in parts:
            controls = () if wire is None else (wire,)
            self.act(Op("flip", (target,), controls, len(controls)), condition)
        record = self.records[target] = Record(target, where)
        return record
