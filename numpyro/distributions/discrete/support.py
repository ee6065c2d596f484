"""What discrete families share: the list of a support's values, and probabilities as log odds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions._shapes import constant
from numpyro.distributions._validation import concrete
from numpyro.distributions.distribution import Distribution
from numpyro.ops.special import clamp_probs

_BLOCK = 64


def enumerate_range(low: int, high: int, batch_shape: Shape, expand: bool) -> Array:
    """The integers from ``low`` to ``high``, along a new leftmost dimension.

    :param low: the first.
    :param high: the last.
    :param batch_shape: of the distribution.
    :param expand: whether the other dimensions have their full sizes, or size 1.
    :return: integers of shape ``(high - low + 1,) + batch_shape``, or with sizes 1.
    """
    values = np.arange(low, high + 1).reshape((-1,) + (1,) * len(batch_shape))
    values = np.broadcast_to(values, values.shape[:1] + tuple(batch_shape)) if expand else values
    return constant(values.astype(jnp.result_type(int)))


def static_bound(owner: Any, name: str, value: Any) -> int:
    """The one integer that all elements of a parameter equal, which a list of values has to know.

    :raises ValueError: when the parameter is not concrete.
    :raises NotImplementedError: when its elements differ.
    """
    array = concrete(value)
    if array is None:
        raise ValueError(
            f"{type(owner).__name__}.enumerate_support needs a concrete `{name}`, the number of values being a shape;"
            f" under `jit` or `vmap`, give `{name}` as a Python integer or a NumPy array."
        )
    if array.size and (array != array.flat[0]).any():
        raise NotImplementedError(
            f"{type(owner).__name__}: Inhomogeneous `{name}` not supported by `enumerate_support`: the values differ"
            f" over the batch ({array.min()} to {array.max()}), so that their lists have no common shape."
        )
    return int(array.flat[0])


def logits_of_probs(probs: ArrayLike) -> Array:
    """The log odds of probabilities, finite for 0 and 1 as well."""
    clamped = clamp_probs(probs)
    return jnp.log(clamped) - jnp.log1p(-clamped)


def count_quantile(cdf: Callable[[Array], Array], q: ArrayLike, scale: ArrayLike, batch_shape: Shape) -> Array:
    """The smallest count at which ``cdf`` reaches ``q``, by doubling a bound and then halving the interval.

    :param cdf: of a distribution of counts.
    :param q: probabilities.
    :param scale: the order of magnitude of the counts, at which the doubling begins.
    :param batch_shape: of the distribution.
    :return: counts as floating numbers, of the shape to which ``q`` and ``batch_shape`` broadcast: infinite for a ``q``
        of 1 that is never reached, not a number outside of the unit interval.
    """
    shape = lax.broadcast_shapes(jnp.shape(q), batch_shape)
    q = jnp.broadcast_to(jnp.asarray(q, jnp.result_type(float)), shape)
    limit = 1 / jnp.finfo(q.dtype).eps  # beyond, not all integers are floating numbers

    def beyond(high: Array) -> Array:
        return (cdf(high) < q) & (high < limit)

    def halve(ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = jnp.floor(0.5 * (low + high))
        reached = cdf(middle) >= q
        return jnp.where(reached, low, middle), jnp.where(reached, middle, high)

    first = jnp.broadcast_to(1 + jnp.ceil(jnp.asarray(scale, q.dtype)), shape)
    bound = lax.while_loop(
        lambda high: jnp.any(beyond(high)), lambda high: jnp.where(beyond(high), 2 * high, high), first
    )
    _, count = lax.while_loop(
        lambda ends: jnp.any(ends[1] - ends[0] > 1), halve, (jnp.full(shape, -1.0, q.dtype), bound)
    )
    count = jnp.where((q == 1) & (count >= limit), jnp.inf, jnp.maximum(count, 0))
    return jnp.where((q >= 0) & (q <= 1), count, jnp.nan)


def sum_up_to(value: ArrayLike, distribution: Distribution) -> Array:
    """Add up the probabilities of the counts from 0 to ``value``, a block of them at a time.

    :param value: whole numbers, or numbers that are rounded down.
    :param distribution: of counts.
    :return: array of the shape to which ``value`` and the batch shape broadcast; 1 for an infinite value.
    """
    value = jnp.floor(jnp.asarray(value, jnp.result_type(float)))
    shape = lax.broadcast_shapes(value.shape, distribution.batch_shape)
    block = np.arange(_BLOCK).reshape((-1,) + (1,) * len(shape))
    is_finite = value < jnp.inf
    last = jnp.max(jnp.where(is_finite, value, 0), initial=-1).astype(jnp.result_type(int))

    def add(state: tuple[Array, Array]) -> tuple[Array, Array]:
        first, total = state
        counts = first + block
        terms = jnp.where(counts <= value, jnp.exp(distribution.log_prob(counts)), 0)
        return first + _BLOCK, total + jnp.sum(terms, 0)

    start = jnp.zeros((), last.dtype), jnp.zeros(shape, jnp.result_type(float))
    _, total = lax.while_loop(lambda state: state[0] <= last, add, start)
    return jnp.where(is_finite, jnp.minimum(total, 1), 1.0)
