"""Facts of ordered categories, inflated zeros and compounds of counts: tails, edges, limits, gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro.distributions as dist

KEY = jax.random.key(0)

# Ordered categories


def test_ordered_logistic_far_in_the_tails() -> None:
    cutpoints = np.array([0.0, 100.0, 1000.0], np.float32)
    k = np.arange(4)
    np.testing.assert_allclose(dist.OrderedLogistic(-1000.0, cutpoints).log_prob(k), [0, -1000, -1100, -2000])
    log2 = np.log(2)
    np.testing.assert_allclose(dist.OrderedLogistic(1000.0, cutpoints).log_prob(k), [-1000, -900, -log2, -log2])
    slopes = jax.grad(lambda *p: dist.OrderedLogistic(*p).log_prob(1), (0, 1))(1000.0, cutpoints)
    np.testing.assert_allclose(slopes[0], -1)
    np.testing.assert_allclose(slopes[1], [0, 1, 0], atol=1e-6)


def test_ordered_logistic_keeps_narrow_categories(precision: Any) -> None:
    # the difference of two probabilities next to 1 would have no digits
    d = dist.OrderedLogistic(precision.type(-20.0), np.array([0.0, 1e-3], precision))
    expected = -20 + np.log(1e-3) - 1e-3 / 2
    np.testing.assert_allclose(d.log_prob(1), expected, rtol=1e-6)
    np.testing.assert_allclose(d.logits[1], expected, rtol=1e-6)


def test_ordered_logistic_shapes() -> None:
    d = dist.OrderedLogistic(np.zeros((3, 1)), np.array([0.0, 1.0, 2.0]))
    assert d.batch_shape == (3, 1)
    assert d.probs.shape == d.logits.shape == (3, 1, 4)
    assert d.entropy().shape == d.mean.shape == (3, 1)
    assert d.support == dist.constraints.integer_interval(0, 3)
    assert jax.tree_util.tree_leaves(d)[1].shape == (1, 1, 3)
    assert dist.OrderedLogistic(np.zeros(3), 0.2).probs.shape == (3, 2)
    np.testing.assert_allclose(dist.OrderedLogistic(0.3, 0.2).probs, [0.4750208, 0.5249792], rtol=1e-6)
    with pytest.raises(ValueError, match="cutpoints"):
        dist.OrderedLogistic(0.3, np.array([1.0, 0.0]))


# Inflated zeros


@pytest.mark.parametrize("gate", [0.0, 1.0])
@pytest.mark.parametrize("rate", [2.0, 200.0])
def test_gradients_at_zero_where_the_gate_is_at_its_edges(gate: float, rate: float) -> None:
    def log_prob(gate: float, rate: float) -> Any:
        return dist.ZeroInflatedPoisson(gate, rate).log_prob(0)

    value, slopes = jax.value_and_grad(log_prob, (0, 1))(gate, rate)
    zero = np.exp(-rate)
    np.testing.assert_allclose(value, -rate if gate == 0 else 0, atol=1e-6)
    np.testing.assert_allclose(slopes[1], -1 if gate == 0 else 0, atol=1e-6)
    if rate < 50 or gate == 1:  # else it is too large to be represented
        np.testing.assert_allclose(slopes[0], (1 - zero) / (gate + (1 - gate) * zero), rtol=1e-5)
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("logits", [-1000.0, 1000.0])
def test_logits_of_any_size(logits: float) -> None:
    d = dist.ZeroInflatedDistribution(dist.Poisson(2.0), gate_logits=logits)
    expected = [-2.0, np.log(2) - 2] if logits < 0 else [0.0, np.log(2) - 1002]
    np.testing.assert_allclose(d.log_prob(np.array([0, 1])), expected, rtol=1e-5)
    slopes = jax.grad(lambda x: dist.ZeroInflatedDistribution(dist.Poisson(2.0), gate_logits=x).log_prob(0))(logits)
    np.testing.assert_allclose(slopes, 0, atol=1e-6)


def test_zero_inflation_agrees_whether_by_gate_or_by_logits() -> None:
    base, logits, k = dist.Binomial(5, 0.3), np.array([-1.0, 0.5], np.float32), np.arange(6)[:, None]
    by_logits = dist.ZeroInflatedDistribution(base, gate_logits=logits)
    by_gate = dist.ZeroInflatedDistribution(base, gate=by_logits.gate)
    np.testing.assert_allclose(by_logits.log_prob(k), by_gate.log_prob(k), rtol=1e-5)
    np.testing.assert_allclose(by_logits.variance, by_gate.variance, rtol=1e-5)
    np.testing.assert_array_equal(by_logits.enumerate_support(), np.broadcast_to(k, (6, 2)))
    # what has been computed from the parameters is none of them
    assert jax.tree_util.tree_structure(by_logits) == jax.tree_util.tree_structure(
        dist.ZeroInflatedDistribution(base, gate_logits=logits)
    )


def test_zero_inflation_of_what_cannot_be_is_an_error() -> None:
    with pytest.raises(ValueError, match="Exactly one of"):
        dist.ZeroInflatedDistribution(dist.Poisson(1.0))
    with pytest.raises(ValueError, match="single discrete numbers, but got Normal"):
        dist.ZeroInflatedDistribution(dist.Normal(), gate=0.1)
    with pytest.raises(ValueError, match="event shape"):
        dist.ZeroInflatedDistribution(dist.Multinomial(2, np.array([0.3, 0.7])), gate=0.1)
    with pytest.raises(ValueError, match="ZeroInflatedPoisson distribution got invalid gate"):
        dist.ZeroInflatedPoisson(1.5, 1.0)


def test_negative_binomials_with_other_zeros() -> None:
    plain, k = dist.NegativeBinomial2(2.0, 3.0), np.arange(5)
    zero = np.exp(plain.log_prob(0))
    inflated = np.where(k == 0, 0.3, 0) + 0.7 * np.exp(plain.log_prob(k))
    for gate in ({"gate": 0.3}, {"gate_logits": np.log(0.3 / 0.7)}):
        d = dist.ZeroInflatedNegativeBinomial2(2.0, 3.0, **gate)
        np.testing.assert_allclose(np.exp(d.log_prob(k)), inflated, rtol=1e-5)
    hurdle = np.where(k == 0, 0.3, 0.7 * np.exp(plain.log_prob(k)) / (1 - zero))
    d = dist.HurdleNegativeBinomial2(0.3, 2.0, 3.0)
    np.testing.assert_allclose(np.exp(d.log_prob(k)), hurdle, rtol=1e-5)
    np.testing.assert_allclose(d.mean, 0.7 * 2 / (1 - zero), rtol=1e-5)
    draws = np.asarray(jax.jit(lambda key: d.sample(key, (4000,)))(KEY))
    assert abs(np.mean(draws == 0) - 0.3) < 4 * np.sqrt(0.21 / 4000)


# Compounds


def test_beta_binomial_limits() -> None:
    k = np.arange(11)
    # large concentrations: binomial; small ones: all or nothing
    np.testing.assert_allclose(
        dist.BetaBinomial(1e8, 2e8, 10).log_prob(k), st.binom(10, 1 / 3).logpmf(k), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(dist.BetaBinomial(1.0, 1.0, 10).log_prob(k), -np.log(11), rtol=1e-5)
    d = dist.BetaBinomial(1e-10, 2e-10, 10)
    np.testing.assert_allclose(np.exp(d.log_prob(np.array([0, 10]))), [2 / 3, 1 / 3], rtol=1e-4)
    draws = np.asarray(d.sample(KEY, (2000,)))
    assert np.isin(draws, [0, 10]).all()
    assert abs(np.mean(draws == 10) - 1 / 3) < 4 * np.sqrt(2 / 9 / 2000)
    assert dist.BetaBinomial(2.0, 3.0, 0).log_prob(0) == pytest.approx(0, abs=1e-6)
    assert dist.BetaBinomial(2.0, 3.0, 0).sample(KEY) == 0


def test_beta_binomial_of_many_trials() -> None:
    n = 10**6
    d, r = dist.BetaBinomial(2.0, 5.0, n), st.betabinom(n, 2, 5)
    k = np.array([0, 1000, 300_000, n])
    np.testing.assert_allclose(d.log_prob(k), r.logpmf(k), rtol=2e-5)
    np.testing.assert_allclose(d.cdf(np.array([-1, 5000, n, n + 1])), [0, r.cdf(5000), 1, 1], rtol=1e-3)


def test_beta_negative_binomial_limits() -> None:
    k = np.arange(20)
    # large concentrations: negative binomial
    np.testing.assert_allclose(
        dist.BetaNegativeBinomial(2e7, 3e7, 4.0).log_prob(k), st.nbinom(4, 0.6).logpmf(k), rtol=1e-4, atol=1e-4
    )
    d = dist.BetaNegativeBinomial(2.0, 0.5, 7.0)
    assert d.mean == np.inf and d.variance == np.inf
    assert d.cdf(np.inf) == 1
    # heavy tails: draws are counts, even where they are cut to the largest integers
    assert (np.asarray(dist.BetaNegativeBinomial(2.0, 0.01, 7.0).sample(KEY, (1000,))) >= 0).all()


def test_dirichlet_multinomial_of_two_cells_is_beta_binomial() -> None:
    d = dist.DirichletMultinomial(np.array([[0.7, 2.0], [1e6, 3e6]], np.float32), np.array([5, 9]))
    k = np.arange(6)[:, None]
    pairs = np.stack(np.broadcast_arrays(k, np.array([5, 9]) - k), -1)
    expected = dist.BetaBinomial(np.array([0.7, 1e6]), np.array([2.0, 3e6]), np.array([5, 9])).log_prob(k)
    np.testing.assert_allclose(d.log_prob(pairs), expected, rtol=1e-5, atol=1e-6)
    with pytest.warns(UserWarning, match="Out-of-support"):
        assert (d.log_prob(np.array([1, 1])) == -np.inf).all()
    draws = d.sample(KEY, (3,))
    np.testing.assert_array_equal(draws.sum(-1), np.broadcast_to([5, 9], (3, 2)))
    assert dist.DirichletMultinomial.infer_shapes((2, 3), (4, 1)) == ((4, 2), (3,))
    with pytest.raises(ValueError, match="at least one-dimensional"):
        dist.DirichletMultinomial(1.0, 3)


def test_total_counts_under_jit_need_a_bound_or_none() -> None:
    @jax.jit
    def draw(total_count: Any) -> Any:
        return dist.DirichletMultinomial(jnp.ones(3), total_count, total_count_max=10).sample(KEY, (5,))

    np.testing.assert_array_equal(draw(7).sum(-1), 7)


# Draws


@pytest.mark.parametrize("n", [0, 1, 10, 10**9, 2**31 - 1])
@pytest.mark.parametrize("p", [0.0, 1e-30, 1e-9, 0.3, 0.5, 1 - 1e-6, 1.0, np.nan])
def test_binomial_sampling_terminates(n: int, p: float) -> None:
    d = dist.Binomial(n, np.float32(p), validate_args=False)
    draws = np.asarray(d.sample(KEY, (200,)), float)
    assert ((draws >= 0) & (draws <= n)).all()
    if np.isfinite(p):
        mean, error = n * np.float64(np.float32(p)), np.sqrt(n * p * (1 - p) / 200)
        assert abs(draws.mean() - mean) <= 5 * error + 1e-6 * n


def test_binomial_sampling_terminates_when_mapped() -> None:
    n = np.array([0, 1, 7, 10**9, 2**31 - 1])
    p = np.float32([0.0, 1e-30, 0.3, 1.0, np.nan, -0.5, 1.5, np.inf])
    draw = jax.vmap(jax.vmap(lambda n, p, key: dist.Binomial(n, p).sample(key, (3,)), (None, 0, 0)), (0, None, 0))
    draws = np.asarray(jax.jit(draw)(n, p, jax.random.split(KEY, (len(n), len(p)))), float)
    assert ((draws >= 0) & (draws <= n[:, None, None])).all()
    assert (draws[:, 0] == 0).all()
    np.testing.assert_allclose(draws[:, 3], np.broadcast_to(n[:, None], (len(n), 3)), rtol=1e-6)


def test_enumeration_of_a_discrete_uniform_with_a_batch() -> None:
    d = dist.DiscreteUniform(np.array([[0], [5]]), np.array([[2], [7]])).expand((2, 3))
    values = d.enumerate_support()
    assert values.shape == (3, 2, 3)
    np.testing.assert_array_equal(values[:, 0, 1], [0, 1, 2])
    np.testing.assert_array_equal(values[:, 1, 2], [5, 6, 7])
    np.testing.assert_allclose(np.exp(d.log_prob(values)).sum(0), 1, rtol=1e-6)
    assert dist.DiscreteUniform(0, np.array([2, 2])).enumerate_support(expand=False).shape == (3, 1)
    with pytest.raises(NotImplementedError, match="Inhomogeneous"):
        dist.DiscreteUniform(0, np.array([2, 3])).enumerate_support()
