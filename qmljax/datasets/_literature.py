"""Data sets from their definitions: points `x` of shape (N, d), or states of shape (N, 2**n), and labels `y` (N,).

Labels are -1 or 1, as many of each. Points are shuffled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from qmljax._checks import check_count, check_number, shown


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
        ValueError: So few points have that margin that they were not found.

    Example:
        >>> x, y = ad_hoc(20, seed=0)
        >>> x.shape, int(y.sum())
        ((20, 2), 0)

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """
    _check(samples, seed)
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

    References:
        S. Goldt, M. Mezard, F. Krzakala, L. Zdeborova, "Modeling the influence of data structure on learning in neural
        networks", PRX 10, 041044 (2020); as in J. Bowles, S. Ahmed, M. Schuld, "Better than classical?",
        arXiv:2403.07059.
    """
    _check(samples, seed, num_features=num_features, manifold_dimension=manifold_dimension)
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

    References:
        J. Bowles, S. Ahmed, M. Schuld, "Better than classical? The subtle art of benchmarking quantum machine learning
        models", arXiv:2403.07059 (2024), "hyperplanes and parity".
    """
    _check(samples, seed, num_features=num_features, num_hyperplanes=num_hyperplanes, dimension=dimension)
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

    References:
        S. Buchanan, D. Gilboa, J. Wright, "Deep networks and the multiple manifold problem", ICLR (2021); as in J.
        Bowles, S. Ahmed, M. Schuld, arXiv:2403.07059 (2024).
    """
    _check(samples, seed, num_features=num_features)
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
    """Images, flat, of (samples, height * width) pixels -1 or 1 and noise: columns (-1) or rows (1) are set at random.

    References:
        D. MacKay, "Information Theory, Inference and Learning Algorithms" (2003), chapter 43.
    """
    _check(samples, seed, height=height, width=width)
    check_number(noise, "noise")
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([-1, 1], samples // 2))
    rows = rng.choice([-1.0, 1.0], (samples, height, 1)) * np.ones(width)
    columns = rng.choice([-1.0, 1.0], (samples, 1, width)) * np.ones((height, 1))
    images = np.where(y[:, None, None] == 1, rows, columns)
    return (images + rng.normal(scale=noise, size=images.shape)).reshape(samples, -1), y


def phases_of_matter(
    samples: int, *, num_qubits: int = 8, model: str = "ising", largest: float = 2.0, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground states of a spin chain with open ends, labelled by their phase.

    Args:
        samples: How many states, an even number.
        num_qubits: 3 to 12.
        model: "ising", -sum Z Z - h sum X, ordered (1) for h < 1; or "cluster", -sum Z X Z - h sum X, which has
            symmetry-protected topological order (1) for h < 1. Both have their transition at h = 1 in the limit of long
            chains.
        largest: Fields h are drawn from 0.05 to 0.95 in one phase and from 1.05 to `largest` in the other.
        seed: Of the fields.

    Returns:
        Real states of shape (samples, 2**n), labels and fields of shape (samples,).

    References:
        I. Cong, S. Choi, M. Lukin, "Quantum convolutional neural networks", Nature Physics 15, 1273 (2019), equation
        (3) with h2 = 0.
    """
    _check(samples, seed)
    check_count(num_qubits, "num_qubits", least=3, most=12)
    check_number(largest, "largest")
    if model not in ("ising", "cluster"):
        raise ValueError(f"`model` must be 'ising' or 'cluster', but is {model!r}.")
    if largest <= 1.05:
        raise ValueError(f"`largest` must be above 1.05, but is {largest}.")
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([-1, 1], samples // 2))
    fields = np.where(y == 1, rng.uniform(0.05, 0.95, samples), rng.uniform(1.05, largest, samples))
    z = np.arange(1 << num_qubits)
    spins = 1 - 2 * (z >> np.arange(num_qubits)[:, None] & 1)
    fixed, field = np.zeros((len(z), len(z))), np.zeros((len(z), len(z)))
    for q in range(num_qubits):
        field[z ^ 1 << q, z] -= 1
        if model == "ising" and q + 1 < num_qubits:
            fixed[z, z] -= spins[q] * spins[q + 1]
        if model == "cluster" and 0 < q < num_qubits - 1:
            fixed[z ^ 1 << q, z] -= spins[q - 1] * spins[q + 1]
    states = np.stack([np.linalg.eigh(fixed + h * field)[1][:, 0] for h in fields])
    states *= np.sign(states[np.arange(samples), abs(states).argmax(axis=1)])[:, None]
    return states, y, fields


def entanglement_concentration(
    samples: int, *, num_qubits: int = 3, low: float = 0.05, high: float = 0.25, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random states of two values of concentratable entanglement, to be told apart.

    Random product states are evolved by random two-qubit ZZ interactions, for as long as it takes to reach the value,
    and turned by random rotations of each qubit.

    Args:
        samples: How many states, an even number.
        num_qubits: 2 to 10.
        low: The value of the label -1.
        high: The value of the label 1. The largest that a state can reach depends on the number of qubits: 1/4 for 2.
        seed: Of the states.

    Returns:
        States of shape (samples, 2**n) and labels of shape (samples,).

    Raises:
        ValueError: A value was not reached.

    References:
        L. Schatzki, A. Arrasmith, P. Coles, M. Cerezo, "Entangled datasets for quantum machine learning",
        arXiv:2109.03400 (2021); J. Beckey et al., "Computable and operationally meaningful multipartite entanglement
        measures", PRL 127, 140501 (2021), definition 1.
    """
    _check(samples, seed)
    check_count(num_qubits, "num_qubits", least=2, most=10)
    for name, value in (("low", low), ("high", high)):
        check_number(value, name)
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([-1, 1], samples // 2))
    return np.stack([_entangled(num_qubits, high if label == 1 else low, rng) for label in y]), y


def concentratable_entanglement(psi: np.ndarray) -> float:
    """1 minus the mean purity of the reduced states of all subsets of qubits, for a state (2**n,)."""
    try:
        amplitudes = np.asarray(psi, complex)
    except (TypeError, ValueError):
        amplitudes = np.zeros(0)
    n = amplitudes.size.bit_length() - 1
    if amplitudes.ndim != 1 or amplitudes.size != 1 << max(n, 0):
        raise ValueError(f"`psi` must be the amplitudes of a state, of shape (2**n,), but is {shown(psi)}.")
    tensor = amplitudes.reshape((2,) * n)
    purities = []
    for subset in range(1 << n):
        kept = [q for q in range(n) if subset >> q & 1]
        matrix = np.moveaxis(tensor, kept, range(len(kept))).reshape(1 << len(kept), -1)
        purities.append((abs(matrix @ matrix.conj().T) ** 2).sum())
    return 1 - float(np.mean(purities))


def _entangled(n: int, wanted: float, rng: Generator) -> np.ndarray:
    z = np.arange(1 << n)
    signs = 1 - 2 * (z >> np.arange(n)[:, None] & 1)
    for _ in range(20):
        energy = sum(rng.uniform(0.5, 1) * signs[i] * signs[j] for i in range(n) for j in range(i))
        product, turns = _random_product(n, rng), [_random_rotation(rng) for _ in range(n)]

        def at(time: float, energy: np.ndarray = energy, product: np.ndarray = product) -> np.ndarray:
            return product * np.exp(-1j * time * energy)

        times = np.linspace(0, np.pi / 2, 64)
        reached = [k for k, t in enumerate(times) if concentratable_entanglement(at(t)) >= wanted]
        if not reached:
            continue
        early, late = times[max(reached[0] - 1, 0)], times[reached[0]]
        for _ in range(40):
            middle = (early + late) / 2
            early, late = (early, middle) if concentratable_entanglement(at(middle)) >= wanted else (middle, late)
        psi = at(late).reshape((2,) * n)
        for q, turn in enumerate(turns):
            psi = np.moveaxis(np.tensordot(turn, psi, (1, q)), 0, q)
        return psi.reshape(-1)
    raise ValueError(f"No state of {n} qubits with a concentratable entanglement of {wanted} was found. Ask for less.")


def _random_product(n: int, rng: Generator) -> np.ndarray:
    psi = np.ones(1, complex)
    for _ in range(n):
        psi = np.kron(psi, _random_rotation(rng)[:, 0])
    return psi


def _random_rotation(rng: Generator) -> np.ndarray:
    """A matrix of SU(2) by Haar's measure."""
    a, b, c, d = (v := rng.normal(size=4)) / np.linalg.norm(v)
    return np.array([[a + 1j * b, -c + 1j * d], [c + 1j * d, a - 1j * b]])


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


def _check(samples: Any, seed: Any, **sizes: Any) -> None:
    """What all data sets are asked for: an even number of samples, a seed, and sizes of at least 1."""
    if check_count(samples, "samples") % 2:
        raise ValueError(f"`samples` must be an even number, so that labels are balanced, but is {samples!r}.")
    for name, value in sizes.items():
        check_count(value, name)
    if not isinstance(seed, Generator):
        check_count(seed, "seed", least=0)
