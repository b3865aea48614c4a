"""The front door: a circuit becomes a function of its parameters.

Every builder returns a frozen callable that is equal by value: callables built from equal circuits are equal, hash
alike and share one compiled function. All checks are made here, in Python, before anything is traced.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._circuit import observables as _observables
from qmljax._circuit.expressions import evaluate
from qmljax._circuit.observables import Observable
from qmljax._circuit.parse import parse
from qmljax._circuit.program import Program
from qmljax._engine import segments as _simulate
from qmljax._engine import state as _state
from qmljax._engine.values import expectations

MAX_QUBITS = 30  # 2**30 amplitudes: 8 GiB in complex64
MAX_UNITARY_QUBITS = 15
LARGE_QUBITS = 20  # above, the memory of a gradient matters more than some gates


class Compiled:
    """A frozen dataclass with a method `_trace`, which is compiled once for all equal objects."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_run", _compile(self))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_run"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Compiled.__post_init__(self)

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # nothing in it changes


@functools.lru_cache(maxsize=1024)
def _compile(function: Compiled) -> Callable[..., Array]:
    return jax.jit(function._trace)


def real_array(value: Any, name: str, last: int, names: Sequence[str]) -> Any:
    """`value` as a real floating point array whose last axis has length `last`, one element for each of `names`."""
    array = value
    if not isinstance(value, jax.Array | np.ndarray):  # such as a list, perhaps of values that are being traced
        array = (jnp if any(isinstance(x, jax.Array) for x in jax.tree.leaves(value)) else np).asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        if not (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool):
            raise TypeError(
                f"`{name}` must hold real numbers, but has dtype {array.dtype}. Angles are real, in radians."
            )
        array = array.astype(jnp.result_type(float))
    elif array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if array.ndim == 0 or array.shape[-1] != last:
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        one = f", one for each of {listed}" if last else ": there are none to set, so pass an array of shape (0,)"
        raise ValueError(f"`{name}` must have {last} elements in its last axis{one}, but has shape {array.shape}.")
    return array


def check_amplitudes(program: Program, **given: tuple[Sequence[int], Any]) -> None:
    """Refuses amplitudes that are all zero, where they can be seen.

    `given` has the arguments of a call by name, each with the positions of its columns in the circuit's parameters.
    """
    if not program.loads or any(isinstance(values, jax.core.Tracer) for _, values in given.values()):
        return
    arrays = {name: np.asarray(values) for name, (_, values) in given.items()}
    batch = np.broadcast_shapes(*(array.shape[:-1] for array in arrays.values()))
    dtype = np.result_type(*(array.dtype for array in arrays.values()))
    params = np.zeros((len(program.parameters), *batch), dtype)
    for (positions, _), array in zip(given.values(), arrays.values(), strict=True):
        params[list(positions)] = np.moveaxis(np.broadcast_to(array, (*batch, array.shape[-1])), -1, 0)
    with jax.ensure_compile_time_eval():
        values = np.concatenate([np.asarray(evaluate(program.expressions, params)), np.ones((1, *batch), dtype)])
    for op in program.loads:
        index, scale = op.table.array.T
        size = np.abs(values[index.astype(int)] * scale.reshape(-1, *(1,) * len(batch)).astype(dtype)).max(axis=0)
        null = np.argwhere(size < np.finfo(dtype).tiny)
        if len(null):
            where = f" at {tuple(null[0].tolist())}" if null.size else ""
            raise ValueError(
                f"{' and '.join(f'`{name}`' for name in given)}{where}: all amplitudes are zero, so there is no such "
                "state. Leave out the point, or add a constant feature."
            )


def check_size(n: int, limit: int, what: str, way_out: str) -> None:
    """Refuses more than `limit` qubits."""
    if n > limit:
        raise ValueError(f"{what} of {n} qubits does not fit: the limit is {limit} qubits. {way_out}")


