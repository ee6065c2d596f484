"""Dual averaging of the log step size (Nesterov 2009; Hoffman & Gelman 2014, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from numpyro._typing import Array

STABILIZATION = 10.0  # t_0: damps the first iterations
RELAXATION = 0.75  # kappa: how fast early iterates are forgotten
SHRINKAGE = 0.05  # gamma: how strongly iterates are drawn to the prox centre


class DualAveragingState(NamedTuple):
    """The log step size to try next, its weighted average, the mean error, the count, and the prox centre."""

    log_step: Array
    log_step_avg: Array
    error_avg: Array
    num_updates: Array
    prox_center: Array


def dual_averaging_init(step_size: Array) -> DualAveragingState:
    """Start (again) from ``step_size``, favouring larger steps: the prox centre is ``log(10 * step_size)``."""
    zero = jnp.zeros_like(step_size)
    return DualAveragingState(zero, zero, zero, jnp.zeros((), jnp.int32), jnp.log(10.0 * step_size))


def dual_averaging_update(state: DualAveragingState, accept_prob: Array, target: Array) -> DualAveragingState:
    """One iteration, with the error :math:`\\delta - \\alpha` of the acceptance probability:

    .. math::

        \\bar h_t = (1 - \\tfrac{1}{t + t_0}) \\bar h_{t-1} + \\tfrac{1}{t + t_0} (\\delta - \\alpha_t), \\quad
        x_t = \\mu - \\tfrac{\\sqrt t}{\\gamma} \\bar h_t, \\quad
        \\bar x_t = t^{-\\kappa} x_t + (1 - t^{-\\kappa}) \\bar x_{t-1}.
    """
    num_updates = state.num_updates + 1
    t = num_updates.astype(state.log_step.dtype)
    weight = 1.0 / (t + STABILIZATION)
    error_avg = (1.0 - weight) * state.error_avg + weight * (target - accept_prob)
    log_step = state.prox_center - jnp.sqrt(t) / SHRINKAGE * error_avg
    weight = t**-RELAXATION
    log_step_avg = weight * log_step + (1.0 - weight) * state.log_step_avg
    return DualAveragingState(log_step, log_step_avg, error_avg, num_updates, state.prox_center)
