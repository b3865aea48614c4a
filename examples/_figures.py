"""How the examples keep their figures: in a folder beside them, each whole or not at all."""

import io
import os
from pathlib import Path
from typing import Any

from qmljax import _files


def keep(figure: Any, path: Path, **options: Any) -> None:
    """Writes a figure of matplotlib, as `figure.savefig` does, but so that an interruption leaves the old one."""
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], **options)
    os.makedirs(path.parent, exist_ok=True)
    _files.replace(path, picture.getvalue())
