"""Runs the levels of a program: parameters -> state.

Short circuits are unrolled into one computation; deep ones run as `lax.scan` over stacked levels, periodic or not,
because a level's angles, tables and permutation are data of one shape. Angles that depend on the inputs have the
inputs' batch dimensions; those that depend on weights alone do not, so that whatever the batch shares is computed once.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax import _operations, _state
from qmljax._expressions import Affine, evaluate, parameters
from qmljax._layers import TABLE_QUBITS, Combination, Layers, Level, Permutation, schedule
from qmljax._program import Program

UNROLL = 24  # circuits of up to this many levels are unrolled
RUNS = 6  # a deep circuit is cut into at most this many runs of levels of one kind


@dataclass(frozen=True, eq=False)
class Plan:
    """How to run a program: its layers, and which of its expressions depend on inputs."""

    program: Program
    layers: Layers
    inputs: tuple[int, ...]  # positions in the circuit's parameters
    weights: tuple[int, ...]
    batched: frozenset[int]  # expressions that depend on an input


@functools.lru_cache(maxsize=256)
def plan(program: Program, inputs: tuple[int, ...] = (), weights: tuple[int, ...] | None = None) -> Plan:
    """`inputs` and `weights` are positions in `program.parameters`; together they name every parameter once."""
    weights = tuple(range(program.num_parameters)) if weights is None else weights
    among = set(inputs)
    batched = frozenset(k for k, e in enumerate(program.expressions) if among & parameters(e))
    return Plan(program, schedule(program), inputs, weights, batched)


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


def columns(program: Program, params: Array) -> Array:
    """The columns of the unitary matrix: `params` (P, *batch) -> (C, 2**n, *batch, 2**n)."""
    everything = Plan(program, schedule(program, from_zero=False), (), tuple(range(len(params))), frozenset())
    params = params[..., None]
    angles = _Angles(everything, params, jnp.zeros((0,) * params.ndim, params.dtype))
    size = 1 << program.num_qubits
    state = jnp.eye(size, dtype=params.dtype).reshape(1, size, *(1,) * (params.ndim - 2), size)
    batch = (*params.shape[1:-1], size)
    state = _levels(everything, everything.layers.levels, angles, state, batch)
    state = _turn(state, everything.layers.phase, angles)
    return jnp.broadcast_to(state, (*state.shape[:2], *batch))


def change_basis(program: Program, state: Array) -> Array:
    """Runs a program without parameters on any state (C, 2**n, *batch); the global phase is left out."""
    everything = Plan(program, schedule(program, from_zero=False), (), (), frozenset())
    none = jnp.zeros((0, *(1,) * (state.ndim - 2)), state.dtype)
    angles = _Angles(everything, none, none)
    if len(state) == 2:
        everything = dataclasses.replace(everything, layers=dataclasses.replace(everything.layers, real=False))
    return _levels(everything, everything.layers.levels, angles, state, state.shape[2:])


def _levels(plan: Plan, levels: Sequence[Level], angles: "_Angles", state: Array, batch: tuple[int, ...]) -> Array:
    layers = plan.layers
    if len(levels) <= UNROLL:
        for level in levels:
            state = _step(layers, level, angles, state)
        return state
    state = jnp.broadcast_to(_complexify(state, layers), (2 - layers.real, state.shape[1], *batch))
    norm = _state.square(state).sum(axis=0)
    for run_ in _runs(levels, plan):
        state = _scan(layers, run_, angles, state)
    # cos**2 + sin**2 misses 1 by a rounding error, the same one in every layer that repeats an angle; it adds up.
    return state * jnp.sqrt(norm / _state.square(state).sum(axis=0))[None, None]


def _turn(state: Array, phase: Combination, angles: "_Angles") -> Array:
    """exp(i phase) state."""
    if not phase:
        return state
    state = state if len(state) == 2 else jnp.concatenate([state, jnp.zeros_like(state)])
    (gamma,) = angles([phase])
    cos, sin = jnp.cos(gamma)[None], jnp.sin(gamma)[None]
    return jnp.stack([cos * state[0] - sin * state[1], sin * state[0] + cos * state[1]])


class _Angles:
    """Evaluates combinations of the program's expressions: with batch dimensions only where an input is involved."""

    def __init__(self, plan: Plan, weights: Array, inputs: Array):
        expressions = plan.program.expressions
        self.batched = plan.batched
        own = [k for k in range(len(expressions)) if k not in plan.batched]
        self.place = {k: i for i, k in enumerate(own)}
        self.shared = evaluate(tuple(expressions[k] for k in own), _placed(plan.weights, weights, plan.program))
        if plan.batched:
            mixed = sorted(plan.batched)
            batch = np.broadcast_shapes(weights.shape[1:], inputs.shape[1:])
            both = jnp.concatenate([jnp.broadcast_to(v, (len(v), *batch)) for v in (weights, inputs)])
            params = _placed(plan.weights + plan.inputs, both, plan.program)
            values = evaluate(tuple(expressions[k] for k in mixed), params)
            self.all = jnp.concatenate([jnp.broadcast_to(self.shared, (len(own), *batch)), values])
            self.place |= {k: len(own) + i for i, k in enumerate(mixed)}

    def __call__(self, slots: Sequence[Combination], periodic: bool = True) -> Array:
        """(len(slots), *batch), modulo 2 pi if `periodic`; the batch dimensions are 1 where no input is involved."""
        values = self.all if any(e in self.batched for slot in slots for e in slot) else self.shared
        forms = tuple(
            Affine(slot.get(-1, 0.0), tuple(sorted((self.place[e], c) for e, c in slot.items() if e >= 0 and c)))
            for slot in slots
        )
        angles = evaluate(forms, values)
        # In float32 a sum of large angles loses digits that a sum of small ones keeps.
        return angles - lax.stop_gradient(2 * np.pi * jnp.round(angles / (2 * np.pi))) if periodic else angles


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
    bits = [layers.start >> q & 1 for q in range(n)]
    dtype = angles.shared.dtype
    if not levels or levels[0].rotations is None or levels[0].phases or levels[0].diagonal is not None:
        state = np.zeros((1, 1 << n), dtype)
        state[0, layers.start] = 1.0
        return jnp.asarray(state).reshape(1, 1 << n, *(1,) * (angles.shared.ndim - 1)), levels
    a = angles(levels[0].rotations)
    cos, sin = jnp.cos(a), jnp.sin(a)
    state = jnp.ones((1, *a.shape[1:]), dtype)
    for q in range(n):  # RY(2a)|0> = cos a |0> + sin a |1>, RY(2a)|1> = -sin a |0> + cos a |1>
        qubit = jnp.stack([-sin[q], cos[q]] if bits[q] else [cos[q], sin[q]])
        state = (qubit[:, None] * state[None]).reshape(2 << q, *a.shape[1:])
    rest = Level(dense=levels[0].dense)
    return state[None], (rest, *levels[1:]) if rest else levels[1:]


