"""Trains a classifier on a simulated IBM device, noise included, and compares it with the exact simulator.

Needs the extra `ibm`, and no account: `FakeManilaV2` is a snapshot of a real device with 5 qubits.
"""

import os

import _arguments
import _figures
import jax
import jax.numpy as jnp
import optax
from matplotlib.figure import Figure
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.primitives import BackendEstimatorV2
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

import qmljax as qj
from qmljax.primitives import PrimitiveBackend

FIGURE = _arguments.figure(__file__)

POINTS, STEPS = 12, 10


def on_both():
    """The device, noise and all, and the same model on the simulator and on it."""
    feature_map, ansatz = zz_feature_map(2, reps=1), real_amplitudes(2, reps=1)
    backend = PrimitiveBackend(BackendEstimatorV2(backend=FakeManilaV2()), shots=1000)
    return backend, {
        name: qj.estimator_qnn(feature_map.compose(ansatz), "ZZ", inputs=feature_map.parameters, backend=b)
        for name, b in [("simulator", None), ("device", backend)]
    }


def train(model, x, y):
    def loss(weights, x, y):
        return jnp.mean((model(weights, x)[:, 0] - y) ** 2)

    return qj.fit(loss, jnp.ones(model.num_weights), (x, y), optimizer=optax.adam(0.2), steps=STEPS)


def draw(results, exact, values, std):
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, result in results.items():
        left.plot(result.history, "o-", label=name)
    left.set(xlabel="step", ylabel="loss", title="Training")
    left.legend()
    right.errorbar(exact[:, 0], values[:, 0], std[:, 0], fmt=".")
    right.plot([-1, 1], [-1, 1], "k:", lw=1)
    right.set(xlabel="simulator", ylabel="device", title="Expectation values, same weights")
    _figures.keep(figure, FIGURE, dpi=120)


def main():
    backend, models = on_both()
    x = jax.random.uniform(jax.random.key(0), (POINTS, 2), minval=-1)
    y = jnp.sign(x[:, 0] * x[:, 1])
    print("One step of training on the device:\n")
    print(backend.plan(models["device"], x))
    results = {}
    for name, model in models.items():
        results[name] = train(model, x, y)
        first, last = results[name].history[0], results[name].history[-1]
        print(f"\nTen steps on the {name}: loss {first:.2f} -> {last:.2f}", end="")
    values, std = models["device"].with_std(results["device"].weights, x)
    exact = models["simulator"](results["device"].weights, x)
    print(f"\n\nWith the weights found on the device, its values have standard errors of {std.mean():.3f}")
    print(f"and are off by {jnp.abs(values - exact).mean():.3f} on average: the rest is the noise of its gates.")
    draw(results, exact, values, std)
    print(f"\nThe figure is {os.path.relpath(FIGURE)}.")


if __name__ == "__main__":
    main()
