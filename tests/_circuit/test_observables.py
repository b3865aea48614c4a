"""Observables. Oracle: dense matrices, by numpy from the letters and by Qiskit's `SparsePauliOp.to_matrix`."""

import functools
import itertools

import jax
import jax.extend.core
import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp, Statevector

import qmljax as qj
from qmljax._circuit.observables import LETTERS, Observable, observable
from qmljax._engine.expectations import expectations

pytestmark = pytest.mark.usefixtures("x64")
ID, X, Y, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
MATRICES = {"I": ID, "X": X, "Y": Y, "Z": Z}
MATRICES |= {a: (ID + s * m) / 2 for a, s, m in zip("01+-rl", [1, -1] * 3, [Z, Z, X, X, Y, Y], strict=True)}


def dense(label: str) -> np.ndarray:
    return functools.reduce(np.kron, [MATRICES[a] for a in label])


def random_state(n: int, components: int, batch: tuple[int, ...] = (), seed: int = 0) -> np.ndarray:
    state = np.random.default_rng(seed).normal(size=(components, 1 << n, *batch))
    return state / np.sqrt((state**2).sum(axis=(0, 1)))


def random_label(rng: np.random.Generator, n: int, letters: str = "IXYZ") -> str:
    return "".join(rng.choice(list(letters), n))


