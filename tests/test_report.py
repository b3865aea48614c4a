"""`python -m qmljax`: what a bug report needs."""

import os
import subprocess
import sys
from importlib.metadata import version

from qmljax import __main__ as report


def test_versions_devices_and_extras():
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "JAX_COMPILATION_CACHE_DIR": "here"}
    done = subprocess.run([sys.executable, "-m", "qmljax"], env=env, capture_output=True, text=True, check=True)
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[1:])
    assert f"jax {version('jax')}" in lines["needs"] and f"qiskit {version('qiskit')}" in lines["needs"]
    assert lines["extra sklearn"] == f"scikit-learn {version('scikit-learn')}"
    assert lines["devices"].endswith("on cpu; process 0 of 1")
    assert lines["precision"] == "float64" and lines["compilation cache"] == "here"
    assert not {"extra dev", "extra bench", "extra all"} & set(lines)


def test_what_is_not_installed():
    assert report.installed("no-such-distribution") == "no-such-distribution (not installed)"
