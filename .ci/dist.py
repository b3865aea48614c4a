"""Builds the distributions, looks into them, and uses them as a stranger does: outside of the tree, in fresh rooms.

    python .ci/dist.py                       # what `make dist` runs
    python .ci/dist.py --extras none         # without an environment for each extra
    python .ci/dist.py --extras torch,plot   # for these alone

It stops at the first fault. What it builds stays in dist/, the environments do not.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
ABOUT = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}  # what a wheel says of itself
NEEDED = {  # what a source distribution needs besides the package, to be built, tested and cited
    *(".ci/constraints.txt", ".ci/dist.py", ".ci/run", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE"),
    *("Makefile", "PKG-INFO", "README.md", "pyproject.toml"),
    *("benchmarks/__main__.py", "docs/hardware.md", "examples/01_train_a_classifier.py", "tests/conftest.py"),
}
JUNK = re.compile(r"(^|/)(__pycache__|\.venv[^/]*|\.git|\.\w+_cache|build|dist|_build|figures)/|\.py[co]$|\.egg-info/")

# What each extra enables, in a line that ends in an assertion, and what is said without it.
EXTRAS = {
    "torch": (
        "from qmljax.torch import torch_function; import jax.numpy as jnp, torch;"
        "assert torch_function(jnp.cos)(torch.zeros(2)).tolist() == [1, 1]",
        "pip install 'qmljax[torch]'",
    ),
    "sklearn": (
        "from qmljax.sklearn import QSVC; x = [[0.1, 0.2], [0.2, 0.1], [2.0, 2.1], [2.1, 2.0]];"
        "assert QSVC().fit(x, [0, 0, 1, 1]).predict(x).tolist() == [0, 0, 1, 1]",
        "pip install 'qmljax[sklearn]'",
    ),
    "ibm": (
        "import qiskit_aer; from qiskit_ibm_runtime.fake_provider import FakeManilaV2; import qmljax as qj;"
        "assert qj.noise.NoiseModel.from_backend(FakeManilaV2()).gates",
        "No module named 'qiskit_aer'",  # a user imports it, qmljax never does
    ),
    "plot": (
        "import qmljax as qj; assert qj.plots.training_curve([1.0, 0.5]).lines",
        "pip install 'qmljax[plot]'",
    ),
    "progress": (
        "import jax.numpy as jnp, optax, qmljax as qj;"
        "r = qj.fit(lambda w: w**2, jnp.array(1.0), (), optimizer=optax.sgd(0.5), steps=3, progress=True);"
        "assert r.weights == 0",
        "pip install 'qmljax[progress]'",
    ),
    "qasm": (
        "import qmljax as qj; assert qj.parse('OPENQASM 3.0; include \"stdgates.inc\"; qubit q; h q;').width == 1",
        "pip install 'qmljax[qasm]'",
    ),
    "files": (
        "import qmljax as qj; from qiskit.circuit.library import z_feature_map; kernel = qj.fidelity_kernel("
        "z_feature_map(2)); qj.save('kernel.qmljax', kernel); assert qj.load('kernel.qmljax')[0] == kernel",
        "pip install 'qmljax[files]'",
    ),
}
# By what code is seen to need an extra.
SIGNS = {
    "torch": r"\btorch\b",
    "sklearn": r"\bsklearn\b",
    "ibm": r"\bqiskit_(aer|ibm_runtime)\b",
    "plot": r"\bplots\b|\bmatplotlib\b",
    "progress": r"\bprogress=True\b",
    "qasm": r"\bOPENQASM 3",
    "files": r"\bqj\.save\(|\bcheckpoint=|\.save\(",
}
# Run outside of the tree: sources come in, what they print goes out.
RUNNER = """
import contextlib, io, json, sys
names, printed = {}, []
for source in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(source, "README.md", "exec"), names)
    printed.append(out.getvalue())
import qmljax
json.dump([qmljax.__file__, printed], sys.stdout)
"""


class Fault(Exception):
    """What is wrong with a distribution."""


def build() -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it."""
    for old in DIST.glob("qmljax-*"):
        old.unlink()
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT)], cwd=ROOT)
    (sdist,), (wheel,) = DIST.glob("qmljax-*.tar.gz"), DIST.glob("qmljax-*.whl")
    return sdist, wheel


