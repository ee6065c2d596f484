"""Whether a model and a guide belong together, site by site."""

from __future__ import annotations

import warnings
from typing import Any

import jax.numpy as jnp

from numpyro._errors import UsageError
from numpyro.distributions import Delta, Distribution, constraints
from numpyro.infer.elbo.particles import Trace
from numpyro.infer.model.density import Site, is_latent
from numpyro.util import find_stack_level


def check_match(model_trace: Trace, guide_trace: Trace) -> None:
    """Compare the sites of a model's and a guide's trace.

    A latent site of the model that the guide misses, and a site of the guide that the model lacks, are a warning, since
    the objective is still defined: the model draws the one from its prior, and the other one's density is subtracted.

    So is a guide whose draws may lie outside of the support that the model has: it works as long as none does.

    :raises ValueError: where a site has different shapes, event dimensions or plates in the two.
    """
    guide_sites = {name: site for name, site in guide_trace.items() if is_latent(site)}
    latent = {name for name, site in model_trace.items() if is_latent(site) and not _is_auxiliary(site)}
    missing = latent - set(guide_sites)
    if missing:
        _warn(
            f"Found vars in model but not guide: {missing}. The model draws them from their priors: give the guide a "
            "sample site for each."
        )
    proposed = {name for name, site in guide_sites.items() if not _is_auxiliary(site)}
    extra = proposed - {name for name, site in model_trace.items() if is_latent(site)}
    if extra:
        _warn(
            "Found non-auxiliary vars in guide but not model, consider marking these infer={'is_auxiliary': True}:\n"
            f"{extra}"
        )
    for name in proposed - extra:
        _check_site(name, model_trace[name], guide_sites[name])


def _check_site(name: str, model_site: Site, guide_site: Site) -> None:
    model_fn, guide_fn = model_site["fn"], guide_site["fn"]
    if model_fn.event_dim != guide_fn.event_dim:
        raise UsageError(
            f"Model and guide event_dims disagree at site '{name}': {model_fn.event_dim} vs {guide_fn.event_dim}. Use "
            "`.to_event(n)` so that as many dimensions are one event in both."
        )
    model_shape = tuple(model_fn.shape(model_site["kwargs"].get("sample_shape", ())))
    guide_shape = tuple(jnp.shape(guide_site["value"]))
    if model_shape != guide_shape:
        hint = _plates(model_site, guide_site)
        raise UsageError(f"Model and guide shapes disagree at site '{name}': {model_shape} vs {guide_shape}{hint}.")
    _check_support(name, model_fn, guide_fn)


def _check_support(name: str, model_fn: Distribution, guide_fn: Distribution) -> None:
    model_support, guide_support = _of_elements(model_fn.support), _of_elements(guide_fn.support)
    if model_support is None or guide_support is None or _is_delta(guide_fn):
        return
    wider = guide_support is constraints.real and model_support is not constraints.real
    if wider or guide_support.is_discrete != model_support.is_discrete:
        _warn(
            f"Model and guide supports disagree at site '{name}': {type(model_fn).__name__} has {model_support}, "
            f"{type(guide_fn).__name__} has {guide_support}. A draw that the model gives no density makes the loss "
            "infinite: give the guide a distribution on the model's support, such as "
            "TransformedDistribution(base, biject_to(support))."
        )


def _of_elements(support: Any) -> Any:
    """The constraint on single elements, where a support is made of one."""
    return getattr(support, "base_constraint", support)


def _is_delta(fn: Distribution) -> bool:
    while hasattr(fn, "base_dist") and not isinstance(fn, Delta):
        fn = fn.base_dist
    return isinstance(fn, Delta)


def _plates(model_site: Site, guide_site: Site) -> str:
    in_model, in_guide = ({f.name for f in site["cond_indep_stack"]} for site in (model_site, guide_site))
    if in_model == in_guide:
        return ""
    return f", with the plates {sorted(in_model)} in the model and {sorted(in_guide)} in the guide"


def _is_auxiliary(site: Site) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=find_stack_level())
