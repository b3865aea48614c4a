"""Files of models. Oracle: the model that was saved."""

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate, real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp, random_unitary
from safetensors.numpy import load_file, save_file

import qmljax as qj
from qmljax.circuits import raw_feature_vector

X, W = ParameterVector("x", 2), ParameterVector("w", 3)


def expressive() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 2)
    circuit.ry((X[0] * W[0]).sin(), 0)
    circuit.cp(X[1] + 2 * W[1], 0, 2)
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [1, 2])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZI"]), W[2]), [0, 1])
    circuit.measure([2, 0], [0, 1])
    return circuit


def twice() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 3)
    circuit.ry(X[0], 0)
    circuit.crx(X[1], 0, 1)
    circuit.measure([1, 0, 1], [0, 1, 2])  # qubit 1 twice
    return circuit


def amplitudes() -> QuantumCircuit:
    return raw_feature_vector(4).compose(real_amplitudes(2, reps=1))


ZZ = zz_feature_map(2)
MODELS = {
    "estimator": lambda: qj.estimator_qnn(expressive(), inputs=X),
    "observables": lambda: qj.estimator_qnn(
        expressive(), ["ZIX", {"0+r": 0.5, "III": 2.0}, SparsePauliOp(["XYZ"], [-1.5])], inputs=X[::-1], memory=10**6
    ),
    "sampler": lambda: qj.sampler_qnn(expressive(), inputs=X, weights=[W[2], W[0], W[1]]),
    "parity": lambda: qj.sampler_qnn(expressive(), inputs=X, interpret=lambda k: k.bit_count() % 2),
    "two axes": lambda: qj.sampler_qnn(
        expressive(), inputs=[], interpret=lambda k: (k % 2, k // 3), output_shape=(2, 3)
    ),
    "twice": lambda: qj.sampler_qnn(twice(), inputs=X, interpret=lambda k: k // 3),
    "library": lambda: qj.estimator_qnn(ZZ.compose(real_amplitudes(2)), inputs=ZZ.parameters),
    "amplitudes": lambda: qj.estimator_qnn(amplitudes(), "ZX", inputs=raw_feature_vector(4).parameters),
    "no parameters": lambda: qj.sampler_qnn(QuantumCircuit(1), inputs=[]),
    "qasm": lambda: qj.estimator_qnn(qasm3.dumps(real_amplitudes(2).decompose()), inputs=[]),
}


@pytest.mark.parametrize("name", MODELS)
def test_round_trip(name, tmp_path):
    model, rng = MODELS[name](), np.random.default_rng(0)
    weights = rng.uniform(-1, 1, model.num_weights).astype("float32")
    x = rng.uniform(0, 1, (4, model.num_inputs)).astype("float32")
    qj.save(tmp_path / "model", model, weights)
    again, read = qj.load(tmp_path / "model")
    assert again == model and hash(again) == hash(model) and type(again) is type(model)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, weights)
    np.testing.assert_array_equal(again(read, x), model(weights, x))


@pytest.mark.parametrize("interpret", [None, lambda k: k // 3])
def test_a_model_on_a_backend_where_a_qubit_is_measured_twice(interpret, tmp_path):
    backend = SimpleNamespace(probabilities=qj.probabilities)
    there = qj.sampler_qnn(twice(), inputs=X, interpret=interpret, backend=backend)
    here = qj.sampler_qnn(twice(), inputs=X, interpret=interpret)
    x, w = np.array([[0.3, 1.2], [2.0, -0.4]], np.float32), np.zeros(0, np.float32)
    qj.save(tmp_path / "model", there, w)
    assert qj.load(tmp_path / "model")[0] == here
    for model in (there, qj.load(tmp_path / "model", backend=backend)[0]):
        np.testing.assert_allclose(model(w, x), here(w, x), atol=1e-6)


def test_a_model_keeps_the_circuit_it_was_built_from(tmp_path):
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    model = qj.estimator_qnn(circuit, inputs=[])
    circuit.x(0)
    qj.save(tmp_path / "model", model, [0.3])
    np.testing.assert_allclose(qj.load(tmp_path / "model")[0]([0.3], np.zeros(0)), np.cos(0.3), rtol=1e-6)


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "model"
    model = MODELS["library"]()
    with pytest.raises(ValueError, match=r"`weights` must have shape \(8,\), but have shape \(7,\)"):
        qj.save(path, model, np.zeros(7))
    with pytest.raises(TypeError, match="`model` must be a QNN .* but is a Expectation"):
        qj.save(path, qj.expectation(ZZ, "ZZ"), np.zeros(2))
    of_program = qj.estimator_qnn(qj.parse(ZZ), inputs=[])
    with pytest.raises(ValueError, match="built from a Program has no circuit to save"):
        qj.save(path, of_program, np.zeros(2))
    assert not list(tmp_path.iterdir())


def test_foreign_files(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        qj.load(path)
    path.write_bytes(b"PK\x03\x04 a pickle or a zip file")
    with pytest.raises(ValueError, match="truncated, or no file of qmljax"):
        qj.load(path)
    save_file({"weights": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="was not written by qmljax"):
        qj.load(path)
    qj.save(path, MODELS["library"](), np.zeros(8))
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="truncated, or no file of qmljax"):
            qj.load(path)
    save_file(load_file_of(whole, tmp_path), path, {"format": "qmljax", "version": "99", "kind": "model"})
    with pytest.raises(ValueError, match="has version 99 of the format, but this qmljax reads up to version 1"):
        qj.load(path)


def load_file_of(content: bytes, folder) -> dict:
    (folder / "copy").write_bytes(content)
    return load_file(folder / "copy")
