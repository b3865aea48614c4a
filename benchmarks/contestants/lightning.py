"""PennyLane's lightning.qubit: C++, with adjoint gradients.

The batch goes through jax.jit and jax.vmap: as fast as the autograd interface, and faster than broadcasting under JAX.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pennylane as qml

from benchmarks._cases import SHOTS, Problem
from benchmarks.contestants import _jax, pennylane
from benchmarks.contestants._jax import Call


def device(problem: Problem) -> Any:
    return qml.device("lightning.qubit", wires=problem.num_qubits, c_dtype=np.complex64)


def value(problem: Problem) -> Callable:
    return pennylane.expectation(problem, device(problem), interface="jax", diff_method="adjoint")


def step(problem: Problem) -> Call:
    return _jax.step(problem, jax.vmap(value(problem), (None, 0)))


def step_with_inputs(problem: Problem) -> Call:
    return _jax.step_with_inputs(problem, jax.vmap(value(problem), (None, 0)))


def gram(problem: Problem) -> Callable[[], np.ndarray]:
    of = pennylane.state(problem, device(problem), interface=None, diff_method=None)
    _, x, _ = problem.arrays()

    def run() -> np.ndarray:
        psi = of((), x.T)
        return np.abs(psi.conj() @ psi.T) ** 2

    return run


def forward(problem: Problem) -> Callable[[], float]:
    of = pennylane.expectation(problem, device(problem), interface=None, diff_method=None)
    w, _, _ = problem.arrays()
    return lambda: of(w)


def gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, value(problem))


def hessian(problem: Problem) -> Callable[[], Any]:
    """By parameter shifts of second order: JAX differentiates the adjoint gradient to zeros, without a word."""
    of = pennylane.expectation(problem, device(problem), interface="jax", diff_method="parameter-shift", max_diff=2)
    (w,) = _jax.arrays(problem)[:1]
    return lambda: jax.block_until_ready(jax.hessian(of)(w))


def sample(problem: Problem) -> Callable[[], np.ndarray]:
    @qml.set_shots(SHOTS)
    @qml.qnode(device(problem), interface=None, diff_method=None)
    def of(w: np.ndarray) -> Any:
        pennylane.apply(problem.circuit(w, ()))
        return qml.sample()

    w, _, _ = problem.arrays()
    return lambda: of(w)
