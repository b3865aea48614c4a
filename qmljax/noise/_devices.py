"""What a backend says of its noise, and what a noise model of Aer does: channels, readout and relaxation of qubits."""

import math
from typing import Any, NamedTuple

import numpy as np
from qiskit.circuit import ControlFlowOp, Gate, Measure
from qiskit.quantum_info import PTM, SuperOp

from qmljax._circuit.noisy import in_house_order
from qmljax.noise._channel import Channel
from qmljax.noise._channels import depolarizing, from_matrix, thermal_relaxation

Key = str | tuple[str, tuple[int, ...]]


class Idle(NamedTuple):
    """How a qubit relaxes while it waits, in `delay` instructions.

    Attributes:
        t1: T1 in seconds.
        t2: T2 in seconds, at most 2 T1.
        excited_state_population: The probability of |1> in equilibrium.
        twirled: Whether by the Pauli twirl of that (`Channel.twirled`).

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qmljax import noise
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.x(0), circuit.delay(50, 0, unit="us")
        >>> model = noise.NoiseModel({}, idle={0: noise.Idle(t1=50e-6, t2=70e-6)})
        >>> noise.Simulator(model).probabilities(circuit)([]).round(2)  # exp(-1) is left of |1>
        Array([0.63, 0.37], dtype=float32)
    """

    t1: float
    t2: float
    excited_state_population: float = 0.0
    twirled: bool = False

    def during(self, time: float) -> Channel:
        """The channel of some seconds.

        Args:
            time: How long the qubit waits, in seconds.

        Returns:
            A channel on one qubit.

        Raises:
            ValueError: A time is not positive, or T2 > 2 T1.
        """
        channel = thermal_relaxation(self.t1, self.t2, time, self.excited_state_population)
        return channel.twirled() if self.twirled else channel

    def scaled(self, factor: float) -> "Idle":
        """The same relaxation, so many times as fast.

        Args:
            factor: By what T1 and T2 are divided; 0 for none at all.

        Returns:
            Another `Idle`.
        """
        t1, t2 = (t / factor if factor else math.inf for t in (self.t1, self.t2))
        return self._replace(t1=t1, t2=t2)


class Parts(NamedTuple):
    """What a noise model is made of."""

    gates: dict[Key, Channel]
    readout: Any
    idle: dict[int, Idle] | None
    dt: float | None


def of_backend(device: Any, temperature: float) -> Parts:
    """Of a BackendV2, by the rules of Aer's `NoiseModel.from_backend`."""
    target = getattr(device, "target", None)
    if target is None:
        raise TypeError(
            f"`device` must be a BackendV2, which has a `target`, but is a {type(device).__name__}. A noise model of "
            "Aer becomes one by `from_aer`."
        )
    properties = target.qubit_properties or [None] * (target.num_qubits or 0)
    idle = {q: _idle(p, temperature) for q, p in enumerate(properties) if p is not None}
    gates: dict[Key, Channel] = {}
    for name, placed in target.items():
        operation = target.operation_from_name(name)
        if isinstance(operation, Measure) or operation is None or placed is None or _is_control_flow(operation):
            continue
        for qubits, given in placed.items():
            if given is None or qubits is None:
                continue
            channel = _of_gate(qubits, given.duration, given.error if isinstance(operation, Gate) else None, idle)
            if channel is not None:
                gates[name, qubits] = channel
    found = _readout(target)
    return Parts(gates, found or None, idle or None, getattr(device, "dt", None) or target.dt)


def _is_control_flow(operation: Any) -> bool:
    kind = operation if isinstance(operation, type) else type(operation)
    return issubclass(kind, ControlFlowOp)


def _idle(properties: Any, temperature: float) -> Idle:
    t1, t2 = properties.t1, properties.t2
    t1 = math.inf if t1 is None else t1
    t2 = min(math.inf if t2 is None else t2, 2 * t1)
    frequency = getattr(properties, "frequency", None)
    population = 0.0
    if frequency is not None and temperature:  # h / k in units of Hz and mK
        population = 1 / (1 + math.exp(47.99243e-9 * frequency / abs(temperature)))
        population = population if temperature > 0 else 1 - population
    return Idle(t1, t2, population)


