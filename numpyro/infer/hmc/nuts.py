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

from numpyro._typing import Array, Key
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad, leapfrog
from numpyro.infer.hmc.metric import MassMatrix, Metric
from numpyro.infer.hmc.random_bits import counter_uniform
from numpyro.infer.hmc.trajectory import MAX_DELTA_ENERGY, Transition, energy_change
from numpyro.infer.one_kernel import in_one_kernel
from numpyro.ops.summation import pairwise_sum

T = TypeVar("T")


class Course(NamedTuple):
    """What stays the same while a trajectory is built.

    - **mass**, **step_size** - of the integrator.
    - **max_depth** - the trajectory has at most ``2**max_depth`` points.
    - **seed** - the seed words of the transition's uniform numbers.
    - **energy** - the Hamiltonian at the start.
    """

    mass: MassMatrix
    step_size: Array
    max_depth: Array
    seed: Array
    energy: Array


class Proposal(NamedTuple):
    """A point drawn from the leaves seen so far, and the log of their total weight."""

    z: Array
    potential: Array
    grad: Array
    energy: Array
    log_weight: Array


class Checkpoints(NamedTuple):
    """Momenta of even leaves, and sums of momenta up to them, by row."""

    r: Array
    r_sum: Array


class Subtree(NamedTuple):
    """The state of building one subtree: the last leaf, what was drawn, the totals, and the checkpoints."""

    leaf: Array
    point: PhasePoint
    proposal: Proposal
    r_sum: Array
    sum_accept: Array
    turning: Array
    diverging: Array
    checkpoints: Checkpoints


class Tree(NamedTuple):
    """The state of doubling: both ends, what was drawn, and the totals over all leaves."""

    depth: Array
    left: PhasePoint
    right: PhasePoint
    proposal: Proposal
    r_sum: Array
    sum_accept: Array
    num_steps: Array
    turning: Array
    diverging: Array


class Underway(NamedTuple):
    """A trajectory that is being built.

    - **seed**, **energy** - of the trajectory; what else it needs is in the chain's state.
    - **tree**, **subtree** - how far it has come.
    - **rng_key** - the key of the chain's next iteration.
    """

    seed: Array
    energy: Array
    tree: Tree
    subtree: Subtree
    rng_key: Key


def nuts_trajectory(
    potential_and_grad: PotentialAndGrad,
    metric: Metric,
    course: Course,
    tree: Tree,
    subtree: Subtree,
    one: Array | None = None,
) -> tuple[Tree, Subtree]:
    """Double ``tree`` until it ends; the next state is drawn from it by :func:`transition_of`.

    :param subtree: the first subtree, without leaves.
    :param one: see :func:`~numpyro.infer.one_kernel.in_one_kernel`.
    """

    def grow(subtree: Subtree, step: Array, depth: Array) -> Subtree:
        point = leapfrog(potential_and_grad, metric, course.mass, subtree.point, step)
        return in_one_kernel(lambda *args: add_leaf(metric, *args), subtree, one, course, point, depth)

    def double(carry: tuple[Tree, Subtree]) -> tuple[Tree, Subtree]:
        tree, subtree = carry
        step = signed_step(course, tree.depth)
        subtree = lax.while_loop(
            lambda subtree: ~is_complete(subtree, tree.depth),
            lambda subtree: grow(subtree, step, tree.depth),
            subtree,
        )
        return in_one_kernel(merge_and_begin, (tree, subtree), one, course)

    def merge_and_begin(carry: tuple[Tree, Subtree], course: Course) -> tuple[Tree, Subtree]:
        tree, subtree = carry
        tree = merge(metric, tree, course, subtree)
        return tree, begin_subtree(course, tree, subtree.checkpoints)

    return lax.while_loop(lambda carry: ~has_ended(course, carry[0]), double, (tree, subtree))


def begin_tree(course: Course, start: PhasePoint) -> Tree:
    """A trajectory of one point."""
    zero, none = jnp.zeros_like(course.energy), jnp.zeros((), jnp.int32)
    proposal = Proposal(start.z, start.potential, start.grad, course.energy, zero)
    return Tree(none, start, start, proposal, start.r, zero, none, jnp.array(False), jnp.array(False))


