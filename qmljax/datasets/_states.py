"""Data sets of quantum states from their definitions: of shape (N, 2**n), little endian, and labels `y` (N,).

Labels are -1 or 1, as many of each.
"""

import numpy as np
from numpy.random import Generator

from qmljax._checks import check_count, check_number, shown
from qmljax.datasets._checks import check_samples


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

    Raises:
        ValueError: `samples` is odd, a number is out of range, or `model` is neither.

    Example:
        >>> states, y, fields = phases_of_matter(4, num_qubits=3, seed=0)
        >>> states.shape, y[np.argsort(fields)]
        ((4, 8), array([ 1,  1, -1, -1]))

    References:
        I. Cong, S. Choi, M. Lukin, "Quantum convolutional neural networks", Nature Physics 15, 1273 (2019), equation
        (3) with h2 = 0.
    """
    check_samples(samples, seed)
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
        high: The value of the label 1. The largest that a state can reach depends on the number of qubits: 1/4 for 2,
            which random ones do not, so that it must be less there.
        seed: Of the states.

    Returns:
        States of shape (samples, 2**n) and labels of shape (samples,).

    Raises:
        ValueError: `samples` is odd, a number is out of range, or a value was not reached.

    Example:
        >>> states, y = entanglement_concentration(2, seed=0)
        >>> states.shape, [round(concentratable_entanglement(psi), 2) for psi in states[np.argsort(y)]]
        ((2, 8), [0.05, 0.25])

    References:
        L. Schatzki, A. Arrasmith, P. Coles, M. Cerezo, "Entangled datasets for quantum machine learning",
        arXiv:2109.03400 (2021); J. Beckey et al., "Computable and operationally meaningful multipartite entanglement
        measures", PRL 127, 140501 (2021), definition 1.
    """
    check_samples(samples, seed)
    check_count(num_qubits, "num_qubits", least=2, most=10)
    for name, value in (("low", low), ("high", high)):
        check_number(value, name)
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([-1, 1], samples // 2))
    return np.stack([_entangled(num_qubits, high if label == 1 else low, rng) for label in y]), y


def concentratable_entanglement(psi: np.ndarray) -> float:
    """The concentratable entanglement: 1 minus the mean purity of the reduced states of all subsets of qubits.

    Args:
        psi: The amplitudes of a state, (2**n,), of norm 1.

    Returns:
        A number from 0, of product states, to below 1. It takes 2**n partial traces.

    Raises:
        ValueError: `psi` has another shape.

    Example:
        >>> concentratable_entanglement(np.array([1, 0, 0, 1]) / np.sqrt(2))  # a Bell state
        0.25

    References:
        J. Beckey et al., "Computable and operationally meaningful multipartite entanglement measures", PRL 127, 140501
        (2021), definition 1.
    """
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
