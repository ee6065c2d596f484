"""Real data: hierarchies, regressions and a process, held against quadrature or importance sampling in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats
from sklearn.datasets import load_breast_cancer

import numpyro
import numpyro.distributions as dist
from numpyro.examples.datasets import BASEBALL, EIGHT_SCHOOLS, RADON, load_dataset
from numpyro.infer import MCMC, NUTS, ChEES
from numpyro.infer.reparam import LocScaleReparam
from tests.helpers.posteriors import assert_agrees, assert_posterior, mixture_moments, sample, weighted_moments


def _whole(dataset):
    _, fetch = load_dataset(dataset, shuffle=False)
    return [np.asarray(part) for part in fetch()]


# Eight schools


def _eight_schools_truth(y, sigma):
    """Integrate mu and log tau on a grid; theta is normal given both."""
    mu, log_tau = np.meshgrid(np.linspace(-20, 30, 401), np.linspace(-12, 5, 601), indexing="ij")
    mu, tau = mu.reshape(-1, 1), np.exp(log_tau).reshape(-1, 1)
    total = sigma**2 + tau**2
    log_weights = stats.norm.logpdf(y, mu, np.sqrt(total)).sum(1)
    log_weights += stats.norm.logpdf(mu, 0, 5)[:, 0] + stats.halfcauchy.logpdf(tau, 0, 5)[:, 0] + np.log(tau)[:, 0]
    theta = (y * tau**2 + mu * sigma**2) / total
    return {
        "mu": weighted_moments(mu[:, 0], log_weights),
        "log_tau": weighted_moments(np.log(tau)[:, 0], log_weights),
        "theta": mixture_moments(theta, sigma**2 * tau**2 / total, log_weights),
    }


def eight_schools(sigma, y):
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    numpyro.deterministic("log_tau", jnp.log(tau))
    with numpyro.plate("schools", 8):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def test_eight_schools_not_centred():
    y, sigma = _whole(EIGHT_SCHOOLS)[:2]
    model = numpyro.handlers.reparam(eight_schools, config={"theta": LocScaleReparam(0)})
    mcmc = sample(model, sigma, y, kernel=NUTS(model, target_accept_prob=0.9), draws=2000)
    assert_posterior(mcmc, _eight_schools_truth(y, sigma))


def test_eight_schools_not_centred_by_many_chains():
    y, sigma = _whole(EIGHT_SCHOOLS)[:2]
    model = numpyro.handlers.reparam(eight_schools, config={"theta": LocScaleReparam(0)})
    settings = {"num_warmup": 400, "num_samples": 200, "num_chains": 64, "progress_bar": False}
    mcmc = MCMC(ChEES(model), chain_method="vectorized", **settings)
    mcmc.run(jax.random.key(0), sigma, y)
    assert_posterior(mcmc, _eight_schools_truth(y, sigma))


def test_eight_schools_centred_finds_trouble():
    """The centred form can't be sampled well near tau = 0, and says so by divergences."""
    y, sigma = _whole(EIGHT_SCHOOLS)[:2]
    mcmc = sample(eight_schools, sigma, y)
    assert int(mcmc.get_extra_fields()["diverging"].sum()) > 10


# Baseball


