"""Cases as serialised programs: saved where Qiskit is, timed where only JAX and numpy are."""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks import _cases, _runner
from benchmarks._files import write_json
from benchmarks._runner import Job, Settings
from benchmarks.contestants import CONTESTANTS

LETTERS = ("a", "d", "e", "f")  # the cases to export by default
PLATFORMS = ("cpu", "cuda")


def export(jobs: Iterable[Job], folder: Path, settings: Settings) -> None:
    """Saves the programs of contestants whose computation is one JAX function, and `index.json`."""
    from benchmarks.contestants import _exported, _jax

    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for job in jobs:
        problem, contestant = job.problem, CONTESTANTS[job.contestant]
        if contestant.missing() or _runner.answer(problem, settings) is None:
            print(f"{problem.case} {problem.size} of {job.contestant} is skipped: a library or the answer is missing.")
            continue
        call = getattr(contestant.module(), problem.task)(problem)
        if not isinstance(call, _jax.Call):
            print(f"{problem.case} {problem.size} of {job.contestant} is skipped: it is not one JAX function.")
            continue
        program = f"{problem.case}_{problem.size.replace('/', 'x')}_{job.contestant}.jaxexport"
        _exported.save(call, folder / program, PLATFORMS)
        index.append(
            {"case": problem.case, "size": problem.size, "contestant": job.contestant, "program": program}
            | {"fingerprint": problem.fingerprint}
        )
        print(f"{program}: {(folder / program).stat().st_size / 1024:.0f} KiB", flush=True)
    write_json(folder / "index.json", index, indent=1)


def exported(folder: Path, chosen: Iterable[_cases.Case]) -> list[Job]:
    """The programs in a folder that answer the cases as they are now."""
    wanted = {case.name for case in chosen}
    todo = []
    for entry in json.loads((folder / "index.json").read_text()):
        problem = _cases.problem(entry["case"], entry["size"])
        if problem.fingerprint != entry["fingerprint"]:
            raise ValueError(f"{entry['program']} answers another question than {problem.case}: export it again.")
        if entry["case"] in wanted:
            todo.append(Job(problem, entry["contestant"], folder / entry["program"]))
    return todo
