"""`make dist`: what it says of distributions with too much or too little. CI runs it; here are its rules alone."""

import importlib.util
import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("dist_script", ROOT / ".ci" / "dist.py")
dist = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dist)

PACKAGE = {"qmljax/__init__.py", "qmljax/py.typed", "qmljax/noise/_model.py"}
WHEEL = {*PACKAGE, *(f"qmljax-1.0.dist-info/{name}" for name in dist.ABOUT)}
SDIST = {f"qmljax-1.0/{name}" for name in PACKAGE | dist.NEEDED}
PROJECT = {
    "name": "qmljax",
    "description": "A library.",
    "license": "Apache-2.0",
    "requires-python": ">=3.11",
    "optional-dependencies": {"plot": ["matplotlib"]},
}
METADATA = """Metadata-Version: 2.4
Name: qmljax
Version: 1.0
Summary: A library.
License-Expression: Apache-2.0
License-File: LICENSE
Requires-Python: >=3.11
Description-Content-Type: text/markdown
Provides-Extra: plot
Requires-Dist: matplotlib; extra == "plot"

# A library
"""


def test_the_package_of_this_tree():
    found = dist.files_of_package()
    assert {"qmljax/__init__.py", "qmljax/py.typed", "qmljax/sklearn/_kernels.py"} <= found
    assert all(name.endswith((".py", "py.typed")) for name in found)


def test_a_good_wheel():
    assert dist.faults_of_wheel(WHEEL, PACKAGE) == []


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_a.py",
        "qmljax/__pycache__/a.cpython-311.pyc",
        "qmljax/notes.txt",
        "qmljax/_left_over.py",
        "qmljax-1.0.dist-info/licenses/OTHER",
        "README.md",
    ],
)
def test_what_a_wheel_should_not_have(name):
    (fault,) = dist.faults_of_wheel({*WHEEL, name}, PACKAGE)
    assert " has " in fault and name.partition(".dist-info/")[2] in fault


@pytest.mark.parametrize("name", sorted(WHEEL))
def test_what_a_wheel_should_not_lack(name):
    (fault,) = dist.faults_of_wheel(WHEEL - {name}, PACKAGE)
    assert " lacks " in fault


def test_source_distributions():
    assert dist.faults_of_sdist(SDIST, PACKAGE) == []
    for name in ("tests/__pycache__/a.pyc", ".venv/bin/python", "build/jax/x", "examples/figures/1.png", ".git/HEAD"):
        assert dist.faults_of_sdist({*SDIST, "qmljax-1.0/" + name}, PACKAGE) == [f"the source distribution has {name}"]
    for name in SDIST:
        (fault,) = dist.faults_of_sdist(SDIST - {name}, PACKAGE)
        assert fault.endswith(f" lacks {name.partition('/')[2]}")


def test_what_is_needed_is_there():
    """But for what the build makes."""
    assert [name for name in dist.NEEDED - {"PKG-INFO"} if not (ROOT / name).is_file()] == []


def metadata(old: str = "", new: str = "") -> list[str]:
    assert old in METADATA
    return dist.faults_of_metadata(METADATA.replace(old, new).encode(), PROJECT, "1.0", "# A library")


def test_good_metadata():
    assert metadata() == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Version: 1.0", "Version: 1.1", "version"),
        ("Version: 1.0", "Version: one", "invalid"),
        ("Apache-2.0", "Apache2", "invalid"),
        (">=3.11", "newest", "invalid"),
        ("text/markdown", "text/x-rst", "type of the description"),
        ("# A library", "# Another", "description"),
        ("Provides-Extra: plot\n", "", "extras"),
        ("Summary: A library.", "Summary: A book.", "summary"),
        ("Requires-Dist: matplotlib", "Requires-Dist: mat plot", "invalid"),
    ],
)
def test_what_is_wrong_with_metadata(old, new, fault):
    assert any(fault in found for found in metadata(old, new))


def test_every_extra_is_tried():
    assert dist.chosen("none") == [] and dist.chosen("torch,plot") == ["torch", "plot"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(dist.chosen("all")) == set(project["optional-dependencies"]) - {"all", "bench", "dev", "docs"}
    with pytest.raises(dist.Fault, match="no extras"):
        dist.chosen("pandas")


def test_the_version_is_read_where_it_is_written(tmp_path):
    import qmljax

    assert dist.version_of(ROOT / "qmljax" / "__init__.py") == qmljax.__version__
    (tmp_path / "a.py").write_text("version = 1")
    with pytest.raises(dist.Fault, match="__version__"):
        dist.version_of(tmp_path / "a.py")


def test_readme_cells_that_need_extras():
    """The signs are seen in what needs them."""
    for name, (code, _) in dist.EXTRAS.items():
        assert dist.needs([code]) == [name]
    assert dist.needs(["import qmljax as qj\nqj.parse(circuit)"]) == []


def test_the_readme_is_held_to_its_word(monkeypatch):
    cells = [("print(0.5)", "0.5"), ("print(2)", "2")]

    def ran(file: str, *printed: str) -> None:
        monkeypatch.setattr(dist, "run", lambda *about: json.dumps([file, printed]))
        dist.check_readme(Path("python"), cells, Path("."))

    ran("/elsewhere/qmljax/__init__.py", "0.5\n", "2\n")
    with pytest.raises(dist.Fault, match="not printed"):
        ran("/elsewhere/qmljax/__init__.py", "0.5\n", "7\n")
    with pytest.raises(dist.Fault, match="in the tree"):
        ran(str(ROOT / "qmljax" / "__init__.py"), "0.5\n", "2\n")


@pytest.mark.parametrize("said", ["", "No module named 'torch'"])
def test_extras_say_what_to_install(said, monkeypatch):
    monkeypatch.setattr(dist, "environment", lambda *about, under: Path("python"))
    monkeypatch.setattr(dist, "run", lambda *about, may_fail=False: said)
    with pytest.raises(dist.Fault, match="Without the extra torch"):
        dist.check_extra("torch", Path("a.whl"), Path("python"), Path("."))
    monkeypatch.setattr(dist, "run", lambda *about, may_fail=False: "ImportError: pip install 'qmljax[torch]'.")
    dist.check_extra("torch", Path("a.whl"), Path("python"), Path("."))
