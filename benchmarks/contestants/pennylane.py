"""PennyLane's default.qubit, differentiated by JAX."""

from collections.abc import Callable
from typing import Any

import jax
import pennylane as qml
from jax import Array

from benchmarks._cases import SHOTS, STRENGTH, Problem
from benchmarks._circuits import Gate, Gates
from benchmarks.contestants import _jax
from benchmarks.contestants._first import first
from benchmarks.contestants._jax import Call

GATES = {
    "h": qml.Hadamard,
    "x": qml.X,
    "y": qml.Y,
    "z": qml.Z,
    "s": qml.S,
    "sdg": lambda wires: qml.adjoint(qml.S(wires)),
    "t": qml.T,
    "tdg": lambda wires: qml.adjoint(qml.T(wires)),
    "sx": qml.SX,
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "p": qml.PhaseShift,
    "u": qml.U3,
    "cx": qml.CNOT,
    "cy": qml.CY,
    "cz": qml.CZ,
    "ch": qml.CH,
    "swap": qml.SWAP,
    "iswap": qml.ISWAP,
    "cp": qml.ControlledPhaseShift,
    "crx": qml.CRX,
    "cry": qml.CRY,
    "crz": qml.CRZ,
    "rxx": qml.IsingXX,
    "ryy": qml.IsingYY,
    "rzz": qml.IsingZZ,
    "ccx": qml.Toffoli,
    "cswap": qml.CSWAP,
}


def apply(gates: Gates | list[Gate]) -> None:
    outcomes = {}
    for name, qubits, angles in gates:
        if name == "measure_and_reset":
            outcomes[qubits[0]] = qml.measure(*qubits, reset=True)
        elif name.endswith("_if"):
            qml.cond(outcomes[qubits[0]], GATES[name.removesuffix("_if")])(*angles, wires=qubits[1])
        else:
            GATES[name](*angles, wires=qubits)


def observable(problem: Problem) -> Any:
    terms = [
        (coefficient, qml.prod(*(getattr(qml, letter)(q) for letter, q in zip(letters, qubits, strict=True))))
        for coefficient, letters, qubits in problem.observable
    ]
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else qml.dot(*zip(*terms, strict=True))


def expectation(problem: Problem, device: Any, **options: Any) -> Callable[..., Any]:
    """(w, x) -> <O>; with `x` of shape (n_in, batch), for the whole batch."""

    @qml.qnode(device, **options)
    def of(w: Any, x: Any = ()) -> Any:
        apply(problem.circuit(w, x))
        return qml.expval(observable(problem))

    return of


def noisy(problem: Problem) -> Callable[..., Array]:
    """By density matrices; three quarters of the strength are the probability of X, Y or Z."""

    @qml.qnode(qml.device("default.mixed", wires=problem.num_qubits), interface="jax", diff_method="backprop")
    def of(w: Any, x: Any = ()) -> Any:
        for gate in problem.circuit(w, x):
            apply([gate])
            for q in gate.qubits:
                qml.DepolarizingChannel(0.75 * STRENGTH, wires=q)
        return qml.expval(observable(problem))

    return of


def noisy_value(problem: Problem) -> Call:
    return _jax.forward(problem, noisy(problem))


def noisy_gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, noisy(problem))


def noisy_step(problem: Problem) -> Call:
    return _jax.step(problem, jax.vmap(noisy(problem), (None, 0)))


def state(problem: Problem, device: Any, **options: Any) -> Callable[..., Any]:
    @qml.qnode(device, **options)
    def of(w: Any, x: Any = ()) -> Any:
        apply(problem.circuit(w, x))
        return qml.state()

    return of


def default_qubit(problem: Problem, read: Callable = expectation) -> Callable[..., Array]:
    device = qml.device("default.qubit", wires=problem.num_qubits)
    return read(problem, device, interface="jax", diff_method="backprop")


def values(problem: Problem) -> Callable[[Array, Array], Array]:
    of = default_qubit(problem)
    return lambda w, x: of(w, x.T)


def step(problem: Problem) -> Call:
    return _jax.step(problem, values(problem))


def train(problem: Problem) -> Callable[[], Any]:
    return _jax.train(problem, values(problem))


def grid(problem: Problem) -> Callable[[], Any]:
    return _jax.grid(problem, values(problem))


def step_with_inputs(problem: Problem) -> Call:
    return _jax.step_with_inputs(problem, values(problem))


def torch_step(problem: Problem) -> Callable[[], tuple]:
    import torch

    from benchmarks.contestants import _torch

    @qml.qnode(qml.device("default.qubit", wires=problem.num_qubits), interface="torch", diff_method="backprop")
    def of(inputs: Any, weights: Any) -> Any:
        apply(problem.circuit(weights, inputs.T))
        return qml.expval(observable(problem))

    start = {"weights": torch.from_numpy(problem.arrays()[0])}
    layer = qml.qnn.TorchLayer(of, {"weights": (problem.num_weights,)}, init_method=start)
    return _torch.step(problem, layer, layer.weights)


def gram(problem: Problem) -> Call:
    of = default_qubit(problem, state)
    return _jax.gram(problem, lambda x: of((), x.T))


def forward(problem: Problem) -> Call:
    return _jax.forward(problem, default_qubit(problem))


def gradient(problem: Problem) -> Call:
    return _jax.gradient(problem, default_qubit(problem))


def feed_forward_gradient(problem: Problem) -> Call:
    device = qml.device("default.qubit")
    options = {"interface": "jax", "diff_method": "backprop", "mcm_method": "deferred"}
    return _jax.gradient(problem, expectation(problem, device, **options))


def hessian(problem: Problem) -> Call:
    return _jax.hessian(problem, default_qubit(problem))


def metric(problem: Problem) -> Call:
    return _jax.metric(problem, default_qubit(problem, state))


def sample(problem: Problem) -> Call:
    def outcomes(w: Array, key: Array) -> Array:
        device = qml.device("default.qubit", wires=problem.num_qubits, seed=key)

        @qml.set_shots(SHOTS)
        @qml.qnode(device, interface="jax", diff_method=None)
        def of(w: Array) -> Any:
            apply(problem.circuit(w, ()))
            return qml.sample()

        return of(w)

    return Call(jax.jit(outcomes), (_jax.arrays(problem)[0], jax.random.key(0)))


def _without_jit(problem: Problem) -> Callable[..., Any]:
    device = qml.device("default.qubit", wires=problem.num_qubits)
    return expectation(problem, device, interface="autograd", diff_method="adjoint")


def _first_gradient(problem: Problem) -> tuple:
    gradient = qml.grad(_without_jit(problem))
    in_weights = gradient(qml.numpy.array(problem.arrays()[0], requires_grad=True))
    return gradient.forward, in_weights


first_value = first(lambda p: _without_jit(p)(p.arrays()[0]))
first_gradient = first(_first_gradient)
