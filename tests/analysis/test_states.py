"""What states hold. Oracles: Qiskit's quantum_info, closed forms of GHZ, W, product and magic states, dense numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import quantum_info as qi

from qmljax import analysis

PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1.0, -1])}


def ghz(n):
    return np.eye(1 << n)[[0, -1]].sum(axis=0) / np.sqrt(2)


def w_state(n):
    psi = np.zeros(1 << n)
    psi[1 << np.arange(n)] = n**-0.5
    return psi


def matrix(psi):
    return np.outer(psi, psi.conj())


MIXED = np.stack([qi.random_density_matrix(8, rank=rank, seed=rank).data for rank in (1, 2, 5, 8)])


def test_purity_entropy_and_mutual_information_are_qiskit_s(x64):
    states = [qi.DensityMatrix(rho) for rho in MIXED]
    np.testing.assert_allclose(analysis.purity(MIXED), [qi.purity(rho).real for rho in states], atol=1e-12)
    np.testing.assert_allclose(analysis.entropy(MIXED), [qi.entropy(rho, base=2) for rho in states], atol=1e-10)
    for part in ([0], [2, 0], [1, 2]):
        rest = [q for q in range(3) if q not in part]
        expected = [
            qi.entropy(qi.partial_trace(rho, rest)) + qi.entropy(qi.partial_trace(rho, part)) - qi.entropy(rho)
            for rho in states
        ]
        np.testing.assert_allclose(analysis.mutual_information(MIXED, part), expected, atol=1e-10)


def test_known_states(x64):
    for n in (1, 2, 4):
        mixed = np.eye(1 << n) / (1 << n)
        np.testing.assert_allclose(analysis.entropy(mixed), n)
        np.testing.assert_allclose(analysis.purity(mixed), 0.5**n)
        product = np.ones(1)
        for q in range(n):
            product = np.kron(product, [np.cos(q + 1), 1j * np.sin(q + 1)])
        np.testing.assert_allclose(analysis.meyer_wallach(product), 0, atol=1e-14)
    for n in (2, 3, 5):
        np.testing.assert_allclose(analysis.meyer_wallach(ghz(n)), 1)
        np.testing.assert_allclose(analysis.meyer_wallach(w_state(n)), 4 * (n - 1) / n**2)
        np.testing.assert_allclose(analysis.mutual_information(matrix(ghz(n)), [n - 1]), 2, atol=1e-12)
        np.testing.assert_allclose(analysis.stabilizer_entropy(ghz(n)), 0, atol=1e-12)
        magic = np.ones(1)
        for _ in range(n):
            magic = np.kron(magic, [1, np.exp(0.25j * np.pi)])
        magic = magic / np.linalg.norm(magic)
        np.testing.assert_allclose(analysis.stabilizer_entropy(magic), n * np.log2(4 / 3), atol=1e-12)


def test_random_states_against_dense_matrices(x64):
    states = np.stack([qi.random_statevector(8, seed=seed).data for seed in range(4)])
    purities = [
        [qi.purity(qi.partial_trace(qi.Statevector(s), [k for k in range(3) if k != q])) for q in range(3)]
        for s in states
    ]
    expected = 2 * (1 - np.mean(purities, axis=1).real)
    np.testing.assert_allclose(analysis.meyer_wallach(states), expected, atol=1e-12)
    strings = [np.kron(np.kron(PAULIS[a], PAULIS[b]), PAULIS[c]) for a, b, c in itertools.product("IXYZ", repeat=3)]
    values = np.einsum("si,pij,sj->sp", states.conj(), strings, states).real
    np.testing.assert_allclose(analysis.stabilizer_entropy(states), -np.log2((values**4).sum(axis=1) / 8), atol=1e-12)


def test_random_states_have_the_mean_of_haar_s_measure(x64):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(4000, 16)) + 1j * rng.normal(size=(4000, 16))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    np.testing.assert_allclose(analysis.meyer_wallach(states).mean(), 14 / 17, atol=3e-3)  # (N - 2) / (N + 1)


@pytest.mark.parametrize("name", ["purity", "entropy", "meyer_wallach", "stabilizer_entropy"])
def test_transformations_and_precisions(name):
    function = getattr(analysis, name)
    states = np.stack([qi.random_statevector(8, seed=seed).data for seed in range(3)])
    given = (
        np.stack([matrix(s) for s in states]) * 0.7 + 0.3 * np.eye(8) / 8 if name in ("purity", "entropy") else states
    )
    with jax.enable_x64(True):
        exact = function(given)
        assert exact.dtype == np.float64 and exact.shape == (3,)
        np.testing.assert_allclose(jax.jit(function)(given), exact, atol=1e-13)
        np.testing.assert_allclose(jax.vmap(function)(given), exact, atol=1e-13)

        def along(t):  # towards another state, in a Hermitian direction
            return function(given[0] + t * (given[1] - given[0]))

        difference = (along(0.3 + 1e-6) - along(0.3 - 1e-6)) / 2e-6
        np.testing.assert_allclose(jax.grad(along)(0.3), difference, rtol=1e-6)
    single = function(given.astype(np.complex64))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, atol=2e-6)


@pytest.mark.parametrize("x64_on", [False, True])
def test_the_gradient_of_the_entropy_at_pure_and_degenerate_states(x64_on):
    with jax.enable_x64(x64_on):
        tiny = np.finfo(float if x64_on else np.float32).eps
        dtype = jnp.result_type(float)
        slopes = jax.grad(analysis.entropy)(jnp.diag(jnp.array([1.0, 0, 0, 0], dtype)))
        np.testing.assert_allclose(jnp.diag(slopes)[1:], -np.log2(tiny), rtol=1e-6)
        mixed = jax.jit(jax.grad(analysis.entropy))(jnp.eye(4, dtype=dtype) / 4)  # -log2 rho - 1 / log 2
        np.testing.assert_allclose(mixed, (2 - 1 / np.log(2)) * np.eye(4), atol=1e-6)

        def of_angle(t):  # of one half of cos(t/2) |00> + sin(t/2) |11>
            return analysis.entropy(jnp.diag(jnp.stack([jnp.cos(t / 2) ** 2, jnp.sin(t / 2) ** 2])))

        assert jax.grad(of_angle)(jnp.zeros((), dtype)) == 0
        p = np.sin(0.35) ** 2
        expected = -np.log2(p / (1 - p)) * np.sin(0.7) / 2
        np.testing.assert_allclose(jax.grad(of_angle)(jnp.asarray(0.7, dtype)), expected, rtol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`state` must be amplitudes of shape \(\.\.\., 2\*\*n\), but is an array"):
        analysis.meyer_wallach(np.ones(3))
    with pytest.raises(ValueError, match=r"`rho` must be density matrices .* Of amplitudes take"):
        analysis.entropy(np.ones(4))
    with pytest.raises(TypeError, match="`rho` must be an array of numbers"):
        analysis.purity([["a"]])
    for wrong in ([], [3], [0, 0], [0, 1, 2]):
        with pytest.raises(ValueError, match="`qubits` must be some of the qubits 0 to 2"):
            analysis.mutual_information(MIXED[0], wrong)
    for wrong in ("01", [True], [0.5], 1):
        with pytest.raises(TypeError, match="`qubits` must be a sequence of integers"):
            analysis.mutual_information(MIXED[0], wrong)
