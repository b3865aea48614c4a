"""Optimisers of quantum circuits as optax transformations.

`natural_gradient` turns a gradient by the geometry of the states; `spsa` and `qnspsa` estimate one from a few values of
the loss, for backends where a gradient is costly; all three are chained with a step size, such as ``optax.sgd(0.1)``.
`rotosolve` minimises over one weight after the other in closed form and needs none.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from qmljax._circuit.expressions import Affine, parameters
from qmljax._circuit.program import Angle, Op, Program
from qmljax._engine.state import PRECISION
from qmljax._training.checks import check_key, is_count, is_number


def natural_gradient(
    metric: Callable[[Any], Array], damping: float = 1e-3, blocks: Sequence[Sequence[int]] | None = None
) -> optax.GradientTransformation:
    """Turns a gradient g into the natural one, the solution of ``(G(weights) + damping) d = g``.

    Args:
        metric: ``weights -> (W, W)``, symmetric and positive semidefinite, such as `metric_tensor` of a circuit without
            inputs. The W weights of a pytree are counted in the order of `jax.flatten_util.ravel_pytree`.
        damping: Added to the diagonal, at least 0. With 0 the pseudo-inverse is taken.
        blocks: Groups of weights, such as those of one layer each, for a block-diagonal metric: only entries between
            two weights of a group are kept. Default: all entries.

    Returns:
        An optax transformation; chain it with a step size.

    Raises:
        ValueError: `damping` is negative, or `blocks` overlap.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes
        >>> import qmljax as qj
        >>> circuit = real_amplitudes(2, reps=1)
        >>> optimizer = optax.chain(qj.natural_gradient(qj.metric_tensor(circuit)), optax.sgd(0.1))
        >>> weights = jnp.ones(4)
        >>> gradient = jax.grad(qj.expectation(circuit, "ZZ"))(weights)
        >>> updates, _ = optimizer.update(gradient, optimizer.init(weights), weights)
        >>> updates.shape
        (4,)

    References:
        J. Stokes, J. Izaac, N. Killoran, G. Carleo, "Quantum Natural Gradient", Quantum 4, 269 (2020), equation (13).
    """
    _check_function(metric, "metric", "weights -> (W, W)")
    if not is_number(damping) or not 0 <= damping < math.inf:
        raise ValueError(f"`damping` must be at least 0, but is {damping!r}. Pass a number, such as 1e-3.")
    groups = None if blocks is None else _groups(blocks)
    largest = max((k for group in groups or () for k in group), default=-1)

    def update(gradient: Any, state: Any, weights: Any = None) -> tuple[Any, Any]:
        flat, restore = ravel_pytree(gradient)
        if largest >= len(flat):
            raise ValueError(
                f"`blocks` must name weights from 0 to {len(flat) - 1}, as there are {len(flat)}, but name {largest}."
            )
        matrix = jnp.asarray(metric(weights), flat.dtype)
        if matrix.shape != 2 * flat.shape:
            raise ValueError(
                f"`metric` must give a matrix of shape {2 * flat.shape} for {len(flat)} weights, but gives shape "
                f"{matrix.shape}."
            )
        if groups is not None:
            mask = np.eye(len(flat), dtype=bool)
            for group in groups:
                mask[np.ix_(group, group)] = True
            matrix = jnp.where(mask, matrix, jnp.zeros_like(matrix))
        return restore(_solve(matrix, flat, damping)), state

    return optax.GradientTransformation(lambda weights: optax.EmptyState(), update)


def _groups(blocks: Any) -> list[list[int]]:
    """The blocks as lists of integers."""
    try:
        groups = [[-1 if isinstance(k, bool | np.bool_) else operator.index(k) for k in block] for block in blocks]
    except TypeError:  # no lists, or no integers
        groups = [[-1]]
    named = [k for group in groups for k in group]
    if len(set(named)) != len(named) or min(named, default=0) < 0:
        raise ValueError(
            f"`blocks` must name each weight, from 0 on, at most once, but are {blocks!r}. Pass lists of integers, "
            "such as [[0, 1], [2, 3]]."
        )
    return groups


def _check_function(function: Any, name: str, signature: str) -> None:
    if not callable(function):
        raise TypeError(f"`{name}` must be a function, {signature}, but is {function!r}.")


def _solve(matrix: Array, vector: Array, damping: float) -> Array:
    """The least solution of ``(matrix + damping) d = vector`` for a symmetric matrix."""
    if damping:
        return jax.scipy.linalg.solve(
            matrix + damping * jnp.eye(len(vector), dtype=matrix.dtype), vector, assume_a="pos"
        )
    values, vectors = jnp.linalg.eigh(matrix)
    cutoff = len(vector) * jnp.finfo(matrix.dtype).eps * jnp.abs(values).max()
    inverse = jnp.where(values > cutoff, 1 / jnp.where(values > cutoff, values, 1), 0).astype(matrix.dtype)
    parts = jnp.einsum("ij,i->j", vectors, vector, precision=PRECISION)
    return jnp.einsum("ij,j->i", vectors, inverse * parts, precision=PRECISION)


class SPSAState(NamedTuple):
    """The key of the next step, and the number of steps taken."""

    key: Array
    steps: Array


def spsa(
    key: Array, perturbation: float | optax.Schedule = 0.1, samples: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Simultaneous perturbation stochastic approximation: an estimate of the gradient from two values of the loss.

    The gradient that it is given is not looked at, and `fit` does not compute it. The loss is taken at random points
    ``weights +- perturbation * signs``.

    Args:
        key: A JAX random key.
        perturbation: How far to go, in the units of the weights; a number, or an optax schedule. Spall's is
            ``lambda t: c / (t + 1) ** 0.101``.
        samples: Of how many estimates to take the mean; each costs two values.

    Returns:
        An optax transformation whose `update` needs the argument `value_fn`, as `fit` passes it; chain it with a step
        size. Spall's is ``optax.sgd(lambda t: a / (t + 1 + 10) ** 0.602)``.

    Raises:
        ValueError: `samples` is not positive, or `perturbation` is zero.

    Example:
        >>> import qmljax as qj
        >>> optimizer = optax.chain(qj.spsa(jax.random.key(0)), optax.sgd(0.1))
        >>> weights = jnp.ones(3)
        >>> loss = lambda w: jnp.sum(w**2)
        >>> updates, _ = optimizer.update(weights, optimizer.init(weights), weights, value_fn=loss)
        >>> bool(loss(weights + updates) < loss(weights))
        True

    References:
        J. C. Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient approximation",
        IEEE Trans. Autom. Control 37, 332 (1992), equation (2.2).
    """
    key = _checked_key(key, perturbation, samples)

    def update(gradient: Any, state: SPSAState, weights: Any = None, *, value_fn: Any, **_: Any) -> tuple[Any, Any]:
        flat, restore = ravel_pytree(weights)
        size = _scheduled(perturbation, state.steps, flat.dtype)
        key, own = jax.random.split(state.key)
        signs = jax.random.rademacher(own, (samples, len(flat)), flat.dtype)
        values = jax.vmap(lambda w: value_fn(restore(w)))(flat[None] + size * jnp.concatenate([signs, -signs])).reshape(
            2, samples
        )
        slopes = (values[0] - values[1]) / (2 * size)
        estimate = (slopes[:, None] * signs).mean(axis=0)  # 1 / sign = sign
        return restore(estimate.astype(flat.dtype)), SPSAState(key, state.steps + 1)

    return optax.GradientTransformationExtraArgs(lambda weights: SPSAState(key, jnp.zeros((), jnp.int32)), update)


