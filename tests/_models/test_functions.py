"""The front door. Oracles: closed forms, Qiskit's Statevector and Operator, and their finite differences."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

import qmljax as qj
from qmljax._models import amplitudes

OBSERVABLE = {1: SparsePauliOp(["X", "Y", "Z"], [0.7, -0.4, 0.3])}
OBSERVABLE[2] = SparsePauliOp(["XY", "ZX", "IZ", "YY", "ZZ"], [0.7, -0.4, 0.3, 0.2, -0.6])
OBSERVABLE[3] = SparsePauliOp(["XIY", "ZXI", "IZZ", "YYX", "IIZ"], [0.7, -0.4, 0.3, 0.2, -0.6])
A, B, C = ParameterVector("a", 3)


def circuits() -> dict[str, QuantumCircuit]:
    """The hard cases, each small. Their parameters come in the order of Qiskit, by name."""
    result: dict[str, QuantumCircuit] = {}

    def new(name: str, n: int, **options) -> QuantumCircuit:
        result[name] = QuantumCircuit(n, **options)
        return result[name]

    new("no gates", 2)
    c = new("no parameters", 2)
    c.h(0)
    c.cx(0, 1)
    c.t(1)
    c = new("one qubit", 1)
    c.rx(A, 0)
    c.rz(B, 0)
    c.ry(C, 0)
    c = new("only a global phase", 1, global_phase=A)
    c = new("real", 3)
    for q, p in enumerate((A, B, C)):
        c.h(q)
        c.ry(p, q)
    c.cx(0, 1)
    c.cz(1, 2)
    c.ry(A, 2)
    c = new("complex", 3, global_phase=0.3 * A)
    c.ry(A, 0)
    c.rx(B, 1)
    c.rzz(C, 0, 1)
    c.cp(A, 1, 2)
    c.ccx(0, 1, 2)
    c.u(A, B, C, 2)
    c = new("shared and nonlinear", 2)
    c.ry((A * B).sin(), 0)
    c.rx(2 * A - B, 1)
    c.cx(0, 1)
    c.rz(A / (B * B + 2), 1)
    c.crx(A, 0, 1)
    c = new("a parameter that cancels", 1)
    c.ry(A - A + B, 0)
    c = new("zero amplitudes", 2)  # states that stay sparse, derivatives at zero amplitudes
    c.x(0)
    c.rz(A, 0)
    c.cx(0, 1)
    c.ry(B, 1)
    c = new("a reset phase", 2)
    c.rz(A, 0)
    c.cp(B, 0, 1)
    c = new("a zero rotation, then a flip", 1)
    c.ry(0.0, 0)
    c.x(0)
    c.ry(A, 0)
    c = new("deep", 2)
    for k in range(30):
        c.ry(A * (k % 3), 0)
        c.rz(B + k, 1)
        c.cx(k % 2, (k + 1) % 2)
        c.rx(A * B, 1)
    return result


CIRCUITS = circuits()
every_circuit = pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
SOME = ["real", "complex", "deep"]


def point(circuit: QuantumCircuit, *batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*batch, circuit.num_parameters))


def state(circuit: QuantumCircuit, params: np.ndarray) -> np.ndarray:
    """Oracle: Qiskit's statevector, for each element of a batch."""
    flat = [Statevector(circuit.assign_parameters(params[i])).data for i in np.ndindex(params.shape[:-1])]
    return np.reshape(flat, (*params.shape[:-1], 1 << circuit.num_qubits))


def energy(circuit: QuantumCircuit, params: np.ndarray) -> np.ndarray:
    """Oracle: <psi|O|psi> by Qiskit's statevector and matrix."""
    psi, matrix = state(circuit, params), OBSERVABLE[circuit.num_qubits].to_matrix()
    return np.einsum("...i,ij,...j->...", psi.conj(), matrix, psi).real


