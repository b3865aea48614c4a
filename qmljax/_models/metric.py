"""The Fubini-Study metric of the states of a circuit."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit import readout
from qmljax._engine.jet import jet
from qmljax._engine.plan import MEMORY, plan
from qmljax._engine.state import PRECISION
from qmljax._models.arguments import check_compile
from qmljax._models.compiled import question
from qmljax._models.of_params import OfParams
from qmljax._models.questions import At, Question, of_amplitudes
from qmljax._models.shared import fit_rows, known


@dataclass(frozen=True, repr=False)
class MetricTensor(OfParams):
    """`f(params)`: (..., P) -> symmetric matrices (..., P, P)."""

    def _question(self) -> Question | None:
        return of_amplitudes(self.program, self._columns)

    def _fits(self, params: Any) -> bool:
        return fit_rows(question(self), math.prod(params.shape[:-1]), times=1 + self.program.num_parameters)

    def _first(self, params: Any) -> Array | None:
        asked = question(self)
        # Its derivatives are second ones of the state.
        if asked is None or isinstance(params, jax.core.Tracer) or not known([params]):
            return None
        at = At(asked, [params])
        psi = at.value()[..., None]
        slopes = np.zeros((*psi.shape[:-1], params.shape[-1]), psi.dtype)
        for k, direction in enumerate(np.eye(params.shape[-1])):
            slopes[..., k] = at.push([np.broadcast_to(direction, params.shape)])
        both = np.concatenate([slopes.real, slopes.imag], axis=-2)
        berry = np.sum((psi.conj() * slopes).imag, axis=-2, keepdims=True)
        return jax.device_put(both.mT @ both - berry.mT * berry)

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


def metric_tensor(circuit: Any, *, compile: bool | None = None) -> MetricTensor:
    """The function that gives the Fubini-Study metric of the states of a circuit.

    That is the real part of the quantum geometric tensor, ``Re <d_i psi|d_j psi> - Re <d_i psi|psi><psi|d_j psi>``; the
    quantum Fisher information is 4 times it.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one. Its derivatives have
            a program of their own.

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
    return MetricTensor(readout.of_state(circuit).reduced().program, memory=MEMORY, compile=check_compile(compile))
