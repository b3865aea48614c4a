"""qmljax. Its float64 answers are also the reference: `exact_sample` is what `sample` must agree with."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

import qmljax as qj
from benchmarks._cases import RARE, RATES, SHOTS, STRENGTH, TRAJECTORIES, Problem, Term
from benchmarks._circuits import bound_qiskit, to_qiskit
from benchmarks.contestants import _jax
from benchmarks.contestants._first import first
from benchmarks.contestants._jax import Call


def label(problem: Problem, term: Term) -> str:
    letters = ["I"] * problem.num_qubits
    for letter, q in zip(term.letters, term.qubits, strict=True):
        letters[-1 - q] = letter
    return "".join(letters)


def observable(problem: Problem) -> dict[str, float]:
    return {label(problem, term): term.coefficient for term in problem.observable}


def model(problem: Problem) -> Callable[[Array, Array], Array]:
    circuit, weights, inputs = to_qiskit(problem.num_qubits, problem.circuit)
    return qj.estimator_qnn(circuit, observable(problem), inputs=inputs, weights=weights)


def value(problem: Problem) -> Callable[[Array], Array]:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    return qj.expectation(circuit, observable(problem))


def step(problem: Problem) -> Call:
    qnn = model(problem)
    return _jax.step(problem, lambda w, x: qnn(w, x)[:, 0])


def train(problem: Problem) -> Callable[[], Array]:
    qnn, adam = model(problem), optax.adam(_jax.RATE)
    _, x, y = _jax.arrays(problem)
    starts = jnp.asarray(problem.starts(_jax.dtype()))

    def loss(w: Array, x: Array, y: Array) -> Array:
        return jnp.mean((qnn(w, x)[:, 0] - y) ** 2)

    last = jax.jit(jax.vmap(loss, in_axes=(0, None, None)))

    def run() -> Array:
        alone = problem.members == 1
        found = qj.fit(loss, starts[0] if alone else starts, (x, y), optimizer=adam, steps=problem.steps)
        return jax.block_until_ready(last(found.weights[None] if alone else found.weights, x, y))

    return run


def step_with_inputs(problem: Problem) -> Call:
    qnn = model(problem)
    return _jax.step_with_inputs(problem, lambda w, x: qnn(w, x)[:, 0])


def torch_step(problem: Problem) -> Callable[[], tuple]:
    from benchmarks.contestants import _torch
    from qmljax.torch import TorchConnector

    layer = TorchConnector(model(problem), problem.arrays(_jax.dtype())[0])
    return _torch.step(problem, layer, layer.weight)


def gram(problem: Problem) -> Call:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    return Call(qj.fidelity_kernel(circuit), _jax.arrays(problem)[1:2])


def forward(problem: Problem) -> Call:
    return Call(value(problem), _jax.arrays(problem)[:1])


def gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, value(problem))


def hessian(problem: Problem) -> Call:
    return _jax.hessian(problem, value(problem))


def metric(problem: Problem) -> Call:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    return Call(qj.metric_tensor(circuit), _jax.arrays(problem)[:1])


def sample(problem: Problem) -> Call:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    return Call(qj.sample(circuit, SHOTS), (_jax.arrays(problem)[0], jax.random.key(0)))


def values(problem: Problem) -> Call:
    return Call(model(problem), _jax.arrays(problem)[:2])


def jacobian(problem: Problem) -> Call:
    return Call(jax.jit(jax.jacobian(model(problem))), _jax.arrays(problem)[:2])


def noise_model() -> qj.noise.NoiseModel:
    return qj.noise.NoiseModel(dict.fromkeys(("h", "p", "ry", "rz", "cx"), qj.noise.depolarizing(STRENGTH)))


def noisy(problem: Problem, **about: Any) -> Callable[[Array], Array]:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    return qj.noise.Simulator(noise_model(), **about).expectation(circuit, observable(problem))


FOLLOWED: dict[str, Any] = {"method": "trajectories", "trajectories": TRAJECTORIES}


def trajectories(problem: Problem) -> Call:
    return Call(noisy(problem, **FOLLOWED, key=jax.random.key(0)), _jax.arrays(problem)[:1])


def trajectories_gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, noisy(problem, **FOLLOWED, key=jax.random.key(0)))


def _deep(problem: Problem, key: Array) -> Callable[[Array], Array]:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    model = qj.noise.NoiseModel({"cx": qj.noise.depolarizing(RARE, 2)})
    return qj.noise.Simulator(model, **FOLLOWED, key=key).expectation(circuit, observable(problem))


def deep(problem: Problem) -> Call:
    return Call(_deep(problem, jax.random.key(0)), _jax.arrays(problem)[:1])


def deep_gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, _deep(problem, jax.random.key(0)))


def deep_traced(problem: Problem) -> Call:
    drawn = jax.jit(lambda w, key: _deep(problem, key)(w))
    return Call(drawn, (_jax.arrays(problem)[0], jax.random.key(0)))


def deep_traced_gradient(problem: Problem) -> Call:
    drawn = jax.jit(jax.value_and_grad(lambda w, key: _deep(problem, key)(w)))
    return Call(drawn, (_jax.arrays(problem)[0], jax.random.key(0)))


def ideal(problem: Problem) -> Call:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    function = qj.expectation(circuit, observable(problem), compile=True)
    return Call(function, (jnp.asarray(problem.starts(_jax.dtype())),))


def ideal_gradient(problem: Problem) -> Call:
    function, arguments = ideal(problem)
    return Call(jax.jit(jax.value_and_grad(lambda rows: function(rows).mean())), arguments)


def feed_forward_gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, value(problem))


def noisy_step(problem: Problem) -> Call:
    circuit, weights, inputs = to_qiskit(problem.num_qubits, problem.circuit)
    backend = qj.noise.Simulator(noise_model())
    qnn = qj.estimator_qnn(circuit, observable(problem), inputs=inputs, weights=weights, backend=backend)
    return _jax.step(problem, lambda w, x: qnn(w, x)[:, 0])


def noisy_value(problem: Problem) -> Call:
    return Call(noisy(problem), _jax.arrays(problem)[:1])


def noisy_gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, noisy(problem))


def grid(problem: Problem) -> Callable[[], Array]:
    qnn = model(problem)
    w, x, y = problem.arrays(_jax.dtype())

    def run() -> Array:
        losses = []
        for rate in RATES:
            for train, test in problem.folds():

                def loss(w: Array, x: Array, y: Array) -> Array:
                    return jnp.mean((qnn(w, x)[:, 0] - y) ** 2)

                adam = optax.adam(rate)
                found = qj.fit(loss, w, (x[train], y[train]), optimizer=adam, steps=problem.steps)
                losses.append(jnp.mean((qnn(found.weights, x[test])[:, 0] - y[test]) ** 2))
        return jax.block_until_ready(jnp.stack(losses))

    return run


def _first_value(problem: Problem) -> Array:
    circuit = bound_qiskit(problem.num_qubits, problem.circuit, problem.arrays("float64")[0])
    return jax.block_until_ready(qj.expectation(circuit, observable(problem))())


def _first_gradient(problem: Problem) -> tuple[Array, Array]:
    return jax.block_until_ready(jax.value_and_grad(value(problem))(problem.arrays(_jax.dtype())[0]))


first_value, first_gradient = first(_first_value), first(_first_gradient)


def bound(problem: Problem) -> Callable[[], list]:
    circuit, weights, _ = to_qiskit(problem.num_qubits, problem.circuit)
    starts, calls = problem.starts("float64"), itertools.count()

    def run() -> list:
        new = starts + 0.1 * next(calls)
        circuits = [circuit.assign_parameters(dict(zip(weights, row, strict=True))) for row in new]
        return [qj.expectation(one, observable(problem))() for one in circuits]

    return run


def exact_sample(problem: Problem) -> Call:
    """The probability that a qubit is 1."""
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    z = qj.expectation(circuit, [label(problem, Term(1.0, "Z", (q,))) for q in range(problem.num_qubits)])
    return Call(lambda w: (1 - z(w)) / 2, _jax.arrays(problem)[:1])
