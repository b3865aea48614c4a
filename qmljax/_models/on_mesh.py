"""Functions of a circuit whose state is over the devices of a mesh: what builders return with `mesh=`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_key
from qmljax._circuit.observables import Observable
from qmljax._circuit.program import Program, Table
from qmljax._circuit.readout import MAX_QUBITS, Readout, check_size
from qmljax._engine.adjoint import EVOLVE
from qmljax._engine.plan import plan
from qmljax._engine.shards import readings
from qmljax._engine.shards.run import Shard, run
from qmljax._models.arguments import check_amplitudes, check_outcomes
from qmljax._models.by_name import parameters
from qmljax._models.compiled import Compiled, size
from qmljax._models.parts import in_parts
from qmljax._models.place import Place, check_dense, check_width
from qmljax._models.postselected import conditional
from qmljax._models.qnn import QNN

LARGE = 1 << 16  # amplitudes of a device; of fewer, those of a batch are sent and turned together


def _or_empty(trace: Callable[..., Array]) -> Callable[..., Array]:
    """A `_trace` that gives an empty array for an empty batch, which no device could have a share of."""

    @wraps(trace)
    def run(self: Any, *arrays: Array) -> Array:
        batch = np.broadcast_shapes(*(array.shape[:-1] for array in arrays))
        if 0 not in batch:
            return trace(self, *arrays)
        some = (self.place.parts,)
        full = [jax.ShapeDtypeStruct(some * (a.ndim > 1) + a.shape[-1:], a.dtype) for a in arrays]
        out = jax.eval_shape(partial(trace, self), *full)
        return jnp.zeros((*batch, *out.shape[1:]), out.dtype)

    return run


@dataclass(frozen=True, repr=False)
class OnMesh(Compiled):
    """A function of the circuit's parameters, (..., P) -> (..., *out), whose state is over devices."""

    _phase: ClassVar[bool] = False  # whether the global phase is felt

    program: Program
    place: Place

    def __call__(self, params: Any = None) -> Array:
        """The value for parameters, as of the same function on one device.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values. They
                may be left out if there are none.

        Returns:
            Of shape (..., *out), in the precision of the parameters.

        Raises:
            TypeError: They are not real.
            ValueError: They have another shape, a row of amplitudes is zero, or the rows do not divide over the axes of
                the mesh that hold the batch.
        """
        return self._answer(_params(params, "params", self.program, self.place))

    def _facts(self) -> dict[str, Any]:
        return _facts(self.program, self.place)

    @_or_empty
    def _trace(self, params: Array) -> Array:
        batch, rows, lie = _rows(params, self.place)
        lead = self._lead()

        def of(params: Array) -> Array:
            return self._of(_state(self.program, params, self.place, phase=self._phase))

        body = partial(_each, of, 1 << self.program.num_qubits - self.place.k)

        own = (lie,) if batch else ()
        out = self.place.run(body, [(rows.T, (None, *own))], (*lead, *own))
        return jnp.moveaxis(out, -1, 0).reshape(*batch, *out.shape[:-1]) if batch else out

    def _lead(self) -> tuple[Any, ...]:
        """How the axes before those of the batch lie on the mesh."""
        return (None,)

    def _of(self, shard: Shard) -> Array:
        """What a device gives, (*out, *batch)."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class StatevectorOnMesh(OnMesh):
    """`f(params)`: (..., P) -> complex amplitudes (..., 2**n), which lie on the devices in order."""

    _phase: ClassVar[bool] = True

    def _lead(self) -> tuple[Any, ...]:
        return (self.place.state,)

    def _of(self, shard: Shard) -> Array:
        return readings.amplitudes(shard)


@dataclass(frozen=True, repr=False)
class ProbabilitiesOnMesh(OnMesh):
    """`f(params)`: (..., P) -> probabilities (..., 2**k), of many qubits over the devices in order, of few on each."""

    qubits: tuple[int, ...]

    @property
    def _are_many(self) -> bool:
        return len(self.qubits) > max(self.place.k, self.program.num_qubits - 2 * self.place.k)

    def _lead(self) -> tuple[Any, ...]:
        return (self.place.state if self._are_many else None,)

    def _of(self, shard: Shard) -> Array:
        if self._are_many and len(set(self.qubits)) == len(self.qubits):
            return readings.probabilities(shard, self.qubits)
        return readings.interpreted(shard, self.qubits, None, 1 << len(self.qubits))


@dataclass(frozen=True, repr=False)
class ExpectationOnMesh(OnMesh):
    """`f(params)`: (..., P) -> values (...) of a single observable, else (..., observables), on each device."""

    observables: tuple[Observable, ...]
    single: bool
    given: bool = False  # whether the last observable projects on what is given

    def _lead(self) -> tuple[Any, ...]:
        return () if self.single else (None,)

    def _of(self, shard: Shard) -> Array:
        values = readings.expectations(self.observables, shard)
        values = conditional(values) if self.given else values
        return values[0] if self.single else values


@dataclass(frozen=True, repr=False)
class SampleOnMesh(Compiled):
    """`f(params, key)`: (..., P) and a JAX random key -> int32 outcomes (..., shots)."""

    program: Program
    place: Place
    qubits: tuple[int, ...]
    shots: int

    def _facts(self) -> dict[str, Any]:
        return _facts(self.program, self.place) | {"shots": self.shots}

    def __call__(self, params: Any, key: Array) -> Array:
        """Outcomes for parameters, as of the same function on one device.

        Args:
            params: Of shape (..., P), in the order of the circuit, in radians; or a mapping of names to values.
            key: A JAX random key.

        Returns:
            int32 outcomes of shape (..., shots); -1 where parameters that are not finite leave no distribution.

        Raises:
            TypeError: `key` is no key, or the parameters are not real.
            ValueError: As of other functions over a mesh; `key` is more than one key, or there would be more than 2**30
                outcomes.
        """
        check_key(key)
        params = _params(params, "params", self.program, self.place)
        check_outcomes(params, self.shots)
        return self._answer(params, key)

    @_or_empty
    def _trace(self, params: Array, key: Array) -> Array:
        batch, rows, lie = _rows(params, self.place)
        keys = jax.random.split(key, self.place.parts) if lie else key[None]

        def body(params: Array, keys: Array) -> Array:
            shard = _state(self.program, params, self.place)
            return readings.sample(shard, self.qubits, keys[0], self.shots)

        own = (lie,) if batch else ()
        out = self.place.run(body, [(rows.T, (None, *own)), (keys, (lie,))], (*own, None), vary=False)
        return out.reshape(*batch, self.shots)


@dataclass(frozen=True, repr=False)
class FidelityOnMesh(Compiled):
    """`f(params_a, params_b)`: (..., P_a) and (..., P_b) -> fidelities (...)."""

    programs: tuple[Program, Program]
    place: Place

    def _facts(self) -> dict[str, Any]:
        about = [_facts(program, self.place) for program in self.programs]
        return about[0] | {"parameters": tuple(a["parameters"] for a in about)}

    def __call__(self, params_a: Any, params_b: Any) -> Array:
        """The fidelity for parameters of the two circuits, in radians, whose batch dimensions broadcast.

        Args:
            params_a: Of shape (..., P_a), in the order of the first circuit; or a mapping of names to values.
            params_b: Of shape (..., P_b), of the second.

        Returns:
            Of shape (...).
        """
        pairs = zip((params_a, params_b), ("params_a", "params_b"), self.programs, strict=True)
        return self._answer(*(_params(value, name, program, self.place) for value, name, program in pairs))

    @_or_empty
    def _trace(self, params_a: Array, params_b: Array) -> Array:
        given = params_a, params_b
        batch = np.broadcast_shapes(*(p.shape[:-1] for p in given))
        lie = self.place.rows(math.prod(batch) if batch else None)
        arrays = []
        for params in given:
            own, count = params.shape[:-1], params.shape[-1]
            params = jnp.broadcast_to(params, (*batch, count)) if math.prod(own) > 1 else params.reshape(1, count)
            arrays.append(params.reshape(math.prod(params.shape[:-1]), count).T)
        specs = [(None, lie if a.shape[1] > 1 else None) for a in arrays]

        def body(*params: Array) -> Array:
            return readings.overlap(*(_state(p, x, self.place) for p, x in zip(self.programs, params, strict=True)))

        out = self.place.run(body, list(zip(arrays, specs, strict=True)), (lie,))
        return jnp.broadcast_to(out, (math.prod(batch),)).reshape(batch)


@dataclass(frozen=True, repr=False)
class QNNOnMesh(QNN):
    """A quantum neural network whose state is over devices: call it as ``model(weights, x)``.

    Weights of shape (W,) and inputs of shape (..., n_in) give outputs of shape (..., *output_shape), on each device.
    The rows of a batch lie on the axes of the mesh that hold no state.
    """

    place: Place
    observables: tuple[Observable, ...] = ()
    qubits: tuple[int, ...] = ()
    index: Table | None = field(default=None)  # outcome -> flat index of the output it contributes to

    def _size(self) -> dict[str, Any]:
        return {**size(self.program), "devices": self.place.mesh.size}

    def _in_room(self, weights: Any, x: Any) -> Array | None:
        return None

    @_or_empty
    def _trace(self, weights: Array, x: Array) -> Array:
        dtype = jnp.promote_types(weights.dtype, x.dtype)
        batch, rows, lie = _rows(x.astype(dtype), self.place)
        rows = rows if batch else rows[None]
        amplitudes = 1 << self.program.num_qubits - self.place.k

        def body(weights: Array, rows: Array) -> Array:
            some = max(1, self.memory // (8 * dtype.itemsize * amplitudes))
            one = lambda rows: self._outputs(weights, rows)  # noqa: E731
            return one(rows) if len(rows) <= some else in_parts(one, rows, some)

        given = [(weights.astype(dtype)[:, None], (None, None)), (rows, (lie, None))]
        return self.place.run(body, given, (lie, None)).reshape(*batch, *self.output_shape)

    def _outputs(self, weights: Array, rows: Array) -> Array:
        """(W, 1) and (points, n_in) -> (points, number of outputs)."""
        how = plan(self.program, self.inputs, self.weights, self.memory)

        def of(points: Array) -> Array:
            shard = run(how, weights, points, self.place.k, self.place.state)
            if self.normalised:
                index = None if self.index is None else self.index.array
                return readings.interpreted(shard, self.qubits, index, math.prod(self.output_shape))
            return readings.expectations(self.observables, shard)

        return _each(of, 1 << self.program.num_qubits - self.place.k, rows.T).T


# What builders return with `mesh=`.


def statevector_on(place: Place, program: Program) -> StatevectorOnMesh:
    check_width(place, program.num_qubits)
    check_size(program.num_qubits, MAX_QUBITS + place.k, "The statevector", "Use a mesh of more devices.")
    check_dense(program, place)
    return StatevectorOnMesh(program, place)


def probabilities_on(place: Place, read: Readout) -> ProbabilitiesOnMesh:
    small = _reduced(place, read)
    return ProbabilitiesOnMesh(small.program, place, small.qubits)


def expectation_on(place: Place, read: Readout) -> ExpectationOnMesh:
    small = _reduced(place, read)
    return ExpectationOnMesh(small.program, place, small.observables, small.single, bool(read.given))


def sample_on(place: Place, read: Readout, shots: int) -> SampleOnMesh:
    small = _reduced(place, read)
    return SampleOnMesh(small.program, place, small.qubits, shots)


def qnn_on(place: Place, read: Readout, inputs: Any, weights: Any, shape: Any, index: Any, about: Any) -> QNNOnMesh:
    small = _reduced(place, read)
    return QNNOnMesh(small.program, inputs, weights, shape, place, small.observables, small.qubits, index, **about)


def _reduced(place: Place, read: Readout) -> Readout:
    """What is read, of a program that has qubits enough for the devices, and whose gates fit."""
    check_width(place, read.program.num_qubits)
    small = read.reduced(MAX_QUBITS + place.k)
    program = place.room(small.program)
    check_dense(program, place)
    n = program.num_qubits
    return replace(small, program=program, observables=tuple(replace(o, num_qubits=n) for o in small.observables))


def _facts(program: Program, place: Place) -> dict[str, Any]:
    return {"parameters": program.num_parameters, **size(program), "devices": place.mesh.size}


def _params(params: Any, name: str, program: Program, place: Place) -> Any:
    """Parameters as arrays (..., P), where devices of the mesh can take them."""
    if params is None and not program.parameters:
        params = np.zeros((0,), jnp.result_type(float))
    params = parameters(params, name, program)
    check_amplitudes(program, **{name: (range(len(program.parameters)), params)})
    return place.put(params)


def _rows(params: Array, place: Place) -> tuple[tuple[int, ...], Array, Any]:
    """The batch dimensions of (..., P), its rows if there are any, and how they lie on the mesh."""
    batch = params.shape[:-1]
    if not batch:
        return batch, params, None
    count = math.prod(batch)
    return batch, params.reshape(count, params.shape[-1]), place.rows(count)


def _each(function: Callable[[Array], Array], amplitudes: int, columns: Array) -> Array:
    """A function of (P, *batch) -> (*out, *batch): of one after the other if states are so large on a device.

    A gradient then keeps one state for each, and works on those of one.
    """
    if amplitudes < LARGE or columns.ndim == 1 or columns.shape[1] == 1:
        return function(columns)
    kept = jax.checkpoint(function, policy=lambda primitive, *_, **__: primitive is EVOLVE)
    return jnp.moveaxis(lax.map(lambda column: kept(column[:, None])[..., 0], columns.T), 0, -1)


def _state(program: Program, params: Array, place: Place, phase: bool = False) -> Shard:
    """(P, *batch) to what a device has of the state."""
    none = jnp.zeros((0, *(1,) * (params.ndim - 1)), params.dtype)
    return run(plan(program), params, none, place.k, place.state, phase)
