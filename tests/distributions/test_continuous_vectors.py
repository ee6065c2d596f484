"""Facts of single families on vectors, matrices, graphs and paths: shapes, thresholds of moments, precision, errors."""

from __future__ import annotations

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.sparse as ss
import scipy.stats as st

import numpyro.distributions as dist
from numpyro.distributions.batch_util import promote_batch_shape
from numpyro.distributions.continuous.adjacency import Adjacency, spectrum
from numpyro.distributions.continuous.wishart_base import chi_variance
from numpyro.distributions.kl import kl_divergence
from tests.helpers.distributions import precision
from tests.helpers.vector_cases import PATH, SQUARES, TRIANGLES

KEY = jax.random.key(3)

# Wishart and its inverse

ALL_WISHARTS = [dist.Wishart, dist.WishartCholesky, dist.InverseWishart, dist.InverseWishartCholesky]


@pytest.mark.parametrize("family", ALL_WISHARTS)
def test_wishart_says_what_is_wrong(family: Any) -> None:
    name = family.__name__
    with pytest.raises(ValueError, match=f"{name} distribution got invalid concentration parameter.*1.0"):
        family(1.0, np.eye(2))
    with pytest.raises(ValueError, match=f"{name} distribution got invalid scale_matrix parameter"):
        family(3.0, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"`rate_matrix` must be of shape \(..., p, p\); got \(2, 3\)"):
        family(3.0, rate_matrix=np.ones((2, 3)))
    with pytest.raises(ValueError, match="Exactly one of"):
        family(3.0)
    assert family.infer_shapes((3, 1), scale_tril=(4, 2, 2)) == ((3, 4), (2, 2))


@pytest.mark.parametrize("family", ALL_WISHARTS)
def test_wishart_gives_the_scale_in_every_guise(family: Any) -> None:
    for d in (
        family(5.0, SQUARES),
        family(5.0, rate_matrix=np.linalg.inv(SQUARES)),
        family(5.0, scale_tril=TRIANGLES),
    ):
        np.testing.assert_allclose(d.scale_matrix, SQUARES, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(d.rate_matrix, np.linalg.inv(SQUARES), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(d.scale_tril, TRIANGLES, rtol=1e-5, atol=1e-6)
        assert d.concentration == 5.0


@pytest.mark.parametrize("family", [dist.Wishart, dist.InverseWishart])
def test_a_matrix_that_is_not_definite_has_no_density(family: Any) -> None:
    indefinite = np.array([[[1.0, 2.0], [2.0, 1.0]], np.eye(2)])
    log_prob = jax.jit(lambda x: family(5.0, np.eye(2)).log_prob(x))(indefinite)
    assert log_prob[0] == -np.inf
    assert np.isfinite(log_prob[1])
    d = family(5.0, np.eye(2))
    drawn, intermediates = d.sample_with_intermediates(KEY)
    np.testing.assert_allclose(d.log_prob(drawn, intermediates), d.log_prob(drawn), rtol=1e-5)


def test_moments_of_inverse_wishart_exist_above_their_thresholds() -> None:
    d = dist.InverseWishart(np.array([2.5, 3.5, 5.0, 5.5], "float32"), np.eye(2))
    assert np.isfinite(d.mean).all((1, 2)).tolist() == [False, True, True, True]
    assert np.isfinite(d.variance).all((1, 2)).tolist() == [False, False, False, True]
    assert np.isinf(d.variance[2]).all()
    np.testing.assert_allclose(d.mode[3], np.eye(2) / 8.5, rtol=1e-6)
    d = dist.InverseWishartCholesky(np.array([1.5, 2.5, 3.5], "float32"), np.eye(2))
    assert np.isfinite(d.mean[:, 0, 0]).tolist() == [False, True, True]
    assert np.isfinite(d.variance[:, 0, 0]).tolist() == [False, False, True]
    assert (d.mean[:, 0, 1] == 0).all()


def test_moments_of_inverse_wishart_factors_agree_with_draws_in_three_dimensions() -> None:
    scale = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 1.5]])
    d = dist.InverseWishartCholesky(13.0, scale)
    draws = np.asarray(d.sample(KEY, (40_000,)))
    deviations = (draws - d.mean) ** 2
    assert (np.abs(draws.mean(0) - d.mean) <= 5 * draws.std(0) / 200).all()
    assert (np.abs(deviations.mean(0) - d.variance) <= 5 * deviations.std(0) / 200).all()


