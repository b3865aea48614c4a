"""What programs over eight devices send, and what memory they need: `python -m benchmarks.devices`.

Both are read off compiled programs, so they are exact, whatever else the machine does; times of virtual devices would
say nothing. The devices are virtual ones of the CPU. Nothing is run.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before JAX is imported
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import argparse
import json
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from qiskit.circuit.library import real_amplitudes, zz_feature_map

import qmljax as qj

RESULTS = Path(__file__).parent / "results" / "devices.json"
DEVICES = 8
KINDS = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
Case = tuple[str, str, Callable[[], tuple[Callable, tuple[Any, ...]]]]  # what, whose, and a function and its arguments


def mesh() -> Any:
    return jax.make_mesh((DEVICES,), ("i",), axis_types=(AxisType.Auto,))


def lying(shape: tuple[int, ...], *axes: str | None) -> jax.ShapeDtypeStruct:
    """An array of float32 that lies on the devices."""
    return jax.ShapeDtypeStruct(shape, np.float32, sharding=NamedSharding(mesh(), PartitionSpec(*axes)))


def training_step(n: int, points: int) -> tuple[Callable, tuple[Any, ...]]:
    features, ansatz = zz_feature_map(n, 1), real_amplitudes(n, reps=3)
    model = qj.estimator_qnn(features.compose(ansatz), inputs=features.parameters, weights=ansatz.parameters)
    step = jax.value_and_grad(lambda w, x, y: jnp.mean((model(w, x)[:, 0] - y) ** 2))
    return step, (lying((model.num_weights,)), lying((points, n), "i"), lying((points,), "i"))


def gram_matrix(n: int, points: int) -> tuple[Callable, tuple[Any, ...]]:
    kernel = qj.fidelity_kernel(zz_feature_map(n))
    return lambda x: kernel(x), (lying((points, n), "i"),)


def one_state(n: int, slopes: bool) -> tuple[Callable, tuple[Any, ...]]:
    circuit = real_amplitudes(n, reps=3)
    chain = [("ZZ", [q, q + 1], -1.0) for q in range(n - 1)] + [("X", [q], -1.0) for q in range(n)]
    energy = qj.expectation(circuit, _sum(chain, n), mesh=mesh())
    return jax.value_and_grad(energy) if slopes else energy, (lying((circuit.num_parameters,)),)


def _sum(terms: list, n: int) -> Any:
    from qiskit.quantum_info import SparsePauliOp

    return SparsePauliOp.from_sparse_list(terms, n)


def of_tensorcircuit() -> Iterator[Case]:
    """The same with TensorCircuit, whose states XLA spreads: a batch by its rows, one state by its first qubits."""
    import tensorcircuit as tc

    tc.set_backend("jax")

    def features(circuit: Any, x: Any, n: int, reps: int) -> None:
        for _ in range(reps):
            for q in range(n):
                circuit.h(q), circuit.phase(q, theta=2 * x[q])
            for a in range(n):
                for b in range(a + 1, n):
                    circuit.cx(a, b), circuit.phase(b, theta=2 * (np.pi - x[a]) * (np.pi - x[b])), circuit.cx(a, b)

    def ansatz(circuit: Any, w: Any, n: int, reps: int = 3) -> None:
        for layer in range(reps + 1):
            for q in range(n):
                circuit.ry(q, theta=w[layer * n + q])
            if layer < reps:
                for q in reversed(range(n - 1)):
                    circuit.cx(q, q + 1)

    def step(n: int, points: int) -> tuple[Callable, tuple[Any, ...]]:
        def value(w: Any, x: Any) -> Any:
            circuit = tc.Circuit(n)
            features(circuit, x, n, 1), ansatz(circuit, w, n)
            return circuit.expectation_ps(z=list(range(n))).real

        loss = lambda w, x, y: jnp.mean((jax.vmap(value, (None, 0))(w, x) - y) ** 2)  # noqa: E731
        return jax.value_and_grad(loss), (lying((4 * n,)), lying((points, n), "i"), lying((points,), "i"))

    def gram(n: int, points: int) -> tuple[Callable, tuple[Any, ...]]:
        def state(x: Any) -> Any:
            circuit = tc.Circuit(n)
            features(circuit, x, n, 2)
            return circuit.state()

        def matrix(x: Any) -> Any:
            states = jax.vmap(state)(x)
            return jnp.abs(states @ states.conj().T) ** 2

        return matrix, (lying((points, n), "i"),)

    def energy(n: int, slopes: bool) -> tuple[Callable, tuple[Any, ...]]:
        where = NamedSharding(mesh(), PartitionSpec("i"))

        def value(w: Any) -> Any:
            zero = jnp.zeros(1 << n, jnp.complex64).at[0].set(1)
            circuit = tc.Circuit(n, inputs=jax.lax.with_sharding_constraint(zero, where))
            ansatz(circuit, w, n)
            psi = tc.Circuit(n, inputs=jax.lax.with_sharding_constraint(circuit.state(), where))
            total = sum(-psi.expectation_ps(z=[q, q + 1]).real for q in range(n - 1))
            return total + sum(-psi.expectation_ps(x=[q]).real for q in range(n))

        return jax.value_and_grad(value) if slopes else value, (lying((4 * n,)),)

    yield "a training step, 12 qubits, 256 points", "tensorcircuit", lambda: step(12, 256)
    yield "a Gram matrix, 8 qubits, 20,480 points", "tensorcircuit", lambda: gram(8, 20_480)
    yield "an energy, 22 qubits", "tensorcircuit", lambda: energy(22, False)
    yield "its gradient, 22 qubits", "tensorcircuit", lambda: energy(22, True)


def cases() -> Iterator[Case]:
    yield "a training step, 12 qubits, 256 points", "qmljax", lambda: training_step(12, 256)
    yield "the same, an eighth of the points on one device", "qmljax", lambda: _alone(training_step(12, 32))
    yield "a Gram matrix, 8 qubits, 20,480 points", "qmljax", lambda: gram_matrix(8, 20_480)
    yield "an energy, 22 qubits", "qmljax", lambda: one_state(22, False)
    yield "its gradient, 22 qubits", "qmljax", lambda: one_state(22, True)
    try:
        yield from of_tensorcircuit()
    except ImportError:
        print("TensorCircuit is not installed.")


def _alone(asked: tuple[Callable, tuple[Any, ...]]) -> tuple[Callable, tuple[Any, ...]]:
    return asked[0], tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in asked[1])


def measure(build: Callable[[], tuple[Callable, tuple[Any, ...]]]) -> dict[str, Any]:
    """What a program sends, in bytes by kind, and the bytes that a device needs."""
    start = time.perf_counter()
    function, args = build()
    compiled = jax.jit(function).lower(*args).compile()
    memory = compiled.memory_analysis()
    found: dict[str, Any] = dict(qj.analysis.collectives(compiled))
    return found | {
        "temporary": memory.temp_size_in_bytes,
        "output": memory.output_size_in_bytes,
        "seconds to compile": round(time.perf_counter() - start, 2),
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown, in MiB."""
    columns = [*KINDS, "temporary", "output"]
    lines = [
        "| program | library | " + " | ".join(f"{c}, MiB" for c in columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for row in results:
        cells = (
            [f"{row[c] / 2**20:.4g}" if row.get(c) else "" for c in columns] if "error" not in row else [row["error"]]
        )
        lines.append(f"| {row['program']} | {row['library']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS, help="the file with the results, beside it the table")
    output = parser.parse_args().output
    results = []
    for what, whose, build in cases():
        print(f"{what}: {whose}", flush=True)
        try:
            found = measure(build)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        results.append({"program": what, "library": whose, **found})
    versions = {name: version(name) for name in ("jax", "qmljax")}
    output.write_text(json.dumps({"devices": DEVICES, "versions": versions, "results": results}, indent=1) + "\n")
    output.with_suffix(".md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
