"""The models of the benchmarks, in the interface that this project and its peer share, over the arrays of ``data``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import numpyro
import numpyro.distributions as dist
from benchmarks import data


class Case(NamedTuple):
    """A model with its data, and whether it needs double precision."""

    model: Callable[..., Any]
    args: tuple[Any, ...]
    x64: bool = False


def eight_schools() -> Case:
    """Ten dimensions, not centred."""

    def model(sigma, y):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("schools", 8):
            eta = numpyro.sample("eta", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(mu + tau * eta, sigma), obs=y)

    return Case(model, data.eight_schools())


def _logistic(rows: int, columns: int) -> Case:
    def model(x, y):
        beta = numpyro.sample("beta", dist.Normal(0, 1).expand([x.shape[1]]).to_event(1))
        numpyro.sample("y", dist.Bernoulli(logits=x @ beta), obs=y)

    return Case(model, data.logistic(rows, columns))


def logistic_small() -> Case:
    """1000 rows of 25 columns."""
    return _logistic(1000, 25)


def logistic_large() -> Case:
    """100,000 rows of 10 columns."""
    return _logistic(100_000, 10)


def radon() -> Case:
    """A varying-intercept model with 919 rows and 85 groups, simulated in the shape of the radon data."""

    def model(group, floor, y):
        mu = numpyro.sample("mu", dist.Normal(0, 3))
        slope = numpyro.sample("slope", dist.Normal(0, 3))
        between = numpyro.sample("between", dist.HalfNormal(1))
        within = numpyro.sample("within", dist.HalfNormal(1))
        with numpyro.plate("groups", 85):
            z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal((mu + between * z)[group] + slope * floor, within), obs=y)

    return Case(model, data.radon())


def gaussian_process() -> Case:
    """Three hyperparameters over 100 points."""

    def model(x, y):
        amplitude = numpyro.sample("amplitude", dist.LogNormal(0, 1))
        length = numpyro.sample("length", dist.LogNormal(0, 1))
        noise = numpyro.sample("noise", dist.LogNormal(-1, 1))
        distance = (x[:, None] - x) ** 2
        kernel = amplitude**2 * jnp.exp(-0.5 * distance / length**2) + (noise**2 + 1e-5) * jnp.eye(x.shape[0])
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(x.shape[0]), covariance_matrix=kernel), obs=y)

    return Case(model, data.gaussian_process())


def hidden_markov() -> Case:
    """Three states, 200 steps; the forward algorithm by scan."""

    def model(y):
        rows = numpyro.sample("rows", dist.Dirichlet(jnp.ones((3, 3))).to_event(1))
        mu = numpyro.sample("mu", dist.Normal(jnp.array([-2.0, 0.0, 2.0]), 1).to_event(1))
        emission = dist.Normal(mu, 1).log_prob(y[:, None])
        log_rows = jnp.log(rows)

        def step(alpha, log_likelihood):
            return jax.nn.logsumexp(alpha[:, None] + log_rows, 0) + log_likelihood, None

        alpha, _ = jax.lax.scan(step, emission[0] - jnp.log(3.0), emission[1:])
        numpyro.factor("y", jax.nn.logsumexp(alpha))

    return Case(model, data.hidden_markov())


def stochastic_volatility() -> Case:
    """A random walk of 1000 log volatilities with Student t returns."""

    def model(returns):
        sigma = numpyro.sample("sigma", dist.Exponential(20.0))
        nu = numpyro.sample("nu", dist.Exponential(0.1))
        step = numpyro.sample("step", dist.Normal(0, 1).expand([1000]).to_event(1))
        numpyro.sample("r", dist.StudentT(nu, 0.0, jnp.exp(sigma * jnp.cumsum(step))), obs=returns)

    return Case(model, data.stochastic_volatility())


CASES: dict[str, Callable[[], Case]] = {
    "eight schools": eight_schools,
    "logistic 1000x25": logistic_small,
    "logistic 100000x10": logistic_large,
    "radon": radon,
    "gaussian process": gaussian_process,
    "hidden markov": hidden_markov,
    "stochastic volatility": stochastic_volatility,
}
