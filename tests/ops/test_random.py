"""Samplers by goodness of fit, and at the edges of their parameters.

Statistical tests use a fixed key; with a new one each would fail wrongly with probability below 1e-4.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from numpyro.ops.random import binomial, categorical, gamma_poisson, multinomial, von_mises_centered

KEY = jax.random.key(11)
SIGNIFICANCE = 1e-4
N = 5000


def fits_counts(draws: np.ndarray, reference: st.rv_discrete) -> bool:
    """A chi-square test over bins of some ten per cent each."""
    edges = np.unique(reference.ppf(np.linspace(0.1, 0.9, 9)))
    expected = np.diff(np.concatenate([[0], reference.cdf(edges), [1]])) * len(draws)
    observed = np.diff(np.concatenate([[0], [np.sum(draws <= edge) for edge in edges], [len(draws)]]))
    keep = expected > 0
    assert observed[~keep].sum() == 0
    return keep.sum() < 2 or st.chisquare(observed[keep], expected[keep]).pvalue > SIGNIFICANCE


def test_binomial_fits_for_small_and_large_means(precision):
    n, p = np.array([1, 7, 40, 1000, 100_000]), np.array([0.3, 0.9, 0.02, 0.4, 0.999], precision)
    draws = np.asarray(binomial(KEY, p, n, (N, 5)))
    assert draws.dtype == jnp.result_type(int)
    for i in range(5):
        assert fits_counts(draws[:, i], st.binom(n[i], float(p[i])))


def test_binomial_ends_for_every_count_and_probability():
    n = np.array([0, 0, 0, 5, 5, 2**30, 2**30, 2**31 - 1, 2**31 - 1], np.int32)
    p = np.array([0.0, 0.5, 1.0, 0.0, 1.0, 1e-9, 1.0, 0.5, 1.0], np.float32)
    draws = np.asarray(binomial(KEY, p, n, (100, 9)))
    assert ((draws >= 0) & (draws <= n)).all()
    np.testing.assert_array_equal(draws[:, p == 0], 0)
    assert (draws[:, p == 1] == n[p == 1]).all()


def test_categorical_fits_and_never_draws_what_has_no_weight(precision):
    weights = np.array([[0.0, 3.0, 1.0, 0.0], [0.1, 0.2, 0.3, 0.4]], precision)
    draws = np.asarray(categorical(KEY, weights, (N, 2)))
    assert draws.dtype == jnp.result_type(int)
    for i, w in enumerate(weights):
        counts = np.bincount(draws[:, i], minlength=4)
        assert counts[w == 0].sum() == 0
        assert st.chisquare(counts[w > 0], N * w[w > 0] / w.sum()).pvalue > SIGNIFICANCE
    assert categorical(KEY, weights).shape == (2,)


@pytest.mark.parametrize(("n", "bound"), [(3, None), (1000, None), (3, 5)])
@pytest.mark.parametrize("traced", [False, True])
def test_multinomial_counts_are_binomial_and_add_up(n, bound, traced):
    p = np.array([0.1, 0.0, 0.3, 0.6], np.float32)

    def draw(n):
        return multinomial(KEY, p, n, (N,), bound)

    draws = np.asarray(jax.jit(draw)(n) if traced else draw(n))
    assert draws.shape == (N, 4)
    np.testing.assert_array_equal(draws.sum(-1), n)
    for i in range(4):
        assert fits_counts(draws[:, i], st.binom(n, float(p[i])))
    # the covariance -n p q of two counts, by the variance of their sum
    assert fits_counts(draws[:, 0] + draws[:, 2], st.binom(n, 0.4))


def test_multinomial_broadcasts_and_cuts_to_the_bound():
    p = np.full((3, 1, 2), 0.5, np.float32)
    draws = np.asarray(multinomial(KEY, p, np.array([0, 4, 50])))
    assert draws.shape == (3, 3, 2)
    np.testing.assert_array_equal(draws.sum(-1), np.broadcast_to([0, 4, 50], (3, 3)))
    assert np.asarray(multinomial(KEY, np.array([0.3, 0.7]), 9, (), 5)).sum() == 5


@pytest.mark.parametrize("concentration", [1e-6, 1e-2, 0.5, 20.0, 5e3, 5e6])
def test_von_mises_fits(concentration):
    draws = np.asarray(von_mises_centered(KEY, concentration, (N,)), float)
    cdf = st.vonmises(concentration).cdf if concentration < 1e5 else st.norm(0, concentration**-0.5).cdf
    assert st.kstest(draws, cdf).pvalue > SIGNIFICANCE


def test_gamma_poisson_fits():
    draws = np.asarray(gamma_poisson(KEY, np.float32(2.5), np.float32(4.0), (N,)))
    assert fits_counts(draws, st.nbinom(2.5, 2.5 / 6.5))
    zeros = np.asarray(
        gamma_poisson(KEY, np.array([1.0, 1e-5], np.float32), np.array([0.0, 1e-3], np.float32), (50, 2))
    )
    np.testing.assert_array_equal(zeros, 0)
