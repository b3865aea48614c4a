"""A noisy sine, learned by a variational quantum regressor.

One qubit, whose angle is the input, gives a sine and nothing else. Two kinds of curve that it cannot give show what
more the input needs: encoded three times over, between trained rotations, it reaches the third harmonic. SciPy's
L-BFGS-B trains with exact gradients, in a dozen iterations.
"""

import os

import _arguments
import _figures
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj
from qmljax.sklearn import VQR, NeuralNetworkRegressor

SEED, NOISE = 0, 0.1
BLUE, ORANGE = "#0072B2", "#D55E00"
FIGURE = _arguments.figure(__file__)


def wave(x):
    """A sum of three harmonics within [-1, 1]."""
    return 0.5 * np.sin(x) + 0.25 * np.cos(2 * x) - 0.2 * np.sin(3 * x)


def sample(curve, count, rng):
    """Points (N, 1) in [-pi, pi], and values (N,) with noise."""
    x = rng.uniform(-np.pi, np.pi, count)
    return x[:, None], curve(x) + rng.normal(0, NOISE, count)


def reuploading(layers):
    """One qubit: a rotation, then the input and a rotation, so often."""
    x, w = ParameterVector("x", 1), ParameterVector("w", 3 * (layers + 1))
    circuit = QuantumCircuit(1)
    circuit.u(*w[:3], 0)
    for layer in range(layers):
        circuit.rx(x[0], 0)
        circuit.u(*w[3 * layer + 3 : 3 * layer + 6], 0)
    return qj.estimator_qnn(circuit, "Z", inputs=x)


def draw(panels):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13.5, 4.5), dpi=110, layout="constrained")
    grid = np.linspace(-np.pi, np.pi, 300)
    for axes, (title, curve, model, (x, y)) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
        axes.scatter(x[:, 0], y, s=20, color=BLUE, alpha=0.5, label="noisy samples")
        axes.plot(grid, curve(grid), "--", color="black", label="without noise")
        axes.plot(grid, model.predict(grid[:, None]), color=ORANGE, linewidth=3, label="model")
        axes.set(title=title, xlabel="x (radians)")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right")
    figure.axes[0].set_ylabel("y")
    _figures.keep(figure, FIGURE)


def main():
    rng = np.random.default_rng(SEED)
    panels = []
    for what, curve, model in [
        ("sine, 1 encoding (VQR)", np.sin, VQR(random_state=SEED, progress=True)),
        ("3 harmonics, 1 encoding (VQR)", wave, VQR(random_state=SEED, progress=True)),
        (
            "3 harmonics, 3 encodings",
            wave,
            NeuralNetworkRegressor(reuploading(3), optimizer="L-BFGS-B", random_state=1),
        ),
    ]:
        train, (x, y) = sample(curve, 150, rng), sample(curve, 50, rng)
        score = model.fit(*train).score(x, y)
        limit = 1 - NOISE**2 / y.var()
        print(f"{what:<31}R2 {score:6.3f} on the test split, where the noise allows about {limit:.3f}; ", end="")
        print(f"{len(model.loss_curve_)} steps.")
        panels.append((f"{what}\nR2 = {score:.3f}", curve, model, train))
    draw(panels)
    print(f"The figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()
