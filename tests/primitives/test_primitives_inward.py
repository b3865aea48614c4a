"""`qmljax.primitives.Estimator` and `Sampler`. Oracles: closed forms, and Qiskit's reference primitives."""

import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import scipy.optimize
from circuits import CIRCUITS
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter, Qubit
from qiskit.circuit.library import (
    HamiltonianGate,
    PauliEvolutionGate,
    RVGate,
    efficient_su2,
    real_amplitudes,
    zz_feature_map,
)
from qiskit.exceptions import QiskitError
from qiskit.primitives import BindingsArray, StatevectorEstimator, StatevectorSampler
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import JobStatus
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp

from qmljax._circuit.parse import parse
from qmljax._models import compiled
from qmljax._models.functions import Expectation, Probabilities, expectation
from qmljax.primitives import Estimator, Sampler, _estimator, _run, _sampler


def ry(metadata: dict | None = None) -> QuantumCircuit:
    """cos t |00> + sin t |11>, of half the angle."""
    circuit = QuantumCircuit(2, metadata=metadata)
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    return circuit


def qnn(n: int = 3) -> QuantumCircuit:
    return zz_feature_map(n, reps=1).compose(real_amplitudes(n, reps=1))


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    return circuit.measure_all(inplace=False)


def values(circuit: QuantumCircuit, *shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(-3, 3, (*shape, circuit.num_parameters))


def made(n: int, *steps: Callable[[QuantumCircuit], Any], clbits: int = 0) -> QuantumCircuit:
    circuit = QuantumCircuit(n, clbits) if clbits else QuantumCircuit(n)
    for step in steps:
        step(circuit)
    return circuit


def nested_reset() -> QuantumCircuit:
    inner = made(2, lambda c: c.reset(0), lambda c: c.h(0), lambda c: c.cx(0, 1))
    return made(2, lambda c: c.append(inner.to_instruction(), [1, 0]))


def hamiltonian() -> QuantumCircuit:
    """A gate that has no definition while its time is a parameter: Qiskit runs it."""
    matrix = np.diag([1, 2, 3, 4]) + np.eye(4)[::-1]
    return made(2, lambda c: c.append(HamiltonianGate(matrix, Parameter("t")), [0, 1]))


def evolution() -> QuantumCircuit:
    gate = PauliEvolutionGate(SparsePauliOp(["XX", "ZI", "IY"]), time=Parameter("t"))
    return made(2, lambda c: c.h(0), lambda c: c.append(gate, [0, 1]))


RESETS = {
    "reset": made(2, lambda c: c.h(0), lambda c: c.cx(0, 1), lambda c: c.reset(0)),
    "reset of |0>": made(2, lambda c: c.reset(0), lambda c: c.reset(1), lambda c: c.h(0), lambda c: c.cx(0, 1)),
    "initialize": made(2, lambda c: c.initialize([0.6, 0, 0, 0.8])),
    "initialize in mid-circuit": made(
        3, lambda c: c.h(2), lambda c: c.initialize([0.6, 0, 0, 0.8], [0, 1]), lambda c: c.initialize("1", [2])
    ),
    "initialize an integer": made(3, lambda c: c.initialize(2, [0, 1])),
    "nested": nested_reset(),
}


# Estimator.


def same_estimates(ours: Any, theirs: Any) -> None:
    ours, theirs = ours.result(), theirs.result()
    assert len(ours) == len(theirs) and ours.metadata == theirs.metadata
    for a, b in zip(ours, theirs, strict=True):
        assert a.metadata == b.metadata
        assert a.data.shape == b.data.shape
        assert list(a.data.keys()) == list(b.data.keys())
        for key in a.data:
            assert type(a.data[key]) is np.ndarray and a.data[key].dtype == np.float64
            assert a.data[key].shape == b.data[key].shape
            np.testing.assert_allclose(a.data[key], b.data[key], rtol=0, atol=1e-12)


def test_estimator_in_closed_form():
    t = np.linspace(-3, 3, 7)
    result = Estimator().run([(ry(), [["IZ"], ["XX"], ["ZZ"]], t)]).result()[0]
    np.testing.assert_allclose(result.data.evs, [np.cos(t), np.sin(t), np.ones(7)], rtol=0, atol=1e-14)
    assert not jax.config.jax_enable_x64  # and yet in double precision


@pytest.mark.usefixtures("x64")
def test_estimator_with_x64():
    result = Estimator().run([(ry(), "IZ", 0.3)]).result()[0]
    np.testing.assert_allclose(result.data.evs, np.cos(0.3), rtol=0, atol=1e-15)


SHAPES = [  # of the observables, of the values
    ((), ()),
    ((), (4,)),
    ((3,), ()),
    ((3,), (3,)),
    ((3, 1), (4,)),
    ((1,), (5,)),
    ((2, 1, 3), (4, 1)),
    ((0,), ()),
    ((), (0,)),
    ((2, 1), (0,)),
]


@pytest.mark.parametrize("precision", [0.0, 0.2])
@pytest.mark.parametrize(("of_observables", "of_values"), SHAPES)
def test_estimator_broadcasts(of_observables, of_values, precision):
    rng = np.random.default_rng(0)
    circuit = qnn()
    labels = ["ZII", "XYZ", {"IXX": 0.5, "ZZI": -2.0}, SparsePauliOp(["YYI", "III"], [1.5, 0.25])]
    observables = np.empty(of_observables, object)
    for index in np.ndindex(of_observables):
        observables[index] = labels[rng.integers(len(labels))]
    pub = (circuit, observables if of_observables else "XYZ", values(circuit, *of_values), precision)
    same_estimates(Estimator(seed=5).run([pub]), StatevectorEstimator(seed=5).run([pub]))


@pytest.mark.parametrize("name", CIRCUITS)
def test_estimator_on_circuits(name):
    circuit = CIRCUITS[name]()
    n = circuit.num_qubits
    pub = (circuit, ["Z" * n, "X" + "I" * (n - 1), {"Y" * n: 0.3, "I" * n: 1.0}], values(circuit, 2, 1))
    if any(op.clbits for op in circuit.data):
        pub = (circuit.remove_final_measurements(inplace=False), *pub[1:])
    same_estimates(Estimator().run([pub]), StatevectorEstimator().run([pub]))


@pytest.mark.parametrize(
    "observable",
    [
        "XZ",
        Pauli("-XZ"),
        SparsePauliOp(["XZ", "ZZ", "XZ"], [1, 2, 3]),
        SparseObservable.from_list([("XZ", 0.5), ("YY", 2)]),
        {"XZ": 0.5, Pauli("ZZ"): 1.0},
        [["XZ", Pauli("ZZ")], [{"II": 2.0}, SparsePauliOp("XX")]],
        ObservablesArray([["XZ"], ["ZZ"]]),
    ],
)
@pytest.mark.parametrize(
    "bindings",
    [
        0.3,
        [0.3],
        [[0.3], [0.4]],
        {"t": [0.3, 0.4]},
        {Parameter("t"): 0.3},
        BindingsArray({("t",): [[[0.3], [0.4]]]}),
    ],
)
def test_estimator_takes_all_pubs(observable, bindings):
    pub = (ry({"name": "ry"}), observable, bindings, 0.1)
    same_estimates(Estimator(seed=1).run([pub]), StatevectorEstimator(seed=1).run([pub]))
    assert Estimator().run([pub]).result()[0].metadata["circuit_metadata"] == {"name": "ry"}


def test_bindings_by_name():
    """In any order, in several arrays."""
    circuit = real_amplitudes(2, reps=1)
    names = [p.name for p in circuit.parameters]
    array = values(circuit, 5)
    given = [
        {tuple(names): array},
        {tuple(names[::-1]): array[:, ::-1]},
        {(names[2], names[0]): array[:, [2, 0]], names[3]: array[:, 3], names[1]: array[:, 1:2]},
    ]
    right = StatevectorEstimator().run([(circuit, "XZ", array)]).result()[0].data.evs
    for result in Estimator().run([(circuit, "XZ", bindings) for bindings in given]).result():
        np.testing.assert_allclose(result.data.evs, right, rtol=0, atol=1e-12)


def test_estimator_takes_coerced_pubs_and_generators():
    pubs = [EstimatorPub.coerce((ry(), "ZZ", t)) for t in (0.1, [[0.2], [0.3]])]
    same_estimates(
        Estimator(seed=1).run((p for p in pubs), precision=0.5), StatevectorEstimator(seed=1).run(pubs, precision=0.5)
    )


def test_estimator_without_parameters():
    bell = made(2, lambda c: c.h(0), lambda c: c.cx(0, 1))
    shaped = EstimatorPub.coerce((bell, "XX", BindingsArray({}, shape=(4,)), 0.1))
    pubs = [(bell, ["XX", "ZI"]), (bell, "ZZ", None), (bell, "ZZ", [], 0.1), shaped, (QuantumCircuit(1), "Z")]
    same_estimates(Estimator(seed=2).run(pubs), StatevectorEstimator(seed=2).run(pubs))


@pytest.mark.parametrize("seed", [3, lambda: np.random.default_rng(3)])
def test_noise_is_that_of_qiskit(seed):
    """An integer starts again with every pub; a generator goes on, also through the pubs that Qiskit runs."""
    pubs = [(qnn(), ["ZII", "IXI"], values(qnn(), 2), precision) for precision in (0.3, 0.0, None, 1e-3)]
    pubs.insert(2, (hamiltonian(), ["ZZ", "ZI"], [0.7], 0.2))
    pubs.insert(1, (RESETS["nested"], ["ZZ", "XI"], None, 0.0))
    seeds = [seed() if callable(seed) else seed for _ in range(2)]
    same_estimates(
        Estimator(0.1, seeds[0]).run(pubs), StatevectorEstimator(default_precision=0.1, seed=seeds[1]).run(pubs)
    )
    same_estimates(
        Estimator(seed=seeds[0]).run(pubs, precision=0.5), StatevectorEstimator(seed=seeds[1]).run(pubs, precision=0.5)
    )


def test_noise_without_a_seed():
    estimator = Estimator(default_precision=0.1)
    evs = [estimator.run([(ry(), "ZZ", 0.0)]).result()[0].data.evs for _ in range(2)]
    assert evs[0] != evs[1] and np.abs(np.array(evs) - 1).max() < 1


@pytest.mark.parametrize("name", sorted(set(RESETS) - {"reset"}))
def test_resets_are_those_of_qiskit(name):
    circuit = RESETS[name]
    n = circuit.num_qubits
    pub = (circuit, ["Z" * n, "X" * n, "Z" + "I" * (n - 1)])
    for precision in (0.0, 0.1):
        seeds = [np.random.default_rng(4) for _ in range(2)]
        for of_ours, of_theirs in ((4, 4), seeds, seeds):
            same_estimates(
                Estimator(seed=of_ours).run([(*pub, None, precision)]),
                StatevectorEstimator(seed=of_theirs).run([(*pub, None, precision)]),
            )


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # in Qiskit
def test_evolution_is_exact():
    pub = (evolution(), ["ZZ", "XI", "YI"], [0.7])
    same_estimates(Estimator().run([pub]), StatevectorEstimator().run([pub]))


@pytest.mark.parametrize("circuit", [hamiltonian(), made(1, lambda c: c.append(RVGate(Parameter("a"), 0.1, 0.2), [0]))])
def test_qiskit_runs_what_has_no_closed_form(circuit):
    n = circuit.num_qubits
    pub = (circuit, ["Z" * n, "X" * n], [[0.7], [0.2]])
    same_estimates(Estimator().run([pub]), StatevectorEstimator().run([pub]))


def test_only_these_run_on_qiskit(monkeypatch):
    class Refused:
        def __init__(self, *arguments: Any, **given: Any):
            raise AssertionError("Qiskit is asked")

    monkeypatch.setattr(_estimator, "StatevectorEstimator", Refused)
    monkeypatch.setattr(_sampler, "StatevectorSampler", Refused)
    for name in ("reset", "reset of |0>", "initialize", "initialize an integer", "nested"):
        n = RESETS[name].num_qubits
        assert Estimator().run([(RESETS[name], "Z" * n)]).status() is JobStatus.DONE
        assert Sampler().run([measured(RESETS[name])]).status() is JobStatus.DONE
    assert Estimator().run([(evolution(), "ZZ", 0.1)]).status() is JobStatus.DONE
    with pytest.raises(AssertionError, match="Qiskit is asked"):
        Estimator().run([(hamiltonian(), "ZZ", 0.1)]).result()
    with pytest.raises(AssertionError, match="Qiskit is asked"):
        Sampler().run([(measured(hamiltonian()), 0.1)]).result()


def test_projectors():
    """<1 in Z0> is sin(t/2)**2. Qiskit's estimator refuses projectors."""
    evs = Estimator().run([(ry(), ["I1", "00", "++"], 0.5)]).result()[0].data.evs
    np.testing.assert_allclose(evs, [np.sin(0.25) ** 2, np.cos(0.25) ** 2, (1 + np.sin(0.5)) / 4], rtol=0, atol=1e-15)


@pytest.mark.parametrize("of_values", [(1,), (70,), (2, 1)])
def test_many_observables(of_values, monkeypatch):
    """More than 64 different ones are evaluated in states, without a function of observables."""
    calls = count(monkeypatch, Expectation, "__call__")
    circuit = made(4, lambda c: c.append(ry(), [1, 3]), lambda c: c.h(3))  # two idle qubits
    rng = np.random.default_rng(0)
    labels = ["".join(rng.choice(list("IXYZ"), 4)) for _ in range(60)] * 3
    observables = [{label: 1.0 + k % 7, "ZIZI": 0.5} for k, label in enumerate(labels[:70])]
    pub = (circuit, observables, values(circuit, *of_values), 0.1)
    same_estimates(Estimator(seed=1).run([pub]), StatevectorEstimator(seed=1).run([pub]))
    nothing = (QuantumCircuit(2), [{a + b: 1.0 + k for a in "IXZ" for b in "IYZ"} for k in range(70)])
    same_estimates(Estimator().run([nothing]), StatevectorEstimator().run([nothing]))
    assert not calls
    Estimator().run([(circuit, observables[:1], values(circuit))])
    assert len(calls) == 1


BAD_PUBS = [
    (ValueError, lambda c: c),
    (ValueError, lambda c: (c,)),
    (ValueError, lambda c: (c, "ZZ", [0.1], 0.1, 0.1)),
    (ValueError, lambda c: (c, "Z", [0.1])),
    (ValueError, lambda c: (c, "ZZ")),
    (ValueError, lambda c: (c, "ZZ", {"t": 0.1, "u": 0.2})),
    (ValueError, lambda c: (c, ["ZZ", "XX"], np.zeros((3, 1)))),
    (ValueError, lambda c: (c, "ZZ", [0.1], -1.0)),
    (ValueError, lambda c: (c, SparsePauliOp("ZZ", 1j), [0.1])),
    (TypeError, lambda c: (c, "ZZ", [0.1], "a")),
    (TypeError, lambda c: (c, "ZZ", [1j])),
    (TypeError, lambda c: (c, 3, [0.1])),
]


@pytest.mark.parametrize("cls", [Estimator, StatevectorEstimator])
@pytest.mark.parametrize(("error", "pub"), BAD_PUBS)
def test_estimator_refuses(cls, error, pub):
    with pytest.raises(error):
        cls().run([pub(ry())])


@pytest.mark.parametrize("cls", [Estimator, StatevectorEstimator])
@pytest.mark.parametrize(
    ("error", "pub"),
    [
        (QiskitError, (measured(ry()), "ZZ", [0.1])),
        (KeyError, (ry(), "ZZ", {"u": 0.1})),
        (RuntimeError, (ry(), "ZZ", np.nan)),
        (ZeroDivisionError, (ry(), "ZZ", np.inf)),
    ],
)
def test_estimator_fails_as_a_job(cls, error, pub):
    job = cls().run([(ry(), "ZZ", 0.1), pub])
    with pytest.raises(error):
        job.result()
    assert job.status() is JobStatus.ERROR and not job.done()


# Few calls, few compilations.


def count(monkeypatch: Any, cls: type, name: str) -> list:
    """A list that grows with every call of a method."""
    calls, method = [], getattr(cls, name)

    def counted(self: Any, *arguments: Any) -> Any:
        calls.append([getattr(a, "shape", None) for a in arguments])
        return method(self, *arguments)

    monkeypatch.setattr(cls, name, counted)
    return calls


def test_all_bindings_are_one_call(monkeypatch):
    calls = count(monkeypatch, Expectation, "__call__")
    circuit = qnn()
    result = Estimator().run([(circuit, ["ZII", "IXI"], values(circuit, 100, 1))]).result()
    assert result[0].data.evs.shape == (100, 2) and calls == [[(112, circuit.num_parameters)]]
    pubs = [(circuit, "ZII", row) for row in values(circuit, 100)]  # as Qiskit ML asks for gradients
    same_estimates(Estimator().run(pubs), StatevectorEstimator().run(pubs))
    assert len(calls) == 2
    parsed = []
    monkeypatch.setattr(_run, "parse", lambda circuit, **given: parsed.append(circuit) or parse(circuit, **given))
    Estimator().run(pubs).result()
    assert len(parsed) == 1  # what takes longest, where there is little to compute
    calls = count(monkeypatch, Probabilities, "__call__")
    pubs = [(measured(circuit), values(circuit, 7))] * 10
    Sampler().run(pubs).result()
    assert calls == [[(80, circuit.num_parameters)]]


def test_equal_circuits_share_a_compiled_function(monkeypatch):
    monkeypatch.setattr(compiled, "FIRST", 0)  # the first answers are by a program that is there
    traces = count(monkeypatch, Expectation, "_trace")

    def run(rows: int) -> None:
        circuit = efficient_su2(3, reps=1)
        circuit.rx(0.123, 0)  # no other test has this circuit
        Estimator().run([(circuit, ["ZZZ", "XII"], values(circuit, rows, 1))])

    built = []
    monkeypatch.setattr(_estimator, "expectation", lambda *given: built.append(given) or expectation(*given))
    run(9)
    assert len(traces) == 1
    run(9)
    run(10)  # padded to the same size
    assert len(traces) == len(built) == 1
    run(11)
    assert len(traces) == 2


def test_sizes_of_batches_are_few():
    sizes = {count: _run._size(count) for count in range(1, 1025)}
    assert all(count <= size <= max(count, 1.25 * count) for count, size in sizes.items())
    assert len(set(sizes.values())) == 8 + 4 * 7


def test_batches_are_as_large_as_the_memory_allows(monkeypatch):
    circuit = qnn()
    calls = count(monkeypatch, Expectation, "__call__"), count(monkeypatch, Probabilities, "__call__")
    monkeypatch.setattr(_run, "MEMORY", 16 * 2**3 * 4)  # four states of three qubits
    pub = (circuit, "ZXZ", values(circuit, 10))
    same_estimates(Estimator().run([pub]), StatevectorEstimator().run([pub]))
    pub = (measured(circuit), values(circuit, 10))
    same_outcomes(Sampler(seed=1).run([pub]), StatevectorSampler(seed=1).run([pub]))
    assert [len(c) for c in calls] == [3, 3]


def test_jobs():
    job = _run.Job(threading.get_ident)
    assert job.result() == threading.get_ident()  # settings of JAX by `with` reach no other thread
    assert (job.status(), job.done(), job.in_final_state()) == (JobStatus.DONE, True, True)
    assert (job.running(), job.cancelled(), job.cancel()) == (False, False, False)
    assert isinstance(job.job_id(), str) and job.job_id() != _run.Job(int).job_id()


def test_settings_can_be_read():
    assert (Estimator(0.5, 3).default_precision, Estimator(0.5, 3).seed) == (0.5, 3)
    assert (Estimator().default_precision, Estimator().seed) == (0.0, None)
    assert (Sampler(50, 3).default_shots, Sampler(50, 3).seed) == (50, 3)
    assert (Sampler().default_shots, Sampler().seed) == (1024, None)


# Sampler.


def same_outcomes(ours: Any, theirs: Any) -> None:
    ours, theirs = ours.result(), theirs.result()
    assert len(ours) == len(theirs) and ours.metadata == theirs.metadata
    for a, b in zip(ours, theirs, strict=True):
        assert a.metadata == b.metadata
        assert a.data.shape == b.data.shape
        assert list(a.data.keys()) == list(b.data.keys())
        for key in a.data:
            assert a.data[key].num_bits == b.data[key].num_bits
            np.testing.assert_array_equal(a.data[key].array, b.data[key].array, strict=True)


def registers(steps: Callable[[QuantumCircuit], Any], *parts: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3, "q"), *parts)
    circuit.compose(qnn(3).assign_parameters(values(qnn(3))), inplace=True)
    steps(circuit)
    return circuit


