"""What all data sets are asked for, checked."""

from typing import Any

from numpy.random import Generator

from qmljax._checks import check_count


def check_samples(samples: Any, seed: Any, **sizes: Any) -> None:
    """What all data sets are asked for: an even number of samples, a seed, and sizes of at least 1."""
    if check_count(samples, "samples") % 2:
        raise ValueError(f"`samples` must be an even number, so that labels are balanced, but is {samples!r}.")
    for name, value in sizes.items():
        check_count(value, name)
    if not isinstance(seed, Generator):
        check_count(seed, "seed", least=0)
