"""Projected kernels: distances of expectation values in the states of points."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_flag, check_number
from qmljax._circuit import readout
from qmljax._circuit.noisy import parse_noisy
from qmljax._circuit.observables import Observable, listed
from qmljax._circuit.parse import check_circuit, own, parse
from qmljax._engine.expectations import expectations
from qmljax._engine.plan import MEMORY
from qmljax._engine.state import PRECISION
from qmljax._models import shared
from qmljax._models.arguments import check_compile, check_memory
from qmljax._models.backend import HasExpectation, check_backend, of_parts
from qmljax._models.compiled import Compiled, question
from qmljax._models.kernels.devices import Rows, layout, measured
from qmljax._models.kernels.kernel import BaseKernel, check_pairs, common_dtype, rows
from qmljax._models.kernels.points import alike, all_equal, equal
from qmljax._models.on_backend import BackendQNN
from qmljax._models.parts import cut
from qmljax._models.positions import features_and_weights
from qmljax._models.protocols import Model
from qmljax._models.qnn import EstimatorQNN, Source
from qmljax._models.questions import Question, of_expectations
from qmljax._models.shared import fit
from qmljax._progress import CompiledBar, load_tqdm


@dataclass(frozen=True, repr=False)
class ProjectedKernel(BaseKernel):
    """The kernel of expectation values: call it as ``kernel(x, y=None, *, weights=None, gamma=None)``.

    Points of shape (N, d) and (M, d) give a matrix (N, M); without `y`, (N, N). Where a backend measures, `project` is
    called instead of the simulator.
    """

    observables: tuple[Observable, ...]
    gamma: float | None  # of the RBF kernel; None stands for the linear one
    project: Callable[[Array], Array] | None = None  # (N, P) -> (N, observables)

    def __post_init__(self) -> None:
        """With a backend nothing is compiled for it, nor kept: what that depends on may be traced."""
        if self.project is None:
            super().__post_init__()

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None, gamma: Any = None) -> Array:
        """The Gram matrix of points.

        Args:
            x: Points of shape (N, d), or a single one, (d,).
            y: Points of shape (M, d), or a single one. Default: those of `x`.
            weights: Of shape (W,), of a feature map that has any.
            gamma: The width of the kernel. Default: that which it was built with.

        Returns:
            Of shape (N, M); without `y`, (N, N), symmetric.

        Raises:
            TypeError: An argument is not real.
            ValueError: An argument has another shape, weights are missing, or `gamma` is no finite number from 0 on.
        """
        gamma = self._width(gamma)
        answer = self._answer if self.project is None else measured(self._trace)
        return self._gram(answer, *self._arguments(x, y, weights), gamma)

    def pairs(self, x: Any, y: Any, *, weights: Any = None, gamma: Any = None) -> Array:
        """The entries of pairs of points, without the matrix of all.

        Args:
            x: Points of shape (N, d).
            y: As many others: row k is the partner of row k of `x`.
            weights: Of shape (W,), of a feature map that has any.
            gamma: The width of the kernel. Default: that which it was built with.

        Returns:
            Of shape (N,): ``kernel(x, y)[k, k]`` for every k.

        Raises:
            TypeError: An argument is not real.
            ValueError: An argument has another shape, weights are missing, `gamma` is no finite number from 0 on, or
                there are more points in one than in the other.
        """
        gamma = self._width(gamma)
        x, y, weights = self._arguments(x, y, weights)
        check_pairs(x, y)
        answer = self._run_pairs if self.project is None else measured(self._trace_pairs)
        values = answer(rows(x), rows(y), weights, gamma)
        return values if x.ndim == 2 else values[0]

    def _width(self, gamma: Any) -> Array | None:
        if gamma is not None and self.gamma is None:
            raise ValueError("A linear kernel has no `gamma`.")
        gamma = self.gamma if gamma is None else gamma
        if gamma is None:
            return None
        check_number(gamma, "gamma")
        return jnp.asarray(gamma)

    def projections(self, x: Any, *, weights: Any = None) -> Array:
        """The representation of points that the kernel compares: expectation values.

        Args:
            x: Points of shape (N, d), or a single one, (d,).
            weights: Of shape (W,), of a feature map that has any.

        Returns:
            p(x), of shape (N, number of observables), or (number of observables,).
        """
        x, _, weights = self._arguments(x, None, weights)
        answer = functools.partial(self._values, dtype=common_dtype(x, None, weights), how="_answer")
        values = (answer if self.project is None else measured(answer))(rows(x), weights)
        return values if x.ndim == 2 else values[0]

    def as_qnn(self) -> Model:
        """The projections as a QNN, ``model(weights, x)``: (W,) and (..., d) -> (..., number of observables).

        That is what a layer of a neural network takes.
        """
        common = self.program, self.features, self.weights, (len(self.observables),)
        about: Any = {"memory": self.memory, "normalised": False, "source": self.source, "compile": self.compile}
        if self.project is not None:
            return BackendQNN(*common, self.project, None, **about)
        return EstimatorQNN(*common, self.observables, **about)

    @property
    def _run(self) -> Callable[..., Array]:
        return self._trace  # its parts are compiled: `projections` is one of them

    def _question(self, whole: bool = True) -> Question | None:
        shape = (len(self.observables),)
        return of_expectations(self.program, self.observables, shape, self.features, self.weights, whole=whole)

    def _first(self, x: Any, y: Any, weights: Any, gamma: Array | None) -> Array | None:
        asked = question(self)
        if asked is None:
            return None
        points = alike(x, x if y is None else y, weights=weights)
        values = [shared.answer(asked, p, weights) for p in (points if y is not None else points[:1])]
        same = all_equal(*points, len(values[0]), len(values[-1]))
        return cut(_gram(values, same, gamma), *map(len, points))

    def _first_pairs(self, x: Any, y: Any, weights: Any, gamma: Array | None) -> Array | None:
        asked = question(self)
        if asked is None:
            return None
        return cut(_of_pairs(*(shared.answer(asked, p, weights) for p in alike(x, y, weights=weights)), gamma), len(x))

    def _trace(self, x: Array, y: Array | None, weights: Array, gamma: Array | None = None) -> Array:
        dtype = common_dtype(x, y, weights)
        values = [self._values(p, weights, dtype, "_run") for p in (x, y) if p is not None]
        return _gram_of_points(values, x.astype(dtype), None if y is None else y.astype(dtype), gamma)

    def _represented(self, x: Array, weights: Array, dtype: Any) -> Any:
        return self._values(x, weights, dtype, "_run"), x.astype(dtype)

    def _compared(self, left: Any, right: Any, weights: Array, gamma: Array | None = None) -> Array:
        (values, x), (others, y) = left, (None, None) if right is None else right
        return _gram_of_points([v for v in (values, others) if v is not None], x, y, gamma)

    def _trace_pairs(self, x: Array, y: Array, weights: Array, gamma: Array | None = None) -> Array:
        dtype = common_dtype(x, y, weights)
        return _of_pairs(*(self._values(points, weights, dtype, "_run") for points in (x, y)), gamma)

    def _values(self, x: Array, weights: Array, dtype: Any, how: str) -> Array:
        """(N, d) -> (N, number of observables), by the method `how` of the projections."""
        if self.project is not None:  # not compiled, so that errors of a backend are raised as they are
            return of_parts(self.project, *self._given(x, weights, dtype))
        values: Array = getattr(Projections(self, compile=self.compile), how)(x.astype(dtype), weights.astype(dtype))
        return values

    def _project(self, x: Array, weights: Array, dtype: Any) -> Array:
        """(N, d) -> (number of observables, N)."""
        # The states of some points at a time; products of amplitudes take some copies of them.
        size = max(1, self.memory // (8 * (2 * dtype.itemsize << self.program.num_qubits)))

        def some(points: Array) -> Array:
            return expectations(self.observables, self._state_of(points, weights, dtype))

        if len(x) <= size:
            return some(x)
        padded = jnp.pad(x, ((0, -len(x) % size), (0, 0)), mode="edge").reshape(-1, size, x.shape[1])
        part = jax.checkpoint(some)
        values = lax.map(
            CompiledBar(len(padded)).over(part) if self.progress else part, padded
        )  # (parts, observables, size)
        return jnp.moveaxis(values, 0, 1).reshape(len(self.observables), -1)[:, : len(x)]


@dataclass(frozen=True, repr=False)
class Projections(Compiled):
    """The expectation values that a kernel compares, (N, d) and (W,) -> (N, number of observables)."""

    kernel: ProjectedKernel

    def _answer(self, x: Any, weights: Any) -> Array:
        if (lie := layout((x,), (weights,))) is None:
            return super()._answer(x, weights)
        return Rows(Projections(dataclasses.replace(self.kernel, progress=False)), lie)(x, weights)

    def _question(self) -> Question | None:
        return self.kernel._question(whole=False)

    def _fits(self, x: Any, weights: Any) -> bool:
        return fit(question(self), (x, weights), self.kernel.memory)

    def _in_room(self, x: Any, weights: Any) -> Array | None:
        return self._by_rows(x, (x.dtype, weights.dtype), lambda rows: self._run(rows, weights))

    def _trace(self, x: Array, weights: Array) -> Array:
        return self.kernel._project(x, weights, x.dtype).T


@jax.jit
def _gram_of_points(values: Sequence[Array], x: Array, y: Array | None, gamma: Array | None) -> Array:
    return _gram(values, equal(x, y), gamma)


@jax.jit
def _gram(values: Sequence[Array], same: Array, gamma: Array | None) -> Array:
    """The matrix, from the projections (N, observables) of x, and those of y if any; and which points are equal."""
    left, right = values[0], values[-1]
    products = jnp.matmul(left, right.T, precision=PRECISION)
    if gamma is None:
        return products
    distances = jnp.sum(left * left, axis=1)[:, None] + jnp.sum(right * right, axis=1)[None] - 2 * products
    if len(values) == 1:
        distances = (distances + distances.T) / 2
    same = same & (distances < 1e-3)
    rounding = jnp.where(same, distances, jnp.minimum(distances, 0))
    distances = distances - lax.stop_gradient(rounding)
    return jnp.exp(-gamma.astype(left.dtype) * distances)


@jax.jit
def _of_pairs(left: Array, right: Array, gamma: Array | None) -> Array:
    """The entries of pairs, from their projections (N, observables) each."""
    if gamma is None:
        return jnp.sum(left * right, axis=1)
    return jnp.exp(-gamma.astype(left.dtype) * jnp.sum((left - right) ** 2, axis=1))


def projected_kernel(
    feature_map: Any,
    *,
    observables: Any = None,
    gamma: float | None = 1.0,
    inputs: Sequence[Any] | None = None,
    weights: Sequence[Any] = (),
    backend: HasExpectation | None = None,
    memory: int = MEMORY,
    progress: bool = False,
    compile: bool | None = None,
) -> ProjectedKernel:
    """The kernel of expectation values p(x) in a feature map's states: ``exp(-gamma |p(x) - p(y)|**2)``.

    Args:
        feature_map: A `QuantumCircuit`, or anything else that `parse` takes.
        observables: A list of observables, as `expectation` takes them, or an integer k: all Pauli strings on 1 to k
            qubits, which determine the reduced density matrices of k qubits. Default 1: X, Y and Z on every qubit, in
            this order on qubit 0, then on qubit 1, ... The squared distance of projections is then twice that of
            one-qubit density matrices in the Frobenius norm, as Huang et al. use it: their gamma is twice this one.
        gamma: The width of the kernel, or None for the linear kernel ``p(x) . p(y)``. A call may replace it.
        inputs: The parameters that are features, `Parameter` objects or names, in the order of the columns of points.
            Default: all that are not weights, in the order of the circuit.
        weights: Parameters that are no features but trained: `Parameter` objects or names, in the order of the weight
            vector.
        backend: What measures: an object with `expectation(circuit, observables)`, which returns a function like that
            of `qmljax.expectation`. It has to run N circuits, not N**2. Default: the simulator.
        memory: About how many bytes the states may take on a device; 512 MiB by default. More states are computed one
            part after the other.
        progress: Whether to show a progress bar of those parts (needs tqdm: the extra `progress`).
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

    Returns:
        ``kernel(x, y=None, *, weights=None, gamma=None)``: points of shape (N, d) and (M, d) to a Gram matrix of shape
        (N, M); without `y`, (N, N). Differentiable in all arguments. ``kernel.projections(x)`` gives p(x), of shape
        (N, n_obs), and ``kernel.as_qnn()`` the same as a model ``model(weights, x)``, which can be a layer.
        ``kernel.pairs(x, y, *, weights=None)`` is (N, d) and (N, d) to (N,): one entry for each row. Of points on
        several devices, as for `fidelity_kernel`, but p(x) is sent with the points.

    Raises:
        TypeError: An observable is of another type.
        ValueError: A parameter is unknown, named twice, or neither feature nor weight; an observable has a complex
            coefficient or another number of qubits than the feature map; or `gamma` is negative.

    Example:
        >>> from qiskit.circuit.library import zz_feature_map
        >>> kernel = projected_kernel(zz_feature_map(2), gamma=0.5)
        >>> kernel(np.zeros((3, 2)), np.ones((4, 2))).shape, kernel.projections(np.zeros((3, 2))).shape
        ((3, 4), (3, 6))

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021),
        equations (8) and (9).
    """
    memory = check_memory(memory)
    if check_flag(progress, "progress"):
        load_tqdm()
    check_number(gamma, "gamma", optional=True, hint="None is for the linear kernel.")
    feature_map = own(feature_map)
    check_circuit(feature_map, "feature_map")
    program = parse(feature_map) if backend is None else parse_noisy(feature_map).program
    if observables is None or isinstance(observables, int | np.integer):
        observables = _paulis(program.width, 1 if observables is None else observables)
    each = listed(observables)
    read = readout.of_observables(program, each)
    source = Source(feature_map, read.observables)
    if backend is not None:
        check_backend(backend, "expectation")
    read, project = (read.reduced(), None) if backend is None else (read, backend.expectation(feature_map, each))
    features, trained = features_and_weights(read.program, weights, inputs)
    width = None if gamma is None else float(gamma)
    options: Any = {"memory": memory, "progress": progress, "source": source, "compile": check_compile(compile)}
    return ProjectedKernel(read.program, features, trained, read.observables, width, project, **options)


def _paulis(n: int, weight: int | np.integer) -> list[str]:
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
