"""What finitely many shots give instead of exact values: drawn from their distribution, in compiled code."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.program import Program, Table
from qmljax._engine.expectations import expectations
from qmljax._engine.outcomes import binomial, marginal, sample_index
from qmljax._engine.plan import MEMORY, plan
from qmljax._engine.readings import (
    StringSums,
    misread,
    misread_bits,
    observables_of,
)
from qmljax._engine.run import run
from qmljax._engine.state import square
from qmljax._forgetting import forgetful_jit
from qmljax._meshes import devices, on_meshes, rows
from qmljax._models.arguments import check_amplitudes
from qmljax._models.backend import Part
from qmljax._models.by_name import parameters
from qmljax._models.interpret import Merge, interpreted
from qmljax._models.parts import in_parts
from qmljax._models.slots import Slots, slots


@dataclass(frozen=True)
class Measurement:
    """What is measured. It is static.

    Attributes:
        program: On which circuit.
        sums: Pauli strings, if expectation values are.
        qubits: The qubits, if outcomes are.
        shots: How often.
        gradient: How derivatives are taken.
    """

    program: Program
    sums: StringSums | None
    qubits: tuple[int, ...]
    shots: int
    gradient: str


@dataclass(frozen=True, repr=False, eq=False)
class OfShots:
    """`f(params)`: (..., P) -> what is measured (..., *out)."""

    measurement: Measurement
    key: Any
    readout: Any

    def __call__(self, params: Any) -> Array:
        """What is measured for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.

        Returns:
            Of shape (..., *out), as what made the function says.

        Raises:
            TypeError: The parameters are not real.
            ValueError: They have another shape, or a row of amplitudes is zero.
        """
        program = self.measurement.program
        params = parameters(params, "params", program)
        check_amplitudes(program, params=(range(len(program.parameters)), params))
        return self.parts((range(program.num_parameters), params))

    def parts(self, *given: Part) -> Array:
        """The same function of parameters in parts, which broadcast. Only what is differentiated by is shifted.

        Args:
            given: Pairs of positions of parameters and their values, (..., positions).

        Returns:
            Of shape (..., *out).
        """
        positions = tuple(tuple(p) for p, _ in given)
        return _measured(self.measurement, positions, self.key, self.readout, *(jnp.asarray(v) for _, v in given))

    def with_std(self, *given: Part, merge: Merge | None = None) -> tuple[Array, Array]:
        """What a model asks for: what is measured, of parameters in parts, and standard errors that its counts tell.

        Args:
            given: Pairs of positions of parameters and their values, (..., positions).
            merge: How outcomes are interpreted, if they are.

        Returns:
            Two arrays of shape (..., *out).

        Raises:
            ValueError: There is a single shot.
        """
        self._check_spread()
        positions = tuple(tuple(p) for p, _ in given)
        return _with_std(
            self.measurement, positions, merge, self.key, self.readout, *(jnp.asarray(v) for _, v in given)
        )

    def gradient_with_std(self, wrt: int, *given: Part) -> tuple[Array, Array]:
        """The derivatives by the parameters of a part, and their standard errors.

        Args:
            wrt: Which part, by its place.
            given: Pairs of positions of parameters and their values, (..., positions).

        Returns:
            Two arrays of shape (..., *out, parameters of the part).

        Raises:
            ValueError: There is a single shot, or derivatives are exact.
        """
        self._check_spread()
        if self.measurement.gradient == "exact":
            raise ValueError('Derivatives of exact values have no standard errors. Those of gradient="shift" have.')
        positions = tuple(tuple(p) for p, _ in given)
        return _slopes(self.measurement, positions, wrt, self.key, self.readout, *(jnp.asarray(v) for _, v in given))

    def _check_spread(self) -> None:
        if self.measurement.shots < 2:
            raise ValueError("A standard error needs at least 2 `shots`, but there is 1.")

    def __repr__(self) -> str:
        program = self.measurement.program
        return f"OfShots({self.measurement.shots}, parameters={program.num_parameters}, qubits={program.num_qubits})"


@functools.partial(forgetful_jit, static_argnums=(0, 1))
@functools.partial(on_meshes, leading=lambda key, errors, *given: rows(*given), skip=2)
def _measured(measurement: Measurement, positions: Any, key: Array, errors: Any, *given: Array) -> Array:
    dtype = jnp.result_type(*given)
    errors = None if errors is None else jnp.asarray(errors, dtype)
    return _out(measurement, _strings(measurement, positions, key, errors, *given))


def _strings(measurement: Measurement, positions: Any, key: Array, errors: Any, *given: Array) -> Array:
    """What is measured of strings (..., S), or of outcomes (..., 2**k)."""
    if measurement.gradient == "exact":
        exact = _exact(measurement, measurement.program, errors, _together(measurement, positions, given))
        return _noisy(measurement, key, exact)
    still = jnp.zeros(len(slots(measurement.program).angles), jnp.result_type(*given))
    return _shifted(measurement, positions, key, errors, still, *given)


@functools.partial(forgetful_jit, static_argnums=(0, 1, 2))
@functools.partial(on_meshes, leading=lambda key, errors, *given: rows(*given), skip=3)
def _with_std(
    measurement: Measurement, positions: Any, merge: Merge | None, key: Array, errors: Any, *given: Array
) -> tuple[Array, Array]:
    errors = None if errors is None else jnp.asarray(errors, jnp.result_type(*given))
    values = _strings(measurement, positions, key, errors, *given)
    if merge is not None:
        values = jnp.moveaxis(interpreted(jnp.moveaxis(values, -1, 0), merge.index, merge.shape), 0, -1)
    return _out(measurement, values), _root(_variance(measurement, values))


def _variance(measurement: Measurement, values: Array) -> Array:
    """Of what is measured, as its counts tell it, without bias: of strings (..., S), or of frequencies."""
    if measurement.sums is None:
        return values * (1 - values) / (measurement.shots - 1)
    sums = measurement.sums
    squares = dataclasses.replace(sums, coefficients=Table(sums.coefficients.array**2))  # each string has its own run
    return _out(dataclasses.replace(measurement, sums=squares), (1 - values**2) / (measurement.shots - 1))


@functools.partial(forgetful_jit, static_argnums=(0, 1, 2))
@functools.partial(on_meshes, leading=lambda key, errors, *given: rows(*given), skip=3)
def _slopes(
    measurement: Measurement, positions: Any, wrt: int, key: Array, errors: Any, *given: Array
) -> tuple[Array, Array]:
    """Derivatives by shifts in the parameters of one part, (..., *out, parameters), and their standard errors."""
    dtype, taken = jnp.result_type(*given), slots(measurement.program)
    errors = None if errors is None else jnp.asarray(errors, dtype)
    batch = np.broadcast_shapes(*(values.shape[:-1] for values in given))
    own = jnp.broadcast_to(given[wrt], (*batch, given[wrt].shape[-1]))

    def angles(moved: Array) -> Array:
        return taken.of(_together(measurement, positions, [*given[:wrt], moved, *given[wrt + 1 :]]))

    units = jnp.eye(own.shape[-1], dtype=own.dtype)
    along = jax.vmap(lambda unit: jax.jvp(angles, (own,), (jnp.broadcast_to(unit, own.shape),))[1])(units)
    slot, shifts, factors = _shifts(taken, taken.used(positions[wrt]))
    offset = shifts.reshape(len(slot), *(1,) * len(batch), -1).astype(dtype)
    strings = _noisy(measurement, key, _exact(measurement, taken.program, errors, _added(angles(own), offset)))
    weights = along[..., slot]
    weights = weights * factors.reshape(*(1,) * (weights.ndim - 1), -1).astype(dtype)  # (parameters, ..., shifts)
    chained = functools.partial(jnp.einsum, "r...k,w...r->...kw", precision=lax.Precision.HIGHEST)
    variance = chained(_variance(measurement, strings), weights**2)  # each shift has shots of its own
    return chained(_out(measurement, strings), weights), _root(variance)


def _root(variance: Array) -> Array:
    """Standard errors, whose slope is finite where there is none."""
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)


def _together(measurement: Measurement, positions: Any, given: Sequence[Array]) -> Array:
    """Parts of the parameters as (..., P)."""
    batch = np.broadcast_shapes(*(values.shape[:-1] for values in given))
    params = jnp.zeros((*batch, measurement.program.num_parameters), jnp.result_type(*given))
    for at, values in zip(positions, given, strict=True):
        own = jnp.broadcast_to(values, (*batch, len(at))).astype(params.dtype)
        params = params.at[..., np.array(at, int)].set(own)
    return params


def _exact(measurement: Measurement, program: Program, errors: Any, params: Array) -> Array:
    """Parameters (..., P) to exact values of strings (..., S), or probabilities (..., 2**k), with errors of readout."""
    batch = params.shape[:-1]

    def each(rows: Array) -> Array:
        columns = rows.T
        state = run(plan(program), columns, columns[:0])
        state = jnp.broadcast_to(state, (*state.shape[:2], len(rows)))
        if measurement.sums is not None:
            values = expectations(observables_of(measurement.sums), state)
            return (values if errors is None else misread(values[:, None], measurement.sums, errors)[:, 0]).T
        values = marginal(square(state), measurement.qubits)
        return (values if errors is None else misread_bits(values, errors)).T

    rows = params.reshape(math.prod(batch), params.shape[-1])
    size = max(1, MEMORY // (16 * params.dtype.itemsize << program.num_qubits))  # running states takes some copies
    values = each(rows) if len(rows) <= size * devices() else in_parts(each, rows, size)
    return values.reshape(*batch, values.shape[-1])


def _noisy(measurement: Measurement, key: Array, exact: Array) -> Array:
    """What is measured instead of exact values; its derivatives are theirs."""
    fixed = lax.stop_gradient(exact)
    key = _key_of(key, fixed)
    if measurement.sums is not None:
        chance = jnp.clip((1 + fixed) / 2, 0, 1)
        drawn = 2 * binomial(key, measurement.shots, chance) / measurement.shots - 1
        drawn = jnp.where(jnp.abs(fixed) >= 1, jnp.sign(fixed), drawn)
        return exact + jnp.where(jnp.isnan(fixed), 0, drawn - fixed)
    drawn = _counts(fixed.reshape(-1, fixed.shape[-1]), key, measurement.shots).reshape(fixed.shape)
    drawn = drawn.astype(fixed.dtype) / measurement.shots
    return exact + jnp.where(jnp.isnan(fixed), 0, drawn - fixed)


def _counts(p: Array, key: Array, shots: int) -> Array:
    """How often each outcome of distributions (rows, 2**k) is drawn, by as many rows at a time as fit."""

    def some(p: Array, key: Array) -> Array:
        outcomes = sample_index(p, key, shots)  # (rows, shots)
        counts = jnp.zeros(p.shape, np.int32)  # float32 cannot count beyond 2**24
        return counts.at[np.arange(len(p))[:, None], outcomes].add(np.int32(1))

    size = max(1, MEMORY // (16 * shots))
    if len(p) <= size:
        return some(p, key)
    padded = jnp.pad(p, ((0, -len(p) % size), (0, 0)), mode="edge").reshape(-1, size, p.shape[1])
    found = lax.map(lambda part: some(*part), (padded, jax.random.split(key, len(padded))))
    return found.reshape(-1, p.shape[1])[: len(p)]


def _key_of(key: Array, values: Array) -> Array:
    """A key of its own for each question: the noise depends on the exact values."""
    bits = lax.bitcast_convert_type(values.astype(np.float32), np.uint32)
    weights = np.arange(1, bits.size + 1, dtype=np.uint32).reshape(bits.shape) * np.uint32(2654435761)
    return jax.random.fold_in(key, jnp.sum(bits * weights, dtype=np.uint32))


def _out(measurement: Measurement, values: Array) -> Array:
    """Strings (..., S) to the values of observables (..., *shape)."""
    if measurement.sums is None:
        return values
    out = measurement.sums.of_strings(jnp.moveaxis(values, -1, 0))
    count = len(measurement.sums.shape)
    return jnp.moveaxis(out, range(count), range(out.ndim - count, out.ndim))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _shifted(measurement: Measurement, positions: Any, key: Array, errors: Any, offset: Array, *given: Array) -> Array:
    """What is measured at parameters in parts, the angles being offset (..., S); derivatives in them are by shifts."""
    taken = slots(measurement.program)
    angles = _added(taken.of(_together(measurement, positions, given)), offset)
    return _noisy(measurement, key, _exact(measurement, taken.program, errors, angles))


def _added(a: Any, b: Any) -> Any:
    """The sum of arrays whose first axes broadcast."""
    rank = max(a.ndim, b.ndim)
    left, right = (x.reshape(*(1,) * (rank - x.ndim), *x.shape) for x in (a, b))
    return left + right


@functools.partial(_shifted.defjvp, symbolic_zeros=True)
def _shifted_jvp(measurement: Measurement, positions: Any, primals: Any, tangents: Any) -> tuple[Array, Any]:
    key, errors, offset, *given = primals
    taken, out = slots(measurement.program), _shifted(measurement, positions, *primals)
    moving = [k for k, t in enumerate(tangents[3:]) if not isinstance(t, jax.custom_derivatives.SymbolicZero)]
    which = np.unique(np.concatenate([taken.used(positions[k]) for k in moving] or [np.zeros(0, int)]))
    slope = jnp.zeros_like(out)
    if errors is not None and not isinstance(tangents[1], jax.custom_derivatives.SymbolicZero):  # which no shift gives
        still = _added(taken.of(_together(measurement, positions, given)), offset)
        slope = jax.jvp(lambda e: _exact(measurement, taken.program, e, still), (errors,), (tangents[1],))[1]
    if not len(which):
        return out, slope

    def angles(*some: Array) -> Array:
        every = list(given)
        for k, values in zip(moving, some, strict=True):
            every[k] = values
        return taken.of(_together(measurement, positions, every))

    direction = jax.jvp(angles, [given[k] for k in moving], [tangents[3 + k] for k in moving])[1]  # (..., S)
    ones = (1,) * (out.ndim - 1)  # of the batch, and of offsets of a derivative that this is nested in
    direction = direction.reshape(*ones[direction.ndim - 1 :], *direction.shape)
    slot, shifts, factors = _shifts(taken, which)
    moved = _added(offset, shifts.reshape(len(slot), *ones, -1).astype(offset.dtype))
    values = _shifted(measurement, positions, key, errors, moved, *given)
    along = jnp.moveaxis(direction[..., slot], -1, 0) * factors.reshape(-1, *ones).astype(offset.dtype)
    return out, slope + jnp.sum(along[..., None] * values, axis=0)


def _shifts(taken: Slots, which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each shift of the rules of some angles: which one it is, the shifts of all angles (R, S), and its factor."""
    at, rule = np.nonzero(np.array(taken.factors)[which])
    slot = which[at]
    shifts = np.zeros((len(slot), len(taken.angles)))
    shifts[np.arange(len(slot)), slot] = np.array(taken.shifts)[slot, rule]
    return slot, shifts, np.array(taken.factors)[slot, rule]
