"""`parse`: a Qiskit `QuantumCircuit`, or OpenQASM, becomes a `Program`."""

import pathlib
import weakref
from collections.abc import Callable
from typing import Any, Literal

from qiskit import QuantumCircuit

from qmljax._circuit.dynamic import DynamicReader
from qmljax._circuit.openqasm import load
from qmljax._circuit.program import Program
from qmljax._circuit.reader import IsDynamic, Reader

_programs: "weakref.WeakKeyDictionary[Program, weakref.ref[Program]]" = weakref.WeakKeyDictionary()


def parse(
    circuit: QuantumCircuit | Program | str | pathlib.Path,
    *,
    evolution: Literal["definition", "exact"] = "definition",
) -> Program:
    """Turns a circuit into a `Program`, the static form that every other function of qmljax works on.

    Args:
        circuit: A Qiskit `QuantumCircuit` (also of the circuit library, also transpiled); or OpenQASM 2 or 3, as a
            string or as the `pathlib.Path` of a file, which may be a `.qpy` file; or a `Program`, returned as it is.
            Measurements, resets and branches are deferred (see `Program.ancillas`), `for` loops over numbers are
            unrolled; what Aer saves is not read.
        evolution: What a `PauliEvolutionGate` means. "definition" follows its `.definition`, a product formula, as the
            transpiler and hardware do; "exact" the exponential of the operator, as `qiskit.quantum_info.Operator` does
            (a dense matrix of size ``4**k`` on k qubits).

    Returns:
        The program, with the circuit's parameters in the order of `circuit.parameters`. Programs of equal circuits are
        equal, hash alike and are one object: names of circuits and uuids of parameters do not count.

    Raises:
        TypeError: `circuit` is none of the above.
        NotImplementedError: What a `while` loop does depends on a measurement, a classical value is known only to a
            device, or an instruction is no operation on qubits.
        ValueError: An instruction has no value, such as a `HamiltonianGate` with an unbound time, or its definition or
            matrix is faulty; or Qiskit cannot read the OpenQASM.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> circuit = QuantumCircuit(2)
        >>> circuit.ry(Parameter("t"), 0)  # doctest: +ELLIPSIS
        <qiskit...>
        >>> circuit.cx(0, 1)  # doctest: +ELLIPSIS
        <qiskit...>
        >>> parse(circuit)
        Program(2 qubits, 1 parameters, 2 ops)
    """
    if isinstance(circuit, Program):
        return circuit
    if evolution not in ("definition", "exact"):
        raise ValueError(f'`evolution` must be "definition" or "exact", but is {evolution!r}.')
    check_circuit(circuit)
    if isinstance(circuit, str | pathlib.Path):
        circuit = load(circuit)
    program = reading(circuit, Reader, DynamicReader, evolution).program()
    return _programs.setdefault(program, weakref.ref(program))() or program


def check_circuit(value: Any, name: str = "circuit") -> None:
    """Refuses what `parse` cannot take, by the name it has in the caller."""
    if not isinstance(value, QuantumCircuit | Program | str | pathlib.Path):
        raise TypeError(
            f"`{name}` must be a qiskit QuantumCircuit, a qmljax Program, an OpenQASM string or the pathlib.Path of an "
            f"OpenQASM file, but is a {type(value).__name__}."
        )


def own(circuit: Any) -> Any:
    """The circuit as a copy that nobody else changes, OpenQASM as a circuit; all else as it is."""
    if isinstance(circuit, str | pathlib.Path):
        return load(circuit)
    return circuit.copy() if isinstance(circuit, QuantumCircuit) else circuit


def reading(circuit: QuantumCircuit, static: Callable[..., Any], dynamic: Callable[..., Any], *about: Any) -> Any:
    """The reader that has read a circuit: the static one, unless the circuit needs the other."""
    reader = static(circuit, *about)
    try:
        try:
            reader.read_circuit()
        except IsDynamic:
            reader = dynamic(circuit, *about)
            reader.read_circuit()
    except RecursionError:
        raise ValueError(
            f"{reader.where}: it is defined by itself, or nested too deep. Define it by other gates."
        ) from None
    return reader
