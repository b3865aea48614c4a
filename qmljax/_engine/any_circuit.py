"""One compiled program for all circuits of a size: a circuit without parameters is arrays, the program's arguments.

What is new compiles for a second; this answers in milliseconds, whatever the circuit. A level is as in `layers`:
phases, a permutation, RY on every qubit, a matrix on the highest qubits. A function of a basis state that multiplies an
angle is a sum of parities, its Walsh-Hadamard transform, so that all phases of a level are one array, the spectrum of
its angles. Numbers of qubits and of levels are rounded up to few sizes, by qubits and levels to which nothing happens.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.basis import Term
from qmljax._circuit.program import Program
from qmljax._engine import operations
from qmljax._engine.angles import number
from qmljax._engine.layers import Scheduler
from qmljax._engine.stacking import widen
from qmljax._engine.state import PRECISION, cos_sin, join_complex, rotate, square, transform

QUBITS = (6, 8, 10, 12)
LEVELS = (16, 64, 256, 1024)
WORK = 1 << 20  # amplitudes times levels: above, a program of its own is worth its compilation
PARITIES = 1 << 12  # of a function of a basis state
DENSE_QUBITS = 4  # of a matrix


class AnyCircuit(NamedTuple):
    """A circuit without parameters: L levels on n qubits.

    Attributes:
        spectrum: Of the angles of the phases: that of each parity, by its mask, (L, 2**n).
        halves: Half the RY angle of each qubit, (L, n).
        source: Of each basis state, where it comes from, (L, 2**n).
        target: Where it goes to, (L, 2**n).
        dense: Matrices on the highest qubits, (L, 2 K, 2 K), which act on real and imaginary parts; K may be 0.
    """

    spectrum: np.ndarray | Array
    halves: np.ndarray | Array
    source: np.ndarray | Array
    target: np.ndarray | Array
    dense: np.ndarray | Array


@functools.lru_cache(maxsize=16)
def encode(program: Program) -> AnyCircuit | None:
    """The arrays of a program; None if it has parameters, loads amplitudes or is too large."""
    n = rounded(program.num_qubits, QUBITS)
    if program.parameters or program.loads or not program.num_qubits or n is None:
        return None
    scheduler = Scheduler(n)
    for op in program.ops:
        if op.kind == "dense" and len(op.qubits) > DENSE_QUBITS:
            return None
        scheduler.add(op)
    levels = scheduler.levels
    count, size = rounded(len(levels), LEVELS), 1 << n
    if count is None or count * size > WORK:
        return None
    spectrum, halves = np.zeros((count, size)), np.zeros((count, n))
    source = np.tile(np.arange(size, dtype=np.int32), (count, 1))
    target = source.copy()
    for k, draft in enumerate(levels):
        for term, combination in draft.monomial.terms.items():
            parities = _parities(term)
            if parities is None:
                return None
            masks, weights, integer = parities
            spectrum[k, masks] += number(combination, integer) * weights
        for q, combination in draft.rotations.items():
            halves[k, q] = number(combination, True)
        if draft.monomial.moves():
            target[k] = draft.monomial.images()
            source[k][target[k]] = np.arange(size)
    spectrum[0, 0] += number(scheduler.phase, True)
    width = max((len(draft.dense) for draft in levels if draft.dense is not None), default=0)
    dense = np.zeros((count, 2 * width, 2 * width))
    for k in range(count if width else 0):
        dense[k] = join_complex(widen(levels[k].dense if k < len(levels) else None, width))
    return AnyCircuit(spectrum, halves, source, target, dense)


def rounded(count: int, sizes: tuple[int, ...]) -> int | None:
    """The least of some sizes that is not below a number; None if there is none."""
    return next((size for size in sizes if size >= count), None)


@functools.lru_cache(maxsize=4096)
def _parities(term: Term) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """A function of a basis state as a sum of parities: masks, weights; and whether its values are integers."""
    if term.table is None:
        return np.array([term.mask]), np.ones(1), True
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
    return masks, weights, bool((table == np.round(table)).all())


def state(circuit: AnyCircuit) -> Array:
    """The state (2, 2**n), in the precision of the arrays."""
    size, n = circuit.spectrum.shape[1], circuit.halves.shape[1]
    turns = cos_sin(_transformed(jnp.asarray(circuit.spectrum), n))
    halves = jnp.cos(circuit.halves), jnp.sin(circuit.halves)
    tables = jnp.asarray(circuit.source), jnp.asarray(circuit.target), jnp.asarray(circuit.dense)

    def run(state: Array, level: tuple[Array, ...]) -> tuple[Array, None]:
        cos, sin, cos_half, sin_half, source, target, matrix = level
        real, imag = state
        state = jnp.stack([cos * real - sin * imag, sin * real + cos * imag])
        none = jnp.zeros(1, jnp.int32)
        state = operations.run("permute", state, (none, source, none, target))
        state = rotate(cos_half, sin_half, state, range(n))
        return transform(state, matrix) if len(matrix) else state, None

    start = jnp.zeros((2, size), circuit.spectrum.dtype).at[0, 0].set(1)
    out, _ = lax.scan(run, start, (*turns, *halves, *tables))
    return out * lax.rsqrt(square(out).sum())  # the rounding errors of many levels add up


def _transformed(spectrum: Array, n: int) -> Array:
    """sum_m spectrum[m] (-1)**parity(m & z): (L, 2**n) -> (L, 2**n)."""
    left, right = (_signs(k).astype(spectrum.dtype) for k in (n - n // 2, n // 2))
    split = spectrum.reshape(len(spectrum), len(left), len(right))
    return jnp.einsum("ah,lhk,ck->lac", left, split, right, precision=PRECISION).reshape(spectrum.shape)


@functools.cache
def _signs(n: int) -> np.ndarray:
    """(-1)**parity(m & z) for all m and z of n bits."""
    z = np.arange(1 << n)
    return 1.0 - 2.0 * (np.bitwise_count(z[:, None] & z[None]) & 1)
