"""Frozen functions that are compiled once for all that are equal."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
from jax import Array

from qmljax._circuit.program import Program
from qmljax._engine.layers import schedule


@dataclass(frozen=True, repr=False)
class Compiled:
    """A frozen dataclass with a method `_trace`, which is compiled once for all equal objects."""

    _trace: ClassVar[Callable[..., Array]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_run", _compile(self))

    def _run(self, *args: Any) -> Array:  # each object has its own, which is compiled
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_run"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Compiled.__post_init__(self)

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # nothing in it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self._facts().items())})"

    def _facts(self) -> dict[str, Any]:
        """What a person wants to know of it, in a line."""
        return {}


def size(program: Program) -> dict[str, int]:
    """What a program costs, for a `repr`: its qubits, and the levels that its gates are merged into."""
    return {"qubits": program.num_qubits, "levels": len(schedule(program).levels)}


@functools.lru_cache(maxsize=1024)
def _compile(function: Compiled) -> Callable[..., Array]:
    return jax.jit(function._trace)
