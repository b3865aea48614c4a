"""The differentiable operations on a state, closed under differentiation: exp(sum_k a_k G_k), G_k and ``<., G_k .>``.

The generators of a layer commute and are antisymmetric, so all derivatives of a layer, of any order and either mode,
are made of three functions of the layer:

    d apply(a, S)    = apply(a, dS) + generate(da, apply(a, S)),    apply(a, .)^T   = apply(-a, .)
    d generate(a, S) = generate(da, S) + generate(a, dS),           generate(a, .)^T = -generate(a, .)
    d moments(L, S)  = moments(dL, S) + moments(L, dS),             moments(., S)^T m = generate(m, S)

They are JAX primitives because two things cannot be said otherwise: that only the output of a layer is kept for the
backward pass, and that `vmap` shall put the batch last, where every layer is fast (JAX's own rules put it first).
Permutations and constant matrices, which are linear, are a fourth primitive, whose transpose is the inverse gather and
not a scatter.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from qmljax._engine import state as states
from qmljax._forgetting import forgetful_jit
from qmljax._meshes import shared_by


class Rotations(NamedTuple):
    """The kind of a product layer, which acts on some qubits, in ascending order."""

    qubits: tuple[int, ...]


Kind = str | Rotations


def run(kind: Kind, state: Array, tables: Sequence[Array | np.ndarray], angles: Array | None = None) -> Array:
    """A layer acts on a state (C, 2**n, *batch).

    - `Rotations(qubits)`: RY(2 a_k) on each of the qubits; `angles` (K, *batch), `tables` their cosines and sines.
    - "phases": exp(i sum_k a_k c_k(z)); `angles` (K, *batch), `tables` low, or low and high, of `basis.Tables`.
    - "permute": new[y] = state[source(y)]; `tables` two of source and two of its inverse, as in `layers.Permutation`.
    - "multiply": a constant diagonal; `tables` one of shape (2**n,), or (2, 2**n) if complex.
    - "transform": a constant matrix on the highest qubits; `tables` one of shape (C K, C K), on (Re, Im) stacked.
    """
    if angles is None:
        return _linear.bind(state, *tables, kind=kind)
    return _apply.bind(angles, state, *tables, layer=kind)


def undo(kind: Kind, state: Array, tables: Sequence[Array], angles: Array | None = None) -> Array:
    """The inverse of `run`, and its transpose: all layers are orthogonal."""
    return run(kind, state, _inverse(kind, tables), None if angles is None else -angles)


def generate(kind: Kind, angles: Array, state: Array, tables: Sequence[Array]) -> Array:
    """sum_k a_k G_k state, for the generators of a layer with angles: the shapes are those of `run`."""
    tables = () if isinstance(kind, Rotations) else tables
    return _generate.bind(angles, state, *tables, layer=kind)


def moments(kind: Kind, left: Array, state: Array, tables: Sequence[Array], batch: tuple[int, ...]) -> Array:
    """``<left, G_k state>`` for each generator of a layer with angles: (K, *batch), summed where `batch` is 1."""
    tables = () if isinstance(kind, Rotations) else tables
    return _moments.bind(left, state, *tables, layer=kind, batch=batch)


# What the primitives compute.


def _do_apply(a: Any, state: Any, *tables: Any, layer: Any, devices: int = 1) -> Any:
    if isinstance(layer, Rotations):
        cos, sin = tables
        return _broadcast(states.rotate(cos, sin, state, layer.qubits, devices), a, state)
    return _broadcast(states.shift_phases(a, state, *tables), a, state)


def _do_generate(a: Any, state: Any, *tables: Any, layer: Any) -> Any:
    if isinstance(layer, Rotations):
        return _broadcast(states.rotate_generate(a, state, layer.qubits), a, state)
    return _broadcast(states.phases_generate(a, state, *tables), a, state)


def _do_moments(left: Any, state: Any, *tables: Any, layer: Any, batch: Any, devices: int = 1) -> Any:
    full = np.broadcast_shapes(left.shape, state.shape)
    left, state = jnp.broadcast_to(left, full), jnp.broadcast_to(state, full)
    if devices > 1:
        return _by_groups(partial(_do_moments, layer=layer, batch=batch), left, state, tables, batch, devices)
    if isinstance(layer, Rotations):
        return states.rotate_moments(left, state, batch, layer.qubits)
    return states.phases_moments(left, state, batch, *tables)


def _by_groups(
    moments: Callable, left: Array, state: Array, tables: Sequence[Any], batch: tuple[int, ...], devices: int
) -> Array:
    """Moments as sums over groups of the elements of a batch, of which each device has some of its own.

    So few numbers are summed over devices, those of the layer, where products of amplitudes would be.
    """
    shape, fronts = list(state.shape[:2]), []
    for size, kept in zip(state.shape[2:], batch, strict=True):
        groups = math.gcd(size, devices) if kept == 1 else 1
        if groups > 1:
            fronts.append(len(shape))
            shape.append(groups)
        shape.append(size // groups)
    rest = [k for k in range(len(shape)) if k not in fronts]
    split = [x.reshape(shape).transpose(*fronts, *rest) for x in (left, state)]
    grouped = lambda left, state: moments(left, state, *tables)  # noqa: E731
    for _ in fronts:
        grouped = jax.vmap(grouped)
    return jnp.sum(grouped(*split), axis=tuple(range(len(fronts))))


def _broadcast(new: Array, a: Array, state: Array) -> Array:
    return jnp.broadcast_to(new, state.shape[:2] + np.broadcast_shapes(a.shape[1:], state.shape[2:]))


def _do_linear(state: Any, *tables: Any, kind: Any) -> Any:
    if kind == "permute":
        return states.permute(state, *tables[:2])
    if kind == "multiply":
        return states.multiply(state, tables[0])
    return states.transform(state, tables[0])


class Varying(Primitive):
    """A primitive whose operands all vary over the same axes of a `shard_map`, as the result does.

    What does not vary, such as the weights of a model whose inputs are sharded, is said to: the transpose of that is
    the sum over the devices, without which its gradient would lack their shares.
    """

    def bind(self, *args: Any, **params: Any) -> Any:
        own = [jax.typeof(x).manual_axis_type.varying for x in args]
        if axes := frozenset().union(*own):
            pairs = zip(args, own, strict=True)
            args = tuple(x if a == axes else jax.lax.pcast(x, tuple(axes - a), to="varying") for x, a in pairs)
        return super().bind(*args, **params)


def result(shape: tuple[int, ...], like: Any) -> jax.core.ShapedArray:
    """The type of a result of this shape, which is otherwise like an operand."""
    if like.sharding.mesh.empty:
        return jax.core.ShapedArray(shape, like.dtype)
    whole = NamedSharding(like.sharding.mesh, PartitionSpec(*[None] * len(shape)))  # on each device
    return jax.core.ShapedArray(shape, like.dtype, sharding=whole, manual_axis_type=like.manual_axis_type)


def _primitive(name: str, function: Callable, shape: Callable) -> Primitive:
    """A primitive that computes `function` of arrays whose dtype the result has, and whose shapes give `shape`."""
    primitive = Varying(name)
    named = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    static = [name for name in named if name != "devices"]
    primitive.def_impl(forgetful_jit(primitive.bind, static_argnames=static))
    # The shapes are worked out here, since tracing `function` for them would take as long as all else.
    primitive.def_abstract_eval(lambda *args, **kwargs: result(shape(*(x.shape for x in args), **kwargs), args[0]))

    def lower(ctx: Any, *args: Any, **params: Any) -> Any:
        devices = _devices(ctx.module_context.axis_context) if "devices" in named else 1
        own = function if devices == 1 else partial(function, devices=devices)
        return mlir.lower_fun(own, multiple_results=False)(ctx, *args, **params)

    mlir.register_lowering(primitive, lower)
    return primitive


def _devices(context: Any) -> int:
    """Over how many devices XLA may spread an array: in a `shard_map` over all of them, one."""
    mesh = getattr(context, "mesh", None)
    return getattr(context, "num_devices", 1) if mesh is None else shared_by(mesh, context.manual_axes)


def _shape_of_moments(left: Any, state: Any, *tables: Any, layer: Any, batch: Any) -> Any:
    count = len(layer.qubits) if isinstance(layer, Rotations) else tables[-1][0]
    full = np.broadcast_shapes(left[2:], state[2:])
    return (count, *(1 if kept == 1 else size for size, kept in zip(full, batch, strict=True)))


def _shape_of_apply(a: Any, state: Any, *tables: Any, layer: Any) -> Any:
    return (*state[:2], *np.broadcast_shapes(a[1:], state[2:]))


_apply = _primitive("qmljax_apply", _do_apply, _shape_of_apply)
_generate = _primitive("qmljax_generate", _do_generate, _shape_of_apply)
_moments = _primitive("qmljax_moments", _do_moments, _shape_of_moments)
_linear = _primitive("qmljax_linear", _do_linear, lambda state, *tables, kind: state)


# Derivatives. Tables are constants: their tangents are always zero.


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, ad.Zero)


def zero_of(value: Any) -> Any:
    """The tangent of a value that does not change."""
    return ad.Zero.from_primal_value(value)  # type: ignore[attr-defined]  # it is there; the stub of JAX lacks it


def _sum(terms: list, like: Any) -> Any:
    if not terms:
        return zero_of(like)
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def _apply_jvp(primals: Any, tangents: Any, *, layer: Any) -> Any:
    a, state, *tables = primals
    da, dstate = tangents[:2]
    out = _apply.bind(*primals, layer=layer)
    terms = [] if _is_zero(dstate) else [_apply.bind(a, dstate, *tables, layer=layer)]
    if not _is_zero(da):
        terms.append(generate(layer, da, out, tables))
    return out, _sum(terms, out)


def _apply_transpose(cotangent: Any, a: Any, state: Any, *tables: Any, layer: Any) -> Any:
    if _is_zero(cotangent):
        return [None] * (2 + len(tables))
    back = undo(layer, cotangent, tables, a)
    return [None, sum_batch(back, state.aval.shape)] + [None] * len(tables)


def _generate_jvp(primals: Any, tangents: Any, *, layer: Any) -> Any:
    a, state, *tables = primals
    da, dstate = tangents[:2]
    out = _generate.bind(*primals, layer=layer)
    terms = [] if _is_zero(da) else [_generate.bind(da, state, *tables, layer=layer)]
    if not _is_zero(dstate):
        terms.append(_generate.bind(a, dstate, *tables, layer=layer))
    return out, _sum(terms, out)


def _generate_transpose(cotangent: Any, a: Any, state: Any, *tables: Any, layer: Any) -> Any:
    rest = [None] * len(tables)
    if _is_zero(cotangent):
        return [None, None, *rest]
    if ad.is_undefined_primal(a):
        return [_moments.bind(cotangent, state, *tables, layer=layer, batch=a.aval.shape[1:]), None, *rest]
    back = -_generate.bind(a, cotangent, *tables, layer=layer)
    return [None, sum_batch(back, state.aval.shape), *rest]


def _moments_jvp(primals: Any, tangents: Any, *, layer: Any, batch: Any) -> Any:
    left, state, *tables = primals
    dleft, dstate = tangents[:2]
    bind = partial(_moments.bind, layer=layer, batch=batch)
    out = bind(*primals)
    terms = [] if _is_zero(dleft) else [bind(dleft, state, *tables)]
    if not _is_zero(dstate):
        terms.append(bind(left, dstate, *tables))
    return out, _sum(terms, out)


def _moments_transpose(cotangent: Any, left: Any, state: Any, *tables: Any, layer: Any, batch: Any) -> Any:
    rest = [None] * len(tables)
    if _is_zero(cotangent):
        return [None, None, *rest]
    if ad.is_undefined_primal(left):
        return [sum_batch(_generate.bind(cotangent, state, *tables, layer=layer), left.aval.shape), None, *rest]
    return [None, sum_batch(-_generate.bind(cotangent, left, *tables, layer=layer), state.aval.shape), *rest]


def sum_batch(value: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of broadcasting `shape` to that of `value`."""
    axes = tuple(k for k, size in enumerate(shape) if size == 1 and value.shape[k] != 1)
    return jnp.sum(value, axis=axes, keepdims=True) if axes else value