def aliased() -> QuantumCircuit:
    """One classical bit in two registers, one in none."""
    bits = [Clbit() for _ in range(4)]
    circuit = QuantumCircuit(
        [Qubit(), Qubit()],
        bits,
        ClassicalRegister(bits=bits[:2], name="u"),
        ClassicalRegister(bits=bits[1:3], name="v"),
    )
    circuit.h([0, 1])
    circuit.measure([0, 0, 1], [0, 1, 3])
    return circuit


MEASURED = {
    "all": measured(qnn(3).assign_parameters(values(qnn(3)))),
    "active": made(3, lambda c: c.h([0, 2]), lambda c: c.measure_active()),
    "two registers": registers(
        lambda c: c.measure([2, 0, 1], [3, 1, 0]), ClassicalRegister(2, "a"), ClassicalRegister(2, "b")
    ),
    "wide register": registers(lambda c: c.measure([2, 0], [19, 4]), ClassicalRegister(21, "a")),
    "register of no bits": registers(lambda c: c.measure(1, 0), ClassicalRegister(0, "a"), ClassicalRegister(1, "b")),
    "idle qubit": made(3, lambda c: c.h(0), lambda c: c.measure([0, 2], [1, 0]), clbits=2),
    "far qubits": made(
        9, lambda c: c.rx(1.0, 8), lambda c: c.rx(2.0, 1), lambda c: c.measure([8, 1], [0, 1]), clbits=2
    ),
    "unmeasured": made(2, lambda c: c.h(0), clbits=2),
    "measured twice": made(2, lambda c: c.h(0), lambda c: c.measure([0, 0], [0, 1]), clbits=2),
    "overwritten": made(2, lambda c: c.h(0), lambda c: c.measure([0, 1], [0, 0]), clbits=1),
    "aliased": aliased(),
    "reset of |0>": measured(RESETS["reset of |0>"]),
    "initialize": measured(RESETS["initialize"]),
}


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("seed", [3, lambda: np.random.default_rng(3)])
def test_outcomes_are_those_of_qiskit(name, seed):
    pubs = [MEASURED[name], (MEASURED[name], None, 7), (MEASURED[name], [], 100)]
    seeds = [seed() if callable(seed) else seed for _ in range(2)]
    same_outcomes(Sampler(seed=seeds[0]).run(pubs), StatevectorSampler(seed=seeds[1]).run(pubs))


