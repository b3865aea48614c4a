"""Rows of arguments become answers: equal rows are evaluated once, and the rest is cut into jobs."""

import functools
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.exceptions import QiskitError

from qmljax._circuit.program import Table
from qmljax._progress import bar
from qmljax.primitives import _plan
from qmljax.primitives._jobs import Chunk, Runner
from qmljax.primitives._journal import Answer
from qmljax.primitives._plan import Work
from qmljax.primitives._readings import Expectations, Reading, merged
from qmljax.primitives._shift import Slots
from qmljax.primitives._transpile import Prepared, device

CHECKED_QUBITS, CHECKED_GATES, CHECKED_ROWS = 8, 500, 3  # a look at the simulator that takes milliseconds
TOLERANCE = 1e-2  # of the largest value there can be: wrong values are far off, approximate simulators are not


@dataclass(frozen=True)
class Rows:
    """`f(points)`: (points, S) arguments -> values and standard errors, (points, outputs) each.

    Attributes:
        backend: The `PrimitiveBackend`, which is equal to itself alone.
        slots: The circuit.
        reading: What is read off it.
    """

    backend: Any
    slots: Slots
    reading: Reading

    def __call__(
        self, points: np.ndarray, merge: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        if not np.isfinite(points).all():
            raise ValueError("Some gates have arguments that are infinite or no numbers. Nothing was submitted.")
        rows, place = self.different(points)
        values, stds = self.answers(rows)
        if merge is not None:
            values, stds = merged(values, stds, merge)
        return values[place], stds[place]

    def different(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The different rows of arguments, without those that cannot matter, and which of them each point is."""
        columns = list(self.prepared.columns)
        if not columns:
            return np.zeros((1, 0)), np.zeros(len(points), int)
        rows, place = np.unique(points[:, columns], axis=0, return_inverse=True)
        return rows, place.ravel()

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows of each job."""
        size = max(1, self.backend.max_executions_per_job // max(1, self.reading.settings * self.shots))
        return [rows[k : k + size] for k in range(0, len(rows), size)]

    def answers(self, rows: np.ndarray) -> Answer:
        """The answers for different rows, in as many jobs as it takes."""
        backend, parts = self.backend, self.parts(rows)
        if isinstance(self.reading, Expectations) and not self.reading.settings:  # constants
            return self.reading.constant(len(rows))
        service = backend.service or getattr(self.device, "service", None)
        with bar(len(parts), "job", backend.progress, leave=False) as shown:
            runner = Runner(self.primitive, backend.written, backend.max_retries, backend.timeout, service, shown)
            answers = runner.run([self.chunk(part) for part in parts])
        answer = Answer(*(np.concatenate(arrays) for arrays in zip(*answers, strict=True)))
        self.check(rows, answer.values)
        return answer

    def check(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Compares the first answers of an exact primitive with a simulation, where that is cheap. Nothing is run."""
        circuit, on = self.prepared.circuit, self.device
        if (
            not isinstance(self.reading, Expectations)
            or self.slots.program.is_dynamic
            or (self.slots, self.reading) in self.backend.checked
            or self.shots
            or circuit.num_qubits > CHECKED_QUBITS
            or len(circuit.data) > CHECKED_GATES
            or on is not None
            and (on.target.build_coupling_map() is not None or getattr(on.options, "noise_model", None) is not None)
        ):
            return
        self.backend.checked.add((self.slots, self.reading))
        for k in np.unique(np.linspace(0, len(rows) - 1, CHECKED_ROWS).astype(int)):
            try:
                exact = self.reading.exact(self.prepared, rows[k])
            except (QiskitError, TypeError, ValueError):  # what Qiskit does not simulate stays unchecked
                return
            wrong = np.abs(values[k] - exact) > TOLERANCE * np.maximum(self.reading.scale, 1)
            if wrong.any():
                j = int(np.argmax(wrong))
                warnings.warn(
                    f"{type(self.primitive).__name__} gives {values[k, j]:.6g} for an expectation value that is "
                    f"{exact[j]:.6g} by Qiskit's simulator, on a circuit of {circuit.num_qubits} qubits. Unless it "
                    "simulates noise it is wrong, perhaps in how it binds parameters: bring the circuit to a basis "
                    "such as rx, ry, rz, cx by `pass_manager=`.",
                    stacklevel=2,
                )
                return

    def chunk(self, rows: np.ndarray) -> Chunk:
        """One job."""
        digest = hashlib.blake2b(self.digest + repr(rows.shape).encode() + rows.astype("<f8").tobytes(), digest_size=16)
        names = tuple(p.name for p in self.prepared.circuit.parameters)
        bindings = ({names: rows},) if names else ()

        def submit() -> Any:
            if self.reading.needs == "estimator" and self.backend.resilience_level is not None:
                self.primitive.options.resilience_level = self.backend.resilience_level  # others may have set theirs
            return self.reading.submit(self.primitive, self.prepared, bindings, self.accuracy)

        shape = (len(rows), self.reading.outputs)
        return Chunk(digest.hexdigest(), submit, lambda result: self.reading.read(result, len(rows)), shape)

    @property
    def primitive(self) -> Any:
        return getattr(self.backend, self.reading.needs)

    @property
    def device(self) -> Any:
        return device(self.primitive)

    @functools.cached_property
    def prepared(self) -> Prepared:
        return self.backend.prepared(self.slots, self.reading)

    @property
    def accuracy(self) -> float | int | None:
        """What the primitive is asked for, shots or a precision; None for what it does by itself."""
        backend = self.backend
        if self.reading.needs == "sampler":
            return backend.shots
        return backend.shots**-0.5 if backend.precision is None and backend.shots else backend.precision

    @property
    def shots(self) -> int:
        """How many shots each circuit has, as far as is known; 0 if the primitive is exact."""
        return _plan.shots(self.primitive, self.reading.needs, self.accuracy)

    @property
    def resilience_level(self) -> int | None:
        said = self.backend.resilience_level if self.reading.needs == "estimator" else None
        level = getattr(getattr(self.primitive, "options", None), "resilience_level", None) if said is None else said
        return level if isinstance(level, int) else None

    def work(self, rows: np.ndarray) -> Work:
        """What these rows take."""
        circuit, on = self.prepared.circuit, self.device
        return Work(
            device=getattr(on, "name", None) or type(self.primitive).__name__,
            rows=len(rows),
            settings=self.reading.settings,
            shots=self.shots,
            jobs=len(self.parts(rows)) if self.reading.settings else 0,
            depth=circuit.depth(),
            two_qubit_gates=circuit.num_nonlocal_gates(),
            duration=_plan.duration(circuit, on),
            resilience_level=self.resilience_level,
        )

    @functools.cached_property
    def digest(self) -> bytes:
        """The hash of a question without its rows."""
        named = (type(self.primitive).__name__, str(getattr(self.device, "name", "")), self.resilience_level)
        accuracy = (self.accuracy, self.shots, type(self.reading).__name__, self.reading)
        digest = hashlib.blake2b(digest_size=16)
        _feed(digest, (*named, *accuracy, self.prepared.columns, self.slots.program._key, self.slots.pauses))
        return digest.digest()


@dataclass(frozen=True, eq=False)
class Counting:
    """What `rows` would be asked to run is noted in `asked` instead; the answers are zeros."""

    rows: Rows
    asked: list[Work]

    def __call__(self, points: np.ndarray) -> Answer:
        self.asked.append(self.rows.work(self.rows.different(points)[0]))
        shape = len(points), self.rows.reading.outputs
        return Answer(np.zeros(shape), np.zeros(shape))


def _feed(digest: Any, value: Any) -> None:
    """Hashes nested tuples, the same in every process."""
    if isinstance(value, tuple):
        digest.update(f"({len(value)}".encode())
        for element in value:
            _feed(digest, element)
    elif isinstance(value, Table):
        digest.update(repr((value.array.shape, value.array.dtype.str)).encode() + value.array.tobytes())
    else:
        digest.update(repr(value).encode() + b",")
