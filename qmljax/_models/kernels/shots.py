"""The noise of finitely many shots on the entries of a kernel matrix."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_count, check_key
from qmljax._models.kernels.kernel import BaseKernel
from qmljax._models.kernels.points import mirrored


@dataclass(frozen=True, repr=False)
class Shots:
    """A backend for `fidelity_kernel`: what so many shots would give for each entry, without noise.

    Attributes:
        shots: How often the compute-uncompute circuit of an entry is run; the entry is the part of runs that give 0.
        key: A JAX random key. The noise depends on it and on the exact values: the same question gets the same answer.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = qj.fidelity_kernel(zz_feature_map(2), backend=qj.Shots(100, jax.random.key(0)))
        >>> gram = kernel(np.random.default_rng(0).normal(size=(5, 2)))
        >>> bool((gram == gram.T).all()), bool(abs(100 * gram - (100 * gram).round()).max() < 1e-3)
        (True, True)
    """

    shots: int
    key: Any

    def __post_init__(self) -> None:
        check_count(self.shots, "shots", most=2**31 - 1)
        if isinstance(self.key, tuple):
            return
        check_key(self.key)
        typed = jnp.issubdtype(self.key.dtype, jax.dtypes.prng_key)
        data = jax.random.key_data(self.key) if typed else self.key
        name = str(jax.random.key_impl(self.key)) if typed else None
        object.__setattr__(self, "key", (name, tuple(np.asarray(data).tolist())))  # equal by value

    def __repr__(self) -> str:
        return f"Shots({self.shots})"

    def estimate(self, gram: Array, symmetric: bool) -> Array:
        """The frequencies in place of the probabilities `gram`; a gradient is that of the probabilities."""
        name, data = self.key
        key = jax.random.wrap_key_data(jnp.asarray(np.array(data, np.uint32)), impl=name)
        bits = lax.bitcast_convert_type(lax.stop_gradient(gram).astype(np.float32), np.uint32)
        key = jax.random.fold_in(key, jnp.sum(bits, dtype=np.uint32))
        exact = lax.stop_gradient(gram)
        drawn = jax.random.binomial(key, self.shots, jnp.clip(exact, 0, 1), dtype=gram.dtype) / self.shots
        drawn = jnp.where(exact >= 1, 1, drawn)
        if symmetric:
            drawn = mirrored(drawn)
        return gram + jnp.where(jnp.isnan(exact), 0, drawn - exact)


@dataclass(frozen=True, repr=False)
class NoisyKernel(BaseKernel):
    """A kernel with the noise of finitely many shots: call it as ``kernel(x)`` or ``kernel(x, y)``.

    Points (N, d) and (M, d) give a Gram matrix (N, M), and weights are `weights=`.
    """

    exact: BaseKernel
    backend: Shots

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        return self.backend.estimate(self.exact._trace(x, y, weights), y is None)

    def _trace_pairs(self, x: Array, y: Array, weights: Array) -> Array:
        return self.backend.estimate(self.exact._trace_pairs(x, y, weights), False)
