"""The examples: what each says for --help and how soon, and that they use nothing but public names."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import qmljax as qj

ROOT = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(ROOT.glob("[0-9]*.py"))
FILES = sorted(ROOT.glob("*.py"))
APART = {"flax", "primitives", "sklearn", "torch"}  # public modules that `import qmljax` leaves to those who want them

by_name = {"ids": lambda path: path.stem}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> list[str]:
    """The modules that a file imports, in order, and where names come from one, these."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return found


def private(tree: ast.Module) -> list[str]:
    """What a file uses of qmljax by another way than its public names."""
    faults = []
    for name in imported(tree):
        if name.split(".")[0].split(" ")[0] == "qmljax" and name != "qmljax as qj":
            if name.removeprefix("qmljax.") not in APART:
                faults.append(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qmljax"):
            faults += [alias.name for alias in node.names if alias.name.startswith("_")]
        if isinstance(node, ast.Attribute) and (path := chain(node))[0] == "qj" and not is_public(path[1:]):
            faults.append(".".join(path))
    return faults


def chain(node: ast.AST) -> list[str]:
    """The names of `a.b.c`; empty ones for what is no name."""
    if isinstance(node, ast.Attribute):
        return [*chain(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def is_public(path: list[str]) -> bool:
    """Whether there is such a name in qmljax, and none of its parts is private."""
    thing: Any = qj
    for name in path:
        if name.startswith("_") or not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


@pytest.mark.parametrize("path", FILES, **by_name)
def test_examples_use_public_names(path):
    assert private(tree_of(path)) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from qmljax import _files", "qmljax"),
        ("from qmljax._models import qnn", "qmljax._models"),
        ("import qmljax._models.qnn", "qmljax._models.qnn"),
        ("import qmljax", "qmljax"),
        ("from qmljax.sklearn import _saved", "_saved"),
        ("import qmljax as qj\nqj._files.replace", "qj._files"),
        ("import qmljax as qj\nqj.no_such_name", "qj.no_such_name"),
    ],
)
def test_private_names_are_noticed(source, fault):
    assert fault in private(ast.parse(source))


def test_public_names_are_allowed():
    source = "import qmljax as qj\nfrom qmljax.sklearn import VQC\nqj.noise.Simulator.expectation\nx.qj._a"
    assert private(ast.parse(source)) == []


@pytest.mark.parametrize("path", EXAMPLES, **by_name)
def test_examples_say_what_they_do_and_take(path, monkeypatch, capsys):
    """Before anything else is imported: an import of JAX or Qiskit would take seconds."""
    others = [name.split(".")[0] for name in imported(tree_of(path))]
    assert [name for name in others if name not in sys.stdlib_module_names][0] == "_arguments"
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.delitem(sys.modules, "_arguments", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert ast.get_docstring(tree_of(path)).splitlines()[0] in printed
    assert f"examples/figures/{path.stem}.png" in printed and "--platform" in printed
    monkeypatch.delitem(sys.modules, "_arguments", raising=False)  # of which the next one is to have its own


@pytest.mark.parametrize("path", EXAMPLES, **by_name)
def test_examples_run_as_scripts_alone(path):
    """`main` is all that runs, and only in a script: what imports an example runs nothing."""
    last = tree_of(path).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    main()"


@pytest.mark.parametrize("path", FILES, **by_name)
def test_examples_run_on_any_device(path):
    """They leave it to JAX and its user where they compute, and set 64 bits for a part at most.

    But for one, which is about virtual devices: those are of a CPU, unless its user says otherwise.
    """
    allowed = {"cpu"} if path.stem in ("26_many_devices", "_arguments") else set()
    tree = tree_of(path)
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert words & {"cpu", "gpu", "cuda", "jax_platforms", "jax_enable_x64"} <= allowed | (
        {"gpu"} if path.stem == "_arguments" else set()
    )
    calls = [".".join(chain(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"jax.config.update", "jax.devices"} & set(calls)


def test_help_is_quick_and_wrong_options_are_refused():
    command = [sys.executable, str(EXAMPLES[0])]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "usage: 01_train_a_classifier.py" in done.stdout
    done = subprocess.run([*command, "--figures", "."], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "usage" in done.stderr


def test_options_are_read(tmp_path):
    script = tmp_path / "1.py"
    (tmp_path / "_arguments.py").write_text((ROOT / "_arguments.py").read_text(encoding="utf-8"), encoding="utf-8")
    script.write_text("import os, _arguments\nprint(_arguments.figure(__file__), os.environ['JAX_PLATFORMS'])")
    command = [sys.executable, str(script), "--figure", "a.svg", "--platform", "gpu"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a.svg cuda,cpu\n"
    done = subprocess.run(command[:2], env={"JAX_PLATFORMS": "x"}, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'figures' / '1.png'} x\n"


def test_figures_are_whole(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import _figures

    class Figure:
        def savefig(self, file, format, dpi):
            file.write(f"{format} {dpi}".encode())

    _figures.keep(Figure(), tmp_path / "new" / "a.png", dpi=3)
    assert [(p.name, p.read_text()) for p in (tmp_path / "new").iterdir()] == [("a.png", "png 3")]
