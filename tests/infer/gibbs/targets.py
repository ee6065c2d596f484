"""Models of discrete and continuous sites whose posteriors are known by enumeration."""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

import numpyro
import numpyro.distributions as dist

WEIGHTS, LOCS, SCALE, PROB = np.array([0.2, 0.5, 0.3]), np.array([-1.0, 0.5, 2.0]), 0.7, 0.4
OBSERVED = np.array([0.3, 1.8, -0.4])


def mixed(y: Any) -> None:
    """A class, the mean that it decides on, and a switch for each observation."""
    c = numpyro.sample("c", dist.Categorical(jnp.asarray(WEIGHTS)))
    x = numpyro.sample("x", dist.Normal(jnp.asarray(LOCS)[c], SCALE))
    numpyro.deterministic("double", 2 * x)
    with numpyro.plate("data", 3):
        b = numpyro.sample("b", dist.Bernoulli(PROB))
        numpyro.sample("y", dist.Normal(x + b, 1.0), obs=y)


def posterior() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All values ``(c, b1, b2, b3)``, their probabilities, and the mean and scale of ``x`` given each."""
    cells = np.array(list(product(range(3), (0, 1), (0, 1), (0, 1))))
    c, b = cells[:, 0], cells[:, 1:]
    prior, precision = LOCS[c], 1 / SCALE**2 + 3
    mean = (prior / SCALE**2 + (OBSERVED - b).sum(1)) / precision
    # The evidence of each cell: y - b is normal with mean `prior` and covariance 1 + SCALE^2 J.
    covariance = np.eye(3) + SCALE**2 * np.ones((3, 3))
    log_weights = np.array(
        [
            np.log(WEIGHTS[ci])
            + stats.binom.logpmf(bi, 1, PROB).sum()
            + stats.multivariate_normal.logpdf(OBSERVED - bi, np.full(3, LOCS[ci]), covariance)
            for ci, bi in zip(c, b)
        ]
    )
    return cells, special.softmax(log_weights), mean, np.full(len(c), precision**-0.5)


def draw_posterior(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Exact draws."""
    cells, weights, mean, scale = posterior()
    cell = rng.choice(len(weights), count, p=weights)
    x = rng.normal(mean[cell], scale[cell])
    return {"c": cells[cell, 0].astype(np.int32), "b": cells[cell, 1:].astype(np.int32), "x": x.astype(np.float32)}


def cell_of(draws: dict[str, Any]) -> np.ndarray:
    """The number of the cell of each draw."""
    c, b = np.asarray(draws["c"]), np.asarray(draws["b"])
    return c * 8 + b[..., 0] * 4 + b[..., 1] * 2 + b[..., 2]


def cdf_of_x(x: np.ndarray) -> np.ndarray:
    """The distribution function of ``x`` alone."""
    _, weights, mean, scale = posterior()
    return stats.norm.cdf(x[:, None], mean, scale) @ weights


def gibbs_fn(rng_key: Any, gibbs_sites: Any, hmc_sites: Any) -> dict[str, Any]:
    """Draws ``c`` and ``b`` given ``x``, on which they do not depend otherwise."""
    x = hmc_sites["x"]
    c_key, b_key = jax.random.split(rng_key)
    c = dist.Categorical(logits=jnp.log(WEIGHTS) - 0.5 * ((x - LOCS) / SCALE) ** 2).sample(c_key)
    odds = jnp.log(PROB / (1 - PROB)) + 0.5 * (OBSERVED - x) ** 2 - 0.5 * (OBSERVED - x - 1) ** 2
    return {"c": c, "b": dist.Bernoulli(logits=odds).sample(b_key)}


def counts() -> None:
    """Supports other than 0..K-1, and one that is longer than another."""
    u = numpyro.sample("u", dist.DiscreteUniform(3, 7))
    with numpyro.plate("two", 2):
        v = numpyro.sample("v", dist.Binomial(2, 0.3))
    numpyro.sample("y", dist.Normal(u + 2.0 * v[0] - v[1], 1.0), obs=6.0)


def counts_posterior() -> dict[tuple[int, int, int], float]:
    """The probabilities of ``(u, v0, v1)``."""
    cells = list(product(range(3, 8), range(3), range(3)))
    weights = [
        stats.binom.pmf(v0, 2, 0.3) * stats.binom.pmf(v1, 2, 0.3) * stats.norm.pdf(6.0, u + 2 * v0 - v1)
        for u, v0, v1 in cells
    ]
    return dict(zip(cells, np.array(weights) / sum(weights)))
