"""Kernels. Oracles: closed forms, overlaps of Qiskit's `Statevector`s, and central differences of them."""

import functools
import pickle
import re
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy import ndarray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import pauli_feature_map, z_feature_map, zz_feature_map
from qiskit.quantum_info import Pauli, Statevector, partial_trace

import qmljax as qj
from qmljax._models.kernels import overlaps


def angles(n: int = 2) -> QuantumCircuit:
    """RY(x[k]) on qubit k: the kernel is the product of cos((x[k] - y[k]) / 2)**2."""
    circuit = QuantumCircuit(n)
    for k, x in enumerate(ParameterVector("x", n)):
        circuit.ry(x, k)
    return circuit


def entangled() -> QuantumCircuit:
    """A state that stays real, with every feature twice."""
    layer = angles(3)
    circuit = layer.copy()
    circuit.cx(0, 1), circuit.cz(1, 2)
    return circuit.compose(layer)


def trainable() -> QuantumCircuit:
    """Weights `a` and `w`, whose names stand before and after those of the features."""
    layer, a, w = angles(2), Parameter("a"), Parameter("w")
    circuit = layer.copy()
    circuit.rz(a * layer.parameters[0], 0), circuit.cx(0, 1), circuit.rx(w, 1), circuit.ry(a + w, 0)
    return circuit.compose(layer)


def constant() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    return circuit


MAPS: dict[str, tuple[Callable[[], QuantumCircuit], tuple[str, ...]]] = {  # the feature map, and its weights
    "angles": (angles, ()),
    "entangled": (entangled, ()),
    "z": (lambda: z_feature_map(2, reps=2), ()),
    "zz": (lambda: zz_feature_map(3, reps=2, entanglement="linear"), ()),
    "pauli": (lambda: pauli_feature_map(2, reps=1, paulis=["Z", "YY"]), ()),
    "trainable": (trainable, ("w", "a")),
    "constant": (constant, ()),
}


def points(kernel: Any, count: int, seed: int = 0, dtype: str = "float32") -> ndarray:
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (count, kernel.num_features)).astype(dtype)


def given(kernel: Any, dtype: str = "float32") -> dict[str, ndarray]:
    return {"weights": np.linspace(0.4, -0.7, kernel.num_weights).astype(dtype)} if kernel.num_weights else {}


def oracle(name: str, x: ndarray, y: ndarray, weights: ndarray = ()) -> ndarray:
    make, trained = MAPS[name]
    circuit = make()

    def states(points: ndarray) -> ndarray:
        fixed = dict(zip(trained, map(float, weights), strict=True))
        features = [p.name for p in circuit.parameters if p.name not in trained]
        values = [fixed | dict(zip(features, map(float, row), strict=True)) for row in points]
        bound = [circuit.assign_parameters({p: v[p.name] for p in circuit.parameters}) for v in values]
        return np.stack([Statevector(c).data for c in bound])

    return np.abs(states(x).conj() @ states(y).T) ** 2


def derivative(f: Callable[[ndarray], ndarray], at: ndarray, h: float = 1e-5) -> ndarray:
    """Central differences: out + at.shape."""
    steps = np.eye(at.size).reshape(at.size, *at.shape)
    columns = [(f(at + h * e) - f(at - h * e)) / (2 * h) for e in steps]
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *at.shape)


