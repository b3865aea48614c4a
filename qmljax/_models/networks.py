"""Quantum neural networks from circuits: their outputs are expectation values, or probabilities."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from jax.sharding import Mesh

from qmljax._circuit import readout
from qmljax._circuit.noisy import parse_noisy
from qmljax._circuit.observables import listed
from qmljax._circuit.parse import own, parse
from qmljax._circuit.program import Table
from qmljax._circuit.readout import check_size
from qmljax._engine.plan import MEMORY
from qmljax._models.arguments import check_compile, check_memory
from qmljax._models.backend import HasExpectation, HasProbabilities, check_backend
from qmljax._models.density import averaged
from qmljax._models.interpret import interpretation
from qmljax._models.on_backend import BackendQNN
from qmljax._models.on_mesh import qnn_on
from qmljax._models.place import check_place
from qmljax._models.positions import split
from qmljax._models.protocols import MeasuredModel, Model
from qmljax._models.qnn import EstimatorQNN, SamplerQNN, Source


@overload
def estimator_qnn(
    circuit: Any,
    observables: Any = None,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    backend: None = None,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Model: ...
@overload
def estimator_qnn(
    circuit: Any,
    observables: Any = None,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    backend: HasExpectation,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> MeasuredModel: ...
def estimator_qnn(
    circuit: Any,
    observables: Any = None,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    backend: HasExpectation | None = None,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Model:
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
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold each state together, a 2**k-th part each; a batch lies on
            the axes that hold none.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        memory: Bytes of states that a gradient may keep, for the whole batch; 512 MiB by default. If there were more,
            the backward pass recomputes them; if the states of the batch alone take more, it is computed by parts.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

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

    References:
        K. Mitarai, M. Negoro, M. Kitagawa, K. Fujii, "Quantum circuit learning", PRA 98, 032309 (2018).
    """
    circuit = own(circuit)
    place = check_place(mesh, state, circuit, backend=backend)
    program = parse(circuit) if backend is None else parse_noisy(circuit).program  # channels are for the backend
    ins, ws = split(program, [None] if inputs is None else inputs, weights)  # None is no list, and names nothing
    memory = check_memory(memory)
    each = listed("Z" * program.width if observables is None else observables)
    read = readout.of_observables(program, each)
    about: Any = {
        "memory": memory,
        "compile": check_compile(compile),
        "normalised": False,
        "source": Source(circuit, read.observables),
    }
    shape = (len(read.observables),)
    if place is not None:
        return qnn_on(place, read, ins, ws, shape, None, about)
    if backend is not None:
        check_backend(backend, "expectation")
        return BackendQNN(program, ins, ws, shape, backend.expectation(circuit, each), None, **about)
    if compile is not False and (found := averaged(read, memory)) is not None:
        return BackendQNN(program, ins, ws, shape, found, None, **about)
    small = read.reduced()
    return EstimatorQNN(small.program, ins, ws, shape, small.observables, **about)


@overload
def sampler_qnn(
    circuit: Any,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    interpret: Callable[[int], int | tuple[int, ...]] | None = None,
    output_shape: int | tuple[int, ...] | None = None,
    backend: None = None,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Model: ...
@overload
def sampler_qnn(
    circuit: Any,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    interpret: Callable[[int], int | tuple[int, ...]] | None = None,
    output_shape: int | tuple[int, ...] | None = None,
    backend: HasProbabilities,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> MeasuredModel: ...
def sampler_qnn(
    circuit: Any,
    *,
    inputs: Sequence[Any],
    weights: Sequence[Any] | None = None,
    interpret: Callable[[int], int | tuple[int, ...]] | None = None,
    output_shape: int | tuple[int, ...] | None = None,
    backend: HasProbabilities | None = None,
    mesh: Mesh | None = None,
    state: str | Sequence[str] | None = None,
    memory: int = MEMORY,
    compile: bool | None = None,
) -> Model:
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
        mesh: A `jax.sharding.Mesh` of 2**k devices that hold each state together, a 2**k-th part each; a batch lies on
            the axes that hold none.
        state: The axis of `mesh`, or axes, that hold the state; all by default. The others hold the batch.
        memory: Bytes of states that a gradient may keep, for the whole batch; 512 MiB by default. If there were more,
            the backward pass recomputes them; if the states of the batch alone take more, it is computed by parts.
        compile: Whether to answer by a program compiled for this circuit alone (True), or by one that all circuits of
            its size share, where there is one (False). Default: the first calls by the shared one.

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

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019).
    """
    circuit = own(circuit)
    place = check_place(mesh, state, circuit, backend=backend)
    program = parse(circuit) if backend is None else parse_noisy(circuit).program  # channels are for the backend
    ins, ws = split(program, [None] if inputs is None else inputs, weights)  # None is no list, and names nothing
    memory = check_memory(memory)
    read = readout.of_measurements(program)
    check_size(read.bits, 24, "The distribution", "Measure fewer qubits.")
    index, shape = interpretation(interpret, output_shape, 1 << read.bits)
    about: Any = {
        "memory": memory,
        "compile": check_compile(compile),
        "normalised": True,
        "source": Source(circuit, ()),
    }
    if place is not None:
        return qnn_on(place, read, ins, ws, shape, index, about)
    if backend is not None:
        check_backend(backend, "probabilities")
        if program.is_dynamic:
            function = backend.probabilities(circuit, clbits=read.clbits)
            return BackendQNN(program, ins, ws, shape, function, index, **about)
        qubits, bits = read.on_wires().qubits, None
        distinct = tuple(dict.fromkeys(qubits))
        if len(distinct) < len(qubits):  # a device measures a qubit once; its bits agree
            z = np.arange(1 << len(distinct))
            bits = Table(sum((z >> distinct.index(q) & 1) << j for j, q in enumerate(qubits)))
        return BackendQNN(program, ins, ws, shape, backend.probabilities(circuit, distinct), index, bits, **about)
    if compile is not False and (found := averaged(read, memory)) is not None:
        return BackendQNN(program, ins, ws, shape, found, index, **about)
    small = read.reduced()
    return SamplerQNN(small.program, ins, ws, shape, small.qubits, index, **about)
