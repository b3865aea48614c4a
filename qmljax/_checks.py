"""Arguments that are numbers, keys or functions: refused by name before anything is computed with them."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_count(
    value: Any, name: str, least: int = 1, most: int | None = None, *, optional: bool = False, what: str = "an integer"
) -> Any:
    """An integer between `least` and `most`, or, if it is `optional`, None. Refuses bools and floats, too."""
    if optional and value is None:
        return None
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or most is not None and value > most:
        bound = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be {what} {bound}{', or None' * optional}, but is {shown(value)}.")
    return int(value)


def check_number(
    value: Any,
    name: str,
    least: float = 0.0,
    *,
    above: bool = False,
    below: float = math.inf,
    optional: bool = False,
    hint: str = "",
) -> Any:
    """A finite real number of at least `least`, or `above` it, and `below` a bound; or, if it is `optional`, None.

    Numbers that are traced have no value yet: they pass.
    """
    if optional and value is None or isinstance(value, jax.core.Tracer) and value.ndim == 0:
        return value
    number = isinstance(value, int | float | np.number | np.ndarray | jax.Array) and not isinstance(value, bool)
    real = number and np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf"
    if not real or not math.isfinite(value) or not least <= value < below or above and value == least:
        bound = f" above {least:g}" if above else f" of at least {least:g}" * math.isfinite(least)
        bound += f" and below {below:g}" * math.isfinite(below) + ", or None" * optional
        raise ValueError(f"`{name}` must be a finite number{bound}, but is {shown(value)}.{hint and ' ' + hint}")
    return value


def check_flag(value: Any, name: str, *, optional: bool = False) -> Any:
    """True or False, or, if it is `optional`, None. Refuses what is merely as good as one of them, such as "no"."""
    if not isinstance(value, bool | np.bool_) and not (optional and value is None):
        choice = "True, False or None" if optional else "True or False"
        raise TypeError(f"`{name}` must be {choice}, but is {shown(value)}.")
    return value


def check_key(value: Any, name: str = "key", hint: str = "Use jax.vmap for several.") -> Any:
    """A single JAX random key, of either kind. Refuses what is none, and several keys: the `hint` says what to do."""
    typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    raw = isinstance(value, jax.Array | np.ndarray) and value.dtype == np.uint32 and value.shape[-1:] in ((2,), (4,))
    if not typed and not raw:
        raise TypeError(f"`{name}` must be a JAX random key, such as jax.random.key(0), but is {shown(value)}.")
    if value.ndim != (0 if typed else 1):
        raise ValueError(
            f"`{name}` must be a single JAX random key, but is an array of keys of shape {value.shape}. {hint}"
        )
    return value


def check_array(value: Any, name: str, what: str) -> Any:
    """An array of real numbers, or a list of such; `what` it is to be, such as "of shape (N, N)"."""
    array = as_array(value)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool) or jnp.iscomplexobj(array):
        raise TypeError(f"`{name}` must be an array of real numbers, {what}, but is {shown(value)}.")
    return array


def as_array(value: Any) -> Any:
    """An array as it is, or one of a list, whose elements may be traced; of no numbers if it cannot be one."""
    if isinstance(value, jax.Array | np.ndarray):
        return value
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))
    try:
        return (jnp if traced else np).asarray(value)
    except (TypeError, ValueError):  # a ragged list, or what is no number at all
        return np.asarray(None)


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
