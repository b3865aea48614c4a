"""Quantum neural networks: a circuit whose parameters are inputs and weights, as a function `model(weights, x)`.

What depends on weights alone is computed once for a whole batch of inputs, also under the user's own `vmap`. An input
that occurs many times, in expressions with weights (data re-uploading), needs nothing special.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit import observables as _observables
from qmljax._circuit.observables import Observable
from qmljax._circuit.parse import own, parse
from qmljax._circuit.program import Program, Table
from qmljax._engine import segments as _simulate
from qmljax._engine import state as _state
from qmljax._engine.values import expectations
from qmljax._models import functions as _functions
from qmljax._models.functions import Compiled, real_array

Part = tuple[Sequence[int], Array]  # positions of parameters, and their values (..., positions)


class Source(NamedTuple):
    """What a model was built from: the whole circuit, and what an estimator reads on it."""

    circuit: Any
    observables: tuple[Observable, ...]


@dataclass(frozen=True)
class _Model(Compiled):
    """`model(weights, x)`; `inputs` and `weights` are positions in the program's parameters.

    The outputs are probabilities if `normalised`, and else expectation values.
    """

    program: Program
    inputs: tuple[int, ...]
    weights: tuple[int, ...]
    output_shape: tuple[int, ...]
    memory: int = field(kw_only=True)
    normalised: bool = field(kw_only=True)
    source: Source = field(kw_only=True, compare=False, repr=False)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_weights(self) -> int:
        return len(self.weights)

    def __call__(self, weights: Any, x: Any) -> Array:
        """`weights` (W,) and `x` (..., n_in) -> (..., *output_shape)."""
        return self._run(*self._arguments(weights, x))

    def _arguments(self, weights: Any, x: Any) -> tuple[Any, Any]:
        names = self.program.parameters
        weights = real_array(weights, "weights", len(self.weights), [names[k] for k in self.weights])
        if weights.ndim > 1:
            raise ValueError(
                f"`weights` must have shape ({len(self.weights)},), but has shape {weights.shape}. "
                "For an ensemble of weights use jax.vmap(model, in_axes=(0, None))."
            )
        x = real_array(x, "x", len(self.inputs), [names[k] for k in self.inputs])
        _functions.check_amplitudes(self.program, weights=(self.weights, weights), x=(self.inputs, x))
        return weights, x

    def _trace(self, weights: Array, x: Array) -> Array:
        dtype = jnp.promote_types(weights.dtype, x.dtype)
        weights, x = weights.astype(dtype), x.astype(dtype)
        batch = x.shape[:-1]
        if batch:
            x, weights = x.reshape(math.prod(batch), x.shape[-1]), weights[:, None]
        plan = _simulate.plan(self.program, self.inputs, self.weights, self.memory)
        state = _simulate.run(plan, weights, x.T)
        out = self._read(state)  # (number of outputs, *batch)
        return out.T.reshape(*batch, *self.output_shape) if batch else out.reshape(self.output_shape)


@dataclass(frozen=True)
class EstimatorQNN(_Model):
    """`model(weights, x)`: (W,) and (..., n_in) -> expectation values (..., observables)."""

    observables: tuple[Observable, ...]

    def _read(self, state: Array) -> Array:
        return expectations(self.observables, state)


@dataclass(frozen=True)
class SamplerQNN(_Model):
    """`model(weights, x)`: (W,) and (..., n_in) -> probabilities (..., *output_shape)."""

    qubits: tuple[int, ...]
    index: Table | None  # outcome -> flat index of the output it contributes to

    def _read(self, state: Array) -> Array:
        return interpreted(_functions.marginal(_state.square(state), self.qubits), self.index, self.output_shape)


def interpreted(p: Array, index: Table | None, shape: tuple[int, ...]) -> Array:
    """(outcomes, *batch) -> (outputs, *batch): the probabilities of all outcomes with one interpretation add up."""
    return p if index is None else jax.ops.segment_sum(p, index.array, int(np.prod(shape)))


@dataclass(frozen=True)
class _OnBackend(_Model):
    """A model whose circuit is executed by `function`: (..., P) parameters in circuit order -> (..., outputs)."""

    function: Callable[[Array], Array]
    index: Table | None  # outcome -> flat index of the output it contributes to
    bits: Table | None = None  # outcome of the different qubits -> outcome, where a qubit is measured twice

    def _trace(self, weights: Array, x: Array) -> Array:
        out = jnp.moveaxis(of_parts(self.function, *self._given(weights, x)), -1, 0)
        out = jnp.moveaxis(interpreted(out, self._place, self.output_shape), 0, -1)
        return out.reshape(*x.shape[:-1], *self.output_shape)

    def _given(self, weights: Array, x: Array) -> tuple[Part, Part]:
        weights, x = jnp.asarray(weights), jnp.asarray(x)
        dtype = jnp.promote_types(weights.dtype, x.dtype)
        return (self.weights, weights.astype(dtype)), (self.inputs, x.astype(dtype))

    def with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The values and their standard errors, (..., *output_shape) each. It is run at once, not compiled."""
        merge = None if self._place is None else self._merged
        found = self._measured().with_std(*self._given(*self._arguments(weights, x)), merge=merge)
        return tuple(a.reshape(*a.shape[:-1], *self.output_shape) for a in found)

    def gradient_with_std(self, weights: Any, x: Any) -> tuple[Array, Array]:
        """The derivatives by the weights, (..., *output_shape, W), and their standard errors. It is run at once."""
        if self._place is not None:
            raise ValueError("Standard errors of derivatives need a model without `interpret`.")
        found = self._measured().gradient_with_std(0, *self._given(*self._arguments(weights, x)))
        return tuple(a.reshape(*a.shape[:-2], *self.output_shape, len(self.weights)) for a in found)

    def _measured(self) -> Any:
        if not hasattr(self.function, "with_std"):
            raise TypeError("This backend says nothing of standard errors. Use qmljax.primitives.PrimitiveBackend.")
        return self.function

    def _merged(self, p: np.ndarray) -> np.ndarray:
        """Probabilities (rows, outcomes) -> (rows, outputs)."""
        out = np.zeros((math.prod(self.output_shape), len(p)))
        np.add.at(out, self._place.array, p.T)
        return out.T

    @property
    def _place(self) -> Table | None:
        """The flat index of the output that each outcome of the different qubits contributes to."""
        if self.index is None or self.bits is None:
            return self.index or self.bits
        return Table(self.index.array[self.bits.array])


