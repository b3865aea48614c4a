"""A study in a page: three models on two data sets, at two depths and two learning rates, five folds each.

The models differ in how they read two features: once by rotations, again in each layer (data re-uploading), or by the
angles and their products (IQP). `grid_search` trains all folds and learning rates of a circuit in one program, so that
120 runs compile six. The table answers the questions of a study: which model, on which data, by how much, and is
that more than folds differ by?
"""

import time

import _arguments
import _figures
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import MinMaxScaler

import qmljax as qj

FIGURE = _arguments.figure(__file__)
N, FOLDS, STEPS = 2, 5, 300
GRID = {"layers": [1, 4], "learning_rate": [0.02, 0.1]}


def angles(layers):
    return qj.circuits.angle_embedding(N).compose(qj.circuits.strongly_entangling_layers(N, layers))


def reuploading(layers):
    return qj.circuits.data_reuploading(N, layers, num_features=N)


def iqp(layers):
    return qj.circuits.iqp_embedding(N, 2).compose(qj.circuits.strongly_entangling_layers(N, layers))


MODELS = {"angles": angles, "re-uploading": reuploading, "IQP": iqp}


def ring(seed):
    """Points of a square, by whether they lie in a ring."""
    x = np.random.default_rng(seed).uniform(-1, 1, (150, 2))
    return x, np.where(abs(np.linalg.norm(x, axis=1) - 0.6) < 0.2, 1, -1)


DATA = {
    "ring": ring(0),
    "checkers": (x := np.random.default_rng(1).uniform(-1, 1, (150, 2)), np.where(x[:, 0] * x[:, 1] > 0, 1, -1)),
}


def builder(make):
    """What `grid_search` builds for a number of layers: first weights, a loss, and a score."""

    def build(layers):
        circuit: QuantumCircuit = make(layers)
        model = qj.estimator_qnn(circuit, "ZZ", inputs=[p for p in circuit.parameters if p.vector.name == "x"])
        init = lambda key: jax.random.uniform(key, (model.num_weights,), maxval=2 * jnp.pi)  # noqa: E731
        loss = lambda w, x, y: jnp.mean((model(w, x)[:, 0] - y) ** 2)  # noqa: E731
        score = lambda w, x, y: jnp.mean((jnp.sign(model(w, x)[:, 0]) == y).astype(x.dtype))  # noqa: E731
        return init, loss, score

    return build


def scaled(x, other):
    """Angles, by the range of the points that are learned from."""
    scaler = MinMaxScaler((-np.pi / 2, np.pi / 2)).fit(x)
    return scaler.transform(x), scaler.transform(other)


def main():
    start, found = time.monotonic(), {}
    for data, (x, y) in DATA.items():
        folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y))
        for name, make in MODELS.items():
            found[data, name] = qj.grid_search(
                builder(make),
                GRID,
                (x, y.astype(float)),
                steps=STEPS,
                key=jax.random.key(0),
                folds=folds,
                prepare=scaled,
                batch_size=32,
                batches="replacement",
            )
    runs = sum(len(table["steps"]) for table in found.values())
    print(f"{runs} runs of {STEPS} steps")
    print(f"{'':10}" + "".join(f"{name:>22}" for name in MODELS))
    for data in DATA:
        best = [max(summaries(found[data, name]), key=lambda s: s[-1].mean()) for name in MODELS]
        print(f"{data:10}" + "".join(f"{s[-1].mean():>9.2f} +- {s[-1].std():.2f} (L {s[0]})" for s in best))
    draw(found)
    print(f"{FIGURE.name} shows all of them.")
    return time.monotonic() - start


def summaries(table):
    """Layers, learning rate, and the accuracies of the folds, for each combination."""
    for layers in GRID["layers"]:
        for rate in GRID["learning_rate"]:
            own = (table["layers"] == layers) & (table["learning_rate"] == rate)
            yield layers, rate, table["test_score"][own]


def draw(found):
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(DATA), sharey=True)
    colours = dict(zip(MODELS, ("#0072B2", "#D55E00", "#009E73"), strict=True))
    for ax, data in zip(axes, DATA, strict=True):
        for k, name in enumerate(MODELS):
            for j, (_, _, scores) in enumerate(summaries(found[data, name])):
                place = j + 0.22 * (k - 1)
                ax.plot(np.full(FOLDS, place), scores, "o", color=colours[name], alpha=0.4, markersize=4)
                ax.errorbar(
                    place,
                    scores.mean(),
                    scores.std(),
                    fmt="_",
                    color=colours[name],
                    capsize=4,
                    markersize=12,
                    label=name if j == 0 else None,
                )
        ticks = [f"{layers} layer{'s' * (layers > 1)}\nrate {rate}" for layers, rate, _ in summaries(found[data, name])]
        ax.set_xticks(range(len(ticks)), ticks)
        ax.axhline(0.5, color="0.7", linewidth=0.8)
        ax.set_title(data)
    axes[0].set_ylabel("test accuracy, five folds")
    axes[0].legend(frameon=False)
    _figures.keep(figure, FIGURE, dpi=150)


if __name__ == "__main__":
    main()
