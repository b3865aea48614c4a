"""Classical expressions of measured bits: Qiskit's `expr`, and the older conditions, as conditions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types

from qmljax._circuit.conditions import FEW_BITS, MOST_BITS, NEVER, Bit, Condition, Record, equal, is_set

WIDEST = 62  # bits of an integer, which int64 computes with

_BINARY: dict[Any, Callable[[Any, Any], Any]] = {
    expr.Binary.Op.BIT_AND: lambda a, b: a & b,
    expr.Binary.Op.BIT_OR: lambda a, b: a | b,
    expr.Binary.Op.BIT_XOR: lambda a, b: a ^ b,
    expr.Binary.Op.LOGIC_AND: lambda a, b: a & b,
    expr.Binary.Op.LOGIC_OR: lambda a, b: a | b,
    expr.Binary.Op.EQUAL: lambda a, b: a == b,
    expr.Binary.Op.NOT_EQUAL: lambda a, b: a != b,
    expr.Binary.Op.LESS: lambda a, b: a < b,
    expr.Binary.Op.LESS_EQUAL: lambda a, b: a <= b,
    expr.Binary.Op.GREATER: lambda a, b: a > b,
    expr.Binary.Op.GREATER_EQUAL: lambda a, b: a >= b,
    expr.Binary.Op.SHIFT_LEFT: lambda a, b: np.where(b > WIDEST, 0, a << np.minimum(b, WIDEST)),
    expr.Binary.Op.SHIFT_RIGHT: lambda a, b: np.where(b > WIDEST, 0, a >> np.minimum(b, WIDEST)),
    expr.Binary.Op.ADD: lambda a, b: a + b,
    expr.Binary.Op.SUB: lambda a, b: a - b,
    expr.Binary.Op.MUL: lambda a, b: a * b,
}

_SUMS = (expr.Binary.Op.BIT_XOR, expr.Binary.Op.NOT_EQUAL, expr.Binary.Op.EQUAL)  # of two bits
Held = list[Bit] | float  # what a variable holds: bits, the lowest first, or a number that is no integer


class Expressions:
    """Evaluates classical expressions.

    Args:
        held: What a `Clbit`, or a variable of the circuit, holds.
        where: The condition that has a table, as `conditions.tabulated`.
        odd: The condition that a sum of bits is odd, or even.
    """

    def __init__(
        self,
        held: Callable[[Any], Held],
        where: Callable[[list[Record], np.ndarray], Condition],
        odd: Callable[[list[Record], bool], Condition],
    ):
        self.held, self.where, self.odd = held, where, odd

    def condition(self, value: Any) -> Condition:
        """That an expression is true, or that a bit or register has a value: (bit or register, value).

        Raises:
            NotImplementedError: It depends on too many bits, or on what is not known.
        """
        if isinstance(value, expr.Expr):
            if (sum_ := self.linear(value)) is not None and len(sum_[0]) > FEW_BITS:
                return self.odd(*sum_)
            on, found = self.tabulate(value)
            return self.where(on, found.astype(bool))
        target, number = value
        return equal(self.bits(target), int(number))

    def linear(self, value: expr.Expr) -> tuple[list[Record], bool] | None:
        """The bits whose sum modulo 2 an expression is, and whether 1 is added; None if it is no such sum."""
        if isinstance(value, expr.Value) and isinstance(value.type, types.Bool):
            return [], bool(value.value)
        if isinstance(value, expr.Var) and isinstance(value.type, types.Bool):
            (bit,) = self.bits(value.var if isinstance(value.var, Clbit) else value)
            return ([bit], False) if isinstance(bit, Record) else ([], bit)
        if isinstance(value, expr.Unary) and isinstance(value.type, types.Bool):
            inner = self.linear(value.operand)
            return None if inner is None else (inner[0], not inner[1])
        if isinstance(value, expr.Binary) and value.op in _SUMS and isinstance(value.left.type, types.Bool):
            left, right = self.linear(value.left), self.linear(value.right)
            if left is None or right is None:
                return None
            once = [r for r in (*left[0], *right[0]) if (r in left[0]) != (r in right[0])]
            return once, left[1] ^ right[1] ^ (value.op is expr.Binary.Op.EQUAL)
        return None

    def bits(self, target: Any) -> list[Bit]:
        """What a bit, a register or a variable holds."""
        if isinstance(target, ClassicalRegister):
            return [bit for part in target for bit in self.bits(part)]
        found = self.held(target)
        if isinstance(found, float):
            raise NotImplementedError("bits are asked for of a variable that is no integer. Use an integer.")
        return found

    def cases(self, target: Any, values: Sequence[Sequence[Any]]) -> list[Condition]:
        """That a bit, a register or an expression has one of some values."""
        if isinstance(target, expr.Var):
            target = target.var if isinstance(target.var, Clbit | ClassicalRegister) else target
        if not isinstance(target, expr.Expr):
            bits = self.bits(target)
            return [tuple(p for value in some for p in equal(bits, int(value))) for some in values]
        on, found = self.tabulate(target)
        return [self.where(on, np.isin(found, [int(value) for value in some])) for some in values]

    def assigned(self, value: expr.Expr, width: int) -> list[Condition]:
        """Each bit of the value of an expression."""
        if isinstance(value, expr.Var) and not isinstance(value.type, types.Float):
            bits = self.bits(value.var if isinstance(value.var, Clbit | ClassicalRegister) else value)
            return [is_set(bit) for bit in bits] + [NEVER] * (width - len(bits))
        on, found = self.tabulate(value)
        return [self.where(on, (found.astype(np.int64) >> k & 1).astype(bool)) for k in range(width)]

    def tabulate(self, value: expr.Expr) -> tuple[list[Record], np.ndarray]:
        """The records that an expression depends on, and its values (2**k,) for all of theirs."""
        on: list[Record] = []
        for var in expr.iter_vars(value):
            held = self.held(var) if not isinstance(var.var, Clbit | ClassicalRegister) else self.bits(var.var)
            if not isinstance(held, float):
                on += [bit for bit in held if isinstance(bit, Record) and bit not in on]
        if len(on) > MOST_BITS:
            raise NotImplementedError(
                f"it depends on {len(on)} measured bits, but at most {MOST_BITS} can be tabulated. Compare a register "
                "with one number, or nest conditions."
            )
        found = np.asarray(_Values(self, on).of(value))
        return on, np.broadcast_to(found, (1 << len(on),))


class _Values:
    """Values of expressions for all values of some records."""

    def __init__(self, expressions: Expressions, on: Sequence[Record]):
        self.expressions = expressions
        index = np.arange(1 << len(on), dtype=np.int64)
        self.value = {record: index >> k & 1 for k, record in enumerate(on)}

    def of(self, node: expr.Expr) -> Any:
        if isinstance(node, expr.Value):
            return self.fitted(node.value, node.type)
        if isinstance(node, expr.Var):
            return self.of_var(node)
        if isinstance(node, expr.Cast):
            value = self.of(node.operand)
            if isinstance(node.type, types.Bool):
                return value != 0
            return np.asarray(value, float) if isinstance(node.type, types.Float) else self.fitted(value, node.type)
        if isinstance(node, expr.Index):
            return (np.asarray(self.of(node.target), np.int64) >> self.of(node.index) & 1).astype(bool)
        if isinstance(node, expr.Unary):
            value = np.asarray(self.of(node.operand))
            if node.op is expr.Unary.Op.LOGIC_NOT:
                return ~(value != 0)
            return self.fitted(-value if node.op is expr.Unary.Op.NEGATE else ~value, node.type)
        if isinstance(node, expr.Binary):
            left, right = np.asarray(self.of(node.left)), np.asarray(self.of(node.right))
            if node.op is expr.Binary.Op.DIV:
                return self.fitted(_quotient(left, right, isinstance(node.type, types.Uint)), node.type)
            return self.fitted(_BINARY[node.op](left, right), node.type)
        raise NotImplementedError(f"the expression {node!r} is not known before it runs. Use bits, and numbers.")

    def of_var(self, node: expr.Var) -> Any:
        classical = isinstance(node.var, Clbit | ClassicalRegister)
        held = self.expressions.bits(node.var) if classical else self.expressions.held(node)
        if isinstance(held, float):
            return held
        if len(held) > WIDEST:
            raise NotImplementedError(f"it computes with {len(held)} bits, but at most {WIDEST} can be. Use fewer.")
        number: Any = np.int64(0)
        for k, bit in enumerate(held):
            number = number | (self.value[bit] if isinstance(bit, Record) else np.int64(bit)) << k
        return number != 0 if isinstance(node.type, types.Bool) else number

    def fitted(self, value: Any, kind: Any) -> Any:
        """A value in a type: integers wrap around."""
        if isinstance(kind, types.Bool):
            return np.asarray(value, bool)
        if isinstance(kind, types.Uint):
            if kind.width > WIDEST:
                raise NotImplementedError(
                    f"it computes with {kind.width} bits, but at most {WIDEST} can be. Use fewer."
                )
            return np.asarray(value).astype(np.int64) & ((1 << kind.width) - 1)
        if isinstance(kind, types.Float):
            return np.asarray(value, float)
        raise NotImplementedError(f"a value of type {kind} is known only to a device. Use bits, and numbers.")


def _quotient(a: np.ndarray, b: np.ndarray, whole: bool) -> np.ndarray:
    if (b == 0).any():
        raise ValueError("it divides by zero for some outcomes. Divide by what is never zero.")
    return a // b if whole else a / b