@pytest.fixture(params=MAPS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def build(name: str, **options: Any) -> Any:
    make, weights = MAPS[name]
    return qj.fidelity_kernel(make(), weights=weights, **options)


def test_entries_are_qiskits_overlaps(name):
    kernel = build(name)
    x, y, weights = points(kernel, 5), points(kernel, 5, 1), given(kernel)
    gram, cross = kernel(x, **weights), kernel(x, y, **weights)
    assert gram.dtype == cross.dtype == np.float32 and gram.shape == cross.shape == (5, 5)
    np.testing.assert_allclose(gram, oracle(name, x, x, *weights.values()), rtol=0, atol=5e-6)
    np.testing.assert_allclose(cross, oracle(name, x, y, *weights.values()), rtol=0, atol=5e-6)
    np.testing.assert_allclose(kernel(y, x, **weights), cross.T, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_in_double_precision(name):
    kernel = build(name)
    x, y, weights = points(kernel, 3, 0, "float64"), points(kernel, 2, 1, "float64"), given(kernel, "float64")
    cross = kernel(x, y, **weights)
    assert cross.dtype == np.float64
    np.testing.assert_allclose(cross, oracle(name, x, y, *weights.values()), rtol=0, atol=1e-12)


FEATURE_MAPS = {
    "z": z_feature_map,
    "zz": zz_feature_map,
    "pauli": functools.partial(pauli_feature_map, paulis=["X", "ZY", "Z"]),
}


@pytest.mark.parametrize("entanglement", ["full", "linear", "circular"])
@pytest.mark.parametrize("n", range(2, 7))
@pytest.mark.parametrize("kind", FEATURE_MAPS)
def test_feature_maps_of_any_entanglement(kind, n, entanglement):
    """Against Qiskit's states and, where it is installed, the kernels of Qiskit Machine Learning."""
    options = {} if kind == "z" else {"entanglement": entanglement}
    circuit = FEATURE_MAPS[kind](n, reps=2, **options)
    x, y = np.random.default_rng(n).uniform(-1, 1, (2, 4, n)).astype(np.float32)
    kernel = qj.fidelity_kernel(circuit)
    states = [np.array([Statevector(circuit.assign_parameters(p.astype(float))).data for p in z]) for z in (x, y)]
    np.testing.assert_allclose(kernel(x, y), abs(states[0].conj() @ states[1].T) ** 2, atol=2e-6)
    np.testing.assert_allclose(kernel(x), abs(states[0].conj() @ states[0].T) ** 2, atol=2e-6)
    try:
        from qiskit_machine_learning.kernels import FidelityQuantumKernel, FidelityStatevectorKernel
    except ImportError:
        return
    with jax.enable_x64(True):
        for theirs in (FidelityStatevectorKernel(feature_map=circuit), FidelityQuantumKernel(feature_map=circuit)):
            np.testing.assert_allclose(kernel(x.astype(float), y.astype(float)), theirs.evaluate(x, y), atol=1e-6)


def test_closed_form():
    x, y = np.random.default_rng(1).uniform(-4, 4, (2, 5, 2)).astype("float32")
    expected = np.prod(np.cos((x[:, None] - y[None]) / 2) ** 2, axis=-1)
    np.testing.assert_allclose(build("angles")(x, y), expected, rtol=0, atol=1e-6)


def test_laws_of_a_gram_matrix(name):
    """Symmetric and of unit diagonal to the bit, entries in [0, 1], positive semidefinite; also with equal points."""
    kernel = build(name)
    x = np.concatenate([points(kernel, 20), points(kernel, 10)])  # the last 10 are the first 10 again
    gram = np.asarray(kernel(x, **given(kernel)))
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_array_equal(np.diag(gram), 1)
    assert gram.min() >= 0 and gram.max() <= 1
    assert np.linalg.eigvalsh(gram.astype(float)).min() > -1e-6
    cross = np.asarray(kernel(x, x, **given(kernel)))
    assert cross.min() >= 0 and cross.max() <= 1
    np.testing.assert_allclose(cross, gram, rtol=0, atol=6e-7)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["entangled", "zz", "trainable"])
def test_derivatives_are_differences_of_qiskits_overlaps(name):
    kernel = build(name)
    x, y, weights = points(kernel, 2, 0, "float64"), points(kernel, 2, 1, "float64"), given(kernel, "float64")
    w = weights.get("weights", np.zeros(0))
    of = jax.jit(jax.jacrev(lambda x, y, w: kernel(x, y, weights=w), (0, 1, 2)))(x, y, w)
    expected = (
        derivative(lambda v: oracle(name, v, y, w), x),
        derivative(lambda v: oracle(name, x, v, w), y),
        derivative(lambda v: oracle(name, x, y, v), w) if w.size else np.zeros((2, 2, 0)),
    )
    for ours, difference in zip(of, expected, strict=True):
        np.testing.assert_allclose(ours, difference, rtol=0, atol=1e-6)
    gram = jax.jit(jax.jacrev(lambda x, w: kernel(x, weights=w), (0, 1)))(x, w)
    np.testing.assert_allclose(gram[0], derivative(lambda v: oracle(name, v, v, w), x), rtol=0, atol=1e-6)
    if w.size:
        np.testing.assert_allclose(gram[1], derivative(lambda v: oracle(name, x, x, v), w), rtol=0, atol=1e-6)
    forward = jax.jit(jax.jacfwd(lambda x, w: kernel(x, weights=w), (0, 1)))(x, w)
    for a, b in zip(forward, gram, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_second_derivatives_at_equal_points():
    """k = cos((x - y) / 2)**2 has k'' = -1/2 at x = y, also where rounding takes k above 1."""
    kernel = qj.fidelity_kernel(angles(1))
    at = np.linspace(-3, 3, 21, dtype="float32")
    k = lambda x, y: kernel(x[None, None], y[None, None])[0, 0]  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(k)))(at, at), 0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(jax.grad(k))))(at, at), -0.5, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 3), (3, 1), (0, 2), (2, 0), (0, 0)])
