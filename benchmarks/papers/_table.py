"""What a paper's script gives: a table of published numbers beside ours, and how it is written."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._files import write_json, write_text

RESULTS = Path(__file__).parents[1] / "results" / "papers"
LIBRARIES = ("jax", "numpy", "optax", "qiskit", "scikit-learn")


@dataclass
class Table:
    """Rows of numbers or words.

    Attributes:
        title: What is redone.
        paper: Whose it is.
        columns: Their names.
        rows: As long as `columns`.
        remarks: What is equal, what is within error, what is not, and why.
        seconds: What it took.
        more: Tables that belong to it.
    """

    title: str
    paper: str
    columns: Sequence[str]
    rows: list[Sequence[Any]]
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    more: list["Table"] = field(default_factory=list)


def write(name: str, table: Table, folder: Path = RESULTS) -> Path:
    """Writes the table as JSON and as Markdown, with versions and commit; returns the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "versions": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / f"{name}.json", asdict(table) | about, indent=1)
    lines = [f"# {table.title}", "", table.paper, "", *_body(table)]
    for part in table.more:
        lines += [f"## {part.title}", "", *_body(part)]
    versions = ", ".join(f"{library} {version}" for library, version in about["versions"].items())
    lines += [f"{about['machine']}; {versions}; commit {about['commit']}; {about['date']}.", ""]
    write_text(folder / f"{name}.md", "\n".join(lines))
    return folder / f"{name}.md"


def _body(table: Table) -> list[str]:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(shown(value) for value in row) + " |" for row in table.rows]
    lines += ["", *(f"- {remark}" for remark in table.remarks)]
    return [*lines, f"- {table.seconds:.0f} s, with other work on the machine.", ""]


def shown(value: Any) -> str:
    """A cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value))
    return "" if value is None else str(value)


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
