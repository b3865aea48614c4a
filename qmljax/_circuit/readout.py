"""The one step from a circuit, and what is asked of it, to what has to be simulated and what is read of that.

Every builder, model and kernel goes through one of the functions `of_...`, with a circuit or with the program that it
has parsed to look at the parameters. What they give is the whole circuit, as a backend runs it; `reduced` is what a
simulator needs of it.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmljax._circuit.observables import Observable, Product, is_single, listed, observable, reads
from qmljax._circuit.parse import parse
from qmljax._circuit.program import Op, Program

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
        clbits: The classical bits whose outcomes are read, instead of qubits.
        given: The values of classical bits for which expectation values are read: each observable is one only there,
            and one more says how often that is.
    """

    program: Program
    observables: tuple[Observable, ...] = ()
    qubits: tuple[int, ...] = ()
    single: bool = False
    clbits: tuple[int, ...] = ()
    given: tuple[tuple[int, int], ...] = ()

    @property
    def bits(self) -> int:
        """The number of bits of an outcome."""
        return len(self.clbits or self.qubits)

    def on_wires(self) -> "Readout":
        """The same reading of the wires that a simulator has, where those of the circuit's end are no matter."""
        program = self.program
        if program.outputs is None and not self.clbits and not self.given:
            return self
        outputs = range(program.num_qubits) if program.outputs is None else program.outputs
        ops, count = list(program.ops), program.num_qubits
        measured = dict(zip(program.clbits, program.measured or (), strict=True))
        wires = [outputs[q] for q in self.qubits]
        for clbit in self.clbits:
            wire = measured.get(clbit, ~0)
            if wire < 0:  # a bit that is the same whatever happens
                wire, count = count, count + 1
                if measured.get(clbit) == ~1:
                    ops.append(Op("flip", (wire,)))
            wires.append(wire)
        projector: Product = ()
        read = {outputs[q] for q in reads(self.observables)}
        copies: dict[int, int] = {}
        for clbit, value in self.given:
            wire = measured.get(clbit, ~0)
            if wire < 0 and ~wire != value:
                raise ValueError(f"`given` must be possible, but classical bit {clbit} is always {~wire}, not {value}.")
            if wire in read and wire not in copies:  # what it leaves behind is read, after it has been measured
                ops.append(Op("flip", (count,), (wire,), 1))
                copies[wire], count = count, count + 1
            wire = copies.get(wire, wire)
            if (wire, str(1 - value)) in projector:
                raise ValueError(f"`given` must be possible, but says that classical bit {clbit} differs from itself.")
            if wire >= 0 and (wire, str(value)) not in projector:
                projector += ((wire, str(value)),)
        observables = tuple(o.placed(outputs, count, projector) for o in self.observables)
        if self.given:
            observables += (Observable(count, ((tuple(sorted(projector)), 1.0),)),)
        whole = Program(count, program.parameters, program.expressions, tuple(ops))
        return Readout(whole, observables, tuple(wires), self.single)

    def reduced(self, most: int | None = MAX_QUBITS) -> "Readout":
        """The same reading of a smaller program: of the gates that can matter (`Program.cone`), on their qubits alone.

        More than `most` qubits are refused.

        Large states stay with all gates, unless some leave no qubit to act on: a backward pass needs the least memory
        where layers are equal, and the cone trims the last.
        """
        read = self.on_wires()
        program = read.program
        if read.observables or read.qubits:
            cone = program.cone(dict.fromkeys(read.qubits, True) | reads(read.observables))
            if not len(cone.touched) == len(program.touched) > LARGE_QUBITS:
                program = cone
        kept = tuple(sorted({*program.touched, *read.qubits}))
        if most is not None:
            check_size(len(kept), most, "A simulation", self.why(kept))
        observables = tuple(o.on(kept) for o in read.observables)
        qubits = tuple(kept.index(q) for q in read.qubits)
        return Readout(program.on_touched(read.qubits), observables, qubits, self.single)

    def why(self, kept: Sequence[int]) -> str:
        """Why so many wires are simulated."""
        width = self.program.width
        deferred = [self.program.ancillas[w - width] for w in kept if width <= w < self.program.num_qubits]
        if not deferred:
            return f"The circuit acts on that many of its {width} qubits."
        reasons = "; ".join(deferred[:4]) + ("; ..." if len(deferred) > 4 else "")
        return (
            f"{len(deferred)} of them hold what is measured or reset on the way: {reasons}. Measure less, or draw "
            "outcomes by `sample`, which simulates the qubits of the circuit alone."
        )