def test_few_points_and_none(n, m):
    kernel = build("zz")
    x, y = points(kernel, n), points(kernel, m, 1)
    assert kernel(x, y).shape == (n, m) and kernel(x).shape == (n, n)
    if n and m:
        np.testing.assert_allclose(kernel(x, y), oracle("zz", x, y), rtol=0, atol=5e-6)
    if n == 1:
        np.testing.assert_array_equal(kernel(x), [[1]])


@pytest.mark.parametrize("columns", [None, 3, 7])
@pytest.mark.parametrize("memory", [0, 1200, 3000])
def test_tiles_are_the_whole_matrix(memory, columns):
    rng = np.random.default_rng(3)
    x, w, out = rng.normal(size=(11, 2)), rng.normal(size=2), rng.normal(size=(11, columns or 11))
    y = None if columns is None else rng.normal(size=(columns, 2))
    with jax.enable_x64(True):
        results = []
        for kernel in (qj.fidelity_kernel(trainable(), weights=("w", "a"), memory=m) for m in (memory, 1 << 30)):

            def loss(x, w, kernel=kernel):
                return jnp.sum(out * kernel(x, y, weights=w))

            gram = kernel(x, y, weights=w)
            if y is None:
                assert (gram == gram.T).all() and (jnp.diagonal(gram) == 1).all()
            results.append((gram, jax.grad(loss, (0, 1))(x, w), jax.jvp(loss, (x, w), (x, w))))
            loops = str(jax.make_jaxpr(kernel)(x, y, weights=w)).count("scan[")
            assert (loops > 0) == (kernel.memory == memory)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *results)


@pytest.mark.parametrize("kind", ["fidelity", "local", "projected"])
def test_progress_counts_the_parts(kind, capsys):
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    feature_map = zz_feature_map(2)
    make = qj.projected_kernel if kind == "projected" else functools.partial(qj.fidelity_kernel, local=kind == "local")
    quiet, loud = make(feature_map, memory=600), make(feature_map, memory=600, progress=True)
    for _ in range(2):  # the second call is compiled
        np.testing.assert_allclose(loud(x), quiet(x), rtol=0, atol=1e-5)
        jax.effects_barrier()
        parts = {"fidelity": 10, "local": 7, "projected": 4}[kind]
        assert f"{parts}/{parts}" in capsys.readouterr().err


def test_progress_needs_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    for make in (qj.fidelity_kernel, qj.projected_kernel):
        with pytest.raises(ImportError, match=r"pip install 'qmljax\[progress\]'"):
            make(zz_feature_map(2), progress=True)


def test_under_vmap_and_jit():
    kernel = build("trainable")
    x, weights = points(kernel, 6).reshape(2, 3, 2), np.float32([[0.1, 0.2], [-0.3, 0.4]])
    each = np.stack([kernel(a, weights=w) for a, w in zip(x, weights, strict=True)])
    mapped = jax.jit(jax.vmap(lambda a, w: kernel(a, weights=w)))(x, weights)
    np.testing.assert_allclose(mapped, each, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.diagonal(mapped, axis1=1, axis2=2), 1)


