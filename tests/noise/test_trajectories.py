"""Trajectories of Pauli noise. Oracle: exact density matrices, which are tested against Qiskit's; statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from noise.test_density_matrices import layers, random_gates
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from scipy.stats import chi2

import qmljax as qj
from qmljax import noise

MODEL = noise.NoiseModel(
    {
        "x": noise.depolarizing(0.05),
        "h": noise.pauli({"X": 0.02, "Y": 0.1}),
        "rx": noise.phase_damping(0.2),
        "ry": noise.bit_flip(0.05).then(noise.phase_flip(0.02)),
        "cx": noise.depolarizing(0.1, 2),
        "cz": noise.pauli({"XY": 0.1, "ZI": 0.05}),
        "ccx": noise.depolarizing(0.03),
        "u": noise.bit_flip(0.1),
        "t": noise.depolarizing(0.1),
        "rzz": noise.amplitude_damping(0.2).twirled(),
    },
)
READOUT = np.array([[[0.9, 0.1], [0.2, 0.8]], [[1, 0], [0.3, 0.7]], [[0.95, 0.05], [0, 1]], [[1, 0], [0, 1]]])


def both(circuit, model, what, seed, trajectories=2000):
    exact = getattr(noise.Simulator(model), what[0])(circuit, *what[1:])
    simulator = noise.Simulator(model, method="trajectories", trajectories=trajectories, key=jax.random.key(seed))
    return exact, getattr(simulator, what[0])(circuit, *what[1:], with_std=True)


@pytest.mark.parametrize("seed", range(6))
def test_means_are_within_their_standard_errors(seed):
    rng = np.random.default_rng(seed)
    n = 1 + seed % 4
    circuit = random_gates(n, 16, rng)
    model = noise.NoiseModel(MODEL.gates, readout=READOUT[:n]) if seed % 2 else MODEL
    observables = ["".join(rng.choice(list("IXYZ01+l"), n)) for _ in range(3)] + [{"Z" * n: 1.0, "X" * n: 0.5}]
    for what in (("expectation", observables), ("probabilities", rng.permutation(n)[:2].tolist())):
        exact, followed = both(circuit, model, what, seed)
        value, std = followed([])
        seen = std > 1e-7  # what no trajectory that was drawn changes is exact up to what was not drawn
        np.testing.assert_array_less(jnp.abs(value - exact([]))[seen], 5 * std[seen] + 1e-5)
        np.testing.assert_allclose(value[~seen], exact([])[~seen], atol=5e-3)


def test_standard_errors_are_those_of_the_means():
    """Chi-squared over seeds, for the means; and the mean over seeds is much nearer."""
    circuit = layers(3, 2)
    theta = np.random.default_rng(0).normal(size=circuit.num_parameters).astype(np.float32)
    gates = {"ry": noise.depolarizing(0.02), "cx": noise.depolarizing(0.05, 2)}
    exact = noise.Simulator(noise.NoiseModel(gates)).expectation(circuit, ["ZZZ", "XIY", "IIZ"])(theta)

    @jax.jit
    def drawn(key):
        simulator = noise.Simulator(noise.NoiseModel(gates), method="trajectories", trajectories=200, key=key)
        return simulator.expectation(circuit, ["ZZZ", "XIY", "IIZ"], with_std=True)(theta)

    values, stds = jax.vmap(drawn)(jax.random.split(jax.random.key(0), 200))
    values, stds, exact = map(np.asarray, (values, stds, exact))
    squares = np.sum(((values - exact) / stds) ** 2, axis=0)
    low, high = chi2.ppf([1e-5, 1 - 1e-5], 200)
    assert ((low < squares) & (squares < high)).all(), squares
    error = np.sqrt(np.mean(stds**2, axis=0) / 200)
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - exact), 5 * error)


def test_what_happens_without_an_error_is_exact():
    circuit = layers(4, 3)
    theta = np.random.default_rng(0).normal(size=circuit.num_parameters).astype(np.float32)
    model = noise.NoiseModel({"cx": noise.depolarizing(1e-7, 2)})
    exact, followed = both(circuit, model, ("expectation", "ZZZZ"), 0, trajectories=10)
    value, std = followed(theta)
    ideal = qj.expectation(circuit, "ZZZZ")(theta)
    assert 0 < std < 1e-5
    assert abs(value - ideal) < 1e-5
    none, zero = both(circuit, noise.NoiseModel({"cx": noise.depolarizing(0.0, 2)}), ("expectation", "ZZZZ"), 0)
    value, std = zero(theta)
    assert std == 0
    np.testing.assert_allclose(value, none(theta), atol=1e-6)
    # noise of strength 1 always errs
    sure = noise.NoiseModel({"cx": noise.pauli({"IX": 1.0})})
    exact, followed = both(circuit, sure, ("expectation", "ZZZZ"), 0, trajectories=4)
    assert len(followed.draws.counts) == 2  # all four are equal, and are merged
    np.testing.assert_allclose(followed(theta)[0], exact(theta), atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_derivatives_in_parameters_are_those_of_each_trajectory():
    circuit = layers(3, 2)
    theta = np.random.default_rng(0).normal(size=circuit.num_parameters)
    model = noise.NoiseModel({"ry": noise.depolarizing(0.1), "cx": noise.depolarizing(0.1, 2)})
    simulator = noise.Simulator(model, method="trajectories", trajectories=50, key=jax.random.key(0))
    f = simulator.expectation(circuit, ["ZZX", "IYI"])
    slopes = np.asarray(jax.jacrev(f)(theta))
    for j in (0, 5, 11):
        h = 1e-6 * np.eye(len(theta))[j]
        np.testing.assert_allclose(slopes[:, j], (f(theta + h) - f(theta - h)) / 2e-6, atol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(f))(theta), slopes, atol=1e-12)
    exact = jax.jacrev(noise.Simulator(model).expectation(circuit, ["ZZX", "IYI"]))(theta)
    assert np.abs(slopes - exact).max() < 0.2
    many = noise.Simulator(model, method="trajectories", trajectories=20_000, key=jax.random.key(1), memory=1 << 20)
    np.testing.assert_allclose(jax.jacrev(many.expectation(circuit, ["ZZX", "IYI"]))(theta), exact, atol=0.02)


def test_batches_of_points_and_traced_keys_and_strengths():
    circuit, x = QuantumCircuit(2), ParameterVector("x", 2)
    circuit.ry(x[0], 0), circuit.rx(x[1], 1), circuit.cx(0, 1), circuit.ry(2 * x[0] * x[1], 0)
    points = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)

    @jax.jit
    def f(p, key):
        model = noise.NoiseModel({"cx": noise.depolarizing(p, 2)})
        simulator = noise.Simulator(model, method="trajectories", trajectories=4000, key=key)
        return simulator.expectation(circuit, "ZZ")(points)

    values = jax.vmap(f, (0, None))(jnp.array([0.0, 0.1, 0.5]), jax.random.key(0))
    assert values.shape == (3, 5, 3)
    for value, p in zip(values, (0.0, 0.1, 0.5), strict=True):
        exact = noise.Simulator(noise.NoiseModel({"cx": noise.depolarizing(p, 2)})).expectation(circuit, "ZZ")(points)
        np.testing.assert_allclose(value, exact, atol=0.05)
    with pytest.raises(NotImplementedError, match="no derivatives in the strengths"):
        jax.grad(lambda p: f(p, jax.random.key(0)).sum())(0.1)


def test_a_toffoli_and_a_matrix_meet_strings_as_strings():
    circuit = QuantumCircuit(4)
    circuit.h(range(4)), circuit.x(range(4)), circuit.ccx(0, 1, 2)
    circuit.unitary(np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0], [3, 0, 2]), circuit.x(range(4))
    model = noise.NoiseModel({"x": noise.pauli({"X": 0.3, "Z": 0.2, "Y": 0.1})})
    exact, followed = both(circuit, model, ("expectation", ["ZZZZ", "XIYI", "IIZZ"]), 0, 20_000)
    value, std = followed([])
    np.testing.assert_array_less(np.abs(value - exact([])), 5 * np.asarray(std) + 1e-6)


def test_channels_that_are_no_mixtures_are_refused_and_twirled_by_request():
    circuit = QuantumCircuit(1)
    circuit.h(0), circuit.x(0), circuit.h(0)
    model = noise.NoiseModel({"x": noise.amplitude_damping(0.3)})
    about = {"method": "trajectories", "trajectories": 4000, "key": jax.random.key(0)}
    with pytest.raises(ValueError, match="mixtures of Pauli strings alone.*twirled"):
        noise.Simulator(model, **about).expectation(circuit, "Z")
    twirled = noise.Simulator(model.twirled(), **about).expectation(circuit, "Z", with_std=True)([])
    # X and Y shrink by sqrt(0.7) as before; Z by 0.7, and nothing pulls to |0>
    np.testing.assert_allclose(twirled[0], np.sqrt(0.7), atol=5 * twirled[1])
    with pytest.raises(ValueError, match="exact"):
        noise.Simulator(model).expectation(circuit, "Z", with_std=True)
    with pytest.raises(TypeError, match="`key` must be a JAX random key"):
        noise.Simulator(model, method="trajectories")


def test_a_traced_key_draws_the_same_and_little_is_compiled_for_it():
    circuit = layers(3, 2)
    theta = np.random.default_rng(0).normal(size=circuit.num_parameters).astype(np.float32)
    model = noise.NoiseModel({"ry": noise.depolarizing(0.1), "cx": noise.pauli({"XZ": 0.1, "YI": 0.1})})

    def value(key):
        simulator = noise.Simulator(model, method="trajectories", trajectories=100, key=key)
        return simulator.expectation(circuit, ["ZZX", "IYI"], with_std=True)(theta)

    key = jax.random.key(3)
    np.testing.assert_allclose(jax.jit(value)(key), value(key), atol=1e-5)

    def drawn(key, circuit):
        simulator = noise.Simulator(model, method="trajectories", trajectories=100, key=key)
        return simulator.expectation(circuit, "ZZX").draws

    programs = [jax.make_jaxpr(functools.partial(drawn, circuit=layers(3, depth)))(key) for depth in (2, 8)]
    assert len(programs[0].eqns) == len(programs[1].eqns)  # none of them for each site
    assert "random_bits" not in str(programs)
    assert {aval.shape[0] for aval in programs[0].out_avals if aval.shape} == {104}  # odd ones compile longer
