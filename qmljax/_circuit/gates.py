"""The one table of gates: a gate's name -> the elementary operations it is.

A rule is written with its controls: `rule(c, qubits, angles)` returns the ops of the gate acting where the control `c`
is met. Written so, a controlled gate of any number of open and closed controls costs no second rule, and a gate of the
form V D V^dagger controls only its D. `template` runs a rule once on local qubits 0, 1, ...; the parser places it.
"""

import cmath
import functools
import itertools
from collections.abc import Callable
from math import atan2, pi
from typing import Any, NamedTuple

import numpy as np

from qmljax._circuit.program import Angle, Op, Table, constant, controlled, inverse


class Control(NamedTuple):
    """The condition under which a gate acts: bit k of `pattern` is the value required of `qubits[k]`."""

    qubits: tuple[int, ...] = ()
    pattern: int = 0

    def and_(self, *qubits: int, pattern: int | None = None) -> "Control":
        """This condition and that of `qubits`, closed controls unless `pattern` says otherwise."""
        pattern = (1 << len(qubits)) - 1 if pattern is None else pattern
        return Control(self.qubits + qubits, self.pattern | pattern << len(self.qubits))


NONE = Control()
Ops = list[Op]
Rule = Callable[..., Ops]
RULES: dict[str, tuple[int, int, Rule]] = {}  # name: (number of qubits, number of angles, rule)


def _rule(name: str, qubits: int, angles: int = 0) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        RULES[name] = (qubits, angles, rule)
        return rule

    return enter


# The vocabulary: the few ops that rules are made of. `angle` is an Angle; a float is a constant.


def phase(c: Control, angle: Angle) -> Ops:
    """exp(i angle) where `c` is met."""
    return [Op("phase", (), c.qubits, c.pattern, angle)]


def parity(c: Control, qubits: tuple[int, ...], angle: Angle) -> Ops:
    """exp(i angle Z...Z) on `qubits`."""
    return [Op("phase", qubits, c.qubits, c.pattern, angle)]


def flip(c: Control, qubit: int) -> Ops:
    return [Op("flip", (qubit,), c.qubits, c.pattern)]


def turn(qubit: int, angle: Angle) -> Ops:
    """RY."""
    return [Op("ry", (qubit,), angle=angle)]


def conjugate(outer: Ops, inner: Ops) -> Ops:
    """`outer`, `inner`, then `outer` undone. Only `inner` needs the control."""
    return outer + inner + [inverse(op) for op in reversed(outer)]


def to_x(qubit: int) -> Ops:
    """The basis change under which a Z between it and its inverse is an X: RY(pi/2) Z RY(-pi/2) = X."""
    return turn(qubit, constant(-pi / 2))


def to_y(qubit: int) -> Ops:
    """The basis change under which a Z is a Y: S X S^dagger = Y."""
    return phase(NONE.and_(qubit), constant(-pi / 2)) + to_x(qubit)


# One qubit.


@_rule("id", 1)
def _id(c: Control, q: int) -> Ops:
    return []


@_rule("x", 1)
def _x(c: Control, q: int) -> Ops:
    return flip(c, q)


@_rule("y", 1)
def _y(c: Control, q: int) -> Ops:  # Y = i X Z
    return _z(c, q) + flip(c, q) + phase(c, constant(pi / 2))


@_rule("p", 1, 1)
def _p(c: Control, q: int, a: Angle) -> Ops:
    return phase(c.and_(q), a)


RULES["u1"] = RULES["p"]

for _name, _angle in {"z": pi, "s": pi / 2, "sdg": -pi / 2, "t": pi / 4, "tdg": -pi / 4}.items():
    _rule(_name, 1)(lambda c, q, angle=_angle: _p(c, q, constant(angle)))
_z = RULES["z"][2]


@_rule("h", 1)
def _h(c: Control, q: int) -> Ops:
    if c.qubits:  # H = RY(pi/4) Z RY(-pi/4)
        return conjugate(turn(q, constant(-pi / 4)), _z(c, q))
    return _z(c, q) + turn(q, constant(pi / 2))


@_rule("rz", 1, 1)
def _rz(c: Control, q: int, a: Angle) -> Ops:
    return parity(c, (q,), a.times(-0.5))


@_rule("ry", 1, 1)
def _ry(c: Control, q: int, a: Angle) -> Ops:
    return list(controlled(Op("ry", (q,), angle=a), *c))


