"""What is read off a circuit that is data (`any_circuit`), and its derivatives: one compiled program each for a size.

Derivatives are functions of their own here, with the numbers at which they are taken among their arguments, so that
what is compiled does not depend on what asks for them.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from qmljax._engine import data_levels, pauli_sums
from qmljax._engine.data_levels import Tables
from qmljax._engine.state import square, to_complex

Kind = Literal["amplitudes", "probabilities", "columns"] | int  # or a number of expectation values


def traced(kind: Kind, tables: Tables, data: Any, angles: Array) -> Array:
    """What is read of rows of angles (B, A).

    Amplitudes or probabilities (B, 2**n); the columns of the unitary matrix, (B, 4**n), one after the other; or values
    (B, kind) of the Pauli sums `data`.
    """

    def row(angles: Array) -> Array:
        state = _state(kind, tables, angles)
        return jax.vmap(_read(kind, data))(state).reshape(-1) if kind == "columns" else _read(kind, data)(state)

    return jax.vmap(row)(angles)


value = functools.partial(jax.jit, static_argnums=0)(traced)


@functools.partial(jax.jit, static_argnums=0)
def push(kind: Kind, tables: Tables, data: Any, angles: Array, tangents: Array) -> Array:
    """The derivative of `value` in the direction of some tangents."""
    return jax.jvp(lambda a: traced(kind, tables, data, a), (angles,), (tangents,))[1]


@functools.partial(jax.jit, static_argnums=0)
def pull(kind: Kind, tables: Tables, data: Any, angles: Array, cotangents: Array) -> Array:
    """The transpose of `push`, by the adjoint method."""

    def row(angles: Array, cotangent: Array) -> Array:
        out = _state(kind, tables, angles)
        read = _read(kind, data)
        if kind == "columns":
            read, cotangent = jax.vmap(read), cotangent.reshape(-1, tables.source.shape[1])
        _, back = jax.vjp(read, out)
        return data_levels.pull(tables, angles, out, *back(cotangent))

    return jax.vmap(row)(angles, cotangents)


def _state(kind: Kind, tables: Tables, angles: Array) -> Array:
    """The state (2, 2**n), or what becomes of all basis states, (2**n, 2, 2**n)."""
    if kind != "columns":
        return data_levels.state(tables, angles)
    real = jnp.eye(tables.source.shape[1], dtype=angles.dtype)
    basis = jnp.stack([real, jnp.zeros_like(real)], axis=1)
    return jax.vmap(lambda start: data_levels.state(tables, angles, start))(basis)


def _read(kind: Kind, data: Any) -> Callable[[Array], Array]:
    def read(state: Array) -> Array:
        state = data_levels.normalised(state)
        if isinstance(kind, int):
            return pauli_sums.values(data, state, kind)
        return square(state) if kind == "probabilities" else to_complex(state)

    return read
