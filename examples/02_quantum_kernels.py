"""Quantum kernels on data made for them: classification, clustering and principal components.

The ad hoc data of Havlicek et al. are separable in the states of the ZZ feature map, and look like noise to a classical
kernel. One kernel matrix serves a support vector machine, spectral clustering and kernel PCA. Then a kernel is trained:
its feature map turns the data by angles, which rise in alignment with the labels, and with them the test accuracy.
"""

import _arguments
import _figures
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import zz_feature_map
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import KernelPCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.svm import SVC

import qmljax as qj

FIGURE = _arguments.figure(__file__)
COLORS = {-1: "#D55E00", 1: "#0072B2"}
STEPS = 150


def split(samples, **options):
    x, y = qj.datasets.ad_hoc(samples, **options)
    return (x[: samples // 2], y[: samples // 2]), (x[samples // 2 :], y[samples // 2 :])


def compare(train, test):
    """Test accuracies of a support vector machine with the quantum kernel and with the RBF kernel."""
    (x, y), (x_test, y_test) = train, test
    kernel = qj.fidelity_kernel(zz_feature_map(2))
    gram = np.asarray(kernel(x))
    scores = {
        "quantum kernel": SVC(kernel="precomputed", C=10).fit(gram, y).score(kernel(x_test, x), y_test),
        "RBF kernel": SVC(C=10).fit(x, y).score(x_test, y_test),
    }
    found = SpectralClustering(2, affinity="precomputed", random_state=0).fit_predict(gram)
    components = KernelPCA(2, kernel="precomputed").fit_transform(gram)
    return scores, normalized_mutual_info_score(y, found), components


def turned_map():
    """The ZZ feature map, after a turn of every qubit by a weight: wrong weights hide the labels."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(w[q], q)
    return circuit.compose(zz_feature_map(2).assign_parameters(list(x))), w


def train_kernel(train, test):
    """Alignment and test accuracy along the training of the weights by Adam."""
    (x, y), (x_test, y_test) = train, test
    circuit, w = turned_map()
    kernel = qj.fidelity_kernel(circuit, weights=w)
    stages = []

    def loss(weights, x, y):
        return -qj.kernel_alignment(kernel(x, weights=weights), y)

    def record(step, weights, value):
        svm = SVC(kernel="precomputed", C=10).fit(kernel(x, weights=weights), y)
        stages.append((step, -float(value), svm.score(kernel(x_test, x, weights=weights), y_test)))

    start = np.array([1.3, -1.1])
    record(0, start, loss(start, x, y))
    qj.fit(loss, start, (x, y.astype(float)), optimizer=optax.adam(0.05), steps=STEPS, callback=record, progress=True)
    return stages


def draw(x, y, components, stages):
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    points, principal, training = figure.subplots(1, 3)
    for label, color in COLORS.items():
        points.scatter(*x[y == label].T, s=14, color=color, label=f"label {label:+d}")
        principal.scatter(*components[y == label].T, s=14, color=color)
    points.set(title="The points", xlabel="feature 0 (rad)", ylabel="feature 1 (rad)")
    principal.legend(*points.get_legend_handles_labels(), loc="upper right", fontsize=8)
    principal.set(title="Kernel PCA of the quantum kernel", xlabel="component 0", ylabel="component 1")
    steps, alignments, accuracies = zip(*stages, strict=True)
    training.plot(steps, alignments, color="#009E73", label="alignment, training")
    training.plot(steps, accuracies, color="black", linestyle="--", label="accuracy, test")
    training.set(title="Training the kernel", xlabel="step", ylim=(0, 1.05))
    training.legend(loc="lower right", fontsize=8)
    _figures.keep(figure, FIGURE, dpi=150)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    train, test = split(240, gap=0.3, seed=7)
    scores, information, components = compare(train, test)
    for name, score in scores.items():
        print(f"{name:16} test accuracy {score:.1%}")
    print(f"spectral clustering: {information:.2f} of the labels' information, without having seen them")
    stages = train_kernel(train, test)
    for step, alignment, accuracy in (stages[0], stages[-1]):
        print(f"trained kernel, step {step:3}: alignment {alignment:.3f}, test accuracy {accuracy:.1%}")
    draw(*train, components, stages)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
