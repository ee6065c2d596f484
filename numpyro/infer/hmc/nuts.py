"""The No-U-Turn trajectory: multinomial sampling over a doubling tree, built without recursion.

A trajectory is doubled, forwards or backwards at random, until it turns back on itself; the next state is drawn from
its points with weights :math:`\\exp(-H)` (Hoffman & Gelman 2014; Betancourt 2017, appendix A). A subtree of
:math:`2^d` leaves is built leaf by leaf. To check all its balanced subtrees for turning back, it is enough to keep
one checkpoint for each bit of the leaf's number (Phan, Pradhan & Jankowiak 2019, appendix A): leaf :math:`n`, when
even, is stored in the row that counts the ones in
:math:`n`, and an odd leaf is compared with those rows whose subtrees it completes, one for each trailing one of
:math:`n`.

**Criterion.** For a stretch of trajectory with momenta :math:`r_1, \\dots, r_k` the displacement is, by the
trapezoidal rule, proportional to :math:`M^{-1}\\rho` with :math:`\\rho = \\sum_i r_i - (r_1 + r_k)/2`. The stretch
has turned when :math:`r_1^\\top M^{-1} \\rho \\le 0` or :math:`r_k^\\top M^{-1}\\rho \\le 0`: going on at either end
would bring the ends closer (the generalised criterion of Betancourt 2017, with half weights for the ends).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad, leapfrog
from numpyro.infer.hmc.metric import MassMatrix, Metric
from numpyro.infer.hmc.random_bits import counter_uniform
from numpyro.infer.hmc.trajectory import MAX_DELTA_ENERGY, Transition, energy_change

T = TypeVar("T")


class _Proposal(NamedTuple):
    """A point drawn from the leaves seen so far, and the log of their total weight."""

    z: Array
    potential: Array
    grad: Array
    energy: Array
    log_weight: Array


class _Subtree(NamedTuple):
    """The state of building one subtree: the last leaf, what was drawn, and the checkpoints."""

    leaf: Array
    point: PhasePoint
    proposal: _Proposal
    r_sum: Array
    sum_accept: Array
    turning: Array
    diverging: Array
    checkpoint_r: Array
    checkpoint_sum: Array


class _Tree(NamedTuple):
    """The state of doubling: both ends, what was drawn, and the totals over all leaves."""

    depth: Array
    left: PhasePoint
    right: PhasePoint
    proposal: _Proposal
    r_sum: Array
    sum_accept: Array
    num_steps: Array
    turning: Array
    diverging: Array
    checkpoint_r: Array
    checkpoint_sum: Array


def is_turning(metric: Metric, mass: MassMatrix, r_first: Array, r_last: Array, r_sum: Array) -> Array:
    """Whether a stretch with these end momenta and sum of momenta has turned back (see the module's docstring)."""
    velocity = metric.velocity(mass, r_sum - 0.5 * (r_first + r_last))
    return (jnp.dot(r_first, velocity) <= 0) | (jnp.dot(r_last, velocity) <= 0)


def nuts_trajectory(
    potential_and_grad: PotentialAndGrad,
    metric: Metric,
    mass: MassMatrix,
    start: PhasePoint,
    step_size: Array,
    max_depth: Array,
    num_checkpoints: int,
    seed: Array,
) -> Transition:
    """Build a trajectory from ``start`` and draw the next state from it.

    :param max_depth: the trajectory has at most ``2**max_depth`` points; a run-time value.
    :param num_checkpoints: the largest ``max_depth``, which sizes the checkpoints.
    :param seed: the seed words of the transition's uniform numbers.
    """
    dtype = np.dtype(start.z.dtype)
    initial_energy = start.potential + metric.kinetic_energy(mass, start.r)

    def next_leaf(tree: _Subtree, signed_step: Array, counter: Array) -> _Subtree:
        point = leapfrog(potential_and_grad, metric, mass, tree.point, signed_step)
        energy = point.potential + metric.kinetic_energy(mass, point.r)
        delta = energy_change(energy, initial_energy)
        log_weight = jnp.logaddexp(tree.proposal.log_weight, -delta)
        take = jnp.log(counter_uniform(seed, counter, dtype)) < -delta - log_weight
        leaf = _Proposal(point.z, point.potential, point.grad, energy, log_weight)
        proposal = _select(take, leaf, tree.proposal)._replace(log_weight=log_weight)

        r_sum = tree.r_sum + point.r
        even = (tree.leaf & 1) == 0
        # Odd leaves are never compared with: they go to a spare row, so that storing needs no branch.
        row = jnp.where(even, lax.population_count(tree.leaf), num_checkpoints)
        checkpoint_r = lax.dynamic_update_index_in_dim(tree.checkpoint_r, point.r, row, 0)
        checkpoint_sum = lax.dynamic_update_index_in_dim(tree.checkpoint_sum, r_sum, row, 0)
        turning = _completes_a_turn(metric, mass, tree.leaf, point.r, r_sum, checkpoint_r, checkpoint_sum)
        return _Subtree(
            tree.leaf + 1,
            point,
            proposal,
            r_sum,
            tree.sum_accept + jnp.minimum(1.0, jnp.exp(-delta)),
            turning,
            delta > MAX_DELTA_ENERGY,
            checkpoint_r,
            checkpoint_sum,
        )

    def double(tree: _Tree) -> _Tree:
        # Counters: a doubling of depth d has leaves 2^d .. 2^(d+1) - 1; two more, above all leaves, are its own.
        forwards = counter_uniform(seed, -2 * tree.depth - 1, dtype) < 0.5
        signed_step = jnp.where(forwards, step_size, -step_size)
        end = _select(forwards, tree.right, tree.left)
        size = jnp.left_shift(1, tree.depth)
        empty = tree.proposal._replace(log_weight=jnp.full_like(tree.proposal.log_weight, -jnp.inf))
        subtree = _Subtree(
            jnp.zeros_like(tree.depth),
            end,
            empty,
            jnp.zeros_like(start.r),
            jnp.zeros_like(initial_energy),
            jnp.array(False),
            jnp.array(False),
            tree.checkpoint_r,
            tree.checkpoint_sum,
        )
        subtree = lax.while_loop(
            lambda s: (s.leaf < size) & ~s.turning & ~s.diverging,
            lambda s: next_leaf(s, signed_step, size + s.leaf),
            subtree,
        )
        complete = ~subtree.turning & ~subtree.diverging
        # Biased progressive sampling: prefer the new half, which lies further away (Betancourt 2017, A.3.2).
        log_ratio = subtree.proposal.log_weight - tree.proposal.log_weight
        take = complete & (jnp.log(counter_uniform(seed, -2 * tree.depth - 2, dtype)) < log_ratio)
        log_weight = jnp.logaddexp(tree.proposal.log_weight, subtree.proposal.log_weight)
        left, right = _select(forwards, tree.left, subtree.point), _select(forwards, subtree.point, tree.right)
        r_sum = tree.r_sum + subtree.r_sum
        return _Tree(
            tree.depth + 1,
            left,
            right,
            _select(take, subtree.proposal, tree.proposal)._replace(log_weight=log_weight),
            r_sum,
            tree.sum_accept + subtree.sum_accept,
            tree.num_steps + subtree.leaf,
            subtree.turning | is_turning(metric, mass, left.r, right.r, r_sum),
            subtree.diverging,
            subtree.checkpoint_r,
            subtree.checkpoint_sum,
        )

    zero = jnp.zeros_like(initial_energy)
    checkpoints = jnp.zeros((num_checkpoints + 1, start.r.shape[0]), start.r.dtype)
    none = jnp.zeros((), jnp.int32)
    tree = lax.while_loop(
        lambda t: (t.depth < max_depth) & ~t.turning & ~t.diverging,
        double,
        _Tree(
            none,
            start,
            start,
            _Proposal(start.z, start.potential, start.grad, initial_energy, zero),
            start.r,
            zero,
            none,
            jnp.array(False),
            jnp.array(False),
            checkpoints,
            checkpoints,
        ),
    )
    accept_prob = tree.sum_accept / jnp.maximum(tree.num_steps, 1)
    proposal = tree.proposal
    return Transition(
        proposal.z, proposal.potential, proposal.grad, proposal.energy, tree.num_steps, accept_prob, tree.diverging
    )


def _completes_a_turn(
    metric: Metric,
    mass: MassMatrix,
    leaf: Array,
    r: Array,
    r_sum: Array,
    checkpoint_r: Array,
    checkpoint_sum: Array,
) -> Array:
    """Whether any balanced subtree that ends at ``leaf`` has turned."""
    trailing_ones = lax.population_count(leaf ^ (leaf + 1)) - 1
    last = lax.population_count(leaf) - 1
    first = last - trailing_ones + 1

    def check(state: tuple[Array, Array]) -> tuple[Array, Array]:
        row, _ = state
        r_first = lax.dynamic_index_in_dim(checkpoint_r, row, 0, keepdims=False)
        sum_first = lax.dynamic_index_in_dim(checkpoint_sum, row, 0, keepdims=False)
        return row - 1, is_turning(metric, mass, r_first, r, r_sum - sum_first + r_first)

    _, turning = lax.while_loop(
        lambda state: (state[0] >= first) & ~state[1] & ((leaf & 1) == 1), check, (last, jnp.array(False))
    )
    return turning


def _select(condition: Array, new: T, old: T) -> T:
    """``new`` where the condition, a scalar, holds and ``old`` elsewhere, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
