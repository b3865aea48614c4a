"""`PrimitiveBackend`: any V2 primitive as the `backend=` of a model."""

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2
from qiskit.providers import BackendV2

from qmljax._checks import check_count, check_flag, check_key, check_number
from qmljax._circuit.observables import Observable
from qmljax._circuit.readout import of_bits, of_observables, of_qubits
from qmljax._progress import load_tqdm
from qmljax.primitives import _shift, _transpile
from qmljax.primitives._journal import Journal
from qmljax.primitives._measured import Measured, Spsa
from qmljax.primitives._plan import Plan, Work
from qmljax.primitives._readings import Bits, Expectations, Outcomes, Reading, Zeros
from qmljax.primitives._rows import Counting, Rows
from qmljax.primitives._shift import Slots
from qmljax.primitives._transpile import Prepared


@dataclass(frozen=True, eq=False, repr=False)
class PrimitiveBackend:
    """Any V2 primitive as the `backend=` of a model: IBM hardware, Aer, Qiskit's reference primitives, your own.

    `model(weights, x)` stays what it is: it works under `jit`, `vmap`, `grad` and in `qmljax.fit`. A call submits all
    circuits of a batch at once, and a call of its gradient those of the values and of all shifts.

    Attributes:
        estimator: A `BaseEstimatorV2`, or what makes one when called; `estimator_qnn` and `projected_kernel` need it.
        sampler: A `BaseSamplerV2`, or what makes one when called; `sampler_qnn` and `fidelity_kernel` need it.
            (Without it, fidelities are measured by the estimator, on at most 10 qubits.)
        pass_manager: What transpiles a circuit, once. Default: Qiskit's preset of level 3 for the device of the
            primitive, seeded; nothing where the primitive takes any circuit.
        shots: Shots of each circuit. Default: what the primitive does by itself.
        precision: The standard error that the estimator aims at. Default: that of `shots`, if given; else what the
            estimator does by itself.
        gradient: "parameter_shift", exact; or "spsa", which takes 2 circuits a point however many weights there are,
            right on average but noisy.
        key: A JAX random key for the directions of "spsa". Equal questions get equal directions.
        spsa_step: How far "spsa" shifts each argument, in radians.
        max_executions_per_job: Circuits times shots that one job may have; a call that takes more is split.
        max_retries: How often a step that failed for reasons that may pass is tried again, with back-off.
        timeout: Seconds to wait for the result of a job. Default: as long as it takes.
        journal: A file in which job ids and results are written down. A run that was killed, started again with the
            same journal, collects its jobs and submits what is missing alone. Take a new file for a new run.
        service: What finds jobs of an earlier process by their id. Default: that of the primitive's device.
        resilience_level: The error mitigation of the runtime's estimator, sent with every job. Default: what its
            options say (those of the runtime's current Estimator say 1), and 0, none, where they say nothing.
        progress: Whether to show a progress bar of the jobs of a call (needs tqdm: the extra `progress`).

    Example:
        >>> from qiskit.circuit.library import real_amplitudes, zz_feature_map
        >>> from qiskit.primitives import StatevectorEstimator
        >>> import qmljax as qj
        >>> feature_map, ansatz = zz_feature_map(2, reps=1), real_amplitudes(2, reps=1)
        >>> backend = PrimitiveBackend(estimator=StatevectorEstimator())
        >>> model = qj.estimator_qnn(feature_map.compose(ansatz), inputs=feature_map.parameters, backend=backend)
        >>> model(np.ones(4), np.ones((5, 2))).shape
        (5, 1)
        >>> backend.plan(model, np.zeros((5, 2))).circuits  # one point, in effect, and two shifts of each weight
        9

    References:
        K. Mitarai, M. Negoro, M. Kitagawa, K. Fujii, "Quantum circuit learning", Phys. Rev. A 98, 032309 (2018).
        G.-L. R. Anselmetti et al., "Local, expressive, quantum-number-preserving VQE ansaetze for fermionic systems",
        New J. Phys. 23, 113010 (2021), for the rule of four terms.
        J. C. Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient approximation",
        IEEE Trans. Autom. Control 37, 332 (1992).
    """

    estimator: Any = None
    sampler: Any = None
    pass_manager: Any = field(default=None, kw_only=True)
    shots: int | None = field(default=None, kw_only=True)
    precision: float | None = field(default=None, kw_only=True)
    gradient: Literal["parameter_shift", "spsa"] = field(default="parameter_shift", kw_only=True)
    key: Any = field(default=None, kw_only=True)
    spsa_step: float = field(default=0.1, kw_only=True)
    max_executions_per_job: int = field(default=5_000_000, kw_only=True)
    max_retries: int = field(default=3, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    journal: str | os.PathLike | None = field(default=None, kw_only=True)
    service: Any = field(default=None, kw_only=True, repr=False)
    resilience_level: int | None = field(default=None, kw_only=True)
    progress: bool = field(default=False, kw_only=True)
    written: Journal = field(init=False, repr=False)
    checked: set[Any] = field(init=False, repr=False)  # the questions whose first answers were compared
    _transpiled: dict[Any, Prepared] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        estimator, sampler = _instance(self.estimator, "estimator"), _instance(self.sampler, "sampler")
        if estimator is None and sampler is None:
            raise ValueError("A PrimitiveBackend needs an `estimator` or a `sampler`, but has neither.")
        if self.progress:
            load_tqdm()
        _make_explicit(estimator, self.resilience_level)
        state = {
            "estimator": estimator,
            "sampler": sampler,
            "written": Journal(self.journal),
            "checked": set(),
            "_transpiled": {},
        }
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # a copy, as scikit-learn's `clone` makes, asks the same device and writes the same journal

    def __repr__(self) -> str:
        facts = {name: type(p).__name__ for name, p in (("estimator", self.estimator), ("sampler", self.sampler)) if p}
        if (on := _transpile.device(self.estimator or self.sampler)) is not None:
            facts["device"] = getattr(on, "name", type(on).__name__)
        facts |= {name: value for name in ("shots", "precision") if (value := getattr(self, name)) is not None}
        return f"PrimitiveBackend({', '.join(f'{k}={v}' for k, v in facts.items())}, gradient={self.gradient})"

    def expectation(self, circuit: Any, observables: Any) -> Measured:
        """What a model asks for: the function that measures expectation values.

        Args:
            circuit: A `QuantumCircuit`.
            observables: One observable or a list, as `qmljax.expectation` takes them.

        Returns:
            ``f(params)``: (..., P), in the order of the circuit, in radians, to (..., n_obs).

        Raises:
            ValueError: There is no estimator, a gate has no shift rule, or an observable does not fit.
        """
        if self.estimator is None:
            raise ValueError("Expectation values need `estimator=`, but this PrimitiveBackend has a sampler alone.")
        slots = _shift.slots(circuit)
        return self._measured(slots, Expectations(of_observables(slots.program, observables).observables))

    def probabilities(self, circuit: Any, qubits: Any = None, *, clbits: Any = None) -> Measured:
        """What a model asks for: the function that measures how often each outcome is read.

        Args:
            circuit: A `QuantumCircuit`. Its final measurements are not read, unless by `clbits`.
            qubits: What to measure, all by default; bit j of an outcome is `qubits[j]`.
            clbits: The places of classical bits to read instead, which must be in registers; bit j is `clbits[j]`.

        Returns:
            ``f(params)``: (..., P), in the order of the circuit, in radians, to (..., 2**k).

        Raises:
            ValueError: There is no sampler, a gate has no shift rule, or `qubits` are not different qubits.
        """
        if self.sampler is None:
            raise ValueError("Probabilities need `sampler=`, but this PrimitiveBackend has an estimator alone.")
        if clbits is not None:
            read = of_bits(circuit, qubits, clbits)
            slots = _shift.slots(circuit, measured=True)
            return self._measured(slots, Bits(tuple(_place(circuit, c) for c in read.clbits)))
        slots = _shift.slots(circuit)
        return self._measured(slots, Outcomes(of_qubits(slots.program, qubits).qubits))

    def fidelity(self, circuit: Any) -> "Pairs":
        """What a kernel asks for: the function that measures fidelities.

        The circuit is run for one row and undone for the other; the fidelity is how often all qubits then read 0.

        Args:
            circuit: A feature map, a `QuantumCircuit` of gates that can be undone.

        Returns:
            ``f(params_a, params_b)``: two arrays (pairs, P) to (pairs,).
        """
        slots = _shift.compute_uncompute(circuit)
        qubits = slots.program.touched or (0,)
        if self.sampler is not None:
            return Pairs(self._measured(slots, Zeros(qubits)))
        projector = Observable(slots.program.num_qubits, ((tuple((q, "0") for q in qubits), 1.0),))
        return Pairs(self._measured(slots, Expectations((projector,))))

    def plan(self, model: Any, x: Any, weights: Any = None, *, gradient: bool | None = None) -> Plan:
        """What a call of a model on this backend would run: circuits, shots, jobs, seconds. Nothing is run.

        Args:
            model: A QNN or kernel that was made with this backend.
            x: The inputs, as the model takes them.
            weights: The weights, of which only it matters which are equal. Default: random ones.
            gradient: Whether to count the gradient by the weights too. Default: for a QNN with weights.

        Returns:
            The plan, which prints as a table.

        Raises:
            ValueError: The model does not run on this backend.
        """
        asked: list[Work] = []
        model = self._counting(model, asked)
        x = np.asarray(x, np.float32)
        if weights is None:
            weights = np.random.default_rng(0).uniform(-3, 3, model.num_weights)
        weights = np.asarray(weights, np.float32)
        qnn = hasattr(model, "num_inputs")
        function = model if qnn else lambda w, x: model(x, weights=w)
        if gradient is None:
            gradient = qnn and len(weights) > 0
        if gradient:
            jax.block_until_ready(jax.value_and_grad(lambda w: jnp.sum(function(w, x)))(weights))
        else:
            jax.block_until_ready(function(weights, x))
        return Plan(tuple(asked))

    def _counting(self, model: Any, asked: list[Work]) -> Any:
        """The model, which notes what it would run: a copy, so that other calls meanwhile run as ever."""
        if isinstance(model, Rows) and model.backend is self:
            return Counting(model, asked)
        for part in ("function", "project", "measured", "rows"):
            if getattr(model, part, None) is not None:
                return dataclasses.replace(model, **{part: self._counting(getattr(model, part), asked)})
        raise ValueError("`model` must run on this backend. Was it made with `backend=` this one?")

    def _measured(self, slots: Slots, reading: Reading) -> Measured:
        self.prepared(slots, reading), reading.settings  # now, so that what does not fit is said now
        spsa = Spsa(float(self.spsa_step), _seed(self.key)) if self.gradient == "spsa" else None
        return Measured(slots, Rows(self, slots, reading), reading.outputs, spsa)

    def prepared(self, slots: Slots, reading: Reading) -> Prepared:
        """The circuit as the device executes it; transpiled once, whatever observables there are.

        Args:
            slots: The circuit, with a parameter of its own for each argument of a gate.
            reading: What is read of it.

        Returns:
            The transpiled circuit, and which arguments its parameters are.
        """
        key = reading.needs, slots, reading.measured
        if key not in self._transpiled:
            primitive = getattr(self, reading.needs)
            circuit = reading.circuit(slots.circuit)
            self._transpiled[key] = _transpile.prepare(circuit, slots.parameters, primitive, self.pass_manager)
        return self._transpiled[key]


@dataclass(frozen=True)
class Pairs:
    """`f(left, right)`: (pairs, P) each -> (pairs,)."""

    measured: Measured

    def __repr__(self) -> str:
        program = self.measured.slots.program
        return f"Pairs(parameters={self.measured.slots.num_parameters // 2}, qubits={program.num_qubits})"

    def __call__(self, left: Any, right: Any) -> Any:
        """The fidelities of pairs of states.

        Args:
            left: The parameters of the first states, (pairs, P).
            right: Those of the second, (pairs, P).

        Returns:
            Of shape (pairs,).
        """
        count = self.measured.slots.num_parameters // 2
        return self.parts(((range(count), left),), ((range(count), right),))

    def parts(self, left: tuple, right: tuple) -> Any:
        """The same function of parameters in parts, of which only those differentiated by are shifted.

        Args:
            left: Pairs of positions of parameters and their values, (pairs, positions), of the first states.
            right: Those of the second.

        Returns:
            Of shape (pairs,).
        """
        count = self.measured.slots.num_parameters // 2
        moved = [([count + int(p) for p in positions], values) for positions, values in right]
        return self.measured.parts(*left, *moved)[..., 0]


def _place(circuit: QuantumCircuit, clbit: int) -> tuple[str, int]:
    """The register that a classical bit is in, and where."""
    registers = circuit.find_bit(circuit.clbits[clbit]).registers
    if not registers:
        raise ValueError(
            f"Classical bit {clbit} is in no register, and a sampler gives registers alone. Put it in one: "
            "circuit.add_register(ClassicalRegister(bits=[bit], name=...))."
        )
    register, index = registers[0]
    return register.name, index


def _instance(primitive: Any, name: str) -> Any:
    """The primitive, made if it is a factory."""
    if primitive is not None and (isinstance(primitive, type) or not hasattr(primitive, "run")):
        try:
            primitive = primitive() if callable(primitive) else primitive
        except TypeError as error:
            raise TypeError(
                f"`{name}` must be a V2 primitive, or what makes one when called without arguments, but {primitive!r} "
                f"does not: {error}. Wrap it in a lambda."
            ) from error
        if not hasattr(primitive, "run"):
            raise TypeError(
                f"`{name}` must be a V2 primitive, or what makes one when called, but is a {type(primitive).__name__}."
            )
    given, other = type(primitive).__name__, "sampler" if name == "estimator" else "estimator"
    wrong = BaseSamplerV2 if name == "estimator" else BaseEstimatorV2
    if isinstance(primitive, wrong):
        raise TypeError(f"`{name}` must be a V2 {name}, but {given} is a V2 {other}. Pass it as `{other}=`.")
    if isinstance(primitive, BackendV2):
        kind = f"qiskit.primitives.Backend{name.capitalize()}V2"
        raise TypeError(f"`{name}` must be a V2 {name}, but {given} is a backend. Wrap it: {kind}(backend=...).")
    return primitive


def _make_explicit(estimator: Any, level: int | None) -> None:
    """Sets the resilience level, if the estimator has one, unless its options say it already."""
    options: Any = getattr(estimator, "options", None)
    if not hasattr(options, "resilience_level"):
        if level is not None:
            raise ValueError(
                "`resilience_level` is an option of the runtime's estimator, and this one has none. Leave it out."
            )
        return
    if level is not None:
        options.resilience_level = level
    elif not isinstance(options.resilience_level, int) and hasattr(_transpile.device(estimator), "service"):
        options.resilience_level = 0  # it was Unset, for which the server has a default


def _seed(key: Any) -> tuple[int, ...]:
    """A JAX random key as numbers."""
    if key is None:
        raise TypeError('gradient="spsa" needs a JAX random `key`, such as jax.random.key(0), but it is None.')
    check_key(key)
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return tuple(np.asarray(jax.random.key_data(key) if typed else key).ravel().tolist())


def _check(backend: PrimitiveBackend) -> None:
    if backend.gradient not in ("parameter_shift", "spsa"):
        raise ValueError(f'`gradient` must be "parameter_shift" or "spsa", but is {backend.gradient!r}.')
    if backend.gradient == "spsa":
        _seed(backend.key)
    elif backend.key is not None:
        raise ValueError('`key` is for gradient="spsa". Parameter shifts are not random: leave it out.')
    check_count(backend.shots, "shots", optional=True)
    check_count(backend.max_executions_per_job, "max_executions_per_job")
    check_count(backend.max_retries, "max_retries", least=0)
    check_count(backend.resilience_level, "resilience_level", least=0, optional=True)
    check_number(backend.precision, "precision", optional=True)
    check_number(backend.timeout, "timeout", optional=True)
    check_number(backend.spsa_step, "spsa_step", above=True, hint="It is in radians.")
    check_flag(backend.progress, "progress")
    if not isinstance(backend.journal, str | os.PathLike | None):
        raise TypeError(f"`journal` must be the path of a file, but is {backend.journal!r}.")
    for name, method in (("pass_manager", "run"), ("service", "job")):
        value = getattr(backend, name)
        if value is not None and not callable(getattr(value, method, None)):
            raise TypeError(
                f"`{name}` must be an object with a method `{method}`, but is of type {type(value).__name__}."
            )
