"""Classical shadows and counts. Oracles: Qiskit's states, the variance in closed form, Kronecker products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BitArray
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector

import qmljax as qj

SHOTS, KEY = 20_000, jax.random.key(3)
CIRCUIT = efficient_su2(3, reps=1)
PARAMS = np.random.default_rng(0).uniform(-2, 2, CIRCUIT.num_parameters)
PSI = Statevector(CIRCUIT.assign_parameters(PARAMS))
OBSERVABLES = ["IIZ", "XIY", "YXZ", "III", "0+l", SparsePauliOp(["ZZI", "IXX"], [0.5, -1.5])]


@pytest.fixture(scope="module")
def drawn():
    return jax.jit(qj.shadow(CIRCUIT, SHOTS))(PARAMS, KEY)


def test_bases_are_uniform_and_outcomes_have_the_probabilities_of_each_basis(drawn):
    bases, bits = np.asarray(drawn.bases), np.asarray(drawn.bits)
    assert bases.shape == bits.shape == (SHOTS, 3)
    kinds, of = np.unique(bases, axis=0, return_inverse=True)
    assert len(kinds) == 27
    total = 0.0
    for k, kind in enumerate(kinds):
        turn = QuantumCircuit(3)
        for q, basis in enumerate(kind):
            if basis == 1:
                turn.sdg(q)
            if basis < 2:
                turn.h(q)
        p = PSI.evolve(turn).probabilities()
        counts = np.bincount(bits[of == k] @ [1, 2, 4], minlength=8)
        expected = SHOTS / 27 * p
        total += ((counts - expected) ** 2 / expected).sum()
    assert abs(total - 27 * 8) < 5 * np.sqrt(2 * 27 * 8)  # chi squared, the number of shots in a basis being random


def test_estimates_are_exact_values_within_their_variance(drawn):
    """A string P on k qubits has the variance 3**k - <P>**2 a shot."""
    for label in ("IIZ", "XIY", "YXZ"):
        exact = PSI.expectation_value(SparsePauliOp(label)).real
        variance = 3 ** (3 - label.count("I")) - exact**2
        assert abs(drawn.expectation(label) - exact) < 4.5 * np.sqrt(variance / SHOTS)
    bases, bits = np.asarray(drawn.bases), np.asarray(drawn.bits)
    hits = (bases[:, 0] == 1) & (bases[:, 2] == 0)
    values = np.where(hits, 9.0 * (1 - 2 * bits[:, 0]) * (1 - 2 * bits[:, 2]), 0)
    np.testing.assert_allclose(drawn.expectation("XIY"), values.mean(), atol=1e-5)
    found = drawn.expectation(OBSERVABLES, groups=10)
    assert found.shape == (6,)
    zero = PSI.data.reshape(2, 2, 2)[0]  # "0+l": qubit 2 in 0, qubit 1 in +, qubit 0 in l
    amplitude = np.array([1, 1]) @ zero @ np.array([1, 1j]) / 2
    np.testing.assert_allclose(found[4], abs(amplitude) ** 2, atol=0.05)
    np.testing.assert_allclose(found[3], 1, atol=1e-6)
    np.testing.assert_allclose(found[5], PSI.expectation_value(OBSERVABLES[5]).real, atol=0.15)


def test_the_median_of_means(drawn):
    bases, bits = np.asarray(drawn.bases), np.asarray(drawn.bits)
    values = np.where(bases[:, 1] == 2, 3.0 * (1 - 2 * bits[:, 1]), 0)
    for groups in (1, 2, 7):
        edges = np.linspace(0, SHOTS, groups + 1).round().astype(int)
        expected = np.median([values[a:b].mean() for a, b in zip(edges, edges[1:], strict=False)])
        np.testing.assert_allclose(drawn.expectation("IZI", groups=groups), expected, atol=1e-5)


def test_the_density_matrix(drawn):
    single = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    small = jax.tree.map(lambda a: a[:5], drawn)
    total = 0
    for bases, bits in zip(np.asarray(small.bases), np.asarray(small.bits), strict=True):
        factors = [(np.eye(2) + 3 * (1 - 2 * bit) * single[basis]) / 2 for basis, bit in zip(bases, bits, strict=True)]
        total = total + np.kron(np.kron(factors[2], factors[1]), factors[0]) / 5
    np.testing.assert_allclose(small.density_matrix(), total, atol=1e-5)
    assert abs(drawn.density_matrix() - DensityMatrix(PSI).data).max() < 0.08


def test_batches_transformations_and_values_that_are_not_finite():
    f = qj.shadow(CIRCUIT, 50)
    batch = np.stack([PARAMS, PARAMS * np.nan]).astype(np.float32)
    both = f(batch, KEY)
    assert both.bits.shape == (2, 50, 3) and both.bits.dtype == np.int32
    values = both.expectation(["ZII", "IXI"])
    assert values.shape == (2, 2) and np.isfinite(values[0]).all() and np.isnan(values[1]).all()
    assert np.isnan(both.density_matrix()[1]).all() and both.density_matrix().shape == (2, 8, 8)
    keys = jax.random.split(KEY, 3)
    many = jax.vmap(f, (None, 0))(batch[0], keys)
    each = [f(batch[0], key) for key in keys]
    np.testing.assert_array_equal(many.bits, np.stack([one.bits for one in each]))
    estimate = jax.jit(lambda key: f(batch[0], key).expectation("XYZ", groups=3))
    np.testing.assert_allclose(estimate(keys[1]), each[1].expectation("XYZ", groups=3), atol=1e-5)


def test_parts_give_the_same(monkeypatch):
    whole = qj.shadow(CIRCUIT, 40)(PARAMS, KEY)
    monkeypatch.setattr("qmljax._models.shadow.PART", 64)
    jax.clear_caches()
    parts = qj.shadow(CIRCUIT, 40)(PARAMS, KEY)
    assert (whole.bits == parts.bits).all() and (whole.bases == parts.bases).all()


def test_what_a_shadow_refuses():
    small = qj.shadow(CIRCUIT, 5)(PARAMS, KEY)
    with pytest.raises(ValueError, match="`groups` must be an integer from 1 to 5"):
        small.expectation("ZZZ", groups=6)
    with pytest.raises(ValueError, match="must act on 3 qubits"):
        small.expectation("ZZ")
    with pytest.raises(ValueError, match="`observables` must be .* but is empty"):
        small.expectation([])
    with pytest.raises(ValueError, match="A density matrix of 11 qubits does not fit"):
        qj.Shadow(jnp.zeros((2, 11), int), jnp.zeros((2, 11), int)).density_matrix()


def test_counts_are_those_of_qiskit():
    outcomes = qj.sample(CIRCUIT, 200)(PARAMS.astype(np.float32), KEY)
    bits = BitArray.from_samples([int(k) for k in outcomes], num_bits=3)
    assert qj.counts(outcomes, 3) == bits.get_counts()
    assert list(qj.counts([5, 1, 5], 4)) == ["0001", "0101"]
    assert qj.counts([[0, 1], [1, 1]], 1) == [{"0": 1, "1": 1}, {"1": 2}]
    with pytest.raises(ValueError, match="reach from -1 to 3"):
        qj.counts([3, -1], 2)
    with pytest.raises(TypeError, match="`outcomes` must be integers"):
        qj.counts([0.5], 2)
