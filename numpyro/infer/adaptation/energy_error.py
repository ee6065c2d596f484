"""A step size from the energy errors of steps (Robnik, De Luca, Silverstein & Seljak 2023), where nothing is tested."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from numpyro._typing import Array


class EnergyErrorState(NamedTuple):
    """What the step size without the test is tuned by, in the current window of warm-up.

    - **ratio** - the weighted sum of :math:`v / \\epsilon^6`, of the variances of energy errors per dimension.
    - **weight** - the sum of the weights.
    """

    ratio: Array
    weight: Array


def energy_error_update(
    state: EnergyErrorState, step_size: Array, variance: Array, num_steps: Array, target: Array
) -> tuple[EnergyErrorState, Array]:
    """The step size after one more trajectory.

    The variance of a step's energy error grows as :math:`\\epsilon^6`, so that the step of variance :math:`v^*` is
    :math:`(v^* / \\overline{v / \\epsilon^6})^{1/6}`, with a mean that forgets what is some 300 steps old.

    :param variance: the mean square energy error of the steps of the trajectory, by dimension.
    :param num_steps: how many they were.
    :param target: the variance to be reached.
    """
    factor = (target / jnp.maximum(variance, jnp.finfo(step_size.dtype).tiny)) ** (1 / 6)
    proposed = step_size * jnp.clip(jnp.where(jnp.isnan(factor), 0.0, factor), 0.5, 2.0)
    count = num_steps.astype(step_size.dtype)
    kept = jnp.exp(-count / 300.0)
    ratio = kept * state.ratio + count * target / proposed**6
    weight = kept * state.weight + count
    return EnergyErrorState(ratio, weight), (target * weight / ratio) ** (1 / 6)
