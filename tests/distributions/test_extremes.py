"""Log densities at the edges of supports and of parameters: right or minus infinity, never not a number.

Inside the support gradients are finite, and at the edges none is not a number, but where a density is infinite or 0.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist

INF = np.inf


def _scipy(family: Any) -> Any:
    """The log density of a family of scipy, as a function of parameters and values."""
    return lambda *arguments: family.logpdf(arguments[-1], *arguments[:-1])


# family, parameters, values, expected: by scipy, or by formulas where scipy fails
CASES = {
    "normal": (dist.Normal, {"loc": 0.0, "scale": [1e-15, 1e-3, 1.0, 1e15]}, [0.0, 1.0, 30.0, 1e18], _scipy(st.norm)),
    "cauchy far in the tail": (
        dist.Cauchy,
        {"loc": 0.0, "scale": [1.0, 1.0, 1e-6]},
        [1e10, -1e38, 1e30],
        lambda loc, scale, x: -np.log(np.pi * scale) - 2 * np.log(np.hypot(1, x / scale)),
    ),
    "half Cauchy far in the tail": (
        dist.HalfCauchy,
        {"scale": [1.0, 1e10, 1e-6]},
        [1e38, 1e-30, 1e30],
        lambda scale, x: np.log(2 / np.pi / scale) - 2 * np.log(np.hypot(1, x / scale)),
    ),
    "half Cauchy at 0": (dist.HalfCauchy, {"scale": 2.0}, [0.0], lambda scale, x: np.log(1 / np.pi) + 0 * x),
    "half normal at 0": (
        dist.HalfNormal,
        {"scale": 2.0},
        [0.0, -1.0],
        lambda scale, x: st.halfnorm.logpdf(x, 0, scale),
    ),
    "Student t of many and of few degrees of freedom": (
        dist.StudentT,
        {"df": [1e-3, 0.5, 1e4, 1e7], "loc": 0.0, "scale": 1.0},
        [1e10, 1e8, 5.0, 5.0],
        _scipy(st.t),
    ),
    "gamma at 0": (
        dist.Gamma,
        {"concentration": [1.0, 1.0, 2.0, 0.5], "rate": [1.0, 3.0, 1.0, 1.0]},
        [0.0, 0.0, 0.0, 0.0],
        lambda a, b, x: [0.0, np.log(3.0), -INF, INF],
    ),
    "gamma of large and small concentration": (
        dist.Gamma,
        {"concentration": [1e6, 1e6, 1e-3, 3.0], "rate": [1.0, 1e-3, 1.0, 1e-20]},
        [1.001e6, 1e9, 1e-30, 1e20],
        lambda a, b, x: st.gamma.logpdf(x, a, 0, 1 / b),
    ),
    "inverse gamma near 0 and far out": (
        dist.InverseGamma,
        {"concentration": [1.0, 2.0, 1e5], "rate": [1.0, 3.0, 1e5]},
        [1e-4, 1e30, 1.001],
        lambda a, b, x: a * np.log(b) - sp.gammaln(a) - (a + 1) * np.log(x) - b / x,
    ),
    "beta at its ends": (
        dist.Beta,
        {"concentration1": [1.0, 1.0, 2.0, 3.0, 2.0], "concentration0": [1.0, 2.0, 1.0, 1.0, 2.0]},
        [0.0, 0.0, 1.0, 1.0, 0.0],
        lambda a, b, x: st.beta.logpdf(x, a, b),
    ),
    "beta of large and small concentrations": (
        dist.Beta,
        {"concentration1": [1e3, 1e-5, 0.5], "concentration0": [1e3, 1e-5, 1e4]},
        [0.5, 0.5, 1e-30],
        lambda a, b, x: st.beta.logpdf(x, a, b),
    ),
    "log normal": (
        dist.LogNormal,
        {"loc": 0.0, "scale": [1.0, 1e-3, 1e3]},
        [1e-30, 1.001, 1e37],
        lambda loc, scale, x: st.norm.logpdf(np.log(x), loc, scale) - np.log(x),
    ),
    "exponential": (
        dist.Exponential,
        {"rate": [1e-30, 1.0, 1e30]},
        [1e30, 0.0, 1e-30],
        lambda rate, x: np.log(rate) - rate * x,
    ),
    "uniform and outside of it": (
        dist.Uniform,
        {"low": 0.0, "high": 2.0},
        [-1.0, 0.0, 2.0, 3.0],
        lambda low, high, x: [-INF, -np.log(2.0), -np.log(2.0), -INF],
    ),
    "logistic": (dist.Logistic, {"loc": 0.0, "scale": 1.0}, [1e30, -1e30, 200.0], _scipy(st.logistic)),
    "Gumbel": (dist.Gumbel, {"loc": 0.0, "scale": 1.0}, [1e30, 200.0, -50.0], _scipy(st.gumbel_r)),
    "Weibull at 0": (
        dist.Weibull,
        {"scale": 2.0, "concentration": [1.0, 2.0]},
        [0.0, 0.0],
        lambda scale, k, x: [-np.log(2.0), -INF],
    ),
    "Pareto": (
        dist.Pareto,
        {"scale": 1.0, "alpha": [2.0, 1e3, 1.0]},
        [1.0, 1.5, 0.5],
        lambda m, a, x: st.pareto.logpdf(x, a, 0, m),
    ),
    "Bernoulli of probability 0 and 1": (
        dist.BernoulliProbs,
        {"probs": [0.0, 0.0, 1.0, 1.0, 1e-30, 1e-30]},
        [0, 1, 0, 1, 0, 1],
        lambda p, x: [0.0, -INF, -INF, 0.0, -1e-30, np.log(1e-30)],
    ),
    "Bernoulli of logits far out": (
        dist.BernoulliLogits,
        {"logits": [1e3, 1e3, -1e3, -1e3, 20.0]},
        [0, 1, 0, 1, 1],
        lambda logits, x: [-1e3, 0.0, 0.0, -1e3, -np.exp(-20.0)],
    ),
    "binomial of probability 0 and 1, of no trials, beyond the trials": (
        dist.BinomialProbs,
        {"probs": [0.0, 0.0, 1.0, 1.0, 0.3, 0.3, 1e-9], "total_count": [0, 5, 5, 5, 0, 10, 1000]},
        [0, 1, 5, 0, 0, 11, 0],
        lambda p, n, x: [0.0, -INF, 0.0, -INF, 0.0, -INF, -1e-6],
    ),
    "binomial of logits far out": (
        dist.BinomialLogits,
        {"logits": [1e3, 1e3, -1e3, 1e3, -50.0], "total_count": [5, 5, 5, 0, 10]},
        [5, 4, 5, 0, 1],
        lambda logits, n, x: [0.0, np.log(5.0) - 1e3, -5e3, 0.0, np.log(10.0) - 50.0],
    ),
    "Poisson of no, small, large, infinite rate": (
        dist.Poisson,
        {"rate": [0.0, 0.0, 1e-30, 1e6, 1e6, 1e20, 5.0]},
        [0, 1, 1, 10**6, 0, 5, 10**6],
        lambda rate, x: st.poisson.logpmf(x, rate),
    ),
    "geometric of probability 0 and 1": (
        dist.GeometricProbs,
        {"probs": [0.0, 1.0, 1.0, 1e-30]},
        [0, 0, 1, 5],
        lambda p, x: [-INF, 0.0, -INF, np.log(1e-30)],
    ),
    "geometric of logits far out": (
        dist.GeometricLogits,
        {"logits": [1e3, 1e3, -1e3]},
        [0, 1, 5],
        lambda logits, x: [0.0, -1e3, -1e3],
    ),
    "gamma Poisson of large concentration and rate": (
        dist.GammaPoisson,
        {"concentration": [1e6, 1.0, 1e2], "rate": [1e6, 1e6, 1e-2]},
        [1, 1, 10**4],
        lambda a, b, x: st.nbinom.logpmf(x, a, b / (b + 1)),
    ),
    "negative binomial of no mean, of Poisson and of far overdispersed limits": (
        dist.NegativeBinomial2,
        {"mean": [0.0, 0.0, 1.0, 1e6, 5.0], "concentration": [1.0, 1.0, 1e4, 1.0, 1e-4]},
        [0, 1, 3, 10**6, 0],
        lambda m, a, x: np.where(m == 0, np.where(x == 0, 0, -INF), st.nbinom.logpmf(x, a, a / (a + m))),
    ),
    "negative binomial of logits far out": (
        dist.NegativeBinomialLogits,
        {"total_count": 1.0, "logits": [1e3, -1e3]},
        [0, 0],
        lambda n, logits, x: [-1e3, 0.0],
    ),
    "von Mises": (
        dist.VonMises,
        {"loc": 0.0, "concentration": [1e-10, 1e5, 1e10]},
        [3.0, 1e-3, 1e-5],
        lambda loc, k, x: -2 * k * np.sin(x / 2) ** 2 - np.log(2 * np.pi * sp.i0e(k)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name, precision):
    family, params, values, reference = CASES[name]
    is_whole = np.issubdtype(np.asarray(values).dtype, np.integer)
    size = len(values)
    values = np.asarray(values) if is_whole else np.asarray(values, precision)
    params = {k: np.broadcast_to(np.asarray(v), size) for k, v in params.items()}
    params = {k: v if np.issubdtype(v.dtype, np.integer) else v.astype(precision) for k, v in params.items()}
    with np.errstate(all="ignore"):
        exact = [np.asarray(v, float) for v in params.values()]
        expected = np.asarray(reference(*exact, np.asarray(values, float)), float)

    @jax.jit
    def compute(params: Any, values: Any) -> Any:
        def total(floating: Any, values: Any) -> Any:
            log_prob = family(**(params | floating)).log_prob(values)
            return jnp.sum(log_prob), log_prob

        floating = {k: v for k, v in params.items() if jnp.issubdtype(v.dtype, jnp.floating)}
        argnums = 0 if is_whole else (0, 1)
        gradients, log_prob = jax.grad(total, argnums, has_aux=True)(floating, values)
        return log_prob, jax.tree_util.tree_leaves(gradients)

    log_prob, gradients = compute(params, values)
    tolerance = 2e-5 if precision == np.float32 else 1e-9
    np.testing.assert_allclose(log_prob, expected, rtol=tolerance, atol=tolerance)
    finite = np.isfinite(expected)
    for gradient in gradients:
        assert np.isfinite(np.asarray(gradient)[finite]).all()


def test_overflowed_poisson_rates_have_no_probability(precision):
    assert dist.Poisson(jnp.inf).log_prob(3) < -1e38


def test_log_prob_of_counts_keeps_digits_in_single_precision():
    """At a count of 1e6 the terms are 1e7; their plain sum would be off by 1."""
    expected = float(st.poisson.logpmf(10**6, 10**6))
    assert abs(float(dist.Poisson(1e6).log_prob(10**6)) - expected) < 1e-4
    assert abs(float(dist.Gamma(1e6, 1.0).log_prob(1e6)) - float(st.gamma.logpdf(1e6, 1e6))) < 1e-4
    assert abs(float(dist.StudentT(1e7).log_prob(0.0)) - float(st.norm.logpdf(0.0))) < 1e-4


@pytest.mark.parametrize("n", [300, 10**4, 10**6])
@pytest.mark.parametrize("probs", [1e-7, 1e-3, 0.3, 0.999])
def test_log_prob_of_many_trials_keeps_digits_in_single_precision(n, probs):
    probs, logits = np.float32(probs), np.float32(np.log(probs) - np.log1p(-probs))
    deviations = np.array([-5, -1, 0, 1, 5, 20]) * np.sqrt(n * probs * (1 - probs))
    k = np.append(np.clip(np.round(n * probs + deviations), 0, n), [0, n]).astype(np.int32)
    members = [(dist.BinomialProbs, probs, float(probs)), (dist.BinomialLogits, logits, sp.expit(float(logits)))]
    for family, parameter, p in members:
        density = jax.value_and_grad(lambda x, k, family=family: family(x, n).log_prob(k))
        value, slope = jax.vmap(density, (None, 0))(parameter, k)
        np.testing.assert_allclose(value, st.binom(n, p).logpmf(k), rtol=3e-5, atol=1e-9)
        slope = slope if family is dist.BinomialProbs else slope / (p * (1 - p))
        np.testing.assert_allclose(slope, k / p - (n - k) / (1 - p), rtol=1e-3, atol=1e-6 * n / (p * (1 - p)))


def test_no_events_of_a_tiny_concentration():
    # (b / (b + 1))^a is close to 1
    d = dist.GammaPoisson(np.float32([1e-8, 1e-30, 2.0]), 3.0)
    np.testing.assert_allclose(d.log_prob(0), -d.concentration * np.log1p(1 / 3), rtol=1e-6)
    slope = jax.grad(lambda a: dist.GammaPoisson(a, 3.0).log_prob(0))(1e-8)
    np.testing.assert_allclose(slope, -np.log1p(1 / 3), rtol=1e-6)


@pytest.mark.parametrize("concentration", [1e-30, 1e-3, 0.7, 1.1, 1e5])
def test_variance_of_gompertz(concentration, precision):
    def mean_of(f):
        return mpmath.quad(lambda t: f(mpmath.log1p(t / concentration)) * mpmath.exp(-t), [0, 1e-9, 1e-4, 1, 5, 40])

    mean = mean_of(lambda x: x)
    expected = float(mean_of(lambda x: (x - mean) ** 2)) / 4  # at rate 2
    variance = dist.Gompertz(precision.type(concentration), precision.type(2.0)).variance
    np.testing.assert_allclose(variance, expected, rtol=1e-5 if precision == "float32" else 1e-9)


@pytest.mark.parametrize("n_values", [3, 40])
def test_categorical_is_normalised_and_knows_its_values(n_values, precision):
    logits = np.linspace(-3, 1000, n_values).astype(precision)
    values = np.arange(-2, n_values + 2)
    inside = (values >= 0) & (values < n_values)
    expected = np.where(inside, (logits - sp.logsumexp(logits))[np.clip(values, 0, n_values - 1)], -INF)
    tolerance = 1e-5 if precision == np.float32 else 1e-12
    for table in (logits, logits + 1e4 * np.ones((1, 1), precision), np.stack([logits, logits])[:, None]):
        for d in (dist.Categorical(logits=table), dist.Categorical(probs=sp.softmax(table, -1))):
            actual = np.asarray(jax.jit(lambda d, x: d.log_prob(x))(d, values))
            actual, wanted = np.broadcast_arrays(actual, expected)
            ok = wanted > -80  # beyond, the probability underflows
            np.testing.assert_allclose(actual[ok], wanted[ok], rtol=tolerance, atol=tolerance)
            assert (actual[~np.broadcast_to(inside, actual.shape)] == -INF).all()


def test_categorical_of_impossible_categories():
    d = dist.Categorical(np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(d.log_prob(np.arange(3)), [-INF, 0, -INF])
    assert d.entropy() == 0
    gradient = jax.grad(lambda p: dist.Categorical(p).log_prob(1))(np.array([0.0, 1.0, 0.0], np.float32))
    np.testing.assert_array_equal(gradient, [0, 1, 0])


def test_dirichlet_at_the_faces():
    d = dist.Dirichlet(np.array([1.0, 1.0, 2.0], np.float32))
    x = np.array([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-0.1, 0.6, 0.5]], np.float32)
    expected = np.array([np.log(3), -INF, np.log(6), -INF])
    np.testing.assert_allclose(jax.jit(d.log_prob)(x), expected, rtol=1e-6)
    gradient = jax.grad(lambda x: dist.Dirichlet(np.array([1.0, 1.0, 2.0])).log_prob(x))(x[0])
    np.testing.assert_allclose(gradient, [0, 0, 2])


def test_multinomial_of_impossible_and_miscounted_values():
    x = np.array([[0, 2, 3], [1, 2, 2], [0, 2, 2], [-1, 3, 3]])
    expected = [float(st.binom.logpmf(2, 5, 0.5)), -INF, -INF, -INF]
    np.testing.assert_allclose(jax.jit(dist.Multinomial(5, np.array([0.0, 0.5, 0.5])).log_prob)(x), expected, rtol=1e-5)
    assert dist.Multinomial(0, np.array([0.3, 0.7])).log_prob(np.zeros(2, int)) == 0


def test_lkj_cholesky_at_the_boundary():
    singular = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    assert np.isfinite(jax.jit(dist.LKJCholesky(2, 1.0).log_prob)(singular))
    assert jax.jit(dist.LKJCholesky(2, 2.0).log_prob)(singular) == -INF


@pytest.mark.parametrize("dimension", [2, 3, 4, 7])
@pytest.mark.parametrize("length", [0.0, 0.5, 3.0, 40.0])
def test_projected_normal_in_every_dimension(x64, dimension, length):
    """Against parabolic cylinder functions, along and against the mode, and across."""
    mode = np.eye(dimension)[0]
    x = np.stack([mode, -mode, np.eye(dimension)[1], np.ones(dimension) / dimension**0.5])
    t = length * x[:, 0]
    k = dimension - 1
    moments = [mpmath.gamma(k + 1) * mpmath.exp(v**2 / 4) * mpmath.pcfd(-k - 1, -v) for v in map(mpmath.mpf, t)]
    expected = [float(mpmath.log(m)) - length**2 / 2 - dimension / 2 * np.log(2 * np.pi) for m in moments]
    log_prob, gradient = jax.vmap(jax.value_and_grad(lambda m, x: dist.ProjectedNormal(m).log_prob(x)), (None, 0))(
        length * mode, x
    )
    np.testing.assert_allclose(log_prob, expected, rtol=1e-10, atol=1e-10)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "d",
    [
        dist.Gamma(np.array([1e-5, 1e-3, 1e6], np.float32)),
        dist.Beta(np.array([1e-4, 1e-4, 1e5], np.float32), np.array([1e-4, 1.0, 1e5], np.float32)),
        dist.Dirichlet(np.full(3, 1e-3, np.float32)),
        dist.InverseGamma(np.array([0.1, 1e6], np.float32)),
        dist.Binomial(np.array([0, 10, 10, 10**6]), np.array([0.5, 0.0, 1.0, 1e-9], np.float32)),
        dist.Poisson(np.array([0.0, 1e-10, 1e6, 1e9], np.float32)),
        dist.NegativeBinomial2(np.array([0.0, 1e-10, 1e6], np.float32), np.array([1.0, 1e-3, 1e-3], np.float32)),
        dist.Geometric(np.array([1.0, 1e-5], np.float32)),
        dist.Categorical(np.array([0.0, 1.0, 0.0], np.float32)),
        dist.LKJCholesky(4, np.float32(100.0)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_draws_have_a_density(d):
    draws = d.sample(jax.random.key(1), (500,))
    assert np.asarray(d.support(np.asarray(draws))).all()
    assert np.isfinite(d.log_prob(draws)).all()
