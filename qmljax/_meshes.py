"""Arrays on the devices of a mesh, for what does not care how they lie there."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

P = ParamSpec("P")
R = TypeVar("R")


def spread(function: Callable[P, R], out: Callable[[PartitionSpec], PartitionSpec]) -> Callable[P, R]:
    """A function of arrays that may lie on Explicit axes of a mesh: XLA spreads what is inside, as on Auto axes.

    Args:
        function: Of arrays, and of anything else.
        out: How its results lie, from how the first axis of the first of the arrays does.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays = {k: leaf for k, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)}
        types = [jax.typeof(array).sharding for array in arrays.values()]
        lies = next((kind for kind in types if AxisType.Explicit in kind.mesh.axis_types), None)
        if lies is None:
            return function(*args, **kwargs)

        def inner(found: dict[int, Array]) -> R:
            args, kwargs = jax.tree.unflatten(tree, [found.get(k, leaf) for k, leaf in enumerate(leaves)])
            return function(*args, **kwargs)

        rows = PartitionSpec(*types[0].spec[:1]) if types[0].mesh == lies.mesh else PartitionSpec()
        found: R = jax.sharding.auto_axes(inner, out_sharding=NamedSharding(lies.mesh, out(rows)))(arrays)
        return found

    return run


def everywhere(array: Array, other: Array) -> Array:
    """An array that is whole on each of the devices that another one lies on, if these are several."""
    mesh = jax.typeof(other).sharding.mesh
    if mesh.size < 2 or AxisType.Manual in mesh.axis_types:
        return array
    if AxisType.Explicit in mesh.axis_types:
        return jax.reshard(array, NamedSharding(mesh, PartitionSpec()))
    if isinstance(other, jax.core.Tracer) or isinstance(array, jax.core.Tracer):
        return lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec()))
    known = other.sharding
    if not isinstance(known, NamedSharding):
        return array
    return jax.device_put(array, NamedSharding(known.mesh, PartitionSpec()))
