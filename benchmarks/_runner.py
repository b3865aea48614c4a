"""Runs contestants, each in a process of its own, one at a time, and keeps the results.

A run replaces the results it measures anew and leaves the others, so that a suite can be run in parts. The file is
written after every contestant.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import _cases
from benchmarks._cases import Problem
from benchmarks._files import write_json
from benchmarks.contestants import CONTESTANTS

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ANSWERS = HERE / "answers.json"


@dataclass(frozen=True)
class Settings:
    """`seconds` is how long a call is repeated; `limit` replaces the limit of a case, in seconds."""

    seconds: float = 2.0
    limit: float | None = None
    threads: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    backend: str = "cpu"


@dataclass(frozen=True)
class Job:
    problem: Problem
    contestant: str
    program: Path | None = None  # an exported program instead of the contestant itself


def jobs(
    chosen: Iterable[_cases.Case], names: Iterable[str], quick: bool = False, sizes: Iterable[str] = ()
) -> list[Job]:
    """Who is asked what: all sizes of the cases, the first of each if `quick`, or those in `sizes`."""
    names, sizes = list(names), set(sizes)
    return [
        Job(problem, name)
        for case in chosen
        for problem in (case.problems[:1] if quick and not sizes else case.problems)
        if not sizes or problem.size in sizes
        for name in names
        if CONTESTANTS[name].enters(case.name, problem.task) and (case.peers or not CONTESTANTS[name].peer)
    ]


def run(
    todo: list[Job], settings: Settings, output: Path | None = None, quick: bool = False, resume: bool = False
) -> Path:
    """Measures the jobs, problem by problem, and returns the file with the results."""
    if hasattr(os, "sched_setaffinity"):  # what no library can ignore
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.threads])
    limits, fault = _start("benchmarks._limits", [], 120, settings)
    if fault:
        raise RuntimeError(f"The machine's limits could not be measured: {fault}")
    settings = replace(settings, backend=limits["backend"])
    output = output or RESULTS / f"{limits['backend']}{'-quick' if quick else ''}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    data = _opened(output, machine(limits), limits)
    data["missing"] = {}
    hopeless: dict[tuple[str, str], Problem] = {}  # (case, contestant): the problem it did not finish
    had = {(r["case"], r["size"], r["contestant"]) for r in data["results"]} if resume else set()
    for job in todo:
        if (job.problem.case, job.problem.size, job.contestant) in had:
            continue
        if not job.program and (missing := CONTESTANTS[job.contestant].missing()):
            if job.contestant not in data["missing"]:
                print(f"{job.contestant} is skipped: it needs {', '.join(missing)}.", flush=True)
            data["missing"][job.contestant] = missing
            continue
        smaller = hopeless.get((job.problem.case, job.contestant))
        if smaller and smaller.scale <= job.problem.scale:
            record = {"status": "did not finish", "detail": f"not tried, since {smaller.size} did not"}
        else:
            record = measure(job, settings)
        if record["status"] in ("did not finish", "failed"):
            hopeless.setdefault((job.problem.case, job.contestant), job.problem)
        key = {"case": job.problem.case, "size": job.problem.size, "contestant": job.contestant}
        data["results"] = [r for r in data["results"] if any(r[k] != v for k, v in key.items())]
        data["results"].append(key | record | stamp() | {"exported": bool(job.program), "threads": settings.threads})
        print(line(data["results"][-1]), flush=True)
        write_json(output, data, indent=1)
    write_json(output, data, indent=1)
    return output


def measure(job: Job, settings: Settings) -> dict[str, Any]:
    """The record of a contestant, whatever becomes of it."""
    reference = answer(job.problem, settings)
    if reference is None:
        return {"status": "failed", "detail": "there is no reference answer"}
    limit = settings.limit or _cases.case(job.problem.case).limit
    record, fault = _ask(job, settings, settings.seconds, limit, reference)
    if fault and record.get("status") not in ("done", "wrong"):
        finished = "did not finish" if fault.startswith("not within") else "failed"
        stage = f" ({record['detail']})" if record.get("detail") else ""
        record |= {"status": finished, "detail": fault + stage}
    return record


def answer(problem: Problem, settings: Settings) -> dict[str, list[float]] | None:
    """The right answer: that of qmljax in float64, computed once and kept."""
    known = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
    name = f"{problem.case} {problem.size}"
    if known.get(name, {}).get("fingerprint") != problem.fingerprint:
        record, _ = _ask(
            Job(problem, "qmljax"), settings, 0, 600, None, {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
        )
        if "answer" not in record:
            return None
        known[name] = {"fingerprint": problem.fingerprint, "answer": record["answer"]}
        write_json(ANSWERS, dict(sorted(known.items())), indent=0)
    return known[name]["answer"]


def _ask(
    job: Job, settings: Settings, seconds: float, limit: float, reference: Any, environment: dict | None = None
) -> tuple[dict[str, Any], str]:
    request = {
        "case": job.problem.case,
        "size": job.problem.size,
        "contestant": job.contestant,
        "program": job.program and str(job.program.resolve()),
        "seconds": seconds,
        "reference": reference,
        # The driver of a GPU maps much more memory than it uses.
        "memory": int(0.9 * available_memory()) if settings.backend == "cpu" else None,
    }
    return _start("benchmarks._worker", [request], limit, settings, environment)


def _start(
    module: str, requests: list[dict], limit: float, settings: Settings, environment: dict[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """Runs `python -m module [request] record`, and returns what it recorded and what went wrong, if anything."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(settings.threads))
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    # Threads of OpenMP that spin while they wait would fight over the cores, with their own kind and with XLA's.
    alike = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": path, **threads}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"request{k}.json" for k in range(len(requests))]
        for file, request in zip(files, requests, strict=True):
            write_json(file, request)
        record, log = Path(folder) / "record.json", Path(folder) / "log"
        with log.open("w") as out:
            command = [sys.executable, "-W", "ignore", "-m", module, *map(str, files), str(record)]
            process = subprocess.Popen(
                command, stdout=out, stderr=out, env=os.environ | alike | (environment or {}), start_new_session=True
            )
            try:
                process.wait(limit)
                fault = "" if process.returncode == 0 else _last_words(log, process.returncode)
            except subprocess.TimeoutExpired:
                fault = f"not within {limit:.0f} s"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        return json.loads(record.read_text()) if record.exists() else {}, fault


