"""Negative binomial counts whose probability has a beta distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import end_nodes, entropy_at, unchecked, window
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.conjugate.coefficient import log_coefficient
from numpyro.distributions.discrete.support import count_quantile, sum_up_to
from numpyro.distributions.distribution import Distribution
from numpyro.ops.log_gamma import gammaln
from numpyro.ops.random import gamma_poisson
from numpyro.ops.rejection import log_odds

_SINGLE = 4095.0


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
        """Probability of at most ``value``, by adding up those of all counts until there.

        Beyond 4095 by those of 300 of the counts that come after it.
        """
        count = jnp.floor(jnp.asarray(value, jnp.result_type(float)))
        last = self._window()[1]
        is_far = (count > _SINGLE) & (count < last)
        after = jnp.where(is_far, count + 1, 0)
        counts, weights = end_nodes(after, jnp.where(is_far, last, 0))
        density = unchecked(self).log_prob
        beyond = jnp.sum(weights * jnp.exp(density(lax.stop_gradient(counts))), 0)
        beyond = beyond + jnp.exp(density(last)) * last / self.concentration0  # of a power of the count, the integral
        far = jnp.where(is_far, 1 - jnp.minimum(beyond, 1), jnp.where(count < 0, 0.0, 1.0))
        near = sum_up_to(jnp.minimum(count, _SINGLE), self)
        return jnp.where(count > _SINGLE, far, near)

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest count at which ``cdf`` reaches ``q``, found by bisection."""
        b = jnp.asarray(self.concentration0)
        scale = self.n * self.concentration1 / jnp.maximum(b, 1)
        return count_quantile(self.cdf, q, scale, self.batch_shape)

    def entropy(self) -> Array:
        """The sum over the counts that have a probability, or over 300 points between them where they are many.

        Counts beyond 1e30 are left out, which have a probability for ``concentration0`` below 0.4.
        """
        return entropy_at(self, lax.stop_gradient(end_nodes(*self._window())))

    def _window(self) -> tuple[Array, Array]:
        """Whole numbers between which a count is with a probability of 1 but for rounding."""
        parameters = self.concentration1, self.concentration0, self.n
        a, b, n = (broadcast_to(jnp.asarray(x, jnp.result_type(float)), self.batch_shape) for x in parameters)
        # the moments tell, unless the tail is heavy
        is_light = b > 50
        first, last = window(jnp.where(is_light, self.mean, 1), jnp.where(is_light, self.variance, 1))
        # a ratio of gamma variables: the lower one is below x with a probability less than x^b / gamma(b + 1)
        heavy_b = jnp.where(is_light, 1, b)
        log_least = (gammaln(heavy_b + 1) - 34) / heavy_b
        above = jnp.log(a + 12 * jnp.sqrt(a) + 40) + jnp.log(n + 12 * jnp.sqrt(n) + 40)
        heavy = jnp.floor(jnp.exp(jnp.minimum(above - log_least, 69)))
        return jnp.where(is_light, first, 0), jnp.where(is_light, last, heavy)

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
