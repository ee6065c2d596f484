r"""Differences of log gamma functions without cancellation: ratios, beta functions, binomial coefficients.

With :math:`c = \tfrac12 \log 2\pi` and the remainder :math:`S` of Stirling's series,

.. math:: \log\Gamma(x) = (x - \tfrac12)\log x - x + c + S(x).

Taking the difference of two such expressions by hand leaves terms of the size of the result, where the difference of
two log gammas of size :math:`x \log x` would lose all digits (for ``float32`` from :math:`x \approx 10^6` on).
Arguments below 8 are first raised by 8 with :math:`\Gamma(x + 8) = x (x+1) \cdots (x+7)\,\Gamma(x)`. For positive
arguments only.

Derivatives are differences of digamma functions, by the derivative of the same series, and so don't cancel either.
They have rules of their own: differentiating the expressions backwards would store an array for each of their terms.

Reference: NIST Digital Library of Mathematical Functions, 5.11.1 and 5.5.1.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike
from numpyro.ops.lean import select

_HALF_LOG_TWO_PI = 0.9189385332046727
_SHIFT = 8
_SMALL = 1024
_gammaln_of_known = np.vectorize(lambda x: math.lgamma(x) if x > 0 else math.inf if x <= 0 else x, otypes=[float])


def stirling_remainder(x: Any) -> Array:
    """The remainder of Stirling's series, for ``x`` at least 8 to within 1e-14."""
    inverse = lax.div(1.0, x)
    square = lax.mul(inverse, inverse)
    series = lax.sub(1 / 1188, lax.mul(square, 691 / 360360))
    for coefficient in (-1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        series = lax.add(coefficient, lax.mul(square, series))
    return lax.mul(inverse, series)


def _raise(x: ArrayLike) -> tuple[Array, Array]:
    """``x`` raised by 8 where it is below 8, and the factor by which its gamma function has then grown."""
    x = jnp.asarray(x, jnp.result_type(float, x))
    small = lax.lt(x, float(_SHIFT))
    start = select(small, x, 1.0)
    product = start
    for step in range(1, _SHIFT):
        product = lax.mul(product, lax.add(start, float(step)))
    return select(small, lax.add(x, float(_SHIFT)), x), select(small, product, 1.0)


def _digamma_series(x: Array) -> Array:
    """``log(x) - 1 / (2 x) - digamma(x)``, for ``x`` at least 8: the negative derivative of ``stirling_remainder``."""
    square = 1 / (x * x)
    series = 1 / 132 - square * (691 / 32760)
    for coefficient in (-1 / 240, 1 / 252, -1 / 120, 1 / 12):
        series = coefficient + square * series
    return square * series


def _raised_slope(x: ArrayLike) -> Array:
    """The logarithmic derivative of the factor of ``_raise``: ``1 / x + ... + 1 / (x + 7)`` below 8, else 0."""
    small = jnp.less(x, _SHIFT)
    start = jnp.where(small, x, 1)
    product, slope = start, jnp.ones_like(start)
    for step in range(1, _SHIFT):
        product, slope = product * (start + step), slope * (start + step) + product
    return jnp.where(small, slope / product, 0)


def _digamma_difference(lower: Array, upper: Array, difference: Array) -> Array:
    """``digamma(upper) - digamma(lower)`` for arguments at least 8 that are ``difference`` apart."""
    series = _digamma_series(upper) - _digamma_series(lower)
    return jnp.log1p(difference / lower) + 0.5 * difference / (lower * upper) - series


def _floats(*arguments: ArrayLike) -> list[Array]:
    dtype = jnp.result_type(float, *arguments)
    return [jnp.asarray(argument, dtype) for argument in arguments]


def gammaln(x: ArrayLike) -> Array:
    """``log(gamma(x))`` for positive ``x``, in NumPy for a small NumPy array."""
    if isinstance(x, np.ndarray | np.generic) and x.size <= _SMALL:
        return _gammaln_of_known(x).astype(jnp.result_type(float, x))  # type: ignore[return-value]
    return _gammaln(*_floats(x))


@jax.custom_jvp
def _gammaln(x: Array) -> Array:
    raised, factor = _raise(x)
    main = lax.sub(lax.mul(lax.sub(raised, 0.5), lax.log(raised)), raised)
    return lax.sub(lax.add(lax.add(main, _HALF_LOG_TWO_PI), stirling_remainder(raised)), lax.log(factor))


@_gammaln.defjvp
def _gammaln_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,) = primals
    raised = _raise(x)[0]
    digamma = jnp.log(raised) - 0.5 / raised - _digamma_series(raised) - _raised_slope(x)
    return _gammaln(x), digamma * tangents[0]


