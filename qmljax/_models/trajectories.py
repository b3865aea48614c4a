"""Functions of noisy circuits by trajectories: a batch of statevectors, whose angles have signs."""

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

from qmljax._circuit.frames import Signed, signed
from qmljax._circuit.pauli_basis import probabilities
from qmljax._engine.expectations import expectations
from qmljax._engine.outcomes import marginal
from qmljax._engine.plan import plan
from qmljax._engine.readings import StringSums, misread, misread_bits, observables_of, with_parts
from qmljax._engine.run import run
from qmljax._engine.state import square
from qmljax._engine.trajectories import Draws, draw, mean, standard_error, without_slope
from qmljax._forgetting import forgetful_jit
from qmljax._meshes import devices, on_meshes, rows
from qmljax._models.arguments import check_amplitudes
from qmljax._models.backend import Part, of_parts
from qmljax._models.by_name import parameters
from qmljax._models.density import Question
from qmljax._models.interpret import Merge, interpreted
from qmljax._models.parts import in_parts, room


@dataclass(frozen=True)
class Followed:
    """What is asked of a noisy circuit by trajectories. It is static.

    Attributes:
        question: What is read, of which circuit.
        signed: The circuit with signs.
        with_std: Whether standard errors are asked for.
        merge: What outcomes are interpreted as.
        slopes: The parameters that derivatives are asked for by, instead of values.
    """

    question: Question
    signed: Signed
    with_std: bool
    merge: Merge | None = None
    slopes: tuple[int, ...] | None = None

    @property
    def strings(self) -> StringSums:
        """The Pauli strings that are read; with every part of them, if readout may lose letters."""
        assert self.question.sums is not None
        return self.question.sums

    @property
    def forms(self) -> tuple[int, ...]:
        """The sums of bits of noise that matter: of signs of angles, then of strings or of flips of outcomes."""
        if self.question.kind == "expectation":
            return self.signed.signs + tuple(map(self.signed.of_string, self.strings.letters.array))
        return self.signed.signs + tuple(self.signed.frames[q][0] for q in self.question.qubits)


@dataclass(frozen=True, repr=False, eq=False)
class OfTrajectories:
    """`f(params)`: (..., P) -> (..., *out), the mean over trajectories; and its standard error, if asked for."""

    followed: Followed
    draws: Draws
    readout: Any
    count: int  # of trajectories that were drawn

    def __call__(self, params: Any = None) -> Any:
        """The value for parameters.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.

        Returns:
            Of shape (..., *out); two of those if standard errors were asked for.

        Raises:
            TypeError: They are not real.
            ValueError: They have another shape, or a row of amplitudes is zero.
        """
        program = self.followed.question.noisy.program
        if params is None and not program.parameters:
            params = np.zeros((0,), jnp.result_type(float))
        params = parameters(params, "params", program)
        check_amplitudes(program, params=(range(len(program.parameters)), params))
        found = _run(self.followed, self.draws, self.readout, params)
        return found if self.followed.with_std else found[0]

    def with_std(self, *given: Part, merge: Merge | None = None) -> tuple[Array, Array]:
        """What a model asks for: values and their standard errors, of parameters in parts, which broadcast."""
        check_spread(self.count)
        followed = dataclasses.replace(self.followed, with_std=True, merge=merge)
        value, std = _run(followed, self.draws, self.readout, of_parts(lambda params: params, *given))
        return value, std

    def gradient_with_std(self, wrt: int, *given: Part) -> tuple[Array, Array]:
        """The derivatives by the parameters of the part `wrt`, (..., *out, parameters), and their standard errors."""
        check_spread(self.count)
        asked = tuple(int(p) for p in given[wrt][0])
        followed = dataclasses.replace(self.followed, with_std=True, slopes=asked)
        slopes, std = _run(followed, self.draws, self.readout, of_parts(lambda params: params, *given))
        return slopes, std

    def __repr__(self) -> str:
        question, rows = self.followed.question, len(self.draws.counts)
        program = question.noisy.program
        return (
            f"OfTrajectories({question.kind}, parameters={program.num_parameters}, qubits={program.num_qubits}, "
            f"trajectories={rows})"
        )


def of_trajectories(
    question: Question, channels: Sequence[Any], readout: Any, key: Array, count: int, with_std: bool
) -> OfTrajectories:
    """Draws trajectories, and makes the function that follows them.

    Args:
        question: What is read.
        channels: The probabilities of Pauli strings, (4**k,), of each channel of the noise model.
        readout: Matrices P[true][read], or None.
        key: A JAX random key.
        count: How many trajectories.
        with_std: Whether to give standard errors.
    """
    if with_std:
        check_spread(count)
    if readout is not None and question.sums is not None:
        question = dataclasses.replace(question, sums=with_parts(question.sums))
    followed = Followed(question, signed(question.noisy), with_std)
    constants = [np.clip(probabilities(np.diag(table.array)), 0, None) for table in question.noisy.constants]
    traced = any(isinstance(p, jax.core.Tracer) for p in channels)
    every = [*(without_slope(p) if traced else p for p in channels), *constants]
    sites = [s.channel if s.channel >= 0 else len(channels) + ~s.channel for s in question.noisy.sites]
    return OfTrajectories(followed, _filled(draw(key, every, sites, followed.forms, count)), readout, count)


