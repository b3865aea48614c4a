"""PyTorch: derivatives against PyTorch's own checks, JAX's and closed forms; memory, dtypes, modules, mistakes."""

import copy
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import BackendEstimatorV2
from test_architecture import run_python

import qmljax as qj
from qmljax.primitives import Estimator, PrimitiveBackend

torch = pytest.importorskip("torch")
from torch import func  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

import qmljax.torch  # noqa: E402
from qmljax.torch import TorchConnector, _tensors, torch_function  # noqa: E402

# PyTorch deprecates functions that it still calls itself, when forward mode or the compiler is first used.
torch.set_num_threads(1)  # more wait for one another, where the tensors are small

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")


def circuit():
    x, w, circuit = ParameterVector("x", 2), ParameterVector("w", 2), QuantumCircuit(2)
    circuit.ry(x[0], 0), circuit.rx(x[1] * w[1], 1), circuit.cx(0, 1), circuit.ry(w[0], 1)
    return circuit, x


CIRCUIT, INPUTS = circuit()
ESTIMATOR = qj.estimator_qnn(CIRCUIT, ["ZI", "XX"], inputs=INPUTS)
SAMPLER = qj.sampler_qnn(CIRCUIT, inputs=INPUTS, interpret=lambda z: z.bit_count() % 2)
SMALL, SMALL_INPUTS = QuantumCircuit(1), ParameterVector("x", 2)  # the checks compile dozens of functions
SMALL_WEIGHTS = ParameterVector("w", 2)
SMALL.ry(SMALL_INPUTS[0], 0), SMALL.rx(SMALL_INPUTS[1] * SMALL_WEIGHTS[1], 0), SMALL.ry(SMALL_WEIGHTS[0], 0)
SMALL_ESTIMATOR = qj.estimator_qnn(SMALL, ["Z", "X"], inputs=SMALL_INPUTS)
SMALL_SAMPLER = qj.sampler_qnn(SMALL, inputs=SMALL_INPUTS)
TRAINED = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
LEADS = [(), (2,), (2, 1), (1, 2, 1)]


def arguments(*lead, dtype=torch.float64, requires_grad=False):
    """Weights and inputs of the models above."""
    random = torch.Generator().manual_seed(len(lead))
    weights, x = (torch.rand(shape, dtype=dtype, generator=random) for shape in ((2,), (*lead, 2)))
    return weights.requires_grad_(requires_grad), x.requires_grad_(requires_grad)


def to_jax(*tensors):
    """By numpy, with 64-bit types. Use it inside `jax.enable_x64`."""
    return [jnp.asarray(t.detach().numpy()) for t in tensors]


def assert_close(tensor, array, atol=1e-10):
    np.testing.assert_allclose(tensor.detach().numpy(), np.asarray(array), rtol=0, atol=atol)


# Derivatives.


@pytest.mark.parametrize("lead", LEADS, ids=len)
@pytest.mark.parametrize("model", [SMALL_ESTIMATOR, SMALL_SAMPLER], ids=["estimator", "sampler"])
def test_gradcheck(model, lead):
    f, given = torch_function(model), arguments(*lead, requires_grad=True)
    batched = {"check_batched_grad": True}
    assert torch.autograd.gradcheck(f, given, check_forward_ad=True, check_batched_forward_grad=True, **batched)
    assert torch.autograd.gradgradcheck(f, given, check_fwd_over_rev=True, check_rev_over_rev=True, **batched)


