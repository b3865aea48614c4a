"""`fit`: the training loop, compiled, and what comes before and after it.

A visit is where Python looks at the run: it asks for the validation loss, decides whether to stop, and calls back. What
is compiled takes a stretch of steps, up to the next visit, or as many as take about a second: an interruption waits for
no more than that, and a checkpoint can be written after each.
"""

import functools
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax import Array

from qmljax._progress import bar
from qmljax._training.checkpoint import Checkpoint
from qmljax._training.checks import (
    check_counts,
    check_data,
    check_functions,
    check_kind,
    check_no_batches,
    check_optimizer,
    check_scipy,
    check_state,
    check_weights,
    takes_key,
)
from qmljax._training.compiled_loop import keys_of, run_steps, trace_step
from qmljax._training.computations import fresh, trace
from qmljax._training.ensemble import first_state, losses_of, members_of, of_members
from qmljax._training.leaves import Run, as_numpy
from qmljax._training.minimize import minimize
from qmljax._training.places import Places, arranged
from qmljax._training.result import FitResult
from qmljax._training.stops import settle
from qmljax._training.watch import Watch

VISITS = 100  # in a run: progress and callbacks need no more
SECONDS = 1.0  # that a stretch of compiled steps may take, more or less
LOSSES = 1024  # room for the losses between two visits; one length, so that other numbers of steps compile nothing anew


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
    own_data: bool | None = None,
    validation: tuple[Any, ...] | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    convergence: int | None = None,
    opt_state: Any = None,
    checkpoint: str | os.PathLike | None = None,
    tol: float | None = None,
    bounds: Any = None,
    options: Mapping[str, Any] | None = None,
) -> FitResult:
    """Minimises a loss by an optax optimiser, or by a minimiser of SciPy.

    A loss that is NaN or infinite ends the training with a warning, and so do weights; Ctrl-C ends it, too. What was
    reached until then is returned. `loss` and `optimizer` are traced at each call, so that what they read is never
    stale; what is compiled is found again by what it computes, whatever the numbers and arrays they close over.

    Args:
        loss: ``loss(weights, *data) -> ()``, typically ``loss(weights, x, y)``, traceable by JAX. If it has a
            keyword-only parameter `key`, it gets a fresh one in each step, a member its own: for shots, trajectories or
            dropout. Where losses are compared, of validation and by SciPy, all have the same key.
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
        key: A JAX random key; needed with `batch_size`, and by a loss that takes one. All members of an ensemble see
            the same batches.
        callback: Called as ``callback(step, weights, loss)`` about a hundred times in a run, after `step` steps, with
            the weights then and the loss of the last step, (R,) of an ensemble; with SciPy, after each iteration. To
            stop the training it may raise `StopIteration`.
        progress: Whether to show a progress bar (needs tqdm: the extra `progress`).
        ensemble: Whether the first axis of `weights` counts the members of an ensemble. Default: if `loss` does not
            take the weights as they are but takes their rows, or gives a value for each row.
        own_data: Whether each member of an ensemble has data of its own, such as folds: then all arrays of `data` and
            of `validation` have the shape (R, N, ...). False: all see the same. Default: so, too, but data that could
            be meant in both ways are refused.
        validation: Data like `data`. Their loss is computed about a hundred times in a run.
        patience: Stops when the validation loss (without validation data: the mean of the training loss since the last
            look) has not fallen for that many steps, and returns the weights at which it was lowest. An ensemble stops
            when this holds for all members.
        min_delta: By how much that loss has to fall below the lowest one; less is no fall for `patience`.
        convergence: A number of losses, a window. Stops when the means of the last two windows differ by at most half
            the standard error of the last one, which is looked at after each step when there are more than twice as
            many and one more. Each member of an ensemble stops at its own step and keeps its weights.
        opt_state: The optimiser's state in an earlier result, to go on from there.
        checkpoint: A file. If it exists, the run that wrote it is resumed, which must have had the same arguments
            (data, weights and options are compared; `loss` and `optimizer` cannot be). The weights are the same to the
            bit as those of a run without a break. It is written often, but takes about 5 % of the time at most (needs
            safetensors: the extra `files`). If it cannot be written later on, a warning says so and training goes on.
        tol: Of a SciPy minimiser: its tolerance, as in `scipy.optimize.minimize`.
        bounds: Of a SciPy minimiser: a pair (low, high) for each weight, or `scipy.optimize.Bounds`; of a pytree in the
            order of `jax.flatten_util.ravel_pytree`.
        options: Of a SciPy minimiser: further options of the method, such as ``{"rhobeg": 0.5}`` of COBYLA.

    Returns:
        A `FitResult`: weights, history of losses, optimiser state, and what validation and stopping rules say.

    Raises:
        TypeError: `data` is no tuple of numeric arrays, `weights` are complex or no numbers, `optimizer` is no optax
            transformation, `loss` or `callback` no function; or they are being traced, as in `jax.jit`.
        ValueError: The data are empty, not finite, or of unequal length; `steps`, `batch_size`, or a rule is out of
            range; `key` is missing, or several; the loss is no real scalar; data may be of all members or of each;
            `optimizer` or `opt_state` does not fit; the checkpoint is of another run, or is damaged.
        FileNotFoundError: The folder of the checkpoint does not exist.

    Example:
        >>> import jax.numpy as jnp
        >>> import qmljax as qj
        >>> x = jnp.linspace(-1, 1, 50)
        >>> loss = lambda w, x, y: jnp.mean((w * x - y) ** 2)
        >>> result = qj.fit(loss, jnp.array(0.0), (x, 3 * x), optimizer=optax.adam(0.1), steps=200)
        >>> round(float(result.weights), 3), result.history.shape
        (3.0, (200,))
        >>> many = qj.fit(loss, jnp.zeros(4), (x, 3 * x), optimizer=optax.adam(0.1), steps=200, ensemble=True)
        >>> many.weights.shape, many.history.shape
        ((4,), (4, 200))
        >>> round(float(qj.fit(loss, jnp.array(0.0), (x, 3 * x), optimizer="L-BFGS-B", steps=20).weights), 3)
        3.0

    References:
        `convergence`: J. Bowles, S. Ahmed, M. Schuld, "Better than classical? The subtle art of benchmarking quantum
        machine learning models", arXiv:2403.07059 (2024).
    """
    check_functions(loss, callback)
    check_kind(ensemble, own_data, checkpoint, progress)
    weights = check_weights(weights)
    data, validation = check_data(data, validation, own_data)
    axis = 1 if own_data else 0
    check_counts(data[0].shape[axis] if data else 0, steps, batch_size, key, patience, min_delta, convergence)
    check_scipy(optimizer, tol, bounds, options)
    places, weights, data, validation = arranged(weights, data, validation, batch_size, axis)
    keyed, given = takes_key(loss, key), loss
    key = jax.random.key(0) if key is None else key  # unused without batches
    loss = fresh(functools.partial(loss, key=key) if keyed else loss)
    rows = tuple(places.batch(d, batch_size, axis) if batch_size else d for d in data)
    members, dtype = members_of(loss, weights, rows, ensemble, own_data)
    static = {"ensemble": bool(members), "own_data": bool(own_data)}
    evaluate = _evaluation(of_members(loss, **static), weights, validation)
    watch = Watch(members, evaluate, patience, min_delta, convergence, callback)
    if isinstance(optimizer, str):
        check_no_batches(optimizer, members, batch_size, opt_state, checkpoint)
        rules = {"tol": tol, "bounds": bounds, "options": options}
        with bar(steps, "step", progress) as watch.bar:
            weights, seen, report = minimize(loss, weights, data, optimizer, steps, watch, rules)
        return watch.result(weights, np.array(seen, dtype), report)
    check_optimizer(optimizer)
    first = functools.partial(first_state, optimizer, members=members)
    run = weights, places.everywhere(check_state(opt_state, first, weights))
    keys = (keys_of(key, members),) if keyed else ()
    step = trace_step(given if keyed else loss, optimizer, run, (*keys, *rows), **static, keyed=keyed)
    settings = data, validation, batch_size, key, patience, min_delta, convergence, bool(own_data)
    file = None if checkpoint is None else Checkpoint(checkpoint, run, watch, settings, places)
    visit = max(1, min(math.ceil(steps / VISITS), patience or steps))
    losses = places.losses(np.zeros((max(visit, LOSSES), *members), dtype), weights)
    about: dict[str, Any] = {"lifted": step.lifted, "program": step.program, "losses": losses, "data": data}
    about |= {"batch_size": batch_size, "own_data": bool(own_data), "keyed": keyed, "places": places}
    advance = functools.partial(run_steps, key=key, **about)
    history = np.zeros((*members, steps), dtype)
    run, done = _train(run, history, advance, visit, watch, file, progress, places)
    return watch.result(run[0], history[..., :done], run[1])


