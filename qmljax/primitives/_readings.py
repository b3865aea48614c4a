"""What is read off a circuit: expectation values by an estimator; outcomes, or how often all are 0, by a sampler."""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from qmljax._circuit.observables import Observable
from qmljax.primitives._journal import Answer
from qmljax.primitives._transpile import Prepared

MAX_PROJECTORS = 10  # in one term of an observable: it becomes 2**10 Pauli strings
_PROJECTORS = {"0": ("Z", 1), "1": ("Z", -1), "+": ("X", 1), "-": ("X", -1), "r": ("Y", 1), "l": ("Y", -1)}


@dataclass(frozen=True)
class Expectations:
    """The expectation values of observables."""

    observables: tuple[Observable, ...]
    needs: ClassVar[str] = "estimator"
    measured: ClassVar[tuple[int, ...]] = ()

    @property
    def outputs(self) -> int:
        return len(self.observables)

    @functools.cached_property
    def _sums(self) -> tuple[np.ndarray, list[int], list[SparsePauliOp]]:
        """The constant part of each observable; which have another one; and that one."""
        sums = [_paulis(o) for o in self.observables]
        constants = np.array([s.pop((), 0.0) for s in sums])
        active = [k for k, s in enumerate(sums) if s]
        n = self.observables[0].num_qubits
        rows = [[("".join(a for _, a in p), [q for q, _ in p], c) for p, c in sums[k].items()] for k in active]
        return constants, active, [SparsePauliOp.from_sparse_list(r, num_qubits=n) for r in rows]

    @functools.cached_property
    def settings(self) -> int:
        """The number of measurement bases."""
        _, active, operators = self._sums
        return len(SparsePauliOp(sum(operators).paulis.unique()).group_commuting(qubit_wise=True)) if active else 0

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return circuit

    def constant(self, rows: int) -> Answer:
        """The answer where nothing has to be measured."""
        return Answer(np.tile(self._sums[0], (rows, 1)), np.zeros((rows, self.outputs)))

    def submit(self, primitive: Any, prepared: Prepared, bindings: tuple, accuracy: Any) -> Any:
        observables = [[prepared.lay_out(o)] for o in self._sums[2]]  # (observables, 1), against (rows,)
        return primitive.run([(prepared.circuit, observables, *bindings)], precision=accuracy)

    def read(self, result: Any, rows: int) -> Answer:
        active, data = self._sums[1], result[0].data
        values, stds = self.constant(rows)
        values[:, active] += np.asarray(data.evs, float).reshape(len(active), rows).T
        stds[:, active] = np.asarray(data.stds, float).reshape(len(active), rows).T
        return Answer(values, stds)

    def exact(self, prepared: Prepared, row: np.ndarray) -> np.ndarray:
        """The values that a row of arguments should have on an ideal device, by Qiskit's simulator."""
        state = Statevector(prepared.circuit.assign_parameters(row))
        values = self._sums[0].copy()
        for k, operator in zip(self._sums[1], self._sums[2], strict=True):
            values[k] += state.expectation_value(prepared.lay_out(operator)).real
        return values

    @property
    def scale(self) -> np.ndarray:
        """How large the value of each observable can be, at most."""
        return np.array([sum(abs(c) for _, c in o.terms) for o in self.observables])


@dataclass(frozen=True)
class Outcomes:
    """The frequencies of all outcomes; bit j of an outcome is `qubits[j]`."""

    qubits: tuple[int, ...]
    needs: ClassVar[str] = "sampler"
    settings: ClassVar[int] = 1

    @property
    def outputs(self) -> int:
        return 1 << len(self.qubits)

    @property
    def measured(self) -> tuple[int, ...]:
        return self.qubits

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return _measuring(circuit, self.qubits)

    def submit(self, primitive: Any, prepared: Prepared, bindings: tuple, accuracy: Any) -> Any:
        return _sampled(primitive, prepared, bindings, accuracy)

    def read(self, result: Any, rows: int) -> Answer:
        bits = _bits(result, rows)
        outcomes = np.zeros(bits.shape[:2], np.int64)
        for byte in np.moveaxis(bits, -1, 0):  # big-endian
            outcomes = outcomes << 8 | byte
        return _frequencies(outcomes, self.outputs)


