"""Files that somebody changed, with a right checksum too: they load as what is in them, or are refused.

Oracle: `ValueError` is the only error, and memory and time have limits. `QMLJAX_FUZZ=2000` tries more files.
"""

import contextlib
import hashlib
import io
import json
import os
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate, real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import LieTrotter
from safetensors import deserialize
from safetensors.numpy import save

import qmljax as qj
from qmljax._models import qpy_limits
from qmljax._models.qpy_limits import check_limits
from qmljax.circuits import raw_feature_vector

X, W = ParameterVector("x", 2), ParameterVector("w", 2)
EXAMPLES = int(os.environ.get("QMLJAX_FUZZ", "200"))


def rich() -> QuantumCircuit:
    """Most of what QPY has words for: expressions, matrices, definitions, evolutions, registers, measurements."""
    inner = QuantumCircuit(2, name="inner")
    inner.crx(W[0] * 2, 0, 1)
    circuit = QuantumCircuit(3, 2)
    circuit.ry((X[0] * W[0]).sin() + X[1] ** 2, 0)
    circuit.append(inner.to_gate(), [0, 1])
    circuit.append(inner.assign_parameters([0.1]).to_gate().control(1), [0, 1, 2])
    circuit.append(UnitaryGate(np.eye(4)), [1, 2])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZI"]), W[1]), [0, 1])
    circuit.measure([2, 0], [0, 1])
    return circuit


def contents() -> dict[str, bytes]:
    """A file of each kind."""
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    model = qj.estimator_qnn(rich(), ["ZIX", {"0+r": 0.5}], inputs=X)
    parity = qj.sampler_qnn(rich(), inputs=X, interpret=lambda k: k % 2)
    amplitudes = qj.sampler_qnn(raw_feature_vector(4), inputs=raw_feature_vector(4).parameters)
    trained = qj.fidelity_kernel(rich(), weights=W)
    tree = {"quantum": np.ones(2, "f4"), "rest": [np.ones((2, 3)), (np.arange(3), None)]}
    saved = {
        "estimator": (model, np.ones(2)),
        "sampler": (parity, np.ones(2, np.float32)),
        "amplitudes": (amplitudes, ()),
        "tree": (qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=[]), tree),
        "fidelity kernel": (trained, [0.1, 0.2]),
        "projected kernel": (qj.projected_kernel(zz_feature_map(2), gamma=None), ()),
    }
    result = {}
    for name, (what, weights) in saved.items():
        path = folder / f"qmljax-crafted-{os.getpid()}"
        qj.save(path, what, weights)
        result[name] = path.read_bytes()
        path.unlink()
    return result


CONTENTS = contents()
Parts = tuple[dict[str, str], dict[str, Any], dict[str, tuple[str, bytes]]]


def taken_apart(content: bytes) -> Parts:
    """Metadata, `about`, and the arrays as bytes with the names of their dtypes."""
    (length,) = struct.unpack_from("<Q", content)
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata, json.loads(metadata["about"]), {k: (t["dtype"], bytes(t["data"])) for k, t in deserialize(content)}


def sealed(metadata: dict[str, str], about: Any, arrays: dict[str, tuple[str, bytes]]) -> bytes:
    """A file with a right checksum, whatever is in it."""
    text = about if isinstance(about, str) else json.dumps(about)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(name.encode() + b":" + arrays[name][1])
    metadata = metadata | {"about": text, "sha256": digest.hexdigest()}
    return save({name: np.frombuffer(data, np.uint8) for name, (_, data) in arrays.items()}, metadata)


def edited(name: str, edit: Callable[[Any, Any], None]) -> bytes:
    metadata, about, arrays = taken_apart(CONTENTS[name])
    edit(about, arrays)
    return sealed(metadata, about, arrays)


