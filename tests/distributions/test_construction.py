"""How families are made: one parameter of several, shapes, names, and what is said of mistakes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro.distributions as dist

THREE = np.ones(3, np.float32)


@pytest.mark.parametrize("make", [dist.Bernoulli, dist.Categorical, dist.Geometric, dist.Binomial, dist.Multinomial])
def test_one_of_probs_and_logits(make):
    with pytest.raises(ValueError, match=r"Exactly one of \['probs', 'logits'\] must be specified; got \[\]"):
        make()
    with pytest.raises(ValueError, match=r"got \['probs', 'logits'\]"):
        make(probs=np.array([0.3, 0.7]), logits=np.zeros(2))
    for name in ("probs", "logits"):
        d = make(**{name: np.array([0.3, 0.7], np.float32)})
        assert type(d).__name__ == make.__name__ + name.capitalize()
        assert type(d).__module__ == make.__module__ == "numpyro.distributions.discrete"


def test_negative_binomial_by_probs_or_logits():
    with pytest.raises(ValueError, match="One of `probs` or `logits` must be specified"):
        dist.NegativeBinomial(3)
    assert isinstance(dist.NegativeBinomial(3, logits=0.1), dist.NegativeBinomialLogits)
    assert isinstance(dist.NegativeBinomial(3, 0.1), dist.NegativeBinomialProbs)


@pytest.mark.parametrize("family", [dist.Dirichlet, dist.Categorical, dist.Multinomial, dist.ProjectedNormal])
def test_vectors_are_asked_for(family):
    argument = {"probs": np.float32(1.0)} if family is dist.Multinomial else None
    with pytest.raises(ValueError, match="must be at least one-dimensional|must be of shape"):
        family(**argument) if argument else family(np.float32(1.0))


def test_lkj_says_what_is_wrong():
    with pytest.raises(ValueError, match="Dimension must be greater than or equal to 2; got 1"):
        dist.LKJCholesky(1)
    with pytest.raises(ValueError, match="should be one of 'cvine' or 'onion'; got 'vine'"):
        dist.LKJ(3, 1.0, "vine")


def test_parameters_keep_their_values_at_a_common_rank():
    d = dist.Normal(0.0, THREE)
    assert (d.loc.shape, d.scale.shape, d.batch_shape) == ((1,), (3,), (3,))
    assert dist.Normal(0.0, 1.0).loc == 0.0
    assert isinstance(d.loc, np.ndarray)  # nothing has been compiled


@pytest.mark.parametrize("name", ["covariance_matrix", "precision_matrix", "scale_tril"])
def test_multivariate_normal_broadcasts_mean_and_matrix(name):
    matrix = np.array([[2.0, 0.0], [0.5, 1.0]]) if name == "scale_tril" else np.array([[2.0, 0.5], [0.5, 1.0]])
    loc = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    covariance = {
        "scale_tril": matrix @ matrix.T,
        "covariance_matrix": matrix,
        "precision_matrix": np.linalg.inv(matrix),
    }[name]
    several = np.broadcast_to(matrix, (4, 1, 2, 2))
    for l, m, batch in [(0.0, matrix, ()), (loc, matrix, (3,)), (loc[0], several, (4, 1)), (loc, several, (4, 3))]:
        d = dist.MultivariateNormal(l, **{name: m})
        assert (d.batch_shape, d.event_shape) == (batch, (2,))
        assert d.infer_shapes(np.shape(l), **{name: m.shape}) == (batch, (2,))
        assert d.mean.shape == d.variance.shape == (*batch, 2)
        assert d.entropy().shape == batch
        assert d.sample(jax.random.key(0), (5,)).shape == (5, *batch, 2)
        x = np.array([0.3, -0.7])
        means = np.broadcast_to(l, (*batch, 2)).reshape(-1, 2)
        expected = [st.multivariate_normal(mean, covariance).logpdf(x) for mean in means]
        np.testing.assert_allclose(np.ravel(d.log_prob(x)), expected, rtol=1e-4)
        for part, wanted in (("covariance_matrix", covariance), ("precision_matrix", np.linalg.inv(covariance))):
            got = getattr(d, part)
            np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), atol=1e-5)


def test_multivariate_normal_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"Exactly one of \['covariance_matrix', 'precision_matrix', 'scale_tril'\]"):
        dist.MultivariateNormal(np.zeros(2))
    with pytest.raises(ValueError, match=r"got \['covariance_matrix', 'scale_tril'\]"):
        dist.MultivariateNormal(np.zeros(2), covariance_matrix=np.eye(2), scale_tril=np.eye(2))
    with pytest.raises(ValueError, match=r"the last dimension of `loc`, of shape \(2,\)"):
        dist.MultivariateNormal(np.zeros(2), np.eye(3))
    with pytest.raises(ValueError, match=r"`covariance_matrix` must be of shape \(..., d, d\)"):
        dist.MultivariateNormal(np.zeros(2), np.ones(3))


def test_discrete_uniform_is_enumerated_where_sizes_agree():
    shifted = dist.DiscreteUniform(np.array([0, 3]), np.array([2, 5]))
    np.testing.assert_array_equal(shifted.enumerate_support(), [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(shifted.enumerate_support(expand=False), shifted.enumerate_support())
    with pytest.raises(NotImplementedError, match="Inhomogeneous `high - low`"):
        dist.DiscreteUniform(0, np.array([2, 5])).enumerate_support()
    with pytest.raises(ValueError, match="needs a concrete"):
        jax.jit(lambda n: dist.DiscreteUniform(0, n).enumerate_support())(3)


def test_binomial_is_enumerated_where_counts_agree():
    assert dist.Binomial(np.array([3, 3]), 0.2).enumerate_support(expand=False).shape == (4, 1)
    with pytest.raises(NotImplementedError, match="Inhomogeneous `total_count`"):
        dist.Binomial(np.array([3, 4]), 0.2).enumerate_support()


def test_discrete_quantiles_invert_the_cdf(x64):
    q = np.array([[0.01], [0.5], [0.99]])
    families = [
        dist.Poisson(np.array([1e-3, 7.0, 1e5])),
        dist.NegativeBinomial2(np.array([0.5, 7.0, 1e5]), 2.0),
        dist.Binomial(np.array([1, 20, 10**5]), 0.3),
        dist.Geometric(np.array([0.9, 0.3, 1e-4])),
        dist.DiscreteUniform(np.array([0, -7, 5]), np.array([1, 9, 10**5])),
    ]
    for d in families:
        k = np.asarray(d.icdf(q))
        assert (np.asarray(d.cdf(k)) >= q - 1e-9).all()
        assert (np.asarray(d.cdf(k - 1)) < q + 1e-9).all()
    ends = np.asarray(dist.Poisson(3.0).icdf(np.array([0.0, 1.0, 1.1])))
    assert ends[0] == 0
    assert np.isnan(ends[2])


@pytest.mark.parametrize(
    "make",
    [
        dist.Uniform,
        dist.DiscreteUniform,
        dist.LogUniform,
        lambda low, high: dist.DoublyTruncatedPowerLaw(-1.5, low, high),
        lambda low, high: dist.TruncatedNormal(0.0, 1.0, low=low, high=high),
        lambda low, high: dist.TruncatedGamma(2.0, 1.0, low=low, high=high),
    ],
)
def test_ends_in_the_wrong_order_are_errors(make):
    with pytest.raises(
        ValueError, match=r"got invalid low and high parameters: expected low <=? high, but got low=.*3"
    ):
        make(np.array([1, 3]), np.array([2, 1]))
    jax.eval_shape(make, np.array([1, 3]), np.array([2, 1]))  # traced: no verdict


def test_parameters_that_are_no_numbers_are_named():
    with pytest.raises(TypeError, match=r"^Exponential distribution got invalid rate parameter: .* but got 'one'"):
        dist.Exponential("one")


def test_sparse_poisson_agrees_with_the_dense_one(precision):
    rate, counts = np.array([[0.5, 2.0, 3.0], [1.0, 4.0, 0.1]], precision), np.array([0, 3, 0])
    dense, sparse = dist.Poisson(rate), dist.Poisson(rate, is_sparse=True)
    np.testing.assert_allclose(sparse.log_prob(counts), dense.log_prob(counts), rtol=1e-5)

    def gradient(d):  # the counts are known while the rates are traced
        return jax.jit(jax.grad(lambda rate: dist.Poisson(rate, is_sparse=d.is_sparse).log_prob(counts).sum()))(rate)

    np.testing.assert_allclose(gradient(sparse), gradient(dense), rtol=1e-5)
    traced = jax.jit(lambda d, x: d.log_prob(x))(sparse, counts)
    np.testing.assert_allclose(traced, dense.log_prob(counts), rtol=1e-5)


def test_multinomial_traced_counts_need_no_bound():
    counts = jax.jit(lambda n: dist.Multinomial(n, np.array([0.3, 0.7])).sample(jax.random.key(0), (4,)))(10)
    assert counts.dtype == jnp.result_type(int)
    np.testing.assert_array_equal(counts.sum(-1), 10)


@pytest.mark.parametrize("method", ["onion", "cvine"])
@pytest.mark.parametrize(("dimension", "concentration"), [(2, 0.7), (4, 1.0), (4, 3.0)])
def test_lkj_draws_have_beta_marginals(method, dimension, concentration):
    """Each correlation r has (r + 1) / 2 ~ Beta(b, b), b = concentration - 1 + dimension / 2 (Lewandowski 2009)."""
    draws = np.asarray(dist.LKJ(dimension, concentration, method).sample(jax.random.key(5), (4000,)), float)
    b = concentration - 1 + dimension / 2
    for i, j in zip(*np.tril_indices(dimension, -1), strict=True):
        assert st.kstest((draws[:, i, j] + 1) / 2, st.beta(b, b).cdf).pvalue > 1e-4
    np.testing.assert_allclose(np.diagonal(draws, axis1=1, axis2=2), 1, atol=1e-5)


def test_lkj_density_of_two_dimensions_is_beta(x64):
    r = np.linspace(-0.95, 0.95, 7)
    matrices = np.stack([np.stack([np.ones(7), r], -1), np.stack([r, np.ones(7)], -1)], -2)
    expected = st.beta(1.7, 1.7).logpdf((r + 1) / 2) - np.log(2)
    np.testing.assert_allclose(dist.LKJ(2, 1.7).log_prob(matrices), expected, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:shape requires ndarray:DeprecationWarning")
def test_parameters_that_are_lists_are_errors() -> None:
    with pytest.raises(TypeError, match=r"Normal distribution got invalid loc parameter: .* got a list: make an array"):
        dist.Normal([0.0, 1.0], 1.0)  # type: ignore[arg-type]