@pytest.mark.parametrize("model", [ESTIMATOR, SAMPLER], ids=["estimator", "sampler"])
def test_derivatives_are_those_of_jax(model):
    f, given = torch_function(model), arguments(3)
    both = (0, 1)
    with jax.enable_x64(True):
        w, x = to_jax(*given)
        value, jacobian, hessian = model(w, x), jax.jacobian(model, both)(w, x), jax.hessian(model)(w, x)
        per_sample = jax.vmap(jax.hessian(model), (None, 0))(w, x)
        gradient = jax.grad(lambda w, x: jnp.sum(model(w, x) ** 2), both)(w, x)
    assert_close(f(*given), value)
    for mode in (func.jacrev, func.jacfwd):
        for got, right in zip(mode(f, both)(*given), jacobian, strict=True):
            assert_close(got, right)
    for outer in (func.jacrev, func.jacfwd):
        for inner in (func.jacrev, func.jacfwd):
            assert_close(outer(inner(f))(*given), hessian)
    assert_close(func.hessian(f)(*given), hessian)
    assert_close(func.vmap(func.hessian(f), (None, 0))(*given), per_sample)
    for got, right in zip(func.grad(lambda w, x: (f(w, x) ** 2).sum(), both)(*given), gradient, strict=True):
        assert_close(got, right)
    leaves = [t.clone().requires_grad_() for t in given]
    (f(*leaves) ** 2).sum().backward()
    for leaf, right in zip(leaves, gradient, strict=True):
        assert_close(leaf.grad, right)


def test_closed_form():
    ry = QuantumCircuit(1)
    ry.ry(Parameter("t"), 0)
    f = torch_function(qj.expectation(ry, "Z"))
    t = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    value = f(t)
    derivatives = [value]
    for _ in range(3):
        derivatives.append(torch.autograd.grad(derivatives[-1].sum(), t, create_graph=True)[0])
    right = [np.cos(0.3), -np.sin(0.3), -np.cos(0.3), np.sin(0.3)]
    assert_close(torch.cat([d.reshape(1) for d in derivatives]), right, 1e-14)


def test_vmap_in_any_axes():
    f, (w, x) = torch_function(ESTIMATOR), arguments(3)
    ensemble = torch.rand(2, 4, dtype=torch.float64)  # weights along axis 1
    loop = torch.stack([f(ensemble[:, k], x) for k in range(4)])
    assert_close(torch.vmap(f, (1, None))(ensemble, x), loop, 1e-14)
    nested = torch.vmap(torch.vmap(f, (None, 0)), (1, None))(ensemble, x)
    assert_close(nested, loop, 1e-14)
    jacobian = func.jacrev(f)(w, x)
    rows = torch.autograd.functional.jacobian(lambda w: f(w, x), w, vectorize=True)
    columns = torch.autograd.functional.jacobian(lambda w: f(w, x), w, vectorize=True, strategy="forward-mode")
    assert_close(rows, jacobian, 1e-14), assert_close(columns, jacobian, 1e-14)


def test_complex_gradients_follow_pytorch():
    """The oracle is PyTorch's own derivative of the same formula."""
    formula = {"jax": lambda z: jnp.exp(z * 1j) * z**2, "torch": lambda z: torch.exp(z * 1j) * z**2}
    f = torch_function(formula["jax"])
    grads = []
    for g in (f, formula["torch"]):
        z = torch.tensor([0.3 + 0.4j, -1 + 2j], dtype=torch.complex128, requires_grad=True)
        (g(z).abs() ** 2).sum().backward()
        grads.append(z.grad)
    assert_close(grads[0], grads[1].numpy())
    z.grad = None
    assert torch.autograd.gradcheck(f, (z,), check_forward_ad=True) and torch.autograd.gradgradcheck(f, (z,))
    assert_close(f(z.detach().conj()), formula["torch"](z.conj()).detach().numpy())  # a view with its bit set


def test_pytrees_constants_and_integers():
    def jax_function(tree, *, key=None, power=1):
        a, b = tree["a"], tree["b"][0]
        noise = 0 if key is None else jax.random.normal(key, a.shape)
        return {"sum": (a + b) ** power + noise, "count": (jnp.sum(a > b), None), "b": b}

    f = torch_function(jax_function)
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 0.5], requires_grad=True)
    out = f({"a": a, "b": (b, None)}, power=2)
    assert out["count"][0].item() == 1 and not out["count"][0].requires_grad and out["count"][1] is None
    out["sum"].sum().backward()
    assert_close(a.grad, [8, 5], 1e-6), assert_close(b.grad, [8, 5], 1e-6)
    noisy = [f({"a": a, "b": [b]}, key=jax.random.key(k))["sum"] for k in (0, 0, 1)]
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])
    assert torch.vmap(lambda a: f({"a": a, "b": (b,)})["count"][0])(torch.rand(4, 2)).shape == (4,)