@dataclass(frozen=True)
class _OfParams(Compiled):
    """A function of the circuit's parameters, (..., P) -> (..., *out)."""

    program: Program
    memory: int = field(kw_only=True)

    def __call__(self, params: Any = None) -> Array:
        if params is None and not self.program.parameters:
            params = np.zeros((0,), jnp.result_type(float))
        params = real_array(params, "params", len(self.program.parameters), self.program.parameters)
        check_amplitudes(self.program, params=(range(len(self.program.parameters)), params))
        return self._run(params)

    def _trace(self, params: Array) -> Array:
        batch = params.shape[:-1]
        if len(batch) > 1:
            params = params.reshape(math.prod(batch), params.shape[-1])
        out = self._of(params.T)  # (*out, *batch), the batch flattened
        if batch:
            out = jnp.moveaxis(out, -1, 0)
        return out.reshape(*batch, *out.shape[1:]) if batch else out

    def _state(self, params: Array, phase: bool = False) -> Array:
        none = jnp.zeros((0, *(1,) * (params.ndim - 1)), params.dtype)
        return _simulate.run(_simulate.plan(self.program, memory=self.memory), params, none, phase)


@dataclass(frozen=True)
class Statevector(_OfParams):
    """`f(params)`: (..., P) -> complex amplitudes (..., 2**n)."""

    def _of(self, params: Array) -> Array:
        return _state.to_complex(self._state(params, phase=True))


@dataclass(frozen=True)
class Unitary(_OfParams):
    """`f(params)`: (..., P) -> complex matrices (..., 2**n, 2**n)."""

    def _of(self, params: Array) -> Array:
        matrix = _state.to_complex(_simulate.columns(self.program, params, self.memory))  # (2**n, *batch, 2**n)
        return jnp.moveaxis(matrix, -1, 1)


@dataclass(frozen=True)
class Probabilities(_OfParams):
    """`f(params)`: (..., P) -> probabilities (..., 2**k) of the outcomes of k qubits."""

    qubits: tuple[int, ...]

    def _of(self, params: Array) -> Array:
        return marginal(_state.square(self._state(params)), self.qubits)


@dataclass(frozen=True)
class Expectation(_OfParams):
    """`f(params)`: (..., P) -> values (...) of a single observable, else (..., observables)."""

    observables: tuple[Observable, ...]
    single: bool

    def _of(self, params: Array) -> Array:
        values = expectations(self.observables, self._state(params))
        return values[0] if self.single else values


@dataclass(frozen=True)
class MetricTensor(_OfParams):
    """`f(params)`: (..., P) -> symmetric matrices (..., P, P)."""

    def _of(self, params: Array) -> Array:
        if params.ndim == 2:
            return jax.vmap(self._of, in_axes=-1, out_axes=-1)(params)
        jet = _simulate.jet(_simulate.plan(self.program, memory=self.memory), params)
        products = functools.partial(jnp.einsum, "czi,czj->ij", precision=_state.PRECISION)  # Re <l|r>
        if len(jet) == 1:  # a real state stays normalised: <psi|d psi> = 0
            return products(jet, jet)[1:, 1:]
        turned = jnp.stack([-jet[1], jet[0]])[:, :, :1]  # i psi
        gram = products(jnp.concatenate([jet[:, :, 1:], turned], axis=2), jet[:, :, 1:])
        berry = gram[-1:]
        return gram[:-1] - berry.T * berry


@dataclass(frozen=True)
class Sample(Compiled):
    """`f(params, key)`: (..., P) and a JAX random key -> int32 outcomes (..., shots)."""

    program: Program
    qubits: tuple[int, ...]
    shots: int

    def __call__(self, params: Any, key: Array) -> Array:
        if not isinstance(key, jax.Array | np.ndarray):
            raise TypeError(f"`key` must be a JAX random key, such as jax.random.key(0), but is {key!r}.")
        params = real_array(params, "params", len(self.program.parameters), self.program.parameters)
        check_amplitudes(self.program, params=(range(len(self.program.parameters)), params))
        return self._run(params, key)

    def _trace(self, params: Array, key: Array) -> Array:
        p = Probabilities(self.program, self.qubits, memory=_simulate.MEMORY)._trace(params)  # (..., 2**k)
        return sample_index(p, key, self.shots)


