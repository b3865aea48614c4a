"""The Fubini-Study metric of the states of a circuit."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qmljax._circuit import readout
from qmljax._engine.jet import jet
from qmljax._engine.plan import MEMORY, plan
from qmljax._engine.state import PRECISION
from qmljax._models.of_params import OfParams


@dataclass(frozen=True, repr=False)
class MetricTensor(OfParams):
    """`f(params)`: (..., P) -> symmetric matrices (..., P, P)."""

    def _of(self, params: Array) -> Array:
        if params.ndim == 2:
            return jax.vmap(self._of, in_axes=-1, out_axes=-1)(params)
        both = jet(plan(self.program, memory=self.memory), params)
        products = functools.partial(jnp.einsum, "czi,czj->ij", precision=PRECISION)  # Re <l|r>
        if len(both) == 1:  # a real state stays normalised: <psi|d psi> = 0
            return products(both, both)[1:, 1:]
        turned = jnp.stack([-both[1], both[0]])[:, :, :1]  # i psi
        gram = products(jnp.concatenate([both[:, :, 1:], turned], axis=2), both[:, :, 1:])
        berry = gram[-1:]
        return gram[:-1] - berry.T * berry


def metric_tensor(circuit: Any) -> MetricTensor:
    """The function that gives the Fubini-Study metric of the states of a circuit.

    That is the real part of the quantum geometric tensor, ``Re <d_i psi|d_j psi> - Re <d_i psi|psi><psi|d_j psi>``; the
    quantum Fisher information is 4 times it.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.

    Returns:
        ``f(params)``: parameters of shape (..., P) to matrices of shape (..., P, P), symmetric and positive
        semidefinite.

    Raises:
        ValueError: The simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("t"), 0)
        >>> metric_tensor(circuit)([0.3]).round(4)
        Array([[0.25]], dtype=float32)

    References:
        J. Stokes, J. Izaac, N. Killoran, G. Carleo, "Quantum Natural Gradient", Quantum 4, 269 (2020), section 2.
    """
    return MetricTensor(readout.of_state(circuit).reduced().program, memory=MEMORY)
