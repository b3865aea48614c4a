"""`fit`: the training loop, compiled. `lax.while_loop` runs many optimiser steps for one visit to Python.

A visit is where Python comes in: it keeps the history, asks for the validation loss, decides whether to stop, and
writes the checkpoint. What a step does depends on its number alone, never on where the visits are.
"""

import functools
import math
import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from qmljax._models.functions import load_tqdm
from qmljax._training import minimize as _minimize
from qmljax._training.checkpoint import Checkpoint, is_key

VISITS = 100  # in a run: progress and callbacks need no more
LOSSES = (
    1024  # room for the losses between two visits; one length, so that another number of steps compiles nothing anew
)


class _Trained(NamedTuple):
    weights: Any
    history: np.ndarray
    opt_state: Any


class FitResult(_Trained):
    """What `fit` returns; it unpacks as ``weights, history, opt_state``.

    Attributes:
        weights: The trained weights, of the structure given: those after the last step, or the best ones if `patience`
            was given. They are finite.
        history: The loss at each step, before its update, of shape (steps done,), or (R, steps done) for an ensemble:
            on the mini-batch of that step if there is one.
        opt_state: The state of the optimiser after the last step; of a SciPy minimiser, its `OptimizeResult`.
        visits: The numbers of steps after which validation and stopping were looked at, of shape (V,).
        validation: The validation loss at each visit, of shape (V,), or (R, V) for an ensemble; None without
            validation data.
        stopped: Why training ended: "steps", all were done; "patience"; "convergence"; "callback", it raised
            `StopIteration`; "nan", the loss or the weights were no longer finite; "interrupt", by Ctrl-C; or, of a
            SciPy minimiser, "minimizer", its own rule.
    """

    visits: np.ndarray
    validation: np.ndarray | None
    stopped: str

    def __new__(
        cls,
        weights: Any,
        history: np.ndarray,
        opt_state: Any,
        visits: Any = (),
        validation: np.ndarray | None = None,
        stopped: str = "steps",
    ) -> "FitResult":
        result = super().__new__(cls, weights, history, opt_state)
        result.visits, result.validation, result.stopped = np.array(visits, int), validation, stopped
        return result


