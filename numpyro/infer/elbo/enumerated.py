"""The evidence lower bound with exact sums over discrete sites, of the model and of the guide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions._shapes import scale_and_mask
from numpyro.distributions.kl import kl_divergence
from numpyro.enumeration import (
    PIECE,
    PIECES,
    enum,
    enumerated_sites,
    enumerated_variables,
    marginal_problem,
    plates_of,
    site_factor,
    unscaled_log_prob,
)
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.discrete import find_first_available_dim
from numpyro.infer.elbo.base import ELBO, LossWithMutableState
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.dependencies import trace_dependencies
from numpyro.infer.elbo.guide_loops import densities_of_states, proposed_in_loops, require_same_loops
from numpyro.infer.elbo.particles import Detached, Trace, mean_over_particles, mutable_state, scores
from numpyro.infer.model.density import is_latent, total
from numpyro.ops.sum_product import Factor, NamedArray, Plate, eliminate, log_sum_exp
from numpyro.ops.sum_product.contraction import contract


class TraceEnum_ELBO(ELBO):
    """The evidence lower bound, with discrete sites summed out exactly where they are marked to be enumerated.

    Let :math:`y` be the sites that the model enumerates and the guide lacks, :math:`z` those that the guide enumerates,
    and :math:`w` all others that the guide draws; both may stand in the body of a scan. Then

    .. math::

        \\operatorname{ELBO} = E_{q(w)} \\sum_z q(z \\mid w) \\Big[ \\log \\sum_y p(x, y, z, w) - \\log q(z, w) \\Big],

    where both sums are exact, plate by plate. Gradients pass through the draws of :math:`w` that are reparametrised;
    the others count by their scores, each for the terms that depend on it.

    :param num_particles: draws of the guide that the estimate is the mean of.
    :param max_plate_nesting: the number of dimensions that plates of model and guide take; by default it is found by
        a run of both.
    :param vectorize_particles: see :class:`ELBO`.
    :raises ValueError: while running, where a sum cannot be done exactly within the plates, or plates take more
        dimensions than ``max_plate_nesting``.

    **References:** Obermeyer, Bingham, Jankowiak et al., *Tensor variable elimination for plated factor graphs* (2019);
    Schulman, Heess, Weber & Abbeel, *Gradient estimation using stochastic computation graphs* (2015).
    """

    can_infer_discrete = True

    def __init__(
        self, num_particles: int = 1, max_plate_nesting: float = inf, vectorize_particles: bool | Callable = True
    ) -> None:
        super().__init__(num_particles, vectorize_particles)
        if max_plate_nesting != inf and (max_plate_nesting < 0 or max_plate_nesting != int(max_plate_nesting)):
            raise UsageError(
                f"`max_plate_nesting` must be a number of dimensions, 0 or more, but got {max_plate_nesting!r}."
            )
        self.max_plate_nesting = max_plate_nesting

    def loss_with_mutable_state(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> LossWithMutableState:
        depth = self.max_plate_nesting
        if depth == inf:
            depth = max(_batch_depth(fn, param_map, args, kwargs) for fn in (model, guide))

        def run(rng_key: Key) -> tuple[Trace, Trace]:
            model_key, guide_key = jax.random.split(rng_key)
            values = jax.tree.map(lambda leaf: leaf, param_map)  # containers of our own, which a model may change
            return _run_both(seed(model, model_key), seed(guide, guide_key), args, kwargs, values, -1 - int(depth))

        def of_one(rng_key: Key) -> dict[str, Any]:
            model_trace, guide_trace = run(rng_key)
            drawn = {name: site for name, site in guide_trace.items() if name not in enumerated_sites(guide_trace)}
            others = set(enumerated_sites(model_trace)) | set(enumerated_sites(guide_trace))
            # What a trace shows of the sites in loops with enumerated ones is not what counts.
            for site_trace in (model_trace, guide_trace):
                others |= {name for name, site in site_trace.items() if PIECES in site.get("infer", {})}
            whole = {name: site for name, site in model_trace.items() if name not in others}
            check_match(whole, {name: site for name, site in drawn.items() if name not in others})
            score_of = scores({}, drawn)
            reached: dict[str, set[tuple[str, str]]] = {}
            if score_of:
                graph = trace_dependencies(lambda: run(rng_key))
                reached = {name: set(graph.reached_by(name)) for name in score_of}
            elbo = jnp.zeros(())
            for kind, cost, weight in _costs(model_trace, guide_trace):
                value = _expectation(cost, weight, plates_of(model_trace) | plates_of(guide_trace))
                caused = [score_of[s] for s in score_of if any((kind, o) in reached[s] for o in cost.origins)]
                score = sum(map(total, caused), jnp.zeros(()))
                elbo = elbo + value * jnp.exp(score - lax.stop_gradient(score))
            return {"loss": -elbo, "mutable_state": mutable_state(guide_trace, model_trace)}

        return mean_over_particles(of_one, rng_key, self.num_particles, self.vectorize_particles)


def get_importance_trace_enum(
    model: Callable,
    guide: Callable,
    args: tuple,
    kwargs: dict[str, Any],
    params: Mapping[str, PyTree],
    max_plate_nesting: int,
    model_deps: Mapping[str, frozenset[str]],
    guide_desc: Mapping[str, frozenset[str]],
) -> tuple[Trace, Trace, frozenset[str]]:
    """The traces of a model and of its guide with all values of their enumerated sites.

    :param model: a model, seeded.
    :param guide: its guide, seeded.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param params: the (constrained) values of the params.
    :param max_plate_nesting: the number of dimensions that plates take.
    :param model_deps: the sites that those of the model depend on; the dimensions of the values themselves say it.
    :param guide_desc: the sites that depend on those of the guide, likewise.
    :return: the trace of the model, that of the guide, and the names of the sites that the model enumerates and the
        guide lacks. Sites have their log probabilities, of their batch shapes, as ``"log_prob"``.
    """
    model_trace, guide_trace = _run_both(model, guide, args, kwargs, params, -1 - max_plate_nesting)
    for site_trace in (model_trace, guide_trace):
        for site in site_trace.values():
            if site["type"] == "sample":
                site["log_prob"] = scale_and_mask(unscaled_log_prob(site), site["scale"])
    return model_trace, guide_trace, frozenset(enumerated_sites(model_trace))


def _run_both(
    model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any], params: Mapping[str, PyTree], first: int
) -> tuple[Trace, Trace]:
    with Detached(), trace() as guide_trace, enum(first_available_dim=first), substitute(data=params):
        guide(*args, **kwargs)
    detached = Detached(guide_trace)
    with detached, trace() as model_trace, enum(first_available_dim=first) as dims, substitute(data=params):
        dims.adopt(enumerated_sites(guide_trace), proposed_in_loops(guide_trace))
        replay(model, trace=guide_trace)(*args, **kwargs)
    require_same_loops(model_trace, guide_trace)
    return model_trace, guide_trace


def _batch_depth(fn: Callable, params: dict[str, PyTree], args: tuple, kwargs: dict[str, Any]) -> int:
    """The number of batch dimensions of the sites of a model or guide."""
    return -1 - find_first_available_dim(substitute(fn, data=jax.tree.map(jnp.asarray, params)), args, kwargs)


def _costs(model_trace: Trace, guide_trace: Trace) -> list[tuple[str, Factor, NamedArray]]:
    """The terms of the bound, whose they are, and the log weights by which they are to be averaged."""
    fixed = enumerated_variables(guide_trace)
    closed = [name for name, site in guide_trace.items() if name in model_trace and _has_closed_form(site, model_trace)]
    problem = marginal_problem({name: site for name, site in model_trace.items() if name not in closed}, fixed=fixed)
    costs = [("model", term) for term in eliminate(problem).terms]
    plates = plates_of(guide_trace)
    densities = {}
    for name, site in guide_trace.items():
        if site["type"] != "sample" or PIECES in site["infer"]:
            continue
        log_q = unscaled_log_prob(site)
        densities[name] = site_factor({**site, "scale": None}, log_q, plates)
        if name in closed:
            costs.append(("guide", _divergence(model_trace[name], site, plates)))
        elif is_latent(site) or (PIECE in site["infer"] and site["infer"][PIECE].is_latent):
            costs.append(("guide", site_factor(site, -log_q, plates)))
    densities |= densities_of_states(guide_trace, densities)
    return [(kind, cost, _log_weights(cost, fixed, densities)) for kind, cost in costs]


def _has_closed_form(site: Any, model_trace: Trace) -> bool:
    infers = [which.get("infer", {}) for which in (site, model_trace[site["name"]])]
    if not any(infer.get("kl") == "analytic" for infer in infers):
        return False
    if any(PIECES in infer for infer in infers):
        raise UsageError(
            f"The divergence of the site '{site['name']}', which is marked infer={{'kl': 'analytic'}}, cannot be taken "
            "in closed form in a scan with enumerated sites: leave the mark out."
        )
    return not any(PIECE in infer for infer in infers)  # the average over an enumerated site is exact as it is


def _divergence(model_site: Any, guide_site: Any, plates: Mapping[str, Plate]) -> Factor:
    """:math:`-\\operatorname{KL}(q \\| p)` of a site, given the enumerated sites that it depends on."""
    names = dict(model_site["infer"].get("dim_to_name", {})) | dict(guide_site["infer"].get("dim_to_name", {}))
    divergence = kl_divergence(guide_site["fn"], model_site["fn"])
    return site_factor({**guide_site, "infer": {"dim_to_name": names}}, -divergence, plates)


def _log_weights(cost: Factor, fixed: Mapping[str, Any], densities: Mapping[str, Factor]) -> NamedArray:
    """The log probability, under the guide, of the enumerated sites that a term depends on, all others summed out."""
    wanted = [name for name in cost.log.names if name in fixed]
    needed, ancestors = list(wanted), dict.fromkeys(wanted)
    while needed:
        for name in densities[needed.pop()].log.names:
            if name in fixed and name not in ancestors:
                ancestors[name] = None
                needed.append(name)
    logs = list({id(densities[name]): densities[name].log for name in ancestors}.values())
    if not logs:
        return NamedArray(jnp.zeros(()), ())
    return contract(logs, set(ancestors) - set(wanted), log_sum_exp)[0]


def _expectation(cost: Factor, log_weights: NamedArray, plates: Mapping[str, Plate]) -> Array:
    """The mean of a term over enumerated sites of the guide, summed over the plates that it still stands in."""
    value = cost.log
    if log_weights.names:
        names = tuple(dict.fromkeys([*value.names, *log_weights.names]))
        weights, terms = jnp.exp(log_weights.aligned(names)), value.aligned(names)
        # What has no probability does not count, be it infinite.
        value = NamedArray(jnp.where(weights > 0, weights * jnp.where(weights > 0, terms, 0.0), 0.0), names)
    missing = [name for name in cost.plates if name not in value.names]
    scale = prod(plates[name].scale for name in cost.plates) * prod(plates[name].size for name in missing)
    return total(value.array) * scale if scale != 1 else total(value.array)


TraceEnum_ELBO.__module__ = "numpyro.infer.elbo"
get_importance_trace_enum.__module__ = "numpyro.infer.elbo"
