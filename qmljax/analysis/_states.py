"""What a state holds: purity, entropy, entanglement and magic, of arrays with leading batch dimensions."""

import functools
import operator
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import as_array, shown

PART = 1 << 20  # amplitudes at a time; a heuristic


def purity(rho: Any) -> Array:
    """The purity of a state: ``Tr rho**2``, 1 of a pure one and ``2**-n`` of the most mixed one.

    Args:
        rho: Density matrices of shape (..., 2**n, 2**n), complex or real.

    Returns:
        Of shape (...), real.

    Raises:
        TypeError: `rho` holds no numbers.
        ValueError: It has another shape.

    Example:
        >>> purity(jnp.eye(2) / 2)
        Array(0.5, dtype=float32)
    """
    rho = check_matrices(rho)
    return jnp.sum(rho * rho.mT, axis=(-2, -1)).real


def entropy(rho: Any) -> Array:
    """The von Neumann entropy of a state in bits: ``-Tr rho log2 rho``.

    It is differentiable once, at pure and degenerate states, too. Towards an eigenvalue of zero its derivative is
    infinite; here the logarithm is that of the rounding error of the dtype at least, so that it is finite, and large.

    Args:
        rho: Density matrices of shape (..., 2**n, 2**n), complex or real.

    Returns:
        Of shape (...), real, from 0 to n.

    Raises:
        TypeError: `rho` holds no numbers.
        ValueError: It has another shape.

    Example:
        >>> entropy(jnp.eye(4) / 4)
        Array(2., dtype=float32)

    References:
        M. Nielsen, I. Chuang, "Quantum Computation and Quantum Information" (2010), section 11.3.
    """
    return _entropy(check_matrices(rho))


@jax.jit
def _entropy(rho: Array) -> Array:
    values = jnp.linalg.eigvalsh(rho)
    tiny = jnp.asarray(jnp.finfo(values.dtype).eps, values.dtype)
    return -jnp.sum(values * jnp.log2(jnp.maximum(values, tiny)), axis=-1)


def mutual_information(rho: Any, qubits: Any) -> Array:
    """The mutual information of some qubits and all others, in bits: ``S(A) + S(B) - S(AB)``.

    Args:
        rho: Density matrices of shape (..., 2**n, 2**n), complex or real; of more qubits than `qubits`.
        qubits: The qubits of part A, a sequence of integers; bit q of an index of `rho` is qubit q.

    Returns:
        Of shape (...), real; for a pure state it is twice the entropy of entanglement.

    Raises:
        TypeError: `rho` holds no numbers, or `qubits` no integers.
        ValueError: `rho` has another shape, or `qubits` are not some of its qubits, each once.

    Example:
        >>> bell = jnp.array([1.0, 0.0, 0.0, 1.0]) / 2**0.5
        >>> mutual_information(jnp.outer(bell, bell), [0]).round(3)
        Array(2., dtype=float32)

    References:
        M. Nielsen, I. Chuang, "Quantum Computation and Quantum Information" (2010), section 11.3.
    """
    rho = check_matrices(rho)
    n = rho.shape[-1].bit_length() - 1
    return _mutual_information(rho, tuple(_some(qubits, n)))


@functools.partial(jax.jit, static_argnums=1)
def _mutual_information(rho: Array, part: tuple[int, ...]) -> Array:
    rest = tuple(q for q in range(rho.shape[-1].bit_length() - 1) if q not in part)
    return _entropy(_reduced(rho, part)) + _entropy(_reduced(rho, rest)) - _entropy(rho)


def meyer_wallach(state: Any) -> Array:
    """The entanglement of a pure state by Meyer and Wallach: ``2 (1 - mean_k Tr rho_k**2)``, rho_k that of qubit k.

    Args:
        state: Amplitudes of shape (..., 2**n), complex or real, normalised.

    Returns:
        Of shape (...), real, from 0 (a product state) to 1 (such as a GHZ state).

    Raises:
        TypeError: `state` holds no numbers.
        ValueError: It has another shape.

    Example:
        >>> meyer_wallach(jnp.array([1.0, 0.0, 0.0, 1.0]) / 2**0.5).round(3)
        Array(1., dtype=float32)

    References:
        D. Meyer, N. Wallach, "Global entanglement in multiparticle systems", J. Math. Phys. 43, 4273 (2002); in this
        form G. Brennen, Quantum Inf. Comput. 3, 619 (2003).
    """
    return _meyer_wallach(check_states(state))


@jax.jit
def _meyer_wallach(psi: Array) -> Array:
    n = psi.shape[-1].bit_length() - 1
    purities = []
    for q in range(n):
        split = psi.reshape(*psi.shape[:-1], -1, 2, 1 << q)
        zero, one = split[..., 0, :], split[..., 1, :]
        p, r = (jnp.sum(abs(half) ** 2, axis=(-2, -1)) for half in (zero, one))
        coherence = jnp.sum(zero.conj() * one, axis=(-2, -1))
        purities.append(p**2 + r**2 + 2 * (coherence.real**2 + coherence.imag**2))
    return 2 * (1 - sum(purities[1:], purities[0]) / n)


