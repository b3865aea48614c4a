"""Tensors as arrays and arrays as tensors, in the same memory where both libraries can read it."""

import functools
from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor

WIDE = {torch.float64, torch.complex128, torch.int64, torch.uint64}


DLPACK_CPU = 1


NUMPY = {torch.float32, torch.float64, torch.complex64, torch.complex128, torch.int32, torch.int64, torch.bool}


def is_legacy_batch(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and torch._C._functorch.is_legacy_batchedtensor(leaf)


def is_wide(leaf: Any) -> bool:
    if isinstance(leaf, Tensor):
        return leaf.dtype in WIDE
    return isinstance(leaf, jax.Array) and leaf.dtype in (np.float64, np.complex128, np.int64, np.uint64)


def is_inexact(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def to_jax(tensor: Tensor) -> Any:
    """The array in the memory of a tensor: JAX has read it before the call is over, so it may be written to then."""
    if tensor.layout != torch.strided:
        raise TypeError(f"Tensors must be dense, but one has layout {tensor.layout}. Use `.to_dense()`.")
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.is_cpu and tensor.dtype in NUMPY and _by_default() == "cpu":
        return tensor.numpy()  # a compiled function shares its memory, too, and takes it sooner than by DLPack
    if (kind := tensor.device.type) not in _platforms():
        raise RuntimeError(
            f"A tensor is on the device {tensor.device}, where JAX cannot compute: it has {', '.join(_platforms())} "
            "here. Move the tensors by `.cpu()`"
            + (", or install jax[cuda12] or jax[cuda13]." if kind == "cuda" else ".")
        )
    return jax.dlpack.from_dlpack(tensor)


_by_default = functools.cache(jax.default_backend)


@functools.cache
def _platforms() -> tuple[str, ...]:
    """The devices of JAX, as PyTorch names them."""
    found = ["cpu"]
    try:
        found += ["cuda"] if jax.devices("gpu") else []
    except RuntimeError:
        pass
    return tuple(found)


def to_torch(array: Any, places: set[int]) -> Tensor:
    """The tensor in the memory of an array that nobody else has; a copy if that memory, in `places`, is an input's."""
    on_cpu = array.__dlpack_device__()[0] == DLPACK_CPU  # has no stream to wait for, so the short way is enough
    tensor = torch.from_dlpack(array.__dlpack__() if on_cpu else array)
    return tensor.clone() if tensor.data_ptr() in places else tensor