def _of_gate(qubits: tuple[int, ...], duration: float | None, error: float | None, idle: Any) -> Channel | None:
    """Depolarizing noise, then relaxation, with the average gate fidelity 1 - error; None if there is neither."""
    relaxation: Channel | None = None
    if duration and all(q in idle for q in qubits):
        for q in qubits:
            own = thermal_relaxation(idle[q].t1, idle[q].t2, duration, idle[q].excited_state_population)
            relaxation = own if relaxation is None else relaxation.tensor(own)
    size = 1 << len(qubits)
    fidelity = 1.0
    if relaxation is not None:  # of a channel: (tr R / d + 1) / (d + 1), R being its transfer matrix
        fidelity = (float(np.trace(relaxation.matrix)) / size + 1) / (size + 1)
    if not error or error <= 1 - fidelity:
        return relaxation
    error = min(error, size / (size + 1))
    p = min(size * (error - (1 - fidelity)) / (size * fidelity - 1), size**2 / (size**2 - 1))
    noise = depolarizing(p, len(qubits))
    return noise if relaxation is None else noise.then(relaxation)


def _readout(target: Any) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    measured = target.get("measure") or {}
    for q in range(target.num_qubits or 0):
        given = measured.get((q,))
        if given is None:
            continue
        if hasattr(given, "prob_meas1_prep0") and hasattr(given, "prob_meas0_prep1"):
            one, zero = given.prob_meas1_prep0, given.prob_meas0_prep1
        else:
            one = zero = given.error
        if one is not None and zero is not None:
            found[q] = np.array([[1 - one, one], [zero, 1 - zero]])
    return found


def of_aer(noise_model: Any) -> Parts:
    """Of a noise model of qiskit-aer."""
    names = ("_default_quantum_errors", "_local_quantum_errors", "_default_readout_error", "_local_readout_errors")
    if not all(hasattr(noise_model, name) for name in names):
        raise TypeError(f"`noise_model` must be a NoiseModel of qiskit-aer, but is a {type(noise_model).__name__}.")
    gates: dict[Key, Channel] = {}
    local = {
        (name, qubits): e for name, each in noise_model._local_quantum_errors.items() for qubits, e in each.items()
    }
    for key, error in {**noise_model._default_quantum_errors, **local}.items():
        name = key if isinstance(key, str) else key[0]
        if name == "measure":
            raise NotImplementedError(
                "`noise_model` has a quantum error on measurements, which is not supported. Errors of readout are."
            )
        if error.num_qubits > 4:
            raise NotImplementedError(f"`noise_model` has an error on {error.num_qubits} qubits: at most 4 can be.")
        gates[key] = from_matrix(in_house_order(PTM(SuperOp(error)).data.real))
    readout: Any = {}
    for qubits, error in noise_model._local_readout_errors.items():
        if len(qubits) > 1:
            raise NotImplementedError("`noise_model` has a readout error on several qubits at once. Give each its own.")
        readout[qubits[0]] = np.asarray(error.probabilities)
    if noise_model._default_readout_error is not None:
        if readout:
            raise NotImplementedError(
                "`noise_model` has readout errors of qubits and one of all others. Give every qubit its own."
            )
        readout = np.asarray(noise_model._default_readout_error.probabilities)
    idle, dt = _relaxation(noise_model)
    return Parts(gates, readout if len(readout) else None, idle, dt)


def _relaxation(noise_model: Any) -> tuple[dict[int, Idle] | None, float | None]:
    """What relaxes in delays, of the passes that Aer keeps such rules as."""
    for each in getattr(noise_model, "_custom_noise_passes", ()):
        if type(each).__name__ != "RelaxationNoisePass":
            raise NotImplementedError(
                f"`noise_model` has the noise pass {type(each).__name__}, which is not supported."
            )
        columns = zip(each._t1s, each._t2s, each._p1s, strict=True)
        idle = {q: Idle(float(t1), min(float(t2), 2 * float(t1)), float(p1)) for q, (t1, t2, p1) in enumerate(columns)}
        return idle, each._dt
    return None, None
