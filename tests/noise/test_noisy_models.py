"""Models, kernels, layers and training on backends with noise and shots. Oracles: exact functions, and statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj
from qmljax import noise
from qmljax.flax import QuantumLayer
from qmljax.sklearn import VQC

FEATURES = zz_feature_map(2, reps=1)
CIRCUIT = FEATURES.compose(real_amplitudes(2, reps=1))
NOISE_OF_CX = noise.NoiseModel({"cx": noise.depolarizing(0.05, 2)})
MODEL = noise.NoiseModel(
    {"cx": noise.depolarizing(0.05, 2), "ry": noise.amplitude_damping(0.02)}, readout=[[0.95, 0.05], [0.1, 0.9]]
)
X = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
W = np.random.default_rng(1).normal(size=4).astype(np.float32)
SHOTS = [qj.Shots(200_000, jax.random.key(0), gradient=g) for g in ("exact", "shift")]


def of_circuit(circuit):
    """Parameters of the circuit from weights and inputs."""
    names = [p.name for p in circuit.parameters]
    inputs = [p.name for p in FEATURES.parameters]
    own = [n for n in names if n not in inputs]

    def params(w, x):
        weights = [jnp.broadcast_to(weight, x.shape[:-1]) for weight in w]
        columns = [x[..., inputs.index(n)] if n in inputs else weights[own.index(n)] for n in names]
        return jnp.stack(columns, axis=-1)

    return params


def test_networks_and_their_gradients_are_those_of_the_simulator():
    simulator, params = noise.Simulator(MODEL), of_circuit(CIRCUIT)
    model = qj.estimator_qnn(CIRCUIT, ["ZZ", "IX"], inputs=FEATURES.parameters, backend=simulator)
    exact = simulator.expectation(CIRCUIT, ["ZZ", "IX"])
    np.testing.assert_allclose(model(W, X), exact(params(W, X)), atol=1e-6)
    want = jax.jacrev(lambda w: exact(params(w, X)))(W)
    np.testing.assert_allclose(jax.jacrev(model)(W, X), want, atol=1e-5)
    sampler = qj.sampler_qnn(CIRCUIT, inputs=FEATURES.parameters, backend=simulator)
    np.testing.assert_allclose(sampler(W, X), simulator.probabilities(CIRCUIT)(params(W, X)), atol=1e-6)


@pytest.mark.parametrize("shots", SHOTS, ids=["exact", "shift"])
def test_networks_of_shots(shots):
    for make, options in ((qj.estimator_qnn, {"observables": ["ZZ", "IX"]}), (qj.sampler_qnn, {})):
        exact = make(CIRCUIT, inputs=FEATURES.parameters, **options)
        model = make(CIRCUIT, inputs=FEATURES.parameters, backend=shots, **options)
        error = 5 / np.sqrt(shots.shots)
        np.testing.assert_allclose(model(W, X), exact(W, X), atol=error)
        assert np.abs(model(W, X) - exact(W, X)).max() > 0
        slopes = jax.jacrev(exact)(W, X)
        for jacobian in (jax.jacrev, jax.jacfwd):
            atol = 1e-5 if shots.gradient == "exact" else 2 * error
            np.testing.assert_allclose(jacobian(model)(W, X), slopes, atol=atol)
        if shots.gradient == "shift":
            assert np.abs(jax.jacrev(model)(W, X) - slopes).max() > 1e-4  # they have noise of their own
    mixed = jax.jacfwd(jax.jacrev(model), 1)(W, X)
    np.testing.assert_allclose(mixed, jax.jacfwd(jax.jacrev(exact), 1)(W, X), atol=0.05)


def test_every_gate_that_a_shift_can_turn():
    t = ParameterVector("t", 6)
    circuit = QuantumCircuit(3)
    circuit.h(range(3)), circuit.crx(t[0], 0, 1), circuit.cp(t[1], 0, 1), circuit.rzz(t[2], 0, 2)
    circuit.cry(t[3], 1, 0), circuit.u(t[4], t[5], t[0] * t[1], 2), circuit.mcp(t[2], [0, 1], 2)
    circuit.crz(t[3], 2, 1)
    shots = qj.Shots(10**7, jax.random.key(0), gradient="shift")
    theta = np.random.default_rng(3).normal(size=6).astype(np.float32)
    slopes = jax.jacrev(shots.expectation(circuit, ["XYZ", "ZIX"]))(theta)
    np.testing.assert_allclose(slopes, jax.jacrev(qj.expectation(circuit, ["XYZ", "ZIX"]))(theta), atol=5e-3)


def test_shots_are_binomial_and_multinomial():
    t = ParameterVector("t", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(t[0], 0), circuit.ry(t[1], 1), circuit.cx(0, 1)
    theta = np.array([0.8, 0.3], np.float32)
    keys = jax.random.split(jax.random.key(0), 2000)
    values = np.asarray(jax.jit(jax.vmap(lambda k: qj.Shots(50, k).expectation(circuit, {"ZI": 2.0})(theta)))(keys)) / 2
    mean = float(qj.expectation(circuit, "ZI")(theta))
    spread = np.sqrt((1 - mean**2) / 50)
    assert abs(values.mean() - mean) < 5 * spread / np.sqrt(2000)
    assert abs(values.var() / spread**2 - 1) < 5 * np.sqrt(2 / 2000)
    np.testing.assert_allclose(25 * (values + 1), np.round(25 * (values + 1)), atol=1e-4)
    p = np.asarray(qj.probabilities(circuit)(theta))
    drawn = np.asarray(jax.jit(jax.vmap(lambda k: qj.Shots(50, k).probabilities(circuit)(theta)))(keys))
    np.testing.assert_allclose(drawn.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - p), 5 * np.sqrt(p * (1 - p) / 50 / 2000) + 1e-6)
    covariance = (np.diag(p) - np.outer(p, p)) / 50
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=6e-4)


def test_readout_of_shots_is_that_of_a_simulator_without_other_noise():
    matrices = np.array([[[0.9, 0.1], [0.2, 0.8]], [[1, 0], [0.3, 0.7]]])
    shots = qj.Shots(10**6, jax.random.key(0), readout=matrices)
    simulator = noise.Simulator(noise.NoiseModel({}, readout=matrices))
    theta = np.concatenate([W, X[0]])
    for what in (("expectation", ["ZX", "IZ", "0+"]), ("probabilities", [1, 0])):
        one, two = (getattr(b, what[0])(CIRCUIT, what[1])(theta) for b in (shots, simulator))
        np.testing.assert_allclose(one, two, atol=0.01)


def test_kernels():
    exact = qj.fidelity_kernel(FEATURES)(X)
    plain = qj.fidelity_kernel(FEATURES, backend=noise.Simulator(noise.NoiseModel({})))
    np.testing.assert_allclose(plain(X), exact, atol=1e-5)
    noisy = qj.fidelity_kernel(FEATURES, backend=noise.Simulator(MODEL), evaluate_duplicates="all")(X)
    assert (np.diag(noisy) < 0.95).all()
    about = {"method": "trajectories", "trajectories": 3000, "key": jax.random.key(0)}
    trajectories, matrix = noise.Simulator(NOISE_OF_CX, **about), noise.Simulator(NOISE_OF_CX)
    for make in (qj.fidelity_kernel, qj.projected_kernel):
        one, two = (make(FEATURES, backend=b)(X) for b in (trajectories, matrix))
        np.testing.assert_allclose(one, two, atol=0.03)
    for about in ({"gradient": "shift"}, {"readout": np.eye(2)}):
        shots = qj.Shots(10**5, jax.random.key(0), **about)
        np.testing.assert_allclose(qj.fidelity_kernel(FEATURES, backend=shots)(X), exact, atol=0.02)
    traced = jax.jit(lambda key: qj.fidelity_kernel(FEATURES, backend=qj.Shots(100, key))(X))
    assert np.abs(traced(jax.random.key(0)) - traced(jax.random.key(1))).max() > 0


def test_training_with_fresh_shots_in_each_step():
    y = np.array([1.0, -1.0, 1.0, -1.0], np.float32)
    keys = []

    def loss(weights, x, y, *, key):
        keys.append(key)
        model = qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters, backend=qj.Shots(100, key))
        return jnp.mean((model(weights, x)[..., 0] - y) ** 2)

    about = {"optimizer": optax.sgd(0.0), "steps": 6, "key": jax.random.key(0)}
    result = qj.fit(loss, W, (X, y), **about)
    assert len(set(np.asarray(result.history).tolist())) == 6  # the weights stand still, the noise does not
    again = qj.fit(loss, W, (X, y), **about)
    np.testing.assert_array_equal(again.history, result.history)
    members = qj.fit(loss, np.stack([W, W]), (X, y), **about)
    assert (members.history[0] != members.history[1]).all()
    exact = qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters)
    ideal = float(jnp.mean((exact(W, X)[..., 0] - y) ** 2))
    many = qj.fit(loss, W, (X, y), optimizer=optax.sgd(0.0), steps=200, key=jax.random.key(1)).history
    spread = np.sqrt(np.var(many) / 200)
    bias = float(jnp.mean(1 - exact(W, X)[..., 0] ** 2)) / 100  # of a square of a mean of 100 shots
    assert abs(np.mean(many) - ideal - bias) < 5 * spread
    with pytest.raises(ValueError, match="`key` must be a JAX random key.*since `loss` takes one"):
        qj.fit(loss, W, (X, y), optimizer=optax.sgd(0.1), steps=1)


def test_an_ensemble_over_strengths_trains_in_one_program():
    y = np.array([1.0, -1.0, 1.0, -1.0], np.float32)

    def loss(weights, x, y):
        model = noise.NoiseModel({"cx": noise.depolarizing(weights["p"], 2)})
        network = qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters, backend=noise.Simulator(model))
        return jnp.mean((network(weights["w"], x)[..., 0] - y) ** 2)

    weights = {"p": jnp.array([0.0, 0.05, 0.2]), "w": jnp.stack([W] * 3)}
    frozen = optax.multi_transform({"w": optax.adam(0.1), "p": optax.set_to_zero()}, {"w": "w", "p": "p"})
    result = qj.fit(loss, weights, (X, y), optimizer=frozen, steps=10, ensemble=True)
    np.testing.assert_allclose(result.weights["p"], weights["p"])
    for k, p in enumerate((0.0, 0.05, 0.2)):
        alone = qj.fit(loss, {"p": jnp.array(p), "w": W}, (X, y), optimizer=frozen, steps=10)
        np.testing.assert_allclose(alone.history, result.history[k], atol=1e-4)


def test_layers_and_estimators():
    simulator = noise.Simulator(MODEL)
    model = qj.estimator_qnn(CIRCUIT, ["ZZ", "IX"], inputs=FEATURES.parameters, backend=simulator)
    layer = QuantumLayer(model, rngs=nnx.Rngs(0))
    slopes = nnx.grad(lambda layer: layer(X).sum())(layer)
    want = jax.grad(lambda w: model(w, X).sum())(layer.weights[...])
    np.testing.assert_allclose(jax.tree.leaves(slopes)[0], want, atol=1e-5)
    torch = pytest.importorskip("torch")
    from qmljax.torch import TorchConnector

    connected = TorchConnector(model, initial_weights=W)
    out = connected(torch.tensor(X))
    np.testing.assert_allclose(out.detach().numpy(), model(W, X), atol=1e-6)
    out.sum().backward()
    np.testing.assert_allclose(
        connected.weight.grad.numpy(), jax.grad(lambda w: model(w, X).sum())(jnp.asarray(W)), atol=1e-5
    )
    labels = np.array([0, 1, 0, 1])
    for backend in (simulator, SHOTS[0]):
        machine = VQC(feature_map=FEATURES, ansatz=real_amplitudes(2, reps=1), backend=backend, steps=3)
        assert machine.fit(X, labels).predict(X).shape == (4,)


def test_channels_inside_of_circuits_reach_the_backend():
    aer = pytest.importorskip("qiskit_aer.noise")
    circuit = FEATURES.copy()
    circuit.append(aer.depolarizing_error(0.2, 2), [0, 1])
    circuit.compose(real_amplitudes(2, reps=1), inplace=True)
    simulator, params = noise.Simulator(noise.NoiseModel({})), of_circuit(CIRCUIT)
    want = simulator.expectation(circuit, ["ZZ", "IX"])(params(W, X))
    model = qj.estimator_qnn(circuit, ["ZZ", "IX"], inputs=FEATURES.parameters, backend=simulator)
    np.testing.assert_allclose(model(W, X), want, atol=1e-6)
    # It is uniform noise, and so shrinks every string.
    ideal = qj.estimator_qnn(CIRCUIT, ["ZZ", "IX"], inputs=FEATURES.parameters)
    np.testing.assert_allclose(want, 0.8 * ideal(W, X), atol=1e-5)
    kernel = qj.projected_kernel(circuit, weights=circuit.parameters[2:], backend=simulator)
    assert kernel(X[:, :2], weights=np.concatenate([W])).shape == (4, 4)
    with pytest.raises(NotImplementedError, match=r"quantum_channel.*it is a channel.*noise\.Simulator"):
        qj.estimator_qnn(circuit, inputs=FEATURES.parameters)


def test_what_is_traced_is_not_kept():
    with jax.checking_leaks():

        @jax.jit
        def f(p, key):
            model = noise.NoiseModel({"cx": noise.depolarizing(p, 2)})
            network = qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters, backend=noise.Simulator(model))
            kernel = qj.fidelity_kernel(FEATURES, backend=qj.Shots(10, key))
            projected = qj.projected_kernel(FEATURES, backend=noise.Simulator(model))
            return network(W, X).sum() + kernel(X).sum() + projected(X).sum()

        assert np.isfinite(f(0.1, jax.random.key(0)))
