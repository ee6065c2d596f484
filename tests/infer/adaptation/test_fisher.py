"""Inverse mass matrices from draws and gradients, on normal distributions, for which they are exact."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from numpyro.infer.adaptation import FisherEstimator, LowRankEstimator, low_rank_estimate
from numpyro.infer.adaptation.estimators import BUFFER_ROWS
from numpyro.infer.adaptation.fisher import FIRST_GRADIENT_RANGE, first_inverse, fisher_diagonal, geometric_mean

rng = np.random.default_rng(0)


def positive_definite(size):
    root = rng.normal(size=(size, 2 * size))
    return root @ root.T / (2 * size)


def normal_draws(covariance, count):
    """Draws of a normal distribution and the gradients of its potential energy there."""
    z = rng.multivariate_normal(np.zeros(len(covariance)), covariance, count)
    return z + 3.0, np.linalg.solve(covariance, z.T).T


def full(matrix):
    """The inverse mass matrix that a low-rank one stands for."""
    scale, vectors, values = (np.asarray(part, np.float64) for part in matrix)
    return scale[:, None] * (np.eye(len(scale)) + vectors * (values - 1) @ vectors.T) * scale


def run(estimator, draws, grads, windows=(), dtype=np.float64):
    """An estimator's state after all draws, with windows that begin before those of the given numbers."""

    @jax.jit
    def scan(draws, grads, begins):
        def step(state, seen):
            z, grad, begin = seen
            state = jax.lax.cond(begin, estimator.next_window, lambda state: state, state)
            return estimator.update(state, z, grad), None

        return jax.lax.scan(step, estimator.init(np.dtype(dtype)), (draws, grads, begins))[0]

    begins = np.isin(np.arange(len(draws)), windows)
    return scan(draws.astype(dtype), grads.astype(dtype), begins)


# The minimum of the divergence


