"""Rows by parts, where the states of all of them would not fit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax


def in_parts(function: Callable[[Array], Array], rows: Array, size: int) -> Array:
    """A function of rows (N, ...) -> (N, ...), of `size` rows at a time; a gradient computes each part again."""
    padded = jnp.pad(rows, ((0, -len(rows) % size), *((0, 0),) * (rows.ndim - 1)), mode="edge")
    out = lax.map(jax.checkpoint(function), padded.reshape(-1, size, *rows.shape[1:]))
    return out.reshape(-1, *out.shape[2:])[: len(rows)]
