"""Qualitative results of papers, reproduced in the small. Each test says which, and what of it."""

import json

import jax
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import Operator
from scipy.stats import unitary_group
from sklearn.svm import SVC

import qmljax as qj
from benchmarks.papers import __main__ as papers
from benchmarks.papers import barren_plateaus, better_than_classical, expressibility, study_grid
from benchmarks.papers._table import Table, write


def test_kernel_training_by_alignment():
    """T. Hubregtsen et al., "Training quantum embedding kernels on near-term quantum computers", PRA 106, 042431.

    Reproduced: raising the kernel-target alignment by gradient ascent, here on mini-batches of rows, raises the
    accuracy of a support vector machine on points it has not seen, on the ad hoc data of Havlicek et al. (2019), of
    which the feature map knows all but an angle by which each qubit is turned.
    """
    unknown = np.array([1.3, -1.1])
    x, y = qj.datasets.ad_hoc(160, gap=0.3, seed=7)
    (x, test), (y, expected) = np.split(x, 2), np.split(y, 2)
    features, weights = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(weights[q] - unknown[q], q)
    circuit.compose(zz_feature_map(2).assign_parameters(list(features)), inplace=True)
    kernel = qj.fidelity_kernel(circuit, weights=weights)

    def alignment(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return qj.kernel_alignment(kernel(x, weights=w), y)

    def accuracy(w: np.ndarray) -> float:
        machine = SVC(kernel="precomputed", C=10).fit(kernel(x, weights=w), y)
        return machine.score(kernel(test, x, weights=w), expected)

    start = np.zeros(2)
    trained = qj.fit(
        lambda w, x, y: -alignment(w, x, y),
        start,
        (x, y.astype(float)),
        optimizer=optax.adam(0.05),
        steps=120,
        batch_size=40,
        key=jax.random.key(0),
    ).weights
    assert alignment(trained, x, y.astype(float)) > 1.5 * alignment(start, x, y.astype(float))
    assert accuracy(start) < 0.85 and accuracy(trained) > 0.95


def test_projected_kernels_beat_classical_ones_on_engineered_labels():
    """H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), figure 4.

    Reproduced, with points of a hidden manifold instead of images of clothes: on the labels made from the two kernel
    matrices, a support vector machine with the projected kernel predicts far better than one with the RBF kernel, at
    every penalty; the ratio of model complexities is the square of the geometric difference; and on the labels that
    the points came with, the RBF kernel is as good.
    """
    n, train = 6, 240
    x, plain = qj.datasets.hidden_manifold(360, num_features=n, seed=0)
    circuit = zz_feature_map(n, reps=2, entanglement="linear")
    with jax.enable_x64(True):
        projected = np.asarray(qj.projected_kernel(circuit, gamma=1 / n)(x))
        rbf = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=-1) / (n * x.var()))
        labels = np.asarray(qj.gram.engineered_labels(rbf, projected, ridge=0.02))
        difference = qj.gram.geometric_difference(rbf, projected, ridge=0.02)
        hard = qj.gram.model_complexity(rbf, labels, ridge=0.02)
        easy = labels @ np.linalg.solve(projected / np.trace(projected) * len(x), labels)
    np.testing.assert_allclose(float(hard) / easy, float(difference) ** 2, rtol=1e-6)

    def accuracy(gram: np.ndarray, y: np.ndarray) -> float:
        machines = [SVC(kernel="precomputed", C=C).fit(gram[:train, :train], y[:train]) for C in (0.1, 1, 10, 100)]
        return max(machine.score(gram[train:, :train], y[train:]) for machine in machines)

    engineered = np.where(labels > np.median(labels), 1, -1)
    assert accuracy(projected, engineered) > accuracy(rbf, engineered) + 0.15
    assert accuracy(rbf, plain) > accuracy(projected, plain) - 0.05


