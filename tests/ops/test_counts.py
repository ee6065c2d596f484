"""Poisson and binomial draws by goodness of fit, their hats, and what happens at the edges of their parameters.

Statistical tests use a fixed key; with a new one each would fail wrongly with probability below 1e-4.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from numpyro.distributions.gof import multinomial_goodness_of_fit
from numpyro.ops.counts import binomial, poisson

KEY = jax.random.key(23)
SIGNIFICANCE = 1e-4
N = 20_000  # rejected proposals are packed
draw_poisson = jax.jit(poisson, static_argnums=2)
draw_binomial = jax.jit(binomial, static_argnums=3)


def fits(draws: np.ndarray, reference: st.rv_discrete) -> bool:
    """A test of the counts in cells between quantiles, with both tails."""
    draws = np.asarray(draws, np.int64)
    levels = np.concatenate([[1e-3, 0.01], np.linspace(0.05, 0.95, 13), [0.99, 0.999]])
    edges = np.unique(reference.ppf(levels))
    probs = np.diff(np.concatenate([[0], reference.cdf(edges), [1]]))
    cells = np.bincount(np.searchsorted(edges, draws), minlength=len(edges) + 1)
    assert cells[probs == 0].sum() == 0
    probs, cells = probs[probs > 0], cells[probs > 0]
    return len(cells) < 2 or multinomial_goodness_of_fit(probs, cells, total_count=len(draws)) > SIGNIFICANCE


@pytest.mark.parametrize("rate", [0.01, 1.0, 6.5, 9.99, 10.0, 10.6, 40.0, 2e3, 1e6, 1e8])
def test_poisson_fits(rate, precision):
    draws = np.asarray(draw_poisson(KEY, np.asarray(rate, precision), (N,)))
    assert draws.dtype == jnp.result_type(int)
    assert fits(draws, st.poisson(float(np.asarray(rate, precision))))


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.3), (10, 0.5), (30, 0.9), (10**6, 5e-6), (25, 0.4), (40, 0.7), (100, 0.1), (10**4, 0.5), (10**6, 0.97)],
)
def test_binomial_fits(n, p, precision):
    draws = np.asarray(draw_binomial(KEY, n, np.asarray(p, precision), (N,)))
    assert draws.dtype == jnp.result_type(int)
    assert fits(draws, st.binom(n, float(np.asarray(p, precision))))


def test_each_element_has_its_own_parameters():
    rates = np.array([0.0, 0.3, 7.0, 15.0, 3e4], np.float32)
    draws = np.asarray(draw_poisson(KEY, rates, (N, 5)))
    assert all(fits(draws[:, i], st.poisson(float(rates[i]))) for i in range(1, 5)) and not draws[:, 0].any()
    n, p = np.array([3, 60, 60, 1000]), np.array([0.5, 0.05, 0.6, 0.999], np.float32)
    draws = np.asarray(draw_binomial(KEY, n, p, (N, 4)))
    assert all(fits(draws[:, i], st.binom(n[i], float(p[i]))) for i in range(4))


def test_elements_and_keys_are_independent():
    draws = np.asarray(draw_poisson(KEY, np.float32(12.0), (N,)))
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 4 / np.sqrt(N)
    both = np.asarray(jax.jit(jax.vmap(lambda key: poisson(key, 12.0, (5000,))))(jax.random.split(KEY)))
    assert fits(both.reshape(-1), st.poisson(12))
    assert abs(np.corrcoef(both)[0, 1]) < 4 / np.sqrt(5000)


def test_a_tail_of_small_means_keeps_its_digits():
    """Of 2^22 counts of mean 1/2, those of at least 8 are Poisson too, although a float below 1 ends at 6e-8."""
    draws = np.asarray(draw_poisson(KEY, np.float32(0.5), (2**22,)))
    for least in (6, 7, 8):
        expected = st.poisson(0.5).sf(least - 1) * 2**22
        assert st.poisson(expected).cdf(np.sum(draws >= least)) > SIGNIFICANCE
        assert st.poisson(expected).sf(np.sum(draws >= least) - 1) > SIGNIFICANCE


@pytest.mark.parametrize("mean", [10.0, 10.3, 10.7, 14.5, 33.0, 200.0, 5000.0])
def test_hats_are_nowhere_below_the_probabilities(mean):
    """Of a proposal ``k`` from ``u`` the probability to accept is ``p(k) * slope(u) / alpha``, which is at most 1."""
    u = np.linspace(-0.5, 0.5, 40_003)[1:-1]

    def largest(a: float, b: float, shift: float, log_alpha: float, log_pmf) -> float:
        us = 0.5 - np.abs(u)
        k = np.floor((2 * a / us + b) * u + shift)
        proposed = (k >= 0) & (us >= 0.013)
        return np.max((log_pmf(k) + np.log(a / us**2 + b) - log_alpha)[proposed])

    b = 0.931 + 2.53 * np.sqrt(mean)
    inverse_alpha = np.log(1.1239 + 1.1328 / (b - 3.4))
    assert largest(-0.059 + 0.02483 * b, b, mean + 0.43, inverse_alpha, st.poisson(mean).logpmf) < 0.01
    for n in (np.ceil(2 * mean), np.ceil(3 * mean), np.ceil(100 * mean)):
        p = mean / n
        deviation = np.sqrt(mean * (1 - p))
        b = 1.15 + 2.53 * deviation
        log_alpha = np.log((2.83 + 5.1 / b) * deviation) + st.binom(n, p).logpmf(np.floor((n + 1) * p))
        assert largest(-0.0873 + 0.0248 * b + 0.01 * p, b, mean + 0.5, log_alpha, st.binom(n, p).logpmf) < 0.01


def test_edges_of_the_parameters():
    rates = np.array([0.0, np.nan, -1.0, np.inf, 1e30], np.float32)
    most = np.iinfo(jnp.result_type(int)).max
    np.testing.assert_array_equal(draw_poisson(KEY, rates, (3, 5)), np.tile([0, -1, -1, most, most], (3, 1)))
    n, p = np.array([0, 5, 5, 100, 100, 5, -2]), np.array([0.5, 0.0, 1.0, 0.0, 1.0, np.nan, 0.5])
    expected = np.array([0, 0, 5, 0, 100, 0, 0])
    np.testing.assert_array_equal(draw_binomial(KEY, n, p, (4, 7)), np.tile(expected, (4, 1)))
