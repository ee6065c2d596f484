"""Twelve posteriors with reference answers (posteriordb), their data read from a folder that the caller names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import numpyro
import numpyro.distributions as dist
from benchmarks import data as arrays
from benchmarks.models import Case
from numpyro.distributions import constraints


def _flat(name: str, *shape: int) -> Any:
    support = constraints.real_vector if shape else constraints.real
    return numpyro.sample(name, dist.ImproperUniform(support, (), shape))


def _flat_positive(name: str) -> Any:
    return numpyro.sample(name, dist.ImproperUniform(constraints.positive, (), ()))


def _regression(design: np.ndarray, response: np.ndarray, sigma: Callable[[], Any] | None = None) -> Case:
    def model(design, response):
        beta = _flat("beta", design.shape[1])
        scale = sigma() if sigma else _flat_positive("sigma")
        numpyro.sample("y", dist.Normal(design @ beta, scale), obs=response)

    return Case(model, (design.astype(np.float32), response.astype(np.float32)))


def eight_schools_centered(data: dict[str, Any]) -> Case:
    def model(sigma, y):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        theta = numpyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
        numpyro.sample("y", dist.Normal(theta, sigma).to_event(1), obs=y)

    return Case(model, tuple(np.asarray(data[k], np.float32) for k in ("sigma", "y")))


def eight_schools_noncentered(data: dict[str, Any]) -> Case:
    def model(sigma, y):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        trans = numpyro.sample("theta_trans", dist.Normal(0, 1).expand([8]).to_event(1))
        theta = numpyro.deterministic("theta", mu + tau * trans)
        numpyro.sample("y", dist.Normal(theta, sigma).to_event(1), obs=y)

    return Case(model, tuple(np.asarray(data[k], np.float32) for k in ("sigma", "y")))


def kidiq(data: dict[str, Any]) -> Case:
    return _regression(*arrays.kidiq(data), lambda: numpyro.sample("sigma", dist.HalfCauchy(2.5)))


def earnings(data: dict[str, Any]) -> Case:
    return _regression(*arrays.earnings(data))


def mesquite(data: dict[str, Any]) -> Case:
    return _regression(*arrays.mesquite(data))


def autoregression(data: dict[str, Any]) -> Case:
    lags, y = (array.astype(np.float32) for array in arrays.autoregression(data))
    order = lags.shape[1]

    def model(lags, y):
        alpha = numpyro.sample("alpha", dist.Normal(0, 10))
        beta = numpyro.sample("beta", dist.Normal(0, 10).expand([order]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
        numpyro.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y)

    return Case(model, (lags, y))


def garch(data: dict[str, Any]) -> Case:
    y, sigma1 = np.asarray(data["y"], np.float32), float(data["sigma1"])

    def model(y):
        mu = _flat("mu")
        alpha0 = _flat_positive("alpha0")
        alpha1 = numpyro.sample("alpha1", dist.Uniform(0, 1))
        beta1 = numpyro.sample("beta1", dist.ImproperUniform(constraints.interval(0.0, 1 - alpha1), (), ()))

        def step(sigma, previous):
            sigma = jnp.sqrt(alpha0 + alpha1 * (previous - mu) ** 2 + beta1 * sigma**2)
            return sigma, sigma

        _, later = jax.lax.scan(step, jnp.asarray(sigma1), y[:-1])
        numpyro.sample("y", dist.Normal(mu, jnp.concatenate([jnp.array([sigma1]), later])), obs=y)

    return Case(model, (y,))


def gp_pois_regr(data: dict[str, Any]) -> Case:
    x, k = np.asarray(data["x"], np.float64), np.asarray(data["k"], np.int32)

    def model(x, k):
        rho = numpyro.sample("rho", dist.Gamma(25, 4))
        alpha = numpyro.sample("alpha", dist.HalfNormal(2))
        f_tilde = numpyro.sample("f_tilde", dist.Normal(0, 1).expand([x.shape[0]]).to_event(1))
        kernel = alpha**2 * jnp.exp(-0.5 * ((x[:, None] - x) / rho) ** 2) + 1e-10 * jnp.eye(x.shape[0])
        f = numpyro.deterministic("f", jnp.linalg.cholesky(kernel) @ f_tilde)
        numpyro.sample("k", dist.Poisson(jnp.exp(f)), obs=k)

    return Case(model, (x, k), x64=True)


def hmm_example(data: dict[str, Any]) -> Case:
    y = np.asarray(data["y"], np.float32)

    def model(y):
        theta1 = numpyro.sample("theta1", dist.Dirichlet(jnp.ones(2)))
        theta2 = numpyro.sample("theta2", dist.Dirichlet(jnp.ones(2)))
        mu = numpyro.sample("mu", dist.ImproperUniform(constraints.positive_ordered_vector, (), (2,)))
        numpyro.factor("prior", dist.Normal(jnp.array([3.0, 10.0]), 1).log_prob(mu).sum())
        log_rows = jnp.log(jnp.stack([theta1, theta2]))
        emission = dist.Normal(mu, 1).log_prob(y[:, None])

        def step(alpha, log_likelihood):
            return jax.nn.logsumexp(alpha[:, None] + log_rows, 0) + log_likelihood, None

        alpha, _ = jax.lax.scan(step, emission[0], emission[1:])
        numpyro.factor("y", jax.nn.logsumexp(alpha))

    return Case(model, (y,))


def gauss_mix(data: dict[str, Any]) -> Case:
    y = np.asarray(data["y"], np.float32)

    def model(y):
        mu = numpyro.sample("mu", dist.ImproperUniform(constraints.ordered_vector, (), (2,)))
        sigma = numpyro.sample("sigma", dist.HalfNormal(2).expand([2]).to_event(1))
        theta = numpyro.sample("theta", dist.Beta(5, 5))
        numpyro.factor("prior", dist.Normal(0, 2).log_prob(mu).sum())
        parts = dist.Normal(mu, sigma).log_prob(y[:, None])
        numpyro.factor("y", jnp.logaddexp(jnp.log(theta) + parts[:, 0], jnp.log1p(-theta) + parts[:, 1]).sum())

    return Case(model, (y,))


def sblrc(data: dict[str, Any]) -> Case:
    x, y = np.asarray(data["X"], np.float32), np.asarray(data["y"], np.float32)

    def model(x, y):
        beta = numpyro.sample("beta", dist.Normal(0, 10).expand([x.shape[1]]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfNormal(10))
        numpyro.sample("y", dist.Normal(x @ beta, sigma), obs=y)

    return Case(model, (x, y))


def kilpisjarvi(data: dict[str, Any]) -> Case:
    x, y = np.asarray(data["x"], np.float32), np.asarray(data["y"], np.float32)

    def model(x, y):
        alpha = numpyro.sample("alpha", dist.Normal(data["pmualpha"], data["psalpha"]))
        beta = numpyro.sample("beta", dist.Normal(data["pmubeta"], data["psbeta"]))
        sigma = _flat_positive("sigma")
        numpyro.sample("y", dist.Normal(alpha + beta * x, sigma), obs=y)

    return Case(model, (x, y))


POSTERIORS: dict[str, Callable[[dict[str, Any]], Case]] = {
    "eight_schools_centered": eight_schools_centered,
    "eight_schools_noncentered": eight_schools_noncentered,
    "kidscore_interaction": kidiq,
    "logearn_interaction": earnings,
    "logmesquite": mesquite,
    "arK": autoregression,
    "garch11": garch,
    "gp_pois_regr": gp_pois_regr,
    "hmm_example": hmm_example,
    "low_dim_gauss_mix": gauss_mix,
    "blr": sblrc,
    "kilpisjarvi": kilpisjarvi,
}


def load(folder: str, name: str) -> Case:
    """The posterior ``name`` over the data in ``folder``."""
    return POSTERIORS[name](arrays.read_posterior(folder, name))
