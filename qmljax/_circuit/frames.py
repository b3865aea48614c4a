"""Pauli noise as signs of angles: a trajectory is the same circuit, some of whose angles are negative.

A Pauli string that noise has put somewhere passes CX as another string, and passes RY(a) or exp(i a Z...Z) by turning a
into -a where the two anticommute. So it is pushed to the end of the circuit, as a frame: what is left of it there are
signs on the strings that are read, and flips of outcomes. Which angles are negative is linear in the bits of the noise,
an X and a Z for each qubit of each site, over the field of two elements. What a string does not pass, such as a Toffoli
gate, it meets as a string: as angles of RY and of a phase, which are 0 or pi.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jax import Array

from qmljax._circuit.expressions import Affine, Expression, evaluate
from qmljax._circuit.noisy import NoisyProgram
from qmljax._circuit.program import Angle, Op, Program

Form = int  # a sum of bits of noise, as a mask


@dataclass(frozen=True)
class Signed:
    """A circuit under Pauli noise.

    Attributes:
        program: The circuit, with more parameters than the original one: the factors that have signs, after those.
        signs: Of each sign the bits of noise of which it is the parity.
        places: Of each factor which sign it has.
        factors: Of each factor what it is without it, as an expression of the original parameters.
        frames: Of each qubit the bits of the X and of the Z that are left on it in the end.
    """

    program: Program
    signs: tuple[Form, ...]
    places: tuple[int, ...]
    factors: tuple[Expression, ...]
    frames: tuple[tuple[Form, Form], ...]

    def values(self, params: Array, signs: Array) -> Array:
        """The factors with their signs, (factors, *batch), of parameters (P, *batch) and of signs (signs, *batch).

        Their batches broadcast: what a factor is without its sign is computed once for all trajectories.
        """
        if not self.factors:
            return signs[:0]
        same = self.places == tuple(range(len(signs)))
        own = signs if same else signs.at[np.array(self.places)].get(mode="promise_in_bounds")
        return evaluate(self.factors, params) * own

    def of_string(self, letters: np.ndarray) -> Form:
        """The bits of noise whose parity is the sign of a Pauli string, by its numbers on each qubit."""
        form = 0
        for (x, z), letter in zip(self.frames, letters, strict=True):
            form ^= (x if letter & 2 else 0) ^ (z if letter & 1 else 0)
        return form


class _Bits(NamedTuple):
    x: Form
    z: Form


def signed(noisy: NoisyProgram) -> Signed:
    """Pushes the noise of a circuit to its end. The bits are those of the sites in time order: of each qubit X, Z."""
    program = noisy.program
    writer = _Writer(program)
    sites, bits = list(reversed(noisy.sites)), 0
    for position, op in enumerate((*program.ops, None)):
        while sites and sites[-1].position == position:
            for q in sites.pop().qubits:
                x, z = writer.frames[q]
                writer.frames[q] = _Bits(x ^ 1 << bits, z ^ 1 << bits + 1)
                bits += 2
        if op is not None:
            writer.add(op)
    names = tuple(f"signed {k}" for k in range(len(writer.factors)))
    whole = Program(program.num_qubits, program.parameters + names, tuple(writer.expressions), tuple(writer.ops))
    places, factors = zip(*writer.factors, strict=True) if writer.factors else ((), ())
    return Signed(whole, tuple(writer.signs), places, factors, tuple((x, z) for x, z in writer.frames))


class _Writer:
    """Writes the ops with signs, while `frames` has what stands before the next op."""

    def __init__(self, program: Program):
        self.program = program
        self.frames = [_Bits(0, 0)] * program.num_qubits
        self.ops: list[Op] = []
        self.signs: dict[Form, int] = {}
        self.factors: dict[tuple[int, Expression], int] = {}
        self.expressions: dict[Expression, int] = {e: k for k, e in enumerate(program.expressions)}

    def add(self, op: Op) -> None:
        qubits = op.qubits + op.controls
        if op.kind == "flip" and len(op.controls) <= 1:
            for c in op.controls:
                (x, z), (t_x, t_z) = self.frames[c], self.frames[op.qubits[0]]
                self.frames[c], self.frames[op.qubits[0]] = _Bits(x, z ^ t_z), _Bits(t_x ^ x, t_z)
            self.ops.append(op)
        elif op.kind == "ry":
            x, z = self.frames[op.qubits[0]]
            self.ops.append(op._replace(angle=self.times(x ^ z, op.angle)))
        elif op.kind == "phase" and not op.controls:
            form = 0
            for q in op.qubits:
                form ^= self.frames[q].x
            self.ops.append(op._replace(angle=self.times(form, op.angle)))
        elif op.kind in ("phase", "diagonal") and not any(self.frames[q].x for q in qubits):
            self.ops.append(op)
        else:
            for q in qubits:
                self.put(q)
            self.ops.append(op)

    def times(self, form: Form, angle: Angle) -> Angle:
        """An angle with the sign of a parity."""
        if not form:
            return angle
        own = Affine(1.0, ()) if angle.expression < 0 else self.program.expressions[angle.expression]
        return Angle(self.number(Affine(0.0, ((self.factor(form, own), 1.0),))), angle.scale)

    def factor(self, form: Form, own: Expression) -> int:
        """The parameter that is an expression with the sign of a parity."""
        sign = self.signs.setdefault(form, len(self.signs))
        return self.program.num_parameters + self.factors.setdefault((sign, own), len(self.factors))

    def number(self, expression: Expression) -> int:
        return self.expressions.setdefault(expression, len(self.expressions))

    def put(self, q: int) -> None:
        """What the frame has on a qubit becomes operations: Y is RY(pi), and Z a phase of half that."""
        x, z = self.frames[q]
        for kind, form, turn in (("ry", x, np.pi), ("phase", x ^ z, np.pi / 2)):
            if form:
                bit = Affine(0.5, ((self.factor(form, Affine(1.0, ())), -0.5),))  # 0 for the sign 1, 1 for -1
                self.ops.append(Op(kind, (q,), angle=Angle(self.number(bit), turn)))  # type: ignore[arg-type]
        self.frames[q] = _Bits(0, 0)
