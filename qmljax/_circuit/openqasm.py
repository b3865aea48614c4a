"""OpenQASM 2 and 3, from a string or a file, and QPY files, as a `QuantumCircuit`."""

import contextlib
import io
import pathlib
import re

import qiskit.circuit.library as library
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import Gate

_SPACE = r"(?:\s|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*"  # spaces and comments
_VERSION = re.compile(_SPACE + r"OPENQASM\s+(\d+)(?:\.\d+)?\s*;?", re.DOTALL)
_FIRST = re.compile(_SPACE + r"(include\s*\"|qreg\b|creg\b|qubit\b|bit\b|gate\b|input\b|opaque\b|const\b)", re.DOTALL)
_OF_2 = re.compile(r"\bqreg\b|\"qelib1\.inc\"")
_INCLUDE = re.compile(r"(^|;)[^\S\n]*include\s*\"(?!stdgates\.inc\")([^\"\n]*)\"\s*;", re.MULTILINE)
_MCX = re.compile(r"\bmcx\s+([^;{}]*);")
_GPHASE = re.compile(r"\bgphase\s*\(([^;{}]*)\)[^;{}()]*;")  # PennyLane names the qubits of what it decomposed
_GATE = re.compile(r"\bgate\s+\w+\s*(?:\([^)]*\))?\s*(\w+)[^;{}]*\{([^}]*)\}?")
_REGISTER = re.compile(r"\bqreg\s+(\w+)")
_IF_BIT = re.compile(r"\bif\s*\(\s*(\w+)\s*\[\s*(\d+)\s*\]\s*==")
_UNKNOWN = re.compile(r"'(\w+)' is not defined in this scope")
DEPTH = 20  # of files that include one another

# Gates that benchmark files use and `qelib1.inc` has not: name -> (parameters, qubits, class).
_GATES = {
    "ccz": (0, 3, library.CCZGate),
    "cs": (0, 2, library.CSGate),
    "csdg": (0, 2, library.CSdgGate),
    "csx": (0, 2, library.CSXGate),
    "c3sx": (0, 4, library.C3SXGate),
    "dcx": (0, 2, library.DCXGate),
    "ecr": (0, 2, library.ECRGate),
    "iswap": (0, 2, library.iSwapGate),
    "r": (2, 1, library.RGate),
    "rxx": (1, 2, library.RXXGate),
    "ryy": (1, 2, library.RYYGate),
    "rzx": (1, 2, library.RZXGate),
    "rzz": (1, 2, library.RZZGate),
    "rv": (3, 1, library.RVGate),
    "xx_minus_yy": (2, 2, library.XXMinusYYGate),
    "xx_plus_yy": (2, 2, library.XXPlusYYGate),
}


def load(source: str | pathlib.Path) -> QuantumCircuit:
    """The circuit of an OpenQASM program, or of a file of one or of a `.qpy` file.

    A program without a version line is OpenQASM 2 if it has a `qreg` or includes `qelib1.inc`, else 3. What it includes
    is looked for beside its own file.
    """
    if isinstance(source, pathlib.Path):
        if source.suffix == ".qpy":
            return _load_qpy(source)
        name, folder, text = str(source), source.parent, _text(source)
    else:
        name, folder, text = "The OpenQASM program", pathlib.Path("."), source.removeprefix("\ufeff")
    if match := _VERSION.match(text):
        version = match[1]
    elif _FIRST.match(text):
        version = "2" if _OF_2.search(text) else "3"
    else:
        raise ValueError(
            "An OpenQASM program must start with its version line, such as `OPENQASM 3.0;`, or with a declaration, but "
            f"this one starts with {text.strip()[:40]!r}. To read a file, pass a pathlib.Path instead of a string."
        )
    if version not in ("2", "3"):
        raise ValueError(
            f"{name} must be OpenQASM 2 or 3, but its version line says {version}. Write it in one of them."
        )
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):  # where the parser of OpenQASM 3 says what it does not understand
            return _load_2(text, folder) if version == "2" else qasm3.loads(_with_includes(text, folder))
    except ImportError as error:
        raise ImportError("Reading OpenQASM 3 needs one more package: pip install 'qmljax[qasm]'.") from error
    except Exception as error:
        reason = "; ".join(filter(None, (str(error).strip("'\" \n"), messages.getvalue().strip().replace("\n", "; "))))
        raise ValueError(
            f"{name} must be OpenQASM {version} that Qiskit can read (errors are at line,column), but Qiskit says: "
            f"{reason or type(error).__name__}. Correct it there, or build the circuit in Python."
        ) from error


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text file of OpenQASM in UTF-8, or be named .qpy, but: {error}.") from error


