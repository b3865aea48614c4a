"""QNNs. Oracles: closed forms, Qiskit's `Statevector` with the parameters bound, and central differences of it."""

import math
import pickle
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy import ndarray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qasm3
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector

import qmljax as qj
from qmljax._models import qnn

RNG = np.random.default_rng(7)


class Case(NamedTuple):
    """The arguments of `estimator_qnn`."""

    circuit: QuantumCircuit
    inputs: Sequence[Any]
    weights: Sequence[Any] | None = None
    observables: Any = None

    def model(self, **options: Any) -> Callable:
        return qj.estimator_qnn(self.circuit, self.observables, inputs=self.inputs, weights=self.weights, **options)


def encoder() -> Case:
    feature_map = zz_feature_map(2, reps=1)
    return Case(feature_map.compose(real_amplitudes(2, reps=1)), feature_map.parameters)


def reordered() -> Case:
    """Inputs and weights in orders that are not the circuit's, by name and by object, read by several observables."""
    a, b, u, v = map(Parameter, "abuv")
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0), circuit.rx(b, 1), circuit.cx(0, 1), circuit.ry(u, 1), circuit.crx(v, 1, 0), circuit.rz(b, 0)
    several = ["ZI", SparsePauliOp(["XY", "IZ", "II"], [0.5, -1.25, 0.1]), Pauli("-YX")]
    return Case(circuit, ["b", a], [v, "u"], several)


def reuploading(layers: int = 2) -> Case:
    """Every input many times, in expressions with weights; more than 24 levels run as a scan."""
    x, y = Parameter("x"), Parameter("y")
    w = ParameterVector("w", 3)
    circuit = QuantumCircuit(2)
    for k in range(layers):
        circuit.ry(x * w[0] + k, 0), circuit.rz(x.sin() * w[1] + y, 1), circuit.rx(w[2] * y * y - x, 1)
        circuit.cx(0, 1), circuit.ry(w[k % 3], 0), circuit.rz(w[2] / 2, 0)
    return Case(circuit, [y, x], list(w), {"ZX": 1.0, "YI": -0.5})


def no_inputs() -> Case:
    return Case(real_amplitudes(2, reps=1), [])


def no_weights() -> Case:
    return Case(zz_feature_map(2, reps=1), zz_feature_map(2).parameters, [])


def constant() -> Case:
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0), circuit.cx(0, 1)
    return Case(circuit, [], None, ["XX", "ZI"])


def measured() -> Case:
    circuit, t = QuantumCircuit(1), Parameter("t")
    circuit.rx(t, 0)
    circuit.measure_all()
    return Case(circuit, [t])


def deep() -> Case:
    return reuploading(14)


CASES = [encoder, reordered, reuploading, no_inputs, no_weights, constant, measured, deep]
SAMPLES = 3


def points(model: Any, samples: tuple[int, ...] = (SAMPLES,), dtype: str = "float32") -> tuple[ndarray, ndarray]:
    weights = np.linspace(-1.1, 1.7, model.num_weights)
    x = np.random.default_rng(3).uniform(-2, 2, (*samples, model.num_inputs))
    return weights.astype(dtype), x.astype(dtype)


def bound(circuit: QuantumCircuit, inputs: Sequence, weights: Sequence | None, w: ndarray, x: ndarray) -> Statevector:
    names = [getattr(p, "name", p) for p in inputs]
    trained = [p.name for p in circuit.parameters if p.name not in names] if weights is None else weights
    names += [getattr(p, "name", p) for p in trained]
    values = dict(zip(names, [*map(float, x), *map(float, w)], strict=True))
    circuit = circuit.remove_final_measurements(inplace=False) if circuit.clbits else circuit
    return Statevector(circuit.assign_parameters({p: values[p.name] for p in circuit.parameters}))


def oracle(case: Case, w: ndarray, x: ndarray) -> ndarray:
    """(W,), (n_in,) -> (n_obs,)."""
    state = bound(case.circuit, case.inputs, case.weights, w, x)
    listed = case.observables if isinstance(case.observables, list) else [case.observables]
    operators = []
    for o in listed:
        o = "Z" * case.circuit.num_qubits if o is None else o
        operators.append(SparsePauliOp.from_list(list(o.items())) if isinstance(o, dict) else SparsePauliOp(o))
    return np.array([state.expectation_value(o).real for o in operators])


