"""Kernels of 10,000 and of 100,000 points on a laptop: tiles, and landmarks.

The matrix of 10,000 points is computed by tiles, which need little memory beside it. Then landmarks stand in for it
(Nystroem): features from the columns of some random points, on which a linear model is a kernel machine. Some hundred
landmarks come near the accuracy of the whole matrix, in a fraction of the time, and go on to 100,000 points.
"""

import time

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit.circuit.library import zz_feature_map
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import SVC

import qmljax as qj

FIGURE = _arguments.figure(__file__)
QUBITS, TEST = 8, 2_000
LANDMARKS = (25, 50, 100, 200, 400, 800)


def data(train):
    """Points near two curves in space, as angles, in random order."""
    x, y = qj.datasets.two_curves(train + TEST, num_features=QUBITS, seed=3)
    x = (0.5 * x).astype(np.float32)
    return x[:train], y[:train], x[train:], y[train:]


def exact(kernel, x, y, x_test, y_test):
    start = time.perf_counter()
    gram, cross = np.asarray(kernel(x)), np.asarray(kernel(x_test, x))
    seconds = time.perf_counter() - start
    accuracy = SVC(kernel="precomputed", C=10).fit(gram, y).score(cross, y_test)
    return accuracy, seconds, time.perf_counter() - start


def by_landmarks(kernel, x, y, x_test, y_test, count):
    start = time.perf_counter()
    chosen = np.random.default_rng(count).permutation(len(x))[:count]
    both = qj.gram.nystroem(kernel, np.concatenate([x, x_test]), x[chosen])
    features, test = np.asarray(both[: len(x)]), np.asarray(both[len(x) :])
    accuracy = RidgeClassifier(1e-3).fit(features, y).score(test, y_test)
    seconds = time.perf_counter() - start
    error, _ = qj.gram.approximation_error(kernel, x, features, jax.random.key(0), pairs=40_000)
    return accuracy, seconds, float(error)


def draw(rows, whole):
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts, accuracies, seconds, errors = zip(*rows, strict=True)
    left.semilogx(counts, accuracies, "o-", color="#0072B2", label="landmarks")
    left.axhline(whole[0], color="black", ls="--", lw=1, label="whole matrix, SVM")
    left.set(title="Test accuracy, 10,000 points", xlabel="landmarks")
    left.legend(fontsize=8, loc="lower right")
    right.loglog(counts, errors, "o-", color="#D55E00", label="error of an entry (rms)")
    right.loglog(counts, seconds, "s-", color="#009E73", label="seconds, training included")
    right.axhline(whole[2], color="#009E73", ls="--", lw=1, label="seconds, whole matrix")
    right.set(title="Error and time", xlabel="landmarks")
    right.legend(fontsize=8)
    for panel in (left, right):
        panel.set_xticks(counts, counts)
        panel.minorticks_off()
    _figures.keep(figure, FIGURE, dpi=150)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    kernel = qj.fidelity_kernel(zz_feature_map(QUBITS, reps=1, entanglement="linear"), progress=True)
    points = data(10_000)
    whole = exact(kernel, *points)
    print(f"10,000 points: 120 million entries in {whole[1]:.1f} s, SVM {whole[0]:.1%} in {whole[2]:.1f} s")
    kernel = qj.fidelity_kernel(zz_feature_map(QUBITS, reps=1, entanglement="linear"))
    rows = []
    for count in LANDMARKS:
        accuracy, seconds, error = by_landmarks(kernel, *points, count)
        rows.append((count, accuracy, seconds, error))
        print(f"10,000 points, {count:3} landmarks: {accuracy:.1%} in {seconds:.1f} s, error of an entry {error:.4f}")
    accuracy, seconds, error = by_landmarks(kernel, *data(100_000), 400)
    print(f"100,000 points, 400 landmarks: {accuracy:.1%} in {seconds:.1f} s, error of an entry {error:.4f}")
    draw(rows, whole)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
