"""The angles of the layers, from the parameters.

Angles that depend on the inputs have the inputs' batch dimensions; those that depend on weights alone do not, so that
whatever the batch shares is computed once.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.expressions import Affine, evaluate, parameters
from qmljax._circuit.program import Program
from qmljax._engine.layers import Combination
from qmljax._engine.plan import Plan


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


def _placed(positions: tuple[int, ...], values: Array, program: Program) -> Array:
    """`values` in the order of the program's parameters; zero where there is none."""
    if positions == tuple(range(program.num_parameters)):
        return values
    order = np.full(program.num_parameters, len(values))
    order[list(positions)] = np.arange(len(positions))
    padded = jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])
    return padded.at[order].get(mode="promise_in_bounds")
