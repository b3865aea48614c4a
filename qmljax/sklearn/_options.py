"""What estimators are given besides points, checked: options, labels, weights of samples and of classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from qmljax._checks import check_number


def weights_of_samples(sample_weight: Any, x: Any) -> np.ndarray:
    """The weights (N,) of points (N, d), 1 by default. A sample of weight 0 is to count as one that is not there."""
    weights = _check_sample_weight(sample_weight, x, ensure_non_negative=True, dtype=np.float64)
    if not weights.any():
        raise ValueError("`sample_weight` must be above 0 for some samples, but is 0 for all of them.")
    return weights


def labels_of(y: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Labels (N,), and the number of columns if they came as one-hot rows (N, C), of which they are the places."""
    if y.ndim == 2 and y.shape[1] > 1:
        if y.dtype.kind not in "biuf" or not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            raise ValueError("Labels of shape (N, C) must be one-hot: one 1 in each row, else 0.")
        return y.argmax(axis=1), y.shape[1]
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    return y, None


def generator(random_state: Any) -> np.random.RandomState:
    """The random numbers of an estimator."""
    try:
        return check_random_state(random_state)
    except ValueError as error:
        raise ValueError(
            f"`random_state` must be an integer from 0 on, a numpy.random.RandomState or None, but is {random_state!r}."
        ) from error


def factors_of_classes(class_weight: Any, classes: np.ndarray) -> np.ndarray | None:
    """A factor for each class; none for "balanced", where they depend on the samples."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        return None
    expected = (
        "`class_weight` must be None, 'balanced', or a dictionary, a finite number of at least 0 for classes of `y`"
    )
    if class_weight is not None and not isinstance(class_weight, Mapping):
        raise ValueError(f"{expected}, but is {class_weight!r}.")
    try:
        for value in (class_weight or {}).values():
            check_number(value, "class_weight")
        return compute_class_weight(class_weight, classes=classes, y=classes)
    except ValueError as error:
        raise ValueError(f"{expected}, but is {class_weight!r}.") from error


def weights_of_classes(class_weight: Any, classes: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of samples (N,) times those of their classes.

    "balanced" gives every class that has samples the same total, of `weights` as they come: a weight of 2 is as good as
    a sample twice.
    """
    factors = factors_of_classes(class_weight, classes)
    index = np.searchsorted(classes, y)
    if factors is None:
        totals = np.bincount(index, weights, len(classes))
        there = totals > 0
        return weights * (totals.sum() / (there.sum() * np.where(there, totals, 1.0)))[index]
    if not (weights * factors[index]).any():
        raise ValueError(f"`class_weight` must leave some samples a weight above 0, but is {class_weight!r}.")
    return weights * factors[index]
