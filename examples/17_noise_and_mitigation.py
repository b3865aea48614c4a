"""A variational eigensolver trains under the noise of a device, and three ways get the energy back.

Four spins of the transverse-field Ising chain, on the noise that a fake device of IBM reports: relaxation and gate
errors, and readout. The same circuit is trained without noise and with it; the gradient is exact in both. Then the
energy that the noisy device would report is corrected: for readout, by the inverse of its matrix of errors; for the
gates, by zero-noise extrapolation, from noise once, twice and three times as strong (Temme et al., 2017); and for both.
"""

import _arguments
import _figures
import matplotlib
import numpy as np
import optax
from matplotlib.figure import Figure
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

import qmljax as qj

FIGURE = _arguments.figure(__file__)
SPINS, STEPS, STRENGTHS = 4, 150, (1, 2, 3)


def hamiltonian():
    """-Z Z between neighbours, and -X on every spin: the terms that each of two measurements gives."""
    zz = [("ZZ", [q, q + 1], -1.0) for q in range(SPINS - 1)]
    x = [("X", [q], -1.0) for q in range(SPINS)]
    return SparsePauliOp.from_sparse_list(zz, SPINS), SparsePauliOp.from_sparse_list(x, SPINS)


def on_device(circuit, device):
    """In the gates of the device, spin q on its qubit q."""
    return transpile(circuit, device, initial_layout=range(SPINS), optimization_level=1, seed_transpiler=0)


def train(energy, start):
    result = qj.fit(lambda w: energy(w), start, (), optimizer=optax.adam(0.1), steps=STEPS, progress=True)
    return result.weights, result.history


def measured(circuits, weights, model, corrected):
    """The energy from the distributions that the device reports in two bases, corrected for readout or not."""
    zz, x = hamiltonian()
    total = 0.0
    for circuit, part in zip(circuits, (zz, x), strict=True):
        p = np.asarray(qj.noise.Simulator(model).probabilities(circuit, range(SPINS))(weights), np.float64)
        if corrected:
            confusion = np.ones((1, 1))
            for q in range(SPINS):
                confusion = np.kron(model.readout[q], confusion)
            p = p @ np.linalg.inv(confusion)
        outcomes = np.arange(2**SPINS)
        for label, coefficient in part.to_list():
            mask = sum(1 << q for q, letter in enumerate(reversed(label)) if letter != "I")
            total += coefficient.real * p @ (1 - 2.0 * (np.bitwise_count(outcomes & mask) & 1))
    return total


def extrapolated(energies):
    """At strength zero, by the parabola through the energies at `STRENGTHS`."""
    return np.polyfit(STRENGTHS, energies, len(STRENGTHS) - 1)[-1]


def draw(histories, energies, exact):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, history), color in zip(histories.items(), ("#0072B2", "#D55E00"), strict=True):
        left.plot(history, color=color, linewidth=2.2, label=name)
    left.axhline(exact, color="black", linestyle="--", label="ground state")
    left.set(title="Training", xlabel="step", ylabel="energy")
    left.legend()
    for (name, values), color in zip(energies.items(), ("#D55E00", "#009E73"), strict=True):
        strengths = np.linspace(0, max(STRENGTHS), 50)
        right.plot(strengths, np.polyval(np.polyfit(STRENGTHS, values, 2), strengths), "--", color=color)
        right.plot(STRENGTHS, values, "o", color=color, label=name)
        right.plot([0], [extrapolated(values)], "*", color=color, markersize=14)
    right.axhline(exact, color="black", linestyle="--")
    right.set(title="Extrapolation to no noise", xlabel="strength of the noise of gates", ylabel="energy")
    right.legend()
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    device = FakeManilaV2()
    model = qj.noise.NoiseModel.from_backend(device)
    zz, x = hamiltonian()
    exact = np.linalg.eigvalsh((zz + x).to_matrix())[0]
    ansatz = efficient_su2(SPINS, ["ry"], reps=3, entanglement="linear")
    circuit = on_device(ansatz, device)
    observable = (zz + x).apply_layout(circuit.layout)
    ideal = qj.expectation(circuit, observable)
    noisy = qj.noise.Simulator(model).expectation(circuit, observable)
    start = np.random.default_rng(0).normal(size=ansatz.num_parameters).astype(np.float32) / 3
    weights, histories = {}, {}
    for name, energy in (("without noise", ideal), ("with noise", noisy)):
        weights[name], histories[name] = train(energy, start)
    print(f"\nGround state {exact:.4f}.  {'trained':15}{'energy without noise':>22}{'with noise':>14}")
    for name, w in weights.items():
        print(f"{'':23}{name:15}{float(ideal(w)):22.4f}{float(noisy(w)):14.4f}")
    rotation = QuantumCircuit(SPINS)
    rotation.h(range(SPINS))
    circuits = circuit, on_device(ansatz.compose(rotation), device)
    w = weights["with noise"]
    energies = {
        name: [measured(circuits, w, model.scaled(s), corrected) for s in STRENGTHS]
        for name, corrected in (("as it is read", False), ("readout corrected", True))
    }
    print(f"\nEnergy of the weights trained with noise: {float(ideal(w)):.4f}. What the device gives:")
    for name, values in energies.items():
        print(f"  {name:20}{values[0]:10.4f}   extrapolated {extrapolated(values):10.4f}")
    draw(histories, energies, exact)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
