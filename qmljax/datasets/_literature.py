"""Data sets of points from their definitions: `x` of shape (N, d), and labels `y` (N,).

Labels are -1 or 1, as many of each. Points are shuffled.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from qmljax._checks import check_count, check_number
from qmljax.datasets._checks import check_samples


def ad_hoc(samples: int, *, num_features: int = 2, gap: float = 0.3, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Data that the fidelity kernel of `zz_feature_map(num_features, reps=2)` separates by a margin.

    The label of x is the sign of <psi(x)| V^dagger Z...Z V |psi(x)> with a random unitary V; points where it is smaller
    than `gap` are not drawn.

    Args:
        samples: How many points, an even number.
        num_features: Also the number of qubits, at most 10.
        gap: The margin, from 0 to below 1. The more features, the rarer are points with a large one.
        seed: Of the points and of V.

    Returns:
        x of shape (samples, num_features) in [0, 2 pi), y of shape (samples,).

    Raises:
        ValueError: `samples` is odd, a number is out of range, or so few points have that margin that they were not
            found.

    Example:
        >>> x, y = ad_hoc(20, seed=0)
        >>> x.shape, int(y.sum())
        ((20, 2), 0)

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """
    check_samples(samples, seed)
    check_count(num_features, "num_features", most=10)
    if check_number(gap, "gap") >= 1:
        raise ValueError(f"`gap` must be from 0 to below 1, but is {gap!r}.")
    rng = np.random.default_rng(seed)
    size = 1 << num_features
    z = np.arange(size)
    matrix = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    unitary, triangle = np.linalg.qr(matrix)
    unitary = unitary * (np.diagonal(triangle) / abs(np.diagonal(triangle)))  # distributed by Haar's measure
    parity = 1 - 2 * (np.bitwise_count(z) & 1).astype(int)
    signs = 1 - 2 * (z >> np.arange(num_features)[:, None] & 1)  # (features, 2**n)

    def label(x: np.ndarray) -> np.ndarray:
        phases = x @ signs
        for i in range(num_features):
            for j in range(i):
                phases = phases + ((np.pi - x[:, i]) * (np.pi - x[:, j]))[:, None] * (signs[i] * signs[j])
        psi = np.full((len(x), size), size**-0.5, complex)
        for step in range(2):
            psi = np.exp(-1j * phases) * (_hadamards(psi) if step else psi)
        value = abs(psi @ unitary.T) ** 2 @ parity
        return np.where(abs(value) < gap, 0, np.sign(value))

    return _balanced(samples, lambda count: rng.uniform(0, 2 * np.pi, (count, num_features)), label, rng)


def _hadamards(psi: np.ndarray) -> np.ndarray:
    """H on every qubit of states (N, 2**n)."""
    n = psi.shape[1].bit_length() - 1
    for q in range(n):
        split = psi.reshape(len(psi), -1, 2, 1 << q)
        psi = np.stack([split[:, :, 0] + split[:, :, 1], split[:, :, 0] - split[:, :, 1]], axis=2).reshape(psi.shape)
    return psi * 2 ** (-n / 2)


