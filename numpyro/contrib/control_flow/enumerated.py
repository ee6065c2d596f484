"""Loops with enumerated sites.

A discrete site that is summed out has all its values at once, along a dimension of its own, and so has the carry that
holds it. The first ``history`` steps run one by one; from then on every step sees the same dimensions, and all others
run together:

- *side by side*, mapped over time, where the carry of later steps holds nothing but enumerated values. What does not
  depend on time (the transition probabilities of a chain, say) is then computed once;
- *one after the other*, in a ``lax.scan``, where the carry depends on data or on draws.

The sites leave the loop in pieces (``pieces``), one for each step that ran alone and one for all others, whose log
probabilities are the factors of a chain over time (:mod:`numpyro.ops.sum_product.chain`). A loop in the body is run in
the same way at each step. Of its variables those that its last carry holds become variables of the step; all others
are summed out within it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import PyTree
from numpyro.contrib.control_flow.body import with_keys, write_back
from numpyro.contrib.control_flow.leaves import Leaves, inside_of
from numpyro.contrib.control_flow.pieces import TOGETHER, Timeline, in_pieces, join, require_same_sites, with_rank
from numpyro.enumeration import PIECE, Enumerating
from numpyro.enumeration.loop import InSteps
from numpyro.ops.provenance import eval_provenance

Site = dict[str, Any]


class EnumeratedLoop:
    """A loop whose body has enumerated sites.

    :param loop: the loop, a ``numpyro.contrib.control_flow.scan.Loop``.
    :param handler: the handler of enumeration around it.
    :param history: how many steps back the body looks at enumerated sites.
    :param is_reversed: whether the last entry comes first.
    """

    def __init__(self, loop: Any, handler: Enumerating, history: int, is_reversed: bool) -> None:
        self.loop, self.handler = loop, handler
        self.timeline = Timeline(handler, loop.length, history, is_reversed)
        self.dims = self.timeline.dims

    def run(self, init: PyTree, xs: PyTree) -> tuple[PyTree, list[Site], PyTree] | None:
        """Run all steps: the last carry, the sites, the stacked outputs; ``None`` if no site is enumerated."""
        loop, timeline = self.loop, self.timeline
        inputs = (xs, np.arange(loop.length), with_keys(loop.rng_key, loop.length), loop.values)
        if timeline.is_reversed:
            inputs = jax.tree.map(lambda leaf: jnp.flip(leaf, 0), inputs)
        self._structure: Any = jax.tree.structure(init)
        self._initial = [tuple(np.shape(leaf)) for leaf in jax.tree.leaves(init)]
        self._events: dict[int, int] = {}
        carry, mutables = init, loop.mutables
        first_sites: list[list[Site]] = []
        first_ys: list[PyTree] = []
        for t in range(timeline.alone):
            x, *where = jax.tree.map(lambda leaf, t=t: leaf[t], inputs)
            lags, before = timeline.lags(t), carry
            with self.handler.replaced_by(InSteps(self.handler, self.dims, timeline.suffix(t), lags)):
                carry, y, sites, mutables = loop.step(carry, x, where, mutables)
            if not self.dims.sizes and not any(PIECE in site.get("infer", {}) for site in sites):
                return None
            if first_sites:
                require_same_sites(first_sites[0], sites)
            self._find_events(carry, t, (before, x, where, mutables))
            carry = self._step_back(carry)
            first_sites.append([with_rank(site, self.dims.first) for site in sites])
            first_ys.append(y)
        rest = jax.tree.map(lambda leaf: leaf[timeline.alone :], inputs)
        together, ys = None, None
        if timeline.steps:
            carry, mutables, together, ys = self._together(carry, rest, mutables, first_sites[0])
        write_back(loop.holders, mutables)
        carry = self._keep_last(carry, first_sites[0])
        return carry, in_pieces(timeline, first_sites, together), join(timeline, first_ys, ys)

    # What the carry depends on

    def _step_back(self, carry: PyTree) -> PyTree:
        leaves, structure = jax.tree.flatten(carry)
        if self._structure != structure:
            raise TypeError(
                "The body of scan must return a carry of the structure, shapes and dtypes of `init`, but init is "
                f"{self._structure} and the body returns {structure}."
            )
        stepped = []
        for i, (leaf, first) in enumerate(zip(leaves, self._initial, strict=True)):
            if i not in self._events:
                possible = self.dims.event_ndims(tuple(np.shape(leaf)), first, self.timeline.history)
                self._events.update({i: possible[0]} if possible else {})
            stepped.append(self.dims.step_back(leaf, self._events.get(i)))
        return jax.tree.unflatten(structure, stepped)

    def _find_events(self, carry: PyTree, t: int, step: tuple) -> None:
        """Find out how many dimensions of each leaf of the carry belong to an event, when it is first enumerated."""
        shapes = [tuple(np.shape(leaf)) for leaf in jax.tree.leaves(carry)]
        probed: list[tuple[int, ...]] | None = None
        for i, (shape, first) in enumerate(zip(shapes, self._initial, strict=False)):
            if i in self._events:
                continue
            possible = self.dims.event_ndims(shape, first, min(t, self.timeline.history))
            if len(possible) > 1:
                probed = self._probe(step, self.timeline.lags(t)) if probed is None else probed
                found = self.dims.by_probe(shape, probed[i]) if i < len(probed) else None
                possible = [found] if found in possible else possible
            if possible:
                self._events[i] = possible[0]

    def _probe(self, step: tuple, lags: tuple[str, ...]) -> list[tuple[int, ...]]:
        """The shapes of the carry after a step, if its sites had more values."""
        with self.handler.replaced_by(InSteps(self.handler, self.dims, "", lags, is_probe=True)):
            try:
                carry = jax.eval_shape(lambda: self.loop.step(*step)[0])
            except (TypeError, ValueError, IndexError):  # of bodies that rely on the number of values
                return []
        return [leaf.shape for leaf in jax.tree.leaves(carry)]

    def _keep_last(self, carry: PyTree, sites: list[Site]) -> PyTree:
        """The last carry as what comes after the loop sees it: it depends on variables of the last steps."""
        leaves, structure = jax.tree.flatten(carry)
        seen = [
            self.dims.visible_in(leaf, self._events[i]) if i in self._events else set() for i, leaf in enumerate(leaves)
        ]
        variables = self.timeline.chain(sites).variables
        places = {}
        for name, lag in sorted(set().union(*seen), key=lambda slot: (slot[1], self.dims.dim(slot[0]))):
            if lag <= self.timeline.length:
                dim, kept = self.dims.dim(name, lag), f"{name}@last{lag}"
                variable = variables[self.handler.variable(kept)]
                places[dim] = self.handler.keep(kept, dim, variable.size, variable.plates - self.handler.times)
        moved = [self.dims.moved(leaf, self._events[i], places) if seen[i] else leaf for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, moved)

    # All steps but the first

    def _together(
        self, carry: PyTree, inputs: PyTree, mutables: PyTree, sites: list[Site]
    ) -> tuple[PyTree, PyTree, list[Site], PyTree]:
        """Run the steps that see the same dimensions: the last carry, the mutables, the sites, the outputs."""
        lags, time = self.timeline.lags_together, self.timeline.time(sites)
        with self.handler.replaced_by(InSteps(self.handler, self.dims, TOGETHER, lags, time=time)):
            if not jax.tree.leaves(mutables) and self._settles(carry, inputs):
                return self._side_by_side(carry, inputs)
            return self._one_by_one(carry, inputs, mutables)

    def _settles(self, carry: PyTree, inputs: PyTree) -> bool:
        """Whether the carry of later steps depends on nothing but enumerated values, and hence is always the same."""
        leaves, structure = jax.tree.flatten(carry)
        names = [f"carry{i}" for i in range(len(leaves))]
        x, *where = jax.tree.map(lambda leaf: leaf[0], inputs)

        def step(time: PyTree, **carry: Any) -> dict[str, Any]:
            x, *where = time
            before = jax.tree.unflatten(structure, [carry[name] for name in names])
            after, *_ = self.loop.step(before, x, where, {})
            return dict(zip(names, jax.tree.leaves(self._step_back(after)), strict=True))

        found = eval_provenance(step, time=(x, *where), **dict(zip(names, leaves, strict=True)))
        if any("time" in depends for depends in found.values()):
            return False
        reach = np.array([[before in found[after] for before in names] for after in names], bool).reshape(
            len(names), len(names)
        )
        return not np.linalg.matrix_power(reach.astype(np.int64), self.timeline.alone).any() if names else True

    def _side_by_side(self, carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree, list[Site], PyTree]:
        last: list[PyTree] = []
        traced: list[Leaves] = []

        def step(inputs: PyTree) -> tuple[list[Any], PyTree]:
            x, *where = inputs
            after, y, sites, _ = self.loop.step(carry, x, where, {})
            last.append(after)
            traced.append(self._leaves(sites, where[0]))
            return traced[-1].arrays, y

        arrays, ys = jax.vmap(step)(inputs)
        return self._step_back(last[-1]), {}, traced[-1].stacked(arrays, self.timeline.steps, spread=False), ys

    def _one_by_one(self, carry: PyTree, inputs: PyTree, mutables: PyTree) -> tuple[PyTree, PyTree, list[Site], PyTree]:
        traced: list[Leaves] = []

        def step(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
            (before, mutables), (x, *where) = carry, inputs
            after, y, sites, mutables = self.loop.step(before, x, where, mutables)
            after = jax.tree.map(_like, self._step_back(after), before)
            traced.append(self._leaves(sites, where[0]))
            return (after, mutables), (traced[-1].arrays, y)

        (carry, mutables), (arrays, ys) = lax.scan(step, (carry, mutables), inputs, length=self.timeline.steps)
        return carry, mutables, traced[-1].stacked(arrays, self.timeline.steps, spread=False), ys

    def _leaves(self, sites: list[Site], index: Any) -> Leaves:
        return Leaves([with_rank(site, self.dims.first) for site in sites], inside_of(index))


def _like(after: Any, before: Any) -> Any:
    """A leaf of the carry with the shape and type that the loop began with, where it broadcasts to that."""
    after = jnp.asarray(after, jnp.result_type(before))
    return after if after.shape == np.shape(before) else jnp.broadcast_to(after, np.shape(before))