def _linear_jvp(primals: Any, tangents: Any, *, kind: Any) -> Any:
    state, *tables = primals
    out = _linear.bind(*primals, kind=kind)
    return out, _sum([] if _is_zero(tangents[0]) else [_linear.bind(tangents[0], *tables, kind=kind)], out)


def _linear_transpose(cotangent: Any, state: Any, *tables: Any, kind: Any) -> Any:
    rest = [None] * len(tables)
    if _is_zero(cotangent):
        return [None, *rest]
    return [undo(kind, cotangent, tables), *rest]


def _inverse(kind: Kind, tables: Sequence[Array]) -> Sequence[Array]:
    """The tables of the inverse of a layer."""
    if isinstance(kind, Rotations):
        return [tables[0], -tables[1]]
    if kind == "phases":
        return tables
    if kind == "permute":
        return [*tables[2:], *tables[:2]]
    if kind == "multiply":
        return tables if tables[0].ndim == 1 else [tables[0] * np.array([[1], [-1]], tables[0].dtype)]
    return [tables[0].T]


for _p, _jvp, _transpose in (
    (_apply, _apply_jvp, _apply_transpose),
    (_generate, _generate_jvp, _generate_transpose),
    (_moments, _moments_jvp, _moments_transpose),
    (_linear, _linear_jvp, _linear_transpose),
):
    ad.primitive_jvps[_p] = _jvp
    ad.primitive_transposes[_p] = _transpose


