"""Counts whose rate has a gamma distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import count_entropy
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.conjugate.coefficient import log_coefficient
from numpyro.distributions.discrete.support import count_quantile
from numpyro.distributions.distribution import Distribution
from numpyro.ops.random import gamma_poisson
from numpyro.ops.special import betainc


class GammaPoisson(Distribution):
    r"""A Poisson count whose rate has the distribution :math:`\text{Gamma}(\alpha, \beta)`.

    .. math:: p(k) = \frac{\Gamma(\alpha + k)}{\Gamma(\alpha)\,k!}
        \Bigl(\frac{\beta}{\beta + 1}\Bigr)^\alpha \Bigl(\frac{1}{\beta + 1}\Bigr)^k, \quad k = 0, 1, \dots

    :param concentration: shape :math:`\alpha > 0` of the gamma distribution.
    :param rate: its rate :math:`\beta > 0`.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** M. Greenwood, G. U. Yule (1920), "An inquiry into the nature of frequency distributions
    representative of multiple happenings".
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, concentration: ArrayLike, rate: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = promote_shapes(concentration, rate)
        batch_shape = lax.broadcast_shapes(jnp.shape(concentration), jnp.shape(rate))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return gamma_poisson(key, self.concentration, self.mean, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, 0)
        count = jnp.where(inside, value, 0)
        # log(b / (b + 1)) = -log1p(1 / b), which is exact for a large rate
        log_power = -self.concentration * jnp.log1p(jnp.reciprocal(self.rate)) - count * jnp.log1p(self.rate)
        return where_inside(inside, log_coefficient(self.concentration, count) + log_power)

    def cdf(self, value: ArrayLike) -> Array:
        count = jnp.floor(value)
        below = betainc(self.concentration, jnp.maximum(count, 0) + 1, self.rate / (self.rate + 1))
        return jnp.where(count < 0, 0.0, below)

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest count at which ``cdf`` reaches ``q``, found by bisection."""
        return count_quantile(self.cdf, q, self.mean, self.batch_shape)

    def entropy(self) -> Array:
        """The sum over the counts that have a probability, or over 300 points between them where they are many."""
        return count_entropy(self)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.concentration / self.rate, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(self.mean * (1 + jnp.reciprocal(self.rate)), self.batch_shape)
