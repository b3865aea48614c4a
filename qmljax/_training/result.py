"""What a training returns."""

from typing import Any, NamedTuple

import numpy as np


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
