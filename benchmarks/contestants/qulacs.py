"""qulacs. Its RX, RY, RZ and Pauli rotations turn the other way round: their angles are negated here.

Samples run in a loop, each with a circuit of its own that is built beforehand; only angles whose gradient is asked for
are parametric.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import qulacs
from qulacs import gate

from benchmarks._cases import SHOTS, Problem
from benchmarks._circuits import Gate, lowered
from benchmarks.contestants._first import first

LACKING = ("p", "u", "cy", "ch", "iswap", "cp", "crx", "cry", "crz")
FIXED = {
    "h": gate.H,
    "x": gate.X,
    "y": gate.Y,
    "z": gate.Z,
    "s": gate.S,
    "sdg": gate.Sdag,
    "t": gate.T,
    "tdg": gate.Tdag,
    "sx": gate.sqrtX,
    "cx": gate.CNOT,
    "cz": gate.CZ,
    "swap": gate.SWAP,
    "ccx": gate.TOFFOLI,
    "cswap": gate.FREDKIN,
}
PAULIS = {"rx": 1, "ry": 2, "rz": 3, "rxx": 1, "ryy": 2, "rzz": 3}
ROTATIONS = {"rx": (gate.RX, gate.ParametricRX), "ry": (gate.RY, gate.ParametricRY), "rz": (gate.RZ, gate.ParametricRZ)}


def add(circuit: qulacs.ParametricQuantumCircuit, g: Gate, parametric: bool) -> None:
    if not g.angles:
        circuit.add_gate(FIXED[g.name](*g.qubits))
        return
    if g.name in ROTATIONS:
        rotation = ROTATIONS[g.name][parametric](*g.qubits, -g.angles[0])
    else:
        make = gate.ParametricPauliRotation if parametric else gate.PauliRotation
        rotation = make(list(g.qubits), [PAULIS[g.name]] * len(g.qubits), -g.angles[0])
    (circuit.add_parametric_gate if parametric else circuit.add_gate)(rotation)


def observable(problem: Problem) -> qulacs.Observable:
    result = qulacs.Observable(problem.num_qubits)
    for coefficient, letters, qubits in problem.observable:
        result.add_operator(coefficient, " ".join(f"{p} {q}" for p, q in zip(letters, qubits, strict=True)))
    return result


class Multiple(NamedTuple):
    """`factor` times the weight at `place`: what every angle is that depends on weights."""

    place: int
    factor: float = 1.0

    def __neg__(self) -> "Multiple":
        return Multiple(self.place, -self.factor)

    def __truediv__(self, divisor: float) -> "Multiple":
        return Multiple(self.place, self.factor / divisor)


class Sample:
    """The circuit at one sample, and the chain rule from its parametric angles to the weights and the inputs."""

    def __init__(self, problem: Problem, x: np.ndarray, with_inputs: bool = False):
        self.problem, self.observable = problem, observable(problem)
        self.state = qulacs.QuantumState(problem.num_qubits)
        self.circuit = qulacs.ParametricQuantumCircuit(problem.num_qubits)
        weights = [Multiple(k) for k in range(problem.num_weights)]

        def gates(x: np.ndarray) -> list[Gate]:
            return list(lowered(problem.circuit(weights, x.tolist()), LACKING))

        def angles(x: np.ndarray) -> np.ndarray:
            listed = (a for g in gates(x) for a in g.angles)
            return np.array([0.0 if isinstance(a, Multiple) else a for a in listed])

        # Angles are polynomials of at most the second degree in the inputs: central differences are exact.
        units = np.eye(len(x)) if with_inputs else np.zeros((0, len(x)))
        slopes = np.array([(angles(x + unit) - angles(x - unit)) / 2 for unit in units]).T  # (angles, inputs)
        self.places, self.factors, kept, count = [], [], [], 0
        for g in gates(x):
            multiple = bool(g.angles) and isinstance(g.angles[0], Multiple)
            parametric = multiple or (with_inputs and bool(g.angles) and bool(slopes[count].any()))
            if parametric:
                self.places.append(g.angles[0].place if multiple else 0)
                self.factors.append(g.angles[0].factor if multiple else 0.0)
                kept.append(count)
            add(self.circuit, g._replace(angles=(0.0,)) if multiple else g, parametric)
            count += len(g.angles)
        self.slopes = slopes[kept] if with_inputs else None
        self.of_weights = [k for k, factor in enumerate(self.factors) if factor]

    def set(self, w: np.ndarray) -> None:
        angles = (-w[self.places] * self.factors).tolist()
        for k in self.of_weights:
            self.circuit.set_parameter(k, angles[k])

    def value(self) -> float:
        self.state.set_zero_state()
        self.circuit.update_quantum_state(self.state)
        return self.observable.get_expectation_value(self.state)

    def gradient(self) -> np.ndarray:
        """In the parametric angles."""
        return -np.array(self.circuit.backprop(self.observable))

    def in_weights(self, gradient: np.ndarray) -> np.ndarray:
        return np.bincount(self.places, gradient * self.factors, self.problem.num_weights)

    def in_inputs(self, gradient: np.ndarray) -> np.ndarray:
        return gradient @ self.slopes


def step(problem: Problem) -> Callable[[], tuple]:
    w, x, y = problem.arrays("float64")
    samples = [Sample(problem, row) for row in x]

    def run() -> tuple:
        loss, gradient = 0.0, np.zeros_like(w)
        for sample, target in zip(samples, y, strict=True):
            sample.set(w)
            residual = sample.value() - target
            loss += residual**2 / len(y)
            gradient += 2 * residual / len(y) * sample.in_weights(sample.gradient())
        return loss, gradient

    return run


def step_with_inputs(problem: Problem) -> Callable[[], tuple]:
    w, x, y = problem.arrays("float64")
    samples = [Sample(problem, row, with_inputs=True) for row in x]

    def run() -> tuple:
        loss, in_weights, in_inputs = 0.0, np.zeros_like(w), np.zeros_like(x)
        for k, (sample, target) in enumerate(zip(samples, y, strict=True)):
            sample.set(w)
            residual = sample.value() - target
            loss += residual**2 / len(y)
            gradient = 2 * residual / len(y) * sample.gradient()
            in_weights += sample.in_weights(gradient)
            in_inputs[k] = sample.in_inputs(gradient)
        return loss, (in_weights, in_inputs)

    return run


def gram(problem: Problem) -> Callable[[], np.ndarray]:
    _, x, _ = problem.arrays("float64")

    def gates(x: np.ndarray) -> list[Gate]:
        return list(lowered(problem.circuit((), x), LACKING))

    circuit = qulacs.ParametricQuantumCircuit(problem.num_qubits)
    for g in gates(x[0]):
        add(circuit, g, parametric=bool(g.angles))
    state = qulacs.QuantumState(problem.num_qubits)

    def run() -> np.ndarray:
        psi = np.empty((len(x), 1 << problem.num_qubits), np.complex64)
        angles = -np.stack([a for g in gates(x.T) for a in g.angles], axis=1)  # (points, angles)
        for row, values in zip(psi, angles.tolist(), strict=True):
            for k, angle in enumerate(values):
                circuit.set_parameter(k, angle)
            state.set_zero_state()
            circuit.update_quantum_state(state)
            row[:] = state.get_vector()
        return np.abs(psi.conj() @ psi.T) ** 2

    return run


def single(problem: Problem) -> tuple[Sample, np.ndarray]:
    return Sample(problem, np.zeros(0)), problem.arrays("float64")[0]


def forward(problem: Problem) -> Callable[[], float]:
    sample, w = single(problem)

    def run() -> float:
        sample.set(w)
        return sample.value()

    return run


def gradient(problem: Problem) -> Callable[[], tuple]:
    sample, w = single(problem)

    def run() -> tuple:
        sample.set(w)
        return sample.value(), sample.in_weights(sample.gradient())

    return run


def sample(problem: Problem) -> Callable[[], list[int]]:
    at, w = single(problem)

    def run() -> list[int]:
        at.set(w)
        at.value()
        return at.state.sampling(SHOTS)

    return run


first_value, first_gradient = first(lambda p: forward(p)()), first(lambda p: gradient(p)())
