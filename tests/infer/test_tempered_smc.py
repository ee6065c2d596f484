"""Tempered SMC against closed forms: moments, evidence and the mass of modes; keys are fixed.

Errors are held against five standard errors of as many independent draws as a tenth of the particles: moves leave some
dependence.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import TemperedSMC
from numpyro.infer.tempering import covariance_root, next_temperature, systematic

Y = np.random.default_rng(0).normal(1.5, 1.0, size=(20, 2)).astype(np.float32)
PRIOR_COVARIANCE = 9.0 * np.array([[1.0, 0.8], [0.8, 1.0]])


def conjugate(y):
    x = numpyro.sample("x", dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=PRIOR_COVARIANCE))
    numpyro.deterministic("sum", x[0] + x[1])
    numpyro.sample("y", dist.Normal(x, 1.0), obs=y)


@pytest.mark.parametrize("moves", ["hmc", "random_walk"])
def test_conjugate_normal(moves):
    count = 1000
    smc = TemperedSMC(conjugate, num_particles=count, moves=moves, num_moves=5 if moves == "hmc" else 20)
    smc.run(jax.random.key(1), Y)
    covariance = np.linalg.inv(np.linalg.inv(PRIOR_COVARIANCE) + len(Y) * np.eye(2))
    mean = covariance @ Y.sum(0)
    x = np.asarray(smc.get_samples()["x"])
    assert x.shape == (count, 2)
    np.testing.assert_allclose(smc.get_samples()["sum"], x.sum(1), rtol=1e-5)
    error = 5 / np.sqrt(count / 10)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(x.mean(0) - mean) / scale, error)
    np.testing.assert_array_less(np.abs(np.cov(x.T) - covariance) / np.outer(scale, scale), error * np.sqrt(2))
    joint = np.kron(np.ones((len(Y), len(Y))), PRIOR_COVARIANCE) + np.eye(Y.size)
    exact = scipy.stats.multivariate_normal(np.zeros(Y.size), joint).logpdf(Y.ravel())
    # With an effective size of half the particles, each mean weight has a relative variance of at most 1 / count.
    assert abs(smc.log_evidence - exact) < 5 * np.sqrt(10 * len(smc.temperatures) / count)
    assert smc.temperatures[-1] == 1.0
    assert np.all(np.diff(smc.temperatures) > 0)
    assert np.all((smc.accept_prob > 0.1) & (smc.accept_prob < 1))


def test_evidence_is_right_in_the_mean():
    """Over many keys the mean of the estimates is the evidence, and they scatter as little as they should."""

    def model(y):
        p = numpyro.sample("p", dist.Beta(2.0, 3.0))
        numpyro.sample("y", dist.Binomial(20, p), obs=y)

    exact = scipy.stats.betabinom(20, 2.0, 3.0).logpmf(17)
    smc = TemperedSMC(model, num_particles=400)
    found = []
    for seed in range(12):
        smc.run(jax.random.key(seed), 17)
        found.append(np.exp(smc.log_evidence - exact))
    assert np.std(found) < 0.2
    assert abs(np.mean(found) - 1) < 5 * np.std(found) / np.sqrt(len(found)) + 1 / 400


def test_both_modes_keep_their_mass():
    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
        mixture = dist.Mixture(
            dist.Categorical(jnp.array([0.3, 0.7])),
            [dist.Normal(c, 0.2).expand([2]).to_event(1) for c in (-4.0, 4.0)],
        )
        numpyro.factor("likelihood", mixture.log_prob(x))

    smc = TemperedSMC(model, num_particles=2000)
    smc.run(jax.random.key(2))
    right = np.asarray(smc.get_samples()["x"])[:, 0] > 0
    assert abs(right.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 200)
    # The components are symmetric about the prior's mean: the evidence is that of either.
    exact = scipy.stats.norm(4.0, np.sqrt(25.0 + 0.04)).logpdf(0.0) * 2
    assert abs(smc.log_evidence - exact) < 5 * np.sqrt(10 * len(smc.temperatures) / 2000)


def test_discrete_sites_are_summed_out_of_prior_and_likelihood():
    """The discrete site is in the prior of the continuous one: p(x, y) is a mixture in closed form."""

    def model(y):
        k = numpyro.sample("k", dist.Bernoulli(0.25))
        x = numpyro.sample("x", dist.Normal(jnp.where(k == 1, 3.0, -3.0), 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=y)

    smc = TemperedSMC(model, num_particles=1000)
    smc.run(jax.random.key(3), 0.5)
    terms = np.array([0.75, 0.25]) * scipy.stats.norm([-3.0, 3.0], np.sqrt(2)).pdf(0.5)
    assert abs(smc.log_evidence - np.log(terms.sum())) < 5 * np.sqrt(10 * len(smc.temperatures) / 1000)
    x = np.asarray(smc.get_samples()["x"])
    exact = terms / terms.sum() @ np.array([-1.25, 1.75])
    assert abs(x.mean() - exact) < 5 * np.sqrt(2.7 / 100)


def test_half_of_the_prior_without_likelihood(capsys):
    def model():
        x = numpyro.sample("x", dist.Normal())
        numpyro.factor("positive", jnp.where(x > 0, 0.0, -jnp.inf))

    smc = TemperedSMC(model, num_particles=1000)
    smc.run(jax.random.key(4))
    assert np.all(np.asarray(smc.get_samples()["x"]) > 0)
    assert abs(smc.log_evidence - np.log(0.5)) < 5 / np.sqrt(1000)
    smc.print_summary()
    assert f"Log evidence: {smc.log_evidence:.2f}" in capsys.readouterr().out


def test_parts():
    log_likelihood = jnp.asarray(np.random.default_rng(1).normal(0, 50.0, 300), jnp.float32)
    increment = float(jax.jit(next_temperature, static_argnums=2)(log_likelihood, jnp.float32(0.0), 0.5))
    weights = np.exp(increment * (np.asarray(log_likelihood) - np.max(log_likelihood)))
    assert abs(weights.sum() ** 2 / (weights**2).sum() / 300 - 0.5) < 1e-3
    log_weights = np.log(np.array([0.0, 0.5, 0.0, 0.125, 0.375, 0.0, 0.0, 0.0]) + 1e-300)
    counts = np.bincount(systematic(jax.random.key(0), jnp.asarray(log_weights, jnp.float32)), minlength=8)
    np.testing.assert_array_equal(counts, [0, 4, 0, 1, 3, 0, 0, 0])
    rng = np.random.default_rng(2)
    few = jnp.asarray(rng.normal(size=(4, 9)), jnp.float32)
    assert np.all(np.isfinite(covariance_root(few)))  # fewer particles than dimensions
    assert np.all(np.isfinite(covariance_root(few[:, :1])))


def test_correlations_that_are_noise_are_shrunk_and_others_are_not():
    rng, root = np.random.default_rng(3), jax.jit(covariance_root)
    scales = np.geomspace(0.1, 10.0, 20)
    apart = np.asarray(root(jnp.asarray(scales * rng.normal(size=(60, 20)), jnp.float32)))
    np.testing.assert_allclose(np.sqrt(np.sum(apart**2, 1)), scales, rtol=5 / np.sqrt(120))
    correlations = (apart @ apart.T / np.outer(scales, scales))[np.triu_indices(20, 1)]
    assert np.sqrt(np.mean(correlations**2)) < 0.3 / np.sqrt(60)  # of independent draws they are 1 / sqrt(60)
    together = rng.normal(size=(60, 1)) + 0.1 * rng.normal(size=(60, 20))
    found = np.asarray(root(jnp.asarray(together, jnp.float32)))
    # what shrinks them is 2 / 60 where values are the same in all coordinates
    np.testing.assert_allclose(found @ found.T, np.cov(together.T, bias=True), rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_evidence_at_a_hundred_dimensions(rho):
    """Steps that are too long, and covariances in which particles count themselves, are off by 0.6 and by -1.

    With as many temperatures as there are, each a relative variance of 1 / N, the standard error is 0.17; the mean of
    eight runs is held to four of its own, and a bias of 0.05.
    """
    dim, scale = 100, 0.3
    covariance = rho ** np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))
    root = np.linalg.cholesky(covariance)

    def model(y):
        x = numpyro.sample("x", dist.MultivariateNormal(0.0, scale_tril=root))
        numpyro.sample("y", dist.MultivariateNormal(x, scale_tril=scale * root), obs=y)

    y = np.random.default_rng(5).normal(size=dim) @ root.T * np.sqrt(1 + scale**2)
    exact = scipy.stats.multivariate_normal(cov=covariance * (1 + scale**2)).logpdf(y)
    smc, found = TemperedSMC(model), []
    for seed in range(8):
        smc.run(jax.random.key(seed), y.astype(np.float32))
        found.append(smc.log_evidence - exact)
        assert np.max(np.abs(smc.correlation)) < 0.3
    assert np.std(found, ddof=1) < 0.35
    assert abs(np.mean(found)) < 4 * np.std(found, ddof=1) / np.sqrt(8) + 0.05


def test_bad_input_is_named():
    for setting in ({"num_particles": 1}, {"num_moves": 0}, {"moves": "gibbs"}, {"ess_fraction": 1.0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            TemperedSMC(conjugate, **setting)
    with pytest.raises(TypeError, match="model"):
        TemperedSMC(3)
    smc = TemperedSMC(conjugate, num_particles=10)
    with pytest.raises(TypeError, match="random key"):
        smc.run(Y)
    with pytest.raises(ValueError, match="run"):
        smc.get_samples()

    def unbounded():
        numpyro.sample("x", dist.Normal())
        numpyro.sample("count", dist.Poisson(3.0))

    def improper():
        numpyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()).expand([3]))

    def masked():
        with numpyro.handlers.mask(mask=False):
            numpyro.sample("x", dist.Normal())

    def scaled():
        with numpyro.handlers.scale(scale=2.0):
            numpyro.sample("x", dist.Normal())

    for model, message in [
        (unbounded, "'count'"),
        (improper, "'x'.*improper"),
        (masked, "'x'.*masked"),
        (scaled, "'x'.*scaled"),
    ]:
        with pytest.raises(ValueError, match=message):
            TemperedSMC(model, num_particles=10).run(jax.random.key(0))

    def impossible():
        numpyro.sample("x", dist.Normal())
        numpyro.factor("never", -jnp.inf)

    with pytest.raises(RuntimeError, match="all 10 draws of the prior"):
        TemperedSMC(impossible, num_particles=10).run(jax.random.key(0))
    with pytest.raises(RuntimeError, match="max_temperatures"):
        TemperedSMC(conjugate, num_particles=10, max_temperatures=1).run(jax.random.key(0), Y)
