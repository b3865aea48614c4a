"""What is read of a state over devices: expectation values, probabilities, outcomes, amplitudes, an overlap.

Each device weighs what it has. For an X on a bit of the devices' numbers that bit is exchanged for one within them;
what flips bits inside and outside however they are laid, is weighed with the state of another device.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.basis import parity
from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program
from qmljax._engine import operations
from qmljax._engine.expectations import Parts, collected, grouped, xor_tables
from qmljax._engine.gf2 import span
from qmljax._engine.outcomes import marginal, sample_index
from qmljax._engine.pauli_sums import PauliSums, pauli_sums
from qmljax._engine.shards.layout import Layout, signed_tables
from qmljax._engine.shards.run import Shard, change_basis, moved
from qmljax._engine.shards.segments import once_there
from qmljax._engine.shards.sending import sent
from qmljax._engine.shards.steps import Move, Planner, Step
from qmljax._engine.state import square, to_complex, weigh


def expectations(observables: tuple[Observable, ...], shard: Shard) -> Array:
    """(number of observables, *batch), on each device."""
    sums, count, axes = pauli_sums(observables), len(observables), shard.axes
    parts = []
    for change, by_mask in grouped(observables):
        flips = [x for x in by_mask if x]
        if sums is not None and len(flips) > FEW:
            parts += _strings(sums, flips, shard.layout, axes, count)
            by_mask = {x: terms for x, terms in by_mask.items() if not x}
        parts.append(_rotated(change, by_mask, shard.layout, axes, count))
    # Without the barrier XLA computes the last layer anew for each part that reads the state.
    return shard.total(_form(lax.optimization_barrier(shard.state), tuple(parts), count))


FEW = 2  # so many masks of flips are each a piece of the program; of more, which are data of a loop, one is in memory
CHUNK = 1 << 12  # elements that a round of that loop works on, as few as make it worth its while
Part = Callable[[Array, Array], Array]  # Re <left| observables |right>, what a device adds to it: (count, *batch)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _form(state: Array, parts: tuple[Part, ...], count: int) -> Array:
    """What a device adds to the values of observables in a state: (count, *batch)."""
    return _chained(parts, state, state, count)


@_form.defjvp
def _form_jvp(parts: tuple[Part, ...], count: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Over all devices the form is symmetric: only one of the states is varied, and not the one that is gathered."""
    (state,), (tangent,) = primals, tangents
    return _form(state, parts, count), 2 * _chained(parts, state, tangent, count)


def _chained(parts: Sequence[Part], left: Array, right: Array, count: int) -> Array:
    """The sum of some parts, whose transpose is a sum of states: by one after the other, into one state.

    Else XLA begins them all, and keeps a state for each. It is told of the order by what is not to be kept: with
    `jax.checkpoint` the transpose of a part waits for the sum of those before.
    """
    total = jnp.zeros((count, *right.shape[2:]), right.dtype)
    for part in parts:
        if left is right:
            total = total + part(left, right)
            continue
        right, values = jax.checkpoint(partial(_beside, part))(left, right)
        total = total + values
    return total


def _beside(part: Part, left: Array, right: Array) -> tuple[Array, Array]:
    return right, part(left, right)


def _rotated(
    change: Program | None, by_mask: dict[int, tuple[Parts, Parts]], layout: Layout, axes: tuple[str, ...], count: int
) -> Part:
    """Terms that need one change of basis."""

    def part(left: Array, right: Array) -> Array:
        there = layout
        if change is not None:
            shards = [
                change_basis(change, Shard(x, layout, axes)) for x in ((left,) if left is right else (left, right))
            ]
            left, right, there = shards[0].state, shards[-1].state, shards[0].layout
        parts = [
            _viewed(view, axes, [partial(_flip, view, axes, x, by_mask[x], count) for x in view.masks], count)
            for view in _views(list(by_mask), there)
        ]
        return _chained(parts, left, right, count)

    return part


def _viewed(view: "_View", axes: tuple[str, ...], parts: Sequence[Part], count: int) -> Part:
    """Parts that need one exchange of bits."""

    def part(left: Array, right: Array) -> Array:
        if view.steps:
            states = [moved(x, view.steps, axes) for x in ((left,) if left is right else (left, right))]
            left, right = states[0], states[-1]
        left = left if view.move is None else sent(left, view.move, axes)
        return _chained(parts, left, right, count)

    return part


def _flip(
    view: "_View", axes: tuple[str, ...], x: int, by_mask: tuple[Parts, Parts], count: int, left: Array, right: Array
) -> Array:
    """Terms that flip the same bits."""
    if inside := view.layout.masks(x)[0]:
        left = operations.run("permute", left, xor_tables(inside, view.layout.m) * 2)
    owners: list[int] = []
    values: list[Array] = []
    for weights, product in zip(by_mask, _products(left, right), strict=True):
        if weights and product is not None:
            owners += weights
            values.append(_weighed(product, weights, left, view.layout, axes))
    return collected(owners, values, count, right)


