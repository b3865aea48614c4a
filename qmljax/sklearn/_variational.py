"""The QNN of `VQC` and `VQR`: a feature map, then an ansatz, and what is read."""

from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import real_amplitudes, z_feature_map

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
    default_map: Callable[[int], QuantumCircuit] = z_feature_map,
) -> Any:
    """The QNN of `VQC` and `VQR`: a feature map, then an ansatz.

    Args:
        features: The number of inputs.
        outputs: The number of outputs.
        feature_map: Default: `default_map`.
        ansatz: Default: `real_amplitudes`.
        observables: Default: the parity of all qubits for one output; else Z on one qubit each, then on pairs, ...
        interpret: Instead of observables: "parity", "modulo" or a function of the outcome, for probabilities.
        default_map: Makes a feature map with a qubit for each feature.
    """
    for name, circuit in (("feature_map", feature_map), ("ansatz", ansatz)):
        if not isinstance(circuit, QuantumCircuit | None):
            raise TypeError(f"`{name}` must be a QuantumCircuit, but is a {type(circuit).__name__}.")
    if feature_map is None:
        if features > MOST_FEATURES:
            raise ValueError(
                f"The default feature map has a qubit for each feature, at most {MOST_FEATURES}, but the points have "
                f"{features} features. Reduce them, as by PCA, or pass a feature map of your own."
            )
        feature_map = default_map(features)
    if len(feature_map.parameters) != features:
        raise ValueError(
            f"The feature map has {len(feature_map.parameters)} parameters, but X has {features} features. There must "
            "be as many."
        )
    n = feature_map.num_qubits
    circuit = feature_map.compose(real_amplitudes(n) if ansatz is None else ansatz)
    if interpret is not None:
        if observables is not None:
            raise ValueError("Give `observables` or `interpret`, but not both.")
        classes = max(outputs, 2)
        rules = {"parity": lambda outcome: outcome.bit_count() % 2, "modulo": lambda outcome: outcome % classes}
        if not callable(interpret) and interpret not in rules:
            raise ValueError(f"`interpret` must be 'parity', 'modulo' or a function, but is {interpret!r}.")
        rule = interpret if callable(interpret) else rules[interpret]
        shape = None if callable(interpret) else 2 if interpret == "parity" else classes
        return sampler_qnn(circuit, inputs=feature_map.parameters, interpret=rule, output_shape=shape)
    if observables is None:
        if outputs >= 1 << n:
            raise ValueError(
                f"{outputs} outputs need as many Z strings, but {n} qubits have {(1 << n) - 1}. Use more qubits."
            )
        masks = [(1 << n) - 1] if outputs == 1 else sorted(range(1, 1 << n), key=lambda m: (m.bit_count(), m))
        observables = ["".join("IZ"[m >> q & 1] for q in reversed(range(n))) for m in masks[:outputs]]
    return estimator_qnn(circuit, observables, inputs=feature_map.parameters)
