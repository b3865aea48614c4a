"""Data-parallel training, a kernel matrix and an Ising energy of one state, each over eight virtual devices of a CPU.

None of the three needs another argument than where arrays lie, but for the one state, which takes `mesh=`. Each is
compared with one device: the numbers, what the devices send to one another, and the memory that each needs. The last
two are read off the compiled programs, so that they are what eight GPUs would send and need, too; times of virtual
devices would say nothing.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before JAX is imported
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _arguments
import _figures
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from matplotlib.figure import Figure
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp

import qmljax as qj

FIGURE = _arguments.figure(__file__)
QUBITS, SAMPLES, STEPS = 8, 512, 30  # of the training
POINTS = 2048  # of the kernel matrix
SITES = 16  # of the chain
if jax.device_count() < 8:
    raise SystemExit(f"There must be eight devices, but there are {jax.device_count()}: take the CPU, --platform cpu.")
MESH = jax.make_mesh((8,), ("devices",), axis_types=(AxisType.Auto,))
ROWS, WHOLE = (NamedSharding(MESH, PartitionSpec(*axes)) for axes in (("devices",), ()))


def costs(function, *args):
    """What a program sends by kind, and the memory that a device needs for it, in bytes."""
    compiled = jax.jit(function).lower(*args).compile()
    memory = compiled.memory_analysis()
    return qj.analysis.collectives(compiled), memory.temp_size_in_bytes + memory.output_size_in_bytes


def training():
    features, ansatz = zz_feature_map(QUBITS, 1), real_amplitudes(QUBITS, reps=2)
    model = qj.estimator_qnn(features.compose(ansatz), "Z" * QUBITS, inputs=features.parameters)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (SAMPLES, QUBITS)).astype(np.float32)
    teacher, start = rng.uniform(-1, 1, (2, model.num_weights)).astype(np.float32)
    y = np.asarray(model(teacher, x))[:, 0]

    def loss(w, x, y):
        return jnp.mean((model(w, x)[:, 0] - y) ** 2)

    one, many = (x, y), tuple(jax.device_put(d, ROWS) for d in (x, y))
    about = {"optimizer": optax.adam(0.05), "steps": STEPS}
    alone, spread = qj.fit(loss, start, one, **about), qj.fit(loss, start, many, **about)
    difference = np.abs(alone.history - spread.history).max()
    print(f"Training: loss {spread.history[0]:.4f} to {spread.history[-1]:.4f}; one device differs by {difference:.0e}")
    step = jax.value_and_grad(loss)
    return costs(step, jax.device_put(start, WHOLE), *many), costs(step, start, *one)


def kernel_matrix():
    kernel = qj.fidelity_kernel(zz_feature_map(QUBITS))
    x = np.random.default_rng(1).uniform(-1, 1, (POINTS, QUBITS)).astype(np.float32)
    spread, alone = kernel(jax.device_put(x, ROWS)), kernel(x)
    symmetric = bool((spread == spread.T).all())
    difference = float(np.abs(np.asarray(spread) - np.asarray(alone)).max())
    print(f"Kernel matrix: {spread.sharding.spec}, symmetric {symmetric}; one device differs by {difference:.0e}")
    return costs(lambda x: kernel(x), jax.device_put(x, ROWS)), costs(lambda x: kernel(x), x)


def energy():
    """Of a transverse-field Ising chain, and its gradient."""
    bonds = [("ZZ", [q, q + 1], -1.0) for q in range(SITES - 1)]
    chain = SparsePauliOp.from_sparse_list([*bonds, *(("X", [q], -1.0) for q in range(SITES))], SITES)
    circuit = real_amplitudes(SITES, reps=3)
    many = jax.value_and_grad(qj.expectation(circuit, chain, mesh=MESH))
    one = jax.value_and_grad(qj.expectation(circuit, chain, compile=True))
    w = np.random.default_rng(2).uniform(-1, 1, circuit.num_parameters).astype(np.float32)
    (value, slopes), (expected, others) = jax.jit(many)(w), jax.jit(one)(w)
    difference = max(abs(float(value - expected)), float(np.abs(np.asarray(slopes) - np.asarray(others)).max()))
    print(f"Energy of {SITES} sites: {value:.4f}; one device differs by {difference:.0e}, in the gradient, too")
    return costs(many, jax.device_put(w, WHOLE)), costs(one, w)


def draw(found):
    matplotlib.rcParams.update({"font.size": 13, "axes.titlesize": 14, "legend.frameon": False})
    figure = Figure(figsize=(13, 4.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    names, place = list(found), np.arange(len(found))
    kinds = {
        "all-reduce": ("sums of gradients", "#0072B2"),
        "all-gather": ("points", "#009E73"),
        "collective-permute": ("mirrored blocks", "#E69F00"),
        "all-to-all": ("exchanges of qubits", "#D55E00"),
    }
    width = 0.8 / len(kinds)
    for k, (kind, (label, color)) in enumerate(kinds.items()):
        sent = [found[name][0][0].get(kind, 0) / 1024 for name in names]
        bars = left.bar(place + (k - 1.5) * width, sent, width, label=label, color=color)
        left.bar_label(bars, [f"{s:,.3g}" if s else "" for s in sent], fontsize=10)
    left.set(yscale="log", ylabel="KiB", title="What a device receives", xticks=place, xticklabels=names)
    left.set_ylim(0.01, 1e5)
    left.legend(loc="upper left", ncols=2)
    for k, (label, color, which) in enumerate((("one device", "#888888", 1), ("each of eight", "#0072B2", 0))):
        memory = [found[name][which][1] / 2**20 for name in names]
        bars = right.bar(place + (k - 0.5) * 0.4, memory, 0.4, label=label, color=color)
        right.bar_label(bars, [f"{m:.3g}" for m in memory], fontsize=10)
    right.set(yscale="log", ylabel="MiB", title="Memory of a device", xticks=place, xticklabels=names)
    right.set_ylim(top=3 * right.get_ylim()[1])
    right.legend(loc="upper left", ncols=2)
    _figures.keep(figure, FIGURE)


def main():
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    found = {"training step": training(), "kernel matrix": kernel_matrix(), "gradient of\none state": energy()}
    for name, ((sent, many), (_, one)) in found.items():
        kinds = ", ".join(f"{kind} {size / 1024:,.3g} KiB" for kind, size in sent.items())
        print(f"{name.replace(chr(10), ' ')}: {kinds}; memory {one / 2**20:.3g} MiB, of each {many / 2**20:.3g}")
    draw(found)
    print(f"Figure: {FIGURE}")


if __name__ == "__main__":
    main()
