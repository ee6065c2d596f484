"""The evidence lower bound by draws of the guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.elbo.base import ELBO, LossWithMutableState
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.particles import (
    Trace,
    mean_over_particles,
    mutable_state,
    run_both,
    site_terms,
    sum_terms,
    trace_guide,
    trace_model,
    with_scores,
)
from numpyro.infer.model.density import is_latent


class Trace_ELBO(ELBO):
    """The evidence lower bound, estimated by :math:`\\log p(x, z) - \\log q(z)` at draws :math:`z \\sim q`.

    Gradients pass through draws that are reparametrised. Those of other sites, discrete ones above all, are the whole
    estimate times the gradient of :math:`\\log q`, which scatters widely: :class:`TraceGraph_ELBO` does better.

    :param num_particles: draws of the guide that the estimate is the mean of.
    :param vectorize_particles: see :class:`ELBO`.
    :param multi_sample_guide: one run of the guide proposes several draws, along a leading dimension of its latent
        values; the estimate is their mean.
    :param sum_sites: ``False`` for the terms by site, in place of their sum.

    **References:** Kingma & Welling, *Auto-encoding variational Bayes* (2014); Ranganath, Gerrish & Blei, *Black box
    variational inference* (2014).
    """

    def __init__(
        self,
        num_particles: int = 1,
        vectorize_particles: bool | Callable = True,
        multi_sample_guide: bool = False,
        sum_sites: bool = True,
    ) -> None:
        super().__init__(num_particles, vectorize_particles)
        self.multi_sample_guide = multi_sample_guide
        self.sum_sites = sum_sites

    def loss_with_mutable_state(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> LossWithMutableState:
        def of_one(rng_key: Key) -> dict[str, Any]:
            if self.multi_sample_guide:
                terms, state = _multi_sample_terms(rng_key, param_map, model, guide, args, kwargs)
            else:
                model_trace, guide_trace = run_both(rng_key, param_map, model, guide, args, kwargs)
                check_match(model_trace, guide_trace)
                terms = difference(site_terms(model_trace), site_terms(guide_trace))
                terms = with_scores(terms, model_trace, guide_trace)
                state = mutable_state(guide_trace, model_trace)
            return {"loss": negative(terms, self.sum_sites), "mutable_state": state}

        return mean_over_particles(of_one, rng_key, self.num_particles, self.vectorize_particles)


def difference(model_terms: dict[str, Array], guide_terms: dict[str, Array]) -> dict[str, Array]:
    """The terms of the model less those of the guide, by site."""
    terms = dict(model_terms)
    for name, term in guide_terms.items():
        terms[name] = terms[name] - term if name in terms else -term
    return terms


def negative(terms: dict[str, Array], sum_sites: bool) -> Any:
    """Minus the sum of the terms, or the negative terms by site."""
    return -sum_terms(terms) if sum_sites else {name: -term for name, term in terms.items()}


def _multi_sample_terms(
    rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, args: tuple, kwargs: dict
) -> tuple[dict[str, Array], dict[str, PyTree] | None]:
    """The terms where one run of the guide proposes several draws: means over them."""
    model_key, guide_key = jax.random.split(rng_key)
    guide_trace = trace_guide(guide_key, param_map, guide, args, kwargs)
    latents = {name: site["value"] for name, site in guide_trace.items() if is_latent(site)}
    others: Trace = {name: site for name, site in guide_trace.items() if name not in latents}

    def of_one_draw(values: dict[str, PyTree]) -> dict[str, Array]:
        proposed = others | {name: {**guide_trace[name], "value": value} for name, value in values.items()}
        return site_terms(trace_model(model_key, param_map, model, args, kwargs, proposed))

    model_terms = {name: jnp.mean(term) for name, term in jax.vmap(of_one_draw)(latents).items()}
    num_draws = jnp.shape(jax.tree.leaves(latents)[0])[0]
    guide_terms = {name: term / num_draws for name, term in site_terms(guide_trace).items()}
    return with_scores(difference(model_terms, guide_terms), {}, guide_trace), mutable_state(guide_trace)


Trace_ELBO.__module__ = "numpyro.infer.elbo"
