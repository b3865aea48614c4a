"""`evolve`: many layers as one differentiable operation whose backward pass keeps no states.

Layers are orthogonal, so the backward pass recomputes the input of each layer from its output (the adjoint method): it
needs a few states, however many layers there are, where backpropagation keeps one for every layer.

`jax.custom_vjp` would say as much, but it forbids forward mode. These two primitives allow every derivative: `evolve`
has as its derivative `push`, which is linear in the tangents; `push` is computed in forward mode by JAX's own rules for
the layers, and transposed by the adjoint method, which is itself made of differentiable operations.

References:
    T. Jones, J. Gacon, "Efficient calculation of gradients in classical simulations of variational quantum algorithms",
    arXiv:2009.02823 (2020).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from qmljax._engine import operations
from qmljax._forgetting import forgetful_jit


class Invertible(Protocol):
    """A run of layers that is invertible. Compared by identity."""

    def forward(self, angles: Sequence[Array], state: Array) -> Array: ...

    def backward(self, angles: Sequence[Array], state: Array, cotangent: Array) -> tuple[Array, Array, list[Array]]: ...


def evolve(segments: tuple[Invertible, ...], angles: Sequence[Sequence[Array]], state: Array) -> Array:
    """Runs the segments, each with its own angles, on a state (C, 2**n, *batch)."""
    counts = tuple(len(a) for a in angles)
    return EVOLVE.bind(state, *(x for a in angles for x in a), segments=segments, counts=counts)


def _split(flat: Sequence[Any], counts: Sequence[int]) -> list[Sequence[Any]]:
    ends = np.cumsum((0, *counts))
    return [flat[i:j] for i, j in zip(ends[:-1], ends[1:], strict=True)]


def _forward(state: Array, *angles: Array, segments: tuple[Invertible, ...], counts: tuple[int, ...]) -> Array:
    for segment, own in zip(segments, _split(angles, counts), strict=True):
        state = segment.forward(own, state)
    return state


def _backward(
    out: Array, angles: Sequence[Array], cotangent: Array, segments: tuple[Invertible, ...], counts: tuple[int, ...]
) -> tuple[Array, Array, list[Array]]:
    """The input, its cotangent, and the cotangents of the angles."""
    cotangents: list[Array] = []
    for segment, own in zip(reversed(segments), reversed(_split(angles, counts)), strict=True):
        out, cotangent, mine = segment.backward(own, out, cotangent)
        cotangents = [*mine, *cotangents]
    return out, cotangent, cotangents


def _push_forward(out: Array, *operands: Array, segments: tuple, counts: tuple, live: tuple[bool, ...]) -> Array:
    """The tangent of `out`, from the angles and the tangents of those operands (state, *angles) that are `live`."""
    angles, given = operands[: sum(counts)], iter(operands[sum(counts) :])
    state = out
    for segment, own in zip(reversed(segments), reversed(_split(angles, counts)), strict=True):
        state, _, _ = segment.backward(own, state, state)
    primals = (state, *angles)
    tangents = tuple(next(given) if alive else jnp.zeros_like(p) for p, alive in zip(primals, live, strict=True))
    primals, tangents = zip(*map(jnp.broadcast_arrays, primals, tangents), strict=True)  # one may be batched alone
    return jax.jvp(partial(_forward, segments=segments, counts=counts), primals, tangents)[1]


def _primitive(name: str, function: Any, statics: tuple[str, ...]) -> Primitive:
    primitive = operations.Varying(name)
    primitive.def_impl(forgetful_jit(function, static_argnames=statics))

    def abstract(state: Any, *rest: Any, **params: Any) -> Any:
        shapes = [_typed(x) for x in (state, *rest)]
        return operations.result(jax.eval_shape(partial(function, **params), *shapes).shape, state)

    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))

    def batch(args: Any, dims: Any, **params: Any) -> Any:
        # One more trailing batch dimension for all: of size 1 for angles, full for states, which a scan carries.
        (size,) = {x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None}
        moved = [x[..., None] if d is None else jnp.moveaxis(x, d, -1) for x, d in zip(args, dims, strict=True)]
        moved[0] = jnp.broadcast_to(moved[0], (*moved[0].shape[:-1], size))
        return primitive.bind(*moved, **params), moved[0].ndim - 1

    batching.primitive_batchers[primitive] = batch
    return primitive


def _typed(x: Any) -> jax.ShapeDtypeStruct:
    """A value of some type; segments that send states between devices ask what it varies over."""
    if not x.manual_axis_type.varying:
        return jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding, manual_axis_type=x.manual_axis_type)


EVOLVE = _primitive("qmljax_evolve", _forward, ("segments", "counts"))
_push = _primitive("qmljax_push", _push_forward, ("segments", "counts", "live"))


def _evolve_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    out = EVOLVE.bind(*primals, **params)
    live = tuple(not isinstance(t, ad.Zero) for t in tangents)
    given = [t for t in tangents if not isinstance(t, ad.Zero)]
    if not given:
        return out, operations.zero_of(out)
    return out, _push.bind(out, *primals[1:], *given, live=live, **params)


def _push_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    return jax.jvp(partial(_push_forward, **params), primals, tuple(map(ad.instantiate_zeros, tangents)))


def _push_transpose(cotangent: Any, out: Any, *operands: Any, segments: Any, counts: Any, live: Any) -> Any:
    count = sum(counts)
    if isinstance(cotangent, ad.Zero):
        return [None] * (1 + len(operands))
    angles, tangents = list(operands[:count]), operands[count:]
    targets = dict(zip(np.flatnonzero(live), tangents, strict=True))  # of the state, 0, and of angle k, k + 1
    for k, tangent in targets.items():  # a tangent may have a batch that its angle does not have
        if k > 0 and ad.is_undefined_primal(tangent):
            shape = np.broadcast_shapes(angles[k - 1].shape, tangent.aval.shape)
            angles[k - 1] = jnp.broadcast_to(angles[k - 1], shape)
    _, state, gradients = _backward(out, angles, cotangent, segments, counts)
    gradients = [state, *gradients]
    return [None] * (1 + count) + [
        operations.sum_batch(gradients[k], x.aval.shape) if ad.is_undefined_primal(x) else None
        for k, x in targets.items()
    ]


ad.primitive_jvps[EVOLVE] = _evolve_jvp
ad.primitive_jvps[_push] = _push_jvp
ad.primitive_transposes[_push] = _push_transpose
