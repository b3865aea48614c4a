"""The noise of finitely many shots on the entries of a kernel matrix."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine.outcomes import binomial
from qmljax._meshes import on_meshes
from qmljax._models.kernels.kernel import BaseKernel
from qmljax._models.kernels.points import mirrored
from qmljax._models.shots import Shots


@dataclass(frozen=True, repr=False)
class NoisyKernel(BaseKernel):
    """A kernel with the noise of finitely many shots: call it as ``kernel(x)`` or ``kernel(x, y)``.

    Points (N, d) and (M, d) give a Gram matrix (N, M), and weights are `weights=`.
    """

    exact: BaseKernel
    backend: Shots

    def __post_init__(self) -> None:
        """Nothing is compiled for it: its key may be traced."""

    def _answer(self, x: Any, y: Any, weights: Any) -> Array:
        return _measured(self.backend.shots, self.backend.key, self.exact._answer(x, y, weights), y is None)

    @property
    def _run(self) -> Callable[..., Array]:
        return self._answer

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        return _measured(self.backend.shots, self.backend.key, self.exact._trace(x, y, weights), y is None)

    def _run_pairs(self, x: Any, y: Any, weights: Any) -> Array:
        return _measured(self.backend.shots, self.backend.key, self.exact._run_pairs(x, y, weights), False)

    def _trace_pairs(self, x: Array, y: Array, weights: Array) -> Array:
        return _measured(self.backend.shots, self.backend.key, self.exact._trace_pairs(x, y, weights), False)


def _measured(shots: int, key: Array, gram: Array, symmetric: bool) -> Array:
    return on_meshes(lambda gram: _drawn(shots, key, gram, symmetric), lambda gram: gram[:1])(gram)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _drawn(shots: int, key: Array, gram: Array, symmetric: bool) -> Array:
    """Frequencies in place of the probabilities `gram`; a gradient is that of the probabilities."""
    exact = lax.stop_gradient(gram)
    bits = lax.bitcast_convert_type(exact.astype(np.float32), np.uint32)
    key = jax.random.fold_in(key, jnp.sum(bits, dtype=np.uint32))
    drawn = binomial(key, shots, jnp.clip(exact, 0, 1)) / shots
    drawn = jnp.where(exact >= 1, 1, drawn)
    if symmetric:
        drawn = mirrored(drawn)
    return gram + jnp.where(jnp.isnan(exact), 0, drawn - exact)
