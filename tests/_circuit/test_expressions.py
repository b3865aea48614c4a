"""ParameterExpression -> JAX. Oracles: closed forms, Qiskit's `bind(...).numeric()` and finite differences of it."""

import ast
import inspect
import math
from collections.abc import Iterator
from types import SimpleNamespace

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector
from qiskit.circuit.parameterexpression import OpCode

from qmljax._circuit import expressions
from qmljax._circuit.expressions import OPERATIONS, Affine, Tape, add, evaluate, from_qiskit, parameters, scale

P = 4
NAMES = ("a", "b", "c", "d")
POSITION = {name: k for k, name in enumerate(NAMES)}
SEEDS = 15  # of 20 random expressions each
POINT = np.array([0.7, 0.3, -0.45, 1.3])


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test in both precisions; the value is the dtype's name."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


def fresh() -> list[Parameter]:
    """Parameters with new uuids, as in a circuit built anew."""
    return [Parameter(name) for name in NAMES]


def value(expression: ParameterExpression | float, point: np.ndarray) -> complex:
    """The oracle: Qiskit binds and evaluates."""
    if not isinstance(expression, ParameterExpression):
        return expression
    at = {p: point[POSITION[p.name]] for p in expression.parameters}
    return expression.bind(at).numeric()


def derivative(expression: ParameterExpression | float, point: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """Central differences of the oracle."""
    steps = h * np.eye(P)
    return np.array([(value(expression, point + e) - value(expression, point - e)) / (2 * h) for e in steps])


def random_expression(rng: np.random.Generator, params: list[Parameter], depth: int) -> ParameterExpression:
    """Any of Qiskit's operations, on numbers and expressions, its arguments kept where the result is real."""
    if depth == 0:
        return params[rng.integers(P)]
    operation = rng.integers(21)
    x = random_expression(rng, params, depth - 1)
    y = random_expression(rng, params, rng.integers(depth))
    c = [2, 3, -1, 0.5, -1.25, 0.75][rng.integers(6)]
    unit = 0.9 * x.sin()  # in (-1, 1)
    positive = x * x + 0.5
    return [
        lambda: x + y,
        lambda: x - y,
        lambda: x * y,
        lambda: x / (y.cos() + 2),
        lambda: positive**y,
        lambda: x.sin(),
        lambda: x.cos(),
        lambda: (x / 3).tan(),
        lambda: unit.arcsin(),
        lambda: unit.arccos(),
        lambda: unit.exp(),
        lambda: positive.log(),
        lambda: x.sign() + y,
        lambda: x.conjugate() * y,
        lambda: abs(x),
        lambda: x.arctan(),
        lambda: c - x.cos(),
        lambda: c / positive,
        lambda: abs(c) ** x.sin(),
        lambda: c * x + c,
        lambda: x ** int(rng.integers(2, 4)),
    ][operation]()


def tame(expression: ParameterExpression, point: np.ndarray) -> bool:
    """Whether finite differences are an oracle here: smooth, moderate, real."""
    try:
        slopes = [derivative(expression, point, h) for h in (1e-5, 3e-5)]
        number = value(expression, point)
    except (RuntimeError, ZeroDivisionError, TypeError):
        return False
    return not isinstance(number, complex) and abs(number) < 1e3 and np.allclose(*slopes, rtol=1e-6, atol=1e-6)


def sample(seed: int, size: int = 20) -> list[ParameterExpression]:
    rng = np.random.default_rng(seed)
    params = fresh()
    expressions: list[ParameterExpression] = []
    while len(expressions) < size:
        expression = random_expression(rng, params, int(rng.integers(1, 5)))
        if tame(expression, POINT):
            expressions.append(expression)
    return expressions


def converted(expressions: list[ParameterExpression]) -> tuple:
    return tuple(from_qiskit(e, POSITION) for e in expressions)


def primitives(jaxpr: jex.Jaxpr) -> list[str]:
    """The names of the primitives of a jaxpr and the jaxprs within it."""
    names = []
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr")
        names += [equation.primitive.name] if inner is None else primitives(inner.jaxpr)
    return names


# Values and derivatives


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_expressions_and_their_jacobians_agree_with_qiskit(seed):
    expressions = sample(seed)
    ours = converted(expressions)

    def f(params):
        return evaluate(ours, params)

    values, reverse, forward = jax.jit(lambda p: (f(p), jax.jacrev(f)(p), jax.jacfwd(f)(p)))(jnp.array(POINT))
    np.testing.assert_allclose(values, [value(e, POINT) for e in expressions], rtol=1e-12, atol=1e-12)
    slopes = np.array([derivative(e, POINT) for e in expressions])
    np.testing.assert_allclose(reverse, slopes, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(forward, slopes, rtol=1e-5, atol=1e-6)


def test_the_random_expressions_use_every_operation_and_both_forms():
    expressions = [e for seed in range(SEEDS) for e in sample(seed)]
    used = {int(record.op) for e in expressions for record in e._qpy_replay}
    assert used == {k for k, operation in enumerate(OPERATIONS) if operation != "-"}
    assert {type(e) for e in converted(expressions)} == {Affine, Tape}


def test_float32_is_as_good_as_its_precision():
    expressions = [e for seed in range(3) for e in sample(seed)]
    values = evaluate(converted(expressions), jnp.array(POINT, jnp.float32))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, [value(e, POINT) for e in expressions], rtol=2e-4, atol=2e-4)


# Formula, its value and its derivative at x: closed forms, on either side of zero and at zero where Qiskit's are.
SMOOTH = {
    "sin": (lambda a: a.sin(), math.sin, math.cos, 0.4),
    "cos": (lambda a: a.cos(), math.cos, lambda x: -math.sin(x), -0.4),
    "tan": (lambda a: a.tan(), math.tan, lambda x: 1 / math.cos(x) ** 2, 0.4),
    "arcsin": (lambda a: a.arcsin(), math.asin, lambda x: 1 / math.sqrt(1 - x * x), -0.4),
    "arccos": (lambda a: a.arccos(), math.acos, lambda x: -1 / math.sqrt(1 - x * x), -0.4),
    "arctan": (lambda a: a.arctan(), math.atan, lambda x: 1 / (1 + x * x), -0.4),
    "exp": (lambda a: a.exp(), math.exp, math.exp, -0.4),
    "log": (lambda a: a.log(), math.log, lambda x: 1 / x, 0.4),
    "abs": (abs, abs, lambda x: -1.0, -0.4),
    "abs at zero": (abs, abs, lambda x: 1.0, 0.0),  # of the subgradients, JAX's choice
    "sign": (lambda a: a.sign(), lambda x: -1.0, lambda x: 0.0, -0.4),
    "sign at zero": (lambda a: a.sign(), lambda x: 0.0, lambda x: 0.0, 0.0),
    "conjugate": (lambda a: a.conjugate().sin(), math.sin, math.cos, 0.4),
    "a**2 at zero": (lambda a: a**2, lambda x: 0.0, lambda x: 0.0, 0.0),
    "a**2.0 below zero": (lambda a: a**2.0, lambda x: x * x, lambda x: 2 * x, -1.5),
    "a**3 below zero": (lambda a: a**3, lambda x: x**3, lambda x: 3 * x * x, -1.5),
    "a**-1 below zero": (lambda a: a**-1, lambda x: 1 / x, lambda x: -1 / x**2, -1.5),
    "sin(a)**2 at zero": (lambda a: a.sin() ** 2, lambda x: 0.0, lambda x: 0.0, 0.0),
    "a**0.5": (lambda a: a**0.5, math.sqrt, lambda x: 0.5 / math.sqrt(x), 0.4),
    "2**a": (lambda a: 2**a, lambda x: 2**x, lambda x: 2**x * math.log(2), -0.4),
    "a**a": (lambda a: a**a, lambda x: x**x, lambda x: x**x * (math.log(x) + 1), 0.4),
    "3/a": (lambda a: 3 / a, lambda x: 3 / x, lambda x: -3 / x**2, -0.4),
    "3 - sin(a)": (lambda a: 3 - a.sin(), lambda x: 3 - math.sin(x), lambda x: -math.cos(x), 0.4),
    "sin(a)/4": (lambda a: a.sin() / 4, lambda x: math.sin(x) / 4, lambda x: math.cos(x) / 4, 0.4),
}


@pytest.mark.parametrize("build, closed_form, slope, x", SMOOTH.values(), ids=SMOOTH)
def test_values_and_derivatives_are_the_closed_forms(build, closed_form, slope, x, dtype):
    expression = from_qiskit(build(Parameter("a")), POSITION)
    y, dy = jax.value_and_grad(lambda params: evaluate((expression,), params)[0])(jnp.array([x], dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, closed_form(x), rtol=1e-6, atol=0)
    np.testing.assert_allclose(dy, [slope(x)], rtol=1e-6, atol=0)


def test_outside_its_real_domain_a_function_is_nan():
    a = Parameter("a")
    values = evaluate(converted([a.log(), a.arcsin(), a**0.5]), jnp.array([-2.0]))
    assert jnp.isnan(values).all()


BY_WAY_OF_COMPLEX_VALUES = {
    "abs of a root": lambda a, b: abs(a**0.5),
    "exp of log": lambda a, b: a.log().exp(),
    "power by logs": lambda a, b: (2 * a.log()).exp(),
    "root times root": lambda a, b: a**0.5 * a**0.5,
    "quotient of roots": lambda a, b: a**0.5 / b**0.5,
    "square of a root": lambda a, b: (a**0.5) ** 2,
    "cosine of a root": lambda a, b: (a**0.5).cos(),
    "sine of a root": lambda a, b: (a**0.5).sin(),  # real for positive a alone
    "difference of logs": lambda a, b: a.log() - b.log(),
    "parametric exponents": lambda a, b: abs(a**b),
    "exponents that cancel": lambda a, b: a**b * a ** (-b),
    "arcsine": lambda a, b: (a.log().exp() / 3).arcsin() + b,
    "arcsine outside its domain": lambda a, b: a.log().exp().arcsin(),
    "root alone": lambda a, b: a**0.5 * b,
    "root of what is positive": lambda a, b: ((a * a + 0.5) ** b).sin(),
}


@pytest.mark.parametrize("name", BY_WAY_OF_COMPLEX_VALUES)
def test_values_may_be_complex_on_the_way(name, dtype):
    """Qiskit's values and their differences where they are real, else NaN."""
    expression = BY_WAY_OF_COMPLEX_VALUES[name](Parameter("a"), Parameter("b"))
    (ours,) = converted([expression])

    def oracle(point: np.ndarray) -> float:
        try:
            number = complex(value(expression, point))
        except RuntimeError:  # Qiskit: "Binding to NaN."
            return math.nan
        return number.real if abs(number.imag) < 1e-14 else math.nan

    f = jax.value_and_grad(lambda params: evaluate((ours,), params)[0])
    for point in ([-0.8, 1.5], [-0.8, -2.3], [2.0, 1.5], [0.5, -1.2]):
        point = np.array([*point, 0, 0])
        y, slope = f(point.astype(dtype))
        np.testing.assert_allclose(y, oracle(point), rtol=1e-5 if dtype == "float32" else 1e-12)
        if np.isfinite(y):
            steps = 1e-6 * np.eye(P)
            differences = np.array([(oracle(point + e) - oracle(point - e)) / 2e-6 for e in steps])
            np.testing.assert_allclose(slope, np.where(np.isnan(differences), slope, differences), rtol=1e-4, atol=1e-4)
            assert np.isfinite(slope).all()


def test_ordinary_expressions_stay_real():
    """No complex arithmetic where a value cannot leave the real numbers and come back."""
    a, b = Parameter("a"), Parameter("b")
    for e in (
        a.log() * b,
        (2**a).log() + b,
        ((a * a + 1) ** 0.5).exp(),
        abs(abs(a) ** b),
        a**3 / a.cos(),
        (a**2).log(),
    ):
        jaxpr = jax.make_jaxpr(lambda p, e=e: evaluate(converted([e]), p))(jnp.array(POINT))
        assert "complex" not in primitives(jaxpr.jaxpr)


# Affine expressions


AFFINE = {
    "parameter": (lambda a, b, c, d: b, Affine(0.0, ((1, 1.0),))),
    "negation": (lambda a, b, c, d: -a, Affine(0.0, ((0, -1.0),))),
    "a number on each side": (lambda a, b, c, d: 2 * a * 3 + 1 - 0.5, Affine(0.5, ((0, 6.0),))),
    "number minus": (lambda a, b, c, d: 1 - (a - b), Affine(1.0, ((0, -1.0), (1, 1.0)))),
    "difference": (lambda a, b, c, d: d - (a + b), Affine(0.0, ((0, -1.0), (1, -1.0), (3, 1.0)))),
    "quotient": (lambda a, b, c, d: (a + 3 * b) / 4, Affine(0.0, ((0, 0.25), (1, 0.75)))),
    "a conjugate": (lambda a, b, c, d: (a + b).conjugate(), Affine(0.0, ((0, 1.0), (1, 1.0)))),
    "cancels": (lambda a, b, c, d: a + b - a, Affine(0.0, ((1, 1.0),))),
    "zero times": (lambda a, b, c, d: a + 0 * b + 0 * c.sin(), Affine(0.0, ((0, 1.0),))),
    "vanishes": (lambda a, b, c, d: a - a, Affine(0.0, ())),
    "first power": (lambda a, b, c, d: (a + b) ** 1, Affine(0.0, ((0, 1.0), (1, 1.0)))),
    "zeroth power": (lambda a, b, c, d: 2 * a.sin() ** 0, Affine(2.0, ())),
    "a function of a constant": (lambda a, b, c, d: (2 * a**0).log() + b, Affine(math.log(2), ((1, 1.0),))),
    "a power of a constant": (lambda a, b, c, d: (2 * a**0) ** (3 * b**0) * c, Affine(0.0, ((2, 8.0),))),
    "all bound": (lambda a, b, c, d: (a + b).bind({a: 1.0, b: 2.0}), Affine(3.0, ())),
    "some bound": (lambda a, b, c, d: (a * b).bind({b: 2.0}), Affine(0.0, ((0, 2.0),))),
    "bound to nothing": (lambda a, b, c, d: (a.sin() * b).bind({a: 0.0}), Affine(0.0, ())),
    "a real complex number": (lambda a, b, c, d: (2 + 0j) * a, Affine(0.0, ((0, 2.0),))),
    "real in the end": (lambda a, b, c, d: (1 + 2j) * a + (1 - 2j) * a + 1j * b - 1j * b, Affine(0.0, ((0, 2.0),))),
    "real by a conjugate": (lambda a, b, c, d: (1 + 2j) * a + ((1 + 2j) * a).conjugate(), Affine(0.0, ((0, 2.0),))),
    "constant in the end": (lambda a, b, c, d: (a + b + c - b - a - c + 2) * d, Affine(0.0, ((3, 2.0),))),
    "zero in the end": (lambda a, b, c, d: (2 * (a + b) - 2 * a - 2 * b) * d.sin(), Affine(0.0, ())),
    "almost zero": (lambda a, b, c, d: 1e-14j * a + b, Affine(0.0, ((1, 1.0),))),
    "almost real": (lambda a, b, c, d: (1 + 1e-14j) * a, Affine(0.0, ((0, 1.0),))),
    "int": (lambda a, b, c, d: 3, Affine(3.0, ())),
    "numpy float": (lambda a, b, c, d: np.float32(0.5), Affine(0.5, ())),
    "negative zero": (lambda a, b, c, d: -0.0, Affine(0.0, ())),
}


@pytest.mark.parametrize("build, expected", AFFINE.values(), ids=AFFINE)
def test_affine_expressions_are_found(build, expected):
    ours = from_qiskit(build(*fresh()), POSITION)
    assert ours == expected
    assert type(ours) is Affine and type(ours.const) is float
    assert all(type(index) is int and type(c) is float for index, c in ours.terms)
    assert math.copysign(1, ours.const) == 1 or ours.const < 0


@pytest.mark.parametrize("seed", range(20))
def test_random_sums_are_affine_with_the_coefficients_of_qiskit(seed):
    rng = np.random.default_rng(seed)
    params = fresh()
    expression = 0
    for _ in range(12):
        term = float(rng.normal()) * params[rng.integers(P)] + float(rng.normal())
        match rng.integers(3):
            case 0:
                expression = expression + term
            case 1:
                expression = expression - term
            case 2:
                expression = term - 2 * expression
    const, *coefficients = (value(expression, point) for point in np.eye(P + 1)[:, 1:])
    ours = from_qiskit(expression, POSITION)
    assert isinstance(ours, Affine)
    np.testing.assert_allclose(ours.const, const, rtol=1e-12)
    dense = np.zeros(P)
    for index, c in ours.terms:
        dense[index] = c
    np.testing.assert_allclose(dense, np.array(coefficients) - const, rtol=1e-12, atol=1e-12)


def test_affine_values_are_a_matrix_product(dtype):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(30, 50)) * (rng.random((30, 50)) < 0.1)
    matrix[7] = 0  # a constant
    const = rng.normal(size=30) * (rng.random(30) < 0.5)
    terms = [tuple((int(j), row[j]) for j in np.flatnonzero(row)) for row in matrix]
    forms = tuple(Affine(c, t) for c, t in zip(const, terms, strict=True))
    params = rng.normal(size=(50, 3))
    values = evaluate(forms, jnp.array(params, dtype))
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(values, matrix @ params + const[:, None], rtol=tolerance, atol=tolerance)


def test_a_nan_stays_where_it_is_used():
    forms = converted([f(*fresh()) for f in (lambda a, b, c, d: a + b, lambda a, b, c, d: 2 * c + d)])
    values = evaluate(forms, jnp.array([jnp.nan, 1.0, 2.0, 3.0]))
    assert jnp.isnan(values[0]) and values[1] == 7


# The program that is traced


def traced(expressions: list, shape: tuple[int, ...] = (P,)) -> list[str]:
    return primitives(jax.make_jaxpr(lambda params: evaluate(converted(expressions), params))(jnp.ones(shape)).jaxpr)


def test_steps_that_do_nothing_are_left_out():
    a, b, c, d = fresh()
    assert traced([a, b, c, d]) == []
    assert not {"mul", "add", "scatter-add"} & set(traced([b, a, a]))
    assert traced([b, a, a]).count("gather") == 1
    assert "mul" in traced([b, 2 * a]) and not {"add_any", "scatter-add"} & set(traced([b, 2 * a]))
    assert traced([b, 2 * a] * 1000) == traced([b, 2 * a])
    assert traced([a + b, c, d] * 1000).count("scatter-add") == 1


def ladder(size: int) -> tuple[list[ParameterExpression], list]:
    """Formulas of three kinds, many of each, and the same in numpy."""
    x = ParameterVector("x", size)
    pairs = [(i, j) for i in range(size) for j in range(i)]
    formulas = [
        lambda y, i, j: 2 * (math.pi - y[i]) * (math.pi - y[j]),
        lambda y, i, j: (y[i] + j) ** 2 * (0.1 * i + 0.75),
    ]
    ours = [f(x, i, j) for i, j in pairs for f in formulas] + [(0.1 * i + 0.75) * x[i].sin() for i in range(size)]
    theirs = [lambda y, i=i, j=j, f=f: f(y, i, j) for i, j in pairs for f in formulas]
    return ours, theirs + [lambda y, i=i: (0.1 * i + 0.75) * np.sin(y[i]) for i in range(size)]


def test_tapes_that_differ_in_their_affine_forms_are_run_together():
    programs = []
    for size in (4, 9):
        position = {f"x[{k}]": k for k in range(size)}
        ours = tuple(from_qiskit(e, position) for e in ladder(size)[0])
        assert all(isinstance(e, Tape) for e in ours)
        programs.append(primitives(jax.make_jaxpr(lambda p, ours=ours: evaluate(ours, p))(jnp.ones(size)).jaxpr))
    assert programs[0] == programs[1] and programs[0].count("sin") == 1


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_tapes_run_together_have_their_own_values(batch, dtype):
    position = {f"x[{k}]": k for k in range(5)}
    ours, theirs = ladder(5)
    params = np.random.default_rng(0).normal(size=(5, *batch))
    values = evaluate(tuple(from_qiskit(e, position) for e in ours), jnp.array(params, dtype))
    np.testing.assert_allclose(values, [f(params) for f in theirs], rtol=1e-5, atol=1e-5)


def test_integer_powers_are_multiplied_out():
    a, b, c, d = fresh()
    for power in (a**2, a.sin() ** 3.0, a**-2, (a * b) ** 7):
        assert "integer_pow" in traced([power]) and "pow" not in traced([power])
    for power in (a**0.5, 2**a, a**b, (a * b) ** c):
        assert "pow" in traced([power]) and "integer_pow" not in traced([power])


def test_constants_and_parameters_in_one_place_are_told_apart():
    a, b, c, d = fresh()
    values = evaluate(converted([2 * a.sin(), b * a.sin(), 3 * a.sin(), c * a.sin()]), jnp.array(POINT))
    np.testing.assert_allclose(values, math.sin(0.7) * np.array([2, 0.3, 3, -0.45]), rtol=1e-6)


def test_equal_tapes_are_run_once():
    a, b, c, d = fresh()
    jaxpr = jax.make_jaxpr(lambda params: evaluate(converted([(a * b).sin(), c, (b * a).sin()]), params))(jnp.ones(P))
    assert "f32[1] = sin" in str(jaxpr)
    values = evaluate(converted([(a * b).sin(), c, (b * a).sin()]), jnp.array(POINT))
    np.testing.assert_allclose(values, [math.sin(0.21), -0.45, math.sin(0.21)], rtol=1e-6)


def test_an_instruction_that_occurs_twice_has_one_number():
    a, b, c, d = fresh()
    tape = from_qiskit((a * b).sin() * c + (a * b).sin() * d + 0 * a.exp(), POSITION)
    assert [operation for operation, *_ in tape.instructions] == ["multiply", "sin", "multiply", "multiply", "add"]


def test_a_function_is_traced_once():
    traces = 0

    @jax.jit
    def f(params):
        nonlocal traces
        traces += 1
        return evaluate(ours, params)

    ours = converted([e for e in sample(0)])
    for k in range(3):
        f(jnp.array(POINT + 0.01 * k))
    assert traces == 1


# Shapes and transformations


MIXED = [
    lambda a, b, c, d: a,
    lambda a, b, c, d: a * b,
    lambda a, b, c, d: 0.5 * c + d,
    lambda a, b, c, d: (a * b).sin() - 1,
]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,), (1, 1)])
@pytest.mark.parametrize("chosen", [[0], [0, 2], [1], [1, 3], [3, 0, 1, 2, 1, 0]], ids=str)
def test_any_batch_has_the_values_of_its_points(chosen, batch, dtype):
    ours = converted([MIXED[k](*fresh()) for k in chosen])
    params = np.random.default_rng(0).normal(size=(P, *batch))
    a, b, c, d = params
    expected = np.stack([[a, a * b, 0.5 * c + d, np.sin(a * b) - 1][k] for k in chosen])
    params = jnp.array(params, dtype)
    values = evaluate(ours, params)
    assert values.shape == (len(chosen), *batch) and values.dtype == dtype
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda params: evaluate(ours, params))(params), values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("size", [0, 4])
def test_no_expressions_or_no_parameters(size, batch, dtype):
    params = jnp.ones((size, *batch), dtype)
    assert evaluate((), params).shape == (0, *batch)
    constants = evaluate((Affine(1.5, ()), Affine(0.0, ())), params)
    assert constants.dtype == dtype
    np.testing.assert_array_equal(constants, np.stack([np.full(batch, 1.5), np.zeros(batch)]))
    assert jax.grad(lambda params: evaluate((), params).sum())(params).shape == params.shape


