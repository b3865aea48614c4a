"""How to run a program: its levels, and which of its parameters are inputs and which are weights."""

import functools
from dataclasses import dataclass

from qmljax._circuit.expressions import parameters
from qmljax._circuit.program import Program
from qmljax._engine.layers import Layers, schedule

MEMORY = 1 << 29  # bytes of states that the backward pass keeps by default; if there were more, it recomputes them


@dataclass(frozen=True, eq=False)
class Plan:
    """How to run a program: its layers, and which of its expressions depend on inputs."""

    program: Program
    layers: Layers
    inputs: tuple[int, ...]  # positions in the circuit's parameters
    weights: tuple[int, ...]
    batched: frozenset[int]  # expressions that depend on an input
    memory: int = MEMORY


@functools.lru_cache(maxsize=256)
def plan(
    program: Program, inputs: tuple[int, ...] = (), weights: tuple[int, ...] | None = None, memory: int = MEMORY
) -> Plan:
    """`inputs` and `weights` are positions in `program.parameters`; together they name every parameter once."""
    weights = tuple(range(program.num_parameters)) if weights is None else weights
    among = set(inputs)
    batched = frozenset(k for k, e in enumerate(program.expressions) if among & parameters(e))
    return Plan(program, schedule(program), inputs, weights, batched, memory)
