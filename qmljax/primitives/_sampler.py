"""Measurement outcomes behind Qiskit's `BaseSamplerV2`."""

import functools
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveResult,
    SamplerPubLike,
    SamplerPubResult,
    StatevectorSampler,
)
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qmljax._checks import check_flag
from qmljax._circuit.program import Program
from qmljax._engine.outcomes import added_up
from qmljax._models.density import OfDensity
from qmljax._models.functions import probabilities
from qmljax._models.of_params import OfParams
from qmljax._models.on_mesh import OnMesh
from qmljax.primitives._run import Job, Programs, batches, check_number, check_seed, rows

MAX_OUTCOMES = 1 << 32  # of one pub, in one call: 32 GiB


class Sampler(BaseSamplerV2):
    """Measurement outcomes, drawn from exact probabilities; Qiskit's `StatevectorSampler`.

    It takes the same pubs and returns the same results: shapes, registers, metadata, errors, and, for equal seeds, the
    same outcomes. All bindings of a pub, and of consecutive pubs that share their circuit, are one batched call of a
    function that is compiled once for all equal circuits. It computes in double precision, whatever JAX is set to.

    Circuits that measure, reset and branch on their way are exact, too, where Qiskit's reference refuses them. What
    qmljax cannot simulate goes to `StatevectorSampler`.

    Args:
        default_shots: The number of outcomes, where neither the pub nor `run` has one.
        seed: Of the outcomes: an integer, which starts again with every binding, or a `numpy.random.Generator`, or None
            for other outcomes each time.
        exact: Whether nothing is drawn: each outcome comes as often as its probability says, up to rounding, so that
            frequencies are within 1 / shots of the probabilities and the same each time; and the probabilities
            themselves are in the metadata of a pub's result, ``metadata["probabilities"]``: for each register an array
            of the shape of the pub and a last axis (2**bits,).

    Raises:
        TypeError: An argument is of another type.
        ValueError: The number of outcomes is not positive.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1), bell.measure_all()
        >>> counts = Sampler(seed=1).run([bell], shots=100).result()[0].data.meas.get_counts()
        >>> sorted(counts), sum(counts.values())
        (['00', '11'], 100)
        >>> result = Sampler(exact=True).run([bell], shots=1000).result()[0]
        >>> result.data.meas.get_counts(), result.metadata["probabilities"]["meas"].round(3)
        ({'00': 500, '11': 500}, array([0.5, 0. , 0. , 0.5]))
    """

    def __init__(
        self,
        default_shots: int = 1024,
        seed: np.random.Generator | int | None = None,
        *,
        exact: bool = False,
    ):
        check_number(default_shots, "default_shots", int, 1)
        check_seed(seed)
        check_flag(exact, "exact")
        if exact and seed is not None:
            raise ValueError("`exact` draws nothing, so that a `seed` has no effect. Leave out one of them.")
        self._default_shots = default_shots
        self._seed = seed
        self._exact = bool(exact)

    def __repr__(self) -> str:
        return f"Sampler(default_shots={self._default_shots}, seed={self._seed})"

    @property
    def default_shots(self) -> int:
        """The number of outcomes, where neither the pub nor `run` has one."""
        return self._default_shots

    @property
    def seed(self) -> np.random.Generator | int | None:
        """The seed of the outcomes."""
        return self._seed

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> Job:
        """Draws measurement outcomes.

        Args:
            pubs: Circuits, or tuples of a circuit and, if need be, parameter values and a number of shots.
            shots: The number of outcomes for pubs that have none.

        Returns:
            A job that has run. Its `result()` has a `SamplerPubResult` for each pub, with a `BitArray` of the shape of
            the values for each classical register; bits that nothing is measured into are 0.

        Raises:
            TypeError: Something in a pub is of another type.
            ValueError: A pub has another length, a number of shots below 1, or another number of values than its
                circuit.

        What can be told only by a simulation, such as `QiskitError` for a loop that a measurement ends, is raised by
        `result()`.
        """
        if shots is None:
            shots = self._default_shots
        check_number(shots, "shots", int, 1)
        coerced = [SamplerPub.coerce(pub, int(shots)) for pub in pubs]
        for pub in coerced:
            if pub.size * pub.shots > MAX_OUTCOMES:
                raise ValueError(
                    f"`shots` must fit the memory, but {pub.shots} of {pub.size} circuits are more than {MAX_OUTCOMES} "
                    "outcomes. Sample in parts."
                )
        if any(not pub.circuit.cregs for pub in coerced):
            warnings.warn(
                "One of your circuits has no output classical registers and so the result "
                "will be empty. Did you mean to add measurement instructions?",
                UserWarning,
                stacklevel=2,
            )
        return Job(self._run, coerced)

    def _run(self, pubs: list[SamplerPub]) -> PrimitiveResult[SamplerPubResult]:
        programs = Programs()
        tasks = [_task(pub, programs) for pub in pubs]
        distributions = _evaluate([task for task in tasks if task is not None])
        if self._exact and None in tasks:
            raise ValueError(
                "An exact Sampler needs circuits that qmljax simulates, but one has something that it does not. Use a "
                "Sampler that draws."
            )
        results = [
            StatevectorSampler(seed=self._seed).run([pub]).result()[0]
            if task is None
            else self._sampled(pub, task, distributions)
            for pub, task in zip(pubs, tasks, strict=True)
        ]
        return PrimitiveResult(results, metadata={"version": 2})

    def _sampled(self, pub: SamplerPub, task: "_Task", distributions: Iterator[np.ndarray]) -> SamplerPubResult:
        outcomes, exact = np.zeros((pub.size, pub.shots), int), []
        if task.function is not None:
            for k, row in enumerate(task.row.flat):
                if row == k:  # else the circuit has no parameters, and the distribution is the last one
                    p = next(distributions)
                if self._exact:
                    outcomes[k] = np.repeat(np.arange(len(p)), _rounded(p, pub.shots))
                    exact.append(p)
                else:
                    outcomes[k] = np.random.default_rng(self._seed).choice(len(p), size=pub.shots, p=p)
        outcomes = outcomes.reshape(*pub.shape, pub.shots)
        data = {name: BitArray(_packed(outcomes, places), len(places)) for name, places in task.registers.items()}
        metadata = {"shots": pub.shots, "circuit_metadata": pub.circuit.metadata}
        if self._exact:
            joint = np.stack(exact) if exact else np.ones((pub.size, 1))
            metadata["probabilities"] = {
                name: added_up(joint, places).reshape(*pub.shape, -1) for name, places in task.registers.items()
            }
        return SamplerPubResult(DataBin(**data, shape=pub.shape), metadata)


