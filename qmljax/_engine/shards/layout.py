"""Where the bits of a state are on 2**k devices of 2**m amplitudes, and functions of basis states as each sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qmljax._circuit.basis import Tables, Term, parity, tabulate
from qmljax._engine.gf2 import span


@dataclass(frozen=True)
class Layout:
    """The places of qubits and the numbers of devices.

    Attributes:
        places: Of each qubit: below m a bit of the index within a device, from m on one of the device's number.
        numbers: Of each device. That a permutation renames devices costs nothing.
    """

    places: tuple[int, ...]
    numbers: tuple[int, ...]

    @property
    def k(self) -> int:
        """Bits of a device's number."""
        return len(self.numbers).bit_length() - 1

    @property
    def m(self) -> int:
        """Bits of an index within a device."""
        return len(self.places) - self.k

    @property
    def matrix(self) -> np.ndarray:
        """From bits of qubits to bits of places."""
        return np.eye(len(self.places), dtype=np.int64)[:, list(self.places)].copy()

    def masks(self, mask: int) -> tuple[int, int]:
        """A set of qubits as one of bits within a device, and one of bits of the device's number."""
        placed = sum(1 << place for q, place in enumerate(self.places) if mask >> q & 1)
        return placed & (1 << self.m) - 1, placed >> self.m

    def basis(self) -> np.ndarray:
        """The basis state of each place of each device, (devices, 2**m)."""
        qubit = np.argsort(self.places)
        within, device = span([1 << q for q in qubit[: self.m]]), span([1 << q for q in qubit[self.m :]])
        return device[list(self.numbers)][:, None] ^ within[None]


def start(n: int, k: int) -> Layout:
    """The highest qubits are the bits of the device's number."""
    return Layout(tuple(range(n)), tuple(range(1 << k)))


class Held(NamedTuple):
    """A constant that devices hold: the same on all, or (devices, ...), one for `each`."""

    values: np.ndarray
    each: bool

    @classmethod
    def of(cls, values: np.ndarray) -> "Held":
        """Of (devices, ...)."""
        return cls(values[0], False) if (values == values[:1]).all() else cls(values, True)


Function = Sequence[tuple[float, Term]]  # a sum of terms with coefficients


def signs(terms: Sequence[Term], layout: Layout) -> np.ndarray | None:
    """What the parities of the terms are on the bits of each device's number, (devices, terms); None if all are 1."""
    numbers = np.array(layout.numbers)
    values = np.stack([1.0 - 2.0 * parity(layout.masks(term.mask)[1], numbers) for term in terms], axis=1)
    return None if (values == 1.0).all() else values


def within(term: Term, layout: Layout, number: int) -> Term:
    """A term on the device of this number, up to its sign there."""
    table, found = term.table, [layout.masks(mask) for mask in term.masks]
    if table is not None:
        met = sum(int(parity(device, np.array(number))) << k for k, (_, device) in enumerate(found))
        entries = np.frombuffer(table)
        table = entries[np.arange(len(entries)) ^ met].tobytes()
    return Term(layout.masks(term.mask)[0], tuple(mask for mask, _ in found), table)


def tables(functions: Sequence[Function], layout: Layout) -> tuple[Held, ...]:
    """`low`, or low and high, of `basis.Tables` of functions on each device, without the signs of their terms."""
    by_number = [[[(c, within(t, layout, v)) for c, t in f] for f in functions] for v in layout.numbers]
    if all(each == by_number[0] for each in by_number):
        found = tabulate(by_number[0], layout.m)
        return tuple(Held(x, False) for x in (found.low, found.high) if x is not None)
    return _stacked([tabulate(each, layout.m) for each in by_number])


def signed_tables(functions: Sequence[Function], layout: Layout) -> tuple[Held, ...]:
    """The same with their signs, of functions that are sums."""
    rows = []
    for v in layout.numbers:
        sign = [[1.0 - 2.0 * float(parity(layout.masks(t.mask)[1], np.array(v))) for _, t in f] for f in functions]
        rows.append(
            [
                [(s * c, within(t, layout, v)) for s, (c, t) in zip(x, f, strict=True)]
                for x, f in zip(sign, functions, strict=True)
            ]
        )
    return _stacked([tabulate(each, layout.m) for each in rows])


def _stacked(found: Sequence[Tables]) -> tuple[Held, ...]:
    """Tables of all devices, filled up to one rank."""
    rank = max(len(t.low) for t in found)
    lows = [np.pad(t.low, ((0, rank - len(t.low)), (0, 0))) for t in found]
    highs = [np.pad(t.high, ((0, 0), (0, rank - t.high.shape[1]), (0, 0))) for t in found if t.high is not None]
    if not highs:
        return (Held.of(np.stack(lows)),)
    return Held.of(np.stack(lows)), Held.of(np.stack(highs))
