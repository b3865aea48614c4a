"""A grid of hyperparameters: runs of a circuit, its learning rates, folds and repeats, are one ensemble of `fit`."""

import hashlib
import inspect
import itertools
import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qmljax._checks import check_count, check_flag, check_function, check_key, shown
from qmljax._files import replace
from qmljax._progress import bar
from qmljax._training.fit import fit
from qmljax._training.leaves import as_numpy

Fold = tuple[np.ndarray, np.ndarray]
MEASURED = ("repeat", "fold", "train_score", "test_score", "steps", "loss", "seconds")


def grid_search(
    build: Callable[..., tuple[Callable, Callable, Callable]],
    grid: Mapping[str, Sequence[Any]],
    data: tuple[Any, ...],
    *,
    steps: int,
    key: Array,
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam,
    folds: int | Iterable[tuple[Any, Any]] = 5,
    repeats: int = 1,
    prepare: Callable[[Any, Any], tuple[Any, Any]] | None = None,
    batch_size: int | None = None,
    batches: str | Any = "epochs",
    convergence: int | None = None,
    at_once: int | None = None,
    file: str | os.PathLike | None = None,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """Trains and scores models for all combinations of hyperparameters, folds and repeats, and returns a table.

    Hyperparameters that `optimizer` takes, such as `learning_rate`, are numbers that members of an ensemble differ in;
    the others go to `build` and may change the circuit. All runs of one circuit, learning rates x folds x repeats, are
    trained in one program, which is compiled once (twice if folds differ in size).

    Args:
        build: ``build(**hyperparameters) -> (init, loss, score)``: first weights ``init(key)``, the loss
            ``loss(weights, *data) -> ()`` as `fit` takes it, and what is written into the table,
            ``score(weights, *data) -> ()``, such as the accuracy.
        grid: Values for each hyperparameter: ``{"layers": [1, 2], "learning_rate": [0.01, 0.1]}``.
        data: A tuple of arrays whose first axes are the samples, such as ``(x, y)``.
        steps: The number of steps of each run, at most.
        key: A JAX random key. Each repeat has one of its own, for first weights and batches, which all combinations and
            folds share.
        optimizer: Makes an optax transformation, such as `optax.adam`, from hyperparameters of the grid.
        folds: How many, of samples at random, or pairs of numbers of samples for training and for the test, such as
            those of ``StratifiedKFold(5).split(x, y)`` of scikit-learn.
        repeats: The number of repeats.
        prepare: ``prepare(x_train, x_test) -> (x_train, x_test)`` for each fold, of the first arrays of `data`: a
            scaling that is fitted to the training points alone. numpy arrays.
        batch_size: The number of samples in a step. Default: all of them in each step.
        batches: How they are chosen: "epochs", each in a new random order; "replacement", drawn anew in each step; or
            the samples of each step, integers of shape (steps, B), the same for all runs.
        convergence: A number of losses, a window. A run stops at its own step, when the means of the last two windows
            differ by at most half the standard error of the last one.
        at_once: How many runs are members of one ensemble, those of a learning rate first: an ensemble takes as long as
            its last member. Default: all of a circuit.
        file: A file, of JSON. The rows of a circuit are written when they are there, and a search that is called again
            goes on after them. It must be the same search (grid, data and options are compared, `build` cannot be).
        progress: Whether to show a progress bar of runs (needs tqdm: the extra `progress`).

    Returns:
        A table, a row for each run, as a dictionary of arrays of one length, which `pandas.DataFrame` takes: a column
        for each hyperparameter, then "repeat", "fold", "train_score", "test_score", "steps", those taken, "loss", the
        last one, and "seconds", those of the program divided by its runs.

    Raises:
        TypeError: `build`, `optimizer` or `prepare` is no function, or `grid` no mapping of names to values.
        ValueError: A hyperparameter has no values, folds are empty or hold samples that are not there, the file is of
            another search, or what `fit` raises.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes, z_feature_map
        >>> def build(reps):
        ...     feature_map, ansatz = z_feature_map(2), real_amplitudes(2, reps=reps)
        ...     model = qj.estimator_qnn(feature_map.compose(ansatz), inputs=feature_map.parameters)
        ...     init = lambda key: jax.random.normal(key, (model.num_weights,))
        ...     loss = lambda w, x, y: jnp.mean((model(w, x)[:, 0] - y) ** 2)
        ...     score = lambda w, x, y: jnp.mean(jnp.sign(model(w, x)[:, 0]) == y)
        ...     return init, loss, score
        >>> x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
        >>> grid = {"reps": [1, 2], "learning_rate": [0.05, 0.2]}
        >>> table = qj.grid_search(build, grid, (x, np.sign(x[:, 0])), folds=4, steps=20, key=jax.random.key(0))
        >>> len(table["test_score"]), list(table)[:4]
        (16, ['reps', 'learning_rate', 'repeat', 'fold'])
    """
    check_function(build, "build", "build(**hyperparameters) -> (init, loss, score)")
    check_function(optimizer, "optimizer", "which makes an optax transformation, such as optax.adam")
    if prepare is not None:
        check_function(prepare, "prepare", "prepare(x_train, x_test) -> (x_train, x_test), or None")
    check_key(key)
    check_count(repeats, "repeats")
    check_count(at_once, "at_once", optional=True)
    check_flag(progress, "progress")
    samples = _samples(data)
    circuits, rates = _combinations(grid, optimizer)
    parts = _folds(folds, len(samples[0]), key)
    options = {"steps": steps, "batch_size": batch_size, "batches": batches, "convergence": convergence}
    keys = jax.random.split(key, repeats)
    journal = _Journal(file, (grid, options, samples, parts, as_numpy(keys)))
    sizes = sorted({len(train) for train, _ in parts})
    todo = list(enumerate(itertools.product(circuits, sizes)))
    with bar(len(circuits) * len(rates) * len(parts) * repeats, "run", progress, journal.count) as seen:
        for number, (circuit, size) in todo:
            if number not in journal.programs:
                some = [k for k, (train, _) in enumerate(parts) if len(train) == size]
                members = [Member(*each) for each in itertools.product(rates, range(repeats), some)]
                sets, built, found = {k: _prepared(samples, parts[k], prepare) for k in some}, build(**circuit), []
                for k in range(0, len(members), at_once or len(members)):
                    part = members[k : k + (at_once or len(members))]
                    found += _runs(built, optimizer, part, sets, keys, options)
                    seen.update(len(part))
                journal.add(number, found)
    rows = [circuit | row for number, (circuit, _) in todo for row in journal.programs[number]]
    return {name: np.array([row[name] for row in rows]) for name in (*grid, *MEASURED)}


class Member(NamedTuple):
    """A run: hyperparameters of the optimiser, and the numbers of its repeat and its fold."""

    rate: dict[str, Any]
    repeat: int
    fold: int


def _runs(
    built: Any,
    optimizer: Callable[..., optax.GradientTransformation],
    members: list[Member],
    sets: Mapping[int, tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]],
    keys: Array,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """All runs of a circuit on folds of one size, as members of one ensemble: a row for each."""
    start = time.monotonic()
    if not isinstance(built, tuple | list) or len(built) != 3 or not all(map(callable, built)):
        raise TypeError(f"`build` must return three functions (init, loss, score), but returns {shown(built)}.")
    init, loss, score = built
    own = keys[np.array([member.repeat for member in members])]
    first = jax.vmap(lambda key: jax.random.split(key)[0])(own)
    weights = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[init(key) for key in first])
    train, test = (
        tuple(np.stack(arrays) for arrays in zip(*[sets[m.fold][k] for m in members], strict=True)) for k in (0, 1)
    )
    rates = {name: jnp.array([m.rate[name] for m in members], jnp.result_type(float)) for name in members[0].rate}
    rule = optax.inject_hyperparams(optimizer)(**rates) if rates else optimizer()
    batch_keys = jax.vmap(lambda key: jax.random.split(key)[1])(own)
    result = fit(loss, weights, train, optimizer=rule, key=batch_keys, ensemble=True, own_data=True, **options)
    scores = jax.jit(jax.vmap(score))
    reached = [np.asarray(scores(result.weights, *arrays), float) for arrays in (train, test)]
    seconds = (time.monotonic() - start) / len(members)
    return [
        member.rate
        | {"repeat": member.repeat, "fold": member.fold}
        | {"train_score": float(reached[0][k]), "test_score": float(reached[1][k])}
        | {"steps": int(stop), "loss": float(result.history[k, stop - 1]) if stop else math.nan, "seconds": seconds}
        for k, (member, stop) in enumerate(zip(members, result.stopped_at.tolist(), strict=True))
    ]


