"""The ten models of arXiv:2403.07059, on public names, with the random numbers of its code."""

from collections.abc import Callable
from math import ceil, log2
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import qmljax as qj
from qmljax import circuits

Key = Callable[[], jax.Array]


def z(n: int, *qubits: int) -> SparsePauliOp:
    """Z on some qubits."""
    return SparsePauliOp.from_sparse_list([("Z" * len(qubits), qubits, 1.0)], n)


def vector(circuit: QuantumCircuit, name: str) -> list:
    """The parameters of a vector, in its order."""
    return sorted((p for p in circuit.parameters if p.vector.name == name), key=lambda p: p.index)


def uniform(key: Key, *shape: int, top: float = 2 * np.pi) -> jax.Array:
    return top * jax.random.uniform(key(), shape)


def padded(x: np.ndarray, size: int) -> np.ndarray:
    """Rows with a constant, of norm 1."""
    x = np.c_[x, np.ones((len(x), size - x.shape[1])) / size]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class Trained:
    """A model that is trained by gradient steps.

    It has `score(weights, x)`, of which the sign is the label, `loss`, `first`, weights by keys, and `prepare`.
    """

    keys_below = 1_000_000  # the numbers that keys are made of
    interval, most = 200, 10_000
    scaler: Any = staticmethod(lambda: MinMaxScaler((-np.pi / 2, np.pi / 2)))

    def prepare(self, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaler = self.scaler().fit(x)
        return scaler.transform(x), scaler.transform(other)


class IQPVariationalClassifier(Trained):
    def __init__(self, n: int, repeats: int, n_layers: int) -> None:
        ansatz = circuits.strongly_entangling_layers(n, n_layers, entangler="cz")
        circuit = circuits.iqp_embedding(n, 1)
        x = vector(circuit, "x")
        for _ in range(repeats - 1):  # as in the study's PennyLane, with products in the first repeat alone
            for k in range(n):
                circuit.h(k)
                circuit.rz(x[k], k)
        circuit.compose(ansatz, inplace=True)
        self.shape = n_layers, n, 3
        self.model = qj.estimator_qnn(circuit, z(n, 0, 1), inputs=x, weights=vector(circuit, "w"))

    def first(self, key: Key) -> Any:
        return uniform(key, *self.shape)

    def score(self, w: Any, x: Any) -> jax.Array:
        return self.model(w.ravel(), x)[:, 0]

    def loss(self, w: Any, x: Any, y: Any) -> jax.Array:
        return jnp.mean((1 - self.score(w, x) * y) / 2)


class CircuitCentricClassifier(Trained):
    def __init__(self, n: int, n_input_copies: int, n_layers: int) -> None:
        one = ceil(log2(n))
        self.size, self.copies, qubits = 2**one, n_input_copies, one * n_input_copies
        circuit = circuits.raw_feature_vector(2**qubits)
        inputs, ansatz = list(circuit.parameters), circuits.strongly_entangling_layers(qubits, n_layers)
        circuit.compose(ansatz, range(qubits)[::-1], inplace=True)  # wire 0 of the study is the most significant bit
        self.shape = n_layers, qubits, 3
        self.model = qj.estimator_qnn(circuit, z(qubits, qubits - 1), inputs=inputs, weights=vector(ansatz, "w"))

    def prepare(self, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._copied(padded(x, self.size)), self._copied(padded(other, self.size))

    def _copied(self, x: np.ndarray) -> np.ndarray:
        out = x
        for _ in range(self.copies - 1):
            out = np.einsum("ni,nj->nij", out, x).reshape(len(x), -1)
        return out

    def first(self, key: Key) -> Any:
        return {"weights": uniform(key, *self.shape), "b": jnp.array(0.01)}

    def score(self, w: Any, x: Any) -> jax.Array:
        return self.model(w["weights"].ravel(), x)[:, 0] + w["b"]

    def loss(self, w: Any, x: Any, y: Any) -> jax.Array:
        return jnp.mean(optax.l2_loss(self.score(w, x), y))


class TreeTensorClassifier(Trained):
    def __init__(self, n: int) -> None:
        qubits = 2 ** ceil(log2(ceil(log2(n))))
        self.size = 2**qubits
        circuit, w, k = circuits.raw_feature_vector(self.size), ParameterVector("w", 2 * qubits - 1), 0
        inputs, wire = list(circuit.parameters), list(range(qubits))[::-1]
        for layer in range(int(log2(qubits))):
            for q in range(0, qubits, 2**layer):
                circuit.ry(w[k], wire[q])
                k += 1
            for q in range(0, qubits, 2 ** (layer + 1)):
                circuit.cx(wire[q + 2**layer], wire[q])
        circuit.ry(w[k], wire[0])
        self.model = qj.estimator_qnn(circuit, z(qubits, wire[0]), inputs=inputs, weights=list(w))

    def prepare(self, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return padded(x, self.size), padded(other, self.size)

    def first(self, key: Key) -> Any:
        return {"weights": uniform(key, self.model.num_weights), "bias": 0.1 * jax.random.normal(key(), (1,))}

    def score(self, w: Any, x: Any) -> jax.Array:
        return self.model(w["weights"], x)[:, 0] + w["bias"]

    def loss(self, w: Any, x: Any, y: Any) -> jax.Array:
        return jnp.mean((self.score(w, x) - y) ** 2)


class DataReuploadingClassifier(Trained):
    keys_below = 100_000

    def __init__(self, n: int, n_layers: int, observable_type: str) -> None:
        q = ceil(n / 3)
        self.shapes = (q, n_layers + 1, 3), (n_layers + 1, 3 * q)
        self.read = {"single": 1, "half": max(1, q // 2), "full": q}[observable_type]
        x, t, o = ParameterVector("x", 3 * q), ParameterVector("t", 3 * q * (n_layers + 1)), None
        o, circuit = ParameterVector("o", 3 * q * (n_layers + 1)), QuantumCircuit(q)
        theta = np.array(list(t), object).reshape(q, n_layers + 1, 3)
        omega, xs = np.array(list(o), object).reshape(n_layers + 1, q, 3), np.array(list(x), object).reshape(q, 3)
        for layer in range(n_layers):
            for k in range(q):
                turn(circuit, xs[k] * omega[layer, k], k)
                turn(circuit, theta[k, layer], k)
            for k in range(layer % 2, q - 1, 2):
                circuit.cz(k, k + 1)
        for k in range(q):
            turn(circuit, xs[k] * omega[-1, k] + theta[k, -1], k)
        self.model = qj.estimator_qnn(circuit, [z(q, k) for k in range(self.read)], inputs=x, weights=[*t, *o])

    def prepare(self, x: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, other = super().prepare(x, other)
        return tuple(np.pad(a, ((0, 0), (0, -a.shape[1] % 3))) for a in (x, other))

    def first(self, key: Key) -> Any:
        for _ in range(2):  # the study's code draws them twice
            thetas, omegas = uniform(key, *self.shapes[0], top=1), uniform(key, *self.shapes[1], top=1)
        return {"thetas": thetas, "omegas": omegas, "alphas": jnp.ones((2, self.read))}

    def values(self, w: Any, x: Any) -> jax.Array:
        return self.model(jnp.concatenate([w["thetas"].ravel(), w["omegas"].ravel()]), x)

    def score(self, w: Any, x: Any) -> jax.Array:
        return self.values(w, x).mean(axis=1)

    def loss(self, w: Any, x: Any, y: Any) -> jax.Array:
        values, y = self.values(w, x), y[:, None]
        wrong = (w["alphas"][0] * (1 - values) / 2 - (1 - y) / 2) ** 2
        return (wrong + (w["alphas"][1] * (1 + values) / 2 - (1 + y) / 2) ** 2).sum() / 2 / len(x)


class DressedQuantumCircuitClassifier(Trained):
    scaler = StandardScaler

    def __init__(self, n: int, n_layers: int) -> None:
        x, w, circuit = ParameterVector("x", n), ParameterVector("w", n_layers * n), QuantumCircuit(n)
        for k in range(n):
            circuit.h(k)
            circuit.ry(x[k], k)
        for layer in range(n_layers):
            for k in range(n):
                circuit.ry(w[layer * n + k], k)
            for k in range(n):
                circuit.cx(k, (k + 1) % n)
        self.shape = n_layers, n
        self.model = qj.estimator_qnn(circuit, [z(n, k) for k in range(n)], inputs=x, weights=w)

    def first(self, key: Key) -> Any:
        n, normal = self.shape[1], jax.random.normal
        circuit = uniform(key, *self.shape)
        return {"circuit": circuit, "in": normal(key(), (n, n)) / n, "out": normal(key(), (2, n)) / n}

    def logits(self, w: Any, x: Any) -> jax.Array:
        return self.model(w["circuit"].ravel(), jnp.tanh(x @ w["in"].T) * (np.pi / 2)) @ w["out"].T

    def score(self, w: Any, x: Any) -> jax.Array:
        logits = self.logits(w, x)
        return logits[:, 1] - logits[:, 0]

    def loss(self, w: Any, x: Any, y: Any) -> jax.Array:
        classes = jnp.stack([y < 0, y > 0], axis=1).astype(y.dtype)
        return optax.softmax_cross_entropy(self.logits(w, x), classes).mean()


class SeparableVariationalClassifier(Trained):
    def __init__(self, n: int, encoding_layers: int) -> None:
        self.shape = n, encoding_layers + 1, 3
        x, w, circuit = ParameterVector("x", n), ParameterVector("w", int(np.prod(self.shape))), QuantumCircuit(n)
        angles = np.array(list(w), object).reshape(self.shape)
        for k in range(n):
            for layer in range(encoding_layers):
                turn(circuit, angles[k, layer], k)
                circuit.ry(x[k], k)
            turn(circuit, angles[k, -1], k)
        self.model = qj.estimator_qnn(circuit, [z(n, k) for k in range(n)], inputs=x, weights=w)

    def first(self, key: Key) -> Any:
        return uniform(key, *self.shape)

    def score(self, w: Any, x: Any) -> jax.Array:
        return self.model(w.ravel(), x).mean(axis=1)

    def loss(self, w: Any, x: Any, y: Any) -> jax.Array:
        return optax.sigmoid_binary_cross_entropy(6 * self.score(w, x), jax.nn.relu(y)).mean()


class QuantumMetricLearner(Trained):
    """It is trained on points of both classes, in pairs, and predicts by overlaps with 32 of each."""

    most, examples = 50_000, 32

    def __init__(self, n: int, n_layers: int) -> None:
        self.shape = n_layers, 2 * (n + 1)
        circuit = circuits.qaoa_embedding(n + 1, n_layers, num_features=n)
        w, x = vector(circuit, "w"), vector(circuit, "x")
        place = {p: k for k, p in enumerate([*w, *x])}
        self.order = np.array([place[p] for p in circuit.parameters])
        self.overlap, self.kernel = qj.fidelity(circuit, circuit), qj.fidelity_kernel(circuit, weights=w)

    def first(self, key: Key) -> Any:
        return 0.1 * jax.random.normal(key(), self.shape)

    def params(self, w: Any, x: Any) -> jax.Array:
        return jnp.concatenate([jnp.broadcast_to(w.ravel(), (len(x), w.size)), x], axis=1)[:, self.order]

    def loss(self, w: Any, a: Any, b: Any) -> jax.Array:
        """The study compares a point of a class with itself, so that only this term is not constant."""
        return self.overlap(self.params(w, a), self.params(w, b)).mean()


class IQPKernelClassifier:
    prepare = Trained.prepare
    scaler = staticmethod(Trained.scaler)

    def __init__(self, n: int, repeats: int, C: float) -> None:
        self.kernel, self.C = qj.fidelity_kernel(circuits.iqp_embedding(n, repeats)), C

    def gram(self, x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        return np.asarray(self.kernel(x, y))

    def accuracy(self, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> float:
        x, x_test = self.prepare(x, x_test)
        machine = SVC(kernel="precomputed", C=self.C).fit(self.gram(x, x, seed), y)
        return float(machine.score(self.gram(x_test, x, seed), y_test))


class SeparableKernelClassifier(IQPKernelClassifier):
    def __init__(self, n: int, encoding_layers: int, C: float) -> None:
        x, circuit = ParameterVector("x", n), QuantumCircuit(n)
        for _ in range(encoding_layers):
            for k in range(n):
                circuit.rx(-np.pi / 4, k)
                circuit.ry(-x[k], k)
        self.kernel, self.C = qj.fidelity_kernel(circuit), C


class ProjectedQuantumKernel(IQPKernelClassifier):
    def __init__(self, n: int, gamma_factor: float, C: float, trotter_steps: int, t: float) -> None:
        circuit = circuits.hamiltonian_feature_map(n + 1, trotter_steps=trotter_steps, time=n * t / 2)
        self.n, self.factor, self.C = n, gamma_factor, C
        self.kernel = qj.projected_kernel(circuit, weights=vector(circuit, "w"))

    def gram(self, x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        rng.integers(100_000)
        w = 2 * np.pi * rng.uniform(size=3 * (self.n + 1))
        gamma = self.factor / np.var(np.asarray(self.kernel.projections(x, weights=w))) / self.n
        return np.asarray(self.kernel(x, y, weights=w, gamma=gamma))


def turn(circuit: QuantumCircuit, angles: Any, qubit: int) -> None:
    """RZ, RY, RZ."""
    circuit.rz(angles[0], qubit)
    circuit.ry(angles[1], qubit)
    circuit.rz(angles[2], qubit)
