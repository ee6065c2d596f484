"""Dual averaging, against the recursion of Hoffman & Gelman (2014, algorithm 5) written out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.adaptation import DualAveragingState, dual_averaging_init, dual_averaging_update


def reference(first_step, accept_probs, target):
    """The step sizes to try, and their averages, after each acceptance probability."""
    mu, gamma, t0, kappa = np.log(10 * first_step), 0.05, 10, 0.75
    h, log_average, tried, averaged = 0.0, 0.0, [], []
    for t, accept_prob in enumerate(accept_probs, start=1):
        h = (1 - 1 / (t + t0)) * h + (target - accept_prob) / (t + t0)
        log_step = mu - np.sqrt(t) / gamma * h
        log_average = t**-kappa * log_step + (1 - t**-kappa) * log_average
        tried.append(log_step)
        averaged.append(log_average)
    return np.array(tried), np.array(averaged)


@pytest.mark.parametrize("target", [0.6, 0.8, 0.95])
def test_it_follows_the_published_recursion(precision, target):
    accept_probs = np.random.default_rng(0).uniform(size=200)
    state = dual_averaging_init(jnp.asarray(0.3, precision))
    assert isinstance(state, DualAveragingState)

    @jax.jit
    def run(state, accept_probs):
        def body(state, accept_prob):
            state = dual_averaging_update(state, accept_prob, jnp.asarray(target, precision))
            return state, (state.log_step, state.log_step_avg)

        return jax.lax.scan(body, state, accept_probs)

    last, (tried, averaged) = run(state, jnp.asarray(accept_probs, precision))
    expected_tried, expected_averaged = reference(0.3, accept_probs, target)
    tolerance = 1e-4 if precision == np.float32 else 1e-12
    np.testing.assert_allclose(tried, expected_tried, atol=tolerance)
    np.testing.assert_allclose(averaged, expected_averaged, atol=tolerance)
    assert tried.dtype == precision
    assert last[3] == 200


def test_the_average_converges_where_acceptance_meets_the_target():
    # acceptance falls as exp(-step): 0.8 is met at -log(0.8)
    state = dual_averaging_init(jnp.float32(5.0))
    step = jax.jit(lambda s, noise: dual_averaging_update(s, jnp.exp(-jnp.exp(s.log_step)) + noise, jnp.float32(0.8)))
    for noise in np.random.default_rng(0).normal(scale=0.05, size=2000).astype(np.float32):
        state = step(state, noise)
    assert np.exp(state.log_step_avg) == pytest.approx(-np.log(0.8), rel=0.05)


def test_the_first_step_of_a_start_favours_larger_steps():
    state = dual_averaging_update(dual_averaging_init(jnp.float32(0.1)), jnp.float32(0.8), jnp.float32(0.8))
    assert np.exp(state.log_step) == pytest.approx(1.0, rel=1e-6)
    assert state.log_step_avg == state.log_step
