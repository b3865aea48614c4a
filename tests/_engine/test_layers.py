"""The scheduler: what circuits become, by counting layers, and that levels do what their program does.

`act_on` runs levels in numpy, by the docstrings of `_layers`; the reference for programs is `circuits.run`, and for
circuits Qiskit. Thresholds that choose how tables are stored are lowered, so that small circuits go through all ways.
"""

from collections.abc import Sequence

import jax
import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import ATOL, CIRCUITS, circuit_of, random_params, run, state, value
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import random_unitary

import qmljax as qj
from qmljax._circuit import basis
from qmljax._circuit.expressions import Affine
from qmljax._circuit.program import Angle, Op, Program, Table
from qmljax._engine import layers, segments
from qmljax._engine.layers import Layers, Permutation, schedule


def act_on(layers: Layers, values: Sequence[float], psi: np.ndarray) -> np.ndarray:
    """exp(i phase) * levels[-1] ... levels[0] on a state (2**n, ...)."""

    def angles(slots: Sequence[dict[int, float]]) -> np.ndarray:
        return np.array([sum(c * (1.0 if e < 0 else values[e]) for e, c in slot.items()) for slot in slots])

    shape = psi.shape
    psi = psi.reshape(len(psi), -1)
    for level in layers.levels:
        if level.phases is not None:
            high, low = level.phases.tables.high, level.phases.tables.low
            c = low if high is None else np.einsum("krh,rl->khl", high, low).reshape(len(high), -1)
            psi = np.exp(1j * angles(level.phases.slots) @ c)[:, None] * psi
        if level.diagonal is not None:
            psi = level.diagonal[:, None] * psi
        if level.permutation is not None:
            source, target = (index(level.permutation, name) for name in ("source", "target"))
            np.testing.assert_array_equal(source[target], np.arange(len(psi)))
            psi = psi[source]
        if level.rotations is not None:
            for q, a in enumerate(angles(level.rotations)):
                split = psi.reshape(-1, 2, 2**q, psi.shape[1])
                turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
                psi = np.einsum("ij,ajbc->aibc", turn, split).reshape(psi.shape)
        if level.dense is not None:
            psi = (level.dense @ psi.reshape(len(level.dense), -1)).reshape(psi.shape)
    return np.exp(1j * angles([layers.phase])[0]) * psi.reshape(shape)


def index(permutation: Permutation, name: str) -> np.ndarray:
    high, low = getattr(permutation, name)
    return (high[:, None] ^ low[None, :]).ravel()


def assert_scheduled(program: Program, params: Sequence[float] = ()) -> None:
    """The levels do what the ops do: on a random state, and, with the shortcuts it allows, on |0>."""
    rng, size = np.random.default_rng(0), 2**program.num_qubits
    values = [value(e, params) for e in program.expressions]
    psi = rng.normal(size=size) + 1j * rng.normal(size=size)
    psi /= np.linalg.norm(psi)
    whole = schedule.__wrapped__(program, from_zero=False)
    np.testing.assert_allclose(act_on(whole, values, psi), run(program, params, psi), atol=1e-12)
    layers = schedule.__wrapped__(program)
    zero, start = np.eye(size, 1)[:, 0], np.eye(size, 1, -layers.start)[:, 0]
    np.testing.assert_allclose(act_on(layers, values, start), run(program, params, zero + 0j), atol=1e-12)
    assert not layers.levels or layers.levels[0].rotations or layers.levels[0].dense is not None


# What circuits become.


def parts(circuit: QuantumCircuit, from_zero: bool = True) -> dict[str, int]:
    """How many layers of each kind."""
    levels = schedule(qj.parse(circuit), from_zero).levels
    names = ("phases", "diagonal", "permutation", "rotations", "dense")
    return {name: k for name in names if (k := sum(getattr(level, name) is not None for level in levels))}


def ring(circuit: QuantumCircuit) -> None:
    for q in range(circuit.num_qubits):
        circuit.cx(q, (q + 1) % circuit.num_qubits)


def test_real_amplitudes_are_product_layers_and_permutations():
    circuit = lib.real_amplitudes(12, reps=3)
    assert sum(circuit.count_ops().values()) == 81
    assert parts(circuit) == {"rotations": 4, "permutation": 3}
    assert schedule(qj.parse(circuit)).real


def test_ladders_of_cx_and_p_are_phases():
    for circuit in (lib.zz_feature_map(6, reps=2), lib.pauli_feature_map(5, reps=2, paulis=["Z", "ZZ", "ZZZ"])):
        found = parts(circuit)
        found.pop("diagonal", None)  # the constant part of the phases
        assert found == {"phases": 2, "rotations": 2}


