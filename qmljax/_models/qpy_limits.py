"""What a circuit in QPY would take in memory and work, read off its bytes before Qiskit makes anything of them.

QPY states numbers that no byte stands behind: of qubits, of the elements of parameter vectors, of repetitions; and its
definitions nest, so that few bytes can stand for 10**30 gates. All of them are added up here and held to limits that no
circuit that can be simulated comes near. The layout is that of QPY's documentation, version 17.
"""

import io
import json
import math
import struct
from typing import Any

import numpy as np

VERSION = 17
LOOSE = 1 << 16  # bits and vector elements that a file may state, besides as many as it has bytes
OPERATIONS = 10**7  # with all definitions written out
DEPTH = 64  # of definitions in definitions


def check_limits(content: bytes) -> None:
    """Refuses a QPY file that is not one circuit of sane size.

    Raises:
        ValueError: It is no QPY, of another version, holds several circuits or none, or states too much.
    """
    if content[:6] != b"QISKIT":
        raise ValueError("its circuit is no QPY")
    if content[6:7] != bytes([VERSION]):
        raise ValueError(f"its circuit is in version {content[6:7].hex()} (hexadecimal) of QPY, not {VERSION:x}")
    file = _Bytes(content, _Budget(LOOSE + len(content)))
    _, _, _, _, _, count, _, kind, start = file.take("!6sBBBBQccQ")
    if count != 1 or kind != b"q":
        raise ValueError("its QPY must hold one circuit, but holds several, none, or something else")
    if start != file.at:
        raise ValueError("its circuit does not begin where its QPY says")
    _circuit(file, 0)


class _Budget:
    """What may still be stated, over the whole file."""

    def __init__(self, left: int):
        self.left = left
        self.vectors: set[tuple[int, int]] = set()

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise ValueError("its circuit states more qubits, bits or parameters than a file of its size can have")

    def vector(self, root: int, size: int) -> None:
        if (root, size) not in self.vectors:
            self.vectors.add((root, size))
            self.spend(size)


class _Bytes:
    """Bytes that are read from the front, and the budget of all that is in them."""

    def __init__(self, content: bytes, budget: _Budget):
        self.content, self.budget, self.at = content, budget, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.skip(struct.calcsize(layout)))

    def skip(self, size: int) -> bytes:
        if not 0 <= size <= len(self.content) - self.at:
            raise ValueError("its circuit ends too early")
        self.at += size
        return self.content[self.at - size : self.at]

    def inner(self, size: int) -> "_Bytes":
        return _Bytes(self.skip(size), self.budget)


def _circuit(file: _Bytes, depth: int) -> int:
    """Reads a circuit, and returns the number of its operations, with all definitions written out."""
    if depth > DEPTH:
        raise ValueError(f"its circuit has definitions in definitions more than {DEPTH} times")
    head = file.take("!H1cHIIQIQI")
    name, phase_type, phase, qubits, bits, metadata, registers, instructions, variables = head
    file.budget.spend(qubits + bits)
    if variables:
        raise ValueError("its circuit has classical variables, which no circuit of a model has")
    file.skip(name)
    _value(phase_type, file.inner(phase), depth)
    file.skip(metadata)
    for _ in range(registers):
        _, _, size, length, _ = file.take("!1c?IH?")
        file.skip(length + 8 * size)
    (namespaces,) = file.take("!I")
    for _ in range(namespaces):
        file.skip(sum(file.take("!IQ")))
    custom: dict[bytes, int] = {}
    for _ in range(*file.take("!Q")):
        _definition(file, custom, depth)
    total = 0
    for _ in range(instructions):
        total += _instruction(file, custom, depth)
        if total > OPERATIONS:
            raise ValueError(f"its circuit has more than {OPERATIONS} operations, with its definitions written out")
    return total


def _definition(file: _Bytes, custom: dict[bytes, int], depth: int) -> None:
    head = file.take("!H1cII?QIIQ")
    length, _, qubits, bits, defined, size, controls, _, base = head
    file.budget.spend(qubits + bits + controls)
    name, work = file.skip(length), 1
    if defined:
        inner = file.inner(size)
        work = _evolution(inner, depth) if name.startswith(b"###PauliEvolutionGate_") else _circuit(inner, depth + 1)
    if base:
        work += (controls + 1) * _instruction(file.inner(base), custom, depth + 1, placed=False)
    custom[name] = max(work, 1)