class QNSPSAState(NamedTuple):
    """The key of the next step, the number of steps taken, and the mean of the estimates of the metric, (W, W)."""

    key: Array
    steps: Array
    metric: Array


def qnspsa(
    fidelity: Callable[[Any, Any], Array],
    key: Array,
    perturbation: float | optax.Schedule = 0.1,
    samples: int = 1,
    damping: float = 1e-3,
) -> optax.GradientTransformationExtraArgs:
    """The natural gradient of SPSA: gradient and metric from two values of the loss and four fidelities.

    Args:
        fidelity: ``(weights, weights) -> ()``, the fidelity of two states: `fidelity` of a circuit with itself.
        key: A JAX random key.
        perturbation: How far to go; a number, or an optax schedule.
        samples: Of how many estimates to take the mean in a step.
        damping: Added to the eigenvalues of the mean metric, all steps together, whose absolute values are taken.

    Returns:
        An optax transformation whose `update` needs the argument `value_fn`, as `fit` passes it; chain it with a step
        size.

    Raises:
        ValueError: `samples` or `damping` is not positive, or `perturbation` is zero.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes
        >>> import qmljax as qj
        >>> circuit = real_amplitudes(2, reps=1)
        >>> optimizer = optax.chain(qj.qnspsa(qj.fidelity(circuit, circuit), jax.random.key(0)), optax.sgd(0.01))
        >>> weights = jnp.ones(4)
        >>> energy = qj.expectation(circuit, "ZZ")
        >>> updates, _ = optimizer.update(weights, optimizer.init(weights), weights, value_fn=energy)
        >>> updates.shape
        (4,)

    References:
        J. Gacon, C. Zoufal, G. Carleo, S. Woerner, "Simultaneous Perturbation Stochastic Approximation of the Quantum
        Fisher Information", Quantum 5, 567 (2021), equations (8) to (13).
    """
    _check_function(fidelity, "fidelity", "(weights, weights) -> ()")
    key = _checked_key(key, perturbation, samples)
    if not is_number(damping) or not 0 < damping < math.inf:
        raise ValueError(f"`damping` must be positive, but is {damping!r}. Pass a number, such as 1e-3.")
    estimate = spsa(key, perturbation, samples)

    def init(weights: Any) -> QNSPSAState:
        flat, _ = ravel_pytree(weights)
        return QNSPSAState(key, jnp.zeros((), jnp.int32), jnp.eye(len(flat), dtype=flat.dtype))

    def update(gradient: Any, state: QNSPSAState, weights: Any = None, *, value_fn: Any, **_: Any) -> tuple[Any, Any]:
        flat, restore = ravel_pytree(weights)
        size = _scheduled(perturbation, state.steps, flat.dtype)
        key, own, others = jax.random.split(state.key, 3)
        gradient, _ = estimate.update(gradient, SPSAState(own, state.steps), weights, value_fn=value_fn)
        first, second = jax.random.rademacher(others, (2, samples, len(flat)), flat.dtype)
        # To leading order F(w, w + s) = 1 - s.G.s, so that these four, with signs + - - +, make -4 s1.G.s2.
        points = flat[None] + size * jnp.concatenate([first + second, first, second - first, -first])
        values = jax.vmap(lambda w: fidelity(weights, restore(w)))(points).reshape(4, samples)
        change = (values[0] - values[1] - values[2] + values[3]) / (2 * size**2)
        outer = jnp.einsum("s,si,sj->ij", change, first, second, precision=PRECISION) / samples
        step = -(outer + outer.T) / 4
        count = (state.steps + 1).astype(flat.dtype)
        mean = (state.metric * count + step.astype(flat.dtype)) / (count + 1)  # the unit matrix is the first estimate
        values, vectors = jnp.linalg.eigh(mean)
        parts = jnp.einsum("ij,i->j", vectors, ravel_pytree(gradient)[0], precision=PRECISION)
        natural = jnp.einsum("ij,j->i", vectors, parts / (jnp.abs(values) + damping), precision=PRECISION)
        return restore(natural), QNSPSAState(key, state.steps + 1, mean)

    return optax.GradientTransformationExtraArgs(init, update)


