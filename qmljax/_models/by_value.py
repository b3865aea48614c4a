"""Equality and hashes of pytrees by the values of their leaves, as long as those are there and not traced."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def same_leaves(one: Any, other: Any) -> bool:
    """Whether two pytrees have the same structure and equal leaves; traced leaves equal only themselves."""
    structures: list[Any] = [jax.tree.structure(tree) for tree in (one, other)]
    if structures[0] != structures[1]:
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a is b or (_is_there(a) and _is_there(b) and _value(a) == _value(b)) for a, b in pairs)


def hash_of_leaves(tree: Any) -> int:
    """Raises TypeError where a leaf is traced: what is to be traced has to be an argument."""
    leaves, structure = jax.tree.flatten(tree)
    if not all(map(_is_there, leaves)):
        raise TypeError(f"A {type(tree).__name__} with traced numbers has no hash: pass it as an argument.")
    return hash((structure, tuple(map(_value, leaves))))


def _is_there(leaf: Any) -> bool:
    return not isinstance(leaf, jax.core.Tracer)


def _value(leaf: Any) -> Any:
    kind = None
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        kind, leaf = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return kind, array.dtype.str, array.shape, array.tobytes()
