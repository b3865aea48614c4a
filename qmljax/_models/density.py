"""Density matrices: of ideal circuits, of circuits with channels in them, and of circuits under a noise model."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_key
from qmljax._circuit import readout
from qmljax._circuit.lifetimes import reused
from qmljax._circuit.noisy import NoisyProgram, parse_noisy
from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program
from qmljax._circuit.readout import MAX_QUBITS, Readout, check_size
from qmljax._engine import density as engine
from qmljax._engine.outcomes import drawn, marginal
from qmljax._engine.pauli_levels import Classes
from qmljax._engine.plan import MEMORY
from qmljax._engine.readings import StringSums, string_sums
from qmljax._forgetting import forgetful_jit
from qmljax._meshes import devices, on_meshes, rows
from qmljax._models.arguments import check_amplitudes, check_compile, check_memory
from qmljax._models.by_name import parameters
from qmljax._models.by_value import same_leaves
from qmljax._models.of_params import OfParams
from qmljax._models.parts import in_parts

FEW_WIRES = 12  # states of so many are small, and have programs that are shared
MOST_AT_ONCE = 10  # qubits of a density matrix that is not asked for; a heuristic, as are the others
WORSE = 3  # a density matrix takes as long as a state that is so many powers of 2 larger
MOST_QUBITS = 12  # of a density matrix that is returned: 4**12 complex numbers


@dataclass(frozen=True, repr=False)
class PureDensity(OfParams):
    """`f(params)`: (..., P) -> density matrices (..., 2**k, 2**k) of some qubits of a pure state."""

    qubits: tuple[int, ...]

    def _of(self, params: Array) -> Array:
        state = self._state(params)  # (C, 2**n, *batch)
        n, batch = self.program.num_qubits, state.shape[2:]
        axes = [1 + n - 1 - q for q in reversed(self.qubits)]
        split = jnp.moveaxis(state.reshape(len(state), *(2,) * n, *batch), axes, range(1, 1 + len(axes)))
        rows = split.reshape(len(state), 1 << len(axes), 1 << n - len(axes), *batch)
        real, imag = rows if len(rows) == 2 else (rows[0], jnp.zeros_like(rows[0]))
        product = functools.partial(jnp.einsum, "ax...,bx...->ab...", precision=lax.Precision.HIGHEST)
        return lax.complex(product(real, real) + product(imag, imag), product(imag, real) - product(real, imag))


@dataclass(frozen=True)
class Question:
    """What is asked of a noisy circuit. It is static.

    Attributes:
        noisy: The circuit, without what the answer does not feel.
        classes: Of each channel of the noise model, see `pauli_levels.Channel`.
        kind: What is read: "matrix", "probabilities" or "expectation".
        qubits: Of which qubits, for the first two.
        outcome: Which of these each bit of an outcome is.
        sums: Of expectation values.
        memory: Bytes of states that a call may keep.
    """

    noisy: NoisyProgram
    classes: tuple[Classes, ...]
    kind: str
    qubits: tuple[int, ...] = ()
    outcome: tuple[int, ...] = ()
    sums: StringSums | None = None
    memory: int = MEMORY

    @property
    def measured(self) -> tuple[int, ...]:
        """The qubits whose readout matters."""
        return self.sums.qubits if self.sums is not None else self.qubits


@dataclass(frozen=True, repr=False, eq=False)
class OfDensity:
    """`f(params)`: (..., P) -> (..., *out), by the density matrix. Its channels are arrays, which may be traced."""

    question: Question
    channels: tuple[Any, ...] = ()
    readout: Any = None

    def __call__(self, params: Any = None) -> Array:
        """The value for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.

        Returns:
            Of shape (..., *out).

        Raises:
            TypeError: They are not real.
            ValueError: They have another shape, or a row of amplitudes is zero.
        """
        program = self.question.noisy.program
        if params is None and not program.parameters:
            params = np.zeros((0,), jnp.result_type(float))
        params = parameters(params, "params", program)
        check_amplitudes(program, params=(range(len(program.parameters)), params))
        return _run(self.question, self.channels, self.readout, params)

    @property
    def program(self) -> Program:
        """The circuit that is simulated, without its noise."""
        return self.question.noisy.program

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OfDensity) or self.question != other.question:
            return False
        return same_leaves((self.channels, self.readout), (other.channels, other.readout))

    def __hash__(self) -> int:
        return hash(self.question)

    def __repr__(self) -> str:
        program = self.question.noisy.program
        return f"OfDensity({self.question.kind}, parameters={program.num_parameters}, qubits={program.num_qubits})"


@functools.partial(forgetful_jit, static_argnums=0)
@functools.partial(on_meshes, leading=lambda channels, readout, params: rows(params), skip=1)
def _run(question: Question, channels: Any, readout: Any, params: Array) -> Array:
    batch, noisy = params.shape[:-1], question.noisy
    rows = params.reshape(math.prod(batch), params.shape[-1])
    dtype = params.dtype
    channels = tuple(jnp.asarray(channel, dtype) for channel in channels)
    readout = None if readout is None else jnp.asarray(readout, dtype)

    def each(row: Array) -> Array:
        return _read(question, readout, engine.density(noisy, question.classes, channels, row))

    if not batch:
        return each(rows[0])
    size = max(1, question.memory // (8 * engine.size(noisy.program.num_qubits, dtype)))
    out = jax.vmap(each)(rows) if len(rows) <= size * devices() else in_parts(jax.vmap(each), rows, size)
    return out.reshape(*batch, *out.shape[1:])


def _read(question: Question, readout: Array | None, state: Array) -> Array:
    if question.kind == "expectation":
        assert question.sums is not None
        return question.sums.values(engine.measured(state, question.measured, readout))
    if question.kind == "probabilities":
        p = engine.probabilities(engine.measured(state, question.measured, readout), question.qubits)
        return marginal(p, question.outcome)
    return lax.complex(*engine.to_matrix(engine.reduced(state, question.qubits)))


@dataclass(frozen=True, repr=False, eq=False)
class SampleOfNoisy:
    """`f(params, key)`: (..., P) and a JAX random key -> int32 outcomes (..., shots)."""

    probabilities: Callable[[Any], Array]
    shots: int

    def __call__(self, params: Any, key: Array) -> Array:
        """Outcomes for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.
            key: A JAX random key.

        Returns:
            int32 outcomes of shape (..., shots).

        Raises:
            TypeError: `key` is no JAX random key, or the parameters are not real.
            ValueError: The parameters have another shape, `key` is more than one key, or there would be more than 2**30
                outcomes.
        """
        check_key(key)
        return drawn(self.probabilities(params), key, self.shots)


def noisy_question(
    noisy: NoisyProgram,
    classes: Sequence[Classes],
    *,
    qubits: Sequence[int] | None = None,
    observables: tuple[Observable, ...] | None = None,
    single: bool = False,
    matrix: bool = False,
    memory: int = MEMORY,
    most: int = engine.MAX_QUBITS,
) -> tuple[Question, tuple[int, ...]]:
    """What is to be computed, and the qubits of the whole circuit whose readout matters."""
    if observables is not None:
        sums = string_sums(observables, single)
        whole = sums.qubits
        reads = dict.fromkeys(whole, False) | {q: True for q in whole if sums.bit(q)}
    else:
        assert qubits is not None
        whole = tuple(dict.fromkeys(qubits))  # one may be measured twice
        reads = dict.fromkeys(whole, not matrix)
    small = noisy.cone(reads)
    kept = tuple(sorted({*small.touched, *whole})) or (0,)
    fewer = reused(small, whole)
    if fewer.program.num_qubits < len(kept):
        small, kept = fewer, tuple(sorted(whole))
    else:
        small = small.on_touched(kept)
    check_size(small.program.num_qubits, most, "A density matrix", "Simulate fewer qubits, or follow trajectories.")
    place = {q: k for k, q in enumerate(kept)}
    if observables is not None:
        sums = sums.on(kept, small.program.num_qubits)
        return Question(small, tuple(classes), "expectation", sums=sums, memory=memory), whole
    kind, outcome = "matrix" if matrix else "probabilities", tuple(whole.index(q) for q in qubits or ())
    return Question(small, tuple(classes), kind, tuple(place[q] for q in whole), outcome, memory=memory), whole


def averaged(read: Readout, memory: int, matrix: bool = False) -> OfDensity | None:
    """What is read of a circuit that measures on its way, by a density matrix of what is there at once.

    With `matrix` it is the density matrix of the qubits that are read. None if a state on all wires is not much larger.
    """
    wired = read.on_wires()
    if not read.program.ancillas or wired.program.loads:
        return None
    if (wires := read.reduced(None).program.num_qubits) <= FEW_WIRES:
        return None
    noisy = NoisyProgram(wired.program)
    about: Any = {"observables": wired.observables, "single": wired.single}
    question, _ = noisy_question(
        noisy,
        (),
        **(about if wired.observables else {"qubits": wired.qubits, "matrix": matrix}),
        memory=memory,
        most=MAX_QUBITS,
    )
    live = question.noisy.program.num_qubits
    return OfDensity(question) if live <= MOST_AT_ONCE and 2 * live + WORSE <= wires else None


def density_matrix(
    circuit: Any, qubits: Sequence[int] | None = None, *, memory: int = MEMORY, compile: bool | None = None
) -> PureDensity | OfDensity:
    """The function that gives the density matrix of qubits after a circuit.

    The circuit may contain channels: Qiskit's `Kraus` and `SuperOp`, and errors of Aer. For those of a device see
    `qmljax.noise`.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read.
        qubits: Of which qubits, all by default: qubit j of the matrix is `qubits[j]`. The rest is traced out.
        memory: Bytes of states that a gradient may keep, one for each layer; 512 MiB by default. If there were more,
            the backward pass recomputes them.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params)``: parameters of shape (..., P), in the order of `circuit.parameters`, in radians, to complex
        matrices of shape (..., 2**k, 2**k), little endian. They have trace 1 and are positive.

    Raises:
        ValueError: `qubits` are not different qubits of the circuit, or there are more than 12; or the circuit has
            channels and acts on more than 14.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> density_matrix(bell, [0])([]).real
        Array([[0.5, 0. ],
               [0. , 0.5]], dtype=float32)
    """
    noisy = parse_noisy(circuit)
    read = readout.of_qubits(noisy.program, qubits)
    check_size(len(read.qubits), MOST_QUBITS, "A density matrix", "Name fewer `qubits`.")
    memory, compile = check_memory(memory), check_compile(compile)
    if not noisy.sites and (found := averaged(read, memory, matrix=True)) is not None:
        return found
    read = read.on_wires()
    noisy = replace(noisy, program=read.program)
    if noisy.sites:
        question, _ = noisy_question(noisy, (), qubits=read.qubits, matrix=True, memory=memory)
        return OfDensity(question)
    program: Program = noisy.program.cone(dict.fromkeys(read.qubits, False))
    kept = tuple(sorted({*program.touched, *read.qubits}))
    check_size(len(kept), MAX_QUBITS, "A simulation", "The circuit acts on that many qubits that matter.")
    small = program.on_touched(read.qubits)
    return PureDensity(small, tuple(kept.index(q) for q in read.qubits), memory=memory, compile=compile)
