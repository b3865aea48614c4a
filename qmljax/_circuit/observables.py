"""Observables: real sums of Pauli strings and projectors, read from whatever Qiskit has for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
            raise ValueError(f"An observable that is a mapping must hold labels of one length, but is {value!r}.")
        rows: list[tuple[str, Sequence[int], complex]] = [
            (str(label)[::-1], range(len(str(label))), c) for label, c in value.items()
        ]
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
    except (TypeError, ValueError):
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
