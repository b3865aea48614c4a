"""Every gate class of Qiskit's circuit library, at its edges too, against the matrix that the gate itself has.

Qiskit's definitions and modifiers are read, and some forget a phase where a gate is nearly nothing: an identity, an
angle of 2 pi, one qubit. The oracle is `to_matrix` where there is one, and Qiskit's `Operator` where not.
"""

import inspect

import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import STANDARD, bind, circuit_of, controlled_matrix, matrix, standard
from qiskit.circuit import AnnotatedOperation, ControlModifier, Instruction, Parameter
from qiskit.quantum_info import Operator, Pauli, SparseObservable, SparsePauliOp, random_unitary

import qmljax as qj

pytestmark = pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")

EYE, X, H = np.eye(2), np.array([[0, 1], [1, 0]]), Operator(lib.HGate()).data
RY = Operator(lib.RYGate(0.3)).data
ANGLES = (0.0, 0.7, np.pi, 2 * np.pi)

INSTANCES: list[Instruction] = [
    *(standard(name, [angle] * len(gate.params)) for name, gate in STANDARD.items() for angle in ANGLES if gate.params),
    *(gate for gate in STANDARD.values() if not gate.params),
    *(lib.PauliProductRotationGate(Pauli(p), a) for p in ("I", "-I", "II", "-X", "IX", "-YI", "ZIY") for a in ANGLES),
    *(lib.PauliGate(p) for p in ("I", "II", "IX", "YIY")),
    lib.PauliEvolutionGate(Pauli("I"), 1.3),
    lib.PauliEvolutionGate([Pauli("II"), Pauli("XX")], 1.3),
    lib.PauliEvolutionGate(SparsePauliOp(["II", "XZ"], [0.7, 0.3]), 1.3),
    lib.PauliEvolutionGate(SparsePauliOp(["XX", "II"], [1, 1]), 0),
    lib.PauliEvolutionGate(SparseObservable.from_list([("00", 0.3), ("II", 0.2)]), 1.3),
    *(lib.HamiltonianGate(m, 0.8) for m in (np.array([[1, 0.5], [0.5, -1]]), EYE, 0 * EYE, np.diag([1.0, 2, 3, 4]))),
    *(lib.UnitaryGate(m) for m in (-EYE, 1j * EYE, X, np.exp(0.3j) * np.eye(4), np.diag([1, -1, 1j, 1]))),
    *(lib.DiagonalGate(d) for d in ([1, 1], [-1, -1], [1j] * 4, [1j, 1, 1, -1])),
    *(lib.QFTGate(n) for n in (1, 2, 3)),
    *(lib.RVGate(*v) for v in ((0, 0, 0), (0.1, 0.2, 0.3), (2 * np.pi, 0, 0))),
    *(lib.PermutationGate(p) for p in ([0], [0, 1], [2, 0, 1])),
    *(cls(a, n) for cls in (lib.MCPhaseGate, lib.MCU1Gate) for n in (1, 2, 5) for a in ANGLES),
    *(lib.MCXGate(n, ctrl_state=s) for n in (1, 2, 3, 4, 5) for s in (0, None)),
    *(cls(n) for cls in (lib.MCXGrayCode, lib.MCXRecursive, lib.MCXVChain) for n in (1, 2, 3, 4)),
    *(lib.C3XGate(ctrl_state=s) for s in (2, None)),
    *(lib.C4XGate(ctrl_state=s) for s in (2, None)),
    lib.MCMTGate(lib.XGate(), 1, 1),
    lib.MCMTGate(lib.RZGate(2 * np.pi), 1, 2),
    lib.MCMTGate(lib.PhaseGate(0.3), 2, 2, ctrl_state=0),
    *(lib.MSGate(n, a) for n in (1, 3) for a in ANGLES),
    lib.UCRXGate([2 * np.pi]),
    lib.UCRYGate([2 * np.pi, 2 * np.pi]),
    lib.UCRZGate([0.3, 0.2, 2 * np.pi, 0.0]),
    lib.UCPauliRotGate([0.3, 2 * np.pi], "Y"),
    *(lib.UCGate(m) for m in ([RY], [H, 1j * RY], [EYE, EYE], [1j * EYE, EYE], [1j * EYE, EYE, -EYE, X])),
    lib.UCGate([H, 1j * RY], up_to_diagonal=True),
    *(lib.MCGupDiag(m, n, a, 0) for m, n, a in ((H, 1, 0), (EYE, 2, 0), (X, 1, 1))),
    *(lib.Isometry(m, 0, 0) for m in (np.eye(4), H, 1j * EYE, np.array([1j, 0]), random_unitary(4, seed=1).data)),
    *(lib.LinearFunction(m) for m in ([[1]], [[1, 0], [0, 1]], [[1, 1], [0, 1]])),
    *(lib.StatePreparation(v) for v in ([1, 0], [-1, 0], [0, 1j], "01", "+r", np.array([1, 1j, 0, 0]) / 2**0.5)),
    lib.StatePreparation([0.6, 0.8j], inverse=True),
    *(lib.UniformSuperpositionGate(m, n) for m, n in ((2, 1), (3, 2), (4, 2), (5, 3))),
    *(cls(2, flags) for cls in (lib.AndGate, lib.OrGate) for flags in ([0, 0], [-1, 1])),
    lib.InnerProductGate(1),
    *(lib.BitwiseXorGate(2, a) for a in (0, 1)),
    lib.BitFlipOracleGate("x0 & ~x1"),
    *(lib.PhaseOracleGate(e) for e in ("x0", "x0 | ~x1", "x0 | ~x0")),
    lib.GraphStateGate([[0]]),
    lib.GraphStateGate([[0, 1], [1, 0]]),
    *(cls(n) for cls in (lib.HalfAdderGate, lib.FullAdderGate, lib.ModularAdderGate) for n in (1, 2)),
    *(lib.MultiplierGate(n, r) for n, r in ((1, 1), (1, 2))),
    *(lib.IntegerComparatorGate(2, v, geq=g) for v in (-1, 0, 2, 5) for g in (True, False)),
    lib.LinearPauliRotationsGate(1, 0.0, 0.0),
    lib.LinearPauliRotationsGate(2, 0.3, 0.4, "Z"),
    lib.PolynomialPauliRotationsGate(1, [2 * np.pi]),
    lib.PiecewiseLinearPauliRotationsGate(2, [0, 2], [0.1, 0.2], [0.3, 0.4]),
    lib.PiecewisePolynomialPauliRotationsGate(2, [0, 2], [[0.1, 0.2], [0.3]]),
    lib.PiecewiseChebyshevGate(lambda x: 1 / (x + 2), 2, 2, [1, 2]),
    lib.LinearAmplitudeFunctionGate(2, [0.2, 0.5], [0, 0.1], (0, 1), (0, 1), breakpoints=[0, 0.5]),
    *(lib.ExactReciprocalGate(2, 0.4, neg_vals=negative) for negative in (False, True)),
    lib.QuadraticFormGate(1, [[1]], [1], 1),
]
ELSEWHERE = {  # no unitary operations, or with a test of their own in test_parse.py, or an MCXGate when made
    *"Barrier Initialize Measure PauliProductMeasurement Reset WeightedSumGate MCXGrayCode".split()
}


