"""The noun: a kernel is a function of the representations of points, their states or values in them.

Where there are too many states for the memory allowed, they are computed by tiles.
"""

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.program import Program
from qmljax._engine.plan import plan
from qmljax._engine.run import run
from qmljax._models.arguments import check_amplitudes, real_array
from qmljax._models.backend import Part
from qmljax._models.compiled import Compiled, size
from qmljax._models.qnn import Source


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
            x: Points of shape (N, d).
            y: Points of shape (M, d). Default: those of `x`.
            weights: Of shape (W,), of a feature map that has any.

        Returns:
            Of shape (N, M); without `y`, (N, N), symmetric.

        Raises:
            TypeError: An argument is not real.
            ValueError: An argument has another shape, weights are missing, or a row of amplitudes is zero.
        """
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
                check_amplitudes(self.program, **given)
        return x, y, weights

    def _facts(self) -> dict[str, Any]:
        return {"features": self.num_features, "weights": self.num_weights, **self._size()}

    def _size(self) -> dict[str, int]:
        return size(self.program)

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
        return run(
            plan(self.program, self.features, self.weights, self.memory),
            weights.astype(dtype)[:, None],
            x.astype(dtype).T,
        )

    def _given(self, x: Array, weights: Array, dtype: Any) -> tuple[Part, Part]:
        """What a backend's function is given for points."""
        return (self.features, x.astype(dtype)), (self.weights, weights.astype(dtype))


def common_dtype(x: Array, y: Array | None, weights: Array) -> Any:
    """The dtype that a kernel of these arguments has."""
    return jnp.result_type(x, weights, x if y is None else y)
