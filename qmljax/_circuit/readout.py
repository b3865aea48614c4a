"""The one step from a circuit, and what is asked of it, to what has to be simulated and what is read of that.

Every builder, model and kernel goes through one of the functions `of_...`, with a circuit or with the program that it
has parsed to look at the parameters. What they give is the whole circuit, as a backend runs it; `reduced` is what a
simulator needs of it.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmljax._circuit.observables import Observable, is_single, listed, observable, reads
from qmljax._circuit.parse import parse
from qmljax._circuit.program import Program

MAX_QUBITS = 30  # 2**30 amplitudes: 8 GiB in complex64
LARGE_QUBITS = 20  # above, the memory of a gradient matters more than some gates


@dataclass(frozen=True)
class Readout:
    """A program, and what is read of the state it prepares: observables, outcomes, or the state itself.

    Attributes:
        program: What prepares the state.
        observables: What is read, if it is expectation values.
        qubits: The measured qubits, if it is outcomes: bit j of an outcome is `qubits[j]`.
        single: Whether one observable was given, and no list.
    """

    program: Program
    observables: tuple[Observable, ...] = ()
    qubits: tuple[int, ...] = ()
    single: bool = False

    def reduced(self) -> "Readout":
        """The same reading of a smaller program: of the gates that can matter (`Program.cone`), on their qubits alone.

        Large states stay with all gates, unless some leave no qubit to act on: a backward pass needs the least memory
        where layers are equal, and the cone trims the last.
        """
        program = self.program
        if self.observables or self.qubits:
            cone = program.cone(dict.fromkeys(self.qubits, True) | reads(self.observables))
            if not len(cone.touched) == len(program.touched) > LARGE_QUBITS:
                program = cone
        kept = tuple(sorted({*program.touched, *self.qubits}))
        why = f"The circuit acts on that many of its {program.num_qubits} qubits."
        check_size(len(kept), MAX_QUBITS, "A simulation", why)
        observables = tuple(o.on(kept) for o in self.observables)
        qubits = tuple(kept.index(q) for q in self.qubits)
        return Readout(program.on_touched(self.qubits), observables, qubits, self.single)


def of_state(circuit: Any) -> Readout:
    """The state itself is read."""
    return Readout(parse(circuit).unmeasured)


def of_observables(circuit: Any, observables: Any) -> Readout:
    """Expectation values are read, of one observable or of a list."""
    program = parse(circuit)
    every = listed(observables)
    if not every:
        raise ValueError("`observables` must be an observable or a list of at least one, but is empty.")
    read = tuple(observable(o, program.num_qubits) for o in every)
    return Readout(program.unmeasured, read, single=is_single(observables))


def of_qubits(circuit: Any, qubits: Sequence[int] | None = None) -> Readout:
    """The outcomes of different qubits are read, of all by default."""
    program = parse(circuit)
    n = program.num_qubits
    chosen = tuple(range(n)) if qubits is None else _indices(qubits)
    if len(set(chosen)) != len(chosen) or any(not 0 <= q < n for q in chosen):
        raise ValueError(f"`qubits` must be different qubits between 0 and {n - 1}, but is {list(chosen)}.")
    return Readout(program.unmeasured, qubits=chosen)


def _indices(qubits: Any) -> tuple[int, ...]:
    """The numbers of qubits. Refuses what only looks like numbers, and what has no order."""
    if not isinstance(qubits, Iterable) or isinstance(qubits, str | bytes | set | frozenset):
        raise TypeError(
            "`qubits` must be a sequence of integers, such as [0, 2]: bit j of an outcome is `qubits[j]`. But it is "
            f"{qubits!r}."
        )
    chosen = []
    for q in qubits:
        try:
            if isinstance(q, bool) or isinstance(q, np.bool_):
                raise TypeError
            chosen.append(operator.index(q))
        except TypeError:
            raise TypeError(
                f"`qubits` must be integers, the places of qubits in the circuit, but has {q!r}. For a Qubit pass "
                "circuit.find_bit(qubit).index."
            ) from None
    return tuple(chosen)


def of_measurements(circuit: Any) -> Readout:
    """What the circuit measures is read: one qubit for each measured classical bit; if it measures nothing, all."""
    program = parse(circuit)
    qubits = tuple(range(program.num_qubits)) if program.measured is None else program.measured
    return Readout(program.unmeasured, qubits=qubits)


def check_size(n: int, limit: int, what: str, way_out: str) -> None:
    """Refuses more than `limit` qubits."""
    if n > limit:
        raise ValueError(f"{what} of {n} qubits does not fit: the limit is {limit} qubits. {way_out}")