def derivative(f: Callable[[ndarray], ndarray], at: ndarray, h: float = 1e-5) -> ndarray:
    """(P,) -> out; central differences, out + (P,)."""
    if not at.size:
        return np.zeros((*f(at).shape, 0))
    return np.stack([(f(at + h * e) - f(at - h * e)) / (2 * h) for e in np.eye(at.size)], axis=-1)


# Estimator QNNs.


@pytest.mark.parametrize("case", CASES)
def test_estimator_values_are_qiskits(case):
    case = case()
    model = case.model()
    weights, x = points(model)
    out = model(weights, x)
    expected = np.stack([oracle(case, weights, row) for row in x])
    assert out.dtype == np.float32 and out.shape == (SAMPLES, *model.output_shape) == expected.shape
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES)
def test_estimator_derivatives_are_differences_of_qiskits_values(case):
    case = case()
    model = case.model()
    weights, x = points(model, (), "float64")
    out = model(weights, x)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, oracle(case, weights, x), rtol=0, atol=1e-12)
    by_weights, by_inputs = jax.jit(jax.jacrev(model, argnums=(0, 1)))(weights, x)
    np.testing.assert_allclose(by_weights, derivative(lambda w: oracle(case, w, x), weights), rtol=0, atol=1e-6)
    np.testing.assert_allclose(by_inputs, derivative(lambda v: oracle(case, weights, v), x), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_every_order_of_derivative_agrees():
    case = reuploading(1)
    model = case.model()
    weights, x = points(model, (), "float64")

    def second(h: float) -> ndarray:
        f = lambda both: oracle(case, both[:3], both[3:])[0]  # noqa: E731
        return derivative(lambda both: derivative(f, both, h), np.concatenate([weights, x]), h)

    f = lambda w, v: model(w, v)[0]  # noqa: E731
    blocks = jax.jit(jax.hessian(f, argnums=(0, 1)))(weights, x)
    expected = (4 * second(1e-3) - second(2e-3)) / 3  # without the error of order h**2, h may stay large
    np.testing.assert_allclose(np.block([list(row) for row in blocks]), expected, rtol=0, atol=1e-6)
    forward, reverse = (jax.jit(d(f, (0, 1)))(weights, x) for d in (jax.jacfwd, jax.jacrev))
    for a, b in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_closed_form_of_reuploading():
    """RY commutes with itself: <Z> = cos(x w + sin(x) w + b), whatever the number of gates."""
    x, w, b = map(Parameter, "xwb")
    circuit = QuantumCircuit(1)
    circuit.ry(x * w, 0), circuit.ry(x.sin() * w + b, 0)
    model = qj.estimator_qnn(circuit, inputs=[x], weights=[w, b])
    weights, at = np.float32([0.7, -0.3]), np.float32([[0.4], [-1.9], [0.0]])
    angle = at * weights[0] + np.sin(at) * weights[0] + weights[1]
    np.testing.assert_allclose(model(weights, at), np.cos(angle), rtol=0, atol=1e-6)
    by_x = jax.jit(jax.vmap(jax.grad(lambda v: model(weights, v)[0])))(at)
    np.testing.assert_allclose(by_x, -np.sin(angle) * weights[0] * (1 + np.cos(at)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch", [(), (4,), (1,), (2, 3), (0,), (2, 0), (1, 2, 2)])
def test_batch_dimensions_are_a_loop_and_a_vmap(batch):
    model = reordered().model()
    weights, x = points(model, batch)
    out = model(weights, x)
    assert out.shape == (*batch, 3)
    loop = [model(weights, row) for row in x.reshape(-1, model.num_inputs)]
    np.testing.assert_allclose(out.reshape(-1, 3), np.array(loop).reshape(-1, 3), rtol=0, atol=1e-6)
    mapped = model
    for _ in batch:
        mapped = jax.vmap(mapped, (None, 0))
    if math.prod(batch):  # JAX itself refuses to map over nothing in places
        np.testing.assert_allclose(jax.jit(mapped)(weights, x), out, rtol=0, atol=1e-6)


def test_ensembles():
    model = reuploading().model()
    _, x = points(model, (4,))
    weights = RNG.uniform(-1, 1, (4, 3)).astype("float32")
    each = np.stack([model(w, x) for w in weights])  # (ensemble, batch, 1)
    np.testing.assert_allclose(jax.vmap(model, (0, None))(weights, x), each, rtol=0, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(model, (0, 0))(weights, x), each[range(4), range(4)], rtol=0, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.vmap(model, (None, 0)), (0, None))(weights, x), each, rtol=0, atol=1e-6)


def test_gradients_of_batches_and_batches_of_gradients():
    model = reuploading(1).model()
    weights, x = points(model, (4,))
    one = jax.jit(jax.grad(lambda w, row: model(w, row)[0]))
    each = np.stack([one(weights, row) for row in x])
    total = jax.grad(lambda w, v: jnp.sum(jax.vmap(model, (None, 0))(w, v)))
    for f in (jax.vmap(one, (None, 0)), jax.jacrev(model), jax.jacfwd(model)):
        np.testing.assert_allclose(np.squeeze(jax.jit(f)(weights, x)), each, rtol=0, atol=1e-5)
    np.testing.assert_allclose(jax.jit(total)(weights, x), each.sum(axis=0), rtol=0, atol=1e-5)


def test_one_observable_is_a_list_of_one():
    circuit, inputs = reordered().circuit, ["a", "b", "u", "v"]
    alone, listed = (qj.estimator_qnn(circuit, o, inputs=inputs) for o in ("ZX", ["ZX"]))
    assert alone == listed and alone.output_shape == (1,)
    assert qj.estimator_qnn(circuit, ("ZX", "XX"), inputs=inputs).output_shape == (2,)
    assert qj.estimator_qnn(circuit, inputs=inputs) == qj.estimator_qnn(circuit, "ZZ", inputs=inputs)


@pytest.mark.usefixtures("x64", "standard_promotion")
@pytest.mark.parametrize(
    ("weights", "x", "out"),
    [
        ("float32", "float64", "float64"),
        ("float64", "float32", "float64"),
        ("float32", "float32", "float32"),
        ("int32", "float32", "float64"),  # integers are promoted to the default floating type
        ("float16", "bfloat16", "float32"),
        ("bool", "int64", "float64"),
    ],
)
def test_dtype_is_the_wider_one(weights, x, out):
    model = reordered().model()
    values = model(jnp.ones(2, weights), jnp.ones((3, 2), x))
    assert values.dtype == out
    np.testing.assert_allclose(values[1], oracle(reordered(), np.ones(2), np.ones(2)), rtol=0, atol=1e-6)


def test_lists_and_nan():
    model = reordered().model()
    np.testing.assert_allclose(model([1, 1], [[1, 1]])[0], oracle(reordered(), np.ones(2), np.ones(2)), atol=1e-6)
    out = model([1.0, 1.0], [[np.nan, 1.0], [1.0, 1.0]])
    assert np.isnan(out[0]).any() and np.isfinite(out[1]).all()


def test_idle_qubits_cost_nothing():
    x = Parameter("x")
    circuit = QuantumCircuit(100)
    circuit.ry(x, 73), circuit.cx(73, 5)
    observable = SparsePauliOp.from_sparse_list([("Z", [5], 1.0), ("ZZ", [5, 60], 1.0), ("X", [60], 1.0)], 100)
    model = qj.estimator_qnn(circuit, [observable, "Z" * 100], inputs=[x])
    np.testing.assert_allclose(model([], [0.3]), [2 * np.cos(0.3), 1.0], rtol=0, atol=1e-6)


def test_a_circuit_comes_in_any_form():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(a, 0), circuit.ry(b, 0)
    models = [qj.estimator_qnn(form, inputs=["a"]) for form in (circuit, qj.parse(circuit), qasm3.dumps(circuit))]
    assert len(set(models)) == 1
    np.testing.assert_allclose(models[0]([0.5], [0.3]), [np.cos(0.8)], rtol=0, atol=1e-6)
    two = qj.estimator_qnn('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; ry(0.8) q[0];', inputs=[])
    np.testing.assert_allclose(two([], []), [np.cos(0.8)], rtol=0, atol=1e-6)


def test_equal_models_share_one_trace(monkeypatch):
    traces = []
    read = qnn.EstimatorQNN._read
    monkeypatch.setattr(qnn.EstimatorQNN, "_read", lambda self, state: traces.append(self) or read(self, state))
    circuits = []
    for name in ("one", "other"):
        x, w = Parameter("x"), Parameter("w")
        circuit = QuantumCircuit(1, name=name)
        circuit.ry(x, 0), circuit.rx(w, 0), circuit.ry(0.1234, 0)
        circuits.append(circuit)
    first = qj.estimator_qnn(circuits[0], inputs=["x"], compile=True)
    second = qj.estimator_qnn(circuits[1], inputs=[x], weights=[w], compile=True)
    assert first == second and hash(first) == hash(second) and first is not second
    copy = pickle.loads(pickle.dumps(first))
    assert copy == first
    values = [m(np.float32([0.2]), np.float32([[0.3]])) for m in (first, second, copy)]
    assert len(traces) == 1
    assert values[0] == values[1] == values[2]


def test_models_differ_by_what_they_compute():
    circuit = reordered().circuit
    models = [
        qj.estimator_qnn(circuit, inputs=["a", "b"]),
        qj.estimator_qnn(circuit, inputs=["b", "a"]),
        qj.estimator_qnn(circuit, inputs=["a"]),
        qj.estimator_qnn(circuit, "ZX", inputs=["a", "b"]),
        qj.estimator_qnn(circuit, ["ZX", "ZX"], inputs=["a", "b"]),
        qj.estimator_qnn(circuit, inputs=["a", "b"], weights=["v", "u"]),
        qj.sampler_qnn(circuit, inputs=["a", "b"]),
    ]
    assert len(set(models)) == len(models)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"inputs": ["q"]}, ValueError, "`inputs` names 'q', which is no parameter of the circuit. It has ['a', 'b'"),
        ({"inputs": ["a"], "weights": ["q"]}, ValueError, "`weights` names 'q'"),
        ({"inputs": [2 * Parameter("a")]}, ValueError, "`inputs` names '2*a'"),
        ({"inputs": None}, ValueError, "`inputs` names 'None'"),
        ({"inputs": ["a", Parameter("a")]}, ValueError, "`inputs` names 'a' more than once"),
        ({"inputs": ["a"], "weights": ["b", "b"]}, ValueError, "`weights` names 'b' more than once"),
        ({"inputs": ["a"], "weights": ["a", "b", "u", "v"]}, ValueError, "but a is named as both"),
        ({"inputs": ["a"], "weights": ["b"]}, ValueError, "but u, v is neither. Add it to one of them"),
        ({"inputs": ["a"], "observables": []}, ValueError, "at least one, but is empty"),
        ({"inputs": ["a"], "observables": "Z"}, ValueError, "must act on 2 qubits"),
    ],
)
def test_what_a_model_is_not_made_of(options, error, match):
    with pytest.raises(error, match=re.escape(match)):
        qj.estimator_qnn(reordered().circuit, **options)


