"""Observables: real sums of Pauli strings and projectors, read from whatever Qiskit has for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LETTERS = "IXYZ01+-rl"
IN_ZERO = {"Z": 1.0, "0": 1.0, "X": 0.0, "Y": 0.0, "1": 0.0, "+": 0.5, "-": 0.5, "r": 0.5, "l": 0.5}  # <0|letter|0>
PROJECTORS = {"0": ("Z", 0.5), "1": ("Z", -0.5), "+": ("X", 0.5), "-": ("X", -0.5), "r": ("Y", 0.5), "l": ("Y", -0.5)}

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

    def placed(self, qubits: Sequence[int], num_qubits: int, projector: Product = ()) -> "Observable":
        """The same on other qubits, times a projector on yet others: qubit q becomes `qubits[q]`."""
        terms = tuple(
            (tuple(sorted((*((qubits[q], letter) for q, letter in product), *projector))), number)
            for product, number in self.terms
        )
        return Observable(num_qubits, terms)

    def in_paulis(self, most: int) -> "Observable | None":
        """The same without projectors, each of which is (1 +- Z) / 2, or of X or Y; None beyond so many terms."""
        if sum(1 << sum(letter in PROJECTORS for _, letter in product) for product, _ in self.terms) > most:
            return None
        terms: dict[Product, float] = {}
        for product, coefficient in self.terms:
            strings: list[tuple[Product, float]] = [((), coefficient)]
            for q, letter in product:
                pauli, half = PROJECTORS.get(letter, (letter, 0.0))
                turned = [((*s, (q, pauli)), c * (half or 1.0)) for s, c in strings]
                strings = turned + [(s, 0.5 * c) for s, c in strings] if half else turned
            for string, c in strings:
                terms[string] = terms.get(string, 0.0) + c
        return Observable(self.num_qubits, tuple(terms.items()))


def reads(observables: Sequence[Observable]) -> dict[int, bool]:
    """The qubits that the observables act on; True for those of which they read the bit alone."""
    result: dict[int, bool] = {}
    for obs in observables:
        for product, _ in obs.terms:
            result |= {q: letter in "Z01" and result.get(q, True) for q, letter in product}
    return result


def is_single(observables: Any) -> bool:
    """Whether this is one observable, and no list, array or `PauliList` of them."""
    if isinstance(observables, np.ndarray):
        return observables.ndim == 0 or observables.dtype.kind not in "UO"
    return (
        not isinstance(observables, list | tuple)
        and not hasattr(observables, "to_labels")
        and not _is_array(observables)
    )


def listed(observables: Any) -> list[Any]:
    """The observables, one or many, as a list; arrays and nested lists in the order of their elements (C order)."""
    if is_single(observables):
        return [observables.item() if isinstance(observables, np.ndarray) and observables.ndim == 0 else observables]
    if _is_array(observables):
        observables = observables.ravel()
    return [single for item in observables for single in listed(item)]


def _is_array(observables: Any) -> bool:
    """Whether this is an `ObservablesArray` of Qiskit's primitives."""
    return all(hasattr(observables, name) for name in ("ravel", "ndim", "tolist")) and not hasattr(observables, "dtype")


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


def terms(value: Any, num_qubits: int) -> tuple[tuple[Product, float], ...]:
    """The terms of one observable as they stand, in their order; checked as by `observable`."""
    whole = observable(value, num_qubits)
    if isinstance(value, Observable):
        return whole.terms
    scale = max((abs(c) for _, c in whole.terms), default=0.0)
    found = []
    for letters, qubits, coefficient in _rows(value)[0]:
        product = tuple(sorted((int(q), a) for a, q in zip(letters, qubits, strict=True) if a != "I"))
        found.append((product, _real(_number(coefficient, value), scale, value)))
    return tuple(found)


def _rows(value: Any) -> tuple[list[tuple[str, Sequence[int], complex]], int]:
    """(letters, qubits, coefficient) of each term, and the number of qubits."""
    if isinstance(value, str):
        value = {value: 1.0}
    if isinstance(value, Mapping):
        rows = [_row(label, coefficient, value) for label, coefficient in value.items()]
        if len({len(letters) for letters, _, _ in rows}) != 1:
            raise ValueError(f"An observable that is a mapping must hold labels of one length, but is {_short(value)}.")
        return rows, len(rows[0][0])
    if hasattr(value, "to_sparse_list"):
        return value.to_sparse_list(), value.num_qubits
    if _is_pauli(value):
        return [_row(value, 1.0, value)], value.num_qubits
    raise TypeError(
        "An observable must be a label such as 'ZIX', a Pauli, SparsePauliOp or SparseObservable, or a mapping of "
        f"labels to real coefficients, but is of type {type(value).__name__}. For a matrix or an Operator use "
        "SparsePauliOp.from_operator."
    )


def _row(label: Any, coefficient: Any, value: Any) -> tuple[str, Sequence[int], complex]:
    """(letters, qubits, coefficient) of a label, or of a Pauli, which has a sign or phase before its letters."""
    if _is_pauli(label):
        text = label.to_label()
        letters = text.lstrip("-i")
        phase = {"": 1, "-": -1, "i": 1j, "-i": -1j}[text[: len(text) - len(letters)]]
        return letters[::-1], range(len(letters)), phase * _number(coefficient, value)
    if not isinstance(label, str):
        raise TypeError(
            f"The keys of a mapping must be labels such as 'ZIX', or Paulis, but {_short(value)} has {label!r}, of "
            f"type {type(label).__name__}. Write it as a string."
        )
    return label[::-1], range(len(label)), coefficient


def _is_pauli(value: Any) -> bool:
    return hasattr(value, "to_label") and hasattr(value, "num_qubits")


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