def check_spread(count: int) -> None:
    """Refuses to say how far a single trajectory is from others."""
    if count < 2:
        raise ValueError("A standard error needs at least 2 `trajectories`, but there is 1.")


def _filled(draws: Draws) -> Draws:
    """More rows, which count nothing: few numbers of those that are there, so that not every number is compiled for.

    Those that are drawn in the program become a multiple of 8: XLA compiles loops over an odd number for half as long
    again, since it unrolls what is left over.
    """
    rows, traced = len(draws.counts), isinstance(draws.counts, jax.Array)
    extra = -rows % 8 if traced else room(rows) - rows
    if not extra:
        return draws
    xp: Any = jnp if traced else np
    none = np.zeros((extra, draws.parities.shape[1]), np.float32)
    counts = xp.concatenate([draws.counts, np.zeros(extra, np.float32)])
    return Draws(xp.concatenate([draws.parities, none]), counts, draws.errors)


@functools.partial(forgetful_jit, static_argnums=0)
@functools.partial(on_meshes, leading=lambda draws, readout, params: rows(params), skip=1)
def _run(followed: Followed, draws: Draws, readout: Any, params: Array) -> tuple[Array, ...]:
    question, dtype, batch = followed.question, params.dtype, params.shape[:-1]
    state = 4 * 2 * dtype.itemsize << question.noisy.program.num_qubits
    if followed.slopes is not None:
        state += 8 * dtype.itemsize * params.shape[-1]  # of each trajectory its own parameters
    rows, count = params.reshape(math.prod(batch), params.shape[-1]), len(draws.counts)
    signs = (1 - 2 * draws.parities).astype(dtype)  # (rows, forms)

    def each(points: Array) -> Array:
        """Values of all trajectories, (points, *out, trajectories), at some points (points, P)."""

        def some(own: Array) -> Array:  # (trajectories, forms) -> (trajectories, points, *out)
            if followed.slopes is None:
                values = _values(followed, points.T[:, :, None], own, readout)
            else:
                values = _slopes(followed, followed.slopes, points, own, readout)
            return jnp.moveaxis(values, -1, 0)

        size = max(1, question.memory // (state * max(1, len(points))))
        values = some(signs) if count <= size * devices() else in_parts(some, signs, size)
        values = jnp.moveaxis(values, 0, -1)
        found = [mean(values, draws), *([standard_error(values, draws)] if followed.with_std else ())]
        return jnp.stack(found, axis=1)

    size = max(1, question.memory // (state * count))
    out = each(rows) if len(rows) <= size * devices() else in_parts(each, rows, size)
    return tuple(out[:, k].reshape(*batch, *out.shape[2:]) for k in range(out.shape[1]))


def _slopes(followed: Followed, wrt: tuple[int, ...], points: Array, signs: Array, readout: Any) -> Array:
    """The derivatives of each trajectory, (points, *out, parameters, rows)."""
    which = np.array(wrt, int)
    whole = jnp.broadcast_to(points.T[:, :, None], (points.shape[1], len(points), len(signs)))
    values, back = jax.vjp(lambda own: _values(followed, whole.at[which].set(own), signs, readout), whole[which])
    out = values.shape[1:-1]
    units = jnp.eye(math.prod(out), dtype=values.dtype).reshape(-1, *out)
    # Every trajectory has parameters of its own, so the derivatives of their sum are those of each.
    found = lax.map(lambda unit: back(jnp.broadcast_to(unit[None, ..., None], values.shape))[0], units)
    return jnp.transpose(found, (2, 0, 1, 3)).reshape(len(points), *out, len(which), len(signs))


def _values(followed: Followed, columns: Array, signs: Array, readout: Any) -> Array:
    """Parameters (P, points, rows or 1) and signs of trajectories (rows, forms) -> (points, *out, rows)."""
    question, program = followed.question, followed.signed.program
    count, original = len(followed.signed.signs), question.noisy.program.num_parameters
    asked = plan(program, tuple(range(original, program.num_parameters)), tuple(range(original)), question.memory)
    state = run(asked, columns, followed.signed.values(columns, signs[:, :count].T[:, None, :]))
    own = signs[:, count:].T  # (forms, rows)
    if question.kind == "expectation":
        strings = expectations(observables_of(followed.strings), state) * own[:, None]  # (S, points, rows)
        if readout is not None:
            strings = misread(strings, followed.strings, jnp.asarray(readout, strings.dtype))
        values = followed.strings.of_strings(strings)  # (*shape, points, rows)
        return jnp.moveaxis(values, -2, 0)
    p = marginal(square(state), question.qubits)  # (2**k, points, rows)
    flips = jnp.sum((1 - own) / 2 * (2.0 ** np.arange(len(own), dtype=own.dtype))[:, None], axis=0).astype(np.int32)
    outcome = np.arange(len(p))[:, None] ^ flips[None]
    p = jnp.take_along_axis(p, jnp.broadcast_to(outcome[:, None], p.shape), axis=0)
    if readout is not None:
        p = misread_bits(p, jnp.asarray(readout, p.dtype))
    p = marginal(p, question.outcome)
    if followed.merge is not None:
        p = interpreted(p, followed.merge.index, followed.merge.shape)
    return jnp.moveaxis(p, 1, 0)
