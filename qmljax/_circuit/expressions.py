"""Qiskit's ParameterExpression as a JAX function: params -> values.

Nearly every angle of a circuit is affine in the parameters, so an expression is `Affine` whenever it can be, and all
affine expressions of a circuit are evaluated together: one gather, one product, one sum. Whatever is left (`a * b`,
`sin(a)`) is a `Tape`, a straight-line program whose operands are earlier results, by number, and affine forms; an
instruction that occurs twice is there once. Tapes that differ in their affine forms only, as do the n(n-1)/2 products
`(π - x[i]) * (π - x[j])` of a feature map, are run together: what XLA compiles grows with the kinds of formula.

Both are plain tuples that know a parameter by its position: expressions of circuits built separately are equal. They
are functions of real parameters, and NaN where their value is not real. On the way there it may be complex, as in
`abs(a**0.5)` at a negative a: tapes whose values may leave the real numbers and come back are run in complex
arithmetic.
"""

import math
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Affine(NamedTuple):
    """`const + sum(c * params[index] for index, c in terms)`: indices ascend, and no coefficient is zero."""

    const: float
    terms: tuple[tuple[int, float], ...]


class Tape(NamedTuple):
    """Instructions `(operation, *operands)`, the last of which gives the value of an expression that is not affine.

    An operation has its name in `jax.numpy`; an operand is the number of an earlier instruction, or an `Affine`.
    """

    instructions: tuple[tuple[Any, ...], ...]


Expression = Affine | Tape

# An expression under construction is the number of an instruction or a form {index: coefficient} without zeros, its
# constant at the index ONE; coefficients may be complex. Its tape is {instruction: number}, in order.
_Value = int | dict[int, complex]
_Building = dict[tuple[Any, ...], int]
ONE = -1