def of_parts(function: Callable[[Array], Array], *given: Part) -> Array:
    """A backend's function of parameters that come in parts, which broadcast.

    A function that has a method `parts` takes them apart, so that it need not differentiate by all of them.
    """
    if hasattr(function, "parts"):
        return function.parts(*given)
    batch = np.broadcast_shapes(*(values.shape[:-1] for _, values in given))
    params = jnp.concatenate([jnp.broadcast_to(v, (*batch, v.shape[-1])) for _, v in given], axis=-1)
    return function(params[..., np.argsort(np.concatenate([np.array(p, int) for p, _ in given]))])


def estimator_qnn(
    circuit: Any,
    observables: Any = None,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    backend: Any = None,
    memory: int = _simulate.MEMORY,
) -> _Model:
    """A QNN whose outputs are expectation values.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        observables: One observable or a list, as `expectation` takes them. Default: Z on every qubit, as one
            observable.
        inputs: The parameters that are inputs: `Parameter` objects or names, in the order of the features in `x`.
        weights: The parameters that are weights, in the order of the weight vector. Default: all that are not inputs,
            in the order of the circuit.
        backend: What executes the circuit: an object with `expectation(circuit, observables)`, which returns a function
            like that of `qmljax.expectation`. Default: the simulator.
        memory: Bytes of states that a gradient may keep, for the whole batch, as for `expectation`.

    Returns:
        ``model(weights, x)``: weights of shape (W,) and inputs of shape (..., n_in) to values of shape (..., n_obs),
        n_obs being 1 for one observable. It has `num_inputs`, `num_weights` and `output_shape`.

    Raises:
        ValueError: A parameter is unknown, named twice, or neither input nor weight.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes, zz_feature_map
        >>> feature_map, ansatz = zz_feature_map(2), real_amplitudes(2, reps=1)
        >>> model = estimator_qnn(feature_map.compose(ansatz), inputs=feature_map.parameters)
        >>> model.num_inputs, model.num_weights, model.output_shape
        (2, 4, (1,))
        >>> model(np.zeros(4), np.zeros((10, 2))).shape
        (10, 1)
    """
    circuit = own(circuit)
    program = parse(circuit)
    ins, ws = _split(program, inputs, weights)
    memory = _functions.check_memory(memory)
    if observables is None:
        observables = "Z" * program.num_qubits
    read, _ = _functions.read_observables(observables, program)
    about = {"memory": memory, "normalised": False, "source": Source(circuit, read)}
    if backend is not None:
        listed = list(observables) if isinstance(observables, list | tuple) else [observables]
        function = backend.expectation(circuit, listed)
        return _OnBackend(program, ins, ws, (len(read),), function, None, **about)
    small, kept = _functions.reduced(program, _observables.reads(read))
    return EstimatorQNN(small, ins, ws, (len(read),), tuple(o.on(kept) for o in read), **about)


