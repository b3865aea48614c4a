"""Local fidelities on backends. Oracle: Qiskit's density matrices and statevectors of compute and uncompute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import DensityMatrix, Statevector, SuperOp
from scipy.stats import chi2

import qmljax as qj
from qmljax import noise
from qmljax.primitives import PrimitiveBackend

P = 0.1
READOUT = np.array([[[0.9, 0.1], [0.2, 0.8]], [[1, 0], [0, 1]], [[0.95, 0.05], [0.1, 0.9]]])
POINTS = np.array([[0.3, 1.1], [2.0, -0.4], [-0.7, 0.9]])


def feature_map():
    """On three qubits, of which the second is idle."""
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0), circuit.ry(x[1], 2), circuit.cx(2, 0), circuit.rz(x[0] * x[1], 0), circuit.barrier()
    circuit.ry(x[1], 0)
    return circuit


def pair(a, b):
    circuit = feature_map()
    return circuit.assign_parameters(a).compose(circuit.assign_parameters(b).inverse())


def noisy(a, b, readout=READOUT):
    """The mean over qubits of the probability to read 0, with depolarizing noise on each qubit of each CX."""
    depolarizing = SuperOp((1 - P) * np.eye(4) + P / 2 * np.outer([1, 0, 0, 1], [1, 0, 0, 1]))
    circuit, rho = pair(a, b), DensityMatrix.from_label("000")
    for step in circuit.data:
        if step.operation.name != "barrier":
            qubits = [circuit.find_bit(q).index for q in step.qubits]
            rho = rho.evolve(step.operation, qubits)
            for q in qubits if step.operation.name == "cx" else ():
                rho = rho.evolve(depolarizing, [q])
    return np.mean([rho.probabilities([q]) @ readout[q][:, 0] for q in range(3)])


def matrix(function, x, y):
    return np.array([[function(a, b) for b in y] for a in x])


def kernel(backend, **about):
    return qj.fidelity_kernel(feature_map(), local=True, backend=backend, **about)


MODEL = noise.NoiseModel({"cx": noise.depolarizing(P)}, readout=READOUT)


@pytest.mark.usefixtures("x64")
def test_noise_is_qiskits():
    local = kernel(noise.Simulator(MODEL), evaluate_duplicates="all")
    x, y = POINTS, POINTS[:2] + 0.5
    np.testing.assert_allclose(local(x, y), matrix(noisy, x, y), atol=1e-10)
    gram = local(x)
    np.testing.assert_allclose(np.triu(gram), np.triu(matrix(noisy, x, x)), atol=1e-10)
    assert (gram == gram.T).all()
    np.testing.assert_allclose(local.pairs(x[:2], y), np.diag(matrix(noisy, x[:2], y)), atol=1e-10)
    slopes = jax.grad(lambda x: local(x, y).sum())(x)
    h = 1e-5 * np.eye(2)[1]
    expected = sum(noisy(x[0] + h, b) - noisy(x[0] - h, b) for b in y) / 2e-5
    np.testing.assert_allclose(slopes[0, 1], expected, atol=1e-8)


def test_trajectories_are_near():
    simulator = noise.Simulator(MODEL, method="trajectories", trajectories=4000, key=jax.random.key(0))
    local = kernel(simulator)
    np.testing.assert_allclose(local(POINTS, POINTS + 0.5), matrix(noisy, POINTS, POINTS + 0.5), atol=0.02)


def test_all_qubits_are_measured_in_the_same_shots():
    """Chi-squared over keys: the variance has the correlations of qubits, as one run for all of them has."""
    a, b, shots, seeds = POINTS[0], POINTS[1], 50, 400
    zeros = 1 - np.bitwise_count(np.arange(8)) / 3
    p = Statevector(pair(a, b)).probabilities()
    mean, variance = p @ zeros, (p @ zeros**2 - (p @ zeros) ** 2) / shots
    apart = sum(q * (1 - q) for q in (Statevector(pair(a, b)).probabilities([q])[0] for q in range(3))) / 9 / shots
    assert abs(apart / variance - 1) > 0.3  # which independent qubits would have
    keys = jax.random.split(jax.random.key(0), seeds)
    one = jax.jit(jax.vmap(lambda key: kernel(qj.Shots(shots, key)).pairs(a[None], b[None])[0]))
    values = np.asarray(one(keys), float)
    low, high = chi2.ppf([1e-4, 1 - 1e-4], seeds)
    assert low < np.sum((values - mean) ** 2) / variance < high
    assert abs(values.mean() - mean) < 5 * np.sqrt(variance / seeds)
    np.testing.assert_allclose(3 * shots * values, np.round(3 * shots * values), atol=1e-3)


@pytest.mark.parametrize("about", [{"gradient": "shift"}, {"readout": READOUT}])
def test_shots_and_their_gradients(about):
    readout = about.get("readout", np.eye(2)[None].repeat(3, axis=0))
    measured = kernel(qj.Shots(200_000, jax.random.key(0), **about))
    exact = kernel(noise.Simulator(noise.NoiseModel({}, readout=readout)))
    x, y = POINTS.astype(np.float32), POINTS[:2].astype(np.float32) + 0.5
    np.testing.assert_allclose(measured(x, y), exact(x, y), atol=0.01)
    slopes = [jax.grad(lambda x, k=k: k(x, y).sum())(x) for k in (measured, exact)]
    np.testing.assert_allclose(*slopes, atol=0.05 if "gradient" in about else 1e-5)


def test_a_primitive_and_what_has_no_probabilities():
    local = kernel(PrimitiveBackend(sampler=StatevectorSampler(seed=0), shots=20_000))
    ideal = qj.fidelity_kernel(feature_map(), local=True)
    np.testing.assert_allclose(local(POINTS, POINTS[:2]), ideal(POINTS, POINTS[:2]), atol=0.03)
    with pytest.raises(ValueError, match="need `sampler=`"):
        kernel(PrimitiveBackend(StatevectorEstimator()))
    with pytest.raises(TypeError, match="a method `probabilities`"):
        kernel(object())


def test_many_pairs_come_in_parts(monkeypatch):
    """Few bytes give the same exact values, and shots of their own for each part."""
    whole = kernel(qj.Shots(100, jax.random.key(0)))
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    slope = jax.grad(lambda x: whole(x).sum())(x)
    monkeypatch.setattr("qmljax._models.of_shots.MEMORY", 1 << 13)
    jax.clear_caches()
    parts = kernel(qj.Shots(100, jax.random.key(0)))
    np.testing.assert_allclose(jax.grad(lambda x: parts(x).sum())(x), slope, atol=1e-5)
    np.testing.assert_allclose(parts(x), qj.fidelity_kernel(feature_map(), local=True)(x), atol=0.25)
    assert len(set(np.asarray(parts(np.repeat(x[:1], 20, axis=0), x[1:2]))[:, 0].tolist())) > 2
    jax.clear_caches()


def test_it_is_kept_in_a_file(tmp_path):
    local = kernel(noise.Simulator(MODEL), evaluate_duplicates="none")
    qj.save(tmp_path / "kernel", local)
    again, _ = qj.load(tmp_path / "kernel", backend=noise.Simulator(MODEL))
    np.testing.assert_array_equal(again(POINTS), local(POINTS))
    assert again.local and again.duplicates == "none"


def test_other_ways_in():
    make = functools.partial(qj.fidelity_kernel, local=True, backend=noise.Simulator(MODEL))
    traced = jax.jit(lambda p: kernel(noise.Simulator(noise.NoiseModel({"cx": noise.depolarizing(p)})))(POINTS))
    assert (jnp.triu(traced(0.3), 1) != jnp.triu(traced(0.1), 1)).any()
    amplitudes = QuantumCircuit(1)
    amplitudes.initialize([1, 0], 0)
    with pytest.raises(ValueError, match="undone"):
        make(amplitudes)
