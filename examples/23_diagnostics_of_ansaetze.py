"""Three ansaetze side by side: what they can express, and what that costs when they are trained.

The gates of an Ising chain, bricks of RY and CZ, and strongly entangling layers. The more an ansatz can do, the larger
is the Lie algebra of its gates, and the smaller are its gradients at random weights: those of the last vanish
exponentially with the number of qubits, those of the chain, whose algebra is small, do not (Ragone et al., 2024). The
landscapes, in the same colours, show the same: the chain has hills where strongly entangling layers are nearly flat.
"""

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj

FIGURE = _arguments.figure(__file__)
QUBITS, ALGEBRAS, DEPTHS, KEY = (2, 4, 6, 8), (2, 3, 4, 5, 6), (1, 2, 4), jax.random.key(0)
STYLES = {"Ising chain": ("#0072B2", "o"), "bricks": ("#E69F00", "s"), "strongly entangling": ("#D55E00", "^")}


def ising(n, layers):
    """RZZ on neighbours and RX on all qubits, each with a weight of its own."""
    circuit, w = QuantumCircuit(n), iter(ParameterVector("w", layers * (2 * n - 1)))
    for _ in range(layers):
        for q in range(n - 1):
            circuit.rzz(next(w), q, q + 1)
        for q in range(n):
            circuit.rx(next(w), q)
    return circuit


ANSAETZE = {
    "Ising chain": ising,
    "bricks": qj.circuits.brickwork,
    "strongly entangling": qj.circuits.strongly_entangling_layers,
}


def cost(circuit):
    """<Z Z> of the first two qubits."""
    return qj.expectation(circuit, "I" * (circuit.num_qubits - 2) + "ZZ")


def slope_variance(circuit):
    """The largest variance of a derivative; those of the first and last weights are smaller, or 0."""
    return qj.analysis.gradient_variance(cost(circuit), circuit.num_parameters, key=KEY, samples=320).max()


def study(make):
    """What is known of an ansatz: expressibility and entanglement by depth, algebra and gradients by qubits."""
    by_depth = [make(4, layers) for layers in DEPTHS]
    expressed = [qj.analysis.expressibility(c, key=KEY, samples=2000, bins=50) for c in by_depth]
    entangled = [qj.analysis.entangling_capability(c, key=KEY, samples=1000) for c in by_depth]
    algebra = [qj.analysis.lie_algebra_dimension(make(n, n)) for n in ALGEBRAS]
    variance = [slope_variance(make(n, n)) for n in QUBITS]
    return np.array(expressed), np.array(entangled), algebra, np.array(variance)


def view(make):
    """The landscape of 8 qubits around random weights along two random directions, and how far it was looked at."""
    circuit = make(8, 8)
    rng = np.random.default_rng(1)
    centre = rng.uniform(0, 2 * np.pi, circuit.num_parameters).astype(np.float32)
    directions = rng.normal(size=(2, circuit.num_parameters)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = np.linspace(-6, 6, 25, dtype=np.float32)
    return qj.analysis.landscape(cost(circuit), centre, directions, steps), steps


def draw(studies, views):
    matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    figure = Figure(figsize=(12, 7.2), layout="constrained")
    (states, algebras, slopes), hills = figure.subplots(2, 3)
    for name, (expressed, entangled, algebra, variance) in studies.items():
        color, marker = STYLES[name]
        options = {"color": color, "marker": marker, "label": name}
        states.plot(entangled, expressed, **options)
        algebras.plot(ALGEBRAS, algebra, **options)
        slopes.plot(QUBITS, variance, **options)
    states.axvline(14 / 17, color="gray", linestyle=":")
    states.annotate(
        "random\nstates", (14 / 17 - 0.02, 0.02), xycoords=("data", "axes fraction"), ha="right", color="gray"
    )
    states.set(title=f"4 qubits, of {DEPTHS[0]} to {DEPTHS[-1]} layers", xlabel="entangling capability", yscale="log")
    states.set_ylabel("expressibility (less is more)")
    algebras.set(title="Dimension of the Lie algebra", xlabel="qubits", yscale="log", xticks=ALGEBRAS)
    slopes.set(title="Variance of gradients, layers = qubits", xlabel="qubits", yscale="log", xticks=QUBITS)
    slopes.legend(loc="lower left")
    limits = (min(v.min() for v, _ in views.values()), max(v.max() for v, _ in views.values()))
    for panel, (name, (values, steps)) in zip(hills, views.items(), strict=True):
        qj.plots.landscape(values, steps, ax=panel, limits=limits)
        panel.set_title(f"{name}, 8 qubits", fontsize=11)
    _figures.keep(figure, FIGURE, dpi=130)


def main():
    studies = {name: study(make) for name, make in ANSAETZE.items()}
    print(f"{'':20}{'expressibility':>16}{'entanglement':>14}{'algebra':>9}   variance of gradients by qubits")
    print(
        f"{'':20}{f'4 qubits, {DEPTHS[-1]} layers':>30}{f'{ALGEBRAS[-1]} qubits':>9}"
        + "".join(f"{n:9}" for n in QUBITS)
    )
    for name, (expressed, entangled, algebra, variance) in studies.items():
        row = "".join(f"{v:9.4f}" for v in variance)
        print(f"{name:20}{expressed[-1]:16.3f}{entangled[-1]:14.3f}{algebra[-1]:9}{row}")
    draw(studies, {name: view(make) for name, make in ANSAETZE.items()})
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