def sampler_qnn(
    circuit: Any,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    interpret: Callable[[int], int | tuple[int, ...]] | None = None,
    output_shape: int | tuple[int, ...] | None = None,
    backend: Any = None,
    memory: int = _simulate.MEMORY,
) -> _Model:
    """A QNN whose outputs are the probabilities of measurement outcomes, or of what these are interpreted as.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes. If it measures, the outcome's bit k is its
            measured classical bit k; else it is qubit k of all qubits.
        inputs: The parameters that are inputs: `Parameter` objects or names, in the order of the features in `x`.
        weights: The parameters that are weights, in the order of the weight vector. Default: all that are not inputs,
            in the order of the circuit.
        interpret: Maps an outcome to an index of the output, an integer or a tuple. Outcomes with the same index add
            up. It is called once for each outcome, now.
        output_shape: The shape of the output. Default: all outcomes, or the smallest shape that holds what `interpret`
            gives.
        backend: What executes the circuit: an object with `probabilities(circuit, qubits)`, which returns a function
            like that of `qmljax.probabilities`. Default: the simulator.
        memory: Bytes of states that a gradient may keep, for the whole batch, as for `expectation`.

    Returns:
        ``model(weights, x)``: weights of shape (W,) and inputs of shape (..., n_in) to probabilities of shape (...,
        2**n), or (..., *output_shape). It has `num_inputs`, `num_weights` and `output_shape`.

    Raises:
        ValueError: A parameter is unknown, named twice, or neither input nor weight; or an interpretation lies outside
            `output_shape`.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes
        >>> circuit = real_amplitudes(2, reps=1)
        >>> model = sampler_qnn(circuit, inputs=[], interpret=lambda outcome: outcome.bit_count() % 2)
        >>> model(np.zeros(4), np.zeros((5, 0))).shape
        (5, 2)
    """
    circuit = own(circuit)
    program = parse(circuit)
    ins, ws = _split(program, inputs, weights)
    memory = _functions.check_memory(memory)
    qubits = tuple(range(program.num_qubits)) if program.measured is None else program.measured
    _functions.check_size(len(qubits), 24, "The distribution", "Measure fewer qubits.")
    index, shape = _interpretation(interpret, output_shape, 1 << len(qubits))
    about = {"memory": memory, "normalised": True, "source": Source(circuit, ())}
    if backend is not None:
        distinct, bits = tuple(dict.fromkeys(qubits)), None
        if len(distinct) < len(qubits):  # a device measures a qubit once; its bits agree
            z = np.arange(1 << len(distinct))
            bits = Table(sum((z >> distinct.index(q) & 1) << j for j, q in enumerate(qubits)))
        return _OnBackend(program, ins, ws, shape, backend.probabilities(circuit, distinct), index, bits, **about)
    small, kept = _functions.reduced(program, dict.fromkeys(qubits, True), qubits)
    return SamplerQNN(small, ins, ws, shape, tuple(kept.index(q) for q in qubits), index, **about)


