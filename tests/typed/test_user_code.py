"""What a typical user writes, as `make lint` checks its types against the package that is shipped; it runs, too."""

from collections.abc import Callable
from pathlib import Path
from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx
from jax import Array
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

import qmljax as qj
from qmljax.flax import QuantumLayer
from qmljax.primitives import Estimator, PrimitiveBackend, Sampler
from qmljax.sklearn import QSVC, VQC, NeuralNetworkRegressor
from qmljax.torch import TorchConnector, torch_function

pytestmark = pytest.mark.usefixtures("standard_promotion")
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)


def network(backend: qj.Backend | None = None) -> qj.Model:
    feature_map = zz_feature_map(2, reps=1)
    circuit = feature_map.compose(real_amplitudes(2, reps=1))
    model: qj.Model = qj.estimator_qnn(circuit, ["IZ", "ZI"], inputs=feature_map.parameters, backend=backend)
    return model


def test_functions() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(ParameterVector("t", 1)[0], 0)
    program: qj.Program = qj.parse(circuit)
    names: tuple[str, ...] = program.parameters
    f = qj.expectation(program, {"IZ": 1.0})
    values: Array = f(jnp.zeros((3, len(names))))
    outcomes: Array = qj.sample(circuit, shots=5)(np.zeros(1), jax.random.key(0))
    overlap: Array = qj.fidelity(circuit, circuit)([0.1], [0.1])
    assert values.shape == (3,) and outcomes.shape == (5,) and overlap.shape == ()


def test_models_and_training(tmp_path: Path) -> None:
    model = network()
    assert_type(model, qj.Model)
    assert_type(model.output_shape, tuple[int, ...])

    def loss(weights: Array, x: Array, y: Array) -> Array:
        return jnp.mean((model(weights, x)[:, 0] - y) ** 2)

    result = qj.fit(loss, jnp.ones(model.num_weights), (X, X[:, 0]), optimizer=optax.adam(0.1), steps=2)
    assert_type(result, qj.FitResult)
    history: np.ndarray = result.history
    stopped: str = result.stopped
    qj.save(tmp_path / "model", model, result.weights)
    again: qj.Model
    again, weights = qj.load(tmp_path / "model")
    assert again == model and history.shape == (2,) and stopped == "steps" and weights.shape == (model.num_weights,)


def test_kernels() -> None:
    kernel: qj.Kernel = qj.fidelity_kernel(zz_feature_map(2))
    noisy: qj.Kernel = qj.fidelity_kernel(zz_feature_map(2), backend=qj.Shots(10, jax.random.key(0)))
    gram: Array = kernel(X)
    repaired: Array = qj.gram.clip(noisy(X))
    projected = qj.projected_kernel(zz_feature_map(2))
    layer: qj.Model = projected.as_qnn()
    features: Array = qj.gram.nystroem(kernel, X, X[:2])
    assert gram.shape == repaired.shape == (4, 4) and layer.num_inputs == 2 and features.shape == (4, 2)


def test_backends() -> None:
    backend: qj.Backend = PrimitiveBackend(StatevectorEstimator(), StatevectorSampler(seed=0), shots=10)
    values: Array = network(backend)(np.ones(4), X)
    assert values.shape == (4, 2)
    feature_map = zz_feature_map(2)
    measured = qj.estimator_qnn(feature_map, inputs=feature_map.parameters, backend=backend)
    found, errors = measured.with_std(np.zeros(0), X)
    assert found.shape == errors.shape == (4, 1)
    assert Estimator().run([(QuantumCircuit(1), "Z")]).result()[0].data.evs == 1
    assert Sampler(default_shots=3).default_shots == 3


def test_connectors() -> None:
    layer = QuantumLayer(network(), rngs=nnx.Rngs(0))
    assert_type(layer.model, qj.Model)
    out: Array = layer(X)
    connector = TorchConnector(network(), initial_weights=np.zeros(4, np.float32))
    tensor: torch.Tensor = connector(torch.zeros(3, 2))
    sine: Callable[[torch.Tensor], torch.Tensor] = torch_function(jnp.sin)
    assert out.shape == (4, 2) and tensor.shape == (3, 2) and sine(torch.zeros(1)).shape == (1,)


def test_estimators() -> None:
    machine = QSVC(quantum_kernel=qj.fidelity_kernel(zz_feature_map(2))).fit(X, [0, 1, 0, 1])
    assert_type(machine, QSVC)
    labels: np.ndarray = VQC(steps=1, random_state=0).fit(X, [0, 1, 0, 1]).predict(X)
    regressor = NeuralNetworkRegressor(network(), steps=1, random_state=0)
    assert_type(regressor.fit(X, X), NeuralNetworkRegressor)
    assert labels.shape == (4,)
