"""The expressions of a circuit at numbers, and their derivatives there, by NumPy: nothing is traced or compiled.

What `expressions.evaluate` compiles for each circuit takes some ten milliseconds; a circuit that is run once or twice
is rather looked at row by row. Affine forms are in double precision; tapes in that of the parameters and with JAX's
slopes, so that what overflows there, or has no derivative, does here.
"""

from collections.abc import Callable
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
    "sign": lambda x, f: (0.0,),
    "abs": lambda x, f: _abs_slope(x, f),
}
# What is another function of complex numbers, of which the sign has several meanings.
_COMPLEX: dict[str, Callable[..., Any]] = {
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
                continue
            self.tapes.append((row, expression, comes_back(expression)))
        self.rows, self.columns = (np.array([term[k] for term in terms], int) for k in (0, 1))
        self.coefficients = np.array([term[2] for term in terms], float)
        self.to_rows, self.to_columns = Sums(self.rows, len(expressions)), Sums(self.columns, parameters)

    def values(self, params: np.ndarray) -> np.ndarray:
        """(B, P), in the precision in which tapes are run, -> (B, V)."""
        out = self.to_rows(params[:, self.columns] * self.coefficients) + self.constant
        for row, tape, returns in self.tapes:
            out[:, row] = _run(tape, returns, params, slopes=False)[0]
        return out

    def pushed(self, params: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """The derivative of `values` in the direction of some tangents (B, P)."""
        out = self.to_rows(tangents[:, self.columns] * self.coefficients)
        for row, tape, returns in self.tapes:
            for index, slope in _run(tape, returns, params, slopes=True)[1].items():
                out[:, row] += slope * tangents[:, index]
        return out

    def pulled(self, params: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """Its transpose, (B, V) -> (B, P)."""
        out = self.to_columns(cotangents[:, self.rows] * self.coefficients)
        for row, tape, returns in self.tapes:
            for index, slope in _run(tape, returns, params, slopes=True)[1].items():
                out[:, index] += slope * cotangents[:, row]
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


def _run(tape: Tape, returns: bool, params: np.ndarray, slopes: bool) -> tuple[np.ndarray, dict[int, Any]]:
    """The value of a tape, (B,), and its derivatives in the parameters that it has, or none if nobody asks for them.

    Where it `returns`, values may be complex between, and those that are not keep to real arithmetic.
    """
    results: list[tuple[np.ndarray, dict[int, Any]]] = []

    def operand(x: int | Affine) -> tuple[np.ndarray, dict[int, Any]]:
        if isinstance(x, int):
            return results[x]
        value = np.full(len(params), x.const, params.dtype)
        for index, c in x.terms:
            value += c * params[:, index]
        return value, dict(x.terms) if slopes else {}

    for operation, *operands in tape.instructions:
        values, changes = zip(*map(operand, operands), strict=True)
        function: Callable[..., Any] = getattr(np, operation)
        if returns:
            leaves = operation == "log" or operation == "pow" and not is_whole(operation, operands[-1])
            if leaves or any(map(np.iscomplexobj, values)):
                values = tuple(x.astype(np.result_type(x, np.complex64)) for x in values)
                function = _COMPLEX.get(operation, function)
        value = function(*values)
        total: dict[int, Any] = {}
        for slope, change in zip(_SLOPES[operation](*values, value) if slopes else (), changes, strict=slopes):
            for index, c in change.items():
                total[index] = total.get(index, 0.0) + slope * c
        if returns and not np.iscomplexobj(value):
            total = {index: np.real(c) for index, c in total.items()}
        results.append((value, total))
    value, total = results[-1]
    if not np.iscomplexobj(value):
        return value, total
    real = is_real(value)
    return np.where(real, value.real, np.nan), {index: np.where(real, c.real, 0) for index, c in total.items()}


def _abs_slope(x: np.ndarray, f: np.ndarray) -> tuple[np.ndarray]:
    """1 at 0, as in JAX; of complex numbers what the real part of the product is taken of."""
    if np.iscomplexobj(x):
        return (x.conj() / np.where(f == 0, 1, f),)
    return (np.where(x < 0, -1.0, np.where(x >= 0, 1.0, x)),)


def _inside(function: Callable[..., Any], z: np.ndarray) -> np.ndarray:
    """A function of complex numbers, NaN at real ones beyond 1."""
    return np.where(is_real(z) & (np.abs(z.real) > 1), np.nan, function(z))


def modulo_turns(x: np.ndarray, periodic: Any) -> np.ndarray:
    """Angles modulo 2 pi where `periodic`: sine and cosine know 2 pi to more digits than a float has."""
    if not (np.abs(x) > np.pi).any():
        return x
    with np.errstate(all="ignore"):
        return np.where(periodic & (np.abs(x) > np.pi), np.arctan2(np.sin(x), np.cos(x)), x)
