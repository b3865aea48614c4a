"""Noise models: which channel follows which gate, and what readout does to outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from qiskit.circuit.library import get_standard_gate_name_mapping

from qmljax._checks import check_count, check_number, shown
from qmljax._circuit.noisy import NoisyProgram, parse_noisy
from qmljax._models.arguments import readout_of, stochastic
from qmljax._models.by_value import hash_of_leaves, same_leaves
from qmljax.noise._channel import Channel, is_there
from qmljax.noise._devices import Idle, Key, of_aer, of_backend

OTHER_NAMES = {"cnot": ["cx"], "toffoli": ["ccx"], "hadamard": ["h"], "not": ["x"]}
MORE_GATES = {"unitary", "mcx", "mcp", "diagonal", "permutation", "initialize", "delay", "reset", "id"}


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, repr=False)
class NoiseModel:
    """Noise of a device: channels after gates, errors of readout, relaxation in delays. It is a pytree.

    Attributes:
        gates: The channel after each gate: keys are names of gates, or (name, qubits) for the gate on these qubits
            alone, which has precedence. A channel on one qubit acts on each qubit of a larger gate.
        readout: A matrix P[true][read] of probabilities, or one for each qubit (n, 2, 2), or a mapping of qubits to
            matrices; None if readout is perfect.
        idle: How the qubits relax during `delay` instructions, by qubit; None if they do not.
        dt: What the unit "dt" of delays is, in seconds.

    Raises:
        TypeError: `gates` is no mapping of names to channels, or `idle` none of qubits to `Idle`.
        ValueError: No gate has the name, the channel acts on another number of qubits than the gate, or a matrix is
            not stochastic.

    Example:
        >>> from qmljax import noise
        >>> noise.NoiseModel({"cx": noise.depolarizing(0.01, 2), ("x", 0): noise.bit_flip(0.1)})
        NoiseModel(cx, x[0])
    """

    gates: Mapping[Key, Channel]
    readout: Any = None
    idle: Mapping[int, Idle] | None = None
    dt: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.gates, Mapping):
            raise TypeError(f"`gates` must be a mapping of names of gates to channels, but is {shown(self.gates)}.")
        gates = dict(self.gates)
        found = {_key(key): _of_gate(key, channel) for key, channel in gates.items()}
        if len(found) < len(gates):
            raise ValueError(f"`gates` must have one channel for each key, but has some twice: {list(gates)}.")
        object.__setattr__(self, "gates", dict(sorted(found.items(), key=_order)))
        object.__setattr__(self, "readout", _readout(self.readout))
        object.__setattr__(self, "idle", _idle(self.idle))
        check_number(self.dt, "dt", above=True, optional=True)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        keys = tuple(self.gates)
        idle = None if self.idle is None else tuple(sorted(self.idle.items()))
        return (tuple(self.gates.values()), self.readout), (keys, idle, self.dt)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> Self:
        keys, idle, dt = static
        self = object.__new__(cls)  # leaves may be anything, while JAX maps them
        for name, value in (
            ("gates", dict(zip(keys, leaves[0], strict=True))),
            ("readout", leaves[1]),
            ("idle", None if idle is None else dict(idle)),
            ("dt", dt),
        ):
            object.__setattr__(self, name, value)
        return self

    def __repr__(self) -> str:
        keys = [key if isinstance(key, str) else f"{key[0]}{list(key[1])}" for key in self.gates]
        listed = ", ".join(keys[:8]) + (", ..." if len(keys) > 8 else "")
        return f"NoiseModel({listed}{', readout' * (self.readout is not None)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseModel) and same_leaves(self, other)

    def __hash__(self) -> int:
        return hash_of_leaves(self)

    def scaled(self, factor: Any) -> "NoiseModel":
        """The model whose channels are so many times as strong, relaxation in delays too; readout stays.

        That is for zero-noise extrapolation.

        Args:
            factor: The number, which may be traced unless qubits relax in delays.

        Returns:
            The model.

        Raises:
            TypeError: `factor` is traced, and qubits relax in delays.
            ValueError: A channel is given by matrices, which have no strength, or it would be too strong.

        Example:
            >>> from qmljax import noise
            >>> noise.NoiseModel({"cx": noise.depolarizing(0.01, 2)}).scaled(2).gates["cx"]
            Channel(depolarizing, p=0.02)

        References:
            K. Temme, S. Bravyi, J. Gambetta, "Error mitigation for short-depth quantum circuits", Phys. Rev. Lett. 119,
            180509 (2017).
        """
        gates = {key: channel.scaled(factor) for key, channel in self.gates.items()}
        idle = self.idle
        if idle is not None:
            if not is_there(factor):
                raise TypeError("`factor` must be a number, and not traced, where qubits relax in delays.")
            idle = {q: each.scaled(float(factor)) for q, each in idle.items()}
        return self._with(gates, self.readout, idle, self.dt)

    def twirled(self) -> "NoiseModel":
        """The model whose channels are Pauli twirls of these, which trajectories can follow (`Channel.twirled`).

        Returns:
            The model. Channels that are mixtures of Pauli strings stay as they are, and so does readout.

        Example:
            >>> from qmljax import noise
            >>> noise.NoiseModel({"x": noise.amplitude_damping(0.1)}).twirled().gates["x"].is_pauli
            True
        """
        gates = {key: channel.twirled() for key, channel in self.gates.items()}
        idle = None if self.idle is None else {q: each._replace(twirled=True) for q, each in self.idle.items()}
        return self._with(gates, self.readout, idle, self.dt)

    @classmethod
    def _with(cls, gates: Any, readout: Any, idle: Any, dt: float | None) -> "NoiseModel":
        """Of what is known to be right, such as a device's gates, which may have names of their own."""
        gates = dict(sorted(gates.items(), key=_order))
        static = tuple(gates), None if idle is None else tuple(sorted(idle.items())), dt
        return cls.tree_unflatten(static, (tuple(gates.values()), readout))

    @classmethod
    def from_backend(cls, device: Any, *, temperature: float = 0.0) -> "NoiseModel":
        """The noise of a device, as it reports it: relaxation during gates, depolarizing noise, readout, delays.

        The channel after a gate is depolarizing noise, then thermal relaxation of each of its qubits for the duration
        of the gate; together they have the average fidelity that the device reports. T2 above 2 T1 is taken as 2 T1.
        These are the rules of Aer's `NoiseModel.from_backend`.

        Args:
            device: A `BackendV2`, such as a fake device of qiskit-ibm-runtime.
            temperature: Of the qubits in mK, for the probability of |1> in equilibrium, which needs their frequencies.

        Returns:
            The model.

        Raises:
            TypeError: It is no BackendV2.

        Example:
            >>> from qiskit.providers.fake_provider import GenericBackendV2
            >>> from qmljax import noise
            >>> model = noise.NoiseModel.from_backend(GenericBackendV2(2, seed=0))
            >>> model.gates["cx", (0, 1)].num_qubits, sorted(model.readout)
            (2, [0, 1])
        """
        return cls._with(*of_backend(device, temperature))

    @classmethod
    def from_aer(cls, noise_model: Any) -> "NoiseModel":
        """The noise of a `qiskit_aer.noise.NoiseModel`. Errors that are mixtures of Pauli strings stay such.

        Args:
            noise_model: What Aer simulates. It is read now, and not needed any more.

        Returns:
            The model.

        Raises:
            TypeError: It is none.
            NotImplementedError: It has an error on measurements or on more than 4 qubits, an error of readout of
                several qubits at once, or a noise pass that is no relaxation.

        Example:
            >>> from qiskit_aer.noise import NoiseModel as OfAer, depolarizing_error
            >>> from qmljax import noise
            >>> of_aer = OfAer()
            >>> of_aer.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["x"])
            >>> noise.NoiseModel.from_aer(of_aer).gates["x"].is_pauli
            True
        """
        return cls._with(*of_aer(noise_model))

    def read(self, circuit: Any) -> tuple[NoisyProgram, list[Channel]]:
        """The circuit with the places of its noise, and the channels that these have by number: for simulators.

        Args:
            circuit: A `QuantumCircuit`, or anything else that `parse` takes.

        Returns:
            The noisy program and a list of channels.

        Raises:
            ValueError: A channel acts on another number of qubits than its gate.
        """
        found: dict[Any, int] = {}
        channels: list[Channel] = []

        def number(key: Any, channel: Channel) -> int:
            if key not in found:
                found[key] = len(channels)
                channels.append(channel)
            return found[key]

        def after(name: str, qubits: tuple[int, ...], operation: Any) -> Sequence[tuple[int, tuple[int, ...]]]:
            key = (name, qubits) if (name, qubits) in self.gates else name
            if key in self.gates:
                channel = self.gates[key]
                if channel.num_qubits == len(qubits):
                    return [(number(key, channel), qubits)]
                if channel.num_qubits == 1:
                    return [(number(key, channel), (q,)) for q in qubits]
                raise ValueError(
                    f"The channel of `gates[{key!r}]` acts on {channel.num_qubits} qubits, but the gate on "
                    f"{len(qubits)}. Give it a channel on as many, or on one."
                )
            if name == "delay" and self.idle is not None and qubits[0] in self.idle:
                time = _seconds(operation, self.dt)
                idle = self.idle[qubits[0]]
                if time and not (idle.t1 == idle.t2 == np.inf):
                    return [(number((idle, time), idle.during(time)), qubits)]
            return []

        names = {key if isinstance(key, str) else key[0] for key in self.gates}
        if self.idle is not None:
            names.add("delay")
        return parse_noisy(circuit, after, frozenset(names)), channels

    def readout_of(self, qubits: Sequence[int]) -> Any:
        """The errors of readout of some qubits.

        Args:
            qubits: Which.

        Returns:
            Matrices P[true][read] of shape (k, 2, 2); None if readout is perfect.
        """
        if isinstance(self.readout, Mapping):
            each = [self.readout.get(q, np.eye(2)) for q in qubits]
            return (jnp if any(isinstance(m, jax.Array) for m in each) else np).stack(each) if each else None
        return readout_of(self.readout, qubits)


