"""Random numbers of keys. Oracle: `jax.random`, whose numbers these are."""

import jax
import numpy as np
import pytest

from qmljax._engine.threefry import random_bits, uniform, uniform_numbers, words_of


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


@pytest.mark.parametrize("partitionable", [True, False])
@pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_words_are_those_of_jax(kind, partitionable):
    before = jax.config.jax_threefry_partitionable
    jax.config.update("jax_threefry_partitionable", partitionable)
    try:
        for keys in (jax.random.key(5, impl=kind), jax.random.split(jax.random.key(6, impl=kind), 3)):
            ours, theirs = lambda k: random_bits(k, 999), lambda k: jax.random.bits(k, (999,), np.uint32)
            if keys.ndim:
                ours, theirs = jax.vmap(ours), jax.vmap(theirs)
            np.testing.assert_array_equal(ours(keys), theirs(keys))
            np.testing.assert_array_equal(jax.jit(ours)(keys), theirs(keys))
    finally:
        jax.config.update("jax_threefry_partitionable", before)
    raw = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(random_bits(raw, 10), jax.random.bits(raw, (10,), np.uint32))


def test_keys_of_a_batch_and_of_other_generators():
    keys = jax.random.split(jax.random.key(0), 5)
    found = jax.vmap(lambda key: uniform(words_of(key), 100))(keys)
    wanted = jax.vmap(lambda key: jax.random.uniform(key, (100,), np.float32))(keys)
    np.testing.assert_array_equal(found, wanted)
    other = [uniform(words_of(jax.random.key(seed, impl="rbg")), 10_000) for seed in (0, 1)]
    assert (other[0] != other[1]).any()
    np.testing.assert_allclose([u.mean() for u in other], 0.5, atol=0.02)
