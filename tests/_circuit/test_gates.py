"""The table of gates against Qiskit's matrices: alone, under every control state, and in circuits run by JAX."""

import jax
import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import (
    ATOL,
    STANDARD,
    bind,
    circuit_of,
    controlled_matrix,
    just,
    matrix,
    operator,
    random_params,
    rotations,
    standard,
    state,
)
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, Parameter, ParameterVector
from qiskit.quantum_info import Operator, random_unitary

import qmljax as qj
from qmljax._circuit import gates
from qmljax._circuit.program import Angle, Program, inverse

EDGES = [0.0, np.pi / 2, np.pi, -np.pi, 2 * np.pi, 4 * np.pi, 1e-9, 31.4]


def test_the_51_standard_gates():
    assert len(STANDARD) == 51  # a new one in Qiskit deserves a rule, or a look at what the parser makes of it


def _random(name: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-7, 7, len(STANDARD[name].params))


@pytest.mark.parametrize("name", STANDARD)
def test_gate_under_every_control_state(name):
    gate = standard(name, _random(name))
    alone = Operator(gate).data
    np.testing.assert_allclose(matrix(qj.parse(just(gate))), operator(just(gate)), atol=1e-12)
    for controls in range(1, 5):
        for pattern in range(2**controls):
            expected = controlled_matrix(alone, controls, pattern)
            for operation in (
                gate.control(controls, ctrl_state=pattern, annotated=False),
                AnnotatedOperation(gate, ControlModifier(controls, pattern)),
            ):
                circuit = circuit_of(operation.num_qubits, (operation, range(operation.num_qubits)))
                np.testing.assert_allclose(matrix(qj.parse(circuit)), expected, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, gate in STANDARD.items() if gate.params])
def test_gate_at_special_angles(name):
    for angle in EDGES:
        gate = standard(name, [angle] * len(STANDARD[name].params))
        np.testing.assert_allclose(matrix(qj.parse(just(gate))), operator(just(gate)), atol=1e-12)


def _embedded(name: str) -> QuantumCircuit:
    """A gate with free parameters, twice, on shuffled qubits of a circuit that has one more."""
    count, width = len(STANDARD[name].params), STANDARD[name].num_qubits
    n, p = max(2, width + 1), ParameterVector("p", 2 * count)
    places = [np.random.default_rng(k).permutation(n)[:width] for k in range(2)]
    gates = [standard(name, p[k * count : (k + 1) * count]) for k in range(2)]
    return rotations(n, 0).compose(circuit_of(n, *zip(gates, places, strict=True))).compose(rotations(n, 1))


@pytest.mark.parametrize("name", STANDARD)
def test_gate_in_a_circuit(name):
    """The state in float32, with free parameters, and in float64, with bound ones; the matrix with free parameters."""
    circuit = _embedded(name)
    params = np.concatenate([_random(name, 1), _random(name, 2)])
    expected = state(circuit, params)
    np.testing.assert_allclose(qj.statevector(circuit)(params.astype(np.float32)), expected, atol=ATOL[np.float32])
    with jax.enable_x64(True):
        np.testing.assert_allclose(qj.statevector(bind(circuit, params))(), expected, atol=ATOL[np.float64])
        np.testing.assert_allclose(qj.unitary(circuit)(params), operator(circuit, params), atol=ATOL[np.float64])


@pytest.mark.parametrize("name", gates.RULES)
def test_template_is_unitary_and_inverts(name):
    """Every rule under every state of two controls: a unitary matrix, and undone by its reversed inverses."""
    qubits, angles, _ = gates.RULES[name]
    for pattern in range(4):
        template = gates.template(name, 2, pattern)
        values = [Angle(-1, value) for value in np.random.default_rng(0).uniform(-3, 3, angles)]
        ops = [op.of(values) for op in template]
        back = [inverse(op) for op in reversed(ops)]
        one = matrix(Program(qubits + 2, (), (), tuple(ops)))
        np.testing.assert_allclose(one @ one.conj().T, np.eye(len(one)), atol=1e-12)
        np.testing.assert_allclose(matrix(Program(qubits + 2, (), (), tuple(ops + back))), np.eye(len(one)), atol=1e-12)


@pytest.mark.parametrize("name", ["mcx", "mcp", "mcrx", "mcry", "mcrz"])
@pytest.mark.parametrize("controls", [1, 2, 5])
def test_many_controls_by_methods(name, controls):
    base = {"mcx": "x", "mcp": "p", "mcrx": "rx", "mcry": "ry", "mcrz": "rz"}[name]
    angle, circuit = Parameter("a"), QuantumCircuit(controls + 1)
    getattr(circuit, name)(*([] if base == "x" else [angle]), list(range(controls)), controls)
    expected = controlled_matrix(Operator(standard(base, [0.7])).data, controls, 2**controls - 1)
    np.testing.assert_allclose(matrix(qj.parse(circuit), [0.7][: circuit.num_parameters]), expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["random", "diagonal", "monomial", "permutation", "real", "identity", "tiny entries"])
def test_constant_matrix(n, kind):
    rng, size = np.random.default_rng(n), 2**n
    phases = np.exp(1j * rng.uniform(-3, 3, size))
    unitary = {
        "random": lambda: random_unitary(size, seed=n).data,
        "diagonal": lambda: np.diag(phases),
        "monomial": lambda: np.diag(phases)[rng.permutation(size)],
        "permutation": lambda: np.eye(size)[rng.permutation(size)],
        "real": lambda: np.linalg.qr(rng.normal(size=(size, size)))[0],
        "identity": lambda: np.eye(size),
        "tiny entries": lambda: Operator(lib.RXGate(1e-9)).expand(Operator(np.eye(size // 2))).data,
    }[kind]()
    ops = gates.matrix(unitary.astype(complex), tuple(range(n)))
    np.testing.assert_allclose(matrix(Program(n, (), (), tuple(ops))), unitary, atol=1e-12)
    assert any(op.kind == "dense" for op in ops) == (n > 1 and kind in ("random", "real", "tiny entries"))


def test_a_gate_and_its_float32_angles_have_float32_results():
    f = qj.statevector(just(lib.UGate(*ParameterVector("p", 3))))
    assert f(np.zeros(3, np.float32)).dtype == np.complex64
    with jax.enable_x64(True):
        assert f(np.zeros(3)).dtype == np.complex128


def test_angles_are_periodic_in_float32():
    """A large angle costs the digits that its argument does not have, and no more."""
    circuit = just(lib.RZGate(Parameter("a"))).compose(just(lib.HGate()))
    params = random_params(circuit) + 1000 * np.pi
    error = np.abs(np.asarray(qj.statevector(circuit)(params.astype(np.float32))) - state(circuit, params)).max()
    assert error < 1e-3
