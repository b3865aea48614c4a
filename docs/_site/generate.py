"""The pages that are made from other files of the project, before the site is built: written into `docs/`, ignored by git."""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

from docs._site import reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INCLUDED = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}


def all_pages(app: Sphinx) -> None:
    """Writes them."""
    fill(DOCS / "api", {f"{name}.rst": text for name, text in reference.pages().items()})
    for page, file in INCLUDED.items():
        text = (ROOT / file).read_text(encoding="utf-8").replace("```python", "```py")  # shown, not run
        write(DOCS / f"{page}.md", re.sub(r"\]\((?![a-z]+:|#)", "](../", text))
    write(DOCS / "citing.md", citing())


def fill(folder: Path, files: dict[str, str]) -> None:
    """Makes a folder that has these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        write(folder / name, text)


def write(file: Path, text: str) -> None:
    """Writes a file, and the folders it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def citing() -> str:
    """How to cite the project, from CITATION.cff."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    return f"# Citing qmljax\n\nTODO\n\n```yaml\n{text}```\n"
