"""A circuit on 12 qubits runs on 4: each qubit is measured when it is done with, reset, and used again.

The circuit is a matrix product state, prepared site by site: a site talks to the next three only, so that four qubits
are enough if the first is measured before the last is needed. The reused circuit draws the same outcomes as the wide
one. Then the line is made longer: a state on all qubits doubles with each site, runs of four qubits do not.
"""

import time

import _arguments
import _figures
import jax
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from qiskit import QuantumCircuit

import qmljax as qj

FIGURE = _arguments.figure(__file__)
SITES, QUBITS, SHOTS, LONGER = 12, 4, 200_000, (12, 15, 18, 21)


def block(circuit, qubits, rng):
    """Rotations, and interactions of the first qubit with the others."""
    for q in qubits:
        circuit.ry(rng.uniform(0.3, 1.2), q), circuit.rz(rng.uniform(-1, 1), q)
    for q in qubits[1:]:
        circuit.rzz(rng.uniform(0.5, 1.5), qubits[0], q), circuit.cx(qubits[0], q)


def wide(sites):
    """One qubit for each site."""
    circuit, rng = QuantumCircuit(sites, sites), np.random.default_rng(0)
    for site in range(sites):
        block(circuit, range(site, min(site + QUBITS, sites)), rng)
    circuit.measure(range(sites), range(sites))
    return circuit


def reused(sites):
    """Site k is on qubit k modulo 4, which is reset before the site begins."""
    circuit, rng = QuantumCircuit(QUBITS, sites), np.random.default_rng(0)
    for site in range(sites):
        if site:
            if site + QUBITS - 1 < sites:
                circuit.reset((site - 1) % QUBITS)
        block(circuit, [s % QUBITS for s in range(site, min(site + QUBITS, sites))], rng)
        circuit.measure(site % QUBITS, site)
    return circuit


def counted(circuit, shots, seed):
    draw = qj.sample(circuit, shots)
    jax.block_until_ready(draw(np.zeros(0, np.float32), jax.random.key(seed)))  # compiles
    began = time.perf_counter()
    outcomes = np.asarray(draw(np.zeros(0, np.float32), jax.random.key(seed)))
    return outcomes, time.perf_counter() - began, draw


def draw(p, counts, table):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 5), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    seen = (p > 1e-7) & (counts > 0)
    line = np.array([1 / SHOTS, p.max()])
    left.fill_between(
        np.geomspace(*line, 50),
        np.maximum(np.geomspace(*line, 50) - 3 * np.sqrt(np.geomspace(*line, 50) / SHOTS), 1 / SHOTS / 2),
        np.geomspace(*line, 50) + 3 * np.sqrt(np.geomspace(*line, 50) / SHOTS),
        color="#009E73",
        alpha=0.25,
        linewidth=0,
        label="three standard errors",
    )
    left.plot(p[seen], counts[seen] / SHOTS, ".", color="#0072B2", markersize=3, label="outcomes")
    left.set(xscale="log", yscale="log", xlim=line, ylim=(0.5 / SHOTS, 2 * p.max()))
    left.set(title=f"{SITES} sites", xlabel="probability on 12 qubits", ylabel=f"frequency on 4, {SHOTS:,} shots")
    left.legend(loc="upper left")
    sites, memory, seconds = map(np.array, zip(*table, strict=True))
    right.plot(sites, 8.0 * 2.0**sites / 2**20, "o-", color="#D55E00", label="a state on all sites")
    right.plot(sites, memory / 2**20, "s--", color="#0072B2", label="1,000 shots of the reused circuit")
    right.set(yscale="log", title="Memory of states", xlabel="sites", ylabel="MiB", xlim=(11, 23))
    for s, m, t in zip(sites, memory, seconds, strict=True):
        right.annotate(f"{1000 * t:.0f} ms", (s, m / 2**20), (6, 8), textcoords="offset points")
    right.legend(loc="upper left")
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    p = np.asarray(qj.probabilities(wide(SITES))([]))
    outcomes, seconds, _ = counted(reused(SITES), SHOTS, 0)
    counts = np.bincount(outcomes, minlength=2**SITES)
    often = p * SHOTS > 5
    chi = ((counts - p * SHOTS)[often] ** 2 / (p * SHOTS)[often]).sum()
    print(f"Wide:   {qj.parse(wide(SITES))}")
    print(f"Reused: {qj.parse(reused(SITES))}; {SHOTS:,} shots in {1000 * seconds:.0f} ms")
    print(f"Chi-squared of the outcomes that are likely enough: {chi:.0f}, with {often.sum()} degrees of freedom")
    table = []
    for sites in LONGER:
        _, seconds, function = counted(reused(sites), 1000, 1)
        one = function.collapses is None  # state for all shots, on all sites
        qubits = sites if one else function.collapses.num_qubits
        table.append((sites, 8.0 * 2**qubits * (1 if one else 1000), seconds))
        states = f"a state of {qubits} qubits" if one else f"1,000 states of {qubits} qubits"
        print(f"{sites} sites, 1,000 shots: {1000 * seconds:6.1f} ms, {states}")
    draw(p, counts, table)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
