"""Measurement, reset and branches. Oracle: every branch by itself, in NumPy; and closed forms."""

import math
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from branches import density, distribution
from dynamic_circuits import Maker
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Clbit, Parameter
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import DiagonalGate, PauliProductMeasurement
from qiskit.quantum_info import Pauli

import qmljax as qj

pytestmark = pytest.mark.usefixtures("x64")


def bits(circuit: Any, clbits: Any) -> np.ndarray:
    return np.asarray(qj.probabilities(circuit, clbits=clbits, compile=False)([]))


def same(circuit: QuantumCircuit) -> None:
    """Distribution and density matrix are those of the branches."""
    every = range(circuit.num_clbits)
    np.testing.assert_allclose(bits(circuit, every), distribution(circuit, every), atol=1e-12)
    acted = circuit.copy()
    acted.p(0.0, range(circuit.num_qubits))  # after which no measurement is a final one
    np.testing.assert_allclose(np.asarray(qj.density_matrix(acted)([])), density(acted), atol=1e-12)


@pytest.mark.parametrize("start", range(0, 500, 50))
def test_random_circuits(start):
    for seed in range(start, start + 50):
        circuit = Maker(seed).circuit_of(12)
        program = qj.parse(circuit)
        assert program.width == 3 and program.num_qubits == 3 + len(program.ancillas)
        if program.num_qubits > 13:
            continue
        every = range(circuit.num_clbits)
        np.testing.assert_allclose(bits(circuit, every), distribution(circuit, every), atol=1e-12, err_msg=str(seed))


@pytest.mark.parametrize("seed", range(1000, 1030))
def test_what_is_left_of_random_circuits(seed):
    circuit = Maker(seed).circuit_of(8)
    circuit.p(0.0, range(3))
    if qj.parse(circuit).num_qubits > 8:
        pytest.skip("many wires")
    same(circuit)


# Closed forms.


