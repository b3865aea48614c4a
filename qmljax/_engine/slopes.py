"""The derivatives of the layers' angles in the parameters, and what they add to the derivatives of a state."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.expressions import Affine, evaluate, parameters
from qmljax._circuit.program import Program
from qmljax._engine import operations
from qmljax._engine.layers import Combination

Slope = tuple[list[Any], list[Any]]


class Slopes:
    """The derivatives of angles in the parameters, which have columns in the order in which they first act.

    Column 0 is that of the state itself.
    """

    def __init__(self, program: Program, params: Array):
        self.expressions = program.expressions
        self.column: dict[int, int] = {}  # of a parameter
        affine = [e for e in self.expressions if isinstance(e, Affine)]
        self.values: Any = np.zeros((len(self.expressions), 1 + len(params)), params.dtype)
        if len(affine) == len(self.expressions):  # numbers, which XLA knows
            for row, expression in zip(self.values, affine, strict=True):
                for parameter, coefficient in expression.terms:
                    row[1 + parameter] = coefficient
        else:
            self.values = jnp.pad(jax.jacfwd(functools.partial(evaluate, self.expressions))(params), [(0, 0), (1, 0)])

    def __call__(self, rows: Sequence[Sequence[Combination]]) -> Slope:
        """The derivatives of the slots of each round, as `derive` takes them. Parameters that are new get a column."""
        weights = np.zeros((len(rows), max(map(len, rows)), len(self.expressions)), self.values.dtype)
        for r, row in enumerate(rows):
            for k, slot in enumerate(row):
                weights[r, k, [e for e in slot if e >= 0]] = [c for e, c in slot.items() if e >= 0]
        used = {p for e in np.flatnonzero(weights.any((0, 1))) for p in parameters(self.expressions[e])}
        known = list(self.column)
        new = sorted(used.difference(known))
        self.column.update({parameter: 1 + len(known) + k for k, parameter in enumerate(new)})

        def of(columns: list[int]) -> Any:
            with jax.default_matmul_precision("highest"):
                return weights @ self.values[:, np.array(columns)]

        return (
            [of([0, *(1 + p for p in known)])] if used.intersection(known) else [],
            [of([1 + p for p in new])] if new else [],
        )


def derive(state: Array, kind: operations.Kind, slope: Slope, tables: Sequence[Array]) -> Array:
    """A layer has acted on a state and its derivatives, (C, 2**n, columns): this adds what its angles contribute.

    `slope` has the derivatives of its angles (K, columns) in the columns that are there, unless they are all zero, and
    those (K, new) in new ones.
    """
    for old in slope[0]:
        state = state + operations.generate(kind, old, state[:, :, :1], tables)
    new = [operations.generate(kind, x, state[:, :, :1], tables) for x in slope[1]]
    return jnp.concatenate([state, *new], axis=2) if new else state


def only(slope: Slope) -> Slope:
    """Without the dimension of rounds, of which there is one."""
    return jax.tree.map(lambda x: x[0], slope)
