"""A model trains through teleported gates: its gradient passes measurements and what they decide.

One qubit reads a feature again and again, between trained rotations, and so learns a Fourier series. Here it never
stays where it is: after each layer it is teleported to another of three qubits, by two measurements and the two gates
that depend on them; the others are reset and used again. Training is the same to the last digits. Without the gates
that depend on what was measured, nothing gets through.
"""

import _arguments
import _figures
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

import qmljax as qj

FIGURE = _arguments.figure(__file__)
LAYERS, POINTS, STEPS = 5, 60, 300
KINDS = {"at home": "black", "teleported": "#0072B2", "without feed-forward": "#D55E00"}


def teleport(circuit, source, middle, target, corrected):
    circuit.h(middle), circuit.cx(middle, target)
    circuit.cx(source, middle), circuit.h(source)
    circuit.measure([source, middle], [0, 1])
    if corrected:
        with circuit.if_test((1, 1)):
            circuit.x(target)
        with circuit.if_test((0, 1)):
            circuit.z(target)
    circuit.reset([source, middle])


def network(kind):
    """A function (weights, x) -> between -1 and 1."""
    x, w = Parameter("x"), ParameterVector("w", 3 * LAYERS)
    circuit, here = QuantumCircuit(3, 2), 0
    for layer in range(LAYERS):
        circuit.rx(x, here)
        circuit.rz(w[3 * layer], here), circuit.ry(w[3 * layer + 1], here), circuit.rz(w[3 * layer + 2], here)
        if kind != "at home":
            teleport(circuit, here, 1, 2 - here, kind == "teleported")
            here = 2 - here
    label = ["I"] * 3
    label[2 - here] = "Z"
    return qj.estimator_qnn(circuit, "".join(label), inputs=[x]), circuit


def target(x):
    return 0.4 * np.sin(2 * x) + 0.3 * np.cos(3 * x) - 0.2


def draw(curves, fits, x):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = {"at home": {"linewidth": 5, "alpha": 0.35}, "teleported": {}, "without feed-forward": {}}
    for kind, color in KINDS.items():
        left.plot(curves[kind], color=color, label=kind, **{"linewidth": 2, **styles[kind]})
        right.plot(x, fits[kind], color=color, label=kind, **{"linewidth": 2, **styles[kind]})
    left.set(title="Training", xlabel="step", ylabel="mean squared error", yscale="log")
    right.plot(x, target(x), "o", color="#009E73", markersize=4, label="data")
    right.set(title="What is learned", xlabel="x", ylabel="<Z>")
    left.legend(fontsize=11, loc="center right")
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    x = np.linspace(-np.pi, np.pi, POINTS, dtype=np.float32)[:, None]
    y = target(x[:, 0]).astype(np.float32)
    start = np.random.default_rng(3).uniform(-np.pi, np.pi, 3 * LAYERS).astype(np.float32)
    curves, fits = {}, {}
    print(f"{LAYERS} layers, {POINTS} points, {STEPS} steps of Adam.")
    for kind in KINDS:
        model, circuit = network(kind)

        def loss(w, x, y, model=model):
            return jnp.mean((model(w, x)[:, 0] - y) ** 2)

        result = qj.fit(loss, start, (x, y), optimizer=optax.adam(0.05), steps=STEPS)
        curves[kind], fits[kind] = np.asarray(result.history), np.asarray(model(result.weights, x)[:, 0])
        program = qj.parse(circuit)
        print(f"{kind:22} {program!s:62} error {curves[kind][-1]:.5f}")
    gap = np.abs(curves["at home"] - curves["teleported"]).max()
    print(f"The errors at home and teleported differ by at most {gap:.1e} in all {STEPS} steps.")
    draw(curves, fits, x[:, 0])
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
