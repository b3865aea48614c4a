"""Models of circuits that measure, reset and branch. Oracle: every branch by itself, in NumPy; finite differences."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from branches import density, distribution
from dynamic_circuits import Maker
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import DiagonalGate
from qiskit.quantum_info import SparsePauliOp

import qmljax as qj
from qmljax import noise
from qmljax._models import density as averages
from qmljax._models import functions

OBSERVABLES = ["ZII", "XYI", "IZX", "YIY"]
MATRICES = [SparsePauliOp(o).to_matrix() for o in OBSERVABLES]


def parametrized(seed: int, count: int = 3) -> QuantumCircuit:
    """A random dynamic circuit with parameters, after which no measurement is a final one."""
    for k in range(100):
        circuit = Maker(1000 * k + seed, parameters=count).circuit_of(10)
        circuit.rx(0.2, range(3))
        program = qj.parse(circuit)
        if program.num_parameters == count and program.is_dynamic and program.num_qubits <= 9:
            return circuit
    raise AssertionError


def values(circuit: QuantumCircuit, params: Any) -> np.ndarray:
    rho = density(circuit.assign_parameters(np.asarray(params)))
    return np.array([np.trace(matrix @ rho).real for matrix in MATRICES])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(6))
def test_values_and_derivatives(seed):
    circuit = parametrized(seed)
    f = qj.expectation(circuit, OBSERVABLES)
    params = np.random.default_rng(seed).uniform(-2, 2, 3)
    np.testing.assert_allclose(f(params), values(circuit, params), atol=1e-12)
    step = 1e-5 * np.eye(3)
    slopes = np.stack([values(circuit, params + s) - values(circuit, params - s) for s in step], axis=1) / 2e-5
    np.testing.assert_allclose(jax.jacrev(f)(params), slopes, atol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(f)(params), slopes, atol=1e-9)
    step = 1e-4 * np.eye(3)
    second = [(jax.jacrev(f)(params + s) - jax.jacrev(f)(params - s)) / 2e-4 for s in step]
    np.testing.assert_allclose(jax.hessian(f)(params), np.stack(second, axis=-1), atol=1e-6)


def test_a_batch_under_jit_and_vmap():
    circuit = parametrized(1)
    rows = np.random.default_rng(0).uniform(-2, 2, (4, 3)).astype(np.float32)
    f = qj.expectation(circuit, OBSERVABLES)
    expected = np.stack([values(circuit, row) for row in rows])
    for found in (f(rows), jax.jit(f)(rows), jax.vmap(f)(rows)):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_a_gradient_passes_a_teleported_gate():
    t, circuit = Parameter("t"), QuantumCircuit(3, 2)
    circuit.ry(t, 0), circuit.h(1), circuit.cx(1, 2), circuit.cx(0, 1), circuit.h(0), circuit.measure([0, 1], [0, 1])
    with circuit.if_test((1, 1)):
        circuit.x(2)
    with circuit.if_test((0, 1)):
        circuit.z(2)
    derivative: Any = qj.expectation(circuit, "ZII")
    for expected in (math.cos(0.4), -math.sin(0.4), -math.cos(0.4), math.sin(0.4)):
        np.testing.assert_allclose(derivative(jnp.array([0.4])).reshape(()), expected, atol=1e-12)
        derivative = jax.jacrev(derivative)


# Postselection.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("given", [{0: 1}, {0: 0, 3: 1}, {2: 0, 1: 0}])
def test_given_outcomes(given):
    for seed in range(5):
        circuit = parametrized(seed)
        params = np.random.default_rng(seed).uniform(-2, 2, 3)
        rho = density(circuit.assign_parameters(params), given)
        try:
            f = qj.expectation(circuit, OBSERVABLES, given=given)
        except ValueError as error:
            assert "must be possible" in str(error) and abs(np.trace(rho)) < 1e-12
            continue
        if abs(p := np.trace(rho).real) < 1e-9:
            assert np.isnan(f(params)).all()
            continue
        expected = [np.trace(matrix @ rho).real / p for matrix in MATRICES]
        np.testing.assert_allclose(f(params), expected, atol=1e-10)
        single = qj.expectation(circuit, "ZII", given=given)
        difference = (single(params + [1e-6, 0, 0]) - single(params - [1e-6, 0, 0])) / 2e-6
        assert abs(jax.grad(single)(params)[0] - difference) < 1e-6


def test_given_a_final_measurement():
    bell = QuantumCircuit(2, 2)
    bell.h(0), bell.cx(0, 1), bell.measure([0, 1], [1, 0])
    for value in (0, 1):
        f = qj.expectation(bell, ["IZ", "ZI", "XX", "ZZ"], given={0: value})
        np.testing.assert_allclose(f([]), [1 - 2 * value, 1 - 2 * value, 0, 1], atol=1e-6)


def test_impossible_outcomes():
    circuit = QuantumCircuit(1, 2)
    circuit.ry(Parameter("t"), 0), circuit.measure(0, 0)
    f = qj.expectation(circuit, "Z", given={0: 1})
    found = np.asarray(f([[0.0], [0.5]]))
    assert np.isnan(found[0]) and found[1] == -1  # only the row that has no such outcome
    slope = np.asarray(jax.grad(lambda p: f(p)[1])(jnp.array([[0.0], [0.5]])))
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    tiny = qj.expectation(circuit, "Z", given={0: 1})([1e-5])  # of probability 2.5e-11
    assert tiny == -1
    with pytest.raises(ValueError, match="classical bit 1 is always 0, not 1"):
        qj.expectation(circuit, "Z", given={1: 1})
    assert qj.expectation(circuit, "Z", given={1: 0})([0.0]) == 1
    circuit.measure(0, 1)
    with pytest.raises(ValueError, match="differs from itself"):
        qj.expectation(circuit, "Z", given={0: 1, 1: 0})


@pytest.mark.parametrize("given", [3, {}, [0], None])
def test_wrong_given(given):
    circuit = QuantumCircuit(1, 1)
    if given is not None:
        with pytest.raises(TypeError, match="`given` must be a mapping"):
            qj.expectation(circuit, "Z", given=given)
    for wrong, error in (({0: 2}, ValueError), ({1: 0}, ValueError), ({"c": 0}, TypeError)):
        with pytest.raises(error, match="`given`"):
            qj.expectation(circuit, "Z", given=wrong)


# Models and backends.


def network() -> tuple[QuantumCircuit, Any, Any]:
    """Two qubits, one of which is measured, turns the other, is reset and is used again."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 3)
    circuit = QuantumCircuit(2, 2)
    circuit.ry(x[0], 0), circuit.rx(x[1], 1), circuit.ry(w[0], 0), circuit.cx(0, 1)
    circuit.measure(0, 1)
    with circuit.if_test((1, 1)):
        circuit.ry(w[1], 1)
    circuit.reset(0)
    circuit.ry(w[2], 0), circuit.cx(1, 0), circuit.measure(0, 0)
    return circuit, x, w