def _instruction(file: _Bytes, custom: dict[bytes, int], depth: int, placed: bool = True) -> int:
    """Reads an instruction on its qubits, or one that is placed nowhere: the base of a controlled gate."""
    head = file.take("!HHHIIBHqII")
    length, label, params, qargs, cargs, extras, register, _, controls, _ = head
    file.budget.spend(controls)
    name = file.skip(length)
    file.skip(label + register)
    if extras & 3 == 2:
        raise ValueError("its circuit has a classical condition, which no circuit of a model has")
    file.skip(5 * (qargs + cargs) if placed else 0)
    inside = sum(_typed(file, depth) for _ in range(params))
    if extras & 128:
        for _ in range(*file.take("!I")):
            file.skip(file.take("!IQ")[1])
    return custom.get(name, 1) + inside


def _evolution(file: _Bytes, depth: int) -> int:
    """A product formula: its repetitions are a number that its definition multiplies by."""
    operators, _, time_type, time, synthesis = file.take("!Q?1cQQ")
    end = len(file.content) - time - synthesis
    for _ in range(operators):
        if file.take("!?")[0]:
            file.budget.spend(*file.take("!I"))
            break  # the rest of it is as long as it says
        _numpy(file.inner(*file.take("!Q")))
    if end < file.at:
        raise ValueError("its circuit ends too early")
    terms = end // 8
    file.at = end
    _value(time_type, file.inner(time), depth)
    method = json.loads(file.skip(synthesis))
    settings = method.get("settings") if isinstance(method, dict) else None
    numbers = [v for v in settings.values() if isinstance(v, int)] if isinstance(settings, dict) else []
    order_and_repetitions = math.prod(max(1, abs(v)) for v in numbers)
    if order_and_repetitions * max(terms, 1) > OPERATIONS:
        raise ValueError(f"its circuit has an evolution of more than {OPERATIONS} operations")
    return order_and_repetitions


def _typed(file: _Bytes, depth: int) -> int:
    kind, size = file.take("!1cQ")
    return _value(kind, file.inner(size), depth)


def _value(kind: bytes, file: _Bytes, depth: int) -> int:
    """Reads a parameter of an instruction, and returns the number of operations in it."""
    if depth > DEPTH:
        raise ValueError(f"its circuit has expressions in expressions more than {DEPTH} times")
    match kind:
        case b"q":
            return _circuit(file, depth + 1)
        case b"t":
            return sum(_typed(file, depth + 1) for _ in range(*file.take("!Q")))
        case b"m":
            file.budget.spend(file.take("!1cIId")[1])
        case b"n":
            _numpy(file)
        case b"v":
            _element(file)
        case b"e":
            _expression(file, depth + 1)
    return 0


def _element(file: _Bytes) -> None:
    length, size, uuid, index = file.take("!HQ16sQ")
    file.skip(length)
    if index >= size:
        raise ValueError("its circuit has an element of a parameter vector outside of it")
    file.budget.vector(int.from_bytes(uuid, "big") - index, size)


def _expression(file: _Bytes, depth: int) -> None:
    count, size = file.take("!QQ")
    steps = file.inner(size)
    while steps.at < size:
        _, left, number, _, _ = steps.take("!Bc16sc16s")
        if left == b"u":  # a substitution: values by the identities of parameters
            mapping = steps.inner(*struct.unpack("!QQ", number)[:1])
            for _ in range(*mapping.take("!Q")):
                key, kind, length = mapping.take("!H1cH")
                mapping.skip(key)
                _value(kind, mapping.inner(length), depth)
    for _ in range(count):
        symbol, kind, length = file.take("!ccQ")
        if symbol == b"v":
            _element(file)
        elif symbol == b"e":
            _value(symbol, file, depth)
        else:
            file.skip(file.take("!H16s")[0])
        if kind not in (b"p", b"v"):
            _value(kind, file.inner(length), depth)
        else:
            file.skip(length)


def _numpy(file: _Bytes) -> None:
    """An array as numpy writes it, which must have the bytes that it states, and be no objects."""
    buffer = io.BytesIO(file.content)
    version = np.lib.format.read_magic(buffer)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(buffer)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(file.content) - buffer.tell():
        raise ValueError("its circuit has an array whose bytes are not those of its shape")
