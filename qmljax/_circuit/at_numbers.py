"""The expressions of a circuit at numbers, and their derivatives there, by NumPy: nothing is traced or compiled.

What `expressions.evaluate` compiles for each circuit takes some ten milliseconds; a circuit that is run once or twice
is rather looked at row by row. Affine forms are in double precision; tapes in that of the parameters and with JAX's
slopes, so that what overflows there, or has no derivative, does here. (What underflows may differ: XLA has no numbers
below the normal ones.)
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qmljax._circuit.expressions import Affine, Expression, Tape, comes_back, is_real, is_whole

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
    "abs": lambda x, f: _abs_slope(x, f),
}
# What is another function of complex numbers, of which the sign has several meanings.
_COMPLEX: dict[str, Callable[..., Any]] = {
    "exp": lambda z: _polar(np.exp(z.real), z.imag),
    "pow": lambda z, y: _power(z, y) if np.iscomplexobj(y) else np.pow(z, y),
    "asin": lambda z: _inside(np.asin, z),
    "acos": lambda z: _inside(np.acos, z),
    "sign": lambda z: np.where(is_real(z), np.sign(z.real), np.nan),
}


class Formulas:
    """V expressions of P parameters: those that are affine as a sparse matrix, others one by one."""

    def __init__(self, expressions: tuple[Expression, ...], parameters: int):
        self.constant = np.zeros(len(expressions))
        self.tapes: list[tuple[int, Tape, bool]] = []  # their rows, and whether they are complex on the way
        terms: list[tuple[int, int, float]] = []
        for row, expression in enumerate(expressions):
            if isinstance(expression, Affine):
                self.constant[row] = expression.const
                terms.extend((row, column, coefficient) for column, coefficient in expression.terms)
            else:
                self.tapes.append((row, expression, comes_back(expression)))
        self.rows, self.columns = (np.array([term[k] for term in terms], int) for k in (0, 1))
        self.coefficients = np.array([term[2] for term in terms], float)
        self.to_rows, self.to_columns = Sums(self.rows, len(expressions)), Sums(self.columns, parameters)

    def values(self, params: np.ndarray) -> np.ndarray:
        """(B, P), in the precision in which tapes are run, -> (B, V)."""
        out = self.to_rows(params[:, self.columns] * self.coefficients) + self.constant
        for row, tape, returns in self.tapes:
            out[:, row] = _Run(tape, returns, params).value()
        return out

    def pushed(self, params: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """The derivative of `values` in the direction of some tangents (B, P)."""
        out = self.to_rows(tangents[:, self.columns] * self.coefficients)
        for row, tape, returns in self.tapes:
            out[:, row] += _Run(tape, returns, params).pushed(tangents)
        return out

    def pulled(self, params: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Its transpose, (B, V) -> (B, P)."""
        out = self.to_columns(cotangents[:, self.rows] * self.coefficients)
        for row, tape, returns in self.tapes:
            for index, share in _Run(tape, returns, params).pulled(cotangents[:, row].astype(params.dtype)):
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

    Both go one instruction at a time, as in JAX, so that they overflow where JAX's do. Where the tape `returns`, values
    may be complex between, and those that are not keep to real arithmetic.
    """

    def __init__(self, tape: Tape, returns: bool, params: np.ndarray):
        self.tape, self.params = tape, params
        self.steps: list[tuple[list[np.ndarray], np.ndarray]] = []  # the arguments and the value of each instruction
        for operation, *operands in tape.instructions:
            arguments, kind = [self._operand(x) for x in operands], params.dtype
            function: Callable[..., Any] = getattr(np, operation)
            whole = is_whole(operation, operands[-1])
            leaves = operation == "log" or operation == "pow" and not whole
            if returns and (leaves or any(map(np.iscomplexobj, arguments))):
                kind = np.result_type(kind, np.complex64)
                arguments = [x.astype(kind) for x in arguments]
                function = _COMPLEX.get(operation, function)
            if whole:  # it is odd or even, which a float32 does not know beyond 2**24
                arguments[1] = np.full(len(params), operands[1].const)
            value = function(*arguments)
            self.steps.append((arguments, value.astype(kind if np.iscomplexobj(value) else params.dtype)))

    def value(self) -> np.ndarray:
        """(B,), NaN where it is not real."""
        value = self.steps[-1][1]
        return np.where(is_real(value), value.real, np.nan) if np.iscomplexobj(value) else value

    def pushed(self, tangents: np.ndarray) -> Any:
        """The derivative in the direction of tangents (B, P), (B,)."""
        moved: list[Any] = []  # None of what depends on no parameter, or has no slope: others may be infinite
        for k, (_, *operands) in enumerate(self.tape.instructions):
            total = None
            for x, slope in zip(operands, self._slopes(k), strict=True):
                own = moved[x] if isinstance(x, int) else _combined(x, tangents)
                if own is not None and slope is not None:
                    total = slope * own + (0 if total is None else total)
            moved.append(total if total is None or np.iscomplexobj(self.steps[k][1]) else np.real(total))
        return 0.0 if moved[-1] is None else np.real(moved[-1])

    def pulled(self, cotangent: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Its transpose, of a cotangent (B,): parameters, which may come several times, and their shares."""
        back: list[Any] = [None] * len(self.steps)
        back[-1] = cotangent
        for k in reversed(range(len(self.steps))):
            for x, slope in zip(self.tape.instructions[k][1:], self._slopes(k), strict=True):
                if back[k] is None or slope is None:
                    continue
                own = slope * back[k]
                if not isinstance(x, int):
                    yield from ((index, c * np.real(own)) for index, c in x.terms)
                    continue
                own = own if np.iscomplexobj(self.steps[x][1]) else np.real(own)
                back[x] = own if back[x] is None else back[x] + own

    def _operand(self, x: int | Affine) -> np.ndarray:
        if isinstance(x, int):
            return self.steps[x][1]
        terms = _combined(x, self.params)
        return np.full(len(self.params), x.const, self.params.dtype) + (0 if terms is None else terms)

    def _slopes(self, k: int) -> list[Any]:
        """Of an instruction in its arguments, in the precision of these; None where it is zero or undefined."""
        arguments, value = self.steps[k]
        slopes = _SLOPES[self.tape.instructions[k][0]](*arguments, value)
        return [slope if slope is None else np.asarray(slope, arguments[0].dtype) for slope in slopes]