def expected_outcomes(weights: Any, rows: Any) -> np.ndarray:
    circuit, x, w = network()
    bound = [circuit.assign_parameters({x: row, w: weights}) for row in rows]
    return np.stack([distribution(b, [0, 1]) for b in bound])


WEIGHTS = np.array([0.3, -1.1, 0.7])
ROWS = np.random.default_rng(0).normal(size=(3, 2))


def test_networks():
    circuit, x, _ = network()
    sampler = qj.sampler_qnn(circuit, inputs=x)
    np.testing.assert_allclose(sampler(WEIGHTS, ROWS), expected_outcomes(WEIGHTS, ROWS), atol=1e-5)
    estimator = qj.estimator_qnn(circuit, inputs=x)
    assert estimator.output_shape == (1,) and qj.estimator_qnn(circuit, ["IZ", "ZZ"], inputs=x).output_shape == (2,)
    found = estimator(WEIGHTS, ROWS)
    circuit.remove_final_measurements()
    circuit.p(0, [0, 1])
    bound = [circuit.assign_parameters([*WEIGHTS, *row]) for row in ROWS]
    np.testing.assert_allclose(found[:, 0], [np.diag(density(b)).real @ [1, -1, -1, 1] for b in bound], atol=1e-5)


def test_training_through_a_measurement():
    circuit, x, _ = network()
    model = qj.sampler_qnn(circuit, inputs=x, interpret=lambda outcome: outcome & 1)
    labels = np.array([0, 1, 1])

    def loss(weights: Any, rows: Any, y: Any) -> Any:
        return -jnp.log(model(weights, rows)[jnp.arange(3), y]).mean()

    start, data = WEIGHTS.astype(np.float32), (ROWS.astype(np.float32), labels)
    result = qj.fit(loss, start, data, optimizer=optax.adam(0.1), steps=60)
    assert result.history[-1] < 0.8 * result.history[0]


