"""Sparse regression: which few of fifty predictors matter? The regularised horseshoe (Piironen & Vehtari 2017).

``b_k = z_k tau l_k``, ``z_k ~ Normal(0, 1)``, ``l_k ~ HalfCauchy(1)``, with ``l_k^2`` replaced by
``c^2 l_k^2 / (c^2 + tau^2 l_k^2)``: most coefficients are shrunk to nothing by a small ``tau``, heavy tails let a few
escape, and ``c`` bounds how far.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS


def model(x, y=None):
    n, p = x.shape
    expected_relevant = 5
    noise = numpyro.sample("noise", dist.HalfNormal(1))
    tau = numpyro.sample("tau", dist.HalfCauchy(expected_relevant / (p - expected_relevant) / n**0.5))
    slab2 = numpyro.sample("slab2", dist.InverseGamma(2, 8))
    with numpyro.plate("predictor", p):
        z = numpyro.sample("z", dist.Normal(0, 1))
        local = numpyro.sample("local", dist.HalfCauchy(1))
    scale = tau * local / jnp.sqrt(1 + (tau * local) ** 2 / slab2)
    coefficients = numpyro.deterministic("coefficients", scale * z)
    with numpyro.plate("row", n):
        numpyro.sample("y", dist.Normal(x @ coefficients, noise), obs=y)


def main(num_samples: int = 1000, num_chains: int = 2) -> list[int]:
    """Simulate a hundred rows with three relevant predictors; print and return those that the posterior picks out."""
    rng = np.random.default_rng(0)
    truth = np.zeros(50)
    truth[[3, 17, 41]] = [2.0, -1.5, 1.0]
    x = rng.normal(size=(100, 50))
    y = x @ truth + rng.normal(0, 0.5, size=100)

    mcmc = MCMC(NUTS(model, target_accept_prob=0.95), num_warmup=1000, num_samples=num_samples, num_chains=num_chains)
    mcmc.run(jax.random.key(0), x, y)
    coefficients = np.asarray(mcmc.get_samples()["coefficients"])
    low, high = np.quantile(coefficients, [0.05, 0.95], axis=0)
    found = [k for k in range(50) if low[k] > 0 or high[k] < 0]
    print(f"divergences: {int(mcmc.get_extra_fields()['diverging'].sum())}")
    print("predictor   truth    mean   90 % interval")
    for k in found:
        print(f"{k:9d}   {truth[k]:5.2f}   {coefficients[:, k].mean():5.2f}   {low[k]:.2f} to {high[k]:.2f}")
    print(f"largest of the others: {np.abs(np.delete(coefficients.mean(0), found)).max():.2f}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--num-chains", type=int, default=2)
    main(**vars(parser.parse_args()))
