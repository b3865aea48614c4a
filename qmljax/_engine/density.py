"""Runs a noisy circuit: parameters and channels -> the density matrix, as numbers tr(P rho) for Pauli strings P.

Everything is made of operations that JAX differentiates, in the parameters and in the channels, to any order. Noise
cannot be undone, so what the backward pass needs is kept at the borders of segments of levels, and computed again
between them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.noisy import NoisyProgram
from qmljax._circuit.pauli_basis import strings
from qmljax._circuit.program import Angle, Op, Program
from qmljax._engine import operations, pauli_levels
from qmljax._engine.angles import Angles
from qmljax._engine.layers import schedule
from qmljax._engine.pauli_levels import Channel, Classes, Level, Matrix, Turn
from qmljax._engine.plan import Plan, plan
from qmljax._engine.readings import of_letter, taken
from qmljax._engine.run import run, run_on
from qmljax._engine.state import PRECISION

MAX_QUBITS = 14  # 4**14 numbers: 1 GiB in float32
FOLDED = 11  # qubits up to which the diagonals of concrete noise are computed once, while it compiles
SEGMENT = 8  # levels of which the backward pass computes the states again

Channels = Sequence[Array]  # transfer matrices, or, of channels of Pauli strings, their diagonals


def density(noisy: NoisyProgram, classes: tuple[Classes, ...], channels: Channels, params: Array) -> Array:
    """The coefficients tr(P rho), (4**n,), for parameters (P,); of channels their `classes`, and see `Channels`."""
    program, n, dtype = noisy.program, noisy.program.num_qubits, params.dtype
    each = pauli_levels.levels(noisy, classes)
    own = [channel.astype(dtype) for channel in channels]
    if own and n > FOLDED:  # XLA would compute what follows of numbers while it compiles, diagonals of 4**n included
        own = lax.optimization_barrier(own)
    runner = _Runner(noisy, each, own, params)
    if program.loads:
        loads = dataclasses.replace(program, ops=program.loads)
        state = from_matrix(_outer(run(plan(loads), params, params[:0])))
    elif each[0].moves:
        state = _product([_ZERO.astype(dtype)] * n)
    else:
        state = _product([factor[:, 0] + factor[:, 2] for factor in runner.factors[0]])
        each = (dataclasses.replace(each[0], products={}), *each[1:])
    for first in range(0, len(each), SEGMENT):
        step = functools.partial(_segment, runner, range(first, min(first + SEGMENT, len(each))), each)
        state = jax.checkpoint(step)(state) if len(each) > SEGMENT else step(state)
    return state


def _product(factors: Sequence[Any]) -> Any:
    """States of one qubit each, (4,), as one of all, (4**n,)."""
    dtype = factors[0].dtype
    return functools.reduce(lambda low, high: (high[:, None] * low[None]).reshape(-1), factors, jnp.ones(1, dtype))


_ZERO = np.array([1.0, 0.0, 1.0, 0.0])  # |0><0|


def _segment(runner: "_Runner", which: range, levels: Sequence[Level], state: Array) -> Array:
    for k in which:
        state = runner.level(k, levels[k], state)
    return state


def _outer(state: Array) -> Array:
    """(C, 2**n) -> the density matrix (2, 2**n, 2**n)."""
    real, imag = state if len(state) == 2 else (state[0], jnp.zeros_like(state[0]))
    one = real[:, None] * real[None] + imag[:, None] * imag[None]
    return jnp.stack([one, imag[:, None] * real[None] - real[:, None] * imag[None]])


class _Runner:
    """What acts on states, for given parameters and channels.

    Attributes:
        turns: Of each turn of a phase of several qubits the cosine and sine.
        factors: Of each level what acts on each qubit alone, (levels, n, 4, 4).
        blocks: The same of pairs of qubits, (levels, n // 2, 16, 16).
    """

    def __init__(self, noisy: NoisyProgram, levels: Sequence[Level], channels: Channels, params: Array):
        program = noisy.program
        self.n, self.dtype, self.params, self.program = program.num_qubits, params.dtype, params, program
        self.channels = channels
        self.constants = [table.array for table in noisy.constants]
        turns = {t: None for level in levels for t in _turns(level)}
        place = {turn: k for k, turn in enumerate(turns)}
        everything = Plan(program, schedule(_EMPTY), (), tuple(range(len(params))), frozenset())
        slots = [{angle.expression: angle.scale * (1 if axis == "y" else 2)} for axis, angle in turns]
        (angles,) = Angles(everything, params, params[:0])([(slots, True)])
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        self.turns = {turn: (cos[k], sin[k]) for turn, k in place.items() if turn[0] == "z"}
        parts = np.array([_PARTS[axis] for axis, _ in turns]).reshape(-1, 3, 4, 4).swapaxes(0, 1).astype(self.dtype)
        rotations = parts[0] + cos[:, None, None] * parts[1] + sin[:, None, None] * parts[2]
        self.factors = self.products(levels, rotations, place)
        low, high = self.factors[:, : self.n // 2 * 2 : 2], self.factors[:, 1::2]
        both = high[:, :, :, None, :, None] * low[:, :, None, :, None, :]
        self.blocks = both.reshape(len(levels), self.n // 2, 16, 16)

    def products(self, levels: Sequence[Level], rotations: Any, place: dict[Any, int]) -> Array:
        """What acts on each qubit alone, of all levels at once: matrices from a pool are multiplied."""
        pool: list[Array] = [jnp.eye(4, dtype=self.dtype)]
        known: dict[Any, int] = {}
        depth = max((len(parts) for level in levels for parts in level.products.values()), default=0)
        index = np.zeros((depth, len(levels), self.n), np.int32)
        for row, level in enumerate(levels):
            for q, parts in level.products.items():
                for k, part in enumerate(parts):
                    if isinstance(part, Turn):
                        index[k, row, q] = -1 - place[part.axis, part.angle]
                        continue
                    assert not isinstance(part, Op)
                    key = part.number if isinstance(part, Channel) else part.matrix.tobytes()
                    if key not in known:
                        known[key] = len(pool)
                        own = self.channel(part) if isinstance(part, Channel) else jnp.asarray(part.matrix, self.dtype)
                        pool.append(jnp.diag(own) if own.ndim == 1 else own)
                    index[k, row, q] = known[key]
        index = np.where(index < 0, len(pool) - 1 - index, index)
        matrices = jnp.concatenate([jnp.stack(pool), rotations])
        out = taken(matrices, index[0]) if depth else jnp.broadcast_to(pool[0], (len(levels), self.n, 4, 4))
        for k in range(1, depth):
            out = jnp.sum(taken(matrices, index[k])[..., :, :, None] * out[..., None, :, :], axis=-2)
        return out

    def channel(self, channel: Channel) -> Array:
        """Its transfer matrix, or the diagonal of that."""
        if channel.number >= 0:
            return self.channels[channel.number]
        matrix = jnp.asarray(self.constants[~channel.number], self.dtype)
        return matrix if channel.classes is None else jnp.diagonal(matrix)

    def level(self, k: int, level: Level, state: Array) -> Array:
        if level.moves:
            state = self.move(level, state)
        if level.products:
            state = self.product(k, level, state)
        for part in level.others:
            if isinstance(part, Turn):
                state = self.turn(part, state)
            elif isinstance(part, Op):
                state = self.wide(part, state)
            else:
                own = self.channel(part) if isinstance(part, Channel) else jnp.asarray(part.matrix, self.dtype)
                state = self.on_few(own, part.qubits, state)
        return state

    def move(self, level: Level, state: Array) -> Array:
        source, target, sign, factors = pauli_levels.moves(level, self.n)
        if any(isinstance(item, Matrix) for item in level.moves):
            none = np.zeros(1, np.int32)
            state = operations.run("permute", state[None], (none, source, none, target))[0]
            if (sign < 0).any():
                state = state * sign.astype(self.dtype)
        return state * self.decay(level, factors) if factors else state

    def decay(self, level: Level, factors: Any) -> Array:
        """The product of what the channels multiply each string by. There are few different ones, most of the time."""
        shapes, which = pauli_levels.shapes(level, self.n)
        of_classes = {number: taken(self.channel(Channel(number, (), ())), first) for number, first, _ in factors}
        if shapes is None or which is None:
            return functools.reduce(jnp.multiply, (taken(of_classes[number], at) for number, _, at in factors))
        each = (taken(of_classes[number], at) for (number, _, _), at in zip(factors, shapes, strict=True))
        return taken(functools.reduce(jnp.multiply, each), which)

    def product(self, k: int, level: Level, state: Array) -> Array:
        """4x4 matrices on some qubits; two qubits share a matrix product if there are many."""
        if 2 * len(level.products) < self.n:
            for q in level.products:
                state = _on_qubit(self.factors[k, q], q, state)
            return state
        for pair in range(self.n // 2):  # the lowest, which are last, move to the front; in the end all have
            state = _turned(self.blocks[k, pair], state)
        return _turned(self.factors[k, -1], state) if self.n % 2 else state

    def turn(self, turn: Turn, state: Array) -> Array:
        """exp(i a Z...Z): strings that anticommute with it turn to their partners."""
        other, sign = pauli_levels.partner(turn.qubits, self.n)
        cos, sin = self.turns[turn.axis, turn.angle]
        none = np.zeros(1, np.int32)
        partner = operations.run("permute", state[None], (none, other, none, other))[0]
        signs = sign.astype(self.dtype)
        return jnp.where(sign != 0, cos, 1) * state + sin * signs * partner

    def on_few(self, matrix: Array, qubits: tuple[int, ...], state: Array) -> Array:
        """A transfer matrix, or its diagonal, on some qubits."""
        n, k = self.n, len(qubits)
        axes = [n - 1 - q for q in reversed(qubits)]
        state = jnp.moveaxis(state.reshape((4,) * n), axes, range(k))
        shape = state.shape
        rows = state.reshape(4**k, -1)
        rows = matrix[:, None] * rows if matrix.ndim == 1 else jnp.matmul(matrix, rows, precision=PRECISION)
        return jnp.moveaxis(rows.reshape(shape), range(k), axes).reshape(-1)

    def wide(self, op: Op, state: Array) -> Array:
        """Any operation: on the rows of the density matrix, then on its columns."""
        program = dataclasses.replace(self.program, ops=(op,), measured=None)
        matrix = to_matrix(state)
        for _ in range(2):
            matrix = run_on(plan(program), self.params[:, None], matrix)
            matrix = jnp.stack([matrix[0].T, -matrix[1].T])
        return from_matrix(matrix)


_EMPTY = Program(1, (), (), ())


def _turns(level: Level) -> list[tuple[str, Angle]]:
    parts = [*(part for parts in level.products.values() for part in parts), *level.others]
    return [(part.axis, part.angle) for part in parts if isinstance(part, Turn)]


def _parts_of_turn(i: int, j: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What of a rotation from string i to j stays, goes with the cosine, and with the sine."""
    fixed, even, odd = np.zeros((3, 4, 4))
    for k in range(4):
        (even if k in (i, j) else fixed)[k, k] = 1
    odd[j, i], odd[i, j] = 1, -1
    return fixed, even, odd


_PARTS = {"y": _parts_of_turn(2, 1), "z": _parts_of_turn(3, 1)}  # RY turns Z to X, exp(i a Z) Y to X


def _turned(matrix: Array, state: Array) -> Array:
    """A matrix on the lowest digits, which become the highest."""
    rows = state.reshape(-1, len(matrix))
    return lax.dot_general(matrix, rows, (((1,), (1,)), ((), ())), precision=PRECISION).reshape(-1)


def _on_qubit(matrix: Array, q: int, state: Array) -> Array:
    parts = jnp.split(state.reshape(-1, 4, 4**q), 4, axis=1)
    rows = [sum(matrix[i, j] * parts[j] for j in range(4)) for i in range(4)]
    return jnp.concatenate(rows, axis=1).reshape(-1)


# To and from matrices. One qubit: rho = sum_P tr(P rho) P / 2, so that with rows for I, X, Z, Y


def to_matrix(state: Array) -> Array:
    """tr(P rho) -> rho, (2, 2**n, 2**n), real and imaginary parts."""
    n = (state.size.bit_length() - 1) // 2
    change = strings(1).reshape(4, 4).T / 2  # of (row, column) and string
    out = _change(change, jnp.stack([state, jnp.zeros_like(state)]), n)
    order = [*(1 + 2 * k for k in range(n)), *(2 + 2 * k for k in range(n))]
    return out.reshape(2, *(2,) * (2 * n)).transpose(0, *order).reshape(2, 1 << n, 1 << n)


def from_matrix(matrix: Array) -> Array:
    """rho, (2, 2**n, 2**n) -> tr(P rho)."""
    n = matrix.shape[1].bit_length() - 1
    order = [a for k in range(n) for a in (1 + k, 1 + n + k)]
    pairs = matrix.reshape(2, *(2,) * (2 * n)).transpose(0, *order).reshape(2, -1)
    return _change(strings(1).transpose(0, 2, 1).reshape(4, 4), pairs, n)[0]


def _change(matrix: np.ndarray, state: Array, n: int) -> Array:
    """A complex 4x4 matrix on every digit of (2, 4**n)."""
    real, imag = (jnp.asarray(part, state.dtype) for part in (matrix.real, matrix.imag))
    for _ in range(n):
        rows = state.reshape(2, -1, 4)
        re, im = (jnp.einsum("cxj,ij->cix", rows, part, precision=PRECISION).reshape(2, -1) for part in (real, imag))
        state = jnp.stack([re[0] - im[1], re[1] + im[0]])
    return state


# What is read.


def probabilities(state: Array, qubits: Sequence[int]) -> Array:
    """The probabilities (2**k,) of outcomes of some qubits: bit j of an outcome is `qubits[j]`."""
    spread = sum((np.arange(1 << len(qubits)) >> j & 1) << 2 * q + 1 for j, q in enumerate(qubits))
    of_strings = taken(state, np.reshape(spread, -1))  # strings of Z
    out = of_strings.reshape(1, -1)
    half = np.array([[0.5, 0.5], [0.5, -0.5]])
    for _ in qubits:
        out = jnp.einsum("xj,ij->ix", out.reshape(-1, 2), jnp.asarray(half, state.dtype), precision=PRECISION)
    return out.reshape(-1)


def reduced(state: Array, qubits: Sequence[int]) -> Array:
    """The coefficients of the reduced density matrix of some qubits, in that order."""
    spread = np.zeros(4 ** len(qubits), np.int64)
    for j, q in enumerate(qubits):
        spread |= (np.arange(len(spread)) >> 2 * j & 3) << 2 * q
    return taken(state, spread)


def size(n: int, dtype: Any) -> int:
    """Bytes of a state."""
    return 4**n * np.dtype(dtype).itemsize


def measured(state: Array, qubits: Sequence[int], readout: Array | None) -> Array:
    """The state whose exact readout is that of `state` by faulty ones, with matrices P[true][read], (k, 2, 2)."""
    if readout is None:
        return state
    for q, p in zip(qubits, readout, strict=True):
        constant, slope = of_letter(p)
        shift = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], state.dtype)
        matrix = np.diag([1, 0, 0, 0]).astype(state.dtype) + slope * np.diag([0, 1, 1, 1]).astype(state.dtype)
        state = _on_qubit(matrix + constant * shift, q, state)
    return state