def changed(draw: Any, data: bytes) -> bytes:
    """Bytes with some bits flipped, cut, joined to their own or others, or with an extreme number in them."""
    at = draw(st.integers(0, min(len(data), draw(st.sampled_from([60, 300, 10**6])))))
    other = CONTENTS[draw(st.sampled_from(sorted(CONTENTS)))]
    match draw(st.sampled_from(["flip", "flip", "cut", "splice", "number", "drop"])):
        case "flip":
            bits = bytearray(data)
            for k in draw(st.lists(st.integers(0, 8 * max(len(data), 1) - 1), min_size=1, max_size=3)):
                if bits:
                    bits[(at + k // 8) % len(bits)] ^= 1 << k % 8
            return bytes(bits)
        case "cut":
            return data[:at]
        case "splice":
            begin = draw(st.integers(0, len(other)))
            return data[:at] + other[begin : begin + draw(st.integers(1, 64))] + data[at:]
        case "number":
            number = draw(st.sampled_from([b"\xff", b"\x7f", b"\x00", b"\x10"]))
            tail = draw(st.sampled_from([b"\xff", b"\x00"]))
            wide = (number + tail * 7)[: draw(st.sampled_from([1, 2, 4, 8]))]
            return data[:at] + wide + data[at + len(wide) :]
    return data[:at] + data[at + draw(st.integers(1, 16)) :]


VALUES: list[Any] = [None, True, -1, 0, 1, 3, 10**9, 10**30, 1.5, 1e308, float("nan"), "", "x", "x[0]", [], [[]], {}]
DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]


def replaced(draw: Any, tree: Any) -> Any:
    """JSON with one node, of any depth, replaced, removed or doubled."""
    if isinstance(tree, dict | list) and tree and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(tree))) if isinstance(tree, dict) else draw(st.integers(0, len(tree) - 1))
        copy: Any = tree.copy()
        match draw(st.integers(0, 8)):
            case 0 if isinstance(copy, dict):
                copy[draw(st.sampled_from(["a", "type", "dict"]))] = copy.pop(key)
            case 0:
                copy.append(copy[key])
            case 1:
                del copy[key]
            case _:
                copy[key] = replaced(draw, copy[key])
        return copy
    return draw(st.sampled_from([*VALUES, DEEP]))


@st.composite
def crafted(draw: Any) -> bytes:
    content = CONTENTS[draw(st.sampled_from(sorted(CONTENTS)))]
    if draw(st.integers(0, 5)) == 0:
        return changed(draw, content)
    metadata, about, arrays = taken_apart(content)
    for _ in range(draw(st.integers(1, 2))):
        match draw(st.sampled_from(["bytes", "bytes", "header", "shapes", "text", "arrays"])):
            case "bytes":
                name = draw(st.sampled_from(["circuit", *sorted(arrays)])) if arrays else "circuit"
                if name in arrays:
                    dtype, data = arrays[name]
                    arrays[name] = dtype, changed(draw, data)
                    if draw(st.booleans()) and isinstance(about, dict) and "shapes" in about:
                        about["shapes"] = {**dict(about["shapes"]), name: ["uint8", len(arrays[name][1])]}
            case "header":
                if isinstance(about, dict) and "header" in about:
                    about = about | {"header": replaced(draw, about["header"])}
            case "shapes":
                about = replaced(draw, about)
            case "text":
                text = about if isinstance(about, str) else json.dumps(about)
                about = changed(draw, text.encode()).decode(errors="replace")
                return sealed(metadata, about, arrays)
            case "arrays":
                for name in draw(st.sets(st.sampled_from(sorted(arrays)), max_size=2)) if arrays else ():
                    arrays[draw(st.sampled_from([name, "weights.7", "index"]))] = arrays.pop(name)
        if not isinstance(about, dict) or not isinstance(about.get("shapes"), dict):
            break
    return sealed(metadata, about, arrays)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(content=crafted())
