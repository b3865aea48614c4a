"""Arrays on the devices of a mesh: which one it is, how many devices share, and programs on explicit axes.

On explicit axes, which `jax.make_mesh` makes by default, the type of an array says how it lies on the devices, and each
operation has to tell how its result does. The layers of a circuit leave that to XLA, as on all other meshes: it spreads
what is inside of a program, and the result lies as its rows do.
"""

import functools
import math
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax import Array, lax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

A = ParamSpec("A")
R = TypeVar("R")
Spec = tuple[Any, ...]  # of some axes of an array: the axes of a mesh that each lies on, or None


def rows(*specs: Spec) -> Spec:
    """How the rows of arrays (*batch, d), which broadcast, lie on a mesh, from how the arrays do."""
    width = max(map(len, specs), default=0)
    columns = zip(*((None,) * (width - len(spec)) + spec for spec in specs), strict=True)
    return tuple(_same({axes for axes in column if axes is not None}) for column in list(columns)[:-1])


def _same(found: set[Any]) -> Any:
    if len(found) > 1:
        raise ValueError(
            "The arguments must lie on the same axes of the mesh, row by row, but lie on "
            f"{' and '.join(sorted(map(repr, found)))}. Move one by jax.sharding.reshard."
        )
    return found.pop() if found else None


def on_meshes(function: Callable[A, R], leading: Callable[..., Spec] = rows, skip: int = 0) -> Callable[A, R]:
    """The function on arrays that may lie on explicit axes of a mesh.

    Args:
        function: Of arrays and of anything else, to a pytree of arrays.
        leading: How the first axes of the results lie on the mesh, from how the arguments by position do.
        skip: The number of arguments before those.
    """

    @functools.wraps(function)
    def run(*args: A.args, **kwargs: A.kwargs) -> R:
        leaves, tree = jax.tree.flatten((args, kwargs))
        mesh = explicit_mesh(leaves)
        if mesh is None:
            return function(*args, **kwargs)
        first = leading(*jax.tree.map(_spec, args[skip:]))
        auto = mesh.update_axis_types(dict.fromkeys(mesh.explicit_axes, AxisType.Auto))
        with jax.sharding.use_abstract_mesh(auto):
            args, kwargs = jax.tree.unflatten(tree, [_open(leaf) for leaf in leaves])
            out = function(*args, **kwargs)

        def back(x: Any) -> Any:
            spec = PartitionSpec(*first[: x.ndim], *[None] * (x.ndim - len(first)))
            return jax.sharding.reshard(x, NamedSharding(mesh, spec))

        return jax.tree.map(back, out)

    return run


def _open(leaf: Any) -> Any:
    """An array of which XLA decides how it lies; all else as it is."""
    return jax.sharding.reshard(leaf, PartitionSpec(*[None] * leaf.ndim)) if isinstance(leaf, jax.Array) else leaf


def _spec(leaf: Any) -> Spec:
    if not isinstance(leaf, jax.Array):
        return (None,) * np.ndim(leaf)
    spec = tuple(jax.typeof(leaf).sharding.spec)
    return spec + (None,) * (leaf.ndim - len(spec))


def explicit_mesh(arrays: Any) -> AbstractMesh | None:
    """The mesh with explicit axes that arrays lie on, or that is set, if there is one."""
    meshes = (jax.typeof(x).sharding.mesh for x in jax.tree.leaves(arrays) if isinstance(x, jax.Array))
    return next((m for m in (*meshes, jax.sharding.get_abstract_mesh()) if m.explicit_axes), None)


def is_on_mesh(array: Any) -> bool:
    """Whether the numbers of an array are there, on a mesh."""
    return isinstance(getattr(array, "sharding", None), NamedSharding) and not isinstance(array, jax.core.Tracer)


def mesh_of(array: Any) -> Mesh | None:
    """The mesh of several devices that an array lies on whose numbers are there, or whose shape is all there is."""
    mesh = array.sharding.mesh if is_on_mesh(array) else None
    return mesh if isinstance(mesh, Mesh) and mesh.size > 1 else None


def set_for_trace(arrays: Any) -> AbstractContextManager:
    """Sets the mesh of arrays, so that what is traced knows how many devices share; within a trace as well."""
    mesh = None if _is_set() else next((x.sharding.mesh.abstract_mesh for x in arrays if is_on_mesh(x)), None)
    return nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh)


def set_for_all(*trees: Any) -> AbstractContextManager:
    """Sets the mesh of arrays outside of all traces: for what JAX does there with explicit axes, too."""
    mesh = None if _is_set() else next((mesh_of(x) for x in jax.tree.leaves(trees) if mesh_of(x)), None)
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def _is_set() -> bool:
    return not jax.sharding.get_abstract_mesh().empty


def devices() -> int:
    """Over how many devices a batch may lie: those of the mesh that is set where it is traced."""
    mesh = jax.sharding.get_abstract_mesh()
    return shared_by(mesh, mesh.manual_axes)


def shared_by(mesh: Mesh | AbstractMesh, manual: Collection[Any]) -> int:
    """Over how many devices of a mesh XLA may spread an array, if it is not told to along the `manual` axes."""
    return math.prod(size for name, size in mesh.shape.items() if name not in manual)


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