def teleported(angle: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(3, 2)
    circuit.ry(angle, 0), circuit.h(1), circuit.cx(1, 2), circuit.cx(0, 1), circuit.h(0)
    circuit.measure([0, 1], [0, 1])
    with circuit.if_test((1, 1)):
        circuit.x(2)
    with circuit.if_test((0, 1)):
        circuit.z(2)
    return circuit


def test_teleportation():
    values = qj.expectation(teleported(0.7), ["ZII", "XII", "IIX", "IXI"])([])
    np.testing.assert_allclose(values, [math.cos(0.7), math.sin(0.7), 0, 0], atol=1e-12)
    np.testing.assert_allclose(bits(teleported(0.7), [0, 1]), np.full(4, 0.25), atol=1e-12)


def test_iterative_phase_estimation():
    """Of the phase 2 pi 0.1011 (binary), bit by bit from the last, on one qubit that is used again: it is sure."""
    phase = 0.5 + 1 / 8 + 1 / 16
    circuit = QuantumCircuit(2, 4)
    circuit.x(1)
    for k in range(4):
        circuit.reset(0)
        circuit.h(0)
        circuit.cp(2 * math.pi * phase * 2 ** (3 - k), 0, 1)
        for j in range(k):
            with circuit.if_test((j, 1)):
                circuit.p(-math.pi / 2 ** (k - j), 0)
        circuit.h(0)
        circuit.measure(0, k)
    p = bits(circuit, range(4))
    assert abs(p[0b1011] - 1) < 1e-12  # bit k is the k-th digit from the end


def test_repeat_until_success():
    """Each of three tries succeeds with probability sin(a / 2)**2, and a success ends the loop."""
    a = 1.1
    circuit = QuantumCircuit(1, 2)
    with circuit.for_loop(range(3)):
        circuit.reset(0)
        circuit.ry(a, 0)
        circuit.measure(0, 0)
        with circuit.if_test((0, 1)):
            circuit.break_loop()
    failure = math.cos(a / 2) ** 2
    np.testing.assert_allclose(bits(circuit, [0]), [failure**3, 1 - failure**3], atol=1e-12)


def test_ghz_by_measurement():
    """Each second qubit of a line measures the parity of its neighbours, and XORs of outcomes say what to flip."""
    n = 4
    circuit = QuantumCircuit(2 * n - 1, n - 1)
    circuit.h(range(0, 2 * n - 1, 2))
    for k in range(n - 1):
        circuit.cx(2 * k, 2 * k + 1), circuit.cx(2 * k + 2, 2 * k + 1), circuit.measure(2 * k + 1, k)
    for k in range(1, n):
        parity = expr.lift(circuit.clbits[0])
        for j in range(1, k):
            parity = expr.bit_xor(parity, circuit.clbits[j])
        with circuit.if_test(parity):
            circuit.x(2 * k)
    program = qj.parse(circuit)
    assert len(program.ops) < 30 and len(program.ancillas) == n - 1  # no product for each set of outcomes
    rho = np.asarray(qj.density_matrix(circuit, range(0, 2 * n - 1, 2))([]))
    ghz = np.zeros(1 << n)
    ghz[[0, -1]] = math.sqrt(0.5)
    np.testing.assert_allclose(rho, np.outer(ghz, ghz), atol=1e-12)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("bit", [0, 1])
def test_signs_of_bits(known, bit):
    """The sign of RZZ on a qubit whose bit is known, or is that of the branch, and under controls of both kinds."""
    circuit = QuantumCircuit(3, 1)
    circuit.h([1, 2])
    if known:
        circuit.x(0) if bit else None
        circuit.measure(0, 0)
    else:
        circuit.h(0), circuit.measure(0, 0)
    with circuit.if_test((0, bit)):
        (
            circuit.rzz(0.7, 0, 1),
            circuit.crz(0.5, 0, 2, ctrl_state=bit),
            circuit.append(DiagonalGate([1, 1j, -1, 1]), [0, 2]),
        )
    circuit.rzz(0.4, 1, 0), circuit.rx(0.9, 1), circuit.sx(2)
    circuit.measure(0, 0)
    same(circuit)


# How many wires, and why.


def made(*steps: Any, qubits: int = 2, clbits: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits, clbits)
    for name, *arguments in steps:
        getattr(circuit, name)(*arguments)
    return circuit


@pytest.mark.parametrize(
    ("wires", "steps"),
    [
        (0, [("h", 0), ("measure", 0, 0)]),
        (0, [("measure", 0, 0), ("x", 0), ("reset", 0), ("h", 0)]),  # all is known before it runs
        (0, [("x", 0), ("measure", 0, 0), ("reset", 0), ("reset", 0), ("z", 1), ("reset", 1)]),
        (1, [("h", 0), ("reset", 0), ("h", 0)]),
        (1, [("h", 0), ("measure", 0, 0), ("reset", 0), ("h", 0)]),  # the measured qubit is the record
        (1, [("h", 0), ("measure", 0, 0), ("h", 0), ("measure", 0, 1)]),
        (1, [("h", 0), ("measure", 0, 0), ("measure", 0, 1), ("h", 0)]),  # both bits share a record
        (1, [("h", 0), ("measure", 0, 0), ("cz", 0, 1), ("p", 0.3, 0), ("cx", 0, 1)]),  # which only observables see
        (0, [("h", 0), ("measure", 0, 0), ("barrier",), ("delay", 5, 0)]),
        (2, [("h", 0), ("measure", 0, 0), ("h", 0), ("measure", 0, 0), ("h", 0)]),  # two outcomes, one forgotten
    ],
)
def test_wires(wires, steps):
    circuit = made(*steps)
    program = qj.parse(circuit)
    assert program.num_qubits == 2 + wires and program.width == 2
    assert all(reason.startswith("Instruction ") for reason in program.ancillas)
    same(circuit)


def test_what_is_read_of_diagonal_gates_takes_no_wire():
    circuit = made(("h", 0), ("measure", 0, 0), ("cz", 0, 1), ("h", 1))
    small = qj.probabilities(circuit, clbits=[0])
    assert small.program.num_qubits == 1
    assert qj.expectation(circuit, "ZZ").program.num_qubits == 2  # no copy of the record
    assert qj.expectation(circuit, "IX").program.num_qubits <= 2
    assert qj.expectation(circuit, "IY").program.num_qubits <= 2


def test_reasons_are_said():
    circuit = QuantumCircuit(1, 1)
    for _ in range(31):
        circuit.h(0), circuit.measure(0, 0)
    program = qj.parse(circuit)
    assert repr(program).startswith("Program(1 qubits + 30 wires, 0 parameters, ")
    np.testing.assert_allclose(qj.expectation(circuit, "X")([]), 0, atol=1e-12)  # on what is there at once
    with pytest.raises(ValueError, match=r"A simulation of 32 qubits.*30 of them.*Instruction 1, `measure`.*sample"):
        qj.expectation(circuit, "Z", given={0: 1})


# Bits.


def test_bits_of_the_circuit():
    circuit = QuantumCircuit(2, 4)
    circuit.h(0), circuit.measure(0, 3), circuit.x(1)
    with circuit.if_test((3, 1)):
        circuit.measure(1, 1)
    np.testing.assert_allclose(bits(circuit, [3, 1]), [0.5, 0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(bits(circuit, [0, 3]), [0.5, 0, 0.5, 0], atol=1e-12)  # nobody writes bit 0
    np.testing.assert_allclose(
        qj.sampler_qnn(circuit, inputs=[])([], np.zeros((1, 0)))[0], [0.5, 0, 0, 0.5], atol=1e-12
    )
    assert qj.parse(circuit).clbits == (1, 3)


def test_bits_that_are_written_in_blocks_that_are_never_run():
    """By instructions of all kinds."""
    inner = QuantumCircuit(1, 1)
    inner.measure(0, 0)
    circuit = QuantumCircuit(2, 5)
    with circuit.if_test((4, 1)):
        circuit.append(PauliProductMeasurement(Pauli("ZZ")), [0, 1], [0])
        circuit.append(inner.to_instruction(), [0], [1])
        circuit.store(expr.lift(circuit.clbits[2]), True)
    with circuit.for_loop(()):
        circuit.measure(0, 3)
    assert qj.parse(circuit).clbits == (0, 1, 2, 3)


def test_bits_of_a_branch_that_is_never_taken():
    circuit = made(("h", 0))
    with circuit.if_test((1, 1)):
        circuit.measure(0, 0)
    assert qj.parse(circuit).clbits == (0,)
    np.testing.assert_allclose(bits(circuit, [0, 1]), [1, 0, 0, 0], atol=1e-12)
    assert set(np.asarray(qj.sample(circuit, 50)([], jax.random.key(0))).tolist()) == {0}
    sure = made(("x", 0), ("measure", 0, 1), ("reset", 0))
    np.testing.assert_allclose(bits(sure, [0, 1]), [0, 0, 1, 0], atol=1e-12)
    assert qj.parse(sure).measured == (~1,)


@pytest.mark.parametrize("clbits", [[2], [0, 0], [-1]])
def test_wrong_clbits(clbits):
    with pytest.raises(ValueError, match="`clbits` must be different classical bits between 0 and 1"):
        qj.probabilities(made(("h", 0), ("measure", 0, 0)), clbits=clbits)


def test_clbits_and_qubits():
    with pytest.raises(ValueError, match="both given"):
        qj.probabilities(made(("h", 0)), [0], clbits=[0])
    with pytest.raises(TypeError, match=r"For a Clbit pass circuit.find_bit\(clbit\).index"):
        qj.probabilities(made(("h", 0)), clbits=[Clbit()])
    with pytest.raises(ValueError, match="which has none"):
        qj.probabilities(QuantumCircuit(1), clbits=[0])


# What is read.


def test_loads_after_a_reset():
    circuit = QuantumCircuit(2, 1)
    circuit.h(0), circuit.cx(0, 1), circuit.measure(0, 0), circuit.reset(0)
    circuit.append(qj.circuits.raw_feature_vector(2).data[0].operation, [0])
    f = qj.expectation(circuit, ["IZ", "ZZ", "ZI"])
    np.testing.assert_allclose(f([3.0, 4.0]), [(9 - 16) / 25, 0, 0], atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_expressions(seed):
    """Every operation of integers, on measured bits, against Python's integers."""
    a, b = ClassicalRegister(2, "a"), ClassicalRegister(2, "b")
    circuit = QuantumCircuit(QuantumRegister(4), a, b, ClassicalRegister(1, "c"), ClassicalRegister(2, "d"))
    rng = np.random.default_rng(seed)
    for q in range(4):
        circuit.ry(rng.uniform(0, 3), q)
    circuit.measure(range(4), range(4))
    wide = [expr.cast(x, types.Uint(4)) for x in (a, b)]
    binary = [
        lambda x, y: expr.less(expr.add(x, y), 5),
        lambda x, y: expr.greater(expr.sub(x, y), 3),
        lambda x, y: expr.less_equal(expr.mul(x, y), 4),
        lambda x, y: expr.equal(expr.div(x, expr.bit_or(y, 1)), 1),
        lambda x, y: expr.not_equal(expr.shift_right(x, y), 1),
        lambda x, y: expr.greater_equal(expr.shift_left(x, y), 6),
        lambda x, y: expr.logic_and(expr.less(x, y), expr.index(x, 0)),
        lambda x, y: expr.logic_or(expr.logic_not(expr.equal(x, y)), expr.cast(expr.bit_and(x, y), types.Bool())),
    ][seed]
    with circuit.if_test(binary(*wide)) as otherwise:
        circuit.x(0)
    with otherwise:
        circuit.ry(0.4, 0)
    circuit.measure(0, 4)
    same(circuit)


def test_variables():
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(2, "c"))
    count = circuit.add_var("count", expr.lift(1, types.Uint(3)))
    scale = circuit.add_var("scale", expr.lift(0.5))
    with circuit.for_loop(range(2)):
        circuit.h(0), circuit.measure(0, 0)
        with circuit.if_test((0, 1)):
            circuit.store(count, expr.add(count, 2))
    with circuit.if_test(expr.logic_and(expr.equal(count, 5), expr.less(scale, 1.0))):
        circuit.x(1)
    circuit.measure(1, 1)
    np.testing.assert_allclose(bits(circuit, [1]), [0.75, 0.25], atol=1e-12)
    same(circuit)
    circuit.store(expr.lift(circuit.clbits[0]), expr.logic_not(circuit.clbits[1]))
    np.testing.assert_allclose(bits(circuit, [0]), [0.25, 0.75], atol=1e-12)


def test_wide_registers_are_compared_at_once():
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(40, "c"))
    circuit.h(0), circuit.measure(0, 39)
    with circuit.if_test((circuit.cregs[0], 1 << 39)):
        circuit.x(1)
    with circuit.switch(circuit.cregs[0]) as case, case(case.DEFAULT):
        circuit.z(1)
    np.testing.assert_allclose(np.asarray(qj.probabilities(circuit)([])), [0.5, 0, 0, 0.5], atol=1e-12)


def test_conditions_of_too_many_bits():
    circuit = QuantumCircuit(QuantumRegister(17), ClassicalRegister(17, "c"))
    circuit.h(range(17)), circuit.measure(range(17), range(17))
    with circuit.if_test(expr.less(circuit.cregs[0], 3)):
        circuit.x(0)
    with pytest.raises(NotImplementedError, match="Instruction 34, `if_else`.*17 measured bits, but at most 16"):
        qj.parse(circuit)


def test_many_outcomes_of_a_condition():
    """One that is a sum of many products has a wire of its own, once."""
    circuit = QuantumCircuit(QuantumRegister(7), ClassicalRegister(6, "c"))
    for q in range(6):
        circuit.ry(0.3 + q, q)
    circuit.measure(range(6), range(6))
    several = expr.equal(expr.bit_and(expr.mul(circuit.cregs[0], expr.lift(5, types.Uint(6))), 0b001011), 2)
    for _ in range(2):
        with circuit.if_test(several):
            circuit.ry(0.7, 6)
    circuit.measure(6, 0)
    np.testing.assert_allclose(bits(circuit, [0]), distribution(circuit, [0]), atol=1e-12)


def test_conditions_do_not_grow_without_bound():
    """Jumps out of nested loops depend on many outcomes; parities on more than are tabulated as products."""
    circuit = QuantumCircuit(3, 4)
    circuit.h(0)
    with circuit.for_loop(range(2)):
        circuit.ry(0.9, 0), circuit.measure(0, 0)
        with circuit.for_loop((2, 5)) as j:
            circuit.rx(0.3 * j, 1), circuit.measure(1, 1)
            with circuit.switch(circuit.cregs[0]) as case:
                with case(0):
                    circuit.h(2)
                with case(1, 3):
                    circuit.measure(2, 2), circuit.continue_loop()
                with case(case.DEFAULT):
                    circuit.reset(0), circuit.h(0), circuit.break_loop()
            circuit.measure(2, 3)
        with circuit.if_test((3, 1)):
            circuit.x(1), circuit.break_loop()
    program = qj.parse(circuit)
    assert len(program.ops) < 500 and program.num_qubits < 30
    line = QuantumCircuit(14, 14)
    line.h(range(14)), line.measure(range(13), range(13))
    parity = expr.lift(line.clbits[0])
    for bit in line.clbits[1:13]:
        parity = expr.bit_xor(parity, bit)
    with line.if_test(parity):
        line.x(13)
    with line.if_test(expr.logic_not(parity)):
        line.z(13)
    program = qj.parse(line)
    assert len(program.ops) < 80 and program.num_qubits < 30


@pytest.mark.parametrize("n", [2, 5, 9, 20])
def test_parities(n):
    """Of any number of bits, over operations of all kinds: they act where the sum is odd, with probability 1/2."""
    circuit = QuantumCircuit(n + 2, n)
    circuit.h(range(n)), circuit.measure(range(n), range(n))
    parity = expr.lift(circuit.clbits[0])
    for bit in circuit.clbits[1:]:
        parity = expr.bit_xor(parity, bit)
    with circuit.if_test(parity) as otherwise:
        circuit.ry(0.6, n), circuit.unitary(np.diag([1, 1j]) @ np.array([[0, 1], [1, 0]]), n + 1)
    with otherwise:
        circuit.rz(0.3, n)
    program = qj.parse(circuit)
    assert len(program.ops) < 60 * (2 if n < 9 else n)
    if n < 9:
        same(circuit)
    else:
        value = qj.expectation(circuit, "IZ" + "I" * n)([])
        np.testing.assert_allclose(value, (1 + math.cos(0.6)) / 2, atol=1e-12)


def test_nested_loops_and_jumps():
    circuit = QuantumCircuit(2, 2)
    with circuit.for_loop(range(2)):
        with circuit.for_loop(range(3)) as k:
            circuit.ry(0.3 * k + 0.2, 0)
            circuit.measure(0, 0)
            with circuit.if_test((0, 1)):
                circuit.x(0)
                circuit.continue_loop()
            circuit.rx(0.4, 1)
            circuit.measure(1, 1)
            with circuit.if_test((1, 1)):
                circuit.break_loop()
        circuit.h(0)
    every = range(2)
    np.testing.assert_allclose(bits(circuit, every), distribution(circuit, every), atol=1e-12)


def test_static_whiles():
    circuit = QuantumCircuit(1, 2)
    count = circuit.add_var("count", expr.lift(0, types.Uint(4)))
    with circuit.while_loop(expr.less(count, 3)):
        circuit.ry(0.2, 0)
        circuit.store(count, expr.add(count, 1))
    with circuit.while_loop((1, 1)):
        circuit.measure(0, 0)
    np.testing.assert_allclose(qj.expectation(circuit, "Z")([]), math.cos(0.6), atol=1e-12)
    assert qj.parse(circuit).clbits == (0,)


def test_measured_products():
    circuit = QuantumCircuit(2, 2)
    circuit.ry(0.4, 0), circuit.rx(0.8, 1), circuit.cx(0, 1)
    for k, label in enumerate(["XZ", "-YX"]):
        circuit.append(PauliProductMeasurement(Pauli(label)), [0, 1], [k])
    same(circuit)


QASM_2 = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; measure q[0] -> c[0]; if (c == 1) x q[1];'
QASM_3 = """OPENQASM 3.0; include "stdgates.inc"; bit[2] c; qubit[2] q; h q[0]; c[0] = measure q[0];
if (c[0]) { x q[1]; } else { reset q[0]; h q[0]; } c[1] = measure q[1]; for int i in [0:1] { if (c[1]) { h q[0]; } }"""


def test_files(tmp_path: pathlib.Path):
    np.testing.assert_allclose(np.asarray(qj.probabilities(QASM_2)([])), [0.5, 0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(bits(QASM_3, [0, 1]), [0.5, 0, 0, 0.5], atol=1e-12)
    circuit = Maker(3).circuit_of(10)
    with (tmp_path / "circuit.qpy").open("wb") as file:
        qpy.dump(circuit, file)
    assert qj.parse(tmp_path / "circuit.qpy") == qj.parse(circuit)


# What has no state.


@pytest.mark.parametrize("ask", [qj.statevector, qj.unitary, qj.metric_tensor, qj.fidelity_kernel])
def test_mixtures_have_no_state(ask):
    t = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.ry(t, 0), circuit.measure(0, 0), circuit.h(0)
    with pytest.raises(ValueError, match=r"no state of its own.*Instruction 1, `measure`.*`density_matrix`"):
        ask(circuit)


def test_states_of_circuits_whose_outcomes_are_sure():
    circuit = made(("x", 0), ("measure", 0, 0), ("reset", 0), ("h", 0))
    with circuit.if_test((0, 1)):
        circuit.x(1)
    np.testing.assert_allclose(qj.statevector(circuit)([]), np.array([0, 0, 1, 1]) / math.sqrt(2), atol=1e-12)


def test_static_programs_are_as_before():
    """A measurement at the end, of any kind, adds no wire and changes no operation."""
    circuit = QuantumCircuit(2, 2)
    circuit.ry(Parameter("t"), 0), circuit.cx(0, 1)
    plain = qj.parse(circuit)
    circuit.measure([1, 0], [0, 1])
    measured = qj.parse(circuit)
    assert measured.unmeasured == plain.unmeasured and measured.ops == plain.ops and measured.measured == (1, 0)
    assert measured.outputs is None and measured.ancillas == () and not measured.is_dynamic
