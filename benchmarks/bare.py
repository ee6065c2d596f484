"""The limit: a jitted loop of leapfrog steps over a flat vector, with the gradient of a density given as a function."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

LOG_2PI = float(np.log(2 * np.pi))


def _normal(x: Any, loc: Any, scale: Any) -> Any:
    return -0.5 * ((x - loc) / scale) ** 2 - jnp.log(scale)


def eight_schools(z: Any, sigma: Any, y: Any) -> Any:
    mu, tau, eta = z[0], jnp.exp(z[1]), z[2:]
    prior = _normal(mu, 0.0, 5.0) - jnp.log1p((tau / 5) ** 2) + z[1] - 0.5 * jnp.sum(eta**2)
    return prior - 0.5 * jnp.sum(((y - mu - tau * eta) / sigma) ** 2)


def logistic(z: Any, x: Any, y: Any) -> Any:
    logits = x @ z
    return jnp.sum(y * logits - jax.nn.softplus(logits)) - 0.5 * jnp.sum(z**2)


def radon(z: Any, group: Any, floor: Any, y: Any) -> Any:
    mu, slope, between, within = z[0], z[1], jnp.exp(z[2]), jnp.exp(z[3])
    prior = _normal(mu, 0.0, 3.0) + _normal(slope, 0.0, 3.0) - 0.5 * between**2 - 0.5 * within**2 + z[2] + z[3]
    mean = (mu + between * z[4:])[group] + slope * floor
    return prior - 0.5 * jnp.sum(z[4:] ** 2) - 0.5 * jnp.sum((y - mean) ** 2) / within**2 - y.shape[0] * z[3]


def gaussian_process(z: Any, x: Any, y: Any) -> Any:
    amplitude, length, noise = jnp.exp(z)
    distance = (x[:, None] - x) ** 2
    kernel = amplitude**2 * jnp.exp(-0.5 * distance / length**2) + (noise**2 + 1e-5) * jnp.eye(x.shape[0])
    factor = jnp.linalg.cholesky(kernel)
    white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    return (
        -0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(jnp.diag(factor))) - 0.5 * (z[0] ** 2 + z[1] ** 2 + (z[2] + 1) ** 2)
    )


def hidden_markov(z: Any, y: Any) -> Any:
    mu, logits = z[:3], jnp.concatenate([z[3:].reshape(3, 2), jnp.zeros((3, 1))], 1)
    log_rows = jax.nn.log_softmax(logits)
    emission = -0.5 * (y[:, None] - mu) ** 2 - 0.5 * LOG_2PI

    def step(alpha: Any, log_likelihood: Any) -> Any:
        return jax.nn.logsumexp(alpha[:, None] + log_rows, 0) + log_likelihood, None

    alpha, _ = jax.lax.scan(step, emission[0] - jnp.log(3.0), emission[1:])
    prior = -0.5 * jnp.sum((mu - jnp.array([-2.0, 0.0, 2.0])) ** 2) + jnp.sum(log_rows)
    return jax.nn.logsumexp(alpha) + prior


def stochastic_volatility(z: Any, returns: Any) -> Any:
    sigma, nu, step = jnp.exp(z[0]), jnp.exp(z[1]), z[2:]
    log_scale = sigma * jnp.cumsum(step)
    t = jnp.log1p((returns * jnp.exp(-log_scale)) ** 2 / nu)
    n = returns.shape[0]
    constant = gammaln(0.5 * (nu + 1)) - gammaln(0.5 * nu) - 0.5 * jnp.log(nu)
    prior = -20 * sigma + z[0] - 0.1 * nu + z[1] - 0.5 * jnp.sum(step**2)
    return prior + n * constant - jnp.sum(log_scale) - 0.5 * (nu + 1) * jnp.sum(t)


DENSITIES: dict[str, tuple[Callable[..., Any], int]] = {
    "eight schools": (eight_schools, 10),
    "logistic 1000x25": (logistic, 25),
    "logistic 100000x10": (logistic, 10),
    "radon": (radon, 89),
    "gaussian process": (gaussian_process, 3),
    "hidden markov": (hidden_markov, 9),
    "stochastic volatility": (stochastic_volatility, 1002),
}


def microseconds_per_leapfrog(name: str, args: tuple[Any, ...], seconds: float = 1.0) -> float:
    """CPU time of a leapfrog step in a compiled loop, after compilation."""
    density, size = DENSITIES[name]
    step_size = 1e-4  # the cost does not depend on it; small steps stay where the density is finite

    @jax.jit
    def loop(z: Any, r: Any, count: Any, *args: Any) -> Any:
        gradient = jax.grad(lambda z: -density(z, *args))

        def step(_: Any, state: Any) -> Any:
            z, r, g = state
            r = r - 0.5 * step_size * g
            z = z + step_size * r
            g = gradient(z)
            return z, r - 0.5 * step_size * g, g

        return jax.lax.fori_loop(0, count, step, (z, r, gradient(z)))

    z = jnp.zeros(size)
    r = jax.random.normal(jax.random.PRNGKey(0), (size,))
    jax.block_until_ready(loop(z, r, 1, *args))
    count, used = 64, 0.0
    while used < seconds:
        start = time.process_time()
        jax.block_until_ready(loop(z, r, count, *args))
        used = time.process_time() - start
        count = count * 2 if used < seconds else count
    return used / count * 1e6
