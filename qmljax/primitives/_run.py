"""What both primitives share: jobs, programs of circuits, and all rows of parameters in few calls of few sizes."""

import numbers
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BasePrimitiveJob, BindingsArray
from qiskit.providers import JobStatus

from qmljax._circuit.parse import parse
from qmljax._circuit.program import Program
from qmljax._models.density import OfDensity
from qmljax._models.of_params import OfParams

MEMORY = 1 << 28  # bytes of states in one call


def check_seed(seed: Any) -> None:
    """Refuses what numpy makes no generator of."""
    try:
        if isinstance(seed, bool):
            raise TypeError
        np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise TypeError(
            "`seed` must be an integer from 0 on, a numpy.random.Generator, or None for other numbers each time, but "
            f"is {seed!r}."
        ) from None


def check_number(value: Any, name: str, kind: type, least: int) -> None:
    """Refuses what is no integer, or no finite real number, from `least` on."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral if kind is int else numbers.Real):
        what = "an integer" if kind is int else "a real number"
        raise TypeError(f"`{name}` must be {what} from {least} on, but is {value!r}.")
    if not least <= float(value) < np.inf:
        raise ValueError(f"`{name}` must be {'positive' if least else 'a finite number from 0 on'}, but is {value!r}.")


class Job(BasePrimitiveJob):
    """A job that has run when it is handed out.

    It runs in the thread of its caller, since what JAX is set to by `with` statements reaches no other thread. An error
    waits for `result`, as in Qiskit.
    """

    def __init__(self, function: Callable, *args: Any):
        super().__init__(str(uuid.uuid4()))
        self._result = self._error = None
        try:
            self._result = function(*args)
        except Exception as error:
            self._error = error

    def result(self) -> Any:
        """What was computed.

        Returns:
            The result of the primitive.

        Raises:
            Exception: What was raised while it ran.
        """
        if self._error is not None:
            raise self._error
        return self._result

    def status(self) -> JobStatus:
        """DONE or ERROR."""
        return JobStatus.DONE if self._error is None else JobStatus.ERROR

    def done(self) -> bool:
        """Whether there is a result."""
        return self._error is None

    def running(self) -> bool:
        """Never."""
        return False

    def cancelled(self) -> bool:
        """Never."""
        return False

    def in_final_state(self) -> bool:
        """Always."""
        return True

    def cancel(self) -> bool:
        """Whether the job could be stopped, which is too late."""
        return False


class Programs:
    """The programs of the circuits of one run, each parsed once."""

    def __init__(self) -> None:
        self._known: dict[int, Program | None] = {}

    def of(self, circuit: QuantumCircuit) -> Program | None:
        """The program of a circuit that lives as long as this object; None if this library cannot simulate it.

        The evolution by a sum of Paulis is exact, as in Qiskit's `Statevector`.
        """
        if id(circuit) not in self._known:
            try:
                self._known[id(circuit)] = parse(circuit, evolution="exact")
            except (NotImplementedError, TypeError, ValueError):
                self._known[id(circuit)] = None
        return self._known[id(circuit)]


def rows(bindings: BindingsArray, program: Program) -> tuple[np.ndarray, np.ndarray] | None:
    """The different sets of parameters (B, P), and which of them each element of `bindings` is.

    None if Qiskit would refuse to bind them.
    """
    shape = bindings.shape
    if not program.parameters:
        return np.zeros((min(bindings.size, 1), 0)), np.zeros(shape, int)
    values = bindings.data.get(program.parameters)  # as they are, if they are one array
    if values is None:
        try:
            values = bindings.as_array(program.parameters)
        except ValueError:
            return None
    if not np.isfinite(values).all():
        return None
    return values.reshape(-1, values.shape[-1]), np.arange(bindings.size).reshape(shape)


def batches(function: OfParams | OfDensity, params: np.ndarray) -> Iterator[np.ndarray]:
    """`function` of (B, P) parameters in double precision: all rows in one call, or as many as the memory allows."""
    most = max(1, MEMORY // 16 >> function.program.num_qubits)
    for start in range(0, len(params), most):
        part = params[start : start + most]
        padding = np.repeat(part[-1:], _size(len(part)) - len(part), axis=0)
        with jax.enable_x64(True):
            values = np.asarray(function(np.concatenate([part, padding])))
        yield values[: len(part)]


def _size(count: int) -> int:
    """The next number with at most three significant bits: each size is compiled, so there are only four an octave."""
    step = 1 << max(0, (count - 1).bit_length() - 3)
    return -(-count // step) * step
