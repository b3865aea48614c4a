"""Running the levels: unrolled or scanned, inputs and weights apart or not. Oracle: Qiskit's Statevector, Operator."""

import re

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import DiagonalGate, UnitaryGate, efficient_su2
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

import qmljax as qj
from qmljax._engine import plan as plans
from qmljax._engine import segments
from qmljax._engine.plan import plan
from qmljax._engine.run import change_basis, columns, run
from qmljax._engine.state import square, to_complex

pytestmark = pytest.mark.usefixtures("x64")
W, X = ParameterVector("w", 2), ParameterVector("x", 2)  # Qiskit orders parameters by name: w[0], w[1], x[0], x[1]


def real(depth: int) -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for k in range(depth):
        circuit.ry(W[k % 2] * (k + 1), 0)
        circuit.cx(0, 1)
        circuit.ry(X[k % 2] * W[0], 1)
        circuit.h(2)
        circuit.cz(1, 2)
    return circuit


def periodic(depth: int) -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for _ in range(depth):
        for q in range(3):
            circuit.ry(W[0] * (q + 1), q)
            circuit.rz(W[1] + q, q)
        circuit.cx(0, 1)
        circuit.cx(1, 2)
    circuit.rx(X[0] - X[1], 0)
    return circuit


def everything(depth: int) -> QuantumCircuit:
    """All the parts a level can have, and no two levels alike; `x` and `w` together and apart."""
    circuit = QuantumCircuit(3, global_phase=W[1] * X[0])
    for k in range(depth):
        circuit.rx(X[0] * W[0] + k, k % 3)
        circuit.rzz(W[1] * (k + 1), 0, 2)
        circuit.ccx(k % 3, (k + 1) % 3, (k + 2) % 3)
        circuit.ry(X[1].sin(), 1)
        if k % 2:
            circuit.append(DiagonalGate(list(np.exp(1j * np.arange(4) * k))), [1, 2])
            circuit.append(UnitaryGate(random_unitary(2, seed=k)), [0])
            circuit.crz(0.3 * k, 2, 1)
            circuit.x(0)
        else:
            circuit.append(UnitaryGate(random_unitary(4, seed=k)), [2, 0])
    return circuit


CIRCUITS = {"real": real(2), "periodic": periodic(2), "everything": everything(2)}
P = np.random.default_rng(0).normal(size=(4, 9))  # parameters, batch


def oracle(circuit: QuantumCircuit, params: np.ndarray) -> np.ndarray:
    """(P, *batch) -> (2**n, *batch)."""
    columns = np.moveaxis(params, 0, -1)
    states = [Statevector(circuit.assign_parameters(columns[b])).data for b in np.ndindex(params.shape[1:])]
    return np.moveaxis(np.reshape(states, (*params.shape[1:], -1)), -1, 0)


def psi(circuit: QuantumCircuit, params) -> jax.Array:
    """The state by `run`, all parameters as weights."""
    params = jnp.asarray(params)
    everything = plan(qj.parse(circuit), memory=plans.MEMORY)
    return to_complex(run(everything, params, jnp.zeros((0, *params.shape[1:])), phase=True))


