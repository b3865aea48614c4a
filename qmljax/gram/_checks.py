"""Kernel matrices and labels, checked, and where they lie.

**A matrix whose rows lie on several devices** is taken as it is, on Auto and on Explicit axes of a mesh. Sums and
products stay where it is: `kernel_alignment`, `centre`, `shrink`, `concentration`. Decompositions end that:
eigenvalues, in `clip`, `shift`, `nearest_correlation`, `spectrum`, `geometric_difference`, `engineered_labels` and
`model_complexity`, and the factors of `squared_loss` gather the matrix on every device. The other losses gather it
for the host, which solves them; their values and gradients are then sums and products.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax.numpy as jnp
from jax import Array, lax

from qmljax import _meshes
from qmljax._checks import check_array, shown

P = ParamSpec("P")
R = TypeVar("R")
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


def on_meshes(function: Callable[P, R]) -> Callable[P, R]:
    """A function of kernel matrices to numbers, on Explicit axes, too."""
    return _meshes.on_meshes(function, lambda *given: ())


def matrix_on_meshes(function: Callable[P, R]) -> Callable[P, R]:
    """A function of a kernel matrix to another, whose rows lie as those of the first do."""
    return _meshes.on_meshes(function, lambda gram, *others: gram[:1])
