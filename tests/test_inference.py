"""Bayesian inference. Oracles: exact conditionals by dense numpy, the tables of Qiskit Machine Learning's tests."""

import itertools

import jax
import numpy as np
import pytest
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorSampler
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager

import qmljax as qj
from qmljax.inference import QBayesian
from qmljax.primitives import Sampler

A, B = 0.25, (0.6, 0.7)  # P(A), P(B | A)
C = {(0, 0): 0.1, (1, 0): 0.55, (0, 1): 0.7, (1, 1): 0.9}  # P(C | A, B)


def turn(p):
    return 2 * np.arcsin(np.sqrt(p))


def network():
    """The network of Qiskit Machine Learning's tests: B hears of A, C of both."""
    registers = [QuantumRegister(1, name) for name in "ABC"]
    circuit = QuantumCircuit(*registers)
    circuit.ry(turn(A), 0)
    for a, p in enumerate(B):
        circuit.append(rotation(p, 1, a), [0, 1])
    for (a, b), p in C.items():
        circuit.append(rotation(p, 2, a | b << 1), [0, 1, 2])
    return circuit


def rotation(p, controls, state):
    one = QuantumCircuit(1)
    one.ry(turn(p), 0)
    return one.to_gate().control(controls, ctrl_state=state)


def joint():
    """P[a, b, c], by numbers."""
    table = np.zeros((2, 2, 2))
    for a, b, c in itertools.product((0, 1), repeat=3):
        table[a, b, c] = (A, 1 - A)[1 - a] * (B[a], 1 - B[a])[1 - b] * (C[a, b], 1 - C[a, b])[1 - c]
    return table


def test_the_distribution_is_the_conditional_one():
    bayes, table = QBayesian(network()), joint()
    for known in itertools.product((None, 0, 1), repeat=3):
        evidence = {name: value for name, value in zip("ABC", known, strict=True) if value is not None}
        at = tuple(slice(None) if value is None else slice(value, value + 1) for value in known)
        whole = np.zeros_like(table)
        whole[at] = table[at] / table[at].sum()
        found = bayes.rejection_sampling(evidence)
        expected = {f"{c}{b}{a}": whole[a, b, c] for a, b, c in itertools.product((0, 1), repeat=3) if whole[a, b, c]}
        assert found == pytest.approx(expected, abs=1e-12)
        assert bayes.samples == found
        for query in ({"B": 1}, {"A": 0, "C": 1}, {}):
            where = tuple(query.get(name, slice(None)) for name in "ABC")
            assert bayes.inference(query, evidence) == pytest.approx(whole[where].sum(), abs=1e-12)


def test_the_tables_of_qiskit_machine_learning():
    """test_qbayesian.py: `test_rejection_sampling`, `test_rejection_sampling_format_res` and `test_inference`."""
    bayes = QBayesian(network())
    assert bayes.rejection_sampling({"A": 0, "B": 0}) == pytest.approx({"000": 0.9, "100": 0.1})
    assert bayes.rejection_sampling({"A": 0}) == pytest.approx({"000": 0.36, "100": 0.04, "010": 0.18, "110": 0.42})
    every = {"000": 0.27, "001": 0.03375, "010": 0.135, "011": 0.0175}
    every |= {"100": 0.03, "101": 0.04125, "110": 0.315, "111": 0.1575}
    assert bayes.rejection_sampling({}) == pytest.approx(every, abs=1e-10)
    assert set(bayes.rejection_sampling({"A": 0, "C": 1}, format_res=True)) == {"P(B=0|A=0,C=1)", "P(B=1|A=0,C=1)"}
    named = {"P(A=0,B=0|C=1)", "P(A=1,B=0|C=1)", "P(A=0,B=1|C=1)", "P(A=1,B=1|C=1)"}
    assert set(bayes.rejection_sampling({"C": 1}, format_res=True)) == named
    assert "P(A=1,B=0,C=1)" in bayes.rejection_sampling({}, format_res=True)
    assert bayes.inference({"B": 1}, {"A": 1, "C": 1}) == pytest.approx(0.79, abs=0.005)
    assert bayes.inference({"B": 0}) == pytest.approx(0.21, abs=0.005)
    assert bayes.inference({}) == pytest.approx(1)
    assert bayes.inference({"B": 1}, {"A": 0}) == pytest.approx(0.6)


