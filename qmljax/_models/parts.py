"""Numbers of rows: by parts, where the states of all of them would not fit, and filled up to one of few numbers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._meshes import devices


def in_parts(function: Callable[[Array], Array], rows: Array, size: int) -> Array:
    """A function of rows (N, ...) -> (N, ...), `size` of a device's at a time; a gradient computes each part again.

    A part takes rows from everywhere, a power of two if they are of one device, as far as is known: where devices have
    rows of their own, all have a share of it.
    """
    many = devices()
    size = size * many if many > 1 else 1 << size.bit_length() - 1
    padded = jnp.pad(rows, ((0, -len(rows) % size), *((0, 0),) * (rows.ndim - 1)), mode="edge")
    out = lax.map(jax.checkpoint(function), padded.reshape(size, -1, *rows.shape[1:]).swapaxes(0, 1))
    return out.swapaxes(0, 1).reshape(-1, *out.shape[2:])[: len(rows)]


def room(samples: int) -> int:
    """The number of samples or at most an eighth more: few different lengths, so that few are compiled for."""
    grain = 1 << max(samples.bit_length() - 4, 0)
    return -(-samples // grain) * grain


def filled(rows: Any, size: int) -> Any:
    """Rows (N, ...) that are numbers as (size, ...), by more of the last one. Nothing is compiled for it."""
    rows = np.asarray(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])


def cut(values: Any, *sizes: int) -> Any:
    """The first elements of the first axes; of numbers, without a program for it."""
    at = tuple(slice(size) for size in sizes)
    return values[at] if isinstance(values, jax.core.Tracer) else jax.device_put(np.asarray(values)[at])


def spread(values: Any, axis: int) -> Any:
    """Values with one more axis, of size 1; of numbers, without a program for it."""
    return jnp.expand_dims(values, axis) if isinstance(values, jax.core.Tracer) else np.expand_dims(values, axis)