def files_of_package() -> set[str]:
    """The files of the package in the tree."""
    found = (path.relative_to(ROOT).as_posix() for path in (ROOT / "qmljax").rglob("*") if path.is_file())
    return {name for name in found if not JUNK.search(name)}


def faults_of_wheel(names: Iterable[str], package: set[str]) -> list[str]:
    """What a wheel has that is not of the package, and what it lacks."""
    names = set(names)
    own = {name for name in names if name.startswith("qmljax/")}
    about = {name.partition(".dist-info/")[2] for name in names if re.match(r"qmljax-[^/]+\.dist-info/", name)}
    strange = names - own - {name for name in names if ".dist-info/" in name}
    strange |= {name for name in own if JUNK.search(name) or not name.endswith((".py", "/py.typed"))}
    return [
        *(f"the wheel has {name}" for name in sorted(strange | (own - package))),
        *(f"the wheel lacks {name}" for name in sorted(package - own)),
        *(f"the wheel's description has {name}" for name in sorted(about - ABOUT)),
        *(f"the wheel's description lacks {name}" for name in sorted(ABOUT - about)),
    ]


def faults_of_sdist(names: Iterable[str], package: set[str]) -> list[str]:
    """What a source distribution has that was built or cached, and what it lacks."""
    inside = {name.partition("/")[2] for name in names}
    return [
        *(f"the source distribution has {name}" for name in sorted(inside) if JUNK.search(name)),
        *(f"the source distribution lacks {name}" for name in sorted((package | NEEDED) - inside)),
    ]


def faults_of_metadata(raw: bytes, project: dict, version: str, readme: str) -> list[str]:
    """What an index would refuse of the metadata, and what does not agree with the project."""
    try:
        found = Metadata.from_email(raw, validate=True)
    except ExceptionGroup as group:
        return [str(error) for error in group.exceptions]
    said = {
        "name": (found.name, project["name"]),
        "version": (str(found.version), version),
        "summary": (found.summary, project["description"]),
        "license": (found.license_expression, project["license"]),
        "Python": (str(found.requires_python), project["requires-python"]),
        "extras": (sorted(found.provides_extra or []), sorted(project["optional-dependencies"])),
        "type of the description": ((found.description_content_type or "").partition(";")[0], "text/markdown"),
        "description": ((found.description or "").strip(), readme.strip()),
    }
    return [f"the {what} is {got!r}, not {wanted!r}"[:500] for what, (got, wanted) in said.items() if got != wanted]


def check(sdist: Path, wheel: Path) -> None:
    """Contents and metadata of both."""
    package = files_of_package()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        raw = [file.read(metadata)]
    faults = faults_of_wheel(names, package)
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        (info,) = (member for member in members if member.name.count("/") == 1 and member.name.endswith("/PKG-INFO"))
        raw.append(archive.extractfile(info).read())  # type: ignore[union-attr]  # it is a file
    faults += faults_of_sdist([member.name for member in members], package)
    for text in raw:
        faults += faults_of_metadata(text, project, version_of(ROOT / "qmljax" / "__init__.py"), readme)
    if faults:
        raise Fault("\n".join(faults))
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1024:.0f} KiB")
    print(f"{sdist.name}: {len(members)} files, {sdist.stat().st_size / 1024:.0f} KiB")


