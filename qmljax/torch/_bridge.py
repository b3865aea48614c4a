"""The bridge: one call of a JAX function as a node of PyTorch's graph, in both modes, and under its transformations."""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import torch
from torch import Tensor

from qmljax.torch._rules import Flat, batched_over, derivative_in, gradient_in
from qmljax.torch._tensors import is_inexact, is_legacy_batch, is_wide, to_jax, to_torch

RECORDERS = (torch._C._TorchDispatchModeKey.PROXY, torch._C._TorchDispatchModeKey.FAKE)


class Call:
    """One call of a function, on its way through the levels of PyTorch's transformations."""

    def __init__(self, function: Flat) -> None:
        self.function = function
        self.tree: Any = None  # of the outputs, once they are there

    def __call__(self, *leaves: Any) -> tuple[Tensor, ...]:
        return _Bridge.apply(self, *leaves)

    @torch.compiler.disable  # JAX compiles this part
    def run(self, leaves: Sequence[Any]) -> tuple[Tensor, ...]:
        """The function itself, at the lowest level, where tensors have memory."""
        if torch._C._get_tracing_state() or any(map(torch._C._get_dispatch_mode, RECORDERS)):
            raise RuntimeError(
                "PyTorch records operations here, as torch.export, torch.jit.trace, make_fx and torch.func.linearize "
                "do, but JAX's would be missing from the record. Use torch.compile, or torch.func.jvp."
            )
        dims = tuple(0 if is_legacy_batch(leaf) else None for leaf in leaves)
        if any(dim == 0 for dim in dims):
            return self._run_legacy_batch(dims, leaves)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if len({tensor.device for tensor in tensors}) > 1:
            found = sorted({str(tensor.device) for tensor in tensors})
            raise ValueError(f"All tensors must be on one device, but are on {', '.join(found)}. Move them by `.to`.")
        wide = jax.config.read("jax_enable_x64") or any(map(is_wide, leaves))
        with jax.enable_x64(wide):
            arrays = [to_jax(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            outputs, self.tree = jax.tree.flatten(self.function.run(*arrays))
            for output in outputs:
                output.block_until_ready()
        places = {tensor.data_ptr() for tensor in tensors}
        return tuple(to_torch(y, places) for y in outputs)

    def _run_legacy_batch(self, dims: tuple[int | None, ...], leaves: Sequence[Any]) -> tuple[Tensor, ...]:
        """Under the first generation of vmap, which `is_grads_batched` and gradcheck use, and which calls no `vmap`."""
        level = torch._C._vmapmode_increment_nesting() - 1
        torch._C._vmapmode_decrement_nesting()
        batched = Call(self.function.derived(batched_over, dims))
        outputs = batched.run(
            [
                leaf if dim is None else torch._remove_batch_dim(leaf, level, 0, 0)
                for dim, leaf in zip(dims, leaves, strict=True)
            ]
        )
        self.tree = batched.tree
        return tuple(torch._add_batch_dim(y, 0, level) for y in outputs)


class _Bridge(torch.autograd.Function):
    """`_Bridge.apply(call, *leaves)`; leaves that are no tensors are constants."""

    @staticmethod
    def forward(call: Call, *leaves: Any) -> tuple[Tensor, ...]:
        return call.run(leaves)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        call, *leaves = inputs
        ctx.function = call.function
        ctx.constants = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in leaves]
        ctx.inexact = [is_inexact(y) for y in output]
        ctx.mark_non_differentiable(*(y for y in output if not is_inexact(y)))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        wanted = tuple(ctx.needs_input_grad[1:])
        some = [c for c, inexact in zip(cotangents, ctx.inexact, strict=True) if inexact]
        gradients = iter(Call(ctx.function.derived(gradient_in, wanted))(*_saved(ctx), *some))
        return None, *(next(gradients) if want else None for want in wanted)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        leaves = _saved(ctx)
        wanted = tuple(tangent is not None and is_inexact(leaf) for tangent, leaf in zip(tangents, leaves, strict=True))
        some = [tangent for tangent, want in zip(tangents, wanted, strict=True) if want]
        out = iter(Call(ctx.function.derived(derivative_in, wanted))(*leaves, *some))
        return tuple(next(out) if inexact else None for inexact in ctx.inexact)

    @staticmethod
    def vmap(_: Any, dims: tuple[int | None, ...], call: Call, *leaves: Any) -> tuple[tuple[Tensor, ...], Any]:
        batched = Call(call.function.derived(batched_over, tuple(dims[1:])))
        outputs = batched(*leaves)
        call.tree = batched.tree
        return outputs, (0,) * len(outputs)


class _Positional(inspect.Signature):
    """The signature of a function without defaults, which PyTorch would look for among the arguments of every call.

    That would take a tenth of the time of a small step.
    """

    def bind(self, *args: Any, **_: Any) -> Any:
        return _Bound(args, {})


class _Bound(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def apply_defaults(self) -> None:
        """There are none."""


def _saved(ctx: Any) -> list[Any]:
    """The leaves of a call. PyTorch refuses if a tensor was changed in place since."""
    tensors = iter(ctx.saved_tensors)
    return [constant[0] if constant else next(tensors) for constant in ctx.constants]


_Bridge.forward.__signature__ = _Positional()  # type: ignore[attr-defined]  # functions take attributes
