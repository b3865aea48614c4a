"""A. Abbas et al., "The power of quantum neural networks": the effective dimension.

Qiskit Machine Learning computes it in its tutorial 10; its numbers are printed there. The paper's figure compares
a network whose feature map entangles with one whose feature map does not.
"""

import time
from collections.abc import Iterator

import jax
import numpy as np
from qiskit.circuit.library import real_amplitudes, z_feature_map, zz_feature_map

import qmljax as qj
from benchmarks.papers._table import Table
from qmljax import analysis

PAPER = "A. Abbas et al., Nature Computational Science 1, 403 (2021); Qiskit Machine Learning, tutorial 10"
SIZES = [5000, 8000, 10000, 40000, 60000, 100000, 150000, 200000, 500000, 1000000]
TUTORIAL = [4.66565096, 4.7133723, 4.73782922, 4.89963559, 4.94632272, 5.00280009, 5.04530433, 5.07408394, 5.15786005]
TUTORIAL += [5.21349874]


def network(feature_map: object, ansatz: object) -> qj.Model:
    """The parity of all qubits: two classes."""
    circuit = feature_map.compose(ansatz)
    inputs, weights = feature_map.parameters, ansatz.parameters
    parity = lambda outcome: outcome.bit_count() % 2  # noqa: E731
    return qj.sampler_qnn(circuit, inputs=inputs, weights=weights, interpret=parity, output_shape=2)


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after all rows."""
    start, rng = time.monotonic(), np.random.default_rng(42)
    rng.uniform(size=(10, 6)), rng.normal(size=(10, 3))  # drawn by the tutorial's first object, and not used
    x, weights = rng.normal(size=(10, 3)), rng.uniform(size=(10, 6))
    with jax.enable_x64(True):
        model = network(z_feature_map(3, reps=1), real_amplitudes(3, reps=1))
        ours = np.asarray(analysis.effective_dimension(model, weights, x, SIZES))
    rows = [[n, a, float(b), f"{abs(a - b):.0e}"] for n, a, b in zip(SIZES, TUTORIAL, ours, strict=True)]
    remark = f"Equal to the digits that the tutorial prints: the largest difference is {max(abs(ours - TUTORIAL)):.0e}."
    table = Table("The power of quantum neural networks", PAPER, ("data", "published", "ours", "difference"), rows)
    table.remarks = [remark, "In double precision; inputs and weights are those of the tutorial's generator."]
    table.seconds, start = time.monotonic() - start, time.monotonic()
    table.more = [_figure(4 if not quick else 2, 100 if not quick else 5)]
    table.more[0].seconds = time.monotonic() - start
    yield table


def _figure(n: int, samples: int) -> Table:
    """Figure 3 (a): normalised effective dimensions, with 40 weights in the paper, as many here."""
    ansatz, keys = real_amplitudes(n, reps=9), jax.random.split(jax.random.key(0))
    weights = jax.random.uniform(keys[0], (samples, ansatz.num_parameters), minval=-1)
    x, rows = jax.random.normal(keys[1], (samples, n)), []
    found = [
        np.asarray(analysis.effective_dimension(network(map_, ansatz), weights, x, SIZES)) / ansatz.num_parameters
        for map_ in (z_feature_map(n, reps=1), zz_feature_map(n, reps=2))
    ]
    rows = [[size, float(a), float(b)] for size, a, b in zip(SIZES, *found, strict=True)]
    columns = "data", "feature map without entanglement", "with entanglement"
    more = "higher" if (found[1] > found[0]).all() else "not higher everywhere"
    remark = (
        f"{ansatz.num_parameters} weights, {samples} samples of weights and of inputs, uniform and normal. The paper "
        f"shows a figure: the network whose feature map entangles has the higher dimension. Here it is {more}."
    )
    return Table("Normalised effective dimensions", PAPER, columns, rows, [remark])
