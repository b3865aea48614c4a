"""The state that the layers act on: a basis state, a product of one-qubit states, or loaded amplitudes."""

import math
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.program import Op
from qmljax._engine.angles import Angles
from qmljax._engine.layers import Combination, Layers, Level
from qmljax._engine.state import PRECISION


def first(layers: Layers, angles: Angles) -> tuple[Array, tuple[Level, ...]]:
    """The state after the first level, if that is a product layer alone, and the levels that are left."""
    n, levels = layers.num_qubits, layers.levels
    if layers.loads:
        return loaded(layers, angles), levels
    dtype = angles.values[0].dtype
    if (rotations := first_rotations(levels)) is None:
        basis = np.zeros((1, 1 << n), dtype)
        basis[0, layers.start] = 1.0
        return jnp.asarray(basis).reshape(1, 1 << n, *(1,) * (angles.values[0].ndim - 1)), levels
    (a,) = angles([(rotations, True)])
    state = product(jnp.cos(a), jnp.sin(a), [layers.start >> q & 1 for q in range(n)])
    rest = Level(dense=levels[0].dense)
    return state, (rest, *levels[1:]) if rest else levels[1:]


def first_rotations(levels: Sequence[Level]) -> tuple[Combination, ...] | None:
    """Those of the first level, if nothing comes before them."""
    return None if not levels or levels[0].phases or levels[0].diagonal is not None else levels[0].rotations


def product(cos: Array, sin: Array, bits: Sequence[int]) -> Array:
    """RY on all qubits of a basis state, by cosines and sines (n, *batch) of half their angles: (1, 2**n, *batch)."""
    n, dtype, batch = len(bits), cos.dtype, cos.shape[1:]
    halves = []
    for qubits in (range(n // 2), range(n // 2, n)):
        half = jnp.ones((1, *batch), dtype)
        for q in qubits:  # RY(2a)|0> = cos a |0> + sin a |1>, RY(2a)|1> = -sin a |0> + cos a |1>
            qubit = jnp.stack([-sin[q], cos[q]] if bits[q] else [cos[q], sin[q]])
            half = (qubit[:, None] * half[None]).reshape(2 * len(half), *batch)
        halves.append(half)
    low, high = lax.optimization_barrier(halves)
    if math.prod(batch) == 1:  # as a product of matrices: else XLA multiplies elements wherever they are used
        columns, rows = (jnp.stack([x.reshape(-1), jnp.zeros(len(x), dtype)]) for x in (high, low))
        state = lax.dot_general(columns, rows, (((0,), (0,)), ((), ())), precision=PRECISION)
    else:
        state = lax.optimization_barrier(high[:, None] * low[None])
    return state.reshape(1 << n, *batch)[None]


def amplitudes(layers: Layers, angles: Angles) -> Iterator[tuple[Op, Array]]:
    """The amplitudes of each load, (2**qubits, *batch), of norm 1. NaN where they are all zero: of no state."""
    requests = [([{int(e): float(scale)} for e, scale in op.array], False) for op in layers.loads]
    for op, values in zip(layers.loads, angles(requests), strict=True):
        scale = lax.stop_gradient(jnp.max(jnp.abs(values), axis=0, keepdims=True))  # against overflow
        values = values / scale
        values = values / jnp.sqrt(jnp.sum(values**2, axis=0, keepdims=True))
        yield op, jnp.pad(values, [(0, (1 << len(op.qubits)) - len(values)), *[(0, 0)] * (values.ndim - 1)])


def loaded(layers: Layers, angles: Angles) -> Array:
    """|0...0> with amplitudes loaded into some qubits: (1, 2**n, *batch). NaN where they are all zero: of no state."""
    z = np.arange(1 << layers.num_qubits)
    loaded = sum(1 << q for op in layers.loads for q in op.qubits)
    state = jnp.ones((), angles.values[0].dtype)
    for k, (op, values) in enumerate(amplitudes(layers, angles)):
        index = sum((z >> q & 1) << j for j, q in enumerate(op.qubits))
        state = state * values[index] if k else values[index]
    return jnp.where((z & ~loaded == 0).reshape(-1, *(1,) * (state.ndim - 1)), state, 0)[None]
