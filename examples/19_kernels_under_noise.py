"""Quantum kernels concentrate, and noise makes it worse: their entries run together as qubits and noise grow.

A kernel can only learn if its entries differ by more than the shots resolve. The entries of a fidelity kernel shrink
with the number of qubits, and noise pulls all of them, the diagonal too, towards 1 / 2**n (Thanasilp et al., 2022). The
kernel is measured by compute and uncompute; all strengths of noise are one program.
"""

import _arguments
import _figures
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit.circuit.library import zz_feature_map

import qmljax as qj

FIGURE = _arguments.figure(__file__)
QUBITS, POINTS = (2, 3, 4, 5, 6), 10
STRENGTHS = np.array([0.0, 0.003, 0.01, 0.03, 0.1], np.float32)


def entries(qubits):
    """The kernel's entries above the diagonal for each strength, (STRENGTHS, pairs), and on it, (STRENGTHS, POINTS)."""
    feature_map = zz_feature_map(qubits, reps=2, entanglement="linear")
    x = np.random.default_rng(0).uniform(-np.pi, np.pi, (POINTS, qubits)).astype(np.float32)
    rows, columns = np.triu_indices(POINTS)

    @jax.jit
    @jax.vmap
    def of_strength(p):
        one = qj.noise.depolarizing(p / 10)
        model = qj.noise.NoiseModel({"h": one, "p": one, "cx": qj.noise.depolarizing(p, 2)})
        return qj.noise.Simulator(model).fidelity(feature_map)(x[rows], x[columns])

    values = np.asarray(of_strength(jnp.asarray(STRENGTHS)))
    return values[:, rows != columns], values[:, rows == columns]


def draw(spread, diagonal):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    colors = ("black", "#0072B2", "#009E73", "#E69F00", "#D55E00")
    for k, (p, color) in enumerate(zip(STRENGTHS, colors, strict=True)):
        label = "no noise" if p == 0 else f"{p:g}"
        left.plot(QUBITS, spread[:, k], "o-", color=color, linewidth=2.2, label=label)
        right.plot(QUBITS, diagonal[:, k], "o-", color=color, linewidth=2.2)
    right.plot(QUBITS, 0.5 ** np.array(QUBITS), "k:", label="1 / 2**n")
    left.set(title="How much the entries differ", xlabel="qubits", ylabel="standard deviation", yscale="log")
    right.set(title="The diagonal, 1 without noise", xlabel="qubits", ylabel="mean entry")
    for panel in (left, right):
        panel.set_xticks(QUBITS)
    left.legend(title="strength after CX", loc="lower left")
    right.legend(loc="center left")
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    found = [entries(n) for n in QUBITS]
    spread = np.array([others.std(axis=1) for others, _ in found])
    diagonal = np.array([own.mean(axis=1) for _, own in found])
    print("Standard deviation of the entries, and shots that resolve it (one standard error), by strength of noise:")
    print("qubits" + "".join(f"{p:>20g}" for p in STRENGTHS))
    for n, row in zip(QUBITS, spread, strict=True):
        print(f"{n:6}" + "".join(f"{s:12.4f}{1 / (4 * s**2):8,.0f}" for s in row))
    draw(spread, diagonal)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
