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
from numpyro.infer.mcmc import progress
from tests.helpers.calibration import Regression, after_turns, assert_calibrated, is_calibrated, regression
from tests.helpers.invariance import assert_invariant, is_invariant, potential


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


def drifting(log_density, scale):
    """A mistake: a proposal that draws towards 0, accepted as if it were symmetric."""
    walk = random_walk(log_density, scale)

    def step(rng_key, state):
        noise_key, accept_key = jax.random.split(rng_key)
        proposal = 0.9 * state.position + scale * jax.random.normal(noise_key, state.position.shape)
        accepted = jnp.log(jax.random.uniform(accept_key)) < log_density(proposal) - log_density(state.position)
        return Position(jnp.where(accepted, proposal, state.position)), {"accepted": accepted}

    return Pair(walk.init, step)


PARAMETERS = {
    "mala": {"step_size": 0.15},
    "nuts": {"step_size": 0.4, "inverse_mass_matrix": np.ones(3, np.float32), "max_num_doublings": 4},
    "hmc": {"step_size": 0.4, "inverse_mass_matrix": np.ones(3, np.float32), "num_integration_steps": 4},
    "barker_proposal": {"step_size": 0.6},
}
WALK = "random_walk"
ALGORITHMS = [WALK, *PARAMETERS]


def kernel_of(name, model=None, **kwargs):
    """A kernel of three dimensions."""
    if name == WALK:
        return BlackJAX(random_walk, model, scale=0.5, **kwargs)
    blackjax = pytest.importorskip("blackjax", reason="needs the package blackjax")
    return BlackJAX(getattr(blackjax, name), model, **PARAMETERS[name], **kwargs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(PARAMETERS))
def test_algorithms_of_blackjax(name):
    blackjax = pytest.importorskip("blackjax", reason="needs the package blackjax")
    parameters = {
        "mala": {"step_size": 0.3},
        "nuts": {"step_size": 0.5, "inverse_mass_matrix": jnp.ones(1)},
        "hmc": {"step_size": 0.3, "inverse_mass_matrix": jnp.ones(1), "num_integration_steps": 5},
        "barker_proposal": {"step_size": 0.8},
    }[name]
    check(BlackJAX(getattr(blackjax, name), model, **parameters))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALGORITHMS)
def test_exact_draws_stay_exact(name):
    """Each component, at an error of 1e-4."""
    assert_invariant(kernel_of(name, potential_fn=potential))


def joint_scores(make):
    return Regression.scores(*after_turns(make, Regression.positions(3000), Regression.simulate))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [WALK, "hmc", "nuts"])
def test_the_joint_distribution_of_parameters_and_data_is_kept(name):
    """Geweke's test, at an error of 1e-4."""
    assert_calibrated(joint_scores(lambda y: kernel_of(name, regression)))


def test_mistakes_are_found_out():
    assert not is_invariant(BlackJAX(drifting, potential_fn=potential, scale=0.5))
    assert not is_calibrated(joint_scores(lambda y: BlackJAX(drifting, regression, scale=0.5)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [WALK, "hmc", "nuts"])
def test_runs_go_on_bit_for_bit(name, tmp_path):
    """From a pickled kernel and state, and from a store."""
    y = np.array([0.3, 1.0, -0.2, 0.5], np.float32)
    settings = {"num_warmup": 5, "num_chains": 2, "chain_method": "vectorized", "progress_bar": False}
    whole = MCMC(kernel_of(name, regression), num_samples=20, **settings)
    whole.run(jax.random.key(1), y)
    first = MCMC(kernel_of(name, regression), num_samples=10, **settings)
    first.run(jax.random.key(1), y)
    kernel, state = pickle.loads(pickle.dumps((first.sampler, first.last_state)))
    assert state._fields == ("z", "state", "info", "rng_key")
    second = MCMC(kernel, num_samples=10, **settings)
    second.post_warmup_state = state
    second.run(state.rng_key, y)
    for site, draws in whole.get_samples(group_by_chain=True).items():
        parts = [mcmc.get_samples(group_by_chain=True)[site] for mcmc in (first, second)]
        np.testing.assert_array_equal(np.concatenate(parts, 1), draws)

    pytest.importorskip("zarr")
    stored = MCMC(kernel_of(name, regression), num_samples=10, store=tmp_path / "run.zarr", **settings)
    stored.run(jax.random.key(1), y)
    resumed = MCMC.resume(tmp_path / "run.zarr", kernel_of(name, regression), y, num_samples=20, progress_bar=False)
    for site, draws in whole.get_samples().items():
        np.testing.assert_array_equal(resumed.get_samples()[site], draws)


def test_progress_and_thinned_fields(capsys, monkeypatch):
    monkeypatch.setattr(progress, "is_shown", lambda: True)
    mcmc = MCMC(kernel_of(WALK, regression), num_warmup=4, num_samples=12, thinning=3, num_chains=2)
    mcmc.run(jax.random.key(0), np.zeros(4, np.float32), extra_fields=("info.accepted", "state.position"))
    assert "100%" in capsys.readouterr().err
    extra = mcmc.get_extra_fields(group_by_chain=True)
    assert extra["info.accepted"].shape == (2, 4) and extra["state.position"].shape == (2, 4, 3)
    np.testing.assert_allclose(
        np.exp(extra["state.position"][..., 0]), mcmc.get_samples(group_by_chain=True)["precision"], rtol=1e-5
    )


def test_discrete_sites_of_finite_support_are_summed_out():
    def mixture():
        c = numpyro.sample("c", dist.Bernoulli(0.3))
        numpyro.sample("x", dist.Normal(4.0 * c, 1.0))

    kernel = BlackJAX(random_walk, mixture, scale=3.0)
    mcmc = MCMC(kernel, num_warmup=200, num_samples=2000, num_chains=8, chain_method="vectorized", progress_bar=False)
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples(group_by_chain=True)
    assert set(draws) == {"x"}
    shares = np.mean(draws["x"] > 2.0, 1)
    expected = 0.7 * 0.02275 + 0.3 * 0.97725
    assert abs(shares.mean() - expected) < 5 * shares.std(ddof=1) / np.sqrt(8)
