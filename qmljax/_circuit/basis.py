"""Real functions of a basis state: what phases and diagonal observables are made of, and their tables.

On few qubits a function is a table of ``2**n``. On many it is factored into the high and the low half of the bits,
f(z) = sum_r high[r, z >> l] low[r, z & (2**l - 1)], two small tables: a parity is one such product, and so is a
projector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FACTOR_QUBITS = 10  # above this, functions are factored


def parity(mask: int, z: np.ndarray) -> np.ndarray:
    """The parity of the bits of z that `mask` selects."""
    return (np.bitwise_count(z & mask) & 1).astype(np.int64)


class Term(NamedTuple):
    """A function of z: (-1)**parity(mask & z) * table[j], bit k of j being the parity of masks[k] & z.

    `table` holds ``2**len(masks)`` float64 numbers, or is None for the number 1. With an indicator as table this is a
    projector; with one-bit masks, the diagonal of a gate.
    """

    mask: int
    masks: tuple[int, ...] = ()
    table: bytes | None = None

    def values(self, high: int, z: np.ndarray) -> np.ndarray:
        """The function at the basis states high ^ z, `high` one state and z an array of them."""
        z = z ^ high
        sign = 1.0 - 2.0 * parity(self.mask, z)
        if self.table is None:
            return sign
        index = np.zeros(z.shape, np.int64)
        for k, mask in enumerate(self.masks):
            index |= parity(mask, z) << k
        return sign * np.frombuffer(self.table)[index]


def indicator(bits: int, pattern: int) -> bytes:
    """The table of a term that is 1 where its bits are those of a pattern. No array is made: most gates have one."""
    return bytes(8 * pattern) + _ONE + bytes(8 * ((1 << bits) - pattern - 1))


_ONE = np.float64(1.0).tobytes()


@dataclass(frozen=True, eq=False)
class Tables:
    """K functions of z: c_k(z) = sum_r high[k, r, z >> l] * low[r, z & (2**l - 1)].

    `high` has shape (K, R, 2**h), `low` (R, 2**l). When h = 0, `high` is None, R = K and c_k = low[k].
    """

    high: np.ndarray | None
    low: np.ndarray

    @property
    def integer(self) -> bool:
        """Whether all values are integers, so that phases a_k c_k(z) depend on a_k modulo 2 pi only."""
        return all(table is None or (table == np.round(table)).all() for table in (self.high, self.low))


def tabulate(functions: Sequence[Sequence[tuple[float, Term]]], n: int) -> Tables:
    """The tables of functions that are sums of coefficient * term, on n qubits."""
    if n <= FACTOR_QUBITS:
        z = np.arange(1 << n)
        low = np.zeros((len(functions), 1 << n))
        for k, function in enumerate(functions):
            for coefficient, term in function:
                low[k] += coefficient * term.values(0, z)
        return Tables(None, low)
    low_bits = n // 2
    zh, zl = np.arange(1 << (n - low_bits)) << low_bits, np.arange(1 << low_bits)
    rows: dict[bytes, int] = {}
    parts: list[tuple[int, int, np.ndarray]] = []
    for k, function in enumerate(functions):
        for coefficient, term in function:
            for high, low in _split(term, zh, zl):
                row = rows.setdefault(low.tobytes(), len(rows))
                parts.append((k, row, coefficient * high))
    table = np.zeros((len(functions), len(rows), len(zh)))
    for k, row, high in parts:
        table[k, row] += high
    return Tables(table, np.stack([np.frombuffer(key) for key in rows]))


def _split(term: Term, zh: np.ndarray, zl: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """A term as products of a function of the high bits and one of the low bits.

    A parity is one product. A table of parities is a sum, one product for each pattern that the high bits give those
    parities. Low functions are made to start with a positive value, so that equal ones are found equal.
    """
    sign = 1.0 - 2.0 * parity(term.mask, zh)
    pattern = np.zeros(zh.shape, np.int64)
    for k, mask in enumerate(term.masks):
        pattern |= parity(mask, zh) << k
    products = []
    for value, at in zip(*np.unique(pattern, return_index=True), strict=True):
        low = term.values(int(zh[at]), zl) * sign[at]
        if not low.any():
            continue
        lead = np.sign(low[np.flatnonzero(low)[0]])
        products.append((np.where(pattern == value, lead * sign, 0.0), lead * low + 0.0))
    return products


def unit(angles: np.ndarray) -> np.ndarray | None:
    """exp(i angles), a diagonal; multiples of a quarter turn are exact. Real if it is, None if it is 1."""
    quarters = angles / (np.pi / 2)
    nearest = np.round(quarters)
    values = np.exp(1j * angles)
    exact = np.array([1, 1j, -1, -1j])[nearest.astype(np.int64) % 4]
    values = np.where(np.abs(quarters - nearest) < 1e-14 * np.maximum(1.0, np.abs(nearest)), exact, values)
    if values.imag.any():
        return values
    return None if (values.real == 1.0).all() else values.real