def _evaluation(loss: Callable, weights: Any, validation: tuple[Array, ...] | None) -> Callable[[Any], Array] | None:
    """The loss of weights on validation data, if there are such."""
    if validation is None:
        return None
    held = trace(loss, weights, *validation)
    return functools.partial(losses_of, data=validation, lifted=held.lifted, program=held.program)


class _Pace:
    """How many steps may be taken at once: those of about a second. It starts with one, which compiles."""

    def __init__(self) -> None:
        self.steps, self._since = 1, time.monotonic()

    def start(self) -> None:
        self._since = time.monotonic()

    def end(self, steps: int) -> None:
        seconds = time.monotonic() - self._since
        if seconds > SECONDS:
            self.steps = max(1, self.steps // 2)
        elif seconds < SECONDS / 4 and steps == self.steps:
            self.steps *= 4


def _train(
    run: Run,
    history: np.ndarray,
    advance: Callable[..., tuple[Run, Array]],
    visit: int,
    watch: Watch,
    file: Checkpoint | None,
    progress: bool,
    places: Places,
) -> tuple[Run, int]:
    """All steps that are left, a visit after every `visit` of them: the run then, and its step.

    The losses go into `history`, (..., steps).
    """
    steps, done, earlier, pace = history.shape[-1], 0, (run, 0), _Pace()
    if file is not None:
        run, done, earlier = file.load(history)
    with bar(steps, "step", progress, done) as watch.bar:
        try:
            while done < steps and watch.stopped is None:
                seen = min((done // visit + 1) * visit, steps)  # the next visit
                until = min(seen, done + int(places.agree(pace.steps)))
                pace.start()
                reached, losses = advance(run, start=done, count=until - done)
                history[..., done:until] = np.moveaxis(as_numpy(losses)[: until - done], 0, -1)
                pace.end(until - done)
                before, taken = (run, done), history[..., :until]
                reached, now, until = settle(
                    advance, earlier, before, reached, taken, watch.standing, watch.convergence
                )
                looks = until == seen or not now.going.any()
                if looks:
                    watch.look(reached[0], history[..., :until], now)
                watch.standing, earlier, run, done = now, before, reached, until
                if looks:
                    watch.call(run[0], history[..., :done])
                if file is not None:
                    file.save(run, earlier, history[..., :done])
        except KeyboardInterrupt:
            watch.stopped = "interrupt"
    if file is not None:
        file.save(run, earlier, history[..., :done], now=True)
    return run, done
