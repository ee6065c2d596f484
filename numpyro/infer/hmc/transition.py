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
from jax import lax

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.adaptation import (
    DualAveragingState,
    WelfordState,
    dual_averaging_init,
    dual_averaging_update,
    welford_covariance,
    welford_init,
    welford_update,
)
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad, leapfrog
from numpyro.infer.hmc.metric import AdaptedMetric, BlockMetric, DenseMetric, MassMatrix, Metric
from numpyro.infer.hmc.nuts import nuts_trajectory
from numpyro.infer.hmc.random_bits import seed_words
from numpyro.infer.hmc.state import HMCAdaptState, HMCState, Schedule, schedule_of
from numpyro.infer.hmc.trajectory import Transition, energy_change, static_trajectory


class Tuning(NamedTuple):
    """Run-time settings.

    ``num_steps`` is ``None`` where the length decides; ``max_tree_depth`` has one depth for warm-up and one for later.
    """

    step_size: Any
    inverse_mass_matrix: PyTree
    target_accept_prob: Any
    trajectory_length: Any
    num_steps: Any
    max_tree_depth: tuple[Any, Any]
    schedule: Schedule


@dataclass(frozen=True)
class HMCAlgorithm:
    """What makes the program of a kernel: compare equal, compile once.

    :param metric: the kinetic energy.
    :param mass: the metric of the mass matrix, which is adapted; the same unless the kinetic energy is custom.
    :param num_checkpoints: for NUTS the largest depth of a tree; ``None`` for trajectories of fixed length.
    """

    metric: Metric
    mass: AdaptedMetric
    num_checkpoints: int | None
    adapt_step_size: bool
    adapt_mass_matrix: bool
    regularize_mass_matrix: bool
    find_heuristic_step_size: bool

    def init(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        z: Array,
        potential: Array,
        grad: Array,
        rng_key: Key,
    ) -> HMCState:
        """The state of a chain that starts at ``z``, where the potential and its gradient are known."""
        dtype = z.dtype
        rng_key, adapt_key, heuristic_key = jax.random.split(rng_key, 3)
        inverse = tuning.inverse_mass_matrix
        inverse = (
            self.mass.identity(dtype) if inverse is None else jax.tree.map(lambda x: jnp.asarray(x, dtype), inverse)
        )
        mass = self.mass.mass_matrix(inverse)
        step_size = jnp.asarray(tuning.step_size, dtype)
        if self.find_heuristic_step_size:
            point = PhasePoint(z, jnp.zeros_like(z), potential, grad)
            step_size = self._heuristic_step_size(potential_and_grad, tuning, mass, point, step_size, heuristic_key)
        schedule = Schedule(*(jnp.asarray(x, jnp.int32) for x in tuning.schedule))
        adapt_state = HMCAdaptState(
            step_size,
            *mass,
            dual_averaging_init(step_size),
            self._welford_init(np.dtype(dtype)),
            jnp.zeros((), jnp.int32),
            adapt_key,
            schedule,
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
        rng_key, momentum_key, seed_key = jax.random.split(state.rng_key, 3)
        adapt, schedule = state.adapt_state, schedule_of(state.adapt_state)
        mass = MassMatrix(adapt.inverse_mass_matrix, adapt.mass_matrix_sqrt, adapt.mass_matrix_sqrt_inv)
        noise = jax.random.normal(momentum_key, state.z.shape, state.z.dtype)
        start = PhasePoint(state.z, self.metric.momentum(mass, noise), state.potential_energy, state.z_grad)
        in_warmup = state.i < schedule.num_warmup
        transition = self._trajectory(potential_and_grad, tuning, mass, start, state, in_warmup, seed_words(seed_key))

        adapt = lax.cond(
            in_warmup,
            lambda adapt: self._adapt(potential_and_grad, tuning, adapt, state.i, transition),
            lambda adapt: adapt,
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

    def _trajectory(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        mass: MassMatrix,
        start: PhasePoint,
        state: HMCState,
        in_warmup: Array,
        seed: Array,
    ) -> Transition:
        step_size = state.adapt_state.step_size
        if self.num_checkpoints is not None:
            depth = jnp.where(in_warmup, *tuning.max_tree_depth).astype(jnp.int32)
            return nuts_trajectory(
                potential_and_grad, self.metric, mass, start, step_size, depth, self.num_checkpoints, seed
            )
        if tuning.num_steps is not None or state.trajectory_length is None:
            num_steps = jnp.asarray(tuning.num_steps, jnp.int32)
        else:
            # A hair below the quotient, so that rounding does not add a step to a whole number of them.
            quotient = jnp.ceil(state.trajectory_length / step_size * (1.0 - 1e-6))
            num_steps = jnp.clip(quotient, 1.0, 2.0**30).astype(jnp.int32)
        return static_trajectory(potential_and_grad, self.metric, mass, start, step_size, num_steps, seed)

    def _adapt(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        adapt: HMCAdaptState,
        i: Array,
        transition: Transition,
    ) -> HMCAdaptState:
        schedule = schedule_of(adapt)
        dtype = adapt.step_size.dtype
        is_last = i == schedule.num_warmup - 1
        window_end = i == schedule.window_ends[adapt.window_idx]
        # Slow windows are those between the first and the last; the last one ends with warm-up.
        in_slow = (adapt.window_idx > 0) & (schedule.window_ends[adapt.window_idx] < schedule.num_warmup - 1)

        averaging, step_size = adapt.ss_state, adapt.step_size
        if self.adapt_step_size:
            target = jnp.asarray(tuning.target_accept_prob, dtype)
            averaging = dual_averaging_update(DualAveragingState(*averaging), transition.accept_prob, target)
            log_step = jnp.where(is_last | window_end, averaging.log_step_avg, averaging.log_step)
            tiny, huge = jnp.finfo(dtype).tiny, jnp.finfo(dtype).max
            step_size = jnp.clip(jnp.exp(log_step), tiny, huge)
        adapt = adapt._replace(step_size=step_size, ss_state=averaging)
        if self.adapt_mass_matrix:
            adapt = adapt._replace(
                mm_state=lax.cond(in_slow, lambda m: self._welford_update(m, transition.z), lambda m: m, adapt.mm_state)
            )
        adapt = lax.cond(
            window_end & in_slow,
            lambda adapt: self._end_slow_window(potential_and_grad, tuning, adapt, transition),
            lambda adapt: adapt,
            adapt,
        )
        return adapt._replace(window_idx=jnp.where(window_end, adapt.window_idx + 1, adapt.window_idx))

    def _end_slow_window(
        self, potential_and_grad: PotentialAndGrad, tuning: Tuning, adapt: HMCAdaptState, transition: Transition
    ) -> HMCAdaptState:
        """Set the mass matrix from the window's positions, and start the step size over."""
        if self.adapt_mass_matrix:
            inverse = self._per_block(
                lambda state: welford_covariance(WelfordState(*state), self.regularize_mass_matrix), adapt.mm_state
            )
            mass = self.mass.mass_matrix(inverse)
            adapt = adapt._replace(
                inverse_mass_matrix=mass.inverse,
                mass_matrix_sqrt=mass.sqrt,
                mass_matrix_sqrt_inv=mass.sqrt_inv,
                mm_state=jax.tree.map(jnp.zeros_like, adapt.mm_state),
            )
            if self.adapt_step_size and self.find_heuristic_step_size:
                rng_key, heuristic_key = jax.random.split(adapt.rng_key)
                z, potential, grad = transition.z, transition.potential, transition.grad
                point = PhasePoint(z, jnp.zeros_like(z), potential, grad)
                step_size = self._heuristic_step_size(
                    potential_and_grad, tuning, mass, point, adapt.step_size, heuristic_key
                )
                adapt = adapt._replace(step_size=step_size, rng_key=rng_key)
        if self.adapt_step_size:
            adapt = adapt._replace(ss_state=dual_averaging_init(adapt.step_size))
        return adapt

    def _heuristic_step_size(
        self,
        potential_and_grad: PotentialAndGrad,
        tuning: Tuning,
        mass: MassMatrix,
        point: PhasePoint,
        step_size: Array,
        rng_key: Key,
    ) -> Array:
        """Double or halve the step size until one step's acceptance crosses the target.

        Hoffman & Gelman (2014), algorithm 4.
        """
        dtype = step_size.dtype
        target = jnp.log(jnp.asarray(tuning.target_accept_prob, dtype))

        def direction(step_size: Array, rng_key: Key) -> Array:
            r = self.metric.momentum(mass, jax.random.normal(rng_key, point.z.shape, dtype))
            start = point._replace(r=r)
            end = leapfrog(potential_and_grad, self.metric, mass, start, step_size)
            before = start.potential + self.metric.kinetic_energy(mass, start.r)
            delta = energy_change(end.potential + self.metric.kinetic_energy(mass, end.r), before)
            return jnp.where(-delta > target, 1, -1).astype(jnp.int32)

        def move(carry: tuple) -> tuple:
            step_size, _, current, rng_key = carry
            rng_key, momentum_key = jax.random.split(rng_key)
            scaled = jnp.where(current == 0, 1.0, jnp.where(current > 0, 2.0, 0.5)).astype(dtype)
            step_size = step_size * scaled
            return step_size, current, direction(step_size, momentum_key), rng_key

        def unsettled(carry: tuple) -> Array:
            step_size, last, current, _ = carry
            in_range = (step_size > jnp.finfo(dtype).tiny) & (step_size < jnp.finfo(dtype).max)
            return in_range & ((last == 0) | (last == current))

        zero = jnp.zeros((), jnp.int32)
        return lax.while_loop(unsettled, move, (step_size, zero, zero, rng_key))[0]

    def _per_block(self, fn: Any, per_block: PyTree) -> PyTree:
        return {key: fn(value) for key, value in per_block.items()} if isinstance(per_block, dict) else fn(per_block)

    def _welford_init(self, dtype: np.dtype) -> PyTree:
        if isinstance(self.mass, BlockMetric):
            return {
                key: tuple(welford_init(metric.size, isinstance(metric, DenseMetric), dtype))
                for key, metric in self.mass.blocks
            }
        return tuple(welford_init(self.mass.size, isinstance(self.mass, DenseMetric), dtype))

    def _welford_update(self, state: PyTree, z: Array) -> PyTree:
        if not isinstance(self.mass, BlockMetric):
            return tuple(welford_update(WelfordState(*state), z))
        updated, start = {}, 0
        for key, metric in self.mass.blocks:
            piece = lax.slice_in_dim(z, start, start + metric.size)
            updated[key] = tuple(welford_update(WelfordState(*state[key]), piece))
            start += metric.size
        return updated
