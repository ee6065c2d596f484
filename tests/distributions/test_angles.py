"""Facts of distributions of angles: normaliser and draws of the sine model for all parameters, cdf of von Mises."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special as sp
import scipy.stats as st

import numpyro.distributions as dist

# both orders of magnitude far apart, one mode and two, and the border between them
CONCENTRATIONS = [
    (2.0, 3.0, 0.5),
    (2.0, 3.0, -5.0),
    (0.1, 0.2, 1.0),
    (1e-3, 1e-3, 0.0),
    (1.0, 1.0, 80.0),
    (50.0, 60.0, 80.0),
    (100.0, 100.0, 100.0),
    (1e4, 1e-3, 1e4),
    (1e-3, 1e4, 300.0),
    (3e4, 2e3, -1e4),
]


def log_normalizer(phi: float, psi: float, correlation: float) -> float:
    """By the trapezoidal rule on the marginal of the first angle; it is periodic, and so converges exponentially."""
    x = np.linspace(-np.pi, np.pi, 100_000, endpoint=False)
    radius = np.hypot(psi, correlation * np.sin(x))
    return sp.logsumexp(phi * np.cos(x) + radius + np.log(sp.ive(0, radius))) + 2 * np.log(2 * np.pi) - np.log(len(x))


@pytest.mark.parametrize("parameters", CONCENTRATIONS)
def test_sine_model_normalizer(parameters: tuple[float, float, float], precision: Any) -> None:
    d = dist.SineBivariateVonMises(0.3, -1.0, *parameters)
    rtol = 1e-6 if precision == "float32" else 1e-13
    np.testing.assert_allclose(d.norm_const, log_normalizer(*parameters), rtol=rtol, atol=rtol)


def test_sine_model_normalizer_is_the_series_where_that_converges() -> None:
    # Singh, Hnizdo and Demchuk (2002), equation 2.4
    phi, psi, correlation = 2.0, 3.0, 1.2
    m = np.arange(60)
    terms = sp.binom(2 * m, m) * (correlation**2 / (4 * phi * psi)) ** m * sp.iv(m, phi) * sp.iv(m, psi)
    d = dist.SineBivariateVonMises(0.0, 0.0, phi, psi, correlation)
    np.testing.assert_allclose(d.norm_const, np.log(4 * np.pi**2 * terms.sum()), rtol=1e-6)


@pytest.mark.parametrize("parameters", CONCENTRATIONS)
def test_sine_model_gradients(parameters: tuple[float, float, float], x64: None) -> None:
    def log_prob(parameters: Any) -> Any:
        return dist.SineBivariateVonMises(0.3, -1.0, *parameters).log_prob(jnp.array([0.5, -1.2]))

    slopes = jax.jit(jax.grad(log_prob))(parameters)
    for i, slope in enumerate(slopes):
        step = 1e-5 * max(abs(parameters[i]), 1e-2)
        up, down = ([p + sign * step * (j == i) for j, p in enumerate(parameters)] for sign in (1, -1))
        np.testing.assert_allclose(slope, (log_prob(up) - log_prob(down)) / (2 * step), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_sine_model_draws() -> None:
    """Each pair of angles through the distribution function of its marginal, in fixed draws; p-values above 1e-4."""
    parameters = np.array(CONCENTRATIONS)
    d = dist.SineBivariateVonMises(0.0, 0.0, *parameters.T.astype(np.float32))
    draws = np.asarray(jax.jit(lambda key: d.sample(key, (3000,)))(jax.random.key(3)), float)
    assert (np.abs(draws) <= np.pi + 1e-6).all()
    for i, (phi, psi, correlation) in enumerate(CONCENTRATIONS):
        for axis, (own, other) in enumerate([(phi, psi), (psi, phi)]):
            size = np.max(np.abs(draws[:, i, axis])) * 1.2
            x = np.linspace(-min(size, np.pi), min(size, np.pi), 20_001)
            radius = np.hypot(other, correlation * np.sin(x))
            log_density = own * (np.cos(x) - 1) + radius + np.log(sp.ive(0, radius))
            cdf = scipy.integrate.cumulative_trapezoid(np.exp(log_density - log_density.max()), x, initial=0)
            assert st.kstest(np.interp(draws[:, i, axis], x, cdf / cdf[-1]), "uniform").pvalue > 1e-4
        sines = np.sin(draws[:, i]).prod(-1)
        error = np.std(sines) / np.sqrt(len(sines))
        assert abs(np.mean(sines) - d._derivatives()[2][i]) < 5 * error


@pytest.mark.slow
def test_sine_model_modes() -> None:
    d = dist.SineBivariateVonMises(0.3, -1.0, *np.array(CONCENTRATIONS).T.astype(np.float32))
    draws = d.sample(jax.random.key(0), (500,))
    highest, at_mode = d.log_prob(draws).max(0), d.log_prob(d.mode)
    assert (at_mode > highest - 1e-3 * np.abs(highest) - 1e-4).all()


def test_sine_model_takes_a_relative_correlation() -> None:
    d = dist.SineBivariateVonMises(0.1, 0.2, 2.0, 3.0, weighted_correlation=0.5)
    np.testing.assert_allclose(d.correlation, 0.5 * np.sqrt(6), rtol=1e-6)
    assert dist.SineBivariateVonMises.infer_shapes((), (2,), (3, 1), (), weighted_correlation=()) == ((3, 2), (2,))
    for given in ({}, {"correlation": 1.0, "weighted_correlation": 0.5}):
        with pytest.raises(ValueError, match="Exactly one of"):
            dist.SineBivariateVonMises(0.1, 0.2, 2.0, 3.0, **given)


def test_draws_end_where_parameters_are_no_numbers() -> None:
    key = jax.random.key(0)
    assert jnp.isnan(dist.VonMises(0.0, jnp.nan, validate_args=False).sample(key))
    d = dist.SineBivariateVonMises(0.0, 0.0, jnp.nan, 1.0, 0.5, validate_args=False)
    assert jnp.isnan(d.sample(key)).all()


@pytest.mark.parametrize(
    "base",
    [
        dist.VonMises(np.array([0.5, -2.0]), np.array([0.5, 3.0])).to_event(1),
        dist.SineBivariateVonMises(0.5, -2.0, 1.5, 0.8, 2.0),
        dist.Uniform(-np.pi, np.pi).expand((2,)).to_event(1),
    ],
)
def test_skewed_densities_integrate_to_one(base: Any) -> None:
    d = dist.SineSkewed(base, np.array([0.6, -0.4], np.float32))
    grid = np.linspace(-np.pi, np.pi, 100, endpoint=False, dtype=np.float32)
    pairs = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1)
    np.testing.assert_allclose(np.mean(np.exp(d.log_prob(pairs))) * 4 * np.pi**2, 1, rtol=1e-4)
    draws = np.asarray(d.sample(jax.random.key(0), (4000,)))
    terms = 0.6 * np.sin(draws[:, 0] - d.mean[0]) - 0.4 * np.sin(draws[:, 1] - d.mean[1])
    mirrored = np.asarray(base.sample(jax.random.key(1), (4000,)))
    expected = 0.6 * np.sin(mirrored[:, 0] - d.mean[0]) - 0.4 * np.sin(mirrored[:, 1] - d.mean[1])
    # E[tilt] under the skewed distribution is E[tilt^2] under the base
    error = np.sqrt((np.var(terms) + np.var(expected**2)) / 4000)
    assert abs(np.mean(terms) - np.mean(expected**2)) < 4.5 * error


def test_skewness_of_a_wrong_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"to_event\(1\)"):
        dist.SineSkewed(dist.VonMises(0.0, 1.0), np.array([0.2]))
    with pytest.raises(ValueError, match="skewness"):
        dist.SineSkewed(dist.VonMises(np.zeros(2), 1.0).to_event(1), np.array([0.9, 0.2]))


def test_skewness_of_full_size_has_a_density_of_zero() -> None:
    d = dist.SineSkewed(dist.VonMises(np.zeros(1), 1.0).to_event(1), np.ones(1))
    assert d.log_prob(np.array([-np.pi / 2], np.float32)) < -15


@pytest.mark.parametrize("concentration", [1e-3, 0.7, 30.0, 1e5])
@pytest.mark.parametrize("loc", [0.0, 0.4, -3.0, 7.0])
def test_von_mises_cdf(loc: float, concentration: float, x64: None) -> None:
    d = dist.VonMises(loc, concentration)
    x = np.linspace(-np.pi, np.pi, 400_001)
    density = np.exp(concentration * (np.cos(x - loc) - 1)) / (2 * np.pi * sp.ive(0, concentration))
    expected = scipy.integrate.cumulative_simpson(density, x=x, initial=0)
    np.testing.assert_allclose(d.cdf(x[::1000]), expected[::1000], atol=1e-9)
    q = np.array([0.0, 1e-6, 0.2, 0.5, 0.9, 1.0])
    value = d.icdf(q)
    np.testing.assert_allclose(d.cdf(value), q, atol=1e-12)
    assert np.isnan(d.icdf(np.array([-0.1, 1.1]))).all()
    assert d.cdf(-4.0) == 0 and d.cdf(4.0) == 1


def test_von_mises_quantiles_have_derivatives(x64: None) -> None:
    def quantile(loc: float, concentration: float, q: float) -> Any:
        return dist.VonMises(loc, concentration).icdf(q)

    at = (0.4, 2.0, 0.7)
    for i, slope in enumerate(jax.grad(quantile, (0, 1, 2))(*at)):
        up, down = ([p + sign * 1e-5 * (j == i) for j, p in enumerate(at)] for sign in (1, -1))
        np.testing.assert_allclose(slope, (quantile(*up) - quantile(*down)) / 2e-5, rtol=1e-6)
