"""What networks as estimators are given: weights, labels, points, options. Oracles: equal data, closed forms."""

import itertools

import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import real_amplitudes, z_feature_map
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import Pauli
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import qmljax as qj
from qmljax import sklearn as qs
from qmljax.circuits import raw_feature_vector
from qmljax.primitives import PrimitiveBackend
from qmljax.sklearn._variational import default_observables, variational_network

RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 1, (24, 2))
Y = np.array(["a", "b", "c"])[np.arange(24) % 3]
TWO = np.where(Y == "a", "a", "b")
FEW = {"steps": 3, "random_state": 0}


# Weights.


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_weight_of_zero_is_a_row_that_is_not_there(batch_size):
    """Also in the mini-batches that are drawn, and in the classes."""
    weight = np.where(Y == "c", 0, np.arange(24) % 4).astype(float)
    rows = weight > 0
    whole = qs.VQC(**FEW, batch_size=batch_size).fit(X, Y, weight)
    part = qs.VQC(**FEW, batch_size=batch_size).fit(X[rows], Y[rows], weight[rows])
    assert whole.classes_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(whole.weights_, part.weights_)
    target = X[:, 0]
    whole = qs.VQR(**FEW, batch_size=batch_size).fit(X, target, weight)
    part = qs.VQR(**FEW, batch_size=batch_size).fit(X[rows], target[rows], weight[rows])
    np.testing.assert_array_equal(whole.weights_, part.weights_)


def test_weights_of_classes_are_weights_of_their_samples():
    counts = {"a": 8, "b": 16}
    for given, factors in (
        ("balanced", {label: 24 / (2 * n) for label, n in counts.items()}),
        ({"a": 3.0, "b": 0.5},) * 2,
    ):
        weight = np.array([factors[label] for label in TWO])
        ours = qs.VQC(**FEW, class_weight=given).fit(X, TWO)
        np.testing.assert_allclose(ours.weights_, qs.VQC(**FEW).fit(X, TWO, weight).weights_, atol=1e-12)
    one_hot = np.eye(2, dtype=int)[(TWO == "b").astype(int)]
    same = qs.VQC(**FEW, class_weight={0: 3.0, 1: 0.5}).fit(X, one_hot)
    np.testing.assert_allclose(same.weights_, ours.weights_, atol=1e-12)
    with pytest.raises(ValueError, match="`class_weight` must be a dictionary for `partial_fit`"):
        qs.VQC(class_weight="balanced").partial_fit(X, TWO, classes=["a", "b"])
    with pytest.raises(ValueError, match="class_weight"):
        qs.VQC(class_weight="even").fit(X, TWO)


def test_alpha_is_the_derivative_of_a_square():
    """One step of plain gradient descent from w: the steps with and without alpha differ by rate * alpha * w."""
    w = RNG.uniform(-1, 1, 8)
    given = {"optimizer": optax.sgd(0.1), "initial_weights": w, "steps": 1}
    plain, with_alpha = (qs.VQC(**given, alpha=a).fit(X, TWO) for a in (0.0, 0.25))
    np.testing.assert_allclose(plain.weights_ - with_alpha.weights_, 0.1 * 0.25 * w, atol=1e-12)
    np.testing.assert_allclose(with_alpha.loss_curve_ - plain.loss_curve_, 0.125 * (w**2).sum(), rtol=1e-12)


# Callbacks.


@pytest.mark.parametrize("optimizer", [None, "L-BFGS-B"])
def test_a_callback_asks_by_the_weights_of_now(optimizer):
    seen = []

    def ask(step, weights, loss):
        other = qs.VQC(initial_weights=weights, steps=0).fit(X, TWO)
        seen.append(abs(model.predict_proba(X) - other.predict_proba(X)).max())
        assert model.score(X, TWO) == other.score(X, TWO)

    model = qs.VQC(**FEW, callback=ask, optimizer=optimizer)
    model.fit(X, TWO)
    assert len(seen) >= 2 and max(seen) < 1e-12


def test_a_callback_that_fails_leaves_what_was_there():
    def fail(*_):
        raise RuntimeError("enough")

    model = qs.VQC(**FEW, callback=fail)
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, TWO)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_params(callback=None).fit(X, TWO)
    before = model.weights_
    with pytest.raises(RuntimeError, match="enough"):
        model.set_params(callback=fail).partial_fit(X, TWO)
    np.testing.assert_array_equal(model.weights_, before)


