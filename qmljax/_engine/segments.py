"""Runs the levels of a program: parameters -> state.

Short circuits are unrolled into one computation; deep ones run as `lax.scan` over stacked levels, periodic or not,
because a level's angles, tables and permutation are data of one shape. Angles that depend on the inputs have the
inputs' batch dimensions; those that depend on weights alone do not, so that whatever the batch shares is computed once.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.expressions import Affine, evaluate, parameters
from qmljax._circuit.program import Program
from qmljax._engine import adjoint as _adjoint
from qmljax._engine import operations as _operations
from qmljax._engine import state as _state
from qmljax._engine.layers import TABLE_QUBITS, Combination, Layers, Level, Permutation, schedule

UNROLL = 24  # of so many levels a program consists at most, loops counted once
REPEATS = 4  # levels that are repeated so often become a loop, which compiles sooner
PERIOD = 8  # of so many levels at most
RUNS = 6  # a deep circuit that is not periodic is cut into at most this many runs of levels of one kind
MEMORY = 1 << 29  # bytes of states that the backward pass keeps by default; if there were more, it recomputes them


@dataclass(frozen=True, eq=False)
class Plan:
    """How to run a program: its layers, and which of its expressions depend on inputs."""

    program: Program
    layers: Layers
    inputs: tuple[int, ...]  # positions in the circuit's parameters
    weights: tuple[int, ...]
    batched: frozenset[int]  # expressions that depend on an input
    memory: int = MEMORY


@functools.lru_cache(maxsize=256)
def plan(
    program: Program, inputs: tuple[int, ...] = (), weights: tuple[int, ...] | None = None, memory: int = MEMORY
) -> Plan:
    """`inputs` and `weights` are positions in `program.parameters`; together they name every parameter once."""
    weights = tuple(range(program.num_parameters)) if weights is None else weights
    among = set(inputs)
    batched = frozenset(k for k, e in enumerate(program.expressions) if among & parameters(e))
    return Plan(program, schedule(program), inputs, weights, batched, memory)


def run(plan: Plan, weights: Array, inputs: Array, phase: bool = False) -> Array:
    """The state (C, 2**n, *batch), for `weights` (W, *batch) and `inputs` (I, *batch) whose batch dimensions broadcast.

    The global phase is left out unless `phase` is set, since probabilities and expectation values do not feel it.
    """
    angles = _Angles(plan, weights, inputs)
    batch = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:])
    state, levels = _first(plan.layers, angles)
    state = _levels(plan, levels, angles, state, batch)
    if phase:
        state = _turn(state, plan.layers.phase, angles)
    return jnp.broadcast_to(state, (*state.shape[:2], *batch))


def columns(program: Program, params: Array, memory: int = MEMORY) -> Array:
    """The columns of the unitary matrix: `params` (P, *batch) -> (C, 2**n, *batch, 2**n)."""
    layers = schedule(program, from_zero=False)
    everything = Plan(program, layers, (), tuple(range(len(params))), frozenset(), memory)
    params = params[..., None]
    angles = _Angles(everything, params, params[:0])
    size = 1 << program.num_qubits
    state = jnp.eye(size, dtype=params.dtype).reshape(1, size, *(1,) * (params.ndim - 2), size)
    batch = (*params.shape[1:-1], size)
    state = _levels(everything, everything.layers.levels, angles, state, batch)
    state = _turn(state, everything.layers.phase, angles)
    return jnp.broadcast_to(state, (*state.shape[:2], *batch))


def jet(plan: Plan, params: Array) -> Array:
    """The state and its derivative in each parameter: (P,) -> (C, 2**n, 1 + P), the state first.

    They run through the circuit as one batch, which a derivative joins where its parameter first acts.
    """
    layers = plan.layers
    angles, slopes = _Angles(plan, params, params[:0]), _Slopes(plan.program, params)
    state, levels = _first(layers, angles)
    state = state[..., None]
    if layers.loads:
        derivatives = jax.jacfwd(lambda p: _loaded(layers, _Angles(plan, p, p[:0])))(params)  # (1, 2**n, P)
        state = jnp.concatenate([state, derivatives], axis=2)
        slopes.column.update({parameter: 1 + parameter for parameter in range(len(params))})
    elif levels is not layers.levels:
        every = _operations.Rotations(tuple(range(layers.num_qubits)))
        state = _derive(state, every, _only(slopes([layers.levels[0].rotations])), ())
    segments = [_Segment(rounds, layers) for rounds in _rounds(levels, plan, REPEATS)]
    for segment, values in zip(segments, _angles_of(segments, angles), strict=True):
        slots = [part.slots for part in segment.parts if part.slots]
        own = [slopes(rows) for rows in slots]
        if segment.rounds > 1:  # what a loop carries has one shape: all columns are there before it
            own = [slopes(rows) for rows in slots]
            missing = 1 + len(slopes.column) - state.shape[2]
            state = jnp.pad(_complexify(state, layers.real), [(0, 0), (0, 0), (0, missing)])
        else:
            own = [_only(slope) for slope in own]
        state = segment.forward([x[..., None] for x in values], state, own)
    if len(levels) > UNROLL:
        state = state / jnp.sqrt(_state.square(state[:, :, 0]).sum())  # as in `_levels`
    if len(slopes.column) < len(params):  # some parameters do nothing
        state = jnp.pad(state, [(0, 0), (0, 0), (0, 1)])
    columns = [0, *(slopes.column.get(k, -1) for k in range(len(params)))]
    return state if columns == list(range(len(columns))) else state[:, :, np.array(columns)]


def uncompute(plan: Plan, weights: Array, inputs: Array, state: Array) -> Array:
    """The inverse of the whole circuit acts on any state (C, 2**n, *batch); the global phase is left out."""
    whole = dataclasses.replace(plan, layers=schedule(plan.program, from_zero=False))
    angles = _Angles(whole, weights, inputs)
    segments = [_Segment(rounds, whole.layers) for rounds in _rounds(whole.layers.levels, whole, REPEATS)]
    batch = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:], state.shape[2:])
    state = _complexify(state, whole.layers.real)
    state = jnp.broadcast_to(state, (*state.shape[:2], *batch))
    for segment, values in zip(reversed(segments), reversed(_angles_of(segments, angles)), strict=True):
        state, _, _ = segment.backward(values, state, state)
    return state


def change_basis(program: Program, state: Array) -> Array:
    """Runs a program without parameters on any state (C, 2**n, *batch); the global phase is left out."""
    everything = Plan(program, schedule(program, from_zero=False), (), (), frozenset())
    none = jnp.zeros((0, *(1,) * (state.ndim - 2)), state.dtype)
    angles = _Angles(everything, none, none)
    if len(state) == 2:
        everything = dataclasses.replace(everything, layers=dataclasses.replace(everything.layers, real=False))
    return _levels(everything, everything.layers.levels, angles, state, state.shape[2:])


def _levels(plan: Plan, levels: Sequence[Level], angles: "_Angles", state: Array, batch: tuple[int, ...]) -> Array:
    """Runs levels, by whichever backward pass fits: one that keeps a state per layer, or one that recomputes them."""
    layers = plan.layers
    deep = len(levels) > UNROLL
    segments = [_Segment(rounds, layers) for rounds in _rounds(levels, plan, REPEATS)]
    kept = sum(segment.rounds for segment in segments for part in segment.parts if part.slots)
    size = (2 - layers.real) * state.shape[1] * math.prod(batch) * state.dtype.itemsize
    adjoint = kept > 1 and kept * size > plan.memory
    if adjoint:  # a loop as soon as there can be one, because XLA uses the same memory for all its rounds
        segments = [_Segment(rounds, layers, lean=True) for rounds in _rounds(levels, plan, 2)]
    values = _angles_of(segments, angles)
    full = (2 - layers.real, state.shape[1], *batch)
    if deep or adjoint:
        state = jnp.broadcast_to(_complexify(state, layers.real), full)
        norm = _state.square(state).sum(axis=0)
    if adjoint:
        state = _adjoint.evolve(tuple(segments), values, state)
    else:
        for segment, value in zip(segments, values, strict=True):
            if segment.rounds > 1:  # what a loop carries has one shape
                state = jnp.broadcast_to(_complexify(state, layers.real), full)
            state = segment.forward(value, state)
    if deep:  # cos**2 + sin**2 misses 1 by a rounding error, the same in every layer that repeats an angle; it adds up
        state = state * jnp.sqrt(norm / _state.square(state).sum(axis=0))[None, None]
    return state


def _turn(state: Array, phase: Combination, angles: "_Angles") -> Array:
    """exp(i phase) state."""
    if not phase:
        return state
    state = _complexify(state, real=False)
    ((gamma,),) = angles([([phase], True)])
    cos, sin = jnp.cos(gamma)[None], jnp.sin(gamma)[None]
    return jnp.stack([cos * state[0] - sin * state[1], sin * state[0] + cos * state[1]])


class _Angles:
    """Evaluates combinations of the program's expressions, as `values`: of weights, of inputs, and of both together.

    Only the last two have batch dimensions, and only the first and the last have derivatives in the weights.
    """

    def __init__(self, plan: Plan, weights: Array, inputs: Array):
        program, expressions = plan.program, plan.program.expressions
        among = set(plan.inputs)
        kinds: tuple[list[int], ...] = ([], [], [])  # expressions of weights, of inputs, of both
        for k, expression in enumerate(expressions):
            used = parameters(expression)
            kinds[2 if used & among and used - among else 1 if used & among else 0].append(k)
        self.kind = {k: kind for kind, members in enumerate(kinds) for k in members}
        shape = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:])
        wide = [jnp.broadcast_to(v, (len(v), *shape)) if kinds[2] else v for v in (weights, inputs)]
        params = [_placed(plan.weights, weights, program), _placed(plan.inputs, inputs, program)]
        params.append(_placed(plan.weights + plan.inputs, jnp.concatenate(wide), program) if kinds[2] else params[1])
        values = [evaluate(tuple(expressions[k] for k in m), p) for m, p in zip(kinds, params, strict=True)]
        alone = not kinds[1] and not kinds[2]
        everything = values[0] if alone else jnp.concatenate([jnp.broadcast_to(v, (len(v), *shape)) for v in values])
        self.values = (values[0], values[1], everything)
        self.place = {k: i for members in kinds for i, k in enumerate(members)}
        self.place_of_all = {k: i for i, k in enumerate(itertools.chain(*kinds))}

    def __call__(self, requests: Sequence[tuple[Sequence[Combination], bool]]) -> list[Array]:
        """For each list of slots its angles, (len(slots), *batch), modulo 2 pi where the request says so.

        The batch dimensions are 1 where no slot of the list involves an input. All lists are evaluated together.
        """
        groups: tuple[list[int], ...] = ([], [], [])
        result: list[Array] = [self.values[0][:0]] * len(requests)
        for k, (slots, _) in enumerate(requests):
            kinds = {self.kind[e] for slot in slots for e in slot if e >= 0}
            if kinds:
                groups[kinds.pop() if len(kinds) == 1 else 2].append(k)
            elif slots:  # numbers stay apart: under `vmap` over the weights, all that comes before these has no batch
                numbers = np.array([slot.get(-1, 0.0) for slot in slots], self.values[0].dtype)
                result[k] = jnp.asarray(numbers.reshape(-1, *(1,) * (self.values[0].ndim - 1)))
        for group, values, place in zip(groups, self.values, (self.place, self.place, self.place_of_all), strict=True):
            slots = [slot for k in group for slot in requests[k][0]]
            if not slots:
                continue
            forms = tuple(
                Affine(slot.get(-1, 0.0), tuple(sorted((place[e], c) for e, c in slot.items() if e >= 0 and c)))
                for slot in slots
            )
            angles = evaluate(forms, values)
            # In float32 a sum of large angles loses digits that a sum of small ones keeps.
            turns = np.array([float(requests[k][1]) for k in group for _ in requests[k][0]], angles.dtype)
            turns = (2 * np.pi * turns).astype(angles.dtype).reshape(-1, *(1,) * (angles.ndim - 1))
            angles = angles - lax.stop_gradient(turns * jnp.round(angles / np.asarray(2 * np.pi, angles.dtype)))
            ends = np.cumsum([len(requests[k][0]) for k in group])
            for k, part in zip(group, jnp.split(angles, ends[:-1]), strict=True):
                result[k] = part
        return result


def _only(slope: "_Slope") -> "_Slope":
    """Without the dimension of rounds, of which there is one."""
    return jax.tree.map(lambda x: x[0], slope)


_Slope = tuple[list[Any], list[Any]]


class _Slopes:
    """The derivatives of angles in the parameters, which have columns in the order in which they first act.

    Column 0 is that of the state itself.
    """

    def __init__(self, program: Program, params: Array):
        self.expressions = program.expressions
        self.column: dict[int, int] = {}  # of a parameter
        if all(isinstance(e, Affine) for e in self.expressions):
            self.values = np.zeros((len(self.expressions), 1 + len(params)), params.dtype)  # XLA knows them
            for row, expression in zip(self.values, self.expressions, strict=True):
                for parameter, coefficient in expression.terms:
                    row[1 + parameter] = coefficient
        else:
            self.values = jnp.pad(jax.jacfwd(functools.partial(evaluate, self.expressions))(params), [(0, 0), (1, 0)])

    def __call__(self, rows: Sequence[Sequence[Combination]]) -> _Slope:
        """The derivatives of the slots of each round, as `_derive` takes them. Parameters that are new get a column."""
        weights = np.zeros((len(rows), max(map(len, rows)), len(self.expressions)), self.values.dtype)
        for r, row in enumerate(rows):
            for k, slot in enumerate(row):
                weights[r, k, [e for e in slot if e >= 0]] = [c for e, c in slot.items() if e >= 0]
        used = {p for e in np.flatnonzero(weights.any((0, 1))) for p in parameters(self.expressions[e])}
        known = list(self.column)
        new = sorted(used.difference(known))
        self.column.update({parameter: 1 + len(known) + k for k, parameter in enumerate(new)})

        def of(columns: list[int]) -> Any:
            with jax.default_matmul_precision("highest"):
                return weights @ self.values[:, np.array(columns)]

        return (
            [of([0, *(1 + p for p in known)])] if used.intersection(known) else [],
            [of([1 + p for p in new])] if new else [],
        )


def _derive(state: Array, kind: _operations.Kind, slope: _Slope, tables: Sequence[Array]) -> Array:
    """A layer has acted on a state and its derivatives, (C, 2**n, columns): this adds what its angles contribute.

    `slope` has the derivatives of its angles (K, columns) in the columns that are there, unless they are all zero, and
    those (K, new) in new ones.
    """
    for old in slope[0]:
        state = state + _operations.generate(kind, old, state[:, :, :1], tables)
    new = [_operations.generate(kind, x, state[:, :, :1], tables) for x in slope[1]]
    return jnp.concatenate([state, *new], axis=2) if new else state


def _placed(positions: tuple[int, ...], values: Array, program: Program) -> Array:
    """`values` in the order of the program's parameters; zero where there is none."""
    if positions == tuple(range(program.num_parameters)):
        return values
    order = np.full(program.num_parameters, len(values))
    order[list(positions)] = np.arange(len(positions))
    padded = jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])
    return padded.at[order].get(mode="promise_in_bounds")


