"""What is asked of a circuit that is data (`any_circuit`), and answers at numbers by programs that all of a size share.

Whatever has a shape of its own stands outside of these, in NumPy: parameters become angles, rows are filled up to few
numbers of them, outputs are cut out.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program
from qmljax._engine import answers, pauli_sums
from qmljax._engine.any_circuit import AnyCircuit, encode, rounded
from qmljax._engine.pauli_sums import PauliSums

ROWS = (1, 16, 128)
STRINGS = tuple(4**k for k in range(2, 8))  # entries of a sum
WIDTHS = (4, 16)  # strings in an entry
OBSERVABLES = tuple(4**k for k in range(1, 7))
TERMS = 1 << 12  # of an observable whose projectors are written as Pauli strings
UNITARY_QUBITS = 10
COLUMNS = 4  # that take no longer than a state: they have their angles in common
STRING = 128  # signs of strings that take no longer than an amplitude in a level, generously


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a circuit, whose parameters are the columns of some arrays.

    Attributes:
        circuit: The circuit.
        columns: Which parameters the columns of each array are.
        kind: What the shared program reads: amplitudes, probabilities, columns of the unitary matrix, or so many
            expectation values.
        data: Its arguments: Pauli sums, if these are asked for.
        index: To which output each element of what it reads is added; those beyond the last are left out.
        shape: Of the output for a row.
        whole: Whether it is given as the shared program computes it, (rows, raw outputs), both filled up.
    """

    circuit: AnyCircuit
    columns: tuple[tuple[int, ...], ...]
    kind: answers.Kind
    data: PauliSums | None
    index: np.ndarray
    shape: tuple[int, ...]
    whole: bool = False

    @property
    def work(self) -> int:
        """Of a row: amplitudes times levels, and what it takes to read strings, which is less."""
        size = self.circuit.tables.source.shape[1]
        if self.kind == "columns":
            return self.circuit.work * size // COLUMNS
        return self.circuit.work + (0 if self.data is None else math.prod(self.data.z.shape) * size // STRING)

    @functools.cached_property
    def picked(self) -> np.ndarray | None:
        """Of each output, which of the raw ones it is; None if it may be a sum of several, or of none."""
        used = np.flatnonzero(self.index < math.prod(self.shape))
        places = np.full(math.prod(self.shape), -1, np.int32)
        places[self.index[used]] = used
        return places if len(used) == len(places) and (places >= 0).all() else None

    def out(self, batch: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the answer for parameters (*batch, P)."""
        return (filled_up(math.prod(batch)), len(self.index)) if self.whole else (*batch, *self.shape)

    def traced(self, *arrays: Array) -> Array:
        """Arrays (*batch, columns), whose batch dimensions broadcast, to outputs (*batch, *shape), computed by JAX."""
        batch = np.broadcast_shapes(*(a.shape[:-1] for a in arrays))
        dtype = jnp.result_type(*arrays)
        params = jnp.zeros((*batch, self.circuit.program.num_parameters), dtype)
        for columns, array in zip(self.columns, arrays, strict=True):
            params = params.at[..., np.array(columns, int)].set(jnp.broadcast_to(array, (*batch, len(columns))))
        rows = params.reshape(math.prod(batch), params.shape[-1])
        if self.whole:
            rows = jnp.pad(rows, ((0, filled_up(len(rows)) - len(rows)), (0, 0)), mode="edge" if len(rows) else "empty")
        tables = self.circuit.tables._replace(count=int(self.circuit.tables.count))  # so that the loop has a transpose
        raw = answers.traced(self.kind, tables, self.data, self.circuit.traced(rows))
        if self.whole:
            return raw
        out = jnp.zeros((len(rows), math.prod(self.shape)), raw.dtype).at[:, self.index].add(raw, mode="drop")
        return out.reshape((*batch, *self.shape))


_quiet = np.errstate(all="ignore")  # what overflows or is not finite is told by the answer, as of JAX


class At:
    """A question at numbers: what is linear there, between shapes of its own and those of the shared program."""

    @_quiet
    def __init__(self, question: Question, arrays: Sequence[Any]):
        self.question, self.given = question, arrays
        self.shapes = [a.shape for a in arrays]
        self.dtypes = [jax.dtypes.canonicalize_dtype(a.dtype) for a in arrays]
        self.batch = np.broadcast_shapes(*(shape[:-1] for shape in self.shapes))
        self.dtype = jax.dtypes.canonicalize_dtype(np.result_type(*(a.dtype for a in arrays)))
        self.params = self._params(arrays)
        self.size = filled_up(len(self.params))
        self.tables = question.circuit.tables._replace(dense=question.circuit.tables.dense.astype(self.dtype))
        self.angles = question.circuit.angles(self.params, self.size, self.dtype)

    def _params(self, arrays: Sequence[Any]) -> np.ndarray:
        params = np.zeros((*self.batch, self.question.circuit.program.num_parameters), self.dtype)
        for columns, array in zip(self.question.columns, arrays, strict=True):
            if array is not None:
                params[..., columns] = np.asarray(array)
        return params.reshape(math.prod(self.batch), params.shape[-1])

    def value(self) -> np.ndarray:
        """What `Question.traced` gives."""
        q = self.question
        return self.cut(answers.value(q.kind, self.tables, q.data, self.angles))

    @_quiet
    def push(self, tangents: Sequence[Any]) -> np.ndarray:
        """The derivative in the direction of tangents of the arrays, of which some may be None."""
        q = self.question
        moved = q.circuit.pushed(self.params, self._params(tangents), self.size, self.dtype)
        return self.cut(answers.push(q.kind, self.tables, q.data, self.angles, moved))

    @_quiet
    def pull(self, cotangent: Any) -> list[np.ndarray]:
        """Cotangents of the arrays."""
        q = self.question
        raw = answers.pull(q.kind, self.tables, q.data, self.angles, self._uncut(np.asarray(cotangent)))
        params = q.circuit.pulled(self.params, np.asarray(raw)).reshape((*self.batch, q.circuit.program.num_parameters))
        found = []
        for columns, shape, dtype in zip(q.columns, self.shapes, self.dtypes, strict=True):
            own, extra = params[..., columns], len(self.batch) - len(shape) + 1
            own = own.sum(axis=tuple(range(extra)))
            spread = tuple(k for k, size in enumerate(shape[:-1]) if size != own.shape[k])
            found.append(own.sum(axis=spread, keepdims=True).astype(dtype))
        return found

    def cut(self, raw: Any) -> np.ndarray:
        """(rows, raw outputs) -> (*batch, *shape)."""
        if self.question.whole:
            return np.asarray(raw)
        q, raw = self.question, np.asarray(raw)[: len(self.params)]
        size = math.prod(q.shape)
        if q.picked is not None:
            out = raw[:, q.picked]
        else:
            added = np.zeros((size + 1, len(raw)), raw.dtype)
            np.add.at(added, np.minimum(q.index, size), raw.T)
            out = added[:size].T
        return out.reshape((*self.batch, *q.shape))

    def _uncut(self, cotangent: np.ndarray) -> np.ndarray:
        """Its transpose."""
        if self.question.whole:
            return cotangent
        q, size = self.question, math.prod(self.question.shape)
        out = np.zeros((self.size, len(q.index)), cotangent.dtype)
        flat = cotangent.reshape(len(self.params), size)
        used = q.index < size
        out[: len(flat), used] = flat[:, q.index[used]]
        return out


def filled_up(rows: int) -> int:
    """How many rows the shared program takes for so many."""
    size = rounded(rows, ROWS)
    return rows if size is None else size


# The questions that there are.


def of_amplitudes(program: Program, *columns: tuple[int, ...], whole: bool = False) -> Question | None:
    """Amplitudes (2**n,); `whole` as of a question."""
    circuit = encode(program)
    size = 1 << program.num_qubits
    return None if circuit is None else Question(circuit, columns, "amplitudes", None, _states(circuit), (size,), whole)


def of_unitary(program: Program, *columns: tuple[int, ...]) -> Question | None:
    """The unitary matrix (2**n, 2**n)."""
    circuit = encode(program) if program.num_qubits <= UNITARY_QUBITS else None
    if circuit is None:
        return None
    size, z = 1 << program.num_qubits, _states(circuit).astype(np.int32)
    inside = (z[:, None] < size) & (z[None] < size)  # raw outputs are columns, one after the other
    index = np.where(inside, z[None] * size + z[:, None], size * size).reshape(-1)
    return Question(circuit, columns, "columns", None, index, (size, size))


def of_probabilities(
    program: Program, qubits: Sequence[int], *columns: tuple[int, ...], index: Any = None, shape: Any = None
) -> Question | None:
    """Probabilities of the outcomes of some qubits (2**k,), or of what these are interpreted as."""
    circuit = encode(program)
    if circuit is None:
        return None
    z = _states(circuit)
    outcome = sum(((z >> q & 1) << j for j, q in enumerate(qubits)), np.zeros_like(z))
    shape = (1 << len(qubits),) if shape is None else shape
    outcome = outcome if index is None else index[outcome]
    # Qubits that the circuit does not have stay in 0.
    outcome = np.where(z < 1 << program.num_qubits, outcome, math.prod(shape))
    return Question(circuit, columns, "probabilities", None, outcome, shape)


def of_expectations(
    program: Program,
    observables: tuple[Observable, ...],
    shape: tuple[int, ...],
    *columns: tuple[int, ...],
    whole: bool = False,
) -> Question | None:
    """Expectation values, of as many observables as the shape has elements; filled up, they are 0 beyond them."""
    sums, count, circuit = _padded(observables), rounded(len(observables), OBSERVABLES), encode(program)
    if sums is None or count is None or circuit is None:
        return None
    return Question(circuit, columns, count, sums, np.arange(count), shape, whole)


def _states(circuit: AnyCircuit) -> np.ndarray:
    return np.arange(circuit.tables.source.shape[1])


@functools.lru_cache(maxsize=64)
def _padded(observables: tuple[Observable, ...]) -> PauliSums | None:
    """Their strings, filled up to the size of others."""
    paulis = [o.in_paulis(TERMS) for o in observables]
    if None in paulis:
        return None
    sums = pauli_sums.pauli_sums(tuple(paulis))
    if sums is None:
        return None
    arrays = list(map(np.asarray, sums))
    rows, width = rounded(len(sums.x), STRINGS), rounded(sums.z.shape[1], WIDTHS)
    if rows is None or width is None:
        return None

    def pad(array: np.ndarray) -> np.ndarray:
        out = np.zeros((rows, width)[: array.ndim], array.dtype)
        out[tuple(map(slice, array.shape))] = array
        return out

    return PauliSums(*map(pad, arrays))
