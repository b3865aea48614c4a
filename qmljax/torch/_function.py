"""JAX functions as PyTorch functions."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import torch
from torch import Tensor

from qmljax._checks import check_function
from qmljax._models.compiled import Compiled
from qmljax.torch._bridge import Call
from qmljax.torch._rules import Flat, of_tree


@functools.lru_cache(maxsize=256)
def _shared(function: Callable[..., Any]) -> Flat:
    """One for all equal models, so that copies and unpickled ones compile nothing anew."""
    return Flat(function)


class TorchFunction:
    """What `torch_function` returns: ``f(*args, **keywords)``, which PyTorch differentiates.

    Args:
        function: A JAX function of pytrees of arrays to a pytree of arrays.

    Example:
        >>> import jax.numpy as jnp
        >>> from qmljax.torch import TorchFunction
        >>> TorchFunction(jnp.cos)(torch.zeros(2))
        tensor([1., 1.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = check_function(function, "function", "of pytrees of arrays")
        self._flat = (_shared if isinstance(function, Compiled) else Flat)(function)

    @torch.compiler.disable  # the graph breaks here
    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """The function's value.

        Args:
            args: Pytrees of tensors; JAX arrays and numbers among them are constants.
            keywords: The same by their names.

        Returns:
            A pytree of tensors, on the device of the arguments.
        """
        leaves, tree = jax.tree.flatten((args, keywords))
        call = Call(self._flat.derived(of_tree, tree))
        outputs = call(*map(_checked, leaves))
        return jax.tree.unflatten(call.tree, outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchFunction, (self.function,)

    def __repr__(self) -> str:
        return f"torch_function({self.function!r})"


def _checked(leaf: Any) -> Any:
    if isinstance(leaf, Tensor | jax.Array | bool | int | float | complex):
        return leaf
    raise TypeError(
        "Arguments must be tensors, or JAX arrays and numbers, which are constants, but one is a "
        f"{type(leaf).__name__}. Make a tensor of it by `torch.as_tensor`, or bind it by `functools.partial` before "
        "the function is wrapped."
    )


def torch_function(function: Callable[..., Any]) -> TorchFunction:
    """A JAX function as a PyTorch function.

    It is differentiable in both modes and to any order, also by `torch.func`, and under `torch.vmap`. It is compiled by
    `jax.jit` once for each shape; its backward pass runs the forward pass again, so that a call keeps nothing but its
    arguments. Tensors in 64 bits are computed with as such, whatever JAX is set to: where there is one, 64-bit types
    are enabled for the call. PyTorch's and JAX's conventions for complex gradients, which are conjugate, are respected.

    Args:
        function: A JAX function that `jax.jit` can compile: pytrees of arrays -> a pytree of arrays. It must be pure.
            To pickle the result, it must be picklable.

    Returns:
        ``f(*args, **keywords)``: pytrees of tensors to a pytree of tensors, on the device of the arguments. JAX arrays,
        such as random keys, and numbers may be among the arguments; they are constants.

    Raises:
        TypeError: An argument is no tensor, JAX array or number, or a tensor is sparse.
        ValueError: The tensors are on several devices.
        RuntimeError: The tensors are on a device that JAX does not have, or PyTorch records operations to run them
            later, as `torch.export` and `torch.func.linearize` do: `torch.compile` works instead.

    Example:
        >>> import jax.numpy as jnp
        >>> f = torch_function(lambda x: {"sines": jnp.sin(x)})
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> f(x)["sines"].sum().backward()
        >>> x.grad
        tensor([1.0000, 0.5403])
    """
    return TorchFunction(function)
