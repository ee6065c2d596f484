"""The bijection of a latent site, with errors that name the site where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpyro._errors import UsageError
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform, biject_to


def site_bijection(site: Mapping[str, Any]) -> Transform:
    """The transform from the unconstrained space onto the support of a site.

    :param site: a sample site of continuous support.
    :raises UsageError: for a site on a sphere, or whose distribution declares no support.
    :raises NotImplementedError: for a support that no transform is registered for.
    """
    name, fn = site["name"], site["fn"]
    if fn.support is None:
        raise UsageError(
            f"Site '{name}': {type(fn).__name__} declares no support, so that it is not known which values it takes. "
            "Give the class one, as in support = constraints.real."
        )
    if innermost(fn.support) is constraints.sphere:
        raise UsageError(
            f"Continuous inference cannot handle spherical sample site '{name}'. Consider using ProjectedNormal "
            "distribution together with a reparameterizer, e.g. "
            f"numpyro.handlers.reparam(config={{'{name}': ProjectedNormalReparam()}})."
        )
    try:
        return biject_to(fn.support)
    except NotImplementedError as error:
        raise NotImplementedError(f"Site '{name}' ({type(fn).__name__}): {error}") from error


def innermost(support: Any) -> Any:
    """The constraint on one part of an event, where ``independent`` has put parts together."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support
