"""Truncated gamma distributions."""

from __future__ import annotations

from typing import Any

from numpyro._typing import ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions.continuous import Gamma
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated.base import Truncated
from numpyro.distributions.truncated.bounds import AtLeast, AtMost, Between, truncate


class GammaBase(Truncated):
    """Truncation of a gamma distribution."""

    supported_types = (Gamma,)
    low: Any = 0.0


class LeftTruncatedGamma(AtLeast, GammaBase):
    r"""A gamma distribution, given that it is at least ``low``.

    .. math:: p(x) = \frac{\beta^\alpha x^{\alpha - 1} e^{-\beta x}}{\Gamma(\alpha, \beta a)}, \quad x \ge a

    with the upper incomplete gamma function :math:`\Gamma(\alpha, \cdot)`.

    :param base_dist: a :class:`Gamma` distribution of concentration :math:`\alpha` and rate :math:`\beta`.
    :param low: the bound :math:`a \ge 0`.
    :support: :math:`x \ge a`
    :raises ValueError: when ``base_dist`` is of another family.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 17.
    """

    __module__ = "numpyro.distributions.truncated"
    arg_constraints = {"low": constraints.nonnegative}


class RightTruncatedGamma(AtMost, GammaBase):
    r"""A gamma distribution, given that it is at most ``high``.

    .. math:: p(x) = \frac{\beta^\alpha x^{\alpha - 1} e^{-\beta x}}{\gamma(\alpha, \beta b)}, \quad 0 < x \le b

    with the lower incomplete gamma function :math:`\gamma(\alpha, \cdot)`.

    :param base_dist: a :class:`Gamma` distribution of concentration :math:`\alpha` and rate :math:`\beta`.
    :param high: the bound :math:`b > 0`.
    :support: :math:`0 < x \le b`
    :raises ValueError: when ``base_dist`` is of another family.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 17.
    """

    __module__ = "numpyro.distributions.truncated"
    arg_constraints = {"high": constraints.positive}

    def __init__(self, base_dist: Distribution, high: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, high, validate_args=validate_args)


class TwoSidedTruncatedGamma(Between, GammaBase):
    r"""A gamma distribution, given that it lies between ``low`` and ``high``.

    .. math:: p(x) = \frac{\beta^\alpha x^{\alpha - 1} e^{-\beta x}}{\gamma(\alpha, \beta b) - \gamma(\alpha, \beta a)},
        \quad a \le x \le b

    with the lower incomplete gamma function :math:`\gamma(\alpha, \cdot)`.

    :param base_dist: a :class:`Gamma` distribution of concentration :math:`\alpha` and rate :math:`\beta`.
    :param low: the lower bound :math:`a \ge 0`.
    :param high: the upper bound :math:`b > a`.
    :support: :math:`a \le x \le b`
    :raises ValueError: when ``base_dist`` is of another family.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 17.
    """

    __module__ = "numpyro.distributions.truncated"


def TruncatedGamma(
    concentration: ArrayLike = 1.0,
    rate: ArrayLike = 1.0,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> Distribution:
    """The truncated gamma distribution.

    :param concentration: shape of the gamma distribution.
    :param rate: its inverse scale.
    :param low: lower bound; default none.
    :param high: upper bound; default none.
    :return: :class:`LeftTruncatedGamma`, :class:`RightTruncatedGamma`, :class:`TwoSidedTruncatedGamma`, or
        :class:`Gamma`, whichever the given bounds call for.
    """
    base = Gamma(concentration, rate, validate_args=validate_args)
    families = {"at_least": LeftTruncatedGamma, "at_most": RightTruncatedGamma, "between": TwoSidedTruncatedGamma}
    return truncate(base, low, high, validate_args, **families)


TruncatedGamma.__module__ = "numpyro.distributions.truncated"
