"""The nouns that pass between rooms, as types: what a model and a kernel are to those who use one."""

from typing import Any, Protocol

from jax import Array

from qmljax._circuit.program import Program


class Model(Protocol):
    """A quantum neural network: what `estimator_qnn` and `sampler_qnn` return, and ``kernel.as_qnn()``.

    Attributes:
        program: The circuit that is simulated, without what no output feels.
        num_inputs: The number of inputs, n_in.
        num_weights: The number of weights, W.
        output_shape: The shape of the output for one sample.
        normalised: Whether the outputs are probabilities; else they are expectation values.

    Example:
        >>> import numpy as np
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> model: qj.Model = qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=[])
        >>> model(np.zeros(model.num_weights), np.zeros((5, 0))).shape
        (5, 1)
    """

    @property
    def program(self) -> Program: ...

    @property
    def num_inputs(self) -> int: ...

    @property
    def num_weights(self) -> int: ...

    @property
    def output_shape(self) -> tuple[int, ...]: ...

    @property
    def normalised(self) -> bool: ...

    def __call__(self, weights: Any, x: Any) -> Array:
        """Weights (W,) and inputs (..., n_in) to outputs (..., *output_shape)."""


class MeasuredModel(Model, Protocol):
    """A model on a backend, whose values have errors."""

    def with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The outputs, (..., *output_shape), and their standard errors."""

    def gradient_with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The derivatives in the weights, (..., *output_shape, W), and their standard errors."""


class Kernel(Protocol):
    """A quantum kernel: what `fidelity_kernel` and `projected_kernel` return.

    Attributes:
        program: The circuit of the feature map.
        num_features: The number of features of a point, d.
        num_weights: The number of weights, W.

    Example:
        >>> import numpy as np
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import z_feature_map
        >>> kernel: qj.Kernel = qj.fidelity_kernel(z_feature_map(2))
        >>> kernel(np.zeros((3, kernel.num_features))).shape
        (3, 3)
    """

    @property
    def program(self) -> Program: ...

    @property
    def num_features(self) -> int: ...

    @property
    def num_weights(self) -> int: ...

    def __call__(self, x: Any, y: Any = None, *, weights: Any = None) -> Array:
        """Points (N, d) and (M, d) to a Gram matrix (N, M); without `y`, (N, N)."""

    def pairs(self, x: Any, y: Any, *, weights: Any = None) -> Array:
        """Points (N, d) and (N, d) to the entries (N,) of their pairs."""
