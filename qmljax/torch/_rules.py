"""A compiled JAX function of leaves, and those derived from it: its pullback, its derivative, its batch.

`wanted` says for each leaf whether to differentiate in it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from qmljax._forgetting import Forgetful


class Flat(Forgetful):
    """A JAX function of leaves, (*leaves) -> pytree, compiled, with those derived from it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._derived: dict[Any, Flat] = {}

    def _compiled_from(self) -> Callable[..., Any]:
        return lambda *leaves: self.function(*leaves)

    def derived(self, rule: Callable[..., Callable[..., Any]], *static: Any) -> "Flat":
        if (found := self._derived.get((rule, static))) is None:
            found = self._derived[rule, static] = Flat(rule(self.function, *static))
        return found


def of_tree(f: Callable[..., Any], tree: Any) -> Callable[..., Any]:
    """(*leaves) -> what `f` gives for the arguments and keywords of this structure."""

    def of_leaves(*leaves: Any) -> Any:
        args, keywords = jax.tree.unflatten(tree, leaves)
        return f(*args, **keywords)

    return of_leaves


def batched_over(f: Callable[..., Any], dims: tuple[int | None, ...]) -> Callable[..., Any]:
    """The function over a batch, which has these axes in the leaves and leads in the outputs."""
    return jax.vmap(f, in_axes=dims)


def gradient_in(f: Callable[..., Any], wanted: tuple[bool, ...]) -> Callable[..., tuple]:
    """(*leaves, *cotangents) -> the gradients in the wanted leaves. The forward pass is run again: nothing is kept."""

    def gradient(*both: Any) -> tuple:
        leaves, cotangents = both[: len(wanted)], both[len(wanted) :]
        _, pull = jax.vjp(*_of_wanted(f, wanted, leaves))
        # PyTorch's gradient in a complex number is the conjugate of JAX's.
        return tuple(map(jnp.conj, pull(tuple(map(jnp.conj, cotangents)))))

    return gradient


def derivative_in(f: Callable[..., Any], wanted: tuple[bool, ...]) -> Callable[..., tuple]:
    """(*leaves, *tangents of the wanted ones) -> the tangents of the differentiable outputs."""

    def derivative(*both: Any) -> tuple:
        leaves, tangents = both[: len(wanted)], both[len(wanted) :]
        function, *primals = _of_wanted(f, wanted, leaves)
        return jax.jvp(function, primals, list(tangents))[1]

    return derivative


def _of_wanted(f: Callable[..., Any], wanted: tuple[bool, ...], leaves: Sequence[Any]) -> tuple[Any, ...]:
    """The function (*wanted) -> differentiable outputs, and then the wanted leaves."""

    def of_wanted(*some: Any) -> tuple[Any, ...]:
        rest = iter(some)
        out = f(*(next(rest) if want else leaf for want, leaf in zip(wanted, leaves, strict=True)))
        arrays = map(jnp.asarray, jax.tree.leaves(out))
        return tuple(y for y in arrays if jnp.issubdtype(y.dtype, jnp.inexact))

    return of_wanted, *(leaf for want, leaf in zip(wanted, leaves, strict=True) if want)