def _key(key: Any) -> Key:
    pair = isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str)
    if not isinstance(key, str) and not pair:
        raise TypeError(f"`gates` must have names or pairs (name, qubits) as keys, but has {shown(key)}.")
    name, qubits = (key, None) if isinstance(key, str) else key
    known = {*get_standard_gate_name_mapping(), *MORE_GATES} - {"measure", "global_phase"}
    if name not in known:
        if name == "measure":
            raise ValueError("`gates` has 'measure', which is no gate. Errors of readout are `readout=`.")
        close = get_close_matches(str(name), known, n=3) or OTHER_NAMES.get(name, [])
        hint = f" Do you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"`gates` must have names of Qiskit's standard gates as keys, but has {name!r}.{hint} A composite gate is "
            "noisy by the gates that it is made of."
        )
    if qubits is None:
        return name
    listed = [qubits] if isinstance(qubits, int | np.integer) else list(qubits)
    whole = all(isinstance(q, int | np.integer) and not isinstance(q, bool) and q >= 0 for q in listed)
    gate = get_standard_gate_name_mapping().get(name)
    size = gate.num_qubits if gate is not None and name != "delay" else len(listed)
    if not whole or len(set(listed)) != len(listed) or len(listed) != size:
        raise ValueError(f"`gates` must name {size} different qubits of {name!r}, but has {qubits!r}.")
    return name, tuple(int(q) for q in listed)