@pytest.mark.parametrize("seed", [3, lambda: np.random.default_rng(3)])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (1, 1)])
def test_outcomes_of_bindings(shape, seed):
    """A generator goes on from binding to binding and from pub to pub, whichever circuits are batched."""
    a, b = measured(qnn()), measured(real_amplitudes(2, reps=1))
    pubs = [(a, values(a, *shape)), (b, values(b, *shape)), (a, values(a, *shape)), MEASURED["all"]]
    seeds = [seed() if callable(seed) else seed for _ in range(2)]
    same_outcomes(Sampler(60, seeds[0]).run(pubs), StatevectorSampler(default_shots=60, seed=seeds[1]).run(pubs))


def test_sampler_takes_all_pubs():
    circuit = measured(ry({"name": "ry"}))
    shaped = SamplerPub.coerce((MEASURED["all"], BindingsArray({}, shape=(2, 2))))
    pubs = [
        (circuit, 0.3),
        (circuit, {"t": [0.3, 0.4]}, 5),
        (circuit, BindingsArray({"t": [[0.3]]})),
        SamplerPub.coerce((circuit, [0.3], 3)),
        (MEASURED["all"],),
        shaped,
    ]
    same_outcomes(Sampler(seed=1).run((p for p in pubs), shots=9), StatevectorSampler(seed=1).run(pubs, shots=9))


