"""`fit`. Oracles: least squares by numpy, and the same steps taken one by one by optax in a Python loop."""

import builtins
import functools
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy import ndarray
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj
from qmljax import _files
from qmljax._training import fit
from qmljax._training.compiled_loop import take_steps

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


ADAM, SPSA = optax.adam(0.05), optax.chain(qj.spsa(jax.random.key(1)), optax.sgd(0.01))
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


def seen(**options: Any) -> np.ndarray:
    """How often each step of a fit takes each of 12 samples, (..., steps, 12)."""
    rows, steps = np.arange(12), options["steps"]
    onehot = lambda k: (k[:, None] == rows[None]).sum(axis=0).astype("float32")  # noqa: E731

    def loss(w: jax.Array, k: jax.Array) -> jax.Array:  # its gradient says what was taken; sgd keeps it all
        return jnp.sum(w["t"]) * 0 + jnp.sum(w["w"][w["t"].astype(int)] * onehot(k))

    count = optax.GradientTransformation(lambda p: (), lambda u, s, p=None: (jax.tree.map(jnp.ones_like, u), s))
    rule = optax.partition({"sgd": optax.sgd(1.0), "count": count}, {"w": "sgd", "t": "count"})
    members = options.pop("members", ())
    start = {"w": np.zeros((*members, steps, 12), "float32"), "t": np.zeros(members, "float32")}
    data = options.pop("data", (rows,))
    result = qj.fit(loss, start, data, optimizer=rule, ensemble=bool(members), **options)
    return -np.asarray(result.weights["w"]).astype(int)


def test_batches_with_replacement():
    """Each step draws anew from all: counts are those of independent draws."""
    counts = seen(steps=400, batch_size=6, batches="replacement", key=KEY)
    assert (counts.sum(axis=1) == 6).all() and counts.max() > 1
    assert len({tuple(c) for c in counts}) > 350  # of 400: they differ
    total = counts.sum(axis=0)
    assert ((total - 200) ** 2 / 200).sum() < 31.3  # chi square, 11 degrees of freedom, 0.1 %
    # The number of samples that a step takes: 12 (1 - (11 / 12)**6) in the mean.
    assert abs((counts > 0).sum(axis=1).mean() - 12 * (1 - (11 / 12) ** 6)) < 0.15
    np.testing.assert_array_equal(seen(steps=9, batch_size=6, batches="replacement", key=KEY), counts[:9])


@pytest.mark.parametrize("own_data", [False, True])
def test_batches_that_are_given(own_data):
    table = RNG.integers(12, size=(3, 8, 5))
    expected = (table[..., None] == np.arange(12)).sum(axis=-2)
    data = (np.tile(np.arange(12), (3, 1)),) if own_data else (np.arange(12),)
    given = {"steps": 7, "members": (3,), "data": data, "own_data": own_data}
    np.testing.assert_array_equal(seen(batches=table, **given), expected[:, :7])
    np.testing.assert_array_equal(seen(batches=table[1], **given), expected[[1, 1, 1], :7])
    np.testing.assert_array_equal(seen(batches=table[0], steps=7), expected[0, :7])


@pytest.mark.parametrize("batches", ["epochs", "replacement"])
@pytest.mark.parametrize("own_data", [False, True])
def test_members_with_keys_of_their_own(batches, own_data):
    """Each takes the samples that it takes alone with its key, with data of its own, too."""
    keys, about = jax.random.split(KEY, 3), {"steps": 7, "batch_size": 5, "batches": batches}
    data = (np.tile(np.arange(12), (3, 1)),) if own_data else (np.arange(12),)
    counts = seen(key=keys, members=(3,), data=data, own_data=own_data, **about)
    assert (counts[0] != counts[1]).any() and (counts[1] != counts[2]).any()
    for member in range(3):
        np.testing.assert_array_equal(counts[member], seen(key=keys[member], **about))
    raw = jax.random.key_data(keys)  # keys of the old kind
    np.testing.assert_array_equal(seen(key=raw, members=(3,), data=data, own_data=own_data, **about), counts)
    with pytest.raises(ValueError, match="`key` has one for each of 3 members, but the ensemble has 2"):
        seen(key=keys, members=(2,), **about)


def noisy(w: jax.Array, x: jax.Array, y: jax.Array, *, key: jax.Array) -> jax.Array:
    return squares(w + 0.1 * jax.random.normal(key, w.shape), x, y)


@pytest.mark.parametrize("options", [{}, {"batch_size": 7}, {"batch_size": 7, "batches": "replacement"}])
def test_members_with_keys_equal_single_fits(options, tmp_path):
    """Also where the loss takes keys, members stop at steps of their own, and a checkpoint resumes them."""
    keys, steps = jax.random.split(KEY, 4), 150
    about = {"optimizer": optax.sgd(0.05), "steps": steps, "convergence": 10} | options
    result = qj.fit(noisy, STARTS, (X, Y), key=keys, **about)
    for k, start in enumerate(STARTS):
        single = qj.fit(noisy, start, (X, Y), key=keys[k], **about)
        assert single.stopped_at == result.stopped_at[k] == by_the_study(single.history, 10)
        np.testing.assert_allclose(result.weights[k], single.weights, rtol=0, atol=1e-5)
    assert len(set(result.stopped_at.tolist())) > 1

    def interrupt(step: int, *_: Any) -> None:
        if step >= 30:
            raise KeyboardInterrupt

    about |= {"key": keys, "checkpoint": tmp_path / "run"}
    assert qj.fit(noisy, STARTS, (X, Y), callback=interrupt, **about).stopped == "interrupt"
    same(qj.fit(noisy, STARTS, (X, Y), **about), result)


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
    before = take_steps._cache_size()
    fit(result.weights, (Y + 1,), steps=350)
    assert len(traces) == 4
    fit(start, (Y,), steps=1)
    assert take_steps._cache_size() == before


# Ensembles.


