"""Losses. Oracles: numpy, Qiskit's `Statevector`, the papers' formulas, and finite differences in float64."""

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector

import qmljax as qj
from qmljax.losses import class_states, cross_entropy, weighted_fidelity

RNG = np.random.default_rng(1)
P = RNG.dirichlet(np.ones(4), size=(3, 5))
LABELS = RNG.integers(0, 4, (3, 5))


def differences(f: Callable, x: np.ndarray, step: float) -> np.ndarray:
    """The gradient of a scalar function by central differences."""
    gradient = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[k] = step
        gradient[k] = (float(f(x + e)) - float(f(x - e))) / (2 * step)
    return gradient


@pytest.mark.usefixtures("x64")
def test_cross_entropy_is_minus_the_logarithm():
    expected = -np.log(np.take_along_axis(P, LABELS[..., None], -1)[..., 0])
    np.testing.assert_allclose(cross_entropy(P, LABELS), expected, rtol=1e-14)
    np.testing.assert_allclose(cross_entropy(P, np.eye(4)[LABELS]), expected, rtol=1e-14)
    q = RNG.dirichlet(np.ones(4), size=(3, 5))
    np.testing.assert_allclose(cross_entropy(P, q), -(q * np.log(P)).sum(-1), rtol=1e-14)
    assert float(cross_entropy(P[0, 0], np.array(2))) == pytest.approx(-np.log(P[0, 0, 2]))


