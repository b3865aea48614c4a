"""Expectation values behind Qiskit's `BaseEstimatorV2`."""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Reset
from qiskit.circuit.library import Initialize
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    EstimatorPubLike,
    PrimitiveResult,
    PubResult,
    StatevectorEstimator,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparseObservable, SparsePauliOp, Statevector

from qmljax._circuit.observables import Observable, observable
from qmljax._circuit.program import Program
from qmljax._circuit.readout import of_observables
from qmljax._models.amplitudes import statevector
from qmljax._models.density import OfDensity
from qmljax._models.functions import expectation
from qmljax._models.of_params import OfParams
from qmljax._models.on_mesh import OnMesh
from qmljax.primitives._run import Job, Programs, batches, check_number, check_seed, rows

MANY = 64  # different observables of a pub, from which on they are not compiled; a heuristic


class Estimator(BaseEstimatorV2):
    """Exact expectation values, with normal noise where a precision is asked for; Qiskit's `StatevectorEstimator`.

    It takes the same pubs and returns the same results: values, shapes, metadata, errors, and, for equal seeds, the
    same noise. All bindings of a pub, and of consecutive pubs that share circuit and observables, are one batched call
    of a function that is compiled once for all equal circuits and observables. Observables may have projectors, too.
    It computes in double precision, whatever JAX is set to.

    Circuits that measure, reset and branch on their way have the average over all outcomes, as on a device; Qiskit's
    reference refuses measurements, and after a reset gives the values of one outcome, drawn at random.

    Two things are slower: a circuit that qmljax cannot simulate goes to `StatevectorEstimator`; and more than 64
    different observables in a pub are evaluated one by one.

    Args:
        default_precision: The standard deviation of the noise, where neither the pub nor `run` has one.
        seed: Of the noise: an integer, which starts again with every pub, or a `numpy.random.Generator`, or None for
            other noise each time.

    Raises:
        TypeError: An argument is of another type.
        ValueError: The precision is negative or not finite.

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
        check_number(default_precision, "default_precision", float, 0)
        check_seed(seed)
        self._default_precision = default_precision
        self._seed = seed

    def __repr__(self) -> str:
        return f"Estimator(default_precision={self._default_precision}, seed={self._seed})"

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
            ValueError: A pub has another length, shapes that do not broadcast, a precision that is negative or not
                finite, or another number of values or qubits than its circuit.

        What can be told only by a simulation, such as `QiskitError` for a measurement, is raised by `result()`.
        """
        if precision is None:
            precision = self._default_precision
        check_number(precision, "precision", float, 0)
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        for pub in coerced:
            check_number(pub.precision, "precision", float, 0)
        return Job(self._run, coerced)

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
        if pub.precision != 0 or not isinstance(self._seed, int | None):
            rng = np.random.default_rng(self._seed)
            if drawn := _resets(pub.circuit):  # Qiskit simulates once for each element
                exact, evs = evs, np.empty_like(evs)
                for index in np.ndindex(evs.shape):
                    rng.random(drawn)
                    evs[index] = rng.normal(exact[index], pub.precision) if pub.precision != 0 else exact[index]
            elif pub.precision != 0:
                evs = np.asarray(rng.normal(evs, pub.precision))
        data = DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape)
        return PubResult(data, {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata})


def _resets(circuit: QuantumCircuit) -> int:
    """How many random numbers Qiskit's simulation of a circuit draws: one for each reset, also of a qubit in |0>."""
    count = 0
    for instruction in circuit.data:
        if instruction.is_standard_gate():
            continue
        operation = instruction.operation
        if isinstance(operation, Reset | Initialize) or operation.name == "ParameterizedInitialize":  # of Qiskit ML
            count += 1
        elif not isinstance(operation, Gate) and isinstance(
            definition := getattr(operation, "definition", None), QuantumCircuit
        ):
            count += _resets(definition)
    return count


class _Task(NamedTuple):
    """A pub, read: which parameters and which observable each element has."""

    function: OfParams | OnMesh | OfDensity | None  # None: there are no elements
    params: np.ndarray  # (B, P)
    row: np.ndarray  # of `params`, for each element
    column: np.ndarray  # of what `function` gives, for each element
    operators: tuple[SparsePauliOp, ...] = ()  # if there are any, `function` gives states instead


def _task(pub: EstimatorPub, programs: Programs) -> _Task | None:
    """None for a pub that is Qiskit's to run, or to refuse."""
    if pub.size == 0:
        return _Task(None, np.zeros((0, 0)), *(np.zeros(pub.shape, int),) * 2)
    program = programs.of(pub.circuit)
    if program is None or (program.measured is not None and not program.is_dynamic):
        return None
    read = rows(pub.parameter_values, program)
    if read is None:
        return None
    listed = [observable(o, program.width) for o in pub.observables.sparse_observables_array().flat]
    place = {o: k for k, o in enumerate(dict.fromkeys(listed))}
    column = np.array([place[o] for o in listed]).reshape(pub.observables.shape)
    params, (row, column) = read[0], np.broadcast_arrays(read[1], column)
    if len(place) <= MANY:
        return _Task(_expectation(program, tuple(place)), params, row, column)
    small = of_observables(program, list(place)).reduced()
    return _Task(_statevector(small.program), params, row, column, tuple(_operator(o) for o in small.observables))


def _operator(o: Observable) -> SparsePauliOp:
    terms = [("".join(a for _, a in product), [q for q, _ in product], c) for product, c in o.terms]
    return SparsePauliOp.from_sparse_observable(SparseObservable.from_sparse_list(terms, o.num_qubits))


@functools.lru_cache(maxsize=256)
def _expectation(program: Program, observables: tuple[Observable, ...]) -> OfParams | OnMesh | OfDensity:
    return expectation(program, list(observables))


@functools.lru_cache(maxsize=256)
def _statevector(program: Program) -> OfParams | OnMesh | OfDensity:
    return statevector(program)


def _evaluate(tasks: list[_Task]) -> Iterator[np.ndarray]:
    """The values of each task; consecutive tasks with one function are one call of it."""
    for function, group in itertools.groupby(tasks, key=lambda task: task.function):
        those = list(group)
        if function is None:
            yield from (np.zeros(task.row.shape) for task in those)
        elif those[0].operators:
            yield from (_in_states(function, task) for task in those)
        else:
            values = np.concatenate(list(batches(function, np.concatenate([task.params for task in those]))))
            start = 0
            for task in those:
                yield np.asarray(values[start + task.row, task.column])
                start += len(task.params)


def _in_states(function: OfParams | OfDensity, task: _Task) -> np.ndarray:
    """The values of a task, each from the state of its row: compiling as many observables would take minutes."""
    evs = np.empty(task.row.shape)
    row, column = task.row.ravel(), task.column.ravel()
    ends = np.cumsum(np.bincount(row, minlength=len(task.params)))
    elements = np.split(np.argsort(row, kind="stable"), ends[:-1])
    states = itertools.chain.from_iterable(batches(function, task.params))
    for amplitudes, of_state in zip(states, elements, strict=True):
        state = Statevector(amplitudes)
        for k in of_state:
            evs.flat[k] = state.expectation_value(task.operators[column[k]]).real
    return evs
