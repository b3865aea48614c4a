"""The amplitudes of the state that a circuit prepares, and its unitary matrix, as functions of its parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from qmljax._circuit import readout
from qmljax._circuit.readout import MAX_QUBITS, check_size
from qmljax._engine.plan import MEMORY
from qmljax._engine.run import columns
from qmljax._engine.state import to_complex
from qmljax._models.arguments import check_compile, check_memory
from qmljax._models.of_params import OfParams
from qmljax._models.on_mesh import StatevectorOnMesh, statevector_on
from qmljax._models.place import check_place
from qmljax._models.questions import Question, of_amplitudes, of_unitary

MAX_UNITARY_QUBITS = 15


@dataclass(frozen=True, repr=False)
class Statevector(OfParams):
    """`f(params)`: (..., P) -> complex amplitudes (..., 2**n)."""

    def _question(self) -> Question | None:
        return of_amplitudes(self.program, self._columns)

    def _of(self, params: Array) -> Array:
        return to_complex(self._state(params, phase=True))


@dataclass(frozen=True, repr=False)
class Unitary(OfParams):
    """`f(params)`: (..., P) -> complex matrices (..., 2**n, 2**n)."""

    def _question(self) -> Question | None:
        return of_unitary(self.program, self._columns)

    def _of(self, params: Array) -> Array:
        matrix = to_complex(columns(self.program, params, self.memory))  # (2**n, *batch, 2**n)
        return jnp.moveaxis(matrix, -1, 1)


@overload
def statevector(
    circuit: Any, *, mesh: None = None, state: None = None, memory: int = MEMORY, compile: bool | None = None
) -> Statevector: ...
@overload
def statevector(
    circuit: Any,
    *,
    mesh: Mesh | None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Statevector | StatevectorOnMesh: ...
def statevector(
    circuit: Any,
    *,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Statevector | StatevectorOnMesh:
    """The function that gives the state a circuit prepares from |0...0>.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold the state together, a 2**k-th part each: amplitudes lie on
            them in order.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        memory: Bytes of states that a gradient may keep, one for each layer; 512 MiB by default. If there were more,
            the backward pass recomputes them.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params)``: parameters of shape (..., P), in the order of `circuit.parameters`, in radians, to complex
        amplitudes of shape (..., 2**n), little endian, global phase included. complex64 for float32 parameters,
        complex128 for float64.

    Raises:
        ValueError: The circuit has more than 30 qubits, idle ones included. Use `expectation` or
            `probabilities(qubits=...)`, which simulate only the qubits that the circuit touches.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> statevector(bell)([]).round(3)
        Array([0.707+0.j, 0.   +0.j, 0.   +0.j, 0.707+0.j], dtype=complex64)
    """
    place = check_place(mesh, state, circuit)
    program = readout.of_state(circuit).program
    if place is not None:
        return statevector_on(place, program)
    way_out = (
        "Use `expectation` or `probabilities(qubits=...)`, which simulate only the qubits that the circuit touches."
    )
    check_size(program.num_qubits, MAX_QUBITS, "The statevector", way_out)
    return Statevector(program, memory=check_memory(memory), compile=check_compile(compile))


def unitary(circuit: Any, *, memory: int = MEMORY, compile: bool | None = None) -> Unitary:
    """The function that gives the unitary matrix of a circuit.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        memory: Bytes of states that a gradient may keep, one for each layer; 512 MiB by default. If there were more,
            the backward pass recomputes them.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params)``: parameters of shape (..., P) to complex matrices of shape (..., 2**n, 2**n); column j is what
        becomes of the basis state j. Global phase included. The cost is 2**n statevectors.

    Raises:
        ValueError: The circuit has more than 15 qubits.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.x(0), circuit.s(0)
        >>> unitary(circuit)([]).round(3) + 0
        Array([[0.+0.j, 1.+0.j],
               [0.+1.j, 0.+0.j]], dtype=complex64)
    """
    program = readout.of_state(circuit).program
    if program.loads:
        raise ValueError("A circuit that loads amplitudes has no unitary matrix. Use `statevector`.")
    check_size(program.num_qubits, MAX_UNITARY_QUBITS, "The unitary matrix", "Use `statevector` instead.")
    return Unitary(program, memory=check_memory(memory), compile=check_compile(compile))
