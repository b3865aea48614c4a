"""Measures one contestant at one problem, in the process it runs in: the answer first, then the time.

The runner starts this as `python -m benchmarks._worker REQUEST RECORD`, two JSON files. The record is written after
every stage, so that what was measured survives a contestant that does not finish.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _cases
from benchmarks._cases import Problem
from benchmarks._files import write_json
from benchmarks.contestants import CONTESTANTS

SAMPLE = 1e-3  # seconds: shorter calls are timed several at a time
MOST = 1000  # samples
KEPT = 32  # elements of each array of an answer


def measure(
    problem: Problem,
    prepare: Callable[[], Callable[[], Any]],
    seconds: float,
    reference: dict[str, list[float]] | None = None,
    write: Callable[[dict], None] = lambda record: None,
) -> dict[str, Any]:
    """A record: seconds for building, the first call and later calls; bytes; and the error of the answer.

    Args:
        problem: What is computed.
        prepare: Gives the function without arguments that computes it.
        seconds: How long to repeat the call.
        reference: The right answer, or None to return an `answer` instead of times.
        write: Is given the record after every stage.
    """
    start_backend()
    idle = peak_memory()
    record: dict[str, Any] = {"status": "did not finish", "detail": "while building"}
    write(record)

    start = time.perf_counter()
    run = prepare()
    record |= {"build": time.perf_counter() - start, "detail": "in the first call"}
    write(record)

    start = time.perf_counter()
    out = run()
    record |= {"first": time.perf_counter() - start, "detail": "in the second call", "memory": peak_memory() - idle}
    given = answer(problem, out)
    del out
    if reference is None:
        return {"status": "done", "answer": given}
    record["error"] = error(given, reference)
    if not record["error"] <= _cases.case(problem.case).tolerance:
        return record | {"status": "wrong", "detail": f"deviates by {record['error']:.1e} of the largest element"}
    write(record)

    most = _cases.UNSEEN - 10 if problem.task.startswith("first") else MOST
    record |= {"steady": steady(run, seconds, most), "memory": peak_memory() - idle, "status": "done", "detail": ""}
    return record


def steady(run: Callable[[], Any], seconds: float, most: int = MOST) -> dict[str, float]:
    """Seconds a call takes: the median and the 10th and 90th percentile of the samples."""
    calls, samples = 1, []
    deadline = time.perf_counter() + seconds
    while not samples or (time.perf_counter() < deadline and len(samples) < most):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        each = (time.perf_counter() - start) / calls
        if each * calls < SAMPLE / 2 and not samples:
            calls = ceil(SAMPLE / each)
            continue
        samples.append(each)
    median, p10, p90 = np.percentile(samples, [50, 10, 90])
    return {"median": median, "p10": p10, "p90": p90, "samples": len(samples), "calls": calls}


def answer(problem: Problem, out: Any) -> dict[str, list[float]]:
    """At most `KEPT` elements of each array of an answer, evenly spread; those of one kind have one scale."""
    match problem.task:
        case "sample":
            parts = {"ones": [ones(out, problem.num_qubits)]}
        case "gram":
            gram = np.asarray(out)
            parts = {"diagonal": [np.diagonal(gram)], "others": [np.diagonal(gram, k) for k in (1, -len(gram) // 2)]}
        case task if task.endswith(("step", "step_with_inputs", "gradient")):
            value, gradients = out
            parts = {"value, gradient": [value, *(gradients if isinstance(gradients, tuple) else (gradients,))]}
        case _:
            parts = {"value": [out]}
    return {name: [x for array in arrays for x in _some(array)] for name, arrays in parts.items()}


def _some(array: Any) -> list[float]:
    flat = np.asarray(array).reshape(-1)
    return flat[np.linspace(0, len(flat) - 1, min(KEPT, len(flat))).astype(int)].astype(np.float64).tolist()


def ones(outcomes: Any, n: int) -> np.ndarray:
    """How often each qubit is 1, from outcomes (shots,) or bits (shots, n), or the probability itself, (n,)."""
    outcomes = np.asarray(outcomes)
    if outcomes.shape == (n,):
        return outcomes
    if outcomes.ndim == 1:
        return np.array([(outcomes >> q & 1).mean() for q in range(n)])
    return outcomes.mean(axis=0)


def error(given: dict[str, list[float]], reference: dict[str, list[float]]) -> float:
    """The largest deviation of an element, relative to the largest element of its kind."""
    deviations = []
    for name, right in reference.items():
        if np.shape(given.get(name)) != np.shape(right):
            return float("inf")
        deviations.append(np.max(np.abs(np.subtract(given[name], right))) / np.max(np.abs(right)))
    return float(np.max(deviations))


def start_backend() -> None:
    """Starts the device, if there is a contestant that uses JAX, so that memory is counted from there.

    Every call here is waited for, so JAX computes in the thread that calls: handing small computations to another one,
    its default on a CPU, costs up to 40 us of waking up threads. And a GPU would round products of float32 matrices to
    TF32, which most answers do not survive.
    """
    if jax := sys.modules.get("jax"):
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        jax.config.update("jax_default_matmul_precision", "highest")
        jax.block_until_ready(jax.numpy.zeros(8) + 1)


def peak_memory() -> int:
    """The most bytes this process ever held, on the device if there is one and in memory if not."""
    if (jax := sys.modules.get("jax")) and jax.default_backend() != "cpu":
        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    try:  # ru_maxrss would start from the peak of the process that started this one
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def preparation(asked: dict[str, Any], problem: Problem) -> Callable[[], Callable[[], Any]]:
    """What a request wants measured. Imports the libraries of the contestant."""
    if asked["program"]:
        from benchmarks.contestants import _exported

        return partial(_exported.load, Path(asked["program"]))
    task = "exact_sample" if problem.task == "sample" and asked["reference"] is None else problem.task
    return partial(getattr(CONTESTANTS[asked["contestant"]].module(), task), problem)


def main(request: Path, record: Path) -> None:
    asked = json.loads(request.read_text())
    if asked["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (asked["memory"], resource.RLIM_INFINITY))
    problem = _cases.problem(asked["case"], asked["size"])
    prepare = preparation(asked, problem)
    write_json(record, measure(problem, prepare, asked["seconds"], asked["reference"], partial(write_json, record)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