def test_distribution_of_outcomes():
    """P(11) = sin(t/2)**2, within 5 standard errors; and no two runs are the same without a seed."""
    shots, p = 20_000, np.sin(0.5) ** 2
    first, second = (Sampler().run([(measured(ry()), [1.0])], shots=shots).result()[0].data.meas for _ in range(2))
    counts = first.get_counts()
    assert counts.keys() == {"00", "11"}
    assert abs(counts["11"] / shots - p) < 5 * np.sqrt(p * (1 - p) / shots)
    assert first != second


def test_sampler_after_a_reset():
    """Qiskit collapses the state once for all shots, and without a seed: here each shot collapses."""
    counts = Sampler(seed=0).run([(measured(RESETS["reset"]), None, 1000)]).result()[0].data.meas.get_counts()
    assert set(counts) == {"00", "10"} and abs(counts["00"] - 500) < 5 * np.sqrt(250)
    evs = Estimator().run([(RESETS["reset"], ["ZI", "XX", "IZ", "ZZ"])]).result()[0].data.evs
    np.testing.assert_allclose(evs, [0, 0, 1, 0], atol=1e-12)  # Qiskit's are those of one collapse


def test_sampler_warns_of_no_registers():
    with pytest.warns(UserWarning, match="no output classical registers"):
        result = Sampler().run([(ry(), 0.3)]).result()
    assert len(result[0].data) == 0


