"""The parser against Qiskit's matrices: the library, composites, modifiers, OpenQASM, transpiled circuits, and errors.

`matrix(parse(circuit))`, in numpy, tests the parser alone; where it says so, JAX runs the circuit.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import (
    ATOL,
    CIRCUITS,
    GATES,
    LIBRARY,
    bind,
    circuit_of,
    controlled_matrix,
    expanded,
    just,
    matrix,
    operator,
    random_params,
    rotations,
    state,
)
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, generate_preset_pass_manager, qasm2, qasm3, qpy
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    Duration,
    Gate,
    Instruction,
    InverseModifier,
    Parameter,
    PowerModifier,
)
from qiskit.circuit.classical import expr, types
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import (
    Kraus,
    Operator,
    Pauli,
    SparseObservable,
    SparsePauliOp,
    Statevector,
    random_clifford,
    random_statevector,
    random_unitary,
)
from qiskit.synthesis import MatrixExponential, QDrift
from qiskit.transpiler import CouplingMap

import qmljax as qj

# Qiskit's exponential of a Pauli sum warns.
pytestmark = pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")

A, B, C = (Parameter(name) for name in "abc")


def assert_parsed(circuit: QuantumCircuit, expected: np.ndarray, params: Any = (), **options: Any) -> None:
    np.testing.assert_allclose(matrix(qj.parse(circuit, **options), params), expected, atol=1e-12)


# The circuit library.


@pytest.mark.parametrize("name", GATES)
def test_library_gate(name):
    for n in (3, 4, 5, 6):
        circuit = just(GATES[name](n), seed=n)
        params = random_params(circuit)
        assert_parsed(circuit, operator(circuit, params), params)


@pytest.mark.parametrize("name", [name for name in GATES if name not in ("Operator", "Pauli")])
def test_library_gate_under_an_open_control(name):
    gate = GATES[name](3)
    n = gate.num_qubits
    alone = circuit_of(n, (gate, range(n)))
    circuit = circuit_of(n + 1, (AnnotatedOperation(gate, ControlModifier(1, 0)), range(n + 1)))
    params = random_params(alone)
    assert_parsed(circuit, controlled_matrix(operator(alone, params), 1, 0), params)


@pytest.mark.parametrize("name", LIBRARY)
def test_library_circuit(name):
    """The matrix by numpy for all sizes, the state by JAX for one."""
    for n in (3, 4, 5, 6):
        circuit = LIBRARY[name](n)
        params = random_params(circuit)
        assert_parsed(circuit, operator(expanded(circuit), params), params)
    circuit = LIBRARY[name](4)
    params = random_params(circuit)
    expected = state(expanded(circuit), params)
    with jax.enable_x64(True):
        np.testing.assert_allclose(qj.statevector(circuit)(params), expected, atol=ATOL[np.float64])


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 2], [0, 0]])
def test_weighted_sum_gate(weights):
    """Qiskit has no matrix of it, but synthesises it with an ancilla: where that is 0 one sees what it does."""
    gate = lib.WeightedSumGate(len(weights), weights)
    n = gate.num_qubits
    manager = generate_preset_pass_manager(optimization_level=0, basis_gates=["u", "cx"])
    synthesised = manager.run(circuit_of(n + 1, (gate, range(n))))
    assert_parsed(circuit_of(n, (gate, range(n))), Operator(synthesised).data[: 2**n, : 2**n])


# Circuits run by JAX.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CIRCUITS)
def test_state_and_matrix(name, dtype):
    circuit = CIRCUITS[name]()
    with jax.enable_x64(dtype == np.float64):
        params = random_params(circuit, dtype=dtype)
        np.testing.assert_allclose(qj.statevector(circuit)(params), state(circuit, params), atol=ATOL[dtype])
        np.testing.assert_allclose(qj.unitary(circuit)(params), operator(circuit, params), atol=ATOL[dtype])


@pytest.mark.parametrize("n", range(1, 9))
def test_random_circuits(n):
    """300 circuits: in float64 the states of most and the matrices of some, in float32 the states of some."""
    for seed in range(100 * n, 100 * n + (38 if n < 5 else 37)):
        circuit = random_circuit(n, depth=2 + seed % 4, max_operands=min(n, 4), seed=seed)
        f, expected = (qj.unitary, operator) if seed % 5 == 3 else (qj.statevector, state)
        with jax.enable_x64(True):
            np.testing.assert_allclose(f(circuit)(), expected(circuit), atol=ATOL[np.float64], err_msg=f"{seed=}")
        if seed % 10 == 4:
            single = np.zeros(0, np.float32)
            np.testing.assert_allclose(f(circuit)(single), expected(circuit), atol=ATOL[np.float32], err_msg=f"{seed=}")


# Composites and modifiers.


def _inner() -> QuantumCircuit:
    circuit = QuantumCircuit(2, global_phase=A * B)
    circuit.rx(A, 0)
    circuit.cp(A + B, 0, 1)
    circuit.u(B, A, 0.1, 1)
    return circuit


def _nested(circuit: QuantumCircuit, depth: int, annotated: bool, a: Any) -> QuantumCircuit:
    """The circuit as a gate, controlled, in a circuit with a global phase; and again."""
    for level in range(depth):
        gate = circuit.to_gate().control(1, ctrl_state=level % 2, annotated=annotated)
        circuit = circuit_of(gate.num_qubits, (gate, range(gate.num_qubits)[::-1]), global_phase=level * a)
    return circuit


ASSIGNED = {
    "nothing": {},
    "numbers": {A: 0.3, B: -0.7},
    "one number": {B: 0.4},
    "scaled": {A: 2 * A},
    "another": {A: C, B: C**2},
}


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("name", ASSIGNED)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_controlled_composite_with_assigned_parameters(name, annotated, depth):
    """Qiskit assigns the parameters of a controlled gate, but not those in the definition of its base gate."""
    circuit = _nested(_inner(), depth, annotated, A).assign_parameters(ASSIGNED[name])
    params = random_params(circuit)
    assert_parsed(circuit, operator(circuit, params), params)


MODIFIERS = {
    "inverse": InverseModifier(),
    "control": ControlModifier(1, 0),
    "2 controls": ControlModifier(2, 0b01),
    "power 3": PowerModifier(3),
    "power -2": PowerModifier(-2),
    "power 0": PowerModifier(0),
    "root": PowerModifier(0.5),
}
BASES = {
    "U": lib.UGate(0.3, 0.4, 0.5),
    "CU": lib.CUGate(0.1, 0.2, 0.3, 0.4),
    "iSwap": lib.iSwapGate(),
    "matrix": lib.UnitaryGate(random_unitary(4, seed=2)),
    "Clifford": random_clifford(2, seed=1),
    "composite": bind(_inner(), [0.3, 0.7]).to_gate(),
    "annotated": AnnotatedOperation(lib.RXGate(0.3), [ControlModifier(1, 0), PowerModifier(2)]),
}


@pytest.mark.parametrize("base", BASES)
def test_modifiers_in_every_order(base):
    for count in (1, 2, 3) if base == "U" else (1, 2):
        for names in itertools.permutations(MODIFIERS, count):
            operation = AnnotatedOperation(BASES[base], [MODIFIERS[name] for name in names])
            circuit = circuit_of(operation.num_qubits, (operation, range(operation.num_qubits)))
            np.testing.assert_allclose(matrix(qj.parse(circuit)), operator(circuit), atol=1e-12, err_msg=str(names))


def test_modifiers_of_a_gate_with_parameters():
    modifiers = [InverseModifier(), ControlModifier(1, 0), PowerModifier(2)]
    circuit = circuit_of(3, (AnnotatedOperation(_inner().to_gate(), modifiers), (2, 0, 1)))
    assert_parsed(circuit, operator(circuit, [0.3, 0.7]), [0.3, 0.7])


@pytest.mark.parametrize("name", "x rccx cu measure reset barrier delay box".split())
def test_a_gate_is_known_by_its_class_not_by_its_name(name):
    gate = rotations(3, 0).to_gate()
    gate.name = name
    circuit = circuit_of(4, (gate, (2, 0, 1)), (gate.control(1, annotated=True), (3, 1, 0, 2)))
    assert_parsed(circuit, operator(circuit))


def test_box():
    circuit = QuantumCircuit(3)
    with circuit.box():
        circuit.cx(2, 0)
        circuit.rx(A, 1)
    assert_parsed(circuit, operator(circuit_of(3, (lib.CXGate(), [2, 0]), (lib.RXGate(0.3), [1]))), [0.3])


# Evolution of Pauli sums.

HAMILTONIAN = SparsePauliOp(["XXI", "IYZ", "ZIZ", "IIX"], [0.3, -0.7, 1.1, 0.4])
EVOLUTIONS = {
    "sum": lib.PauliEvolutionGate(HAMILTONIAN, A),
    "scaled time": lib.PauliEvolutionGate(HAMILTONIAN, 2 * A + 1),
    "number": lib.PauliEvolutionGate(HAMILTONIAN, 0.7),
    "diagonal": lib.PauliEvolutionGate(SparsePauliOp(["ZZI", "IZZ"], [0.3, 0.4]), A),
    "Pauli": lib.PauliEvolutionGate(Pauli("XYZ"), A),
    "list": lib.PauliEvolutionGate([SparsePauliOp("XXI"), SparsePauliOp(["ZIZ", "IIZ"], [1, 0.5])], A),
    "projectors": lib.PauliEvolutionGate(SparseObservable.from_list([("0XI", 0.3), ("+Z1", 0.7)]), A),
    "control": lib.PauliEvolutionGate(HAMILTONIAN, A).control(1, ctrl_state=0),
}


@pytest.mark.parametrize("name", EVOLUTIONS)
def test_evolution(name):
    """By default the product formula of the definition; on request the exponential, as Qiskit's `Operator`."""
    circuit = just(EVOLUTIONS[name], seed=1)
    params = random_params(circuit)
    exponential, product = operator(circuit, params), operator(expanded(circuit), params)
    assert np.allclose(product, exponential, atol=1e-6) == (name in ("diagonal", "Pauli"))
    assert_parsed(circuit, exponential, params, evolution="exact")
    assert_parsed(circuit, product, params)


