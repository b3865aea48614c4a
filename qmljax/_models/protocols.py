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
        """The outputs for weights and inputs.

        Args:
            weights: Of shape (W,).
            x: Inputs of shape (..., n_in).

        Returns:
            Of shape (..., *output_shape).
        """


class MeasuredModel(Model, Protocol):
    """A model on a backend, whose values have errors."""

    def with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The outputs and their standard errors.

        Args:
            weights: Of shape (W,).
            x: Inputs of shape (..., n_in).

        Returns:
            Two arrays of shape (..., *output_shape).
        """

    def gradient_with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The derivatives in the weights and their standard errors.

        Args:
            weights: Of shape (W,).
            x: Inputs of shape (..., n_in).

        Returns:
            Two arrays of shape (..., *output_shape, W).
        """


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
        """The Gram matrix of points.

        Args:
            x: Points of shape (N, d).
            y: Points of shape (M, d). Default: those of `x`.
            weights: Of shape (W,), of a feature map that has any.

        Returns:
            Of shape (N, M); without `y`, (N, N), symmetric.
        """

    def pairs(self, x: Any, y: Any, *, weights: Any = None) -> Array:
        """The entries of pairs of points, without the matrix of all.

        Args:
            x: Points of shape (N, d).
            y: As many others: row k is the partner of row k of `x`.
            weights: Of shape (W,), of a feature map that has any.

        Returns:
            Of shape (N,): ``kernel(x, y)[k, k]`` for every k.
        """
