"""An oracle for circuits that measure on their way: each branch by itself, as a state in NumPy."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types
from qiskit.circuit.controlflow import CASE_DEFAULT
from qiskit.quantum_info import Operator


@dataclasses.dataclass
class Branch:
    """One sequence of outcomes.

    Attributes:
        state: Not normalised: the square of its norm is the probability of the branch.
        bits: What the classical bits hold.
        variables: What the variables hold.
        jump: "break" or "continue" after one of these.
    """

    state: np.ndarray
    bits: dict[int, int]
    variables: dict[Any, Any]
    jump: str = ""

    def with_state(self, state: np.ndarray, **bits: int) -> "Branch":
        return Branch(state, self.bits | {int(k[1:]): v for k, v in bits.items()}, dict(self.variables))


def branches(circuit: QuantumCircuit) -> list[Branch]:
    """All branches of a circuit without free parameters."""
    state = np.zeros(1 << circuit.num_qubits, complex)
    state[0] = np.exp(1j * float(circuit.global_phase))
    qubits, clbits = range(circuit.num_qubits), range(circuit.num_clbits)
    return _run(circuit, [Branch(state, {}, {})], qubits, clbits)


def distribution(circuit: QuantumCircuit, clbits: Sequence[int]) -> np.ndarray:
    """The probabilities of the outcomes of classical bits, bit j being `clbits[j]`."""
    p = np.zeros(1 << len(clbits))
    for branch in branches(circuit):
        p[sum(branch.bits.get(c, 0) << j for j, c in enumerate(clbits))] += np.vdot(branch.state, branch.state).real
    return p


def density(circuit: QuantumCircuit, given: dict[int, int] | None = None) -> np.ndarray:
    """The density matrix after a circuit, not normalised if classical bits are given."""
    rho = np.zeros((1 << circuit.num_qubits,) * 2, complex)
    for branch in branches(circuit):
        if all(branch.bits.get(c, 0) == v for c, v in (given or {}).items()):
            rho += np.outer(branch.state, branch.state.conj())
    return rho


def apply(matrix: np.ndarray, state: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
    """A matrix acts on qubits of a state, little endian."""
    n, k = len(state).bit_length() - 1, len(qubits)
    axes = [n - 1 - q for q in reversed(qubits)]
    moved = np.moveaxis(state.reshape((2,) * n), axes, range(k))
    out = (matrix @ moved.reshape(1 << k, -1)).reshape(moved.shape)
    return np.moveaxis(out, range(k), axes).reshape(-1)


def _run(block: QuantumCircuit, many: list[Branch], qubits: Sequence[int], clbits: Sequence[int]) -> list[Branch]:
    qubit = dict(zip(block.qubits, qubits, strict=False))
    clbit = dict(zip(block.clbits, clbits, strict=False))
    for instruction in block.data:
        on, into = [qubit[q] for q in instruction.qubits], [clbit[c] for c in instruction.clbits]
        many = [
            after
            for branch in many
            for after in ([branch] if branch.jump else _step(instruction.operation, branch, on, into, clbit))
        ]
    return many


def _step(op: Any, branch: Branch, on: list[int], into: list[int], scope: dict[Clbit, int]) -> list[Branch]:
    name = op.name
    if name in ("barrier", "delay"):
        return [branch]
    if name in ("measure", "reset"):
        found = []
        for value in (0, 1):
            projector = np.zeros((2, 2))
            projector[0 if name == "reset" else value, value] = 1
            state = apply(projector, branch.state, on)
            if np.vdot(state, state).real > 1e-14:
                found.append(branch.with_state(state, **({f"c{into[0]}": value} if name == "measure" else {})))
        return found
    if name == "store":
        return [_stored(op, branch, scope)]
    if name == "if_else":
        yes = _holds(op.condition, branch, scope)
        body = op.blocks[0] if yes else (op.blocks[1] if len(op.blocks) > 1 else None)
        return [branch] if body is None else _run(body, [branch], on, into)
    if name == "switch_case":
        value = _value(op.target, branch, scope)
        for labels, body in op.cases_specifier():
            if any(label is CASE_DEFAULT or int(label) == value for label in labels):
                return _run(body, [branch], on, into)
        return [branch]
    if name in ("break_loop", "continue_loop"):
        return [dataclasses.replace(branch, jump=name.removesuffix("_loop"))]
    if name == "for_loop":
        indices, parameter, body = op.params
        many = [branch]
        for index in indices:
            turn = body.assign_parameters({parameter: index}) if parameter in body.parameters else body
            going = [b for b in many if b.jump != "break"]
            done = [b for b in many if b.jump == "break"]
            many = done + [_continued(b) for b in _run(turn, going, on, into)]
        return [dataclasses.replace(b, jump="") for b in many]
    if hasattr(op, "blocks") and name == "box":
        return _run(op.blocks[0], [branch], on, into)
    if op.num_clbits or _has_reset(op):
        return _run(op.definition, [branch], on, into)
    return [branch.with_state(apply(Operator(op).data, branch.state, on))]


def _has_reset(op: Any) -> bool:
    definition = getattr(op, "definition", None)
    return definition is not None and any(i.name == "reset" for i in definition.data)


def _continued(branch: Branch) -> Branch:
    return dataclasses.replace(branch, jump="") if branch.jump == "continue" else branch


def _holds(condition: Any, branch: Branch, scope: dict[Clbit, int]) -> bool:
    if isinstance(condition, expr.Expr):
        return bool(_value(condition, branch, scope))
    return _value(condition[0], branch, scope) == int(condition[1])


def _stored(op: Any, branch: Branch, scope: dict[Clbit, int]) -> Branch:
    value, target = _value(op.rvalue, branch, scope), op.lvalue
    after = branch.with_state(branch.state)
    if isinstance(target.var, Clbit):
        after.bits[scope[target.var]] = int(value)
    elif isinstance(target.var, ClassicalRegister):
        after.bits |= {scope[bit]: value >> k & 1 for k, bit in enumerate(target.var)}
    else:
        after.variables[target] = value
    return after


def _value(node: Any, branch: Branch, scope: dict[Clbit, int]) -> Any:
    def of(part: Any) -> Any:
        return _value(part, branch, scope)

    if isinstance(node, Clbit):
        return branch.bits.get(scope[node], 0)
    if isinstance(node, ClassicalRegister):
        return sum(of(bit) << k for k, bit in enumerate(node))
    if isinstance(node, expr.Var):
        return of(node.var) if isinstance(node.var, Clbit | ClassicalRegister) else branch.variables[node]
    if isinstance(node, expr.Value):
        return node.value
    if isinstance(node, expr.Index):
        return of(node.target) >> of(node.index) & 1
    if isinstance(node, expr.Cast):
        value = of(node.operand)
        return bool(value) if isinstance(node.type, types.Bool) else _wrapped(value, node.type)
    if isinstance(node, expr.Unary):
        value = of(node.operand)
        return not value if node.op.name == "LOGIC_NOT" else _wrapped(~int(value), node.type)
    a, b = of(node.left), of(node.right)
    found = {
        "BIT_AND": lambda: a & b,
        "BIT_OR": lambda: a | b,
        "BIT_XOR": lambda: a ^ b,
        "LOGIC_AND": lambda: a and b,
        "LOGIC_OR": lambda: a or b,
        "EQUAL": lambda: a == b,
        "NOT_EQUAL": lambda: a != b,
        "LESS": lambda: a < b,
        "LESS_EQUAL": lambda: a <= b,
        "GREATER": lambda: a > b,
        "GREATER_EQUAL": lambda: a >= b,
        "SHIFT_LEFT": lambda: a << b,
        "SHIFT_RIGHT": lambda: a >> b,
        "ADD": lambda: a + b,
        "SUB": lambda: a - b,
        "MUL": lambda: a * b,
        "DIV": lambda: a // b,
    }[node.op.name]()
    return _wrapped(found, node.type)


def _wrapped(value: Any, kind: Any) -> Any:
    if isinstance(kind, types.Uint):
        return int(value) & ((1 << kind.width) - 1)
    return bool(value)