def _complexify(state: Array, layers: Layers) -> Array:
    """The state with an imaginary part, unless all levels are real."""
    return state if layers.real or len(state) == 2 else jnp.concatenate([state, jnp.zeros_like(state)])


def _step(layers: Layers, level: Level, angles: _Angles, state: Array) -> Array:
    """One level, unrolled: what does nothing is left out, and the state stays real for as long as it can."""
    dtype = state.dtype
    if level.phases is not None:
        a = angles(level.phases.slots, level.phases.tables.integer)
        state = _operations.shift_phases(a, _complexify(state, layers), *_phase_tables(level, dtype))
    if level.diagonal is not None:
        if np.iscomplexobj(level.diagonal):
            state = _complexify(state, layers)
        state = _operations.multiply(state, jnp.asarray(_split(level.diagonal), dtype))
    if level.permutation is not None:
        state = _operations.permute(state, level.permutation.source, level.permutation.target)
    if level.rotations is not None:
        state = _operations.rotate(angles(level.rotations), state)
    if level.dense is not None:
        state = _complexify(state, layers)
        state = _operations.transform(state, jnp.asarray(_dense(level.dense, layers.real), dtype))
    return state


def _split(diagonal: np.ndarray) -> np.ndarray:
    return np.stack([diagonal.real, diagonal.imag]) if np.iscomplexobj(diagonal) else diagonal


def _dense(matrix: np.ndarray, real: bool) -> np.ndarray:
    return matrix if real else _state.join_complex(matrix)


def _phase_tables(level: Level, dtype: np.dtype) -> list[Array]:
    tables = level.phases.tables
    return [jnp.asarray(t, dtype) for t in (tables.low, tables.high) if t is not None]


# Deep circuits.


def _runs(levels: Sequence[Level], plan: Plan) -> list[list[Level]]:
    """Consecutive levels whose angles depend on inputs, or do not, in the same way; one run if there would be many."""

    def kind(level: Level) -> tuple[bool, bool]:
        return tuple(
            any(e in plan.batched for slot in slots for e in slot)
            for slots in (level.phases.slots if level.phases else (), level.rotations or ())
        )

    runs = [list(group) for _, group in itertools.groupby(levels, kind)]
    return runs if len(runs) <= RUNS else [list(levels)]