@pytest.mark.parametrize("make", [qj.fidelity_kernel, functools.partial(qj.projected_kernel, gamma=100.0)])
def test_equal_points_are_exactly_equal(make):
    """Also off the diagonal, in tiles, and with shots; derivatives are those without the correction."""
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x[7] = x[30]
    y = x[::-1].copy()
    circuit = zz_feature_map(3)
    for memory in (2000, 1 << 29):
        kernel = make(circuit, memory=memory)
        equal = (x[:, None] == y[None]).all(axis=-1)
        assert equal.sum() == 42 and (np.asarray(kernel(x, y)) == 1)[equal].all()
        gram = np.asarray(kernel(x))
        assert gram[7, 30] == gram[30, 7] == 1 and (gram == gram.T).all()
        assert (np.asarray(kernel(x, y))[~equal] != 1).all()
    if make is qj.fidelity_kernel:
        noisy = np.asarray(qj.fidelity_kernel(circuit, backend=qj.Shots(10**6, jax.random.key(0)))(x, y))
        assert (noisy[equal] == 1).all()


@pytest.mark.parametrize("n, m", [(0, 2), (2, 0), (0, 0)])
def test_no_points_in_tiles(n, m):
    kernel = qj.fidelity_kernel(zz_feature_map(2), memory=0)
    assert kernel(np.zeros((n, 2)), np.zeros((m, 2))).shape == (n, m)


@pytest.mark.parametrize("gamma", [-1.0, np.nan, np.inf, np.arange(5.0), "scale"])
def test_what_gamma_is_not(gamma):
    kernel = qj.projected_kernel(zz_feature_map(2))
    for call in (
        lambda: kernel(np.zeros((5, 2)), gamma=gamma),
        lambda: qj.projected_kernel(zz_feature_map(2), gamma=gamma),
    ):
        with pytest.raises(ValueError, match="`gamma` must be a finite number"):
            call()


def test_what_is_nan_stays_nan():
    kernel = build("angles")
    x = np.float32([[0, 1], [np.nan, 0], [1, 1]])
    bad = np.zeros((3, 3), bool)
    bad[1] = bad[:, 1] = True
    for gram in (kernel(x), kernel(x, x)):
        np.testing.assert_array_equal(np.isnan(gram), bad)


@pytest.mark.usefixtures("x64", "standard_promotion")
def test_dtype_is_the_widest_one():
    kernel = build("trainable")
    for dtypes in [(4, 4, 4), (4, 8, 4), (4, 4, 8)]:
        x, y, w = (np.ones(shape, f"f{d}") for shape, d in zip([(2, 2), (1, 2), (2,)], dtypes, strict=True))
        assert kernel(x, y, weights=w).dtype == f"f{max(dtypes)}"
    assert build("angles", backend=Backend())(np.ones((1, 2), "f4"), np.ones((1, 2), "f8")).dtype == "f8"
    assert kernel([[0, 1]], weights=[1, 2]).dtype == np.float64


def test_idle_qubits_cost_nothing():
    circuit = QuantumCircuit(100)
    circuit.ry(Parameter("x"), 73)
    gram = qj.fidelity_kernel(circuit)(np.float32([[0.0], [0.8]]))
    np.testing.assert_allclose(gram, [[1, np.cos(0.4) ** 2], [np.cos(0.4) ** 2, 1]], rtol=0, atol=1e-6)


def test_features_are_in_the_order_of_the_circuit():
    circuit, b, a = QuantumCircuit(1), Parameter("b"), Parameter("a")
    circuit.ry(b, 0), circuit.ry(2 * a, 0)  # sorted by name: a, b
    assert qj.parse(circuit).parameters == ("a", "b")
    gram = qj.fidelity_kernel(circuit)(np.float32([[0.5, 0.1]]), np.zeros((1, 2), "float32"))
    np.testing.assert_allclose(gram, [[np.cos(0.55) ** 2]], rtol=0, atol=1e-6)


def test_equal_kernels_share_one_trace(monkeypatch):
    traces = []
    fidelities = overlaps._fidelities
    monkeypatch.setattr(overlaps, "_fidelities", lambda *states: traces.append(1) or fidelities(*states))

    def make() -> Any:
        circuit, a = trainable(), Parameter("u")
        circuit.rx(a + 0.777, 0)
        return qj.fidelity_kernel(circuit, weights=["a", "w", a], compile=True)

    first, second = make(), make()
    copy = pickle.loads(pickle.dumps(first))
    assert first == second == copy and hash(first) == hash(second) == hash(copy)
    grams = [k(points(k, 4), **given(k)) for k in (first, second, copy)]
    assert len(traces) == 1
    np.testing.assert_array_equal(grams[0], grams[1])
    np.testing.assert_array_equal(grams[0], grams[2])
    assert qj.fidelity_kernel(trainable(), weights=["a", "w"]) != qj.fidelity_kernel(trainable(), weights=["w", "a"])


