"""Members of an ensemble, which train in one program: every array has a leading dimension (R,)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qmljax._forgetting import forgetful_jit
from qmljax._meshes import set_for_all
from qmljax._training.checks import check_own_data, refuse_ambiguous
from qmljax._training.computations import Computation
from qmljax._training.leaves import is_key


def of_members(function: Callable, ensemble: bool, own_data: bool = False, keyed: bool = False) -> Callable:
    """`function(weights, *data)`, for all members of an ensemble at once, which may have data of their own.

    If it is `keyed`, the first of the data are keys, of which each member always has its own.
    """
    if not ensemble:
        return function
    if own_data:
        return jax.vmap(function)
    if keyed:
        return lambda weights, keys, *data: jax.vmap(lambda w, key: function(w, key, *data))(weights, keys)
    return lambda weights, *data: jax.vmap(lambda w: function(w, *data))(weights)


def losses_of(weights: Any, data: tuple[Array, ...], lifted: tuple[Array, ...], program: Computation) -> Array:
    """The loss, (), or those of all members, (R,)."""
    with set_for_all(weights, data):
        return _losses_of(weights, data, lifted, program)


@functools.partial(forgetful_jit, static_argnames=("program",))
def _losses_of(weights: Any, data: tuple[Array, ...], lifted: tuple[Array, ...], program: Computation) -> Array:
    return program(lifted, weights, data)[0]


def members_of(
    loss: Callable[..., Array],
    weights: Any,
    rows: tuple[Array, ...],
    ensemble: bool | None,
    own_data: bool | None = None,
) -> tuple[tuple[int, ...], np.dtype]:
    """The shape (R,) of an ensemble, or () if none is meant; and the dtype of the loss."""
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(weights)}
    countable = len(sizes) == 1 and not sizes & {(), (0,)}
    ensemble = True if own_data else ensemble
    if ensemble and not countable:
        raise ValueError(
            "The weights of an ensemble must all have the same number of members, at least 1, in their first axes, but "
            f"their shapes are {', '.join(str(leaf.shape) for leaf in jax.tree.leaves(weights))}."
        )
    if own_data:
        check_own_data(rows, next(iter(sizes))[0])
    if ensemble is None:
        try:
            shape = jax.eval_shape(loss, weights, *rows)
            # An expectation value takes a leading dimension, too.
            rows_of_weights = all(leaf.ndim > 1 for leaf in jax.tree.leaves(weights))
            ensemble = countable and rows_of_weights and getattr(shape, "shape", None) in sizes
        except (TypeError, ValueError):
            ensemble = countable and _is_ensemble(loss, weights, rows)
            if not ensemble:
                raise
    members = sizes.pop() if ensemble else ()
    if members and own_data is None:
        refuse_ambiguous(rows, members[0])
    shape = jax.eval_shape(of_members(loss, bool(ensemble), bool(own_data)), weights, *rows)
    if getattr(shape, "shape", None) != members or not jnp.issubdtype(shape.dtype, jnp.floating):
        raise ValueError(f"`loss` must return a real scalar, but returns {shape}. Take the mean over the batch.")
    return members, shape.dtype


def _is_ensemble(loss: Callable[..., Array], weights: Any, rows: tuple[Array, ...]) -> bool:
    """Whether a loss that does not take the weights takes their rows."""
    try:
        jax.eval_shape(of_members(loss, True), weights, *rows)
    except (TypeError, ValueError):
        return False
    return True


def first_state(optimizer: optax.GradientTransformation, weights: Any, members: tuple[int, ...]) -> Any:
    """The optimiser's first state; members of an ensemble have their own injected hyperparameters and random keys."""
    with set_for_all(weights):
        return _first_state(optimizer, weights, members)


def _first_state(optimizer: optax.GradientTransformation, weights: Any, members: tuple[int, ...]) -> Any:
    if not members:
        return optimizer.init(weights)
    own = jnp.arange(members[0])

    def spread(state: Any) -> Any:
        if not hasattr(state, "hyperparams"):
            return state
        spreads = {k: v[own, own] if v.shape[:2] == 2 * members else v for k, v in state.hyperparams.items()}
        return state._replace(hyperparams=spreads, inner_state=each(state.inner_state))

    def each(state: Any) -> Any:
        return jax.tree.map(spread, state, is_leaf=lambda part: hasattr(part, "hyperparams"))

    def apart(leaf: Any) -> Any:
        return jax.vmap(jax.random.fold_in)(leaf, own) if is_key(leaf) else leaf

    return jax.tree.map(apart, each(jax.vmap(optimizer.init)(weights)))


def choose(mask: np.ndarray, yes: Any, no: Any) -> Any:
    """Member by member, `yes` where `mask` is true, else `no`."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b), yes, no)
