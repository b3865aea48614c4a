"""The Fisher information of a model, and what of its weights it uses by that: the effective dimension."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from qmljax._checks import check_array, shown
from qmljax._models.parts import in_parts
from qmljax._models.protocols import Model

PART = 64  # inputs at a time, so that memory is bounded; a heuristic


def fisher_information(model: Model, weights: Any, x: Any) -> Array:
    """The Fisher information of a model's outputs about its weights: ``sum_y (d_i p_y) (d_j p_y) / p_y``, mean over x.

    The outputs of a `sampler_qnn` are the probabilities p. An output e of an `estimator_qnn` stands for a measurement
    of +1 or -1 with probabilities (1 + e) / 2 and (1 - e) / 2, so that it adds ``(d_i e) (d_j e) / (1 - e**2)``:
    observables must have the eigenvalues +1 and -1, as Pauli strings do. Outcomes of probability 0 add nothing.

    Args:
        model: A `Model`.
        weights: Of shape (..., W).
        x: Of shape (N, n_in), or (n_in,) for one input.

    Returns:
        Of shape (..., W, W), symmetric and positive semidefinite.

    Raises:
        TypeError: `model` is none, or an array holds no real numbers.
        ValueError: Shapes do not fit.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> model = qj.estimator_qnn(real_amplitudes(1, reps=0), inputs=[])
        >>> fisher_information(model, jnp.array([0.3]), jnp.zeros((1, 0))).round(3)  # of cos t
        Array([[1.]], dtype=float32)

    References:
        A. Abbas et al., "The power of quantum neural networks", Nature Computational Science 1, 403 (2021); its
        empirical Fisher information.
    """
    weights, x = _checked(model, weights, x)
    if weights.ndim > 1:
        return lax.map(lambda own: fisher_information(model, own, x), weights)
    outputs = int(np.prod(model.output_shape))
    jacobian = jax.jacrev if outputs <= model.num_weights else jax.jacfwd

    def of_input(x: Array) -> Array:
        p = lambda w: model(w, x).reshape(-1)  # noqa: E731
        values, slopes = p(weights), jacobian(p)(weights)
        if not model.normalised:
            values = jnp.concatenate([(1 + values) / 2, (1 - values) / 2])
            slopes = jnp.concatenate([slopes / 2, -slopes / 2])
        positive = values > 0
        scaled = jnp.where(positive, 1 / jnp.sqrt(jnp.where(positive, values, 1.0)), 0.0)[:, None] * slopes
        return jnp.matmul(scaled.T, scaled, precision="highest")

    of = jax.vmap(of_input)
    return jnp.mean(of(x) if len(x) <= PART else in_parts(of, x, PART), axis=0)


def effective_dimension(model: Model, weights: Any, x: Any, n: Any) -> Array:
    """How many of its weights a model uses on n data, by the Fisher information at random weights.

    ``2 log(mean_w sqrt(det(1 + k F(w)))) / log k``, with ``k = n / (2 pi log n)`` and F the Fisher information, scaled
    so that the trace of its mean over the weights is W.

    Args:
        model: A `Model`; see `fisher_information`.
        weights: Samples of the weights, of shape (S, W). One sample, the trained weights, gives the local effective
            dimension.
        x: Inputs of shape (N, n_in).
        n: The number of data, a number or an array, of at least 19, where k is above 1.

    Returns:
        Of the shape of n, from 0 to W.

    Raises:
        TypeError: `model` is none, or an array holds no real numbers.
        ValueError: Shapes do not fit, or n is too small.

    Example:
        >>> import qmljax as qj
        >>> from qiskit.circuit.library import real_amplitudes
        >>> model = qj.sampler_qnn(real_amplitudes(2, reps=1), inputs=[])
        >>> weights = jax.random.uniform(jax.random.key(0), (10, 4))
        >>> bool(effective_dimension(model, weights, jnp.zeros((1, 0)), 1000) < 4)
        True

    References:
        A. Abbas et al., "The power of quantum neural networks", Nature Computational Science 1, 403 (2021); as in
        Qiskit Machine Learning, with gamma = 1.
    """
    weights, x = _checked(model, weights, x)
    if weights.ndim != 2:
        raise ValueError(
            f"`weights` must have shape (S, {model.num_weights}), a row a sample, but is {shown(weights)}."
        )
    n = check_array(n, "n", "numbers of data")
    if not isinstance(n, jax.core.Tracer) and not np.all(np.asarray(n) >= 19):
        raise ValueError(
            f"`n` must be numbers of data of at least 19, for which n / (2 pi log n) > 1, but is {shown(n)}."
        )
    fisher = fisher_information(model, weights, x)  # (S, W, W)
    fisher = fisher * (model.num_weights / jnp.trace(fisher.mean(axis=0)))
    n = jnp.asarray(n).astype(fisher.dtype)
    kappa = n / (2 * np.pi * jnp.log(n))
    eye = jnp.eye(model.num_weights, dtype=fisher.dtype)

    def of_kappa(k: Array) -> Array:
        halves = jnp.linalg.slogdet(eye[None] + k * fisher)[1] / 2
        return 2 * (jax.nn.logsumexp(halves) - math.log(len(weights))) / jnp.log(k)

    return lax.map(of_kappa, kappa.reshape(-1)).reshape(kappa.shape)


def _checked(model: Any, weights: Any, x: Any) -> tuple[Array, Array]:
    """Weights (..., W) and inputs (N, n_in) of a model, of one dtype."""
    if not callable(model) or not all(hasattr(model, name) for name in ("num_weights", "num_inputs", "normalised")):
        raise TypeError(f"`model` must be a model, such as qj.estimator_qnn makes, but is {shown(model)}.")
    if isinstance(model, type):
        raise TypeError(f"`model` must be a model, such as qj.estimator_qnn makes, but is the class {shown(model)}.")
    weights = jnp.asarray(check_array(weights, "weights", f"of shape (..., {model.num_weights})"))
    x = jnp.asarray(check_array(x, "x", f"of shape (N, {model.num_inputs})"))
    if not weights.ndim or weights.shape[-1] != model.num_weights:
        raise ValueError(f"`weights` must have shape (..., {model.num_weights}), but are {shown(weights)}.")
    if x.ndim not in (1, 2) or x.shape[-1] != model.num_inputs:
        raise ValueError(f"`x` must have shape (N, {model.num_inputs}), but is {shown(x)}.")
    if not jnp.issubdtype(weights.dtype, jnp.floating):
        weights = weights.astype(jnp.result_type(float))
    return weights, jnp.atleast_2d(x).astype(weights.dtype)
