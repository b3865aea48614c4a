"""Named arrays and a header in one file, in the safetensors format, with a checksum.

What is read is checked before memory is taken for it: a checksum tells damage, not intent, and anyone can write a right
one. Whatever is in a file, what comes out is what `write` was given, or a `ValueError`.
"""

import hashlib
import json
import math
import os
import pathlib
import struct
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from qmljax._files.checks import check, reading
from qmljax._files.whole import replace

FORMAT, VERSION = "qmljax", 1
INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NAMES = [*INTEGERS, "float16", "float32", "float64", "bfloat16", "complex64", "complex128"]
DTYPES = {name: jnp.dtype(name) for name in NAMES}
# Safetensors for numpy has no names for these; they are stored as their bits.
BITS = {"bfloat16": np.uint16, "complex128": np.float64}
ABOUT = {"shapes": {str: [str, ..., int]}, "header": {str: object}}  # what the metadata `about` must be


def write(path: str | os.PathLike[str], kind: str, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Writes a file of this `kind`: a header that JSON can hold, and arrays by name.

    Raises:
        TypeError: An array holds no numbers.
        OSError: The file cannot be written; see `replace`.
    """
    _check_path(path)
    native = {name: _native(name, np.asarray(array)) for name, array in arrays.items()}
    about = {"shapes": {name: [a.dtype.name, *a.shape] for name, a in native.items()}, "header": header}
    metadata = {"format": FORMAT, "version": str(VERSION), "kind": kind, "about": json.dumps(about)}
    bits = {name: np.atleast_1d(a).view(BITS.get(a.dtype.name, a.dtype)) for name, a in native.items() if a.size}
    metadata["sha256"] = _checksum(metadata["about"], {name: a.tobytes() for name, a in bits.items()})
    replace(path, _safetensors().numpy.save(bits, metadata))


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file of this `kind`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, foreign, of another kind, or of a later version.
    """
    safetensors = _safetensors()
    _check_path(path)
    name = os.fsdecode(path)
    if not os.path.isfile(name):
        what = "It is a folder, or a device." if os.path.exists(name) else "Is its name right?"
        raise FileNotFoundError(f"There is no file {name!r}. {what}")
    content = pathlib.Path(name).read_bytes()
    try:
        bits = {key: tensor["data"] for key, tensor in safetensors.deserialize(content)}
    except Exception as error:
        raise ValueError(f"{name!r} is truncated, or no file of qmljax: {error}.") from error
    with reading(name):
        (length,) = struct.unpack_from("<Q", content)
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    _check_metadata(name, kind, metadata)
    if metadata.get("sha256") != _checksum(metadata.get("about", ""), bits):
        raise ValueError(f"{name!r} is damaged: its checksum is not that of what it holds. Take another copy.")
    with reading(name):
        about = json.loads(metadata["about"])
        check(about, ABOUT, "the list of its arrays")
        if surplus := bits.keys() - about["shapes"].keys():
            raise ValueError(f"it holds an array {min(surplus)!r} that it does not list")
        arrays = {key: _array(key, shape, bits.get(key, b"")) for key, shape in about["shapes"].items()}
    return about["header"], arrays


def _check_path(path: Any) -> None:
    if not isinstance(path, str | os.PathLike) or not os.path.basename(os.fspath(path)):
        raise TypeError(f"`path` must be the name of a file, a string or a path, but is {path!r}.")


def _native(name: str, array: np.ndarray) -> np.ndarray:
    """The array in one piece and in the byte order of the format."""
    if array.dtype.name not in DTYPES:
        raise TypeError(
            f"What is written to a file must be arrays of numbers, but {name!r} has dtype {array.dtype}. Convert it, "
            "to float32 say."
        )
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def _check_metadata(name: str, kind: str, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{name!r} is a safetensors file, but was not written by qmljax.")
    if metadata.get("kind") != kind:
        raise ValueError(f"{name!r} holds a {metadata.get('kind')}, not a {kind}.")
    version = metadata.get("version", "")
    if not (version.isascii() and version.isdecimal() and len(version) < 9 and int(version) >= 1):
        raise ValueError(f"{name!r} is damaged: its version is {version[:20]!r}, no number. Take another copy.")
    if int(version) > VERSION:
        raise ValueError(
            f"{name!r} has version {version} of the format, but this qmljax reads up to version {VERSION}. Use a newer "
            "qmljax."
        )


def _array(name: str, about: list[Any], bits: bytes) -> np.ndarray:
    """The array of some bytes, which must be as many as its shape says."""
    dtype, *shape = about
    if dtype not in DTYPES or len(shape) > 32 or not all(0 <= size < 2**62 for size in shape):
        raise ValueError(f"its array {name!r} cannot have the shape {shape[:33]} and the dtype {dtype[:20]!r}")
    if len(bits) != math.prod(shape) * DTYPES[dtype].itemsize:
        raise ValueError(f"its array {name!r} has {len(bits)} bytes, which are not those of {dtype} {shape}")
    if dtype == "bool" and bits and max(bits) > 1:
        raise ValueError(f"its array {name!r} of truth values holds others")
    return np.frombuffer(bytearray(bits), DTYPES[dtype]).reshape(shape)


def _checksum(about: str, bits: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(about.encode(errors="surrogatepass"))
    for name in sorted(bits):
        digest.update(name.encode() + b":")
        digest.update(bits[name])
    return digest.hexdigest()


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("Files of models and checkpoints need safetensors: pip install 'qmljax[files]'.") from error
    return safetensors
