"""TensorCircuit-NG on its JAX backend."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc
from jax import Array
from tensorcircuit import experimental

from benchmarks._cases import SHOTS, STRENGTH, TRAJECTORIES, Problem
from benchmarks._circuits import Gate, Gates, lowered
from benchmarks.contestants import _jax
from benchmarks.contestants._first import first
from benchmarks.contestants._jax import Call

tc.set_backend("jax")
tc.set_dtype("complex64")

LACKING = ("ch",)
NAMES = {"p": "phase", "cp": "cphase", "sdg": "sd", "tdg": "td"}
SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], np.complex64) / 2


def apply(circuit: tc.Circuit, gates: Gates) -> tc.Circuit:
    for name, qubits, angles in lowered(gates, LACKING):
        if name == "sx":
            circuit.any(*qubits, unitary=SX)
        elif name == "u":
            circuit.u(*qubits, theta=angles[0], phi=angles[1], lbd=angles[2])
        else:
            getattr(circuit, NAMES.get(name, name))(*qubits, **({"theta": angles[0]} if angles else {}))
    return circuit


def expectation(problem: Problem) -> Callable[[tc.Circuit], Array]:
    """Of one Pauli string by contraction; of a sum as a sparse matrix, which was the fastest of its ways."""
    codes = {"X": 1, "Y": 2, "Z": 3}
    strings, coefficients = [], []
    for coefficient, letters, qubits in problem.observable:
        letter = dict(zip(qubits, letters, strict=True))
        strings.append([codes.get(letter.get(q), 0) for q in range(problem.num_qubits)])
        coefficients.append(coefficient)
    if len(strings) == 1:
        return lambda circuit: coefficients[0] * jnp.real(circuit.expectation_ps(ps=strings[0]))
    matrix = tc.quantum.PauliStringSum2COO(strings, coefficients)
    return lambda circuit: tc.templates.measurements.sparse_expectation(circuit, matrix)


def value(problem: Problem) -> Callable[..., Array]:
    read = expectation(problem)
    return lambda w, x=(): read(apply(tc.Circuit(problem.num_qubits), problem.circuit(w, x)))


def noisy(problem: Problem) -> Callable[..., Array]:
    """By density matrices."""
    read, each = expectation(problem), STRENGTH / 4

    def of(w: Any, x: Any = ()) -> Array:
        circuit = tc.DMCircuit(problem.num_qubits)
        for gate in problem.circuit(w, x):
            apply(circuit, iter([gate]))
            for q in gate.qubits:
                circuit.depolarizing(q, px=each, py=each, pz=each)
        return read(circuit)

    return of


def followed(problem: Problem) -> tuple[Callable[..., Array], tuple]:
    """A channel is drawn by a random number of its own."""
    read, each = expectation(problem), STRENGTH / 4
    w, _, _ = problem.arrays()
    sites = sum(len(gate.qubits) for gate in problem.circuit(w, ()))

    def of(w: Any, drawn: Any) -> Array:
        circuit, left = tc.Circuit(problem.num_qubits), iter(drawn)
        for gate in problem.circuit(w, ()):
            apply(circuit, iter([gate]))
            for q in gate.qubits:
                circuit.depolarizing(q, px=each, py=each, pz=each, status=next(left))
        return read(circuit)

    def mean(w: Any, key: Any) -> Array:
        return jnp.mean(jax.vmap(of, (None, 0))(w, jax.random.uniform(key, (TRAJECTORIES, sites))))

    return mean, (_jax.arrays(problem)[0], jax.random.key(0))


def trajectories(problem: Problem) -> Call:
    mean, arguments = followed(problem)
    return Call(jax.jit(mean), arguments)


def trajectories_gradient(problem: Problem) -> Call:
    mean, arguments = followed(problem)
    return Call(jax.jit(jax.value_and_grad(mean)), arguments)


def noisy_value(problem: Problem) -> Call:
    return _jax.forward(problem, noisy(problem))


def noisy_gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, noisy(problem))


def noisy_step(problem: Problem) -> Call:
    return _jax.step(problem, jax.vmap(noisy(problem), (None, 0)))


def state(problem: Problem) -> Callable[..., Array]:
    def of(w: Any, x: Any = ()) -> Array:
        return apply(tc.Circuit(problem.num_qubits), problem.circuit(w, x)).state()

    return of


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
    return _jax.gram(problem, jax.vmap(lambda x: of((), x)))


def forward(problem: Problem) -> Call:
    return _jax.forward(problem, value(problem))


def gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, value(problem))


def hessian(problem: Problem) -> Call:
    return _jax.hessian(problem, value(problem))


def metric(problem: Problem) -> Call:
    geometric = experimental.qng(state(problem), postprocess=None)
    return Call(jax.jit(lambda w: jnp.real(geometric(w))), _jax.arrays(problem)[:1])


def sample(problem: Problem) -> Call:
    last = problem.num_qubits - 1

    def outcomes(w: Array, status: Array) -> Array:
        reversed_ = (Gate(g.name, tuple(last - q for q in g.qubits), g.angles) for g in problem.circuit(w, ()))
        circuit = apply(tc.Circuit(problem.num_qubits), reversed_)
        return circuit.sample(batch=SHOTS, allow_state=True, format="sample_int", status=status)

    drawn = jax.jit(lambda w, key: outcomes(w, jax.random.uniform(key, (SHOTS,))))
    return Call(drawn, (_jax.arrays(problem)[0], jax.random.key(0)))


first_value = first(lambda p: jax.block_until_ready(value(p)(p.arrays()[0])))
first_gradient = first(lambda p: jax.block_until_ready(jax.value_and_grad(value(p))(p.arrays()[0])))
