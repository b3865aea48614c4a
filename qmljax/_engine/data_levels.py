"""Levels that are arrays, and what becomes of a state: what is compiled once for all circuits of a size.

A level is a permutation between phases, given by the spectrum of their angles, and RY on every qubit; and then, in some
levels, a matrix on the highest qubits.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine import operations
from qmljax._engine.state import PRECISION, cos_sin, square, transform


class Tables(NamedTuple):
    """What is not an angle, of L levels on n qubits.

    Attributes:
        count: How many levels there are; the others are room.
        source: Of each basis state, where it comes from, (L, 2**n), in 16 bits.
        target: Where it goes to, (L, 2**n).
        which: Of each level, which matrix it ends with, (L,), 0 being none.
        dense: Matrices on the highest qubits, (M, 2 K, 2 K), which act on real and imaginary parts; K may be 0.
    """

    count: Any
    source: np.ndarray
    target: np.ndarray
    which: np.ndarray
    dense: np.ndarray


def state(tables: Tables, angles: Array, start: Array | None = None) -> Array:
    """What becomes of a state (2, 2**n), by default of what the circuit starts from; in the precision of the angles."""
    spectra, blocks = _split(tables, angles)

    def run(k: Array, state: Array) -> Array:
        return _level(state, *_of_level(k, tables, spectra, blocks))

    if start is None:
        start = jnp.zeros((2, tables.source.shape[1]), angles.dtype).at[0, 0].set(1)
    if len(angles) > num_angles(tables):
        start = start.at[0].set(angles[num_angles(tables) :])
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
    return found if len(angles) == num_angles(tables) else found.at[num_angles(tables) :].add(cotangent[0])


def normalised(state: Array) -> Array:
    """The rounding errors of many levels add up."""
    return state * lax.rsqrt(square(state).sum())


def num_angles(tables: Tables) -> int:
    """How many angles there are, with those that are room."""
    levels, size = tables.source.shape
    return levels * (size + size.bit_length() - 1)


def _split(tables: Tables, angles: Array) -> tuple[Array, tuple[Array, ...]]:
    """The spectra (L, 2**n), and the product layers as matrices (L, 2**w, 2**w) on blocks of qubits, highest first."""
    levels, size = tables.source.shape
    n = size.bit_length() - 1
    spectra, halves = (
        angles[: levels * size].reshape(levels, size),
        angles[levels * size : num_angles(tables)].reshape(levels, n),
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
    source, target, which = (at(jnp.asarray(table)).astype(np.int32) for table in tables[1:4])
    dense = jnp.asarray(tables.dense, spectra.dtype)
    return at(spectra), tuple(at(block) for block in blocks), source, target, (which, dense)


def _level(state: Array, spectrum: Array, blocks: Any, source: Array, target: Array, matrix: Any) -> Array:
    cos, sin = cos_sin(_transformed(spectrum))
    real, imag = state
    state = jnp.stack([cos * real - sin * imag, sin * real + cos * imag])
    state = _moved(state, source, target)
    for block in reversed(blocks):  # the lowest, which is last, moves to the front; in the end all have
        state = jnp.einsum("cxj,ij->cix", state.reshape(2, -1, len(block)), block, precision=PRECISION)
    return _transformed_by(matrix, state.reshape(2, -1))


def _undone(state: Array, spectrum: Array, blocks: Any, source: Array, target: Array, matrix: Any) -> Array:
    state = _transformed_by(matrix, state, undo=True)
    for block in reversed(blocks):
        state = jnp.einsum("cxj,ji->cix", state.reshape(2, -1, len(block)), block, precision=PRECISION)
    real, imag = _moved(state.reshape(2, -1), target, source)
    cos, sin = cos_sin(_transformed(spectrum))
    return jnp.stack([cos * real + sin * imag, cos * imag - sin * real])


def _transformed_by(matrix: tuple[Array, Array], state: Array, undo: bool = False) -> Array:
    """The state, its matrix applied if the level has one."""
    which, dense = matrix
    if not dense.shape[1]:
        return state

    def apply(state: Array) -> Array:
        own = lax.dynamic_index_in_dim(dense, which, keepdims=False)
        return transform(state, own.T if undo else own)

    return lax.cond(which > 0, apply, lambda state: state, state)


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
