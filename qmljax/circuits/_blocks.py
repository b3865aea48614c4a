"""What the circuits of the literature are made of, and the arguments that they share."""

from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit

from qmljax._checks import shown

ROTATIONS = ("rx", "ry", "rz")


def rot(circuit: QuantumCircuit, angles: Sequence[Any], q: int) -> None:
    """Any rotation of a qubit: ``RZ(c) RY(b) RZ(a)`` for the angles a, b, c, of which the first acts first."""
    circuit.rz(angles[0], q)
    circuit.ry(angles[1], q)
    circuit.rz(angles[2], q)


def ring(n: int) -> list[tuple[int, int]]:
    """Neighbours on a ring; of two qubits one pair, of one none."""
    return [(q, (q + 1) % n) for q in range(n if n > 2 else n - 1)]


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{name}` must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}, but is {shown(value)}."
        )
    return value
