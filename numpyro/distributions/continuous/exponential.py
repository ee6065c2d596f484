"""The exponential distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, log1p_excess, where_inside
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence


class Exponential(Distribution):
    r"""The exponential distribution.

    .. math:: p(x) = \lambda e^{-\lambda x}, \quad x > 0

    :param rate: the inverse of the mean, :math:`\lambda > 0`.
    :support: :math:`x > 0`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 19.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["rate"]

    def __init__(self, rate: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.rate: Any = rate
        super().__init__(batch_shape=jnp.shape(rate), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return random.exponential(key, sample_shape + self.batch_shape) / self.rate

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        return where_inside(jnp.greater_equal(value, 0), jnp.log(self.rate) - self.rate * value)

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1(-self.rate * jnp.maximum(value, 0))

    def icdf(self, q: ArrayLike) -> Array:
        return -jnp.log1p(-jnp.asarray(q)) / self.rate

    def entropy(self) -> Array:
        return 1 - jnp.log(self.rate)

    @property
    def mean(self) -> Array:
        return jnp.reciprocal(broadcast_to(self.rate, self.batch_shape) * 1.0)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.zeros_like(self.rate), self.batch_shape)

    @property
    def variance(self) -> Array:
        return jnp.square(self.mean)


@kl_divergence.register(Exponential, Exponential)
def _kl_exponential_exponential(p: Exponential, q: Exponential) -> Array:
    r""":math:`\log\frac{\lambda}{\lambda'} + \frac{\lambda'}{\lambda} - 1`."""
    return log1p_excess((q.rate - p.rate) / p.rate)