def _checked_key(key: Any, perturbation: Any, samples: int) -> Array:
    """The key as one that says that it is one, by which `fit` gives the members of an ensemble keys of their own."""
    if not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"`key` must be a JAX random key, such as jax.random.key(0), but is {key!r}.")
    check_key(key, "Members of an ensemble draw by keys of their own already.")
    if not is_count(samples, 1):
        raise ValueError(f"`samples` must be at least 1, but is {samples!r}. Pass an integer.")
    if not callable(perturbation) and (not is_number(perturbation) or not 0 < perturbation < math.inf):
        raise ValueError(
            f"`perturbation` must be positive, but is {perturbation!r}. Pass a number, such as 0.1, or a schedule."
        )
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(jnp.asarray(key))


def _scheduled(value: float | optax.Schedule, count: Array, dtype: Any) -> Array:
    return jnp.asarray(value(count) if callable(value) else value, dtype)


def rotosolve(function: Any, degree: int = 1) -> optax.GradientTransformationExtraArgs:
    """Minimises over one weight after the other, exactly, all of them in one step: sequential minimal optimisation.

    Along each weight an expectation value is a trigonometric polynomial, known from its values at 2 R + 1 points, R
    being the number of its frequencies; 1 for a weight of one rotation gate. No gradient is computed.

    Args:
        function: What the loss is made of: a QNN, or an `expectation`. Its weights, in its order, are what is trained.
        degree: The degree of the loss as a polynomial in the outputs: 1 for an energy, 2 for a mean squared error. For
            other losses, such as a cross-entropy, the minimum is that of an approximation.

    Returns:
        An optax transformation, to be used without a step size, whose `update` needs the argument `value_fn`, as `fit`
        passes it.

    Raises:
        TypeError: `function` has no circuit.
        ValueError: A weight enters an expression that is not affine, or amplitudes, or its frequencies are not
            multiples of a common one; or `degree` is not positive.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes
        >>> import qmljax as qj
        >>> energy = qj.expectation(real_amplitudes(2, reps=1), "ZZ")
        >>> optimizer, weights = qj.rotosolve(energy), jnp.ones(4)
        >>> for _ in range(3):
        ...     updates, _ = optimizer.update(weights, optimizer.init(weights), weights, value_fn=energy)
        ...     weights = weights + updates
        >>> round(float(energy(weights)), 3)
        -1.0

    References:
        M. Ostaszewski, E. Grant, M. Benedetti, "Structure optimization for parameterized quantum circuits", Quantum 5,
        391 (2021), algorithm 1; for several frequencies D. Wierichs, J. Izaac, C. Wang, C. Y.-Y. Lin, "General
        parameter-shift rules for quantum gradients", Quantum 6, 677 (2022), section 3.
    """
    if not isinstance(getattr(function, "program", None), Program):
        raise TypeError(f"`function` must be a QNN or an expectation, not the loss of one, but is {function!r}.")
    if not is_count(degree, 1):
        raise ValueError(f"`degree` must be at least 1, but is {degree!r}. Pass an integer.")
    program = function.program
    places = getattr(function, "weights", tuple(range(program.num_parameters)))
    bases, orders = zip(*(_frequencies(program, k) for k in places), strict=True) if places else ((), (1,))
    order = degree * max(orders)
    points = 2 * order + 1

    def update(gradient: Any, state: Any, weights: Any = None, *, value_fn: Any, **_: Any) -> tuple[Any, Any]:
        flat, restore = ravel_pytree(weights)
        if len(flat) != len(places):
            raise ValueError(f"`weights` must be {len(places)} numbers, those of the circuit, but are {len(flat)}.")

        def along(k: Any, w: Array) -> Array:
            shifts = jnp.asarray(2 * np.pi / points * np.arange(points), w.dtype)
            base = jnp.asarray(np.array(bases), w.dtype)[k]
            values = jax.vmap(lambda shift: value_fn(restore(w.at[k].add(shift / base))))(shifts)
            return w.at[k].add(_lowest(values.astype(w.dtype), order) / base)

        new = jax.lax.fori_loop(0, len(flat), along, flat)
        return restore(new - flat), state

    return optax.GradientTransformationExtraArgs(lambda weights: optax.EmptyState(), update)


