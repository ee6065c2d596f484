"""A conjugate model, of which everything is known, and one of many kinds of sites."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

import numpyro
import numpyro.distributions as dist
from numpyro.infer import Trace_ELBO

DATA = np.array([1.0, 2.0, 0.5, -0.3], np.float32)
DESIGN = np.array([[1.0, 0.5], [1.0, -1.0], [0.5, 2.0], [1.0, 0.0]], np.float32)


def regression(y=None):
    """``y ~ N(X w, 1)``, ``w = (a, b) ~ N(0, 1)``: the posterior is normal."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    numpyro.deterministic("total", a + b)
    numpyro.sample("y", dist.Normal(a * DESIGN[:, 0] + b * DESIGN[:, 1], 1.0).to_event(1), obs=y)


PRECISION = np.eye(2) + DESIGN.T.astype(float) @ DESIGN
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ (DESIGN.T @ DATA)
LOG_EVIDENCE = multivariate_normal(np.zeros(4), np.eye(4) + DESIGN.astype(float) @ DESIGN.T).logpdf(DATA)


def hierarchy(y=None):
    mu = numpyro.sample("mu", dist.Normal(1.0, 2.0))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("g", 3):
        theta = numpyro.sample("theta", dist.Normal(mu, s))
        numpyro.sample("w", dist.Dirichlet(np.ones(4)))
        numpyro.deterministic("d", 2 * theta)
        numpyro.sample("y", dist.Normal(theta, 1.0), obs=y)


def elbos(guide, params, model, *args, num=2000, seed=0):
    """Estimates of the evidence lower bound by one draw each."""
    of_one = lambda key: -Trace_ELBO().loss(key, params, model, guide, *args)
    return np.asarray(jax.jit(jax.vmap(of_one))(jax.random.split(jax.random.key(seed), num)), np.float64)


def begun(guide, *args):
    guide.begin(jax.random.key(0), *(jnp.asarray(arg) for arg in args))
    return guide


def shapes(tree):
    return {name: np.shape(value) for name, value in tree.items()}
