"""The state over devices that the layers act on: a basis state, a product of one-qubit states, or loaded amplitudes."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine.angles import Angles
from qmljax._engine.gf2 import span
from qmljax._engine.layers import Layers, Level
from qmljax._engine.start import amplitudes, first_rotations, product


def first(layers: Layers, angles: Angles, k: int, axes: tuple[str, ...]) -> tuple[Array, tuple[Level, ...]]:
    """What a device has of the state after the first level, if that is a product layer alone; and the levels left."""
    n, levels = layers.num_qubits, layers.levels
    m, device = n - k, lax.axis_index(axes)
    dtype = angles.values[0].dtype
    if layers.loads:
        return _loaded(layers, angles, m, device), levels
    if (rotations := first_rotations(levels)) is None:
        here = layers.start >> m == device
        basis = np.zeros((1, 1 << m), dtype)
        basis[0, layers.start & (1 << m) - 1] = 1.0
        state = jnp.where(here, basis, np.zeros_like(basis))
        return state.reshape(1, 1 << m, *(1,) * (angles.values[0].ndim - 1)), levels
    (a,) = angles([(rotations, True)])
    cos, sin = jnp.cos(a), jnp.sin(a)
    bits = [layers.start >> q & 1 for q in range(n)]
    factor = jnp.ones(a.shape[1:], dtype)
    for q in range(m, n):  # the bit of the device's number
        one = device >> q - m & 1
        zero, other = (-sin[q], cos[q]) if bits[q] else (cos[q], sin[q])
        factor = factor * jnp.where(one == 1, other, zero)
    # With one of the qubits, for a product with the state would keep that for its derivative.
    cos, sin = (jnp.concatenate([x[:1] * factor[None], x[1:m]]) for x in (cos, sin))
    state = product(cos, sin, bits[:m])
    rest = Level(dense=levels[0].dense)
    return state, (rest, *levels[1:]) if rest else levels[1:]


def _loaded(layers: Layers, angles: Angles, m: int, device: Array) -> Array:
    """As `start.loaded`, of the amplitudes of a device."""
    n = layers.num_qubits
    loaded = sum(1 << q for op in layers.loads for q in op.qubits)
    state = None
    for op, values in amplitudes(layers, angles):
        places = {q: 1 << j for j, q in enumerate(op.qubits)}
        index = span([places.get(q, 0) for q in range(m)]).astype(np.int32)
        own = span([places.get(q, 0) for q in range(m, n)]).astype(np.int32)
        part = values.at[index ^ jnp.asarray(own)[device]].get(mode="promise_in_bounds")
        state = part if state is None else state * part
    assert state is not None
    z = np.arange(1 << m) & ~loaded == 0
    elsewhere = (jnp.asarray(np.arange(1 << n - m) & ~loaded >> m == 0))[device]
    met = (z & elsewhere).reshape(-1, *(1,) * (state.ndim - 1))
    return jnp.where(met, state, jnp.zeros_like(state))[None]
