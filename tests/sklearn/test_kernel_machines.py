"""What kernel machines are given besides points. Oracles: scikit-learn's own on the rows and matrices concerned."""

import functools
import pickle

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import z_feature_map
from qiskit.quantum_info import Statevector
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.preprocessing import minmax_scale
from sklearn.svm import SVC, SVR

import qmljax as qj
from qmljax import sklearn as qs


def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The fidelities of RY states by their closed form: a product of cos((x - y) / 2)**2 over the features."""
    return np.prod(np.cos((x[:, None] - y[None]) / 2) ** 2, axis=2)


def rotations(d: int = 2, weights: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(d)
    for q, (x, w) in enumerate(zip(ParameterVector("x", d), ParameterVector("w", d), strict=True)):
        circuit.ry(w * x if weights else x, q)
    return circuit


KERNEL = qj.fidelity_kernel(rotations())
TRAINABLE = qj.fidelity_kernel(rotations(weights=True), weights=["w[0]", "w[1]"])


def three_classes(n: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 2, (n, 2)), np.array(["a", "b", "c"])[np.arange(n) % 3], rng.integers(0, 3, n).astype(float)


# Weights of samples and of classes.


@pytest.mark.parametrize("present", ["abc", "ab"])
def test_a_weight_of_zero_is_a_row_that_is_not_there(present):
    x, y, weight = three_classes()
    weight[~np.isin(y, list(present))] = 0
    rows = np.flatnonzero(weight)
    ours = qs.QSVC(quantum_kernel=KERNEL).fit(x, y, weight)
    theirs = SVC(kernel="precomputed").fit(exact(x[rows], x[rows]), y[rows], weight[rows])
    new = np.random.default_rng(1).uniform(0, 2, (9, 2))
    for points in (new, x):
        expected = theirs.decision_function(exact(points, x[rows]))
        np.testing.assert_allclose(ours.decision_function(points), expected, atol=1e-9)
        assert (ours.predict(points) == theirs.predict(exact(points, x[rows]))).all()
    np.testing.assert_array_equal(ours.support_, rows[theirs.support_])
    assert ours.classes_.tolist() == list(present) and ours.kernel_matrix_.shape == (30, 30)
    target = x[:, 0] - x[:, 1]
    ours = qs.QSVR(quantum_kernel=KERNEL).fit(x, target, weight)
    theirs = SVR(kernel="precomputed").fit(exact(x[rows], x[rows]), target[rows], weight[rows])
    np.testing.assert_allclose(ours.predict(new), theirs.predict(exact(new, x[rows])), atol=1e-9)
    np.testing.assert_array_equal(ours.support_, rows[theirs.support_])


def test_pegasos_counts_weights_as_repetitions():
    """2 is a row twice, 0 is no row: the optimum is that of the repeated rows, and the classes are theirs."""
    x, y, weight = three_classes()
    weight[y == "c"] = 0
    repeated = np.repeat(np.arange(30), weight.astype(int))
    whole = qs.PegasosQSVC(quantum_kernel=KERNEL, num_steps=20_000, random_state=0).fit(x, y, weight)
    parts = qs.PegasosQSVC(quantum_kernel=KERNEL, num_steps=20_000, random_state=1).fit(x[repeated], y[repeated])
    assert whole.classes_.tolist() == ["a", "b"] and not whole.dual_coef_[:, weight == 0].any()
    np.testing.assert_allclose(whole.decision_function(x), parts.decision_function(x), atol=0.05)
    kept = np.flatnonzero(weight)
    alone = qs.PegasosQSVC(quantum_kernel=KERNEL, num_steps=500, random_state=0).fit(x[kept], y[kept], weight[kept])
    whole = clone(alone).fit(x, y, weight)
    np.testing.assert_allclose(whole.dual_coef_[:, kept], alone.dual_coef_, atol=1e-9)


def test_bagging_is_as_good_as_one_machine():
    x, y = load_iris(return_X_y=True)
    x = minmax_scale(x)
    ours = BaggingClassifier(qs.QSVC(quantum_kernel=qj.fidelity_kernel(rotations(4))), random_state=0).fit(x, y)
    gram = exact(x, x)
    assert ours.score(x, y) > SVC(kernel="precomputed").fit(gram, y).score(gram, y) - 0.03


MACHINES = [qs.QSVC(quantum_kernel=KERNEL), qs.PegasosQSVC(quantum_kernel=KERNEL), qs.QSVR(quantum_kernel=KERNEL)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "weight, match",
    [
        (np.zeros(30), "at least one non-zero|0 for all"),
        (-np.ones(30), "Negative values"),
        (np.full(30, np.nan), "NaN"),
    ],
)
def test_weights_that_are_none(machine, weight, match):
    x, y, _ = three_classes()
    with pytest.raises(ValueError, match=match):
        clone(machine).fit(x, np.arange(30) if isinstance(machine, qs.QSVR) else y, weight)


def test_one_class_has_weight():
    x, y, _ = three_classes()
    for machine in MACHINES[:2]:
        with pytest.raises(ValueError, match="at least two classes"):
            clone(machine).fit(x, y, y == "a")


@pytest.mark.parametrize("given", ["balanced", {"a": 3.0, "b": 0.5, "c": 1.0}])
def test_weights_of_classes(given):
    x, y, _ = three_classes()
    x, y = x[6:], np.where(np.arange(24) < 12, "a", y[6:])
    counts = {label: (y == label).sum() for label in "abc"}
    factors = {label: 24 / (3 * n) for label, n in counts.items()} if given == "balanced" else given
    weight = np.array([factors[label] for label in y])
    for kind in (qs.QSVC, qs.PegasosQSVC):
        machine = kind(quantum_kernel=KERNEL, random_state=0)
        ours = clone(machine).set_params(class_weight=given).fit(x, y)
        np.testing.assert_allclose(
            ours.decision_function(x), clone(machine).fit(x, y, weight).decision_function(x), atol=1e-9
        )
    with pytest.raises(ValueError, match="class_weight"):
        qs.PegasosQSVC(class_weight={"a": -1.0, "b": 1, "c": 1}).fit(x, y)


# Kernels.


def test_repair_of_the_training_matrix():
    """Where a kernel has noise, the machine is that of scikit-learn on the repaired matrix."""
    x, y, weight = three_classes()
    noise = np.random.default_rng(2).normal(scale=0.3, size=(30, 30))

    def noisy(a, b=None):
        return exact(a, a) + noise + noise.T if b is None else exact(a, b)

    raw = noisy(x)
    values, vectors = np.linalg.eigh(raw)
    assert values[0] < -0.5
    clipped = vectors @ np.diag(np.maximum(values, 0)) @ vectors.T
    expected = {"clip": clipped, "shift": raw - values[0] * np.eye(30)}
    expected[functools.partial(qj.gram.shrink, amount=0.5)] = (raw + np.eye(30)) / 2
    for repair, matrix in expected.items():
        ours = qs.QSVC(quantum_kernel=noisy, repair=repair).fit(x, y)
        np.testing.assert_allclose(ours.kernel_matrix_, matrix, atol=1e-10)
        theirs = SVC(kernel="precomputed").fit(matrix, y)
        np.testing.assert_allclose(ours.decision_function(x), theirs.decision_function(exact(x, x)), atol=1e-6)
    rows = np.flatnonzero(weight)  # without weight, a row does not matter to the repair of others
    part = qs.QSVC(quantum_kernel=noisy, repair="shift").fit(x, y, weight).kernel_matrix_[np.ix_(rows, rows)]
    assert abs(np.linalg.eigvalsh(part)[0]) < 1e-10
    for wrong, match in (("clipp", "`repair` must be one of 'clip', 'shift'"), (lambda m: m[1:], "must return a mat")):
        with pytest.raises(ValueError, match=match):
            qs.QSVC(quantum_kernel=noisy, repair=wrong).fit(x, y)


class Evaluates:
    """The interface of Qiskit Machine Learning's kernels."""

    def evaluate(self, x_vec, y_vec=None):
        return exact(x_vec, x_vec if y_vec is None else y_vec)


