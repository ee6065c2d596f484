"""Posteriors in closed form."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from sklearn.datasets import load_diabetes

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, NUTS
from tests.helpers.posteriors import assert_agrees, assert_posterior, sample


@pytest.mark.parametrize(
    "kernel", [NUTS, partial(HMC, trajectory_length=2.0), partial(HMC, num_steps=3, trajectory_length=None)]
)
def test_normal_mean(kernel):
    y = np.array([1.2, 0.3, -0.5, 2.2, 0.9])

    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
        numpyro.sample("y", dist.Normal(mu, 1.5), obs=y)

    precision = 1 / 4 + len(y) / 1.5**2
    truth = (y.sum() / 1.5**2 / precision, precision**-0.5)
    assert_posterior(sample(model, y, kernel=kernel(model)), {"mu": truth})


def test_beta_binomial_in_a_plate():
    n, y = np.array([10, 20, 5]), np.array([3, 17, 0])

    def model(n, y):
        with numpyro.plate("groups", 3):
            p = numpyro.sample("p", dist.Beta(2.0, 3.0))
            numpyro.sample("y", dist.Binomial(n, p), obs=y)

    truth = stats.beta(2.0 + y, 3.0 + n - y)
    assert_posterior(sample(model, n, y), {"p": (truth.mean(), truth.std())})


def test_gamma_poisson():
    y = np.array([3, 0, 2, 5, 4, 1])

    def model(y):
        rate = numpyro.sample("rate", dist.Gamma(1.5, 0.5))
        numpyro.sample("y", dist.Poisson(rate), obs=y)

    truth = stats.gamma(1.5 + y.sum(), scale=1 / (0.5 + len(y)))
    assert_posterior(sample(model, y), {"rate": (truth.mean(), truth.std())})


def test_dirichlet_multinomial():
    counts, prior = np.array([12, 3, 0, 5]), np.array([0.5, 1.0, 2.0, 1.5])

    def model(counts):
        p = numpyro.sample("p", dist.Dirichlet(prior))
        numpyro.factor("multinomial", jnp.sum(counts * jnp.log(p)))

    posterior = counts + prior
    truth = stats.dirichlet(posterior)
    assert_posterior(sample(model, counts), {"p": (truth.mean(), np.sqrt(truth.var()))})


@pytest.mark.parametrize("dense_mass", [False, True, [("beta",)]])
def test_linear_regression_on_the_diabetes_data(dense_mass):
    """Flat prior on coefficients, 1/variance on the variance: multivariate t coefficients, inverse gamma variance."""
    data = load_diabetes(scaled=True)
    x = np.column_stack([np.ones(len(data.target)), 20 * data.data[:, [2, 3, 8]]])
    y = (data.target - 150) / 75

    def model(x, y):
        beta = numpyro.sample("beta", dist.ImproperUniform(dist.constraints.real_vector, (), (4,)))
        variance = numpyro.sample("variance", dist.ImproperUniform(dist.constraints.positive, (), ()))
        numpyro.factor("prior", -jnp.log(variance))
        numpyro.sample("y", dist.Normal(x @ beta, jnp.sqrt(variance)), obs=y)

    n, k = x.shape
    gram = np.linalg.inv(x.T @ x)
    estimate = gram @ x.T @ y
    residual = np.sum((y - x @ estimate) ** 2)
    nu = n - k
    coefficients = np.sqrt(np.diag(gram) * residual / nu * nu / (nu - 2))
    variance = stats.invgamma(nu / 2, scale=residual / 2)
    mcmc = sample(model, x, y, kernel=NUTS(model, dense_mass=dense_mass))
    assert_posterior(mcmc, {"beta": (estimate, coefficients), "variance": (variance.mean(), variance.std())})


def test_cholesky_of_a_correlation_has_beta_marginals():
    """Under LKJ(eta) in dimension d a correlation is 2 B - 1 with B ~ Beta(eta + d/2 - 1, the same)."""
    eta, d = 2.0, 4

    def model():
        factor = numpyro.sample("L", dist.LKJCholesky(d, eta))
        numpyro.deterministic("r", (factor @ factor.T)[jnp.tril_indices(d, -1)])

    a = eta + d / 2 - 1
    sd = np.sqrt(4 * stats.beta(a, a).var())
    assert_posterior(sample(model), {"r": (np.zeros(6), np.full(6, sd))})


def test_support_that_depends_on_another_site():
    """x ~ U(0, 1), y | x ~ U(0, x): the mean of y is 1/4, its variance 1/9 - 1/16."""

    def model(y=None):
        x = numpyro.sample("x", dist.Uniform(0.0, 1.0))
        numpyro.sample("y", dist.Uniform(0.0, x), obs=y)

    assert_posterior(sample(model), {"x": (1 / 2, 12**-0.5), "y": (1 / 4, np.sqrt(1 / 9 - 1 / 16))})


def test_hidden_scale_is_masked_and_scaled():
    """A density raised to a power and a masked observation: only what counts counts."""
    y = np.array([1.0, 2.0, np.nan])

    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.handlers.scale(scale=3.0), numpyro.handlers.mask(mask=np.array([True, True, False])):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    precision = 1 + 2 * 3
    assert_posterior(sample(model, y), {"mu": (9.0 / precision, precision**-0.5)})


def test_ordered_and_positive_order_statistics():
    """Order statistics of three exponential variables: sums of independent exponentials of rates 3, 2, 1."""

    def model():
        base = dist.ImproperUniform(dist.constraints.positive_ordered_vector, (), (3,))
        x = numpyro.sample("x", base)
        numpyro.factor("density", -jnp.sum(x))

    mean = np.cumsum([1 / 3, 1 / 2, 1.0])
    sd = np.sqrt(np.cumsum([1 / 9, 1 / 4, 1.0]))
    assert_posterior(sample(model, warmup=1000), {"x": (mean, sd)})


def test_sample_in_double_precision(x64):
    def model():
        numpyro.sample("x", dist.LogNormal(0.0, 0.5))

    mcmc = sample(model)
    x = mcmc.get_samples(group_by_chain=True)["x"]
    assert x.dtype == np.float64
    assert_agrees(x, np.exp(0.125), np.sqrt((np.exp(0.25) - 1) * np.exp(0.25)))
    assert_agrees(np.asarray(x) > 1, special.ndtr(0.0))