def fit(
    loss: Callable[..., Array],
    weights: Any,
    data: tuple[Any, ...],
    *,
    optimizer: optax.GradientTransformation | str,
    steps: int,
    batch_size: int | None = None,
    key: Array | None = None,
    callback: Callable[[int, Any, Any], None] | None = None,
    progress: bool = False,
    ensemble: bool | None = None,
    validation: tuple[Any, ...] | None = None,
    patience: int | None = None,
    convergence: int | None = None,
    opt_state: Any = None,
    checkpoint: str | os.PathLike | None = None,
) -> FitResult:
    """Minimises a loss by an optax optimiser, or by a minimiser of SciPy.

    A loss that is NaN or infinite ends the training with a warning, and so do weights; Ctrl-C ends it, too. What was
    reached until then is returned.

    Args:
        loss: ``loss(weights, *data) -> ()``, typically ``loss(weights, x, y)``, traceable by JAX.
        weights: Where to start: an array, or any pytree of arrays. Integers become floating point numbers. With a
            leading dimension R on every array they train an ensemble of R members in one program.
        data: A tuple of arrays whose first axes are the samples, all of one length N. Integers stay integers. An empty
            tuple for a loss of the weights alone, such as an energy.
        optimizer: An optax transformation, such as ``optax.adam(1e-2)``, schedules and clipping included; or the name
            of a method of `scipy.optimize.minimize`, such as "L-BFGS-B" or "COBYLA", which gets the exact gradient if
            it takes one (needs SciPy). Members of an ensemble have learning rates of their own if these are
            injected as an array (R,): ``optax.inject_hyperparams(optax.adam)(learning_rate=rates)``.
        steps: The number of optimiser steps; for SciPy, the most iterations.
        batch_size: The number of samples in a step. Each epoch runs through the samples in a new random order, without
            replacement, and leaves out the N modulo `batch_size` that fill no batch. Default: all N in each step.
        key: A JAX random key; needed with `batch_size`. All members of an ensemble see the same batches.
        callback: Called as ``callback(step, weights, loss)`` about a hundred times in a run, after `step` steps, with
            the weights then and the loss of the last step, (R,) of an ensemble; with SciPy, after each iteration. To
            stop the training it may raise `StopIteration`.
        progress: Whether to show a progress bar (needs tqdm: the extra `progress`).
        ensemble: Whether the first axis of `weights` counts the members of an ensemble. Default: if `loss` does not
            take the weights as they are but takes their rows, or gives a value for each row.
        validation: Data like `data`. Their loss is computed about a hundred times in a run.
        patience: Stops when the validation loss (without validation data: the mean of the training loss since the last
            look) has not fallen for that many steps, and returns the weights at which it was lowest. An ensemble stops
            when this holds for all members.
        convergence: Stops when the means of the last two windows of so many losses differ by less than half the
            standard error of the last one.
        opt_state: The optimiser's state in an earlier result, to go on from there.
        checkpoint: A file. If it exists, the run that wrote it is resumed, which must have had the same arguments
            (data, weights and options are compared; `loss` and `optimizer` cannot be). The weights are the same to the
            bit as those of a run without a break. It is written often, but takes about 5 % of the time at most (needs
            safetensors: the extra `files`).

    Returns:
        A `FitResult`: weights, history of losses, optimiser state, and what validation and stopping rules say.

    Raises:
        TypeError: `data` is no tuple of numeric arrays, `weights` are complex, or `optimizer` is no optax
            transformation.
        ValueError: The data are empty, not finite, or of unequal length; `steps`, `batch_size`, or a rule is out of
            range; `key` is missing; the loss is no real scalar; `opt_state` does not fit; the checkpoint is of another
            run, or is damaged.

    Example:
        >>> x = jnp.linspace(-1, 1, 50)
        >>> loss = lambda w, x, y: jnp.mean((w * x - y) ** 2)
        >>> result = fit(loss, jnp.array(0.0), (x, 3 * x), optimizer=optax.adam(0.1), steps=200)
        >>> round(float(result.weights), 3), result.history.shape
        (3.0, (200,))
        >>> many = fit(loss, jnp.zeros(4), (x, 3 * x), optimizer=optax.adam(0.1), steps=200, ensemble=True)
        >>> many.weights.shape, many.history.shape
        ((4,), (4, 200))
        >>> round(float(fit(loss, jnp.array(0.0), (x, 3 * x), optimizer="L-BFGS-B", steps=20).weights), 3)
        3.0

    References:
        `convergence`: J. Bowles, S. Ahmed, M. Schuld, "Better than classical? The subtle art of benchmarking quantum
        machine learning models", arXiv:2403.07059 (2024).
    """
    data = () if isinstance(data, tuple) and not data else _arrays(data, "data")
    if validation is not None:
        validation = _arrays(validation, "validation")
        if [d.shape[1:] for d in validation] != [d.shape[1:] for d in data]:
            raise ValueError(
                "`validation` must be arrays like those of `data`, but for the number of samples, but has shapes "
                f"{', '.join(str(d.shape) for d in validation)}, and `data` {', '.join(str(d.shape) for d in data)}."
            )
    _check_counts(len(data[0]) if data else 0, steps, batch_size, key, patience, convergence)
    weights = jax.tree.map(_floating, weights)
    if not jax.tree.leaves(weights):
        raise ValueError(f"`weights` must hold an array at least, but are {weights!r}.")
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(weights)):
        raise ValueError("`weights` to start from must be finite, but some are NaN or infinite.")
    ensemble, dtype = _check_loss(loss, weights, tuple(d[: batch_size or len(d)] for d in data), ensemble)
    members = jax.tree.leaves(weights)[0].shape[:1] if ensemble else ()
    evaluate = None if validation is None else functools.partial(_losses, data=validation, loss=loss, ensemble=ensemble)
    watch = _Watch(members, evaluate, patience, convergence, callback)
    if isinstance(optimizer, str):
        if ensemble or (batch_size, opt_state, checkpoint) != (None, None, None):
            raise ValueError(
                f"The SciPy minimiser {optimizer!r} takes no ensemble, `batch_size`, `opt_state` or `checkpoint`. Use "
                "an optax transformation for these."
            )
        with _bar(steps, progress) as watch.bar:
            weights, history, report = _minimize.minimize(loss, weights, data, optimizer, steps, watch)
        return watch.result(weights, np.array(history, dtype), report)
    check_optimizer(optimizer)
    first = functools.partial(_init, optimizer, members=members)
    if opt_state is None:
        opt_state = first(weights)
    elif _shapes(opt_state) != _shapes(jax.eval_shape(first, weights)):
        raise ValueError(
            "`opt_state` must be what an earlier result holds, for the same optimizer and weights of the same shapes, "
            "but it has another structure or other shapes."
        )
    run = weights, opt_state
    key = jax.random.key(0) if key is None else key  # unused without batches
    history, done, file = np.zeros((*members, steps), dtype), 0, None
    earlier = run, done
    if checkpoint is not None:
        file = Checkpoint(checkpoint, run, watch, (data, validation, batch_size, key, patience, convergence))
        run, done, earlier = file.load(history)
    chunk = max(1, min(math.ceil(steps / VISITS), patience or steps, convergence or steps))
    buffer = np.zeros((max(chunk, LOSSES), *members), dtype)
    static = {"loss": loss, "optimizer": optimizer, "batch_size": batch_size, "ensemble": ensemble}
    advance = functools.partial(_chunk, losses=buffer, data=data, key=key, **static)
    with _bar(steps, progress, done) as watch.bar:
        try:
            while done < steps and watch.stopped is None:
                until = min(done + chunk, steps)
                reached, losses = advance(run, start=done, count=until - done)
                history[..., done:until] = np.moveaxis(np.asarray(losses)[: until - done], 0, -1)
                reached, alive, until = _kept_finite(
                    advance, earlier, (run, done), reached, history[..., :until], watch.alive
                )
                watch.look(reached[0], history[..., :until], done, alive)
                earlier, run, done = (run, done), reached, until
                watch.call(run[0], history[..., :done])
                if file is not None:
                    file.save(run, earlier, history[..., :done])
        except KeyboardInterrupt:
            watch.stopped = "interrupt"
    if file is not None:
        file.save(run, earlier, history[..., :done], now=True)
    return watch.result(run[0], history[..., :done], run[1])


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
    arrays = [jnp.asarray(array) for array in arrays]
    for k, array in enumerate(arrays):
        if jnp.issubdtype(array.dtype, jnp.inexact) and not jnp.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(np.asarray(array, complex)))[0][0])
            raise ValueError(
                f"`{name}` must be finite, but {name}[{k}] has NaN or infinity in row {row}. Leave such rows out, or "
                "fill them in."
            )
    return tuple(arrays)


