"""Programs on meshes with explicit axes: what is inside is spread by XLA, and the result lies as its rows do.

On explicit axes, which `jax.make_mesh` makes by default, the type of an array says how it lies on the devices, and each
operation has to tell how its result does. The layers of a circuit leave that to XLA, as on all other meshes.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

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


def on_meshes(function: Callable, leading: Callable[..., Spec] = rows, skip: int = 0) -> Callable:
    """The function on arrays that may lie on explicit axes of a mesh.

    Args:
        function: Of some arguments, which are taken as they are, `skip` of them, and of arrays, to a pytree of arrays.
        leading: How the first axes of the results lie on the mesh, from how the arguments do.
        skip: The number of these arguments.
    """

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        mesh = mesh_of(args[skip:])
        if mesh is None:
            return function(*args)
        first = leading(*jax.tree.map(_spec, args[skip:]))
        auto = mesh.update_axis_types(dict.fromkeys(mesh.explicit_axes, AxisType.Auto))
        with jax.sharding.use_abstract_mesh(auto):
            inner = jax.tree.map(lambda x: jax.sharding.reshard(x, PartitionSpec(*[None] * jnp.ndim(x))), args[skip:])
            out = function(*args[:skip], *inner)

        def back(x: Any) -> Any:
            spec = PartitionSpec(*first[: x.ndim], *[None] * (x.ndim - len(first)))
            return jax.sharding.reshard(x, NamedSharding(mesh, spec))

        return jax.tree.map(back, out)

    return run


def mesh_of(arrays: Any) -> AbstractMesh | None:
    """The mesh with explicit axes that arrays lie on, or that is set, if there is one."""
    meshes = (jax.typeof(x).sharding.mesh for x in jax.tree.leaves(arrays) if isinstance(x, jax.Array))
    return next((m for m in (*meshes, jax.sharding.get_abstract_mesh()) if m.explicit_axes), None)


def set_of(arrays: Any) -> AbstractContextManager:
    """Sets the mesh that arrays lie on whose numbers are there, so that what is traced knows how many devices share."""
    mesh = next((x.sharding.mesh.abstract_mesh for x in arrays if on_mesh(x)), None)
    if mesh is None or not jax.sharding.get_abstract_mesh().empty:
        return nullcontext()
    return jax.sharding.use_abstract_mesh(mesh)


def on_mesh(array: Any) -> bool:
    """Whether the numbers of an array are there, on a mesh."""
    return isinstance(getattr(array, "sharding", None), NamedSharding) and not isinstance(array, jax.core.Tracer)


def _spec(array: Any) -> Spec:
    spec = tuple(jax.typeof(array).sharding.spec)
    return spec + (None,) * (jnp.ndim(array) - len(spec))
