"""The data of the study "Better than classical?", to the bit: from its definitions, its order of draws and its seeds.

The study draws its sets of 2, 3, ... features one after the other from one stream of numbers, each with the split into
training and test points, and so do these functions: what they give for d features does not depend on how many more
there are. They draw from a generator of their own and leave NumPy's global one, which the study seeds, alone.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import RandomState

from qmljax._checks import check_count, check_number

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bowles_linearly_separable(num_features: int = 10, *, samples: int = 300, seed: int = 42) -> Split:
    """Points of a cube on both sides of the plane ``sum x = 0``, but for a margin of 0.02 features.

    The label is -1 where the sum is positive; classes are balanced by chance alone.

    Args:
        num_features: d, at least 2.
        samples: How many points, of which a fifth, rounded up, is for the test.
        seed: Of the stream; that of the study is 42.

    Returns:
        x_train of shape (n, d), x_test (m, d), y_train (n,), y_test (m,): the order of scikit-learn's
        `train_test_split`. Labels are -1 and 1. The study has 240 and 60 points.

    Raises:
        ValueError: A number is too small.

    Example:
        >>> x, x_test, y, y_test = bowles_linearly_separable()
        >>> x.shape, x_test.shape, int(y.sum())
        ((240, 10), (60, 10), 16)

    References:
        J. Bowles, S. Ahmed, M. Schuld, "Better than classical? The subtle art of benchmarking quantum machine learning
        models", arXiv:2403.07059 (2024), "linearly separable".
    """

    def draw(rng: RandomState, d: int) -> tuple[np.ndarray, np.ndarray]:
        points = 2 * rng.rand(2 * samples, d) - 1
        sides = points.sum(axis=1)
        far = np.flatnonzero(abs(sides) > 0.02 * d)[:samples]
        return points[far], np.where(sides[far] > 0, -1, 1)

    return _in_turn(draw, num_features, samples, seed)


def bowles_hidden_manifold(
    num_features: int = 10, *, manifold_dimension: int = 6, samples: int = 300, seed: int = 3
) -> Split:
    """Gaussian points of few dimensions m, embedded by ``tanh(C F / sqrt(m) - b)``, labelled there by a random network.

    The label is -1 where the output of the network is below its median.

    Args:
        num_features: d, at least 2.
        manifold_dimension: m.
        samples: How many points, an even number, of which a fifth, rounded up, is for the test.
        seed: Of the stream; that of the study is 3.

    Returns:
        x_train of shape (n, d), x_test (m, d), y_train (n,), y_test (m,): the order of scikit-learn's
        `train_test_split`. Labels are -1 and 1.

    Raises:
        ValueError: A number is too small.

    Example:
        >>> x, x_test, y, y_test = bowles_hidden_manifold()
        >>> int(y.sum() + y_test.sum())
        0

    References:
        J. Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059 (2024), "hidden manifold model"; S. Goldt et al.,
        PRX 10, 041044 (2020).
    """
    m = check_count(manifold_dimension, "manifold_dimension")

    def draw(rng: RandomState, d: int) -> tuple[np.ndarray, np.ndarray]:
        embedding = rng.normal(size=(m, d))
        points = rng.normal(size=(samples, m))
        offsets = 2 * rng.uniform(size=d) - 1
        hidden, outer = rng.normal(size=(m, m)), rng.normal(size=m)
        values = np.tanh(points @ hidden.T) @ outer
        return np.tanh(points @ embedding / np.sqrt(m) - offsets), np.where(values < np.median(values), -1, 1)

    return _in_turn(draw, num_features, samples, seed)


def bowles_two_curves(
    num_features: int = 10,
    *,
    degree: int = 5,
    offset: float = 0.1,
    noise: float = 0.01,
    samples: int = 300,
    seed: int = 3,
) -> Split:
    """Two parallel curves, whose coordinates are random Fourier series of a degree, with noise; standardised together.

    Args:
        num_features: d, at least 2.
        degree: The highest frequency, in units of half a turn.
        offset: How far the second curve, of the label 1, is shifted along each axis.
        noise: The standard deviation of Gaussian noise.
        samples: How many points, an even number, of which a fifth, rounded up, is for the test.
        seed: Of the stream; that of the study is 3.

    Returns:
        x_train of shape (n, d), x_test (m, d), y_train (n,), y_test (m,): the order of scikit-learn's
        `train_test_split`. Labels are -1 and 1.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> x, x_test, y, y_test = bowles_two_curves()
        >>> np.concatenate([x, x_test]).std(axis=0).round(6)[:2]
        array([1., 1.])

    References:
        J. Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059 (2024), "two curves"; S. Buchanan, D. Gilboa, J.
        Wright, ICLR (2021).
    """
    check_count(degree, "degree", least=0)
    check_number(offset, "offset", -np.inf)
    check_number(noise, "noise")

    def draw(rng: RandomState, d: int) -> tuple[np.ndarray, np.ndarray]:
        coefficients = rng.uniform(size=(d, degree + 1, 2))
        coefficients = coefficients / np.linalg.norm(coefficients)
        points = np.empty((samples, d))
        for row in points:  # one number for the place, then one of noise for each coordinate
            place = rng.rand()
            value = coefficients[:, 0, 0] + coefficients[:, 0, 1]
            for k in range(1, degree + 1):
                angle = k * np.pi * place
                value = value + (coefficients[:, k, 0] * np.cos(angle) + coefficients[:, k, 1] * np.sin(angle))
            row[:] = value + rng.normal(scale=noise, size=d)
        half = samples // 2
        points[half:] += offset
        return _standardised(points), np.repeat([-1, 1], [half, samples - half])

    return _in_turn(draw, num_features, samples, seed)


def _in_turn(
    draw: Callable[[RandomState, int], tuple[np.ndarray, np.ndarray]], num_features: int, samples: Any, seed: Any
) -> Split:
    """Draws the sets of 2, 3, ... features, each with its split, and returns the last."""
    check_count(num_features, "num_features", least=2)
    if check_count(samples, "samples", least=2) % 2:
        raise ValueError(f"`samples` must be an even number, but is {samples!r}.")
    rng = RandomState(check_count(seed, "seed", least=0, most=2**32 - 1))
    for d in range(2, num_features + 1):
        x, y = draw(rng, d)
        order, test = rng.permutation(len(x)), math.ceil(0.2 * len(x))
    return x[order[test:]], x[order[:test]], y[order[test:]], y[order[:test]]


def _standardised(x: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1, with the correction of the two-pass algorithm, to the bit as scikit-learn's."""
    mean = x.sum(axis=0) / len(x)
    rest = x - mean
    variance = ((rest**2).sum(axis=0) - rest.sum(axis=0) ** 2 / len(x)) / len(x)
    return (x - mean) / np.sqrt(variance)