@_rule("rx", 1, 1)
def _rx(c: Control, q: int, a: Angle) -> Ops:
    if c.qubits:
        return conjugate(to_x(q), _rz(c, q, a))
    return conjugate(_p(c, q, constant(pi / 2)), turn(q, a))  # RX = S^dagger RY S


@_rule("sx", 1)
def _sx(c: Control, q: int) -> Ops:  # the square root of X
    if c.qubits:
        return conjugate(to_x(q), _p(c, q, constant(pi / 2)))
    return _rx(c, q, constant(pi / 2)) + phase(c, constant(pi / 4))


@_rule("sxdg", 1)
def _sxdg(c: Control, q: int) -> Ops:
    return [inverse(op) for op in reversed(_sx(c, q))]


@_rule("r", 1, 2)
def _r(c: Control, q: int, a: Angle, axis: Angle) -> Ops:  # the axis in the XY plane at the angle `axis` from X
    tilt = _p(NONE, q, axis.times(-1.0)) + _p(NONE, q, constant(pi / 2))
    return conjugate(tilt, _ry(c, q, a))


@_rule("u", 1, 3)
def _u(c: Control, q: int, a: Angle, b: Angle, d: Angle) -> Ops:  # U(a, b, d) = P(b) RY(a) P(d), its phase included
    return _p(c, q, d) + _ry(c, q, a) + _p(c, q, b)


RULES["u3"] = RULES["u"]


@_rule("u2", 1, 2)
def _u2(c: Control, q: int, b: Angle, d: Angle) -> Ops:
    return _u(c, q, constant(pi / 2), b, d)


# Two qubits and more.


@_rule("swap", 2)
def _swap(c: Control, a: int, b: int) -> Ops:
    there = flip(NONE.and_(b), a)
    return conjugate(there, flip(c.and_(a), b))


@_rule("iswap", 2)
def _iswap(c: Control, a: int, b: int) -> Ops:
    s = constant(pi / 2)
    return _p(c, a, s) + _p(c, b, s) + phase(c.and_(a, b), constant(pi)) + _swap(c, a, b)


@_rule("dcx", 2)
def _dcx(c: Control, a: int, b: int) -> Ops:
    return flip(c.and_(a), b) + flip(c.and_(b), a)


@_rule("rzz", 2, 1)
def _rzz(c: Control, a: int, b: int, angle: Angle) -> Ops:
    return parity(c, (a, b), angle.times(-0.5))


@_rule("rxx", 2, 1)
def _rxx(c: Control, a: int, b: int, angle: Angle) -> Ops:
    return conjugate(to_x(a) + to_x(b), _rzz(c, a, b, angle))


@_rule("ryy", 2, 1)
def _ryy(c: Control, a: int, b: int, angle: Angle) -> Ops:
    return conjugate(to_y(a) + to_y(b), _rzz(c, a, b, angle))


@_rule("rzx", 2, 1)
def _rzx(c: Control, a: int, b: int, angle: Angle) -> Ops:
    return conjugate(to_x(b), _rzz(c, a, b, angle))


@_rule("ecr", 2)
def _ecr(c: Control, a: int, b: int) -> Ops:
    return conjugate(_rzx(NONE, a, b, constant(pi / 4)), flip(c, a))


def _exchange(c: Control, a: int, b: int, angle: Angle, beta: Angle, odd: bool) -> Ops:
    """RX(angle) in the span of |01>, |10> (odd) or |00>, |11> (even), conjugated by a Z rotation by beta.

    A CX from a to b turns the parity of the pair into the bit of b, and the pair of states into the bit of a.
    """
    frame = _p(NONE, a, beta) + flip(NONE.and_(a), b)
    return conjugate(frame, _rx(c.and_(b, pattern=int(odd)), a, angle))


@_rule("xx_plus_yy", 2, 2)
def _xx_plus_yy(c: Control, a: int, b: int, angle: Angle, beta: Angle) -> Ops:
    return _exchange(c, a, b, angle, beta, odd=True)


@_rule("xx_minus_yy", 2, 2)
def _xx_minus_yy(c: Control, a: int, b: int, angle: Angle, beta: Angle) -> Ops:
    return _exchange(c, a, b, angle, beta.times(-1.0), odd=False)