@pytest.mark.filterwarnings("ignore:The qiskit version used to generate")
def test_whatever_is_in_a_file_it_loads_or_is_refused(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "crafted"
    path.write_bytes(content)
    before, begun = peak(), time.monotonic()
    try:
        qj.load(path)
    except ValueError as error:
        assert str(path) in str(error)
    assert peak() - before < 300 * 1024, "KiB of memory"
    assert time.monotonic() - begun < 5


def about_header(**changes: Any) -> Callable[[Any, Any], None]:
    return lambda about, arrays: about["header"]["model"].update(changes)


def circuit_bytes(at: int, new: bytes) -> Callable[[Any, Any], None]:
    """The QPY with other bytes: the file's header has 28 of them, of which the last 8 are where the circuit begins."""

    def edit(about: Any, arrays: Any) -> None:
        dtype, data = arrays["circuit"]
        arrays["circuit"] = dtype, data[:at] + new + data[at + len(new) :]

    return edit


def weights_bytes(new: np.ndarray) -> Callable[[Any, Any], None]:
    def edit(about: Any, arrays: Any) -> None:
        arrays["weights"] = "U8", new.tobytes()
        about["shapes"]["weights"] = [new.dtype.name, *new.shape]

    return edit


BILLIONS = b"\x7f\xff\xff\xff"


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("estimator", lambda about, arrays: arrays.pop("circuit"), "'circuit' has 0 bytes"),
        ("estimator", about_header(inputs=["x[0]", "x[0]"]), "more than once"),
        ("estimator", about_header(inputs=["x[0]", "nobody"]), "no parameter of the circuit"),
        ("estimator", about_header(inputs="x"), "must be"),
        ("estimator", about_header(memory=-1), "memory"),
        ("estimator", about_header(memory=True), "must be"),
        ("estimator", about_header(type="other"), "must be"),
        ("estimator", about_header(extra=1), "must be"),
        ("estimator", about_header(observables=[[[[[9, "Z"]], 1.0]]]), "it has an observable with the term"),
        ("estimator", about_header(observables=[[[[[0, "Q"]], 1.0]]]), "it has an observable with the term"),
        ("estimator", about_header(observables=[[[[[1, "Z"], [0, "Z"]], 1.0]]]), "it has an observable with the term"),
        ("estimator", about_header(observables=[[[[[0, "Z"]], float("nan")]]]), "it has an observable with the term"),
        ("estimator", about_header(observables=[]), "observables"),
        ("sampler", about_header(output_shape=[10**12]), "its table of outputs"),
        ("sampler", about_header(output_shape=[1]), "out of bounds"),
        ("sampler", about_header(output_shape=[]), "its table of outputs"),
        ("fidelity kernel", about_header(inputs=["x[1]"]), "but x\\[0\\] is neither"),
        ("fidelity kernel", about_header(inputs=["x[1]", "x[1]"]), "more than once"),
        ("fidelity kernel", about_header(evaluate_duplicates="some"), "evaluate_duplicates"),
        ("projected kernel", about_header(gamma=-1.0), "gamma"),
        ("projected kernel", about_header(gamma="wide"), "must be"),
        ("estimator", weights_bytes(np.ones(3)), "`weights` must have shape"),
        ("estimator", weights_bytes(np.ones((2, 1))), "`weights` must have shape"),
        ("estimator", weights_bytes(np.array([1, np.nan])), "must hold finite numbers"),
        ("estimator", weights_bytes(np.array([1j, 2])), "must hold real numbers"),
        ("estimator", weights_bytes(np.array([True, False])), "must hold real numbers"),
        ("estimator", circuit_bytes(0, b"q"), "its circuit is no QPY"),
        ("estimator", circuit_bytes(6, b"\x0d"), "version"),
        ("estimator", circuit_bytes(6, b"\x12"), "version"),
        ("estimator", circuit_bytes(11, b"\0\0\0\0\0\0\0\2"), "one circuit"),
        ("estimator", circuit_bytes(11, b"\0\0\0\0\0\0\0\0"), "one circuit"),
        ("estimator", circuit_bytes(28 + 5, BILLIONS), "states more qubits"),
        ("estimator", circuit_bytes(28 + 9, BILLIONS), "states more qubits"),
        ("estimator", circuit_bytes(28 + 13, BILLIONS * 2), "too early"),
        ("estimator", circuit_bytes(28 + 25, BILLIONS * 2), "too early"),
    ],
)
def test_what_was_edited_is_refused(name, edit, message, tmp_path):
    """With a right checksum."""
    (tmp_path / "f").write_bytes(edited(name, edit))
    with pytest.raises(ValueError, match=f"f' is damaged, or was not written by qmljax: .*({message})"):
        qj.load(tmp_path / "f")


def test_gates_that_few_bytes_stand_for_are_refused(monkeypatch):
    """All definitions written out: 3 * 3 * 3 gates here; and an evolution of 10**9 repetitions."""
    nested = QuantumCircuit(1, name="g0")
    for k in range(3):
        outer = QuantumCircuit(1, name=f"g{k + 1}")
        for _ in range(3):
            outer.append(nested.to_gate(), [0]) if k else outer.h(0)
        nested = outer
    evolved = QuantumCircuit(1)
    evolved.append(PauliEvolutionGate(SparsePauliOp("X"), 1.0, synthesis=LieTrotter(reps=10**9)), [0])
    nested, evolved = map(qpy_of, (nested, evolved))
    with pytest.raises(ValueError, match="more than 10000000 operations"):
        check_limits(evolved)
    for limit in (26, 27):
        monkeypatch.setattr(qpy_limits, "OPERATIONS", limit)
        with contextlib.nullcontext() if limit == 27 else pytest.raises(ValueError, match="more than 26 operations"):
            check_limits(nested)


def qpy_of(circuit: QuantumCircuit) -> bytes:
    file = io.BytesIO()
    qpy.dump(circuit, file, version=17)
    return file.getvalue()


def test_a_vector_of_billions_of_elements_is_refused():
    circuit = QuantumCircuit(1)
    circuit.ry(X[0] + 1, 0)  # in an expression
    content = qpy_of(circuit)
    check_limits(content)
    size = struct.pack("!HQ", 1, 2)  # of the vector's name, and of the vector
    assert content.count(size) == 1
    with pytest.raises(ValueError, match="states more qubits, bits or parameters"):
        check_limits(content.replace(size, struct.pack("!HQ", 1, 2 * 10**9)))
