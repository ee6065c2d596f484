"""SA against its definition; keys are fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import SA
from numpyro.infer.sa import SAAdaptState, leave_one_out_log_densities
from tests.infer.posteriors.test_calibration import assert_uniform
from tests.infer.test_barker import simulated_ranks

ERROR_RATE = 1e-5


@pytest.mark.parametrize("dense", [False, True])
def test_leaving_one_out_is_what_it_says(x64, dense):
    points = np.random.default_rng(0).normal(size=(7, 3)) @ np.array([[1, 0, 0], [0.5, 2, 0], [0.3, 0.2, 0.1]])
    expected = []
    for n in range(7):
        rest = np.delete(points, n, 0)
        covariance = np.cov(rest.T)
        covariance = covariance if dense else np.diag(np.diag(covariance))
        expected.append(scipy.stats.multivariate_normal(rest.mean(0), covariance).logpdf(points[n]))
    found = np.asarray(leave_one_out_log_densities(jnp.asarray(points), dense))
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], rtol=1e-6)


@pytest.mark.parametrize("dense", [False, True])
def test_sets_of_exact_draws_stay_so(dense):
    """The points of a set are independent draws of the target, and remain so; so is the point that is shown."""
    sets, size, steps = 4000, 6, 20

    def to_normal(z):
        return jnp.stack([z[0], z[1] - 0.5 * z[0] ** 2])

    kernel = SA(potential_fn=lambda z: 0.5 * jnp.sum(to_normal(z) ** 2), adapt_state_size=size, dense_mass=dense)
    start = np.random.default_rng(1).normal(size=(sets, size, 2)).astype(np.float32)
    zs = np.stack([start[..., 0], start[..., 1] + 0.5 * start[..., 0] ** 2], -1)
    algorithm, _ = kernel.algorithm(numpyro.infer.model.Layout(jnp.zeros(2)), 0)

    @jax.jit
    def run(zs, keys):
        state = kernel.init(keys, 0, init_params=zs[:, 0])
        pes = jax.vmap(jax.vmap(lambda z: 0.5 * jnp.sum(to_normal(z) ** 2)))(zs)
        state = state._replace(adapt_state=jax.vmap(algorithm._with_moments)(zs, pes))
        state = jax.lax.scan(lambda s, _: (jax.vmap(kernel.sample)(s), None), state, length=steps)[0]
        return jax.vmap(to_normal)(state.z), jax.vmap(jax.vmap(to_normal))(state.adapt_state.zs), state

    shown, after, state = run(zs, jax.random.split(jax.random.key(2), sets))
    shown, after = np.asarray(shown), np.asarray(after)
    assert isinstance(state.adapt_state, SAAdaptState)
    assert np.mean(np.any(after != start, -1)) > 0.7
    for values in (shown, after[:, 0], after[:, -1]):
        for component in range(2):
            assert scipy.stats.kstest(values[:, component], "norm").pvalue > ERROR_RATE
        assert scipy.stats.kstest(np.sum(values**2, 1), "chi2", (2,)).pvalue > ERROR_RATE
    # jointly: any dependence between points of a set shows in its sums and spreads
    for component in range(2):
        values = after[..., component]
        assert scipy.stats.kstest(values.sum(1) / np.sqrt(size), "norm").pvalue > ERROR_RATE
        spread = np.sum((values - values.mean(1, keepdims=True)) ** 2, 1)
        assert scipy.stats.kstest(spread, "chi2", (size - 1,)).pvalue > ERROR_RATE


def test_points_without_density_are_given_up_first():
    kernel = SA(potential_fn=lambda z: jnp.where(z[0] > 0, 0.5 * jnp.sum(z**2), jnp.nan), adapt_state_size=12)
    state = kernel.init(jax.random.key(1), 0, init_params=jnp.array([0.1, 0.0]))
    assert np.any(state.adapt_state.zs[:, 0] < 0)
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 200, lambda i, s: kernel.sample(s), state))(state)
    assert np.all(state.adapt_state.zs[:, 0] > 0) and np.all(np.isfinite(state.adapt_state.inv_mass_matrix_sqrt))


@pytest.mark.slow
def test_a_regression_is_calibrated():
    x = np.linspace(-1, 1, 8)

    def model(y=None):
        rate = numpyro.sample("rate", dist.Exponential(1.0))
        share = numpyro.sample("share", dist.Beta(2.0, 2.0))
        numpyro.sample("y", dist.Poisson(1 + 5 * rate * (share + (1 - share) * jnp.exp(x))).to_event(1), obs=y)

    ranks = simulated_ranks(lambda: SA(model, adapt_state_size=10), model, ["rate", "share"])
    for rank in ranks.values():
        assert_uniform(rank)
