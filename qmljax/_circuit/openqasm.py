"""OpenQASM 2 and 3, from a string or a file, as a `QuantumCircuit`."""

import pathlib
import re

from qiskit import QuantumCircuit, qasm2, qasm3

_VERSION = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*OPENQASM\s+(\d)", re.DOTALL)  # after spaces and comments


def load(source: str | pathlib.Path) -> QuantumCircuit:
    """The circuit of a program that starts with its version line."""
    if isinstance(source, pathlib.Path):
        source = source.read_text(encoding="utf-8")
    version = _VERSION.match(source)
    if not version:
        raise ValueError(
            "An OpenQASM program must start with its version line, such as `OPENQASM 3.0;`, but this one starts with "
            f"{source.strip()[:40]!r}. To read a file, pass a pathlib.Path instead of a string."
        )
    if version[1] == "2":
        return qasm2.loads(source, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    try:
        return qasm3.loads(source)
    except ImportError as error:
        raise ImportError("Reading OpenQASM 3 needs one more package: pip install 'qmljax[qasm]'.") from error
