"""Runs the scripts of examples/, and keeps what they print and draw for the gallery: `python -m docs._site.examples`.

The build of the site runs those that have not been run since they or the package changed; so each runs once.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from docs._site import digest  # noqa: E402

FOLDER = ROOT / "examples"
KEPT = ROOT / "build" / "examples"


class Run(NamedTuple):
    """What a script did."""

    output: str
    figure: Path
    seconds: float


def scripts() -> list[Path]:
    """The examples in their order."""
    return sorted(FOLDER.glob("[0-9]*.py"))


def helpers(script: Path) -> list[Path]:
    """The files beside a script that it imports."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    here = [FOLDER / f"{name}.py" for name in sorted(set(names)) if (FOLDER / f"{name}.py").exists()]
    return here + [file for helper in here for file in helpers(helper) if file not in here]


def run(script: Path, show: Callable[[str], None] = sys.stdout.write) -> Run:
    """Runs a script, and shows each line that it prints; raises `RuntimeError` if it fails."""
    show(f"== {script.relative_to(ROOT)}\n")
    begun, lines = time.perf_counter(), []
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(script.relative_to(ROOT))]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            show(line)
            lines.append(line)
    if process.returncode:
        raise RuntimeError(f"{script.relative_to(ROOT)} failed, with exit code {process.returncode}.")
    drawn, kept = FOLDER / "figures" / f"{script.stem}.png", KEPT / f"{script.stem}.png"
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copy(drawn, kept)
    found = {"key": _key(script), "output": "".join(lines), "seconds": time.perf_counter() - begun}
    _record(script).write_text(json.dumps(found), encoding="utf-8")
    return Run(found["output"], kept, found["seconds"])


def kept(script: Path) -> Run | None:
    """What a script did when it was run last, if nothing has changed since."""
    figure = KEPT / f"{script.stem}.png"
    if not _record(script).exists() or not figure.exists():
        return None
    found = json.loads(_record(script).read_text(encoding="utf-8"))
    return Run(found["output"], figure, found["seconds"]) if found["key"] == _key(script) else None


def _record(script: Path) -> Path:
    return KEPT / f"{script.stem}.json"


def _key(script: Path) -> str:
    return digest.of_library(script, *helpers(script))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for one in scripts():
        run(one)
