"""Counts with more zeros than a family has of its own."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import random
from jax.scipy.special import expit

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions._maths import broadcast_to, require_one_of, softplus, xlogy
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.discrete.gated import Gated, GatedByLogits, GatedPoisson
from numpyro.distributions.distribution import Distribution


class ZeroInflatedProbs(Gated):
    r"""With probability ``gate`` zero, else a draw of ``base_dist``.

    .. math:: P(0) = g + (1 - g)\,p(0), \qquad P(k) = (1 - g)\,p(k) \text{ for } k \ne 0

    Its distribution function, quantiles and entropy are those of the base put together in the same way.

    :param base_dist: distribution :math:`p` of single discrete numbers.
    :param gate: probability :math:`g` of the additional zero, in the unit interval.
    :support: that of ``base_dist``
    :raises ValueError: when events of ``base_dist`` are no single numbers, or not discrete.

    **Reference:** D. Lambert (1992), "Zero-inflated Poisson regression, with an application to defects in
    manufacturing".
    """

    __module__ = "numpyro.distributions.discrete"
    expected_base = "single discrete numbers"

    def _set_up(self, base_dist: Distribution, name: str, parameter: ArrayLike, validate_args: bool | None) -> None:
        if not base_dist.is_discrete:
            raise UsageError(
                f"{type(self).__name__} expected a base_dist of {self.expected_base}, but got "
                f"{type(base_dist).__name__} on {base_dist.support!r}."
            )
        super()._set_up(base_dist, name, parameter, validate_args)

    @property
    def support(self) -> Any:  # type: ignore[override]
        return self.base_dist.support

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_enumerate_support

    def enumerate_support(self, expand: bool = True) -> Array:
        return self.base_dist.enumerate_support(expand=expand)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_gate, key_base = random.split(key)
        closed = random.bernoulli(key_gate, self.gate, sample_shape + self.batch_shape)
        return jnp.where(closed, 0, self.base_dist.sample(key_base, sample_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        gate, is_zero = jnp.asarray(self.gate), jnp.equal(value, 0)
        log_base = self.base_dist.log_prob(value)
        # of the two branches, the one not taken is given a gate of 0, so that its derivatives are finite
        elsewhere = log_base + jnp.log1p(-jnp.where(is_zero, 0, gate))
        total = gate + (1 - gate) * jnp.exp(jnp.where(is_zero, log_base, 0))
        # both summands vanish when the gate is 0 and the other is too small to be represented; its logarithm is not
        at_zero = jnp.where(total > 0, jnp.log(jnp.where(total > 0, total, 1)), log_base)
        return jnp.where(is_zero, at_zero, elsewhere)

    def _at_zero(self) -> Array:
        """The probability of 0 under the base distribution."""
        return jnp.exp(self.base_dist.log_prob(0))

    @property
    def _open(self) -> Array:
        """The probability ``1 - gate``."""
        return 1 - jnp.asarray(self.gate)

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.where(jnp.less(value, 0), 0, self.gate) + self._open * self.base_dist.cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest number at which ``cdf`` reaches ``q``."""
        q = jnp.asarray(q, jnp.result_type(float))
        negative = self._open * self.base_dist.cdf(-1)
        # above 0 the base reaches 1 - (1 - q) / (1 - gate)
        is_open = self._open > 0
        rest = jnp.clip((1 - q) / jnp.where(is_open, self._open, 1), 0, 1)
        level = jnp.where(q > negative, 1 - rest, q / jnp.where(is_open, self._open, 1))
        value = self.base_dist.icdf(level)
        return jnp.where(is_open & ((q <= negative) | (q > negative + self.gate)), value, jnp.where(q > 0, 0.0, value))

    def entropy(self) -> Array:
        gate, at_zero = jnp.asarray(self.gate), self._at_zero()
        total = gate + self._open * at_zero
        # what the base has apart from 0, and there the logarithm of 1 - gate
        rest = self._base_entropy() + xlogy(at_zero, at_zero)
        return self._open * rest - (1 - at_zero) * xlogy(self._open, self._open) - xlogy(total, total)

    @property
    def mean(self) -> Array:
        return broadcast_to(self._open * self.base_dist.mean, self.batch_shape)

    @property
    def variance(self) -> Array:
        base = self.base_dist
        return broadcast_to(self._open * (base.variance + self.gate * jnp.square(base.mean)), self.batch_shape)


class ZeroInflatedLogits(GatedByLogits, ZeroInflatedProbs):
    r"""With probability :math:`g = 1 / (1 + e^{-l})` zero, else a draw of ``base_dist``.

    .. math:: P(0) = g + (1 - g)\,p(0), \qquad P(k) = (1 - g)\,p(k) \text{ for } k \ne 0

    :param base_dist: distribution :math:`p` of single discrete numbers.
    :param gate_logits: log odds :math:`l` of the additional zero, a real number.
    :support: that of ``base_dist``
    :raises ValueError: when events of ``base_dist`` are no single numbers, or not discrete.

    **Reference:** D. Lambert (1992), "Zero-inflated Poisson regression, with an application to defects in
    manufacturing".
    """

    __module__ = "numpyro.distributions.discrete"

    @property
    def _open(self) -> Array:
        return expit(-jnp.asarray(self.gate_logits))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # log(g + (1 - g) p) = log(e^l + p) - log(1 + e^l)
        logits, log_base = jnp.asarray(self.gate_logits), self.base_dist.log_prob(value)
        return jnp.where(jnp.equal(value, 0), jnp.logaddexp(logits, log_base), log_base) - softplus(logits)


class ZeroInflatedPoisson(GatedPoisson, ZeroInflatedProbs):
    r"""With probability ``gate`` zero, else a Poisson count.

    .. math:: P(0) = g + (1 - g)\,e^{-\lambda}, \qquad P(k) = (1 - g)\,\frac{\lambda^k e^{-\lambda}}{k!}, \quad k \ge 1

    :param gate: probability :math:`g` of the additional zero, in the unit interval.
    :param rate: mean :math:`\lambda > 0` of the Poisson distribution.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** D. Lambert (1992), "Zero-inflated Poisson regression, with an application to defects in
    manufacturing".
    """

    __module__ = "numpyro.distributions.discrete"


def ZeroInflatedDistribution(
    base_dist: Distribution,
    *,
    gate: ArrayLike | None = None,
    gate_logits: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> ZeroInflatedProbs | ZeroInflatedLogits:
    """With some probability zero, else a draw of ``base_dist``.

    :param base_dist: distribution of single discrete numbers.
    :param gate: probability of the additional zero.
    :param gate_logits: its log odds. Exactly one of the two is to be given.
    :return: :class:`ZeroInflatedProbs` or :class:`ZeroInflatedLogits`.
    :raises ValueError: when none or both are given, or ``base_dist`` does not fit.

    >>> import numpyro.distributions as dist
    >>> d = dist.ZeroInflatedDistribution(dist.Binomial(3, 0.5), gate=0.2)
    >>> round(float(d.mean), 3)
    1.2
    """
    name, parameter = require_one_of(gate=gate, gate_logits=gate_logits)
    form = ZeroInflatedProbs if name == "gate" else ZeroInflatedLogits
    return form(base_dist, parameter, validate_args=validate_args)


ZeroInflatedDistribution.__module__ = "numpyro.distributions.discrete"
