"""JAX functions as PyTorch functions, and quantum models as layers of PyTorch networks.

A function crosses the bridge as a whole: its values, its pullback and its derivative along a tangent are JAX functions
too, and cross the same bridge, so that every order of derivative exists in both modes. `jax.vmap` serves `torch.vmap`.
The memory of tensors and arrays is shared, never copied, where both can read it.

Install with ``pip install 'qmljax[torch]'``.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("qmljax.torch needs PyTorch: pip install 'qmljax[torch]'.") from error

from qmljax.torch._connector import TorchConnector as TorchConnector
from qmljax.torch._function import TorchFunction as TorchFunction
from qmljax.torch._function import torch_function as torch_function
