"""Gaussian copulas: exactly normal with normal marginals, also in the tails, and finite at the ends of supports."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro.distributions as dist
from numpyro.distributions.batch_util import promote_batch_shape

R = np.array([[1.0, 0.5], [0.5, 1.0]])
FACTOR = np.linalg.cholesky(R)


def test_normal_marginals_make_it_multivariate_normal() -> None:
    d = dist.GaussianCopula(dist.Normal(np.array([0.3, -1.0]), np.array([1.0, 2.0])), R)
    scales = np.diag([1.0, 2.0])
    joint = dist.MultivariateNormal(np.array([0.3, -1.0]), scales @ R @ scales)
    value = np.array([[0.1, 0.2], [10.0, 10.0], [-10.0, -40.0], [30.0, -1.0]])
    np.testing.assert_allclose(d.log_prob(value), joint.log_prob(value), rtol=1e-5)
    gradients = [jax.grad(lambda x: f.log_prob(x).sum())(jnp.asarray(value)) for f in (d, joint)]  # noqa: B023
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.cov(d.sample(jax.random.key(0), (4000,)).T), scales @ R @ scales, atol=0.3)


def test_draws_have_marginals_and_rank_correlation() -> None:
    d = dist.GaussianCopulaBeta(np.array([2.0, 3.0]), np.array([2.0, 0.7]), R)
    draws = np.asarray(d.sample(jax.random.key(0), (4000,)), float)
    for i, marginal in enumerate((st.beta(2, 2), st.beta(3, 0.7))):
        assert st.kstest(draws[:, i], marginal.cdf).pvalue > 1e-4
    spearman = 6 / np.pi * np.arcsin(0.25)  # of a normal correlation of 1/2
    np.testing.assert_allclose(st.spearmanr(draws).statistic, spearman, atol=4.5 / np.sqrt(4000))


def test_both_parametrisations_agree() -> None:
    marginal = dist.Gumbel(np.array([2.0, 3.0]), 1.0)
    by_matrix, by_factor = dist.GaussianCopula(marginal, R), dist.GaussianCopula(marginal, correlation_cholesky=FACTOR)
    np.testing.assert_allclose(by_matrix.log_prob(np.ones(2)), by_factor.log_prob(np.ones(2)), rtol=1e-5)
    for d in (by_matrix, by_factor):
        np.testing.assert_allclose(d.correlation_matrix, R, rtol=1e-6)
        np.testing.assert_allclose(d.correlation_cholesky, FACTOR, rtol=1e-6)


def test_ends_of_the_support() -> None:
    d = dist.GaussianCopulaBeta(np.array([2.0, 3.0]), 2.0, R, validate_args=True)
    np.testing.assert_array_equal(d.log_prob(np.array([[0.0, 0.5], [1.0, 1.0]])), [-np.inf, -np.inf])
    assert np.isfinite(d.log_prob(np.array([1e-10, 1 - 1e-6])))
    outside = jax.jit(d.log_prob)(np.array([1.5, 0.5]))
    assert outside == -np.inf
    independent = dist.GaussianCopula(dist.Uniform(np.zeros(2), 1.0), np.eye(2))
    np.testing.assert_allclose(independent.log_prob(np.array([[0.0, 0.0], [1.0, 0.5]])), 0, atol=1e-5)
    assert not np.isnan(jax.grad(lambda x: independent.log_prob(x))(jnp.array([0.0, 0.5]))).any()


def test_shapes() -> None:
    for marginals, correlations, expected in (((3, 2), R, (3,)), ((2,), np.stack([R] * 3), (3,)), ((), R, ())):
        d = dist.GaussianCopula(dist.Logistic(np.zeros(marginals), 1.0), correlations)
        assert (d.batch_shape, d.event_shape) == (expected, (2,))
        assert d.sample(jax.random.key(0), (4,)).shape == d.shape((4,))
        assert d.log_prob(np.zeros((4, *expected, 2))).shape == (4, *expected)
        assert d.mean.shape == d.variance.shape == (*expected, 2)


def test_vmapped_copulas_promote() -> None:
    def make(a: Any) -> dist.Distribution:
        return dist.GaussianCopulaBeta(a, 2.0, jnp.asarray(R))

    a = np.array([[2.0, 3.0], [1.0, 4.0], [2.0, 2.0]])
    d = promote_batch_shape(jax.vmap(make)(a))
    assert (d.batch_shape, d.event_shape) == ((3,), (2,))
    np.testing.assert_allclose(d.log_prob(np.full(2, 0.3)), make(a).log_prob(np.full(2, 0.3)), rtol=1e-5)


def test_mistakes_are_errors() -> None:
    marginal = dist.Beta(np.ones(2), 2.0)
    with pytest.raises(ValueError, match="Exactly one of"):
        dist.GaussianCopula(marginal, R, FACTOR)
    with pytest.raises(ValueError, match="Exactly one of"):
        dist.GaussianCopula(marginal)
    with pytest.raises(ValueError, match="needs to be a univariate distribution"):
        dist.GaussianCopula(marginal.to_event(1), R)
    with pytest.raises(ValueError, match="needs to be continuous"):
        dist.GaussianCopula(dist.Poisson(np.ones(2)), R)
    with pytest.raises(ValueError, match="does not fit"):
        dist.GaussianCopula(dist.Beta(np.ones(3), 2.0), R)
    with pytest.raises(ValueError, match="invalid correlation_matrix parameter"):
        dist.GaussianCopula(marginal, 2 * R)
