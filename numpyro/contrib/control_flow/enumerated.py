"""Loops with enumerated sites.

A discrete site that is summed out has all its values at once, along a dimension of its own, and so has the carry that
holds it. The first ``history`` steps run one by one; from then on every step sees the same dimensions, and all others
run together:

- *side by side*, mapped over time, where the carry of later steps holds nothing but enumerated values. What does not
  depend on time (the transition probabilities of a chain, say) is then computed once;
- *one after the other*, in a ``lax.scan``, where the carry depends on data or on draws.

The sites leave the loop as pieces, one for each step that ran alone and one for all others, whose log probabilities are
the factors of a chain over time (:mod:`numpyro.ops.sum_product.chain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import PyTree
from numpyro.contrib.control_flow.body import with_keys, write_back
from numpyro.contrib.control_flow.leaves import Leaves, aligned, inside_of
from numpyro.enumeration import ENUMERATED, enum
from numpyro.enumeration.loop import CHAIN, PIECES, Chain, LoopDimensions, Piece, in_steps
from numpyro.ops.provenance import eval_provenance
from numpyro.ops.sum_product import Plate, Variable
from numpyro.ops.sum_product.chain import Links

Site = dict[str, Any]


class EnumeratedLoop:
    """A loop whose body has enumerated sites.

    :param loop: the loop, a ``numpyro.contrib.control_flow.scan.Loop``.
    :param handler: the handler of enumeration around it.
    :param history: how many steps back the body looks at enumerated sites.
    :param is_reversed: whether the last entry comes first.
    """

    def __init__(self, loop: Any, handler: enum, history: int, is_reversed: bool) -> None:
        self.loop, self.handler, self.history, self.is_reversed = loop, handler, history, is_reversed
        self.alone = min(max(history, 1), loop.length)

    def run(self, init: PyTree, xs: PyTree) -> tuple[PyTree, list[Site], PyTree] | None:
        """Run all steps: the last carry, the sites, the stacked outputs; ``None`` if no site is enumerated."""
        loop = self.loop
        self.dims = LoopDimensions(self.handler, self.history)
        inputs = (xs, np.arange(loop.length), with_keys(loop.rng_key, loop.length), loop.values)
        if self.is_reversed:
            inputs = jax.tree.map(lambda leaf: jnp.flip(leaf, 0), inputs)
        carry, mutables = init, loop.mutables
        self._events: dict[int, int] = {}
        first_sites: list[list[Site]] = []
        first_ys: list[PyTree] = []
        for t in range(self.alone):
            x, *where = jax.tree.map(lambda leaf, t=t: leaf[t], inputs)
            lags = tuple(f"@{t - lag}" for lag in range(1, min(t, self.history) + 1))
            self.handler._in_loop = in_steps(self.dims, f"@{t}", lags)
            try:
                after, y, sites, mutables = loop.step(carry, x, where, mutables)
            finally:
                self.handler._in_loop = None
            if not self.dims.sizes:
                return None
            self._require_outermost()
            self._require_same_sites(first_sites, sites)
            before, carry = carry, after
            self._find_events(carry, init, t, (before, x, where, mutables), lags)
            carry = self._step_back(carry, init)
            first_sites.append([self._with_rank(site) for site in sites])
            first_ys.append(y)
        rest = jax.tree.map(lambda leaf: leaf[self.alone :], inputs)
        if self.alone == loop.length:
            together, ys = None, None
        else:
            carry, mutables, together, ys = self._together(carry, init, rest, mutables)
        write_back(loop.holders, mutables)
        self._own_last(carry)
        sites = self._pieces(first_sites, together)
        return carry, sites, self._join(first_ys, ys)

    def _require_outermost(self) -> None:
        if isinstance(self.handler, in_steps):
            names = ", ".join(f"'{name}'" for name in self.dims.sizes)
            raise UsageError(
                f"The sites {names} are enumerated in a scan inside the body of another scan, which is not summed "
                "exactly. Write one of the loops in Python (for t in markov(range(T)): ...), or as one scan."
            )

    def _step_back(self, carry: PyTree, init: PyTree) -> PyTree:
        before: Any = jax.tree.structure(init)
        if before != jax.tree.structure(carry):
            raise TypeError(
                "The body of scan must return a carry of the structure, shapes and dtypes of `init`, but init is "
                f"{jax.tree.structure(init)} and the body returns {jax.tree.structure(carry)}."
            )
        leaves, structure = jax.tree.flatten(carry)
        stepped = []
        for i, (leaf, first) in enumerate(zip(leaves, jax.tree.leaves(init), strict=True)):
            known = [self._events[i]] if i in self._events else []
            possible = known or self.dims.event_ndims(tuple(np.shape(leaf)), tuple(np.shape(first)), self.history)
            stepped.append(self.dims.step_back(leaf, possible[0] if possible else None))
        return jax.tree.unflatten(structure, stepped)

    def _find_events(self, carry: PyTree, init: PyTree, t: int, step: tuple, lags: tuple[str, ...]) -> None:
        """Find out how many dimensions of each leaf of the carry belong to an event, when it is first enumerated."""
        shapes = [tuple(np.shape(leaf)) for leaf in jax.tree.leaves(carry)]
        initial = [tuple(np.shape(leaf)) for leaf in jax.tree.leaves(init)]
        probed: list[tuple[int, ...]] | None = None
        for i, (shape, first) in enumerate(zip(shapes, initial, strict=False)):
            if i in self._events:
                continue
            possible = self.dims.event_ndims(shape, first, min(t, self.history))
            if len(possible) > 1:
                probed = self._probe(step, lags) if probed is None else probed
                found = self.dims.by_probe(shape, probed[i]) if i < len(probed) else None
                possible = [found] if found in possible else possible
            if possible:
                self._events[i] = possible[0]

    def _probe(self, step: tuple, lags: tuple[str, ...]) -> list[tuple[int, ...]]:
        """The shapes of the carry after a step, if its sites had more values."""
        self.handler._in_loop = in_steps(self.dims, "", lags, is_probe=True)
        try:
            carry = jax.eval_shape(lambda: self.loop.step(*step)[0])
        except (TypeError, ValueError, IndexError):  # of bodies that rely on the number of values
            return []
        finally:
            self.handler._in_loop = None
        return [leaf.shape for leaf in jax.tree.leaves(carry)]

    # All steps but the first

    def _together(
        self, carry: PyTree, init: PyTree, inputs: PyTree, mutables: PyTree
    ) -> tuple[PyTree, PyTree, list[Site], PyTree]:
        """Run the steps that see the same dimensions: the last carry, the mutables, the sites, the outputs."""
        lags = tuple(f"~{lag}" for lag in range(1, self.history + 1))
        self.handler._in_loop = in_steps(self.dims, "", lags)
        try:
            if not jax.tree.leaves(mutables) and self._settles(carry, init, inputs):
                return self._side_by_side(carry, init, inputs)
            return self._one_by_one(carry, init, inputs, mutables)
        finally:
            self.handler._in_loop = None

    def _settles(self, carry: PyTree, init: PyTree, inputs: PyTree) -> bool:
        """Whether the carry of later steps depends on nothing but enumerated values, and hence is always the same."""
        leaves, structure = jax.tree.flatten(carry)
        names = [f"carry{i}" for i in range(len(leaves))]
        x, *where = jax.tree.map(lambda leaf: leaf[0], inputs)

        def step(time: PyTree, **carry: Any) -> dict[str, Any]:
            x, *where = time
            before = jax.tree.unflatten(structure, [carry[name] for name in names])
            after, *_ = self.loop.step(before, x, where, {})
            after = self._step_back(after, init)
            return dict(zip(names, jax.tree.leaves(after), strict=True))

        found = eval_provenance(step, time=(x, *where), **dict(zip(names, leaves, strict=True)))
        if any("time" in depends for depends in found.values()):
            return False
        reach = np.array([[before in found[after] for before in names] for after in names], bool).reshape(
            len(names), len(names)
        )
        return not np.linalg.matrix_power(reach.astype(np.int64), self.alone).any() if names else True

    def _side_by_side(self, carry: PyTree, init: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree, list[Site], PyTree]:
        last: list[PyTree] = []
        traced: list[Leaves] = []

        def step(inputs: PyTree) -> tuple[list[Any], PyTree]:
            x, *where = inputs
            after, y, sites, _ = self.loop.step(carry, x, where, {})
            last.append(after)
            leaves = Leaves([self._with_rank(site) for site in sites], inside_of(where[0]))
            traced.append(leaves)
            return leaves.arrays, y

        arrays, ys = jax.vmap(step)(inputs)
        return self._step_back(last[-1], init), {}, traced[-1].stacked(arrays, self._steps, spread=False), ys

    def _one_by_one(
        self, carry: PyTree, init: PyTree, inputs: PyTree, mutables: PyTree
    ) -> tuple[PyTree, PyTree, list[Site], PyTree]:
        traced: list[Leaves] = []

        def step(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
            (before, mutables), (x, *where) = carry, inputs
            after, y, sites, mutables = self.loop.step(before, x, where, mutables)
            after = jax.tree.map(_like, self._step_back(after, init), before)
            leaves = Leaves([self._with_rank(site) for site in sites], inside_of(where[0]))
            traced.append(leaves)
            return (after, mutables), (leaves.arrays, y)

        (carry, mutables), (arrays, ys) = lax.scan(step, (carry, mutables), inputs, length=self._steps)
        return carry, mutables, traced[-1].stacked(arrays, self._steps, spread=False), ys

    @property
    def _steps(self) -> int:
        return self.loop.length - self.alone

    # The sites

    def _with_rank(self, site: Site) -> Site:
        """A site whose term by a bijection, if it has one, has the rank of its log probability."""
        if site["type"] != "sample":
            return site
        site = aligned(site)
        rank = len(site["fn"].batch_shape)
        if "_log_det" in site:
            shape = np.shape(site["_log_det"])
            site["_log_det"] = jnp.reshape(site["_log_det"], (1,) * (rank - len(shape)) + shape)
        return site

    def _require_same_sites(self, before: list[list[Site]], sites: list[Site]) -> None:
        names = [site["name"] for site in sites]
        if before and [site["name"] for site in before[0]] != names:
            raise UsageError(
                "The body of scan must have the same sites at all steps, but has "
                f"{[site['name'] for site in before[0]]} at the first and {names} at a later one."
            )

    def _own_last(self, carry: PyTree) -> None:
        """After the loop, dimensions of the carry are of the variables of the last steps."""
        for name in self.dims.sizes:
            for lag in range(1, self.history + 1):
                t = self.loop.length - lag
                if t >= 0:
                    variable = f"{name}@{t}" if t < self.alone and self._steps == 0 else f"{name}@last{lag}"
                    self.handler._own(self.dims.dim(name, lag), variable)

    def _pieces(self, first: list[list[Site]], together: list[Site] | None) -> list[Site]:
        """The sites as pieces, which know of their chain, and what a trace shows of the sites as a whole."""
        chain = self._chain(first[0])
        pieces = []
        for t, sites in enumerate(first):
            pieces += [self._piece(site, chain, f"@{t}", is_timed=False) for site in sites if site["type"] == "sample"]
        if together is not None:
            pieces += [self._piece(site, chain, "", is_timed=True) for site in together if site["type"] == "sample"]
        shown = []
        for position, site in enumerate(first[0]):
            parts = [sites[position] for sites in first]
            if site["type"] == "sample":
                if not site["is_observed"] and ENUMERATED not in site["infer"]:
                    shown.append(self._whole(parts, None if together is None else together[position]))
            elif site["type"] == "deterministic":
                value = self._join([s["value"] for s in parts], together[position]["value"] if together else None)
                shown.append({**site, "value": value})
            elif site["type"] not in ("param", "mutable") or site.get("_control_flow_done"):
                shown.append(site)
        return [*shown, *pieces]

    def _chain(self, sites: list[Site]) -> Chain:
        lags = range(1, self.history + 1)
        time = f"_time_{next(iter(self.dims.sizes))}"
        variables: dict[str, Variable] = {}
        names: dict[str, tuple[str, ...]] = {}
        linked: list[tuple[tuple[str, ...], ...]] = []
        frames = {site["name"]: frozenset(f.name for f in site["cond_indep_stack"]) for site in sites}
        for name, size in self.dims.sizes.items():
            alone = [f"{name}@{t}" for t in range(self.alone)]
            variables.update((variable, Variable(size, frames[name])) for variable in alone)
            names[name] = (*alone, name) if self._steps else tuple(alone)
            if self._steps:
                last = [f"{name}@last{lag}" for lag in reversed(lags)]
                chain = [*(f"{name}~{lag}" for lag in reversed(lags)), name]
                variables.update((variable, Variable(size, frames[name])) for variable in last)
                variables.update((variable, Variable(size, frames[name] | {time})) for variable in chain)
                linked.append((tuple(chain), tuple(alone[-self.history :] if self.history else ()), tuple(last)))
        links = Links(*(tuple(parts) for parts in zip(*linked, strict=True))) if linked and self.history else None
        return Chain(time, Plate(max(self._steps, 1), 1.0, links), variables, names, self.is_reversed)

    def _piece(self, site: Site, chain: Chain, suffix: str, *, is_timed: bool) -> Site:
        infer = {key: value for key, value in site["infer"].items() if key != ENUMERATED}
        rank = len(site["fn"].batch_shape) - (1 if site.pop("_is_timed", False) else 0)
        piece = Piece(chain, rank, site["infer"].get(ENUMERATED), is_timed)
        return {
            **site,
            "name": f"{site['name']}{suffix or '@all'}",
            "is_observed": True,
            "infer": infer | {CHAIN: piece},
        }

    def _whole(self, parts: Sequence[Site], together: Site | None) -> Site:
        """A latent site as a trace shows it: with the values of all steps."""
        last = parts[-1] if together is None else together
        value = self._join([site["value"] for site in parts], None if together is None else together["value"])
        whole = {**last, "value": value, "intermediates": [], "infer": last["infer"] | {PIECES: True}}
        whole.pop("_log_det", None)
        whole.pop("_is_timed", None)
        return whole

    def _join(self, alone: Sequence[PyTree], together: PyTree | None) -> PyTree:
        """What single steps and all others have, along the axis of time in its own order."""

        def join(*leaves: Any) -> Any:
            singles = leaves[: len(alone)]
            stacked = [jnp.asarray(leaf)[None] for leaf in singles]
            if together is not None:
                rest = jnp.asarray(leaves[-1])
                if rest.ndim == np.ndim(singles[-1]):  # the same at all steps
                    rest = jnp.broadcast_to(rest, (self._steps, *rest.shape))
                stacked.append(rest)
            shape = np.broadcast_shapes(*(part.shape[1:] for part in stacked))
            parts = [jnp.broadcast_to(_widened(part, len(shape)), (part.shape[0], *shape)) for part in stacked]
            joined = jnp.concatenate(parts)
            return jnp.flip(joined, 0) if self.is_reversed else joined

        return jax.tree.map(join, *alone, *(() if together is None else (together,)))


def _widened(part: Any, ndim: int) -> Any:
    """Insert dimensions behind the axis of time."""
    return jnp.reshape(part, (part.shape[0], *(1,) * (ndim - part.ndim + 1), *part.shape[1:]))


def _like(after: Any, before: Any) -> Any:
    """A leaf of the carry with the shape and type that the loop began with, where it broadcasts to that."""
    after = jnp.asarray(after, jnp.result_type(before))
    return after if after.shape == np.shape(before) else jnp.broadcast_to(after, np.shape(before))
