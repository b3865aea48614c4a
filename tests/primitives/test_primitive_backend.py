"""`qmljax.primitives.PrimitiveBackend`: models on V2 primitives. Oracle: the simulator, which knows no shift rule."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from circuits import STANDARD, rotations
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, generate_preset_pass_manager
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import (
    PauliEvolutionGate,
    PhaseGate,
    RXGate,
    RYGate,
    RZGate,
    UGate,
    XXPlusYYGate,
    zz_feature_map,
)
from qiskit.primitives import (
    BackendEstimatorV2,
    BackendSamplerV2,
    BaseEstimatorV2,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.quantum_info import SparsePauliOp

import qmljax as qj
from qmljax import _progress
from qmljax.primitives import JobError, PrimitiveBackend, _jobs, _rows, _transpile
from qmljax.primitives._jobs import Chunk, Runner
from qmljax.primitives._journal import Answer, Journal
from qmljax.primitives._measured import Spsa
from qmljax.primitives._shift import TERMS, shifts

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*V2 class is deprecated:DeprecationWarning",  # the runtime's older primitives, on purpose
)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test may open a connection, and none waits for a retry."""

    def refuse(*args: Any) -> None:
        raise AssertionError(f"a test wanted to connect to {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(_jobs, "sleep", lambda seconds: None)


class Counting(BaseEstimatorV2):
    """Qiskit's exact estimator, with a note of the pubs of every job: (circuit, shape of the bindings)."""

    default_precision = 0.0

    def __init__(self):
        self.jobs = []
        self.exact = StatevectorEstimator()

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        values = [pub[2] if len(pub) > 2 else {} for pub in pubs]
        self.jobs.append([(pub[0], *(np.shape(v) for v in value.values())) for pub, value in zip(pubs, values)])  # noqa: B905
        return self.exact.run(pubs, precision=precision)


A, B, C = Parameter("a"), Parameter("b"), Parameter("c")
EXPRESSIONS = [(A * B).sin() + A, 0.3 - 2 * C, A * C + B**2, B / 2 - C]


def circuit_with(gates: list) -> QuantumCircuit:
    """The gates on changing qubits, between random rotations."""
    n = max(2, *(gate.num_qubits for gate in gates))
    circuit = rotations(n, 0)
    for k, gate in enumerate(gates):
        circuit.append(gate, [(q + k) % n for q in range(gate.num_qubits)])
        circuit.ry(0.3 + k, k % n)
        circuit.cx(k % n, (k + 1) % n)
    return circuit.compose(rotations(n, 2))


def composite() -> Any:
    inner = QuantumCircuit(2, global_phase=B)
    inner.rx(A * B, 0)
    inner.cry(C, 0, 1)
    return inner.to_gate().control(1, ctrl_state=0)


def evolution() -> Any:
    return PauliEvolutionGate(SparsePauliOp(["XY", "ZZ", "IX"], [0.3, -0.4, 0.8]), time=A * B + C)


GATES = {
    **{
        name: (lambda gate=gate: type(gate)(*EXPRESSIONS[: len(gate.params)]))
        for name, gate in STANDARD.items()
        if gate.params and name != "global_phase"
    },
    **{
        f"{gate.__name__} under {count} controls": (
            lambda gate=gate, count=count, width=width: gate(*EXPRESSIONS[:width]).control(count, ctrl_state=1)
        )
        for gate, width, count in [
            (RXGate, 1, 1),
            (RXGate, 1, 2),
            (RYGate, 1, 3),
            (RZGate, 1, 2),
            (UGate, 3, 2),
            (XXPlusYYGate, 2, 1),
        ]
    },
    "mcphase": lambda: PhaseGate(EXPRESSIONS[0]).control(2),
    "controlled composite": composite,
    "evolution": evolution,
    "annotated": lambda: composite().inverse(annotated=True).control(1, annotated=True),
}


GROUPS = [list(GATES)[k : k + 5] for k in range(0, len(GATES), 5)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("names", GROUPS, ids=", ".join)
def test_gradients_are_exact(names):
    circuit = circuit_with([GATES[name]() for name in names])
    n = circuit.num_qubits
    observables = ["Z" + "I" * (n - 1), SparsePauliOp(["X" * n, "I" * n, "Y" + "Z" * (n - 1)], [0.5, 2.0, -1.0])]
    model, exact = (
        qj.estimator_qnn(circuit, observables, inputs=["b"], backend=backend)
        for backend in (PrimitiveBackend(StatevectorEstimator()), None)
    )
    rng = np.random.default_rng(0)
    weights, x = rng.uniform(-2, 2, model.num_weights), rng.uniform(-2, 2, (2, 1))
    out = rng.normal(size=(2, 2))
    values, slopes = zip(*(jax.vjp(m, weights, x) for m in (model, exact)), strict=True)
    np.testing.assert_allclose(*values, rtol=0, atol=1e-8)
    for found, expected in zip(*(slope(jnp.asarray(out)) for slope in slopes), strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_every_parametrised_standard_gate_is_tested():
    assert {name for name, gate in STANDARD.items() if gate.params} - set(GATES) == {"global_phase"}


@pytest.mark.parametrize("frequencies", [(1.0,), (0.5, 1.0)])
def test_shift_rules(frequencies):
    """Closed form: derivatives of a Fourier series."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, len(frequencies)))
    f = np.array(frequencies)
    series = lambda t: np.sum(a * np.cos(f * t) + b * np.sin(f * t))  # noqa: E731
    slope = np.sum(f * (b * np.cos(f * 0.7) - a * np.sin(f * 0.7)))
    curvature = -np.sum(f**2 * (a * np.cos(f * 0.7) + b * np.sin(f * 0.7)))
    found = sum(c * series(0.7 + k * np.pi / 2) for k, c in TERMS[len(frequencies)])
    np.testing.assert_allclose(found, slope, atol=1e-12)
    offsets, first, second = shifts((len(frequencies),), (0,), 2)
    values = np.array([series(0.7 + offset) for offset in offsets[:, 0]])
    np.testing.assert_allclose(values[first[0]] @ first[2], slope, atol=1e-12)
    np.testing.assert_allclose(values[second[0]] @ second[3], curvature, atol=1e-12)


# One job, one pub.


def twenty() -> tuple[QuantumCircuit, ParameterVector]:
    """20 gate arguments: 8 of inputs, 12 of weights."""
    x, w = ParameterVector("x", 4), ParameterVector("w", 12)
    circuit = QuantumCircuit(4)
    for q in range(4):
        circuit.ry(x[q], q)
        circuit.rz(x[q], q)
        for k in range(3):
            circuit.rx(w[3 * q + k], q)
            circuit.cx(q, (q + 1) % 4)
    return circuit, x


def test_a_call_is_one_job_with_one_pub():
    (circuit, x), estimator = twenty(), Counting()
    runs = []
    manager = SimpleNamespace(run=lambda circuit: runs.append(circuit) or circuit)
    backend = PrimitiveBackend(estimator, pass_manager=manager)
    model = qj.estimator_qnn(circuit, ["ZIII", "IIXX"], inputs=x, backend=backend)
    assert model == qj.estimator_qnn(twenty()[0], ["ZIII", "IIXX"], inputs=list(x), backend=backend)
    rng = np.random.default_rng(0)
    weights, points = rng.normal(size=12).astype("f4"), rng.normal(size=(8, 4)).astype("f4")
    loss = lambda w, x: jnp.sum(model(w, x) ** 2)  # noqa: E731
    rows = []
    for step, (f, expected) in enumerate(
        [
            (loss, 8),
            (jax.value_and_grad(loss), 8 * (1 + 2 * 12)),  # inputs are not shifted
            (jax.value_and_grad(loss, (0, 1)), 8 * (1 + 2 * 20)),
            (jax.jit(jax.value_and_grad(loss, 1)), 8 * (1 + 2 * 8)),
            (lambda w, x: jax.vmap(model, (None, 0))(w, x), 8),
            (jax.vmap(jax.value_and_grad(loss), (None, 0)), 8 * 25),
            (jax.jit(jax.vmap(jax.vmap(loss, (0, None)), (None, 0))), None),
        ]
    ):
        many = np.stack([weights, weights + 1]) if expected is None else weights
        jax.block_until_ready(f(many, points))
        assert len(estimator.jobs) == step + 1 and len(estimator.jobs[-1]) == 1
        ((_, shape),) = estimator.jobs[-1]
        rows.append((shape, (expected or 16, 20)))
    assert [found for found, _ in rows] == [expected for _, expected in rows]
    assert len(runs) == 1  # transpiled once


def test_equal_rows_are_evaluated_once():
    (circuit, x), estimator = twenty(), Counting()
    model = qj.estimator_qnn(circuit, "ZZZZ", inputs=x, backend=PrimitiveBackend(estimator))
    points = np.ones((6, 4))
    points[3] = 0.0
    points[4] = -0.0
    model(np.ones(12), points)
    assert estimator.jobs[0][0][1] == (2, 20)


def test_training_on_a_backend():
    (circuit, x), estimator = twenty(), Counting()
    model = qj.estimator_qnn(circuit, "ZZZZ", inputs=x, backend=PrimitiveBackend(estimator))
    exact = qj.estimator_qnn(circuit, "ZZZZ", inputs=x)
    points = np.random.default_rng(0).normal(size=(4, 4)).astype("f4")
    results = [
        qj.fit(
            lambda w, x, y, m=m: jnp.mean((m(w, x)[:, 0] - y) ** 2),
            jnp.ones(12),
            (points, jnp.ones(4)),
            optimizer=optax.sgd(0.1),
            steps=3,
        )
        for m in (model, exact)
    ]
    np.testing.assert_allclose(results[0].weights, results[1].weights, rtol=0, atol=1e-5)
    np.testing.assert_allclose(results[0].history, results[1].history, rtol=0, atol=1e-5)
    assert [shape for ((_, shape),) in estimator.jobs] == [(4 * 25, 20)] * 3


@pytest.mark.usefixtures("x64")
def test_second_derivatives():
    circuit = QuantumCircuit(2)
    circuit.ry(A * B, 0)
    circuit.crx(A, 0, 1)
    circuit.rz(B + C, 1)
    circuit.rx(C, 1)
    model, exact = (
        qj.estimator_qnn(circuit, ["ZI", "XY"], inputs=["c"], backend=backend)
        for backend in (PrimitiveBackend(StatevectorEstimator()), None)
    )
    w, x = np.array([0.4, -0.9]), np.array([[0.3], [1.2]])
    loss = lambda m: lambda w, x: jnp.sum(jnp.sin(m(w, x)))  # noqa: E731
    both = [jax.tree.leaves(jax.jit(jax.hessian(loss(m), (0, 1)))(w, x)) for m in (model, exact)]
    for found, expected in zip(*both, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    with pytest.raises(NotImplementedError, match="first and second derivatives"):
        jax.eval_shape(jax.jacfwd(jax.jacfwd(jax.jacfwd(loss(model)))), w, x)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.usefixtures("x64")
def test_dtypes(dtype):
    circuit, x = twenty()
    model = qj.estimator_qnn(circuit, "ZZZZ", inputs=x, backend=PrimitiveBackend(StatevectorEstimator()))
    weights, points = np.ones(12, dtype), np.ones((2, 4), dtype)
    value, slope = jax.value_and_grad(lambda w: jnp.sum(model(w, points)))(weights)
    assert value.dtype == slope.dtype == dtype
    assert all(a.dtype == dtype for a in model.with_std(weights, points))


def test_hard_shapes():
    """No parameters, no inputs, an empty batch, an input that does nothing, an observable that is a constant."""
    backend, bell = PrimitiveBackend(StatevectorEstimator()), QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    constant = qj.estimator_qnn(bell, ["ZZ", "II"], inputs=[], backend=backend)
    np.testing.assert_allclose(constant(np.zeros(0), np.zeros((3, 0))), np.ones((3, 2)), atol=1e-6)
    circuit = QuantumCircuit(1, global_phase=B)
    circuit.ry(A, 0)
    estimator = Counting()
    model = qj.estimator_qnn(circuit, ["Z"], inputs=["b"], backend=PrimitiveBackend(estimator))
    np.testing.assert_allclose(model([0.3], np.ones((2, 3, 1))), np.full((2, 3, 1), np.cos(0.3)), atol=1e-6)
    assert estimator.jobs[0][0][1] == (1, 1)
    assert model([0.3], np.ones((0, 1))).shape == (0, 1)
    identity = qj.estimator_qnn(circuit, {"I": 2.0}, inputs=["a"], backend=PrimitiveBackend(estimator))
    value, slope = jax.value_and_grad(lambda x: jnp.sum(identity([0.3], x)))(np.ones((2, 1), "f4"))
    assert value == 4 and not slope.any() and len(estimator.jobs) == 1  # nothing to measure


@pytest.mark.usefixtures("x64")
def test_projectors_and_labels():
    circuit = rotations(3, 0)
    circuit.rx(A, 1)
    observables = ["01+", "-rl", {"Z0I": 0.5, "IIX": -2.0}, SparsePauliOp("XYZ")]
    model, exact = (
        qj.estimator_qnn(circuit, observables, inputs=[], backend=b)
        for b in (PrimitiveBackend(StatevectorEstimator()), None)
    )
    np.testing.assert_allclose(model([0.4], []), exact([0.4], []), rtol=0, atol=1e-12)


# SPSA.


@pytest.mark.usefixtures("x64")
def test_spsa_is_right_on_average():
    circuit, x = twenty()
    points, weights = np.full((300, 4), 0.3), np.linspace(0, 2, 12)
    points += 1e-9 * np.arange(300)[:, None]  # other points have other directions
    estimator = Counting()
    backend = PrimitiveBackend(estimator, gradient="spsa", key=jax.random.key(0), spsa_step=0.05)
    model, exact = (qj.estimator_qnn(circuit, "ZIIZ", inputs=x, backend=b) for b in (backend, None))
    ensemble = lambda m: jax.jit(jax.vmap(jax.value_and_grad(lambda w, x: m(w, x)[0]), (None, 0)))  # noqa: E731
    values, slopes = ensemble(model)(weights, points)
    assert [shape for ((_, shape),) in estimator.jobs] == [(900, 20)]
    expected, right = ensemble(exact)(weights, points[:1])
    np.testing.assert_allclose(values, np.full(300, expected[0]), atol=1e-6)
    assert (np.abs(slopes.mean(axis=0) - right[0]) < 5 * slopes.std(axis=0) / np.sqrt(300) + 1e-3).all()
    assert slopes.std(axis=0).min() > 0.01
    with pytest.raises(NotImplementedError, match="SPSA has first derivatives only"):
        jax.eval_shape(jax.hessian(lambda w: model(w, points[0])[0]), weights)


def test_equal_questions_get_equal_directions():
    circuit, x = twenty()

    def slope(seed: int) -> jax.Array:
        backend = PrimitiveBackend(StatevectorEstimator(), gradient="spsa", key=jax.random.key(seed))
        model = qj.estimator_qnn(circuit, "ZIIZ", inputs=x, backend=backend)
        return jax.grad(lambda w: model(w, np.ones(4, "f4"))[0])(np.ones(12, "f4"))

    assert (slope(0) == slope(0)).all() and (slope(0) != slope(1)).any()


# Samplers.


def registers() -> QuantumCircuit:
    """A subset of qubits, measured out of order into two registers."""
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(1, "meas"), ClassicalRegister(2, "other"))
    circuit.ry(A, 0)
    circuit.cx(0, 2)
    circuit.crx(B, 2, 3)
    circuit.ry(A * B, 1)
    circuit.measure([3, 0, 1], [0, 2, 1])
    return circuit


def twice() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 3)
    circuit.ry(A, 0)
    circuit.cry(B, 0, 1)
    circuit.measure([1, 0, 1], [0, 1, 2])
    return circuit


def unmeasured() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.ry(A, 2)
    circuit.cx(2, 0)
    circuit.rx(B, 0)
    return circuit


@pytest.mark.parametrize("options", [{}, {"interpret": lambda k: k.bit_count() % 2}], ids=["outcomes", "parity"])
@pytest.mark.parametrize("make", [registers, twice, unmeasured])
def test_a_sampler_samples_what_the_simulator_samples(make, options):
    backend = PrimitiveBackend(sampler=StatevectorSampler(seed=1), shots=20_000)
    model, exact = (qj.sampler_qnn(make(), inputs=["b"], backend=b, **options) for b in (backend, None))
    w, x = [1.1], np.array([[0.4], [2.0]])
    values, std = model.with_std(w, x)
    expected = np.asarray(exact(w, x))
    assert values.shape == std.shape == expected.shape == model(w, x).shape
    np.testing.assert_allclose(np.sqrt(expected * (1 - expected) / 20_000), std, rtol=0, atol=3e-4)
    assert (np.abs(values - expected) < 5 * np.asarray(std) + 1e-3).all()
    out = np.random.default_rng(0).normal(size=expected.shape).astype("f4")
    found, right = (jax.grad(lambda w, m=m: jnp.sum(out * m(w, x)))(jnp.array(w)) for m in (model, exact))
    np.testing.assert_allclose(found, right, rtol=0, atol=0.05)


# Standard errors.


class Noisy(BaseEstimatorV2):
    """Qiskit's estimator with noise, which it calls by its name."""

    def run(self, pubs, *, precision=None):
        result = StatevectorEstimator(seed=0).run(pubs, precision=precision).result()
        result[0].data.stds[...] = precision
        return SimpleNamespace(job_id=lambda: "noisy", result=lambda: result)


def test_standard_errors():
    """Closed form: a two-term rule halves the sum of two variances."""
    circuit = QuantumCircuit(1)
    circuit.ry(2 * A, 0)
    circuit.rx(B, 0)
    backend = PrimitiveBackend(Noisy(), precision=0.01)
    model = qj.estimator_qnn(circuit, "Z", inputs=["b"], backend=backend)
    exact = qj.estimator_qnn(circuit, "Z", inputs=["b"])
    x = np.linspace(0, 1, 5, dtype="f4")[:, None]
    values, std = model.with_std([0.2], x)
    np.testing.assert_allclose(std, 0.01, rtol=1e-5)
    assert 0 < np.abs(values - exact([0.2], x)).max() < 0.05
    slope, error = model.gradient_with_std([0.2], x)
    assert slope.shape == error.shape == (5, 1, 1)
    np.testing.assert_allclose(error, 2 * 0.01 / np.sqrt(2), rtol=1e-5)
    expected = jax.jacobian(exact)(jnp.array([0.2]), x)
    assert (np.abs(slope - expected) < 5 * np.asarray(error)).all()


def test_shots_are_a_precision_for_an_estimator():
    circuit = QuantumCircuit(1)
    circuit.ry(A, 0)
    backend = PrimitiveBackend(Noisy(), shots=400)
    _, std = qj.estimator_qnn(circuit, "Z", inputs=[], backend=backend).with_std([0.2], [])
    np.testing.assert_allclose(std, 0.05, rtol=1e-6)


# Kernels.


@pytest.mark.usefixtures("x64")
def test_kernels():
    circuit = QuantumCircuit(3)
    x, w = ParameterVector("x", 2), Parameter("w")
    circuit.ry(w, 0)
    circuit.compose(zz_feature_map(2, reps=1).assign_parameters(list(x)), [2, 0], inplace=True)
    circuit.cry(x[0] * w, 0, 2)
    estimator = Counting()
    backend = PrimitiveBackend(estimator)
    points, others = np.random.default_rng(0).normal(size=(2, 4, 2))
    for build, rows in ((qj.fidelity_kernel, 6), (qj.projected_kernel, 4)):
        kernel, exact = (build(circuit, weights=[w], backend=b) for b in (backend, None))
        np.testing.assert_allclose(kernel(points, weights=[0.3]), exact(points, weights=[0.3]), rtol=0, atol=1e-10)
        assert len(estimator.jobs) == 1 and estimator.jobs.pop()[0][1][0] == rows
        np.testing.assert_allclose(
            kernel(points, others, weights=[0.3]), exact(points, others, weights=[0.3]), rtol=0, atol=1e-10
        )
        slopes = [
            jax.grad(lambda w, k=k: jnp.sum(jnp.sin(k(points[:2], weights=w))))(jnp.array([0.3]))
            for k in (kernel, exact)
        ]
        np.testing.assert_allclose(*slopes, rtol=0, atol=1e-10)
        estimator.jobs.clear()


def test_a_fidelity_kernel_is_sampled():
    backend = PrimitiveBackend(sampler=StatevectorSampler(seed=0), shots=10_000)
    kernel, exact = (qj.fidelity_kernel(zz_feature_map(2), backend=b) for b in (backend, None))
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("f4")
    gram = np.asarray(kernel(x))
    assert (gram == gram.T).all() and (np.diag(gram) == 1).all()
    np.testing.assert_allclose(gram, exact(x), rtol=0, atol=5 * 0.5 / 100)
    plan = backend.plan(kernel, x)
    assert (plan.circuits, plan.shots, plan.jobs) == (10, 100_000, 1)


# Plans.


def test_plans_count_what_runs():
    (circuit, x), estimator = twenty(), Counting()
    model = qj.estimator_qnn(circuit, ["ZIII", "IIXX"], inputs=x, backend=(backend := PrimitiveBackend(estimator)))
    points = np.random.default_rng(0).normal(size=(8, 4))
    plan = backend.plan(model, points)
    assert not estimator.jobs and (plan.jobs, plan.circuits, plan.shots) == (1, 8 * 25, 0)  # the two commute by qubits
    assert plan.two_qubit_gates == 12 and plan.depth == circuit.depth()
    assert backend.plan(model, points, gradient=False).circuits == 8
    assert backend.plan(model, np.ones((8, 4)), gradient=False).circuits == 1
    clash = qj.estimator_qnn(circuit, ["ZIII", "XXII"], inputs=x, backend=backend)
    assert backend.plan(clash, points, gradient=False).circuits == 16  # two bases
    assert "circuits          200" in str(plan) and "exact" in str(plan)
    with pytest.raises(ValueError, match="must run on this backend"):
        PrimitiveBackend(estimator).plan(model, points)
    assert not estimator.jobs  # not even on the other one
    observables = [{"ZIII": 1.0, "XIII": 1.0}, {"ZIII": 1.0, "XIII": -1.0}]  # two bases, but their sum has one
    clash = qj.estimator_qnn(circuit, observables, inputs=x, backend=backend)
    assert backend.plan(clash, points, gradient=False).circuits == 16


def test_what_runs_during_a_plan_runs_as_ever():
    (circuit, x), estimator = twenty(), Counting()
    backend = PrimitiveBackend(estimator)
    model = qj.estimator_qnn(circuit, "ZZZZ", inputs=x, backend=backend)
    exact = qj.estimator_qnn(circuit, "ZZZZ", inputs=x)(np.ones(12), np.ones(4))
    values, counted = [], _rows.Counting.__call__

    def meanwhile(self, points):
        values.append(model.function.rows(np.ones((1, 20)))[0])
        return counted(self, points)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows.Counting, "__call__", meanwhile)
        assert backend.plan(model, np.zeros((1, 4)), gradient=False).circuits == 1
    assert len(estimator.jobs) == 1 and np.abs(values[0]).max() > 0
    np.testing.assert_allclose(model(np.ones(12), np.ones(4)), exact, atol=1e-5)


def test_work_is_cut_into_jobs(monkeypatch):
    bars = []

    class Bar:
        def __init__(self, total, **options):
            self.left, self.open = total, True
            bars.append(self)

        def update(self):
            self.left -= 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.open = False

    monkeypatch.setattr(_progress, "load_tqdm", lambda: Bar)
    (circuit, x), estimator = twenty(), Counting()
    options = {"precision": 0.1, "max_executions_per_job": 3 * 100 * 2, "progress": True}
    backend = PrimitiveBackend(estimator, **options)
    model = qj.estimator_qnn(circuit, ["ZIII", "XXII"], inputs=x, backend=backend)
    points = np.random.default_rng(0).normal(size=(8, 4))
    plan = backend.plan(model, points, gradient=False)
    assert (plan.jobs, plan.shots) == (3, 8 * 2 * 100)
    model(np.ones(12), points)
    assert [shape for ((_, shape),) in estimator.jobs] == [(3, 20), (3, 20), (2, 20)]
    assert [(bar.left, bar.open) for bar in bars] == [(0, False)]


# Faults. The service keeps jobs, as IBM's does; its script says what happens to each submission and each job.


class Killed(Counting):
    """Dies at its third job."""

    def run(self, pubs, *, precision=None):
        if len(self.jobs) == 2:
            self.jobs.append(None)
            raise KeyboardInterrupt
        return super().run(pubs, precision=precision)


def test_jobs_that_die_with_the_process_run_one_by_one(tmp_path):
    circuit, x = QuantumCircuit(1), ParameterVector("x", 1)
    circuit.ry(x[0], 0)
    estimator, points = Killed(), np.linspace(0, 1, 5, dtype="float32")[:, None]

    def run() -> jax.Array:  # each time as in a new process
        backend = PrimitiveBackend(estimator, precision=0.1, max_executions_per_job=100, journal=tmp_path / "journal")
        return qj.estimator_qnn(circuit, inputs=x, backend=backend)([], points)

    with pytest.raises(KeyboardInterrupt):
        run()
    np.testing.assert_allclose(run()[:, 0], np.cos(points[:, 0]), atol=0.6)
    assert len(estimator.jobs) == 6  # the third of five was submitted twice, all others once


class Unavailable(Exception):
    """A failure that may pass."""


class RuntimeJobFailureError(Exception):
    """As the runtime calls it."""


class RuntimeJobMaxTimeoutError(RuntimeJobFailureError):
    """As the runtime calls it."""


class Job:
    def __init__(self, name: str, rows: Any, ends: list[str], tags: list[str]):
        self.name, self.rows, self.ends, self.tags = name, rows, ends, tags

    def job_id(self) -> str:
        return self.name

    def status(self) -> str:
        return {"fails": "ERROR", "times out": "ERROR", "cancelled": "CANCELLED"}.get(self.ends[0], "RUNNING")

    def result(self, timeout: float | None = None) -> Any:
        end = self.ends[0]
        if end in ("network", "slow"):
            self.ends.pop(0)
            raise Unavailable("connection lost") if end == "network" else TimeoutError(f"after {timeout} s")
        if end == "killed":
            raise KeyboardInterrupt
        if end == "ok":
            return self.rows
        error = {"fails": RuntimeJobFailureError, "times out": RuntimeJobMaxTimeoutError}.get(end, RuntimeError)
        raise error(end)


class Service:
    """`submissions` says what happens to each: "refused", "down", or how the job ends, in turn at each request."""

    def __init__(self, *submissions: Any):
        self.script = list(submissions)
        self.known: list[Job] = []
        self.options = SimpleNamespace(environment=SimpleNamespace(job_tags=["mine"]))

    def run(self, rows: np.ndarray) -> Job:
        ends = self.script.pop(0) if self.script else "ok"
        if ends == "refused":
            raise ValueError("no such circuit")
        if ends == "down":
            raise Unavailable("try later")
        ends = [ends] if isinstance(ends, str) else list(ends)
        lost = ends[0] == "submitted, then killed"
        ends = ["ok"] if lost else ends
        self.known.append(Job(f"job{len(self.known)}", rows, ends, self.options.environment.job_tags))
        if lost:
            raise KeyboardInterrupt
        return self.known[-1]

    def job(self, name: str) -> Job:
        return next(job for job in self.known if job.name == name)

    def jobs(self, job_tags: list[str], limit: int) -> list[Job]:
        return [job for job in self.known if set(job_tags) <= set(job.tags)][:limit]


def run_chunks(service: Service, path: Any = None, count: int = 3, retries: int = 2, timeout: Any = None) -> np.ndarray:
    """The answers to chunks 0, ..., count - 1, each its own number, by a process that starts now."""
    chunks = [
        Chunk(
            f"{k:02d}", lambda k=k: service.run(np.full((2, 1), float(k))), lambda rows: Answer(rows, rows / 10), (2, 1)
        )
        for k in range(count)
    ]
    answers = Runner(service, Journal(path), retries, timeout, service).run(chunks)
    np.testing.assert_array_equal(np.stack([a.stds for a in answers]), np.stack([a.values for a in answers]) / 10)
    return np.array([a.values[0, 0] for a in answers])


def ran(service: Service) -> list[float]:
    """Which chunks were submitted, in order."""
    return [job.rows[0, 0] for job in service.known]


def test_failures_that_may_pass_are_tried_again(tmp_path):
    service = Service("down", "ok", ["network", "network", "ok"], "down", "fails", "ok")
    assert run_chunks(service, tmp_path / "journal").tolist() == [0, 1, 2]
    assert ran(service) == [0, 1, 2, 2]  # a job whose result could not be fetched is asked again, not run again
    assert all("qmljax" in job.tags and "mine" in job.tags for job in service.known)
    assert service.options.environment.job_tags == ["mine"]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("fails", "Job job1 failed in 3 attempts|Job job4 failed in 3 attempts"),
        ("times out", "Job job1 ran out of time: lower `max_executions_per_job`"),
        ("cancelled", "Job job1 was cancelled: run again to submit it anew"),
        ("strange", "Job job1 failed in 3 attempts"),
    ],
)
def test_a_job_that_fails_loses_nothing(tmp_path, end, message):
    path, service = tmp_path / "journal", Service("ok", end, "ok", *[end, end][: 2 * (end == "fails")])
    with pytest.raises(JobError, match=message) as caught:
        run_chunks(service, path)
    assert caught.value.job_id in message and str(path) in str(caught.value)
    before = len(service.known)
    if alive := end == "strange":  # nobody could say what was wrong: the job may be fine
        service.known[1].ends = ["ok"]
    assert run_chunks(service, path).tolist() == [0, 1, 2]
    assert ran(service)[before:] == [1] * (not alive)  # the others had been collected
    assert run_chunks(service, path).tolist() == [0, 1, 2] and len(service.known) == before + (not alive)


