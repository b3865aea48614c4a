"""Runs the levels of a program: parameters -> state."""

import dataclasses
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.program import Program
from qmljax._engine.adjoint import evolve
from qmljax._engine.angles import Angles
from qmljax._engine.layers import Combination, Level, schedule
from qmljax._engine.plan import MEMORY, Plan
from qmljax._engine.segments import angles_of, cut, is_deep
from qmljax._engine.start import first
from qmljax._engine.state import complexify, square
from qmljax._meshes import devices


def run(plan: Plan, weights: Array, inputs: Array, phase: bool = False) -> Array:
    """The state (C, 2**n, *batch), for `weights` (W, *batch) and `inputs` (I, *batch) whose batch dimensions broadcast.

    The global phase is left out unless `phase` is set, since probabilities and expectation values do not feel it.
    """
    angles = Angles(plan, weights, inputs)
    batch = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:])
    state, levels = first(plan.layers, angles)
    state = _run_levels(plan, levels, angles, state, batch)
    if phase:
        state = turn(state, plan.layers.phase, angles)
    return jnp.broadcast_to(state, (*state.shape[:2], *batch))


def columns(program: Program, params: Array, memory: int = MEMORY) -> Array:
    """The columns of the unitary matrix: `params` (P, *batch) -> (C, 2**n, *batch, 2**n)."""
    layers = schedule(program, from_zero=False)
    everything = Plan(program, layers, (), tuple(range(len(params))), frozenset(), memory)
    params = params[..., None]
    angles = Angles(everything, params, params[:0])
    size = 1 << program.num_qubits
    state = jnp.eye(size, dtype=params.dtype).reshape(1, size, *(1,) * (params.ndim - 2), size)
    batch = (*params.shape[1:-1], size)
    state = _run_levels(everything, everything.layers.levels, angles, state, batch)
    state = turn(state, everything.layers.phase, angles)
    return jnp.broadcast_to(state, (*state.shape[:2], *batch))


def uncompute(plan: Plan, weights: Array, inputs: Array, state: Array) -> Array:
    """The inverse of the whole circuit acts on any state (C, 2**n, *batch); the global phase is left out."""
    whole = dataclasses.replace(plan, layers=schedule(plan.program, from_zero=False))
    angles = Angles(whole, weights, inputs)
    segments = cut(whole.layers.levels, whole)
    batch = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:], state.shape[2:])
    state = complexify(state, whole.layers.real)
    state = jnp.broadcast_to(state, (*state.shape[:2], *batch))
    for segment, values in zip(reversed(segments), reversed(angles_of(segments, angles)), strict=True):
        state, _, _ = segment.backward(values, state, state)
    return state


def run_on(plan: Plan, params: Array, state: Array) -> Array:
    """A program with `params` (P, columns or 1) acts on the columns of `state` (2, 2**n, columns), of whatever norms.

    Global phases are left out.
    """
    whole = dataclasses.replace(plan, layers=schedule(plan.program, from_zero=False))
    whole = dataclasses.replace(whole, layers=dataclasses.replace(whole.layers, real=False))
    return _run_levels(whole, whole.layers.levels, Angles(whole, params, params[:0]), state, state.shape[2:])


def change_basis(program: Program, state: Array) -> Array:
    """Runs a program without parameters on any state (C, 2**n, *batch); the global phase is left out."""
    everything = Plan(program, schedule(program, from_zero=False), (), (), frozenset())
    none = jnp.zeros((0, *(1,) * (state.ndim - 2)), state.dtype)
    angles = Angles(everything, none, none)
    if len(state) == 2:
        everything = dataclasses.replace(everything, layers=dataclasses.replace(everything.layers, real=False))
    return _run_levels(everything, everything.layers.levels, angles, state, state.shape[2:])


def _run_levels(plan: Plan, levels: Sequence[Level], angles: Angles, state: Array, batch: tuple[int, ...]) -> Array:
    """Runs levels, by whichever backward pass fits: one that keeps a state per layer, or one that recomputes them."""
    layers = plan.layers
    deep = is_deep(levels)
    segments = cut(levels, plan)
    kept = sum(segment.rounds for segment in segments for part in segment.parts if part.slots)
    size = (2 - layers.real) * state.shape[1] * math.prod(batch) * state.dtype.itemsize
    adjoint = kept > 1 and kept * size > plan.memory * devices()
    if adjoint:
        segments = cut(levels, plan, lean=True)
    values = angles_of(segments, angles)
    full = (2 - layers.real, state.shape[1], *batch)
    if deep or adjoint:
        state = jnp.broadcast_to(complexify(state, layers.real), full)
        norm = square(state).sum(axis=0)
    if adjoint:
        state = evolve(tuple(segments), values, state)
    else:
        for segment, value in zip(segments, values, strict=True):
            if segment.rounds > 1:  # what a loop carries has one shape
                state = jnp.broadcast_to(complexify(state, layers.real), full)
            state = segment.forward(value, state)
    if deep:  # cos**2 + sin**2 misses 1 by a rounding error, the same in every layer that repeats an angle; it adds up
        state = state * jnp.sqrt(norm / square(state).sum(axis=0))[None, None]
    return state


def turn(state: Array, phase: Combination, angles: Angles) -> Array:
    """exp(i phase) state."""
    if not phase:
        return state
    state = complexify(state, real=False)
    ((gamma,),) = angles([([phase], True)])
    cos, sin = jnp.cos(gamma)[None], jnp.sin(gamma)[None]
    return jnp.stack([cos * state[0] - sin * state[1], sin * state[0] + cos * state[1]])
