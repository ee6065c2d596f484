r"""Poisson and binomial variables, drawn in large batches.

Small means are inverted: :func:`_invert` counts the tail probabilities :math:`P(X \ge k)` that exceed a uniform number.
All others are drawn by transformed rejection, which accepts about four proposals of five. In both no
difference of large numbers is taken, so that single precision serves for every mean.

Reference: W. Hörmann (1993), "The transformed rejection method for generating Poisson random variables"; W. Hörmann
(1993), "The generation of binomial random variates".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.ops.rejection import sample_by_rejection

_SMALL = 10  # means up to which counts are found by inversion
_TERMS = 40  # of a mean of 10 a larger count has a probability below 2^-38
_PACKING = 4  # about one proposal of five is rejected
_HALF_LOG_TWO_PI = 0.9189385332046727


def poisson(key: Key, rate: ArrayLike, shape: Shape) -> Array:
    """Draw from Poisson distributions.

    :param key: a JAX random key.
    :param rate: the means, not negative; broadcasts to ``shape``.
    :param shape: shape of the result.
    :return: integers of that shape, -1 where the rate is no such number. Counts beyond the integers are cut.
    """
    rate = _parameter(rate, shape)
    valid, small = rate >= 0, rate < _SMALL

    def invert(key: Key) -> Array:
        mean = jnp.where(valid & small, rate, 0)
        return _invert(key, jnp.exp(-mean), lambda k: mean * (1 / k), shape)

    def reject(key: Key) -> Array:
        mean = jnp.where(small, jnp.nan, rate)
        return sample_by_rejection(key, _propose_poisson, (mean,), shape, _PACKING)

    draws = _by_size(key, small, ~small & valid, invert, reject, shape, rate.dtype)
    return jnp.where(valid, _to_integers(draws), -1)


def binomial(key: Key, n: ArrayLike, p: ArrayLike, shape: Shape) -> Array:
    """Draw from binomial distributions.

    :param key: a JAX random key.
    :param n: numbers of trials, not negative; broadcasts to ``shape``.
    :param p: probabilities of success; broadcasts to ``shape``.
    :param shape: shape of the result.
    :return: integers of that shape, 0 where a parameter is out of range.
    """
    count = jnp.asarray(n).astype(jnp.result_type(int))
    p = _parameter(p, shape)
    trials = _parameter(jnp.asarray(n, p.dtype), shape)
    valid = (trials >= 0) & (p >= 0) & (p <= 1)
    # the rarer of the two outcomes is counted
    flipped = p > 0.5
    rare = jnp.where(flipped, 1 - p, p)
    mean = trials * rare
    small = mean < _SMALL

    def invert(key: Key) -> Array:
        use = valid & small
        some, q = jnp.where(use, trials, 0), jnp.where(use, rare, 0)
        odds = q / (1 - q)
        none = jnp.exp(some * jnp.log1p(-q))
        return _invert(key, none, lambda k: odds * (jnp.maximum(some - (k - 1), 0) * (1 / k)), shape)

    def reject(key: Key) -> Array:
        use = jnp.where(valid & ~small, trials, jnp.nan)
        return sample_by_rejection(key, _propose_binomial, (use, rare), shape, _PACKING)

    draws = _by_size(key, small, ~small & valid, invert, reject, shape, p.dtype)
    # a float may round up a large number of trials
    draws = jnp.minimum(_to_integers(draws), count)
    return jnp.where(valid, jnp.where(flipped, count - draws, draws), 0)


def _parameter(x: ArrayLike, shape: Shape) -> Array:
    """A constant of floating type, either a scalar or of the given shape."""
    x = lax.stop_gradient(jnp.asarray(x, jnp.result_type(float, x)))
    return x.reshape(()) if x.size == 1 else jnp.broadcast_to(x, shape)


def _to_integers(draws: Array) -> Array:
    most = jnp.iinfo(jnp.result_type(int)).max
    inside = draws < float(most)
    return jnp.where(inside, jnp.where(inside, draws, 0).astype(jnp.result_type(int)), most)


def _by_size(
    key: Key,
    small: Array,
    large: Array,
    invert: Callable[[Key], Array],
    reject: Callable[[Key], Array],
    shape: Shape,
    dtype: Any,
) -> Array:
    """Draws by inversion where the mean is small, by rejection where it is large; neither is done for nothing."""
    key_small, key_large = random.split(key)

    def none(key: Key) -> Array:
        return jnp.zeros(shape, dtype)

    few = lax.cond(jnp.any(small), invert, none, key_small)
    many = lax.cond(jnp.any(large), reject, none, key_large)
    return jnp.where(small, few, many)


def _invert(key: Key, first: Array, ratio: Callable[[int], Array], shape: Shape) -> Array:
    r"""Counts by inversion.

    With :math:`r_k = p_k / p_{k-1}` the tails are :math:`P(X \ge k) = p_k S_k`, where :math:`S_k = 1 + r_{k+1} S_{k+1}`
    adds only positive numbers: each tail, however small, has all its digits.

    :param first: the probability of 0.
    :param ratio: :math:`r_k` for a number ``k``.
    """
    dtype = first.dtype
    tails = [jnp.ones((), dtype)]
    for k in range(_TERMS, 1, -1):
        tails.append(1 + ratio(k) * tails[-1])
    # in (0, 1], from 32 bits: as fine near 0 as single precision can tell
    bits = random.bits(key, shape, np.uint32)
    uniform = (bits.astype(dtype) + 1) * float(2.0**-32)
    count = jnp.zeros(shape, np.int32)
    for k in range(1, _TERMS + 1):
        first = first * ratio(k)
        count = count + (first * tails[_TERMS - k] >= uniform)
    return count.astype(dtype)


def _transformed(key: Key, b: Array, a: Array, shift: Array, shape: Shape) -> tuple[Array, Array, Array]:
    """Hörmann's proposal, a uniform number over the density of the proposal, and whether the two may be accepted."""
    uniform = random.uniform(key, (2, *shape), b.dtype)
    u = uniform[0] - 0.5
    distance = 0.5 - jnp.abs(u)
    safe = jnp.maximum(distance, float(jnp.finfo(b.dtype).eps) / 4)
    v = 1 - uniform[1]
    k = jnp.floor((2 * a / safe + b) * u + shift)
    return k, v / (a / lax.square(safe) + b), (distance >= 0.013) | (v <= distance)


