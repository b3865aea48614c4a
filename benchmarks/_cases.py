"""The cases: each is a question, asked at several sizes. A size is a `Problem`, which says what to compute, not how.

To add a case, add it to `CASES`. If it asks for a new task, say in `TASKS` what that computes, and give contestants a
function of the task's name.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import _circuits
from benchmarks._circuits import Circuit

TASKS = {
    "step": "mean squared error of <O> over a batch, and its gradient in the weights",
    "step_with_inputs": "mean squared error of <O> over a batch, and its gradient in the weights and the inputs",
    "torch_step": "the same as step_with_inputs, by a layer of PyTorch",
    "gram": "fidelities of all pairs of points",
    "forward": "<O>",
    "gradient": "<O> and its gradient",
    "hessian": "the matrix of second derivatives of <O>",
    "metric": "the Fubini-Study metric tensor",
    "sample": "measurement outcomes",
    "train": "the loss after a number of steps of Adam",
    "values": "<O> at every point of a batch",
    "jacobian": "the gradient of <O> in the weights at every point of a batch",
    "first_value": "<O> of a circuit of numbers, another one in every call, which builds it",
    "first_gradient": "<O> of a circuit and its gradient, another circuit in every call, which builds it",
    "grid": "the losses on the folds left out, after training by each of some learning rates",
    "noisy_value": "<O> with depolarizing noise on every qubit of every gate",
    "noisy_gradient": "the same, and its gradient",
    "noisy_step": "mean squared error of the same over a batch, and its gradient in the weights",
    "trajectories": "the same value as the mean of some trajectories",
    "trajectories_gradient": "the same, and its gradient",
    "deep": "<O> with depolarizing noise after every CX, as the mean of some trajectories",
    "deep_gradient": "the same, and its gradient",
    "deep_traced": "the same value, drawn inside the compiled function",
    "deep_traced_gradient": "the same, and its gradient",
    "ideal": "<O> without noise, for as many sets of parameters",
    "ideal_gradient": "the mean of the same, and its gradient",
    "feed_forward_gradient": "<O> of a circuit whose measurements decide what follows, and its gradient",
    "bound": "<O> of circuits without parameters, other ones in every call",
}
SHOTS = 10**6
TRAJECTORIES = 1000
STRENGTH = 0.01  # of depolarizing noise, (1 - p) rho + p I/2
RARE = 0.001  # the same on two qubits, of the deep circuit
UNSEEN = 60  # circuits that are asked about one after the other
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)  # of learning
FOLDS = 4


class Term(NamedTuple):
    """One term of an observable: a coefficient, and a Pauli letter for each of some qubits."""

    coefficient: float
    letters: str
    qubits: tuple[int, ...]


Z0 = (Term(1.0, "Z", (0,)),)


def ising_energy(n: int) -> tuple[Term, ...]:
    bonds = [Term(1.0, "ZZ", (q, q + 1)) for q in range(n - 1)]
    return (*bonds, *(Term(-1.0, "X", (q,)) for q in range(n)))


def random_sum(n: int, terms: int) -> tuple[Term, ...]:
    """Random Pauli strings with normal coefficients."""
    rng = np.random.default_rng(terms)
    letters = rng.choice(list("IXYZ"), (terms, n))
    return tuple(
        Term(float(c), "".join(row[row != "I"]), tuple(np.flatnonzero(row != "I").tolist()))
        for c, row in zip(rng.normal(size=terms), letters, strict=True)
    )


def lithium_hydride() -> tuple[Term, ...]:
    """The molecule LiH on 10 qubits: 2 electrons in 5 orbitals of the basis STO-3G, at 1.5949 angstrom, Jordan-Wigner.

    Its lowest eigenvalue is -7.88218 hartree. `lih.json` has been computed once, by PennyLane's qchem.
    """
    labels = json.loads((Path(__file__).parent / "lih.json").read_text())
    terms = []
    for label, coefficient in labels.items():
        qubits = [q for q, letter in enumerate(reversed(label)) if letter != "I"]
        terms.append(Term(coefficient, "".join(label[-1 - q] for q in qubits), tuple(qubits)))
    return tuple(terms)


@dataclass(frozen=True)
class Problem:
    """What every contestant computes. `batch` is the number of samples or points; `scale` is the abscissa in plots."""

    case: str
    size: str
    task: str
    num_qubits: int
    circuit: Circuit
    scale: float
    batch: int = 1
    observable: tuple[Term, ...] = Z0
    steps: int = 0  # of training
    members: int = 1  # starts of training

    @cached_property
    def num_weights(self) -> int:
        return _circuits.parameter_counts(self.circuit)[0]

    @cached_property
    def num_inputs(self) -> int:
        return _circuits.parameter_counts(self.circuit)[1]

    def arrays(self, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (W,), inputs (batch, n_in) and targets (batch,): the same numbers in every dtype."""
        rng = np.random.default_rng(len(self.case) + self.num_qubits)
        w = rng.uniform(-np.pi, np.pi, self.num_weights)
        x = rng.uniform(0, np.pi, (self.batch, self.num_inputs))
        y = rng.choice([-1.0, 1.0], self.batch)
        w, x, y = (a.astype(np.float32).astype(dtype) for a in (w, x, y))
        return w, x, y

    def starts(self, dtype: str = "float32") -> np.ndarray:
        """The weights that each member starts from, (members, W)."""
        w = np.random.default_rng(0).uniform(-np.pi, np.pi, (self.members, self.num_weights))
        return w.astype(np.float32).astype(dtype)

    def unseen(self) -> list["Problem"]:
        """The same question to other circuits, the first of which is its own."""
        others, gates = [self], int(self.size.partition("/")[2])
        for seed in range(1, UNSEEN):
            circuit = _circuits.recorded(_circuits.random_circuit(self.num_qubits, gates, seed))
            others.append(replace(self, circuit=circuit))
            others[-1].num_weights  # noqa: B018 - which is counted now, not when time is taken
        return others

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Which samples to train with, and which to test with."""
        each = np.arange(self.batch)
        return [(each[each % FOLDS != k], each[each % FOLDS == k]) for k in range(FOLDS)]

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the answer may."""
        w, x, y = self.arrays()
        gates = list(self.circuit(w.tolist(), x[0].tolist()))
        text = repr((self.task, self.num_qubits, self.batch, self.observable, gates))
        if self.steps or self.members > 1:
            text += repr((self.steps, self.members, self.starts().tobytes()))
        return hashlib.sha256(text.encode() + w.tobytes() + x.tobytes() + y.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Case:
    """A question. `letter` is a short name, `axis` what the sizes are, `scale` the abscissa of the plot."""

    name: str
    letter: str
    question: str
    text: str
    axis: str
    scale: str
    problems: tuple[Problem, ...]
    tolerance: float = 1e-3  # of the largest element of its kind in an answer
    limit: float = 120.0  # seconds for a contestant, its imports and compilation included
    quick: bool = False
    peers: bool = True  # are peers asked?


LOOSE = 1e-2  # a tolerance for very many terms or gates, in float32

# What arithmetic grows with: each qubit has gates, which act on every amplitude of the batch.
WORK = "qubits x batch x 2^qubits"


def _batched(case: str, task: str, circuit, sizes: Sequence[tuple[int, int]]) -> tuple[Problem, ...]:
    return tuple(
        Problem(case, f"{n}/{batch}", task, n, circuit(n), scale=n * batch << n, batch=batch) for n, batch in sizes
    )


def _training(case: str, sizes: Sequence[tuple[int, int]], **options: int) -> tuple[Problem, ...]:
    return tuple(replace(p, **options) for p in _batched(case, "train", _circuits.qnn, sizes))


def _single(case: str, task: str, layers: int, qubits: Sequence[int]) -> tuple[Problem, ...]:
    return tuple(Problem(case, str(n), task, n, _circuits.ring_ansatz(n, layers), scale=1 << n) for n in qubits)


def _first(case: str) -> tuple[Problem, ...]:
    task = case.replace("-", "_")
    sizes = (4, 30), (6, 100), (8, 200), (10, 300), (12, 300)
    return tuple(
        Problem(
            case, f"{n}/{gates}", task, n, _circuits.recorded(_circuits.random_circuit(n, gates, 0)), scale=gates << n
        )
        for n, gates in sizes
    )


NOISY = (
    f"RY and RZ on every qubit and a ring of CX, 4 times, depolarizing noise of strength {STRENGTH} on each qubit of "
    "every gate after it"
)


def _noisy(case: str, sizes: Sequence[int]) -> tuple[Problem, ...]:
    task = case.replace("-", "_")
    return tuple(Problem(case, str(n), task, n, _circuits.ring_ansatz(n, 4), scale=4**n) for n in sizes)


def _deep() -> tuple[Problem, ...]:
    n, circuit = 14, _circuits.chain_ansatz(14, 30)
    tasks = {"ideal": "ideal", "key-of-numbers": "deep", "traced-key": "deep_traced"}
    tasks |= {f"{size}/gradient": f"{task}_gradient" for size, task in tasks.items()}
    every = Term(1.0, "Z" * n, tuple(range(n)))
    return tuple(
        Problem(
            "deep-trajectories",
            size,
            task,
            n,
            circuit,
            scale=place,
            batch=TRAJECTORIES,
            observable=(every,),
            members=TRAJECTORIES if size.startswith("ideal") else 1,
        )
        for place, (size, task) in enumerate(tasks.items(), start=1)
    )


def _batched_grid(sizes: Sequence[tuple[int, int]]) -> tuple[Problem, ...]:
    return tuple(replace(p, steps=100) for p in _batched("grid-search", "grid", _circuits.qnn, sizes))


QNN_SIZES = ((4, 32), (8, 32), (8, 256), (10, 64), (12, 32), (14, 32))
QNN = "zz_feature_map(n, reps=2, full), then real_amplitudes(n, reps=3); <Z> on qubit 0, mean squared error"
RING = "RY and RZ on every qubit and a ring of CX, 3 times; <Z> on qubit 0"

CASES = (
    Case(
        "training-step",
        "a",
        "How fast is a training step of a QNN?",
        f"{QNN}: value and gradient in the weights.",
        "qubits/batch",
        WORK,
        _batched("training-step", "step", _circuits.qnn, QNN_SIZES),
        quick=True,
    ),
    Case(
        "input-gradients",
        "b",
        "What do gradients in the inputs cost as well?",
        f"{QNN}: value and gradient in the weights and the inputs.",
        "qubits/batch",
        WORK,
        _batched("input-gradients", "step_with_inputs", _circuits.qnn, QNN_SIZES),
    ),
    Case(
        "data-reuploading",
        "c",
        "How fast is a training step with data re-uploading?",
        "5 encodings RX, RY, RZ of 3n features between 6 trained layers of RY, RZ and a ring of CX; <Z> on qubit 0, "
        "mean squared error: value and gradient in the weights.",
        "qubits/batch",
        WORK,
        _batched("data-reuploading", "step", _circuits.reuploading, ((4, 32), (8, 64), (10, 64))),
    ),
    Case(
        "gram-matrix",
        "d",
        "How fast is the Gram matrix of a fidelity kernel?",
        "zz_feature_map(n, reps=2, full), all pairs of points. Contestants that can compute all states, then one "
        "matrix product.",
        "points/qubits",
        WORK,
        tuple(
            Problem("gram-matrix", f"{points}/{n}", "gram", n, _circuits.kernel(n), scale=n * points << n, batch=points)
            for points, n in ((100, 4), (500, 8), (500, 10), (500, 12), (2000, 10))
        ),
        quick=True,
    ),
    Case(
        "large-gradient",
        "e",
        "How fast is the gradient of a large circuit?",
        f"{RING}: value and gradient.",
        "qubits",
        "amplitudes (2^qubits)",
        _single("large-gradient", "gradient", 3, (16, 18, 20, 22, 24)),
        tolerance=LOOSE,
    ),
    Case(
        "large-forward",
        "e",
        "How fast is an expectation value of a large circuit?",
        f"{RING}: the value alone.",
        "qubits",
        "amplitudes (2^qubits)",
        _single("large-forward", "forward", 3, (16, 18, 20, 22, 24)),
        tolerance=LOOSE,
    ),
    Case(
        "ising-energy",
        "e",
        "How fast are the energy of an Ising chain and its gradient?",
        "10 layers of RZZ on neighbours and RX, after H on every qubit, each gate with an angle of its own; the energy "
        "has n - 1 terms ZZ and n terms X: value and gradient.",
        "qubits",
        "amplitudes (2^qubits)",
        (
            Problem(
                "ising-energy",
                "20",
                "gradient",
                20,
                _circuits.ising_ansatz(20, 10),
                scale=1 << 20,
                observable=ising_energy(20),
            ),
        ),
        limit=300.0,
        tolerance=LOOSE,
    ),
    Case(
        "depth",
        "f",
        "What does depth cost?",
        "10 qubits; layers of RY and RZ on every qubit and a ring of CX; <Z> on qubit 0: value and gradient.",
        "layers",
        "layers",
        tuple(
            Problem("depth", str(layers), "gradient", 10, _circuits.ring_ansatz(10, layers), layers)
            for layers in (1, 10, 100, 1000)
        ),
        tolerance=LOOSE,
    ),
    Case(
        "random-circuits",
        "g",
        "What does irregularity cost?",
        f"Random circuits of {len(_circuits.KINDS)} kinds of gates on 8 qubits; <Z> on qubit 0: value and gradient.",
        "gates",
        "gates",
        tuple(
            Problem("random-circuits", str(gates), "gradient", 8, _circuits.random_circuit(8, gates), gates)
            for gates in (100, 300, 1000, 3000)
        ),
        limit=300.0,
        tolerance=LOOSE,
    ),
    Case(
        "hessian",
        "h",
        "How fast is the Hessian?",
        f"{RING}: all second derivatives.",
        "qubits",
        "amplitudes (2^qubits)",
        _single("hessian", "hessian", 3, (6,)),
    ),
    Case(
        "metric-tensor",
        "h",
        "How fast is the metric tensor?",
        "RY and RZ on every qubit and a ring of CX, 3 times: the Fubini-Study metric.",
        "qubits",
        "amplitudes (2^qubits)",
        _single("metric-tensor", "metric", 3, (6,)),
    ),
    Case(
        "call-overhead",
        "i",
        "What does a call cost?",
        "One layer of RY, RZ and a ring of CX; <Z> on qubit 0, one call at a time. `bare-jit` is the computation of "
        "qmljax as a bare jitted function, without the checks at the front door.",
        "qubits",
        "qubits",
        tuple(Problem("call-overhead", str(n), "forward", n, _circuits.ring_ansatz(n, 1), scale=n) for n in (2, 4)),
        quick=True,
    ),
    Case(
        "sampling",
        "j",
        "How fast is sampling?",
        f"{SHOTS:,} shots of RY and RZ on every qubit and a ring of CX, 3 times; the simulation included.",
        "qubits",
        "amplitudes (2^qubits)",
        _single("sampling", "sample", 3, (12,)),
        tolerance=5e-3,  # of a probability of about 1/2: 5 standard deviations
    ),
    Case(
        "primitives",
        "l",
        "How fast is an estimator of Qiskit?",
        "zz_feature_map(n, reps=2, full), then real_amplitudes(n, reps=3); <Z> on qubit 0 at every point, in double "
        "precision where it runs on a primitive. `qmljax` is the function itself, `qmljax-primitives` the same behind "
        "Qiskit's interface, one pub with all points; `qiskit-ml` is Qiskit's own StatevectorEstimator.",
        "qubits/points",
        WORK,
        _batched("primitives", "values", _circuits.qnn, ((4, 1000), (8, 1000))),
    ),
    Case(
        "primitives-backward",
        "l",
        "How fast is the backward pass of Qiskit Machine Learning?",
        "The same circuit: the gradient in the weights at every point, by EstimatorQNN on qmljax's Estimator "
        "(`qmljax-primitives`) and on Qiskit's (`qiskit-ml`), both by parameter shifts; `qmljax` is jax.jacobian.",
        "qubits/points",
        WORK,
        _batched("primitives-backward", "jacobian", _circuits.qnn, ((4, 8), (8, 8))),
    ),
    Case(
        "bound-circuits",
        "p",
        "How fast is an answer to circuits never seen?",
        "7 circuits of RY and RZ on every qubit and a ring of CX, 6 times, with other numbers in every call, which "
        "binds them; <Z> on qubit 0, by the Estimators of qmljax (`qmljax-primitives`) and of Qiskit (`qiskit-ml`), "
        "and by qj.expectation (`qmljax`, in single precision).",
        "qubits",
        "amplitudes (2^qubits)",
        tuple(
            Problem("bound-circuits", str(n), "bound", n, _circuits.ring_ansatz(n, 6), scale=1 << n, members=7)
            for n in (4, 6, 8, 10, 12)
        ),
    ),
    Case(
        "long-observables",
        "q",
        "How fast are long observables?",
        "RY and RZ on every qubit and a ring of CX, 3 times, on 10 qubits; the gradient of the expectation value of a "
        "sum of so many random Pauli strings, and of a molecule of 276.",
        "strings",
        "strings",
        tuple(
            Problem(
                "long-observables",
                str(terms),
                "gradient",
                10,
                _circuits.ring_ansatz(10, 3),
                scale=terms,
                observable=random_sum(10, terms),
            )
            for terms in (1, 10, 100, 1000, 2000)
        )
        + (
            Problem(
                "long-observables",
                "LiH",
                "gradient",
                10,
                _circuits.ring_ansatz(10, 3),
                scale=len(lithium_hydride()),
                observable=lithium_hydride(),
            ),
        ),
    ),
    Case(
        "first-value",
        "r",
        "How fast is the first value of a circuit?",
        f"Random circuits of {len(_circuits.KINDS)} kinds of gates, another one in every call, which builds it of "
        "numbers: <Z> on qubit 0. No contestant is told to compile; the time of a call is the median of 50 circuits.",
        "qubits/gates",
        "gates x 2^qubits",
        _first("first-value"),
    ),
    Case(
        "first-gradient",
        "s",
        "How fast is the first gradient of a circuit?",
        "The same circuits with parameters: value and gradient, by each library's fastest way that compiles nothing.",
        "qubits/gates",
        "gates x 2^qubits",
        _first("first-gradient"),
    ),
    Case(
        "grid-search",
        "t",
        "How fast is a grid search?",
        f"{QNN}; 100 steps of Adam by each of {len(RATES)} learning rates on each of {FOLDS} folds. `qmljax` calls "
        "qj.fit with a loss and an optimizer made anew each time, others step by a jitted function of rate and data.",
        "qubits/batch",
        WORK,
        _batched_grid(((4, 60), (8, 60))),
        tolerance=LOOSE,
    ),
    Case(
        "noisy-value",
        "u",
        "How fast is an expectation value under noise?",
        f"{NOISY}; exact, by density matrices.",
        "qubits",
        "elements (4^qubits)",
        _noisy("noisy-value", (4, 6, 8, 10, 12)),
    ),
    Case(
        "noisy-gradient",
        "v",
        "How fast is a gradient under noise?",
        f"{NOISY}; value and gradient, exact, by density matrices.",
        "qubits",
        "elements (4^qubits)",
        _noisy("noisy-gradient", (4, 6, 8, 10, 12)),
    ),
    Case(
        "noisy-training-step",
        "x",
        "How fast is a training step under noise?",
        f"{QNN}: value and gradient in the weights, with depolarizing noise of strength {STRENGTH} on each qubit of "
        "every gate after it; exact, by density matrices.",
        "qubits/batch",
        "qubits x batch x 4^qubits",
        tuple(
            replace(p, scale=p.num_qubits * p.batch * 4**p.num_qubits)
            for p in _batched("noisy-training-step", "noisy_step", _circuits.qnn, ((4, 32), (5, 32), (6, 32)))
        ),
        limit=300.0,
    ),
    Case(
        "trajectories",
        "w",
        "How fast are trajectories?",
        f"{NOISY}; the mean of {TRAJECTORIES:,} trajectories. That of `qmljax` has a smaller standard error than "
        "others: NOTES.md compares at equal ones, and has a deep circuit.",
        "qubits",
        "elements (4^qubits)",
        _noisy("trajectories", (8, 12, 14)),  # at 10 the value is too near to zero to compare
        tolerance=0.5,  # of a mean of random values
    ),
    Case(
        "trajectories-gradient",
        "w",
        "How fast is a gradient by trajectories?",
        f"{NOISY}; value and gradient of the mean of {TRAJECTORIES:,} trajectories.",
        "qubits",
        "elements (4^qubits)",
        _noisy("trajectories-gradient", (8, 12)),
        limit=300.0,
        tolerance=0.5,
    ),
    Case(
        "deep-trajectories",
        "y",
        "What do trajectories of a deep circuit cost, beside a batch of ideal ones?",
        f"14 qubits, 30 layers of RY on every qubit and a chain of CX, depolarizing noise of strength {RARE} on both "
        f"qubits after every CX; <Z...Z>, the mean of {TRAJECTORIES:,} trajectories, which are drawn before the call "
        "(`key-of-numbers`) or in it (`traced-key`), beside as many ideal sets of parameters (`ideal`): values, then "
        "value and gradient.",
        "how",
        "how",
        _deep(),
        limit=600.0,
        tolerance=LOOSE,
        peers=False,
    ),
    Case(
        "feed-forward",
        "z",
        "How fast is a gradient through measurements and feed-forward?",
        "RY gates, after each of which the qubit is teleported: two measurements, two gates that depend on them, and "
        "two resets; <Z>, value and gradient. PennyLane defers measurements; its tree-traversal has no jit.",
        "gates",
        "gates",
        tuple(
            Problem(
                "feed-forward",
                str(gates),
                "feed_forward_gradient",
                3,
                _circuits.teleported(gates),
                scale=gates,
                observable=(Term(1.0, "Z", (2 * (gates % 2),)),),
            )
            for gates in (2, 4, 7, 10)
        ),
        limit=300.0,
        tolerance=LOOSE,
    ),
    Case(
        "training-loop",
        "m",
        "What does a training loop add to its steps?",
        f"{QNN}; 1,000 steps of Adam, rate 0.01, full batch. `qmljax` is qj.fit, all others a loop in Python around a "
        "jitted step; `bare-jit` is that of qmljax.",
        "qubits/batch",
        WORK,
        _training("training-loop", ((4, 32), (8, 32)), steps=1000),
        tolerance=LOOSE,
    ),
    Case(
        "ensemble",
        "n",
        "What do restarts cost?",
        f"{QNN}; 300 steps of Adam from each of 32 starts. `qmljax` trains all at once by qj.fit, `bare-jit` one after "
        "the other.",
        "qubits/batch",
        WORK,
        _training("ensemble", ((4, 32),), steps=300, members=32),
        tolerance=LOOSE,
        peers=False,
    ),
    Case(
        "batch-or-vmap",
        "k",
        "Is vmap as fast as a leading batch dimension?",
        f"{QNN}: value and gradient in the weights, with the batch as a leading dimension and by jax.vmap.",
        "qubits/batch",
        WORK,
        _batched("batch-or-vmap", "step", _circuits.qnn, ((4, 32), (8, 256), (10, 64))),
        peers=False,
    ),
    Case(
        "torch-training-step",
        "o",
        "How fast is a layer of PyTorch?",
        f"{QNN}: value and gradient in the weights and the inputs, by PyTorch's backward pass. `bare-jit` is the same "
        "step in JAX alone: what it takes less is what the bridge costs.",
        "qubits/batch",
        WORK,
        _batched("torch-training-step", "torch_step", _circuits.qnn, ((4, 32), (8, 32))),
    ),
)


def choose(names: Sequence[str] | None) -> tuple[Case, ...]:
    """The cases of these names or letters; all by default."""
    known = {case.name for case in CASES} | {case.letter for case in CASES}
    for name in names or ():
        if name not in known:
            raise ValueError(f"`--only` names {name!r}, but the cases are {', '.join(c.name for c in CASES)}.")
    return tuple(case for case in CASES if not names or case.name in names or case.letter in names)


def case(name: str) -> Case:
    return next(c for c in CASES if c.name == name)


def problem(name: str, size: str) -> Problem:
    return next(p for p in case(name).problems if p.size == size)
