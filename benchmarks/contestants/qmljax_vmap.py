"""qmljax, with the samples under the user's own vmap."""

import jax

from benchmarks._cases import Problem
from benchmarks.contestants import _jax, qmljax
from benchmarks.contestants._jax import Call


def step(problem: Problem) -> Call:
    batched = jax.vmap(qmljax.model(problem), in_axes=(None, 0))
    return _jax.step(problem, lambda w, x: batched(w, x)[:, 0])
