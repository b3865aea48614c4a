"""Maps of density matrices in the basis of Pauli strings, as real matrices (Pauli transfer matrices).

A string on k qubits is a number of 2 k bits: bit 2q says that it has an X on qubit q, bit 2q + 1 a Z, both a Y. So the
digits 0, 1, 2, 3 to the base of 4 are I, X, Z, Y, and the product of two strings is their exclusive or, up to a phase.
"""

import functools
from typing import Any

import numpy as np

from qmljax._circuit.program import Op

LETTERS = "IXZY"
_MATRICES = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]])


@functools.lru_cache(maxsize=8)
def strings(k: int) -> np.ndarray:
    """The matrices of all Pauli strings on k qubits, (4**k, 2**k, 2**k), little endian."""
    if k == 0:
        return np.ones((1, 1, 1), complex)
    below, size = strings(k - 1), 1 << k
    return np.einsum("aij,bkl->abikjl", _MATRICES, below).reshape(4**k, size, size)


def transfer(matrices: Any, xp: Any = np) -> Any:
    """The transfer matrix (4**k, 4**k) of rho -> sum_m M_m rho M_m^dagger, of matrices (m, 2**k, 2**k)."""
    size = matrices.shape[-1]
    basis = strings(size.bit_length() - 1)
    images = xp.einsum("mij,bjk,mlk->bil", matrices, basis.astype(matrices.dtype), matrices.conj())
    return xp.einsum("aij,bji->ab", basis.astype(matrices.dtype), images).real / size


def anticommute(k: int) -> np.ndarray:
    """Whether two strings on k qubits anticommute, (4**k, 4**k): 0 or 1."""
    p = np.arange(4**k)
    x, z = (sum(((p >> 2 * q + shift & 1) << q for q in range(k)), 0 * p) for shift in (0, 1))
    return np.bitwise_count((x[:, None] & z[None]) ^ (z[:, None] & x[None])).astype(np.int64) & 1


def signs(k: int) -> np.ndarray:
    """1 where two strings on k qubits commute, -1 where they do not, (4**k, 4**k).

    A mixture of strings multiplies each string by a factor: factors are this times the probabilities, and these are
    this times the factors, over 4**k.
    """
    return 1.0 - 2.0 * anticommute(k)


def probabilities(factors: np.ndarray) -> np.ndarray:
    """Of the strings of a mixture, from what it multiplies each string by, (4**k,)."""
    return signs((len(factors).bit_length() - 1) // 2).astype(factors.dtype) @ factors / len(factors)


def index(label: str) -> int:
    """The number of a string such as "XI", the last letter being qubit 0."""
    return sum(LETTERS.index(letter) << 2 * q for q, letter in enumerate(reversed(label)))


def constant_matrix(op: Op) -> np.ndarray:
    """The unitary matrix of an op whose angle is a number, on `op.qubits + op.controls`."""
    k = len(op.qubits)
    size, angle = 1 << k, op.angle.scale
    z = np.arange(size)
    if op.kind == "ry":
        c, s = np.cos(angle / 2), np.sin(angle / 2)
        inner = np.array([[c, -s], [s, c]])
    elif op.kind == "phase":
        inner = np.diag(np.exp(1j * angle * (1 - 2.0 * (np.bitwise_count(z) & 1))))
    elif op.kind == "diagonal":
        inner = np.diag(np.exp(1j * angle * op.array))
    elif op.kind == "flip":
        inner = np.array([[0, 1], [1, 0]])
    elif op.kind == "permutation":
        inner = np.zeros((size, size))
        inner[op.array, z] = 1
    else:
        inner = op.array
    matrix = np.eye(size << len(op.controls), dtype=complex)
    first = op.pattern << k
    matrix[first : first + size, first : first + size] = inner
    return matrix


def signed_permutation(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What string each becomes, and its sign, if the matrix does no more than that: Clifford operations do."""
    image = np.abs(matrix).argmax(axis=0)
    signs = np.sign(matrix[image, np.arange(len(matrix))])
    exact = np.zeros_like(matrix)
    exact[image, np.arange(len(matrix))] = signs
    return (image, signs) if np.abs(matrix - exact).max() < 1e-14 else None
