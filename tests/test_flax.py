"""Flax layers. Oracles: closed forms of rotations about one axis, finite differences of them, and optax by hand."""

import copy
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import linen, nnx
from numpy import ndarray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import zz_feature_map
from qiskit.primitives import BackendEstimatorV2

import qmljax as qj
from qmljax._models import qnn
from qmljax.flax import QuantumLayer
from qmljax.primitives import Estimator, PrimitiveBackend

# Two qubits that turn by x + w about Y: <Z> = cos, <X> = sin.
x2, w2 = ParameterVector("x", 2), ParameterVector("w", 2)


def rotations(trained: bool = True) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(x2[q] + w2[q] if trained else x2[q], q)
    return circuit


def cosines(w: ndarray, x: ndarray) -> ndarray:
    return np.cos(x + w)


def outcomes(w: ndarray, x: ndarray) -> ndarray:
    """(..., 2, 2): the probability of bit i of qubit 1 and bit j of qubit 0."""
    p = np.stack([np.cos((x + w) / 2) ** 2, np.sin((x + w) / 2) ** 2])  # (bit, ..., qubit)
    return np.moveaxis(p[:, None, ..., 1] * p[None, :, ..., 0], (0, 1), (-2, -1))


def projections(w: ndarray, x: ndarray) -> ndarray:
    values = [np.sin(x + w), np.zeros_like(x), np.cos(x + w)]  # X, Y, Z
    return np.stack(values, axis=-1).reshape(*x.shape[:-1], 6)


class Backend:
    """What a `backend=` of a model must have: its functions are those of the simulator."""

    def expectation(self, circuit: Any, observables: Any) -> Callable:
        return qj.expectation(circuit, observables)


def estimator(**options: Any) -> Callable:
    return qj.estimator_qnn(rotations(), ["IZ", "ZI"], inputs=x2, weights=w2, **options)


class Case(NamedTuple):
    model: Callable
    closed_form: Callable[[ndarray, ndarray], ndarray]


MODELS = {
    "estimator": Case(estimator(), cosines),
    "sampler": Case(qj.sampler_qnn(rotations(), inputs=x2, interpret=lambda k: divmod(k, 2)), outcomes),
    "projected": Case(qj.projected_kernel(rotations(), weights=w2).as_qnn(), projections),
    "on a backend": Case(estimator(backend=Backend()), cosines),
    "projected on a backend": Case(
        qj.projected_kernel(rotations(), weights=w2, backend=Backend()).as_qnn(), projections
    ),
    "without weights": Case(qj.projected_kernel(rotations(trained=False)).as_qnn(), projections),
}
each_model = pytest.mark.parametrize(("model", "closed_form"), MODELS.values(), ids=MODELS)


def points(*shape: int) -> ndarray:
    return np.random.default_rng(5).uniform(-2, 2, shape).astype(np.float32)


def layer(model: Callable = MODELS["estimator"].model, seed: int = 0, **options: Any) -> QuantumLayer:
    return QuantumLayer(model, rngs=nnx.Rngs(seed), **options)


def weights_of(module: QuantumLayer) -> ndarray:
    return np.zeros(2) if module.weights is None else np.asarray(module.weights[...], np.float64)


def network(seed: int = 0, model: Callable = MODELS["estimator"].model) -> nnx.Sequential:
    rngs = nnx.Rngs(seed)
    return nnx.Sequential(
        nnx.Linear(3, 2, rngs=rngs),
        QuantumLayer(model, rngs=rngs),
        nnx.Linear(2, 1, rngs=rngs),
    )


def squares(module: nnx.Module, x: Any, y: Any) -> Any:
    return jnp.mean((module(x) - y) ** 2)


# Values.


@each_model
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3), (0,)], ids=str)
def test_outputs_are_those_of_the_closed_form(model, closed_form, batch):
    module, x = layer(model), points(*batch, 2)
    out = module(x)
    assert out.shape == (*batch, *module.output_shape) and out.dtype == jnp.float32
    np.testing.assert_allclose(out, closed_form(weights_of(module), x), atol=1e-5)
    np.testing.assert_allclose(nnx.jit(lambda m, x: m(x))(module, x), out, atol=1e-6)


