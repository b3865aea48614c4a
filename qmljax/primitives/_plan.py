"""What work would cost, before it runs."""

import math
from dataclasses import dataclass
from typing import Any

DELAY = 250e-6  # seconds between two shots: the usual repetition delay of IBM's devices
OVERHEAD = 2.0  # seconds a job takes besides its shots: a rough guess
LEVEL = 300e-9  # seconds a level of gates takes where the device does not say
USUAL_SHOTS = 4096  # of primitives that do not say


@dataclass(frozen=True)
class Work:
    """What one call of a primitive was asked to run.

    Attributes:
        device: The name of the device.
        rows: Different settings of the circuit's arguments.
        settings: Measurement bases, each of which every row is run in.
        shots: Of each row in each basis; 0 if the primitive is exact.
        jobs: The number of jobs.
        depth: The depth of the circuit.
        two_qubit_gates: The number of its gates on two or more qubits.
        duration: Seconds that the circuit takes, or 0 if it runs on no device.
        resilience_level: The level of error mitigation, or None if the primitive has none.
    """

    device: str
    rows: int
    settings: int
    shots: int
    jobs: int
    depth: int
    two_qubit_gates: int
    duration: float
    resilience_level: int | None

    @property
    def executions(self) -> int:
        return self.rows * self.settings * self.shots

    @property
    def seconds(self) -> float:
        return self.executions * (self.duration + DELAY) + self.jobs * OVERHEAD if self.duration else 0.0


@dataclass(frozen=True)
class Plan:
    """What a call would run. Print it for a table.

    Attributes:
        work: What each call of a primitive would be asked to run.

    Example:
        >>> import numpy as np
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> from qiskit.primitives import StatevectorEstimator
        >>> from qmljax.primitives import PrimitiveBackend
        >>> backend = PrimitiveBackend(estimator=StatevectorEstimator(default_precision=0.1))
        >>> model = qj.estimator_qnn(real_amplitudes(2, reps=1), inputs=[], backend=backend)
        >>> plan = backend.plan(model, np.zeros((1, 0)))
        >>> plan.circuits, plan.shots  # the value, and two shifts of each of 4 weights, at 1 / 0.1**2 shots
        (9, 900)
    """

    work: tuple[Work, ...]

    @property
    def circuits(self) -> int:
        """Circuits to run: settings of the arguments times measurement bases."""
        return sum(w.rows * w.settings for w in self.work)

    @property
    def shots(self) -> int:
        """Shots of all circuits together."""
        return sum(w.executions for w in self.work)

    @property
    def jobs(self) -> int:
        """The number of jobs."""
        return sum(w.jobs for w in self.work)

    @property
    def depth(self) -> int:
        """The depth of the deepest circuit."""
        return max((w.depth for w in self.work), default=0)

    @property
    def two_qubit_gates(self) -> int:
        """The most gates on two or more qubits that a circuit has."""
        return max((w.two_qubit_gates for w in self.work), default=0)

    @property
    def seconds(self) -> float:
        """A rough estimate of the time on the device, without queueing and error mitigation; 0 on a simulator."""
        return sum(w.seconds for w in self.work)

    def __str__(self) -> str:
        devices = ", ".join(dict.fromkeys(w.device for w in self.work)) or "none"
        levels = {w.resilience_level for w in self.work if w.resilience_level is not None}
        lines = [
            ("device", devices),
            ("jobs", f"{self.jobs:,}"),
            ("circuits", f"{self.circuits:,}"),
            ("shots", f"{self.shots:,}" if self.shots else "none: the primitive is exact"),
            ("depth", f"{self.depth:,}"),
            ("two-qubit gates", f"{self.two_qubit_gates:,}"),
            ("resilience level", ", ".join(map(str, sorted(levels))) or "the primitive has none"),
            ("seconds, roughly", f"{math.ceil(self.seconds):,}"),
        ]
        return "\n".join(f"{name:<18}{value}" for name, value in lines)


def duration(circuit: Any, device: Any) -> float:
    """Seconds that a circuit takes on a device with a coupling map; 0 elsewhere, where there is no such time."""
    if device is None or device.target.build_coupling_map() is None:
        return 0.0
    try:
        return float(circuit.estimate_duration(device.target, unit="s"))
    except Exception:  # a target without durations, of which Qiskit complains in several ways
        return circuit.depth() * LEVEL


def shots(primitive: Any, kind: str, accuracy: float | int | None) -> int:
    """Shots of each circuit, for what a primitive is asked or, if for nothing, does by itself. 0: it is exact."""
    if accuracy is None:
        for place in (primitive, getattr(primitive, "options", None)):
            found: Any = getattr(place, "default_shots", None)
            if _positive(found):
                return int(found)
            found = getattr(place, "default_precision", None)
            if kind == "estimator" and isinstance(found, int | float):
                accuracy = found
                break
    if kind == "sampler":
        return USUAL_SHOTS if accuracy is None else int(accuracy)
    if accuracy is None:
        return USUAL_SHOTS
    return math.ceil(accuracy**-2 - 1e-6) if accuracy else 0


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0
