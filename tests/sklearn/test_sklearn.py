"""scikit-learn estimators. Oracles: scikit-learn's own on the same kernel matrix, and its checks of estimators."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import z_feature_map, zz_feature_map
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC, SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

import qmljax as qj
from qmljax import sklearn as qs
from qmljax._models.kernels import overlaps
from qmljax.sklearn import _matrices as kept


def points(n: int = 24, d: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (n, d))


def expected_failures(estimator) -> dict[str, str]:
    """The check has 30 features, so 30 qubits of the default map. (scikit-learn's own SVC and SVR fail it, too.)"""
    if isinstance(estimator, qs.QuantumFeatureMap):
        return {}
    kinds = ("dense", "sparse")
    return {f"check_sample_weight_equivalence_on_{kind}_data": "30 qubits" for kind in kinds}


@parametrize_with_checks(
    [qs.QSVC(), qs.QSVR(), qs.PegasosQSVC(num_steps=300), qs.QuantumFeatureMap(), qs.QuantumFeatureMap(output="state")],
    expected_failed_checks=expected_failures,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_svms_are_those_of_scikit_learn_on_the_same_matrix():
    x, new = points(), points(7, seed=1)
    kernel = qj.fidelity_kernel(zz_feature_map(2))
    with jax.enable_x64(True):
        gram, cross = np.asarray(kernel(x)), np.asarray(kernel(new, x))
    labels = np.array(["a", "b", "c"])[np.arange(24) % 3]
    weights = np.random.default_rng(2).uniform(0.5, 2, 24)
    ours = qs.QSVC(quantum_kernel=kernel, C=3.0).fit(x, labels, sample_weight=weights)
    theirs = SVC(kernel="precomputed", C=3.0).fit(gram, labels, sample_weight=weights)
    np.testing.assert_allclose(ours.decision_function(new), theirs.decision_function(cross), rtol=1e-6)
    assert (ours.predict(new) == theirs.predict(cross)).all()
    np.testing.assert_array_equal(ours.kernel_matrix_, gram)
    target = np.sin(3 * x[:, 0])
    ours, theirs = qs.QSVR(quantum_kernel=kernel).fit(x, target), SVR(kernel="precomputed").fit(gram, target)
    np.testing.assert_allclose(ours.predict(new), theirs.predict(cross), rtol=1e-6)
    np.testing.assert_allclose(ours.predict(csr_array(new)), ours.predict(new))


def test_a_grid_search_evaluates_each_matrix_once(monkeypatch):
    calls = []
    original = overlaps.FidelityKernel.__call__

    def counted(self, *args, **kwargs):
        calls.append(len(args[0]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(overlaps.FidelityKernel, "__call__", counted)
    x, y = points(30, seed=5), np.arange(30) % 2
    search = GridSearchCV(qs.QSVC(), {"C": [0.1, 1.0, 10.0, 100.0]}, cv=3, refit=False).fit(x, y)
    assert len(calls) == 6  # for each fold, training and test points
    kernels = [qj.fidelity_kernel(zz_feature_map(2, reps=r)) for r in (1, 2)]
    GridSearchCV(search.estimator, {"quantum_kernel": kernels, "C": [1.0, 2.0]}, cv=3, refit=False).fit(x, y)
    assert len(calls) == 12  # two repetitions are the default, whose matrices are there


def test_a_grid_search_over_kernel_weights_compiles_once(monkeypatch):
    traces = []
    original = overlaps.FidelityKernel._trace

    def counted(self, *args):
        traces.append(self)
        return original(self, *args)

    monkeypatch.setattr(overlaps.FidelityKernel, "_trace", counted)
    w = ParameterVector("turn", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.rx(w[q], q)
    kernel = qj.fidelity_kernel(circuit.compose(zz_feature_map(2)), weights=w)
    x, y = points(30, seed=5), np.arange(30) % 2
    settings = {"kernel_weights": [np.full(2, k / 10) for k in range(30)], "C": [1.0, 10.0]}
    GridSearchCV(qs.QSVC(quantum_kernel=kernel), settings, cv=3, refit=False).fit(x, y)
    assert len(traces) == 2  # for the shapes of training and of test matrices, once called often


def test_clones_pickles_and_pipelines():
    x, y = points(), np.arange(24) % 2
    model = make_pipeline(MinMaxScaler((0, np.pi)), qs.QSVC(quantum_kernel=qj.projected_kernel(zz_feature_map(2))))
    model.fit(x, y)
    copy = pickle.loads(pickle.dumps(model))
    assert (copy.predict(x) == model.predict(x)).all()
    assert (clone(model).fit(x, y).predict(x) == model.predict(x)).all()


def test_kernels_that_change_and_copies():
    x, y = points(), np.arange(24) % 2
    scaled = qj.fidelity_kernel(zz_feature_map(2))

    class Changing:
        scale = 1.0

        def __call__(self, x, y=None):
            return scaled(self.scale * x, None if y is None else self.scale * y)

    kernel = Changing()
    first = qs.QSVC(quantum_kernel=kernel).fit(x, y).kernel_matrix_
    kernel.scale = 0.3
    assert not np.allclose(qs.QSVC(quantum_kernel=kernel).fit(x, y).kernel_matrix_, first)
    original = qs.QSVC()
    other = copy.copy(original).set_params(quantum_kernel=qj.projected_kernel(zz_feature_map(2))).fit(x, y)
    assert not hasattr(original, "kernel_matrix_") and not np.allclose(other.kernel_matrix_, first)


def test_pegasos_with_a_precomputed_kernel_is_cross_validated():
    x, y = points(), np.arange(24) % 2
    with jax.enable_x64(True):
        matrix = np.asarray(qj.fidelity_kernel(zz_feature_map(2))(x))
    assert (
        len(cross_val_score(qs.PegasosQSVC(precomputed=True, num_steps=50), matrix, y, cv=3, error_score="raise")) == 3
    )


def test_trainable_kernels():
    w, v = ParameterVector("w", 2), ParameterVector("v", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(v[q] * w[q], q)
    circuit.cx(0, 1)
    kernel = qj.fidelity_kernel(circuit, weights=w)
    x, y = points(), (points()[:, 0] > 0.5).astype(int)
    for estimator in (qs.QSVC, qs.PegasosQSVC):
        narrow = estimator(quantum_kernel=kernel, kernel_weights=[6.0, 0.0]).fit(x, y)
        blind = estimator(quantum_kernel=kernel, kernel_weights=[0.0, 0.0]).fit(x, y)
        assert narrow.score(x, y) > 0.85 > blind.score(x, y)
        np.testing.assert_allclose(blind.kernel_matrix_, 1)


@pytest.mark.parametrize("bias", [False, True])
def test_pegasos_comes_near_the_optimum(bias):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = np.where(x[:, 0] * x[:, 1] + 0.2 * rng.normal(size=60) > 0, "yes", "no")
    kernel = qj.fidelity_kernel(z_feature_map(2, reps=1))
    with jax.enable_x64(True):
        gram = np.asarray(kernel(x)) + bias
    model = qs.PegasosQSVC(quantum_kernel=kernel, C=1.0, num_steps=60_000, bias=bias, random_state=0).fit(x, y)
    signs = np.where(y == "yes", 1, -1)

    def risk(b):
        return b @ gram @ b / 2 + np.maximum(0, 1 - signs * (gram @ b)).sum()

    # scikit-learn's offset costs nothing, that of a constant feature does: compare with a minimiser on this risk.
    from scipy.optimize import minimize

    alphas = minimize(
        lambda a: (0.5 * (a * signs) @ gram @ (a * signs) - a.sum(), signs * (gram @ (a * signs)) - 1),
        np.zeros(60),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 1)] * 60,
    ).x
    assert risk(model.dual_coef_[0]) < 1.02 * risk(alphas * signs)
    given = qs.PegasosQSVC(C=1.0, num_steps=60_000, bias=bias, precomputed=True, random_state=0)
    np.testing.assert_allclose(given.fit(gram - bias, y).dual_coef_, model.dual_coef_)
    assert (given.predict(gram - bias) == model.predict(x)).all()


def test_the_default_map_has_few_qubits():
    with pytest.raises(ValueError, match="at most 12, but the points have 13 features"):
        qs.QSVC().fit(points(6, 13), [0, 1] * 3)


def test_pegasos_refuses():
    x, y = points(4), [0, 1, 0, 1]
    with pytest.raises(ValueError, match="`C` must be a finite number above 0"):
        qs.PegasosQSVC(C=0).fit(x, y)
    with pytest.raises(ValueError, match="square"):
        qs.PegasosQSVC(precomputed=True).fit(x, y)


def test_feature_maps():
    x = points(5)
    circuit = zz_feature_map(2)
    paulis = qs.QuantumFeatureMap(circuit, observables=["XX", "ZI"]).fit(x).transform(x)
    with jax.enable_x64(True):  # as the transformer computes
        values, psi = np.asarray(qj.expectation(circuit, ["XX", "ZI"])(x)), np.asarray(qj.statevector(circuit)(x))
    np.testing.assert_allclose(paulis, values, atol=1e-6)
    states = qs.QuantumFeatureMap(circuit, output="state")
    np.testing.assert_allclose(states.fit_transform(x), np.concatenate([psi.real, psi.imag], axis=1), atol=1e-6)
    assert states.get_feature_names_out().tolist() == [f"quantumfeaturemap{k}" for k in range(8)]
    y = (x[:, 0] > x[:, 1]).astype(int)
    make_pipeline(qs.QuantumFeatureMap(), LogisticRegression()).fit(x, y).predict(x)
    with pytest.raises(ValueError, match="`output` must be"):
        qs.QuantumFeatureMap(output="paulix").fit(x)


def test_estimators_that_take_a_precomputed_kernel():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 15)
    x = rng.normal(scale=0.2, size=(30, 2)) + np.array([[0.5, 0.5], [2.0, 2.0]])[y]
    gram = kept.kernel_matrix(qj.fidelity_kernel(z_feature_map(2, reps=1)), x)
    found = SpectralClustering(2, affinity="precomputed", random_state=0).fit_predict(gram)
    assert adjusted_rand_score(y, found) > 0.9
    centred = np.asarray(qj.gram.centre(gram), float)
    values = KernelPCA(2, kernel="precomputed").fit(gram).eigenvalues_
    np.testing.assert_allclose(values, np.linalg.eigvalsh(centred)[::-1][:2], rtol=1e-4)
    assert KernelRidge(kernel="precomputed").fit(gram, x[:, 0]).score(gram, x[:, 0]) > 0.8


def test_gaussian_processes():
    x = np.linspace(0, 1, 20)[:, None] * np.ones(2)
    target = np.sin(4 * x[:, 0])
    kernel = ConstantKernel() * qs.QuantumGPKernel(qj.fidelity_kernel(z_feature_map(2, reps=1))) + WhiteKernel(
        1e-3, "fixed"
    )
    process = GaussianProcessRegressor(kernel, random_state=0).fit(x, target)
    mean, deviation = process.predict(x, return_std=True)
    assert abs(mean - target).max() < 0.1 and (deviation > 0).all()
    assert not kernel.is_stationary()
    np.testing.assert_allclose(qs.QuantumGPKernel().diag(x), 1)


def test_kernel_matrices_are_kept_within_limits(monkeypatch):
    monkeypatch.setattr(kept, "KEPT", 3 * 8 * 100)
    kept._matrices.clear()
    kernel = qj.fidelity_kernel(zz_feature_map(2))
    first = kept.kernel_matrix(kernel, points(10))
    assert kept.kernel_matrix(kernel, points(10)) is first
    assert not first.flags.writeable
    for seed in range(1, 6):
        kept.kernel_matrix(kernel, points(10, seed=seed))
    assert len(kept._matrices) == 3
    again = kept.kernel_matrix(kernel, points(10))
    assert again is not first
    np.testing.assert_array_equal(again, first)
    other = kept.kernel_matrix(kernel, points(10), points(10))
    np.testing.assert_allclose(other, first, atol=1e-6)
    assert isinstance(jnp.asarray(other), jnp.ndarray)
