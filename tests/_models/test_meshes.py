"""Batches that lie on devices: what every builder gives is that of one device, and states are never sent.

Oracles: the same function on one device, which other tests hold against Qiskit; and the text of compiled programs. The
file runs itself in a process with eight virtual devices.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate, efficient_su2, zz_feature_map
from qiskit.quantum_info import SparsePauliOp

import qmljax as qj
from qmljax import noise
from qmljax._models.compiled import FIRST
from qmljax.analysis import collectives
from tests.devices import run_with_devices

if jax.device_count() < 8:

    def test_in_a_process_with_eight_devices():
        run_with_devices(__file__, 8)

else:
    N, QUBITS = 16, 3
    FEATURES, ANSATZ = zz_feature_map(QUBITS, 1), efficient_su2(QUBITS, reps=1)
    CIRCUIT = FEATURES.compose(ANSATZ)
    OBSERVABLES = ["ZII", SparsePauliOp(["XXI", "IYZ"], [0.3, 1.2])]
    NOISE = noise.NoiseModel({"cx": noise.depolarizing(0.05, 2)})

    def estimator(**options: Any) -> Callable:
        return qj.estimator_qnn(CIRCUIT, OBSERVABLES, inputs=FEATURES.parameters, weights=ANSATZ.parameters, **options)

    def of_params(function: Callable) -> Callable:
        return lambda w, x: function(x * w)

    def magnitudes(function: Callable) -> Callable:
        return lambda w, x: jnp.abs(function(x * w)) ** 2

    def trajectories() -> noise.Simulator:
        return noise.Simulator(NOISE, method="trajectories", trajectories=8, key=jax.random.key(0))

    # The function, and the sizes of its two arguments, weights (W,) and x (N, d).
    P, W, D = CIRCUIT.num_parameters, ANSATZ.num_parameters, FEATURES.num_parameters
    BUILDERS: dict[str, tuple[Callable[[], Callable], int, int]] = {
        "statevector": (lambda: magnitudes(qj.statevector(CIRCUIT)), P, P),
        "unitary": (lambda: magnitudes(qj.unitary(CIRCUIT)), P, P),
        "probabilities": (lambda: of_params(qj.probabilities(CIRCUIT, [2, 0])), P, P),
        "expectation": (lambda: of_params(qj.expectation(CIRCUIT, OBSERVABLES)), P, P),
        "metric": (lambda: of_params(qj.metric_tensor(CIRCUIT)), P, P),
        "density": (lambda: magnitudes(qj.density_matrix(CIRCUIT, [0])), P, P),
        "fidelity": (lambda: lambda w, x: qj.fidelity(CIRCUIT, CIRCUIT)(x * w, x), P, P),
        "estimator": (estimator, W, D),
        "adjoint, by parts": (lambda: estimator(memory=0), W, D),
        "sampler": (lambda: qj.sampler_qnn(CIRCUIT, inputs=FEATURES.parameters, weights=ANSATZ.parameters), W, D),
        "noisy": (lambda: estimator(backend=noise.Simulator(NOISE)), W, D),
        "trajectories": (lambda: estimator(backend=trajectories()), W, D),
    }
    # Of a function (w, x): what is computed, and whether a gradient in the weights is summed over the devices.
    KINDS: dict[str, tuple[Callable, int]] = {
        "value": (lambda f: f, 0),
        "gradient": (lambda f: jax.grad(total(f)), 1),
        "gradient in x": (lambda f: jax.grad(total(f), 1), 0),
        "jacobian": (jax.jacfwd, 0),
        "each": (lambda f: jax.vmap(jax.grad(total(f)), (None, 0)), 0),
        "ensemble": (lambda f: jax.vmap(f, (0, None)), 0),
    }
    SECOND = {"hessian-vector": (lambda f: lambda w, x: jax.jvp(jax.grad(total(f)), (w, x), (w, x))[1], 2)}
    CASES = [(name, kind) for name in BUILDERS for kind in ("value", "gradient")]
    CASES += [("estimator", kind) for kind in (*list(KINDS)[2:], "hessian-vector")]
    CASES += [("statevector", "each"), ("noisy", "gradient in x"), ("adjoint, by parts", "gradient in x")]

    def total(function: Callable) -> Callable:
        return lambda w, x: jnp.sum(jnp.sin(function(w, x)))

    def mesh_of(kind: str) -> Any:
        return jax.make_mesh((2, 4), ("a", "b"), axis_types=(getattr(AxisType, kind),) * 2)

    def place(mesh: Any, array: Any, *axes: Any) -> Any:
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*axes)))

    @pytest.fixture(autouse=True)
    def promotion(standard_promotion: None) -> None:
        """`jnp.sum` of what lies on devices promotes the ranks of its own; nothing of ours is tested by that here."""

    @pytest.mark.parametrize(("name", "kind"), CASES)
    def test_as_on_one_device(x64, name, kind):
        builder, weights, inputs = BUILDERS[name]
        make, sums = (KINDS | SECOND)[kind]
        function, rng = make(builder()), np.random.default_rng(0)
        w, x = rng.normal(size=weights), rng.normal(size=(N, inputs))
        if kind == "ensemble":
            w = rng.normal(size=(2, weights))
        expected = np.asarray(jax.jit(function)(w, x))
        scale = max(1, np.abs(expected).max())
        # On all devices, and on one axis of the mesh; with the mesh set by the user, and without.
        both = ("a", "b")
        for axes, types, is_set in [(both, "Explicit", False), ("b", "Explicit", True), (both, "Auto", True)]:
            mesh = mesh_of(types)
            with jax.set_mesh(mesh) if is_set else contextlib.nullcontext():
                args = place(mesh, w), place(mesh, x, axes)
                compiled = jax.jit(function).lower(*args).compile()
                np.testing.assert_allclose(compiled(*args), expected, rtol=0, atol=1e-12 * scale)
                sent = collectives(compiled)
            # A permutation of points between parts is all that may be sent besides.
            assert sent.pop("collective-permute", 0) <= 8 * N * inputs, sent
            assert sum(sent.values()) <= sums * 8 * weights * (2 if "parts" in name else 1), sent  # two of them
            assert sums or not sent, sent

    @pytest.mark.parametrize("types", ["Auto", "Explicit"])
    def test_eager_calls(types):
        """Without `jit`, what lies on devices stays there, by parts, too."""
        mesh, rng = mesh_of(types), np.random.default_rng(0)
        w, x = np.float32(rng.normal(size=W)), np.float32(rng.normal(size=(N, D)))
        for model in (estimator(), estimator(memory=0)):
            got = model(w, place(mesh, x, ("a", "b")))
            assert got.sharding.spec[0] == ("a", "b")
            np.testing.assert_allclose(got, model(w, x), rtol=0, atol=1e-5)
        f = qj.probabilities(ANSATZ)
        params = np.float32(rng.normal(size=(N, W)))
        for _ in range(FIRST + 2):  # the first calls may be answered otherwise
            got = f(place(mesh, params, "b"))
        assert got.sharding.spec[0] == "b"
        np.testing.assert_allclose(got, f(params), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("types", ["Auto", "Explicit"])
    def test_measured_models(x64, types):
        """Shots: the draws are those of one device; in float64, as they hang on the last digit of float32."""
        mesh, rng = mesh_of(types), np.random.default_rng(0)
        model = estimator(backend=qj.Shots(100, key=jax.random.key(0)))
        w, x = rng.normal(size=W), rng.normal(size=(N, D))
        got = jax.jit(model)(place(mesh, w), place(mesh, x, ("a", "b")))
        np.testing.assert_allclose(got, model(w, x), rtol=0, atol=1e-6)
        values, stds = model.with_std(w, place(mesh, x, "a"))
        np.testing.assert_allclose(values, model(w, x), rtol=0, atol=1e-6)
        assert values.sharding.spec[0] == stds.sharding.spec[0] == "a"
        outcomes = qj.sample(ANSATZ, shots=50)
        params = rng.normal(size=(N, W))
        got = outcomes(place(mesh, params, ("a", "b")), jax.random.key(1))
        np.testing.assert_array_equal(got, outcomes(params, jax.random.key(1)))

    def test_shots_within_shard_map():
        """Where JAX cannot draw, that is said."""
        model = estimator(backend=qj.Shots(100, key=jax.random.key(0)))
        w, x = np.zeros(W, "f"), np.zeros((N, D), "f")
        specs: Any = {"in_specs": (PartitionSpec(), PartitionSpec("a")), "out_specs": PartitionSpec("a")}
        draw = jax.shard_map(model, mesh=mesh_of("Auto"), check_vma=False, **specs)
        assert jax.jit(draw)(w, x).shape == (N, 2)
        with pytest.raises(NotImplementedError, match="check_vma=False"):
            jax.shard_map(model, mesh=mesh_of("Auto"), **specs)(w, x)

    def wide() -> tuple[QuantumCircuit, Any, Any]:
        """All kinds of layers on 13 qubits, where single states are rotated by blocks, and with a dense block."""
        w, x = ParameterVector("w", 26), ParameterVector("x", 13)
        circuit, rng = QuantumCircuit(13), np.random.default_rng(1)
        for q in range(13):
            circuit.ry(x[q], q), circuit.rz(w[q], q)
        for q in range(12):
            circuit.cx(q, q + 1)
        block = np.linalg.qr(rng.normal(size=(32, 32)) + 1j * rng.normal(size=(32, 32)))[0]
        circuit.append(UnitaryGate(block), [0, 3, 5, 7, 12]), circuit.ccx(1, 2, 3)
        for q in range(13):
            circuit.ry(w[13 + q], q)
        return circuit, w, x

    def test_states_of_few_points_a_device():
        """With fewer points than devices do at once, or one each, states stay where they are."""
        circuit, w, x = wide()
        model = qj.estimator_qnn(circuit, ["Z" * 13, "X" * 13], inputs=x, weights=w)
        rng, mesh = np.random.default_rng(2), mesh_of("Auto")
        weights, points = np.float32(rng.normal(size=26)), np.float32(rng.normal(size=(8, 13)))
        step = jax.jit(jax.value_and_grad(lambda w, x: jnp.mean(model(w, x) ** 2)))
        args = place(mesh, weights), place(mesh, points, ("a", "b"))
        compiled = step.lower(*args).compile()
        assert collectives(compiled) == {"all-reduce": 4 * (26 + 1)}
        (value, slopes), expected = compiled(*args), step(weights, points)
        np.testing.assert_allclose(value, expected[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(slopes, expected[1], rtol=0, atol=1e-5)

    def test_a_training_step():
        """One all-reduce, of gradient and loss; a device needs the memory of its share of the batch."""
        n = 12
        features, ansatz = zz_feature_map(n, 1), efficient_su2(n, reps=2)
        model = qj.estimator_qnn(features.compose(ansatz), inputs=features.parameters, weights=ansatz.parameters)
        loss = lambda w, x, y: jnp.mean((model(w, x)[:, 0] - y) ** 2)  # noqa: E731
        w, x, y = np.zeros(model.num_weights, "f"), np.zeros((256, n), "f"), np.zeros(256, "f")
        step = jax.jit(jax.value_and_grad(loss))
        alone = step.lower(w, x[:32], y[:32]).compile().memory_analysis().temp_size_in_bytes
        for types in ("Auto", "Explicit"):
            mesh = mesh_of(types)
            compiled = step.lower(place(mesh, w), *(place(mesh, d, ("a", "b")) for d in (x, y))).compile()
            assert collectives(compiled).keys() == {"all-reduce"}
            assert collectives(compiled)["all-reduce"] <= 4 * (len(w) + 1)  # some weights have no gradient
            assert compiled.memory_analysis().temp_size_in_bytes <= 1.3 * alone

    def test_rows_that_lie_otherwise():
        """Arguments of one call on different axes of a mesh: which, and what to do."""
        mesh = mesh_of("Explicit")
        a, b = (place(mesh, np.zeros((N, P), "f"), axis) for axis in ("a", "b"))
        with pytest.raises(ValueError, match="row by row, but lie on 'a' and 'b'.*reshard"):
            qj.fidelity(CIRCUIT, CIRCUIT)(a, b)
