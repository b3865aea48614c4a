"""`python -m qmljax`: what a bug report needs."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import qmljax
from qmljax import __main__ as report

ROOT = Path(__file__).parents[1]


def test_versions_devices_and_extras():
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "JAX_COMPILATION_CACHE_DIR": "here"}
    done = subprocess.run([sys.executable, "-m", "qmljax"], env=env, capture_output=True, text=True, check=True)
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"qmljax {qmljax.__version__}, Python {sys.version.split()[0]}, ")
    lines = dict(line.split(": ", 1) for line in rest)
    for name in "jax jaxlib qiskit numpy optax flax".split():
        assert f"{name} {version(name)}" in lines["needs"]
    assert lines["extra sklearn"] == f"scikit-learn {version('scikit-learn')}"
    assert lines["devices"].endswith("on cpu; process 0 of 1")
    assert lines["precision"] == "float64" and lines["compilation cache"] == "here"
    assert not {"extra dev", "extra bench", "extra all", "extra docs"} & set(lines)


def test_what_is_missing_and_what_installs_it():
    assert report.installed("no-such-thing") == "no-such-thing (missing: pip install no-such-thing)"
    assert report.installed("no-such-thing", "torch") == "no-such-thing (missing: pip install 'qmljax[torch]')"


def test_sources_that_are_not_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(report, "requires", missing)
    assert list(report.requirements()) == []


def test_the_command(capsys):
    with pytest.raises(SystemExit) as ended:
        report.main(["--version"])
    assert not ended.value.code and capsys.readouterr().out == f"qmljax {qmljax.__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"qmljax": "qmljax.__main__:main"} and "version" in project["dynamic"]


def test_the_version_is_written_down_once_and_cited():
    assert re.fullmatch(r"\d+\.\d+\.\d+", qmljax.__version__)
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited and cited[1] == qmljax.__version__
