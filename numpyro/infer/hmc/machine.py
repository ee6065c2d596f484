"""NUTS by single moves, so that chains that advance together need not wait for each other's trajectories.

Mapped over chains, the loops of :func:`~numpyro.infer.hmc.nuts.nuts_trajectory` go on until the last chain is done: at
the end of each doubling and of each trajectory all chains wait for the slowest. Here a trajectory is a state of its
own, and a *move* takes one leapfrog step and, where that completes a subtree, merges it. All chains move, each through
its own trajectories, and every gradient counts. The pieces and the random numbers are those of the loops, so that both
walk the same chains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro._typing import Array
from numpyro.infer.hmc.integrator import PotentialAndGrad, leapfrog
from numpyro.infer.hmc.nuts import (
    Checkpoints,
    Course,
    Subtree,
    Underway,
    add_leaf,
    begin_subtree,
    has_ended,
    is_complete,
    merge,
    no_checkpoints,
    select,
    signed_step,
    transition_of,
)
from numpyro.infer.hmc.state import HMCState
from numpyro.infer.hmc.transition import HMCAlgorithm, mass_of
from numpyro.infer.mcmc.sampler import Moves


class NUTSMoves(Moves):
    """The moves of NUTS.

    :param algorithm: the algorithm, of trees.
    :param potential_and_grad: makes the potential and its gradient of the data.
    """

    def __init__(self, algorithm: HMCAlgorithm, potential_and_grad: Callable[[Any], PotentialAndGrad]) -> None:
        self.algorithm, self.potential_and_grad = algorithm, potential_and_grad

    def begin(self, data: Any, state: HMCState) -> Underway:
        rows = self.algorithm.num_checkpoints
        if rows is None:
            raise TypeError("only trees have moves")
        return self.algorithm.begin_trees(self.algorithm.outset(data.tuning, state), no_checkpoints(state.z, rows))

    def restart(self, data: Any, state: HMCState, underway: Underway) -> Underway:
        return self.algorithm.begin_trees(self.algorithm.outset(data.tuning, state), underway.subtree.checkpoints)

    def move(self, data: Any, state: HMCState, underway: Underway) -> Underway:
        metric, tree, subtree = self.algorithm.metric, underway.tree, underway.subtree
        course = self._course(data, state, underway.seed, underway.energy)
        step = signed_step(course, tree.depth)
        point = leapfrog(self.potential_and_grad(data), metric, course.mass, subtree.point, step)
        subtree = add_leaf(metric, subtree, course, point, tree.depth)
        complete = is_complete(subtree, tree.depth)
        tree = select(complete, merge(metric, tree, course, subtree), tree)
        subtree = select(complete, begin_subtree(course, tree, subtree.checkpoints), subtree)
        return underway._replace(tree=tree, subtree=subtree)

    def has_ended(self, data: Any, state: HMCState, underway: Underway) -> Array:
        return has_ended(self._course(data, state, underway.seed, underway.energy), underway.tree)

    def finish(self, data: Any, state: HMCState, underway: Underway, ended: Array) -> HMCState:
        potential_and_grad, transition = self.potential_and_grad(data), transition_of(underway.tree)
        return self.algorithm.finish(potential_and_grad, data.tuning, state, underway.rng_key, transition, ended)

    def choose(self, condition: Array, new: Underway, old: Underway) -> Underway:
        # Of checkpoints those are read that the present subtree has written: whichever of the two will do.
        return select(condition, new, old._replace(subtree=_with(old.subtree, new.subtree.checkpoints)))

    def _course(self, data: Any, state: HMCState, seed: Array, energy: Array) -> Course:
        depth = self.algorithm.max_depth(data.tuning, state)
        return Course(mass_of(state), state.adapt_state.step_size, depth, seed, energy)


def _with(subtree: Subtree, checkpoints: Checkpoints) -> Subtree:
    """The subtree with these checkpoints, which are large and written in place: a choice must be one of equals."""
    return subtree._replace(checkpoints=checkpoints)
