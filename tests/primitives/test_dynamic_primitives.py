"""Circuits that measure on their way, through primitives both ways. Oracles: branches in NumPy, and Aer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from branches import density, distribution
from dynamic_circuits import Maker
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Clbit, Parameter, ParameterVector
from qiskit.circuit.classical import expr, types
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

import qmljax as qj
from qmljax.primitives import Estimator, PrimitiveBackend, Sampler

aer = pytest.importorskip("qiskit_aer")


def test_estimator():
    t = Parameter("t")
    for seed in range(6):
        circuit = Maker(seed).circuit_of(10)
        circuit.ry(t, 0), circuit.rx(0.1, [1, 2])
        evs = Estimator().run([(circuit, ["ZIZ", "XII"], [[0.3], [0.9]])]).result()[0].data.evs
        for k, (label, value) in enumerate([("ZIZ", 0.3), ("XII", 0.9)]):
            rho = density(circuit.assign_parameters([value]))
            expected = np.trace(matrix_of(label) @ rho).real
            np.testing.assert_allclose(evs[k], expected, atol=1e-12)


def matrix_of(label: str) -> np.ndarray:
    letters = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Z": np.diag([1, -1])}
    matrix = np.eye(1)
    for letter in label:
        matrix = np.kron(matrix, letters[letter])
    return matrix


def test_sampler():
    for seed in range(8):
        circuit = Maker(seed).circuit_of(10)
        result = Sampler(exact=True).run([circuit]).result()[0]
        for k, name in enumerate("ab"):
            expected = distribution(circuit, [2 * k, 2 * k + 1])
            np.testing.assert_allclose(result.metadata["probabilities"][name], expected, atol=1e-12)


def test_measurements_inside_of_instructions():
    inner = QuantumCircuit(1, 1)
    inner.x(0), inner.measure(0, 0)
    circuit = QuantumCircuit(1, 2)
    circuit.append(inner.to_instruction(), [0], [1])
    assert Sampler().run([circuit], shots=9).result()[0].data.c.get_counts() == {"10": 9}


def aer_counts(circuit: QuantumCircuit, shots: int, seed: int) -> np.ndarray:
    simulator = aer.AerSimulator(seed_simulator=seed)
    counts = simulator.run(transpile(circuit, simulator, optimization_level=0), shots=shots).result().get_counts()
    found = np.zeros(16)
    for key, count in counts.items():
        found[int(key.replace(" ", ""), 2)] = count
    return found


@pytest.mark.parametrize("seed", [0, 1, 2, 6, 7, 8, 9, 11, 12, 14, 15, 17, 19])
def test_aer_agrees(seed):
    """Within 5 standard errors, on what Aer 0.18 knows: others of these circuits make it raise, or abort."""
    circuit = Maker(seed, plain=True).circuit_of(12)
    counts = aer_counts(circuit, 4000, seed + 1)
    p = np.asarray(qj.probabilities(circuit, clbits=range(4), compile=False)([]), float)
    assert (np.abs(counts - 4000 * p) <= 5 * np.sqrt(4000 * p * (1 - p)) + 1e-2).all()


# Models on primitives.


def network() -> tuple[QuantumCircuit, Any]:
    """Parameters before a measurement, in both branches, and in a loop."""
    w = ParameterVector("w", 4)
    circuit = QuantumCircuit(2, 2)
    circuit.ry(w[0], 0), circuit.rx(w[1], 1), circuit.cx(0, 1), circuit.measure(0, 0)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.ry(w[2], 1)
    with otherwise:
        circuit.rx(w[2], 1)
    with circuit.for_loop(range(2)) as k:
        circuit.crx(w[3] + 0.3 * k, 0, 1)
    circuit.ry(0.3, 0), circuit.measure(1, 1)
    return circuit, w


WEIGHTS = np.array([0.4, -0.9, 1.3, 0.6])
NONE = np.zeros((1, 0))


def test_gradients_by_shifts_in_branches():
    """Exactly those of the simulator, on our own exact Estimator."""
    circuit, _ = network()
    model = qj.estimator_qnn(circuit, ["ZI", "XX", "IZ"], inputs=[], backend=PrimitiveBackend(Estimator()))
    exact = qj.estimator_qnn(circuit, ["ZI", "XX", "IZ"], inputs=[])
    np.testing.assert_allclose(model(WEIGHTS, NONE), exact(WEIGHTS, NONE), atol=1e-5)
    slopes = [jax.jacrev(m)(jnp.asarray(WEIGHTS, np.float32), NONE.astype(np.float32)) for m in (model, exact)]
    np.testing.assert_allclose(*slopes, atol=1e-5)


@pytest.mark.parametrize("sampler", [lambda: Sampler(seed=1), lambda: aer.primitives.SamplerV2(seed=2)])
def test_outcomes_of_classical_bits(sampler):
    circuit, _ = network()
    model = qj.sampler_qnn(circuit, inputs=[], backend=PrimitiveBackend(sampler=sampler(), shots=8000))
    expected = distribution(circuit.assign_parameters(WEIGHTS), [0, 1])
    found, errors = model.with_std(WEIGHTS, NONE)
    assert (np.abs(found[0] - expected) < 5 * errors[0] + 1e-3).all()
    slopes = [
        jax.jacrev(m)(jnp.asarray(WEIGHTS, np.float32), NONE.astype(np.float32))
        for m in (model, qj.sampler_qnn(circuit, inputs=[]))
    ]
    np.testing.assert_allclose(*slopes, atol=0.06)


def test_loops_that_are_left_have_no_rule():
    circuit = QuantumCircuit(1, 1)
    with circuit.for_loop(range(2)):
        circuit.ry(Parameter("t"), 0), circuit.measure(0, 0)
        with circuit.if_test((0, 1)):
            circuit.break_loop()
    with pytest.raises(ValueError, match="Instruction 0, `for_loop`.*break.*Write its turns one by one"):
        PrimitiveBackend(Estimator()).expectation(circuit, "Z")


def test_measurements_that_decide_something_stay():
    """Nothing acts on the qubit after them, but a branch reads the bit; in Qiskit's eyes these are final."""
    t = Parameter("t")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(t, 0), circuit.measure(0, 0)
    count = circuit.add_var("count", expr.lift(0, types.Uint(2)))
    circuit.store(count, expr.cast(circuit.clbits[0], types.Uint(2)))
    with circuit.if_test(expr.equal(count, 1)):
        circuit.x(1)
    circuit.measure([0, 1], [1, 1])
    f = PrimitiveBackend(Estimator()).expectation(circuit, ["ZI", "IX"])
    np.testing.assert_allclose(f(np.array([0.7])), [np.cos(0.7), 0], atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(f)(jnp.array([0.7]))[:, 0], [-np.sin(0.7), 0], atol=1e-6)


def test_whiles_have_no_rule():
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop(expr.logic_not(circuit.clbits[0])):
        circuit.rx(Parameter("t"), 0)
        circuit.store(expr.lift(circuit.clbits[0]), True)
    with pytest.raises(ValueError, match="Instruction 0, `while_loop`.*Write them one by one"):
        PrimitiveBackend(Estimator()).expectation(circuit, "Z")


def test_bits_in_no_register():
    circuit = QuantumCircuit(1)
    circuit.add_bits([Clbit()])
    circuit.h(0), circuit.measure(0, 0), circuit.h(0)
    with pytest.raises(ValueError, match="Classical bit 0 is in no register"):
        PrimitiveBackend(sampler=Sampler()).probabilities(circuit, clbits=[0])


def test_what_references_do():
    """Qiskit's refuse what is measured on the way."""
    circuit, _ = network()
    for job in (
        StatevectorSampler().run([(circuit, WEIGHTS)]),
        StatevectorEstimator().run([(circuit, "ZZ", WEIGHTS)]),
    ):
        with pytest.raises(Exception, match="mid-circuit|ControlFlowOp|measure|classical"):
            job.result()
