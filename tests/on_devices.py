"""One state over 8 virtual devices, in a process of its own: prints what was found, by name, as JSON.

`tests/_engine/test_shards.py` runs it once, and says what each must be. The number of devices has to be known before
JAX starts, so that this cannot be done in the process of the tests.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
import qiskit.circuit.library as lib
from circuits import bind, circuit_of, random_params
from jax.sharding import AxisType, Mesh
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Kraus, SparsePauliOp, Statevector, random_unitary

import qmljax as qj
from qmljax.analysis._collectives import collectives, each_collective
from qmljax.circuits import raw_feature_vector

Pairs = Iterator[tuple[str, Any]]


def mesh(*shape: int, kind: AxisType = AxisType.Auto) -> Mesh:
    names = ("q",) if len(shape) == 1 else ("b", "q")
    devices = np.array(jax.devices()[: int(np.prod(shape))]).reshape(shape)
    return Mesh(devices, names, axis_types=(kind,) * len(shape))


def random_circuit(n: int, gates: int, kinds: str, seed: int = 0) -> QuantumCircuit:
    """Rotations by 4 parameters, then random gates of some kinds."""
    rng, circuit, params = np.random.default_rng(seed), QuantumCircuit(n), ParameterVector("p", 4)
    for q in range(n):
        circuit.ry(params[q % 4], q)
        circuit.rz(params[(q + 1) % 4], q)
    for kind in rng.choice(kinds.split(), gates):
        a, b, c, *_ = rng.permutation(n).tolist()
        match kind:
            case "ry" | "rx" | "h" | "t" | "x":
                angle = [params[int(rng.integers(4))] * 0.7] if kind in ("ry", "rx") else []
                getattr(circuit, kind)(*angle, a)
            case "cx" | "swap":
                getattr(circuit, kind)(a, b)
            case "rzz" | "cp":
                getattr(circuit, kind)(params[int(rng.integers(4))], a, b)
            case "ccx":
                circuit.ccx(a, b, c)
            case "ccp":
                circuit.mcp(params[0], [a, b], c)
            case "dense":
                circuit.unitary(random_unitary(8, seed=int(rng.integers(99))).data, [a, b, c])
            case "diagonal":
                circuit.append(lib.DiagonalGate(np.exp(1j * rng.normal(size=8))), [a, b, c])
            case "monomial":
                circuit.unitary(np.eye(8)[rng.permutation(8)], [a, b, c])
    return circuit


def _layers(n: int, reps: int) -> QuantumCircuit:
    return lib.real_amplitudes(n, reps=reps)


CIRCUITS: dict[str, tuple[int, Callable[[], QuantumCircuit]]] = {  # log2 of the devices, and the circuit
    "a real circuit": (3, lambda: _layers(6, 2)),
    "a ring": (3, lambda: lib.efficient_su2(7, reps=2, entanglement="circular")),
    "sixteen levels, as a loop": (2, lambda: _layers(4, 16)),
    "a deep circuit": (2, lambda: _layers(5, 40)),
    "permutations of few bits": (2, lambda: random_circuit(7, 12, "ccx ry cx")),
    "permutations of all bits": (3, lambda: random_circuit(6, 24, "ccx monomial x", seed=2)),
    "matrices": (3, lambda: random_circuit(6, 8, "dense cx ry")),
    "diagonals": (2, lambda: random_circuit(5, 12, "diagonal ccp cp rzz t cx rx")),
    "everything": (3, lambda: random_circuit(7, 40, "ry rx h t x cx swap rzz cp ccx ccp dense diagonal monomial")),
    "basis states alone": (2, lambda: circuit_of(4, (lib.XGate(), [3]), (lib.CXGate(), [3, 1]))),
}


def states() -> Pairs:
    """Errors of amplitudes; of values, gradients and products with Hessians, against those of one device."""
    for name, (k, make) in CIRCUITS.items():
        circuit = make()
        params = random_params(circuit)
        exact = Statevector(bind(circuit, params)).data
        state = qj.statevector(circuit, mesh=mesh(1 << k))(params)
        yield f"{name}: amplitudes", _error(state, exact)
        yield f"{name}: lie on all devices", len({s.device for s in state.addressable_shards}) == 1 << k
    for name in ("a ring", "everything", "permutations of all bits"):
        k, make = CIRCUITS[name]
        circuit = make()
        n, params = circuit.num_qubits, random_params(circuit)
        labels = ["Z" * n, "X" * n, "XY" + "I" * (n - 2), "0+r-"[: n - 1] + "I" * (n - min(4, n - 1))]
        there, here = qj.expectation(circuit, labels, mesh=mesh(1 << k)), qj.expectation(circuit, labels, compile=True)
        exact = Statevector(bind(circuit, params))
        yield f"{name}: values", _error(there(params)[:3], [_value(exact, label) for label in labels[:3]])
        yield f"{name}: derivatives", _error(jax.jacrev(there)(params), jax.jacrev(here)(params))
    circuit = _layers(6, 2)
    params = random_params(circuit)
    energy = SparsePauliOp.from_list([("ZZIIII", 1.0), ("XIIIII", 0.4), ("IIIYIX", 2.0)])
    there, here = qj.expectation(circuit, energy, mesh=mesh(8)), qj.expectation(circuit, energy, compile=True)
    products = [jax.jvp(jax.grad(f), (params,), (params,))[1] for f in (there, here)]
    yield "products with Hessians", _error(*products)
    yield "forward mode", _error(jax.jacfwd(there)(params), jax.jacfwd(here)(params))
    slope = [float(there(params + h * params) - there(params - h * params)) / (2 * h) for h in (1e-5,)]
    yield "slope by finite differences", _error(jax.grad(there)(params) @ params, slope[0]) * 1e-6


def _value(state: Statevector, label: str) -> float:
    return float(state.expectation_value(SparsePauliOp(label)).real)


def _error(got: Any, exact: Any) -> float:
    got, exact = np.asarray(got), np.asarray(exact)
    assert got.shape == exact.shape, (got.shape, exact.shape)
    return float(np.abs(got - exact).max())


def builders() -> Pairs:
    """Everything that takes a mesh, with batches, on meshes of one axis and of two, of both kinds."""
    circuit = lib.efficient_su2(6, reps=1)
    params = np.stack([random_params(circuit, seed) for seed in range(4)])
    exact = np.stack([Statevector(bind(circuit, row)).data for row in params])
    p = np.abs(exact) ** 2
    rng = np.random.default_rng(0)
    many = SparsePauliOp(["".join(rng.choice(list("IXYZ"), 6)) for _ in range(60)], rng.normal(size=60))
    sums = [float(Statevector(row).expectation_value(many).real) for row in exact]
    meshes = {
        "one axis": {"mesh": mesh(8)},
        "two axes": {"mesh": mesh(2, 4), "state": "q"},
        "explicit": {"mesh": mesh(2, 4, kind=AxisType.Explicit), "state": ("q",)},
    }
    for where, given in meshes.items():
        with jax.set_mesh(given["mesh"]) if where == "explicit" else contextlib.nullcontext():
            there, here = qj.expectation(circuit, many, **given), qj.expectation(circuit, many, compile=True)
            yield f"{where}: long sums", _error(there(params), sums)
            slopes = [jax.grad(lambda x, f=f: f(x).sum())(params) for f in (there, here)]
            yield f"{where}: gradients of a batch", _error(*slopes)
            yield f"{where}: amplitudes", _error(qj.statevector(circuit, **given)(params), exact)
    yield "all probabilities", _error(qj.probabilities(circuit, **given)(params), p)
    marginal = np.moveaxis(p.reshape(4, *(2,) * 6), (6, 2), (2, 1)).reshape(4, 4, 16).sum(axis=2)
    yield "probabilities of two", _error(qj.probabilities(circuit, [0, 4], **given)(params), marginal)
    fidelity = qj.fidelity(circuit, circuit, **meshes["two axes"])
    yield "fidelities", _error(fidelity(params, params[1]), np.abs(exact @ exact[1].conj()) ** 2)
    drawn = np.asarray(qj.sample(circuit, 4000, **meshes["two axes"])(params, jax.random.key(1)))
    found = np.stack([np.bincount(row, minlength=64) for row in drawn])
    yield "chi squared of outcomes", float(((found - 4000 * p) ** 2 / (4000 * p)).sum() / (4 * 63))
    yield "equal parameters are drawn apart", bool((drawn[0] != drawn[2]).any())
    none = np.zeros((3, 0, circuit.num_parameters))
    empty = [qj.statevector(circuit, **given)(none).shape for given in meshes.values()]
    shots = qj.sample(circuit, 5, **meshes["two axes"])(none, jax.random.key(0))
    yield "empty batches", bool(empty == [(3, 0, 64)] * 3 and shots.shape == (3, 0, 5))
    many_terms = qj.expectation(circuit, many, **meshes["one axis"])
    yield "vmap", _error(jax.vmap(many_terms)(params), sums)
    yield from models(meshes)


def models(meshes: dict[str, Any]) -> Pairs:
    features, ansatz = lib.zz_feature_map(6, reps=1), _layers(6, 1)
    both, rng = features.compose(ansatz), np.random.default_rng(3)
    x, w = rng.uniform(-1, 1, (6, 6)), rng.uniform(-1, 1, ansatz.num_parameters)
    for memory in (1 << 29, 1 << 12):
        given = meshes["two axes"] | {"memory": memory}
        there, here = (qj.estimator_qnn(both, inputs=features.parameters, **g) for g in (given, {}))
        slopes = [jax.grad(lambda w, f=f: (f(w, x) ** 2).sum())(w) for f in (there, here)]
        yield f"a model in {memory} bytes", _error(there(w, x), here(w, x))
        yield f"its gradient in {memory} bytes", _error(*slopes)
    sampler = {"inputs": features.parameters, "interpret": lambda k: k % 3}
    there, here = (qj.sampler_qnn(both, **sampler, **g) for g in (meshes["one axis"], {}))
    yield "a model of probabilities", _error(there(w, x), here(w, x))
    loaded = raw_feature_vector(8).compose(_layers(3, 1))
    wide = QuantumCircuit(5)
    wide.compose(loaded, [1, 4, 2], inplace=True)
    wide.cx(4, 0)
    there, here = (qj.estimator_qnn(wide, ["ZZZZZ", "XIIII"], inputs=[], **g) for g in ({"mesh": mesh(4)}, {}))
    w = rng.uniform(-1, 1, there.num_weights)
    yield "loaded amplitudes", _error(there(w, np.zeros((1, 0))), here(w, np.zeros((1, 0))))
    yield "their derivatives", _error(*(jax.jacrev(f)(w, np.zeros((1, 0))) for f in (there, here)))


def sent() -> Pairs:
    """What the compiled programs send, and the memory that they take."""
    for name, circuit in (
        ("real", _layers(16, 2)),
        ("complex", lib.efficient_su2(16, reps=2, entanglement="circular")),
    ):
        function = qj.expectation(circuit, "Z" * 16, mesh=mesh(8))
        yield f"{name}: memory", [_memory(circuit, terms, name == "real") for terms in ("XZ", "XYZ")]
        params = random_params(circuit, dtype=np.float32)
        local = (2 if name == "complex" else 1) * 4 << 13
        forward, gradient = (jax.jit(f).lower(params).compile() for f in (function, jax.value_and_grad(function)))
        there, back = collectives(forward), collectives(gradient)
        kinds = [kind for kind, _ in each_collective(forward)]
        yield f"{name}: exchanges of a level", kinds.count("all-to-all") / 2
        yield f"{name}: states that a level sends", there["all-to-all"] / local / 2
        yield f"{name}: a gradient sends", back["all-to-all"] / there["all-to-all"]
        yield f"{name}: kinds of what is sent", sorted(back)
        yield f"{name}: bytes of sums", back["all-reduce"] - 4 * len(params)
        if name == "real":
            yield f"{name}: local states of memory of a batch", _memory(_layers(19, 1), "X", True, 2)
        yield f"{name}: local states of memory", gradient.memory_analysis().temp_size_in_bytes / local


def _memory(circuit: QuantumCircuit, letters: str, real: bool, batch: int = 1) -> float:
    """Local states that a gradient takes: of a field along several axes, or of couplings, which flip several bits."""
    n = circuit.num_qubits
    fields = [(a, [q], 1.0 + q / n) for a in letters for q in range(n)]
    couplings = [(2 * a, [q, (q + 1) % n], 1.0) for a in letters for q in range(n)]
    energy = SparsePauliOp.from_sparse_list(couplings if len(letters) > 2 else fields, n)
    function, params = qj.expectation(circuit, energy, mesh=mesh(8)), random_params(circuit, dtype=np.float32)
    params = np.stack([params] * batch) if batch > 1 else params
    gradient = jax.jit(jax.grad(lambda params: function(params).sum()))
    memory = gradient.lower(params).compile().memory_analysis().temp_size_in_bytes
    return memory / batch / ((1 if real else 2) * 4 << n - 3)


def refusals() -> Pairs:
    """What is said of what cannot be."""
    circuit = lib.efficient_su2(6, reps=1)
    calls: dict[str, Callable[[], Any]] = {
        "three devices": lambda: qj.expectation(circuit, "Z" * 6, mesh=mesh(3)),
        "too few qubits": lambda: qj.statevector(lib.efficient_su2(4), mesh=mesh(8)),
        "no such axis": lambda: qj.expectation(circuit, "Z" * 6, mesh=mesh(8), state="x"),
        "a large matrix": lambda: qj.statevector(
            circuit_of(6, (lib.UnitaryGate(random_unitary(16, seed=1).data), range(4))), mesh=mesh(8)
        ),
        "a batch that does not divide": lambda: qj.expectation(circuit, "Z" * 6, mesh=mesh(4, 2), state="q")(
            np.zeros((6, 24))
        ),
        "a backend": lambda: qj.estimator_qnn(
            circuit, inputs=[], mesh=mesh(8), backend=qj.Shots(10, jax.random.key(0))
        ),
    }
    for name, build in {
        "expectation": lambda c, **where: qj.expectation(c, "Z" * 6, **where),
        "probabilities": qj.probabilities,
        "sample": lambda c, **where: qj.sample(c, 10, **where),
        "statevector": qj.statevector,
        "fidelity": lambda c, **where: qj.fidelity(circuit, c, **where),
        "estimator_qnn": lambda c, **where: qj.estimator_qnn(c, inputs=[], **where),
        "sampler_qnn": lambda c, **where: qj.sampler_qnn(c, inputs=[], **where),
    }.items():
        calls[f"a channel in {name}"] = partial(build, _with_channel(name == "sample"), mesh=mesh(8))
    for name, call in calls.items():
        try:
            call()
        except (TypeError, ValueError) as error:
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield name, "nothing"


def _with_channel(hidden: bool) -> QuantumCircuit:
    """A channel on one of six qubits, or in an instruction on two of them."""
    inner = QuantumCircuit(2)
    inner.append(Kraus([np.eye(2) * 0.9**0.5, np.diag([0.1**0.5, -(0.1**0.5)])]).to_instruction(), [0])
    circuit = QuantumCircuit(6)
    circuit.append(inner.to_instruction(), [4, 2]) if hidden else circuit.compose(inner, [4, 2], inplace=True)
    return circuit


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    with jax.enable_x64(True):
        found = dict([*states(), *builders()])
    jax.config.update("jax_disable_most_optimizations", False)
    found |= dict([*sent(), *refusals()])
    json.dump(found, sys.stdout)
