"""Quantum kernels: N states and one matrix product, instead of N**2 circuits.

A kernel is a function of the points' representations: their states, of which it takes overlaps, or expectation values
in them, of which it takes distances. Where there are too many states for the memory allowed, they are computed by
tiles.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit import observables as _observables
from qmljax._circuit.observables import Observable
from qmljax._circuit.parse import parse
from qmljax._circuit.program import Program
from qmljax._engine import segments as _simulate
from qmljax._engine import state as _state
from qmljax._engine.values import expectations
from qmljax._models import functions as _functions
from qmljax._models.functions import Compiled, Statevector, real_array
from qmljax._models.networks import EstimatorQNN, Part, Source, _OnBackend, of_parts, positions


@dataclass(frozen=True)
class _Kernel(Compiled):
    """`kernel(x, y=None, *, weights=None)`; `features` and `weights` are positions in the program's parameters."""

    program: Program
    features: tuple[int, ...]
    weights: tuple[int, ...]
    memory: int = field(kw_only=True)
    progress: bool = field(kw_only=True, default=False)

    @property
    def num_features(self) -> int:
        return len(self.features)

    @property
    def num_weights(self) -> int:
        return len(self.weights)

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None) -> Array:
        """`x` (N, d), `y` (M, d) -> (N, M); without `y`, (N, N)."""
        return self._run(*self._arguments(x, y, weights))

    def _arguments(self, x: Any, y: Any, weights: Any) -> tuple[Any, Any, Any]:
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
        for name, points in (("x", x), ("y", y)):
            if points is not None:
                given = {name: (self.features, points), "weights": (self.weights, weights)}
                _functions.check_amplitudes(self.program, **given)
        return x, y, weights

    def _points(self, value: Any, name: str) -> Any:
        array = real_array(value, name, len(self.features), [self.program.parameters[k] for k in self.features])
        if array.ndim != 2:
            raise ValueError(
                f"`{name}` must have shape (N, {len(self.features)}), one row for each point, but has shape "
                f"{array.shape}."
            )
        return array

    def _state_of(self, x: Array, weights: Array, dtype: Any) -> Array:
        """The states of points, (C, 2**n, N)."""
        plan = _simulate.plan(self.program, self.features, self.weights, self.memory)
        return _simulate.run(plan, weights.astype(dtype)[:, None], x.astype(dtype).T)

    def _given(self, x: Array, weights: Array, dtype: Any) -> tuple[Part, Part]:
        """What a backend's function is given for points."""
        return (self.features, x.astype(dtype)), (self.weights, weights.astype(dtype))


class _Bar:
    """The progress bar of a compiled loop."""

    def __init__(self, rounds: int):
        self.rounds = rounds
        self.bar = None

    def over(self, function: Callable) -> Callable:
        """The function that is the loop's body, each call of which is a round."""

        def counted(*args: Any) -> Any:
            jax.debug.callback(self._advance)
            return function(*args)

        return counted

    def _advance(self) -> None:
        self.bar = self.bar or _functions.load_tqdm()(total=self.rounds, unit="part")
        self.bar.update()
        if self.bar.n == self.rounds:
            self.bar.close()
            self.bar = None


def _dtype(x: Array, y: Array | None, weights: Array) -> Any:
    return jnp.result_type(x, weights, x if y is None else y)


