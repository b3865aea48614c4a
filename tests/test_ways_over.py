"""Pages for those who come from another library: what they name here runs, and gives the numbers of the other one."""

import contextlib
import functools
import importlib
import io
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import qiskit
import qiskit.circuit.library as library
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp
from test_readme import assert_same_output

import qmljax as qj
from qmljax import analysis, circuits, noise

DOCS = Path(__file__).parents[1] / "docs"
CELL = re.compile(r"```(?:py|python)\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)  # the other library's cells, too
CODE = re.compile(r"`` ?(.+?) ?``|`(.+?)`")
pytestmark = pytest.mark.usefixtures("standard_promotion")


def tables(page: str) -> dict[str, list[tuple[str, str]]]:
    """The rows of the tables of a page, first and last column, by the heading above."""
    found, heading = {}, ""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("|") and not line.startswith("|---"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.setdefault(heading, []).append((cells[0].strip(), cells[-1].strip()))
    return {heading: rows[1:] for heading, rows in found.items()}


def codes(cell: str) -> list[str]:
    return [(two or one).replace("\\|", "|") for two, one in CODE.findall(cell)]


def here() -> dict:
    """What the tables speak of, built anew, since some of their code changes a circuit."""
    import torch
    from flax import nnx

    import qmljax.flax
    import qmljax.primitives
    import qmljax.sklearn
    import qmljax.torch

    t, rng = ParameterVector("t", 3), np.random.default_rng(0)
    circuit = QuantumCircuit(3)
    for q in range(3):
        circuit.rx(0.5 + q, q), circuit.ry(t[q], q)
    circuit.cx(0, 1), circuit.cx(1, 2), circuit.rx(t[0], 1), circuit.rz(t[1], 2), circuit.rx(0.4, 0), circuit.rx(0.9, 2)
    measured = QuantumCircuit(3, 1).compose(circuit)
    measured.measure(0, 0)
    backend = qmljax.primitives.PrimitiveBackend(qmljax.primitives.Estimator())
    embedding = circuits.iqp_embedding(3, 1)
    kernel = qj.fidelity_kernel(embedding)
    points = rng.normal(size=(6, 3)).astype(np.float32)
    network = embedding.compose(circuits.basic_entangler_layers(3, 1))
    model = qj.estimator_qnn(network, "IIZ", inputs=embedding.parameters, backend=backend)
    matrix = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    vector = rng.normal(size=8)
    names = {
        "circuit": circuit,
        "measured": measured,
        "w": np.array([0.3, -0.7, 1.1], np.float32),
        "x": points[0],
        "a": 0.3,
        "b": 0.7,
        "c": 1.1,
        "d": 1.1,
        "p": 0.2,
        "f": qj.expectation(circuit, "IIZ"),
        "model": model,
        "backend": backend,
        "kernel": kernel,
        "X": points,
        "y": np.array([1, 1, -1, -1, 1, -1], np.float32),
        "gram": kernel(points) + np.diag([-2, 0, 0, 0, 0, 0]).astype(np.float32),
        "key": jax.random.key(0),
        "loss": lambda w: jnp.sum(w**2),
        "A": np.array([[1.0, 0.5j], [-0.5j, 2.0]]),
        "B": matrix + matrix.conj().T,
        "U": matrix,
        "D": np.exp(1j * np.arange(4)),
        "v": vector / np.linalg.norm(vector),
        "Ks": [np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 1], [1, 0]])],
        "P": Pauli,
        "Parameter": Parameter,
        "SparsePauliOp": SparsePauliOp,
        "nnx": nnx,
        "torch": torch,
        "rngs": nnx.Rngs(0),
        "qiskit": qiskit,
        "qmljax": qmljax,
        "jax": jax,
        "jnp": jnp,
        "np": np,
        "optax": optax,
        "qj": qj,
        "analysis": analysis,
        "circuits": circuits,
        "noise": noise,
        "QuantumCircuit": QuantumCircuit,
    }
    return {**vars(library), **names}


@pytest.fixture(scope="module")
def namespace():
    return here()


SHOWN = {"pip install 'jax[cuda13]'", "hk.get_parameter", "weights"}  # no Python, or of a library that is not here
PAGES = ["from_pennylane.md", "from_tensorcircuit.md", "from_jax.md"]


