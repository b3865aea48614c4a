"""Losses of the QML literature that optax does not have; each gives a value for every sample, of which take the mean.

For squared errors, Huber losses, hinge losses and cross-entropies of logits use `optax.losses`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qmljax._checks import check_array, shown

# Directions of c states on the Bloch sphere, as far from each other as can be.
_ROOT = np.sqrt(np.array([2.0, 3.0, 8.0, 6.0]))
_SOLIDS = {
    2: [(0, 0, 1), (0, 0, -1)],
    3: [(0, 0, 1), (_ROOT[1] / 2, 0, -1 / 2), (-_ROOT[1] / 2, 0, -1 / 2)],
    4: [
        (0, 0, 1),
        (_ROOT[2] / 3, 0, -1 / 3),
        (-_ROOT[0] / 3, _ROOT[3] / 3, -1 / 3),
        (-_ROOT[0] / 3, -_ROOT[3] / 3, -1 / 3),
    ],
    6: [(0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)],
}


def cross_entropy(probabilities: Any, labels: Any) -> Array:
    """The cross-entropy of probabilities, such as the outputs of a `sampler_qnn`: ``-sum_c y_c log p_c``.

    Below the rounding error e of the dtype the logarithm goes on as its tangent, ``log e + (p - e) / e``: the loss is
    finite at a probability of zero, and its gradient is its derivative everywhere, which pushes the probability up.

    Args:
        probabilities: Of shape (..., C).
        labels: Classes, integers of shape (...), or distributions over the classes such as one-hot vectors, floating
            point of shape (..., C).

    Returns:
        An array of shape (...).

    Raises:
        ValueError: The shapes do not fit, or a class is not one of 0 to C - 1. (While JAX traces, where labels have no
            values yet, such a class gives NaN.)

    Example:
        >>> cross_entropy(jnp.array([[0.25, 0.75], [0.5, 0.5]]), jnp.array([0, 1])).round(3)
        Array([1.386, 0.693], dtype=float32)
    """
    p = jnp.asarray(check_array(probabilities, "probabilities", "of shape (..., C)"))
    labels = jnp.asarray(check_array(labels, "labels", "classes of shape (...), or distributions of shape (..., C)"))
    if not p.ndim or not jnp.issubdtype(p.dtype, jnp.floating):
        raise ValueError(f"`probabilities` must be floating point numbers of shape (..., C), but are {shown(p)}.")
    tiny = jnp.asarray(jnp.finfo(p.dtype).eps, p.dtype)
    log = jnp.where(p > tiny, jnp.log(jnp.maximum(p, tiny)), jnp.log(tiny) + (p - tiny) / tiny)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        if labels.shape != p.shape:
            raise ValueError(
                f"`labels` that are distributions must have the shape of `probabilities`, {p.shape}, but have shape "
                f"{labels.shape}. Classes are integers."
            )
        return -(labels.astype(p.dtype) * log).sum(axis=-1)
    if labels.shape != p.shape[:-1]:
        raise ValueError(f"`labels` must have shape {p.shape[:-1]}, a class for each sample, but are {shown(labels)}.")
    labels = _checked_classes(labels, p.shape[-1])
    return -jnp.take_along_axis(log, labels[..., None], axis=-1, mode="fill")[..., 0]


def class_states(classes: int) -> tuple[list[Mapping[str, float]], np.ndarray]:
    """States of one qubit to tell `classes` classes apart by, as far from each other as can be.

    Args:
        classes: 2, 3, 4 or 6.

    Returns:
        Projectors, observables for an `estimator_qnn` on one qubit, whose outputs are the fidelities to the states;
        and the fidelities between the states, of shape (C, C).

    Raises:
        ValueError: There are no states for that many classes.

    Example:
        >>> observables, overlaps = class_states(3)
        >>> overlaps.round(2).tolist()
        [[1.0, 0.25, 0.25], [0.25, 1.0, 0.25], [0.25, 0.25, 1.0]]

    References:
        A. Perez-Salinas, A. Cervera-Lierta, E. Gil-Fuster, J. I. Latorre, "Data re-uploading for a universal quantum
        classifier", Quantum 4, 226 (2020), section 4.
    """
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes not in _SOLIDS:
        raise ValueError(f"`classes` must be {', '.join(map(str, list(_SOLIDS)[:-1]))} or 6, but is {classes!r}.")
    directions = np.array(_SOLIDS[classes])
    observables: list[Mapping[str, float]] = [
        {"I": 0.5} | {p: r / 2 for p, r in zip("XYZ", d.tolist(), strict=True) if r} for d in directions
    ]
    return observables, (1 + directions @ directions.T) / 2


def weighted_fidelity(fidelities: Any, labels: Any, overlaps: Any, class_weights: Any = 1.0) -> Array:
    """The weighted fidelity loss: ``sum_c (a_c F_c - Y_c)**2 / 2``.

    F_c is the fidelity of a sample's state to the state of class c, Y_c that of its own class's state, and a_c are
    weights, trained like the others.

    Args:
        fidelities: Of shape (..., C).
        labels: Classes, integers of shape (...).
        overlaps: The fidelities between the class states, of shape (C, C); see `class_states`.
        class_weights: a_c, of shape (C,), or a number.

    Returns:
        An array of shape (...).

    Raises:
        ValueError: The shapes do not fit, or a class is not one of 0 to C - 1. (While JAX traces, where labels have no
            values yet, such a class gives NaN.)

    Example:
        >>> _, overlaps = class_states(2)
        >>> weighted_fidelity(jnp.array([[0.9, 0.1]]), jnp.array([0]), overlaps).round(3)
        Array([0.01], dtype=float32)

    References:
        The paper of `class_states`, equations (23) and (24).
    """
    fidelities = jnp.asarray(check_array(fidelities, "fidelities", "of shape (..., C)"))
    labels = jnp.asarray(check_array(labels, "labels", "classes of shape (...)"))
    overlaps = jnp.asarray(check_array(overlaps, "overlaps", "of shape (C, C)"), fidelities.dtype)
    classes = fidelities.shape[-1] if fidelities.ndim else 0
    if not classes or overlaps.shape != (classes, classes) or labels.shape != fidelities.shape[:-1]:
        raise ValueError(
            f"`fidelities` of shape {fidelities.shape} need `labels` of shape {fidelities.shape[:-1]} and `overlaps` "
            f"of shape {(classes, classes)}, but they have {labels.shape} and {overlaps.shape}."
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"`labels` must be classes, integers from 0 to {classes - 1}, but have dtype {labels.dtype}.")
    labels = _checked_classes(labels, classes)
    weights = check_array(class_weights, "class_weights", f"of shape ({classes},) or ()")
    if weights.shape not in ((), (classes,)):
        raise ValueError(
            f"`class_weights` must be a number, or one for each of the {classes} classes, but is {shown(weights)}."
        )
    weights = jnp.broadcast_to(jnp.asarray(weights, fidelities.dtype), fidelities.shape)
    aims = overlaps.at[labels].get(mode="fill", fill_value=jnp.nan)
    return ((weights * fidelities - aims) ** 2).sum(axis=-1) / 2


def _checked_classes(labels: Array, classes: int) -> Array:
    """Labels with values are refused if they are no classes; under a trace they become `classes`, out of bounds."""
    if isinstance(labels, jax.core.Tracer):
        return jnp.where(labels < 0, jnp.asarray(classes, labels.dtype), labels)  # else indices from the end
    values = np.asarray(labels)
    if values.size and not 0 <= values.min() <= values.max() < classes:
        raise ValueError(
            f"`labels` must be classes from 0 to {classes - 1}, but reach from {values.min()} to {values.max()}."
        )
    return labels
