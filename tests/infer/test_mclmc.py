"""MCLMC leaves its target as it is, or nearly so without the test; its leapfrog is reversible; keys are fixed."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro.infer import MCMC, mclmc
from numpyro.infer.mclmc import MCLMC, turn
from tests.helpers.calibration import (
    PRIOR,
    Prior,
    Regression,
    after_turns,
    assert_calibrated,
    is_calibrated,
    regression,
)

ERROR_RATE = 1e-5
COUNT = 8000


def to_normal(z):
    return jnp.stack([z[0], z[1] - z[0] ** 2, z[2] / 0.3])


def test_exact_draws_stay_exact_and_time_has_no_direction():
    start = np.random.default_rng(0).normal(size=(COUNT, 3)).astype(np.float32)
    z = np.stack([start[:, 0], start[:, 1] + start[:, 0] ** 2, 0.3 * start[:, 2]], -1)
    kernel = MCLMC(
        potential_fn=lambda z: 0.5 * jnp.sum(to_normal(z) ** 2),
        step_size=0.9,
        trajectory_length=2.0,
        adapt_step_size=False,
        adapt_mass_matrix=False,
    )

    @jax.jit
    def run(z, keys):
        state = kernel.init(keys, 0, init_params=z)
        scale = jnp.tile(jnp.array([1.0, 1.3, 0.4], jnp.float32), (COUNT, 1))
        state = state._replace(adapt_state=state.adapt_state._replace(mass_matrix_sqrt_inv=scale))
        return jax.lax.scan(lambda state, _: (jax.vmap(kernel.sample)(state),) * 2, state, length=3)[1]

    states = run(z, jax.random.split(jax.random.key(7), COUNT))
    after = np.asarray(jax.vmap(jax.vmap(to_normal))(states.z))
    assert 0.3 < np.mean(states.accept_prob) < 0.95
    for u in (after[0], after[-1]):
        for value in (*u.T, (u[:, 0] + u[:, 1]) / np.sqrt(2), (u[:, 1] + u[:, 2]) / np.sqrt(2)):
            assert scipy.stats.kstest(value, "norm").pvalue > ERROR_RATE
        assert scipy.stats.kstest(np.sum(u**2, 1), "chi2", (3,)).pvalue > ERROR_RATE
    for f, g in [(np.tanh, np.abs), (np.square, np.tanh)]:
        for i, j in [(0, 0), (0, 1), (1, 2)]:
            difference = f(start[:, i]) * g(after[0, :, j]) - g(start[:, j]) * f(after[0, :, i])
            assert scipy.stats.ttest_1samp(difference, 0).pvalue > ERROR_RATE


def joint_scores(prior: Prior = PRIOR):
    settings = {"step_size": 0.9, "trajectory_length": 1.5, "adapt_step_size": False, "adapt_mass_matrix": False}
    make = lambda y: MCLMC(partial(regression, prior=prior), **settings)
    return Regression.scores(*after_turns(make, Regression.positions(4000), Regression.simulate))


def test_the_joint_distribution_of_parameters_and_data_is_kept():
    """Geweke's test, at an error of 1e-4."""
    assert_calibrated(joint_scores())


def test_mistakes_are_found_out_by_the_joint_distribution(monkeypatch):
    assert not is_calibrated(joint_scores(PRIOR._replace(coefficients=1.15 * PRIOR.coefficients)))
    assert not is_calibrated(joint_scores(PRIOR._replace(shape=7.0)))
    # a turn that keeps a part of its gain of kinetic energy to itself
    monkeypatch.setattr(mclmc, "turn", lambda *args: (turn(*args)[0], 0.7 * turn(*args)[1]))
    assert not is_calibrated(joint_scores())


@pytest.mark.parametrize("size", [1e-3, 0.7, 300.0])
def test_turning_is_reversible_and_gains_its_log_jacobian(x64, size):
    """On the sphere of directions the map's Jacobian is exp of minus the kinetic energy gained."""
    rng = np.random.default_rng(1)
    u, grad = rng.normal(size=4), size * rng.normal(size=4)
    u /= np.linalg.norm(u)
    turned, gained = turn(jnp.asarray(u), jnp.asarray(grad), 0.3)
    assert abs(np.linalg.norm(turned) - 1) < 1e-12
    back, lost = turn(-turned, jnp.asarray(grad), 0.3)
    if size < 100:  # far along, all directions come to lie on one another
        np.testing.assert_allclose(-back, u, atol=1e-6)
        np.testing.assert_allclose(gained + lost, 0.0, atol=1e-6)
        tangent = np.linalg.svd(u[None])[2][1:]
        jacobian = jax.jacobian(lambda v: turn(v / jnp.linalg.norm(v), jnp.asarray(grad), 0.3)[0])(jnp.asarray(u))
        onto = np.linalg.svd(np.asarray(turned)[None])[2][1:]
        _, log_det = np.linalg.slogdet(onto @ np.asarray(jacobian) @ tangent.T)
        np.testing.assert_allclose(log_det, -gained, atol=1e-8)
    assert np.isfinite(gained)