def check_optimizer(optimizer: Any) -> None:
    """Refuses what is no optax transformation."""
    if not hasattr(optimizer, "init") or not hasattr(optimizer, "update"):
        raise TypeError(
            "`optimizer` must be an optax transformation, such as optax.adam(1e-2), or the name of a SciPy minimiser, "
            f"but is {optimizer!r}."
        )


def _check_counts(samples: int, steps: Any, batch_size: Any, key: Any, patience: Any, convergence: Any) -> None:
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


def _check_loss(
    loss: Callable[..., Array], weights: Any, rows: tuple[Array, ...], ensemble: bool | None
) -> tuple[bool, np.dtype]:
    """Whether an ensemble is meant, and the dtype of the loss."""
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(weights)}
    countable = len(sizes) == 1 and not sizes & {(), (0,)}
    if ensemble and not countable:
        raise ValueError(
            "The weights of an ensemble must all have the same number of members, at least 1, in their first axes, but "
            f"their shapes are {', '.join(str(leaf.shape) for leaf in jax.tree.leaves(weights))}."
        )
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
    shape = jax.eval_shape(_of_members(loss, ensemble), weights, *rows)
    if getattr(shape, "shape", None) != (sizes.pop() if ensemble else ()) or not jnp.issubdtype(
        shape.dtype, jnp.floating
    ):
        raise ValueError(f"`loss` must return a real scalar, but returns {shape}. Take the mean over the batch.")
    return bool(ensemble), shape.dtype


