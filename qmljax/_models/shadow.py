"""Classical shadows: a state in many random Pauli bases, from which many observables are estimated afterwards."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_count, check_key
from qmljax._circuit.observables import LETTERS, is_single, listed, observable
from qmljax._models.amplitudes import Statevector, statevector
from qmljax._models.by_name import parameters
from qmljax._models.parts import in_parts

PART = 1 << 20  # amplitudes of shots at a time; a heuristic
MOST_QUBITS = 10  # of a density matrix


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shadow:
    """Outcomes of single shots, each in a random basis of its own; a pytree.

    Attributes:
        bases: The Pauli matrix that each qubit was measured by, 0, 1, 2 for X, Y, Z, int32 (..., shots, n).
        bits: What was read, 0 for its eigenvalue +1 and 1 for -1, int32 (..., shots, n); -1 of a state that is not
            finite, whose estimates are NaN.

    Example:
        >>> import qmljax as qj
        >>> from qiskit import QuantumCircuit
        >>> plus = QuantumCircuit(1)
        >>> _ = plus.h(0)
        >>> drawn: qj.Shadow = qj.shadow(plus, 1000)([], jax.random.key(0))
        >>> drawn.bases.shape, bool(abs(drawn.expectation("X") - 1) < 0.2)
        ((1000, 1), True)

    References:
        H.-Y. Huang, R. Kueng, J. Preskill, "Predicting many properties of a quantum system from very few measurements",
        Nature Physics 16, 1050 (2020), arXiv:2002.08953.
    """

    bases: Array
    bits: Array

    def expectation(self, observables: Any, *, groups: int = 1) -> Array:
        """Estimates of expectation values, by the median of means.

        A Pauli string on k qubits has a variance of at most 3**k / shots.

        Args:
            observables: One observable or a list, as `qmljax.expectation` takes them.
            groups: How many groups of shots there are, of whose means the median is taken: 1 is the mean, and
                ``2 log(2 M / d)`` bounds the errors of M observables but with probability d.

        Returns:
            Of shape (...) for one observable, (..., n_obs) for a list.

        Raises:
            TypeError: An observable is of another type.
            ValueError: It has another number of qubits, or there are more groups than shots.
        """
        shots, n = self.bases.shape[-2:]
        check_count(groups, "groups", most=shots)
        every = [observable(o, n) for o in listed(observables)]
        if not every:
            raise ValueError("`observables` must be an observable or a list of at least one, but is empty.")
        dtype = jnp.result_type(float)
        table = jnp.asarray(_table(), dtype)
        estimates = []
        for one in every:
            total = jnp.zeros(self.bases.shape[:-1], dtype)
            for product, coefficient in one.terms:
                snapshot = jnp.full(self.bases.shape[:-1], coefficient, dtype)
                for q, letter in product:
                    snapshot *= table[LETTERS.index(letter), self.bases[..., q], self.bits[..., q]]
                total += snapshot
            total = jnp.where((self.bits < 0).any(axis=-1), jnp.nan, total)
            estimates.append(_median_of_means(total, groups))
        return estimates[0] if is_single(observables) else jnp.stack(estimates, axis=-1)

    def density_matrix(self) -> Array:
        """The estimate of the state: the mean of the snapshots, (..., 2**n, 2**n). It is Hermitian, but not positive.

        Raises:
            ValueError: There are more than 10 qubits.
        """
        n = self.bases.shape[-1]
        if n > MOST_QUBITS:
            raise ValueError(f"A density matrix of {n} qubits does not fit: the limit is {MOST_QUBITS} qubits.")
        shape = self.bases.shape[:-2]
        bases, bits = (a.reshape(-1, *a.shape[-2:]) for a in (self.bases, self.bits))
        dtype = jnp.result_type(complex)
        snapshots = jnp.asarray(_snapshots(), dtype)

        def of_shadow(pair: tuple[Array, Array]) -> Array:
            def add(rho: Array, shot: tuple[Array, Array]) -> tuple[Array, None]:
                matrix = jnp.ones((1, 1), dtype)
                for q in range(n):
                    matrix = jnp.kron(snapshots[shot[0][q], shot[1][q]], matrix)
                return rho + matrix, None

            mean = lax.scan(add, jnp.zeros((1 << n, 1 << n), dtype), pair)[0] / len(pair[0])
            return jnp.where((pair[1] < 0).any(), jnp.nan, mean)

        return lax.map(of_shadow, (bases, bits)).reshape(*shape, 1 << n, 1 << n)


@dataclass(frozen=True)
class DrawShadow:
    """`f(params, key)`: (..., P) and a JAX random key -> a `Shadow` of so many shots."""

    state: Statevector
    shots: int

    def __call__(self, params: Any, key: Array) -> Shadow:
        """A shadow of the state for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.
            key: A JAX random key.

        Returns:
            A `Shadow` with leading dimensions (...).

        Raises:
            TypeError: `key` is no JAX random key, or the parameters are not real.
            ValueError: The parameters have another shape, or `key` is more than one key.
        """
        check_key(key)
        params = parameters(params, "params", self.state.program)
        psi = self.state(params)  # (..., 2**n)
        bases, bits = _drawn(psi.reshape(-1, psi.shape[-1]), key, self.shots)
        shape = (*psi.shape[:-1], *bases.shape[1:])
        return Shadow(bases.reshape(shape), bits.reshape(shape))


@functools.partial(jax.jit, static_argnums=2)
def _drawn(psi: Array, key: Array, shots: int) -> tuple[Array, Array]:
    """States (rows, 2**n) to bases and bits (rows, shots, n)."""
    n = psi.shape[-1].bit_length() - 1

    def of_row(row: tuple[Array, Array]) -> tuple[Array, Array]:
        state, own = row
        for_bases, for_bits = jax.random.split(own)
        bases = jax.random.randint(for_bases, (shots, n), 0, 3, np.int32)
        uniform = jax.random.uniform(for_bits, (shots, n), state.real.dtype)
        shot = jax.vmap(lambda both: _measure(state, both[:n].astype(np.int32), both[n:]))
        both = jnp.concatenate([bases.astype(uniform.dtype), uniform], axis=1)
        size = max(PART >> n, 1)
        return bases, shot(both) if shots <= size else in_parts(shot, both, size)

    return lax.map(of_row, (psi, jax.random.split(key, len(psi))))


def _measure(psi: Array, bases: Array, uniform: Array) -> Array:
    """One shot, (n,) bits: the last qubit is measured first, and half of the amplitudes are left."""
    bits: list[Array] = []
    for q in reversed(range(len(bases))):
        zero, one = psi.reshape(2, -1)
        turned = jnp.where(bases[q] == 1, -1j * one, one)  # of X and Y the eigenstates are (|0> +- |1>), (|0> +- i |1>)
        plus, minus = (zero + turned) / 2**0.5, (zero - turned) / 2**0.5
        plus, minus = jnp.where(bases[q] == 2, zero, plus), jnp.where(bases[q] == 2, one, minus)
        p, m = (jnp.sum(half.real**2 + half.imag**2) for half in (plus, minus))
        bit = uniform[q] * (p + m) >= p
        psi = jnp.where(bit, minus, plus)
        bits.append(bit)
    return jnp.where(jnp.isfinite(p + m), jnp.stack(bits[::-1]).astype(np.int32), -1)


def _snapshots() -> np.ndarray:
    """The matrices ``3 |b><b| - 1`` of a qubit for each basis and bit, (3, 2, 2, 2)."""
    pauli = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    sign = np.array([1, -1])[None, :, None, None]
    return (np.eye(2) + 3 * sign * pauli[:, None]) / 2


def _table() -> np.ndarray:
    """What a letter is estimated to be on a qubit for each basis and bit, (letters, 3, 2)."""
    from_zero = {"I": (2, 0, 0, 0), "X": (0, 2, 0, 0), "Y": (0, 0, 2, 0), "Z": (0, 0, 0, 2)}
    for letter, (axis, sign) in {
        "0": (3, 1),
        "1": (3, -1),
        "+": (1, 1),
        "-": (1, -1),
        "r": (2, 1),
        "l": (2, -1),
    }.items():
        from_zero[letter] = tuple(1 if k == 0 else sign * (k == axis) for k in range(4))  # type: ignore[assignment]
    vectors = np.array([from_zero[letter] for letter in LETTERS]) / 2  # along 1, X, Y, Z
    pauli = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    return np.einsum("lk,kij,abji->lab", vectors, pauli, _snapshots()).real


def _median_of_means(values: Array, groups: int) -> Array:
    """(..., shots) -> (...), of groups that differ by one shot at most."""
    shots = values.shape[-1]
    edges = np.linspace(0, shots, groups + 1).round().astype(int)
    means = [values[..., a:b].mean(axis=-1) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return means[0] if groups == 1 else jnp.median(jnp.stack(means, axis=-1), axis=-1)


def shadow(circuit: Any, shots: int) -> DrawShadow:
    """The function that draws a classical shadow of the state of a circuit: shots in random Pauli bases.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read.
        shots: How many, each in a basis of its own.

    Returns:
        ``f(params, key)``: parameters of shape (..., P) and a JAX random key to a `Shadow`, a pytree with the bases and
        bits of all shots, whose methods `expectation` and `density_matrix` estimate what was not known when it was
        drawn. It is not differentiable.

    Raises:
        ValueError: `shots` is no positive integer, or the simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> drawn = shadow(bell, 4000)([], jax.random.key(0))
        >>> abs(drawn.expectation(["XX", "ZZ", "XI"], groups=5) - np.array([1.0, 1.0, 0.0], np.float32)).max() < 0.3
        Array(True, dtype=bool)

    References:
        H.-Y. Huang, R. Kueng, J. Preskill, "Predicting many properties of a quantum system from very few measurements",
        Nature Physics 16, 1050 (2020), arXiv:2002.08953, algorithm 1 and the random Pauli measurements.
    """
    return DrawShadow(statevector(circuit), check_count(shots, "shots", most=1 << 30))
