r"""Mixtures of distributions: a component is drawn first, then a value of it.

.. math:: p(x) = \sum_k w_k\, p_k(x)

:class:`MixtureSameFamily` has its components along the last batch dimension of one distribution,
:class:`MixtureGeneral` has a list of distributions; :func:`Mixture` makes whichever fits.
:mod:`~.base` has what both share.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpyro.distributions.distribution import Distribution
from numpyro.distributions.mixtures.base import _MixtureBase  # noqa: F401  (the common class, for isinstance)
from numpyro.distributions.mixtures.general import MixtureGeneral
from numpyro.distributions.mixtures.same_family import MixtureSameFamily

__all__ = ["Mixture", "MixtureGeneral", "MixtureSameFamily"]


def Mixture(
    mixing_distribution: Distribution,
    component_distributions: Distribution | Sequence[Distribution],
    *,
    validate_args: bool | None = None,
) -> MixtureSameFamily | MixtureGeneral:
    """A mixture of distributions.

    :param mixing_distribution: a :class:`Categorical` distribution of the components.
    :param component_distributions: a list of distributions, or one distribution with the components along its last
        batch dimension.
    :return: :class:`MixtureGeneral` of a list, :class:`MixtureSameFamily` of a distribution.
    """
    if isinstance(component_distributions, Distribution):
        return MixtureSameFamily(mixing_distribution, component_distributions, validate_args=validate_args)
    return MixtureGeneral(mixing_distribution, component_distributions, validate_args=validate_args)


Mixture.__module__ = "numpyro.distributions.mixtures"