def no_checkpoints(r: Array, rows: int) -> Checkpoints:
    """Checkpoints for trees of so many doublings; one spare row for what is never compared with."""
    zeros = jnp.zeros((rows + 1, r.shape[0]), r.dtype)
    return Checkpoints(zeros, zeros)


def has_ended(course: Course, tree: Tree) -> Array:
    """Whether a tree is not to be doubled any more."""
    return (tree.depth >= course.max_depth) | tree.turning | tree.diverging


def is_complete(subtree: Subtree, depth: Array) -> Array:
    """Whether a subtree of ``2**depth`` leaves gets no more leaves: it is full, or ends before its time."""
    return (subtree.leaf >= jnp.left_shift(1, depth)) | subtree.turning | subtree.diverging


def signed_step(course: Course, depth: Array) -> Array:
    """The step size of the doubling at ``depth``: negative where it goes backwards."""
    return jnp.where(_forwards(course, depth), course.step_size, -course.step_size)


def _forwards(course: Course, depth: Array) -> Array:
    # Counters: a doubling of depth d has leaves 2^d .. 2^(d+1) - 1; two more, below all leaves, are its own.
    return counter_uniform(course.seed, -2 * depth - 1, np.dtype(course.energy.dtype)) < 0.5


def begin_subtree(course: Course, tree: Tree, checkpoints: Checkpoints) -> Subtree:
    """A subtree without leaves at the end of the tree where the next doubling goes on."""
    return Subtree(
        jnp.zeros_like(tree.depth),
        select(_forwards(course, tree.depth), tree.right, tree.left),
        tree.proposal._replace(log_weight=jnp.full_like(course.energy, -jnp.inf)),
        jnp.zeros_like(tree.r_sum),
        jnp.zeros_like(course.energy),
        jnp.array(False),
        jnp.array(False),
        checkpoints,
    )


def add_leaf(metric: Metric, subtree: Subtree, course: Course, point: PhasePoint, depth: Array) -> Subtree:
    """The subtree with one leaf more."""
    energy = point.potential + metric.kinetic_energy(course.mass, point.r)
    delta = energy_change(energy, course.energy)
    log_weight = jnp.logaddexp(subtree.proposal.log_weight, -delta)
    counter = jnp.left_shift(1, depth) + subtree.leaf
    take = jnp.log(counter_uniform(course.seed, counter, np.dtype(energy.dtype))) < -delta - log_weight
    leaf = Proposal(point.z, point.potential, point.grad, energy, log_weight)
    proposal = select(take, leaf, subtree.proposal)._replace(log_weight=log_weight)

    r_sum = subtree.r_sum + point.r
    checkpoints = _store(subtree.checkpoints, subtree.leaf, point.r, r_sum)
    return Subtree(
        subtree.leaf + 1,
        point,
        proposal,
        r_sum,
        subtree.sum_accept + jnp.minimum(1.0, jnp.exp(-delta)),
        _completes_a_turn(metric, course.mass, subtree.leaf, point.r, r_sum, checkpoints),
        delta > MAX_DELTA_ENERGY,
        checkpoints,
    )


def merge(metric: Metric, tree: Tree, course: Course, subtree: Subtree) -> Tree:
    """The tree with a subtree that is complete."""
    whole = ~subtree.turning & ~subtree.diverging
    # Biased progressive sampling: prefer the new half, which lies further away (Betancourt 2017, A.3.2).
    log_ratio = subtree.proposal.log_weight - tree.proposal.log_weight
    uniform = counter_uniform(course.seed, -2 * tree.depth - 2, np.dtype(course.energy.dtype))
    take = whole & (jnp.log(uniform) < log_ratio)
    log_weight = jnp.logaddexp(tree.proposal.log_weight, subtree.proposal.log_weight)
    forwards = _forwards(course, tree.depth)
    left, right = select(forwards, tree.left, subtree.point), select(forwards, subtree.point, tree.right)
    r_sum = tree.r_sum + subtree.r_sum
    return Tree(
        tree.depth + 1,
        left,
        right,
        select(take, subtree.proposal, tree.proposal)._replace(log_weight=log_weight),
        r_sum,
        tree.sum_accept + subtree.sum_accept,
        tree.num_steps + subtree.leaf,
        subtree.turning | is_turning(metric, course.mass, left.r, right.r, r_sum),
        subtree.diverging,
    )


