"""The levels of a noisy circuit, for density matrices in the basis of Pauli strings (`pauli_basis`).

There a state is 4**n real numbers, and

- RY, phases on one qubit and channels on one qubit, one after the other, are one real 4x4 matrix for each qubit;
- Clifford operations, such as CX, send strings to strings up to a sign, and noise of Pauli strings multiplies each
  string by a number: a whole chain of CX with such noise after each is one permutation and one real diagonal;
- a phase of a parity of several qubits turns pairs of strings; a matrix on few qubits acts as its transfer matrix; and
  all else acts on the rows, then on the columns of the density matrix itself.

A level is these three in this order; an op or a channel sinks into the earliest that can take it.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from qmljax._circuit import pauli_basis
from qmljax._circuit.basis import Term
from qmljax._circuit.noisy import NoisyProgram
from qmljax._circuit.program import Angle, Op, constant
from qmljax._engine.any_circuit import parities

MATRIX_QUBITS = 3  # up to here constant matrices and permutations are transfer matrices
CONTROLS = 4  # up to here phases and flips that are controlled are parities
MOST_SHAPES = 4096  # of the factors of one level, as a table


Classes = tuple[int, ...] | None


class Channel(NamedTuple):
    """A channel as a program knows it: by its number.

    If it mixes Pauli strings, it multiplies each string by a number: `classes` says which strings by the same.
    """

    number: int
    classes: Classes
    qubits: tuple[int, ...]


class Turn(NamedTuple):
    """exp(i angle Z...Z), or exp(-i angle Y / 2), on some qubits."""

    axis: str
    qubits: tuple[int, ...]
    angle: Angle


class Matrix(NamedTuple):
    """A constant unitary operation on few qubits, as a transfer matrix."""

    qubits: tuple[int, ...]
    matrix: Any


Part = Turn | Matrix | Channel | Op


@dataclass(eq=False)
class Level:
    """One level.

    Attributes:
        moves: Clifford operations and channels of Pauli strings, which together are a permutation and a diagonal.
        products: For each qubit what acts on it alone, in time order.
        others: What else there is, in time order.
    """

    moves: list[Matrix | Channel] = field(default_factory=list)
    products: dict[int, list[Part]] = field(default_factory=dict)
    others: list[Part] = field(default_factory=list)


@functools.lru_cache(maxsize=64)
def levels(noisy: NoisyProgram, classes: tuple[Classes, ...]) -> tuple[Level, ...]:
    """The levels of a program, for the `classes` of each channel of the noise model."""
    scheduler = _Scheduler(noisy.program.num_qubits)
    constants = [_classes(table.array) for table in noisy.constants]
    sites = list(reversed(noisy.sites))
    for position, op in enumerate((*noisy.program.ops, None)):
        while sites and sites[-1].position == position:
            site = sites.pop()
            known = constants[~site.channel] if site.channel < 0 else classes[site.channel]
            scheduler.add_channel(Channel(site.channel, known, site.qubits))
        if op is not None:
            scheduler.add(op)
    return tuple(scheduler.levels)


def _classes(matrix: np.ndarray) -> Classes:
    diagonal = np.diag(matrix)
    return None if (matrix != np.diag(diagonal)).any() else tuple(np.unique(diagonal, return_inverse=True)[1].tolist())


class _Scheduler:
    """Sinks ops. `front[q]` is the last slot on qubit q: 3l, 3l + 1, 3l + 2 are the parts of level l."""

    def __init__(self, n: int):
        self.levels = [Level()]
        self.front = [0] * n
        self.moved = [False] * n  # whether it is in `moves` that the qubit is at the front

    def level(self, index: int) -> Level:
        while len(self.levels) <= index:
            self.levels.append(Level())
        return self.levels[index]

    def place(self, qubits: tuple[int, ...], part: int) -> Level:
        """The earliest level whose part (0, 1 or 2) can follow all that is on some qubits."""
        index = -(-(max(self.front[q] for q in qubits) - part) // 3)
        for q in qubits:
            self.front[q], self.moved[q] = 3 * index + part, part == 0
        return self.level(index)

    def add_channel(self, channel: Channel) -> None:
        qubits = channel.qubits
        if channel.classes is not None and (len(qubits) > 1 or self.moved[qubits[0]]):
            self.place(qubits, 0).moves.append(channel)
        elif len(qubits) == 1:
            self.place(qubits, 1).products.setdefault(qubits[0], []).append(channel)
        else:
            self.place(qubits, 2).others.append(channel)

    def add(self, op: Op) -> None:
        qubits = op.qubits + op.controls
        if not qubits:  # a global phase
            return
        if len(qubits) == 1 and op.kind in ("ry", "phase") and not op.controls:
            turn = Turn("y" if op.kind == "ry" else "z", qubits, op.angle)
            self.place(qubits, 1).products.setdefault(qubits[0], []).append(turn)
            return
        if op.kind != "load" and op.angle.expression < 0 and len(qubits) <= 2:
            matrix = _transfer(op)
            if len(qubits) == 1:
                self.place(qubits, 1).products.setdefault(qubits[0], []).append(Matrix(qubits, matrix))
                return
            if pauli_basis.signed_permutation(matrix) is not None:
                self.place(qubits, 0).moves.append(Matrix(qubits, matrix))
                return
        self.add_wide(op, qubits)

    def add_wide(self, op: Op, qubits: tuple[int, ...]) -> None:
        few = len(qubits) <= CONTROLS
        if op.kind == "phase" and not op.controls:
            self.place(qubits, 2).others.append(Turn("z", qubits, op.angle))
        elif op.kind in ("phase", "diagonal") and few:
            for mask, weight in _parities(op):
                inside = tuple(q for k, q in enumerate(qubits) if mask >> k & 1)
                self.add(Op("phase", inside, angle=op.angle.times(weight)))
        elif op.kind == "flip" and few:  # X = RY(pi/2) Z RY(-pi/2)
            met = op.pattern | 1 << len(op.controls)
            self.add(Op("ry", op.qubits, angle=constant(-math.pi / 2)))
            self.add(Op("phase", (), op.controls + op.qubits, met, constant(math.pi)))
            self.add(Op("ry", op.qubits, angle=constant(math.pi / 2)))
        elif op.kind in ("dense", "permutation") and len(qubits) <= MATRIX_QUBITS:
            self.place(qubits, 2).others.append(Matrix(qubits, _transfer(op)))
        else:
            self.place(tuple(range(len(self.front))), 2).others.append(op)


def _transfer(op: Op) -> np.ndarray:
    return pauli_basis.transfer(pauli_basis.constant_matrix(op)[None])


def _parities(op: Op) -> list[tuple[int, float]]:
    """A phase with controls, or a diagonal, as parities of its qubits and controls, with weights."""
    k = len(op.qubits)
    z = np.arange(1 << k)
    inner = op.array if op.kind == "diagonal" else 1.0 - 2.0 * (np.bitwise_count(z) & 1)
    table = np.zeros(1 << k + len(op.controls))
    table[op.pattern << k : (op.pattern << k) + (1 << k)] = inner
    masks = tuple(1 << j for j in range(k + len(op.controls)))
    found = parities(Term(0, masks, table.tobytes()))
    assert found is not None
    return [(mask, weight) for mask, weight in zip(*found[:2], strict=True) if mask]


class Moves(NamedTuple):
    """A permutation of strings and a diagonal: new[s] = sign[s] factor[s] old[source[s]].

    Attributes:
        source: Where each string comes from, (4**n,).
        target: Where it goes to.
        sign: Of the new strings, 1 or -1.
        factors: Of each channel its number, a string on its qubits of each class, and the classes of the new strings,
            (4**n,).
    """

    source: np.ndarray
    target: np.ndarray
    sign: np.ndarray
    factors: tuple[tuple[int, np.ndarray, np.ndarray], ...]


@functools.lru_cache(maxsize=64)
def _moves(n: int, key: tuple) -> Moves:
    image = np.arange(4**n, dtype=np.int32)
    sign = np.ones(4**n, np.int8)
    factors = []
    for item in key:
        if isinstance(item, Channel):
            _, first, of_strings = np.unique(np.array(item.classes), return_index=True, return_inverse=True)
            small = of_strings.astype(np.min_scalar_type(len(first)))
            factors.append((item.number, first, small[part(item.qubits, image)]))
            continue
        qubits, images, signs = item
        here = part(qubits, image)
        change = (np.arange(len(images)) ^ np.array(images)).astype(np.int32)
        spread = np.zeros(len(images), np.int32)
        for k, q in enumerate(qubits):
            spread |= (change >> 2 * k & 3) << 2 * q
        sign *= np.array(signs, np.int8)[here]
        image = image ^ spread[here]
    source = np.empty_like(image)
    source[image] = np.arange(4**n, dtype=np.int32)
    return Moves(source, image, sign[source], tuple((number, first, at[source]) for number, first, at in factors))


def part(qubits: tuple[int, ...], strings: np.ndarray) -> np.ndarray:
    """The parts of strings on some qubits, as numbers of their own."""
    out = np.zeros(strings.shape, np.uint8 if len(qubits) <= 4 else np.int32)
    for k, q in enumerate(qubits):
        out |= ((strings >> 2 * q & 3) << 2 * k).astype(out.dtype)
    return out


def moves(level: Level, n: int) -> Moves:
    """What the Clifford operations and channels of a level come to. Equal levels share it."""
    return _moves(n, _key(level))


def _key(level: Level) -> tuple:
    key: list[Any] = []
    for item in level.moves:
        if isinstance(item, Channel):
            key.append(item)
            continue
        found = pauli_basis.signed_permutation(item.matrix)
        assert found is not None
        key.append((item.qubits, tuple(found[0].tolist()), tuple(found[1].astype(int).tolist())))
    return tuple(key)


@functools.lru_cache(maxsize=64)
def _shapes(n: int, key: tuple) -> tuple[list[np.ndarray] | None, np.ndarray | None]:
    factors = _moves(n, key).factors
    # The order in which a channel meets its classes does not count.
    codes = np.zeros(4**n, np.int64)
    for at in _sorted_alike(factors):
        codes = codes * (int(at.max()) + 1) + at
        there = np.zeros(int(codes.max()) + 1, bool)
        there[codes] = True
        if there.sum() > MOST_SHAPES:
            return None, None
        codes = (np.cumsum(there) - 1)[codes]
    first = np.zeros(int(codes.max()) + 1, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return [at[first] for _, _, at in factors], codes.astype(np.int32)


def _sorted_alike(factors: Any) -> Any:
    """The classes that channels meet, those of one channel in ascending order for each string."""
    for number in dict.fromkeys(number for number, _, _ in factors):
        yield from np.sort([at for other, _, at in factors if other == number], axis=0)


def shapes(level: Level, n: int) -> tuple[list[np.ndarray] | None, np.ndarray | None]:
    """Of the factors of a level: the classes that they meet on strings that differ in them, and which each string has.

    None if there are more than `MOST_SHAPES`.
    """
    return _shapes(n, _key(level))


def partner(qubits: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of exp(i a Z...Z): for each string the one that it turns into, and with which sign; 0 where it commutes."""
    s = np.arange(4**n)
    x, z = ([s >> 2 * q + shift & 1 for q in qubits] for shift in (0, 1))
    ys = sum(a & b for a, b in zip(x, z, strict=True))
    xs = sum(x) - ys
    sign = np.where(sum(x) & 1, np.where((1 + xs - ys) % 4 == 0, 1, -1), 0)
    mask = sum(2 << 2 * q for q in qubits)
    return (s ^ mask).astype(np.int32), sign[s ^ mask].astype(np.int8)