STARTS = RNG.normal(size=(4, 3)).astype("float32")
RATES = np.float32([0.3, 0.1, 0.03, 0.01])


@pytest.mark.parametrize("options", [{}, {"batch_size": None, "key": None}, {"optimizer": OPTIMIZERS["schedule"]}])
def test_members_equal_single_fits(options):
    options = {"steps": 12, "batch_size": 7, "key": KEY, "optimizer": OPTIMIZERS["adam"]} | options
    result = qj.fit(squares, STARTS, (X, Y), **options)
    assert result.history.shape == (4, 12)
    for k, start in enumerate(STARTS):
        single = qj.fit(squares, start, (X, Y), **options)
        np.testing.assert_allclose(result.weights[k], single.weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.history[k], single.history, rtol=1e-5, atol=1e-6)
        for ours, alone in zip(jax.tree.leaves(result.opt_state), jax.tree.leaves(single.opt_state), strict=True):
            np.testing.assert_allclose(ours[k], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chained", [False, True])
def test_members_have_learning_rates_of_their_own(chained):
    def optimizer(rates: Any) -> optax.GradientTransformation:
        inner = optax.inject_hyperparams(optax.adam)(learning_rate=rates)
        return optax.chain(optax.clip_by_global_norm(1.0), inner) if chained else inner

    result = qj.fit(squares, np.tile(START, (4, 1)), (X, Y), optimizer=optimizer(RATES), steps=9)
    for k, rate in enumerate(RATES):
        weights, history, _ = by_hand(squares, jnp.asarray(START), (X, Y), optimizer(rate), 9)
        np.testing.assert_allclose(result.weights[k], weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.history[k], history, rtol=1e-5)
    assert len({float(w) for w in result.weights[:, 0]}) == 4


def test_an_ensemble_is_told_by_its_shape_or_by_the_option():
    assert regress(optimizer=optax.sgd(0.1)).history.shape == (5,)
    assert qj.fit(squares, STARTS, (X, Y), optimizer=optax.sgd(0.1), steps=5).history.shape == (4, 5)
    loss = lambda w, y: jnp.sum(w**2) + jnp.mean(y)  # noqa: E731  takes weights of any shape
    assert qj.fit(loss, STARTS, (Y,), optimizer=optax.sgd(0.1), steps=5).history.shape == (5,)
    assert qj.fit(loss, STARTS, (Y,), optimizer=optax.sgd(0.1), steps=5, ensemble=True).history.shape == (4, 5)
    with pytest.raises((TypeError, ValueError)):
        qj.fit(squares, STARTS, (X, Y), optimizer=optax.sgd(0.1), steps=5, ensemble=False)


@pytest.mark.parametrize("start", [1.0, {"a": np.zeros((2, 3)), "b": np.zeros((3, 3))}, np.zeros((0, 3))])
def test_weights_that_are_no_ensemble(start):
    with pytest.raises(ValueError, match="weights of an ensemble must all have the same number of members"):
        qj.fit(squares, start, (X, Y), optimizer=optax.sgd(0.1), steps=1, ensemble=True)


# Data of its own for each member. Oracle: a fit of each member alone.

OWN_X, OWN_Y = RNG.normal(size=(4, 9, 3)).astype("float32"), RNG.normal(size=(4, 9)).astype("float32")


@pytest.mark.parametrize("options", [{}, {"batch_size": 4, "key": KEY}])
def test_members_have_data_of_their_own(options):
    options = {"optimizer": optax.sgd(0.1), "steps": 7} | options
    result = qj.fit(squares, STARTS, (OWN_X, OWN_Y), own_data=True, validation=(OWN_X[:, :5], OWN_Y[:, :5]), **options)
    for k in range(4):
        held = OWN_X[k, :5], OWN_Y[k, :5]
        alone = qj.fit(squares, STARTS[k], (OWN_X[k], OWN_Y[k]), validation=held, **options)
        np.testing.assert_allclose(result.weights[k], alone.weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.history[k], alone.history, rtol=1e-5)
        np.testing.assert_allclose(result.validation[k], alone.validation, rtol=1e-5)


def test_data_that_could_be_of_all_or_of_each():
    loss = lambda w, x, y: jnp.mean((x @ w[:, None] if x.ndim > 1 else x) ** 2) + jnp.mean(y)  # noqa: E731
    options = {"optimizer": optax.sgd(0.1), "steps": 2, "ensemble": True}
    with pytest.raises(ValueError, match=re.escape("may be 4 samples for all members, or 3 samples for each of the 4")):
        qj.fit(loss, STARTS, (OWN_X[:, 0], OWN_X[:, 0]), **options)
    shared = qj.fit(loss, STARTS, (OWN_X[:, 0], OWN_X[:, 0]), own_data=False, **options)
    assert shared.history.shape == (4, 2)
    assert qj.fit(loss, STARTS, (OWN_X[:, 0], OWN_Y[:, 0]), **options).history.shape == (4, 2)  # labels (4,): samples


@pytest.mark.parametrize(
    ("weights", "data", "options", "match"),
    [
        (STARTS, (OWN_X, OWN_Y[:, :7]), {}, "the same numbers of members and of samples"),
        (STARTS, (OWN_X[:3], OWN_Y[:3]), {}, "one set for each of the R = 4 members"),
        (STARTS, (), {}, "needs data of shape (R, N, ...)"),
        (STARTS, (OWN_X, OWN_Y), {"batch_size": 10, "key": KEY}, "from 1 to 9"),
        (STARTS, (OWN_X, OWN_Y), {"ensemble": False}, "`own_data=True` is for an ensemble"),
        (STARTS, (OWN_X, OWN_Y), {"validation": (OWN_X[:3], OWN_Y[:3])}, "`validation` must be arrays like those"),
    ],
)
def test_data_of_its_own_that_do_not_fit(weights, data, options, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        qj.fit(squares, weights, data, own_data=True, optimizer=optax.sgd(0.1), steps=2, **options)


# Losses that are not finite. Each step of the sgd below adds 1 to the weight: after n steps it is n.


def nan_from(w: jax.Array, at: jax.Array) -> jax.Array:
    return -w + jnp.where(w > at[0] - 0.5, jnp.nan, 0.0)


def inf_from(w: jax.Array, at: jax.Array) -> jax.Array:
    return -w + jnp.where(w > at[0] - 0.5, jnp.inf, 0.0)


def bent_at(w: jax.Array, at: jax.Array) -> jax.Array:
    """Finite, but the derivative at `at` is NaN."""
    return -w + jnp.where(w == at[0], jnp.sqrt((w - at[0]) ** 2), 0.0)


ONE = optax.sgd(1.0)


# 500 steps have 5 between two visits: here is death at a visit's first step, in the middle, at its last, and at once.
@pytest.mark.parametrize("at", [1, 4, 5, 6, 10, 13, 499])
@pytest.mark.parametrize("loss", [nan_from, inf_from])
def test_a_loss_that_is_not_finite_ends_training(at, loss):
    data = (np.float32([at]),)
    with pytest.warns(RuntimeWarning, match=f"not finite at step {at}:"):
        result = qj.fit(loss, 0.0, data, optimizer=ONE, steps=500)
    assert result.stopped == "nan"
    np.testing.assert_array_equal(result.weights, at - 1)
    np.testing.assert_array_equal(result.history[:-1], -np.arange(at))
    assert not np.isfinite(result.history[-1]) and result.history.shape == (at + 1,)
    assert np.isfinite(loss(result.weights, *data))


def test_a_loss_that_is_never_finite():
    with pytest.warns(RuntimeWarning, match="not finite at step 0:"):
        result = qj.fit(lambda w, y: jnp.sum(w) * jnp.nan, START, (Y,), optimizer=OPTIMIZERS["adam"], steps=500)
    np.testing.assert_array_equal(result.weights, START)
    assert result.history.shape == (1,) and result.stopped == "nan"


@pytest.mark.parametrize("at", [0, 3, 4, 5, 9, 499])
def test_a_gradient_that_is_not_finite_ends_training(at):
    """The loss at step `at` is finite, its gradient is not: `at` is the last weight of use."""
    data = (np.float32([at]),)
    assert np.isfinite(bent_at(jnp.float32(at), *data)) and np.isnan(jax.grad(bent_at)(jnp.float32(at), *data))
    with pytest.warns(RuntimeWarning, match=f"was not finite at step {at + 1}:"):
        result = qj.fit(bent_at, 0.0, data, optimizer=ONE, steps=500)
    assert result.stopped == "nan" and float(result.weights) == at
    np.testing.assert_array_equal(result.history[: at + 1], -np.arange(at + 1))


@pytest.mark.parametrize("steps", [3, 500])
def test_weights_that_are_nan_but_not_looked_at_end_training(steps):
    """Where w <= 0 the gradient is NaN by `jnp.where`, and then the loss takes NaN for "not positive": finite."""

    def loss(w: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(w[0] > 1.5, w[0], 0.0) + jnp.sum(jnp.where(w[1] > 0, jnp.sqrt(w[1]), 0.0))

    start = np.float32([1.0, 0.0])
    with pytest.warns(RuntimeWarning, match="was not finite"):
        result = qj.fit(loss, start, (Y,), optimizer=optax.sgd(0.1), steps=steps)
    np.testing.assert_array_equal(result.weights, start)
    assert result.stopped == "nan" and np.isfinite(result.history[0])


def test_members_die_one_by_one():
    def loss(w: dict, y: jax.Array) -> jax.Array:
        return -w["w"] + jnp.where(w["w"] > w["end"] - 0.5, jnp.nan, 0.0)

    ends = np.float32([3, 1000, 5, 6, 17, 0])
    start = {"w": np.zeros(6, "float32"), "end": ends}
    with pytest.warns(RuntimeWarning, match=re.escape("not finite at step 3, 5, 6, 17, 0:")):
        result = qj.fit(loss, start, (Y,), optimizer=optax.sgd(1.0), steps=500, ensemble=True)
    np.testing.assert_array_equal(result.weights["w"], [2, 500, 4, 5, 16, 0])
    assert result.stopped == "steps"
    for member, end in zip(result.history, ends, strict=True):
        np.testing.assert_array_equal(member, np.where(np.arange(500) < end, -np.arange(500), np.nan))
    with pytest.warns(RuntimeWarning):
        start["end"][1] = 30
        result = qj.fit(loss, start, (Y,), optimizer=optax.sgd(1.0), steps=500, ensemble=True)
    assert result.stopped == "nan" and result.history.shape == (6, 31)


def test_divergence_gives_the_weights_of_a_loop():
    """Squares that explode: float32 overflows after some steps, as in a loop by hand."""
    with pytest.warns(RuntimeWarning) as caught:
        result = regress(optimizer=optax.sgd(30.0), steps=300)
    death = len(result.history) - 1
    assert f"at step {death}:" in str(caught[0].message) and 5 < death < 300
    weights, history, _ = by_hand(squares, jnp.asarray(START), (X, Y), optax.sgd(30.0), death - 1)
    np.testing.assert_allclose(result.weights, weights, rtol=1e-4)
    np.testing.assert_allclose(result.history[: death - 1], history, rtol=1e-4)
    assert np.isfinite(squares(result.weights, X, Y)) and np.isfinite(result.weights).all()


# Validation and the rules for stopping.

HELD = RNG.normal(size=(9, 3)).astype("float32"), RNG.normal(size=9).astype("float32")


@pytest.mark.parametrize("optimizer", [optax.adam(0.1), "BFGS"])
def test_validation_is_the_loss_at_the_visits(optimizer):
    seen = []
    result = regress(
        optimizer=optimizer, steps=250, validation=HELD, callback=lambda n, w, _: seen.append((n, squares(w, *HELD)))
    )
    np.testing.assert_array_equal(result.visits, [n for n, _ in seen])
    np.testing.assert_allclose(result.validation, [v for _, v in seen], rtol=1e-5)
    assert regress().validation is None


def test_validation_of_an_ensemble_and_of_nothing():
    result = qj.fit(squares, STARTS, (X, Y), optimizer=optax.sgd(0.1), steps=250, validation=HELD)
    assert result.validation.shape == (4, len(result.visits))
    for k in range(4):
        np.testing.assert_allclose(result.validation[k, -1], squares(result.weights[k], *HELD), rtol=1e-5)
    assert regress(steps=0, validation=HELD).validation.shape == (0,)
    assert qj.fit(squares, STARTS, (X, Y), optimizer=optax.sgd(0.1), steps=0, validation=HELD).validation.shape == (
        4,
        0,
    )


@pytest.mark.parametrize("validation", [HELD[:1], (HELD[0][:, :2], HELD[1]), (*HELD, HELD[1])])
def test_validation_unlike_the_data(validation):
    with pytest.raises(ValueError, match="`validation` must be arrays like those of `data`"):
        regress(validation=validation)


def test_patience_returns_the_best_weights():
    """The weight goes 0, 1, 2, ...; the validation loss is (w - 7)^2, the training loss -w."""
    loss = lambda w, kind: jnp.mean(jnp.where(kind == 0, -w, (w - 7) ** 2))  # noqa: E731
    options = {"optimizer": optax.sgd(1.0), "steps": 100, "validation": (np.ones(2),)}
    result = qj.fit(loss, 0.0, (np.zeros(3),), patience=4, **options)
    assert result.stopped == "patience" and result.history.shape == (11,)
    assert float(result.weights) == 7
    np.testing.assert_array_equal(result.validation, (np.arange(1, 12) - 7) ** 2)
    unhurried = qj.fit(loss, 0.0, (np.zeros(3),), patience=100, **options)
    assert unhurried.stopped == "steps" and float(unhurried.weights) == 7
    assert float(qj.fit(loss, 0.0, (np.zeros(3),), **options).weights) == 100


def test_patience_of_an_ensemble_and_of_the_training_loss():
    def loss(w: dict, y: jax.Array) -> jax.Array:  # falls to 0 at `low`, where it ends to fall
        return jnp.where(w["w"] < w["low"], w["low"] - w["w"], 0.0)

    start = {"w": np.zeros(3, "float32"), "low": np.float32([2, 20, 5])}
    freeze = optax.masked(optax.set_to_zero(), {"w": False, "low": True})
    optimizer = optax.chain(freeze, optax.sgd(1.0))
    result = qj.fit(loss, start, (Y,), optimizer=optimizer, steps=100, patience=3, ensemble=True)
    assert result.stopped == "patience"
    best = 1 + np.array([2, 20, 5])  # history[k] is the loss before step k + 1, so that the visit after sees it
    assert result.history.shape == (3, best.max() + 3)
    np.testing.assert_array_equal(result.weights["w"], start["low"])


def by_the_study(history: np.ndarray, window: int) -> int:
    """Steps taken by the rule of arXiv:2403.07059, as its code has it; all of them if it does not stop."""
    losses = np.asarray(history, float)
    for step in range(2 * window + 1, len(losses)):
        last, before = losses[step + 1 - window : step + 1], losses[step + 1 - 2 * window : step + 1 - window]
        if abs(before.mean() - last.mean()) <= last.std() / np.sqrt(window) / 2:
            return step + 1
    return len(losses)


@pytest.mark.parametrize("steps", [150, 2000])
@pytest.mark.parametrize("window", [2, 5, 20])
def test_convergence(window, steps):
    options = {"optimizer": optax.sgd(0.02), "batch_size": 3, "key": KEY}
    whole = regress(steps=steps, **options)
    stop = by_the_study(whole.history, window)
    result = regress(steps=steps, convergence=window, **options)
    assert result.stopped == ("convergence" if stop < steps else "steps")
    assert result.stopped_at.shape == () and result.stopped_at == stop == result.visits[-1]
    np.testing.assert_array_equal(result.history, whole.history[:stop])
    np.testing.assert_array_equal(result.weights, regress(steps=stop, **options).weights)


ROWS = np.linspace(-1, 1, 40).astype("float32")


def valley(w: jax.Array, noise: jax.Array) -> jax.Array:
    return w**2 + 0.3 * jnp.mean(noise) * w


def many(steps: int = 1500, window: int | None = 25, **options: Any) -> qj.FitResult:
    """16 members in a valley, with noise; from far away it takes longer."""
    given = {"optimizer": optax.sgd(0.004), "batch_size": 4, "key": KEY, "convergence": window} | options
    return qj.fit(valley, np.geomspace(0.1, 30, 16).astype("float32"), (ROWS,), steps=steps, ensemble=True, **given)


def test_members_converge_at_their_own_steps(tmp_path):
    whole, result = many(window=None), many()
    stops = [by_the_study(h, 25) for h in whole.history]
    np.testing.assert_array_equal(result.stopped_at, stops)
    assert result.stopped == "convergence" and len(set(stops)) > 8 and result.history.shape == (16, max(stops))
    for member in (0, 5, 15):
        np.testing.assert_array_equal(result.history[member, : stops[member]], whole.history[member, : stops[member]])
        assert np.isnan(result.history[member, stops[member] :]).all()
        np.testing.assert_array_equal(result.weights[member], many(stops[member], None).weights[member])
    np.testing.assert_array_equal(many(max(stops)).stopped_at, stops)  # whatever the visits

    def interrupt(step: int, *_: Any) -> None:
        if step >= 400:
            raise KeyboardInterrupt

    file = {"checkpoint": tmp_path / "run"}
    assert many(callback=interrupt, **file).stopped == "interrupt"
    same(many(**file), result)
    same(many(**file), result)


def test_convergence_and_patience_and_validation():
    """Patience ends what has not converged; members that have do not wait."""
    result = many(patience=10_000, validation=(ROWS,))
    np.testing.assert_array_equal(result.stopped_at, many().stopped_at)
    assert result.stopped == "convergence" and result.validation.shape == (16, len(result.visits))


def test_a_member_that_converges_where_another_one_dies():
    def loss(w: dict, y: jax.Array) -> jax.Array:  # one runs until it is NaN, the other one rests
        return jnp.where(w["v"] > 0, -w["w"] + jnp.where(w["w"] > 12.5, jnp.nan, 0.0), 0 * w["w"])

    start = {"w": np.zeros(2, "float32"), "v": np.float32([1, -1])}
    with pytest.warns(RuntimeWarning, match="not finite at step 13:"):
        result = qj.fit(loss, start, (Y,), optimizer=optax.sgd(1.0), steps=500, ensemble=True, convergence=3)
    np.testing.assert_array_equal(result.stopped_at, [13, 8])  # of equal losses: after 2 * 3 + 2
    np.testing.assert_array_equal(result.weights["w"], [12, 0])
    assert result.stopped == "convergence"


def test_a_dead_member_does_not_keep_the_others_from_converging():
    def loss(w: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.where(w > 9, jnp.nan, w**2)

    with pytest.warns(RuntimeWarning, match="step 0:"):
        result = qj.fit(
            loss, np.float32([1, 10]), (Y,), optimizer=optax.sgd(0.1), steps=2000, convergence=5, ensemble=True
        )
    assert result.stopped == "convergence" and result.history.shape[1] < 2000


@pytest.mark.parametrize("optimizer", [ADAM, "L-BFGS-B", "COBYLA", "SLSQP", "TNC", "trust-constr"])
@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt])
def test_a_callback_ends_training(optimizer, error):
    reached = []

    def callback(step: int, weights: Any, value: float) -> None:
        reached.append(weights)
        if step >= 3:
            raise error

    result = regress(optimizer=optimizer, steps=100, callback=callback, validation=HELD)
    assert result.stopped == {StopIteration: "callback", KeyboardInterrupt: "interrupt"}[error]
    assert result.history.shape == result.visits.shape == result.validation.shape == (3,)
    np.testing.assert_array_equal(result.weights, reached[-1])


def test_an_error_in_the_callback_is_raised():
    def callback(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        regress(callback=callback)


@pytest.mark.parametrize("at", [1, 2, 4])
def test_an_interruption_during_validation_leaves_no_half_look(monkeypatch, tmp_path, at):
    real, calls = fit.losses_of, []

    def interrupted(*args: Any, **named: Any) -> Any:
        calls.append(0)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(*args, **named)

    options = {"steps": 20, "validation": HELD, "patience": 5, "checkpoint": tmp_path / "run"}
    monkeypatch.setattr(fit, "losses_of", interrupted)
    result = regress(**options)
    assert result.stopped == "interrupt"
    assert len(result.visits) == len(result.validation) == len(result.history) == at - 1
    np.testing.assert_array_equal(result.history, regress(steps=20).history[: at - 1])
    monkeypatch.undo()
    same(regress(**options), regress(**options | {"checkpoint": None}))


# Checkpoints.


def same(one: qj.FitResult, other: qj.FitResult) -> None:
    """To the bit."""
    assert one.stopped == other.stopped
    one, other = (jax.tree.leaves(r, is_leaf=lambda leaf: leaf is None) for r in (one, other))
    for a, b in zip(one, other, strict=True):
        if a is not None and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


CHECKPOINTED = {
    "full": {},
    "batches": {"batch_size": 7, "key": KEY},
    "spsa": {"optimizer": SPSA, "batch_size": 7, "key": KEY},
    "patience": {"validation": HELD, "patience": 1000, "batch_size": 7, "key": KEY},
    "hyperparameters": {"optimizer": OPTIMIZERS["hyperparameters"]},
    "ensemble": {"weights": STARTS, "batch_size": 7, "key": KEY, "validation": HELD, "patience": 1000},
    "rates": {"weights": STARTS, "optimizer": optax.inject_hyperparams(optax.adam)(learning_rate=RATES)},
    "spsa ensemble": {"weights": STARTS, "optimizer": SPSA},
}


def checkpointed(name: str, **options: Any) -> qj.FitResult:
    chosen = {"weights": START, "optimizer": ADAM, "steps": 300} | CHECKPOINTED[name] | options
    return qj.fit(squares, chosen.pop("weights"), (X, Y), **chosen)


@pytest.mark.parametrize("name", CHECKPOINTED)
def test_an_interrupted_run_is_resumed_to_the_bit(name, tmp_path):
    def interrupt(at: int) -> Callable:
        def callback(step: int, *_: Any) -> None:
            if step >= at:
                raise KeyboardInterrupt

        return callback

    path = tmp_path / "run"
    for at in (3, 100, 201):
        assert checkpointed(name, checkpoint=path, callback=interrupt(at)).stopped == "interrupt"
    resumed, whole = checkpointed(name, checkpoint=path), checkpointed(name)
    same(resumed, whole)
    same(checkpointed(name, checkpoint=path), whole)  # a run that has ended is not run again
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


KILLED = """
import sys, time
sys.path[:0] = {paths!r}
import test_fit
test_fit.checkpointed({name!r}, checkpoint={path!r}, callback=lambda *_: time.sleep(0.02))
"""


@pytest.mark.parametrize("name", ["spsa", "ensemble"])
def test_a_killed_run_is_resumed_to_the_bit(name, tmp_path):
    path = tmp_path / "run"
    folders = [str(Path(qj.__file__).parents[1]), str(Path(__file__).parent)]
    script = KILLED.format(paths=folders, name=name, path=str(path))
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        try:
            step, until = 0, time.monotonic() + 120
            while step == 0 and time.monotonic() < until and process.poll() is None:
                time.sleep(0.02)
                if path.exists():
                    step = len(_files.read(path, "checkpoint")[1]["history"].T)  # never half a file
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    assert 0 < len(_files.read(path, "checkpoint")[1]["history"].T) < 300
    same(checkpointed(name, checkpoint=path), checkpointed(name))


def test_more_steps_than_before(tmp_path):
    path = tmp_path / "run"
    checkpointed("batches", checkpoint=path, steps=120)
    longer, whole = checkpointed("batches", checkpoint=path, steps=300), checkpointed("batches")
    np.testing.assert_array_equal(longer.history, whole.history)
    np.testing.assert_array_equal(longer.weights, whole.weights)
    with pytest.raises(ValueError, match="is at step 300, but `steps` is 299. Give as many steps or more"):
        checkpointed("batches", checkpoint=path, steps=299)


@pytest.mark.parametrize(
    ("rule", "stopped"), [({"patience": 5, "validation": HELD}, "patience"), ({"convergence": 5}, "convergence")]
)
def test_a_run_that_stopped_by_a_rule_stays_stopped(rule, stopped, tmp_path):
    options = {"steps": 400, "batch_size": 5, "key": KEY, "optimizer": optax.sgd(0.2), "checkpoint": tmp_path / "run"}
    first = regress(**options, **rule)
    assert first.stopped == stopped and len(first.history) < 400
    same(regress(**options, **rule), first)


@pytest.mark.parametrize("at", [5, 6, 10, 13])
def test_a_resumed_run_dies_like_one_without_a_break(at, tmp_path):
    """Also when the loss at the first step after the break is NaN, so that the weights of use are before the break."""

    def interrupt(step: int, *_: Any) -> None:
        if step == 5:
            raise KeyboardInterrupt

    data, options = (np.float32([at]),), {"optimizer": ONE, "steps": 500, "checkpoint": tmp_path / "run"}
    qj.fit(nan_from, 0.0, data, **options, callback=interrupt)
    for _ in range(2):  # the second time it reads that the run has died
        with pytest.warns(RuntimeWarning, match=f"at step {at}:"):
            resumed = qj.fit(nan_from, 0.0, data, **options)
        with pytest.warns(RuntimeWarning):
            same(resumed, qj.fit(nan_from, 0.0, data, **options | {"checkpoint": None}))
        assert float(resumed.weights) == at - 1


@pytest.mark.parametrize(
    "other",
    [
        {"weights": START + 1},
        {"batch_size": 6},
        {"key": jax.random.key(9)},
        {"validation": (HELD[0] + 1, HELD[1])},
        {"validation": None},
        {"patience": 999},
        {"convergence": 50},
        {"optimizer": optax.sgd(0.1)},
    ],
)
def test_the_checkpoint_of_another_run_is_refused(other, tmp_path):
    path = tmp_path / "run"
    checkpointed("patience", checkpoint=path, steps=20)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="was written by a run with other data, weights, key or options. Delete it"):
        checkpointed("patience", checkpoint=path, steps=20, **other)
    with pytest.raises(ValueError, match="other data"):
        options = {"batch_size": 7, "key": KEY, "validation": HELD, "patience": 1000, "checkpoint": path}
        qj.fit(squares, START, (X, Y + 1), optimizer=ADAM, steps=20, **options)
    assert path.read_bytes() == content


def test_a_checkpoint_that_is_no_checkpoint(tmp_path):
    path = tmp_path / "run"
    for content in (b"", b"hello, world", np.zeros(100).tobytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is truncated, or no file of qmljax"):
            regress(checkpoint=path)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "edit",
    [
        lambda header, arrays: arrays.pop("history"),
        lambda header, arrays: header.pop("stopped"),
        lambda header, arrays: header.update(stopped=3),
        lambda header, arrays: arrays.update({"0": np.zeros(9)}),
        lambda header, arrays: arrays.update(best=np.zeros(3)),
        lambda header, arrays: arrays.update(since=np.zeros(2)),
        lambda header, arrays: arrays.pop("1"),
    ],
)
def test_an_edited_checkpoint_is_refused(edit, tmp_path):
    """With a right checksum."""
    path = tmp_path / "run"
    regress(checkpoint=path, steps=20)
    header, arrays = _files.read(path, "checkpoint")
    edit(header, arrays)
    _files.write(path, "checkpoint", header, arrays)
    with pytest.raises(ValueError, match="run' is damaged, or was not written by qmljax"):
        regress(checkpoint=path, steps=20)


def test_a_checkpoint_that_cannot_be_written_fails_before_the_first_step(tmp_path):
    calls = []
    with pytest.raises(FileNotFoundError, match="there is no folder .*missing' for 'run'. Make it first"):
        regress(checkpoint=tmp_path / "missing" / "run", callback=lambda *_: calls.append(0))
    assert not calls


def test_a_resumed_run_compiles_nothing_anew(tmp_path):
    traces = []

    def loss(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        traces.append(w)
        return squares(w, x, y)

    for optimizer in (OPTIMIZERS["clipped"], OPTIMIZERS["hyperparameters"]):
        path = tmp_path / str(len(traces))
        options = {"optimizer": optimizer, "checkpoint": path}
        result = qj.fit(loss, START, (X, Y), steps=30, **options)
        before = take_steps._cache_size()
        qj.fit(loss, START, (X, Y), steps=150, **options)
        qj.fit(loss, result.weights, (X, Y), optimizer=optimizer, opt_state=result.opt_state, steps=30)
        assert take_steps._cache_size() == before


def test_opt_state_carries_a_run_on():
    half = regress(steps=30, optimizer=ADAM)
    rest = qj.fit(squares, half.weights, (X, Y), optimizer=ADAM, steps=30, opt_state=half.opt_state)
    whole = regress(steps=60, optimizer=ADAM)
    np.testing.assert_array_equal(rest.weights, whole.weights)
    np.testing.assert_array_equal(np.concatenate([half.history, rest.history]), whole.history)


def full_disk(*_: Any) -> None:
    raise OSError(28, "No space left on device", "/tmp/.run.123.part")


def test_a_checkpoint_that_fails_later_loses_no_training(monkeypatch, tmp_path):
    path, expected = tmp_path / "run", checkpointed("batches")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    checkpointed("batches", checkpoint=path, callback=interrupt)
    monkeypatch.setattr(_files, "write", full_disk)
    with pytest.warns(RuntimeWarning, match=r"run' could not be written at step \d+: No space left") as caught:
        result = checkpointed("batches", checkpoint=path)
    same(result, expected)
    assert len(caught) <= 2 and not any(".part" in str(w.message) for w in caught)
    monkeypatch.undo()
    same(checkpointed("batches", checkpoint=path), expected)  # from what was there


def test_a_full_disk_at_the_start_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(_files, "write", full_disk)
    with pytest.raises(OSError, match="Give another name") as caught:
        regress(checkpoint=tmp_path / "run")
    assert caught.value.filename == str(tmp_path / "run")


@pytest.mark.parametrize("name", ["patience", "spsa ensemble"])
def test_stretches_cut_by_time_change_nothing(name, monkeypatch, tmp_path):
    """All stretches are one step long; the visits, and a run resumed between two of them, are the same."""
    expected = checkpointed(name)
    monkeypatch.setattr(fit, "SECONDS", -1.0)
    same(checkpointed(name), expected)
    real, calls = fit.settle, []

    def interrupted(*args: Any) -> Any:
        calls.append(0)
        if len(calls) == 101:  # 3 steps between visits
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(fit, "settle", interrupted)
    half = checkpointed(name, checkpoint=tmp_path / "run")
    assert half.stopped == "interrupt" and half.history.shape[-1] == 100 and half.visits[-1] == 99
    same(checkpointed(name, checkpoint=tmp_path / "run"), expected)


# The result.


def test_a_result_is_a_pytree_that_keeps_what_it_says():
    result = checkpointed("ensemble", steps=20)
    weights, history, state = result
    assert weights is result.weights and history is result.history and state is result.opt_state
    for copy in (jax.device_get(result), jax.tree.map(lambda a: a, result), result._replace(opt_state=None)):
        assert isinstance(copy, qj.FitResult) and copy.stopped == "steps"
        for name in ("weights", "history", "visits", "validation", "stopped_at"):
            np.testing.assert_array_equal(getattr(copy, name), getattr(result, name))
    np.testing.assert_array_equal(result.stopped_at, [20] * 4)
    assert regress().stopped_at == 5


def test_min_delta():
    """A validation loss that falls by 1 at each step: that is no fall where 1.5 are asked for."""
    options = {"optimizer": optax.sgd(1.0), "steps": 60, "patience": 4}
    loss = lambda w: 100 - w + 0 * w**2  # noqa: E731
    assert qj.fit(loss, 0.0, (), min_delta=0.5, **options).stopped == "steps"
    result = qj.fit(loss, 0.0, (), min_delta=10.0, **options)
    assert result.stopped == "patience" and result.stopped_at == 5 and float(result.weights) == 1


# Statistics of mini-batches. Bounds are those of binomial counts, at 5 standard deviations.


def test_the_order_of_samples_is_uniform():
    epochs = drawn(6, 2, 600)
    first = np.array([[k in batches[0] for k in range(6)] for batches in epochs])  # each sample: a third of them
    np.testing.assert_allclose(first.mean(axis=0), 1 / 3, rtol=0, atol=5 * np.sqrt(2 / 9 / 600))
    pairs = {frozenset(batches[0]) for batches in epochs}
    assert len(pairs) == 15  # all of them
    repeated = np.mean([a[0] == b[0] for a, b in zip(epochs[:-1], epochs[1:], strict=True)])
    assert abs(repeated - 1 / 15) < 5 * np.sqrt(1 / 15 / 599)  # an epoch does not depend on the one before


# The progress bar.


@pytest.mark.parametrize("state", [optax.sgd(0.1).init(START), ADAM.init(STARTS), ADAM.init(START)[0]])
def test_an_opt_state_that_does_not_fit(state):
    with pytest.raises(ValueError, match="`opt_state` must be what an earlier result holds, for the same optimizer"):
        qj.fit(squares, START, (X, Y), optimizer=ADAM, steps=3, opt_state=state)
    with pytest.raises(ValueError, match="`opt_state` must be"):  # of an ensemble, every count has its member
        qj.fit(squares, STARTS, (X, Y), optimizer=ADAM, steps=3, opt_state=ADAM.init(STARTS))


@pytest.mark.parametrize("optimizer", [ADAM, "BFGS"])
def test_weights_that_cannot_be_trained(optimizer):
    with pytest.raises(TypeError, match="`weights` must be real, but have dtype complex64"):
        qj.fit(lambda w: jnp.abs(w - 1j) ** 2, 0j, (), optimizer=optimizer, steps=3)
    with pytest.raises(ValueError, match="`weights` must hold an array at least, but are {}"):
        qj.fit(lambda w: 0.0, {}, (), optimizer=optimizer, steps=3)


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
        ({"steps": -1}, ValueError, "`steps` must be an integer from 0 on, but is -1"),
        ({"steps": 2.0}, ValueError, "`steps` must be an integer from 0 on, but is 2.0"),
        ({"batch_size": 0, "key": KEY}, ValueError, "`batch_size` must be a number of samples from 1 to 30"),
        ({"batch_size": 2}, ValueError, "pass `key=jax.random.key(seed)`, or leave `batch_size` out"),
        ({"batch_size": 2, "key": 7}, TypeError, "`key` must be a JAX random key, such as jax.random.key(0), but is 7"),
        ({"patience": 0}, ValueError, "`patience` must be a number of steps from 1 on, or None, but is 0"),
        ({"convergence": 1}, ValueError, "`convergence` must be a number of steps from 2 on, or None, but is 1"),
        (
            {"batch_size": 2, "key": jax.random.split(KEY, 3)},
            ValueError,
            "`key` has one for each of 3",
        ),
        ({"batch_size": 2, "key": np.zeros((3, 2), "uint32")}, ValueError, "but the weights are no"),
        ({"key": jax.random.split(KEY, (3, 2))}, ValueError, "Pass one of them, or one for each member of an ensemble"),
        ({"batches": "epoch"}, ValueError, "`batches` must be 'epochs', 'replacement', or an array with the numbers"),
        ({"batches": "replacement"}, ValueError, "`batches='replacement'` needs `batch_size`"),
        ({"batches": np.zeros((4, 4), int)}, ValueError, "numbers of the samples of each of the 5 steps"),
        ({"batches": np.zeros((20, 4))}, ValueError, "but is an array of float64 of shape (20, 4)"),
        ({"batches": np.full((20, 4), 30)}, ValueError, "numbers of samples from 0 to 29, but holds 30 to 30"),
        ({"batches": np.zeros((20, 4), int), "batch_size": 3}, ValueError, "`batch_size` must be 4, as `batches`"),
        ({"batches": np.zeros((2, 20, 4), int)}, ValueError, "`batches` has one for each of 2 members"),
        ({"key": np.zeros(2)}, TypeError, "`key` must be a JAX random key"),
        ({"min_delta": -1.0, "patience": 2}, ValueError, "`min_delta` must be a finite number of at least 0"),
        ({"min_delta": 1.0}, ValueError, "`min_delta` belongs to `patience`"),
        ({"callback": 3}, TypeError, "`callback` must be a function"),
        ({"callback": lambda w, loss: None}, TypeError, "must take three arguments, callback(step, weights, loss)"),
        ({"own_data": "yes"}, TypeError, "`own_data` must be True, False or None"),
        ({"ensemble": "yes"}, TypeError, "`ensemble` must be True, False or None"),
        ({"tol": 1e-3}, ValueError, "`tol` belongs to SciPy's minimisers"),
        ({"bounds": [(0, 1)] * 3, "options": {}}, ValueError, "`bounds`, `options` belong to SciPy's minimisers"),
        ({"checkpoint": 3}, TypeError, "`checkpoint` must be the name of a file"),
        ({"checkpoint": "/"}, ValueError, "`checkpoint` must be the name of a file, but '/' is a folder"),
        ({"optimizer": "BFGS", "batch_size": 2, "key": KEY}, ValueError, "'BFGS' takes no ensemble, `batch_size`"),
        ({"optimizer": "BFGS", "checkpoint": "run"}, ValueError, "Use an optax transformation for these"),
        ({"optimizer": 3}, TypeError, "must be an optax transformation, such as optax.adam(1e-2), or the name of"),
        ({"optimizer": 3}, TypeError, 'such as optimizer="COBYLA", options={"maxiter": 60}, but is 3'),
        ({"optimizer": "adam"}, ValueError, "`optimizer` names no minimiser: 'adam'. SciPy has Nelder-Mead, Powell"),
        ({"optimizer": "SPSA"}, ValueError, "optax transformations, such as optax.adam(0.1), or qj.spsa(key)"),
    ],
)
def test_options_out_of_range(options, error, match):
    with pytest.raises(error, match=re.escape(match)):
        regress(**options)


@pytest.mark.parametrize("optimizer", [ADAM, "BFGS"])
@pytest.mark.parametrize("weights", ["a", ["a", 1.0], np.array(["a"]), {"w": object()}, jax.random.key(0)])
def test_weights_that_are_no_numbers(weights, optimizer):
    with pytest.raises(TypeError, match="`weights` must be (an array of numbers|numbers)"):
        qj.fit(lambda w: 0.0, weights, (), optimizer=optimizer, steps=1)


def test_a_loss_that_is_no_function():
    with pytest.raises(TypeError, match="`loss` must be a function, .* but is 3"):
        qj.fit(3, START, (X, Y), optimizer=ADAM, steps=1)


def test_fit_is_not_traced():
    for weights, data in ((None, X), (START, None)):
        with pytest.raises(
            TypeError, match="must be arrays, but are being traced: `fit` cannot run inside of `jax.jit`"
        ):
            jax.jit(lambda a, w=weights, x=data: regress_of(a if w is None else w, a if x is None else x))(
                START if weights is None else X
            )
    with pytest.raises(TypeError, match="hold values that are being traced: call `fit` outside of `jax.jit`"):
        jax.vmap(lambda y: qj.fit(lambda w: jnp.sum((w - y) ** 2), START, (), optimizer=ADAM, steps=1).weights)(STARTS)


def regress_of(weights: Any, x: Any) -> Any:
    return qj.fit(squares, weights, (x, Y), optimizer=ADAM, steps=1).weights


@pytest.mark.parametrize("make", [optax.adam, optax.sgd])
def test_rates_of_members_are_injected(make):
    with pytest.raises(ValueError, match=re.escape("optax.inject_hyperparams(optax.adam)(learning_rate=rates)")):
        qj.fit(squares, STARTS, (X, Y), optimizer=make(RATES), steps=2)


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


def test_an_expectation_value_of_rows_of_weights_is_an_ensemble():
    energy = qj.expectation(real_amplitudes(2, reps=1), "ZX")
    starts = RNG.normal(size=(3, 4)).astype("float32")
    many = qj.fit(energy, starts, (), optimizer=optax.sgd(0.1), steps=4)
    assert many.history.shape == (3, 4)
    for start, weights in zip(starts, many.weights, strict=True):
        alone = qj.fit(energy, start, (), optimizer=optax.sgd(0.1), steps=4)
        np.testing.assert_allclose(weights, alone.weights, rtol=1e-5, atol=1e-6)
