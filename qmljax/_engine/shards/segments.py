"""Steps on a state over devices, under `jax.shard_map`: each device runs its layers, and they exchange bits.

A state is what it is on one device, (C, 2**m, *batch), of the 2**m amplitudes that a device holds. Steps that repeat
run as `lax.scan`. Backwards a state and its cotangent are sent together.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._engine import operations
from qmljax._engine.angles import Angles
from qmljax._engine.operations import Rotations
from qmljax._engine.segments import PERIOD, REPEATS
from qmljax._engine.shards.layout import Held
from qmljax._engine.shards.sending import sent
from qmljax._engine.shards.steps import Exchange, Move, Step
from qmljax._engine.state import FEW, PRECISION, SINGLE, turn_back


@dataclass(frozen=True, eq=False)
class Segment:
    """Rounds of equal steps, one after the other.

    Attributes:
        rounds: The steps of each round.
        axes: Of the mesh, over which the state is.
    """

    rounds: tuple[tuple[Step, ...], ...]
    axes: tuple[str, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Of one round."""
        return self.rounds[0]

    def forward(self, angles: Sequence[Array], state: Array) -> Array:
        """The state after the segment."""

        def run_round(state: Array, given: Any) -> tuple[Array, None]:
            values = iter(given[0])
            for step, tables in zip(self.steps, self._tables(given, state.dtype), strict=True):
                if isinstance(step.kind, Exchange | Move):
                    state = sent(state, step.kind, self.axes)
                    continue
                angle = next(values) if step.slots else None
                if isinstance(step.kind, Rotations):
                    turned = _rotate_highest(tables[0], tables[1], state, step.kind.qubits)
                    if turned is not None:
                        state = turned
                        continue
                if step.kind == "phases":
                    angle = once_there(angle, state)
                state = operations.run(step.kind, state, tables, angle)
            return state, None

        if len(self.rounds) == 1:
            return run_round(state, self._given(angles))[0]
        return lax.scan(run_round, state, self._given(angles), len(self.rounds))[0]

    def backward(self, angles: Sequence[Array], state: Array, cotangent: Array) -> tuple[Array, Array, list[Array]]:
        """From the segment's output and its cotangent: the input, its cotangent, and those of the angles."""

        def run_round(carry: Any, given: Any) -> tuple[Any, list[Array]]:
            (state, cotangent), values = carry, list(given[0])
            found = []
            for step, tables in reversed(list(zip(self.steps, self._tables(given, state.dtype), strict=True))):
                if isinstance(step.kind, Exchange | Move):
                    both = sent(jnp.concatenate([state, cotangent]), step.kind, self.axes, back=True)
                    state, cotangent = both[: len(state)], both[len(state) :]
                    continue
                angle: Any = values.pop() if step.slots else None
                if isinstance(step.kind, Rotations):
                    cos, sin = (once_there(x, cotangent) for x in tables)
                    turned = turn_back(cos, sin, cotangent, state, step.kind.qubits)
                    if turned is not None:
                        cotangent, state, moment = turned
                        found.append(moment.reshape(angle.shape))
                        continue
                if step.kind == "phases":
                    angle = once_there(angle, cotangent)
                if angle is not None:
                    found.append(operations.moments(step.kind, cotangent, state, tables, angle.shape[1:]))
                state, cotangent = (operations.undo(step.kind, x, tables, angle) for x in (state, cotangent))
            return (state, cotangent), found[::-1]

        carry, given = (state, cotangent), self._given(angles)
        if len(self.rounds) == 1:
            carry, found = run_round(carry, given)
        else:
            carry, found = lax.scan(run_round, carry, given, len(self.rounds), reverse=True)
        return (*carry, found)

    def _given(self, angles: Sequence[Array]) -> tuple[list[Array], list[tuple[Array, Array]], list[Any]]:
        """What a round is given: angles, their cosines and sines if they are of rotations, and which tables it has."""
        kinds = [step.kind for step in self.steps if step.slots]
        turns = [(jnp.cos(a), jnp.sin(a)) for kind, a in zip(kinds, angles, strict=True) if isinstance(kind, Rotations)]
        which = [None if len(distinct) == 1 else index for distinct, index in self._distinct()]
        return list(angles), turns, which

    def _distinct(self) -> Iterator[tuple[list[Held], np.ndarray]]:
        """For each table of a round those that are different, and which of them each round has."""
        for step in zip(*self.rounds, strict=True):
            for column in zip(*(s.tables for s in step), strict=True):
                keys: dict[bytes, int] = {}
                index = np.array([keys.setdefault(t.values.tobytes(), len(keys)) for t in column], np.int32)
                yield [column[k] for k in np.unique(index, return_index=True)[1]], index

    def _tables(self, given: Any, dtype: np.dtype) -> list[Sequence[Array]]:
        """The tables of all steps on this device, for one round."""
        device, turns, flat = lax.axis_index(self.axes), iter(given[1]), []
        for (distinct, _), which in zip(self._distinct(), given[2], strict=True):
            values: Any = np.stack([held.values for held in distinct])
            values = values.astype(np.int32 if values.dtype.kind == "i" else dtype)
            values = values[0] if which is None else jnp.asarray(values)[which]
            flat.append(lax.dynamic_index_in_dim(values, device, keepdims=False) if distinct[0].each else values)
        own = iter(flat)
        return [
            next(turns) if isinstance(step.kind, Rotations) else [next(own) for _ in step.tables] for step in self.steps
        ]


