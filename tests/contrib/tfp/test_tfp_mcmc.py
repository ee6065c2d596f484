"""Transition kernels of TensorFlow Probability on the engine; keys are fixed, bounds are five standard errors."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC

pytest.importorskip("tensorflow_probability.substrates.jax", reason="needs the extra numpyro[tfp]")
pytestmark = pytest.mark.filterwarnings("ignore")

from tensorflow_probability.substrates import jax as tfp  # noqa: E402

from numpyro.contrib.tfp import mcmc as tfp_mcmc  # noqa: E402

Y = np.array([0.4, 1.3, 0.2])


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    numpyro.sample("scale", dist.LogNormal(0.0, 0.5).expand([2]).to_event(1))
    numpyro.deterministic("twice", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def make_inner(log_density):
    return tfp.mcmc.HamiltonianMonteCarlo(log_density, step_size=0.5, num_leapfrog_steps=3)


KERNELS = {
    "HamiltonianMonteCarlo": {"step_size": 0.5, "num_leapfrog_steps": 3},
    "MetropolisAdjustedLangevinAlgorithm": {"step_size": 0.2},
    "NoUTurnSampler": {"step_size": 0.5},
    "RandomWalkMetropolis": {},
    "SliceSampler": {"step_size": 1.0, "max_doublings": 5},
    "ReplicaExchangeMC": {
        "inverse_temperatures": 0.5 ** np.arange(3.0, dtype=np.float32),
        "make_kernel_fn": make_inner,
    },
}
UNCALIBRATED = {
    "UncalibratedHamiltonianMonteCarlo": {"step_size": 0.05, "num_leapfrog_steps": 3},
    "UncalibratedLangevin": {"step_size": 0.02},
    "UncalibratedRandomWalk": {},
}


def run(kernel, num_samples=2000, method="vectorized", **kwargs):
    mcmc = MCMC(
        kernel, num_warmup=200, num_samples=num_samples, num_chains=2, chain_method=method, progress_bar=False, **kwargs
    )
    mcmc.run(jax.random.PRNGKey(0), Y)
    return mcmc


@pytest.mark.parametrize("name", KERNELS)
def test_a_normal_posterior(name):
    mcmc = run(getattr(tfp_mcmc, name)(model, **KERNELS[name]), 5000)
    draws = mcmc.get_samples(group_by_chain=True)
    np.testing.assert_allclose(draws["twice"], 2 * draws["mu"], rtol=1e-6)
    variance = 1 / (0.25 + 3)
    u = (np.asarray(draws["mu"]) - variance * Y.sum()) / np.sqrt(variance)
    for value, expected in ((u, 0.0), (u**2, 1.0), (np.log(draws["scale"][..., 1]) / 0.5, 0.0)):
        size = effective_sample_size(value)
        assert size > 50 and abs(value.mean() - expected) < 5 * value.std() / np.sqrt(size)


@pytest.mark.parametrize("name", UNCALIBRATED)
def test_uncalibrated_kernels_run(name):
    mcmc = run(getattr(tfp_mcmc, name)(model, **UNCALIBRATED[name]), 20)
    assert mcmc.get_samples()["scale"].shape == (40, 2)
    assert np.unique(mcmc.get_samples()["mu"]).size == 40


def test_chain_methods_agree_and_results_are_collected():
    kernel = tfp_mcmc.NoUTurnSampler(model, step_size=0.5)
    draws = [run(kernel, 10, method).get_samples()["mu"] for method in ("sequential", "vectorized")]
    np.testing.assert_allclose(*draws, rtol=1e-3, atol=1e-4)
    mcmc = MCMC(kernel, num_warmup=5, num_samples=10, thinning=2, progress_bar=False)
    mcmc.run(jax.random.key(0), Y, extra_fields=("kernel_results.leapfrogs_taken",))
    assert np.all(mcmc.get_extra_fields()["kernel_results.leapfrogs_taken"] > 0)


def test_kernels_and_states_are_pickled():
    kernel = tfp_mcmc.TFPKernel[tfp.mcmc.HamiltonianMonteCarlo](model, step_size=0.5, num_leapfrog_steps=3)
    assert type(kernel) is tfp_mcmc.HamiltonianMonteCarlo
    mcmc = run(kernel, 10)
    again = run(pickle.loads(pickle.dumps(kernel)), 10)
    np.testing.assert_array_equal(mcmc.get_samples()["mu"], again.get_samples()["mu"])
    state = mcmc.last_state
    assert state._fields == ("z", "kernel_results", "rng_key")
    elliptical = tfp_mcmc.TFPKernel[tfp.mcmc.UncalibratedLangevin]
    assert pickle.loads(pickle.dumps(elliptical(model, step_size=0.1))).kernel_class is tfp.mcmc.UncalibratedLangevin


def test_a_potential():
    kernel = tfp_mcmc.HamiltonianMonteCarlo(
        potential_fn=lambda z: 0.5 * jnp.sum((z["x"] - 3.0) ** 2), step_size=0.8, num_leapfrog_steps=2
    )
    mcmc = MCMC(kernel, num_warmup=100, num_samples=2000, progress_bar=False)
    mcmc.run(jax.random.key(0), init_params={"x": jnp.zeros(2)})
    assert abs(np.mean(mcmc.get_samples()["x"]) - 3.0) < 0.2


def test_bad_input():
    with pytest.raises(TypeError, match="TFPKernel needs a class"):
        tfp_mcmc.TFPKernel(model)
    with pytest.raises(TypeError, match="TransitionKernel"):
        tfp_mcmc.TFPKernel[int]
    with pytest.raises(ValueError, match="Only one of"):
        tfp_mcmc.HamiltonianMonteCarlo()

    def discrete():
        numpyro.sample("c", dist.Poisson(0.5))

    with pytest.raises(AssertionError, match="HMCGibbs"):
        MCMC(tfp_mcmc.NoUTurnSampler(discrete, step_size=1.0), num_warmup=1, num_samples=1).run(jax.random.key(0))