@pytest.mark.parametrize("cls", [Sampler, StatevectorSampler])
@pytest.mark.parametrize(
    ("error", "pub"),
    [
        (ValueError, lambda c: c),
        (ValueError, lambda c: (c, [0.1, 0.2, 0.3], 5, 5)),
        (ValueError, lambda c: (c, {"t": 0.1, "u": 0.2})),
        (ValueError, lambda c: (c, [0.1], 0)),
        (TypeError, lambda c: (c, [0.1], 1.0)),
        (TypeError, lambda c: (c, [0.1], True)),
        (TypeError, lambda c: (c, [1j])),
    ],
)
def test_sampler_refuses(cls, error, pub):
    with pytest.raises(error):
        cls().run([pub(measured(ry()))])


@pytest.mark.parametrize("cls", [Sampler, StatevectorSampler])
@pytest.mark.parametrize(
    ("error", "match", "pub"),
    [
        (KeyError, "no parameter", (measured(ry()), {"u": 0.1})),
        (RuntimeError, "NaN", (measured(ry()), np.nan)),
    ],
)
def test_sampler_fails_as_a_job(cls, error, match, pub):
    job = cls().run([MEASURED["all"], pub])
    with pytest.raises(error, match=match):
        job.result()
    assert job.status() is JobStatus.ERROR


