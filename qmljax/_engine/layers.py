"""The scheduler: a `Program` becomes a short list of `Level`s, the canonical form that the simulator runs.

A level is, in this order,

1. a monomial layer, ``|z> -> exp(i phi(z)) |pi(z)>``: phases whose angles depend on parameters, a constant diagonal,
   a permutation of the basis. Any sequence of "phase", "diagonal", "flip" and "permutation" ops is one such layer;
2. a product layer: RY on every qubit, each by its own angle;
3. a dense layer: a constant matrix on the highest qubits, for what is neither. Absent from nearly all circuits.

All other one-qubit gates are a RY between phases, so product layers are real matrices and complex numbers enter through
phases alone. An op sinks into the earliest layer that can take it: no op later in time stands before it on its qubits.

Permutations by X, CX and SWAP are affine over GF(2): bit q of pi(z) is the parity of ``rows[q] & z``, xor bit q of
``offset``. Phase terms are kept in the coordinates of the layer's input z, where under an affine permutation a parity
stays a parity; so CX-RZ-CX ladders cost nothing.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qmljax._circuit.basis import FACTOR_QUBITS, Tables, Term, indicator, parity, tabulate, unit
from qmljax._circuit.program import Angle, Op, Program, Table, constant
from qmljax._engine.gf2 import inverse_of_rows

TABLE_QUBITS = 14  # up to here constant diagonals and permutations are tables of 2**n; above, they are factored
IMAGE_QUBITS = 24  # up to here permutations that are not affine are an index of the whole basis

Combination = dict[int, float]  # an angle: sum of coefficient * expression; expression -1 is the constant 1


@dataclass(frozen=True, eq=False)
class Phases:
    """Phases phi(z) = sum_k a_k c_k(z), the angle a_k being `slots[k]` and `tables` the functions c_k, the `terms`."""

    slots: tuple[Combination, ...]
    tables: Tables
    terms: tuple[Term, ...]


@dataclass(frozen=True, eq=False)
class Permutation:
    """new[y] = old[source(y)] with source(y) = high[y >> l] ^ low[y & (2**l - 1)]; `target` is the inverse.

    If it is affine, bit q of target(z) is the parity of ``rows[q] & z``, xor bit q of `offset`.
    """

    source: tuple[np.ndarray, np.ndarray]
    target: tuple[np.ndarray, np.ndarray]
    rows: tuple[int, ...] | None = None
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Level:
    """One level; a part that is None does nothing. `rotations[q]` is half the RY angle of qubit q."""

    phases: Phases | None = None
    diagonal: np.ndarray | None = None  # (2**n,), complex, or real when all entries are
    permutation: Permutation | None = None
    rotations: tuple[Combination, ...] | None = None
    dense: np.ndarray | None = None  # (2**k, 2**k) on the k highest qubits

    def __bool__(self) -> bool:
        parts = (self.phases, self.diagonal, self.permutation, self.rotations, self.dense)
        return any(part is not None for part in parts)


@dataclass(frozen=True, eq=False)
class Layers:
    """The canonical form of a program: exp(i phase) * levels[-1] ... levels[0], acting on the basis state `start`.

    If there are `loads`, they act first. `real` says that in all levels there is nothing complex, so that a real state
    stays real.
    """

    num_qubits: int
    levels: tuple[Level, ...]
    start: int
    phase: Combination
    real: bool
    loads: tuple[Op, ...] = ()


@functools.lru_cache(maxsize=256)
def schedule(program: Program, from_zero: bool = True) -> Layers:
    """The levels of a program.

    Args:
        program: What to lower.
        from_zero: The levels will act on |0...0> only, so that leading phases and flips need not be executed. With
            False they stand for the whole unitary matrix.
    """
    n = program.num_qubits
    scheduler = Scheduler(n)
    for op in program.ops:
        if op.kind != "load":
            scheduler.add(op)
    start = 0
    for draft in scheduler.levels if from_zero and not program.loads else ():
        start = draft.monomial.start(start, scheduler.phase)
        if draft.finish():
            break
    levels = [level for level in (draft.finish() for draft in scheduler.levels) if level]
    real = all(
        level.phases is None
        and (level.diagonal is None or not np.iscomplexobj(level.diagonal))
        and (level.dense is None or not np.iscomplexobj(level.dense))
        for level in levels
    )
    return Layers(n, tuple(levels), start, scheduler.phase, real, program.loads)


class Scheduler:
    """Sinks ops. `front[q]` is the last slot that acts on qubit q; slots 3l, 3l+1, 3l+2 are the layers of level l.

    Args:
        n: The number of qubits.
        parities: Whether phases shall be parities and functions of few bits: then none stands after a permutation that
            is not affine in one level. Else it does on few qubits, as a table of all basis states.
    """

    def __init__(self, n: int, parities: bool = False):
        self.n = n
        self.split = 2 if parities else 0  # phases of up to so many controls are written as parities
        self.parities = parities or n > FACTOR_QUBITS
        self.levels: list[_Draft] = []
        self.front = [0] * n
        self.phase: Combination = {}

    def level(self, index: int) -> "_Draft":
        while len(self.levels) <= index:
            self.levels.append(_Draft(self.n))
        return self.levels[index]

    def add(self, op: Op) -> None:
        qubits = op.qubits + op.controls
        if not qubits:
            _accumulate(self.phase, op.angle)
            return
        if self.n > IMAGE_QUBITS and (op.kind == "permutation" or op.kind == "flip" and len(op.controls) > 1):
            for part in _without_index(op):
                self.add(part)
            return
        front = self.front
        if op.kind == "ry":
            (q,) = qubits
            index = (front[q] + 1) // 3
            _accumulate(self.level(index).rotations.setdefault(q, {}), op.angle, 0.5)
            front[q] = 3 * index + 1
        elif op.kind == "dense":
            self.add_dense(op)
        else:
            index = -(-(front[qubits[0]] if len(qubits) == 1 else max([front[q] for q in qubits])) // 3)
            monomial = self.level(index).monomial
            # Phases after a permutation that is not affine are tables, and no parities.
            while monomial.image is not None and self.parities and op.kind not in ("flip", "permutation"):
                index += 1
                monomial = self.level(index).monomial
            if op.kind == "phase" and len(op.controls) <= self.split and monomial.image is None:  # as most are
                monomial.add_parities(op, self.phase)
            else:
                monomial.add(op, self.phase)
            for q in qubits:
                front[q] = 3 * index

    def add_dense(self, op: Op) -> None:
        """A dense layer acts on the highest qubits: swaps, swallowed by the monomial layers, bring its qubits there."""
        k = len(op.qubits)
        top = tuple(range(self.n - k, self.n))
        swaps, held = [], list(range(self.n))
        for place, qubit in zip(top, op.qubits, strict=True):
            at = held.index(qubit)
            if at != place:
                swaps += [Op("flip", (a,), (b,), 1) for a, b in ((at, place), (place, at), (at, place))]
                held[at], held[place] = held[place], held[at]
        for swap in swaps:
            self.add(swap)
        index = max(self.front[q] for q in top) // 3
        while self.level(index).dense is not None:
            index += 1
        self.levels[index].dense = op.array if op.array.imag.any() else op.array.real
        for q in top:
            self.front[q] = 3 * index + 2
        for swap in reversed(swaps):
            self.add(swap)


def _without_index(op: Op) -> tuple[Op, ...]:
    """A permutation that is not affine, without an index of the whole basis: X = RY(pi/2) Z RY(-pi/2), or a matrix."""
    if op.kind == "flip":
        there, back = (Op("ry", op.qubits, angle=constant(sign * np.pi / 2)) for sign in (-1, 1))
        met = op.pattern | 1 << len(op.controls)
        return there, Op("phase", (), op.controls + op.qubits, met, constant(np.pi)), back
    return (Op("dense", op.qubits, table=Table(np.eye(len(op.array)).astype(complex)[np.argsort(op.array)])),)


def _accumulate(combination: Combination, angle: Angle, factor: float = 1.0) -> None:
    combination[angle.expression] = combination.get(angle.expression, 0.0) + angle.scale * factor


@dataclass
class _Draft:
    """A level under construction."""

    n: int
    monomial: "_Monomial" = field(init=False)
    rotations: dict[int, Combination] = field(default_factory=dict)
    dense: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.monomial = _Monomial(self.n)

    def finish(self) -> Level:
        rotations = None
        if any(any(c.values()) for c in self.rotations.values()):
            rotations = tuple(self.rotations.get(q, {}) for q in range(self.n))
        phases, diagonal = self.monomial.phases()
        return Level(phases, diagonal, self.monomial.permutation(), rotations, self.dense)


class _Monomial:
    """A monomial layer under construction: phases in the coordinates of its input, then a permutation."""

    def __init__(self, n: int):
        self.n = n
        self.clear()

    def clear(self) -> None:
        """Nothing has been added."""
        n = self.n
        self.rows = [1 << q for q in range(n)]
        self.offset = 0
        self.image: np.ndarray | None = None  # pi as a table, once it is no longer affine
        self.terms: dict[Term, Combination] = {}

    def add(self, op: Op, phase: Combination) -> None:
        if op.kind == "flip" and len(op.controls) <= 1 and self.image is None:
            (q,) = op.qubits
            if not op.controls:
                self.offset ^= 1 << q
                return
            (c,) = op.controls
            self.rows[q] ^= self.rows[c]
            bit = self.offset >> c & 1
            self.offset ^= (bit ^ op.pattern ^ 1) << q
        elif op.kind in ("flip", "permutation"):
            self.permute(op)
        else:
            self.add_phase(op, phase)

    def permute(self, op: Op) -> None:
        if self.image is None:
            self.image = self.images()
        y = self.image
        if op.kind == "flip":
            met = np.ones(y.shape, np.int64)
            for k, c in enumerate(op.controls):
                met &= (y >> c & 1) ^ (op.pattern >> k & 1) ^ 1
            self.image = y ^ met << op.qubits[0]
            return
        j = sum((y >> q & 1) << k for k, q in enumerate(op.qubits))
        change = j ^ op.array[j]
        self.image = y ^ sum((change >> k & 1) << q for k, q in enumerate(op.qubits))

    def affine(self, z: np.ndarray) -> np.ndarray:
        """pi(z) of the affine permutation."""
        y = np.full(z.shape, self.offset, np.int64)
        for q, row in enumerate(self.rows):
            y ^= parity(row, z) << q
        return y

    def add_phase(self, op: Op, phase: Combination) -> None:
        if self.image is not None:  # evaluate the op's function at pi(z)
            y = self.image
            plain = _Monomial(self.n)
            plain.add_phase(op, phase)
            for term, combination in plain.terms.items():
                key = Term(0, tuple(1 << q for q in range(self.n)), term.values(0, y).tobytes())
                _merge(self.terms.setdefault(key, {}), combination)
            return
        if op.kind == "phase" and not op.controls:
            self.add_parities(op, phase)
            return
        if op.kind == "phase":
            mask, sign = self.parity(op.qubits)
            inputs, table = op.controls, indicator(len(op.controls), op.pattern ^ self.flipped(op.controls))
        else:
            mask, sign, inputs = 0, 1.0, op.controls + op.qubits
            values = np.zeros(1 << len(inputs))
            values[op.pattern :: 1 << len(op.controls)] = op.array
            table = values[np.arange(len(values)) ^ self.flipped(inputs)].tobytes()
        term = Term(mask, tuple([self.rows[q] for q in inputs]), table)
        _accumulate(self.terms.setdefault(term, {}), op.angle, sign)

    def add_parities(self, op: Op, phase: Combination) -> None:
        """A phase, before any permutation that is not affine: a control makes two parities of half its angle."""
        mask, sign = self.parity(op.qubits)
        found = [(mask, sign)]
        for k, c in enumerate(op.controls):
            half = 0.5 if self.offset >> c & 1 == op.pattern >> k & 1 else -0.5
            found = [x for m, s in found for x in ((m, 0.5 * s), (m ^ self.rows[c], half * s))]
        for mask, sign in found:
            _accumulate(self.terms.setdefault(Term(mask), {}) if mask else phase, op.angle, sign)

    def parity(self, qubits: Sequence[int]) -> tuple[int, float]:
        """The parity of some qubits of pi(z), as the mask of one of z and its sign."""
        mask, sign = 0, 1.0
        for q in qubits:
            mask ^= self.rows[q]
            if self.offset >> q & 1:
                sign = -sign
        return mask, sign

    def flipped(self, qubits: Sequence[int]) -> int:
        """Which of some bits of pi(z) are flipped, as bits."""
        return sum([(self.offset >> q & 1) << k for k, q in enumerate(qubits)])

    def moves(self) -> bool:
        """Whether the permutation is another one than the identity."""
        return self.image is not None or self.offset != 0 or self.rows != [1 << q for q in range(self.n)]

    def images(self) -> np.ndarray:
        """pi(z) for all z."""
        if self.image is not None:
            return self.image
        y = np.array([self.offset])
        for q in range(self.n):  # pi is affine: what a bit changes is the same everywhere
            y = np.concatenate([y, y ^ sum((row >> q & 1) << r for r, row in enumerate(self.rows))])
        return y

    def start(self, state: int, phase: Combination) -> int:
        """Empties the layer, given that its input is the basis state `state`: returns the basis state it becomes."""
        z = np.array([state])
        for term, combination in self.terms.items():
            _merge(phase, combination, float(term.values(0, z)[0]))
        state = int(self.affine(z)[0] if self.image is None else self.image[state])
        self.clear()
        return state

    def phases(self) -> tuple[Phases | None, np.ndarray | None]:
        """The phases that depend on parameters, and the constant diagonal."""
        varying, fixed = [], []
        for term, combination in self.terms.items():
            numbers = {e: c for e, c in combination.items() if c != 0.0}
            if self.n <= TABLE_QUBITS and -1 in numbers:
                fixed.append((term, numbers.pop(-1)))
            if numbers:
                varying.append((term, numbers))
        diagonal = None
        if fixed:
            z = np.arange(1 << self.n)
            diagonal = unit(sum((angle * term.values(0, z) for term, angle in fixed), np.zeros(len(z))))
        if not varying:
            return None, diagonal
        slots = tuple(numbers for _, numbers in varying)
        terms = tuple(term for term, _ in varying)
        return Phases(slots, tabulate([[(1.0, term)] for term in terms], self.n), terms), diagonal

    def permutation(self) -> Permutation | None:
        z = np.arange(1 << min(self.n, TABLE_QUBITS))
        if self.image is None:
            if not self.moves():
                return None
            if self.n > TABLE_QUBITS:
                return self.halves()
            image = self.affine(z)
        else:
            image = self.image
            if (image == np.arange(len(image))).all():
                return None
        zero, rows = np.zeros(1, np.int32), tuple(self.rows) if self.image is None else None
        tables = (zero, np.argsort(image).astype(np.int32)), (zero, image.astype(np.int32))
        return Permutation(*tables, rows, self.offset)

    def halves(self) -> Permutation:
        """The affine permutation and its inverse, each as two tables of half the bits."""
        low = self.n // 2
        zl, zh = np.arange(1 << low), np.arange(1 << (self.n - low)) << low
        kind = np.int32 if self.n < 32 else np.int64
        target = (self.affine(zh) ^ self.offset).astype(kind), self.affine(zl).astype(kind)
        inverse = _Monomial(self.n)
        inverse.rows = inverse_of_rows(self.rows)
        shift = int(inverse.affine(np.array([self.offset]))[0])
        source = inverse.affine(zh).astype(kind), (inverse.affine(zl) ^ shift).astype(kind)
        return Permutation(source, target, tuple(self.rows), self.offset)


def _merge(into: Combination, combination: Combination, factor: float = 1.0) -> None:
    for expression, coefficient in combination.items():
        into[expression] = into.get(expression, 0.0) + coefficient * factor
