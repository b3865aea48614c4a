"""S. Sim, P. D. Johnson, A. Aspuru-Guzik: expressibility and entangling capability of 19 circuits of four qubits.

The paper draws them as figures; the numbers are those that T. Hubregtsen et al. print for the same circuits, one layer
(Quantum Machine Intelligence 3, 9, 2021).
"""

import time
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import jax
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from benchmarks.papers._table import Table
from qmljax import analysis

PAPER = "S. Sim, P. D. Johnson, A. Aspuru-Guzik, Advanced Quantum Technologies 2, 1900070 (2019), arXiv:1905.10876"
LINE, RING = [(3, 2), (2, 1), (1, 0)], [(3, 0), (2, 3), (1, 2), (0, 1)]
BACK, PAIRS, MIDDLE = [(3, 2), (0, 3), (1, 0), (2, 1)], [(1, 0), (3, 2)], [(2, 1)]
ALL = [(a, b) for a, b in permutations(range(3, -1, -1), 2)]
# A layer: rotations of all qubits (or of those in brackets), and gates of pairs.
CIRCUITS: dict[int, list[Any]] = {
    1: ["rx rz"],
    2: ["rx rz", ("cx", LINE)],
    3: ["rx rz", ("crz", LINE)],
    4: ["rx rz", ("crx", LINE)],
    5: ["rx rz", ("crz", ALL), "rx rz"],
    6: ["rx rz", ("crx", ALL), "rx rz"],
    7: ["rx rz", ("crz", PAIRS), "rx rz", ("crz", MIDDLE)],
    8: ["rx rz", ("crx", PAIRS), "rx rz", ("crx", MIDDLE)],
    9: ["h", ("cz", LINE), "rx"],
    10: ["ry", ("cz", [*LINE, (0, 3)]), "ry"],
    11: ["ry rz", ("cx", PAIRS), ("ry rz", [1, 2]), ("cx", MIDDLE)],
    12: ["ry rz", ("cz", PAIRS), ("ry rz", [1, 2]), ("cz", MIDDLE)],
    13: ["ry", ("crz", RING), "ry", ("crz", BACK)],
    14: ["ry", ("crx", RING), "ry", ("crx", BACK)],
    15: ["ry", ("cx", RING), "ry", ("cx", BACK)],
    16: ["rx rz", ("crz", [*PAIRS, *MIDDLE])],
    17: ["rx rz", ("crx", [*PAIRS, *MIDDLE])],
    18: ["rx rz", ("crz", RING)],
    19: ["rx rz", ("crx", RING)],
}
EXPRESSIBILITY = [0.2999, 0.2860, 0.2396, 0.1343, 0.0602, 0.0043, 0.0977, 0.0858, 0.6773, 0.2248]
EXPRESSIBILITY += [0.1331, 0.1987, 0.0516, 0.0144, 0.1903, 0.2602, 0.1371, 0.2358, 0.0810]
ENTANGLEMENT = [0.0, 0.8083, 0.3412, 0.4715, 0.4099, 0.7781, 0.3267, 0.3912, 1.0, 0.5361]
ENTANGLEMENT += [0.7330, 0.6546, 0.6053, 0.6576, 0.8189, 0.3465, 0.4535, 0.4353, 0.5906]


def circuit(number: int, layers: int = 1) -> QuantumCircuit:
    """One of the 19."""
    steps = []
    for step in CIRCUITS[number] * layers:
        names, where = (step, range(4)) if isinstance(step, str) else step
        steps += [(name, place if isinstance(place, tuple) else (place,)) for name in names.split() for place in where]
    if number == 10:  # its first rotations are not repeated
        layer = [s for s in steps if s[0] == "cz"][:4] + [("ry", (k,)) for k in range(4)]
        steps = [("ry", (k,)) for k in range(4)] + layer * layers
    free = [k for k, (name, _) in enumerate(steps) if name not in ("h", "cx", "cz")]
    angles = dict(zip(free, ParameterVector("w", len(free)), strict=True))
    made = QuantumCircuit(4)
    for k, (name, qubits) in enumerate(steps):
        getattr(made, name)(*([angles[k]] if k in angles else []), *qubits)
    return made


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after all rows."""
    samples, start, key = 500 if quick else 20_000, time.monotonic(), jax.random.key(0)
    columns = (
        "circuit",
        "weights",
        "expressibility, published",
        "ours",
        "at 5 layers",
        "entanglement, published",
        "ours ",
    )
    table = Table("Expressibility and entangling capability", PAPER, columns, [])
    for number in range(1, 4 if quick else 20):
        one, five = circuit(number), circuit(number, 5)
        values = [float(analysis.expressibility(c, key=key, samples=samples, bins=75)) for c in (one, five)]
        entangled = float(analysis.entangling_capability(one, key=key, samples=samples))
        published = EXPRESSIBILITY[number - 1], ENTANGLEMENT[number - 1]
        table.rows.append([number, one.num_parameters, published[0], *values, published[1], entangled])
    worst = [max(abs(r[a] - r[b]) / max(r[a], 0.05) for r in table.rows) for a, b in ((2, 3), (5, 6))]
    order = [np.argsort(np.argsort([r[k] for r in table.rows])) for k in (2, 3)]
    table.remarks = [
        f"{samples} pairs of weights here, 5,000 there; 75 bins. The estimate has a bias of about bins / (2 pairs)"
        ": 0.0075 with 5,000 and 0.0019 here, which is most of the smallest values.",
        f"The largest difference is {100 * worst[0]:.0f} % of expressibility (of 0.05, where it is smaller) and "
        f"{100 * worst[1]:.0f} % of entanglement.",
        f"The rank correlation of expressibilities is {np.corrcoef(*order)[0, 1]:.3f}.",
    ]
    table.seconds = time.monotonic() - start
    yield table
