"""Runs of levels: short circuits are unrolled into one computation, deep ones run as `lax.scan` over stacked levels.

They may be periodic or not, because a level's angles, tables and permutation are data of one shape.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine import operations
from qmljax._engine.angles import Angles
from qmljax._engine.layers import Combination, Layers, Level
from qmljax._engine.plan import Plan
from qmljax._engine.slopes import Slope, derive
from qmljax._engine.stacking import parts
from qmljax._engine.state import complexify

UNROLL = 24  # of so many levels a program consists at most, loops counted once
REPEATS = 4  # levels that are repeated so often become a loop, which compiles sooner
PERIOD = 8  # of so many levels at most
RUNS = 6  # a deep circuit that is not periodic is cut into at most this many runs of levels of one kind


def is_deep(levels: Sequence[Level]) -> bool:
    """Whether there are so many levels that rounding errors add up, and that a program of all of them would be long."""
    return len(levels) > UNROLL


def cut(levels: Sequence[Level], plan: Plan, lean: bool = False) -> list["Segment"]:
    """Levels as segments.

    If memory matters more than time (`lean`), a loop begins as soon as there can be one, because XLA uses the same
    memory for all its rounds.
    """
    return [Segment(rounds, plan.layers, lean) for rounds in _rounds(levels, plan, 2 if lean else REPEATS)]


def _rounds(levels: Sequence[Level], plan: Plan, repeats: int) -> list[list[tuple[Level, ...]]]:
    """Cuts levels into segments. The rounds of a segment are so many levels each, with the same parts in turn.

    A circuit that is not periodic becomes a few long segments, whose rounds are single levels and which differ in what
    depends on inputs; or one, if there would be many.
    """

    def batched(slots: Sequence[Combination] | None) -> bool | None:
        return None if slots is None else any(e in plan.batched for slot in slots for e in slot)

    def kind(level: Level) -> tuple[Any, ...]:
        which = (level.diagonal is None, level.permutation is None, level.dense is None)
        return (*which, batched(level.phases.slots if level.phases else None), batched(level.rotations))

    kinds = [kind(level) for level in levels]
    segments, at = [], 0
    while at < len(levels):
        period, count = 1, 1
        for p in range(1, PERIOD + 1):
            r = 1
            while kinds[at + r * p : at + (r + 1) * p] == kinds[at : at + p]:
                r += 1
            if r >= repeats and r * p > period * count:
                period, count = p, r
        segments.append([tuple(levels[at + r * period : at + (r + 1) * period]) for r in range(count)])
        at += period * count
    if sum(len(rounds[0]) for rounds in segments) <= UNROLL:
        return segments
    inputs = [tuple(map(bool, kind[-2:])) for kind in kinds]
    runs = [[k for k, _ in group] for _, group in itertools.groupby(enumerate(inputs), lambda pair: pair[1])]
    return [[(levels[k],) for k in run] for run in (runs if len(runs) <= RUNS else [range(len(levels))])]


class Segment:
    """One round of levels, unrolled; or several, run by `lax.scan`.

    In a scan each part that some round has, all get: with zero angles or neutral tables where it was missing.
    """

    def __init__(self, rounds: Sequence[Sequence[Level]], layers: Layers, lean: bool = False):
        self.rounds = len(rounds)
        self.lean = lean  # whether memory matters more than time
        self.real = layers.real
        columns = zip(*rounds, strict=True)
        self.parts = [part for levels in columns for part in parts(levels, layers.num_qubits, layers.real)]

    def forward(self, angles: Sequence[Array], state: Array, slopes: Sequence[Slope] = ()) -> Array:
        """The state after the segment; with the `slopes` of its angles, the state and its derivatives (see `jet`)."""

        def run_round(state: Any, angles: Any, turns: Any, slopes: Any, tables: Any) -> Any:
            values, own = iter(angles), iter(slopes)
            for part, constants in zip(self.parts, self._merge(tables, turns), strict=True):
                if part.kind in ("phases", "transform") or part.kind == "multiply" and constants[0].ndim == 2:
                    state = complexify(state, self.real)
                state = operations.run(part.kind, state, constants, next(values) if part.slots else None)
                if part.slots and slopes:
                    state = derive(state, part.kind, next(own), constants)
            return state

        tables, per_round = self._tables(state.dtype)
        if self.rounds == 1:
            return run_round(state, angles, self._turns(angles), slopes, tables(()))
        xs = (list(angles), self._turns(angles), list(slopes), per_round)
        return lax.scan(lambda s, xs: (run_round(s, *xs[:3], tables(xs[3])), None), state, xs, self.rounds)[0]

    def backward(self, angles: Sequence[Array], state: Array, cotangent: Array) -> tuple[Array, Array, list[Array]]:
        """From the segment's output and its cotangent: the input, its cotangent, and those of the angles."""

        def run_round(carry: Any, angles: Any, turns: Any, tables: Any) -> Any:
            state, cotangent = carry
            values, cotangents = list(angles), []
            for part, constants in zip(reversed(self.parts), reversed(self._merge(tables, turns)), strict=True):
                angle = values.pop() if part.slots else None
                if angle is not None:
                    cotangents.append(operations.moments(part.kind, cotangent, state, constants, angle.shape[1:]))
                state, cotangent = (operations.undo(part.kind, x, constants, angle) for x in (state, cotangent))
            return (state, cotangent), cotangents[::-1]

        tables, per_round = self._tables(state.dtype)
        carry = (state, cotangent)
        if self.rounds == 1:
            carry, cotangents = run_round(carry, angles, self._turns(angles), tables(()))
        else:
            xs = (list(angles), self._turns(angles), per_round)
            carry, cotangents = lax.scan(
                lambda c, xs: run_round(c, *xs[:2], tables(xs[2])), carry, xs, self.rounds, reverse=True
            )
        return (*carry, cotangents)

    def _turns(self, angles: Sequence[Array]) -> list[tuple[Array, Array]]:
        """The cosines and sines of all rotations, shaped like their angles; XLA computes those of all rounds once."""
        with_angles = (part for part in self.parts if part.slots)
        both = zip(with_angles, angles, strict=True)
        return [(jnp.cos(a), jnp.sin(a)) for part, a in both if isinstance(part.kind, operations.Rotations)]

    def _merge(self, tables: Sequence[list[Array]], turns: Sequence[tuple[Array, Array]]) -> list[Sequence[Array]]:
        """The tables of all parts, for one round."""
        rest = iter(turns)
        rotations = (isinstance(part.kind, operations.Rotations) for part in self.parts)
        return [next(rest) if rotates else own for rotates, own in zip(rotations, tables, strict=True)]

    def _tables(self, dtype: np.dtype) -> tuple[Callable[[Any], list[list[Array]]], list]:
        """A function that gives the tables of all parts for one round, and what the scan hands to it for each round.

        Each distinct table is stored once; where rounds differ, the scan hands over which one is meant.
        """
        stacks, per_round = [], []
        for part in self.parts:
            for column in part.tables:
                keys: dict[bytes, int] = {}
                index = np.array([keys.setdefault(t.tobytes(), len(keys)) for t in column], np.int32)
                if self.lean and part.kind == "permute":  # else XLA makes an index of the whole state before the loop
                    index = np.arange(len(column), dtype=np.int32)
                distinct = np.stack([column[k] for k in np.unique(index, return_index=True)[1]])
                stacks.append(distinct.astype(np.int32 if distinct.dtype.kind == "i" else dtype))
                per_round.append(index if len(distinct) > 1 else None)

        def tables(indices: Any) -> list[list[Array]]:
            flat = iter(zip(stacks, indices or [None] * len(stacks), strict=True))
            picked = []
            for part in self.parts:
                pairs = itertools.islice(flat, len(part.tables))
                picked.append([stack[0] if k is None else jnp.asarray(stack)[k] for stack, k in pairs])
            return picked

        return tables, per_round


def angles_of(segments: Sequence[Segment], angles: Angles) -> list[list[Array]]:
    """For each segment the angles of each part that has them: (K, *batch), or (rounds, K, *batch) for a scan."""
    requests = []
    for part in (part for segment in segments for part in segment.parts if part.slots):
        width = max(len(row) for row in part.slots)
        requests.append(([slot for row in part.slots for slot in (*row, *({},) * (width - len(row)))], part.periodic))
    values = iter(angles(requests))
    result = []
    for segment in segments:
        own = [next(values) for part in segment.parts if part.slots]
        count = segment.rounds
        result.append(own if count == 1 else [v.reshape(count, len(v) // count, *v.shape[1:]) for v in own])
    return result
