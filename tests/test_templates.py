"""Circuits of the literature. Oracles: their definitions as dense numpy matrices, and PennyLane where it is installed.

In both, wire 0 is the first factor of a Kronecker product: the matrices of `circuit.reverse_bits()`.
"""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, Pauli
from scipy.linalg import expm

from qmljax import circuits

X, Y, Z = (Pauli(letter).to_matrix() for letter in "XYZ")
H = (X + Z) / np.sqrt(2)
CX, CZ = np.eye(4)[[0, 1, 3, 2]], np.diag([1.0, 1, 1, -1])


def rx(a):
    return expm(-0.5j * a * X)


def ry(a):
    return expm(-0.5j * a * Y)


def rz(a):
    return expm(-0.5j * a * Z)


def rzz(a):
    return expm(-0.5j * a * np.kron(Z, Z))


def rot(a, b, c):
    return rz(c) @ ry(b) @ rz(a)


def product(n, gates):
    """The matrix of gates (matrix, wires) in time order."""
    whole = np.eye(1 << n, dtype=complex).reshape((2,) * n + (-1,))
    for matrix, wires in gates:
        k = len(wires)
        whole = np.tensordot(matrix.reshape((2,) * 2 * k), whole, (range(k, 2 * k), wires))
        whole = np.moveaxis(whole, range(k), wires)
    return whole.reshape(1 << n, -1)


def matrix(circuit, x=(), w=()):
    """The circuit's matrix, wire 0 first, with its vectors x and w bound."""
    values = {"x": x, "w": w}
    bound = {p: values[p.vector.name][p.index] for p in circuit.parameters}
    assert {len(values[p.vector.name]) for p in circuit.parameters} <= {len(x), len(w)}
    for p in circuit.parameters:
        assert len(p.vector) == len(values[p.vector.name])
    return Operator(circuit.assign_parameters(bound).reverse_bits()).data


def draw(size, seed=0):
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, size)


def strong(n, layers, gate=CX):
    w = draw((layers, n, 3))
    for layer in range(layers):
        yield from ((rot(*w[layer, q]), [q]) for q in range(n))
        yield from ((gate, [q, (q + layer % (n - 1) + 1) % n]) for q in range(n if n > 1 else 0))


def basic(n, layers):
    w = draw((layers, n))
    for layer in range(layers):
        yield from ((rx(w[layer, q]), [q]) for q in range(n))
        yield from ((CX, [q, (q + 1) % n]) for q in range({1: 0, 2: 1}.get(n, n)))


def bricks(n, layers):
    first, w = np.split(draw(n + 2 * layers * (n - 1)), [n])
    w = w.reshape(layers, n - 1, 2)
    yield from ((ry(first[q]), [q]) for q in range(n))
    for layer in range(layers):
        for k, q in enumerate([*range(0, n - 1, 2), *range(1, n - 1, 2)]):
            yield from [(CZ, [q, q + 1]), (ry(w[layer, k, 0]), [q]), (ry(w[layer, k, 1]), [q + 1])]


def iqp(n, repeats):
    x = draw(n, 1)
    for _ in range(repeats):
        yield from ((rz(x[q]) @ H, [q]) for q in range(n))
        yield from ((rzz(x[j] * x[k]), [j, k]) for k in range(n) for j in range(k))


def qaoa(n, layers, features):
    x, pairs = draw(features, 1), [(q, (q + 1) % n) for q in range({1: 0, 2: 1}.get(n, n))]
    w = draw((layers, len(pairs) + n))
    reading = [(rx(x[q]) if q < features else H, [q]) for q in range(n)]
    for layer in range(layers):
        yield from reading
        yield from ((rzz(a), list(pair)) for a, pair in zip(w[layer], pairs, strict=False))
        yield from ((ry(w[layer, len(pairs) + q]), [q]) for q in range(n))
    yield from reading