def execute(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Unrolled or scanned; keeping the states of all layers for the backward pass, or by the adjoint method."""
    monkeypatch.setattr(segments, "UNROLL", 0 if "scanned" in mode else 1000)
    monkeypatch.setattr(plans, "MEMORY", 0 if "adjoint" in mode else 1 << 40)


MODES = ["unrolled", "scanned", "adjoint unrolled", "adjoint scanned"]


def close(x, y) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-12), x, y)


@pytest.mark.parametrize(
    "name, mode", [(name, mode) for name in CIRCUITS for mode in (MODES if name == "everything" else MODES[:2])]
)
def test_state_gradient_and_hessian(name, mode, monkeypatch):
    execute(monkeypatch, mode)
    circuit = CIRCUITS[name]
    target = oracle(circuit, np.array([0.1, 0.2, 0.3, 0.4]))

    def fidelity(params):
        amplitude = jnp.vdot(target, psi(circuit, params))
        return jnp.real(amplitude * jnp.conj(amplitude))

    def results(params):
        return psi(circuit, params), fidelity(params), jax.grad(fidelity)(params), jax.hessian(fidelity)(params)

    jaxpr = str(jax.make_jaxpr(fidelity)(P[:, 0]))
    assert ("qmljax_evolve" in jaxpr) == ("adjoint" in mode)
    assert "adjoint" in mode or (" scan[" in jaxpr) == (mode == "scanned")
    results = jax.jit(results)
    state, _, gradient, hessian = results(P[:, 0])
    close(state, oracle(circuit, P[:, 0]))
    h = 1e-5
    for k, step in enumerate(h * np.eye(4)):
        up, down = results(P[:, 0] + step), results(P[:, 0] - step)
        np.testing.assert_allclose(gradient[k], (up[1] - down[1]) / (2 * h), rtol=0, atol=1e-8)
        np.testing.assert_allclose(hessian[k], (up[2] - down[2]) / (2 * h), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "name, mode, batch",
    [
        *(("everything", m, 2) for m in ("unrolled", "scanned", "adjoint scanned")),
        ("real", "unrolled", 9),
        ("periodic", "scanned", 9),
    ],
)
def test_batches_vmap_and_inputs_apart_from_weights(name, mode, batch, monkeypatch):
    execute(monkeypatch, mode)
    circuit = CIRCUITS[name]
    apart = plan(qj.parse(circuit), inputs=(3, 2), weights=(1, 0), memory=plans.MEMORY)  # in the user's order

    def loss(amplitudes):
        return jnp.sum(jnp.real(amplitudes) ** 3)

    def split(weights, inputs):
        amplitudes = to_complex(run(apart, weights, inputs, phase=True))
        return loss(amplitudes), amplitudes

    def whole(params):
        amplitudes = psi(circuit, params)
        return loss(amplitudes), amplitudes

    def gradient(f, *argnums):
        return jax.value_and_grad(f, argnums or 0, has_aux=True)

    w, x = P[[1, 0], :1], P[[3, 2], :batch]  # one set of weights, a batch of inputs
    params = np.concatenate([np.broadcast_to(w, x.shape)[::-1], x[::-1]])
    (_, state), each = jax.jit(jax.vmap(gradient(whole), -1, -1))(params)
    close(state, oracle(circuit, params))
    (_, together), batch = jax.jit(gradient(whole))(params)
    close((together, batch), (state, each))
    (_, from_two), (dw, dx) = jax.jit(gradient(split, 0, 1))(w, x)
    close((from_two, dw, dx), (state, each[1::-1].sum(axis=1, keepdims=True), each[:1:-1]))
    # vmap over one of the two, with a batch inside: two sets of weights, each with all inputs
    ww = np.stack([w, -w])
    (_, states), (dw2, dx2) = jax.jit(jax.vmap(gradient(split, 0, 1), (0, None)))(ww, x)
    close((states[0], dw2[0], dx2[0]), (state, dw, dx))
    # two batch dimensions that broadcast
    both = jax.jit(lambda w, x: split(w, x)[1])(np.moveaxis(ww, 0, 1), x[:, None])
    close(both, np.moveaxis(states, 0, 1))


def test_what_the_batch_shares_is_computed_once(monkeypatch):
    program = qj.parse(periodic(3))
    apart = plan(program, inputs=(2, 3), weights=(0, 1), memory=plans.MEMORY)
    for mode in MODES[:2]:
        execute(monkeypatch, mode)
        jaxpr = jax.make_jaxpr(lambda w, x: run(apart, w, x))(P[:2, :1], P[2:])
        angles = [eqn.invars[0].aval.shape for eqn in equations(jaxpr.jaxpr) if eqn.primitive.name == "qmljax_apply"]
        assert {shape[-1] for shape in angles[:-1]} == {1} and angles[-1][-1] == 9  # the last level alone has inputs


def equations(jaxpr):
    """All equations, those of inner jaxprs included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.extend.core.jaxprs_in_params(eqn.params):
            yield from equations(inner)


def test_trace_does_not_grow_with_depth():
    sizes = [len(list(equations(jax.make_jaxpr(lambda p, d=d: psi(periodic(d), p))(P[:, 0]).jaxpr))) for d in (40, 80)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("runs", [1, 6])
def test_levels_that_alternate_between_inputs_and_weights(runs, monkeypatch):
    monkeypatch.setattr(segments, "UNROLL", 0)  # as if the periods were too long
    monkeypatch.setattr(segments, "RUNS", runs)
    circuit = QuantumCircuit(2)
    for k in range(6):
        for _ in range(5):
            circuit.ry(X[0] if k % 2 else W[0], 0)
            circuit.cx(0, 1)
            circuit.ry(W[1], 1)
    circuit.rx(X[1], 0)
    apart = plan(qj.parse(circuit), inputs=(2, 3), weights=(0, 1))
    w, x = P[:2, :1], P[2:]
    assert len(segments._rounds(apart.layers.levels, apart, segments.REPEATS)) <= runs
    state = jax.jit(lambda w, x: to_complex(run(apart, w, x)))(w, x)
    close(abs(state) ** 2, abs(oracle(circuit, np.concatenate([np.broadcast_to(w, x.shape), x]))) ** 2)


def test_numbers_do_not_become_tables_of_the_state_in_a_program():
    """XLA would compute the phases of 16 qubits, and more, while it compiles."""
    circuit = efficient_su2(16, reps=1)
    f = qj.expectation(circuit.assign_parameters(np.ones(circuit.num_parameters)), "Z" * 16)
    text = jax.jit(f._trace).lower(np.zeros(0)).compile().as_text()
    assert not re.search(r"f64\[(2,)?65536\]\S* constant\(", text)


@pytest.mark.parametrize("memory", [0, 1 << 29])
def test_a_loop_over_equal_levels_without_angles(memory):
    """Its rounds differ in nothing, so that there is nothing to hand to them."""
    circuit, unitary = QuantumCircuit(3), random_unitary(4, seed=0)
    for _ in range(6):
        circuit.unitary(unitary, [2, 0])
    f = qj.statevector(circuit, memory=memory)
    np.testing.assert_allclose(f(np.zeros((2, 0))), 2 * [Statevector(circuit).data], rtol=0, atol=1e-12)
    change = jax.jit(jax.grad(lambda p: abs(f(p)[0]) ** 2))(jnp.zeros(0))
    assert change.shape == (0,)


def test_repeated_levels_become_a_loop(monkeypatch):
    n, layers = 3, 5
    w, x = ParameterVector("w", 2 * n * layers), ParameterVector("x", n)
    circuit = QuantumCircuit(n)
    for k in range(layers):  # an encoding and two trained product layers: three levels a round, after the first
        for q in range(n):
            circuit.rx(x[q], q)
            circuit.ry(x[q] * w[2 * n * k + q], q)
            circuit.cx(q, (q + 1) % n)
            circuit.ry(w[2 * n * k + n + q], q)
            circuit.cz(q, (q + 1) % n)
    weights = np.random.default_rng(1).normal(size=(len(w), 1))
    inputs = np.random.default_rng(2).normal(size=(n, 4))
    program = qj.parse(circuit)

    def compute():
        apart = plan(program, tuple(range(len(w), len(w) + n)), tuple(range(len(w))))
        cut = segments._rounds(apart.layers.levels, apart, segments.REPEATS)
        loops = {len(rounds): len(rounds[0]) for rounds in cut}

        def value(w, x):
            return jnp.sum(square(run(apart, w, x))[3])

        state = to_complex(run(apart, jnp.asarray(weights), jnp.asarray(inputs)))
        return loops, state, jax.jit(jax.grad(value, (0, 1)))(weights, inputs)

    loops, state, gradients = compute()
    assert max(loops) >= segments.REPEATS
    assert loops[max(loops)] == 3  # levels a round
    every = np.concatenate([np.broadcast_to(weights, (len(w), 4)), inputs])
    close(abs(state) ** 2, abs(oracle(circuit, every)) ** 2)
    monkeypatch.setattr(segments, "REPEATS", 1000)
    monkeypatch.setattr(segments, "UNROLL", 1000)
    loops, _, unrolled = compute()
    assert max(loops) == 1
    for one, other in zip(gradients, unrolled, strict=True):
        close(one, other)


def test_no_parameters_and_no_gates():
    circuit = QuantumCircuit(2)
    close(psi(circuit, np.zeros((0, 3))), np.eye(4)[:, :1] * np.ones((1, 3)))
    circuit.h(0)
    close(psi(circuit, np.zeros((0, 3))), oracle(circuit, np.zeros((0, 3))))


def test_scan_above_the_size_of_tables(monkeypatch):  # 15 qubits: affine permutations are factored, CCX is not
    execute(monkeypatch, "scanned")
    t = Parameter("t")
    circuit = QuantumCircuit(15)
    for k in (1, 2):
        circuit.ry(t, 0)
        circuit.cx(0, 14)
        circuit.rzz(t, 3, 14)
        circuit.rx(t, 14)
        circuit.ccx(0, 14, k)
        circuit.ry(t, k)
        circuit.cz(k, 14)
    params = np.array([0.3])
    close(jax.jit(lambda p: psi(circuit, p))(params), oracle(circuit, params))


@pytest.mark.parametrize("name, mode", [("everything", "unrolled"), ("everything", "scanned"), ("real", "scanned")])
def test_columns_are_the_operator(name, mode, monkeypatch):
    execute(monkeypatch, mode)
    circuit = CIRCUITS[name]
    program = qj.parse(circuit)
    matrices = jax.jit(lambda p: to_complex(columns(program, p)))(P[:, :2])  # (2**n, *batch, 2**n)
    for b in range(2):
        close(matrices[:, b], Operator(circuit.assign_parameters(P[:, b])).data)


def test_columns_of_a_circuit_that_starts_with_a_phase():  # a statevector does not feel it
    circuit = QuantumCircuit(2)
    circuit.s(0)
    circuit.x(1)
    circuit.cz(0, 1)
    close(to_complex(columns(qj.parse(circuit), jnp.zeros((0,)))), Operator(circuit).data)


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("gates", ["h", "sdg h", "x cx"])
def test_change_basis(gates, components):
    circuit = QuantumCircuit(2)
    for gate in gates.split():
        getattr(circuit, gate)(*range(circuit.num_qubits if gate == "cx" else 1))
    state = np.random.default_rng(1).normal(size=(components, 4, 3))
    before = to_complex(jnp.asarray(state))
    after = to_complex(change_basis(qj.parse(circuit), jnp.asarray(state)))
    turned = Operator(circuit).data @ before
    k = np.argmax(abs(turned[:, 0]))
    close(after * (turned[k, 0] / after[k, 0]), turned)  # up to a global phase


def test_plans_are_shared_and_checked_in_order():
    one, two = (qj.parse(real(2)) for _ in range(2))
    assert plan(one) is plan(two)
    assert plan(one, (2, 3), (0, 1)).batched  # x * w
    assert not plan(one).batched


def test_a_thousand_layers_keep_the_norm_in_float32():
    circuit = QuantumCircuit(4)
    t = Parameter("t")
    for _ in range(1000):
        for q in range(4):
            circuit.ry(t + 0.1 * q, q)
            circuit.rz(0.7 * t, q)
        for q in range(3):
            circuit.cx(q, q + 1)
    state = jax.jit(lambda p: psi(circuit, p))(np.float32([0.123]))
    assert state.dtype == np.complex64
    np.testing.assert_allclose(np.linalg.norm(state), 1.0, rtol=0, atol=1e-4)
    np.testing.assert_allclose(state, oracle(circuit, np.float64(np.float32([0.123]))), rtol=0, atol=2e-3)


def test_large_angles_keep_their_digits_in_float32():
    circuit = QuantumCircuit(1)
    t = Parameter("t")
    for _ in range(50):
        circuit.rz(t + 100 * np.pi, 0)
    circuit.h(0)
    circuit.rz(t, 0)
    values = np.float32([0.4])
    value = jax.jit(lambda p: psi(circuit, p))(values)
    np.testing.assert_allclose(abs(np.vdot(value, oracle(circuit, np.float64(values)))), 1.0, rtol=0, atol=1e-4)


def test_expectation_of_a_deep_circuit():
    circuit = everything(12)
    assert len(plan(qj.parse(circuit)).layers.levels) > segments.UNROLL
    observable = SparsePauliOp(["XYZ", "ZIX"], [0.5, -0.3])
    f = qj.expectation(circuit, observable)
    expected = [Statevector(circuit.assign_parameters(p)).expectation_value(observable).real for p in P.T]
    close(f(P.T), np.array(expected))
