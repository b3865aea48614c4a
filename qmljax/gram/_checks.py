"""Kernel matrices and labels, checked."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

PRECISION = lax.Precision.HIGHEST


def checked(gram: Any, y: Any = None, *, columns: bool = True) -> tuple[Array, Array]:
    gram = jnp.asarray(gram)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not jnp.issubdtype(gram.dtype, jnp.floating):
        raise ValueError(f"A kernel matrix must be real, of shape (N, N), but is {gram.dtype} of shape {gram.shape}.")
    if y is None:
        return gram, gram[:0]
    y = y if isinstance(y, jax.Array) else np.asarray(y)
    if y.ndim not in ((1, 2) if columns else (1,)) or len(y) != len(gram) or y.dtype.kind not in "fiub":
        raise ValueError(
            f"`y` must hold a number for each of the {len(gram)} points, (N,){', or one-hot labels (N, c)' * columns}, "
            f"but is {y.dtype} of shape {y.shape}."
        )
    return gram, jnp.asarray(y, gram.dtype)