# The code of others.


def test_a_variational_eigensolver():
    """The loop of Qiskit's VQE tutorial: SciPy's COBYLA over an estimator."""
    energy = SparsePauliOp(["ZZ", "XI", "IX"], [-1.0, -0.5, -0.5])
    ansatz = efficient_su2(2, reps=1)
    estimator = Estimator()

    def cost(params: np.ndarray) -> float:
        return float(estimator.run([(ansatz, energy, params)]).result()[0].data.evs)

    start = np.random.default_rng(0).uniform(-1, 1, ansatz.num_parameters)
    found = scipy.optimize.minimize(cost, start, method="COBYLA", options={"maxiter": 600, "tol": 1e-8})
    np.testing.assert_allclose(found.fun, np.linalg.eigvalsh(energy.to_matrix())[0], rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestQiskitMachineLearning:
    """Its own classes, on our primitives and on its defaults."""

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("qiskit_machine_learning")

    def test_estimator_qnn(self, monkeypatch):
        from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
        from qiskit_machine_learning.neural_networks import EstimatorQNN

        feature_map, ansatz = zz_feature_map(2), real_amplitudes(2, reps=1)
        rng = np.random.default_rng(0)
        x, w = rng.uniform(-1, 1, (3, 2)), rng.uniform(-1, 1, ansatz.num_parameters)
        calls = count(monkeypatch, Expectation, "__call__")
        results = []
        for estimator in (Estimator(), StatevectorEstimator()):
            model = EstimatorQNN(
                circuit=feature_map.compose(ansatz),
                estimator=estimator,
                observables=[SparsePauliOp("ZI"), SparsePauliOp("IX")],
                input_params=feature_map.parameters,
                weight_params=ansatz.parameters,
                gradient=ParamShiftEstimatorGradient(estimator),
                input_gradients=True,
                default_precision=0.0,
            )
            results.append((model.forward(x, w), *model.backward(x, w)))
        assert len(calls) == 4  # forward and backward, each once for each observable
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)

    def test_estimator_qnn_by_default(self):
        from qiskit_machine_learning.neural_networks import EstimatorQNN

        circuit = ry()
        model = EstimatorQNN(circuit=circuit, estimator=Estimator(seed=1), weight_params=circuit.parameters)
        assert np.abs(model.forward(None, [0.3]) - 1).max() < 0.1  # ZZ is 1; its default precision is 0.015625
        assert np.abs(model.backward(None, [0.3])[1]).max() < 0.1

    def test_fidelity_quantum_kernel(self, monkeypatch):
        from qiskit_machine_learning.kernels import FidelityQuantumKernel
        from qiskit_machine_learning.state_fidelities import ComputeUncompute

        x = np.random.default_rng(0).uniform(0, 1, (5, 2))
        calls = count(monkeypatch, Probabilities, "__call__")
        ours, theirs = (
            FidelityQuantumKernel(
                feature_map=zz_feature_map(2), fidelity=ComputeUncompute(sampler=sampler(seed=7))
            ).evaluate(x)
            for sampler in (Sampler, StatevectorSampler)
        )
        np.testing.assert_array_equal(ours, theirs)
        assert len(calls) == 1  # ten pairs of points


