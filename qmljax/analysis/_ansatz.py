"""What the states of an ansatz with random parameters say of it: expressibility and entangling capability."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._checks import check_count, check_key
from qmljax._engine.plan import MEMORY
from qmljax._models.amplitudes import Statevector, statevector
from qmljax._models.parts import in_parts
from qmljax._models.state_fidelity import fidelity
from qmljax.analysis._states import meyer_wallach


def expressibility(circuit: Any, *, key: Array, samples: int = 5000, bins: int = 75) -> Array:
    """How far the states of a circuit are from random ones: the relative entropy of their fidelities to Haar's.

    Fidelities of pairs of states with random parameters, uniform in [0, 2 pi), are counted in a histogram; it is
    compared with that of states distributed by Haar's measure, ``P(F) = (N - 1) (1 - F)**(N - 2)``, N = 2**n. A small
    value means an expressive circuit; the most is (N - 1) log(bins), of a circuit without parameters.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        key: A JAX random key.
        samples: How many pairs. The sampling error is about bins / (2 samples).
        bins: Of the histogram on [0, 1].

    Returns:
        A number, in nats.

    Raises:
        TypeError: `circuit` is none, or `key` no key.
        ValueError: A number is not positive, or the simulation does not fit.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes
        >>> value = expressibility(real_amplitudes(2, reps=2), key=jax.random.key(0), samples=500, bins=10)
        >>> bool(0 < value < 0.3)
        True

    References:
        S. Sim, P. Johnson, A. Aspuru-Guzik, "Expressibility and entangling capability of parameterized quantum circuits
        for hybrid quantum-classical algorithms", Adv. Quantum Technol. 2, 1900070 (2019).
    """
    check_key(key)
    samples, bins = check_count(samples, "samples"), check_count(bins, "bins")
    function = statevector(circuit)
    overlap = fidelity(function.program, function.program)
    pairs = _random(function, key, (samples, 2))
    values = _in_parts(lambda pair: overlap(pair[:, 0], pair[:, 1]), pairs, function, 2)
    at = jnp.clip((values * bins).astype(int), 0, bins - 1)
    counts = jnp.zeros(bins, values.dtype).at[at].add(1.0)
    shares = counts / samples
    log_haar = jnp.asarray(_log_haar(1 << function.program.width, bins), values.dtype)
    return jnp.sum(jnp.where(counts > 0, shares * (jnp.log(jnp.maximum(shares, 1 / samples)) - log_haar), 0.0))


def entangling_capability(circuit: Any, *, key: Array, samples: int = 5000) -> Array:
    """How entangled the states of a circuit are: the mean of `meyer_wallach` over random parameters in [0, 2 pi).

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        key: A JAX random key.
        samples: How many states. The sampling error is below 1 / sqrt(4 samples).

    Returns:
        A number, from 0 to 1. Random states have (N - 2) / (N + 1), N = 2**n.

    Raises:
        TypeError: `circuit` is none, or `key` no key.
        ValueError: The number is not positive, or the simulation does not fit.

    Example:
        >>> from qiskit.circuit.library import z_feature_map
        >>> abs(entangling_capability(z_feature_map(2), key=jax.random.key(0), samples=10)).round(3)
        Array(0., dtype=float32)

    References:
        The paper of `expressibility`.
    """
    check_key(key)
    function = statevector(circuit)
    params = _random(function, key, (check_count(samples, "samples"),))
    return jnp.mean(_in_parts(lambda rows: meyer_wallach(function(rows)), params, function, 1))


def _random(function: Statevector, key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, (*shape, function.program.num_parameters), maxval=2 * np.pi)


def _in_parts(of: Any, rows: Array, function: Statevector, states: int) -> Array:
    """A function of rows, by parts where the states of all rows, so many of each, would not fit."""
    size = max(MEMORY // (4 * states * 2 * rows.dtype.itemsize << function.program.num_qubits), 1)
    return of(rows) if len(rows) <= size else in_parts(of, rows, size)


def _log_haar(size: int, bins: int) -> np.ndarray:
    """The logarithms of the probabilities of bins of fidelities of random states, (bins,)."""
    edges = np.arange(bins + 1) / bins
    with np.errstate(divide="ignore"):
        low = (size - 1) * np.log1p(-edges)
    return low[:-1] + np.log(-np.expm1(low[1:] - low[:-1]))
