"""A parsed circuit: seven kinds of elementary operation on qubits, and the expressions their angles are made of.

Everything here is static data: frozen, hashable, compared by value. A `Program` holds no array that could be
differentiated; it is what shapes a trace.

An `Op` is one of these (angles in radians, `z` a basis state, `z_q` its bit of qubit q):

| kind          | acts as                                                                                       |
|---------------|-----------------------------------------------------------------------------------------------|
| "ry"          | exp(-i angle Y / 2) on `qubits[0]`; never controlled                                          |
| "phase"       | multiplies ``|z>`` by exp(i angle (-1)**parity), the parity of the bits of `qubits` (may be none) |
| "diagonal"    | multiplies ``|z>`` by exp(i angle table[j]), bit k of j being the bit of `qubits[k]`             |
| "flip"        | X on `qubits[0]`                                                                              |
| "permutation" | sends the bits j of `qubits` to table[j]                                                      |
| "dense"       | applies a unitary matrix to `qubits`, little endian                                           |
| "load"        | turns ``|0...0>`` of `qubits` into amplitudes of their own; the first op on them, not controlled |

All but "ry", "permutation" and "dense" may be controlled: the operation then acts only on those basis states whose bit
of `controls[k]` is bit k of `pattern`, for every k. One-qubit Z rotations, controlled phases, RZZ and global phases are
all "phase"; X, CX, CCX and open controls are all "flip".
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from qmljax._circuit.expressions import Expression

Kind = Literal["ry", "phase", "diagonal", "flip", "permutation", "dense", "load"]


class Angle(NamedTuple):
    """`scale * expressions[expression]`; expression -1 is the constant 1, so that `Angle(-1, a)` is the number a."""

    expression: int
    scale: float

    def times(self, factor: float) -> "Angle":
        return Angle(self.expression, self.scale * factor)


def constant(angle: float) -> Angle:
    return Angle(-1, angle)


class Table:
    """A read-only numpy array that is hashed and compared by value."""

    __slots__ = ("array", "_key")

    def __init__(self, array: Any):
        self.array = np.array(array, order="C")
        self.array.setflags(write=False)
        self._key = (self.array.shape, self.array.dtype.str, self.array.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self._key == other._key

    def __repr__(self) -> str:
        return f"Table({self.array.dtype}{list(self.array.shape)})"


class Op(NamedTuple):
    """One elementary operation; the table at the top of this file says what each kind does."""

    kind: Kind
    qubits: tuple[int, ...]
    controls: tuple[int, ...] = ()
    pattern: int = 0
    angle: Angle = Angle(-1, 1.0)
    table: Table | None = None

    @property
    def moved(self) -> tuple[int, ...]:
        """The qubits whose bit it may change."""
        return () if self.kind in ("phase", "diagonal") else self.qubits

    @property
    def array(self) -> np.ndarray:
        """The entries of its table, of an op that has one."""
        assert self.table is not None
        return self.table.array

    def is_felt(self, reads: dict[int, bool]) -> bool:
        """Whether it can matter to what is read after it. If so, `reads` becomes what is read before it.

        Args:
            reads: The qubits that are read; True for those of which the bit alone is, as Z does.

        Returns:
            False if it commutes with all that is read.
        """
        qubits = self.qubits + self.controls
        diagonal = qubits if self.kind in ("phase", "diagonal") else self.controls
        if all(reads.get(q, True) and q in diagonal for q in qubits if q in reads):
            return False  # commutes with all that is read
        # Basis states stay basis states, unless an op superposes them.
        bits = self.kind not in ("ry", "dense", "load") and all(reads.get(q, True) for q in qubits)
        reads |= {q: bits or (q in diagonal and reads.get(q, True)) for q in qubits}
        return True

    def on(self, qubits: tuple[int, ...]) -> "Op":
        """This op, a template on local qubits 0, 1, ..., placed on real ones.

        Args:
            qubits: The real qubit of each local one.

        Returns:
            The op on these.
        """
        if len(self.qubits) == 1 and not self.controls:  # most are of this kind
            return Op(self.kind, (qubits[self.qubits[0]],), (), self.pattern, self.angle, self.table)
        places = tuple([qubits[q] for q in self.qubits])
        return Op(self.kind, places, tuple([qubits[q] for q in self.controls]), self.pattern, self.angle, self.table)

    def of(self, angles: Sequence[Angle]) -> "Op":
        """This op, a template whose expressions are the arguments 0, 1, ... of a gate, with their real values.

        Args:
            angles: What the arguments are.

        Returns:
            The op with its angle in those of the circuit.
        """
        if self.angle.expression < 0:
            return self
        expression, scale = angles[self.angle.expression]
        angle = Angle(expression, scale * self.angle.scale)
        return Op(self.kind, self.qubits, self.controls, self.pattern, angle, self.table)


def controlled(op: Op, controls: tuple[int, ...], pattern: int) -> tuple[Op, ...]:
    """The ops that do `op` where the bits of `controls` are `pattern`, and nothing elsewhere."""
    if not controls:
        return (op,)
    if op.kind in ("phase", "diagonal", "flip"):
        both = op.pattern | pattern << len(op.controls)
        return (op._replace(controls=op.controls + controls, pattern=both),)
    if op.kind == "ry":  # X RY(-a) X = RY(a): the halves add where the control is met and cancel where it is not
        flip = Op("flip", op.qubits, controls, pattern)
        half, back = op._replace(angle=op.angle.times(0.5)), op._replace(angle=op.angle.times(-0.5))
        return (half, flip, back, flip)
    size, width = len(op.array), len(op.qubits)
    if op.kind == "permutation":
        table = np.arange(size << len(controls))
        table[pattern * size : (pattern + 1) * size] = pattern * size + op.array
        return (Op("permutation", op.qubits + controls, table=Table(table)),)
    # A unitary matrix is V exp(i diag(e)) V^dagger: only the diagonal needs the control.
    eigenvalues, vectors = _eigen_unitary(op.array)
    middle = Op("diagonal", op.qubits, controls, pattern, table=Table(np.angle(eigenvalues)))
    assert len(eigenvalues) == 1 << width
    return (
        op._replace(table=Table(vectors.conj().T)),
        middle,
        op._replace(table=Table(vectors)),
    )


def given(op: Op, qubit: int, value: bool) -> Op | None:
    """The op where the bit of a qubit, which it does not change, is `value`; None if it does nothing there."""
    if qubit in op.controls:
        k = op.controls.index(qubit)
        if op.pattern >> k & 1 != value:
            return None
        low, high = op.pattern & (1 << k) - 1, op.pattern >> k + 1
        op = op._replace(controls=op.controls[:k] + op.controls[k + 1 :], pattern=low | high << k)
    if qubit in op.qubits:
        k = op.qubits.index(qubit)
        op = op._replace(qubits=op.qubits[:k] + op.qubits[k + 1 :])
        if op.kind == "phase":
            return op._replace(angle=op.angle.times(-1.0 if value else 1.0))
        j = np.arange(len(op.array))
        return op._replace(table=Table(op.array[(j >> k & 1) == value]))
    return op


def inverse(op: Op) -> Op:
    """The op that undoes `op`."""
    if op.kind in ("ry", "phase", "diagonal"):
        return op._replace(angle=op.angle.times(-1.0))
    if op.kind == "permutation":
        return op._replace(table=Table(np.argsort(op.array)))
    if op.kind == "dense":
        return op._replace(table=Table(op.array.conj().T))
    return op


def _eigen_unitary(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and an orthonormal eigenbasis of a unitary (numpy's `eig` is not orthonormal when degenerate).

    Re U = (U + U^dagger)/2 and Im U = (U - U^dagger)/2i are commuting Hermitian matrices, so a generic real combination
    of them has the eigenvectors of U.
    """
    real, imag = (matrix + matrix.conj().T) / 2, (matrix - matrix.conj().T) / 2j
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for t in (0.3147, 1.2519, 2.6180, 0.8712):
        _, vectors = np.linalg.eigh(np.cos(t) * real + np.sin(t) * imag)
        image = vectors.conj().T @ matrix @ vectors
        error = np.abs(image - np.diag(np.diag(image))).max()
        if best is None or error < best[0]:
            best = (float(error), np.diag(image), vectors)
    assert best is not None
    return best[1], best[2]