# Wrong calls, and the exact mode.


@pytest.mark.parametrize("precision", [float("nan"), -0.1, "a", True, float("inf"), [0.1]], ids=repr)
def test_precisions_that_are_none(precision):
    circuit = QuantumCircuit(1)
    with pytest.raises((TypeError, ValueError), match="`default_precision` must be a"):
        Estimator(default_precision=precision)
    with pytest.raises((TypeError, ValueError), match="`precision` must be a"):
        Estimator().run([(circuit, "Z")], precision=precision)


@pytest.mark.parametrize("shots", [0, True, "a", 2.5, -1], ids=repr)
def test_shots_that_are_none(shots):
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises((TypeError, ValueError), match="`default_shots` must be"):
        Sampler(default_shots=shots)
    with pytest.raises((TypeError, ValueError), match="`shots` must be"):
        Sampler().run([circuit], shots=shots)


def test_more_shots_than_fit():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with pytest.raises(ValueError, match="`shots` must fit the memory.*Sample in parts"):
        Sampler().run([circuit], shots=10**18)


@pytest.mark.parametrize("seed", ["a", -1, 1.5, True, pytest.param(object(), id="object")], ids=repr)
def test_seeds_that_are_none(seed):
    for primitive in (Estimator, Sampler):
        with pytest.raises(TypeError, match="`seed` must be an integer from 0 on"):
            primitive(seed=seed)


