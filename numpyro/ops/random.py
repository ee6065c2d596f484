"""Samplers that ``jax.random`` lacks, or offers with other conventions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.ops import counts
from numpyro.ops.rejection import loggamma

_PI = 3.141592653589793


def binomial(key: Key, p: ArrayLike, n: ArrayLike = 1, shape: Shape = ()) -> Array:
    """Draw from binomial distributions.

    :param key: a JAX random key.
    :param p: probabilities of success.
    :param n: numbers of trials.
    :param shape: shape of the result, to which ``p`` and ``n`` broadcast; default the shape of these two.
    :return: integers of the given shape.
    """
    shape = tuple(shape) or lax.broadcast_shapes(jnp.shape(p), jnp.shape(n))
    return counts.binomial(key, n, p, shape)


def categorical(key: Key, p: ArrayLike, shape: Shape = ()) -> Array:
    """Draw from categorical distributions, by inversion: one uniform number for each draw.

    :param key: a JAX random key.
    :param p: weights of shape ``(..., K)``, not negative; they need not add up to 1.
    :param shape: shape of the result, to which ``p.shape[:-1]`` broadcasts; default ``p.shape[:-1]``.
    :return: integers from 0 to ``K - 1`` of the given shape. What has weight 0 is not drawn.
    """
    p = jnp.asarray(p)
    shape = tuple(shape) or p.shape[:-1]
    cumulative = jnp.cumsum(p.astype(jnp.result_type(float, p)), axis=-1)
    level = random.uniform(key, shape, cumulative.dtype) * cumulative[..., -1]
    # cumulative[k - 1] <= level < cumulative[k]
    return jnp.sum(cumulative[..., :-1] <= level[..., None], axis=-1, dtype=jnp.result_type(int))


def multinomial(key: Key, p: ArrayLike, n: ArrayLike, shape: Shape = (), total_count_max: int | None = None) -> Array:
    """Draw from multinomial distributions.

    Few trials are drawn one by one. Otherwise the counts are drawn one category after the other: each is binomial given
    those before, which takes a time independent of the number of trials.

    :param key: a JAX random key.
    :param p: probabilities of shape ``(..., K)``.
    :param n: numbers of trials.
    :param shape: shape of the result without its last dimension, to which ``p.shape[:-1]`` and ``n`` broadcast; default
        the shape of these two.
    :param total_count_max: an upper bound of ``n`` that is known although ``n`` is traced; where it is small, drawing
        the trials one by one is quicker. ``n`` is cut to it.
    :return: integer counts of shape ``shape + (K,)`` that add up to ``n``.
    """
    p = jnp.asarray(p)
    shape = tuple(shape) or lax.broadcast_shapes(p.shape[:-1], jnp.shape(n))
    size = p.shape[-1]
    if total_count_max is None and not isinstance(n, jax.core.Tracer):
        total_count_max = int(np.max(np.asarray(n), initial=0))
    elif total_count_max is not None:
        n = jnp.minimum(n, total_count_max)
    total = jnp.broadcast_to(jnp.asarray(n, jnp.result_type(int)), shape)
    if total_count_max is not None and total_count_max <= 4 * size:
        return _count_trials(key, p, total, total_count_max)
    return _count_categories(key, p, total)


def _count_trials(key: Key, p: Array, total: Array, total_max: int) -> Array:
    trials = categorical(key, p, (total_max, *total.shape))
    happens = np.arange(total_max).reshape((-1,) + (1,) * total.ndim) < total
    # one pass over the categories for each trial, without storing them all
    hits = (trials[..., None] == np.arange(p.shape[-1])) & happens[..., None]
    return jnp.sum(hits, axis=0, dtype=total.dtype)


def _count_categories(key: Key, p: Array, total: Array) -> Array:
    # of what is left for the categories from k on, the share of category k; by sums from the end, without differences
    left = jnp.flip(jnp.cumsum(jnp.flip(p, -1), axis=-1), -1)
    share = jnp.where(left > 0, p / jnp.where(left > 0, left, 1), 0)[..., :-1]
    share = jnp.moveaxis(jnp.broadcast_to(share, (*total.shape, share.shape[-1])), -1, 0)

    def draw(remaining: Array, step: tuple[Key, Array]) -> tuple[Array, Array]:
        key, probability = step
        count = binomial(key, probability, remaining, total.shape)
        return remaining - count, count

    last, counts = lax.scan(draw, total, (random.split(key, share.shape[0]), share))
    return jnp.concatenate([jnp.moveaxis(counts, 0, -1), last[..., None]], axis=-1)


def gamma_poisson(key: Key, concentration: ArrayLike, mean: ArrayLike, shape: Shape) -> Array:
    """Draw Poisson counts whose rate is a gamma variable of the given concentration and mean.

    :return: integers of the given shape.
    """
    key_gamma, key_poisson = random.split(key)
    # the standardised rate in the logarithm: for a small concentration it underflows
    log_gamma = loggamma(key_gamma, concentration, shape)
    rate = jnp.exp(log_gamma - jnp.log(concentration)) * mean
    # counts beyond the integers are cut to the largest ones
    return counts.poisson(key_poisson, jnp.minimum(rate, jnp.iinfo(jnp.result_type(int)).max / 2), shape)


def von_mises_centered(key: Key, concentration: ArrayLike, shape: Shape = (), dtype: Any = None) -> Array:
    r"""Draw from von Mises distributions around 0.

    Best and Fisher's rejection from a wrapped Cauchy distribution. With

    .. math:: \tau = 1 + \sqrt{1 + 4\kappa^2}, \quad \rho = \frac{\tau - \sqrt{2\tau}}{2\kappa}, \quad
        s = \frac{1 + \rho^2}{2\rho}

    a proposal is accepted with a probability of at least 0.66, whatever the concentration; all are repeated until each
    has been accepted. Small concentrations, where the formula for :math:`s` cancels, take its series, large ones a
    normal distribution, which is then exact to rounding.

    :param key: a JAX random key.
    :param concentration: :math:`\kappa > 0`.
    :param shape: shape of the result, to which ``concentration`` broadcasts; default its shape.
    :param dtype: floating type of the result; default JAX's.
    :return: angles in :math:`[-\pi, \pi)`.

    Reference: D. J. Best, N. I. Fisher (1979), "Efficient simulation of the von Mises distribution".
    """
    dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    shape = tuple(shape) or jnp.shape(concentration)
    kappa = jnp.broadcast_to(jnp.asarray(concentration, dtype), shape)
    # beyond, the fourth order of the cosine is below the rounding of the angle
    normal_limit = 1e6 if dtype == np.float64 else 1e4
    small_limit = 1e-5 if dtype == np.float64 else 2e-3
    moderate = jnp.clip(kappa, small_limit, normal_limit)
    tau = 1 + jnp.sqrt(1 + 4 * lax.square(moderate))
    rho = (tau - jnp.sqrt(2 * tau)) / (2 * moderate)
    s = jnp.where(kappa < small_limit, 1 / jnp.minimum(kappa, small_limit), (1 + lax.square(rho)) / (2 * rho))

    def propose(state: tuple[Key, Array, Array]) -> tuple[Key, Array, Array]:
        key, cosine, done = state
        key, key_angle, key_accept = random.split(key, 3)
        z = jnp.cos(_PI * random.uniform(key_angle, shape, dtype))
        proposal = (1 + s * z) / (s + z)
        height = kappa * (s - proposal)
        u = random.uniform(key_accept, shape, dtype)
        accepted = (u < height * (2 - height)) | (jnp.log(height) + 1 >= height + jnp.log(u))
        return key, jnp.where(accepted & ~done, proposal, cosine), done | accepted

    key, key_sign, key_normal = random.split(key, 3)
    is_normal = ~(kappa <= normal_limit)  # what is not a number would never be accepted, and is one of them
    start = (key, jnp.zeros(shape, dtype), is_normal)
    _, cosine, _ = lax.while_loop(lambda state: ~jnp.all(state[2]), propose, start)
    angle = jnp.arccos(jnp.clip(cosine, -1, 1)) * random.rademacher(key_sign, shape, dtype)
    normal = random.normal(key_normal, shape, dtype) * lax.rsqrt(jnp.maximum(kappa, 1))
    return jnp.where(is_normal, normal, angle)
