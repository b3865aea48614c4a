"""Measurement outcomes: the distribution of some qubits, and draws from one."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


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


def sample_index(p: Array, key: Array, shots: int) -> Array:
    """(..., K) unnormalised probabilities -> (..., shots) indices, by inversion of the distribution function."""
    cdf = jnp.cumsum(p, axis=-1)
    u = jax.random.uniform(key, (*p.shape[:-1], shots), p.dtype) * cdf[..., -1:]
    find = functools.partial(jnp.searchsorted, side="right")
    for _ in range(p.ndim - 1):
        find = jax.vmap(find)
    # Rounding of the sums must not reach an outcome of probability 0: the last possible one before it, or the first.
    outcomes = jnp.broadcast_to(jnp.arange(p.shape[-1]), p.shape)
    first = jnp.argmax(p > 0, axis=-1, keepdims=True)
    possible = jax.lax.cummax(jnp.where(p > 0, outcomes, first), axis=p.ndim - 1)
    index = jnp.minimum(find(cdf, u), p.shape[-1] - 1)
    return jnp.take_along_axis(possible, index, axis=-1).astype(jnp.int32)
