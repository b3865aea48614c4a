"""A noisy program on fewer qubits: where nothing more happens to one, and nobody reads it, another begins.

A density matrix takes 4**n numbers for n qubits, but only those of them need be there at once: what a wire is no longer
needed for is traced out, by a reset. So circuits that measure a few qubits over and over cost what these few do.
"""

from collections.abc import Iterator, Sequence

from qmljax._circuit.noisy import RESET, NoisyProgram, Site
from qmljax._circuit.program import Op, Program, Table


def reused(noisy: NoisyProgram, keep: Sequence[int]) -> NoisyProgram:
    """A program on as few qubits as its order allows; those that are kept are its first ones, in ascending order."""
    last = {q: k for k, event in enumerate(_events(noisy)) for q in _qubits(event)}
    places, free, count = dict[int, int](), list[int](), 0
    used: set[int] = set()
    ops: list[Op] = []
    sites: list[Site] = []
    reset = len(noisy.constants)
    for k, event in enumerate((*_events(noisy), None)):
        for q in sorted(keep) if event is None else _qubits(event):
            if q not in places:
                if not free:
                    free.append(count)
                    count += 1
                places[q] = free.pop()
                if places[q] in used:
                    sites.append(Site(len(ops), ~reset, (places[q],)))
                used.add(places[q])
        if isinstance(event, Site):
            sites.append(Site(len(ops), event.channel, tuple(places[q] for q in event.qubits)))
        elif event is not None:
            at = tuple(places[q] for q in event.qubits), tuple(places[q] for q in event.controls)
            ops.append(event._replace(qubits=at[0], controls=at[1]))
        if event is not None:
            done = [q for q in dict.fromkeys(_qubits(event)) if last[q] == k and q not in keep]
            free.extend(places[q] for q in done)
    ends = [places[q] for q in sorted(keep)]
    order = {place: k for k, place in enumerate((*ends, *(p for p in range(count) if p not in ends)))}
    program = Program(
        count, noisy.program.parameters, noisy.program.expressions, tuple(_moved(op, order) for op in ops)
    )
    moved = tuple(s._replace(qubits=tuple(order[q] for q in s.qubits)) for s in sites)
    return NoisyProgram(program, moved, (*noisy.constants, Table(RESET)))


def _events(noisy: NoisyProgram) -> Iterator[Op | Site]:
    """Ops and sites in time order."""
    sites = list(reversed(noisy.sites))
    for position, op in enumerate(noisy.program.ops):
        while sites and sites[-1].position == position:
            yield sites.pop()
        yield op
    yield from reversed(sites)


def _qubits(event: Op | Site) -> tuple[int, ...]:
    return event.qubits if isinstance(event, Site) else event.qubits + event.controls


def _moved(op: Op, order: dict[int, int]) -> Op:
    return op._replace(qubits=tuple(order[q] for q in op.qubits), controls=tuple(order[q] for q in op.controls))