def test_variance_of_a_chi_variable() -> None:
    k = np.array([1e-3, 0.5, 1.0, 7.0, 49.0, 51.0, 1e3, 1e6, 1e12])
    with mp.workdps(50):
        root_means = [mp.sqrt(2) * mp.gammaprod([(mp.mpf(x) + 1) / 2], [mp.mpf(x) / 2]) for x in k]
        expected = [float(mp.mpf(x) - m**2) for x, m in zip(k, root_means, strict=True)]
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-9)):
        with precision(dtype):
            np.testing.assert_allclose(chi_variance(jnp.asarray(k, dtype)), expected, rtol=tolerance)


# Normal vectors


def test_low_rank_normal_has_the_matrices_of_its_covariance() -> None:
    factor, diag = np.array([[0.3, 1.0], [0.5, 0.7], [-1.0, 0.4]]), np.array([0.5, 1.0, 0.3])
    covariance = factor @ factor.T + np.diag(diag)
    d = dist.LowRankMultivariateNormal(np.zeros(3), factor, diag)
    np.testing.assert_allclose(d.covariance_matrix, covariance, rtol=1e-5)
    np.testing.assert_allclose(d.precision_matrix, np.linalg.inv(covariance), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(d.scale_tril, np.linalg.cholesky(covariance), rtol=1e-5, atol=1e-6)
    other = dist.MultivariateNormal(np.ones(3), np.eye(3) + 0.2)
    dense = dist.MultivariateNormal(np.zeros(3), covariance)
    np.testing.assert_allclose(kl_divergence(d, other), kl_divergence(dense, other), rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(other, d), kl_divergence(other, dense), rtol=1e-4)
    np.testing.assert_allclose(kl_divergence(d, d), 0, atol=1e-5)


def test_low_rank_normal_keeps_its_digits_where_the_diagonal_is_small() -> None:
    # y^T D^-1 y is 1e8 times y^T covariance^-1 y, so that their difference would have no digits left
    rng = np.random.default_rng(0)
    factor, diag = rng.normal(size=(6, 2)).astype("float32"), np.full(6, 1e-8, "float32")
    y = factor @ rng.normal(size=2).astype("float32")
    d = dist.LowRankMultivariateNormal(np.zeros(6, "float32"), factor, diag)
    explained = np.linalg.lstsq(factor.astype(float), y.astype(float), rcond=None)[0]
    rest = y.astype(float) - factor.astype(float) @ explained
    expected = np.sum(explained**2) + np.sum(rest**2) * 1e8
    np.testing.assert_allclose(d._mahalanobis(y), expected, rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, np.ones((3, 2)), np.ones(3)), "`loc` must be at least one-dimensional"),
        ((np.zeros(3), np.ones(3), np.ones(3)), "`cov_factor` must be a batch of matrices with shape 3 x m"),
        ((np.zeros(3), np.ones((4, 2)), np.ones(3)), "`cov_factor` must be a batch of matrices with shape 3 x m"),
        ((np.zeros(3), np.ones((3, 2)), np.ones(2)), "`cov_diag` must be a batch of vectors with shape 3"),
    ],
)
def test_low_rank_normal_names_the_wrong_shape(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dist.LowRankMultivariateNormal(*arguments)


def test_matrix_normal_names_the_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"`scale_tril_column` must be of shape \(..., 3, 3\)"):
        dist.MatrixNormal(np.zeros((2, 3)), np.eye(2), np.eye(2))
    d = dist.MatrixNormal(np.zeros((2, 3)), np.broadcast_to(np.eye(2), (4, 2, 2)), np.eye(3))
    assert d.log_prob(np.zeros((5, 1, 2, 3))).shape == (5, 4)
    assert d.variance.shape == d.mean.shape == (4, 2, 3)