def in_state(matrix: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The oracle: <psi|M|psi> for each element of the batch."""
    psi = state[0] + (1j * state[1] if len(state) == 2 else 0)
    return np.einsum("i...,ij,j...->...", psi.conj(), matrix, psi, optimize=True).real


def of(observables: list, n: int, state: np.ndarray) -> jax.Array:
    read = tuple(observable(o, n) for o in observables)
    return jax.jit(lambda s: expectations(read, s))(state)


def close(x, y, atol=1e-10) -> None:
    np.testing.assert_allclose(x, y, rtol=0, atol=atol)


@pytest.mark.parametrize("components", [1, 2])
def test_every_pair_of_letters(components):  # Y-odd terms in real states among them
    labels = ["".join(pair) for pair in itertools.product(LETTERS, repeat=2)]
    state = random_state(2, components, (3,))
    expected = np.stack([in_state(dense(label), state) for label in labels])
    close(of(labels, 2, state), expected)
    close(of([SparseObservable(label) for label in labels], 2, state), expected)


@pytest.mark.parametrize("components", [1, 2])
def test_thousands_of_terms_on_six_qubits(components):
    rng = np.random.default_rng(1)
    labels = [random_label(rng, 6) for _ in range(4000)]
    op = SparsePauliOp(labels, rng.normal(size=4000))
    state = random_state(6, components, (2,))
    close(of([op], 6, state)[0], in_state(op.to_matrix(), state), atol=1e-9)
    many = [op[40 * k : 40 * k + 40] for k in range(100)]
    expected = np.stack([in_state(o.to_matrix(), state) for o in many])
    close(of(many, 6, state), expected)


def test_random_projectors_on_five_qubits():
    rng = np.random.default_rng(2)
    labels = [random_label(rng, 5, "IXYZ01") for _ in range(300)] + [random_label(rng, 5, LETTERS) for _ in range(4)]
    coefficients = rng.normal(size=len(labels))
    op = SparseObservable.from_list(list(zip(labels, coefficients, strict=True)))
    state = random_state(5, 2)
    matrix = sum(c * dense(label) for label, c in zip(labels, coefficients, strict=True))
    close(of([op, SparsePauliOp.from_sparse_observable(op)], 5, state), [in_state(matrix, state)] * 2)


@pytest.mark.parametrize("n", [10, 11, 14, 16])  # tables; factored tables; and factored flips
def test_wide_states(n):  # closed form: a product observable in a product state
    rng = np.random.default_rng(3)
    labels = [
        random_label(rng, n, letters) for letters in ("IXYZ", "IXYZ", "XY", "IZ", "IXYZ01", "01", "IZ+r") for _ in "12"
    ]
    qubits = rng.normal(size=(n, 2, 2)) @ [1, 1j]
    qubits /= np.linalg.norm(qubits, axis=1, keepdims=True)
    psi = functools.reduce(np.kron, qubits[::-1])
    factors = [
        [(v.conj() @ MATRICES[a] @ v).real for v, a in zip(qubits, label[::-1], strict=True)] for label in labels
    ]
    expected = np.prod(factors, axis=1)
    close(of(labels, n, np.stack([psi.real, psi.imag])), expected)
    weights = rng.normal(size=len(labels))
    close(of([dict(zip(labels, weights, strict=True))], n, np.stack([psi.real, psi.imag])), [weights @ expected])


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_batches(batch):
    state = random_state(3, 2, batch)
    expected = np.stack([in_state(dense(label), state) for label in ("ZXY", "0I+")])
    close(of(["ZXY", "0I+"], 3, state), expected)
    assert of(["ZXY"], 3, state).shape == (1, *batch)


@pytest.mark.parametrize(
    "value, matrix",
    [
        ("XY", dense("XY")),
        (Pauli("XY"), dense("XY")),
        (Pauli("-XY"), -dense("XY")),
        (-Pauli("YI"), -dense("YI")),
        ({"XY": 0.5, "0l": -2}, 0.5 * dense("XY") - 2 * dense("0l")),
        ({"XY": np.float32(0.5)}, 0.5 * dense("XY")),
        ({"ZZ": 1 + 0j}, dense("ZZ")),
        (SparsePauliOp(["XY", "XY", "ZI"], [1.0, 0.5, 2]), 1.5 * dense("XY") + 2 * dense("ZI")),
        (SparsePauliOp("-XY"), -dense("XY")),
        (SparseObservable.from_list([("X-", 2.0), ("r1", 1)]), 2 * dense("X-") + dense("r1")),
        (SparseObservable.zero(2), 0 * dense("II")),
        (SparsePauliOp("ZZ", 0.0), 0 * dense("II")),
        ({"ZX": 1.0, "II": -0.5}, dense("ZX") - 0.5 * dense("II")),
        (SparsePauliOp.from_operator(Operator(dense("XY") + 0.3 * dense("+1"))), dense("XY") + 0.3 * dense("+1")),
    ],
    ids=str,
)
def test_what_can_be_read(value, matrix):
    state = random_state(2, 2)
    close(of([value], 2, state), [in_state(matrix, state)])
    read = observable(value, 2)
    assert observable(read, 2) == read and hash(observable(value, 2)) == hash(read)


def test_duplicates_are_merged_and_order_does_not_count():
    one = observable(SparsePauliOp(["ZI", "XX", "ZI"], [0.5, 1.0, 0.25]), 2)
    assert one == observable({"XX": 1, "ZI": 0.75}, 2) and len(one.terms) == 2


def test_products_of_operators_are_hermitian_up_to_rounding():
    rng = np.random.default_rng(4)
    a = SparsePauliOp([random_label(rng, 3) for _ in range(12)], rng.normal(size=12))
    state = random_state(3, 2)
    for op in (a @ a, (a @ a).simplify()):  # terms are complex one by one; coefficients have imaginary parts of 1e-17
        close(of([op], 3, state), [in_state(a.to_matrix() @ a.to_matrix(), state)])


@pytest.mark.parametrize(
    "value, error, message",
    [
        (Pauli("iXY"), ValueError, "real and finite.*1j.*Hermitian"),
        ({"ZZ": 1j}, ValueError, "real and finite"),
        ({"ZZ": 1.0, "XX": np.nan}, ValueError, "real and finite"),
        ({"XX": np.inf}, ValueError, "real and finite"),
        (SparsePauliOp("ZZ", 1 + 1e-6j), ValueError, "real and finite"),
        (SparseObservable.from_list([("0+", 1j)]), ValueError, "real and finite"),
        (SparsePauliOp("ZZ", np.array([Parameter("a")])), TypeError, "(?s)must be real numbers.*Bind"),
        ({"ZZ": None}, TypeError, "must be real numbers"),
        ("Zz", ValueError, "letters IXYZ01.*'z'"),
        ("ZZZ", ValueError, r"2 qubits.*acts on 3.*apply_layout"),
        (SparsePauliOp("Z"), ValueError, "acts on 1.*apply_layout"),
        ({"ZZ": 1, "Z": 1}, ValueError, "labels of one length"),
        ({}, ValueError, "labels of one length"),
        (Operator(np.eye(4)), TypeError, "Operator.*SparsePauliOp.from_operator"),
        (np.eye(4), TypeError, "ndarray"),
        (3, TypeError, "int"),
        (None, TypeError, "NoneType"),
        ([], ValueError, "at least one"),
        (["ZZ", 3], TypeError, "int"),
    ],
    ids=lambda x: str(x)[:30],
)
def test_what_is_refused(value, error, message):
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    with pytest.raises(error, match=message):
        qj.expectation(circuit, value)


def test_a_long_observable_is_not_printed_in_full():
    with pytest.raises(ValueError) as error:
        observable(SparsePauliOp(["Z" * 50] * 50), 3)
    assert len(str(error.value)) < 400


def test_idle_qubits_of_a_wide_circuit():
    """A 40-qubit circuit on 3 qubits. An idle qubit is |0>: it contributes <0|letter|0>."""
    used = [5, 20, 33]
    small, wide = QuantumCircuit(3), QuantumCircuit(40)
    for circuit, q in ((small, range(3)), (wide, used)):
        circuit.ry(0.4, q[0])
        circuit.rx(0.9, q[1])
        circuit.cx(q[0], q[2])
        circuit.rzz(0.3, q[1], q[2])
    rng = np.random.default_rng(5)
    labels, expected = [], []
    for letter in LETTERS:
        for _ in range(3):
            inner, other = random_label(rng, 3, LETTERS), random_label(rng, 1, LETTERS)
            whole = ["I"] * 40
            for q, a in zip(used, inner[::-1], strict=True):
                whole[q] = a
            whole[6], whole[39] = letter, other
            labels.append("".join(whole[::-1]))
            factor = MATRICES[letter][0, 0] * MATRICES[other][0, 0]
            expected.append((Statevector(small).expectation_value(Operator(dense(inner))) * factor).real)
    close(qj.expectation(wide, labels)([]), expected)
    as_sparse = SparseObservable.from_list(list(zip(labels, rng.normal(size=len(labels)), strict=True)))
    close(qj.expectation(wide, as_sparse)([]), np.real(np.asarray(as_sparse.coeffs)) @ expected)


def test_a_transpiled_circuit_takes_the_laid_out_observable():
    t = ParameterVector("t", 3)
    circuit = QuantumCircuit(3)
    for q in range(3):
        circuit.rx(t[q], q)
    circuit.cx(0, 2)
    op = SparsePauliOp(["XYZ", "ZIZ"], [0.3, -1.0])
    wide = transpile(
        circuit, coupling_map=[[k, k + 1] for k in range(9)], initial_layout=[7, 3, 5], optimization_level=1
    )
    values = np.array([0.1, 0.2, 0.3])
    close(qj.expectation(wide, op.apply_layout(wide.layout))(values), qj.expectation(circuit, op)(values))
    with pytest.raises(ValueError, match="apply_layout"):
        qj.expectation(wide, op)


def test_one_observable_or_a_list():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    t = np.array([[0.3], [0.7]])
    assert qj.expectation(circuit, "Z")(t).shape == (2,)
    close(qj.expectation(circuit, ["Z"])(t), np.cos(t))
    close(qj.expectation(circuit, ("X", "Z", "X", "Y"))(t), np.concatenate([np.sin(t), np.cos(t), np.sin(t), 0 * t], 1))


def test_gradient_of_a_hamiltonian_of_many_terms():
    rng = np.random.default_rng(6)
    t = ParameterVector("t", 4)
    circuit = QuantumCircuit(4)
    for q in range(4):
        circuit.ry(t[q], q)
        circuit.rz(t[3 - q] * 0.5, q)
    for q in range(3):
        circuit.cx(q, q + 1)
    circuit.rx(t[0] * t[1], 2)
    op = SparsePauliOp([random_label(rng, 4) for _ in range(500)], rng.normal(size=500) / 10)
    matrix, point, h = op.to_matrix(), rng.normal(size=4), 1e-4

    def value(params: np.ndarray) -> float:
        psi = Statevector(circuit.assign_parameters(params)).data
        return (psi.conj() @ matrix @ psi).real

    f = qj.expectation(circuit, op)
    close(f(point), value(point))
    close(jax.grad(f)(point), [(value(point + e) - value(point - e)) / (2 * h) for e in h * np.eye(4)], atol=1e-6)


def equations(jaxpr):
    """All equations, those of inner jaxprs included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.extend.core.jaxprs_in_params(eqn.params):
            yield from equations(inner)


def count(labels: list[str], state: np.ndarray) -> tuple[int, int]:
    """How many equations, and how many of them permute the state."""
    read = (observable(dict.fromkeys(labels, 1.0), len(labels[0])),)
    names = [eqn.primitive.name for eqn in equations(jax.make_jaxpr(lambda s: expectations(read, s))(state).jaxpr)]
    return len(names), names.count("qmljax_linear")


@pytest.mark.parametrize("n", [4, 12])
def test_cost_is_per_x_mask_and_not_per_term(n):
    state = random_state(n, 2)
    labels = ["".join(a) + "I" * (n - 4) for a in itertools.product("XY", "XY", "IZ", "IZ")]
    assert count(labels, state) == count(["XX" + "I" * (n - 2), "XY" + "I" * (n - 2)], state)  # Y-even and Y-odd
    assert count(labels, state)[1] == 1
    assert count(labels + ["Z" * n, "I" * n], state)[1] == 1  # the mask 0 moves nothing
    assert count(labels + ["X" * n, "I" * (n - 1) + "X"], state)[1] == 3


def test_the_diagonal_projector_on_a_wide_state():  # a fidelity with |0...0>, often asked for
    n = 20
    circuit = QuantumCircuit(n)
    circuit.ry(0.1, range(n))
    close(qj.expectation(circuit, "0" * n)([]), np.cos(0.05) ** (2 * n))


def of_terms(given: Observable) -> np.ndarray:
    """Its matrix."""
    total = np.zeros((1 << given.num_qubits,) * 2, complex)
    for product, coefficient in given.terms:
        letters = dict(product)
        total += coefficient * dense("".join(letters.get(q, "I") for q in reversed(range(given.num_qubits))))
    return total


@pytest.mark.parametrize("label", ["0", "1", "+", "-", "r", "l", "X0Y", "+-Z", "rl1"])
def test_projectors_are_sums_of_pauli_strings(label):
    """Oracle: the matrices."""
    given = observable({label: 0.7, "Z" * len(label): 2.0}, len(label))
    strings = given.in_paulis(100)
    letters = {letter for product, _ in strings.terms for _, letter in product}
    assert letters <= set("XYZ")
    np.testing.assert_allclose(of_terms(strings), of_terms(given), rtol=0, atol=1e-15)
    assert given.in_paulis(2 ** sum(letter not in "IXYZ" for letter in label)) is None  # one term more is there


# Lists of any kind.


def test_lists_of_any_kind():
    """A `PauliList`, arrays and nested lists are the lists of their elements; a sign of a Pauli counts."""
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    circuit.cx(0, 1)
    expected = np.array([Statevector(circuit).expectation_value(Pauli(p)).real for p in ("ZZ", "XX", "IZ", "-YY")])
    labels = ["ZZ", "XX", "IZ"]
    signed = [*labels, Pauli("-YY")]
    for observables in (
        PauliList(signed),
        tuple(signed),
        [PauliList(labels), {"YY": -1.0}],
        [["ZZ", "XX"], ["IZ", Pauli("-YY")]],
        np.array([*labels, {Pauli("-YY"): 1.0}], dtype=object).reshape(2, 2),
        ObservablesArray([["ZZ", "XX"], ["IZ", {"YY": -1.0}]]),
    ):
        np.testing.assert_allclose(qj.expectation(circuit, observables)(), expected, atol=1e-6)
    assert qj.expectation(circuit, np.array(labels))().shape == (3,)
    assert qj.expectation(circuit, np.array("ZZ"))().shape == qj.expectation(circuit, np.str_("ZZ"))().shape == ()
    assert qj.estimator_qnn(circuit, PauliList(signed), inputs=[]).output_shape == (4,)
    kernel = qj.projected_kernel(circuit, observables=np.array(labels))
    assert kernel == qj.projected_kernel(circuit, observables=labels)
    with pytest.raises(ValueError, match="`observables` must be an observable or a list of at least one, but is empty"):
        qj.expectation(circuit, [])


@pytest.mark.parametrize("key", [11, ("Z", "Z"), None])
def test_keys_of_a_mapping_are_labels(key):
    with pytest.raises(TypeError, match="keys of a mapping must be labels .* Write it as a string"):
        qj.expectation(QuantumCircuit(2), {key: 1.0})


@pytest.mark.parametrize("matrix", [Operator(np.eye(4)), np.eye(4)])
def test_matrices_have_a_way_out(matrix):
    with pytest.raises(TypeError, match="For a matrix or an Operator use SparsePauliOp.from_operator"):
        qj.expectation(QuantumCircuit(2), matrix)