# Qiskit's opcode k stands for the operation number k; r: operands exchanged; -: GRAD, SUBSTITUTE, not in any replay.
OPERATIONS = """add subtract multiply divide pow sin cos tan asin acos exp log sign - conj - abs atan
rsubtract rdivide rpow""".split()
FUNCTIONS = {"sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "sign", "conj", "abs"}  # of one argument
RETURNING = {"sin", "cos", "exp", "abs", "pow"}  # may be real of a complex argument; sums and products, only of two


def from_qiskit(expression: Any, position: Mapping[str, int]) -> Expression:
    """The expression as a function of the parameter vector.

    Args:
        expression: a Qiskit `ParameterExpression` or `Parameter`, or a real number.
        position: name of a parameter -> its index in the parameter vector.

    Returns:
        An `Affine` if nothing but sums and products with constants acts on parameters, else a `Tape`. Equal formulas
        give equal expressions, whatever circuit they come from.

    Raises:
        ValueError: if a parameter has no position, or the expression is not real and finite for real parameters:
            complex coefficients must cancel before they meet more than sums and products with constants.
        TypeError: if `expression` is none of the above.
        NotImplementedError: if it has an operation that this version does not know.

    Example:
        >>> from qiskit.circuit import Parameter
        >>> a, b = Parameter("a"), Parameter("b")
        >>> from_qiskit(2 * (a - b) + 1, {"a": 0, "b": 1})
        Affine(const=1.0, terms=((0, 2.0), (1, -2.0)))
        >>> from_qiskit(2 * a.sin(), {"a": 0, "b": 1}).instructions
        (('sin', Affine(const=0.0, terms=((0, 1.0),))), ('multiply', Affine(const=2.0, terms=()), 0))
    """
    index = position.get(getattr(expression, "name", ""))
    if index is not None:  # a bare Parameter, by far the most common: no replay
        return Affine(0.0, ((index, 1.0),))
    tape: _Building = {}
    try:
        return _finish(tape, _read(tape, expression, position))
    except ArithmeticError as error:
        raise ValueError(
            f"Expected an expression that is real and finite for real parameters, got {expression}, with {error}: "
            "write it with real constants, or bind its parameters to numbers."
        ) from None


def parameters(expression: Expression) -> frozenset[int]:
    """The indices of the parameters that the expression depends on."""
    return frozenset(index for form in _forms(expression) for index, _ in form.terms)


def scale(expression: Expression, factor: float) -> Expression:
    """The expression `factor * expression`."""
    tape: _Building = {}
    return _finish(tape, _operate(tape, "multiply", {ONE: float(factor)}, _load(tape, expression)))


def add(a: Expression, b: Expression) -> Expression:
    """The expression `a + b`."""
    tape: _Building = {}
    return _finish(tape, _operate(tape, "add", _load(tape, a), _load(tape, b)))


def multiply(a: Expression, b: Expression) -> Expression:
    """The expression `a * b`."""
    tape: _Building = {}
    return _finish(tape, _operate(tape, "multiply", _load(tape, a), _load(tape, b)))


def evaluate(expressions: tuple[Expression, ...], params: jax.Array) -> jax.Array:
    """The values of the expressions.

    Args:
        expressions: E expressions.
        params: of shape (P, *batch), real floating point.

    Returns:
        Array of shape (E, *batch), in the order of `expressions` and with the dtype of `params`.

    Raises:
        ValueError: if an expression depends on a parameter that `params` does not have.

    Example:
        >>> product = Tape((("multiply", Affine(0.0, ((0, 1.0),)), Affine(0.0, ((1, 1.0),))),))
        >>> evaluate((Affine(1.0, ((0, 2.0),)), product), jnp.array([3.0, 5.0]))
        Array([ 7., 15.], dtype=float32)
    """
    params = jnp.asarray(params)
    affine = [e for e in expressions if isinstance(e, Affine)]
    if len(affine) == len(expressions):
        return _affine_values(affine, params)

    # (skeleton, whether it is complex on the way): the tapes that have it, and what fills its blanks
    groups: dict[tuple[tuple, bool], dict[Tape, list[Affine]]] = {}
    for tape in expressions:
        if isinstance(tape, Tape):
            skeleton, forms = split(tape)
            groups.setdefault((skeleton, comes_back(tape)), {})[tape] = forms
    blanks = [blank for group in groups.values() for blank in zip(*group.values(), strict=True)]  # a form of each tape
    values = _affine_values(affine + [form for blank in blanks for form in blank if form.terms], params)

    def fillings() -> Iterator[jax.Array | np.ndarray]:  # each (tapes, *batch) or, of constants, (tapes, 1, ..., 1)
        start = len(affine)
        for blank in blanks:
            has = blank[0].terms
            yield values[start : (start := start + len(blank))] if has else _column([f.const for f in blank], params)

    filling = fillings()
    runs = ((run_complex if returns else _run)(skeleton, filling) for skeleton, returns in groups)
    results = [values[: len(affine)], *runs]
    row = {tape: k for k, tape in enumerate((t for group in groups.values() for t in group), start=len(affine))}
    in_turn = iter(range(len(affine)))
    order = [row[e] if isinstance(e, Tape) else next(in_turn) for e in expressions]
    return _rows(jnp.concatenate(results), np.array(order))  # (expressions, *batch)


def split(tape: Tape) -> tuple[tuple, list[Affine]]:
    """The tape with a blank for each affine form, but for integer exponents, which are static; and those forms."""
    skeleton, forms = [], []
    for operation, *operands in tape.instructions:
        for k, x in enumerate(operands):
            if isinstance(x, Affine) and not (k == 1 and is_whole(operation, x)):
                forms.append(x)
                operands[k] = "affine" if x.terms else "constant"
        skeleton.append((operation, *operands))
    return tuple(skeleton), forms


def _run(skeleton: tuple, filling: Iterator[jax.Array | np.ndarray]) -> jax.Array:
    """The result of the skeleton with the next fillings in its blanks."""
    results: list[jax.Array] = []
    for operation, *operands in skeleton:
        args = [next(filling) if isinstance(x, str) else results[x] if isinstance(x, int) else x for x in operands]
        if isinstance(args[-1], Affine):
            # Multiplied out, a power has the right derivative at zero and for a negative base.
            results.append(jax.lax.integer_pow(args[0], int(args[-1].const)))
        elif operation == "log":  # XLA has y log|x| for log(x**y)
            results.append(jnp.log(x := args[0]) + jnp.where(x >= 0, jnp.zeros_like(x), jnp.full_like(x, jnp.nan)))
        else:
            results.append(getattr(jnp, operation)(*args))
    return results[-1]


def is_whole(operation: str, exponent: int | Affine) -> bool:
    """Whether an operation is a power whose exponent is a constant integer."""
    constant = isinstance(exponent, Affine) and not exponent.terms and exponent.const.is_integer()
    return operation == "pow" and constant


def comes_back(tape: Tape) -> bool:
    """Whether the tape may have a real value by way of complex ones, which logarithms and powers of negatives are."""
    complex_: set[int] = set()  # numbers of the instructions whose values may be complex ...
    positive: set[int] = set()  # ... and of those whose values are not negative

    def is_positive(x: int | Affine) -> bool:
        return x in positive if isinstance(x, int) else not x.terms and x.const >= 0

    for number, (operation, *operands) in enumerate(tape.instructions):
        count = sum(isinstance(x, int) and x in complex_ for x in operands)
        if count and (operation in RETURNING or count == 2):
            return True
        first, last = operands[0], operands[-1]
        leaves = operation == "log" or operation == "pow" and not is_whole(operation, last)
        if count or leaves and not is_positive(first):
            complex_.add(number)
        elif operation in ("exp", "abs") or operation == "multiply" and first == last:
            positive.add(number)
        elif operation == "pow" and (is_positive(first) or is_whole(operation, last) and last.const % 2 == 0):
            positive.add(number)
        elif operation in ("add", "multiply", "divide") and all(map(is_positive, operands)):
            positive.add(number)
    return False


def run_complex(skeleton: tuple, filling: Iterator[jax.Array | np.ndarray]) -> jax.Array:
    """As `_run`, where values may be complex between. Those that are not keep to real arithmetic, as in Qiskit."""
    results: list[jax.Array] = []
    for operation, *operands in skeleton:
        args = [next(filling) if isinstance(x, str) else results[x] if isinstance(x, int) else x for x in operands]
        exponent = args[-1] if isinstance(args[-1], Affine) else None
        arrays = [jnp.asarray(x) for x in args if not isinstance(x, Affine)]
        if operation == "log" or operation == "pow" and exponent is None or any(map(jnp.iscomplexobj, arrays)):
            arrays = [x if jnp.iscomplexobj(x) else jax.lax.complex(x, jnp.zeros_like(x)) for x in arrays]
        if exponent is not None:
            results.append(jax.lax.integer_pow(arrays[0], int(exponent.const)))
        elif operation in ("asin", "acos") and jnp.iscomplexobj(arrays[0]):
            outside = _is_real(arrays[0]) & (jnp.abs(arrays[0].real) > 1)
            results.append(jnp.where(outside, jnp.nan, getattr(jnp, operation)(arrays[0])))
        elif operation == "sign" and jnp.iscomplexobj(arrays[0]):  # which has several meanings
            results.append(jnp.where(_is_real(arrays[0]), jnp.sign(arrays[0].real), jnp.nan))
        else:
            results.append(getattr(jnp, operation)(*arrays))
    value = results[-1]  # where it is not real, NaN, and so are its derivatives
    return value.real * jnp.where(_is_real(value), 1, jnp.nan) if jnp.iscomplexobj(value) else value


def _is_real(z: jax.Array) -> jax.Array:
    """Whether what is imaginary is a rounding error."""
    error = 256 * np.finfo(z.dtype).eps
    return (abs(z.imag) <= error) | (abs(z.imag) <= error * abs(z.real))


def _affine_values(forms: list[Affine], params: jax.Array) -> jax.Array:
    """The sparse product `matrix @ params + const`, each step left out where it does nothing."""
    rows = np.repeat(np.arange(len(forms)), [len(form.terms) for form in forms])
    columns = np.array([index for form in forms for index, _ in form.terms], int)
    if columns.size and columns.max() >= len(params):
        raise ValueError(
            f"`params` must have at least {columns.max() + 1} parameters in its first axis, one for each that the "
            f"expressions depend on, but has shape {params.shape}."
        )
    coefficients = _column([c for form in forms for _, c in form.terms], params)
    nothing = [-0.0 if form.terms else 0.0 for form in forms]  # what changes no sum, not the sign of -0 either
    const = _column([form.const or zero for form, zero in zip(forms, nothing, strict=True)], params)

    values = params if np.array_equal(columns, np.arange(len(params))) else _rows(params, columns)  # (terms, *batch)
    if (coefficients != 1).any():
        values = values * coefficients
    if not np.array_equal(rows, np.arange(len(forms))):
        # A dense product is no faster, even for 100 forms of 20 parameters, and spreads a NaN to forms without it.
        at = jnp.broadcast_to(_column(nothing, params), (len(forms), *params.shape[1:])).at[rows]
        values = at.add(values, indices_are_sorted=True, mode="promise_in_bounds", wrap_negative_indices=False)
    if const.any():
        values = values + const
    return values  # (forms, *batch)


def _column(numbers: list[float], params: jax.Array) -> np.ndarray:
    return np.array(numbers, params.dtype).reshape(-1, *(1,) * (params.ndim - 1))


def _rows(values: jax.Array, index: np.ndarray) -> jax.Array:
    return values.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _read(tape: _Building, x: Any, position: Mapping[str, int]) -> _Value:
    """The value of a number, a Parameter or a ParameterExpression. Only here do we rely on Qiskit's private replay.

    The replay is a stack program, one record `(op, lhs, rhs)` an operation. An operand None pops the stack, the right
    one first; the right one of a function of one argument is None too, and pops nothing.
    """
    if isinstance(x, Number):
        return {ONE: complex(x)} if x else {}  # type: ignore[call-overload]  # numbers.Number has no __complex__
    if (name := getattr(x, "name", None)) is not None:
        if name in position:
            return {position[name]: 1.0}
        raise ValueError(f"Expected a parameter among {', '.join(position) or 'none'}, got {name}: give it a position.")
    if (replay := getattr(x, "_qpy_replay", None)) is None:
        raise TypeError(f"Expected a qiskit ParameterExpression or a real number, got {x!r}, a {type(x).__name__}.")
    stack: list[_Value] = []
    for record in replay:
        code = int(record.op)
        operation = OPERATIONS[code] if code < len(OPERATIONS) else "-"
        if operation == "-":
            raise NotImplementedError(
                f"Expected arithmetic, got {record.op} in {x}: this Qiskit has an operation that qmljax does not know. "
                "Bind the expression to a number, or use an earlier Qiskit."
            )
        sources = (record.lhs,) if operation in FUNCTIONS else (record.rhs, record.lhs)
        operands = [stack.pop() if source is None else _read(tape, source, position) for source in sources]
        if not operation.startswith("r"):
            operands.reverse()
        stack.append(_operate(tape, operation.removeprefix("r"), *operands))
    return stack.pop()


def _operate(tape: _Building, operation: str, *operands: _Value) -> _Value:
    """The result: a constant, an affine form or, where neither will do, the number of an instruction.

    A replay uses every result once: forms are changed in place, so that a sum of n terms costs O(n).
    """
    constants = [x.get(ONE, 0.0) if isinstance(x, dict) and len(x) == (ONE in x) else None for x in operands]
    if None not in constants:
        with np.errstate(all="ignore"):
            c = complex(getattr(np, operation)(*np.array(constants, complex)))
        return {ONE: c} if c else {}
    x, y = operands[0], operands[-1]
    a, b = constants[0], constants[-1]  # None: not constant
    match operation:
        case "multiply" if b is not None:
            return _operate(tape, "multiply", y, x)
        case "multiply" if a is not None and isinstance(y, dict):
            return {index: a * c for index, c in y.items()} if a else {}
        case "multiply" if a == 0 or a == 1:
            return y if a else {}
        case "add" if isinstance(x, dict) and isinstance(y, dict):
            x, y = (x, y) if len(x) > len(y) else (y, x)
            for index, c in y.items():
                x[index] = x.get(index, 0.0) + c
                if x[index] == 0:
                    del x[index]
            return x
        case "add" if a == 0 or b == 0:
            return x if b == 0 else y
        case "subtract":
            return _operate(tape, "add", x, _operate(tape, "multiply", {ONE: -1.0}, y))
        case "divide" if b:
            return _operate(tape, "multiply", {ONE: 1.0 / b}, x)
        case "pow" if b == 0 or b == 1:
            return x if b else {ONE: 1.0}
        case "conj":
            return {index: c.conjugate() for index, c in x.items()} if isinstance(x, dict) else x
    return _enter(tape, operation, [_affine(x) if isinstance(x, dict) else x for x in operands])


def _enter(tape: _Building, operation: str, operands: list[int | Affine]) -> int:
    """The number of an instruction, new or known."""
    if operation in ("add", "multiply"):  # commutative: one order
        operands.sort(key=lambda x: (isinstance(x, int), x))
    return tape.setdefault((operation, *operands), len(tape))


def _affine(form: dict[int, complex]) -> Affine:
    """The form with real coefficients, in its one way of writing."""
    terms = [(index, _real(c)) for index, c in sorted(form.items()) if index != ONE]
    return Affine(_real(form.get(ONE, 0.0)), tuple(term for term in terms if term[1]))


def _real(c: complex) -> float:
    if math.isfinite(c.real) and abs(c.imag) <= 1e-12 * max(1.0, abs(c.real)):
        return c.real
    raise ArithmeticError(f"the constant {c}")


def _load(tape: _Building, expression: Expression) -> _Value:
    """The value of an expression whose instructions are entered in the tape."""
    if isinstance(expression, Affine):
        return {ONE: expression.const, **dict(expression.terms)} if expression.const else dict(expression.terms)
    numbers: list[int] = []
    for operation, *operands in expression.instructions:
        numbers.append(_enter(tape, operation, [numbers[x] if isinstance(x, int) else x for x in operands]))
    return numbers[-1]


def _finish(tape: _Building, value: _Value) -> Expression:
    """The expression: a form, or those instructions of the tape that the value needs."""
    if isinstance(value, dict):
        return _affine(value)
    instructions = list(tape)
    needed = {value}
    for number in range(value, -1, -1):  # an operand comes before its instruction
        if number in needed:
            needed.update(x for x in instructions[number] if isinstance(x, int))
    new = {number: k for k, number in enumerate(sorted(needed))}
    return Tape(tuple(tuple(new[x] if isinstance(x, int) else x for x in instructions[old]) for old in new))


def _forms(expression: Expression) -> Iterator[Affine]:
    """The affine forms in an expression, constants included."""
    if isinstance(expression, Affine):
        yield expression
    else:
        yield from (x for instruction in expression.instructions for x in instruction if isinstance(x, Affine))