def of_state(circuit: Any) -> Readout:
    """The state itself is read."""
    return Readout(pure(parse(circuit)).unmeasured)


def pure(program: Program) -> Program:
    """Refuses a circuit that ends in a mixture of states."""
    if program.ancillas:
        raise ValueError(
            f"The circuit has no state of its own, since outcomes on its way are random: {program.ancillas[0]}. Use "
            "`density_matrix`, `expectation` or `probabilities`, which average over them."
        )
    return program


def of_observables(circuit: Any, observables: Any, given: Any = None) -> Readout:
    """Expectation values are read, of one observable or of a list, where classical bits have values if so."""
    program = parse(circuit)
    every = listed(observables)
    if not every:
        raise ValueError("`observables` must be an observable or a list of at least one, but is empty.")
    read = tuple(observable(o, program.width) for o in every)
    if given is None:
        return Readout(program.unmeasured, read, single=is_single(observables))
    return Readout(program, read, single=is_single(observables), given=_given(given, program))


def _given(given: Any, program: Program) -> tuple[tuple[int, int], ...]:
    """Values of classical bits, by their places."""
    if not isinstance(given, Mapping) or not given:
        raise TypeError(
            f"`given` must be a mapping of classical bits to their values, such as {{0: 1}}, not {given!r}."
        )
    places = _indices(list(given), "given", "classical bit", program.num_clbits)
    for value in given.values():
        if value not in (0, 1):
            raise ValueError(f"The values of `given` must be 0 or 1, but one is {value!r}.")
    return tuple((place, int(value)) for place, value in zip(places, given.values(), strict=True))


def of_qubits(circuit: Any, qubits: Sequence[int] | None = None) -> Readout:
    """The outcomes of different qubits are read, of all by default."""
    program = parse(circuit)
    chosen = tuple(range(program.width)) if qubits is None else _indices(qubits, "qubits", "qubit", program.width)
    return Readout(program.unmeasured, qubits=chosen)


def of_bits(circuit: Any, qubits: Sequence[int] | None = None, clbits: Sequence[int] | None = None) -> Readout:
    """The outcomes of different classical bits are read, 0 where nothing is measured into one; or those of qubits."""
    if clbits is None:
        return of_qubits(circuit, qubits)
    if qubits is not None:
        raise ValueError("`qubits` and `clbits` are both given, but outcomes are of one kind. Leave out one of them.")
    program = parse(circuit)
    return Readout(program, clbits=_indices(clbits, "clbits", "classical bit", program.num_clbits))


def _indices(given: Any, name: str, what: str, n: int) -> tuple[int, ...]:
    """Different numbers of bits. Refuses what only looks like numbers, and what has no order."""
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | set | frozenset):
        raise TypeError(
            f"`{name}` must be a sequence of integers, such as [0, 2]: bit j of an outcome is `{name}[j]`. But it is "
            f"{given!r}."
        )
    kind = "Qubit" if what == "qubit" else "Clbit"
    chosen = []
    for q in given:
        try:
            if isinstance(q, bool) or isinstance(q, np.bool_):
                raise TypeError
            chosen.append(operator.index(q))
        except TypeError:
            raise TypeError(
                f"`{name}` must be integers, the places of {what}s in the circuit, but has {q!r}. For a {kind} pass "
                f"circuit.find_bit({kind.lower()}).index."
            ) from None
    if len(set(chosen)) != len(chosen) or any(not 0 <= q < n for q in chosen):
        between = f"between 0 and {n - 1}" if n else "of the circuit, which has none"
        raise ValueError(f"`{name}` must be different {what}s {between}, but is {chosen}.")
    return tuple(chosen)


def of_measurements(circuit: Any) -> Readout:
    """What the circuit measures is read: its written classical bits; if it measures nothing, all qubits."""
    program = parse(circuit)
    if program.measured is None:
        return Readout(program.unmeasured, qubits=tuple(range(program.width)))
    return Readout(program, clbits=program.clbits)


def check_size(n: int, limit: int, what: str, way_out: str) -> None:
    """Refuses more than `limit` qubits."""
    if n > limit:
        raise ValueError(f"{what} of {n} qubits does not fit: the limit is {limit} qubits. {way_out}")