@pytest.mark.parametrize("gradient", ["exact", "shift"])
def test_shots(gradient):
    circuit, x, _ = network()
    shots = qj.Shots(20_000, jax.random.key(0), gradient=gradient)
    model = qj.sampler_qnn(circuit, inputs=x, backend=shots)
    found, expected = np.asarray(model(WEIGHTS, ROWS)), expected_outcomes(WEIGHTS, ROWS)
    errors = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(found - expected) < 5 * errors + 1e-6).all()
    exact = qj.sampler_qnn(circuit, inputs=x)
    slopes = [jax.jacrev(m)(jnp.asarray(WEIGHTS, np.float32), jnp.asarray(ROWS, np.float32)) for m in (model, exact)]
    np.testing.assert_allclose(*slopes, atol=0.03)


def test_errors_of_readout_are_refused_on_the_way():
    circuit, x, _ = network()
    shots = qj.Shots(10, jax.random.key(0), readout=[[0.9, 0.1], [0.1, 0.9]])
    model = noise.NoiseModel({"cx": noise.depolarizing(0.1, 2)}, readout=[[0.9, 0.1], [0.1, 0.9]])
    for backend in (shots, noise.Simulator(model)):
        with pytest.raises(NotImplementedError, match="Instruction 6, `reset`"):
            qj.sampler_qnn(circuit, inputs=x, backend=backend)


def noisy_oracle(circuit: QuantumCircuit, p: float) -> np.ndarray:
    """Depolarizing noise after each CX, as an average over all sets of Pauli strings. At most two CX."""
    strings = ["II"] + [a + b for a in "IXYZ" for b in "IXYZ" if a + b != "II"]
    total = np.zeros((4, 4), complex)
    places = [k for k, i in enumerate(circuit.data) if i.name == "cx"]
    for index in np.ndindex(*(16,) * len(places)):
        noisy = circuit.copy_empty_like()
        for k, instruction in enumerate(circuit.data):
            noisy.append(instruction)
            if k in places:
                for letter, q in zip(reversed(strings[index[places.index(k)]]), instruction.qubits, strict=True):
                    getattr(noisy, letter.lower() if letter != "I" else "id")(q)
        weight = math.prod(1 - 15 * p / 16 if k == 0 else p / 16 for k in index)
        total += weight * density(noisy)
    return total


@pytest.mark.usefixtures("x64")
def test_noise():
    circuit, x, w = network()
    circuit.remove_final_measurements()
    circuit.p(0, [0, 1])
    bound = circuit.assign_parameters({x: ROWS[0], w: WEIGHTS})
    simulator = noise.Simulator(noise.NoiseModel({"cx": noise.depolarizing(0.2, 2)}))
    expected = noisy_oracle(bound, 0.2)
    np.testing.assert_allclose(simulator.density_matrix(bound)([]), expected, atol=1e-10)
    followed = noise.Simulator(simulator.noise_model, method="trajectories", trajectories=4000, key=jax.random.key(1))
    value, error = followed.expectation(bound, "ZZ", with_std=True)([])
    assert abs(value - np.diag(expected).real @ [1, -1, -1, 1]) < 5 * error
    with bound.if_test((1, 1)):
        bound.cx(0, 1)
    with pytest.raises(NotImplementedError, match="noise in a branch"):
        simulator.density_matrix(bound)


