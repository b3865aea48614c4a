"""Ansaetze at random parameters. Oracles: closed forms of one- and two-qubit circuits, dense numpy on equal draws."""

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import Statevector

from qmljax import analysis

KEY = jax.random.key(0)


def rotated(n, gate="ry", entangled=False):
    circuit, w = QuantumCircuit(n), ParameterVector("w", n)
    for q in range(n):
        getattr(circuit, gate)(w[q], q)
    for q in range(n - 1 if entangled else 0):
        circuit.cx(q, q + 1)
    return circuit


def test_a_circuit_without_parameters_has_the_largest_expressibility():
    """(N - 1) log(bins), the bound of Sim et al., on one and on four qubits."""
    for n in (1, 4):
        circuit = QuantumCircuit(n)
        circuit.h(0)
        value = analysis.expressibility(circuit, key=KEY, samples=10, bins=75)
        np.testing.assert_allclose(value, (2**n - 1) * np.log(75), rtol=1e-5)


def test_the_expressibility_of_one_rotation():
    """F = cos((a - b) / 2)**2 has the arcsine distribution, and random states of a qubit a uniform one."""
    edges = np.linspace(0, 1, 21)
    shares = np.diff(2 / np.pi * np.arcsin(np.sqrt(edges)))
    expected = (shares * np.log(shares * 20)).sum()
    value = analysis.expressibility(rotated(1), key=KEY, samples=40_000, bins=20)
    np.testing.assert_allclose(value, expected, atol=8e-3)


def test_the_expressibility_on_equal_draws(x64):
    """Against a histogram of Qiskit's states, and Haar's density summed numerically."""
    circuit = real_amplitudes(3, reps=1)
    pairs = np.asarray(jax.random.uniform(KEY, (40, 2, 6), maxval=2 * np.pi))
    states = [[Statevector(circuit.assign_parameters(p)).data for p in pair] for pair in pairs]
    fidelities = [abs(np.vdot(*pair)) ** 2 for pair in states]
    counts, edges = np.histogram(fidelities, bins=8, range=(0, 1))
    points = np.linspace(edges[:-1], edges[1:], 20_001)
    haar = np.trapezoid(7 * (1 - points) ** 6, points, axis=0)
    shares = counts / 40
    expected = sum(p * np.log(p / q) for p, q in zip(shares, haar, strict=True) if p)
    found = analysis.expressibility(circuit, key=KEY, samples=40, bins=8)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    traced = jax.jit(lambda key: analysis.expressibility(circuit, key=key, samples=40, bins=8))(KEY)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)


def test_entangling_capability():
    assert abs(analysis.entangling_capability(rotated(3), key=KEY, samples=50)) < 1e-6
    # cos(t/2) |00> + sin(t/2) |11>: sin(t)**2
    circuit, w = QuantumCircuit(2), ParameterVector("w", 1)
    circuit.ry(w[0], 0)
    circuit.cx(0, 1)
    np.testing.assert_allclose(analysis.entangling_capability(circuit, key=KEY, samples=20_000), 0.5, atol=0.01)
    ghz = QuantumCircuit(3)
    ghz.h(0), ghz.cx(0, 1), ghz.cx(1, 2)
    np.testing.assert_allclose(analysis.entangling_capability(ghz, key=KEY, samples=2), 1, rtol=1e-6)


def test_parts_that_fit_give_the_same(monkeypatch):
    circuit = rotated(2, entangled=True)
    whole = [
        getattr(analysis, name)(circuit, key=KEY, samples=50) for name in ("expressibility", "entangling_capability")
    ]
    monkeypatch.setattr("qmljax.analysis._ansatz.MEMORY", 1 << 10)
    parts = [
        getattr(analysis, name)(circuit, key=KEY, samples=50) for name in ("expressibility", "entangling_capability")
    ]
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_what_has_no_state_is_refused():
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.reset(0)
    for function in (analysis.expressibility, analysis.entangling_capability):
        with pytest.raises(ValueError, match="no state of its own"):
            function(circuit, key=KEY, samples=2)
