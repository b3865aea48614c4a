"""Outcomes as people read them: how often each string of bits came."""

from typing import Any

import numpy as np

from qmljax._checks import check_count, shown


def counts(outcomes: Any, num_bits: int) -> Any:
    """How often each outcome came, as a mapping of strings of bits, bit 0 last, as Qiskit writes them.

    Args:
        outcomes: Integers of shape (..., shots), as from `sample`.
        num_bits: How many bits an outcome has.

    Returns:
        A dictionary such as ``{"00": 512, "11": 488}``, by ascending outcomes; of a batch a list of such, nested as it
        is.

    Raises:
        TypeError: `outcomes` are no integers.
        ValueError: `num_bits` is no positive integer, or an outcome has more bits or is negative, as those are of
            parameters that are not finite.

    Example:
        >>> counts([0, 3, 3, 2], 2)
        {'00': 1, '10': 1, '11': 2}

    References:
        Qiskit's `BitArray.get_counts`.
    """
    num_bits = check_count(num_bits, "num_bits", most=31)
    try:
        array = np.asarray(outcomes)
    except (TypeError, ValueError):  # a ragged list
        array = np.asarray(None)
    if array.dtype.kind not in "iu" or not array.ndim:
        raise TypeError(f"`outcomes` must be integers of shape (..., shots), but is {shown(outcomes)}.")
    if array.size and not 0 <= array.min() <= array.max() < 1 << num_bits:
        raise ValueError(
            f"`outcomes` must be integers from 0 to {(1 << num_bits) - 1}, of {num_bits} bits, but reach from "
            f"{array.min()} to {array.max()}."
        )
    if array.ndim > 1:
        return [counts(row, num_bits) for row in array]
    values, times = np.unique(array, return_counts=True)
    return {format(int(v), f"0{num_bits}b"): int(t) for v, t in zip(values, times, strict=True)}
