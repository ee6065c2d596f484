"""A first step size of the right order of magnitude."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, Key
from numpyro.infer.chain_axis import mean_over_chains
from numpyro.infer.hmc.integrator import PhasePoint, PotentialAndGrad, leapfrog
from numpyro.infer.hmc.metric import MassMatrix, Metric
from numpyro.infer.hmc.trajectory import energy_change


def heuristic_step_size(
    potential_and_grad: PotentialAndGrad,
    metric: Metric,
    mass: MassMatrix,
    point: PhasePoint,
    step_size: Array,
    target: Array,
    rng_key: Key,
    *,
    pooled: bool,
) -> Array:
    """Double or halve the step size until one step's acceptance crosses the target.

    Hoffman & Gelman (2014), algorithm 4.

    :param point: where to step from; its momentum is drawn.
    :param target: the acceptance probability.
    :param pooled: cross it with the mean over the chains.
    """
    dtype = step_size.dtype

    def direction(step_size: Array, rng_key: Key) -> Array:
        r = metric.momentum(mass, jax.random.normal(rng_key, point.z.shape, dtype))
        start = point._replace(r=r)
        end = leapfrog(potential_and_grad, metric, mass, start, step_size)
        before = start.potential + metric.kinetic_energy(mass, start.r)
        delta = energy_change(end.potential + metric.kinetic_energy(mass, end.r), before)
        accept_prob = jnp.exp(-jnp.maximum(delta, 0.0))
        accept_prob = mean_over_chains(accept_prob) if pooled else accept_prob
        return jnp.where(accept_prob > target, 1, -1).astype(jnp.int32)

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
