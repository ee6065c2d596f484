"""The evidence lower bound with gradients by what each discrete draw can have caused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.elbo.base import ELBO, LossWithMutableState
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.dependencies import Graph, frames_of, trace_dependencies
from numpyro.infer.elbo.frames import MultiFrameTensor
from numpyro.infer.elbo.particles import (
    Trace,
    is_scored,
    mutable_state,
    over_particles,
    run_both,
    scores,
    sum_terms,
    with_derivative_of,
)
from numpyro.infer.model.density import check_log_prob_shape, site_log_prob, total


class TraceGraph_ELBO(ELBO):
    """The evidence lower bound for guides with draws that are not reparametrised, discrete ones for instance.

    The value is that of :class:`Trace_ELBO`, and so are the gradients where all draws are reparametrised. The gradient
    by the distribution :math:`q(z_i)` of another draw is

    .. math:: E_q\\Big[\\nabla \\log q(z_i) \\; \\Big( \\sum_{j \\text{ after } i} c_j - b_i \\Big) \\Big],

    where the costs :math:`c_j`, terms :math:`\\log p` and :math:`-\\log q` of single sites, are only those that depend
    on :math:`z_i`, directly or through other draws, and along plates that they share only those of the same entry.
    The others have the mean 0 in this product. Dependence is found by following the operations of model and guide.
    With several particles the baseline :math:`b_i` is the mean cost of the other particles.

    :param num_particles: draws of the guide that the estimate is the mean of.
    :param vectorize_particles: see :class:`ELBO`.

    Entries of a plate must be independent given what is outside of it, as plates say; a masked site is taken to have no
    effect on what is not masked.

    **References:** Schulman, Heess, Weber & Abbeel, *Gradient estimation using stochastic computation graphs* (2015);
    Ranganath, Gerrish & Blei, *Black box variational inference* (2014); Mnih & Rezende, *Variational inference for
    Monte Carlo objectives* (2016), of the mean of other particles.
    """

    def loss_with_mutable_state(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> LossWithMutableState:
        def run(rng_key: Key) -> tuple[Trace, Trace]:
            values = jax.tree.map(lambda leaf: leaf, param_map)  # containers of our own, which a model may change
            return run_both(rng_key, values, model, guide, args, kwargs)

        def of_one(rng_key: Key) -> dict[str, Any]:
            model_trace, guide_trace = run(rng_key)
            check_match(model_trace, guide_trace)
            log_q = scores(model_trace, guide_trace)
            costs: dict[str, Any] = {}
            if log_q:
                costs = _downstream(trace_dependencies(lambda: run(rng_key)), model_trace, guide_trace)
            return {
                "elbo": _pathwise(model_trace, guide_trace),
                "scores": log_q,
                "costs": costs,
                "mutable_state": mutable_state(guide_trace, model_trace),
            }

        if self.num_particles == 1:
            found = of_one(rng_key)
            surrogate, value = _surrogate(found["elbo"], found["scores"], found["costs"]), found["elbo"]
            return {"loss": -with_derivative_of(value, surrogate), "mutable_state": found["mutable_state"]}
        found = over_particles(of_one, rng_key, self.num_particles, self.vectorize_particles)
        if found["mutable_state"] is not None:
            raise UsageError(
                "Mutable states are supported with num_particles=1 only: each particle would leave its own."
            )
        costs = jax.tree.map(_less_others, found["costs"])
        surrogates = jax.vmap(_surrogate)(found["elbo"], found["scores"], costs)
        return {"loss": -with_derivative_of(jnp.mean(found["elbo"]), jnp.mean(surrogates)), "mutable_state": None}


def _pathwise(model_trace: Trace, guide_trace: Trace) -> Array:
    """The estimate, with its derivative at fixed draws; that of log q at a draw that is scored has the mean 0."""
    terms = []
    for sign, site_trace in ((1.0, model_trace), (-1.0, guide_trace)):
        for site in site_trace.values():
            if site["type"] != "sample":
                continue
            log_prob = site_log_prob(site)
            check_log_prob_shape(site, log_prob)
            if sign < 0 and is_scored(site):
                log_prob = lax.stop_gradient(log_prob)
            terms.append(sign * total(log_prob))
    return sum_terms(dict(enumerate(terms)))  # type: ignore[arg-type]


def _downstream(graph: Graph, model_trace: Trace, guide_trace: Trace) -> dict[str, Array]:
    """The sum of the costs that each scored draw has an effect on, by site, along the plates of the site."""
    sites = {("model", name): site for name, site in model_trace.items() if site["type"] == "sample"}
    sites |= {("guide", name): site for name, site in guide_trace.items() if site["type"] == "sample"}
    costs = {
        where: lax.stop_gradient(site_log_prob(site)) * (1.0 if where[0] == "model" else -1.0)
        for where, site in sites.items()
    }
    found = {}
    for name in graph.not_reparametrized:
        downstream = MultiFrameTensor()
        for where, shared in graph.reached_by(name).items():
            alone = MultiFrameTensor((frames_of(sites[where]), costs[where]))
            downstream.add((shared, alone.sum_to(shared)))
        found[name] = downstream.sum_to(graph.frames[name])
    return found


def _less_others(costs: Array) -> Array:
    """Costs of particles less the mean of those of the others, which are independent of the draw at hand."""
    others = (jnp.sum(costs, 0) - costs) / (costs.shape[0] - 1)
    return costs - others


def _surrogate(elbo: Array, log_q: dict[str, Array], costs: dict[str, Any]) -> Array:
    """What has the derivative wanted."""
    return elbo + sum(jnp.sum(log_q[name] * cost) for name, cost in costs.items())


TraceGraph_ELBO.__module__ = "numpyro.infer.elbo"
