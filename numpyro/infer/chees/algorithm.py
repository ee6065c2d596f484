"""An iteration of ChEES-HMC: trajectories of as many steps in all chains, and what chains learn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.adaptation import (
    TrajectoryLengthState,
    chees_gradient,
    trajectory_length_init,
    trajectory_length_update,
    van_der_corput,
)
from numpyro.infer.chain_axis import number_of_chains, shared, update_where
from numpyro.infer.density_kernel import Evaluate, Point, running_mean
from numpyro.infer.hmc.integrator import PhasePoint
from numpyro.infer.hmc.metric import DiagonalMetric, MassMatrix
from numpyro.infer.hmc.random_bits import seed_words
from numpyro.infer.hmc.state import HMCAdaptState, Schedule, schedule_of
from numpyro.infer.hmc.trajectory import Transition, follow, metropolis_test
from numpyro.infer.hmc.warmup import Warmup

MAX_STEPS = 1000
"""The most leapfrog steps of a trajectory."""


class ChEESState(NamedTuple):
    """The state of a chain. What is adapted is the same in all chains.

    - **i** - the number of iterations done, warm-up included.
    - **z** - the position: unconstrained values of the latent sites, or what ``potential_fn`` takes.
    - **z_grad** - the gradient of the potential energy at ``z``.
    - **potential_energy** - minus the log density of ``z``.
    - **trajectory_length** - the longest trajectory: the next one's length is a number between 0 and 1 times that.
    - **num_steps** - leapfrog steps of the last trajectory, the same in all chains.
    - **accept_prob** - acceptance probability of the last trajectory.
    - **mean_accept_prob** - its mean since warm-up began or, later, since it ended.
    - **diverging** - whether the energy of the last trajectory ran away.
    - **adapt_state** - an :class:`~numpyro.infer.hmc.HMCAdaptState`; the mass matrix is over the flat position.
    - **length_state** - a :class:`~numpyro.infer.adaptation.TrajectoryLengthState`.
    - **rng_key** - the key of the chain's next iteration.
    """

    i: Array
    z: PyTree
    z_grad: PyTree
    potential_energy: Array
    trajectory_length: Array
    num_steps: Array
    accept_prob: Array
    mean_accept_prob: Array
    diverging: Array
    adapt_state: HMCAdaptState
    length_state: TrajectoryLengthState
    rng_key: Key


class ChEESTuning(NamedTuple):
    """Run-time settings."""

    step_size: Any
    target_accept_prob: Any
    trajectory_length: Any
    schedule: Schedule


class Trajectory(NamedTuple):
    """A trajectory: its ends, its length, and what came of it."""

    start: PhasePoint
    end: PhasePoint
    length: Array
    transition: Transition


class Learnt(NamedTuple):
    """What warm-up changes; fields of :class:`ChEESState`."""

    trajectory_length: Array
    adapt_state: HMCAdaptState
    length_state: TrajectoryLengthState


@dataclass(frozen=True)
class ChEESAlgorithm:
    """Trajectories and adaptation; see :class:`ChEES`.

    :param needs_chains: lengths are to be learnt, for which there must be several chains.
    """

    warmup: Warmup
    metric: DiagonalMetric
    adapt_trajectory_length: bool
    needs_chains: bool

    def init(self, evaluate: Evaluate, tuning: ChEESTuning, start: Point, rng_key: Key) -> ChEESState:
        rng_key, adapt_key = jax.random.split(rng_key)
        dtype, zero = start.z.dtype, jnp.zeros((), start.potential.dtype)
        none = jnp.zeros((), jnp.int32)
        length = jnp.asarray(tuning.trajectory_length, dtype)
        adapt_state = self.warmup.init(
            lambda flat: evaluate(flat)[1:],
            PhasePoint(start.z, start.z, start.potential, start.grad),
            jnp.asarray(tuning.step_size, dtype),
            None,
            jnp.asarray(tuning.target_accept_prob, dtype),
            Schedule(*(jnp.asarray(x, jnp.int32) for x in tuning.schedule)),
            adapt_key,
        )
        return ChEESState(
            i=none,
            z=start.z,
            z_grad=start.grad,
            potential_energy=start.potential,
            trajectory_length=length,
            num_steps=none,
            accept_prob=zero,
            mean_accept_prob=zero,
            diverging=jnp.array(False),
            adapt_state=adapt_state,
            length_state=trajectory_length_init(length),
            rng_key=rng_key,
        )

    def step(self, evaluate: Evaluate, tuning: ChEESTuning, state: ChEESState) -> ChEESState:
        if self.needs_chains:
            require_several_chains()
        adapt = state.adapt_state
        # What chains have in common is one value for all, so that they all take the same number of steps, and loops
        # and branches of the program are those of one chain.
        i, step_size, num_warmup = shared((state.i, adapt.step_size, schedule_of(adapt).num_warmup))
        mass = shared(MassMatrix(adapt.inverse_mass_matrix, adapt.mass_matrix_sqrt, adapt.mass_matrix_sqrt_inv))
        length = van_der_corput(i + 1, np.dtype(step_size.dtype)) * shared(state.trajectory_length)
        num_steps = jnp.clip(jnp.ceil(length / step_size), 1.0, MAX_STEPS).astype(jnp.int32)

        rng_key, momentum_key, seed_key = jax.random.split(state.rng_key, 3)
        momentum = self.metric.momentum(mass, jax.random.normal(momentum_key, state.z.shape, state.z.dtype))
        start = PhasePoint(state.z, momentum, state.potential_energy, state.z_grad)
        end = follow(lambda flat: evaluate(flat)[1:], self.metric, mass, start, step_size, num_steps)
        transition = metropolis_test(self.metric, mass, start, end, num_steps, seed_words(seed_key))

        trajectory = Trajectory(start, end, length, transition)
        learnt = update_where(
            i < num_warmup,
            lambda learnt: self._adapt(evaluate, tuning, learnt, state.i, trajectory),
            Learnt(state.trajectory_length, adapt, state.length_state),
        )
        return ChEESState(
            i=state.i + 1,
            z=transition.z,
            z_grad=transition.grad,
            potential_energy=transition.potential,
            num_steps=num_steps,
            accept_prob=transition.accept_prob,
            mean_accept_prob=running_mean(state.mean_accept_prob, transition.accept_prob, state.i, num_warmup),
            diverging=transition.diverging,
            rng_key=rng_key,
            **learnt._asdict(),
        )

    def _adapt(
        self, evaluate: Evaluate, tuning: ChEESTuning, learnt: Learnt, i: Array, trajectory: Trajectory
    ) -> Learnt:
        """What is learnt from iteration ``i`` of warm-up."""
        longest, adapt, lengths = learnt
        start, end, length, transition = trajectory
        if self.adapt_trajectory_length:
            scale = adapt.mass_matrix_sqrt  # M^(1/2) z has unit scale, and moves with velocity M^(-1/2) r
            accept_prob = transition.accept_prob.astype(length.dtype)
            gradient = chees_gradient(scale * start.z, scale * end.z, end.r / scale, accept_prob, length)
            lengths = trajectory_length_update(lengths, gradient, jnp.log(MAX_STEPS * adapt.step_size))
            is_last = i == schedule_of(adapt).num_warmup - 1
            longest = jnp.exp(jnp.where(is_last, lengths.log_length_avg, lengths.log_length))
        adapt = self.warmup.update(
            lambda flat: evaluate(flat)[1:],
            adapt,
            i,
            transition,
            jnp.asarray(tuning.target_accept_prob, adapt.step_size.dtype),
        )
        return Learnt(longest, adapt, lengths)


def require_several_chains() -> None:
    """Raise where the program is that of a single chain."""
    if number_of_chains() == 1:
        raise UsageError(
            "ChEES learns the length of trajectories from many chains, and this is a single one: use "
            "MCMC(..., num_chains=64, chain_method='vectorized'), or about as many. For one chain take NUTS, or set "
            "`trajectory_length` and adapt_trajectory_length=False."
        )
