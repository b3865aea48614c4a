"""M. Schuld, R. Sweke, J. J. Meyer: a model that reads its input by rotations is a Fourier series in it.

Their figures 3 to 5: how often an input is read, one time after the other or on qubits side by side, sets the degree.
"""

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

import qmljax as qj
from benchmarks.papers._table import Table
from qmljax import analysis, circuits

PAPER = "M. Schuld, R. Sweke, J. J. Meyer, Physical Review A 103, 032430 (2021), arXiv:2008.08605"


def serial(readings: int) -> QuantumCircuit:
    """One qubit that reads its input several times, between rotations."""
    x, w, circuit = Parameter("x"), ParameterVector("w", 3 * readings + 3), QuantumCircuit(1)
    for k in range(readings + 1):
        circuit.u(*w[3 * k : 3 * k + 3], 0)
        if k < readings:
            circuit.rx(x, 0)
    return circuit


def parallel(n: int, layers: int = 3) -> QuantumCircuit:
    """Qubits that read it once each, between trained layers."""
    before, after = circuits.strongly_entangling_layers(n, layers), circuits.strongly_entangling_layers(n, layers)
    x, v, circuit = Parameter("x"), ParameterVector("v", after.num_parameters), QuantumCircuit(n)
    circuit.compose(before, inplace=True)
    for k in range(n):
        circuit.rx(x, k)
    return circuit.compose(after.assign_parameters(list(v)))


def run(quick: bool = False, done: Table | None = None) -> Iterator[Table]:
    """The table, after all rows."""
    start, rows = time.monotonic(), []
    kinds = [("one qubit", serial, r) for r in (1, 2, 5)] + [("side by side", parallel, r) for r in (2, 3, 5)]
    for kind, make, readings in kinds[:1] if quick else kinds:
        circuit = make(readings)
        inputs = [p for p in circuit.parameters if p.name == "x"]
        model = qj.estimator_qnn(circuit, "I" * (circuit.num_qubits - 1) + "Z", inputs=inputs)
        rows.append([kind, readings, readings, _degree(model, readings + 3), *_fit(model, readings)])
    columns = "reads its input", "times", "degree, published", "ours", "loss at a series of this degree", "of one more"
    table = Table("Effect of data encoding", PAPER, columns, rows)
    table.remarks = [
        "The degree is the highest frequency of which a coefficient is above 1e-10 for some of 100 weights, "
        "in double precision: equal to the paper's sections II and III for all circuits.",
        "As in its figures 3 to 5, the model learns a series of its degree, by 500 steps of Adam from the best of 4 "
        "starts, and not one of a degree more (what is left is the mean square of the missing frequency). The "
        "target is proportional to the sum of cos(k x) + sin(k x), k from 1 to the degree.",
    ]
    table.seconds = time.monotonic() - start
    yield table


def _degree(model: qj.Model, most: int) -> int:
    """The highest frequency of all that random weights give."""

    def spectrum(w: jax.Array) -> jax.Array:
        return analysis.fourier_coefficients(lambda x: model(w, x[None])[0], most)

    with jax.enable_x64(True):
        weights = np.random.default_rng(0).uniform(0, 2 * np.pi, (100, model.num_weights))
        size = abs(np.asarray(jax.jit(jax.vmap(spectrum))(weights)))[:, most:]
    return int(np.flatnonzero(size.max(axis=0) > 1e-10).max())


def _fit(model: qj.Model, degree: int) -> list[float]:
    """The loss at the end, for a target of that degree and of one more."""
    x = jnp.linspace(-6, 6, 70)[:, None]
    found = []
    for highest in (degree, degree + 1):
        k = jnp.arange(1, highest + 1)
        y = 0.1 * (jnp.cos(k * x) + jnp.sin(k * x)).sum(axis=1)
        y = y * (0.5 / jnp.abs(y).max())
        loss = lambda w, x, y: jnp.mean((w["scale"] * model(w["w"], x)[:, 0] - y) ** 2)  # noqa: E731
        start = {"w": jax.random.uniform(jax.random.key(1), (4, model.num_weights), maxval=6.28), "scale": jnp.ones(4)}
        result = qj.fit(loss, start, (x, y), optimizer=optax.adam(0.05), steps=500, ensemble=True)
        found.append(float(result.history[:, -1].min()))
    return found
