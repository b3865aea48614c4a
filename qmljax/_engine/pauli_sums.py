"""Expectation values of long sums of Pauli strings: the strings are data, so that a program does not grow with them.

A string with masks x and z is weighed as in `expectations`; here each needs a gather of the state of its own, which
strings with one x-mask share. They stand in entries of at most so many, all of one size, over which a loop runs.
"""

import functools
from collections import defaultdict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.observables import Observable

WIDTHS = (1, 2, 4, 8, 16)  # strings in an entry
GATHER = 4  # what the gather of an entry costs, in signs of a string; a heuristic
CHUNK = 1 << 18  # elements that a round of the loop works on


class PauliSums(NamedTuple):
    """E entries of at most K strings with one x-mask each. Arrays, which may be arguments of a compiled program.

    Attributes:
        x: Which bits the strings of an entry flip, (E,).
        z: The bits whose parity is their sign, (E, K).
        coefficients: (E, K), with what i**(number of Ys) leaves of their sign; 0 where there is no string.
        imaginary: Whether they have an odd number of Ys, so that the imaginary part of a product is weighed, (E,).
        owner: The observable that an entry belongs to, (E,).
    """

    x: np.ndarray | Array
    z: np.ndarray | Array
    coefficients: np.ndarray | Array
    imaginary: np.ndarray | Array
    owner: np.ndarray | Array


@functools.lru_cache(maxsize=256)
def pauli_sums(observables: tuple[Observable, ...]) -> PauliSums | None:
    """The strings of some observables; None if there are projectors among them."""
    entries: dict[tuple[int, int, bool], list[tuple[int, float]]] = defaultdict(list)
    for k, o in enumerate(observables):
        for product, coefficient in o.terms:
            x = z = count = 0
            for q, letter in product:
                if letter not in "XYZ":
                    return None
                x |= (letter != "Z") << q
                z |= (letter != "X") << q
                count += letter == "Y"
            sign = (1.0, -1.0, -1.0, 1.0)[count % 4]  # the real part of i**count (u + iv) is u, -v, -u, v
            entries[x, k, count % 2 == 1].append((z, sign * coefficient))
    sizes = np.array([len(strings) for strings in entries.values()])
    width = min(WIDTHS, key=lambda w: (GATHER + w) * int(np.sum(-(-sizes // w))))
    parts = [(key, s[at : at + width]) for key, s in entries.items() for at in range(0, len(s), width)]
    signs, coefficients = np.zeros((len(parts), width), np.int32), np.zeros((len(parts), width))
    for row, (_, strings) in enumerate(parts):
        signs[row, : len(strings)], coefficients[row, : len(strings)] = zip(*strings, strict=True)
    flips, owner, imaginary = (np.array([key[j] for key, _ in parts]) for j in range(3))
    return PauliSums(flips.astype(np.int32), signs, coefficients, imaginary, owner.astype(np.int32))


def values(sums: PauliSums, state: Array, count: int) -> Array:
    """(C, 2**n, *batch) -> (count, *batch)."""
    return jax.ops.segment_sum(_expectations(state, *sums[:4]), sums.owner, count)


@jax.custom_jvp
def _expectations(state: Array, x: Array, z: Array, coefficients: Array, imaginary: Array) -> Array:
    """<state| entry |state> for each entry: (E, *batch)."""
    return products(state, state, x, z, coefficients, imaginary)


@_expectations.defjvp
def _expectations_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    """An entry is symmetric: only one of the states is varied, and not the one that is gathered."""
    state, *sums = primals
    return _expectations(state, *sums), 2 * products(state, tangents[0], *sums)


def products(left: Array, right: Array, x: Array, z: Array, coefficients: Array, imaginary: Array) -> Array:
    """Re <left| entry |right> for each entry: (E, *batch)."""
    size = max(1, CHUNK // max(1, right[0].size))
    if len(x) <= size:
        return _product(left, right, x, z, coefficients, imaginary)
    rows = [
        jnp.pad(jnp.asarray(a), [(0, -len(x) % size), *[(0, 0)] * (a.ndim - 1)])
        for a in (x, z, coefficients, imaginary)
    ]
    part = jax.checkpoint(lambda row: _product(left, right, *row))
    out = lax.map(part, tuple(a.reshape(-1, size, *a.shape[1:]) for a in rows))
    return out.reshape(-1, *out.shape[2:])[: len(x)]


def _product(left: Array, right: Array, x: Array, z: Array, coefficients: Array, imaginary: Array) -> Array:
    basis = np.arange(right.shape[1], dtype=np.int32)
    weights = jnp.zeros((len(x), len(basis)), right.dtype)
    for k in range(z.shape[1]):
        odd = lax.population_count(jnp.asarray(z)[:, k, None] & basis[None]) & 1
        weights += jnp.asarray(coefficients, right.dtype)[:, k, None] * (1 - 2 * odd).astype(right.dtype)
    other = [
        part.at[jnp.asarray(x)[:, None] ^ basis[None]].get(mode="promise_in_bounds") for part in left
    ]  # (E, 2**n, *batch)
    product = sum(a * b[None] for a, b in zip(other, right, strict=True))
    crossed = other[0] * right[1][None] - other[1] * right[0][None] if len(right) == 2 else jnp.zeros_like(product)
    shape = (len(x), *(1,) * (product.ndim - 1))
    product = jnp.where(jnp.asarray(imaginary).reshape(shape), crossed, product)
    return jnp.sum(weights.reshape(*weights.shape, *(1,) * (product.ndim - 2)) * product, axis=1)