@each_model
def test_gradients_are_those_of_the_closed_form(model, closed_form):
    module, x, h = layer(model), points(4, 2), 1e-4
    weighting = np.random.default_rng(1).normal(size=(4, *module.output_shape)).astype(np.float32)

    def value(w, x):
        return np.sum(weighting * closed_form(w, x))

    w = weights_of(module)
    if module.weights is not None:
        grads = nnx.grad(lambda m: jnp.sum(weighting * m(x)))(module)
        expected = [(value(w + h * e, x) - value(w - h * e, x)) / (2 * h) for e in np.eye(2)]
        np.testing.assert_allclose(grads["weights"][...], expected, atol=1e-4)
    by_x = jax.grad(lambda x: jnp.sum(weighting * module(x)))(x)
    for at in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[at] = h
        assert by_x[at] == pytest.approx((value(w, x + e) - value(w, x - e)) / (2 * h), abs=1e-4)


def test_without_weights_there_is_no_param():
    module = layer(MODELS["without weights"].model)
    assert module.weights is None and not jax.tree.leaves(nnx.state(module, nnx.Param))


def test_no_inputs():
    circuit = QuantumCircuit(1)
    circuit.ry(w2[0], 0)
    module = layer(qj.estimator_qnn(circuit, inputs=[]))
    np.testing.assert_allclose(module(np.zeros((3, 0))), np.full((3, 1), np.cos(module.weights[0])), rtol=1e-5)


def test_projections_are_an_estimator():
    feature_map = zz_feature_map(2)
    kernel = qj.projected_kernel(feature_map)
    paulis = ["IX", "IY", "IZ", "XI", "YI", "ZI"]
    assert kernel.as_qnn() == qj.estimator_qnn(feature_map, paulis, inputs=feature_map.parameters)
    np.testing.assert_allclose(layer(kernel.as_qnn())(points(4, 2)), kernel.projections(points(4, 2)), atol=1e-6)


# How a layer starts, and dtypes.


def test_weights_start_uniformly_and_from_the_key():
    theta = ParameterVector("theta", 500)
    circuit = QuantumCircuit(1)
    for t in theta:
        circuit.ry(t, 0)
    model = qj.estimator_qnn(circuit, inputs=[])
    weights = np.asarray(layer(model).weights[...])
    assert weights.shape == (500,) and weights.dtype == np.float32
    assert -1 <= weights.min() < -0.95 and 0.95 < weights.max() < 1 and abs(weights.mean()) < 0.1
    np.testing.assert_array_equal(layer(model).weights[...], weights)
    assert not np.array_equal(layer(model, seed=1).weights[...], weights)
    rngs = nnx.Rngs(0)
    first, second = (QuantumLayer(model, rngs=rngs) for _ in range(2))
    assert not np.array_equal(first.weights[...], second.weights[...])
    only_params = QuantumLayer(model, rngs=nnx.Rngs(params=0))
    np.testing.assert_array_equal(
        only_params.weights[...], jax.random.uniform(nnx.Rngs(params=0).params(), (500,), minval=-1)
    )


def test_initializers():
    np.testing.assert_array_equal(layer(init=nnx.initializers.zeros).weights[...], [0, 0])
    start = np.float32([0.3, -0.4])
    np.testing.assert_array_equal(layer(init=nnx.initializers.constant(start)).weights[...], start)


@pytest.mark.usefixtures("x64", "standard_promotion")
@pytest.mark.parametrize("of_weights", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("of_x", ["float32", "float64"])
def test_the_dtype_follows_weights_and_inputs(of_weights, of_x):
    for model, closed_form in (MODELS["estimator"], MODELS["without weights"]):
        module, x = layer(model, param_dtype=of_weights), points(3, 2).astype(of_x)
        out, computed = module(x), "float64" if "float64" in (of_weights, of_x) else "float32"
        if module.weights is not None:
            assert module.weights.dtype == of_weights
            grads = nnx.grad(lambda m: m(x).sum())(module)  # noqa: B023
            assert grads["weights"].dtype == of_weights
        assert out.dtype == computed
        tolerance = 1e-12 if computed == "float64" else 1e-5
        np.testing.assert_allclose(out, closed_form(weights_of(module), x.astype(float)), atol=tolerance)


def test_integers_are_angles():
    module = layer()
    np.testing.assert_allclose(module([[1, 2]]), np.cos(weights_of(module) + [[1, 2]]), atol=1e-5)
    np.testing.assert_allclose(module(np.uint8([3, 2])), np.cos(weights_of(module) + [3, 2]), atol=1e-5)


# Transformations.


def test_one_trace_for_a_batch_shape(monkeypatch):
    traces, read = [], qnn.EstimatorQNN._read
    monkeypatch.setattr(qnn.EstimatorQNN, "_read", lambda self, s: traces.append(s.shape) or read(self, s))
    calls = []

    @nnx.jit
    def forward(module, x):
        calls.append(x.shape)
        return module(x)

    def build(seed):  # equal models that are not the same object
        circuit = rotations()
        circuit.rz(0.123456, 0)  # a circuit of this test alone
        return layer(qj.estimator_qnn(circuit, ["IZ", "ZX"], inputs=x2), seed)

    module = build(0)
    for seed in range(3):
        forward(module, points(5, 2) * seed)
        forward(build(seed), points(5, 2))
    assert (len(calls), len(traces)) == (1, 1)
    forward(module, points(6, 2))
    assert (len(calls), len(traces)) == (2, 2)


def test_a_training_step_is_traced_once():
    calls = []

    @nnx.jit
    def step(module, optimizer, x, y):
        calls.append(x.shape)
        optimizer.update(module, nnx.grad(squares)(module, x, y))

    module = network()
    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)
    for _ in range(4):
        step(module, optimizer, points(5, 3), points(5, 1))
    assert len(calls) == 1


