"""Eight schools with every degree of centring between none and full.

``LocScaleReparam(c)`` writes ``theta ~ Normal(mu, tau)`` as ``theta = mu + tau^(1 - c) (x - c mu)`` with a decentred
``x ~ Normal(c mu, tau^c)``: ``c = 1`` is the centred model, ``c = 0`` the non-centred one. The model is written once.
"""

import argparse

import jax

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import summary
from numpyro.examples.datasets import EIGHT_SCHOOLS, load_dataset
from numpyro.infer import MCMC, NUTS
from numpyro.infer.reparam import LocScaleReparam


def model(error, effect=None):
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(error)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effect", dist.Normal(theta, error), obs=effect)


def main(num_samples: int = 1000, num_chains: int = 4) -> dict[float, int]:
    """Fit the model at five degrees of centring; return the number of divergences for each."""
    _, fetch = load_dataset(EIGHT_SCHOOLS, shuffle=False)
    effect, error = fetch()
    divergences = {}
    print("centring   divergences   n_eff of tau   r_hat of tau   mean of tau")
    for centring in (1.0, 0.75, 0.5, 0.25, 0.0):
        coordinates = numpyro.handlers.reparam(model, config={"theta": LocScaleReparam(centring)})
        mcmc = MCMC(
            NUTS(coordinates), num_warmup=1000, num_samples=num_samples, num_chains=num_chains, progress_bar=False
        )
        mcmc.run(jax.random.key(0), error, effect)
        tau = summary({"tau": mcmc.get_samples(group_by_chain=True)["tau"]})["tau"]
        divergences[centring] = int(mcmc.get_extra_fields()["diverging"].sum())
        print(
            f"{centring:8.2f}   {divergences[centring]:11d}   {tau['n_eff']:12.0f}"
            f"   {tau['r_hat']:12.3f}   {tau['mean']:11.2f}"
        )
    return divergences


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--num-chains", type=int, default=4)
    main(**vars(parser.parse_args()))
