"""Local fidelities: one circuit is undone on the state of another, and each qubit is measured."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._circuit.observables import Observable
from qmljax._circuit.undone import undone
from qmljax._engine.plan import plan
from qmljax._engine.run import uncompute
from qmljax._engine.state import PRECISION, square
from qmljax._models import shared
from qmljax._models.compiled import question
from qmljax._models.kernels.kernel import BaseKernel, common_dtype
from qmljax._models.kernels.points import mirrored
from qmljax._models.parts import spread
from qmljax._models.questions import Question, of_expectations
from qmljax._models.shared import fit, fit_rows
from qmljax._progress import CompiledBar


@dataclass(frozen=True, repr=False)
class LocalFidelityKernel(BaseKernel):
    """The mean over qubits of the probability to measure 0 when y's circuit is undone on x's state.

    Call it as ``kernel(x, y=None, *, weights=None)``: points (N, d) and (M, d) give a matrix (N, M).
    """

    num_qubits: int  # idle ones included

    def _question(self) -> Question | None:
        """Of a pair: the mean over qubits of (1 + Z) / 2, which is 1 on those that are idle."""
        touched, total = self.program.num_qubits, self.num_qubits
        terms = (((), 1 - touched / (2 * total)), *((((q, "Z"),), 1 / (2 * total)) for q in range(touched)))
        columns = self.features, self.weights
        others = [tuple(k + self.program.num_parameters for k in each) for each in columns]
        return of_expectations(undone(self.program), (Observable(touched, terms),), (), *columns, *others)

    def _first(self, x: Any, y: Any, weights: Any) -> Array | None:
        gram = self._first_pairs(spread(x, 1), spread(x if y is None else y, 0), weights)
        return gram if y is not None or gram is None else _mirrored(gram)

    def _first_pairs(self, x: Any, y: Any, weights: Any) -> Array | None:
        """Of points (*batch, d), whose batch dimensions broadcast."""
        asked = question(self)
        return None if asked is None else shared.answer(asked, x, weights, y, weights)

    def _fits(self, x: Any, y: Any, weights: Any) -> bool:
        return fit_rows(question(self), len(x) * len(x if y is None else y), self.memory)

    def _pairs_fit(self, x: Any, y: Any, weights: Any) -> bool:
        return fit(question(self), (x, y, weights), self.memory)

    def _trace(self, x: Array, y: Array | None, weights: Array) -> Array:
        dtype = common_dtype(x, y, weights)
        how = plan(self.program, self.features, self.weights, self.memory)
        z = np.arange(1 << self.program.num_qubits)
        zeros = (1 - np.bitwise_count(z) / self.num_qubits).astype(dtype)
        states = self._state_of(x, weights, dtype)

        def column(point: Array) -> Array:
            undone = uncompute(how, weights.astype(dtype)[:, None], point.astype(dtype)[:, None], states)
            return jnp.tensordot(zeros, square(undone), 1, precision=PRECISION)

        points = x if y is None else y
        columns = jax.checkpoint(column)
        gram = lax.map(CompiledBar(len(points)).over(columns) if self.progress else columns, points).T  # (N, M)
        return gram if y is not None else mirrored(gram)

    def _trace_pairs(self, x: Array, y: Array, weights: Array) -> Array:
        dtype = common_dtype(x, y, weights)
        how = plan(self.program, self.features, self.weights, self.memory)
        zeros = (1 - np.bitwise_count(np.arange(1 << self.program.num_qubits)) / self.num_qubits).astype(dtype)

        def some(x: Array, y: Array) -> Array:
            states = self._state_of(x, weights, dtype)
            undone = uncompute(how, weights.astype(dtype)[:, None], y.T, states)
            return jnp.tensordot(zeros, square(undone), 1, precision=PRECISION)

        return self._in_parts(some, x.astype(dtype), y.astype(dtype), copies=16)


_mirrored = jax.jit(mirrored)
