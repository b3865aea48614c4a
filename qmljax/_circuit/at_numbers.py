"""The expressions of a circuit at numbers, and their derivatives there, by NumPy: no circuit is traced or compiled.

What `expressions.evaluate` compiles for each circuit takes some ten milliseconds; a circuit that is run once or twice
is rather looked at row by row. Affine forms are in double precision; tapes in that of the parameters and with JAX's
slopes, so that what overflows there, or has no derivative, does here. Tapes that are complex on the way are JAX's own
operations, one by one, each of which is compiled once for all circuits.

A compiled program differs where XLA simplifies (``log(exp(x))`` does not overflow there), and below the normal numbers,
which it has not.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from qmljax._circuit.expressions import Affine, Expression, Tape, comes_back, is_whole, run_complex, split

# The derivatives of a function in its arguments, from the arguments and the value: JAX's, at singular points, too.
_SLOPES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "add": lambda x, y, f: (1.0, 1.0),
    "multiply": lambda x, y, f: (y, x),
    "divide": lambda x, y, f: (1 / y, -f / y),
    "pow": lambda x, y, f: (y * x ** (y - 1), f * np.log(np.where(x == 0, 1, x))),
    "sin": lambda x, f: (np.cos(x),),
    "cos": lambda x, f: (-np.sin(x),),
    "tan": lambda x, f: (1 + f * f,),
    "asin": lambda x, f: (1 / np.sqrt(1 - x * x),),
    "acos": lambda x, f: (-1 / np.sqrt(1 - x * x),),
    "atan": lambda x, f: (1 / (1 + x * x),),
    "exp": lambda x, f: (f,),
    "log": lambda x, f: (1 / x,),
    "sign": lambda x, f: (None,),
    "abs": lambda x, f: (np.where(x < 0, -1.0, np.where(x >= 0, 1.0, x)),),  # 1 at 0, as in JAX
}


class Formulas:
    """V expressions of P parameters: those that are affine as a sparse matrix, others one by one."""

    def __init__(self, expressions: tuple[Expression, ...], parameters: int):
        self.constant = np.zeros(len(expressions))
        self.tapes: list[tuple[int, Tape, type[_Run] | type[_ComplexRun]]] = []  # with the rows that they are
        terms: list[tuple[int, int, float]] = []
        for row, expression in enumerate(expressions):
            if isinstance(expression, Affine):
                self.constant[row] = expression.const
                terms.extend((row, column, coefficient) for column, coefficient in expression.terms)
            else:
                self.tapes.append((row, expression, _ComplexRun if comes_back(expression) else _Run))
        self.rows, self.columns = (np.array([term[k] for term in terms], int) for k in (0, 1))
        self.coefficients = np.array([term[2] for term in terms], float)
        self.to_rows, self.to_columns = Sums(self.rows, len(expressions)), Sums(self.columns, parameters)

    def values(self, params: np.ndarray) -> np.ndarray:
        """(B, P), in the precision in which tapes are run, -> (B, V)."""
        out = self.to_rows(params[:, self.columns] * self.coefficients) + self.constant
        for row, tape, run in self.tapes:
            out[:, row] = run(tape, params).value()
        return out

    def pushed(self, params: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """The derivative of `values` in the direction of some tangents (B, P)."""
        out = self.to_rows(tangents[:, self.columns] * self.coefficients)
        for row, tape, run in self.tapes:
            out[:, row] += run(tape, params).pushed(tangents)
        return out

    def pulled(self, params: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Its transpose, (B, V) -> (B, P)."""
        out = self.to_columns(cotangents[:, self.rows] * self.coefficients)
        for row, tape, run in self.tapes:
            for index, share in run(tape, params).pulled(cotangents[:, row].astype(params.dtype)):
                out[:, index] += share
        return out


class Sums:
    """Adds terms (B, T) up to sums (B, count), by the sum that each belongs to."""

    def __init__(self, places: np.ndarray, count: int):
        self.order = np.argsort(places, kind="stable")
        self.filled, self.starts = np.unique(places[self.order], return_index=True)
        self.count = count

    def __call__(self, terms: np.ndarray) -> np.ndarray:
        out = np.zeros((len(terms), self.count))
        if len(self.starts):
            out[:, self.filled] = np.add.reduceat(terms[:, self.order], self.starts, axis=1)
        return out