class _Task(NamedTuple):
    """A pub, read: its element is drawn from the distribution `function(params)[row]`."""

    function: OfParams | OnMesh | OfDensity | None  # None: nothing is measured
    params: np.ndarray  # (B, P)
    row: np.ndarray
    registers: dict[str, list[int | None]]  # which bit of an outcome each bit of a register is; None for 0


def _task(pub: SamplerPub, programs: Programs) -> _Task | None:
    """None for a pub that is Qiskit's to run, or to refuse."""
    circuit = pub.circuit
    program = programs.of(circuit)
    if program is None or (read := rows(pub.parameter_values, program)) is None:
        return None
    read_bits = {bit for register in circuit.cregs for bit in register}
    qubit = {
        instruction.clbits[0]: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.name == "measure"
    }
    if program.is_dynamic or len(qubit) != len(program.clbits):  # some measurements are inside of instructions
        clbits = tuple(c for c in program.clbits if circuit.clbits[c] in read_bits)
        place = {circuit.clbits[c]: k for k, c in enumerate(clbits)}
        function = _of_clbits(program, clbits) if clbits else None
    else:
        qubits = sorted({q for bit, q in qubit.items() if bit in read_bits})
        place = {bit: qubits.index(q) for bit, q in qubit.items() if bit in read_bits}
        function = _function(program, tuple(qubits)) if qubits else None
    registers = {register.name: [place.get(bit) for bit in register] for register in circuit.cregs}
    return _Task(function, *read, registers)


@functools.lru_cache(maxsize=256)
def _function(program: Program, qubits: tuple[int, ...]) -> OfParams | OnMesh | OfDensity:
    return probabilities(program, qubits)


@functools.lru_cache(maxsize=256)
def _of_clbits(program: Program, clbits: tuple[int, ...]) -> OfParams | OnMesh | OfDensity:
    return probabilities(program, clbits=clbits)


def _evaluate(tasks: list[_Task]) -> Iterator[np.ndarray]:
    """The distributions of all tasks, row by row; consecutive tasks with one function are one call of it."""
    for function, group in itertools.groupby(tasks, key=lambda task: task.function):
        if function is not None:
            for part in batches(function, np.concatenate([task.params for task in group])):
                yield from part


def _rounded(p: np.ndarray, shots: int) -> np.ndarray:
    """Whole numbers near `shots * p` that add up to `shots`: those with the largest remainders are rounded up."""
    share = shots * p / p.sum()
    counts = np.floor(share).astype(int)
    counts[np.argsort(counts - share, kind="stable")[: shots - counts.sum()]] += 1
    return counts


def _packed(outcomes: np.ndarray, places: list[int | None]) -> np.ndarray:
    """(...) outcomes -> (..., bytes), big endian: bit j is bit `places[j]` of the outcome."""
    packed = np.zeros((*outcomes.shape, -(-len(places) // 8)), np.uint8)
    for j, place in enumerate(places):
        if place is not None:
            packed[..., -1 - j // 8] |= ((outcomes >> place & 1) << j % 8).astype(np.uint8)
    return packed
