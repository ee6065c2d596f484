"""A small Bayesian neural network on a table of 442 patients (Efron, Hastie, Johnstone & Tibshirani 2004).

The progress of diabetes after a year, from ten measurements of each patient: a network of Flax whose weights have
priors, the scale of those priors among the unknowns, fitted by variational inference and by NUTS. Held to patients that
were left out, by the log predictive density per patient, beside a normal distribution that knows no measurements.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from jax.scipy.special import logsumexp
from sklearn.datasets import load_diabetes

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import random_flax_module
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO, log_likelihood
from numpyro.infer.autoguide import AutoNormal


class Network(linen.Module):
    """One hidden layer of eight units."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(1)(jnp.tanh(linen.Dense(8)(x)))[..., 0]


def model(x, y=None):
    width = numpyro.sample("width", dist.HalfNormal(0.5))
    network = random_flax_module(
        "network", Network(), lambda name, shape: dist.Normal(0.0, width / np.sqrt(shape[0])), x
    )
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("patients", len(x)):
        numpyro.sample("y", dist.Normal(network(x), noise), obs=y)


def main(num_steps: int = 3000, num_samples: int = 500) -> dict[str, float]:
    """Fit; print and return log predictive densities per patient of the 92 that were left out."""
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    x = ((x - x[:350].mean(0)) / x[:350].std(0)).astype(np.float32)
    y = ((y - y[:350].mean()) / y[:350].std()).astype(np.float32)
    train, test = (x[:350], y[:350]), (x[350:], y[350:])

    def density(draws):
        pointwise = log_likelihood(model, draws, *test)["y"]
        return float((logsumexp(pointwise, 0) - jnp.log(len(pointwise))).mean())

    guide = AutoNormal(model)
    svi = SVI(model, guide, optax.adam(0.01), Trace_ELBO(num_particles=4))
    result = svi.run(jax.random.key(0), num_steps, *train, progress_bar=False)
    by_guide = guide.sample_posterior(jax.random.key(1), result.params, *train, sample_shape=(num_samples,))

    mcmc = MCMC(NUTS(model), num_warmup=num_samples, num_samples=num_samples, progress_bar=False)
    mcmc.run(jax.random.key(2), *train)

    densities = {
        "no measurements": float(dist.Normal(0.0, 1.0).log_prob(test[1]).mean()),
        "variational": density(by_guide),
        "NUTS": density(mcmc.get_samples()),
    }
    for name, value in densities.items():
        print(f"{name:<16} {value:7.3f} per patient")
    return densities


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-steps", type=int, default=3000)
    parser.add_argument("--num-samples", type=int, default=500)
    main(**vars(parser.parse_args()))