def _order(item: Any) -> tuple[str, tuple[int, ...]]:
    key = item[0]
    return (key, ()) if isinstance(key, str) else key


def _idle(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(each, Idle) for each in value.values()):
        raise TypeError(f"`idle` must be a mapping of qubits to qmljax.noise.Idle, but is {shown(value)}.")
    for each in value.values():
        each.during(0.0)  # which checks it
    return dict(value)


def _of_gate(key: Any, channel: Any) -> Channel:
    if not isinstance(channel, Channel):
        raise TypeError(
            f"`gates[{key!r}]` must be a channel, such as qmljax.noise.depolarizing(0.01), but is {shown(channel)}."
        )
    key = _key(key)
    size = len(key[1]) if not isinstance(key, str) else None
    gate = get_standard_gate_name_mapping().get(key if isinstance(key, str) else key[0])
    size = size if size is not None or gate is None or key == "delay" else gate.num_qubits
    if size is not None and channel.num_qubits not in (1, size):
        raise ValueError(
            f"`gates[{key!r}]` must be a channel on {size} qubits, as the gate is, or on one, but acts on "
            f"{channel.num_qubits}."
        )
    return channel


def _readout(value: Any) -> Any:
    if value is None or isinstance(value, Mapping) and not value:
        return None
    if isinstance(value, Mapping):
        for q in value:
            check_count(q, "readout", 0, what="a matrix, one for each qubit, or a mapping of qubits, integers")
        return {int(q): stochastic(matrix, f"readout[{q}]") for q, matrix in value.items()}
    return stochastic(value, "readout")


_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}


def _seconds(delay: Any, dt: float | None) -> float:
    duration, unit = delay.duration, delay.unit
    if hasattr(duration, "parameters"):
        if duration.parameters:
            raise ValueError("A delay must have a number as its duration where it is noisy. Bind its parameters.")
        duration = float(duration)
    if unit == "dt":
        if dt is None:
            raise ValueError("A delay in units of dt needs `dt` of the noise model, in seconds.")
        return float(duration) * dt
    if unit not in _UNITS:
        raise ValueError(f"A delay must have a duration in s, ms, us, ns, ps or dt where it is noisy, but has {unit}.")
    return float(duration) * _UNITS[unit]