def test_an_exact_sampler_draws_nothing():
    """Oracle: the closed form cos**2 and sin**2 of half the angle."""
    angle, circuit = Parameter("t"), QuantumCircuit(2)
    circuit.ry(angle, 1)
    first, second = ClassicalRegister(1, "first"), ClassicalRegister(2, "second")
    circuit.add_register(first, second)
    circuit.measure(1, first[0]), circuit.measure(0, second[0]), circuit.measure(1, second[1])
    angles = np.array([[0.3], [1.1], [np.pi / 2]])
    for shots in (1, 7, 1000):
        result = Sampler(exact=True).run([(circuit, angles)], shots=shots).result()[0]
        one = np.sin(angles[:, 0] / 2) ** 2
        probabilities = result.metadata["probabilities"]
        np.testing.assert_allclose(probabilities["first"], np.stack([1 - one, one], -1), rtol=0, atol=1e-12)
        expected = np.stack([1 - one, 0 * one, one, 0 * one], -1)
        np.testing.assert_allclose(probabilities["second"], expected, rtol=0, atol=1e-12)
        for k, p in enumerate(one):
            counts = result.data.second.get_int_counts(k)
            assert sum(counts.values()) == shots
            assert abs(counts.get(2, 0) - shots * p) < 1
            assert result.data.first.get_int_counts(k).get(1, 0) == counts.get(2, 0)


def test_what_an_exact_sampler_refuses():
    with pytest.raises(ValueError, match="`exact` draws nothing"):
        Sampler(exact=True, seed=1)
    circuit = QuantumCircuit(2, 1)
    circuit.append(HamiltonianGate(np.eye(4), Parameter("t")), [0, 1]), circuit.measure(0, 0)
    with pytest.raises(ValueError, match="An exact Sampler needs circuits that qmljax simulates"):
        Sampler(exact=True).run([(circuit, 0.1)]).result()


# Statistics, at fixed seeds. Oracle: the moments of the binomial and the normal distribution.


def test_the_bits_of_a_sampler_are_fair_and_independent():
    shots, circuit = 40_000, QuantumCircuit(20)
    circuit.h(range(20)), circuit.measure_all()
    bits = Sampler(seed=3).run([circuit], shots=shots).result()[0].data.meas.to_bool_array().astype(float)
    five = 5 / shots**0.5  # standard deviations, where that of a bit is 1/2
    assert abs(bits.mean(axis=0) - 0.5).max() < five / 2
    correlation = np.corrcoef(bits.T) - np.eye(20)
    assert abs(correlation).max() < five


def test_rare_outcomes_of_a_sampler():
    shots, p, circuit = 1_000_000, 1e-5, QuantumCircuit(1)
    circuit.ry(2 * np.arcsin(p**0.5), 0), circuit.measure_all()
    counts = [
        Sampler(seed=k).run([circuit], shots=shots).result()[0].data.meas.get_counts().get("1", 0) for k in range(9)
    ]
    assert abs(np.sum(counts) - 9 * shots * p) < 5 * (9 * shots * p) ** 0.5
    assert len(set(counts)) > 1


def test_the_noise_of_an_estimator_has_its_precision():
    circuit, precision, size = QuantumCircuit(1), 0.3, 20_000
    circuit.ry(0.7, 0)
    estimator = Estimator(default_precision=precision, seed=5)
    evs = estimator.run([(circuit, [["Z", "X"]] * size)]).result()[0].data.evs
    noise = (evs - [np.cos(0.7), np.sin(0.7)]) / precision
    assert abs(noise.mean(axis=0)).max() < 5 / size**0.5
    assert abs(noise.var(axis=0) - 1).max() < 5 * (2 / size) ** 0.5
    assert abs((noise**3).mean(axis=0)).max() < 5 * (15 / size) ** 0.5
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 5 / size**0.5
