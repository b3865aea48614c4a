"""Density matrices of noisy circuits. Oracle: Qiskit's, evolved gate by gate with the channels of qiskit-aer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import (
    DensityMatrix,
    Kraus,
    Operator,
    Pauli,
    PauliList,
    SparsePauliOp,
    SuperOp,
    partial_trace,
    random_quantum_channel,
)

import qmljax as qj
from qmljax import noise

aer = pytest.importorskip("qiskit_aer.noise")

GATES = get_standard_gate_name_mapping()
NAMES = "x y z h s sdg t sx rx ry rz p u cx cz cy ch cp crx swap iswap ecr rzz rxx ccx cswap".split()
K1, K2 = (Kraus(random_quantum_channel(d, d, rank=r, seed=d)) for d, r in ((2, 2), (4, 3)))
# (ours, Qiskit's)
CHANNELS = {
    "x": (noise.depolarizing(0.1), aer.depolarizing_error(0.1, 1)),
    "h": (noise.amplitude_damping(0.2), aer.amplitude_damping_error(0.2)),
    "rx": (noise.phase_damping(0.3), aer.phase_damping_error(0.3)),
    "ry": (noise.thermal_relaxation(50, 70, 10, 0.2), aer.thermal_relaxation_error(50, 70, 10, 0.2)),
    "p": (noise.thermal_relaxation(50, 30, 10), aer.thermal_relaxation_error(50, 30, 10)),
    "rz": (noise.kraus(K1.data), K1),
    "u": (noise.bit_flip(0.1), aer.pauli_error([("X", 0.1), ("I", 0.9)])),
    "t": (noise.phase_flip(0.1), aer.pauli_error([("Z", 0.1), ("I", 0.9)])),
    "cx": (noise.depolarizing(0.2, 2), aer.depolarizing_error(0.2, 2)),
    "cz": (noise.pauli({"XY": 0.1, "ZI": 0.2}), aer.pauli_error([("XY", 0.1), ("ZI", 0.2), ("II", 0.7)])),
    "swap": (noise.kraus(K2.data), K2),
    "ecr": (noise.depolarizing(0.1), aer.depolarizing_error(0.1, 1).tensor(aer.depolarizing_error(0.1, 1))),
    "rzz": (
        noise.amplitude_damping(0.1).tensor(noise.bit_flip(0.2)),
        aer.pauli_error([("X", 0.2), ("I", 0.8)]).tensor(aer.amplitude_damping_error(0.1)),
    ),
    "rxx": (
        noise.depolarizing(0.1, 2).then(noise.depolarizing(0.2, 2)),
        aer.depolarizing_error(0.1, 2).compose(aer.depolarizing_error(0.2, 2)),
    ),
}
MODEL = noise.NoiseModel({name: channel for name, (channel, _) in CHANNELS.items()})
ORACLES = {name: SuperOp(channel) for name, (_, channel) in CHANNELS.items()}


def random_gates(n, count, rng):
    circuit = QuantumCircuit(n)
    while len(circuit.data) < count:
        gate = GATES[rng.choice(NAMES)]
        if gate.num_qubits <= n:
            gate = gate.to_mutable()
            gate.params = list(rng.uniform(-3, 3, len(gate.params)))
            circuit.append(gate, rng.permutation(n)[: gate.num_qubits].tolist())
    return circuit


def evolved(circuit, oracles=ORACLES):
    rho = DensityMatrix.from_label("0" * circuit.num_qubits)
    for instruction in circuit.data:
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        operation = instruction.operation
        if hasattr(operation, "_quantum_error"):
            rho = rho.evolve(SuperOp(operation._quantum_error), qubits)
            continue
        rho = rho.evolve(SuperOp(operation) if operation.name in ("kraus", "superop") else Operator(operation), qubits)
        if operation.name in oracles:
            rho = rho.evolve(oracles[operation.name], qubits)
    return rho


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(10))
def test_random_circuits(seed):
    rng = np.random.default_rng(seed)
    n = 1 + seed % 5
    circuit = random_gates(n, 22, rng)
    want = evolved(circuit)
    got = np.asarray(noise.Simulator(MODEL).density_matrix(circuit)([]))
    np.testing.assert_allclose(got, want.data, atol=1e-12)
    np.testing.assert_allclose(np.trace(got), 1, atol=1e-12)
    assert np.linalg.eigvalsh(got).min() > -1e-12
    kept = rng.permutation(n)[: max(1, n - 2)].tolist()
    part = np.asarray(noise.Simulator(MODEL).density_matrix(circuit, kept)([]))
    order = sorted(kept)
    rest = partial_trace(want, [q for q in range(n) if q not in kept])
    permuted = np.asarray(rest.evolve(_moved([order.index(q) for q in kept])).data)
    np.testing.assert_allclose(part, permuted, atol=1e-12)
    label = "".join(rng.choice(list("IXYZ"), n))
    sums = {label: 0.3, "Z" * n: -1.5}
    value = noise.Simulator(MODEL).expectation(circuit, [label, sums])([])
    expected = [want.expectation_value(Pauli(label)), want.expectation_value(SparsePauliOp.from_list(sums.items()))]
    np.testing.assert_allclose(value, np.real(expected), atol=1e-12)
    p = noise.Simulator(MODEL).probabilities(circuit, kept)([])
    np.testing.assert_allclose(p, want.probabilities(kept), atol=1e-12)
    np.testing.assert_allclose(qj.density_matrix(circuit, kept)([]), _pure(circuit, kept), atol=1e-12)


def _moved(places):
    """Qubit k of the result is `places[k]` of what comes."""
    circuit = QuantumCircuit(len(places))
    held = list(range(len(places)))
    for k, wanted in enumerate(places):
        at = held.index(wanted)
        if at != k:
            circuit.swap(k, at)
            held[k], held[at] = held[at], held[k]
    return Operator(circuit)


def _pure(circuit, kept):
    n = circuit.num_qubits
    rest = partial_trace(DensityMatrix(circuit), [q for q in range(n) if q not in kept])
    order = sorted(kept)
    return np.asarray(rest.evolve(_moved([order.index(q) for q in kept])).data)


@pytest.mark.usefixtures("x64")
def test_channels_in_the_circuit_itself_and_operations_on_many_qubits():
    circuit = QuantumCircuit(5)
    circuit.h(range(5)), circuit.ry(0.3, 1)
    circuit.append(K1.to_instruction(), [1])
    circuit.append(aer.depolarizing_error(0.1, 2), [2, 0])
    circuit.append(aer.amplitude_damping_error(0.3), [3])
    circuit.mcx([0, 1, 2, 3], 4), circuit.mcp(0.7, [0, 1, 2, 4], 3)
    circuit.append(K2.to_instruction(), [4, 1])
    circuit.append(aer.PauliError(PauliList(["II", "XY"]), [0.8, 0.2]).to_instruction(), [1, 4])
    circuit.append(aer.PauliLindbladError(PauliList(["XX", "ZI"]), [0.1, 0.05]).to_instruction(), [0, 3])
    assert {"kraus", "quantum_channel"} <= set(circuit.count_ops())
    circuit.unitary(Operator(random_gates(4, 12, np.random.default_rng(0))), [3, 1, 0, 4])
    circuit.cswap(0, 1, 2)
    got = qj.density_matrix(circuit)([])
    np.testing.assert_allclose(got, evolved(circuit, {}).data, atol=1e-12)
    with pytest.raises(NotImplementedError, match="kraus"):
        qj.expectation(circuit, "Z" * 5)


@pytest.mark.parametrize(
    ("channel", "after"),
    [  # of the Bloch vector (x, y, z): closed forms
        (noise.depolarizing(0.3), lambda x, y, z: (0.7 * x, 0.7 * y, 0.7 * z)),
        (noise.bit_flip(0.2), lambda x, y, z: (x, 0.6 * y, 0.6 * z)),
        (noise.phase_flip(0.2), lambda x, y, z: (0.6 * x, 0.6 * y, z)),
        (noise.pauli({"Y": 0.2}), lambda x, y, z: (0.6 * x, y, 0.6 * z)),
        (noise.amplitude_damping(0.36), lambda x, y, z: (0.8 * x, 0.8 * y, 0.36 + 0.64 * z)),
        (noise.phase_damping(0.36), lambda x, y, z: (0.8 * x, 0.8 * y, z)),
        (
            noise.thermal_relaxation(2.0, 3.0, 1.0, 0.1),
            lambda x, y, z: (
                np.exp(-1 / 3) * x,
                np.exp(-1 / 3) * y,
                np.exp(-1 / 2) * z + (1 - np.exp(-1 / 2)) * 0.8,
            ),
        ),
        (noise.depolarizing(1.0), lambda x, y, z: (0, 0, 0)),
        (noise.amplitude_damping(1.0), lambda x, y, z: (0, 0, 1)),
        (noise.depolarizing(0.0), lambda x, y, z: (x, y, z)),
    ],
)
def test_one_qubit_under_each_channel(channel, after):
    circuit = QuantumCircuit(1)
    t = ParameterVector("t", 2)
    circuit.ry(t[0], 0), circuit.p(t[1], 0), circuit.id(0)
    f = noise.Simulator(noise.NoiseModel({"id": channel})).expectation(circuit, ["X", "Y", "Z"])
    a, b = 0.7, 1.1
    bloch = np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)
    np.testing.assert_allclose(f([a, b]), after(*bloch), atol=1e-6)
    slopes = np.asarray(jax.jacrev(f)(jnp.array([a, b])))
    assert np.isfinite(slopes).all()
    zero = np.array(after(0, 0, 0))
    along = np.array(after(np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), -np.sin(a))) - zero
    np.testing.assert_allclose(slopes[:, 0], along, atol=1e-6)


def layers(n, count):
    circuit, t = QuantumCircuit(n), ParameterVector("t", 2 * n * count)
    for k in range(count):
        for q in range(n):
            circuit.ry(t[2 * (n * k + q)], q), circuit.rz(t[2 * (n * k + q) + 1], q)
        for q in range(n - 1):
            circuit.cx(q, q + 1)
        circuit.rzz(t[2 * n * k], 0, n - 1)
    return circuit


@pytest.mark.usefixtures("x64")
def test_derivatives_in_parameters_and_strengths_are_differences():
    circuit = layers(3, 2)
    theta = np.random.default_rng(0).normal(size=circuit.num_parameters)
    start = jnp.array([0.1, 0.2, 0.15, 0.05, 0.3, 0.1])

    def value(p, theta):
        model = noise.NoiseModel(
            {
                "ry": noise.amplitude_damping(p[0]),
                "rz": noise.phase_damping(p[1]),
                "cx": noise.depolarizing(p[2], 2),
                ("cx", (1, 2)): noise.pauli({"XZ": p[3], "ZI": p[3] ** 2}),
                "rzz": noise.thermal_relaxation(1.0, 1.5, p[4]).tensor(noise.bit_flip(p[5])),
            },
            readout=jnp.array([[1 - p[0], p[0]], [p[1], 1 - p[1]]]),
        )
        return noise.Simulator(model).expectation(circuit, {"ZZX": 1.0, "IYI": 0.5, "ZIZ": -1.0})(theta)

    f = jax.jit(value)
    slopes = jax.jit(jax.grad(value, (0, 1)))(start, theta)
    for k, x in enumerate((start, jnp.asarray(theta))):
        for j in range(len(x)):
            h = 1e-6 * np.eye(len(x))[j]
            args = [[start, theta], [start, theta]]
            args[0][k], args[1][k] = x + h, x - h
            np.testing.assert_allclose(slopes[k][j], (f(*args[0]) - f(*args[1])) / 2e-6, atol=1e-8)
    hessian = jax.jit(jax.hessian(value))(start, theta)
    gradient = jax.jit(jax.grad(value))
    for j in range(len(start)):
        h = 1e-5 * np.eye(len(start))[j]
        np.testing.assert_allclose(
            hessian[j], (gradient(start + h, theta) - gradient(start - h, theta)) / 2e-5, atol=1e-7
        )


@pytest.mark.usefixtures("x64")
def test_batches_ensembles_of_strengths_and_deep_circuits():
    circuit = layers(3, 12)
    theta = np.random.default_rng(0).normal(size=(2, 3, circuit.num_parameters))
    strengths = jnp.array([0.0, 0.01, 0.05, 1.0])

    @jax.jit
    def values(p, theta):
        model = noise.NoiseModel({"cx": noise.depolarizing(p, 2), "ry": noise.bit_flip(p / 2)})
        return noise.Simulator(model).expectation(circuit, "ZXZ")(theta)

    each = jax.vmap(values, (0, None))(strengths, theta)
    assert each.shape == (4, 2, 3)
    np.testing.assert_allclose(each[0], qj.expectation(circuit, "ZXZ")(theta), atol=1e-12)
    for k, p in enumerate((0.0, 0.01, 0.05, 1.0)):
        model = noise.NoiseModel({"cx": noise.depolarizing(p, 2), "ry": noise.bit_flip(p / 2)})
        little = noise.Simulator(model, memory=1 << 12).expectation(circuit, "ZXZ")
        np.testing.assert_allclose(each[k], little(theta), atol=1e-12)
    f = noise.Simulator(noise.NoiseModel({"cx": noise.depolarizing(0.02, 2)})).expectation(circuit, "ZXZ")
    slope, some = np.asarray(jax.jit(jax.grad(f))(theta[0, 0])), [0, 30, 71]
    h = 1e-6 * np.eye(theta.shape[-1])[some]
    np.testing.assert_allclose(slope[some], (f(theta[0, 0] + h) - f(theta[0, 0] - h)) / 2e-6, atol=1e-8)


@pytest.mark.usefixtures("x64")
def test_readout():
    circuit = random_gates(3, 15, np.random.default_rng(3))
    matrices = np.array([[[0.9, 0.1], [0.2, 0.8]], [[1, 0], [0.3, 0.7]], [[0.95, 0.05], [0, 1]]])
    rho = evolved(circuit)
    for qubits in ([0, 1, 2], [2, 0]):
        p = rho.probabilities(qubits)
        confusion = np.ones((1, 1))
        for q in qubits:
            confusion = np.kron(matrices[q], confusion)
        simulator = noise.Simulator(noise.NoiseModel(MODEL.gates, readout=matrices))
        np.testing.assert_allclose(simulator.probabilities(circuit, qubits)([]), p @ confusion, atol=1e-12)
    rotated = circuit.copy()
    rotated.sdg(0), rotated.h(0), rotated.h(2)
    signs = np.array([1, -1])
    clean = noise.NoiseModel({k: c for k, c in MODEL.gates.items() if k != "h"}, readout=matrices)
    oracles = {k: c for k, c in ORACLES.items() if k != "h"}
    p = evolved(rotated, oracles).probabilities([0, 2]) @ np.kron(matrices[2], matrices[0])
    value = noise.Simulator(clean).expectation(circuit, {"XIY": 1.0})([])
    np.testing.assert_allclose(value, np.kron(signs, signs) @ p, atol=1e-12)
    mapped = noise.NoiseModel(MODEL.gates, readout={2: matrices[2]})
    one = noise.Simulator(mapped).probabilities(circuit, [2, 0])([])
    np.testing.assert_allclose(one, rho.probabilities([2, 0]) @ np.kron(np.eye(2), matrices[2]), atol=1e-12)


def test_samples_are_of_the_distribution():
    circuit = random_gates(3, 12, np.random.default_rng(5))
    circuit.measure_all()
    simulator = noise.Simulator(noise.NoiseModel(MODEL.gates, readout=[[0.9, 0.1], [0.2, 0.8]]))
    p = np.asarray(simulator.probabilities(circuit)([]))
    shots = 100_000
    counts = np.bincount(np.asarray(simulator.sample(circuit, shots)([], jax.random.key(0))), minlength=8)
    np.testing.assert_array_less(np.abs(counts - shots * p), 5 * np.sqrt(shots * p * (1 - p)) + 1)


def test_composite_gates_are_noisy_by_what_they_are_made_of():
    inner = QuantumCircuit(2, name="inner")
    inner.x(0), inner.cx(0, 1)
    circuit, flat = QuantumCircuit(3), QuantumCircuit(3)
    circuit.append(inner.to_gate(), [2, 0])
    circuit.cx(0, 1, ctrl_state=0)
    flat.x(2), flat.cx(2, 0), flat.x(0), flat.cx(0, 1), flat.x(0)
    model = noise.NoiseModel({"x": noise.depolarizing(0.1), "cx": noise.depolarizing(0.1, 2)})
    one, two = (noise.Simulator(model).density_matrix(c)([]) for c in (circuit, flat))
    np.testing.assert_allclose(one, two, atol=1e-6)
    with pytest.raises(NotImplementedError, match="Transpile"):
        annotated = QuantumCircuit(3)
        annotated.append(inner.to_gate().control(1, annotated=True), [0, 1, 2])
        noise.Simulator(model).density_matrix(annotated)


def test_models_are_values():
    make = lambda p: noise.NoiseModel({"x": noise.depolarizing(p)}, readout=np.eye(2))  # noqa: E731
    assert make(0.1) == make(0.1) != make(0.2)
    assert hash(make(0.1)) == hash(make(0.1))
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda p: hash(make(p)))(0.1)
    assert noise.kraus(K1.data) == noise.kraus(K1.data) != noise.kraus(K1.data[::-1])
    slope = jax.grad(lambda m: noise.Simulator(m).expectation(_one_x(), "Z")([]))(make(0.1))
    np.testing.assert_allclose(slope.gates["x"].strengths["p"], 1.0, atol=1e-6)


def _one_x():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    return circuit


def test_what_is_refused():
    with pytest.raises(ValueError, match="at most 2 \\* `t1`"):
        noise.thermal_relaxation(1.0, 2.1, 0.1)
    with pytest.raises(ValueError, match="names of Qiskit's standard gates.*Do you mean"):
        noise.NoiseModel({"cnot": noise.depolarizing(0.1, 2), "ccx ": noise.depolarizing(0.1)})
    with pytest.raises(ValueError, match="readout="):
        noise.NoiseModel({"measure": noise.bit_flip(0.1)})
    with pytest.raises(ValueError, match="4 qubits|14"):
        circuit = QuantumCircuit(15)
        circuit.h(0), circuit.append(aer.depolarizing_error(0.1, 1), [0])
        for q in (*range(14), *reversed(range(14))):  # all of them are needed at once
            circuit.cx(q, q + 1)
        qj.density_matrix(circuit, [0, 14])
    program = qj.parse(_one_x())
    with pytest.raises(TypeError, match="noise follows gates"):
        noise.Simulator(MODEL).density_matrix(program)