def _frequencies(program: Program, parameter: int) -> tuple[float, int]:
    """The common divisor of the frequencies of expectation values in a parameter, and their number."""
    found = [Fraction(0)]  # the greatest frequency of each op; all together may add up
    divisor = Fraction(0)
    for op in program.ops:
        at = [op.angle] if op.table is None or op.kind != "load" else [Angle(int(k), 1.0) for k in op.array[:, 0]]
        for angle in at:
            expression = program.expressions[angle.expression] if angle.expression >= 0 else None
            if expression is None or parameter not in parameters(expression):
                continue
            if op.kind == "load" or not isinstance(expression, Affine):
                into = "amplitudes" if op.kind == "load" else "a formula that is not affine"
                raise ValueError(
                    "`rotosolve` needs weights that are angles of gates, or sums of them, but "
                    f"{program.parameters[parameter]} enters {into}."
                )
            slope = Fraction(abs(dict(expression.terms)[parameter] * angle.scale)).limit_denominator(1 << 16)
            steps = [Fraction(float(step)).limit_denominator(1 << 16) for step in _steps(op)]
            divisor = functools.reduce(_divisor, [slope * step for step in steps], divisor)
            found.append(slope * max(steps))
    total = sum(found)
    if not total:
        return 1.0, 1
    if total / divisor > 64:
        raise ValueError(
            "`rotosolve` needs frequencies that are multiples of a common one, but "
            f"{program.parameters[parameter]} has up to {math.ceil(total / divisor)}. Use a gradient."
        )
    return float(divisor), int(total / divisor)


