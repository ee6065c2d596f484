"""Simulation-based calibration of NUTS and ChEES (Talts et al. 2018).

Parameters are drawn from the prior, data from the parameters, and the posterior is sampled: the rank of each
parameter among independent posterior draws is uniform when sampler, density and transforms are right, whatever the
posterior's form. Runs for all simulated data sets are one program; a chi-square test with an error rate of 1e-5 each
judges the ranks.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, ChEES, Predictive

SIMULATIONS, DRAWS, THINNING = 600, 31, 8


def by_nuts(model, keys, data):
    """Draws of one chain for each of the data sets, all at once."""

    def fit(key, data):
        mcmc = MCMC(NUTS(model), num_warmup=300, num_samples=DRAWS * THINNING, thinning=THINNING, progress_bar=False)
        mcmc.run(key, data)
        return mcmc.get_samples()

    return jax.vmap(fit)(keys, data)


def by_chees(model, keys, data):
    """Draws of as many chains for each of the data sets, one data set after another."""

    def fit(inputs):
        settings = {"num_warmup": 150, "num_samples": 10, "thinning": 10, "progress_bar": False}
        mcmc = MCMC(ChEES(model), num_chains=DRAWS, chain_method="vectorized", **settings)
        mcmc.run(*inputs)
        return mcmc.get_samples()

    return jax.lax.map(fit, (keys, data))


def ranks(model, sites, observed, seed, sample=by_nuts):
    """Ranks, between 0 and DRAWS, of the prior draws of scalar ``sites`` among posterior draws."""
    prior_key, run_key = jax.random.split(jax.random.key(seed))
    truth = Predictive(model, num_samples=SIMULATIONS)(prior_key)
    keys = jax.random.split(run_key, SIMULATIONS)
    draws = jax.jit(partial(sample, model))(keys, truth[observed])
    return {name: np.sum(np.asarray(draws[name]) < np.asarray(truth[name])[:, None], 1) for name in sites}


def assert_uniform(ranks):
    counts = np.bincount(ranks // 4, minlength=8)  # 32 possible ranks in 8 bins
    assert stats.chisquare(counts).pvalue > 1e-5, counts


@pytest.mark.slow
@pytest.mark.parametrize("sample", [by_nuts, by_chees])
def test_hierarchy_is_calibrated(sample):
    def model(y=None):
        mu = numpyro.sample("mu", dist.Normal(0, 2))
        tau = numpyro.sample("tau", dist.Gamma(3.0, 2.0))
        z = numpyro.sample("z", dist.Normal(0, 1).expand([5]).to_event(1))
        numpyro.sample("y", dist.Normal(mu + tau * z, 1.0).to_event(1), obs=y)

    for rank in ranks(model, ["mu", "tau"], "y", 0, sample).values():
        assert_uniform(rank)


def test_regression_with_constrained_parameters_is_calibrated():
    x = np.linspace(-1, 1, 8)

    def model(y=None):
        rate = numpyro.sample("rate", dist.Exponential(1.0))
        share = numpyro.sample("share", dist.Beta(2.0, 2.0))
        numpyro.sample("y", dist.Poisson(1 + 5 * rate * (share + (1 - share) * jnp.exp(x))).to_event(1), obs=y)

    for rank in ranks(model, ["rate", "share"], "y", 1).values():
        assert_uniform(rank)
