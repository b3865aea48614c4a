"""Frozen functions that are compiled once for all that are equal, and the rule by which a call is answered.

A program of its own is the fastest, once it is compiled, which takes about a second. So **a function is compiled for
itself when it has been called 64 times with arguments of one shape (a large call counts for up to 8); inside of the
user's own `jax.jit`, `vmap` or `scan`; for derivatives of higher order; and wherever the call is larger still.** The
calls before, values and first derivatives alike, are answered by a program that all circuits of a size share
(`shared`), if the circuit is one that can be data of it (`any_circuit.encode`). As many calls take at most about as
long as the compilation that they put off: whatever comes next, what is lost is at most what the best choice takes.

Rows of points are filled up to few numbers of them as long as such a call is new, so that not every number of rows is
compiled for; the first number is taken as it is.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax
import numpy as np
from jax import Array

from qmljax._circuit.program import Program
from qmljax._engine.layers import schedule
from qmljax._forgetting import Forgetful
from qmljax._meshes import on_meshes, rows, set_for_trace
from qmljax._models import shared
from qmljax._models.parts import cut, filled, room
from qmljax._models.questions import Question

FIRST = 64  # calls of one shape that the shared program answers; a large one counts for some: see `shared.cost`


@dataclass(frozen=True, repr=False)
class Compiled:
    """A frozen dataclass with a method `_trace`, which is compiled once for all equal objects.

    Attributes:
        compile: Whether to answer by a program of its own (True) or by a shared one, where there is one (False). By
            default the first calls are answered by a shared program, and what is called again by its own.
    """

    _trace: ClassVar[Callable[..., Array]]
    _calls: ClassVar["_Calls"]  # of all that are equal

    compile: bool | None = field(kw_only=True, default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_calls", _compile(self))

    @property
    def _run(self) -> Callable[..., Array]:
        """`_trace`, compiled."""
        return self._calls.run

    def _answer(self, *arrays: Any) -> Array:
        """The value of a call, by whichever program."""
        if self.compile is not None:
            out = None if self.compile else self._first(*arrays)
        elif not self._calls.is_new(arrays):
            out = None
        else:
            out = self._first(*arrays) if self._fits(*arrays) else self._in_room(*arrays)
        if out is None:
            with set_for_trace(arrays):
                out = self._run(*arrays)
        return out

    def _first(self, *arrays: Any) -> Array | None:
        """The value by a shared program, if there is one."""
        asked = question(self)
        return None if asked is None else shared.answer(asked, *arrays)

    def _fits(self, *arrays: Any) -> bool:
        """Whether a call is small enough for a shared program."""
        return shared.fit(question(self), arrays)

    def _question(self) -> Question | None:
        """What a call asks of a circuit, if a shared program can be asked it."""
        return None

    _leading = staticmethod(rows)  # how the result lies on a mesh with explicit axes, see `on_meshes`

    def _in_room(self, *arrays: Any) -> Array | None:
        """The value by a program of its own for some more rows, if there is one already for another number of them."""
        return None

    def _by_rows(self, points: Any, kind: Any, run: Callable[[Any], Array]) -> Array | None:
        """`_in_room` of points (*batch, d), by `run`, which takes rows (N, d); `kind` is what else it depends on."""
        rows = math.prod(points.shape[:-1])
        if rows < 2 or isinstance(points, jax.core.Tracer) or (size := self._calls.room(kind, rows)) == rows:
            return None
        out = cut(run(filled(np.asarray(points).reshape(rows, points.shape[-1]), size)), rows)
        return out.reshape(*points.shape[:-1], *out.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_calls"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

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


class _Calls(Forgetful):
    """What equal functions share: a compiled function, and how often it was called with arguments of which shapes."""

    def __init__(self, function: Compiled):
        self.function = function
        self.counts: dict[Any, int] = {}
        self.rows: dict[Any, set[int]] = {}  # that programs were compiled for, by what else their arguments are

    def _compiled_from(self) -> Callable[..., Array]:
        return on_meshes(self.function._trace, self.function._leading)

    def is_new(self, arrays: Any) -> bool:
        """Counts a call: whether it is one of the first of its shapes, outside of `jax.jit`."""
        key = tuple([None if a is None else a.shape for a in arrays])
        count = self.counts.get(key, 0)
        if count >= FIRST or not shared.known(arrays):
            return False
        asked = question(self.function)
        self.counts[key] = min(FIRST, count + (1 if asked is None else shared.cost(asked, arrays)))
        return True

    def room(self, kind: Any, rows: int) -> int:
        """How many rows to compile for: the first number as it is, others filled up to one of few."""
        known = self.rows.setdefault(kind, set())
        size = rows if not known or rows in known else room(rows)
        known.add(size)
        return size


@functools.lru_cache(maxsize=1024)
def _compile(function: Compiled) -> _Calls:
    return _Calls(function)


@functools.lru_cache(maxsize=32)  # each holds some megabytes
def question(function: Compiled) -> Question | None:
    """What a function asks of a circuit."""
    return function._question()
