"""How results are written: as the library writes files, whole or not at all.

The library's own file for this is run by itself: to import qmljax would bring Qiskit and JAX into every process that is
measured, and into those of machines that have no Qiskit.
"""

import importlib.util
import io
import json
from pathlib import Path
from typing import Any


def _whole() -> Any:
    package = importlib.util.find_spec("qmljax")  # found, not imported
    assert package is not None and package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "_files" / "whole.py"
    spec = importlib.util.spec_from_file_location("benchmarks._whole", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


replace = _whole().replace


def write_json(path: Path, data: Any, indent: int | None = None) -> None:
    replace(path, (json.dumps(data, indent=indent) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    replace(path, text.encode())


def write_figure(path: Path, figure: Any, **options: Any) -> None:
    """`figure.savefig`, in the format that the name says."""
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], **options)
    replace(path, picture.getvalue())
