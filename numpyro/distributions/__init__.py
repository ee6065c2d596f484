"""Distributions, the constraints that say where values live, and the transforms between them.

The idea, in reading order:

- :mod:`~numpyro.distributions.distribution`: what a distribution is (batch and event shapes, validation, pytrees),
  and the wrappers ``to_event``, ``expand``, ``mask``, transformed distributions;
- :mod:`~numpyro.distributions.constraints` and :mod:`~numpyro.distributions.transforms`: supports, and the bijections
  ``biject_to`` between them and the real line;
- :mod:`~numpyro.distributions.continuous`, :mod:`~numpyro.distributions.discrete`: the families, one a file;
- :mod:`~numpyro.distributions.kl`: divergences between them; :mod:`~numpyro.distributions.batch_util`: batches by
  ``vmap``;
- :mod:`~numpyro.distributions.util`: functions that families share.
"""

from numpyro.distributions import batch_util, constraints, flows, kl, transforms, util
from numpyro.distributions.censored import *  # noqa: F403
from numpyro.distributions.censored import __all__ as _censored
from numpyro.distributions.conjugate import *  # noqa: F403
from numpyro.distributions.conjugate import __all__ as _conjugate
from numpyro.distributions.continuous import *  # noqa: F403
from numpyro.distributions.continuous import __all__ as _continuous
from numpyro.distributions.copula import *  # noqa: F403
from numpyro.distributions.copula import __all__ as _copula
from numpyro.distributions.directional import *  # noqa: F403
from numpyro.distributions.directional import __all__ as _directional
from numpyro.distributions.discrete import *  # noqa: F403
from numpyro.distributions.discrete import __all__ as _discrete
from numpyro.distributions.distribution import (
    Delta,
    Distribution,
    ExpandedDistribution,
    FoldedDistribution,
    ImproperUniform,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
    Unit,
)
from numpyro.distributions.kl import kl_divergence
from numpyro.distributions.mixtures import *  # noqa: F403
from numpyro.distributions.mixtures import __all__ as _mixtures
from numpyro.distributions.transforms import biject_to
from numpyro.distributions.truncated import *  # noqa: F403
from numpyro.distributions.truncated import __all__ as _truncated

__all__ = [
    "Delta",
    "Distribution",
    "ExpandedDistribution",
    "FoldedDistribution",
    "ImproperUniform",
    "Independent",
    "MaskedDistribution",
    "TransformedDistribution",
    "Unit",
    "batch_util",
    "biject_to",
    "constraints",
    "flows",
    "kl",
    "kl_divergence",
    "transforms",
    "util",
    *_censored,
    *_conjugate,
    *_continuous,
    *_copula,
    *_directional,
    *_discrete,
    *_mixtures,
    *_truncated,
]
