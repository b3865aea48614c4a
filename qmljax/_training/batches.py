"""Which samples a step takes: all, the next ones in the order of an epoch, some drawn for it, or those of a table."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from qmljax._training.places import Places

KINDS = ("epochs", "replacement")


@dataclass(frozen=True)
class Batches:
    """How a step chooses its samples.

    Attributes:
        places: How the samples lie.
        samples: Their number.
        axis: Theirs: 1 if each member of an ensemble has its own data, else 0.
        size: The number of samples in a batch, or None for all.
        kind: One of `KINDS`, or "table": the numbers of the samples of each step are given.
        own: Whether each member has batches of its own, by a key of its own, or a table.
    """

    places: Places
    samples: int
    axis: int
    size: int | None
    kind: str
    own: bool

    @property
    def own_rows(self) -> bool:
        """Whether what a step takes has an axis of members."""
        return bool(self.axis) or self.own

    def like(self, data: tuple[Array, ...], members: tuple[int, ...] = ()) -> tuple[Any, ...]:
        """Batches, or their shapes: one for all, or for members (R,) that each have one of their own."""
        if self.size is None:
            return data
        own = members if self.own and not self.axis else ()
        return tuple(self.places.batch(d, self.size, self.axis, own) for d in data)

    def start(self, key: Array, step: Array) -> Array | None:
        """The order that the batch of a step is taken from, if steps share one."""
        if self.size is None or self.kind != "epochs":
            return None
        return self._order(key, step // (self.samples // self.size))

    def take(
        self, data: tuple[Array, ...], key: Array, table: Array | None, order: Array | None, step: Any
    ) -> tuple[tuple[Array, ...], Array | None]:
        """The samples of a step, and the order for the next one."""
        if self.size is None:
            return data, None
        if self.kind == "epochs":
            epoch, place = jnp.divmod(step, self.samples // self.size)
            order = lax.cond(place == 0, lambda: self._order(key, epoch), lambda: order)
            return self.places.take(data, order, place, self.size, self.axis, self.own), order
        if table is not None:
            chosen = lax.dynamic_index_in_dim(table, step, -2, keepdims=False)  # (size,) or (R, size)
        else:
            chosen = self.places.draws(folded(key, step), self.samples, self.size)
        return self.places.take(data, chosen, 0, self.size, self.axis, self.own), None

    def _order(self, key: Array, epoch: Array) -> Array:
        return self.places.order(folded(key, epoch), self.samples)


def folded(key: Array, number: Any) -> Array:
    """A key, or each of several, with a number folded in."""
    return jax.vmap(jax.random.fold_in, (0, None))(key, number) if key.ndim else jax.random.fold_in(key, number)
