"""The noun: a quantum neural network is a circuit whose parameters are inputs and weights, `model(weights, x)`.

What depends on weights alone is computed once for a whole batch of inputs, also under the user's own `vmap`. An input
that occurs many times, in expressions with weights (data re-uploading), needs nothing special.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program, Table
from qmljax._engine.outcomes import marginal
from qmljax._engine.plan import plan
from qmljax._engine.run import run
from qmljax._engine.state import square
from qmljax._engine.values import expectations
from qmljax._models.arguments import check_amplitudes, real_array
from qmljax._models.compiled import Compiled, size
from qmljax._models.interpret import interpreted


class Source(NamedTuple):
    """What a model was built from: the whole circuit, and what an estimator reads on it."""

    circuit: Any
    observables: tuple[Observable, ...]


@dataclass(frozen=True, repr=False)
class QNN(Compiled):
    """`model(weights, x)`; `inputs` and `weights` are positions in the program's parameters.

    The outputs are probabilities if `normalised`, and else expectation values.
    """

    program: Program
    inputs: tuple[int, ...]
    weights: tuple[int, ...]
    output_shape: tuple[int, ...]
    memory: int = field(kw_only=True)
    normalised: bool = field(kw_only=True)
    source: Source = field(kw_only=True, compare=False)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_weights(self) -> int:
        return len(self.weights)

    def __call__(self, weights: Any, x: Any) -> Array:
        """`weights` (W,) and `x` (..., n_in) -> (..., *output_shape)."""
        return self._run(*self._arguments(weights, x))

    def _facts(self) -> dict[str, Any]:
        about = {"inputs": self.num_inputs, "weights": self.num_weights, "outputs": self.output_shape}
        return about | self._size()

    def _size(self) -> dict[str, int]:
        return size(self.program)

    def _read(self, state: Array) -> Array:
        """(C, 2**n, *batch) -> (number of outputs, *batch)."""
        raise NotImplementedError

    def _arguments(self, weights: Any, x: Any) -> tuple[Any, Any]:
        names = self.program.parameters
        weights = real_array(weights, "weights", len(self.weights), [names[k] for k in self.weights])
        if weights.ndim > 1:
            raise ValueError(
                f"`weights` must have shape ({len(self.weights)},), but has shape {weights.shape}. "
                "For an ensemble of weights use jax.vmap(model, in_axes=(0, None))."
            )
        x = real_array(x, "x", len(self.inputs), [names[k] for k in self.inputs])
        check_amplitudes(self.program, weights=(self.weights, weights), x=(self.inputs, x))
        return weights, x

    def _trace(self, weights: Array, x: Array) -> Array:
        dtype = jnp.promote_types(weights.dtype, x.dtype)
        weights, x = weights.astype(dtype), x.astype(dtype)
        batch = x.shape[:-1]
        if batch:
            x, weights = x.reshape(math.prod(batch), x.shape[-1]), weights[:, None]
        state = run(plan(self.program, self.inputs, self.weights, self.memory), weights, x.T)
        out = self._read(state)  # (number of outputs, *batch)
        return out.T.reshape(*batch, *self.output_shape) if batch else out.reshape(self.output_shape)


@dataclass(frozen=True, repr=False)
class EstimatorQNN(QNN):
    """`model(weights, x)`: (W,) and (..., n_in) -> expectation values (..., observables)."""

    observables: tuple[Observable, ...]

    def _read(self, state: Array) -> Array:
        return expectations(self.observables, state)


@dataclass(frozen=True, repr=False)
class SamplerQNN(QNN):
    """`model(weights, x)`: (W,) and (..., n_in) -> probabilities (..., *output_shape)."""

    qubits: tuple[int, ...]
    index: Table | None  # outcome -> flat index of the output it contributes to

    def _read(self, state: Array) -> Array:
        return interpreted(marginal(square(state), self.qubits), self.index, self.output_shape)