TWO = np.zeros(2)
FOUR = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("points", "weights", "error", "match"),
    [
        ([np.zeros((4, 3))], TWO, ValueError, "`x` must have 2 elements in its last axis, one for each of x[0], x[1]"),
        ([TWO], TWO[None, None], ValueError, "`weights` must have shape (2,), but has shape (1, 1, 2)"),
        ([np.zeros((2, 2, 2))], TWO, ValueError, "but has shape (2, 2, 2)"),
        ([[]], TWO, ValueError, "but has shape (0,)"),
        ([FOUR, np.zeros((4, 1))], TWO, ValueError, "`y` must have 2 elements"),
        ([FOUR, TWO[None, None]], TWO, ValueError, "`y` must have shape (N, 2)"),
        ([FOUR], None, ValueError, "has weights, w, a: pass `weights=` of shape (2,)"),
        ([FOUR], np.zeros(3), ValueError, "one for each of w, a, but has shape (3,)"),
        ([FOUR], np.zeros((1, 2)), ValueError, "`weights` must have shape (2,), but has shape (1, 2)"),
        ([FOUR + 0j], TWO, TypeError, "`x` must hold real numbers, but has dtype complex128"),
        ([], TWO, TypeError, "'x'"),
    ],
)
def test_what_a_kernel_is_not_called_with(points, weights, error, match):
    with pytest.raises(error, match=re.escape(match)):
        build("trainable")(*points, weights=weights)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (["q"], "`weights` names 'q', which is no parameter of the circuit. It has ['a', 'w', 'x[0]', 'x[1]']"),
        (["a", "a"], "`weights` names 'a' more than once"),
    ],
)
def test_what_a_kernel_is_not_made_of(weights, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        qj.fidelity_kernel(trainable(), weights=weights)


def test_weights_where_there_are_none():
    kernel = build("angles")
    np.testing.assert_array_equal(kernel(np.zeros((1, 2)), weights=[]), [[1]])
    with pytest.raises(ValueError, match="there are none to set"):
        kernel(np.zeros((1, 2)), weights=[0.1])


class Backend:
    """Measures fidelities one pair at a time; remembers how many pairs were asked for."""

    def __init__(self) -> None:
        self.pairs: list[int] = []

    def fidelity(self, circuit: Any) -> Callable:
        state = qj.statevector(circuit)

        def fidelity(left: Any, right: Any) -> Any:
            self.pairs.append(len(left))
            return jnp.abs(jnp.sum(jnp.conj(state(left)) * state(right), axis=-1)) ** 2

        return fidelity


@pytest.mark.parametrize("name", ["angles", "zz", "trainable", "constant"])
def test_a_backend_gives_what_the_simulator_gives(name):
    backend = Backend()
    kernel, other = build(name), build(name, backend=backend)
    x, y, weights = points(kernel, 4), points(kernel, 3, 1), given(kernel)
    gram = np.asarray(other(x, **weights))
    np.testing.assert_allclose(gram, kernel(x, **weights), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(gram, gram.T)
    np.testing.assert_array_equal(np.diag(gram), 1)
    np.testing.assert_allclose(other(x, y, **weights), kernel(x, y, **weights), rtol=0, atol=1e-6)
    assert backend.pairs == [4 * 3 // 2, 4 * 3]  # half of the symmetric matrix


@pytest.mark.usefixtures("x64", "standard_promotion")
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_gradients_pass_through_a_backend(dtype):
    kernel, other = build("trainable"), build("trainable", backend=Backend())
    x, w = points(kernel, 3, 0, "float64"), given(kernel, "float64")["weights"]
    y = None if dtype is None else points(kernel, 2, 1, dtype)
    gradients = [jax.jit(jax.grad(lambda x, w, k=k: jnp.sum(k(x, y, weights=w) ** 2), (0, 1))) for k in (kernel, other)]
    for a, b in zip(*(of(x, w) for of in gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


# Projected kernels.


def paulis(circuit: QuantumCircuit, points: ndarray, labels: list[str]) -> ndarray:
    states = [Statevector(circuit.assign_parameters(point)) for point in points]
    return np.array([[psi.expectation_value(Pauli(label)).real for label in labels] for psi in states])


ONE = ["IIX", "IIY", "IIZ", "IXI", "IYI", "IZI", "XII", "YII", "ZII"]


def test_projected_kernels_are_functions_of_qiskits_expectation_values():
    circuit = MAPS["zz"][0]()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    left, right = paulis(circuit, x, ONE), paulis(circuit, y, ONE)
    distances = ((left[:, None] - right[None]) ** 2).sum(axis=-1)
    with jax.enable_x64(True):
        kernel = qj.projected_kernel(circuit, gamma=0.7)
        np.testing.assert_allclose(kernel(x, y), np.exp(-0.7 * distances), atol=1e-10)
        np.testing.assert_allclose(kernel(x, y, gamma=0.2), np.exp(-0.2 * distances), atol=1e-10)
        np.testing.assert_allclose(kernel.projections(x), left, atol=1e-10)
        slope = jax.grad(lambda g: kernel(x, y, gamma=g).sum())(0.2)
        np.testing.assert_allclose(slope, -(distances * np.exp(-0.2 * distances)).sum(), rtol=1e-10)
        np.testing.assert_allclose(qj.projected_kernel(circuit, gamma=None)(x, y), left @ right.T, atol=1e-10)
        some = qj.projected_kernel(circuit, observables=["XXI", {"ZZZ": 0.5, "IIY": 1.0}], gamma=1.0)
        a, b, c = paulis(circuit, x, ["XXI", "ZZZ", "IIY"]).T
        np.testing.assert_allclose(some.projections(x), np.stack([a, b / 2 + c], axis=1), atol=1e-10)
        gram = kernel(x)
        assert (gram == gram.T).all() and (jnp.diagonal(gram) == 1).all()
        np.testing.assert_allclose(gram, kernel(x, x), atol=1e-10)


def test_projections_are_reduced_density_matrices():
    circuit = MAPS["zz"][0]()
    x = np.random.default_rng(1).normal(size=(2, 3))
    one, two = (qj.projected_kernel(circuit, observables=k).projections(x) for k in (1, 2))
    assert one.shape == (2, 9) and two.shape == (2, 9 + 27)
    rho = [
        [
            partial_trace(Statevector(circuit.assign_parameters(p)), [r for r in range(3) if r != q]).data
            for q in range(3)
        ]
        for p in x
    ]
    expected = (abs(np.subtract(*rho)) ** 2).sum()
    np.testing.assert_allclose(((one[0] - one[1]) ** 2).sum() / 2, expected, rtol=1e-4)
    np.testing.assert_allclose(two[:, :9], one, atol=1e-6)


def test_projected_kernels_train_and_differentiate():
    circuit, weights = MAPS["trainable"][0](), MAPS["trainable"][1]
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(4, 2)), rng.normal(size=2)
    with jax.enable_x64(True):
        kernel = qj.projected_kernel(circuit, weights=weights, gamma=0.3)
        out = rng.normal(size=(4, 4))

        def loss(x, w):
            return jnp.sum(out * kernel(x, weights=w))

        slopes = jax.grad(loss, (0, 1))(x, w)
        for value, slope, k in ((x, slopes[0], 0), (w, slopes[1], 1)):
            for index in np.ndindex(value.shape):
                change = np.zeros_like(value)
                change[index] = 1e-5
                plus, minus = ((x + s * change, w) if k == 0 else (x, w + s * change) for s in (1, -1))
                np.testing.assert_allclose(slope[index], (loss(*plus) - loss(*minus)) / 2e-5, atol=1e-6)
        small = qj.projected_kernel(circuit, weights=weights, gamma=0.3, memory=0)  # one state at a time
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12),
            (kernel(x, weights=w), slopes),
            (small(x, weights=w), jax.grad(lambda x, w: jnp.sum(out * small(x, weights=w)), (0, 1))(x, w)),
        )


def test_idle_qubits_of_projected_kernels():
    circuit = QuantumCircuit(40)
    circuit.ry(Parameter("x"), 7)
    projections = qj.projected_kernel(circuit).projections([[0.3]])
    assert projections.shape == (1, 120)
    np.testing.assert_allclose(projections[0, 21:24], [np.sin(0.3), 0, np.cos(0.3)], atol=1e-6)
    np.testing.assert_allclose(np.asarray(projections)[0, 2::3][[0, 39]], 1)


class Meter:
    """A backend that measures exactly, and counts the circuits it is asked to run."""

    def __init__(self):
        self.rows = 0

    def expectation(self, circuit, observables):
        exact = qj.expectation(circuit, observables)

        def run(params):
            self.rows += len(params)
            return exact(params)

        return run


def test_a_backend_measures_n_circuits():
    circuit, (x, y) = MAPS["trainable"][0](), np.random.default_rng(3).normal(size=(2, 5, 2))
    meter, w = Meter(), [0.3, 0.4]
    kernel = qj.projected_kernel(circuit, weights=("w", "a"), backend=meter)
    exact = qj.projected_kernel(circuit, weights=("w", "a"))
    np.testing.assert_allclose(kernel(x, weights=w), exact(x, weights=w), atol=1e-5)
    assert meter.rows == 5
    np.testing.assert_allclose(kernel(x, y, weights=w), exact(x, y, weights=w), atol=1e-5)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"gamma": -1}, "`gamma` must be"),
        ({"gamma": "wide"}, "`gamma` must be"),
        ({"observables": 0}, "must be between 1 and 2"),
        ({"observables": 3}, "must be between 1 and 2"),
        ({"observables": ["XYZ"]}, "qubits"),
    ],
)
def test_what_a_projected_kernel_is_not_made_of(options, match):
    with pytest.raises(ValueError, match=match):
        qj.projected_kernel(angles(), **options)
    with pytest.raises(ValueError, match="no `gamma`"):
        qj.projected_kernel(angles(), gamma=None)(np.zeros((2, 2)), gamma=1.0)


