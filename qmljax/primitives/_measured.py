"""A function that a primitive evaluates, as a JAX function with derivatives by shifts.

JAX sees one operation, a callback, on the arguments of the gates. Its derivative is another one, which returns the
values and the derivatives from one job; the derivative of that takes nested shifts. Arguments come in groups by what
they depend on, so that those which are not differentiated by are not shifted.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from qmljax._circuit.expressions import evaluate, parameters
from qmljax._models.arguments import real_array
from qmljax._models.backend import Part
from qmljax.primitives._shift import Slots, shifts

Rows = Callable[..., tuple[np.ndarray, np.ndarray]]  # (rows, S) -> values and standard errors (rows, K)


@dataclass(frozen=True)
class Spsa:
    """How far and in which random directions a gradient is taken: one of values at two points, whatever its length."""

    step: float
    seed: tuple[int, ...]

    def directions(self, rows: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """A direction of signs for each row, zero but where `moving`; equal rows get equal ones."""
        out = np.zeros_like(rows)
        for row, point in zip(out, rows, strict=True):
            rng = np.random.default_rng([*self.seed, *np.ascontiguousarray(point).view(np.uint32).tolist()])
            row[moving] = rng.choice([-1.0, 1.0], size=len(moving))
        return out


@dataclass(frozen=True, repr=False)
class Measured:
    """`f(params)`: (..., P) -> (..., K), evaluated by `rows`, whose equality is that of the function."""

    slots: Slots
    rows: Rows
    outputs: int
    spsa: Spsa | None

    def __repr__(self) -> str:
        program = self.slots.program
        return f"Measured(parameters={self.slots.num_parameters}, outputs={self.outputs}, qubits={program.num_qubits})"

    def __call__(self, params: Any) -> Array:
        """What is measured for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians.

        Returns:
            Of shape (..., K).
        """
        count = self.slots.num_parameters
        names = [f"parameter {k}" for k in range(count)]
        return self.parts((range(count), jnp.asarray(real_array(params, "params", count, names))))

    def parts(self, *given: Part) -> Array:
        """The same function of parameters in parts, which broadcast. Only what is differentiated by is shifted.

        Args:
            given: Pairs of positions of parameters and their values, (..., positions).

        Returns:
            Of shape (..., K).
        """
        groups, order = self._grouped(given)
        return _derivatives(self, order, (0, ()), groups)[0]

    def with_std(self, *given: Part, merge: Callable[[np.ndarray], np.ndarray] | None = None) -> tuple[Array, Array]:
        """Values and standard errors.

        Args:
            given: Pairs of positions of parameters and their values, (..., positions).
            merge: What adds up probabilities (rows, K) before that, if they are interpreted.

        Returns:
            Two arrays of shape (..., K).
        """
        groups, order = self._grouped(given)
        points, batch = _points(groups, order)
        values, stds = self._evaluate(points, merge)
        values, stds = (a.reshape(*batch, a.shape[-1]) for a in (values, stds))
        return jnp.asarray(values, groups[0].dtype), jnp.asarray(stds, groups[0].dtype)

    def gradient_with_std(self, wrt: int, *given: Part) -> tuple[Array, Array]:
        """The derivatives by the parameters of a part, and their standard errors.

        The shifts of an argument are measured apart from those of every other one, so that their variances add up.

        Args:
            wrt: Which part, by its place.
            given: Pairs of positions of parameters and their values, (..., positions).

        Returns:
            Two arrays of shape (..., K, parameters of the part).
        """
        groups, order = self._grouped(given)
        points, batch = _points(groups, order)
        slopes, errors = self._slopes(points)
        positions, values = given[wrt]
        values = jnp.broadcast_to(values, (*batch, len(positions)))

        def arguments(moved: Array) -> Array:  # (*batch, S)
            groups, order = self._grouped([(p, moved if k == wrt else v) for k, (p, v) in enumerate(given)])
            joined = [jnp.broadcast_to(g, (*batch, g.shape[-1])) for g in groups]
            return jnp.concatenate(joined, axis=-1)[..., np.argsort(np.array(order, int))]

        columns = []
        for k in range(len(positions)):
            tangent = jnp.zeros_like(values).at[..., k].set(1)
            slope = jax.jvp(arguments, (values,), (tangent,))[1]
            columns.append(np.asarray(slope, float).reshape(len(points), slope.shape[-1]))
        chain = np.stack(columns, axis=-1) if columns else np.zeros((*slopes.shape[::2], 0))  # (rows, S, parameters)
        out = np.einsum("rks,rsp->rkp", slopes, chain)
        std = np.sqrt(np.einsum("rks,rsp->rkp", errors**2, chain**2))
        out, std = (a.reshape(*batch, *a.shape[1:]) for a in (out, std))
        return jnp.asarray(out, values.dtype), jnp.asarray(std, values.dtype)

    def _grouped(self, given: Sequence[Part]) -> tuple[tuple[Array, ...], tuple[int, ...]]:
        """The arguments in groups (..., some), by the parts they depend on; and which argument each column is."""
        owner = {int(p): k for k, (positions, _) in enumerate(given) for p in positions}
        members: dict[tuple[int, ...], list[int]] = {}
        for s, expression in enumerate(self.slots.expressions):
            members.setdefault(tuple(sorted({owner[p] for p in parameters(expression)})), []).append(s)
        rank = max((np.ndim(values) - 1 for _, values in given), default=0)
        groups, order = [], []
        for parts, arguments in members.items():
            batch = np.broadcast_shapes(*(given[k][1].shape[:-1] for k in parts))
            pieces: list[Array] = []
            places: list[int] = []
            for k, (positions, values) in enumerate(given):
                piece = values if k in parts else jnp.zeros((len(positions),), values.dtype)
                pieces.append(jnp.broadcast_to(piece, (*batch, len(positions))))
                places.extend(int(p) for p in positions)
            params = jnp.moveaxis(jnp.concatenate(pieces, axis=-1)[..., np.argsort(places)], -1, 0)
            values = jnp.moveaxis(evaluate(tuple(self.slots.expressions[s] for s in arguments), params), 0, -1)
            groups.append(values.reshape(*(1,) * (rank - len(batch)), *values.shape))
            order.extend(arguments)
        whole = np.broadcast_shapes(*(values.shape[:-1] for _, values in given))
        groups = groups or [jnp.zeros((0,), given[0][1].dtype)]
        if np.broadcast_shapes(*(g.shape[:-1] for g in groups)) != whole:  # a batch that no argument depends on
            groups[0] = jnp.broadcast_to(groups[0], (*whole, groups[0].shape[-1]))
        return tuple(groups), tuple(order)

    def _evaluate(
        self, points: np.ndarray, merge: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        if not len(points):
            return np.zeros((0, self.outputs)), np.zeros((0, self.outputs))
        return self.rows(points) if merge is None else self.rows(points, merge)

    def measure(
        self, order: tuple[int, ...], spec: tuple[int, tuple[int, ...]], dtype: Any, groups: Sequence[Any]
    ) -> list[np.ndarray]:
        """What the callback returns: values and derivatives.

        Args:
            order: Which argument each column of the groups is.
            spec: The order of the derivatives, 0 to 2, and the groups of arguments that they are by.
            dtype: Of what is returned.
            groups: The arguments in groups, (..., some).

        Returns:
            Values (..., K), and derivatives (..., K, M), (..., K, M, M) up to that order.
        """
        degree, moving = spec
        points, batch = _points(groups, order)
        if self.spsa is not None and degree:
            results = self._spsa(self.spsa, points, _moved(groups, order, moving))
        else:
            results = self._shifted(points, _moved(groups, order, moving), degree)
        return [a.reshape(*batch, *a.shape[1:]).astype(dtype) for a in results]

    def _shifted(self, points: np.ndarray, moving: tuple[int, ...], degree: int) -> list[np.ndarray]:
        offsets, first, second = shifts(self.slots.frequencies, moving, degree)
        values = self._evaluate(_flat(points[:, None] + offsets))[0]
        values = values.reshape(len(points), len(offsets), self.outputs)
        results = [values[:, 0]]
        for order, (at, *arguments, c) in enumerate((first, second)[:degree], start=1):
            out = np.zeros((*(len(moving),) * order, len(points), values.shape[2]))
            np.add.at(out, tuple(arguments), np.moveaxis(values[:, at], 1, 0) * c[:, None, None])
            results.append(np.moveaxis(out, range(order), range(-order, 0)))
        return results

    def _slopes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives by all arguments and their standard errors, (points, K, S) each."""
        moving = tuple(range(len(self.slots.frequencies)))
        offsets, (at, argument, c), _ = shifts(self.slots.frequencies, moving, 1)
        values, stds = self._evaluate(_flat(points[:, None] + offsets))
        values, stds = (a.reshape(len(points), len(offsets), self.outputs) for a in (values, stds))
        slopes, variances = (np.zeros((len(moving), len(points), values.shape[2])) for _ in range(2))
        np.add.at(slopes, argument, np.moveaxis(values[:, at], 1, 0) * c[:, None, None])
        np.add.at(variances, argument, np.moveaxis(stds[:, at] ** 2, 1, 0) * c[:, None, None] ** 2)
        return np.moveaxis(slopes, 0, -1), np.sqrt(np.moveaxis(variances, 0, -1))

    def _spsa(self, spsa: Spsa, points: np.ndarray, moving: tuple[int, ...]) -> list[np.ndarray]:
        signs = spsa.directions(points, np.array(moving, int))
        three = np.stack([points, points + spsa.step * signs, points - spsa.step * signs], axis=1)
        values = self._evaluate(_flat(three))[0].reshape(len(points), 3, self.outputs)
        slope = (values[:, 1] - values[:, 2]) / (2 * spsa.step)
        return [values[:, 0], slope[:, :, None] * signs[:, None, list(moving)]]


