"""A circuit with the places in it where noise acts.

A noise model says which gates are followed by which channels; what a channel is made of are numbers that may be traced,
so a program knows it by its number alone. Channels that stand in the circuit itself are constants.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlFlowOp, ControlledGate, Delay, Gate, Instruction, Reset
from qiskit.circuit.library import PauliProductRotationGate, RC3XGate, RCCXGate
from qiskit.quantum_info import PTM, Kraus, SuperOp

from qmljax._circuit.conditions import ALWAYS
from qmljax._circuit.dynamic import DynamicReader
from qmljax._circuit.gates import NONE, RULES, Control
from qmljax._circuit.openqasm import load
from qmljax._circuit.parse import check_circuit, reading
from qmljax._circuit.program import Op, Program, Table
from qmljax._circuit.reader import Reader
from qmljax._circuit.self_descriptions import is_channel, is_standard


class Site(NamedTuple):
    """A channel that acts before the op at `position`; channels below 0 are constants of the circuit, ~channel."""

    position: int
    channel: int
    qubits: tuple[int, ...]


After = Callable[[str, tuple[int, ...], Any], Sequence[tuple[int, tuple[int, ...]]]]


TAKEN_APART = (ControlledGate, RCCXGate, RC3XGate, PauliProductRotationGate)  # where else one operation does
RESET = np.array([[1.0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])  # its transfer matrix


def no_noise(name: str, qubits: tuple[int, ...], operation: Any) -> Sequence[tuple[int, tuple[int, ...]]]:
    """Of an ideal device."""
    return ()


@dataclass(frozen=True)
class NoisyProgram:
    """A program, the sites of its noise in time order, and the transfer matrices of the channels in the circuit."""

    program: Program
    sites: tuple[Site, ...] = ()
    constants: tuple[Table, ...] = ()

    def cone(self, reads: dict[int, bool]) -> "NoisyProgram":
        """Without what the read qubits cannot feel: a channel alone on qubits that nobody reads does nothing.

        Args:
            reads: The qubits that are read; True for those of which the bit alone is.

        Returns:
            A noisy program on the same qubits.
        """
        reads, ops, sites = dict(reads), list(self.program.ops), list(self.sites)
        kept_ops: list[Op] = []
        kept_sites: list[Site] = []
        for position in range(len(ops), -1, -1):
            while sites and sites[-1].position == position:
                site = sites.pop()
                if any(q in reads for q in site.qubits):
                    reads |= dict.fromkeys(site.qubits, False)
                    kept_sites.append(site._replace(position=len(kept_ops)))
            if position and ops[position - 1].is_felt(reads):
                kept_ops.append(ops[position - 1])
        program = replace(self.program.unmeasured, ops=tuple(reversed(kept_ops)))
        moved = tuple(site._replace(position=len(kept_ops) - site.position) for site in reversed(kept_sites))
        return NoisyProgram(program, moved, self.constants)

    @property
    def touched(self) -> set[int]:
        """The qubits on which something acts."""
        return {*self.program.touched, *(q for site in self.sites for q in site.qubits)}

    def on_touched(self, keep: tuple[int, ...]) -> "NoisyProgram":
        """The same on the touched qubits and some others alone, renumbered in ascending order.

        Args:
            keep: The qubits that are kept although nothing acts on them.

        Returns:
            A noisy program with the same parameters.
        """
        kept = tuple(sorted({*self.touched, *keep}))
        place = {q: k for k, q in enumerate(kept)}
        sites = tuple(s._replace(qubits=tuple(place[q] for q in s.qubits)) for s in self.sites)
        return NoisyProgram(self.program.on_touched(kept), sites, self.constants)


def parse_noisy(circuit: Any, after: After = no_noise, names: frozenset[str] = frozenset()) -> NoisyProgram:
    """Reads a circuit with its noise.

    Args:
        circuit: What `parse` takes.
        after: The channels after an operation of some name on some qubits, each with its qubits.
        names: Of the operations that noise follows. They are not taken apart; others are, so that it is met.
    """
    if isinstance(circuit, Program):
        if names:
            raise TypeError(
                "`circuit` must be a QuantumCircuit or OpenQASM, since noise follows gates, but is a Program, which "
                "has none. Pass what it was parsed from."
            )
        return NoisyProgram(circuit)
    check_circuit(circuit)
    circuit = circuit if isinstance(circuit, QuantumCircuit) else load(circuit)
    reader = reading(circuit, _NoisyReader, _DynamicNoisyReader, after, names)
    return NoisyProgram(reader.program(), tuple(reader.noise), tuple(reader.constants))


class _NoisyReader(Reader):
    """A reader that takes composite gates apart, so that it meets the gates which are noisy."""

    def __init__(self, circuit: QuantumCircuit, after: After, names: frozenset[str]):
        super().__init__(circuit, "definition")
        self.channels_after, self.noisy = after, names
        self.sites: list[Site] = []
        self.constants: dict[Table, int] = {}

    def after(self, name: str, qubits: tuple[int, ...], operation: Any = None) -> None:
        for channel, places in self.channels_after(name, qubits, operation):
            self.sites.append(Site(len(self.ops), channel, places))

    def read(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        matrix = self.channel(operation)
        if matrix is None:
            super().read(operation, qubits, clbits, c)
            if isinstance(operation, Reset) and self.is_noisy(qubits):  # noise alone has left |0>
                self.add_constant(RESET, qubits)
            if isinstance(operation, Reset | Delay) and qubits[0] not in self.measured:
                self.after(operation.name, qubits, operation)
            return
        self.check_unmeasured(qubits)
        if c.qubits:
            self.fail(NotImplementedError, "a channel has no controlled form. Put it outside of the controlled gate.")
        self.add_constant(matrix, qubits)

    def is_noisy(self, qubits: tuple[int, ...]) -> bool:
        """Whether some noise has acted on qubits."""
        return any(set(site.qubits) & set(qubits) for site in self.sites)

    def add_constant(self, matrix: np.ndarray, qubits: tuple[int, ...]) -> None:
        number = self.constants.setdefault(Table(matrix), len(self.constants))
        self.sites.append(Site(len(self.ops), ~number, qubits))

    def read_amplitudes(self, operation: Any, qubits: tuple[int, ...], c: Control) -> None:
        if self.is_noisy(qubits):
            self.fail(NotImplementedError, "amplitudes can be loaded only before any noise on their qubits.")
        super().read_amplitudes(operation, qubits, c)

    def read_unitary(self, operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], c: Control) -> None:
        name, count = operation.name, len(self.sites)
        if name in self.noisy or (name in RULES and is_standard(operation)):
            super().read_unitary(operation, qubits, clbits, c)
            del self.sites[count:]  # it is noisy as a whole
            self.after(name, qubits)
        elif self.noisy and isinstance(operation, TAKEN_APART) and operation.definition is not None:
            self.read_definition(operation.definition, qubits, clbits, NONE)
        else:
            super().read_unitary(operation, qubits, clbits, c)

    def read_annotated(self, operation: AnnotatedOperation, qubits: tuple[int, ...], c: Control) -> None:
        count = len(self.sites)
        super().read_annotated(operation, qubits, c)
        if self.noisy or len(self.sites) > count:
            self.fail(NotImplementedError, "the gates that it is made of are not known. Transpile the circuit.")

    @property
    def noise(self) -> list[Site]:
        """All that has been read."""
        return self.sites

    def channel(self, operation: Any) -> np.ndarray | None:
        """The transfer matrix of an instruction that is a channel, such as Qiskit's Kraus or an error of Aer."""
        if hasattr(operation, "_quantum_error"):  # of Aer
            given = SuperOp(operation._quantum_error)
        elif operation.name == "kraus":
            given = Kraus([np.asarray(matrix) for matrix in operation.params])
        elif operation.name == "superop":
            given = SuperOp(np.asarray(operation.params[0]))
        else:
            return None
        if not given.is_cptp(atol=1e-6):
            self.fail(ValueError, "it is no channel, which is completely positive and preserves the trace.")
        matrix = in_house_order(PTM(given).data.real)
        diagonal = np.diag(np.diag(matrix))  # of a mixture of Pauli strings, but for rounding errors
        return diagonal if np.abs(matrix - diagonal).max() < 1e-14 else matrix


