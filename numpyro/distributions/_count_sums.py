r"""Sums over counts with a fixed number of terms, whatever the parameters: entropies of counts, and far quantiles.

The first 64 counts next to an end of the range are added one by one. Beyond, the terms are smooth, and by the midpoint
rule of Euler and Maclaurin

.. math:: \sum_{k = m}^{M} f(k) = \int_{m - 1/2}^{M + 1/2} f(x)\,dx
    - \tfrac1{24} \bigl(f'(M + \tfrac12) - f'(m - \tfrac12)\bigr)
    + \tfrac7{5760} \bigl(f'''(M + \tfrac12) - f'''(m - \tfrac12)\bigr) - \dots

Derivatives are by differences. The integral is by Gauss and Legendre's rule in the logarithm of the distance from the
end. As the terms are taken at points that parameters may depend on, sums work under ``jit``, and have derivatives.
What is left out is of relative size 1e-8 or less; in single precision, rounding is more.

Reference: NIST Digital Library of Mathematical Functions, 2.10(i) and 3.5(v).
"""

from __future__ import annotations

import copy
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike
from numpyro.distributions._maths import broadcast_to
from numpyro.distributions.distribution import Distribution

_EXACT = 64
_SINGLE = _EXACT + 2
# differences of the last four of the single counts, at the lower end of the integral
_SINGLE_WEIGHTS = np.concatenate(
    [np.ones(_EXACT - 2), np.array([1, 1, 0, 0]) + np.array([0, -1, 1, 0]) / 24 + np.array([1, -3, 3, -1]) * 17 / 5760]
)
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(240)


def end_nodes(low: ArrayLike, high: ArrayLike, is_long: Array | None = None) -> tuple[Array, Array]:
    """Points and weights that add up a function over the whole numbers from ``low`` to ``high``.

    :param low: where the function may vary quickly; whole numbers.
    :param high: where it is smooth, or negligible; whole numbers, of the same shape.
    :param is_long: whether there are too many numbers to be added one by one; by default, their count decides.
    :return: points of shape ``(number of nodes,) + shape``, none of them above ``high + 1/2``, and their weights.
    """
    low, high = (jnp.asarray(x, jnp.result_type(float, x)) for x in (low, high))
    length = high - low + 1
    shape = (-1,) + (1,) * length.ndim
    dtype = length.dtype
    steps = np.arange(_SINGLE, dtype=dtype).reshape(shape)
    is_long = length > _SINGLE if is_long is None else is_long
    single = jnp.where(is_long, _SINGLE_WEIGHTS.astype(dtype).reshape(shape), steps < length)

    start = _EXACT - 0.5
    log_ratio = jnp.log(jnp.where(is_long, length - 0.5, start + 1) / start)
    points = ((_POINTS + 1) / 2).astype(dtype).reshape(shape)
    distance = start * jnp.exp(points * log_ratio)
    weights = jnp.where(is_long, (_WEIGHTS / 2).astype(dtype).reshape(shape) * log_ratio * distance, 0)
    parts = [(steps, single), (distance, weights)]
    offsets, weights = (
        jnp.concatenate([jnp.broadcast_to(x, x.shape[:1] + length.shape) for x in column])
        for column in zip(*parts, strict=True)
    )
    return jnp.clip(low + offsets, low, jnp.maximum(high + 0.5, low)), weights


def window(mean: ArrayLike, variance: ArrayLike) -> tuple[Array, Array]:
    """Whole numbers between which a count has all of its probability but for rounding.

    Twelve deviations, and forty times the length by which the tail of a compound of Poisson counts falls to the e-th
    part, on its longer side.

    :return: the first, at least 0, and the last.
    """
    mean, variance = (jnp.asarray(x, jnp.result_type(float, x)) for x in (mean, variance))
    positive = mean > 0
    tail = jnp.where(positive, variance, 0) / jnp.where(positive, mean, 1)
    reach = 12 * jnp.sqrt(jnp.where(positive, variance, 1)) + 40
    return jnp.floor(jnp.maximum(mean - reach, 0)), jnp.ceil(mean + reach + 40 * tail)


def count_nodes(mean: ArrayLike, variance: ArrayLike, total_count: ArrayLike | None = None) -> tuple[Array, Array]:
    """Points and weights that add up functions that a distribution of counts makes negligible out of its window.

    :param mean: of the counts.
    :param variance: of the counts, of the same shape.
    :param total_count: the largest count, for which the same is done from above; ``None`` for none.
    :return: points of shape ``(number of nodes,) + shape``, and their weights.
    """
    low, high = window(mean, variance)
    if total_count is None:
        points, weights = end_nodes(low, high)
        return lax.stop_gradient(points), lax.stop_gradient(weights)
    last = jnp.asarray(total_count, high.dtype)
    high = jnp.minimum(high, last)
    low = jnp.maximum(last - window(last - mean, variance)[1], 0)
    half = jnp.floor((high - low + 1) / 2)
    is_long = high - low + 1 > 2 * _SINGLE
    below = end_nodes(low, low + half - 1, is_long=is_long)
    above = end_nodes(jnp.zeros_like(low), high - low - half, is_long=is_long)
    points = jnp.concatenate([below[0], high - above[0]])
    return lax.stop_gradient(points), lax.stop_gradient(jnp.concatenate([below[1], above[1]]))


def unchecked(distribution: Distribution) -> Any:
    """The same distribution, which does not check values: its formula for counts holds between them too."""
    distribution = copy.copy(distribution)
    distribution._validate_args = False
    return distribution


def entropy_at(distribution: Distribution, nodes: tuple[Array, Array]) -> Array:
    """The entropy of a distribution of counts, from points and weights of a sum over its support.

    Divided by the sum of the probabilities, it does not suffer from what rounding does to their common factor.
    """
    points, weights = nodes
    log_prob = unchecked(distribution).log_prob(points)
    possible = log_prob > -jnp.inf
    log_prob = jnp.where(possible, log_prob, 0)
    masses = jnp.where(possible, weights * jnp.exp(log_prob), 0)
    total = jnp.sum(masses, 0)
    return broadcast_to(jnp.log(total) - jnp.sum(masses * log_prob, 0) / total, distribution.batch_shape)


def count_entropy(distribution: Distribution, total_count: ArrayLike | None = None) -> Array:
    """The entropy of a distribution of counts that has a mean and a variance.

    :param distribution: of counts from 0 on.
    :param total_count: the largest count, ``None`` for none.
    :return: array of the batch shape.
    """
    return entropy_at(distribution, count_nodes(distribution.mean, distribution.variance, total_count))
