"""J. R. McClean et al.: gradients of random circuits vanish; M. Cerezo et al.: those of local costs need not.

The first: layers of a random Pauli rotation of each qubit and CZ on a line, after RY(pi / 4); the derivative of ZZ on
two qubits about the first angle. The second: bricks, and the cost of all qubits or the mean of those of single ones.
"""

import time
from collections.abc import Iterator

import jax
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparseObservable

import qmljax as qj
from benchmarks.papers._table import Table
from qmljax import analysis, circuits

PAPER = (
    "J. R. McClean et al., Nature Communications 9, 4812 (2018), arXiv:1803.11173; M. Cerezo et al., Nature "
    "Communications 12, 1791 (2021), arXiv:2001.00550"
)


def random_circuit(n: int, layers: int, rng: np.random.Generator) -> QuantumCircuit:
    """Of the first paper."""
    w, circuit = ParameterVector("w", n * layers), QuantumCircuit(n)
    for k in range(n):
        circuit.ry(np.pi / 4, k)
    for layer in range(layers):
        for k in range(n):
            getattr(circuit, rng.choice(["rx", "ry", "rz"]))(w[n * layer + k], k)
        for k in range(n - 1):
            circuit.cz(k, k + 1)
    return circuit


def variance(circuit: QuantumCircuit, observable: object, which: int, samples: int) -> float:
    """That of a derivative about one weight, over random weights."""
    cost = qj.expectation(circuit, observable)
    found = analysis.gradient_variance(cost, circuit.num_parameters, key=jax.random.key(0), samples=samples)
    return float(found[which])


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after all rows."""
    start, rng = time.monotonic(), np.random.default_rng(0)
    sizes, drawn, samples = ((2, 3), 1, 20) if quick else ((2, 3, 4, 5, 6, 7, 8), 3, 100)
    rows = []
    for n in sizes:
        zz = "I" * (n - 2) + "ZZ"
        layers = 5 if quick else 5 * n
        found = np.mean([variance(random_circuit(n, layers, rng), zz, 0, samples) for _ in range(drawn)])
        rows.append([n, layers, float(found)])
    slope = np.polyfit(sizes, np.log2([r[2] for r in rows]), 1)[0]
    table = Table("Barren plateaus", PAPER, ("qubits", "layers", "variance of the first derivative"), rows)
    table.remarks = [
        f"The variance falls as 2^({slope:.2f} n); the paper's figure 3 shows an exponential fall, and its theory of "
        "2-designs 2^(-n) for an observable of two qubits.",
        f"{drawn} random circuits a size, {samples} weights each; hundreds in the paper.",
    ]
    table.seconds, start = time.monotonic() - start, time.monotonic()
    table.more = [_costs(sizes, 50 if quick else 400)]
    table.more[0].seconds = time.monotonic() - start
    yield table


def _costs(sizes: tuple[int, ...], samples: int) -> Table:
    """Global and local costs of the second paper, at 2 layers and at n."""
    rows = []
    for n in sizes:
        all_zero = SparseObservable("0" * n)
        each = sum(
            (SparseObservable("I" * k + "0" + "I" * (n - 1 - k)) for k in range(1, n)),
            SparseObservable("0" + "I" * (n - 1)),
        )
        row = [n]
        for layers in (2, n):
            circuit = circuits.brickwork(n, layers)
            middle = circuit.num_parameters // 2
            row += [variance(circuit, o, middle, samples) for o in (all_zero, each / n)]
        rows.append(row)
    slopes = [np.polyfit(sizes, np.log2([r[k] for r in rows]), 1)[0] for k in (1, 2, 3, 4)]
    columns = "qubits", "global, 2 layers", "local, 2 layers", "global, n layers", "local, n layers"
    remark = (
        f"The variance of the middle derivative falls as 2^(s n), s = {', '.join(f'{s:.2f}' for s in slopes)}: as the "
        "paper's theorems say, exponentially for the global cost at any depth, and for the local cost of few layers by "
        "a polynomial (1 / n^2 from the mean over qubits), which deep circuits lose."
    )
    return Table("Global and local costs", PAPER, columns, rows, [remark])
