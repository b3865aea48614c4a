"""The map of the package, as data: who may import whom, and which library may be imported where.

Also what `import qmljax` must not do. A new module takes its place in `FLOORS`; a new dependency, in `LIBRARIES`.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "qmljax"

# From the ground up. A module imports only from floors below its own; neighbours do not know each other.
FLOORS = [
    ["_expressions", "_basis", "_files", "_minimize", "circuits"],
    ["_checkpoint", "_program"],
    ["_gates"],
    ["_parse"],
    ["_layers"],
    ["_state"],
    ["_operations"],
    ["_adjoint"],
    ["_simulate"],
    ["_observables"],
    ["_functions"],
    ["_qnn"],
    ["_kernels", "datasets", "gram", "losses"],
    ["_fit", "_optimizers", "_save"],
    ["__init__"],
    ["flax", "primitives", "sklearn", "torch"],
]
FLOOR = {module: height for height, floor in enumerate(FLOORS) for module in floor}
CONNECTORS = set(FLOORS[-1])
EVERYWHERE = set(FLOOR)

# The modules that may import a library when they are themselves imported ...
LIBRARIES = {
    "jax": EVERYWHERE,
    "numpy": EVERYWHERE,
    "qiskit": CONNECTORS | {"_parse", "_save", "circuits"},
    "optax": CONNECTORS | {"_fit", "_optimizers", "losses"},
    "scipy": CONNECTORS,
    "flax": {"flax"},
    "joblib": {"sklearn"},
    "sklearn": {"sklearn"},
    "torch": {"torch"},
}
# ... and, besides those, the modules that may import it inside a function, once it is called.
LIBRARIES_IN_FUNCTIONS = {
    "safetensors": {"_files"},
    "scipy": {"_minimize", "gram"},
    "sklearn": {"gram"},
    "tqdm": {"_functions"},
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
    """One imported name, spelled absolutely: `from ._state import x` in the package is `qmljax._state.x`."""

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
        case ast.Attribute(value=ast.Name(id="jax"), attr="_src"):
            yield Import("jax._src", node.lineno, in_function, for_types)
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
    here = parts[0]  # a file of a private package stands on the floor of that package
    if here not in FLOOR:
        return [f"{path}: has no floor; give it one in FLOORS"]
    faults = []
    for name, line, in_function, for_types in imports(source, ".".join(["qmljax", *parts[:-1]])):
        root, _, rest = name.partition(".")
        if root == "qmljax":
            below = rest.split(".")[0]
            below = below if below in FLOOR or _is_module(below) else "__init__"  # a public name, if not a module
            inside = below == here and len(parts) > 1
            if not inside and FLOOR.get(below, len(FLOORS)) >= FLOOR[here]:
                faults.append(f"{path}:{line}: imports qmljax.{below}, which is not on a floor below")
        elif name == "jax._src" or name.startswith("jax._src."):
            faults.append(f"{path}:{line}: uses jax._src, which is private to JAX")
        elif root not in sys.stdlib_module_names:
            allowed = LIBRARIES.get(root, set())
            allowed_in_functions = allowed | LIBRARIES_IN_FUNCTIONS.get(root, set())
            if for_types:  # never runs: any module may name the types of a library that some module uses
                ok = bool(allowed_in_functions)
            else:
                ok = here in (allowed_in_functions if in_function else allowed)
            if not ok:
                faults.append(f"{path}:{line}: may not import {root} here")
    return list(dict.fromkeys(faults))  # one for each statement, not for each name it imports


def _is_module(name: str) -> bool:
    return (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()


def test_every_module_keeps_to_its_floor():
    faults = []
    for path in sorted(PACKAGE.rglob("*.py")):
        faults += violations(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8"))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("_gates.py", "from ._program import Op"),
        ("_gates.py", "from qmljax._program import Op"),
        ("_gates.py", "import qmljax._program as program"),
        ("_gates.py", "from qmljax import _program"),
        ("_simulate/_scan.py", "from .._layers import Layer"),
        ("_simulate/_scan.py", "from ._adjoint import rule"),
        ("_simulate/_scan.py", "from . import _adjoint"),
        ("_simulate/__init__.py", "from ._scan import run"),
        ("__init__.py", "from ._fit import fit as fit"),
        ("torch.py", "import torch\nfrom qmljax import estimator_qnn"),
        ("flax.py", "from flax import nnx"),
        ("_parse.py", "from qiskit.circuit import QuantumCircuit"),
        ("_state.py", "import functools, math\nimport numpy as np\nimport jax.numpy as jnp"),
        ("_functions.py", "import jax\ndef f():\n    from tqdm.auto import tqdm"),
        ("_qnn.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from qiskit import QuantumCircuit"),
    ],
)
def test_the_rules_allow(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("_helpers.py", "", "has no floor"),
        ("_program.py", "from ._gates import Op", "not on a floor below"),
        ("_program.py", "from qmljax._gates import Op", "not on a floor below"),
        ("_program.py", "import qmljax._gates", "not on a floor below"),
        ("_program.py", "from . import _gates", "not on a floor below"),
        ("_program.py", "from . import Program", "not on a floor below"),
        ("_program.py", "import qmljax", "not on a floor below"),
        ("_program.py", "def f():\n    from ._gates import Op", "not on a floor below"),
        ("_program.py", "import typing\nif typing.TYPE_CHECKING:\n    from ._gates import Op", "not on a floor below"),
        ("_layers/_sink.py", "from .._simulate import run", "not on a floor below"),
        ("__init__.py", "from .torch import TorchConnector", "not on a floor below"),
        ("sklearn.py", "from .torch import TorchConnector", "not on a floor below"),
        ("_functions.py", "from qiskit import QuantumCircuit", "may not import qiskit"),
        ("_functions.py", "try:\n    import torch\nexcept ImportError:\n    pass", "may not import torch"),
        ("_qnn.py", "def f():\n    import optax", "may not import optax"),
        ("_fit.py", "from tqdm.auto import tqdm", "may not import tqdm"),
        ("_fit.py", "import pandas", "may not import pandas"),
        ("_qnn.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas", "may not import pandas"),
        ("_state.py", "from jax._src import core", "private to JAX"),
        ("_state.py", "from jax import _src", "private to JAX"),
        ("_state.py", "import jax._src.core", "private to JAX"),
        ("_state.py", "import jax\njax._src.core.Primitive", "private to JAX"),
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
