"""Guides on a model whose posterior is known: at the optimum the bound is the evidence, for every draw."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import (
    AutoBatchedLowRankMultivariateNormal,
    AutoBatchedMultivariateNormal,
    AutoDelta,
    AutoDiagonalNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from tests.infer.autoguide.helpers import COVARIANCE, DATA, LOG_EVIDENCE, MEAN, begun, elbos, regression

SD = np.sqrt(np.diag(COVARIANCE))
TRIL = np.linalg.cholesky(COVARIANCE)
# COVARIANCE = D (1 + w w^T) D with one factor, since it is 2 x 2
CORRELATION = COVARIANCE[0, 1] / (SD[0] * SD[1])
FACTOR = np.sqrt(np.abs(CORRELATION) / (1 - np.abs(CORRELATION))) * np.array([[1.0], [np.sign(CORRELATION)]])
LOW_RANK_SCALE = SD * np.sqrt(1 - np.abs(CORRELATION))

EXACT = {
    "multivariate": (AutoMultivariateNormal, {}, {"auto_loc": MEAN, "auto_scale_tril": TRIL}),
    "low rank": (
        AutoLowRankMultivariateNormal,
        {"rank": 1},
        {"auto_loc": MEAN, "auto_cov_factor": FACTOR, "auto_scale": LOW_RANK_SCALE},
    ),
    "batched": (
        AutoBatchedMultivariateNormal,
        {"batch_ndim": 0},
        {"auto_loc": MEAN, "auto_scale_tril": TRIL},
    ),
    "batched low rank": (
        AutoBatchedLowRankMultivariateNormal,
        {"batch_ndim": 0, "rank": 1},
        {"auto_loc": MEAN, "auto_cov_factor": FACTOR, "auto_scale": LOW_RANK_SCALE},
    ),
}


def as_arrays(params):
    return {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}


@pytest.mark.parametrize("name", EXACT)
def test_the_bound_of_the_exact_posterior_is_the_evidence_at_every_draw(name):
    cls, options, params = EXACT[name]
    guide, params = begun(cls(regression, **options), DATA), as_arrays(params)
    found = elbos(guide, params, regression, jnp.asarray(DATA), num=20)
    np.testing.assert_allclose(found, LOG_EVIDENCE, atol=2e-5 * 20)


@pytest.mark.parametrize("name", EXACT)
def test_medians_and_quantiles_are_those_of_the_marginals(name):
    cls, options, params = EXACT[name]
    guide, params = begun(cls(regression, **options), DATA), as_arrays(params)
    median, quantiles = guide.median(params), guide.quantiles(params, [0.1, 0.9])
    for i, site in enumerate(["a", "b"]):
        np.testing.assert_allclose(median[site], MEAN[i], rtol=1e-5)
        np.testing.assert_allclose(quantiles[site], norm(MEAN[i], SD[i]).ppf([0.1, 0.9]), rtol=1e-4)
    np.testing.assert_allclose(median["total"], MEAN.sum(), rtol=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_the_transform_takes_the_base_to_the_posterior(name):
    cls, options, params = EXACT[name]
    guide, params = begun(cls(regression, **options), DATA), as_arrays(params)
    transform, posterior = guide.get_transform(params), guide.get_posterior(params)
    z = jnp.array([0.3, -1.2])
    base = guide.get_base_dist()
    x = transform(z)
    np.testing.assert_allclose(transform.inv(x), z, rtol=1e-4)
    expected = base.log_prob(z) - transform.log_abs_det_jacobian(z, x)
    np.testing.assert_allclose(jnp.sum(posterior.log_prob(x)), expected, rtol=1e-4)


def test_the_mean_field_optimum_has_no_gradient():
    """At ``scale_i^2 = 1 / precision_ii`` the gradient is zero; the bound misses the evidence by a known divergence."""
    scale = 1 / np.sqrt(np.diag(np.linalg.inv(COVARIANCE)))
    params = as_arrays(
        {"a_auto_loc": MEAN[0], "b_auto_loc": MEAN[1], "a_auto_scale": scale[0], "b_auto_scale": scale[1]}
    )
    guide, y = begun(AutoNormal(regression), DATA), jnp.asarray(DATA)
    objective = Trace_ELBO(num_particles=20_000)
    loss, gradient = jax.jit(jax.value_and_grad(lambda p: objective.loss(jax.random.key(0), p, regression, guide, y)))(
        params
    )
    # KL(q || p) of two normals of the same mean
    precision = np.linalg.inv(COVARIANCE)
    divergence = 0.5 * (
        np.trace(precision @ np.diag(scale**2)) - 2 - np.log(np.linalg.det(precision) * np.prod(scale**2))
    )
    # the estimate has a standard deviation of less than 1 a draw: 5 standard errors
    np.testing.assert_allclose(-loss, LOG_EVIDENCE - divergence, atol=5 / np.sqrt(20_000))
    for value in gradient.values():
        assert abs(value) < 5 * 4 / np.sqrt(20_000)


def test_diagonal_and_by_site_are_the_same_guide():
    by_site, by_vector = begun(AutoNormal(regression), DATA), begun(AutoDiagonalNormal(regression), DATA)
    scale = np.array([0.3, 0.7])
    params = as_arrays(
        {"a_auto_loc": MEAN[0], "b_auto_loc": MEAN[1], "a_auto_scale": scale[0], "b_auto_scale": scale[1]}
    )
    flat = as_arrays({"auto_loc": MEAN, "auto_scale": scale})
    for probability in (0.2, [0.1, 0.5]):
        one, other = by_site.quantiles(params, probability), by_vector.quantiles(flat, probability)
        for site in one:
            np.testing.assert_allclose(np.ravel(one[site]), np.ravel(other[site]), rtol=1e-5)


def test_laplace_is_exact_for_a_normal_posterior():
    guide = begun(AutoLaplaceApproximation(regression), DATA)
    params = as_arrays({"auto_loc": MEAN})
    posterior = guide.get_posterior(params)
    np.testing.assert_allclose(posterior.covariance_matrix, COVARIANCE, rtol=1e-5)
    np.testing.assert_allclose(guide.get_transform(params)(jnp.zeros(2)), MEAN, rtol=1e-5)
    draws = guide.sample_posterior(jax.random.key(1), params, sample_shape=(4000,))
    found = np.cov(np.stack([draws["a"], draws["b"]]))
    np.testing.assert_allclose(found, COVARIANCE, atol=5 * 1.5 * SD.max() ** 2 / np.sqrt(4000))
    np.testing.assert_allclose(draws["total"], draws["a"] + draws["b"], rtol=1e-6)
    upper = guide.quantiles(params, 0.9)
    np.testing.assert_allclose(upper["b"], norm(MEAN[1], SD[1]).ppf(0.9), rtol=1e-4)


def test_laplace_takes_a_hessian_of_ones_own_and_warns_where_there_is_no_mode():
    halved = AutoLaplaceApproximation(regression, hessian_fn=lambda fn, z: 2 * jax.hessian(fn)(z))
    params = as_arrays({"auto_loc": MEAN})
    np.testing.assert_allclose(begun(halved, DATA).get_posterior(params).covariance_matrix, COVARIANCE / 2, rtol=1e-5)
    saddle = begun(AutoLaplaceApproximation(regression, hessian_fn=lambda fn, z: -jax.hessian(fn)(z)), DATA)
    with pytest.warns(UserWarning, match="not positive definite"):
        assert np.all(np.asarray(saddle.get_posterior(params).scale_tril) == 0)


def gamma():
    """``s ~ Gamma(3, 2)``: the mode is at 1, that of ``log s`` at ``s = 3 / 2``, where the curvature is 3."""
    numpyro.sample("s", dist.Gamma(3.0, 2.0))


def slope(guide, params):
    """The gradient of the loss by the one param of a guide."""
    (found,) = jax.jit(jax.grad(lambda p: Trace_ELBO().loss(jax.random.key(0), p, gamma, guide)))(params).values()
    return found


def test_laplace_counts_the_jacobian_of_a_positive_site():
    guide, params = begun(AutoLaplaceApproximation(gamma)), as_arrays({"auto_loc": [np.log(1.5)]})
    np.testing.assert_allclose(slope(guide, params), 0.0, atol=1e-5)
    np.testing.assert_allclose(guide.median(params)["s"], 1.5, rtol=1e-5)
    np.testing.assert_allclose(guide.get_posterior(params).variance, [1 / 3], rtol=1e-4)


def test_a_point_mass_has_no_jacobian():
    guide, params = begun(AutoDelta(gamma)), as_arrays({"s_auto_loc": 1.0})
    np.testing.assert_allclose(slope(guide, params), 0.0, atol=1e-5)
    assert guide.median(params)["s"] == 1.0


def test_a_fit_comes_near_the_posterior():
    guide = AutoMultivariateNormal(regression)
    svi = SVI(regression, guide, numpyro.optim.Adam(0.03), Trace_ELBO(num_particles=16))
    result = svi.run(jax.random.key(0), 800, jnp.asarray(DATA), progress_bar=False)
    posterior = guide.get_posterior(result.params)
    np.testing.assert_allclose(posterior.mean, MEAN, atol=0.05)
    np.testing.assert_allclose(posterior.covariance_matrix, COVARIANCE, atol=0.05)
