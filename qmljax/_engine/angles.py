"""The angles of the layers, from the parameters.

Angles that depend on the inputs have the inputs' batch dimensions; those that depend on weights alone do not, so that
whatever the batch shares is computed once.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.expressions import Affine, evaluate, parameters
from qmljax._circuit.program import Program
from qmljax._engine.layers import TABLE_QUBITS, Combination
from qmljax._engine.plan import Plan

# 2 pi in four parts: the first three have so few digits that their products with half of those of a number are exact.
_TWO_PI = Fraction("6.2831853071795864769252867665590057683943387987502116419498891846156328125724179972560696506842")
_HALF = {4: (12, np.uint32), 8: (26, np.uint64)}  # by the size of a float: half of its binary digits


def without_turns(x: Array, periodic: np.ndarray) -> Array:
    """Angles modulo 2 pi, about in [-pi, pi], where `periodic`: no less precise than the cosine of `x` itself.

    This is the argument reduction of Cody and Waite. The number of turns has up to all the digits of a float, so it is
    cut into two halves; and its last digit may be wrong, so that a few turns are left, which go as soon as one knows.
    """
    dtype, (half, bits) = x.dtype, _HALF[x.dtype.itemsize]
    first, second, third, last = (np.asarray(part, dtype) for part in _parts(half))
    per_turn, chosen = np.asarray(1 / (2 * np.pi), dtype), periodic.astype(dtype)
    turns = jnp.round(lax.stop_gradient(x) * per_turn) * chosen
    mask = np.asarray((1 << 8 * dtype.itemsize) - (1 << half), bits)
    high = lax.bitcast_convert_type(lax.bitcast_convert_type(turns, bits) & mask, dtype)
    low = turns - high
    x = (((x - high * first) - low * first) - high * second) - low * second  # exact
    few = jnp.round((lax.stop_gradient(x) - turns * (third + last)) * per_turn) * chosen
    x = ((((x - few * first) - high * third) - few * second) - low * third) - few * third
    return x - turns * last


@functools.cache
def _parts(digits: int) -> tuple[float, ...]:
    """2 pi as a sum of three numbers of so many binary digits and one of a float's."""
    parts, rest = [], _TWO_PI
    for _ in range(3):
        mantissa, exponent = np.frexp(float(rest))
        parts.append(float(np.ldexp(np.trunc(np.ldexp(mantissa, digits)), exponent - digits)))
        rest -= Fraction(parts[-1])
    return (*parts, float(rest))


class Angles:
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
        self.large = program.num_qubits > TABLE_QUBITS
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
        """For each list of slots its angles, (len(slots), *batch), modulo turns of 2 pi where the request says so.

        The batch dimensions are 1 where no slot of the list involves an input. All lists are evaluated together.
        """
        groups: tuple[list[int], ...] = ([], [], [])
        result: list[Array] = [self.values[0][:0]] * len(requests)
        for k, (slots, _) in enumerate(requests):
            kinds = {self.kind[e] for slot in slots for e in slot if e >= 0}
            if kinds:
                groups[kinds.pop() if len(kinds) == 1 else 2].append(k)
            elif slots:  # numbers stay apart: under `vmap` over the weights, all that comes before these has no batch
                numbers = np.array([number(slot, requests[k][1]) for slot in slots], self.values[0].dtype)
                shaped = jnp.asarray(numbers.reshape(-1, *(1,) * (self.values[0].ndim - 1)))
                # XLA would compute what follows of them while it compiles, tables of the whole state included.
                result[k] = lax.optimization_barrier(shaped) if self.large else shaped
        for group, values, place in zip(groups, self.values, (self.place, self.place, self.place_of_all), strict=True):
            pairs = [(slot, requests[k][1]) for k in group for slot in requests[k][0]]
            if not pairs:
                continue
            terms: list[Affine] = []
            periodic: list[bool] = []
            sums: list[Affine] = []
            for slot, is_periodic in pairs:
                own = [Affine(0.0, ((place[e], c),)) for e, c in sorted(slot.items()) if e >= 0 and c]
                numbered = range(len(terms), len(terms) + len(own))
                sums.append(Affine(number(slot, is_periodic), tuple((t, 1.0) for t in numbered)))
                terms += own
                periodic += [is_periodic] * len(own)
            angles = evaluate(tuple(terms), values)
            # In float32 a sum of large angles loses digits that a sum of small ones keeps.
            if any(periodic):
                angles = without_turns(angles, np.reshape(periodic, (-1, *(1,) * (angles.ndim - 1))))
            angles = evaluate(tuple(sums), angles)
            ends = np.cumsum([len(requests[k][0]) for k in group])
            for k, part in zip(group, jnp.split(angles, ends[:-1]), strict=True):
                result[k] = part
        return result


def number(slot: Combination, periodic: bool) -> float:
    """The constant part of a slot, modulo turns of 2 pi if it is periodic."""
    constant = slot.get(-1, 0.0)
    return math.remainder(constant, 2 * math.pi) if periodic and math.isfinite(constant) else constant


def _placed(positions: tuple[int, ...], values: Array, program: Program) -> Array:
    """`values` in the order of the program's parameters; zero where there is none."""
    if positions == tuple(range(program.num_parameters)):
        return values
    order = np.full(program.num_parameters, len(values))
    order[list(positions)] = np.arange(len(positions))
    padded = jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])
    return padded.at[order].get(mode="promise_in_bounds")
