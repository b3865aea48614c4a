"""Edges of noise and shots: unusual circuits, shapes and arguments. Oracles: closed forms, and the other method."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import C4XGate, RCCXGate
from qiskit.quantum_info import DensityMatrix, Kraus, Operator, SuperOp

import qmljax as qj
from qmljax import noise

KEY = jax.random.key(0)


def turned():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0), circuit.x(0)
    return circuit


def followed(model, **about):
    return noise.Simulator(model, method="trajectories", key=KEY, **({"trajectories": 100} | about))


@pytest.mark.parametrize("channel", [noise.bit_flip(0.1), noise.phase_flip(0.1), None])
def test_derivatives_where_no_trajectory_differs(channel):
    model = noise.NoiseModel({} if channel is None else {"x": channel})
    for what in (("expectation", "Z"), ("probabilities",)):
        exact, drawn = (getattr(s, what[0])(turned(), *what[1:]) for s in (noise.Simulator(model), followed(model)))
        for slope in (jax.jacrev, jax.jacfwd, jax.hessian):
            found = slope(drawn)(jnp.array([0.3]))
            assert np.isfinite(found).all()
            np.testing.assert_allclose(found, slope(exact)(jnp.array([0.3])), atol=0.2)


@pytest.mark.usefixtures("x64")
def test_a_channel_of_more_classes_than_a_byte_has():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 0.3, (5, 3))
    each = [noise.pauli(dict(zip("XYZ", row, strict=True))) for row in p]
    circuit = QuantumCircuit(5)
    for q in range(5):
        circuit.ry(0.3 * (q + 1), q), circuit.rz(0.2 * (q + 1), q)
    circuit.append(C4XGate(), range(5))
    rho = DensityMatrix(circuit)
    paulis = [Operator.from_label(a).data for a in "XYZ"]
    for q, row in enumerate(p):
        matrices = [np.sqrt(1 - row.sum()) * np.eye(2), *(np.sqrt(x) * m for x, m in zip(row, paulis, strict=True))]
        rho = rho.evolve(SuperOp(Kraus(matrices)), [q])
    model = noise.NoiseModel({"mcx": functools.reduce(lambda a, b: a.tensor(b), each)})
    np.testing.assert_allclose(noise.Simulator(model).density_matrix(circuit)([]), rho.data, atol=1e-12)


def test_a_qubit_that_is_measured_twice():
    circuit = QuantumCircuit(2, 3)
    circuit.h(0), circuit.measure([0, 1, 0], [0, 1, 2])
    model = noise.NoiseModel({"h": noise.bit_flip(0.1)}, readout=[[0.9, 0.1], [0.2, 0.8]])
    for simulator in (noise.Simulator(model), followed(model)):
        drawn = np.asarray(simulator.sample(circuit, 2000)([], KEY))
        assert set(drawn.tolist()) == {0, 2, 5, 7}
        np.testing.assert_allclose((drawn & 1).mean(), 0.5 * 0.1 + 0.5 * 0.8, atol=0.06)


def test_a_reset_undoes_noise_and_nothing_follows_a_measurement():
    circuit = QuantumCircuit(1)
    circuit.id(0), circuit.reset(0)
    model = noise.NoiseModel({"id": noise.bit_flip(1.0)})
    np.testing.assert_allclose(noise.Simulator(model).probabilities(circuit)([]), [1, 0], atol=1e-6)
    twice = QuantumCircuit(1)
    twice.reset(0), twice.reset(0)
    flips = noise.Simulator(noise.NoiseModel({"reset": noise.bit_flip(1.0)}))
    np.testing.assert_allclose(flips.probabilities(twice)([]), [0, 1], atol=1e-6)
    loaded = QuantumCircuit(2)
    loaded.id(0), loaded.append(qj.circuits.raw_feature_vector(4).data[0].operation, [0, 1])
    with pytest.raises(NotImplementedError, match="before any noise"):
        noise.Simulator(model).probabilities(loaded)
    measured = QuantumCircuit(1, 1)
    measured.x(0), measured.measure(0, 0), measured.delay(1, 0, unit="us")
    idle = noise.NoiseModel({"delay": noise.bit_flip(1.0)}, idle={0: noise.Idle(1e-7, 1e-7)})
    assert (np.asarray(noise.Simulator(idle).sample(measured, 10)([], KEY)) == 1).all()


def test_traced_kraus_matrices_may_be_real():
    circuit = QuantumCircuit(1)
    circuit.rx(0.4, 0), circuit.h(0)

    def rho(p):
        matrices = jnp.stack([jnp.diag(jnp.stack([1.0 + 0 * p, jnp.sqrt(1 - p)])), jnp.sqrt(p) * jnp.eye(2, k=1)])
        return noise.Simulator(noise.NoiseModel({"h": noise.kraus(matrices)})).density_matrix(circuit)([])

    def damped(p):
        return noise.Simulator(noise.NoiseModel({"h": noise.amplitude_damping(p)})).density_matrix(circuit)([])

    np.testing.assert_allclose(jax.jit(rho)(0.3), damped(0.3), atol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(rho)(0.3), jax.jacfwd(damped)(0.3), atol=1e-5)


def test_shifted_gradients_know_the_errors_of_readout():
    def f(p, gradient):
        readout = jnp.stack([jnp.stack([1 - p, p]), jnp.array([0.0, 1.0])])
        shots = qj.Shots(2**28, KEY, gradient=gradient, readout=readout)
        return shots.expectation(turned(), "Z")(jnp.array([0.3]))

    one, two = (jax.grad(f)(0.1, gradient) for gradient in ("exact", "shift"))
    np.testing.assert_allclose(two, one, atol=1e-5)
    assert abs(one) > 0.01


def test_idle_qubits_are_misread_too():
    circuit = QuantumCircuit(2)
    circuit.x(0)
    readout = np.array([[0.9, 0.1], [0.0, 1.0]])
    shots = qj.Shots(10**6, KEY, readout=readout)
    np.testing.assert_allclose(shots.expectation(circuit, ["ZI", "ZZ"])([]), [0.8, -0.8], atol=0.01)
    np.testing.assert_allclose(shots.probabilities(circuit)([]), [0, 0.9, 0, 0.1], atol=0.01)


def test_mixtures_that_leave_nothing_as_it_is():
    p = [0.6652300357818604, 0.021254131570458412, 0.31351587176322937]  # their sum in float32 is above 1
    strengths = {letter: jnp.float32(x) for letter, x in zip("XYZ", p, strict=True)}
    model = noise.NoiseModel({"x": noise.pauli(strengths)})
    value = followed(model, trajectories=5000).expectation(turned(), "Z")([0.3])
    np.testing.assert_allclose(value, noise.Simulator(model).expectation(turned(), "Z")([0.3]), atol=0.06)


def test_scaling():
    circuit = QuantumCircuit(1)
    circuit.x(0), circuit.delay(1, 0, unit="us")
    model = noise.NoiseModel({"x": noise.bit_flip(0.1)}, idle={0: noise.Idle(1e-5, 1e-5)})
    np.testing.assert_allclose(noise.Simulator(model.scaled(0)).expectation(circuit, "Z")([]), -1, atol=1e-6)
    twice = noise.Simulator(model.scaled(2)).expectation(circuit, "Z")([])
    np.testing.assert_allclose(twice, 1 - np.exp(-0.2) * (1 + 0.6), atol=1e-6)
    for channel in (noise.bit_flip(0.1), noise.depolarizing(0.1), noise.amplitude_damping(0.1)):
        for factor in (20, -1):
            with pytest.raises(ValueError, match="`factor` must leave"):
                channel.scaled(factor)
    with pytest.raises(ValueError, match="no strength"):
        noise.kraus([np.eye(2)]).scaled(2)


def test_gates_of_qiskits_own_are_taken_apart():
    circuit = QuantumCircuit(3)
    circuit.h(range(3)), circuit.append(RCCXGate(), range(3))
    model = noise.NoiseModel({"cx": noise.depolarizing(0.2, 2), "u1": noise.bit_flip(0.1), "u2": noise.bit_flip(0.2)})
    model = noise.NoiseModel(model.gates | {"h": noise.bit_flip(0.1), "t": noise.bit_flip(0.1)})
    whole, apart = (noise.Simulator(model).density_matrix(c)([]) for c in (circuit, circuit.decompose("rccx")))
    np.testing.assert_allclose(whole, apart, atol=1e-6)
    assert np.abs(whole - qj.density_matrix(circuit)([])).max() > 0.01


def test_trajectories_inside_of_jit_and_fit():
    model = noise.NoiseModel({"ry": noise.bit_flip(0.1)})
    simulator = followed(model)
    outside = simulator.expectation(turned(), "Z")(jnp.array([0.3]))
    inside = jax.jit(lambda w: simulator.expectation(turned(), "Z")(w))(jnp.array([0.3]))
    np.testing.assert_allclose(inside, outside, atol=1e-6)

    def loss(w, *, key):
        backend = noise.Simulator(model, method="trajectories", key=key, trajectories=10)
        return jnp.mean(qj.estimator_qnn(turned(), inputs=[], backend=backend)(w, np.zeros((1, 0))))

    about = {"optimizer": optax.sgd(0.1), "steps": 3}
    assert np.isfinite(qj.fit(loss, jnp.array([0.3]), (), key=KEY, **about).history).all()
    # A loss may have a key already, or do without.
    given = functools.partial(loss, key=KEY)
    for other in (given, jax.jit(given), lambda w, *, key=None: loss(w, key=KEY if key is None else key)):
        assert np.isfinite(qj.fit(other, jnp.array([0.3]), (), **about).history).all()


@pytest.mark.parametrize("batch", [(3,), (0,), (2, 0)])
def test_batches_of_any_shape(batch):
    model = noise.NoiseModel({"x": noise.bit_flip(0.1)})
    flips = QuantumCircuit(1)
    flips.x(0)
    for circuit, params in ((turned(), np.zeros((*batch, 1))), (flips, np.zeros((*batch, 0)))):
        for simulator in (noise.Simulator(model), followed(model)):
            assert simulator.expectation(circuit, ["Z", "X"])(params).shape == (*batch, 2)
            assert simulator.probabilities(circuit)(params).shape == (*batch, 2)
        assert qj.density_matrix(circuit)(params).shape == (*batch, 2, 2)
        assert qj.Shots(10, KEY).expectation(circuit, "Z")(params).shape == batch


@pytest.mark.usefixtures("standard_promotion")
def test_devices_with_gates_of_their_own():
    providers = pytest.importorskip("qiskit.providers.fake_provider")
    from qiskit.transpiler import InstructionProperties

    device = providers.GenericBackendV2(2, seed=0)
    gate = Gate("my_gate", 1, [])
    device.target.add_instruction(gate, {(0,): InstructionProperties(1e-7, 1e-3)})
    model = noise.NoiseModel.from_backend(device)
    assert ("my_gate", (0,)) in model.gates
    assert model == noise.NoiseModel.from_backend(device)
    relaxing = noise.NoiseModel({}, idle={0: noise.Idle(1e-6, 1e-6)})
    circuit = QuantumCircuit(1)
    circuit.h(0), circuit.delay(1, 0, unit="us"), circuit.h(0)
    with pytest.raises(ValueError, match="twirled"):
        followed(relaxing).expectation(circuit, "Z")
    twirled = followed(relaxing.twirled(), trajectories=4000).expectation(circuit, "Z")([])
    np.testing.assert_allclose(twirled, np.exp(-1), atol=0.06)


def test_more_that_is_refused():
    flip = noise.bit_flip(0.1)
    for gates, match in (
        ({("cx", 0): flip}, "2 different qubits"),
        ({("x", (0, 1)): flip}, "1 different qubits"),
        ({("x", -1): flip}, "different qubits"),
        ({("cx", (0, 0)): flip}, "different qubits"),
        ({("x", 0): flip, ("x", (0,)): flip}, "twice"),
        ({"global_phase": flip}, "standard gates"),
    ):
        with pytest.raises(ValueError, match=match):
            noise.NoiseModel(gates)
    with pytest.raises(TypeError, match="pairs"):
        noise.NoiseModel({3: flip})
    with pytest.raises(TypeError, match="`idle` must be a mapping"):
        noise.NoiseModel({}, idle=5)
    with pytest.raises(ValueError, match="`t2` must be at most"):
        noise.NoiseModel({}, idle={0: noise.Idle(1.0, 3.0)})
    with pytest.raises(ValueError, match="`dt`"):
        noise.NoiseModel({}, dt=-1.0)
    with pytest.raises(ValueError, match="`readout`"):
        noise.NoiseModel({}, readout={-1: np.eye(2)})
    for combine in (flip.then, flip.tensor):
        with pytest.raises(TypeError, match="`other` must be a channel"):
            combine(3)
    three = QuantumCircuit(3)
    three.h(range(3))
    for backend in (qj.Shots(10, KEY, readout=np.stack([np.eye(2)] * 2)),):
        with pytest.raises(ValueError, match="`readout` must have a matrix for each qubit"):
            backend.expectation(three, "ZZZ")
    with pytest.raises(ValueError, match="at least 2 `trajectories`"):
        followed(noise.NoiseModel({}), trajectories=1).expectation(three, "ZZZ", with_std=True)
    noisy = QuantumCircuit(1)
    noisy.append(Kraus([np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.diag([1, -1])]).to_instruction(), [0])
    with pytest.raises(ValueError, match="undone"):
        noise.Simulator(noise.NoiseModel({})).fidelity(noisy)
    noise.depolarizing(jnp.float32(4 / 3))
    simulators = [noise.Simulator(noise.NoiseModel({"x": flip})) for _ in range(2)]
    assert simulators[0] == simulators[1] and hash(simulators[0]) == hash(simulators[1])


@pytest.mark.usefixtures("x64")
def test_weights_are_exact_in_double_precision():
    value = followed(noise.NoiseModel({"x": noise.bit_flip(0.1)})).expectation(turned(), {"I": 1.0})([0.3])
    np.testing.assert_allclose(value, 1, atol=1e-14)


def test_a_fidelity_reads_qubits_on_which_noise_alone_acts():
    circuit = QuantumCircuit(2)
    circuit.h(0), circuit.id(1)
    f = noise.Simulator(noise.NoiseModel({"id": noise.bit_flip(0.25)})).fidelity(circuit)
    np.testing.assert_allclose(f(np.zeros((1, 0)), np.zeros((1, 0))), [0.75**2 + 0.25**2], atol=1e-6)
