"""Observables: real sums of Pauli strings and projectors, and their expectation values in a state.

A Pauli string with Y on m qubits is i**m X^x Z^z with bit masks x and z, so its expectation value is
``sum_z' conj(psi[z' ^ x]) i**m (-1)**parity(z & z') psi[z']``. All terms with one x-mask share that product of
amplitudes: the cost is per distinct x-mask, not per term. Projectors on |0> and |1> are functions of z'; those on
eigenstates of X and Y become such in a rotated basis.
"""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax import _gates, _operations, _simulate, _state
from qmljax._basis import Tables, Term, tabulate
from qmljax._layers import TABLE_QUBITS
from qmljax._program import Program

LETTERS = "IXYZ01+-rl"
IN_ZERO = {"Z": 1.0, "0": 1.0, "X": 0.0, "Y": 0.0, "1": 0.0, "+": 0.5, "-": 0.5, "r": 0.5, "l": 0.5}  # <0|letter|0>

Product = tuple[tuple[int, str], ...]  # (qubit, letter) ascending, without identities


@dataclass(frozen=True)
class Observable:
    """A real linear combination of products of X, Y, Z and the projectors 0 1 + - r l (eigenstates of Z, X and Y)."""

    num_qubits: int
    terms: tuple[tuple[Product, float], ...]

    def on(self, qubits: tuple[int, ...]) -> "Observable":
        """The same expectation value, from `qubits` alone, when all other qubits are |0>."""
        place = {q: k for k, q in enumerate(qubits)}
        terms: dict[Product, float] = {}
        for product, coefficient in self.terms:
            for q, letter in product:
                if q not in place:
                    coefficient *= IN_ZERO[letter]
            if coefficient:
                inside = tuple((place[q], letter) for q, letter in product if q in place)
                terms[inside] = terms.get(inside, 0.0) + coefficient
        return Observable(len(qubits), tuple(terms.items()))


def reads(observables: Sequence[Observable]) -> dict[int, bool]:
    """The qubits that the observables act on; True for those of which they read the bit alone."""
    result: dict[int, bool] = {}
    for obs in observables:
        for product, _ in obs.terms:
            result |= {q: letter in "Z01" and result.get(q, True) for q, letter in product}
    return result


def observable(value: Any, num_qubits: int) -> Observable:
    """Reads one observable.

    Args:
        value: A label such as "ZIX" (the last letter is qubit 0) or "0+r" with projectors; a `Pauli`, `SparsePauliOp`
            or `SparseObservable`; or a mapping of labels to real coefficients.
        num_qubits: The number of qubits it must act on.

    Raises:
        TypeError: `value` is none of these.
        ValueError: A coefficient is complex or not finite, a letter is unknown, or the number of qubits is wrong.
    """
    if isinstance(value, Observable):
        terms = value.terms
        width = value.num_qubits
    else:
        rows, width = _rows(value)
        sums: dict[Product, complex] = {}
        for letters, qubits, coefficient in rows:
            product = tuple(sorted((int(q), a) for a, q in zip(letters, qubits, strict=True) if a != "I"))
            for _, letter in product:
                if letter not in LETTERS:
                    raise ValueError(
                        f"An observable must be made of the letters {LETTERS}, but {value!r} has {letter!r}."
                    )
            sums[product] = sums.get(product, 0.0) + _number(coefficient, value)
        scale = max(map(abs, sums.values()), default=0.0)
        terms = tuple((product, _real(number, scale, value)) for product, number in sorted(sums.items()))
    if width != num_qubits:
        raise ValueError(
            f"An observable must act on {num_qubits} qubits, as the circuit does, but {_short(value)} acts on {width}. "
            "For a transpiled circuit, lay it out first: observable.apply_layout(circuit.layout)."
        )
    return Observable(num_qubits, terms)


