"""Kernels whose entries a backend measures, pair by pair."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._models.backend import of_parts
from qmljax._models.kernels.devices import measured
from qmljax._models.kernels.kernel import BaseKernel, common_dtype


@dataclass(frozen=True, repr=False)
class BackendKernel(BaseKernel):
    """A kernel whose entries a backend measures: call it as ``kernel(x)`` or ``kernel(x, y)``.

    Points (N, d) and (M, d) give a Gram matrix (N, M), and weights are `weights=`. Inside, `function` gives the
    entries, one for each pair of rows of two (pairs, P) arrays of parameters.
    """

    function: Callable[[Array, Array], Array]
    duplicates: str
    local: bool = False  # whether the entries are local fidelities

    def __post_init__(self) -> None:
        """Nothing is compiled for it, nor kept: what the backend depends on may be traced."""

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None) -> Array:
        """The Gram matrix of points. An error of the backend is raised as it is.

        Args:
            x: Points, (N, d).
            y: Points, (M, d). Without them the matrix is that of `x` with itself, and symmetric.
            weights: Of the kernel, (W,).

        Returns:
            Of shape (N, M).
        """
        return self._gram(measured(self._trace), *self._arguments(x, y, weights))

    def _size(self) -> dict[str, int]:
        return {"qubits": self.program.num_qubits}

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = common_dtype(x, y, weights)
        points = x if y is None else y
        if y is not None:
            rows, columns = np.indices((len(x), len(y))).reshape(2, -1)
            gram = self._pairs(x[rows], y[columns], weights, dtype).reshape(len(x), len(y))
        else:  # the symmetric half alone
            rows, columns = np.triu_indices(len(x), 0 if self.duplicates == "all" else 1)
            half = jnp.zeros((len(x), len(x)), dtype)
            half = half.at[rows, columns].set(self._pairs(x[rows], x[columns], weights, dtype))
            gram = half + jnp.triu(half, 1).T
            if self.duplicates != "all":
                gram = gram + jnp.eye(len(x), dtype=dtype)
        if self.duplicates == "none":
            same = (x.astype(dtype)[:, None] == points.astype(dtype)[None]).all(axis=-1)
            gram = jnp.where(same, jnp.ones((), dtype), gram)
        return gram

    def _run_pairs(self, x: Any, y: Any, weights: Any) -> Array:
        return measured(self._trace_pairs)(x, y, weights)

    def _trace_pairs(self, x: Array, y: Array, weights: Array) -> Array:
        dtype = common_dtype(x, y, weights)
        values = self._pairs(x, y, weights, dtype)
        if self.duplicates == "none":
            values = jnp.where((x.astype(dtype) == y.astype(dtype)).all(axis=-1), jnp.ones((), dtype), values)
        return values

    def _pairs(self, x: Array, y: Array, weights: Array, dtype: Any) -> Array:
        left, right = (self._given(points, weights, dtype) for points in (x, y))
        if hasattr(self.function, "parts"):
            return self.function.parts(left, right)
        return self.function(*(of_parts(lambda params: params, *given) for given in (left, right)))
