"""Optimisers of circuits. Oracles: numpy's linear algebra, formulas written out, and searches over fine grids."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparsePauliOp, Statevector

import qmljax as qj
from qmljax._training.optimizers import _lowest

RNG = np.random.default_rng(2)
KEY = jax.random.key(4)
DATA = (np.zeros(1, "float32"),)  # for `fit`, of losses without data


def spread(size: int, rank: int) -> np.ndarray:
    """A positive semidefinite matrix."""
    a = RNG.normal(size=(size, rank))
    return a @ a.T


def updates(optimizer: Any, weights: Any, gradient: Any = None, **extra: Any) -> Any:
    gradient = weights if gradient is None else gradient
    return optimizer.update(gradient, optimizer.init(weights), weights, **extra)[0]


# The natural gradient.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("damping", [1e-3, 1.0, 0.0])
@pytest.mark.parametrize("rank", [5, 3])
def test_natural_gradient_solves_by_the_metric(damping, rank):
    matrix, g = spread(5, rank), RNG.normal(size=5)
    expected = np.linalg.solve(matrix + damping * np.eye(5), g) if damping else np.linalg.pinv(matrix, 1e-12) @ g
    optimizer = qj.natural_gradient(lambda w: jnp.asarray(matrix), damping)
    np.testing.assert_allclose(updates(optimizer, np.zeros(5), g), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(jax.jit(lambda g: updates(optimizer, jnp.zeros(5), g))(g), expected, rtol=1e-7)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("damping", [1e-2, 0.0])
def test_blocks_are_solved_apart(damping):
    matrix, g = spread(5, 5), RNG.normal(size=5)
    expected = g / (np.diag(matrix) + damping)  # a weight of no block is one of its own
    for block in ([0, 3], [4, 1]):
        part = matrix[np.ix_(block, block)] + damping * np.eye(2)
        expected[block] = np.linalg.solve(part, g[block])
    optimizer = qj.natural_gradient(lambda w: jnp.asarray(matrix), damping, blocks=[[0, 3], (4, 1)])
    np.testing.assert_allclose(updates(optimizer, np.zeros(5), g), expected, rtol=1e-8)


def test_a_step_on_one_qubit_by_hand():
    """RX(a), then RZ(b), measured in Y: the energy is -sin a cos b, and the metric diag(1, sin(a)**2) / 4."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx(a, 0)
    circuit.rz(b, 0)
    w = np.float32([0.7, 0.4])
    gradient = np.array([-np.cos(w[0]) * np.cos(w[1]), np.sin(w[0]) * np.sin(w[1])])
    metric = np.array([1, np.sin(w[0]) ** 2]) / 4
    optimizer = optax.chain(qj.natural_gradient(qj.metric_tensor(circuit), damping=0.01), optax.sgd(0.05))
    energy = qj.expectation(circuit, "Y")
    result = qj.fit(lambda w, _: energy(w), w, DATA, optimizer=optimizer, steps=1)
    np.testing.assert_allclose(result.history, [-np.sin(w[0]) * np.cos(w[1])], rtol=1e-5)
    np.testing.assert_allclose(result.weights, w - 0.05 * gradient / (metric + 0.01), rtol=1e-4)