def test_exact_evolution_by_jax():
    circuit = rotations(3, 0).compose(just(EVOLUTIONS["sum"], seed=1)).compose(rotations(3, 1))
    with jax.enable_x64(True):
        f = qj.statevector(qj.parse(circuit, evolution="exact"))
        np.testing.assert_allclose(f([0.7]), state(circuit, [0.7]), atol=1e-12)


# What is no unitary operation and can be read all the same.


def test_initialize_on_untouched_qubits():
    circuit = QuantumCircuit(4)
    circuit.h(3)
    circuit.initialize(random_statevector(4, seed=1), [2, 0])
    circuit.initialize("1", 1)
    circuit.cx(0, 3)
    np.testing.assert_allclose(matrix(qj.parse(circuit))[:, 0], Statevector(circuit).data, atol=1e-12)


def test_measured():
    """The qubits that the measured classical bits read, in the order of those bits."""
    circuit = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2, "x"), ClassicalRegister(3, "y"))
    assert qj.parse(circuit).measured is None
    circuit.measure(2, 4)
    circuit.h(0)
    circuit.measure([0, 1, 0], [3, 0, 2])
    circuit.barrier()
    assert qj.parse(circuit).measured == (1, 0, 0, 2)
    circuit.measure(2, 0)  # once more, and over what was read before
    assert qj.parse(circuit).measured == (2, 0, 0, 2)


