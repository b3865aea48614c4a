"""Gradients from few values of the loss: SPSA, and with the fidelity of states its natural gradient, for optax."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from qmljax._checks import check_count, check_key, check_number
from qmljax._engine.state import PRECISION
from qmljax._training.optimizers import check_signature


class SPSAState(NamedTuple):
    """The key of the next step, and the number of steps taken."""

    key: Array
    steps: Array


def spsa(
    key: Array, perturbation: float | optax.Schedule = 0.1, samples: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Simultaneous perturbation stochastic approximation: an estimate of the gradient from two values of the loss.

    The gradient that it is given is not looked at, and `fit` does not compute it. The loss is taken at random points
    ``weights +- perturbation * signs``.

    Args:
        key: A JAX random key.
        perturbation: How far to go, in the units of the weights; a number, or an optax schedule. Spall's is
            ``lambda t: c / (t + 1) ** 0.101``.
        samples: Of how many estimates to take the mean; each costs two values.

    Returns:
        An optax transformation whose `update` needs the argument `value_fn`, as `fit` passes it; chain it with a step
        size. Spall's is ``optax.sgd(lambda t: a / (t + 1 + 10) ** 0.602)``.

    Raises:
        ValueError: `samples` is not positive, or `perturbation` is zero.

    Example:
        >>> import qmljax as qj
        >>> optimizer = optax.chain(qj.spsa(jax.random.key(0)), optax.sgd(0.1))
        >>> weights = jnp.ones(3)
        >>> loss = lambda w: jnp.sum(w**2)
        >>> updates, _ = optimizer.update(weights, optimizer.init(weights), weights, value_fn=loss)
        >>> bool(loss(weights + updates) < loss(weights))
        True

    References:
        J. C. Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient approximation",
        IEEE Trans. Autom. Control 37, 332 (1992), equation (2.2).
    """
    key = _checked_key(key, perturbation, samples)

    def update(gradient: Any, state: SPSAState, weights: Any = None, *, value_fn: Any, **_: Any) -> tuple[Any, Any]:
        flat, restore = ravel_pytree(weights)
        size = _scheduled(perturbation, state.steps, flat.dtype)
        key, own = jax.random.split(state.key)
        signs = jax.random.rademacher(own, (samples, len(flat)), flat.dtype)
        values = jax.vmap(lambda w: value_fn(restore(w)))(flat[None] + size * jnp.concatenate([signs, -signs])).reshape(
            2, samples
        )
        slopes = (values[0] - values[1]) / (2 * size)
        estimate = (slopes[:, None] * signs).mean(axis=0)  # 1 / sign = sign
        return restore(estimate.astype(flat.dtype)), SPSAState(key, state.steps + 1)

    return optax.GradientTransformationExtraArgs(lambda weights: SPSAState(key, jnp.zeros((), jnp.int32)), update)


class QNSPSAState(NamedTuple):
    """The key of the next step, the number of steps taken, and the mean of the estimates of the metric, (W, W)."""

    key: Array
    steps: Array
    metric: Array


def qnspsa(
    fidelity: Callable[[Any, Any], Array],
    key: Array,
    perturbation: float | optax.Schedule = 0.1,
    samples: int = 1,
    damping: float = 1e-3,
) -> optax.GradientTransformationExtraArgs:
    """The natural gradient of SPSA: gradient and metric from two values of the loss and four fidelities.

    Args:
        fidelity: ``(weights, weights) -> ()``, the fidelity of two states: `fidelity` of a circuit with itself.
        key: A JAX random key.
        perturbation: How far to go; a number, or an optax schedule.
        samples: Of how many estimates to take the mean in a step.
        damping: Added to the eigenvalues of the mean metric, all steps together, whose absolute values are taken.

    Returns:
        An optax transformation whose `update` needs the argument `value_fn`, as `fit` passes it; chain it with a step
        size.

    Raises:
        ValueError: `samples` or `damping` is not positive, or `perturbation` is zero.

    Example:
        >>> from qiskit.circuit.library import real_amplitudes
        >>> import qmljax as qj
        >>> circuit = real_amplitudes(2, reps=1)
        >>> optimizer = optax.chain(qj.qnspsa(qj.fidelity(circuit, circuit), jax.random.key(0)), optax.sgd(0.01))
        >>> weights = jnp.ones(4)
        >>> energy = qj.expectation(circuit, "ZZ")
        >>> updates, _ = optimizer.update(weights, optimizer.init(weights), weights, value_fn=energy)
        >>> updates.shape
        (4,)

    References:
        J. Gacon, C. Zoufal, G. Carleo, S. Woerner, "Simultaneous Perturbation Stochastic Approximation of the Quantum
        Fisher Information", Quantum 5, 567 (2021), equations (8) to (13).
    """
    check_signature(fidelity, "fidelity", "(weights, weights) -> ()")
    key = _checked_key(key, perturbation, samples)
    check_number(damping, "damping", above=True)
    estimate = spsa(key, perturbation, samples)

    def init(weights: Any) -> QNSPSAState:
        flat, _ = ravel_pytree(weights)
        return QNSPSAState(key, jnp.zeros((), jnp.int32), jnp.eye(len(flat), dtype=flat.dtype))

    def update(gradient: Any, state: QNSPSAState, weights: Any = None, *, value_fn: Any, **_: Any) -> tuple[Any, Any]:
        flat, restore = ravel_pytree(weights)
        size = _scheduled(perturbation, state.steps, flat.dtype)
        key, own, others = jax.random.split(state.key, 3)
        gradient, _ = estimate.update(gradient, SPSAState(own, state.steps), weights, value_fn=value_fn)
        first, second = jax.random.rademacher(others, (2, samples, len(flat)), flat.dtype)
        # To leading order F(w, w + s) = 1 - s.G.s, so that these four, with signs + - - +, make -4 s1.G.s2.
        points = flat[None] + size * jnp.concatenate([first + second, first, second - first, -first])
        values = jax.vmap(lambda w: fidelity(weights, restore(w)))(points).reshape(4, samples)
        change = (values[0] - values[1] - values[2] + values[3]) / (2 * size**2)
        outer = jnp.einsum("s,si,sj->ij", change, first, second, precision=PRECISION) / samples
        step = -(outer + outer.T) / 4
        count = (state.steps + 1).astype(flat.dtype)
        mean = (state.metric * count + step.astype(flat.dtype)) / (count + 1)  # the unit matrix is the first estimate
        values, vectors = jnp.linalg.eigh(mean)
        parts = jnp.einsum("ij,i->j", vectors, ravel_pytree(gradient)[0], precision=PRECISION)
        natural = jnp.einsum("ij,j->i", vectors, parts / (jnp.abs(values) + damping), precision=PRECISION)
        return restore(natural), QNSPSAState(key, state.steps + 1, mean)

    return optax.GradientTransformationExtraArgs(init, update)


def _checked_key(key: Any, perturbation: Any, samples: int) -> Array:
    """The key as one that says that it is one, by which `fit` gives the members of an ensemble keys of their own."""
    check_key(key, hint="Pass one of them. Members of an ensemble draw by keys of their own already.")
    check_count(samples, "samples")
    if not callable(perturbation):
        check_number(perturbation, "perturbation", above=True, hint="Pass such a number, or a schedule.")
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(jnp.asarray(key))


def _scheduled(value: float | optax.Schedule, count: Array, dtype: Any) -> Array:
    return jnp.asarray(value(count) if callable(value) else value, dtype)
