"""The counter hash that gives trajectories their uniform numbers. Each bound fails for 1 key in 10^4."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro.infer.hmc.random_bits import counter_uniform, seed_words

ERROR_RATE = 1e-4
COUNTERS = np.arange(1, 2**14 + 1, dtype=np.int32)


@partial(jax.jit, static_argnums=2)
def uniforms(seeds, counters, dtype):
    """An array by seeds and counters."""
    return jax.vmap(lambda s: jax.vmap(lambda c: counter_uniform(s, c, dtype))(counters))(seeds)


def seeds(count, root=0):
    return jax.vmap(lambda i: seed_words(jax.random.fold_in(jax.random.key(root), i)))(np.arange(count))


def is_uniform(sample, bins=64):
    counts = np.histogram(np.ravel(sample), bins=bins, range=(0, 1))[0]
    return scipy.stats.chisquare(counts).pvalue > ERROR_RATE


def test_numbers_lie_strictly_between_0_and_1(precision):
    numbers = np.asarray(uniforms(seeds(16), COUNTERS, precision))
    assert numbers.dtype == precision
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert np.all(np.isfinite(np.log(numbers)))


def test_extreme_words_stay_between_0_and_1(precision):
    cells = np.array([0, 2**23 - 1]) * 2.0**-23 + 2.0**-24
    assert np.all((cells.astype(precision) > 0) & (cells.astype(precision) < 1))


@pytest.mark.parametrize(
    "counters",
    [COUNTERS, -2 * np.arange(1024, dtype=np.int32) - 1, -2 * np.arange(1024, dtype=np.int32) - 2],
    ids=["leaves", "directions", "doublings"],
)
def test_uniform_over_counters_and_over_seeds(counters):
    numbers = np.asarray(uniforms(seeds(256), counters, np.dtype(np.float32)))
    assert is_uniform(numbers[0])
    assert is_uniform(numbers[:, 0])
    assert is_uniform(numbers[:, 0] + numbers[:, 1] - np.floor(numbers[:, 0] + numbers[:, 1]), bins=16)
    assert is_uniform(numbers, bins=1024)


def test_both_dtypes_draw_the_same_numbers(x64):
    single = np.asarray(uniforms(seeds(2), COUNTERS[:100], np.dtype(np.float32)))
    double = np.asarray(uniforms(seeds(2), COUNTERS[:100], np.dtype(np.float64)))
    np.testing.assert_allclose(single, double, rtol=2e-7)


@pytest.mark.parametrize("lag", [1, 2, 3, 7, 64, 256])
def test_counters_are_independent(lag):
    numbers = np.asarray(uniforms(seeds(8), COUNTERS, np.dtype(np.float32)))
    assert is_independent(numbers[:, :-lag], numbers[:, lag:])


@pytest.mark.parametrize("words", [(1, 0), (0, 1), (1, 1), (1, 2**32 - 1), (2**31, 0), (0, 2**31)])
def test_neighbouring_seeds_are_independent(words):
    first = seeds(8)
    second = first + np.array(words, np.uint32)
    u, v = (np.asarray(uniforms(s, COUNTERS, np.dtype(np.float32))) for s in (first, second))
    assert is_independent(u, v)
    assert is_independent(u[:, :-1], v[:, 1:])


def is_independent(u, v, bins=16):
    """Chi-square test of a two-way table of joint cells against the uniform."""
    counts = np.histogram2d(np.ravel(u), np.ravel(v), bins=bins, range=[(0, 1), (0, 1)])[0]
    return scipy.stats.chisquare(np.ravel(counts)).pvalue > ERROR_RATE


def test_every_bit_of_the_counter_moves_half_of_the_bits():
    base = np.asarray(uniforms(seeds(64), COUNTERS[:256], np.dtype(np.float32)))
    bits = lambda u: (u * 2**23).astype(np.int64)
    for bit in range(20):
        flipped = np.asarray(uniforms(seeds(64), COUNTERS[:256] ^ np.int32(1 << bit), np.dtype(np.float32)))
        changed = bits(base) ^ bits(flipped)
        share = np.mean((changed[..., None] >> np.arange(23)) & 1, axis=(0, 1))
        # 64 * 256 fair coins for each of 20 * 23 pairs of bits: six standard deviations
        assert np.max(np.abs(share - 0.5)) < 6 * 0.5 / np.sqrt(64 * 256)


def test_seed_words_come_from_the_key():
    assert seed_words(jax.random.key(0)).shape == (2,)
    assert seed_words(jax.random.key(0)).dtype == jnp.uint32
    assert not np.array_equal(seed_words(jax.random.key(0)), seed_words(jax.random.key(1)))
    assert np.array_equal(seed_words(jax.random.key(3)), seed_words(jax.random.PRNGKey(3)))
