"""The arguments of `fit`, checked before anything is traced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def _arrays(data: Any, name: str) -> tuple[Array, ...]:
    if not isinstance(data, tuple | list):
        raise TypeError(f"`{name}` must be a tuple of arrays, such as (x, y) or (x,), but is a {type(data).__name__}.")
    arrays = [d if isinstance(d, jax.Array) else np.asarray(d) for d in data]
    for k, array in enumerate(arrays):
        if array.dtype.kind in "OSUMm":
            raise TypeError(
                f"`{name}` must hold numeric arrays, but {name}[{k}] has dtype {array.dtype}. Encode labels as numbers."
            )
    if not arrays or any(a.ndim == 0 for a in arrays) or len({len(a) for a in arrays}) != 1 or len(arrays[0]) == 0:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(
            f"`{name}` must be arrays with the same number of samples in their first axes, but has shapes {shapes}."
        )
    placed = [jnp.asarray(array) for array in arrays]
    for k, array in enumerate(placed):
        if jnp.issubdtype(array.dtype, jnp.inexact) and not jnp.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(np.asarray(array, complex)))[0][0])
            raise ValueError(
                f"`{name}` must be finite, but {name}[{k}] has NaN or infinity in row {row}. Leave such rows out, or "
                "fill them in."
            )
    return tuple(placed)


def check_optimizer(optimizer: Any) -> None:
    """Refuses what is no optax transformation."""
    if not hasattr(optimizer, "init") or not hasattr(optimizer, "update"):
        raise TypeError(
            "`optimizer` must be an optax transformation, such as optax.adam(1e-2), or the name of a SciPy minimiser, "
            f"but is {optimizer!r}."
        )


def check_counts(samples: int, steps: Any, batch_size: Any, key: Any, patience: Any, convergence: Any) -> None:
    if not isinstance(steps, int | np.integer) or steps < 0:
        raise ValueError(f"`steps` must be an integer of at least 0, but is {steps!r}.")
    for name, value in (("patience", patience), ("convergence", convergence)):
        least = 1 if name == "patience" else 2
        if value is not None and (not isinstance(value, int | np.integer) or value < least):
            raise ValueError(f"`{name}` must be a number of steps, at least {least}, but is {value!r}.")
    if batch_size is None:
        return
    if not samples:
        raise ValueError("`batch_size` needs data, but `data` is empty.")
    if not isinstance(batch_size, int | np.integer) or not 1 <= batch_size <= samples:
        raise ValueError(
            f"`batch_size` must be an integer from 1 to {samples}, the number of samples, but is {batch_size!r}."
        )
    if not isinstance(key, jax.Array | np.ndarray):
        raise ValueError(
            "Mini-batches are drawn at random: pass `key=jax.random.key(seed)`, or leave `batch_size` out. "
            f"`key` is {key!r}."
        )


def _floating(leaf: Any) -> Array:
    """Also sheds the weak type of Python numbers: the first step would shed it, and the second compile anew."""
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):  # against its gradient in JAX's sense, a loss may rise
        raise TypeError(
            f"`weights` must be real, but have dtype {leaf.dtype}. Train real and imaginary parts, and put them "
            "together in `loss`."
        )
    return leaf.astype(leaf.dtype if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.result_type(float))


def check_data(data: Any, validation: Any) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
    """The data of training and of validation, as arrays."""
    data = () if isinstance(data, tuple) and not data else _arrays(data, "data")
    if validation is None:
        return data, None
    validation = _arrays(validation, "validation")
    if [d.shape[1:] for d in validation] != [d.shape[1:] for d in data]:
        raise ValueError(
            "`validation` must be arrays like those of `data`, but for the number of samples, but has shapes "
            f"{', '.join(str(d.shape) for d in validation)}, and `data` {', '.join(str(d.shape) for d in data)}."
        )
    return data, validation


def check_weights(weights: Any) -> Any:
    """Where to start, as floating point arrays."""
    weights = jax.tree.map(_floating, weights)
    if not jax.tree.leaves(weights):
        raise ValueError(f"`weights` must hold an array at least, but are {weights!r}.")
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(weights)):
        raise ValueError("`weights` to start from must be finite, but some are NaN or infinite.")
    return weights


def check_state(opt_state: Any, first: Callable[[Any], Any], weights: Any) -> Any:
    """The optimiser's state: a new one, which `first` makes of the weights, unless one is given that fits."""
    if opt_state is None:
        return first(weights)
    if _shapes(opt_state) != _shapes(jax.eval_shape(first, weights)):
        raise ValueError(
            "`opt_state` must be what an earlier result holds, for the same optimizer and weights of the same shapes, "
            "but it has another structure or other shapes."
        )
    return opt_state


def _shapes(state: Any) -> Any:
    return jax.tree.structure(state), [np.shape(leaf) for leaf in jax.tree.leaves(state)]
