"""Where the data of a training lie: on one device, on those of a mesh, or on several processes.

Samples that are spread over devices stay where they are. A mini-batch takes as many of each device, in an order of its
own, so that no sample is sent; what is summed over devices is the gradient alone.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qmljax._meshes import mesh_of


@dataclass(frozen=True)
class Places:
    """How samples lie.

    Attributes:
        mesh: That of the arrays, or None if they lie on one device.
        axes: The axes of the mesh that the samples are spread over.
        specs: How each array of the data lies.
        members: The axes of the mesh that the members of an ensemble with data or batches of their own are spread over.
        spans: Whether some arrays lie on several processes, which then have to agree on what is done next.
    """

    mesh: Mesh | None = None
    axes: tuple[str, ...] = ()
    specs: tuple[PartitionSpec, ...] = ()
    spans: bool = False
    members: tuple[str, ...] = ()

    @property
    def shares(self) -> int:
        """The number of shares that the samples lie in."""
        return math.prod(self.mesh.shape[name] for name in self.axes) if self.mesh else 1

    def agree(self, value: Any) -> Any:
        """A number as the first process has it."""
        return multihost_utils.broadcast_one_to_all(np.asarray(value)) if self.spans else value

    def everywhere(self, tree: Any) -> Any:
        """Arrays that lie on one device, or are numbers of every process, on all devices of the mesh."""
        if self.mesh is None:
            return tree
        where = NamedSharding(self.mesh, PartitionSpec(self.members) if self.members else PartitionSpec())

        def place(x: Any) -> Any:
            there = mesh_of(x) is not None and (not self.members or _axes(x, 0) == self.members)
            return x if there else jax.device_put(x, where)

        return jax.tree.map(place, tree)

    def losses(self, zeros: np.ndarray, weights: Any) -> Any:
        """Room for losses, (steps,), or (steps, R) where they will lie as the members do."""
        if self.mesh is None or zeros.ndim == 1:
            return zeros
        axes = _axes(jax.tree.leaves(weights)[0], 0)
        return jax.device_put(zeros, NamedSharding(self.mesh, PartitionSpec(None, axes or None)))

    def order(self, keys: Array, samples: int) -> Array:
        """A random order of the samples, (samples,); of each share one of its own, (shares, samples / shares).

        Of several keys (R,) one for each, (R, ...).
        """
        return self._drawn(keys, lambda key: jax.random.permutation(key, samples // self.shares))

    def draws(self, keys: Array, samples: int, size: int) -> Array:
        """So many samples, drawn with replacement, as `order` gives all of them; of each share as many."""
        shares = self.shares
        return self._drawn(keys, lambda key: jax.random.randint(key, (size // shares,), 0, samples // shares))

    def _drawn(self, keys: Array, draw: Callable[[Array], Array]) -> Array:
        """What `draw` gives for a key, or for each of several, in each share by a key of its own."""
        each: Callable[[Callable], Callable] = jax.vmap if keys.ndim else lambda function: function
        if not self._parted(bool(keys.ndim)):
            return each(draw)(keys)

        def own(keys: Array) -> Array:
            if self.axes:
                keys = each(lambda key: jax.random.fold_in(key, jax.lax.axis_index(self.axes)))(keys)
            return each(draw)(keys)[..., None, :]

        spread = (self.members or None,) * keys.ndim
        return self._each(own, (PartitionSpec(*spread),), PartitionSpec(*spread, self.axes or None))(keys)

    def take(
        self, data: Sequence[Array], order: Array, place: Array | int, size: int, axis: int, own: bool = False
    ) -> tuple[Array, ...]:
        """The mini-batch of `size` samples at a place in the order of `order`; if this is `own`, one for each member.

        Of data that all members see, there are as many arrays (R, size, ...) then.
        """

        def rows(order: Array, place: Array | int, *data: Array) -> tuple[Array, ...]:
            share = size // self.shares
            chosen = jax.lax.dynamic_slice_in_dim(order, place * share, share, -1)
            if own:
                return tuple(jax.vmap(lambda d, c: d[c], (0 if axis else None, 0))(d, chosen) for d in data)
            return tuple(d[:, chosen] if axis else d[chosen] for d in data)

        if not self._parted(own):
            return rows(order, place, *data)
        of_share = lambda order, *rest: rows(order[..., 0, :], *rest)  # noqa: E731
        spread = (self.members or None,) if own else ()
        orders = PartitionSpec(*spread, self.axes or None)
        result = tuple(PartitionSpec(*spread, *spec) for spec in self.specs) if own and not axis else self.specs
        return self._each(of_share, (orders, PartitionSpec(), *self.specs), result)(order, place, *data)

    def _parted(self, own: bool) -> bool:
        """Whether devices have shares of their own of what is taken."""
        return self.mesh is not None and bool(self.axes or (own and self.members))

    def _each(self, function: Callable, in_specs: Any, out_specs: Any) -> Callable:
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs)

    def batch(self, array: Array, size: int, axis: int, members: tuple[int, ...] = ()) -> Any:
        """What a mini-batch of an array is: an array, or its shape and how it lies.

        Members (R,) are those that each have one of their own, of samples that all see.
        """
        mesh = self.mesh if mesh_of(array) is not None else None
        if mesh is None and not members:
            return array[:, :size] if axis else array[:size]
        shape = (*members, *array.shape[:axis], size, *array.shape[axis + 1 :])
        if mesh is None:
            return jax.ShapeDtypeStruct(shape, array.dtype)
        spec = PartitionSpec(*[self.members or None for _ in members], *array.sharding.spec)  # type: ignore[attr-defined]
        return jax.ShapeDtypeStruct(shape, array.dtype, sharding=NamedSharding(mesh, spec))


def arranged(
    weights: Any,
    data: tuple[Array, ...],
    validation: tuple[Array, ...] | None,
    batch_size: int | None,
    axis: int,
    own: bool = False,
) -> tuple[Places, Any, tuple[Array, ...], tuple[Array, ...] | None]:
    """Where a training takes place, and its weights and data, all on one mesh if some are.

    Args:
        weights: A pytree of arrays. Those of one device are put on all.
        data: Arrays. Those that are spread say how the samples of the others are.
        validation: Such arrays, or None; they may be spread otherwise.
        batch_size: Of mini-batches, which take as many samples of each share, or None.
        axis: That of the samples.
        own: Whether each member has its own batches, of samples that all see.
    """
    places, data = _placed(data, axis, weights)
    if own and not axis and places.mesh is not None:  # batches lie as the members do
        spread = _axes(jax.tree.leaves(weights)[0], 0)
        places = dataclasses.replace(places, members=() if {*spread} & {*places.axes} else spread)
    _check_shares(batch_size, places.shares)
    weights = places.everywhere(weights)
    return places, weights, data, None if validation is None else _placed(validation, axis, weights)[1]


def _placed(data: tuple[Array, ...], axis: int, weights: Any) -> tuple[Places, tuple[Array, ...]]:
    """Where data lie whose samples are along an axis, and the data there."""
    leaves = [*data, *jax.tree.leaves(weights)]
    mesh = next((mesh_of(x) for x in leaves if mesh_of(x)), None)
    if mesh is None:
        return Places(), data
    axes = next((own for d in data if (own := _axes(d, axis))), ())
    members = next((own for d in data if (own := _axes(d, 0))), ()) if axis else ()
    first = [(members or None), (axes or None)] if axis else [axes or None]
    spread = NamedSharding(mesh, PartitionSpec(*first))
    same = [bool(mesh_of(d)) and (_axes(d, axis), _axes(d, 0)) == (axes, members or axes) for d in data]
    data = tuple(d if so else jax.device_put(d, spread) for d, so in zip(data, same, strict=True))
    specs = tuple(d.sharding.spec for d in data)  # type: ignore[attr-defined]  # they lie on a mesh
    return Places(mesh, axes, specs, any(not x.is_fully_addressable for x in leaves), members), data


def _axes(array: Array, axis: int) -> tuple[str, ...]:
    """The axes of a mesh that one axis of an array is spread over."""
    if mesh_of(array) is None or len(array.sharding.spec) <= axis:  # type: ignore[attr-defined]
        return ()
    axes = array.sharding.spec[axis]  # type: ignore[attr-defined]
    return () if axes is None else axes if isinstance(axes, tuple) else (axes,)


def _check_shares(batch_size: int | None, shares: int) -> None:
    """Whether a mini-batch takes as many samples of each device."""
    if batch_size is not None and batch_size % shares:
        less = batch_size - batch_size % shares
        raise ValueError(
            f"`batch_size` must be a multiple of {shares}, the number of shares that the samples lie in on the devices,"
            f" of which each batch takes as many, but is {batch_size}. Give {f'{less} or ' if less else ''}"
            f"{less + shares}, or data on one device."
        )