# Points and labels.


def test_amplitudes_that_are_all_zero():
    """The row is named as it was given, whatever is kept apart for validation."""
    null = X.copy()
    null[5] = 0
    options = {"feature_map": raw_feature_vector(2), **FEW}
    circuit = raw_feature_vector(2).compose(real_amplitudes(1))
    network = qj.estimator_qnn(circuit, inputs=raw_feature_vector(2).parameters)
    for model, y in (
        (qs.VQC(**options), TWO),
        (qs.VQC(**options, patience=2), TWO),
        (qs.VQR(**options), X[:, 0]),
        (qs.NeuralNetworkClassifier(network, **FEW), TWO),
        (qs.NeuralNetworkRegressor(network, **FEW), X[:, 0]),
    ):
        for act in (model.fit, model.partial_fit):
            with pytest.raises(ValueError, match=r"`X` at \(5,\): all amplitudes are zero"):
                act(null, y)
    model = qs.VQC(**options).fit(X, TWO)
    with pytest.raises(ValueError, match=r"`X` at \(5,\): all amplitudes are zero"):
        model.predict(null)
    with pytest.raises(ValueError, match=r"at \(5,\): all amplitudes are zero"):
        qs.QuantumFeatureMap(raw_feature_vector(2)).fit(X).transform(null)


def test_sparse_points_and_labels():
    one_hot = np.eye(3)[np.arange(24) % 3]
    model = qs.VQC(**FEW).fit(csr_array(X), csr_array(one_hot))
    np.testing.assert_array_equal(model.weights_, qs.VQC(**FEW).fit(X, one_hot).weights_)
    np.testing.assert_array_equal(model.predict(csr_array(X)), model.predict(X))
    np.testing.assert_array_equal(
        qs.VQR(**FEW).fit(csr_array(X), X[:, 0]).weights_, qs.VQR(**FEW).fit(X, X[:, 0]).weights_
    )


def test_one_hot_batches_of_one_class():
    one_hot = np.eye(3, dtype=int)[np.arange(24) % 3]
    labels, rows = qs.VQC(random_state=0), qs.VQC(random_state=0)
    for k in (1, 0, 2):
        batch = slice(k, None, 3)
        labels.partial_fit(X[batch], np.arange(24)[batch] % 3, classes=[0, 1, 2])
        rows.partial_fit(X[batch], one_hot[batch])
    np.testing.assert_array_equal(rows.weights_, labels.weights_)
    np.testing.assert_array_equal(rows.predict(X), np.eye(3, dtype=int)[labels.predict(X)])
    for y, came in ((one_hot[:, :2], "rows of 2 columns"), (np.arange(24) % 3, r"labels of shape \(N,\)")):
        rows_of = y.sum(axis=1) == 1 if y.ndim == 2 else slice(None)
        with pytest.raises(ValueError, match=f"one-hot rows of 3 columns, as when training began, but holds {came}"):
            rows.partial_fit(X[rows_of], y[rows_of])
    with pytest.raises(ValueError, match="`y` must be one-hot rows of 3 columns, .* but has 2"):
        qs.VQC(**FEW).partial_fit(X, np.eye(2)[np.arange(len(X)) % 2], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="`y` must have 1 targets, as when training began"):
        qs.VQR(**FEW).fit(X, X[:, 0]).partial_fit(X, X)


# The network.


@pytest.mark.parametrize("n", [1, 2, 3])
def test_default_observables_are_all_pauli_strings(n):
    everything = {"".join(s) for s in itertools.product("IXYZ", repeat=n)} - {"I" * n}
    found = default_observables(n, 4**n - 1)
    assert set(found) == everything and len(found) == len(everything)
    kinds = [(set(s) <= set("IZ"), s.count("Y") % 2) for s in found]
    assert kinds.index((False, 0)) == 2**n - 1  # Z strings first
    matrices = [Pauli(s).to_matrix() for s in found]
    real = [not np.iscomplexobj(np.real_if_close(m)) for m in matrices]
    assert real == sorted(real, reverse=True)  # what vanishes in real states comes last
    assert default_observables(4, 5) == ["IIIZ", "IIZI", "IZII", "ZIII", "IIZZ"]