def test_multivariate_t_has_moments_above_their_thresholds() -> None:
    d = dist.MultivariateStudentT(np.array([0.5, 1.5, 3.0], "float32"), 0.3, 2 * np.eye(2))
    assert d.batch_shape == (3,)
    np.testing.assert_allclose(d.mean, [[np.inf] * 2, [0.3] * 2, [0.3] * 2], rtol=1e-6)
    np.testing.assert_allclose(d.variance, [[np.nan] * 2, [np.inf] * 2, [12.0] * 2], rtol=1e-6)
    many = dist.MultivariateStudentT(1e8, np.zeros(2), TRIANGLES[0])
    normal = dist.MultivariateNormal(np.zeros(2), scale_tril=TRIANGLES[0])
    np.testing.assert_allclose(many.log_prob(np.ones(2)), normal.log_prob(np.ones(2)), rtol=1e-5)
    np.testing.assert_allclose(many.entropy(), normal.entropy(), rtol=1e-4)
    with pytest.raises(ValueError, match="`scale_tril`.*must be given"):
        dist.MultivariateStudentT(3.0)
    draws = dist.MultivariateStudentT(0.01, np.zeros(2), np.eye(2)).sample(KEY, (1000,))
    assert not np.isnan(draws).any()


@pytest.mark.parametrize("n", [1, 4, 5])
def test_circulant_normal_by_either_parameter(n: int) -> None:
    rfft = np.random.default_rng(0).uniform(0.5, 2, n // 2 + 1)
    row = np.fft.irfft(rfft, n) if n > 1 else rfft
    loc = np.zeros((3, n))
    by_rfft, by_row = dist.CirculantNormal(loc, covariance_rfft=rfft), dist.CirculantNormal(loc, covariance_row=row)
    np.testing.assert_allclose(by_rfft.covariance_row, row[None], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_row.covariance_rfft, rfft[None], rtol=1e-5, atol=1e-6)
    covariance = row[(np.arange(n) - np.arange(n)[:, None]) % n]
    np.testing.assert_allclose(by_rfft.covariance_matrix[0], covariance, rtol=1e-5, atol=1e-6)
    q, dense = dist.CirculantNormal(np.ones(n), row), dist.MultivariateNormal(np.ones(n), covariance)
    p = dist.Normal(np.linspace(0.0, 1.0, n), 1.3).to_event(1)
    p_dense = dist.MultivariateNormal(np.linspace(0.0, 1.0, n), 1.3**2 * np.eye(n))
    np.testing.assert_allclose(kl_divergence(p, q), kl_divergence(p_dense, dense), rtol=1e-4)


def test_circulant_normal_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="Location parameter must have at least one dimension"):
        dist.CirculantNormal(0.0, np.ones(3))
    with pytest.raises(ValueError, match=r"`covariance_rfft` must be of shape \(..., 3\)"):
        dist.CirculantNormal(np.zeros(4), covariance_rfft=np.ones(4))
    with pytest.raises(ValueError, match="covariance_row"):
        dist.CirculantNormal(np.zeros(4), np.array([1.0, 2.0, 0.0, 2.0]))
    with pytest.raises(ValueError, match="Exactly one of"):
        dist.CirculantNormal(np.zeros(4))


def test_zero_sum_normal_sums_to_zero_along_every_dimension() -> None:
    d = dist.ZeroSumNormal(np.array([0.5, 2.0], "float32"), (3, 4))
    draws = d.sample(KEY, (500,))
    assert draws.shape == (500, 2, 3, 4)
    np.testing.assert_allclose(draws.sum(-1), 0, atol=1e-5)
    np.testing.assert_allclose(draws.sum(-2), 0, atol=1e-5)
    np.testing.assert_allclose(draws.var((0, 2, 3)), d.variance[:, 0, 0], rtol=0.15)
    with pytest.raises(TypeError, match="`event_shape` must be a tuple"):
        dist.ZeroSumNormal(1.0, 3)


# Paths


