"""Running covariances, against NumPy's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.adaptation import welford_covariance, welford_init, welford_update


def positions(count, dtype, offset=0.0):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(count, 4)) @ rng.normal(size=(4, 4)) + offset).astype(dtype)


def run(samples, dense):
    @jax.jit
    def scan(samples):
        state = welford_init(samples.shape[1], dense, samples.dtype)
        return jax.lax.scan(lambda s, z: (welford_update(s, z), None), state, samples)[0]

    return scan(samples)


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
def test_the_covariance_is_the_unbiased_one(precision, dense):
    samples = positions(50, precision)
    state = run(samples, dense)
    expected = np.cov(samples.astype(np.float64), rowvar=False)
    covariance = welford_covariance(state, regularize=False)
    assert covariance.dtype == precision
    assert state.num_positions == 50
    tolerance = 1e-4 if precision == np.float32 else 1e-11
    np.testing.assert_allclose(covariance, expected if dense else np.diag(expected), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(state.mean, samples.mean(0), rtol=tolerance, atol=tolerance)


def test_it_is_stable_where_sums_of_squares_are_not():
    samples = positions(200, np.float32, offset=1e4)  # squares lose all digits of the variance in single precision
    expected = np.var(samples.astype(np.float64), axis=0, ddof=1)
    np.testing.assert_allclose(welford_covariance(run(samples, False), regularize=False), expected, rtol=1e-2)


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
def test_regularisation_shrinks_towards_a_small_multiple_of_the_identity(x64, dense):
    state = run(positions(20, np.float64), dense)
    raw = np.asarray(welford_covariance(state, regularize=False))
    shrunk = welford_covariance(state, regularize=True)
    identity = np.eye(4) if dense else np.ones(4)
    np.testing.assert_allclose(shrunk, 20 / 25 * raw + 1e-3 * 5 / 25 * identity, rtol=1e-12)


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
def test_few_positions_give_a_finite_and_positive_matrix(dense):
    for count in (0, 1):
        state = run(positions(count, np.float32), dense) if count else welford_init(4, dense, jnp.float32)
        covariance = np.asarray(welford_covariance(state, regularize=True))
        assert np.all(np.isfinite(covariance))
        assert np.all((np.diag(covariance) if dense else covariance) > 0)