def test_measured_in_a_composite():
    inner = QuantumCircuit(2, 2)
    inner.measure([0, 1], [1, 0])
    outer = QuantumCircuit(3, 3)
    outer.append(inner.to_instruction(), [2, 0], [0, 2])
    assert qj.parse(outer).measured == (0, 2)


# Transpiled circuits.


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_transpiled_to_127_qubits(level):
    """A layout on 5 of 127 qubits: their expectation values and probabilities are those of the circuit."""
    circuit = lib.zz_feature_map(5, reps=1).compose(lib.real_amplitudes(5, reps=1))
    observable = SparsePauliOp(["ZIIII", "IXYIZ", "IIIIZ"], [1.0, 0.5, -0.3])
    manager = generate_preset_pass_manager(
        optimization_level=level,
        basis_gates=["rz", "sx", "x", "cz"],
        coupling_map=CouplingMap.from_line(127),
        initial_layout=[60, 62, 61, 65, 63],
        seed_transpiler=1,
    )
    isa = manager.run(circuit)
    places = isa.layout.final_index_layout()
    assert isa.num_qubits == 127 and places != [60, 62, 61, 65, 63]
    params = random_params(circuit)
    expected = Statevector(bind(circuit, params))
    with jax.enable_x64(True):
        value = qj.expectation(isa, observable.apply_layout(isa.layout))(params)
        np.testing.assert_allclose(value, expected.expectation_value(observable).real, atol=1e-12)
        p = qj.probabilities(isa, qubits=places[1:4])(params)
        np.testing.assert_allclose(p, expected.probabilities([1, 2, 3]), atol=1e-12)
    for function in (qj.statevector, qj.unitary, qj.probabilities):
        with pytest.raises(ValueError, match="of 127 qubits does not fit: the limit is"):
            function(isa)


def test_transpiled_to_a_small_target():
    """The whole state, with idle qubits, is Qiskit's."""
    circuit = lib.qaoa_ansatz(SparsePauliOp(["ZZI", "IZZ"]), reps=1)
    ring = CouplingMap.from_ring(5)
    manager = generate_preset_pass_manager(3, basis_gates=["u", "cx"], coupling_map=ring, seed_transpiler=0)
    isa = manager.run(circuit)
    assert isa.num_qubits == 5
    np.testing.assert_allclose(qj.statevector(isa)([0.3, 0.4]), state(isa, [0.3, 0.4]), atol=1e-5)


