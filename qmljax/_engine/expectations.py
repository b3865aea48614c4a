"""Expectation values of observables in a state.

A Pauli string with Y on m qubits is i**m X^x Z^z with bit masks x and z, so its expectation value is
``sum_z' conj(psi[z' ^ x]) i**m (-1)**parity(z & z') psi[z']``. All terms with one x-mask share that product of
amplitudes: the cost is per distinct x-mask, not per term. Projectors on |0> and |1> are functions of z'; those on
eigenstates of X and Y become such in a rotated basis.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit import gates
from qmljax._circuit.basis import Tables, Term, tabulate
from qmljax._circuit.observables import Observable, Product
from qmljax._circuit.program import Program
from qmljax._engine import operations
from qmljax._engine.layers import TABLE_QUBITS
from qmljax._engine.pauli_sums import pauli_sums
from qmljax._engine.pauli_sums import values as values_of_sums
from qmljax._engine.run import change_basis
from qmljax._engine.state import PRECISION, real_product
from qmljax._engine.state import weigh as weigh_tables

FEW = 16  # of so many x-masks each is a piece of the program, with tables; of more, they are data (`pauli_sums`)


@dataclass(frozen=True, eq=False)
class _Group:
    """Terms with one x-mask: tables for the real and for the imaginary part of the product of amplitudes."""

    x: int
    real: tuple[tuple[int, ...], Tables] | None  # which observables the functions belong to, and the functions
    imag: tuple[tuple[int, ...], Tables] | None


Parts = dict[int, list[tuple[float, Term]]]  # of observables, by their numbers


def grouped(observables: tuple[Observable, ...]) -> list[tuple[Program | None, dict[int, tuple[Parts, Parts]]]]:
    """All terms by the basis change that their X and Y projectors need, then by x-mask: functions of a basis state.

    Two for each observable: what the real and what the imaginary part of the product of amplitudes is weighed by.
    """
    bases: dict[Product, dict[int, tuple[Parts, Parts]]] = {}
    for k, obs in enumerate(observables):
        for product, coefficient in obs.terms:
            change = tuple((q, "X" if a in "+-" else "Y") for q, a in product if a in "+-rl")
            x = sum(1 << q for q, a in product if a in "XY")
            z = sum(1 << q for q, a in product if a in "YZ")
            order = sum(a == "Y" for _, a in product)
            projectors = [(q, a in "1-l") for q, a in product if a in "01+-rl"]
            masks = tuple(1 << q for q, _ in projectors)
            table = None
            if projectors:
                indicator = np.zeros(1 << len(projectors))
                indicator[sum(bit << j for j, (_, bit) in enumerate(projectors))] = 1.0
                table = indicator.tobytes()
            sign = (1.0, -1.0, -1.0, 1.0)[order % 4]  # the real part of i**order (u + iv) is u, -v, -u, v
            parts = bases.setdefault(change, {}).setdefault(x, (defaultdict(list), defaultdict(list)))
            parts[order % 2][k].append((sign * coefficient, Term(z, masks, table)))
    result: list[tuple[Program | None, dict[int, tuple[Parts, Parts]]]] = []
    for change, by_mask in bases.items():
        ops = [op for q, a in change for op in (gates.to_x if a == "X" else gates.to_y)(q)]
        result.append((Program(observables[0].num_qubits, (), (), tuple(ops)) if ops else None, by_mask))
    return result


@functools.lru_cache(maxsize=256)
def _groups(observables: tuple[Observable, ...], n: int) -> list[tuple[Program | None, list[_Group]]]:
    """`grouped`, with tables."""
    return [
        (
            change,
            [
                _Group(x, *(((tuple(part), tabulate(list(part.values()), n)) if part else None) for part in parts))
                for x, parts in by_mask.items()
            ],
        )
        for change, by_mask in grouped(observables)
    ]


def expectations(observables: tuple[Observable, ...], state: Array) -> Array:
    """(C, 2**n, *batch) -> (number of observables, *batch)."""
    sums = pauli_sums(observables)
    if sums is not None and len(np.unique(sums.x)) > FEW:
        return values_of_sums(sums, state, len(observables))
    n = state.shape[1].bit_length() - 1
    owners: list[int] = []
    values: list[Array] = []
    for change, groups in _groups(observables, n):
        rotated = state if change is None else change_basis(change, state)
        for group in groups:
            other = rotated
            if group.x:
                tables = xor_tables(group.x, n)
                other = operations.run("permute", rotated, tables * 2)
            if group.real is not None:
                owners += group.real[0]
                values.append(_weigh(real_product(other, rotated), group.real[1]))
            if group.imag is not None and len(rotated) == 2:
                owners += group.imag[0]
                values.append(_weigh(other[0] * rotated[1] - other[1] * rotated[0], group.imag[1]))
    count = len(observables)
    return collected(owners, values, count, state)


def collected(owners: Sequence[int], values: Sequence[Array], count: int, state: Array) -> Array:
    """Values of parts of observables, arrays (parts, *batch), as those of the observables that own the parts."""
    if not values:
        return jnp.zeros((count, *state.shape[2:]), state.dtype)
    total = values[0] if len(values) == 1 else jnp.concatenate(values)
    if list(owners) == list(range(count)):
        return total
    collect = np.zeros((count, len(owners)), state.dtype)
    collect[owners, np.arange(len(owners))] = 1.0
    return jnp.tensordot(collect, total, 1, precision=PRECISION)


def _weigh(weight: Array, tables: Tables) -> Array:
    high = None if tables.high is None else jnp.asarray(tables.high, weight.dtype)
    return weigh_tables(weight, jnp.asarray(tables.low, weight.dtype), high)


def xor_tables(mask: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The tables of z -> z ^ mask, its own inverse."""
    low = n if n <= TABLE_QUBITS else n // 2
    tables = np.arange(1 << (n - low)) << low ^ mask >> low << low, np.arange(1 << low) ^ mask & (1 << low) - 1
    return tables[0].astype(np.int32), tables[1].astype(np.int32)