def _is_ensemble(loss: Callable[..., Array], weights: Any, rows: tuple[Array, ...]) -> bool:
    """Whether a loss that does not take the weights takes their rows."""
    try:
        jax.eval_shape(_of_members(loss, True), weights, *rows)
    except (TypeError, ValueError):
        return False
    return True


def _of_members(function: Callable, ensemble: bool) -> Callable:
    """`function(weights, *data)`, for all members of an ensemble at once."""
    if not ensemble:
        return function
    return lambda weights, *data: jax.vmap(lambda w: function(w, *data))(weights)


@functools.partial(jax.jit, static_argnames=("loss", "ensemble"))
def _losses(weights: Any, data: tuple[Array, ...], loss: Callable, ensemble: bool) -> Array:
    return _of_members(loss, ensemble)(weights, *data)


def _init(optimizer: optax.GradientTransformation, weights: Any, members: tuple[int, ...]) -> Any:
    """The optimiser's first state; members of an ensemble have their own injected hyperparameters and random keys."""
    if not members:
        return optimizer.init(weights)
    own = jnp.arange(*members)

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


def _shapes(state: Any) -> Any:
    return jax.tree.structure(state), [np.shape(leaf) for leaf in jax.tree.leaves(state)]


_Run = tuple[Any, Any]  # weights and optimiser state; of an ensemble, every array has a leading dimension (R,)


