"""Which sites of a model depend on which, a priori and given the data."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.distributions import Delta
from numpyro.handlers import seed, trace
from numpyro.ops.provenance import mark, provenance
from numpyro.primitives import Messenger

Site = dict[str, Any]
Upstream = dict[str, frozenset[str]]


class _Mark(Messenger):
    """Marks the values of sites with their names."""

    def __init__(self, chooses: Callable[[Site], bool]) -> None:
        self.chooses = chooses
        super().__init__(None)

    def process_message(self, msg: Site) -> None:
        self.enters_body(msg)

    def postprocess_message(self, msg: Site) -> None:
        if "name" in msg and not msg.get("_control_flow_done") and self.chooses(msg):
            msg["_unmarked"] = msg["value"]
            msg["value"] = mark(msg["value"], msg["name"])


def upstream_sites(
    model: Callable,
    args: tuple | None,
    kwargs: dict[str, Any] | None,
    marks: Callable[[Site], bool],
    of_values: Callable[[Site], bool],
) -> tuple[dict[str, Site], Upstream]:
    """The sites of a model, and for each the names of the marked sites that it was computed from directly.

    :param marks: which sites are marked: what is computed from a marked value depends on it alone, not on what it was
        computed from.
    :param of_values: of which sites the value counts, besides the parameters of the distribution.
    """
    sites: dict[str, Site] = {}
    args, kwargs = jax.tree.map(_as_array, (tuple(args or ()), dict(kwargs or {})))

    def run() -> dict[str, list[Any]]:
        with trace() as model_trace, seed(rng_seed=0), _Mark(marks):
            model(*args, **kwargs)
        sites.update(model_trace)
        inputs = {}
        for name, site in model_trace.items():
            parts = [site["fn"]] if site["type"] == "sample" else []
            if of_values(site):
                parts.append(site.get("_unmarked", site["value"]))
            inputs[name] = [leaf for leaf in jax.tree.leaves(parts) if isinstance(leaf, jax.Array)]
        return inputs

    names = provenance(run)
    return sites, {name: frozenset().union(*found) for name, found in names.items()}


def _as_array(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc" else leaf


def is_delta(site: Site) -> bool:
    """Whether a site is a known value rather than a random one."""
    fn = site["fn"]
    while hasattr(fn, "base_dist") and type(fn).__name__ in ("ExpandedDistribution", "Independent"):
        fn = fn.base_dist
    return isinstance(fn, Delta)


def plate_names(site: Site) -> set[str]:
    """The plates of a site."""
    return {frame.name for frame in site.get("cond_indep_stack", ())}


def _is_random(site: Site) -> bool:
    return site["type"] == "sample" and not is_delta(site)


def get_dependencies(
    model: Callable, model_args: tuple | None = None, model_kwargs: dict[str, Any] | None = None
) -> dict[str, dict[str, dict[str, set[str]]]]:
    r"""Which sample sites of a model depend on which.

    ``prior_dependencies[y]`` has the latent sites :math:`x` of which the conditional distribution
    :math:`p(y \mid x, \ldots)` makes use, and :math:`y` itself. ``posterior_dependencies[x]`` has those sites that the
    latent :math:`x` is connected to given the data: its children, and, among the latent sites after it, those with
    which it shares a child.

    Each dependency is a set of plates: those over whose entries it is not independent. So ``{"x": {"x": {"p"}}}`` says
    that the entries of ``x`` along the plate ``p`` are coupled, as by an observation of their sum; an empty set
    stands for a dependency entry by entry.

    Sites of ``Delta`` distributions, deterministic sites and params are passed through.

    :param model: the model.
    :param model_args: its positional arguments.
    :param model_kwargs: its keyword arguments.
    :return: a dictionary with ``prior_dependencies`` and ``posterior_dependencies``, each by the name of the
        downstream site and then of the upstream one.

    **Reference:** S. Webb et al. (2018), "Faithful Inversion of Generative Models for Effective Amortized Inference",
    https://arxiv.org/abs/1712.00287.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     a = numpyro.sample("a", dist.Normal(0, 1))
    ...     b = numpyro.sample("b", dist.Normal(0, 1))
    ...     numpyro.sample("c", dist.Normal(a + b, 1), obs=0.0)
    >>> found = get_dependencies(model)
    >>> {name: sorted(upstream) for name, upstream in found["prior_dependencies"].items()}
    {'a': ['a'], 'b': ['b'], 'c': ['a', 'b', 'c']}
    >>> {name: sorted(connected) for name, connected in found["posterior_dependencies"].items()}
    {'a': ['a', 'b', 'c'], 'b': ['b', 'c']}
    """
    sites, upstream = upstream_sites(
        model,
        model_args,
        model_kwargs,
        marks=lambda site: _is_random(site) and not site["is_observed"],
        of_values=lambda site: site["type"] == "sample" and site["is_observed"],
    )
    random = {name: site for name, site in sites.items() if _is_random(site)}
    prior: dict[str, dict[str, set[str]]] = {
        name: {name: set(), **{up: set() for up in random if up in upstream[name] and up != name}} for name in random
    }
    plates = {name: plate_names(site) for name, site in random.items()}
    latent = [name for name, site in random.items() if not site["is_observed"]]
    posterior: dict[str, dict[str, set[str]]] = {name: {name: set()} for name in latent}
    for child, parents in prior.items():
        _connect(posterior, [name for name in latent if name in parents], child, plates)
    return {"prior_dependencies": prior, "posterior_dependencies": posterior}


def _connect(
    posterior: dict[str, dict[str, set[str]]], together: Collection[str], child: str, plates: dict[str, set[str]]
) -> None:
    """Connect latent sites that are in one factor, that of ``child``, to each other and to it."""
    names = list(together)
    for position, name in enumerate(names):
        posterior[name].setdefault(child, set())
        for other in names[position:]:
            coupled = (plates[name] & plates[other]) - plates[child]
            posterior[name].setdefault(other, set()).update(coupled)
