"""One compiled program for all circuits of a size: the levels of a circuit are arrays, the program's arguments.

What is new compiles for a second; this answers in milliseconds, whatever the circuit. A level is as in `layers`:
phases, a permutation, RY on every qubit, a matrix on the highest qubits. A function of a basis state that multiplies an
angle is a sum of parities, its Walsh-Hadamard transform, so that all phases of a level are one array, the spectrum of
its angles. Numbers of qubits are rounded up to few sizes, by qubits to which nothing happens; the loop over levels runs
as many rounds as there are, in arrays with room for more.

Between the parameters and the angles of a circuit everything has a shape of its own, for which even a sum would have to
be compiled: that is left to NumPy, also while a derivative is taken.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.at_numbers import Formulas, modulo_turns
from qmljax._circuit.basis import Term
from qmljax._circuit.expressions import evaluate
from qmljax._circuit.program import Program
from qmljax._engine.angles import number, without_turns
from qmljax._engine.data_levels import Tables, num_angles
from qmljax._engine.layers import Combination, Scheduler
from qmljax._engine.loads import Loads, loads
from qmljax._engine.stacking import widen
from qmljax._engine.state import join_complex

QUBITS = (6, 8, 10, 12, 14, 16)
LEVELS = (32, 128, 512)
WIDTHS = (0, 4, 16, 64, 256)  # rows of a matrix on the highest qubits
MATRICES = (2, 8, 32, 128, 513)  # of which one is of no gate
ENTRIES = 1 << 21  # of the matrices
ROW = 16  # rows of a matrix that take as long as all else that a level does, generously
SIZE = 1 << 20  # amplitudes times levels: above, a program of its own is worth its compilation
PARITIES = 1 << 12  # of a function of a basis state


@dataclass(frozen=True, eq=False)
class AnyCircuit:
    """A circuit as arrays. The angles of all levels stand in a row: L spectra of 2**n, then L times n halves of RY's.

    Where amplitudes are loaded, they are behind them, 2**n, of any norm. Angles are sums of T terms ``weight * (scale *
    value)``, value being that of an expression, and of constants.

    Attributes:
        program: The circuit.
        formulas: Its expressions.
        tables: What is not an angle.
        terms: Of each term its expression, scale, whether turns of 2 pi may be left out, weight and place.
        starts: Terms are sorted by place: where those of each place begin.
        constants: The places and the values of constants.
        loads: What is loaded.
    """

    program: Program
    formulas: Formulas
    tables: Tables
    terms: tuple[np.ndarray, ...]
    starts: np.ndarray
    constants: tuple[np.ndarray, np.ndarray]
    loads: Loads | None

    @property
    def num_angles(self) -> int:
        """How many angles there are, with those that are room, and amplitudes."""
        return num_angles(self.tables) + (0 if self.loads is None else self.tables.source.shape[1])

    @property
    def work(self) -> int:
        """Amplitudes times levels, and what matrices take beside them."""
        rows = np.count_nonzero(self.tables.which) * self.tables.dense.shape[1] // 2
        return (int(self.tables.count) + rows // ROW) * self.tables.source.shape[1]

    def angles(self, params: np.ndarray, rows: int, dtype: Any) -> np.ndarray:
        """(B, P) -> (rows, angles), those of rows above B being 0."""
        expression, scale, periodic, weight, place = self.terms
        values = self.formulas.values(params)
        x = modulo_turns(values[:, expression] * scale, periodic)
        out = self._placed(x * weight, rows, dtype)
        at, fixed = self.constants
        out[: len(params), at] += fixed.astype(dtype)
        if self.loads is not None:
            out[: len(params), num_angles(self.tables) :] = self.loads.start(values)
            out[len(params) :, num_angles(self.tables)] = 1  # |0...0>: no amplitudes at all would be NaN
        return out

    def pushed(self, params: np.ndarray, tangents: np.ndarray, rows: int, dtype: Any) -> np.ndarray:
        """The derivative of `angles` in the direction of tangents (B, P)."""
        expression, scale, _, weight, _ = self.terms
        values = self.formulas.pushed(params, tangents)
        out = self._placed(values[:, expression] * (scale * weight), rows, dtype)
        if self.loads is not None:
            out[: len(params), num_angles(self.tables) :] = self.loads.pushed(self.formulas.values(params), values)
        return out

    def pulled(self, params: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Its transpose, (rows, angles) -> (B, P)."""
        expression, scale, _, weight, place = self.terms
        each = cotangents[: len(params), place] * (scale * weight)
        values = np.zeros((len(self.formulas.constant), len(params)))
        np.add.at(values, expression, each.T)
        values = values.T
        if self.loads is not None:
            at = self.formulas.values(params)
            values = values + self.loads.pulled(at, cotangents[: len(params), num_angles(self.tables) :])
        return self.formulas.pulled(params, values)

    def _placed(self, terms: np.ndarray, rows: int, dtype: Any) -> np.ndarray:
        """(B, T) -> (rows, angles): the terms of one place add up."""
        out = np.zeros((rows, self.num_angles), dtype)
        if len(self.starts):
            out[: len(terms), self.terms[4][self.starts]] = np.add.reduceat(terms, self.starts, axis=1)
        return out

    def traced(self, params: Array) -> Array:
        """`angles` as JAX computes them, (B, P) -> (B, angles)."""
        expression, scale, periodic, weight, place = self.terms
        values = evaluate(self.program.expressions, params.T).T if self.program.expressions else params[:, :0]
        x = without_turns(values[:, expression] * scale[None].astype(params.dtype), periodic[None])
        at, fixed = self.constants
        out = jnp.zeros((len(params), self.num_angles), params.dtype).at[:, at].add(fixed[None].astype(params.dtype))
        out = out.at[:, place].add(x * weight[None].astype(params.dtype))
        return out if self.loads is None else out.at[:, num_angles(self.tables) :].set(self.loads.traced(values))


