"""The tasks of contestants whose expectation values and states are JAX functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from benchmarks._cases import RATES, Problem


class Call(NamedTuple):
    """A function and its arguments; `export` can save both."""

    function: Callable
    arguments: tuple

    def __call__(self) -> Any:
        return jax.block_until_ready(self.function(*self.arguments))


def arrays(problem: Problem) -> tuple[Array, Array, Array]:
    """On the device: float32, or float64 under JAX_ENABLE_X64."""
    w, x, y = problem.arrays(dtype())
    return jnp.asarray(w), jnp.asarray(x), jnp.asarray(y)


def dtype() -> str:
    return str(jnp.result_type(float))


def step(problem: Problem, values: Callable, argnums: int | tuple[int, ...] = 0) -> Call:
    """`values(w, x)`: the expectation values of a batch."""

    def loss(w: Array, x: Array, y: Array) -> Array:
        return jnp.mean((values(w, x) - y) ** 2)

    return Call(jax.jit(jax.value_and_grad(loss, argnums)), arrays(problem))


RATE = 0.01


def train(problem: Problem, values: Callable) -> Callable[[], Any]:
    """As users write it: a jitted step of optax in a loop of Python, for one start after the other."""
    _, x, y = arrays(problem)
    adam = optax.adam(RATE)

    @jax.jit
    def advance(w: Array, state: Any) -> tuple[Array, Any]:
        gradient = jax.grad(loss)(w)
        updates, state = adam.update(gradient, state, w)
        return optax.apply_updates(w, updates), state

    def loss(w: Array) -> Array:
        return jnp.mean((values(w, x) - y) ** 2)

    def run() -> Array:
        losses = []
        for w in jnp.asarray(problem.starts(dtype())):
            state = adam.init(w)
            for _ in range(problem.steps):
                w, state = advance(w, state)
            losses.append(final(w))
        return jax.block_until_ready(jnp.stack(losses))

    final = jax.jit(loss)
    return run


def grid(problem: Problem, values: Callable) -> Callable[[], Any]:
    """As users write it, if they know how to compile once: the learning rate and the data are arguments of the step."""
    w, x, y = arrays(problem)

    def loss(w: Array, x: Array, y: Array) -> Array:
        return jnp.mean((values(w, x) - y) ** 2)

    @jax.jit
    def advance(rate: Array, w: Array, state: Any, x: Array, y: Array) -> tuple[Array, Any]:
        updates, state = optax.adam(rate).update(jax.grad(loss)(w, x, y), state, w)
        return optax.apply_updates(w, updates), state

    final = jax.jit(loss)

    def run() -> Array:
        losses = []
        for rate in RATES:
            for train, test in problem.folds():
                new, state = w, optax.adam(rate).init(w)
                for _ in range(problem.steps):
                    new, state = advance(rate, new, state, x[train], y[train])
                losses.append(final(new, x[test], y[test]))
        return jax.block_until_ready(jnp.stack(losses))

    return run


def step_with_inputs(problem: Problem, values: Callable) -> Call:
    return step(problem, values, (0, 1))


def gram(problem: Problem, states: Callable) -> Call:
    """`states(x)`: the states of a batch, (batch, 2**n)."""

    def fidelities(x: Array) -> Array:
        psi = states(x)
        return jnp.abs(psi.conj() @ psi.T) ** 2

    return Call(jax.jit(fidelities), arrays(problem)[1:2])


def forward(problem: Problem, value: Callable) -> Call:
    """`value(w)`: one expectation value."""
    return Call(jax.jit(value), arrays(problem)[:1])


def gradient(problem: Problem, value: Callable) -> Call:
    return Call(jax.jit(jax.value_and_grad(value)), arrays(problem)[:1])


def hessian(problem: Problem, value: Callable) -> Call:
    return Call(jax.jit(jax.hessian(value)), arrays(problem)[:1])


def metric(problem: Problem, state: Callable) -> Call:
    """`state(w)`: the state, (2**n,). For contestants that offer states, but no metric of their own."""

    def fubini_study(w: Array) -> Array:
        psi, tangents = state(w), jax.jacfwd(state)(w)  # (2**n,), (2**n, W)
        berry = tangents.conj().T @ psi
        return jnp.real(tangents.conj().T @ tangents - jnp.outer(berry, berry.conj()))

    return Call(jax.jit(fubini_study), arrays(problem)[:1])
