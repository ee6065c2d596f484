"""Mixtures of discrete, of vector, and of unlike components; weights that are unnormalised, or zero."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.batch_util import promote_batch_shape

WEIGHTS = np.array([0.3, 0.7])
MIXING = dist.Categorical(WEIGHTS)


def test_logits_need_not_be_normalised() -> None:
    components = dist.Normal(np.array([0.0, 1.0]), 1.0)
    reference = dist.MixtureSameFamily(dist.Categorical(sp.softmax([1.0, 3.0])), components)
    for shift in (0.0, 5.0, -700.0):
        d = dist.MixtureSameFamily(dist.Categorical(logits=np.array([1.0, 3.0]) + shift), components)
        np.testing.assert_allclose(d.log_prob(0.3), reference.log_prob(0.3), rtol=1e-5)
        np.testing.assert_allclose(d.component_log_probs(0.3), reference.component_log_probs(0.3), rtol=1e-5)
        np.testing.assert_allclose(sp.logsumexp(d.component_log_probs(0.3)), d.log_prob(0.3), rtol=1e-5)
        np.testing.assert_allclose(d.cdf(0.3), reference.cdf(0.3), rtol=1e-5)


def test_a_weight_of_zero_has_a_derivative() -> None:
    def log_prob(weights: Any) -> Any:
        components = dist.Normal(np.array([0.0, 100.0]), 1.0)
        return dist.MixtureSameFamily(dist.Categorical(weights, validate_args=False), components).log_prob(1.0)

    np.testing.assert_allclose(log_prob(np.array([1.0, 0.0])), st.norm.logpdf(1.0), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(log_prob)(jnp.array([1.0, 0.0])), [1, 0], atol=1e-6)
    # all of the weight on the component that is far away
    gradient = jax.grad(log_prob)(jnp.array([0.0, 1.0]))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[1], 1)


def test_values_far_from_all_components() -> None:
    d = dist.MixtureSameFamily(MIXING, dist.Normal(np.array([0.0, 1.0]), 1.0))
    np.testing.assert_allclose(d.log_prob(1e4), st.norm.logpdf(1e4 - 1) + np.log(0.7), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(d.log_prob)(1e4), 1 - 1e4, rtol=1e-5)
    on_halves = dist.MixtureSameFamily(MIXING, dist.Exponential(np.array([1.0, 2.0]), validate_args=False))
    log_prob = jax.jit(on_halves.log_prob)
    assert log_prob(-1.0) == -np.inf
    assert jax.grad(log_prob)(-1.0) == 0


@pytest.mark.parametrize("batch", ["components", "weights", "both"])
def test_shapes(batch: str) -> None:
    weights = np.broadcast_to(WEIGHTS, (3, 2)) if batch != "components" else WEIGHTS
    loc = np.arange(6.0).reshape(3, 2) if batch != "weights" else np.arange(2.0)
    d = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(loc, 1.0))
    assert (d.batch_shape, d.event_shape, d.mixture_size, d.mixture_dim) == ((3,), (), 2, -1)
    assert d.component_sample(jax.random.key(0), (4,)).shape == (4, 3, 2)
    value, (index,) = d.sample_with_intermediates(jax.random.key(0), (4,))
    assert value.shape == index.shape == (4, 3)
    assert d.log_prob(np.zeros((5, 1))).shape == (5, 3)
    assert d.component_log_probs(np.zeros(3)).shape == (3, 2)
    assert d.cdf(0.3).shape == d.mean.shape == d.variance.shape == (3,)
    general = dist.MixtureGeneral(dist.Categorical(weights), [dist.Normal(np.zeros(3)), dist.Laplace(0.0, 1.0)])
    assert general.batch_shape == (3,)
    assert general.component_sample(jax.random.key(0), (4,)).shape == (4, 3, 2)
    assert general.mean.shape == general.cdf(0.3).shape == general.log_prob(0.0).shape == (3,)


def test_discrete_components() -> None:
    d = dist.Mixture(MIXING, dist.Poisson(np.array([1.0, 6.0])))
    x = np.arange(12)
    pmf = WEIGHTS @ np.array([st.poisson(1).pmf(x), st.poisson(6).pmf(x)])
    np.testing.assert_allclose(d.log_prob(x), np.log(pmf), rtol=1e-5)
    np.testing.assert_allclose(d.cdf(x), np.cumsum(pmf), rtol=1e-5)
    q = np.array([0.001, 0.2, 0.5, 0.9])
    np.testing.assert_array_equal(d.icdf(q), np.searchsorted(np.cumsum(pmf), q))
    assert d.is_discrete and d.support is constraints.nonnegative_integer
    draws = np.asarray(d.sample(jax.random.key(0), (4000,)))
    assert np.issubdtype(draws.dtype, np.integer)
    np.testing.assert_allclose(draws.mean(), d.mean, atol=4.5 * np.sqrt(d.variance / 4000))


def test_finite_components_are_enumerated() -> None:
    for d in (
        dist.MixtureSameFamily(MIXING, dist.Binomial(3, WEIGHTS)),
        dist.MixtureGeneral(MIXING, [dist.Binomial(3, 0.2), dist.Binomial(3, 0.6)]),
        dist.MixtureSameFamily(MIXING, dist.Categorical(np.full((2, 4), 0.25))),
    ):
        assert d.has_enumerate_support
        values = d.enumerate_support()
        np.testing.assert_array_equal(values, np.arange(4))
        np.testing.assert_allclose(np.exp(d.log_prob(values)).sum(), 1, rtol=1e-5)
    batch = dist.MixtureSameFamily(MIXING, dist.Bernoulli(np.full((5, 2), 0.4)))
    assert batch.enumerate_support().shape == (2, 5)
    assert batch.enumerate_support(expand=False).shape == (2, 1)
    assert not dist.Mixture(MIXING, dist.Normal(np.zeros(2))).has_enumerate_support


def test_vector_components() -> None:
    loc, covariance = np.array([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]]), np.diag([1.0, 2.0, 3.0])
    same = dist.Mixture(MIXING, dist.MultivariateNormal(loc, covariance))
    general = dist.Mixture(MIXING, [dist.MultivariateNormal(m, covariance) for m in loc])
    densities = [st.multivariate_normal(m, covariance).pdf([0.5, 1.0, 2.0]) for m in loc]
    mean = WEIGHTS @ loc
    for d in (same, general):
        assert (d.batch_shape, d.event_shape, d.mixture_dim) == ((), (3,), -2)
        np.testing.assert_allclose(d.log_prob(np.array([0.5, 1.0, 2.0])), np.log(WEIGHTS @ densities), rtol=1e-5)
        assert d.component_log_probs(np.zeros((4, 3))).shape == (4, 2)
        assert d.component_sample(jax.random.key(0), (4,)).shape == (4, 2, 3)
        np.testing.assert_allclose(d.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(d.variance, np.diag(covariance) + WEIGHTS @ (loc - mean) ** 2, rtol=1e-5)
        draws = np.asarray(d.sample(jax.random.key(0), (4000,)))
        assert (np.abs(draws.mean(0) - mean) < 4.5 * np.sqrt(d.variance / 4000)).all()
    independent = dist.Mixture(MIXING, dist.Normal(np.zeros((5, 2, 3)), 1.0).to_event(1))
    assert (independent.batch_shape, independent.event_shape) == ((5,), (3,))
    assert independent.support(np.zeros((5, 3))).shape == (5,)


def test_draws_come_from_their_component() -> None:
    d = dist.Mixture(dist.Categorical(np.array([0.2, 0.3, 0.5])), dist.Normal(np.array([-100.0, 0.0, 100.0]), 1.0))
    value, (index,) = d.sample_with_intermediates(jax.random.key(0), (1000,))
    np.testing.assert_array_equal(np.round(value / 100) + 1, index)
    assert st.chisquare(np.bincount(index, minlength=3), [200, 300, 500]).pvalue > 1e-4
    assert not d.has_rsample


def test_components_of_different_supports() -> None:
    components = [dist.Normal(0.0, 1.0), dist.HalfNormal(1.0)]
    with pytest.raises(ValueError, match="must have the same support"):
        dist.MixtureGeneral(MIXING, components)
    d = dist.MixtureGeneral(MIXING, components, support=constraints.real)
    assert d.support is constraints.real
    x = np.array([-0.5, 0.5])
    pdf = 0.3 * st.norm.pdf(x) + 0.7 * st.halfnorm.pdf(x)
    for log_prob in (d.log_prob, jax.jit(d.log_prob)):
        np.testing.assert_allclose(log_prob(x), np.log(pdf), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(d.log_prob)(-0.5), 0.5, rtol=1e-6)
    np.testing.assert_allclose(d.cdf(x), 0.3 * st.norm.cdf(x) + 0.7 * st.halfnorm.cdf(x), rtol=1e-6)
    np.testing.assert_allclose(d.cdf(d.icdf(np.array([0.1, 0.6]))), [0.1, 0.6], rtol=1e-5)
    spike = dist.MixtureGeneral(MIXING, [dist.Normal(0.0, 1.0), dist.Poisson(1.0)], support=constraints.real)
    np.testing.assert_allclose(spike.log_prob(0.5), np.log(0.3) + st.norm.logpdf(0.5), rtol=1e-6)
    assert not spike.is_discrete
    simplices = [dist.Dirichlet(np.ones(3)), dist.Normal(np.zeros(3)).to_event(1)]
    vectors = dist.MixtureGeneral(MIXING, simplices, support=constraints.real_vector)
    value = np.array([[0.2, 0.3, 0.5], [1.0, 2.0, 3.0]])
    expected = np.log(0.7) + st.norm.logpdf(value).sum(-1)
    expected[0] = np.logaddexp(expected[0], np.log(0.3) + np.log(2))
    np.testing.assert_allclose(vectors.log_prob(value), expected, rtol=1e-5)


def test_quantiles_are_differentiable() -> None:
    d = lambda loc: dist.Mixture(MIXING, dist.Normal(jnp.stack([loc, loc + 2.0]), 1.0))
    np.testing.assert_allclose(d(0.5).cdf(d(0.5).icdf(0.4)), 0.4, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda loc: d(loc).icdf(0.4))(0.5), 1, rtol=1e-4)
    slope = jax.grad(lambda q: d(0.5).icdf(q))(0.4)
    np.testing.assert_allclose(slope, np.exp(-d(0.5).log_prob(d(0.5).icdf(0.4))), rtol=1e-4)


def test_vmapped_mixtures_promote() -> None:
    make = lambda loc: dist.MixtureSameFamily(
        dist.Categorical(jnp.asarray(WEIGHTS)), dist.MultivariateNormal(loc * jnp.ones((2, 3)), jnp.eye(3))
    )
    d = promote_batch_shape(jax.vmap(make)(jnp.arange(4.0)))
    assert (d.batch_shape, d.event_shape) == ((4,), (3,))
    expected = [make(loc).log_prob(np.zeros(3)) for loc in np.arange(4.0)]
    np.testing.assert_allclose(d.log_prob(np.zeros(3)), expected, rtol=1e-5)


def test_mistakes_are_errors() -> None:
    normals = dist.Normal(np.zeros(2), 1.0)
    with pytest.raises(ValueError, match="must be a numpyro.distributions.Categorical"):
        dist.MixtureSameFamily(dist.Bernoulli(0.3), normals)
    with pytest.raises(AssertionError, match="mixture_size=2"):
        dist.MixtureSameFamily(MIXING, dist.Normal(np.zeros(3), 1.0))
    with pytest.raises(ValueError, match="mixture_size=2"):
        dist.MixtureSameFamily(MIXING, dist.Normal(0.0, 1.0))
    with pytest.raises(AssertionError, match="support that does not depend on their parameters"):
        dist.MixtureSameFamily(MIXING, dist.Uniform(np.zeros(2), np.array([1.0, 2.0])))
    with pytest.raises(ValueError, match="must be a list of Distribution"):
        dist.MixtureGeneral(MIXING, normals)
    with pytest.raises(ValueError, match="must be instances of numpyro.distributions.Distribution"):
        dist.MixtureGeneral(MIXING, [1.0, 2.0])
    with pytest.raises(ValueError, match="expected 2, got 1"):
        dist.MixtureGeneral(MIXING, [dist.Normal()])
    with pytest.raises(ValueError, match="same support"):
        dist.MixtureGeneral(MIXING, [dist.Uniform(0.0, 1.0), dist.Uniform(0.0, 2.0)])
    with pytest.raises(ValueError, match="same event shape"):
        vectors = [dist.Normal(np.zeros(k)).to_event(1) for k in (2, 3)]
        dist.MixtureGeneral(MIXING, vectors)
