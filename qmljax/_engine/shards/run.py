"""Runs the levels of a program on a state over devices: parameters -> what each device has of the state."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.program import Program
from qmljax._engine.adjoint import evolve
from qmljax._engine.angles import Angles
from qmljax._engine.layers import schedule
from qmljax._engine.plan import Plan
from qmljax._engine.run import turn
from qmljax._engine.segments import is_deep
from qmljax._engine.shards import start
from qmljax._engine.shards.layout import Layout
from qmljax._engine.shards.layout import start as first_layout
from qmljax._engine.shards.segments import angles_of, cut
from qmljax._engine.shards.steps import Planner, Step, planned
from qmljax._engine.state import complexify, square


class Shard(NamedTuple):
    """What a device has of a state, (C, 2**m, *batch), and where its bits are."""

    state: Array
    layout: Layout
    axes: tuple[str, ...]

    def total(self, values: Array) -> Array:
        """The sum over all devices that hold the state."""
        return lax.psum(values, self.axes)

    @property
    def number(self) -> Array:
        """Of the device."""
        return jnp.asarray(np.array(self.layout.numbers, np.int32))[lax.axis_index(self.axes)]

    def after(self, planner: Planner) -> "Shard":
        """The state after steps without angles."""
        return Shard(moved(self.state, planner.take(), self.axes), planner.layout, self.axes)


def moved(state: Array, steps: Sequence[Step], axes: tuple[str, ...]) -> Array:
    """A state after steps without angles."""
    for segment in cut([steps], axes, frozenset()):
        state = segment.forward([], state)
    return state


def run(plan: Plan, weights: Array, inputs: Array, k: int, axes: tuple[str, ...], phase: bool = False) -> Shard:
    """The state over 2**k devices of those axes, as `run.run` says; to be called under `jax.shard_map`."""
    layers = plan.layers
    weights, inputs = (varying(x, axes) for x in (weights, inputs))
    angles = Angles(plan, weights, inputs)
    batch = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:])
    state, levels = start.first(layers, angles, k, axes)
    full = (2 - layers.real, state.shape[1], *batch)
    state = jnp.broadcast_to(complexify(state, layers.real), full)
    steps, layout = planned(levels, first_layout(layers.num_qubits, k), is_deep(levels), layers.real)
    segments = cut(steps, axes, plan.batched)
    norm = square(state).sum(axis=0)
    state = evolve(segments, angles_of(segments, angles), state)
    shard = Shard(state, layout, axes)
    if is_deep(levels):  # as in `run.run`
        factor = jnp.sqrt(shard.total(norm) / shard.total(square(state).sum(axis=0)))
        state = state * factor[None, None]
    return shard._replace(state=turn(state, layers.phase, angles) if phase else state)


def varying(value: Array, axes: Sequence[str]) -> Array:
    """A value as one that differs from device to device: its derivative is summed over them once."""
    new = tuple(a for a in axes if a not in jax.typeof(value).manual_axis_type.varying)
    return lax.pcast(value, new, to="varying") if new else value


def change_basis(program: Program, shard: Shard) -> Shard:
    """Runs a program without parameters; the global phase is left out."""
    layers = schedule(program, from_zero=False)
    plan = Plan(program, layers, (), (), frozenset())
    none = jnp.zeros((0, *(1,) * (shard.state.ndim - 2)), shard.state.dtype)
    state = complexify(shard.state, layers.real)
    steps, layout = planned(layers.levels, shard.layout, False, len(state) == 1)
    segments = cut(steps, shard.axes, plan.batched)
    for segment, values in zip(segments, angles_of(segments, Angles(plan, none, none)), strict=True):
        state = segment.forward(values, state)
    return Shard(state, layout, shard.axes)
