"""Eighteen batters after 45 times at bat (Efron & Morris 1975): no pooling, full pooling, partial pooling.

Each model predicts the hits of the rest of the season. Two measures of what it had learnt: the log predictive density
of what then happened, ``sum_j log mean_s p(rest_j | theta_s)`` over players ``j`` and posterior draws ``theta_s``, and
the error of the posterior mean of each player's average.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

import numpyro
import numpyro.distributions as dist
from numpyro.examples.datasets import BASEBALL, load_dataset
from numpyro.infer import MCMC, NUTS, log_likelihood


def full_pooling(at_bats, hits=None):
    ability = numpyro.sample("ability", dist.Beta(1, 1))
    with numpyro.plate("player", len(at_bats)):
        numpyro.sample("hits", dist.Binomial(at_bats, ability), obs=hits)


def no_pooling(at_bats, hits=None):
    with numpyro.plate("player", len(at_bats)):
        ability = numpyro.sample("ability", dist.Beta(1, 1))
        numpyro.sample("hits", dist.Binomial(at_bats, ability), obs=hits)


def partial_pooling(at_bats, hits=None):
    alpha = numpyro.sample("alpha", dist.Normal(-1, 1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("player", len(at_bats)):
        z = numpyro.sample("z", dist.Normal(0, 1))
        logits = alpha + sigma * z
        numpyro.deterministic("ability", jax.nn.sigmoid(logits))
        numpyro.sample("hits", dist.Binomial(at_bats, logits=logits), obs=hits)


def main(num_samples: int = 1000, num_chains: int = 4) -> dict[str, tuple[float, float]]:
    """Fit all three; print and return for each the log predictive density and the root mean squared error."""
    _, first = load_dataset(BASEBALL, split="train", shuffle=False)
    _, total = load_dataset(BASEBALL, split="test", shuffle=False)
    early, season = np.asarray(first()[0]), np.asarray(total()[0])
    at_bats, hits = early.T
    rest_at_bats, rest_hits = (season - early).T

    measures = {}
    print("model             log predictive density   root mean squared error of the average")
    for model in (no_pooling, full_pooling, partial_pooling):
        mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=num_samples, num_chains=num_chains, progress_bar=False)
        mcmc.run(jax.random.key(0), at_bats, hits)
        draws = mcmc.get_samples()
        pointwise = log_likelihood(model, draws, rest_at_bats, rest_hits)["hits"]
        density = float((logsumexp(pointwise, 0) - jnp.log(len(pointwise))).sum())
        error = np.asarray(draws["ability"]).reshape(len(pointwise), -1).mean(0) - rest_hits / rest_at_bats
        measures[model.__name__] = density, float(np.sqrt(np.mean(error**2)))
        print("{:<16}  {:22.1f}   {:38.3f}".format(model.__name__, *measures[model.__name__]))
    return measures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--num-chains", type=int, default=4)
    main(**vars(parser.parse_args()))