# Averages over outcomes, by density matrices of what is there at once.


def teleported(gates: int) -> QuantumCircuit:
    """RY gates in a row, between which the qubit is teleported; three qubits that are used again and again."""
    w, circuit = ParameterVector("w", gates), QuantumCircuit(3, 2)
    for k in range(gates):
        source, middle, target = (0, 1, 2) if k % 2 == 0 else (2, 1, 0)
        circuit.ry(w[k], source), circuit.h(middle), circuit.cx(middle, target)
        circuit.cx(source, middle), circuit.h(source), circuit.measure([source, middle], [0, 1])
        with circuit.if_test((1, 1)):
            circuit.x(target)
        with circuit.if_test((0, 1)):
            circuit.z(target)
        circuit.reset([source, middle])
    return circuit


@pytest.mark.usefixtures("x64")
def test_many_teleported_gates():
    """The angles add up: cos(sum w), on 3 qubits instead of 43."""
    circuit = teleported(20)
    f = qj.expectation(circuit, "IIZ")
    assert f.program.num_qubits == 3 and qj.parse(circuit).num_qubits == 43
    rho = qj.density_matrix(circuit, [0, 1])(np.full(20, 0.05))
    np.testing.assert_allclose(np.diag(rho).real, [(1 + math.cos(1)) / 2, (1 - math.cos(1)) / 2, 0, 0], atol=1e-12)
    w = np.random.default_rng(0).uniform(-1, 1, 20)
    np.testing.assert_allclose(f(w), math.cos(w.sum()), atol=1e-12)
    np.testing.assert_allclose(jax.grad(f)(w), np.full(20, -math.sin(w.sum())), atol=1e-12)
    model = qj.estimator_qnn(circuit, "IIZ", inputs=[f"w[{k}]" for k in range(2)])
    x = np.random.default_rng(1).uniform(-1, 1, (3, 2))
    found, slopes = jax.value_and_grad(lambda v: model(v, x).sum())(jnp.asarray(w[2:]))
    totals = w[2:].sum() + x.sum(axis=1)
    np.testing.assert_allclose(found, np.cos(totals).sum(), atol=1e-12)
    np.testing.assert_allclose(slopes, np.full(18, -np.sin(totals).sum()), atol=1e-12)
    outcomes = qj.sampler_qnn(circuit, inputs=[])(w, np.zeros((1, 0)))
    np.testing.assert_allclose(outcomes, np.full((1, 4), 0.25), atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(8))
def test_averages_of_random_circuits(seed, monkeypatch):
    monkeypatch.setattr(averages, "FEW_WIRES", 0)
    monkeypatch.setattr(averages, "WORSE", -100)
    circuit = parametrized(seed)
    params = np.random.default_rng(seed).uniform(-2, 2, 3)
    f = qj.expectation(circuit, OBSERVABLES)
    assert isinstance(f, averages.OfDensity) or not qj.parse(circuit).ancillas
    np.testing.assert_allclose(f(params), values(circuit, params), atol=1e-12)
    p = qj.probabilities(circuit, clbits=[3, 0, 4])
    expected = distribution(circuit.assign_parameters(params), [3, 0, 4])
    np.testing.assert_allclose(p(params), expected, atol=1e-12)


# Shots beyond the wires.


def chi_squared(outcomes: np.ndarray, p: np.ndarray) -> bool:
    """Whether outcomes fit a distribution, within 5 standard deviations; impossible ones do not occur."""
    counts, expected = np.bincount(outcomes, minlength=len(p)), len(outcomes) * p
    possible = p > 1e-12
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - 1
    return counts[~possible].sum() == 0 and statistic < freedom + 5 * math.sqrt(2 * freedom) + 5


