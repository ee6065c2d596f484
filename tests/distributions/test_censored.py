"""Censored observations: probabilities of tails and intervals, and their derivatives, where a cdf has been rounded."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from numpyro.distributions._interval_mass import log_interval_mass
from tests.helpers.distributions import precision

NORMAL = dist.Normal(0.0, 1.0)
BASES = [
    (dist.Normal(0.3, 1.2), st.norm(0.3, 1.2)),
    (dist.Cauchy(0.3, 1.2), st.cauchy(0.3, 1.2)),
    (dist.Laplace(0.3, 1.2), st.laplace(0.3, 1.2)),
    (dist.Logistic(0.3, 1.2), st.logistic(0.3, 1.2)),
    (dist.StudentT(3.5, 0.3, 1.2), st.t(3.5, 0.3, 1.2)),
    (dist.Gumbel(0.3, 1.2), st.gumbel_r(0.3, 1.2)),
    (dist.Exponential(0.7), st.expon(0, 1 / 0.7)),
    (dist.Weibull(1.5, 2.0), st.weibull_min(2.0, 0, 1.5)),
    (dist.Gamma(2.5, 0.7), st.gamma(2.5, 0, 1 / 0.7)),
    (dist.LogNormal(0.3, 1.2), st.lognorm(1.2, 0, np.exp(0.3))),
    (dist.Pareto(0.5, 2.5), st.pareto(2.5, 0, 0.5)),
    (dist.HalfNormal(1.2), st.halfnorm(0, 1.2)),  # by the cdf, as any distribution
    (dist.Poisson(2.5), st.poisson(2.5)),
]


@pytest.mark.parametrize(("base", "r"), BASES, ids=lambda x: type(x).__name__)
def test_interval_masses(base: Any, r: Any) -> None:
    with precision("float64"):
        x = np.array([1.0, 2.0, 3.0, 6.0])
        np.testing.assert_allclose(log_interval_mass(base, None, x), r.logcdf(x), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(log_interval_mass(base, x, None), r.logsf(x), rtol=1e-9, atol=1e-12)
        between = np.log(r.cdf(x + 1) - r.cdf(x))
        np.testing.assert_allclose(log_interval_mass(base, x, x + 1), between, rtol=1e-7)
        assert float(log_interval_mass(base, 2.0, 2.0)) == -np.inf
        for bounds in ((None, 2.0), (2.0, None), (2.0, 3.0), (-5.0, -2.0)):
            slopes = jax.tree.leaves(jax.grad(lambda d, bounds=bounds: log_interval_mass(d, *bounds))(base))
            assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_censored_far_out(dtype: str) -> None:
    with precision(dtype):
        x = np.array([20.0, -20.0, 100.0]).astype(dtype)
        log_prob = lambda x: dist.RightCensoredDistribution(NORMAL, np.array([1, 1, 1])).log_prob(x)
        np.testing.assert_allclose(
            log_prob(x), st.norm.logsf(x), rtol=1e-6 if dtype == "float32" else 1e-13, atol=1e-30
        )
        slope = -np.exp(st.norm.logpdf(x) - st.norm.logsf(x))
        np.testing.assert_allclose(jax.grad(lambda x: log_prob(x).sum())(x), slope, rtol=1e-5, atol=1e-30)


def test_left_and_right_are_selected_by_flags() -> None:
    flags = np.array([False, True])
    left, right = dist.LeftCensoredDistribution(NORMAL, flags), dist.RightCensoredDistribution(NORMAL, flags)
    np.testing.assert_allclose(left.log_prob(0.5), [st.norm.logpdf(0.5), st.norm.logcdf(0.5)], rtol=1e-6)
    np.testing.assert_allclose(right.log_prob(0.5), [st.norm.logpdf(0.5), st.norm.logsf(0.5)], rtol=1e-6)
    assert (left.batch_shape, left.event_shape) == ((2,), ())
    assert dist.RightCensoredDistribution(NORMAL).log_prob(0.5) == NORMAL.log_prob(0.5)
    assert dist.RightCensoredDistribution(NORMAL, True).sample(jax.random.key(0), (3,)).shape == (3,)


def test_interval_censored() -> None:
    d = dist.IntervalCensoredDistribution(NORMAL, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert (d.batch_shape, d.event_shape) == ((4,), (2,))
    inside = st.norm.cdf(1.5) - st.norm.cdf(0.5)
    expected = [np.log(inside), st.norm.logsf(0.5), st.norm.logcdf(1.5), np.log1p(-inside)]
    np.testing.assert_allclose(d.log_prob(np.array([0.5, 1.5])), expected, rtol=1e-5)
    expected = [st.norm.logpdf(0.5), st.norm.logsf(0.5), st.norm.logcdf(0.5), 0]
    np.testing.assert_allclose(d.log_prob(np.array([0.5, 0.5])), expected, rtol=1e-6)
    far = dist.IntervalCensoredDistribution(NORMAL, 0, 0).log_prob(np.array([20.0, 21.0]))
    np.testing.assert_allclose(far, st.norm.logsf(20.0), rtol=1e-6)
    assert d.sample(jax.random.key(0), (3,)).shape == (3, 4, 2)
    poisson = dist.IntervalCensoredDistribution(dist.Poisson(3.0), 0, 0).log_prob(np.array([1, 3]))
    np.testing.assert_allclose(poisson, np.log(st.poisson(3).cdf(3) - st.poisson(3).cdf(1)), rtol=1e-5)


def test_narrow_intervals_have_the_density_times_the_width() -> None:
    low, high = np.float32(1.0), np.float32(1.0 + 2**-12)
    d = dist.IntervalCensoredDistribution(NORMAL, 0, 0)
    expected = st.norm.logpdf((1.0 + high) / 2) - 12 * np.log(2)
    np.testing.assert_allclose(d.log_prob(np.stack([low, high])), expected, rtol=1e-6)


def test_survival_times_are_fitted_by_gradients() -> None:
    # the maximum likelihood rate is the number of events per time at risk
    times, censored = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 1, 0, 1])

    def log_likelihood(rate: Any) -> Any:
        return dist.RightCensoredDistribution(dist.Exponential(rate), censored).log_prob(times).sum()

    np.testing.assert_allclose(jax.grad(log_likelihood)(2 / 15), 0, atol=1e-5)


def test_nothing_is_left_above_a_bounded_support() -> None:
    d = dist.RightCensoredDistribution(dist.Beta(2.0, 3.0), True)
    np.testing.assert_array_equal(d.log_prob(1.0), -np.inf)
    np.testing.assert_allclose(d.log_prob(0.4), np.log(1 - sp.betainc(2, 3, 0.4)), rtol=1e-5)


def test_mistakes_are_errors() -> None:
    with pytest.raises(ValueError, match="invalid censored parameter"):
        dist.RightCensoredDistribution(NORMAL, 0.5, validate_args=True)
    with pytest.raises(ValueError, match="needs a univariate base_dist"):
        dist.LeftCensoredDistribution(dist.Normal(jnp.zeros(2)).to_event(1), 1)
