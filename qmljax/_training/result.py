"""What a training returns."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class FitResult:
    """What `fit` returns; it unpacks as ``weights, history, opt_state``, and is a pytree.

    Attributes:
        weights: The trained weights, of the structure given: those after the last step, or the best ones if `patience`
            was given. They are finite.
        history: The loss at each step, before its update, of shape (steps done,), or (R, steps done) for an ensemble:
            on the mini-batch of that step if there is one. NaN after a member's own stop.
        opt_state: The state of the optimiser after the last step; of a SciPy minimiser, its `OptimizeResult`.
        visits: The numbers of steps after which validation and stopping were looked at, of shape (V,).
        validation: The validation loss at each visit, of shape (V,), or (R, V) for an ensemble; None without
            validation data.
        stopped_at: The number of steps that were taken, of shape (), or (R,) for an ensemble: by `convergence` each
            member stops at its own, and so does one that is not finite any more, at the step where this was found.
        stopped: Why training ended: "steps", all were done; "patience"; "convergence"; "callback", it raised
            `StopIteration`; "nan", the loss or the weights were no longer finite; "interrupt", by Ctrl-C; or, of a
            SciPy minimiser, "minimizer", its own rule.

    Example:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import qmljax as qj
        >>> result = qj.fit(lambda w: jnp.sum(w**2), jnp.ones(3), (), optimizer=optax.sgd(0.1), steps=20)
        >>> result
        FitResult(weights=(3,), history=(20,), stopped='steps')
        >>> weights, history, opt_state = result
    """

    weights: Any
    history: np.ndarray
    opt_state: Any
    visits: np.ndarray
    validation: np.ndarray | None
    stopped_at: np.ndarray
    stopped: str = dataclasses.field(metadata={"static": True})

    def __repr__(self) -> str:
        shapes = [str(np.shape(leaf)) for leaf in jax.tree.leaves(self.weights)]
        return f"FitResult(weights={', '.join(shapes)}, history={np.shape(self.history)}, stopped={self.stopped!r})"

    def __iter__(self) -> Iterator[Any]:
        return iter((self.weights, self.history, self.opt_state))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: Any) -> Any:
        return (self.weights, self.history, self.opt_state)[place]

    def _replace(self, **changes: Any) -> "FitResult":
        """A copy with other attributes, as of a named tuple."""
        return dataclasses.replace(self, **changes)
