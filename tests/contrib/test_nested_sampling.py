"""Nested sampling: evidence and posterior in closed form; keys are fixed, bounds are five standard errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro
import numpyro.distributions as dist
from numpyro.contrib import nested_sampling as ns
from numpyro.distributions import constraints

CASES = [
    dist.Normal(1.0, 2.0),
    dist.Normal(jnp.zeros(2), 2.0).to_event(1),
    dist.LogNormal(0.3, 0.5),
    dist.Exponential(2.0).expand([3, 2]),
    dist.Beta(2.0, 3.0),
    dist.MultivariateNormal(jnp.ones(2), jnp.array([[1.0, 0.5], [0.5, 2.0]])),
    dist.Dirichlet(jnp.array([1.0, 2.0, 0.7])),
    dist.TruncatedNormal(0.0, 1.0, low=0.2),
    dist.Bernoulli(0.3),
    dist.Categorical(jnp.array([0.2, 0.5, 0.3])),
    dist.Categorical(jnp.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])),
]


@pytest.mark.parametrize("fn", CASES, ids=lambda fn: type(fn).__name__)
def test_values_made_of_uniform_numbers_are_draws(fn):
    shape = ns.uniform_shape(fn)
    u = jax.random.uniform(jax.random.key(0), (4000, *shape))
    found = np.asarray(jax.jit(jax.vmap(lambda u: ns.from_uniform(fn, u)))(u)).reshape(4000, -1)
    draws = np.asarray(fn.sample(jax.random.key(1), (4000,))).reshape(4000, -1)
    assert found.shape == draws.shape
    for column in range(found.shape[1]):
        assert st.ks_2samp(found[:, column], draws[:, column]).pvalue > 1e-5
    if found.shape[1] > 1:
        assert abs(np.corrcoef(found.T)[0, 1] - np.corrcoef(draws.T)[0, 1]) < 0.12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_evidence_and_posterior():
    pytest.importorskip("jaxns", reason="needs the extra numpyro[jaxns]")
    y = np.array([1.5, 2.5])

    def model(y):
        kind = numpyro.sample("kind", dist.Bernoulli(0.4))
        mu = numpyro.sample("mu", dist.Normal(2.0, 1.0))
        mean = numpyro.deterministic("mean", jnp.where(kind == 1, mu, -mu))
        numpyro.sample("y", dist.Normal(mean, 0.5), obs=y)

    precision = jax.config.jax_enable_x64
    sampler = ns.NestedSampler(model)
    with pytest.raises(RuntimeError, match="should be called first"):
        sampler.get_samples(jax.random.key(0), 3)
    sampler.run(jax.random.key(0), y)
    assert jax.config.jax_enable_x64 == precision

    def evidence(mean):
        return st.multivariate_normal([mean] * 2, 0.25 * np.eye(2) + 1.0).pdf(y)

    parts = np.array([0.6 * evidence(-2.0), 0.4 * evidence(2.0)])
    found, error = sampler.log_evidence
    assert abs(found - np.log(parts.sum())) < 5 * error
    draws = sampler.get_samples(jax.random.key(1), 2000)
    assert set(draws) == {"kind", "mu", "mean"}
    variance = 1 / (1 + 2 / 0.25)
    assert abs(draws["mu"].mean() - variance * (2.0 + y.sum() / 0.25)) < 0.1
    assert abs(draws["kind"].mean() - parts[1] / parts.sum()) < 0.1
    weighted, log_weights = sampler.get_weighted_samples()
    np.testing.assert_allclose(np.exp(log_weights).sum(), 1.0, rtol=1e-4)
    assert weighted["mu"].shape == log_weights.shape
    assert sampler.get_samples(jax.random.key(1), 5, group_by_chain=True)["mu"].shape == (1, 5)
    sampler.print_summary()


class WithoutInverse(dist.Distribution):
    support = constraints.real_vector

    def __init__(self):
        super().__init__((), (2,))

    def sample(self, key, sample_shape=()):
        return jax.random.normal(key, (*sample_shape, 2))

    def log_prob(self, value):
        return -0.5 * jnp.sum(value**2, -1)


def test_bad_input():
    with pytest.raises(NotImplementedError):
        ns.from_uniform(WithoutInverse(), jnp.full(2, 0.5))
    pytest.importorskip("jaxns", reason="needs the extra numpyro[jaxns]")

    def without():
        numpyro.sample("x", WithoutInverse())

    def nothing():
        numpyro.sample("x", dist.Normal(), obs=0.0)

    for model, message in ((without, "site 'x'"), (nothing, "none")):
        with pytest.raises(ValueError, match=message):
            ns.NestedSampler(model).run(jax.random.key(0))
    with pytest.raises(TypeError, match="must be a function"):
        ns.NestedSampler(3)
