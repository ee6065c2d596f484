"""Binomial counts whose probability has a beta distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import count_entropy
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.conjugate.coefficient import log_coefficient
from numpyro.distributions.discrete.support import count_quantile, enumerate_range, static_bound, sum_up_to
from numpyro.distributions.distribution import Distribution
from numpyro.ops.random import binomial
from numpyro.ops.rejection import log_odds


class BetaBinomial(Distribution):
    r"""A binomial count whose probability has the distribution :math:`\text{Beta}(a, b)`.

    .. math:: p(k) = \binom{n}{k} \frac{B(a + k,\, b + n - k)}{B(a, b)}, \quad 0 \le k \le n

    :param concentration1: :math:`a > 0`.
    :param concentration0: :math:`b > 0`.
    :param total_count: number of trials :math:`n \ge 0`.
    :support: :math:`k \in \{0, 1, \dots, n\}`

    >>> import numpyro.distributions as dist
    >>> round(float(dist.BetaBinomial(2.0, 2.0, 3).mean), 3)
    1.5

    **Reference:** J. G. Skellam (1948), "A probability distribution derived from the binomial distribution by regarding
    the probability of success as variable between the sets of trials".
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "total_count": constraints.nonnegative_integer,
    }
    has_enumerate_support = True

    def __init__(
        self,
        concentration1: ArrayLike,
        concentration0: ArrayLike,
        total_count: ArrayLike = 1,
        *,
        validate_args: bool | None = None,
    ) -> None:
        parameters = concentration1, concentration0, total_count
        self.concentration1, self.concentration0, self.total_count = promote_shapes(*parameters)
        batch_shape = lax.broadcast_shapes(*map(jnp.shape, parameters))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_odds, key_count = random.split(key)
        shape = sample_shape + self.batch_shape
        # the log odds of the probability; the rarer outcome is counted, so that one near 1 keeps its digits
        logits = log_odds(key_odds, self.concentration1, self.concentration0, shape)
        rarer = binomial(key_count, expit(-jnp.abs(logits)), self.total_count, shape)
        return jnp.where(logits > 0, jnp.asarray(self.total_count, rarer.dtype) - rarer, rarer)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        a, b, n = self.concentration1, self.concentration0, self.total_count
        inside = jnp.greater_equal(value, 0) & jnp.less_equal(value, n)
        value = jnp.where(inside, value, 0)
        # gamma functions sorted so that no two large ones of opposite sign are left
        return where_inside(
            inside, log_coefficient(a, value) + log_coefficient(b, n - value) - log_coefficient(a + b, n)
        )

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of at most ``value``, by adding up the probabilities of all counts until there."""
        return jnp.where(jnp.less(value, self.total_count), sum_up_to(jnp.minimum(value, self.total_count), self), 1.0)

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest count at which ``cdf`` reaches ``q``, found by bisection."""
        return jnp.minimum(count_quantile(self.cdf, q, self.mean, self.batch_shape), self.total_count)

    @property
    def _probs(self) -> Array:
        return self.concentration1 / (self.concentration1 + jnp.asarray(self.concentration0))

    @property
    def mean(self) -> Array:
        return broadcast_to(self._probs * self.total_count, self.batch_shape)

    @property
    def variance(self) -> Array:
        size, n = self.concentration1 + jnp.asarray(self.concentration0), self.total_count
        binomial_variance = n * self._probs * (self.concentration0 / size)
        return broadcast_to(binomial_variance * (size + n) / (size + 1), self.batch_shape)

    def entropy(self) -> Array:
        """The sum over all counts, or over 600 points between them where they are many."""
        return count_entropy(self, self.total_count)

    def enumerate_support(self, expand: bool = True) -> Array:
        return enumerate_range(0, static_bound(self, "total_count", self.total_count), self.batch_shape, expand)
