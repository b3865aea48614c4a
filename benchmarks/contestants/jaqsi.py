"""JAQSI: circuits as functions that record their gates; batches by `jax.vmap`, as fast as its own `in_axes`."""

from collections.abc import Callable
from typing import Any

import jaqsi
import jax
import jax.numpy as jnp
from jaqsi.paulis import prod
from jax import Array

from benchmarks._cases import Problem
from benchmarks.contestants import _jax
from benchmarks.contestants._jax import Call

NAMES = {"h": "H", "rx": "RX", "ry": "RY", "rz": "RZ", "p": "RZ", "cx": "CX", "cz": "CZ", "rzz": "RZZ"}  # up to a phase
LETTERS = {"X": jaqsi.PauliX, "Z": jaqsi.PauliZ}


def script(problem: Problem) -> jaqsi.Script:
    def circuit(w: Any, x: Any = ()) -> None:
        for name, qubits, angles in problem.circuit(w, x):
            wires = qubits[0] if len(qubits) == 1 else list(qubits)
            getattr(jaqsi.Gates, NAMES[name])(*angles, wires=wires)

    return jaqsi.Script(circuit, n_qubits=problem.num_qubits)


def value(problem: Problem) -> Callable[..., Array]:
    of = script(problem)
    coefficients = jnp.array([term.coefficient for term in problem.observable], _jax.dtype())
    observables = [
        prod(*(LETTERS[letter](wires=q, record=False) for letter, q in zip(letters, qubits, strict=True)))
        for _, letters, qubits in problem.observable
    ]
    return lambda *given: coefficients @ of.execute("expval", observables, args=given)


def values(problem: Problem) -> Callable[[Array, Array], Array]:
    return jax.vmap(value(problem), (None, 0))


def state(problem: Problem) -> Callable[..., Array]:
    of = script(problem)
    return lambda *given: of.execute("state", args=given)


def step(problem: Problem) -> Call:
    return _jax.step(problem, values(problem))


def step_with_inputs(problem: Problem) -> Call:
    return _jax.step_with_inputs(problem, values(problem))


def gram(problem: Problem) -> Call:
    of = state(problem)
    return _jax.gram(problem, jax.vmap(lambda x: of((), x)))


def forward(problem: Problem) -> Call:
    return _jax.forward(problem, value(problem))


def gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, value(problem))


def hessian(problem: Problem) -> Call:
    return _jax.hessian(problem, value(problem))


def metric(problem: Problem) -> Call:
    return _jax.metric(problem, state(problem))
