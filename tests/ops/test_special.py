"""Special functions: against scipy and mpmath, at the edges, and their derivatives against numerical ones."""

from __future__ import annotations

import itertools
import math

import jax
import mpmath
import numpy as np
import pytest
import scipy.special as sp

from numpyro.ops import special

inf, nan = math.inf, math.nan


def test_log1mexp_is_exact_on_both_sides(precision: np.dtype) -> None:
    x = np.array([-1e-30, -1e-6, -0.1, -0.693, -0.694, -3, -50, -80], precision)
    expected = [float(mpmath.log(1 - mpmath.exp(mpmath.mpf(float(v))))) for v in x] if _digits() else []
    np.testing.assert_allclose(special.log1mexp(x), expected, rtol=8 * np.finfo(precision).eps)
    assert special.log1mexp(np.array([0.0, -inf])).tolist() == [-inf, 0.0]
    assert np.isnan(special.log1mexp(1.0))
    gradient = jax.jit(jax.vmap(jax.grad(special.log1mexp)))(np.array([-1e-3, -0.5, -40, -1000], precision))
    np.testing.assert_allclose(gradient, [-1 / math.expm1(1e-3), -1 / math.expm1(0.5), -math.exp(-40), 0], rtol=1e-4)


def _digits() -> bool:
    mpmath.mp.dps = 60
    return True


def test_differences_of_exponentials(x64: None) -> None:
    a, b = np.array([2.0, 1000.0, -1000.0, 0.0]), np.array([1.0, 999.0, -1001.0, -1e-12])
    expected = [math.log(math.exp(x - y) - 1) + y for x, y in zip(a[:3], b[:3], strict=True)]
    np.testing.assert_allclose(special.logdiffexp(a, b), [*expected, math.log(1e-12)], rtol=1e-10)
    assert special.logdiffexp(1.0, 1.0) == -inf
    assert special.logdiffexp(-inf, -inf) == -inf
    assert special.logdiffexp(1.5, -inf) == 1.5
    assert special.logdiffexp(inf, 1.5) == inf
    assert np.isnan(special.logdiffexp(1.0, 2.0))
    assert np.isnan(special.logdiffexp(inf, inf))  # any number is a difference of infinities


def test_clamped_probabilities_are_inside(precision: np.dtype) -> None:
    clamped = np.asarray(special.clamp_probs(np.array([0.0, 0.25, 1.0], precision)))
    assert clamped.dtype == precision
    assert clamped[1] == 0.25
    assert 0 < clamped[0] < 1e-30
    assert 0 < 1 - clamped[2] < 1e-6


def test_product_in_log_space(x64: None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))
    product = jax.jit(special.logmatmulexp)
    np.testing.assert_allclose(product(x, y), np.log(np.exp(x) @ np.exp(y)), rtol=1e-12)
    np.testing.assert_allclose(product(x + 1e4, y - 3e4), np.log(np.exp(x) @ np.exp(y)) - 2e4, rtol=1e-12)


def test_product_with_zeros_in_log_space() -> None:
    x = np.array([[-inf, -inf], [0.0, -inf]])
    product = special.logmatmulexp(x, np.zeros((2, 1)))
    assert product.tolist() == [[-inf], [0.0]]
    gradient = jax.grad(lambda y: special.logmatmulexp(x, y)[1, 0])(np.zeros((2, 1)))
    assert gradient.tolist() == [[1.0], [0.0]]


def test_multidigamma_is_the_derivative_of_multigammaln(x64: None) -> None:
    a = np.array([2.5, 5.0, 40.0])
    step = 1e-5
    numerical = [(sp.multigammaln(v + step, 4) - sp.multigammaln(v - step, 4)) / (2 * step) for v in a]
    np.testing.assert_allclose(special.multidigamma(a, 4), numerical, rtol=1e-7)
    np.testing.assert_allclose(special.multidigamma(a, 1), sp.digamma(a), rtol=1e-12)


def test_cross_entropy_with_logits() -> None:
    logits = np.array([0.0, 1000.0, -1000.0, 1000.0, 2.0], np.float32)
    outcome = np.array([1.0, 1.0, 1.0, 0.0, 0.25], np.float32)
    p = 1 / (1 + math.exp(-2))
    expected = [math.log(2), 0, 1000, 1000, -0.25 * math.log(p) - 0.75 * math.log(1 - p)]
    np.testing.assert_allclose(special.binary_cross_entropy_with_logits(logits, outcome), expected, rtol=1e-6)


PARAMETERS = np.array(list(itertools.product([0.05, 0.5, 1.0, 3.0, 40.0, 500.0], repeat=2))).T
PROBABILITIES = np.array([1e-12, 1e-3, 0.3, 0.5, 0.9, 0.9999])
betainc = jax.jit(special.betainc)
betaincinv = jax.jit(special.betaincinv)
gammaincinv = jax.jit(special.gammaincinv)


