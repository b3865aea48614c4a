"""The noun: a kernel is a function of the representations of points, their states or values in them.

Where there are too many states for the memory allowed, they are computed by tiles.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.program import Program
from qmljax._engine.plan import plan
from qmljax._engine.run import run
from qmljax._meshes import devices
from qmljax._models.arguments import check_amplitudes, real_array
from qmljax._models.backend import Part
from qmljax._models.compiled import Compiled, question, size
from qmljax._models.kernels.devices import Gram, Rows, layout
from qmljax._models.parts import cut, filled, in_parts
from qmljax._models.qnn import Source
from qmljax._models.shared import fit


@dataclass(frozen=True, repr=False)
class BaseKernel(Compiled):
    """What all kernels are: a frozen function `kernel(x, y=None, *, weights=None)`, equal by value.

    Attributes:
        program: The circuit of the feature map.
        features: Which of its parameters the features are, in the order of the columns of `x`.
        weights: Which of them the weights are, in the order of the weight vector.
        memory: About how many bytes a call may take beside the matrix.
        progress: Whether to show a progress bar.
        source: What the kernel was built from: the whole circuit, and what is read on it, if it is observables.
    """

    program: Program
    features: tuple[int, ...]
    weights: tuple[int, ...]
    memory: int = field(kw_only=True)
    progress: bool = field(kw_only=True, default=False)
    source: Source = field(kw_only=True, compare=False)

    _leading = staticmethod(lambda *lie: ())  # nowhere, on a mesh that is set: those on one are `Gram`'s

    @property
    def num_features(self) -> int:
        """The number of features of a point, d."""
        return len(self.features)

    @property
    def num_weights(self) -> int:
        """The number of weights, W."""
        return len(self.weights)

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None) -> Array:
        """The Gram matrix of points.

        Args:
            x: Points of shape (N, d), or a single one, (d,), as all that asks for entries one by one passes them.
            y: Points of shape (M, d), or a single one. Default: those of `x`.
            weights: Of shape (W,), of a feature map that has any.

        Returns:
            Of shape (N, M); without `y`, (N, N), symmetric. A single point has no axis: two of them give a number.

        Raises:
            TypeError: An argument is not real.
            ValueError: An argument has another shape, weights are missing, or a row of amplitudes is zero.
        """
        return self._gram(self._answer, *self._arguments(x, y, weights))

    def _gram(self, run: Callable[..., Array], x: Any, y: Any, weights: Any, *more: Any) -> Array:
        """The matrix of points; a single point (d,) has no axis in it."""
        gram = run(rows(x), None if y is None else rows(y), weights, *more)
        gram = gram if x.ndim == 2 else gram[0]
        return gram if (x if y is None else y).ndim == 2 else gram[..., 0]

    def pairs(self, x: Any, y: Any, *, weights: Any = None) -> Array:
        """The entries of pairs of points, without the matrix of all: differentiable, and of N states each.

        Args:
            x: Points of shape (N, d).
            y: As many others: row k is the partner of row k of `x`.
            weights: Of shape (W,), of a feature map that has any.

        Returns:
            Of shape (N,): ``kernel(x, y)[k, k]`` for every k.

        Raises:
            TypeError: An argument is not real.
            ValueError: An argument has another shape, weights are missing, a row of amplitudes is zero, or there are
                more points in one than in the other.

        Example:
            >>> import qmljax as qj
            >>> from qiskit.circuit.library import z_feature_map
            >>> kernel = qj.fidelity_kernel(z_feature_map(2, reps=1))
            >>> kernel.pairs(np.zeros((3, 2)), np.array([[0, 0], [0, np.pi / 4], [0, np.pi / 2]])).round(3)
            Array([1. , 0.5, 0. ], dtype=float32)
        """
        x, y, weights = self._arguments(x, y, weights)
        check_pairs(x, y)
        values = self._run_pairs(rows(x), rows(y), weights)
        return values if x.ndim == 2 else values[0]

    def _answer(self, x: Any, y: Any, weights: Any, *more: Any) -> Array:
        """The matrix: of points that lie on several devices, by rows of it on each."""
        if (lie := layout((x, y), (weights, *more))) is None:
            return super()._answer(x, y, weights, *more)
        return Gram(dataclasses.replace(self, progress=False), lie)(x, y, weights, *more)

    def _represented(self, x: Array, weights: Array, dtype: Any) -> Any:
        """What is sent of points (N, d), arrays (N, ...): themselves."""
        return x.astype(dtype)

    def _compared(self, left: Any, right: Any, weights: Array, *more: Any) -> Array:
        """The matrix of points that are represented, or of them with themselves."""
        return self._trace(left, right, weights, *more)

    def _block(self, left: Any, right: Any, weights: Array, *more: Any) -> Array:
        """A block of a larger matrix: `_compared`, of which a gradient keeps nothing."""
        return jax.checkpoint(self._compared)(left, right, weights, *more)

    def _run_pairs(self, x: Any, y: Any, weights: Any, *more: Any) -> Array:
        return Pairs(self, compile=self.compile)._answer(x, y, weights, *more)

    def _first_pairs(self, x: Any, y: Any, weights: Any, *more: Any) -> Array | None:
        """`pairs` by a shared program, if there is one."""
        return None

    def _pairs_fit(self, x: Any, y: Any, weights: Any) -> bool:
        """Whether so many are few enough for it."""
        return self._fits(x, y, weights)

    def _trace_pairs(self, x: Array, y: Array, weights: Array, *more: Any) -> Array:
        """(N, d), (N, d), (W,) -> (N,)."""
        raise NotImplementedError

    def _in_parts(self, function: Any, x: Array, y: Array, copies: int = 8) -> Array:
        """A function of pairs of points (k, d), (k, d) -> (k,), by as many as the memory allows, computed again later.

        Running a batch of states takes some copies of them.
        """
        size = max(1, self.memory // (copies * (2 * x.dtype.itemsize << self.program.num_qubits)))
        if len(x) <= size * devices():
            return function(x, y)
        return in_parts(lambda both: function(both[:, 0], both[:, 1]), jnp.stack([x, y], axis=1), size)

    def _fits(self, x: Any, y: Any, weights: Any, *more: Any) -> bool:
        asked = question(self)
        return all(fit(asked, (points, weights), self.memory) for points in (x, y) if points is not None)

    def _in_room(self, x: Any, y: Any, weights: Any, *more: Any) -> Array | None:
        """By a program for some more points, if there is one already for another number of them."""
        points = x if y is None else y
        if isinstance(x, jax.core.Tracer) or isinstance(points, jax.core.Tracer) or not len(x) or not len(points):
            return None
        kind = x.dtype, weights.dtype
        if y is None:
            height = width = self._calls.room(kind, len(x))
        else:
            height, width = self._calls.room((kind, "x"), len(x)), self._calls.room((kind, y.dtype), len(y))
        if (height, width) == (len(x), len(points)):
            return None
        both = filled(x, height), None if y is None else filled(y, width)
        return cut(self._run(*both, weights, *more), len(x), len(points))

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
                check_amplitudes(self.program, **given)
        return x, y, weights

    def _facts(self) -> dict[str, Any]:
        return {"features": self.num_features, "weights": self.num_weights, **self._size()}

    def _size(self) -> dict[str, int]:
        return size(self.program)

    def _points(self, value: Any, name: str) -> Any:
        array = real_array(value, name, len(self.features), [self.program.parameters[k] for k in self.features])
        if array.ndim > 2:
            raise ValueError(
                f"`{name}` must have shape (N, {len(self.features)}), one row for each point, or that of a single one, "
                f"but has shape {array.shape}."
            )
        return array

    def _state_of(self, x: Array, weights: Array, dtype: Any) -> Array:
        """The states of points, (C, 2**n, N)."""
        return run(
            plan(self.program, self.features, self.weights, self.memory),
            weights.astype(dtype)[:, None],
            x.astype(dtype).T,
        )

    def _given(self, x: Array, weights: Array, dtype: Any) -> tuple[Part, Part]:
        """What a backend's function is given for points."""
        return (self.features, x.astype(dtype)), (self.weights, weights.astype(dtype))


