"""QNNs whose circuit a backend executes, such as a device behind `qmljax.primitives.PrimitiveBackend`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from qmljax._circuit.program import Table
from qmljax._meshes import explicit_mesh, on_meshes
from qmljax._models.backend import Part, of_parts
from qmljax._models.interpret import Merge, interpreted
from qmljax._models.qnn import QNN


@dataclass(frozen=True, repr=False)
class BackendQNN(QNN):
    """A quantum neural network that a backend executes: call it as ``model(weights, x)``.

    Weights of shape (W,) and inputs of shape (..., n_in) give outputs of shape (..., *output_shape). Inside, `function`
    is the backend's: (..., P) parameters in circuit order -> (..., outputs).
    """

    function: Callable[[Array], Array]
    index: Table | None  # outcome -> flat index of the output it contributes to
    bits: Table | None = None  # outcome of the different qubits -> outcome, where a qubit is measured twice

    def __post_init__(self) -> None:
        """Nothing is compiled for it, nor kept: what the backend depends on may be traced."""

    def __call__(self, weights: Any, x: Any) -> Array:
        """The outputs for weights and inputs, as of any QNN; an error of the backend is raised as it is.

        Args:
            weights: Of shape (W,).
            x: Inputs of shape (..., n_in).

        Returns:
            Of shape (..., *output_shape), in the dtype of the arguments.
        """
        weights, x = self._arguments(weights, x)
        if explicit_mesh((weights, x)) is not None:
            return jax.jit(on_meshes(self._trace))(weights, x)
        return self._trace(weights, x)  # what compiles it is the caller's `jit`, if there is one

    def _size(self) -> dict[str, int]:
        return {"qubits": self.program.num_qubits}

    def _trace(self, weights: Array, x: Array) -> Array:
        out = jnp.moveaxis(of_parts(self.function, *self._given(weights, x)), -1, 0)
        out = jnp.moveaxis(interpreted(out, self._place, self.output_shape), 0, -1)
        return out.reshape(*x.shape[:-1], *self.output_shape)

    def _given(self, weights: Array, x: Array) -> tuple[Part, Part]:
        weights, x = jnp.asarray(weights), jnp.asarray(x)
        dtype = jnp.promote_types(weights.dtype, x.dtype)
        return (self.weights, weights.astype(dtype)), (self.inputs, x.astype(dtype))

    def with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The values and their standard errors, as the backend knows them.

        Args:
            weights: Of shape (W,).
            x: Inputs of shape (..., n_in).

        Returns:
            Two arrays of shape (..., *output_shape).

        Raises:
            TypeError: The backend says nothing of standard errors, as density matrices, which are exact; or an argument
                is not real.
            ValueError: A single shot or trajectory has no standard error; or an argument has another shape.
        """
        place = self._place
        merge = None if place is None else Merge(place, self.output_shape)
        found = self._measured().with_std(*self._given(*self._arguments(weights, x)), merge=merge)
        values, stds = (a.reshape(*a.shape[:-1], *self.output_shape) for a in found)
        return values, stds

    def gradient_with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The derivatives by the weights and their standard errors, as the backend knows them.

        Args:
            weights: Of shape (W,).
            x: Inputs of shape (..., n_in).

        Returns:
            Two arrays of shape (..., *output_shape, W).

        Raises:
            TypeError: The backend says nothing of standard errors, or an argument is not real.
            ValueError: A single shot or trajectory has no standard error, an argument has another shape, the model has
                an interpretation of outcomes, or derivatives are exact.
        """
        if self._place is not None:
            raise ValueError("Standard errors of derivatives need a model without `interpret`.")
        found = self._measured().gradient_with_std(0, *self._given(*self._arguments(weights, x)))
        slopes, stds = (a.reshape(*a.shape[:-2], *self.output_shape, len(self.weights)) for a in found)
        return slopes, stds

    def _measured(self) -> Any:
        if not hasattr(self.function, "with_std"):
            raise TypeError(
                "This backend says nothing of standard errors. Those that do are qmljax.primitives.PrimitiveBackend, "
                'qmljax.Shots, and qmljax.noise.Simulator with `method="trajectories"`.'
            )
        return self.function

    @property
    def _place(self) -> Table | None:
        """The flat index of the output that each outcome of the different qubits contributes to."""
        if self.index is None or self.bits is None:
            return self.index or self.bits
        return Table(self.index.array[self.bits.array])
