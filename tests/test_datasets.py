"""Data sets. Oracles: Qiskit's states, closed forms, and what a classifier can learn from them."""

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector, partial_trace
from scipy.linalg import eigh
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

import qmljax as qj
from qmljax import datasets

MAKERS = {
    "ad_hoc": lambda seed, n=30: datasets.ad_hoc(n, seed=seed),
    "hidden_manifold": lambda seed, n=30: datasets.hidden_manifold(n, num_features=5, seed=seed),
    "hyperplanes": lambda seed, n=30: datasets.hyperplanes(n, num_features=5, seed=seed),
    "two_curves": lambda seed, n=30: datasets.two_curves(n, num_features=5, seed=seed),
    "bars_and_stripes": lambda seed, n=30: datasets.bars_and_stripes(n, height=3, width=4, seed=seed),
    "phases_of_matter": lambda seed, n=10: datasets.phases_of_matter(n, num_qubits=4, seed=seed),
    "entanglement_concentration": lambda seed, n=6: datasets.entanglement_concentration(n, seed=seed),
}


@pytest.mark.parametrize("name", MAKERS)
def test_seeds_balance_and_shapes(name):
    x, y, *_ = MAKERS[name](3)
    again, other = MAKERS[name](3)[0], MAKERS[name](4)[0]
    assert (x == again).all() and not np.allclose(x, other)
    assert x.ndim == 2 and y.shape == (len(x),)
    assert sorted(set(y.tolist())) == [-1, 1] and y.sum() == 0
    assert not (y[: len(y) // 2] == y[0]).all()  # shuffled
    with pytest.raises(ValueError, match="must be an even number"):
        MAKERS[name](3, 5)


@pytest.mark.parametrize("n", [2, 3])
def test_ad_hoc_data_are_separated_by_a_margin_in_the_states_of_the_feature_map(n):
    x, y = datasets.ad_hoc(120, num_features=n, gap=0.2, seed=0)
    circuit = zz_feature_map(n, reps=2)
    states = np.array([Statevector(circuit.assign_parameters(point)).data for point in x])
    rho = (states[:, :, None] * states[:, None].conj()).reshape(len(x), -1)
    features = np.concatenate([rho.real, rho.imag], axis=1)
    value, *_ = np.linalg.lstsq(features, y, rcond=None)
    assert (np.sign(features @ value) == y).mean() > 0.97  # the label is a linear function of the density matrix
    gram = np.asarray(qj.fidelity_kernel(circuit)(x))
    assert cross_val_score(SVC(kernel="precomputed", C=100), gram, y).mean() > (0.95 if n == 2 else 0.8)


def test_a_margin_that_is_too_large_is_said_to_be():
    with pytest.raises(ValueError, match="smaller gap"):
        datasets.ad_hoc(10, num_features=2, gap=0.9999, seed=0)


def test_curves_are_as_far_apart_as_asked():
    x, y = datasets.two_curves(400, num_features=3, degree=2, offset=2.0, noise=0.0, seed=0)
    assert cross_val_score(SVC(), x, y).mean() > 0.99
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1)


def test_images_without_noise_are_bars_or_stripes():
    x, y = datasets.bars_and_stripes(40, height=3, width=4, noise=0.0, seed=0)
    images = x.reshape(-1, 3, 4)
    assert (images[y == 1] == images[y == 1][:, :, :1]).all()
    assert (images[y == -1] == images[y == -1][:, :1]).all()


@pytest.mark.parametrize("model, order", [("ising", "ZZ"), ("cluster", "ZXZ")])
def test_ground_states(model, order):
    n = 5
    states, y, fields = datasets.phases_of_matter(8, num_qubits=n, model=model, seed=1)
    terms = [(order, list(range(k, k + len(order))), -1.0) for k in range(n - len(order) + 1)]
    for psi, label, h in zip(states, y, fields, strict=True):
        assert label == (1 if h < 1 else -1)
        sparse = terms + [("X", [q], -h) for q in range(n)]
        matrix = SparsePauliOp.from_sparse_list(sparse, n).to_matrix()
        np.testing.assert_allclose(matrix @ psi, eigh(matrix, eigvals_only=True)[0] * psi, atol=1e-10)


def test_entanglement_is_as_asked():
    states, y = datasets.entanglement_concentration(8, num_qubits=3, low=0.1, high=0.3, seed=2)
    np.testing.assert_allclose(np.linalg.norm(states, axis=1), 1)
    for psi, label in zip(states, y, strict=True):
        purities = [1.0]
        for traced in ([0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
            rho = partial_trace(DensityMatrix(psi), traced)
            purities.append(1.0 if len(traced) == 3 else rho.purity().real)
        wanted = 0.3 if label == 1 else 0.1
        np.testing.assert_allclose(1 - np.mean(purities), wanted, atol=1e-6)
        np.testing.assert_allclose(datasets.concentratable_entanglement(psi), wanted, atol=1e-6)
    bell = np.array([1, 0, 0, 1]) / np.sqrt(2)
    np.testing.assert_allclose(datasets.concentratable_entanglement(bell), 0.25)
    with pytest.raises(ValueError, match="Ask for less"):
        datasets.entanglement_concentration(2, num_qubits=2, high=0.3, seed=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: datasets.ad_hoc(2, num_features=11, seed=0),
        lambda: datasets.hidden_manifold(2, num_features=0, seed=0),
        lambda: datasets.hyperplanes(2, num_features=1, dimension=0, seed=0),
        lambda: datasets.two_curves(2, num_features=0, seed=0),
        lambda: datasets.bars_and_stripes(2, height=0, seed=0),
        lambda: datasets.phases_of_matter(2, num_qubits=2, seed=0),
        lambda: datasets.phases_of_matter(2, model="heisenberg", seed=0),
        lambda: datasets.phases_of_matter(2, largest=1.0, seed=0),
        lambda: datasets.entanglement_concentration(2, num_qubits=1, seed=0),
    ],
)
def test_arguments_that_make_no_sense(make):
    with pytest.raises(ValueError, match="must be"):
        make()
