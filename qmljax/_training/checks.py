"""The arguments of `fit`, checked before anything is traced."""

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._checks import check_count, check_flag, check_function, check_key, check_number, shown
from qmljax._training.batches import KINDS
from qmljax._training.leaves import is_key

# Arguments of scipy.optimize.minimize.
TAKEN = {"fun", "x0", "args", "method", "jac", "hess", "hessp", "bounds", "constraints", "tol", "callback", "options"}


def check_functions(loss: Any, callback: Any) -> None:
    """Refuses what cannot be called."""
    check_function(loss, "loss", "loss(weights, *data) -> ()")
    check_callback(callback)


def check_callback(callback: Any) -> None:
    """Refuses what cannot be called by step, weights and loss, before there is anything to call back about."""
    if callback is None:
        return
    check_function(callback, "callback", "callback(step, weights, loss), or None")
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # of what is written in C
        return
    try:
        signature.bind(0, None, 0.0)
    except TypeError:
        raise TypeError(
            f"`callback` must take three arguments, callback(step, weights, loss), but its own are {signature}. Take "
            "all three, and use those that you need."
        ) from None


def takes_key(loss: Callable, key: Any) -> bool:
    """Whether a loss has a keyword-only parameter `key`, such as one with the noise of shots; `fit` needs one, then."""
    try:
        parameter = inspect.signature(loss).parameters.get("key")
    except (TypeError, ValueError):  # of what is written in C
        return False
    if parameter is None or parameter.kind is not parameter.KEYWORD_ONLY:
        return False
    if parameter.default is not parameter.empty and (parameter.default is not None or key is None):
        return False  # it has one already, or need not have one
    if key is None:
        raise ValueError("`key` must be a JAX random key, such as jax.random.key(0), since `loss` takes one, not None.")
    return True


