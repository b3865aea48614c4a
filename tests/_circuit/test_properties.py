"""Random circuits: any gates under any modifiers, registers, layouts, expressions, batches, both precisions.

Oracle: Qiskit's `Statevector` of the bound circuit, and its central differences. Here a few examples, always the same;
`make fuzz` runs as many new ones as wanted (`QMLJAX_FUZZ`) and says how many there were.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import ATOL, STANDARD, bind, matrix, standard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, QuantumRegister, generate_preset_pass_manager
from qiskit.circuit import AnnotatedOperation, ControlModifier, InverseModifier, Parameter, PowerModifier
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector, random_clifford, random_unitary
from qiskit.transpiler import CouplingMap

import qmljax as qj

EXAMPLES = int(os.environ.get("QMLJAX_FUZZ", "12"))
FORGET = 50  # so many examples are compiled before what is compiled is forgotten: a process has room for so much

A, B, C = (Parameter(name) for name in "abc")
ANGLES = [0.0, 0.7, -2.9, np.pi, 2 * np.pi, A, B, -C, 2 * A + 1, A * B, (A - C).sin(), B / 3 - A, abs(A) ** 0.5, A**2]
MATRICES: dict[str, Any] = {
    "unitary": lambda k: lib.UnitaryGate(random_unitary(2 ** (k % 3 + 1), seed=k)),
    "diagonal": lambda k: lib.DiagonalGate(np.exp(1j * np.random.default_rng(k).uniform(-3, 3, 2 ** (k % 3 + 1)))),
    "permutation": lambda k: lib.PermutationGate(np.random.default_rng(k).permutation(k % 3 + 1)),
    "clifford": lambda k: random_clifford(k % 2 + 1, seed=k).to_instruction(),
    "pauli": lambda k: lib.PauliGate("".join(np.random.default_rng(k).choice(list("IXYZ"), k % 3 + 1))),
    "mcx": lambda k: lib.MCXGate(k % 4 + 1, ctrl_state=k % 2),
    "qft": lambda k: lib.QFTGate(k % 3 + 1),
}
ran = {"examples": 0}


@pytest.fixture(scope="module", autouse=True)
def report() -> Iterator[None]:
    start = time.perf_counter()
    yield
    if "QMLJAX_FUZZ" in os.environ:
        print(f"\n{ran['examples']} random circuits agreed with Qiskit, in {time.perf_counter() - start:.0f} s.")


@st.composite
def operations(draw: st.DrawFn, room: int) -> Any:
    """An operation on at most so many qubits, under modifiers."""
    controls = draw(st.integers(0, min(2, room - 1)))
    kind = draw(st.sampled_from([*STANDARD, *MATRICES, "rotation", "composite"]))
    if kind in STANDARD:
        gate = standard(kind, [draw(st.sampled_from(ANGLES)) for _ in STANDARD[kind].params])
    elif kind in MATRICES:
        gate = MATRICES[kind](draw(st.integers(0, 20)))
    elif kind == "rotation":
        # Qiskit's transpiler forgets the phase of an identity, which test_matrices.py looks at.
        label = draw(st.text("IXYZ", min_size=1, max_size=3).filter(lambda letters: set(letters) != {"I"}))
        gate = lib.PauliProductRotationGate(Pauli(draw(st.sampled_from("+-")) + label), draw(st.sampled_from(ANGLES)))
    else:
        inner = QuantumCircuit(2, global_phase=draw(st.sampled_from(ANGLES)))
        inner.rx(draw(st.sampled_from(ANGLES)), 0)
        inner.cp(draw(st.sampled_from(ANGLES)), 0, 1)
        gate = inner.to_gate()
    if gate.num_qubits + controls > room:
        return lib.RYGate(draw(st.sampled_from(ANGLES)))
    modifiers = draw(st.lists(st.sampled_from([InverseModifier(), PowerModifier(2), PowerModifier(-1)]), max_size=2))
    if controls:
        modifiers.append(ControlModifier(controls, draw(st.integers(0, 2**controls - 1))))
    modifiers = draw(st.permutations(modifiers))
    return AnnotatedOperation(gate, modifiers) if modifiers else gate


@st.composite
def circuits(draw: st.DrawFn) -> QuantumCircuit:
    n = draw(st.integers(1, 8))
    first = draw(st.integers(1, n))
    registers = [QuantumRegister(first, "r"), *([QuantumRegister(n - first, "q")] if n > first else [])]
    circuit = QuantumCircuit(*registers, global_phase=draw(st.sampled_from(ANGLES)))
    circuit.h(range(n))
    for _ in range(draw(st.integers(0, 6))):
        operation = draw(operations(n))
        circuit.append(operation, draw(st.permutations(range(n)))[: operation.num_qubits])
    return circuit


def observable(draw: Any, n: int) -> SparsePauliOp:
    labels = draw(st.lists(st.text("IXYZ", min_size=n, max_size=n), min_size=1, max_size=3))
    return SparsePauliOp(labels, [0.5 + k for k in range(len(labels))])


def laid_out(draw: Any, circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit on a line of more qubits, in a native basis."""
    manager = generate_preset_pass_manager(
        optimization_level=draw(st.integers(0, 2)),
        basis_gates=["rz", "sx", "x", "cz"],
        coupling_map=CouplingMap.from_line(circuit.num_qubits + 1),
        seed_transpiler=0,
    )
    return manager.run(circuit)