def _propose_poisson(key: Key, rate: Array, shape: Shape) -> tuple[Array, Array]:
    b = 0.931 + 2.53 * jnp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    k, v, inside = _transformed(key, b, a, rate + 0.43, shape)
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    inside = inside & (k >= 0)
    y = jnp.where(inside, k, 0) + 1
    # log p(k) = -rate * excess((y - rate) / rate) + log(y) / 2 - log(rate) - c - S(y), with y = k + 1
    log_bound = -rate * _entropy_excess((y - rate) / rate) - _HALF_LOG_TWO_PI - _stirling(y)
    accepted = jnp.log(v * inverse_alpha * rate * lax.rsqrt(y)) <= log_bound
    return jnp.where(rate < jnp.inf, k, rate), accepted & inside | ~(rate < jnp.inf)


def _propose_binomial(key: Key, n: Array, p: Array, shape: Shape) -> tuple[Array, Array]:
    q = 1 - p
    mean, total = n * p, n + 2
    deviation = jnp.sqrt(mean * q)
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    k, v, inside = _transformed(key, b, a, mean + 0.5, shape)
    alpha = (2.83 + 5.1 / b) * deviation
    inside = inside & (k >= 0) & (k <= n)

    def log_probability(k: Array) -> tuple[Array, Array]:
        """In two parts, the second by its exponential; but for a constant."""
        y = k + 1
        z = total - y
        first, second = total * p, total * q
        d = y - first
        excess = first * _entropy_excess(d / first) + second * _entropy_excess(-d / second)
        return -excess - _stirling(y) - _stirling(z), y * z

    mode = jnp.floor((n + 1) * p)
    log_k, square_k = log_probability(jnp.where(inside, k, mode))
    log_mode, square_mode = log_probability(mode)
    accepted = jnp.log(v * alpha * lax.sqrt(square_mode / square_k)) <= log_k - log_mode
    return k, accepted & inside | jnp.isnan(n)


def _entropy_excess(x: Array) -> Array:
    """``(1 + x) log(1 + x) - x``, half the square of ``x`` where that is small."""
    small = jnp.abs(x) < 0.1
    s = jnp.where(small, x, 0)
    series = jnp.full_like(s, 1 / 132)
    for order in range(11, 1, -1):
        series = 1 / (order * (order - 1)) - s * series
    return jnp.where(small, lax.square(s) * series, (1 + x) * jnp.log1p(jnp.where(small, 0, x)) - x)


def _stirling(x: Array) -> Array:
    """The remainder of Stirling's series for ``x >= 1``, near 1 to 5e-4, where counts are rare."""
    inverse = 1 / x
    square = lax.square(inverse)
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
