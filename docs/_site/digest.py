"""What an output depends on, as a digest, so that what has been run is not run again."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def of_library(*files: Path) -> str:
    """A digest of the package, of the versions of all that is installed with it, and of files of the project."""
    digest = hashlib.sha256()
    for file in [ROOT / ".ci" / "constraints.txt", *_sources(), *files]:
        digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _sources() -> Iterable[Path]:
    return sorted((ROOT / "qmljax").rglob("*.py"))
