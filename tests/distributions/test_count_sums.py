"""Entropies and quantiles of counts by sums of a fixed number of terms, against sums over all counts."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.distributions import precision

COUNTS = np.arange(300_000)


def entropy(log_probs: Any) -> Any:
    return -np.sum(np.where(log_probs > -np.inf, np.exp(log_probs) * np.maximum(log_probs, -1e300), 0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_entropies_where_single_terms_end_and_far_beyond(dtype: str) -> None:
    with precision(dtype):
        rate = np.array([0.0, 0.01, 60.0, 100.0, 1e5], dtype)
        concentration, b = np.array([[0.01, 0.1, 5.0, 1e3], [1e-2, 1e-3, 1e-3, 0.1]], dtype)
        size, p = (
            np.array([0, 1, 129, 130, 131, 1000, 100_000, 100_000]),
            np.array([0.3, 1, 0.5, 0.5, 0.5, 0.999, 0.3, 0]),
        )
        n, a1, a0 = np.array([131, 5000, 100_000]), np.array([1.0, 0.1, 0.05], dtype), np.array([3.0, 0.2, 0.05], dtype)
        got = [
            dist.Poisson(rate).entropy(),
            dist.GammaPoisson(concentration, b).entropy(),
            dist.BinomialProbs(p.astype(dtype), size).entropy(),
            dist.BetaBinomial(a1, a0, n).entropy(),
        ]
    expected = [
        [entropy(st.poisson(r).logpmf(COUNTS)) for r in rate.astype(float)],
        [
            entropy(st.nbinom(a, r / (r + 1)).logpmf(COUNTS))
            for a, r in zip(concentration.astype(float), b.astype(float), strict=True)
        ],
        [entropy(st.binom(m, q).logpmf(np.arange(m + 1))) for m, q in zip(size, p, strict=True)],
        [
            entropy(st.betabinom(m, x, y).logpmf(np.arange(m + 1)))
            for m, x, y in zip(n, a1.astype(float), a0.astype(float), strict=True)
        ],
    ]
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5 if dtype == "float32" else 1e-7, atol=1e-6)


def test_entropies_of_heavy_tails_and_of_traced_parameters() -> None:
    a, b, n = np.array([[0.7, 300.0, 0.01], [3.0, 200.0, 5.0], [0.5, 50.0, 2.0]])
    k = COUNTS[:, None]
    coefficient = sp.gammaln(n + k) - sp.gammaln(n) - sp.gammaln(k + 1)
    log_probs = coefficient + sp.betaln(a + k, b + n) - sp.betaln(a, b)
    cumulative = np.cumsum(np.exp(log_probs), 0)
    with precision("float64"):
        d = dist.BetaNegativeBinomial(a, b, n)
        got = jax.jit(lambda d: d.entropy())(d)
        np.testing.assert_allclose(got, [entropy(x) for x in log_probs.T], rtol=1e-7)
        far = np.array([10, 5000, 200_000])
        np.testing.assert_allclose(d.cdf(far[:, None]), cumulative[far], rtol=1e-9)
        for q in (0.3, 0.99, 1 - 1e-5):
            np.testing.assert_array_equal(d.icdf(q), [np.searchsorted(c, q) for c in cumulative.T])
        # not to be found by adding up: P(X > k) falls as k^-b
        heavy = dist.BetaNegativeBinomial(1.0, 0.5, 1.0)
        np.testing.assert_allclose(1 - heavy.cdf(heavy.icdf(1 - 1e-5)), 1e-5, rtol=1e-4)
        # P(X > k) is 1 / (k + 1) for b = 1 and 1, 1 before
        np.testing.assert_array_equal(
            dist.BetaNegativeBinomial(1.0, 1.0, 1.0).icdf(1 - 0.7e-7), [np.ceil(1 / 0.7e-7) - 2]
        )
        np.testing.assert_array_equal(heavy.icdf(np.array([0.0, 1.0])), [0, np.inf])


def test_derivatives_of_entropies() -> None:
    with precision("float64"):
        for make, at in [
            (lambda x: dist.Poisson(x), 30.0),
            (lambda x: dist.NegativeBinomial2(x, 3.0), 7.0),
            (lambda x: dist.Binomial(500, x), 0.3),
            (lambda x: dist.BetaBinomial(x, 2.0, 300), 1.5),
        ]:
            value = jax.jit(lambda x, make=make: make(x).entropy())
            difference = (value(at + 1e-5) - value(at - 1e-5)) / 2e-5
            np.testing.assert_allclose(jax.grad(value)(at), difference, rtol=1e-4)


def test_entropies_of_vectors_of_counts() -> None:
    with precision("float64"):
        p = 0.3
        two = dist.Multinomial(np.array([0, 300, 1_000_000]), np.array([p, 1 - p]))
        expected = [0, *(st.binom(n, p).entropy() for n in (300, 1_000_000))]
        np.testing.assert_allclose(two.entropy(), expected, rtol=1e-8, atol=1e-12)
        two_beta = dist.DirichletMultinomial(np.array([0.2, 0.3]), 300)
        np.testing.assert_allclose(two_beta.entropy(), dist.BetaBinomial(0.2, 0.3, 300).entropy(), rtol=1e-8)
        assert dist.DirichletMultinomial(np.array([[0.2], [1.0]]), 3).entropy().tolist() == [0, 0]


def test_multinomial_keeps_its_digits_for_large_counts() -> None:
    x, p = np.array([300_100, 699_900]), np.array([0.3, 0.7], np.float32)
    expected = st.binom(1_000_000, 0.3).logpmf(300_100)
    for d in (dist.Multinomial(1_000_000, p), dist.Multinomial(1_000_000, logits=np.log(p))):
        np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-5)
    rare = dist.Multinomial(1000, logits=np.array([0.0, -200.0], np.float32))
    np.testing.assert_allclose(rare.log_prob(np.array([999, 1])), np.log(1000) - 200, rtol=1e-6)
    never = dist.Multinomial(1000, np.array([0.0, 1.0], np.float32))
    np.testing.assert_array_equal(never.log_prob(np.array([[0, 1000], [1, 999]])), [0, -np.inf])
    gradient = jax.grad(lambda p: dist.MultinomialProbs(p, 1000, validate_args=False).log_prob(np.array([400, 600])))(p)
    np.testing.assert_allclose(gradient, np.array([400, 600]) / p, rtol=1e-5)
