"""The circuits of the cases, as gates that mean the same to every contestant.

A circuit is a function `(w, x) -> gates`. Its angles are plain arithmetic on the elements of the weights `w` and the
inputs `x`, so the same function gives angles that are numbers, Qiskit parameters or traced arrays, whatever `w` and `x`
hold. Names, angles and the order of qubits are those of the methods of Qiskit's `QuantumCircuit`: `cx` is controlled by
its first qubit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import pi
from typing import Any, NamedTuple

import numpy as np


class Gate(NamedTuple):
    name: str
    qubits: tuple[int, ...]
    angles: tuple[Any, ...] = ()


Gates = Iterator[Gate]
Circuit = Callable[[Any, Any], Gates]


def each(name: str, n: int, angles: Sequence | None = None) -> Gates:
    """A gate on every qubit."""
    for q in range(n):
        yield Gate(name, (q,), () if angles is None else (angles[q],))


def ring(n: int) -> Gates:
    for q in range(n):
        yield Gate("cx", (q, (q + 1) % n))


def part(values: Any, start: int, length: int) -> list:
    return [values[start + k] for k in range(length)]


def zz_feature_map(n: int, x: Any, reps: int = 2) -> Gates:
    """Qiskit's `zz_feature_map(n, reps, entanglement="full")`."""
    for _ in range(reps):
        yield from each("h", n)
        yield from each("p", n, [2.0 * x[q] for q in range(n)])
        for i, j in combinations(range(n), 2):
            yield Gate("cx", (i, j))
            yield Gate("p", (j,), (2.0 * (pi - x[i]) * (pi - x[j]),))
            yield Gate("cx", (i, j))


def real_amplitudes(n: int, w: Any, reps: int = 3) -> Gates:
    """Qiskit's `real_amplitudes(n, reps)`."""
    yield from each("ry", n, part(w, 0, n))
    for layer in range(1, reps + 1):
        for q in reversed(range(n - 1)):
            yield Gate("cx", (q, q + 1))
        yield from each("ry", n, part(w, layer * n, n))


def qnn(n: int) -> Circuit:
    def circuit(w: Any, x: Any) -> Gates:
        yield from zz_feature_map(n, x)
        yield from real_amplitudes(n, w)

    return circuit


def kernel(n: int) -> Circuit:
    return lambda w, x: zz_feature_map(n, x)


def ring_layer(n: int, angles: Any) -> Gates:
    """RY and RZ on every qubit, then a ring of CX."""
    yield from each("ry", n, part(angles, 0, n))
    yield from each("rz", n, part(angles, n, n))
    yield from ring(n)


@dataclass(frozen=True)
class Periodic:
    """A circuit of equal layers, each with as many weights of its own, after gates without parameters."""

    layer: Callable[[Any], Gates]  # angles -> gates
    size: int  # angles of a layer
    layers: int
    before: tuple[Gate, ...] = ()

    def __call__(self, w: Any, x: Any) -> Gates:
        yield from self.before
        for k in range(self.layers):
            yield from self.layer(part(w, k * self.size, self.size))


def ring_ansatz(n: int, layers: int) -> Circuit:
    return Periodic(partial(ring_layer, n), 2 * n, layers)


def chain_layer(n: int, angles: Any) -> Gates:
    """RY on every qubit, then a chain of CX."""
    yield from each("ry", n, part(angles, 0, n))
    for q in range(n - 1):
        yield Gate("cx", (q, q + 1))


def chain_ansatz(n: int, layers: int) -> Circuit:
    return Periodic(partial(chain_layer, n), n, layers)


def teleported(gates: int) -> Circuit:
    """RY gates, after each of which the qubit is teleported to another: three qubits that are reset and used again.

    "measure_and_reset" reads a qubit and leaves it in 0, "x_if" is X on the second of two qubits where the first was
    last measured to be 1.
    """

    def circuit(w: Any, x: Any) -> Gates:
        for k in range(gates):
            source, middle, target = (0, 1, 2) if k % 2 == 0 else (2, 1, 0)
            yield Gate("ry", (source,), (w[k],))
            yield Gate("h", (middle,))
            yield Gate("cx", (middle, target))
            yield Gate("cx", (source, middle))
            yield Gate("h", (source,))
            yield from (Gate("measure_and_reset", (q,)) for q in (source, middle))
            yield Gate("x_if", (middle, target))
            yield Gate("z_if", (source, target))

    return circuit


def reuploading(n: int, layers: int = 5) -> Circuit:
    """Encodings RX, RY, RZ of the same 3n features, again and again, between trained layers."""

    def circuit(w: Any, x: Any) -> Gates:
        for layer in range(layers):
            yield from ring_layer(n, part(w, 2 * n * layer, 2 * n))
            for k, name in enumerate(("rx", "ry", "rz")):
                yield from each(name, n, part(x, k * n, n))
        yield from ring_layer(n, part(w, 2 * n * layers, 2 * n))

    return circuit


def ising_layer(n: int, angles: Any) -> Gates:
    """RZZ on all neighbours in a chain, then RX on every qubit."""
    for q in range(n - 1):
        yield Gate("rzz", (q, q + 1), (angles[q],))
    yield from each("rx", n, part(angles, n - 1, n))


def ising_ansatz(n: int, layers: int) -> Circuit:
    """The Hamiltonian variational ansatz of the transverse-field Ising chain, each gate with an angle of its own."""
    return Periodic(partial(ising_layer, n), 2 * n - 1, layers, before=tuple(each("h", n)))


