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

CHUNKS = 100  # visits to Python in a run: progress and callbacks need no more


class FitResult(NamedTuple):
    """What `fit` returns.

    Attributes:
        weights: The weights after the last step, of the structure given.
        history: The loss at each step, before its update, of shape (steps,): on the mini-batch of that step if there is
            one.
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
        weights: Where to start: an array, or any pytree of arrays.
        data: Arrays whose first axes are the samples, all of one length N.
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
        ValueError: The data are empty or of unequal length, `steps` or `batch_size` is out of range, `key` is missing,
            or the loss is no scalar.

    Example:
        >>> x = jnp.linspace(-1, 1, 50)
        >>> loss = lambda w, x, y: jnp.mean((w * x - y) ** 2)
        >>> result = fit(loss, jnp.array(0.0), (x, 3 * x), optimizer=optax.adam(0.1), steps=200)
        >>> round(float(result.weights), 3), result.history.shape
        (3.0, (200,))
    """
    data = tuple(jnp.asarray(d) for d in data)
    if not data or any(d.ndim == 0 for d in data) or len({len(d) for d in data}) != 1 or len(data[0]) == 0:
        shapes = ", ".join(str(d.shape) for d in data)
        raise ValueError(
            f"`data` must be arrays with the same number of samples in their first axes, but has shapes {shapes}."
        )
    samples = len(data[0])
    if steps < 0:
        raise ValueError(f"`steps` must not be negative, but is {steps}.")
    if batch_size is not None and not 1 <= batch_size <= samples:
        raise ValueError(f"`batch_size` must be between 1 and the number of samples, {samples}, but is {batch_size}.")
    if batch_size is not None and key is None:
        raise ValueError(
            "Mini-batches are drawn at random: pass `key=jax.random.key(seed)`, or leave `batch_size` out."
        )
    weights = jax.tree.map(jnp.asarray, weights)
    shape = jax.eval_shape(loss, weights, *(d[: batch_size or samples] for d in data))
    if getattr(shape, "shape", None) != ():
        raise ValueError(f"`loss` must return a scalar, but returns {shape}. Take the mean over the batch.")

    history = np.zeros(steps, shape.dtype)
    chunk = max(1, math.ceil(steps / CHUNKS))
    key = jax.random.key(0) if key is None else key  # unused without batches
    carry = (weights, optimizer.init(weights))
    with _bar(steps, progress) as bar:
        for start in range(0, steps, chunk):
            count = min(chunk, steps - start)
            losses = np.zeros(chunk, shape.dtype)
            carry, losses = _chunk(carry, losses, data, key, start, count, loss, optimizer, batch_size)
            history[start : start + count] = losses[:count]
            last = float(history[start + count - 1])
            if callback is not None:
                callback(start + count, carry[0], last)
            bar.set_postfix_str(f"loss {last:.4g}", refresh=False)
            bar.update(count)
    return FitResult(carry[0], history, carry[1])


@functools.partial(jax.jit, static_argnames=("loss", "optimizer", "batch_size"))
def _chunk(carry, losses, data, key, start, count, loss, optimizer, batch_size):
    """`count` steps from step `start` on: new (weights, opt_state), and losses, the first `count` of them set."""
    samples = len(data[0])

    def batch(step: Array) -> tuple[Array, ...]:
        if batch_size is None:
            return data
        epoch, place = jnp.divmod(step, samples // batch_size)
        order = jax.random.permutation(jax.random.fold_in(key, epoch), samples)
        rows = lax.dynamic_slice_in_dim(order, place * batch_size, batch_size)
        return tuple(d[rows] for d in data)

    def step(k, state):
        (weights, opt_state), losses = state
        value, gradient = jax.value_and_grad(loss)(weights, *batch(start + k))
        with jax.numpy_dtype_promotion("standard"):  # optax promotes its step counter
            updates, opt_state = optimizer.update(gradient, opt_state, weights)
            weights = optax.apply_updates(weights, updates)
        return (weights, opt_state), losses.at[k].set(value)

    return lax.fori_loop(0, count, step, (carry, losses))


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
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("A progress bar needs tqdm: pip install 'qmljax[progress]'.") from error
    return tqdm(total=steps, unit="step")