def stabilizer_entropy(state: Any) -> Array:
    """The stabilizer 2-Renyi entropy of a pure state, its magic: ``-log2 sum_P <P>**4 / 2**n`` over all Pauli strings.

    It is 0 exactly for stabilizer states, and adds over products. It takes time 4**n n.

    Args:
        state: Amplitudes of shape (..., 2**n), complex or real, normalised.

    Returns:
        Of shape (...), real, in bits.

    Raises:
        TypeError: `state` holds no numbers.
        ValueError: It has another shape.

    Example:
        >>> stabilizer_entropy(jnp.array([1.0, jnp.exp(0.25j * jnp.pi)]) / 2**0.5).round(3)  # log2(4 / 3)
        Array(0.415, dtype=float32)

    References:
        L. Leone, S. Oliviero, A. Hamma, "Stabilizer Renyi entropy", PRL 128, 050402 (2022), for alpha = 2.
    """
    return _stabilizer_entropy(check_states(state))


@jax.jit
def _stabilizer_entropy(psi: Array) -> Array:
    if psi.ndim > 1:
        return lax.map(_stabilizer_entropy, psi)
    size, z = len(psi), np.arange(len(psi))

    def of_flips(x: Array) -> Array:  # the sum over all strings that flip the bits x
        values = psi.conj() * psi[jnp.asarray(z) ^ x]
        for q in range(size.bit_length() - 1):  # Walsh and Hadamard's transform: a value for each string of Z
            split = values.reshape(-1, 2, 1 << q)
            values = jnp.stack([split[:, 0] + split[:, 1], split[:, 0] - split[:, 1]], axis=1)
        return jnp.sum((values.real**2 + values.imag**2) ** 2)

    at_once = max(min(PART // size, size), 1)
    sums = lax.map(jax.vmap(jax.checkpoint(of_flips)), jnp.arange(size).reshape(-1, at_once))
    return -jnp.log2(jnp.sum(sums) / size)


def _reduced(rho: Array, keep: tuple[int, ...]) -> Array:
    """The density matrices of some qubits, the others traced out; qubit j of the result is `keep[j]`."""
    n, batch = rho.shape[-1].bit_length() - 1, rho.shape[:-2]
    tensor = rho.reshape(*batch, *(2,) * (2 * n))
    first, rest = len(batch), [q for q in range(n) if q not in keep]
    axes = [n - 1 - q for q in (*reversed(keep), *reversed(rest))]  # of the kets
    order = [*range(first), *(first + a for a in axes), *(first + n + a for a in axes)]
    shape = (1 << len(keep), 1 << len(rest))
    return jnp.trace(tensor.transpose(order).reshape(*batch, *shape, *shape), axis1=first + 1, axis2=first + 3)


def _some(qubits: Any, n: int) -> list[int]:
    """Some of n qubits, but not all."""
    wanted = f"some of the qubits 0 to {n - 1}, each once, and not all"
    try:
        if not isinstance(qubits, Iterable) or isinstance(qubits, str | bytes | set | frozenset | dict):
            raise TypeError
        given = list(qubits)
        if any(isinstance(q, bool | np.bool_) for q in given):
            raise TypeError
        part = [operator.index(q) for q in given]
    except TypeError:
        raise TypeError(f"`qubits` must be a sequence of integers, {wanted}, but is {shown(qubits)}.") from None
    if not 0 < len(set(part)) == len(part) < n or any(not 0 <= q < n for q in part):
        raise ValueError(f"`qubits` must be {wanted}, but is {part}.")
    return part


def check_states(value: Any, name: str = "state") -> Array:
    """Amplitudes of shape (..., 2**n), with n of at least 1."""
    array = _numbers(value, name, "amplitudes of shape (..., 2**n)")
    if not array.ndim or not _is_power(array.shape[-1]):
        raise ValueError(f"`{name}` must be amplitudes of shape (..., 2**n), but is {shown(array)}.")
    return array


def check_matrices(value: Any, name: str = "rho") -> Array:
    """Matrices of shape (..., 2**n, 2**n), with n of at least 1."""
    what = "density matrices of shape (..., 2**n, 2**n)"
    array = _numbers(value, name, what)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or not _is_power(array.shape[-1]):
        raise ValueError(f"`{name}` must be {what}, but is {shown(array)}. Of amplitudes take psi[:, None] psi.conj().")
    return array


def _numbers(value: Any, name: str, what: str) -> Array:
    array = as_array(value)
    if not jnp.issubdtype(array.dtype, jnp.number):
        raise TypeError(f"`{name}` must be an array of numbers, {what}, but is {shown(value)}.")
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(jnp.result_type(float))


def _is_power(size: int) -> bool:
    return size > 1 and size & (size - 1) == 0