def refuse_tracers(tree: Any, name: str) -> None:
    """`fit` runs Python between its steps: it cannot be traced itself."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree)):
        raise TypeError(
            f"`{name}` must be arrays, but are being traced: `fit` cannot run inside of `jax.jit`, `jax.grad` or "
            "`jax.vmap`. Call it outside. For several trainings at once give weights with a leading dimension, an "
            "ensemble."
        )


def _arrays(data: Any, name: str, own_data: bool) -> tuple[Array, ...]:
    if not isinstance(data, tuple | list):
        raise TypeError(f"`{name}` must be a tuple of arrays, such as (x, y) or (x,), but is a {type(data).__name__}.")
    refuse_tracers(data, name)
    arrays = [d if isinstance(d, jax.Array) else np.asarray(d) for d in data]
    for k, array in enumerate(arrays):
        if not is_key(array) and array.dtype.kind in "OSUMm":
            raise TypeError(
                f"`{name}` must hold numeric arrays, but {name}[{k}] has dtype {array.dtype}. Encode labels as numbers."
            )
    axes = 2 if own_data else 1
    if (
        not arrays
        or any(a.ndim < axes for a in arrays)
        or len({a.shape[:axes] for a in arrays}) != 1
        or not all(arrays[0].shape[:axes])
    ):
        shapes = ", ".join(str(a.shape) for a in arrays)
        same = (
            "the same numbers of members and of samples in their first two axes, (R, N, ...), as `own_data=True` says"
            if own_data
            else "the same number of samples in their first axes"
        )
        raise ValueError(f"`{name}` must be arrays with {same}, but has shapes {shapes}.")
    placed = [jnp.asarray(array) for array in arrays]
    for k, array in enumerate(placed):
        if jnp.issubdtype(array.dtype, jnp.inexact) and not jnp.isfinite(array).all():
            raise ValueError(
                f"`{name}` must be finite, but {name}[{k}] has NaN or infinity{_first_row(array)}. Leave such rows "
                "out, or fill them in."
            )
    return tuple(placed)


def _first_row(array: Array) -> str:
    if not array.is_fully_addressable:
        return ""
    return f" in row {int(np.argwhere(~np.isfinite(np.asarray(array, complex)))[0][0])}"


def check_optimizer(optimizer: Any) -> Any:
    """The optimizer. Refuses what is no optax transformation."""
    if not hasattr(optimizer, "init") or not hasattr(optimizer, "update"):
        raise TypeError(
            "`optimizer` must be an optax transformation, such as optax.adam(1e-2), or the name of a SciPy minimiser, "
            f'such as optimizer="COBYLA", options={{"maxiter": 60}}, but is {optimizer!r}.'
        )
    return optimizer


def check_kind(ensemble: Any, own_data: Any, checkpoint: Any, progress: Any) -> None:
    """What says whether there are members, and the file."""
    check_flag(ensemble, "ensemble", optional=True)
    check_flag(own_data, "own_data", optional=True)
    check_flag(progress, "progress")
    if own_data and ensemble is not None and not ensemble:
        raise ValueError(
            "`own_data=True` is for an ensemble, whose members have data of their own, but `ensemble` is False. Leave "
            "one of them out."
        )
    if checkpoint is not None:
        if not isinstance(checkpoint, str | os.PathLike):
            raise TypeError(f"`checkpoint` must be the name of a file, a string or a path, but is {checkpoint!r}.")
        if os.path.isdir(checkpoint):
            raise ValueError(
                f"`checkpoint` must be the name of a file, but {os.fspath(checkpoint)!r} is a folder. Add a name."
            )


def check_own_data(data: tuple[Array, ...], members: int) -> None:
    """Whether there are data of its own for each member."""
    if not data or len(data[0]) != members:
        raise ValueError(
            f"`own_data=True` needs data of shape (R, N, ...), one set for each of the R = {members} members, but the "
            f"shapes are {', '.join(str(d.shape) for d in data) or 'none'}. Leave `own_data` out for data of all."
        )


def refuse_ambiguous(data: tuple[Array, ...], members: int) -> None:
    """Data that may be one set for all members, or one for each."""
    if data and all(d.ndim > 1 for d in data) and {d.shape[:2] for d in data} == {(members, *data[0].shape[1:2])}:
        raise ValueError(
            f"`data` of shapes {', '.join(str(d.shape) for d in data)} may be {members} samples for all members, or "
            f"{data[0].shape[1]} samples for each of the {members} members. Say which: `own_data=True` for data of its "
            "own for each member, `own_data=False` for the same data for all."
        )


def check_counts(steps: Any, patience: Any, min_delta: Any, convergence: Any) -> None:
    """The numbers."""
    check_count(steps, "steps", least=0)
    check_count(patience, "patience", optional=True, what="a number of steps")
    check_count(convergence, "convergence", least=2, optional=True, what="a number of steps")
    check_number(min_delta, "min_delta")
    if min_delta and patience is None:
        raise ValueError(f"`min_delta` belongs to `patience`, but is {min_delta!r} without it. Pass `patience=`, too.")


def check_keys(key: Any) -> Array | None:
    """A key of the new kind, or one for each member, (R,)."""
    if key is None:
        return None
    refuse_tracers(key, "key")
    old = getattr(key, "dtype", None) == np.uint32
    several = getattr(key, "ndim", 0) == (2 if old else 1) and len(key)
    hint = "Pass one of them, or one for each member of an ensemble, (R,)."
    check_key(key[0] if several else key, hint=hint)
    return jax.random.wrap_key_data(jnp.asarray(key)) if old else key


def check_batches(
    batches: Any, batch_size: Any, samples: int, steps: int, key: Array | None
) -> tuple[str, int | None, np.ndarray | None]:
    """How samples are chosen, how many a step has, and the numbers of those of each step if they are given."""
    table = None
    if not isinstance(batches, str):
        table = _table(batches, batch_size, samples, steps)
        batches, batch_size = "table", table.shape[-1]
    elif batches not in KINDS:
        raise ValueError(
            f"`batches` must be 'epochs', 'replacement', or an array with the numbers of the samples of each step, but "
            f"is {batches!r}."
        )
    elif batches != "epochs" and batch_size is None:
        raise ValueError(f"`batches={batches!r}` needs `batch_size`, the number of samples in a step, which is None.")
    if batch_size is None:
        return batches, None, None
    if not samples:
        raise ValueError("`batch_size` needs data, but `data` is empty.")
    if table is None:
        check_count(batch_size, "batch_size", most=samples, what="a number of samples")
    if table is None and key is None:
        raise ValueError(
            "Mini-batches are drawn at random: pass `key=jax.random.key(seed)`, or leave `batch_size` out. `key` is "
            "None."
        )
    return batches, int(batch_size), table


def _table(batches: Any, batch_size: Any, samples: int, steps: int) -> np.ndarray:
    """The numbers of the samples of each step."""
    refuse_tracers(batches, "batches")
    table = np.asarray(batches) if isinstance(batches, np.ndarray | jax.Array | list | tuple) else np.zeros(0)
    if table.dtype.kind not in "iu" or table.ndim not in (2, 3) or not table.shape[-1] or table.shape[-2] < steps:
        raise ValueError(
            "`batches` must be 'epochs', 'replacement', or an array of integers, the numbers of the samples of each of "
            f"the {steps} steps, of shape (steps, B), or (R, steps, B) for members, but is {shown(batches)}."
        )
    if batch_size is not None and batch_size != table.shape[-1]:
        raise ValueError(
            f"`batch_size` must be {table.shape[-1]}, as `batches` of shape {table.shape} has it, but is "
            f"{batch_size!r}. Leave it out."
        )
    if steps and (table.min() < 0 or table.max() >= samples):
        raise ValueError(
            f"`batches` must hold numbers of samples from 0 to {samples - 1}, but holds {table.min()} to "
            f"{table.max()}. Count the samples of `data` from 0 on."
        )
    return table.astype(np.int32)


def check_members(members: tuple[int, ...], key: Array | None, table: Array | None) -> None:
    """Whether there is a key, and batches, for each member if there are for some."""
    for name, shape in (
        ("key", () if key is None else key.shape),
        ("batches", () if table is None else table.shape[:-2]),
    ):
        if shape and shape != members:
            raise ValueError(
                f"`{name}` has one for each of {shape[0]} members, "
                + (f"but the ensemble has {members[0]}." if members else "but the weights are no ensemble.")
                + " Give one for all, or as many as members; `ensemble=True` says that the weights are of several."
            )


def check_no_batches(minimiser: str, members: Any, batch_size: Any, opt_state: Any, checkpoint: Any) -> None:
    """What SciPy's minimisers do not take."""
    if members or (batch_size, opt_state, checkpoint) != (None, None, None):
        raise ValueError(
            f"The SciPy minimiser {minimiser!r} takes no ensemble, `batch_size`, `opt_state` or `checkpoint`. Use an "
            "optax transformation for these."
        )


