"""Products of matrices keep their digits on a GPU, which rounds float32 to TF32 (11 bits) where nobody asks for more.

No GPU is needed to see it: programs say how precise each of their products must be.
"""

import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate, real_amplitudes, zz_feature_map
from qiskit.quantum_info import random_unitary

import qmljax as qj
from qmljax import analysis, gram, losses, noise

N = 3
ANSATZ = real_amplitudes(N, reps=1)
FEATURES = zz_feature_map(N, reps=1)
OBSERVABLES = ["XYZ", {"ZZI": 0.5, "IXX": -1.0}]


def every_kind() -> QuantumCircuit:
    """Rotations, phases, dense blocks of two and three qubits, in parts that do and do not depend on parameters."""
    x = ParameterVector("x", N)
    circuit = QuantumCircuit(N)
    for q in range(N):
        circuit.ry(x[q], q)
        circuit.rz(x[q] * x[0], q)
    circuit.append(UnitaryGate(random_unitary(4, seed=0)), [0, 2])
    circuit.append(UnitaryGate(random_unitary(8, seed=1)), [0, 1, 2])
    circuit.rxx(x[0], 0, 1)
    circuit.ccx(0, 1, 2)
    return circuit


CIRCUIT = every_kind()
MODEL = qj.estimator_qnn(FEATURES.compose(ANSATZ), OBSERVABLES, inputs=FEATURES.parameters, compile=True)
CLASSES = qj.sampler_qnn(FEATURES.compose(ANSATZ), inputs=FEATURES.parameters, compile=True)
W, X = np.ones(MODEL.num_weights, np.float32), np.ones((4, N), np.float32)
P, MATRIX = np.ones(N, np.float32), np.eye(4, dtype=np.float32)
LABELS = np.array([1, -1, 1, -1], np.float32)
KEY = jax.random.key(0)


def noisy(p: Any, read: str = "expectation", **options: Any) -> Any:
    """A function of a channel's strength: channels after one and two qubits, chains and products of them, readout."""
    kraus = jnp.stack([jnp.sqrt(1 - p) * np.eye(2), jnp.sqrt(p) * np.array([[0, 1], [1, 0]])]).astype(np.complex64)
    dense = noise.amplitude_damping(p).then(noise.kraus(kraus)) if not options else noise.bit_flip(p)
    two = noise.depolarizing(p, 2).then(noise.bit_flip(p).tensor(noise.phase_damping(p)))
    model = noise.NoiseModel(
        {"ry": dense, "cx": two}, readout=jnp.stack([jnp.array([1 - p, p]), jnp.array([p, 1 - p])])
    )
    simulator = noise.Simulator(model, **options)
    return simulator.expectation(ANSATZ, OBSERVABLES) if read == "expectation" else simulator.probabilities(ANSATZ)


def rbf(a: Any, b: Any) -> Any:
    return jnp.exp(-((a[:, None] - b[None]) ** 2).sum(-1))


FUNCTIONS = {
    "expectation": (qj.expectation(CIRCUIT, OBSERVABLES, compile=True), P),
    "expectation, adjoint": (qj.expectation(CIRCUIT, OBSERVABLES, memory=0, compile=True), P),
    "statevector": (qj.statevector(CIRCUIT, compile=True), P),
    "unitary": (qj.unitary(CIRCUIT, compile=True), P),
    "probabilities": (qj.probabilities(CIRCUIT, [0, 2], compile=True), P),
    "density_matrix": (qj.density_matrix(CIRCUIT, [0, 2], compile=True), P),
    "metric_tensor": (qj.metric_tensor(CIRCUIT), P),
    "geometric_tensor": (qj.geometric_tensor(CIRCUIT), P),
    "term_variances": (qj.term_variances(CIRCUIT, OBSERVABLES[1]), P),
    "fidelity": (lambda p: qj.fidelity(CIRCUIT, CIRCUIT, compile=True)(p, 2 * p), P),
    "estimator_qnn": (lambda w, x: MODEL(w, x), W, X),
    "sampler_qnn": (lambda w, x: CLASSES(w, x), W, X),
    "fidelity_kernel": (lambda x: qj.fidelity_kernel(FEATURES, compile=True)(x, 2 * x), X),
    "local fidelities": (lambda x: qj.fidelity_kernel(FEATURES, local=True, compile=True)(x), X),
    "projected_kernel": (lambda x: qj.projected_kernel(FEATURES, compile=True)(x), X),
    "shots": (qj.Shots(100, KEY).expectation(ANSATZ, OBSERVABLES), W),
    "shots, shifted": (qj.Shots(100, KEY, gradient="shift").expectation(ANSATZ, OBSERVABLES), W),
    "noise": (lambda p, w: noisy(p)(w), np.float32(0.1), W),
    "noise, probabilities": (lambda p, w: noisy(p, "probabilities")(w), np.float32(0.1), W),
    "trajectories": (
        lambda w: jax.jit(lambda p: noisy(p, method="trajectories", trajectories=10, key=KEY)(w))(np.float32(0.1)),
        W,
    ),
    "fisher_information": (lambda w, x: analysis.fisher_information(CLASSES, w, x), W, X),
    "entropy": (lambda m: analysis.entropy(m / 4), MATRIX),
    "purity": (lambda m: analysis.purity(m / 4), MATRIX),
    "mutual_information": (lambda p: analysis.mutual_information(qj.density_matrix(CIRCUIT)(p), [0]), P),
    "stabilizer_entropy": (lambda p: analysis.stabilizer_entropy(qj.statevector(CIRCUIT)(p)), P),
    "meyer_wallach": (lambda p: analysis.meyer_wallach(qj.statevector(CIRCUIT)(p)), P),
    "weighted_fidelity": (
        lambda f: losses.weighted_fidelity(f, np.array([0, 1, 0, 1]), np.eye(2, dtype="f")),
        MATRIX[:, :2],
    ),
    "nystroem": (lambda x: gram.nystroem(rbf, x, x[:2]), X),
    **{
        name: (getattr(gram, name), MATRIX)
        for name in ("centre", "clip", "nearest_correlation", "shift", "spectrum", "concentration")
    },
    "shrink": (lambda m: gram.shrink(m, 0.1), MATRIX),
    **{
        name: (lambda m, name=name: getattr(gram, name)(m, LABELS), MATRIX)
        for name in ("kernel_alignment", "squared_loss", "absolute_loss", "huber_loss", "svc_loss", "svr_loss")
    },
    "model_complexity": (lambda m: gram.model_complexity(m, LABELS, ridge=0.1), MATRIX),
    "geometric_difference": (lambda m: gram.geometric_difference(m, 2 * m, ridge=0.1), MATRIX),
}


