"""Runs of a program that measures and goes on, many at a time: each has a state of its own."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.collapses import Collapses, Factor
from qmljax._engine.outcomes import sample_index
from qmljax._engine.plan import plan
from qmljax._engine.run import run_on
from qmljax._engine.state import square

COPIES = 6  # of the states, which a stretch takes


def outcomes(collapses: Collapses, params: Array, key: Array, shots: int, memory: int) -> Array:
    """Parameters (P,) to int32 outcomes (shots,); -1 where there is no distribution. As many runs at once as fit."""
    if not collapses.stretches:
        return jnp.zeros(shots, np.int32)
    size = min(shots, max(1, memory // (COPIES * (2 * params.dtype.itemsize << collapses.num_qubits))))
    count = -(-shots // size)
    found = lax.map(lambda k: _runs(collapses, params, k, size), jax.random.split(key, count))
    return found.reshape(-1)[:shots]


def _runs(collapses: Collapses, params: Array, key: Array, runs: int) -> Array:
    state = jnp.zeros((2, 1 << collapses.num_qubits, runs), params.dtype).at[0, 0].set(1)
    bits = jnp.zeros((collapses.num_bits, runs), np.int32)
    fine = jnp.ones(runs, bool)
    for stretch, own in zip(collapses.stretches, jax.random.split(key, len(collapses.stretches)), strict=True):
        factors = [_factor(factor, bits).astype(params.dtype) for factor in stretch.factors]
        every = [jnp.broadcast_to(params[:, None], (len(params), runs)), *(f[None] for f in factors)]
        state = run_on(plan(stretch.program), jnp.concatenate(every), state)
        drawn = sample_index(square(state).T, own, 1)[:, 0]
        fine &= drawn >= 0
        for qubit, bit in stretch.measured:
            value = drawn >> qubit & 1
            bits = bits.at[bit].set(value)
            state = _projected(state, qubit, value == 1)
        norm = square(state).sum(axis=0)
        state = state / jnp.sqrt(jnp.where(norm > 0, norm, jnp.ones_like(norm)))[None, None]
    total = jnp.zeros(runs, np.int32)
    for k, known in enumerate(collapses.outcome):
        if known is not None:
            total |= bits[known] << k
    return jnp.where(fine, total, jnp.full_like(total, -1))


def _factor(factor: Factor, bits: Array) -> Array:
    """(bits, runs) -> (runs,)."""
    met = jnp.ones(bits.shape[1], bool)
    for bit, value in factor.met:
        met &= bits[bit] == int(value)
    sign = jnp.ones(bits.shape[1], np.int32)
    for bit in factor.odd:
        sign = sign * (1 - 2 * bits[bit])
    return jnp.where(met, sign, jnp.zeros_like(sign))


def _projected(state: Array, qubit: int, ones: Array) -> Array:
    """The part of a state where a qubit has a value (runs,), with that qubit in |0>."""
    split = state.reshape(2, -1, 2, 1 << qubit, state.shape[-1])
    half = jnp.where(ones[None, None, None], split[:, :, 1], split[:, :, 0])
    return jnp.stack([half, jnp.zeros_like(half)], axis=2).reshape(state.shape)