def test_jax_grad_through_split_is_nnx_grad():
    module, x, y = network(model=estimator(compile=True)), points(8, 3), points(8, 1)
    graphdef, state = nnx.split(module)
    by_split = jax.jit(jax.grad(lambda state: squares(nnx.merge(graphdef, state), x, y)))(state)
    by_nnx = nnx.grad(squares)(module, x, y)
    assert jax.tree.structure(by_split) == jax.tree.structure(by_nnx)
    assert len(jax.tree.leaves(by_nnx)) == 5 and all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(by_nnx))
    for one, other in zip(jax.tree.leaves(by_split), jax.tree.leaves(by_nnx), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_split_is_hashed_and_compared_by_the_value_of_the_model():
    one, two = nnx.graphdef(layer(estimator())), nnx.graphdef(layer(estimator(), seed=1))
    assert one == two and hash(one) == hash(two)
    assert one != nnx.graphdef(layer(qj.estimator_qnn(rotations(), ["ZI", "IZ"], inputs=x2, weights=w2)))


def ensemble(size: int) -> QuantumLayer:
    build = nnx.split_rngs(splits=size)(nnx.vmap(lambda rngs: QuantumLayer(MODELS["estimator"].model, rngs=rngs)))
    return build(nnx.Rngs(0))


def test_an_ensemble_under_vmap():
    layers, x = ensemble(4), points(3, 2)
    w = weights_of(layers)
    assert w.shape == (4, 2) and len(np.unique(w)) == 8
    out = nnx.vmap(lambda module, x: module(x), in_axes=(0, None))(layers, x)
    np.testing.assert_allclose(out, np.cos(x[None] + w[:, None]), atol=1e-5)
    with pytest.raises(ValueError, match=r"must have shape \(2,\), but has shape \(4, 2\)"):
        layers(x)


def test_samples_under_vmap():
    module, x = layer(), points(3, 2)
    np.testing.assert_allclose(nnx.vmap(module)(x), np.cos(x + weights_of(module)), atol=1e-5)


def test_stacked_layers_under_scan():
    layers, x = ensemble(3), points(5, 2)

    @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
    def forward(module, x):
        return module(x)

    expected = x
    for w in weights_of(layers):
        expected = np.cos(expected + w)
    np.testing.assert_allclose(forward(layers, x), expected, atol=1e-5)
    grads = nnx.grad(lambda layers: forward(layers, x)[:, 0].sum())(layers)["weights"][...]
    a, b, c = weights_of(layers)[:, 0]
    inner = np.cos(x[:, 0] + a) + b
    last = -np.sin(np.cos(inner) + c)
    middle = last * -np.sin(inner)
    first = middle * -np.sin(x[:, 0] + a)
    np.testing.assert_allclose(grads[:, 0], [first.sum(), middle.sum(), last.sum()], atol=1e-5)
    np.testing.assert_allclose(grads[:, 1], 0, atol=1e-6)


# Training.


@pytest.mark.usefixtures("standard_promotion")
def test_the_optimizer_steps_as_optax_on_the_plain_function():
    case, x, y = MODELS["estimator"], points(6, 2), points(6, 2)
    module = layer(case.model)
    weights = module.weights[...]
    optimizer = nnx.Optimizer(module, optax.adam(0.1), wrt=nnx.Param)
    tx = optax.adam(0.1)
    state = tx.init(weights)
    for _ in range(3):
        optimizer.update(module, nnx.grad(squares)(module, x, y))
        gradient = np.mean(-2 * (np.cos(x + weights) - y) * np.sin(x + weights), axis=0) / 2  # of the closed form
        updates, state = tx.update(jnp.asarray(gradient), state)
        weights = optax.apply_updates(weights, updates)
    np.testing.assert_allclose(module.weights[...], weights, atol=1e-4)
    assert np.abs(weights_of(layer(case.model)) - weights).max() > 0.2


@pytest.mark.usefixtures("standard_promotion")
def test_a_hybrid_network_trains():
    x = points(64, 3)
    y = np.sign(x[:, :1] * x[:, 1:2])  # which no linear network tells
    module = network()
    optimizer = nnx.Optimizer(module, optax.adam(0.05), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer):
        loss, grads = nnx.value_and_grad(squares)(module, x, y)
        optimizer.update(module, grads)
        return loss

    start = weights_of(module.layers[1])
    losses = [float(step(module, optimizer)) for _ in range(300)]
    assert losses[0] > 0.9 and losses[-1] < 0.3
    assert np.abs(weights_of(module.layers[1]) - start).min() > 0.01
    assert np.mean(np.sign(module(x)) == y) > 0.9


def losses_on(backend: Any) -> ndarray:
    """Of a hybrid network in training."""
    module, x = network(model=estimator(backend=backend)), points(4, 3)
    optimizer = nnx.Optimizer(module, optax.adam(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer):
        loss, grads = nnx.value_and_grad(squares)(module, x, np.sign(x[:, :1]))
        optimizer.update(module, grads)
        return loss

    return np.array([step(module, optimizer) for _ in range(4)])


@pytest.mark.usefixtures("standard_promotion")
def test_a_hybrid_network_trains_on_primitives():
    np.testing.assert_allclose(losses_on(PrimitiveBackend(Estimator())), losses_on(None), rtol=1e-4)


@pytest.mark.usefixtures("standard_promotion")
def test_a_hybrid_network_trains_on_a_device_with_noise():
    pytest.importorskip("qiskit_aer")
    device = pytest.importorskip("qiskit_ibm_runtime.fake_provider").FakeManilaV2()
    primitive = BackendEstimatorV2(backend=device, options={"seed_simulator": 1})
    losses, exact = losses_on(PrimitiveBackend(primitive, shots=1000)), losses_on(None)
    assert losses[-1] < losses[0] and not np.array_equal(losses, exact)
    np.testing.assert_allclose(losses, exact, rtol=0, atol=0.15)


# Copies and checkpoints.


def merged(module: nnx.Module) -> nnx.Module:
    return nnx.merge(*nnx.split(module), copy=True)


def through_pickle(module: nnx.Module) -> nnx.Module:
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("copy_of", [merged, nnx.clone, copy.deepcopy, through_pickle])
def test_copies_are_equal_and_apart(copy_of):
    module, x = layer(estimator(compile=True)), points(3, 2)  # by one program, whoever called an equal one before
    before = module(x)
    other = copy_of(module)
    assert other.model == module.model
    np.testing.assert_array_equal(other(x), before)
    other.weights[...] = other.weights[...] + 1
    np.testing.assert_array_equal(module(x), before)
    assert np.abs(other(x) - before).max() > 0.1


@pytest.mark.parametrize("name", ["estimator", "without weights"])
def test_checkpoints(name, tmp_path):
    def build(seed):
        rngs = nnx.Rngs(seed)
        return nnx.Sequential(nnx.Linear(3, 2, rngs=rngs), QuantumLayer(MODELS[name].model, rngs=rngs))

    module, x = build(0), points(4, 3)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", nnx.state(module))
        checkpointer.wait_until_finished()
        graphdef, abstract = nnx.split(nnx.eval_shape(lambda: build(1)))
        restored = nnx.merge(graphdef, checkpointer.restore(tmp_path / "saved", abstract))
    np.testing.assert_array_equal(restored(x), module(x))
    assert not np.array_equal(build(1)(x), module(x))


# Linen.


def test_as_a_linen_layer():
    model = MODELS["estimator"].model

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.Dense(2)(x)
            x = nnx.bridge.to_linen(QuantumLayer, model, init=nnx.initializers.normal(0.1), name="quantum")(x)
            return linen.Dense(1)(x)

    x, y = points(6, 3), points(6, 1)
    module = Network()
    out, variables = jax.jit(lambda key: module.init_with_output(key, x))(jax.random.key(0))
    assert variables["params"]["quantum"]["weights"].shape == (2,)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])

    def closed_form(params):
        hidden = x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
        turned = np.cos(hidden + params["quantum"]["weights"])
        return turned @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]

    np.testing.assert_allclose(out, closed_form(params), atol=1e-5)
    np.testing.assert_allclose(jax.jit(module.apply)(variables, x), out, atol=1e-6)
    grads = jax.grad(lambda v: jnp.mean((module.apply(v, x) - y) ** 2))(variables)["params"]
    for k in range(2):
        values = []
        for h in (1e-4, -1e-4):
            moved = copy.deepcopy(params)
            moved["quantum"]["weights"][k] += h
            values.append(np.mean((closed_form(moved) - y) ** 2))
        assert grads["quantum"]["weights"][k] == pytest.approx((values[0] - values[1]) / 2e-4, abs=1e-4)


