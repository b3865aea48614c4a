"""Random circuits that measure, reset and branch."""

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumRegister
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import PauliProductMeasurement
from qiskit.quantum_info import Pauli, random_unitary


class Maker:
    """Makes one circuit, instruction by instruction; a plain one has what Aer knows."""

    def __init__(self, seed: int, qubits: int = 3, parameters: int = 0, plain: bool = False):
        self.rng = np.random.default_rng(seed)
        registers = QuantumRegister(qubits, "q"), ClassicalRegister(2, "a"), ClassicalRegister(2, "b")
        self.circuit = QuantumCircuit(*registers, [] if plain else [Clbit()])
        self.plain = plain
        self.left = [Parameter(f"t{k}") for k in range(parameters)]
        self.variables: list[Any] = []
        self.resets = 4  # each takes a wire

    def circuit_of(self, length: int) -> QuantumCircuit:
        for _ in range(length):
            self.instruction(0)
        return self.circuit

    def qubits(self, k: int) -> list[int]:
        return [int(q) for q in self.rng.permutation(self.circuit.num_qubits)[:k]]

    def angle(self) -> Any:
        return self.left.pop() if self.left and self.rng.random() < 0.5 else float(self.rng.uniform(-3, 3))

    def instruction(self, depth: int, loop: bool = False) -> None:
        c, r = self.circuit, self.rng
        kind = r.choice(
            ["gate"] * 8 + ["measure"] * 4 + ["reset", "branch", "branch", "switch", "loop", "store", "other"]
        )
        if kind == "gate" or (depth > (0 if self.plain else 1) and kind in ("branch", "switch", "loop")):
            self.gate()
        elif kind == "measure":
            c.measure(self.qubits(1)[0], int(r.integers(c.num_clbits)))
        elif kind == "reset" and self.resets:
            self.resets -= 1
            c.reset(self.qubits(1)[0])
        elif kind == "branch":
            with c.if_test(self.condition()) as otherwise:
                self.block(depth, loop)
            if r.random() < 0.5:
                with otherwise:
                    self.block(depth, loop)
        elif kind == "switch":
            target = [c.cregs[0], c.clbits[1], expr.bit_xor(c.cregs[0], c.cregs[1])][r.integers(3)]
            with c.switch(target) as case:
                with case(0):
                    self.block(depth, loop)
                if not isinstance(target, Clbit) and r.random() < 0.5:
                    with case(1, 3):
                        self.block(depth, loop)
                with case(case.DEFAULT):
                    self.block(depth, loop)
        elif kind == "loop":
            with c.for_loop(range(2)) as k:
                c.ry(0.5 * k + 0.1, self.qubits(1)[0])
                self.block(depth, True)
        elif kind == "store":
            self.store(depth)
        elif kind == "other":
            self.other()

    def block(self, depth: int, loop: bool) -> None:
        for _ in range(self.rng.integers(1, 3)):
            self.instruction(depth + 1, loop)
        if loop and self.rng.random() < 0.4:
            (self.circuit.break_loop if self.rng.random() < 0.6 else self.circuit.continue_loop)()

    def gate(self) -> None:
        c = self.circuit
        name = self.rng.choice(
            ["h", "x", "ry", "rx", "rz", "p", "cx", "cz", "swap", "rzz", "ccx", "cry", "unitary", "y"]
        )
        if name in ("h", "x", "y"):
            getattr(c, name)(*self.qubits(1))
        elif name in ("ry", "rx", "rz", "p"):
            getattr(c, name)(self.angle(), *self.qubits(1))
        elif name in ("cx", "cz", "swap"):
            getattr(c, name)(*self.qubits(2))
        elif name in ("rzz", "cry"):
            getattr(c, name)(self.angle(), *self.qubits(2))
        elif name == "ccx":
            c.ccx(*self.qubits(3))
        else:
            c.unitary(random_unitary(4, seed=int(self.rng.integers(1 << 30))).data, self.qubits(2))

    def condition(self) -> Any:
        c, r = self.circuit, self.rng
        bit = c.clbits[r.integers(c.num_clbits)]
        every = [
            (bit, int(r.integers(2))),
            (c.cregs[r.integers(2)], int(r.integers(4))),
            expr.logic_not(bit),
            expr.bit_xor(bit, c.clbits[r.integers(c.num_clbits)]),
            expr.logic_or(bit, c.clbits[r.integers(c.num_clbits)]),
            expr.less(*c.cregs),
            expr.equal(expr.bit_and(*c.cregs), int(r.integers(4))),
            expr.greater_equal(expr.shift_left(c.cregs[0], 1), c.cregs[1]),
            expr.index(c.cregs[0], 1),
        ]
        if self.variables:
            every += [expr.not_equal(self.variables[0], 2)] * 4
        return every[r.integers(1 if self.plain else len(every))]

    def store(self, depth: int) -> None:
        c = self.circuit
        if not self.variables and not depth:
            self.variables.append(c.add_var("v", expr.lift(2, types.Uint(2))))
        elif self.variables:
            value = [c.cregs[0], expr.bit_xor(*c.cregs), expr.lift(1, types.Uint(2)), expr.bit_not(self.variables[0])]
            c.store(self.variables[0], value[self.rng.integers(4)])

    def other(self) -> None:
        c, r = self.circuit, self.rng
        which = r.integers(3)
        if which == 0:
            string = Pauli(["XZ", "-YX", "ZZ"][r.integers(3)])
            c.append(PauliProductMeasurement(string), self.qubits(2), [int(r.integers(c.num_clbits))])
        elif which == 1 and self.resets:
            self.resets -= 1
            c.initialize([0.6, 0.8j], self.qubits(1))
        else:
            inner = QuantumCircuit(2, 1)
            inner.h(0)
            inner.measure(0, 0)
            inner.cx(0, 1)
            c.append(inner.to_instruction(), self.qubits(2), [int(r.integers(c.num_clbits))])