def test_only_what_is_needed_is_differentiated():
    traced = []

    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(
        lambda x: (traced.append("forward"), (x**2, x))[1], lambda x, ct: (traced.append("back"), (ct * x,))[1]
    )
    f = torch_function(lambda w, x: w * square(x))
    w, x = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    f(w, x).backward()
    assert w.grad == 9 and traced == []
    f(w, x.requires_grad_()).backward()
    assert x.grad == 6 and "back" in traced  # the rule above says half of what is right


# Memory.


def test_memory_is_shared():
    tensor = torch.rand(4, 3, requires_grad=True)
    for given in (
        tensor,
        tensor[1:2],
        torch.nn.Parameter(tensor),
        torch.rand(3, dtype=torch.float64),
        torch.ones(2) > 0,
    ):
        array = _tensors.to_jax(given)
        assert array.__array_interface__["data"][0] == given.data_ptr()
    half = torch.rand(64).to(torch.bfloat16)
    assert _tensors.to_jax(half).unsafe_buffer_pointer() == half.data_ptr()
    array = jnp.arange(4.0) + 1
    place = array.unsafe_buffer_pointer()
    assert _tensors.to_torch(array, set()).data_ptr() == place
    assert _tensors.to_torch(array, {place}).data_ptr() != place  # that of an argument, if JAX hands it through


def test_changes_in_place_alter_nothing_else():
    for jax_function in (lambda x: x, lambda x: jnp.ones(3), lambda x: x.T.T, lambda x: (x, x)[1]):
        f, x = torch_function(jax_function), torch.rand(3)
        before, out = x.clone(), f(x)
        right = out.clone()
        out.mul_(5)
        assert torch.equal(x, before) and torch.equal(f(x), right)
        x.zero_()
        assert torch.equal(out, 5 * right)
    a, b = (torch.ones(3, requires_grad=True) for _ in range(2))
    torch_function(jnp.add)(a, b).backward(given := torch.ones(3))
    a.grad.mul_(5)
    assert torch.equal(b.grad, torch.ones(3)) and torch.equal(given, torch.ones(3))
    first, second = torch_function(lambda x: (y := jnp.sin(x), y))(x)
    first.fill_(7)
    assert not torch.equal(first, second)


def test_a_change_before_the_backward_pass_is_refused():
    w, x = arguments(3, requires_grad=True)
    out = torch_function(ESTIMATOR)(w, x)
    with torch.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::2],
        lambda x: x[:, 1:],
        lambda x: x[1:],
        lambda x: x[:1].expand(4, -1),
        lambda x: x[:0],
    ],
)
def test_any_strides(view):
    f, x = torch_function(lambda x: jnp.sin(x) * x), torch.rand(2, 2, requires_grad=True)
    (given,) = torch.autograd.grad(f(view(x)).sum(), x)
    (right,) = torch.autograd.grad((view(x).sin() * view(x)).sum(), x)
    assert_close(given, right.numpy(), 1e-6)
    half = view(torch.rand(4, 4).bfloat16())  # a dtype that numpy lacks
    assert torch.equal(torch_function(lambda x: -x)(half), -half)


def test_checkpoints_and_repeated_backward_passes():
    w, x = arguments(3, requires_grad=True)
    f = torch_function(ESTIMATOR)
    (right,) = torch.autograd.grad(f(w, x).sum(), w)
    out = torch.utils.checkpoint.checkpoint(f, w, x, use_reentrant=False)
    for retain in (True, False):
        assert_close(torch.autograd.grad(out.sum(), w, retain_graph=retain)[0], right.numpy(), 1e-14)
    with torch.autograd.graph.save_on_cpu():
        out = f(w, x)
    assert_close(torch.autograd.grad(out.sum(), w)[0], right.numpy(), 1e-14)


# Dtypes.