def test_monomial_gates_are_one_layer():
    circuit = QuantumCircuit(5)
    for _ in range(3):
        ring(circuit)
        circuit.ccx(0, 1, 2)
        circuit.append(lib.RCCXGate(), [3, 4, 0])
        circuit.rzz(0.3, 1, 4)
        circuit.y(2)
        circuit.cswap(4, 3, 1)
        circuit.iswap(0, 3)
        circuit.crz(0.4, 2, 0)
        circuit.append(lib.PermutationGate([2, 0, 1]), [4, 2, 0])
    assert parts(circuit, from_zero=False) == {"diagonal": 1, "permutation": 1}
    assert parts(circuit) == {}  # on |0> it is a basis state and a phase


def test_a_gate_sinks_to_the_earliest_layer_that_takes_it():
    circuit = QuantumCircuit(4)
    for q in range(4):
        circuit.ry(0.1, q)
    circuit.cx(0, 1)
    for q in range(4):  # on qubits 2 and 3 they join the first layer, and there is no third one
        circuit.ry(0.2, q)
        circuit.ry(0.3, q)
    assert parts(circuit) == {"rotations": 2, "permutation": 1}


def test_opposite_gates_leave_nothing():
    x, z, cx, ccx = lib.XGate(), lib.ZGate(), lib.CXGate(), lib.CCXGate()
    for gate in (x, z, cx, ccx, lib.RYGate(0.3), lib.RZGate(0.3), lib.RZZGate(0.3)):
        circuit = circuit_of(3, *((g, range(gate.num_qubits)) for g in (gate, gate.inverse())))
        assert parts(circuit, from_zero=False) == {}


def test_one_qubit_gates_in_a_row_are_alternating_layers():
    circuit = QuantumCircuit(1)
    for _ in range(5):
        circuit.rz(0.1, 0)
        circuit.p(0.1, 0)
        circuit.t(0)
        circuit.x(0)
    assert parts(circuit, from_zero=False) == {"diagonal": 1, "permutation": 1}
    assert len(schedule(qj.parse(circuit), False).levels) == 1


# Levels do what the program does.


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits(name):
    circuit = CIRCUITS[name]()
    assert_scheduled(qj.parse(circuit), random_params(circuit))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(5))
def test_random_circuits_against_qiskit(n, seed):
    circuit = random_circuit(n, 30, max_operands=min(n, 4), seed=seed)
    layers = schedule(qj.parse(circuit))
    start = np.eye(2**n, 1, -layers.start)[:, 0]
    np.testing.assert_allclose(act_on(layers, (), start), state(circuit), atol=1e-12)


def random_ops(n: int, count: int, seed: int, kinds: str = "ry phase diagonal flip permutation dense") -> Program:
    """Ops of every kind, with up to 3 controls, on random qubits; angles are constants and one parameter."""
    rng = np.random.default_rng(seed)
    ops = []
    for _ in range(count):
        kind = str(rng.choice(kinds.split()))
        low, high = {"phase": (0, 3), "diagonal": (1, 3), "permutation": (1, 3), "dense": (1, 3)}.get(kind, (1, 1))
        width = int(rng.integers(low, min(high, n) + 1))
        most = min(3, n - width) if kind in ("phase", "diagonal", "flip") else 0
        controls = int(rng.integers(most + 1))
        places = rng.permutation(n)[: width + controls].tolist()
        table = {
            "diagonal": lambda width=width: Table(rng.uniform(-1, 1, 2**width)),
            "permutation": lambda width=width: Table(rng.permutation(2**width)),
            "dense": lambda width=width: Table(random_unitary(2**width, seed=rng).data),
        }.get(kind, lambda: None)()
        angle = Angle(int(rng.integers(-1, 1)), float(rng.choice([np.pi, np.pi / 2, 0.7, -1.3])))
        pattern = int(rng.integers(2**controls))
        ops.append(Op(kind, tuple(places[:width]), tuple(places[width:]), pattern, angle, table))
    return Program(n, ("a",), (Affine(0.0, ((0, 1.0),)),), tuple(ops))


