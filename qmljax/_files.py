"""Files that are whole or not there: named arrays and a header, in the safetensors format. Reading one runs no code.

A file is written under another name, flushed to the disk, and renamed: whenever the process dies, what carries the
name is the old file or the new one. What is in it carries a checksum.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

FORMAT, VERSION = "qmljax", 1
# Safetensors for numpy has no names for these; they are stored as their bits.
BITS = {"bfloat16": np.uint16, "complex128": np.float64}


def write(path: str | os.PathLike, kind: str, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Writes a file of this `kind`: a header that JSON can hold, and arrays by name."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    about = {"shapes": {name: [a.dtype.name, *a.shape] for name, a in arrays.items()}, "header": header}
    metadata = {"format": FORMAT, "version": str(VERSION), "kind": kind, "about": json.dumps(about)}
    bits = {name: np.ascontiguousarray(a).view(BITS.get(a.dtype.name, a.dtype)) for name, a in arrays.items() if a.size}
    metadata["sha256"] = _checksum(metadata["about"], bits)
    replace(path, _safetensors().numpy.save(bits, metadata))


def read(path: str | os.PathLike, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file of this `kind`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, foreign, of another kind, or of a later version.
    """
    safetensors = _safetensors()
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata, bits = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{str(path)!r} is truncated, or no file of qmljax: {error}.") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is a safetensors file, but was not written by qmljax.")
    if metadata.get("kind") != kind:
        raise ValueError(f"{str(path)!r} holds a {metadata.get('kind')}, not a {kind}.")
    if int(metadata.get("version", VERSION)) > VERSION:
        raise ValueError(
            f"{str(path)!r} has version {metadata['version']} of the format, but this qmljax reads up to version "
            f"{VERSION}. Use a newer qmljax."
        )
    if metadata.get("sha256") != _checksum(metadata.get("about", ""), bits):
        raise ValueError(f"{str(path)!r} is damaged: its checksum is not that of what it holds. Take another copy.")
    about, arrays = json.loads(metadata["about"]), {}
    for name, (dtype, *shape) in about["shapes"].items():
        dtype = jnp.dtype(dtype)
        arrays[name] = bits[name].reshape(-1).view(dtype).reshape(shape) if name in bits else np.zeros(shape, dtype)
    return about["header"], arrays


def replace(path: str | os.PathLike, content: bytes) -> None:
    """Puts `content` in the place of the file at `path`, all at once."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the name, too, has to reach the disk
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _checksum(about: str, bits: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(bits):
        digest.update(name.encode() + b":" + np.ascontiguousarray(bits[name]).tobytes())
    return digest.hexdigest()


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("Files of models and checkpoints need safetensors: pip install 'qmljax[files]'.") from error
    return safetensors