@pytest.mark.parametrize("readings", [1, 2, 5])
def test_readings_of_an_input_are_its_frequencies(x64, readings):
    """M. Schuld, R. Sweke, J. J. Meyer, "Effect of data encoding on the expressive power of variational
    quantum-machine-learning models", PRA 103, 032430 (2021), section II.

    Reproduced: whatever the weights, a model that reads an input by L rotations is a Fourier series in it of the
    frequencies 0 to L, all of which occur.
    """
    x, w = ParameterVector("x", 1), ParameterVector("w", 3 * readings + 3)
    circuit = QuantumCircuit(1)
    for turn in range(readings):
        circuit.u(*w[3 * turn : 3 * turn + 3], 0)
        circuit.rz(x[0], 0)
    circuit.u(*w[-3:], 0)
    model = qj.estimator_qnn(circuit, "Z", inputs=x)
    period = 2 * np.pi * np.arange(32)[:, None] / 32
    weights = np.random.default_rng(0).uniform(-np.pi, np.pi, (20, model.num_weights))
    values = jax.vmap(model, in_axes=(0, None))(weights, period)[..., 0]
    coefficients = abs(np.fft.rfft(values)) / 32
    assert coefficients[:, : readings + 1].max(axis=0).min() > 1e-2
    assert coefficients[:, readings + 1 :].max() < 1e-12


@pytest.mark.parametrize(
    ("name", "data", "seeds", "stops"),
    [
        ("SeparableKernelClassifier", "hidden_manifold", 1, None),
        ("TreeTensorClassifier", "hidden_manifold", 2, [498, 551]),
    ],
)
def test_a_study_seed_by_seed(standard_promotion, name, data, seeds, stops):
    """J. Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059: the published accuracies of the study's seeds."""
    (entry,) = (e for e in better_than_classical.PUBLISHED["scores"] if (e["model"], e["data"]) == (name, data))
    ours, steps = better_than_classical.score(name, data, entry["hyperparameters"], range(seeds), 600)
    np.testing.assert_allclose(ours, entry["test"][:seeds], atol=1e-6)
    assert steps is None if stops is None else steps.tolist() == stops


def test_the_grid_of_a_study(standard_promotion, monkeypatch):
    """Its 180 runs are 36 ensembles of five folds, in twelve programs; here one of a few steps."""
    found = study_grid.search([1], [1], [0.1], None, 3)
    assert found["steps"].tolist() == [3] * 5 and found["fold"].tolist() == list(range(5))
    assert len(better_than_classical.PUBLISHED["grid"]) == 36


def test_the_circuits_of_sim():
    """Numbers of weights of a layer and of two, as in table 1 of the paper."""
    one = [8, 8, 11, 11, 28, 28, 19, 19, 4, 8, 12, 12, 16, 16, 8, 11, 11, 12, 12]
    assert [expressibility.circuit(k).num_parameters for k in range(1, 20)] == one
    two = [12 if k == 10 else 2 * count for k, count in enumerate(one, start=1)]
    assert [expressibility.circuit(k, 2).num_parameters for k in range(1, 20)] == two


def test_tables_and_the_command_line(tmp_path, capsys, monkeypatch):
    table = Table("A title", "A paper", ("name", "numbers"), [["a", [0.5, 1.0]], ["b", None]], ["A remark."], 3.0)
    path = write("name", table, tmp_path)
    assert "| a | 0.5 1 |\n| b |  |" in path.read_text() and "- A remark." in path.read_text()
    found = json.loads((tmp_path / "name.json").read_text())
    assert found["rows"] == [["a", [0.5, 1.0]], ["b", None]] and found["versions"]["jax"] == jax.__version__
    with pytest.raises(SystemExit):
        papers.main(["nothing"])
    assert "There is no nothing" in capsys.readouterr().err
    monkeypatch.setattr(expressibility, "run", lambda quick, done: iter([table]))
    papers.main(["expressibility", "--quick", "--output", str(tmp_path)])
    assert "A title" in (tmp_path / "expressibility.md").read_text()


def test_the_closed_form_of_barren_plateaus():
    """By Haar random unitaries of two qubits in place of what follows the first rotation."""
    half = np.array([np.cos(np.pi / 8), np.sin(np.pi / 8)])
    psi, u = np.kron(half, half), unitary_group.rvs(4, size=20_000, random_state=1)
    h = u.conj().swapaxes(1, 2) @ Operator.from_label("ZZ").data @ u
    found = {}
    for seed in range(20):
        circuit = barren_plateaus.random_circuit(2, 1, np.random.default_rng(seed))
        first = next(each.operation.name for each in circuit.data[2:] if each.qubits[0] == circuit.qubits[0])
        p = Operator.from_label("I" + first[1].upper()).data
        slopes = (psi @ (1j / 2 * (p @ h - h @ p)) @ psi).real
        found[first] = np.var(slopes) / barren_plateaus.of_a_design(circuit)
    assert found == pytest.approx(dict.fromkeys(("rx", "ry", "rz"), 1), rel=0.05)