def test_natural_gradient_of_a_pytree_and_an_ensemble():
    circuit = real_amplitudes(2, reps=1)
    energy, metric = qj.expectation(circuit, "ZX"), qj.metric_tensor(circuit)
    flat = RNG.normal(size=(3, 4)).astype("float32")
    optimizer = optax.chain(qj.natural_gradient(metric), optax.sgd(0.1))
    many = qj.fit(lambda w, _: energy(w), flat, DATA, optimizer=optimizer, steps=5, ensemble=True)
    join = lambda w: jnp.concatenate([w["a"], w["b"]["c"][0]])  # noqa: E731
    tree = optax.chain(qj.natural_gradient(lambda w: metric(join(w))), optax.sgd(0.1))
    for k in range(3):
        start = {"a": flat[k, :1], "b": {"c": [flat[k, 1:]]}}
        single = qj.fit(lambda w, _: energy(join(w)), start, DATA, optimizer=tree, steps=5)
        np.testing.assert_allclose(join(single.weights), many.weights[k], rtol=0, atol=1e-4)
    assert (many.history[:, -1] < many.history[:, 0]).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"damping": -1e-3}, "`damping` must be a finite number of at least 0, but is -0.001"),
        ({"blocks": [[0, 1], [1, 2]]}, "`blocks` must name each weight, from 0 on, at most once"),
        ({"blocks": [[0, 0]]}, "`blocks` must name each weight, from 0 on, at most once"),
        ({"blocks": [[0, -1]]}, "`blocks` must name each weight, from 0 on, at most once"),
        ({"blocks": [0, 1]}, "`blocks` must name each weight"),
        ({"blocks": [[0.0, 1.0]]}, "`blocks` must name each weight"),
        ({"blocks": [[True]]}, "`blocks` must name each weight"),
        ({"blocks": "ab"}, "`blocks` must name each weight"),
        ({"blocks": 3}, "`blocks` must name each weight"),
    ],
)
def test_natural_gradients_that_are_none(options, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        qj.natural_gradient(lambda w: jnp.eye(3), **options)


def test_blocks_of_more_weights_than_there_are():
    with pytest.raises(ValueError, match="`blocks` must name weights from 0 to 2, as there are 3, but name 3"):
        updates(qj.natural_gradient(lambda w: jnp.eye(3), blocks=[[0, 3]]), jnp.zeros(3))


def test_functions_that_are_none():
    with pytest.raises(TypeError, match="`metric` must be a function"):
        qj.natural_gradient(np.eye(3))
    with pytest.raises(TypeError, match="`fidelity` must be a function"):
        qj.qnspsa(0.5, KEY)


def test_a_metric_of_another_size():
    with pytest.raises(ValueError, match=re.escape("of shape (3, 3) for 3 weights, but gives shape (2, 2)")):
        updates(qj.natural_gradient(lambda w: jnp.eye(2)), jnp.zeros(3))


# SPSA.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("samples", [1, 3])
def test_spsa_is_its_formula(monkeypatch, dtype, samples):
    """With given signs, for a loss that is a cubic."""
    w, c = np.array([0.3, -1.0, 2.0], dtype), 0.2
    signs = RNG.choice([-1.0, 1.0], (samples, 3))
    monkeypatch.setattr(jax.random, "rademacher", lambda key, shape, dtype: jnp.asarray(signs, dtype).reshape(shape))
    f = lambda w: ((w - 1) ** 3).sum() + w[0] * w[2]  # noqa: E731
    expected = np.mean([(f(w + c * s) - f(w - c * s)) / (2 * c) / s for s in signs], axis=0)
    estimate = updates(qj.spsa(KEY, c, samples), jnp.asarray(w), value_fn=f)
    assert estimate.dtype == dtype
    np.testing.assert_allclose(estimate, expected, rtol=1e-4 if dtype == "float32" else 1e-12)


def test_spsa_has_the_gradient_as_its_mean():
    """Of a linear loss without bias, at any distance; 4,000 estimates of variance 29 - slope**2 at most."""
    slope = np.float32([2.0, -3.0, 4.0])
    one = lambda key: updates(qj.spsa(key, 0.5), jnp.zeros(3), value_fn=lambda w: w @ slope)  # noqa: E731
    estimates = np.asarray(jax.vmap(one)(jax.random.split(KEY, 4000)))
    np.testing.assert_allclose(estimates.mean(axis=0), slope, rtol=0, atol=4 * np.sqrt(29 / 4000))
    np.testing.assert_allclose(estimates.var(axis=0), 29 - slope**2, rtol=0.1)
    eight = jax.vmap(lambda key: updates(qj.spsa(key, 0.5, 8), jnp.zeros(3), value_fn=lambda w: w @ slope))
    np.testing.assert_allclose(eight(jax.random.split(KEY, 2000)).var(axis=0), (29 - slope**2) / 8, rtol=0.15)


@jax.custom_vjp
def backend(weights: jax.Array) -> jax.Array:
    """A loss whose gradient costs too much to be taken."""
    return jnp.sum((weights - 1) ** 2)


def refuse(*_: Any) -> Any:
    raise AssertionError("the gradient was asked for")


backend.defvjp(refuse, refuse)
ENERGY = qj.expectation(real_amplitudes(2, reps=1), "ZZ")


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("name", ["spsa", "qnspsa", "rotosolve"])
def test_fit_takes_no_gradient_that_is_not_asked_for(name, ensemble):
    circuit = real_amplitudes(2, reps=1)
    optimizer = {
        "spsa": optax.chain(qj.spsa(KEY), optax.sgd(0.05)),
        "qnspsa": optax.chain(qj.qnspsa(qj.fidelity(circuit, circuit), KEY, damping=0.1), optax.sgd(0.02)),
        "rotosolve": qj.rotosolve(ENERGY),
    }[name]
    start = np.zeros((3, 4) if ensemble else 4, "float32")
    loss = lambda w, x: backend(w) + 0 * jnp.sum(x)  # noqa: E731
    result = qj.fit(loss, start, DATA, optimizer=optimizer, steps=30, ensemble=ensemble)
    assert np.isfinite(result.history).all()
    with pytest.raises(AssertionError, match="the gradient was asked for"):
        qj.fit(loss, start, DATA, optimizer=optax.sgd(0.05), steps=30, ensemble=ensemble)


def test_spsa_in_fit_draws_new_signs_at_each_step_and_counts():
    slope = np.float32([1.0, 2.0, 4.0, 8.0])
    seen = []
    qj.fit(
        lambda w, _: w @ slope,
        np.zeros(4, "float32"),
        DATA,
        optimizer=optax.chain(qj.spsa(KEY), optax.sgd(1.0)),
        steps=20,
        callback=lambda step, w, loss: seen.append(np.asarray(w)),
    )
    steps = -np.diff([np.zeros(4), *seen], axis=0)
    signs = np.sign(steps)
    np.testing.assert_allclose(steps, (signs @ slope)[:, None] * signs, rtol=1e-3, atol=1e-3)
    assert len({tuple(s) for s in signs}) > 5
    state = qj.spsa(KEY).init(jnp.zeros(4))
    for k in range(3):
        assert int(state.steps) == k
        _, state = qj.spsa(KEY).update(jnp.zeros(4), state, jnp.zeros(4), value_fn=jnp.sum)


def test_the_signs_of_spsa_are_fair_and_independent():
    """Of 4 members, 300 steps and 3 weights; the bounds are those of binomial counts, at 5 standard deviations."""
    slope, seen = np.float32([1.0, 3.0, 9.0]), []
    qj.fit(
        lambda w: w @ slope,
        np.zeros((4, 3), "float32"),
        (),
        optimizer=optax.chain(qj.spsa(KEY), optax.sgd(1.0)),
        steps=100,
        ensemble=True,
        callback=lambda step, w, loss: seen.append(np.asarray(w)),
    )
    moves = -np.diff([np.zeros((4, 3)), *seen], axis=0)  # (step, member, weight): (slope . signs) signs
    products = np.sign(moves) * np.sign(moves[..., 2:])  # the last sign decides that of slope . signs
    relative = products[..., :2].reshape(100, 8)  # sign of each of two weights by that of the third
    np.testing.assert_allclose(relative.mean(axis=0), 0, rtol=0, atol=5 / np.sqrt(100))
    between = np.corrcoef(relative.T) - np.eye(8)
    np.testing.assert_allclose(between, 0, rtol=0, atol=5 / np.sqrt(100))
    along = (relative[1:] * relative[:-1]).mean(axis=0)
    np.testing.assert_allclose(along, 0, rtol=0, atol=5 / np.sqrt(99))


def test_spsa_of_a_pytree_with_a_schedule():
    """By Spall's schedules, for weights of a pytree; also under `jit`."""
    start = {"a": np.zeros(2, "float32"), "b": [np.float32(3.0)]}
    loss = lambda w, _: jnp.sum((w["a"] - 1) ** 2) + (w["b"][0] - 2) ** 2  # noqa: E731
    optimizer = optax.chain(
        qj.spsa(KEY, lambda t: 0.1 / (t + 1) ** 0.101, samples=2), optax.sgd(lambda t: 0.5 / (t + 11) ** 0.602)
    )
    result = qj.fit(loss, start, DATA, optimizer=optimizer, steps=400)
    assert jax.tree.structure(result.weights) == jax.tree.structure(start)
    np.testing.assert_allclose(result.weights["a"], 1, rtol=0, atol=1e-2)
    np.testing.assert_allclose(result.weights["b"][0], 2, rtol=0, atol=1e-2)


@pytest.mark.parametrize("make", [qj.spsa, lambda *a, **k: qj.qnspsa(lambda v, w: 1.0, *a, **k)])
@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        ((7,), TypeError, "`key` must be a JAX random key, such as jax.random.key(0), but is 7"),
        ((KEY, 0.0), ValueError, "`perturbation` must be a finite number above 0, but is 0.0"),
        ((KEY, 0.1, 0), ValueError, "`samples` must be an integer from 1 on, but is 0"),
        ((jax.random.split(KEY, 2),), ValueError, "is an array of keys of shape (2,)"),
        ((np.zeros(2),), TypeError, "`key` must be a JAX random key"),
    ],
)
def test_estimates_that_are_none(make, args, error, match):
    with pytest.raises(error, match=re.escape(match)):
        make(*args)