def transition_of(tree: Tree) -> Transition:
    """What the chain sees of a tree that has ended."""
    proposal = tree.proposal
    accept_prob = tree.sum_accept / jnp.maximum(tree.num_steps, 1)
    return Transition(
        proposal.z, proposal.potential, proposal.grad, proposal.energy, tree.num_steps, accept_prob, tree.diverging
    )


def is_turning(metric: Metric, mass: MassMatrix, r_first: Array, r_last: Array, r_sum: Array) -> Array:
    """Whether a stretch with these end momenta and sum of momenta has turned back (see the module's docstring)."""
    velocity = metric.velocity(mass, r_sum - 0.5 * (r_first + r_last))
    return (pairwise_sum(r_first * velocity) <= 0) | (pairwise_sum(r_last * velocity) <= 0)


def _store(checkpoints: Checkpoints, leaf: Array, r: Array, r_sum: Array) -> Checkpoints:
    """Odd leaves are never compared with: they go to the spare row, so that storing needs no branch."""
    spare = checkpoints.r.shape[0] - 1
    row = jnp.where((leaf & 1) == 0, lax.population_count(leaf), spare)
    return Checkpoints(
        lax.dynamic_update_index_in_dim(checkpoints.r, r, row, 0),
        lax.dynamic_update_index_in_dim(checkpoints.r_sum, r_sum, row, 0),
    )


def _completes_a_turn(
    metric: Metric, mass: MassMatrix, leaf: Array, r: Array, r_sum: Array, checkpoints: Checkpoints
) -> Array:
    """Whether any balanced subtree that ends at ``leaf`` has turned."""
    # A processor compares with one row after another, on average one a leaf; an accelerator with all rows at once.
    compare = turns_one_by_one if jax.default_backend() == "cpu" else turns_at_once
    return compare(metric, mass, leaf, r, r_sum, checkpoints)


def turns_one_by_one(
    metric: Metric, mass: MassMatrix, leaf: Array, r: Array, r_sum: Array, checkpoints: Checkpoints
) -> Array:
    """Compare with the rows of ``leaf`` in a loop, until a turn is found."""
    first, last = _rows_to_compare(leaf)

    def check(state: tuple[Array, Array]) -> tuple[Array, Array]:
        row, _ = state
        r_first = lax.dynamic_index_in_dim(checkpoints.r, row, 0, keepdims=False)
        sum_first = lax.dynamic_index_in_dim(checkpoints.r_sum, row, 0, keepdims=False)
        return row - 1, is_turning(metric, mass, r_first, r, r_sum - sum_first + r_first)

    return lax.while_loop(lambda state: (state[0] >= first) & ~state[1], check, (last, jnp.array(False)))[1]


def turns_at_once(
    metric: Metric, mass: MassMatrix, leaf: Array, r: Array, r_sum: Array, checkpoints: Checkpoints
) -> Array:
    """Compare with all rows, and count those of ``leaf``."""
    first, last = _rows_to_compare(leaf)
    rows = jnp.arange(checkpoints.r.shape[0])
    turned = jax.vmap(lambda r_first, sum_first: is_turning(metric, mass, r_first, r, r_sum - sum_first + r_first))(
        checkpoints.r, checkpoints.r_sum
    )
    return jnp.any(turned & (rows >= first) & (rows <= last))


def _rows_to_compare(leaf: Array) -> tuple[Array, Array]:
    """The first and the last row of the subtrees that ``leaf`` completes; none, where the leaf is even."""
    trailing_ones = lax.population_count(leaf ^ (leaf + 1)) - 1
    last = lax.population_count(leaf) - 1
    return last - trailing_ones + 1, last


def select(condition: Array, new: T, old: T) -> T:
    """``new`` where the condition, a scalar, holds and ``old`` elsewhere, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