def test_the_geometric_mean_solves_its_equation(precision):
    draws, grads = positive_definite(6), positive_definite(6)
    mean = np.asarray(geometric_mean(jnp.asarray(draws, precision), jnp.asarray(grads, precision)), np.float64)
    tolerance = 1e-4 if precision == np.float32 else 1e-10
    np.testing.assert_allclose(mean, mean.T, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(mean @ grads @ mean, draws, rtol=10 * tolerance, atol=10 * tolerance)
    assert np.all(np.linalg.eigvalsh(mean) > 0)


def test_the_geometric_mean_is_the_one_of_matrix_roots(x64):
    draws, grads = positive_definite(4), positive_definite(4)
    root = scipy.linalg.sqrtm(np.linalg.inv(grads))
    inverse_root = np.linalg.inv(root)
    expected = root @ scipy.linalg.sqrtm(inverse_root @ draws @ inverse_root) @ root
    np.testing.assert_allclose(geometric_mean(jnp.asarray(draws), jnp.asarray(grads)), expected, rtol=1e-8)


def test_both_minimise_the_fisher_divergence(x64):
    draws, grads = positive_definite(3), positive_definite(3)

    def divergence(inverse):
        """The divergence less what does not depend on the matrix: tr(S C_g) + tr(S^-1 C_z)."""
        return jnp.trace(inverse @ grads) + jnp.trace(jnp.linalg.solve(inverse, draws))

    dense = geometric_mean(jnp.asarray(draws), jnp.asarray(grads))
    np.testing.assert_allclose(jax.grad(divergence)(dense), 0, atol=1e-8)
    diagonal = fisher_diagonal(jnp.diagonal(draws), jnp.diagonal(grads))
    slope = jax.grad(lambda variances: divergence(jnp.diag(variances)))(diagonal)
    np.testing.assert_allclose(slope, 0, atol=1e-8)


def test_the_start_is_one_over_the_gradient_within_bounds():
    least, most = FIRST_GRADIENT_RANGE
    start = first_inverse(jnp.array([-2.0, 0.5, 0.0, np.inf]), pooled=False)
    np.testing.assert_allclose(start, [0.5, 2.0, 1 / least, 1 / most], rtol=1e-6)


# Diagonal


@pytest.mark.parametrize("regularize", [True, False])
def test_a_diagonal_is_exact_for_independent_normals_of_any_scale(precision, regularize):
    variances = np.array([1e-6, 1.0, 1e4])
    draws, grads = normal_draws(np.diag(variances), 20)
    estimator = FisherEstimator(3, dense=False, regularize=regularize, pooled=False)
    state = run(estimator, draws, grads, dtype=precision)
    tolerance = 1e-3 if precision == np.float32 else 1e-9
    estimate = jnp.ones(3, precision)
    for _ in range(40):  # what it is shrunk towards is the estimate before: the limit is not shrunk
        estimate = estimator.estimate(state, estimate)
    np.testing.assert_allclose(estimate, variances, rtol=tolerance)
    assert estimate.dtype == precision


def test_where_nothing_has_moved_or_little_is_known_the_matrix_stays(x64):
    before = jnp.array([2.0, 3.0])
    still = np.ones((10, 2))
    for dense, present in ((False, before), (True, jnp.diag(before))):
        estimator = FisherEstimator(2, dense, regularize=False, pooled=False)
        np.testing.assert_allclose(estimator.estimate(run(estimator, still, still), present), present)
    estimator = FisherEstimator(2, dense=False, regularize=True, pooled=False)
    np.testing.assert_allclose(estimator.estimate(run(estimator, still, still), before), before)
    draws, grads = normal_draws(np.eye(2), 2)
    np.testing.assert_array_equal(estimator.estimate(run(estimator, draws, grads), before), before)


def test_windows_overlap(x64):
    """An estimate is made of the present window and the one before, and of nothing older."""
    draws, grads = rng.normal(size=(2, 30, 2))
    estimator = FisherEstimator(2, dense=False, regularize=False, pooled=False)
    state = run(estimator, draws, grads, windows=(10, 18))
    expected = np.std(draws[10:], 0) / np.std(grads[10:], 0)
    np.testing.assert_allclose(estimator.estimate(state, jnp.ones(2)), expected, rtol=1e-12)
    state = estimator.next_window(state)
    expected = np.std(draws[18:], 0) / np.std(grads[18:], 0)
    np.testing.assert_allclose(estimator.estimate(state, jnp.ones(2)), expected, rtol=1e-12)


# Dense and low rank


def spiked(size, values):
    """A covariance that is a diagonal one but for some directions."""
    vectors = np.linalg.qr(rng.normal(size=(size, len(values))))[0]
    scale = np.exp(rng.normal(size=size))
    return scale[:, None] * (np.eye(size) + vectors * (np.array(values) - 1) @ vectors.T) * scale


def test_dense_matrices_are_exact_for_normals(x64):
    covariance = spiked(5, [1e4, 1e-3])
    draws, grads = normal_draws(covariance, 12)
    estimator = FisherEstimator(5, dense=True, regularize=False, pooled=False)
    estimate = estimator.estimate(run(estimator, draws, grads), jnp.eye(5))
    np.testing.assert_allclose(estimate, covariance, rtol=1e-6, atol=1e-9)


def test_few_draws_are_shrunk_to_the_diagonal(x64):
    draws, grads = normal_draws(positive_definite(8), 4)
    estimator = FisherEstimator(8, dense=True, regularize=True, pooled=False)
    estimate = np.asarray(estimator.estimate(run(estimator, draws, grads), jnp.eye(8)))
    assert np.all(np.linalg.eigvalsh(estimate) > 0)
    assert np.linalg.cond(estimate) < 1e4


@pytest.mark.parametrize("size", [6, 60])
def test_low_rank_is_exact_where_all_directions_are_kept(precision, size):
    covariance = spiked(size, [400.0, 0.01])
    draws, grads = normal_draws(covariance, 2 * size)
    used = np.ones(len(draws), bool)
    inverse = low_rank_estimate(
        jnp.asarray(draws, precision), jnp.asarray(grads, precision), used, rank=size, regularization=0.0, cutoff=1.0
    )
    scale = np.sqrt(np.diagonal(covariance))
    scaled = full(inverse) / np.outer(scale, scale)
    tolerance = 2e-2 if precision == np.float32 else 1e-8
    np.testing.assert_allclose(scaled, covariance / np.outer(scale, scale), atol=tolerance)


@pytest.mark.parametrize(("size", "count"), [(40, 100), (300, 100)], ids=["all directions", "span of the draws"])
def test_low_rank_finds_the_directions_that_matter(x64, size, count):
    """What is left of a covariance with six directions of their own is nearly round."""
    covariance = spiked(size, [1e4, 1e3, 50.0, 0.05, 0.01, 1e-3])
    draws, grads = normal_draws(covariance, count)
    inverse = full(low_rank_estimate(jnp.asarray(draws), jnp.asarray(grads), np.ones(count, bool), 16, 0.1, 2.0))
    spread = np.sqrt(scipy.linalg.eigvalsh(covariance, inverse))
    round_diagonal = np.sqrt(np.diagonal(covariance) / np.diagonal(np.linalg.inv(covariance)))
    before = np.sqrt(scipy.linalg.eigvalsh(covariance, np.diag(round_diagonal)))
    assert before.max() / before.min() > 30 * spread.max() / spread.min()


def test_its_vectors_are_orthonormal_and_round_directions_are_left_alone(x64):
    draws, grads = normal_draws(np.diag([1.0, 4.0, 9.0, 16.0]), 50)
    scale, vectors, values = low_rank_estimate(jnp.asarray(draws), jnp.asarray(grads), np.ones(50, bool), 3, 0.1, 2.0)
    np.testing.assert_allclose(scale, [1, 2, 3, 4], rtol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(values, 1)


def test_the_buffer_holds_the_last_positions_of_two_windows(x64):
    count = BUFFER_ROWS + 40
    draws, grads = rng.normal(size=(2, count, 3))
    estimator = LowRankEstimator(3, 3, regularize=True, pooled=False)
    inverse = estimator.first(identity(3), jnp.ones(3))

    def estimate(rows):
        return low_rank_estimate(
            jnp.asarray(draws[rows]), jnp.asarray(grads[rows]), np.ones(len(draws[rows]), bool), 3, 0.1, 2.0
        )

    for windows, rows in (((), slice(40, None)), ((5,), slice(40, None)), ((50, 120), slice(50, None))):
        state = run(estimator, draws, grads, windows=windows)
        np.testing.assert_allclose(full(estimator.estimate(state, inverse)), full(estimate(rows)), rtol=1e-9)
    state = estimator.next_window(state)
    np.testing.assert_allclose(full(estimator.estimate(state, inverse)), full(estimate(slice(120, None))), rtol=1e-9)


def identity(size):
    from numpyro.infer.hmc.metric import LowRankMetric

    return LowRankMetric(size, size).identity(np.float64)


def test_a_buffer_of_what_has_not_moved_changes_nothing(x64):
    estimator = LowRankEstimator(3, 2, regularize=True, pooled=False)
    state = run(estimator, np.ones((10, 3)), np.ones((10, 3)))
    before = identity(3)._replace(vectors=jnp.eye(3, 2), values=jnp.array([5.0, 0.2]))
    np.testing.assert_array_equal(full(estimator.estimate(state, before)), full(before))
