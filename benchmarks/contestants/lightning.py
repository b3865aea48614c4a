"""PennyLane's lightning.qubit: C++, with adjoint gradients.

Differentiated through PennyLane's autograd interface, with a broadcast batch: as fast as under JAX, whose tracing would
cost a minute for a deep circuit.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pennylane as qml

from benchmarks._cases import SHOTS, Problem
from benchmarks.contestants import _jax, pennylane
from benchmarks.contestants._first import first


def device(problem: Problem) -> Any:
    return qml.device("lightning.qubit", wires=problem.num_qubits, c_dtype=np.complex64)


def value(problem: Problem) -> Callable:
    return pennylane.expectation(problem, device(problem), interface="autograd", diff_method="adjoint")


def value_and_gradient(f: Callable, *arguments: np.ndarray) -> Callable[[], tuple]:
    gradient = qml.grad(f, argnums=list(range(len(arguments))))
    trainable = [qml.numpy.array(a, requires_grad=True) for a in arguments]

    def run() -> tuple:
        gradients = gradient(*trainable)
        return gradient.forward, gradients

    return run


def step(problem: Problem) -> Callable[[], tuple]:
    of, (w, x, y) = value(problem), problem.arrays()
    return value_and_gradient(lambda w: qml.numpy.mean((of(w, x.T) - y) ** 2), w)


def step_with_inputs(problem: Problem) -> Callable[[], tuple]:
    of, (w, x, y) = value(problem), problem.arrays()
    return value_and_gradient(lambda w, x: qml.numpy.mean((of(w, x.T) - y) ** 2), w, x)


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


def gradient(problem: Problem) -> Callable[[], tuple]:
    return value_and_gradient(value(problem), problem.arrays()[0])


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


first_value, first_gradient = first(lambda p: forward(p)()), first(lambda p: gradient(p)())
