"""What is read of a state over devices: expectation values, probabilities, outcomes, amplitudes, an overlap.

Each device weighs what it has. For an X on a bit of the devices' numbers that bit is exchanged for one within them;
what flips bits inside and outside however they are laid, is weighed with the state of another device.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.basis import parity
from qmljax._circuit.observables import Observable
from qmljax._engine import operations
from qmljax._engine.expectations import FEW, Parts, collected, grouped, xor_tables
from qmljax._engine.gf2 import span
from qmljax._engine.outcomes import marginal, sample_index
from qmljax._engine.pauli_sums import PauliSums, pauli_sums, products
from qmljax._engine.shards.layout import signed_tables
from qmljax._engine.shards.run import Shard, change_basis
from qmljax._engine.shards.sending import sent
from qmljax._engine.shards.steps import Move, Planner
from qmljax._engine.state import real_product, square, to_complex, weigh


def expectations(observables: tuple[Observable, ...], shard: Shard) -> Array:
    """(number of observables, *batch), on each device."""
    sums, count = pauli_sums(observables), len(observables)
    if sums is not None and len(np.unique(sums.x)) > FEW:
        return shard.total(_strings(sums, shard, count))
    owners: list[int] = []
    values: list[Array] = []
    for change, by_mask in grouped(observables):
        rotated = shard if change is None else change_basis(change, shard)
        for flips, view, other in _flipped(list(by_mask), rotated):
            for x in flips:
                inside = view.layout.masks(x)[0]
                turned = other
                if inside:
                    turned = operations.run("permute", other, xor_tables(inside, view.layout.m) * 2)
                for part, product in zip(by_mask[x], _products(turned, view.state), strict=True):
                    if part and product is not None:
                        owners += part
                        values.append(_weighed(product, part, view))
    return shard.total(collected(owners, values, count, shard.state))


def _products(left: Array, right: Array) -> tuple[Array, Array | None]:
    """The real and the imaginary part of conj(left) right."""
    crossed = left[0] * right[1] - left[1] * right[0] if len(right) == 2 else None
    return real_product(left, right), crossed


def _weighed(weight: Array, part: Parts, view: Shard) -> Array:
    device = lax.axis_index(view.axes)
    tables = []
    for held in signed_tables(list(part.values()), view.layout):
        values = held.values.astype(weight.dtype)
        tables.append(lax.dynamic_index_in_dim(values, device, keepdims=False) if held.each else jnp.asarray(values))
    return weigh(weight, *tables)


def _flipped(masks: Sequence[int], shard: Shard) -> list[tuple[list[int], Shard, Array]]:
    """For the masks of flips that some share: the state, and what it is to be multiplied with, but for flips inside."""

    def outside(x: int, view: Shard) -> int:
        return view.layout.masks(x)[1]

    found = [([x for x in masks if not outside(x, shard)], shard, shard.state)]
    left = [x for x in masks if outside(x, shard)]
    if left:
        places, planner = shard.layout.places, Planner(shard.layout)
        flipped = [q for q in range(len(places)) if places[q] >= shard.layout.m and any(x >> q & 1 for x in left)]
        planner.bring(sorted(flipped, key=places.__getitem__))
        if any(not planner.layout.masks(x)[1] for x in left):
            other = shard.after(planner)
            found.append(([x for x in left if not outside(x, other)], other, other.state))
            left = [x for x in left if outside(x, other)]
    numbers = shard.layout.numbers
    device = {number: d for d, number in enumerate(numbers)}
    for change in sorted({outside(x, shard) for x in left}):
        pairs = tuple((d, device[number ^ change]) for d, number in enumerate(numbers))
        same = [x for x in left if outside(x, shard) == change]
        found.append((same, shard, sent(shard.state, Move(pairs), shard.axes)))
    return [group for group in found if group[0]]


def _strings(sums: PauliSums, shard: Shard, count: int) -> Array:
    """What a device adds to long sums of Pauli strings: (count, *batch)."""
    x, z, coefficients = (np.asarray(a) for a in (sums.x, sums.z, sums.coefficients))
    imaginary, owner = np.asarray(sums.imaginary), np.asarray(sums.owner)
    distinct, which = np.unique(x, return_inverse=True)
    total = jnp.zeros((count, *shard.state.shape[2:]), shard.state.dtype)
    for flips, view, other in _flipped(distinct.tolist(), shard):
        chosen = np.flatnonzero(np.isin(distinct, flips)[which])
        layout = view.layout
        flip = np.array([layout.masks(int(v))[0] for v in x[chosen]], np.int32)
        masks = np.array([layout.masks(int(v)) for v in z[chosen].reshape(-1)]).reshape(*z[chosen].shape, 2)
        sign = np.stack([1.0 - 2.0 * parity(int(v), masks[..., 1]) for v in layout.numbers])
        weights = jnp.asarray((sign * coefficients[chosen][None]).astype(shard.state.dtype))
        weights = lax.dynamic_index_in_dim(weights, lax.axis_index(view.axes), keepdims=False)
        each = _symmetric(other, view.state, flip, masks[..., 0].astype(np.int32), weights, imaginary[chosen])
        total = total + jax.ops.segment_sum(each, owner[chosen], count)
    return total


@jax.custom_jvp
def _symmetric(left: Array, right: Array, x: Array, z: Array, coefficients: Array, imaginary: Array) -> Array:
    """`pauli_sums.products` of a state with itself, `left` being what other devices have of it."""
    return products(left, right, x, z, coefficients, imaginary)


@_symmetric.defjvp
def _symmetric_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    """Over all devices an entry is symmetric: only one of the states is varied, and not the one that is gathered."""
    left, right, *sums = primals
    return _symmetric(left, right, *sums), 2 * products(left, tangents[1], *sums)


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
