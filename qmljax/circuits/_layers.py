"""Ansaetze in layers, which entangle all qubits alike."""

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qmljax._checks import check_count
from qmljax.circuits._blocks import ROTATIONS, check_choice, ring, rot


def strongly_entangling_layers(n: int, layers: int, *, entangler: str = "cx") -> QuantumCircuit:
    """Layers of any rotation of each qubit, and of CX gates on a ring, whose range grows from layer to layer.

    Layer l, from 0, entangles qubit k with ``(k + r) % n``, where ``r = l % (n - 1) + 1``.

    Args:
        n: The number of qubits.
        layers: How many.
        entangler: "cx" or "cz".

    Returns:
        A circuit with the weights w, 3 n layers of them, by layer, qubit and angle: RZ, RY, RZ.

    Raises:
        ValueError: A number is not positive, or the entangler is none of those.

    Example:
        >>> strongly_entangling_layers(4, 2).num_parameters
        24

    References:
        M. Schuld, A. Bocharov, K. Svore, N. Wiebe, "Circuit-centric quantum classifiers", PRA 101, 032308 (2020),
        figure 4; PennyLane's `StronglyEntanglingLayers`.
    """
    n, layers = check_count(n, "n"), check_count(layers, "layers")
    check_choice(entangler, "entangler", ("cx", "cz"))
    w, circuit = ParameterVector("w", 3 * n * layers), QuantumCircuit(n, name="strongly_entangling_layers")
    for layer in range(layers):
        for q in range(n):
            first = 3 * (layer * n + q)
            rot(circuit, w[first : first + 3], q)
        for q in range(n if n > 1 else 0):
            getattr(circuit, entangler)(q, (q + layer % (n - 1) + 1) % n)
    return circuit


def basic_entangler_layers(n: int, layers: int, *, rotation: str = "rx") -> QuantumCircuit:
    """Layers of one rotation of each qubit, and of CX gates between neighbours on a ring.

    Args:
        n: The number of qubits.
        layers: How many.
        rotation: "rx", "ry" or "rz".

    Returns:
        A circuit with the weights w, n layers of them, by layer and qubit.

    Raises:
        ValueError: A number is not positive, or the rotation is none of those.

    Example:
        >>> basic_entangler_layers(3, 2).count_ops()["cx"]
        6

    References:
        PennyLane's `BasicEntanglerLayers`.
    """
    n, layers = check_count(n, "n"), check_count(layers, "layers")
    check_choice(rotation, "rotation", ROTATIONS)
    w, circuit = ParameterVector("w", n * layers), QuantumCircuit(n, name="basic_entangler_layers")
    for layer in range(layers):
        for q in range(n):
            getattr(circuit, rotation)(w[layer * n + q], q)
        for pair in ring(n):
            circuit.cx(*pair)
    return circuit


def brickwork(n: int, layers: int) -> QuantumCircuit:
    """RY on each qubit, then layers of bricks, CZ and two RY: first on the pairs 01, 23, ..., then on 12, 34, ...

    It is the alternating ansatz of the theory of barren plateaus, a simplified two-design.

    Args:
        n: The number of qubits.
        layers: How many, each of two rows of bricks.

    Returns:
        A circuit with the weights w: n of the first rotations, then two for each brick, (layers, n - 1, 2).

    Raises:
        ValueError: A number is not positive.

    Example:
        >>> brickwork(4, 2).num_parameters
        16

    References:
        M. Cerezo, A. Sone, T. Volkoff, L. Cincio, P. Coles, "Cost function dependent barren plateaus in shallow
        parametrized quantum circuits", Nature Communications 12, 1791 (2021); PennyLane's `SimplifiedTwoDesign`.
    """
    n, layers = check_count(n, "n"), check_count(layers, "layers")
    w = iter(ParameterVector("w", n + 2 * layers * (n - 1)))
    circuit = QuantumCircuit(n, name="brickwork")
    for q in range(n):
        circuit.ry(next(w), q)
    for _ in range(layers):
        for q in [*range(0, n - 1, 2), *range(1, n - 1, 2)]:
            circuit.cz(q, q + 1)
            circuit.ry(next(w), q)
            circuit.ry(next(w), q + 1)
    return circuit