def test_64_bits_are_never_narrowed():
    assert not jax.config.jax_enable_x64
    f = torch_function(jnp.sin)
    x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    assert_close(f(x), np.sin([1.0]), 1e-16)
    f(x).backward()
    assert x.grad.dtype == torch.float64
    assert_close(x.grad, np.cos([1.0]), 1e-16)
    large = torch.tensor([1 << 40])
    assert torch_function(lambda n: n + 1)(large).item() == (1 << 40) + 1
    with jax.enable_x64(True):
        constant = jnp.array([0.1])
    assert_close(torch_function(lambda x, c: x.astype(c.dtype) + c)(torch.zeros(1), constant), [0.1], 1e-16)
    assert f(torch.ones(1)).dtype == torch.float32 and not jax.config.jax_enable_x64


def test_dtypes_of_a_layer():
    layer = TorchConnector(ESTIMATOR, [0.1, 0.2])
    w, x = layer.weight, torch.rand(3, 2)
    assert w.dtype == torch.float32 and layer(x).dtype == torch.float32
    assert layer(x.double()).dtype == torch.float64
    assert_close(layer(torch.tensor([1, 2])), layer(torch.tensor([1.0, 2.0])).detach(), 1e-7)
    assert layer(torch.tensor([1, 2])).dtype == torch.float32
    assert_close(layer(x.half()), layer(x).detach(), 1e-2)
    with torch.autocast("cpu", torch.bfloat16):
        out = torch.nn.Sequential(torch.nn.Linear(3, 2), layer, torch.nn.Linear(2, 1))(torch.rand(5, 3))
        out.float().sum().backward()
    assert w.grad.dtype == torch.float32 and w.grad.abs().sum() > 0
    assert TorchConnector(ESTIMATOR, torch.zeros(2).double()).weight.dtype == torch.float64
    for weights in (np.zeros(2), [0.0, 0.0], [0, 0], jnp.zeros(2), np.zeros(2, np.float64)[::1]):
        assert TorchConnector(ESTIMATOR, weights).weight.dtype == torch.float32  # as the rest of the network has
    assert TorchConnector(ESTIMATOR, np.zeros(2, int)).weight.dtype == torch.float32
    assert layer.double()(x.double()).dtype == torch.float64


# Layers.


def test_a_layer_is_a_module():
    torch.manual_seed(0)
    layer = TorchConnector(ESTIMATOR)
    assert list(layer.state_dict()) == ["weight"] and layer.weight.abs().max() <= 1
    assert repr(layer) == "TorchConnector(inputs=2, weights=2, output_shape=(2,))"
    x = torch.rand(3, 2)
    twins = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), TorchConnector(ESTIMATOR)
    assert not torch.equal(twins[2].weight, layer.weight)
    twins[2].load_state_dict(layer.state_dict())
    for twin in twins:
        assert torch.equal(twin(x), layer(x)) and twin.weight.data_ptr() != layer.weight.data_ptr()
    weights = torch.ones(2)
    right = torch_function(ESTIMATOR)(weights, x)
    assert torch.equal(func.functional_call(layer, {"weight": weights}, x), right)
    copied = TorchConnector(ESTIMATOR, weights)
    weights.zero_()
    assert torch.equal(copied(x), right)


@pytest.mark.parametrize(
    "weights",
    [[1.0, 2.0], (torch.tensor(1.0), 2), np.array([2, 1])[::-1], jnp.array([1.0, 2.0]), TRAINED],
    ids=["list", "tuple", "backwards", "jax", "parameter"],
)
def test_initial_weights_of_any_kind(weights):
    layer = TorchConnector(ESTIMATOR, weights)
    with torch.no_grad():
        layer.weight.mul_(5)
        assert layer.weight.tolist() == [5, 10] and [float(torch.as_tensor(w).detach()) for w in weights] == [1, 2]


