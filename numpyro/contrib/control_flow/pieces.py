"""The sites of a loop with enumerated sites, in pieces.

A piece is a site at a step that ran alone, or at all others; its log probability is a factor of a chain over time. Of
loops in the body, the sites of a step are pieces already, and become pieces of pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import PyTree
from numpyro.contrib.control_flow.leaves import aligned
from numpyro.contrib.control_flow.parts import Part, ndim_in_body, uncounted
from numpyro.enumeration import ENUMERATED, PIECE, PIECES, Enumerating
from numpyro.enumeration.loop import Chain, LoopDimensions, Piece, Pieces
from numpyro.ops.sum_product import Plate, Variable
from numpyro.ops.sum_product.chain import Links

Site = dict[str, Any]

TOGETHER = "@all"
"""Names the variables of all steps that run together."""


class Timeline:
    """The steps of a loop: which run alone, and what their variables are called.

    :param handler: the handler of enumeration around the loop.
    :param length: the number of steps.
    :param history: how many steps back the body looks at enumerated sites.
    :param is_reversed: whether the last entry comes first.
    """

    def __init__(self, handler: Enumerating, length: int, history: int, is_reversed: bool) -> None:
        self.handler, self.length, self.history, self.is_reversed = handler, length, history, is_reversed
        self.alone = min(max(history, 1), length)
        self.steps = length - self.alone
        self.dims = LoopDimensions(handler, history)

    def suffix(self, t: int) -> str:
        """Of the variables of a step that runs alone."""
        from_end = self.length - t
        return f"@last{from_end}" if self.steps == 0 and from_end <= self.history else f"@{t}"

    def lags(self, t: int) -> tuple[str, ...]:
        """Those of the steps before, the newest first."""
        return tuple(self.suffix(t - lag) for lag in range(1, min(t, self.history) + 1))

    @property
    def lags_together(self) -> tuple[str, ...]:
        """The suffixes of the steps before each of those that run together."""
        return tuple(f"~{lag}" for lag in range(1, self.history + 1))

    def time(self, sites: Sequence[Site]) -> str:
        """The name of the axis of the steps that run together, given the sites of a step."""
        proposed = {self.handler.proposed[name] for name in self.dims.sizes if name in self.handler.proposed}
        if proposed:
            return self.handler.variable(proposed.pop())
        first = next(iter(self.dims.sizes), None) or next(s["name"] for s in sites if PIECE in s.get("infer", {}))
        return self.handler.variable(f"_time{self.handler.depth or ''}_{first}")

    def chain(self, sites: Sequence[Site]) -> Chain:
        """The loop, given the sites of its first step."""
        handler, time, lags = self.handler, self.time(sites), range(1, self.history + 1)
        plates = {s["name"]: frozenset(f.name for f in s["cond_indep_stack"]) for s in sites} | self.dims.kept
        variables: dict[str, Variable] = {}
        linked: list[tuple[tuple[str, ...], ...]] = []

        def named(name: str, suffixes: Sequence[str], times: frozenset[str] = frozenset()) -> tuple[str, ...]:
            names = tuple(handler.variable(f"{name}{suffix}") for suffix in suffixes)
            variable = Variable(self.dims.sizes[name], plates[name] | handler.times | times)
            variables.update(dict.fromkeys(names, variable))
            return names

        for name in self.dims.sizes:
            alone = named(name, [self.suffix(t) for t in range(self.alone)])
            if self.steps:
                last = named(name, [f"@last{lag}" for lag in reversed(lags)])
                chain = named(name, [*reversed(self.lags_together), TOGETHER], frozenset({time}))
                linked.append((chain, alone[-self.history :] if self.history else (), last))
        links = Links(*(tuple(parts) for parts in zip(*linked, strict=True))) if linked and self.history else None
        return Chain(time, Plate(max(self.steps, 1), 1.0, links), variables, {})

    def pieces_of(self, name: str) -> Pieces:
        """The pieces of a site that is enumerated in the body."""
        variable = lambda suffix: self.handler.variable(f"{name}{suffix}")
        alone = tuple(variable(self.suffix(t)) for t in range(self.alone))
        return Pieces(alone, variable(TOGETHER) if self.steps else None, self.is_reversed)


def with_rank(site: Site, first_enumerated: int) -> Site:
    """A site whose distribution, value and term by a bijection, if it has one, have the rank of its log probability.

    :param first_enumerated: the first dimension that enumerated sites take.
    """
    if site["type"] != "sample":
        return site
    times = site["infer"][PIECE].times if PIECE in site["infer"] else ()
    site = aligned(site, max((rank + 1 for rank, _ in times), default=0))
    site["_ndim"] = ndim_in_body(site, first_enumerated)
    rank = len(site["fn"].batch_shape)
    if "_log_det" in site:
        shape = np.shape(site["_log_det"])
        site["_log_det"] = jnp.reshape(site["_log_det"], (1,) * (rank - len(shape)) + shape)
    return site


def whole(site: Site, length: int) -> Site:
    """A site of all steps of a loop without enumerated sites."""
    if "_ndim" not in site:
        return site
    ndim, rank, inner = site["_ndim"], len(site["fn"].batch_shape) - 1, site.get("_part")
    name = inner.name if isinstance(inner, Part) else site["name"]
    own = {key: value for key, value in site.items() if key != "_ndim"}
    return own | {"_part": Part(name, length, slice(None), False, ndim, rank, inner)}


def require_same_sites(before: Sequence[Site], sites: Sequence[Site]) -> None:
    """Raise where the sites of a step are not those of the one before."""
    names = [[site["name"] for site in step] for step in (before, sites)]
    if names[0] != names[1]:
        raise UsageError(
            f"The body of scan must have the same sites at all steps, but has {names[0]} at the first and {names[1]} "
            "at a later one."
        )


def in_pieces(timeline: Timeline, alone: Sequence[Sequence[Site]], together: Sequence[Site] | None) -> list[Site]:
    """The sites as pieces, which know of their chain, and what a trace shows of the sites as a whole.

    :param timeline: the loop.
    :param alone: the sites of the steps that ran alone.
    :param together: those of all others.
    """
    maker = _PieceMaker(timeline, alone, together)
    return [*maker.shown(), *maker.pieces()]


class _PieceMaker:
    def __init__(self, timeline: Timeline, alone: Sequence[Sequence[Site]], together: Sequence[Site] | None) -> None:
        self.timeline, self.alone, self.together = timeline, alone, together
        self.chain = timeline.chain(alone[0])
        own = {name: timeline.pieces_of(name) for name in timeline.dims.sizes if name not in timeline.dims.kept}
        self.chain.sites.update(own | self._of_loops_within())

    def _of_loops_within(self) -> dict[str, Pieces]:
        """The pieces of sites that are enumerated in loops in the body."""
        alone = [_pieces_by_site(sites) for sites in self.alone]
        together = {} if self.together is None else _pieces_by_site(self.together)
        is_reversed = self.timeline.is_reversed
        return {
            name: Pieces(tuple(pieces[name] for pieces in alone), together.get(name), is_reversed) for name in alone[0]
        }

    def shown(self) -> list[Site]:
        """What a trace shows of the sites as a whole: what is known without the sum."""
        shown = []
        for position, site in enumerate(self.alone[0]):
            parts = [sites[position] for sites in self.alone]
            together = None if self.together is None else self.together[position]
            if site["type"] == "sample":
                if not site["is_observed"] and ENUMERATED not in site["infer"]:
                    shown.append(self._shown_whole(parts, together))
            elif site["type"] == "deterministic":
                shown.append({**site, "value": self._join(parts, together)})
            elif site["type"] not in ("param", "mutable") or site.get("_control_flow_done"):
                shown.append(site)
        return shown

    def _shown_whole(self, parts: Sequence[Site], together: Site | None) -> Site:
        """A latent site with the values of all steps."""
        last = parts[-1] if together is None else together
        whole = {**last, "value": self._join(parts, together), "intermediates": [], "_part": uncounted}
        whole["infer"] = last["infer"] | {PIECES: True}
        whole.pop("_log_det", None)
        whole.pop("_is_timed", None)
        return whole

    def _join(self, parts: Sequence[Site], together: Site | None) -> PyTree:
        return join(self.timeline, [part["value"] for part in parts], None if together is None else together["value"])

    def pieces(self) -> list[Site]:
        """The pieces: all sample sites but those that were shown as a whole before."""
        steps: list[tuple[Sequence[Site], int | None]] = [(sites, t) for t, sites in enumerate(self.alone)]
        if self.together is not None:
            steps.append((self.together, None))
        return [
            self._piece(site, t)
            for sites, t in steps
            for site in sites
            if site["type"] == "sample" and PIECES not in site["infer"]
        ]

    def _piece(self, site: Site, t: int | None) -> Site:
        timeline, own, inner = self.timeline, dict(site), site.get("_part")
        rank = len(site["fn"].batch_shape) - (1 if own.pop("_is_timed", False) else 0)
        infer = dict(site["infer"])
        dim = infer.pop(ENUMERATED, None)
        piece = infer.get(PIECE) or Piece((), (), dim, not site["is_observed"])
        own["_part"] = Part(
            name=inner.name if isinstance(inner, Part) else site["name"],
            length=timeline.length,
            steps=slice(timeline.alone, None) if t is None else t,
            is_reversed=timeline.is_reversed,
            ndim=own.pop("_ndim"),
            rank=rank,
            inner=inner,
        )
        infer[PIECE] = piece._replace(
            chains=(*piece.chains, self.chain),
            times=(*piece.times, (rank, self.chain.time)) if t is None else piece.times,
        )
        suffix = TOGETHER if t is None else timeline.suffix(t)
        return {**own, "name": f"{site['name']}{suffix}", "is_observed": True, "infer": infer}


def _pieces_by_site(sites: Sequence[Site]) -> dict[str, Pieces]:
    found = [site["infer"][PIECE] for site in sites if PIECE in site.get("infer", {})]
    return {name: pieces for piece in found for name, pieces in piece.chains[-1].sites.items()}


def join(timeline: Timeline, alone: Sequence[PyTree], together: PyTree | None) -> PyTree:
    """What single steps and all others have, along the axis of time in its own order."""

    def joined(*leaves: Any) -> Any:
        singles = leaves[: len(alone)]
        stacked = [jnp.asarray(leaf)[None] for leaf in singles]
        if together is not None:
            rest = jnp.asarray(leaves[-1])
            if rest.ndim == np.ndim(singles[-1]):  # the same at all steps
                rest = jnp.broadcast_to(rest, (timeline.steps, *rest.shape))
            stacked.append(rest)
        shape = np.broadcast_shapes(*(part.shape[1:] for part in stacked))
        parts = [jnp.broadcast_to(_widened(part, len(shape)), (part.shape[0], *shape)) for part in stacked]
        whole = jnp.concatenate(parts)
        return jnp.flip(whole, 0) if timeline.is_reversed else whole

    return jax.tree.map(joined, *alone, *(() if together is None else (together,)))


def _widened(part: Any, ndim: int) -> Any:
    """Insert dimensions behind the axis of time."""
    return jnp.reshape(part, (part.shape[0], *(1,) * (ndim - part.ndim + 1), *part.shape[1:]))