@settings(
    max_examples=EXAMPLES,
    derandomize="QMLJAX_FUZZ" not in os.environ,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a smaller example is found by hand sooner than by compiling hundreds
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_random_circuits(data: Any):
    draw = data.draw
    circuit = draw(circuits())
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    batch = draw(st.sampled_from([(), (3,), (2, 1)]))
    seed = draw(st.integers(0, 99))
    params = np.random.default_rng(seed).uniform(-3, 3, (*batch, circuit.num_parameters)).astype(dtype)
    rows = params.reshape(int(np.prod(batch)), circuit.num_parameters)
    states = [Statevector(bind(circuit, row)) for row in rows]
    exact = matrix(qj.parse(circuit), rows[0].astype(float))[:, 0]
    np.testing.assert_allclose(exact, states[0].data, atol=1e-11)

    atol = 10 * ATOL[dtype]
    what = draw(st.sampled_from(["statevector", "probabilities", "expectation", "laid out"]))
    with jax.enable_x64(dtype == np.float64):
        if what == "statevector":
            got, expected = qj.statevector(circuit)(params), [psi.data for psi in states]
        elif what == "probabilities":
            chosen = draw(st.permutations(range(circuit.num_qubits)))[: draw(st.integers(1, circuit.num_qubits))]
            got = qj.probabilities(circuit, chosen)(params)
            expected = [psi.probabilities(list(chosen)) for psi in states]
        else:
            obs = observable(draw, circuit.num_qubits)
            expected = [psi.expectation_value(obs).real for psi in states]
            run, seen = circuit, obs
            if what == "laid out":
                isa = laid_out(draw, circuit)
                if isa.parameters == circuit.parameters:  # else some have been optimised away
                    run, seen = isa, obs.apply_layout(isa.layout)
            f = qj.expectation(run, seen)
            got = f(params)
            if dtype == np.float64 and rows.size and draw(st.booleans()):
                check_gradient(f, circuit, obs, rows[0])
        np.testing.assert_allclose(got, np.reshape(expected, np.shape(got)), atol=atol)
    ran["examples"] += 1
    if ran["examples"] % FORGET == 0:
        jax.clear_caches()


def check_gradient(f: Any, circuit: QuantumCircuit, obs: SparsePauliOp, row: np.ndarray) -> None:
    def oracle(point: np.ndarray) -> float:
        return Statevector(bind(circuit, point)).expectation_value(obs).real

    steps = 1e-6 * np.eye(len(row))
    differences = [(oracle(row + e) - oracle(row - e)) / 2e-6 for e in steps]
    np.testing.assert_allclose(jax.grad(f)(jnp.asarray(row)), differences, atol=1e-6)