def _products(left: Array, right: Array) -> tuple[Array, Array | None]:
    """The real and the imaginary part of conj(left) right, so that a cotangent of `right` is not put together of parts.

    Those of which it is a sum would be padded with zeros first, and each padded part is as large as a state.
    """
    if len(left) == 1:
        return left[0] * right[0], None
    turned = jnp.stack([-left[1], left[0]])
    return jnp.sum(left * right, axis=0), jnp.sum(turned * right, axis=0)


def _weighed(weight: Array, part: Parts, state: Array, layout: Layout, axes: tuple[str, ...]) -> Array:
    device = lax.axis_index(axes)
    tables: list[Array] = []
    for held in signed_tables(list(part.values()), layout):
        values = held.values.astype(weight.dtype)
        own = lax.dynamic_index_in_dim(values, device, keepdims=False) if held.each else jnp.asarray(values)
        tables.append(own if tables else once_there(own, state))
    return weigh(weight, *tables)


class _View(NamedTuple):
    """How a device sees a state, for the masks of flips that it can weigh so.

    Attributes:
        masks: Which.
        layout: Where bits are then.
        steps: What is done to the state before.
        move: What is sent of the state that is flipped, if anything: flips inside are still to be done.
    """

    masks: list[int]
    layout: Layout
    steps: Sequence[Step] = ()
    move: Move | None = None


def _views(masks: Sequence[int], layout: Layout) -> list[_View]:
    """For all masks of flips how they are seen."""

    def outside(x: int, there: Layout) -> int:
        return there.masks(x)[1]

    found = [_View([x for x in masks if not outside(x, layout)], layout)]
    left = [x for x in masks if outside(x, layout)]
    if left:
        places, planner = layout.places, Planner(layout)
        flipped = [q for q in range(len(places)) if places[q] >= layout.m and any(x >> q & 1 for x in left)]
        planner.bring(sorted(flipped, key=places.__getitem__))
        other = planner.layout
        if seen := [x for x in left if not outside(x, other)]:
            found.append(_View(seen, other, planner.take()))
            left = [x for x in left if outside(x, other)]
    device = {number: d for d, number in enumerate(layout.numbers)}
    for change in sorted({outside(x, layout) for x in left}):
        pairs = tuple((d, device[number ^ change]) for d, number in enumerate(layout.numbers))
        found.append(_View([x for x in left if outside(x, layout) == change], layout, (), Move(pairs)))
    return [view for view in found if view.masks]


def _strings(sums: PauliSums, flips: Sequence[int], layout: Layout, axes: tuple[str, ...], count: int) -> list[Part]:
    """Pauli strings that flip one of those masks of bits, as data of a loop."""
    x, z, coefficients = (np.asarray(a) for a in (sums.x, sums.z, sums.coefficients))
    imaginary, owner = np.asarray(sums.imaginary), np.asarray(sums.owner)

    def strings(view: _View, left: Array, right: Array) -> Array:
        chosen = np.flatnonzero(np.isin(x, view.masks))
        flip = np.array([view.layout.masks(int(v))[0] for v in x[chosen]], np.int32)
        masks = np.array([view.layout.masks(int(v)) for v in z[chosen].reshape(-1)]).reshape(*z[chosen].shape, 2)
        sign = np.stack([1.0 - 2.0 * parity(int(v), masks[..., 1]) for v in view.layout.numbers])
        weights = jnp.asarray((sign * coefficients[chosen][None]).astype(right.dtype))
        weights = lax.dynamic_index_in_dim(weights, lax.axis_index(axes), keepdims=False)
        rows = flip, masks[..., 0].astype(np.int32), weights, imaginary[chosen]
        return jax.ops.segment_sum(_entries(left, right, rows), owner[chosen], count)

    return [_viewed(view, axes, [partial(strings, view)], count) for view in _views(flips, layout)]


