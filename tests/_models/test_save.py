"""Files of models. Oracle: the model that was saved."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
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


def trainable() -> QuantumCircuit:
    circuit = QuantumCircuit(3)  # one qubit idle
    circuit.ry(X[0] * W[0], 0)
    circuit.crx(X[1] + W[1], 0, 2)
    return circuit


KERNELS = {
    "fidelity": lambda b: qj.fidelity_kernel(ZZ, backend=b),
    "with weights": lambda b: qj.fidelity_kernel(trainable(), weights=[W[1], W[0]], memory=10**6, backend=b),
    "duplicates": lambda b: qj.fidelity_kernel(ZZ, evaluate_duplicates="none" if b else "off_diagonal", backend=b),
    "progress": lambda b: qj.fidelity_kernel(ZZ, progress=True, backend=b),
    "amplitudes": lambda b: qj.fidelity_kernel(raw_feature_vector(4)) if b is None else qj.fidelity_kernel(ZZ),
    "local": lambda b: qj.fidelity_kernel(trainable(), weights=W[:2], local=True),
    "features in another order": lambda b: qj.fidelity_kernel(
        trainable(), weights=W[:2], inputs=[X[1], X[0]], backend=b
    ),
    "projected": lambda b: qj.projected_kernel(trainable(), weights=W[:2], gamma=0.3, backend=b),
    "linear": lambda b: qj.projected_kernel(trainable(), observables=["ZIX", {"0+r": 0.5}], gamma=None, weights=W[:2]),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name, tmp_path):
    kernel, rng = KERNELS[name](None), np.random.default_rng(0)
    weights = rng.uniform(-1, 1, kernel.num_weights).astype("float32")
    x = rng.uniform(0.1, 1, (3, kernel.num_features)).astype("float32")
    qj.save(tmp_path / "kernel", kernel, weights)
    again, read = qj.load(tmp_path / "kernel")
    assert again == kernel and hash(again) == hash(kernel) and type(again) is type(kernel)
    np.testing.assert_array_equal(again(x, weights=read), kernel(x, weights=weights))


def test_a_kernel_without_weights_needs_none(tmp_path):
    qj.save(tmp_path / "kernel", qj.fidelity_kernel(ZZ))
    kernel, weights = qj.load(tmp_path / "kernel")
    assert kernel == qj.fidelity_kernel(ZZ) and weights.shape == (0,)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(2,\), but have shape \(0,\)"):
        qj.save(tmp_path / "kernel", KERNELS["with weights"](None))


def test_the_projections_of_a_kernel(tmp_path):
    model = KERNELS["projected"](None).as_qnn()
    qj.save(tmp_path / "model", model, np.ones(2))
    assert qj.load(tmp_path / "model")[0] == model


class Nothing:
    """A backend that is equal to its like, and never runs."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nothing)

    def __hash__(self) -> int:
        return 0

    def __call__(self, *_: object) -> None:
        raise AssertionError

    def expectation(self, circuit: object, observables: object) -> "Nothing":
        return self

    probabilities = expectation

    def fidelity(self, circuit: object) -> "Nothing":
        return self


@pytest.mark.parametrize("name", [name for name in KERNELS if name not in ("local", "linear", "amplitudes")])
def test_a_kernel_on_a_backend_is_saved_without_it(name, tmp_path):
    here, there = KERNELS[name](None), KERNELS[name](Nothing())
    qj.save(tmp_path / "kernel", there, np.ones(there.num_weights))
    assert qj.load(tmp_path / "kernel")[0] == here != there
    assert qj.load(tmp_path / "kernel", backend=Nothing())[0] == there


@pytest.mark.parametrize("name", ["estimator", "sampler", "parity", "observables"])
def test_a_model_of_any_kind_is_loaded_onto_a_backend(name, tmp_path):
    model = MODELS[name]()
    qj.save(tmp_path / "model", model, np.ones(model.num_weights))
    on = qj.load(tmp_path / "model", backend=Nothing())[0]
    qj.save(tmp_path / "again", on, np.ones(model.num_weights))
    assert type(on) is not type(model) and qj.load(tmp_path / "again")[0] == model


def test_what_is_wrong_with_a_backend_is_said_of_the_backend(tmp_path):
    qj.save(tmp_path / "model", MODELS["estimator"](), np.ones(3))
    with pytest.raises(ValueError, match="^no estimator$"):
        qj.load(tmp_path / "model", backend=SimpleNamespace(expectation=raising(ValueError("no estimator"))))