def reupload(n, layers, features, pairs):
    """The pairs after each layer are given by hand."""
    x, angles = draw(features, 1), -(-features // 3) * 3
    both = draw(layers * n * (angles + features))
    theta = both[: layers * n * angles].reshape(layers, n, angles)
    omega = both[layers * n * angles :].reshape(layers, n, features)
    for layer in range(layers):
        for q in range(n):
            turns = theta[layer, q].copy()
            turns[:features] += omega[layer, q] * x
            yield from ((rot(*turns[k : k + 3]), [q]) for k in range(0, angles, 3))
        yield from ((CZ, pair) for pair in (pairs[layer] if layer < layers - 1 else []))


def evolved(n, steps, time):
    x, w = draw(n - 1, 1), draw((n, 3))
    bond = sum(np.kron(p, p) for p in (X, Y, Z))
    yield from ((rot(*w[q]), [q]) for q in range(n))
    for _ in range(steps):
        yield from ((expm(-1j * time / steps * x[q] * bond), [q, q + 1]) for q in range(n - 1))


def blocks(places):
    w = draw((len(places), 2))
    for (a, b), place in zip(w, places, strict=True):
        yield (CX @ np.kron(ry(a), ry(b)), place)


def pooling(w):
    one, other = np.eye(4)[[0, 3, 2, 1]], CX  # CX from the second wire to the first, and the other way
    steps = [np.kron(np.eye(2), rz(-np.pi / 2)), one, np.kron(rz(w[0]), ry(w[1])), other, np.kron(np.eye(2), ry(w[2]))]
    out = np.eye(4)
    for step in steps:
        out = step @ out
    return out


def convolutional(pairs):
    """By hand which pairs of four qubits are convolved ("c") and pooled ("p")."""
    w = draw((len(pairs), 3))
    for own, (kind, *place) in zip(w, pairs, strict=True):
        block = pooling(own)
        if kind == "c":
            block = np.kron(rz(np.pi / 2), np.eye(2)) @ np.eye(4)[[0, 3, 2, 1]] @ block
        yield (block, list(map(int, place)))


TREE = {2: [[0, 1]], 4: [[0, 1], [2, 3], [1, 3]]}
TREE[8] = [[0, 1], [2, 3], [4, 5], [6, 7], [1, 3], [5, 7], [3, 7]]
MERA = {2: [[0, 1]], 4: [[1, 0], [2, 3], [3, 1], [0, 2], [0, 1]]}
POOLED = ["c01", "c23", "c12", "c30", "p02", "p13", "c23", "c32", "p23"]
CASES = {
    **{
        f"strong, {n} qubits": (n, circuits.strongly_entangling_layers(n, 5), strong(n, 5), (), draw(15 * n))
        for n in (1, 2, 4)
    },
    "strong, CZ": (
        3,
        circuits.strongly_entangling_layers(3, 2, entangler="cz"),
        strong(3, 2, CZ),
        (),
        draw(18),
    ),
    **{
        f"basic, {n} qubits": (n, circuits.basic_entangler_layers(n, 2), basic(n, 2), (), draw(2 * n))
        for n in (1, 2, 4)
    },
    **{f"bricks, {n} qubits": (n, circuits.brickwork(n, 2), bricks(n, 2), (), draw(5 * n - 4)) for n in (1, 2, 4, 5)},
    "angles": (3, circuits.angle_embedding(3), [(rx(a), [q]) for q, a in enumerate(draw(3, 1))], draw(3, 1), ()),
    "angles, RY": (
        2,
        circuits.angle_embedding(2, rotation="ry"),
        [(ry(a), [q]) for q, a in enumerate(draw(2, 1))],
        draw(2, 1),
        (),
    ),
    "IQP": (3, circuits.iqp_embedding(3, 2), iqp(3, 2), draw(3, 1), ()),
    **{
        f"QAOA, {n} qubits, {d} features": (
            n,
            circuits.qaoa_embedding(n, 2, num_features=d),
            qaoa(n, 2, d),
            draw(d, 1),
            draw(2 * {1: 1, 2: 3}.get(n, 2 * n)),
        )
        for n, d in ((1, 1), (2, 2), (3, 2), (4, 4))
    },
    **{
        f"re-uploading, {n} qubits, {d} features": (
            n,
            circuits.data_reuploading(n, 3, num_features=d),
            reupload(n, 3, d, pairs),
            draw(d, 1),
            draw(3 * n * (-(-d // 3) * 3 + d)),
        )
        for n, d, pairs in (
            (1, 2, [[], []]),
            (2, 3, [[[0, 1]], [[0, 1]]]),
            (3, 4, [[[0, 1]], [[1, 2]]]),
            (4, 1, [[[0, 1], [2, 3]], [[1, 2], [3, 0]]]),
        )
    },
    "Hamiltonian": (3, circuits.hamiltonian_feature_map(3, trotter_steps=2), evolved(3, 2, 2 / 3), draw(2, 1), draw(9)),
    "Hamiltonian, time": (
        2,
        circuits.hamiltonian_feature_map(2, trotter_steps=3, time=1.5),
        evolved(2, 3, 1.5),
        draw(1, 1),
        draw(6),
    ),
    "matrix product": (4, circuits.matrix_product(4), blocks([[0, 1], [1, 2], [2, 3]]), (), draw(6)),
    **{f"tree, {n}": (n, circuits.tree_tensor_network(n), blocks(TREE[n]), (), draw(2 * n - 2)) for n in TREE},
    **{f"MERA, {n}": (n, circuits.mera(n), blocks(MERA[n]), (), draw(2 * len(MERA[n]))) for n in MERA},
    "convolutional": (4, circuits.qcnn(4), convolutional(POOLED), (), draw(27)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_matrix_is_that_of_the_definition(name):
    n, circuit, gates, x, w = CASES[name]
    assert circuit.num_qubits == n and circuit.num_parameters == len(x) + len(w)
    np.testing.assert_allclose(matrix(circuit, x, w), product(n, gates), atol=1e-13)


def test_blocks_of_one_s_own():
    block = QuantumCircuit(2)
    block.rx(Parameter("t"), 1)
    block.cz(0, 1)
    w = draw(3)
    gates = [(CZ @ np.kron(np.eye(2), rx(a)), place) for a, place in zip(w, TREE[4], strict=True)]
    circuit = circuits.tree_tensor_network(4, block=block)
    np.testing.assert_allclose(matrix(circuit, w=w), product(4, gates), atol=1e-13)
    bell = QuantumCircuit(2)
    bell.cx(1, 0)
    assert circuits.matrix_product(3, block=bell).count_ops() == {"cx": 2}
    assert circuits.qcnn(8).num_parameters == 63


def test_wrong_numbers_and_blocks():
    for make in (circuits.tree_tensor_network, circuits.mera, circuits.qcnn):
        with pytest.raises(ValueError, match="`n` must be a power of two, but is 6. Use 8 qubits."):
            make(6)
    with pytest.raises(
        ValueError, match="`block` must be a QuantumCircuit of two qubits and no classical bits, but has 3"
    ):
        circuits.mera(4, block=QuantumCircuit(3))
    with pytest.raises(ValueError, match="`num_features` must be an integer from 1 to 2"):
        circuits.qaoa_embedding(2, 1, num_features=3)
    with pytest.raises(ValueError, match="`rotation` must be 'rx', 'ry' or 'rz', but is 'h'"):
        circuits.angle_embedding(2, rotation="h")


def pennylane_templates(qml):
    def block(w0, w1, wires):
        qml.RY(w0, wires=wires[0])
        qml.RY(w1, wires=wires[1])
        qml.CNOT(wires=wires)

    def pair(weights, wires):
        block(*weights, wires=wires)

    x = draw(4, 1)
    first, bricks = np.split(draw(4 + 2 * 2 * 3), [4])
    return {
        "strong, 4 qubits": lambda: qml.StronglyEntanglingLayers(draw((5, 4, 3)), wires=range(4)),
        "strong, 2 qubits": lambda: qml.StronglyEntanglingLayers(draw((5, 2, 3)), wires=range(2)),
        "strong, CZ": lambda: qml.StronglyEntanglingLayers(draw((2, 3, 3)), wires=range(3), imprimitive=qml.CZ),
        "basic, 2 qubits": lambda: qml.BasicEntanglerLayers(draw((2, 2)), wires=range(2)),
        "basic, 4 qubits": lambda: qml.BasicEntanglerLayers(draw((2, 4)), wires=range(4)),
        "bricks, 4 qubits": lambda: qml.SimplifiedTwoDesign(first, bricks.reshape(2, 3, 2), wires=range(4)),
        "angles": lambda: qml.AngleEmbedding(draw(3, 1), wires=range(3)),
        "IQP": lambda: qml.IQPEmbedding(draw(3, 1), wires=range(3), n_repeats=2),
        "QAOA, 2 qubits, 2 features": lambda: qml.QAOAEmbedding(draw(2, 1), draw((2, 3)), wires=range(2)),
        "QAOA, 3 qubits, 2 features": lambda: qml.QAOAEmbedding(draw(2, 1), draw((2, 6)), wires=range(3)),
        "QAOA, 4 qubits, 4 features": lambda: qml.QAOAEmbedding(x, draw((2, 8)), wires=range(4)),
        "matrix product": lambda: qml.MPS(range(4), 2, pair, 2, draw((3, 2))),
        "tree, 4": lambda: qml.TTN(range(4), 2, block, 2, draw((3, 2))),
        "tree, 8": lambda: qml.TTN(range(8), 2, block, 2, draw((7, 2))),
        "MERA, 4": lambda: qml.MERA(range(4), 2, block, 2, draw((5, 2))),
    }


def test_pennylane_has_the_same_matrices():
    qml = pytest.importorskip("pennylane", reason="needs PennyLane: install the extra `bench`")
    for name, template in pennylane_templates(qml).items():
        n, circuit, _, x, w = CASES[name]
        expected = qml.matrix(template, wire_order=range(n))()
        np.testing.assert_allclose(matrix(circuit, x, w), expected, atol=1e-12, err_msg=name)
    circuit, w = circuits.mera(8), draw((21, 2))

    def block(w0, w1, wires):
        qml.RY(w0, wires=wires[0]), qml.RY(w1, wires=wires[1]), qml.CNOT(wires=wires)

    count = circuit.num_parameters // 2
    expected = qml.matrix(lambda: qml.MERA(range(8), 2, block, 2, w[:count]), wire_order=range(8))()
    np.testing.assert_allclose(matrix(circuit, w=w[:count].ravel()), expected, atol=1e-12)
