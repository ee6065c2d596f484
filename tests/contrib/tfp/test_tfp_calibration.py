"""Transition kernels of TensorFlow Probability: invariance, the joint distribution, resuming; keys are fixed."""

from __future__ import annotations

import pickle

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC
from numpyro.infer.mcmc import progress
from tests.helpers.calibration import Regression, after_turns, assert_calibrated, is_calibrated, regression
from tests.helpers.invariance import assert_invariant, is_invariant, potential

pytest.importorskip("tensorflow_probability.substrates.jax", reason="needs the extra numpyro[tfp]")
pytestmark = pytest.mark.filterwarnings("ignore")

from tensorflow_probability.substrates import jax as tfp  # noqa: E402

from numpyro.contrib.tfp import mcmc as tfp_mcmc  # noqa: E402


def make_inner(log_density):
    return tfp.mcmc.HamiltonianMonteCarlo(log_density, step_size=0.4, num_leapfrog_steps=3)


KERNELS = {
    "HamiltonianMonteCarlo": {"step_size": 0.4, "num_leapfrog_steps": 4},
    "NoUTurnSampler": {"step_size": 0.4, "max_tree_depth": 4},
    "MetropolisAdjustedLangevinAlgorithm": {"step_size": 0.15},
    "RandomWalkMetropolis": {},
    "SliceSampler": {"step_size": 1.0, "max_doublings": 4},
    "ReplicaExchangeMC": {
        "inverse_temperatures": 0.6 ** np.arange(2, dtype=np.float32),
        "make_kernel_fn": make_inner,
    },
}
Y = np.array([0.3, 1.0, -0.2, 0.5], np.float32)


def kernel_of(name, model=None, **kwargs):
    return getattr(tfp_mcmc, name)(model, **KERNELS[name], **kwargs)


# Replicas of other temperatures begin at the same position, which is no draw of theirs: see the joint distribution.
@pytest.mark.parametrize("name", [name for name in KERNELS if name != "ReplicaExchangeMC"])
def test_exact_draws_stay_exact(name):
    """Each component, at an error of 1e-4."""
    assert_invariant(kernel_of(name, potential_fn=potential))


def joint_scores(make, turns=8):
    positions = Regression.positions(2000)
    return Regression.scores(*after_turns(make, positions, Regression.simulate, turns=turns))


@pytest.mark.parametrize("name", ["HamiltonianMonteCarlo", "NoUTurnSampler"])
def test_the_joint_distribution_of_parameters_and_data_is_kept(name):
    """Geweke's test, at an error of 1e-4."""
    assert_calibrated(joint_scores(lambda y: kernel_of(name, regression)))


def test_proposals_that_are_always_accepted_are_found_out():
    settings = {"step_size": 0.6, "num_leapfrog_steps": 3}
    assert not is_invariant(tfp_mcmc.UncalibratedHamiltonianMonteCarlo(potential_fn=potential, **settings))
    make = lambda y: tfp_mcmc.UncalibratedHamiltonianMonteCarlo(regression, **settings)
    assert not is_calibrated(joint_scores(make))


@pytest.mark.parametrize("name", ["HamiltonianMonteCarlo", "NoUTurnSampler", "ReplicaExchangeMC"])
def test_runs_go_on_bit_for_bit(name, tmp_path):
    """From a pickled kernel and state, and from a store."""
    settings = {"num_warmup": 5, "num_chains": 2, "chain_method": "vectorized", "progress_bar": False}
    whole = MCMC(kernel_of(name, regression), num_samples=20, **settings)
    whole.run(jax.random.key(1), Y)
    first = MCMC(kernel_of(name, regression), num_samples=10, **settings)
    first.run(jax.random.key(1), Y)
    kernel, state = pickle.loads(pickle.dumps((first.sampler, first.last_state)))
    second = MCMC(kernel, num_samples=10, **settings)
    second.post_warmup_state = state
    second.run(state.rng_key, Y)
    for site, draws in whole.get_samples(group_by_chain=True).items():
        parts = [mcmc.get_samples(group_by_chain=True)[site] for mcmc in (first, second)]
        np.testing.assert_array_equal(np.concatenate(parts, 1), draws)

    pytest.importorskip("zarr")
    stored = MCMC(kernel_of(name, regression), num_samples=10, store=tmp_path / "run.zarr", **settings)
    stored.run(jax.random.key(1), Y)
    resumed = MCMC.resume(tmp_path / "run.zarr", kernel_of(name, regression), Y, num_samples=20, progress_bar=False)
    for site, draws in whole.get_samples().items():
        np.testing.assert_array_equal(resumed.get_samples()[site], draws)


def test_progress_and_thinned_fields(capsys, monkeypatch):
    monkeypatch.setattr(progress, "is_shown", lambda: True)
    kernel = kernel_of("HamiltonianMonteCarlo", regression)
    mcmc = MCMC(kernel, num_warmup=4, num_samples=12, thinning=3, num_chains=2, chain_method="vectorized")
    fields = ("kernel_results.is_accepted", "kernel_results.accepted_results.target_log_prob")
    mcmc.run(jax.random.key(0), Y, extra_fields=fields)
    assert "100%" in capsys.readouterr().err
    extra = mcmc.get_extra_fields(group_by_chain=True)
    assert all(extra[name].shape == (2, 4) for name in fields) and extra[fields[0]].dtype == bool
    density = kernel.get_potential_fn((Y,))
    draws = {name: leaf[-1] for name, leaf in mcmc.get_samples().items()}
    at = {"w": draws["w"], "precision": np.log(draws["precision"])}
    np.testing.assert_allclose(-density(at), extra[fields[1]][-1, -1], rtol=1e-4)


def test_discrete_sites_of_finite_support_are_summed_out():
    def mixture():
        c = numpyro.sample("c", dist.Bernoulli(0.3))
        numpyro.sample("x", dist.Normal(4.0 * c, 1.0))

    kernel = tfp_mcmc.SliceSampler(mixture, step_size=2.0, max_doublings=4)
    mcmc = MCMC(kernel, num_warmup=100, num_samples=1000, num_chains=8, chain_method="vectorized", progress_bar=False)
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples(group_by_chain=True)
    assert set(draws) == {"x"}
    shares = np.mean(draws["x"] > 2.0, 1)
    expected = 0.7 * 0.02275 + 0.3 * 0.97725
    assert abs(shares.mean() - expected) < 5 * shares.std(ddof=1) / np.sqrt(8)
