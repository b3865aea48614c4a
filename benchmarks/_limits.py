"""What the machine can do, and what a problem needs at least: how far is a contestant from the limit?

The model is simple, and the same for all. A circuit is a sequence of layers of gates that mix basis states, between
which permutations and phases cost nothing. A pass through a layer reads and writes every amplitude once, 16 bytes in
complex64; a mixing gate multiplies and adds a real 2x2 matrix, 8 operations for each amplitude. A value is one pass, a
gradient three: the state forward, the state and its cotangent backward. The limit is the longer of the time to move
the bytes at the copy bandwidth measured at that size, and the time to compute at the rate of a large matrix product.
A contestant can beat it: by keeping several layers in a cache, or by not simulating what the answer does not need.
"""

import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from benchmarks._cases import SHOTS, Problem
from benchmarks._files import write_json

NOISY = {"noisy_value", "noisy_gradient", "noisy_step"}
MIXING = {"h", "sx", "rx", "ry", "u", "ch", "crx", "cry", "rxx", "ryy"}


def needs(problem: Problem) -> tuple[float, float]:
    """Bytes to move and operations to compute, at least."""
    mixing = 0
    depth = [0] * problem.num_qubits
    for gate in problem.circuit([0.0] * problem.num_weights, [0.0] * problem.num_inputs):
        level = max(depth[q] for q in gate.qubits) + (gate.name in MIXING)
        for q in gate.qubits:
            depth[q] = level
        mixing += gate.name in MIXING
    n, batch, parameters = problem.num_qubits, problem.batch, problem.num_weights
    amplitudes = batch << n
    passes = {
        "step": 3,
        "step_with_inputs": 3,
        "torch_step": 3,
        "train": 3 * problem.steps * problem.members,
        "gradient": 3,
        "noisy_gradient": 3,
        "noisy_step": 3,
        "trajectories_gradient": 3,
        "deep_gradient": 3,
        "deep_traced_gradient": 3,
        "ideal_gradient": 3,
        "jacobian": 3,
        "hessian": 3 * parameters,
        "metric": 1 + parameters,
    }
    total = passes.get(problem.task, 1) * amplitudes
    moved, computed = 16.0 * max(1, *depth) * total, 8.0 * mixing * total
    if problem.task in NOISY:  # 4**n real numbers, and no bound on what to compute
        return 8.0 * max(1, *depth) * passes.get(problem.task, 1) * batch * 4**n, 0.0
    if problem.task == "gram":
        moved, computed = moved + 4 * batch**2, computed + 4 * batch**2 * 2**n  # complex, half of a symmetric matrix
    if problem.task == "metric":
        computed += 4 * parameters**2 * 2**n
    if problem.task == "sample":
        moved += 4 * SHOTS
    return moved, computed


def seconds(problem: Problem, limits: dict[str, Any]) -> float:
    moved, computed = needs(problem)
    held = 16 * problem.batch << problem.num_qubits  # the states before and after a layer
    held = 8 * problem.batch << 2 * problem.num_qubits if problem.task in NOISY else held
    sizes = sorted(limits["bandwidth"], key=int)
    size = next((s for s in sizes if int(s) >= held), sizes[-1])
    return max(moved / limits["bandwidth"][size], computed / limits["product"])


def measure() -> dict[str, Any]:
    """Bytes per second of a copy, by the bytes read and written, and operations per second of a matrix product."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    device = jax.devices()[0]
    scale = jax.jit(lambda x, k: lax.fori_loop(0, k, lambda _, y: y * 1.0000001, x))
    bandwidth = {}
    for held in (2**k for k in (16, 19, 22, 25, 28)):  # half is read, half written
        x, times = jnp.ones(held // 8, jnp.float32), max(2, 2**28 // held)
        bandwidth[str(held)] = held * times / _least(scale, x, times)
    size = 2048 if device.platform == "cpu" else 8192
    square = jax.jit(lambda a: jnp.dot(a, a, precision=lax.Precision.HIGHEST))
    a = jnp.ones((size, size), jnp.float32)
    product = 2 * size**3 / _least(square, a)
    return {"backend": device.platform, "device": device.device_kind, "bandwidth": bandwidth, "product": product}


def _least(function: Callable, *arguments: Any) -> float:
    """Seconds of the fastest of some calls."""
    least = inf
    for _ in range(5):
        start = time.perf_counter()
        function(*arguments).block_until_ready()
        least = min(least, time.perf_counter() - start)
    return least


if __name__ == "__main__":
    write_json(Path(sys.argv[1]), measure())
