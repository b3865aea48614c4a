"""The QNN of `VQC` and `VQR`: a feature map, then an ansatz, and what is read."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes, z_feature_map

from qmljax._models.backend import Backend
from qmljax._models.networks import estimator_qnn, sampler_qnn
from qmljax.sklearn._matrices import MOST_FEATURES


def rotations(features: int) -> QuantumCircuit:
    """RY of each feature on a qubit of its own: of period 2 pi in each."""
    circuit = QuantumCircuit(features)
    for qubit, x in enumerate(ParameterVector("x", features)):
        circuit.ry(x, qubit)
    return circuit


def variational_network(
    features: int,
    outputs: int,
    feature_map: QuantumCircuit | None = None,
    ansatz: QuantumCircuit | None = None,
    observables: Any = None,
    interpret: str | Callable | None = None,
    backend: Backend | None = None,
    default_map: Callable[[int], QuantumCircuit] = z_feature_map,
) -> Any:
    """The QNN of `VQC` and `VQR`: a feature map, then an ansatz.

    Args:
        features: The number of inputs.
        outputs: The number of outputs.
        feature_map: Default: `default_map`.
        ansatz: Default: `real_amplitudes`.
        observables: Default: the parity of all qubits for one output; else Z on one qubit each, then on pairs, ...,
            then Pauli strings with X, then with Y.
        interpret: Instead of observables: "parity", "modulo" or a function of the outcome, for probabilities.
        backend: What executes the network. Default: the simulator.
        default_map: Makes a feature map with a qubit for each feature.
    """
    check_circuit("feature_map", feature_map)
    check_circuit("ansatz", ansatz)
    if feature_map is None:
        if features > MOST_FEATURES:
            raise ValueError(
                f"The default feature map has a qubit for each feature, at most {MOST_FEATURES}, but the points have "
                f"{features} features. Reduce them, as by PCA, or pass a feature map of your own."
            )
        feature_map = _renamed(default_map(features), ansatz)
    if len(feature_map.parameters) != features:
        raise ValueError(
            f"The feature map has {len(feature_map.parameters)} parameters, but X has {features} features. There must "
            "be as many."
        )
    n = feature_map.num_qubits
    circuit = _composed(feature_map, _renamed(real_amplitudes(n), feature_map) if ansatz is None else ansatz)
    inputs = feature_map.parameters
    if interpret is not None:
        if observables is not None:
            raise ValueError("Give `observables` or `interpret`, but not both.")
        classes = max(outputs, 2)
        rules = {"parity": lambda outcome: outcome.bit_count() % 2, "modulo": lambda outcome: outcome % classes}
        if not callable(interpret) and not (isinstance(interpret, str) and interpret in rules):
            raise ValueError(f"`interpret` must be 'parity', 'modulo' or a function, but is {interpret!r}.")
        rule = interpret if callable(interpret) else rules[interpret]
        shape = None if callable(interpret) else 2 if interpret == "parity" else classes
        return sampler_qnn(circuit, inputs=inputs, interpret=rule, output_shape=shape, backend=backend)
    observables = default_observables(n, outputs) if observables is None else observables
    return estimator_qnn(circuit, observables, inputs=inputs, backend=backend)


def check_circuit(name: str, circuit: Any) -> None:
    """Refuses what is neither a circuit nor None."""
    if not isinstance(circuit, QuantumCircuit | None):
        raise TypeError(f"`{name}` must be a QuantumCircuit, but is a {type(circuit).__name__}.")


def _renamed(circuit: QuantumCircuit, other: QuantumCircuit | None) -> QuantumCircuit:
    """A default circuit, with other names where its parameters have those of a circuit that was given."""
    if other is None or not _shared(circuit, other):
        return circuit
    prefix = next(iter(circuit.parameters)).name.partition("[")[0]
    taken = {p.name.partition("[")[0] for p in other.parameters}
    while prefix in taken:
        prefix += "'"
    return circuit.assign_parameters(ParameterVector(prefix, len(circuit.parameters)))


def _shared(a: QuantumCircuit, b: QuantumCircuit) -> list[str]:
    """Names that different parameters of two circuits share."""
    places = {p.name: p for p in a.parameters}
    return [p.name for p in b.parameters if p.name in places and p != places[p.name]]


def _composed(feature_map: QuantumCircuit, ansatz: QuantumCircuit) -> QuantumCircuit:
    """The feature map, then the ansatz, which may measure, and may have features as parameters, too."""
    if feature_map.num_qubits != ansatz.num_qubits:
        raise ValueError(
            f"`feature_map` and `ansatz` must have as many qubits, but have {feature_map.num_qubits} and "
            f"{ansatz.num_qubits}. Build both for {max(feature_map.num_qubits, ansatz.num_qubits)} qubits."
        )
    if names := _shared(feature_map, ansatz):
        raise ValueError(
            "`feature_map` and `ansatz` must have parameters of different names, but both have one called "
            f"{', '.join(names[:8])}. Build one of them with others, as by ParameterVector('w', ...)."
        )
    if feature_map.num_clbits:
        raise ValueError(
            f"`feature_map` must not measure, but has {feature_map.num_clbits} classical bits. Measure in `ansatz`."
        )
    return ansatz.compose(feature_map, front=True) if ansatz.num_clbits else feature_map.compose(ansatz)


def default_observables(n: int, outputs: int) -> list[str]:
    """The parity of n qubits for one output; else so many Pauli strings, different ones."""
    if outputs == 1:
        return ["Z" * n]
    if outputs >= 1 << 2 * n:
        raise ValueError(
            f"{outputs} outputs need as many Pauli strings, but {n} qubits have {(1 << 2 * n) - 1}. Use more qubits, "
            "or pass `observables`."
        )
    return list(itertools.islice(_strings(n), outputs))


def _strings(n: int) -> Iterator[str]:
    """All Pauli strings on n qubits but the identity: those of Z first, and among their kind those on few qubits first.

    Those with an odd number of Y come last: they vanish in real states, such as RY and CX prepare.
    """
    kinds: tuple[tuple[str, Callable[[tuple[str, ...]], bool]], ...] = (
        ("Z", lambda letters: True),
        ("XZ", lambda letters: "X" in letters),
        ("XYZ", lambda letters: letters.count("Y") in range(2, n + 1, 2)),
        ("XYZ", lambda letters: letters.count("Y") % 2 == 1),
    )
    for alphabet, of_kind in kinds:
        for weight in range(1, n + 1):
            for qubits in sorted(itertools.combinations(range(n), weight), key=lambda c: c[::-1]):
                for letters in filter(of_kind, itertools.product(alphabet, repeat=weight)):
                    at = dict(zip(qubits, letters, strict=True))
                    yield "".join(at.get(q, "I") for q in reversed(range(n)))
