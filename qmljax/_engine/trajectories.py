"""Draws trajectories of Pauli noise: which string each site applies, and how likely that was.

The trajectory without an error is there once, with its exact probability p0. All others are drawn from those with an
error: the site of the first error from its distribution, then that error from those of its site, then all later sites
as they are. So a mean is p0 times the value without an error, and 1 - p0 times the mean of what is drawn.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._engine.threefry import uniform, uniform_numbers, words_of


class Draws(NamedTuple):
    """What is drawn, the first row being that without an error.

    Attributes:
        parities: Of sums of bits of noise, 0 or 1, (rows, forms).
        counts: How often each row was drawn, (rows,); 0 for the first.
        errors: The probability of an error, 1 - p0.
    """

    parities: Any
    counts: Any
    errors: Any

    def weights(self) -> Any:
        """Of the rows, which sum to 1."""
        xp: Any = jnp if isinstance(self.errors, jax.Array) else np
        counts = self.counts.astype(self.errors.dtype)
        share = counts * (self.errors / xp.maximum(counts.sum(), 1))
        return xp.concatenate([(1 - self.errors)[None], share[1:]])


def draw(key: Array, channels: Sequence[Any], sites: Sequence[int], forms: Sequence[int], count: int) -> Draws:
    """Draws `count` trajectories with an error. Equal ones are merged if the probabilities and the key are there.

    Args:
        key: A JAX random key.
        channels: Probabilities of Pauli strings, (4**k,) each.
        sites: The number of the channel of each site, in time order.
        forms: Sums of bits of noise, as masks.
        count: How many.
    """
    if not sites:
        return Draws(np.zeros((1, len(forms)), np.float32), np.zeros(1, np.float32), np.zeros(()))
    known = not any(isinstance(p, jax.core.Tracer) for p in channels)
    there = known and not isinstance(key, jax.core.Tracer)
    xp: Any = np if there else jnp
    index = np.array(sites)
    errors, until, tables = _tables(np if known else jnp, channels, index)
    with jax.ensure_compile_time_eval() if there else contextlib.nullcontext():  # also where other things are traced
        u = (uniform_numbers if there else uniform)(words_of(key), count * (len(sites) + 1)).reshape(count, -1)
    start, u = u[:, :1], 1 - u[:, 1:]
    # The first error is at the site between whose ends `start` lies: there one is sure, and before it there is none.
    error = (np if known else jnp).stack([table[-1] for table in tables])[index]
    u = xp.where(start >= until[None, 1:], np.float32(2), xp.where(start >= until[None, :-1], u * error[None], u))
    bits: list[Any] = []
    order: list[int] = []
    starts = np.cumsum([0, *(_width(channels[s]) for s in sites)])
    for number, table in enumerate(tables):
        at = np.flatnonzero(index == number)
        own = u if len(at) == len(sites) else u[:, at]
        picked = (own[..., None] >= table[None, None, :-1]).sum(axis=-1).astype(np.int32)  # of the errors
        string = xp.where(own < table[-1], picked + np.int32(1), np.int32(0))
        width = _width(channels[number])
        bits.append(
            (string[..., None] >> np.arange(width, dtype=np.int32)[None, None] & np.int32(1)).reshape(count, -1)
        )
        order += [int(starts[s]) + k for s in at for k in range(width)]
    matrix = _matrix(forms, int(starts[-1]))[np.array(order, int)]
    with jax.default_matmul_precision("highest"):
        parities = xp.fmod(xp.matmul(xp.concatenate(bits, axis=1).astype(np.float32), matrix), np.float32(2))
    counts = xp.ones(count, np.float32)
    if there:
        packed, counts = np.unique(np.packbits(parities.astype(bool), axis=1), axis=0, return_counts=True)
        parities = np.unpackbits(packed, axis=1, count=len(forms)).astype(np.float32)
        counts = counts.astype(np.float32)
    none = xp.zeros((1, len(forms)), np.float32)
    return Draws(
        xp.concatenate([none, parities]), xp.concatenate([xp.zeros(1, np.float32), counts]), xp.asarray(errors)
    )


def _tables(xp: Any, channels: Sequence[Any], sites: np.ndarray) -> tuple[Any, Any, list[Any]]:
    """The probability of an error; that the first is before each site, and 2 after the last; sums of each one's errors.

    What are numbers stays such: nothing of it is compiled.
    """
    sums = [xp.clip(xp.cumsum(xp.asarray(p)[1:]), 0, 1) for p in channels]  # of errors alone: they may be rare
    with np.errstate(divide="ignore"):  # where an error is sure
        quiet = xp.cumsum(xp.log1p(-xp.stack([table[-1] for table in sums])[sites]))
    errors = -xp.expm1(quiet[-1])
    until = (-xp.expm1(quiet[:-1]) / xp.where(errors > 0, errors, 1)).astype(np.float32)
    until = xp.concatenate([np.zeros(1, np.float32), until, np.full(1, 2, np.float32)])
    return errors, until, [table.astype(np.float32) for table in sums]


def _width(probabilities: Any) -> int:
    """The bits that a channel's string has."""
    return len(probabilities).bit_length() - 1


def _matrix(forms: Sequence[int], bits: int) -> np.ndarray:
    """Masks of bits as a matrix of 0 and 1, (bits, forms)."""
    size = -(-bits // 8)
    rows = np.frombuffer(b"".join(form.to_bytes(size, "little") for form in forms), np.uint8).reshape(len(forms), size)
    return np.unpackbits(rows, axis=1, bitorder="little")[:, :bits].T.astype(np.float32)


@jax.custom_jvp
def without_slope(probabilities: Any) -> Any:
    """Probabilities of noise that trajectories are drawn from: how they depend on strengths is refused."""
    return probabilities


@without_slope.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise NotImplementedError(
        "Trajectories have no derivatives in the strengths of noise: what is drawn jumps. Use the exact "
        '`method="density_matrix"` for those.'
    )


def mean(values: Array, draws: Draws) -> Array:
    """The mean over trajectories of values (..., rows)."""
    return jnp.sum(values * _like(draws.weights(), values), axis=-1)


def _like(rows: Any, values: Array) -> Array:
    """(rows,) as an array of as many axes as `values` (..., rows)."""
    return jnp.asarray(rows, values.dtype).reshape(*(1,) * (values.ndim - 1), -1)


def standard_error(values: Array, draws: Draws) -> Array:
    """The standard error of `mean`: of what is drawn, since the trajectory without an error is exact."""
    counts = _like(draws.counts, values)
    count = jnp.sum(counts)
    middle = jnp.sum(values * counts, axis=-1, keepdims=True) / jnp.maximum(count, 1)
    squares = jnp.sum(counts * (values - middle) ** 2, axis=-1)
    variance = squares / jnp.maximum(count - 1, 1) / jnp.maximum(count, 1)
    error = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)  # whose slope is finite
    return jnp.asarray(draws.errors, values.dtype) * error