def check_scipy(optimizer: Any, tol: Any, bounds: Any, options: Any) -> None:
    """What SciPy alone takes."""
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"`options` must be a dictionary, as scipy.optimize.minimize takes it, but is {options!r}.")
    if not isinstance(optimizer, str):
        given = [name for name, v in (("tol", tol), ("bounds", bounds), ("options", options)) if v is not None]
        if given:
            verb = "belong" if given[1:] else "belongs"
            raise ValueError(
                f"`{'`, `'.join(given)}` {verb} to SciPy's minimisers, but `optimizer` is none. Name one, such as "
                "'L-BFGS-B', or leave this out: an optax transformation has its own arguments."
            )
        return
    check_number(tol, "tol", above=True, optional=True)
    if taken := {*(options or {})} & TAKEN:
        raise ValueError(
            f"`options` must hold options of the method, but has {sorted(taken)[0]!r}, which `fit` passes itself."
        )
    # Of COBYLA it is how many evaluations, as 'maxfev' and 'maxfun' of others are.
    if "maxiter" in (options or {}) and optimizer.lower() != "cobyla":
        raise ValueError(
            "`options` must leave 'maxiter' out, as `steps` says how many iterations. Pass it as `steps=`."
        )


def _floating(leaf: Any) -> Array:
    """Also sheds the weak type of Python numbers: the first step would shed it, and the second compile anew."""
    kind = type(leaf).__name__
    try:
        leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    except ValueError:  # lists of unequal lengths, in an array
        leaf = np.array(None)
    if not is_key(leaf) and leaf.dtype.kind in "OSUMm":
        raise TypeError(
            "`weights` must be an array of numbers, or a pytree of such arrays, but hold something of type "
            f"{kind} and dtype {leaf.dtype}. Give numbers, such as jnp.zeros(model.num_weights)."
        )
    if is_key(leaf):
        raise TypeError(f"`weights` must be numbers, but hold a random key, of dtype {leaf.dtype}. Draw them by it.")
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):  # against its gradient in JAX's sense, a loss may rise
        raise TypeError(
            f"`weights` must be real, but have dtype {leaf.dtype}. Train real and imaginary parts, and put them "
            "together in `loss`."
        )
    return leaf.astype(leaf.dtype if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.result_type(float))


