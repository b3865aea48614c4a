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
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.at_numbers import Formulas, modulo_turns
from qmljax._circuit.basis import Term
from qmljax._circuit.expressions import evaluate
from qmljax._circuit.program import Program
from qmljax._engine import operations
from qmljax._engine.angles import number, without_turns
from qmljax._engine.layers import Combination, Scheduler
from qmljax._engine.loads import Loads, loads
from qmljax._engine.stacking import widen
from qmljax._engine.state import PRECISION, cos_sin, join_complex, square, transform

QUBITS = (6, 8, 10, 12, 14, 16)
LEVELS = (32, 128, 512)
WIDTHS = (0, 4, 16)  # rows of a matrix on the highest qubits
SIZE = 1 << 20  # amplitudes times levels: above, a program of its own is worth its compilation
PARITIES = 1 << 12  # of a function of a basis state


class Tables(NamedTuple):
    """What is not an angle, of L levels on n qubits.

    Attributes:
        count: How many levels there are; the others are room.
        source: Of each basis state, where it comes from, (L, 2**n), in 16 bits.
        target: Where it goes to, (L, 2**n).
        dense: Matrices on the highest qubits, (L, 2 K, 2 K), which act on real and imaginary parts; K may be 0.
    """

    count: Any
    source: np.ndarray
    target: np.ndarray
    dense: np.ndarray


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
        return _count(self.tables) + (0 if self.loads is None else self.tables.source.shape[1])

    @property
    def work(self) -> int:
        """Amplitudes times levels."""
        return int(self.tables.count) * self.tables.source.shape[1]

    def angles(self, params: np.ndarray, rows: int, dtype: Any) -> np.ndarray:
        """(B, P) -> (rows, angles), those of rows above B being 0."""
        expression, scale, periodic, weight, place = self.terms
        values = self.formulas.values(params)
        x = modulo_turns(values[:, expression] * scale, periodic)
        out = self._placed(x * weight, rows, dtype)
        at, fixed = self.constants
        out[: len(params), at] += fixed.astype(dtype)
        if self.loads is not None:
            out[: len(params), _count(self.tables) :] = self.loads.start(values)
            out[len(params) :, _count(self.tables)] = 1  # |0...0>: no amplitudes at all would be NaN
        return out

    def pushed(self, params: np.ndarray, tangents: np.ndarray, rows: int, dtype: Any) -> np.ndarray:
        """The derivative of `angles` in the direction of tangents (B, P)."""
        expression, scale, _, weight, _ = self.terms
        values = self.formulas.pushed(params, tangents)
        out = self._placed(values[:, expression] * (scale * weight), rows, dtype)
        if self.loads is not None:
            out[: len(params), _count(self.tables) :] = self.loads.pushed(self.formulas.values(params), values)
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
            values = values + self.loads.pulled(at, cotangents[: len(params), _count(self.tables) :])
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
        return out if self.loads is None else out.at[:, _count(self.tables) :].set(self.loads.traced(values))


@functools.lru_cache(maxsize=32)
def encode(program: Program) -> AnyCircuit | None:
    """The arrays of a program; None if it is too large, or has expressions that are complex."""
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
    try:
        formulas = Formulas(program.expressions, program.num_parameters)
    except NotImplementedError:
        return None
    width = rounded(max((len(draft.dense) for draft in levels if draft.dense is not None), default=0), WIDTHS)
    assert width is not None
    dense = np.zeros((count, 2 * width, 2 * width))
    for k in range(len(levels) if width else 0):
        dense[k] = join_complex(widen(levels[k].dense, width))
    source, target = _permutations([draft.monomial for draft in levels], n, count)
    tables = Tables(np.int32(len(levels)), source, target, dense)
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


# What is compiled, for one row of angles.


def state(tables: Tables, angles: Array, start: Array | None = None) -> Array:
    """What becomes of a state (2, 2**n), by default of what the circuit starts from; in the precision of the angles."""
    spectra, blocks = _split(tables, angles)

    def run(k: Array, state: Array) -> Array:
        return _level(state, *_of_level(k, tables, spectra, blocks))

    if start is None:
        start = jnp.zeros((2, tables.source.shape[1]), angles.dtype).at[0, 0].set(1)
    if len(angles) > _count(tables):
        start = start.at[0].set(angles[_count(tables) :])
    return lax.fori_loop(0, tables.count, run, start + 0 * angles[0])  # which varies over a mesh as the angles do