def test_a_submission_that_fails_loses_nothing(tmp_path):
    path, service = tmp_path / "journal", Service("ok", "down", "down", "down")
    with pytest.raises(JobError, match="could not be submitted in 3 attempts: Unavailable: try later"):
        run_chunks(service, path)
    assert run_chunks(service, path).tolist() == [0, 1, 2]
    assert ran(service) == [0, 1, 2]


def test_what_is_wrong_is_not_tried_again(tmp_path):
    service = Service("refused")
    with pytest.raises(ValueError, match="no such circuit"):
        run_chunks(service, tmp_path / "journal")
    assert not service.known and not service.script


def test_waiting_may_end(tmp_path):
    path, service = tmp_path / "journal", Service("ok", ["slow", "ok"], "ok")
    with pytest.raises(JobError, match="Job job1 gave no result in 5.0 s; it is running.") as caught:
        run_chunks(service, path, timeout=5.0)
    assert caught.value.job_id == "job1"
    assert run_chunks(service, path, timeout=5.0).tolist() == [0, 1, 2]
    assert ran(service) == [0, 1, 2]  # it went on, and was collected


@pytest.mark.parametrize("script", [["ok", ["killed"]], ["ok", "ok", "submitted, then killed"]])
def test_a_killed_process_loses_nothing(tmp_path, script):
    path, service = tmp_path / "journal", Service(*script)
    with pytest.raises(KeyboardInterrupt):
        run_chunks(service, path)
    for job in service.known:
        job.ends = ["ok"]
    with open(path, "ab") as file:
        file.write(b'{"chunk": "01:1", "values": {"shape": [2, 1], "flo')  # and the disk was full
    assert run_chunks(service, path).tolist() == [0, 1, 2]
    assert ran(service) == [0, 1, 2]
    assert len(Journal(path).answers) == 3  # what followed the torn line, which was cut off, is whole
    assert run_chunks(service, path).tolist() == [0, 1, 2] and len(service.known) == 3


