"""Questions to circuits, answered by programs which all circuits of a size share, as JAX knows them.

Two primitives: `answer`, and its derivative `push`, which is linear; the transpose of that is `pull`. Where numbers are
not there, or a second derivative is taken, they are as any other function of arrays.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from qmljax._engine.any_circuit import rounded
from qmljax._forgetting import forgetful_jit
from qmljax._meshes import on_meshes
from qmljax._models.questions import ROWS, At, Question

COPIES = 8  # of the states, which reading them takes
WORK = 1 << 20  # amplitudes times levels times rows of a call: above, a program of its own is worth its compilation


def known(arrays: Sequence[Any]) -> bool:
    """Whether the numbers are there, on the default device and no mesh, and one derivative at most is being taken."""
    for array in arrays:
        if isinstance(array, jax.core.Tracer):
            array = getattr(array, "primal", array)
            if isinstance(array, jax.core.Tracer):
                return False
        if isinstance(array, jax.Array) and array.devices() != {jax.devices()[0]}:
            return False
    here = jax.sharding.get_abstract_mesh().empty
    return here and not isinstance(_here.bind(), jax.core.Tracer)  # not within `jax.jit`


def numbers(array: Any) -> np.ndarray:
    """The numbers of an array whose numbers are known."""
    return np.asarray(getattr(array, "primal", array))


def fit(question: Question | None, arrays: Sequence[Any], memory: int | None = None) -> bool:
    """Whether there is a question, and a call small enough for the shared program, and for some bytes if need be."""
    return fit_rows(question, math.prod(np.broadcast_shapes(*(a.shape[:-1] for a in arrays))), memory)


def fit_rows(question: Question | None, count: int, memory: int | None = None, times: int = 1) -> bool:
    """`fit` for so many rows of parameters, asked so many times."""
    if question is None:
        return False
    rows = rounded(count, ROWS)
    if rows is None or not count or rows * question.work * times > WORK:
        return False
    return memory is None or COPIES * count * (16 << question.circuit.program.num_qubits) <= memory


def cost(question: Question, arrays: Sequence[Any]) -> int:
    """For how many calls one counts: 8 for the largest that the shared program takes, 1 for an eighth of it or less."""
    work = question.work * max((math.prod(a.shape[:-1]) for a in arrays if a is not None), default=1)
    return 8 if work >= WORK else max(1, 8 * work // WORK)


def answer(question: Question, *arrays: Any) -> Array:
    """`At.value`, which has derivatives; where numbers are not there, as of any other function of arrays."""
    return _answer.bind(*arrays, question=question, at=None) if known(arrays) else _traced(question, *arrays)


@functools.partial(forgetful_jit, static_argnums=0)
@functools.partial(on_meshes, skip=1)
def _traced(question: Question, *arrays: Array) -> Array:
    return question.traced(*arrays)


def _of_answer(*arrays: Any, question: Question) -> Any:
    batch = np.broadcast_shapes(*(a.shape[:-1] for a in arrays))
    dtype = jax.dtypes.canonicalize_dtype(np.result_type(*(a.dtype for a in arrays)))
    kind = np.result_type(dtype, np.complex64) if question.kind in ("amplitudes", "columns") else dtype
    return jax.core.ShapedArray(question.out(batch), kind)


def _answer_jvp(primals: Any, tangents: Any, *, question: Question, at: At | None) -> Any:
    if any(isinstance(x, jax.core.Tracer) for x in primals):  # of another derivative, or of jit
        return jax.jvp(question.traced, primals, tuple(map(ad.instantiate_zeros, tangents)))
    at = At(question, primals)
    out = _answer.bind(*primals, question=question, at=at)
    live = tuple(not isinstance(t, ad.Zero) for t in tangents)
    if not any(live):
        return out, ad.Zero(jax.typeof(out).to_tangent_aval())
    return out, _push.bind(*(t for t, alive in zip(tangents, live, strict=True) if alive), at=at, live=live)


def _all(given: Sequence[Any], live: tuple[bool, ...]) -> list[Any]:
    """The tangents of all arrays, None for those that are not varied."""
    left = iter(given)
    return [next(left) if alive else None for alive in live]


def _push_traced(*tangents: Any, at: At, live: tuple[bool, ...]) -> Array:
    primals = [jnp.asarray(x) for x in at.given]
    full = [jnp.zeros_like(p) if t is None else t for p, t in zip(primals, _all(tangents, live), strict=True)]
    return jax.jvp(at.question.traced, primals, full)[1]


def _pull_traced(cotangent: Any, *, at: At, live: tuple[bool, ...]) -> list[Array]:
    found = jax.vjp(at.question.traced, *(jnp.asarray(x) for x in at.given))[1](cotangent)
    return [x for x, alive in zip(found, live, strict=True) if alive]


def _push_now(*tangents: Any, at: At, live: tuple[bool, ...]) -> Array:
    return jax.device_put(at.push(_all(tangents, live)))


def _pull_now(cotangent: Any, *, at: At, live: tuple[bool, ...]) -> list[Array]:
    return [jax.device_put(x) for x, alive in zip(at.pull(cotangent), live, strict=True) if alive]


def _element(x: Any, axis: int | None) -> Any:
    shape = x.shape if axis is None else x.shape[:axis] + x.shape[axis + 1 :]
    return jax.ShapeDtypeStruct(shape, x.dtype)


def _one_by_one(primitive: Primitive, args: Any, dims: Any, **params: Any) -> Any:
    """Elements of a batch of tangents or cotangents, of which the shared program takes one."""
    (size,) = {x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None}
    if not size:
        shapes = jax.eval_shape(lambda *args: primitive.bind(*args, **params), *map(_element, args, dims))
        empty = jax.tree.map(lambda s: jnp.zeros((0, *s.shape), s.dtype), shapes)
        return empty, [0] * len(empty) if primitive.multiple_results else 0
    there = not any(isinstance(x, jax.core.Tracer) for x in args)
    xp: Any = np if there else jnp
    moved = [x if d is None else xp.moveaxis(xp.asarray(x), d, 0) for x, d in zip(args, dims, strict=True)]
    each = [
        primitive.bind(*(x if d is None else x[k] for x, d in zip(moved, dims, strict=True)), **params)
        for k in range(size)
    ]

    def stack(*elements: Any) -> Any:
        return jax.device_put(np.stack(elements)) if there else jnp.stack(elements)

    out = jax.tree.map(stack, *each)
    return out, [0] * len(out) if primitive.multiple_results else 0


_here, _answer, _push, _pull = (Primitive(f"qmljax_{name}") for name in ("here", "answer", "push", "pull"))
_pull.multiple_results = True

_here.def_impl(lambda: np.zeros(()))
_here.def_abstract_eval(lambda: jax.core.ShapedArray((), np.dtype(np.float32)))
mlir.register_lowering(_here, mlir.lower_fun(lambda: jnp.zeros((), np.float32), multiple_results=False))

# `at` is the question at these arrays, where a derivative has asked it already.
_answer.def_impl(lambda *arrays, question, at: jax.device_put((at or At(question, arrays)).value()))
_answer.def_abstract_eval(lambda *arrays, question, at: _of_answer(*arrays, question=question))
ad.primitive_jvps[_answer] = _answer_jvp

_push.def_impl(_push_now)
_push.def_abstract_eval(lambda *tangents, at, live: _of_answer(*at.given, question=at.question))
ad.deflinear2(_push, lambda cotangent, *tangents, **params: _pull.bind(cotangent, **params))
mlir.register_lowering(_push, mlir.lower_fun(_push_traced, multiple_results=False))

_pull.def_impl(_pull_now)
_pull.def_abstract_eval(
    lambda cotangent, *, at, live: [
        jax.core.ShapedArray(shape, dtype)
        for shape, dtype, alive in zip(at.shapes, at.dtypes, live, strict=True)
        if alive
    ]
)
ad.deflinear2(_pull, lambda cotangents, _, **params: [_push.bind(*map(ad.instantiate_zeros, cotangents), **params)])
mlir.register_lowering(_pull, mlir.lower_fun(_pull_traced, multiple_results=True))
for _p in (_push, _pull):
    batching.primitive_batchers[_p] = functools.partial(_one_by_one, _p)
