"""Weights as arrays by name and a tree that JSON can hold: one array, or dictionaries, lists and tuples of arrays."""

import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qmljax._files.checks import check

PREFIX = "weights"
TREE: tuple[Any, ...] = (  # what a node must be, its children apart
    str,  # the name of an array
    None,
    {"dict": [[(str, int), object]]},
    {"list": [object]},
    {"tuple": [object]},
)


def tree_to(weights: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The tree of some weights and the arrays in it.

    Raises:
        TypeError: A node or a leaf is of another kind.
        ValueError: A weight is infinite or no number.
    """
    arrays: dict[str, np.ndarray] = {}
    if _is_array(weights):
        arrays[PREFIX] = _leaf(weights, "`weights`")
        return PREFIX, arrays
    return _node(weights, "`weights`", arrays), arrays


def tree_from(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The weights of a tree that was read from a file.

    Raises:
        ValueError: It is not what `tree_to` makes.
    """
    used = list(_names(tree))
    held = {name for name in arrays if name == PREFIX or name.startswith(PREFIX + ".")}
    if len(set(used)) != len(used) or set(used) != held:
        raise ValueError("its arrays of weights are not those that it lists")
    for name in used:
        _check_leaf(arrays[name], f"its {name!r}", ValueError)
    return _built(tree, arrays)


def _is_array(value: Any) -> bool:
    """Whether weights are one array: an array, a number, or nested lists of numbers."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return all(isinstance(leaf, numbers.Number) or np.ndim(leaf) == 0 for leaf in _leaves(value))
    return not isinstance(value, Mapping | list | tuple) and value is not None


def _leaves(value: Any) -> Iterator[Any]:
    for item in value:
        if isinstance(item, list | tuple):
            yield from _leaves(item)
        else:
            yield item if not isinstance(item, Mapping) and item is not None else np.zeros(1)


def _node(value: Any, where: str, arrays: dict[str, np.ndarray]) -> Any:
    if value is None:
        return None
    if type(value) is dict:
        if wrong := [key for key in value if type(key) not in (str, int)]:
            raise TypeError(f"The keys of {where} must be strings or integers, but one is {wrong[0]!r}. Rename it.")
        return {"dict": [[key, _node(item, f"{where}[{key!r}]", arrays)] for key, item in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_node(item, f"{where}[{k}]", arrays) for k, item in enumerate(value)]}
    name = f"{PREFIX}.{len(arrays)}"
    arrays[name] = _leaf(value, where)
    return name


def _leaf(value: Any, where: str) -> np.ndarray:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{where} must be weights, but is a random key. Leave it out.")
    if not isinstance(value, jax.Array | np.ndarray | numbers.Number | list | tuple | np.generic):
        if not hasattr(value, "__array__"):
            raise TypeError(
                f"{where} must be an array, or a dictionary, list or tuple of them, but is a {type(value).__name__}. "
                "Convert it to one of these."
            )
    if np.ma.is_masked(value):
        raise ValueError(f"{where} must hold numbers alone, but has masked entries. Fill or leave them out.")
    array = np.asarray(value)
    _check_leaf(array, where, TypeError)
    return array


def _check_leaf(array: np.ndarray, where: str, error: type[Exception]) -> None:
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise error(f"{where} must hold real numbers, but has dtype {array.dtype}. Convert it.")
    bad = ~np.isfinite(array)
    if bad.any():
        at = np.argwhere(bad)[0].tolist()
        raise ValueError(
            f"{where} must hold finite numbers, but is {array[tuple(at)]} at {at}. `fit` returns weights that are "
            "finite: train anew, or save earlier ones."
        )


def _names(tree: Any, depth: int = 0) -> Iterator[str]:
    """The names of the arrays in a tree that was read."""
    check(tree, TREE, "its tree of weights")
    if depth > 100:
        raise ValueError("its tree of weights is more than 100 levels deep")
    if isinstance(tree, str):
        yield tree
    elif tree is not None:
        (items,) = tree.values()
        for item in items:
            yield from _names(item[1] if "dict" in tree else item, depth + 1)


def _built(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    match tree:
        case {"dict": items}:
            return {key: _built(item, arrays) for key, item in items}
        case {"list": items}:
            return [_built(item, arrays) for item in items]
        case {"tuple": items}:
            return tuple(_built(item, arrays) for item in items)
        case None:
            return None
    return arrays[tree]
