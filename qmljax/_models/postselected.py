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
        read = expectations(self.observables, self._state(params))
        probability = read[-1:]
        possible = probability > IMPOSSIBLE * np.finfo(probability.dtype).eps ** 2
        values = read[:-1] / jnp.where(possible, probability, jnp.ones_like(probability))
        values = jnp.where(possible, values, jnp.full_like(values, np.nan))
        return values[0] if self.single else values
