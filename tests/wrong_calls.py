"""Wrong arguments, and what their refusal has to say: the machinery of the tests of wrong calls.

A table is made of valid calls. What kind an argument is of, its name says (`KIND_OF`), or else the call; of each
argument the wrong values of its kind are tried, one at a time. A public name that is in no table fails a test, and so
does an argument of no kind.
"""

import contextlib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import jax
import numpy as np
import optax
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

import qmljax as qj
from qmljax import noise

NAN, INF = float("nan"), float("inf")
FEATURES, WEIGHTS = ParameterVector("x", 2), ParameterVector("w", 2)
FEATURE_MAP, CIRCUIT = QuantumCircuit(2), QuantumCircuit(2)
for _k in range(2):
    FEATURE_MAP.ry(FEATURES[_k], _k), CIRCUIT.ry(FEATURES[_k], _k), CIRCUIT.rx(WEIGHTS[_k], _k)
MODEL = qj.estimator_qnn(CIRCUIT, inputs=FEATURES)
POINTS = np.linspace(0, 1, 6, dtype=np.float32).reshape(3, 2)
KEY = jax.random.key(0)

STRANGE: list[Any] = [object(), {}, lambda: 0]
COUNT: list[Any] = ["3", 2.5, True, 0, -1, NAN, [1], 1j, object()]
NUMBER: list[Any] = ["a", -1.0, NAN, INF, [1.0, 2.0], True, 1j, object()]
CIRCUITS: list[Any] = [3, 2.5, True, np.ones(3), [], *STRANGE, StatevectorEstimator()]
OBSERVABLES: list[Any] = [
    *[3, 2.5, [], {}, "", "ABC", "ZZZ", [None], ["Z"], {"ZZ": "a"}, {"ZZ": 1j}, {"ZZ": NAN}, object()]
]
FUNCTION: list[Any] = [3, "a", np.ones(3), []]
# What is none of a kind. "or none" is of what None is good for, too.
WRONG: dict[str, list[Any]] = {
    "circuit": [None, *CIRCUITS],
    "circuit or none": CIRCUITS,
    "observables": [None, *OBSERVABLES],
    "observables or none": OBSERVABLES,
    "qubits": [3, 2.5, "10", [0, 0], [2], [-1], [1.5], [True, False], [None], ["0"], [NAN], object()],
    "clbits or none": [3, 2.5, "10", [0, 0], [5], [-1], [1.5], [True, False], [None], ["0"], [NAN], object()],
    "given or none": [3, "a", {}, [0], {5: 1}, {0: 2}, {"c": 1}, {0: None}, {0.0: 1}, {0: NAN}, {True: 1}, object()],
    "program": [None, 3, "f", np.ones(3), *STRANGE, CIRCUIT],
    "mesh or none": [3, "q", 2.5, True, ["q"], np.ones(2), object()],
    "mesh axes or none": [3, "q", ("q",), True, object()],
    "count": [None, *COUNT],
    "count or none": COUNT,
    "steps": [None, "3", 2.5, True, -1, NAN, [1], 1j, object()],
    "steps or none": ["3", 2.5, True, -1, NAN, [1], 1j, object()],
    "bytes": [None, "3", 2.5, True, -1, NAN, [1], object()],
    "positive": [None, 0.0, *NUMBER],
    "positive or none": [0.0, *NUMBER],
    "not negative": [None, *NUMBER],
    "not negative or none": NUMBER,
    "probability": [None, 1.5, *NUMBER],
    "readout or none": ["a", 1.0, np.ones(2), np.ones((2, 2)), np.array([[1.5, -0.5], [0, 1]]), {0: 1.0}, object()],
    "channels": [None, 3, "a", {"cnot": noise.bit_flip(0.1)}, {"x": 0.1}, {"x": noise.depolarizing(0.1, 2)}],
    "strings": [None, 3, "X", {}, {"A": 0.1}, {"X": 1.5}, {"X": -0.1}, {"X": 0.1, "XX": 0.1}, {"X": 0.6, "Z": 0.6}],
    "matrices": [None, "a", 1.0, np.eye(2), [2 * np.eye(2)], np.ones((1, 3, 3)), np.ones((1, 2, 3)), object()],
    "noise model": [None, 3, "a", {}, noise.bit_flip(0.1), object()],
    "share": [None, 0.0, 1.0, 1.5, *NUMBER],
    "flag": [None, "no", 1, 0.0, [], object()],
    "flag or none": ["no", 1, 0.0, [], object()],
    "choice": ["no such", 3, 2.5, True, [], object()],
    "params": ["a", [1j, 1j], ["a", "b"], np.ones(3), np.ones((2, 3)), 1.0, object(), [None, None]],
    "points": ["a", [1j, 1j], [["a", "b"]], np.ones((2, 3)), 1.0, object(), [[None, None]], None],
    "parameters": [3, 2.5, ["nothing"], [None], ["x[0]", "x[0]"], object()],
    "key": [None, 3, "key", 2.5, True, [0, 1], np.zeros(3, np.uint32), object()],
    "key or none": [3, "key", 2.5, True, [0, 1], object()],
    "backend": [3, "aer", object(), StatevectorEstimator, StatevectorEstimator()],
    "gram": [None, "a", 1.0, np.ones(3), np.ones((2, 3)), np.ones((3, 3), complex), np.ones((3, 3), int), object()],
    "labels": ["a", 1.0, np.ones(2), np.ones((3, 2, 2)), ["a", "b", "c"], np.ones(3, complex), object()],
    "classes": [*["a", None, 1.0, np.ones((3, 2, 2)), ["a", "b", "c"], np.array([0, 1, 5])], np.array([0, -1, 1])],
    "function": [None, *FUNCTION],
    "function or none": FUNCTION,
    "optimizer": [None, 3, 2.5, "no such method", [], optax.adam, object()],
    "optimizer or none": [3, 2.5, "no such method", [], optax.adam, object()],
    "data": [None, 3, "a", np.ones(3), {}, (None,), ("a",), (np.ones(3), np.ones(4)), (np.zeros((0, 2)),), (1.0,)],
    "data or none": [3, "a", np.ones(3), {}, (None,), ("a",), (np.ones(3), np.ones(4)), (np.zeros((0, 2)),), (1.0,)],
    "weights": ["a", [], {}, 1j, np.array([NAN]), np.array([1j])],
    "path": [None, 3, 2.5, []],
    "path or none": [3, 2.5, []],
    "model": [None, 3, "a", np.ones(3), lambda w, x: x, qj.Program],
    "seed": ["a", 2.5, -1, None, True, [1.5]],
    "seed or none": ["a", 2.5, -1, True, [1.5]],
    "bounds": ["a", 3, [1.0], [(0, 1), (0, 1)], [("a", 1)], [(1, 0)], [(NAN, 1)], object()],
    "mapping": [3, "a", [1], object()],
    "blocks": [3, "a", [0], [[0, 0]], [[-1]], [[0.0]], [[True]], object()],
    "matrix": ["a", [1j, 1j], [["a", "b"]], 1.0, object(), [[None, None]], None],
    "amplitudes": ["a", None, 1.0, np.ones(3), np.ones((2, 2)), [], object()],
    "states": ["a", None, 1.0, np.ones(3), [], np.ones(1), object()],
    "density matrices": ["a", None, 1.0, np.ones(4), np.ones((2, 3)), np.ones((3, 3)), [], object()],
    "part of qubits": [None, 3, 2.5, "10", [], [0, 0], [3], [-1], [1.5], [True], [0, 1], object()],
    "limits": ["a", 1.0, [1.0], [2.0, 1.0], [1.0, 1.0], [NAN, 1.0], [1j, 1], {}, object()],
    "axes or none": [3, "ax", [], object()],
    "history": ["a", None, 1.0, [], np.ones((2, 2, 2)), [1j], {}, object()],
    "image": ["a", None, 1.0, np.ones(3), np.ones((1, 1, 1)), [[1j]], {}, object()],
    "plane": ["a", None, 1.0, np.ones(3), np.ones((3, 3)), [[1j, 1]], {}, object()],
    "labels of points": ["a", 1.0, np.ones(2), np.ones((3, 1)), {}, object()],
    "spectrum": ["a", None, 1.0, [], np.ones(4), np.ones((1, 1, 1)), {}, object()],
    "grid": ["a", 1.0, np.ones(2), np.ones((2, 2)), [1j, 1j, 1j], object()],
    "states of a qubit": ["a", None, 1.0, [], np.ones(3), {}, object()],
    "outcomes": ["a", None, 1.0, 3, [0.5], [2], [-1], [True], {}, object()],
    "few": [None, 3, *COUNT],
    "evidence": [None, 3, "A", [0], {"B": 0}, {"A": 2}, {"A": None}, {"A": True}, {"A": 0.5}, {"A": 1}, object()],
    "evidence or none": [3, "A", [0], {"B": 0}, {"A": 2}, {"A": None}, {"A": True}, {"A": 0.5}, {"A": 1}, object()],
    "query": [None, 3, "A", [0], {"B": 0}, {"A": 2}, {"A": None}, {"A": True}, {"A": 0.5}, object()],
    "positive share": [None, 0.0, 1.5, *NUMBER],
    "block or none": [3, "a", np.ones(3), QuantumCircuit(3), object()],
    "data sizes": ["a", None, 18, [100, 2], NAN, 1j, [1j], {}, object()],
    "centre": ["a", None, 1.0, np.ones((2, 2)), [1j, 1j], {}, object()],
    "directions": ["a", None, 1.0, np.ones(3), np.ones((2, 3)), np.ones((1, 2, 2)), [1j, 1j], object()],
    "displacements": ["a", None, 0, -1, 2.5, True, [np.ones(2)] * 3, [1j], {}, object()],
    "degree": [None, "3", 2.5, True, -1, NAN, [], [1.5], {}, 1j, object()],
    "numbers": ["a", [1j, 1j], ["a", "b"], object(), None],
    "finite": [None, "a", NAN, INF, [1.0, 2.0], True, 1j, object()],
    "name": [None, 3, 2.5, object()],
    "start": ["a", 1.0, [1.0], [NAN] * 8, ["a"] * 8, [1j] * 8, object()],
    "no weights": ["a", 1.0, [1.0], object()],
    "rule": [None, "no such", 3, ["squared_error"], object()],
    "rule or none": ["no such", 3, ["parity"], object()],
    "model or none": [3, "a", np.ones(3), lambda w, x: x, qj.Program],
    "kernel or none": [3, "a", np.ones(3), object()],
    "class weights": ["no such", 3, {0: -1.0, 1: 1.0}, {0: NAN, 1: 1.0}, {7: 1.0}, object()],
    "iterations": [None, "3", 2.5, True, -2, NAN, [1], object()],
    "flag of scikit-learn": ["no", [], object()],
    "penalty": [None, 0.0, "a", -1.0, NAN, [1.0, 2.0], True, 1j, object()],
    "estimator or none": [3, "a", np.ones(3), {}, qj.Program, StatevectorSampler()],
    "sampler or none": [3, "a", np.ones(3), {}, qj.Program, StatevectorEstimator()],
    "object": [None, 3, "a", np.ones(3), {}],
    "object or none": [3, "a", np.ones(3), {}],
    "dtype": ["no such", int, complex, object()],
    "random state": ["a", 2.5, -1, object()],
}
# The kinds that a name has wherever nothing else is said.
KIND_OF = {
    name: kind
    for kind, names in {
        "circuit": "circuit circuit_a circuit_b feature_map",
        "observables": "observables",
        "qubits": "qubits",
        "clbits or none": "clbits",
        "program": "compiled",
        "given or none": "given",
        "mesh or none": "mesh",
        "count": "shots samples num_features num_qubits degree pairs n layers repeats",
        "choice": "rotation batches",
        "axes or none": "ax",
        "block or none": "block",
        "not negative or none": "time",
        "count or none": "batch_size patience convergence",
        "steps": "steps",
        "bytes": "memory",
        "positive": "C perturbation learning_rate",
        "not negative": "damping noise ridge epsilon alpha",
        "flag": "progress local centred warm_start phase_fix",
        "flag or none": "compile",
        "params": "params x",
        "parameters": "inputs weights",
        "key": "key",
        "backend": "backend",
        "gram": "gram classical quantum",
        "labels": "y",
        "function": "loss metric fidelity kernel function",
        "function or none": "callback interpret",
        "optimizer": "optimizer",
        "data": "data",
        "path": "path",
        "probability": "p gamma lam excited_state_population",
        "readout or none": "readout",
        "seed": "seed",
        "states": "state",
        "density matrices": "rho",
        "random state": "random_state",
    }.items()
    for name in names.split()
}


