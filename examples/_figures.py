"""How the examples keep their figures: in a folder beside them, each whole or not at all."""

import io
import os
from pathlib import Path
from typing import Any


def keep(figure: Any, path: Path, **options: Any) -> None:
    """Writes a figure of matplotlib, as `figure.savefig` does, but so that an interruption leaves the old one."""
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(picture.getvalue())
    os.replace(unfinished, path)
