"""From the trace of a model with enumerated sites to the sum that it stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array
from numpyro.distributions._shapes import scale_and_mask
from numpyro.enumeration.enumerating import ENUMERATED, PIECE, PIECES
from numpyro.enumeration.loop import Chain
from numpyro.ops.sum_product import Factor, NamedArray, Plate, Problem, Variable

Trace = Mapping[str, Mapping[str, Any]]


def enumerated_sites(model_trace: Trace) -> dict[str, int]:
    """The dimensions of the enumerated sites of a trace, by name."""
    return {
        name: site["infer"][ENUMERATED]
        for name, site in model_trace.items()
        if site["type"] == "sample" and ENUMERATED in site["infer"]
    }


def marginal_problem(
    model_trace: Trace,
    extra_terms: Mapping[str, Array] | None = None,
    kept: Collection[str] = (),
    fixed: Mapping[str, Variable] | None = None,
) -> Problem:
    """The sum over the enumerated sites of a trace.

    The scale of a plate that takes a subsample holds for what is summed out within it, as if each entry stood for
    several; any other scale (``handlers.scale``) raises the site's own probability to a power, before the sum.

    :param model_trace: a trace.
    :param extra_terms: further terms by site, of the shape of its log probability.
    :param kept: plates that stay in the result.
    :param fixed: enumerated variables of another trace that stay in the result.
    """
    sites = {
        name: site for name, site in model_trace.items() if site["type"] == "sample" and PIECES not in site["infer"]
    }
    plates = plates_of(model_trace)
    factors = [
        site_factor(site, unscaled_log_prob(site, (extra_terms or {}).get(name)), plates)
        for name, site in sites.items()
    ]
    variables = enumerated_variables(model_trace)
    if fixed:
        variables = {name: variable for name, variable in variables.items() if name not in fixed}
    return Problem(factors, variables, plates, frozenset(kept), fixed or {})


def enumerated_variables(model_trace: Trace) -> dict[str, Variable]:
    """The enumerated sites of a trace as variables."""
    variables = {}
    for name, dim in enumerated_sites(model_trace).items():
        site = model_trace[name]
        size = jnp.shape(site["value"])[dim - site["fn"].event_dim]
        variables[name] = Variable(size, frozenset(frame.name for frame in site["cond_indep_stack"]))
    for chain in chains_of(model_trace):
        variables |= chain.variables
    return variables


def chains_of(model_trace: Trace) -> list[Chain]:
    """The loops of a trace that have enumerated sites."""
    pieces = [site["infer"].get(PIECE) for site in model_trace.values() if site["type"] == "sample"]
    return list({chain.time: chain for piece in pieces if piece is not None for chain in piece.chains}.values())


def unscaled_log_prob(site: Mapping[str, Any], extra_term: Array | None = None) -> Array:
    """The log probability of a site, of its batch shape, and what is to be added to it."""
    fn, value, intermediates = site["fn"], site["value"], site["intermediates"]
    log_prob = fn.log_prob(value, intermediates) if intermediates else fn.log_prob(value)
    return log_prob if extra_term is None else log_prob + extra_term


def site_factor(site: Mapping[str, Any], log_prob: Array, plates: Mapping[str, Plate]) -> Factor:
    """A term of a site, by its scale but those of plates, as a factor.

    Axes that are neither a plate's nor an enumerated site's are summed.
    """
    log_prob = scale_and_mask(log_prob, _own_scale(site, plates))
    names = dict(site["infer"].get("dim_to_name", ()))
    names.update((frame.dim, frame.name) for frame in site["cond_indep_stack"])
    shape = jnp.shape(log_prob)
    dims = range(-len(shape), 0)
    times = site["infer"][PIECE].times if PIECE in site["infer"] else ()
    names.update((-1 - rank, time) for rank, time in times)
    rest = tuple(axis for axis, dim in enumerate(dims) if shape[axis] != 1 and dim not in names)
    if rest:
        log_prob = jnp.sum(log_prob, rest, keepdims=True)
    shown = [(axis, names[dim]) for axis, dim in enumerate(dims) if jnp.shape(log_prob)[axis] != 1]
    array = jnp.reshape(log_prob, [jnp.shape(log_prob)[axis] for axis, _ in shown])
    inside = frozenset(frame.name for frame in site["cond_indep_stack"]).union(time for _, time in times)
    return Factor(NamedArray(array, tuple(name for _, name in shown)), inside, (site["name"],))


def plates_of(model_trace: Trace) -> dict[str, Plate]:
    """The plates of a trace, with the scales of those that take a subsample."""
    plates = {}
    for site in model_trace.values():
        for frame in site["cond_indep_stack"] if site["type"] == "sample" else ():
            declared = model_trace.get(frame.name)
            full = declared["args"][0] if declared is not None and declared["type"] == "plate" else frame.size
            plates[frame.name] = Plate(frame.size, full / frame.size)
    plates.update((chain.time, chain.plate) for chain in chains_of(model_trace))
    return plates


def _own_scale(site: Mapping[str, Any], plates: Mapping[str, Plate]) -> Any:
    """The scale of a site less what its plates account for."""
    scale = site["scale"]
    if scale is None:
        return None
    by_plates = float(np.prod([plates[frame.name].scale for frame in site["cond_indep_stack"]]))
    own = scale if by_plates == 1 else scale / by_plates
    return None if isinstance(own, int | float) and np.isclose(own, 1.0, rtol=1e-12) else own