def _first(layers: Layers, angles: _Angles) -> tuple[Array, tuple[Level, ...]]:
    """The state after the first level, if that is a product layer alone, and the levels that are left."""
    n, levels = layers.num_qubits, layers.levels
    if layers.loads:
        return _loaded(layers, angles), levels
    bits = [layers.start >> q & 1 for q in range(n)]
    dtype = angles.values[0].dtype
    if not levels or levels[0].rotations is None or levels[0].phases or levels[0].diagonal is not None:
        state = np.zeros((1, 1 << n), dtype)
        state[0, layers.start] = 1.0
        return jnp.asarray(state).reshape(1, 1 << n, *(1,) * (angles.values[0].ndim - 1)), levels
    (a,) = angles([(levels[0].rotations, True)])
    cos, sin = jnp.cos(a), jnp.sin(a)
    halves = []
    for qubits in (range(n // 2), range(n // 2, n)):
        half = jnp.ones((1, *a.shape[1:]), dtype)
        for q in qubits:  # RY(2a)|0> = cos a |0> + sin a |1>, RY(2a)|1> = -sin a |0> + cos a |1>
            qubit = jnp.stack([-sin[q], cos[q]] if bits[q] else [cos[q], sin[q]])
            half = (qubit[:, None] * half[None]).reshape(2 * len(half), *a.shape[1:])
        halves.append(half)
    low, high = lax.optimization_barrier(halves)
    if math.prod(a.shape[1:]) == 1:  # as a product of matrices: else XLA multiplies elements wherever they are used
        columns, rows = (jnp.stack([x.reshape(-1), jnp.zeros(len(x), dtype)]) for x in (high, low))
        state = lax.dot_general(columns, rows, (((0,), (0,)), ((), ())), precision=_state.PRECISION)
    else:
        state = lax.optimization_barrier(high[:, None] * low[None])
    state = state.reshape(1 << n, *a.shape[1:])
    rest = Level(dense=levels[0].dense)
    return state[None], (rest, *levels[1:]) if rest else levels[1:]


def _loaded(layers: Layers, angles: _Angles) -> Array:
    """|0...0> with amplitudes loaded into some qubits: (1, 2**n, *batch)."""
    z = np.arange(1 << layers.num_qubits)
    loaded = sum(1 << q for op in layers.loads for q in op.qubits)
    requests = [([{int(e): float(scale)} for e, scale in op.table.array], False) for op in layers.loads]
    state = None
    for op, values in zip(layers.loads, angles(requests), strict=True):
        scale = lax.stop_gradient(jnp.max(jnp.abs(values), axis=0, keepdims=True))  # against overflow
        values = values / jnp.where(scale > 0, scale, 1)
        norm = jnp.sum(values**2, axis=0, keepdims=True)
        values = values / jnp.sqrt(jnp.where(norm > 0, norm, 1))
        index = sum((z >> q & 1) << k for k, q in enumerate(op.qubits))
        values = jnp.pad(values, [(0, (1 << len(op.qubits)) - len(values)), *[(0, 0)] * (values.ndim - 1)])
        state = values[index] if state is None else state * values[index]
    return jnp.where((z & ~loaded == 0).reshape(-1, *(1,) * (state.ndim - 1)), state, 0)[None]


def _complexify(state: Array, real: bool) -> Array:
    """The state with an imaginary part, unless all levels are real."""
    return state if real or len(state) == 2 else jnp.concatenate([state, jnp.zeros_like(state)])


def _rounds(levels: Sequence[Level], plan: Plan, repeats: int) -> list[list[tuple[Level, ...]]]:
    """Cuts levels into segments. The rounds of a segment are so many levels each, with the same parts in turn.

    A circuit that is not periodic becomes a few long segments, whose rounds are single levels and which differ in what
    depends on inputs; or one, if there would be many.
    """

    def batched(slots: Sequence[Combination] | None) -> bool | None:
        return slots and any(e in plan.batched for slot in slots for e in slot)

    def parts(level: Level) -> tuple[Any, ...]:
        which = (level.diagonal is None, level.permutation is None, level.dense is None)
        return (*which, batched(level.phases and level.phases.slots), batched(level.rotations))

    kinds = [parts(level) for level in levels]
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


class _Part(NamedTuple):
    """One layer of a segment: `slots[r]` are its angles in round r, if it has any, `tables[k][r]` its k-th table."""

    kind: _operations.Kind
    tables: tuple[tuple[np.ndarray, ...], ...]
    slots: tuple[Sequence[Combination], ...] = ()
    periodic: bool = True


class _Segment:
    """One round of levels, unrolled; or several, run by `lax.scan`.

    In a scan each part that some round has, all get: with zero angles or neutral tables where it was missing.
    """

    def __init__(self, rounds: Sequence[Sequence[Level]], layers: Layers, lean: bool = False):
        self.rounds = len(rounds)
        self.lean = lean  # whether memory matters more than time
        self.real = layers.real
        columns = zip(*rounds, strict=True)
        self.parts = [part for levels in columns for part in _parts(levels, layers.num_qubits, layers.real)]

    def forward(self, angles: Sequence[Array], state: Array, slopes: Sequence[Array] = ()) -> Array:
        """The state after the segment; with the `slopes` of its angles, the state and its derivatives (see `jet`)."""

        def run_round(state, angles, turns, slopes, tables):
            values, own = iter(angles), iter(slopes)
            for part, constants in zip(self.parts, self._merge(tables, turns), strict=True):
                if part.kind in ("phases", "transform") or part.kind == "multiply" and constants[0].ndim == 2:
                    state = _complexify(state, self.real)
                state = _operations.run(part.kind, state, constants, next(values) if part.slots else None)
                if part.slots and slopes:
                    state = _derive(state, part.kind, next(own), constants)
            return state

        tables, per_round = self._tables(state.dtype)
        if self.rounds == 1:
            return run_round(state, angles, self._turns(angles), slopes, tables(()))
        xs = (list(angles), self._turns(angles), list(slopes), per_round)
        return lax.scan(lambda s, xs: (run_round(s, *xs[:3], tables(xs[3])), None), state, xs)[0]

    def backward(self, angles: Sequence[Array], state: Array, cotangent: Array) -> tuple[Array, Array, list[Array]]:
        """From the segment's output and its cotangent: the input, its cotangent, and those of the angles."""

        def run_round(carry, angles, turns, tables):
            state, cotangent = carry
            values, cotangents = list(angles), []
            for part, constants in zip(reversed(self.parts), reversed(self._merge(tables, turns)), strict=True):
                angle = values.pop() if part.slots else None
                if part.slots:
                    cotangents.append(_operations.moments(part.kind, cotangent, state, constants, angle.shape[1:]))
                state, cotangent = (_operations.undo(part.kind, x, constants, angle) for x in (state, cotangent))
            return (state, cotangent), cotangents[::-1]

        tables, per_round = self._tables(state.dtype)
        carry = (state, cotangent)
        if self.rounds == 1:
            carry, cotangents = run_round(carry, angles, self._turns(angles), tables(()))
        else:
            xs = (list(angles), self._turns(angles), per_round)
            carry, cotangents = lax.scan(lambda c, xs: run_round(c, *xs[:2], tables(xs[2])), carry, xs, reverse=True)
        return (*carry, cotangents)

    def _turns(self, angles: Sequence[Array]) -> list[tuple[Array, Array]]:
        """The cosines and sines of all rotations, shaped like their angles; XLA computes those of all rounds once."""
        with_angles = (part for part in self.parts if part.slots)
        both = zip(with_angles, angles, strict=True)
        return [(jnp.cos(a), jnp.sin(a)) for part, a in both if isinstance(part.kind, _operations.Rotations)]

    def _merge(self, tables: Sequence[list[Array]], turns: Sequence[tuple[Array, Array]]) -> list[Sequence[Array]]:
        """The tables of all parts, for one round."""
        rest = iter(turns)
        rotations = (isinstance(part.kind, _operations.Rotations) for part in self.parts)
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


def _angles_of(segments: Sequence[_Segment], angles: _Angles) -> list[list[Array]]:
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


def _parts(levels: Sequence[Level], n: int, real: bool) -> list[_Part]:
    """The layers of a run of levels, in order, each with the tables of every level."""
    parts = []
    phases = [level.phases for level in levels]
    if any(phases):
        tables = [p.tables for p in phases if p]
        rank = max(len(t.low) for t in tables)
        low = (rank, tables[0].low.shape[1])
        columns = [tuple(_pad(p.tables.low, low) if p else np.zeros(low) for p in phases)]
        if tables[0].high is not None:
            high = (max(len(t.high) for t in tables), rank, tables[0].high.shape[2])
            columns.append(tuple(_pad(p.tables.high, high) if p else np.zeros(high) for p in phases))
        slots = tuple(p.slots if p else () for p in phases)
        parts.append(_Part("phases", tuple(columns), slots, all(t.integer for t in tables)))
    if any(level.diagonal is not None for level in levels):
        diagonals = [np.ones(1 << n) if level.diagonal is None else level.diagonal for level in levels]
        if any(np.iscomplexobj(d) for d in diagonals):
            diagonals = [np.stack([d.real, d.imag]) for d in diagonals]
        parts.append(_Part("multiply", (tuple(diagonals),)))
    if any(level.permutation for level in levels):
        tables = [_index_tables(level.permutation, n) for level in levels]
        if len({len(t[0]) for t in tables}) > 1:  # some are factored and some cannot be
            zero = np.zeros(1, np.int32)
            tables = [
                (zero, (sh[:, None] ^ sl).reshape(-1), zero, (th[:, None] ^ tl).reshape(-1))
                for sh, sl, th, tl in tables
            ]
        parts.append(_Part("permute", tuple(zip(*tables, strict=True))))
    if any(level.rotations for level in levels):
        rotations = [level.rotations or ({},) * n for level in levels]
        qubits = tuple(q for q in range(n) if any(slots[q] for slots in rotations))
        if len(qubits) == 1 < n:  # alone its angle would be a scalar, whose sine XLA computes anew for each amplitude
            qubits = (qubits[0], qubits[0] + 1) if qubits[0] + 1 < n else (qubits[0] - 1, qubits[0])
        slots = tuple(tuple(slots[q] for q in qubits) for slots in rotations)
        parts.append(_Part(_operations.Rotations(qubits), (), slots))
    if any(level.dense is not None for level in levels):
        size = max(len(level.dense) for level in levels if level.dense is not None)
        matrices = [_widen(level.dense, size) for level in levels]
        parts.append(_Part("transform", (tuple(m if real else _state.join_complex(m) for m in matrices),)))
    return parts


def _pad(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(table, [(0, size - old) for size, old in zip(shape, table.shape, strict=True)])


def _widen(matrix: np.ndarray | None, size: int) -> np.ndarray:
    """A matrix on the highest qubits, or none, as one on more of them."""
    return np.eye(size) if matrix is None else np.kron(matrix, np.eye(size // len(matrix)))


def _index_tables(permutation: Permutation | None, n: int) -> tuple[np.ndarray, ...]:
    """The two tables of `source` and the two of `target`."""
    if permutation is not None:
        return (*permutation.source, *permutation.target)
    if n <= TABLE_QUBITS:
        identity = (np.zeros(1, np.int32), np.arange(1 << n, dtype=np.int32))
    else:
        low = n // 2
        identity = (np.arange(1 << (n - low), dtype=np.int32) << low, np.arange(1 << low, dtype=np.int32))
    return identity * 2
