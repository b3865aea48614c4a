"""Pictures of the field, by Matplotlib (`pip install 'qmljax[plot]'`): curves, kernels, regions, spectra, landscapes.

Each function draws into the `ax=` that it is given, or into a figure of its own, and returns the `Axes`, with which all
else is done: titles, labels, limits, `ax.figure.savefig`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from qmljax._checks import check_array, check_count, check_function, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")  # for colour-blind readers
MARKERS = "o^svDPX"


def training_curve(history: Any, *, ax: "Axes | None" = None, label: str | None = None) -> "Axes":
    """Losses by steps: of one training a line, of an ensemble the median and a band from its best to its worst member.

    Args:
        history: Losses of shape (steps,) or (R, steps), as in `FitResult.history`; or the `FitResult`, with which the
            validation losses are drawn, too, dashed. Members that have stopped, whose losses are NaN, do not count.
        ax: Where to draw.
        label: Of the line, for a legend.

    Returns:
        The axes.

    Raises:
        TypeError: `history` holds no real numbers, or `ax` is none.
        ValueError: It has another shape.

    Example:
        >>> training_curve([3.0, 2.0, 1.5]).get_xlabel()
        'step'
    """
    panel: Any = _axes(ax)
    result, history = (history, history.history) if hasattr(history, "history") else (None, history)
    losses = _ready(history, "history", "of shape (steps,) or (R, steps)")
    if losses.ndim not in (1, 2) or not losses.size:
        raise ValueError(f"`history` must have shape (steps,) or (R, steps), but is {shown(losses)}.")
    (line,) = _curve(panel, np.arange(1, losses.shape[-1] + 1), losses, label=label)
    if result is not None and getattr(result, "validation", None) is not None and np.size(result.validation):
        visits, values = np.asarray(result.visits), np.asarray(result.validation)
        name = f"{label}, validation" if label else "validation"
        _curve(panel, visits, values, color=line.get_color(), linestyle="--", label=name)
    panel.set(xlabel="step", ylabel="loss")
    return panel


def gram_matrix(gram: Any, y: Any = None, *, ax: "Axes | None" = None) -> "Axes":
    """A kernel matrix as an image; with labels its points are sorted by class, and lines part the classes.

    Args:
        gram: Of shape (N, M).
        y: Labels of shape (N,), of a square matrix.
        ax: Where to draw.

    Returns:
        The axes, whose figure has a bar of colours.

    Raises:
        TypeError: `gram` holds no real numbers, or `ax` is none.
        ValueError: Shapes do not fit.

    Example:
        >>> gram_matrix(np.eye(4), [0, 1, 0, 1]).get_xlabel()
        'point'
    """
    panel: Any = _axes(ax)
    values = _ready(gram, "gram", "a kernel matrix of shape (N, M)")
    if values.ndim != 2 or not values.size:
        raise ValueError(f"`gram` must be a kernel matrix of shape (N, M), but is {shown(values)}.")
    edges: Any = []
    if y is not None:
        labels = _labels(y, len(values))
        if values.shape[0] != values.shape[1]:
            raise ValueError(f"`gram` must be square where `y` is given, but is {shown(values)}.")
        order = np.argsort(labels, kind="stable")
        values, labels = values[order][:, order], labels[order]
        edges = np.flatnonzero(labels[1:] != labels[:-1]) + 0.5
    image = panel.imshow(values, cmap="viridis", interpolation="nearest")
    for edge in edges:
        panel.axvline(float(edge), color="white", linewidth=1)
        panel.axhline(float(edge), color="white", linewidth=1)
    panel.figure.colorbar(image, ax=panel, label="kernel")
    panel.set(xlabel="point", ylabel="point")
    return panel


def decision_regions(
    predict: Callable[[Any], Any], x: Any, y: Any = None, *, ax: "Axes | None" = None, points: int = 100
) -> "Axes":
    """What a classifier of two features decides, as a map, and the points with their labels on it.

    Args:
        predict: Points (N, 2) to labels (N,), of any kind; or to floating point scores (N,) that are drawn by their
            size, with a line at 0, such as the outputs of a model.
        x: Points of shape (N, 2), which set the range.
        y: Their labels, of shape (N,).
        ax: Where to draw.
        points: How many points the grid has along each feature.

    Returns:
        The axes.

    Raises:
        TypeError: `predict` is no function, `x` holds no real numbers, or `ax` is none.
        ValueError: Shapes do not fit.

    Example:
        >>> decision_regions(lambda x: x[:, 0] > 0, [[-1, 0], [1, 0]], [0, 1]).get_xlabel()
        'feature 0'
    """
    check_function(predict, "predict", "(N, 2) -> (N,)")
    panel: Any = _axes(ax)
    from matplotlib.colors import ListedColormap  # after the check that there is Matplotlib

    count = check_count(points, "points", least=2)
    x = _ready(x, "x", "of shape (N, 2)")
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"`x` must have shape (N, 2), but is {shown(x)}.")
    labels = None if y is None else _labels(y, len(x))
    low, high = x.min(axis=0), x.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    axes = [np.linspace(a, b, count) for a, b in zip(low - margin, high + margin, strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1)
    dtype = x.dtype if x.dtype.kind == "f" else np.float32
    found = np.asarray(predict(grid.reshape(-1, 2).astype(dtype)))
    if found.shape != (count * count,):
        raise ValueError(f"`predict` must give an array of shape (N,), but gave {found.shape} for N = {count**2}.")
    area = (axes[0][0], axes[0][-1], axes[1][0], axes[1][-1])
    classes: list[Any] = [] if labels is None else list(np.unique(labels))
    if found.dtype.kind == "f" and not set(np.unique(found)) <= set(classes):
        size = float(np.abs(found).max()) or 1.0
        scores, options = found.reshape(count, count), {"vmin": -size, "vmax": size, "cmap": "RdBu"}
        panel.imshow(scores, origin="lower", extent=area, aspect="auto", alpha=0.6, **options)
        if scores.min() < 0 < scores.max():
            panel.contour(axes[0], axes[1], scores, levels=[0], colors="black", linewidths=1)
        colors = [COLORS[1], COLORS[0], *COLORS[2:]]  # what is below 0 is red
    else:
        classes = sorted({*classes, *np.unique(found).tolist()})
        colors = [COLORS[k % len(COLORS)] for k in range(len(classes))]
        numbers = np.searchsorted(np.asarray(classes), found).reshape(count, count)
        options = {"vmin": -0.5, "vmax": len(classes) - 0.5, "cmap": ListedColormap(colors)}
        panel.imshow(numbers, origin="lower", extent=area, aspect="auto", alpha=0.3, **options)
    if labels is None:
        panel.scatter(*x.T, s=16, color="black", linewidth=0)
    for k, name in enumerate(classes if labels is not None else []):
        style = {"color": colors[k % len(colors)], "marker": MARKERS[k % len(MARKERS)], "edgecolor": "white"}
        panel.scatter(*x[labels == name].T, s=22, linewidth=0.5, label=str(name), **style)
    panel.set(xlabel="feature 0", ylabel="feature 1")
    return panel


def fourier_spectrum(coefficients: Any, *, ax: "Axes | None" = None, label: str | None = None) -> "Axes":
    """The sizes of Fourier coefficients: of one function bars, of many functions each as a point, and their mean.

    Args:
        coefficients: Of one input, (2 degree + 1,) of one function or (S, 2 degree + 1) of many, the frequencies from
            -degree to degree, as from `analysis.fourier_coefficients`.
        ax: Where to draw.
        label: For a legend.

    Returns:
        The axes.

    Raises:
        TypeError: `coefficients` holds no numbers, or `ax` is none.
        ValueError: It has another shape.

    Example:
        >>> fourier_spectrum([0.5, 0.0, 0.5]).get_xlabel()
        'frequency'
    """
    panel: Any = _axes(ax)
    try:
        sizes = np.abs(np.asarray(coefficients))
    except TypeError:
        sizes = np.asarray(None)
    if sizes.dtype.kind not in "fiu":
        raise TypeError(f"`coefficients` must be an array of numbers, but is {shown(coefficients)}.")
    if sizes.ndim not in (1, 2) or not sizes.size or sizes.shape[-1] % 2 == 0:
        raise ValueError(f"`coefficients` must have shape (..., 2 degree + 1), but is {shown(sizes)}.")
    frequencies = np.arange(sizes.shape[-1]) - sizes.shape[-1] // 2
    if sizes.ndim == 1:
        panel.bar(frequencies, sizes, width=0.6, label=label)
    else:
        shift = np.random.default_rng(0).uniform(-0.22, 0.22, sizes.shape)  # so that points do not hide each other
        dots = panel.scatter(frequencies + shift, sizes, s=6, alpha=0.4, linewidth=0)
        panel.plot(frequencies, sizes.mean(axis=0), "o-", color=dots.get_facecolor()[0, :3], label=label)
    panel.set(xlabel="frequency", ylabel="|coefficient|")
    return panel


def landscape(
    values: Any, steps: Any = None, *, ax: "Axes | None" = None, limits: tuple[float, float] | None = None
) -> "Axes":
    """The values of a loss along one direction as a curve, along two as a map with contours.

    Args:
        values: Of shape (M,) or (M1, M2), as from `analysis.landscape`: the first axis is drawn from left to right.
        steps: How far along the directions they are: an array (M,), or one for each direction. By default from -1 to 1.
        ax: Where to draw.
        limits: The least and the largest value that has a colour of its own, to compare maps; by default those of the
            values. Of a curve they are the limits of the axis.

    Returns:
        The axes; of a map the figure has a bar of colours.

    Raises:
        TypeError: An array holds no real numbers, or `ax` is none.
        ValueError: Shapes do not fit.

    Example:
        >>> landscape(np.ones((3, 4))).get_ylabel()
        'second direction'
    """
    panel: Any = _axes(ax)
    values = _ready(values, "values", "of shape (M,) or (M, M)")
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(f"`values` must have shape (M,) or (M, M), but is {shown(values)}.")
    given = [np.linspace(-1, 1, size) for size in values.shape] if steps is None else steps
    own = values.ndim == 2 and len(given) == 2 and all(np.ndim(axis) == 1 for axis in given)
    axes = [
        _ready(axis, "steps", "of shape (M,)") for axis in (given if own or steps is None else [given] * values.ndim)
    ]
    if [axis.shape for axis in axes] != [(size,) for size in values.shape]:
        raise ValueError(
            f"`steps` must fit `values` of shape {values.shape}, but have shapes {[a.shape for a in axes]}."
        )
    low, high = (values.min(), values.max()) if limits is None else _limits(limits)
    if values.ndim == 1:
        panel.plot(axes[0], values)
        panel.set(xlabel="direction", ylabel="loss")
        if limits is not None:
            panel.set_ylim(low, high)
        return panel
    levels = np.linspace(low, high if high > low else low + 1, 25)
    filled = panel.contourf(
        *axes, values.T, levels=levels, cmap="viridis", extend="neither" if limits is None else "both"
    )
    panel.contour(*axes, values.T, levels=levels[::2], colors="white", linewidths=0.4, alpha=0.6, linestyles="solid")
    panel.figure.colorbar(filled, ax=panel, label="loss", format="%.2g")
    panel.set(xlabel="first direction", ylabel="second direction")
    return panel


def bloch_ball(states: Any, *, ax: "Axes | None" = None, colors: Any = None) -> "Axes":
    """States of a qubit in the Bloch ball: pure ones on its surface, mixed ones inside.

    Args:
        states: Amplitudes of shape (..., 2), normalised, or density matrices of shape (..., 2, 2).
        ax: Where to draw, with ``projection="3d"``.
        colors: A number for each state, such as its label, or a colour for all.

    Returns:
        The axes.

    Raises:
        TypeError: `states` holds no numbers, or `ax` is none.
        ValueError: It has another shape, or `ax` has two dimensions.

    Example:
        >>> bloch_ball([1.0, 0.0]).name
        '3d'
    """
    vectors = _bloch_vectors(states)
    panel: Any = _axes(ax, projection="3d")
    if panel.name != "3d":
        raise ValueError(
            f'`ax` must have three dimensions, made with projection="3d", but is of the kind {panel.name!r}.'
        )
    theta, phi = np.meshgrid(np.linspace(0, np.pi, 25), np.linspace(0, 2 * np.pi, 49))
    ball = np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)
    panel.plot_surface(*ball, color="#dddddd", alpha=0.12, linewidth=0)
    around, zero = np.linspace(0, 2 * np.pi, 100), np.zeros(100)
    for circle in ((np.cos(around), np.sin(around), zero), (np.cos(around), zero, np.sin(around))):
        panel.plot(*circle, color="#999999", linewidth=0.7)
    for place, name in (((0, 0, 1.2), "|0>"), ((0, 0, -1.4), "|1>"), ((1.25, 0, 0), "x"), ((0, 1.25, 0), "y")):
        panel.text(*place, name, ha="center")
    for axis in np.eye(3):
        panel.plot(*np.stack([-axis, axis], axis=1), color="#999999", linewidth=0.7)
    options = (
        {"color": COLORS[0]} if colors is None else {"color": colors} if isinstance(colors, str) else {"c": colors}
    )
    panel.scatter(*vectors.T, s=24, depthshade=False, **options)
    if len(vectors) == 1:
        panel.quiver(0, 0, 0, *vectors[0], color=COLORS[0], arrow_length_ratio=0.12)
    panel.set_box_aspect((1, 1, 1), zoom=1.25)
    panel.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
    panel.set_axis_off()
    return panel


def _bloch_vectors(states: Any) -> np.ndarray:
    """Of states of a qubit, (N, 3)."""
    try:
        array = np.asarray(states)
    except (TypeError, ValueError):  # a ragged list
        array = np.asarray(None)
    if array.dtype.kind not in "fciu":
        raise TypeError(f"`states` must be an array of numbers, states of a qubit, but is {shown(states)}.")
    if not array.ndim or array.shape[-1] != 2 or not array.size:
        raise ValueError(f"`states` must have shape (..., 2) or (..., 2, 2), but is {shown(states)}.")
    # The rows of a density matrix are not both normalised: then Tr rho**2 would be 2.
    pure = array.ndim == 1 or array.shape[-2] != 2 or np.allclose(np.linalg.norm(array, axis=-1), 1, atol=1e-4)
    rho = array[..., :, None] * array[..., None, :].conj() if pure else array
    vectors = 2 * rho[..., 1, 0].real, 2 * rho[..., 1, 0].imag, (rho[..., 0, 0] - rho[..., 1, 1]).real
    return np.stack(vectors, axis=-1).reshape(-1, 3)


def _curve(ax: Any, steps: np.ndarray, values: np.ndarray, label: str | None = None, **options: Any) -> Any:
    """A line; of values (R, steps) their median, and a band from the least to the largest."""
    if values.ndim == 1:
        return ax.plot(steps, values, label=label, **options)
    some = ~np.isnan(values).all(axis=0)
    steps, values = steps[some], values[:, some]
    lines = ax.plot(steps, np.nanmedian(values, axis=0), label=label, **options)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    ax.fill_between(steps, low, high, color=lines[0].get_color(), alpha=0.2, linewidth=0)
    return lines


def _axes(ax: Any, **options: Any) -> Any:
    """The axes that are given, or those of a figure of its own."""
    try:
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    except ImportError:
        raise ImportError("qmljax.plots needs Matplotlib: pip install 'qmljax[plot]'.") from None
    if ax is None:
        return pyplot.figure(layout="constrained").add_subplot(**options)
    if not isinstance(ax, Axes):
        raise TypeError(f"`ax` must be Axes of Matplotlib, or None, but is {shown(ax)}. Of several pass one.")
    return ax


def _ready(value: Any, name: str, what: str) -> np.ndarray:
    return np.asarray(check_array(value, name, what))


def _limits(limits: Any) -> tuple[float, float]:
    pair = _ready(limits, "limits", "two numbers")
    if pair.shape != (2,) or not pair[0] < pair[1]:
        raise ValueError(f"`limits` must be two numbers, the lower one first, but is {shown(limits)}.")
    return float(pair[0]), float(pair[1])


def _labels(y: Any, count: int) -> np.ndarray:
    try:
        labels = np.asarray(y)
    except ValueError:  # a ragged list
        labels = np.asarray(None)
    if labels.shape != (count,):
        raise ValueError(f"`y` must be labels of shape ({count},), one for each point, but is {shown(y)}.")
    return labels
