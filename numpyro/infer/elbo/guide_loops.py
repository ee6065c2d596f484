"""Loops of a guide with enumerated sites.

The model runs a loop of its own, in which the sites of the guide's are enumerated once more, step by step under the
same names. Each term of the bound is then averaged over the few steps that it depends on, whose distribution under the
guide is found by going forward through the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro.enumeration import PIECE, PIECES, chains_of, enumerated_variables
from numpyro.infer.elbo.particles import Trace, is_scored
from numpyro.ops.sum_product import Factor
from numpyro.ops.sum_product.elimination import connected
from numpyro.ops.sum_product.forward import forward
from numpyro.ops.sum_product.named import product


def proposed_in_loops(guide_trace: Trace) -> dict[str, str]:
    """The enumerated sites in the loops of a guide, with the names of time.

    :raises ValueError: where a loop has sites that cannot be averaged over step by step.
    """
    variables = enumerated_variables(guide_trace)
    for name, site in guide_trace.items():
        if site["type"] != "sample":
            continue
        if PIECES in site["infer"] and is_scored(site):
            raise UsageError(
                f"The guide draws the site '{name}' ({type(site['fn']).__name__}), which cannot be reparametrised, in "
                "a scan in which it enumerates other sites: draw it in a scan of its own."
            )
        piece = site["infer"].get(PIECE)
        if piece is None:
            continue
        if len(piece.chains) > 1:
            raise UsageError(
                f"The guide enumerates '{name}' in a scan inside the body of another scan. Write one of the loops of "
                "the guide in Python (for t in markov(range(T)): ...)."
            )
        if piece.is_latent and piece.dim is None and variables.keys() & set(site["infer"]["dim_to_name"].values()):
            raise UsageError(
                f"The site '{name.partition('@')[0]}' in a scan of the guide depends on sites that are enumerated, so "
                "that it would be drawn once for each of their values: let it depend on other sites only."
            )
    return {name: chain.time for chain in chains_of(guide_trace) for name in chain.sites}


def require_same_loops(model_trace: Trace, guide_trace: Trace) -> None:
    """Raise where what the guide enumerates in a loop is not in one loop of the model, of the same steps."""
    of_model = {chain.time: chain for chain in chains_of(model_trace)}
    for chain in chains_of(guide_trace):
        other = of_model.get(chain.time)
        names = ", ".join(f"'{name}'" for name in chain.sites)
        if (
            other is None
            or other.plate.size != chain.plate.size
            or any(other.sites.get(name) != pieces for name, pieces in chain.sites.items())
            or any(other.variables.get(name) != variable for name, variable in chain.variables.items())
        ):
            raise UsageError(
                f"The guide enumerates {names} in a scan. The model must have them, latent, in one scan, too, of the "
                "same length, direction and history, in the same plates and with as many values."
            )
        for name in chain.variables:
            sites = [trace[name] for trace in (model_trace, guide_trace) if name in trace]
            if len(sites) == 2 and not _same_values(sites[0]["value"], sites[1]["value"]):
                raise UsageError(f"The supports of {names} differ between the scans of the model and of the guide.")


def _same_values(one: Any, other: Any) -> bool:
    if isinstance(one, jax.core.Tracer) or isinstance(other, jax.core.Tracer):
        return True
    return np.array_equal(np.ravel(one), np.ravel(other))


def densities_of_states(guide_trace: Trace, densities: Mapping[str, Factor]) -> dict[str, Factor]:
    """The log probabilities of what the steps of loops find of the steps before, and of what they leave at the end.

    :param densities: those of the sites of the guide, each given those before it.
    :return: by the names of these variables; variables that are not independent share one.
    """
    found = {}
    for chain in chains_of(guide_trace):
        links = chain.plate.links
        if links is None:
            continue
        factors = [densities[name] for name in links.newest]
        for group in connected(factors, links.names, links.chains):
            own = links.restricted({name for factor in group for name in factor.log.names})
            before = dict(zip((name for names in own.first for name in names), own.before, strict=True))
            start = product([densities[name].log for name in before]).renamed(before)
            states = forward(start, [factor.log for factor in group], chain.time, chain.plate.size, own)
            of_names = (own.before, [name for names in own.last for name in names])
            for names, log in zip(of_names, states, strict=True):
                found.update(dict.fromkeys(names, Factor(log, frozenset(), ())))
    return found
