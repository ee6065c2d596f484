"""Inference through loops, against exact answers for linear Gaussian models, and against Python loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers, optim
from numpyro.contrib.control_flow import cond, scan
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import initialize_model, log_likelihood

LENGTH = 6
DATA = np.array([0.5, -1.0, 2.0, 0.25, 1.0, 1.5])


def local_level(data=None, length=LENGTH, noise=0.5):
    """A random walk observed with noise."""

    def step(level, y):
        level = numpyro.sample("level", dist.Normal(level, 1.0))
        y = numpyro.sample("y", dist.Normal(level, noise), obs=y)
        return level, y

    return scan(step, jnp.zeros(()), data, length=length)[1]


def exact_posterior(noise=0.5):
    """Mean and covariance of the levels given the data: both are jointly normal."""
    prior = np.minimum.outer(np.arange(1, LENGTH + 1), np.arange(1, LENGTH + 1)).astype(float)
    gain = prior @ np.linalg.inv(prior + noise**2 * np.eye(LENGTH))
    return gain @ DATA, prior - gain @ prior


@pytest.mark.parametrize("reparametrised", [False, True])
def test_nuts_finds_the_exact_posterior_of_a_local_level_model(reparametrised):
    model = handlers.reparam(local_level, config={"level": LocScaleReparam(0)}) if reparametrised else local_level
    mcmc = MCMC(NUTS(model), num_warmup=300, num_samples=2000, progress_bar=False)
    mcmc.run(jax.random.key(0), DATA.astype(np.float32))
    level = np.asarray(mcmc.get_samples()["level"])
    assert level.shape == (2000, LENGTH)
    mean, covariance = exact_posterior()
    deviation = np.sqrt(np.diag(covariance))
    # at least 1000 effective draws: 5 standard errors, over 6 means a false alarm once in 300 thousand
    np.testing.assert_array_less(np.abs(level.mean(0) - mean), 5 * deviation / np.sqrt(1000))
    np.testing.assert_allclose(np.cov(level.T), covariance, atol=0.06)


def test_a_guide_for_all_steps_finds_it_too(x64):
    guide = AutoMultivariateNormal(local_level)
    svi = SVI(local_level, guide, optim.Adam(0.03), Trace_ELBO(num_particles=8))
    result = svi.run(jax.random.key(0), 3000, DATA, progress_bar=False)
    mean, covariance = exact_posterior()
    posterior = guide.get_posterior(result.params)
    np.testing.assert_allclose(posterior.mean, mean, atol=0.15)
    np.testing.assert_allclose(np.sqrt(np.diag(posterior.covariance_matrix)), np.sqrt(np.diag(covariance)), rtol=0.25)


def test_guides_have_params_for_all_steps():
    def model():
        def step(carry, _):
            with numpyro.plate("rows", 3):
                return carry, numpyro.sample("x", dist.LogNormal(carry, 1.0))

        scan(step, 0.0, None, length=4)

    for guide, name in ((AutoNormal, "x_auto_loc"), (AutoDelta, "x_auto_loc")):
        svi = SVI(model, guide(model), optim.Adam(0.01), Trace_ELBO())
        assert svi.run(jax.random.key(0), 3, progress_bar=False).params[name].shape == (4, 3)


def test_a_guide_with_a_loop_of_its_own():
    """The exact posterior of independent steps, as a guide: the ELBO is the evidence, whatever is drawn."""

    def model(data):
        def step(carry, y):
            x = numpyro.sample("x", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=y)
            return carry, None

        scan(step, 0.0, data)

    def guide(data):
        weight = numpyro.param("weight", 0.5)
        scan(lambda c, y: (c, numpyro.sample("x", dist.Normal(weight * y, jnp.sqrt(0.5)))), 0.0, data)

    data = DATA.astype(np.float32)
    evidence = dist.Normal(0.0, np.sqrt(2.0)).log_prob(data).sum()
    for seed in range(3):
        loss = Trace_ELBO().loss(jax.random.key(seed), {"weight": 0.5}, model, guide, data)
        np.testing.assert_allclose(-loss, evidence, rtol=1e-5)


def test_predictive_forecasts_beyond_the_samples():
    rng = np.random.default_rng(0)
    samples = {"level": rng.normal(size=(1000, LENGTH)).astype(np.float32)}
    draws = Predictive(local_level, samples)(jax.random.key(1), None, length=LENGTH)
    assert set(draws) == {"y"}
    np.testing.assert_allclose((draws["y"] - samples["level"]).std(), 0.5, rtol=0.1)
    forecast = Predictive(local_level, samples, return_sites=["level", "y"])(jax.random.key(1), None, length=10)
    assert forecast["y"].shape == (1000, 10)
    np.testing.assert_array_equal(forecast["level"][:, :LENGTH], samples["level"])
    steps = np.diff(np.asarray(forecast["level"])[:, LENGTH - 1 :], axis=1)
    # 4000 increments from N(0, 1): five standard errors
    assert abs(steps.mean()) < 5 / np.sqrt(4000)
    assert abs(steps.std() - 1) < 5 / np.sqrt(8000)


def test_prior_draws_and_likelihoods():
    draws = Predictive(local_level, num_samples=4000)(jax.random.key(0))
    assert draws["level"].shape == draws["y"].shape == (4000, LENGTH)
    np.testing.assert_allclose(draws["level"].var(0), np.arange(1, LENGTH + 1), rtol=0.15)
    data = DATA.astype(np.float32)
    found = log_likelihood(local_level, {"level": draws["level"][:5]}, data)["y"]
    expected = dist.Normal(draws["level"][:5], 0.5).log_prob(data)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_initialisation_strategies():
    from numpyro.infer import (
        init_to_feasible,
        init_to_mean,
        init_to_median,
        init_to_sample,
        init_to_uniform,
        init_to_value,
    )

    strategies = [init_to_feasible, init_to_mean, init_to_median, init_to_sample, init_to_uniform]
    strategies.append(init_to_value(values={"level": DATA.astype(np.float32)}))
    for strategy in strategies:
        info = initialize_model(
            jax.random.key(0), local_level, init_strategy=strategy, model_args=(DATA.astype(np.float32),)
        )
        assert info.param_info.z["level"].shape == (LENGTH,)
    np.testing.assert_allclose(info.param_info.z["level"], DATA, rtol=1e-6)


def test_a_latent_site_in_branches():
    """y ~ N(x, 1), x ~ N(3, 1) if u > 0 else N(-3, 1): given y = 3 the first branch has almost all of the mass."""

    def model():
        u = numpyro.sample("u", dist.Normal(0.0, 1.0))
        branch = lambda loc: lambda _: numpyro.sample("x", dist.Normal(loc, 1.0))
        x = cond(u > 0, branch(3.0), branch(-3.0), 0.0)
        numpyro.sample("y", dist.Normal(x, 1.0), obs=3.0)

    mcmc = MCMC(
        NUTS(model), num_warmup=300, num_samples=1500, num_chains=2, chain_method="vectorized", progress_bar=False
    )
    mcmc.run(jax.random.key(2))
    x, u = (np.asarray(mcmc.get_samples()[name]) for name in ("x", "u"))
    assert (u > 0).mean() > 0.98
    np.testing.assert_allclose(x[u > 0].mean(), 3.0, atol=0.12)
    np.testing.assert_allclose(x[u > 0].std(), np.sqrt(0.5), atol=0.08)


def test_a_loop_in_a_plate_under_nuts():
    def model(data):
        with numpyro.plate("series", 2):
            scale = numpyro.sample("scale", dist.HalfNormal(1.0))

            def step(x, y):
                x = numpyro.sample("x", dist.Normal(x, scale))
                numpyro.sample("y", dist.Normal(x, 0.5), obs=y)
                return x, None

            scan(step, jnp.zeros(2), data)

    mcmc = MCMC(NUTS(model), num_warmup=50, num_samples=50, progress_bar=False)
    mcmc.run(jax.random.key(0), np.zeros((5, 2), np.float32))
    samples = mcmc.get_samples()
    assert samples["x"].shape == (50, 5, 2)
    assert samples["scale"].shape == (50, 2)
    assert np.all(np.isfinite(samples["x"]))