def test_a_run_in_a_new_process_replays(tmp_path):
    """End to end: the process dies in its third job; the next one has the answers to two and runs the rest."""
    script = f"""
import os, sys
import jax, numpy as np, qmljax as qj
from qiskit.circuit.library import real_amplitudes
from qiskit.primitives import StatevectorEstimator
from qmljax.primitives import PrimitiveBackend

class Estimator:
    exact, count = StatevectorEstimator(seed=int(sys.argv[2])), 0
    def run(self, pubs, *, precision=None):
        self.count += 1
        if self.count == int(sys.argv[1]):
            os._exit(9)
        return self.exact.run(pubs, precision=precision)

estimator = Estimator()
backend = PrimitiveBackend(estimator, precision=0.1, journal={str(tmp_path / "journal")!r})
model = qj.estimator_qnn(real_amplitudes(2, reps=1), "ZZ", inputs=[], backend=backend)
w = np.ones(4, "f4")
for step in range(4):
    value, slope = jax.value_and_grad(lambda w: model(w, [])[0])(w)
    w = w - slope
    print(float(value))
print(estimator.count)
"""
    runs = [
        subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=120)
        for args in (["3", "0"], ["0", "1"])
    ]
    assert runs[0].returncode == 9 and runs[1].returncode == 0, runs[1].stderr
    *values, count = runs[1].stdout.split()
    assert count == "2" and values[:2] == runs[0].stdout.split()