@dataclass(frozen=True)
class FidelityKernel(_Kernel):
    """``|<psi(x)|psi(y)>|**2``, by tiles if the states would take more than `memory` bytes."""

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = _dtype(x, y, weights)
        if 0 in (len(x), len(x if y is None else y)):
            return jnp.zeros((len(x), len(x if y is None else y)), dtype)
        state = 2 * dtype.itemsize << self.program.num_qubits
        # Running a batch of states takes some copies of them, and squaring a tile of products some of it.
        tile = max(1, min(self.memory // (8 * state), math.isqrt(self.memory // (8 * dtype.itemsize))))
        if max(len(x), 0 if y is None else len(y)) <= tile:
            return self._block(x, y, weights, dtype)
        return self._tiles(x, y, weights, dtype, tile)

    def _block(self, x: Array, y: Array | None, weights: Array, dtype: Any) -> Array:
        left = self._states(x, weights, dtype)
        same = _same(x.astype(dtype), None if y is None else y.astype(dtype))
        if y is not None:
            gram = _fidelities(left, self._states(y, weights, dtype))
        else:
            gram = _fidelities(left, left)
            gram = (gram + gram.T) / 2  # exactly symmetric, whatever order the products were summed in
            same = same | jnp.eye(len(x), dtype=bool)
        missing = jnp.where(same & (gram > 1 - 1e-4), 1 - gram, 0)  # a point that is NaN stays visible
        return gram + lax.stop_gradient(missing)

    def _tiles(self, x: Array, y: Array | None, weights: Array, dtype: Any, tile: int) -> Array:
        """The matrix tile by tile, of a symmetric one the upper half alone; states are computed for each tile again.

        The last tile of a row may overlap the one before it, so that nothing is cut off in the end. Tiles on the
        diagonal come last: they alone have its exact ones, and are symmetric where tiles overlap.
        """
        columns = x if y is None else y
        height, width = min(tile, len(x)), min(tile, len(columns))
        rows_at, columns_at = (
            np.minimum(np.arange(0, len(points), size), len(points) - size)
            for points, size in ((x, height), (columns, width))
        )

        def block(i: Array, j: Array | None) -> Array:
            left = lax.dynamic_slice_in_dim(x, i, height)
            right = None if j is None else lax.dynamic_slice_in_dim(columns, j, width)
            return self._block(left, right, weights, dtype)

        def add(gram: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
            i, j = at
            new = jax.checkpoint(block)(i, j)
            gram = lax.dynamic_update_slice(gram, new, (i, j))
            return gram if y is not None else lax.dynamic_update_slice(gram, new.T, (j, i)), None

        def add_diagonal(gram: Array, i: Array) -> tuple[Array, None]:
            return lax.dynamic_update_slice(gram, jax.checkpoint(lambda i: block(i, None))(i), (i, i)), None

        gram = jnp.zeros((len(x), len(columns)), dtype)
        half = np.triu_indices(len(rows_at), 1)
        pairs = half if y is None else np.indices((len(rows_at), len(columns_at))).reshape(2, -1)
        if self.progress:
            bar = _Bar(len(pairs[0]) + (len(rows_at) if y is None else 0))
            add, add_diagonal = bar.over(add), bar.over(add_diagonal)
        gram, _ = lax.scan(add, gram, (rows_at[pairs[0]], columns_at[pairs[1]]))
        if y is None:
            gram, _ = lax.scan(add_diagonal, gram, rows_at)
        return gram

    def _states(self, x: Array, weights: Array, dtype: Any) -> Array:
        states = self._state_of(x, weights, dtype)
        # Norms a few roundings above 1 would cost a Gram matrix of unit diagonal its positive eigenvalues.
        return states * lax.stop_gradient(lax.rsqrt(jnp.sum(states * states, axis=(0, 1), keepdims=True)))


def _same(x: Array, y: Array | None) -> Array:
    """Which points (N, d) and (M, d) are equal, (N, M): by sums of their bits, which few others share."""

    def code(points: Array) -> Array:
        bits = lax.bitcast_convert_type(points, np.uint32).reshape(len(points), -1)
        odd = np.random.default_rng(0).integers(1 << 31, size=bits.shape[1], dtype=np.uint32) * np.uint32(2) + 1
        return jnp.sum((bits ^ bits >> 15) * odd[None].astype(np.uint32), axis=1, dtype=np.uint32)

    left = code(x)
    return left[:, None] == (left if y is None else code(y))[None]


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
class LocalFidelityKernel(_Kernel):
    """The mean over qubits of the probability to measure 0 when y's circuit is undone on x's state."""

    num_qubits: int  # idle ones included

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = _dtype(x, y, weights)
        plan = _simulate.plan(self.program, self.features, self.weights, self.memory)
        z = np.arange(1 << self.program.num_qubits)
        zeros = (1 - np.bitwise_count(z) / self.num_qubits).astype(dtype)
        states = self._state_of(x, weights, dtype)

        def column(point: Array) -> Array:
            undone = _simulate.uncompute(plan, weights.astype(dtype)[:, None], point.astype(dtype)[:, None], states)
            return jnp.tensordot(zeros, _state.square(undone), 1, precision=_state.PRECISION)

        points = x if y is None else y
        columns = jax.checkpoint(column)
        gram = lax.map(_Bar(len(points)).over(columns) if self.progress else columns, points).T  # (N, M)
        return gram if y is not None else _mirrored(gram)


def _mirrored(gram: Array) -> Array:
    """The symmetric matrix with the entries above the diagonal, and 1 on it, or NaN."""
    upper = jnp.triu(gram, 1)
    return (
        upper + upper.T + jnp.where(jnp.isnan(jnp.diag(jnp.diagonal(gram))), gram, jnp.eye(len(gram), dtype=gram.dtype))
    )


@dataclass(frozen=True)
class Shots:
    """A backend for `fidelity_kernel`: what so many shots would give for each entry, without noise.

    Attributes:
        shots: How often the compute-uncompute circuit of an entry is run; the entry is the part of runs that give 0.
        key: A JAX random key. The noise depends on it and on the exact values: the same question gets the same answer.

    Example:
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = fidelity_kernel(zz_feature_map(2), backend=Shots(100, jax.random.key(0)))
        >>> gram = kernel(np.random.default_rng(0).normal(size=(5, 2)))
        >>> bool((gram == gram.T).all()), bool(abs(100 * gram - (100 * gram).round()).max() < 1e-3)
        (True, True)
    """

    shots: int
    key: Any

    def __post_init__(self) -> None:
        if not isinstance(self.shots, int | np.integer) or isinstance(self.shots, bool) or self.shots < 1:
            raise ValueError(f"`shots` must be a positive integer, but is {self.shots!r}.")
        if isinstance(self.key, tuple):
            return
        if not isinstance(self.key, jax.Array | np.ndarray):
            raise TypeError(f"`key` must be a JAX random key, such as jax.random.key(0), but is {self.key!r}.")
        typed = jnp.issubdtype(self.key.dtype, jax.dtypes.prng_key)
        data = jax.random.key_data(self.key) if typed else self.key
        name = str(jax.random.key_impl(self.key)) if typed else None
        object.__setattr__(self, "key", (name, tuple(np.asarray(data).tolist())))  # equal by value

    def estimate(self, gram: Array, symmetric: bool) -> Array:
        """The frequencies in place of the probabilities `gram`; a gradient is that of the probabilities."""
        name, data = self.key
        key = jax.random.wrap_key_data(np.array(data, np.uint32), impl=name)
        bits = lax.bitcast_convert_type(lax.stop_gradient(gram).astype(np.float32), np.uint32)
        key = jax.random.fold_in(key, jnp.sum(bits, dtype=np.uint32))
        exact = lax.stop_gradient(gram)
        drawn = jax.random.binomial(key, self.shots, jnp.clip(exact, 0, 1), dtype=gram.dtype) / self.shots
        drawn = jnp.where(exact >= 1, 1, drawn)
        if symmetric:
            drawn = _mirrored(drawn)
        return gram + jnp.where(jnp.isnan(exact), 0, drawn - exact)


@dataclass(frozen=True)
class _WithShots(_Kernel):
    """A kernel with the noise of finitely many shots."""

    exact: _Kernel
    backend: Shots

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        return self.backend.estimate(self.exact._trace(x, y, weights), y is None)


@dataclass(frozen=True)
class _PairsOnBackend(_Kernel):
    """A kernel whose entries `function` gives, one for each pair of rows of two (pairs, P) arrays of parameters."""

    function: Callable[[Array, Array], Array]
    duplicates: str

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = _dtype(x, y, weights)
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

    def _pairs(self, x: Array, y: Array, weights: Array, dtype: Any) -> Array:
        left, right = (self._given(points, weights, dtype) for points in (x, y))
        if hasattr(self.function, "parts"):
            return self.function.parts(left, right)
        return self.function(*(of_parts(lambda params: params, *given) for given in (left, right)))


@dataclass(frozen=True)
class ProjectedKernel(_Kernel):
    """`kernel(x, y=None, *, weights=None, gamma=None)`; `project` instead of `observables` where a backend measures."""

    observables: tuple[Observable, ...]
    gamma: float | None  # of the RBF kernel; None stands for the linear one
    project: Callable[[Array], Array] | None = None  # (N, P) -> (N, observables)

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None, gamma: Any = None) -> Array:
        """`x` (N, d), `y` (M, d) -> (N, M); without `y`, (N, N)."""
        if gamma is not None and self.gamma is None:
            raise ValueError("A linear kernel has no `gamma`.")
        gamma = self.gamma if gamma is None else gamma
        if gamma is not None:
            _check_gamma(gamma)
        return self._run(*self._arguments(x, y, weights), None if gamma is None else jnp.asarray(gamma))

    def projections(self, x: Any, *, weights: Any = None) -> Array:
        """The representation of points: (N, d) -> (N, number of observables)."""
        x, _, weights = self._arguments(x, None, weights)
        return _projector(self)(x, weights)

    def as_qnn(self) -> Callable[[Any, Any], Array]:
        """The projections as a QNN, ``model(weights, x)``: (W,) and (..., d) -> (..., number of observables).

        That is what a layer of a neural network takes.
        """
        common = self.program, self.features, self.weights, (len(self.observables),)
        about = {"memory": self.memory, "normalised": False, "source": Source(self.program, self.observables)}
        if self.project is not None:
            return _OnBackend(*common, self.project, None, **about)
        return EstimatorQNN(*common, self.observables, **about)

    def _trace(self, x: Array, y: Array | None, weights: Array, gamma: Array | None) -> Array:
        dtype = _dtype(x, y, weights)
        left = self._project(x, weights, dtype)
        right = left if y is None else self._project(y, weights, dtype)
        products = jnp.matmul(left.T, right, precision=_state.PRECISION)
        if gamma is None:
            return products
        distances = jnp.sum(left * left, axis=0)[:, None] + jnp.sum(right * right, axis=0)[None] - 2 * products
        if y is None:
            distances = (distances + distances.T) / 2
        same = _same(x.astype(dtype), None if y is None else y.astype(dtype)) & (distances < 1e-3)
        rounding = jnp.where(same, distances, jnp.minimum(distances, 0))
        distances = distances - lax.stop_gradient(rounding)
        return jnp.exp(-gamma.astype(dtype) * distances)

    def _project(self, x: Array, weights: Array, dtype: Any) -> Array:
        """(N, d) -> (number of observables, N)."""
        if self.project is not None:
            return of_parts(self.project, *self._given(x, weights, dtype)).T
        # The states of some points at a time; products of amplitudes take some copies of them.
        size = max(1, self.memory // (8 * (2 * dtype.itemsize << self.program.num_qubits)))

        def some(points: Array) -> Array:
            return expectations(self.observables, self._state_of(points, weights, dtype))

        if len(x) <= size:
            return some(x)
        padded = jnp.pad(x, ((0, -len(x) % size), (0, 0)), mode="edge").reshape(-1, size, x.shape[1])
        part = jax.checkpoint(some)
        values = lax.map(_Bar(len(padded)).over(part) if self.progress else part, padded)  # (parts, observables, size)
        return jnp.moveaxis(values, 0, 1).reshape(len(self.observables), -1)[:, : len(x)]


@functools.lru_cache(maxsize=256)
def _projector(kernel: ProjectedKernel) -> Callable[[Array, Array], Array]:
    return jax.jit(lambda x, weights: kernel._project(x, weights, _dtype(x, None, weights)).T)


@dataclass(frozen=True)
class Fidelity(Compiled):
    """`f(params_a, params_b)`."""

    left: Statevector
    right: Statevector

    def __call__(self, params_a: Any, params_b: Any) -> Array:
        arrays = [
            real_array(value, name, len(f.program.parameters), f.program.parameters)
            for value, name, f in ((params_a, "params_a", self.left), (params_b, "params_b", self.right))
        ]
        for array, name, f in zip(arrays, ("params_a", "params_b"), (self.left, self.right), strict=True):
            _functions.check_amplitudes(f.program, **{name: (range(len(f.program.parameters)), array)})
        return self._run(*arrays)

    def _trace(self, params_a: Array, params_b: Array) -> Array:
        left, right = jnp.broadcast_arrays(self.left._trace(params_a), self.right._trace(params_b))
        overlap = jnp.sum(left.conj() * right, axis=-1)
        return overlap.real**2 + overlap.imag**2


def fidelity(circuit_a: Any, circuit_b: Any) -> Fidelity:
    """The function that gives the fidelity of the states of two circuits: ``|<psi_a|psi_b>|**2``.

    Args:
        circuit_a: A `QuantumCircuit`, or anything else that `parse` takes.
        circuit_b: Another, on as many qubits.

    Returns:
        ``f(params_a, params_b)``: parameters of shape (..., P_a) and (..., P_b), whose leading dimensions broadcast, to
        fidelities in [0, 1] of shape (...).

    Raises:
        ValueError: The circuits have different numbers of qubits, or more than 30.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> zero, plus = QuantumCircuit(1), QuantumCircuit(1)
        >>> _ = plus.h(0)
        >>> fidelity(zero, plus)([], []).round(3)
        Array(0.5, dtype=float32)
    """
    left, right = _functions.statevector(circuit_a), _functions.statevector(circuit_b)
    if left.program.num_qubits != right.program.num_qubits:
        raise ValueError(
            "The circuits must act on as many qubits as each other, but have "
            f"{left.program.num_qubits} and {right.program.num_qubits}."
        )
    return Fidelity(left, right)


def fidelity_kernel(
    feature_map: Any,
    *,
    weights: Sequence[Any] = (),
    local: bool = False,
    backend: Any = None,
    evaluate_duplicates: str = "off_diagonal",
    memory: int = _simulate.MEMORY,
    progress: bool = False,
) -> _Kernel:
    """The fidelity kernel of a feature map: ``k(x, y) = |<psi(x)|psi(y)>|**2``.

    Args:
        feature_map: A `QuantumCircuit`, or anything else that `parse` takes.
        weights: Parameters that are no features but trained: `Parameter` objects or names, in the order of the weight
            vector. All others are features, in the order of the circuit.
        local: Whether to take the mean over qubits of the probabilities to measure 0 on each after compute and
            uncompute, instead of the probability to measure 0 on all of them, which concentrates less. It needs N**2
            simulations. It is not symmetric by itself; without `y` the upper half counts.
        backend: What measures the fidelities: `Shots`, or an object with `fidelity(circuit)`, which returns a function
            of two arrays of parameters (pairs, P) to fidelities (pairs,). Default: the simulator, exactly.
        evaluate_duplicates: Which entries of equal points a backend evaluates instead of taking them as 1: "all";
            "off_diagonal", all but the diagonal without `y`; or "none".
        memory: About how many bytes it may take beside the matrix; 512 MiB by default. If all states took more, the
            matrix is computed by tiles, and a gradient computes states again.
        progress: Whether to show a progress bar of tiles, if there are any, or of columns of local fidelities (needs
            tqdm: the extra `progress`).

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
    if progress:
        _functions.load_tqdm()
    whole = parse(feature_map)
    device = backend is not None and not isinstance(backend, Shots)  # it may have more qubits than can be simulated
    program = whole if device else _functions.touched(whole)[0]
    features, trained = _split(program, weights)
    if evaluate_duplicates not in ("all", "off_diagonal", "none"):
        raise ValueError(
            f"`evaluate_duplicates` must be 'all', 'off_diagonal' or 'none', but is {evaluate_duplicates!r}."
        )
    if local and backend is not None:
        raise ValueError("A backend measures the fidelity of whole states. Leave out `local`.")
    if local and program.loads:
        raise ValueError("Local fidelities need a circuit that can be undone, not one that loads amplitudes.")
    common = {"program": program, "features": features, "weights": trained, "memory": memory, "progress": progress}
    if device:
        return _PairsOnBackend(**common, function=backend.fidelity(feature_map), duplicates=evaluate_duplicates)
    kernel = LocalFidelityKernel(**common, num_qubits=whole.num_qubits) if local else FidelityKernel(**common)
    return kernel if backend is None else _WithShots(**common, exact=kernel, backend=backend)


def projected_kernel(
    feature_map: Any,
    *,
    observables: Any = None,
    gamma: float | None = 1.0,
    weights: Sequence[Any] = (),
    backend: Any = None,
    memory: int = _simulate.MEMORY,
    progress: bool = False,
) -> ProjectedKernel:
    """The kernel of expectation values p(x) in a feature map's states: ``exp(-gamma |p(x) - p(y)|**2)``.

    Args:
        feature_map: A `QuantumCircuit`, or anything else that `parse` takes.
        observables: A list of observables, as `expectation` takes them, or an integer k: all Pauli strings on 1 to k
            qubits, which determine the reduced density matrices of k qubits. Default 1: X, Y and Z on every qubit, in
            this order on qubit 0, then on qubit 1, ... The squared distance of projections is then twice that of
            one-qubit density matrices in the Frobenius norm, as Huang et al. use it: their gamma is twice this one.
        gamma: The width of the kernel, or None for the linear kernel ``p(x) . p(y)``. A call may replace it.
        weights: Parameters that are no features but trained: `Parameter` objects or names, in the order of the weight
            vector. All others are features, in the order of the circuit.
        backend: What measures: an object with `expectation(circuit, observables)`, which returns a function like that
            of `qmljax.expectation`. It has to run N circuits, not N**2. Default: the simulator.
        memory: About how many bytes the states may take; 512 MiB by default. More states are computed one part after
            the other.
        progress: Whether to show a progress bar of those parts (needs tqdm: the extra `progress`).

    Returns:
        ``kernel(x, y=None, *, weights=None, gamma=None)``: points of shape (N, d) and (M, d) to a Gram matrix of shape
        (N, M); without `y`, (N, N). Differentiable in all arguments. ``kernel.projections(x)`` gives p(x), of shape
        (N, n_obs), and ``kernel.as_qnn()`` the same as a model ``model(weights, x)``, which can be a layer.

    Raises:
        ValueError: As for `fidelity_kernel` and `expectation`.

    Example:
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = projected_kernel(zz_feature_map(2), gamma=0.5)
        >>> kernel(np.zeros((3, 2)), np.ones((4, 2))).shape, kernel.projections(np.zeros((3, 2))).shape
        ((3, 4), (3, 6))

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021),
        equations (8) and (9).
    """
    memory = _functions.check_memory(memory)
    if progress:
        _functions.load_tqdm()
    if gamma is not None:
        _check_gamma(gamma)
    program = parse(feature_map)
    n = program.num_qubits
    if observables is None or isinstance(observables, int | np.integer):
        observables = _paulis(n, 1 if observables is None else observables)
    listed = list(observables) if isinstance(observables, list | tuple) else [observables]
    read, _ = _functions.read_observables(listed, program)
    small, kept = (
        _functions.reduced(program, _observables.reads(read)) if backend is None else (program, tuple(range(n)))
    )
    features, trained = _split(small, weights)
    project = None if backend is None else backend.expectation(feature_map, listed)
    gamma = None if gamma is None else float(gamma)
    observed = tuple(o.on(kept) for o in read)
    return ProjectedKernel(small, features, trained, observed, gamma, project, memory=memory, progress=progress)


def _check_gamma(gamma: Any) -> None:
    number = isinstance(gamma, int | float | np.number | np.ndarray | jax.Array) and np.ndim(gamma) == 0
    if not number or not isinstance(gamma, jax.core.Tracer) and not 0 <= gamma < np.inf:
        raise ValueError(f"`gamma` must be a finite number from 0 on, or None for the linear kernel, but is {gamma!r}.")


def _paulis(n: int, weight: int) -> list[str]:
    """The labels of all Pauli strings on 1 to `weight` of n qubits."""
    if not 1 <= weight <= max(n, 1):
        raise ValueError(f"`observables` as a number of qubits must be between 1 and {n}, but is {weight}.")
    labels = []
    for k in range(1, min(weight, n) + 1):
        for qubits in itertools.combinations(range(n), k):
            for letters in itertools.product("XYZ", repeat=k):
                label = ["I"] * n
                for q, letter in zip(qubits, letters, strict=True):
                    label[n - 1 - q] = letter
                labels.append("".join(label))
    return labels


def _split(program: Program, weights: Sequence[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The positions of features and of weights in the circuit's parameters."""
    place = {name: k for k, name in enumerate(program.parameters)}
    trained = positions(weights, "weights", place)
    return tuple(k for k in place.values() if k not in trained), trained