def gammaln_ratio(x: ArrayLike, increment: ArrayLike) -> Array:
    """``log(gamma(x + increment) / gamma(x))`` for positive ``x`` and ``x + increment``."""
    return _gammaln_ratio(*_floats(x, increment))


@jax.custom_jvp
def _gammaln_ratio(x: Array, increment: Array) -> Array:
    upper, upper_factor = _raise(x + increment)
    lower, lower_factor = _raise(x)
    difference = _raised_increment(x, increment, lower, upper)
    return (
        (lower - 0.5) * jnp.log1p(difference / lower)
        + difference * (jnp.log(upper) - 1)
        + (stirling_remainder(upper) - stirling_remainder(lower))
        + jnp.log(lower_factor / upper_factor)
    )


@_gammaln_ratio.defjvp
def _gammaln_ratio_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    x, increment = primals
    upper, lower = _raise(x + increment)[0], _raise(x)[0]
    difference = _raised_increment(x, increment, lower, upper)
    upper_slope = _raised_slope(x + increment)
    by_x = _digamma_difference(lower, upper, difference) + (_raised_slope(x) - upper_slope)
    by_increment = jnp.log(upper) - 0.5 / upper - _digamma_series(upper) - upper_slope
    return _gammaln_ratio(x, increment), by_x * tangents[0] + by_increment * tangents[1]


def _raised_increment(x: Array, increment: Array, lower: Array, upper: Array) -> Array:
    """``upper - lower`` of the raised ``x`` and ``x + increment``, but for the rounding of that sum."""
    return increment + lax.stop_gradient((upper - (x + increment)) - (lower - x))  # what the raising adds is constant


def betaln(a: ArrayLike, b: ArrayLike) -> Array:
    """``log(gamma(a) gamma(b) / gamma(a + b))`` for positive ``a`` and ``b``."""
    return _betaln(*_floats(a, b))


@jax.custom_jvp
def _betaln(a: Array, b: Array) -> Array:
    small, large = jnp.minimum(a, b), jnp.maximum(a, b)
    x, x_factor = _raise(small)
    y, y_factor = _raise(large)
    z, z_factor = _raise(small + large)
    difference = _raised_increment(large, small, y, z)  # it is x where nothing was raised
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


@_betaln.defjvp
def _betaln_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    a, b = primals
    raised_sum, slope_of_sum = _raise(a + b)[0], _raised_slope(a + b)

    def by(x: Array, other: Array) -> Array:  # digamma(x) - digamma(x + other)
        raised = _raise(x)[0]
        difference = _raised_increment(x, other, raised, raised_sum)
        return slope_of_sum - _raised_slope(x) - _digamma_difference(raised, raised_sum, difference)

    return _betaln(a, b), by(a, b) * tangents[0] + by(b, a) * tangents[1]


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

    return _log_poisson(*_floats(count, rate))