def rows(page: str) -> list:
    return [
        pytest.param(*row, id=f"{head}: {row[0]}"[:60]) for head, all_rows in tables(page).items() for row in all_rows
    ]


@pytest.mark.parametrize(("theirs", "ours"), [row for page in PAGES for row in rows(page)])
def test_what_stands_beside_the_other_library_runs(theirs, ours, namespace):
    """Every piece of code in a cell is an expression that has a value; a keyword alone is an argument of something."""
    del theirs
    names = dict(namespace, circuit=namespace["circuit"].copy())
    for code in codes(ours):
        if code in SHOWN or re.fullmatch(r"\w+=(\.\.\.)?", code) or "(..." in code or code.startswith("."):
            continue
        eval(f"dict({code})" if re.match(r"\w+=[^=]", code) else code, names)


@pytest.fixture(scope="module")
def pennylane(namespace):
    """The names of the first column; skips, saying so, where PennyLane is not installed."""
    qml = pytest.importorskip("pennylane", reason="PennyLane is not installed: its column is compared where it is")

    def gates(t):
        for q in range(3):
            qml.RX(0.5 + q, wires=q), qml.RY(t[q], wires=q)
        qml.CNOT(wires=[0, 1]), qml.CNOT(wires=[1, 2]), qml.RX(t[0], wires=1), qml.RZ(t[1], wires=2)
        qml.RX(0.4, wires=0), qml.RX(0.9, wires=2)

    def qnode(t):
        gates(t)
        return qml.expval(qml.Z(0))

    def block(weights, wires):
        qml.RY(weights[0], wires=wires[0]), qml.RY(weights[1], wires=wires[1]), qml.CNOT(wires=wires)

    def overlap(one, other):
        qml.IQPEmbedding(one, wires=range(3)), qml.adjoint(qml.IQPEmbedding(other, wires=range(3)))
        return qml.probs(wires=range(3))

    device = qml.device("default.qubit")
    numbers = {
        k: v.astype(float) if isinstance(v, np.ndarray) and v.dtype == np.float32 else v for k, v in namespace.items()
    }
    fidelity = qml.QNode(overlap, device)
    return {
        **numbers,
        "qml": qml,
        "gates": gates,
        "qnode": qml.QNode(qnode, qml.device("default.qubit", wires=[*range(4)])),
        "block": block,
        "k": lambda one, other: fidelity(one, other)[0],
        "K": np.asarray(namespace["gram"], float),
        "w": qml.numpy.array(numbers["w"], requires_grad=True),
    }


NOT_EXACT = re.compile(
    r"sample|counts|shadow|SPSA|qml.measure|minimize|c.matrix|post_select"
)  # random, or of a circuit of its own


def beside(*heads: str, page: str = "from_pennylane.md") -> list:
    """The first piece of code of either column, where PennyLane's is an expression that can be compared."""
    found, kept = tables(page), []
    for theirs, ours in (row for head in heads for row in found[head]):
        if codes(theirs) and codes(ours) and "(" in theirs and not NOT_EXACT.search(theirs):
            kept.append(pytest.param(codes(theirs)[0], codes(ours)[0], id=codes(theirs)[0]))
    return kept


@pytest.mark.parametrize(("theirs", "ours"), beside("Measurements"))
def test_measurements_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    def qnode(t):
        pennylane["gates"](t)
        return eval(theirs, pennylane)

    qml = pennylane["qml"]
    expected = qml.QNode(qnode, qml.device("default.qubit", wires=3))(pennylane["w"])
    np.testing.assert_allclose(eval(ours, namespace), expected, atol=1e-5)


@pytest.mark.parametrize(("theirs", "ours"), beside("Gates"))
def test_gates_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    circuit = QuantumCircuit(3)
    eval(ours, dict(namespace, circuit=circuit))
    op = eval(theirs, pennylane)
    got = Operator(circuit.reverse_bits()).data
    expected = pennylane["qml"].matrix(op, wire_order=range(3)) if op.has_matrix or op.has_decomposition else None
    if type(op).__name__ in ("StatePrep", "BasisState"):
        got, expected = got[:, 0], op.state_vector(wire_order=range(3)).ravel()
    np.testing.assert_allclose(got, expected, atol=1e-7)