# OpenQASM.

QASM2 = """// a comment
OPENQASM 2.0;
include "qelib1.inc";
gate mine(t) a, b { cu1(t/2) a, b; u3(t, 0, pi) b; cu3(sin(t), t, 1) a, b; }
qreg q[3]; creg c[2];
h q; mine(0.3) q[2], q[0]; ccx q[0], q[1], q[2]; barrier q;
measure q[2] -> c[1]; measure q[0] -> c[0];
"""
QASM3 = """/* a comment
*/ // and another
OPENQASM 3.0;
include "stdgates.inc";
input angle[32] a;
input float[64] b;
qubit[3] q; bit[2] c;
gate mine(u) x, y { ctrl @ rx(2 * u) x, y; inv @ s y; pow(2) @ sx x; gphase(0.3); }
h q[0]; negctrl @ x q[0], q[1];
mine(a) q[1], q[2]; ctrl @ mine(b) q[0], q[1], q[2];
c[1] = measure q[2]; c[0] = measure q[0];
"""


@pytest.mark.parametrize("source, load, parameters", [(QASM2, qasm2.loads, ()), (QASM3, qasm3.loads, ("a", "b"))])
def test_openqasm(source, load, parameters, tmp_path):
    program = qj.parse(source)
    assert program.parameters == parameters and program.measured == (0, 2)
    path = tmp_path / "circuit.qasm"
    path.write_text(source, encoding="utf-8")
    assert qj.parse(path) is program
    unitary = load(source).remove_final_measurements(inplace=False)
    params = random_params(unitary)
    np.testing.assert_allclose(matrix(program, params), operator(unitary, params), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_openqasm_of_random_circuits(seed):
    circuit = random_circuit(4, 5, seed=seed, max_operands=4)
    np.testing.assert_allclose(matrix(qj.parse(qasm2.dumps(circuit))), operator(circuit), atol=1e-12)
    source = qasm3.dumps(circuit)
    loaded = qasm3.loads(source)  # not always the circuit again: Qiskit loses phases of SXdg and ECR
    np.testing.assert_allclose(matrix(qj.parse(source)), operator(loaded), atol=1e-12)


# Errors: the index of the instruction, its name, its qubits, and a way out.


def _append(*instructions: tuple[Any, list[int]]) -> Callable[[QuantumCircuit], None]:
    def build(circuit: QuantumCircuit) -> None:
        for operation, qubits in instructions:
            circuit.append(operation, qubits, [0] * operation.num_clbits)

    return build


def _while(circuit: QuantumCircuit) -> None:
    circuit.measure(1, 0)
    with circuit.while_loop((circuit.clbits[0], 1)):
        circuit.x(2)


def _unset(circuit: QuantumCircuit) -> None:
    variable = circuit.add_input("v", types.Bool())
    with circuit.if_test(variable):
        circuit.x(2)


def _duration(circuit: QuantumCircuit) -> None:
    with circuit.if_test(expr.less(Duration.ns(1), Duration.ns(2))):
        circuit.x(2)


def _amplitudes_in_a_branch(circuit: QuantumCircuit) -> None:
    circuit.measure(1, 0)
    with circuit.if_test((0, 1)):
        circuit.append(qj.circuits.raw_feature_vector(2).data[0].operation, [2])


def _composite_with(operation: Any) -> Instruction:
    circuit = QuantumCircuit(2, name="mine")
    circuit.append(operation, [1])
    return circuit.to_instruction()


class _Foreign(Gate):
    """A gate whose definition and matrix are what is given; exceptions are raised."""

    def __init__(self, qubits: int, definition: Any = None, matrix: Any = None):
        super().__init__("foreign", qubits, [])
        self.given = definition, matrix

    def _define(self) -> None:
        if isinstance(self.given[0], Exception):
            raise self.given[0]
        self.definition = self.given[0]

    def to_matrix(self) -> Any:
        if isinstance(self.given[1], Exception):
            raise self.given[1]
        return self.given[1]


class _Endless(Gate):
    def __init__(self) -> None:
        super().__init__("endless", 1, [])

    def _define(self) -> None:
        self.definition = circuit_of(1, (_Endless(), [0]))


_LOST = Instruction("lost", 1, 0, [])
_LOST.definition = circuit_of(1, (lib.RXGate(A), [0]))
_LINES = {
    "while": (
        _while,
        NotImplementedError,
        "Instruction 2, `while_loop` on qubits [2]: whether it goes on depends on what is measured",
        "Write a for loop of as many turns as there may be, with a break",
    ),
    "a variable without a value": (
        _unset,
        NotImplementedError,
        "Instruction 1, `if_else` on qubits [2]: the variable v has no value before the circuit runs",
        "Assign it first",
    ),
    "a duration": (
        lambda circuit: circuit.if_test(
            expr.less(expr.lift(Duration.ns(1)), Duration.ns(2)), circuit.copy(), range(3), [0]
        ),
        NotImplementedError,
        "a value of type Duration() is known only to a device",
        "Use bits, and numbers",
    ),
    "a division by zero": (
        lambda circuit: circuit.add_var("v", expr.div(expr.lift(1, types.Uint(1)), circuit.cregs[0])),
        ValueError,
        "it divides by zero for some outcomes",
        "Divide by what is never zero",
    ),
    "amplitudes in a branch": (
        _amplitudes_in_a_branch,
        NotImplementedError,
        "amplitudes can be loaded only by the first instruction on their qubits",
        "Put it first",
    ),
    "a channel": (
        _append((Kraus([np.diag([1, 0]), np.diag([0, 1])]).to_instruction(), [2])),
        NotImplementedError,
        "Instruction 1, `kraus` on qubits [2]: it is a channel, which mixes states",
        "qj.density_matrix",
    ),
    "a gate without a definition": (
        _append((Gate("mine", 2, []), [2, 0])),
        NotImplementedError,
        "Instruction 1, `mine` on qubits [2, 0]: it has neither",
        "qiskit.transpile",
    ),
    "an unbound Hamiltonian": (
        _append((lib.HamiltonianGate(np.eye(4), A), [2, 0])),
        ValueError,
        "Instruction 1, `hamiltonian` on qubits [2, 0]: it has unbound parameters",
        "Bind them before parsing. Or use PauliEvolutionGate.",
    ),
    "an unbound RVGate": (
        _append((lib.RVGate(A, 0.1, 0.2), [2])),
        ValueError,
        "Instruction 1, `rv` on qubits [2]: it has unbound parameters",
        "Bind them before parsing.",
    ),
    "an unbound root": (
        _append((AnnotatedOperation(lib.RXGate(A), PowerModifier(0.5)), [2])),
        ValueError,
        "Instruction 1, `annotated` on qubits [2]: it has unbound parameters",
        "Bind them before parsing.",
    ),
    "a random synthesis of a parameter": (
        _append((lib.PauliEvolutionGate(SparsePauliOp(["X", "Z"]), A, synthesis=QDrift()), [2])),
        ValueError,
        "Instruction 1, `PauliEvolution` on qubits [2]: its QDrift synthesis gives no definition",
        'parse(circuit, evolution="exact")',
    ),
    "a matrix exponential of a parameter": (
        _append((lib.PauliEvolutionGate(SparsePauliOp(["X", "Z"]), A, synthesis=MatrixExponential()), [2])),
        ValueError,
        "Instruction 1, `PauliEvolution` on qubits [2]: it has unbound parameters",
        'parse(circuit, evolution="exact")',
    ),
    "a definition that raises": (
        _append((_Foreign(1, ZeroDivisionError("oops"), ValueError("no")), [2])),
        NotImplementedError,
        "Instruction 1, `foreign` on qubits [2]: it has neither a definition nor a matrix",
        "Decompose it",
    ),
    "a definition of another size": (
        _append((_Foreign(1, QuantumCircuit(2)), [2])),
        ValueError,
        "Instruction 1, `foreign` on qubits [2]: its definition must be a QuantumCircuit on 1 qubits",
        "Correct the class of the gate.",
    ),
    "a matrix of another size": (
        _append((_Foreign(2, None, np.eye(2)), [2, 0])),
        ValueError,
        "Instruction 1, `foreign` on qubits [2, 0]: its matrix must be of size 4, for 2 qubits, but has shape (2, 2)",
        "Correct the class of the gate.",
    ),
    "no matrix at all": (
        _append((_Foreign(1, None, [[1, 0], [0]]), [2])),
        NotImplementedError,
        "Instruction 1, `foreign` on qubits [2]: it has neither",
        "Decompose it",
    ),
    "a gate defined by itself": (
        _append((_Endless(), [2])),
        ValueError,
        "Instruction 1, `endless` on qubits [2]: it is defined by itself",
        "Define it by other gates.",
    ),
    "no unitary matrix": (
        _append((lib.UnitaryGate(np.diag([1, 2]), check_input=False), [2])),
        ValueError,
        "Instruction 1, `unitary` on qubits [2]: its matrix is not unitary",
        "Only unitary operations",
    ),
    "a matrix of NaN": (
        _append((lib.UnitaryGate(np.full((2, 2), np.nan), check_input=False), [2])),
        ValueError,
        "Instruction 1, `unitary` on qubits [2]: its matrix is not unitary",
        "Only unitary operations",
    ),
    "a complex angle": (
        _append((lib.RXGate(1j * A), [2])),
        ValueError,
        "Instruction 1, `rx` on qubits [2]: Expected an expression that is real",
        "write it with real constants",
    ),
    "a complex angle of the circuit": (
        lambda circuit: setattr(circuit, "global_phase", 1j * A),
        ValueError,
        "The global phase of the circuit: Expected an expression that is real",
        "write it with real constants",
    ),
    "a parameter that the circuit does not know": (
        _append((_LOST, [2])),
        ValueError,
        "Instruction 1, `lost` on qubits [2]: Expected a parameter among none, got a",
        "give it a position",
    ),
}


@pytest.mark.parametrize("name", _LINES)
def test_error(name):
    build, error, fault, way_out = _LINES[name]
    circuit = QuantumCircuit(3, 1)
    circuit.h(1)  # instruction 0
    build(circuit)
    with pytest.raises(error) as caught:
        qj.parse(circuit)
    assert fault in str(caught.value) and way_out in str(caught.value)


@pytest.mark.parametrize("wrong", [3, None, [QuantumCircuit(1)], np.eye(2), lib.XGate()])
def test_wrong_type(wrong):
    with pytest.raises(TypeError, match=f"must be a qiskit QuantumCircuit.* but is a {type(wrong).__name__}"):
        qj.parse(wrong)


@pytest.mark.parametrize("source", ["", "h q[0];", "circuit.qasm", "// OPENQASM 3.0;"])
def test_what_is_no_openqasm(source):
    with pytest.raises(ValueError, match=r"must start with its version line.*pass a pathlib.Path"):
        qj.parse(source)


@pytest.mark.parametrize(
    "source, message",
    [
        ("OPENQASM 4.0; qubit q;", "must be OpenQASM 2 or 3, but its version line says 4"),
        ("OPENQASM 2.0;\nqreg q[2];\nfoo q[0];", "OpenQASM 2 .*:3,0: 'foo' is not defined in this scope"),
        ('OPENQASM 2.0; include "absent.inc";', "unable to find 'absent.inc'"),
        ("OPENQASM 3.0; foo", "OpenQASM 3 .* line 1:17 no viable alternative at input 'foo'"),
        ('OPENQASM 3.0;\ninclude "absent.inc";', "no file absent.inc for `include"),
        ("OPENQASM 3.0;\nqubit[2] q;\nU(0,0,0) q[5];", "OpenQASM 3 .* index out of range"),
        ("OPENQASM 3.0;\ndef f(qubit a) { x a; }", "2,0: node of type SubroutineDefinition is not supported"),
    ],
)
def test_wrong_openqasm(source, message, capsys):
    with pytest.raises(ValueError, match=message) as caught:
        qj.parse(source)
    assert re.search("Correct it there, or build the circuit in Python|Write it in one of them", str(caught.value))
    assert capsys.readouterr().err == ""


GATES_OF_BENCHMARKS = {  # as a use in OpenQASM 2, and as an operation of Qiskit's
    "ccz q[0],q[1],q[2]": lib.CCZGate(),
    "cs q[0],q[1]": lib.CSGate(),
    "csdg q[0],q[1]": lib.CSdgGate(),
    "csx q[0],q[1]": lib.CSXGate(),
    "c3sx q[0],q[1],q[2],q[3]": lib.C3SXGate(),
    "cswap q[0],q[1],q[2]": lib.CSwapGate(),
    "dcx q[0],q[1]": lib.DCXGate(),
    "ecr q[0],q[1]": lib.ECRGate(),
    "iswap q[0],q[1]": lib.iSwapGate(),
    "mcx q[0],q[1],q[2],q[3]": lib.MCXGate(3),
    "mcx q[0],q[1]": lib.CXGate(),
    "r(0.3,0.4) q[0]": lib.RGate(0.3, 0.4),
    "rxx(0.3) q[0],q[1]": lib.RXXGate(0.3),
    "ryy(0.3) q[0],q[1]": lib.RYYGate(0.3),
    "rzx(0.3) q[0],q[1]": lib.RZXGate(0.3),
    "rzz(0.3) q[0],q[1]": lib.RZZGate(0.3),
    "rv(0.3,0.4,0.5) q[0]": lib.RVGate(0.3, 0.4, 0.5),
    "xx_minus_yy(0.3,0.4) q[0],q[1]": lib.XXMinusYYGate(0.3, 0.4),
    "xx_plus_yy(0.3,0.4) q[0],q[1]": lib.XXPlusYYGate(0.3, 0.4),
}


def test_gates_that_benchmark_files_use():
    head = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[4];'
    for use, gate in GATES_OF_BENCHMARKS.items():
        expected = operator(circuit_of(4, (gate, range(gate.num_qubits))))
        np.testing.assert_allclose(matrix(qj.parse(f"{head} {use};")), expected, atol=1e-12, err_msg=use)
    everything = qj.parse(f"{head} {'; '.join(GATES_OF_BENCHMARKS)};")
    circuit = circuit_of(4, *((gate, range(gate.num_qubits)) for gate in GATES_OF_BENCHMARKS.values()))
    np.testing.assert_allclose(matrix(everything), operator(circuit), atol=1e-12)
    own = qj.parse(f"{head} gate ecr a,b {{ x a; }} ecr q[0],q[1]; iswap q[0],q[1];")  # what a program defines counts
    np.testing.assert_allclose(
        matrix(own), operator(circuit_of(4, (lib.XGate(), [0]), (lib.iSwapGate(), [0, 1]))), atol=1e-12
    )


def test_openqasm_without_a_version_line():
    two, three = 'include "qelib1.inc"; qreg q[2]; h q[0];', '// 3\ninclude "stdgates.inc"; qubit[2] q; h q[0];'
    assert qj.parse(two) == qj.parse(three)
    assert qj.parse("\ufeffOPENQASM 2.0; qreg q[2];").num_qubits == 2


def test_what_pennylane_writes_as_openqasm():
    """Global phases, which OpenQASM 2 has not, and questions to single bits of a register."""
    head = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\ncreg mcms[2];\n'
    expected = np.exp(0.7j) * operator(circuit_of(2, (lib.RXGate(0.3), [1])))
    written = f"{head}gphase(0.5) ;\nrx(0.3) q[1];\ngphase(-pi/5 + 0.2 + pi/5) ;\n"
    np.testing.assert_allclose(matrix(qj.parse(written)), expected, atol=1e-12)
    mine = "gate mine(t) a,b { gphase(t) b,a; gphase(t); }"  # PennyLane names the qubits of what it decomposed
    named = f"{head}{mine}\ngphase(0.5*(1+0)) q[1],q[0];\nrx(0.3) q[1];\nmine(0.05) q[1],q[0];\ngphase(0.1) q;\n"
    np.testing.assert_allclose(matrix(qj.parse(named)), expected, atol=1e-12)
    asked = f"{head}x q[0];\nmeasure q[0] -> mcms[1];\nif(mcms[0]==1) x q[0];\nif(mcms[1]==1) x q[1];\n"
    np.testing.assert_allclose(qj.probabilities(asked)([]), [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(qj.probabilities(asked, clbits=[0, 1, 2, 3])([]), np.eye(16)[8], atol=1e-6)


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_files_that_include_files(version, tmp_path):
    """Beside the file that includes them, in any encoding of UTF-8; and a QPY file."""
    standard_gates = {"2.0": "qelib1.inc", "3.0": "stdgates.inc"}[version]
    (tmp_path / "below").mkdir()
    (tmp_path / "mine.inc").write_text(
        'include "below/more.inc";\ngate mine a { more a; }' if version == "3.0" else "gate mine a { sx a; }",
        encoding="utf-8",
    )
    (tmp_path / "below" / "more.inc").write_text("gate more a { sx a; }", encoding="utf-8")
    path = tmp_path / "main.qasm"
    register = {"2.0": "qreg q[1]", "3.0": "qubit[1] q"}[version]
    text = f'OPENQASM {version};\ninclude "{standard_gates}";\ninclude "mine.inc";\n{register};\nmine q[0];\n'
    path.write_text(text, encoding="utf-8-sig")
    np.testing.assert_allclose(matrix(qj.parse(path)), Operator(lib.SXGate()).data, atol=1e-12)
    (tmp_path / "mine.inc").write_text('include "mine.inc";', encoding="utf-8")
    with pytest.raises(ValueError, match="main.qasm must be OpenQASM .* that Qiskit can read"):
        qj.parse(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="main.qasm must be a text file of OpenQASM in UTF-8"):
        qj.parse(path)


def test_qpy_files(tmp_path):
    path, circuit = tmp_path / "circuit.qpy", circuit_of(2, (lib.RXGate(A), [1]))
    with path.open("wb") as file:
        qpy.dump(circuit, file)
    assert qj.parse(path) is qj.parse(circuit)
    with path.open("wb") as file:
        qpy.dump([circuit, circuit], file)
    with pytest.raises(ValueError, match="must hold one circuit, but holds 2. Load them with qiskit.qpy.load"):
        qj.parse(path)
    path.write_bytes(b"QISKIT and no more")
    with pytest.raises(ValueError, match="must be a QPY file .* Write it anew with qiskit.qpy.dump"):
        qj.parse(path)


def test_loops_are_unrolled():
    circuit, unrolled = QuantumCircuit(3, global_phase=0.1), QuantumCircuit(3, global_phase=0.1)
    with circuit.for_loop(range(1, 4)) as i:
        circuit.rx(i * A, 0)
        with circuit.for_loop((2, 5)) as j:
            circuit.cp(i * B / j, 1, 0)
        with circuit.for_loop(range(2)):
            circuit.h(2)
            circuit.t(2)
    for i in range(1, 4):
        unrolled.rx(i * A, 0)
        for j in (2, 5):
            unrolled.cp(i * B / j, 1, 0)
        for _ in range(2):
            unrolled.h(2)
            unrolled.t(2)
    assert qj.parse(circuit).parameters == ("a", "b")
    assert_parsed(circuit, operator(unrolled, [0.3, 0.4]), [0.3, 0.4])
    source = 'include "stdgates.inc"; qubit[1] q; for int i in [0:2:4] { rx(i) q[0]; }'
    np.testing.assert_allclose(matrix(qj.parse(source)), Operator(lib.RXGate(6)).data, atol=1e-12)


def test_loops_and_powers_that_memory_does_not_hold(monkeypatch):
    """A file says ten billion in a few bytes."""
    monkeypatch.setattr("qmljax._circuit.reader.MOST_REPEATED", 1000)
    loop, nested, power = QuantumCircuit(1), QuantumCircuit(1), QuantumCircuit(1)
    with loop.for_loop(range(10**10)):
        loop.h(0)
    with nested.for_loop(range(100)), nested.for_loop(range(100)):
        nested.rx(0.1, 0)
    power.append(lib.HGate().power(10**10, annotated=True), [0])
    for circuit in (loop, nested, power):
        with pytest.raises(ValueError, match="must not repeat more than 1000 operations. Repeat it fewer times"):
            qj.parse(circuit)


def test_what_aer_saves_is_not_read():
    aer = pytest.importorskip("qiskit_aer.library")
    circuit = rotations(2, 0)
    circuit.append(aer.SaveStatevector(2), [0, 1])
    circuit.cx(0, 1)
    circuit.measure_all()
    circuit.append(aer.SaveProbabilities(2), [0, 1])
    assert qj.parse(circuit).ops == qj.parse(rotations(2, 0).compose(circuit_of(2, (lib.CXGate(), [0, 1])))).ops


def test_openqasm_3_needs_a_package(monkeypatch):
    def missing(source: str) -> None:
        raise ImportError("qiskit_qasm3_import")

    monkeypatch.setattr(qasm3, "loads", missing)
    with pytest.raises(ImportError, match=r"pip install 'qmljax\[qasm\]'"):
        qj.parse(QASM3)


def test_wrong_evolution():
    with pytest.raises(ValueError, match='`evolution` must be "definition" or "exact"'):
        qj.parse(QuantumCircuit(1), evolution="trotter")


# Size.


def test_ten_thousand_gates():
    """A bounded number of ops a gate, and one expression for each parameter: nothing grows with the square."""
    rng, n, count = np.random.default_rng(0), 10, 10_000
    circuit = QuantumCircuit(n)
    for k in range(count // 2):
        q, r = rng.permutation(n)[:2].tolist()
        circuit.ry(Parameter(f"p{k}"), q)
        circuit.cx(q, r)
    program = qj.parse(circuit)
    assert len(program.ops) == count and len(program.expressions) == program.num_parameters == count // 2
    assert qj.parse(circuit) is program


def test_a_gate_that_raises_says_what():
    class Broken(Gate):
        def _define(self):
            raise ZeroDivisionError("boom")

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("no matrix")

    circuit = QuantumCircuit(1)
    circuit.append(Broken("broken", 1, []), [0])
    with pytest.raises(NotImplementedError, match="neither a definition nor a matrix .*(boom|no matrix)"):
        qj.parse(circuit)


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_a_file_that_includes_itself(version, tmp_path):
    path = tmp_path / "own.qasm"
    path.write_text(f'OPENQASM {version};\ninclude "own.qasm";\n')
    with pytest.raises(ValueError, match="includes itself, or files are nested more than 20 deep"):
        qj.parse(path)