def sample_index(p: Array, key: Array, shots: int) -> Array:
    """(..., K) unnormalised probabilities -> (..., shots) indices, by inversion of the distribution function."""
    cdf = jnp.cumsum(p, axis=-1)
    u = jax.random.uniform(key, (*p.shape[:-1], shots), p.dtype) * cdf[..., -1:]
    find = functools.partial(jnp.searchsorted, side="right")
    for _ in range(p.ndim - 1):
        find = jax.vmap(find)
    # Rounding of the sums must not reach an outcome of probability 0: the last possible one before it, or the first.
    outcomes = jnp.broadcast_to(jnp.arange(p.shape[-1]), p.shape)
    first = jnp.argmax(p > 0, axis=-1, keepdims=True)
    possible = jax.lax.cummax(jnp.where(p > 0, outcomes, first), axis=p.ndim - 1)
    index = jnp.minimum(find(cdf, u), p.shape[-1] - 1)
    return jnp.take_along_axis(possible, index, axis=-1).astype(jnp.int32)


def marginal(p: Array, qubits: Sequence[int]) -> Array:
    """(2**n, *batch) -> (2**k, *batch): bit j of the new index is `qubits[j]`."""
    n = p.shape[0].bit_length() - 1
    if len(distinct := tuple(dict.fromkeys(qubits))) < len(qubits):  # a qubit measured twice: its bits agree
        z = np.arange(1 << len(distinct))
        index = sum((z >> distinct.index(q) & 1) << j for j, q in enumerate(qubits))
        return jnp.zeros((1 << len(qubits), *p.shape[1:]), p.dtype).at[index].set(marginal(p, distinct))
    if tuple(qubits) == tuple(range(n)):
        return p
    batch = p.shape[1:]
    p = p.reshape(*(2,) * n, *batch)  # axis k is qubit n - 1 - k
    kept = sorted(qubits, reverse=True)
    p = jnp.sum(p, axis=tuple(n - 1 - q for q in range(n) if q not in qubits))
    order = [kept.index(q) for q in reversed(qubits)]
    p = jnp.transpose(p, (*order, *range(len(order), len(order) + len(batch))))
    return p.reshape(1 << len(order), *batch)


def touched(program: Program, keep: tuple[int, ...] = ()) -> tuple[Program, tuple[int, ...]]:
    """The program on the qubits it touches and those in `keep`, and which qubits those are."""
    qubits = tuple(sorted({*program.touched, *keep}))
    check_size(
        len(qubits), MAX_QUBITS, "A simulation", f"The circuit acts on that many of its {program.num_qubits} qubits."
    )
    return program.on_touched(keep), qubits


def reduced(program: Program, reads: Mapping[int, bool], keep: tuple[int, ...] = ()) -> tuple[Program, tuple[int, ...]]:
    """What observables can feel (`Program.cone`) as in `touched`.

    Large states stay with all gates, unless some leave no qubit to act on: a backward pass needs the least memory where
    layers are equal, and the cone trims the last.
    """
    cone = program.cone(reads)
    whole = len(cone.touched) == len(program.touched) > LARGE_QUBITS
    return touched(_unmeasured(program) if whole else cone, keep)


def check_qubits(qubits: Sequence[int] | None, program: Program, name: str = "qubits") -> tuple[int, ...]:
    """The qubits to measure, all of the circuit by default. Refuses what are not different qubits of it."""
    n = program.num_qubits
    if qubits is None:
        return tuple(range(n))
    chosen = tuple(int(q) for q in qubits)
    if len(set(chosen)) != len(chosen) or any(not 0 <= q < n for q in chosen):
        raise ValueError(f"`{name}` must be different qubits between 0 and {n - 1}, but is {list(chosen)}.")
    return chosen


