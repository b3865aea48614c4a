"""What the tests share: circuits by name, and a reference for the meaning of a `Program`, in plain numpy.

- `STANDARD`: Qiskit's 51 standard gates, by name.
- `CIRCUITS`: small hard cases, name -> a function that makes the circuit.
- `GATES`, `LIBRARY`: Qiskit's circuit library, name -> a function of a size 3, ..., 6: gates, and circuits.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import qiskit.circuit.library as lib
from numpy import ndarray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import (
    Operator,
    Pauli,
    SparsePauliOp,
    Statevector,
    random_clifford,
    random_cnotdihedral,
    random_statevector,
    random_unitary,
)

from qmljax._circuit.expressions import Affine, Expression
from qmljax._circuit.program import Op, Program

ATOL = {np.float32: 1e-5, np.float64: 1e-12}


# Making and binding.


def circuit_of(n: int, *instructions: tuple[Any, Sequence[int]], global_phase: Any = 0.0) -> QuantumCircuit:
    """A circuit on n qubits of (operation, qubits)."""
    circuit = QuantumCircuit(n, global_phase=global_phase)
    for operation, qubits in instructions:
        circuit.append(operation, list(qubits))
    return circuit


def just(operation: Any, n: int | None = None, seed: int = 0) -> QuantumCircuit:
    """A circuit on n qubits of one operation, on shuffled qubits."""
    n = operation.num_qubits if n is None else n
    return circuit_of(n, (operation, np.random.default_rng(seed).permutation(n)[: operation.num_qubits].tolist()))


def bind(circuit: QuantumCircuit, params: Sequence[float]) -> QuantumCircuit:
    """The circuit with numbers for its parameters, in the order of `circuit.parameters`."""
    return circuit.assign_parameters(dict(zip(circuit.parameters, map(float, params), strict=True)))


def random_params(circuit: QuantumCircuit, seed: int = 0, dtype: type = np.float64) -> ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, circuit.num_parameters).astype(dtype)


def operator(circuit: QuantumCircuit, params: Sequence[float] = ()) -> ndarray:
    """Oracle: Qiskit's matrix of a circuit."""
    return Operator(bind(circuit, params)).data