def test_baseball_hierarchy():
    """Batting averages of 18 players: phi ~ U(0, 1), kappa ~ Pareto(1, 1.5), p ~ Beta(phi kappa, (1 - phi) kappa)."""
    at_bats, hits = _whole(BASEBALL)[0][:, :2].T

    def model(at_bats, hits):
        phi = numpyro.sample("phi", dist.Uniform(0, 1))
        kappa = numpyro.sample("kappa", dist.Pareto(1.0, 1.5))
        numpyro.deterministic("log_kappa", jnp.log(kappa))
        with numpyro.plate("players", 18):
            p = numpyro.sample("p", dist.Beta(phi * kappa, (1 - phi) * kappa))
            numpyro.sample("hits", dist.Binomial(at_bats, p), obs=hits)

    phi, log_kappa = np.meshgrid(np.linspace(0.1, 0.5, 201), np.linspace(0.001, 14, 401), indexing="ij")
    phi, kappa = phi.reshape(-1, 1), np.exp(log_kappa).reshape(-1, 1)
    a, b = phi * kappa, (1 - phi) * kappa
    log_weights = (special.betaln(a + hits, b + at_bats - hits) - special.betaln(a, b)).sum(1)
    log_weights += -1.5 * np.log(kappa)[:, 0]  # Pareto density, times kappa for the logarithmic grid
    p = stats.beta(a + hits, b + at_bats - hits)
    truth = {
        "phi": weighted_moments(phi[:, 0], log_weights),
        "log_kappa": weighted_moments(np.log(kappa)[:, 0], log_weights),
        "p": mixture_moments(p.mean(), p.var(), log_weights),
    }
    assert_posterior(sample(model, at_bats, hits, draws=2000), truth)


# Radon


def test_radon_varying_intercepts():
    """Log radon in 919 houses of 85 counties: intercepts by county, one slope for the floor.

    Given both scales everything else is normal, so a grid over the two scales integrates the posterior.
    """
    county, floor, log_radon, _ = _whole(RADON)

    def model(county, floor, y):
        mu = numpyro.sample("mu", dist.Normal(0, 3))
        slope = numpyro.sample("slope", dist.Normal(0, 3))
        between = numpyro.sample("between", dist.HalfNormal(1))
        within = numpyro.sample("within", dist.HalfNormal(1))
        with numpyro.plate("counties", 85):
            z = numpyro.sample("z", dist.Normal(0, 1))
        alpha = numpyro.deterministic("alpha", mu + between * z)
        numpyro.sample("y", dist.Normal(alpha[county] + slope * floor, within), obs=y)

    design = np.column_stack([np.ones(len(floor)), floor, np.eye(85)[county]])
    gram, moment, square = design.T @ design, design.T @ log_radon, log_radon @ log_radon
    grid = [(b, w) for b in np.linspace(0.12, 0.62, 31) for w in np.linspace(0.66, 0.88, 23)]
    log_weights, means, variances = [], [], []
    contrast = np.column_stack([np.eye(87)[:, 2:] + np.eye(87)[:, :1], np.eye(87)[:, :2]])  # alpha, mu, slope
    for between, within in grid:
        prior = np.concatenate([[1 / 9, 1 / 9], np.full(85, between**-2)])
        precision = gram / within**2 + np.diag(prior)
        factor = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, moment / within**2)
        evidence = -len(floor) * np.log(within) + 0.5 * np.log(prior).sum() - np.log(np.diag(factor)).sum()
        evidence += -0.5 * (square / within**2 - mean @ precision @ mean)
        log_weights.append(evidence + stats.halfnorm.logpdf(between) + stats.halfnorm.logpdf(within))
        means.append(contrast.T @ mean)
        variances.append((np.linalg.solve(factor, contrast) ** 2).sum(0))
    log_weights, grid = np.array(log_weights), np.array(grid)
    mean, sd = mixture_moments(np.array(means), np.array(variances), log_weights)
    scale_mean, scale_sd = weighted_moments(grid, log_weights)
    truth = {
        "alpha": (mean[:85], sd[:85]),
        "mu": (mean[85], sd[85]),
        "slope": (mean[86], sd[86]),
        "between": (scale_mean[0], scale_sd[0]),
        "within": (scale_mean[1], scale_sd[1]),
    }
    assert_posterior(sample(model, county, floor, log_radon), truth)


# Regressions