def pull(tables: Tables, angles: Array, out: Array, cotangent: Array) -> Array:
    """The cotangent of the angles, from a state, or some (columns, 2, 2**n), and its: levels are undone one by one."""
    (spectra, blocks), transpose = jax.vjp(lambda a: _split(tables, a), angles)

    def each(act: Any) -> Any:
        return act if out.ndim == 2 else jax.vmap(act, in_axes=(0, *[None] * 5))

    def undo(k: Array, carry: Any) -> Any:
        state, cotangent, found = carry
        level = _of_level(tables.count - 1 - k, tables, spectra, blocks)
        state = each(_undone)(state, *level)
        _, back = jax.vjp(lambda s, *own: each(_level)(s, *own, *level[2:]), state, level[0], level[1])
        cotangent, *mine = back(cotangent)
        at = tables.count - 1 - k
        return state, cotangent, jax.tree.map(lambda all_, one: all_.at[at].set(one), found, tuple(mine))

    nothing = jax.tree.map(jnp.zeros_like, (spectra, blocks))
    _, cotangent, found = lax.fori_loop(0, tables.count, undo, (out, cotangent, nothing))
    (found,) = transpose(found)
    return found if len(angles) == _count(tables) else found.at[_count(tables) :].add(cotangent[0])


def normalised(state: Array) -> Array:
    """The rounding errors of many levels add up."""
    return state * lax.rsqrt(square(state).sum())


def _count(tables: Tables) -> int:
    """How many angles there are, with those that are room."""
    levels, size = tables.source.shape
    return levels * (size + size.bit_length() - 1)


def _split(tables: Tables, angles: Array) -> tuple[Array, tuple[Array, ...]]:
    """The spectra (L, 2**n), and the product layers as matrices (L, 2**w, 2**w) on blocks of qubits, highest first."""
    levels, size = tables.source.shape
    n = size.bit_length() - 1
    spectra, halves = (
        angles[: levels * size].reshape(levels, size),
        angles[levels * size : _count(tables)].reshape(levels, n),
    )
    cos, sin = jnp.cos(halves), jnp.sin(halves)
    rotations = jnp.stack([jnp.stack([cos, -sin], axis=-1), jnp.stack([sin, cos], axis=-1)], axis=-2)  # (L, n, 2, 2)
    blocks, count = [], 2 if n <= 10 else 3
    for members in np.array_split(np.arange(n)[::-1], count):
        block = jnp.ones((levels, 1, 1), angles.dtype)
        for q in members:
            block = (block[:, :, None, :, None] * rotations[:, q, None, :, None, :]).reshape(
                levels, 2 * block.shape[1], -1
            )
        blocks.append(block)
    return spectra, tuple(blocks)


def _of_level(k: Array, tables: Tables, spectra: Array, blocks: tuple[Array, ...]) -> tuple[Any, ...]:
    at = functools.partial(lax.dynamic_index_in_dim, index=k, keepdims=False)
    own = [at(jnp.asarray(table)) for table in tables[1:]]
    source, target = (index.astype(np.int32) for index in own[:2])
    return at(spectra), tuple(at(block) for block in blocks), source, target, own[2].astype(spectra.dtype)


def _level(state: Array, spectrum: Array, blocks: Any, source: Array, target: Array, dense: Array) -> Array:
    cos, sin = cos_sin(_transformed(spectrum))
    real, imag = state
    state = jnp.stack([cos * real - sin * imag, sin * real + cos * imag])
    state = _moved(state, source, target)
    for block in reversed(blocks):  # the lowest, which is last, moves to the front; in the end all have
        state = jnp.einsum("cxj,ij->cix", state.reshape(2, -1, len(block)), block, precision=PRECISION)
    state = state.reshape(2, -1)
    return transform(state, dense) if len(dense) else state


def _undone(state: Array, spectrum: Array, blocks: Any, source: Array, target: Array, dense: Array) -> Array:
    if len(dense):
        state = transform(state, dense.T)
    for block in reversed(blocks):
        state = jnp.einsum("cxj,ji->cix", state.reshape(2, -1, len(block)), block, precision=PRECISION)
    real, imag = _moved(state.reshape(2, -1), target, source)
    cos, sin = cos_sin(_transformed(spectrum))
    return jnp.stack([cos * real + sin * imag, cos * imag - sin * real])


def _moved(state: Array, source: Array, target: Array) -> Array:
    none = jnp.zeros(1, jnp.int32)
    return operations.run("permute", state, (none, source, none, target))


def _transformed(spectrum: Array) -> Array:
    """sum_m spectrum[m] (-1)**parity(m & z), (2**n,)."""
    n = len(spectrum).bit_length() - 1
    left, right = (_signs(k).astype(spectrum.dtype) for k in (n - n // 2, n // 2))
    split = spectrum.reshape(len(left), len(right))
    return jnp.einsum("ah,hk,ck->ac", left, split, right, precision=PRECISION).reshape(-1)


@functools.cache
def _signs(n: int) -> np.ndarray:
    """(-1)**parity(m & z) for all m and z of n bits."""
    z = np.arange(1 << n)
    return 1.0 - 2.0 * (np.bitwise_count(z[:, None] & z[None]) & 1)
