"""SciPy's minimisers in `fit`. Oracles: least squares by numpy, and SciPy itself with a loss written in numpy."""

import builtins
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import qmljax as qj
from qmljax._training import minimize
from qmljax._training.minimize import METHODS, _evaluated

pytestmark = pytest.mark.filterwarnings("ignore:delta_grad == 0.0:UserWarning")  # of trust-constr, at the optimum

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(20, 3)).astype("float32"), RNG.normal(size=20).astype("float32")
BEST = np.linalg.lstsq(X.astype(float), Y.astype(float))[0]
START = np.float32([1.0, -1.0, 2.0])


def squares(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((x @ weights - y) ** 2)


def regress(method: str, steps: int = 300, **options: Any) -> qj.FitResult:
    return qj.fit(squares, START, (X, Y), optimizer=method, steps=steps, **options)


@pytest.mark.parametrize("method", METHODS)
def test_reaches_the_optimum(method):
    calls = []
    result = regress(method, callback=lambda *a: calls.append(a))
    np.testing.assert_allclose(result.weights, BEST, rtol=0, atol=3e-3)
    assert result.weights.dtype == result.history.dtype == np.float32
    assert result.stopped == "minimizer" and len(result.history) < 300
    assert result.history[0] == pytest.approx(np.mean((X @ START - Y) ** 2), rel=1e-6)
    assert result.opt_state.success and result.opt_state.x.shape == (3,)
    np.testing.assert_array_equal(result.visits, np.arange(1, len(result.history) + 1))
    assert [step for step, _, _ in calls] == result.visits.tolist()
    for step, weights, loss in calls:
        assert loss == result.history[step - 1]
        if step < len(result.history):  # the loss before the next iteration is that of the weights now
            np.testing.assert_allclose(squares(weights, X, Y), result.history[step], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_takes_the_steps_it_was_given(method, steps):
    calls = []
    result = regress(method, steps, callback=lambda step, *_: calls.append(step))
    assert result.history.shape == (steps,) and calls == list(range(1, steps + 1))
    assert result.stopped == "steps" and result.opt_state.nit == steps
    if not steps:
        np.testing.assert_array_equal(result.weights, START)


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B", "SLSQP"])
def test_gets_the_exact_gradient(method):
    """A run of SciPy with the loss and the gradient in numpy has the same iterates."""
    x, y, iterates = X.astype(float), Y.astype(float), []
    value = lambda w: np.mean((x @ w - y) ** 2)  # noqa: E731
    slope = lambda w: 2 * x.T @ (x @ w - y) / len(y)  # noqa: E731
    scipy.optimize.minimize(
        value, START.astype(float), jac=slope, method=method, callback=lambda w: iterates.append(w.copy())
    )
    result = regress(method, 2)
    np.testing.assert_allclose(result.weights, iterates[1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(result.history, [value(START), value(iterates[0])], rtol=1e-3)


@pytest.mark.parametrize("name", ["l-bfgs-b", "L-BFGS-B", "cobyla"])
def test_names_in_any_case(name):
    assert regress(name).history[-1] < regress(name).history[0]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ["L-BFGS-B", "COBYLA"])
def test_float64(method):
    start, data = START.astype(float), (X.astype(float), Y.astype(float))
    result = qj.fit(squares, start, data, optimizer=method, steps=500)
    assert result.weights.dtype == result.history.dtype == np.float64
    np.testing.assert_allclose(result.weights, BEST, rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", ["L-BFGS-B", "Powell"])
def test_pytrees(method):
    start = {"slope": [START[:, None]], "offset": 0.0}
    loss = lambda w, x, y: jnp.mean(((x @ w["slope"][0])[:, 0] + w["offset"] - y) ** 2)  # noqa: E731
    result = qj.fit(loss, start, (X, Y), optimizer=method, steps=300)
    assert jax.tree.structure(result.weights) == jax.tree.structure(start)
    solution = np.linalg.lstsq(np.c_[X, np.ones(20)].astype(float), Y.astype(float))[0]
    np.testing.assert_allclose(result.weights["slope"][0][:, 0], solution[:3], rtol=0, atol=3e-3)
    np.testing.assert_allclose(result.weights["offset"], solution[3], rtol=0, atol=3e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite(method):
    """Finite where the sum of squares is below 9: the start, but not all of the way to the optimum."""
    loss = lambda w, y: jnp.where(jnp.sum(w**2) < 9, jnp.sum((w - 3) ** 2), jnp.nan)  # noqa: E731
    with pytest.warns(RuntimeWarning, match="was not finite at step"):
        result = qj.fit(loss, np.zeros(3, "float32"), (Y,), optimizer=method, steps=300)
    assert result.stopped == "nan" and np.isfinite(result.history).all()
    assert np.isfinite(loss(result.weights, Y))


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_never_finite(method):
    with pytest.warns(RuntimeWarning, match="was not finite at step 0:"):
        result = qj.fit(lambda w, y: jnp.sum(w) * jnp.nan, START, (Y,), optimizer=method, steps=9)
    np.testing.assert_array_equal(result.weights, START)
    assert result.stopped == "nan" and len(result.history) == 1


@pytest.mark.parametrize("method", [name for name, (gradient, _) in METHODS.items() if gradient])
def test_a_gradient_that_is_not_finite(method):
    loss = lambda w, y: jnp.sum(jnp.where(w > 0, jnp.sqrt(w), 0.0))  # noqa: E731
    with pytest.warns(RuntimeWarning, match="was not finite at step 1:"):
        result = qj.fit(loss, np.float32([-1.0, 4.0]), (Y,), optimizer=method, steps=9)
    np.testing.assert_array_equal(result.weights, np.float32([-1.0, 4.0]))
    assert result.stopped == "nan"


def test_progress_bar(capsys):
    regress("BFGS", 3, progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "loss" in shown


def test_rules_and_validation():
    held = X[:5] + 1, Y[:5]
    result = regress("L-BFGS-B", validation=held, patience=2)
    best = np.argmin(result.validation)
    np.testing.assert_allclose(squares(result.weights, *held), result.validation[best], rtol=1e-5)
    result = regress("COBYLA", convergence=3)
    assert result.stopped in ("convergence", "minimizer") and len(result.history) >= 6


def test_a_loss_is_compiled_as_often_as_needed_and_no_more():
    traces, before = [], _evaluated._cache_size()

    def loss(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        traces.append(w)
        return 2 * squares(w, x, y) + jnp.sum(w**4)

    for runs, method in enumerate(("L-BFGS-B", "BFGS", "SLSQP"), start=1):
        qj.fit(loss, START, (X, Y), optimizer=method, steps=50)
        assert len(traces) == 2 * runs  # its shape, then its value and gradient
    assert _evaluated._cache_size() == before + 1
    for steps in (20, 40):
        qj.fit(loss, START, (X, Y + 1), optimizer="COBYLA", steps=steps)
    assert _evaluated._cache_size() == before + 2  # its value


# What SciPy itself takes. Oracle: SciPy, with the loss in numpy.


def by_scipy(method: str, **options: Any) -> Any:
    x, y = X.astype(float), Y.astype(float)
    slope = (lambda w: 2 * x.T @ (x @ w - y) / len(y)) if METHODS[method][0] else None
    value = lambda w: np.mean((x @ w - y) ** 2)  # noqa: E731
    return scipy.optimize.minimize(value, START.astype(float), jac=slope, method=method, **options)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("L-BFGS-B", {"bounds": [(0.5, 2.0), (None, -0.5), (-1.0, 1.0)]}),
        ("SLSQP", {"bounds": scipy.optimize.Bounds(-0.4, 2.0)}),
        ("Nelder-Mead", {"tol": 1e-2}),
        ("BFGS", {"options": {"gtol": 0.3}}),
    ],
)
def test_tolerance_bounds_and_options_are_those_of_scipy(method, options):
    data = X.astype(float), Y.astype(float)
    start = np.clip(START, -0.4, 2.0) if method == "SLSQP" else START
    result = qj.fit(squares, start.astype(float), data, optimizer=method, steps=400, **options)
    expected = by_scipy(method, **options)
    assert result.stopped == "minimizer"
    np.testing.assert_allclose(result.weights, expected.x, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "options", [{"options": {"rhobeg": 0.1}, "tol": 1e-3}, {"options": {"maxiter": 15}}, {"options": {"rhobeg": 0.5}}]
)
def test_options_of_cobyla_are_those_of_scipy(options):
    """It compares values, so that its path hangs on their last digits: those of this loss are numpy's and XLA's."""
    furthest = lambda w: jnp.max(jnp.abs(w - BEST))  # noqa: E731
    result = qj.fit(furthest, START.astype(float), (), optimizer="COBYLA", steps=400, **options)
    value = lambda w: np.max(np.abs(w - BEST))  # noqa: E731
    expected = scipy.optimize.minimize(value, START.astype(float), method="COBYLA", **options)
    assert result.stopped == "minimizer"
    np.testing.assert_allclose(result.weights, expected.x, rtol=1e-12, atol=0)


def test_a_point_is_measured_once():
    asked = []

    def measure(w: jax.Array) -> jax.Array:
        return jax.pure_callback(note, jax.ShapeDtypeStruct((), w.dtype), w)

    def note(w: jax.Array) -> np.ndarray:
        asked.append(np.asarray(w).tobytes())
        return np.float32(np.sum((np.asarray(w) - 0.3) ** 2))

    qj.fit(measure, np.zeros(3, "float32"), (), optimizer="COBYLA", steps=30)
    assert len(asked) > 5 and len(set(asked)) == len(asked)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(minimize, "REMEMBERED", 0)
    np.testing.assert_allclose(regress("COBYLA").weights, BEST, rtol=0, atol=3e-3)


@pytest.mark.parametrize(
    ("method", "options", "error", "match"),
    [
        ("BFGS", {"bounds": [(0, 1)] * 3}, ValueError, "'BFGS' takes no `bounds`. Use L-BFGS-B"),
        (
            "L-BFGS-B",
            {"bounds": [(0, 1)] * 2},
            ValueError,
            "a pair (low, high) with low <= high for each of the 3 weights",
        ),
        ("L-BFGS-B", {"bounds": [(1, 0)] * 3}, ValueError, "`bounds` must be a pair"),
        ("L-BFGS-B", {"bounds": [(np.nan, 0)] * 3}, ValueError, "`bounds` must be a pair"),
        ("L-BFGS-B", {"bounds": 3}, ValueError, "`bounds` must be a pair"),
        ("COBYLA", {"tol": 0}, ValueError, "`tol` must be a finite number above 0, or None, but is 0"),
        ("COBYLA", {"tol": "a"}, ValueError, "`tol` must be a finite number above 0, or None, but is 'a'"),
        ("SLSQP", {"options": {"maxiter": 3}}, ValueError, "`steps` says how many iterations"),
        ("COBYLA", {"options": [3]}, TypeError, "`options` must be a dictionary"),
    ],
)
def test_rules_that_are_none(method, options, error, match):
    with pytest.raises(error, match=re.escape(match)):
        regress(method, **options)


def test_wrong_names():
    with pytest.raises(ValueError, match=re.escape("`optimizer` names no minimiser: 'L-BFGS'. SciPy has Nelder-Mead")):
        regress("L-BFGS")
    with pytest.raises(ValueError, match="takes no ensemble"):
        qj.fit(squares, np.tile(START, (2, 1)), (X, Y), optimizer="BFGS", steps=3)


def test_without_scipy(monkeypatch):
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="The minimiser 'BFGS' needs SciPy: pip install scipy"):
        regress("BFGS")


def test_bounds_hold_where_the_start_is_outside_of_them():
    loss = lambda w, x: jnp.sum((w - x) ** 2)  # noqa: E731
    for method in ("trust-constr", "L-BFGS-B", "COBYLA"):
        result = qj.fit(loss, np.ones(2), (np.zeros(1),), optimizer=method, steps=4, bounds=[(2, 3)] * 2)
        assert ((result.weights >= 2 - 1e-6) & (result.weights <= 3 + 1e-6)).all(), method


def test_options_that_fit_passes_itself():
    with pytest.raises(
        ValueError, match="`options` must hold options of the method, but has 'jac', which `fit` passes"
    ):
        qj.fit(lambda w: w**2, 1.0, (), optimizer="BFGS", steps=1, options={"jac": None})
