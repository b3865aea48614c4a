"""qujax: angles in units of pi, the highest axis of the state is qubit 0."""

from collections.abc import Callable
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
import qujax
from jax import Array

from benchmarks import _circuits
from benchmarks._cases import SHOTS, Problem
from benchmarks.contestants import _jax
from benchmarks.contestants._jax import Call

NAMES = {
    "sdg": "Sdg",
    "tdg": "Tdg",
    "rx": "Rx",
    "ry": "Ry",
    "rz": "Rz",
    "p": "U1",
    "u": "U3",
    "iswap": qujax.gates.ISWAP(1.0),
    "cp": "CU1",
    "crx": "CRx",
    "cry": "CRy",
    "crz": "CRz",
    "rxx": "XXPhase",
    "ryy": "YYPhase",
    "rzz": "ZZPhase",
}


def state(problem: Problem, reverse: bool = False) -> Callable[..., Array]:
    """(w, x) -> state of shape (2,) * n. `reverse` makes qubit 0 the lowest axis."""
    n = problem.num_qubits
    gates, places, computed = _circuits.placed(problem.circuit)
    names = [NAMES.get(gate.name, gate.name.upper()) for gate in gates]
    qubits = [[n - 1 - q if reverse else q for q in gate.qubits] for gate in gates]
    of_angles = qujax.get_params_to_statetensor_func(names, qubits, places, n)

    def of(w: Any, x: Any = ()) -> Array:
        parts = [jnp.asarray(w), jnp.asarray(x)]
        if computed:
            angles = [a for gate in problem.circuit(w, x) for a in gate.angles]
            parts.append(jnp.stack([angles[k] for k in computed]))
        return of_angles(jnp.concatenate(parts) / pi)

    return of


def value(problem: Problem) -> Callable[..., Array]:
    of = state(problem)
    coefficients, letters, qubits = zip(*problem.observable, strict=True)
    expectation = qujax.get_statetensor_to_expectation_func([list(s) for s in letters], qubits, coefficients)
    return lambda w, x=(): expectation(of(w, x))


def values(problem: Problem) -> Callable[[Array, Array], Array]:
    return jax.vmap(value(problem), (None, 0))


def step(problem: Problem) -> Call:
    return _jax.step(problem, values(problem))


def train(problem: Problem) -> Callable[[], Any]:
    return _jax.train(problem, values(problem))


def grid(problem: Problem) -> Callable[[], Any]:
    return _jax.grid(problem, values(problem))


def step_with_inputs(problem: Problem) -> Call:
    return _jax.step_with_inputs(problem, values(problem))


def gram(problem: Problem) -> Call:
    of = state(problem)
    return _jax.gram(problem, jax.vmap(lambda x: of((), x).reshape(-1)))


def forward(problem: Problem) -> Call:
    return _jax.forward(problem, value(problem))


def gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, value(problem))


def hessian(problem: Problem) -> Call:
    return _jax.hessian(problem, value(problem))


def metric(problem: Problem) -> Call:
    of = state(problem)
    return _jax.metric(problem, lambda w: of(w).reshape(-1))


def sample(problem: Problem) -> Call:
    of = state(problem, reverse=True)
    drawn = jax.jit(lambda w, key: qujax.sample_integers(key, of(w), SHOTS))
    return Call(drawn, (_jax.arrays(problem)[0], jax.random.key(0)))
