"""Fisher information and effective dimension. Oracles: closed forms, Qiskit's states, Qiskit Machine Learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes, z_feature_map
from qiskit.quantum_info import Statevector

import qmljax as qj
from qmljax import analysis

SIZES = [5000, 8000, 10000, 40000, 60000, 100000, 150000, 200000, 500000, 1000000]
# What Qiskit Machine Learning's tutorial 10 prints (0.5.0 of 2022), and its 0.9.1 still: EffectiveDimension of the
# parity of z_feature_map(3, reps=1) and real_amplitudes(3, reps=1), with 10 inputs and 10 weights from the generator of
# the seed 42 as below; those of the first object that the tutorial makes are drawn before and not used.
TUTORIAL = [4.66565096, 4.7133723, 4.73782922, 4.89963559, 4.94632272, 5.00280009, 5.04530433, 5.07408394, 5.15786005]
TUTORIAL += [5.21349874]


def network():
    feature_map, ansatz = z_feature_map(3, reps=1), real_amplitudes(3, reps=1)
    return feature_map.compose(ansatz), feature_map.parameters, ansatz.parameters


def samples():
    rng = np.random.default_rng(42)
    rng.uniform(size=(10, 6)), rng.normal(size=(10, 3))
    x = rng.normal(size=(10, 3))
    return rng.uniform(size=(10, 6)), x


def models():
    circuit, inputs, weights = network()
    parity = qj.sampler_qnn(
        circuit, inputs=inputs, weights=weights, interpret=lambda k: k.bit_count() % 2, output_shape=2
    )
    return {"sampler": parity, "estimator": qj.estimator_qnn(circuit, inputs=inputs, weights=weights)}


@pytest.mark.parametrize("name", ["sampler", "estimator"])
def test_the_effective_dimension_is_qiskit_machine_learning_s(name):
    model = models()[name]
    weights, x = samples()
    with jax.enable_x64(True):
        found = analysis.effective_dimension(model, weights, x, SIZES)
        np.testing.assert_allclose(found, TUTORIAL, atol=6e-9)  # the digits that are printed
        assert analysis.effective_dimension(model, weights, x, 5000).shape == ()
    single = jax.jit(lambda w, x: analysis.effective_dimension(model, w, x, np.array(SIZES)))
    np.testing.assert_allclose(single(weights.astype(np.float32), x.astype(np.float32)), TUTORIAL, atol=2e-4)


def test_the_fisher_information_is_that_of_finite_differences(x64):
    """Of the probabilities of all outcomes, by Qiskit."""
    circuit, inputs, ansatz = network()
    model = qj.sampler_qnn(circuit, inputs=inputs, weights=ansatz)
    weights, x = (rows[:2] for rows in samples())

    def probabilities(w, x):
        bound = dict(zip(ansatz, w, strict=True)) | dict(zip(inputs, x, strict=True))
        return Statevector(circuit.assign_parameters(bound)).probabilities()

    expected = []
    for w in weights:
        each = []
        for point in x:
            steps = 1e-5 * np.eye(6)
            slopes = np.stack([probabilities(w + e, point) - probabilities(w - e, point) for e in steps]) / 2e-5
            each.append(slopes / probabilities(w, point) @ slopes.T)
        expected.append(np.mean(each, axis=0))
    found = analysis.fisher_information(model, weights, x)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_allclose(analysis.fisher_information(model, weights[0], x), expected[0], atol=1e-7)
    np.testing.assert_allclose(
        jax.vmap(lambda w: analysis.fisher_information(model, w, x))(weights), expected, atol=1e-7
    )


def test_inputs_by_parts(monkeypatch, x64):
    model = models()["estimator"]
    weights, x = samples()
    whole = analysis.fisher_information(model, weights[0], x)
    monkeypatch.setattr("qmljax.analysis._fisher.PART", 4)
    np.testing.assert_allclose(analysis.fisher_information(model, weights[0], x), whole, atol=1e-14)


def test_a_certain_outcome_is_no_number_less(x64):
    """cos t of RY(t): 1 wherever both outcomes occur, and finite, not NaN, where one does not; the gradient too."""
    circuit = QuantumCircuit(1)
    circuit.ry(ParameterVector("w", 1)[0], 0)
    model = qj.estimator_qnn(circuit, "Z", inputs=[])
    of = lambda w: analysis.fisher_information(model, w[None], jnp.zeros((1, 0)))[0, 0]  # noqa: E731
    np.testing.assert_allclose([of(jnp.asarray(0.3)), of(jnp.asarray(2.0))], 1, atol=1e-12)
    assert np.isfinite(of(jnp.asarray(0.0))) and np.isfinite(jax.grad(of)(jnp.asarray(0.0)))


def test_wrong_arguments():
    model = models()["estimator"]
    weights, x = samples()
    with pytest.raises(TypeError, match="`model` must be a model"):
        analysis.fisher_information(lambda w, x: x, weights, x)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(\.\.\., 6\)"):
        analysis.fisher_information(model, weights[:, :5], x)
    with pytest.raises(ValueError, match=r"`x` must have shape \(N, 3\)"):
        analysis.fisher_information(model, weights, x[:, :2])
    with pytest.raises(ValueError, match=r"`weights` must have shape \(S, 6\)"):
        analysis.effective_dimension(model, weights[0], x, 100)
    with pytest.raises(ValueError, match="`n` must be numbers of data of at least 19"):
        analysis.effective_dimension(model, weights, x, [100, 18])