def check_memory(memory: int) -> int:
    """A number of bytes. Refuses what is none."""
    if not isinstance(memory, int | np.integer) or isinstance(memory, bool) or memory < 0:
        raise ValueError(f"`memory` must be a number of bytes, such as 2**30, but is {memory!r}.")
    return int(memory)


def load_tqdm() -> Any:
    """The class of progress bars."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("A progress bar needs tqdm: pip install 'qmljax[progress]'.") from error
    return tqdm


def read_observables(observables: Any, program: Program) -> tuple[tuple[Observable, ...], bool]:
    """The observables as a tuple, and whether a single one was given instead of a list."""
    single = not isinstance(observables, list | tuple)
    listed = [observables] if single else list(observables)
    if not listed:
        raise ValueError("`observables` must be an observable or a list of at least one, but is empty.")
    return tuple(_observables.observable(o, program.num_qubits) for o in listed), single


def statevector(circuit: Any, *, memory: int = _simulate.MEMORY) -> Statevector:
    """The function that gives the state a circuit prepares from |0...0>.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        memory: Bytes of states that a gradient may keep, as for `expectation`.

    Returns:
        ``f(params)``: parameters of shape (..., P), in the order of `circuit.parameters`, in radians, to complex
        amplitudes of shape (..., 2**n), little endian, global phase included. complex64 for float32 parameters,
        complex128 for float64.

    Raises:
        ValueError: The circuit has more than 30 qubits, idle ones included. Use `expectation` or
            `probabilities(qubits=...)`, which simulate only the qubits that the circuit touches.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> statevector(bell)([]).round(3)
        Array([0.707+0.j, 0.   +0.j, 0.   +0.j, 0.707+0.j], dtype=complex64)
    """
    program = parse(circuit)
    way_out = (
        "Use `expectation` or `probabilities(qubits=...)`, which simulate only the qubits that the circuit touches."
    )
    check_size(program.num_qubits, MAX_QUBITS, "The statevector", way_out)
    return Statevector(_unmeasured(program), memory=check_memory(memory))


def unitary(circuit: Any, *, memory: int = _simulate.MEMORY) -> Unitary:
    """The function that gives the unitary matrix of a circuit.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        memory: Bytes of states that a gradient may keep, as for `expectation`.

    Returns:
        ``f(params)``: parameters of shape (..., P) to complex matrices of shape (..., 2**n, 2**n); column j is what
        becomes of the basis state j. Global phase included. The cost is 2**n statevectors.

    Raises:
        ValueError: The circuit has more than 15 qubits.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.x(0), circuit.s(0)
        >>> unitary(circuit)([])
        Array([[0.+0.j, 1.+0.j],
               [0.+1.j, 0.+0.j]], dtype=complex64)
    """
    program = parse(circuit)
    if program.loads:
        raise ValueError("A circuit that loads amplitudes has no unitary matrix. Use `statevector`.")
    check_size(program.num_qubits, MAX_UNITARY_QUBITS, "The unitary matrix", "Use `statevector` instead.")
    return Unitary(_unmeasured(program), memory=check_memory(memory))


def probabilities(
    circuit: Any, qubits: Sequence[int] | None = None, *, memory: int = _simulate.MEMORY
) -> Probabilities:
    """The function that gives the probabilities of measurement outcomes.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes. Its final measurements are not read: `qubits`
            says what is measured.
        qubits: The qubits to measure, all by default; bit j of an outcome is `qubits[j]`. Idle qubits read 0.
        memory: Bytes of states that a gradient may keep, as for `expectation`.

    Returns:
        ``f(params)``: parameters of shape (..., P) to probabilities of shape (..., 2**k).

    Raises:
        ValueError: `qubits` are not different qubits of the circuit, or the simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> probabilities(bell, [1])([]).round(3)
        Array([0.5, 0.5], dtype=float32)
    """
    program = parse(circuit)
    chosen = check_qubits(qubits, program)
    check_size(len(chosen), MAX_QUBITS, "The distribution", "Name fewer `qubits`.")
    small, kept = reduced(program, dict.fromkeys(chosen, True), chosen)
    return Probabilities(small, tuple(kept.index(q) for q in chosen), memory=check_memory(memory))


def expectation(circuit: Any, observables: Any, *, memory: int = _simulate.MEMORY) -> Expectation:
    """The function that gives expectation values in the state a circuit prepares from |0...0>.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        observables: One observable or a list: a label such as "ZIX" (the last letter is qubit 0), also with the
            projectors 0 1 + - r l; a `Pauli`, `SparsePauliOp` or `SparseObservable`; or a mapping of labels to real
            coefficients.
        memory: Bytes of states that a gradient may keep, one for each layer; 512 MiB by default. If there were more,
            the backward pass recomputes them (the adjoint method): it takes a few states, however deep the circuit is.

    Returns:
        ``f(params)``: parameters of shape (..., P) to values of shape (...) for one observable and (..., n_obs) for a
        list. Only the gates and qubits that the observables can feel are simulated (their light cone).

    Raises:
        TypeError: An observable is of another type.
        ValueError: An observable has a complex coefficient or another number of qubits than the circuit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("t"), 0)
        >>> f = expectation(circuit, "Z")  # cos t
        >>> f([0.5]).round(4), jax.grad(f)(jnp.array([0.5])).round(4)
        (Array(0.8776, dtype=float32), Array([-0.4794], dtype=float32))
    """
    program = parse(circuit)
    read, single = read_observables(observables, program)
    small, kept = reduced(program, _observables.reads(read))
    return Expectation(small, tuple(o.on(kept) for o in read), single, memory=check_memory(memory))


def sample(circuit: Any, shots: int) -> Sample:
    """The function that draws measurement outcomes.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.
        shots: The number of outcomes to draw for each set of parameters.

    Returns:
        ``f(params, key)``: parameters of shape (..., P) and a JAX random key to int32 outcomes of shape (..., shots).
        Bit k of an outcome is measured classical bit k, or qubit k when the circuit measures nothing.

    Raises:
        TypeError: `key` is no JAX random key.
        ValueError: `shots` is no positive integer, or the simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.x(1)
        >>> sample(circuit, shots=3)([], jax.random.key(0))
        Array([2, 2, 2], dtype=int32)
    """
    program = parse(circuit)
    if not isinstance(shots, int | np.integer) or isinstance(shots, bool) or shots < 1:
        raise ValueError(f"`shots` must be a positive integer, but is {shots!r}.")
    chosen = program.measured if program.measured is not None else tuple(range(program.num_qubits))
    check_size(len(chosen), MAX_QUBITS, "The distribution", "Measure fewer qubits.")
    small, kept = reduced(program, dict.fromkeys(chosen, True), chosen)
    return Sample(small, tuple(kept.index(q) for q in chosen), int(shots))


def metric_tensor(circuit: Any) -> MetricTensor:
    """The function that gives the Fubini-Study metric of the states of a circuit.

    That is the real part of the quantum geometric tensor, ``Re <d_i psi|d_j psi> - Re <d_i psi|psi><psi|d_j psi>``; the
    quantum Fisher information is 4 times it.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.

    Returns:
        ``f(params)``: parameters of shape (..., P) to matrices of shape (..., P, P), symmetric and positive
        semidefinite.

    Raises:
        ValueError: The simulation does not fit.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.ry(Parameter("t"), 0)
        >>> metric_tensor(circuit)([0.3]).round(4)
        Array([[0.25]], dtype=float32)

    References:
        J. Stokes, J. Izaac, N. Killoran, G. Carleo, "Quantum Natural Gradient", Quantum 4, 269 (2020), section 2.
    """
    small, _ = touched(parse(circuit))
    return MetricTensor(_unmeasured(small), memory=_simulate.MEMORY)


def _unmeasured(program: Program) -> Program:
    """The program without its measurements, which the functions here do not read."""
    if program.measured is None:
        return program
    return Program(program.num_qubits, program.parameters, program.expressions, program.ops)
