"""A circuit as a function of the angles of its operations, which the parameter-shift rule turns one by one.

The derivative of an expectation value in an angle a of exp(i a G) is a sum of its values at shifted angles; which, the
differences of the eigenvalues of G tell: one difference r takes two of them, r and 2 r four
(Anselmetti et al., New J. Phys. 23, 113010 (2021), eq. 7).
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit.expressions import Affine, Expression, evaluate, parameters, scale
from qmljax._circuit.program import Angle, Op, Program

_ROOT = np.sqrt(2.0)
FOUR = (((1 + _ROOT) / (4 * _ROOT), 1), (-(_ROOT - 1) / (4 * _ROOT), 3))  # (factor, quarter turns), of r and 2 r


@dataclass(frozen=True)
class Slots:
    """A circuit whose parameters are the angles of its operations.

    Attributes:
        program: The circuit, with one parameter for each angle that is no number.
        angles: The angles, as expressions of the parameters of the original circuit.
        shifts: Of each angle the shifts of its rule and their factors, (S, 4) each, filled up by zeros.
        factors: See `shifts`.
    """

    program: Program
    angles: tuple[Expression, ...]
    shifts: tuple[tuple[float, ...], ...]
    factors: tuple[tuple[float, ...], ...]

    def of(self, params: Array) -> Array:
        """Parameters (..., P) to angles (..., S)."""
        return jnp.moveaxis(evaluate(self.angles, jnp.moveaxis(params, -1, 0)), 0, -1)

    def used(self, positions: Any) -> np.ndarray:
        """Which angles depend on some parameters."""
        among = set(positions)
        return np.array([k for k, angle in enumerate(self.angles) if among & parameters(angle)], int)


@functools.lru_cache(maxsize=256)
def slots(program: Program) -> Slots:
    """Takes a program apart.

    Raises:
        ValueError: An operation has no rule.
    """
    ops: list[Op] = []
    angles: list[Expression] = []
    rules: list[Any] = []
    for op in program.ops:
        if op.kind == "load":
            raise ValueError(
                'Amplitudes have no parameter-shift rule. Use gradient="exact", or angles instead of amplitudes.'
            )
        if op.angle.expression < 0:
            ops.append(op)
            continue
        rules.append(_rule(op))
        ops.append(op._replace(angle=Angle(len(angles), 1.0)))
        angles.append(scale(program.expressions[op.angle.expression], op.angle.scale))
    names = tuple(f"angle {k}" for k in range(len(angles)))
    own = tuple(Affine(0.0, ((k, 1.0),)) for k in range(len(angles)))
    whole = replace(program, parameters=names, expressions=own, ops=tuple(ops))
    return Slots(whole, tuple(angles), tuple(r[0] for r in rules), tuple(r[1] for r in rules))


def _rule(op: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Four shifts and their factors."""
    if op.kind == "ry":
        gaps = [1.0]
    elif op.kind == "phase":  # the eigenvalues are 1 and -1, and 0 where a control is not met
        gaps = [1.0, 2.0] if op.qubits and op.controls else [2.0] if op.qubits else [1.0]
    else:
        values = np.unique(np.append(op.array, 0.0 if op.controls else op.array[0]).round(12))
        gaps = np.unique(np.abs(values[:, None] - values[None]).round(12))[1:].tolist()
    if not gaps:  # a global phase
        return (0.0,) * 4, (0.0,) * 4
    r = gaps[0]
    if len(gaps) == 1:
        turn = np.pi / (2 * r)
        return (turn, -turn, 0.0, 0.0), (r / 2, -r / 2, 0.0, 0.0)
    if len(gaps) == 2 and abs(gaps[1] - 2 * r) < 1e-9:
        found = [(sign * k * np.pi / (4 * r), sign * factor * 2 * r) for factor, k in FOUR for sign in (1, -1)]
        return tuple(s for s, _ in found), tuple(f for _, f in found)
    raise ValueError(
        f"A diagonal gate on qubits {list(op.qubits)} has {len(gaps)} frequencies, for which there is no "
        'parameter-shift rule here. Use gradient="exact".'
    )
