"""The quantum geometric tensor and variances of terms. Oracles: closed forms, finite differences of Qiskit's states."""

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp, Statevector

import qmljax as qj
from qmljax.circuits import raw_feature_vector

pytestmark = pytest.mark.usefixtures("x64")


def turned():
    """With global phases, shared and nonlinear angles, and an idle qubit."""
    p = ParameterVector("p", 4)
    circuit = QuantumCircuit(4, global_phase=0.4 * p[0])
    circuit.h(0), circuit.u(p[0], p[1], p[2], 1), circuit.cp(p[1] * p[2], 0, 1)
    circuit.rz(p[3], 0), circuit.rxx(p[0], 1, 3)
    return circuit


def loaded():
    circuit = raw_feature_vector(4)
    circuit.rz(ParameterVector("w", 1)[0], 0)
    return circuit


CIRCUITS = {"turned": turned, "ansatz": lambda: efficient_su2(2, reps=1), "loaded": loaded}


def by_differences(circuit, params, phase_fix):
    at = lambda p: Statevector(circuit.assign_parameters(p)).data  # noqa: E731
    psi = at(params)
    slopes = np.stack([(at(params + e) - at(params - e)) / 2e-5 for e in 1e-5 * np.eye(len(params))])
    along = slopes.conj() @ psi
    return slopes.conj() @ slopes.T - phase_fix * np.outer(along, along.conj())


@pytest.mark.parametrize("phase_fix", [True, False])
@pytest.mark.parametrize("name", CIRCUITS)
def test_the_tensor_is_that_of_finite_differences(name, phase_fix):
    circuit = CIRCUITS[name]()
    params = np.random.default_rng(0).uniform(0.2, 2, (2, circuit.num_parameters))
    f = qj.geometric_tensor(circuit, phase_fix=phase_fix)
    found = f(params)
    expected = [by_differences(circuit, row, phase_fix) for row in params]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    np.testing.assert_allclose(jax.vmap(f)(params), found, atol=1e-12)
    np.testing.assert_allclose(jax.jit(f)(params), found, atol=1e-12)
    if phase_fix:
        np.testing.assert_allclose(found.real, qj.metric_tensor(circuit)(params), atol=1e-12)


def test_the_bloch_sphere():
    """RZ(b) RY(a): the metric of a sphere of radius 1/2, and minus half of its Berry curvature."""
    circuit, p = QuantumCircuit(1), ParameterVector("p", 2)
    circuit.ry(p[0], 0), circuit.rz(p[1], 0)
    a = 0.7
    expected = np.array([[1, 1j * np.sin(a)], [-1j * np.sin(a), np.sin(a) ** 2]]) / 4
    np.testing.assert_allclose(qj.geometric_tensor(circuit)([a, 0.3]), expected, atol=1e-14)
    slope = jax.jacfwd(qj.geometric_tensor(circuit))(np.array([a, 0.3]))[0, 1, 0]
    np.testing.assert_allclose(slope, 0.25j * np.cos(a), atol=1e-14)
    with jax.enable_x64(False):
        assert qj.geometric_tensor(circuit)(np.float32([a, 0.3])).dtype == np.complex64
    assert qj.geometric_tensor(circuit) == qj.geometric_tensor(circuit) != qj.geometric_tensor(circuit, phase_fix=False)


def test_variances_of_terms():
    circuit = turned()
    params = np.random.default_rng(1).uniform(0.2, 2, (3, 4))
    observable = SparsePauliOp(["IZXI", "ZIIY", "IIII", "IZXI"], [0.5, -2.0, 3.0, 1.0])
    f = qj.term_variances(circuit, observable)
    expected = []
    for row in params:
        psi = Statevector(circuit.assign_parameters(row))
        means = [psi.expectation_value(SparsePauliOp(p)).real for p in observable.paulis]
        expected.append(observable.coeffs.real**2 * (1 - np.square(means)))
    np.testing.assert_allclose(f(params), expected, atol=1e-12)
    np.testing.assert_allclose(jax.jit(f)(params), expected, atol=1e-12)
    slope = jax.grad(lambda p: f(p).sum())(params[0])
    difference = [(f(params[0] + e).sum() - f(params[0] - e).sum()) / 2e-6 for e in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(slope, difference, atol=1e-8)
    # Of a projector times a Pauli the square is the projector.
    plus = QuantumCircuit(2)
    plus.h(0), plus.ry(1.1, 1)
    p = np.cos(0.55) ** 2
    np.testing.assert_allclose(
        qj.term_variances(plus, {"0X": 2.0, "0I": 1.0})([]), [4 * (p - p**2), p - p**2], atol=1e-12
    )
    with pytest.raises(TypeError, match="`observable` must be one observable, but is a list"):
        qj.term_variances(circuit, ["ZIII"])
