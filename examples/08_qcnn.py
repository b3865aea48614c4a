"""A quantum convolutional network on 8 qubits learns to tell horizontal lines from vertical ones.

The images have 2 x 4 pixels, one qubit for each. Convolutions turn pairs of neighbours, pooling hands what one half of
the qubits knows to the other half, and after 8, 4, 2 and 1 qubits the last one says what it saw: 63 weights in all, the
network of Qiskit Machine Learning's tutorial, after Cong, Choi and Lukin (2019). Eight random starts are trained at
once, as one program.
"""

import time

import _arguments
import _figures
import _lines
import jax
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit.circuit.library import z_feature_map
from sklearn.linear_model import LogisticRegression

import qmljax as qj

FIGURE = _arguments.figure(__file__)
NAMES, COLORS = {-1: "horizontal", 1: "vertical"}, {-1: "#D55E00", 1: "#0072B2"}
PIXELS, TRAIN, TEST, STARTS, STEPS, SEED = 8, 200, 500, 8, 300, 0


def network():
    """A function (weights, x) -> between -1 and 1, from 8 qubits to 4, 2 and 1."""
    circuit = z_feature_map(PIXELS)
    inputs = circuit.parameters
    circuit.compose(qj.circuits.qcnn(PIXELS), inplace=True)
    return qj.estimator_qnn(circuit, "Z" + "I" * (PIXELS - 1), inputs=inputs)


def train(model, x, y):
    """Weights and losses (STARTS, ...) of all starts."""

    def loss(weights, x, y):
        return ((model(weights, x)[:, 0] - y) ** 2).mean()

    start = np.random.default_rng(SEED).uniform(-np.pi, np.pi, (STARTS, model.num_weights)).astype(np.float32)
    options = dict(optimizer=optax.adam(0.05), steps=STEPS, batch_size=50, key=jax.random.key(SEED), progress=True)
    return qj.fit(loss, start, (x, y.astype(np.float32)), ensemble=True, **options)


def accuracy(model, weights, x, y):
    return np.mean(np.sign(model(weights, x)[:, 0]) == y)


def draw(x, y, outputs, history, best):
    matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    left, training, right = figure.subplots(1, 3, width_ratios=(0.9, 1, 1))

    chosen = np.concatenate([np.flatnonzero(y == label)[:3] for label in NAMES]).reshape(2, 3)
    left.set_axis_off()
    for row, label in enumerate(NAMES):
        for column in range(3):
            panel = left.inset_axes((0.34 * column, 0.5 - 0.48 * row, 0.32, 0.4))
            panel.imshow(x[chosen[row, column]].reshape(2, 4), cmap="cividis", vmin=0, vmax=np.pi / 2)
            panel.set(xticks=(), yticks=())
            panel.spines[:].set_visible(False)
            if column == 0:
                panel.set_title(NAMES[label], loc="left", fontsize=11, color=COLORS[label])
    left.set_title("Test images")

    smooth = np.stack([np.convolve(losses, np.ones(8) / 8, "valid") for losses in history])  # two epochs
    training.plot(smooth.T, color="#999999", lw=1)
    training.plot(smooth[best], color="black", lw=2, label="the best start")
    training.plot([], color="#999999", lw=1, label="the other starts")
    training.set(title="Training", xlabel="step", ylabel="squared error", ylim=(0, None))
    training.legend(frameon=False)

    for label, name in NAMES.items():
        right.hist(outputs[y == label], np.linspace(-1, 1, 41), color=COLORS[label], alpha=0.8, label=name)
    right.axvline(0, color="black", lw=1, ls="--")
    right.set(title="What the last qubit says", xlabel="expectation of Z", ylabel="test images")
    right.legend(frameon=False)
    _figures.keep(figure, FIGURE, dpi=150)


def main():
    (x, y), (x_test, y_test) = _lines.images(TRAIN, seed=SEED), _lines.images(TEST, seed=SEED + 1)
    model, start = network(), time.perf_counter()
    weights, history, _ = train(model, x, y)
    seconds = time.perf_counter() - start
    best = history[:, -20:].mean(axis=1).argmin()  # chosen by the training loss alone

    tests = [accuracy(model, w, x_test, y_test) for w in weights]
    linear = LogisticRegression().fit(x, y).score(x_test, y_test)
    print(f"\n{STARTS} starts of {model.num_weights} weights, {STEPS} steps each, in {seconds:.1f} s.")
    print(f"QCNN, best start    train {accuracy(model, weights[best], x, y):.1%}   test {tests[best]:.1%}")
    print(f"QCNN, all starts    test {min(tests):.1%} to {max(tests):.1%}, median {np.median(tests):.1%}")
    print(f"linear classifier   test {linear:.1%}: each pixel alone says little")
    draw(x_test, y_test, np.asarray(model(weights[best], x_test)[:, 0]), history, best)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
