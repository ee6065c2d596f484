"""Log gamma differences against arbitrary precision, over ranges where a plain difference loses all digits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from numpyro.ops.log_gamma import betaln, gammaln, gammaln_ratio, log_binomial_coefficient, log_poisson

mpmath.mp.dps = 40
ARGUMENTS = [1e-20, 1e-5, 0.1, 0.5, 1.0, 2.5, 7.999, 8.0, 15.0, 1e3, 1e6, 1e10]
INCREMENTS = [1e-3, 0.5, 1.0, 100.0, 1e6]
TOLERANCE = {"float32": 3e-6, "float64": 2e-13}


def exact(values: np.ndarray) -> list[Any]:
    return [mpmath.mpf(float(v)) for v in values]


def agree(function: Callable[..., Any], reference: Callable[..., Any], arguments: Any, precision: np.dtype) -> None:
    """Compare for all tuples of arguments, relative to the larger of the result and 1."""
    columns = [np.asarray(column, precision) for column in zip(*arguments, strict=True)]
    expected = np.array([float(reference(*row)) for row in zip(*map(exact, columns), strict=True)])
    actual = np.asarray(jax.jit(function)(*columns), float)
    scale = np.maximum(1, np.abs(expected))
    np.testing.assert_allclose(actual / scale, expected / scale, atol=TOLERANCE[precision.name])


def test_gammaln(precision):
    agree(gammaln, mpmath.loggamma, [(x,) for x in ARGUMENTS], precision)


def test_gammaln_ratio(precision):
    def reference(x, increment):
        return mpmath.loggamma(x + increment) - mpmath.loggamma(x)

    agree(gammaln_ratio, reference, itertools.product(ARGUMENTS, INCREMENTS), precision)


def test_betaln(precision):
    def reference(a, b):
        return mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)

    agree(betaln, reference, itertools.product(ARGUMENTS, ARGUMENTS), precision)


def test_log_binomial_coefficient(precision):
    pairs = [(0, 0), (1, 0), (1, 1), (10, 3), (1000, 999), (2**20, 2**19), (1e10, 2.0)]
    agree(log_binomial_coefficient, lambda n, k: mpmath.log(mpmath.binomial(n, k)), pairs, precision)


@pytest.mark.parametrize("static", [False, True], ids=["traced", "static"])
def test_log_poisson(precision, static):
    pairs = [(0, 1e-20), (0, 3), (1, 1e-20), (7, 2), (7.99, 8.5), (8, 8), (9, 1e-3), (1e3, 1.1e3), (1e6, 1e6 + 100)]
    pairs += [(30, 1e20), (-0.5, 2), (-0.999, 1e-3)]

    def reference(count, rate):
        return count * mpmath.log(rate) - rate - mpmath.loggamma(count + 1)

    if not static:
        agree(log_poisson, reference, pairs, precision)
        return
    for k, rate in pairs:
        count = float(precision.type(k))
        agree(lambda _, rate, count=count: log_poisson(count, rate), reference, [(count, rate)], precision)


def test_log_poisson_at_zero():
    counts, rates = np.array([0.0, 1.0, 0.5, -0.5, 1e4]), np.zeros(5)
    np.testing.assert_array_equal(log_poisson(counts, rates), [0, -np.inf, -np.inf, np.inf, -np.inf])
    # at the count 0 the derivative is that of -rate
    assert jax.grad(log_poisson, 1)(jnp.array(0.0), jnp.array(0.0)) == -1


def test_derivatives_keep_their_digits(precision):
    x, d = (np.asarray(column, precision) for column in zip(*itertools.product(ARGUMENTS[1:], INCREMENTS), strict=True))
    tolerance, absolute = (2e-5, 5e-7) if precision == np.float32 else (1e-9, 1e-14)

    def slopes(f: Callable[..., Any]) -> list[np.ndarray]:
        return [np.asarray(g, float) for g in jax.jit(jax.grad(lambda x, d: f(x, d).sum(), (0, 1)))(x, d)]

    psi = np.vectorize(lambda v: float(mpmath.digamma(v)))
    pairs = list(zip(exact(x), exact(d), strict=True))
    difference = np.array([float(mpmath.digamma(a + b) - mpmath.digamma(a)) for a, b in pairs])
    by_x, by_d = slopes(gammaln_ratio)
    np.testing.assert_allclose(by_x, difference, rtol=tolerance, atol=absolute)
    np.testing.assert_allclose(by_d, [float(mpmath.digamma(a + b)) for a, b in pairs], rtol=tolerance, atol=tolerance)
    by_x, _ = slopes(betaln)
    np.testing.assert_allclose(by_x, -difference, rtol=tolerance, atol=absolute)
    np.testing.assert_allclose(jax.vmap(jax.grad(gammaln))(x), psi(x.astype(float)), rtol=tolerance, atol=tolerance)
