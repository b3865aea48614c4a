"""Measurement outcomes: the distribution of some qubits, and draws from one.

One uniform number a shot cannot draw from 2**n outcomes: in float32 it has 2**23 values, and a distribution function
that is summed over the outcomes loses more. A draw here walks down a tree of sums instead, in which every number is
right to a few roundings, and decides each of n turns by random bits of its own: rare outcomes are as fair as others.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine.threefry import random_bits

BLOCK = 1 << 16  # so many outcomes are drawn at once: what is drawn stays in the cache, and memory is bounded
DIGIT = 8  # the random bits of a turn; only if they tie, with probability 2**-8, are more needed


def marginal(p: Array, qubits: Sequence[int]) -> Array:
    """(2**n, *batch) -> (2**k, *batch): bit j of the new index is `qubits[j]`."""
    n = p.shape[0].bit_length() - 1
    if len(distinct := tuple(dict.fromkeys(qubits))) < len(qubits):  # a qubit measured twice: its bits agree
        z = np.arange(1 << len(distinct))
        index = sum((z >> distinct.index(q) & 1) << j for j, q in enumerate(qubits))
        return jnp.zeros((1 << len(qubits), *p.shape[1:]), p.dtype).at[index].set(marginal(p, distinct))
    if tuple(qubits) == tuple(range(n)):
        return p
    batch = p.shape[1:]
    p = p.reshape(*(2,) * n, *batch)  # axis k is qubit n - 1 - k
    kept = sorted(qubits, reverse=True)
    p = jnp.sum(p, axis=tuple(n - 1 - q for q in range(n) if q not in qubits))
    order = [kept.index(q) for q in reversed(qubits)]
    p = jnp.transpose(p, (*order, *range(len(order), len(order) + len(batch))))
    return p.reshape(1 << len(order), *batch)


def added_up(p: np.ndarray, places: Sequence[int | None]) -> np.ndarray:
    """As `marginal`, of numbers (..., 2**n) -> (..., 2**k): bit j is the bit `places[j]`, or 0. Nothing is compiled."""
    outcomes = np.arange(p.shape[-1])
    index = sum((outcomes >> place & 1) << j for j, place in enumerate(places) if place is not None)
    out = np.zeros((1 << len(places), *p.shape[:-1]), p.dtype)
    np.add.at(out, np.broadcast_to(index, outcomes.shape), np.moveaxis(p, -1, 0))
    return np.moveaxis(out, 0, -1)


def sample_index(p: Array, key: Array, shots: int) -> Array:
    """(..., 2**n) unnormalised probabilities -> (..., shots) indices; -1 where their sum is zero or not finite."""
    batch, p = p.shape[:-1], lax.stop_gradient(p).reshape(-1, p.shape[-1])
    turns, total = _turns(p)
    size = min(shots, max(1, BLOCK // max(1, len(p))))
    count = -(-shots // size)
    if count == 1:
        index = _walk(turns, key, size)
    else:
        blocks = lax.map(lambda k: _walk(turns, k, size), jax.random.split(key, count))  # (count, members, size)
        index = jnp.moveaxis(blocks, 0, 1).reshape(len(p), count * size)[:, :shots]
    index = jnp.where((total > 0) & jnp.isfinite(total), index, -1)
    return index.reshape(*batch, shots)


drawn = functools.partial(jax.jit, static_argnums=2)(sample_index)


def _turns(p: Array) -> tuple[Array, Array]:
    """(members, 2**n) leaves of a tree -> what the inner nodes 1, ..., 2**n - 1 decide by; and the sums (members, 1).

    Node i has the children 2i and 2i + 1, and leaf z is node 2**n + z. The entry of a node is the part of its smaller
    child, at most a half: so no digit is lost, and what has no probability is never taken. It is negative, if need be
    -0.0, where the smaller child is the left one.
    """
    level, parts = p, []
    while level.shape[1] > 1:
        left, right = level[:, 0::2], level[:, 1::2]
        level = left + right
        part = jnp.where(left < right, -left, right) / jnp.where(level > 0, level, 1)
        parts.append(part.astype(np.float32))
    root = jnp.zeros((len(p), 1), np.float32)
    return jnp.concatenate([root, *reversed(parts)], axis=1), level


def _walk(turns: Array, key: Array, shots: int) -> Array:
    """(members, 2**n) -> (members, shots) indices, each by its own walk from the root to a leaf.

    A turn compares the part of the smaller child with a uniform number of 40 bits, DIGIT of them fresh. The other 32
    come from a linear congruential sequence: two turns of a walk look at theirs in one walk of 2**16.
    """
    members, outcomes = turns.shape
    depth, per_word = outcomes.bit_length() - 1, 32 // DIGIT
    count = 1 + -(-depth // per_word)
    words = random_bits(key, count * members * shots).reshape(count, members, shots)
    entries = jax.vmap(lambda row, k: row.at[k].get(mode="promise_in_bounds"))

    def turn(level: Array, walk: tuple[Array, Array]) -> tuple[Array, Array]:
        node, low = walk
        word = lax.dynamic_index_in_dim(words, 1 + level // per_word, keepdims=False)
        digit = word >> (level % per_word * DIGIT).astype(np.uint32) & np.uint32((1 << DIGIT) - 1)
        part = entries(turns, node)
        rest = jnp.abs(part) * 2.0**DIGIT - digit.astype(np.float32)  # > 1: taken; <= 0: not; else the low bits decide
        smaller = low.astype(np.float32) < rest * 2.0**32
        right = smaller ^ jnp.signbit(part)
        return 2 * node + right.astype(np.int32), low * np.uint32(0x915F77F5) + np.uint32(1)

    start = jnp.ones((members, shots), np.int32), words[0]
    return lax.fori_loop(0, depth, turn, start)[0] - outcomes


def binomial(key: Array, shots: int, p: Array) -> Array:
    """How often outcomes of probabilities `p` are drawn in so many shots, in the dtype of `p`.

    Raises:
        NotImplementedError: JAX cannot draw there.
    """
    if jax.typeof(p).manual_axis_type.varying:  # a loop of JAX's begins with what does not vary
        raise NotImplementedError(
            "Shots are drawn by jax.random.binomial, which JAX cannot do in a `shard_map` that checks what varies over "
            "devices. Pass `check_vma=False` to it, or leave the arrays on a mesh without `shard_map`."
        )
    return jax.random.binomial(key, shots, p, dtype=p.dtype)
