"""What a compiled program sends between devices: collectives and their bytes, read off its text.

That is the program of one device. The numbers are exact: other work on the machine does not move them.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from qmljax._checks import shown

KINDS = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "collective-broadcast", "reduce-scatter")
_BYTES = {"pred": 1, "c64": 8, "c128": 16}
_ARRAY = re.compile(r"\b(pred|[sufc]\d+|bf16|f8\w+)\[([\d,]*)\]")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_LINE = re.compile(r"^\s+(?:ROOT )?%?[\w.-]+ = (\(.*?\)|\S+) ([\w-]+)\(")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


def collectives(compiled: Any) -> dict[str, int]:
    """What a compiled program sends between devices, in bytes.

    Args:
        compiled: ``jax.jit(f).lower(...).compile()``, or its text.

    Returns:
        The bytes by kind of collective, of the results that one device holds, such as ``{"all-gather": 655360}``;
        without the kinds that do not occur. What a loop does counts each time. An all-gather counts the whole array, a
        reduce-scatter the part that is left, the others what goes in as well.

    Raises:
        TypeError: It is no compiled program.
        ValueError: The text is of no program, or it does not say how often a loop runs that has a collective in it.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jax.sharding import NamedSharding, PartitionSpec
        >>> rows = NamedSharding(jax.make_mesh((jax.device_count(),), ("i",)), PartitionSpec("i"))
        >>> x = jax.ShapeDtypeStruct((8, 4), jnp.float32, sharding=rows)
        >>> sent = collectives(jax.jit(jnp.sum).lower(x).compile())  # on two devices or more, {"all-reduce": 4}
        >>> sent == ({} if jax.device_count() == 1 else {"all-reduce": 4})
        True
    """
    if not isinstance(compiled, str) and not hasattr(compiled, "as_text"):
        raise TypeError(
            "`compiled` must be a compiled program, such as jax.jit(f).lower(x).compile(), or its text, but is "
            f"{shown(compiled)}."
        )
    total: Counter[str] = Counter()
    for kind, shape in each_collective(compiled):
        total[kind] += size(shape)
    return dict(total)


def each_collective(compiled: Any) -> Iterator[tuple[str, str]]:
    """Each collective that a device runs, in a loop each time: its kind, and the shape of its result as text."""
    text = compiled if isinstance(compiled, str) else compiled.as_text()
    computations, entry = _computations(text)
    if not entry:
        raise ValueError(f"`compiled` must be the text of a compiled program, but is {shown(text)}.")
    yield from _within(computations, entry)


def size(shape: str) -> int:
    """The bytes of a shape, or of a tuple of shapes, as the text of a program writes it."""
    found = _ARRAY.findall(shape)
    return sum(_item(kind) * math.prod(int(n) for n in dims.split(",") if n) for kind, dims in found)


def _item(kind: str) -> int:
    return _BYTES.get(kind) or -(-int(kind.lstrip("abcdefghijklmnopqrstuvwxyz").split("e")[0]) // 8)


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    found: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            name = head[2]
            found[name] = []
            entry = name if head[1] else entry
        elif name and line.startswith(" "):
            found[name].append(line)
    return found, entry


def _within(computations: dict[str, list[str]], name: str) -> Iterator[tuple[str, str]]:
    for line in computations[name]:
        if not (parts := _LINE.match(line)):
            continue
        shape, operation = parts[1], parts[2]
        kind = operation.removesuffix("-done")  # what starts it has its arguments among its results
        if kind in KINDS:
            yield kind, shape
            continue
        if operation in ("async-done", "async-update"):  # of what its start calls
            continue
        called = _CALLED.findall(line)
        if branches := _BRANCHES.search(line):
            called += [part.strip().lstrip("%") for part in branches[1].split(",")]
        inner = [item for other in called if other in computations for item in _within(computations, other)]
        if operation == "while" and inner:
            if not (trips := _TRIPS.search(line)):
                raise ValueError(
                    f"A loop of unknown length has collectives, {sorted(set(inner))}: {line.strip()[:200]}"
                )
            inner *= int(trips[1])
        yield from inner
