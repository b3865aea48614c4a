"""What a training works on, a pytree of weights and of the optimiser's state, and its leaves as numpy arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

Run = tuple[Any, Any]  # weights and optimiser state; of an ensemble, every array has a leading dimension (R,)


def is_key(leaf: Any) -> bool:
    """Whether an array holds random keys."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def as_numpy(leaf: Any) -> np.ndarray:
    """An array, or the data of a random key. Of one that lies on several processes, all of it, on each of them."""
    leaf = jax.random.key_data(leaf) if is_key(leaf) else leaf
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        return multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)


def like(array: np.ndarray, leaf: Any) -> Array:
    """What `as_numpy` made the array of: of the kind of `leaf`, and where it lies."""
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding):
        return jax.device_put(np.asarray(array, leaf.dtype), leaf.sharding)
    return jnp.asarray(array, leaf.dtype)