def _scan(layers: Layers, levels: list[Level], angles: _Angles, state: Array) -> Array:
    """Runs levels as one `lax.scan`. Each part that some level has, all get: missing angles are 0, tables neutral."""
    n, dtype = layers.num_qubits, state.dtype
    if len(levels) == 1:
        return _step(layers, levels[0], angles, state)
    xs, parts = {}, {}

    def stack(name: str, arrays: list[np.ndarray]) -> None:
        """Tables of all levels, each distinct one once."""
        keys: dict[bytes, int] = {}
        index = np.array([keys.setdefault(a.tobytes(), len(keys)) for a in arrays], np.int32)
        distinct = np.stack([arrays[k] for k in np.unique(index, return_index=True)[1]])
        distinct = jnp.asarray(distinct, dtype if distinct.dtype.kind == "f" else np.int32)
        if len(keys) == 1:
            parts[name] = distinct[0]
        elif len(keys) == len(arrays):
            xs[name] = distinct
        else:
            parts[name], xs[name + " index"] = distinct, index

    def slots(name: str, rows: list[Sequence[Combination]], periodic: bool) -> None:
        width = max(len(row) for row in rows)
        padded = [slot for row in rows for slot in (*row, *({},) * (width - len(row)))]
        values = angles(padded, periodic)
        xs[name] = values.reshape(len(levels), width, *values.shape[1:])

    phases = [level.phases for level in levels]
    if any(phases):
        tables = [p.tables for p in phases if p]
        slots("phases", [p.slots if p else () for p in phases], all(t.integer for t in tables))
        count = max(len(t.low if t.high is None else t.high) for t in tables)
        rank = max(len(t.low) for t in tables)
        width = tables[0].low.shape[1]
        stack("low", [_pad(p.tables.low, (rank, width)) if p else np.zeros((rank, width)) for p in phases])
        if tables[0].high is not None:
            shape = (count, rank, tables[0].high.shape[2])
            stack("high", [_pad(p.tables.high, shape) if p else np.zeros(shape) for p in phases])
    if any(level.diagonal is not None for level in levels):
        one = np.ones(1 << n)
        diagonals = [one if level.diagonal is None else level.diagonal for level in levels]
        if any(np.iscomplexobj(d) for d in diagonals):
            diagonals = [_split(d.astype(complex)) for d in diagonals]
        stack("diagonal", diagonals)
    if any(level.permutation for level in levels):
        for name in ("source", "target"):
            tables = [_index_table(level.permutation, name, n) for level in levels]
            for k in range(2):
                stack(f"{name} {k}", [t[k] for t in tables])
    if any(level.rotations for level in levels):
        slots("rotations", [level.rotations or ({},) * n for level in levels], True)
    if any(level.dense is not None for level in levels):
        size = max(len(level.dense) for level in levels if level.dense is not None)
        stack("dense", [_dense(_widen(level.dense, size), layers.real) for level in levels])

    def body(state: Array, xs: dict[str, Array]) -> tuple[Array, None]:
        def get(name: str) -> Array | None:
            index = xs.get(name + " index")
            return xs[name] if name in xs else parts.get(name) if index is None else parts[name][index]

        if "phases" in xs:
            state = _operations.shift_phases(xs["phases"], state, get("low"), get("high"))
        if (diagonal := get("diagonal")) is not None:
            state = _operations.multiply(state, diagonal)
        if get("source 0") is not None:
            tables = [[get(f"{name} {k}") for k in range(2)] for name in ("source", "target")]
            state = _operations.permute(state, *tables)
        if "rotations" in xs:
            state = _operations.rotate(xs["rotations"], state)
        if (matrix := get("dense")) is not None:
            state = _operations.transform(state, matrix)
        return state, None

    return lax.scan(body, state, xs)[0]


def _pad(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(table, [(0, size - old) for size, old in zip(shape, table.shape, strict=True)])


def _widen(matrix: np.ndarray | None, size: int) -> np.ndarray:
    """A matrix on the highest qubits, or none, as one on more of them."""
    return np.eye(size) if matrix is None else np.kron(matrix, np.eye(size // len(matrix)))


def _index_table(permutation: Permutation | None, name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    if permutation is not None:
        return getattr(permutation, name)
    if n <= TABLE_QUBITS:
        return np.zeros(1, np.int32), np.arange(1 << n, dtype=np.int32)
    low = n // 2
    return np.arange(1 << (n - low), dtype=np.int32) << low, np.arange(1 << low, dtype=np.int32)
