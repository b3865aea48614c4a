"""Kernels of pairs, of single points, of named features, and with shots. Oracles: the matrix, and moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import zz_feature_map
from qiskit.primitives import StatevectorEstimator
from sklearn.decomposition import KernelPCA

import qmljax as qj
from qmljax.primitives import PrimitiveBackend

ZZ = zz_feature_map(2, reps=1)


def trainable() -> QuantumCircuit:
    w, circuit = Parameter("w"), QuantumCircuit(2)
    circuit.ry(w, 0)
    return circuit.compose(ZZ)


KERNELS = {
    "fidelity": lambda **o: qj.fidelity_kernel(trainable(), weights="w", **o),
    "local": lambda **o: qj.fidelity_kernel(trainable(), weights="w", local=True, **o),
    "projected": lambda **o: qj.projected_kernel(trainable(), weights="w", gamma=0.7, **o),
    "linear": lambda **o: qj.projected_kernel(trainable(), weights="w", gamma=None, **o),
}


def points(seed: int, n: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 2))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", KERNELS)
def test_pairs_are_the_diagonal_of_the_matrix(name):
    x, y, w = points(0), points(1), np.array([0.4])
    y[2] = x[2]
    kernel = KERNELS[name]()
    expected = np.diagonal(kernel(x, y, weights=w))
    np.testing.assert_allclose(kernel.pairs(x, y, weights=w), expected, rtol=0, atol=1e-13)
    small = KERNELS[name](memory=1)  # one pair at a time
    np.testing.assert_allclose(small.pairs(x, y, weights=w), expected, rtol=0, atol=1e-13)

    def of_pairs(kernel, x, y, w):
        return jnp.sum(jnp.sin(kernel.pairs(x, y, weights=w)))

    def of_matrix(kernel, x, y, w):
        return jnp.sum(jnp.sin(jnp.diagonal(kernel(x, y, weights=w))))

    for a, b in zip(*(jax.grad(f, (1, 2, 3))(kernel, x, y, w) for f in (of_pairs, of_matrix)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for a, b in zip(*(jax.grad(of_pairs, (1, 2, 3))(k, x, y, w) for k in (kernel, small)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_pairs_of_many_points_do_not_make_the_matrix():
    x = np.zeros((3000, 2), np.float32)
    kernel = qj.fidelity_kernel(ZZ)
    memory = jax.jit(kernel.pairs).lower(x, x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 3000 * 3000
    np.testing.assert_array_equal(kernel.pairs(x, x), np.ones(3000, np.float32))


def test_pairs_on_a_backend_are_measured_one_by_one():
    x, y = points(0, 3).astype("f4"), points(1, 3).astype("f4")
    x[1] = y[1]
    backend = PrimitiveBackend(StatevectorEstimator())
    expected = qj.fidelity_kernel(ZZ).pairs(x, y)
    for duplicates in ("all", "none"):
        kernel = qj.fidelity_kernel(ZZ, backend=backend, evaluate_duplicates=duplicates)
        np.testing.assert_allclose(kernel.pairs(x, y), expected, rtol=0, atol=1e-5)
    projected = qj.projected_kernel(ZZ, backend=backend)
    np.testing.assert_allclose(projected.pairs(x, y), qj.projected_kernel(ZZ).pairs(x, y), rtol=0, atol=1e-5)


def test_pairs_need_partners():
    for kernel in (qj.fidelity_kernel(ZZ), qj.projected_kernel(ZZ)):
        with pytest.raises(ValueError, match="must have a row for each pair, but have the shapes"):
            kernel.pairs(points(0, 3), points(1, 4))


@pytest.mark.parametrize("name", KERNELS)
def test_a_single_point_has_no_axis(name):
    kernel, x, y, w = KERNELS[name](), points(0), points(1), [0.4]
    gram = kernel(x, y, weights=w)
    np.testing.assert_allclose(kernel(x[1], y, weights=w), gram[1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(kernel(x, y[2], weights=w), gram[:, 2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(kernel(x[1], y[2], weights=w), gram[1, 2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(kernel.pairs(x[1], y[2], weights=w), gram[1, 2], rtol=0, atol=1e-6)
    assert kernel(x[1], weights=w).shape == ()
    if name == "projected":
        assert kernel.projections(x[1], weights=w).shape == (6,)


def test_a_kernel_serves_scikit_learn_entry_by_entry():
    x = points(0, 6)
    kernel = qj.fidelity_kernel(ZZ)
    one_by_one = KernelPCA(n_components=2, kernel=kernel).fit_transform(x)
    at_once = KernelPCA(n_components=2, kernel="precomputed").fit_transform(np.asarray(kernel(x), float))
    np.testing.assert_allclose(abs(one_by_one), abs(at_once), rtol=0, atol=1e-4)


@pytest.mark.parametrize("build", [qj.fidelity_kernel, qj.projected_kernel])
def test_features_come_in_the_order_of_inputs(build):
    z, a = ParameterVector("z", 1), Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.ry(z[0], 0), circuit.ry(2 * a, 1)
    x, y = points(0), points(1)
    plain, turned = build(circuit), build(circuit, inputs=["z", a])  # by default: a, z[0]
    np.testing.assert_allclose(turned(x, y), plain(x[:, ::-1], y[:, ::-1]), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="but a is neither"):
        build(circuit, inputs="z")
    assert build(circuit, inputs="z", weights=[a]).num_weights == 1


# Shots, at fixed keys. Oracle: the moments of the binomial distribution, 5 standard deviations.


def turned(p: np.ndarray) -> np.ndarray:
    """Points whose fidelity with 0 is p, of one RY."""
    return 2 * np.arccos(np.sqrt(p))[:, None]


def one_angle() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    return circuit


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("p", [0.5, 0.03, 1e-6])
def test_shots_have_the_mean_and_variance_of_a_binomial(p):
    n, shots = 400, {0.5: 100, 0.03: 100, 1e-6: 1_000_000}[p]
    x = turned(np.full(n, p) * (1 + 1e-9 * np.arange(n)))
    counts = [
        np.asarray(qj.fidelity_kernel(one_angle(), backend=qj.Shots(shots, jax.random.key(k)))(x, [[0.0]]))[:, 0]
        * shots
        for k in range(5)
    ]
    counts = np.stack(counts)
    np.testing.assert_allclose(counts, np.round(counts), rtol=0, atol=1e-6)
    size, variance = counts.size, shots * p * (1 - p)
    assert abs(counts.mean() - shots * p) < 5 * (variance / size) ** 0.5
    fourth = variance * (1 + 3 * variance)  # about, of a binomial: 3 s**4 + s**2
    assert abs(counts.var() - variance) < 5 * (fourth / size) ** 0.5
    lag = np.corrcoef(counts[:, 1:].ravel(), counts[:, :-1].ravel())[0, 1]
    assert abs(lag) < 5 / size**0.5
    assert abs(np.corrcoef(counts[0], counts[1])[0, 1]) < 5 / n**0.5


def test_shots_of_a_symmetric_matrix():
    x = points(0, 40)
    kernel = qj.fidelity_kernel(ZZ, backend=qj.Shots(50, jax.random.key(1)))
    gram, exact = np.asarray(kernel(x)), np.asarray(qj.fidelity_kernel(ZZ)(x))
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_array_equal(np.diagonal(gram), np.ones(40))
    above = np.triu_indices(40, 1)
    std = np.sqrt(exact * (1 - exact) / 50)[above]
    score = (gram - exact)[above] / np.maximum(std, 1e-3)
    assert abs(score.mean()) < 5 / len(score) ** 0.5
    assert 0.8 < score.std() < 1.2
    pairs = np.asarray(kernel.pairs(x[above[0]], x[above[1]]))
    assert abs(np.corrcoef(pairs - exact[above], (gram - exact)[above])[0, 1]) < 5 / len(score) ** 0.5