def test_an_error_in_training_names_the_job(tmp_path):
    class Failing(Service):
        def run(self, pubs, *, precision=None):
            return super().run(pubs)

    backend = PrimitiveBackend(Failing(*["fails"] * 9), max_retries=1, journal=tmp_path / "journal")
    model = qj.estimator_qnn(unmeasured(), "ZZZ", inputs=[], backend=backend)
    with pytest.raises(JobError, match="^Job job1 failed in 2 attempts: RuntimeJobFailureError: fails"):
        jax.grad(lambda w: model(w, []).sum())(jnp.ones(2))


def test_back_off(monkeypatch):
    waits = []
    monkeypatch.setattr(_jobs, "sleep", waits.append)
    with pytest.raises(JobError):
        run_chunks(Service(*["down"] * 20), count=1, retries=8)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


# Devices, simulated: no network.

RUNTIME = {
    "backend": (BackendEstimatorV2, BackendSamplerV2),
    "runtime": ("executor_estimator.Estimator", "executor_sampler.Sampler"),
    "older runtime": ("EstimatorV2", "SamplerV2"),
    "aer": ("EstimatorV2", "SamplerV2"),
}


def primitives(kind: str, device: Any) -> tuple[Any, Any]:
    runtime, aer = pytest.importorskip("qiskit_ibm_runtime"), pytest.importorskip("qiskit_aer.primitives")
    if kind == "backend":
        return BackendEstimatorV2(backend=device), BackendSamplerV2(backend=device)
    if kind == "aer":
        return aer.EstimatorV2.from_backend(device), aer.SamplerV2.from_backend(device)
    if kind == "older runtime":
        return runtime.EstimatorV2(mode=device), runtime.SamplerV2(mode=device)
    from qiskit_ibm_runtime.executor_estimator import Estimator
    from qiskit_ibm_runtime.executor_sampler import Sampler

    return Estimator(mode=device), Sampler(mode=device)


