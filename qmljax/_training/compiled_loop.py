"""The compiled loop: `lax.fori_loop` runs many optimiser steps for one visit to Python.

What a step does depends on its number alone, never on where the visits are.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from qmljax._training.ensemble import choose, of_members
from qmljax._training.leaves import Run


@functools.partial(jax.jit, static_argnames=("loss", "optimizer", "batch_size", "ensemble"))
def take_steps(
    run: Run,
    losses: Array,
    data: tuple[Array, ...],
    key: Array,
    start: Array,
    count: Array,
    loss: Callable,
    optimizer: optax.GradientTransformation,
    batch_size: int | None,
    ensemble: bool,
) -> tuple[Run, Array]:
    """`count` steps from step `start` on: the new run, and `losses` with the first `count` of them set."""
    samples = len(data[0]) if data else 1
    batches = samples // (batch_size or samples)  # in an epoch
    member = functools.partial(_step, loss=loss, optimizer=optax.with_extra_args_support(optimizer))

    def shuffled(epoch: Array) -> Array:
        return jax.random.permutation(jax.random.fold_in(key, epoch), samples)

    def step(k, carry):
        run, losses, order = carry
        rows = data
        if batch_size is not None:
            epoch, place = jnp.divmod(start + k, batches)
            order = lax.cond(place == 0, lambda: shuffled(epoch), lambda: order)
            chosen = lax.dynamic_slice_in_dim(order, place * batch_size, batch_size)
            rows = tuple(d[chosen] for d in data)
        run, value = of_members(member, ensemble)(run, *rows)
        return run, losses.at[k].set(value), order

    order = shuffled(start // batches) if batch_size is not None else None
    return lax.fori_loop(0, count, step, (run, losses, order))[:2]


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


def kept_finite(
    advance: Callable[..., tuple[Run, Array]],
    earlier: tuple[Run, int],
    before: tuple[Run, int],
    after: Run,
    history: np.ndarray,
    alive: np.ndarray,
) -> tuple[Run, np.ndarray, int]:
    """`after`, but a member that is not finite any more goes back to its last weights with a finite loss, and stays.

    They are found by taking the same steps again, so that a step need not keep what was before it.

    Args:
        advance: Takes steps.
        earlier: The run at the visit before the last one, and its step.
        before: The run at the last visit, and its step.
        after: The run now.
        history: All losses until now, (..., steps). Those of members that had stopped are made NaN.
        alive: Which members were finite before, of shape (...).

    Returns:
        The run, which members are finite, and the number of steps until none was.
    """
    (run, since), until = before, history.shape[-1]
    history[~alive, since:] = np.nan
    finite = np.isfinite(history)
    death = np.where(finite.all(axis=-1), until, finite.argmin(axis=-1))  # the first loss that is not finite
    still = alive & (death == until)
    for leaf in jax.tree.leaves(after[0]):
        still = still & np.isfinite(np.asarray(leaf)).reshape(*alive.shape, -1).all(axis=-1)
    if still.all():
        return after, still, until
    after = choose(alive, after, run)
    history[np.arange(until) > death[..., None]] = np.nan
    dying = alive & ~still
    for step in np.unique(death[dying]):
        base, start = before if step > since else earlier
        back, _ = advance(base, start=start, count=max(int(step) - 1 - start, 0))
        after = choose(dying & (death == step), back, after)
    return after, still, until if still.any() else min(int(death.max()) + 1, until)
