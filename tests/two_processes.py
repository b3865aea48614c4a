"""One of two processes that hold one state together: `two_processes.py ADDRESS PROCESSES RANK`.

Prints the errors of values, of a gradient, and of a process's own amplitudes, as JSON; `tests/_engine/test_shards.py`
starts both, with 4 virtual devices each.
"""

import json
import sys

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp, Statevector

import qmljax as qj

if __name__ == "__main__":
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address, processes, rank = sys.argv[1:]
    jax.distributed.initialize(address, int(processes), int(rank))
    mesh = Mesh(np.array(jax.devices()), ("q",), axis_types=(AxisType.Auto,))
    circuit = efficient_su2(6, reps=1)
    params = np.random.default_rng(0).uniform(-3, 3, circuit.num_parameters).astype(np.float32)
    labels = SparsePauliOp(["ZZIIII", "XIIIIX", "IYIIII"], [1.0, 0.5, 2.0])
    state = Statevector(circuit.assign_parameters(params))
    there, here = qj.expectation(circuit, labels, mesh=mesh), qj.expectation(circuit, labels, compile=True)
    errors = {"value": float(there(params)) - float(state.expectation_value(labels).real)}
    slopes = [np.asarray(jax.jit(jax.grad(f))(params)) for f in (there, here)]
    errors["gradient"] = float(np.abs(slopes[0] - slopes[1]).max())
    amplitudes = qj.statevector(circuit, mesh=mesh)(params)
    mine = [np.abs(np.asarray(s.data) - state.data[s.index]).max() for s in amplitudes.addressable_shards]
    errors["amplitudes"] = float(max(mine))
    print(json.dumps(errors))
