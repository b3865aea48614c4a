"""Wrong arguments of estimators, primitives and layers. What is wrong with a pub, Qiskit itself says."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from wrong_calls import CIRCUIT, FEATURE_MAP, MODEL, Call, cases, check_refusals, public

from qmljax import flax, primitives, sklearn, torch

X, Y = np.linspace(0, 1, 12).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
ESTIMATOR, SAMPLER = {"estimator": StatevectorEstimator()}, {"sampler": StatevectorSampler()}


def trained(estimator: Callable[..., Any], y: Any = Y) -> Callable[..., Any]:
    """Settings of scikit-learn's estimators are looked at when they are trained."""
    return lambda **options: estimator(**options).fit(X, y)


NETWORK = {
    **{"optimizer": "optimizer or none", "validation_fraction": "share", "initial_weights": "start", "loss": "rule"},
    **{"neural_network": "model or none", "feature_map": "circuit or none", "ansatz": "circuit or none"},
    **{"observables": "observables or none", "interpret": "rule or none", "scale": "positive"},
    **{"class_weight": "class weights", "options": "mapping"},
}
KERNEL = {
    **{"quantum_kernel": "kernel or none", "kernel_weights": "no weights", "repair": "rule or none"},
    **{"class_weight": "class weights", "num_steps": "count", "bias": "flag", "precomputed": "flag"},
    **{"shrinking": "flag", "break_ties": "flag", "decision_function_shape": "choice", "max_iter": "iterations"},
    **{"tol": "positive", "cache_size": "positive", "verbose": "flag of scikit-learn", "epsilon": "not negative"},
    "C": "penalty",
}
BACKEND = {
    **{"estimator": "estimator or none", "sampler": "sampler or none", "pass_manager": "object or none"},
    **{"shots": "count or none", "precision": "not negative or none", "gradient": "choice", "key": ""},
    **{"spsa_step": "positive", "max_executions_per_job": "count", "max_retries": "steps", "journal": "path or none"},
    **{"timeout": "not negative or none", "service": "object or none", "resilience_level": ""},
}
CALLS = {
    **{
        f"sklearn.{of.__name__}": Call(trained(of, y), {"steps": 2}, NETWORK, of)
        for of, y in (
            (sklearn.VQC, Y),
            (sklearn.VQR, X[:, 0]),
            (sklearn.NeuralNetworkClassifier, Y),
            (sklearn.NeuralNetworkRegressor, X[:, 0]),
        )
    },
    **{
        f"sklearn.{of.__name__}": Call(trained(of, y), {}, KERNEL, of)
        for of, y in ((sklearn.QSVC, Y), (sklearn.QSVR, X[:, 0]), (sklearn.PegasosQSVC, Y))
    },
    "sklearn.QuantumFeatureMap": Call(
        trained(sklearn.QuantumFeatureMap),
        {"feature_map": FEATURE_MAP},
        KERNEL | NETWORK | {"output": "choice", "weights": "parameters"},
        sklearn.QuantumFeatureMap,
    ),
    "sklearn.QuantumGPKernel": Call(
        lambda **options: sklearn.QuantumGPKernel(**options)(X), {}, KERNEL, sklearn.QuantumGPKernel
    ),
    "sklearn.load": Call(sklearn.load, {"path": "no such file"}, {"backend": ""}),
    "primitives.Estimator": Call(
        primitives.Estimator, {}, {"default_precision": "not negative", "seed": "seed or none"}
    ),
    "primitives.Estimator.run": Call(
        primitives.Estimator().run,
        {"pubs": [(CIRCUIT, "ZZ", np.ones(4))]},
        {"pubs": "", "precision": "not negative or none"},
    ),
    "primitives.Sampler": Call(
        primitives.Sampler, {}, {"default_shots": "count", "seed": "seed or none", "exact": "flag"}
    ),
    "primitives.Sampler.run": Call(
        primitives.Sampler().run,
        {"pubs": [(FEATURE_MAP.measure_all(inplace=False), np.ones(2))]},
        {"pubs": "", "shots": "count or none"},
    ),
    "primitives.PrimitiveBackend": Call(primitives.PrimitiveBackend, ESTIMATOR | SAMPLER, BACKEND),
    "primitives.PrimitiveBackend, spsa": Call(
        primitives.PrimitiveBackend,
        ESTIMATOR | {"gradient": "spsa", "key": np.array([0, 1], np.uint32)},
        dict.fromkeys(BACKEND, "") | {"key": "key", "progress": "flag"},
    ),
    "torch.TorchConnector": Call(
        torch.TorchConnector, {"model": MODEL}, {"model": "model", "initial_weights": "start"}
    ),
    "torch.torch_function": Call(torch.torch_function, {"function": jnp.sin}),
    "flax.QuantumLayer": Call(
        flax.QuantumLayer,
        {"model": MODEL, "rngs": nnx.Rngs(0)},
        {"model": "model", "rngs": "object", "init": "function", "param_dtype": "dtype"},
        flax.QuantumLayer.__init__,
    ),
}
HOMES = {"sklearn": sklearn, "primitives": primitives, "torch": torch, "flax": flax}
# Names that are no functions of a user's arguments: types, what functions return, and a default initializer.
TYPES = {"primitives.JobError", "primitives.Plan", "torch.TorchFunction", "flax.Model", "flax.uniform"}


def test_every_public_class_is_in_the_table():
    assert public(HOMES) - TYPES <= set(CALLS)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_valid(name):
    if name != "sklearn.load":
        CALLS[name].function(**CALLS[name].valid)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize(("name", "argument"), cases(CALLS))
def test_a_wrong_argument_is_refused_by_name(name, argument):
    check_refusals(CALLS[name], argument)
