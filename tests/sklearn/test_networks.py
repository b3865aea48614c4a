"""Networks as scikit-learn estimators. Oracles: scikit-learn's checks, Qiskit's probabilities, finite differences."""

import pickle

import jax
import jax.numpy as jnp
import joblib
import numpy as np
import optax
import pytest
import scipy.optimize
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import real_amplitudes, z_feature_map
from qiskit.quantum_info import Statevector
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import qmljax as qj
from qmljax import _files
from qmljax import sklearn as qs
from qmljax._training import compiled_loop
from qmljax.sklearn import _objective
from qmljax.sklearn._variational import variational_network

THIRTY = "the data of this check have 30 features, and the default network a qubit for each"


def expected_failures(estimator) -> dict[str, str]:
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": THIRTY for kind in kinds}


@parametrize_with_checks(
    [
        qs.NeuralNetworkClassifier(steps=20),
        qs.NeuralNetworkRegressor(steps=20),
        qs.VQC(steps=20),  # the same network: compiled already
        qs.VQR(steps=20),
    ],
    expected_failed_checks=expected_failures,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def blobs(labels, seed: int = 0, size: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Points around a place of its own for each label, in [0, 1]**2."""
    rng = np.random.default_rng(seed)
    places = np.array([(0.1, 0.2), (0.9, 0.8), (0.1, 0.9), (0.9, 0.1)])[: len(labels)]
    index = np.arange(size) % len(labels)
    return np.clip(places[index] + rng.normal(0, 0.05, (size, 2)), 0, 1), np.array(labels)[index]


# Labels.

LABELS = {
    "signs": [-1, 1],
    "bits": [0, 1],
    "any integers": [7, -3, 40],
    "strings": ["setosa", "versicolor", "virginica"],
    "booleans": [False, True],
    "floats": [0.0, 2.0, 5.0],
}


@pytest.mark.parametrize("interpret", [None, "modulo"])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_type_round_trip(kind, interpret):
    x, y = blobs(LABELS[kind])
    model = qs.VQC(interpret=interpret, steps=150, random_state=0).fit(x, y)
    predicted = model.predict(x)
    assert predicted.dtype == y.dtype and predicted.shape == y.shape
    assert model.classes_.tolist() == sorted(LABELS[kind])
    assert set(predicted.tolist()) == set(LABELS[kind])  # every class is predicted
    assert model.score(x, y) > 0.9
    p = model.predict_proba(x)
    assert p.shape == (len(x), len(LABELS[kind])) and (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], predicted)


def test_one_hot_rows():
    x, y = blobs([0, 1, 2])
    model = qs.VQC(steps=150, random_state=0).fit(x, np.eye(3)[y])
    np.testing.assert_array_equal(model.predict(x), np.eye(3, dtype=int)[y])
    np.testing.assert_array_equal(qs.VQC(steps=150, random_state=0).fit(x, y).predict(x), y)


def test_one_hot_rows_of_a_class_that_no_sample_has():
    x, y = blobs([0, 1])
    model = qs.VQC(steps=50, random_state=0).fit(x, np.eye(3, dtype=int)[y])
    np.testing.assert_array_equal(model.predict(x), np.eye(3, dtype=int)[y])
    with pytest.raises(ValueError, match="the labels are of one class"):
        qs.VQC().fit(x, np.eye(3)[0 * y])


def test_four_classes_on_two_qubits_by_every_outcome():
    x, y = blobs(list("abcd"), size=60)
    assert qs.VQC(interpret=lambda outcome: outcome, steps=200, random_state=0).fit(x, y).score(x, y) > 0.9


def test_iris():
    x, y = load_iris(return_X_y=True)
    x, new, y, right = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    model = make_pipeline(MinMaxScaler((0, np.pi / 2)), qs.VQC(random_state=0)).fit(x, y)
    assert model.score(new, right) >= 0.9
    assert set(model.predict(new)) == {0, 1, 2}


# What the outputs mean.


def three_outputs():
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(3)
    for k in range(3):
        circuit.ry(x[k % 2], k)
    circuit.compose(real_amplitudes(3, reps=1), inplace=True)
    return circuit, x


def probabilities_by_qiskit(circuit: QuantumCircuit, inputs, model, x: np.ndarray) -> np.ndarray:
    weights = [p for p in circuit.parameters if p not in set(inputs)]
    values = dict(zip(weights, model.weights_, strict=True))
    states = [Statevector(circuit.assign_parameters(values | dict(zip(inputs, row, strict=True)))) for row in x]
    return np.array([state.probabilities() for state in states])


def test_probabilities_are_those_of_the_outcomes():
    circuit, inputs = three_outputs()
    x, y = blobs([0, 1, 2])
    model = qs.NeuralNetworkClassifier(qj.sampler_qnn(circuit, inputs=inputs), steps=5, random_state=0).fit(x, y)
    p = probabilities_by_qiskit(circuit, inputs, model, x)[:, :3]
    np.testing.assert_allclose(model.predict_proba(x), p / p.sum(axis=1, keepdims=True), atol=1e-9)


def test_probabilities_are_the_softmax_of_expectation_values():
    circuit, inputs = three_outputs()
    x, y = blobs([0, 1, 2])
    network = qj.estimator_qnn(circuit, ["IIZ", "IZI", "ZII"], inputs=inputs)
    model = qs.NeuralNetworkClassifier(network, steps=5, scale=2.5, random_state=0).fit(x, y)
    p = probabilities_by_qiskit(circuit, inputs, model, x)
    z = np.stack([p @ (1 - 2 * (np.arange(8) >> k & 1)) for k in range(3)], axis=1)
    expected = np.exp(2.5 * z) / np.exp(2.5 * z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(x), expected, atol=1e-9)


def test_one_expectation_value_is_a_difference_of_probabilities():
    circuit, inputs = three_outputs()
    x, y = blobs(["no", "yes"])
    model = qs.NeuralNetworkClassifier(qj.estimator_qnn(circuit, inputs=inputs), steps=5, random_state=0).fit(x, y)
    p = probabilities_by_qiskit(circuit, inputs, model, x)
    even = np.array([outcome.bit_count() % 2 == 0 for outcome in range(8)])
    np.testing.assert_allclose(model.predict_proba(x)[:, 1], p[:, even].sum(axis=1), atol=1e-9)


LOSSES = [
    "cross_entropy",
    "squared_error",
    "absolute_error",
    "huber",
    lambda out, aims: ((out - aims) ** 4).sum(axis=1),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["sign", "logits", "probabilities", "values"])
def test_gradients_of_losses(kind, loss):
    """Against finite differences, also at weights where a probability is exactly zero."""
    circuit = QuantumCircuit(2)
    a, b, x = Parameter("a"), Parameter("b"), Parameter("x")
    circuit.ry(x, 0), circuit.ry(a, 0), circuit.cx(0, 1), circuit.ry(b, 1)
    if kind == "probabilities":
        network, count = qj.sampler_qnn(circuit, inputs=[x]), 3
    else:
        network, count = qj.estimator_qnn(circuit, ["IZ", "ZI", "XX"][: 1 if kind == "sign" else 3], inputs=[x]), 3
        count = 1 if kind == "sign" else 3
    if kind == "values" and loss == "cross_entropy":
        pytest.skip("a loss of classifiers")
    objective = _objective.Objective(_objective.Outputs(network, kind, count), loss)
    rng = np.random.default_rng(0)
    points, share = rng.uniform(0, 1, (6, 1)), rng.uniform(0.5, 2, 6)
    targets = rng.uniform(-1, 1, (6, 3)) if kind == "values" else np.eye(2 if kind == "sign" else 3)[np.arange(6) % 2]
    for w in (np.array([0.4, -0.7]), np.array([0.4, 0.0])):  # b = 0: outcomes 1 and 2 have probability zero
        gradient = jax.grad(objective)(jnp.asarray(w), points, targets, share)
        assert np.isfinite(gradient).all()
        for k, e in enumerate(1e-6 * np.eye(2)):
            up, down = (float(objective(jnp.asarray(w + s * e), points, targets, share)) for s in (1, -1))
            np.testing.assert_allclose(gradient[k], (up - down) / 2e-6, rtol=1e-4, atol=1e-6)


# Regression.


def test_a_noisy_sine():
    rng = np.random.default_rng(0)
    x = rng.uniform(-np.pi, np.pi, (100, 1))
    y = np.sin(x[:, 0]) + rng.normal(0, 0.1, 100)
    model = qs.VQR(random_state=0).fit(x[:80], y[:80])
    assert model.score(x[80:], y[80:]) > 0.95
    assert model.predict(x).shape == (100,)


def test_several_targets():
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    y = np.stack([np.cos(x[:, 0]), np.sin(x[:, 1])], axis=1)
    model = qs.VQR(steps=200, random_state=0).fit(x, y)
    assert model.predict(x).shape == (40, 2) and model.score(x, y) > 0.9
    with pytest.raises(ValueError, match="has 2 outputs, but y has 3 targets"):
        qs.NeuralNetworkRegressor(model.neural_network_).fit(x, np.zeros((40, 3)))


# Training goes on.


def test_partial_fit_goes_on_step_by_step():
    x, y = blobs(["a", "b"], size=32)
    whole = qs.VQC(steps=6, random_state=1).fit(x, y)
    parts = qs.VQC(random_state=1)
    for _ in range(6):
        parts.partial_fit(x, y, classes=["a", "b"])
    np.testing.assert_allclose(parts.weights_, whole.weights_, atol=1e-12)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, atol=1e-12)
    few = qs.VQC(random_state=1, batch_size=8).partial_fit(x, y)
    assert few.loss_curve_.shape == (4,)  # one pass


def test_partial_fit_meets_the_classes_later():
    x, y = blobs([0, 1, 2])
    model = qs.VQC(random_state=0).partial_fit(x[y == 0], y[y == 0], classes=[0, 1, 2])
    assert model.partial_fit(x, y).predict_proba(x).shape == (30, 3)
    with pytest.raises(ValueError, match="The label 7 is none of the classes"):
        model.partial_fit(x[:1], [7])


def test_warm_start():
    x, y = blobs([0, 1])
    model = qs.VQC(steps=20, warm_start=True, random_state=0).fit(x, y)
    first = model.weights_
    assert model.fit(x, y).loss_curve_.shape == (40,)
    assert model.loss_curve_[20] == pytest.approx(
        qs.VQC(initial_weights=first, steps=1).fit(x, y).loss_curve_[0], abs=1e-12
    )
    model.set_params(warm_start=False).fit(x, y)
    np.testing.assert_allclose(model.weights_, first, atol=1e-12)


@pytest.mark.parametrize("after", ["another kind", "single precision", "double precision"])
def test_partial_fit_after_a_change(after):
    """A new kind of optimiser starts with a state of its own; the state of the old one follows the points' dtype."""
    x, y = blobs([0, 1])
    single = x.astype(np.float32)
    model = qs.VQC(steps=4, random_state=0).fit(single if after == "double precision" else x, y)
    if after == "another kind":
        alone = qs.VQC(optimizer=optax.sgd(0.5), initial_weights=model.weights_, steps=1).fit(x, y)
        model.set_params(optimizer=optax.sgd(0.5)).partial_fit(x, y)
        np.testing.assert_allclose(model.weights_, alone.weights_, atol=1e-12)
    else:
        model.partial_fit(single if after == "single precision" else x, y)
        np.testing.assert_allclose(model.weights_, qs.VQC(steps=5, random_state=0).fit(x, y).weights_, atol=1e-5)


def test_partial_fit_takes_few_samples():
    """Fewer than a batch, or than there are classes, whatever `fit` does."""
    x, y = blobs([0, 1, 2])
    model = qs.VQC(steps=3, batch_size=8, patience=5, random_state=0).fit(x, y)
    before = len(model.loss_curve_)
    assert len(model.partial_fit(x[:1], y[:1]).loss_curve_) == before + 1
    assert len(model.partial_fit(x[:25], y[:25]).loss_curve_) == before + 4


def test_an_interruption_is_said():
    """A search goes on with the next fold, like scikit-learn's own networks."""

    def interrupt(step: int, *_: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 3 of 20 steps") as caught:
        model = qs.VQC(steps=20, callback=interrupt, random_state=0).fit(*blobs([0, 1]))
    assert caught[0].filename == __file__
    np.testing.assert_allclose(model.weights_, qs.VQC(steps=3, random_state=0).fit(*blobs([0, 1])).weights_, atol=1e-12)


def test_spsa():
    """Its state holds a random key, which goes on."""
    x, y = blobs([0, 1])
    spsa = optax.chain(qj.spsa(jax.random.key(1)), optax.sgd(0.1))
    model = qs.VQC(optimizer=spsa, steps=40, random_state=0).fit(x, y)
    again = pickle.loads(pickle.dumps(model)).partial_fit(x, y)
    np.testing.assert_array_equal(again.weights_, qs.VQC(optimizer=spsa, steps=41, random_state=0).fit(x, y).weights_)
    assert model.score(x, y) > 0.9


def test_a_fit_that_fails_leaves_nothing_behind():
    model = qs.VQC(steps=2).fit(*blobs(["cat", "dog"]))
    with pytest.raises(ValueError, match="16 outputs need as many Pauli strings"):
        model.fit(np.zeros((32, 2)), np.arange(32) % 16)
    with pytest.raises(NotFittedError):
        model.predict(blobs([0, 1])[0])


def test_training_goes_on_with_the_same_classes_and_network():
    x, y = blobs([0, 1])
    model = qs.VQC(steps=2, warm_start=True, random_state=0).fit(x, y)
    with pytest.raises(
        ValueError, match=r"`warm_start` goes on with the classes \[0, 1\], but the labels are of \[1, 2\]"
    ):
        model.fit(x, y + 1)
    with pytest.raises(ValueError, match=r"`classes` must be those of the first call, \[0, 1\], or be left out"):
        model.partial_fit(x, y, classes=[0, 1, 2])
    model.partial_fit(x, y, classes=[0, 1])
    model.set_params(ansatz=real_amplitudes(2, entanglement="linear").inverse(), steps=0).fit(x, y)  # as many weights
    np.testing.assert_array_equal(model.weights_, np.random.RandomState(0).uniform(-1, 1, 8))


@pytest.mark.parametrize("kind", [qs.VQC, qs.VQR])
def test_the_protocol_of_a_study(kind):
    """Batches with replacement, and the study's rule for convergence, as `fit` has them."""
    x, y = TWO
    model = kind(steps=400, batch_size=8, batches="replacement", convergence=10, learning_rate=0.2, random_state=0)
    curve = model.fit(x, y).loss_curve_
    for step in range(21, len(curve)):
        last, before = curve[step - 9 : step + 1], curve[step - 19 : step - 9]
        assert (abs(last.mean() - before.mean()) <= last.std() / np.sqrt(10) / 2) == (step + 1 == len(curve))
    epochs = kind(steps=30, batch_size=8, learning_rate=0.2, random_state=0).fit(x, y).loss_curve_
    assert (epochs[1:20] != curve[1:20]).all()


def test_patience_keeps_a_part_for_validation():
    x, y = blobs([0, 1, 2], size=60)
    model = qs.VQC(steps=2000, learning_rate=0.3, patience=20, random_state=0).fit(x, y)
    assert len(model.loss_curve_) < 2000 and model.score(x, y) > 0.9


OPTIMIZERS = [optax.adam(0.1), optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.5)), "L-BFGS-B", "cobyla"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer):
    x, y = blobs([0, 1])
    model = qs.VQC(optimizer=optimizer, steps=60, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.9 and 1 < len(model.loss_curve_) <= 60


@pytest.mark.parametrize("most", [8, 20])
def test_options_are_those_of_scipy(most):
    """<Z> of RY(x) and RY(w) is cos(x + w): SciPy itself minimises the same mean of squares."""
    x = np.linspace(-1, 2, 9)
    y = np.cos(x + 0.7)
    maps = [QuantumCircuit(1), QuantumCircuit(1)]
    for circuit, name in zip(maps, "xw", strict=True):
        circuit.ry(Parameter(name), 0)
    settings = {"optimizer": "COBYLA", "options": {"maxiter": most, "rhobeg": 0.5}, "initial_weights": [0.0]}
    model = qs.VQR(feature_map=maps[0], ansatz=maps[1], **settings).fit(x[:, None], y)
    loss = lambda w: np.mean((np.cos(x + w) - y) ** 2)  # noqa: E731
    expected = scipy.optimize.minimize(loss, [0.0], method="COBYLA", options=settings["options"])
    np.testing.assert_allclose(model.weights_, expected.x, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="`options` belongs to SciPy's minimisers"):
        qs.VQR(options={"rhobeg": 0.5}).fit(x[:, None], y)


def test_sample_weights():
    x, y = blobs([0, 1], size=24)
    weight = np.arange(24) % 3
    by_weight = qs.VQC(steps=30, random_state=0).fit(x, y, weight)
    by_rows = qs.VQC(steps=30, random_state=0).fit(np.repeat(x, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(by_weight.weights_, by_rows.weights_, atol=1e-9)


# What is compiled is shared.


def test_a_search_compiles_once():
    """Ten learning rates and five folds of two different sizes, all by one program."""
    x, y = blobs([0, 1, 2], size=107)
    rates = {"learning_rate": np.linspace(0.01, 0.1, 10)}
    search = GridSearchCV(qs.VQC(loss="squared_error", steps=7, random_state=0), rates, refit=False)
    before, evaluated = compiled_loop.take_steps._cache_size(), _objective.evaluate._cache_size()
    search.fit(x, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert compiled_loop.take_steps._cache_size() == before + 1
    assert _objective.evaluate._cache_size() == evaluated + 1  # the folds to test with


def test_clones_share_what_is_compiled():
    x, y = blobs([0, 1])
    model = qs.VQC(steps=3, scale=3.5).fit(x, y)
    before = compiled_loop.take_steps._cache_size()
    for seed in range(3):
        clone(model).set_params(random_state=seed, learning_rate=0.01 * (seed + 1), steps=4).fit(x, y)
    circuit = z_feature_map(2).compose(real_amplitudes(2))
    network = qj.estimator_qnn(circuit, inputs=z_feature_map(2).parameters)
    qs.NeuralNetworkClassifier(network, steps=3, scale=3.5).fit(x, y)  # the same circuit, built anew
    assert compiled_loop.take_steps._cache_size() == before


@pytest.mark.parametrize("samples", [1, 2, 9, 15, 16, 17, 100, 113, 1000, 12345])
def test_room_for_samples(samples):
    assert samples <= _objective.room(samples) <= 1.125 * samples + 1


@pytest.mark.parametrize("loss", [optax.losses.squared_error, lambda out, aims: jnp.mean((out - aims) ** 2)])
def test_a_loss_that_is_not_one_of_samples(loss):
    """It would broadcast against their weights: padding would count, and sample weights would not."""
    x, y = blobs([-1.0, 1.0], size=17)
    with pytest.raises(ValueError, match=r"a value for each sample, of shape \(18,\) for outputs of shape \(18, 1\)"):
        qs.VQR(loss=loss, steps=1).fit(x, y)


def test_padding_does_not_count():
    x, y = blobs([0, 1], size=17)  # padded to 18
    objective = _objective.Objective(_objective.Outputs(variational_network(2, 1), "sign", 1), "cross_entropy")
    model = qs.VQC(steps=1, random_state=0).fit(x, y)
    assert _objective.room(17) == 18
    w = np.random.RandomState(0).uniform(-1, 1, 8)
    with jax.enable_x64(True):
        expected = objective(w, x, np.eye(2)[y], np.ones(17))
    np.testing.assert_allclose(model.loss_curve_[0], expected, rtol=1e-12)


# Copies and files.


@pytest.mark.parametrize("optimizer", [None, "SLSQP", optax.adam(0.1), optax.inject_hyperparams(optax.sgd)(0.1)])
def test_pickle_and_joblib(optimizer, tmp_path):
    x, y = blobs(["a", "b", "c"])
    model = qs.VQC(optimizer=optimizer, loss=lambda out, aims: ((out - aims) ** 2).sum(axis=1), steps=5, random_state=0)
    model.fit(x, y)
    joblib.dump(model, tmp_path / "model")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
        again.partial_fit(x, y)
        assert len(again.loss_curve_) == len(model.loss_curve_) + 1


def test_workers_of_joblib():
    x, y = blobs([0, 1])
    scores = cross_val_score(qs.VQC(optimizer=optax.adam(0.1), steps=40, random_state=0), x, y, cv=2, n_jobs=2)
    assert (scores > 0.8).all()


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_classifier_in_a_file(labels, tmp_path):
    x, y = blobs(labels)
    feature_map = z_feature_map(2, reps=1)
    options = {"steps": np.int64(5), "scale": np.int64(4), "optimizer": "BFGS", "random_state": 3}  # as of a search
    model = qs.VQC(feature_map=feature_map, **options).fit(x, y)
    model.save(tmp_path / "model")
    again = qs.load(tmp_path / "model")
    assert type(again) is qs.VQC and again.feature_map == feature_map and again.optimizer == "BFGS"
    assert again.get_params()["random_state"] == 3
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    np.testing.assert_array_equal(again.loss_curve_, model.loss_curve_)
    assert again.partial_fit(x, y).n_features_in_ == 2


def test_a_regressor_with_a_network_in_a_file(tmp_path):
    circuit, inputs = three_outputs()
    network = qj.sampler_qnn(circuit, inputs=inputs, interpret=lambda k: k % 3)
    x, y = np.random.default_rng(0).uniform(0, 1, (9, 2)), np.random.default_rng(1).uniform(0, 1, (9, 3))
    model = qs.NeuralNetworkRegressor(network, optimizer=optax.sgd(0.1), steps=3, random_state=0).fit(x, y)
    model.save(tmp_path / "model")
    with pytest.warns(UserWarning, match="have their defaults: optimizer"):
        again = qs.load(tmp_path / "model")
    assert again.neural_network == network
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    clone(again).fit(x, y)


def test_a_class_of_your_own_has_no_file(tmp_path):
    class Own(qs.VQC):
        pass

    with pytest.raises(TypeError, match="Own is no class of qmljax.sklearn"):
        Own(steps=1).fit(*blobs([0, 1])).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("optimizer", [None, "BFGS"])
def test_a_network_without_weights(optimizer):
    feature_map = z_feature_map(2)
    network = qj.estimator_qnn(feature_map, inputs=feature_map.parameters)
    model = qs.NeuralNetworkClassifier(network, optimizer=optimizer, steps=2).fit(*blobs([0, 1]))
    assert model.weights_.shape == (0,)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        qs.load(tmp_path / "none")
    path = tmp_path / "model"
    x, y = blobs([0, 1])
    qs.VQC(steps=1).fit(x, y).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="truncated, or no file of qmljax"):
        qs.load(path)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="holds a scikit-learn estimator, not a model"):
        qj.load(path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda header, about, arrays: header.pop("model"),
        lambda header, about, arrays: about.pop("class"),
        lambda header, about, arrays: about.update({"class": "Popen"}),
        lambda header, about, arrays: about["settings"].update(unknown=1),
        lambda header, about, arrays: about.update(outputs=["sign"]),
        lambda header, about, arrays: about.update(dtype="<U999999999"),
        lambda header, about, arrays: about.update(dtype="no dtype"),
        lambda header, about, arrays: about.pop("classes"),
        lambda header, about, arrays: about.update(circuits=["ansatz"]),
        lambda header, about, arrays: arrays.pop("loss_curve"),
        lambda header, about, arrays: arrays.update(weights=arrays["weights"][1:]),
        lambda header, about, arrays: arrays.update(weights=arrays["weights"] * np.nan),
    ],
)
def test_an_edited_file_is_refused(edit, tmp_path):
    """With a right checksum."""
    path = tmp_path / "model"
    qs.VQC(steps=1).fit(*blobs([0, 1])).save(path)
    header, arrays = _files.read(path, "scikit-learn estimator")
    edit(header, header["estimator"], arrays)
    _files.write(path, "scikit-learn estimator", header, arrays)
    with pytest.raises(ValueError, match="model' is damaged, or was not written by qmljax"):
        qs.load(path)


# Errors.


def nan_in(x: np.ndarray) -> np.ndarray:
    return np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x)


TWO = blobs([0, 1])
CIRCUIT, INPUTS = three_outputs()
ESTIMATOR = qj.estimator_qnn(CIRCUIT, inputs=INPUTS)


@pytest.mark.parametrize(
    ("make", "x", "y", "match"),
    [
        (lambda: qs.VQC(), TWO[0], np.zeros(30), "at least two classes, but the labels are of one class"),
        (lambda: qs.VQC(), nan_in(TWO[0]), TWO[1], "contains NaN"),
        (lambda: qs.VQC(), TWO[0][:5], TWO[1], "inconsistent numbers of samples"),
        (lambda: qs.VQC(), TWO[0], np.linspace(0, 1, 30), "Unknown label type"),
        (lambda: qs.VQC(), TWO[0], np.ones((30, 2)), "must be one-hot"),
        (
            lambda: qs.VQC(loss="crossentropy"),
            *TWO,
            "`loss` must be one of squared_error, absolute_error, huber",
        ),
        (lambda: qs.VQR(loss="cross_entropy"), *TWO, "`loss` must be one of squared_error, absolute_error, huber, or"),
        (lambda: qs.VQC(optimizer="adam"), *TWO, "`optimizer` names no minimiser: 'adam'"),
        (lambda: qs.VQC(optimizer="SLSQP", batch_size=4), *TWO, "takes all samples at once"),
        (lambda: qs.VQC(learning_rate=optax.constant_schedule(0.1)), *TWO, "For a schedule pass an optax transf"),
        (lambda: qs.VQC(patience=5), TWO[0][:5], TWO[1][:5], "apart, but The test_size = 1 should .* Change the share"),
        (lambda: qs.VQC(learning_rate=0), *TWO, "`learning_rate` must be a finite number above 0"),
        (lambda: qs.VQC(batches="epoch"), *TWO, "`batches` must be 'epochs' or 'replacement', but is 'epoch'"),
        (lambda: qs.VQC(batches="replacement"), *TWO, "`batches='replacement'` needs `batch_size`"),
        (lambda: qs.VQC(convergence=1), *TWO, "`convergence` must be an integer from 2 on, or None, but is 1"),
        (lambda: qs.VQC(batch_size=31), *TWO, "`batch_size` must be a number of samples from 1 to 30"),
        (lambda: qs.VQC(steps=-1), *TWO, "`steps` must be an integer"),
        (lambda: qs.VQC(initial_weights=[1.0]), *TWO, r"`initial_weights` must have shape \(8,\)"),
        (lambda: qs.VQC(feature_map=z_feature_map(3)), *TWO, "has 3 parameters, but X has 2 features"),
        (lambda: qs.VQC(interpret="sum"), *TWO, "`interpret` must be 'parity', 'modulo' or a function"),
        (lambda: qs.VQC(interpret="parity", observables=["ZZ"]), *TWO, "`observables` or `interpret`, but not both"),
        (
            lambda: qs.VQC(),
            np.zeros((9, 1)),
            np.arange(9) % 4,
            "4 outputs need as many Pauli strings, but 1 qubits have 3",
        ),
        (lambda: qs.VQC(interpret="parity"), *blobs([0, 1, 2]), "3 classes, but the network has 2 outputs"),
        (lambda: qs.VQC(observables=["IZ", "ZI", "ZZ"]), *TWO, "2 classes, but the network has 3 expectation values"),
        (lambda: qs.NeuralNetworkClassifier(ESTIMATOR), *blobs([0, 1, 2]), "3 classes, but the network has 1 outputs"),
        (lambda: qs.NeuralNetworkClassifier(ESTIMATOR), TWO[0][:, :1], TWO[1], "has 2 inputs, but X has 1 features"),
        (lambda: qs.NeuralNetworkRegressor(ESTIMATOR), np.zeros((9, 3)), np.zeros(9), "2 inputs, but X has 3 features"),
        (lambda: qs.VQC(), np.zeros((9, 13)), np.arange(9) % 2, "at most 12, but the points have 13 features"),
    ],
)
def test_errors(make, x, y, match):
    with pytest.raises(ValueError, match=match):
        make().fit(x, y)


def test_patience_and_samples_without_weight():
    """These are not there, neither to train nor to validate with."""
    x, y = TWO
    weight = np.arange(30) % 3 > 0
    options = {"steps": 3, "batch_size": 4, "patience": 3, "random_state": 0}
    by_weight = qs.VQC(**options).fit(x, y, weight)
    np.testing.assert_array_equal(by_weight.weights_, qs.VQC(**options).fit(x[weight], y[weight]).weights_)
    with pytest.raises(ValueError, match="of the 4 samples apart, but"):
        qs.VQC(**options).fit(x, y, np.arange(30) < 4)


@pytest.mark.parametrize("optimizer", [optax.adam, object()])
def test_what_is_no_optimizer(optimizer):
    match = '`optimizer` must be an optax transformation.* optimizer="COBYLA", options={"maxiter": 60}, but is'
    with pytest.raises(TypeError, match=match):
        qs.VQC(optimizer=optimizer).fit(*TWO)


def test_what_is_no_circuit():
    with pytest.raises(TypeError, match="`ansatz` must be a QuantumCircuit, but is a str"):
        qs.VQC(ansatz="real_amplitudes").fit(*TWO)


def test_what_is_no_network():
    with pytest.raises(TypeError, match="`neural_network` must be what qmljax.estimator_qnn or qmljax.sampler_qnn"):
        qs.NeuralNetworkClassifier(lambda w, x: x).fit(*TWO)
