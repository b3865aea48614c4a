"""What Python does at a visit: the validation loss, the rules for stopping, the callback and the bar."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array

from qmljax._training.ensemble import choose
from qmljax._training.leaves import as_numpy
from qmljax._training.result import FitResult
from qmljax._training.stops import Standing, standing


class Watch:
    """What Python does at a visit: the validation loss, the rules for stopping, the callback and the bar."""

    def __init__(
        self,
        members: tuple[int, ...],
        evaluate: Callable[[Any], Array] | None,
        patience: int | None,
        min_delta: float,
        convergence: int | None,
        callback: Callable[[int, Any, Any], None] | None,
    ) -> None:
        self.evaluate, self.patience, self.min_delta, self.callback = evaluate, patience, min_delta, callback
        self.convergence = convergence
        self.visits: list[int] = []
        self.validation: list[np.ndarray] = []
        self.best, self.best_at, self.best_weights = np.full(members, np.inf), np.zeros(members, int), None
        self.standing = standing(members)
        self.stopped: str | None = None
        self.bar: Any = None

    def look(self, weights: Any, history: np.ndarray, now: Standing) -> None:
        """After some steps; says in `stopped` whether to stop.

        Args:
            weights: Those now.
            history: All losses, (..., steps).
            now: How it stands with the members.
        """
        since, done = self.visits[-1] if self.visits else 0, history.shape[-1]
        score, best = _recent(history[..., since:], now), (self.best, self.best_at, self.best_weights)
        if self.evaluate is not None:
            score = as_numpy(self.evaluate(weights))
        if self.patience is not None:
            best = self._compared(weights, score, done)
        last = history[..., -1]
        self.bar.set_postfix_str(f"loss {np.nanmin(last) if np.isfinite(last).any() else np.nan:.4g}", refresh=False)
        self.bar.update(done - since)
        # What took time is done: an interruption finds a look as a whole, or none.
        self.visits.append(done)
        if self.evaluate is not None:
            self.validation.append(score)
        self.standing, (self.best, self.best_at, self.best_weights) = now, best
        if self.patience is not None and (~now.going | (done - self.best_at >= self.patience)).all():
            self.stopped = "patience"
        if not now.going.any():
            self.stopped = "convergence" if now.alive.any() else "nan"

    def _compared(self, weights: Any, score: np.ndarray, done: int) -> tuple[np.ndarray, np.ndarray, Any]:
        better = score < self.best - self.min_delta
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
        return np.moveaxis(np.array(self.validation).reshape(len(self.validation), *self.best.shape), 0, -1)

    def result(self, weights: Any, history: np.ndarray, opt_state: Any) -> FitResult:
        """What training returns; says so if something was not finite."""
        now = self.standing
        if not now.alive.all():
            warnings.warn(
                f"The loss or its gradient was not finite at step {', '.join(map(str, now.stopped_at[~now.alive]))}: "
                "training stopped there, and the weights are those before it. Try a smaller learning rate, or clip the "
                "gradient (optax.clip_by_global_norm).",
                RuntimeWarning,
                stacklevel=3,
            )
        best = self.best_weights if self.patience is not None and self.visits else weights
        stopped_at = np.where(now.going, history.shape[-1], now.stopped_at)
        visits = np.array(self.visits, int)
        return FitResult(best, history, opt_state, visits, self.validations(), stopped_at, self.stopped or "steps")


def _recent(history: np.ndarray, now: Standing) -> np.ndarray:
    """The mean of the losses, of a member that has converged of those before; NaN of one that is not finite."""
    taken = np.isfinite(history) | now.going[..., None] | ~now.alive[..., None]
    count = taken.sum(axis=-1)
    mean = np.where(taken, history, 0).sum(axis=-1, dtype=history.dtype) / np.maximum(count, 1).astype(history.dtype)
    return np.where(count > 0, mean, np.nan)
