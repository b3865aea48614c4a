"""The pages that are made from other files of the project: written into `docs/`, and ignored by git."""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

from docs._site import gallery, reference, results

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INCLUDED = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}


def all_pages(app: Sphinx) -> None:
    """Writes them."""
    fill(DOCS / "api", {f"{name}.rst": text.encode() for name, text in reference.pages().items()})
    fill(DOCS / "gallery", gallery.pages())
    for page, file in INCLUDED.items():
        text = (ROOT / file).read_text(encoding="utf-8").replace("```python", "```py")  # shown, not run
        write(DOCS / f"{page}.md", re.sub(r"\]\((?![a-z]+:|#)", "](../", text))
    for page in (results.benchmarks, results.papers, results.citing):
        write(DOCS / f"{page.__name__}.md", page())


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Makes a folder that has these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write(file: Path, text: str) -> None:
    """Writes a file."""
    file.write_text(text, encoding="utf-8")