def expanded(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with its Pauli evolutions as product formulas, where Qiskit's `Operator` would take the exact one."""
    return circuit.decompose(["PauliEvolution", "QAOA", "EvolvedOps"], reps=4)


def state(circuit: QuantumCircuit, params: Sequence[float] = ()) -> ndarray:
    """Oracle: Qiskit's state of a circuit."""
    return Statevector(bind(circuit, params)).data


def controlled_matrix(matrix: ndarray, controls: int, pattern: int) -> ndarray:
    """Oracle: a matrix under `controls` controls, which are the lowest qubits, where they are `pattern`."""
    full = np.eye(len(matrix) << controls, dtype=complex)
    met = np.arange(len(matrix)) << controls | pattern
    full[np.ix_(met, met)] = matrix
    return full


def rotations(n: int, seed: int) -> QuantumCircuit:
    """A random rotation of every qubit and a ring of CX, to put between gates under test."""
    rng, circuit = np.random.default_rng(seed), QuantumCircuit(n)
    for q in range(n):
        circuit.u(*rng.uniform(-3, 3, 3), q)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
    return circuit


# The reference: what a `Program` means, read off the table at the top of `_program.py`.


def matrix(program: Program, params: Sequence[float] = ()) -> ndarray:
    return run(program, params, np.eye(1 << program.num_qubits, dtype=complex))


def run(program: Program, params: Sequence[float], state: ndarray) -> ndarray:
    """The program on a state (2**n, ...)."""
    values = [value(e, params) for e in program.expressions]
    for op in program.ops:
        expression, scale = op.angle
        state = act(op, scale * (1.0 if expression < 0 else values[expression]), state)
    return state


def act(op: Op, angle: float, state: ndarray) -> ndarray:
    """One op on a state (2**n, ...)."""
    z = np.arange(len(state))
    j, met = _bits(z, op.qubits), _bits(z, op.controls) == op.pattern
    column = (slice(None),) + (None,) * (state.ndim - 1)
    if op.kind == "ry":
        (q,) = op.qubits
        return np.cos(angle / 2) * state + np.sin(angle / 2) * (2 * j - 1)[column] * state[z ^ 1 << q]
    if op.kind == "phase":
        return np.where(met, np.exp(1j * angle * (-1.0) ** np.bitwise_count(j)), 1.0)[column] * state
    if op.kind == "diagonal":
        return np.where(met, np.exp(1j * angle * op.table.array[j]), 1.0)[column] * state
    if op.kind == "flip":
        return np.where(met[column], state[z ^ 1 << op.qubits[0]], state)
    assert not op.controls and op.kind in ("permutation", "dense")
    size = 1 << len(op.qubits)
    table = op.table.array
    table = np.eye(size)[:, np.argsort(table)].T if op.kind == "permutation" else table
    rest = z ^ _spread(j, op.qubits)
    return sum(table[j, i][column] * state[rest | _spread(np.array(i), op.qubits)] for i in range(size))


def _bits(z: ndarray, qubits: Sequence[int]) -> ndarray:
    """The number whose bit k is bit `qubits[k]` of z."""
    return sum(((z >> q & 1) << k for k, q in enumerate(qubits)), np.zeros_like(z))


def _spread(j: ndarray, qubits: Sequence[int]) -> ndarray:
    """The number whose bit `qubits[k]` is bit k of j."""
    return sum(((j >> k & 1) << q for k, q in enumerate(qubits)), np.zeros_like(j))


def value(expression: Expression, params: Sequence[float]) -> float:
    def of(form: Affine) -> float:
        return form.const + sum(c * params[k] for k, c in form.terms)

    if isinstance(expression, Affine):
        return of(expression)
    results: list[float] = []
    for operation, *operands in expression.instructions:
        results.append(getattr(np, operation)(*(results[x] if isinstance(x, int) else of(x) for x in operands)))
    return results[-1]


# Circuits by name.

STANDARD: dict[str, Gate] = {
    name: gate for name, gate in get_standard_gate_name_mapping().items() if name not in ("delay", "reset", "measure")
}


def standard(name: str, params: Sequence[Any]) -> Gate:
    """The standard gate with other arguments."""
    gate = STANDARD[name]
    return type(gate)(*params) if gate.params else gate


def _bell(a: Parameter, b: Parameter, c: Parameter) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def _expressions(a: Parameter, b: Parameter, c: Parameter) -> QuantumCircuit:
    circuit = QuantumCircuit(3, global_phase=a * b)
    circuit.u(a, a, (a * b).sin(), 2)
    circuit.crx(a + 2 * b - 1, 2, 0)
    circuit.rzz(a**2 / (2 + b.cos()), 0, 1)
    circuit.ry(-a, 1)
    return circuit


def _phases_at_depth(a: Parameter, b: Parameter, c: Parameter) -> QuantumCircuit:
    """a composite in a controlled composite in a composite, each with a global phase that is a parameter."""
    inner = QuantumCircuit(1, global_phase=a, name="inner")
    inner.rx(b, 0)
    middle = circuit_of(2, (inner.to_gate().control(1, ctrl_state=0), (1, 0)), global_phase=a * c)
    outer = circuit_of(3, (middle.to_gate().control(1), (2, 0, 1)), (inner.to_gate(), [1]), global_phase=-c)
    return rotations(3, 1).compose(circuit_of(3, (outer.to_gate(), (1, 2, 0)), (outer.to_gate().inverse(), (2, 0, 1))))


def _deep(n: int, layers: int) -> QuantumCircuit:
    circuit, params = QuantumCircuit(n), ParameterVector("p", n)
    for layer in range(layers):
        for q in range(n):
            circuit.ry(params[q] + layer, q)
            circuit.rz(params[q] * params[0], q)
        circuit.append(lib.XXPlusYYGate(params[1], 0.1), [layer % n, (layer + 1) % n])
        circuit.ccx(0, 1, 2)
    return circuit


def _dense(a: Parameter, b: Parameter, c: Parameter) -> QuantumCircuit:
    n = 4
    rng, circuit = np.random.default_rng(n), QuantumCircuit(n)
    for k in (2, 3, 2, 1, 2, 3):
        circuit.unitary(random_unitary(2**k, seed=k).data, rng.permutation(n)[:k].tolist())
        circuit.rx(a, int(rng.integers(n)))
    return circuit


_CIRCUITS: dict[str, Callable[[Parameter, Parameter, Parameter], QuantumCircuit]] = {
    "no gates": lambda a, b, c: QuantumCircuit(2),
    "one qubit, no gates": lambda a, b, c: QuantumCircuit(1, global_phase=1.3),
    "one qubit": lambda a, b, c: circuit_of(1, (lib.RXGate(a), [0]), (lib.PhaseGate(b), [0])),
    "no parameters": _bell,
    "flips": lambda a, b, c: circuit_of(
        3, (lib.XGate(), [1]), (lib.CXGate(), [1, 0]), (lib.YGate(), [0]), (lib.SGate(), [1])
    ),
    "real": lambda a, b, c: lib.real_amplitudes(3, reps=2),
    "idle qubits": lambda a, b, c: circuit_of(4, (lib.RYGate(a), [2]), (lib.CXGate(), [2, 0])),
    "a global phase": lambda a, b, c: QuantumCircuit(1, global_phase=2 * a + 1),
    "reversed qubits": lambda a, b, c: circuit_of(
        4, (rotations(4, 0).to_gate(), [3, 2, 1, 0]), (lib.QFTGate(3), [3, 0, 1])
    ),
    "shared parameter": lambda a, b, c: circuit_of(
        2, (lib.RXGate(a), [0]), (lib.RZZGate(a), [1, 0]), (lib.RYGate(a), [0])
    ),
    "expressions": _expressions,
    "phases at depth": _phases_at_depth,
    "feature map": lambda a, b, c: lib.zz_feature_map(3).compose(lib.efficient_su2(3, reps=1)),
    "dense": _dense,
    "deep": lambda a, b, c: _deep(3, 30),
}
CIRCUITS: dict[str, Callable[[], QuantumCircuit]] = {
    name: lambda make=make: make(*(Parameter(letter) for letter in "abc")) for name, make in _CIRCUITS.items()
}

# The circuit library: gates and circuits of a size of 3 to 6 qubits.

A, B = Parameter("a"), Parameter("b")
_GRAPH = np.array([[0, 1, 1, 0, 0, 1], [1, 0, 0, 1, 0, 0], [1, 0, 0, 1, 1, 0]] + [[0] * 6] * 3)
_GRAPH |= _GRAPH.T


def _numbers(size: int) -> list[float]:
    return np.random.default_rng(size).uniform(-3, 3, size).tolist()


def _matrix(n: int, seed: int = 0) -> ndarray:
    return random_unitary(2**n, seed=seed).data


def _monomial(n: int) -> ndarray:
    rng = np.random.default_rng(n)
    return np.diag(np.exp(1j * rng.uniform(-3, 3, 2**n)))[rng.permutation(2**n)]


def _sum(n: int, seed: int = 0) -> SparsePauliOp:
    rng = np.random.default_rng(seed)
    labels = ["".join(rng.choice(list("IXYZ"), n)) for _ in range(4)]
    return SparsePauliOp(labels, rng.uniform(-1, 1, 4))


def _oracle(n: int) -> QuantumCircuit:
    return circuit_of(n, (lib.MCPhaseGate(np.pi, n - 1), range(n)))


GATES: dict[str, Callable[[int], Any]] = {
    "AndGate": lambda n: lib.AndGate(n - 1, [(-1) ** k for k in range(n - 1)]),
    "OrGate": lambda n: lib.OrGate(n - 1),
    "BitwiseXorGate": lambda n: lib.BitwiseXorGate(n, 5),
    "random_bitwise_xor": lambda n: lib.random_bitwise_xor(n, 1),
    "InnerProductGate": lambda n: lib.InnerProductGate(n // 2),
    "PhaseOracleGate": lambda n: lib.PhaseOracleGate("(x0 & x1) | ~x2"),
    "BitFlipOracleGate": lambda n: lib.BitFlipOracleGate("x0 ^ (x1 & ~x2)"),
    "HalfAdderGate": lambda n: lib.HalfAdderGate(n // 2),
    "FullAdderGate": lambda n: lib.FullAdderGate(n // 3),
    "ModularAdderGate": lambda n: lib.ModularAdderGate(n // 2),
    "MultiplierGate": lambda n: lib.MultiplierGate(n // 3),
    "IntegerComparatorGate": lambda n: lib.IntegerComparatorGate(n - 1, 2),
    "LinearPauliRotationsGate": lambda n: lib.LinearPauliRotationsGate(n - 1, 0.7, 0.3),
    "PolynomialPauliRotationsGate": lambda n: lib.PolynomialPauliRotationsGate(n - 1, [0.1, 0.2, 0.3]),
    "PiecewiseLinearPauliRotationsGate": lambda n: lib.PiecewiseLinearPauliRotationsGate(
        n // 2, [0, 2], [0.1, 0.2], [0.3, 0.4]
    ),
    "PiecewisePolynomialPauliRotationsGate": lambda n: lib.PiecewisePolynomialPauliRotationsGate(
        n // 2, [0, 2], [[0.1, 0.2], [0.3]]
    ),
    "PiecewiseChebyshevGate": lambda n: lib.PiecewiseChebyshevGate(lambda x: 1 / (x + 2), n // 2, 2, [1, 2]),
    "LinearAmplitudeFunctionGate": lambda n: lib.LinearAmplitudeFunctionGate(
        n // 2, [0.2, 0.5], [0, 0.1], (0, 1), (0, 1), breakpoints=[0, 0.5]
    ),
    "ExactReciprocalGate": lambda n: lib.ExactReciprocalGate(n - 1, 0.4),
    "QuadraticFormGate": lambda n: lib.QuadraticFormGate(n - 2, [[1, 2], [-1, 0]], [1, -2], 1),
    "GraphStateGate": lambda n: lib.GraphStateGate(_GRAPH[:n, :n]),
    "QFTGate": lib.QFTGate,
    "UniformSuperpositionGate": lambda n: lib.UniformSuperpositionGate(2**n - 3, n),
    "StatePreparation": lambda n: lib.StatePreparation(random_statevector(2**n, seed=n)),
    "StatePreparation of a label": lambda n: lib.StatePreparation("01+-rl"[:n]),
    "StatePreparation of a number": lambda n: lib.StatePreparation(5, n),
    "StatePreparation inverted": lambda n: lib.StatePreparation(random_statevector(2**n, seed=n), inverse=True),
    "Isometry": lambda n: lib.Isometry(_matrix(n)[:, : 2 ** (n - 2)], 0, 0),
    "UCGate": lambda n: lib.UCGate([_matrix(1, k) for k in range(2 ** (n - 1))]),
    "UCGate up to a diagonal": lambda n: lib.UCGate([_matrix(1, k) for k in range(2 ** (n - 1))], up_to_diagonal=True),
    **{f"UCR{axis}Gate": lambda n, axis=axis: getattr(lib, f"UCR{axis}Gate")(_numbers(2 ** (n - 1))) for axis in "XYZ"},
    "UCPauliRotGate": lambda n: lib.UCPauliRotGate(_numbers(2 ** (n - 1)), "Y"),
    "MCGupDiag": lambda n: lib.MCGupDiag(_matrix(1), n - 1, 0, 0),
    "UnitaryGate": lambda n: lib.UnitaryGate(_matrix(n)),
    "UnitaryGate of 1 qubit": lambda n: lib.UnitaryGate(_matrix(1, n)),
    "UnitaryGate of 2 qubits": lambda n: lib.UnitaryGate(_matrix(2, n)),
    "UnitaryGate, monomial": lambda n: lib.UnitaryGate(_monomial(n)),
    "UnitaryGate, monomial of 1 qubit": lambda n: lib.UnitaryGate(_monomial(1) * np.exp(1j * n)),
    "UnitaryGate, controlled": lambda n: lib.UnitaryGate(_matrix(n - 1)).control(1, ctrl_state=0),
    "UnitaryGate, monomial, controlled": lambda n: lib.UnitaryGate(_monomial(n - 2)).control(2, ctrl_state=1),
    "UnitaryGate, degenerate, controlled": lambda n: lib.UnitaryGate(
        _matrix(n - 1) @ np.diag([1, 1j] * 2 ** (n - 2)) @ _matrix(n - 1).conj().T
    ).control(1, annotated=True),
    "Operator": lambda n: Operator(_matrix(n)),
    "HamiltonianGate": lambda n: lib.HamiltonianGate(_sum(n).to_matrix(), 0.4),
    "RVGate": lambda n: lib.RVGate(0.1, -0.2, n),
    "PauliGate": lambda n: lib.PauliGate("XYZIXY"[:n]),
    "Pauli": lambda n: Pauli("-i" + "XYZIXY"[:n]),
    "PauliProductRotationGate": lambda n: lib.PauliProductRotationGate(Pauli("-" + "XYZIXY"[:n]), 2 * A),
    "Clifford": lambda n: random_clifford(n, seed=n),
    "CNOTDihedral": lambda n: random_cnotdihedral(min(n, 5), seed=n),
    "LinearFunction": lambda n: lib.LinearFunction(random_cnotdihedral(min(n, 5), seed=n).linear),
    "PermutationGate": lambda n: lib.PermutationGate(np.random.default_rng(n).permutation(n)),
    "DiagonalGate": lambda n: lib.DiagonalGate(np.exp(1j * np.array(_numbers(2**n)))),
    "DiagonalGate, controlled": lambda n: lib.DiagonalGate(np.exp(1j * np.array(_numbers(2 ** (n - 1))))).control(1),
    "MSGate": lambda n: lib.MSGate(n, A),
    "MCMTGate": lambda n: lib.MCMTGate(lib.RXGate(A), n - 2, 2, ctrl_state=0),
    "MCPhaseGate": lambda n: lib.MCPhaseGate(A, n - 1, ctrl_state=1),
    "MCU1Gate": lambda n: lib.MCU1Gate(A, n - 1),
    "MCXGate": lambda n: lib.MCXGate(n - 1, ctrl_state=2),
    "MCXGrayCode": lambda n: lib.MCXGrayCode(n - 1),
    "MCXRecursive": lambda n: lib.MCXRecursive(n - 1),
    "MCXVChain": lambda n: lib.MCXVChain(n // 2 + 1),
    "MCXVChain, dirty": lambda n: lib.MCXVChain(n // 2 + 1, dirty_ancillas=True),
    "MCXVChain, relative phase": lambda n: lib.MCXVChain(n // 2 + 1, relative_phase=True),
    "MCXVChain, action only": lambda n: lib.MCXVChain(n // 2 + 1, action_only=True),
}


def _method(name: str, *arguments: Any) -> Callable[[int], QuantumCircuit]:
    """A circuit made by one of its own methods with many controls."""

    def make(n: int) -> QuantumCircuit:
        circuit = QuantumCircuit(n)
        getattr(circuit, name)(*arguments, list(range(n - 1)), n - 1)
        return circuit

    return make


LIBRARY: dict[str, Callable[[int], QuantumCircuit]] = {
    **{
        name: getattr(lib, name)
        for name in """efficient_su2 real_amplitudes excitation_preserving z_feature_map zz_feature_map
        pauli_feature_map pauli_two_design quantum_volume random_iqp EfficientSU2 RealAmplitudes
        ExcitationPreserving ZFeatureMap ZZFeatureMap PauliFeatureMap PauliTwoDesign QuantumVolume QFT""".split()
    },
    "n_local": lambda n: lib.n_local(n, ["rx", "rz"], "cry", insert_barriers=True),
    "TwoLocal": lambda n: lib.TwoLocal(n, ["ry", "rz"], "crx"),
    "NLocal": lambda n: lib.NLocal(n, lib.RYGate(A), lib.CRXGate(B), reps=2),
    "qaoa_ansatz": lambda n: lib.qaoa_ansatz(_sum(n), reps=2),
    "QAOAAnsatz": lambda n: lib.QAOAAnsatz(_sum(n)),
    "evolved_operator_ansatz": lambda n: lib.evolved_operator_ansatz([_sum(n), _sum(n, 1)]),
    "EvolvedOperatorAnsatz": lambda n: lib.EvolvedOperatorAnsatz([_sum(n), _sum(n, 1)]),
    "hamiltonian_variational_ansatz": lambda n: lib.hamiltonian_variational_ansatz(_sum(n)),
    "grover_operator": lambda n: lib.grover_operator(_oracle(n)),
    "GroverOperator": lambda n: lib.GroverOperator(_oracle(n)),
    "GroverOperator of a state": lambda n: lib.GroverOperator(Statevector.from_label("101101"[:n])),
    "phase_estimation": lambda n: lib.phase_estimation(n - 2, rotations(2, 1)),
    "PhaseEstimation": lambda n: lib.PhaseEstimation(n - 2, rotations(2, 1)),
    "unitary_overlap": lambda n: lib.unitary_overlap(lib.real_amplitudes(n, reps=1), lib.efficient_su2(n, reps=1)),
    "UnitaryOverlap": lambda n: lib.UnitaryOverlap(lib.real_amplitudes(n, reps=1), lib.z_feature_map(n)),
    "iqp": lambda n: lib.iqp(_GRAPH[:n, :n] * 3),
    "IQP": lambda n: lib.IQP(_GRAPH[:n, :n] * 3),
    "hidden_linear_function": lambda n: lib.hidden_linear_function(_GRAPH[:n, :n]),
    "HiddenLinearFunction": lambda n: lib.HiddenLinearFunction(_GRAPH[:n, :n]),
    "GraphState": lambda n: lib.GraphState(_GRAPH[:n, :n]),
    "fourier_checking": lambda n: lib.fourier_checking([1, -1, -1, -1], [1, 1, -1, -1]),
    "FourierChecking": lambda n: lib.FourierChecking([1, -1, -1, -1], [1, 1, -1, -1]),
    "AND": lambda n: lib.AND(n - 1),
    "OR": lambda n: lib.OR(n - 1),
    "XOR": lambda n: lib.XOR(n, 3),
    "InnerProduct": lambda n: lib.InnerProduct(n // 2),
    "PhaseOracle": lambda n: lib.PhaseOracle("(x0 & x1) | ~x2"),
    "Diagonal": lambda n: lib.Diagonal(np.exp(1j * np.array(_numbers(2**n)))),
    "Permutation": lambda n: lib.Permutation(n, seed=n),
    "GMS": lambda n: lib.GMS(n, (_GRAPH[:n, :n] * 0.3).tolist()),
    "GR": lambda n: lib.GR(n, 0.1, 0.2),
    "GRX": lambda n: lib.GRX(n, 0.1),
    "GRY": lambda n: lib.GRY(n, 0.1),
    "GRZ": lambda n: lib.GRZ(n, 0.1),
    "MCMT": lambda n: lib.MCMT(lib.ZGate(), n - 2, 2),
    "MCMTVChain": lambda n: lib.MCMTVChain(lib.YGate(), n // 2, 1),
    "CDKMRippleCarryAdder": lambda n: lib.CDKMRippleCarryAdder(n // 3),
    "DraperQFTAdder": lambda n: lib.DraperQFTAdder(n // 2),
    "VBERippleCarryAdder": lambda n: lib.VBERippleCarryAdder(n // 3),
    "HRSCumulativeMultiplier": lambda n: lib.HRSCumulativeMultiplier(n // 3, n // 3),
    "RGQFTMultiplier": lambda n: lib.RGQFTMultiplier(n // 3),
    "WeightedAdder": lambda n: lib.WeightedAdder(n // 2),
    "IntegerComparator": lambda n: lib.IntegerComparator(n // 2, 2),
    "LinearPauliRotations": lambda n: lib.LinearPauliRotations(n - 1),
    "PolynomialPauliRotations": lambda n: lib.PolynomialPauliRotations(n - 1, [0.1, 0.2, 0.3]),
    "PiecewiseLinearPauliRotations": lambda n: lib.PiecewiseLinearPauliRotations(
        n // 2, [0, 2], [0.1, 0.2], [0.3, 0.4]
    ),
    "PiecewisePolynomialPauliRotations": lambda n: lib.PiecewisePolynomialPauliRotations(
        max(2, n // 2), [0, 2], [[0.1, 0.2], [0.3]]
    ),
    "PiecewiseChebyshev": lambda n: lib.PiecewiseChebyshev(lambda x: 1 / (x + 2), 2, [1, 2], n // 2),
    "LinearAmplitudeFunction": lambda n: lib.LinearAmplitudeFunction(
        n // 2, [0.2, 0.5], [0, 0.1], (0, 1), (0, 1), breakpoints=[0, 0.5]
    ),
    "ExactReciprocal": lambda n: lib.ExactReciprocal(n - 1, 0.4),
    "QuadraticForm": lambda n: lib.QuadraticForm(n - 1, [[A]], [B], 1),
    "rzx_zz1": lambda n: lib.rzx_zz1(A),
    "mcx": _method("mcx"),
    "mcp": _method("mcp", A),
    "mcrx": _method("mcrx", A),
    "mcry": _method("mcry", A),
    "mcrz": _method("mcrz", A),
}