@pytest.mark.usefixtures("x64")
def test_gradient_of_cross_entropy():
    for labels in (LABELS, np.eye(4)[LABELS], RNG.dirichlet(np.ones(4), size=(3, 5))):
        f = lambda p, labels=labels: cross_entropy(p, labels).mean()  # noqa: E731
        np.testing.assert_allclose(jax.grad(f)(P), differences(f, P, 1e-6), rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_is_finite_at_zero(dtype):
    eps = float(np.finfo(dtype).eps)
    p = np.array([[0, 1], [eps, 1 - eps], [eps / 3, 1], [-eps, 1], [3 * eps, 1]], dtype)
    labels = np.zeros(5, int)
    log = np.log(eps)
    expected = [-log + 1, -log, -log + 2 / 3, -log + 2, -log - np.log(3)]
    values = cross_entropy(p, labels)
    assert values.dtype == dtype
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    gradient = jax.grad(lambda p: cross_entropy(p, labels).sum())(p)
    np.testing.assert_allclose(gradient[:, 0], [-1 / eps] * 4 + [-1 / (3 * eps)], rtol=1e-6)
    np.testing.assert_array_equal(gradient[:, 1], 0)
    one_hot = jax.grad(lambda p: cross_entropy(p, np.eye(2, dtype=dtype)[labels]).sum())(p)
    np.testing.assert_allclose(one_hot, gradient, rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("at", [0.0, 0.3, 0.9, 1.0, 1.1, 5.0])
def test_gradient_of_cross_entropy_by_differences_around_the_cut(at):
    """At multiples of the rounding error; at the cut itself the loss has one slope from both sides."""
    eps = float(np.finfo("float64").eps)
    f = lambda p: cross_entropy(p, np.array(0))  # noqa: E731
    p = np.array([at * eps, 0.5])
    # Central differences of log at 1.1 e are off by (h / p)**2 / 3; those across the cut by h / (4 e).
    np.testing.assert_allclose(jax.grad(f)(p), differences(f, p, 1e-3 * eps), rtol=1e-3)
    hessian = np.asarray(jax.hessian(f)(p))
    assert np.isfinite(hessian).all()


def test_cross_entropy_of_a_sampler_that_never_gives_the_class():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w"), 0)
    model = qj.sampler_qnn(circuit, inputs=[])
    loss = lambda w: cross_entropy(model(w, jnp.zeros((1, 0))), np.array([1])).mean()  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(np.float32([0.01]))
    np.testing.assert_allclose(value, -2 * np.log(np.sin(0.005)), rtol=1e-5)
    np.testing.assert_allclose(gradient, [-1 / np.tan(0.005)], rtol=1e-4)
    assert all(np.isfinite(part).all() for part in jax.value_and_grad(loss)(np.float32([0.0])))


def test_cross_entropy_under_jit_and_vmap():
    p, labels = P.astype("float32"), jnp.asarray(LABELS)
    expected = cross_entropy(p, labels)
    np.testing.assert_allclose(jax.jit(cross_entropy)(p, labels), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda p: cross_entropy(p, labels))(p), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda p: cross_entropy(p, LABELS))(p), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(cross_entropy)(p, labels), expected, rtol=1e-6)
    wrong = jax.jit(cross_entropy)(p, labels.at[1, 2].set(4))
    assert np.isnan(wrong[1, 2]) and np.isnan(wrong).sum() == 1
    assert cross_entropy(np.zeros((0, 3), "float32"), np.zeros(0, int)).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (LABELS[0], "`labels` must have shape (3, 5), a class for each sample, but are an array of int"),
        (LABELS + 1, "`labels` must be classes from 0 to 3, but reach from 1 to 4"),
        (LABELS - 1, "but reach from -1 to 2"),
        (LABELS.astype("float32"), "must have the shape of `probabilities`, (3, 5, 4), but have shape (3, 5)"),
    ],
)
def test_labels_that_do_not_fit(labels, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        cross_entropy(P.astype("float32"), labels)
    known = jnp.asarray(labels)  # closed over, it has values under `jit`
    with pytest.raises(ValueError, match=re.escape(match)):
        jax.jit(lambda p: cross_entropy(p, known))(P.astype("float32"))


# The states of classes.


def states(classes: int) -> list[DensityMatrix]:
    observables, _ = class_states(classes)
    return [DensityMatrix(SparsePauliOp.from_list(list(o.items())).to_matrix()) for o in observables]


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_class_states_are_far_from_each_other(classes):
    overlaps = class_states(classes)[1]
    matrices = [s.data for s in states(classes)]
    for m in matrices:
        np.testing.assert_allclose(m @ m, m, rtol=0, atol=1e-14)
        np.testing.assert_allclose(np.trace(m), 1, rtol=1e-14)
    fidelity = np.array([[np.trace(a @ b).real for b in matrices] for a in matrices])
    np.testing.assert_allclose(overlaps, fidelity, rtol=0, atol=1e-14)
    # The greatest overlap that the best codes on a sphere leave: antipodes, triangle, tetrahedron, octahedron.
    cosine = {2: -1, 3: -1 / 2, 4: -1 / 3, 6: 0}[classes]
    np.testing.assert_allclose((overlaps - np.eye(classes)).max(), (1 + cosine) / 2, rtol=0, atol=1e-14)


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_class_states_are_observables_of_a_qnn(classes):
    w = ParameterVector("w", 3)
    circuit = QuantumCircuit(1)
    circuit.u(*w, 0)
    model = qj.estimator_qnn(circuit, class_states(classes)[0], inputs=[])
    angles = RNG.normal(size=3)
    psi = Statevector(circuit.assign_parameters(angles)).data
    expected = [(psi.conj() @ s.data @ psi).real for s in states(classes)]
    np.testing.assert_allclose(model(angles.astype("float32"), jnp.zeros(0)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 1, 5, 7])
def test_no_class_states(classes):
    with pytest.raises(ValueError, match=f"`classes` must be 2, 3, 4 or 6, but is {classes}"):
        class_states(classes)


def plain(fidelities: np.ndarray, labels: np.ndarray, overlaps: np.ndarray, weights: np.ndarray) -> list[float]:
    """Equations (23) and (24), sample by sample."""
    return [
        sum((weights[c] * f[c] - overlaps[y, c]) ** 2 for c in range(len(weights))) / 2
        for f, y in zip(fidelities, labels, strict=True)
    ]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_weighted_fidelity(classes):
    overlaps = class_states(classes)[1]
    f, a = RNG.uniform(size=(7, classes)), RNG.uniform(size=classes)
    labels = RNG.integers(0, classes, 7)
    np.testing.assert_allclose(weighted_fidelity(f, labels, overlaps, a), plain(f, labels, overlaps, a), rtol=1e-12)
    ones = np.ones(classes)
    np.testing.assert_allclose(weighted_fidelity(f, labels, overlaps), plain(f, labels, overlaps, ones), rtol=1e-12)
    for k, loss in enumerate(
        (lambda v: weighted_fidelity(v, labels, overlaps, a), lambda v: weighted_fidelity(f, labels, overlaps, v))
    ):
        mean = lambda v, loss=loss: loss(v).mean()  # noqa: E731
        np.testing.assert_allclose(jax.grad(mean)((f, a)[k]), differences(mean, (f, a)[k], 1e-5), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(weighted_fidelity(overlaps, np.arange(classes), overlaps), 0, rtol=0, atol=1e-15)


def test_weighted_fidelity_keeps_the_dtype_and_goes_through_jit():
    overlaps, labels = class_states(3)[1], jnp.array([0, 2])
    f = np.full((2, 3), 0.5, "float32")
    value = weighted_fidelity(f, labels, overlaps)
    assert value.dtype == np.float32 and value.shape == (2,)
    np.testing.assert_allclose(jax.jit(lambda f: weighted_fidelity(f, labels, overlaps))(f), value, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(weighted_fidelity)(f, labels, overlaps.astype("float32")), value, rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "overlaps", "match"),
    [
        (np.zeros(3, int), np.eye(3), "need `labels` of shape (2,) and `overlaps` of shape (3, 3)"),
        (np.zeros(2, int), np.eye(2), "but they have (2,) and (2, 2)"),
        (np.array([0, 3]), np.eye(3), "`labels` must be classes from 0 to 2, but reach from 0 to 3"),
        (np.array([-1, 2]), np.eye(3), "but reach from -1 to 2"),
    ],
)
def test_fidelities_that_do_not_fit(labels, overlaps, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        weighted_fidelity(np.full((2, 3), 0.5, "float32"), labels, overlaps)


@pytest.mark.parametrize("label", [-1, 3, 7])
def test_classes_that_are_none_are_nan_while_traced(label):
    """And neither counted from the end, nor moved into bounds."""
    p, overlaps = np.full((2, 3), 1 / 3, np.float32), np.eye(3, dtype=np.float32)
    for loss in (cross_entropy, lambda p, labels: weighted_fidelity(p, labels, overlaps)):
        values = jax.jit(loss)(p, np.array([label, 1]))
        assert np.isnan(values[0]) and np.isfinite(values[1])
    with pytest.raises(ValueError, match="`labels` must be classes, integers from 0 to 2, but have dtype float32"):
        weighted_fidelity(p, np.ones(2, np.float32), overlaps)
