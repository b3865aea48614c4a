"""Noise models of devices and of Aer. Oracle: Qiskit's density matrices, evolved by the errors of Aer's noise model.

(Aer's own simulation differs from that by 3e-10 where its Kraus matrices do.)
"""

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import DensityMatrix, Operator, SuperOp

from qmljax import noise

aer = pytest.importorskip("qiskit_aer.noise")
fake = pytest.importorskip("qiskit_ibm_runtime.fake_provider")


def evolved(circuit, model):
    rho = DensityMatrix.from_label("0" * circuit.num_qubits)
    for instruction in circuit.data:
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        if instruction.name == "delay":
            (relaxation,) = model._custom_noise_passes
            rho = rho.evolve(SuperOp(relaxation._thermal_relaxation_error(instruction.operation, qubits)), qubits)
            continue
        rho = rho.evolve(Operator(instruction.operation), qubits)
        error = model._local_quantum_errors.get(instruction.name, {}).get(tuple(qubits))
        error = error or model._default_quantum_errors.get(instruction.name)
        if error is not None:
            rho = rho.evolve(SuperOp(error), qubits)
    return rho


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["FakeManilaV2", "FakeLimaV2", "FakeAthensV2"])
@pytest.mark.filterwarnings("ignore")
def test_the_noise_of_a_device_is_that_of_aer(name):
    device = getattr(fake, name)()
    circuit = efficient_su2(4, reps=1)
    circuit = circuit.assign_parameters(np.random.default_rng(0).normal(size=circuit.num_parameters))
    circuit = transpile(circuit, device, seed_transpiler=0, optimization_level=1, scheduling_method="alap")
    circuit.delay(1000, 0, unit="ns")
    assert "delay" in circuit.count_ops() and "cx" in circuit.count_ops()
    theirs = aer.NoiseModel.from_backend(device)
    want = evolved(circuit, theirs)
    for model in (noise.NoiseModel.from_backend(device), noise.NoiseModel.from_aer(theirs)):
        np.testing.assert_allclose(noise.Simulator(model).density_matrix(circuit)([]), want.data, atol=1e-12)
        confusion = np.ones((1, 1))
        for q in (3, 1):
            matrix = np.asarray(theirs._local_readout_errors[q,].probabilities)
            confusion = np.kron(matrix, confusion)
        p = noise.Simulator(model).probabilities(circuit, [3, 1])([])
        np.testing.assert_allclose(p, want.probabilities([3, 1]) @ confusion, atol=1e-12)


def test_hot_qubits():
    device = fake.FakeManilaV2()
    theirs = aer.NoiseModel.from_backend(device, temperature=50)
    ours = noise.NoiseModel.from_backend(device, temperature=50)
    of_aer = noise.NoiseModel.from_aer(theirs)
    for key in (("sx", (1,)), ("cx", (0, 1))):
        np.testing.assert_allclose(ours.gates[key].matrix, of_aer.gates[key].matrix, atol=1e-12)


def test_errors_of_aer_for_all_qubits():
    theirs = aer.NoiseModel()
    theirs.add_all_qubit_quantum_error(aer.depolarizing_error(0.1, 2), ["cx"])
    theirs.add_quantum_error(aer.amplitude_damping_error(0.2), ["h"], [1])
    theirs.add_all_qubit_readout_error([[0.9, 0.1], [0.2, 0.8]])
    model = noise.NoiseModel.from_aer(theirs)
    assert model.gates["cx"].is_pauli and not model.gates["h", (1,)].is_pauli
    circuit = QuantumCircuit(2)
    circuit.h(0), circuit.h(1), circuit.cx(0, 1)
    want = evolved(circuit, theirs)
    np.testing.assert_allclose(noise.Simulator(model).density_matrix(circuit)([]), want.data, atol=1e-6)
    p = noise.Simulator(model).probabilities(circuit, [0])([])
    np.testing.assert_allclose(p, want.probabilities([0]) @ [[0.9, 0.1], [0.2, 0.8]], atol=1e-6)


def test_what_is_no_device():
    with pytest.raises(TypeError, match="BackendV2"):
        noise.NoiseModel.from_backend(3)
    with pytest.raises(TypeError, match="qiskit-aer"):
        noise.NoiseModel.from_aer(fake.FakeManilaV2())
    theirs = aer.NoiseModel()
    theirs.add_all_qubit_quantum_error(aer.depolarizing_error(0.1, 1), ["measure"])
    with pytest.raises(NotImplementedError, match="measurements"):
        noise.NoiseModel.from_aer(theirs)
    circuit = QuantumCircuit(1)
    circuit.delay(100, 0, unit="dt")
    idle = {0: noise.Idle(1.0, 1.0)}
    with pytest.raises(ValueError, match="`dt`"):
        noise.Simulator(noise.NoiseModel({}, idle=idle)).expectation(circuit, "Z")
