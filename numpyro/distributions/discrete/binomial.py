"""The binomial distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import count_entropy
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, require_one_of, where_inside, xlog1py, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, concrete, validate_sample
from numpyro.distributions.discrete.support import count_quantile, enumerate_range, logits_of_probs, static_bound
from numpyro.distributions.distribution import Distribution
from numpyro.ops.log_gamma import log_binomial_coefficient, log_poisson
from numpyro.ops.random import binomial
from numpyro.ops.special import betainc


class _Binomial(Distribution):
    """What holds of a binomial distribution however its probability is given: by ``probs`` and ``total_count``."""

    probs: Any
    total_count: Any
    has_enumerate_support = True

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.total_count)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return binomial(key, self.probs, n=self.total_count, shape=sample_shape + self.batch_shape)

    def _has_large_count(self) -> bool:
        """Whether the coefficient and the powers may cancel so many digits that it matters."""
        total_count = concrete(self.total_count)
        return total_count is None or total_count.max(initial=0) > 200

    def cdf(self, value: ArrayLike) -> Array:
        count = jnp.floor(value)
        n = self.total_count
        inside = (count >= 0) & (count < n)
        # P(X <= k) = I_{1-p}(n - k, k + 1)
        below = betainc(jnp.where(inside, n - count, 1), jnp.where(inside, count + 1, 1), 1 - jnp.asarray(self.probs))
        return jnp.where(inside, below, jnp.where(count < 0, 0.0, 1.0))

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest count at which ``cdf`` reaches ``q``, found by bisection."""
        return jnp.minimum(count_quantile(self.cdf, q, self.mean, self.batch_shape), self.total_count)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.total_count * self.probs, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(self.total_count * self.probs * (1 - self.probs), self.batch_shape)

    def entropy(self) -> Array:
        """The sum over all counts, or over 600 points between them where they are many."""
        return count_entropy(self, self.total_count)

    def enumerate_support(self, expand: bool = True) -> Array:
        return enumerate_range(0, static_bound(self, "total_count", self.total_count), self.batch_shape, expand)


def _log_prob_of_poissons(value: Any, total_count: Any, probs: Array, others: Array) -> Array:
    """The logarithm of Poisson(k; n p) Poisson(n - k; n q) / Poisson(n; n), in which nothing large cancels.

    Source: C. Loader (2000), "Fast and accurate computation of binomial probabilities".
    """
    n, value = jnp.asarray(total_count, probs.dtype), jnp.asarray(value, probs.dtype)
    both = log_poisson(value, n * probs) + log_poisson(n - value, n * others)
    return both - log_poisson(n, n)


class BinomialProbs(_Binomial):
    r"""The binomial distribution by its probability.

    .. math:: p(k) = \binom{n}{k} p^k (1 - p)^{n - k}, \quad 0 \le k \le n

    :param probs: :math:`p` in the unit interval, both ends included.
    :param total_count: number of trials :math:`n \ge 0`.
    :support: :math:`k \in \{0, 1, \dots, n\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 3.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"probs": constraints.unit_interval, "total_count": constraints.nonnegative_integer}

    def __init__(self, probs: ArrayLike, total_count: ArrayLike = 1, *, validate_args: bool | None = None) -> None:
        self.probs, self.total_count = promote_shapes(probs, total_count)
        batch_shape = lax.broadcast_shapes(jnp.shape(probs), jnp.shape(total_count))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        n = self.total_count
        inside = jnp.greater_equal(value, 0) & jnp.less_equal(value, n)
        value = jnp.where(inside, value, 0)
        probs = jnp.asarray(self.probs, jnp.result_type(float, self.probs))
        log_prob = log_binomial_coefficient(n, value) + xlogy(value, probs) + xlog1py(n - value, -probs)
        if self._has_large_count():
            mixed = (value > 0) & (value < n)
            log_prob = jnp.where(mixed, _log_prob_of_poissons(value, n, probs, 1 - probs), log_prob)
        return where_inside(inside, log_prob)

    @lazy_property
    def logits(self) -> Array:
        return logits_of_probs(self.probs)


class BinomialLogits(_Binomial):
    r"""The binomial distribution by the log odds of its probability.

    .. math:: p(k) = \binom{n}{k} \frac{e^{kl}}{(1 + e^l)^n}, \quad 0 \le k \le n

    :param logits: :math:`l`, a real number.
    :param total_count: number of trials :math:`n \ge 0`.
    :support: :math:`k \in \{0, 1, \dots, n\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 3.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"logits": constraints.real, "total_count": constraints.nonnegative_integer}

    def __init__(self, logits: ArrayLike, total_count: ArrayLike = 1, *, validate_args: bool | None = None) -> None:
        self.logits, self.total_count = promote_shapes(logits, total_count)
        batch_shape = lax.broadcast_shapes(jnp.shape(logits), jnp.shape(total_count))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        logits, n = jnp.asarray(self.logits), self.total_count
        inside = jnp.greater_equal(value, 0) & jnp.less_equal(value, n)
        value = jnp.where(inside, value, 0)
        # k softplus(-l) + (n - k) softplus(l), a sum of positive numbers, with the common logarithm taken once
        positive = logits > 0
        against = jnp.where(positive, n - value, value)
        size = jnp.where(positive, logits, -logits)
        log_power = -(n * jnp.log1p(jnp.exp(-size)) + against * size)
        log_prob = log_binomial_coefficient(n, value) + log_power
        if self._has_large_count():
            # of logits beyond 50, the rarer outcome has no probability to speak of, and nothing cancels
            mixed = (size < 50) & (value > 0) & (value < n)
            logits = jnp.where(size < 50, logits, 0)
            log_prob = jnp.where(mixed, _log_prob_of_poissons(value, n, expit(logits), expit(-logits)), log_prob)
        return where_inside(inside, log_prob)

    @lazy_property
    def probs(self) -> Array:
        return expit(self.logits)

    @property
    def variance(self) -> Array:
        logits = jnp.asarray(self.logits)
        return broadcast_to(self.total_count * expit(logits) * expit(-logits), self.batch_shape)


def Binomial(
    total_count: ArrayLike = 1,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    *,
    validate_args: bool | None = None,
) -> BinomialProbs | BinomialLogits:
    """The binomial distribution, by its probability or by its log odds.

    :param total_count: number of trials.
    :param probs: probability of success.
    :param logits: log odds of success. Exactly one of the two is to be given.
    :return: :class:`BinomialProbs` or :class:`BinomialLogits`.
    :raises ValueError: when none or both are given.
    """
    name, parameter = require_one_of(probs=probs, logits=logits)
    if name == "probs":
        return BinomialProbs(parameter, total_count, validate_args=validate_args)
    return BinomialLogits(parameter, total_count, validate_args=validate_args)


Binomial.__module__ = "numpyro.distributions.discrete"