def fake(name: str) -> Any:
    return getattr(pytest.importorskip("qiskit_ibm_runtime.fake_provider"), name)()


def shared() -> QuantumCircuit:
    """Shared parameters, an expression, and qubits that are far apart in a line."""
    circuit = QuantumCircuit(3)
    circuit.ry(A, 0)
    circuit.cx(0, 2)
    circuit.crx(A * B, 0, 1)
    circuit.rzz(C, 1, 2)
    circuit.ry(A + C, 1)
    return circuit


@pytest.mark.parametrize("layout", [None, [4, 0, 2]])
def test_an_ideal_device_agrees_with_the_simulator(layout):
    """Within 5 standard errors, for any coupling map, basis and layout."""
    device = pytest.importorskip("qiskit_aer").AerSimulator(
        coupling_map=[[0, 1], [1, 2], [2, 3], [3, 4]], basis_gates=["cz", "rz", "sx", "x"], seed_simulator=1
    )
    manager = None
    if layout:
        manager = generate_preset_pass_manager(1, backend=device, initial_layout=layout, seed_transpiler=5)
    estimator, sampler = primitives("backend", device)
    backend = PrimitiveBackend(estimator, sampler, shots=20_000, pass_manager=manager)
    w, x = np.array([0.8, -0.5], "f4"), np.array([[0.3], [1.9]], "f4")
    measured = shared().compose(QuantumCircuit(3, 2))
    measured.measure([2, 0], [0, 1])
    for build, circuit, options in [
        (qj.estimator_qnn, shared(), {"observables": ["ZII", "IXY", {"ZZI": 0.5, "IIZ": -1.0}]}),
        (qj.sampler_qnn, measured, {}),
    ]:
        model, exact = (build(circuit, inputs=["c"], backend=b, **options) for b in (backend, None))
        values, std = model.with_std(w, x)
        assert (np.abs(values - exact(w, x)) <= 5 * np.asarray(std) + 1e-6).all() and np.max(std) < 0.02
        slope, error = model.gradient_with_std(w, x)
        assert (np.abs(slope - jax.jacobian(exact)(w, x)) <= 5 * np.asarray(error) + 1e-6).all() and np.max(
            error
        ) < 0.05
    feature_map = zz_feature_map(3, reps=1)
    kernel, exact = (qj.fidelity_kernel(feature_map, backend=b) for b in (backend, None))
    x = np.random.default_rng(0).normal(size=(3, 3)).astype("f4")
    np.testing.assert_allclose(kernel(x), exact(x), rtol=0, atol=5 * 0.5 / 20_000**0.5)