def test_inverse_incomplete_beta(x64: None) -> None:
    a, b = PARAMETERS[..., None]
    x = np.asarray(betaincinv(a, b, PROBABILITIES))
    reference = sp.betaincinv(a, b, PROBABILITIES)
    ordinary = (reference > 1e-290) & (reference < 1 - 1e-8)
    np.testing.assert_allclose(x[ordinary], reference[ordinary], rtol=1e-9)
    # Near 1 a root is no better than its representation: the value there must be the one asked for.
    back = np.where(ordinary, sp.betainc(a, b, x), PROBABILITIES)
    np.testing.assert_allclose(back, np.broadcast_to(PROBABILITIES, x.shape), rtol=1e-8)


def test_inverse_incomplete_beta_in_single_precision() -> None:
    a, b = PARAMETERS[..., None].astype(np.float32)
    y = PROBABILITIES[1:].astype(np.float32)
    x = np.asarray(betaincinv(a, b, y))
    reference = sp.betaincinv(a.astype(float), b.astype(float), y.astype(float))
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x, reference, rtol=2e-3, atol=1e-6)


def test_inverse_incomplete_gamma(x64: None) -> None:
    a = np.array([0.05, 0.5, 1.0, 3.0, 40.0, 5e3])[:, None]
    x = np.asarray(gammaincinv(a, PROBABILITIES))
    np.testing.assert_allclose(x, sp.gammaincinv(a, PROBABILITIES), rtol=1e-9)


def test_inverse_incomplete_gamma_in_single_precision() -> None:
    a = np.array([0.5, 1.0, 3.0, 40.0, 5e3], np.float32)[:, None]
    y = PROBABILITIES.astype(np.float32)
    x = np.asarray(gammaincinv(a, y))
    np.testing.assert_allclose(x, sp.gammaincinv(a.astype(float), y.astype(float)), rtol=2e-3)


def test_inverses_at_the_edges() -> None:
    edges = np.array([0.0, 1.0, -0.1, 1.1, nan], np.float32)
    np.testing.assert_array_equal(betaincinv(2.0, 3.0, edges), [0, 1, nan, nan, nan])
    np.testing.assert_array_equal(gammaincinv(2.0, edges), [0, inf, nan, nan, nan])
    assert np.isnan(betaincinv(-1.0, 3.0, 0.5)) and np.isnan(gammaincinv(-1.0, 0.5))


POINTS = [(0.5, 0.7, 0.2), (2.0, 3.0, 0.4), (2.0, 3.0, 0.9), (30.0, 5.0, 0.9), (300.0, 200.0, 0.6)]
_betainc_gradient = jax.jit(jax.grad(special.betainc, argnums=(0, 1, 2)))
_betaincinv_gradient = jax.jit(jax.grad(special.betaincinv, argnums=(0, 1, 2)))
_gammaincinv_gradient = jax.jit(jax.grad(special.gammaincinv, argnums=(0, 1)))


@pytest.mark.parametrize(("a", "b", "x"), POINTS)
def test_derivatives_of_the_incomplete_beta_function(a: float, b: float, x: float, x64: None) -> None:
    mpmath.mp.dps = 40

    def reference(a: float, b: float, x: float) -> mpmath.mpf:
        return mpmath.betainc(a, b, 0, x, regularized=True)

    expected = [float(mpmath.diff(reference, (a, b, x), order)) for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert betainc(a, b, x) == pytest.approx(float(reference(a, b, x)), rel=1e-12)
    reverse = _betainc_gradient(a, b, x)
    np.testing.assert_allclose(reverse, expected, rtol=1e-8)
    # x(a, b, y) is held by I = y: dx / da = -(dI / da) / (dI / dx), dx / dy = 1 / (dI / dx).
    of_inverse = _betaincinv_gradient(a, b, betainc(a, b, x))
    by_a, by_b, density = expected
    np.testing.assert_allclose(of_inverse, [-by_a / density, -by_b / density, 1 / density], rtol=1e-7)


def test_derivatives_of_the_incomplete_beta_function_at_its_ends() -> None:
    by_parameters = jax.jit(jax.vmap(jax.grad(special.betainc, argnums=(0, 1)), in_axes=(None, None, 0)))
    for gradient in by_parameters(2.0, 3.0, np.array([0.0, 1.0])):
        assert gradient.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("a", "y"), [(0.5, 0.2), (3.0, 0.7), (50.0, 0.99)])
def test_derivatives_of_the_inverse_incomplete_gamma_function(a: float, y: float, x64: None) -> None:
    step = 1e-5
    by_a = (sp.gammaincinv(a + step, y) - sp.gammaincinv(a - step, y)) / (2 * step)
    by_y = (sp.gammaincinv(a, y + step) - sp.gammaincinv(a, y - step)) / (2 * step)
    gradient = _gammaincinv_gradient(a, y)
    np.testing.assert_allclose(gradient, [by_a, by_y], rtol=1e-5)


def test_arguments_broadcast_and_keep_the_precision(precision: np.dtype) -> None:
    a = np.full((2, 1), 2, precision)
    y = np.full(3, 0.5, precision)
    for result in (betainc(a, 3, y), betaincinv(a, 3.0, y), gammaincinv(a, y)):
        assert result.shape == (2, 3)
        assert result.dtype == precision


def test_inverses_map_over_batches() -> None:
    batched = jax.jit(jax.vmap(special.gammaincinv))(np.ones(2), np.array([0.5, 0.1]))
    np.testing.assert_allclose(batched, [-math.log(0.5), -math.log(0.9)], rtol=1e-5)
