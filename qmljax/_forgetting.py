"""What is compiled for a circuit is forgotten before a process has no room for more.

A compiled program takes some fifty mappings of memory, a function with its derivatives 100 to 500. Linux allows a
process 65,530 (`vm.max_map_count`); beyond them nothing can be compiled. JAX keeps a program as long as the function
that it was compiled from, which may be as long as the process. So that hundreds of circuits can be trained in one, all
that was compiled here is dropped when half of the mappings are taken; what is called again is compiled again.
"""

import functools
import gc
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import jax

EVERY = 16  # traces between two looks at the mappings, of which each takes up to 40 ms


def forgetful_jit(function: Callable[..., Any], **static: Any) -> Any:
    """`jax.jit` of a function of a module, with circuits among its static arguments, that forgets what it compiled."""
    compiled: Any = jax.jit(_making_room(function), **static)
    when_forgetting(compiled.clear_cache)
    return compiled


class Forgetful:
    """An object with a function `run`, compiled when it is first asked for, and anew after it was forgotten."""

    @functools.cached_property
    def run(self) -> Callable[..., Any]:
        with _lock:
            _objects.add(self)
        return jax.jit(_making_room(self._compiled_from()))

    def _compiled_from(self) -> Callable[..., Any]:
        """The function that is compiled, as an object that nobody else has: by these JAX finds what it compiled."""
        raise NotImplementedError


def when_forgetting(clear: Callable[[], Any]) -> None:
    """Has a cache cleared, too, whose entries keep what was compiled."""
    _caches.append(clear)


def forget() -> None:
    """Drops all that was compiled, but what is running."""
    with _lock:
        objects = list(_objects)
    for each in objects:
        each.__dict__.pop("run", None)
    for clear in _caches:
        clear()
    gc.collect()


_lock = threading.Lock()
_caches: list[Callable[[], Any]] = []
_objects: "weakref.WeakSet[Forgetful]" = weakref.WeakSet()
_traces = itertools.count(1)
_left = 0  # mappings that nothing gives back, as far as is known


def _making_room(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which looks for room for a program when it is traced."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        if next(_traces) % EVERY == 0:
            _make_room()
        return function(*args, **kwargs)

    return traced


def _make_room() -> None:
    global _left
    try:
        limit, taken = mappings_allowed(), mappings()
    except OSError:  # there is no such limit, or nobody says
        return
    if taken <= (limit + _left) // 2:  # half of those that can be given back
        return
    forget()
    if mappings() > _left + (limit - _left) // 8:  # JAX's caches may keep each other's entries, or programs of the user
        jax.clear_caches()
        gc.collect()
        _left = mappings()


def mappings() -> int:
    """How many mappings of memory the process has."""
    with open("/proc/self/maps", "rb") as lines:
        return sum(1 for _ in lines)


def mappings_allowed() -> int:
    """How many it may have."""
    with open("/proc/sys/vm/max_map_count") as file:
        return int(file.read())
