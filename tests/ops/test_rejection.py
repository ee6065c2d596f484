"""Gamma variables by goodness of fit, at both sides of the size from which rejected proposals are packed.

Statistical tests use a fixed key; with a new one each would fail wrongly with probability below 1e-4.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats as st

from numpyro.ops.rejection import beta, dirichlet, gamma, log_odds, loggamma, sample_by_rejection

KEY = jax.random.key(5)
SIGNIFICANCE = 1e-4


@pytest.mark.parametrize("size", [2000, 20_000])
@pytest.mark.parametrize("concentration", [0.05, 0.7, 1.0, 3.5, 40.0, 1e4])
def test_gamma_fits(concentration, size, precision):
    draws = np.asarray(jax.jit(gamma, static_argnums=2)(KEY, concentration, (size,)))
    assert draws.dtype == precision
    reference = st.gamma(concentration)
    draws = draws[draws > 1e-30].astype(float)  # below, single precision underflows
    mass = reference.sf(1e-30)
    assert len(draws) > 0.9 * mass * size
    assert st.kstest(draws, lambda x: 1 - reference.sf(x) / mass).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("size", [1500, 6000])
def test_each_element_has_its_own_concentration(size):
    concentration = np.tile(np.array([0.02, 1.3, 25.0], np.float32), (size, 1))
    draws = np.asarray(jax.jit(loggamma, static_argnums=2)(KEY, concentration, (size, 3)), float)
    assert np.isfinite(draws).all()  # the variables themselves would underflow
    # the mean and the variance of the logarithm are polygamma functions
    mean, variance = scipy.special.digamma(concentration[0]), scipy.special.polygamma(1, concentration[0])
    np.testing.assert_array_less(np.abs(draws.mean(0) - mean), 4 * np.sqrt(variance / size))
    np.testing.assert_allclose(draws.var(0), variance, rtol=0.3)


def test_what_is_not_a_number_comes_back():
    concentration = jnp.array([np.nan, -1.0, np.inf, 0.0, 2.0])
    draws = np.asarray(gamma(KEY, concentration, (5,)))
    assert np.isnan(draws[:2]).all()
    assert draws[2] == np.inf and draws[3] == 0 and draws[4] > 0


def test_derivatives_are_those_of_quantiles(precision):
    a = np.array([0.3, 1.0, 4.0, 50.0, 0.001], precision)
    draws = np.asarray(gamma(KEY, a, (5,)), float)
    slopes = np.asarray(jax.grad(lambda a: gamma(KEY, a, (5,)).sum())(a), float)
    logs = np.asarray(loggamma(KEY, a, (5,)), float)
    log_slopes = np.asarray(jax.grad(lambda a: loggamma(KEY, a, (5,)).sum())(a), float)
    a = a.astype(float)
    cdf, step = scipy.special.gammainc(a, draws), 1e-4 * a
    expected = (scipy.special.gammaincinv(a + step, cdf) - scipy.special.gammaincinv(a - step, cdf)) / (2 * step)
    np.testing.assert_allclose(slopes[:4], expected[:4], rtol=1e-3)
    np.testing.assert_allclose(log_slopes[:4], expected[:4] / draws[:4], rtol=1e-3)
    # far below, P(a, x) = x^a / gamma(a + 1)
    assert logs[4] < -40
    np.testing.assert_allclose(log_slopes[4], (scipy.special.digamma(a[4] + 1) - logs[4]) / a[4], rtol=1e-4)


def test_beta_and_dirichlet_fit():
    draws = np.asarray(beta(KEY, 2.5, 0.5, (5000,)), float)
    assert st.kstest(draws, st.beta(2.5, 0.5).cdf).pvalue > SIGNIFICANCE
    odds = np.asarray(log_odds(KEY, 2.5, 0.5, (5000,)))
    np.testing.assert_allclose(jax.nn.sigmoid(odds), draws, rtol=1e-6)
    concentration = np.array([0.5, 1.0, 3.0], np.float32)
    draws = np.asarray(dirichlet(KEY, concentration, (5000,)), float)
    np.testing.assert_allclose(draws.sum(-1), 1, rtol=1e-5)
    for i in range(3):
        reference = st.beta(concentration[i], concentration.sum() - concentration[i])
        assert st.kstest(draws[:, i], reference.cdf).pvalue > SIGNIFICANCE


def test_elements_are_proposed_for_until_accepted():
    def propose(key, shape):  # three of four are rejected: many more than one packing takes
        u = jax.random.uniform(key, shape)
        return u, u < 0.25

    draws = np.asarray(sample_by_rejection(KEY, propose, (), (100, 100)), float)
    assert st.kstest(draws.ravel(), st.uniform(0, 0.25).cdf).pvalue > SIGNIFICANCE
    # neighbours are independent
    assert abs(np.corrcoef(draws.ravel()[:-1], draws.ravel()[1:])[0, 1]) < 4 / 100


def test_vectorised_over_keys_and_parameters():
    keys, a = jax.random.split(KEY, 3), jnp.array([0.5, 2.0, 9.0])
    together = jax.vmap(lambda key, a: gamma(key, a, (4,)))(keys, a)
    alone = [gamma(key, x, (4,)) for key, x in zip(keys, a)]
    np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-5)
