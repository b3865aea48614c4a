"""When a branch is taken: Boolean functions of classical bits whose values a circuit measures.

A condition is a sum of disjoint products. Each is a control of wires, so that an operation in a branch becomes one
controlled operation for each product; of a parity of many bits there are many products, but a flip or a phase has a
form of its own there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_BITS = 16  # that a condition may depend on, unless it is one product
FEW_BITS = 8  # for which a condition is brought to its shortest form


@dataclass(eq=False)
class Record:
    """A measured bit. Its value never changes, but the wire that holds it may.

    Attributes:
        wire: Which wire holds it.
        where: The instruction that measured it.
        used: Whether something has acted on the wire since, or depends on the bit: the measurement is not a final one.
    """

    wire: int
    where: str
    used: bool = False


Product = dict[Record, bool]  # the values that are required; of no record, always met
Condition = tuple[Product, ...]  # of which at most one is met
Bit = bool | Record  # what a classical bit holds

ALWAYS: Condition = ({},)
NEVER: Condition = ()


def is_set(bit: Bit) -> Condition:
    """That a bit is 1."""
    if isinstance(bit, Record):
        return ({bit: True},)
    return ALWAYS if bit else NEVER


def equal(bits: Sequence[Bit], value: int) -> Condition:
    """That bits, the lowest first, are those of a number."""
    if value >> len(bits):
        return NEVER
    condition = ALWAYS
    for k, bit in enumerate(bits):
        met = is_set(bit)
        condition = both(condition, met if value >> k & 1 else negation(met))
    return condition


def both(a: Condition, b: Condition) -> Condition:
    """That two conditions are met."""
    return tuple(p | q for p in a for q in b if all(p.get(record, value) == value for record, value in q.items()))


def negation(condition: Condition) -> Condition:
    """That a condition is not met."""
    if not condition or {} in condition:
        return NEVER if condition else ALWAYS
    record = next(iter(condition[0]))
    low, high = (negation(_where(condition, record, value)) for value in (False, True))
    if low == high:
        return low
    return tuple({record: value, **rest} for value, part in ((False, low), (True, high)) for rest in part)


def _where(condition: Condition, record: Record, value: bool) -> Condition:
    """What is left of a condition where a record has a value."""
    return tuple(
        {r: v for r, v in product.items() if r is not record}
        for product in condition
        if product.get(record, value) == value
    )


def records(condition: Condition) -> list[Record]:
    """Those that it depends on."""
    return list(dict.fromkeys(record for product in condition for record in product))


def shortest(condition: Condition) -> Condition:
    """The same in few products, if it depends on few bits."""
    on = records(condition)
    if len(condition) < 2 or len(on) > FEW_BITS:
        return condition
    return tabulated(on, table(condition, on))


def table(condition: Condition, on: Sequence[Record]) -> np.ndarray:
    """Whether it is met, (2**k,): bit j of the index is the value of `on[j]`."""
    index = np.arange(1 << len(on))
    met = np.zeros(len(index), bool)
    for product in condition:
        here = np.ones(len(index), bool)
        for record, value in product.items():
            here &= (index >> on.index(record) & 1) == value
        met |= here
    return met


def tabulated(on: Sequence[Record], met: np.ndarray) -> Condition:
    """The inverse of `table`."""
    if met.all() or not met.any():
        return ALWAYS if met[0] else NEVER
    *rest, last = on
    low, high = met[: len(met) // 2], met[len(met) // 2 :]
    if (low == high).all():
        return tabulated(rest, low)
    return tuple(
        {**product, last: value} for value, half in ((False, low), (True, high)) for product in tabulated(rest, half)
    )


def as_parity(condition: Condition) -> tuple[list[Record], bool] | None:
    """The bits whose sum modulo 2 it is, and whether the sum must be even; None if it is none, or one product."""
    on = records(condition)
    if len(condition) < 2 or len(on) > FEW_BITS:
        return None
    even = is_parity(table(condition, on))
    return None if even is None else (on, even)


def is_parity(met: np.ndarray) -> bool | None:
    """Whether a table is that of an even (True) or an odd (False) sum of all bits; None if of neither."""
    odd = (np.bitwise_count(np.arange(len(met))) & 1).astype(bool)
    if (met == odd).all():
        return False
    return True if (met != odd).all() else None
