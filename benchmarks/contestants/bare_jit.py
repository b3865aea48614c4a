"""What qmljax is measured against: the same computation as a bare jitted function, and its plain loop."""

from collections.abc import Callable
from typing import Any

from benchmarks._cases import Problem
from benchmarks.contestants import _jax, qmljax
from benchmarks.contestants._jax import Call


def forward(problem: Problem) -> Call:
    return _jax.forward(problem, qmljax.value(problem))


def train(problem: Problem) -> Callable[[], Any]:
    qnn = qmljax.model(problem)
    return _jax.train(problem, lambda w, x: qnn(w, x)[:, 0])


def torch_step(problem: Problem) -> Call:
    return qmljax.step_with_inputs(problem)