def test_convergence_is_that_of_amplitude_amplification():
    """P(B=1) = 0.625 is 0.16 after one step and 0.98 after two: `test_parameter` of Qiskit Machine Learning."""
    bayes = QBayesian(network(), limit=0)
    exact = bayes.rejection_sampling({"B": 1})
    assert not bayes.converged
    bayes.limit = 1
    assert bayes.rejection_sampling({"B": 1}) == exact and bayes.converged
    bayes.threshold = 0.99
    bayes.rejection_sampling({"B": 1})
    assert not bayes.converged and bayes.threshold == 0.99


SAMPLERS = {
    "Qiskit": lambda: StatevectorSampler(default_shots=20_000, seed=1),
    "ours": lambda: Sampler(default_shots=20_000, seed=1),
    "shots": lambda: qj.Shots(20_000, jax.random.key(1)),
}


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_find_the_evidence(name):
    exact, device = QBayesian(network(), limit=3), QBayesian(network(), sampler=SAMPLERS[name](), limit=3)
    for evidence in ({"B": 1}, {"A": 1, "C": 0}, {}):
        expected = exact.rejection_sampling(evidence)
        found = device.rejection_sampling(evidence)
        assert found == pytest.approx(expected, abs=0.02)
        assert device.converged == exact.converged
    assert device.inference({"C": 1}, {"B": 1}) == pytest.approx(exact.inference({"C": 1}, {"B": 1}), abs=0.02)


def test_circuits_are_transpiled_for_the_sampler():
    small = QuantumCircuit(QuantumRegister(1, "A"), QuantumRegister(1, "B"))
    small.ry(turn(0.2), 0)
    small.append(rotation(0.9, 1, 1), [0, 1])
    small.append(rotation(0.3, 1, 0), [0, 1])
    passes = generate_preset_pass_manager(optimization_level=0, basis_gates=["u", "cx"])
    sampler = StatevectorSampler(default_shots=4096, seed=0)
    bayes = QBayesian(small, sampler=sampler, pass_manager=passes)
    assert bayes.inference({"B": 0}, {"A": 1}) == pytest.approx(0.1, abs=0.03)
    assert QBayesian(small).inference({"B": 0}, {"A": 1}) == pytest.approx(0.1)


def test_qubits_and_registers_in_another_order():
    a, b = QuantumRegister(1, "A"), QuantumRegister(1, "B")
    circuit = QuantumCircuit([b[0], a[0]])  # qubit 0 is B
    circuit.add_register(a, b)
    circuit.ry(turn(0.2), a)
    circuit.x(b)
    assert QBayesian(circuit).rejection_sampling({}) == pytest.approx({"10": 0.8, "11": 0.2})


def test_what_is_refused():
    bayes = QBayesian(network())
    certain = QuantumCircuit(QuantumRegister(1, "A"))
    for call, message in (
        (lambda: QBayesian(QuantumCircuit(QuantumRegister(2, "A"))), "a register of one qubit for each variable"),
        (lambda: QBayesian(QuantumCircuit(1)).inference({"q": 0}), "`evidence` must be given in the first call"),
        (lambda: bayes.inference({"D": 0}, {}), "`query` must name variables of the network, A, B, C, but names 'D'"),
        (lambda: bayes.rejection_sampling({"A": 2}), "`evidence` must give each variable 0 or 1, but gives 'A' 2"),
        (lambda: bayes.rejection_sampling({"A": True}), "0 or 1, but gives 'A' True"),
        (lambda: QBayesian(certain).rejection_sampling({"A": 1}), "`evidence` must be possible"),
        (lambda: QBayesian(network(), threshold=0.0), "`threshold` must be a share"),
        (lambda: QBayesian(network(), limit=-1), "`limit` must be an integer from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    turned = QuantumCircuit(QuantumRegister(1, "A"))
    turned.ry(Parameter("t"), 0)
    with pytest.raises(ValueError, match="`circuit` must have no parameters, but has t"):
        QBayesian(turned)
    for wrong in (3, "aer", StatevectorSampler):
        with pytest.raises(TypeError, match="`sampler` must be a V2 sampler"):
            QBayesian(network(), sampler=wrong)
    with pytest.raises(TypeError, match="`evidence` must be a mapping"):
        bayes.rejection_sampling("A=1")