@dataclass(frozen=True)
class Call:
    """A valid call, and what its arguments are where their names do not say it.

    Attributes:
        function: What is called.
        valid: Its arguments.
        kinds: Of arguments: their kind, or "" for what is tested elsewhere. Those of the signature of `of` are needed.
        of: What has the arguments, such as the class that `function` makes an object of.
    """

    function: Callable[..., Any]
    valid: dict[str, Any]
    kinds: dict[str, str] = field(default_factory=dict)
    of: Callable[..., Any] | None = None

    def arguments(self) -> dict[str, str]:
        """The kind of each argument."""
        parameters = inspect.signature(self.of or self.function).parameters.values()
        names = [p.name for p in parameters if p.kind != p.VAR_KEYWORD and p.name != "self"]
        return {name: self.kinds[name] if name in self.kinds else KIND_OF[name] for name in names}


def public(homes: dict[str, ModuleType]) -> set[str]:
    """The public names of some modules, those defined in them."""
    return {
        f"{home}.{name}"
        for home, module in homes.items()
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("qmljax")
        if value.__module__ != "qmljax._checks"
    }


def cases(calls: dict[str, Call]) -> list[tuple[str, str]]:
    """Each argument of each call of which wrong values are tried."""
    return [(name, argument) for name, call in calls.items() for argument, kind in call.arguments().items() if kind]


