"""Sites summed out within a part of a model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.contrib.funsor import log_density as enumerated
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta
from numpyro.infer.util import log_density

DATA = np.array([-1.9, 2.2, 1.7, -2.4, 2.1])


def mixture(data):
    weight = numpyro.sample("weight", dist.Beta(2.0, 2.0))
    with numpyro.plate("n", data.shape[0]), handlers.collapse():
        z = numpyro.sample("z", dist.Bernoulli(weight))
        numpyro.sample("x", dist.Normal(4.0 * z - 2.0, 1.0), obs=data)


def expected(weight):
    terms = (1 - weight) * stats.norm.pdf(DATA, -2.0) + weight * stats.norm.pdf(DATA, 2.0)
    return stats.beta.logpdf(weight, 2.0, 2.0) + np.log(terms).sum()


def test_a_mixture_in_a_plate():
    density, sites = log_density(mixture, (DATA,), {}, {"weight": 0.3})
    np.testing.assert_allclose(density, expected(0.3), rtol=1e-5)
    assert set(sites) == {"weight", "n", "_collapsed_z"}
    assert sites["_collapsed_z"]["fn"].log_factor.shape == (5,)


def test_plates_within_and_chains():
    def model():
        with handlers.collapse() as summed:
            a = numpyro.sample("a", dist.Bernoulli(0.4))
            with numpyro.plate("n", 3):
                b = numpyro.sample("b", dist.Bernoulli(0.2 + 0.5 * a))
                numpyro.sample("x", dist.Normal(b, 1.0), obs=np.array([0.1, 0.9, 1.4]))
        assert list(summed) == ["a", "n", "b", "x"]

    inner = lambda a: np.log(
        (0.8 - 0.5 * a) * stats.norm.pdf([0.1, 0.9, 1.4]) + (0.2 + 0.5 * a) * stats.norm.pdf([0.1, 0.9, 1.4], 1.0)
    ).sum()
    found, _ = log_density(model, (), {}, {})
    np.testing.assert_allclose(found, np.logaddexp(np.log(0.6) + inner(0), np.log(0.4) + inner(1)), rtol=1e-5)


def test_given_values_stay():
    found, sites = log_density(mixture, (DATA,), {}, {"weight": 0.3, "z": np.array([0, 1, 1, 0, 1])})
    assert set(sites) == {"weight", "n", "z", "x"}
    terms = stats.bernoulli.logpmf([0, 1, 1, 0, 1], 0.3) + stats.norm.logpdf(DATA, [-2, 2, 2, -2, 2])
    np.testing.assert_allclose(found, stats.beta.logpdf(0.3, 2.0, 2.0) + terms.sum(), rtol=1e-5)


def test_scales_and_subsamples():
    def model(indices):
        with handlers.scale(scale=0.5), handlers.substitute(data={"n": indices}):
            with numpyro.plate("n", 4, subsample_size=len(indices)) as i, handlers.collapse():
                z = numpyro.sample("z", dist.Bernoulli(0.3))
                numpyro.sample("x", dist.Normal(z, 1.0), obs=jnp.arange(4.0)[i])

    terms = np.log(0.7 * stats.norm.pdf(np.arange(4.0)) + 0.3 * stats.norm.pdf(np.arange(4.0), 1.0))
    for indices in (np.arange(4), np.array([0, 2])):
        found, _ = log_density(model, (indices,), {}, {})
        np.testing.assert_allclose(found, 0.5 * terms[indices].sum() * 4 / len(indices), rtol=1e-5)


def test_inference_sees_no_discrete_site():
    mcmc = MCMC(NUTS(mixture), num_warmup=200, num_samples=300, progress_bar=False)
    mcmc.run(jax.random.key(0), DATA)
    grid = np.linspace(0.001, 0.999, 999)
    density = np.exp([expected(weight) for weight in grid])
    assert abs(mcmc.get_samples()["weight"].mean() - np.average(grid, weights=density)) < 0.06
    guide = AutoDelta(mixture)
    result = SVI(mixture, guide, numpyro.optim.Adam(0.05), Trace_ELBO()).run(
        jax.random.key(0), 300, DATA, progress_bar=False
    )
    assert guide.median(result.params)["weight"] == pytest.approx(grid[np.argmax(density)], abs=0.01)


def test_where_inference_sums_out_itself_it_is_left_the_sites():
    def model(data):
        k = numpyro.sample("k", dist.Bernoulli(0.5))
        with numpyro.plate("n", 5), handlers.collapse():
            z = numpyro.sample("z", dist.Bernoulli(0.3))
            numpyro.sample("x", dist.Normal(z + k, 1.0), obs=data)

    found, sites = enumerated(enum(config_enumerate(model), first_available_dim=-2), (DATA,), {}, {})
    inner = lambda k: np.log(0.7 * stats.norm.pdf(DATA, k) + 0.3 * stats.norm.pdf(DATA, 1.0 + k)).sum()
    np.testing.assert_allclose(found, np.log(0.5) + np.logaddexp(inner(0), inner(1)), rtol=1e-5)
    assert "z" in sites


def test_latent_sites_below_are_named():
    def model():
        with handlers.collapse():
            z = numpyro.sample("z", dist.Bernoulli(0.3))
            numpyro.sample("w", dist.Normal(z, 1.0))

    with pytest.raises(ValueError, match="latent site 'w' .* depends on sites that the context of collapse sums out"):
        log_density(model, (), {}, {"w": 0.2})
