"""Rows of points over the devices of a mesh: which axes share them out, and matrices whose rows each device computes.

How an array lies is said by the array itself. Of numbers, and on Explicit axes, it is known. On Auto axes JAX does not
say it of what is traced, only which mesh it lies on: its rows are then shared out over all Auto axes.

**What is sent is points**: each device gathers all of them, or what represents them, and computes the rows of its own.
A symmetric matrix is computed once, by a round of blocks: of D devices, number i computes its block with itself and
those with the next (D - 1) // 2, and sends these, transposed, to their owners. If D is even, i and i + D / 2 share
their block, the first with the upper half of its rows.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from qmljax._forgetting import forgetful_jit
from qmljax._meshes import on_meshes
from qmljax._models.compiled import Compiled

Axes = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """How the arrays of a call lie on a mesh: the axes that share out the rows of each; those without rows have none.

    Attributes:
        mesh: The mesh, without its devices.
        axes: For each array, the axes that its first dimension is over.
    """

    mesh: AbstractMesh
    axes: tuple[Axes, ...]

    def size(self, axes: Axes) -> int:
        """How many devices are along some axes."""
        return math.prod(self.mesh.shape[name] for name in axes)

    def passed_on(self, part: Array, step: int) -> Array:
        """The part of each device, by rows of the first array, on the one that is so many further."""
        axes = self.axes[0]
        number = np.arange(self.size(axes)).reshape([self.mesh.shape[name] for name in axes])
        there = [name for name in self.mesh.axis_names if name in axes]  # the order in which `ppermute` counts
        places = np.argsort(number.transpose([axes.index(name) for name in there]).reshape(-1))
        pairs = zip(places.tolist(), np.roll(places, -step).tolist(), strict=True)
        return lax.ppermute(part, tuple(there), list(pairs))

    def over(self, function: Callable[..., Any], inside: Sequence[Any], outside: Any, *arrays: Any) -> Any:
        """`function`, run by each device on its part of the arrays.

        Args:
            function: Of the parts.
            inside: The axes of each array's first dimension, as `function` takes it.
            outside: The axes of each dimension of what it returns.
            arrays: The arrays; None has no parts.
        """
        specs = tuple(PartitionSpec(axes) if axes else PartitionSpec() for axes in inside)
        placed = [self._placed(array, spec) for array, spec in zip(arrays, specs, strict=True)]
        out = PartitionSpec(*(axes or None for axes in outside))
        return jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=out)(*placed)

    def _placed(self, array: Any, spec: PartitionSpec) -> Any:
        """An array as `shard_map` wants it: on Explicit axes it does not move arrays by itself."""
        if array is None or AxisType.Explicit not in self.mesh.axis_types:
            return array
        return jax.reshard(array, NamedSharding(self.mesh, spec))


def layout(rows: Sequence[Any], others: Sequence[Any] = ()) -> Layout | None:
    """How some arrays (N, ...) lie, if that is over devices, or on Explicit axes; None is no array.

    Args:
        rows: The arrays.
        others: What else a call takes: it may be what is on Explicit axes.
    """
    given = [array for array in (*rows, *others) if isinstance(array, jax.Array)]
    meshes = [jax.typeof(array).sharding.mesh for array in given]
    mesh = next((mesh for mesh in meshes if mesh.size > 1 or AxisType.Explicit in mesh.axis_types), None)
    if mesh is None or AxisType.Manual in mesh.axis_types:  # inside of the user's own `shard_map` rows are rows
        return None
    axes = tuple(axes_of(array, mesh) if isinstance(array, jax.Array) else () for array in rows)
    return Layout(mesh, axes) if any(axes) or AxisType.Explicit in mesh.axis_types else None


def axes_of(array: Any, mesh: AbstractMesh) -> Axes:
    """The axes of a mesh that the first dimension of an array is over."""
    aval = jax.typeof(array)
    if not aval.ndim or not aval.shape[0] or aval.sharding.mesh.size < 2:
        return ()
    known = getattr(array, "primal", array)  # of a derivative that is taken at numbers
    if not isinstance(known, jax.core.Tracer):
        return _entry(known.sharding.spec) if isinstance(getattr(known, "sharding", None), NamedSharding) else ()
    if axes := _entry(aval.sharding.spec):
        return axes
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    axes = tuple(name for name, kind in kinds if kind is AxisType.Auto and mesh.shape[name] > 1)
    while aval.shape[0] % math.prod(mesh.shape[name] for name in axes):
        axes = axes[:-1]
    return axes


def _entry(spec: Any) -> Axes:
    first = spec[0] if len(spec) else None
    return () if first is None else (first,) if isinstance(first, str) else tuple(first)


@dataclass(frozen=True, repr=False)
class Rows:
    """A function of rows that need nothing of one another, each computed where it lies.

    Attributes:
        function: What computes them: its arguments are arrays of rows, as many as the layout knows, and others.
        layout: How the rows lie.
    """

    function: Compiled
    layout: Layout

    def __call__(self, *arrays: Any) -> Array:
        """Arrays of rows, then others, to rows."""
        return _compiled(self, *arrays)

    def trace(self, *arrays: Any) -> Array:
        axes = next(filter(None, self.layout.axes), ())
        inside = [axes if k < len(self.layout.axes) else () for k in range(len(arrays))]
        found: Array = self.layout.over(self.function._trace, inside, (axes,), *arrays)
        return found


@dataclass(frozen=True, repr=False)
class Gram:
    """The matrix of points over devices: each computes the rows of its own.

    Attributes:
        kernel: Whose matrix: it represents points by arrays of rows, and compares such.
        layout: How the points x and y lie.
    """

    kernel: Any
    layout: Layout

    def __call__(self, x: Any, y: Any, weights: Any, *more: Any) -> Array:
        """(N, d), (M, d) and (W,) -> (N, M); without `y`, (N, N)."""
        return _compiled(self, x, y, weights, *more)

    def trace(self, x: Array, y: Array | None, weights: Array, *more: Any) -> Array:
        rows, columns = self.layout.axes
        both = not set(rows) & set(columns)  # then a device has rows and columns of its own
        dtype = jnp.result_type(x, weights, x if y is None else y)

        def run(x: Array, y: Array | None, weights: Array, *more: Any) -> Array:
            weights = varying(weights, x, y)  # so that the parts of a gradient are summed once
            left = self.kernel._represented(x, weights, dtype)
            if y is not None:
                right = self.kernel._represented(y, weights, dtype)
                right = right if both else gathered(right, columns)
                return self.kernel._compared(left, right, weights, *more)
            if not rows:
                return self.kernel._compared(left, None, weights, *more)
            block = lambda left, right: self.kernel._block(left, right, weights, *more)  # noqa: E731
            return symmetric(left, self.layout, block)

        outside = (rows, columns if both else ())
        inside = (rows, columns, *((),) * (1 + len(more)))
        found: Array = self.layout.over(run, inside, outside, x, y, weights, *more)
        return found


@functools.partial(forgetful_jit, static_argnums=0)
def _compiled(function: Rows | Gram, *arrays: Array) -> Array:
    return function.trace(*arrays)


def gathered(rows: Any, axes: Axes) -> Any:
    """The rows of all devices along some axes, on each of them."""
    return jax.tree.map(lambda part: lax.all_gather(part, axes, tiled=True), rows) if axes else rows


def measured(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function that asks a backend, of points on Explicit axes, too: it is given their numbers, if they are there."""

    def run(*arrays: Any) -> Array:
        return on_meshes(function, lambda *given: ())(*map(_fetched, arrays))

    return run


