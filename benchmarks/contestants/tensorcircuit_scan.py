"""TensorCircuit-NG as an expert writes a deep periodic circuit: one layer, scanned."""

import jax
import tensorcircuit as tc
from jax import Array

from benchmarks._cases import Problem
from benchmarks._circuits import Periodic
from benchmarks.contestants import _jax, tensorcircuit
from benchmarks.contestants._jax import Call


def gradient(problem: Problem) -> Call:
    n, circuit = problem.num_qubits, problem.circuit
    assert isinstance(circuit, Periodic)
    read = tensorcircuit.expectation(problem)

    def layer(state: Array, angles: Array) -> tuple[Array, None]:
        return tensorcircuit.apply(tc.Circuit(n, inputs=state), circuit.layer(angles)).state(), None

    def value(w: Array) -> Array:
        start = tensorcircuit.apply(tc.Circuit(n), circuit.before).state()
        state, _ = jax.lax.scan(layer, start, w.reshape(circuit.layers, circuit.size))
        return read(tc.Circuit(n, inputs=state))

    return _jax.gradient(problem, value)
