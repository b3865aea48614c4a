"""Gradients under `jax.shard_map`: of replicated weights, each device has its share. Oracles: closed forms.

The file runs itself in a process with two virtual devices.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import UnitaryGate

import qmljax as qj
from tests.devices import run_with_devices

W, X = 0.7, np.linspace(-1, 2, 4)
A, B = Parameter("a"), Parameter("b")


def phase() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0), circuit.p(2 * A, 0), circuit.ry(B, 0)
    return circuit


def product() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(A * B, 0), circuit.cx(0, 1)
    return circuit


def deep() -> QuantumCircuit:
    """Forty layers of RY(b/20), each after a full turn of phases, add up to RY(2b)."""
    circuit = QuantumCircuit(2)
    circuit.ry(A, 0)
    for _ in range(40):
        circuit.rz(A, 1), circuit.cz(0, 1), circuit.cz(0, 1), circuit.ry(B / 20, 0)
    return circuit


def dense() -> QuantumCircuit:
    """A block that is no gate of the table, and its inverse, around a rotation."""
    circuit = QuantumCircuit(2)
    angle = 0.3
    block = np.kron(np.eye(2), np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))
    circuit.append(UnitaryGate(block), [0, 1]), circuit.ry(A + B, 0), circuit.append(UnitaryGate(block.T), [0, 1])
    return circuit


def toffoli() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.x(0), circuit.ry(A, 1), circuit.ccx(0, 1, 2), circuit.t(2), circuit.ry(B, 2)
    return circuit


CASES: dict[str, tuple[Callable[[], QuantumCircuit], str, Callable]] = {
    "phase": (phase, "Z", lambda w, x: -jnp.sin(w) * jnp.cos(2 * x)),
    "product": (product, "ZI", lambda w, x: jnp.cos(w * x)),
    "deep": (deep, "IZ", lambda w, x: jnp.cos(2 * w + x)),
    "dense": (dense, "IZ", lambda w, x: jnp.cos(w + x)),
    "toffoli": (toffoli, "ZII", lambda w, x: jnp.cos(w) * jnp.cos(x)),
}
# Whether `shard_map` checks what varies, and the bytes of states that a gradient may keep.
MODES = [(name, check, memory) for name in CASES for check in (True, False) for memory in (1 << 29, 0)]


def summed(function: Callable, check: bool) -> Callable:
    """The sum of ``function(w, x)`` over all points, half of them on each device."""
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,))
    share = lambda w, x: jax.lax.psum(jnp.sum(function(w, x)), "i")  # noqa: E731
    specs = (PartitionSpec(), PartitionSpec("i"))
    return jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=check)


if jax.device_count() < 2:

    def test_in_a_process_with_two_devices():
        run_with_devices(__file__, 2)

else:

    @pytest.mark.parametrize(("name", "check", "memory"), MODES)
    def test_values_and_derivatives(x64, name, check, memory):
        circuit, observable, closed = CASES[name]
        model = qj.estimator_qnn(circuit(), observable, inputs=["a"], weights=["b"], memory=memory)
        got = summed(lambda w, x: model(w[None], x[:, None])[:, 0], check)
        expected = lambda w, x: jnp.sum(closed(w, x))  # noqa: E731
        w, x = jnp.asarray(W), jnp.asarray(X)
        for derive in (lambda f: f, jax.grad, jax.jacfwd, lambda f: jax.grad(f, 1), lambda f: jax.grad(jax.grad(f))):
            np.testing.assert_allclose(jax.jit(derive(got))(w, x), derive(expected)(w, x), rtol=0, atol=1e-11)

    def test_gradients_taken_inside(x64):
        """The gradient in a weight that is replicated is summed over the devices by itself, as JAX has it."""
        model = qj.estimator_qnn(phase(), "Z", inputs=["a"], weights=["b"])
        mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,))
        gradient = jax.grad(lambda w, x: jnp.sum(model(w[None], x[:, None])))
        specs = (PartitionSpec(), PartitionSpec("i"))
        inside = jax.shard_map(gradient, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
        expected = -np.cos(W) * np.cos(2 * X).sum()
        np.testing.assert_allclose(jax.jit(inside)(jnp.asarray(W), jnp.asarray(X)), expected, rtol=0, atol=1e-12)

    def test_a_kernel_and_its_weights(x64):
        circuit = QuantumCircuit(1)
        circuit.ry(A * B, 0)
        kernel = qj.fidelity_kernel(circuit, weights=["b"])
        anchor = jnp.zeros((1, 1))
        got = summed(lambda w, x: kernel(x[:, None], anchor, weights=w[None]), True)
        expected = -(X / 2 * np.sin(W * X)).sum()  # of cos(w x / 2)**2
        np.testing.assert_allclose(jax.jit(jax.grad(got))(jnp.asarray(W), jnp.asarray(X)), expected, rtol=0, atol=1e-12)
