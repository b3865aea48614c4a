"""Standard errors of models on trajectories and on shots. Oracle: chi-squared over seeds; exact density matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from scipy.stats import chi2

import qmljax as qj
from qmljax import noise

SEEDS = 200
THETA, FEATURE = ParameterVector("w", 3), ParameterVector("x", 2)
CIRCUIT = QuantumCircuit(2)
CIRCUIT.ry(FEATURE[0], 0), CIRCUIT.rx(FEATURE[1], 1), CIRCUIT.cx(0, 1)
CIRCUIT.ry(THETA[0], 0), CIRCUIT.rx(THETA[1], 1)
CIRCUIT.cx(1, 0), CIRCUIT.ry(THETA[2] * FEATURE[0], 0), CIRCUIT.rx(THETA[0], 1)
GATES = {"ry": noise.depolarizing(0.05), "cx": noise.depolarizing(0.1, 2), "rx": noise.bit_flip(0.05)}
READOUT = np.array([[[0.9, 0.1], [0.2, 0.8]], [[1, 0], [0.3, 0.7]]])
MODEL = noise.NoiseModel(GATES, readout=READOUT)
W, X = np.array([0.7, -0.4, 1.3], np.float32), np.array([[0.5, 1.1], [2.0, -0.3]], np.float32)
MODELS = {
    "estimator": lambda b: qj.estimator_qnn(CIRCUIT, ["ZZ", {"IX": 0.5, "ZI": 2.0}], inputs=FEATURE, backend=b),
    "sampler": lambda b: qj.sampler_qnn(CIRCUIT, inputs=FEATURE, backend=b),
    "parity": lambda b: qj.sampler_qnn(CIRCUIT, inputs=FEATURE, interpret=lambda k: k.bit_count() % 2, backend=b),
}


def trajectories(key):
    return noise.Simulator(MODEL, method="trajectories", trajectories=200, key=key)


def shots(key):
    return qj.Shots(200, key, gradient="shift", readout=READOUT)


def over_seeds(make, backend, name):
    """Values and standard errors, (seeds, ...), of a method of a model."""
    keys = jax.random.split(jax.random.key(0), SEEDS)
    found = jax.jit(jax.vmap(lambda key: getattr(make(backend(key)), name)(W, X)))(keys)
    return [np.asarray(a, float) for a in found]


def check(values, stds, exact):
    """The squares of standardised errors are those of a normal distribution, in each element and on average."""
    exact = np.asarray(exact, float)
    moves = stds.max(axis=0) > 1e-5
    assert moves.any()
    np.testing.assert_allclose(values[:, ~moves], np.broadcast_to(exact[~moves], values[:, ~moves].shape), atol=1e-5)
    squares = np.sum((values - exact)[:, moves] ** 2, axis=0) / np.mean(stds[:, moves] ** 2, axis=0)
    low, high = chi2.ppf([1e-6, 1 - 1e-6], SEEDS)
    assert ((low < squares) & (squares < high)).all(), squares
    mean = np.sqrt(np.mean(stds[:, moves] ** 2, axis=0) / SEEDS)
    np.testing.assert_array_less(np.abs(values[:, moves].mean(axis=0) - exact[moves]), 5 * mean)


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        (trajectories, "estimator"),
        (trajectories, "parity"),
        (shots, "estimator"),
        (shots, "sampler"),
        (shots, "parity"),
    ],
)
def test_of_values(backend, name):
    exact = MODELS[name](noise.Simulator(MODEL if backend is trajectories else noise.NoiseModel({}, readout=READOUT)))
    values, stds = over_seeds(MODELS[name], backend, "with_std")
    assert values.shape == stds.shape == (SEEDS, 2, *exact.output_shape)
    check(values, stds, exact(W, X))
    model = MODELS[name](backend(jax.random.key(1)))
    np.testing.assert_allclose(model.with_std(W, X)[0], model(W, X), atol=1e-6)


@pytest.mark.parametrize(("backend", "name"), [(trajectories, "estimator"), (shots, "estimator"), (shots, "sampler")])
def test_of_derivatives(backend, name):
    exact = MODELS[name](noise.Simulator(MODEL if backend is trajectories else noise.NoiseModel({}, readout=READOUT)))
    slopes, stds = over_seeds(MODELS[name], backend, "gradient_with_std")
    assert slopes.shape == stds.shape == (SEEDS, 2, *exact.output_shape, 3)
    check(slopes, stds, jax.jacrev(exact)(jnp.asarray(W), X))
    model = MODELS[name](backend(jax.random.key(1)))
    np.testing.assert_allclose(model.gradient_with_std(W, X)[0], jax.jacrev(model)(jnp.asarray(W), X), atol=1e-5)


def test_parts_of_trajectories_are_the_whole():
    about = {"method": "trajectories", "trajectories": 300, "key": jax.random.key(0)}
    whole, parts = (MODELS["estimator"](noise.Simulator(MODEL, **about, memory=m)) for m in (1 << 29, 1 << 10))
    for name in ("with_std", "gradient_with_std"):
        for one, two in zip(getattr(whole, name)(W, X), getattr(parts, name)(W, X), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_value_has_a_slope_where_its_standard_error_is_zero():
    circuit, x = QuantumCircuit(1), ParameterVector("x", 1)
    circuit.ry(x[0], 0)
    model = qj.estimator_qnn(circuit, "Z", inputs=[], backend=qj.Shots(10, jax.random.key(0)))
    value, std = model.with_std(np.zeros(1, np.float32), [])
    assert value == 1 and std == 0
    slope = jax.grad(lambda w: sum(a.sum() for a in model.with_std(w, [])))(jnp.zeros(1, np.float32))
    assert np.isfinite(slope).all()


def test_what_has_no_standard_error_says_so():
    for backend in (shots, trajectories):
        one = backend(jax.random.key(0))
        one = (
            qj.Shots(1, one.key)
            if backend is shots
            else noise.Simulator(MODEL, method="trajectories", trajectories=1, key=one.key)
        )
        with pytest.raises(ValueError, match="needs at least 2"):
            MODELS["estimator"](one).with_std(W, X)
        with pytest.raises(ValueError, match="needs at least 2"):
            MODELS["estimator"](one).gradient_with_std(W, X)
    exact = MODELS["estimator"](qj.Shots(100, jax.random.key(0)))
    with pytest.raises(ValueError, match="Derivatives of exact values"):
        exact.gradient_with_std(W, X)
    with pytest.raises(TypeError, match='says nothing of standard errors.*method="trajectories"'):
        MODELS["estimator"](noise.Simulator(MODEL)).with_std(W, X)
    with pytest.raises(ValueError, match="without `interpret`"):
        MODELS["parity"](trajectories(jax.random.key(0))).gradient_with_std(W, X)


def test_many_shots_are_counted_as_integers():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    np.testing.assert_array_equal(qj.Shots(1 << 25, jax.random.key(0)).probabilities(circuit)([]), [0, 1])