# How tables are stored, by number of qubits: whole, factored, as two halves; and with no index of the whole basis.
STORES = {
    "whole": {},
    "factored": {"FACTOR_QUBITS": 2},
    "halves": {"FACTOR_QUBITS": 2, "TABLE_QUBITS": 2},
    "no index": {"FACTOR_QUBITS": 2, "TABLE_QUBITS": 2, "IMAGE_QUBITS": 2},
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_random_ops(n, store, monkeypatch):
    for name, limit in STORES[store].items():
        monkeypatch.setattr(layers, name, limit)
        if hasattr(basis, name):
            monkeypatch.setattr(basis, name, limit)
    for seed in range(6):
        kinds = "ry phase diagonal flip permutation dense" if seed % 2 else "ry phase flip flip flip"
        assert_scheduled(random_ops(n, 40, seed, kinds), [0.37])


@pytest.mark.parametrize("n", [11, 12])
def test_random_ops_on_many_qubits(n):
    for seed in range(3):
        assert_scheduled(random_ops(n, 60, seed, "ry ry phase phase diagonal flip flip permutation dense"), [0.37])


def test_phases_wait_where_they_would_need_a_large_table():
    """On more than 10 qubits, a phase goes behind the permutations that are not affine, however many there are."""
    circuit, a = QuantumCircuit(12), Parameter("a")
    circuit.ry(0.1, 0)
    circuit.ccx(0, 1, 2)
    circuit.ry(0.1, 0)
    circuit.ccx(0, 3, 4)  # on the next level
    circuit.rzz(a, 1, 2)  # behind the first, and therefore behind the second
    levels = schedule(qj.parse(circuit)).levels
    assert [level.phases is not None for level in levels] == [False, False, False, True]
    assert levels[3].phases.tables.low.shape[0] == 1
    assert_scheduled(qj.parse(circuit), [0.3])


def test_thirty_qubits_have_a_schedule():
    """Tables grow as 2**(n/2) at most, also of gates with many controls."""
    circuit = QuantumCircuit(30)
    for q in range(30):
        circuit.rx(0.1, q)
    ring(circuit)
    circuit.mcx([0, 7, 29], 3)
    circuit.unitary(np.eye(8)[[3, 1, 0, 2, 6, 5, 4, 7]], [1, 20, 11])
    circuit.cp(0.3, 4, 28)
    for level in schedule(qj.parse(circuit)).levels:
        assert level.diagonal is None and (level.dense is None or len(level.dense) == 8)
        for arrays in (level.permutation and level.permutation.source, level.phases and level.phases.tables.low):
            assert arrays is None or max(len(np.ravel(a)) for a in arrays) <= 2**15


# By JAX, where tables are factored and circuits deep.


def layered(n: int, layers: int, seed: int, gates: str) -> QuantumCircuit:
    rng, circuit = np.random.default_rng(seed), QuantumCircuit(n)
    for _ in range(layers):
        for q in range(n):
            circuit.ry(rng.uniform(-3, 3), q)
        for gate in rng.choice(gates.split(), n):
            q = rng.permutation(n).tolist()
            a = rng.uniform(-3, 3)
            {
                "cx": lambda q=q: circuit.cx(q[0], q[1]),
                "rz": lambda q=q, a=a: circuit.rz(a, q[0]),
                "rzz": lambda q=q, a=a: circuit.rzz(a, q[0], q[1]),
                "cp": lambda q=q, a=a: circuit.cp(a, q[0], q[1]),
                "swap": lambda q=q: circuit.swap(q[0], q[1]),
                "ccx": lambda q=q: circuit.ccx(*q[:3]),
                "mcx": lambda q=q: circuit.mcx(q[:4], q[4]),
                "dense": lambda q=q: circuit.unitary(random_unitary(4, seed=rng).data, q[:2]),
            }[str(gate)]()
    return circuit


AFFINE = "cx rz rzz cp swap"


@pytest.mark.parametrize(
    "n, layers, gates",
    [
        (11, 3, AFFINE + " ccx mcx"),
        (12, 30, AFFINE),
        (13, 2, AFFINE + " dense"),
        (15, 2, AFFINE + " ccx"),
        (15, 30, AFFINE),
        (16, 2, AFFINE),
        (6, 20, "cx dense"),
    ],
)
def test_state_of_a_large_circuit(n, layers, gates):
    circuit = layered(n, layers, n, gates)
    with jax.enable_x64(True):
        np.testing.assert_allclose(qj.statevector(circuit)(), state(circuit), atol=ATOL[np.float64])


@pytest.mark.parametrize("n", [11, 15])
def test_state_of_a_large_circuit_with_many_controls(n):
    """Against the reference, not Qiskit, which needs half a minute for them."""
    circuit = layered(n, 30, n, AFFINE + " ccx mcx")
    expected = run(qj.parse(circuit), (), np.eye(2**n, 1)[:, 0] + 0j)
    with jax.enable_x64(True):
        np.testing.assert_allclose(qj.statevector(circuit)(), expected, atol=ATOL[np.float64])


@pytest.mark.parametrize("name", ["deep", "dense", "expressions", "feature map"])
def test_scanned_and_unrolled_agree(name, monkeypatch):
    circuit = CIRCUITS[name]()
    function = qj.statevector(circuit)
    params = random_params(circuit)
    results = []
    with jax.enable_x64(True):
        for unroll in (0, 10_000):
            monkeypatch.setattr(segments, "UNROLL", unroll)
            monkeypatch.setattr(segments, "REPEATS", 1 + unroll)
            traced = jax.make_jaxpr(lambda p: function._trace(p))(params)
            assert ("scan" in str(traced)) == (unroll == 0)
            results.append(jax.jit(lambda p: function._trace(p))(params))
    np.testing.assert_allclose(*results, atol=1e-13)


def test_norm_of_a_thousand_layers_in_float32():
    circuit = layered(5, 1000, 0, "cx rz rzz cp ccx")
    psi = np.asarray(qj.statevector(circuit)(np.zeros(0, np.float32)))
    assert psi.dtype == np.complex64
    np.testing.assert_allclose(np.linalg.norm(psi.astype(complex)), 1.0, atol=1e-4)
    np.testing.assert_allclose(psi, state(circuit), atol=1e-3)