def test_one_dimension_is_refused():
    with pytest.raises(ValueError, match="use NUTS"):
        MCLMC(potential_fn=lambda z: z**2).init(jax.random.key(0), 0, jnp.array(1.0))
    for setting in ({"step_size": 0.0}, {"trajectory_length": -1.0}, {"target_accept_prob": 1.0}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            MCLMC(potential_fn=lambda z: z, **setting)


# Without the Metropolis test

SCALES = np.geomspace(0.1, 10.0, 30)


def gaussian(z):
    return 0.5 * jnp.sum((z / SCALES) ** 2)


def variances(samples):
    return np.mean((np.asarray(samples) / SCALES) ** 2, 0)


def test_without_the_test_variances_are_right_up_to_the_stated_error():
    """At the default they are 3% too large; the energy error of a step has the variance that it was tuned to."""
    mcmc = MCMC(
        MCLMC(potential_fn=gaussian, adjusted=False),
        num_warmup=600,
        num_samples=3000,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(1), init_params=jnp.zeros((4, 30)), extra_fields=("num_steps",))
    found = variances(mcmc.get_samples())
    assert 0.02 < found.mean() - 1 < 0.045
    np.testing.assert_array_less(np.abs(found - 1), 0.045 + 5 * np.sqrt(2 / 6000))
    assert np.mean(mcmc.get_extra_fields()["num_steps"]) < 4

    state = mcmc.last_state.adapt_state
    size, scale = state.step_size[0], state.mass_matrix_sqrt_inv[0]

    def energy_error(key):
        draw_key, turn_key = jax.random.split(key)
        z = SCALES * jax.random.normal(draw_key, (30,))
        u = jax.random.normal(turn_key, (30,))
        u, gained = turn(u / jnp.linalg.norm(u), scale * jax.grad(gaussian)(z), 0.5 * size)
        end = z + size * scale * u
        _, more = turn(u, scale * jax.grad(gaussian)(end), 0.5 * size)
        return gaussian(end) - gaussian(z) + gained + more

    errors = jax.jit(jax.vmap(energy_error))(jax.random.split(jax.random.key(2), 4000))
    assert 2.5e-4 < np.mean(errors**2) / 30 < 1e-3


def test_the_error_is_of_second_order():
    biases = []
    for step_size in (2.0, 4.0):
        kernel = MCLMC(
            potential_fn=lambda z: 0.5 * jnp.sum(z**2),
            step_size=step_size,
            adapt_step_size=False,
            adapt_mass_matrix=False,
            adjusted=False,
        )
        mcmc = MCMC(
            kernel, num_warmup=50, num_samples=1000, num_chains=100, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(jax.random.key(3), init_params=jnp.ones((100, 30)))
        biases.append(np.mean(np.asarray(mcmc.get_samples()) ** 2) - 1)
    assert 3 < biases[1] / biases[0] < 5
    assert 0.03 < biases[1] < 0.06


def test_without_the_test_divergences_stay_where_they_were():
    kernel = MCLMC(
        potential_fn=lambda z: jnp.sum(z**4),
        step_size=1e6,
        adapt_step_size=False,
        adjusted=False,
        trajectory_length=1.0,
    )
    state = kernel.init(jax.random.key(0), 0, jnp.ones(3))
    state = kernel.sample(state)
    assert state.diverging
    assert state.accept_prob == 0
    np.testing.assert_array_equal(state.z, np.ones(3))


def test_settings_belong_to_the_test_or_not():
    for setting, name in [
        ({"target_energy_variance": 1e-3}, "target_accept_prob"),
        ({"adjusted": False, "target_accept_prob": 0.8}, "target_energy_variance"),
        ({"adjusted": False, "target_energy_variance": 0.0}, "must be positive"),
    ]:
        with pytest.raises(ValueError, match=name):
            MCLMC(potential_fn=gaussian, **setting)