class _DynamicNoisyReader(_NoisyReader, DynamicReader):
    """The same of a circuit that measures, resets or branches. Sites on qubits are put on wires as ops are."""

    def __init__(self, circuit: QuantumCircuit, after: After, names: frozenset[str]):
        super().__init__(circuit, after, names)
        self.on_wires: list[Site] = []

    @property
    def noise(self) -> list[Site]:
        return self.on_wires

    def flush(self) -> None:
        sites, self.sites = self.sites, []
        ops, self.ops = self.ops, []
        start = 0
        for site in sites:
            self.ops = ops[start : site.position]
            super().flush()
            start = site.position
            self.put(site)
        self.ops = ops[start:]
        super().flush()

    def put(self, site: Site) -> None:
        if self.active != ALWAYS:
            self.fail(
                NotImplementedError,
                "noise in a branch is not supported. Apply the gate always, or leave out its noise.",
            )
        wires = tuple(self.wires.of[q] for q in site.qubits)
        for wire in wires:
            self.wires.keep(wire)
            self.wires.values[wire] = None
        self.on_wires.append(Site(len(self.wires.ops), site.channel, wires))

    def is_noisy(self, qubits: tuple[int, ...]) -> bool:
        """Only by noise that is always there. A reset has given a fresh wire."""
        wires = {self.wires.of[q] for q in qubits}
        return self.active == ALWAYS and any(wires & set(site.qubits) for site in self.on_wires)


def in_house_order(matrix: np.ndarray) -> np.ndarray:
    """A transfer matrix in Qiskit's order of the letters, I X Y Z, in that of `pauli_basis`, I X Z Y."""
    k = (len(matrix).bit_length() - 1) // 2
    order = np.zeros(1, int)
    for _ in range(k):
        order = (4 * order[:, None] + np.array([0, 1, 3, 2])).reshape(-1)
    return matrix[np.ix_(order, order)]


def channels(circuit: Any) -> Iterator[str]:
    """The names of channels in a circuit of Qiskit's, those of Aer among them; nothing of circuits that are text."""
    if not isinstance(circuit, QuantumCircuit):
        return
    for operation in (instruction.operation for instruction in circuit.data):
        if is_channel(operation):
            yield operation.name
        elif isinstance(operation, ControlFlowOp):
            for block in operation.blocks:
                yield from channels(block)
        elif isinstance(operation, Instruction) and not isinstance(operation, Gate):  # a gate is no place for one
            yield from channels(operation.definition)
