"""Expectation values from the coefficients of a density matrix: sums over Pauli strings."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.observables import Observable
from qmljax._circuit.pauli_basis import LETTERS
from qmljax._circuit.program import Table

MOST_STRINGS = 1 << 14  # that observables may have, if readout may lose letters

# Each letter of an observable as a sum of Pauli matrices.
_SUMS = {
    **{letter: ((letter, 1.0),) for letter in "XYZ"},
    **{a: (("I", 0.5), (b, sign / 2)) for a, b, sign in zip("01+-rl", "ZZXXYY", (1, -1) * 3, strict=True)},
}


@dataclass(frozen=True)
class StringSums:
    """Observables as sums of Pauli strings.

    Attributes:
        num_qubits: Of the circuit.
        letters: Of each string and each qubit, its number in `pauli_basis`, (S, n).
        owners: Of each term the observable it belongs to, and its string.
        coefficients: Of each term.
        shape: Of the values.
    """

    num_qubits: int
    letters: Table
    owners: Table
    coefficients: Table
    shape: tuple[int, ...]

    @property
    def qubits(self) -> tuple[int, ...]:
        """On which some string acts."""
        return tuple(np.flatnonzero(self.letters.array.any(axis=0)).tolist())

    def bit(self, q: int) -> bool:
        """Whether of a qubit the bit alone is read."""
        return bool(np.isin(self.letters.array[:, q], (0, LETTERS.index("Z"))).all())

    def on(self, qubits: Sequence[int], num_qubits: int | None = None) -> "StringSums":
        """The same of a circuit that has these qubits alone, or is so many qubits, of which they are the first."""
        count = len(qubits) if num_qubits is None else num_qubits
        letters = np.zeros((len(self.letters.array), count), self.letters.array.dtype)
        letters[:, : len(qubits)] = self.letters.array[:, list(qubits)]
        return StringSums(count, Table(letters), self.owners, self.coefficients, self.shape)

    def values(self, state: Array) -> Array:
        """The coefficients tr(P rho), (4**n,), to values."""
        letters = self.letters.array.astype(np.int64)
        return self.of_strings(taken(state, (letters << 2 * np.arange(self.num_qubits)[None]).sum(axis=1)))

    def of_strings(self, strings: Array) -> Array:
        """The expectation values of the strings (S, *batch) to those of the observables, (*shape, *batch)."""
        owner, string = self.owners.array
        batch = strings.shape[1:]
        terms = taken(strings, string) * jnp.asarray(self.coefficients.array, strings.dtype).reshape(
            -1, *(1,) * len(batch)
        )
        count = int(np.prod(self.shape))
        return (
            jnp.zeros((count, *batch), strings.dtype).at[owner.astype(np.int32)].add(terms).reshape(*self.shape, *batch)
        )


def taken(values: Array, places: np.ndarray) -> Array:
    """Elements, or rows, at places that are known."""
    return values.at[places.astype(np.int32)].get(mode="promise_in_bounds")


@functools.lru_cache(maxsize=64)
def string_sums(observables: tuple[Observable, ...], single: bool) -> StringSums:
    """Observables as sums of Pauli strings; a product of projectors on w qubits is 2**w of them."""
    n = observables[0].num_qubits
    strings: dict[tuple[tuple[int, str], ...], int] = {}
    terms: dict[tuple[int, int], float] = {}
    for k, observable in enumerate(observables):
        for product, coefficient in observable.terms:
            partial: list[tuple[tuple[tuple[int, str], ...], float]] = [((), coefficient)]
            for q, letter in product:
                partial = [
                    (done if new == "I" else (*done, (q, new)), c * weight)
                    for done, c in partial
                    for new, weight in _SUMS[letter]
                ]
            for done, c in partial:
                at = k, strings.setdefault(done, len(strings))
                terms[at] = terms.get(at, 0.0) + c
    letters = np.zeros((len(strings), n), np.int8)
    for done, s in strings.items():
        for q, letter in done:
            letters[s, q] = LETTERS.index(letter)
    owners = np.array(list(terms), np.int64).reshape(-1, 2).T
    shape: Any = () if single else (len(observables),)
    return StringSums(n, Table(letters), Table(owners), Table(np.array(list(terms.values()))), shape)


@functools.lru_cache(maxsize=64)
def observables_of(strings: StringSums) -> tuple[Observable, ...]:
    n = strings.num_qubits
    return tuple(
        Observable(n, ((tuple((q, LETTERS[a]) for q, a in enumerate(row) if a), 1.0),)) for row in strings.letters.array
    )


def of_letter(p: Array) -> tuple[Any, Any]:
    """(a, b): what a letter L of a qubit is read as on average, a + b L, for a matrix P[true][read]."""
    return (p[0, 0] - p[0, 1] + p[1, 0] - p[1, 1]) / 2, (p[0, 0] - p[0, 1] - p[1, 0] + p[1, 1]) / 2


def misread(strings: Array, sums: StringSums, readout: Array) -> Array:
    """Each letter becomes a + b letter, by the errors of readout of its qubit; `sums` has all parts of strings."""
    letters = sums.letters.array
    place = {row.tobytes(): k for k, row in enumerate(letters)}
    for q, p in zip(sums.qubits, readout, strict=True):
        constant, slope = of_letter(p)
        without = letters.copy()
        without[:, q] = 0
        has = (letters[:, q] != 0).reshape(-1, 1, 1)
        others = np.array([place[row.tobytes()] for row in without])
        strings = jnp.where(has, slope * strings + constant * taken(strings, others), strings)
    return strings


def misread_bits(p: Array, readout: Array) -> Array:
    """Probabilities (2**k, ...) of what is read, for matrices P[true][read] (k, 2, 2)."""
    shape = p.shape
    for matrix in readout:  # the lowest bit moves to the front; in the end all have
        pairs = p.reshape(-1, 2, math.prod(shape[1:]))
        p = jnp.einsum("xts,tr->rxs", pairs, matrix, precision=lax.Precision.HIGHEST).reshape(shape)
    return p


def with_parts(sums: StringSums) -> StringSums:
    """The same sums, with every string that has fewer letters among the strings."""
    rows = {row.tobytes(): row for row in sums.letters.array}
    for q in range(sums.num_qubits):
        for row in list(rows.values()):
            if row[q]:
                fewer = row.copy()
                fewer[q] = 0
                rows.setdefault(fewer.tobytes(), fewer)
    if len(rows) > MOST_STRINGS:
        raise ValueError(
            f"With errors of readout the observables have {len(rows)} Pauli strings and parts of them: more than "
            f"{MOST_STRINGS} are too many for states. Use density matrices, or observables on fewer qubits."
        )
    return dataclasses.replace(sums, letters=Table(np.stack(list(rows.values()))))
