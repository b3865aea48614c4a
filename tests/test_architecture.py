"""The map of the package, as data: who may import whom, and which library may be imported where.

Also what `import qmljax` must not do. A new module takes its place in `FLOORS`; a new dependency, in `LIBRARIES`.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "qmljax"

# The floors of the house and of each folder in it, from the ground up; rooms are files and folders. A room
# imports only from floors below its own, where the ways to both part; neighbours do not know each other.
FLOORS = {
    "": [
        "_checks _forgetting _meshes",
        "_files _progress circuits datasets gram losses plots",
        "_circuit",
        "_engine",
        "_models",
        "_training analysis inference noise",
        "__init__",
        "__main__",
        "flax primitives sklearn torch",
    ],
    "circuits": ["_amplitudes _blocks", "_embeddings _layers _networks", "__init__"],
    "datasets": ["_checks", "_literature _states _study", "__init__"],
    "_files": ["checks whole", "arrays", "__init__"],
    "_circuit": [
        "__init__ basis conditions expressions observables openqasm self_descriptions",
        "at_numbers classical",
        "program",
        "gates pauli_basis wires",
        "reader",
        "collapses dynamic",
        "parse",
        "noisy readout undone",
        "frames lifetimes",
    ],
    "_engine": [
        "__init__ gf2 state threefry",
        "layers outcomes",
        "operations pauli_sums plan",
        "adjoint angles slopes stacking",
        "data_levels loads segments start",
        "any_circuit",
        "answers jet pauli_levels readings run",
        "collapse density expectations trajectories",
        "shards",
    ],
    "_engine/shards": ["__init__ layout routes", "steps", "sending start", "segments", "run", "readings"],
    "_models": [
        "__init__ arguments backend interpret parts place positions protocols qpy_limits questions trees",
        "shared",
        "by_name circuit_bytes compiled",
        "by_value of_params qnn slots uncompute",
        "density postselected",
        "on_mesh",
        "amplitudes functions",
        "counts geometry metric of_shots on_backend shadow state_fidelity variances",
        "networks shots trajectories",
        "kernels",
        "save",
    ],
    "_models/kernels": ["__init__ devices points", "kernel", "local noisy overlaps pairs projected", "fidelity"],
    "_training": [
        "__init__ leaves places result",
        "batches computations",
        "checks",
        "ensemble optimizers",
        "compiled_loop spsa stops",
        "watch",
        "checkpoint minimize",
        "fit",
        "grid",
    ],
    "analysis": ["_collectives _fisher _functions _lie_algebra _states", "_ansatz", "__init__"],
    "noise": ["_channel", "_channels", "_devices", "_model", "_simulator", "__init__"],
    "gram": ["_checks", "_alignment _approximation _diagnostics _losses _repair", "__init__"],
    "torch": ["_rules _tensors", "_bridge", "_function", "_connector", "__init__"],
    "sklearn": [
        "_matrices _objective _options _saved",
        "_kernels _pegasos _transforms _variational",
        "_networks",
        "_classifiers _regressors",
        "__init__",
    ],
    "primitives": [
        "_journal",
        "_jobs _plan _run _shift _transpile",
        "_estimator _measured _readings _sampler",
        "_rows",
        "_backend",
        "__init__",
    ],
}
FLOOR = {
    (*filter(None, folder.split("/")), name): height
    for folder, floors in FLOORS.items()
    for height, names in enumerate(floors)
    for name in names.split()
}
CONNECTORS = set(FLOORS[""][-1].split())
EVERYWHERE = set(" ".join(FLOORS[""]).split())

# The rooms that may import a library when they are themselves imported ...
LIBRARIES = {
    "jax": EVERYWHERE,
    "numpy": EVERYWHERE,
    "qiskit": CONNECTORS
    | {f"_circuit/{name}" for name in "classical dynamic noisy openqasm parse reader self_descriptions".split()}
    | {"_models/circuit_bytes"}
    | {"_models/uncompute", "circuits", "inference", "noise"},
    "optax": {"_training", "sklearn"},
    "flax": {"flax"},
    "joblib": {"sklearn"},
    "sklearn": {"sklearn"},
    "torch": {"torch"},
}
# ... and, besides those, the rooms that may import it inside a function, once it is called.
LIBRARIES_IN_FUNCTIONS = {
    "matplotlib": {"plots"},
    "safetensors": {"_files"},
    "scipy": {"_training/minimize", "gram"},
    "sklearn": {"gram"},
    "tqdm": {"_progress"},
}

# What no user who does not ask for it should wait for. (SciPy is not on the list: Qiskit imports it.)
OPTIONAL = [
    "flax",
    "matplotlib",
    "pennylane",
    "qiskit_aer",
    "qiskit_ibm_runtime",
    "sklearn",
    "tensorcircuit",
    "torch",
    "tqdm",
]


class Import(NamedTuple):
    """One imported name, spelled absolutely: `from .state import x` in `_engine` is `qmljax._engine.state.x`."""

    name: str
    line: int
    in_function: bool
    for_types: bool


def imports(source: str, package: str) -> list[Import]:
    """All imports of a source file that lies in `package`, however deep, and all uses of `jax._src`."""
    return list(_imports(ast.parse(source), package, in_function=False, for_types=False))


def _imports(node: ast.AST, package: str, in_function: bool, for_types: bool) -> Iterator[Import]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function, for_types)
        case ast.ImportFrom():
            parents = package.split(".")
            base = parents[: len(parents) + 1 - node.level] if node.level else []
            for alias in node.names:
                name = ".".join([*base, *filter(None, [node.module]), alias.name])
                yield Import(name, node.lineno, in_function, for_types)
        case ast.Attribute(attr="_src"):  # of JAX, under whatever name
            yield Import("jax._src", node.lineno, in_function, for_types)
        case ast.Name(id="__import__" | "importlib") | ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
            yield Import("importlib", node.lineno, in_function, for_types)
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            for child in node.body:
                yield from _imports(child, package, in_function, for_types=True)
            for child in node.orelse:
                yield from _imports(child, package, in_function, for_types)
        case _:
            inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from _imports(child, package, inside, for_types)


def violations(path: str, source: str) -> list[str]:
    """What is against the rules in the file at `path`, relative to the package."""
    parts = Path(path).with_suffix("").parts
    here = room(parts)
    if here != parts:
        return [f"{path}: has no floor; give it one in FLOORS"]
    rooms = {"/".join(here[:k]) for k in range(1, len(here) + 1)}
    faults = []
    for name, line, in_function, for_types in imports(source, ".".join(["qmljax", *parts[:-1]])):
        root, *rest = name.split(".")
        if root == "qmljax":
            there = room(rest)
            if there != here and not below(there, here):
                faults.append(f"{path}:{line}: imports qmljax.{'.'.join(there)}, which is not on a floor below")
        elif name == "jax._src" or name.startswith("jax._src."):
            faults.append(f"{path}:{line}: uses jax._src, which is private to JAX")
        elif root == "importlib" and not name.startswith("importlib.metadata"):
            faults.append(f"{path}:{line}: imports what this test cannot see")
        elif root not in sys.stdlib_module_names:
            allowed = LIBRARIES.get(root, set())
            allowed_in_functions = allowed | LIBRARIES_IN_FUNCTIONS.get(root, set())
            if for_types:  # never runs: any module may name the types of a library that some module uses
                ok = bool(allowed_in_functions)
            else:
                ok = bool(rooms & (allowed_in_functions if in_function else allowed))
            if not ok:
                faults.append(f"{path}:{line}: may not import {root} here")
    return list(dict.fromkeys(faults))  # one for each statement, not for each name it imports


def room(parts: Sequence[str]) -> tuple[str, ...]:
    """The room that a module, or a name in one, is in; of a folder, its `__init__`."""
    for k in range(len(parts), -1, -1):
        for path in ((*parts[:k], "__init__"), tuple(parts[:k])):
            if path in FLOOR:
                return path
    raise AssertionError


def below(there: tuple[str, ...], here: tuple[str, ...]) -> bool:
    """Whether a room is on a lower floor than another, where the ways to them part."""
    k = next(k for k, (a, b) in enumerate(zip(there, here, strict=False), start=1) if a != b)
    return FLOOR[there[:k]] < FLOOR[here[:k]]


def test_every_floor_has_its_rooms():
    for *folder, name in FLOOR:
        assert any(PACKAGE.joinpath(*folder, name + ending).exists() for ending in (".py", "")), name


def test_files_and_functions_are_short():
    """At most 400 lines a file, half of them at most 150; at most 60 a function without its docstring."""
    lengths = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lengths.append(len(source.splitlines()))
        assert lengths[-1] <= 400, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                start = node.body[1] if ast.get_docstring(node) and node.body[1:] else node
                own = node.end_lineno - node.lineno + 1
                if start is not node:
                    own -= node.body[0].end_lineno - node.body[0].lineno + 1
                assert own <= 60, f"{path}: {node.name} has {own} lines"
    assert sorted(lengths)[len(lengths) // 2] <= 150


def test_every_module_keeps_to_its_floor():
    faults = []
    for path in sorted(PACKAGE.rglob("*.py")):
        faults += violations(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8"))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("_circuit/gates.py", "from .program import Op"),
        ("_circuit/gates.py", "from qmljax._circuit.program import Op"),
        ("_circuit/gates.py", "import qmljax._circuit.program as program"),
        ("_circuit/gates.py", "from qmljax._circuit import program"),
        ("_engine/segments.py", "from .layers import Layer"),
        ("_engine/segments.py", "from .adjoint import rule"),
        ("_engine/segments.py", "from .._circuit import program"),
        ("primitives/__init__.py", "from ._backend import PrimitiveBackend"),
        ("__init__.py", "from ._training.fit import fit as fit"),
        ("torch/_function.py", "import torch\nfrom qmljax import estimator_qnn"),
        ("flax.py", "from flax import nnx"),
        ("_circuit/parse.py", "from qiskit.circuit import QuantumCircuit"),
        ("_engine/state.py", "import functools, math\nimport numpy as np\nimport jax.numpy as jnp"),
        ("_progress.py", "import jax\ndef f():\n    from tqdm.auto import tqdm"),
        (
            "_models/networks.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from qiskit import QuantumCircuit",
        ),
    ],
)
def test_the_rules_allow(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("_helpers.py", "", "has no floor"),
        ("_circuit/program.py", "from .gates import Op", "not on a floor below"),
        ("_circuit/program.py", "from qmljax._circuit.gates import Op", "not on a floor below"),
        ("_circuit/program.py", "import qmljax._circuit.gates", "not on a floor below"),
        ("_circuit/program.py", "from . import gates", "not on a floor below"),
        ("_circuit/program.py", "from .. import Program", "not on a floor below"),
        ("_circuit/program.py", "import qmljax", "not on a floor below"),
        ("_circuit/program.py", "import sys\nfit = sys.modules['qmljax._training.fit']", "cannot see"),
        ("_circuit/program.py", "import importlib", "cannot see"),
        ("_circuit/program.py", "__import__('qmljax._models')", "cannot see"),
        ("_circuit/program.py", "import jax as j\nj._src", "private to JAX"),
        ("_circuit/program.py", "def f():\n    from .gates import Op", "not on a floor below"),
        (
            "_circuit/program.py",
            "import typing\nif typing.TYPE_CHECKING:\n    from .gates import Op",
            "not on a floor below",
        ),
        ("_engine/layers.py", "from .segments import run", "not on a floor below"),
        ("__init__.py", "from .torch import TorchConnector", "not on a floor below"),
        ("sklearn/_kernels.py", "from ..torch import TorchConnector", "not on a floor below"),
        ("_models/functions.py", "from qiskit import QuantumCircuit", "may not import qiskit"),
        ("_models/functions.py", "try:\n    import torch\nexcept ImportError:\n    pass", "may not import torch"),
        ("_models/networks.py", "def f():\n    import optax", "may not import optax"),
        ("_training/fit.py", "from tqdm.auto import tqdm", "may not import tqdm"),
        ("_training/fit.py", "import pandas", "may not import pandas"),
        (
            "_models/networks.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas",
            "may not import pandas",
        ),
        ("_engine/state.py", "from jax._src import core", "private to JAX"),
        ("_engine/state.py", "from jax import _src", "private to JAX"),
        ("_engine/state.py", "import jax._src.core", "private to JAX"),
        ("_engine/state.py", "import jax\njax._src.core.Primitive", "private to JAX"),
    ],
)
def test_the_rules_forbid(path, source, fault):
    assert [fault in message for message in violations(path, source)] == [True]


def run_python(script: str, **env: str) -> str:
    """Standard output of a fresh interpreter in which every warning is an error."""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_starts_no_backend():
    # No backend of this name exists, so that starting one raises; the second half shows that the trap works.
    script = """
import qmljax
import jax
try:
    jax.devices()
except RuntimeError:
    print("trapped")
"""
    assert run_python(script, JAX_PLATFORMS="no_such_platform") == "trapped\n"


def test_import_changes_no_setting():
    # The dependencies come first: what they set is theirs.
    script = """
import os, warnings
import jax, numpy, optax, qiskit

def settings():
    return {
        "jax": dict(jax.config.values),
        "numpy errors": numpy.geterr(),
        "numpy printing": str(numpy.get_printoptions()),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
    }

before = settings()
import qmljax
after = settings()
print([name for name in before if before[name] != after[name]])
"""
    assert run_python(script) == "[]\n"


def test_import_leaves_the_optional_libraries_alone():
    script = f"""
import json, sys
import qmljax
print(json.dumps([name for name in {OPTIONAL!r} if name in sys.modules]))
"""
    assert json.loads(run_python(script)) == []


def test_types_are_shipped():
    assert files("qmljax").joinpath("py.typed").is_file()
