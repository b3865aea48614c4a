"""The front door: a circuit becomes a function of its parameters.

Every builder returns a frozen callable that is equal by value: callables built from equal circuits are equal, hash
alike and share one compiled function. All checks are made here, in Python, before anything is traced.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array, lax
from jax.sharding import Mesh

from qmljax._checks import check_count, check_key
from qmljax._circuit import readout
from qmljax._circuit.collapses import Collapses, collapses
from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program
from qmljax._circuit.readout import MAX_QUBITS, check_size
from qmljax._engine.collapse import outcomes
from qmljax._engine.expectations import expectations
from qmljax._engine.outcomes import drawn, marginal, sample_index
from qmljax._engine.plan import MEMORY
from qmljax._engine.state import square
from qmljax._models import shared
from qmljax._models.arguments import MAX_OUTCOMES, check_amplitudes, check_compile, check_memory, check_outcomes
from qmljax._models.by_name import parameters
from qmljax._models.compiled import Compiled, question, size
from qmljax._models.density import OfDensity, averaged
from qmljax._models.of_params import OfParams
from qmljax._models.on_mesh import (
    ExpectationOnMesh,
    ProbabilitiesOnMesh,
    SampleOnMesh,
    expectation_on,
    probabilities_on,
    sample_on,
)
from qmljax._models.place import check_place
from qmljax._models.postselected import Postselected
from qmljax._models.questions import Question, of_expectations, of_probabilities

FEW_WIRES = 14  # of which the distribution is always computed as a whole; a heuristic, as is the next one
SLOWER = 3  # an amplitude of a shot takes as long as so many powers of 2 of those of a state
MOST_WIRES = 24  # of which a distribution is computed as a whole, if it takes fewer qubits shot by shot


@dataclass(frozen=True, repr=False)
class Probabilities(OfParams):
    """`f(params)`: (..., P) -> probabilities (..., 2**k) of the outcomes of k qubits."""

    qubits: tuple[int, ...]

    def _question(self) -> Question | None:
        return of_probabilities(self.program, self.qubits, self._columns)

    def _of(self, params: Array) -> Array:
        return marginal(square(self._state(params)), self.qubits)


@dataclass(frozen=True, repr=False)
class Expectation(OfParams):
    """`f(params)`: (..., P) -> values (...) of a single observable, else (..., observables)."""

    observables: tuple[Observable, ...]
    single: bool

    def _question(self) -> Question | None:
        shape = () if self.single else (len(self.observables),)
        return of_expectations(self.program, self.observables, shape, self._columns)

    def _of(self, params: Array) -> Array:
        values = expectations(self.observables, self._state(params))
        return values[0] if self.single else values


@dataclass(frozen=True, repr=False)
class Sample(Compiled):
    """`f(params, key)`: (..., P) and a JAX random key -> int32 outcomes (..., shots).

    Attributes:
        program: The circuit that is simulated.
        qubits: The wires that are read: bit k of an outcome is `qubits[k]`.
        shots: How many outcomes there are.
        collapses: How it is run shot by shot, on how many qubits; None if outcomes are drawn from the state.
    """

    program: Program
    qubits: tuple[int, ...]
    shots: int
    collapses: Collapses | None = None

    def _facts(self) -> dict[str, Any]:
        return {"parameters": self.program.num_parameters, "shots": self.shots, **size(self.program)}

    def __call__(self, params: Any, key: Array) -> Array:
        """Outcomes for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.
            key: A JAX random key.

        Returns:
            int32 outcomes of shape (..., shots); -1 where parameters that are not finite leave no distribution.

        Raises:
            TypeError: `key` is no key, or the parameters are not real.
            ValueError: The parameters have another shape, a row of amplitudes is zero, `key` is more than one key, or
                there would be more than 2**30 outcomes.
        """
        check_key(key)
        params = parameters(params, "params", self.program)
        check_outcomes(params, self.shots)
        check_amplitudes(self.program, params=(range(len(self.program.parameters)), params))
        return self._answer(params, key)

    def _question(self) -> Question | None:
        if self.collapses is not None:
            return None
        return of_probabilities(self.program, self.qubits, tuple(range(self.program.num_parameters)))

    def _first(self, params: Any, key: Array) -> Array | None:
        asked = question(self)
        return None if asked is None else drawn(shared.answer(asked, params), key, self.shots)

    def _trace(self, params: Array, key: Array) -> Array:
        if self.collapses is not None:
            rows = params.reshape(math.prod(params.shape[:-1]), params.shape[-1])
            draw = functools.partial(outcomes, self.collapses, shots=self.shots, memory=MEMORY)
            each = lax.map(lambda row: draw(row[0], row[1]), (rows, jax.random.split(key, len(rows))))
            return each.reshape(*params.shape[:-1], self.shots)
        p = Probabilities(self.program, self.qubits, memory=MEMORY)._trace(params)  # (..., 2**k)
        return sample_index(p, key, self.shots)


def probabilities(
    circuit: Any,
    qubits: Sequence[int] | None = None,
    *,
    clbits: Sequence[int] | None = None,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Probabilities | ProbabilitiesOnMesh | OfDensity:
    """The function that gives the probabilities of measurement outcomes.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read, unless by
            `clbits`: `qubits` says what is measured.
        qubits: The qubits to measure, all by default; bit j of an outcome is `qubits[j]`. Idle qubits read 0.
        clbits: The places of classical bits to read instead, with what the circuit has measured into them at its end;
            bit j of an outcome is `clbits[j]`. Bits that nothing is measured into read 0.
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold the state together, a 2**k-th part each: so many outcomes
            that they would not fit on each lie on them in order.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        memory: Bytes of states that a gradient may keep, one for each layer; 512 MiB by default. If there were more,
            the backward pass recomputes them.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params)``: parameters of shape (..., P) to probabilities of shape (..., 2**k).

    Raises:
        TypeError: `qubits` or `clbits` are no integers.
        ValueError: `qubits` are not different qubits of the circuit, or `clbits` not different classical bits of it, or
            both are given; or the simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2, 1)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> probabilities(bell, [1])([]).round(3)
        Array([0.5, 0.5], dtype=float32)
        >>> _ = bell.measure(0, 0)
        >>> with bell.if_test((bell.clbits[0], 1)):
        ...     _ = bell.x(0)
        >>> probabilities(bell)([]).round(3), probabilities(bell, clbits=[0])([]).round(3)
        (Array([0.5, 0. , 0.5, 0. ], dtype=float32), Array([0.5, 0.5], dtype=float32))
    """
    place = check_place(mesh, state, circuit)
    read = readout.of_bits(circuit, qubits, clbits)
    check_size(read.bits, MAX_QUBITS, "The distribution", "Name fewer bits.")
    about: Any = {"memory": check_memory(memory), "compile": check_compile(compile)}
    if place is not None:
        return probabilities_on(place, read)
    if compile is not False and (found := averaged(read, memory)) is not None:
        return found
    small = read.reduced()
    return Probabilities(small.program, small.qubits, **about)


def expectation(
    circuit: Any,
    observables: Any,
    *,
    given: Mapping[int, int] | None = None,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Expectation | Postselected | ExpectationOnMesh | OfDensity:
    """The function that gives expectation values in the state a circuit prepares from |0...0>.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        observables: One observable or a list: a label such as "ZIX" (the last letter is qubit 0), also with the
            projectors 0 1 + - r l; a `Pauli`, `SparsePauliOp` or `SparseObservable`; or a mapping of labels to real
            coefficients. A `PauliList` and an array are lists, too; what is nested is read in C order.
        given: Values of classical bits, by their places, such as ``{0: 1}``: only runs in which they are measured count
            (postselection). The final measurements that write them are then made, too.
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold one state together, a 2**k-th part each, for a state that
            fits on none alone; of at least 2 k qubits. Gradients take a few states, however deep the circuit is.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        memory: Bytes of states that a gradient may keep, one for each layer; 512 MiB by default. If there were more,
            the backward pass recomputes them (the adjoint method): it takes a few states, however deep the circuit is.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one (`docs/start.md`).

    Returns:
        ``f(params)``: parameters of shape (..., P), or a mapping of names to values, to values of shape (...) for one
        observable and (..., n_obs) for a list. Only the gates and qubits that the observables can feel are simulated
        (their light cone). What a circuit measures on its way is averaged over. With `given`, values are NaN where
        parameters leave it no probability, and so there is nothing to average.

    Raises:
        TypeError: An observable or `given` is of another type.
        ValueError: An observable has a complex coefficient or another number of qubits than the circuit; or `given` has
            bits that the circuit has not, or values that it never measures.

    Example:
        >>> import jax
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("t"), 0)
        >>> f = expectation(circuit, "Z")  # cos t
        >>> f([0.5]).round(4), jax.grad(f)(jax.numpy.array([0.5])).round(4)
        (Array(0.8776, dtype=float32), Array([-0.4794], dtype=float32))
        >>> round(float(f({"t": 0.5})), 4)
        0.8776

        Half of a Bell pair, when the other half is measured to be 1:

        >>> bell = QuantumCircuit(2, 1)
        >>> _ = bell.h(0), bell.cx(0, 1), bell.measure(0, 0)
        >>> expectation(bell, "ZI", given={0: 1})([]).round(4)
        Array(-1., dtype=float32)

    References:
        T. Jones, J. Gacon, "Efficient calculation of gradients in classical simulations of variational quantum
        algorithms", arXiv:2009.02823 (2020), for the adjoint method.
    """
    place = check_place(mesh, state, circuit)
    read = readout.of_observables(circuit, observables, given)
    about: Any = {"memory": check_memory(memory), "compile": check_compile(compile)}
    if place is not None:
        return expectation_on(place, read)
    if compile is not False and given is None and (found := averaged(read, memory)) is not None:
        return found
    small = read.reduced()
    kind = Expectation if given is None else Postselected
    return kind(small.program, small.observables, small.single, **about)


def sample(
    circuit: Any,
    shots: int,
    *,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    compile: bool | None = None,
) -> Sample | SampleOnMesh:
    """The function that draws measurement outcomes.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        shots: The number of outcomes to draw for each set of parameters.
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold the state together, a 2**k-th part each.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params, key)``: parameters of shape (..., P) and a JAX random key to int32 outcomes of shape (..., shots).
        Bit k of an outcome is measured classical bit k, or qubit k when the circuit measures nothing. Outcomes are -1
        where the parameters are not finite, and so there is no distribution to draw from.

        Where that takes fewer amplitudes than a state, or a state would be on more than 24 qubits (those that defer
        measurements included), the circuit is run shot by shot, many at a time: what only controls from now on is
        measured at once, and its qubit used again.

    Raises:
        TypeError: `key` is no JAX random key.
        ValueError: `shots` is no positive integer or more than 2**30, or the simulation does not fit.

    Example:
        >>> import jax
        >>> from qiskit import QuantumCircuit
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.x(1)
        >>> sample(circuit, shots=3)([], jax.random.key(0))
        Array([2, 2, 2], dtype=int32)
    """
    place = check_place(mesh, state, circuit)
    read = readout.of_measurements(circuit)
    check_count(shots, "shots")
    if shots > MAX_OUTCOMES:
        raise ValueError(
            f"`shots` must be at most 2**30, the outcomes that fit into 4 GiB, but is {shots}. Draw them in parts, "
            "each with a key of its own."
        )
    check_size(read.bits, MAX_QUBITS, "The distribution", "Measure fewer qubits.")
    check_compile(compile)
    if place is not None:
        return sample_on(place, read, int(shots))
    small = read.reduced(None)
    found, wires = None, small.program.num_qubits
    if wires > FEW_WIRES and not small.program.loads:
        found = collapses(small.program, small.qubits)
        least = found.num_qubits + math.log2(shots) + SLOWER if wires <= MOST_WIRES else found.num_qubits + 1
        found = found if least <= wires else None
    qubits = wires if found is None else found.num_qubits
    check_size(qubits, MAX_QUBITS, "A simulation", "Measure fewer qubits, or reset some that are done with.")
    return Sample(small.program, small.qubits, int(shots), found, compile=check_compile(compile))