class _Run:
    """A tape at numbers: values and slopes of its instructions, along which derivatives are pushed, or pulled back.

    Both go one instruction at a time, as in JAX, so that they overflow where JAX's do.
    """

    def __init__(self, tape: Tape, params: np.ndarray):
        self.tape = tape
        self.steps: list[tuple[list[np.ndarray], np.ndarray]] = []  # the arguments and the value of each instruction
        for operation, *operands in tape.instructions:
            arguments = [self.steps[x][1] if isinstance(x, int) else _value(x, params) for x in operands]
            if is_whole(operation, operands[-1]):  # it is odd or even, which a float32 does not know beyond 2**24
                arguments[1] = np.full(len(params), operands[1].const)
            self.steps.append((arguments, getattr(np, operation)(*arguments).astype(params.dtype)))

    def value(self) -> np.ndarray:
        """(B,)."""
        return self.steps[-1][1]

    def pushed(self, tangents: np.ndarray) -> Any:
        """The derivative in the direction of tangents (B, P), (B,)."""
        moved: list[Any] = []  # None of what depends on no parameter, or has no slope: others may be infinite
        for k, (_, *operands) in enumerate(self.tape.instructions):
            total = None
            for x, slope in zip(operands, self._slopes(k), strict=True):
                own = moved[x] if isinstance(x, int) else _combined(x, tangents)
                if own is not None and slope is not None:
                    total = slope * own if total is None else total + slope * own
            moved.append(total)
        return 0.0 if moved[-1] is None else moved[-1]

    def pulled(self, cotangent: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Its transpose, of a cotangent (B,): parameters, which may come several times, and their shares."""
        back: list[Any] = [None] * len(self.steps)
        back[-1] = cotangent
        for k in reversed(range(len(self.steps))):
            for x, slope in zip(self.tape.instructions[k][1:], self._slopes(k), strict=True):
                if back[k] is None or slope is None:
                    continue
                own = slope * back[k]
                if isinstance(x, int):
                    back[x] = own if back[x] is None else back[x] + own
                else:
                    yield from ((index, c * own) for index, c in x.terms)

    def _slopes(self, k: int) -> list[Any]:
        """Of an instruction in its arguments, in the precision of these; None where it is zero or undefined."""
        arguments, value = self.steps[k]
        slopes = _SLOPES[self.tape.instructions[k][0]](*arguments, value)
        return [slope if slope is None else np.asarray(slope, arguments[0].dtype) for slope in slopes]


class _ComplexRun:
    """A tape at numbers, complex on the way, by JAX's operations: of infinities each library has its own opinion."""

    def __init__(self, tape: Tape, params: np.ndarray):
        skeleton, forms = split(tape)
        self.count = len(params)
        columns = [self._filled(_value(form, params)) for form in forms]
        self.forms = [form for form in forms if form.terms]
        self.live = [column for column, form in zip(columns, forms, strict=True) if form.terms]

        def function(*live: Any) -> jax.Array:
            varied = iter(live)
            filling = (next(varied) if form.terms else x for x, form in zip(columns, forms, strict=True))
            return run_complex(skeleton, filling)

        self.function = function

    def value(self) -> np.ndarray:
        with jax.ensure_compile_time_eval():
            return np.asarray(self.function(*self.live))[: self.count]

    def pushed(self, tangents: np.ndarray) -> np.ndarray:
        directions = [self._filled(_combined(form, tangents).astype(self.live[0].dtype)) for form in self.forms]
        with jax.ensure_compile_time_eval():
            return np.asarray(jax.jvp(self.function, self.live, directions)[1])[: self.count]

    def pulled(self, cotangent: np.ndarray) -> Iterator[tuple[int, Any]]:
        with jax.ensure_compile_time_eval():
            shares = jax.vjp(self.function, *self.live)[1](self._filled(cotangent))
        for form, share in zip(self.forms, shares, strict=True):
            yield from ((index, c * np.asarray(share)[: self.count]) for index, c in form.terms)

    def _filled(self, column: np.ndarray) -> np.ndarray:
        """(B,), repeated up to a power of 2: there are few shapes to compile for."""
        return np.resize(column, 1 << max(self.count - 1, 0).bit_length())


def _value(form: Affine, params: np.ndarray) -> np.ndarray:
    terms = _combined(form, params)
    if terms is None:
        return np.full(len(params), form.const, params.dtype)
    return terms + form.const if form.const else terms


def _combined(form: Affine, columns: np.ndarray) -> Any:
    """The terms of a form, of the columns of (B, P), added up; None if there are none."""
    terms = (c * columns[:, index] for index, c in form.terms)
    return functools.reduce(np.add, terms) if form.terms else None  # from no 0, which would take the sign of -0


def modulo_turns(x: np.ndarray, periodic: Any) -> np.ndarray:
    """Angles modulo 2 pi where `periodic`: sine and cosine know 2 pi to more digits than a float has."""
    if not (np.abs(x) > np.pi).any():
        return x
    with np.errstate(all="ignore"):
        return np.where(periodic & (np.abs(x) > np.pi), np.arctan2(np.sin(x), np.cos(x)), x)