# What is shown, and what is refused.


@pytest.mark.filterwarnings("ignore:The chararray class:DeprecationWarning")  # which treescope touches
def test_the_repr_shows_the_circuit_the_inputs_and_the_weights(capsys):
    import treescope

    lines = [
        "QuantumLayer( # Param: 2 (8 B)",
        "circuit='2 qubits, 2 operations'",
        "in_features=2",
        "output_shape=(2,)",
        "weights=Param( # 2 (8 B)",
    ]
    nnx.display(layer())
    for shown in (repr(layer()), treescope.render_to_text(layer()), capsys.readouterr().out):
        assert all(line in shown for line in lines), shown
        assert "Program" not in shown and len(shown.splitlines()) == 9, shown
    assert "output_shape=(6,)" in repr(layer(MODELS["without weights"].model))
    assert "weights=None" in repr(layer(MODELS["without weights"].model))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((4, 3)), ValueError, r"`x` must have 2 elements in its last axis, one for each of x\[0\], x\[1\]"),
        (np.zeros((2, 1)), ValueError, r"`x` must have 2 elements .* has shape \(2, 1\)"),
        (0.5, ValueError, r"`x` must have 2 elements"),
        (np.zeros((3, 2), complex), TypeError, "`x` must hold real numbers, but has dtype complex128"),
        (np.array(["a", "b"]), TypeError, "`x` must hold real numbers"),
    ],
)
def test_wrong_inputs_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        layer()(x)
    if np.asarray(x).dtype.kind != "U":
        with pytest.raises(error, match=message.replace("complex128", "complex64")):
            nnx.jit(lambda module, x: module(x))(layer(), x)


