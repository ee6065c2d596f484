"""BarkerMH leaves its target as it is, adapts to scales, and is calibrated; keys are fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, BarkerMH
from tests.infer.posteriors.test_calibration import assert_uniform

ERROR_RATE = 1e-5
COUNT = 8000


def to_normal(z):
    return jnp.stack([z[0], z[1] - z[0] ** 2])


@pytest.mark.parametrize("dense", [False, True])
def test_exact_draws_stay_exact_and_time_has_no_direction(dense):
    start = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
    z = np.stack([start[:, 0], start[:, 1] + start[:, 0] ** 2], -1)
    kernel = BarkerMH(
        potential_fn=lambda z: 0.5 * jnp.sum(to_normal(z) ** 2),
        step_size=0.9,
        dense_mass=dense,
        adapt_step_size=False,
        adapt_mass_matrix=False,
    )

    @jax.jit
    def run(z, keys):
        state = kernel.init(keys, 0, init_params=z)
        if dense:  # a factor that is not symmetric, and not of unit scale
            factor = jnp.array([[0.9, 0.0], [0.7, 0.5]], jnp.float32)
            adapt = state.adapt_state._replace(mass_matrix_sqrt_inv=jnp.tile(factor, (COUNT, 1, 1)))
            state = state._replace(adapt_state=adapt)
        return jax.lax.scan(lambda state, _: (jax.vmap(kernel.sample)(state),) * 2, state, length=3)[1]

    states = run(z, jax.random.split(jax.random.key(7), COUNT))
    after = np.asarray(jax.vmap(jax.vmap(to_normal))(states.z))
    assert 0.2 < np.mean(states.accept_prob) < 0.9
    for u in (after[0], after[-1]):
        for value in (u[:, 0], u[:, 1], (u[:, 0] + u[:, 1]) / np.sqrt(2)):
            assert scipy.stats.kstest(value, "norm").pvalue > ERROR_RATE
        assert scipy.stats.kstest(np.sum(u**2, 1), "chi2", (2,)).pvalue > ERROR_RATE
    for f, g in [(np.tanh, np.abs), (np.square, np.tanh)]:
        for i, j in [(0, 0), (0, 1), (1, 1)]:
            difference = f(start[:, i]) * g(after[0, :, j]) - g(start[:, j]) * f(after[0, :, i])
            assert scipy.stats.ttest_1samp(difference, 0).pvalue > ERROR_RATE


def test_scales_and_correlations_are_learnt():
    scales = np.array([0.02, 1.0, 30.0])

    def model():
        numpyro.sample("x", dist.Normal(0.0, scales).to_event(1))

    mcmc = MCMC(BarkerMH(model), num_warmup=3000, num_samples=4000, progress_bar=False)
    mcmc.run(jax.random.key(0), extra_fields=("accept_prob",))
    np.testing.assert_allclose(np.std(mcmc.get_samples()["x"], 0), scales, rtol=0.3)
    inverse = mcmc.last_state.adapt_state.inverse_mass_matrix
    assert inverse.shape == (3,) and np.all(np.abs(np.log(np.asarray(inverse) / scales**2)) < np.log(3))
    assert 0.25 < mcmc.get_extra_fields()["accept_prob"].mean() < 0.6

    covariance = np.array([[1.0, 0.99], [0.99, 1.0]])
    kernel = BarkerMH(potential_fn=lambda z: 0.5 * z @ np.linalg.inv(covariance) @ z, dense_mass=True)
    mcmc = MCMC(kernel, num_warmup=3000, num_samples=10, progress_bar=False)
    mcmc.run(jax.random.key(1), init_params=jnp.zeros(2))
    np.testing.assert_allclose(mcmc.last_state.adapt_state.inverse_mass_matrix, covariance, atol=0.25)


def test_a_start_far_out_comes_home():
    """Where gradients are so steep that a Langevin or Hamiltonian step of this size would explode."""
    kernel = BarkerMH(potential_fn=lambda z: jnp.sum(z**4))
    mcmc = MCMC(kernel, num_warmup=1000, num_samples=4000, progress_bar=False)
    mcmc.run(jax.random.key(0), init_params=jnp.array([100.0]))
    # E z^2 = Gamma(3/4) / Gamma(1/4)
    assert abs(np.mean(np.square(mcmc.get_samples())) - 0.33799) < 0.05


@pytest.mark.slow
def test_a_regression_is_calibrated():
    x = np.linspace(-1, 1, 8)

    def model(y=None):
        rate = numpyro.sample("rate", dist.Exponential(1.0))
        share = numpyro.sample("share", dist.Beta(2.0, 2.0))
        numpyro.sample("y", dist.Poisson(1 + 5 * rate * (share + (1 - share) * jnp.exp(x))).to_event(1), obs=y)

    for rank in simulated_ranks(lambda: BarkerMH(model), model, ["rate", "share"]).values():
        assert_uniform(rank)


def simulated_ranks(make, model, sites, simulations=600, draws=31, thinning=30):
    """Ranks of prior draws among posterior draws, see ``tests/infer/posteriors/test_calibration.py``."""
    prior_key, run_key = jax.random.split(jax.random.key(1))
    truth = numpyro.infer.Predictive(model, num_samples=simulations)(prior_key)

    def fit(key, data):
        mcmc = MCMC(make(), num_warmup=500, num_samples=draws * thinning, thinning=thinning, progress_bar=False)
        mcmc.run(key, data)
        return {name: mcmc.get_samples()[name] for name in sites}

    found = jax.jit(jax.vmap(fit))(jax.random.split(run_key, simulations), truth["y"])
    return {name: np.sum(np.asarray(found[name]) < np.asarray(truth[name])[:, None], 1) for name in sites}
