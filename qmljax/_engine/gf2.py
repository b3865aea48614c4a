"""Matrices over the field of two elements, which say where the bits of a basis state go; entries are int64 0 and 1."""

from collections.abc import Sequence

import numpy as np


def bits(number: int, n: int) -> np.ndarray:
    """The n lowest bits of a number, the lowest first."""
    return np.array([number >> j & 1 for j in range(n)], np.int64)


def number(vector: np.ndarray) -> int:
    """The number that has these bits."""
    return sum(int(bit) << j for j, bit in enumerate(vector))


def span(columns: Sequence[int]) -> np.ndarray:
    """The sum of the columns that the bits of z select, as numbers, for each z."""
    table = np.zeros(1, np.int64)
    for column in columns:
        table = np.concatenate([table, table ^ column])
    return table


def inverse(matrix: np.ndarray) -> np.ndarray:
    """By Gauss-Jordan elimination."""
    n = len(matrix)
    both = np.concatenate([matrix, np.eye(n, dtype=np.int64)], axis=1)
    for c in range(n):
        pivot = c + int(np.argmax(both[c:, c]))
        both[[c, pivot]] = both[[pivot, c]]
        others = both[:, c].copy()
        others[c] = 0
        both ^= others[:, None] * both[c][None]
    return both[:, n:]


def inverse_of_rows(rows: Sequence[int]) -> list[int]:
    """The same of a matrix whose rows are numbers."""
    rows, inverse = list(rows), [1 << q for q in range(len(rows))]
    for q in range(len(rows)):
        pivot = next(p for p in range(q, len(rows)) if rows[p] >> q & 1)
        rows[q], rows[pivot] = rows[pivot], rows[q]
        inverse[q], inverse[pivot] = inverse[pivot], inverse[q]
        for p in range(len(rows)):
            if p != q and rows[p] >> q & 1:
                rows[p] ^= rows[q]
                inverse[p] ^= inverse[q]
    return inverse


def rank(matrix: np.ndarray) -> int:
    matrix, r = matrix.copy(), 0
    for c in range(matrix.shape[1]):
        below = np.flatnonzero(matrix[r:, c])
        if len(below):
            matrix[[r, r + below[0]]] = matrix[[r + below[0], r]]
            matrix[r + 1 :] ^= matrix[r + 1 :, c : c + 1] * matrix[r][None]
            r += 1
    return r


def normal(matrix: np.ndarray, rows: Sequence[int], columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """U and V, invertible, such that U matrix V has ones at (rows[j], columns[j]), j below its rank, and zeros else."""
    matrix = matrix.copy()
    left, right = (np.eye(size, dtype=np.int64) for size in matrix.shape)
    for r, (a, b) in enumerate(zip(rows, columns, strict=True)):
        free_rows = [i for i in range(len(matrix)) if i not in rows[:r]]
        free_columns = [j for j in range(matrix.shape[1]) if j not in columns[:r]]
        i, j = next((i, j) for i in free_rows for j in free_columns if matrix[i, j])
        for x in (matrix, left):
            x[[a, i]] = x[[i, a]]
        for x in (matrix, right):
            x[:, [b, j]] = x[:, [j, b]]
        others = matrix[:, b].copy()
        others[a] = 0
        left ^= others[:, None] * left[a][None]
        matrix ^= others[:, None] * matrix[a][None]
        others = matrix[a].copy()
        others[b] = 0
        right ^= right[:, b : b + 1] * others[None]
        matrix ^= matrix[:, b : b + 1] * others[None]
    return left, right


def swaps(n: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """The matrix that swaps pairs of bits."""
    order = np.arange(n)
    for a, b in pairs:
        order[[a, b]] = order[[b, a]]
    return np.eye(n, dtype=np.int64)[order]


def triangles(matrix: np.ndarray, m: int) -> tuple[np.ndarray, int, np.ndarray]:
    """first, r and second with matrix = second X first, where X swaps bit m - r + j with bit m + j, for j < r.

    In the other two, the bits from m on are functions of the bits from m on: a device that has the amplitudes of one
    value of these keeps them. So r, the rank of the block that brings lower bits into them, says how many bits have to
    be exchanged, and no fewer will do.
    """
    n = len(matrix)
    low, high = slice(0, m), slice(m, n)

    def embed(block: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        whole = np.eye(n, dtype=np.int64)
        whole[rows, columns] = block
        return whole

    r = rank(matrix[high, low])
    top = [m - r + j for j in range(r)]
    left, right = normal(matrix[high, low], range(r), top)
    whole = embed(left, high, high) @ matrix @ embed(right, low, low) % 2
    mixed = np.zeros((m, n - m), np.int64)  # clears the rows of the high bits that the swap will bring down
    mixed[top] = whole[high, high][:r]
    whole = whole @ embed(mixed, low, high) % 2
    _, order = normal(whole[high, high][r:], range(n - m - r), range(r, n - m))
    whole = whole @ embed(order, high, high) % 2
    swap = swaps(n, [(t, m + j) for j, t in enumerate(top)])
    second = embed(inverse(left), high, high) @ (whole @ swap) % 2
    first = embed(inverse(order), high, high) @ embed(mixed, low, high) @ embed(inverse(right), low, low) % 2
    return first, r, second
