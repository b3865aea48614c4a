"""The benchmark suite: its circuits, its contestants at tiny problems, its runner and its report.

The oracle is Qiskit's `Statevector` and `Operator`, with finite differences in float64. Contestants that are not
installed are skipped.
"""

import itertools
import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import DensityMatrix, Operator, SparsePauliOp, Statevector, SuperOp

from benchmarks import _cases, _circuits, _limits, _report, _runner, _worker
from benchmarks.__main__ import main
from benchmarks._cases import Problem
from benchmarks.contestants import CONTESTANTS

W, X = 0.7 * np.arange(1, 13), 0.3 + 0.4 * np.arange(3)
LIMITS = {"backend": "cpu", "device": "a CPU", "bandwidth": {"65536": 4e10, "268435456": 1e10}, "product": 1e11}


def qiskit_state(n, circuit, w=(), x=()):
    built, weights, inputs = _circuits.to_qiskit(n, circuit)
    values = dict(zip(weights, w, strict=True)) | dict(zip(inputs, x, strict=True))
    return Statevector(built.assign_parameters(values))


# Circuits.


def test_the_qnn_is_that_of_qiskit():
    n, reps = 3, 3
    features, ansatz = zz_feature_map(n, 2, "full"), real_amplitudes(n, reps=reps)
    right = Statevector(features.assign_parameters(X).compose(ansatz.assign_parameters(W)))
    assert np.allclose(qiskit_state(n, _circuits.qnn(n), W, X), right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", _circuits.RULES)
def test_lowered_gates_are_equal_up_to_a_phase(name):
    qubits, angles = _circuits.KINDS[name]
    gate = _circuits.Gate(name, tuple(range(qubits)), tuple(0.3 + 0.5 * k for k in range(angles)))
    matrices = []
    for gates in ([gate], _circuits.lowered([gate], [name])):
        circuit = QuantumCircuit(qubits)
        for g in gates:
            getattr(circuit, g.name)(*g.angles, *g.qubits)
        matrices.append(Operator(circuit))
    assert matrices[0].equiv(matrices[1])


def test_placed_angles():
    gates, places, computed = _circuits.placed(_circuits.qnn(2))
    w, x = [10.0, 11, 12, 13, 14, 15, 16, 17], [0.5, 0.25]
    angles = [a for g in _circuits.qnn(2)(w, x) for a in g.angles]
    array = [*w, *x, *(angles[k] for k in computed)]
    assert [array[k] for place in places for k in place] == angles
    assert [len(place) for place in places] == [len(g.angles) for g in gates]


def test_the_sizes_asked_for():
    sizes = {case.name: [p.size for p in case.problems] for case in _cases.CASES}
    assert sizes["training-step"] == sizes["input-gradients"] == ["4/32", "8/32", "8/256", "10/64", "12/32", "14/32"]
    assert sizes["gram-matrix"] == ["100/4", "500/8", "500/10", "500/12", "2000/10"]
    assert sum(1 for _ in _cases.problem("depth", "1000").circuit([0.0] * 20_000, [])) == 30_000
    kinds = {g.name for g in _cases.problem("random-circuits", "300").circuit([0.0] * 1000, [])}
    assert kinds == set(_circuits.KINDS)


# Contestants.

RANDOM = _circuits.recorded(_circuits.random_circuit(3, 9, 0))
TINY = {
    "step": Problem("training-step", "2/3", "step", 2, _circuits.qnn(2), 1, batch=3),
    "step_with_inputs": Problem("input-gradients", "2/3", "step_with_inputs", 2, _circuits.qnn(2), 1, batch=3),
    "torch_step": Problem("torch-training-step", "2/3", "torch_step", 2, _circuits.qnn(2), 1, batch=3),
    "gram": Problem("gram-matrix", "3/2", "gram", 2, _circuits.kernel(2), 1, batch=3),
    "feed_forward_gradient": Problem("feed-forward", "2", "feed_forward_gradient", 3, _circuits.teleported(2), 2),
    "forward": Problem("call-overhead", "2", "forward", 2, _circuits.ring_ansatz(2, 1), 1),
    "gradient": Problem(
        "ising-energy",
        "2",
        "gradient",
        2,
        _circuits.ising_ansatz(2, 2),
        1,
        observable=_cases.ising_energy(2),
    ),
    "hessian": Problem("hessian", "2", "hessian", 2, _circuits.ring_ansatz(2, 1), 1),
    "metric": Problem("metric-tensor", "2", "metric", 2, _circuits.ring_ansatz(2, 1), 1),
    "train": Problem("training-loop", "2/3", "train", 2, _circuits.qnn(2), 1, batch=3, steps=3, members=2),
    "values": Problem("primitives", "2/3", "values", 2, _circuits.qnn(2), 1, batch=3),
    "jacobian": Problem("primitives-backward", "2/3", "jacobian", 2, _circuits.qnn(2), 1, batch=3),
    "bound": Problem("bound-circuits", "2", "bound", 2, _circuits.ring_ansatz(2, 1), 1, members=3),
    "first_value": Problem("first-value", "3/9", "first_value", 3, RANDOM, 9),
    "first_gradient": Problem("first-gradient", "3/9", "first_gradient", 3, RANDOM, 9),
    "noisy_value": Problem("noisy-value", "2", "noisy_value", 2, _circuits.ring_ansatz(2, 2), 1),
    "trajectories": Problem("trajectories", "2", "trajectories", 2, _circuits.ring_ansatz(2, 1), 1),
    "trajectories_gradient": Problem(
        "trajectories-gradient", "2", "trajectories_gradient", 2, _circuits.ring_ansatz(2, 1), 1
    ),
    **{
        task: Problem("deep-trajectories", "2", task, 2, _circuits.chain_ansatz(2, 2), 1, members=members)
        for tasks, members in (("deep deep_traced", 1), ("ideal", 3))
        for name in tasks.split()
        for task in (name, f"{name}_gradient")
    },
    "noisy_step": Problem("noisy-training-step", "2/3", "noisy_step", 2, _circuits.qnn(2), 1, batch=3),
    "noisy_gradient": Problem("noisy-gradient", "2", "noisy_gradient", 2, _circuits.ring_ansatz(2, 2), 1),
    "grid": Problem("grid-search", "2/8", "grid", 2, _circuits.qnn(2), 1, batch=8, steps=3),
    "sample": Problem("sampling", "2", "sample", 2, _circuits.ring_ansatz(2, 1), 1),
}


def differences(f, at, h=1e-4):
    return np.stack([(f(at + h * unit) - f(at - h * unit)) / (2 * h) for unit in np.eye(len(at))])


def adam(gradient, w, steps, rate=0.01, b1=0.9, b2=0.999):
    m, v = 0 * w, 0 * w
    for t in range(1, steps + 1):
        g = gradient(w)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    return w


def depolarizing(p, num_qubits):
    """(1 - p) rho + p I / 2**n, on columns of rho one after the other."""
    size = 1 << num_qubits
    identity = np.eye(size).reshape(-1)
    return SuperOp((1 - p) * np.eye(size**2) + p / size * np.outer(identity, identity))


def noisy(problem, w, x=()):
    """<O> under depolarizing noise, by Qiskit's density matrices."""
    circuit, weights, inputs = _circuits.to_qiskit(problem.num_qubits, problem.circuit)
    values = dict(zip(weights, w, strict=True)) | dict(zip(inputs, x, strict=True))
    rho = DensityMatrix.from_label("0" * problem.num_qubits)
    for instruction in circuit.assign_parameters(values).data:
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        rho = rho.evolve(instruction.operation, qubits)
        if problem.task.startswith("deep"):
            rho = rho.evolve(depolarizing(_cases.RARE, 2), qubits) if len(qubits) == 2 else rho
            continue
        for q in qubits:
            rho = rho.evolve(depolarizing(_cases.STRENGTH, 1), [q])
    terms = [(letters, qubits, coefficient) for coefficient, letters, qubits in problem.observable]
    return rho.expectation_value(SparsePauliOp.from_sparse_list(terms, problem.num_qubits)).real


def right(problem):
    """What `run()` of a contestant should return, by Qiskit."""
    n, (w, x, y) = problem.num_qubits, problem.arrays("float64")
    state = partial(qiskit_state, n, problem.circuit)
    terms = [(letters, qubits, coefficient) for coefficient, letters, qubits in problem.observable]
    observable = SparsePauliOp.from_sparse_list(terms, n)

    def value(w, x=()):
        return state(w, x).expectation_value(observable).real

    def loss(w, x, value=value):
        return np.mean([(value(w, row) - target) ** 2 for row, target in zip(x.reshape(len(y), -1), y, strict=True)])

    starts = problem.starts("float64")
    match problem.task:
        case "step":
            return loss(w, x), differences(lambda w: loss(w, x), w)
        case "step_with_inputs" | "torch_step":
            in_inputs = differences(lambda x: loss(w, x), x.reshape(-1))
            return loss(w, x), (differences(lambda w: loss(w, x), w), in_inputs)
        case "gram":
            psi = np.array([state((), row).data for row in x])
            return np.abs(psi.conj() @ psi.T) ** 2
        case "forward" | "first_value":
            return value(w)
        case "gradient" | "first_gradient":
            return value(w), differences(value, w)
        case "noisy_step":
            under_noise = partial(loss, x=x, value=partial(noisy, problem))
            return under_noise(w), differences(under_noise, w)
        case "ideal":
            return [value(row) for row in starts]
        case "ideal_gradient":
            mean = np.mean([value(row) for row in starts])
            return mean, [differences(value, row) / len(starts) for row in starts]
        case "noisy_value" | "trajectories" | "deep" | "deep_traced":
            return noisy(problem, w)
        case "noisy_gradient" | "trajectories_gradient" | "deep_gradient" | "deep_traced_gradient":
            return noisy(problem, w), differences(partial(noisy, problem), w)
        case "feed_forward_gradient":  # the angles of teleported gates add up
            return np.cos(w.sum()), np.full(len(w), -np.sin(w.sum()))
        case "train":
            return [loss(adam(lambda w: differences(lambda w: loss(w, x), w), w, problem.steps), x) for w in starts]
        case "grid":
            losses = []
            for rate, (train, test) in itertools.product(_cases.RATES, problem.folds()):

                def slope(w, chosen=train):
                    return differences(lambda w: np.mean([(value(w, x[k]) - y[k]) ** 2 for k in chosen]), w)

                new = adam(slope, w, problem.steps, rate)
                losses.append(np.mean([(value(new, x[k]) - y[k]) ** 2 for k in test]))
            return losses
        case "values":
            return [value(w, row) for row in x]
        case "bound":
            return [value(row) for row in starts]
        case "jacobian":
            return [differences(lambda w, row=row: value(w, row), w) for row in x]
        case "hessian":
            return differences(lambda w: differences(value, w), w)
        case "metric":
            psi, tangents = state(w).data, differences(lambda w: state(w).data, w)
            berry = tangents.conj() @ psi
            return (tangents.conj() @ tangents.T - np.outer(berry, berry.conj())).real
        case "sample":
            return np.array([state(w).probabilities([q])[1] for q in range(n)])


@pytest.mark.parametrize(("name", "task"), [(c.name, task) for c in CONTESTANTS.values() for task in c.tasks])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("standard_promotion")
def test_contestants_are_right(name, task):
    if missing := CONTESTANTS[name].missing():
        pytest.skip(f"{', '.join(missing)} is not installed")
    problem = TINY[task]
    run = getattr(CONTESTANTS[name].module(), task)(problem)
    given, reference = (_worker.answer(problem, out) for out in (run(), right(problem)))
    assert _worker.error(given, reference) < _cases.case(problem.case).tolerance


# The runner.


def test_a_wrong_answer_is_not_timed():
    problem = TINY["forward"]
    record = _worker.measure(problem, lambda: lambda: 0.5, 0.01, {"value": [0.4]})
    assert record["status"] == "wrong" and record["error"] == pytest.approx(0.25) and "steady" not in record
    assert _worker.measure(problem, lambda: lambda: np.nan, 0.01, {"value": [0.4]})["status"] == "wrong"
    record = _worker.measure(problem, lambda: lambda: 0.4, 0.01, {"value": [0.4]})
    assert record["status"] == "done" and record["steady"]["calls"] > 1


def test_a_process_that_does_not_finish_is_ended():
    problem = _cases.problem("call-overhead", "2")
    settings = _runner.Settings(limit=0.01)
    record = _runner.measure(_runner.Job(problem, "qmljax"), settings)
    assert record["status"] == "did not finish" and "not within" in record["detail"]


def test_the_reference_answers_are_up_to_date():
    known = json.loads(_runner.ANSWERS.read_text())
    assert {name: entry["fingerprint"] for name, entry in known.items()} == {
        f"{p.case} {p.size}": p.fingerprint for case in _cases.CASES for p in case.problems
    }


@pytest.fixture
def in_process(monkeypatch):
    """The runner asks this process instead of starting others."""

    def start(module, requests, limit, settings, environment=None):
        if module == "benchmarks._limits":
            return LIMITS, ""
        (asked,) = requests
        problem = _cases.problem(asked["case"], asked["size"])
        prepare = _worker.preparation(asked, problem)
        return _worker.measure(problem, prepare, asked["seconds"], asked["reference"]), ""

    monkeypatch.setattr(_runner, "_start", start)


def test_quick_run(in_process, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(CONTESTANTS["aer"].__class__, "missing", lambda self: ["aer"] if self.name == "aer" else [])
    results = tmp_path / "cpu.json"
    main(["--quick", "--only", "i", "--contestants", "qmljax", "aer", "--seconds", "0.05", "--output", str(results)])
    data = json.loads(results.read_text())
    (record,) = data["results"]
    assert (record["case"], record["size"], record["contestant"]) == ("call-overhead", "2", "qmljax")
    assert record["status"] == "done" and record["error"] < 1e-5
    assert record["steady"]["p10"] <= record["steady"]["median"] <= record["steady"]["p90"]
    assert data["missing"] == {"aer": ["aer"]} and "aer is skipped" in capsys.readouterr().out
    assert "What does a call cost?" in results.with_suffix(".md").read_text()

    # A second run replaces what it measures and leaves the rest.
    data["results"].append(record | {"case": "depth", "size": "1"})
    results.write_text(json.dumps(data))
    main(["--quick", "--only", "i", "--contestants", "qmljax", "--seconds", "0.05", "--output", str(results)])
    assert sorted(r["case"] for r in json.loads(results.read_text())["results"]) == ["call-overhead", "depth"]


def test_exported_programs(in_process, tmp_path):
    pytest.importorskip("flatbuffers")
    main(["export", str(tmp_path), "--only", "depth", "--quick"])
    assert [e["program"] for e in json.loads((tmp_path / "index.json").read_text())] == ["depth_1_qmljax.jaxexport"]
    results = tmp_path / "results.json"
    main(["run-exported", str(tmp_path), "--seconds", "0.05", "--output", str(results)])
    (record,) = json.loads(results.read_text())["results"]
    assert record["status"] == "done" and record["exported"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--only", "nothing"], "names 'nothing', but the cases are"), (["export"], "needs a folder")],
)
def test_mistakes_are_told(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


# The report.


def record(case, size, contestant, median=None, status="done", detail=""):
    measured = {"build": 0.5, "first": 1.0, "memory": 3 << 20, "error": 1e-6} if median else {}
    steady = {"steady": {"median": median, "p10": median, "p90": median, "samples": 3, "calls": 1}} if median else {}
    where = {"case": case, "size": size, "contestant": contestant, "status": status, "detail": detail}
    stamp = {"commit": "abc", "time": "2026-01-01T00:00:00+00:00", "exported": False, "threads": 2}
    return where | measured | steady | stamp


def test_report(tmp_path):
    path = tmp_path / "cpu.json"
    machine = {"cpu": "X", "cores": 2, "memory": "8 GiB", "device": "a CPU", "system": "Linux", "python": "3.12"}
    results = [
        record("large-gradient", "16", "qmljax", 0.010),
        record("large-gradient", "16", "tensorcircuit", 0.040),
        record("large-gradient", "16", "lightning", 0.025),
        record("large-gradient", "18", "qmljax", 0.050),
        record("large-gradient", "18", "tensorcircuit", None, "did not finish", "not within 120 s"),
        record("large-gradient", "18", "lightning", None, "wrong", "deviates by 1.0e+00 of the largest element"),
        record("sampling", "12", "qmljax", 0.0123),
    ]
    data = {"machine": machine, "limits": LIMITS, "versions": {"jax": "1"}, "missing": {"aer": ["qiskit_aer"]}}
    path.write_text(json.dumps(data | {"results": results}))
    readme = _report.README.read_bytes()
    _report.report(path)
    assert _report.README.read_bytes() == readme  # these results are not published
    page = path.with_suffix(".md").read_text()
    limit = 1e3 * _limits.seconds(_cases.problem("large-gradient", "16"), LIMITS)
    assert f"| 16 | 10 | 40 | 25 | 2.5 | {limit:.3g} | {100 * limit / 10:.2g}%" in page
    assert "| 18 | 50 | *did not finish* | *wrong* |  |" in page
    assert "- tensorcircuit, 18: did not finish, not within 120 s." in page
    assert "- aer is missing: qiskit_aer was not installed." in page
    assert "12.3" in page
    pytest.importorskip("matplotlib")
    assert (tmp_path / "cpu-large-gradient.png").stat().st_size > 10_000
    assert (tmp_path / "cpu-sampling.png").exists()


def test_reports_are_of_contestants_alone(tmp_path, monkeypatch):
    """`devices.json`, which another script writes and reports, lies beside them."""
    machine = {"cpu": "X", "cores": 2, "memory": "8 GiB", "device": "a GPU", "system": "Linux", "python": "3.12"}
    data = {
        "machine": machine,
        "limits": LIMITS,
        "versions": {},
        "missing": {},
        "results": [record("sampling", "12", "qmljax", 1)],
    }
    (tmp_path / "gpu.json").write_text(json.dumps(data))
    (tmp_path / "devices.json").write_text(json.dumps({"results": [{"program": "a"}]}))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{_report.BEGIN}\n{_report.END}\nafter\n")
    for module, name, value in ((_report, "RESULTS", tmp_path), (_report, "README", readme)):
        monkeypatch.setattr(module, name, value)
    main(["report"])
    assert (tmp_path / "gpu.md").exists() and not (tmp_path / "devices.md").exists()
    assert "[All tables and plots](results/gpu.md)" in readme.read_text() and "after" in readme.read_text()


def test_needs():
    forward, gradient = (Problem("", "", task, 5, _circuits.ring_ansatz(5, 2), 1) for task in ("forward", "gradient"))
    assert _limits.needs(forward) == (16 * 2 * 2**5, 8 * 10 * 2**5)
    assert _limits.needs(gradient) == (3 * 16 * 2 * 2**5, 3 * 8 * 10 * 2**5)


def test_results_are_written_whole_and_without_the_library(tmp_path):
    """A worker that measures another library has neither Qiskit nor JAX of ours in its memory."""
    script = (
        "import sys; from pathlib import Path; from benchmarks import _files\n"
        "_files.write_json(Path(sys.argv[1]), {'a': 1}, indent=1)\n"
        "print(sorted({'qmljax', 'jax', 'qiskit', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "f.json"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
    assert json.loads((tmp_path / "f.json").read_text()) == {"a": 1} and len(list(tmp_path.iterdir())) == 1