@functools.partial(jax.jit, static_argnames=("loss", "optimizer", "batch_size", "ensemble"))
def _chunk(
    run: _Run,
    losses: Array,
    data: tuple[Array, ...],
    key: Array,
    start: Array,
    count: Array,
    loss: Callable,
    optimizer: optax.GradientTransformation,
    batch_size: int | None,
    ensemble: bool,
) -> tuple[_Run, Array]:
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
        run, value = _of_members(member, ensemble)(run, *rows)
        return run, losses.at[k].set(value), order

    order = shuffled(start // batches) if batch_size is not None else None
    return lax.fori_loop(0, count, step, (run, losses, order))[:2]


def _step(run: _Run, *rows: Array, loss: Callable, optimizer: Any) -> tuple[_Run, Array]:
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


def _kept_finite(
    advance: Callable[..., tuple[_Run, Array]],
    earlier: tuple[_Run, int],
    before: tuple[_Run, int],
    after: _Run,
    history: np.ndarray,
    alive: np.ndarray,
) -> tuple[_Run, np.ndarray, int]:
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
    after = _choose(alive, after, run)
    history[np.arange(until) > death[..., None]] = np.nan
    dying = alive & ~still
    for step in np.unique(death[dying]):
        base, start = before if step > since else earlier
        back, _ = advance(base, start=start, count=max(int(step) - 1 - start, 0))
        after = _choose(dying & (death == step), back, after)
    return after, still, until if still.any() else min(int(death.max()) + 1, until)


def _choose(mask: np.ndarray, yes: Any, no: Any) -> Any:
    """Member by member, `yes` where `mask` is true, else `no`."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b), yes, no)


def _reads_gradient(update: Callable[[Array, Any], Any], weights: Any, value: Any) -> bool:
    """Whether an optimiser looks at the gradient at all: one like `spsa` does not, and on a device it is costly."""
    leaves, tree = jax.tree.flatten(weights)
    jaxpr = jax.make_jaxpr(lambda v, g: update(v, jax.tree.unflatten(tree, g)))(value, leaves).jaxpr
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars} | {id(v) for v in jaxpr.outvars}
    return any(id(v) in used for v in jaxpr.invars[1:])


class _Watch:
    """What Python does at a visit: the validation loss, the rules for stopping, the callback and the bar."""

    def __init__(
        self,
        members: tuple[int, ...],
        evaluate: Callable[[Any], Array] | None,
        patience: int | None,
        convergence: int | None,
        callback: Callable[[int, Any, Any], None] | None,
    ) -> None:
        self.evaluate, self.patience, self.convergence, self.callback = evaluate, patience, convergence, callback
        self.visits: list[int] = []
        self.validation: list[np.ndarray] = []
        self.best, self.best_at, self.best_weights = np.full(members, np.inf), np.zeros(members, int), None
        self.alive = np.ones(members, bool)  # what was finite so far
        self.stopped: str | None = None
        self.bar: Any = None

    def look(self, weights: Any, history: np.ndarray, since: int, alive: np.ndarray) -> None:
        """After some steps, the last of which have been taken since the last look; says in `stopped` whether to stop.

        Args:
            weights: Those now.
            history: All losses, (..., steps).
            since: The step of the last look.
            alive: Which members are finite, of shape (...).
        """
        done, last = history.shape[-1], history[..., -1]
        score, best = history[..., since:].mean(axis=-1), (self.best, self.best_at, self.best_weights)
        if self.evaluate is not None:
            score = np.asarray(self.evaluate(weights))
        if self.patience is not None:
            best = self._compared(weights, score, done)
        self.bar.set_postfix_str(f"loss {np.nanmin(last) if np.isfinite(last).any() else np.nan:.4g}", refresh=False)
        self.bar.update(done - since)
        # What took time is done: an interruption finds a look as a whole, or none.
        self.visits.append(done)
        if self.evaluate is not None:
            self.validation.append(score)
        self.alive, (self.best, self.best_at, self.best_weights) = alive, best
        if self.patience is not None and (done - self.best_at >= self.patience).all():
            self.stopped = "patience"
        if self.convergence is not None and _converged(history[alive], self.convergence):
            self.stopped = "convergence"
        if not alive.any():
            self.stopped = "nan"

    def _compared(self, weights: Any, score: np.ndarray, done: int) -> tuple[np.ndarray, np.ndarray, Any]:
        better = score < self.best
        before = weights if self.best_weights is None else self.best_weights
        best, at = np.where(better, score, self.best), np.where(better, done, self.best_at)
        return best, at, _choose(better, weights, before)

    def call(self, weights: Any, history: np.ndarray) -> None:
        """Calls back, after a look."""
        last = history[..., -1]
        if self.callback is not None:
            try:
                self.callback(history.shape[-1], weights, float(last) if last.ndim == 0 else last.copy())
            except StopIteration:
                self.stopped = "callback"

    def validations(self) -> np.ndarray | None:
        """The validation losses, (..., visits)."""
        if self.evaluate is None:
            return None
        return np.moveaxis(np.array(self.validation).reshape(len(self.validation), *self.alive.shape), 0, -1)

    def result(self, weights: Any, history: np.ndarray, opt_state: Any) -> FitResult:
        """What training returns; says so if something was not finite."""
        if not self.alive.all():
            finite = np.isfinite(history)
            steps = np.where(finite.all(axis=-1), history.shape[-1], finite.argmin(axis=-1))[~self.alive]
            warnings.warn(
                f"The loss or its gradient was not finite at step {', '.join(map(str, steps.ravel()))}: training "
                "stopped there, and the weights are those before it. Try a smaller learning rate, or clip the gradient "
                "(optax.clip_by_global_norm).",
                RuntimeWarning,
                stacklevel=3,
            )
        best = self.best_weights if self.patience is not None and self.visits else weights
        return FitResult(best, history, opt_state, self.visits, self.validations(), self.stopped or "steps")


def _converged(history: np.ndarray, window: int) -> bool:
    if history.shape[-1] < 2 * window:
        return False
    last, before = history[..., -window:], history[..., -2 * window : -window]
    noise = last.std(axis=-1) / math.sqrt(window)
    return bool((np.abs(last.mean(axis=-1) - before.mean(axis=-1)) <= noise / 2).all())


class _NoBar:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, count: int) -> None:
        pass

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        pass


def _bar(steps: int, progress: bool, done: int = 0) -> Any:
    return load_tqdm()(total=steps, initial=done, unit="step") if progress else _NoBar()
