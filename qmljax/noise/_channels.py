"""The channels of the field: functions from their strengths, numbers that may be traced, to a `Channel`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qmljax._checks import check_count, check_number, shown
from qmljax._circuit import pauli_basis
from qmljax._circuit.pauli_basis import index
from qmljax.noise._channel import Channel, is_there

TOLERANCE = 1e-6  # of traces and of sums of probabilities


def depolarizing(p: Any, num_qubits: int = 1) -> Channel:
    """Depolarizing noise, ``rho -> (1 - p) rho + p I / 2**n``.

    Args:
        p: Its strength, from 0 to ``4**n / (4**n - 1)``, which may be traced. At 1 nothing of the state is left.
        num_qubits: n.

    Returns:
        The channel.

    Raises:
        TypeError: `p` is no number, or `num_qubits` no integer.
        ValueError: `p` lies outside, or there are no qubits or more than 8.

    Example:
        >>> depolarizing(0.1)
        Channel(depolarizing, p=0.1)

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.4.
    """
    n = check_count(num_qubits, "num_qubits", most=8)
    return Channel("depolarizing", n, {"p": _strength(p, "p", 4**n / (4**n - 1))})


def pauli(probabilities: Mapping[str, Any]) -> Channel:
    """A mixture of Pauli strings.

    Args:
        probabilities: Of strings such as "X" or "ZI", the last letter being the first qubit that the channel acts on.
            What they miss of 1 is the probability that nothing happens.

    Returns:
        The channel.

    Raises:
        TypeError: It is no mapping, or a probability is no number.
        ValueError: A label is none, lengths differ, or they are no probabilities.

    Example:
        >>> pauli({"XX": 0.01, "ZI": 0.02}).num_qubits
        2

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.
    """
    if not isinstance(probabilities, Mapping) or not probabilities:
        raise TypeError(
            f"`probabilities` must be a mapping of strings such as 'ZX' to numbers, but is {shown(probabilities)}."
        )
    values: dict[str, Any] = {}
    for label, p in probabilities.items():
        if not isinstance(label, str) or not label or set(label) - set("IXYZ"):
            raise ValueError(f"The keys of `probabilities` must be strings of I, X, Y and Z, but one is {label!r}.")
        values[label] = _strength(p, f"probabilities[{label!r}]", 1.0)
    if len(sizes := {len(label) for label in values}) > 1:
        raise ValueError(f"The keys of `probabilities` must have one length, but are {list(values)}.")
    (n,) = sizes
    nothing = values.pop("I" * n, None)
    there = [p for p in (*values.values(), *(() if nothing is None else (nothing,))) if is_there(p)]
    total = float(sum(map(float, there)))
    whole = nothing is not None and len(there) == len(values) + 1
    if total > 1 + TOLERANCE or whole and total < 1 - TOLERANCE:
        wanted = "1" if whole else "at most 1"
        raise ValueError(f"`probabilities` must sum to {wanted}, but {shown(probabilities)} sums to {total:.6g}.")
    return Channel("pauli", n, values, tuple(index(label) for label in values))


def bit_flip(p: Any) -> Channel:
    """X with a probability p, ``rho -> (1 - p) rho + p X rho X``.

    Args:
        p: A number from 0 to 1, which may be traced.

    Returns:
        The channel, on one qubit.

    Raises:
        TypeError: It is no number.
        ValueError: It lies outside of 0 to 1.

    Example:
        >>> bit_flip(0.1)
        Channel(pauli, X=0.1)

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.3.
    """
    return Channel("pauli", 1, {"X": _strength(p, "p", 1.0)}, (index("X"),))


def phase_flip(p: Any) -> Channel:
    """Z with a probability p, ``rho -> (1 - p) rho + p Z rho Z``.

    Args:
        p: A number from 0 to 1, which may be traced.

    Returns:
        The channel, on one qubit.

    Raises:
        TypeError: It is no number.
        ValueError: It lies outside of 0 to 1.

    Example:
        >>> phase_flip(0.1)
        Channel(pauli, Z=0.1)

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.3.
    """
    return Channel("pauli", 1, {"Z": _strength(p, "p", 1.0)}, (index("Z"),))


def amplitude_damping(gamma: Any) -> Channel:
    """The decay of |1> to |0> with a probability gamma.

    Args:
        gamma: A number from 0 to 1, which may be traced.

    Returns:
        The channel, on one qubit.

    Raises:
        TypeError: It is no number.
        ValueError: It lies outside of 0 to 1.

    Example:
        >>> amplitude_damping(0.1).is_pauli
        False

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.5.
    """
    return Channel("amplitude_damping", 1, {"gamma": _strength(gamma, "gamma", 1.0)})


def phase_damping(lam: Any) -> Channel:
    """The loss of phases: coherences shrink by ``sqrt(1 - lam)``.

    Args:
        lam: A number from 0 to 1, which may be traced.

    Returns:
        The channel, on one qubit.

    Raises:
        TypeError: It is no number.
        ValueError: It lies outside of 0 to 1.

    Example:
        >>> phase_damping(0.1)
        Channel(phase_damping, lam=0.1)

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.6.
    """
    return Channel("phase_damping", 1, {"lam": _strength(lam, "lam", 1.0)}, (index("Z"),))


def thermal_relaxation(t1: Any, t2: Any, time: Any, excited_state_population: Any = 0.0) -> Channel:
    """Relaxation to thermal equilibrium: populations with time T1, coherences with T2.

    Args:
        t1: T1, in the unit of `time`. All four may be traced; those that are there may be infinite.
        t2: T2, at most 2 T1.
        time: How long it takes.
        excited_state_population: The probability of |1> in equilibrium.

    Returns:
        The channel.

    Raises:
        TypeError: One of them is no number.
        ValueError: A time is not positive, T2 > 2 T1, or the population lies outside of 0 to 1.

    Example:
        >>> thermal_relaxation(50e-6, 70e-6, 100e-9).is_pauli
        False

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.3.5 and 8.3.6.
    """
    for name, value in (("t1", t1), ("t2", t2)):
        if not (is_there(value) and np.ndim(value) == 0 and float(value) == np.inf):
            check_number(value, name, above=True)
    check_number(time, "time")
    population = _strength(excited_state_population, "excited_state_population", 1.0)
    if is_there(t1) and is_there(t2) and float(t2) > 2 * float(t1) * (1 + 1e-12):
        raise ValueError(f"`t2` must be at most 2 * `t1` = {2 * float(t1):g}, but is {float(t2):g}.")
    numbers = {"t1": _number(t1), "t2": _number(t2), "time": _number(time)}
    return Channel("thermal_relaxation", 1, numbers | {"excited_state_population": population})


def kraus(matrices: Any) -> Channel:
    """The channel ``rho -> sum_m K_m rho K_m^dagger``.

    Args:
        matrices: K, (m, 2**k, 2**k), complex, little endian. They may be traced.

    Returns:
        The channel.

    Raises:
        ValueError: The shape is another, or the channel does not preserve the trace.

    Example:
        >>> kraus([[[1, 0], [0, 0.8]], [[0, 0.6], [0, 0]]]).num_qubits
        1

    References:
        M. A. Nielsen, I. L. Chuang, "Quantum Computation and Quantum Information" (2010), section 8.2.3.
    """
    traced = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(matrices))
    array = (jnp if traced else np).asarray(matrices)
    size = array.shape[-1] if array.ndim else 0
    if array.ndim != 3 or array.shape[1] != size or size < 2 or size & (size - 1) or not len(array) or size > 16:
        raise ValueError(
            "`matrices` must have shape (m, 2**k, 2**k), for k qubits between 1 and 4, but have shape "
            f"{array.shape}. For a single matrix K pass [K]."
        )
    if is_there(array):
        array = np.asarray(array, complex)
        total = np.einsum("mji,mjk->ik", array.conj(), array)
        if not np.abs(total - np.eye(size)).max() < TOLERANCE:
            raise ValueError(
                "`matrices` must preserve the trace: sum_m K_m^dagger K_m must be the identity, but of "
                f"{shown(array)} it differs from it by {np.abs(total - np.eye(size)).max():.3g}."
            )
    elif not jnp.iscomplexobj(array):
        array = array.astype(np.result_type(array.dtype, np.complex64))
    return Channel("kraus", size.bit_length() - 1, {"matrices": array})


def from_matrix(matrix: np.ndarray) -> Channel:
    """The channel of a transfer matrix in the order of this house, a mixture of Pauli strings if it is one."""
    n = (len(matrix).bit_length() - 1) // 2
    if np.abs(matrix - np.diag(np.diag(matrix))).max() > 1e-14:
        return Channel("transfer", n, {"matrix": matrix})
    return Channel("mixture", n, {"probabilities": pauli_basis.probabilities(np.diag(matrix))})


def _number(value: Any) -> Any:
    return value if isinstance(value, jax.Array) else float(value)


def _strength(value: Any, name: str, most: float) -> Any:
    """A number from 0 to `most`, which may be traced."""
    check_number(value, name)
    if is_there(value) and float(value) > most * (1 + 1e-6):
        raise ValueError(f"`{name}` must be a number from 0 to {most:.6g}, but is {shown(value)}.")
    return _number(value)