@dataclass(frozen=True, repr=False)
class Pairs(Compiled):
    """The entries of pairs of points, (N, d), (N, d) and (W,) -> (N,)."""

    kernel: BaseKernel

    _leading = staticmethod(lambda *lie: ())

    def _answer(self, x: Any, y: Any, weights: Any, *more: Any) -> Array:
        if (lie := layout((x, y), (weights, *more))) is None:
            return super()._answer(x, y, weights, *more)
        return Rows(self, lie)(x, y, weights, *more)

    def _first(self, x: Any, y: Any, weights: Any, *more: Any) -> Array | None:
        return self.kernel._first_pairs(x, y, weights, *more)

    def _fits(self, x: Any, y: Any, weights: Any, *more: Any) -> bool:
        return self.kernel._pairs_fit(x, y, weights)

    def _in_room(self, x: Any, y: Any, weights: Any, *more: Any) -> Array | None:
        if len(x) < 2 or any(isinstance(points, jax.core.Tracer) for points in (x, y)):
            return None
        size = self._calls.room((x.dtype, y.dtype, weights.dtype), len(x))
        return None if size == len(x) else cut(self._run(filled(x, size), filled(y, size), weights, *more), len(x))

    def _trace(self, x: Array, y: Array, weights: Array, *more: Any) -> Array:
        return self.kernel._trace_pairs(x, y, weights, *more)


def rows(points: Any) -> Any:
    """Points (N, d), of which a single one has no axis, with it."""
    return points if points.ndim == 2 else points[None]


def check_pairs(x: Any, y: Any) -> None:
    """Refuses points without partners."""
    if x.shape != y.shape:
        raise ValueError(
            f"`x` and `y` must have a row for each pair, but have the shapes {x.shape} and {y.shape}. For the matrix "
            "of all pairs call kernel(x, y)."
        )


def common_dtype(x: Array, y: Array | None, weights: Array) -> Any:
    """The dtype that a kernel of these arguments has."""
    return jnp.result_type(x, weights, x if y is None else y)
