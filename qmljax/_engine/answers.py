"""What is read off a circuit that is data (`any_circuit`), and its derivatives: one compiled program each for a size.

Derivatives are functions of their own here, with the numbers at which they are taken among their arguments, so that
what is compiled does not depend on what asks for them.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
from jax import Array

from qmljax._engine import any_circuit, pauli_sums
from qmljax._engine.any_circuit import Tables
from qmljax._engine.state import square, to_complex

Kind = Literal["amplitudes", "probabilities"] | int  # or a number of expectation values


def traced(kind: Kind, tables: Tables, data: Any, angles: Array) -> Array:
    """Angles (B, A) to amplitudes or probabilities (B, 2**n), or the values (B, kind) of the Pauli sums `data`."""
    return jax.vmap(lambda a: _read(kind, data)(any_circuit.state(tables, a)))(angles)


value = functools.partial(jax.jit, static_argnums=0)(traced)


@functools.partial(jax.jit, static_argnums=0)
def push(kind: Kind, tables: Tables, data: Any, angles: Array, tangents: Array) -> Array:
    """The derivative of `value` in the direction of some tangents."""
    return jax.jvp(lambda a: traced(kind, tables, data, a), (angles,), (tangents,))[1]


@functools.partial(jax.jit, static_argnums=0)
def pull(kind: Kind, tables: Tables, data: Any, angles: Array, cotangents: Array) -> Array:
    """Its transpose, by the adjoint method."""

    def row(angles: Array, cotangent: Array) -> Array:
        out = any_circuit.state(tables, angles)
        _, back = jax.vjp(_read(kind, data), out)
        return any_circuit.pull(tables, angles, out, *back(cotangent))

    return jax.vmap(row)(angles, cotangents)


def _read(kind: Kind, data: Any) -> Callable[[Array], Array]:
    def read(state: Array) -> Array:
        state = any_circuit.normalised(state)
        if isinstance(kind, int):
            return pauli_sums.values(data, state, kind)
        return to_complex(state) if kind == "amplitudes" else square(state)

    return read
