"""What a circuit does to a state over devices, step by step, as data: layers within devices, and exchanges of bits.

A layer acts on bits within devices. A bit of the devices' numbers is exchanged for one within them when a rotation is
to act on it, and stays there: where the bits are is the `Layout`, which is never restored. Phases and diagonals need no
exchange, since a device knows its number; nor does a permutation that only renames devices. A permutation that is
affine needs one, of as many bits as it mixes into the numbers (`gf2.triangles`). One that is not is an affine one,
after which all the bits that it changes are within devices; or, if it changes too many, goes by two (`routes`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from qmljax._engine import gf2
from qmljax._engine.layers import TABLE_QUBITS, Combination, Level, Permutation
from qmljax._engine.operations import Kind, Rotations
from qmljax._engine.shards import layout as layouts
from qmljax._engine.shards.layout import Held, Layout
from qmljax._engine.shards.routes import three_permutations
from qmljax._engine.state import join_complex


class Exchange(NamedTuple):
    """Swaps the highest bits within devices, the lowest first, with as many of their numbers.

    Attributes:
        bits: How many.
        groups: Devices that exchange with each other, in the order of these bits of their numbers.
        order: In which order what comes from the devices of a group is taken, if it is not theirs.
    """

    bits: int
    groups: tuple[tuple[int, ...], ...]
    order: tuple[int, ...] | None = None


class Move(NamedTuple):
    """Each device sends all it has to another one."""

    pairs: tuple[tuple[int, int], ...]


class Step(NamedTuple):
    """A layer within devices, as `operations.run` takes it, or what is sent between them.

    Attributes:
        kind: Which.
        tables: Its constants.
        slots: Its angles, if it has any.
        periodic: Whether they count modulo 2 pi.
        signs: Of the angles on each device, (devices, slots).
    """

    kind: Kind | Exchange | Move
    tables: tuple[Held, ...] = ()
    slots: tuple[Combination, ...] = ()
    periodic: bool = True
    signs: np.ndarray | None = None


class Planner:
    """Plans steps, keeping track of the layout.

    Args:
        layout: Where the bits are.
        settle: Whether devices get back their own numbers where that takes no sending: then the steps of equal levels
            are equal.
        real: Whether states are.
    """

    def __init__(self, layout: Layout, settle: bool = False, real: bool = False):
        self.settle = settle
        self.real = real
        self.places = list(layout.places)
        self.numbers = list(layout.numbers)
        self.n, self.m, self.k = len(layout.places), layout.m, layout.k
        self.steps: list[Step] = []

    @property
    def layout(self) -> Layout:
        return Layout(tuple(self.places), tuple(self.numbers))

    def take(self) -> list[Step]:
        """The steps since the last time."""
        steps, self.steps = self.steps, []
        return steps

    def level(self, level: Level) -> None:
        if level.phases:
            terms, layout = level.phases.terms, self.layout
            tables = layouts.tables([[(1.0, term)] for term in terms], layout)
            periodic = level.phases.tables.integer
            self.steps.append(Step("phases", tables, level.phases.slots, periodic, layouts.signs(terms, layout)))
        if level.diagonal is not None:
            diagonal = level.diagonal[self.layout.basis()]
            if np.iscomplexobj(diagonal):
                diagonal = np.stack([diagonal.real, diagonal.imag], axis=1)
            self.steps.append(Step("multiply", (Held.of(diagonal),)))
        if level.permutation:
            self.permute(level.permutation)
        if level.rotations:
            self.rotate(level.rotations)
        if level.dense is not None:
            self.transform(level.dense)

    def permute(self, permutation: Permutation) -> None:
        if permutation.rows is not None:
            matrix = np.stack([gf2.bits(row, self.n) for row in permutation.rows])
            self.affine(matrix, gf2.bits(permutation.offset, self.n), self._nearest(matrix))
            return
        image = permutation.target[1].astype(np.int64)
        basis = np.arange(len(image))
        matrix, offset = np.eye(self.n, dtype=np.int64), 0
        columns = [int(image[1 << j] ^ image[0]) for j in range(self.n)]
        guess = np.stack([gf2.bits(column, self.n) for column in columns], axis=1)
        changed = int(np.bitwise_or.reduce(image ^ basis))
        if gf2.rank(guess) == self.n:  # the affine permutation that does the same to 0 and to single bits
            of = gf2.span(columns) ^ image[0]
            rest = np.empty_like(image)
            rest[of] = image
            left = int(np.bitwise_or.reduce(rest ^ basis))
            if left.bit_count() < changed.bit_count():
                image, matrix, offset, changed = rest, guess, int(image[0]), left
        if changed.bit_count() > self.m:
            if offset or (matrix != np.eye(self.n)).any():
                image = permutation.target[1].astype(np.int64)
            self._route(image)
            return
        self.affine(matrix, gf2.bits(offset, self.n), self._bringing(changed))
        basis = self.layout.basis()
        low = (1 << self.m) - 1
        self._reindex(self._placed(image[basis]) & low, self._placed(basis) & low)

    def affine(self, matrix: np.ndarray, offset: np.ndarray, places: Sequence[int]) -> None:
        """Maps z to matrix z + offset, after which the qubits are at `places`."""
        before = self.layout.matrix
        self.places = list(places)
        after = self.layout.matrix
        matrix, offset = after @ matrix @ before.T % 2, after @ offset % 2
        first, r, second = gf2.triangles(matrix, self.m)
        if not r:
            self._triangular(matrix, offset)
            return
        self._triangular(first, np.zeros_like(offset))
        self._exchange(range(r))
        self._triangular(second, offset)

    def rotate(self, rotations: Sequence[Combination]) -> None:
        """First what is within devices, then, instead of the highest bits there, what was outside."""
        active = [q for q in range(self.n) if rotations[q]]
        outside = sorted((q for q in active if self.places[q] >= self.m), key=self.places.__getitem__)
        self._rotations([q for q in active if q not in outside], rotations)
        if outside:
            self.bring(outside)
            self._rotations(outside, rotations)

    def transform(self, matrix: np.ndarray) -> None:
        """A matrix on the highest qubits, which become the highest within devices."""
        width = len(matrix).bit_length() - 1
        if width > self.m:
            raise ValueError(
                f"`circuit` has a matrix on {width} qubits, but of one state over {1 << self.k} devices each holds "
                f"{self.m}: no more can be mixed at once. Use fewer devices, or gates on fewer qubits."
            )
        places = list(self.places)
        for j in range(width):
            there = places.index(self.m - width + j)
            q = self.n - width + j
            places[there], places[q] = places[q], places[there]
        self.move(places)
        matrix = matrix if self.real else join_complex(matrix)
        self.steps.append(Step("transform", (Held(matrix, False),)))

    def move(self, places: Sequence[int]) -> None:
        """The qubits go to other places."""
        if list(places) != self.places:
            self.affine(np.eye(self.n, dtype=np.int64), np.zeros(self.n, np.int64), places)

    def restore(self, places: Sequence[int], numbers: Sequence[int] | None = None) -> None:
        """The qubits go to places, and the devices get numbers, their own by default."""
        self.move(places)
        numbers = list(range(1 << self.k)) if numbers is None else list(numbers)
        if self.numbers != numbers:
            self.steps.append(Step(Move(tuple((d, numbers.index(v)) for d, v in enumerate(self.numbers)))))
            self.numbers = numbers

    def bring(self, qubits: Sequence[int]) -> None:
        """Exchanges bits of numbers, in ascending order of their places, for the highest within devices."""
        outside = [self.places[q] - self.m for q in qubits]
        self._exchange(outside)
        inside = [self.places.index(self.m - len(qubits) + j) for j in range(len(qubits))]
        for q, other in zip(qubits, inside, strict=True):
            self.places[q], self.places[other] = self.places[other], self.places[q]

    def _exchange(self, outside: Sequence[int]) -> None:
        """The highest bits within devices for these bits of their numbers."""
        mask = sum(1 << b for b in outside)
        device = {number: d for d, number in enumerate(self.numbers)}
        ranks = gf2.span([1 << b for b in outside]).tolist()
        order = None
        if self.settle and len(outside) == self.k and self.numbers != (own := list(range(1 << self.k))):
            order, self.numbers = tuple(device[number] for number in own), own
            groups: tuple[tuple[int, ...], ...] = (tuple(own),)
        else:
            groups = tuple(tuple(device[base | r] for r in ranks) for base in sorted(device) if not base & mask)
        self.steps.append(Step(Exchange(len(outside), groups, order)))

    def _rotations(self, qubits: Sequence[int], rotations: Sequence[Combination]) -> None:
        slots = {self.places[q]: rotations[q] for q in qubits}
        if len(slots) == 1 < self.m:  # alone its angle would be a scalar, whose sine XLA computes for each amplitude
            (place,) = slots
            slots[place + 1 if place + 1 < self.m else place - 1] = {}
        if slots:
            places = tuple(sorted(slots))
            self.steps.append(Step(Rotations(places), (), tuple(slots[p] for p in places)))

    def _triangular(self, matrix: np.ndarray, offset: np.ndarray) -> None:
        """An affine permutation of places, by which devices keep what they have: they rename, and move it about."""
        m = self.m
        shifts = gf2.span([gf2.number(column) for column in matrix[:m, m:].T])[self.numbers] ^ gf2.number(offset[:m])
        back = gf2.inverse(matrix[:m, :m])
        columns, back_columns = ([gf2.number(c) for c in x.T] for x in (matrix[:m, :m], back))
        if shifts.any() or columns != [1 << j for j in range(m)]:
            low = m if m <= TABLE_QUBITS else m // 2
            undone = np.array([gf2.number(back @ gf2.bits(int(s), m) % 2) for s in shifts])
            tables = []
            for each, extra in ((back_columns, undone), (columns, shifts)):
                tables += [Held.of(extra[:, None] ^ gf2.span(each[low:])[None]), Held(gf2.span(each[:low]), False)]
            self.steps.append(Step("permute", tuple(Held(t.values.astype(np.int32), t.each) for t in tables)))
        renamed = gf2.span([gf2.number(column) for column in matrix[m:, m:].T]) ^ gf2.number(offset[m:])
        self.numbers = [int(renamed[number]) for number in self.numbers]

    def _reindex(self, target: np.ndarray, source: np.ndarray) -> None:
        """Within each device, what is at places `source` goes to places `target`, (devices, 2**m)."""
        there, back = np.empty_like(target), np.empty_like(target)
        np.put_along_axis(there, source, target, axis=1)
        np.put_along_axis(back, target, source, axis=1)
        if (there != np.arange(1 << self.m)).any():
            zero = Held(np.zeros(1, np.int32), False)
            tables = (zero, Held.of(back.astype(np.int32)), zero, Held.of(there.astype(np.int32)))
            self.steps.append(Step("permute", tables))

    def _route(self, image: np.ndarray) -> None:
        """Any permutation of basis states, the bits staying where they are."""
        own = Layout(tuple(self.places), tuple(range(1 << self.k))).basis().reshape(-1)
        places = np.arange(1 << self.m)[None].repeat(1 << self.k, axis=0)
        for j, part in enumerate(three_permutations(self._placed(image[own]), self.m)):
            if j:
                self._exchange(range(self.k))
            self._reindex(part[self.numbers], places)

    def _placed(self, basis: np.ndarray) -> np.ndarray:
        """Basis states as indices of all places."""
        half = self.n // 2
        low, high = gf2.span([1 << p for p in self.places[:half]]), gf2.span([1 << p for p in self.places[half:]])
        return low[basis & (1 << half) - 1] ^ high[basis >> half]

    def _nearest(self, matrix: np.ndarray) -> list[int]:
        """The places after an affine permutation for which it has to exchange the fewest bits, of the likely ones."""

        def exchanged(places: list[int]) -> int:
            after = Layout(tuple(places), tuple(self.numbers)).matrix
            return gf2.rank((after @ matrix @ self.layout.matrix.T % 2)[self.m :, : self.m])

        return min((self.places, self._swapped()), key=exchanged)

    def _swapped(self) -> list[int]:
        """The places if the highest bits within devices are exchanged for all those of their numbers."""
        low = self.m - self.k
        return [p + self.k if low <= p < self.m else p - self.k if p >= self.m else p for p in self.places]

    def _bringing(self, changed: int) -> list[int]:
        """The places with some qubits within devices, for others."""
        for places in (self.places, self._swapped()):
            if not any(p >= self.m and changed >> q & 1 for q, p in enumerate(places)):
                return places
        places = list(self.places)
        free = (q for _, q in sorted((-p, q) for q, p in enumerate(places) if p < self.m and not changed >> q & 1))
        for q, p in enumerate(places):
            if p >= self.m and changed >> q & 1:
                other = next(free)
                places[q], places[other] = places[other], p
        return places


def planned(levels: Sequence[Level], layout: Layout, settle: bool, real: bool) -> tuple[list[list[Step]], Layout]:
    """The steps of each level, and where the bits are then."""
    planner = Planner(layout, settle, real)

    def each() -> Iterator[list[Step]]:
        for level in levels:
            planner.level(level)
            yield planner.take()

    steps = list(each())
    return steps, planner.layout
