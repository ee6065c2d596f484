"""Algorithms of BlackJAX on the engine, and those that anyone writes in its form; keys are fixed."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.blackjax import BlackJAX
from numpyro.infer import MCMC


class Position(NamedTuple):
    position: jax.Array


class Pair(NamedTuple):
    init: object
    step: object


def random_walk(log_density, scale):
    def step(rng_key, state):
        noise_key, accept_key = jax.random.split(rng_key)
        proposal = state.position + scale * jax.random.normal(noise_key, state.position.shape)
        log_ratio = log_density(proposal) - log_density(state.position)
        accepted = jnp.log(jax.random.uniform(accept_key)) < log_ratio
        return Position(jnp.where(accepted, proposal, state.position)), {"accepted": accepted}

    return Pair(Position, step)


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


Y = np.array([0.4, 1.3, 0.2])


def check(kernel, **run):
    mcmc = MCMC(kernel, num_warmup=300, num_samples=4000, num_chains=2, chain_method="vectorized", progress_bar=False)
    mcmc.run(jax.random.key(0), Y, **run)
    variance = 1 / (0.25 + 3)
    u = (np.asarray(mcmc.get_samples()["mu"]) - variance * Y.sum()) / np.sqrt(variance)
    assert abs(u.mean()) < 0.15 and abs(u.std() - 1) < 0.15
    return mcmc


def test_an_algorithm_of_ones_own():
    kernel = BlackJAX(random_walk, model, scale=1.0)
    mcmc = check(kernel, extra_fields=("info.accepted",))
    assert 0.2 < np.mean(mcmc.get_extra_fields()["info.accepted"]) < 0.9
    again = check(pickle.loads(pickle.dumps(kernel)))
    np.testing.assert_array_equal(mcmc.get_samples()["mu"], again.get_samples()["mu"])
    with pytest.raises(TypeError, match="must be a function"):
        BlackJAX("nuts", model)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["mala", "nuts", "hmc", "barker_proposal"])
def test_algorithms_of_blackjax(name):
    blackjax = pytest.importorskip("blackjax", reason="needs the package blackjax")
    parameters = {
        "mala": {"step_size": 0.3},
        "nuts": {"step_size": 0.5, "inverse_mass_matrix": jnp.ones(1)},
        "hmc": {"step_size": 0.3, "inverse_mass_matrix": jnp.ones(1), "num_integration_steps": 5},
        "barker_proposal": {"step_size": 0.8},
    }[name]
    check(BlackJAX(getattr(blackjax, name), model, **parameters))