def test_variance_of_a_state_space_model_has_the_shape_of_its_events() -> None:
    d = dist.GaussianStateSpace(4, 2 * np.eye(2), covariance_matrix=2 * np.eye(2))
    assert d.variance.shape == d.mean.shape == d.event_shape == (4, 2)
    np.testing.assert_allclose(d.variance, np.array([2.0, 10, 42, 170])[:, None] * np.ones(2), rtol=1e-5)
    d = dist.GaussianStateSpace(
        4, np.broadcast_to(0.5 * np.eye(2), (3, 1, 2, 2)), scale_tril=TRIANGLES, initial_value=np.array([1.0, 2.0])
    )
    assert d.batch_shape == (3, 2)
    assert d.variance.shape == d.mean.shape == d.sample(KEY).shape == (3, 2, 4, 2)
    np.testing.assert_allclose(d.mean[0, 0], 0.5 ** np.arange(1, 5)[:, None] * [1, 2], rtol=1e-5)
    assert d.log_prob(np.zeros((5, 1, 1, 4, 2))).shape == (5, 3, 2)
    made = jax.vmap(lambda start: dist.GaussianStateSpace(4, np.eye(2), np.eye(2), initial_value=start))(
        np.ones((3, 2))
    )
    assert promote_batch_shape(made).log_prob(np.zeros((4, 2))).shape == (3,)
    assert dist.GaussianRandomWalk(np.ones((2, 3)), 4).variance.shape == (2, 3, 4)


def test_a_random_walk_is_a_state_space_model_and_an_equation_without_drift() -> None:
    walk = dist.GaussianRandomWalk(0.7, 4)
    x = np.array([0.3, -0.5, 1.0, 2.0])
    states = dist.GaussianStateSpace(4, np.eye(1), scale_tril=0.7 * np.eye(1))
    np.testing.assert_allclose(states.log_prob(x[:, None]), walk.log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(states.entropy(), walk.entropy(), rtol=1e-5)
    equation = dist.EulerMaruyama(np.arange(4.0), lambda x, t: (0.0, 0.7), dist.Normal(0.0, 0.7))
    np.testing.assert_allclose(equation.log_prob(x), walk.log_prob(x), rtol=1e-5)


def test_state_space_models_and_walks_name_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="`num_steps` argument should be a positive integer"):
        dist.GaussianRandomWalk(1.0, 0)
    with pytest.raises(AssertionError, match="`transition_matrix` must be a square matrix"):
        dist.GaussianStateSpace(3, np.ones((2, 3)), scale_tril=np.eye(2))
    with pytest.raises(AssertionError, match="Event shape of initial value"):
        dist.GaussianStateSpace(3, np.eye(2), scale_tril=np.eye(2), initial_value=np.ones(3))
    with pytest.raises(ValueError, match=r"`scale_tril` must be of shape \(..., 2, 2\)"):
        dist.GaussianStateSpace(3, np.eye(2), scale_tril=np.eye(3))
    with pytest.raises(ValueError, match="Exactly one of"):
        dist.GaussianStateSpace(3, np.eye(2))


@pytest.mark.parametrize("times", [(5,), (6, 1, 5)])
@pytest.mark.parametrize(("batch", "event"), [((), ()), ((2,), ()), ((2,), (3,))])
def test_shapes_of_paths_of_an_equation(times: tuple[int, ...], batch: tuple[int, ...], event: tuple[int, ...]) -> None:
    seen = []

    def sde(x: Any, t: Any) -> Any:
        seen.append((jnp.shape(x), jnp.shape(t)))
        return -x, 0.5

    start = dist.Normal(0.0, 1.0).expand(batch + event).to_event(len(event))
    d = dist.EulerMaruyama(np.zeros(times) + np.arange(5.0), sde, start)
    assert d.batch_shape == np.broadcast_shapes(times[:-1], batch)
    assert d.event_shape == (5, *event)
    draws = jax.eval_shape(lambda key: d.sample(key, (7,)), KEY)
    assert draws.shape == (7, *d.batch_shape, *d.event_shape)
    assert jax.eval_shape(d.log_prob, draws).shape == (7, *d.batch_shape)
    assert jax.eval_shape(d.log_prob, jnp.zeros(d.event_shape)).shape == d.batch_shape
    assert set(seen) == {(event, ())}  # one state and one time, whatever the batch
    expanded = d.expand((4, *d.batch_shape))
    draws = jax.eval_shape(expanded.sample, KEY)
    assert jax.eval_shape(expanded.log_prob, draws).shape == (4, *d.batch_shape)