# name: (number of qubits, number of angles)
KINDS = {
    **dict.fromkeys(("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx"), (1, 0)),
    **dict.fromkeys(("rx", "ry", "rz", "p"), (1, 1)),
    "u": (1, 3),
    **dict.fromkeys(("cx", "cy", "cz", "ch", "swap", "iswap"), (2, 0)),
    **dict.fromkeys(("cp", "crx", "cry", "crz", "rxx", "ryy", "rzz"), (2, 1)),
    **dict.fromkeys(("ccx", "cswap"), (3, 0)),
}


def random_circuit(n: int, gates: int, seed: int | None = None) -> Circuit:
    """Gates of all kinds, equally likely, on random qubits; each angle is a weight of its own."""

    def circuit(w: Any, x: Any) -> Gates:
        rng = np.random.default_rng(gates if seed is None else [gates, seed])
        used = 0
        for name in rng.choice(list(KINDS), gates):
            qubits, angles = KINDS[name]
            chosen = rng.choice(n, qubits, replace=False)
            yield Gate(str(name), tuple(int(q) for q in chosen), tuple(part(w, used, angles)))
            used += angles

    return circuit


def recorded(circuit: Circuit) -> Circuit:
    """A circuit whose angles are weights, as a list that was drawn before: what is left is to build it."""
    gates = list(circuit(range(1 << 20), ()))

    def again(w: Any, x: Any) -> Gates:
        for name, qubits, angles in gates:
            yield Gate(name, qubits, tuple([w[k] for k in angles]))

    return again


# For contestants that lack a gate: equal up to a global phase.
RULES: dict[str, Callable[..., list[Gate]]] = {
    "sx": lambda q: [Gate("rx", (q,), (pi / 2,))],
    "p": lambda q, a: [Gate("rz", (q,), (a,))],
    "u": lambda q, a, b, c: [Gate("rz", (q,), (c,)), Gate("ry", (q,), (a,)), Gate("rz", (q,), (b,))],
    "cy": lambda c, t: [Gate("sdg", (t,)), Gate("cx", (c, t)), Gate("s", (t,))],
    "ch": lambda c, t: [Gate("ry", (t,), (-pi / 4,)), Gate("cz", (c, t)), Gate("ry", (t,), (pi / 4,))],
    "iswap": lambda a, b: [Gate("rxx", (a, b), (-pi / 2,)), Gate("ryy", (a, b), (-pi / 2,))],
    "cp": lambda c, t, a: [Gate("rz", (c,), (a / 2,)), *RULES["crz"](c, t, a)],
    "crz": lambda c, t, a: [Gate("rz", (t,), (a / 2,)), Gate("rzz", (c, t), (-a / 2,))],
    "crx": lambda c, t, a: [Gate("h", (t,)), *RULES["crz"](c, t, a), Gate("h", (t,))],
    "cry": lambda c, t, a: [
        Gate("ry", (t,), (a / 2,)),
        Gate("cx", (c, t)),
        Gate("ry", (t,), (-a / 2,)),
        Gate("cx", (c, t)),
    ],
}


def lowered(gates: Iterable[Gate], lacking: Sequence[str]) -> Gates:
    """The circuit without the gates of the names in `lacking`, and with another global phase."""
    for gate in gates:
        if gate.name in lacking:
            yield from lowered(RULES[gate.name](*gate.qubits, *gate.angles), lacking)
        else:
            yield gate


class _Highest:
    """Stands for an array; remembers how many elements were read."""

    def __init__(self) -> None:
        self.count = 0

    def __getitem__(self, k: int) -> float:
        self.count = max(self.count, k + 1)
        return 0.0


def parameter_counts(circuit: Circuit) -> tuple[int, int]:
    """How many weights and how many inputs a circuit has."""
    w, x = _Highest(), _Highest()
    for _ in circuit(w, x):
        pass
    return w.count, x.count


class _Place(int):
    """An element that knows where it is; arithmetic on it gives plain numbers, which do not."""


def placed(circuit: Circuit) -> tuple[list[Gate], list[list[int]], list[int]]:
    """For contestants whose gates take their angles out of one array: the elements of w, those of x, then what is
    computed from them.

    Returns:
        The gates, the places of the angles of each gate in that array, and which of all angles, in the order of the
        gates, are the computed ones.
    """
    num_weights, num_inputs = parameter_counts(circuit)
    every = [_Place(k) for k in range(num_weights + num_inputs)]
    gates = list(circuit(every[:num_weights], every[num_weights:]))
    places, computed, count = [], [], 0
    for gate in gates:
        places.append([])
        for angle in gate.angles:
            if isinstance(angle, _Place):
                places[-1].append(int(angle))
            else:
                places[-1].append(len(every) + len(computed))
                computed.append(count)
            count += 1
    return gates, places, computed


def bound_qiskit(n: int, circuit: Circuit, w: Any) -> Any:
    """A `QuantumCircuit` of numbers."""
    from qiskit import QuantumCircuit

    result = QuantumCircuit(n)
    for name, qubits, angles in circuit(w.tolist(), ()):
        getattr(result, name)(*angles, *qubits)
    return result


def to_qiskit(n: int, circuit: Circuit) -> tuple[Any, list, list]:
    """A `QuantumCircuit`, and the parameters in it that are weights and inputs."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    num_weights, num_inputs = parameter_counts(circuit)
    w, x = ParameterVector("w", num_weights), ParameterVector("x", num_inputs)
    weights, inputs = list(w), list(x)
    gates = list(circuit(weights, inputs))
    result = QuantumCircuit(n, n if any(gate.name == "measure_and_reset" for gate in gates) else 0)
    for name, qubits, angles in gates:
        if name == "measure_and_reset":
            result.measure(*qubits, *qubits), result.reset(*qubits)
        elif name.endswith("_if"):
            with result.if_test((qubits[0], 1)):
                getattr(result, name.removesuffix("_if"))(*angles, qubits[1])
        else:
            getattr(result, name)(*angles, *qubits)
    return result, weights, inputs
