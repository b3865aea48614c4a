"""Expectation values behind Qiskit's `BaseEstimatorV2`."""

import functools
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    EstimatorPubLike,
    PrimitiveResult,
    PubResult,
    StatevectorEstimator,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from qmljax._functions import Compiled, expectation
from qmljax._observables import Observable, observable
from qmljax._program import Program

from ._run import Job, Programs, batches, resets, rows


class Estimator(BaseEstimatorV2):
    """Exact expectation values, with normal noise where a precision is asked for; Qiskit's `StatevectorEstimator`.

    It takes the same pubs and returns the same results: values, shapes, metadata, errors, and, for equal seeds, the
    same noise. All bindings of a pub, and of consecutive pubs that share circuit and observables, are one batched call
    of a function that is compiled once for all equal circuits and observables. Observables may have projectors, too.
    It computes in double precision, whatever JAX is set to.

    A circuit that qmljax cannot simulate, such as one with a reset of a qubit in use, goes to `StatevectorEstimator`.

    Args:
        default_precision: The standard deviation of the noise, where neither the pub nor `run` has one.
        seed: Of the noise: an integer, which starts again with every pub, or a `numpy.random.Generator`, or None for
            other noise each time.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("t"), 0)
        >>> pub = circuit, [["Z"], ["X"]], [0.0, 0.5]  # cos t and sin t
        >>> Estimator().run([pub]).result()[0].data.evs.round(3)
        array([[1.   , 0.878],
               [0.   , 0.479]])
    """

    def __init__(self, default_precision: float = 0.0, seed: np.random.Generator | int | None = None):
        self._default_precision = default_precision
        self._seed = seed

    @property
    def default_precision(self) -> float:
        """The standard deviation of the noise, where neither the pub nor `run` has one."""
        return self._default_precision

    @property
    def seed(self) -> np.random.Generator | int | None:
        """The seed of the noise."""
        return self._seed

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> Job:
        """Estimates expectation values.

        Args:
            pubs: Tuples of a circuit, observables, and, if need be, parameter values and a precision. The shapes of
                observables and of values broadcast.
            precision: The standard deviation of the noise for pubs that have none.

        Returns:
            A job that has run. Its `result()` has a `PubResult` for each pub, with float64 arrays `data.evs` and
            `data.stds`, which is 0, of the pub's shape.

        Raises:
            TypeError: Something in a pub is of another type.
            ValueError: A pub has another length, shapes that do not broadcast, a negative precision, or another number
                of values or qubits than its circuit.

        What can be told only by a simulation, such as `QiskitError` for a measurement, is raised by `result()`.
        """
        if precision is None:
            precision = self._default_precision
        return Job(self._run, [EstimatorPub.coerce(pub, precision) for pub in pubs])

    def _run(self, pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
        programs = Programs()
        tasks = [_task(pub, programs) for pub in pubs]
        values = _evaluate([task for task in tasks if task is not None])
        results = [
            StatevectorEstimator(seed=self._seed).run([pub]).result()[0]
            if task is None
            else self._noisy(pub, next(values))
            for pub, task in zip(pubs, tasks, strict=True)
        ]
        return PrimitiveResult(results, metadata={"version": 2})

    def _noisy(self, pub: EstimatorPub, evs: np.ndarray) -> PubResult:
        rng = np.random.default_rng(self._seed)
        drawn = resets(pub.circuit)
        if drawn:  # Qiskit simulates once for each element
            noisy = np.empty_like(evs)
            for index in np.ndindex(evs.shape):
                rng.random(drawn)
                noisy[index] = rng.normal(evs[index], pub.precision) if pub.precision != 0 else evs[index]
            evs = noisy
        elif pub.precision != 0:
            evs = np.asarray(rng.normal(evs, pub.precision))
        data = DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape)
        return PubResult(data, {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata})


class _Task(NamedTuple):
    """A pub, read: its element has the value of `function(params)[row, column]`."""

    function: Compiled | None  # None: there are no elements
    params: np.ndarray  # (B, P)
    row: np.ndarray
    column: np.ndarray


def _task(pub: EstimatorPub, programs: Programs) -> _Task | None:
    """None for a pub that is Qiskit's to run, or to refuse."""
    if pub.size == 0:
        return _Task(None, np.zeros((0, 0)), *(np.zeros(pub.shape, int),) * 2)
    program = programs.of(pub.circuit)
    if program is None or program.measured is not None:
        return None
    read = rows(pub.parameter_values, program)
    if read is None:
        return None
    listed = [observable(o, program.num_qubits) for o in pub.observables.sparse_observables_array().flat]
    place = {o: k for k, o in enumerate(dict.fromkeys(listed))}
    column = np.array([place[o] for o in listed]).reshape(pub.observables.shape)
    return _Task(_function(program, tuple(place)), read[0], *np.broadcast_arrays(read[1], column))


@functools.lru_cache(maxsize=256)
def _function(program: Program, observables: tuple[Observable, ...]) -> Compiled:
    return expectation(program, list(observables))


def _evaluate(tasks: list[_Task]) -> Iterable[np.ndarray]:
    """The values of each task; consecutive tasks with one function are one call of it."""
    for function, group in itertools.groupby(tasks, key=lambda task: task.function):
        group = list(group)
        if function is None:
            yield from (np.zeros(task.row.shape) for task in group)
            continue
        values = np.concatenate(list(batches(function, np.concatenate([task.params for task in group]))))
        start = 0
        for task in group:
            yield np.asarray(values[start + task.row, task.column])
            start += len(task.params)
