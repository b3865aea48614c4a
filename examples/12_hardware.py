"""Trains a classifier on a simulated IBM device, noise included, and compares it with the exact simulator.

Needs the extra `ibm`, and no account: `FakeManilaV2` is a snapshot of a real device with 5 qubits.
"""

from pathlib import Path

import _figures
import jax
import jax.numpy as jnp
import matplotlib
import optax
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.primitives import BackendEstimatorV2
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

import qmljax as qj
from qmljax.primitives import PrimitiveBackend

matplotlib.use("agg")
import matplotlib.pyplot as plt

FIGURE = Path(__file__).parent / "figures" / "12_hardware.png"

feature_map, ansatz = zz_feature_map(2, reps=1), real_amplitudes(2, reps=1)
backend = PrimitiveBackend(BackendEstimatorV2(backend=FakeManilaV2()), shots=1000)
models = {
    name: qj.estimator_qnn(feature_map.compose(ansatz), "ZZ", inputs=feature_map.parameters, backend=b)
    for name, b in [("simulator", None), ("device", backend)]
}

x = jax.random.uniform(jax.random.key(0), (12, 2), minval=-1)
y = jnp.sign(x[:, 0] * x[:, 1])
print("One step of training on the device:\n")
print(backend.plan(models["device"], x))

results = {}
for name, model in models.items():

    def loss(weights, x, y, model=model):
        return jnp.mean((model(weights, x)[:, 0] - y) ** 2)

    results[name] = qj.fit(loss, jnp.ones(model.num_weights), (x, y), optimizer=optax.adam(0.2), steps=10)
    first, last = results[name].history[0], results[name].history[-1]
    print(f"\nTen steps on the {name}: loss {first:.2f} -> {last:.2f}", end="")

values, std = models["device"].with_std(results["device"].weights, x)
exact = models["simulator"](results["device"].weights, x)
print(f"\n\nWith the weights found on the device, its values have standard errors of {std.mean():.3f}")
print(f"and are off by {jnp.abs(values - exact).mean():.3f} on average: the rest is the noise of its gates.")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for name, result in results.items():
    left.plot(result.history, "o-", label=name)
left.set(xlabel="step", ylabel="loss", title="Training")
left.legend()
right.errorbar(exact[:, 0], values[:, 0], std[:, 0], fmt=".")
right.plot([-1, 1], [-1, 1], "k:", lw=1)
right.set(xlabel="simulator", ylabel="device", title="Expectation values, same weights")
_figures.keep(figure, FIGURE, dpi=120)
print(f"\nThe figure is {FIGURE.relative_to(FIGURE.parents[2])}.")
