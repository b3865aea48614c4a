"""Expectation values where classical bits have given values."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.observables import Observable
from qmljax._engine.expectations import expectations
from qmljax._models.of_params import OfParams

IMPOSSIBLE = 1e3  # times the square of a rounding error of an amplitude: so small a probability may be zero


@dataclass(frozen=True, repr=False)
class Postselected(OfParams):
    """`f(params)`: (..., P) -> values (...) or (..., observables) where classical bits have given values.

    The last of the observables projects on these; the others are what is asked for there.
    """

    observables: tuple[Observable, ...]
    single: bool

    def _of(self, params: Array) -> Array:
        values = conditional(expectations(self.observables, self._state(params)))
        return values[0] if self.single else values


def conditional(read: Array) -> Array:
    """Values (observables, *batch), the last being a probability, as those of the others where that is met."""
    probability = read[-1:]
    possible = probability > IMPOSSIBLE * np.finfo(probability.dtype).eps ** 2
    values = read[:-1] / jnp.where(possible, probability, jnp.ones_like(probability))
    return jnp.where(possible, values, jnp.full_like(values, np.nan))
