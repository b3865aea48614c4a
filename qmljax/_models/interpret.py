"""What a measurement outcome is interpreted as: the probabilities of outcomes with one interpretation add up."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from qmljax._checks import check_function
from qmljax._circuit.program import Table


def interpreted(p: Array, index: Table | None, shape: tuple[int, ...]) -> Array:
    """(outcomes, *batch) -> (outputs, *batch): the probabilities of all outcomes with one interpretation add up."""
    return p if index is None else jax.ops.segment_sum(p, index.array, int(np.prod(shape)))


@dataclass(frozen=True)
class Merge:
    """Adds up the probabilities of outcomes with one interpretation, (rows, outcomes) -> (rows, outputs) of numbers.

    Attributes:
        index: Outcome -> flat index of the output it contributes to.
        shape: Of the output.
    """

    index: Table
    shape: tuple[int, ...]

    def __call__(self, p: np.ndarray) -> np.ndarray:
        out = np.zeros((math.prod(self.shape), len(p)))
        np.add.at(out, self.index.array, p.T)
        return out.T


def interpretation(
    interpret: Callable[[int], int | tuple[int, ...]] | None, output_shape: int | tuple[int, ...] | None, outcomes: int
) -> tuple[Table | None, tuple[int, ...]]:
    shape = None
    if output_shape is not None:
        shape = output_shape if isinstance(output_shape, tuple | list) else (output_shape,)
        if not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in shape):
            raise TypeError(f"`output_shape` must be an integer or a tuple of integers, but is {output_shape!r}.")
        shape = tuple(int(s) for s in shape)
    if interpret is None:
        if shape not in (None, (outcomes,)):
            raise ValueError(
                f"`output_shape` is {shape}, but without `interpret` the output has the shape {(outcomes,)} of all "
                "outcomes. Say by `interpret` which outcome contributes to which output."
            )
        return None, (outcomes,)
    check_function(interpret, "interpret", "outcome -> an integer or a tuple of integers")
    given = [interpret(outcome) for outcome in range(outcomes)]
    try:
        indices = np.array(given)
    except ValueError:  # tuples of different lengths
        indices = np.array(None)
    if indices.dtype.kind not in "iub" or indices.ndim > 2:
        listed = ", ".join(map(repr, given[:4])) + (", ..." if outcomes > 4 else "")
        raise ValueError(
            "`interpret` must give an integer for every outcome, or a tuple of as many integers for every outcome, but "
            f"gives {listed} for the outcomes from 0 on."
        )
    indices = indices.astype(np.int64).reshape(outcomes, -1)
    if shape is None:
        shape = tuple(int(k) + 1 for k in indices.max(axis=0))
    outside: Any = np.full(outcomes, indices.shape[1] != len(shape))
    if not outside.any():
        outside = ((indices < 0) | (indices >= np.array(shape))).any(axis=1)
    if outside.any():
        worst = int(np.argmax(outside))
        raise ValueError(
            f"`interpret` must give indices inside `output_shape` {shape}, but gives {given[worst]!r} for outcome "
            f"{worst}."
        )
    return Table(np.ravel_multi_index(tuple(indices.T), shape)), shape
