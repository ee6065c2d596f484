"""The evidence lower bound with divergences in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions._shapes import scale_and_mask
from numpyro.distributions.kl import kl_divergence
from numpyro.infer.elbo.base import ELBO, LossWithMutableState
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.particles import (
    Trace,
    mean_over_particles,
    mutable_state,
    run_both,
    site_terms,
    with_scores,
)
from numpyro.infer.elbo.trace import negative
from numpyro.infer.model.density import Site, is_latent, total


class TraceMeanField_ELBO(ELBO):
    """The evidence lower bound of a mean-field guide, with Kullback-Leibler divergences in closed form where there are.

    .. math::

        E_q \\log p(x \\mid z) - \\sum_i \\operatorname{KL}(q(z_i) \\,\\|\\, p(z_i)),

    with draws of :math:`z`, and :math:`\\log p(z_i) - \\log q(z_i)` at them where no closed form is registered. It is
    the bound only for guides whose sites are independent of each other, given what comes before them in the model.

    :param num_particles: draws of the guide that the estimate is the mean of.
    :param vectorize_particles: see :class:`ELBO`.
    :param sum_sites: ``False`` for the terms by site, in place of their sum.
    :raises ValueError: for a site of the model that the guide misses, and for one of the guide that the model lacks
        and that is not marked ``infer={"is_auxiliary": True}``.
    """

    def __init__(
        self, num_particles: int = 1, vectorize_particles: bool | Callable = True, sum_sites: bool = True
    ) -> None:
        super().__init__(num_particles, vectorize_particles)
        self.sum_sites = sum_sites

    def loss_with_mutable_state(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> LossWithMutableState:
        def of_one(rng_key: Key) -> dict[str, Any]:
            model_trace, guide_trace = run_both(rng_key, param_map, model, guide, args, kwargs)
            check_match(model_trace, guide_trace)
            terms = with_scores(_terms(model_trace, guide_trace), model_trace, guide_trace)
            return {"loss": negative(terms, self.sum_sites), "mutable_state": mutable_state(guide_trace, model_trace)}

        return mean_over_particles(of_one, rng_key, self.num_particles, self.vectorize_particles)


def _terms(model_trace: Trace, guide_trace: Trace) -> dict[str, Array]:
    terms = {}
    for name, site in model_trace.items():
        if is_latent(site):
            if name not in guide_trace:
                raise _MissingSite(
                    f"TraceMeanField_ELBO: the guide has no sample site '{name}', which the model has. Give it one, or "
                    "use Trace_ELBO."
                )
            terms[name] = _prior_term(site, guide_trace[name])
        elif site["type"] == "sample":
            terms |= site_terms({name: site})
    for name, site in guide_trace.items():
        if is_latent(site) and name not in model_trace:
            if not site["infer"].get("is_auxiliary"):
                raise UsageError(
                    f"TraceMeanField_ELBO: the model has no sample site '{name}', which the guide has. If it only "
                    "helps to make other values, mark it with infer={'is_auxiliary': True}."
                )
            terms[name] = -site_terms({name: site})[name]
    return terms


class _MissingSite(UsageError, KeyError):
    """A site that is not there."""

    __str__ = Exception.__str__


def _prior_term(model_site: Site, guide_site: Site) -> Array:
    """:math:`-\\operatorname{KL}(q \\| p)` of one site, or the difference of log densities at the draw."""
    name = model_site["name"]
    try:
        divergence = kl_divergence(guide_site["fn"], model_site["fn"])
    except NotImplementedError:
        return site_terms({name: model_site})[name] - site_terms({name: guide_site})[name]
    return -total(scale_and_mask(divergence, guide_site["scale"]))


TraceMeanField_ELBO.__module__ = "numpyro.infer.elbo"
