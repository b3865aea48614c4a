"""Three kinds of iris told apart by a variational quantum classifier, as scikit-learn would do it.

A pipeline scales the features to angles and trains a VQC: a feature map, an ansatz and an expectation value for each
class. A grid search chooses its learning rate and the range of angles, and compiles one program for all of them. The
picture has the training curve, the confusion matrix of the test split, and what a classifier of two features decides.
"""

import os
import time

import _arguments
import _figures
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from qmljax.sklearn import VQC

SEED = 0
COLORS, MARKERS = ["#D55E00", "#009E73", "#0072B2"], "^so"
FIGURE = _arguments.figure(__file__)


def classifier(angles=np.pi / 2, **options):
    """Features scaled to [0, angles] radians, then a VQC."""
    return make_pipeline(MinMaxScaler((0, angles)), VQC(random_state=SEED, **options))


def search(x, y):
    """The best of twelve settings, each judged by five folds."""
    settings = {
        "vqc__learning_rate": [0.01, 0.03, 0.1, 0.3],
        "minmaxscaler__feature_range": [(0, a) for a in (1, 2, 3)],
    }
    return GridSearchCV(classifier(steps=200), settings, cv=5).fit(x, y)


def draw(model, two, test, names):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13.5, 4.5), dpi=110, layout="constrained")
    left, middle, right = figure.subplots(1, 3)

    left.plot(model[-1].loss_curve_, color="black", linewidth=2)
    left.set(title="VQC on 4 qubits, training", xlabel="step", ylabel="cross-entropy", ylim=(0, None))
    left.spines[["top", "right"]].set_visible(False)

    x, y = test
    counts = confusion_matrix(y, model.predict(x))
    middle.imshow(counts, cmap="Greys", vmax=1.5 * counts.max())
    for (row, column), count in np.ndenumerate(counts):
        middle.text(column, row, count, ha="center", va="center", fontsize=16)
    middle.set_xticks(range(3), names)
    middle.set_yticks(range(3), names, rotation=90, va="center")
    middle.tick_params(length=0)
    middle.set(title=f"Test split: {model.score(x, y):.0%} right", xlabel="predicted", ylabel="true")

    petals = x[:, 2:]
    low, high = petals.min(axis=0) - 0.4, petals.max(axis=0) + 0.4
    plane = np.stack(np.meshgrid(*np.linspace(low, high, 150).T), axis=-1)
    decision = two.predict(plane.reshape(-1, 2)).reshape(plane.shape[:2])
    right.contourf(plane[..., 0], plane[..., 1], decision, [-0.5, 0.5, 1.5, 2.5], colors=COLORS, alpha=0.25)
    for k in range(3):
        right.scatter(*petals[y == k].T, s=50, color=COLORS[k], marker=MARKERS[k], edgecolor="white", label=names[k])
    right.set(xlabel="petal length (cm)", ylabel="petal width (cm)")
    right.set_title(f"VQC on 2 qubits: {two.score(petals, y):.0%} right")
    right.legend(loc="upper left")

    _figures.keep(figure, FIGURE)


def main():
    x, y = load_iris(return_X_y=True)
    names = [str(name) for name in load_iris().target_names]
    x, new, y, right = train_test_split(x, y, test_size=0.2, stratify=y, random_state=SEED)

    begun = time.perf_counter()
    found = search(x, y)
    best = {name.split("__")[1]: value for name, value in found.best_params_.items()}
    print(f"60 trainings of a VQC on 4 qubits in {time.perf_counter() - begun:.1f} s; the best setting is {best}.")
    print(f"Cross-validation: {found.best_score_:.1%} right.")

    model = found.best_estimator_
    print(f"Test split: {model.score(new, right):.1%} of {len(new)} flowers right.")
    two = classifier(progress=True).fit(x[:, 2:], y)
    print(f"From the petals alone, on 2 qubits: {two.score(new[:, 2:], right):.1%} right.")
    draw(model, two, (new, right), names)
    print(f"The figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()
