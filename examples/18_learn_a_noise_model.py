"""Counts of a device tell its noise: six strengths are learned by gradient descent.

The device is simulated: depolarizing noise after CX, amplitude damping and dephasing after one-qubit gates, and a
readout that errs in its own way on each qubit. Random circuits are run on it, some shots each. The likelihood of what
was counted is a function of the strengths that JAX differentiates through the density matrices, so Adam finds them:
no tomography, no randomised benchmarking, and readout and gates at once.
"""

import _arguments
import _figures
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit

import qmljax as qj

FIGURE = _arguments.figure(__file__)
QUBITS, CIRCUITS, LAYERS, SHOTS, STEPS = 3, 8, 5, 50_000, 600
NAMES = (
    "CX depolarizing",
    "amplitude damping",
    "dephasing",
    "readout 1 of 0",
    "readout 0 of 1",
    "readout 0 of 1, qubit 2",
)
TRUE = np.array([0.03, 0.01, 0.02, 0.015, 0.06, 0.1], np.float32)


def model(strengths):
    cx, damping, dephasing, up, down, last = strengths
    one = qj.noise.amplitude_damping(damping).then(qj.noise.phase_damping(dephasing))
    readout = jnp.stack([jnp.stack([jnp.stack([1 - up, up]), jnp.stack([d, 1 - d])]) for d in (down, down, last)])
    return qj.noise.NoiseModel({"ry": one, "rz": one, "cx": qj.noise.depolarizing(cx, 2)}, readout=readout)


def circuits():
    """Random rotations and a CX between two qubits, some times."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(CIRCUITS):
        circuit = QuantumCircuit(QUBITS)
        for _ in range(LAYERS):
            for q in range(QUBITS):
                circuit.ry(rng.uniform(-np.pi, np.pi), q), circuit.rz(rng.uniform(-np.pi, np.pi), q)
            circuit.cx(*rng.permutation(QUBITS)[:2].tolist())
        made.append(circuit)
    return made


def distributions(strengths, made):
    """Probabilities of the outcomes of each circuit, (CIRCUITS, 2**QUBITS)."""
    simulator = qj.noise.Simulator(model(strengths))
    return jnp.stack([simulator.probabilities(circuit)() for circuit in made])


def counted(made):
    simulator = qj.noise.Simulator(model(TRUE))
    keys = jax.random.split(jax.random.key(0), len(made))
    outcomes = [simulator.sample(circuit, SHOTS)([], key) for circuit, key in zip(made, keys, strict=True)]
    return np.stack([np.bincount(np.asarray(o), minlength=2**QUBITS) for o in outcomes]).astype(np.float32)


def draw(history, path, error):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history - history.min() + 1e-7, color="#0072B2", linewidth=2.2)
    left.set(title="Likelihood", xlabel="step", ylabel="negative log-likelihood a shot, above its least", yscale="log")
    colors = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7")
    for name, values, true, e, color in zip(NAMES, path.T, TRUE, error, colors, strict=True):
        right.plot(np.linspace(0, STEPS, len(values)), values, color=color, linewidth=2.2, label=name)
        right.axhspan(true - e, true + e, color=color, alpha=0.25, linewidth=0)
    right.set(title="Strengths, and the true ones (with what the shots allow)", xlabel="step", ylabel="strength")
    right.set_ylim(0, 0.16)
    right.legend(fontsize=10, loc="upper right")
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    made = circuits()
    counts = counted(made)

    def loss(logits, counts):
        p = distributions(jax.nn.sigmoid(logits), made)
        return -jnp.sum(counts * jnp.log(p)) / counts.sum()

    path = []
    start = np.full(len(TRUE), np.log(0.05 / 0.95), np.float32)
    result = qj.fit(
        loss,
        start,
        (counts,),
        optimizer=optax.adam(0.05),
        steps=STEPS,
        callback=lambda step, logits, value: path.append(np.asarray(jax.nn.sigmoid(logits))),
        progress=True,
    )
    found = np.asarray(jax.nn.sigmoid(result.weights))

    # The least error that these counts allow, by the Fisher information (Cramer and Rao).
    p = distributions(TRUE, made)
    slopes = jax.jacfwd(distributions)(jnp.asarray(TRUE), made)
    fisher = SHOTS * jnp.einsum("coi,coj,co->ij", slopes, slopes, 1 / p)
    error = np.sqrt(np.diag(np.linalg.inv(np.asarray(fisher, np.float64))))
    print(f"\n{CIRCUITS} circuits on {QUBITS} qubits, {SHOTS:,} shots each.")
    print(f"{'':26}{'true':>9}{'learned':>10}{'off by':>10}   (least standard error)")
    for name, true, value, e in zip(NAMES, TRUE, found, error, strict=True):
        print(f"{name:26}{true:9.4f}{value:10.4f}{value - true:+10.4f}   ({e:.4f})")
    draw(np.asarray(result.history), np.stack(path), error)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