@pytest.mark.parametrize(
    "model",
    [
        rotations(),
        qj.expectation(rotations(), "ZZ"),
        qj.projected_kernel(rotations(), weights=w2),
        qj.projected_kernel(rotations(), weights=w2).projections,
        lambda weights, x: x,
        None,
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match=r"`model` must be what .* or `kernel.as_qnn\(\)`"):
        layer(model)


@pytest.mark.parametrize("name", MODELS)
def test_wrong_dtypes_of_weights_are_refused(name):
    with pytest.raises(TypeError, match="`param_dtype` must be a real floating point dtype, but is complex64"):
        layer(MODELS[name].model, param_dtype=jnp.complex64)
    with pytest.raises(TypeError, match="but is int32"):
        layer(MODELS[name].model, param_dtype=int if jnp.result_type(int) == np.int64 else np.int32)
    with pytest.raises(TypeError, match="`param_dtype` is float64, but JAX has 64 bits only with"):
        layer(MODELS[name].model, param_dtype=np.float64)


def test_missing_flax_is_named():
    script = "import sys; sys.modules['flax'] = None; import qmljax; print('fine'); import qmljax.flax"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and done.stdout == "fine\n"
    assert "ImportError: qmljax.flax needs Flax: pip install 'flax>=0.12'." in done.stderr


LAYERS = Path(__file__).parents[1] / "docs" / "layers.md"
CODE = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)


@pytest.mark.usefixtures("standard_promotion")
def test_the_documentation_prints_what_it_shows(capsys):
    names, run = {}, CODE.findall(LAYERS.read_text(encoding="utf-8"))
    assert len(run) == 6
    for source, shown in run:
        exec(compile(source, "layers.md", "exec"), names)
        assert capsys.readouterr().out == shown


@pytest.mark.usefixtures("standard_promotion")  # of weights and inputs of different widths
def test_networks_in_bfloat16():
    """Layers behind get what they expect. Oracle: the same weights in float32."""
    name = next(iter(MODELS))
    narrow, wide = layer(MODELS[name].model, param_dtype=jnp.bfloat16), layer(MODELS[name].model)
    wide.weights[...] = narrow.weights[...].astype(np.float32)
    x = np.random.default_rng(0).uniform(-1, 1, (3, narrow.in_features)).astype(jnp.bfloat16)
    out = narrow(x)
    assert out.dtype == jnp.bfloat16 and narrow(x.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(out.astype(np.float32), wide(x.astype(np.float32)), rtol=0, atol=1e-2)
