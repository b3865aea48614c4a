"""Quantum models as layers of PyTorch networks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from qmljax._checks import check_array, shown
from qmljax._models.protocols import Model
from qmljax.torch._function import torch_function


class TorchConnector(torch.nn.Module):
    """A quantum model as a layer of a PyTorch network.

    Its parameter `weight`, of shape (W,), is all of its state. `forward(x)` takes tensors (..., n_in) with any number
    of leading dimensions to (..., *output_shape), and is differentiable in `x` as well as in `weight`; see
    `torch_function` for how. The dtype is the wider one of `x` and `weight`; integers become the dtype of `weight`, and
    half precision is computed with in float32, of which the result is rounded.

    Args:
        model: A function ``model(weights, x)`` with `num_weights`, `num_inputs` and `output_shape`, such as
            `estimator_qnn` and `sampler_qnn` return, on any backend.
        initial_weights: What `weight` starts from, of shape (W,). A tensor keeps its floating point dtype; arrays and
            lists, which are float64 by no choice, get PyTorch's default dtype, as the rest of the network has.
            Default: uniform between -1 and 1 by PyTorch's generator, in PyTorch's default dtype.

    Raises:
        TypeError: `model` is not such a function, or the weights are not real.
        ValueError: `initial_weights` has another shape.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes, zz_feature_map
        >>> from qmljax import estimator_qnn
        >>> feature_map = zz_feature_map(2)
        >>> model = estimator_qnn(feature_map.compose(real_amplitudes(2, reps=1)), inputs=feature_map.parameters)
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2), TorchConnector(model), torch.nn.Linear(1, 1))
        >>> network(torch.zeros(10, 3)).shape
        torch.Size([10, 1])
    """

    def __init__(self, model: Model, initial_weights: Any = None) -> None:
        super().__init__()
        if not callable(model) or not all(hasattr(model, name) for name in ("num_weights", "num_inputs")):
            raise TypeError(
                "`model` must be a function model(weights, x) with `num_weights` and `num_inputs`, such as "
                f"estimator_qnn returns, but is {model!r}. For other JAX functions there is `torch_function`."
            )
        if initial_weights is None:
            weight = torch.empty(model.num_weights).uniform_(-1, 1)
        else:
            weight = _tensor(initial_weights)
        if weight.shape != (model.num_weights,):
            raise ValueError(
                f"`initial_weights` must have shape ({model.num_weights},), a number for each weight of the model, but "
                f"has shape {tuple(weight.shape)}."
            )
        if weight.is_complex():
            raise TypeError(f"`initial_weights` must be real, but has dtype {weight.dtype}. Angles are in radians.")
        self.weight = torch.nn.Parameter(weight if weight.is_floating_point() else weight.to(torch.get_default_dtype()))
        self.model = model
        self.function = torch_function(model)

    def forward(self, x: Tensor | None = None) -> Tensor:
        """The outputs of the model for inputs.

        Args:
            x: Inputs of shape (..., n_in), a real tensor. It may be left out if the model has no inputs.

        Returns:
            Of shape (..., *output_shape).

        Raises:
            TypeError: `x` is no tensor, or complex.
            ValueError: `x` has another shape.
        """
        if x is None:
            x = self.weight.new_zeros(0)
        if not isinstance(x, Tensor):
            raise TypeError(f"`x` must be a tensor, but is a {type(x).__name__}. Use `torch.as_tensor`.")
        if x.is_complex():
            raise TypeError(f"`x` must be real, but has dtype {x.dtype}. Angles are in radians.")
        wider = torch.promote_types(self.weight.dtype, x.dtype)
        dtype = torch.promote_types(wider, torch.float32)
        return self.function(self.weight.to(dtype), x.to(dtype)).to(wider)

    def extra_repr(self) -> str:
        """What stands between the brackets of the printed layer."""
        model = self.model
        shape = f", output_shape={model.output_shape}" if hasattr(model, "output_shape") else ""
        return f"inputs={model.num_inputs}, weights={model.num_weights}{shape}"


def _tensor(weights: Any) -> Tensor:
    """Weights as a tensor of their own."""
    if isinstance(weights, Tensor):
        return weights.detach().clone()
    array = check_array(weights, "initial_weights", "a number for each weight of the model")
    if not np.isfinite(array).all():
        raise ValueError(f"`initial_weights` must be finite, but are {shown(weights)}.")
    return torch.tensor(np.array(array, float), dtype=torch.get_default_dtype())
