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
from jax import Array

from qmljax._circuit.frames import Signed, signed
from qmljax._circuit.pauli_basis import probabilities
from qmljax._engine.expectations import expectations
from qmljax._engine.outcomes import marginal
from qmljax._engine.plan import plan
from qmljax._engine.readings import StringSums, misread, misread_bits, observables_of, with_parts
from qmljax._engine.run import run
from qmljax._engine.state import square
from qmljax._engine.trajectories import Draws, draw, mean, standard_error, without_slope
from qmljax._models.arguments import check_amplitudes
from qmljax._models.by_name import parameters
from qmljax._models.density import Question
from qmljax._models.parts import in_parts, room


@dataclass(frozen=True)
class Followed:
    """What is asked of a noisy circuit by trajectories. It is static.

    Attributes:
        question: What is read, of which circuit.
        signed: The circuit with signs.
        with_std: Whether standard errors are asked for.
    """

    question: Question
    signed: Signed
    with_std: bool

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

    def __call__(self, params: Any = None) -> Any:
        """The value for parameters (..., P), or a mapping of them, as for `expectation`."""
        program = self.followed.question.noisy.program
        if params is None and not program.parameters:
            params = np.zeros((0,), jnp.result_type(float))
        params = parameters(params, "params", program)
        check_amplitudes(program, params=(range(len(program.parameters)), params))
        found = _run(self.followed, self.draws, self.readout, params)
        return found if self.followed.with_std else found[0]

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
    if with_std and count < 2:
        raise ValueError("A standard error needs at least 2 `trajectories`, but there is 1.")
    if readout is not None and question.sums is not None:
        question = dataclasses.replace(question, sums=with_parts(question.sums))
    followed = Followed(question, signed(question.noisy), with_std)
    constants = [np.clip(probabilities(np.diag(table.array)), 0, None) for table in question.noisy.constants]
    traced = any(isinstance(p, jax.core.Tracer) for p in channels)
    every = [*(without_slope(p) if traced else p for p in channels), *constants]
    sites = [s.channel if s.channel >= 0 else len(channels) + ~s.channel for s in question.noisy.sites]
    return OfTrajectories(followed, _filled(draw(key, every, sites, followed.forms, count)), readout)


def _filled(draws: Draws) -> Draws:
    """Rows filled up to few numbers of them, so that not every number is compiled for."""
    rows = len(draws.counts)
    extra = 0 if isinstance(draws.counts, jax.Array) else room(rows) - rows
    if not extra:
        return draws
    none = np.zeros((extra, draws.parities.shape[1]), np.float32)
    return Draws(
        np.concatenate([draws.parities, none]),
        np.concatenate([draws.counts, np.zeros(extra, np.float32)]),
        draws.errors,
    )


@functools.partial(jax.jit, static_argnums=0)
def _run(followed: Followed, draws: Draws, readout: Any, params: Array) -> tuple[Array, ...]:
    question, dtype, batch = followed.question, params.dtype, params.shape[:-1]
    state = 4 * 2 * dtype.itemsize << question.noisy.program.num_qubits
    rows, count = params.reshape(math.prod(batch), params.shape[-1]), len(draws.counts)
    signs = (1 - 2 * draws.parities).astype(dtype)  # (rows, forms)

    def each(points: Array) -> Array:
        """Values of all trajectories, (points, *out, trajectories), at some points (points, P)."""

        def some(own: Array) -> Array:  # (trajectories, forms) -> (trajectories, points, *out)
            values = _values(followed, points, own, readout)
            return jnp.moveaxis(values, -1, 0)

        size = max(1, question.memory // (state * max(1, len(points))))
        values = some(signs) if count <= size else in_parts(some, signs, size)
        values = jnp.moveaxis(values, 0, -1)
        found = [mean(values, draws), *([standard_error(values, draws)] if followed.with_std else ())]
        return jnp.stack(found, axis=1)

    size = max(1, question.memory // (state * count))
    out = each(rows) if len(rows) <= size else in_parts(each, rows, size)
    return tuple(out[:, k].reshape(*batch, *out.shape[2:]) for k in range(out.shape[1]))


def _values(followed: Followed, points: Array, signs: Array, readout: Any) -> Array:
    """(points, P) and signs of trajectories (rows, forms) -> (points, *out, rows)."""
    question, program = followed.question, followed.signed.program
    count = len(followed.signed.signs)
    original = question.noisy.program.num_parameters
    asked = plan(program, tuple(range(original, original + count)), tuple(range(original)), question.memory)
    state = run(asked, points.T[:, :, None], signs[:, :count].T[:, None, :])
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
    return jnp.moveaxis(marginal(p, question.outcome), 1, 0)