def raising(error: Exception):
    def function(*_: object) -> None:
        raise error

    return function


def test_trees_of_weights(tmp_path):
    """A model as a part of something larger: structure, order, dtypes and shapes come back."""
    tree = {
        "quantum": jnp.arange(8, dtype="float32"),
        "dense": [{"kernel": np.ones((2, 3)), "bias": np.zeros(3, "float16")}, (np.int8([1, 2]), None, [])],
        "more": {3: jnp.asarray(0.5, "bfloat16"), 1: {}, 2: 2.5},
    }
    qj.save(tmp_path / "model", MODELS["library"](), tree)
    read = qj.load(tmp_path / "model")[1]
    assert jax.tree.structure(read) == jax.tree.structure(tree)
    assert list(read) == ["quantum", "dense", "more"] and list(read["dense"][0]) == ["kernel", "bias"]
    for a, b in zip(jax.tree.leaves(read), jax.tree.leaves(tree), strict=True):
        b = np.asarray(b)
        assert type(a) is np.ndarray and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def test_numbers_in_a_list_are_one_array(tmp_path):
    model = qj.estimator_qnn(real_amplitudes(1, reps=1), inputs=[])
    for weights in ([0.1, 0.2], (0.1, 2), [jnp.float32(0.1), jnp.float32(0.2)], np.array([1, 2])):
        qj.save(tmp_path / "model", model, weights)
        np.testing.assert_array_equal(qj.load(tmp_path / "model")[1], np.asarray(weights))


def result(weights: Any, shape: tuple[int, ...]) -> qj.FitResult:
    steps = np.full(shape[:-1], shape[-1])
    return qj.FitResult(weights, np.zeros(shape), None, np.arange(1), None, steps, "steps")


def test_what_fit_returns(tmp_path):
    model = qj.estimator_qnn(real_amplitudes(1, reps=1), inputs=[])
    for weights in (np.array([0.1, 0.2]), {"quantum": np.array([0.1, 0.2]), "bias": np.ones(())}):
        qj.save(tmp_path / "model", model, result(weights, (3,)))
        assert str(qj.load(tmp_path / "model")[1]) == str(weights)
    with pytest.raises(ValueError, match=r"have shape \(4, 2\). Of an ensemble, save one member"):
        qj.save(tmp_path / "model", model, result(np.zeros((4, 2)), (4, 3)))


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([0.1, np.nan], ValueError, r"`weights` must hold finite numbers, but is nan at \[1\]"),
        ([np.inf, 0.1], ValueError, "finite"),
        ({"a": [np.zeros((2, 2)), np.float32([[1, np.nan]])]}, ValueError, r"`weights`\['a'\]\[1\] must hold finite"),
        ([1j, 0], TypeError, "`weights` must hold real numbers, but has dtype complex128"),
        (np.array([True, False]), TypeError, "must hold real numbers, but has dtype bool"),
        (["a", "b"], TypeError, "must hold real numbers, but has dtype <U1"),
        (np.array([None, 1]), TypeError, "must hold real numbers, but has dtype object"),
        ({"a": object()}, TypeError, r"`weights`\['a'\] must be an array, .* but is a object"),
        ({"a": jax.random.key(0)}, TypeError, r"`weights`\['a'\] must be weights, but is a random key"),
        ({(1, 2): np.zeros(2)}, TypeError, "The keys of `weights` must be strings or integers"),
        ({"a": SimpleNamespace()}, TypeError, "is a SimpleNamespace"),
        (np.zeros((1, 2)), ValueError, "must have shape"),
    ],
)
def test_weights_that_are_not_saved(weights, error, message, tmp_path):
    with pytest.raises(error, match=message):
        qj.save(tmp_path / "model", qj.estimator_qnn(real_amplitudes(1, reps=1), inputs=[]), weights)
    assert not list(tmp_path.iterdir())


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


def test_what_is_no_weights_and_no_path(tmp_path):
    model = qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=[])
    with pytest.raises(ValueError, match="`weights` must be those of the model, 4 numbers, but are None"):
        qj.save(tmp_path / "model", model, None)
    with pytest.raises(ValueError, match="masked entries"):
        qj.save(tmp_path / "model", model, np.ma.array(np.ones(4), mask=[1, 0, 0, 0]))
    for path in (None, 7, f"{tmp_path}/model/"):
        with pytest.raises(TypeError, match="`path` must be the name of a file"):
            qj.save(path, model, np.ones(4))
    assert not list(tmp_path.iterdir())