def differences(f: Callable, params: np.ndarray, h: float) -> np.ndarray:
    """Central differences along the last axis of `params`, which becomes the first of the result."""
    steps = h * np.eye(params.shape[-1])
    return np.array([(f(params + e) - f(params - e)) / (2 * h) for e in steps]).reshape(
        len(steps), *np.shape(f(params))
    )


def close(x, y, atol=1e-12) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=atol), x, y)


# Values.


@pytest.mark.usefixtures("x64")
@every_circuit
def test_values_are_those_of_qiskit_for_any_batch(circuit):
    f = qj.statevector(circuit)
    params = point(circuit, 2, 3)
    expected = state(circuit, params)
    for index in ((), (0, 0)):
        out = f(params[index])
        assert out.dtype == np.complex128
        close(out, expected[index])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SOME)
def test_vmap_is_the_batch(name):
    f, params = qj.statevector(CIRCUITS[name]), point(CIRCUITS[name], 2, 3)
    expected = state(CIRCUITS[name], params)
    close(f(params[0]), expected[0])
    close(jax.vmap(jax.vmap(f))(params), expected)
    close(jax.vmap(f, 1, 1)(params), expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["no gates", "no parameters", "one qubit", "complex", "deep", "only a global phase"])
def test_unitary_is_the_operator_for_any_batch(name):
    circuit = CIRCUITS[name]
    f, params = qj.unitary(circuit), point(circuit, 2)
    expected = np.stack([Operator(circuit.assign_parameters(p)).data for p in params])
    close(f(params), expected)
    close(f(params[0]), expected[0])
    close(jax.vmap(f)(params[None]), expected[None])


def test_zero_qubits():  # what a circuit is on which nothing happens
    circuit = QuantumCircuit(0, global_phase=Parameter("t"))
    close(qj.statevector(circuit)([0.3]), [np.exp(0.3j)], atol=1e-6)
    close(qj.unitary(circuit)([0.3]), [[np.exp(0.3j)]], atol=1e-6)
    close((qj.probabilities(circuit)([0.3]), qj.metric_tensor(circuit)([0.3])), ([1.0], [[0.0]]))
    assert qj.expectation(QuantumCircuit(3), ["ZZZ", "XII", "+01"])().tolist() == [1.0, 0.0, 0.0]
    assert qj.sample(circuit, 2)([0.3], jax.random.key(0)).tolist() == [0, 0]


def test_empty_batches():
    circuit = CIRCUITS["complex"]
    f, g = qj.statevector(circuit), qj.expectation(circuit, ["ZZZ", "XXY"])
    for batch in ((0,), (2, 0)):
        params = jnp.zeros((*batch, 3))
        assert f(params).shape == (*batch, 8) and g(params).shape == (*batch, 2)
    empty = jnp.zeros((0, 3))
    assert jax.vmap(f)(empty).shape == (0, 8)
    assert (
        jax.grad(lambda p: jnp.sum(g(p)))(empty).shape == jax.vmap(jax.grad(lambda p: g(p)[0]))(empty).shape == (0, 3)
    )
    assert qj.statevector(QuantumCircuit(1))(np.zeros((2, 3, 0))).shape == (2, 3, 2)


# Derivatives.


@pytest.mark.usefixtures("x64")
@every_circuit
def test_gradient_and_hessian_agree_with_finite_differences(circuit):
    f = qj.expectation(circuit, OBSERVABLE[circuit.num_qubits])
    both = jax.jit(lambda p: (f(p), jax.grad(f)(p), jax.hessian(f)(p)))
    for params in (point(circuit), 0 * point(circuit)):  # parameters at 0, too
        value, gradient, hessian = both(params)
        close(value, energy(circuit, params))
        close(gradient, differences(lambda p: energy(circuit, p), params, 1e-5), atol=1e-6)
        close(hessian, differences(lambda p: np.asarray(both(p)[1]), params, 1e-5), atol=1e-6)
        close(hessian, hessian.T)


