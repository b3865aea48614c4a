"""The dynamical Lie algebra of a circuit: what the generators of its parametrised gates generate by commutators.

A Pauli string is a number of 2 bits a qubit, as in `_circuit.pauli_basis`; a Hermitian matrix without a part along the
identity is a mapping of strings to real numbers, {string: coefficient}.
"""

import functools
from collections import Counter
from typing import Any

import numpy as np

from qmljax._circuit import readout
from qmljax._circuit.expressions import Affine
from qmljax._circuit.pauli_basis import constant_matrix, transfer
from qmljax._circuit.program import Op, Program, constant

Sum = dict[int, float]
MOST_QUBITS = 6  # of one fixed gate: its matrix of strings has 4**6 rows
SMALL = 1e-8  # a commutator of unit vectors as far from what is known as this is known; a heuristic


def lie_algebra_dimension(circuit: Any) -> int:
    """The dimension of the dynamical Lie algebra of a circuit, the span of all nested commutators of its generators.

    A circuit is ``F_L exp(-i t_L H_L) F_(L-1) ... exp(-i t_1 H_1) F_0`` with fixed gates F. Its generators are the H_k
    as they are once all fixed gates have been moved to the end, ``(F_(k-1) ... F_0)^dagger H_k (F_(k-1) ... F_0)``.
    Gates that share a parameter have the sum of theirs as one generator, as far as they commute and stand side by side,
    like the gates of a layer of QAOA. The identity, a global phase, does not count. Fixed gates between layers make
    other generators in each: what a deeper circuit generates, ask of a deeper one.

    The dimension decides on the trainability and the simulability of a deep circuit. It may be 4**n - 1, and takes time
    in proportion to it where all generators are Pauli strings, else to its cube.

    Args:
        circuit: A `QuantumCircuit`, or anything else that `parse` takes.

    Returns:
        The dimension, over the real numbers.

    Raises:
        TypeError: `circuit` is none.
        NotImplementedError: It loads amplitudes, or has a fixed gate on more than 6 qubits.
        ValueError: Its outcomes on the way are random.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import ParameterVector
        >>> t, ising = ParameterVector("t", 5), QuantumCircuit(3)
        >>> for q in range(2):
        ...     _ = ising.rzz(t[q], q, q + 1)
        >>> for q in range(3):
        ...     _ = ising.rx(t[2 + q], q)
        >>> lie_algebra_dimension(ising)  # so(2 n): n (2 n - 1)
        15

    References:
        M. Ragone et al., "A Lie algebraic theory of barren plateaus for deep parameterized quantum circuits", Nature
        Communications 15, 7172 (2024); the algebras of chains of spins: R. Wiersema, E. Kokcu, A. Kemper, B. Bakalov,
        "Classification of dynamical Lie algebras for translation-invariant 2-local spin systems in one dimension",
        arXiv:2309.05690.
    """
    found = generators(readout.of_state(circuit).program)
    if all(len(generator) == 1 for generator in found):
        return len(_closure_of_strings({string for generator in found for string in generator}))
    return _dimension_of_closure(found)


def generators(program: Program) -> list[Sum]:
    """The generators of a program, all fixed gates moved to the end, none of them zero.

    A constant in the angle of a gate that is a generator by itself is left out: it turns others inside the algebra.
    """
    if program.loads:
        raise NotImplementedError(
            "Circuits that load amplitudes have no generators, because to load is no unitary operation. Leave the "
            "encoding out of `circuit`."
        )
    keys = [_key(program, op) for op in program.ops]
    uses = Counter(key for key in keys if key is not None)
    groups: list[tuple[Any, Sum]] = []  # from the last gate to the first, as they are before the op at hand
    for op, key in zip(reversed(program.ops), reversed(keys), strict=True):
        if key is None:
            groups = [(k, _conjugated(g, op)) for k, g in groups]
            continue
        factor = op.angle.scale
        expression = program.expressions[op.angle.expression]
        if isinstance(expression, Affine):
            factor *= expression.terms[0][1]
            if uses[key] > 1 and expression.const:  # it matters to a sum by how much its parts are ahead
                fixed = op._replace(angle=constant(op.angle.scale * expression.const))
                groups = [(k, _conjugated(g, fixed)) for k, g in groups]
        _join(groups, key, _generator(op, factor))
    return [g for g in (_cleaned(g) for _, g in groups) if g]


