"""What one transition of HMC returns, and the static trajectory of plain HMC."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad, leapfrog
from numpyro.infer.hmc.metric import MassMatrix, Metric
from numpyro.infer.hmc.random_bits import counter_uniform

MAX_DELTA_ENERGY = 1000.0
"""A trajectory whose energy grew by more than this has diverged from the level set that it should follow."""


class Transition(NamedTuple):
    """The next state of a chain and what is known of the trajectory that led there.

    ``energy`` is the Hamiltonian at the new state, ``num_steps`` the leapfrog steps taken, ``accept_prob`` the mean
    Metropolis acceptance probability along the trajectory.
    """

    z: Array
    potential: Array
    grad: Array
    energy: Array
    num_steps: Array
    accept_prob: Array
    diverging: Array


def energy_change(energy: Array, initial: Array) -> Array:
    """``energy - initial``, and infinity where that is not a number."""
    delta = energy - initial
    return jnp.where(jnp.isnan(delta), jnp.inf, delta)


def static_trajectory(
    potential_and_grad: PotentialAndGrad,
    metric: Metric,
    mass: MassMatrix,
    start: PhasePoint,
    step_size: Array,
    num_steps: Array,
    seed: Array,
) -> Transition:
    """Plain HMC: ``num_steps`` leapfrog steps and a Metropolis test of the end point (Neal 2011, section 5.3.2)."""
    end = follow(potential_and_grad, metric, mass, start, step_size, num_steps)
    return metropolis_test(metric, mass, start, end, num_steps, seed)


def follow(
    potential_and_grad: PotentialAndGrad,
    metric: Metric,
    mass: MassMatrix,
    start: PhasePoint,
    step_size: Array,
    num_steps: Array,
) -> PhasePoint:
    """Where ``num_steps`` leapfrog steps lead."""
    _, end = lax.while_loop(
        lambda carry: carry[0] < num_steps,
        lambda carry: (carry[0] + 1, leapfrog(potential_and_grad, metric, mass, carry[1], step_size)),
        (jnp.zeros_like(num_steps), start),
    )
    return end


def metropolis_test(
    metric: Metric, mass: MassMatrix, start: PhasePoint, end: PhasePoint, num_steps: Array, seed: Array
) -> Transition:
    """``end`` with probability :math:`\\min(1, e^{H - H'})`, ``start`` otherwise.

    :param num_steps: the leapfrog steps between the two.
    """
    initial_energy = start.potential + metric.kinetic_energy(mass, start.r)
    final_energy = end.potential + metric.kinetic_energy(mass, end.r)
    delta = energy_change(final_energy, initial_energy)
    accept_prob = jnp.minimum(1.0, jnp.exp(-delta))
    accepted = counter_uniform(seed, jnp.zeros((), jnp.int32), np.dtype(delta.dtype)) < accept_prob

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(accepted, new, old)

    return Transition(
        choose(end.z, start.z),
        choose(end.potential, start.potential),
        choose(end.grad, start.grad),
        choose(final_energy, initial_energy),
        num_steps,
        accept_prob,
        delta > MAX_DELTA_ENERGY,
    )