@pytest.mark.parametrize(("theirs", "ours"), beside("Templates"))
def test_templates_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    circuit = eval(ours, namespace)
    qml, n = pennylane["qml"], circuit.num_qubits
    features = [p for p in circuit.parameters if p.name.startswith("x[")]
    data = pennylane["v"] if len(features) == 8 else pennylane["x"]
    w = np.random.default_rng(1).normal(size=circuit.num_parameters - len(features))
    with qml.queuing.AnnotatedQueue() as queue:
        eval(theirs, dict(pennylane, w=w))
    tape = qml.tape.QuantumScript.from_queue(queue)
    expected = qml.QNode(
        lambda: [qml.apply(op) for op in tape.operations] and qml.state(), qml.device("default.qubit", wires=n)
    )()
    weights = [p for p in circuit.parameters if p not in features]
    values = dict(zip([*features, *weights], [*data[: len(features)], *w], strict=True))
    got = qj.statevector(circuit.reverse_bits())(np.array([values[p] for p in circuit.parameters], np.float32))
    np.testing.assert_allclose(abs(np.vdot(got, expected)), 1, atol=2e-6)  # but for a global phase


@pytest.mark.parametrize(("theirs", "ours"), beside("Kernels"))
def test_kernels_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    if "closest_psd" in theirs:
        pytest.importorskip("cvxpy", reason="PennyLane takes CVXPY to find the closest matrix")
        theirs = theirs.replace("True)", "True, solver='SCS')")
    namespace = dict(namespace, gram=namespace["gram"] if "K" in theirs else eval("kernel(X)", namespace))
    np.testing.assert_allclose(eval(ours, namespace), eval(theirs, pennylane), atol=2e-4 if "psd" in theirs else 1e-5)


@pytest.mark.parametrize(("theirs", "ours"), beside("Gradients and spectra"))
def test_gradients_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = eval(theirs, pennylane)
    got = eval(ours, namespace)
    if "fourier" in theirs:
        got = np.fft.ifftshift(got)
    np.testing.assert_allclose(got, np.stack(expected).reshape(np.shape(got)), atol=2e-5)


@pytest.mark.parametrize(("theirs", "ours"), beside("Optimizers"))
def test_steps_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    optimizer, weights = eval(theirs, pennylane), pennylane["w"]
    rotosolve = "Rotosolve" in theirs
    for _ in range(3):
        kwargs = {"nums_frequency": {"t": {(k,): 2 if k < 2 else 1 for k in range(3)}}} if rotosolve else {}
        weights = optimizer.step(pennylane["qnode"], weights, **kwargs)
    f = namespace["f"]
    result = qj.fit(f, namespace["w"], (), optimizer=eval(ours, namespace), steps=3)
    got = result.weights
    if "Nesterov" in theirs:
        got = got + 0.9 * 0.1 * result.opt_state[0].trace
    if rotosolve:  # a weight that the value does not feel may be anywhere
        got, weights = f(got)[None], f(weights.astype(np.float32))[None]
    difference = np.asarray(got) - np.asarray(weights)
    np.testing.assert_allclose(difference - 2 * np.pi * np.round(difference / (2 * np.pi)), 0, atol=2e-4)


@pytest.mark.parametrize(("theirs", "ours"), beside("Noise"))
def test_channels_are_those_of_pennylane(theirs, ours, pennylane, namespace):
    check_channel(eval(ours, namespace), eval(theirs, pennylane).kraus_matrices())


def check_channel(channel: noise.Channel, matrices: list) -> None:
    """What a channel makes of a state is the sum over Kraus matrices, which have the first qubit first."""
    n = channel.num_qubits
    circuit = QuantumCircuit(n)
    circuit.h(0), circuit.ry(0.4, range(n)), circuit.rz(0.3, range(n)), circuit.cx(0, n - 1) if n > 1 else None
    circuit.append(library.RXGate(0.0), [0]) if n == 1 else circuit.append(library.RZZGate(0.0), [0, 1])
    name, psi = circuit.data[-1].operation.name, Operator(circuit.reverse_bits()).data[:, 0]
    simulator = noise.Simulator(noise.NoiseModel({name: channel}))
    expected = sum(k @ np.outer(psi, psi.conj()) @ np.conj(k).T for k in matrices)
    got = simulator.density_matrix(circuit)([])
    order = [int(f"{i:0{n}b}"[::-1], 2) for i in range(2**n)]
    np.testing.assert_allclose(np.asarray(got)[np.ix_(order, order)], expected, atol=2e-6)