def test_logistic_regression_on_the_breast_cancer_data():
    data = load_breast_cancer()
    x = stats.zscore(data.data[:, [0, 1, 4, 5]])
    x, y = np.column_stack([np.ones(len(x)), x]), data.target

    def model(x, y):
        beta = numpyro.sample("beta", dist.Normal(0, 2).expand([5]).to_event(1))
        numpyro.sample("y", dist.Bernoulli(logits=x @ beta), obs=y)

    def log_density(beta):
        logits = beta @ x.T
        return (y * logits - np.logaddexp(0, logits)).sum(1) - 0.125 * (beta**2).sum(1)

    # Importance sampling from a t around the mode, found by Newton's method.
    beta = np.zeros(5)
    for _ in range(25):
        p = special.expit(x @ beta)
        hessian = (x.T * (p * (1 - p))) @ x + np.eye(5) / 4
        beta = beta + np.linalg.solve(hessian, x.T @ (y - p) - beta / 4)
    proposal = stats.multivariate_t(beta, np.linalg.inv(hessian), df=8, seed=1)
    points = proposal.rvs(100_000)
    log_weights = np.concatenate([log_density(part) for part in np.array_split(points, 50)]) - proposal.logpdf(points)
    assert_posterior(sample(model, x, y), {"beta": weighted_moments(points, log_weights)})


def test_gaussian_process_hyperparameters():
    """Amplitude, length and noise of a process over 25 points, against a grid over their logarithms."""
    rng = np.random.default_rng(3)
    x = np.linspace(-2, 2, 25)
    y = np.sin(2 * x) + 0.3 * rng.standard_normal(25)
    distance = (x[:, None] - x) ** 2

    def model(y):
        log = numpyro.sample("log", dist.Normal(np.array([0.0, 0.0, -1.0]), 1.0).to_event(1))
        amplitude, length, noise = jnp.exp(log)
        kernel = amplitude**2 * jnp.exp(-0.5 * distance / length**2) + (noise**2 + 1e-6) * jnp.eye(25)
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(25), covariance_matrix=kernel), obs=y)

    axes = [np.linspace(-2.5, 3, 30), np.linspace(-2.5, 2.5, 40), np.linspace(-2.2, -0.3, 30)]
    log = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    log_weights = stats.norm.logpdf(log, [0, 0, -1], 1).sum(1)
    for part in np.array_split(np.arange(len(log)), 40):
        amplitude, length, noise = np.exp(log[part]).T[:, :, None, None]
        kernel = amplitude**2 * np.exp(-0.5 * distance / length**2) + (noise**2 + 1e-6) * np.eye(25)
        factor = np.linalg.cholesky(kernel)
        white = np.linalg.solve(factor, np.broadcast_to(y[:, None], (len(part), 25, 1)))[..., 0]
        log_weights[part] += -0.5 * (white**2).sum(1) - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    assert_posterior(sample(model, y), {"log": weighted_moments(log, log_weights)})


def test_horseshoe():
    """Means of ten observations of unit variance under a horseshoe prior; one integral over the local scale each."""
    y, tau = np.array([-0.4, 0.1, 0.9, -1.2, 0.3, 5.5, -0.2, 0.6, 3.0, -7.0]), 0.3

    def model(y):
        with numpyro.plate("coefficients", 10):
            local = numpyro.sample("local", dist.HalfCauchy(1))
            z = numpyro.sample("z", dist.Normal(0, 1))
            theta = numpyro.deterministic("theta", tau * local * z)
            numpyro.sample("y", dist.Normal(theta, 1), obs=y)

    log_local = np.linspace(-14, 14, 4001)[:, None]
    variance = (tau * np.exp(log_local)) ** 2
    log_weights = stats.norm.logpdf(y, 0, np.sqrt(1 + variance))
    log_weights += stats.halfcauchy.logpdf(np.exp(log_local)) + log_local
    shrunk = variance / (1 + variance)
    moments = [mixture_moments(shrunk[:, 0] * y[i], shrunk[:, 0], log_weights[:, i]) for i in range(10)]
    mcmc = sample(model, y, kernel=NUTS(model, target_accept_prob=0.95), warmup=1000, draws=2000)
    assert_agrees(mcmc.get_samples(group_by_chain=True)["theta"], *np.transpose(moments))
