"""Files of kernel machines. Oracle: the estimator that was saved."""

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from sklearn.gaussian_process.kernels import RBF

import qmljax as qj
import qmljax.sklearn as qs
from qmljax import _files

RNG = np.random.default_rng(0)
X, TEST = RNG.uniform(0, 1, (15, 2)), RNG.uniform(0, 1, (7, 2))
TWO, THREE = np.array(["no", "yes"])[np.arange(15) % 2], np.arange(15) % 3
MAP = zz_feature_map(2, reps=1)
KERNEL = qj.projected_kernel(MAP.compose(MAP), gamma=0.7)
TRAINED = qj.fidelity_kernel(MAP, weights=["x[1]"])
KIND = "scikit-learn estimator"

MACHINES = {
    "QSVC": (qs.QSVC(), X, TWO, TEST),
    "QSVC, options": (qs.QSVC(quantum_kernel=KERNEL, C=3.0, class_weight="balanced", repair="clip"), X, THREE, TEST),
    "QSVC, weights": (qs.QSVC(quantum_kernel=TRAINED, kernel_weights=[0.4]), X[:, :1], TWO, TEST[:, :1]),
    "QSVC, float32": (qs.QSVC(), X.astype(np.float32), TWO, TEST.astype(np.float32)),
    "QSVR": (qs.QSVR(quantum_kernel=KERNEL, epsilon=0.01), X, X.sum(axis=1), TEST),
    "PegasosQSVC": (qs.PegasosQSVC(num_steps=50), X, TWO, TEST),
    "PegasosQSVC, options": (qs.PegasosQSVC(quantum_kernel=KERNEL, bias=False, random_state=1), X, THREE, TEST),
    "PegasosQSVC, precomputed": (qs.PegasosQSVC(precomputed=True), RBF()(X), THREE, RBF()(TEST, X)),
}


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_loaded_machine_predicts_the_same(name, weighted, tmp_path):
    machine, x, y, test = MACHINES[name]
    weights = {"sample_weight": np.arange(15) % 4} if weighted else {}
    machine.fit(x, y, **weights).save(tmp_path / "model")
    again = qs.load(tmp_path / "model")
    asked = "predict" if isinstance(machine, qs.QSVR) else "decision_function"
    np.testing.assert_array_equal(getattr(again, asked)(test), getattr(machine, asked)(test))
    np.testing.assert_array_equal(again.predict(test), machine.predict(test))
    np.testing.assert_array_equal(again.kernel_matrix_, machine.kernel_matrix_)
    if not isinstance(machine, qs.QSVR):
        assert again.classes_.dtype == machine.classes_.dtype
    if not isinstance(machine, qs.PegasosQSVC):
        np.testing.assert_array_equal(again.support_, machine.support_)
    settings = {k: v for k, v in machine.get_params(deep=False).items() if k != "random_state"}
    assert {k: v for k, v in again.get_params(deep=False).items() if k != "random_state"} == settings
    again.fit(x, y)


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="`quantum_kernel` must be .* to be saved, but is a RBF. Use pickle"):
        qs.QSVC(quantum_kernel=RBF()).fit(X, TWO).save(tmp_path / "model")
    with pytest.raises(ValueError, match="`C` must be as they were when the estimator was trained"):
        qs.QSVC().fit(X, TWO).set_params(C=2.0).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_backend_for_a_loaded_machine(tmp_path):
    qs.QSVC().fit(X, TWO).save(tmp_path / "model")
    on_shots = qs.load(tmp_path / "model", backend=qj.Shots(20_000, np.array([0, 7], np.uint32)))
    exact = qs.load(tmp_path / "model")
    difference = abs(on_shots.decision_function(TEST) - exact.decision_function(TEST))
    assert 0 < difference.max() < 0.2  # coefficients of about 1, standard errors below 0.0036


EDITS = {
    "no kernel": lambda header, about, arrays: header.update(model=None),
    "other points": lambda header, about, arrays: arrays.update(x=arrays["x"][:, :1]),
    "fewer points": lambda header, about, arrays: arrays.update(x=arrays["x"][1:]),
    "no number": lambda header, about, arrays: arrays.update(matrix=arrays["matrix"] * np.nan),
    "another class": lambda header, about, arrays: arrays.update(targets=arrays["targets"] + 2),
    "a class below": lambda header, about, arrays: arrays.update(targets=arrays["targets"] - 1),
    "no classes": lambda header, about, arrays: about.pop("classes"),
    "another name": lambda header, about, arrays: about.update({"class": "VQC"}),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_refused(name, tmp_path):
    """With a right checksum."""
    path = tmp_path / "model"
    qs.QSVC().fit(X, TWO).save(path)
    header, arrays = _files.read(path, KIND)
    EDITS[name](header, header["estimator"], arrays)
    _files.write(path, KIND, header, arrays)
    with pytest.raises(ValueError, match="model' is damaged, or was not written by qmljax"):
        qs.load(path)


@pytest.mark.parametrize("classes", [[], ["no"], ["yes", "no"], ["no", "no"]])
def test_classes_that_are_none(classes, tmp_path):
    path = tmp_path / "model"
    qs.PegasosQSVC(num_steps=5).fit(X, TWO).save(path)
    header, arrays = _files.read(path, KIND)
    header["estimator"]["classes"] = classes
    _files.write(path, KIND, header, arrays)
    with pytest.raises(ValueError, match="model' is damaged, or was not written by qmljax"):
        qs.load(path)


def test_a_class_without_weight():
    with pytest.raises(ValueError, match="`class_weight` must be above 0 for each class of a support vector machine"):
        qs.QSVC(class_weight={0: 0.0, 1: 1.0}).fit(X, np.arange(15) % 2)