@pytest.fixture(scope="module")
def tensorcircuit(namespace):
    """The names of the first column; skips, saying so, where TensorCircuit is not installed."""
    tc = pytest.importorskip(
        "tensorcircuit", reason="TensorCircuit is not installed: its column is compared where it is"
    )
    tc.set_backend("jax")
    c = tc.Circuit(3)
    for i in namespace["circuit"].assign_parameters(namespace["w"].tolist()).data:
        qubits = [namespace["circuit"].find_bit(q).index for q in i.qubits]
        getattr(c, i.operation.name)(*qubits, **({"theta": i.operation.params[0]} if i.operation.params else {}))
    h = tc.quantum.PauliStringSum2COO([[3, 0, 0], [0, 1, 0]], [0.5, 2.0])
    return {**namespace, "tc": tc, "c": c, "H": h}


@pytest.mark.parametrize(("theirs", "ours"), beside("Functions", page="from_tensorcircuit.md"))
def test_functions_are_those_of_tensorcircuit(theirs, ours, tensorcircuit, namespace):
    expected = eval(theirs, tensorcircuit)
    np.testing.assert_allclose(eval(ours, namespace), getattr(expected, "tensor", expected), atol=2e-6)


@pytest.mark.parametrize(("theirs", "ours"), beside("Gates", page="from_tensorcircuit.md"))
def test_gates_are_those_of_tensorcircuit(theirs, ours, tensorcircuit, namespace):
    circuit, c = QuantumCircuit(3), tensorcircuit["tc"].Circuit(3)
    for q in range(3):  # on a state without symmetries
        circuit.ry(0.7 + q, q), circuit.rz(0.3 + q, q), c.ry(q, theta=0.7 + q), c.rz(q, theta=0.3 + q)
    eval(ours, dict(namespace, circuit=circuit))
    eval(theirs, dict(tensorcircuit, c=c))
    got, expected = Operator(circuit.reverse_bits()).data[:, 0], np.asarray(c.state())
    np.testing.assert_allclose(abs(np.vdot(got, expected)), 1, atol=1e-6)  # but for a global phase


@pytest.mark.parametrize(("theirs", "ours"), beside("Noise", page="from_tensorcircuit.md"))
def test_channels_are_those_of_tensorcircuit(theirs, ours, tensorcircuit, namespace):
    channel = eval(ours, namespace)
    check_channel(
        channel, [np.asarray(k.tensor).reshape(2 * (2**channel.num_qubits,)) for k in eval(theirs, tensorcircuit)]
    )


@pytest.mark.parametrize(
    ("page", "library", "short"),
    [("from_pennylane.md", "pennylane", "qml"), ("from_tensorcircuit.md", "tensorcircuit", "tc")],
)
def test_names_of_the_other_library_are_there(page, library, short):
    module = pytest.importorskip(library, reason=f"{library} is not installed: its names are looked up where it is")
    for name in sorted(set(re.findall(rf"\b{short}((?:\.\w+)+)", (DOCS / page).read_text(encoding="utf-8")))):
        with contextlib.suppress(ImportError):  # no module of its own
            importlib.import_module(f"{library}.{name.split('.')[1]}")
        with contextlib.suppress(ImportError):  # of a third library, such as TensorFlow for `KerasLayer`
            functools.reduce(getattr, name[1:].split("."), module)


@pytest.mark.parametrize(
    ("page", "library"), [("from_pennylane.md", "pennylane"), ("from_tensorcircuit.md", "tensorcircuit")]
)
def test_cells_of_both_libraries_print_what_is_shown(page, library):
    pytest.importorskip(library, reason=f"{library} is not installed: its cells are run where it is")
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source, shown in CELL.findall((DOCS / page).read_text(encoding="utf-8")):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(source, page, "exec"), names)
            assert_same_output(printed.getvalue(), shown)
