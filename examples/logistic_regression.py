"""Logistic regression on the breast cancer data that scikit-learn ships: 569 tumours, 30 measurements each.

``y_i ~ Bernoulli(sigmoid(a + x_i . b))`` with ``b_k ~ Normal(0, tau)`` and ``tau`` inferred: the data choose the
shrinkage. A quarter of the tumours is held out, and probabilities averaged over the posterior are judged on it.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_breast_cancer

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, Predictive


def model(x, y=None):
    intercept = numpyro.sample("intercept", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfNormal(1))
    with numpyro.plate("measurement", x.shape[1]):
        z = numpyro.sample("z", dist.Normal(0, 1))
    slopes = numpyro.deterministic("slopes", tau * z)
    logits = numpyro.deterministic("logits", intercept + x @ slopes)
    with numpyro.plate("tumour", x.shape[0]):
        numpyro.sample("benign", dist.Bernoulli(logits=logits), obs=y)


def main(num_samples: int = 1000, num_chains: int = 2) -> float:
    """Fit on three quarters of the data; print and return the accuracy on the rest."""
    data = load_breast_cancer()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    held_out = np.arange(len(x)) % 4 == 0
    mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=num_samples, num_chains=num_chains)
    mcmc.run(jax.random.key(0), x[~held_out], data.target[~held_out])
    mcmc.print_summary()

    draws = mcmc.get_samples()
    parameters = {name: draws[name] for name in ("intercept", "tau", "z")}
    logits = Predictive(model, parameters, return_sites=["logits"])(jax.random.key(1), x[held_out])["logits"]
    probability = np.asarray(jax.nn.sigmoid(logits)).mean(0)
    truth = data.target[held_out]
    accuracy = float(np.mean((probability > 0.5) == truth))
    density = float(np.mean(np.log(np.where(truth, probability, 1 - probability))))

    slopes = np.asarray(draws["slopes"])
    sure = jnp.abs(slopes.mean(0)) / slopes.std(0)
    print("Measurements that say the most:", ", ".join(data.feature_names[k] for k in np.argsort(-sure)[:3]))
    print(f"Held out: {accuracy:.1%} right, mean log probability {density:.3f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--num-chains", type=int, default=2)
    main(**vars(parser.parse_args()))
