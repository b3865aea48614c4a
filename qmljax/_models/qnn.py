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
from qmljax._engine.expectations import expectations
from qmljax._engine.outcomes import marginal
from qmljax._engine.plan import plan
from qmljax._engine.run import run
from qmljax._engine.state import square
from qmljax._meshes import devices
from qmljax._models.arguments import check_amplitudes, real_array
from qmljax._models.compiled import Compiled, question, size
from qmljax._models.interpret import interpreted
from qmljax._models.parts import in_parts
from qmljax._models.questions import Question, of_expectations, of_probabilities
from qmljax._models.shared import fit


class Source(NamedTuple):
    """What a model was built from: the whole circuit, and what an estimator reads on it."""

    circuit: Any
    observables: tuple[Observable, ...]


@dataclass(frozen=True, repr=False)
class QNN(Compiled):
    """What all quantum neural networks are: a frozen function `model(weights, x)`, equal by value.

    Attributes:
        program: The circuit that is simulated, without what no output feels.
        inputs: Which of the program's parameters the inputs are, in the order of `x`.
        weights: Which of them the weights are, in the order of the weight vector.
        output_shape: The shape of the output for one sample.
        memory: Bytes of states that a gradient may keep. If the states of a batch take more, it is computed by parts.
        normalised: Whether the outputs are probabilities; else they are expectation values.
        source: What the model was built from.
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
        """The number of inputs, n_in."""
        return len(self.inputs)

    @property
    def num_weights(self) -> int:
        """The number of weights, W."""
        return len(self.weights)

    def __call__(self, weights: Any, x: Any) -> Array:
        """The outputs for weights and inputs.

        Args:
            weights: Of shape (W,), in radians where they are angles. For an ensemble use
                ``jax.vmap(model, in_axes=(0, None))``.
            x: Inputs of shape (..., n_in), with any number of batch dimensions.

        Returns:
            Of shape (..., *output_shape), in the dtype of the arguments.

        Raises:
            TypeError: An argument is not real.
            ValueError: An argument has another shape, or a row of amplitudes is zero.
        """
        return self._answer(*self._arguments(weights, x))

    def _fits(self, weights: Any, x: Any) -> bool:
        return fit(question(self), (weights, x), self.memory)

    def _in_room(self, weights: Any, x: Any) -> Array | None:
        return self._by_rows(x, (x.dtype, weights.dtype), lambda rows: self._run(weights, rows))

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
        try:
            weights = real_array(weights, "weights", len(self.weights), [names[k] for k in self.weights])
        except ValueError as error:
            lengths = [getattr(a, "shape", ())[-1:] for a in (weights, x)]
            if lengths == [(self.num_inputs,), (self.num_weights,)]:
                raise ValueError(f"{error} Weights come first: model(weights, x).") from None
            raise
        if weights.ndim > 1:
            way_out = "For an ensemble of weights use jax.vmap(model, in_axes=(0, None))."
            if weights.size == len(self.weights):
                way_out = "Pass its only row, weights.reshape(-1)."
            raise ValueError(
                f"`weights` must have shape ({len(self.weights)},), but has shape {weights.shape}. {way_out}"
            )
        x = real_array(x, "x", len(self.inputs), [names[k] for k in self.inputs])
        if self.program.loads:
            check_amplitudes(self.program, weights=(self.weights, weights), x=(self.inputs, x))
        return weights, x

    def _trace(self, weights: Array, x: Array) -> Array:
        dtype = jnp.promote_types(weights.dtype, x.dtype)
        weights, x = weights.astype(dtype), x.astype(dtype)
        batch = x.shape[:-1]
        if batch:
            x, weights = x.reshape(math.prod(batch), x.shape[-1]), weights[:, None]
        if not batch:
            return self._outputs(weights, x).reshape(self.output_shape)
        state = 2 * dtype.itemsize << self.program.num_qubits
        if len(x) * state <= self.memory * devices() or len(x) == 1:
            out = self._outputs(weights, x)
        else:  # running a batch of states takes some copies of them
            out = in_parts(lambda some: self._outputs(weights, some), x, max(1, self.memory // (4 * state)))
        return out.reshape(*batch, *self.output_shape)

    def _outputs(self, weights: Array, x: Array) -> Array:
        """(W, 1) and (points, n_in) -> (points, number of outputs), or without the points."""
        return self._read(run(plan(self.program, self.inputs, self.weights, self.memory), weights, x.T)).T


@dataclass(frozen=True, repr=False)
class EstimatorQNN(QNN):
    """A quantum neural network of expectation values: call it as ``model(weights, x)``.

    Weights of shape (W,) and inputs of shape (..., n_in) give values of shape (..., n_obs). It is a pure function of
    arrays: `jax.jit`, `jax.grad`, `jax.vmap` and optax take it like any other.
    """

    observables: tuple[Observable, ...]

    def _question(self) -> Question | None:
        return of_expectations(self.program, self.observables, self.output_shape, self.weights, self.inputs)

    def _read(self, state: Array) -> Array:
        return expectations(self.observables, state)


@dataclass(frozen=True, repr=False)
class SamplerQNN(QNN):
    """A quantum neural network of probabilities: call it as ``model(weights, x)``.

    Weights of shape (W,) and inputs of shape (..., n_in) give probabilities of shape (..., *output_shape). It is a pure
    function of arrays: `jax.jit`, `jax.grad`, `jax.vmap` and optax take it like any other.
    """

    qubits: tuple[int, ...]
    index: Table | None  # outcome -> flat index of the output it contributes to

    def _question(self) -> Question | None:
        index = None if self.index is None else self.index.array
        columns = self.weights, self.inputs
        return of_probabilities(self.program, self.qubits, *columns, index=index, shape=self.output_shape)

    def _read(self, state: Array) -> Array:
        return interpreted(marginal(square(state), self.qubits), self.index, self.output_shape)
