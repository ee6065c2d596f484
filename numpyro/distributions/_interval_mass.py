"""The logarithm of the probability of an interval, right far into the tails where densities are fitted to bounds."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, ArrayLike
from numpyro.distributions._maths import where_inside
from numpyro.distributions.continuous import Exponential, Gumbel, LogNormal, Pareto, Weibull
from numpyro.distributions.distribution import Distribution, ExpandedDistribution
from numpyro.distributions.truncated import interval
from numpyro.distributions.truncated.families import ALL, standard_points, standardize
from numpyro.ops.special import log1mexp


@functools.singledispatch
def log_interval_mass(d: Distribution, low: ArrayLike | None, high: ArrayLike | None) -> Array:
    """The logarithm of the probability of more than ``low`` and at most ``high``.

    This is for any distribution, from its cdf, and so no better than the rounding of 1 is where the cdf is close to 1:
    beyond, a tail that is not known to be empty counts as half that rounding, rather than as impossible.

    :param d: a distribution of single numbers.
    :param low: lower bound; ``None`` for none.
    :param high: upper bound, not below ``low``; ``None`` for none.
    :return: of the shape to which bounds and batch shape broadcast; -inf where nothing of the support is between them.
    """
    if low is None:
        return _safe_log(d.cdf(high))  # type: ignore[arg-type]
    if high is None:
        rest = 1 - jnp.asarray(d.cdf(low))
        upper_bound = getattr(d.support, "upper_bound", jnp.inf)
        least = float(jnp.finfo(rest.dtype).eps) / 2
        return where_inside(jnp.less(low, upper_bound), jnp.log(jnp.maximum(rest, least)))
    return _safe_log(jnp.asarray(d.cdf(high)) - d.cdf(low))


def _safe_log(x: Any) -> Array:
    """The logarithm, with derivative 0 where it is -inf."""
    positive = jnp.greater(x, 0)
    return where_inside(positive, jnp.log(jnp.where(positive, x, 1)))


def _of_standard(d: Any, low: ArrayLike | None, high: ArrayLike | None) -> Array:
    family, theta, loc, scale = standardize(d)
    a, b = standard_points(loc, scale, -np.inf if low is None else low, np.inf if high is None else high)
    least = float(d.support.lower_bound) if hasattr(d.support, "lower_bound") else -jnp.inf
    empty = (b <= least) | (a >= b)
    # of an empty interval the derivatives are 0
    a, b = jnp.maximum(jnp.where(empty, least, a), least), jnp.where(empty, jnp.inf, b)
    return jnp.where(empty, -jnp.inf, interval.log_probability(family, theta, a, b))


for _family in ALL:
    log_interval_mass.register(_family, _of_standard)


def _of_hazard(hazard: Any) -> Any:
    """For a distribution whose tail is ``exp(-hazard(d, x))``, with a cumulative hazard in closed form."""

    def log_mass(d: Any, low: ArrayLike | None, high: ArrayLike | None) -> Array:
        begin = 0.0 if low is None else hazard(d, low)
        if high is None:
            return -jnp.asarray(begin)
        gain = hazard(d, high) - begin
        inside = gain > 0
        return where_inside(inside, log1mexp(-jnp.where(inside, gain, 1.0)) - begin)

    return log_mass


def _positive_power(x: Any, k: Any) -> Array:
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1.0) ** k, 0.0)


log_interval_mass.register(Exponential, _of_hazard(lambda d, x: d.rate * jnp.maximum(x, 0)))
log_interval_mass.register(Weibull, _of_hazard(lambda d, x: _positive_power(x / d.scale, d.concentration)))
log_interval_mass.register(Pareto, _of_hazard(lambda d, x: d.alpha * jnp.log(jnp.maximum(x / d.scale, 1))))


@log_interval_mass.register
def _of_gumbel(d: Gumbel, low: ArrayLike | None, high: ArrayLike | None) -> Array:
    # the logarithm of the cdf is -exp(-z)
    above: Any = 0.0 if high is None else -jnp.exp(-(high - d.loc) / d.scale)
    if low is None:
        return above
    below = -jnp.exp(-(low - d.loc) / d.scale)
    inside = below < above
    return where_inside(inside, above + log1mexp(jnp.where(inside, below - above, -1.0)))


@log_interval_mass.register
def _of_log_normal(d: LogNormal, low: ArrayLike | None, high: ArrayLike | None) -> Array:
    def log(x: ArrayLike | None) -> Array | None:
        if x is None:
            return None
        positive = jnp.greater(x, 0)
        return where_inside(positive, jnp.log(jnp.where(positive, x, 1)))

    return log_interval_mass(d.base_dist, log(low), log(high))


@log_interval_mass.register(ExpandedDistribution)
def _of_expanded(d: Any, low: ArrayLike | None, high: ArrayLike | None) -> Array:
    return log_interval_mass(d.base_dist, low, high)