def _rows(value: Any) -> tuple[list[tuple[str, Sequence[int], complex]], int]:
    """(letters, qubits, coefficient) of each term, and the number of qubits."""
    if isinstance(value, str):
        value = {value: 1.0}
    if isinstance(value, Mapping):
        if not value or len({len(str(label)) for label in value}) != 1:
            raise ValueError(f"A mapping of labels must hold labels of one length, but is {value!r}.")
        rows = [(str(label)[::-1], range(len(str(label))), c) for label, c in value.items()]
        return rows, len(rows[0][0])
    if hasattr(value, "to_sparse_list"):
        return value.to_sparse_list(), value.num_qubits
    if hasattr(value, "to_label") and hasattr(value, "num_qubits"):  # Pauli, with a sign or phase before its letters
        label = value.to_label()
        letters = label.lstrip("-i")
        prefix = label[: len(label) - len(letters)]
        return [(letters[::-1], range(len(letters)), {"": 1, "-": -1, "i": 1j, "-i": -1j}[prefix])], len(letters)
    raise TypeError(
        "An observable must be a label such as 'ZIX', a Pauli, SparsePauliOp or SparseObservable, or a mapping of "
        f"labels to real coefficients, but is a {type(value).__name__}. For a matrix use SparsePauliOp.from_operator."
    )


def _number(coefficient: Any, value: Any) -> complex:
    try:
        return complex(coefficient)
    except TypeError:
        raise TypeError(
            f"Coefficients of an observable must be real numbers, but {_short(value)} has {coefficient!r}. "
            "Bind its parameters."
        ) from None


def _real(number: complex, scale: float, value: Any) -> float:
    """The coefficient without an imaginary part that is a rounding error, as products of operators leave."""
    if not (abs(number.imag) <= 1e-12 * scale and np.isfinite(number.real)):
        raise ValueError(
            f"Coefficients of an observable must be real and finite, but {_short(value)} has {number}. "
            "An observable is Hermitian; split another operator into two that are."
        )
    return number.real


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


@dataclass(frozen=True, eq=False)
class _Group:
    """Terms with one x-mask: tables for the real and for the imaginary part of the product of amplitudes."""

    x: int
    real: tuple[tuple[int, ...], Tables] | None  # which observables the functions belong to, and the functions
    imag: tuple[tuple[int, ...], Tables] | None


@functools.lru_cache(maxsize=256)
def _groups(observables: tuple[Observable, ...], n: int) -> list[tuple[Program | None, list[_Group]]]:
    """All terms, sorted by the basis change that their X and Y projectors need, then by x-mask."""
    bases: dict[Product, dict[int, tuple[dict, dict]]] = {}
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
    result = []
    for change, by_mask in bases.items():
        ops = [op for q, a in change for op in (_gates.to_x if a == "X" else _gates.to_y)(q)]
        groups = [
            _Group(x, *(((tuple(part), tabulate(list(part.values()), n)) if part else None) for part in parts))
            for x, parts in by_mask.items()
        ]
        result.append((Program(n, (), (), tuple(ops)) if ops else None, groups))
    return result


def expectation(observables: tuple[Observable, ...], state: Array) -> Array:
    """(C, 2**n, *batch) -> (number of observables, *batch)."""
    n = state.shape[1].bit_length() - 1
    owners: list[int] = []
    values: list[Array] = []
    for change, groups in _groups(observables, n):
        rotated = state if change is None else _simulate.change_basis(change, state)
        for group in groups:
            other = rotated
            if group.x:
                tables = _xor_tables(group.x, n)
                other = _operations.run("permute", rotated, tables * 2)
            if group.real is not None:
                owners += group.real[0]
                values.append(_weigh(_state.real_product(other, rotated), group.real[1]))
            if group.imag is not None and len(rotated) == 2:
                owners += group.imag[0]
                values.append(_weigh(other[0] * rotated[1] - other[1] * rotated[0], group.imag[1]))
    count = len(observables)
    if not values:
        return jnp.zeros((count, *state.shape[2:]), state.dtype)
    total = values[0] if len(values) == 1 else jnp.concatenate(values)
    if owners == list(range(count)):
        return total
    collect = np.zeros((count, len(owners)), state.dtype)
    collect[owners, np.arange(len(owners))] = 1.0
    return jnp.tensordot(collect, total, 1, precision=_state.PRECISION)


def _weigh(weight: Array, tables: Tables) -> Array:
    low, high = (None if t is None else jnp.asarray(t, weight.dtype) for t in (tables.low, tables.high))
    return _state.weigh(weight, low, high)


def _xor_tables(mask: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The tables of z -> z ^ mask, its own inverse."""
    low = n if n <= TABLE_QUBITS else n // 2
    tables = np.arange(1 << (n - low)) << low ^ mask >> low << low, np.arange(1 << low) ^ mask & (1 << low) - 1
    return tables[0].astype(np.int32), tables[1].astype(np.int32)
