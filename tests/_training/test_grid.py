"""`grid_search`. Oracles: runs one by one, by hand with optax; scikit-learn's folds; counts of programs."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

import qmljax as qj
from qmljax._training import grid as room

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2)).astype("float32")
Y = np.sign(X[:, 0] + 0.3 * RNG.normal(size=30)).astype("float32")
KEY = jax.random.key(7)
GRID = {"power": [1, 2], "learning_rate": [0.05, 0.2]}


@pytest.fixture(autouse=True)
def promotion(standard_promotion: None) -> None:
    """By hand, Adam's bias correction promotes."""


def build(power: int) -> tuple[Any, Any, Any]:
    """Regression on powers of the features."""

    def loss(w: Any, x: Any, y: Any) -> Any:
        return jnp.mean((jnp.dot(x**power, w) - y) ** 2)

    return lambda key: jax.random.normal(key, (2,)), loss, lambda w, x, y: jnp.mean(jnp.sign(x**power @ w) == y)


def search(**options: Any) -> dict[str, np.ndarray]:
    given = {"grid": GRID, "data": (X, Y), "folds": 3, "repeats": 2, "steps": 40, "key": KEY} | options
    return qj.grid_search(given.pop("build", build), **given)


def test_rows_are_runs_one_by_one():
    """Folds of scikit-learn, scaled by the training points of each; by hand, a loop around optax."""
    folds = list(StratifiedKFold(3).split(X, Y))

    def prepare(x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaler = StandardScaler().fit(x)
        return scaler.transform(x), scaler.transform(other)

    table = search(folds=iter(folds), prepare=prepare, repeats=1)
    assert list(table) == ["power", "learning_rate", *room.MEASURED] and {len(c) for c in table.values()} == {12}
    assert len({*zip(table["power"], table["learning_rate"], table["fold"], strict=True)}) == 12
    start = None
    for k in range(12):
        power, rate, fold = (table[name][k] for name in ("power", "learning_rate", "fold"))
        train, test = folds[fold]
        x, other = prepare(X[train], X[test])
        init, loss, score = build(int(power))
        w = init(jax.random.split(jax.random.split(KEY, 1)[0])[0])
        start = w if start is None else start
        np.testing.assert_array_equal(w, start)  # a repeat is a seed
        rule = optax.adam(float(rate))
        state = rule.init(w)
        for _ in range(40):
            value, gradient = jax.value_and_grad(loss)(w, x, Y[train])
            updates, state = rule.update(gradient, state)
            w = optax.apply_updates(w, updates)
        np.testing.assert_allclose(table["loss"][k], value, rtol=1e-4)
        assert table["train_score"][k] == pytest.approx(float(score(w, x, Y[train])), abs=1e-6)
        assert table["test_score"][k] == pytest.approx(float(score(w, other, Y[test])), abs=1e-6)
        assert table["steps"][k] == 40


def test_one_program_a_circuit(monkeypatch):
    calls, original = [], room.fit

    def spy(loss: Any, weights: Any, data: Any, **about: Any) -> Any:
        calls.append((weights.shape, data[0].shape))
        return original(loss, weights, data, **about)

    monkeypatch.setattr(room, "fit", spy)
    table = search(batch_size=4, batches="replacement", convergence=5)
    assert calls == [((12, 2), (12, 20, 2))] * 2 and len(table["steps"]) == 24
    assert (table["steps"] > 10).all() and len({*table["steps"]}) > 3  # each stops by itself
    parts = search(batch_size=4, batches="replacement", convergence=5, at_once=6)
    assert calls[2:] == [((6, 2), (6, 20, 2))] * 4
    for name in set(table) - {"seconds"}:
        np.testing.assert_allclose(parts[name], table[name], rtol=1e-5)
    calls.clear()
    sizes = search(folds=4, repeats=1)  # of 30: 22 and 23 for training
    assert sorted(data for _, data in calls) == [(4, 22, 2), (4, 22, 2), (4, 23, 2), (4, 23, 2)]
    assert sorted({*sizes["fold"]}) == [0, 1, 2, 3]
    first, again = (search(repeats=3, folds=2) for _ in range(2))
    for name in set(first) - {"seconds"}:
        np.testing.assert_array_equal(first[name], again[name])
    assert len({first["loss"][(first["fold"] == 0) & (first["learning_rate"] == 0.05)][k] for k in range(3)}) == 3


def test_a_search_goes_on_where_it_was(tmp_path):
    file, built = tmp_path / "search.json", []

    def counted(power: int) -> Any:
        if len(built) == 1 and power == 2:
            built.append("broken")
            raise KeyboardInterrupt
        built.append(power)
        return build(power)

    with pytest.raises(KeyboardInterrupt):
        search(build=counted, file=file)
    table = search(build=counted, file=file)
    assert built == [1, "broken", 2]
    again = search(build=counted, file=file)
    assert built == [1, "broken", 2]
    for name in table:
        np.testing.assert_array_equal(table[name], again[name])
        if name != "seconds":
            np.testing.assert_array_equal(table[name], search()[name]) if name == "loss" else None
    for other in ({"steps": 41}, {"key": jax.random.key(8)}, {"data": (X, -Y)}, {"grid": GRID | {"power": [1, 3]}}):
        with pytest.raises(ValueError, match="of a search with another grid, data, key or options. Delete it"):
            search(file=file, **other)
    file.write_text(json.dumps({"search": 3}))
    with pytest.raises(ValueError, match="is no file of a search, or damaged"):
        search(file=file)


def test_a_circuit():
    """A model of the library, batches that are given, and an optimiser that takes nothing of the grid."""
    from qiskit.circuit.library import real_amplitudes, z_feature_map

    feature_map = z_feature_map(2, reps=1)

    def circuit() -> Any:
        model = qj.estimator_qnn(feature_map.compose(real_amplitudes(2, reps=1)), inputs=feature_map.parameters)
        loss = lambda w, x, y: jnp.mean((model(w, x)[:, 0] - y) ** 2)  # noqa: E731
        return lambda key: jax.random.uniform(key, (4,)), loss, lambda *all: -loss(*all)

    numbers = RNG.integers(20, size=(30, 5))
    given = {"grid": {}, "folds": 3, "repeats": 1, "steps": 30, "build": circuit, "batches": numbers}
    slow, fast = (search(optimizer=lambda rate=rate: optax.sgd(rate), **given) for rate in (0.0, 0.05))
    assert list(slow) == list(room.MEASURED) and len(slow["loss"]) == 3
    assert (fast["train_score"] > slow["train_score"]).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"build": 3}, TypeError, "`build` must be a function"),
        ({"build": lambda power: (1, 2)}, TypeError, r"`build` must return three functions \(init, loss, score\)"),
        ({"optimizer": optax.adam(0.1)}, TypeError, "`optimizer` must be a function, which makes an optax transf"),
        ({"prepare": 3}, TypeError, "`prepare` must be a function"),
        ({"grid": [1]}, TypeError, "`grid` must be a mapping of names to values"),
        ({"grid": {"power": []}}, ValueError, r"`grid` must have a list of values for each name, but has \[\] for"),
        ({"grid": {"power": "ab"}}, ValueError, "but has 'ab' for 'power'"),
        ({"grid": {"fold": [1]}}, ValueError, "`grid` must leave 'fold' out"),
        ({"data": X}, TypeError, "`data` must be a tuple of arrays"),
        ({"data": (X, Y[:3])}, ValueError, "`data` must be numeric arrays with the same number of samples"),
        ({"folds": 1}, ValueError, "`folds` must be an integer from 2 to 30"),
        ({"folds": [([0, 1], [30])]}, ValueError, "`folds` must be how many, or pairs of numbers .* from 0 to 29"),
        ({"folds": []}, ValueError, "`folds` must be how many, .* but have none"),
        ({"at_once": 0}, ValueError, "`at_once` must be an integer from 1 on, or None"),
        ({"repeats": 0}, ValueError, "`repeats` must be an integer from 1 on"),
        ({"key": 3}, TypeError, "`key` must be a JAX random key"),
        ({"batch_size": 21}, ValueError, "`batch_size` must be a number of samples from 1 to 20"),
    ],
)
def test_wrong_arguments(options, error, match):
    with pytest.raises(error, match=match):
        search(**options)
