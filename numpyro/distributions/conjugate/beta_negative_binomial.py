"""Negative binomial counts whose probability has a beta distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.conjugate.coefficient import log_coefficient
from numpyro.distributions.discrete.support import sum_up_to
from numpyro.distributions.distribution import Distribution
from numpyro.ops.random import gamma_poisson
from numpyro.ops.rejection import log_odds


class BetaNegativeBinomial(Distribution):
    r"""The number of successes before ``n`` failures, where the probability of a success is :math:`\text{Beta}(a, b)`.

    .. math:: p(k) = \frac{\Gamma(n + k)}{\Gamma(n)\,k!} \frac{B(a + k,\, b + n)}{B(a, b)}, \quad k = 0, 1, \dots

    Its tail falls like :math:`k^{-b-1}`.

    :param concentration1: :math:`a > 0`.
    :param concentration0: :math:`b > 0`; the mean is finite for :math:`b > 1`, the variance for :math:`b > 2`.
    :param n: number of failures, positive, not necessarily an integer.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 6.
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "n": constraints.positive,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        concentration1: ArrayLike,
        concentration0: ArrayLike,
        n: ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        parameters = concentration1, concentration0, n
        self.concentration1, self.concentration0, self.n = promote_shapes(*parameters)
        batch_shape = lax.broadcast_shapes(*map(jnp.shape, parameters))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_odds, key_count = random.split(key)
        shape = sample_shape + self.batch_shape
        # given the odds of a success, the rate is a gamma variable of concentration n and mean n times the odds
        logits = log_odds(key_odds, self.concentration1, self.concentration0, shape)
        mean = jnp.minimum(self.n * jnp.exp(logits), jnp.finfo(logits.dtype).max)
        return gamma_poisson(key_count, self.n, mean, shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        a, b, n = self.concentration1, self.concentration0, self.n
        inside = jnp.greater_equal(value, 0)
        value = jnp.where(inside, value, 0)
        # gamma functions sorted so that no two large ones of opposite sign are left; n / (n + k) is what remains
        log_ratio = log_coefficient(a, value) + log_coefficient(b, n) - log_coefficient(a + b, n + value)
        return where_inside(inside, log_ratio - jnp.log1p(value / n))

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of at most ``value``, by adding up the probabilities of all counts until there."""
        return sum_up_to(value, self)

    @property
    def mean(self) -> Array:
        b = jnp.asarray(self.concentration0)
        mean = self.n * self.concentration1 / jnp.where(b > 1, b - 1, 1)
        return broadcast_to(jnp.where(b > 1, mean, jnp.inf), self.batch_shape)

    @property
    def variance(self) -> Array:
        a, b, n = self.concentration1, jnp.asarray(self.concentration0), self.n
        above = jnp.where(b > 2, b, 3)
        variance = n * a / (above - 1) * ((n + above - 1) / (above - 1)) * ((a + above - 1) / (above - 2))
        return broadcast_to(jnp.where(b > 2, variance, jnp.inf), self.batch_shape)
