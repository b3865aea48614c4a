"""Answers by a program that circuits share. Oracles: Qiskit's `Statevector` and `Operator`, and own programs."""

import gc
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import qiskit.circuit.library as lib
from circuits import ATOL, STANDARD, standard
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

import qmljax as qj
from qmljax._circuit.at_numbers import Formulas
from qmljax._circuit.expressions import evaluate
from qmljax._engine import answers, any_circuit
from qmljax._models import compiled, questions, shared
from qmljax._models.compiled import FIRST, question

NONE = np.zeros(0, np.float32)


def close(a, b, dtype=np.float64) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=10 * ATOL[dtype])


def turned(n: int, gates: int, seed: int) -> QuantumCircuit:
    """Rotations, some of which share parameters, and gates that entangle."""
    rng = np.random.default_rng(seed)
    circuit, p = QuantumCircuit(n, global_phase=0.3), ParameterVector("p", gates)
    for k in range(gates):
        a, b = (int(q) for q in rng.permutation(n)[:2])
        match rng.integers(6):
            case 0:
                circuit.rx(2 * p[k] - p[k // 2], a)
            case 1:
                circuit.ry(p[k] * p[k // 3] + 0.2, a)
            case 2:
                circuit.rz(p[k].sin() * 3, a)
            case 3:
                circuit.cx(a, b), circuit.rz(p[k], a), circuit.cx(a, b)
            case 4:
                circuit.rzz(p[k], a, b)
            case 5:
                circuit.cp(p[k] / 2, a, b)
    return circuit


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_circuits(seed, dtype):
    n = seed % 6 + 1
    circuit = random_circuit(n, 8, max_operands=min(n, 4), seed=seed)
    circuit.global_phase = 0.3
    psi, rng = Statevector(circuit), np.random.default_rng(seed)
    labels = ["".join(row) for row in rng.choice(list("IXYZ"), (5, n))]
    qubits = [int(q) for q in rng.permutation(n)[: n // 2 + 1]]
    with jax.enable_x64(dtype == np.float64):
        none = np.zeros((2, 0), dtype)
        states = qj.statevector(circuit, compile=False)(none)
        close(states, [psi.data, psi.data], dtype)
        assert states.dtype == np.result_type(dtype, np.complex64)
        close(qj.probabilities(circuit, qubits, compile=False)(none[0]), psi.probabilities(qubits), dtype)
        expected = [psi.expectation_value(SparsePauliOp(label)).real for label in labels]
        close(qj.expectation(circuit, labels, compile=False)(none[0]), expected, dtype)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", STANDARD)
def test_every_standard_gate(name):
    """With parameters, and with numbers; under a control, too, on a state that is no product."""
    p = [Parameter(f"p{k}") for k in range(len(STANDARD[name].params))]
    values = [0.7 + k for k in range(len(p))]
    for given in [values, p] if p else [values]:
        gate = standard(name, given)
        circuit = QuantumCircuit(gate.num_qubits + 1)
        circuit.h(range(gate.num_qubits + 1))
        for q in range(gate.num_qubits):
            circuit.rz(0.3 + q, q)
            circuit.cx(q, q + 1)
        circuit.append(gate, range(gate.num_qubits))
        circuit.append(gate.control(annotated=True), range(gate.num_qubits + 1))
        f = qj.statevector(circuit, compile=False)
        assert question(f) is not None
        bound = circuit.assign_parameters(dict(zip(p, values, strict=True))) if circuit.parameters else circuit
        close(f({x: v for x, v in zip(p, values, strict=True) if circuit.parameters}), Statevector(bound).data)


@pytest.mark.usefixtures("x64")
def test_tables_matrices_and_permutations_that_are_not_affine():
    circuit, p = QuantumCircuit(5), Parameter("p")
    circuit.h(range(5))
    circuit.append(lib.DiagonalGate(np.exp(1j * np.arange(8))), [0, 2, 4])
    circuit.ccx(0, 1, 2)
    circuit.append(lib.MCPhaseGate(p, 3), [2, 1, 0, 3])  # phases after a permutation that is no XOR
    circuit.unitary(random_unitary(8, seed=0), [3, 0, 1])
    circuit.unitary(random_unitary(4, seed=1), [4, 2])
    circuit.append(lib.PermutationGate([2, 0, 1]), [0, 1, 2])
    close(qj.statevector(circuit, compile=False)([0.7]), Statevector(circuit.assign_parameters([0.7])).data)


MODELS = {
    "expectation": (lambda c: qj.expectation(turned(3, 14, 0), ["ZZI", "XYZ"], compile=c), [(14,)]),
    "one expectation": (lambda c: qj.expectation(turned(3, 12, 1), "XYZ", compile=c), [(2, 3, 12)]),
    "statevector": (lambda c: qj.statevector(turned(2, 10, 2), compile=c), [(10,)]),
    "probabilities": (lambda c: qj.probabilities(turned(3, 12, 3), [2, 0], compile=c), [(3, 12)]),
    "estimator_qnn": (lambda c: network(qj.estimator_qnn, c, observables=["ZZZ", "XXI"]), [(12,), (5, 3)]),
    "sampler_qnn": (lambda c: network(qj.sampler_qnn, c, interpret=lambda z: z % 3), [(12,), (2, 2, 3)]),
    "one point": (lambda c: network(qj.sampler_qnn, c, interpret=lambda z: (z % 2, z // 4)), [(12,), (3,)]),
    "fidelity": (lambda c: qj.fidelity(turned(3, 10, 4), lib.zz_feature_map(3, reps=1), compile=c), [(10,), (4, 3)]),
    "fidelity_kernel": (lambda c: qj.fidelity_kernel(lib.zz_feature_map(3, reps=1), compile=c), [(5, 3), (4, 3)]),
    "symmetric": (lambda c: qj.fidelity_kernel(lib.zz_feature_map(3, reps=1), compile=c), [(5, 3)]),
    "projected_kernel": (lambda c: qj.projected_kernel(lib.zz_feature_map(3, reps=1), compile=c), [(5, 3), (4, 3)]),
    "pairs": (lambda c: qj.fidelity_kernel(lib.zz_feature_map(2, reps=1), compile=c).pairs, [(3, 2), (3, 2)]),
    "local": (lambda c: local(c), [(4, 2), (3, 2)]),
    "unitary": (lambda c: qj.unitary(turned(2, 8, 11), compile=c), [(8,)]),
    "projectors": (lambda c: qj.expectation(turned(3, 8, 12), {"0+Z": 0.5, "rl1": 2, "X-Y": 1}, compile=c), [(8,)]),
    "loads": (lambda c: qj.expectation(loaded(), ["ZZZ", "X1Y"], compile=c), [(7,)]),
    "projections": (lambda c: qj.projected_kernel(lib.zz_feature_map(3, reps=1), compile=c).projections, [(5, 3)]),
}


def local(how):
    """On a qubit more that is idle."""
    circuit = QuantumCircuit(3)
    circuit.compose(lib.zz_feature_map(2, reps=1), [0, 2], inplace=True)
    return qj.fidelity_kernel(circuit, local=True, compile=how)


def loaded():
    """On two registers, of which one has fewer amplitudes than states; one is a number, and some are products."""
    a, b = (ParameterVector(name, size) for name, size in (("a", 4), ("b", 3)))
    circuit = QuantumCircuit(3)
    for vector, qubits in ((a, [0, 2]), (b[:2], [1])):
        register = qj.circuits.raw_feature_vector(len(vector))
        circuit.compose(register.assign_parameters(list(vector)), qubits, inplace=True)
    circuit.rx(b[2] * a[0], 1), circuit.cx(1, 0), circuit.ry(a[3], 2), circuit.cp(0.3, 0, 2)
    return circuit


def network(make, how, **given):
    feature_map = lib.zz_feature_map(3, reps=1)
    circuit = feature_map.compose(lib.real_amplitudes(3))
    return make(circuit, inputs=feature_map.parameters, compile=how, **given)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_those_of_a_program_of_its_own(name):
    """Values, shapes and types, too; eagerly, under jit and vmap, in both modes, and those of second order."""
    make, shapes = MODELS[name]
    own, other = make(True), make(False)
    rng = np.random.default_rng(0)
    args = [rng.normal(size=shape) for shape in shapes]

    def same(a, b):
        close(b, a)
        assert a.dtype == b.dtype and a.shape == b.shape

    same(own(*args), other(*args))
    weigh = rng.normal(size=own(*args).shape)

    def loss(f):
        return lambda *args: jnp.sum(weigh * jnp.abs(f(*args)) ** 2)

    every = tuple(range(len(args)))
    gradients = jax.jit(jax.grad(loss(own), every))(*args)
    jacobians = jax.jit(jax.jacfwd(own, every))(*args)
    for how in (lambda f: f, jax.jit):
        for a, b in zip(gradients, how(jax.grad(loss(other), every))(*args), strict=True):
            same(a, b)
    for k in every:
        same(gradients[k], jax.grad(loss(other), k)(*args))
        same(jacobians[k], jax.jacfwd(other, k)(*args))
        if own(*args).dtype == np.float64:
            same(jacobians[k], jax.jacrev(other, k)(*args))
    if name in ("expectation", "statevector", "estimator_qnn", "loads"):
        same(jax.jit(jax.hessian(loss(own)))(*args), jax.hessian(loss(other))(*args))
    axes = (0, *(None,) * (len(args) - 1))
    batch = (rng.normal(size=(2, *shapes[0])), *args[1:])
    same(jax.jit(jax.vmap(own, axes))(*batch), jax.vmap(other, axes)(*batch))
    value, pushed = jax.linearize(other, *args)
    same(value, own(*args))
    same(jax.jit(pushed)(*args), pushed(*args))
    _, pulled = jax.vjp(other, *args)
    for a, b in zip(jax.jit(pulled)(value), pulled(value), strict=True):
        same(a, b)


def test_edges_of_derivatives():
    """Of no directions; at points where a slope is infinite or has no logarithm; and of devices' own shares."""
    circuit, p, x = QuantumCircuit(2), Parameter("p"), Parameter("x")
    circuit.h(0), circuit.ry(x, 0)
    model = qj.estimator_qnn(circuit, "IZ", inputs=["x"], compile=False)
    assert jax.jacfwd(model)(jnp.zeros(0), jnp.ones((3, 1))).shape == (3, 1, 0)
    assert jax.jacfwd(qj.expectation(circuit, "IZ"))(jnp.zeros((0, 1))).shape == (0, 0, 1)
    assert jax.jacrev(qj.expectation(circuit, "IZ", compile=False))(jnp.zeros((0, 1))).shape == (0, 0, 1)
    circuit.ry(p**x, 1), circuit.cx(0, 1), circuit.rx(p**0.5, 1)
    own, other = (qj.expectation(circuit, "ZZ", compile=how) for how in (True, False))
    for at in ([-0.5, 2.0], [0.0, 2.0], [0.0, 1.0], [0.0, 0.5], [1.0, 0.5]):
        at = np.float32(at)
        np.testing.assert_allclose(jax.grad(other)(at), jax.grad(own)(at), rtol=1e-4, atol=1e-5)
    odd = QuantumCircuit(1)
    odd.rx(p**16777217 + 0.5, 0)  # which float32 has not
    for how in (True, False):
        f = qj.expectation(odd, "Z", compile=how)
        np.testing.assert_allclose(f(np.float32([-1])), np.cos(-0.5), rtol=1e-6)
    split = jax.shard_map(
        lambda x: model(jnp.zeros(0), x), mesh=Mesh(jax.devices()[:1], ("b",)), in_specs=P("b"), out_specs=P("b")
    )
    np.testing.assert_allclose(split(jnp.ones((4, 1))), model(np.zeros(0), np.ones((4, 1))), rtol=0, atol=1e-6)


def test_draws_are_those_of_a_program_of_its_own():
    circuit = turned(3, 20, 5)
    x = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)
    drawn = [qj.sample(circuit, 500, compile=how)(x, jax.random.key(0)) for how in (True, False)]
    assert drawn[0].shape == drawn[1].shape == (4, 500)
    assert (drawn[0] == drawn[1]).mean() > 0.999  # a rounding error decides hardly ever


FUNCTIONS = ["sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "log", "abs", "sign"]


@pytest.mark.usefixtures("x64")
def test_formulas_and_their_slopes():
    a, b = Parameter("a"), Parameter("b")
    each = [getattr(0.3 * a + 0.1, name)() * b for name in FUNCTIONS]
    each += [a * b, a / b, a**2, a**3 * b, (a + b) ** 0.5, a**b, (a * b).sin() / (1 + b), 2 * a - 1, a * 0 + 1]
    circuit = QuantumCircuit(1)
    for expression in each:
        circuit.rx(expression, 0)
        circuit.ry(1.0, 0)
    expressions = qj.parse(circuit).expressions
    rng = np.random.default_rng(0)
    params = rng.uniform(0.2, 1, (7, 2))
    formulas = Formulas(expressions, 2)
    close(formulas.values(params), evaluate(expressions, params.T).T)
    slopes = jax.vmap(jax.jacrev(lambda p: evaluate(expressions, p)))(params)
    tangents, cotangents = rng.normal(size=(7, 2)), rng.normal(size=(7, len(expressions)))
    close(formulas.pushed(params, tangents), np.einsum("bvp,bp->bv", slopes, tangents))
    close(formulas.pulled(params, cotangents), np.einsum("bvp,bv->bp", slopes, cotangents))


def test_circuits_of_a_size_share_a_program():
    """Whatever their gates, numbers of qubits, of parameters and of observables are: so a first answer is quick."""
    jax.clear_caches()
    for seed in range(20):
        n = seed % 4 + 2
        circuit = turned(n, 10 + seed, seed)
        x = np.random.default_rng(seed).normal(size=circuit.num_parameters).astype(np.float32)
        f = qj.expectation(circuit, ["Z" * n, "X" * n])
        jax.jacrev(f)(x), jax.jvp(f, (x,), (x,))
        qj.statevector(circuit)(x), qj.probabilities(circuit)(x)
        assert f._run._cache_size() == 0
    assert [f._cache_size() for f in (answers.value, answers.push, answers.pull)] == [3, 1, 1]


def test_the_rule(monkeypatch):
    """The first calls of a shape are shared; those under jit and vmap, of second order and large ones are not."""
    asked, answer = [], shared.answer
    monkeypatch.setattr(shared, "answer", lambda *given: asked.append(1) or answer(*given))
    x = np.random.default_rng(0).normal(size=20).astype(np.float32)
    f, equal = (qj.expectation(turned(3, 20, 6), "ZZZ") for _ in range(2))
    for k in range(FIRST):
        (f if k % 2 else jax.grad(equal))(x + k)
    assert len(asked) == FIRST and f._run._cache_size() == 0
    close(equal(x), f(x), np.float32)
    assert len(asked) == FIRST and f._run._cache_size() == 1
    f(np.stack([x, x]))  # another shape, and new
    assert len(asked) == FIRST + 1 and f._run._cache_size() == 1
    fresh = qj.expectation(turned(3, 20, 7), "ZZZ")
    for transformed, given in ((jax.jit, x), (jax.vmap, np.stack([x, x])), (jax.hessian, x)):
        transformed(fresh)(given)
    fresh(np.zeros((200, 20), np.float32))
    assert len(asked) == FIRST + 1
    fresh(x)
    assert len(asked) == FIRST + 2


def test_large_calls_count_for_several(monkeypatch):
    """They take longer, so that fewer of them take as long as the compilation."""
    x = np.random.default_rng(0).normal(size=20).astype(np.float32)
    f = qj.expectation(turned(3, 20, 8), "ZZZ")
    work = question(f).circuit.work
    monkeypatch.setattr(shared, "WORK", 4 * work)  # a call is a quarter of the largest, and counts for two
    for _ in range(FIRST // 2):
        f(x)
    assert f._run._cache_size() == 0
    f(x)
    assert f._run._cache_size() == 1


def test_what_has_a_program_of_its_own(monkeypatch):
    """Values that are asked for inside of jit, large circuits, large matrices, and many projectors."""
    monkeypatch.setattr(any_circuit, "SIZE", 1 << 12)
    any_circuit.encode.cache_clear()
    compiled.question.cache_clear()
    f = qj.expectation(lib.real_amplitudes(3, reps=1).assign_parameters([0.1] * 6), "ZZZ")
    assert question(f) is not None
    assert jax.jit(lambda x: x * f([]))(2.0) == pytest.approx(2 * float(f([])), abs=1e-6)
    assert "while" not in str(jax.make_jaxpr(lambda x: x * f([]))(2.0))  # the loop of the shared program
    deep = qj.statevector(lib.real_amplitudes(6, reps=70).assign_parameters([0.1] * 426))
    wide, matrix = QuantumCircuit(17), QuantumCircuit(9)
    wide.h(range(17))
    matrix.unitary(random_unitary(512, seed=0), range(9))
    projectors = qj.expectation(lib.real_amplitudes(4, reps=1), "++++")
    monkeypatch.setattr(questions, "TERMS", 8)
    large = qj.unitary(lib.real_amplitudes(11, reps=1))
    monkeypatch.setattr(any_circuit, "ENTRIES", 1 << 12)
    matrices = QuantumCircuit(5)
    matrices.unitary(random_unitary(32, seed=0), range(5))
    assert question(qj.statevector(matrices)) is None
    for g in (deep, qj.statevector(wide), qj.statevector(matrix), projectors, large):
        assert question(g) is None
    assert projectors(np.zeros(8)).shape == ()
    any_circuit.encode.cache_clear()
    compiled.question.cache_clear()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("qubits, count", [(5, 9), (6, 3), (7, 1), (8, 2)])
def test_large_matrices(qubits, count):
    """Between other gates; the values' and the gradient's oracles are Qiskit's values."""
    n, rng = max(qubits, 6), np.random.default_rng(qubits)
    circuit, p = QuantumCircuit(n), ParameterVector("p", 3 * count)
    for k in range(count):
        circuit.unitary(random_unitary(1 << qubits, seed=k), [int(q) for q in rng.permutation(n)[:qubits]])
        a, b = (int(q) for q in rng.permutation(n)[:2])
        circuit.ry(p[3 * k], a), circuit.cx(a, b), circuit.rz(p[3 * k + 1], b), circuit.rx(p[3 * k + 2], a)
    labels, x = ["Z" * n, "XY".ljust(n, "I")], rng.uniform(0, 2, (2, 3 * count))

    def values(row):
        psi = Statevector(circuit.assign_parameters(row))
        return np.array([psi.expectation_value(SparsePauliOp(label)).real for label in labels])

    f = qj.expectation(circuit, labels, compile=False)
    assert question(f) is not None
    close(f(x), [values(row) for row in x])
    for derivative in (jax.jacrev, jax.jacfwd):
        slopes = [(values(x[0] + d) - values(x[0] - d)) / 2e-5 for d in 1e-5 * np.eye(3 * count)]
        np.testing.assert_allclose(derivative(f)(x[0]), np.array(slopes).T, rtol=0, atol=1e-8)
    close(jax.jit(jax.jacrev(f))(x[0]), jax.jacrev(f)(x[0]))


def test_shapes_and_types():
    circuit = lib.real_amplitudes(2).assign_parameters([0.1] * 8)
    assert qj.expectation(circuit, "ZZ")().shape == ()
    assert qj.expectation(circuit, ["ZZ"])(np.zeros((3, 2, 0))).shape == (3, 2, 1)
    assert qj.probabilities(circuit, [1])(jnp.zeros((3, 0))).shape == (3, 2)
    assert isinstance(qj.statevector(circuit)(), jax.Array)
    assert qj.statevector(circuit)(np.zeros((0, 0))).shape == (0, 4)
    assert jax.vmap(qj.expectation(circuit, "ZZ"))(jnp.zeros((3, 0))).shape == (3,)
    assert jax.grad(lambda p: qj.expectation(circuit, "ZZ")(p))(jnp.zeros(0)).shape == (0,)
    model = network(qj.estimator_qnn, False, observables=["ZZZ"])
    assert model(np.zeros(12), np.zeros((0, 3))).shape == (0, 1)
    assert qj.fidelity_kernel(lib.zz_feature_map(3, reps=1), compile=False)(np.zeros((0, 3))).shape == (0, 0)
    with pytest.raises(TypeError, match="`compile` must be True, False or None"):
        qj.expectation(circuit, "ZZ", compile="yes")


def test_parameters_that_are_not_finite():
    f = qj.expectation(turned(3, 20, 6), "ZZZ", compile=False)
    x = np.zeros((2, 20), np.float32)
    x[1] = np.nan
    values = f(x)
    assert np.isfinite(values[0]) and np.isnan(values[1])


@pytest.mark.usefixtures("x64")
def test_large_angles():
    circuit, p = QuantumCircuit(1), Parameter("p")
    circuit.ry(1e5 * p, 0)
    f = qj.expectation(circuit, "Z", compile=False)
    with jax.enable_x64(False):
        close(f(np.float32([3.3])), np.cos(1e5 * np.float64(np.float32(3.3))), np.float32)


def test_rows_are_filled_up_to_few_numbers(monkeypatch):
    """The first number is taken as it is. What is compiled is counted where nothing is small enough to be shared."""
    monkeypatch.setattr(shared, "WORK", 0)
    model = network(qj.estimator_qnn, None, observables=["ZYX"])
    f = qj.expectation(turned(3, 20, 8), "ZZZ")
    rng = np.random.default_rng(0)
    kernels = [qj.fidelity_kernel(lib.zz_feature_map(3, reps=1)), qj.projected_kernel(lib.z_feature_map(3))]
    sizes = [100, *range(101, 129)]
    for rows in sizes:
        x = rng.normal(size=(rows, 3)).astype(np.float32)
        w = rng.normal(size=12).astype(np.float32)
        values = model(w, x)
        assert values.shape == (rows, 1)
        close(values[-1], model(w, x[-1]), np.float32)
        assert f(rng.normal(size=(rows // 4, 4, 20)).astype(np.float32)).shape == (rows // 4, 4)
        for kernel in kernels:
            gram = kernel(x, x[:7])
            assert gram.shape == (rows, 7) and (np.diagonal(gram) == 1).all()
    assert model._run._cache_size() == 1 + 5  # one point; 100, then 104, 112, 120, 128
    assert kernels[0]._run._cache_size() == 5
    models = model, network(qj.estimator_qnn, True, observables=["ZYX"])
    close(*(jax.grad(lambda w, m=m: m(w, x[:110]).mean())(w) for m in models), np.float32)


def test_memory_stays_bounded_over_many_circuits():
    """What is kept of 500 circuits does not grow with their number; nor do the mappings that compiled programs take."""

    def run(seeds):
        for seed in seeds:
            circuit = turned(4, 30, seed)
            jax.grad(qj.expectation(circuit, "ZZZZ"))(np.full(circuit.num_parameters, 0.1, np.float32))
        gc.collect()
        with open("/proc/self/statm") as memory, open("/proc/self/maps") as maps:
            return int(memory.read().split()[1]) * 4096, len(maps.readlines())

    run(range(100, 150))
    before, mappings = run(range(150, 200))
    after, more = run(range(200, 500))
    assert after - before < 64 << 20 and more - mappings < 50


def test_equal_circuits_are_encoded_once(monkeypatch):
    encoded, encode = [], questions.encode
    monkeypatch.setattr(questions, "encode", lambda program: encoded.append(1) or encode(program))
    for _ in range(3):
        qj.expectation(turned(3, 25, 9), "ZZZ")(np.zeros(25, np.float32))
    assert len(encoded) == 1


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(4))
def test_gradients_are_differences_of_values_of_qiskit(seed):
    n = seed + 2
    circuit = turned(n, 15, seed)
    labels = ["Z" * n, "XY".ljust(n, "Z")]
    at, step = np.random.default_rng(seed).uniform(0.2, 2, 15), 1e-5

    def values(params):
        psi = Statevector(circuit.assign_parameters(params))
        return np.array([psi.expectation_value(SparsePauliOp(label)).real for label in labels])

    slopes = np.array([(values(at + d) - values(at - d)) / (2 * step) for d in step * np.eye(15)]).T
    f = qj.expectation(circuit, labels, compile=False)
    for derivative in (jax.jacrev, jax.jacfwd):
        np.testing.assert_allclose(derivative(f)(at), slopes, rtol=0, atol=1e-8)


def test_the_operator_of_a_circuit_with_parameters():
    """All columns: the state from each basis state, X gates being part of the circuit."""
    circuit = turned(3, 25, 10)
    x = np.random.default_rng(0).normal(size=circuit.num_parameters).astype(np.float32)
    matrix = Operator(circuit.assign_parameters(x.astype(float))).data
    for z in range(8):
        start = QuantumCircuit(3)
        for q in range(3):
            if z >> q & 1:
                start.x(q)
        close(qj.statevector(start.compose(circuit), compile=False)(x), matrix[:, z], np.float32)


@contextmanager
def compilations(caplog):
    """What is compiled within."""
    caplog.clear()
    names = []
    with jax.log_compiles(), caplog.at_level("WARNING"):
        yield names
    names.extend(r.getMessage() for r in caplog.records if "Finished XLA compilation" in r.getMessage())


def test_nothing_is_compiled_for_a_circuit_never_seen(caplog):
    """Whatever its numbers of qubits, parameters and points are, after another of its size."""

    def ask(n, seed):
        rng = np.random.default_rng(seed)
        feature_map, circuit = lib.zz_feature_map(n, reps=1), turned(n, 20, seed)
        x, y = rng.normal(size=(2, n + 2, n)).astype(np.float32)
        params = rng.normal(size=circuit.num_parameters).astype(np.float32)
        kernel, near = (qj.fidelity_kernel(feature_map, local=local) for local in (False, True))
        vector = qj.circuits.raw_feature_vector(2**n)
        projected = qj.projected_kernel(feature_map, observables=["Z" * n, "I" * (n - 1) + "X"])
        for out in (
            kernel(x),
            kernel(x, y[:3]),
            kernel.pairs(x, y),
            near(x[:3], y[:4]),
            near.pairs(x, y),
            projected(x),
            projected.pairs(x, y),
            qj.fidelity(feature_map, circuit)(x[0], params),
            qj.unitary(circuit)(params),
            qj.metric_tensor(circuit)(params),
            qj.expectation(circuit, ["1" + "+" * (n - 1)])(params),
            qj.statevector(vector)(rng.normal(size=2**n)),
            jax.grad(qj.expectation(vector, "Z" * n))(rng.normal(size=2**n).astype(np.float32)),
        ):
            assert np.isfinite(out).all()

    with compilations(caplog) as first:
        ask(2, 20)
    assert first
    with compilations(caplog) as second:
        ask(3, 21)
    assert second == []


@pytest.mark.usefixtures("x64")
def test_the_metric_is_that_of_a_program_of_its_own():
    """Its derivatives, second ones of the state, have that anyway. A closed form is in the tests of the function."""
    circuit = loaded().compose(turned(3, 10, 13))
    own, other = (qj.metric_tensor(circuit, compile=how) for how in (True, False))
    x = np.random.default_rng(0).normal(size=(2, 1, circuit.num_parameters))
    close(other(x), own(x))
    assert other(x).dtype == own(x).dtype and other(x).shape == own(x).shape
    one = x[0, 0].astype(np.float32)
    close(other(one), own(one), np.float32)
    assert other(one).dtype == np.float32
    slopes = [jax.jvp(f, (x[0, 0],), (x[1, 0],))[1] for f in (own, other)]
    close(slopes[1], slopes[0])
    close(jax.jit(lambda y: y * other(x[0, 0]))(1.0), own(x[0, 0]))


@pytest.mark.usefixtures("x64")
def test_loaded_amplitudes_have_norm_one():
    """Also huge ones. Oracle: x / |x|, and its derivative."""
    x, v = np.random.default_rng(0).normal(size=(2, 8))
    f = qj.statevector(qj.circuits.raw_feature_vector(8), compile=False)
    norm = np.linalg.norm(x)
    close(f(x), x / norm)
    close(f(1e200 * x), x / norm)
    value, slope = jax.jvp(f, (x,), (v,))
    close(slope, v / norm - x * (x @ v) / norm**3)
    with pytest.raises(ValueError, match="all amplitudes are zero"):
        f(np.zeros(8))
    fixed = QuantumCircuit(3)
    fixed.compose(qj.circuits.raw_feature_vector(4).assign_parameters([3.0, 0, 0, 4.0]), [1, 2], inplace=True)
    close(qj.statevector(fixed, compile=False)(), np.kron([0.6, 0, 0, 0.8], [1, 0]))


def test_rows_that_are_filled_up_are_states():
    """No amplitudes at all would be NaN, which a gradient spreads. Oracle: a matrix product."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    kernel = qj.fidelity_kernel(qj.circuits.raw_feature_vector(4), compile=False)

    def expected(x):
        unit = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        return jnp.sin((unit @ unit.T) ** 2)

    for transformed in (lambda f: f, jax.jit):
        gradient = transformed(jax.grad(lambda x: jnp.sin(kernel(x)).sum()))(x)
        np.testing.assert_allclose(gradient, jax.grad(lambda x: expected(x).sum())(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [13, 15])
def test_wide_circuits(n):
    """With permutations that are not affine, phases after them, a matrix, and a table."""
    circuit, p = QuantumCircuit(n), Parameter("p")
    circuit.ry(0.4, range(n)), circuit.ccx(0, n - 1, 5), circuit.rx(p, range(0, n, 3))
    circuit.append(lib.MCPhaseGate(p, 2), [n - 1, 5, 3])
    circuit.unitary(random_unitary(4, seed=1), [4, n - 2])
    circuit.append(lib.DiagonalGate(np.exp(1j * np.arange(8))), [0, 6, n - 1])
    circuit.cx(range(n - 1), range(1, n)), circuit.ry(0.3 * p, range(n))
    f = qj.expectation(circuit, "X" + "Z" * (n - 2) + "Y", compile=False)
    assert question(f) is not None

    def value(p):
        psi = Statevector(circuit.assign_parameters([p]))
        return psi.expectation_value(SparsePauliOp("X" + "Z" * (n - 2) + "Y")).real

    close(f([0.7]), value(0.7), np.float32)
    if n == 13:
        step = 1e-4
        close(jax.grad(f)(jnp.array([0.7])), [(value(0.7 + step) - value(0.7 - step)) / (2 * step)], np.float32)


SINGULAR = {
    "root of a square": lambda a, b: (a**2) ** 0.5,
    "norm": lambda a, b: (a**2 + b**2) ** 0.5,
    "power": lambda a, b: a**b,
    "powers of signs": lambda a, b: abs(a) ** b + a**3 + b**-1,
    "quotient": lambda a, b: a.sin() / a + b,
    "inverse": lambda a, b: (1 / a).arctan() * b,
    "entropy": lambda a, b: a * a.log() + b,
    "arcs": lambda a, b: a.arcsin() + b.arccos(),
    "arc of a sine": lambda a, b: a.sin().arcsin() * b,
    "distance": lambda a, b: abs(a - b) + a.sign(),
    "of the greatest": lambda a, b: (-1 * a.exp()).exp() + b,
    "beyond the greatest": lambda a, b: (178 * a - 89).exp() * b,
    "back from beyond": lambda a, b: (10 * a) ** 39 * 1e-38 + b,
    "root and back": lambda a, b: (a**0.5) * (a**0.5 + b) + (a**b) ** 2,
    "size of a root": lambda a, b: abs(a**1.5 + (a * b) ** 0.5),
    "logarithm and back": lambda a, b: a.log().exp().arccos() * b + ((a**0.5) ** 2).arcsin(),
    "cosine of an arc": lambda a, b: ((0.6 * a) ** 0.5 * (0.6 * a) ** 0.5).arccos().cos() + b,
    "sign of a root": lambda a, b: (a**0.5).sign() * b + a.log().exp(),
    "signs of singular points": lambda a, b: (1 / a).sign() + abs(a).log().sign() * b + a.arcsin().sign(),
    "square beyond the greatest": lambda a, b: ((50 * a).exp() ** 2).arctan() + b,
    "logarithm of zero and back": lambda a, b: (a.log() * 2).exp() + (a.log() * 0.5).exp() * b,
    "root to a root": lambda a, b: (a**0.5) ** (b**0.5),
    "power at a cut": lambda a, b: abs((a**b) ** (a**0.5)).arctan(),
    "power beyond the greatest and back": lambda a, b: (
        abs((20 * a) ** (9 * b)) ** 0.05 + ((1e-3 * a) ** (9 * b)) ** 0.01
    ),
    "inverse of the infinite": lambda a, b: 1 / (60 * (20 * a).log()).exp() + 1 / ((a**1.5) ** (300 * b)) + b,
    "exponentials of a power": lambda a, b: (a**b).exp().exp() ** -1 + abs((b / a) ** -0.5),
    "one to any power": lambda a, b: a ** b.log() + b,
    "inverse squares of singular points": lambda a, b: a.log() ** -2 + ((a**b) ** -2).arctan() + b,
    "by way of what is not real": lambda a, b: a**0.5 * (a**0.5 + b),
    "logarithm of a power": lambda a, b: (a**a).log() + ((a - 1.5) ** 3).log() + b + ((a - 2.5) ** b).log(),
    "inverse of a negative zero": lambda a, b: (1 / (-1 * a)).exp() + (1 / (2 * b)).arctan(),
    "even in a root": lambda a, b: (a**0.5).cos() + (a**0.5).tan() ** 2 + (a**-0.5) ** -2 * b,
}


@pytest.mark.parametrize("formula", SINGULAR.values(), ids=SINGULAR)
def test_singular_points_are_as_in_a_program_of_a_circuits_own(formula):
    """Where something overflows, or has no derivative, both give the same numbers, or both none."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(0.4, 0), circuit.rx(formula(a, b), 0), circuit.rz(a + b, 0), circuit.ry(0.3, 0)
    one = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan]
    points = np.array([(x, y) for x in one for y in one], np.float32)
    found = []
    for way in (True, False):
        f = qj.expectation(circuit, "Z", compile=way)
        pushed = [jax.jvp(f, (points,), (np.tile(unit, (len(points), 1)),))[1] for unit in np.eye(2, dtype=np.float32)]
        found.append([f(points), jax.grad(lambda x, f=f: f(x).sum())(points), *pushed])
    assert not np.isfinite(np.concatenate([np.ravel(x) for x in found[0]])).all()
    for own, other in zip(*found, strict=True):
        finite = np.isfinite(own)
        np.testing.assert_array_equal(np.isfinite(other), finite)
        np.testing.assert_allclose(np.where(finite, other, 0), np.where(finite, own, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", [True, False])
@pytest.mark.parametrize("point", [(30.0, 14.0), (-30.0, 14.5), (1e-3, -8.0), (1e-3, 9.0), (-1e-25, 0.05)])
def test_powers_whose_squares_are_beyond_the_numbers(point, way):
    """The value is cos |a|**(b / 20), and all is finite; only the squares of the powers would be beyond float32."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx(abs(a**b) ** 0.05, 0)
    value, slopes = jax.value_and_grad(qj.expectation(circuit, "Z", compile=way))(np.array(point, np.float32))
    a, b = point
    angle = abs(a) ** (b / 20)
    np.testing.assert_allclose(value, np.cos(angle), rtol=0, atol=1e-4)
    np.testing.assert_allclose(slopes, -np.sin(angle) * angle / 20 * np.array([b / a, np.log(abs(a))]), rtol=1e-3)


@pytest.mark.parametrize("way", [True, False])
def test_what_is_not_real_has_no_derivative(way):
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx(a**0.5 * (a**0.5 + b), 0)
    found = jax.value_and_grad(qj.expectation(circuit, "Z", compile=way))(np.array([-1, 0.5], np.float32))
    assert np.isnan(np.concatenate(found, axis=None)).all()


def test_amplitudes_that_are_no_state_have_no_derivative():
    """None is refused where it is seen; in `jit` the value and all derivatives are NaN."""
    circuit = qj.circuits.raw_feature_vector(4)
    circuit.ry(0.3, 0)
    for way in (True, False, None):
        f = qj.expectation(circuit, "ZX", compile=way)
        with pytest.raises(ValueError, match="all amplitudes are zero"):
            jax.grad(f)(np.zeros(4, np.float32))
        with pytest.raises(ValueError, match="all amplitudes are zero"):
            jax.hessian(f)(np.zeros(4, np.float32))
        for x in ([0, 0, 0, 0], [np.inf, 1, 1, 1], [np.nan, 1, 1, 1]):
            both = jax.jit(jax.value_and_grad(f))(np.array(x, np.float32))
            assert np.isnan(np.concatenate([np.ravel(part) for part in both])).all()
            if any(x):
                assert np.isnan(jax.grad(f)(np.array(x, np.float32))).all()