def test_a_layer_is_traced_once_for_a_shape():
    traced = []

    def model(weights, x):
        traced.append(x.shape)
        return weights[None] * x

    model.num_weights = model.num_inputs = 2
    layer = TorchConnector(model)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.rand(3, 2)).sum().backward()
        optimizer.step()
    assert len(traced) == 2  # once forwards and once backwards
    equal = qj.estimator_qnn(circuit()[0], ["ZI", "XX"], inputs=circuit()[1])
    assert torch_function(equal)._flat is torch_function(ESTIMATOR)._flat


def test_without_inputs_and_without_gradients():
    generator = TorchConnector(qj.sampler_qnn(CIRCUIT, inputs=[]))
    assert generator().shape == (4,) and generator(torch.zeros(3, 0)).shape == (3, 4)
    generator().square().sum().backward()
    assert generator.weight.grad.shape == (4,)
    with torch.no_grad():
        assert not generator().requires_grad
    with torch.inference_mode():
        assert generator().is_inference()


def test_compiled_networks():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), TorchConnector(ESTIMATOR), torch.nn.Linear(2, 1))
    x = torch.rand(5, 3)
    network(x).sum().backward()
    right = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler provokes warnings of PyTorch while it looks at tensors
        out = torch.compile(network, backend="eager")(x)
    assert_close(out, network(x).detach(), 1e-6)
    out.sum().backward()
    for p, grad in zip(network.parameters(), right, strict=True):
        assert_close(p.grad, grad, 1e-6)


def test_what_is_compiled_may_transform_functions():
    f, (w, x) = torch_function(ESTIMATOR), arguments()

    def gradient(w):
        return func.grad(lambda w: f(w, x).sum())(w)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_close(torch.compile(gradient, backend="aot_eager")(w), gradient(w).numpy())


@pytest.mark.parametrize(
    "record",
    [
        lambda f, w: func.linearize(f, w),
        lambda f, w: make_fx(f)(w),
        lambda f, w: torch.jit.trace(f, w, check_trace=False),
    ],
    ids=["linearize", "make_fx", "trace"],
)
def test_a_record_that_would_lack_the_function_is_refused(record):
    f, (w, x) = torch_function(ESTIMATOR), arguments()
    with pytest.raises(RuntimeError, match="would be missing from the record. Use torch.compile"):
        record(lambda w: f(w, x), w)


class Encoded(torch.utils.data.Dataset):
    """What a quantum layer makes of points: the layer travels to the workers."""

    def __init__(self, layer, x):
        self.layer, self.x = layer, x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        with torch.no_grad():
            return self.layer(self.x[k])


def test_workers():
    layer, x = TorchConnector(ESTIMATOR), torch.rand(4, 2)
    loader = torch.utils.data.DataLoader(Encoded(layer, x), 2, num_workers=1, multiprocessing_context="spawn")
    assert_close(torch.cat(list(loader)), layer(x).detach(), 1e-6)


# On primitives, which run outside of JAX.


class Counting(Estimator):
    """An estimator that counts its jobs."""

    jobs = 0

    def run(self, *args, **keywords):
        self.jobs += 1
        return super().run(*args, **keywords)


