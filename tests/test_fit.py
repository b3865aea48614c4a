"""`fit`. Oracles: least squares by numpy, and the same steps taken one by one by optax in a Python loop."""

import builtins
import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy import ndarray
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj

RNG = np.random.default_rng(5)
X = RNG.normal(size=(30, 3)).astype("float32")
W = np.float32([1.5, -2.0, 0.5])
Y = X @ W
START = np.zeros(3, "float32")
KEY = jax.random.key(3)


def squares(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((x @ weights - y) ** 2)


def regress(**options: Any) -> qj.FitResult:
    return qj.fit(squares, START, (X, Y), **{"optimizer": optax.sgd(0.1), "steps": 5} | options)


def by_hand(loss: Callable, weights: Any, data: tuple, optimizer: Any, steps: int) -> tuple[Any, list[float], Any]:
    """Full batches, a Python loop around optax."""
    state, history = optimizer.init(weights), []
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(steps):
            value, gradient = jax.value_and_grad(loss)(weights, *data)
            updates, state = optimizer.update(gradient, state, weights)
            weights = optax.apply_updates(weights, updates)
            history.append(float(value))
    return weights, history, state


def test_recovers_a_linear_regression():
    result = regress(optimizer=optax.adam(0.1), steps=400)
    np.testing.assert_allclose(result.weights, np.linalg.lstsq(X, Y)[0], rtol=0, atol=1e-4)
    assert result.history.shape == (400,) and result.history.dtype == np.float32
    assert isinstance(result.history, ndarray) and isinstance(result.weights, jax.Array)
    np.testing.assert_allclose(result.history[0], np.mean(Y**2), rtol=1e-6)
    assert result.history[-1] < 1e-8


OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "adam": optax.adam(0.1),
    "clipped": optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1)),
    "schedule": optax.adamw(optax.cosine_decay_schedule(0.2, 10)),
    "hyperparameters": optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(0.2, 0.0, 10)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_takes_the_steps_of_optax(name):
    result = regress(optimizer=OPTIMIZERS[name], steps=7)
    weights, history, state = by_hand(squares, jnp.asarray(START), (X, Y), OPTIMIZERS[name], 7)
    np.testing.assert_allclose(result.weights, weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.history, history, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(result.opt_state), jax.tree.leaves(state), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_trains_a_qnn():
    feature_map = zz_feature_map(2, reps=1)
    model = qj.estimator_qnn(feature_map.compose(real_amplitudes(2, reps=2)), inputs=feature_map.parameters)
    x = RNG.uniform(0, 1, (20, 2)).astype("float32")
    y = model(np.float32([0.3, -0.8, 0.1, 0.9, -0.4, 0.2]), x)[:, 0]  # a target that some weights reach
    loss = lambda w, x, y: jnp.mean((model(w, x)[:, 0] - y) ** 2)  # noqa: E731
    start = np.full(6, 0.1, "float32")
    result = qj.fit(loss, start, (x, y), optimizer=optax.adam(0.1), steps=150, batch_size=10, key=KEY)
    assert loss(start, x, y) > 0.05 > 1e-3 > loss(result.weights, x, y)


@pytest.mark.parametrize("steps", [0, 1, 99, 100, 101, 250])
def test_callback_and_history(steps):
    calls = []
    result = regress(steps=steps, optimizer=optax.sgd(0.01), callback=lambda *a: calls.append(a))
    assert result.history.shape == (steps,)
    at = [step for step, _, _ in calls]
    chunk = -(-steps // 100)
    assert at == [*range(chunk, steps, chunk), steps] if steps else not at
    for step, weights, loss in calls:
        assert isinstance(step, int) and isinstance(loss, float) and weights.shape == (3,)
        assert loss == result.history[step - 1]
    if steps:
        np.testing.assert_array_equal(calls[-1][1], result.weights)
        assert squares(calls[0][1], X, Y) == pytest.approx(result.history[at[0]]) if steps > 1 else True
    else:
        np.testing.assert_array_equal(result.weights, START)


def test_steps_do_not_depend_on_how_they_are_cut():
    short, long = (regress(steps=n, batch_size=7, key=KEY).history for n in (60, 240))
    np.testing.assert_array_equal(short, long[:60])


def test_one_run_may_go_on_from_another():
    whole, half = regress(steps=8), regress(steps=4)
    np.testing.assert_array_equal(qj.fit(squares, half.weights, (X, Y), optimizer=optax.sgd(0.1), steps=4)[0], whole[0])


# Mini-batches. The loss below is the sum of 2**row over the batch, so that the history says which rows were drawn.


def drawn(samples: int, batch_size: int, epochs: int, key: jax.Array = KEY) -> list[list[set[int]]]:
    """The rows of each batch of each epoch."""
    count = samples // batch_size
    loss = lambda w, powers, rows: jnp.sum(powers) + 0 * w * jnp.sum(rows).astype(float)  # noqa: E731
    rows = np.arange(samples)
    data = (np.float32(2.0) ** rows, rows)
    history = qj.fit(
        loss, 1.0, data, optimizer=optax.sgd(1.0), steps=epochs * count, batch_size=batch_size, key=key
    ).history
    sets = [{k for k in range(samples) if int(value) >> k & 1} for value in history]
    return [sets[e * count : (e + 1) * count] for e in range(epochs)]


@pytest.mark.parametrize(("samples", "batch_size"), [(12, 4), (12, 1), (12, 12), (11, 4), (7, 5), (1, 1)])
def test_an_epoch_visits_every_sample_once(samples, batch_size):
    epochs = drawn(samples, batch_size, 3)
    for batches in epochs:
        assert all(len(batch) == batch_size for batch in batches)
        assert len(set.union(*batches)) == samples // batch_size * batch_size  # no row twice, the remainder left out
    if batch_size < samples:
        assert epochs[0] != epochs[1] != epochs[2]  # a new order each time


def test_key_decides_the_order():
    assert drawn(12, 3, 2) == drawn(12, 3, 2) != drawn(12, 3, 2, jax.random.key(4))
    assert drawn(12, 3, 2, jax.random.PRNGKey(3)) == drawn(12, 3, 2)  # keys of the old kind too


def test_rows_of_all_data_stay_together():
    rows = np.arange(12)
    loss = lambda w, a, b: jnp.max(jnp.abs(a - b)).astype(float) + 0 * w  # noqa: E731
    result = qj.fit(loss, 0.0, (rows, rows), optimizer=optax.sgd(1.0), steps=9, batch_size=5, key=KEY)
    np.testing.assert_array_equal(result.history, 0)


def test_batches_give_the_gradients_of_their_rows():
    """Each row has its own weight, which sgd lowers by 1 when the row is drawn."""
    rows = np.arange(12)
    loss = lambda w, k: jnp.sum(w[k])  # noqa: E731
    result = qj.fit(loss, np.zeros(12, "float32"), (rows,), optimizer=optax.sgd(1.0), steps=6, batch_size=4, key=KEY)
    np.testing.assert_array_equal(result.weights, -2)


# What goes in and comes out.


def test_weights_are_any_pytree():
    def loss(w: dict, x: jax.Array, y: jax.Array) -> jax.Array:
        (slope,) = w["slope"]
        return jnp.mean((x @ slope + w["offset"] - y) ** 2)

    start = {"slope": [START], "offset": 0.0}  # a Python number is an array of shape ()
    result = qj.fit(loss, start, (X, Y + 2), optimizer=optax.adam(0.1), steps=500)
    assert jax.tree.structure(result.weights) == jax.tree.structure(start)
    np.testing.assert_allclose(result.weights["slope"][0], W, rtol=0, atol=1e-3)
    np.testing.assert_allclose(result.weights["offset"], 2, rtol=0, atol=1e-3)


@pytest.mark.parametrize("start", [0, [0, 0, 0], np.zeros(3, int), np.zeros(3, bool)])
def test_weights_that_are_integers_are_promoted(start):
    loss = lambda w, y: sum(jnp.sum((leaf - 1) ** 2) for leaf in jax.tree.leaves(w))  # noqa: E731
    result = qj.fit(loss, start, (Y,), optimizer=optax.sgd(0.1), steps=1)
    for w in jax.tree.leaves(result.weights):
        assert w.dtype == np.float32
        np.testing.assert_allclose(w, 0.2, rtol=1e-6)


def test_data_keep_their_dtypes():
    seen = []

    def loss(w: jax.Array, *data: jax.Array) -> jax.Array:
        seen.extend((d.dtype.name, d.shape) for d in data)
        return w**2

    data = (np.zeros((6, 2, 2), "int32"), np.zeros(6, bool), [0, 1, 2, 1, 0, 2], jnp.zeros(6, "bfloat16"))
    qj.fit(loss, 1.0, data, optimizer=optax.sgd(0.1), steps=2, batch_size=4, key=KEY)
    assert set(seen) == {("int32", (4, 2, 2)), ("bool", (4,)), ("int32", (4,)), ("bfloat16", (4,))}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_follows_the_weights(dtype):
    result = qj.fit(
        squares, START.astype(dtype), (X.astype(dtype), Y.astype(dtype)), optimizer=optax.adam(0.1), steps=3
    )
    assert result.history.dtype == result.weights.dtype == dtype


# Cost.


@pytest.mark.parametrize("start", [0.0, np.float32(0), jnp.zeros(()), jnp.zeros(2)])
@pytest.mark.parametrize("name", ["adam", "hyperparameters"])
def test_a_loss_is_traced_twice_however_many_steps(start, name):
    traces = []

    def loss(w: jax.Array, y: jax.Array) -> jax.Array:
        traces.append(w)
        return jnp.sum(w**2) + jnp.mean(y)

    fit = functools.partial(qj.fit, loss, optimizer=OPTIMIZERS[name])
    result = fit(start, (Y,), steps=350)
    assert len(traces) == 2  # its shape, then its value and gradient
    fit(result.weights, (Y + 1,), steps=350)
    fit(start, (Y,), steps=1)
    assert len(traces) == 2


# The progress bar.


def test_progress_bar(capsys):
    regress(steps=250, progress=True)
    shown = capsys.readouterr().err
    assert "250/250" in shown and f"loss {regress(steps=250).history[-1]:.4g}" in shown
    regress(steps=250)
    assert capsys.readouterr().err == ""


def test_progress_bar_without_tqdm(monkeypatch):
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("tqdm"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=re.escape("pip install 'qmljax[progress]'")):
        regress(progress=True)
    regress()


# Errors.


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        ([], ValueError, "`data` must be arrays with the same number of samples"),
        ((X[:0], Y[:0]), ValueError, "but has shapes (0, 3), (0,)"),
        ((X, Y[:7]), ValueError, "but has shapes (30, 3), (7,)"),
        ((X, 1.0), ValueError, "but has shapes (30, 3), ()"),
        (X, TypeError, "`data` must be a tuple of arrays, such as (x, y) or (x,), but is a ndarray"),
        ({"x": X}, TypeError, "but is a dict"),
        ((X, ["a"] * 30), TypeError, "data[1] has dtype <U1. Encode labels as numbers"),
        ((X, [None] * 30), TypeError, "data[1] has dtype object"),
    ],
)
def test_data_that_do_not_fit(data, error, match):
    with pytest.raises(error, match=re.escape(match)):
        qj.fit(squares, START, data, optimizer=optax.sgd(0.1), steps=1)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"steps": -1}, ValueError, "`steps` must be an integer of at least 0, but is -1"),
        ({"steps": 2.0}, ValueError, "`steps` must be an integer of at least 0, but is 2.0"),
        ({"batch_size": 0, "key": KEY}, ValueError, "`batch_size` must be an integer from 1 to 30"),
        ({"batch_size": 31, "key": KEY}, ValueError, "the number of samples, but is 31"),
        ({"batch_size": 2.0, "key": KEY}, ValueError, "but is 2.0"),
        ({"batch_size": 2}, ValueError, "pass `key=jax.random.key(seed)`, or leave `batch_size` out"),
        ({"batch_size": 2, "key": 7}, ValueError, "`key` is 7"),
        ({"optimizer": 3}, TypeError, "must be an optax transformation, such as optax.adam(1e-2), or the name of"),
        ({"optimizer": "adam"}, ValueError, "`optimizer` names no minimiser: 'adam'. SciPy has Nelder-Mead, Powell"),
    ],
)
def test_options_out_of_range(options, error, match):
    with pytest.raises(error, match=re.escape(match)):
        regress(**options)


@pytest.mark.parametrize(
    "loss",
    [
        lambda w, x, y: (x @ w - y) ** 2,
        lambda w, x, y: (jnp.sum(w), x),
        lambda w, x, y: jnp.sum(y > 0),
        lambda w, x, y: jnp.sum(w)[None],
        lambda w, x, y: jnp.sum(w).astype(complex),
    ],
)
def test_a_loss_that_is_no_real_scalar(loss):
    with pytest.raises(ValueError, match=re.escape("`loss` must return a real scalar, but returns")):
        qj.fit(loss, START, (X, Y), optimizer=optax.sgd(0.1), steps=0)
