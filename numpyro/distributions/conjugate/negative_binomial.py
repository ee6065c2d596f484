"""The negative binomial distribution by its mean, or by the probability or the log odds of a success."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, softplus, where_inside, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.conjugate.coefficient import log_coefficient
from numpyro.distributions.conjugate.gamma_poisson import GammaPoisson
from numpyro.distributions.discrete.hurdle import HurdleProbs
from numpyro.distributions.discrete.zero_inflated import (
    ZeroInflatedDistribution,
    ZeroInflatedLogits,
    ZeroInflatedProbs,
)
from numpyro.distributions.distribution import Distribution
from numpyro.ops.special import betainc


class NegativeBinomial2(GammaPoisson):
    r"""The negative binomial distribution by its mean and concentration.

    It is ``GammaPoisson(concentration, concentration / mean)``.

    .. math:: p(k) = \frac{\Gamma(\alpha + k)}{\Gamma(\alpha)\,k!}
        \Bigl(\frac{\alpha}{\alpha + \mu}\Bigr)^\alpha \Bigl(\frac{\mu}{\alpha + \mu}\Bigr)^k, \quad k = 0, 1, \dots

    :param mean: :math:`\mu \ge 0`.
    :param concentration: :math:`\alpha > 0`; the variance is :math:`\mu + \mu^2 / \alpha`.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** J. M. Hilbe (2011), "Negative Binomial Regression", chapter 8.
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {"mean": constraints.nonnegative, "concentration": constraints.positive}
    support = constraints.nonnegative_integer
    pytree_data_fields = ("_mean",)

    def __init__(self, mean: ArrayLike, concentration: ArrayLike, *, validate_args: bool | None = None) -> None:
        self._mean, self.concentration = promote_shapes(mean, concentration)
        batch_shape = lax.broadcast_shapes(jnp.shape(mean), jnp.shape(concentration))
        Distribution.__init__(self, batch_shape=batch_shape, validate_args=validate_args)

    def get_args(self) -> dict[str, Any]:
        return {"mean": self._mean, "concentration": self.concentration}

    @property
    def mean(self) -> Array:
        return broadcast_to(self._mean, self.batch_shape)

    @lazy_property
    def rate(self) -> Array:
        return self.concentration / jnp.asarray(self._mean)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        a, mean = self.concentration, self._mean
        inside = jnp.greater_equal(value, 0)
        count = jnp.where(inside, value, 0)
        # a mean of 0 leaves the count 0 only
        inside = inside & (jnp.not_equal(mean, 0) | jnp.equal(count, 0))
        odds = a / jnp.where(jnp.equal(mean, 0), 1, mean)
        # (a / (a + m))^a by the logarithm of 1 + m/a, which keeps the limit e^-m of a large concentration
        log_power = -(jnp.where(jnp.equal(mean, 0), 0, count * jnp.log1p(odds)) + a * jnp.log1p(mean / a))
        return where_inside(inside, log_coefficient(a, count) + log_power)

    def cdf(self, value: ArrayLike) -> Array:
        count = jnp.floor(value)
        below = betainc(self.concentration, jnp.maximum(count, 0) + 1, self._success())
        return jnp.where(count < 0, 0.0, below)

    def _success(self) -> Array:
        return self.concentration / (self.concentration + jnp.asarray(self._mean))

    @property
    def variance(self) -> Array:
        return broadcast_to(self._mean + jnp.square(self._mean) / self.concentration, self.batch_shape)