def _interpretation(
    interpret: Callable[[int], int | tuple[int, ...]] | None, output_shape: int | tuple[int, ...] | None, outcomes: int
) -> tuple[Table | None, tuple[int, ...]]:
    shape = None
    if output_shape is not None:
        shape = output_shape if isinstance(output_shape, tuple | list) else (output_shape,)
        if not all(isinstance(s, int | np.integer) for s in shape):
            raise TypeError(f"`output_shape` must be an integer or a tuple of integers, but is {output_shape!r}.")
        shape = tuple(int(s) for s in shape)
    if interpret is None:
        if shape not in (None, (outcomes,)):
            raise ValueError(
                f"`output_shape` is {shape}, but without `interpret` the output has the shape {(outcomes,)} of all "
                "outcomes. Say by `interpret` which outcome contributes to which output."
            )
        return None, (outcomes,)
    given = [interpret(outcome) for outcome in range(outcomes)]
    try:
        indices = np.array(given)
    except ValueError:  # tuples of different lengths
        indices = np.array(None)
    if indices.dtype.kind not in "iub" or indices.ndim > 2:
        listed = ", ".join(map(repr, given[:4])) + (", ..." if outcomes > 4 else "")
        raise ValueError(
            "`interpret` must give an integer for every outcome, or a tuple of as many integers for every outcome, but "
            f"gives {listed} for the outcomes from 0 on."
        )
    indices = indices.astype(np.int64).reshape(outcomes, -1)
    if shape is None:
        shape = tuple(int(k) + 1 for k in indices.max(axis=0))
    outside = np.full(outcomes, indices.shape[1] != len(shape))
    if not outside.any():
        outside = ((indices < 0) | (indices >= np.array(shape))).any(axis=1)
    if outside.any():
        worst = int(np.argmax(outside))
        raise ValueError(
            f"`interpret` must give indices inside `output_shape` {shape}, but gives {given[worst]!r} for outcome "
            f"{worst}."
        )
    return Table(np.ravel_multi_index(tuple(indices.T), shape)), shape


def _split(
    program: Program, inputs: Sequence[Any], weights: Sequence[Any] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The positions of inputs and weights in the circuit's parameters, each of which must be one of the two."""
    place = {name: k for k, name in enumerate(program.parameters)}
    ins = positions(inputs, "inputs", place)
    ws = tuple(k for k in place.values() if k not in ins) if weights is None else positions(weights, "weights", place)
    if both := set(ins) & set(ws):
        named = ", ".join(program.parameters[k] for k in sorted(both))
        raise ValueError(f"A parameter must be an input or a weight, but {named} is named as both.")
    if missing := set(place.values()) - set(ins) - set(ws):
        named = ", ".join(program.parameters[k] for k in sorted(missing))
        raise ValueError(
            f"Every parameter must be an input or a weight, but {named} is neither. Add it to one of them."
        )
    return ins, ws


def positions(parameters: Sequence[Any], what: str, place: dict[str, int]) -> tuple[int, ...]:
    """The positions of parameters, given as `Parameter` objects or names."""
    if isinstance(parameters, str) or not isinstance(parameters, Iterable):
        parameters = [parameters]
    names = [p if isinstance(p, str) else getattr(p, "name", p) for p in parameters]
    if unknown := [name for name in names if name not in place]:
        raise ValueError(
            f"`{what}` names {str(unknown[0])!r}, which is no parameter of the circuit. It has {list(place)}."
        )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{what}` names {twice!r} more than once. Each parameter has one place.")
    return tuple(place[name] for name in names)