# Batching. Every operand but the tables gets one more trailing batch dimension, of size 1 where it is not batched.


def _batch_last(primitive: Primitive, operands: int) -> None:
    def rule(args: Any, dims: Any, **params: Any) -> Any:
        count = len(args) if isinstance(params.get("layer"), Rotations) else operands  # no tables
        if any(d is not None for d in dims[count:]):
            return _loop(primitive, args, dims, params)
        heads = [
            jnp.expand_dims(x, x.ndim) if d is None else jnp.moveaxis(x, d, -1)
            for x, d in zip(args[:count], dims, strict=False)
        ]
        if "batch" in params:
            (size,) = np.broadcast_shapes(*(x.shape[-1:] for x in heads))
            params = {**params, "batch": (*params["batch"], size)}
        out = primitive.bind(*heads, *args[count:], **params)
        return out, out.ndim - 1

    batching.primitive_batchers[primitive] = rule


def _loop(primitive: Primitive, args: Sequence, dims: Sequence, params: dict) -> tuple[Array, int]:
    """Batched tables: one call for each element. Nothing in qmljax batches tables; JAX itself may."""
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    moved = [x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    outs = [
        primitive.bind(*(x if d is None else x[k] for x, d in zip(moved, dims, strict=True)), **params)
        for k in range(size)
    ]
    return jnp.stack(outs), 0


for _p, _operands in ((_apply, 2), (_generate, 2), (_moments, 2), (_linear, 1)):
    _batch_last(_p, _operands)