@functools.lru_cache(maxsize=32)
def encode(program: Program) -> AnyCircuit | None:
    """The arrays of a program; None if it is too large."""
    n = rounded(program.num_qubits, QUBITS)
    if not program.num_qubits or n is None:
        return None
    scheduler = Scheduler(n, parities=True)
    scheduler.level(0)  # which has the global phase
    for op in program.ops:
        if op.kind == "dense" and len(op.array) > WIDTHS[-1]:
            return None
        if op.kind != "load":
            scheduler.add(op)
    levels, size = scheduler.levels, 1 << n
    count = rounded(len(levels), LEVELS)
    if count is None or len(levels) * size > SIZE:
        return None
    terms = _Terms()
    for k, draft in enumerate(levels):
        for term, combination in draft.monomial.terms.items():
            if term.table is None:
                terms.add_one(combination, k * size + term.mask)
                continue
            found = parities(term)
            if found is None:
                return None
            terms.add(combination, k * size, *found)
        for q, combination in draft.rotations.items():
            terms.add_one(combination, count * size + k * n + q)
    terms.add_one(scheduler.phase, 0)
    formulas = Formulas(program.expressions, program.num_parameters)
    matrices = _matrices([draft.dense for draft in levels], count)
    if matrices is None:
        return None
    source, target = _permutations([draft.monomial for draft in levels], n, count)
    tables = Tables(np.int32(len(levels)), source, target, *matrices)
    return AnyCircuit(program, formulas, tables, *terms.sorted(), loads(program, n))


def rounded(count: int, sizes: tuple[int, ...]) -> int | None:
    """The least of some sizes that is not below a number; None if there is none."""
    return next((size for size in sizes if size >= count), None)


