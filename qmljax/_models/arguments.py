"""The arguments of calls, checked in Python before anything is traced."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qmljax._checks import check_array, check_flag, shown
from qmljax._circuit.at_numbers import Formulas
from qmljax._circuit.program import Program

MAX_OUTCOMES = 1 << 30  # 4 GiB of int32


def real_array(value: Any, name: str, last: int, names: Sequence[str]) -> Any:
    """`value` as a real floating point array whose last axis has length `last`, one element for each of `names`."""
    array = value
    if not isinstance(value, jax.Array | np.ndarray):  # such as a list, perhaps of values that are being traced
        array = _array(value, name, last)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        if not (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool) or array.dtype.kind == "m":
            raise TypeError(
                f"`{name}` must hold real numbers, but has dtype {array.dtype}. Angles are real, in radians."
            )
        array = array.astype(jnp.result_type(float))
    elif not isinstance(array, jax.Array) and (not array.dtype.isnative or isinstance(array, np.ma.MaskedArray)):
        array = _plain(array, name)
    if array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if array.ndim == 0 or array.shape[-1] != last:
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        one = f", one for each of {listed}" if last else ": there are none to set, so pass an array of shape (0,)"
        flat = " Pass them as one flat array, by `.ravel()`." if array.ndim > 1 and array.size == last else ""
        raise ValueError(
            f"`{name}` must have {last} elements in its last axis{one}, but has shape {array.shape}.{flat}"
        )
    return array


def _array(value: Any, name: str, last: int) -> Any:
    if value is None or isinstance(value, str | Mapping | set | frozenset):
        raise TypeError(
            f"`{name}` must be an array of real numbers, {last} in its last axis, but is {_short(value)}. "
            "Pass the numbers in order."
        )
    try:
        return (jnp if any(isinstance(x, jax.Array) for x in jax.tree.leaves(value)) else np).asarray(value)
    except ValueError:
        raise ValueError(
            f"`{name}` must be an array of real numbers, {last} in its last axis, but its rows have different lengths: "
            f"{_short(value)}. Give each point all its numbers."
        ) from None


def _plain(array: np.ndarray, name: str) -> np.ndarray:
    """In the order of bytes of this machine, which JAX takes for granted, and without a mask, which it does not see."""
    if np.ma.is_masked(array):
        raise ValueError(f"`{name}` must hold numbers alone, but has masked entries. Fill or leave them out.")
    return np.asarray(array, array.dtype.newbyteorder("="))


def _short(value: Any) -> str:
    text = repr(value)
    return (
        f"the {type(value).__name__} " + (text if len(text) < 60 else text[:57] + "...") if value is not None else text
    )


def check_outcomes(params: Any, shots: int) -> None:
    """Refuses more outcomes of shots, for rows of parameters (..., P), than fit."""
    if (rows := math.prod(params.shape[:-1])) * shots > MAX_OUTCOMES:
        raise ValueError(
            f"{rows} rows of `params` times {shots} `shots` are too many outcomes to fit: at most 2**30 at a time. "
            "Draw them in parts, each with a key of its own."
        )


def check_amplitudes(program: Program, **given: tuple[Sequence[int], Any]) -> None:
    """Refuses amplitudes that are all zero, where they can be seen.

    `given` has the arguments of a call by name, each with the positions of its columns in the circuit's parameters.
    """
    if not program.loads:
        return
    points = {name: _point(values) for name, (_, values) in given.items()}
    if not all(map(_seen, points.values())):
        return
    arrays = {name: np.asarray(point) for name, point in points.items()}
    batch = np.broadcast_shapes(*(array.shape[:-1] for array in arrays.values()))
    dtype = jax.dtypes.canonicalize_dtype(np.result_type(*(array.dtype for array in arrays.values())))
    params = np.zeros((len(program.parameters), *batch), dtype)
    for (positions, _), array in zip(given.values(), arrays.values(), strict=True):
        params[list(positions)] = np.moveaxis(np.broadcast_to(array, (*batch, array.shape[-1])), -1, 0)
    values = np.concatenate([_values(program, params), np.ones((1, *batch), dtype)])
    for op in program.loads:
        index, scale = op.array.T
        size = np.abs(values[index.astype(int)] * scale.reshape(-1, *(1,) * len(batch)).astype(dtype)).max(axis=0)
        null = np.argwhere(size < np.finfo(dtype).tiny)
        if len(null):
            where = f" at {tuple(null[0].tolist())}" if null.size else ""
            raise ValueError(
                f"{' and '.join(f'`{name}`' for name in given)}{where}: all amplitudes are zero, so there is no such "
                "state. Leave out the point, or add a constant feature."
            )


def _point(values: Any) -> Any:
    """Where a derivative is taken, the values at which; else the values."""
    while isinstance(values, jax.core.Tracer) and (primal := getattr(values, "primal", None)) is not None:
        values = primal
    return values


def _seen(values: Any) -> bool:
    """Whether the numbers are there: JAX does not trace them, nor do other processes have some of them."""
    return not isinstance(values, jax.core.Tracer) and getattr(values, "is_fully_addressable", True)


def _values(program: Program, params: np.ndarray) -> np.ndarray:
    """The expressions of a program at numbers (P, *batch)."""
    rows = params.reshape(len(params), math.prod(params.shape[1:])).T
    with np.errstate(all="ignore"):
        values = _formulas(program).values(rows).T.astype(params.dtype)
    return values.reshape(len(values), *params.shape[1:])


@functools.lru_cache(maxsize=32)
def _formulas(program: Program) -> Formulas:
    return Formulas(program.expressions, program.num_parameters)


def check_memory(memory: int) -> int:
    """A number of bytes. Refuses what is none."""
    if not isinstance(memory, int | np.integer) or isinstance(memory, bool) or memory < 0:
        raise ValueError(f"`memory` must be a number of bytes, such as 2**30, but is {memory!r}.")
    return int(memory)


def check_compile(compile: bool | None) -> bool | None:
    """True, False or None. Refuses all else."""
    return check_flag(compile, "compile", optional=True)


def readout_of(readout: Any, qubits: Sequence[int]) -> Any:
    """The matrices P[true][read] of some qubits, (k, 2, 2), of one for all of them (2, 2) or one for each (n, 2, 2)."""
    if readout is None or not len(qubits):
        return None
    if readout.ndim == 2:
        return (jnp if isinstance(readout, jax.Array) else np).stack([readout] * len(qubits))
    if max(qubits) >= len(readout):
        raise ValueError(
            f"`readout` must have a matrix for each qubit of the circuit, but has {len(readout)}, and qubit "
            f"{max(qubits)} is read."
        )
    return readout[np.array(qubits, int)]


def check_misread(readout: Any, program: Program) -> None:
    """Refuses errors of readout where measurements on the way would have them, too."""
    if readout is not None and program.ancillas:
        raise NotImplementedError(
            f"Errors of `readout` are known for measurements at the end of a circuit alone, but this one has "
            f"{program.ancillas[0]}. Leave out `readout`, or write the errors into the circuit."
        )


def stochastic(value: Any, name: str) -> Any:
    """Errors of readout: a matrix P[true][read] of probabilities, or one for each qubit; they may be traced."""
    matrix = check_array(value, name, "a matrix P[true][read], or one for each qubit")
    if not isinstance(matrix, jax.Array):
        matrix = matrix.astype(np.float64)
    if matrix.shape[-2:] != (2, 2) or matrix.ndim > 3 or (matrix.ndim == 3 and name != "readout"):
        raise ValueError(f"`{name}` must be a 2x2 matrix P[true][read], or one for each qubit, but is {shown(value)}.")
    if not isinstance(matrix, jax.core.Tracer):
        numbers = np.asarray(matrix)
        if not ((numbers >= -1e-6).all() and np.abs(numbers.sum(axis=-1) - 1).max() < 1e-6):
            raise ValueError(
                f"`{name}` must be stochastic: each row P[true] has probabilities that sum to 1, but it is "
                f"{numbers.tolist()}."
            )
    return matrix
