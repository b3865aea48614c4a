"""Qiskit's own Statevector, and expectation values in it."""

from collections.abc import Callable

from qiskit.quantum_info import SparsePauliOp, Statevector

from benchmarks._cases import Problem
from benchmarks._circuits import bound_qiskit, to_qiskit
from benchmarks.contestants._first import first


def observable(problem: Problem) -> SparsePauliOp:
    terms = [(letters, list(qubits), coefficient) for coefficient, letters, qubits in problem.observable]
    return SparsePauliOp.from_sparse_list(terms, problem.num_qubits)


def forward(problem: Problem) -> Callable[[], float]:
    circuit, weights, _ = to_qiskit(problem.num_qubits, problem.circuit)
    w, operator = problem.arrays("float64")[0], observable(problem)
    return lambda: Statevector(circuit.assign_parameters(dict(zip(weights, w, strict=True)))).expectation_value(
        operator
    )


def _forward_once(problem: Problem) -> float:
    circuit = bound_qiskit(problem.num_qubits, problem.circuit, problem.arrays("float64")[0])
    return Statevector(circuit).expectation_value(observable(problem)).real


first_value = first(_forward_once)
