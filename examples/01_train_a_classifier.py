"""Two quantum models and a classical one learn to tell malignant from benign tumours.

The data are 569 breast tumours with 30 measurements each, reduced to 8 features. A quantum neural network (QNN) is
trained on them with optax, a support vector machine (SVM) with a quantum kernel; the same SVM with the classical RBF
kernel shows how well one can do without qubits. Run it with `make demo`.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
import optax
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import qmljax as qj

SEED, FEATURES, STEPS = 0, 8, 1000
WIDTHS, PENALTIES = 2.0 ** np.arange(-6, 3), 10.0 ** np.arange(-1, 4)  # what both SVMs choose from
NAMES, COLORS, MARKERS = ("malignant", "benign"), ("#D55E00", "#0072B2"), "^o"  # of the classes 0 and 1
NAME, FIGURE = Path(__file__).stem, _arguments.figure(__file__)


def load_angles():
    """The training split and the test split, (x, y) each, x in radians; what is fitted here is fitted on the first."""
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=SEED)
    reduce = make_pipeline(StandardScaler(), PCA(FEATURES)).fit(x_train)
    x_train, x_test = reduce.transform(x_train), reduce.transform(x_test)
    scale = np.pi / 2 / np.abs(x_train).max()  # RY(-pi/2) and RY(pi/2) prepare opposite states
    return (scale * x_train, y_train), (scale * x_test, y_test)


def qnn(features):
    """A function (weights, x) -> logit of "benign", and the weights to start from."""
    x, circuit = ParameterVector("x", features), QuantumCircuit(features)
    for layer in range(2):  # the data enter twice, each time before a trained layer: data re-uploading
        for qubit in range(features):
            circuit.ry(x[qubit], qubit)
        circuit.compose(real_amplitudes(features, reps=1, parameter_prefix=f"w{layer}"), inplace=True)
    z_on_each = ["Z".ljust(qubit + 1, "I").rjust(features, "I") for qubit in range(features)]
    model = qj.estimator_qnn(circuit, z_on_each, inputs=x)

    def logit(weights, x):
        return model(weights["circuit"], x) @ weights["readout"] + weights["bias"]

    start = np.random.default_rng(SEED).uniform(-0.5, 0.5, model.num_weights)
    return logit, {"circuit": start, "readout": np.ones(features), "bias": np.zeros(())}


def cross_entropy(logits, y):
    return optax.sigmoid_binary_cross_entropy(logits, y).mean()


def train_qnn(x, y):
    """A hundred stages of the training, the last of which is its result: (step, seconds, the function x -> logit)."""
    logit, weights = qnn(x.shape[1])
    stages, start = [], time.perf_counter()

    def loss(weights, x, y):
        return cross_entropy(logit(weights, x), y)

    def record(step, weights, _):
        stages.append((step, time.perf_counter() - start, functools.partial(logit, weights)))

    adam, key = optax.adam(optax.cosine_decay_schedule(0.05, STEPS)), jax.random.key(SEED)
    options = dict(steps=STEPS, batch_size=64, key=key, callback=record, progress=True)
    qj.fit(loss, weights, (x, y), optimizer=adam, **options)
    return stages


def train_svm(kernel, x, y):
    """The SVM on kernel(width * x), a function x -> score, and the width, chosen like C by cross-validation."""
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    searches = {}
    for width in WIDTHS:
        search = GridSearchCV(SVC(kernel="precomputed"), {"C": PENALTIES}, cv=folds)
        searches[width] = search.fit(np.asarray(kernel(width * x)), y)
    width = max(WIDTHS, key=lambda w: searches[w].best_score_)
    return lambda new: searches[width].decision_function(np.asarray(kernel(width * new, width * x))), width


def timed(function, *args):
    start = time.perf_counter()
    return function(*args), time.perf_counter() - start


def accuracy(score, x, y):
    return np.mean((np.asarray(score(x)) > 0) == y)


def first_gradient(x, y):
    """Seconds until the gradient of the loss on the training split is there, in a process that has compiled nothing."""
    logit, weights = qnn(x.shape[1])
    gradient = jax.jit(jax.grad(lambda w: cross_entropy(logit(w, x), y)))
    _, seconds = timed(lambda: jax.block_until_ready(gradient(weights)))
    return seconds


def in_new_processes():
    """The first gradient in a process without, then in one with, what JAX has compiled and kept on disk."""
    with tempfile.TemporaryDirectory() as folder:
        cache = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        call = f"m = __import__({NAME!r}); print(m.first_gradient(*m.load_angles()[0]))"
        command = [sys.executable, "-c", call]
        about = {"env": os.environ | cache, "cwd": Path(__file__).parent, "stdout": subprocess.PIPE, "check": True}
        runs = [subprocess.run(command, **about) for _ in range(2)]
    return [float(run.stdout) for run in runs]


def draw(stages, kernel, two, train, test):
    """Three panels: how the QNN trained, what the kernel sees, how `two`, a QNN of the first two features, decides."""
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13.5, 4.5), dpi=110, layout="constrained")
    left, middle, right = figure.subplots(1, 3)

    for (x, y), label, style in [(train, "training split", "-"), (test, "test split", "--")]:
        losses = [cross_entropy(score(x), y) for _, _, score in stages]
        left.plot([step for step, _, _ in stages], losses, style, color="black", linewidth=2, label=label)
    left.set(title=f"QNN on {FEATURES} qubits, training", xlabel="step", ylabel="cross-entropy", ylim=(0, None))
    left.spines[["top", "right"]].set_visible(False)
    left.legend()

    x, y = train
    every_fourth = np.lexsort((-x[:, 0], y))[::4]  # sorted by class, then by the first feature
    gram = np.asarray(kernel(x[every_fourth]))
    image = middle.imshow(gram, cmap="cividis", vmin=np.quantile(gram, 0.02), vmax=1)
    figure.colorbar(image, ax=middle, shrink=0.9, extend="min", label="fidelity")
    split, end = np.sum(y[every_fourth] == 0) - 0.5, len(gram) - 0.5
    middle.axhline(split, color="white", linewidth=2)
    middle.axvline(split, color="white", linewidth=2)
    middle.set_xticks([split / 2, (split + end) / 2], NAMES)
    middle.set_yticks([split / 2, (split + end) / 2], NAMES, rotation=90, va="center")
    middle.tick_params(length=0)
    middle.set_title("Gram matrix, sorted by class")

    x, y = test[0][:, :2], test[1]
    low, high = x.min(axis=0) - 0.15, x.max(axis=0) + 0.15
    plane = np.stack(np.meshgrid(*np.linspace(low, high, 200).T), axis=-1)  # (200, 200, 2): the model takes any batch
    benign = jax.nn.sigmoid(two(plane))
    colors = LinearSegmentedColormap.from_list("classes", [COLORS[0], "white", COLORS[1]])
    right.contourf(plane[..., 0], plane[..., 1], benign, np.linspace(0, 1, 11), cmap=colors, alpha=0.6)
    right.contour(plane[..., 0], plane[..., 1], benign, [0.5], colors="black")
    for k in (0, 1):
        right.scatter(*x[y == k].T, s=40, color=COLORS[k], marker=MARKERS[k], edgecolor="white", label=NAMES[k])
    right.set(xlabel="first feature (radians)", ylabel="second feature (radians)")
    right.set_title(f"QNN on 2 qubits: {accuracy(two, x, y):.0%} right")
    right.legend(loc="upper left", title="test split")

    _figures.keep(figure, FIGURE)


def main():
    train, test = load_angles()
    print(f"{len(train[0])} tumours to train on, {len(test[0])} to test with, {test[1].mean():.0%} of them benign.\n")

    kernel = qj.fidelity_kernel(zz_feature_map(FEATURES, reps=2, entanglement="linear"))
    stages, qnn_seconds = timed(train_qnn, *train)
    (quantum_svm, width), quantum_seconds = timed(train_svm, kernel, *train)
    (classical_svm, _), classical_seconds = timed(train_svm, rbf_kernel, *train)

    print(f"\n{'model':<30}{'train accuracy':>16}{'test accuracy':>16}{'seconds':>10}")
    for name, score, seconds in [
        (f"QNN, {FEATURES} qubits", stages[-1][2], qnn_seconds),
        ("SVM, quantum fidelity kernel", quantum_svm, quantum_seconds),
        ("SVM, classical RBF kernel", classical_svm, classical_seconds),
    ]:
        print(f"{name:<30}{accuracy(score, *train):>16.1%}{accuracy(score, *test):>16.1%}{seconds:>10.1f}")
    (first, begun, _), (last, ended, _) = stages[0], stages[-1]
    step = (ended - begun) / (last - first)
    print(f"\nThe QNN took {begun - first * step:.1f} s to compile, then {1e3 * step:.2f} ms a step.")

    without, with_cache = in_new_processes()
    print(f"The first gradient in a new process: {without:.1f} s, with JAX's cache on disk {with_cache:.1f} s.")

    two = train_qnn(train[0][:, :2], train[1])[-1][2]
    draw(stages, lambda x: kernel(width * x), two, train, test)
    print(f"The figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()
