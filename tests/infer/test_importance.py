"""The shape of the tail of importance weights: of Pareto samples, and of guides that fit and do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro
import numpyro.distributions as dist
from numpyro.infer.importance import fit_pareto_shape, importance_resample, pareto_shape, psis_diagnostic

KEY = jax.random.key(0)
Y = np.array([0.5, 1.5, 2.5], np.float32)


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def guide(y):
    numpyro.sample("mu", dist.Normal(numpyro.param("loc", 0.0), numpyro.param("scale", 1.0)))


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.7, 1.5])
def test_shapes_of_pareto_samples(shape):
    """Of 5000 points the shape has a standard error of at most (1 + k) / sqrt(5000); 4 of them."""
    sample = np.sort(st.genpareto(shape, scale=3.0).rvs(5000, random_state=1))
    assert abs(fit_pareto_shape(sample) - shape) < 4 * (1 + abs(shape)) / np.sqrt(5000)


def test_a_guide_too_narrow_or_too_far_is_found_out():
    """For a normal posterior of deviation 1/2 the weights of a narrower guide have no variance."""
    fits = psis_diagnostic(KEY, {"loc": Y.sum() / 4, "scale": 0.6}, model, guide, Y)
    narrow = psis_diagnostic(KEY, {"loc": Y.sum() / 4, "scale": 0.2}, model, guide, Y, num_particles=50_000)
    far = psis_diagnostic(KEY, {"loc": -2.0, "scale": 0.3}, model, guide, Y)
    assert isinstance(fits, float)
    assert fits < 0.5 < 0.7 < min(narrow, far)
    assert psis_diagnostic(KEY, {"loc": Y.sum() / 4, "scale": 0.5}, model, guide, Y) < 0.7


def test_the_theoretical_shape_of_a_narrow_guide():
    """Weights of a N(0, 1) target under a N(0, s) guide have a tail of shape 1 - s^2, up to logarithms."""
    draws = st.norm(0, 0.5).rvs(200_000, random_state=2)
    log_weights = st.norm(0, 1).logpdf(draws) - st.norm(0, 0.5).logpdf(draws)
    assert abs(pareto_shape(log_weights) - 0.75) < 0.15


def test_chunks_give_the_same():
    whole, chunks = [
        psis_diagnostic(KEY, {"loc": 1.0, "scale": 0.4}, model, guide, Y, num_particles=200, chunk_size=size)
        for size in (None, 64)
    ]
    assert whole == pytest.approx(chunks, rel=1e-5)


def test_equal_weights_and_weights_that_are_none():
    assert pareto_shape(np.zeros(100)) == -np.inf

    def broken(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.factor("half", jnp.where(mu > 0, 0.0, -jnp.inf))

    with pytest.warns(UserWarning, match="weights are not finite"):
        psis_diagnostic(KEY, {"loc": 0.0, "scale": 1.0}, broken, guide, Y)
    with pytest.raises(ValueError, match="at least 25"):
        psis_diagnostic(KEY, {}, model, guide, Y, num_particles=10)
    with pytest.raises(ValueError, match="`chunk_size` must be"):
        psis_diagnostic(KEY, {}, model, guide, Y, chunk_size=0)


def test_resampled_draws_are_those_of_the_posterior():
    """A guide that is off by a shift and too wide, on a posterior that is known."""

    def model(y):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(y):
        numpyro.sample("z", dist.Normal(numpyro.param("loc", 0.0), 1.2))

    draws, shape = importance_resample(jax.random.key(0), {"loc": 0.5}, model, guide, 2.0, num_samples=2000)
    assert draws["z"].shape == (2000,)
    assert shape < 0.5
    # The posterior is N(1, 1/2); five standard errors of 2000 draws fail once in a million keys.
    assert abs(draws["z"].mean() - 1.0) < 5 * np.sqrt(0.5 / 2000)
    assert abs(draws["z"].var() - 0.5) < 5 * 0.5 * np.sqrt(2 / 2000)
    again, _ = importance_resample(jax.random.key(0), {"loc": 0.5}, model, guide, 2.0, num_samples=2000, chunk_size=999)
    np.testing.assert_allclose(again["z"], draws["z"], rtol=1e-6)
    with pytest.raises(ValueError, match="num_particles of at least 25"):
        importance_resample(jax.random.key(0), {}, model, guide, 2.0, num_samples=2)
    with pytest.raises(ValueError, match="no draw of the guide has a finite log density"):
        importance_resample(jax.random.key(0), {"loc": 1e30}, model, guide, 2.0, num_samples=10)