def test_shot_by_shot(monkeypatch):
    monkeypatch.setattr(functions, "FEW_WIRES", 0), monkeypatch.setattr(functions, "MOST_WIRES", 0)
    fewer = 0
    for seed in range(12):
        circuit = Maker(seed).circuit_of(12)
        program = qj.parse(circuit)
        if not program.clbits:
            continue
        f = qj.sample(circuit, 4000)
        outcomes = np.asarray(f(np.zeros(0, np.float32), jax.random.key(seed)))
        assert chi_squared(outcomes, distribution(circuit, program.clbits)), seed
        fewer += f.collapses is not None and f.collapses.num_qubits < program.num_qubits
    assert fewer > 5


def test_signs_of_measured_bits(monkeypatch):
    """Shot by shot, where a phase, a table and a flip depend on bits of qubits that are used again."""
    monkeypatch.setattr(functions, "FEW_WIRES", 0), monkeypatch.setattr(functions, "MOST_WIRES", 0)
    circuit = QuantumCircuit(3, 3)
    circuit.h(0), circuit.measure(0, 0), circuit.h(1), circuit.rzz(1.1, 0, 1), circuit.rx(math.pi / 2, 1)
    circuit.measure(1, 1), circuit.h(2), circuit.append(DiagonalGate([1, 1j, -1, np.exp(0.3j)]), [1, 2])
    circuit.rx(0.8, 2), circuit.ccx(0, 1, 2), circuit.measure(2, 2)
    f = qj.sample(circuit, 20_000)
    assert f.collapses is not None and f.collapses.num_qubits == 1
    outcomes = np.asarray(f(np.zeros(0, np.float32), jax.random.key(0)))
    p = distribution(circuit, [0, 1, 2])
    assert chi_squared(outcomes, p) and not chi_squared(outcomes, p[[0, 3, 2, 1, 4, 7, 6, 5]])


def test_many_rounds_on_one_qubit():
    """A coin whose bias depends on the last outcome: the distribution of the last two of 26 outcomes."""
    t, circuit = Parameter("t"), QuantumCircuit(1, 2)
    for _ in range(13):
        circuit.ry(t, 0)
        circuit.measure(0, 0)
        circuit.h(0)
        circuit.measure(0, 1)
    f = qj.sample(circuit, 3000)
    assert f.collapses is not None and f.collapses.num_qubits <= 2
    outcomes = np.asarray(f(np.array([[0.0], [0.8]], np.float32), jax.random.key(0)))
    assert outcomes.shape == (2, 3000)
    assert chi_squared(outcomes[0], np.full(4, 0.25)) and chi_squared(outcomes[1], np.full(4, 0.25))


def test_a_line_of_which_one_qubit_is_live():
    """A chain of CX, each qubit done with at once: a static circuit on more qubits than fit."""
    circuit = QuantumCircuit(31, 2)
    circuit.h(0)
    for q in range(30):
        circuit.cx(q, q + 1)
    circuit.measure([0, 30], [0, 1])
    f = qj.sample(circuit, 1000)
    assert f.collapses is not None and f.collapses.num_qubits == 1
    assert chi_squared(np.asarray(f(np.zeros(0, np.float32), jax.random.key(2))), np.array([0.5, 0, 0, 0.5]))
    assert set(np.asarray(f(np.zeros(0, np.float32), jax.random.key(2))).tolist()) == {0, 3}


def test_what_is_not_finite_has_no_outcomes(monkeypatch):
    monkeypatch.setattr(functions, "FEW_WIRES", 0), monkeypatch.setattr(functions, "MOST_WIRES", 0)
    circuit = QuantumCircuit(1, 2)
    circuit.ry(Parameter("t"), 0), circuit.measure(0, 0), circuit.h(0), circuit.measure(0, 1)
    outcomes = np.asarray(qj.sample(circuit, 50)(np.array([np.nan], np.float32), jax.random.key(0)))
    assert (outcomes == -1).all()