def pauli(label: str, qubits: tuple[int, ...]) -> tuple[Ops, tuple[int, ...]]:
    """The basis change that makes a Pauli string a product of Zs, and the qubits of those; label[0] is the highest."""
    change, support = [], []
    for letter, q in zip(reversed(label), qubits, strict=True):
        if letter != "I":
            support.append(q)
            change += {"X": to_x, "Y": to_y, "Z": lambda q: []}[letter](q)
    return change, tuple(support)


@_rule("global_phase", 0, 1)
def _global_phase(c: Control, angle: Angle) -> Ops:
    return phase(c, angle)


def _fixed_controls(name: str, base: str, count: int) -> None:
    """Enter `name`: the gate `base` under `count` closed controls, which are its first qubits."""
    qubits, angles, rule = RULES[base]

    def ruled(c: Control, *arguments: Any) -> Ops:
        controls, rest = arguments[:count], arguments[count:]
        return rule(c.and_(*controls), *rest)

    RULES[name] = (count + qubits, angles, ruled)


for _name, _base, _count in (
    *(("c" + g, g, 1) for g in "x y z h s sdg sx p rx ry rz swap u1 u3".split()),
    *(("cc" + g, g, 2) for g in "xz"),
):
    _fixed_controls(_name, _base, _count)


@_rule("cu", 2, 4)
def _cu(c: Control, control: int, q: int, a: Angle, b: Angle, d: Angle, g: Angle) -> Ops:
    c = c.and_(control)
    return phase(c, g) + _u(c, q, a, b, d)


@functools.lru_cache(maxsize=4096)
def template(name: str, controls: int = 0, pattern: int = 0) -> tuple[Op, ...]:
    """The ops of a gate on local qubits 0, 1, ..., its controls first, with `Angle(k, 1.0)` for argument k."""
    qubits, angles, rule = RULES[name]
    c = Control(tuple(range(controls)), pattern)
    return tuple(rule(c, *range(controls, controls + qubits), *(Angle(k, 1.0) for k in range(angles))))


def matrix(unitary: np.ndarray, qubits: tuple[int, ...]) -> Ops:
    """The ops of a constant unitary: a phased permutation if it is one, Euler angles on one qubit, else dense."""
    if len(qubits) == 0:
        return phase(NONE, constant(float(np.angle(unitary[0, 0]))))
    sizes = np.abs(unitary)
    if np.all((sizes > 1e-12).sum(axis=0) == 1):
        image = sizes.argmax(axis=0)  # column j has its entry in row image[j]
        angles = np.angle(unitary[image, np.arange(len(image))])
        ops = [] if not angles.any() else [Op("diagonal", qubits, table=Table(angles))]
        if (image != np.arange(len(image))).any():
            ops += flip(NONE, qubits[0]) if len(qubits) == 1 else [Op("permutation", qubits, table=Table(image))]
        return ops
    if len(qubits) == 1:
        return _euler(unitary, qubits[0])
    return [Op("dense", qubits, table=Table(unitary.astype(np.complex128)))]


def _euler(unitary: np.ndarray, q: int) -> Ops:
    """P(b) RY(a) P(d) exp(i g) of a matrix without zero entries."""
    (zero, minus), (plus, _) = unitary.tolist()
    g = cmath.phase(zero)
    angles = 2 * atan2(abs(plus), abs(zero)), cmath.phase(plus) - g, cmath.phase(-minus) - g
    return _u(NONE, q, *map(constant, angles)) + phase(NONE, constant(g))


def bit_permutation(pattern: tuple[int, ...], qubits: tuple[int, ...]) -> Ops:
    """Qiskit's PermutationGate: qubit k receives what qubit `pattern[k]` held, as swaps."""
    ops, held = [], list(range(len(pattern)))
    for k, wanted in enumerate(pattern):
        at = held.index(wanted)
        if at != k:
            ops += _swap(NONE, qubits[k], qubits[at])
            held[k], held[at] = held[at], held[k]
    return ops


def weighted_sum(weights: list[int], qubits: tuple[int, ...]) -> Ops:
    """Qiskit's WeightedSumGate, which has no definition: adds sum_k weights[k] z_k to the number in the rest."""
    z = np.arange(1 << len(qubits))
    total = sum((z >> k & 1) * weight for k, weight in enumerate(weights))
    return [Op("permutation", qubits, table=Table((z + (total << len(weights))) % len(z)))]


def under_control(ops: Ops, c: Control) -> Ops:
    """`ops` where `c` is met."""
    return list(itertools.chain.from_iterable(controlled(op, *c) for op in ops))
