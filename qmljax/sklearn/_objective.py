"""What a network's outputs mean, and the loss of a network: what is compiled, and shared by all that are equal."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qmljax import losses
from qmljax._forgetting import forgetful_jit
from qmljax._models.parts import room

ERRORS: dict[str, Callable[[Array, Array], Array]] = {
    "squared_error": optax.losses.squared_error,
    "absolute_error": lambda outputs, targets: jnp.abs(outputs - targets),
    "huber": optax.losses.huber_loss,
}


@dataclass(frozen=True)
class Outputs:
    """What a network's outputs mean: `kind` is "values", "sign" (one output), "logits" or "probabilities"."""

    network: Any
    kind: str
    count: int  # how many of them are used
    scale: float = 1.0

    def __call__(self, weights: Any, x: Any) -> Array:
        """(N, features) -> values (N, count), or probabilities of classes (N, classes)."""
        raw = self.raw(weights, x)
        if self.kind == "sign":
            p = jnp.clip((1 + raw) / 2, 0, 1)
            return jnp.concatenate([1 - p, p], axis=1)
        if self.kind == "logits":
            return jax.nn.softmax(self.scale * raw, axis=1)
        if self.kind == "probabilities":
            total = raw.sum(axis=1, keepdims=True)
            even = jnp.full_like(raw, 1 / self.count)  # where all probability is on outcomes of no class
            return jnp.where(total > 0, raw / jnp.where(total > 0, total, 1), even)
        return raw

    def raw(self, weights: Any, x: Any) -> Array:
        """(N, features) -> (N, count)."""
        return self.network(weights, x).reshape(len(x), -1)[:, : self.count]


@dataclass(frozen=True)
class Objective:
    """The loss of a network: the weighted mean over the samples, and ``alpha |weights|**2 / 2``.

    It is equal by value, as what is compiled for it.
    """

    outputs: Outputs
    loss: str | Callable[[Array, Array], Array]
    alpha: float = 0.0

    def __call__(self, weights: Any, x: Any, targets: Array, sample_weight: Array) -> Array:
        """`targets` are values (N, count), or one-hot (N, classes)."""
        mean = (sample_weight * self._of_samples(weights, x, targets)).mean()
        return mean + self.alpha / 2 * jnp.sum(weights**2) if self.alpha else mean

    def _of_samples(self, weights: Any, x: Any, targets: Array) -> Array:
        kind, raw = self.outputs.kind, self.outputs.raw(weights, x)
        if callable(self.loss):
            values = self.loss(raw, targets)
            if jnp.shape(values) != (len(raw),):  # others would broadcast against the weights of the samples
                raise ValueError(
                    f"`loss` must return a value for each sample, of shape ({len(raw)},) for outputs of shape "
                    f"{raw.shape}, but returns shape {jnp.shape(values)}. Sum over the outputs, not over the samples."
                )
            return values
        if self.loss == "cross_entropy":
            if kind == "logits":
                return optax.losses.softmax_cross_entropy(self.outputs.scale * raw, targets)
            p = jnp.concatenate([(1 - raw) / 2, (1 + raw) / 2], axis=1) if kind == "sign" else raw
            return losses.cross_entropy(p, targets)
        if kind == "sign":
            targets = targets[:, 1:]
        aims = 2 * targets - 1 if kind in ("sign", "logits") else targets  # of expectation values: -1 and 1
        return ERRORS[self.loss](raw, aims).sum(axis=1)


@functools.partial(forgetful_jit, static_argnums=0)
def evaluate(outputs: Outputs, weights: Array, x: Array) -> Array:
    return outputs(weights, x)


Samples = tuple[np.ndarray, np.ndarray, np.ndarray]  # points (N, d), targets (N, k), weights (N,)


def weighted(samples: Samples, pad: bool = False) -> Samples:
    """The data of an `Objective`: weights of mean 1, padding included."""
    x, targets, sample_weight = samples
    more = room(len(x)) - len(x) if pad else 0
    x, targets = (np.concatenate([a, np.repeat(a[:1], more, axis=0)]) for a in (x, targets))
    sample_weight = np.concatenate([sample_weight, np.zeros(more)])
    return x, targets.astype(x.dtype), (sample_weight / sample_weight.mean()).astype(x.dtype)