def version_of(path: Path) -> str:
    """The version, where it is written down."""
    found = re.search(r'^__version__ = "(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise Fault(f"{path} has no line with __version__.")
    return found[1]


def environment(folder: Path, *requirements: str, under: Path | None = None) -> Path:
    """The Python of a fresh environment with these installed, over another one whose packages it sees."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = folder / "bin" / "python"
    if under is not None:
        site = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
        below = run([str(under), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
        (Path(site) / "below.pth").write_text(below + "\n")
    options = ["--quiet", "--disable-pip-version-check", "--constraint", str(ROOT / ".ci" / "constraints.txt")]
    run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, *requirements], cwd=folder)
    return python


def run(command: Sequence[str], cwd: Path | None = None, given: str = "", may_fail: bool = False) -> str:
    """What a command prints, without anything of this tree on its path; of one that fails, its last line."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env |= {"MPLBACKEND": "agg", "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    done = subprocess.run(command, cwd=cwd, env=env, input=given, capture_output=True, text=True)
    if may_fail:
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""
    if done.returncode:
        raise Fault(f"{' '.join(command)[:300]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def outputs() -> ModuleType:
    """`tests/outputs.py`: what a cell is, and when two outputs are the same."""
    spec = importlib.util.spec_from_file_location("outputs", ROOT / "tests" / "outputs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(sources: Sequence[str]) -> list[str]:
    """The extras that code is seen to need."""
    return [name for name, sign in SIGNS.items() if any(re.search(sign, source) for source in sources)]


def check_readme(python: Path, cells: Sequence[tuple[str, str]], folder: Path) -> None:
    """Runs the README's code in an environment, in an empty folder, and compares what it prints with what is shown."""
    source, printed = json.loads(run([str(python), "-c", RUNNER], folder, json.dumps([code for code, _ in cells])))
    if ROOT in Path(source).resolve().parents:
        raise Fault(f"The README's code ran with {source}, which is in the tree.")
    for (_, shown), text in zip(cells, printed, strict=True):
        try:
            outputs().assert_same_output(text, shown)
        except AssertionError as error:
            raise Fault(f"The README shows what is not printed outside of the tree.\n{error}") from None


def check_extra(name: str, wheel: Path, base: Path, folder: Path) -> None:
    """What an extra enables works with it, and says what to install without it."""
    code, said = EXTRAS[name]
    without = run([str(base), "-c", code], folder, may_fail=True)
    if said not in without:
        raise Fault(f"Without the extra {name} it must be said: {said}\nbut it is: {without or 'nothing, it works'}")
    python = environment(folder / "venv", f"{wheel}[{name}]", under=base)
    run([str(python), "-W", "error::UserWarning:qmljax", "-c", code], folder)


def chosen(extras: str) -> list[str]:
    """The names of extras, "all" and "none" included."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    if set(EXTRAS) != set(known) - {"all", "bench", "dev", "docs"}:
        raise Fault(f"EXTRAS must be those of pyproject.toml, but are {sorted(EXTRAS)}.")
    names = {"all": list(EXTRAS), "none": []}.get(extras, extras.split(","))
    if unknown := set(names) - set(EXTRAS):
        raise Fault(f"There are no extras {sorted(unknown)}. There are {', '.join(EXTRAS)}.")
    return names


def main() -> None:
    """What a shell runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="all", help="all, none, or their names with commas between them")
    extras = chosen(parser.parse_args().extras)
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {what}", flush=True)

    sdist, wheel = build()
    check(sdist, wheel)
    say("contents and metadata are as they should be")
    with tempfile.TemporaryDirectory(prefix="qmljax-dist-") as made:
        folder = Path(made)
        base = environment(folder / "base", str(wheel))
        report = run([str(base.parent / "qmljax")], folder)
        if not report.startswith(f"qmljax {version_of(ROOT / 'qmljax' / '__init__.py')},"):
            raise Fault(f"The command qmljax printed\n{report}")
        say("the wheel is installed in a fresh environment, and the command qmljax reports it")
        cells = outputs().CELL.findall((ROOT / "README.md").read_text(encoding="utf-8"))
        wanted = needs([code for code, _ in cells])
        python = environment(folder / "readme", f"{wheel}[{','.join(wanted)}]", under=base) if wanted else base
        check_readme(python, cells, folder)
        say(f"the README's {len(cells)} blocks print what it shows, with the extras {', '.join(wanted) or 'none'}")
        for name in extras:
            (folder / name).mkdir()
            check_extra(name, wheel, base, folder / name)
            say(f"extra {name}: works, and without it says what to install")


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        sys.exit(f"make dist: {fault}")