def check_refusals(call: Call, argument: str) -> None:
    """Every wrong value is refused by a built-in exception (or scikit-learn's kin of one) that names it."""
    failures = []
    for wrong in WRONG[call.arguments()[argument]]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                call.function(**(call.valid | {argument: wrong}))
            except Exception as error:
                failures += [f"{wrong!r}: {fault}" for fault in faults(error, argument, wrong)]
            else:
                failures.append(f"{wrong!r} is taken")
    assert not failures, "\n".join(failures)


def faults(error: Exception, argument: str, wrong: Any) -> Iterable[str]:
    """What is wrong with the refusal of a value."""
    said = str(error)
    if not isinstance(error, TypeError | ValueError | NotImplementedError):
        yield f"raises {type(error).__name__}: {said}"
    if type(error).__module__ not in ("builtins", "sklearn.utils._param_validation"):
        yield f"raises {type(error)}: {said}"
    if len(said) > 1000:
        yield f"talks too much: {said}"
    if not re.search(rf"\b{argument.rstrip('s')}", said, re.IGNORECASE):
        yield f"does not name {argument}: {said}"
    if not any(part in said for part in came(wrong)):
        yield f"does not say what came: {said}"


def came(value: Any) -> list[str]:
    """What may stand for a value in a message: itself, its type, or the shape, dtype or an element of an array."""
    shown = [repr(value)[:60], str(value)[:60], type(value).__name__]
    if isinstance(value, type):
        shown.append(value.__name__)
    if isinstance(value, np.ndarray):
        facts = [str(value.shape), str(value.dtype), "complex" * np.iscomplexobj(value) or "NaN"]
        return [*shown, *facts, *map(str, value.flat)]
    if isinstance(value, list | tuple | dict):
        with contextlib.suppress(ValueError):  # ragged lists have no shape
            shown.append(str(np.shape(value)))
        return [*shown, "empty", "object", *(part for one in value for part in came(one))]
    return [*shown, "shape ()", "()"]
