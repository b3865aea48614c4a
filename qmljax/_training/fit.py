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
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qmljax._checks import shown
from qmljax._progress import bar
from qmljax._training.batches import Batches
from qmljax._training.checkpoint import Checkpoint
from qmljax._training.checks import (
    check_batches,
    check_counts,
    check_data,
    check_functions,
    check_keys,
    check_kind,
    check_members,
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
    batches: str | Any = "epochs",
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
            dropout. Where losses are compared, of validation and by SciPy, all have the same key, of several the first.
        weights: Where to start: an array, or any pytree of arrays. Integers become floating point numbers. With a
            leading dimension R on every array they train an ensemble of R members in one program.
        data: A tuple of arrays whose first axes are the samples, all of one length N. Integers stay integers. An empty
            tuple for a loss of the weights alone, such as an energy. Samples may lie on the devices of a mesh, of one
            process or many: there they stay, and a batch takes as many of each device (`docs/scale.md`).
        optimizer: An optax transformation, such as ``optax.adam(1e-2)``, schedules and clipping included; or the name
            of a method of `scipy.optimize.minimize`, such as "L-BFGS-B" or "COBYLA", which gets the exact gradient if
            it takes one (needs SciPy). Members of an ensemble have learning rates of their own if these are
            injected as an array (R,): ``optax.inject_hyperparams(optax.adam)(learning_rate=rates)``.
        steps: The number of optimiser steps; for SciPy, the most iterations.
        batch_size: The number of samples in a step. Default: all N in each step.
        batches: How they are chosen. "epochs": each epoch runs through the samples in a new random order, and leaves
            out the N modulo `batch_size` that fill no batch. "replacement": each step draws them anew, all N for each
            of them. Or an array of integers, the samples of each step, of shape (steps, B), or (R, steps, B) for
            members with batches of their own: with the numbers of a study, its runs are repeated.
        key: A JAX random key; needed with `batch_size`, and by a loss that takes one. All members of an ensemble see
            the same batches; with keys (R,) each has its own, and does what it would do alone with its key.
        callback: Called as ``callback(step, weights, loss)`` about a hundred times in a run, after `step` steps, with
            the weights then and the loss of the last step, which is that of the weights before it, (R,) of an
            ensemble; with SciPy, after each iteration. To stop the training it may raise `StopIteration`, on all
            processes if there are several.
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
        options: Of a SciPy minimiser: further options of the method, such as ``{"rhobeg": 0.5}`` of COBYLA; also the
            most evaluations of the loss, ``{"maxfev": 100}`` of Nelder-Mead, ``{"maxiter": 100}`` of COBYLA.

    Returns:
        A `FitResult`: weights, history of losses, optimiser state, and what validation and stopping rules say.

    Raises:
        TypeError: `data` is no tuple of numeric arrays, `weights` are complex or no numbers, `optimizer` is no optax
            transformation, `loss` or `callback` no function; or they are being traced, as in `jax.jit`.
        ValueError: The data are empty, not finite, or of unequal length; `steps`, `batch_size`, `batches` or a rule is
            out of range; `key` is missing; there are keys or batches for other members; the loss is no real scalar;
            data may be of all members or of each; `optimizer` or `opt_state` does not fit; the checkpoint is of
            another run, or is damaged.
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
    check_counts(steps, patience, min_delta, convergence)
    check_scipy(optimizer, tol, bounds, options)
    keyed, given, key = takes_key(loss, key), loss, check_keys(key)
    about = 1 if own_data else 0, batches, batch_size, steps, key
    chosen, table, weights, data, validation = _arranged(weights, data, validation, *about)
    key, places = jax.random.key(0) if key is None else key, chosen.places  # unused without batches
    loss = fresh(functools.partial(loss, key=key.ravel()[0]) if keyed else loss)
    members, dtype = members_of(loss, weights, chosen.like(data), ensemble, own_data)
    check_members(members, key, table)
    evaluate = _evaluation(of_members(loss, bool(members), bool(own_data)), weights, validation)
    watch = Watch(members, evaluate, patience, min_delta, convergence, callback)
    if isinstance(optimizer, str):
        check_no_batches(optimizer, members, chosen.size, opt_state, checkpoint)
        with bar(steps, "step", progress) as watch.bar:
            rules = {"tol": tol, "bounds": bounds, "options": options}
            weights, seen, report = minimize(loss, weights, data, optimizer, steps, watch, rules)
        return watch.result(weights, np.array(seen, dtype), report)
    first = functools.partial(first_state, check_optimizer(optimizer), members=members)
    run = weights, places.everywhere(check_state(opt_state, first, weights))
    key = places.everywhere(key) if key.ndim else key
    rows = (*((keys_of(key, members),) if keyed else ()), *chosen.like(data, members))
    step = trace_step(given if keyed else loss, optimizer, run, rows, bool(members), chosen.own_rows, keyed)
    settings = data, validation, chosen.kind, chosen.size, table, key, patience, min_delta, convergence, chosen.axis
    file = None if checkpoint is None else Checkpoint(checkpoint, run, watch, settings, places)
    visit = max(1, min(math.ceil(steps / VISITS), patience or steps))
    losses = places.losses(np.zeros((max(visit, LOSSES), *members), dtype), weights)
    static: dict[str, Any] = {"program": step.program, "lifted": step.lifted, "batches": chosen, "keyed": keyed}
    advance = functools.partial(run_steps, losses=losses, data=data, key=key, table=table, **static)
    history = np.zeros((*members, steps), dtype)
    run, done = _train(run, history, advance, visit, watch, file, progress, places)
    return watch.result(run[0], history[..., :done], run[1])


def _arranged(
    weights: Any,
    data: tuple[Array, ...],
    validation: tuple[Array, ...] | None,
    axis: int,
    batches: Any,
    batch_size: Any,
    steps: int,
    key: Array | None,
) -> tuple[Batches, Array | None, Any, tuple[Array, ...], tuple[Array, ...] | None]:
    """How steps choose their samples, the numbers of these if they are given, and weights and data where they lie."""
    samples = data[0].shape[axis] if data else 0
    kind, size, table = check_batches(batches, batch_size, samples, steps, key)
    own = size is not None and (key is not None and key.ndim > 0 if table is None else table.ndim > 2)
    places, weights, data, validation = arranged(weights, data, validation, size, axis, own)
    if table is not None and places.mesh is not None:
        raise ValueError(
            "`batches` must be 'epochs' or 'replacement' of data that lie on several devices, each of which draws from "
            f"its own, but is {shown(batches)}. Use one of them, or data on one device."
        )
    chosen = Batches(places, samples, axis, size, kind, own)
    return chosen, None if table is None else jnp.asarray(table), weights, data, validation


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
