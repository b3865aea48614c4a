"""Functions of kernel matrices. Oracles: dense numpy and SciPy, closed forms, central differences."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
from scipy.optimize import minimize
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC

import qmljax as qj
from qmljax import gram

pytestmark = pytest.mark.usefixtures("x64")


def random_gram(n: int = 8, rank: int | None = None, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, rank or n))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features @ features.T


LABELS = np.array([1.0, -1, 1, 1, -1, -1, 1, -1])


def test_alignment_by_its_definition():
    matrix = random_gram()
    centring = np.eye(8) - 1 / 8
    one_hot = np.eye(3)[np.arange(8) % 3]
    for y, target in ((LABELS, np.outer(LABELS, LABELS)), (one_hot, one_hot @ one_hot.T)):
        for centred in (False, True):
            a, b = (centring @ m @ centring if centred else m for m in (matrix, target))
            expected = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
            np.testing.assert_allclose(gram.kernel_alignment(matrix, y, centred=centred), expected, rtol=1e-12)
    assert qj.kernel_alignment is gram.kernel_alignment
    np.testing.assert_allclose(qj.kernel_alignment(np.outer(LABELS, LABELS), LABELS), 1)
    np.testing.assert_allclose(qj.kernel_alignment(-np.outer(LABELS, LABELS), LABELS), -1)


def test_alignment_where_it_is_not_defined():
    value, slope = jax.value_and_grad(lambda m: gram.kernel_alignment(m, np.ones(8)))(random_gram())
    assert value == 0 and np.isfinite(slope).all()


def differences(function, matrix: np.ndarray) -> np.ndarray:
    """Derivatives in symmetric changes of a pair of entries."""
    slopes = np.zeros_like(matrix)
    for i, j in np.ndindex(matrix.shape):
        change = np.zeros_like(matrix)
        change[i, j] += 1e-5 / 2
        change[j, i] += 1e-5 / 2
        slopes[i, j] = (function(matrix + change) - function(matrix - change)) / 2e-5
    return slopes


LOSSES = {
    "svc": lambda m: gram.svc_loss(m, LABELS, C=0.7),
    "svr": lambda m: gram.svr_loss(m, 0.8 * LABELS, C=0.7, epsilon=0.2),
    "squared": lambda m: gram.squared_loss(m, LABELS, ridge=0.5),
    "huber": lambda m: gram.huber_loss(m, LABELS * np.arange(8), delta=0.6, ridge=0.3),
    "absolute": lambda m: gram.absolute_loss(m, LABELS * np.arange(8), ridge=0.3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_derivative_of_the_optimum(name):
    matrix = random_gram() + 0.1 * np.eye(8)
    slopes = jax.jit(jax.grad(LOSSES[name]))(matrix)
    np.testing.assert_allclose((slopes + slopes.T) / 2, differences(LOSSES[name], matrix), atol=2e-5)
    batch = jax.vmap(LOSSES[name])(np.stack([matrix, matrix + np.eye(8)]))
    np.testing.assert_allclose(batch, [LOSSES[name](matrix), LOSSES[name](matrix + np.eye(8))], rtol=1e-9)


ON_THE_HOST = {
    "svc": gram.svc_loss,
    "svr": lambda m, y: gram.svr_loss(m, y, epsilon=0.05),
    "huber": gram.huber_loss,
    "absolute": gram.absolute_loss,
}


@pytest.mark.parametrize("name", ON_THE_HOST)
def test_losses_without_an_answer_are_nan_while_traced(name):
    """And nothing of the solver's gets out of the host: it would end the program."""
    both = jax.jit(jax.value_and_grad(ON_THE_HOST[name]))
    matrix, y = random_gram(4) + np.eye(4), np.array([1.0, 1, -1, -1])
    assert all(np.isfinite(a).all() for a in both(matrix, y))
    for m, labels in ((np.full((4, 4), np.nan), y), (matrix, np.array([1.0, np.nan, -1, -1])), (matrix * np.inf, y)):
        value, slope = both(m, labels)
        assert np.isnan(value) and np.isnan(slope).any()
    value, _ = jax.vmap(both)(np.stack([matrix, np.full((4, 4), np.nan)]), np.stack([y, y]))
    assert np.isfinite(value[0]) and np.isnan(value[1])


