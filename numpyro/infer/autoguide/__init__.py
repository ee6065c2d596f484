"""Guides that are made from models.

In reading order: ``base`` and ``params``, what they share; ``normal`` and ``delta``, a distribution at each site;
``continuous``, one distribution for the vector of all unconstrained values; ``gaussian``, ``batched``, ``laplace`` and
``flows``, such distributions; ``annealing``, ``dais`` and ``semi_dais``, draws moved towards the posterior;
``guide_list``, guides for parts of a model.
"""

from numpyro.infer.autoguide.base import AutoGuide
from numpyro.infer.autoguide.batched import (
    AutoBatchedLowRankMultivariateNormal,
    AutoBatchedMixin,
    AutoBatchedMultivariateNormal,
)
from numpyro.infer.autoguide.continuous import AutoContinuous
from numpyro.infer.autoguide.dais import AutoDAIS, AutoSurrogateLikelihoodDAIS
from numpyro.infer.autoguide.delta import AutoDelta
from numpyro.infer.autoguide.flows import AutoBNAFNormal, AutoIAFNormal
from numpyro.infer.autoguide.gaussian import AutoDiagonalNormal, AutoLowRankMultivariateNormal, AutoMultivariateNormal
from numpyro.infer.autoguide.guide_list import AutoGuideList
from numpyro.infer.autoguide.laplace import AutoLaplaceApproximation
from numpyro.infer.autoguide.normal import AutoNormal
from numpyro.infer.autoguide.semi_dais import AutoSemiDAIS

__all__ = [
    "AutoBNAFNormal",
    "AutoBatchedLowRankMultivariateNormal",
    "AutoBatchedMixin",
    "AutoBatchedMultivariateNormal",
    "AutoContinuous",
    "AutoDAIS",
    "AutoDelta",
    "AutoDiagonalNormal",
    "AutoGuide",
    "AutoGuideList",
    "AutoIAFNormal",
    "AutoLaplaceApproximation",
    "AutoLowRankMultivariateNormal",
    "AutoMultivariateNormal",
    "AutoNormal",
    "AutoSemiDAIS",
    "AutoSurrogateLikelihoodDAIS",
]

for _name in __all__:
    globals()[_name].__module__ = "numpyro.infer.autoguide"
