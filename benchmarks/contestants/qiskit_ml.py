"""Qiskit Machine Learning, with the exact primitives of Qiskit and its default gradient, parameter shift."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator, StatevectorSampler
from qiskit_machine_learning.gradients import DerivativeType, LinCombQGT, ParamShiftEstimatorGradient
from qiskit_machine_learning.kernels import FidelityStatevectorKernel
from qiskit_machine_learning.neural_networks import EstimatorQNN

from benchmarks._cases import SHOTS, Problem
from benchmarks._circuits import to_qiskit
from benchmarks.contestants.qiskit import observable


def model(
    problem: Problem, input_gradients: bool = False, primitive: Callable[[], BaseEstimatorV2] = StatevectorEstimator
) -> EstimatorQNN:
    circuit, weights, inputs = to_qiskit(problem.num_qubits, problem.circuit)
    estimator = primitive()
    return EstimatorQNN(
        circuit=circuit,
        estimator=estimator,
        observables=observable(problem),
        input_params=inputs,
        weight_params=weights,
        gradient=ParamShiftEstimatorGradient(estimator),
        input_gradients=input_gradients,
        default_precision=0.0,
    )


def step(problem: Problem) -> Callable[[], tuple]:
    qnn = model(problem)
    w, x, y = problem.arrays("float64")

    def run() -> tuple:
        residuals = qnn.forward(x, w)[:, 0] - y
        _, in_weights = qnn.backward(x, w)
        return np.mean(residuals**2), 2 * residuals @ in_weights[:, 0] / len(y)

    return run


def step_with_inputs(problem: Problem) -> Callable[[], tuple]:
    qnn = model(problem, input_gradients=True)
    w, x, y = problem.arrays("float64")

    def run() -> tuple:
        residuals = qnn.forward(x, w)[:, 0] - y
        in_inputs, in_weights = qnn.backward(x, w)
        by_residual = 2 * residuals / len(y)
        return np.mean(residuals**2), (by_residual @ in_weights[:, 0], by_residual[:, None] * in_inputs[:, 0])

    return run


def torch_step(problem: Problem) -> Callable[[], tuple]:
    from qiskit_machine_learning.connectors import TorchConnector

    from benchmarks.contestants import _torch

    layer = TorchConnector(model(problem, input_gradients=True), problem.arrays()[0])
    return _torch.step(problem, layer, layer.weight)


def gradient(problem: Problem) -> Callable[[], tuple]:
    qnn = model(problem)
    w, _, _ = problem.arrays("float64")
    return lambda: (qnn.forward(None, w)[0, 0], qnn.backward(None, w)[1][0, 0])


def forward(problem: Problem) -> Callable[[], float]:
    qnn = model(problem)
    w, _, _ = problem.arrays("float64")
    return lambda: qnn.forward(None, w)[0, 0]


def gram(problem: Problem) -> Callable[[], np.ndarray]:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    kernel = FidelityStatevectorKernel(feature_map=circuit)
    _, x, _ = problem.arrays("float64")
    return lambda: kernel.evaluate(x)


def metric(problem: Problem) -> Callable[[], np.ndarray]:
    circuit, weights, _ = to_qiskit(problem.num_qubits, problem.circuit)
    tensor = LinCombQGT(StatevectorEstimator(), derivative_type=DerivativeType.REAL)
    w, _, _ = problem.arrays("float64")
    return lambda: np.real(tensor.run([circuit], [w], [weights]).result().qgts[0])


def sample(problem: Problem) -> Callable[[], Any]:
    circuit, _, _ = to_qiskit(problem.num_qubits, problem.circuit)
    circuit.measure_all()
    sampler = StatevectorSampler()
    w, _, _ = problem.arrays("float64")

    def run() -> np.ndarray:
        bits = sampler.run([(circuit, w)], shots=SHOTS).result()[0].data.meas.array  # (shots, bytes), big endian
        return np.unpackbits(bits, axis=1)[:, : -problem.num_qubits - 1 : -1]

    return run


def values(problem: Problem, primitive: Callable[[], BaseEstimatorV2] = StatevectorEstimator) -> Callable[[], Any]:
    circuit, weights, inputs = to_qiskit(problem.num_qubits, problem.circuit)
    w, x, _ = problem.arrays("float64")
    estimator = primitive()
    bindings = {tuple(weights): np.tile(w, (len(x), 1)), tuple(inputs): x}
    return lambda: estimator.run([(circuit, observable(problem), bindings)]).result()[0].data.evs


def bound(problem: Problem, primitive: Callable[[], BaseEstimatorV2] = StatevectorEstimator) -> Callable[[], Any]:
    circuit, weights, _ = to_qiskit(problem.num_qubits, problem.circuit)
    starts, operator, estimator = problem.starts("float64"), observable(problem), primitive()
    calls = itertools.count()

    def run() -> list:
        new = starts + 0.1 * next(calls)
        pubs = [(circuit.assign_parameters(dict(zip(weights, row, strict=True))), operator) for row in new]
        return [result.data.evs for result in estimator.run(pubs).result()]

    return run


def jacobian(problem: Problem, primitive: Callable[[], BaseEstimatorV2] = StatevectorEstimator) -> Callable[[], Any]:
    qnn = model(problem, primitive=primitive)
    w, x, _ = problem.arrays("float64")
    return lambda: qnn.backward(x, w)[1]