def test_draws_of_an_equation_have_the_moments_of_its_recursion() -> None:
    t = np.array([0.0, 0.2, 0.5, 0.6, 1.0])
    d = dist.EulerMaruyama(t, lambda x, t: (-x, 0.5), dist.Normal(1.0, 0.1))
    draws = np.asarray(d.sample(KEY, (4000,)))
    mean, variance = 1.0, 0.01
    for i, dt in enumerate(np.diff(t)):
        mean, variance = (1 - dt) * mean, (1 - dt) ** 2 * variance + 0.25 * dt
        assert st.kstest(draws[:, i + 1], st.norm(mean, np.sqrt(variance)).cdf).pvalue > 1e-4


def test_an_equation_names_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="Init distribution is expected to be Distribution class; got float"):
        dist.EulerMaruyama(np.arange(3.0), lambda x, t: (x, x), 0.0)
    with pytest.raises(ValueError, match="`t` must be a vector"):
        dist.EulerMaruyama(1.0, lambda x, t: (x, x), dist.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match="invalid t parameter"):
        dist.EulerMaruyama(np.array([1.0, 0.5]), lambda x, t: (x, x), dist.Normal(0.0, 1.0))


# Graphs


def test_adjacency_dense_sparse_and_traced_agree() -> None:
    x, loop = np.array([0.3, -0.5, 1.0, 2.0]), PATH + np.diag([0.0, 0.7, 0.0, 0.2])
    for correlation in (-0.9, 0.0, 0.7, 0.9999):
        for weights in (PATH, loop):

            def value_and_slope(adj_matrix: Any, correlation: float = correlation, **more: Any) -> Any:
                def density(correlation: Any) -> Any:
                    return dist.CAR(np.zeros(4), correlation, 1.5, adj_matrix, **more).log_prob(x)

                return jax.value_and_grad(density)(correlation)

            expected = value_and_slope(weights)
            for got in (
                value_and_slope(jnp.asarray(weights)),
                value_and_slope(ss.csr_matrix(weights), is_sparse=True),
                value_and_slope(ss.coo_array(weights), is_sparse=True),
                value_and_slope(weights, is_sparse=True),
                jax.jit(value_and_slope)(weights),
            ):
                np.testing.assert_allclose(got, expected, rtol=2e-3 if correlation > 0.99 else 1e-4)


def grid(side: int) -> Any:
    """The adjacency matrix of a square grid."""
    path = ss.diags_array([np.ones(side - 1), np.ones(side - 1)], offsets=[1, -1])
    return ss.csr_array(ss.kron(ss.eye_array(side), path) + ss.kron(path, ss.eye_array(side)))


def test_a_sparse_graph_stays_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = grid(5)
    dense = dist.CAR(0.3, np.float32([0.6, -0.95]), 1.5, weights.toarray())
    for name in ("toarray", "todense"):
        monkeypatch.setattr(ss.csr_array, name, None)
    d = dist.CAR(0.3, np.float32([0.6, -0.95]), 1.5, weights, is_sparse=True)
    x = np.linspace(-1, 1, 25, dtype=np.float32)
    for computed in (lambda d: d.log_prob(x), lambda d: d.entropy(), lambda d: d.variance):
        np.testing.assert_allclose(jax.jit(computed)(d), jax.jit(computed)(dense), rtol=1e-4)
    largest = dist.CAR(0.0, 0.9, 1.0, grid(150), is_sparse=True)  # a dense matrix of these nodes would take 4 GB
    drawn = jax.jit(lambda key: largest.sample(key, (2,)))(jax.random.key(0))
    sums = drawn @ grid(150)
    ratio = np.mean(drawn * (np.asarray(grid(150).sum(-1)) * drawn - 0.9 * sums))  # of mean 1, deviation 1 / 150
    assert abs(ratio - 1) < 4.5 / 150


