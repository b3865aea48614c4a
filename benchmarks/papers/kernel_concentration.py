"""S. Thanasilp et al., "Exponential concentration in quantum kernel methods".

Values of the fidelity kernel of a feature map that reaches all states concentrate at 2^(-n), with a spread that falls
as fast; so do those of the projected kernel, and global measurements do it even without entanglement.
"""

import time
from collections.abc import Iterator

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qmljax as qj
from benchmarks.papers._table import Table

PAPER = "S. Thanasilp et al., Nature Communications 15, 5200 (2024), arXiv:2208.11060"
LAYERS = 16


def embedding(n: int, layers: int) -> QuantumCircuit:
    """A hardware-efficient one: RX and RZ of features, each read once a layer, then CZ on a line.

    In each layer a feature turns another qubit: if it turned one alone, and were small, that qubit would stay as it is.
    """
    x, circuit = ParameterVector("x", 2 * n), QuantumCircuit(n)
    for layer in range(layers):
        for k in range(n):
            circuit.rx((layer % 2 + 1) * x[(k + layer) % n], k)
            circuit.rz((layer % 2 + 1) * x[n + (k + layer) % n], k)
        for k in range(n - 1 if layers > 1 else 0):
            circuit.cz(k, k + 1)
    return circuit


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after all rows."""
    start, sizes, points = time.monotonic(), (2, 3) if quick else (2, 4, 6, 8, 10), 20 if quick else 300
    rows = []
    for n in sizes:
        rng = np.random.default_rng(n)
        x = rng.uniform(-np.pi, np.pi, (points, 2 * n))
        upper = np.triu_indices(points, 1)
        deep, product = (np.asarray(qj.fidelity_kernel(embedding(n, k))(x))[upper] for k in (LAYERS, 1))
        projected = np.asarray(qj.projected_kernel(embedding(n, LAYERS), gamma=1 / (3 * n))(x))[upper]
        haar = (2**n - 1) / (4**n * (2**n + 1))
        row = [n, 2.0**-n, deep.mean(), haar, deep.var(), 12.0**-n * 2**n, product.var(), projected.var()]
        rows.append([row[0], *map(float, row[1:])])
    columns = (
        *("qubits", "mean, of random states", "ours", "variance, of random states", "ours "),
        *("variance, one layer", "projected, variance"),
    )
    rows = [[*r[:5], r[6], r[7]] for r in rows]
    slopes = [np.polyfit(sizes, np.log2([r[k] for r in rows]), 1)[0] for k in (4, 5, 6)]
    table = Table("Exponential concentration of kernels", PAPER, columns, rows)
    table.remarks = [
        f"{points} points, {LAYERS} layers. Mean and variance of the fidelity kernel are those of random states: "
        "2^(-n), and (2^n - 1) / (4^n (2^n + 1)).",
        f"Variances fall as 2^(s n), s = {', '.join(f'{s:.2f}' for s in slopes)}, for the fidelity kernel, that of one "
        "layer without entanglement, and the projected kernel; the paper's theorems 1 and 2 and its propositions say "
        "exponentially, -2 for random states. The projected kernel's exponent is divided "
        "by the number of its terms, 3 n.",
    ]
    table.seconds = time.monotonic() - start
    yield table