def test_every_class_of_the_library_is_here():
    classes = {name for name, cls in vars(lib).items() if inspect.isclass(cls) and issubclass(cls, Instruction)}
    covered = {cls.__name__ for gate in INSTANCES for cls in type(gate).__mro__}
    missing = classes - covered - ELSEWHERE
    assert not missing, f"add an instance, boundary cases included: {sorted(missing)}"


@pytest.mark.parametrize("name", sorted({type(gate).__name__ for gate in INSTANCES}))
def test_alone_inverted_and_controlled(name):
    for gate in [gate for gate in INSTANCES if type(gate).__name__ == name]:
        try:
            own = np.asarray(gate.to_matrix())
        except Exception:  # Qiskit's own message: it has no matrix but by its definition
            own = Operator(circuit_of(gate.num_qubits, (gate, range(gate.num_qubits)))).data
        cases = [(gate, own), (AnnotatedOperation(gate, ControlModifier(1, 0)), controlled_matrix(own, 1, 0))]
        if not isinstance(gate, lib.GraphStateGate):  # Qiskit itself cannot
            cases.append((gate.inverse(), own.conj().T))
        if not isinstance(gate, lib.Isometry):
            cases.append((gate.inverse(annotated=True), own.conj().T))
            if not isinstance(gate, lib.PermutationGate | lib.MCXVChain | lib.MCXRecursive):
                controlled = gate.control(2, ctrl_state=1, annotated=False)
                cases.append((controlled, controlled_matrix(own, 2, 1)))
        for operation, expected in cases:
            circuit = circuit_of(operation.num_qubits, (operation, range(operation.num_qubits)))
            np.testing.assert_allclose(matrix(qj.parse(circuit)), expected, atol=1e-8, err_msg=str(operation))


@pytest.mark.parametrize("label", ["I", "-II", "-XIY", "IZI"])
def test_pauli_rotation_with_a_parameter(label):
    gate = lib.PauliProductRotationGate(Pauli(label), 2 * Parameter("a") + 1)
    n = gate.num_qubits
    for controls in (0, 2):
        own = bind(circuit_of(n, (gate, range(n))), [0.4]).data[0].operation.to_matrix()
        operation = AnnotatedOperation(gate, ControlModifier(controls, 0)) if controls else gate
        program = qj.parse(circuit_of(n + controls, (operation, range(n + controls))))
        np.testing.assert_allclose(matrix(program, [0.4]), controlled_matrix(own, controls, 0), atol=1e-12)