@pytest.mark.parametrize("correlation", [0.8, -0.8, 0.0])
def test_draws_on_a_sparse_graph_have_the_covariance(correlation: float) -> None:
    weights = np.asarray(PATH, float) + np.diag([0.5, 0, 0, 0])
    d = dist.CAR(np.arange(4.0), correlation, 1.5, ss.csr_array(weights), is_sparse=True)
    draws, slopes = jax.jit(
        lambda rho: jax.jvp(
            lambda rho: dist.CAR(np.arange(4.0), rho, 1.5, ss.csr_array(weights), is_sparse=True).sample(
                jax.random.key(0), (20_000,)
            ),
            (rho,),
            (jnp.ones(()),),
        )
    )(correlation)
    covariance = np.linalg.inv(np.asarray(d.precision_matrix, float))
    np.testing.assert_allclose(draws.mean(0), d.mean, atol=4.5 * np.sqrt(covariance.max() / 20_000))
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=6 * covariance.max() / np.sqrt(20_000))
    assert np.isfinite(slopes).all()
    if correlation:
        by_correlation = covariance @ (1.5 * weights) @ covariance
        centred = draws - np.arange(4.0)
        slope = 2 * np.mean(centred * slopes, 0)
        error = 2 * np.std(centred * slopes, 0) / np.sqrt(20_000)
        assert (np.abs(slope - np.diag(by_correlation)) < 4.5 * error).all()


def test_a_sparse_graph_is_part_of_the_structure() -> None:
    def make(matrix: Any) -> Any:
        return dist.CAR(np.zeros(4), 0.5, 1.5, matrix, is_sparse=True)

    traces = []

    @jax.jit
    def density(d: Any, x: Any) -> Any:
        traces.append(1)
        return d.log_prob(x)

    x = np.ones(4)
    first = density(make(ss.csr_matrix(PATH)), x)
    density(make(ss.csr_matrix(PATH)), x)
    assert len(traces) == 1
    assert density(make(ss.csr_matrix(2 * PATH)), x) != first
    assert len(traces) == 2
    d = pickle.loads(pickle.dumps(make(ss.csr_matrix(PATH))))
    assert ss.issparse(d.adj_matrix)
    assert ss.issparse(jax.tree_util.tree_map(lambda leaf: leaf, d).adj_matrix)
    assert len(jax.tree_util.tree_leaves(d)) == 3
    batched = promote_batch_shape(jax.vmap(lambda rho: dist.CAR(0.0, rho, 1.0, PATH, is_sparse=True))(np.ones(3) / 2))
    assert batched.batch_shape == (3,)
    assert batched.log_prob(x).shape == (3,)


def test_eigenvalues_of_a_graph_are_computed_once() -> None:
    ring = np.roll(np.eye(7), 1, 0) + np.roll(np.eye(7), -1, 0)
    before = spectrum.cache_info().misses
    for _ in range(3):
        jax.jit(lambda rho: dist.CAR(np.zeros(7), rho, 1.0, ring.copy()).log_prob(np.ones(7)))(0.3)
    assert spectrum.cache_info().misses == before + 1
    expected = np.sort(np.cos(2 * np.pi * np.arange(7) / 7))
    np.testing.assert_allclose(spectrum(Adjacency(ring))[1], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"adj_matrix": np.triu(PATH)}, AssertionError, "adjacency matrix must be symmetric"),
        ({"adj_matrix": ss.csr_matrix(np.triu(PATH)), "is_sparse": True}, AssertionError, "must be symmetric"),
        ({"adj_matrix": np.diag([1.0, 1, 1, 0])}, AssertionError, r"must have neighbours, but sites \[3\]"),
        ({"adj_matrix": ss.csr_matrix(PATH)}, AssertionError, "please specify `is_sparse=True`"),
        ({"adj_matrix": PATH[:3]}, ValueError, r"`adj_matrix` must be of shape \(..., n, n\)"),
        ({"adj_matrix": np.ones((3, 3))}, ValueError, r"`loc`, of shape \(4,\), must be that of `adj_matrix`"),
        ({"correlation": 1.5}, ValueError, "invalid correlation parameter"),
        ({"conditional_precision": -1.0}, ValueError, "invalid conditional_precision parameter"),
    ],
)
def test_a_graph_names_what_is_wrong(changes: dict[str, Any], error: type, message: str) -> None:
    arguments = {"loc": np.zeros(4), "correlation": 0.5, "conditional_precision": 2.0, "adj_matrix": PATH}
    with pytest.raises(error, match=message):
        dist.CAR(**(arguments | changes))


def test_edges_of_a_traced_matrix_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="needs to be a scipy sparse matrix or a concrete array"):
        jax.jit(lambda w: dist.CAR(np.zeros(4), 0.5, 1.0, w, is_sparse=True).log_prob(np.zeros(4)))(PATH)