def test_vmap_is_the_loop_and_the_batch():
    ours = converted([f(*fresh()) for f in MIXED])
    params = jnp.array(np.random.default_rng(0).normal(size=(5, P)))
    loop = jnp.stack([evaluate(ours, p) for p in params])
    np.testing.assert_allclose(jax.vmap(lambda p: evaluate(ours, p))(params), loop, rtol=1e-6)
    np.testing.assert_allclose(evaluate(ours, params.T).T, loop, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_derivatives_pass_through_vmap_and_twice():
    ours = converted([f(*fresh()) for f in MIXED])
    params = jnp.array(np.random.default_rng(0).normal(size=(5, P)))
    hessian = jax.jit(jax.vmap(jax.hessian(lambda p: evaluate(ours, p)[1])))(params)  # of a * b
    expected = np.zeros((5, P, P))
    expected[:, 0, 1] = expected[:, 1, 0] = 1
    np.testing.assert_allclose(hessian, expected, atol=1e-14)
    _, tangent = jax.jvp(lambda p: evaluate(ours, p), (params[0],), (jnp.array([0.0, 1.0, 0.0, 0.0]),))
    a, b = params[0, :2]
    np.testing.assert_allclose(tangent, jnp.array([0.0, a, 0.0, a * jnp.cos(a * b)]), rtol=1e-14)


@pytest.mark.usefixtures("x64")
def test_float32_stays_float32_where_float64_is_possible():
    ours = converted(sample(1))
    params = jnp.array(POINT, jnp.float32)
    assert evaluate(ours, params).dtype == jnp.float32
    jaxpr = jax.make_jaxpr(lambda params: evaluate(ours, params))(params)
    assert "f64" not in str(jaxpr)


# Equality by value


@pytest.mark.parametrize("seed", range(10))
def test_expressions_built_separately_are_equal(seed):
    first, second = converted(sample(seed)), converted(sample(seed))
    assert first == second and hash(first) == hash(second) and repr(first) == repr(second)


def test_expressions_are_told_apart():
    a, b, c, d = fresh()
    formulas = [a, b, 2 * a, a + 1, a + b, a - b, a * b, a / b, b / a, a**b, b**a, a**2, a**3, a.sin(), a.cos(), abs(a)]
    formulas += [a * c, a.sin() + 1, 2 * a.sin(), (2 * a).sin(), a * b + c, a * (b + c), 0.5, 2]
    assert len(set(converted(formulas))) == len(formulas)


def test_commuted_operands_are_one_expression():
    a, b, c, d = fresh()
    assert from_qiskit(a * b + c, POSITION) == from_qiskit(c + b * a, POSITION)


def test_names_and_not_uuids_give_the_position():
    x = ParameterVector("x", 3)
    position = {"x[0]": 2, "x[1]": 0, "x[2]": 1}
    assert from_qiskit(x[0] - x[1], position) == Affine(0.0, ((0, -1.0), (2, 1.0)))
    a = Parameter("a")
    assert from_qiskit((a * x[0]).subs({a: x[1]}), position) == from_qiskit(x[0] * x[1], position)


# Algebra


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seed", range(5))
def test_scale_and_add_agree_with_arithmetic(seed):
    ours = converted(sample(seed))
    point = jnp.array(POINT)
    values = evaluate(ours, point)
    np.testing.assert_allclose(evaluate(tuple(scale(e, -0.3) for e in ours), point), -0.3 * values, rtol=1e-14)
    sums = tuple(add(e, f) for e, f in zip(ours, ours[::-1], strict=True))
    np.testing.assert_allclose(evaluate(sums, point), values + values[::-1], rtol=1e-12, atol=1e-12)


def test_scale_and_add_are_those_of_qiskit():
    a, b, c, d = fresh()
    f, g = (a * b).sin() + c, a * b + 1
    ours, theirs = converted([f, g])
    assert scale(ours, 2) == from_qiskit(2 * f, POSITION)
    assert add(ours, theirs) == from_qiskit(f + g, POSITION)
    assert add(ours, Affine(0.0, ())) == scale(ours, 1) == ours
    assert scale(ours, 0) == Affine(0.0, ())
    assert scale(Affine(1.0, ((0, 0.1),)), np.float32(0.5)) == Affine(0.5, ((0, 0.05),))  # in float64
    assert add(Affine(1.0, ((0, 2.0),)), Affine(-1.0, ((0, -2.0), (1, 1.0)))) == Affine(0.0, ((1, 1.0),))


def test_parameters_are_those_that_matter():
    a, b, c, d = fresh()
    assert parameters(from_qiskit(a + 0 * b + 2 * d, POSITION)) == {0, 3}
    assert parameters(from_qiskit((a * b).sin() - c + 0 * d, POSITION)) == {0, 1, 2}
    assert parameters(from_qiskit(0.5, POSITION)) == frozenset()


# Errors


@pytest.mark.parametrize(
    "build, fault",
    [
        (lambda a: 1j * a, r"the constant .*1j"),
        (lambda a: (1j * a).sin(), r"the constant .*1j"),
        (lambda a: 1j * a.sin(), r"the constant .*1j"),
        (lambda a: a + 2j, r"the constant .*2j"),
        (lambda a: (a.log() + a).bind({a: -1.0}), r"the constant .*3\.14"),
        (lambda a: 1.5j, r"the constant .*1\.5j"),
        (lambda a: math.inf, "the constant .*inf"),
        (lambda a: math.nan, "the constant .*nan"),
        (lambda a: 10**400, "too large"),
    ],
)
def test_an_expression_that_is_not_real_is_rejected(build, fault):
    with pytest.raises(
        ValueError, match=f"Expected an expression that is real and finite.*{fault}.*write it with real"
    ):
        from_qiskit(build(Parameter("a")), POSITION)


@pytest.mark.parametrize("build", [lambda p: p, lambda p: 2 * p, lambda p: p.sin()])
def test_an_unknown_parameter_is_rejected(build):
    with pytest.raises(ValueError, match="Expected a parameter among a, b, c, d, got theta: give it a position"):
        from_qiskit(build(Parameter("theta")), POSITION)


@pytest.mark.parametrize("thing", ["a", None, np.ones(2)], ids=repr)
def test_other_types_are_rejected(thing):
    with pytest.raises(TypeError, match="Expected a qiskit ParameterExpression or a real number, got"):
        from_qiskit(thing, POSITION)


@pytest.mark.parametrize("expressions", [(Affine(0.0, ((4, 1.0),)),), (Tape((("sin", Affine(0.0, ((4, 1.0),))),)),)])
def test_too_few_parameters_are_rejected(expressions):
    for f in (lambda params: evaluate(expressions, params), jax.jit(lambda params: evaluate(expressions, params))):
        with pytest.raises(ValueError, match=r"`params` must have at least 5 parameters.*has shape \(4, 2\)"):
            f(jnp.ones((P, 2)))


@pytest.mark.parametrize("code", [13, 15, 21])
def test_an_unknown_operation_is_rejected(code):
    record = SimpleNamespace(op=code, lhs=Parameter("a"), rhs=None)
    with pytest.raises(NotImplementedError, match="Expected arithmetic, got .*bind|Bind the expression to a number"):
        from_qiskit(SimpleNamespace(_qpy_replay=[record]), POSITION)


# What we rely on in Qiskit, and do not in ourselves


def test_the_operations_of_qiskit_are_those_we_know():
    """Fails when a new Qiskit adds, removes or renumbers one: then look at `_read`."""
    names = {
        **{"ADD": "add", "SUB": "subtract", "MUL": "multiply", "DIV": "divide", "POW": "pow"},
        **{"SIN": "sin", "COS": "cos", "TAN": "tan", "ASIN": "asin", "ACOS": "acos", "ATAN": "atan"},
        **{"EXP": "exp", "LOG": "log", "SIGN": "sign", "ABS": "abs", "CONJ": "conj", "GRAD": "-", "SUBSTITUTE": "-"},
        **{"RSUB": "rsubtract", "RDIV": "rdivide", "RPOW": "rpow"},
    }
    theirs = {name: int(getattr(OpCode, name)) for name in dir(OpCode) if name.isupper()}
    assert {name: OPERATIONS[code] for name, code in theirs.items()} == names
    assert sorted(theirs.values()) == list(range(len(OPERATIONS)))


def test_the_replay_of_qiskit_is_as_we_read_it():
    """Fails when a new Qiskit writes its replay differently: then look at `_read`."""
    a, b, c, d = fresh()

    def replay(expression):
        return [(int(r.op), r.lhs, r.rhs) for r in expression._qpy_replay]

    assert replay(a - b) == [(1, a, b)]
    assert replay(a - (b + c)) == [(0, b, c), (18, None, a)]
    assert replay((a + b) / (c * d).sin()) == [(0, a, b), (2, c, d), (5, None, None), (3, None, None)]
    assert replay(2 / a) == [(19, a, 2)]
    assert replay(-a) == [(2, a, -1)]


def test_an_operand_may_be_an_expression():
    a, b, c, d = fresh()
    record = SimpleNamespace(op=2, lhs=a + b, rhs=c.sin())
    assert from_qiskit(SimpleNamespace(_qpy_replay=[record]), POSITION) == from_qiskit((a + b) * c.sin(), POSITION)


def test_the_sign_of_what_is_not_real_is_none():
    """Libraries differ on it: it is NaN, as other values that are not real are."""
    p = Parameter("p")
    expression = from_qiskit(abs((p**0.5).sign()), {"p": 0})
    np.testing.assert_array_equal(evaluate((expression,), jnp.array([[-2.0, 4.0]])), [[np.nan, 1.0]])


def test_the_conjugate_of_a_complex_form_is_its_conjugate():  # Qiskit takes it to the parameters
    a = Parameter("a")
    records = [(2, 1 + 2j, a), (14, None, None), (2, 1 + 2j, a), (0, None, None)]
    replay = [SimpleNamespace(op=op, lhs=lhs, rhs=rhs) for op, lhs, rhs in records]
    assert from_qiskit(SimpleNamespace(_qpy_replay=replay), POSITION) == Affine(0.0, ((0, 2.0),))


def test_a_parameter_needs_no_replay():
    class Symbol:
        name = "b"

        @property
        def _qpy_replay(self):
            raise AssertionError("the replay was read")

    assert from_qiskit(Symbol(), POSITION) == Affine(0.0, ((1, 1.0),))


def test_the_module_does_not_import_qiskit():
    nodes = ast.walk(ast.parse(inspect.getsource(expressions)))
    imported = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    imported += [n.module for n in ast.walk(ast.parse(inspect.getsource(expressions))) if isinstance(n, ast.ImportFrom)]
    assert imported and not any(name.startswith("qiskit") for name in imported)
