"""Kernel matrices and labels, checked."""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from qmljax._checks import check_array, shown

PRECISION = lax.Precision.HIGHEST


def check_gram(value: Any, name: str = "gram") -> Array:
    """A kernel matrix: real, of shape (N, N)."""
    array = check_array(value, name, "a kernel matrix of shape (N, N)")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"`{name}` must be a real kernel matrix of shape (N, N), but is {shown(array)}.")
    return jnp.asarray(array)


def check_labels(y: Any, gram: Array, *, columns: bool = True) -> Array:
    """Labels for the points of a kernel matrix, (N,), or (N, c) if there may be `columns`."""
    wanted = f"a number for each of the {len(gram)} points, (N,){', or one-hot labels (N, c)' * columns}"
    array = check_array(y, "y", wanted)
    if array.ndim not in ((1, 2) if columns else (1,)) or len(array) != len(gram):
        raise ValueError(f"`y` must hold {wanted}, but is {shown(array)}.")
    return jnp.asarray(array, gram.dtype)


def check_points(value: Any, name: str, what: str) -> Any:
    """An array of two axes; `what` says which."""
    array = check_array(value, name, what)
    if array.ndim != 2:
        raise ValueError(f"`{name}` must be {what}, but is {shown(array)}.")
    return array
