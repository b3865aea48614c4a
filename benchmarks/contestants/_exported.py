"""A program of a contestant, saved with its arguments by `jax.export`: a file `.jaxexport` and one `.npz`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from benchmarks.contestants._jax import Call


def save(call: Call, path: Path, platforms: Sequence[str]) -> None:
    program = export.export(jax.jit(call.function), platforms=platforms)(*call.arguments)
    path.write_bytes(program.serialize())
    np.savez(path.with_suffix(".npz"), *call.arguments)


def load(path: Path) -> Callable[[], Any]:
    function = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
    with np.load(path.with_suffix(".npz")) as saved:
        arguments = [jax.device_put(saved[name]) for name in saved.files]
    return Call(function, tuple(arguments))