@pytest.mark.parametrize(
    ("weights", "x", "error", "match"),
    [
        (np.zeros(3), np.zeros(2), ValueError, "`weights` must have 2 elements in its last axis, one for each of v, u"),
        (
            np.zeros((2, 1)),
            np.zeros(2),
            ValueError,
            "v, u, but has shape (2, 1). Pass them as one flat array, by `.ravel()`.",
        ),
        (np.zeros((4, 2)), np.zeros((4, 2)), ValueError, "For an ensemble of weights use jax.vmap"),
        (np.zeros(2), np.zeros((4, 3)), ValueError, "`x` must have 2 elements in its last axis, one for each of b, a"),
        (np.zeros(2), 0.5, ValueError, "but has shape ()"),
        (np.zeros(2), np.zeros(2, complex), TypeError, "`x` must hold real numbers, but has dtype complex128"),
        (np.zeros(2), None, TypeError, "`x` must be an array of real numbers, 2 in its last axis, but is None"),
        (["a", "b"], np.zeros(2), TypeError, "`weights` must hold real numbers"),
    ],
)
def test_what_a_model_is_not_called_with(weights, x, error, match):
    model = reordered().model()
    for call in (model, jax.jit(model)) if isinstance(x, ndarray) and isinstance(weights, ndarray) else (model,):
        with pytest.raises(error, match=re.escape(match).replace("complex128", "complex(64|128)")):
            call(weights, x)