# Fidelities of different circuits, and local ones.


def test_fidelity_of_two_circuits():
    one, two = MAPS["zz"][0](), MAPS["entangled"][0]()
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(4, 1, 3)), rng.normal(size=(5, 3))
    with jax.enable_x64(True):
        f = qj.fidelity(one, two)
        values = f(a, b)
        for i, j in np.ndindex(4, 5):
            overlap = Statevector(one.assign_parameters(a[i, 0])).inner(Statevector(two.assign_parameters(b[j])))
            np.testing.assert_allclose(values[i, j], abs(overlap) ** 2, atol=1e-12)
        np.testing.assert_allclose(qj.fidelity(one, one)(b, b), 1)
        np.testing.assert_allclose(
            jax.grad(lambda p: f(p, b[0]))(b[0]), jax.grad(lambda p: f(a[0, 0] * 0 + p, b[0]))(b[0])
        )
    assert f == qj.fidelity(one, two)
    with pytest.raises(ValueError, match="as many qubits"):
        qj.fidelity(one, angles(2))


@pytest.mark.parametrize("name", ["zz", "entangled", "trainable"])
def test_local_fidelities_are_qiskits(name):
    circuit, weights = MAPS[name][0](), MAPS[name][1]
    rng = np.random.default_rng(5)
    names = [p.name for p in circuit.parameters]
    features = [k for k, p in enumerate(names) if p not in weights]
    x, y, w = rng.normal(size=(4, len(features))), rng.normal(size=(3, len(features))), rng.normal(size=len(weights))

    def bound(point):
        values = np.zeros(len(names))
        values[features] = point
        values[[names.index(p) for p in weights]] = w
        return circuit.assign_parameters(values)

    def local(a, b):
        psi = Statevector(bound(a).compose(bound(b).inverse()))
        return np.mean([psi.probabilities([q])[0] for q in range(circuit.num_qubits)])

    with jax.enable_x64(True):
        kernel = qj.fidelity_kernel(circuit, weights=weights, local=True)
        np.testing.assert_allclose(kernel(x, y, weights=w), [[local(a, b) for b in y] for a in x], atol=1e-10)
        gram = kernel(x, weights=w)
        np.testing.assert_allclose(gram[0, 1:], [local(x[0], b) for b in x[1:]], atol=1e-10)
        assert (gram == gram.T).all() and (jnp.diagonal(gram) == 1).all()
        slope = jax.grad(lambda x: kernel(x, y, weights=w).sum())(x)
        change = 1e-5 * np.eye(len(features))[0]
        expected = sum(local(x[0] + change, b) - local(x[0] - change, b) for b in y) / 2e-5
        np.testing.assert_allclose(slope[0, 0], expected, atol=1e-7)


