"""Kernels. Oracles: closed forms, overlaps of Qiskit's `Statevector`s, and central differences of them."""

import pickle
import re
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
from qiskit.quantum_info import Statevector

import qmljax as qj
from qmljax import _kernels


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


def test_under_vmap_and_jit():
    kernel = build("trainable")
    x, weights = points(kernel, 6).reshape(2, 3, 2), np.float32([[0.1, 0.2], [-0.3, 0.4]])
    each = np.stack([kernel(a, weights=w) for a, w in zip(x, weights, strict=True)])
    mapped = jax.jit(jax.vmap(lambda a, w: kernel(a, weights=w)))(x, weights)
    np.testing.assert_allclose(mapped, each, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.diagonal(mapped, axis1=1, axis2=2), 1)


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
    fidelities = _kernels._fidelities
    monkeypatch.setattr(_kernels, "_fidelities", lambda *states: traces.append(1) or fidelities(*states))

    def make() -> Any:
        circuit, a = trainable(), Parameter("u")
        circuit.rx(a + 0.777, 0)
        return qj.fidelity_kernel(circuit, weights=["a", "w", a])

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
        ([TWO], TWO, ValueError, "`x` must have shape (N, 2), one row for each point, but has shape (2,)"),
        ([np.zeros((2, 2, 2))], TWO, ValueError, "but has shape (2, 2, 2)"),
        ([[]], TWO, ValueError, "but has shape (0,)"),
        ([FOUR, np.zeros((4, 1))], TWO, ValueError, "`y` must have 2 elements"),
        ([FOUR, TWO], TWO, ValueError, "`y` must have shape (N, 2)"),
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
