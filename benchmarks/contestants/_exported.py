"""A program of a contestant, saved with its arguments by `jax.export`: a file `.jaxexport` and one `.npz`."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from benchmarks._files import replace
from benchmarks.contestants._jax import Call


def save(call: Call, path: Path, platforms: Sequence[str]) -> None:
    program = export.export(jax.jit(call.function), platforms=platforms)(*call.arguments)
    replace(path, bytes(program.serialize()))
    arguments = io.BytesIO()
    np.savez(arguments, *call.arguments)
    replace(path.with_suffix(".npz"), arguments.getvalue())


def load(path: Path) -> Callable[[], Any]:
    function = jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
    with np.load(path.with_suffix(".npz")) as saved:
        arguments = [jax.device_put(saved[name]) for name in saved.files]
    return Call(function, tuple(arguments))
