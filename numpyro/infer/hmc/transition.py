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
from numpyro.infer.hmc.nuts import nuts_trajectory
from numpyro.infer.hmc.random_bits import seed_words
from numpyro.infer.hmc.state import HMCState, Schedule, schedule_of
from numpyro.infer.hmc.trajectory import Transition, static_trajectory
from numpyro.infer.hmc.warmup import Warmup
from numpyro.infer.mcmc.target import Point


class Tuning(NamedTuple):
    """Run-time settings.

    ``num_steps`` is ``None`` where the length decides; ``max_tree_depth`` has one depth for warm-up and one for later.
    ``one`` is the number 1, see :func:`~numpyro.infer.hmc.one_kernel.in_one_kernel`.
    """

    step_size: Any
    inverse_mass_matrix: PyTree
    target_accept_prob: Any
    trajectory_length: Any
    num_steps: Any
    max_tree_depth: tuple[Any, Any]
    schedule: Schedule
    one: Any = np.int32(1)


class Beginning(NamedTuple):
    """What an iteration draws: the start and the seed of its trajectory, and the key of the next iteration."""

    start: PhasePoint
    seed: Array
    rng_key: Key


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

    def step(self, potential_and_grad: PotentialAndGrad, tuning: Tuning, state: HMCState) -> HMCState:
        """One iteration."""
        beginning = self.begin(state)
        transition = self._trajectory(potential_and_grad, tuning, state, beginning)
        return self.finish(potential_and_grad, tuning, state, beginning.rng_key, transition)

    def begin(self, state: HMCState) -> Beginning:
        """Draw what an iteration draws."""
        rng_key, momentum_key, seed_key = jax.random.split(state.rng_key, 3)
        noise = jax.random.normal(momentum_key, state.z.shape, state.z.dtype)
        momentum = self.metric.momentum(mass_of(state), noise)
        start = PhasePoint(state.z, momentum, state.potential_energy, state.z_grad)
        return Beginning(start, seed_words(seed_key), rng_key)

    def finish(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        state: HMCState,
        rng_key: Key,
        transition: Transition,
        ended: Array | bool = True,
    ) -> HMCState:
        """The next state, after adaptation.

        :param rng_key: the key of the next iteration.
        :param ended: whether the trajectory has ended. The result means nothing where it has not, but chains that
            advance together make decisions in common, and this one is then not asked.
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
        i = state.i + 1
        count = jnp.where(in_warmup, i, i - schedule.num_warmup).astype(state.mean_accept_prob.dtype)
        mean = state.mean_accept_prob  # the first update of a phase divides by one: nothing of the last phase stays
        return HMCState(
            i=i,
            z=transition.z,
            z_grad=transition.grad,
            potential_energy=transition.potential,
            energy=transition.energy,
            r=None,
            trajectory_length=state.trajectory_length,
            num_steps=transition.num_steps,
            accept_prob=transition.accept_prob,
            mean_accept_prob=mean + (transition.accept_prob - mean) / count,
            diverging=transition.diverging,
            adapt_state=adapt,
            rng_key=rng_key,
        )

    def max_depth(self, tuning: Tuning, state: HMCState) -> Array:
        """The greatest depth of the next tree."""
        in_warmup = state.i < schedule_of(state.adapt_state).num_warmup
        return jnp.where(in_warmup, *tuning.max_tree_depth).astype(jnp.int32)

    def _trajectory(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        state: HMCState,
        beginning: Beginning,
    ) -> Transition:
        start, seed, _ = beginning
        mass, step_size = mass_of(state), state.adapt_state.step_size
        if self.num_checkpoints is not None:
            depth = self.max_depth(tuning, state)
            return nuts_trajectory(
                potential_and_grad, self.metric, mass, start, step_size, depth, self.num_checkpoints, seed, tuning.one
            )
        num_steps = self.num_steps(tuning, state)
        return static_trajectory(potential_and_grad, self.metric, mass, start, step_size, num_steps, seed)

    def num_steps(self, tuning: Tuning, state: HMCState) -> Array:
        """The leapfrog steps of the next trajectory of a fixed length."""
        if tuning.num_steps is not None or state.trajectory_length is None:
            return jnp.asarray(tuning.num_steps, jnp.int32)
        # A hair below the quotient, so that rounding does not add a step to a whole number of them.
        quotient = jnp.ceil(state.trajectory_length / state.adapt_state.step_size * (1.0 - 1e-6))
        return jnp.clip(quotient, 1.0, 2.0**30).astype(jnp.int32)
