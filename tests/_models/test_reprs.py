"""What functions, models and kernels say of themselves: what a person wants to know, in one line."""

import pydoc

import jax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes, z_feature_map
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

import qmljax as qj
from qmljax.primitives import Estimator, PrimitiveBackend, Sampler

FEATURES = z_feature_map(2, reps=1)  # H and P on each qubit: after the P comes the first RY of the ansatz, in one level
CIRCUIT = FEATURES.compose(real_amplitudes(2, reps=1))  # then a CX and RY, the second
BACKEND = PrimitiveBackend(StatevectorEstimator(), StatevectorSampler(), shots=10)
QNN = "inputs=2, weights=4, outputs={}, qubits=2"
KERNEL = "features=2, weights=0, qubits=2"
SHOWN = {
    f"EstimatorQNN({QNN.format((2,))}, levels=3)": lambda: qj.estimator_qnn(
        CIRCUIT, ["IZ", "ZI"], inputs=FEATURES.parameters
    ),
    f"SamplerQNN({QNN.format((4,))}, levels=3)": lambda: qj.sampler_qnn(CIRCUIT, inputs=FEATURES.parameters),
    f"BackendQNN({QNN.format((1,))})": lambda: qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters, backend=BACKEND),
    f"FidelityKernel({KERNEL}, levels=2)": lambda: qj.fidelity_kernel(FEATURES),
    f"LocalFidelityKernel({KERNEL}, levels=2)": lambda: qj.fidelity_kernel(FEATURES, local=True),
    f"NoisyKernel({KERNEL}, levels=2)": lambda: qj.fidelity_kernel(FEATURES, backend=qj.Shots(3, jax.random.key(0))),
    f"BackendKernel({KERNEL})": lambda: qj.fidelity_kernel(FEATURES, backend=BACKEND),
    f"ProjectedKernel({KERNEL}, levels=2)": lambda: qj.projected_kernel(FEATURES),
    "Statevector(parameters=2, qubits=2, levels=2)": lambda: qj.statevector(FEATURES),
    "Sample(parameters=0, shots=7, qubits=1, levels=0)": lambda: qj.sample(QuantumCircuit(1), 7),
    "Fidelity(parameters=(2, 6), qubits=2, levels=2)": lambda: qj.fidelity(FEATURES, CIRCUIT),
    "Shots(3)": lambda: qj.Shots(3, jax.random.key(0)),
    "Program(2 qubits, 2 parameters, 6 ops)": lambda: qj.parse(FEATURES),
    "Estimator(default_precision=0.0, seed=1)": lambda: Estimator(seed=1),
    "Sampler(default_shots=5, seed=None)": lambda: Sampler(default_shots=5),
    "PrimitiveBackend(estimator=StatevectorEstimator, gradient=parameter_shift)": lambda: PrimitiveBackend(
        StatevectorEstimator()
    ),
    "Measured(parameters=2, outputs=1, qubits=2)": lambda: BACKEND.expectation(FEATURES, "ZZ"),
}


@pytest.mark.parametrize("shown", SHOWN)
def test_a_repr_says_in_a_line_what_a_person_wants_to_know(shown):
    assert repr(SHOWN[shown]()) == shown


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (lambda: qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters), "model(weights, x)"),
        (lambda: qj.sampler_qnn(CIRCUIT, inputs=FEATURES.parameters), "model(weights, x)"),
        (lambda: qj.estimator_qnn(CIRCUIT, inputs=FEATURES.parameters, backend=BACKEND), "model(weights, x)"),
        (lambda: qj.fidelity_kernel(FEATURES), "kernel(x, y=None, *, weights=None)"),
        (lambda: qj.projected_kernel(FEATURES), "kernel(x, y=None, *, weights=None, gamma=None)"),
        (lambda: qj.expectation(FEATURES, "ZZ"), "f(params)"),
    ],
)
def test_help_explains_how_to_call(make, call):
    text = pydoc.render_doc(make(), renderer=pydoc.plaintext)
    assert call in text.split("|")[0] + text.split("class ")[1].split("Method resolution")[0]
    assert "Returns:" in text[text.index("__call__(self") :]