def _load_qpy(path: pathlib.Path) -> QuantumCircuit:
    with path.open("rb") as file:
        try:
            circuits = qpy.load(file)
        except Exception as error:  # whatever a damaged file makes Qiskit raise
            raise ValueError(
                f"{path} must be a QPY file that this Qiskit can read, but Qiskit says: {error}. Write it anew with "
                "qiskit.qpy.dump."
            ) from error
    if len(circuits) != 1:
        raise ValueError(
            f"{path} must hold one circuit, but holds {len(circuits)}. Load them with qiskit.qpy.load, and pass one."
        )
    return circuits[0]


def _load_2(text: str, folder: pathlib.Path) -> QuantumCircuit:
    """Gates are added only if they are missing, so that a program's own definitions count."""
    added: dict[str, qasm2.CustomInstruction] = {}
    _check_depth(text, folder)
    text = _by_bits(text)
    while True:
        try:
            known = (*qasm2.LEGACY_CUSTOM_INSTRUCTIONS, *added.values())
            return qasm2.loads(text, include_path=(folder, "."), custom_instructions=known)
        except qasm2.QASM2ParseError as error:
            unknown = _UNKNOWN.search(str(error))
            name = unknown[1] if unknown else ""
            if name == "mcx" and _MCX.search(text):  # of any number of qubits, which OpenQASM 2 has no gate of
                text = _MCX.sub(lambda use: f"mcx_of_{use[1].count(',') + 1} {use[1]};", text)
            elif name.startswith("mcx_of_") and name not in added:
                count = int(name.removeprefix("mcx_of_"))
                added[name] = qasm2.CustomInstruction(
                    name, 0, count, lambda k=count - 1: library.MCXGate(k), builtin=True
                )
            elif name == "gphase" and (register := _REGISTER.search(text)) and name not in added:
                text = _on_one_qubit(text, f"{register[1]}[0]")
                added[name] = qasm2.CustomInstruction(name, 1, 1, _global_phase, builtin=True)
            elif name in _GATES and name not in added:
                added[name] = qasm2.CustomInstruction(name, *_GATES[name], builtin=True)
            else:
                raise


def _by_bits(text: str) -> str:
    """A register whose bits are asked one by one, `if(c[0]==1)`, as registers of one bit: what OpenQASM 2 can ask.

    PennyLane writes such programs. The order of the bits stays.
    """
    for name in dict.fromkeys(name for name, _ in _IF_BIT.findall(text)):
        declared = re.search(rf"\bcreg\s+{name}\s*\[\s*(\d+)\s*\]\s*;", text)
        if declared is None:
            continue
        bits = " ".join(f"creg {name}_bit{k}[1];" for k in range(int(declared[1])))
        text = text.replace(declared[0], bits)
        text = re.sub(rf"(\bif\s*\(\s*){name}\s*\[\s*(\d+)\s*\]", rf"\1{name}_bit\2", text)
        text = re.sub(rf"\b{name}\s*\[\s*(\d+)\s*\]", rf"{name}_bit\1[0]", text)
    return text


def _on_one_qubit(text: str, first: str) -> str:
    """Each `gphase` once, on the `first` qubit, or on the first one of the gate in whose definition it is."""

    def phase(qubit: str, part: str) -> str:
        return _GPHASE.sub(lambda use: f"gphase({use[1]}) {qubit};", part)

    parts: list[str] = []
    end = 0
    for gate in _GATE.finditer(text):
        parts += phase(first, text[end : gate.start()]), phase(gate[1], gate[0])
        end = gate.end()
    return "".join([*parts, phase(first, text[end:])])


def _global_phase(angle: float) -> Gate:
    """``exp(i angle)``, as OpenQASM 3 has it, on a qubit, for a gate of OpenQASM 2 needs one."""
    return QuantumCircuit(1, global_phase=angle, name="gphase").to_gate()


def _check_depth(text: str, folder: pathlib.Path, depth: int = 0) -> None:
    """Refuses files that include themselves, which Qiskit would open until no more can be."""
    for _, name in _INCLUDE.findall(text):
        if (path := folder / name).is_file():
            if depth == DEPTH:
                raise ValueError(f"{path} includes itself, or files are nested more than {DEPTH} deep")
            _check_depth(_text(path), path.parent, depth + 1)


def _with_includes(text: str, folder: pathlib.Path, depth: int = 0) -> str:
    """OpenQASM 3 with the files that it includes in it; Qiskit reads the standard gates only."""

    def read(include: re.Match[str]) -> str:
        path = folder / include[2]
        if not path.is_file():
            raise ValueError(f'no file {path} for `include "{include[2]}"`')
        if depth == DEPTH:
            raise ValueError(f"{path} includes itself, or files are nested more than {DEPTH} deep")
        text = _text(path)
        if version := _VERSION.match(text):
            text = text[version.end() :]
        return include[1] + _with_includes(text, path.parent, depth + 1)

    return _INCLUDE.sub(read, text)
