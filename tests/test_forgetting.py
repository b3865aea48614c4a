"""What is compiled for circuits is forgotten, and compiled again: counted in mappings of memory, which Linux limits."""

import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj
from qmljax import _forgetting, noise
from qmljax._forgetting import forget, mappings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits mappings")

WEIGHTS = np.linspace(0.1, 0.8, 4).astype(np.float32)
POINTS = np.ones((3, 4), np.float32)


def circuit_of(seed: int) -> QuantumCircuit:
    rng, circuit, p = np.random.default_rng(seed), QuantumCircuit(3), ParameterVector("p", 4)
    for k in range(4):
        a, b = (int(q) for q in rng.permutation(3)[:2])
        circuit.ry(p[k] + rng.uniform(0, 1), a), circuit.cx(a, b), circuit.rx(rng.uniform(0, 1), b)
    return circuit


def value_and_gradient(circuit):
    f = qj.expectation(circuit, "ZZZ", compile=True)
    f(WEIGHTS), jax.grad(f)(WEIGHTS)
    return f  # held by whoever called


def hessian(circuit):
    jax.hessian(qj.expectation(circuit, "ZZZ"))(WEIGHTS)


def training(circuit):
    f = qj.expectation(circuit, "ZZZ")
    qj.fit(lambda w: f(w), WEIGHTS, (), optimizer=optax.sgd(0.1), steps=2)


def minimisation(circuit):
    f = qj.expectation(circuit, "ZZZ")
    qj.fit(lambda w: f(w), WEIGHTS, (), optimizer="L-BFGS-B", steps=2)


def kernels(circuit):
    kernel = qj.fidelity_kernel(circuit, compile=True)
    kernel(POINTS), kernel(POINTS, POINTS[:2])


def kernels_on_devices(circuit):
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Explicit,))
    x = jax.device_put(POINTS, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows")))
    qj.fidelity_kernel(circuit)(x)


def shots(circuit):
    backend = qj.Shots(100, jax.random.key(0))
    model = qj.estimator_qnn(circuit, "ZZZ", inputs=list(circuit.parameters)[:1], backend=backend)
    jax.grad(lambda w: model(w, WEIGHTS[:1])[0])(WEIGHTS[1:])


def density_matrices(circuit):
    simulator = noise.Simulator(noise.NoiseModel({"cx": noise.depolarizing(0.1, 2)}))
    jax.grad(simulator.expectation(circuit, "ZZZ"))(jnp.asarray(WEIGHTS))


def trajectories(circuit):
    model = noise.NoiseModel({"cx": noise.depolarizing(0.1, 2)})
    simulator = noise.Simulator(model, method="trajectories", trajectories=10, key=jax.random.key(0))
    simulator.expectation(circuit, "ZZZ")(WEIGHTS)


def torch_functions(circuit):
    torch = pytest.importorskip("torch")
    from qmljax.torch import torch_function

    w = torch.tensor(WEIGHTS, requires_grad=True)
    torch_function(qj.expectation(circuit, "ZZZ"))(w).backward()


KINDS = [
    value_and_gradient,
    hessian,
    training,
    minimisation,
    kernels,
    kernels_on_devices,
    shots,
    density_matrices,
    trajectories,
    torch_functions,
]


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_compiled_for_a_circuit_is_forgotten(kind):
    held = [kind(circuit_of(0))]
    forget()
    before = mappings()
    held += [kind(circuit_of(seed)) for seed in (1, 2, 3)]
    taken = mappings() - before
    forget()
    assert taken > 90
    assert mappings() - before < taken // 6
    held.clear()


def gradients_and_training(circuit):
    """JAX's caches keep each other's entries of a function that is differentiated by itself and within another."""
    f = value_and_gradient(circuit)
    qj.fit(lambda w: f(w), WEIGHTS, (), optimizer=optax.sgd(0.1), steps=2)
    return f


@pytest.mark.parametrize("kind", [value_and_gradient, gradients_and_training])
def test_a_process_that_may_have_few_mappings_stays_below(monkeypatch, kind):
    monkeypatch.setattr(_forgetting, "EVERY", 1)
    forget()
    start = mappings()
    monkeypatch.setattr(_forgetting, "_left", start)
    monkeypatch.setattr(_forgetting, "mappings_allowed", lambda: start + 1200)
    forgotten = []
    monkeypatch.setattr(_forgetting, "forget", lambda: forgotten.append(mappings()) or forget())
    held, most = [], start
    for seed in range(10, 20):
        held.append(kind(circuit_of(seed)))
        most = max(most, mappings())
    assert forgotten and most < start + 1200  # with what all of them take it would be beyond
    for f in held[::4]:
        value, gradient = jax.jit(jax.value_and_grad(f))(WEIGHTS)
        np.testing.assert_allclose(f(WEIGHTS), value, rtol=0, atol=1e-6)
        np.testing.assert_allclose(jax.grad(f)(WEIGHTS), gradient, rtol=0, atol=1e-6)


def test_what_cannot_be_given_back_is_not_asked_for_each_time(monkeypatch):
    monkeypatch.setattr(_forgetting, "EVERY", 1)
    monkeypatch.setattr(_forgetting, "_left", 0)
    monkeypatch.setattr(_forgetting, "mappings_allowed", lambda: 1000)
    monkeypatch.setattr(_forgetting, "mappings", lambda: 700)
    forgotten = []
    monkeypatch.setattr(_forgetting, "forget", lambda: forgotten.append("ours"))
    monkeypatch.setattr(jax, "clear_caches", lambda: forgotten.append("all"))
    for seed in (30, 31):
        value_and_gradient(circuit_of(seed))
    assert forgotten == ["ours", "all"]


def test_where_there_is_no_limit_nothing_is_forgotten(monkeypatch):
    def nobody_says():
        raise FileNotFoundError

    monkeypatch.setattr(_forgetting, "EVERY", 1)
    monkeypatch.setattr(_forgetting, "mappings_allowed", nobody_says)
    monkeypatch.setattr(_forgetting, "forget", lambda: pytest.fail("forgotten"))
    value_and_gradient(circuit_of(32))


def test_forgetting_while_others_compute():
    """In a trace of one's own, in one of the user's, and in other threads."""
    f = qj.expectation(circuit_of(33), "ZZZ", compile=True)
    expected, slope = jax.value_and_grad(f)(WEIGHTS)

    def loss(w):
        forget()
        return f(w) * 2

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(WEIGHTS), 2 * slope, rtol=0, atol=1e-6)
    stop, wrong, rounds = threading.Event(), [], [0, 0]

    def compute(own):
        while not stop.is_set():
            try:
                np.testing.assert_allclose(f(WEIGHTS), expected, rtol=0, atol=1e-6)
                np.testing.assert_allclose(jax.grad(f)(WEIGHTS), slope, rtol=0, atol=1e-6)
                training(circuit_of(33))
                rounds[own] += 1
            except Exception as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=compute, args=(own,)) for own in range(2)]
    for thread in threads:
        thread.start()
    while min(rounds) < 3 and not wrong:  # each has computed while we forgot
        forget()
        stop.wait(0.1)  # forgetting without a pause, we would leave them a few percent of the time
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