def test_idle_qubits_count_in_local_fidelities():
    circuit = angles(1)
    wide = QuantumCircuit(4)
    wide.compose(circuit, [2], inplace=True)
    one, four = (qj.fidelity_kernel(c, local=True)([[0.0]], [[1.0]]) for c in (circuit, wide))
    np.testing.assert_allclose(4 * four - 3, one, atol=1e-6)


# Finitely many shots.


def test_shots_are_binomial_and_symmetric():
    x = np.random.default_rng(6).normal(size=(30, 2))
    exact = qj.fidelity_kernel(angles())(x)
    kernel = qj.fidelity_kernel(angles(), backend=qj.Shots(200, jax.random.key(1)))
    gram = kernel(x)
    assert (gram == gram.T).all() and (jnp.diagonal(gram) == 1).all()
    np.testing.assert_allclose(200 * gram, (200 * gram).round(), atol=1e-3)
    off = np.triu_indices(30, 1)
    deviations = ((gram - exact) / np.sqrt(exact * (1 - exact) / 200 + 1e-9))[off]
    assert abs(deviations.mean()) < 0.25 and 0.8 < deviations.std() < 1.2
    other = qj.fidelity_kernel(angles(), backend=qj.Shots(200, jax.random.key(2)))(x)
    assert (gram == kernel(x)).all() and (gram != other).any() and (kernel(x + 0.1) != gram).any()
    assert kernel == qj.fidelity_kernel(angles(), backend=qj.Shots(200, jax.random.key(1)))
    cross = kernel(x[:5], x)
    assert cross.shape == (5, 30)
    np.testing.assert_allclose(cross[np.arange(5), np.arange(5)], 1)  # equal points: no shot is lost


