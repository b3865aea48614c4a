"""Amplitude encoding. Oracles: the vector divided by its norm, Qiskit for bound circuits, finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, InverseModifier, Parameter, ParameterVector
from qiskit.circuit.library import real_amplitudes
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import SparsePauliOp, Statevector

import qmljax as qj
from qmljax.circuits import AmplitudeEncoding, raw_feature_vector

pytestmark = pytest.mark.usefixtures("x64")


def points(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("features", [2, 3, 4, 5, 16])
def test_the_features_are_the_amplitudes(features):
    circuit, x = raw_feature_vector(features), points(2, 3, features)
    psi = qj.statevector(circuit)(x)
    padded = np.pad(unit(x), [(0, 0), (0, 0), (0, psi.shape[-1] - features)])
    np.testing.assert_allclose(psi, padded, atol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.vmap(qj.statevector(circuit)))(x), padded, atol=1e-14)
    np.testing.assert_allclose(Statevector(circuit.assign_parameters(x[0, 0])).data, padded[0, 0], atol=1e-14)
    np.testing.assert_allclose(qj.statevector(circuit.assign_parameters(x[0, 0]))(), padded[0, 0], atol=1e-14)
    kernel = qj.fidelity_kernel(circuit)
    np.testing.assert_allclose(kernel(x[0], x[1]), (unit(x[0]) @ unit(x[1]).T) ** 2, atol=1e-14)
    assert (np.diagonal(kernel(x[0])) == 1).all()


def test_sizes_of_features_do_not_matter():
    x = points(4, 4)
    psi = qj.statevector(raw_feature_vector(4))
    for factor in (1e-200, 1e200):
        np.testing.assert_allclose(psi(factor * x), psi(x), atol=1e-14)
    gradient = jax.grad(lambda v: psi(v)[0].real)(x[0])
    np.testing.assert_allclose(x[0] @ gradient, 0, atol=1e-14)


def encoded() -> tuple[QuantumCircuit, ParameterVector, ParameterVector]:
    """Amplitudes on qubits 3 and 1 and, by expressions, on qubit 0, among other gates; qubit 4 is left alone."""
    x, w = ParameterVector("x", 4), ParameterVector("w", 10)
    circuit = QuantumCircuit(5)
    circuit.h(2)
    circuit.append(AmplitudeEncoding(x.params[:3]), [3, 1])
    circuit.ry(w[0], 3)
    circuit.append(AmplitudeEncoding([x[3] * w[1] + 1, 0.5 - x[0].sin()]), [0])
    circuit.compose(real_amplitudes(4, reps=1).assign_parameters(w.params[2:]), range(4), inplace=True)
    circuit.rz(x[3], 2)
    circuit.cz(2, 3)
    circuit.rx(0.3, 3)
    return circuit, x, w


def test_models_and_their_gradients():
    circuit, x, w = encoded()
    observable = SparsePauliOp(["IZIIX", "IXXII", "IIIZI"], [0.7, -0.4, 0.3])
    model = qj.estimator_qnn(circuit, observable, inputs=x.params, weights=w.params)
    sampler = qj.sampler_qnn(circuit, inputs=x.params, weights=w.params)
    weights, batch = points(10, seed=1), points(3, 4, seed=2)

    def oracle(weights: np.ndarray, point: np.ndarray) -> Statevector:
        return Statevector(circuit.assign_parameters({x: point, w: weights}))

    states = [oracle(weights, point) for point in batch]
    expected = [[psi.expectation_value(observable).real] for psi in states]
    np.testing.assert_allclose(model(weights, batch), expected, atol=1e-12)
    np.testing.assert_allclose(sampler(weights, batch), [psi.probabilities() for psi in states], atol=1e-12)

    def total(both: np.ndarray) -> np.ndarray:
        return jnp.sum(model(both[:10], both[10:]) ** 2)

    both = np.concatenate([weights, batch[0]])
    steps = 1e-6 * np.eye(len(both))
    differences = [(total(both + e) - total(both - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(jax.grad(total)(both), differences, atol=1e-8)
    differences = [(jax.grad(total)(both + e) - jax.grad(total)(both - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(jax.hessian(total)(both), differences, atol=1e-7)
    adjoint = qj.estimator_qnn(circuit, observable, inputs=x.params, weights=w.params, memory=0)
    gradient = jax.grad(lambda w: jnp.sum(adjoint(w, batch)))(weights)
    np.testing.assert_allclose(gradient, jax.grad(lambda w: jnp.sum(model(w, batch)))(weights), atol=1e-12)


def test_metric_tensor():
    circuit, _, _ = encoded()
    params = points(14)
    psi = qj.statevector(circuit)
    steps = 1e-6 * np.eye(14)
    d = np.array([(psi(params + e) - psi(params - e)) / 2e-6 for e in steps])
    overlap = d.conj() @ np.asarray(psi(params))
    expected = (d.conj() @ d.T - np.outer(overlap, overlap.conj())).real
    np.testing.assert_allclose(qj.metric_tensor(circuit)(params), expected, atol=1e-8)


def test_a_vector_of_zeros_is_refused():
    circuit = raw_feature_vector(3)
    x = points(4, 3)
    x[2] = 0
    observable = "ZZ"
    model = qj.estimator_qnn(circuit, observable, inputs=circuit.parameters)
    for call in (
        lambda: qj.statevector(circuit)(x),
        lambda: qj.fidelity_kernel(circuit)(x),
        lambda: qj.projected_kernel(circuit)(x),
        lambda: model(np.zeros(0), x),
        lambda: qj.fidelity(circuit, circuit)(x, x),
    ):
        with pytest.raises(ValueError, match=r"at \(2,\): all amplitudes are zero, so there is no such state"):
            call()
    a, b, _ = circuit.parameters
    for call in (
        lambda: qj.sample(circuit, 3)(np.zeros(3), jax.random.key(0)),
        lambda: qj.statevector(circuit.assign_parameters(np.zeros(3)))(),
        lambda: qj.statevector(circuit.assign_parameters({a: 0.0}))(np.zeros(2)),
        lambda: qj.statevector(circuit.assign_parameters({a: b**2 + b}))(np.zeros(2)),
        lambda: qj.statevector(circuit)(np.full(3, 1e-310)),
        lambda: qj.estimator_qnn(circuit, "ZZ", inputs=[a])(np.zeros(2), np.zeros((2, 1))),
    ):
        with pytest.raises(ValueError, match="all amplitudes are zero"):
            call()


def test_qiskit_machine_learning_s_instruction_is_read():
    class ParameterizedInitialize(AmplitudeEncoding):
        def __init__(self, amplitudes):
            super().__init__(amplitudes)
            self.name = "ParameterizedInitialize"

    circuit = QuantumCircuit(2)
    circuit.append(ParameterizedInitialize(ParameterVector("x", 4).params), [0, 1])
    np.testing.assert_allclose(qj.statevector(circuit)(points(4)), unit(points(4)), atol=1e-14)


def test_what_cannot_be_loaded():
    gate = AmplitudeEncoding(ParameterVector("x", 2).params)
    late, controlled, undone = QuantumCircuit(1), QuantumCircuit(2), QuantumCircuit(1)
    late.h(0)
    late.append(gate, [0])
    controlled.append(AnnotatedOperation(gate, ControlModifier(1)), [0, 1])
    undone.append(AnnotatedOperation(gate, InverseModifier()), [0])
    for circuit in (late, controlled, undone):
        with pytest.raises(NotImplementedError, match="only by the first instruction on their qubits"):
            qj.parse(circuit)
    with pytest.raises(ValueError, match="no unitary matrix"):
        qj.unitary(raw_feature_vector(2))
    with pytest.raises(ValueError, match="Local fidelities need a circuit that can be undone"):
        qj.fidelity_kernel(raw_feature_vector(2), local=True)
    for wrong in (1, 2.5, "x"):
        with pytest.raises(ValueError, match="`num_features` must be an integer from 2 on"):
            raw_feature_vector(wrong)
    with pytest.raises(QiskitError, match="Amplitudes must be numbers"):
        AmplitudeEncoding([Parameter("a"), 1.0]).definition  # noqa: B018
    with pytest.raises(QiskitError, match="cannot be normalised"):
        AmplitudeEncoding([0.0, 0.0]).definition  # noqa: B018


@pytest.mark.parametrize("of", ["jit", "vmap", "grad", "projected"])
def test_a_null_vector_is_no_state_while_it_is_traced(of):
    """It has no value yet that could be refused: what comes out is NaN, and not the values of another state."""
    load = raw_feature_vector(4)
    model = qj.estimator_qnn(load.compose(real_amplitudes(2, reps=1)), inputs=load.parameters)
    w, x = np.ones(4, np.float32), np.zeros((1, 4), np.float32)
    calls = {
        "jit": lambda: jax.jit(model)(w, x),
        "vmap": lambda: jax.vmap(model, (None, 0))(w, x),
        "grad": lambda: jax.jit(jax.grad(lambda w, x: model(w, x)[0, 0]))(w, x),
        "projected": lambda: jax.jit(qj.projected_kernel(load))(np.zeros((2, 4), np.float32)),
    }
    assert np.isnan(calls[of]()).all()


@pytest.mark.usefixtures("standard_promotion")
def test_amplitudes_that_a_float_does_not_hold_are_refused():
    """A float32 below 1e-38 is zero to the processor; in the precision of the weights it would be a number."""
    load = raw_feature_vector(4)
    model = qj.estimator_qnn(load.compose(real_amplitudes(2, reps=1)), inputs=load.parameters)
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="all amplitudes are zero"):
            model(np.ones(4), np.full((1, 4), 1e-42, np.float32))
        found, expected = model(np.ones(4), np.full((1, 4), 1e-20)), model(np.ones(4), np.ones((1, 4)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
