"""`fit`: the training loop, compiled, and what comes before and after it.

A visit is where Python comes in: it keeps the history, asks for the validation loss, decides whether to stop, and
writes the checkpoint.
"""

import functools
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jax import Array

from qmljax._progress import bar
from qmljax._training.checkpoint import Checkpoint
from qmljax._training.checks import check_counts, check_data, check_optimizer, check_state, check_weights
from qmljax._training.compiled_loop import kept_finite, take_steps
from qmljax._training.ensemble import first_state, losses_of, members_of
from qmljax._training.leaves import Run
from qmljax._training.minimize import minimize
from qmljax._training.result import FitResult
from qmljax._training.watch import Watch

VISITS = 100  # in a run: progress and callbacks need no more
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
    data, validation = check_data(data, validation)
    check_counts(len(data[0]) if data else 0, steps, batch_size, key, patience, convergence)
    weights = check_weights(weights)
    members, dtype = members_of(loss, weights, tuple(d[: batch_size or len(d)] for d in data), ensemble)
    ensemble = bool(members)
    evaluate = (
        None if validation is None else functools.partial(losses_of, data=validation, loss=loss, ensemble=ensemble)
    )
    watch = Watch(members, evaluate, patience, convergence, callback)
    if isinstance(optimizer, str):
        if ensemble or (batch_size, opt_state, checkpoint) != (None, None, None):
            raise ValueError(
                f"The SciPy minimiser {optimizer!r} takes no ensemble, `batch_size`, `opt_state` or `checkpoint`. Use "
                "an optax transformation for these."
            )
        with bar(steps, "step", progress) as watch.bar:
            weights, seen, report = minimize(loss, weights, data, optimizer, steps, watch)
        return watch.result(weights, np.array(seen, dtype), report)
    check_optimizer(optimizer)
    run = weights, check_state(opt_state, functools.partial(first_state, optimizer, members=members), weights)
    key = jax.random.key(0) if key is None else key  # unused without batches
    file = None
    if checkpoint is not None:
        file = Checkpoint(checkpoint, run, watch, (data, validation, batch_size, key, patience, convergence))
    visit = max(1, min(math.ceil(steps / VISITS), patience or steps, convergence or steps))
    losses = np.zeros((max(visit, LOSSES), *members), dtype)
    static = {"loss": loss, "optimizer": optimizer, "batch_size": batch_size, "ensemble": ensemble}
    advance = functools.partial(take_steps, losses=losses, data=data, key=key, **static)
    history = np.zeros((*members, steps), dtype)
    run, done = _train(run, history, advance, visit, watch, file, progress)
    return watch.result(run[0], history[..., :done], run[1])


def _train(
    run: Run,
    history: np.ndarray,
    advance: Callable[..., tuple[Run, Array]],
    visit: int,
    watch: Watch,
    file: Checkpoint | None,
    progress: bool,
) -> tuple[Run, int]:
    """All steps that are left, a visit after every `visit` of them: the run then, and its step.

    The losses go into `history`, (..., steps).
    """
    steps, done, earlier = history.shape[-1], 0, (run, 0)
    if file is not None:
        run, done, earlier = file.load(history)
    with bar(steps, "step", progress, done) as watch.bar:
        try:
            while done < steps and watch.stopped is None:
                until = min(done + visit, steps)
                reached, losses = advance(run, start=done, count=until - done)
                history[..., done:until] = np.moveaxis(np.asarray(losses)[: until - done], 0, -1)
                seen = history[..., :until]
                reached, alive, until = kept_finite(advance, earlier, (run, done), reached, seen, watch.alive)
                watch.look(reached[0], history[..., :until], done, alive)
                earlier, run, done = (run, done), reached, until
                watch.call(run[0], history[..., :done])
                if file is not None:
                    file.save(run, earlier, history[..., :done])
        except KeyboardInterrupt:
            watch.stopped = "interrupt"
    if file is not None:
        file.save(run, earlier, history[..., :done], now=True)
    return run, done
