"""Parameters of a circuit by their names: a mapping becomes the array (..., P) in the order of the circuit."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qmljax._circuit.program import Program
from qmljax._models.arguments import real_array
from qmljax._models.positions import positions


def parameters(value: Any, name: str, program: Program) -> Any:
    """`value` as a real array (..., P): an array, or a mapping of parameters or their names to values.

    A value of a parameter has the shape (...) of the batch, that of a vector (..., its length); batches broadcast.
    """
    names = program.parameters
    if isinstance(value, Mapping):
        value = _in_order(value, name, names)
    return real_array(value, name, len(names), names)


def _in_order(given: Mapping[Any, Any], what: str, names: tuple[str, ...]) -> Any:
    place = {name: k for k, name in enumerate(names)}
    columns: dict[int, Any] = {}
    for key, value in given.items():
        at = positions([key], what, place)
        shown = key if isinstance(key, str) else getattr(key, "name", key)
        single = len(at) == 1 and names[at[0]] == shown
        if single:
            value = _last_axis(value)
        array = real_array(value, f"{what}[{str(shown)!r}]", len(at), [names[k] for k in at])
        if twice := [names[k] for k in at if k in columns]:
            raise ValueError(f"`{what}` names {twice[0]!r} more than once. Each parameter has one value.")
        typed = isinstance(value, jax.Array | np.ndarray)
        columns |= {k: (array[..., j], typed) for j, k in enumerate(at)}
    if missing := [name for name in names if place[name] not in columns]:
        listed = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise ValueError(f"`{what}` must have a value for every parameter of the circuit, but has none for {listed}.")
    if not columns:
        return np.zeros((0,), jnp.result_type(float))
    try:
        return _stacked([columns[k] for k in range(len(names))])
    except ValueError:
        shapes = {name: columns[k][0].shape for name, k in place.items()}
        raise ValueError(f"The values in `{what}` must have shapes that broadcast, but have {shapes}.") from None


def _last_axis(value: Any) -> Any:
    """Numbers (...) as (..., 1): arrays stay arrays, and lists lists."""
    if isinstance(value, jax.Array | np.ndarray):
        return value[..., None]
    return [_last_axis(element) for element in value] if isinstance(value, list | tuple) else [value]


def _stacked(columns: list[tuple[Any, bool]]) -> Any:
    """Columns (...), which broadcast, as one array (..., P). Python's numbers take the precision of what has one."""
    dtypes = [array.dtype for array, typed in columns if typed] or [columns[0][0].dtype]
    numpy = jnp if any(isinstance(array, jax.Array) for array, _ in columns) else np
    dtype = jax.dtypes.canonicalize_dtype(max(dtypes, key=lambda d: d.itemsize))
    batch = np.broadcast_shapes(*(array.shape for array, _ in columns))
    return numpy.stack([numpy.broadcast_to(array.astype(dtype), batch) for array, _ in columns], axis=-1)
