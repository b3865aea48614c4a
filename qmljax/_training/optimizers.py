"""Optimisers of quantum circuits as optax transformations.

`natural_gradient` turns a gradient by the geometry of the states, and is chained with a step size, such as
``optax.sgd(0.1)``. `rotosolve` minimises over one weight after the other in closed form and needs none.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from qmljax._checks import check_count, check_number
from qmljax._circuit.expressions import Affine, parameters
from qmljax._circuit.program import Angle, Op, Program
from qmljax._engine.state import PRECISION


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
    check_signature(metric, "metric", "weights -> (W, W)")
    check_number(damping, "damping")
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


def check_signature(function: Any, name: str, signature: str) -> None:
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
    check_count(degree, "degree")
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