def _flat(points: np.ndarray) -> np.ndarray:
    """(points, evaluations, S) -> (rows, S), S perhaps 0."""
    return points.reshape(len(points) * points.shape[1], points.shape[2])


def _points(groups: Sequence[Any], order: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """All arguments of all points, (points, S) in float64, and the shape of the batch."""
    arrays = [np.asarray(g, float) for g in groups]
    batch = np.broadcast_shapes(*(a.shape[:-1] for a in arrays))
    joined = np.concatenate([np.broadcast_to(a, (*batch, a.shape[-1])) for a in arrays], axis=-1)
    return joined[..., np.argsort(np.array(order, int))].reshape(math.prod(batch), len(order)), batch


def _moved(groups: Sequence[Any], order: tuple[int, ...], moving: tuple[int, ...]) -> tuple[int, ...]:
    """The arguments in the groups `moving`."""
    ends = np.cumsum([0, *(g.shape[-1] for g in groups)])
    return tuple(s for k in moving for s in order[ends[k] : ends[k + 1]])


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _derivatives(
    function: Measured, order: tuple[int, ...], spec: tuple[int, tuple[int, ...]], groups: tuple[Array, ...]
) -> list[Array]:
    """The values of a function and its derivatives, up to the order spec[0], by the arguments of the groups spec[1]."""
    degree, moving = spec
    batch = np.broadcast_shapes(*(g.shape[:-1] for g in groups))
    width, dtype = len(_moved(groups, order, moving)), groups[0].dtype
    shapes = [jax.ShapeDtypeStruct((*batch, function.outputs, *(width,) * k), dtype) for k in range(degree + 1)]
    measure = functools.partial(function.measure, order, spec, dtype)
    if not any(isinstance(g, jax.core.Tracer) for g in groups):  # errors reach the caller as they are
        return [jnp.asarray(a) for a in measure(groups)]
    wide = (2,) if dtype.itemsize == 8 else ()
    of_bits = [jax.ShapeDtypeStruct((*s.shape, *wide), np.uint32) for s in shapes]
    bits = [lax.bitcast_convert_type(g, np.uint32) for g in groups]
    results = jax.pure_callback(_told(_by_bits(measure, dtype)), of_bits, bits, vmap_method="expand_dims")
    return [lax.bitcast_convert_type(r, dtype) for r in results]


def _by_bits(measure: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """`measure` of arrays whose bits come, and go, as integers of 32 bits.

    The thread that calls back does not know of `jax.enable_x64`: it would round, and refuse, what has 64.
    """
    wide = dtype.itemsize == 8

    def callback(bits: Any) -> list[np.ndarray]:
        arrays = [np.ascontiguousarray(b).view(dtype) for b in bits]
        results = [np.ascontiguousarray(r) for r in measure([a[..., 0] if wide else a for a in arrays])]
        return [(r[..., None] if wide else r).view(np.uint32) for r in results]

    return callback


def _told(measure: Callable[..., Any]) -> Callable[..., Any]:
    """The same callback, whose errors come without the frames and causes that JAX would print at length."""

    def callback(groups: Any) -> Any:
        try:
            return measure(groups)
        except Exception as error:
            error.__cause__, error.__suppress_context__ = None, True
            raise error.with_traceback(None)  # noqa: B904  # its cause is left out on purpose

    return callback


@functools.partial(_derivatives.defjvp, symbolic_zeros=True)
def _jvp(
    function: Measured,
    order: tuple[int, ...],
    spec: tuple[int, tuple[int, ...]],
    primals: tuple[tuple[Array, ...]],
    tangents: tuple[tuple[Any, ...]],
) -> tuple[list[Array], list[Array]]:
    (groups,), (changes,) = primals, tangents
    degree, moving = spec
    changing = tuple(k for k, t in enumerate(changes) if type(t) is not SymbolicZero and t.shape[-1])
    if not changing:
        out = _derivatives(function, order, spec, groups)
        return out, [jnp.zeros_like(a) for a in out]
    if function.spsa is not None and degree:
        raise NotImplementedError('SPSA has first derivatives only. Take gradient="parameter_shift" for second ones.')
    if degree == 2:
        raise NotImplementedError("A backend gives first and second derivatives. Take higher ones on the simulator.")
    wider = tuple(sorted({*moving, *changing}))
    full = _derivatives(function, order, (degree + 1, wider), groups)
    columns = {s: k for k, s in enumerate(_moved(groups, order, wider))}
    kept, turned = (np.array([columns[s] for s in _moved(groups, order, g)], int) for g in (moving, changing))
    batch = np.broadcast_shapes(*(g.shape[:-1] for g in groups))
    change = jnp.concatenate([jnp.broadcast_to(changes[k], (*batch, changes[k].shape[-1])) for k in changing], axis=-1)
    out, slopes = [], []
    for k in range(degree + 1):
        here, next_ = full[k], full[k + 1]
        for axis in range(k):
            here, next_ = (jnp.take(a, kept, axis=len(batch) + 1 + axis) for a in (here, next_))
        next_ = jnp.take(next_, turned, axis=-1)
        direction = change.reshape(*batch, *(1,) * (k + 1), len(turned))
        out.append(here)
        slopes.append(jnp.sum(next_ * direction, axis=-1))
    return out, slopes
