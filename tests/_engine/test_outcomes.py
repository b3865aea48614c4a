"""Draws from distributions. Oracle: the binomial distribution of how often a set of outcomes of known weight is drawn.

Keys are fixed, and so are the results: the bounds, 5 standard deviations and one count, say what a fair draw keeps to.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qmljax._engine.outcomes import BLOCK, sample_index

draw = jax.jit(sample_index, static_argnums=2)


def assert_fair(hits: np.ndarray, probability: np.ndarray | float) -> None:
    """Along the last axis the hits are independent, each with that probability."""
    shots, p = hits.shape[-1], np.asarray(probability)
    error = np.abs(hits.sum(axis=-1) - shots * p)
    assert (error <= 5 * np.sqrt(shots * p * (1 - p)) + 1).all(), error / np.sqrt(shots * p * (1 - p))


def bits(outcomes: np.ndarray, n: int) -> np.ndarray:
    """(n, shots)"""
    return np.asarray(outcomes) >> np.arange(n)[:, None] & 1


def assert_independent(one: np.ndarray, two: np.ndarray, weight_one: np.ndarray, weight_two: np.ndarray) -> None:
    """Each row of 0 and 1 in `one` with each in `two`: both are 1 as often as the product of their weights says."""
    assert_fair(one[:, None] & two[None, :], weight_one[:, None] * weight_two[None, :])


@pytest.mark.parametrize("n", [1, 4, 13, 25])
def test_bits_and_pairs_of_a_product_are_fair(n):
    """A product of qubits that read 1 with different probabilities, two of them rarely and one nearly always."""
    weights = np.random.default_rng(n).uniform(0.2, 0.8, n)
    weights[-1] = 0.5
    if n > 4:
        weights[[1, 3, n - 2]] = 1e-3, 2e-4, 0.999
    p = np.ones(1, np.float32)
    for w in weights.astype(np.float32):
        p = np.concatenate([p * (1 - w), p * w])
    read = bits(draw(p, jax.random.key(n), 200_000), n)
    assert_fair(read, weights)
    upper = np.triu_indices(n, 1)
    assert_fair(read[upper[0]] & read[upper[1]], weights[upper[0]] * weights[upper[1]])
    assert_independent(read[:, 1:], read[:, :-1], weights, weights)  # of one shot and the next


@pytest.mark.parametrize("n, probability, dtype", [(20, 1e-8, np.float64), (24, 1e-8, np.float32)])
def test_rare_outcomes(n, probability, dtype):
    """2**12 outcomes of this probability each, anywhere, beside two that take the rest."""
    rare = np.random.default_rng(n).choice(1 << n, 1 << 12, replace=False)
    with jax.enable_x64(dtype == np.float64):
        rest = (1 - probability * 2**12) / 2
        p = jnp.zeros(1 << n, dtype).at[np.array([5, -7])].set(rest).at[rare].set(probability)
        outcomes = np.asarray(draw(p, jax.random.key(1), 1 << 21))
    assert_fair(outcomes == 5, rest)
    hits = np.isin(outcomes, rare)
    assert hits.sum() + (outcomes == 5).sum() + (outcomes == (1 << n) - 7).sum() == len(outcomes)  # nothing impossible
    assert_fair(hits, probability * 2**12)
    assert_fair(np.isin(outcomes, rare[: 1 << 11]), probability * 2**11)


def test_two_rare_events_are_independent():
    """Digits tie in both turns: they must not be decided by the same bits."""
    a, b = 1e-3, 2e-3
    p = np.float32([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    read = bits(draw(p, jax.random.key(0), 1 << 23), 2)
    assert_fair(read, np.array([a, b]))
    assert_fair(read[0] & read[1], a * b)


def test_members_and_blocks_are_independent():
    p = np.full((3, 4), 0.25, np.float32)
    outcomes = np.asarray(draw(p, jax.random.key(0), BLOCK + 1000))
    one, two, three = (bits(row, 2) for row in outcomes)
    half = np.full(2, 0.5)
    for x, y in ((one, two), (two, three), (one, three)):
        assert_independent(x, y, half, half)
    size = BLOCK // 3
    assert_independent(one[:, :size], one[:, size : 2 * size], half, half)
    assert_independent(one[:, 1:], one[:, :-1], half, half)


def test_every_member_has_its_own_distribution():
    p = np.float32([[0.1, 0.2, 0.3, 0.4], [0, 0, 0, 2.0], [0.5, 0, 0, 0.5]])
    outcomes = np.asarray(draw(p.reshape(3, 1, 4), jax.random.key(5), 50_000))
    assert outcomes.shape == (3, 1, 50_000) and outcomes.dtype == np.int32
    for row, weights in zip(outcomes[:, 0], p / p.sum(axis=1, keepdims=True), strict=True):
        for k, w in enumerate(weights):
            assert_fair(row == k, w)


def test_impossible_outcomes_are_never_drawn():
    rng = np.random.default_rng(0)
    p = np.where(rng.random(1 << 14) < 0.1, rng.random(1 << 14), 0).astype(np.float32)
    for shots in (1000, 1_000_000):
        assert (p[np.asarray(draw(p, jax.random.key(0), shots))] > 0).all()
    one = np.zeros((3, 4), np.float32)
    one[[0, 1, 2], [0, 3, 1]] = 1e-30
    assert (sample_index(one, jax.random.key(0), 5) == np.array([[0], [3], [1]])).all()
    assert (sample_index(np.ones((2, 1), np.float32), jax.random.key(0), 5) == 0).all()  # no qubits: one outcome


def test_no_distribution_gives_no_outcome():
    p = np.full((4, 8), 0.125, np.float32)
    p[0, 3], p[1, 7], p[2] = np.nan, np.inf, 0
    outcomes = np.asarray(draw(p, jax.random.key(0), 100))
    assert (outcomes[:3] == -1).all() and (outcomes[3] >= 0).all()