class _Terms:
    """The terms of the angles under construction."""

    def __init__(self) -> None:
        self.columns: tuple[list[Any], ...] = ([], [], [], [], [])
        self.fixed: tuple[list[int], list[float]] = ([], [])
        self.turns: tuple[list[int], list[float]] = ([], [])  # constants at places that know them modulo 2 pi

    def add(self, combination: Combination, at: int, masks: Any, weights: Any, periodic: bool) -> None:
        """A combination of expressions at some places from `at` on."""
        count, columns = len(masks), self.columns
        for expression, scale in combination.items():
            if expression < 0:
                constant = number(combination, periodic)
                self.fixed[0].extend([at + mask for mask in masks])
                self.fixed[1].extend([constant * weight for weight in weights])
                continue
            columns[0].extend([expression] * count)
            columns[1].extend([scale] * count)
            columns[2].extend([periodic] * count)
            columns[3].extend(weights)
            columns[4].extend([at + mask for mask in masks])

    def add_one(self, combination: Combination, place: int) -> None:
        """A combination at one place, which knows it modulo 2 pi: by far the most are of this kind."""
        for expression, scale in combination.items():
            if expression < 0:
                self.turns[0].append(place)
                self.turns[1].append(scale)
                continue
            for column, value in zip(self.columns, (expression, scale, True, 1.0, place), strict=True):
                column.append(value)

    def sorted(self) -> tuple[tuple[np.ndarray, ...], np.ndarray, tuple[np.ndarray, np.ndarray]]:
        kinds = (np.int32, np.float64, bool, np.float64, np.int64)
        columns = [np.array(column, kind) for column, kind in zip(self.columns, kinds, strict=True)]
        order = np.argsort(columns[4], kind="stable")
        _, starts = np.unique(columns[4][order], return_index=True)
        places, inverse = np.unique(np.array(self.fixed[0] + self.turns[0], np.int64), return_inverse=True)
        numbers = np.concatenate([np.array(self.fixed[1], float), modulo_turns(np.array(self.turns[1], float), True)])
        constants = np.bincount(inverse, numbers, len(places)) if len(places) else np.zeros(0)
        return tuple(column[order] for column in columns), starts, (places, constants)


def _matrices(matrices: Sequence[np.ndarray | None], count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Which matrix each of `count` levels has, 0 being none, and all of them, widened; None if they are too large."""
    there = [(k, matrix) for k, matrix in enumerate(matrices) if matrix is not None]
    width = rounded(max((len(matrix) for _, matrix in there), default=0), WIDTHS)
    number = rounded(1 + len(there), MATRICES)
    if width is None or number is None or number * (2 * width) ** 2 > ENTRIES:
        return None
    which, dense = np.zeros(count, np.int32), np.zeros((number, 2 * width, 2 * width))
    for place, (k, matrix) in enumerate(there, start=1):
        which[k], dense[place] = place, join_complex(widen(matrix, width))
    return which, dense


def _permutations(monomials: Any, n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each basis state comes from and goes to, (count, 2**n) each, of monomial layers."""
    rows = np.array([monomial.rows for monomial in monomials], np.int32).reshape(-1, n)
    source, target = np.zeros((2, count, 1 << n), np.int32)
    images = target[: len(rows)]
    images[:, 0] = [monomial.offset for monomial in monomials]
    bits = rows[:, :, None] >> np.arange(n, dtype=np.int32) & 1
    changes = (bits << np.arange(n, dtype=np.int32)[:, None]).sum(axis=1, dtype=np.int32)
    for q in range(n):  # pi is affine: what a bit changes is the same everywhere
        np.bitwise_xor(images[:, : 1 << q], changes[:, q, None], out=images[:, 1 << q : 2 << q])
    for k, monomial in enumerate(monomials):
        if monomial.image is not None:
            images[k] = monomial.image
    flat = images + (np.arange(len(images), dtype=np.int32) << n)[:, None]
    source.reshape(-1)[flat] = np.arange(1 << n, dtype=np.int32)
    return source.astype(np.uint16), target.astype(np.uint16)


@functools.lru_cache(maxsize=4096)
def parities(term: Term) -> tuple[list[int], list[float], bool] | None:
    """A function of a basis state as a sum of parities: masks, weights; and whether its values are integers."""
    assert term.table is not None
    spectrum = table = np.frombuffer(term.table)
    if len(table) > PARITIES:
        return None
    masks = np.array([term.mask])
    for k, mask in enumerate(term.masks):
        pairs = spectrum.reshape(-1, 2, 1 << k)
        spectrum = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        masks = np.concatenate([masks, masks ^ mask])
    # Masks that depend on each other give one parity several times.
    masks, place = np.unique(masks, return_inverse=True)
    weights = np.bincount(place, spectrum / len(table), len(masks))
    kept = weights != 0
    return masks[kept].tolist(), weights[kept].tolist(), bool((table == np.round(table)).all())
