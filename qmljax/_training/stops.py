"""Where each member of a training stops by itself: it has converged, or it is not finite any more."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from qmljax._training.ensemble import choose
from qmljax._training.leaves import Run, as_numpy

BLOCK = 1 << 20  # numbers that the windows of one look may hold


class Standing(NamedTuple):
    """How it stands with each member; all arrays have the shape () or (R,)."""

    alive: np.ndarray  # finite until now
    stopped_at: np.ndarray  # its step, or -1 while it goes on

    @property
    def going(self) -> np.ndarray:
        """Which members go on."""
        return self.stopped_at < 0


def standing(members: tuple[int, ...]) -> Standing:
    """At the start."""
    return Standing(np.ones(members, bool), np.full(members, -1))


def converged_at(history: np.ndarray, since: int, window: int) -> np.ndarray:
    """The number of steps after which a run has converged first, of those from `since` on; -1 where it has not.

    It has when the means of its last two windows of losses differ by at most half the standard error of the last one.
    As in the study, this is looked at when there are more than 2 * window + 1 losses.

    Args:
        history: Losses, (..., steps).
        since: The first step to look at.
        window: The number of losses in a window.

    Returns:
        Integers of shape (...).

    References:
        J. Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059 (2024), and its code, `train` of `qml_benchmarks`.
    """
    found, until = np.full(history.shape[:-1], -1), history.shape[-1]
    block = max(1, BLOCK // (window * max(1, found.size)))
    for first in range(max(since, 2 * window + 1), until, block):
        losses = np.asarray(history[..., first + 1 - 2 * window : min(first + block, until)], np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(losses, window, axis=-1)  # (..., n + window, window)
        with np.errstate(invalid="ignore", over="ignore"):  # of losses that are not finite
            mean, noise = windows.mean(axis=-1), windows[..., window:, :].std(axis=-1) / math.sqrt(window)
            hits = np.abs(mean[..., :-window] - mean[..., window:]) <= noise / 2  # (..., n)
        new = (found < 0) & hits.any(axis=-1)
        found = np.where(new, first + 1 + hits.argmax(axis=-1), found)
        if (found >= 0).all():
            break
    return found


def settle(
    advance: Callable[..., tuple[Run, Array]],
    earlier: tuple[Run, int],
    before: tuple[Run, int],
    after: Run,
    history: np.ndarray,
    was: Standing,
    window: int | None,
) -> tuple[Run, Standing, int]:
    """`after`, but members that have stopped since have the weights of their own last step, and keep them.

    One that converged has those after its last step; one that is not finite any more, the last ones with a finite
    loss. They are found by taking the same steps again, so that a step need not keep what was before it.

    Args:
        advance: Takes steps.
        earlier: The run before the steps before the last ones, and its step.
        before: The run before the last steps, and its step.
        after: The run after them.
        history: All losses until now, (..., steps). Those of members that had stopped are made NaN.
        was: How it stood with the members before the last steps.
        window: That of `converged_at`, if it is to be looked at.

    Returns:
        The run, how it stands with the members, and the number of steps until none went on.
    """
    (run, since), until = before, history.shape[-1]
    going = was.going
    history[~going, since:] = np.nan
    finite = np.isfinite(history[..., since:])
    death = np.where(finite.all(axis=-1), until, since + finite.argmin(axis=-1))  # the first loss that is not finite
    sound = death == until
    for leaf in jax.tree.leaves(after[0]):
        sound = sound & np.isfinite(as_numpy(leaf)).reshape(*going.shape, -1).all(axis=-1)
    stop = np.full(going.shape, -1) if window is None else converged_at(history, since, window)
    # The weights after the last step must be finite, too, which the next loss tells.
    converged = going & (stop >= 0) & ((stop < death) | sound)
    dying = going & ~sound & ~converged
    if not going.all():
        after = choose(going, after, run)
    if not (converged | dying).any():
        return after, was, until
    ends, step = np.where(converged, stop, death + 1), np.arange(until)
    history[(step >= ends[..., None]) & (converged | dying)[..., None]] = np.nan
    back_to = np.where(converged, stop, np.maximum(death - 1, 0))
    run, at = earlier
    for target in np.unique(back_to[converged | dying]):
        if at < before[1] <= target:
            run, at = before
        run, at = advance(run, start=at, count=int(target) - at)[0], int(target)
        after = choose((converged | dying) & (back_to == target), run, after)
    now = np.where(converged, stop, np.where(dying, death, was.stopped_at))
    state = Standing(was.alive & ~dying, now)
    if state.going.any():
        return after, state, until
    return after, state, min(int((now + ~state.alive).max()), until)