def rounded(function: Any, arguments: Any) -> tuple[list[str], int]:
    """The products of a program, layers included, that do not ask for all digits, and the number of all."""
    return rounded_in(jax.jit(function).lower(*arguments).as_text())


def rounded_in(text: str) -> tuple[list[str], int]:
    found = re.findall(r"stablehlo\.dot_general.*-> tensor<[^>]*(?:f|complex).*", text)
    return [line for line in found if "precision = [HIGHEST, HIGHEST]" not in line], len(found)


@pytest.fixture(autouse=True)
def default_precision() -> Iterator[None]:
    with jax.default_matmul_precision(None):
        yield


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_product_asks_for_all_digits(name):
    function, *arguments = FUNCTIONS[name]

    def scalar(*given: Any) -> Any:
        return sum(jnp.sum(jnp.abs(leaf)) for leaf in jax.tree.leaves(function(*given)))

    every = tuple(range(len(arguments)))
    for derived in (function, jax.grad(scalar, every), lambda *given: jax.jvp(function, given, given)):
        left, _ = rounded(derived, arguments)
        assert not left, f"{len(left)} products, the first {left[0]}"


@pytest.mark.parametrize(("name", "least"), [("statevector", 4), ("unitary", 4), ("metric_tensor", 7), ("noise", 2)])
def test_products_within_layers_are_seen(name, least):
    function, *arguments = FUNCTIONS[name]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        assert rounded(function, arguments)[1] >= least


SHARED = {
    "expectation": (qj.expectation(CIRCUIT, OBSERVABLES, compile=False), P),
    "statevector": (qj.statevector(CIRCUIT, compile=False), P),
    "probabilities": (qj.probabilities(CIRCUIT, [0, 2], compile=False), P),
    "estimator_qnn": (qj.estimator_qnn(CIRCUIT, OBSERVABLES, inputs=(), compile=False), P, np.zeros((4, 0), "f")),
    "fidelity_kernel": (qj.fidelity_kernel(FEATURES, compile=False), X),
}


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", SHARED)
def test_products_of_programs_that_circuits_share(name, tmp_path):
    """Their calls are no traces: JAX writes down whatever it compiles for them, for values and for derivatives."""
    function, *arguments = SHARED[name]
    jax.clear_caches()
    jax.config.update("jax_dump_ir_to", str(tmp_path))
    try:
        jax.grad(lambda *given: jnp.sum(jnp.abs(function(*given))))(*arguments)
    finally:
        jax.config.update("jax_dump_ir_to", "")
    found = [rounded_in(path.read_text()) for path in tmp_path.glob("*.mlir")]
    assert sum(count for _, count in found) >= 6 and not [line for lines, _ in found for line in lines]


def test_the_text_shows_what_is_rounded():
    plain = lambda a: lax.scan(lambda c, _: (c @ a, None), a, None, length=2)[0]  # noqa: E731
    assert len(rounded(plain, [MATRIX])[0]) == 1