def _rotate_highest(cos: Array, sin: Array, state: Array, qubits: Sequence[int]) -> Array | None:
    """Some of the highest qubits of a single large state rotated, by one product of matrices; None if it is not so.

    Elementwise it would be a part of all that reads the state, and be kept in the form of each.
    """
    n = state.shape[1].bit_length() - 1
    single = math.prod(state.shape[2:]) * math.prod(cos.shape[1:]) == 1
    if not single or n <= SINGLE or len(qubits) > FEW or tuple(qubits) != tuple(range(n - len(qubits), n)):
        return None
    each = zip(cos.reshape(-1)[::-1], sin.reshape(-1)[::-1], strict=True)
    matrix = functools.reduce(jnp.kron, [jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])]) for c, s in each])
    rows = state.reshape(len(state), len(matrix), -1)
    both = jnp.broadcast_to(matrix, (len(state), *matrix.shape))
    return jnp.einsum("cij,cjr->cir", both, rows, precision=PRECISION).reshape(state.shape)


def once_there(value: Any, state: Array) -> Any:
    """A value of which XLA computes something as large as a state, but not before the state is there.

    It does so as soon as it can, and keeps what it has, for all levels and for the way back. It takes nothing for zero
    that is a product with what may not be finite.
    """
    return value + np.zeros((), state.dtype) * lax.stop_gradient(state[(0,) * state.ndim])


def cut(levels: Sequence[Sequence[Step]], axes: tuple[str, ...], batched: frozenset[int]) -> tuple[Segment, ...]:
    """The steps of levels as segments: those that repeat, one level by one or as a period of several, as a loop."""
    forms = [tuple(_form(step, batched) for step in level) for level in levels]
    segments, at = [], 0
    while at < len(levels):
        period, count = 1, 1
        for p in range(1, 2 * PERIOD + 1):
            r = 1
            while forms[at + r * p : at + (r + 1) * p] == forms[at : at + p]:
                r += 1
            if r >= REPEATS and r * p > period * count:
                period, count = p, r
        starts = range(at, at + period * count, period)
        rounds = tuple(tuple(itertools.chain(*levels[s : s + period])) for s in starts)
        segments.append(Segment(rounds, axes))
        at += period * count
    return tuple(segments)


def _form(step: Step, batched: frozenset[int]) -> Any:
    """What steps have in common that run in one loop."""
    tables = tuple((t.values.shape, t.values.dtype.kind, t.each) for t in step.tables)
    inputs = any(e in batched for slot in step.slots for e in slot)
    return step.kind, tables, len(step.slots), step.periodic, inputs


def angles_of(segments: Sequence[Segment], angles: Angles) -> list[list[Array]]:
    """For each segment the angles of each step that has them: (K, *batch), or (rounds, K, *batch) for a loop."""
    columns = [
        [step for step in zip(*segment.rounds, strict=True) if step[0].slots] for segment in segments
    ]  # of each segment and step the rounds
    requests = [([slot for s in step for slot in s.slots], step[0].periodic) for own in columns for step in own]
    values, result = iter(angles(requests)), []
    for segment, own in zip(segments, columns, strict=True):
        found = []
        for step in own:
            value = next(values)
            if any(s.signs is not None for s in step):
                one = np.ones((1 << 0, len(step[0].slots)))
                shape = (_devices(segment, step), len(step[0].slots))
                each = [np.broadcast_to(one if s.signs is None else s.signs, shape) for s in step]
                signs = np.concatenate(each, axis=1).astype(value.dtype)
                sign = lax.dynamic_index_in_dim(signs, lax.axis_index(segment.axes), keepdims=False)
                value = value * sign.reshape(-1, *(1,) * (value.ndim - 1))
            count = len(step)
            found.append(value if count == 1 else value.reshape(count, -1, *value.shape[1:]))
        result.append(found)
    return result


def _devices(segment: Segment, step: Sequence[Step]) -> int:
    return next(len(s.signs) for s in step if s.signs is not None)
