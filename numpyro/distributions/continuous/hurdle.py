"""Positive amounts that are sometimes none at all: a gamma or log normal distribution with a mass at zero."""

from __future__ import annotations

from numpyro._typing import ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions.continuous.gamma import Gamma
from numpyro.distributions.continuous.normal import LogNormal
from numpyro.distributions.discrete.hurdle import HurdleProbs


class HurdleGamma(HurdleProbs):
    r"""With probability ``gate`` zero, else a draw of a gamma distribution.

    .. math:: p(0) = g, \qquad
        p(x) = (1 - g) \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x}, \quad x > 0

    :param gate: probability :math:`g` of zero, in the unit interval.
    :param concentration: shape :math:`\alpha > 0`.
    :param rate: inverse scale :math:`\beta > 0`.
    :support: :math:`x \ge 0`

    **Reference:** J. Aitchison (1955), "On the distribution of a positive random variable having a discrete probability
    mass at the origin".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "gate": constraints.unit_interval,
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative

    def __init__(
        self, gate: ArrayLike, concentration: ArrayLike, rate: ArrayLike = 1.0, *, validate_args: bool | None = None
    ) -> None:
        _, self.concentration, self.rate = promote_shapes(gate, concentration, rate)
        base = Gamma(self.concentration, self.rate, validate_args=False)
        super().__init__(base, gate, validate_args=validate_args)


class HurdleLogNormal(HurdleProbs):
    r"""With probability ``gate`` zero, else a draw of a log normal distribution.

    .. math:: p(0) = g, \qquad
        p(x) = \frac{1 - g}{x \sigma\sqrt{2\pi}} \exp\Bigl(-\frac{(\log x-\mu)^2}{2\sigma^2}\Bigr), \quad x > 0

    :param gate: probability :math:`g` of zero, in the unit interval.
    :param loc: mean :math:`\mu` of the logarithm.
    :param scale: standard deviation :math:`\sigma > 0` of the logarithm.
    :support: :math:`x \ge 0`

    **Reference:** J. Aitchison (1955), "On the distribution of a positive random variable having a discrete probability
    mass at the origin".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "gate": constraints.unit_interval,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.nonnegative

    def __init__(
        self, gate: ArrayLike, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, *, validate_args: bool | None = None
    ) -> None:
        _, self.loc, self.scale = promote_shapes(gate, loc, scale)
        super().__init__(LogNormal(self.loc, self.scale, validate_args=False), gate, validate_args=validate_args)
