"""Quantum channels, whose strengths are arrays: they may be traced and differentiated.

Most are mixtures of Pauli strings: they are known by the probabilities of the strings, all others by their transfer
matrix (`_circuit.pauli_basis` has the order of the strings). Numbers that are there are computed with in float64,
whatever JAX's precision is, and are checked; numbers that are traced are taken as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from qmljax._checks import shown
from qmljax._circuit import pauli_basis
from qmljax._circuit.pauli_basis import anticommute, signs, transfer
from qmljax._models.by_value import hash_of_leaves, same_leaves


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, repr=False)
class Channel:
    """A quantum channel: what noise does to the state of some qubits. The functions of `qmljax.noise` make them.

    It is a pytree: its strengths are leaves, so that `jax.grad`, `jax.vmap` and optax take it as they take arrays.

    Attributes:
        kind: What it is, such as "depolarizing".
        num_qubits: On how many qubits it acts.
        strengths: What it is made of by name: numbers, arrays, or other channels.
        labels: Of "pauli": the strings that it applies, as numbers.

    Example:
        >>> from qmljax import noise
        >>> channel = noise.bit_flip(0.1)
        >>> channel.num_qubits, channel.is_pauli, channel.then(channel) == channel
        (1, True, False)
    """

    kind: str
    num_qubits: int
    strengths: dict[str, Any]
    labels: tuple[int, ...] = ()

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        names = tuple(self.strengths)
        return tuple(self.strengths.values()), (self.kind, self.num_qubits, names, self.labels)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], leaves: tuple[Any, ...]) -> Self:
        kind, num_qubits, names, labels = static
        return cls(kind, num_qubits, dict(zip(names, leaves, strict=True)), labels)

    def __repr__(self) -> str:
        about = ", ".join(f"{name}={shown(value)}" for name, value in self.strengths.items())
        return f"Channel({self.kind}, {about})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Channel) and same_leaves(self, other)

    def __hash__(self) -> int:
        return hash_of_leaves(self)

    @property
    def is_pauli(self) -> bool:
        """Whether it is a mixture of Pauli strings, as depolarizing noise is, whatever its strengths are."""
        parts = [part for part in self.strengths.values() if isinstance(part, Channel)]
        return all(part.is_pauli for part in parts) if parts else self.kind in _MIXTURES

    @property
    def classes(self) -> tuple[int, ...] | None:
        """Of a mixture: which Pauli strings it multiplies by the same factor, whatever its strengths are."""
        if not self.is_pauli:
            return None
        size = 4**self.num_qubits
        if self.kind == "depolarizing":
            return (0,) + (1,) * (size - 1)
        if self.kind in ("then", "tensor"):
            one, two = (np.array(part.classes) for part in self.strengths.values())
            if self.kind == "tensor":
                one, two = np.tile(one, len(two)), np.repeat(two, len(one))
            return _numbered(np.stack([one, two], axis=1))
        if self.kind == "mixture":
            return tuple(range(size))
        return _numbered(anticommute(self.num_qubits)[:, list(self.labels)])

    @property
    def probabilities(self) -> Any:
        """Of a mixture: the probability of each Pauli string, (4**k,)."""
        size = 4**self.num_qubits
        if self.kind == "depolarizing":
            p = self.strengths["p"]
            return _units(size, [0], p) * (1 - p) + _units(size, range(size), p) * (p / size)
        if self.kind == "then":
            one, two = (part.probabilities for part in self.strengths.values())
            products = np.arange(size)[:, None] ^ np.arange(size)[None]  # of strings are strings
            return (one[None] * two[products]).sum(axis=1)
        if self.kind == "tensor":
            one, two = (part.probabilities for part in self.strengths.values())
            return (two[:, None] * one[None]).reshape(-1)
        if self.kind == "mixture":
            return self.strengths["probabilities"]
        values = list(self.strengths.values())
        if self.kind == "phase_damping":
            (lam,) = values
            values = [(1 - _numpy(lam).sqrt(1 - lam)) / 2]
        none = _units(size, [0], *values) * (1 - sum(values))
        return sum((_units(size, [k], p) * p for k, p in zip(self.labels, values, strict=True)), none)

    @property
    def factors(self) -> Any:
        """Of a mixture: what it multiplies each Pauli string by, (4**k,)."""
        size = 4**self.num_qubits
        if self.kind == "depolarizing":
            p = self.strengths["p"]
            return _units(size, [0], p) * p + _units(size, range(size), p) * (1 - p)
        if self.kind in ("then", "tensor"):
            one, two = (part.factors for part in self.strengths.values())
            return one * two if self.kind == "then" else (two[:, None] * one[None]).reshape(-1)
        p = self.probabilities
        with jax.default_matmul_precision("highest"):  # a GPU may otherwise round float32 products to TF32
            return signs(self.num_qubits).astype(_dtype(p)) @ p

    @property
    def matrix(self) -> Any:
        """Its transfer matrix, (4**k, 4**k)."""
        if self.is_pauli:
            factors = self.factors
            return _numpy(factors).diag(factors)
        with jax.default_matmul_precision("highest"):
            if self.kind in ("then", "tensor"):
                one, two = (part.matrix for part in self.strengths.values())
                return two @ one if self.kind == "then" else _numpy(one, two).kron(two, one)
            return _MATRICES[self.kind](**self.strengths)

    def then(self, other: "Channel") -> "Channel":
        """This channel, then another on the same qubits.

        Args:
            other: On as many qubits.

        Returns:
            The channel that does both.

        Raises:
            TypeError: `other` is no channel.
            ValueError: It acts on another number of qubits.

        Example:
            >>> from qmljax import noise
            >>> noise.bit_flip(0.1).then(noise.phase_flip(0.2)).probabilities.round(3)
            array([0.72, 0.08, 0.18, 0.02])
        """
        _check_channel(other)
        if self.num_qubits != other.num_qubits:
            raise ValueError(
                f"`other` must act on as many qubits as this channel, {self.num_qubits}, but acts on "
                f"{other.num_qubits}. Make it larger by `tensor`."
            )
        return Channel("then", self.num_qubits, {"first": self, "second": other})

    def tensor(self, other: "Channel") -> "Channel":
        """This channel on the first qubits, another on those after them.

        Args:
            other: On any number of qubits.

        Returns:
            The channel on all of them.

        Raises:
            TypeError: `other` is no channel.

        Example:
            >>> from qmljax import noise
            >>> noise.bit_flip(0.1).tensor(noise.depolarizing(0.1, 2)).num_qubits
            3
        """
        _check_channel(other)
        return Channel("tensor", self.num_qubits + other.num_qubits, {"low": self, "high": other})

    def scaled(self, factor: Any) -> "Channel":
        """The same noise, so many times as strong: every strength, and every time of relaxation, times a number.

        Args:
            factor: The number, which may be traced.

        Returns:
            The channel.

        Raises:
            ValueError: The channel is given by matrices, which have no strength; or it would be no channel any more.

        Example:
            >>> from qmljax import noise
            >>> noise.depolarizing(0.1).scaled(3)
            Channel(depolarizing, p=0.3)
        """
        if self.kind in ("kraus", "transfer", "mixture"):
            raise ValueError(f"A channel that is given as {self.kind!r} has no strength to multiply.")
        fixed = {"t1", "t2", "excited_state_population"}
        strengths = {
            name: value.scaled(factor) if isinstance(value, Channel) else value if name in fixed else value * factor
            for name, value in self.strengths.items()
        }
        scaled = Channel(self.kind, self.num_qubits, strengths, self.labels)
        scaled._check_scaled(factor)
        return scaled

    def _check_scaled(self, factor: Any) -> None:
        """Refuses what is no channel any more, where that can be seen."""
        if not all(map(is_there, jax.tree.leaves(self))):
            return
        if self.is_pauli:
            fits = float(np.min(self.probabilities)) >= -1e-9
        elif self.kind == "amplitude_damping":
            fits = 0 <= float(self.strengths["gamma"]) <= 1
        else:
            fits = float(factor) >= 0
        if not fits:
            raise ValueError(f"`factor` must leave strengths that are possible, but {shown(factor)} makes {self!r}.")

    def twirled(self) -> "Channel":
        """Its Pauli twirl: the mixture of Pauli strings that it becomes where it stands between random strings.

        It is another channel, unless this is a mixture already: amplitude damping becomes one that does not prefer
        |0>. Trajectories need it.

        Returns:
            The channel, which `is_pauli`.

        Example:
            >>> from qmljax import noise
            >>> noise.amplitude_damping(0.19).twirled().probabilities.round(4)
            array([0.9025, 0.0475, 0.0025, 0.0475])

        References:
            M. Silva, E. Magesan, D. Kribs, J. Emerson, "Scalable protocol for identification of correctable codes",
            Phys. Rev. A 78, 012347 (2008).
        """
        if self.is_pauli:
            return self
        found = pauli_basis.probabilities(_numpy(self.matrix).diagonal(self.matrix))
        return Channel("mixture", self.num_qubits, {"probabilities": found})


_MIXTURES = {"depolarizing", "pauli", "phase_damping", "mixture"}


# Transfer matrices, from strengths.


def _damping(gamma: Any) -> Any:
    keep = _numpy(gamma).sqrt(1 - gamma)
    return _affine(keep, 1 - gamma, gamma)


def _relaxation(t1: Any, t2: Any, time: Any, excited_state_population: Any) -> Any:
    xp = _numpy(t1, t2, time, excited_state_population)
    stays = xp.exp(-time / t1)
    return _affine(xp.exp(-time / t2), stays, (1 - stays) * (1 - 2 * excited_state_population))


def _affine(xy: Any, z: Any, to_z: Any) -> Any:
    """Of one qubit: X and Y shrink by `xy`, Z by `z`, and I becomes `to_z` of Z, too."""
    parts = ((xy, [1, 3], [1, 3]), (z, [2], [2]), (to_z, [2], [0]))
    out: Any = _fixed([0], [0], xy)
    for value, rows, columns in parts:
        out = out + value * _fixed(rows, columns, xy)
    return out


def _fixed(rows: Sequence[int], columns: Sequence[int], like: Any) -> np.ndarray:
    out = np.zeros((4, 4), _dtype(like))
    out[list(rows), list(columns)] = 1
    return out


_MATRICES: dict[str, Callable[..., Any]] = {
    "amplitude_damping": _damping,
    "thermal_relaxation": _relaxation,
    "kraus": lambda matrices: transfer(matrices, _numpy(matrices)),
    "transfer": lambda matrix: matrix,
}


def _check_channel(other: Any) -> None:
    if not isinstance(other, Channel):
        raise TypeError(f"`other` must be a channel, such as qmljax.noise.bit_flip(0.1), but is {shown(other)}.")


def is_there(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def _numpy(*values: Any) -> Any:
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


def _dtype(value: Any) -> Any:
    return value.dtype if isinstance(value, jax.Array) else np.dtype(np.float64)


def _units(size: int, places: Any, *like: Any) -> np.ndarray:
    """1 at some places, in the precision of numbers that are JAX's."""
    arrays = [value for value in like if isinstance(value, jax.Array)]
    out = np.zeros(size, jnp.result_type(*arrays) if arrays else np.float64)
    out[list(places)] = 1
    return out


def _numbered(rows: np.ndarray) -> tuple[int, ...]:
    """Numbers for rows: the same for equal ones."""
    return tuple(np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).tolist())