@pytest.mark.parametrize("kind", RUNTIME)
@pytest.mark.parametrize("name", ["FakeManilaV2", "FakeNairobiV2"])
def test_models_run_on_devices(name, kind):
    device = fake(name)
    backend = PrimitiveBackend(*primitives(kind, device), shots=1000)
    w, x = np.array([0.8, -0.5], "f4"), np.array([[0.3], [1.9]], "f4")
    for build, options in [(qj.estimator_qnn, {"observables": ["ZII", "IXY"]}), (qj.sampler_qnn, {})]:
        model, exact = (build(shared(), inputs=["c"], backend=b, **options) for b in (backend, None))
        np.testing.assert_allclose(model(w, x), exact(w, x), rtol=0, atol=0.3)
        plan = backend.plan(model, x)
        assert plan.seconds > 0 and plan.two_qubit_gates > 0 and plan.jobs == 1 and "fake" in str(plan)
    assert "resilience level  " + {"runtime": "1"}.get(kind, "the primitive has none") in str(
        backend.plan(qj.estimator_qnn(shared(), inputs=["c"], backend=backend), x)
    )
    kernel, exact = (qj.fidelity_kernel(zz_feature_map(2, reps=1), backend=b) for b in (backend, None))
    x = np.array([[0.3, 1.0], [1.2, -0.5]], "f4")
    np.testing.assert_allclose(kernel(x), exact(x), rtol=0, atol=0.3)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", ["FakeManilaV2", "FakeNairobiV2"])
def test_ten_steps_of_training_on_a_device(name):
    device = fake(name)
    backend = PrimitiveBackend(*primitives("backend", device), shots=500)
    x, y = np.array([[-1.0], [1.0]], "f4"), np.array([1.0, -1.0], "f4")
    circuit = QuantumCircuit(2)
    circuit.ry(C, 0)
    circuit.ry(A, 0)
    circuit.crx(B, 0, 1)
    outputs = {
        "estimator": (qj.estimator_qnn(circuit, ["IZ"], inputs=["c"], backend=backend), lambda out: out[:, 0]),
        "sampler": (
            qj.sampler_qnn(circuit, inputs=["c"], interpret=lambda k: k & 1, backend=backend),
            lambda out: out[:, 0] - out[:, 1],
        ),
    }
    for model, read in outputs.values():
        loss = lambda w, x, y, m=model, r=read: jnp.mean((r(m(w, x)) - y) ** 2)  # noqa: E731
        result = qj.fit(loss, jnp.array([0.0, 0.5]), (x, y), optimizer=optax.adam(0.3), steps=10)
        assert result.history[-1] < 0.5 * result.history[0]
    scaled = QuantumCircuit(1)
    scaled.ry(A * C, 0)  # a fidelity of cos(a)**2 between -1 and 1, which training lowers
    kernel = qj.fidelity_kernel(scaled, weights=[A], backend=backend)
    result = qj.fit(
        lambda w, x: kernel(x, weights=w)[0, 1], jnp.array([0.5]), (x,), optimizer=optax.adam(0.2), steps=10
    )
    assert result.history[0] > 0.6 and result.history[-1] < 0.3


