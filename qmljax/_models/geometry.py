"""The quantum geometric tensor of the states of a circuit, whose real part is their metric."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qmljax._checks import check_flag
from qmljax._circuit import readout
from qmljax._engine.angles import Angles
from qmljax._engine.jet import jet
from qmljax._engine.plan import MEMORY, Plan, plan
from qmljax._engine.state import PRECISION, to_complex
from qmljax._models.arguments import check_compile
from qmljax._models.of_params import OfParams


@dataclass(frozen=True, repr=False)
class GeometricTensor(OfParams):
    """`f(params)`: (..., P) -> Hermitian matrices (..., P, P)."""

    phase_fix: bool

    def _of(self, params: Array) -> Array:
        if params.ndim == 2:
            return jax.vmap(self._of, in_axes=-1, out_axes=-1)(params)
        plans = plan(self.program, memory=self.memory)
        both = to_complex(jet(plans, params))  # (2**n, 1 + P)
        psi, slopes = both[:, 0], both[:, 1:]
        if not self.phase_fix and plans.layers.phase:  # exp(i g) psi has the slopes exp(i g) (d psi + i dg psi)
            turning = jax.grad(lambda p: _phase(plans, p))(params)
            slopes = slopes + psi[:, None] * (1j * turning.astype(psi.dtype))[None]
        gram = jnp.einsum("zi,zj->ij", slopes.conj(), slopes, precision=PRECISION)
        if not self.phase_fix:
            return gram
        along = jnp.einsum("zi,z->i", slopes.conj(), psi, precision=PRECISION)  # <d_i psi|psi>
        return gram - along[:, None] * along[None].conj()


def _phase(plans: Plan, params: Array) -> Array:
    ((gamma,),) = Angles(plans, params, params[:0])([([plans.layers.phase], True)])
    return gamma.reshape(())


def geometric_tensor(circuit: Any, *, phase_fix: bool = True, compile: bool | None = None) -> GeometricTensor:
    """The function that gives the quantum geometric tensor of the states of a circuit.

    ``<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>``: its real part is the Fubini-Study metric of `metric_tensor`, a
    quarter of the quantum Fisher information, and its imaginary part minus half of the Berry curvature.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        phase_fix: Whether to subtract the second term. Without, the tensor feels the global phase of the states.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``f(params)``: parameters of shape (..., P) to complex matrices of shape (..., P, P), Hermitian and positive
        semidefinite.

    Raises:
        TypeError: `phase_fix` is neither True nor False.
        ValueError: The simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("a"), 0), circuit.rz(Parameter("b"), 0)
        >>> geometric_tensor(circuit)([jnp.pi / 2, 0.0]).round(4)
        Array([[0.25+0.j  , 0.  +0.25j],
               [0.  -0.25j, 0.25+0.j  ]], dtype=complex64)

    References:
        J. Provost, G. Vallee, "Riemannian structure on manifolds of quantum states", Commun. Math. Phys. 76, 289
        (1980); J. Stokes, J. Izaac, N. Killoran, G. Carleo, "Quantum Natural Gradient", Quantum 4, 269 (2020).
    """
    program = readout.of_state(circuit).reduced().program
    check_flag(phase_fix, "phase_fix")
    return GeometricTensor(program, bool(phase_fix), memory=MEMORY, compile=check_compile(compile))
