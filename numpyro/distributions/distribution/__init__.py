"""The frame that all distributions share, and the wrappers that make one distribution of another.

In reading order: :mod:`~.base` is the contract; :mod:`~.wrapper` what wrappers share, which are :mod:`~.independent`
(``to_event``), :mod:`~.expanded` (``expand``) and :mod:`~.masked` (``mask``); :mod:`~.transformed` and
:mod:`~.folded` change variables; :mod:`~.delta`, :mod:`~.unit` and :mod:`~.improper` are distributions without a
family; :mod:`~.validation` turns checks on and off.
"""

from numpyro.distributions.distribution.base import Distribution, DistributionMeta
from numpyro.distributions.distribution.delta import Delta
from numpyro.distributions.distribution.expanded import ExpandedDistribution
from numpyro.distributions.distribution.folded import FoldedDistribution
from numpyro.distributions.distribution.improper import ImproperUniform
from numpyro.distributions.distribution.independent import Independent
from numpyro.distributions.distribution.masked import MaskedDistribution
from numpyro.distributions.distribution.transformed import TransformedDistribution
from numpyro.distributions.distribution.unit import Unit
from numpyro.distributions.distribution.validation import enable_validation, validation_enabled

__all__ = [
    "Delta",
    "Distribution",
    "DistributionMeta",
    "ExpandedDistribution",
    "FoldedDistribution",
    "ImproperUniform",
    "Independent",
    "MaskedDistribution",
    "TransformedDistribution",
    "Unit",
    "enable_validation",
    "validation_enabled",
]
