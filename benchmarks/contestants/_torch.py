"""The task of contestants that are layers of PyTorch."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks._cases import Problem


def step(problem: Problem, layer: torch.nn.Module, weight: torch.Tensor) -> Callable[[], tuple]:
    """`layer(x)`: the expectation values of a batch, from its weights `weight`."""
    _, x, y = (torch.from_numpy(a).to(weight.dtype) for a in problem.arrays())
    x.requires_grad_()  # as if it came from another layer

    def run() -> tuple[Any, tuple[Any, Any]]:
        weight.grad = x.grad = None
        loss = torch.mean((layer(x).reshape(-1) - y) ** 2)
        loss.backward()
        return loss.detach().numpy(), (weight.grad.numpy(), x.grad.numpy())

    return run
