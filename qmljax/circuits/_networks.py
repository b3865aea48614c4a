"""Tensor networks and convolutional networks: ansaetze with the shape of a chain, of a tree, or of both."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from qmljax._checks import check_count, shown


def matrix_product(n: int, *, block: QuantumCircuit | None = None) -> QuantumCircuit:
    """The circuit of a matrix product state: a block on qubits 0 and 1, then 1 and 2, and so on to the last.

    Args:
        n: The number of qubits, at least 2.
        block: A circuit of two qubits with parameters of its own, replaced by weights in their order. By default RY on
            both, then CX from the first to the second.

    Returns:
        A circuit with the weights w, those of one block after those of another.

    Raises:
        TypeError: `block` is no circuit.
        ValueError: The number is too small, or the block has not two qubits.

    Example:
        >>> matrix_product(4).num_parameters
        6

    References:
        W. Huggins, P. Patil, B. Mitchell, K. B. Whaley, E. M. Stoudenmire, "Towards quantum machine learning with
        tensor networks", Quantum Sci. Technol. 4, 024001 (2019); PennyLane's `MPS`.
    """
    n = check_count(n, "n", least=2)
    return _of_blocks("matrix_product", n, [(q, q + 1) for q in range(n - 1)], block)


def tree_tensor_network(n: int, *, block: QuantumCircuit | None = None) -> QuantumCircuit:
    """A binary tree: blocks on neighbours, then on the second qubits of neighbouring blocks, to the last qubit.

    Args:
        n: The number of qubits, a power of two, at least 2. Read qubit n - 1.
        block: A circuit of two qubits with parameters of its own, replaced by weights in their order. By default RY on
            both, then CX from the first to the second.

    Returns:
        A circuit with the weights w, those of one block after those of another; n - 1 blocks.

    Raises:
        TypeError: `block` is no circuit.
        ValueError: The number is no power of two, or the block has not two qubits.

    Example:
        >>> tree_tensor_network(8).num_parameters
        14

    References:
        W. Huggins et al., Quantum Sci. Technol. 4, 024001 (2019); E. Grant et al., "Hierarchical quantum classifiers",
        npj Quantum Information 4, 65 (2018); PennyLane's `TTN`.
    """
    places: list[tuple[int, int]] = []
    left = list(range(_power_of_two(n)))
    while len(left) > 1:
        places += zip(left[::2], left[1::2], strict=True)
        left = left[1::2]
    return _of_blocks("tree_tensor_network", n, places, block)


def mera(n: int, *, block: QuantumCircuit | None = None) -> QuantumCircuit:
    """The multi-scale entanglement renormalisation ansatz: a tree with blocks across its branches before each level.

    The wires are those of PennyLane's template: in the last block qubits 0 and 1.

    Args:
        n: The number of qubits, a power of two, at least 2.
        block: A circuit of two qubits with parameters of its own, replaced by weights in their order. By default RY on
            both, then CX from the first to the second.

    Returns:
        A circuit with the weights w, those of one block after those of another.

    Raises:
        TypeError: `block` is no circuit.
        ValueError: The number is no power of two, or the block has not two qubits.

    Example:
        >>> mera(4).num_parameters
        10

    References:
        G. Vidal, "Class of quantum many-body states that can be efficiently simulated", PRL 101, 110501 (2008); E.
        Grant et al., npj Quantum Information 4, 65 (2018); PennyLane's `MERA`.
    """
    level = [(0, 1)]  # from the top of the tree down, the other way round than the circuit
    places, fresh = [*level], 2
    while fresh < _power_of_two(n):
        tree: list[tuple[int, int]] = []
        for a, b in level:
            tree += [(a, fresh), (fresh + 1, b)]
            fresh += 2
        level = [(one[1], other[0]) for one, other in zip(tree, tree[1:] + tree[:1], strict=True)]
        places += tree + level
    return _of_blocks("mera", n, places[::-1], block)


def qcnn(n: int) -> QuantumCircuit:
    """A quantum convolutional network: convolutions of neighbours on a ring, then pooling to half of the qubits.

    A convolution is any interaction of the kinds XX, YY and ZZ, up to rotations of single qubits; pooling turns a qubit
    of the second half by one of the first, which is then left alone. What is left is qubit n - 1.

    Args:
        n: The number of qubits, a power of two, at least 2.

    Returns:
        A circuit with the weights w, three for each block, in time order: 63 on 8 qubits.

    Raises:
        ValueError: The number is no power of two.

    Example:
        >>> qcnn(8).num_parameters
        63

    References:
        I. Cong, S. Choi, M. Lukin, "Quantum convolutional neural networks", Nature Physics 15, 1273 (2019); the blocks
        are those of F. Vatan, C. Williams, PRA 69, 032315 (2004), as in Qiskit Machine Learning's tutorial.
    """
    qubits = list(range(_power_of_two(n)))
    w, circuit = iter(ParameterVector("w", 3 * (3 * n - 3))), QuantumCircuit(n, name="qcnn")
    while len(qubits) > 1:
        around, half = [*qubits, qubits[0]], len(qubits) // 2
        even, odd = zip(qubits[::2], qubits[1::2], strict=True), zip(around[1::2], around[2::2], strict=True)
        for pair in [*even, *odd]:
            circuit.compose(_convolution(w), pair, inplace=True)
        for pair in zip(qubits[:half], qubits[half:], strict=True):
            circuit.compose(_pooling(w), pair, inplace=True)
        qubits = qubits[half:]
    return circuit


def _pooling(w: Iterator[Any]) -> QuantumCircuit:
    block = QuantumCircuit(2)
    block.rz(-np.pi / 2, 1)
    block.cx(1, 0)
    block.rz(next(w), 0)
    block.ry(next(w), 1)
    block.cx(0, 1)
    block.ry(next(w), 1)
    return block


def _convolution(w: Iterator[Any]) -> QuantumCircuit:
    block = _pooling(w)
    block.cx(1, 0)
    block.rz(np.pi / 2, 0)
    return block


def _of_blocks(name: str, n: int, places: Sequence[tuple[int, int]], block: QuantumCircuit | None) -> QuantumCircuit:
    """A block on each of some pairs of qubits, each with weights of its own."""
    if block is None:
        block = QuantumCircuit(2)
        block.ry(Parameter("a"), 0)
        block.ry(Parameter("b"), 1)
        block.cx(0, 1)
    if not isinstance(block, QuantumCircuit):
        raise TypeError(f"`block` must be a QuantumCircuit of two qubits, or None, but is {shown(block)}.")
    if block.num_qubits != 2 or block.num_clbits:
        raise ValueError(
            f"`block` must be a QuantumCircuit of two qubits and no classical bits, but has {block.num_qubits} and "
            f"{block.num_clbits}."
        )
    size = block.num_parameters
    w, circuit = ParameterVector("w", size * len(places)), QuantumCircuit(n, name=name)
    for k, place in enumerate(places):
        circuit.compose(block.assign_parameters(w[k * size : (k + 1) * size]), place, inplace=True)
    return circuit


def _power_of_two(n: Any) -> int:
    n = check_count(n, "n", least=2)
    if n & n - 1:
        raise ValueError(f"`n` must be a power of two, but is {n}. Use {1 << n.bit_length()} qubits.")
    return n