def _key(program: Program, op: Op) -> Any:
    """What the angle of an op is proportional to, up to a constant; None if it is a number."""
    if op.angle.expression < 0 or op.kind in ("flip", "permutation", "dense"):
        return None
    expression = program.expressions[op.angle.expression]
    if not isinstance(expression, Affine):
        return expression
    if not expression.terms:
        return None
    lead = expression.terms[0][1]
    return tuple((index, c / lead) for index, c in expression.terms)


def _join(groups: list[tuple[Any, Sum]], key: Any, own: Sum) -> None:
    """Adds a generator: to one of the same parameter, if it commutes with that and all that are between them."""
    for place in reversed(range(len(groups))):
        if not _commute(groups[place][1], own):
            break
        if groups[place][0] == key:
            groups[place] = (key, _added(groups[place][1], own))
            return
    groups.append((key, own))


def _generator(op: Op, factor: float) -> Sum:
    """H of an op ``exp(-i t H)`` with the angle ``factor t``, without the identity."""
    if op.kind == "ry":
        return {3 << 2 * op.qubits[0]: factor / 2}
    if op.kind == "phase":
        inner = {sum(2 << 2 * q for q in op.qubits): -factor}
    else:
        values, inner = op.array.astype(float), {}
        for mask in range(len(values)):
            signs = 1 - 2.0 * (np.bitwise_count(np.arange(len(values)) & mask) & 1)
            string = sum(2 << 2 * q for k, q in enumerate(op.qubits) if mask >> k & 1)
            inner[string] = -factor * float(signs @ values) / len(values)
    for k, q in enumerate(op.controls):  # the projector (1 +- Z) / 2
        sign = -0.5 if op.pattern >> k & 1 else 0.5
        inner = _added({s: c / 2 for s, c in inner.items()}, {s ^ 2 << 2 * q: sign * c for s, c in inner.items()})
    inner.pop(0, None)
    return _cleaned(inner)


def _conjugated(generator: Sum, op: Op) -> Sum:
    """F^dagger H F of a fixed op F."""
    qubits = op.qubits + op.controls
    if not any(string >> 2 * q & 3 for string in generator for q in qubits):
        return generator
    if len(qubits) > MOST_QUBITS:
        raise NotImplementedError(
            f"A fixed gate on {len(qubits)} qubits is larger than what `circuit` may have here, {MOST_QUBITS}. "
            "Decompose it."
        )
    local = op._replace(qubits=tuple(range(len(op.qubits))), controls=tuple(range(len(op.qubits), len(qubits))))
    columns = _images(local)
    out: Sum = {}
    for string, c in generator.items():
        index = sum((string >> 2 * q & 3) << 2 * k for k, q in enumerate(qubits))
        outside = string
        for q in qubits:
            outside &= ~(3 << 2 * q)
        for image, factor in columns[index]:
            whole = outside | sum((image >> 2 * k & 3) << 2 * q for k, q in enumerate(qubits))
            out[whole] = out.get(whole, 0.0) + c * factor
    return _cleaned(out)


@functools.lru_cache(maxsize=256)
def _images(op: Op) -> list[list[tuple[int, float]]]:
    """What each string on the op's own qubits becomes."""
    matrix = transfer(constant_matrix(op).conj().T[None])
    return [
        [(int(s), float(matrix[s, k])) for s in np.flatnonzero(abs(matrix[:, k]) > 1e-12)] for k in range(len(matrix))
    ]