def _samples(data: Any) -> tuple[np.ndarray, ...]:
    """The data as numpy arrays of one length."""
    if not isinstance(data, tuple | list) or not data:
        raise TypeError(f"`data` must be a tuple of arrays, such as (x, y) or (x,), but is {shown(data)}.")
    arrays = tuple(np.asarray(d) for d in data)
    if any(a.size == 0 or a.ndim == 0 or a.dtype.kind in "OSUMm" for a in arrays) or len({len(a) for a in arrays}) != 1:
        shapes = ", ".join(f"{a.dtype} of shape {a.shape}" for a in arrays)
        raise ValueError(f"`data` must be numeric arrays with the same number of samples, but are {shapes}.")
    return tuple(a.astype(jnp.result_type(float)) if a.dtype.kind == "f" else a for a in arrays)


def _combinations(grid: Any, optimizer: Callable) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those of hyperparameters that are built in, and those of the optimiser's."""
    if not isinstance(grid, Mapping) or not all(isinstance(name, str) for name in grid):
        raise TypeError(f"`grid` must be a mapping of names to values, such as {{'layers': [1, 2]}}, but is {grid!r}.")
    values = {}
    for name, some in grid.items():
        if isinstance(some, str) or not isinstance(some, Iterable) or not (listed := list(some)):
            raise ValueError(f"`grid` must have a list of values for each name, but has {some!r} for {name!r}.")
        if name in MEASURED:
            raise ValueError(f"`grid` must leave {name!r} out, a column of the table. Use another name.")
        values[name] = [v.item() if isinstance(v, np.generic) else v for v in listed]
    numbers = [name for name in inspect.signature(optimizer).parameters if name in values]
    return tuple(  # type: ignore[return-value]  # two
        [dict(zip(names, found, strict=True)) for found in itertools.product(*(values[n] for n in names))]
        for names in ([n for n in values if n not in numbers], numbers)
    )


