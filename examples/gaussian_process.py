"""Regression with a Gaussian process whose amplitude, length scale and noise are inferred.

The function is integrated out: ``y ~ Normal(0, K + s^2 I)`` with ``K_ij = a^2 exp(-(x_i - x_j)^2 / (2 l^2))``. Given
draws of ``(a, l, s)``, the function at new points is normal with mean ``K_*' (K + s^2 I)^-1 y`` (Rasmussen & Williams
2006, equations 2.22 to 2.24).
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS


def kernel(x1, x2, amplitude, length):
    return amplitude**2 * jnp.exp(-0.5 * ((x1[:, None] - x2[None, :]) / length) ** 2)


def model(x, y=None):
    amplitude = numpyro.sample("amplitude", dist.LogNormal(0, 1))
    length = numpyro.sample("length", dist.InverseGamma(3, 1))
    noise = numpyro.sample("noise", dist.HalfNormal(0.5))
    covariance = kernel(x, x, amplitude, length) + (noise**2 + 1e-5) * jnp.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), covariance), obs=y)


@jax.jit
def function_at(new_x, x, y, amplitude, length, noise):
    """Mean and standard deviation of the function at ``new_x``, for one draw of the parameters."""
    factor = jax.scipy.linalg.cho_factor(kernel(x, x, amplitude, length) + (noise**2 + 1e-5) * jnp.eye(len(x)))
    cross = kernel(x, new_x, amplitude, length)
    mean = cross.T @ jax.scipy.linalg.cho_solve(factor, y)
    variance = amplitude**2 - jnp.sum(cross * jax.scipy.linalg.cho_solve(factor, cross), axis=0)
    return mean, jnp.sqrt(jnp.maximum(variance, 0.0))


def main(num_samples: int = 500, num_chains: int = 2) -> float:
    """Fit thirty noisy points of a known function; print the fit, and return its root mean squared error."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-1, 1, size=30))
    truth = lambda x: np.sin(4 * x) + 0.5 * x
    y = truth(x) + rng.normal(0, 0.1, size=x.shape)

    mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=num_samples, num_chains=num_chains)
    mcmc.run(jax.random.key(0), x, y)
    mcmc.print_summary()

    new_x = np.linspace(-0.9, 0.9, 10)
    draws = mcmc.get_samples()
    at_draws = jax.vmap(function_at, in_axes=(None, None, None, 0, 0, 0))
    means, stds = map(np.asarray, at_draws(new_x, x, y, draws["amplitude"], draws["length"], draws["noise"]))
    mean, std = means.mean(0), np.sqrt(means.var(0) + (stds**2).mean(0))
    print("     x    mean     std   truth")
    for row in zip(new_x, mean, std, truth(new_x), strict=True):
        print("{:6.2f}  {:6.2f}  {:6.2f}  {:6.2f}".format(*row))
    return float(np.sqrt(np.mean((mean - truth(new_x)) ** 2)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=500)
    parser.add_argument("--num-chains", type=int, default=2)
    main(**vars(parser.parse_args()))