def hidden_manifold(
    samples: int, *, num_features: int, manifold_dimension: int = 6, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian points of few dimensions, embedded in many by tanh(C F), and labelled there by a random neural network.

    Args:
        samples: How many points, an even number.
        num_features: The number of features d, in which the points are embedded.
        manifold_dimension: The number of dimensions m of the Gaussian points C, and of the network's hidden neurons.
        seed: Of the points, the embedding and the network.

    Returns:
        x of shape (samples, num_features) in (-1, 1), y of shape (samples,): 1 above the median of the network's value.

    Raises:
        ValueError: `samples` is odd, or a number is out of range.

    Example:
        >>> x, y = hidden_manifold(20, num_features=5, seed=0)
        >>> x.shape, int(y.sum())
        ((20, 5), 0)

    References:
        S. Goldt, M. Mezard, F. Krzakala, L. Zdeborova, "Modeling the influence of data structure on learning in neural
        networks", PRX 10, 041044 (2020); as in J. Bowles, S. Ahmed, M. Schuld, "Better than classical?",
        arXiv:2403.07059.
    """
    check_samples(samples, seed, num_features=num_features, manifold_dimension=manifold_dimension)
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(samples, manifold_dimension))
    embedding = rng.normal(size=(manifold_dimension, num_features)) / np.sqrt(manifold_dimension)
    x = np.tanh(points @ embedding - rng.uniform(-1, 1, num_features))
    hidden = np.tanh(points @ rng.normal(size=(manifold_dimension, manifold_dimension)))
    value = hidden @ rng.normal(size=manifold_dimension)
    return x, np.where(value > np.median(value), 1, -1)


def hyperplanes(
    samples: int, *, num_features: int, num_hyperplanes: int = 3, dimension: int = 3, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The parity of the sides on which a point lies of some hyperplanes, after a linear embedding; standardised.

    Args:
        samples: How many points, an even number.
        num_features: The number of features d, in which the points are embedded.
        num_hyperplanes: How many hyperplanes there are.
        dimension: Of the space in which the hyperplanes lie and Gaussian points are drawn.
        seed: Of the points, the hyperplanes and the embedding.

    Returns:
        x of shape (samples, num_features), each feature of mean 0 and variance 1, y of shape (samples,): 1 if the
        point is above an even number of hyperplanes.

    Raises:
        ValueError: `samples` is odd, a number is out of range, or points of one label were not found.

    Example:
        >>> x, y = hyperplanes(20, num_features=5, seed=0)
        >>> x.shape, int(y.sum())
        ((20, 5), 0)

    References:
        J. Bowles, S. Ahmed, M. Schuld, "Better than classical? The subtle art of benchmarking quantum machine learning
        models", arXiv:2403.07059 (2024), "hyperplanes and parity".
    """
    check_samples(samples, seed, num_features=num_features, num_hyperplanes=num_hyperplanes, dimension=dimension)
    rng = np.random.default_rng(seed)
    normals, offsets = rng.uniform(size=(num_hyperplanes, dimension)), rng.uniform(size=num_hyperplanes)

    def label(x: np.ndarray) -> np.ndarray:
        return 1 - 2 * ((x @ normals.T + offsets > 0).sum(axis=1) % 2)

    x, y = _balanced(samples, lambda count: rng.normal(size=(count, dimension)), label, rng)
    return _standardised(x @ rng.uniform(size=(dimension, num_features))), y


def two_curves(
    samples: int, *, num_features: int, degree: int = 5, offset: float = 0.1, noise: float = 0.01, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two parallel curves, Fourier series of a degree in every feature, at a distance, with noise; standardised.

    Args:
        samples: How many points, an even number.
        num_features: The number of features d, the dimension of the curves' space.
        degree: The highest frequency of the curves, 0 or more: the more, the more they wind.
        offset: How far the curve of label 1 is moved in every feature, before points are standardised.
        noise: The standard deviation of the noise in every feature, before points are standardised.
        seed: Of the curves, the points on them and the noise.

    Returns:
        x of shape (samples, num_features), each feature of mean 0 and variance 1, y of shape (samples,).

    Raises:
        ValueError: `samples` is odd, or a number is out of range.

    Example:
        >>> x, y = two_curves(20, num_features=5, seed=0)
        >>> x.shape, int(y.sum())
        ((20, 5), 0)

    References:
        S. Buchanan, D. Gilboa, J. Wright, "Deep networks and the multiple manifold problem", ICLR (2021); as in J.
        Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059 (2024).
    """
    check_samples(samples, seed, num_features=num_features)
    check_count(degree, "degree", least=0)
    check_number(noise, "noise")
    check_number(offset, "offset", -np.inf)
    rng = np.random.default_rng(seed)
    coefficients = rng.uniform(size=(2, degree + 1, num_features))
    coefficients /= np.linalg.norm(coefficients)
    angles = np.pi * rng.uniform(size=(samples, 1)) * np.arange(degree + 1)
    y = rng.permutation(np.repeat([-1, 1], samples // 2))
    x = np.cos(angles) @ coefficients[0] + np.sin(angles) @ coefficients[1]
    x = x + offset * (y[:, None] == 1) + rng.normal(scale=noise, size=x.shape)
    return _standardised(x), y


def bars_and_stripes(
    samples: int, *, height: int = 4, width: int = 4, noise: float = 0.5, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of bars or of stripes: columns (-1) or rows (1) of pixels, each set at random.

    Args:
        samples: How many images, an even number.
        height: The number of rows.
        width: The number of columns.
        noise: The standard deviation of the noise of a pixel.
        seed: Of the images and the noise.

    Returns:
        x of shape (samples, height * width), row by row, of pixels -1 or 1 plus noise, y of shape (samples,).

    Raises:
        ValueError: `samples` is odd, or a number is out of range.

    Example:
        >>> x, y = bars_and_stripes(2, height=2, width=2, noise=0.0, seed=1)
        >>> x, y
        (array([[-1.,  1., -1.,  1.],
               [ 1.,  1., -1., -1.]]), array([-1,  1]))

    References:
        D. MacKay, "Information Theory, Inference and Learning Algorithms" (2003), chapter 43.
    """
    check_samples(samples, seed, height=height, width=width)
    check_number(noise, "noise")
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([-1, 1], samples // 2))
    rows = rng.choice([-1.0, 1.0], (samples, height, 1)) * np.ones(width)
    columns = rng.choice([-1.0, 1.0], (samples, 1, width)) * np.ones((height, 1))
    images = np.where(y[:, None, None] == 1, rows, columns)
    return (images + rng.normal(scale=noise, size=images.shape)).reshape(samples, -1), y


def _balanced(
    samples: int, draw: Callable[[int], np.ndarray], label: Callable[[np.ndarray], np.ndarray], rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws points until there are enough of both labels; those of label 0 are thrown away."""
    kept: dict[int, list[np.ndarray]] = {-1: [], 1: []}
    for _ in range(1000):
        x = draw(max(samples, 64))
        y = label(x)
        for sign, found in kept.items():
            found.append(x[y == sign])
        if all(sum(map(len, found)) >= samples // 2 for found in kept.values()):
            break
    else:
        raise ValueError(
            "So few points fulfil the condition that they were not found. Ask for less, such as a smaller gap."
        )
    x = np.concatenate([np.concatenate(kept[sign])[: samples // 2] for sign in (-1, 1)])
    order = rng.permutation(samples)
    return x[order], np.repeat([-1, 1], samples // 2)[order]


def _standardised(x: np.ndarray) -> np.ndarray:
    deviation = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
