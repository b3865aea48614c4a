"""A quantum convolutional network that pools by measurement learns to tell horizontal lines from vertical ones.

The network of Cong, Choi and Lukin (2019) as they drew it: a pooling layer measures half of the qubits, and what it
measures decides how the others turn, by weights for 0 and by weights for 1. No qubit needs a gate after it is measured,
so that a device may let go of it. Without convolutions, that is without any gate on two qubits, what is measured is all
that one qubit knows of another; without that, too, the last qubit sees one pixel. Random starts are trained at once,
through all measurements, as one program.
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
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj

FIGURE = _arguments.figure(__file__)
PIXELS, TRAIN, TEST, STARTS, STEPS, SEED = 8, 200, 500, 8, 200, 0
KINDS = {  # convolutions, feed-forward, color
    "both": (True, True, "#0072B2"),
    "feed-forward alone": (False, True, "#009E73"),
    "neither": (False, False, "#D55E00"),
}


def convolve(circuit, w, a, b):
    circuit.rzz(next(w), a, b)
    circuit.ry(next(w), a), circuit.ry(next(w), b)


def pool(circuit, w, measured, kept, forward):
    """Measures a qubit; the outcome decides how another turns."""
    circuit.ry(next(w), measured)
    circuit.measure(measured, measured)
    one, zero = [next(w) for _ in range(2)], [next(w) for _ in range(2)]
    if forward:
        with circuit.if_test((measured, 1)) as otherwise:
            circuit.rz(one[0], kept), circuit.ry(one[1], kept)
        with otherwise:
            circuit.rz(zero[0], kept), circuit.ry(zero[1], kept)


def network(convolutions, forward):
    """A function (weights, x) -> between -1 and 1, from 8 qubits to 4, 2 and 1."""
    x, vector = ParameterVector("x", PIXELS), ParameterVector("w", 3 * (8 + 4 + 1) + 5 * (4 + 2 + 1) + 2 * PIXELS)
    circuit, w, qubits = QuantumCircuit(PIXELS, PIXELS), iter(vector), list(range(PIXELS))
    for q in qubits:
        circuit.ry(x[q], q), circuit.rz(next(w), q), circuit.ry(next(w), q)
    while len(qubits) > 1:
        half = len(qubits) // 2
        ring = list(zip(qubits, qubits[1:] + qubits[:1], strict=True)) if half > 1 else [tuple(qubits)]
        for a, b in ring if convolutions else ():
            convolve(circuit, w, a, b)
        for a, b in zip(qubits[:half], qubits[half:], strict=True):
            pool(circuit, w, a, b, forward)
        qubits = qubits[half:]
    return qj.estimator_qnn(circuit, "Z" + "I" * (PIXELS - 1), inputs=list(x)), circuit


def train(model, x, y):
    def loss(weights, x, y):
        return ((model(weights, x)[:, 0] - y) ** 2).mean()

    start = np.random.default_rng(SEED).uniform(-np.pi, np.pi, (STARTS, model.num_weights)).astype(np.float32)
    options = dict(optimizer=optax.adam(0.05), steps=STEPS, batch_size=50, key=jax.random.key(SEED), progress=True)
    return qj.fit(loss, start, (x, y.astype(np.float32)), ensemble=True, **options)


def draw(histories, accuracies):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.4, 1]})
    colors = {name: color for name, (_, _, color) in KINDS.items()}
    for name, history in histories.items():
        for k, row in enumerate(history):
            smooth = np.convolve(row, np.ones(10) / 10, mode="valid")
            left.plot(smooth, color=colors[name], alpha=0.7, linewidth=1.4, label=None if k else name)
    left.set(title=f"Training from {STARTS} starts", xlabel="step", ylabel="mean squared error, of 10 steps")
    left.legend()
    for place, (name, values) in enumerate(accuracies.items()):
        spread = place + np.linspace(-0.12, 0.12, STARTS)
        right.plot(spread, 100 * np.asarray(values), "o", color=colors[name], markersize=9)
    right.set_xticks(range(len(accuracies)), list(accuracies))
    right.set(title="New images told apart", ylabel="%", xlim=(-0.5, 2.5))
    right.axhline(50, color="#999999", linewidth=1, linestyle="--")
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    (x, y), (x_test, y_test) = _lines.images(TRAIN, SEED), _lines.images(TEST, SEED + 1)
    histories, accuracies = {}, {}
    for name, (convolutions, forward, _) in KINDS.items():
        model, circuit = network(convolutions, forward)
        began = time.perf_counter()
        result = train(model, x, y)
        seconds = time.perf_counter() - began
        histories[name] = np.asarray(result.history)
        accuracies[name] = [np.mean(np.sign(model(w, x_test)[:, 0]) == y_test) for w in result.weights]
        best = int(np.argmin(histories[name][:, -20:].mean(axis=1)))
        print(
            f"{name:18} {qj.parse(circuit)}: {seconds:.1f} s for {STARTS} starts; new images told apart by the start "
            f"with the least loss: {accuracies[name][best]:.1%}, by the median one: {np.median(accuracies[name]):.1%}"
        )
    draw(histories, accuracies)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