TRANSFORMS = {
    "grad": jax.grad,
    "jacrev": jax.jacrev,
    "jacfwd": jax.jacfwd,
    "jit of grad": lambda f: jax.jit(jax.grad(f)),
    "linearize": lambda f: lambda p: jax.vmap(jax.linearize(f, p)[1])(jnp.eye(p.shape[-1])),
    "jvp": lambda f: lambda p: jnp.stack([jax.jvp(f, (p,), (e,))[1] for e in jnp.eye(p.shape[-1])]),
    "grad of checkpoint": lambda f: jax.grad(jax.checkpoint(f)),
    "grad of vmap": lambda f: lambda p: jax.grad(lambda b: jax.vmap(f)(b).sum())(jnp.stack([p, 2 * p]))[0],
    "vmap of grad": lambda f: lambda p: jax.vmap(jax.grad(f))(jnp.stack([p, 2 * p]))[0],
    "grad of a batch": lambda f: lambda p: jax.grad(lambda b: f(b).sum())(jnp.stack([p, 2 * p]))[0],
    "grad in a scan": lambda f: lambda p: jax.lax.map(jax.grad(f), jnp.stack([p, 2 * p]))[0],
    "grad of a scan": lambda f: jax.grad(lambda p: jax.lax.scan(lambda s, _: (s + f(p), None), 0.0, length=3)[0] / 3),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name, transform",
    [
        *(("one qubit", t) for t in TRANSFORMS),
        *((c, t) for c in ("complex", "deep") for t in TRANSFORMS if "vmap" in t),
    ],
)
def test_every_way_to_a_gradient(name, transform):
    circuit, transform = CIRCUITS[name], TRANSFORMS[transform]
    f, params = qj.expectation(circuit, OBSERVABLE[circuit.num_qubits]), jnp.asarray(point(circuit))
    expected = differences(lambda p: energy(circuit, p), np.asarray(params), 1e-5)
    close(transform(f)(params), expected, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_parameter_shift():
    """Each parameter in one gate exp(-i t P / 2): df/dt is half the difference at t + pi/2 and t - pi/2, exactly."""
    t = ParameterVector("t", 6)
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.rx(t[0], 0)
    circuit.ry(t[1], 1)
    circuit.rz(t[2], 2)
    circuit.rxx(t[3], 0, 2)
    circuit.ryy(t[4], 1, 0)
    circuit.rzz(t[5], 2, 1)
    circuit.rx(0.4, 2)
    f, params = qj.expectation(circuit, OBSERVABLE[3]), point(circuit)

    def shift(g: Callable, p: np.ndarray) -> np.ndarray:
        return np.array([(g(p + s) - g(p - s)) / 2 for s in np.pi / 2 * np.eye(6)])

    gradient, hessian = jax.jit(lambda p: (jax.grad(f)(p), jax.hessian(f)(p)))(params)
    close(gradient, shift(lambda p: energy(circuit, p), params))
    close(hessian, shift(lambda p: shift(lambda q: energy(circuit, q), p), params))


@pytest.mark.usefixtures("x64")
def test_derivatives_of_states_probabilities_and_unitaries():
    circuit = CIRCUITS["complex"]
    params = point(circuit)
    expected = np.moveaxis(differences(lambda p: state(circuit, p), params, 1e-5), 0, -1)
    close(jax.jacfwd(qj.statevector(circuit))(params), expected, atol=1e-8)
    expected = np.moveaxis(differences(lambda p: abs(state(circuit, p)) ** 2, params, 1e-5), 0, -1)
    close(jax.jacrev(qj.probabilities(circuit))(params), expected, atol=1e-8)
    expected = differences(lambda p: Operator(circuit.assign_parameters(p)).data, params, 1e-5)
    close(jax.jacfwd(qj.unitary(circuit))(params), np.moveaxis(expected, 0, -1), atol=1e-8)


@pytest.mark.usefixtures("x64")
def test_closed_forms():
    t = Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.ry(t, 0)
    f = qj.expectation(circuit, "Z")
    for k, expected in enumerate((np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin)):
        close(f(np.array([0.3])).sum(), expected(0.3))
        f = jax.jacfwd(f) if k % 2 else jax.jacrev(f)


def test_scalars_and_lists_of_traced_values():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    f = qj.expectation(circuit, "Z")
    close(jax.grad(lambda t: f([t]))(0.3), -np.sin(0.3), atol=1e-6)
    close(jax.vmap(lambda t: f([t]))(jnp.array([0.3, 0.7])), np.cos([0.3, 0.7]), atol=1e-6)
    close(jax.jit(lambda t: f([[t], [0.7]]))(0.3), np.cos([0.3, 0.7]), atol=1e-6)


# dtypes and arguments.


def test_the_dtype_follows_the_arguments():
    circuit = CIRCUITS["complex"]
    f, g = qj.statevector(circuit), qj.expectation(circuit, "ZZZ")
    params = point(circuit)
    assert f(params).dtype == np.complex64 and g(params).dtype == np.float32  # x64 is off
    with jax.enable_x64(True):  # in one process
        assert f(params).dtype == np.complex128 and g(params).dtype == np.float64
        close(f(params), state(circuit, params))
        single = np.float32(params)
        assert f(single).dtype == np.complex64 and jax.grad(g)(jnp.asarray(single)).dtype == np.float32
        assert qj.metric_tensor(circuit)(single).dtype == qj.probabilities(circuit)(single).dtype == np.float32
    assert f(params).dtype == np.complex64
    close(f(params), state(circuit, params), atol=1e-6)


@pytest.mark.parametrize(
    "params",
    [
        [1, 0, 2],
        (1.0, 0.0, 2.0),
        [True, False, 2],
        np.array([1, 0, 2], np.uint8),
        np.array([1, 0, 2], np.int64),
        np.array([1, 0, 2], np.float16),
        np.array([1, 0, 2], np.longdouble),
        jnp.array([1, 0, 2]),
        jnp.array([1, 0, 2], jnp.bfloat16),
        [jnp.float32(1), 0.0, jnp.float32(2)],
        np.array([[1, 0, 2.0]])[0],
    ],
    ids=lambda x: str(getattr(x, "dtype", x)),
)
def test_anything_real_is_taken(params):
    circuit = CIRCUITS["complex"]
    out = qj.statevector(circuit)(params)
    assert out.dtype == np.complex64
    close(out, state(circuit, np.array([1.0, 0.0, 2.0])), atol=1e-6)


@pytest.mark.parametrize(
    "params, error, message",
    [
        (
            [0.1, 0.2],
            ValueError,
            r"3 elements in its last axis, one for each of a\[0\], a\[1\], a\[2\], but has shape \(2,\)",
        ),
        (0.1, ValueError, r"has shape \(\)"),
        (np.zeros((3, 2)), ValueError, r"has shape \(3, 2\)"),
        ([], ValueError, r"has shape \(0,\)"),
        ([1j, 0, 0], TypeError, "real numbers, but has dtype complex"),
        (np.zeros(3, complex), TypeError, "real numbers, but has dtype complex"),
        (["a", "b", "c"], TypeError, "real numbers"),
        (None, TypeError, "real numbers"),
        ([[0.1, 0.2, 0.3], [0.1]], ValueError, "its rows have different lengths"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_before_tracing(params, error, message, monkeypatch):
    monkeypatch.setattr(amplitudes.Statevector, "_of", None)  # a trace would raise another error
    f = qj.statevector(CIRCUITS["complex"])
    with pytest.raises(error, match=message):
        f(params)
    if isinstance(params, np.ndarray):
        for transform in (jax.jit, jax.vmap, jax.grad):
            with pytest.raises(error, match="must" if transform is not jax.grad else "."):
                transform(f)(params[None] if transform is jax.vmap else params)


def test_no_parameters_may_be_left_out():
    f = qj.statevector(CIRCUITS["no parameters"])
    close(f(), f([]))
    with pytest.raises(ValueError, match=r"none to set, so pass an array of shape \(0,\)"):
        f([0.1])


def test_nan_propagates():
    circuit = CIRCUITS["complex"]
    params = np.array([np.nan, 0.1, 0.2])
    assert np.isnan(qj.statevector(circuit)(params)).all()
    f = qj.expectation(circuit, OBSERVABLE[3])
    assert np.isnan(f(params)) and np.isnan(jax.grad(f)(params)).any()
    assert np.isnan(f(np.array([np.inf, 0.1, 0.2])))
    both_params = np.stack([params, np.zeros(3)])
    both = f(both_params)
    assert np.isnan(both[0]) and np.isfinite(both[1])  # the rest of a batch is unharmed
    deep = CIRCUITS["deep"]
    assert np.isnan(qj.expectation(deep, "ZZ")([np.nan, 0.1]))
    assert (qj.sample(circuit, 5)(both_params, jax.random.key(0))[0] == -1).all()  # there is nothing to draw from


def test_what_does_not_fit_is_refused():
    wide = QuantumCircuit(40)
    wide.h(3)
    with pytest.raises(ValueError, match="statevector of 40 qubits does not fit.*probabilities"):
        qj.statevector(wide)
    with pytest.raises(ValueError, match="unitary matrix of 16 qubits does not fit.*statevector"):
        qj.unitary(QuantumCircuit(16))
    with pytest.raises(ValueError, match="distribution of 40 qubits does not fit.*Name fewer"):
        qj.probabilities(wide)
    with pytest.raises(ValueError, match="distribution of 40 qubits does not fit.*Measure fewer"):
        qj.sample(wide, 10)
    close(qj.probabilities(wide, [39, 3])([]), [0.5, 0, 0.5, 0], atol=1e-6)
    wide.h(range(31))
    with pytest.raises(ValueError, match="simulation of 31 qubits does not fit"):
        qj.expectation(wide, "Z" * 40)


# Equality and traces.


def builders(circuit: QuantumCircuit) -> list[Callable]:
    return [
        qj.statevector(circuit),
        qj.unitary(circuit),
        qj.probabilities(circuit, [1, 0]),
        qj.expectation(circuit, {"ZZZ": 0.5, "XXX": 1.0}),
        qj.expectation(circuit, ["ZZZ"]),
        qj.sample(circuit, 7),
        qj.metric_tensor(circuit),
    ]


def test_builders_are_values():
    one, two = builders(circuits()["complex"]), builders(circuits()["complex"])
    assert one == two and [hash(f) for f in one] == [hash(f) for f in two]
    assert len({*one, *two}) == len(one)  # and different ones differ
    other = circuits()["complex"]
    other.x(0)
    assert not set(builders(other)) & set(one)
    assert qj.probabilities(other, [0, 1]) != qj.probabilities(other, [1, 0])
    assert qj.expectation(other, "ZZZ") != qj.expectation(other, ["ZZZ"])
    with pytest.raises(AttributeError):
        one[0].program = None


def test_equal_builders_share_one_trace(monkeypatch):
    traces = []
    original = amplitudes.Statevector._of
    monkeypatch.setattr(amplitudes.Statevector, "_of", lambda self, p: traces.append(p.shape) or original(self, p))
    fresh = Parameter("only in this test")

    def build() -> Callable:
        circuit = QuantumCircuit(2, name=str(len(traces)))
        circuit.ry(Parameter(fresh.name), 0)
        return qj.statevector(circuit, compile=True)

    for _ in range(3):
        for value in ([0.1], np.float32([0.2]), jnp.array([0.3])):
            build()(value)
    assert traces == [(1,)]
    jax.jit(build())(np.float32([0.3]))
    assert len(traces) == 1  # inside another jit, the trace is used again
    build()(np.zeros((4, 1), np.float32))
    build()(np.ones((4, 1)))
    assert len(traces) == 2  # one more for another shape
    f = build()
    assert f._run is build()._run and f._run._cache_size() >= 2


def test_copies_are_equal_and_share_the_trace():
    for f in builders(CIRCUITS["complex"]):
        for g in (copy.copy(f), copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
            assert g == f and hash(g) == hash(f) and g._run is f._run
    params = point(CIRCUITS["complex"])
    f = qj.statevector(CIRCUITS["complex"])
    close(pickle.loads(pickle.dumps(f))(params), f(params))


def test_a_pickle_from_another_process_is_equal(tmp_path):  # where strings have other hashes
    code = """if True:
        import pathlib, pickle, sys, qmljax as qj
        from qiskit import QuantumCircuit
        from qiskit.circuit import Parameter
        circuit = QuantumCircuit(2)
        circuit.ry(Parameter("t"), 0)
        f = qj.expectation(circuit, "ZZ")
        hash(f)
        pathlib.Path(sys.argv[1]).write_bytes(pickle.dumps(f))
    """
    subprocess.run([sys.executable, "-c", code, tmp_path / "f"], check=True)
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("t"), 0)
    f, loaded = qj.expectation(circuit, "ZZ"), pickle.loads((tmp_path / "f").read_bytes())
    assert loaded == f and hash(loaded) == hash(f) and loaded._run is f._run


# Probabilities.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("qubits", [None, [0], [2], [0, 1], [1, 0], [2, 0, 1], [2, 1, 0], []], ids=str)
def test_marginals_are_those_of_qiskit(qubits):
    circuit = CIRCUITS["complex"]
    params = point(circuit, 2)
    f = qj.probabilities(circuit, qubits)
    expected = [Statevector(circuit.assign_parameters(p)).probabilities(qubits) for p in params]
    close(f(params), np.reshape(expected, (2, -1)))
    close(f(params[0]), np.ravel(expected[0]))


@pytest.mark.usefixtures("x64")
def test_marginals_of_idle_qubits():
    circuit, small = QuantumCircuit(50, 2), QuantumCircuit(2)
    for c, a, b in ((circuit, 10, 40), (small, 0, 1)):
        c.rx(0.7, a)
        c.cry(1.1, a, b)
    circuit.measure([40, 10], [0, 1])  # not read
    p = Statevector(small).probabilities().reshape(2, 2)  # of qubits 40, 10
    expected = np.zeros((2, 2, 2, 2))  # of qubits 10, 3, 40, 49; qubits[0] is the lowest bit
    expected[:, 0, :, 0] = p.T
    close(qj.probabilities(circuit, [49, 40, 3, 10])([]), expected.ravel())


@pytest.mark.parametrize("qubits", [[0, 0], [3], [-1], [0, 7]], ids=str)
def test_wrong_qubits_are_refused(qubits):
    with pytest.raises(ValueError, match=r"`qubits` must be different qubits between 0 and 2, but is \["):
        qj.probabilities(CIRCUITS["complex"], qubits)


# Samples.


def frequencies(outcomes, size: int) -> np.ndarray:
    return np.bincount(np.ravel(outcomes), minlength=size)


def assert_drawn_from(outcomes, p: np.ndarray) -> None:
    """Chi-square, 6 standard deviations; and no outcome of probability zero."""
    counts, shots = frequencies(outcomes, len(p)), np.size(outcomes)
    possible = p > 1e-12
    assert len(counts) == len(p) and not counts[~possible].any()
    chi2 = ((counts - shots * p)[possible] ** 2 / (shots * p[possible])).sum()
    freedom = possible.sum() - 1
    assert chi2 <= freedom + 6 * np.sqrt(2 * freedom) + 6


@pytest.mark.parametrize("name", SOME)
def test_samples_have_the_distribution(name):
    circuit = CIRCUITS[name]
    params = point(circuit, 2)
    f = qj.sample(circuit, 20_000)
    outcomes = f(params, jax.random.key(1))
    assert outcomes.shape == (2, 20_000) and outcomes.dtype == np.int32
    for each, psi in zip(outcomes, state(circuit, params), strict=True):
        assert_drawn_from(each, abs(psi) ** 2)
    assert f(params[0], jax.random.key(1)).shape == (20_000,)
    assert f(params[None], jax.random.key(1)).shape == (1, 2, 20_000)


def test_samples_of_measured_bits():
    circuit = QuantumCircuit(3, 4)
    circuit.ry(0.9, 2)
    circuit.cx(2, 0)
    circuit.x(1)
    circuit.measure(1, 0)
    circuit.measure(2, 1)
    circuit.measure(1, 3)  # a qubit read twice; classical bit 2 is not written
    p = np.zeros(8)  # bits: qubit 1, qubit 2, qubit 1
    p[0b101], p[0b111] = np.cos(0.45) ** 2, np.sin(0.45) ** 2
    assert_drawn_from(qj.sample(circuit, 10_000)([], jax.random.key(2)), p)


def test_keys():
    f = qj.sample(CIRCUITS["complex"], 50)
    params, key = point(CIRCUITS["complex"]), jax.random.key(3)
    same, other = f(params, key), f(params, jax.random.key(4))
    assert (same == f(params, key)).all() and (same != other).any()
    assert (f(params, jax.random.PRNGKey(3)) == same).all()  # keys of the old kind
    batch = jax.vmap(f, (None, 0))(params, jax.random.split(key, 3))
    assert batch.shape == (3, 50) and (batch[0] != batch[1]).any()
    twice = f(np.stack([params, params]), key)
    assert (twice[0] != twice[1]).any()  # elements of a batch are independent
    with pytest.raises(TypeError):
        f(params)
    with pytest.raises(TypeError):
        f(params, None)


def test_every_bit_of_24_qubits_is_fair():
    """H on each: bits and pairs of bits are 1 half and a quarter of the time, to 5 standard deviations."""
    circuit = QuantumCircuit(24)
    circuit.h(range(24))
    outcomes = np.asarray(qj.sample(circuit, 40_000)([], jax.random.key(0)))
    bits = outcomes >> np.arange(24)[:, None] & 1
    assert abs(bits.mean(axis=1) - 0.5).max() < 5 * 0.5 / 200
    both = (bits.astype(float) @ bits.T / 40_000)[np.triu_indices(24, 1)]
    assert abs(both - 0.25).max() < 5 * np.sqrt(0.25 * 0.75) / 200


@pytest.mark.parametrize("shots", [0, -1, 1.5, True, None, "3"])
def test_shots_are_a_positive_integer(shots):
    with pytest.raises(ValueError, match="`shots` must be an integer from 1 on"):
        qj.sample(CIRCUITS["complex"], shots)
    assert qj.sample(CIRCUITS["complex"], np.int64(3)).shots == 3


def test_outcomes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`shots` must be at most 2\*\*30.*but is 1000000000000000000. Draw them in"):
        qj.sample(CIRCUITS["complex"], 10**18)
    f = qj.sample(CIRCUITS["complex"], 1 << 30)
    with pytest.raises(ValueError, match="2 rows of `params` times 1073741824 `shots` are too many"):
        f(point(CIRCUITS["complex"], 2), jax.random.key(0))


def test_several_keys_are_refused():
    f, params = qj.sample(CIRCUITS["complex"], 3), point(CIRCUITS["complex"], 2)
    for keys in (jax.random.split(jax.random.key(0), 2), jax.random.split(jax.random.PRNGKey(0), 2)):
        with pytest.raises(
            ValueError, match=r"`key` must be a single JAX random key, but is .*Use jax.vmap for several"
        ):
            f(params, keys)
        assert jax.vmap(f)(params, keys).shape == (2, 3)


# The metric tensor.


def test_metric_tensor_closed_forms():
    t = ParameterVector("t", 2)
    circuit = QuantumCircuit(1)  # the Bloch sphere: (d theta^2 + sin(theta)^2 d phi^2) / 4
    circuit.ry(t[0], 0)
    circuit.rz(t[1], 0)
    theta = np.float32([0.7, 1.9])
    expected = [np.diag([0.25, np.sin(x) ** 2 / 4]) for x in theta]
    close(qj.metric_tensor(circuit)(np.stack([theta, theta], 1)), np.stack(expected), atol=1e-6)
    product = QuantumCircuit(2)
    product.ry(t[0], 0)
    product.ry(t[1], 1)
    close(qj.metric_tensor(product)([0.3, 0.4]), np.eye(2) / 4, atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("circuit", [*CIRCUITS.values(), efficient_su2(2, reps=8)], ids=[*CIRCUITS, "a loop"])
def test_metric_tensor_is_that_of_finite_differences(circuit):
    params = point(circuit, 2)
    f = qj.metric_tensor(circuit)
    metric = np.asarray(f(params))
    for g, p in zip(metric, params, strict=True):
        psi, d = state(circuit, p), differences(lambda x: state(circuit, x), p, 1e-5)
        overlap = d.conj() @ psi
        close(g, (d.conj() @ d.T - np.outer(overlap, overlap.conj())).real, atol=1e-6)
        close(g, g.T)
        assert not g.size or np.linalg.eigvalsh(g).min() > -1e-12
    close(f(params[0]), metric[0])
    assert f(params[None, None]).shape == (1, 1, *metric.shape)
    close(jax.vmap(f)(params), metric)


@pytest.mark.usefixtures("x64")
def test_metric_tensor_is_differentiable():
    circuit = CIRCUITS["complex"]
    f, params = qj.metric_tensor(circuit), point(circuit)
    expected = np.moveaxis(differences(lambda p: np.asarray(f(p)), params, 1e-5), 0, -1)
    close(jax.jacfwd(f)(params), expected, atol=1e-8)
    close(jax.jacrev(f)(params), expected, atol=1e-8)


@pytest.mark.parametrize("key", [None, 7])
def test_a_missing_key_is_refused(key):
    with pytest.raises(TypeError, match=r"`key` must be a JAX random key, such as jax.random.key\(0\)"):
        qj.sample(QuantumCircuit(1), 5)([], key)


def test_gradients_within_a_budget_of_memory():
    circuit, weights = QuantumCircuit(4), ParameterVector("w", 80)
    for k in range(20):
        for q in range(4):
            circuit.rx(weights[4 * k + q], q)
            circuit.cx(q, (q + 1) % 4)
    w = np.random.default_rng(0).normal(size=(2, len(weights)))
    with jax.enable_x64(True):
        results = []
        for memory in (0, 1 << 30):
            f = qj.expectation(circuit, ["ZZII", "XIYI"], memory=memory)
            assert ("qmljax_evolve" in str(jax.make_jaxpr(f)(w))) == (memory == 0)
            p = qj.probabilities(circuit, memory=memory)
            results.append((jax.jacobian(f)(w), jax.jacobian(p)(w[0]), jax.hessian(f)(w[0])))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12), *results)


@pytest.mark.parametrize("depth", [10, 40])
def test_the_adjoint_method_needs_few_states_at_any_depth(depth):
    n = 12
    circuit, weights = QuantumCircuit(n), ParameterVector("w", depth * n)
    for k in range(depth):
        for q in range(n):
            circuit.rx(weights[n * k + q], q)
        for q in range(n):
            circuit.cx(q, (q + 1) % n)
    f = qj.expectation(circuit, "Z" * n, memory=0)
    compiled = jax.jit(jax.grad(f)).lower(np.zeros(len(weights), np.float32)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 10 * (8 << n)


@pytest.mark.parametrize("memory", [-1, 0.5, "1 GiB", True, None])
@pytest.mark.parametrize("build", [qj.statevector, qj.unitary, qj.probabilities, qj.fidelity_kernel])
def test_memory_is_a_number_of_bytes(memory, build):
    with pytest.raises(ValueError, match="`memory` must be a number of bytes"):
        build(QuantumCircuit(1), memory=memory)
