"""Truncated location-scale families: normal, Cauchy, Laplace, logistic, soft Laplace, Student's t."""

from __future__ import annotations

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike
from numpyro.distributions.continuous import Cauchy, Normal, StudentT
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.base import Truncated
from numpyro.distributions.truncated.bounds import AtLeast, AtMost, Between, truncate
from numpyro.distributions.truncated.families import SYMMETRIC


class LocationScale(Truncated):
    """Truncation of a distribution that is symmetric around its location."""

    supported_types = SYMMETRIC

    def _infinite_beyond(self, order: int, moment: Array) -> Array:
        if not isinstance(self.base_dist, (Cauchy, StudentT)):
            return moment
        # a tail like |x|^-(df + 1) has moments of an order below df
        df = self.base_dist.df if isinstance(self.base_dist, StudentT) else 1.0
        up, down = jnp.isposinf(jnp.asarray(self.high, float)), jnp.isneginf(jnp.asarray(self.low, float))
        infinite = jnp.where(up, jnp.inf, -jnp.inf) if order == 1 else jnp.inf
        infinite = jnp.where(up & down, jnp.nan, infinite)
        return jnp.where(jnp.less_equal(df, order) & (up | down), infinite, moment)


class LeftTruncatedDistribution(AtLeast, LocationScale):
    r"""A symmetric distribution on the line, given that it is at least ``low``.

    .. math:: p(x) = \frac{f(x)}{1 - F(a)}, \quad x \ge a

    with density :math:`f` and cdf :math:`F` of the base distribution.

    :param base_dist: a :class:`Cauchy`, :class:`Laplace`, :class:`Logistic`, :class:`Normal`, :class:`SoftLaplace` or
        :class:`StudentT` distribution.
    :param low: the bound :math:`a`, a real number.
    :support: :math:`x \ge a`
    :raises ValueError: when ``base_dist`` is of another family.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 13.
    """

    __module__ = "numpyro.distributions.truncated"


class RightTruncatedDistribution(AtMost, LocationScale):
    r"""A symmetric distribution on the line, given that it is at most ``high``.

    .. math:: p(x) = \frac{f(x)}{F(b)}, \quad x \le b

    with density :math:`f` and cdf :math:`F` of the base distribution.

    :param base_dist: a :class:`Cauchy`, :class:`Laplace`, :class:`Logistic`, :class:`Normal`, :class:`SoftLaplace` or
        :class:`StudentT` distribution.
    :param high: the bound :math:`b`, a real number.
    :support: :math:`x \le b`
    :raises ValueError: when ``base_dist`` is of another family.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 13.
    """

    __module__ = "numpyro.distributions.truncated"


class TwoSidedTruncatedDistribution(Between, LocationScale):
    r"""A symmetric distribution on the line, given that it lies between ``low`` and ``high``.

    .. math:: p(x) = \frac{f(x)}{F(b) - F(a)}, \quad a \le x \le b

    with density :math:`f` and cdf :math:`F` of the base distribution.

    :param base_dist: a :class:`Cauchy`, :class:`Laplace`, :class:`Logistic`, :class:`Normal`, :class:`SoftLaplace` or
        :class:`StudentT` distribution.
    :param low: the lower bound :math:`a`.
    :param high: the upper bound :math:`b > a`.
    :support: :math:`a \le x \le b`
    :raises ValueError: when ``base_dist`` is of another family.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 13.
    """

    __module__ = "numpyro.distributions.truncated"


def TruncatedDistribution(
    base_dist: Distribution,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    *,
    validate_args: bool | None = None,
) -> Distribution:
    """A symmetric distribution on the line, truncated on either side or on both.

    :param base_dist: a :class:`Cauchy`, :class:`Laplace`, :class:`Logistic`, :class:`Normal`, :class:`SoftLaplace` or
        :class:`StudentT` distribution.
    :param low: lower bound; default none.
    :param high: upper bound; default none.
    :return: :class:`LeftTruncatedDistribution`, :class:`RightTruncatedDistribution`,
        :class:`TwoSidedTruncatedDistribution`, or ``base_dist`` itself, whichever the given bounds call for.
    :raises ValueError: when ``base_dist`` is of another family.

    >>> import numpyro.distributions as dist
    >>> d = TruncatedDistribution(dist.Normal(0.0, 1.0), low=30.0)
    >>> round(float(d.mean), 3)
    30.033
    """
    return truncate(
        base_dist,
        low,
        high,
        validate_args,
        at_least=LeftTruncatedDistribution,
        at_most=RightTruncatedDistribution,
        between=TwoSidedTruncatedDistribution,
    )


def TruncatedNormal(
    loc: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> Distribution:
    """The truncated normal distribution.

    :param loc: mean of the normal distribution.
    :param scale: its standard deviation.
    :param low: lower bound; default none.
    :param high: upper bound; default none.
    :return: see :func:`TruncatedDistribution`.
    """
    base = Normal(loc, scale, validate_args=validate_args)
    return TruncatedDistribution(base, low, high, validate_args=validate_args)


def TruncatedCauchy(
    loc: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> Distribution:
    """The truncated Cauchy distribution.

    :param loc: median of the Cauchy distribution.
    :param scale: half its width at half its maximum.
    :param low: lower bound; default none.
    :param high: upper bound; default none.
    :return: see :func:`TruncatedDistribution`.
    """
    base = Cauchy(loc, scale, validate_args=validate_args)
    return TruncatedDistribution(base, low, high, validate_args=validate_args)


for _factory in (TruncatedDistribution, TruncatedNormal, TruncatedCauchy):
    _factory.__module__ = "numpyro.distributions.truncated"