def test_gradients_with_shots_are_those_of_the_probability():
    x = np.random.default_rng(7).normal(size=(5, 2))
    noisy, exact = qj.fidelity_kernel(angles(), backend=qj.Shots(10, jax.random.key(0))), qj.fidelity_kernel(angles())
    slopes = [jax.grad(lambda x, kernel=kernel: kernel(x)[0, 1:].sum())(x) for kernel in (noisy, exact)]
    np.testing.assert_allclose(*slopes, atol=1e-6)
    jax.jit(jax.vmap(noisy))(np.stack([x, x + 1]))


@pytest.mark.parametrize(
    "arguments, error", [((0, jax.random.key), ValueError), ((2.0, jax.random.key), ValueError), ((5, None), TypeError)]
)
def test_shots_need_a_number_and_a_key(arguments, error):
    shots, key = arguments
    with pytest.raises(error):
        qj.Shots(shots, key and key(0))


class Pairs:
    """A backend that says what it is asked: every entry is 1/4."""

    def __init__(self):
        self.pairs = []

    def fidelity(self, circuit):
        def run(left, right):
            self.pairs.append(len(left))
            return jnp.full(len(left), 0.25, left.dtype)

        return run


@pytest.mark.parametrize(
    "policy, pairs, diagonal, duplicate", [("all", 6, 0.25, 0.25), ("off_diagonal", 3, 1, 0.25), ("none", 3, 1, 1)]
)
def test_policies_of_duplicates(policy, pairs, diagonal, duplicate):
    backend = Pairs()
    kernel = qj.fidelity_kernel(angles(), backend=backend, evaluate_duplicates=policy)
    x = np.array([[0.1, 0.2], [0.3, 0.4], [0.1, 0.2]])
    gram = kernel(x)
    assert backend.pairs == [pairs]
    assert (jnp.diagonal(gram) == diagonal).all() and gram[0, 2] == gram[2, 0] == duplicate and gram[0, 1] == 0.25
    cross = kernel(x, x[:2])
    assert cross[0, 0] == (1 if policy == "none" else 0.25) and cross[0, 1] == 0.25


def test_options_that_do_not_go_together():
    with pytest.raises(ValueError, match="evaluate_duplicates"):
        qj.fidelity_kernel(angles(), evaluate_duplicates="some")
    with pytest.raises(TypeError, match="a method `probabilities`"):
        qj.fidelity_kernel(angles(), local=True, backend=Pairs())
