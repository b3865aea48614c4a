"""Qiskit Aer: values, states and samples, without gradients."""

from collections.abc import Callable

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from benchmarks._cases import SHOTS, STRENGTH, TRAJECTORIES, Problem
from benchmarks._circuits import to_qiskit


def prepared(problem: Problem, read: Callable[[QuantumCircuit], object], **options: object) -> Callable:
    """A function of parameter values, a row for each execution, that gives the result."""
    circuit, weights, inputs = to_qiskit(problem.num_qubits, problem.circuit)
    read(circuit)
    settings = {"method": "statevector", "precision": "single", "max_parallel_experiments": 0} | options
    simulator = AerSimulator(**settings)
    circuit = transpile(circuit, simulator, optimization_level=0)
    parameters = [*weights, *inputs]

    def run(rows: np.ndarray, **options: int):
        binds = [dict(zip(parameters, rows.T.tolist(), strict=True))]
        return simulator.run(circuit, parameter_binds=binds, **options).result()

    return run


def forward(problem: Problem, shots: int = 1, **options: object) -> Callable[[], float]:
    terms = [(letters, list(qubits), coefficient) for coefficient, letters, qubits in problem.observable]
    operator = SparsePauliOp.from_sparse_list(terms, problem.num_qubits)
    execute = prepared(problem, lambda c: c.save_expectation_value(operator, c.qubits), **options)
    w, _, _ = problem.arrays("float64")
    return lambda: execute(w[None], shots=shots).data(0)["expectation_value"]


def trajectories(problem: Problem) -> Callable[[], float]:
    return _noisy(problem, TRAJECTORIES, "statevector")


def noisy_value(problem: Problem) -> Callable[[], float]:
    return _noisy(problem, 1, "density_matrix")


def _noisy(problem: Problem, shots: int, method: str) -> Callable[[], float]:
    one = depolarizing_error(STRENGTH, 1)
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(one, ["ry", "rz"])
    noise.add_all_qubit_quantum_error(one.tensor(one), ["cx"])
    return forward(problem, shots, method=method, noise_model=noise)


def gram(problem: Problem) -> Callable[[], np.ndarray]:
    execute = prepared(problem, lambda c: c.save_statevector())
    _, x, _ = problem.arrays("float64")

    def run() -> np.ndarray:
        result = execute(x, shots=1)
        psi = np.stack([np.asarray(result.data(k)["statevector"]) for k in range(len(x))]).astype(np.complex64)
        return np.abs(psi.conj() @ psi.T) ** 2

    return run


def sample(problem: Problem) -> Callable[[], np.ndarray]:
    execute = prepared(problem, lambda c: c.measure_all())
    w, _, _ = problem.arrays("float64")

    def run() -> np.ndarray:
        counts = execute(w[None], shots=SHOTS).data(0)["counts"]
        return np.repeat([int(outcome, 16) for outcome in counts], list(counts.values()))

    return run