@jax.custom_jvp
def _log_poisson(count: Array, rate: Array) -> Array:
    large = count >= _SHIFT
    divisor = jnp.where(large, count, 1)
    excess = rate - jnp.where(large, count, 0)
    quotient = _positive_rate(count, rate) / divisor
    rounding = excess * (1 / divisor) - (quotient - 1)
    rounding = jnp.where(large & (jnp.abs(quotient - 1) < 0.5), rounding, 0)
    # log(k!) = (k + 1/2) log(k) - k + c + S(k), by k + 8 where k is small
    raised = jnp.where(large, count, count + _SHIFT)
    product = jnp.where(large, 1, count + 1)
    for step in range(2, _SHIFT + 1):
        product = product * jnp.where(large, 1, count + step)
    log_raised = jnp.log(raised)
    stirling = 0.5 * log_raised + _HALF_LOG_TWO_PI + stirling_remainder(raised)
    normalizer = stirling + jnp.where(large, 0, raised * (log_raised - 1)) - jnp.log(product)
    return count * (jnp.log(quotient) + rounding) - excess - normalizer


def _positive_rate(count: Array, rate: Array) -> Array:
    """The rate, and 1 where it and the count are 0."""
    return jnp.where((count == 0) & (rate == 0), 1, rate)


@_log_poisson.defjvp
def _log_poisson_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    count, rate = primals
    by_rate = jnp.where((count == 0) & (rate == 0), -1, (count - rate) / _positive_rate(count, rate))
    return _log_poisson(count, rate), _log_poisson_by_count(count, rate) * tangents[0] + by_rate * tangents[1]


def _log_poisson_by_count(count: Array, rate: Array) -> Array:
    """``log(rate) - digamma(count + 1)``.

    From ``digamma(k + 1) = log(k) + 1 / (2 k) - ...``, by ``k + 8`` where ``k`` is small.
    """
    large = count >= _SHIFT
    raised = jnp.where(large, count, count + _SHIFT)
    start, slope = jnp.where(large, 1, count + 1), jnp.zeros_like(count)
    for step in range(_SHIFT):
        slope = slope + 1 / (start + step)
    small_part = jnp.where(large, 0, slope - jnp.log(raised))
    log_quotient = jnp.log(_positive_rate(count, rate) / jnp.where(large, count, 1))
    return log_quotient + (small_part - 0.5 / raised + _digamma_series(raised))


def log_gamma_density(value: ArrayLike, concentration: ArrayLike, rate: ArrayLike) -> Array:
    """The logarithm of the density of a gamma variable at ``value >= 0``.

    With ``t = rate * value`` it is ``rate * t**(concentration - 1) * exp(-t) / gamma(concentration)``: the Poisson
    probability of the count ``concentration - 1`` at the rate ``t``, taken to real counts above -1, times ``rate``.
    """
    return _log_gamma_density(*_floats(value, concentration, rate))


@jax.custom_jvp
def _log_gamma_density(value: Array, concentration: Array, rate: Array) -> Array:
    return _log_poisson(concentration - 1, rate * value) + jnp.log(rate)


@_log_gamma_density.defjvp
def _log_gamma_density_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    value, concentration, rate = primals
    count = concentration - 1
    by_value = count / jnp.where((count == 0) & (value == 0), 1, value) - rate
    by_count = _log_poisson_by_count(count, rate * value)
    tangent = by_value * tangents[0] + by_count * tangents[1] + (concentration / rate - value) * tangents[2]
    return _log_gamma_density(*primals), tangent


def log_binomial_coefficient(total: ArrayLike, count: ArrayLike) -> Array:
    """The logarithm of the number of subsets of ``count`` of ``total`` things, for real arguments too.

    From ``1 / C(n, k) = (n + 1) B(k + 1, n - k + 1)``; exactly 0 for none or all of the things.
    """
    total, count = jnp.asarray(total, jnp.result_type(float, total)), jnp.asarray(count, jnp.result_type(float, count))
    none_or_all = (count == 0) | (count == total)
    value = -betaln(count + 1, total - count + 1) - jnp.log1p(total)
    return jnp.where(none_or_all, 0.0, value)
