"""Wrong arguments of every public function: each is refused by a built-in exception that names it and says what came.

The table is made of a valid call of each function and, for each of its arguments, of what kind it is; the wrong values
of a kind are tried one at a time. A public name that is not in the table fails the test.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator

import qmljax as qj
from qmljax import circuits, datasets, gram, losses

NAN, INF = float("nan"), float("inf")
FEATURES, WEIGHTS = ParameterVector("x", 2), ParameterVector("w", 2)
FEATURE_MAP, CIRCUIT = QuantumCircuit(2), QuantumCircuit(2)
for _k in range(2):
    FEATURE_MAP.ry(FEATURES[_k], _k), CIRCUIT.ry(FEATURES[_k], _k), CIRCUIT.rx(WEIGHTS[_k], _k)
MODEL = qj.estimator_qnn(CIRCUIT, inputs=FEATURES)
POINTS = np.linspace(0, 1, 6, dtype=np.float32).reshape(3, 2)
GRAM = np.eye(3, dtype=np.float32)
KEY = jax.random.key(0)

Wrong = dict[str, list[Any]]
STRANGE: list[Any] = [object(), {}, lambda: 0]
# What is none of a kind. Kinds of numbers: a count is an integer from 1 on.
WRONG: Wrong = {
    "circuit": [None, 3, 2.5, True, np.ones(3), [], *STRANGE, StatevectorEstimator()],
    "observables": [
        None,
        3,
        2.5,
        [],
        {},
        "",
        "ABC",
        "ZZZ",
        [None],
        ["Z"],
        {"ZZ": "a"},
        {"ZZ": 1j},
        {"ZZ": NAN},
        object(),
    ],
    "qubits": [3, 2.5, "10", [0, 0], [2], [-1], [1.5], [True, False], [None], ["0"], [NAN], object()],
    "count": [None, "3", 2.5, True, 0, -1, NAN, [1], 1j, object()],
    "steps": [None, "3", 2.5, True, -1, NAN, [1], 1j, object()],
    "optional count": ["3", 2.5, True, 0, -1, NAN, [1], 1j, object()],
    "bytes": [None, "3", 2.5, True, -1, NAN, [1], object()],
    "params": ["a", [1j, 1j], ["a", "b"], np.ones(3), np.ones((2, 3)), 1.0, object(), [None, None]],
    "points": ["a", [1j, 1j], [["a", "b"]], np.ones((2, 3)), 1.0, object(), [[None, None]], None],
    "parameters": [3, 2.5, ["nothing"], [None], ["x[0]", "x[0]"], object()],
    "key": [None, 3, "key", 2.5, True, [0, 1], object()],
    "positive": [None, "a", -1.0, 0.0, NAN, INF, [1.0, 2.0], 1j, object()],
    "not negative": [None, "a", -1.0, NAN, INF, [1.0, 2.0], 1j, object()],
    "backend": [3, "aer", object(), StatevectorEstimator, StatevectorEstimator()],
    "gram": [None, "a", 1.0, np.ones(3), np.ones((2, 3)), np.ones((3, 3), complex), np.ones((3, 3), int), object()],
    "labels": ["a", 1.0, np.ones(2), np.ones((3, 2, 2)), ["a", "b", "c"], np.ones(3, complex), object()],
    "function": [None, 3, "a", np.ones(3), []],
    "optimizer": [None, 3, 2.5, "no such method", [], optax.adam, object()],
    "data": [None, 3, "a", np.ones(3), {}, (None,), ("a",), (np.ones(3), np.ones(4)), (np.zeros((0, 2)),), (1.0,)],
    "weights": ["a", [], {}, 1j, np.array([NAN]), np.array([1j])],
    "path": [None, 3, 2.5, []],
    "model": [None, 3, "a", np.ones(3), lambda w, x: x, qj.Program],
    "seed": ["a", 2.5, -1, None, True, [1.5]],
}


@dataclass(frozen=True)
class Call:
    """A valid call, and the kinds of those of its arguments of which wrong values are tried."""

    function: Callable[..., Any]
    valid: dict[str, Any]
    kinds: dict[str, str]


def _loss(w: Any, x: Any) -> Any:
    return jnp.mean((x - w) ** 2)


FIT = {"loss": _loss, "weights": np.float32(1.0), "data": (POINTS,), "optimizer": optax.sgd(0.1), "steps": 2}
DATA = {"samples": 4, "seed": 0}
QNN = {"circuit": CIRCUIT, "inputs": FEATURES}
MAP = {"feature_map": FEATURE_MAP}
CALLS: dict[str, Call] = {
    "qj.statevector": Call(qj.statevector, {"circuit": CIRCUIT}, {"circuit": "circuit", "memory": "bytes"}),
    "qj.unitary": Call(qj.unitary, {"circuit": CIRCUIT}, {"circuit": "circuit", "memory": "bytes"}),
    "qj.probabilities": Call(
        qj.probabilities, {"circuit": CIRCUIT}, {"circuit": "circuit", "qubits": "qubits", "memory": "bytes"}
    ),
    "qj.expectation": Call(
        qj.expectation,
        {"circuit": CIRCUIT, "observables": "ZZ"},
        {"circuit": "circuit", "observables": "observables", "memory": "bytes"},
    ),
    "qj.sample": Call(qj.sample, {"circuit": CIRCUIT, "shots": 2}, {"circuit": "circuit", "shots": "count"}),
    "qj.metric_tensor": Call(qj.metric_tensor, {"circuit": CIRCUIT}, {"circuit": "circuit"}),
    "qj.fidelity": Call(
        qj.fidelity, {"circuit_a": CIRCUIT, "circuit_b": CIRCUIT}, {"circuit_a": "circuit", "circuit_b": "circuit"}
    ),
    "qj.parse": Call(qj.parse, {"circuit": CIRCUIT}, {"circuit": "circuit"}),
    "qj.estimator_qnn": Call(
        qj.estimator_qnn,
        QNN,
        {
            "circuit": "circuit",
            "inputs": "parameters",
            "weights": "parameters",
            "backend": "backend",
            "memory": "bytes",
        },
    ),
    "qj.sampler_qnn": Call(
        qj.sampler_qnn,
        QNN,
        {
            "circuit": "circuit",
            "inputs": "parameters",
            "weights": "parameters",
            "backend": "backend",
            "memory": "bytes",
        },
    ),
    "qj.fidelity_kernel": Call(
        qj.fidelity_kernel, MAP, {"feature_map": "circuit", "backend": "backend", "memory": "bytes"}
    ),
    "qj.projected_kernel": Call(
        qj.projected_kernel, MAP, {"feature_map": "circuit", "gamma": "gamma", "backend": "backend", "memory": "bytes"}
    ),
    "qj.Shots": Call(qj.Shots, {"shots": 2, "key": KEY}, {"shots": "count", "key": "key"}),
    "qj.fit": Call(
        qj.fit,
        FIT,
        {
            "loss": "function",
            "weights": "weights",
            "data": "data",
            "optimizer": "optimizer",
            "steps": "steps",
            "patience": "optional count",
        },
    ),
    "qj.natural_gradient": Call(
        qj.natural_gradient, {"metric": qj.metric_tensor(CIRCUIT)}, {"metric": "function", "damping": "not negative"}
    ),
    "qj.spsa": Call(qj.spsa, {"key": KEY}, {"key": "key", "perturbation": "positive", "samples": "count"}),
    "qj.qnspsa": Call(
        qj.qnspsa,
        {"fidelity": qj.fidelity(CIRCUIT, CIRCUIT), "key": KEY},
        {
            "fidelity": "function",
            "key": "key",
            "perturbation": "positive",
            "samples": "count",
            "damping": "not negative",
        },
    ),
    "qj.rotosolve": Call(qj.rotosolve, {"function": qj.expectation(CIRCUIT, "ZZ")}, {"degree": "count"}),
    "qj.save": Call(qj.save, {"path": "x", "model": MODEL, "weights": np.ones(2)}, {"model": "model", "path": "path"}),
    "qj.load": Call(qj.load, {"path": "no such file"}, {"path": "path"}),
    "a function's call": Call(qj.expectation(CIRCUIT, "ZZ"), {"params": np.ones(4)}, {"params": "params"}),
    "a sample's call": Call(
        qj.sample(FEATURE_MAP, 2), {"params": np.ones(2), "key": KEY}, {"params": "params", "key": "key"}
    ),
    "a model's call": Call(MODEL, {"weights": np.ones(2), "x": np.ones(2)}, {"weights": "params", "x": "params"}),
    "a kernel's call": Call(qj.fidelity_kernel(FEATURE_MAP), {"x": POINTS}, {"x": "points"}),
    "gram.kernel_alignment": Call(
        gram.kernel_alignment, {"gram": GRAM, "y": np.ones(3)}, {"gram": "gram", "y": "labels"}
    ),
    "gram.centre": Call(gram.centre, {"gram": GRAM}, {"gram": "gram"}),
    "gram.svc_loss": Call(
        gram.svc_loss, {"gram": GRAM, "y": np.array([0, 1, 1])}, {"gram": "gram", "y": "labels", "C": "positive"}
    ),
    "gram.svr_loss": Call(
        gram.svr_loss,
        {"gram": GRAM, "y": np.ones(3)},
        {"gram": "gram", "y": "labels", "C": "positive", "epsilon": "not negative"},
    ),
    "gram.squared_loss": Call(
        gram.squared_loss, {"gram": GRAM, "y": np.ones(3)}, {"gram": "gram", "y": "labels", "ridge": "positive"}
    ),
    "gram.huber_loss": Call(
        gram.huber_loss,
        {"gram": GRAM, "y": np.ones(3)},
        {"gram": "gram", "y": "labels", "delta": "positive", "ridge": "positive"},
    ),
    "gram.absolute_loss": Call(
        gram.absolute_loss, {"gram": GRAM, "y": np.ones(3)}, {"gram": "gram", "y": "labels", "ridge": "positive"}
    ),
    "gram.clip": Call(gram.clip, {"gram": GRAM}, {"gram": "gram"}),
    "gram.shift": Call(gram.shift, {"gram": GRAM}, {"gram": "gram"}),
    "gram.shrink": Call(gram.shrink, {"gram": GRAM, "amount": 0.1}, {"gram": "gram", "amount": "not negative"}),
    "gram.nearest_correlation": Call(gram.nearest_correlation, {"gram": GRAM}, {"gram": "gram", "steps": "count"}),
    "gram.spectrum": Call(gram.spectrum, {"gram": GRAM}, {"gram": "gram"}),
    "gram.concentration": Call(gram.concentration, {"gram": GRAM}, {"gram": "gram"}),
    "gram.geometric_difference": Call(
        gram.geometric_difference,
        {"classical": GRAM, "quantum": GRAM},
        {"classical": "gram", "quantum": "gram", "ridge": "not negative"},
    ),
    "gram.engineered_labels": Call(
        gram.engineered_labels,
        {"classical": GRAM, "quantum": GRAM},
        {"classical": "gram", "quantum": "gram", "ridge": "not negative"},
    ),
    "gram.model_complexity": Call(
        gram.model_complexity, {"gram": GRAM, "y": np.ones(3)}, {"gram": "gram", "y": "labels", "ridge": "not negative"}
    ),
    "gram.nystroem": Call(
        gram.nystroem,
        {"kernel": qj.fidelity_kernel(FEATURE_MAP), "x": POINTS, "landmarks": POINTS},
        {"kernel": "function"},
    ),
    "gram.approximation_error": Call(
        gram.approximation_error,
        {"kernel": qj.fidelity_kernel(FEATURE_MAP), "x": POINTS, "features": np.ones((3, 2), np.float32), "key": KEY},
        {"kernel": "function", "key": "key", "pairs": "count"},
    ),
    "circuits.raw_feature_vector": Call(circuits.raw_feature_vector, {"num_features": 4}, {"num_features": "count"}),
    "losses.cross_entropy": Call(
        losses.cross_entropy,
        {"probabilities": np.full((3, 2), 0.5, np.float32), "labels": np.array([0, 1, 1])},
        {"probabilities": "probabilities", "labels": "classes"},
    ),
    "losses.class_states": Call(losses.class_states, {"classes": 2}, {"classes": "count"}),
    "losses.weighted_fidelity": Call(
        losses.weighted_fidelity,
        {
            "fidelities": np.ones((3, 2), np.float32),
            "labels": np.array([0, 1, 1]),
            "overlaps": np.eye(2, dtype=np.float32),
        },
        {"fidelities": "points", "labels": "classes"},
    ),
    "datasets.ad_hoc": Call(datasets.ad_hoc, DATA, {"samples": "count", "num_features": "count", "seed": "seed"}),
    "datasets.hidden_manifold": Call(
        datasets.hidden_manifold,
        DATA | {"num_features": 3},
        {"samples": "count", "num_features": "count", "manifold_dimension": "count", "seed": "seed"},
    ),
    "datasets.hyperplanes": Call(
        datasets.hyperplanes,
        DATA | {"num_features": 3},
        {"samples": "count", "num_features": "count", "num_hyperplanes": "count", "dimension": "count", "seed": "seed"},
    ),
    "datasets.two_curves": Call(
        datasets.two_curves,
        DATA | {"num_features": 3},
        {"samples": "count", "num_features": "count", "degree": "steps", "noise": "not negative", "seed": "seed"},
    ),
    "datasets.bars_and_stripes": Call(
        datasets.bars_and_stripes,
        DATA,
        {"samples": "count", "height": "count", "width": "count", "noise": "not negative", "seed": "seed"},
    ),
    "datasets.phases_of_matter": Call(
        datasets.phases_of_matter,
        DATA | {"num_qubits": 3},
        {"samples": "count", "num_qubits": "count", "largest": "positive", "seed": "seed"},
    ),
    "datasets.entanglement_concentration": Call(
        datasets.entanglement_concentration,
        DATA,
        {"samples": "count", "num_qubits": "count", "low": "not negative", "high": "not negative", "seed": "seed"},
    ),
    "datasets.concentratable_entanglement": Call(
        datasets.concentratable_entanglement, {"psi": np.array([1.0, 0, 0, 0])}, {"psi": "amplitudes"}
    ),
}
WRONG["probabilities"] = ["a", [1j, 1j], [["a", "b"]], 1.0, object(), [[None, None]], None]
WRONG["amplitudes"] = ["a", None, 1.0, np.ones(3), np.ones((2, 2)), [], object()]
WRONG["classes"] = [
    "a",
    None,
    1.0,
    np.ones((3, 2, 2)),
    ["a", "b", "c"],
    np.array([0, 1, 5]),
    np.array([0, -1, 1]),
    object(),
]
WRONG["gamma"] = ["a", -1.0, NAN, INF, [1.0, 2.0], 1j, object()]
HOMES = {"qj": qj, "gram": gram, "losses": losses, "datasets": datasets, "circuits": circuits}
FOUND = {
    f"{home}.{name}"
    for home, module in HOMES.items()
    for name, value in vars(module).items()
    if not name.startswith("_") and getattr(value, "__module__", "").startswith("qmljax")
    if value.__module__ != "qmljax._checks"
}
# Names that are no functions of a user's arguments: types, and what functions return.
TYPES = {"qj.Backend", "qj.Kernel", "qj.Model", "qj.Program", "qj.FitResult", "circuits.AmplitudeEncoding"}
CASES = [
    (name, argument, k)
    for name, call in CALLS.items()
    for argument, kind in call.kinds.items()
    for k in range(len(WRONG[kind]))
]


def test_every_public_function_is_in_the_table():
    assert FOUND - TYPES - {"qj.kernel_alignment"} <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_valid(name, tmp_path):
    call = CALLS[name]
    given = {k: tmp_path / "file" if k == "path" else v for k, v in call.valid.items()}
    if name != "qj.load":
        call.function(**given)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize(("name", "argument", "k"), CASES)
def test_a_wrong_argument_is_refused_by_name(name, argument, k):
    call = CALLS[name]
    wrong = WRONG[call.kinds[argument]][k]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((TypeError, ValueError, NotImplementedError)) as error:
            call.function(**(call.valid | {argument: wrong}))
    said = str(error.value)
    assert type(error.value).__module__ == "builtins"
    assert len(said) < 1000, said
    assert re.search(rf"\b{argument.rstrip('s')}", said, re.IGNORECASE), f"does not name {argument}: {said}"
    assert any(part in said for part in came(wrong)), f"does not say what came, {wrong!r}: {said}"


def came(value: Any) -> list[str]:
    """What may stand for a value in a message: itself, its type, or the shape, dtype or an element of an array."""
    shown = [repr(value)[:60], str(value)[:60], type(value).__name__]
    if isinstance(value, type):
        shown.append(value.__name__)
    if isinstance(value, np.ndarray):
        return [
            *shown,
            str(value.shape),
            str(value.dtype),
            "complex" * np.iscomplexobj(value) or "NaN",
            *map(str, value.flat),
        ]
    if isinstance(value, list | tuple | dict):
        return [*shown, "empty", "object", *(part for one in value for part in came(one))]
    return [*shown, "shape ()", "()"]