def test_a_circuit_is_transpiled_once(monkeypatch):
    from qmljax.primitives import _transpile

    made = []
    monkeypatch.setattr(
        _transpile,
        "generate_preset_pass_manager",
        lambda **options: made.append(options) or generate_preset_pass_manager(**options),
    )
    backend = PrimitiveBackend(*primitives("backend", fake("FakeManilaV2")), shots=100)
    for observables in ("ZII", "XYZ"):
        model = qj.estimator_qnn(shared(), observables, inputs=["c"], backend=backend)
        for _ in range(2):
            jax.block_until_ready(jax.grad(lambda w, m=model: m(w, [0.1])[0])(jnp.ones(2)))
    assert len(made) == 1 and made[0]["seed_transpiler"] is not None


def test_circuits_that_differ_on_a_device_alone():
    """A program has no barriers, delays and identities; an optimiser heeds the first, and noise the others."""
    pauses = [
        lambda c: None,
        lambda c: c.barrier(),
        lambda c: c.delay(100, 0, "us"),
        lambda c: c.delay(200, 0, "us"),
        lambda c: c.id(0),
    ]
    backend = PrimitiveBackend(primitives("backend", fake("FakeManilaV2"))[0], shots=100)
    models = []
    for pause in (*pauses, pauses[2]):
        circuit = QuantumCircuit(2)
        circuit.ry(A, 0)
        circuit.cx(0, 1)
        pause(circuit)
        circuit.cx(0, 1)
        models.append(qj.estimator_qnn(circuit, "IZ", inputs=[], backend=backend))
    assert models[2] == models[5] and hash(models[2]) == hash(models[5])
    assert len(set(models)) == len({m.function.rows.chunk(np.zeros((1, 1))).digest for m in models}) == 5
    counts = [m.function.rows.prepared.circuit.count_ops() for m in models]
    assert counts[0].get("cx", 0) == 0 and counts[1]["cx"] == 2 and counts[2]["delay"] == 1


def test_estimators_may_be_shared():
    estimator, _ = primitives("runtime", fake("FakeManilaV2"))
    backends = [PrimitiveBackend(estimator, resilience_level=k) for k in (0, 2)]
    asked = []
    estimator.run = lambda pubs, precision: asked.append(estimator.options.resilience_level) or refuse_to_run()
    for backend in backends:
        model = qj.estimator_qnn(shared(), inputs=["c"], backend=backend)
        assert backend.plan(model, np.zeros((1, 1))).work[0].resilience_level == backend.resilience_level
        with pytest.raises(ValueError, match="seen enough"):
            model.function.rows.chunk(np.zeros((1, 3))).submit()
    assert asked == [0, 2]


def refuse_to_run():
    raise ValueError("seen enough")


def test_arguments_that_are_no_numbers_are_not_submitted():
    backend = PrimitiveBackend(estimator := Counting())
    model = qj.estimator_qnn(shared(), inputs=["c"], backend=backend)
    with pytest.raises(Exception, match="infinite or no numbers"):
        jax.block_until_ready(model(np.array([1.0, np.nan]), [0.1]))
    assert not estimator.jobs


def test_a_journal_tells_the_primitive_s_own_accuracy_apart(tmp_path):
    values = []
    for precision in (0.0, 0.5):
        backend = PrimitiveBackend(
            StatevectorEstimator(default_precision=precision, seed=1), journal=tmp_path / "journal"
        )
        values.append(qj.estimator_qnn(shared(), inputs=["c"], backend=backend)([1.0, 2.0], [0.1]))
    assert values[0] != values[1]


def test_options_pass_through():
    estimator, sampler = primitives("runtime", fake("FakeManilaV2"))
    estimator.options.dynamical_decoupling.enable = True
    before = (repr(estimator.options), repr(sampler.options))
    PrimitiveBackend(estimator, sampler)
    assert before == (repr(estimator.options), repr(sampler.options))
    PrimitiveBackend(estimator, sampler, resilience_level=0)
    assert estimator.options.resilience_level == 0 and estimator.options.dynamical_decoupling.enable


# What is refused.


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({}, ValueError, "needs an `estimator` or a `sampler`"),
        ({"estimator": 3}, TypeError, "must be a V2 primitive"),
        ({"gradient": "magic"}, ValueError, '"parameter_shift" or "spsa"'),
        ({"gradient": "spsa"}, TypeError, "needs a JAX random `key`"),
        ({"key": 3}, ValueError, "`key` is for gradient"),
        ({"shots": 0}, ValueError, "`shots` must be an integer from 1 on"),
        ({"max_retries": -1}, ValueError, "`max_retries` must be an integer from 0 on"),
        ({"max_executions_per_job": 1.5}, ValueError, "`max_executions_per_job` must be"),
        ({"precision": -0.1}, ValueError, "`precision` must be"),
        ({"spsa_step": 0}, ValueError, "`spsa_step` must be"),
        ({"resilience_level": 1}, ValueError, "this one has none"),
    ],
)
def test_what_a_backend_is_not_made_of(options, error, match):
    with pytest.raises(error, match=match):
        PrimitiveBackend(**({"estimator": StatevectorEstimator()} | options if options else {}))


def test_factories():
    backend = PrimitiveBackend(StatevectorEstimator, lambda: StatevectorSampler(seed=3))
    assert isinstance(backend.estimator, StatevectorEstimator) and isinstance(backend.sampler, StatevectorSampler)


def test_what_a_backend_does_not_run():
    estimator, sampler = PrimitiveBackend(StatevectorEstimator()), PrimitiveBackend(sampler=StatevectorSampler())
    with pytest.raises(ValueError, match="Probabilities need `sampler=`"):
        qj.sampler_qnn(shared(), inputs=["c"], backend=estimator)
    with pytest.raises(ValueError, match="Expectation values need `estimator=`"):
        qj.estimator_qnn(shared(), inputs=["c"], backend=sampler)
    with pytest.raises(ValueError, match="may have 10 projectors"):
        qj.estimator_qnn(rotations(13, 0), "0" * 13, inputs=[], backend=estimator)([], [])
    with pytest.raises(TypeError, match="executes a qiskit QuantumCircuit, but `circuit` is a Program"):
        qj.estimator_qnn(qj.parse(shared()), inputs=["c"], backend=estimator)
    with pytest.raises(ValueError, match="without `interpret`"):
        qj.sampler_qnn(twice(), inputs=[], backend=sampler).gradient_with_std(np.ones(2), [])
    with pytest.raises(TypeError, match="says nothing of standard errors"):
        qj.estimator_qnn(shared(), inputs=["c"], backend=SimpleNamespace(expectation=qj.expectation)).with_std(
            [1, 1], [1]
        )
    with pytest.raises(ValueError, match="`params` must have 3 elements"):
        estimator.expectation(shared(), "ZZZ")(np.ones(2))
    loaded = qj.circuits.raw_feature_vector(2)
    with pytest.raises(ValueError, match=re.escape("Instruction 0, `")):
        qj.estimator_qnn(loaded, inputs=loaded.parameters, backend=estimator)


