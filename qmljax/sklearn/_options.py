"""What estimators are given besides points and labels: numbers among options, weights of samples and of classes."""

import math
import numbers
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight


def check_number(name: str, value: Any, *, zero: bool = False, below: float = math.inf) -> None:
    """Refuses what is no finite number above 0 (or 0 as well), or not below a bound."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if not (number and math.isfinite(value) and (value > 0 or zero and value == 0) and value < below):
        least = "at least 0" if zero else "above 0"
        bound = f" and below {below:g}" if math.isfinite(below) else ""
        raise ValueError(f"`{name}` must be positive, a number {least}{bound}, but is {value!r}.")


def check_integer(name: str, value: Any, *, least: int, optional: bool = False) -> None:
    """Refuses what is no integer from `least` on, nor, where it may be left out, None."""
    if value is None and optional:
        return
    if not isinstance(value, numbers.Integral) or isinstance(value, bool | np.bool_) or value < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}{' or None' * optional}, but is {value!r}.")


def check_flag(name: str, value: Any) -> None:
    """Refuses what is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False, but is {value!r}.")


def weights_of_samples(sample_weight: Any, x: Any) -> np.ndarray:
    """The weights (N,) of points (N, d), 1 by default. A sample of weight 0 is to count as one that is not there."""
    weights = _check_sample_weight(sample_weight, x, ensure_non_negative=True, dtype=np.float64)
    if not weights.any():
        raise ValueError("`sample_weight` must be above 0 for some samples, but is 0 for all of them.")
    return weights


def weights_of_classes(class_weight: Any, classes: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of samples (N,) times those of their classes.

    "balanced" gives every class that has samples the same total, of `weights` as they come: a weight of 2 is as good as
    a sample twice.
    """
    if class_weight is None:
        return weights
    index = np.searchsorted(classes, y)
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(index, weights, len(classes))
        there = totals > 0
        return weights * (totals.sum() / (there.sum() * np.where(there, totals, 1.0)))[index]
    factors = compute_class_weight(class_weight, classes=classes, y=classes)
    if not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise ValueError(f"`class_weight` must hold finite numbers of at least 0, but is {class_weight!r}.")
    if not (weights * factors[index]).any():
        raise ValueError(f"`class_weight` must leave some samples a weight above 0, but is {class_weight!r}.")
    return weights * factors[index]
