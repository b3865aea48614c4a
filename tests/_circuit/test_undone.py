"""A program, then its inverse at other parameters. Oracle: Qiskit's `Operator`."""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import PermutationGate
from qiskit.quantum_info import Operator, random_unitary

import qmljax as qj
from qmljax._circuit.undone import undone


def test_it_is_the_inverse_at_the_second_parameters(x64):
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(3, global_phase=a)
    circuit.rx(a * b + 0.3, 0), circuit.ry(a.sin() - b, 1), circuit.rz(2 * b, 2), circuit.cp(0.7 * a, 0, 2)
    circuit.unitary(random_unitary(4, seed=0), [2, 1]), circuit.append(PermutationGate([2, 0, 1]), [0, 1, 2])
    circuit.crx(b, 1, 0), circuit.ccx(0, 1, 2)
    both = undone(qj.parse(circuit))
    x, y = np.random.default_rng(0).normal(size=(2, 2))
    there, back = (Operator(circuit.assign_parameters(list(p))).data for p in (x, y))
    found = qj.unitary(both, compile=True)(np.concatenate([x, y]))
    np.testing.assert_allclose(found, back.conj().T @ there, rtol=0, atol=1e-12)
    assert len(set(both.parameters)) == both.num_parameters == 4