def _steps(op: Op) -> list[float]:
    """The differences of the eigenvalues of the generator of an op."""
    if op.kind == "ry":
        return [1.0]
    levels = {1.0, -1.0} if op.kind == "phase" and op.qubits else {1.0}
    if op.kind == "diagonal":
        levels = set(op.array.tolist())
    levels |= {0.0} if op.controls else set()
    ordered = sorted(levels)
    return [b - a for k, a in enumerate(ordered) for b in ordered[k + 1 :]] or [0.0]


def _divisor(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _lowest(values: Array, order: int) -> Array:
    """Where a trigonometric polynomial of period 2 pi is lowest, by its values at 2 order + 1 equidistant points.

    Of the places, which repeat, the one next to zero, so that weights do not grow.
    """
    count, grid = 2 * order + 1, 16 * order
    nodes = 2 * np.pi * np.arange(count) / count
    k = np.arange(1, order + 1)
    product = functools.partial(jnp.einsum, precision=PRECISION)
    a = product("kj,j->k", (2 / count * np.cos(np.outer(k, nodes))).astype(values.dtype), values)
    b = product("kj,j->k", (2 / count * np.sin(np.outer(k, nodes))).astype(values.dtype), values)
    n, spacing = k.astype(values.dtype), 2 * np.pi / grid

    def waves(x: Array) -> tuple[Array, Array]:
        angles = x[:, None] * n[None]
        return jnp.cos(angles), jnp.sin(angles)  # (grid, order)

    x = jnp.asarray(spacing * np.arange(grid), values.dtype)
    for _ in range(5):  # Newton's method, from every point of the grid: of two valleys, the grid may mistake the lower
        cos, sin = waves(x)
        slope = product("xk,k->x", cos, n * b) - product("xk,k->x", sin, n * a)
        bend = -product("xk,k->x", cos, n**2 * a) - product("xk,k->x", sin, n**2 * b)
        step = jnp.where(bend > 0, -slope / jnp.where(bend > 0, bend, 1), 0)
        x = x + jnp.clip(step, -spacing, spacing).astype(values.dtype)
    cos, sin = waves(x)
    x = x[jnp.argmin(product("xk,k->x", cos, a) + product("xk,k->x", sin, b))]
    return jnp.where(x > np.pi, x - 2 * np.pi, x)