def _folds(folds: Any, samples: int, key: Array) -> list[Fold]:
    """Numbers of samples for training and for the test."""
    if not isinstance(folds, Iterable) or isinstance(folds, str):
        check_count(folds, "folds", least=2, most=samples)
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key, samples), samples))
        tests = np.array_split(order, int(folds))
        return [(np.setdiff1d(order, test), np.sort(test)) for test in tests]
    pairs = [tuple(np.asarray(part) for part in pair) for pair in folds]
    for pair in pairs or [()]:
        sound = len(pair) == 2 and all(p.ndim == 1 and len(p) and p.dtype.kind in "iu" for p in pair)
        if not sound or any(p.min() < 0 or p.max() >= samples for p in pair):
            raise ValueError(
                "`folds` must be how many, or pairs of numbers of samples for training and for the test, from 0 to "
                f"{samples - 1}, but have {', '.join(map(shown, pair)) or 'none'}."
            )
    return pairs  # type: ignore[return-value]  # pairs


def _prepared(
    samples: tuple[np.ndarray, ...], fold: Fold, prepare: Callable | None
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The data of a fold, for training and for the test."""
    train, test = (tuple(array[part] for array in samples) for part in fold)
    if prepare is None:
        return train, test
    x, other = (np.asarray(a, samples[0].dtype) for a in prepare(train[0], test[0]))
    return (x, *train[1:]), (other, *test[1:])


class _Journal:
    """The rows of all programs that have run, in a file if there is to be one."""

    def __init__(self, file: Any, search: Any) -> None:
        if not isinstance(file, str | os.PathLike | None):
            raise TypeError(f"`file` must be the name of a file, a string or a path, or None, but is {file!r}.")
        self.path = None if file is None else pathlib.Path(file)
        self.programs: dict[int, list[dict[str, Any]]] = {}
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(search, is_leaf=lambda leaf: leaf is None):
            is_array = isinstance(leaf, np.ndarray | jax.Array)
            digest.update(np.asarray(leaf).tobytes() if is_array else repr(leaf).encode())
        self.search = digest.hexdigest()
        if self.path is None or not self.path.exists():
            return
        try:
            found = json.loads(self.path.read_text())
            same, programs = found["search"] == self.search, {int(k): list(v) for k, v in found["programs"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"`file`, {str(self.path)!r}, is no file of a search, or damaged. Delete it.") from error
        if not same:
            raise ValueError(
                f"`file`, {str(self.path)!r}, is of a search with another grid, data, key or options. Delete it to "
                "start anew, or give another name."
            )
        self.programs = programs

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(map(len, self.programs.values()))

    def add(self, number: int, rows: list[dict[str, Any]]) -> None:
        """The rows of a program."""
        self.programs[number] = rows
        if self.path is not None:
            replace(self.path, (json.dumps({"search": self.search, "programs": self.programs}) + "\n").encode())
