"""Functions of weights and inputs. Oracles: closed forms of products of cosines, random trigonometric polynomials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj
from qmljax import analysis

KEY = jax.random.key(1)


def rotations(n):
    circuit, w = QuantumCircuit(n), ParameterVector("w", n)
    for q in range(n):
        circuit.ry(w[q], q)
    return circuit


def test_global_and_local_costs():
    """Of <Z...Z> = prod cos w_k each derivative has the variance 2**-n; of <Z_0> the first 1/2, the others 0."""
    whole = analysis.gradient_variance(qj.expectation(rotations(3), "ZZZ"), 3, key=KEY, samples=8000)
    np.testing.assert_allclose(whole, 1 / 8, rtol=0.08)
    local = analysis.gradient_variance(qj.expectation(rotations(3), "IIZ"), 3, key=KEY, samples=2000)
    np.testing.assert_allclose(local, [0.5, 0, 0], atol=0.03)


@pytest.mark.parametrize("samples", [3, 32, 71])
def test_every_sample_counts_once(x64, samples):
    weights = np.asarray(jax.random.uniform(KEY, (samples, 2), maxval=2 * np.pi))
    slopes = np.stack([-np.sin(weights[:, 0]) * weights[:, 1], np.cos(weights[:, 0])], axis=1)
    found = analysis.gradient_variance(lambda w: jnp.cos(w[0]) * w[1], 2, key=KEY, samples=samples)
    np.testing.assert_allclose(found, slopes.var(axis=0), rtol=1e-12)
    traced = jax.jit(
        lambda key: analysis.gradient_variance(lambda w: jnp.cos(w[0]) * w[1], 2, key=key, samples=samples)
    )
    np.testing.assert_allclose(traced(KEY), slopes.var(axis=0), rtol=1e-12)


def test_the_fourier_series_of_a_qubit(x64):
    """RX(x) between RY(a) and RY(b): <Z> = cos a cos b cos x - sin a sin b, by hand on the Bloch sphere."""
    circuit = QuantumCircuit(1)
    x, w = ParameterVector("x", 1), ParameterVector("w", 2)
    circuit.ry(w[0], 0)
    circuit.rx(x[0], 0)
    circuit.ry(w[1], 0)
    model = qj.estimator_qnn(circuit, "Z", inputs=x)
    a, b = 0.7, 1.1
    weights = jnp.array([a, b])
    expected = np.array([np.cos(a) * np.cos(b) / 2, -np.sin(a) * np.sin(b), np.cos(a) * np.cos(b) / 2])
    for function in (lambda x: model(weights, x[None])[0], lambda x: model(weights, x)[0]):
        np.testing.assert_allclose(analysis.fourier_coefficients(function, 1), expected, atol=1e-14)
    padded = analysis.fourier_coefficients(lambda x: model(weights, x), 3)
    np.testing.assert_allclose(padded, np.pad(expected, 2)[None], atol=1e-14)
    np.testing.assert_allclose(
        analysis.fourier_coefficients(lambda x: model(weights, x)[0], (1,)), expected, atol=1e-14
    )

    def size(w):  # of the first harmonic
        return abs(analysis.fourier_coefficients(lambda x: model(w, x[None])[0], 1)[2])

    np.testing.assert_allclose(jax.jit(size)(weights), expected[2], atol=1e-14)
    np.testing.assert_allclose(jax.grad(size)(weights)[0], -np.sin(a) * np.cos(b) / 2, atol=1e-14)


def test_the_coefficients_of_a_polynomial_of_two_inputs(x64):
    rng = np.random.default_rng(0)
    c = rng.normal(size=(3, 5)) + 1j * rng.normal(size=(3, 5))
    rows, columns = np.arange(-1.0, 2), np.arange(-2.0, 3)

    def polynomial(x):
        phases = x[0] * rows[:, None] + x[1] * columns[None]
        re, im = jnp.cos(phases), jnp.sin(phases)
        return jnp.stack([jnp.sum(re * c.real - im * c.imag), jnp.sum(re * c.imag + im * c.real)])

    found = analysis.fourier_coefficients(polynomial, (1, 2))
    assert found.shape == (2, 3, 5)
    np.testing.assert_allclose(found[0] + 1j * found[1], c, atol=1e-13)
    real = analysis.fourier_coefficients(lambda x: polynomial(x)[0], (1, 2))
    np.testing.assert_allclose(real, real[::-1, ::-1].conj(), atol=1e-13)


def test_landscapes(x64):
    centre = np.array([1.0, -2.0, 0.5])
    directions = np.array([[1.0, 0, 1], [0, 2.0, 0]])
    loss = lambda w: jnp.sin(w[0]) * w[1] + w[2] ** 2  # noqa: E731
    first, second = np.array([0.0, 0.5, 1, 2]), np.array([-1.0, 3])
    expected = [[loss(centre + s * directions[0] + t * directions[1]) for t in second] for s in first]
    np.testing.assert_allclose(analysis.landscape(loss, centre, directions, [first, second]), expected, atol=1e-14)
    curve = analysis.landscape(loss, centre, directions[0], first)
    np.testing.assert_allclose(curve, [loss(centre + s * directions[0]) for s in first], atol=1e-14)
    square = analysis.landscape(lambda w: w, centre, directions, 5)
    assert square.shape == (5, 5, 3)
    np.testing.assert_allclose(square[1, 4], centre - directions[0] / 2 + directions[1], atol=1e-14)
    np.testing.assert_allclose(
        jax.jit(lambda w: analysis.landscape(loss, w, directions, second))(centre)[0, 1],
        loss(centre - directions[0] + 3 * directions[1]),
    )
    assert analysis.landscape(loss, centre.astype(np.float32), directions, 3).dtype == np.float32


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`function` must give a number, but gives an array of shape \(2,\)"):
        analysis.gradient_variance(lambda w: w, 2, key=KEY)
    with pytest.raises(ValueError, match="`degree` must be an integer from 0 on, but is 1.5"):
        analysis.fourier_coefficients(jnp.cos, 1.5)
    with pytest.raises(ValueError, match="`degree` must be an integer, or one for each input"):
        analysis.fourier_coefficients(jnp.cos, [])
    with pytest.raises(ValueError, match=r"`weights` must have shape \(W,\)"):
        analysis.landscape(jnp.sum, np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match=r"`directions` must have shape \(2,\) or \(K, 2\)"):
        analysis.landscape(jnp.sum, np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="one for each of the 2 directions"):
        analysis.landscape(jnp.sum, np.ones(2), np.eye(2), [np.ones(2)] * 3)
