"""fastQML: circuits in PyTorch, whose layers of gates that the batch shares are fused into one matrix.

Gates that differ from sample to sample have no fused layer; `CX P CX`, of which its feature map is made, is the RZZ
that it is up to a global phase. It is not compiled: `torch.compile` takes more than a minute for 4 qubits.
"""

from collections.abc import Callable
from typing import Any

import torch
from fastqml import gate_fusion, torch_sim_real
from torch import Tensor

from benchmarks._cases import Problem
from benchmarks._circuits import Gate

FUSED = {"ry": gate_fusion.build_ry_gates, "rz": gate_fusion.build_rz_gates, "rx": gate_fusion.build_rx_gates}
SINGLE = {"ry": torch_sim_real.apply_ry, "rz": torch_sim_real.apply_rz, "rx": torch_sim_real.apply_rx}
State = tuple[Tensor, Tensor]


def layers(gates: list[Gate], n: int) -> list[list[Gate]]:
    """Gates of one kind that follow each other, as long as a fused layer could have them all."""
    found: list[list[Gate]] = []
    k = 0
    while k < len(gates):
        three = gates[k : k + 3]
        if [g.name for g in three] == ["cx", "p", "cx"] and three[0] == three[2]:
            gate, k = Gate("rzz", three[0].qubits, three[1].angles), k + 3
        else:
            gate, k = gates[k], k + 1
        full = found and len(found[-1]) == n and gate.name != "cx"
        if found and found[-1][0].name == gate.name and not full:
            found[-1].append(gate)
        else:
            found.append([gate])
    return found


def layer(state: State, gates: list[Gate], n: int) -> State:
    name, angles = gates[0].name, [a for g in gates for a in g.angles]
    shared = all(a.dim() == 0 for a in angles)
    if name == "h" and len(gates) == n:
        return gate_fusion.apply_su2_layer(*state, *gate_fusion.build_h_gates(n, state[0].device, state[0].dtype))
    if name in FUSED and shared and [g.qubits[0] for g in gates] == list(range(n)):
        return gate_fusion.apply_su2_layer(*state, *FUSED[name](torch.stack(angles)))
    if name == "cx":
        device, dtype = state[0].device, state[0].dtype
        for plan in gate_fusion.compute_two_qubit_plans([g.qubits for g in gates], n, device, dtype):
            matrices = gate_fusion.build_cnot_4x4(plan["n_pairs"], device, dtype)
            state = gate_fusion.apply_disjoint_two_qubit_layer(*state, plan, *matrices)
        return state
    for gate in gates:
        if name == "rzz":
            state = torch_sim_real.apply_izz(*state, gate.angles[0], *gate.qubits, n)
        else:  # P is RZ, up to a global phase
            state = SINGLE["rz" if name == "p" else name](*state, gate.angles[0], *gate.qubits, n)
    return state


def values(problem: Problem) -> Callable[[Tensor, Tensor], Tensor]:
    n = problem.num_qubits

    def of(w: Tensor, x: Tensor) -> Tensor:
        zero = torch.zeros(problem.batch, 1 << n, dtype=w.dtype)
        state = (
            torch.cat([torch.ones_like(zero[:, :1]), zero[:, 1:]], 1).reshape(-1, *(2,) * n),
            zero.reshape(-1, *(2,) * n),
        )
        for gates in layers(list(problem.circuit(w, x.T)), n):
            state = layer(state, gates, n)
        p = (state[0] ** 2 + state[1] ** 2).reshape(problem.batch, 2, -1).sum(2)  # their first qubit
        return p[:, 0] - p[:, 1]

    return of


def _step(problem: Problem, with_inputs: bool) -> Callable[[], Any]:
    of = values(problem)
    w, x, y = map(torch.tensor, problem.arrays())
    w.requires_grad_(), x.requires_grad_(with_inputs)
    arguments = (w, x) if with_inputs else (w,)

    def run() -> tuple:
        loss = torch.mean((of(w, x) - y) ** 2)
        gradients = torch.autograd.grad(loss, arguments)
        return loss.detach(), tuple(gradients) if with_inputs else gradients[0]

    return run


def step(problem: Problem) -> Callable[[], Any]:
    return _step(problem, False)


def step_with_inputs(problem: Problem) -> Callable[[], Any]:
    return _step(problem, True)
