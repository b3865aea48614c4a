"""The images of lines that two examples tell apart."""

import numpy as np


def images(samples, seed):
    """Images (samples, 8), row by row, of a line of pixels pi/2 amid noise up to pi/4; -1 horizontal, 1 vertical."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], samples)
    horizontal, vertical = rng.choice([0, 1, 2, 4, 5, 6], samples), rng.choice(4, samples)  # the first of two pixels
    first, second = np.where(y == 1, (vertical, vertical + 4), (horizontal, horizontal + 1))
    x = rng.uniform(0, np.pi / 4, (samples, 8))
    x[np.arange(samples), first] = x[np.arange(samples), second] = np.pi / 2
    return x.astype(np.float32), y
