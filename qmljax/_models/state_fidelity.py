"""The fidelity of the states of two circuits."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from qmljax._circuit.parse import check_circuit
from qmljax._circuit.program import Program
from qmljax._models import shared
from qmljax._models.amplitudes import statevector
from qmljax._models.arguments import check_amplitudes, check_compile
from qmljax._models.by_name import parameters
from qmljax._models.compiled import Compiled, size
from qmljax._models.on_mesh import FidelityOnMesh
from qmljax._models.parts import cut
from qmljax._models.place import check_place
from qmljax._models.questions import Question, of_amplitudes
from qmljax._models.shared import fit


@dataclass(frozen=True, repr=False)
class Fidelity(Compiled):
    """`f(params_a, params_b)`: (..., P_a) and (..., P_b) -> fidelities (...)."""

    left: Any  # Statevector
    right: Any

    def _facts(self) -> dict[str, Any]:
        return {
            "parameters": tuple(f.program.num_parameters for f in (self.left, self.right)),
            **size(self.left.program),
        }

    def __call__(self, params_a: Any, params_b: Any) -> Array:
        """The fidelity for parameters of the two circuits, in radians, whose batch dimensions broadcast.

        Args:
            params_a: Of shape (..., P_a), in the order of the first circuit; or a mapping of names to values.
            params_b: Of shape (..., P_b), of the second.

        Returns:
            Of shape (...).

        Raises:
            TypeError: The parameters are not real.
            ValueError: The parameters have another shape, or a row of amplitudes is zero.
        """
        arrays = [
            parameters(value, name, f.program)
            for value, name, f in ((params_a, "params_a", self.left), (params_b, "params_b", self.right))
        ]
        for array, name, f in zip(arrays, ("params_a", "params_b"), (self.left, self.right), strict=True):
            check_amplitudes(f.program, **{name: (range(len(f.program.parameters)), array)})
        return self._answer(*arrays)

    def _trace(self, params_a: Array, params_b: Array) -> Array:
        return _overlap(self.left._trace(params_a), self.right._trace(params_b))

    def _questions(self) -> tuple[Question | None, ...]:
        return tuple(_amplitudes(f.program) for f in (self.left, self.right))

    def _fits(self, params_a: Any, params_b: Any) -> bool:
        return all(fit(asked, (params_a, params_b)) for asked in self._questions())

    def _first(self, params_a: Any, params_b: Any) -> Array | None:
        left, right = self._questions()
        if left is None or right is None:
            return None
        batch = np.broadcast_shapes(params_a.shape[:-1], params_b.shape[:-1])
        states = (
            shared.answer(asked, params, np.zeros((*batch, 0), params.dtype))
            for asked, params in ((left, params_a), (right, params_b))
        )
        return cut(_overlap(*states), math.prod(batch)).reshape(batch)


@functools.lru_cache(maxsize=32)
def _amplitudes(program: Program) -> Question | None:
    """Those of rows of parameters, and of an array without columns, which has their batch dimensions."""
    return of_amplitudes(program, tuple(range(program.num_parameters)), (), whole=True)


@jax.jit
def _overlap(left: Array, right: Array) -> Array:
    left, right = jnp.broadcast_arrays(left, right)
    overlap = jnp.sum(left.conj() * right, axis=-1)
    return overlap.real**2 + overlap.imag**2


def fidelity(
    circuit_a: Any,
    circuit_b: Any,
    *,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    compile: bool | None = None,
) -> Fidelity | FidelityOnMesh:
    """The function that gives the fidelity of the states of two circuits: ``|<psi_a|psi_b>|**2``.

    Args:
        circuit_a: A `QuantumCircuit`, or anything else that `parse` takes.
        circuit_b: Another, on as many qubits.
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold the states together, a 2**k-th part each.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params_a, params_b)``: parameters of shape (..., P_a) and (..., P_b), whose leading dimensions broadcast, to
        fidelities in [0, 1] of shape (...).

    Raises:
        ValueError: The circuits have different numbers of qubits, or more than 30.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> zero, plus = QuantumCircuit(1), QuantumCircuit(1)
        >>> _ = plus.h(0)
        >>> fidelity(zero, plus)([], []).round(3)
        Array(0.5, dtype=float32)
    """
    check_circuit(circuit_a, "circuit_a")
    check_circuit(circuit_b, "circuit_b")
    place = check_place(mesh, state, circuit_a, circuit_b)
    left, right = (statevector(circuit, mesh=mesh, state=state) for circuit in (circuit_a, circuit_b))
    if left.program.num_qubits != right.program.num_qubits:
        raise ValueError(
            "The circuits must act on as many qubits as each other, but have "
            f"{left.program.num_qubits} and {right.program.num_qubits}."
        )
    check_compile(compile)
    if place is not None:
        return FidelityOnMesh((left.program, right.program), place)
    return Fidelity(left, right, compile=compile)