def _fetched(array: Any) -> Any:
    if not isinstance(array, jax.Array) or isinstance(array, jax.core.Tracer):
        return array
    if AxisType.Explicit not in jax.typeof(array).sharding.mesh.axis_types:
        return array
    if not array.is_fully_addressable:
        raise ValueError(
            f"Points for a backend must be on devices of this process, but an array of shape {array.shape} spans "
            "several. Pass each process its own, or gather them by jax.experimental.multihost_utils.process_allgather."
        )
    return jnp.asarray(np.asarray(array))


def varying(array: Array, *others: Array | None) -> Array:
    """An array that may differ between devices where others may, as what a loop carries must: sums of nothing do."""
    nothing = [jnp.sum(other[:0]) for other in others if other is not None]
    for zero in nothing:
        array = array + lax.stop_gradient(zero).astype(array.dtype)
    return array


def symmetric(rows: Any, layout: Layout, block: Callable[[Any, Any], Array]) -> Array:
    """Rows of a symmetric matrix, of which every entry is computed on one device alone: (n, devices * n).

    Args:
        rows: What represents the points of this device: arrays (n, ...).
        layout: How those of all devices lie.
        block: The matrix (n, m) of rows (n, ...) and (m, ...), or the symmetric one (n, n) of rows and None. Its
            arguments are in the order of the points.
    """
    axes = layout.axes[0]
    devices = layout.size(axes)
    own, n = lax.axis_index(axes), len(jax.tree.leaves(rows)[0])
    everything = gathered(rows, axes)

    def of(device: Array) -> Any:
        return jax.tree.map(lambda all_rows: lax.dynamic_slice_in_dim(all_rows, device * n, n), everything)

    def place(gram: Array, new: Array, device: Array) -> Array:
        return lax.dynamic_update_slice_in_dim(gram, new, device * n, axis=1)

    def add(gram: Array, step: Array) -> tuple[Array, None]:
        other = (own + step) % devices
        first = own < other
        new = block(_chosen(first, rows, of(other)), _chosen(first, of(other), rows))
        return place(gram, jnp.where(first, new, new.T), other), None

    diagonal = block(rows, None)
    diagonal = (diagonal + diagonal.T) / 2  # as it is, if products were summed in one order
    zero = varying(jnp.zeros((), diagonal.dtype), diagonal)
    gram = place(jnp.broadcast_to(zero, (n, devices * n)), diagonal, own)
    steps = (devices - 1) // 2
    if steps:
        gram, _ = lax.scan(add, gram, jnp.arange(1, steps + 1))
    for step in range(1, steps + 1):
        sent = lax.dynamic_slice_in_dim(gram, (own + step) % devices * n, n, axis=1).T
        gram = place(gram, layout.passed_on(sent, step), (own - step) % devices)
    if devices % 2 == 0:
        other = (own + devices // 2) % devices
        gram = place(gram, _shared_block(rows, of(other), own < other, layout, block), other)
    return gram


def _shared_block(rows: Any, others: Any, first: Array, layout: Layout, block: Callable[[Any, Any], Array]) -> Array:
    """The block of two devices, each of which computes half of it: the first of the pair has the upper rows."""
    left, right = _chosen(first, rows, others), _chosen(first, others, rows)
    n = len(jax.tree.leaves(rows)[0])
    half = -(-n // 2)  # of an odd number of rows, both compute the one in the middle
    start = jnp.where(first, 0, n - half)
    new = block(jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, half), left), right)
    swapped = layout.passed_on(new, layout.size(layout.axes[0]) // 2)
    upper, lower = jnp.where(first, new, swapped), jnp.where(first, swapped, new)
    whole = jnp.concatenate([upper, lower[2 * half - n :]])
    return jnp.where(first, whole, whole.T)


def _chosen(first: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), yes, no)
