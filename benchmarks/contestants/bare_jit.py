"""What an eager call of qmljax is measured against: the same computation as a bare jitted function."""

from benchmarks._cases import Problem
from benchmarks.contestants import _jax, qmljax
from benchmarks.contestants._jax import Call


def forward(problem: Problem) -> Call:
    return _jax.forward(problem, qmljax.value(problem))
