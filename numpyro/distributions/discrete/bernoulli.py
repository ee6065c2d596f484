"""The Bernoulli distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import random
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, require_one_of, softplus, xlog1py, xlogy
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.discrete.support import enumerate_range, logits_of_probs
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence


class BernoulliProbs(Distribution):
    r"""The Bernoulli distribution by its probability: 1 with probability :math:`p`, else 0.

    .. math:: p(k) = p^k (1 - p)^{1 - k}

    :param probs: :math:`p` in the unit interval, both ends included.
    :support: :math:`k \in \{0, 1\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 3.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"probs": constraints.unit_interval}
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.probs: Any = probs
        super().__init__(batch_shape=jnp.shape(probs), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return random.bernoulli(key, self.probs, sample_shape + self.batch_shape).astype(jnp.result_type(int))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # each logarithm is of 1 where the value is the other one, so that its derivative does not divide by 0;
        # outside of the support the first one is of 0
        is_one, is_zero = jnp.equal(value, 1), jnp.equal(value, 0)
        log_one = jnp.log(jnp.where(is_one, self.probs, is_zero))
        return log_one + jnp.log1p(jnp.where(is_zero, -jnp.asarray(self.probs), 0))

    @lazy_property
    def logits(self) -> Array:
        return logits_of_probs(self.probs)

    def entropy(self) -> Array:
        p = jnp.asarray(self.probs)
        return -(xlogy(p, p) + xlog1py(1 - p, -p))

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.where(jnp.less(value, 0), 0, jnp.where(jnp.less(value, 1), 1 - jnp.asarray(self.probs), 1))

    def icdf(self, q: ArrayLike) -> Array:
        return jnp.where(q > 1 - jnp.asarray(self.probs), 1.0, 0.0)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.probs, self.batch_shape)

    @property
    def mode(self) -> Array:
        return jnp.greater(self.probs, 0.5).astype(jnp.result_type(int))

    @property
    def variance(self) -> Array:
        return broadcast_to(self.probs * (1 - self.probs), self.batch_shape)

    def enumerate_support(self, expand: bool = True) -> Array:
        return enumerate_range(0, 1, self.batch_shape, expand)


class BernoulliLogits(Distribution):
    r"""The Bernoulli distribution by its log odds: 1 with probability :math:`1 / (1 + e^{-l})`, else 0.

    .. math:: p(k) = \frac{e^{kl}}{1 + e^l}

    :param logits: :math:`l`, a real number.
    :support: :math:`k \in \{0, 1\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 3.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, logits: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.logits: Any = logits
        super().__init__(batch_shape=jnp.shape(logits), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return random.bernoulli(key, self.probs, sample_shape + self.batch_shape).astype(jnp.result_type(int))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # value * l - softplus(l) would cancel where the value is the likely one; -inf outside of the support.
        # Of softplus(l) and softplus(-l) the logarithm is common, and the same for all values that share logits.
        logits = jnp.asarray(self.logits)
        positive = logits > 0
        common = jnp.log1p(jnp.exp(jnp.where(positive, -logits, logits)))
        for_zero, for_one = jnp.where(positive, logits, 0), jnp.where(positive, 0, -logits)
        against = jnp.where(jnp.equal(value, 0), for_zero, jnp.where(jnp.equal(value, 1), for_one, jnp.inf))
        return -(common + against)

    @lazy_property
    def probs(self) -> Array:
        return expit(self.logits)

    def entropy(self) -> Array:
        logits = jnp.asarray(self.logits)
        p, q = expit(logits), expit(-logits)
        return p * softplus(-logits) + q * softplus(logits)

    def cdf(self, value: ArrayLike) -> Array:
        below = expit(-jnp.asarray(self.logits))
        return jnp.where(jnp.less(value, 0), 0, jnp.where(jnp.less(value, 1), below, 1))

    def icdf(self, q: ArrayLike) -> Array:
        return jnp.where(q > expit(-jnp.asarray(self.logits)), 1.0, 0.0)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.probs, self.batch_shape)

    @property
    def mode(self) -> Array:
        return jnp.greater(self.logits, 0).astype(jnp.result_type(int))

    @property
    def variance(self) -> Array:
        return broadcast_to(self.probs * expit(-jnp.asarray(self.logits)), self.batch_shape)

    def enumerate_support(self, expand: bool = True) -> Array:
        return enumerate_range(0, 1, self.batch_shape, expand)


def Bernoulli(
    probs: ArrayLike | None = None, logits: ArrayLike | None = None, *, validate_args: bool | None = None
) -> BernoulliProbs | BernoulliLogits:
    """The Bernoulli distribution, by its probability or by its log odds.

    :param probs: probability of 1.
    :param logits: log odds of 1. Exactly one of the two is to be given.
    :return: :class:`BernoulliProbs` or :class:`BernoulliLogits`.
    :raises ValueError: when none or both are given.
    """
    name, parameter = require_one_of(probs=probs, logits=logits)
    if name == "probs":
        return BernoulliProbs(parameter, validate_args=validate_args)
    return BernoulliLogits(parameter, validate_args=validate_args)


Bernoulli.__module__ = "numpyro.distributions.discrete"


@kl_divergence.register(BernoulliProbs, BernoulliProbs)
@kl_divergence.register(BernoulliProbs, BernoulliLogits)
@kl_divergence.register(BernoulliLogits, BernoulliProbs)
@kl_divergence.register(BernoulliLogits, BernoulliLogits)
def _kl_bernoulli_bernoulli(p: Any, q: Any) -> Array:
    r""":math:`\sum_{k \in \{0, 1\}} p(k) \log\frac{p(k)}{q(k)}`."""
    terms = [
        jnp.where(p_k > 0, p_k * (p.log_prob(k) - q.log_prob(k)), 0)
        for k, p_k in ((1, jnp.asarray(p.probs)), (0, 1 - jnp.asarray(p.probs)))
    ]
    return terms[0] + terms[1]