@dataclass(frozen=True)
class Bits:
    """The frequencies of outcomes of classical bits, each in a register: bit j is `places[j]`."""

    places: tuple[tuple[str, int], ...]
    needs: ClassVar[str] = "sampler"
    settings: ClassVar[int] = 1
    measured: ClassVar[tuple[int, ...]] = ()

    @property
    def outputs(self) -> int:
        return 1 << len(self.places)

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return circuit

    def submit(self, primitive: Any, prepared: Prepared, bindings: tuple, accuracy: Any) -> Any:
        return _sampled(primitive, prepared, bindings, accuracy)

    def read(self, result: Any, rows: int) -> Answer:
        outcomes: Any = 0
        for j, (name, k) in enumerate(self.places):
            array = result[0].data[name].array
            array = array.reshape(rows, *array.shape[-2:])  # (rows, shots, bytes), big-endian
            outcomes = outcomes | (array[..., -1 - k // 8].astype(np.int64) >> k % 8 & 1) << j
        return _frequencies(outcomes, self.outputs)


@dataclass(frozen=True)
class Zeros:
    """How often all `qubits` read 0."""

    qubits: tuple[int, ...]
    needs: ClassVar[str] = "sampler"
    settings: ClassVar[int] = 1
    outputs: ClassVar[int] = 1

    @property
    def measured(self) -> tuple[int, ...]:
        return self.qubits

    def circuit(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return _measuring(circuit, self.qubits)

    def submit(self, primitive: Any, prepared: Prepared, bindings: tuple, accuracy: Any) -> Any:
        return _sampled(primitive, prepared, bindings, accuracy)

    def read(self, result: Any, rows: int) -> Answer:
        bits = _bits(result, rows)
        p = 1 - bits.any(axis=-1).mean(axis=-1, keepdims=True)
        return Answer(p, np.sqrt(p * (1 - p) / bits.shape[1]))


Reading = Expectations | Outcomes | Bits | Zeros


def merged(p: np.ndarray, stds: np.ndarray, merge: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies that are added up, and their standard errors.

    Frequencies of one experiment are correlated. With n shots, the variances of all add up to ``(1 - sum p**2) / n``,
    which gives n, and a sum q of some has the variance ``q (1 - q) / n``.
    """
    spread = 1 - np.sum(p**2, axis=1, keepdims=True)
    variance = np.sum(stds**2, axis=1, keepdims=True)
    per_shot = np.divide(variance, spread, out=np.zeros_like(spread), where=spread > 1e-12)  # 1 / n
    q = merge(p)
    return q, np.sqrt(np.maximum(q * (1 - q), 0) * per_shot)


def _paulis(observable: Observable) -> dict[tuple[tuple[int, str], ...], float]:
    """An observable in Pauli strings alone."""
    sums: dict[tuple[tuple[int, str], ...], float] = {}
    for product, coefficient in observable.terms:
        count = sum(letter in _PROJECTORS for _, letter in product)
        if count > MAX_PROJECTORS:
            raise ValueError(
                f"An observable on a backend may have {MAX_PROJECTORS} projectors in a term, but one has {count}: in "
                f"Pauli strings these are 2**{count} terms. Measure probabilities with `sampler=` instead."
            )
        choices = [
            ((None, 0.5), ((q, _PROJECTORS[a][0]), _PROJECTORS[a][1] / 2)) if a in _PROJECTORS else (((q, a), 1.0),)
            for q, a in product
        ]
        for choice in itertools.product(*choices):
            key = tuple(factor for factor, _ in choice if factor is not None)
            sums[key] = sums.get(key, 0.0) + coefficient * math.prod(c for _, c in choice)
    return {key: c for key, c in sums.items() if c}


def _frequencies(outcomes: np.ndarray, count: int) -> Answer:
    """(rows, shots) outcomes below a number -> how often each comes."""
    shots = outcomes.shape[1]
    p = np.stack([np.bincount(row, minlength=count) for row in outcomes]) / shots
    return Answer(p, np.sqrt(p * (1 - p) / shots))


def _measuring(circuit: QuantumCircuit, qubits: tuple[int, ...]) -> QuantumCircuit:
    measured = circuit.copy()
    register = ClassicalRegister(len(qubits), "outcome")
    measured.add_register(register)
    measured.measure(list(qubits), register)
    return measured


def _sampled(primitive: Any, prepared: Prepared, bindings: tuple, shots: int | None) -> Any:
    return primitive.run([(prepared.circuit, *bindings)], shots=shots)


def _bits(result: Any, rows: int) -> np.ndarray:
    """The measured bits, (rows, shots, bytes)."""
    array = result[0].data.outcome.array
    return array.reshape(rows, *array.shape[-2:])