def test_kernels_of_qiskit_machine_learning():
    x, y, _ = three_classes()
    for kind in (qs.QSVC, qs.PegasosQSVC):
        ours = kind(quantum_kernel=Evaluates(), random_state=0).fit(x, y)
        same = kind(quantum_kernel=KERNEL, random_state=0).fit(x, y)
        np.testing.assert_allclose(ours.decision_function(x), same.decision_function(x), atol=1e-9)
    np.testing.assert_allclose(qs.QuantumGPKernel(Evaluates())(x), exact(x, x))
    with pytest.raises(TypeError, match="`kernel_weights` are of kernels of qmljax, but the kernel is a Evaluates"):
        qs.QSVC(quantum_kernel=Evaluates(), kernel_weights=[1.0]).fit(x, y)


@pytest.mark.parametrize(
    "given, error, match",
    [
        ({"quantum_kernel": "precomputed"}, TypeError, r"use sklearn.svm.SVC\(kernel='precomputed'\)"),
        ({"quantum_kernel": 3}, TypeError, "`quantum_kernel` must be what qmljax.fidelity_kernel or"),
        ({"quantum_kernel": TRAINABLE}, ValueError, r"`kernel_weights` must have shape \(2,\), one for each of w"),
        ({"quantum_kernel": TRAINABLE, "kernel_weights": [1.0]}, ValueError, r"but have shape \(1,\)"),
        ({"quantum_kernel": TRAINABLE, "kernel_weights": ["a", "b"]}, ValueError, "must be finite real numbers"),
        ({"quantum_kernel": TRAINABLE, "kernel_weights": [1.0, np.nan]}, ValueError, "must be finite real numbers"),
        ({"quantum_kernel": KERNEL, "kernel_weights": [1.0]}, ValueError, "the kernel has none: leave them out"),
        ({"quantum_kernel": qj.fidelity_kernel(rotations(3))}, ValueError, "with 3 features, but X has 2 features"),
        ({"quantum_kernel": lambda a, b=None: exact(a, a)[:2]}, ValueError, r"a matrix of shape \(30, 30\)"),
        ({"quantum_kernel": lambda a, b=None: exact(a, a) / (a[:, :1] > 0.1)}, ValueError, "or infinity for row"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero|invalid value")
def test_kernels_that_are_none(given, error, match):
    x, y, _ = three_classes()
    x[7, 0] = 0.05
    for kind in (qs.QSVC, qs.PegasosQSVC):
        with pytest.raises(error, match=match):
            kind(**given).fit(x, y)


@pytest.mark.parametrize(("kind", "option"), [(qs.QSVC, {"C": True}), (qs.QSVR, {"epsilon": False})])
def test_flags_are_no_numbers(kind, option):
    with pytest.raises(ValueError, match="must be a number"):
        kind(quantum_kernel=KERNEL, **option).fit(three_classes()[0], np.arange(30) % 2)


# After `fit`.


def test_what_is_set_after_fit_waits_for_the_next_fit():
    x, y, _ = three_classes()
    points = x.copy()
    for kind in (qs.QSVC, qs.PegasosQSVC):
        machine = kind(quantum_kernel=TRAINABLE, kernel_weights=[1.0, 1.0], random_state=0).fit(points, y)
        before = machine.decision_function(x)
        points *= 0  # the machine has its own
        machine.set_params(quantum_kernel=qj.fidelity_kernel(z_feature_map(2)), kernel_weights=None)
        np.testing.assert_array_equal(machine.decision_function(x), before)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(machine)).decision_function(x), before)
        points[:] = x
        assert abs(machine.fit(x, y).decision_function(x) - before).max() > 1e-3


@pytest.mark.parametrize("machine", MACHINES[:2])
def test_probabilities_by_calibration(machine):
    x, y, _ = three_classes()
    model = CalibratedClassifierCV(clone(machine), ensemble=False, cv=3).fit(x, y)
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1)
    with pytest.raises(AttributeError, match=r"use sklearn.calibration.CalibratedClassifierCV\(.*, ensemble=False\)"):
        machine.predict_proba(x)
    with pytest.raises(AttributeError, match=r"use sklearn.calibration.CalibratedClassifierCV\(.*, ensemble=False\)"):
        machine.predict_log_proba(x)


