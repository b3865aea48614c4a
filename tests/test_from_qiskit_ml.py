"""The way over from Qiskit Machine Learning: every name of its is in a table, and every way that is named there exists.

The names are recorded below, so that this runs without that library; where it is installed, the record is compared with
it, and so are values.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from qiskit.circuit.library import real_amplitudes, z_feature_map, zz_feature_map

import qmljax as qj

PAGES = Path(__file__).parents[1] / "docs" / "from_qiskit_ml"
INDEX = (PAGES / "index.md").read_text(encoding="utf-8")
NAMES = {  # of version 0.9.1: what its packages export, each where it comes first
    "": "AlgorithmError QiskitMachineLearningError",
    ".algorithms": "BinaryObjectiveFunction MultiClassObjectiveFunction NeuralNetworkClassifier NeuralNetworkRegressor "
    "ObjectiveFunction OneHotObjectiveFunction PegasosQSVC QBayesian QSVC QSVR SerializableModelMixin TrainableModel "
    "VQC VQR",
    ".circuit.library": "qnn_circuit raw_feature_vector",
    ".connectors": "TorchConnector",
    ".datasets": "ad_hoc_data entanglement_concentration_data phase_of_matter_data",
    ".gradients": "BaseEstimatorGradient BaseSamplerGradient DerivativeType EstimatorGradientResult "
    "LinCombEstimatorGradient LinCombQGT LinCombSamplerGradient ParamShiftEstimatorGradient ParamShiftSamplerGradient "
    "QFI SPSAEstimatorGradient SPSASamplerGradient SamplerGradientResult",
    ".kernels": "BaseKernel FidelityQuantumKernel FidelityStatevectorKernel TrainableFidelityQuantumKernel "
    "TrainableFidelityStatevectorKernel TrainableKernel",
    ".kernels.algorithms": "QuantumKernelTrainer QuantumKernelTrainerResult",
    ".neural_networks": "EffectiveDimension EstimatorQNN LocalEffectiveDimension NeuralNetwork SamplerQNN",
    ".optimizers": "ADAM AQGD AskData CG COBYLA CRS DIRECT_L DIRECT_L_RAND ESCH GSLS GradientDescent "
    "GradientDescentState ISRES L_BFGS_B Minimizer NELDER_MEAD NFT Optimizer OptimizerResult OptimizerState "
    "OptimizerSupportLevel POWELL P_BFGS QNSPSA SBPLX SLSQP SPSA SciPyOptimizer SteppableOptimizer TNC TellData UMDA",
    ".optimizers.nlopts": "NLoptOptimizer",
    ".optimizers.optimizer_utils": "LearningRate",
    ".primitives": "QMLEstimator QMLSampler",
    ".state_fidelities": "BaseStateFidelity ComputeUncompute StateFidelityResult",
    ".utils": "algorithm_globals circuit_cache_key derive_num_qubits_feature_map_ansatz validate_bounds "
    "validate_initial_point",
    ".utils.loss_functions": "CrossEntropyLoss HuberLoss KernelLoss L1Loss L2Loss Loss MARLoss MSRLoss SVCLoss SVRLoss",
}
UNEXPORTED = (
    "AlgorithmJob AlgorithmResult BaseQGT ExactProbArray ExactProbNDArray GradientCircuit LinearCombGradientCircuit "
    "ParameterizedInitialize QFIResult QGTResult QiskitAlgorithmGlobals QiskitMachineLearningWarning "
    "VariationalAlgorithm VariationalResult"
)
SAME = (  # words of both libraries
    "C ansatz callback circuit feature_map fit loss model n num_steps observables precomputed qnn quantum_kernel seed"
)
SEARCHED = (
    "initial_point callback warm_start output_shape one_hot input_gradients RawFeatureVector QNNCircuit callback_graph "
    "SpectralClustering KernelPCA LBFGS OneHotEncoder adhoc_total ZFeatureMap ZZFeatureMap RealAmplitudes"
)


def rows() -> list[tuple[list[str], list[str]]]:
    """Of each row of the tables what stands in code font: in its first column, and in its last."""
    lines = [line.strip("| ").split(" | ") for line in INDEX.splitlines() if line.startswith("| ")]
    return [(re.findall(r"`([^`]+)`", line[0]), re.findall(r"`([^`]+)`", line[-1])) for line in lines]


THEIRS = {re.split(r"\W", span)[0] for first, _ in rows() for span in first}
WAYS = sorted({span for _, last in rows() for span in last if re.match(r"(4 \* )?(qj|qmljax|optax|jax|scipy)\.", span)})


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_in_a_table(module):
    assert not [name for name in NAMES[module].split() if name not in THEIRS]


def test_what_is_searched_for_is_there():
    assert not [name for name in UNEXPORTED.split() if name not in THEIRS]
    assert not [name for name in SEARCHED.split() if name not in INDEX]


def resolved(dotted: str):
    """The object that a dotted name stands for, of a module that it begins with."""
    parts = dotted.replace("qj.", "qmljax.", 1).split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(dotted)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_exists_and_takes_what_it_is_given(way):
    """Names resolve, and calls could be bound to the signatures of what they call."""
    for node in ast.walk(ast.parse(way)):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"(qj|qmljax|optax|jax|scipy)(\.\w+)+", ast.unparse(node)):
            resolved(ast.unparse(node))
        if isinstance(node, ast.Call) and re.match(r"(qj|qmljax|optax)\.[\w.]+$", ast.unparse(node.func)):
            parameters = inspect.signature(resolved(ast.unparse(node.func)))
            parameters.bind_partial(*node.args, **{k.arg: k.value for k in node.keywords})


def test_enough_ways_are_read():
    assert len(WAYS) > 70 and {"qj.Model", "qmljax.sklearn.QSVC(quantum_kernel=kernel)"} <= set(WAYS)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            file, _, anchor = link.partition("#")
            target = (page.parent / file) if file else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_tutorial_is_listed():
    listed = re.findall(r"^\| \[.*?\]\((.*?)\)", INDEX, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in PAGES.glob("[0-9]*.md")) and len(listed) == 13


# Where the library is installed.


@pytest.fixture
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the library deprecates itself
        yield pytest.importorskip("qiskit_machine_learning")


def test_the_record_is_that_of_the_library(theirs):
    found: dict[str, set[str]] = {}
    for module in [theirs.__name__, *(m.name for m in pkgutil.walk_packages(theirs.__path__, theirs.__name__ + "."))]:
        room = importlib.import_module(module)
        if "._" not in module and hasattr(room, "__path__"):
            names = {n: v for n, v in vars(room).items() if not n.startswith("_") and not inspect.ismodule(v)}
            homes = {n: getattr(v, "__module__", type(v).__module__) for n, v in names.items()}
            own = {name for name, home in homes.items() if home.startswith(theirs.__name__)}
            found[module.removeprefix(theirs.__name__)] = own
    assert set().union(*found.values()) == {name for names in NAMES.values() for name in names.split()}
    assert all(set(names.split()) <= found[module] for module, names in NAMES.items())


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("algorithms", "VQC VQR NeuralNetworkClassifier NeuralNetworkRegressor PegasosQSVC QBayesian"),
        ("neural_networks", "EstimatorQNN SamplerQNN EffectiveDimension"),
        ("kernels", "FidelityQuantumKernel FidelityStatevectorKernel TrainableFidelityQuantumKernel"),
        ("kernels.algorithms", "QuantumKernelTrainer"),
        ("state_fidelities", "ComputeUncompute"),
        ("primitives", "QMLEstimator QMLSampler"),
        ("datasets", "ad_hoc_data entanglement_concentration_data phase_of_matter_data"),
    ],
)
def test_arguments_and_members_are_named(theirs, module, names):
    code = " ".join([SAME, *(span for row in rows() for column in row for span in column)])
    for name in names.split():
        one = getattr(importlib.import_module(f"qiskit_machine_learning.{module}"), name)
        asked = {p for p in inspect.signature(one).parameters if p not in ("kwargs", "self")}
        if inspect.isclass(one):
            asked |= {m for m in vars(one) if not m.startswith("_") and not m.isupper()}
        assert not [word for word in asked if not re.search(rf"\b{word}\b", code)], name


@pytest.mark.usefixtures("theirs", "x64", "standard_promotion")
def test_networks_and_kernels_are_equal():
    from qiskit_machine_learning.kernels import FidelityStatevectorKernel
    from qiskit_machine_learning.neural_networks import EffectiveDimension, EstimatorQNN, SamplerQNN

    rng = np.random.default_rng(0)
    feature_map, ansatz = zz_feature_map(2), real_amplitudes(2, reps=1)
    x, weights, many = rng.random((3, 2)), rng.random(4), rng.random((2, 4))
    common = {"circuit": feature_map.compose(ansatz), "input_params": feature_map.parameters}
    common |= {"weight_params": ansatz.parameters, "input_gradients": True}
    ours = {"circuit": common["circuit"], "inputs": feature_map.parameters}
    parity = lambda outcome: outcome.bit_count() % 2  # noqa: E731
    pairs = [
        (EstimatorQNN(**common), qj.estimator_qnn(**ours)),
        (SamplerQNN(**common), qj.sampler_qnn(**ours)),
        (SamplerQNN(**common, interpret=parity, output_shape=2), qj.sampler_qnn(**ours, interpret=parity)),
    ]
    for network, model in pairs:
        np.testing.assert_allclose(model(weights, x), network.forward(x, weights), rtol=0, atol=1e-9)
        slopes = jax.vmap(jax.jacobian(model, (1, 0)), (None, 0))(weights, x)
        for got, expected in zip(slopes, network.backward(x, weights), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    got = qj.analysis.effective_dimension(pairs[0][1], many, x, np.array([1000, 5000]))
    expected = EffectiveDimension(pairs[0][0], many, x).get_effective_dimension([1000, 5000])
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    kernel = FidelityStatevectorKernel(feature_map=z_feature_map(2))
    np.testing.assert_allclose(
        qj.fidelity_kernel(z_feature_map(2))(x, x[:2]), kernel.evaluate(x, x[:2]), rtol=0, atol=1e-9
    )


@pytest.mark.usefixtures("theirs", "x64", "standard_promotion")
@pytest.mark.parametrize("name", ["ADAM", "AQGD", "GradientDescent", "COBYLA", "L_BFGS_B", "SLSQP"])
def test_optimizers_take_the_same_steps(name):
    from qiskit_machine_learning import optimizers

    shape = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 0.5]])
    loss = lambda w: w @ shape @ w / 2 + jnp.sin(w).sum()  # noqa: E731
    start = np.array([1.0, -0.5, 0.7])
    averaged = optax.chain(optax.ema(0.25, debias=False), optax.sgd(0.1))
    theirs, ours = {
        "ADAM": ({"maxiter": 20, "lr": 0.1}, {"optimizer": optax.adam(0.1, b2=0.99)}),
        "AQGD": ({"maxiter": 20, "eta": 0.1}, {"optimizer": averaged}),
        "GradientDescent": ({"maxiter": 20, "learning_rate": 0.1}, {"optimizer": optax.sgd(0.1)}),
        "COBYLA": ({"maxiter": 20}, {"optimizer": "COBYLA", "options": {"maxiter": 20}}),
        "L_BFGS_B": ({"maxiter": 4}, {"optimizer": "L-BFGS-B", "steps": 4}),
        "SLSQP": ({"maxiter": 4}, {"optimizer": "SLSQP", "steps": 4}),
    }[name]
    found = getattr(optimizers, name)(**theirs).minimize(
        lambda w: float(loss(w)), start.copy(), jac=lambda w: np.asarray(jax.grad(loss)(jnp.asarray(w)))
    )
    result = qj.fit(loss, start, (), **({"steps": 20} | ours))
    np.testing.assert_allclose(result.weights, found.x, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("theirs", "x64", "standard_promotion")
def test_losses_are_what_the_table_says():
    from qiskit_machine_learning.kernels import TrainableFidelityStatevectorKernel
    from qiskit_machine_learning.utils import loss_functions

    p, labels = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([0, 1])
    bits = loss_functions.CrossEntropyLoss()(p, np.eye(2)[labels])[:, 0]
    np.testing.assert_allclose(qj.losses.cross_entropy(p, labels), bits * np.log(2), rtol=1e-9)
    rng = np.random.default_rng(0)
    feature_map = zz_feature_map(2)
    feature_map.ry(0.3, 0)
    x, y = rng.random((12, 2)), np.repeat([-1, 1], 6)
    kernel = TrainableFidelityStatevectorKernel(feature_map=feature_map, training_parameters=[])
    gram = qj.fidelity_kernel(feature_map)(x)
    for name, of in (("SVCLoss", qj.gram.svc_loss), ("SVRLoss", qj.gram.svr_loss)):
        expected = getattr(loss_functions, name)(tol=1e-9).evaluate([], kernel, x, y)
        np.testing.assert_allclose(of(gram, y), expected, rtol=1e-5)
