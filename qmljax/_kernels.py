"""Quantum kernels: N states and one matrix product, instead of N**2 circuits."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax import _functions, _simulate, _state
from qmljax._functions import Compiled, real_array
from qmljax._parse import parse
from qmljax._program import Program
from qmljax._qnn import positions


@dataclass(frozen=True)
class FidelityKernel(Compiled):
    """`kernel(x, y=None, *, weights=None)`; `features` and `weights` are positions in the program's parameters."""

    program: Program
    features: tuple[int, ...]
    weights: tuple[int, ...]
    memory: int = field(kw_only=True)

    @property
    def num_features(self) -> int:
        return len(self.features)

    @property
    def num_weights(self) -> int:
        return len(self.weights)

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None) -> Array:
        """`x` (N, d), `y` (M, d) -> (N, M); without `y`, (N, N)."""
        x = self._points(x, "x")
        y = None if y is None else self._points(y, "y")
        names = [self.program.parameters[k] for k in self.weights]
        if weights is None:
            if names:
                raise ValueError(
                    f"The feature map has weights, {', '.join(names[:8])}: pass `weights=` of shape ({len(names)},)."
                )
            weights = np.zeros((0,), x.dtype)
        weights = real_array(weights, "weights", len(self.weights), names)
        if weights.ndim > 1:
            raise ValueError(f"`weights` must have shape ({len(names)},), but has shape {weights.shape}.")
        return self._run(x, y, weights)

    def _points(self, value: Any, name: str) -> Any:
        array = real_array(value, name, len(self.features), [self.program.parameters[k] for k in self.features])
        if array.ndim != 2:
            raise ValueError(
                f"`{name}` must have shape (N, {len(self.features)}), one row for each point, but has shape "
                f"{array.shape}."
            )
        return array

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = jnp.result_type(x, weights, x if y is None else y)
        state = 2 * dtype.itemsize << self.program.num_qubits
        # Running a batch of states takes some copies of them, and squaring a tile of products some of it.
        tile = max(1, min(self.memory // (8 * state), math.isqrt(self.memory // (8 * dtype.itemsize))))
        if max(len(x), 0 if y is None else len(y)) <= tile:
            return self._block(x, y, weights, dtype)
        return self._tiles(x, y, weights, dtype, tile)

    def _block(self, x: Array, y: Array | None, weights: Array, dtype: Any) -> Array:
        left = self._states(x, weights, dtype)
        if y is not None:
            return _fidelities(left, self._states(y, weights, dtype))
        gram = _fidelities(left, left)
        gram = (gram + gram.T) / 2  # exactly symmetric, whatever order the products were summed in
        exact = jnp.eye(len(x), dtype=bool) & ~jnp.isnan(gram)  # a point that is NaN stays visible
        return jnp.where(exact, jnp.ones((), dtype), gram)

    def _tiles(self, x: Array, y: Array | None, weights: Array, dtype: Any, tile: int) -> Array:
        """The matrix tile by tile, of a symmetric one the upper half alone; states are computed for each tile again."""

        def cut(points: Array) -> Array:
            padded = jnp.pad(points, ((0, -len(points) % tile), (0, 0)), mode="edge")
            return padded.reshape(-1, tile, points.shape[1])

        rows, columns = cut(x), cut(x if y is None else y)
        off = jax.checkpoint(lambda i, j: self._block(rows[i], columns[j], weights, dtype))
        gram = jnp.zeros((len(rows) * tile, len(columns) * tile), dtype)

        def add(gram: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
            i, j = pair
            block = off(i, j)
            gram = lax.dynamic_update_slice(gram, block, (i * tile, j * tile))
            return gram if y is not None else lax.dynamic_update_slice(gram, block.T, (j * tile, i * tile)), None

        def add_diagonal(gram: Array, i: Array) -> tuple[Array, None]:
            block = jax.checkpoint(lambda i: self._block(rows[i], None, weights, dtype))(i)
            return lax.dynamic_update_slice(gram, block, (i * tile, i * tile)), None

        if y is None:
            gram, _ = lax.scan(add_diagonal, gram, np.arange(len(rows)))
            pairs = np.triu_indices(len(rows), 1)
        else:
            pairs = np.indices((len(rows), len(columns))).reshape(2, -1)
        gram, _ = lax.scan(add, gram, tuple(pairs))
        return gram[: len(x), : len(x if y is None else y)]

    def _states(self, x: Array, weights: Array, dtype: Any) -> Array:
        plan = _simulate.plan(self.program, self.features, self.weights, self.memory)
        states = _simulate.run(plan, weights.astype(dtype)[:, None], x.astype(dtype).T)  # (C, 2**n, N)
        # Norms a few roundings above 1 would cost a Gram matrix of unit diagonal its positive eigenvalues.
        return states * lax.stop_gradient(lax.rsqrt(jnp.sum(states * states, axis=(0, 1), keepdims=True)))


def _fidelities(left: Array, right: Array) -> Array:
    """``|<left_i|right_j>|**2`` of states (C, 2**n, N) and (C, 2**n, M), at most 1."""
    real = jnp.einsum("czi,czj->ij", left, right, precision=_state.PRECISION)
    fidelities = real * real
    if len(left) == 2:
        imag = jnp.matmul(left[0].T, right[1], precision=_state.PRECISION)
        if left is right:
            imag = imag - imag.T
        else:
            imag = imag - jnp.matmul(left[1].T, right[0], precision=_state.PRECISION)
        fidelities = fidelities + imag * imag
    # Rounding may exceed 1. `minimum` would drop the derivatives there, of which the second is not 0 at equal points.
    return fidelities - lax.stop_gradient(jnp.maximum(fidelities - 1, 0))


@dataclass(frozen=True)
class _OnBackend(FidelityKernel):
    """A kernel whose entries `function` gives, one for each pair of rows of two (pairs, P) arrays of parameters."""

    function: Callable[[Array, Array], Array]

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = jnp.result_type(x, weights, x if y is None else y)
        left = self._params(x, weights, dtype)
        if y is not None:
            rows, columns = np.indices((len(x), len(y))).reshape(2, -1)
            return self.function(left[rows], self._params(y, weights, dtype)[columns]).reshape(len(x), len(y))
        rows, columns = np.triu_indices(len(x), 1)  # the symmetric half alone
        half = jnp.zeros((len(x), len(x)), left.dtype).at[rows, columns].set(self.function(left[rows], left[columns]))
        return half + half.T + jnp.eye(len(x), dtype=left.dtype)

    def _params(self, x: Array, weights: Array, dtype: Any) -> Array:
        both = [x.astype(dtype), jnp.broadcast_to(weights.astype(dtype), (len(x), len(weights)))]
        return jnp.concatenate(both, axis=1)[:, np.argsort(self.features + self.weights)]


def fidelity_kernel(
    feature_map: Any, *, weights: Sequence[Any] = (), backend: Any = None, memory: int = _simulate.MEMORY
) -> FidelityKernel:
    """The fidelity kernel of a feature map: ``k(x, y) = |<psi(x)|psi(y)>|**2``.

    Args:
        feature_map: A `QuantumCircuit`, or anything else that `parse` takes.
        weights: Parameters that are no features but trained: `Parameter` objects or names, in the order of the weight
            vector. All others are features, in the order of the circuit.
        backend: What measures the fidelities: an object with `fidelity(circuit)`, which returns a function of two
            arrays of parameters (pairs, P) to fidelities (pairs,). Default: the simulator.
        memory: About how many bytes it may take beside the matrix; 512 MiB by default. If all states took more, the
            matrix is computed by tiles, and a gradient computes states again.

    Returns:
        ``kernel(x, y=None, *, weights=None)``: points of shape (N, d) and (M, d) to a Gram matrix of shape (N, M),
        entries in [0, 1]. Without `y` it is (N, N), exactly symmetric, with an exact 1 on its diagonal. Differentiable
        in all arguments.

    Raises:
        ValueError: A weight is unknown or named twice, the points have another number of features, or weights are
            missing.

    Example:
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = fidelity_kernel(zz_feature_map(2))
        >>> kernel(np.zeros((3, 2)), np.ones((4, 2))).shape
        (3, 4)

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """
    memory = _functions.check_memory(memory)
    program, _ = _functions.touched(parse(feature_map))
    place = {name: k for k, name in enumerate(program.parameters)}
    trained = positions(weights, "weights", place)
    features = tuple(k for k in place.values() if k not in trained)
    if backend is not None:
        return _OnBackend(program, features, trained, backend.fidelity(feature_map), memory=memory)
    return FidelityKernel(program, features, trained, memory=memory)
