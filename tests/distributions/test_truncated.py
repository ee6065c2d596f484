"""Truncation far in the tails, in narrow intervals, and of all families: against mpmath and scipy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st

import numpyro.distributions as dist
from tests.helpers.distributions import precision

INF = np.inf
FAMILIES = {
    "normal": (dist.Normal(0.0, 1.0), st.norm),
    "cauchy": (dist.Cauchy(0.0, 1.0), st.cauchy),
    "laplace": (dist.Laplace(0.0, 1.0), st.laplace),
    "logistic": (dist.Logistic(0.0, 1.0), st.logistic),
    "soft_laplace": (dist.SoftLaplace(0.0, 2 / np.pi), st.hypsecant(0, 2 / np.pi)),
    "student_t": (dist.StudentT(3.5, 0.0, 1.0), st.t(3.5)),
}
family = pytest.mark.parametrize("name", FAMILIES)


def normal_mass(a: float, b: float) -> Any:
    """Of the standard normal distribution, to fifty digits relative to the smaller tail."""
    a, b = mp.mpf(a), mp.mpf(b)
    return mp.ncdf(b) - mp.ncdf(a) if a < 0 else mp.ncdf(-a) - mp.ncdf(-b)


@pytest.mark.parametrize(
    ("low", "high"),
    [(30.0, INF), (30.0, 31.0), (-31.0, -30.0), (-INF, -30.0), (1000.0, INF), (1e6, INF), (-5.0, INF), (-10.0, 20.0)]
    + [(1.0, 1.0 + 2**-10), (0.0, 2.0**-10), (-(2.0**-10), 0.5), (30.0, 30.0 + 2**-10)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_tails_and_narrow_intervals(low: float, high: float, dtype: str) -> None:
    with precision(dtype), mp.workdps(60):
        tolerance = 2e-6 if dtype == "float32" else 1e-12
        d = dist.TwoSidedTruncatedDistribution(dist.Normal(0.0, 1.0), low, high)
        start, end = max(low, -40.0), min(high, max(low, 0) + 40 / (1 + max(low, 0)))
        if np.isinf(low):
            start = high - 40 / (1 + abs(high))
        x = np.linspace(start, end, 5).astype(dtype)
        total = mp.log(normal_mass(low, high)) if low != 1e6 else mp.log(mp.npdf(low) / low * (1 - mp.mpf(low) ** -2))
        expected = np.array([float(mp.log(mp.npdf(float(v))) - total) for v in x])
        np.testing.assert_allclose(d.log_prob(x), expected, rtol=tolerance, atol=tolerance)
        draws = np.asarray(d.sample(jax.random.key(0), (1000,)))
        assert draws.dtype == dtype
        assert (draws >= low).all() and (draws <= high).all() and np.isfinite(d.log_prob(draws)).all()
        assert start <= float(d.mean) <= end
        assert float(d.variance) >= 0


def test_draws_thirty_deviations_away_follow_the_tail() -> None:
    d = dist.TruncatedNormal(0.0, 1.0, low=30.0)
    draws = np.asarray(d.sample(jax.random.key(1), (4000,)), float)
    excess = lambda x: 1 - np.exp(-(x - 30) * (x + 30) / 2) * 30 / x * (1 - x**-2.0) / (1 - 30**-2.0)
    assert st.kstest(draws, excess).pvalue > 1e-4
    gradient = jax.grad(lambda loc: dist.TruncatedNormal(loc, 1.0, low=30.0).log_prob(30.1))(0.0)
    hazard = float(mp.npdf(30) / mp.ncdf(-30))
    np.testing.assert_allclose(gradient, 30.1 - hazard, rtol=1e-4)


def test_bounds_beyond_every_precision() -> None:
    d = dist.TruncatedNormal(0.0, 1.0, low=np.array([1e10, 3e18], "float32"))
    draws = d.sample(jax.random.key(0), (100,))
    np.testing.assert_array_equal(draws, np.broadcast_to(d.low, (100, 2)))
    assert np.isfinite(d.log_prob(d.low)).all()
    assert not np.isnan(d.log_prob(2 * d.low)).any()


@pytest.mark.slow
@family
@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.5, 0.7), (-3.0, -0.5), (2.0, 8.0), (-0.3, INF), (-INF, 1.5)])
def test_families_against_scipy(name: str, low: float, high: float) -> None:
    base, r = FAMILIES[name]
    with precision("float64"):
        d = dist.TwoSidedTruncatedDistribution(base, low, high)
        mass = r.cdf(high) - r.cdf(low)
        q = np.array([1e-5, 0.1, 0.5, 0.77, 0.999])
        x = r.ppf(r.cdf(low) + q * mass)
        np.testing.assert_allclose(d.log_prob(x), r.logpdf(x) - np.log(mass), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(d.cdf(x), q, rtol=1e-9)
        np.testing.assert_allclose(d.icdf(q), x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(d.cdf(np.array([low, high])), [0, 1], atol=1e-15)
        np.testing.assert_allclose(d.icdf(np.array([0.0, 1.0])), [low, high])
        if name == "cauchy" and np.isinf(high - low):
            np.testing.assert_array_equal([d.mean, d.variance], [INF if np.isinf(high) else -INF, INF])
            return

        def expect(f: Any) -> float:
            split = 0.0 if low < 0 < high else None
            far = INF if name == "student_t" else 80.0
            ends = max(low, -far), min(high, far)
            pieces = [ends] if split is None else [(ends[0], split), (split, ends[1])]
            return sum(scipy.integrate.quad(lambda x: f(x) * r.pdf(x) / mass, *p, epsabs=1e-12)[0] for p in pieces)

        mean = expect(lambda x: x)
        np.testing.assert_allclose(d.mean, mean, rtol=1e-8)
        np.testing.assert_allclose(d.variance, expect(lambda x: (x - mean) ** 2), rtol=1e-7)
        np.testing.assert_allclose(d.entropy(), expect(lambda x: np.log(mass) - r.logpdf(x)), rtol=1e-8, atol=1e-9)


@pytest.mark.slow
@family
def test_derivatives_against_differences(name: str) -> None:
    base, _ = FAMILIES[name]
    with precision("float64"):

        def functions(parameters: Any) -> Any:
            loc, scale, low, high, df = parameters
            shifted = dist.StudentT(df, loc, scale) if name == "student_t" else type(base)(loc, scale)
            d = dist.TwoSidedTruncatedDistribution(shifted, low, high)
            values = [d.log_prob(0.8), d.cdf(0.8), d.icdf(0.3)]
            # slow to compile for Student's t, and no other derivatives than those of quantiles
            return jnp.stack(values if name == "student_t" else [*values, d.mean, d.variance, d.icdf(1 - 1e-7)])

        compiled = jax.jit(lambda p: (functions(p), jax.jacfwd(functions)(p)))
        for parameters in ([0.1, 1.3, -0.4, 2.0, 3.5], [0.1, 0.7, 0.5, 1.1, 3.5]):
            p = np.array(parameters)
            _, jacobian = compiled(p)
            differences = [(compiled(p + e)[0] - compiled(p - e)[0]) / 2e-5 for e in 1e-5 * np.eye(5)]
            np.testing.assert_allclose(jacobian.T, differences, rtol=2e-6, atol=2e-7)


def test_infinite_bounds_have_no_derivative() -> None:
    def log_prob(bounds: Any, scale: Any) -> Any:
        return dist.TwoSidedTruncatedDistribution(dist.Normal(0.0, scale), bounds[0], bounds[1]).log_prob(0.5)

    gradient, by_scale = jax.grad(log_prob, (0, 1))(jnp.array([-INF, INF]), 1.5)
    np.testing.assert_array_equal(gradient, [0, 0])
    np.testing.assert_allclose(by_scale, jax.grad(lambda s: dist.Normal(0.0, s).log_prob(0.5))(1.5), rtol=1e-6)
    second = jax.hessian(log_prob, 0)(jnp.array([-0.3, INF]), 1.5)
    assert np.isfinite(second).all()
    assert second[0, 0] != 0


@pytest.mark.parametrize("concentration", [0.3, 3.5, 200.0])
def test_gamma_tails(concentration: float) -> None:
    with precision("float64"), mp.workdps(60):
        deviation = np.sqrt(concentration)
        for low, high in [(concentration + 30 * deviation + 10, INF), (0.0, concentration / 20)]:
            d = dist.TwoSidedTruncatedGamma(dist.Gamma(concentration, 1.0), low, high)
            at = np.array([low + 1e-3 if low else high / 2, low + 1.0 if low else high])
            a = mp.mpf(concentration)
            mass = mp.gammainc(a, low, mp.inf) if low else mp.gammainc(a, 0, high)
            expected = [float((a - 1) * mp.log(x) - x - mp.log(mass)) for x in map(float, at)]
            np.testing.assert_allclose(d.log_prob(at), expected, rtol=1e-11)
            q = np.array([0.01, 0.5, 0.99])
            np.testing.assert_allclose(d.cdf(d.icdf(q)), q, rtol=1e-9)
            draws = np.asarray(d.sample(jax.random.key(0), (100,)))
            assert (draws >= low).all() and (draws <= high).all()


def test_right_truncated_gamma_at_zero() -> None:
    d = dist.TruncatedGamma(np.array([1.0, 0.5, 2.0]), 1.0, high=2.0)
    np.testing.assert_allclose(d.log_prob(0.0), [-np.log1p(-np.exp(-2.0)), INF, -INF], rtol=1e-6)


@pytest.mark.parametrize("alpha", [-300.0, -3.0, -1 - 1e-9, -1.0, -1 + 1e-5, 0.0, 2.5, 300.0])
def test_power_law_of_any_exponent(alpha: float) -> None:
    low, high = 0.5, 3.0

    def integral(k: int) -> Any:
        b = mp.mpf(alpha) + k + 1
        return mp.log(mp.mpf(high) / low) if b == 0 else (mp.mpf(high) ** b - mp.mpf(low) ** b) / b

    with precision("float64"), mp.workdps(40):
        d = dist.DoublyTruncatedPowerLaw(alpha, low, high)
        x = np.array([0.5, 0.7, 2.0, 3.0])
        expected = [float(alpha * mp.log(v) - mp.log(integral(0))) for v in x]
        np.testing.assert_allclose(d.log_prob(x), expected, rtol=1e-11, atol=1e-11)
        q = np.array([0.0, 1e-3, 0.4, 0.9, 1.0])
        np.testing.assert_allclose(d.cdf(d.icdf(q)), q, rtol=1e-9, atol=1e-13)
        mean = integral(1) / integral(0)
        np.testing.assert_allclose(d.mean, float(mean), rtol=1e-11)
        np.testing.assert_allclose(d.variance, float(integral(2) / integral(0) - mean**2), rtol=1e-8)


def test_power_law_from_zero() -> None:
    with precision("float64"):
        alpha, high = np.array([1.0, -0.5, 0.0]), np.array([1.0, 2.0, 3.0])
        d, beta = dist.DoublyTruncatedPowerLaw(alpha, 0.0, high), alpha + 1
        np.testing.assert_allclose(np.exp(d.log_prob(0.5)), beta * 0.5**alpha / high**beta)
        np.testing.assert_allclose(d.log_prob(0.0), [-INF, INF, -np.log(3)])
        np.testing.assert_allclose(d.cdf(0.6), (0.6 / high) ** beta)
        np.testing.assert_allclose(d.icdf(d.cdf(0.6)), 0.6)
        np.testing.assert_array_equal([d.icdf(0.0), d.icdf(1.0)], [np.zeros(3), high])
        np.testing.assert_allclose(d.mean, high * beta / (beta + 1))
        np.testing.assert_allclose(d.variance, high**2 * beta / (beta + 2) - (high * beta / (beta + 1)) ** 2)
        np.testing.assert_allclose(d.entropy(), np.log(high / beta) + alpha / beta)
        slope = jax.grad(lambda a: dist.DoublyTruncatedPowerLaw(a, 0.0, 1.0).log_prob(0.5))(1.0)
        np.testing.assert_allclose(slope, np.log(0.5) + 0.5)
    with pytest.raises(ValueError, match="finite integral for alpha > -1 only"):
        dist.DoublyTruncatedPowerLaw(-1.0, 0.0, 1.0)


def test_power_law_is_smooth_where_it_is_log_uniform() -> None:
    with precision("float64"):
        gradient = jax.grad(lambda a: dist.DoublyTruncatedPowerLaw(a, 0.5, 3.0).log_prob(2.0))
        sides = [gradient(-1 - 1e-7), gradient(-1.0), gradient(-1 + 1e-7)]
        np.testing.assert_allclose(sides, np.log(2.0) - np.log(1.5) / 2, rtol=1e-6)


def test_polya_gamma_tails() -> None:
    with precision("float64"):
        d = dist.TruncatedPolyaGamma()
        q = np.array([1e-300, 1e-12, 1e-3, 0.2999, 0.3001, 0.5, 0.9, 1 - 1e-9])
        x = d.icdf(q)
        np.testing.assert_allclose(d.cdf(x), q, rtol=1e-12)
        assert (np.diff(x) > 0).all()
        np.testing.assert_allclose(d.log_prob(0.1599999999), d.log_prob(0.1600000001), rtol=1e-7)
        assert d.log_prob(2.5) > -INF
        np.testing.assert_array_equal(d.icdf(np.array([0.0, 1.0])), [0, 2.5])
        gradient = jax.vmap(jax.grad(d.log_prob))(np.array([1e-5, 0.1, 0.16, 2.5]))
        assert np.isfinite(gradient).all()


def test_factories_make_what_the_bounds_call_for() -> None:
    made = [type(dist.TruncatedNormal(0.0, 1.0, low=low, high=high)) for low, high in _SIDES]
    assert made == [
        dist.Normal,
        dist.LeftTruncatedDistribution,
        dist.RightTruncatedDistribution,
        dist.TwoSidedTruncatedDistribution,
    ]
    made = [type(dist.TruncatedGamma(1.0, 1.0, low=low, high=high)) for low, high in _SIDES]
    assert made == [dist.Gamma, dist.LeftTruncatedGamma, dist.RightTruncatedGamma, dist.TwoSidedTruncatedGamma]
    assert isinstance(dist.TruncatedCauchy(low=0.0), dist.LeftTruncatedDistribution)


_SIDES = [(None, None), (0.5, None), (None, 2.0), (0.5, 2.0)]


def test_mistakes_are_errors() -> None:
    for base in (dist.Gumbel(0.0, 1.0), dist.Normal(0.0, 1.0).expand((2,)), dist.Gamma(1.0)):
        with pytest.raises(AssertionError, match="is not supported by LeftTruncatedDistribution"):
            dist.LeftTruncatedDistribution(base)
    with pytest.raises(AssertionError, match="is not supported by LeftTruncatedGamma"):
        dist.LeftTruncatedGamma(dist.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match="expected low < high"):
        dist.TruncatedNormal(0.0, 1.0, low=2.0, high=1.0)
    with pytest.raises(ValueError, match="expected low < high"):
        dist.DoublyTruncatedPowerLaw(2.0, 3.0, 1.0)