# QNSPSA.


@pytest.mark.usefixtures("x64")
def test_the_metric_of_qnspsa_has_the_metric_tensor_as_its_mean():
    circuit = real_amplitudes(2, reps=1)
    w, samples = jnp.asarray(RNG.normal(size=4)), 5_000
    optimizer = qj.qnspsa(qj.fidelity(circuit, circuit), KEY, 1e-3, samples)
    _, state = optimizer.update(w, optimizer.init(w), w, value_fn=jnp.sum)
    estimate = 2 * np.asarray(state.metric) - np.eye(4)  # the unit matrix is the first of two estimates
    np.testing.assert_allclose(estimate, qj.metric_tensor(circuit)(w), rtol=0, atol=0.1)
    np.testing.assert_array_equal(estimate, estimate.T)


@pytest.mark.usefixtures("x64")
def test_qnspsa_is_its_formula(monkeypatch):
    """Two steps with given signs: equations (8) to (13), the metric being that of the fidelity 1 - s.G.s."""
    matrix, size, damping = spread(3, 2), 0.1, 0.3
    signs = RNG.choice([-1.0, 1.0], (2, 3, 3))  # by step: those of the gradient, and the two of the metric
    drawn: list[int] = []

    def rademacher(key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        step, part = divmod(len(drawn), 2)
        drawn.append(0)
        return jnp.asarray(signs[step, 1:] if part else signs[step, :1]).reshape(shape)

    monkeypatch.setattr(jax.random, "rademacher", rademacher)
    f = lambda w: (w**3).sum()  # noqa: E731
    optimizer = qj.qnspsa(lambda v, w: 1 - (v - w) @ matrix @ (v - w), KEY, size, damping=damping)
    w = np.array([0.5, -1.0, 2.0])
    state, metrics = optimizer.init(w), [np.eye(3)]
    for own, one, two in signs:
        gradient = (f(w + size * own) - f(w - size * own)) / (2 * size) * own
        metrics.append((one @ matrix @ two) * (np.outer(one, two) + np.outer(two, one)) / 2)
        values, vectors = np.linalg.eigh(np.mean(metrics, axis=0))
        expected = vectors @ np.diag(1 / (abs(values) + damping)) @ vectors.T @ gradient
        step, state = optimizer.update(w, state, w, value_fn=f)
        np.testing.assert_allclose(step, expected, rtol=1e-8)
        np.testing.assert_allclose(state.metric, np.mean(metrics, axis=0), rtol=1e-8, atol=1e-12)
        w = w - 0.1 * np.asarray(step)


def test_qnspsa_lowers_an_energy():
    circuit = real_amplitudes(2, reps=1)
    optimizer = optax.chain(qj.qnspsa(qj.fidelity(circuit, circuit), KEY, samples=2, damping=0.1), optax.sgd(0.05))
    loss = lambda w, _: ENERGY(w)  # noqa: E731
    assert qj.fit(loss, np.ones(4, "float32"), DATA, optimizer=optimizer, steps=300).history[-1] < -0.95


@pytest.mark.parametrize("damping", [0, -1.0, np.nan, "a", True])
def test_qnspsa_needs_damping(damping):
    with pytest.raises(ValueError, match="`damping` must be a finite number above 0"):
        qj.qnspsa(lambda v, w: 1.0, KEY, damping=damping)


# Rotosolve.


def polynomial(a: np.ndarray, b: np.ndarray) -> Callable:
    k = np.arange(1, len(a) + 1)
    return lambda x: np.cos(np.multiply.outer(x, k)) @ a + np.sin(np.multiply.outer(x, k)) @ b


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("order", [1, 2, 3, 5, 9])
def test_the_minimum_of_a_trigonometric_polynomial(order):
    nodes, grid = np.arange(2 * order + 1) * 2 * np.pi / (2 * order + 1), np.linspace(0, 2 * np.pi, 20_001)
    lowest = jax.jit(lambda values: _lowest(values, order))
    for _ in range(60):
        f = polynomial(*RNG.normal(size=(2, order)))
        x = float(lowest(f(nodes) + 0.7))
        assert f(x) <= f(grid).min() + 1e-9 and abs(x) <= np.pi + 1e-9


def test_the_minimum_of_one_wave_and_of_none():
    """a cos x + b sin x is lowest at atan2(-b, -a)."""
    nodes = np.arange(3) * 2 * np.pi / 3
    for a, b in [(1, 0), (-1, 0), (0, 1), (0.3, -2), (-1e-3, 1e-3)]:
        values = (a * np.cos(nodes) + b * np.sin(nodes)).astype("float32")
        difference = float(_lowest(jnp.asarray(values), 1)) - np.arctan2(-b, -a)
        assert abs((difference + np.pi) % (2 * np.pi) - np.pi) < 2e-3
    assert np.isfinite(_lowest(jnp.zeros(5), 2))


def ansatz(name: str) -> QuantumCircuit:
    w = ParameterVector("w", 3)
    circuit = QuantumCircuit(2)
    circuit.h(range(2))
    circuit.ry(0.4, 0)
    match name:
        case "rotations":
            circuit.rx(w[0], 0)
            circuit.cx(0, 1)
            circuit.rz(w[1], 1)
            circuit.ry(w[2], 0)
        case "controlled":
            circuit.crx(w[0], 0, 1)
            circuit.crz(w[1], 1, 0)
            circuit.cry(w[2], 0, 1)
        case "two-qubit":
            circuit.rxx(w[0], 0, 1)
            circuit.rzz(w[1], 0, 1)
            circuit.p(w[2], 0)
        case "shared":
            circuit.rx(w[0], 0)
            circuit.rz(w[1], 1)
            circuit.ry(w[0], 1)
            circuit.cry(w[1], 1, 0)
            circuit.rx(w[2] + w[0], 1)
        case "scaled":
            circuit.rx(2 * w[0], 0)
            circuit.ry(w[1] / 3, 1)
            circuit.cx(0, 1)
            circuit.rx(1.5 * w[2] - w[1] / 2, 1)
            circuit.ry(w[2] / 2 + 0.3, 0)
        case "controlled phase":
            circuit.cp(w[0], 0, 1)
            circuit.u(w[1], w[2], 0.3, 0)
            circuit.iswap(0, 1)
            circuit.rx(0.8, 0)
    circuit.ry(0.3, range(2))
    return circuit


OBSERVABLE = SparsePauliOp.from_list([("ZX", 0.7), ("YI", -0.4), ("XX", 0.5), ("IZ", 1.0)])
NAMES = ["rotations", "controlled", "two-qubit", "shared", "scaled", "controlled phase"]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_sweep_finds_the_least_value_along_each_weight(name, degree):
    circuit = ansatz(name)
    energy = qj.expectation(circuit, OBSERVABLE)
    exact = lambda w: Statevector(circuit.assign_parameters(w)).expectation_value(OBSERVABLE).real  # noqa: E731
    loss = energy if degree == 1 else lambda w: (energy(w) - 0.2) ** 2
    optimizer = qj.rotosolve(energy, degree)
    sweep, along = jax.jit(lambda w: updates(optimizer, w, value_fn=loss)), jax.jit(jax.vmap(loss))
    size = circuit.num_parameters
    for start in RNG.uniform(-np.pi, np.pi, (2, size)):
        new = start + np.asarray(sweep(start))
        reached = start.copy()
        for k in range(size):
            points = np.tile(reached, (4001, 1))
            points[:, k] = reached[k] + np.linspace(-12 * np.pi, 12 * np.pi, 4001)
            reached[k] = new[k]  # what the sweep chose for this weight, given those before it
            lowest = float(along(points).min())
            assert float(loss(reached)) <= lowest + 1e-9
        assert float(energy(reached)) == pytest.approx(exact(reached), abs=1e-9)


@pytest.mark.parametrize("degree", [1, 2])
def test_rotosolve_evaluates_as_often_as_needed(degree):
    """2 R + 1 values for each weight: R = 1 for a rotation, and 2 for a controlled one or a square."""
    for name, frequencies in (("rotations", 1), ("controlled", 2)):
        counts = []

        def loss(w: jax.Array, counts: list = counts) -> jax.Array:
            jax.debug.callback(lambda _: counts.append(0), w)
            return jnp.sum(w)

        energy = qj.expectation(ansatz(name), OBSERVABLE)
        updates(qj.rotosolve(energy, degree), jnp.ones(3), value_fn=loss)
        jax.effects_barrier()
        assert len(counts) == 3 * (2 * frequencies * degree + 1)


def test_rotosolve_in_fit():
    result = qj.fit(lambda w, _: ENERGY(w), np.ones(4, "float32"), DATA, optimizer=qj.rotosolve(ENERGY), steps=6)
    assert result.history[-1] == pytest.approx(-1, abs=1e-5) and (np.diff(result.history) < 1e-5).all()
    many = np.stack([np.ones(4), RNG.normal(size=4)]).astype("float32")
    ensemble = qj.fit(lambda w, _: ENERGY(w), many, DATA, optimizer=qj.rotosolve(ENERGY), steps=6, ensemble=True)
    np.testing.assert_allclose(ensemble.history[0], result.history, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_rotosolve_of_a_qnn_and_a_pytree():
    """The weights are those of the QNN, in its order; the loss is a mean squared error."""
    x, w = Parameter("x"), ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(w[1] / 2, 0)  # a period of 4 pi
    circuit.ry(x * x, 0)  # an input may enter as it likes
    circuit.rx(w[0], 0)
    model = qj.estimator_qnn(circuit, "Z", inputs=[x], weights=[w[1], w[0]])
    inputs = np.linspace(0, 1, 7)[:, None]
    truth = np.array([4.0, 0.5])
    target = model(truth, inputs)
    loss = lambda v, x, y: jnp.mean((model(jnp.stack([v["a"], v["b"]]), x) - y) ** 2)  # noqa: E731
    start = {"a": 0.3, "b": 1.2}
    result = qj.fit(loss, start, (inputs, target), optimizer=qj.rotosolve(model, degree=2), steps=40)
    assert (np.diff(result.history) < 1e-12).all() and result.history[-1] < 1e-3 < 0.01 < result.history[0]


def test_weights_that_rotosolve_cannot_take():
    w = Parameter("w")
    circuit = QuantumCircuit(1)
    circuit.rx(w.sin(), 0)
    with pytest.raises(ValueError, match="`rotosolve` needs weights that are angles of gates.*w enters a formula"):
        qj.rotosolve(qj.expectation(circuit, "Z"))
    circuit = QuantumCircuit(1)
    circuit.rx(w, 0)
    circuit.rx(w * np.sqrt(2), 0)
    with pytest.raises(ValueError, match="frequencies that are multiples of a common one, but w has up to"):
        qj.rotosolve(qj.expectation(circuit, "Z"))
    with pytest.raises(ValueError, match="`degree` must be an integer from 1 on, but is 0"):
        qj.rotosolve(ENERGY, 0)
    for degree in (1.0, "1", True, np.nan):
        with pytest.raises(ValueError, match="`degree` must be an integer from 1 on, but is"):
            qj.rotosolve(ENERGY, degree)
    with pytest.raises(ValueError, match="`weights` must be 4 numbers, those of the circuit, but are 3"):
        updates(qj.rotosolve(ENERGY), jnp.ones(3), value_fn=jnp.sum)


def test_rotosolve_takes_no_amplitudes():
    with pytest.raises(ValueError, match="enters amplitudes"):
        qj.rotosolve(qj.expectation(qj.circuits.raw_feature_vector(4), "ZZ"))


@pytest.mark.parametrize("make", [qj.spsa, lambda key: qj.qnspsa(lambda a, b: 1 - jnp.sum((a - b) ** 2), key)])
def test_members_draw_by_keys_of_their_own_whatever_the_kind_of_key(make):
    """Also by a key of JAX's old kind, which is an array of integers."""
    weights = {}
    for kind in (jax.random.key, jax.random.PRNGKey):
        optimizer = optax.chain(make(kind(3)), optax.sgd(0.1))
        result = qj.fit(lambda w: jnp.sum(w**4), jnp.ones((5, 6)), (), optimizer=optimizer, steps=1, ensemble=True)
        weights[kind] = np.asarray(result.weights)
        assert len(np.unique(weights[kind], axis=0)) > 1
    np.testing.assert_array_equal(*weights.values())


def test_rotosolve_of_what_has_no_circuit():
    with pytest.raises(TypeError, match="`function` must be a QNN or an expectation, not the loss of one"):
        qj.rotosolve(lambda w: 0.0)