@dataclass(frozen=True, eq=False)
class Program:
    """A parsed circuit, equal to every program parsed from an equal circuit.

    A circuit that measures, resets or branches on its way is one of unitary operations on more qubits, the wires: what
    is measured stays on a wire, and what depends on it is controlled by that. The first wires are the circuit's qubits.

    Attributes:
        num_qubits: The number of wires: of the qubits of the circuit, idle ones included, and of `ancillas`.
        parameters: The names of the circuit's parameters, in Qiskit's order (`circuit.parameters`).
        expressions: What the angles are made of: functions of the parameters.
        ops: The elementary operations in time order.
        measured: The wire that each measured classical bit reads, in the order of the classical bits; ~0 and ~1 for
            bits that are 0 and 1 whatever happens. None when the circuit measures nothing.
        clbits: The places of these bits in the circuit.
        num_clbits: The number of classical bits of the circuit.
        outputs: The wire on which each qubit of the circuit ends; None if these are its first wires, and all.
        ancillas: For each wire beyond the qubits of the circuit, the instruction that needs it.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> program = qj.parse(real_amplitudes(2, reps=1))
        >>> program
        Program(2 qubits, 4 parameters, 5 ops)
        >>> program.parameters[0], program == qj.parse(real_amplitudes(2, reps=1))
        ('θ[0]', True)
    """

    num_qubits: int
    parameters: tuple[str, ...]
    expressions: tuple[Expression, ...]
    ops: tuple[Op, ...]
    measured: tuple[int, ...] | None = None
    clbits: tuple[int, ...] = ()
    num_clbits: int = 0
    outputs: tuple[int, ...] | None = None
    ancillas: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """The number of qubits of the circuit."""
        return self.num_qubits - len(self.ancillas)

    @property
    def is_dynamic(self) -> bool:
        """Whether the circuit measures, resets or branches on its way."""
        return self.outputs is not None or any(wire < 0 for wire in self.measured or ())

    @property
    def num_parameters(self) -> int:
        """The number of parameters, P."""
        return len(self.parameters)

    @functools.cached_property
    def _key(self) -> tuple:
        return tuple(getattr(self, f.name) for f in fields(self))

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is cached: the hash of a string differs from process to process."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Program) and self._hash == other._hash and self._key == other._key

    def __repr__(self) -> str:
        extra = f" + {len(self.ancillas)} wires" if self.ancillas else ""
        return f"Program({self.width} qubits{extra}, {self.num_parameters} parameters, {len(self.ops)} ops)"

    @functools.cached_property
    def loads(self) -> tuple[Op, ...]:
        """The ops that load amplitudes. The rows of their tables are `Angle`s, which here are no angles."""
        return tuple(op for op in self.ops if op.kind == "load")

    @functools.cached_property
    def touched(self) -> tuple[int, ...]:
        """The qubits that some op acts on, ascending. All others stay in |0>."""
        return tuple(sorted({q for op in self.ops for q in op.qubits + op.controls}))

    @property
    def unmeasured(self) -> "Program":
        """The program without its measurements, which most functions do not read."""
        if self.measured is None and not self.num_clbits:
            return self
        return replace(self, measured=None, clbits=(), num_clbits=0)

    def cone(self, reads: Mapping[int, bool]) -> "Program":
        """The ops that can matter to observables, their backward light cone; what is measured is forgotten.

        Args:
            reads: The qubits that the observables act on; True for those of which they read the bit alone, as Z does.

        Returns:
            A program on the same qubits, with the same parameters.
        """
        reads = dict(reads)
        kept: list[Op] = []
        for k, op in enumerate(reversed(self.ops)):
            if len(reads) == self.num_qubits and not any(reads.values()):  # all others matter
                kept.extend(self.ops[len(self.ops) - 1 - k :: -1])
                break
            if op.is_felt(reads):
                kept.append(op)
        return Program(self.num_qubits, self.parameters, self.expressions, tuple(reversed(kept)))

    def on_touched(self, keep: tuple[int, ...] = ()) -> "Program":
        """The same program on the touched qubits and some others alone, renumbered in ascending order.

        Args:
            keep: The qubits that are kept although nothing acts on them.

        Returns:
            A program with the same parameters.
        """
        qubits = tuple(sorted({*self.touched, *keep}))
        if len(qubits) == self.num_qubits:
            return self
        place = {q: k for k, q in enumerate(qubits)}
        ops = tuple(
            op._replace(qubits=tuple(place[q] for q in op.qubits), controls=tuple(place[q] for q in op.controls))
            for op in self.ops
        )
        return Program(len(qubits), self.parameters, self.expressions, ops)
