"""Tests on several devices: a file runs itself in a process that has virtual ones."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path


def environment(devices: int) -> dict[str, str]:
    """Of a process with so many virtual devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        env.pop(name, None)
    return env


def run_with_devices(file: str, devices: int) -> None:
    """Runs the tests of a file in a process with so many virtual devices, and fails if one fails or none runs."""
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, env=environment(devices), capture_output=True, text=True, timeout=900)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and passed and int(passed[1]) > 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-2000:]


def run_processes(file: str, processes: int, devices: int, *args: str) -> list[str]:
    """Runs a script in several processes at once, with virtual devices each, on this machine; what they print.

    Its arguments are the address of the first process, the number of processes, its own rank, and `args`.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    env = environment(devices) | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    command = [sys.executable, file, address, str(processes)]
    started = [
        subprocess.Popen(
            [*command, str(rank), *args], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for rank in range(processes)
    ]
    outputs = [each.communicate(timeout=600) for each in started]
    for each, (out, err) in zip(started, outputs, strict=True):
        assert each.returncode == 0, out[-4000:] + err[-4000:]
    return [out for out, _ in outputs]
