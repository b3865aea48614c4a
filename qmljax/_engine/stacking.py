"""Levels as layers of one shape: what a loop over levels runs in each of its rounds.

Each part that some level of a run has, all get: with zero angles or neutral tables where it was missing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qmljax._engine import operations
from qmljax._engine.layers import TABLE_QUBITS, Combination, Level, Permutation
from qmljax._engine.state import join_complex


class Stack(NamedTuple):
    """One layer of a segment: `slots[r]` are its angles in round r, if it has any, `tables[k][r]` its k-th table."""

    kind: operations.Kind
    tables: tuple[tuple[np.ndarray, ...], ...]
    slots: tuple[Sequence[Combination], ...] = ()
    periodic: bool = True


def parts(levels: Sequence[Level], n: int, real: bool) -> list[Stack]:
    """The layers of a run of levels, in order, each with the tables of every level."""
    parts = []
    phases = [level.phases for level in levels]
    if any(phases):
        functions = [p.tables for p in phases if p]
        rank = max(len(t.low) for t in functions)
        columns = [_padded([p.tables.low if p else None for p in phases], (rank, functions[0].low.shape[1]))]
        if highs := [t.high for t in functions if t.high is not None]:
            high = (max(len(h) for h in highs), rank, highs[0].shape[2])
            columns.append(_padded([p.tables.high if p else None for p in phases], high))
        angles = tuple(p.slots if p else () for p in phases)
        parts.append(Stack("phases", tuple(columns), angles, all(t.integer for t in functions)))
    if any(level.diagonal is not None for level in levels):
        diagonals = [np.ones(1 << n) if level.diagonal is None else level.diagonal for level in levels]
        if any(np.iscomplexobj(d) for d in diagonals):
            diagonals = [np.stack([d.real, d.imag]) for d in diagonals]
        parts.append(Stack("multiply", (tuple(diagonals),)))
    if any(level.permutation for level in levels):
        tables = [_index_tables(level.permutation, n) for level in levels]
        if len({len(t[0]) for t in tables}) > 1:  # some are factored and some cannot be
            zero = np.zeros(1, np.int32)
            tables = [
                (zero, (sh[:, None] ^ sl).reshape(-1), zero, (th[:, None] ^ tl).reshape(-1))
                for sh, sl, th, tl in tables
            ]
        parts.append(Stack("permute", tuple(zip(*tables, strict=True))))
    if any(level.rotations for level in levels):
        rotations = [level.rotations or ({},) * n for level in levels]
        qubits = tuple(q for q in range(n) if any(slots[q] for slots in rotations))
        if len(qubits) == 1 < n:  # alone its angle would be a scalar, whose sine XLA computes anew for each amplitude
            qubits = (qubits[0], qubits[0] + 1) if qubits[0] + 1 < n else (qubits[0] - 1, qubits[0])
        slots = tuple(tuple(slots[q] for q in qubits) for slots in rotations)
        parts.append(Stack(operations.Rotations(qubits), (), slots))
    if any(level.dense is not None for level in levels):
        size = max(len(level.dense) for level in levels if level.dense is not None)
        matrices = [widen(level.dense, size) for level in levels]
        parts.append(Stack("transform", (tuple(m if real else join_complex(m) for m in matrices),)))
    return parts


def _padded(tables: Sequence[np.ndarray | None], shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The tables, with zeros up to a shape; zeros alone where there is none."""

    def pad(table: np.ndarray) -> np.ndarray:
        return np.pad(table, [(0, size - old) for size, old in zip(shape, table.shape, strict=True)])

    return tuple(np.zeros(shape) if table is None else pad(table) for table in tables)


def widen(matrix: np.ndarray | None, size: int) -> np.ndarray:
    """A matrix on the highest qubits, or none, as one on more of them."""
    return np.eye(size) if matrix is None else np.kron(matrix, np.eye(size // len(matrix)))


def _index_tables(permutation: Permutation | None, n: int) -> tuple[np.ndarray, ...]:
    """The two tables of `source` and the two of `target`."""
    if permutation is not None:
        return (*permutation.source, *permutation.target)
    if n <= TABLE_QUBITS:
        identity = (np.zeros(1, np.int32), np.arange(1 << n, dtype=np.int32))
    else:
        low = n // 2
        identity = (np.arange(1 << (n - low), dtype=np.int32) << low, np.arange(1 << low, dtype=np.int32))
    return identity * 2