def check_data(data: Any, validation: Any, own_data: Any) -> tuple[tuple[Array, ...], tuple[Array, ...] | None]:
    """The data of training and of validation, as arrays."""
    own = bool(own_data)
    data = () if isinstance(data, tuple) and not data else _arrays(data, "data", own)
    if validation is None:
        return data, None
    validation = _arrays(validation, "validation", own)
    if [_sample(d, own) for d in validation] != [_sample(d, own) for d in data]:
        raise ValueError(
            "`validation` must be arrays like those of `data`, but for the number of samples, but has shapes "
            f"{', '.join(str(d.shape) for d in validation)}, and `data` {', '.join(str(d.shape) for d in data)}."
        )
    return data, validation


def _sample(array: Array, own_data: bool) -> tuple[int, ...]:
    """A shape but for the number of samples."""
    return array.shape[:1] + array.shape[2:] if own_data else array.shape[1:]


def check_weights(weights: Any) -> Any:
    """Where to start, as floating point arrays."""
    refuse_tracers(weights, "weights")
    weights = jax.tree.map(_floating, weights)
    refuse_tracers(weights, "weights")  # in `jax.jit` all arrays that are made are traced
    if not jax.tree.leaves(weights):
        raise ValueError(f"`weights` must hold an array at least, but are {weights!r}.")
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(weights)):
        raise ValueError("`weights` to start from must be finite, but some are NaN or infinite.")
    return weights


def check_state(opt_state: Any, first: Callable[[Any], Any], weights: Any) -> Any:
    """The optimiser's state: a new one, which `first` makes of the weights, unless one is given that fits."""
    if opt_state is None:
        return jax.tree.map(_strong, first(weights))
    if _shapes(opt_state) != _shapes(jax.eval_shape(first, weights)):
        raise ValueError(
            "`opt_state` must be what an earlier result holds, for the same optimizer and weights of the same shapes, "
            "but it has another structure or other shapes."
        )
    return jax.tree.map(_strong, opt_state)


def _strong(leaf: Any) -> Array:
    """Without the weak type of Python numbers, which a step would shed."""
    leaf = jnp.asarray(leaf)
    return leaf if is_key(leaf) or not leaf.weak_type else leaf.astype(leaf.dtype)


def _shapes(state: Any) -> Any:
    return jax.tree.structure(state), [np.shape(leaf) for leaf in jax.tree.leaves(state)]


def shapes_of(tree: Any) -> Any:
    """The structure of arrays, or of their shapes: what has to be the same after a step."""
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]
