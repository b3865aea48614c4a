"""The laws of ops, and programs as values: equal, hashed, and cut down to the qubits they touch."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import CIRCUITS, LIBRARY, circuit_of, controlled_matrix, matrix, random_params
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Pauli, Statevector, random_unitary

import qmljax as qj
from qmljax._circuit.program import Angle, Op, Program, Table, constant, controlled, inverse

TABLE = Table(np.array([2, 0, 3, 1]))
OPS = {
    "ry": Op("ry", (1,), angle=constant(0.7)),
    "phase": Op("phase", (), angle=constant(0.7)),
    "phase of a bit": Op("phase", (), (2,), 1, constant(0.7)),
    "parity": Op("phase", (2, 0), angle=constant(0.7)),
    "parity under controls": Op("phase", (2,), (0, 1), 0b10, constant(-0.7)),
    "diagonal": Op("diagonal", (2, 0), (), 0, constant(0.5), Table(np.array([0.1, 0.2, -0.3, 4.0]))),
    "diagonal under a control": Op("diagonal", (1,), (2,), 0, constant(2.0), Table(np.array([0.1, 0.2]))),
    "flip": Op("flip", (2,)),
    "flip under controls": Op("flip", (1,), (2, 0), 0b01),
    "permutation": Op("permutation", (2, 1), table=TABLE),
    "dense": Op("dense", (0, 2), table=Table(random_unitary(4, seed=1).data)),
    "dense, degenerate": Op("dense", (0, 2), table=Table(np.kron(random_unitary(2, seed=1).data, np.eye(2)))),
    "dense, a swap": Op("dense", (1, 0), table=Table(np.eye(4, dtype=complex)[[0, 2, 1, 3]])),
}


def of(*ops: Op, n: int = 3) -> np.ndarray:
    return matrix(Program(n, (), (), ops))


@pytest.mark.parametrize("name", OPS)
def test_op_is_unitary_and_inverse_undoes_it(name):
    one = of(OPS[name])
    np.testing.assert_allclose(one @ one.conj().T, np.eye(8), atol=1e-14)
    np.testing.assert_allclose(of(OPS[name], inverse(OPS[name])), np.eye(8), atol=1e-14)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("pattern", range(4))
def test_controlled(name, pattern):
    """Against the matrix of the op, put by numpy under two controls, which are qubits 0 and 1 here."""
    op = OPS[name].on((2, 3, 4))
    expected = controlled_matrix(of(OPS[name]), 2, pattern)
    np.testing.assert_allclose(of(*controlled(op, (0, 1), pattern), n=5), expected, atol=1e-13)
    assert controlled(op, (), 0) == (op,)


@pytest.mark.parametrize("seed", range(30))
def test_cone_keeps_what_observables_feel(seed):
    """The expectation values of random observables on some qubits, those that read bits diagonal, stay as they were."""
    rng, n = np.random.default_rng(seed), 5
    kinds = list(OPS.values())
    ops = [kinds[k].on(tuple(rng.permutation(n).tolist())) for k in rng.integers(len(kinds), size=12)]
    reads = {int(q): bool(rng.integers(2)) for q in rng.permutation(n)[: rng.integers(1, 4)]}
    observable = np.ones((1, 1))
    for q in reversed(range(n)):
        a = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
        factor = np.eye(2) if q not in reads else np.diag(rng.normal(size=2)) if reads[q] else a + a.conj().T
        observable = np.kron(observable, factor)
    whole = Program(n, (), (), tuple(ops))
    cone = whole.cone(reads)
    assert set(cone.ops) <= set(ops)
    before, after = matrix(whole), matrix(cone)
    np.testing.assert_allclose(
        (after.conj().T @ observable @ after), (before.conj().T @ observable @ before), rtol=0, atol=1e-12
    )


def test_cone_of_known_circuits():
    def left(circuit: QuantumCircuit, reads: dict[int, bool]) -> list[tuple[str, tuple[int, ...]]]:
        return [(op.kind, op.qubits + op.controls) for op in qj.parse(circuit).cone(reads).ops]

    ladder = QuantumCircuit(3)
    for q in range(3):
        ladder.ry(0.1 * q + 0.1, q)
    ladder.cx(0, 1)
    ladder.rz(0.3, 0)
    ladder.cx(1, 2)
    assert left(ladder, {0: True}) == [("ry", (0,))]  # a control that only its bit is read of
    assert left(ladder, {0: False}) == [("ry", (0,)), ("ry", (1,)), ("flip", (1, 0)), ("phase", (0,))]
    assert left(ladder, {1: True}) == [("ry", (0,)), ("ry", (1,)), ("flip", (1, 0))]
    assert left(ladder, {}) == []
    assert len(left(ladder, dict.fromkeys(range(3), True))) == 5  # all but the phase, though flips follow it


def test_only_the_cone_is_simulated():
    def brickwork(n: int) -> QuantumCircuit:
        circuit = QuantumCircuit(n)
        for layer in range(3):
            for q in range(layer % 2, n - 1, 2):
                circuit.ry(0.1 + layer, q)
                circuit.cz(q, q + 1)
        return circuit

    x = qj.expectation(brickwork(1000), [499 * "I" + "X" + 500 * "I"])
    assert x.program.num_qubits == 4
    expected = Statevector(brickwork(12)).expectation_value(Pauli(5 * "I" + "X" + 6 * "I"))
    np.testing.assert_allclose(x(), [expected.real], atol=1e-6)
    assert abs(expected) > 0.1


def test_controlled_twice():
    once = controlled(OPS["flip under controls"].on((2, 3, 4)), (0,), 0)
    twice = [op for part in once for op in controlled(part, (1,), 1)]
    expected = controlled_matrix(of(OPS["flip under controls"]), 2, 0b10)
    np.testing.assert_allclose(of(*twice, n=5), expected, atol=1e-14)


def test_a_template_takes_its_angles():
    template = Op("phase", (1,), (0,), 1, Angle(1, -0.5))
    op = template.on((4, 2)).of([Angle(7, 3.0), Angle(9, 4.0)])
    assert op == Op("phase", (2,), (4,), 1, Angle(9, -2.0))
    assert template._replace(angle=constant(0.3)).of([]).angle == Angle(-1, 0.3)


def test_table_is_a_frozen_value():
    array = np.array([1.0, 2.0])
    table = Table(array)
    array[0] = 5.0
    assert table == Table([1.0, 2.0]) and hash(table) == hash(Table([1.0, 2.0]))
    assert table != Table([1, 2]) and table != Table([[1.0, 2.0]]) and table != "Table"
    assert repr(table) == "Table(float64[2])"
    with pytest.raises(ValueError, match="read-only"):
        table.array[0] = 3.0


# Programs as values.


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits_built_separately_have_one_program(name):
    """Other names of circuits, and other parameters of the same names, make no difference."""
    circuit, other = CIRCUITS[name](), CIRCUITS[name]()
    other.name = "another"
    assert not set(circuit.parameters) & set(other.parameters)
    program = qj.parse(circuit)
    assert qj.parse(other) is program and qj.parse(program) is program
    same = Program(*(getattr(program, f) for f in ("num_qubits", "parameters", "expressions", "ops", "measured")))
    assert same is not program and same == program and hash(same) == hash(program)
    assert pickle.loads(pickle.dumps(program)) == program
    assert repr(program).startswith(f"Program({program.num_qubits} qubits, {program.num_parameters} parameters, ")


def test_functions_of_equal_circuits_are_equal():
    one, other = (qj.statevector(LIBRARY["zz_feature_map"](3)) for _ in range(2))
    assert one == other and hash(one) == hash(other) and one._run is other._run


_BASE = [(lib.RXGate(0.5), [0]), (lib.CXGate(), [0, 1])]
_A, _B = Parameter("a"), Parameter("b")


@pytest.mark.parametrize(
    "other",
    [
        circuit_of(3, *_BASE),
        circuit_of(2, *_BASE[:1]),
        circuit_of(2, *_BASE[::-1]),
        circuit_of(2, (lib.RXGate(0.5), [1]), _BASE[1]),
        circuit_of(2, (lib.RXGate(0.5 + 1e-15), [0]), _BASE[1]),
        circuit_of(2, (lib.RYGate(0.5), [0]), _BASE[1]),
        circuit_of(2, _BASE[0], (lib.CXGate(ctrl_state=0), [0, 1])),
        circuit_of(2, _BASE[0], (lib.CXGate(), [1, 0])),
        circuit_of(2, *_BASE, global_phase=0.1),
        circuit_of(2, (lib.RXGate(_A), [0]), _BASE[1]),
        circuit_of(2, (lib.RXGate(_B), [0]), _BASE[1]),
        circuit_of(2, (lib.RXGate(2 * _A), [0]), _BASE[1]),
        circuit_of(2, (lib.RXGate(_A * _A), [0]), _BASE[1]),
    ],
)
def test_different_circuits_have_different_programs(other):
    others = [circuit_of(2, *_BASE), circuit_of(2, (lib.RXGate(_A + _B), [0]), _BASE[1])]
    for circuit in others:
        assert qj.parse(circuit) != qj.parse(other) and qj.parse(circuit) != "a program"


def test_what_leaves_a_program_alone():
    plain = circuit_of(2, *_BASE)
    decorated = QuantumCircuit(2)
    decorated.reset([0, 1])
    decorated.barrier()
    decorated.rx(0.5, 0)
    decorated.delay(100, 1)
    decorated.id(1)
    decorated.cx(0, 1, label="a label")
    assert qj.parse(plain) is qj.parse(decorated)


def test_programs_are_forgotten_with_their_last_owner():
    program = weakref.ref(qj.parse(circuit_of(1, (lib.RXGate(0.123456), [0]))))
    gc.collect()
    assert program() is None


def test_on_touched():
    circuit = circuit_of(6, (lib.RYGate(_A), [4]), (lib.CCXGate(), [4, 1, 3]), (lib.IGate(), [5]))
    program = qj.parse(circuit)
    assert program.touched == (1, 3, 4)
    small = program.on_touched()
    assert small.num_qubits == 3 and small.touched == (0, 1, 2)
    assert small == qj.parse(circuit_of(3, (lib.RYGate(_A), [2]), (lib.CCXGate(), [2, 0, 1])))
    wide = program.on_touched((5, 4))
    assert wide.num_qubits == 4 and wide.touched == (0, 1, 2)
    assert small.on_touched() is small


@pytest.mark.parametrize("name", CIRCUITS)
def test_touched_qubits_tell_the_state(name):
    """The state of the touched qubits, the others being 0, is the whole state."""
    circuit = CIRCUITS[name]()
    program, params = qj.parse(circuit), random_params(circuit)
    z = np.arange(2**circuit.num_qubits)
    others = sum(1 << q for q in range(circuit.num_qubits) if q not in program.touched)
    whole = matrix(program, params)[:, 0]
    np.testing.assert_allclose(whole[z & others == 0], matrix(program.on_touched(), params)[:, 0], atol=1e-14)
    np.testing.assert_allclose(whole[z & others != 0], 0.0)
