r"""Differences of log gamma functions without cancellation: ratios, beta functions, binomial coefficients.

With :math:`c = \tfrac12 \log 2\pi` and the remainder :math:`S` of Stirling's series,

.. math:: \log\Gamma(x) = (x - \tfrac12)\log x - x + c + S(x).

Taking the difference of two such expressions by hand leaves terms of the size of the result, where the difference of
two log gammas of size :math:`x \log x` would lose all digits (for ``float32`` from :math:`x \approx 10^6` on).
Arguments below 8 are first raised by 8 with :math:`\Gamma(x + 8) = x (x+1) \cdots (x+7)\,\Gamma(x)`. All derivatives
follow by automatic differentiation of the same expressions, and so don't cancel either. For positive arguments only.

Reference: NIST Digital Library of Mathematical Functions, 5.11.1 and 5.5.1.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike

_HALF_LOG_TWO_PI = 0.9189385332046727
_SHIFT = 8


def stirling_remainder(x: Any) -> Array:
    """The remainder of Stirling's series, for ``x`` at least 8 to within 1e-14."""
    inverse = 1 / x
    square = inverse * inverse
    series = 1 / 1188 - square * (691 / 360360)
    for coefficient in (-1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        series = coefficient + square * series
    return inverse * series


def _raise(x: ArrayLike) -> tuple[Array, Array]:
    """``x`` raised by 8 where it is below 8, and the factor by which its gamma function has then grown."""
    x = jnp.asarray(x, jnp.result_type(float, x))
    small = x < _SHIFT
    start = jnp.where(small, x, 1)
    product = start
    for step in range(1, _SHIFT):
        product = product * (start + step)
    return jnp.where(small, x + _SHIFT, x), jnp.where(small, product, 1)


def gammaln(x: ArrayLike) -> Array:
    """``log(gamma(x))`` for positive ``x``."""
    raised, factor = _raise(x)
    return (raised - 0.5) * jnp.log(raised) - raised + _HALF_LOG_TWO_PI + stirling_remainder(raised) - jnp.log(factor)


def gammaln_ratio(x: ArrayLike, increment: ArrayLike) -> Array:
    """``log(gamma(x + increment) / gamma(x))`` for positive ``x`` and ``x + increment``."""
    upper, upper_factor = _raise(x + increment)
    lower, lower_factor = _raise(x)
    # upper - lower, but for the rounding of the sum above; what the raising adds does not vary
    difference = increment + lax.stop_gradient((upper - (x + increment)) - (lower - x))
    return (
        (lower - 0.5) * jnp.log1p(difference / lower)
        + difference * (jnp.log(upper) - 1)
        + (stirling_remainder(upper) - stirling_remainder(lower))
        + jnp.log(lower_factor / upper_factor)
    )


def betaln(a: ArrayLike, b: ArrayLike) -> Array:
    """``log(gamma(a) gamma(b) / gamma(a + b))`` for positive ``a`` and ``b``."""
    small, large = jnp.minimum(a, b), jnp.maximum(a, b)
    x, x_factor = _raise(small)
    y, y_factor = _raise(large)
    z, z_factor = _raise(small + large)
    # z - y, but for the rounding of the sum above; it is x where nothing was raised
    difference = small + lax.stop_gradient((z - (small + large)) - (y - large))
    return (
        _HALF_LOG_TWO_PI
        - difference * jnp.log(z / x)
        + (x - 0.5 - difference) * jnp.log(x)
        - (x - difference)
        - (y - 0.5) * jnp.log1p(difference / y)
        + (stirling_remainder(x) + stirling_remainder(y) - stirling_remainder(z))
        + jnp.log(z_factor / y_factor)
        - jnp.log(x_factor)
    )


def log_poisson(count: Any, rate: Any) -> Array:
    r"""The logarithm of ``rate**count * exp(-rate) / gamma(count + 1)``, for real ``count > -1`` and ``rate >= 0``.

    From a count :math:`k` of 8 on, where its terms would cancel, Stirling's series leaves (Loader 2000)

    .. math:: k \log\frac{\lambda}{k} - (\lambda - k) - \tfrac12 \log(2\pi k) - S(k).

    The quotient is rounded; what that does to its logarithm near 1, :math:`k` times, is put right by the difference
    between the quotient less 1 and :math:`(\lambda - k) / k`.

    Which of the two serves is settled in Python where the count is a Python number or a NumPy array.

    Reference: C. Loader (2000), "Fast and accurate computation of binomial probabilities".
    """
    both_zero = jnp.equal(count, 0) & jnp.equal(rate, 0)
    positive_rate = jnp.where(both_zero, 1, rate)
    is_static = isinstance(count, (int, float, np.ndarray, np.generic))
    if is_static and np.all(np.less(count, _SHIFT)):
        return count * jnp.log(positive_rate) - rate - gammaln(count + 1)

    count = jnp.asarray(count, jnp.result_type(float, count))
    large = count >= _SHIFT
    divisor = jnp.where(large, count, 1)
    excess = rate - jnp.where(large, count, 0)
    quotient = positive_rate / divisor
    rounding = excess * (1 / divisor) - (quotient - 1)
    rounding = lax.stop_gradient(jnp.where(large & (jnp.abs(quotient - 1) < 0.5), rounding, 0))

    # log(k!) = (k + 1/2) log(k) - k + c + S(k), by k + 8 where k is small
    raised = jnp.where(large, count, count + _SHIFT)
    product = jnp.where(large, 1, count + 1)
    for step in range(2, _SHIFT + 1):
        product = product * jnp.where(large, 1, count + step)
    log_raised = jnp.log(raised)
    stirling = 0.5 * log_raised + _HALF_LOG_TWO_PI + stirling_remainder(raised)
    normalizer = stirling + jnp.where(large, 0, raised * (log_raised - 1)) - jnp.log(product)
    return count * (jnp.log(quotient) + rounding) - excess - normalizer


def log_binomial_coefficient(total: ArrayLike, count: ArrayLike) -> Array:
    """The logarithm of the number of subsets of ``count`` of ``total`` things, for real arguments too.

    From ``1 / C(n, k) = (n + 1) B(k + 1, n - k + 1)``; exactly 0 for none or all of the things.
    """
    total, count = jnp.asarray(total, jnp.result_type(float, total)), jnp.asarray(count, jnp.result_type(float, count))
    none_or_all = (count == 0) | (count == total)
    value = -betaln(count + 1, total - count + 1) - jnp.log1p(total)
    return jnp.where(none_or_all, 0.0, value)
