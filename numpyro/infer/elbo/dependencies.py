"""Which latent values the terms of an objective depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from numpyro._typing import Array, CondIndepStackFrame, PyTree
from numpyro.handlers import replay, substitute, trace
from numpyro.infer.elbo.particles import is_scored
from numpyro.infer.model.density import Site, is_latent, site_log_prob
from numpyro.ops.provenance import mark, provenance
from numpyro.primitives import Messenger

Terms = dict[str, Array]
Frames = frozenset[CondIndepStackFrame]
_NO_SITE = {"type": "none"}


def get_importance_log_probs(
    model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any], params: Mapping[str, PyTree]
) -> tuple[Terms, Terms]:
    """The log probabilities of the sites of a model and of the guide that proposes its latent values.

    :param model: a model, seeded.
    :param guide: its guide, seeded.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param params: the (constrained) values of the params.
    :return: for the model and for the guide, the log probability of each sample site by name, of its batch shape;
        scales and masks have been applied.
    """
    traces = _run_both(model, guide, args, kwargs, params)
    return _log_probs(traces[0]), _log_probs(traces[1])


def get_nonreparam_deps(
    model: Callable,
    guide: Callable,
    args: tuple,
    kwargs: dict[str, Any],
    param_map: Mapping[str, PyTree],
    latents: Mapping[str, PyTree] | None = None,
) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """The sites without reparametrised draws that each log probability depends on, directly or by way of other draws.

    :param model: a model, seeded.
    :param guide: its guide, seeded.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param param_map: the (constrained) values of the params.
    :param latents: values of the latent sites to follow; by default all that are not reparametrised, as drawn.
    :return: for the model and for the guide, the names by sample site. Nothing is evaluated.
    """
    values = dict(param_map) | dict(latents or {})
    graph = trace_dependencies(lambda: _run_both(model, guide, args, kwargs, values))
    sources = graph.not_reparametrized if latents is None else [name for name in graph.frames if name in latents]
    reached = {source: graph.reached_by(source) for source in sources}

    def by_site(terms: Mapping[str, Any], kind: str) -> dict[str, frozenset[str]]:
        return {
            name: frozenset(source for source in sources if (kind, name) in reached[source]) for name in sorted(terms)
        }

    return by_site(graph.model_terms, "model"), by_site(graph.guide_terms, "guide")


def guess_max_plate_nesting(
    model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any], param_map: Mapping[str, PyTree]
) -> int:
    """The number of batch dimensions that the plates of a model and its guide take, by running them without evaluation.

    :param model: a model, seeded.
    :param guide: its guide, seeded.
    :param args: positional arguments of both.
    :param kwargs: keyword arguments of both.
    :param param_map: the (constrained) values of the params.
    """
    depths = [0]

    def run() -> tuple[()]:
        for site_trace in _run_both(model, guide, args, kwargs, param_map):
            for site in site_trace.values():
                if site["type"] == "sample":
                    depths.extend(-frame.dim for frame in frames_of(site) if frame.dim is not None)
        return ()

    jax.eval_shape(run)
    return max(depths)


class Graph(NamedTuple):
    """What depends on which latent values.

    - **parents** - by latent site, in the order in which they are drawn, the latent sites that its distribution is
      made of.
    - **frames** - the plates of the latent sites.
    - **unseen** - the latent sites whose draws could not be followed (those within control flow), so that they count as
      depending on everything, and everything on them.
    - **not_reparametrized** - the latent sites whose draws cannot be differentiated.
    - **model_terms**, **guide_terms** - by sample site, the latent sites that its log probability is made of, and its
      plates.
    """

    parents: dict[str, frozenset[str]]
    frames: dict[str, Frames]
    unseen: frozenset[str]
    not_reparametrized: list[str]
    model_terms: dict[str, tuple[frozenset[str], Frames]]
    guide_terms: dict[str, tuple[frozenset[str], Frames]]

    def reached_by(self, source: str) -> dict[tuple[str, str], Frames]:
        """The log probabilities that depend on a latent site, with the plates in which they do so entry by entry.

        An entry of a term depends on the same entry of ``source`` alone, along a plate, only if every site on the way
        from one to the other stands in that plate.

        :return: by ``("model", name)`` and ``("guide", name)``.
        """
        shared: dict[str, Frames] = {source: self.frames[source]} | dict.fromkeys(self.unseen, frozenset())
        for name, parents in self.parents.items():
            if name != source and (found := _meet(shared, parents, self.frames[name])) is not None:
                shared[name] = found
        reached = {}
        for kind, terms in (("model", self.model_terms), ("guide", self.guide_terms)):
            for name, (parents, frames) in terms.items():
                if (found := _meet(shared, parents, frames)) is not None:
                    reached[kind, name] = found
        return reached


def _meet(shared: dict[str, Frames], parents: frozenset[str], frames: Frames) -> Frames | None:
    """The plates left where some parents, if any of them is reached, come together."""
    found = [shared[parent] for parent in parents if parent in shared]
    return frames.intersection(*found) if found else None


def trace_dependencies(run: Callable[[], tuple[dict[str, Site], dict[str, Site]]]) -> Graph:
    """The dependencies among the sites of a model and its guide.

    :param run: gives the traces of the model and of the guide.
    """
    traces: list[dict[str, Site]] = []
    order: list[str] = []

    def terms_and_draws() -> tuple[dict[str, PyTree], Terms, Terms]:
        with _Marked() as marked:
            model_trace, guide_trace = run()
        traces[:], order[:] = (model_trace, guide_trace), marked.draws
        return marked.draws, _log_probs(model_trace), _log_probs(guide_trace)

    draws, model_deps, guide_deps = provenance(terms_and_draws)
    model_trace, guide_trace = traces
    latent = {name: site for name, site in {**model_trace, **guide_trace}.items() if is_latent(site)}
    unseen = frozenset(set(latent) - set(draws))
    parents = {
        name: unseen.union(*jax.tree.leaves(draws[name], is_leaf=lambda leaf: isinstance(leaf, frozenset)))
        for name in order
        if name in latent
    }
    frames = {name: frozenset() if name in unseen else frames_of(site) for name, site in latent.items()}
    return Graph(
        parents=parents,
        frames=frames,
        unseen=unseen,
        not_reparametrized=[name for name, site in latent.items() if is_scored(site)],
        model_terms={name: (deps | unseen, frames_of(model_trace[name])) for name, deps in model_deps.items()},
        guide_terms={name: (deps | unseen, frames_of(guide_trace[name])) for name, deps in guide_deps.items()},
    )


def frames_of(site: Site) -> Frames:
    """The plates of a site that take a batch dimension."""
    return frozenset(frame for frame in site["cond_indep_stack"] if frame.dim is not None)


class _Marked(Messenger):
    """Marks the draws of latent sites by their names, and keeps them as they were before."""

    def __init__(self) -> None:
        self.draws: dict[str, PyTree] = {}
        super().__init__(None)

    def postprocess_message(self, msg: Site) -> None:
        if is_latent(msg) and msg["name"] not in self.draws:
            self.draws[msg["name"]] = msg["value"]
            msg["value"], msg["intermediates"] = mark(msg["value"], msg["name"]), []


def _run_both(
    model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any], values: Mapping[str, PyTree]
) -> tuple[dict[str, Site], dict[str, Site]]:
    with trace() as guide_trace, substitute(data=values):
        guide(*args, **kwargs)
    others = {name: value for name, value in values.items() if not is_latent(guide_trace.get(name, _NO_SITE))}
    with trace() as model_trace, substitute(data=others), replay(trace=guide_trace):
        model(*args, **kwargs)
    return model_trace, guide_trace


def _log_probs(site_trace: dict[str, Site]) -> Terms:
    return {name: site_log_prob(site) for name, site in site_trace.items() if site["type"] == "sample"}


for _function in (get_importance_log_probs, get_nonreparam_deps, guess_max_plate_nesting):
    _function.__module__ = "numpyro.infer.elbo"
