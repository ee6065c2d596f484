"""Distributions given that they lie between bounds.

The maths of truncation, in reading order: :mod:`~.standard` says what is needed of a standard distribution, and has it
for families with elementary tails; :mod:`~.standard_normal`, :mod:`~.standard_student_t` and :mod:`~.standard_gamma`
for others; :mod:`~.families` says which distribution is which of these; :mod:`~.interval` makes densities, quantiles
and expectations of it; :mod:`~.base` is a distribution made of these. The families: :mod:`~.location_scale`,
:mod:`~.gamma`, and, with formulas of their own, :mod:`~.power_law` and :mod:`~.polya_gamma`.
"""

from numpyro.distributions.truncated.gamma import (
    LeftTruncatedGamma,
    RightTruncatedGamma,
    TruncatedGamma,
    TwoSidedTruncatedGamma,
)
from numpyro.distributions.truncated.location_scale import (
    LeftTruncatedDistribution,
    RightTruncatedDistribution,
    TruncatedCauchy,
    TruncatedDistribution,
    TruncatedNormal,
    TwoSidedTruncatedDistribution,
)
from numpyro.distributions.truncated.polya_gamma import TruncatedPolyaGamma
from numpyro.distributions.truncated.power_law import DoublyTruncatedPowerLaw, LowerTruncatedPowerLaw

__all__ = [
    "DoublyTruncatedPowerLaw",
    "LeftTruncatedDistribution",
    "LeftTruncatedGamma",
    "LowerTruncatedPowerLaw",
    "RightTruncatedDistribution",
    "RightTruncatedGamma",
    "TruncatedCauchy",
    "TruncatedDistribution",
    "TruncatedGamma",
    "TruncatedNormal",
    "TruncatedPolyaGamma",
    "TwoSidedTruncatedDistribution",
    "TwoSidedTruncatedGamma",
]