def test_what_a_device_does_not_execute():
    device = fake("FakeManilaV2")
    estimator, sampler = primitives("backend", device)
    idle = SimpleNamespace(run=lambda circuit: circuit)
    with pytest.raises(ValueError, match="fake_manila does not execute `ry` on qubits \\[0\\]"):
        qj.estimator_qnn(shared(), inputs=["c"], backend=PrimitiveBackend(estimator, pass_manager=idle))
    with pytest.raises(ValueError, match="fake_manila has 5 qubits, but the transpiled circuit has 6"):
        qj.estimator_qnn(rotations(6, 0), inputs=[], backend=PrimitiveBackend(estimator, pass_manager=idle))


@pytest.mark.usefixtures("standard_promotion")
def test_the_code_in_the_documentation_prints_what_is_shown(capsys):
    text = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")
    blocks, names = re.findall(r"```python\n(.*?)```\s*```text\n(.*?)```", text, re.DOTALL), {}
    assert len(blocks) == text.count("```python") == 3
    for source, shown in blocks:
        exec(compile(source, "hardware.md", "exec"), names)
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"precision": True}, ValueError, "`precision` must be a finite number"),
        ({"precision": "a"}, ValueError, "`precision` must be a finite number"),
        ({"precision": np.nan}, ValueError, "`precision` must be a finite number"),
        ({"shots": True}, ValueError, "`shots` must be an integer"),
        ({"spsa_step": "a"}, ValueError, "`spsa_step` must be a finite number above 0"),
        ({"journal": 3}, TypeError, "`journal` must be the path"),
        ({"resilience_level": "a"}, ValueError, "`resilience_level` must be an integer"),
        ({"pass_manager": 3}, TypeError, "`pass_manager` must be an object with a method `run`"),
        ({"service": 3}, TypeError, "`service` must be an object with a method `job`"),
        ({"estimator": StatevectorSampler()}, TypeError, "is a V2 sampler. Pass it as `sampler=`"),
        ({"sampler": StatevectorEstimator()}, TypeError, "is a V2 estimator. Pass it as `estimator=`"),
        ({"gradient": "spsa", "key": jax.random.split(jax.random.key(0))}, ValueError, "single JAX random key"),
    ],
)
def test_options_of_other_types(options, error, match):
    with pytest.raises(error, match=match):
        PrimitiveBackend(**({"estimator": StatevectorEstimator()} | options))


def test_a_device_is_no_primitive():
    with pytest.raises(TypeError, match=r"is a backend. Wrap it: qiskit.primitives.BackendEstimatorV2\(backend="):
        PrimitiveBackend(fake("FakeManilaV2"))


class Broken(StatevectorEstimator):
    def run(self, pubs, *, precision=None):
        raise LookupError("no such device")


def test_errors_reach_the_caller_as_they_are():
    model = qj.estimator_qnn(unmeasured(), "ZZZ", inputs=[], backend=PrimitiveBackend(Broken()))
    for call in (lambda w: model(w, []), jax.grad(lambda w: model(w, []).sum())):
        with pytest.raises(LookupError, match="^no such device"):
            call(jnp.ones(2))
    feature_map = zz_feature_map(2, reps=1)
    for kernel in (
        qj.fidelity_kernel(feature_map, backend=PrimitiveBackend(Broken())),
        qj.projected_kernel(feature_map, backend=PrimitiveBackend(Broken())),
    ):
        with pytest.raises(LookupError, match="^no such device"):
            kernel(np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(Exception, match="LookupError: no such device") as caught:
        jax.block_until_ready(jax.jit(model)(jnp.ones(2), jnp.ones(0)))
    assert str(caught.value).endswith("no such device") and "_jobs.py" not in str(caught.value)


def test_gates_with_bounded_angles_are_left_out():
    """Of a device with fractional gates. Oracle: the simulator, within the device's noise."""
    device = fake("FakeFractionalBackend")
    x, circuit = ParameterVector("x", 3), QuantumCircuit(3)
    circuit.rx(x[0], 0), circuit.h(1), circuit.rzz(x[1], 0, 1), circuit.rx(x[2], 1), circuit.cx(1, 2)
    estimator = primitives("backend", device)[0]
    backend = PrimitiveBackend(estimator)
    model = qj.estimator_qnn(circuit, "IIZ", inputs=x[:1], backend=backend)
    (prepared,) = backend._transpiled.values()
    assert "rzz" in device.target.operation_names and "rzz" not in prepared.circuit.count_ops()
    points = np.array([[0.3], [-2.0]])
    np.testing.assert_allclose(model([1.0, 2.0], points), np.cos(points), rtol=0, atol=0.15)
    unbounded = _transpile.without(device.target, {"cx"})
    opened = SimpleNamespace(target=unbounded, options=SimpleNamespace(use_fractional_gates=True))
    assert _transpile.bounded(opened) == _transpile.bounded(device) == {"rzz"}
    idle = SimpleNamespace(run=lambda circuit: QuantumCircuit(5).compose(circuit, range(3)))
    rotation = QuantumCircuit(3)
    rotation.rzz(x[0], 0, 1)
    with pytest.raises(ValueError, match="executes `rzz` with angles in an interval alone"):
        qj.estimator_qnn(rotation, "IIZ", inputs=[x[0]], backend=PrimitiveBackend(estimator, pass_manager=idle))


def test_the_directions_of_spsa_are_fair_and_independent():
    """Oracle: the moments of random signs."""
    rows = np.random.default_rng(0).normal(size=(4000, 6))
    signs = Spsa(0.1, (0, 7)).directions(rows, np.array([0, 1, 3, 4]))
    assert set(np.unique(signs[:, [0, 1, 3, 4]])) == {-1.0, 1.0} and not signs[:, [2, 5]].any()
    moving = signs[:, [0, 1, 3, 4]]
    assert abs(moving.mean(axis=0)).max() < 5 / 4000**0.5
    assert abs(moving.T @ moving / 4000 - np.eye(4)).max() < 5 / 4000**0.5
    assert abs((moving[1:] * moving[:-1]).mean(axis=0)).max() < 5 / 4000**0.5
    np.testing.assert_array_equal(signs, Spsa(0.1, (0, 7)).directions(rows, np.array([0, 1, 3, 4])))
    assert (signs != Spsa(0.1, (0, 8)).directions(rows, np.array([0, 1, 3, 4]))).any()
