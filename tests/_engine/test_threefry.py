"""Random numbers of keys. Oracle: `jax.random`, whose numbers these are."""

import jax
import numpy as np
import pytest

from qmljax._engine.threefry import bits, uniform, uniform_numbers, words_of


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_they_are_those_of_jax(seed, size, monkeypatch):
    key = jax.random.key(seed)
    wanted = np.asarray(jax.random.uniform(key, (size,), np.float32))
    monkeypatch.setattr("qmljax._engine.threefry.MANY", 1000)
    numbers = uniform_numbers(words_of(key), size)
    assert isinstance(numbers, np.ndarray) and numbers.dtype == np.float32
    np.testing.assert_array_equal(numbers, wanted)
    np.testing.assert_array_equal(jax.jit(lambda key: uniform(words_of(key), size))(key), wanted)
    np.testing.assert_array_equal(uniform(np.asarray(words_of(jax.random.PRNGKey(seed))), size), wanted)
    np.testing.assert_array_equal(bits(words_of(key), size), jax.random.bits(key, (size,), np.uint32))


def test_keys_of_a_batch_and_of_other_generators():
    keys = jax.random.split(jax.random.key(0), 5)
    found = jax.vmap(lambda key: uniform(words_of(key), 100))(keys)
    wanted = jax.vmap(lambda key: jax.random.uniform(key, (100,), np.float32))(keys)
    np.testing.assert_array_equal(found, wanted)
    other = [uniform(words_of(jax.random.key(seed, impl="rbg")), 10_000) for seed in (0, 1)]
    assert (other[0] != other[1]).any()
    np.testing.assert_allclose([u.mean() for u in other], 0.5, atol=0.02)
