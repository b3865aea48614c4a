"""Arguments that are numbers, keys or functions: refused by name before anything is computed with them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_count(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """An integer between `least` and `most`. Refuses what is none: bools and floats, too."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or most is not None and value > most:
        bound = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be an integer {bound}, but is {shown(value)}.")
    return int(value)


def check_number(value: Any, name: str, least: float = 0.0, *, above: bool = False) -> Any:
    """A finite real number of at least `least`, or `above` it. Numbers that are traced have no value yet: they pass."""
    if isinstance(value, jax.core.Tracer) and value.ndim == 0:
        return value
    number = isinstance(value, int | float | np.number | np.ndarray | jax.Array) and not isinstance(value, bool)
    real = number and np.ndim(value) == 0 and not np.iscomplexobj(value)
    if not real or not np.isfinite(value) or value < least or above and value == least:
        bound = f"above {least:g}" if above else f"of at least {least:g}"
        raise ValueError(f"`{name}` must be a finite number {bound}, but is {shown(value)}.")
    return value


def check_key(value: Any, name: str = "key") -> Any:
    """A single JAX random key, of either kind. Refuses what is none, and several keys."""
    typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    raw = isinstance(value, jax.Array | np.ndarray) and value.dtype == np.uint32
    if not typed and not raw:
        raise TypeError(f"`{name}` must be a JAX random key, such as jax.random.key(0), but is {shown(value)}.")
    if value.ndim != (0 if typed else 1):
        raise ValueError(
            f"`{name}` must be a single JAX random key, but is an array of keys of shape {value.shape}. Use jax.vmap "
            "for several."
        )
    return value


def check_array(value: Any, name: str, what: str) -> Any:
    """An array of real numbers, or a list of such; `what` it is to be, such as "of shape (N, N)"."""
    array = value
    if not isinstance(value, jax.Array | np.ndarray):
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))
        try:
            array = (jnp if traced else np).asarray(value)
        except (TypeError, ValueError):  # a ragged list, or what is no number at all
            array = np.asarray(None)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool) or jnp.iscomplexobj(array):
        raise TypeError(f"`{name}` must be an array of real numbers, {what}, but is {shown(value)}.")
    return array


def check_function(value: Any, name: str, what: str) -> Callable[..., Any]:
    """What can be called; `what` it is for, such as ``loss(weights, x, y)``."""
    if not callable(value):
        raise TypeError(f"`{name}` must be a function, {what}, but is {shown(value)}.")
    return value


def shown(value: Any) -> str:
    """A value in an error message: what it is, briefly; arrays by dtype and shape."""
    if isinstance(value, jax.Array | np.ndarray) and value.ndim:
        return f"an array of {value.dtype} of shape {value.shape}"
    text = str(value) if isinstance(value, jax.Array | np.ndarray) else repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"
