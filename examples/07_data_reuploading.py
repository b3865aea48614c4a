"""One qubit reads a point again and again, and each time it can draw a finer line; its Fourier series says why.

A disc, a ring around it and the corners around both are told apart by one qubit, after Perez-Salinas et al. (2020): the
coordinates turn it L times, with trained turns in between, and it ends near the state of one of three classes. What it
says is a Fourier series in the coordinates, and L readings give it the frequencies up to L and no others, whatever the
weights (Schuld, Sweke and Meyer, 2021). Training chooses the coefficients.
"""

import _arguments
import _figures
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj

FIGURE = _arguments.figure(__file__)
NAMES, COLORS, MARKERS = ("disc", "ring", "corners"), ("#0072B2", "#D55E00", "#009E73"), "o^s"
STYLES = {1: ("#56B4E9", "o"), 2: ("#CC79A7", "^"), 6: ("black", "s")}  # of the models by their readings
TRAIN, TEST, STARTS, STEPS, BATCH, GRID = 1_000, 2_000, 16, 1_000, 100, 64


def points(samples, seed):
    """Points of the square, one period of the model in both directions, and their classes, of equal areas."""
    x = np.random.default_rng(seed).uniform(-np.pi, np.pi, (samples, 2)).astype(np.float32)
    return x, classes(x)


def classes(x):
    return np.digitize((x**2).sum(axis=-1), np.array([4, 8]) * np.pi / 3)


def classifier(readings):
    """A function (weights, x) -> fidelities to the three class states."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 6 * readings + 3)
    circuit = QuantumCircuit(1)
    for turn in range(2 * readings):
        circuit.u(*w[3 * turn : 3 * turn + 3], 0)
        circuit.rz(x[turn % 2], 0)
    circuit.u(*w[-3:], 0)
    return qj.estimator_qnn(circuit, qj.losses.class_states(3)[0], inputs=x)


def random_weights(model, members, seed):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (members, model.num_weights)).astype(np.float32)


def train(model, x, y):
    """The best of several starts, which are trained at once."""
    _, overlaps = qj.losses.class_states(3)

    def loss(weights, x, y):
        return qj.losses.weighted_fidelity(model(weights["circuit"], x), y, overlaps, weights["classes"]).mean()

    start = {"circuit": random_weights(model, STARTS, seed=1), "classes": np.ones((STARTS, 3), np.float32)}
    options = dict(steps=STEPS, batch_size=BATCH, key=jax.random.key(0), ensemble=True, progress=True)
    result = qj.fit(loss, start, (x, y), optimizer=optax.adam(optax.cosine_decay_schedule(0.1, STEPS)), **options)
    best = result.history[:, -len(x) // BATCH :].mean(axis=1).argmin()  # over the last epoch
    return jax.tree.map(lambda leaf: leaf[best], result.weights)


def predict(model, weights, x):
    return np.argmax(weights["classes"] * model(weights["circuit"], x), axis=-1)


def spectrum(values):
    """Of values (..., GRID, GRID) on a period: the size of each frequency 0, 1, ... in the first coordinate."""
    coefficients = np.fft.fft2(values) / GRID**2
    return np.sqrt((abs(coefficients) ** 2).sum(axis=-1))[..., : GRID // 2]


def grid():
    """The points (GRID, GRID, 2) of a period."""
    angles = 2 * np.pi * np.arange(GRID) / GRID - np.pi
    return np.stack(np.meshgrid(angles, angles, indexing="ij"), axis=-1).astype(np.float32)


def study(readings):
    """A trained model: its test accuracy, its spectrum, that of 50 models with random weights, its map of classes."""
    model, (x, y), (x_test, y_test) = classifier(readings), points(TRAIN, seed=0), points(TEST, seed=1)
    weights = train(model, x, y)
    right = [np.mean(predict(model, weights, x) == y), np.mean(predict(model, weights, x_test) == y_test)]
    disc = model(weights["circuit"], grid())[..., 0]
    others = jax.vmap(lambda w: model(w, grid())[..., 0])(jnp.asarray(random_weights(model, 50, seed=2)))
    return right, spectrum(disc), spectrum(others), predict(model, weights, grid())


def draw(studies):
    matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(12, 4), layout="constrained")
    once, often, fourier = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    x, y = points(300, seed=1)
    for panel, readings in ((once, min(studies)), (often, max(studies))):
        (_, right), _, _, decided = studies[readings]
        options = dict(extent=(-np.pi, np.pi) * 2, origin="lower", cmap=ListedColormap(COLORS), alpha=0.3)
        panel.imshow(decided.T, **options)
        for k, name in enumerate(NAMES):
            panel.scatter(*x[y == k].T, s=16, color=COLORS[k], marker=MARKERS[k], lw=0, label=name)
        circle = np.linspace(0, 2 * np.pi, 200)
        for radius in np.sqrt(np.array([4, 8]) * np.pi / 3):
            panel.plot(radius * np.cos(circle), radius * np.sin(circle), color="black", lw=1)
        title = f"{readings} reading{'s' * (readings > 1)}: {right:.0%} right"
        panel.set(title=title, xlabel="$x_0$ (rad)", xticks=(-np.pi, 0, np.pi), yticks=(-np.pi, 0, np.pi))
        panel.set_xticklabels(["−π", "0", "π"])
        panel.set_yticklabels(["−π", "0", "π"])
    once.set_ylabel("$x_1$ (rad)")
    figure.legend(*once.get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False)

    frequencies = np.arange(13)
    for readings, (color, marker) in STYLES.items():
        _, trained, others, _ = studies[readings]
        low, high = others.min(axis=0), others.max(axis=0)
        fourier.fill_between(frequencies, low[:13], high[:13], color=color, alpha=0.15, lw=0)
        fourier.semilogy(frequencies, trained[:13], marker=marker, ms=5, color=color, label=f"L = {readings}")
    fourier.set(title="Fourier series: L readings, frequencies to L", xlabel="frequency in $x_0$", ylabel="coefficient")
    fourier.legend(frameon=False, title="line: trained\nband: random")
    _figures.keep(figure, FIGURE, dpi=150)


def main():
    studies = {readings: study(readings) for readings in STYLES}
    print(f"\n{'readings L':>10}{'train accuracy':>16}{'test accuracy':>15}   largest coefficient up to L, and beyond")
    for readings, (right, trained, others, _) in studies.items():
        both = np.concatenate([others, trained[None]])
        size, beyond = both[:, 1 : readings + 1].max(), both[:, readings + 1 :].max()
        print(f"{readings:10}{right[0]:16.1%}{right[1]:15.1%}   {size:.3f}, {beyond:.0e}")
    draw(studies)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