def _combined(form: Affine, columns: np.ndarray) -> Any:
    """The terms of a form, of the columns of (B, P), added up; None if there are none."""
    total = None
    for index, c in form.terms:
        total = c * columns[:, index] + (0 if total is None else total)
    return total


def _abs_slope(x: np.ndarray, f: np.ndarray) -> tuple[np.ndarray]:
    """1 at 0, as in JAX; of complex numbers what the real part of the product is taken of."""
    if np.iscomplexobj(x):
        return (x.conj() / np.where(f == 0, 1, f),)
    return (np.where(x < 0, -1.0, np.where(x >= 0, 1.0, x)),)


def _polar(size: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """As XLA has it: NumPy's functions know limits of what is infinite or zero."""
    out = np.empty(np.shape(size), np.result_type(size, np.complex64))
    out.real, out.imag = size * np.cos(angle), size * np.sin(angle)
    return out


def _power(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``exp(y log z)``, as XLA has it."""
    square, angle = z.real**2 + z.imag**2, np.arctan2(z.imag, z.real)
    size = square ** (y.real / 2) * np.exp(-y.imag * angle)
    out = _polar(size, y.real * angle + y.imag / 2 * np.log(square))
    out = np.where((z == 0) & (y.real > 0) & (y.imag == 0), 0, out)
    return np.where(y == 0, 1, out)


def _inside(function: Callable[..., Any], z: np.ndarray) -> np.ndarray:
    """A function of complex numbers, NaN at real ones beyond 1."""
    return np.where(is_real(z) & (np.abs(z.real) > 1), np.nan, function(z))


def modulo_turns(x: np.ndarray, periodic: Any) -> np.ndarray:
    """Angles modulo 2 pi where `periodic`: sine and cosine know 2 pi to more digits than a float has."""
    if not (np.abs(x) > np.pi).any():
        return x
    with np.errstate(all="ignore"):
        return np.where(periodic & (np.abs(x) > np.pi), np.arctan2(np.sin(x), np.cos(x)), x)