def losses_in_training(model, steps):
    """Of a hybrid network, from the same start for all models."""
    torch.manual_seed(0)
    layer = TorchConnector(model, [0.5, -0.5])
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), layer, torch.nn.Linear(2, 1))
    optimizer, losses, points = torch.optim.Adam(network.parameters(), 0.1), [], torch.rand(4, 2)
    for _ in range(steps):
        losses.append((network(points) - 1).square().mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    return torch.stack(losses).detach().numpy()


def on(primitive, **options):
    return qj.estimator_qnn(CIRCUIT, ["ZI", "XX"], inputs=INPUTS, backend=PrimitiveBackend(primitive, **options))


def test_a_hybrid_network_trains_on_primitives():
    estimator = Counting()
    w, x = arguments(3, requires_grad=True)
    model, exact = torch_function(on(estimator)), torch_function(ESTIMATOR)
    given, right = (torch.autograd.grad(f(w, x).square().sum(), (w, x)) for f in (model, exact))
    assert_close(given[0], right[0].numpy()), assert_close(given[1], right[1].numpy())
    samples = [func.vmap(func.jacfwd(f), (None, 0))(w.detach(), x.detach()) for f in (model, exact)]
    assert_close(samples[0], samples[1].numpy())
    estimator.jobs = 0
    losses = losses_in_training(on(estimator), 4)
    assert estimator.jobs == 2 * 4  # forward and backward
    np.testing.assert_allclose(losses, losses_in_training(ESTIMATOR, 4), rtol=1e-5)


def test_a_layer_on_primitives_travels_after_it_has_run():
    layer, x = TorchConnector(on(Estimator())), torch.rand(3, 2)
    right = layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_close(twin(x), right.detach().numpy(), 1e-6)


def test_a_hybrid_network_trains_on_a_device_with_noise():
    pytest.importorskip("qiskit_aer")
    device = pytest.importorskip("qiskit_ibm_runtime.fake_provider").FakeManilaV2()
    primitive = BackendEstimatorV2(backend=device, options={"seed_simulator": 1})
    losses = losses_in_training(on(primitive, shots=1000), 4)
    exact = losses_in_training(ESTIMATOR, 4)
    assert losses[-1] < 0.5 * losses[0] and not np.array_equal(losses, exact)
    np.testing.assert_allclose(losses, exact, rtol=0, atol=0.15)


# Mistakes.


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones(2), TypeError, "is a ndarray. Make a tensor of it"),
        ("x", TypeError, "is a str"),
        (torch.ones(2, 2).to_sparse(), TypeError, "must be dense"),
        (torch.ones(2, device="meta"), RuntimeError, "device meta, where JAX cannot compute"),
        ((torch.ones(2), torch.ones(2, device="meta")), ValueError, "on one device, but are on cpu, meta"),
    ],
    ids=["numpy", "string", "sparse", "device", "devices"],
)
def test_what_cannot_cross(given, error, message):
    with pytest.raises(error, match=message):
        torch_function(lambda tree: tree)(given)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.ones(4, 3), ValueError, r"`x` must have 2 elements in its last axis, .* \(4, 3\)"),
        (torch.tensor(1.0), ValueError, r"`x` must have 2 elements"),
        (None, ValueError, r"`x` must have 2 elements"),
        (torch.ones(2, dtype=torch.complex64), TypeError, "`x` must be real"),
        (np.ones(2), TypeError, "`x` must be a tensor"),
    ],
)
def test_mistakes_in_inputs(x, error, message):
    with pytest.raises(error, match=message):
        TorchConnector(ESTIMATOR)(x)


@pytest.mark.parametrize(
    ("model", "weights", "error", "message"),
    [
        (ESTIMATOR, np.ones(3), ValueError, r"must have shape \(2,\).*has shape \(3,\)"),
        (ESTIMATOR, torch.ones(2, dtype=torch.complex64), TypeError, "must be real"),
        (jnp.sin, None, TypeError, "there is `torch_function`"),
    ],
)
def test_mistakes_in_layers(model, weights, error, message):
    with pytest.raises(error, match=message):
        TorchConnector(model, weights)


def test_without_pytorch():
    script = """
import sys
sys.modules["torch"] = None
try:
    import qmljax.torch
except ImportError as error:
    print(error)
"""
    assert run_python(script) == "qmljax.torch needs PyTorch: pip install 'qmljax[torch]'.\n"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_of_half_precision(dtype):
    """Layers behind get what they expect. Oracle: the same network in float32."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), TorchConnector(ESTIMATOR), torch.nn.Linear(2, 1))
    wide = copy.deepcopy(network)
    x = torch.rand(5, 3)
    out = network.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert_close(out.float().detach(), wide(x).detach(), 5e-2)
    out.sum().backward()
    assert network[1].weight.grad.dtype == dtype and network[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("weights", [["a", "b"], [None, None], 1j * np.ones(2), [[1.0], [1.0, 2.0]], [np.nan, 1.0]])
def test_initial_weights_that_are_none(weights):
    with pytest.raises((TypeError, ValueError), match="`initial_weights` must"):
        TorchConnector(ESTIMATOR, weights)
