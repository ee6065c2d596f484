"""Facts of single families on the line: edges, tails, thresholds of moments, errors.

Statistical tests use a fixed key; with a new one each would fail wrongly with probability below 1e-3.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.continuous.gompertz import _scaled_exp1
from numpyro.distributions.kl import kl_divergence
from tests.helpers.distributions import precision

KEY = jax.random.key(3)


@pytest.mark.parametrize("name", ["AsymmetricLaplace", "SoftLaplace"])
def test_tails_are_exponential_as_far_as_numbers_go(name: str) -> None:
    d = getattr(dist, name)(0.0, 1.0)
    x = np.array([-1e30, -100.0, 100.0, 1e30], "float32")
    log_prob, slope = jax.vmap(jax.value_and_grad(d.log_prob))(x)
    np.testing.assert_allclose(slope, [1, 1, -1, -1], rtol=1e-6)
    np.testing.assert_allclose(log_prob, -np.abs(x), rtol=0.02)
    np.testing.assert_array_equal(d.cdf(x)[jnp.array([0, 2, 3])], [0, 1, 1])
    np.testing.assert_allclose(d.cdf(-60.0), np.exp(d.log_prob(-60.0)), rtol=1e-5)


def test_asymmetric_laplace_has_the_quantile_at_its_centre() -> None:
    d = dist.AsymmetricLaplaceQuantile(2.0, 0.7, np.array([0.01, 0.3, 0.999], "float32"))
    np.testing.assert_allclose(d.cdf(2.0), d.quantile, rtol=1e-5)
    np.testing.assert_allclose(d.icdf(d.quantile), 2.0, rtol=1e-5)


def test_gompertz_has_a_mean_for_every_concentration() -> None:
    x = np.array([1e-6, 0.1, 1.0, 20.0, 49.9, 50.1, 90.0, 1e3, 1e30])
    expected = [scipy.integrate.quad(lambda t, y=y: np.exp(-t) / (1 + t / y), 0, np.inf)[0] / y for y in x[1:-1]]
    for dtype, tolerance in (("float32", 3e-6), ("float64", 1e-8)):
        with precision(dtype):
            value = np.asarray(_scaled_exp1(x.astype(dtype)))
            np.testing.assert_allclose(value[1:-1], expected, rtol=tolerance)
            np.testing.assert_allclose(value[[0, -1]], [sp.exp1(1e-6), 1e-30], rtol=1e-5)
    slope = jax.grad(lambda c: dist.Gompertz(c, 1.0).mean)(60.0)
    np.testing.assert_allclose(slope, -(1 / 60 - float(_scaled_exp1(60.0))), rtol=1e-3)


def test_levy_draws_lie_above_loc_even_if_the_scale_rounds_away() -> None:
    d = dist.Levy(1e4, 1e-6)
    draws = d.sample(KEY, (1000,))
    assert np.isfinite(draws).all()
    assert (draws > 1e4).all()
    assert np.isfinite(d.log_prob(draws)).all()


def test_dagum_has_moments_below_its_sharpness() -> None:
    d = dist.Dagum(2.0, np.array([0.9, 1.5, 2.5]), 3.0)
    assert np.isfinite(d.mean).tolist() == [False, True, True]
    assert np.isfinite(d.variance).tolist() == [False, False, True]
    assert not np.isnan(d.variance).any()


def test_dagum_at_extreme_values() -> None:
    d = dist.Dagum(np.array([1e-3, 1.0, 1e3], "float32"), 2.0, 3.0)
    draws = d.sample(KEY, (1000,))
    assert (draws > 0).all()
    x = np.array([0.0, 1e-30, 1e30], "float32")[:, None]
    values, slopes = jax.vmap(
        jax.vmap(jax.value_and_grad(lambda p, x: dist.Dagum(p, 2.0, 3.0).log_prob(x)), (0, None))
    )(np.broadcast_to(d.concentration, (3, 3)), x[:, 0])
    assert not np.isnan(values).any()
    assert not np.isnan(slopes).any()
    np.testing.assert_allclose(values[2], st.burr(2.0, np.array([1e-3, 1, 1e3]), 0, 3.0).logpdf(1e30), rtol=1e-5)


def test_log_uniform_on_a_narrow_and_on_a_wide_interval() -> None:
    low, high = np.array([2.0, 1e-30], "float32"), np.array([2.001, 1e30], "float32")
    d = dist.LogUniform(low, high)
    draws = np.asarray(d.sample(KEY, (2000,)))
    assert ((draws >= low) & (draws <= high)).all()
    assert np.isfinite(d.log_prob(draws)).all()
    width = float(high[0]) - float(low[0])
    np.testing.assert_allclose(d.variance[0], width**2 / 12, rtol=1e-3)
    np.testing.assert_allclose(d.mean, [2.0005, 1e30 / np.log(1e60)], rtol=1e-5)
    np.testing.assert_allclose(d.icdf(np.array([[0.0], [1.0]])), [low, high])
    drawn, intermediates = d.sample_with_intermediates(KEY)
    assert np.isfinite(d.log_prob(drawn, intermediates)).all()


def test_relaxed_bernoulli_at_its_ends() -> None:
    temperature, logits = np.array([0.5, 1.0, 2.0], "float32"), 0.7
    d = dist.RelaxedBernoulliLogits(temperature, logits)
    at_ends = d.log_prob(np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(at_ends, [[np.inf, -0.7, -np.inf], [np.inf, 0.7, -np.inf]], rtol=1e-5)
    slope = jax.grad(lambda x: dist.RelaxedBernoulliLogits(1.0, 0.7).log_prob(x))(0.0)
    assert np.isfinite(slope)
    for extreme in (-1000.0, 1000.0):
        d = dist.RelaxedBernoulliLogits(0.1, extreme)
        drawn, intermediates = d.sample_with_intermediates(KEY, (10,))
        assert np.isfinite(d.log_prob(drawn)).all()
        assert np.isfinite(d.log_prob(drawn, intermediates)).all()


def test_relaxed_bernoulli_by_probability_or_log_odds() -> None:
    by_probs, by_logits = dist.RelaxedBernoulli(0.5, probs=0.3), dist.RelaxedBernoulli(0.5, logits=sp.logit(0.3))
    assert isinstance(by_probs, dist.RelaxedBernoulliLogits)
    np.testing.assert_allclose(by_probs.logits, by_logits.logits, rtol=1e-6)
    with pytest.raises(ValueError, match="One of `probs` or `logits` must be specified"):
        dist.RelaxedBernoulli(0.5)


# Kumaraswamy


def test_kumaraswamy_at_its_ends() -> None:
    a, b = np.array([0.5, 1.0, 2.0, 1.0], "float32"), np.array([2.0, 1.0, 0.5, 3.0], "float32")
    at_ends = dist.Kumaraswamy(a, b).log_prob(np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(at_ends, [[np.inf, 0, -np.inf, np.log(3)], [-np.inf, 0, np.inf, -np.inf]], atol=1e-6)
    slope = jax.grad(lambda x: dist.Kumaraswamy(1.0, 3.0).log_prob(x))(0.0)
    np.testing.assert_allclose(slope, -2.0, rtol=1e-6)
    draws = dist.Kumaraswamy(np.array([1e-3, 1e3, 1.0, 1.0]), np.array([1.0, 1.0, 1e-3, 1e3])).sample(KEY, (1000,))
    assert ((draws > 0) & (draws < 1)).all()


@pytest.mark.parametrize(("a", "b", "c", "d"), [(1.5, 3.0, 2.0, 3.0), (0.2, 0.3, 0.7, 0.6), (20.0, 0.4, 5.0, 2.0)])
def test_divergence_of_kumaraswamy_from_beta_is_exact(a: float, b: float, c: float, d: float) -> None:
    # in terms of t = -log(1 - x^a) / b, which is standard exponential
    def integrand(t: float) -> float:
        log_y, log_rest = np.log(-np.expm1(-t / b)), -t / b
        log_x = log_y / a
        log_complement = np.log(-np.expm1(log_x)) if log_x < -1e-12 else log_rest - np.log(a)
        log_p = np.log(a * b) + (a - 1) * log_x + (b - 1) * log_rest
        return np.exp(-t) * (log_p - (c - 1) * log_x - (d - 1) * log_complement + sp.betaln(c, d))

    pieces = [0, 1e-8, 1e-4, 1e-2, 1, 10, 30]
    ends = zip(pieces, pieces[1:], strict=False)
    expected = sum(scipy.integrate.quad(integrand, low, high, epsabs=1e-12)[0] for low, high in ends)
    with precision("float64"):
        kl = kl_divergence(dist.Kumaraswamy(a, b), dist.Beta(c, d))
        np.testing.assert_allclose(kl, expected, rtol=1e-6)
        coarse = type("Coarse", (dist.Kumaraswamy,), {"KL_KUMARASWAMY_BETA_TAYLOR_ORDER": 1})(a, b)
        assert 0 < abs(kl_divergence(coarse, dist.Beta(c, d)) - kl) < 0.1
    np.testing.assert_allclose(kl_divergence(dist.Kumaraswamy(a, b), dist.Beta(c, d)), expected, rtol=1e-4)


# Hurdles


def truncated_poisson(rate: float) -> np.ndarray:
    k = np.arange(1, 8)
    return np.exp(st.poisson(rate).logpmf(k)) / -np.expm1(-rate)


@pytest.mark.parametrize(
    ("base", "probabilities"),
    [
        (dist.Poisson(1e-6), truncated_poisson(1e-6)),
        (dist.Poisson(0.4), truncated_poisson(0.4)),
        (dist.Binomial(4, probs=0.2), st.binom(4, 0.2).pmf(np.arange(1, 5)) / (1 - 0.8**4)),
        (dist.Binomial(4, probs=1e-7), np.array([1.0, 0, 0, 0])),
        (dist.GammaPoisson(1e-4, 0.1), (1 / 1.1) ** np.arange(1, 60) / np.arange(1, 60) / -np.log(1 - 1 / 1.1)),
    ],
    ids=["rare Poisson", "Poisson", "binomial", "rare binomial", "rare gamma Poisson"],
)
def test_what_is_not_zero_follows_the_base_without_zero(base: Any, probabilities: np.ndarray) -> None:
    draws = np.asarray(jax.jit(lambda key: dist.HurdleProbs(base, 0.2).sample(key, (4000,)))(KEY)).astype(int)
    assert st.binomtest(np.sum(draws == 0), 4000, 0.2).pvalue > 1e-4
    rest = draws[draws != 0]
    assert (rest > 0).all()
    observed = np.bincount(np.minimum(rest, len(probabilities) + 1), minlength=len(probabilities) + 2)[1:]
    expected = np.append(probabilities, max(1 - probabilities.sum(), 0)) * len(rest)
    few = expected < 5  # in one bin
    observed, expected = np.append(observed[~few], observed[few].sum()), np.append(expected[~few], expected[few].sum())
    if expected[-1] < 1e-2:
        assert observed[-1] <= 2
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    assert len(observed) == 1 or st.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-4


def test_hurdle_densities_at_extreme_rates_and_gates() -> None:
    d = dist.HurdlePoisson(0.2, np.array([1e-30, 1e-10, 80.0], "float32"))
    np.testing.assert_allclose(np.exp(d.log_prob(1)), [0.8, 0.8, 0.8 * st.poisson(80).pmf(1)], rtol=1e-5)
    np.testing.assert_allclose(d.log_prob(0), np.log(0.2), rtol=1e-6)
    np.testing.assert_allclose(d.mean, [0.8, 0.8, 64.0], rtol=1e-5)
    np.testing.assert_allclose(d.variance, [0.16, 0.16, 0.8 * 80 + 0.16 * 6400], rtol=1e-4)
    always, never = dist.HurdleGamma(1.0, 2.0), dist.HurdleGamma(0.0, 2.0)
    assert always.log_prob(0.0) == 0
    assert always.log_prob(1.0) == -np.inf
    assert never.log_prob(0.0) == -np.inf
    np.testing.assert_allclose(never.log_prob(1.0), dist.Gamma(2.0).log_prob(1.0), rtol=1e-6)
    d = dist.HurdleLogits(dist.Poisson(1.0), np.array([-1000.0, 1000.0]))
    expected = [[-1000, 0], [-np.log(np.e - 1), -1000 - np.log(np.e - 1)]]
    np.testing.assert_allclose(d.log_prob(np.array([[0], [1]])), expected, rtol=1e-4)


def test_gradients_of_a_hurdle_are_finite_at_zero_and_elsewhere() -> None:
    def density(gate: Any, loc: Any, x: Any) -> Any:
        return jnp.sum(dist.HurdleLogNormal(gate, loc, 0.5).log_prob(x))

    gradients = jax.grad(density, (0, 1, 2))(0.25, 0.3, np.array([0.0, 2.0], "float32"))
    np.testing.assert_allclose(gradients[0], 1 / 0.25 - 1 / 0.75, rtol=1e-5)
    np.testing.assert_allclose(gradients[1], (np.log(2.0) - 0.3) / 0.25, rtol=1e-5)
    assert gradients[2][0] == 0
    assert np.isfinite(gradients[2]).all()


def test_hurdle_makes_room_for_zero_in_the_support() -> None:
    assert dist.HurdleProbs(dist.HalfNormal(1.0), 0.3).support is constraints.nonnegative
    assert dist.HurdleProbs(dist.Normal(0.0, 1.0), 0.3).support is constraints.real
    assert dist.HurdleProbs(dist.Bernoulli(0.3), 0.3).support is constraints.boolean
    d = dist.HurdleProbs(dist.Pareto(2.0, 3.0), 0.3)
    assert d.support(np.array([0.0, 1.0, 3.0])).tolist() == [True, False, True]
    np.testing.assert_allclose(d.log_prob(np.array([0.0, 3.0])), [np.log(0.3), np.log(0.7 * 3 * 8 / 81)], rtol=1e-5)
    same = jax.jit(lambda d: d)(d)
    assert same.support(np.array([0.0, 1.0])).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"HurdleProbs expected.*MultivariateNormal of event shape \(2,\)"):
        dist.HurdleProbs(dist.MultivariateNormal(np.zeros(2), np.eye(2)), 0.3)
    with pytest.raises(ValueError, match="Exactly one of"):
        dist.HurdleDistribution(dist.Poisson(1.0))