class NegativeBinomialProbs(GammaPoisson):
    r"""The number of successes before ``total_count`` failures, by the probability of a success.

    .. math:: p(k) = \frac{\Gamma(n + k)}{\Gamma(n)\,k!} (1 - p)^n p^k, \quad k = 0, 1, \dots

    :param total_count: number of failures :math:`n > 0`, not necessarily an integer.
    :param probs: probability of a success :math:`p`, in the unit interval.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 5.
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {"total_count": constraints.positive, "probs": constraints.unit_interval}
    support = constraints.nonnegative_integer

    def __init__(self, total_count: ArrayLike, probs: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.total_count, self.probs = promote_shapes(total_count, probs)
        self.concentration = self.total_count
        batch_shape = lax.broadcast_shapes(jnp.shape(total_count), jnp.shape(probs))
        Distribution.__init__(self, batch_shape=batch_shape, validate_args=validate_args)

    @lazy_property
    def rate(self) -> Array:
        return jnp.reciprocal(jnp.asarray(self.probs, jnp.result_type(float, self.probs))) - 1

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, 0)
        count = jnp.where(inside, value, 0)
        log_power = xlogy(count, self.probs) + self.total_count * jnp.log1p(-jnp.asarray(self.probs))
        return where_inside(inside, log_coefficient(self.total_count, count) + log_power)


class NegativeBinomialLogits(GammaPoisson):
    r"""The number of successes before ``total_count`` failures, by the log odds of a success.

    .. math:: p(k) = \frac{\Gamma(n + k)}{\Gamma(n)\,k!} \frac{e^{kl}}{(1 + e^l)^{n + k}}, \quad k = 0, 1, \dots

    :param total_count: number of failures :math:`n > 0`, not necessarily an integer.
    :param logits: log odds of a success :math:`l`, a real number.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 5.
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {"total_count": constraints.positive, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, total_count: ArrayLike, logits: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.total_count, self.logits = promote_shapes(total_count, logits)
        self.concentration = self.total_count
        batch_shape = lax.broadcast_shapes(jnp.shape(total_count), jnp.shape(logits))
        Distribution.__init__(self, batch_shape=batch_shape, validate_args=validate_args)

    @lazy_property
    def rate(self) -> Array:
        return jnp.exp(-jnp.asarray(self.logits))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        logits = jnp.asarray(self.logits)
        inside = jnp.greater_equal(value, 0)
        count = jnp.where(inside, value, 0)
        # n softplus(l) + k softplus(-l), a sum of positive numbers
        log_power = -(self.total_count * softplus(logits) + count * softplus(-logits))
        return where_inside(inside, log_coefficient(self.total_count, count) + log_power)


def NegativeBinomial(
    total_count: ArrayLike,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    *,
    validate_args: bool | None = None,
) -> NegativeBinomialProbs | NegativeBinomialLogits:
    """The number of successes before ``total_count`` failures, by the probability or the log odds of a success.

    :param total_count: number of failures, not necessarily an integer.
    :param probs: probability of a success.
    :param logits: log odds of a success. One of the two is to be given; ``probs`` counts where both are.
    :return: :class:`NegativeBinomialProbs` or :class:`NegativeBinomialLogits`.
    :raises ValueError: when neither is given.
    """
    if probs is not None:
        return NegativeBinomialProbs(total_count, probs, validate_args=validate_args)
    if logits is not None:
        return NegativeBinomialLogits(total_count, logits, validate_args=validate_args)
    raise ValueError("NegativeBinomial: One of `probs` or `logits` must be specified; got neither.")


def ZeroInflatedNegativeBinomial2(
    mean: ArrayLike,
    concentration: ArrayLike,
    *,
    gate: ArrayLike | None = None,
    gate_logits: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> ZeroInflatedProbs | ZeroInflatedLogits:
    """With some probability zero, else a negative binomial count.

    :param mean: of the negative binomial distribution, see :class:`NegativeBinomial2`.
    :param concentration: of the negative binomial distribution.
    :param gate: probability of the additional zero.
    :param gate_logits: its log odds. Exactly one of the two is to be given.
    :return: :class:`~numpyro.distributions.ZeroInflatedProbs` or :class:`~numpyro.distributions.ZeroInflatedLogits`.
    :raises ValueError: when none or both are given.
    """
    base = NegativeBinomial2(mean, concentration, validate_args=validate_args)
    return ZeroInflatedDistribution(base, gate=gate, gate_logits=gate_logits, validate_args=validate_args)


def HurdleNegativeBinomial2(
    gate: ArrayLike, mean: ArrayLike, concentration: ArrayLike, *, validate_args: bool | None = None
) -> HurdleProbs:
    """With probability ``gate`` zero, else a negative binomial count given that it is not zero.

    :param gate: probability of zero.
    :param mean: of the negative binomial distribution before zero is taken out, see :class:`NegativeBinomial2`.
    :param concentration: of the negative binomial distribution.
    :return: :class:`~numpyro.distributions.HurdleProbs`.
    """
    base = NegativeBinomial2(mean, concentration, validate_args=validate_args)
    return HurdleProbs(base, gate, validate_args=validate_args)


for _factory in (NegativeBinomial, ZeroInflatedNegativeBinomial2, HurdleNegativeBinomial2):
    _factory.__module__ = "numpyro.distributions.conjugate"
