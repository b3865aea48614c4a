"""Feature maps: how the literature writes numbers x into states."""

from itertools import combinations

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qmljax._checks import check_count, check_number
from qmljax.circuits._blocks import ROTATIONS, check_choice, ring, rot


def angle_embedding(n: int, *, rotation: str = "rx") -> QuantumCircuit:
    """Each feature as the angle of a rotation of its qubit.

    Args:
        n: The number of qubits and of features.
        rotation: "rx", "ry" or "rz".

    Returns:
        A circuit with the features x, n of them.

    Raises:
        ValueError: The number is not positive, or the rotation is none of those.

    Example:
        >>> import qmljax as qj
        >>> qj.expectation(angle_embedding(1), "Z")([0.5]).round(4)  # cos x
        Array(0.8776, dtype=float32)

    References:
        PennyLane's `AngleEmbedding`.
    """
    x, circuit = ParameterVector("x", check_count(n, "n")), QuantumCircuit(n, name="angle_embedding")
    check_choice(rotation, "rotation", ROTATIONS)
    for q in range(n):
        getattr(circuit, rotation)(x[q], q)
    return circuit


def iqp_embedding(n: int, repeats: int) -> QuantumCircuit:
    """Instantaneous quantum polynomials: H and ``RZ(x_k)`` on each qubit, then ``RZZ(x_j x_k)`` on each pair.

    Args:
        n: The number of qubits and of features.
        repeats: How often all of it is done.

    Returns:
        A circuit with the features x, n of them.

    Raises:
        ValueError: A number is not positive.

    Example:
        >>> iqp_embedding(3, 2).count_ops()["rzz"]
        6

    References:
        V. Havlicek et al., "Supervised learning with quantum-enhanced feature spaces", Nature 567, 209 (2019);
        PennyLane's `IQPEmbedding`, which has these angles.
    """
    x, circuit = ParameterVector("x", check_count(n, "n")), QuantumCircuit(n, name="iqp_embedding")
    for _ in range(check_count(repeats, "repeats")):
        for q in range(n):
            circuit.h(q)
            circuit.rz(x[q], q)
        for j, k in combinations(range(n), 2):
            circuit.rzz(x[j] * x[k], j, k)
    return circuit


def qaoa_embedding(n: int, layers: int, *, num_features: int | None = None, local_field: str = "ry") -> QuantumCircuit:
    """Layers that read the features by RX, and then turn by trained RZZ on a ring and local fields; read once more.

    Args:
        n: The number of qubits.
        layers: How many.
        num_features: At most n, as by default. Qubits without a feature have H instead of RX.
        local_field: "rx", "ry" or "rz".

    Returns:
        A circuit with the features x and the weights w: for each layer those of RZZ, then those of the fields; 2 n a
        layer, 3 on two qubits and 1 on one.

    Raises:
        ValueError: A number is not positive, there are more features than qubits, or the field is none of those.

    Example:
        >>> qaoa_embedding(3, 2).num_parameters  # 3 features and 12 weights
        15

    References:
        S. Lloyd, M. Schuld, A. Ijaz, J. Izaac, N. Killoran, "Quantum embeddings for machine learning",
        arXiv:2001.03622 (2020); PennyLane's `QAOAEmbedding`.
    """
    n, layers = check_count(n, "n"), check_count(layers, "layers")
    features = check_count(n if num_features is None else num_features, "num_features", most=n)
    check_choice(local_field, "local_field", ROTATIONS)
    pairs = ring(n)
    x, weights = ParameterVector("x", features), ParameterVector("w", layers * (len(pairs) + n))
    w, circuit = iter(weights), QuantumCircuit(n, name="qaoa_embedding")
    for layer in range(layers + 1):
        for q in range(n):
            if q < features:
                circuit.rx(x[q], q)
            else:
                circuit.h(q)
        if layer == layers:
            break
        for pair in pairs:
            circuit.rzz(next(w), *pair)
        for q in range(n):
            getattr(circuit, local_field)(next(w), q)
    return circuit


