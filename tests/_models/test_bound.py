"""Circuits without parameters, by programs that they share. Oracle: Qiskit's `Statevector` and `Operator`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import ATOL, STANDARD, standard
from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

import qmljax as qj
from qmljax._circuit.observables import observable
from qmljax._engine import any_circuit
from qmljax._models import bound

NONE = np.zeros(0, np.float32)


def close(a, b, dtype=np.float64) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=10 * ATOL[dtype])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_circuits(seed, dtype):
    n = seed % 6 + 1
    circuit = random_circuit(n, 8, max_operands=min(n, 4), seed=seed)
    circuit.global_phase = 0.3
    program, psi = qj.parse(circuit), Statevector(circuit)
    letters = np.random.default_rng(seed).choice(list("IXYZ"), (5, n))
    labels = ["".join(row) for row in letters]
    with jax.enable_x64(dtype == np.float64):
        none = np.zeros((2, 0), dtype)
        states = bound.statevector(program, none)
        close(states, [psi.data, psi.data], dtype)
        assert states.dtype == np.result_type(dtype, np.complex64)
        qubits = tuple(np.random.default_rng(seed).permutation(n)[: n // 2 + 1])
        close(bound.probabilities(program, qubits, none[0]), psi.probabilities(list(qubits)), dtype)
        read = tuple(observable(label, n) for label in labels)
        expected = [psi.expectation_value(SparsePauliOp(label)).real for label in labels]
        close(bound.expectation(program, read, none[0]), expected, dtype)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", STANDARD)
def test_every_standard_gate(name):
    """Under a control, too, on a state that is no product."""
    gate = standard(name, [0.7 + k for k in range(len(STANDARD[name].params))])
    circuit = QuantumCircuit(gate.num_qubits + 1)
    circuit.h(range(gate.num_qubits + 1))
    for q in range(gate.num_qubits):
        circuit.rz(0.3 + q, q)
        circuit.cx(q, q + 1)
    circuit.append(gate, range(gate.num_qubits))
    circuit.append(gate.control(annotated=True), range(gate.num_qubits + 1))
    close(bound.statevector(qj.parse(circuit), np.zeros(0)), Statevector(circuit).data)


@pytest.mark.usefixtures("x64")
def test_tables_matrices_and_permutations_that_are_not_affine():
    circuit = QuantumCircuit(5)
    circuit.h(range(5))
    circuit.append(lib.DiagonalGate(np.exp(1j * np.arange(8))), [0, 2, 4])
    circuit.ccx(0, 1, 2)
    circuit.append(lib.MCPhaseGate(0.7, 3), [2, 1, 0, 3])  # phases after a permutation that is no XOR
    circuit.unitary(random_unitary(8, seed=0), [3, 0, 1])
    circuit.unitary(random_unitary(4, seed=1), [4, 2])
    circuit.append(lib.PermutationGate([2, 0, 1]), [0, 1, 2])
    close(bound.statevector(qj.parse(circuit), np.zeros(0)), Statevector(circuit).data)


def test_circuits_of_a_size_share_a_program():
    """Whatever their gates, numbers of qubits and observables are: this is what makes a first answer quick."""
    jax.clear_caches()
    answers = (bound._amplitudes, bound._probabilities, bound._expectations)
    for seed in range(20):
        n = seed % 4 + 2
        circuit = random_circuit(n, 5, max_operands=2, seed=seed)
        (
            qj.statevector(circuit)(NONE),
            qj.probabilities(circuit)(NONE),
            qj.expectation(circuit, ["Z" * n, "X" * n])(NONE),
        )
    assert [f._cache_size() for f in answers] == [1, 1, 1]


def test_what_has_a_program_of_its_own(monkeypatch):
    """Values that are asked for inside of jit, large circuits, projectors, and amplitudes that are loaded."""
    monkeypatch.setattr(any_circuit, "WORK", 1 << 12)
    any_circuit.encode.cache_clear()
    f = qj.expectation(lib.real_amplitudes(3, reps=1).assign_parameters([0.1] * 6), "ZZZ")
    assert bound.expectation(f.program, f.observables, NONE) is not None
    assert jax.jit(lambda x: x * f([]))(2.0) == pytest.approx(2 * float(f([])), abs=1e-6)
    deep = qj.parse(lib.real_amplitudes(6, reps=70).assign_parameters([0.1] * 426))
    assert bound.statevector(deep, NONE) is None
    wide = QuantumCircuit(13)
    wide.h(range(13))
    assert bound.statevector(qj.parse(wide), NONE) is None
    matrix = QuantumCircuit(5)
    matrix.unitary(random_unitary(32, seed=0), range(5))
    assert bound.statevector(qj.parse(matrix), NONE) is None
    projector = qj.expectation(lib.real_amplitudes(2).assign_parameters([0.1] * 8), "0Z")
    assert bound.expectation(projector.program, projector.observables, NONE) is None
    assert projector([]).shape == ()
    any_circuit.encode.cache_clear()


def test_shapes_and_types():
    circuit = lib.real_amplitudes(2).assign_parameters([0.1] * 8)
    assert qj.expectation(circuit, "ZZ")().shape == ()
    assert qj.expectation(circuit, ["ZZ"])(np.zeros((3, 2, 0))).shape == (3, 2, 1)
    assert qj.probabilities(circuit, [1])(jnp.zeros((3, 0))).shape == (3, 2)
    assert isinstance(qj.statevector(circuit)(), jax.Array)
    assert qj.statevector(circuit)(np.zeros((0, 0))).shape == (0, 4)
    assert jax.vmap(qj.expectation(circuit, "ZZ"))(jnp.zeros((3, 0))).shape == (3,)
    assert jax.grad(lambda p: qj.expectation(circuit, "ZZ")(p))(jnp.zeros(0)).shape == (0,)
