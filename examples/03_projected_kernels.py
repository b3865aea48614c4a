"""When can a quantum kernel help? The geometric difference on real images, after Huang et al. (2021).

Images of the digits 4 and 9, reduced to n principal components, become states of n qubits. With every qubit the
fidelity kernel concentrates: no image is like another. The projected kernel keeps to one qubit at a time and does not.
The geometric difference to the RBF kernel bounds what either could gain. On the digits nothing is gained;
on labels made to measure, from the kernel matrices themselves, the projected kernel wins, as the paper shows.
"""

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit.circuit.library import zz_feature_map
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import qmljax as qj

FIGURE = _arguments.figure(__file__)
COLORS = {"RBF": "#999999", "fidelity": "#0072B2", "projected": "#D55E00"}
QUBITS = range(2, 11)
TRAIN, RIDGE = 240, 0.02


def images():
    """Features of the digits 4 and 9 by principal component, of variance 1, and labels -1 and 1, in random order."""
    x, y = load_digits(return_X_y=True)
    x, y = x[(y == 4) | (y == 9)], np.where(y[(y == 4) | (y == 9)] == 9, 1, -1)
    order = np.random.default_rng(0).permutation(len(x))
    return StandardScaler().fit_transform(PCA(max(QUBITS)).fit_transform(x))[order], y[order]


def matrices(x):
    """The three kernel matrices of points (N, n). An RBF kernel of variance 1 features has the width 1 / n."""
    n = x.shape[1]
    circuit = zz_feature_map(n, reps=2, entanglement="linear")
    distances = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    return {
        "RBF": np.exp(-distances / n),
        "fidelity": np.asarray(qj.fidelity_kernel(circuit)(x / 2)),
        "projected": np.asarray(qj.projected_kernel(circuit, gamma=1 / n)(x / 2)),
    }


def accuracy(gram, y):
    """On the points after the first `TRAIN`, with the penalty chosen by cross-validation on those."""
    search = GridSearchCV(SVC(kernel="precomputed"), {"C": [0.1, 1, 10, 100]}, cv=4)
    return search.fit(gram[:TRAIN, :TRAIN], y[:TRAIN]).score(gram[TRAIN:, :TRAIN], y[TRAIN:])


def engineered(grams):
    """Labels that are easy for the projected kernel and hard for the RBF kernel, in two classes of equal size."""
    labels = np.asarray(qj.gram.engineered_labels(grams["RBF"], grams["projected"], ridge=RIDGE))
    return np.where(labels > np.median(labels), 1, -1)


def study():
    """For each number of qubits and kernel: spread of entries, geometric difference, two test accuracies."""
    x, y = images()
    rows = []
    with jax.enable_x64(True):
        for n in QUBITS:
            grams = matrices(x[:, :n])
            made = engineered(grams)
            for name, gram in grams.items():
                difference = qj.gram.geometric_difference(grams["RBF"], gram, ridge=RIDGE)
                _, variance = qj.gram.concentration(gram)
                rows.append(
                    (n, name, float(variance) ** 0.5, float(difference), accuracy(gram, y), accuracy(gram, made))
                )
    return rows


def draw(rows, points):
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for name, color in COLORS.items():
        n, _, spread, difference, plain, made = zip(*(row for row in rows if row[1] == name), strict=True)
        panels[0].semilogy(n, spread, "o-", ms=4, color=color, label=name)
        if name != "RBF":
            panels[1].semilogy(n, difference, "o-", ms=4, color=color)
        panels[2].plot(n, made, "o-", ms=4, color=color)
        panels[2].plot(n, plain, "o:", ms=3, color=color, alpha=0.7)
    panels[1].axhline(points**0.5, color="black", lw=0.8, ls="--")
    panels[1].text(n[0], points**0.5 * 1.05, "sqrt(N)", fontsize=8)
    panels[0].set(title="Concentration", ylabel="standard deviation of entries")
    panels[1].set(title="Geometric difference to RBF", ylabel="g")
    panels[2].set(title="Engineered labels (dotted: 4 or 9)", ylabel="test accuracy", ylim=(0.4, 1.02))
    panels[0].legend(fontsize=8)
    for panel in panels:
        panel.set_xlabel("qubits")
    _figures.keep(figure, FIGURE, dpi=150)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    rows = study()
    print("                     spread of   geometric    test accuracy")
    print("qubits  kernel       entries     difference   4 or 9   engineered")
    for n, name, spread, difference, plain, made in rows:
        if n in (min(QUBITS), 6, max(QUBITS)):
            print(f"{n:6}  {name:10} {spread:9.4f} {difference:13.1f} {plain:10.1%} {made:10.1%}")
    draw(rows, len(images()[1]))
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