def test_labels_of_other_than_two_classes_while_traced():
    both = jax.jit(jax.value_and_grad(gram.svc_loss))
    matrix = random_gram(4)
    value, slope = both(matrix, np.ones(4))  # sum_i a_i y_i = 0 leaves a = 0
    assert value == 0 and not np.asarray(slope).any()
    value, slope = both(matrix, np.array([0.0, 1, 2, 1]))
    assert np.isnan(value) and np.isnan(slope).all()
    assert jax.jit(gram.svr_loss)(np.eye(1), np.ones(1)) == 0  # sum(b) = 0 leaves b = 0


def test_a_solver_that_fails(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no solution")

    monkeypatch.setattr(gram._losses, "_solve_svr", fail)
    assert np.isnan(jax.jit(gram.svr_loss)(random_gram(4), np.arange(4.0)))


def test_mini_batches_of_one_class():
    """Every batch of two is of one class, or of two: training goes on."""
    x, y = np.array([[0.1], [0.4], [0.9]]), np.array([-1.0, -1.0, 1.0])
    result = qj.fit(
        lambda w, x, y: gram.svc_loss(jnp.exp(-w[0] * (x - x.T) ** 2), y),
        np.ones(1),
        (x, y),
        optimizer=optax.sgd(0.1),
        steps=8,
        batch_size=2,
        key=jax.random.key(0),
    )
    assert np.isfinite(result.history).all() and (result.history == 0).any() and result.history.any()


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf, "a", True, None, np.ones(2)])
def test_numbers_that_are_none(wrong):
    matrix, y = np.eye(8), LABELS
    for loss, name in (
        (gram.svc_loss, "C"),
        (gram.svr_loss, "C"),
        (gram.huber_loss, "delta"),
        (gram.huber_loss, "ridge"),
        (gram.absolute_loss, "ridge"),
        (gram.squared_loss, "ridge"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be a finite number above 0"):
            loss(matrix, y, **{name: wrong})
    with pytest.raises(ValueError, match="`epsilon` must be a finite number of at least 0"):
        gram.svr_loss(matrix, y, epsilon=-0.1)
    with pytest.raises(TypeError, match="`C` must be a number, but JAX traces it"):
        jax.jit(lambda c: gram.svc_loss(matrix, y, C=c))(1.0)
    with pytest.raises(ValueError, match="needs points"):
        gram.svr_loss(np.zeros((0, 0)), np.zeros(0))


def test_svc_loss_is_the_optimum_of_scikit_learns_dual():
    matrix = random_gram()
    svm = SVC(kernel="precomputed", C=0.7, tol=1e-10).fit(matrix, LABELS)
    b = np.zeros(8)
    b[svm.support_] = svm.dual_coef_[0]
    np.testing.assert_allclose(gram.svc_loss(matrix, LABELS, C=0.7), abs(b).sum() - b @ matrix @ b / 2, rtol=1e-7)
    np.testing.assert_allclose(gram.svc_loss(matrix, (LABELS + 1) / 2, C=0.7), gram.svc_loss(matrix, LABELS, C=0.7))


def primal(loss, ridge: float, matrix: np.ndarray, y: np.ndarray) -> float:
    """The least sum of t + ridge |f|^2 / 2 with t >= loss(f - y), over f = root v with |f| = |v|."""
    root, n = scipy.linalg.sqrtm(matrix).real, len(y)
    bounds = [{"type": "ineq", "fun": lambda u, g=g: u[n:] - g(root @ u[:n] - y)} for g in loss]
    start = np.concatenate([np.zeros(n), abs(y) + 1])
    found = minimize(
        lambda u: u[n:].sum() + ridge * u[:n] @ u[:n] / 2,
        start,
        method="SLSQP",
        constraints=bounds,
        options={"maxiter": 10_000, "ftol": 1e-14},
    )
    return found.fun


def test_regression_losses_are_the_least_risk():
    matrix, y = random_gram(4) + 0.2 * np.eye(4), np.array([1.0, -2, 0.5, 3])
    ridge = KernelRidge(alpha=0.5, kernel="precomputed").fit(matrix, y)
    residual, norm = matrix @ ridge.dual_coef_ - y, ridge.dual_coef_ @ matrix @ ridge.dual_coef_
    np.testing.assert_allclose(gram.squared_loss(matrix, y, ridge=0.5), (residual @ residual + 0.5 * norm) / 2)

    def huber(r):
        return np.where(abs(r) < 0.6, r**2 / 2, 0.6 * (abs(r) - 0.3))

    np.testing.assert_allclose(
        gram.huber_loss(matrix, y, delta=0.6, ridge=0.3), primal([huber], 0.3, matrix, y), rtol=1e-5
    )
    np.testing.assert_allclose(
        gram.absolute_loss(matrix, y, ridge=0.3), primal([np.positive, np.negative], 0.3, matrix, y), rtol=1e-6
    )


def noisy(seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=0.2, size=(8, 8))
    return random_gram(8, 3) + noise + noise.T


def test_repairs():
    matrix = noisy()
    values = np.linalg.eigvalsh(matrix)
    assert values[0] < -0.1
    clipped, shifted, nearest = gram.clip(matrix), gram.shift(matrix), gram.nearest_correlation(matrix)
    for repaired in (clipped, shifted, nearest):
        assert np.linalg.eigvalsh(repaired)[0] > -1e-12
        np.testing.assert_allclose(repaired, repaired.T, atol=1e-14)
    np.testing.assert_allclose(np.linalg.eigvalsh(clipped), np.maximum(values, 0), atol=1e-12)
    np.testing.assert_allclose(shifted - matrix, -values[0] * np.eye(8), atol=1e-12)
    np.testing.assert_allclose(gram.shift(random_gram()), random_gram())
    np.testing.assert_allclose(gram.shrink(matrix, 0.25), 0.75 * matrix + 0.25 * np.eye(8))


def test_nearest_correlation_of_highams_example():
    matrix = np.array([[2.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 2]])  # section 4 of the paper
    expected = np.array([[1, -0.8084, 0.1916, 0.1068], [-0.8084, 1, -0.6562, 0.1916], [0.1916, -0.6562, 1, -0.8084]])
    nearest = gram.nearest_correlation(matrix, steps=1000)
    np.testing.assert_allclose(nearest[:3], expected, atol=1e-4)
    assert (jnp.diagonal(nearest) == 1).all()


def test_clip_is_differentiable():
    out = np.random.default_rng(2).normal(size=(8, 8))
    out = out + out.T
    for matrix in (noisy(), np.eye(8)):  # and where eigenvalues coincide
        slopes = jax.grad(lambda m: jnp.sum(out * gram.clip(m)))(matrix)
        expected = differences(lambda m: (out * gram.clip(m)).sum(), matrix)
        np.testing.assert_allclose((slopes + slopes.T) / 2, expected, atol=1e-6)


def test_diagnostics():
    matrix = random_gram()
    np.testing.assert_allclose(gram.spectrum(matrix), np.linalg.eigvalsh(matrix)[::-1] / 8, atol=1e-14)
    off = matrix[~np.eye(8, dtype=bool)]
    np.testing.assert_allclose(gram.concentration(matrix), [off.mean(), off.var()])
    points = np.random.default_rng(3).normal(size=(8, 2))
    classical, ridge = RBF()(points), 0.01

    def root(m):
        return scipy.linalg.sqrtm(m).real

    inverse = np.linalg.inv(classical + ridge * np.eye(8))
    product = root(matrix) @ root(classical) @ inverse @ inverse @ root(classical) @ root(matrix)
    expected = np.sqrt(np.linalg.norm(product, 2))
    np.testing.assert_allclose(gram.geometric_difference(classical, matrix, ridge=ridge), expected, rtol=1e-6)
    expected = np.sqrt(np.linalg.norm(root(matrix) @ np.linalg.inv(classical) @ root(matrix), 2))
    np.testing.assert_allclose(
        gram.geometric_difference(classical, 5 * matrix), expected, rtol=1e-6
    )  # scaled to trace N
    np.testing.assert_allclose(gram.geometric_difference(matrix, matrix), 1, rtol=1e-6)
    np.testing.assert_allclose(
        gram.model_complexity(matrix, LABELS), LABELS @ np.linalg.solve(matrix, LABELS), rtol=1e-6
    )
    expected = LABELS @ root(matrix) @ np.linalg.inv((matrix + ridge * np.eye(8)) @ (matrix + ridge * np.eye(8)))
    np.testing.assert_allclose(
        gram.model_complexity(matrix, LABELS, ridge=ridge), expected @ root(matrix) @ LABELS, rtol=1e-6
    )


def test_nystroem():
    rng = np.random.default_rng(4)
    x = rng.uniform(size=(60, 2))
    kernel = RBF(0.7)
    features = gram.nystroem(kernel, x, x[:25])
    assert features.shape == (60, 25)
    np.testing.assert_allclose(features[:25] @ features[:25].T, kernel(x[:25]), atol=1e-4)  # exact at the landmarks
    everything = (features @ features.T - kernel(x)) ** 2
    error, deviation = gram.approximation_error(
        lambda a, b: jnp.asarray(kernel(a, b)), x, features, jax.random.key(0), pairs=10_000
    )
    assert abs(error - np.sqrt(everything.mean())) < 5 * deviation and deviation < error
    exact, none = gram.approximation_error(lambda a, b: a @ b.T, x, x, jax.random.key(0))
    assert exact < 1e-12 and none < 1e-12


def test_nystroem_leaves_out_what_is_rounding():
    """A kernel of rank 3 and of 40 landmarks: in single precision, too, its other eigenvalues are noise."""
    x = np.random.default_rng(5).normal(size=(60, 3))
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        features = np.asarray(gram.nystroem(lambda a, b: jnp.asarray(a @ b.T), x.astype(dtype), x[:40].astype(dtype)))
        assert features.dtype == dtype and (abs(features).max(axis=0) > tolerance).sum() == 3
        np.testing.assert_allclose(features @ features.T, x @ x.T, atol=10 * tolerance)
    with pytest.raises(ValueError, match="`cutoff` must be a finite number of at least 0 and below 1"):
        gram.nystroem(RBF(0.7), x, x, cutoff=-1.0)
    with pytest.raises(ValueError, match=re.escape("`landmarks` must be points of shape (m, d)")):
        gram.nystroem(RBF(0.7), x, x[0])


@pytest.mark.parametrize("matrix", [np.zeros(3), np.zeros((2, 3)), np.eye(2, dtype=complex), np.eye(2, dtype=int)])
def test_what_is_no_kernel_matrix(matrix):
    with pytest.raises((TypeError, ValueError), match=r"`gram` must be .*kernel matrix of shape \(N, N\)"):
        gram.clip(matrix)


@pytest.mark.parametrize("y", [np.zeros(3), np.zeros((2, 2, 2)), np.array(["a", "b"])])
def test_labels_that_do_not_fit(y):
    with pytest.raises((TypeError, ValueError), match="`y` must .*a number for each of the 2 points"):
        gram.kernel_alignment(np.eye(2), y)


def test_singular_matrices_without_a_ridge():
    ones, axis = jnp.ones((3, 3)), jnp.diag(jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(gram.geometric_difference(ones, ones), 1, rtol=1e-5)
    np.testing.assert_allclose(gram.model_complexity(axis, [1.0, 0.0]), 0.5, rtol=1e-5)  # its trace becomes 2
    assert gram.model_complexity(axis, [0.0, 1.0]) == gram.geometric_difference(axis, jnp.eye(2)) == np.inf
    difference = jax.jit(lambda ridge: gram.geometric_difference(jnp.eye(3), jnp.eye(3), ridge=ridge))
    np.testing.assert_allclose(difference(0.1), 1 / 1.1, rtol=1e-5)
    with pytest.raises(ValueError, match="`ridge` must be a finite number above 0"):
        gram.squared_loss(ones, np.ones(3), ridge=0.0)


def test_labels_of_the_wrong_kind():
    matrix = np.eye(3)
    np.testing.assert_allclose(
        gram.kernel_alignment(matrix, np.array([1e30, -1e30, 0])), gram.kernel_alignment(matrix, np.array([1.0, -1, 0]))
    )
    for y in (np.arange(3), np.ones(3)):
        with pytest.raises(ValueError, match="`y` must hold two classes"):
            gram.svc_loss(matrix, y)
    for loss in (gram.svc_loss, gram.svr_loss, gram.huber_loss, gram.absolute_loss):
        with pytest.raises(ValueError, match="`y` must hold a number for each"):
            loss(matrix, np.eye(3))
    with pytest.raises(ValueError, match="no points to align"):
        gram.kernel_alignment(np.zeros((0, 0)), np.zeros(0))


def test_too_small_and_of_different_sizes():
    with pytest.raises(ValueError, match="one point"):
        gram.concentration(np.eye(1))
    with pytest.raises(ValueError, match="one shape"):
        gram.geometric_difference(np.eye(2), np.eye(3))