def data_reuploading(n: int, layers: int, *, num_features: int = 3) -> QuantumCircuit:
    """Layers in which every qubit reads all features, each with a weight and an offset, and neighbours are entangled.

    A qubit reads three features by one rotation RZ, RY, RZ, whose angles are ``theta + omega x``; of more features, the
    next three by the next one; angles without a feature have theta alone. CZ stand between the layers: on the pairs 01,
    23, ... after the layers 0, 2, ..., on 12, 34, ... after the others, with the pair of the ends if n is even.

    Args:
        n: The number of qubits.
        layers: How many.
        num_features: How many features there are, d.

    Returns:
        A circuit with the features x and the weights w: all theta, (layers, n, 3 ceil(d / 3)), then all omega,
        (layers, n, d).

    Raises:
        ValueError: A number is not positive.

    Example:
        >>> data_reuploading(1, 4, num_features=2).num_parameters  # 2 features, 12 theta and 8 omega
        22

    References:
        A. Perez-Salinas, A. Cervera-Lierta, E. Gil-Fuster, J. I. Latorre, "Data re-uploading for a universal quantum
        classifier", Quantum 4, 226 (2020), the compressed scheme and the entanglement of sections 2 and 5.
    """
    n, layers, d = check_count(n, "n"), check_count(layers, "layers"), check_count(num_features, "num_features")
    angles = 3 * -(-d // 3)
    x, w = ParameterVector("x", d), ParameterVector("w", layers * n * (angles + d))
    circuit = QuantumCircuit(n, name="data_reuploading")
    for layer in range(layers):
        for q in range(n):
            place = layer * n + q
            theta = w[place * angles : (place + 1) * angles]
            omega = w[layers * n * angles + place * d : layers * n * angles + (place + 1) * d]
            sums = [theta[k] + omega[k] * x[k] if k < d else theta[k] for k in range(angles)]
            for k in range(0, angles, 3):
                rot(circuit, sums[k : k + 3], q)
        if layer + 1 < layers:
            start = layer % 2 if n > 2 else 0
            for q in range(start, n if start and n % 2 == 0 else n - 1, 2):
                circuit.cz(q, (q + 1) % n)
    return circuit


def hamiltonian_feature_map(n: int, *, trotter_steps: int = 20, time: float | None = None) -> QuantumCircuit:
    """The evolution of a Heisenberg chain whose couplings are the features, by Trotter's formula, of a product state.

    ``(prod_k exp(-i (t / T) x_k (X_k X_(k+1) + Y_k Y_(k+1) + Z_k Z_(k+1))))**T`` acts on a state of n qubits, each of
    which is turned by RZ, RY, RZ; the paper draws these turns at random.

    Args:
        n: The number of qubits, at least 2. There are n - 1 features.
        trotter_steps: T.
        time: t; as in the paper, a third of the number of features by default.

    Returns:
        A circuit with the features x, n - 1 of them, and the weights w of the first turns, 3 n of them.

    Raises:
        ValueError: A number is not in its range.

    Example:
        >>> hamiltonian_feature_map(3, trotter_steps=2).count_ops()["rxx"]
        4

    References:
        H.-Y. Huang et al., "Power of data in quantum machine learning", Nature Communications 12, 2631 (2021), the
        embedding E3.
    """
    n, steps = check_count(n, "n", least=2), check_count(trotter_steps, "trotter_steps")
    time = float(check_number((n - 1) / 3 if time is None else time, "time"))
    x, w = ParameterVector("x", n - 1), ParameterVector("w", 3 * n)
    circuit = QuantumCircuit(n, name="hamiltonian_feature_map")
    for q in range(n):
        rot(circuit, w[3 * q : 3 * q + 3], q)
    for _ in range(steps):
        for q in range(n - 1):
            angle = 2 * time / steps * x[q]
            circuit.rxx(angle, q, q + 1)
            circuit.ryy(angle, q, q + 1)
            circuit.rzz(angle, q, q + 1)
    return circuit
