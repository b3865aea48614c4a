"""Large angles lose no digits. Oracle: numpy's longdouble and closed forms of circuits, at the floats given."""

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import qmljax as qj
from qmljax._engine.angles import without_turns

SIZES = [1.0, 1e3, 1e4, 1e6, 1e9]
A, B = Parameter("a"), Parameter("b")


def numbers(size: float, dtype: type, *shape: int) -> np.ndarray:
    return np.random.default_rng(int(size)).uniform(-size, size, shape).astype(dtype)


@pytest.mark.parametrize("dtype, atol", [(np.float32, 1e-6), (np.float64, 2e-15)])
def test_without_turns(dtype, atol):
    with jax.enable_x64(dtype == np.float64):
        f = jax.jit(lambda x: without_turns(x, np.array([[True]])))
        for size in [*SIZES, 1e11]:
            x = numbers(size, dtype, 1, 10_000)
            reduced = np.asarray(f(x))
            assert abs(reduced).max() < 3.15
            np.testing.assert_allclose(
                np.exp(1j * reduced.astype(np.clongdouble)), np.exp(1j * x.astype(np.clongdouble)), atol=atol
            )
        x = numbers(1e9, dtype, 2, 5)
        assert (without_turns(x, np.array([[False], [True]]))[0] == x[0]).all()
        assert (jax.grad(lambda x: without_turns(x, np.array([[True]])).sum())(x) == 1).all()
        assert np.isnan(without_turns(np.array([np.inf, np.nan], dtype), np.array([True]))).all()


def _circuit(name: str, angle: object) -> QuantumCircuit:
    """<Z> on qubit 0 is the cosine of the angle."""
    circuit = QuantumCircuit(2, global_phase=angle)
    match name:
        case "ry":
            circuit.ry(angle, 0)
        case "rz":
            circuit.h(0)
            circuit.rz(angle, 0)
            circuit.h(0)
        case "rzz":
            circuit.h(0)
            circuit.rzz(angle, 1, 0)
            circuit.h(0)
        case "controlled":
            circuit.x(1)
            circuit.crx(angle, 1, 0)
    return circuit


@pytest.mark.parametrize("name", ["ry", "rz", "rzz", "controlled"])
@pytest.mark.parametrize("dtype, atol", [(np.float32, 1e-6), (np.float64, 2e-15)])
def test_expectation_values_and_slopes(name, dtype, atol):
    x = np.concatenate([numbers(size, dtype, 20, 1) for size in SIZES])
    with jax.enable_x64(dtype == np.float64):
        f = qj.expectation(_circuit(name, A), "IZ")
        np.testing.assert_allclose(f(x), np.cos(x[:, 0].astype(np.longdouble)), atol=atol)
        slopes = jax.vmap(jax.grad(f))(x)[:, 0]
        np.testing.assert_allclose(slopes, -np.sin(x[:, 0].astype(np.longdouble)), atol=atol)
        twice = qj.expectation(_circuit(name, 2 * A), "IZ")
        np.testing.assert_allclose(twice(x), np.cos(2 * x[:, 0].astype(np.longdouble)), atol=atol)


def test_angles_that_meet_in_one_rotation():
    """Sums of parameters and of numbers, which are taken after the turns: 1e6 and 0.3 have no sum in float32."""
    circuit = QuantumCircuit(1)
    for angle in (A, 123456.7, B, 0.3):
        circuit.ry(angle, 0)
    f = qj.expectation(circuit, "Z")
    for size in SIZES:
        x = numbers(size, np.float32, 50, 2)
        exact = np.cos(x.astype(np.longdouble).sum(axis=1) + np.longdouble(123456.7) + np.longdouble(0.3))
        np.testing.assert_allclose(f(x), exact, atol=2e-6)


def test_numbers_and_the_global_phase():
    circuit = QuantumCircuit(1, global_phase=A)
    circuit.ry(1e9 + 0.1, 0)
    value, phase = qj.expectation(circuit, "Z"), qj.statevector(circuit)
    np.testing.assert_allclose(value([0.0]), np.cos(1e9 + 0.1), atol=1e-6)
    x = np.float32([1e3, 1e6, 1e9])
    first = np.cos((1e9 + 0.1) / 2) * np.exp(1j * x.astype(np.clongdouble))
    np.testing.assert_allclose(phase(x[:, None])[:, 0], first, atol=1e-6)
