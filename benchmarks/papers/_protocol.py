"""The training protocol of arXiv:2403.07059: its random numbers, its batches with replacement, its rule to stop."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import qmljax as qj
from benchmarks.papers._models import QuantumMetricLearner, Trained

STEPS = 10_000  # more than any run that is shown here takes


def drawn(
    model: Any, samples: int, batch_size: int, seed: int, steps: int
) -> tuple[Any, np.ndarray, np.random.Generator]:
    """First weights, the numbers of the samples of each step, (steps, batch_size), and the generator before these.

    The study draws a key from numpy's generator whenever it needs one, in double precision and with the stream of JAX
    0.4; each batch is drawn with replacement.
    """
    with jax.enable_x64(True), jax.threefry_partitionable(False):
        rng = np.random.default_rng(seed)
        first = jax.tree.map(np.asarray, model.first(lambda: jax.random.PRNGKey(rng.integers(model.keys_below))))
        before = np.random.default_rng()
        before.bit_generator.state = rng.bit_generator.state
        numbers = jnp.array(rng.integers(model.keys_below, size=steps))
        choose = lambda k: jax.random.choice(jax.random.PRNGKey(k), jnp.arange(samples), (batch_size,))  # noqa: E731
        return first, np.asarray(jax.jit(jax.vmap(choose))(numbers)), before


def trained(
    model: Trained, data: tuple[Any, ...], rate: float, batch_size: int, seeds: Sequence[int], steps: int | None = None
) -> tuple[qj.FitResult, list[np.random.Generator]]:
    """All seeds in one program: the result, and each seed's generator after its last step."""
    steps = min(STEPS, steps or model.most)
    runs = [drawn(model, len(data[0]), batch_size, seed, steps) for seed in seeds]
    weights = jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float32), *[run[0] for run in runs])
    result = qj.fit(
        model.loss,
        weights,
        tuple(np.asarray(d, np.float32) for d in data),
        optimizer=optax.adam(rate),
        steps=steps,
        batches=np.stack([run[1] for run in runs]),
        convergence=model.interval,
        ensemble=True,
        own_data=False,
    )
    for (_, _, rng), count in zip(runs, result.stopped_at, strict=True):
        rng.integers(model.keys_below, size=count)
    return result, [run[2] for run in runs]


def accuracies(
    model: Trained,
    split: Sequence[np.ndarray],
    rate: float,
    batch_size: int,
    seeds: Sequence[int],
    steps: int | None = None,
) -> tuple[list[float], np.ndarray]:
    """Of each seed: the accuracy on the test points, and the number of steps taken."""
    x, x_test, y, y_test = split
    x, x_test = (np.asarray(a, np.float32) for a in model.prepare(x, x_test))
    if isinstance(model, QuantumMetricLearner):
        return _by_overlaps(model, (x, x_test, y, y_test), rate, batch_size, seeds, steps)
    result, _ = trained(model, (x, y), rate, batch_size, seeds, steps)
    scores = jax.jit(jax.vmap(model.score, (0, None)))(result.weights, x_test)
    return [float(np.mean(np.where(np.asarray(s) > 0, 1, -1) == y_test)) for s in scores], result.stopped_at


def _by_overlaps(
    model: QuantumMetricLearner,
    split: Sequence[np.ndarray],
    rate: float,
    batch_size: int,
    seeds: Sequence[int],
    steps: int | None,
) -> tuple[list[float], np.ndarray]:
    """The metric learner: pairs are the same places of both classes; beyond the end of the second, its last point."""
    x, x_test, y, y_test = split
    a, b = x[y == -1], x[y == 1]
    pairs = a, b[np.minimum(np.arange(len(a)), len(b) - 1)]
    result, generators = trained(model, pairs, rate, batch_size, seeds, steps)
    found = []
    for weights, rng in zip(result.weights, generators, strict=True):
        rng.integers(model.keys_below, size=2)  # of the prediction for the training points
        with jax.enable_x64(True), jax.threefry_partitionable(False):
            keys = [jax.random.PRNGKey(rng.integers(model.keys_below)) for _ in range(2)]
            count = min(model.examples, len(a), len(b))
            places = [
                np.asarray(jax.random.choice(k, jnp.arange(len(c)), (count,), replace=False))
                for k, c in zip(keys, (a, b), strict=True)
            ]
        near = [
            np.asarray(model.kernel(x_test, c[p], weights=weights.ravel())).mean(axis=1)
            for c, p in zip((a, b), places, strict=True)
        ]
        found.append(float(np.mean(np.where(near[1] > near[0], 1, -1) == y_test)))
    return found, result.stopped_at
