"""Numbers of which zero has a probability of its own, and all others those of a family from which zero is taken out."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, require_one_of, softplus, xlogy
from numpyro.distributions._validation import check_key, concrete, validate_sample
from numpyro.distributions.discrete.gated import Gated, GatedByLogits, GatedPoisson
from numpyro.distributions.discrete.poisson import Poisson
from numpyro.distributions.distribution import Distribution, ExpandedDistribution
from numpyro.ops.counts import poisson
from numpyro.ops.special import log1mexp


class HurdleProbs(Gated):
    r"""With probability ``gate`` zero, else a draw of ``base_dist`` given that it is not zero.

    .. math:: p(0) = g, \qquad p(x) = (1 - g) \frac{p_\text{base}(x)}{1 - P_\text{base}(0)} \text{ for } x \ne 0

    A continuous base is never zero, and the density is one with respect to the length on the line and a unit mass at 0.

    :param base_dist: distribution of single numbers, discrete or continuous.
    :param gate: probability :math:`g` of zero, in the unit interval.
    :support: that of ``base_dist``, and zero
    :raises ValueError: when events of ``base_dist`` are no single numbers.

    **Reference:** J. Mullahy (1986), "Specification and testing of some modified count data models".
    """

    __module__ = "numpyro.distributions.discrete"

    @property
    def support(self) -> Any:  # type: ignore[override]
        return _with_zero(self.base_dist.support)

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    @property
    def _log_gate(self) -> Array:
        return jnp.log(self.gate)

    @property
    def _log_open(self) -> Array:
        """The logarithm of ``1 - gate``."""
        return jnp.log1p(-jnp.asarray(self.gate))

    def _log_base_not_zero(self) -> Any:
        """The logarithm of the probability that the base is not zero."""
        return log1mexp(self.base_dist.log_prob(0)) if self.is_discrete else 0.0

    @property
    def _share(self) -> Array:
        """What one unit of the base's probability, apart from zero, is here."""
        return jnp.exp(self._log_open - self._log_base_not_zero())

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_gate, key_base = random.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        closed = random.bernoulli(key_gate, self.gate, shape)
        draws = sample_nonzero(self.base_dist, key_base, shape)
        return jnp.where(closed, 0, draws)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        is_zero = jnp.equal(value, 0)
        inside = lax.stop_gradient(jnp.asarray(self.base_dist.support.feasible_like(value), jnp.result_type(value)))
        log_base = self.base_dist.log_prob(jnp.where(is_zero, inside, value))
        # a base that is always zero is nowhere else
        somewhere = log_base > -jnp.inf
        log_rest = jnp.where(somewhere, log_base - self._log_base_not_zero(), -jnp.inf)
        return jnp.where(is_zero, self._log_gate, self._log_open + log_rest)

    def cdf(self, value: ArrayLike) -> Array:
        base_cdf = self.base_dist.cdf(value)
        return jnp.where(jnp.less(value, 0), self._share * base_cdf, 1 - self._share * (1 - base_cdf))

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest number at which ``cdf`` reaches ``q``."""
        q = jnp.asarray(q, jnp.result_type(float, q))
        share = jnp.where(self._share > 0, self._share, 1)
        up_to_zero = 1 - self._share * (1 - self.base_dist.cdf(0))
        below = q < up_to_zero - self.gate
        value = self.base_dist.icdf(jnp.where(below, q / share, jnp.maximum(1 - (1 - q) / share, 0)))
        return jnp.where(below | (q > up_to_zero), value, jnp.where((q >= 0) & (q <= 1), 0.0, jnp.nan))

    def entropy(self) -> Array:
        base_entropy, log_open, log_not_zero = self._base_entropy(), self._log_open, self._log_base_not_zero()
        if self.is_discrete:
            log_zero = self.base_dist.log_prob(0)
            zero = jnp.exp(log_zero)
            base_entropy = (base_entropy + xlogy(zero, zero)) / jnp.exp(log_not_zero) + log_not_zero
        opened = jnp.exp(log_open)
        return opened * base_entropy - xlogy(self.gate, self.gate) - xlogy(opened, opened)

    @property
    def mean(self) -> Array:
        return broadcast_to(self._share * self.base_dist.mean, self.batch_shape)

    @property
    def variance(self) -> Array:
        base_mean = self.base_dist.mean
        mean = self._share * base_mean
        # the share of the base's second moment, less the square of the mean; the base's mean may be tiny
        return broadcast_to(self._share * self.base_dist.variance + mean * (base_mean - mean), self.batch_shape)


class HurdleLogits(GatedByLogits, HurdleProbs):
    r"""With probability :math:`g = 1 / (1 + e^{-l})` zero, else a draw of ``base_dist`` given that it is not zero.

    .. math:: p(0) = g, \qquad p(x) = (1 - g) \frac{p_\text{base}(x)}{1 - P_\text{base}(0)} \text{ for } x \ne 0

    :param base_dist: distribution of single numbers, discrete or continuous.
    :param gate_logits: log odds :math:`l` of zero, a real number.
    :support: that of ``base_dist``, and zero
    :raises ValueError: when events of ``base_dist`` are no single numbers.

    **Reference:** J. Mullahy (1986), "Specification and testing of some modified count data models".
    """

    __module__ = "numpyro.distributions.discrete"

    @property
    def _log_gate(self) -> Array:
        return -softplus(-jnp.asarray(self.gate_logits))

    @property
    def _log_open(self) -> Array:
        return -softplus(self.gate_logits)


class HurdlePoisson(GatedPoisson, HurdleProbs):
    r"""With probability ``gate`` zero, else a Poisson count given that it is not zero.

    .. math:: P(0) = g, \qquad P(k) = (1 - g) \frac{\lambda^k e^{-\lambda}}{k!\,(1 - e^{-\lambda})}, \quad k \ge 1

    :param gate: probability :math:`g` of zero, in the unit interval.
    :param rate: mean :math:`\lambda > 0` of the Poisson distribution before zero is taken out.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** J. Mullahy (1986), "Specification and testing of some modified count data models".
    """

    __module__ = "numpyro.distributions.discrete"


def HurdleDistribution(
    base_dist: Distribution,
    *,
    gate: ArrayLike | None = None,
    gate_logits: ArrayLike | None = None,
    validate_args: bool | None = None,
) -> HurdleProbs | HurdleLogits:
    """With some probability zero, else a draw of ``base_dist`` given that it is not zero.

    :param base_dist: distribution of single numbers, discrete or continuous.
    :param gate: probability of zero.
    :param gate_logits: its log odds. Exactly one of the two is to be given.
    :return: :class:`HurdleProbs` or :class:`HurdleLogits`.
    :raises ValueError: when none or both are given, or events of ``base_dist`` are no single numbers.

    >>> import numpyro.distributions as dist
    >>> d = dist.HurdleDistribution(dist.Binomial(1, 0.5), gate=0.2)
    >>> round(float(d.mean), 3)
    0.8
    """
    name, parameter = require_one_of(gate=gate, gate_logits=gate_logits)
    form = HurdleProbs if name == "gate" else HurdleLogits
    return form(base_dist, parameter, validate_args=validate_args)


HurdleDistribution.__module__ = "numpyro.distributions.discrete"


class _ZeroOr(constraints.Constraint):
    """Zero, and what another constraint on single numbers allows."""

    pytree_data_fields = ("base_constraint",)

    def __init__(self, base_constraint: constraints.Constraint) -> None:
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base_constraint.is_discrete

    def __call__(self, x: Any) -> Any:
        return (x == 0) | self.base_constraint(x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return self.base_constraint.feasible_like(prototype)


def _with_zero(support: Any) -> Any:
    """The support and zero: by its name if there is one, itself where zero is seen to be in it."""
    if support is constraints.positive:
        return constraints.nonnegative
    if support is constraints.positive_integer:
        return constraints.nonnegative_integer
    holds_zero = concrete(support(np.zeros((), int if support.is_discrete else float)))
    return support if holds_zero is not None and holds_zero.all() else _ZeroOr(support)


@functools.singledispatch
def sample_nonzero(base: Distribution, key: Key, shape: Shape) -> Array:
    """Draw from ``base`` given that it is not zero.

    By rejection; where the base is zero nearly always, by counting up from 1 until the probabilities add up to a
    uniform draw.

    :param base: distribution of single numbers.
    :param key: random key.
    :param shape: of the result, to which the batch shape of ``base`` broadcasts.
    """
    base = base.expand(shape)
    key, key_first, key_uniform = random.split(key, 3)
    draws = base.sample(key_first)
    if not base.is_discrete:
        return draws
    log_not_zero = log1mexp(base.log_prob(jnp.zeros_like(draws)))
    rare = log_not_zero < math.log(1e-3)

    def again(state: tuple[Key, Array]) -> tuple[Key, Array]:
        key, draws = state
        key, key_draw = random.split(key)
        return key, jnp.where(draws == 0, base.sample(key_draw), draws)

    _, draws = lax.while_loop(lambda state: jnp.any((state[1] == 0) & ~rare), again, (key, draws))

    uniform = random.uniform(key_uniform, shape, log_not_zero.dtype)
    negligible = float(jnp.finfo(uniform.dtype).eps) / 100

    def count_up(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, reached, pending = state
        count = jnp.where(pending, count + 1, count)
        term = jnp.exp(base.log_prob(count) - log_not_zero)
        reached = reached + jnp.where(pending, term, 0)
        # rounding may keep the sum from reaching the uniform draw
        return count, reached, pending & (reached <= uniform) & ((term > negligible) | (reached < 0.5))

    state = jnp.zeros_like(draws), jnp.zeros_like(uniform), rare & (log_not_zero > -jnp.inf)
    counts, _, _ = lax.while_loop(lambda state: jnp.any(state[2]), count_up, state)
    return jnp.where(rare, counts, draws)


@sample_nonzero.register
def _sample_nonzero_expanded(base: ExpandedDistribution, key: Key, shape: Shape) -> Array:
    return sample_nonzero(base.base_dist, key, shape)


@sample_nonzero.register
def _sample_nonzero_poisson(base: Poisson, key: Key, shape: Shape) -> Array:
    # The first of the arrivals during a time of length `rate`, given that there is one, and how many come after it.
    key_first, key_rest = random.split(key)
    first = -jnp.log1p(random.uniform(key_first, shape) * jnp.expm1(-jnp.asarray(base.rate)))
    return 1 + poisson(key_rest, jnp.maximum(base.rate - first, 0), shape)
