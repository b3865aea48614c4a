"""What calls and builders take, and how they refuse the rest. Oracle: the same call with plain arguments."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from circuits import rotations
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

import qmljax as qj
from qmljax.primitives import PrimitiveBackend

X, W, A = ParameterVector("x", 2), ParameterVector("w", 11), Parameter("a")


def model_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(X[0], 0), circuit.ry(X[1], 1), circuit.cx(0, 1)
    for k in range(11):  # w[10] stands before w[2] in no order but that of strings
        circuit.ry(W[k], k % 2), circuit.rz(W[k], 1 - k % 2)
    circuit.rx(A, 0)
    return circuit


CIRCUIT = model_circuit()
VALUES = np.linspace(-1, 1, 14, dtype=np.float32)  # a, w, x


# Parameters by name.


@pytest.mark.parametrize(
    "given",
    [
        {"a": VALUES[0], "w": VALUES[1:12], "x": VALUES[12:]},
        {X: VALUES[12:], W: VALUES[1:12].tolist(), A: float(VALUES[0])},
        {"x[1]": VALUES[13], A: VALUES[0], X[0]: VALUES[12], "w": VALUES[1:12]},
        {p.name: v for p, v in zip(CIRCUIT.parameters, VALUES, strict=True)},
    ],
    ids=["names", "objects", "mixed", "elements"],
)
def test_a_mapping_is_the_array_in_the_order_of_the_circuit(given):
    f = qj.expectation(CIRCUIT, ["XI", "ZZ"])
    np.testing.assert_array_equal(f(given), f(VALUES))
    np.testing.assert_array_equal(
        qj.fidelity(CIRCUIT, CIRCUIT)(given, 0 * VALUES), qj.fidelity(CIRCUIT, CIRCUIT)(VALUES, 0 * VALUES)
    )
    key = jax.random.key(0)
    np.testing.assert_array_equal(qj.sample(CIRCUIT, 5)(given, key), qj.sample(CIRCUIT, 5)(VALUES, key))


def test_a_mapping_broadcasts_and_differentiates():
    f = qj.expectation(CIRCUIT, "XI")
    a, x = jnp.linspace(0, 1, 3)[:, None], jnp.ones((4, 2))
    batch = f({"a": a, "x": x, "w": VALUES[1:12]})
    assert batch.shape == (3, 4)
    expected = f(np.concatenate([np.asarray(a[2]), VALUES[1:12], np.ones(2, np.float32)]))
    np.testing.assert_allclose(batch[2], np.full(4, expected), rtol=0, atol=1e-6)
    slopes = jax.jit(jax.grad(f))(
        {"a": jnp.asarray(VALUES[0]), "w": jnp.asarray(VALUES[1:12]), "x": jnp.asarray(VALUES[12:])}
    )
    both = jax.grad(f)(jnp.asarray(VALUES))
    np.testing.assert_allclose(np.concatenate([slopes["a"][None], slopes["w"], slopes["x"]]), both, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_the_precision_of_a_mapping_is_that_of_its_arrays():
    f = qj.expectation(CIRCUIT, "XI")
    assert f({"a": 0.5, "w": VALUES[1:12], "x": [0.1, 0.2]}).dtype == np.float32
    assert f({"a": 0.5, "w": VALUES[1:12].tolist(), "x": [0.1, 0.2]}).dtype == np.float64


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"a": 1.0, "x": [1, 2]}, r"`params` must have a value for every parameter.*none for w\[0\]"),
        ({"a": 1.0, "w": np.ones(11), "x": 1.0}, r"`params\['x'\]` must have 2 elements"),
        ({"a": 1.0, "w": np.ones(11), "x": [1, 2], "x[0]": 1}, r"`params` names 'x\[0\]' more than once"),
        ({"b": 1.0}, "names 'b', which is no parameter"),
        ({"a": [1, 2, 3], "w": np.ones((2, 11)), "x": [1, 2]}, "`params` must have shapes that broadcast"),
    ],
)
def test_what_a_mapping_must_have(given, match):
    with pytest.raises(ValueError, match=match):
        qj.expectation(CIRCUIT, "XI")(given)


# Names of vectors.


@pytest.mark.parametrize("inputs", ["x", X, ["x"], [X], ["x[0]", X[1]]], ids=repr)
def test_the_name_of_a_vector_stands_for_its_elements(inputs):
    model = qj.estimator_qnn(CIRCUIT, inputs=inputs)
    assert (model.num_inputs, model.num_weights) == (2, 12)
    assert model == qj.estimator_qnn(CIRCUIT, inputs=[X[0], X[1]])


def test_vectors_keep_their_order_of_numbers():
    model = qj.sampler_qnn(CIRCUIT, inputs=[A, "x"], weights="w")
    names = model.program.parameters
    assert [names[k] for k in model.inputs] == ["a", "x[0]", "x[1]"]
    assert [names[k] for k in model.weights] == [f"w[{k}]" for k in range(11)]
    assert qj.fidelity_kernel(CIRCUIT, weights=["w", "a"]) == qj.fidelity_kernel(CIRCUIT, weights=[*W, A])
    exact = QuantumCircuit(1)  # a parameter of just this name comes first
    exact.ry(Parameter("v"), 0), exact.rz(ParameterVector("v", 1)[0], 0)
    assert qj.estimator_qnn(exact, inputs="v").num_inputs == 1


def test_sets_have_no_order():
    with pytest.raises(TypeError, match="`inputs` must be in order, but is a set"):
        qj.estimator_qnn(CIRCUIT, inputs={X[0], X[1]})
    with pytest.raises(ValueError, match=r"`inputs` names 'x\[0\]' more than once"):
        qj.estimator_qnn(CIRCUIT, inputs=["x", X[0]])


# Arrays.


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
def test_the_order_of_bytes_changes_nothing(dtype):
    f = qj.expectation(CIRCUIT, "XI")
    plain = np.round(4 * VALUES)
    np.testing.assert_array_equal(f(plain.astype(dtype)), f(plain))


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ({"w": 1.0}, TypeError, r"`weights` must be an array of real numbers, 12 in its last axis, but is the dict"),
        (None, TypeError, "but is None"),
        ("abc", TypeError, "but is the str 'abc'"),
        ([[1.0], [1.0, 2.0]], ValueError, "its rows have different lengths"),
        (np.ones((1, 12)), ValueError, r"must have shape \(12,\), but has shape \(1, 12\). Pass its only row"),
        (np.ones((2, 12)), ValueError, "For an ensemble of weights use jax.vmap"),
        (1j * np.ones(12), TypeError, "but has dtype complex128"),
        (np.array(["1"] * 12), TypeError, "but has dtype <U1"),
        (np.array([None] * 12), TypeError, "but has dtype object"),
        (np.ones(12, "m8[s]"), TypeError, "but has dtype timedelta64"),
        (np.ma.array(np.ones(12), mask=[1] + [0] * 11), ValueError, "has masked entries"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else "",
)
def test_weights_that_are_none(weights, error, match):
    model = qj.estimator_qnn(CIRCUIT, inputs="x")
    with pytest.raises(error, match=match):
        model(weights, np.ones((3, 2)))


def test_nan_propagates_and_a_mask_that_hides_nothing_is_none():
    model = qj.estimator_qnn(CIRCUIT, inputs="x")
    assert np.isnan(model(np.full(12, np.nan), np.ones((3, 2)))).all()
    np.testing.assert_array_equal(model(np.ma.array(np.ones(12)), np.ones((3, 2))), model(np.ones(12), np.ones((3, 2))))


# Integers.


@pytest.mark.parametrize(
    "qubits", [[1.9], "10", [True, False], [np.float64(1)], [None], ["0"], 1, {0, 1}, np.ones(1)], ids=repr
)
def test_qubits_are_integers_in_order(qubits):
    with pytest.raises(TypeError, match="`qubits` must be .*integers"):
        qj.probabilities(CIRCUIT, qubits)


def test_qubits_of_any_integer_type():
    f = qj.probabilities(CIRCUIT, [1, 0])
    assert f == qj.probabilities(CIRCUIT, np.array([1, 0])) == qj.probabilities(CIRCUIT, [jnp.array(1), np.uint8(0)])
    with pytest.raises(TypeError, match=re.escape("For a Qubit pass circuit.find_bit(qubit).index")):
        qj.probabilities(CIRCUIT, CIRCUIT.qubits)
    with pytest.raises(ValueError, match=r"between 0 and 1, but is \[-1\]"):
        qj.probabilities(CIRCUIT, [-1])


@pytest.mark.parametrize("memory", [True, "1", 2.5, -1, None])
def test_memory_is_a_number_of_bytes(memory):
    for build in (
        lambda: qj.expectation(CIRCUIT, "ZZ", memory=memory),
        lambda: qj.estimator_qnn(CIRCUIT, inputs="x", memory=memory),
        lambda: qj.fidelity_kernel(CIRCUIT, weights="w", memory=memory),
        lambda: qj.projected_kernel(CIRCUIT, weights="w", memory=memory),
    ):
        with pytest.raises(ValueError, match="`memory` must be a number of bytes"):
            build()


# Keys.


@pytest.mark.parametrize("keys", [jax.random.split(jax.random.key(0), 4), jax.random.split(jax.random.PRNGKey(0), 4)])
def test_a_batch_of_keys_is_no_key(keys):
    with pytest.raises(ValueError, match=r"`key` must be a single JAX random key, but is an array of keys"):
        qj.sample(CIRCUIT, 3)(VALUES, keys)
    with pytest.raises(ValueError, match="`key` must be a single JAX random key"):
        qj.Shots(10, keys)
    each = jax.vmap(lambda key: qj.sample(CIRCUIT, 3)(VALUES, key))(keys)
    np.testing.assert_array_equal(each[2], qj.sample(CIRCUIT, 3)(VALUES, keys[2]))


@pytest.mark.parametrize("key", [3, "a", None, np.zeros(2), np.zeros(2, int)])
def test_what_is_no_key(key):
    with pytest.raises(TypeError, match="`key` must be a JAX random key"):
        qj.sample(CIRCUIT, 3)(VALUES, key)


# Backends.


@pytest.mark.parametrize(
    ("backend", "match"),
    [
        (StatevectorEstimator(), r"of type StatevectorEstimator. Wrap it: .*PrimitiveBackend\(estimator=...\)"),
        (StatevectorEstimator, r"the class StatevectorEstimator. Wrap it: .*\(estimator=StatevectorEstimator\(\)\)"),
        ("aer", r"of type str. For any V2 primitive there is qmljax.primitives.PrimitiveBackend"),
        (PrimitiveBackend, "That is a class: pass an object of it"),
        (3, "of type int"),
    ],
    ids=["primitive", "class", "name", "PrimitiveBackend", "number"],
)
def test_what_is_no_backend(backend, match):
    for build in (
        lambda: qj.estimator_qnn(CIRCUIT, inputs="x", backend=backend),
        lambda: qj.sampler_qnn(CIRCUIT, inputs="x", backend=backend),
        lambda: qj.fidelity_kernel(CIRCUIT, weights=["w", "a"], backend=backend),
        lambda: qj.projected_kernel(CIRCUIT, weights=["w", "a"], backend=backend),
    ):
        with pytest.raises(TypeError, match=match):
            build()


def test_a_backend_of_another_kind():
    with pytest.raises(TypeError, match=r"PrimitiveBackend\(sampler=...\). But expectation needs an estimator"):
        qj.estimator_qnn(CIRCUIT, inputs="x", backend=StatevectorSampler())
    device = type("BackendV2", (), {"run": lambda self, circuits: None})()
    with pytest.raises(TypeError, match=r"PrimitiveBackend\(estimator=qiskit.primitives.BackendEstimatorV2\(backend"):
        qj.estimator_qnn(rotations(2, 0), inputs=[], backend=device)
