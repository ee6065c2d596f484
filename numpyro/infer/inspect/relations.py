"""The sites of a model and what connects them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro.infer.inspect.dependencies import Site, upstream_sites

_WRAPPERS = frozenset({"ExpandedDistribution", "Independent", "MaskedDistribution"})


def get_model_relations(
    model: Callable, model_args: tuple | None = None, model_kwargs: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Tables of a model's sites, params and plates, and of what depends directly on what.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :return: a dictionary with

        - ``sample_sample``: by sample or deterministic site, the sites that its distribution (its value, if
          deterministic) makes use of,
        - ``sample_param``: likewise the params,
        - ``sample_dist``: by site the name of its distribution, without what expands, masks or reshapes it,
        - ``param_constraint``: by param its constraint, in words; empty where it has none,
        - ``plate_sample``: by plate its sites. Where two plates overlap and none lies within the other, the second is
          cut in two, of which one is called ``{name}__CLONE``: a picture can draw them as nested boxes,
        - ``observed``: the names of the observed sites.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     x = numpyro.sample("x", dist.Normal(0, 1))
    ...     with numpyro.plate("N", 3):
    ...         numpyro.sample("y", dist.LogNormal(x, 1), obs=2.0)
    >>> relations = get_model_relations(model)
    >>> relations["sample_sample"], relations["plate_sample"], relations["observed"]
    ({'x': [], 'y': ['x']}, {'N': ['y']}, ['y'])
    """
    sites, upstream = upstream_sites(
        model,
        model_args,
        model_kwargs,
        marks=lambda site: site["type"] in ("sample", "deterministic", "param"),
        of_values=lambda site: site["type"] == "deterministic",
    )
    nodes = {name: site for name, site in sites.items() if site["type"] in ("sample", "deterministic")}
    params = {name: site for name, site in sites.items() if site["type"] == "param"}
    return {
        "sample_sample": {
            name: [other for other in nodes if other in upstream[name] and other != name] for name in nodes
        },
        "sample_param": {name: [other for other in params if other in upstream[name]] for name in nodes},
        "sample_dist": {name: _distribution_name(site) for name, site in nodes.items()},
        "param_constraint": {name: _constraint(site) for name, site in params.items()},
        "plate_sample": _plates(sites, nodes),
        "observed": [name for name, site in nodes.items() if site.get("is_observed")],
    }


def _distribution_name(site: Site) -> str:
    if site["type"] == "deterministic":
        return "Deterministic"
    fn = site["fn"]
    while type(fn).__name__ in _WRAPPERS:
        fn = fn.base_dist
    return type(fn).__name__


def _constraint(site: Site) -> str:
    constraint = site["kwargs"].get("constraint")
    return "" if constraint is None else str(constraint)


def _plates(sites: dict[str, Site], nodes: dict[str, Site]) -> dict[str, list[str]]:
    """The sites of each plate; of any two plates one lies within the other, or they have no site in common."""
    members: dict[str, list[str]] = {name: [] for name, site in sites.items() if site["type"] == "plate"}
    for name, site in nodes.items():
        for frame in reversed(site["cond_indep_stack"]):
            members.setdefault(frame.name, []).append(name)
    nested: dict[str, list[str]] = {}
    for plate, names in members.items():
        pieces = [names] if names else []
        for other in nested.values():
            pieces = [part for piece in pieces for part in _cut(piece, other)]
        for number, piece in enumerate(pieces):
            nested[plate + "__CLONE" * number] = piece
    return nested


def _cut(names: list[str], other: list[str]) -> list[list[str]]:
    inside = [name for name in names if name in other]
    outside = [name for name in names if name not in other]
    if not inside or not outside or len(inside) == len(other):
        return [names]
    return [inside, outside]
