"""Seven optimisers look for the ground state of a magnet: the natural gradient against the rest.

The transverse-field Ising ring of six spins at its critical point, and a circuit of its own interactions with an angle
for every gate. The natural gradient measures a step by how far the state moves, not the angles: it needs by far the
fewest steps. But on a quantum computer every step is paid for in circuits. The gradient of W weights takes 2 W
(parameter shift), the full metric another 2 W**2 - W overlaps (Mari et al., 2021), its blocks on the diagonal one
circuit for each layer (Stokes et al., 2020); SPSA takes 2, QNSPSA 6, and rotosolve, which needs no step size, 3 W. All
starts of an optimiser are trained in one program.
"""

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

import qmljax as qj

FIGURE = _arguments.figure(__file__)
SPINS, LAYERS, STARTS, STEPS = 6, 3, 8, 200
TARGET = 1e-3  # relative error of the energy


def ising():
    """The Hamiltonian: -Z Z between neighbours on the ring, and -X on every spin."""
    bonds = [("ZZ", [q, (q + 1) % SPINS], -1.0) for q in range(SPINS)]
    return SparsePauliOp.from_sparse_list(bonds + [("X", [q], -1.0) for q in range(SPINS)], SPINS)


def ansatz():
    """Layers of RZZ between neighbours and layers of RX in turn, `SPINS` weights each."""
    weights = iter(ParameterVector("w", 2 * SPINS * LAYERS))
    circuit = QuantumCircuit(SPINS)
    circuit.h(range(SPINS))
    for _ in range(LAYERS):
        for q in range(SPINS):
            circuit.rzz(next(weights), q, (q + 1) % SPINS)
        for q in range(SPINS):
            circuit.rx(next(weights), q)
    return circuit


def optimizers(circuit, energy):
    """Name: (optimiser, steps, circuits in a step, colour and style); cheap steps are many.

    The step sizes and dampings are the best of a few that were tried.
    """
    count, key = circuit.num_parameters, jax.random.key(1)
    layers = np.arange(count).reshape(-1, SPINS).tolist()  # the gates of a layer commute: one circuit for its block
    metric, overlap = qj.metric_tensor(circuit), qj.fidelity(circuit, circuit)
    gradient, full = 2 * count, 2 * count**2 - count
    natural = optax.chain(qj.natural_gradient(metric, damping=0.01), optax.sgd(0.1))
    blocks = optax.chain(qj.natural_gradient(metric, damping=0.03, blocks=layers), optax.sgd(0.03))
    qnspsa = optax.chain(qj.qnspsa(overlap, key, damping=0.3), optax.sgd(0.01))
    return {
        "natural gradient": (natural, STEPS, gradient + full, ("#0072B2", "-")),
        "natural, by layers": (blocks, STEPS, gradient + len(layers), ("#56B4E9", "-")),
        "rotosolve": (qj.rotosolve(energy), STEPS, 3 * count, ("#009E73", "-")),
        "Adam": (optax.adam(0.2), STEPS, gradient, ("#D55E00", "-")),
        "gradient descent": (optax.sgd(0.2), STEPS, gradient, ("#E69F00", "-")),
        "QNSPSA": (qnspsa, 5 * STEPS, 6, ("black", "--")),
        "SPSA": (optax.chain(qj.spsa(key), optax.sgd(0.03)), 20 * STEPS, 2, ("#999999", "--")),
    }


def train(energy, optimizer, steps, starts):
    """The energies before each step, and after the last, of shape (STARTS, steps + 1)."""

    def loss(weights, _):  # there are no data
        return energy(weights)

    result = qj.fit(loss, starts, (np.zeros(1),), optimizer=optimizer, steps=steps, ensemble=True, progress=True)
    return np.concatenate([result.history, np.asarray(energy(result.weights))[:, None]], axis=1)


def draw(errors, costs, styles):
    """The median over the starts, and the middle half of them, against the steps and against the circuits."""
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name, error in errors.items():
        (color, line), steps = styles[name], np.arange(error.shape[1])
        low, median, high = np.quantile(error, [0.25, 0.5, 0.75], axis=0)
        for panel, x in ((left, steps), (right, steps * costs[name])):
            shown = slice(0 if panel is left else 1, None)  # no circuits, no place on a logarithmic axis
            panel.plot(x[shown], median[shown], line, color=color, linewidth=2.2, label=name)
            panel.fill_between(x[shown], low[shown], high[shown], color=color, alpha=0.15, linewidth=0)
    left.set(
        title="By steps",
        xlabel="step",
        xlim=(-5, STEPS),
        ylabel="relative error of the energy",
        yscale="log",
        ylim=(1e-10, 2),
    )
    right.set(title="By cost on a quantum computer", xlabel="circuits", xscale="log")
    right.legend(loc="lower left")
    _figures.keep(figure, FIGURE)


def reached(error):
    """The first step after which the median start is as good as `TARGET`, or None."""
    good = np.median(error, axis=0) <= TARGET
    return int(good.argmax()) if good.any() else None


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    hamiltonian, circuit = ising(), ansatz()
    exact = np.linalg.eigvalsh(hamiltonian.to_matrix())[0]
    energy = qj.expectation(circuit, hamiltonian)
    methods = optimizers(circuit, energy)
    starts = np.random.default_rng(0).uniform(-np.pi, np.pi, (STARTS, circuit.num_parameters))
    errors = {}
    with jax.enable_x64(True):
        for name, (optimizer, steps, _, _) in methods.items():
            print(name)
            errors[name] = np.maximum((train(energy, optimizer, steps, starts) - exact) / -exact, 1e-16)  # rounding
    costs = {name: cost for name, (_, _, cost, _) in methods.items()}
    print(f"\nEnergy {exact:.6f}, {circuit.num_parameters} weights, median of {STARTS} starts")
    print(f"{'circuits a step':>30}{'steps':>8}{'error':>10}   an error of {TARGET:g} takes")
    for name, error in errors.items():
        least = reached(error)
        takes = "-" if least is None else f"{least} steps, {least * costs[name]:,} circuits"
        print(f"{name:20}{costs[name]:10,}{error.shape[1] - 1:8,}{np.median(error[:, -1]):10.0e}   {takes}")
    draw(errors, costs, {name: style for name, (_, _, _, style) in methods.items()})
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
