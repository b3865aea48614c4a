"""The answers to circuits without parameters, which nobody asks twice: by programs that all circuits of a size share.

A circuit is data here (`any_circuit`), and so are Pauli strings. Where a circuit is too large for that, or something in
it has no such form, there is no answer (None), and a program of its own is compiled.
"""

import functools
from typing import Any

import jax
import numpy as np
from jax import Array

from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program
from qmljax._engine import any_circuit, pauli_sums
from qmljax._engine.any_circuit import AnyCircuit, encode, rounded
from qmljax._engine.outcomes import added_up
from qmljax._engine.pauli_sums import PauliSums
from qmljax._engine.state import square, to_complex

STRINGS = tuple(4**k for k in range(2, 8))  # entries of a sum
WIDTHS = (1, 4, 16)  # strings in an entry
OBSERVABLES = tuple(4**k for k in range(7))


def statevector(program: Program, params: Any) -> np.ndarray | None:
    """Parameters of shape (..., 0) to amplitudes (..., 2**n)."""
    return _of_qubits(program, _answered(program, params, _amplitudes))


def probabilities(program: Program, qubits: tuple[int, ...], params: Any) -> np.ndarray | None:
    """Parameters of shape (..., 0) to the probabilities (..., 2**k) of the outcomes of some qubits."""
    p = _of_qubits(program, _answered(program, params, _probabilities))
    return p if p is None or qubits == tuple(range(program.num_qubits)) else added_up(p, qubits)


def _of_qubits(program: Program, out: np.ndarray | None) -> np.ndarray | None:
    """Without what is of qubits that the circuit does not have, which stay in 0."""
    return None if out is None else out[..., : 1 << program.num_qubits]


def expectation(program: Program, observables: tuple[Observable, ...], params: Any) -> np.ndarray | None:
    """Parameters of shape (..., 0) to the values (..., observables)."""
    sums, count = _padded(observables), rounded(len(observables), OBSERVABLES)
    if sums is None or count is None:
        return None
    values = _answered(program, params, functools.partial(_expectations, sums=sums, count=count))
    return None if values is None else values[..., : len(observables)]


def _answered(program: Program, params: Any, answer: Any) -> np.ndarray | None:
    """None also inside of `jax.jit`, and for parameters elsewhere than on the default device."""
    if isinstance(params, jax.core.Tracer):
        return None
    if isinstance(params, jax.Array) and params.devices() != {jax.devices()[0]}:
        return None
    circuit = encode(program)
    if circuit is None:
        return None
    dtype = jax.dtypes.canonicalize_dtype(params.dtype)
    out = answer(AnyCircuit(*(a.astype(dtype) if a.dtype.kind == "f" else a for a in map(np.asarray, circuit))))
    if isinstance(out, jax.core.Tracer):
        return None
    return np.broadcast_to(np.asarray(out), (*params.shape[:-1], *out.shape))


@jax.jit
def _amplitudes(circuit: AnyCircuit) -> Array:
    return to_complex(any_circuit.state(circuit))


@jax.jit
def _probabilities(circuit: AnyCircuit) -> Array:
    return square(any_circuit.state(circuit))


@functools.partial(jax.jit, static_argnames="count")
def _expectations(circuit: AnyCircuit, sums: PauliSums, count: int) -> Array:
    return pauli_sums.values(sums, any_circuit.state(circuit), count)


@functools.lru_cache(maxsize=64)
def _padded(observables: tuple[Observable, ...]) -> PauliSums | None:
    """Their strings, filled up to the size of others."""
    sums = pauli_sums.pauli_sums(observables)
    if sums is None:
        return None
    x, z, coefficients, imaginary, owner = map(np.asarray, sums)
    rows, width = rounded(len(x), STRINGS), rounded(z.shape[1], WIDTHS)
    if rows is None or width is None:
        return None
    more, wider = (0, rows - len(x)), (0, width - z.shape[1])
    return PauliSums(
        np.pad(x, more),
        np.pad(z, [more, wider]),
        np.pad(coefficients, [more, wider]),
        np.pad(imaginary, more),
        np.pad(owner, more),
    )
