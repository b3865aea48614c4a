"""Aer's own primitives as a backend: they overlook the parameters of controlled gates, so these must not reach them."""

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import CRYGate, CU3Gate, MCPhaseGate, RXGate
from qiskit.primitives import BackendEstimatorV2, BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

import qmljax as qj
from qmljax.primitives import PrimitiveBackend
from qmljax.primitives._transpile import BOUND_BY_AER, decomposed

aer = pytest.importorskip("qiskit_aer")
primitives = pytest.importorskip("qiskit_aer.primitives")


def chained() -> tuple[QuantumCircuit, Parameter]:
    x, w = Parameter("x"), Parameter("w")
    circuit = QuantumCircuit(2)
    circuit.ry(x, 0), circuit.cry(w, 0, 1)
    return circuit, x


def controlled() -> tuple[QuantumCircuit, ParameterVector]:
    """Every kind of parametrised gate under controls that Qiskit has."""
    p = ParameterVector("p", 11)
    circuit = QuantumCircuit(3)
    for q in range(3):
        circuit.ry(0.4 + q, q)
    circuit.cry(p[0], 0, 1), circuit.crx(p[1], 1, 2), circuit.cp(p[2], 0, 2), circuit.crz(p[3], 2, 0)
    circuit.cu(p[4], p[5], p[6], p[7], 0, 1)
    circuit.append(MCPhaseGate(p[8], 2), [0, 1, 2])
    circuit.append(CRYGate(p[9], ctrl_state=0), [2, 1])
    circuit.append(CU3Gate(p[10], 0.2, 2 * p[0]), [1, 2])
    circuit.append(RXGate(p[3]).control(2, ctrl_state=1), [0, 2, 1])
    for q in range(3):
        circuit.rx(0.7 - q, q)
    return circuit, p


class Wrapped(BaseEstimatorV2):
    """An estimator in another one, which says nothing of what it runs on."""

    def __init__(self, inner):
        self.inner = inner

    def run(self, pubs, *, precision=None):
        return self.inner.run(pubs, precision=precision)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("wrap", [lambda e: e, Wrapped], ids=["itself", "wrapped"])
def test_values_are_those_of_the_closed_form(wrap):
    # <Z1> after ry(x), cry(w) is 1 - sin(x/2)**2 (1 - cos w).
    circuit, x = chained()
    model = qj.estimator_qnn(circuit, "ZI", inputs=[x], backend=PrimitiveBackend(wrap(primitives.EstimatorV2())))
    points, w = np.array([[0.5], [1.0], [2.0]]), 1.7
    expected = 1 - np.sin(points / 2) ** 2 * (1 - np.cos(w))
    np.testing.assert_allclose(model([w], points), expected, rtol=0, atol=1e-12)
    slopes = jax.jacobian(lambda w: model(w, points))(np.array([w]))[..., 0]
    np.testing.assert_allclose(slopes, -(np.sin(points / 2) ** 2) * np.sin(w), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("own", [False, True], ids=["default", "pass manager"])
def test_every_controlled_gate(own):
    circuit, p = controlled()
    manager = generate_preset_pass_manager(1, backend=aer.AerSimulator()) if own else None
    backend = PrimitiveBackend(primitives.EstimatorV2(), pass_manager=manager)
    model = qj.estimator_qnn(circuit, ["IIZ", "XYI", "ZZZ"], inputs=p[:2], backend=backend)
    rng = np.random.default_rng(0)
    w, x = rng.uniform(-3, 3, 9), rng.uniform(-3, 3, (3, 2))
    states = [Statevector(circuit.assign_parameters([*point, *w])) for point in x]
    expected = [[s.expectation_value(SparsePauliOp(o)).real for o in ("IIZ", "XYI", "ZZZ")] for s in states]
    np.testing.assert_allclose(model(w, x), expected, rtol=0, atol=1e-12)


def test_a_kernel_by_shots_of_aer():
    circuit, x = chained()
    backend = PrimitiveBackend(sampler=primitives.SamplerV2(seed=1), shots=20_000)
    points = np.array([[0.3], [1.2], [2.5]])
    gram = qj.fidelity_kernel(circuit, weights=["w"], backend=backend)(points, weights=[1.1])
    states = [Statevector(circuit.assign_parameters({"x": v, "w": 1.1})).data for (v,) in points]
    expected = abs(np.array(states).conj() @ np.array(states).T) ** 2
    np.testing.assert_allclose(gram, expected, rtol=0, atol=5 * 0.5 / 20_000**0.5)


def test_decomposed_circuits_do_the_same_and_keep_their_layout():
    circuit, _ = controlled()
    gates = ["cry", "crx", "cp", "crz", "cu", "cu3", "u", "p", "ry", "rx", "x", "cx"]
    laid = generate_preset_pass_manager(
        1, basis_gates=gates, coupling_map=[[0, 1], [1, 0], [1, 2], [2, 1]], initial_layout=[2, 0, 1]
    ).run(circuit)
    lowered = decomposed(laid, BOUND_BY_AER)
    assert lowered.layout == laid.layout is not None
    assert {item.name for item in laid.data} > {"cry", "crx", "cp"}
    free = [item.name for item in lowered.data if any(getattr(v, "parameters", ()) for v in item.operation.params)]
    assert set(free) <= BOUND_BY_AER
    values = np.random.default_rng(1).uniform(-3, 3, len(circuit.parameters))
    assert Operator(lowered.assign_parameters(values)) == Operator(laid.assign_parameters(values))


class Wrong(StatevectorEstimator):
    """Binds everything to zero, as a broken primitive might."""

    def run(self, pubs, *, precision=None):
        return super().run([(c, o, {n: np.zeros_like(a) for n, a in values.items()}) for c, o, values in pubs])


def test_an_exact_primitive_that_is_wrong_is_noticed_once():
    circuit, x = chained()
    model = qj.estimator_qnn(circuit, "ZI", inputs=[x], backend=PrimitiveBackend(Wrong()))
    match = r"Wrong gives 1 for an expectation value that is 0\.\d+ by Qiskit's simulator.*`pass_manager=`"
    with pytest.warns(UserWarning, match=match):
        model([1.7], [[1.0], [2.0]])
    model([1.7], [[1.5], [2.5]])  # warnings are errors here: said once


def test_noise_is_not_taken_for_a_fault():
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.5, 1), ["ry", "u", "u3", "rz", "p", "sx", "x"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.5, 2), ["cx", "cry"])
    circuit, x = chained()
    estimator = primitives.EstimatorV2.from_backend(aer.AerSimulator(noise_model=noise, seed_simulator=1))
    model = qj.estimator_qnn(circuit, "ZI", inputs=[x], backend=PrimitiveBackend(estimator))
    exact = qj.estimator_qnn(circuit, "ZI", inputs=[x])
    assert abs(model([1.7], [[2.0]]) - exact([1.7], [[2.0]])).max() > 0.05


def test_primitives_that_bind_by_themselves_run_the_circuit_as_it_is():
    circuit, x = chained()
    estimator = BackendEstimatorV2(backend=aer.AerSimulator(seed_simulator=1), options={"default_precision": 0.01})
    backend = PrimitiveBackend(estimator)
    model = qj.estimator_qnn(circuit, "ZI", inputs=[x], backend=backend)
    (prepared,) = backend._transpiled.values()
    assert "cry" in prepared.circuit.count_ops()
    np.testing.assert_allclose(model([1.7], [[2.0]]), [[1 - np.sin(1) ** 2 * (1 - np.cos(1.7))]], rtol=0, atol=0.05)