def _entries(left: Array, right: Array, rows: tuple[Any, ...]) -> Array:
    """As `pauli_sums.products`, (E, *batch), with a transpose that adds to one state, as `_chained` says."""
    count = len(rows[0])
    size = min(count, max(1, CHUNK // max(1, right[0].size)))
    more = -count % size if size > 1 else max(0, 2 - count)  # one round would be no loop, and XLA begin it too early
    padded = [jnp.pad(jnp.asarray(a), [(0, more), *[(0, 0)] * (a.ndim - 1)]) for a in rows]

    def some(right: Array, given: tuple[Array, ...]) -> tuple[Array, Array]:
        values = jax.vmap(partial(_entry, left, right))(*given)
        return lax.optimization_barrier(right), values  # what is carried unchanged would be taken out of the loop

    rounds = tuple(a.reshape(-1, size, *a.shape[1:]) for a in padded)
    right, out = lax.scan(jax.checkpoint(some), right, rounds)
    # The sum of the transpose would begin with zeros, made too early: it begins with these, once the state is there.
    zero = jnp.sum(once_there(jnp.zeros((), right.dtype), left) * right, axis=(0, 1))
    return out.reshape(-1, *out.shape[2:])[:count] + zero[None]


def _entry(left: Array, right: Array, x: Array, z: Array, coefficients: Array, imaginary: Array) -> Array:
    """Re <left| strings |right> of those that flip the same bits, z and coefficients (K,): (*batch,)."""
    basis = lax.iota(np.int32, right.shape[1])
    weights = jnp.zeros(basis.shape, right.dtype)
    for own, mask in zip(once_there(coefficients, left), z, strict=True):  # an axis of strings would be in memory
        odd = lax.population_count(mask & basis) & 1
        weights = weights + own * (1 - 2 * odd).astype(right.dtype)
    other = [part.at[x ^ basis].get(mode="promise_in_bounds") for part in left]
    if len(left) == 2:  # turned by i, or as it is
        cos, sin = (x.astype(right.dtype) for x in (~imaginary, imaginary))
        other = [cos * other[0] - sin * other[1], cos * other[1] + sin * other[0]]
    return jnp.sum(weights.reshape(1, -1, *(1,) * (right.ndim - 2)) * jnp.stack(other) * right, axis=(0, 1))


# Probabilities and outcomes.


def outcomes_inside(shard: Shard, qubits: Sequence[int]) -> tuple[Array, np.ndarray, Array]:
    """What a device knows of the outcomes of some qubits.

    Returns:
        Probabilities (2**k, *batch) of the values of those of them that are within devices; the outcome of each,
        (2**k,); and what the device's number adds to it.
    """
    layout = shard.layout
    distinct = sorted({q for q in qubits if layout.places[q] < layout.m}, key=layout.places.__getitem__)
    p = marginal(square(shard.state), [layout.places[q] for q in distinct])
    bits = {q: sum(1 << j for j, each in enumerate(qubits) if each == q) for q in qubits}
    inside = span([bits[q] for q in distinct])
    numbered = np.argsort(layout.places)[layout.m :]
    outside = span([bits.get(int(q), 0) for q in numbered])[list(layout.numbers)]
    return p, inside, jnp.asarray(outside.astype(np.int32))[lax.axis_index(shard.axes)]


def interpreted(shard: Shard, qubits: Sequence[int], index: np.ndarray | None, count: int) -> Array:
    """Probabilities (count, *batch) of what outcomes are interpreted as, on each device: of themselves by default."""
    p, inside, outside = outcomes_inside(shard, qubits)
    places = jnp.asarray(inside.astype(np.int32)) ^ outside
    if index is not None:
        places = jnp.asarray(index.astype(np.int32))[places]
    return shard.total(jnp.zeros((count, *p.shape[1:]), p.dtype).at[places].add(p, mode="promise_in_bounds"))


def probabilities(shard: Shard, qubits: Sequence[int]) -> Array:
    """The part of the probabilities of outcomes that is the device's own, (2**len(qubits) / devices, *batch)."""
    layout, n = shard.layout, len(shard.layout.places)
    rest = [q for q in range(n) if q not in qubits]
    order = [*rest, *qubits]  # the lowest are summed over
    planner = Planner(layout)
    planner.restore([order.index(q) for q in range(n)])
    p = shard._replace(state=square(shard.state)[None]).after(planner).state[0]
    return p.reshape(-1, 1 << len(rest), *p.shape[1:]).sum(axis=1)


def sample(shard: Shard, qubits: Sequence[int], key: Array, shots: int) -> Array:
    """int32 outcomes (*batch, shots), on each device: first which device an outcome is on, then which of its own."""
    p, inside, outside = outcomes_inside(shard, qubits)
    p = jnp.moveaxis(p, 0, -1)
    chosen, within = jax.random.split(key)
    device = lax.axis_index(shard.axes)
    totals = jnp.zeros((*p.shape[:-1], 1 << shard.layout.k), p.dtype).at[..., device].set(p.sum(axis=-1))
    drawn = sample_index(shard.total(totals), chosen, shots)
    own = jnp.asarray(inside.astype(np.int32))[jnp.maximum(sample_index(p, within, shots), 0)] ^ outside
    outcome = shard.total(jnp.where(drawn == device, own, jnp.zeros_like(own)))
    return jnp.where(drawn < 0, -jnp.ones_like(outcome), outcome)


def amplitudes(shard: Shard) -> Array:
    """The part of the amplitudes that is the device's own, complex, (2**m, *batch)."""
    planner = Planner(shard.layout)
    planner.restore(range(len(shard.layout.places)))
    return to_complex(shard.after(planner).state)


def overlap(left: Shard, right: Shard) -> Array:
    """The square of that of two states, (*batch,), on each device."""
    planner = Planner(right.layout)
    planner.restore(left.layout.places, left.layout.numbers)
    right = right.after(planner)
    a, b = jnp.broadcast_arrays(to_complex(left.state), to_complex(right.state))
    inner = left.total(jnp.sum(a.conj() * b, axis=0))
    return inner.real**2 + inner.imag**2
