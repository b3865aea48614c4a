"""`fit`: the training loop, compiled. `lax.scan` runs many optimiser steps for one visit to Python."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from qmljax._functions import load_tqdm

CHUNKS = 100  # visits to Python in a run: progress and callbacks need no more
LOSSES = 1024  # room for the losses of a chunk; one length, so that another number of steps compiles nothing anew


class FitResult(NamedTuple):
    """What `fit` returns.

    Attributes:
        weights: The weights after the last step, of the structure given.
        history: The loss at each step, before its update, of shape (steps,): on the mini-batch of that step if there is
            one. Training goes on after a loss that is NaN, which stays here to be seen.
        opt_state: The state of the optimiser.
    """

    weights: Any
    history: np.ndarray
    opt_state: Any


def fit(
    loss: Callable[..., Array],
    weights: Any,
    data: tuple[Any, ...],
    *,
    optimizer: optax.GradientTransformation,
    steps: int,
    batch_size: int | None = None,
    key: Array | None = None,
    callback: Callable[[int, Any, float], None] | None = None,
    progress: bool = False,
) -> FitResult:
    """Minimises a loss by an optax optimiser.

    Args:
        loss: ``loss(weights, *data) -> ()``, typically ``loss(weights, x, y)``, traceable by JAX.
        weights: Where to start: an array, or any pytree of arrays. Integers become floating point numbers.
        data: A tuple of arrays whose first axes are the samples, all of one length N. Integers stay integers.
        optimizer: An optax transformation, such as ``optax.adam(1e-2)``.
        steps: The number of optimiser steps.
        batch_size: The number of samples in a step. Each epoch runs through the samples in a new random order, without
            replacement, and leaves out the N modulo `batch_size` that fill no batch. Default: all N in each step.
        key: A JAX random key; needed with `batch_size`.
        callback: Called as ``callback(step, weights, loss)`` about a hundred times in a run, after `step` steps, with
            the weights then and the loss of the last step.
        progress: Whether to show a progress bar (needs tqdm: the extra `progress`).

    Returns:
        A `FitResult`: weights, history of losses, optimiser state.

    Raises:
        TypeError: `data` is no tuple of numeric arrays, or `optimizer` no optax transformation.
        ValueError: The data are empty or of unequal length, `steps` or `batch_size` is out of range, `key` is missing,
            or the loss is no real scalar.

    Example:
        >>> x = jnp.linspace(-1, 1, 50)
        >>> loss = lambda w, x, y: jnp.mean((w * x - y) ** 2)
        >>> result = fit(loss, jnp.array(0.0), (x, 3 * x), optimizer=optax.adam(0.1), steps=200)
        >>> round(float(result.weights), 3), result.history.shape
        (3.0, (200,))
    """
    data = _arrays(data)
    if not hasattr(optimizer, "init") or not hasattr(optimizer, "update"):
        raise TypeError(f"`optimizer` must be an optax transformation, such as optax.adam(1e-2), but is {optimizer!r}.")
    if not data or any(d.ndim == 0 for d in data) or len({len(d) for d in data}) != 1 or len(data[0]) == 0:
        shapes = ", ".join(str(d.shape) for d in data)
        raise ValueError(
            f"`data` must be arrays with the same number of samples in their first axes, but has shapes {shapes}."
        )
    samples = len(data[0])
    if not isinstance(steps, int | np.integer) or steps < 0:
        raise ValueError(f"`steps` must be an integer of at least 0, but is {steps!r}.")
    if batch_size is not None:
        if not isinstance(batch_size, int | np.integer) or not 1 <= batch_size <= samples:
            raise ValueError(
                f"`batch_size` must be an integer from 1 to {samples}, the number of samples, but is {batch_size!r}."
            )
        if not isinstance(key, jax.Array | np.ndarray):
            raise ValueError(
                "Mini-batches are drawn at random: pass `key=jax.random.key(seed)`, or leave `batch_size` out. "
                f"`key` is {key!r}."
            )
    weights = jax.tree.map(_floating, weights)
    shape = jax.eval_shape(loss, weights, *(d[: batch_size or samples] for d in data))
    if getattr(shape, "shape", None) != () or not jnp.issubdtype(shape.dtype, jnp.floating):
        raise ValueError(f"`loss` must return a real scalar, but returns {shape}. Take the mean over the batch.")

    history = np.zeros(steps, shape.dtype)
    chunk = max(1, math.ceil(steps / CHUNKS))
    key = jax.random.key(0) if key is None else key  # unused without batches
    carry = (weights, optimizer.init(weights))
    with _bar(steps, progress) as bar:
        for start in range(0, steps, chunk):
            count = min(chunk, steps - start)
            losses = np.zeros(max(chunk, LOSSES), shape.dtype)
            carry, losses = _chunk(carry, losses, data, key, start, count, loss, optimizer, batch_size)
            history[start : start + count] = losses[:count]
            last = float(history[start + count - 1])
            if callback is not None:
                callback(start + count, carry[0], last)
            bar.set_postfix_str(f"loss {last:.4g}", refresh=False)
            bar.update(count)
    return FitResult(carry[0], history, carry[1])


def _arrays(data: Any) -> tuple[Array, ...]:
    if not isinstance(data, tuple | list):
        raise TypeError(f"`data` must be a tuple of arrays, such as (x, y) or (x,), but is a {type(data).__name__}.")
    arrays = [d if isinstance(d, jax.Array) else np.asarray(d) for d in data]
    for k, array in enumerate(arrays):
        if array.dtype.kind in "OSUMm":
            raise TypeError(
                f"`data` must hold numeric arrays, but data[{k}] has dtype {array.dtype}. Encode labels as numbers."
            )
    return tuple(jnp.asarray(array) for array in arrays)


def _floating(leaf: Any) -> Array:
    """Also sheds the weak type of Python numbers: the first step would shed it, and the second compile anew."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(leaf.dtype if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.result_type(float))


@functools.partial(jax.jit, static_argnames=("loss", "optimizer", "batch_size"))
def _chunk(carry, losses, data, key, start, count, loss, optimizer, batch_size):
    """`count` steps from step `start` on: new (weights, opt_state), and losses, the first `count` of them set."""
    samples = len(data[0])
    batches = samples // (batch_size or samples)  # in an epoch
    general = optax.with_extra_args_support(optimizer)

    def shuffled(epoch: Array) -> Array:
        return jax.random.permutation(jax.random.fold_in(key, epoch), samples)

    def step(k, state):
        (weights, opt_state), losses, order = state
        rows = data
        if batch_size is not None:
            epoch, place = jnp.divmod(start + k, batches)
            order = lax.cond(place == 0, lambda: shuffled(epoch), lambda: order)
            chosen = lax.dynamic_slice_in_dim(order, place * batch_size, batch_size)
            rows = tuple(d[chosen] for d in data)
        value, gradient = jax.value_and_grad(loss)(weights, *rows)
        with jax.numpy_dtype_promotion("standard"):  # optax promotes its step counter
            extra = {"value": value, "grad": gradient, "value_fn": lambda w: loss(w, *rows)}
            updates, opt_state = general.update(gradient, opt_state, weights, **extra)
            weights = optax.apply_updates(weights, updates)
        return (weights, opt_state), losses.at[k].set(value), order

    order = shuffled(start // batches) if batch_size is not None else None
    return lax.fori_loop(0, count, step, (carry, losses, order))[:2]


class _NoBar:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, count: int) -> None:
        pass

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        pass


def _bar(steps: int, progress: bool) -> Any:
    if not progress:
        return _NoBar()
    return load_tqdm()(total=steps, unit="step")
