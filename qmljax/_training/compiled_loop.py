"""The compiled loop: `lax.fori_loop` runs many optimiser steps for one visit to Python.

What a step does depends on its number alone, never on where the visits are.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from qmljax._forgetting import forgetful_jit
from qmljax._meshes import set_for_all
from qmljax._training.batches import Batches, folded
from qmljax._training.checks import shapes_of
from qmljax._training.computations import Computation, Traced, fresh, trace
from qmljax._training.ensemble import of_members
from qmljax._training.leaves import Run

NOISE = 0x6E6F6973  # keeps the keys of losses apart from those of batches


def run_steps(run: Run, *, data: tuple[Array, ...], **about: Any) -> tuple[Run, Array]:
    """Some steps, as `take_steps` takes them, where the data lie."""
    with set_for_all(run, data):
        return take_steps(run, data=data, **about)


@functools.partial(forgetful_jit, static_argnames=("program", "batches", "keyed"))
def take_steps(
    run: Run,
    losses: Array,
    data: tuple[Array, ...],
    key: Array,
    table: Array | None,
    start: Array,
    count: Array,
    lifted: tuple[Array, ...],
    program: Computation,
    batches: Batches,
    keyed: bool,
) -> tuple[Run, Array]:
    """`count` steps from step `start` on: the new run, and `losses` with the first `count` of them set.

    `program` is one step, ``(run, *rows) -> (run, loss)``, and `lifted` what it closed over. If it is `keyed`, a key is
    the first of the rows, or one for each member. A `table` says which samples a step takes.
    """

    def step(k: Any, carry: Any) -> Any:
        run, losses, order = carry
        rows, order = batches.take(data, key, table, order, start + k)
        if keyed:
            own = folded(folded(key, NOISE), start + k)
            rows = (keys_of(own, losses.shape[1:]), *rows)
        *leaves, value = program(lifted, run, rows)
        return jax.tree.unflatten(jax.tree.structure(run), leaves), losses.at[k].set(value), order

    return lax.fori_loop(0, count, step, (run, losses, batches.start(key, start)))[:2]


def keys_of(key: Array, members: tuple[int, ...]) -> Array:
    """The key, or one for each member of an ensemble, (R,); those that are given if there are several."""
    if key.ndim:
        return key
    return jax.vmap(lambda member: jax.random.fold_in(key, member))(jnp.arange(members[0])) if members else key


def trace_step(
    loss: Callable,
    optimizer: optax.GradientTransformation,
    run: Run,
    rows: tuple[Array, ...],
    ensemble: bool,
    own_data: bool,
    keyed: bool,
) -> Traced:
    """One step of all members, as `take_steps` takes it."""
    about = {"loss": loss, "optimizer": optax.with_extra_args_support(optimizer)}
    member = functools.partial(_keyed_step if keyed else _step, **about)
    fault: Exception | None = None
    try:
        step = trace(of_members(member, ensemble, own_data, keyed), run, *rows)
        if shapes_of(step.shape[0]) == shapes_of(run):
            return step
    except (TypeError, ValueError) as error:
        if not ensemble or isinstance(error, jax.errors.JAXTypeError):
            raise
        fault = error
    of_one = "one member, " if ensemble else ""
    shapes = ", ".join(str(w.shape[1:] if ensemble else w.shape) for w in jax.tree.leaves(run[0]))
    raise ValueError(
        f"`optimizer` must turn a gradient and the weights of {of_one}of shape {shapes}, into an update of the same "
        f"shapes and types, and its state into one like it, but {fault or 'gives others'}. Numbers of its own for each "
        "member are injected: optax.inject_hyperparams(optax.adam)(learning_rate=rates)."
    ) from fault


def _keyed_step(run: Run, key: Array, *rows: Array, loss: Callable, optimizer: Any) -> tuple[Run, Array]:
    """A step of a loss that takes a key."""
    return _step(run, *rows, loss=fresh(functools.partial(loss, key=key)), optimizer=optimizer)


def _step(run: Run, *rows: Array, loss: Callable, optimizer: Any) -> tuple[Run, Array]:
    """One step of one member, and the loss before it."""
    weights, opt_state = run

    def update(value: Array, gradient: Any) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):  # optax promotes its step counter
            extra = {"value": value, "grad": gradient, "value_fn": lambda w: loss(w, *rows)}
            updates, state = optimizer.update(gradient, opt_state, weights, **extra)
            return optax.apply_updates(weights, updates), state

    if _reads_gradient(update, weights, jax.eval_shape(loss, weights, *rows)):
        value, gradient = jax.value_and_grad(loss)(weights, *rows)
    else:
        value, gradient = loss(weights, *rows), jax.tree.map(jnp.zeros_like, weights)
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(weights)]).all()
    # A loss may ignore weights that are NaN, as the loss below a `jnp.where` does.
    return update(value, gradient), jnp.where(finite, value, jnp.full_like(value, jnp.nan))


def _reads_gradient(update: Callable[[Array, Any], Any], weights: Any, value: Any) -> bool:
    """Whether an optimiser looks at the gradient at all: one like `spsa` does not, and on a device it is costly."""
    leaves, tree = jax.tree.flatten(weights)
    jaxpr = jax.make_jaxpr(lambda v, g: update(v, jax.tree.unflatten(tree, g)))(value, leaves).jaxpr
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars} | {id(v) for v in jaxpr.outvars}
    return any(id(v) in used for v in jaxpr.invars[1:])
