"""What devices send each other, as a linear operation: its transpose is to send it back.

A primitive, because JAX cannot `vmap` an exchange among some of the devices; the batch comes last here, as everywhere.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.interpreters import ad, batching, mlir

from qmljax._engine import operations
from qmljax._engine.shards.steps import Exchange, Move
from qmljax._forgetting import forgetful_jit


def sent(state: Array, kind: Exchange | Move, axes: tuple[str, ...], back: bool = False) -> Array:
    """What a device has after it has sent some of its state (C, 2**m, *batch) to others, and they theirs."""
    return _send.bind(state, kind=kind, axes=axes, back=back)


def _do_send(state: Any, *, kind: Exchange | Move, axes: tuple[str, ...], back: bool) -> Any:
    if isinstance(kind, Move):
        return lax.ppermute(state, axes, [(b, a) for a, b in kind.pairs] if back else kind.pairs)
    shape = state.shape
    chunks = state.reshape(shape[0], 1 << kind.bits, -1, *shape[2:])
    if back and kind.order is not None:
        chunks = chunks[:, np.argsort(kind.order)]
    all_in_order = len(kind.groups) == 1 and list(kind.groups[0]) == sorted(kind.groups[0])
    groups = None if all_in_order else kind.groups
    chunks = lax.all_to_all(chunks, axes, 1, 1, axis_index_groups=groups, tiled=True)
    if not back and kind.order is not None:
        chunks = chunks[:, np.array(kind.order)]
    return chunks.reshape(shape)


_send = operations.Varying("qmljax_send")
_send.def_impl(forgetful_jit(_do_send, static_argnames=("kind", "axes", "back")))
_send.def_abstract_eval(lambda state, **_: operations.result(state.shape, state))
mlir.register_lowering(_send, mlir.lower_fun(_do_send, multiple_results=False))
ad.deflinear2(_send, lambda cotangent, _, kind, axes, back: [sent(cotangent, kind, axes, not back)])


def _batch(args: Any, dims: Any, **params: Any) -> Any:
    (state,), (dim,) = args, dims
    moved = jnp.moveaxis(state, dim, -1)
    return _send.bind(moved, **params), moved.ndim - 1


batching.primitive_batchers[_send] = _batch