def _last_words(log: Path, code: int) -> str:
    lines = [text.strip() for text in log.read_text(errors="replace").splitlines() if text.strip()]
    said = lines[-1][:200] if lines else ""
    return f"{signal.Signals(-code).name}: {said}" if code < 0 else said or f"exit code {code}"


def _opened(output: Path, here: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """The results so far, if they are this machine's."""
    old = json.loads(output.read_text()) if output.exists() else {}
    results = old["results"] if old.get("machine") == here else []
    return {"machine": here, "limits": limits, "versions": versions(), "missing": {}, "results": results}


def machine(limits: dict[str, Any]) -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        model = next((x.partition(":")[2].strip() for x in info.read_text().splitlines() if "model name" in x), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory": f"{memory / 2**30:.0f} GiB",
        "device": limits["device"],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def available_memory() -> int:
    try:
        text = Path("/proc/meminfo").read_text()
        return 1024 * int(text.partition("MemAvailable:")[2].split()[0])
    except FileNotFoundError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def versions() -> dict[str, str]:
    names = {library for c in CONTESTANTS.values() for library in c.libraries} | {"jaxlib", "numpy", "qiskit"}
    owners = metadata.packages_distributions()
    return {owners[name][0]: metadata.version(owners[name][0]) for name in sorted(names & owners.keys())}


def stamp() -> dict[str, str]:
    git = ["git", "-C", str(HERE)]
    written = [":/", f":(exclude){RESULTS.name}", ":(exclude)README.md"]  # by the benchmarks themselves
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *written]).returncode:
            commit += "-dirty"
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"commit": commit, "time": datetime.now(UTC).isoformat(timespec="seconds")}


def line(r: dict[str, Any]) -> str:
    told = f"{r['case']:16} {r['size']:8} {r['contestant']:18} "
    if r["status"] != "done":
        return told + f"{r['status']}: {r['detail']}"
    return told + (
        f"{1e3 * r['steady']['median']:12.3f} ms   first call {r['build'] + r['first']:7.2f} s   "
        f"{r['memory'] / 2**20:7.0f} MiB   error {r['error']:.0e}"
    )
