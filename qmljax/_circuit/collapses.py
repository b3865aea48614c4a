"""A program on fewer qubits, for one run at a time: what only controls from now on is measured, and its qubit freed.

The opposite of deferral: once nothing changes the bit of a wire any more, it may as well be measured (the principle of
deferred measurement, read backwards). What it controls is then a matter of numbers, one for each run: angles times 0 or
1, or times a sign. The qubit is in |0> afterwards, and becomes that of a wire that begins later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qmljax._circuit.expressions import Affine, Expression, multiply
from qmljax._circuit.gates import Control, conjugate, phase, to_x
from qmljax._circuit.program import Angle, Op, Program, constant, given


class Factor(NamedTuple):
    """A number for each run: 1 where some of its bits have some values, else 0; negative where other bits are odd.

    Attributes:
        met: Bits, and the values they must have.
        odd: The bits whose sum modulo 2 is the sign.
    """

    met: tuple[tuple[int, bool], ...] = ()
    odd: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """What happens up to a measurement.

    Attributes:
        program: On the qubits that there are; its parameters are those of the circuit, then the factors.
        factors: What these are.
        measured: The qubits to measure then, which are in |0> afterwards, each with the number of its bit.
    """

    program: Program
    factors: tuple[Factor, ...]
    measured: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Collapses:
    """A program as stretches between measurements.

    Attributes:
        num_qubits: How many qubits it takes.
        num_bits: How many bits are measured.
        stretches: What happens, in time order.
        outcome: The bit that each bit of the outcome is; None where that is 0.
    """

    num_qubits: int
    num_bits: int
    stretches: tuple[Stretch, ...]
    outcome: tuple[int | None, ...]


def collapses(program: Program, wires: Sequence[int]) -> Collapses:
    """A program whose wires are to be measured at its end, on as few qubits as its order allows."""
    last = {w: position for position, op in enumerate(program.ops) for w in op.moved}
    writer = _Writer(program, last)
    for position, op in enumerate(program.ops):
        writer.add(position, op)
    writer.measure([w for w in writer.qubit if w in wires])
    outcome = tuple(writer.bit.get(w) for w in wires)
    count = writer.num_qubits
    done = tuple(
        Stretch(Program(count, names, expressions, ops), factors, measured)
        for names, expressions, ops, factors, measured in writer.stretches
    )
    return Collapses(count, len(writer.bit), done, outcome)


class _Writer:
    """Writes the stretches. A wire is in |0>, on a qubit, or a bit."""

    def __init__(self, program: Program, last: dict[int, int]):
        self.program, self.last = program, last
        self.qubit: dict[int, int] = {}
        self.bit: dict[int, int] = {}
        self.free: list[int] = []
        self.num_qubits = 0
        self.stretches: list[tuple] = []
        self.start()

    def start(self) -> None:
        self.ops: list[Op] = []
        self.factors: dict[Factor, int] = {}
        self.expressions: dict[Expression, int] = {e: k for k, e in enumerate(self.program.expressions)}

    def add(self, position: int, op: Op) -> None:
        for wire in op.qubits + op.controls:
            if wire not in self.qubit and wire not in self.bit and wire not in op.moved:
                found = given(op, wire, False)
                if found is None:
                    return
                op = found
        fresh = [w for w in op.moved if w not in self.qubit]
        if len(fresh) > len(self.free):
            self.measure([w for w in self.qubit if self.last[w] < position])
        for wire in fresh:
            if not self.free:
                self.free.append(self.num_qubits)
                self.num_qubits += 1
            self.qubit[wire] = self.free.pop()
        for part, factor in self.split(op):
            self.write(part, factor)

    def split(self, op: Op) -> Iterator[tuple[Op, Factor]]:
        """An op on qubits alone, and the factor of its angle, for all values of the bits in the table of a diagonal."""
        in_table = [w for w in op.qubits if w in self.bit] if op.kind == "diagonal" else []
        for index in range(1 << len(in_table)):
            part: Op | None = op
            met: list[tuple[int, bool]] = []
            for k, wire in enumerate(in_table):
                value = bool(index >> k & 1)
                part = part and given(part, wire, value)
                met.append((self.bit[wire], value))
            if part is None:
                continue
            for wire in part.controls:
                if wire in self.bit:
                    value = bool(part.pattern >> part.controls.index(wire) & 1)
                    met.append((self.bit[wire], value))
            odd = [self.bit[w] for w in part.qubits if w in self.bit]
            kept = [(w, part.pattern >> k & 1) for k, w in enumerate(part.controls) if w not in self.bit]
            inner = part._replace(
                qubits=tuple(self.qubit[w] for w in part.qubits if w not in self.bit),
                controls=tuple(self.qubit[w] for w, _ in kept),
                pattern=sum(value << k for k, (_, value) in enumerate(kept)),
            )
            yield inner, Factor(tuple(sorted(set(met))), tuple(sorted(odd)))

    def write(self, op: Op, factor: Factor) -> None:
        if factor == Factor():
            self.ops.append(op)
        elif op.kind == "flip":
            control = Control(op.controls, op.pattern).and_(*op.qubits)
            turned = phase(control, self.times(factor, constant(np.pi)))
            self.ops.extend(conjugate(to_x(op.qubits[0]), turned))
        else:
            self.ops.append(op._replace(angle=self.times(factor, op.angle)))

    def times(self, factor: Factor, angle: Angle) -> Angle:
        number = self.factors.setdefault(factor, len(self.factors))
        new: Expression = Affine(0.0, ((self.program.num_parameters + number, 1.0),))
        if angle.expression >= 0:
            new = multiply(new, self.program.expressions[angle.expression])
        return Angle(self.expressions.setdefault(new, len(self.expressions)), angle.scale)

    def measure(self, wires: Sequence[int]) -> None:
        """Ends a stretch by measuring wires."""
        measured = []
        for wire in wires:
            self.bit[wire] = len(self.bit)
            self.free.append(self.qubit[wire])
            measured.append((self.qubit.pop(wire), self.bit[wire]))
        if measured:
            names = self.program.parameters + tuple(f"factor {k}" for k in range(len(self.factors)))
            about = tuple(self.expressions), tuple(self.ops), tuple(self.factors), tuple(measured)
            self.stretches.append((names, *about))
            self.start()