def test_sparse_points():
    x, y, _ = three_classes()
    for estimator in (qs.PegasosQSVC(quantum_kernel=KERNEL, random_state=0), qs.QSVC(quantum_kernel=KERNEL)):
        values = clone(estimator).fit(x, y).decision_function(x)
        np.testing.assert_allclose(clone(estimator).fit(csr_array(x), y).decision_function(csr_array(x)), values)
    features = qs.QuantumFeatureMap(rotations())
    np.testing.assert_allclose(features.fit(csr_array(x)).transform(csr_array(x)), features.fit(x).transform(x))


# Feature maps and Gaussian processes.


def test_feature_maps_with_weights():
    x = three_classes()[0][:4]
    options = {"weights": ["w[0]", "w[1]"], "kernel_weights": [0.5, 2.0]}
    circuit = rotations(weights=True)
    states = [Statevector(circuit.assign_parameters([0.5, 2.0, *row])) for row in x]  # sorted: w, then x
    amplitudes = np.array([np.concatenate([s.data.real, s.data.imag]) for s in states])
    features = qs.QuantumFeatureMap(circuit, output="state", **options).fit(x)
    np.testing.assert_allclose(features.transform(x), amplitudes, atol=1e-9)
    features = qs.QuantumFeatureMap(circuit, observables=["IZ", "ZI"], **options).fit(x)
    features.set_params(output="state", kernel_weights=[0.0, 0.0])  # waits for the next fit
    np.testing.assert_allclose(features.transform(x), np.cos(x * [0.5, 2.0]), atol=1e-9)
    with pytest.raises(ValueError, match=r"`kernel_weights` must have shape \(2,\)"):
        qs.QuantumFeatureMap(circuit, weights=["w[0]", "w[1]"]).fit(x)
    with pytest.raises(ValueError, match="`feature_map` is of points with 3 features, but X has 2"):
        qs.QuantumFeatureMap(rotations(3)).fit(x)


def test_the_diagonal_of_many_points_needs_no_matrix():
    x = np.random.default_rng(0).normal(size=(37, 2))
    seen = []

    def linear(a, b=None):
        seen.append(len(a))
        return a @ (a if b is None else b).T

    np.testing.assert_allclose(qs.QuantumGPKernel(linear).diag(x), (x**2).sum(axis=1))
    assert sum(n * n for n in seen) < 37**2
