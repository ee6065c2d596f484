"""The discrete uniform distribution."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, check_order, concrete, validate_sample
from numpyro.distributions.discrete.support import static_bound
from numpyro.distributions.distribution import Distribution


class DiscreteUniform(Distribution):
    r"""The uniform distribution on the integers of an interval.

    .. math:: p(k) = \frac{1}{b - a + 1}, \quad k = a, a + 1, \dots, b

    :param low: the first integer :math:`a`.
    :param high: the last integer :math:`b`, itself included.
    :support: :math:`k \in \{a, a + 1, \dots, b\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 6.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {
        "low": constraints.dependent(is_discrete=True, event_dim=0),
        "high": constraints.dependent(is_discrete=True, event_dim=0),
    }
    has_enumerate_support = True

    def __init__(self, low: ArrayLike = 0, high: ArrayLike = 1, *, validate_args: bool | None = None) -> None:
        self.low, self.high = promote_shapes(low, high)
        batch_shape = lax.broadcast_shapes(jnp.shape(low), jnp.shape(high))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_order(self, self.low, self.high)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(self.low, self.high)

    @property
    def _size(self) -> Array:
        return self.high - self.low + 1

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        dtype = jnp.result_type(int)
        low, high = jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
        return random.randint(key, sample_shape + self.batch_shape, low, high + 1, dtype)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, self.low) & jnp.less_equal(value, self.high)
        return where_inside(inside, -jnp.log(self._size))

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.clip((jnp.floor(value) - self.low + 1) / self._size, 0.0, 1.0)

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest integer of the support at which ``cdf`` reaches ``q``."""
        count = jnp.ceil(q * self._size)
        # the product may have been rounded up beyond an integer
        count = jnp.where((count - 1) / self._size >= q, count - 1, count)
        return self.low + jnp.maximum(count, 1) - 1

    def entropy(self) -> Array:
        return broadcast_to(jnp.log(self._size), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.low + (self.high - self.low) / 2.0, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to((self._size**2 - 1) / 12.0, self.batch_shape)

    def enumerate_support(self, expand: bool = True) -> Array:
        """All integers of the support; ``low`` may differ over the batch where their number does not.

        :param expand: whether the other dimensions have their full sizes; they have as well where ``low`` differs.
        :return: integers of shape ``(high - low + 1,) + batch_shape``, or with sizes 1.
        :raises NotImplementedError: when the number of integers differs over the batch.
        """
        low, high = concrete(self.low), concrete(self.high)
        size = static_bound(self, "high - low", None if low is None or high is None else high - low) + 1
        low = np.asarray(low)
        if low.size and (low == low.flat[0]).all():
            low = low.reshape(-1)[:1].reshape((1,) * len(self.batch_shape))
        values = np.arange(size).reshape((-1,) + (1,) * len(self.batch_shape)) + low
        if expand:
            values = np.broadcast_to(values, (size, *self.batch_shape))
        return jnp.asarray(values, jnp.result_type(int))
