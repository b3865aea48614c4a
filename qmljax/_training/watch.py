"""What Python does at a visit: the validation loss, the rules for stopping, the callback and the bar."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array

from qmljax._training.ensemble import choose
from qmljax._training.result import FitResult


class Watch:
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
        return best, at, choose(better, weights, before)

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
