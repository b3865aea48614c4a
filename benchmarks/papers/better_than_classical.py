"""J. Bowles, S. Ahmed, M. Schuld, "Better than classical? The subtle art of benchmarking quantum machine learning".

Ten quantum models on three data sets of 10 features, at the hyperparameters that the study found best, five seeds each,
trained in one program a model. Data, first weights and batches are those of the study's seeds; arithmetic is in single
precision, where the study's was in double.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.papers import _models
from benchmarks.papers._protocol import accuracies
from benchmarks.papers._table import Table
from qmljax import datasets

PAPER = "J. Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059 (2024)"
PUBLISHED = json.loads((Path(__file__).parent / "published" / "better_than_classical.json").read_text())
COLUMNS = "model", "data", "published", "ours", "published, by seed", "ours, by seed", "steps", "seconds"
DATA = {
    "linearly_separable": datasets.bowles_linearly_separable,
    "hidden_manifold": datasets.bowles_hidden_manifold,
    "two_curves": datasets.bowles_two_curves,
}


def score(name: str, data: str, hyperparameters: dict[str, Any], seeds: range, steps: int | None = None) -> tuple:
    """Test accuracies, and steps, of a model on data by seed."""
    about, split = dict(hyperparameters), DATA[data]()
    rate, size = about.pop("learning_rate", None), about.pop("batch_size", None)
    model = getattr(_models, name)(10, **about)
    if rate is not None:
        return accuracies(model, split, rate, size, seeds, steps)
    x, x_test, y, y_test = split
    return [model.accuracy(x, y, x_test, y_test, seed) for seed in seeds], None


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after each row."""
    table = done or Table("Better than classical?", PAPER, COLUMNS, [])
    known = {tuple(row[:2]) for row in table.rows}
    todo = [s for s in PUBLISHED["scores"] if (s["model"], s["data"]) not in known]
    if quick:
        todo = [s for s in todo if (s["model"], s["data"]) in QUICK]
    for entry in todo:
        seeds, start = range(2 if quick else 5), time.monotonic()
        ours, steps = score(entry["model"], entry["data"], entry["hyperparameters"], seeds)
        seconds = time.monotonic() - start
        published = entry["test"][: len(seeds)]
        row = [entry["model"], entry["data"], float(np.mean(published)), float(np.mean(ours)), published, ours]
        table.rows.append([*row, None if steps is None else steps.tolist(), round(seconds, 1)])
        table.seconds += seconds
        table.remarks = remarks(table.rows)
        yield table


QUICK = {("SeparableKernelClassifier", "linearly_separable"), ("CircuitCentricClassifier", "two_curves")}


WHY = {
    "DataReuploadingClassifier": (
        "PennyLane has the same values at equal weights, but runs differ from the start, with one layer, too. Keys, "
        "the order and the range of first weights, entangling gates, padding, and angles added or one after the other "
        "were tried: none gives the published accuracies of folds, so the code that made them is not known."
    ),
    "QuantumMetricLearner": (
        "PennyLane has the same overlaps at equal weights, steps are the same in double precision, and on the "
        "folds of the study's search accuracies are within two points of the published ones. On all data ours are "
        "higher, on the points of training, too (0.79 and 0.67 on linearly_separable). Tried by hand, they depend "
        "on how many points of each class a prediction compares with: 8 give 0.67 there, the 32 of the study's "
        "code 0.79, all 0.98. No number of points from 1 to 112, and no order of keys that was tried, gives the "
        "published accuracies of seeds."
    ),
}


def remarks(rows: list) -> list[str]:
    """What is equal, and what is not."""
    equal = [f"{r[0]} ({r[1]})" for r in rows if np.allclose(r[4], r[5], rtol=0, atol=1e-6)]
    point = 1 / 60
    near = [
        f"{r[0]} ({r[1]})"
        for r in rows
        if not np.allclose(r[4], r[5], rtol=0, atol=1e-6)
        if min(r[4]) - point <= np.mean(r[5]) <= max(r[4]) + point
    ]
    rest = [f"{r[0]} ({r[1]})" for r in rows if f"{r[0]} ({r[1]})" not in equal + near]
    return [
        f"Equal for every seed, {len(equal)} of {len(rows)}: {', '.join(equal)}.",
        f"The mean within the published spread of seeds, give or take a test point: {', '.join(near) or 'none'}. A run "
        "in single precision leaves that of the study after some hundred steps where training is not stable; a test "
        "point is 0.0167.",
        f"Otherwise: {', '.join(rest) or 'none'}.",
        *(f"{name}: {why}" for name, why in WHY.items() if any(r.startswith(name) for r in rest + near)),
        "In IQPVariationalClassifier only the first repeat of the embedding has the products of features: the study's "
        "PennyLane walks through an iterator over pairs, which is at its end after one repeat. With products in all "
        "repeats, as the embedding is defined, two_curves has 0.8167 in the mean.",
        f"{len(rows)} of {len(PUBLISHED['scores'])} rows have been run; `--resume` adds the others.",
    ]
