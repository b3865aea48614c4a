"""Pictures. Oracle: the numbers that the artists on the axes hold are those that were given, in their places."""

import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import qmljax as qj
from qmljax import plots

matplotlib.use("Agg")


def panel(**options):
    return Figure().add_subplot(**options)


def result(history, validation=None):
    visits = np.array([0, 2, 4])
    return qj.FitResult(np.zeros(1), history, None, visits, validation, np.array(5), "steps")


def test_training_curves():
    ax = panel()
    losses = np.array([4.0, 3, 2, 1.5, 1])
    assert plots.training_curve(losses, ax=ax, label="one") is ax
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([[1, 2, 3, 4, 5], losses], axis=1))
    assert line.get_label() == "one"
    ax = panel()
    many = np.stack([losses, losses + 1, losses + 5])
    many[2, 3:] = np.nan  # has stopped
    plots.training_curve(result(many, many[:, ::2]), ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [5, 4, 3, 2, 1.5])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), np.stack([[0, 2, 4], [5, 3, 1.5]], axis=1))
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1 and band[:, 1].max() == 9


def test_gram_matrices_are_sorted_by_class():
    gram = np.arange(16.0).reshape(4, 4)
    ax = plots.gram_matrix(gram, ["b", "a", "b", "a"], ax=panel())
    order = [1, 3, 0, 2]
    np.testing.assert_array_equal(ax.images[0].get_array(), gram[order][:, order])
    assert [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [1.5]
    np.testing.assert_array_equal(plots.gram_matrix(gram[:2], ax=panel()).images[0].get_array(), gram[:2])


def test_decision_regions():
    x = np.array([[-1.0, 0], [1, 0], [1, 2]], np.float32)
    seen = []

    def predict(points):
        seen.append(points.dtype)
        return np.where(points[:, 0] > 0, "right", "left")

    ax = plots.decision_regions(predict, x, ["left", "right", "left"], ax=panel(), points=20)
    image = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(image, np.tile(np.repeat([0, 1], 10), (20, 1)))
    assert seen == [np.float32]
    left, bottom, right, top = (ax.images[0].get_extent()[k] for k in (0, 2, 1, 3))
    np.testing.assert_allclose([left, right, bottom, top], [-1.16, 1.16, -0.16, 2.16], rtol=1e-6)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), x[[0, 2]])
    scores = plots.decision_regions(lambda p: p[:, 1] - 0.5, x, ax=panel(), points=3)
    np.testing.assert_allclose(scores.images[0].get_array()[:, 0], [-0.66, 0.5, 1.66], rtol=1e-5)


def test_spectra_and_landscapes():
    coefficients = np.array([1j, 0.5, -3])
    bars = plots.fourier_spectrum(coefficients, ax=panel()).patches
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars] == [(-1, 1), (0, 0.5), (1, 3)]
    ax = plots.fourier_spectrum(np.stack([coefficients, 3 * coefficients]), ax=panel())
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[-1, 2], [0, 1], [1, 6]])
    assert len(ax.collections[0].get_offsets()) == 6
    ax = plots.landscape([3.0, 1, 2], [0.0, 0.5, 1], ax=panel())
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 3], [0.5, 1], [1, 2]])
    ax = plots.landscape(np.eye(3), ax=panel(), limits=(-1, 2))
    assert ax.collections[0].get_clim() == (-1, 2)
    # The least value is where the second direction is farthest, on top of the picture.
    ax = plots.landscape(np.array([[5.0, 4, 0], [5, 4, 3]]), [[0.0, 1], [0.0, 1, 2]], ax=panel())
    np.testing.assert_allclose([ax.dataLim.width, ax.dataLim.height], [1, 2])


def test_bloch_vectors():
    pure = [[1, 0], [2**-0.5, 2**-0.5], [2**-0.5, 1j * 2**-0.5]]
    ax = plots.bloch_ball(pure, ax=panel(projection="3d"), colors=[0, 1, 2])
    points = np.stack(ax.collections[-1]._offsets3d, axis=1)
    np.testing.assert_allclose(points, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-12)
    for states, expected in (
        ([[1, 0], [0, 1]], [[0, 0, 1], [0, 0, -1]]),  # two states, not a matrix
        ([[0.75, 0.25j], [-0.25j, 0.25]], [[0, -0.5, 0.5]]),
        (np.eye(2) / 2, [[0, 0, 0]]),
    ):
        np.testing.assert_allclose(plots._bloch_vectors(states), expected, atol=1e-12)


def test_a_figure_of_its_own():
    from matplotlib import pyplot

    ax = plots.gram_matrix(np.eye(2))
    assert pyplot.fignum_exists(ax.figure.number)
    pyplot.close(ax.figure)


def test_without_matplotlib_the_way_out_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (lambda: plots.gram_matrix(np.eye(2)), lambda: plots.decision_regions(len, np.eye(2))):
        with pytest.raises(ImportError, match=r"pip install 'qmljax\[plot\]'"):
            call()


def test_wrong_arguments():
    with pytest.raises(TypeError, match="`ax` must be Axes of Matplotlib, or None, but is"):
        plots.gram_matrix(np.eye(2), ax=Figure())
    with pytest.raises(ValueError, match="made with projection=\"3d\", but is of the kind 'rectilinear'"):
        plots.bloch_ball([1, 0], ax=panel())
    with pytest.raises(ValueError, match=r"`predict` must give an array of shape \(N,\), but gave \(2, 9\) for N = 9"):
        plots.decision_regions(lambda x: x.T, np.eye(2), ax=panel(), points=3)
    with pytest.raises(ValueError, match=r"`gram` must be square where `y` is given"):
        plots.gram_matrix(np.ones((2, 3)), [0, 1], ax=panel())
    with pytest.raises(ValueError, match=r"`coefficients` must have shape \(\.\.\., 2 degree \+ 1\)"):
        plots.fourier_spectrum(np.ones(4), ax=panel())
    with pytest.raises(ValueError, match="`steps` must fit `values`"):
        plots.landscape(np.ones((3, 3)), np.ones(4), ax=panel())
