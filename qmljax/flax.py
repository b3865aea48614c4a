"""A quantum model as a Flax layer: an `nnx.Module` over `model(weights, x)`, which does the work.

`nnx.bridge.to_linen(QuantumLayer, model)` is the same layer for the older Linen API.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._checks import check_function, shown
from qmljax._models.protocols import Model

try:
    from flax import nnx
except ImportError as error:
    raise ImportError("qmljax.flax needs Flax: pip install 'flax>=0.12'.") from error


def uniform(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Angles drawn uniformly from [-1, 1), in radians: how a `QuantumLayer` starts by default.

    Args:
        key: A JAX random key.
        shape: Of what is drawn.
        dtype: Of what is drawn.

    Returns:
        An array of this shape and dtype.

    Example:
        >>> uniform(jax.random.key(0), (3,)).shape
        (3,)
    """
    return jax.random.uniform(key, shape, dtype, -1, 1)


class QuantumLayer(nnx.Module):
    """A layer that evaluates a quantum model with trainable weights.

    It is a module like any of Flax: in `nnx.Sequential`, under `nnx.jit`, `nnx.grad`, `nnx.vmap` and `nnx.scan`, with
    `nnx.Optimizer`, `nnx.split` and checkpoints. The model is static; the only state is the weights.

    Args:
        model: What `estimator_qnn` or `sampler_qnn` returns, or a projected kernel's ``kernel.as_qnn()``.
        rngs: Of which `rngs.params` draws the weights.
        init: The initializer of the weights: a function of a key, the shape (W,) and a dtype. Of `nnx.initializers`
            those that serve vectors, such as ``constant(w)`` to start at the weights `w`.
        param_dtype: The dtype in which weights are kept, a real one. Weights of less than 32 bits are computed with
            in float32; if the inputs have less than 32 bits, too, the outputs are rounded to that.

    Attributes:
        weights: An `nnx.Param` of shape (W,), or None if the model has no weights, like the `bias` of an `nnx.Linear`
            without one.
        circuit: The size of what is simulated, in words: elementary operations, without those that no output feels.
        in_features: The number of inputs.
        output_shape: The shape of the output for one sample.
        param_dtype: The dtype of the weights.

    Raises:
        TypeError: `model` is no quantum model, or `param_dtype` is not real, or has 64 bits while JAX has none.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes, zz_feature_map
        >>> feature_map, ansatz = zz_feature_map(2), real_amplitudes(2, reps=1)
        >>> model = qj.estimator_qnn(feature_map.compose(ansatz), ["IZ", "ZI"], inputs=feature_map.parameters)
        >>> rngs = nnx.Rngs(0)
        >>> network = nnx.Sequential(
        ...     nnx.Linear(5, 2, rngs=rngs), QuantumLayer(model, rngs=rngs), nnx.Linear(2, 3, rngs=rngs)
        ... )
        >>> network(jnp.ones((7, 5))).shape
        (7, 3)
        >>> network.layers[1]
        QuantumLayer( # Param: 4 (16 B)
          circuit='2 qubits, 23 operations',
          in_features=2,
          output_shape=(2,),
          param_dtype=dtype('float32'),
          weights=Param( # 4 (16 B)
            value=Array(shape=(4,), dtype=dtype('float32'))
          )
        )
    """

    def __init__(
        self,
        model: Model,
        *,
        rngs: nnx.Rngs,
        init: nnx.Initializer = uniform,
        param_dtype: Any = jnp.float32,
    ):
        _check(model, param_dtype)
        check_function(init, "init", "(key, shape, dtype) -> the weights")
        if not isinstance(rngs, nnx.Rngs):
            raise TypeError(f"`rngs` must be flax.nnx.Rngs, such as nnx.Rngs(0), but is {shown(rngs)}.")
        self._model = model  # not shown: a circuit has more to show than fits
        self.circuit = f"{model.program.num_qubits} qubits, {len(model.program.ops)} operations"
        self.in_features = model.num_inputs
        self.output_shape = model.output_shape
        self.param_dtype = jnp.dtype(param_dtype)
        # Orbax refuses arrays without elements.
        self.weights = nnx.Param(init(rngs.params(), (model.num_weights,), param_dtype)) if model.num_weights else None

    @property
    def model(self) -> Model:
        """The model that the layer evaluates."""
        return self._model

    def __call__(self, x: Any) -> Array:
        """The outputs of the model for inputs.

        Args:
            x: Inputs of shape (..., in_features).

        Returns:
            Of shape (..., *output_shape).
        """
        weights = np.zeros(0, self.param_dtype) if self.weights is None else self.weights[...]
        out = self._model(weights, x)
        narrow = getattr(x, "dtype", None)
        if weights.dtype.itemsize < 4 and narrow is not None and jnp.issubdtype(narrow, jnp.floating):
            return out.astype(jnp.promote_types(weights.dtype, narrow))
        return out


def _check(model: Any, param_dtype: Any) -> None:
    if not callable(model) or not all(hasattr(model, name) for name in ("num_inputs", "num_weights", "output_shape")):
        raise TypeError(
            "`model` must be what `estimator_qnn` or `sampler_qnn` returns, or `kernel.as_qnn()` of a projected "
            f"kernel, but is of type {type(model).__name__}."
        )
    try:
        dtype = jnp.dtype(param_dtype)
    except TypeError as error:
        raise TypeError(
            f"`param_dtype` must be a real floating point dtype, such as jnp.float32, but is {param_dtype!r}."
        ) from error
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`param_dtype` must be a real floating point dtype, but is {dtype}. Angles are real.")
    if dtype.itemsize > jnp.result_type(float).itemsize:
        raise TypeError(
            f"`param_dtype` is {dtype}, but JAX has 64 bits only with jax.config.update('jax_enable_x64', True). Set "
            "it at the start of the program, or keep to float32."
        )
