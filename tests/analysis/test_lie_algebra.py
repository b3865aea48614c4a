"""Dynamical Lie algebras. Oracles: closed forms of spin chains, and nested commutators of dense matrices by Qiskit."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import UnitaryGate, real_amplitudes
from qiskit.quantum_info import Operator, SparsePauliOp, random_unitary

from qmljax import parse
from qmljax.analysis import lie_algebra_dimension
from qmljax.analysis._lie_algebra import generators
from qmljax.circuits import raw_feature_vector


def chain(n, bonds, fields=(), periodic=False, shared=False):
    """Gates on all bonds and sites, each with a parameter of its own, or one for each kind of gate."""
    circuit, angles = QuantumCircuit(n), iter(ParameterVector("p", 6 * n))
    for kind in [*bonds, *fields]:
        common = next(angles)
        for q in range(n if periodic or kind in fields else n - 1):
            place = (q,) if kind in fields else (q, (q + 1) % n)
            getattr(circuit, kind)(common if shared else next(angles), *place)
    return circuit


def slopes(circuit):
    """U(0)^dagger dU/dt_k without the identity: -i times the generators, all fixed gates moved to the end."""
    count, size = circuit.num_parameters, 1 << circuit.num_qubits
    at = lambda p: Operator(circuit.assign_parameters(p)).data  # noqa: E731
    start = at(np.zeros(count)).conj().T
    found = []
    for e in np.eye(count):
        slope = sum(c * at(s * e) for s, c in zip((-2e-3, -1e-3, 1e-3, 2e-3), (1, -8, 8, -1), strict=True)) / 12e-3
        g = start @ slope
        found.append(g - np.trace(g) / size * np.eye(size))
    return found


def by_matrices(circuit):
    """The dimension by commutators of dense matrices."""
    start, size = slopes(circuit), 1 << circuit.num_qubits
    basis, members = np.zeros((0, size * size * 2)), []

    def add(g):
        nonlocal basis
        v = np.concatenate([g.real.ravel(), g.imag.ravel()])
        if np.linalg.norm(v) < 1e-6:
            return
        v = v / np.linalg.norm(v)
        for _ in range(2):
            v = v - basis.T @ (basis @ v)
        if np.linalg.norm(v) > 1e-5:
            v /= np.linalg.norm(v)
            basis = np.vstack([basis, v])
            members.append((v[: size * size] + 1j * v[size * size :]).reshape(size, size))

    for g in start:
        add(g)
    done = 0
    while done < len(members):
        for g in start:
            add(g @ members[done] - members[done] @ g)
        done += 1
    return len(members)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_the_open_ising_chain_is_so_2n(n):
    assert lie_algebra_dimension(chain(n, ["rzz"], ["rx"])) == n * (2 * n - 1)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_universal_chain_is_su(n):
    assert lie_algebra_dimension(chain(n, ["rzz"], ["rx", "rz"])) == 4**n - 1


@pytest.mark.parametrize("n", [3, 4, 5])
def test_the_open_xy_chain_is_two_times_so_n(n):
    """a_4 of arXiv:2309.05690, of XX and YY: so(n) + so(n)."""
    assert lie_algebra_dimension(chain(n, ["rxx", "ryy"])) == n * (n - 1)


@pytest.mark.parametrize("n", [3, 4, 9])
def test_qaoa_on_a_ring(n):
    """3 n - 1 for MaxCut on a cycle: J. Allcock, M. Santha, P. Yuan, S. Zhang, arXiv:2407.12587."""
    assert lie_algebra_dimension(chain(n, ["rzz"], ["rx"], periodic=True, shared=True)) == 3 * n - 1


def test_commuting_gates_generate_themselves():
    assert lie_algebra_dimension(chain(4, ["rzz"], ["rz"])) == 7
    assert lie_algebra_dimension(QuantumCircuit(2)) == 0
    phase = QuantumCircuit(1, global_phase=Parameter("t"))
    assert lie_algebra_dimension(phase) == 0


def controlled():
    circuit, p = QuantumCircuit(2), ParameterVector("p", 4)
    circuit.cry(p[0], 0, 1)
    circuit.cp(2 * p[1], 1, 0)
    circuit.u(p[2], 0.3, -0.2, 0)
    circuit.rx(p[3], 1)
    return circuit


def fixed_gates():
    circuit, p = QuantumCircuit(3), ParameterVector("p", 3)
    circuit.append(UnitaryGate(random_unitary(4, seed=0)), [0, 2])
    circuit.rz(p[0], 0)
    circuit.t(1), circuit.h(1), circuit.ccx(0, 1, 2)
    circuit.rzz(p[1], 1, 2)
    circuit.swap(0, 1), circuit.rx(0.4, 1)
    circuit.ryy(p[2], 0, 1)
    return circuit


def offsets():
    """One parameter, two gates that commute; the offset of one turns what comes after it."""
    circuit, p = QuantumCircuit(2), ParameterVector("p", 2)
    circuit.rz(p[0], 0)
    circuit.rz(0.7 - 2 * p[0], 1)
    circuit.rxx(p[1], 0, 1)
    return circuit


CIRCUITS = {
    "Ising with shared angles": lambda: chain(3, ["rzz"], ["rx"], shared=True),
    "periodic QAOA": lambda: chain(4, ["rzz"], ["rx"], periodic=True, shared=True),
    "Heisenberg": lambda: chain(3, ["rxx", "ryy", "rzz"]),
    "Heisenberg with shared angles": lambda: chain(3, ["rxx", "rzz"], shared=True),
    "real amplitudes": lambda: real_amplitudes(3, reps=2),
    "controlled gates": controlled,
    "fixed gates": fixed_gates,
    "offsets": offsets,
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_dense_matrices_agree(name):
    circuit = CIRCUITS[name]()
    assert lie_algebra_dimension(circuit) == by_matrices(circuit)


@pytest.mark.parametrize("name", ["real amplitudes", "controlled gates", "fixed gates", "offsets", "periodic QAOA"])
def test_the_generators_are_those_of_the_derivatives(name):
    """Which the dimension does not always tell: in which order, and which way round, fixed gates are moved."""
    circuit = CIRCUITS[name]()
    letters = {0: "I", 1: "X", 2: "Z", 3: "Y"}
    found = []
    for generator in generators(parse(circuit)):
        labels = {
            "".join(letters[s >> 2 * q & 3] for q in reversed(range(circuit.num_qubits))): c
            for s, c in generator.items()
        }
        found.append(-1j * SparsePauliOp(list(labels), list(labels.values())).to_matrix())
    expected = slopes(circuit)
    assert len(found) == len(expected)
    for one in expected:
        assert min(abs(one - other).max() for other in found) < 1e-9


def test_gates_of_one_parameter_are_one_generator_only_if_they_commute():
    t, apart = Parameter("t"), QuantumCircuit(1)
    apart.rx(t, 0)
    assert lie_algebra_dimension(apart) == 1
    apart.rz(t, 0)  # exp(-i t Z) exp(-i t X) for all t is no subgroup: it generates all of SU(2)
    assert lie_algebra_dimension(apart) == 3


def test_what_has_no_generators_is_refused():
    with pytest.raises(NotImplementedError, match="Leave the encoding out of `circuit`"):
        lie_algebra_dimension(raw_feature_vector(4))
    large = QuantumCircuit(7)
    large.rz(Parameter("t"), 0)
    large.append(UnitaryGate(random_unitary(2**7, seed=0)), range(7))
    assert lie_algebra_dimension(large) == 1  # what comes after does not matter
    large.rz(Parameter("u"), 0)
    with pytest.raises(NotImplementedError, match="A fixed gate on 7 qubits"):
        lie_algebra_dimension(large)