def _added(a: Sum, b: Sum) -> Sum:
    out = dict(a)
    for string, c in b.items():
        out[string] = out.get(string, 0.0) + c
    return out


def _cleaned(generator: Sum) -> Sum:
    """Without what is rounding error."""
    largest = max(map(abs, generator.values()), default=0.0)
    return {s: c for s, c in generator.items() if abs(c) > 1e-12 * largest}


def _unit(generator: Sum) -> Sum:
    norm = np.linalg.norm(list(generator.values()))
    return {s: float(c / norm) for s, c in generator.items()}


def _anticommute(a: int, b: int) -> bool:
    """Whether an odd number of qubits has an X of one where the other has a Z."""
    evens = _evens(max(a.bit_length(), b.bit_length()))
    return bool(((a & evens & b >> 1) ^ (a >> 1 & evens & b)).bit_count() & 1)


@functools.lru_cache(maxsize=64)
def _evens(bits: int) -> int:
    return sum(1 << k for k in range(0, bits + 1, 2))


def _sign(a: int, b: int) -> int:
    """The sign s of ``i a b = s c``, of strings that anticommute, with c their exclusive or."""
    power, rest = 1, a | b  # of i; i itself
    while rest:
        low = (rest & -rest).bit_length() - 1 & ~1
        p, q = a >> low & 3, b >> low & 3
        if p and q and p != q:
            power += 1 if (p, q) in ((1, 3), (3, 2), (2, 1)) else -1  # X Y = i Z and so on; Y is 3
        rest &= ~(3 << low)
    return 1 if power % 4 == 0 else -1


def _commutator(a: Sum, b: Sum) -> Sum:
    """``i [a, b] / 2``."""
    out: Sum = {}
    for p, x in a.items():
        for q, y in b.items():
            if _anticommute(p, q):
                out[p ^ q] = out.get(p ^ q, 0.0) + _sign(p, q) * x * y
    return out


def _commute(a: Sum, b: Sum) -> bool:
    return not any(abs(c) > 1e-12 for c in _commutator(a, b).values())


def _closure_of_strings(found: set[int]) -> set[int]:
    """All strings that are nested commutators of some: those of a generator and what has been reached are all."""
    start, new, reached = sorted(found), list(found), set(found)
    while new:
        new = [p for p in {a ^ b for a in new for b in start if _anticommute(a, b)} if p not in reached]
        reached.update(new)
    return reached


def _dimension_of_closure(found: list[Sum]) -> int:
    """The same for sums, by linear algebra: what is orthogonal to all that has been reached is new."""
    columns: dict[int, int] = {}
    basis = np.zeros((16, 16))
    members: list[Sum] = []

    def add(candidate: Sum) -> None:
        nonlocal basis
        for string in candidate:
            columns.setdefault(string, len(columns))
        rows, width = len(members) + 1, len(columns)
        if rows > basis.shape[0] or width > basis.shape[1]:
            larger = np.zeros((max(basis.shape[0], 2 * rows), max(basis.shape[1], 2 * width)))
            larger[: basis.shape[0], : basis.shape[1]] = basis
            basis = larger
        vector = np.zeros(width)
        vector[[columns[s] for s in candidate]] = list(candidate.values())
        known = basis[: len(members), :width]
        for _ in range(2):  # twice is enough to be orthogonal to rounding error
            vector -= known.T @ (known @ vector)
        length = np.linalg.norm(vector)
        if length < SMALL:
            return
        basis[len(members), :width] = vector / length
        names = list(columns)
        members.append(_cleaned({names[k]: float(vector[k] / length) for k in np.flatnonzero(vector)}))

    start, done = [_unit(generator) for generator in found], 0
    for generator in start:
        add(generator)
    while done < len(members):
        for generator in start:
            add(_commutator(generator, members[done]))
        done += 1
    return len(members)
