"""The length of trajectories, by ascent of a criterion that many chains estimate together (Hoffman, Radul & Sountsov
2021)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array
from numpyro.infer.adaptation.dual_averaging import RELAXATION
from numpyro.infer.chain_axis import mean_over_chains

LEARNING_RATE = 0.05
"""About how much the logarithm of the length changes by an iteration of steady ascent."""
DECAY = 0.95
"""How much of the mean square gradient is kept from one iteration to the next."""


class TrajectoryLengthState(NamedTuple):
    """The log length to try next, its weighted average, the sum of squared gradients (decaying), and the count."""

    log_length: Array
    log_length_avg: Array
    square: Array
    num_updates: Array


def trajectory_length_init(length: Array) -> TrajectoryLengthState:
    """Start from ``length``."""
    zero, log_length = jnp.zeros_like(length), jnp.log(length)
    return TrajectoryLengthState(log_length, log_length, zero, jnp.zeros((), jnp.int32))


def trajectory_length_update(
    state: TrajectoryLengthState, gradient: Array, log_longest: Array
) -> TrajectoryLengthState:
    """One step of Adam without momentum, :math:`\\beta_1 = 0`, and the average of its iterates:

    .. math::

        v_t = \\beta v_{t-1} + (1 - \\beta) g_t^2, \\quad
        x_t = x_{t-1} + \\eta\\, g_t \\Big/ \\sqrt{\\frac{v_t}{1 - \\beta^t}}, \\quad
        \\bar x_t = t^{-\\kappa} x_t + (1 - t^{-\\kappa}) \\bar x_{t-1}.

    :param gradient: the derivative of what is to be maximised by the log length.
    :param log_longest: what the log length may not exceed.
    """
    num_updates = state.num_updates + 1
    t = num_updates.astype(gradient.dtype)
    square = DECAY * state.square + (1.0 - DECAY) * gradient**2
    scale = jnp.sqrt(square / (1.0 - DECAY**t))
    step = LEARNING_RATE * gradient / jnp.maximum(scale, jnp.finfo(scale.dtype).tiny)
    log_length = jnp.minimum(state.log_length + step, log_longest)
    weight = t**-RELAXATION
    log_length_avg = weight * log_length + (1.0 - weight) * state.log_length_avg
    return TrajectoryLengthState(log_length, log_length_avg, square, num_updates)


def chees_gradient(before: Array, after: Array, velocity: Array, accept_prob: Array, length: Array) -> Array:
    """The derivative of the ChEES criterion by the log length of trajectories, estimated by all chains.

    The criterion is the change in the estimator of the expected square, for a trajectory that leads from :math:`x` to
    :math:`x'` in time :math:`t`,

    .. math::

        C = \\tfrac14 E \\big[ (|x' - E x'|^2 - |x - E x|^2)^2 \\big], \\qquad
        \\frac{\\partial C}{\\partial \\log t} = t\\, E \\big[ (|x' - E x'|^2 - |x - E x|^2)\\, (x' - E x') \\cdot
        \\dot x' \\big],

    the more the less the squared distance from the centre remembers. Expectations are means over chains, those at the
    end weighted by the probabilities of acceptance. Divided by the square of :math:`E |x - E x|^2`: while chains come
    in from afar, the size of the derivative stays comparable.

    :param before: where this chain's trajectory began, of shape ``(D,)``, in coordinates of unit scale.
    :param after: where it ended, accepted or not.
    :param velocity: the velocity there.
    :param accept_prob: the probability of acceptance.
    :param length: :math:`t`, the same for all chains.
    """
    # Where a trajectory ran away its end is no number, and its weight is 0.
    usable = accept_prob > 0
    after, velocity = (jnp.where(usable, value, 0.0) for value in (after, velocity))
    weight = accept_prob / jnp.maximum(mean_over_chains(accept_prob), np.finfo(accept_prob.dtype).tiny)
    from_centre = before - mean_over_chains(before)
    to_centre = after - mean_over_chains(weight * after)
    square = jnp.sum(from_centre**2)
    change = jnp.sum(to_centre**2) - square
    ascent = mean_over_chains(weight * change * jnp.sum(to_centre * velocity))
    gradient = length * ascent / mean_over_chains(square) ** 2
    return jnp.where(jnp.isfinite(gradient), gradient, 0.0)


def van_der_corput(index: Array, dtype: np.dtype) -> Array:
    """Evenly spread numbers of (0, 1]: the binary digits of ``index``, mirrored at the point.

    >>> [float(van_der_corput(jnp.int32(i), np.dtype("float32"))) for i in (1, 2, 3, 4)]
    [0.5, 0.25, 0.75, 0.125]
    """
    bits = index.astype(jnp.uint32)
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF), (16, 0x0000FFFF)):
        bits = ((bits >> np.uint32(shift)) & np.uint32(mask)) | ((bits & np.uint32(mask)) << np.uint32(shift))
    return bits.astype(dtype) * np.asarray(2.0**-32, dtype)
