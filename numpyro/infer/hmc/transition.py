"""One iteration of HMC or NUTS: draw a momentum, follow a trajectory, adapt.

Everything here works on flat vectors and is pure. What differs between two runs without changing the program (step
sizes, target, lengths, the schedule) is a run-time value in :class:`Tuning` or in the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.chain_axis import update_where
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad
from numpyro.infer.hmc.metric import MassMatrix, Metric
from numpyro.infer.hmc.nuts import (
    Checkpoints,
    Course,
    Underway,
    begin_subtree,
    begin_tree,
    no_checkpoints,
    nuts_trajectory,
    transition_of,
)
from numpyro.infer.hmc.random_bits import seed_words
from numpyro.infer.hmc.state import HMCState, Schedule, schedule_of
from numpyro.infer.hmc.trajectory import Transition, static_trajectory
from numpyro.infer.hmc.warmup import Warmup
from numpyro.infer.mcmc.target import Point
from numpyro.infer.one_kernel import in_one_kernel


class Tuning(NamedTuple):
    """Run-time settings.

    ``num_steps`` is ``None`` where the length decides; ``max_tree_depth`` has one depth for warm-up and one for later.
    ``one`` is the number 1, see :func:`~numpyro.infer.one_kernel.in_one_kernel`.
    """

    step_size: Any
    inverse_mass_matrix: PyTree
    target_accept_prob: Any
    trajectory_length: Any
    num_steps: Any
    max_tree_depth: tuple[Any, Any]
    schedule: Schedule
    one: Any = np.int32(1)


class Outset(NamedTuple):
    """What a state gives an iteration: its key, the point, and what its trajectory follows."""

    rng_key: Key
    point: Point
    mass: MassMatrix
    step_size: Array
    max_depth: Array


class Beginning(NamedTuple):
    """What an iteration draws: the start and the seed of its trajectory, and the key of the next iteration."""

    start: PhasePoint
    seed: Array
    rng_key: Key


Memory = Beginning | Underway
"""What an iteration leaves behind, for the next to write over."""


def mass_of(state: HMCState) -> MassMatrix:
    """The mass matrix of a state."""
    adapt = state.adapt_state
    return MassMatrix(adapt.inverse_mass_matrix, adapt.mass_matrix_sqrt, adapt.mass_matrix_sqrt_inv)


@dataclass(frozen=True)
class HMCAlgorithm:
    """What makes the program of a kernel: compare equal, compile once.

    :param metric: the kinetic energy.
    :param num_checkpoints: for NUTS the largest depth of a tree; ``None`` for trajectories of fixed length.
    :param warmup: how the step size and the mass matrix adapt.
    """

    metric: Metric
    num_checkpoints: int | None
    warmup: Warmup

    def init(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        start: Point,
        rng_key: Key,
    ) -> HMCState:
        """The state of a chain that starts at ``start``."""
        z, potential, grad = start
        dtype = z.dtype
        rng_key, adapt_key = jax.random.split(rng_key)
        adapt_state = self.warmup.init(
            potential_and_grad,
            PhasePoint(z, jnp.zeros_like(z), potential, grad),
            jnp.asarray(tuning.step_size, dtype),
            tuning.inverse_mass_matrix,
            jnp.asarray(tuning.target_accept_prob, dtype),
            Schedule(*(jnp.asarray(x, jnp.int32) for x in tuning.schedule)),
            adapt_key,
        )
        zero, none = jnp.zeros((), potential.dtype), jnp.zeros((), jnp.int32)
        length = None if self.num_checkpoints is not None else tuning.trajectory_length
        return HMCState(
            i=none,
            z=z,
            z_grad=grad,
            potential_energy=potential,
            energy=potential,
            r=None,
            trajectory_length=None if length is None else jnp.asarray(length, dtype),
            num_steps=none,
            accept_prob=zero,
            mean_accept_prob=zero,
            diverging=jnp.array(False),
            adapt_state=adapt_state,
            rng_key=rng_key,
        )

    def step(
        self, potential_and_grad: PotentialAndGrad, tuning: Tuning, state: HMCState, memory: Memory
    ) -> tuple[HMCState, Memory]:
        """One iteration.

        :param memory: of an iteration before, or :meth:`memory`. The trajectory is built in it: where it comes from
            the iteration before, XLA need not copy two dozen small arrays into the loops of this one.
        """
        outset = self.outset(tuning, state)
        if isinstance(memory, Underway):
            memory = in_one_kernel(self._begin_trees, memory, tuning.one, outset)
            course = Course(outset.mass, outset.step_size, outset.max_depth, memory.seed, memory.energy)
            trees = nuts_trajectory(potential_and_grad, self.metric, course, memory.tree, memory.subtree, tuning.one)
            transition = transition_of(trees[0])
            memory = memory._replace(tree=trees[0], subtree=trees[1])
        else:
            memory = in_one_kernel(lambda _, outset: self.begin(outset), memory, tuning.one, outset)
            transition = static_trajectory(
                potential_and_grad,
                self.metric,
                outset.mass,
                memory.start,
                outset.step_size,
                self.num_steps(tuning, state),
                memory.seed,
            )
        return self.finish(potential_and_grad, tuning, state, memory.rng_key, transition, one=tuning.one), memory

    def memory(self, tuning: Tuning, state: HMCState) -> Memory:
        """Memory with nothing in it."""

        def begun(outset: Outset) -> Memory:
            if self.num_checkpoints is None:
                return self.begin(outset)
            return self.begin_trees(outset, no_checkpoints(outset.point.z, self.num_checkpoints))

        shapes = jax.eval_shape(begun, self.outset(tuning, state))._replace(rng_key=None)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)._replace(rng_key=state.rng_key)

    def outset(self, tuning: Tuning, state: HMCState) -> Outset:
        """What the next iteration starts from."""
        point = Point(state.z, state.potential_energy, state.z_grad)
        return Outset(state.rng_key, point, mass_of(state), state.adapt_state.step_size, self.max_depth(tuning, state))

    def begin(self, outset: Outset) -> Beginning:
        """Draw what an iteration draws."""
        rng_key, momentum_key, seed_key = jax.random.split(outset.rng_key, 3)
        z, potential, grad = outset.point
        momentum = self.metric.momentum(outset.mass, jax.random.normal(momentum_key, z.shape, z.dtype))
        return Beginning(PhasePoint(z, momentum, potential, grad), seed_words(seed_key), rng_key)

    def begin_trees(self, outset: Outset, checkpoints: Checkpoints) -> Underway:
        """Draw what an iteration of NUTS draws, and begin its trees."""
        start, seed, rng_key = self.begin(outset)
        energy = start.potential + self.metric.kinetic_energy(outset.mass, start.r)
        course = Course(outset.mass, outset.step_size, outset.max_depth, seed, energy)
        tree = begin_tree(course, start)
        return Underway(seed, energy, tree, begin_subtree(course, tree, checkpoints), rng_key)

    def _begin_trees(self, memory: Underway, outset: Outset) -> Underway:
        return self.begin_trees(outset, memory.subtree.checkpoints)

    def finish(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        state: HMCState,
        rng_key: Key,
        transition: Transition,
        ended: Array | bool = True,
        one: Any = None,
    ) -> HMCState:
        """The next state, after adaptation.

        :param rng_key: the key of the next iteration.
        :param ended: whether the trajectory has ended. The result means nothing where it has not, but chains that
            advance together make decisions in common, and this one is then not asked.
        :param one: see :func:`~numpyro.infer.one_kernel.in_one_kernel`.
        """
        adapt, schedule = state.adapt_state, schedule_of(state.adapt_state)
        in_warmup = state.i < schedule.num_warmup
        target = jnp.asarray(tuning.target_accept_prob, adapt.step_size.dtype)
        # No window ends at iteration -1.
        at = jnp.where(ended, state.i, -1)
        adapt = update_where(
            in_warmup & ended,
            lambda adapt: self.warmup.update(potential_and_grad, adapt, at, transition, target),
            adapt,
        )
        nothing: Any = None
        settled = in_one_kernel(
            _settle, state._replace(adapt_state=nothing, rng_key=nothing), one, transition, schedule.num_warmup
        )
        return settled._replace(adapt_state=adapt, rng_key=rng_key)

    def max_depth(self, tuning: Tuning, state: HMCState) -> Array:
        """The greatest depth of the next tree."""
        in_warmup = state.i < schedule_of(state.adapt_state).num_warmup
        return jnp.where(in_warmup, *tuning.max_tree_depth).astype(jnp.int32)

    def num_steps(self, tuning: Tuning, state: HMCState) -> Array:
        """The leapfrog steps of the next trajectory of a fixed length."""
        if tuning.num_steps is not None or state.trajectory_length is None:
            return jnp.asarray(tuning.num_steps, jnp.int32)
        # A hair below the quotient, so that rounding does not add a step to a whole number of them.
        quotient = jnp.ceil(state.trajectory_length / state.adapt_state.step_size * (1.0 - 1e-6))
        return jnp.clip(quotient, 1.0, 2.0**30).astype(jnp.int32)


def _settle(state: HMCState, transition: Transition, num_warmup: Array) -> HMCState:
    """The state at the end of a transition; adaptation and keys are elsewhere."""
    in_warmup = state.i < num_warmup
    i = state.i + 1
    count = jnp.where(in_warmup, i, i - num_warmup).astype(state.mean_accept_prob.dtype)
    mean = state.mean_accept_prob  # the first update of a phase divides by one: nothing of the last phase stays
    return state._replace(
        i=i,
        z=transition.z,
        z_grad=transition.grad,
        potential_energy=transition.potential,
        energy=transition.energy,
        num_steps=transition.num_steps,
        accept_prob=transition.accept_prob,
        mean_accept_prob=mean + (transition.accept_prob - mean) / count,
        diverging=transition.diverging,
    )