def test_four_classes_on_two_features():
    places = np.array([(0.1, 0.2), (0.9, 0.8), (0.1, 0.9), (0.9, 0.1)])
    index = np.arange(40) % 4
    x = places[index] + np.random.default_rng(1).normal(0, 0.03, (40, 2))
    assert qs.VQC(steps=200, random_state=0).fit(x, index).score(x, index) > 0.9


def test_names_and_widths_of_circuits():
    theirs = QuantumCircuit(2)
    for q, w in enumerate(ParameterVector("x", 2)):  # the names of the default feature map's
        theirs.ry(w, q)
    assert variational_network(2, 1, ansatz=theirs).num_weights == 2
    assert variational_network(8, 1, feature_map=real_amplitudes(2)).num_weights == 8  # those of the default ansatz
    again = z_feature_map(2, reps=1)
    with pytest.raises(ValueError, match=r"different names, but both have one called x\[0\], x\[1\]"):
        variational_network(2, 1, feature_map=z_feature_map(2), ansatz=theirs)
    reads = QuantumCircuit(2)  # the same parameter: the ansatz reads a feature again
    reads.ry(again.parameters[0] * Parameter("w"), 1)
    assert variational_network(2, 1, feature_map=again, ansatz=reads).num_weights == 1
    for n in (1, 3):
        with pytest.raises(ValueError, match=f"must have as many qubits, but have 2 and {n}"):
            variational_network(2, 1, feature_map=z_feature_map(2), ansatz=real_amplitudes(n))
    measured = real_amplitudes(2)
    measured.measure_all()
    model = variational_network(2, 2, ansatz=measured, interpret="parity")
    plain = variational_network(2, 2, ansatz=real_amplitudes(2), interpret="parity")
    w = RNG.uniform(-1, 1, 8)
    np.testing.assert_allclose(model(w, X), plain(w, X), atol=1e-6)
    with pytest.raises(ValueError, match="`feature_map` must not measure"):
        variational_network(8, 1, feature_map=measured)


def test_what_is_set_after_fit_waits_for_the_next_fit():
    networks = [variational_network(2, 1), variational_network(2, 1, ansatz=real_amplitudes(2, reps=1))]
    model = qs.NeuralNetworkClassifier(networks[0], **FEW).fit(X, TWO)
    before = model.predict_proba(X)
    model.set_params(neural_network=networks[1], scale=1.0)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    with pytest.raises(ValueError, match="`partial_fit` goes on with the network that was trained"):
        model.partial_fit(X, TWO)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.set_params(neural_network=variational_network(2, 1)).partial_fit(X, TWO)  # an equal one
    assert model.set_params(neural_network=networks[1]).fit(X, TWO).weights_.shape == (4,)


def test_a_backend(tmp_path):
    """In double precision and in single: the primitives are exact."""
    backend = PrimitiveBackend(estimator=StatevectorEstimator())
    small = {"ansatz": real_amplitudes(2, reps=1), "steps": 2, "random_state": 0}
    on_backend = qs.VQC(backend=backend, **small)
    assert clone(on_backend).backend is backend
    for x in (X[:6], X[:6].astype(np.float32)):
        on_backend.fit(x, TWO[:6])
        exact = qs.VQC(**small).fit(x, TWO[:6])
        np.testing.assert_allclose(on_backend.weights_, exact.weights_, atol=1e-5)
    on_backend.save(tmp_path / "model")
    again = qs.load(tmp_path / "model", backend=backend)
    assert again.backend is backend
    np.testing.assert_allclose(again.predict_proba(X[:6]), exact.predict_proba(X[:6]), atol=1e-5)
    with pytest.warns(UserWarning, match="have their defaults: backend"):
        assert qs.load(tmp_path / "model").backend is None
    with pytest.raises(TypeError, match="`backend` must be"):
        qs.VQR(backend="aer").fit(X, X[:, 0])
    sampler = PrimitiveBackend(sampler=StatevectorSampler(seed=0), shots=10)
    assert qs.VQC(backend=sampler, interpret="parity", steps=0).fit(X[:6], TWO[:6]).predict(X[:1]).shape == (1,)