def test_inputs_before_weights_are_told_apart_where_they_can_be():
    model = qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=["θ[0]"])  # one input, three weights
    with pytest.raises(ValueError, match=re.escape("Weights come first: model(weights, x).")):
        model(np.zeros((5, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="has shape") as other:
        model(np.zeros(2), np.zeros((5, 1)))
    assert "come first" not in str(other.value)


def test_a_single_parameter_needs_no_list():
    circuit, t = QuantumCircuit(1), Parameter("t")
    circuit.rx(t, 0)
    assert qj.estimator_qnn(circuit, inputs=t) == qj.estimator_qnn(circuit, inputs="t", weights=[])


# Sampler QNNs.


def three_qubits() -> QuantumCircuit:
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(3)
    circuit.ry(x, 0), circuit.rx(w, 1), circuit.ry(x + w, 2), circuit.cx(0, 1), circuit.rx(0.3, 2), circuit.cx(2, 0)
    return circuit


def permuted() -> QuantumCircuit:
    """Qubits 2 and 0 into the first and the last of three classical bits, in registers that are not named meas."""
    circuit = three_qubits()
    circuit.add_register(ClassicalRegister(1, "low"), ClassicalRegister(2, "high"))
    circuit.measure(2, 0), circuit.measure(0, 2)
    return circuit


def all_measured() -> QuantumCircuit:
    circuit = three_qubits()
    circuit.measure_all()
    return circuit


def parity(outcome: int) -> int:
    return outcome.bit_count() % 2


class Sampled(NamedTuple):
    """The arguments of `sampler_qnn`, the qubits it measures, and the shape of the output."""

    circuit: Callable[[], QuantumCircuit]
    qubits: list[int]
    options: dict[str, Any]
    shape: tuple[int, ...]


SAMPLED = {
    "all": Sampled(three_qubits, [0, 1, 2], {}, (8,)),
    "all, shape given": Sampled(three_qubits, [0, 1, 2], {"output_shape": 8}, (8,)),
    "all measured": Sampled(all_measured, [0, 1, 2], {}, (8,)),
    "permuted": Sampled(permuted, [2, 0], {}, (4,)),
    "parity": Sampled(three_qubits, [0, 1, 2], {"interpret": parity}, (2,)),
    "parity of measured": Sampled(permuted, [2, 0], {"interpret": parity, "output_shape": 2}, (2,)),
    "bool": Sampled(permuted, [2, 0], {"interpret": lambda k: k == 2}, (2,)),
    "unused outputs": Sampled(permuted, [2, 0], {"interpret": lambda k: 2 * (k % 2), "output_shape": (5,)}, (5,)),
    "tuple": Sampled(three_qubits, [0, 1, 2], {"interpret": lambda k: (k % 2, k // 2)}, (2, 4)),
    "tuple, shape": Sampled(permuted, [2, 0], {"interpret": lambda k: (k // 2, 0), "output_shape": (2, 3)}, (2, 3)),
    "numpy integer": Sampled(permuted, [2, 0], {"interpret": lambda k: np.int64(k % 3)}, (3,)),
}


def sampler_oracle(case: Sampled, w: ndarray, x: ndarray) -> ndarray:
    p = bound(case.circuit(), ["x"], None, w, x).probabilities(case.qubits)
    out = np.zeros(case.shape)
    for outcome, value in enumerate(p):
        index = case.options.get("interpret", lambda k: k)(outcome)
        out[tuple(map(int, index)) if isinstance(index, tuple) else int(index)] += value
    return out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SAMPLED)
def test_sampler_is_qiskits_distribution(name):
    case = SAMPLED[name]
    model = qj.sampler_qnn(case.circuit(), inputs=["x"], **case.options)
    assert model.output_shape == case.shape and (model.num_inputs, model.num_weights) == (1, 1)
    weights, x = points(model, (2, 2), "float64")
    out = model(weights, x)
    assert out.shape == (2, 2, *case.shape)
    np.testing.assert_allclose(out[1, 0], sampler_oracle(case, weights, x[1, 0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(model(weights, x[0, 1]), sampler_oracle(case, weights, x[0, 1]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(out.reshape(4, -1).sum(axis=1), 1, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["permuted", "tuple"])
def test_sampler_gradients_are_differences_of_qiskits_distribution(name):
    case = SAMPLED[name]
    model = qj.sampler_qnn(case.circuit(), inputs=["x"], **case.options)
    weights, x = points(model, (), "float64")
    by_weights, by_inputs = jax.jit(jax.jacrev(model, (0, 1)))(weights, x)
    expected = derivative(lambda w: sampler_oracle(case, w, x), weights)
    np.testing.assert_allclose(by_weights, expected, rtol=0, atol=1e-6)
    expected = derivative(lambda v: sampler_oracle(case, weights, v), x)
    np.testing.assert_allclose(by_inputs, expected, rtol=0, atol=1e-6)
    forward = jax.jit(jax.jacfwd(jax.vmap(model, (None, 0))))(weights, x[None])[0]
    np.testing.assert_allclose(forward, by_weights, rtol=0, atol=1e-12)


def test_sampler_without_parameters_is_no_zeros():
    """A fault of Qiskit Machine Learning 0.9.1 (QISKIT_ML.md, fault 4)."""
    circuit = QuantumCircuit(2)
    circuit.x(1)
    out = qj.sampler_qnn(circuit, inputs=[])(np.zeros(0), np.zeros((3, 0)))
    np.testing.assert_array_equal(out, np.float32([[0, 0, 1, 0]] * 3))


def test_a_qubit_measured_twice():
    circuit = QuantumCircuit(2, 3)
    circuit.ry(Parameter("x"), 1), circuit.x(0)
    circuit.measure([1, 0, 1], [0, 1, 2])
    out = qj.sampler_qnn(circuit, inputs=["x"])([], [0.3])
    np.testing.assert_allclose(out[np.array([0b010, 0b111])], [np.cos(0.15) ** 2, np.sin(0.15) ** 2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(out.sum(), 1, rtol=0, atol=1e-6)


def test_sampler_of_a_wide_circuit():
    circuit = QuantumCircuit(QuantumRegister(100, "q"), ClassicalRegister(2, "answer"))
    circuit.ry(Parameter("x"), 73), circuit.measure(4, 1), circuit.measure(73, 0)  # qubit 4 is idle
    out = qj.sampler_qnn(circuit, inputs=["x"])([], [0.3])
    np.testing.assert_allclose(out, [np.cos(0.15) ** 2, np.sin(0.15) ** 2, 0, 0], rtol=0, atol=1e-6)
    circuit = QuantumCircuit(100)
    circuit.h(3)
    with pytest.raises(ValueError, match="of 100 qubits does not fit: the limit is 24 qubits. Measure fewer qubits"):
        qj.sampler_qnn(circuit, inputs=[])


def test_samplers_are_equal_by_what_interpret_gives():
    circuit = three_qubits()
    make = lambda interpret, shape=None: qj.sampler_qnn(  # noqa: E731
        circuit, inputs=["x"], interpret=interpret, output_shape=shape
    )
    assert make(parity) == make(lambda k: k.bit_count() & 1) and hash(make(parity)) == hash(make(lambda k: parity(k)))
    assert make(parity) == make(parity, 2) != make(parity, 3)
    assert make(parity) != make(lambda k: 1 - parity(k))
    assert pickle.loads(pickle.dumps(make(lambda k: k // 2))) == make(lambda k: k >> 1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"output_shape": 4},
            ValueError,
            "`output_shape` is (4,), but without `interpret` the output has the shape (8,)",
        ),
        ({"output_shape": (2, 4)}, ValueError, "Say by `interpret` which outcome contributes to which output."),
        ({"interpret": lambda k: k, "output_shape": 4}, ValueError, "`output_shape` (4,), but gives 4 for outcome 4"),
        ({"interpret": lambda k: k - 1}, ValueError, "but gives -1 for outcome 0"),
        ({"interpret": lambda k: (k, 0), "output_shape": 8}, ValueError, "but gives (0, 0) for outcome 0"),
        ({"interpret": lambda k: (k, 0, 0), "output_shape": 8}, ValueError, "but gives (0, 0, 0) for outcome 0"),
        ({"interpret": lambda k: (0, k), "output_shape": (2, 7)}, ValueError, "but gives (0, 7) for outcome 7"),
        ({"interpret": lambda k: k / 2}, ValueError, "must give an integer for every outcome"),
        ({"interpret": lambda k: None}, ValueError, "but gives None, None, None, None, ... for the outcomes from 0 on"),
        ({"interpret": lambda k: (k,) * (1 + k % 2)}, ValueError, "but gives (0,), (1, 1), (2,), (3, 3), ..."),
        ({"interpret": lambda k: k, "output_shape": 8.5}, TypeError, "or a tuple of integers, but is 8.5"),
        ({"inputs": ["q"]}, ValueError, "`inputs` names 'q'"),
    ],
)
def test_what_a_sampler_is_not_made_of(options, error, match):
    with pytest.raises(error, match=re.escape(match)):
        qj.sampler_qnn(three_qubits(), **{"inputs": ["x"]} | options)


# The seam between a model and what executes it.


class Backend:
    """Executes circuits by functions of their parameters alone, as a device would, and counts them."""

    def expectation(self, circuit: Any, observables: list) -> Callable:
        assert isinstance(observables, list)
        return qj.expectation(circuit, observables)

    def probabilities(self, circuit: Any, qubits: tuple[int, ...]) -> Callable:
        return qj.probabilities(circuit, qubits)


@pytest.mark.parametrize("case", [reordered, reuploading, no_inputs, no_weights, constant, measured])
def test_a_backend_gives_what_the_simulator_gives(case):
    case = case()
    model, other = case.model(), case.model(backend=Backend())
    again = case.model(backend=Backend())
    assert other != model and other == again and hash(other) == hash(again)
    for batch in [(), (3,), (2, 2)]:
        weights, x = points(model, batch)
        assert other(weights, x).shape == (*batch, *other.output_shape)
        np.testing.assert_allclose(other(weights, x), model(weights, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["all", "permuted", "parity of measured", "tuple"])
def test_a_backend_samples_what_the_simulator_samples(name):
    case = SAMPLED[name]
    model, other = (qj.sampler_qnn(case.circuit(), inputs=["x"], backend=b, **case.options) for b in (None, Backend()))
    for batch in [(), (2, 2)]:
        weights, x = points(model, batch)
        np.testing.assert_allclose(other(weights, x), model(weights, x), rtol=0, atol=1e-6)


def test_gradients_pass_through_a_backend():
    case = reuploading()
    model, other = case.model(), case.model(backend=Backend())
    weights, x = points(model, (3,))
    loss = lambda m: lambda w, v: jnp.sum(jnp.sin(m(w, v)))  # noqa: E731
    for a, b in zip(*(jax.jit(jax.grad(loss(m), (0, 1)))(weights, x) for m in (model, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    ensemble = np.stack([weights, weights + 1])
    a, b = (jax.vmap(m, (0, None))(ensemble, x) for m in (model, other))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_under_vmap_over_the_weights_the_feature_map_runs_once():
    """Its two layers of phases, and the H between them, have a state for each of 3 samples, not of 5 members."""
    feature_map = zz_feature_map(2, reps=2)
    model = qj.estimator_qnn(feature_map.compose(real_amplitudes(2, reps=1)), inputs=feature_map.parameters)
    jaxpr = jax.make_jaxpr(jax.vmap(model, in_axes=(0, None)))(np.zeros((5, 4), "f4"), np.zeros((3, 2), "f4"))
    shapes = re.findall(r":f32\[([\d,]+)\] = qmljax_apply", str(jaxpr))
    members = [shape.split(",")[2:] == ["3", "5"] for shape in shapes]
    assert members[:3] == [False] * 3 and any(members)
