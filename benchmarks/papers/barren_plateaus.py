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


def of_a_design(circuit: QuantumCircuit) -> float:
    """The variance if what follows the first rotation were a 2-design: d / 2 (d^2 - 1) times 1 - <P>^2, d = 2^n.

    The derivative is <[P, H]> i / 2 before the rotation about P. For a traceless H with H^2 = 1 in a random basis, the
    mean of H x H is d / (d^2 - 1) times the swap, less its trace, so that the mean square is d / (d^2 - 1) times the
    trace of the square of [rho, P] i / 2. The state RY(pi / 4) |0> has <X> = <Z> = sin(pi / 4), <Y> = 0.
    """
    first = [each.operation.name for each in circuit.data if each.qubits[0] == circuit.qubits[0]][1]
    d = 2**circuit.num_qubits
    return d / (2 * (d**2 - 1)) * (1.0 if first == "ry" else 0.5)


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after all rows."""
    start, rng = time.monotonic(), np.random.default_rng(0)
    sizes, drawn, samples = ((2, 3), 1, 20) if quick else ((2, 3, 4, 5, 6, 7, 8), 4, 200)
    rows = []
    for n in sizes:
        row: list[float] = [n]
        for layers in (5 * n, 20 * n) if not quick else (5, 5):
            drawings = [random_circuit(n, layers, rng) for _ in range(drawn)]
            found = [variance(circuit, "I" * (n - 2) + "ZZ", 0, samples) for circuit in drawings]
            row.append(float(np.mean(found)))
        rows.append([*row, float(np.mean([of_a_design(circuit) for circuit in drawings]))])
    slopes = [np.polyfit(sizes, np.log2([r[k] for r in rows]), 1)[0] for k in (1, 2, 3)]
    columns = "qubits", "variance, 5 n layers", "20 n layers", "2-design in place of 20 n layers"
    table = Table("Barren plateaus", PAPER, columns, rows)
    ratios = [row[2] / row[3] for row in rows]
    table.remarks = [
        f"Of the first derivative. It falls as 2^(s n), s = {', '.join(f'{s:.2f}' for s in slopes)}. The last column "
        "is what it would be if all that follows the first rotation were a 2-design, which the paper's theory assumes: "
        f"circuits of 20 n layers have {min(ratios):.2f} to {max(ratios):.2f} of it, those of 5 n layers are not there "
        "yet from 5 qubits on, as in the paper's figure of convergence in depth.",
        f"{drawn} random circuits a size, {samples} weights each. The paper has hundreds, and figures, no numbers.",
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
