"""The geometric distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import random
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, require_one_of, softplus, where_inside, xlog1py, xlogy
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.discrete.support import logits_of_probs
from numpyro.distributions.distribution import Distribution


def _quantile(cdf: Callable[[Array], Array], q: ArrayLike, hazard: Array) -> Array:
    """The smallest count ``k`` with ``1 - exp(-hazard (k + 1)) >= q``, rounding errors put right."""
    count = jnp.maximum(jnp.ceil(-jnp.log1p(-jnp.asarray(q)) / hazard), 1) - 1
    return jnp.where((count > 0) & (cdf(count - 1) >= q), count - 1, count)


class GeometricProbs(Distribution):
    r"""The number of failures before the first success, by the probability of a success.

    .. math:: p(k) = (1 - p)^k p, \quad k = 0, 1, \dots

    :param probs: probability of a success :math:`p` in the unit interval.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 5.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"probs": constraints.unit_interval}
    support = constraints.nonnegative_integer

    def __init__(self, probs: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.probs: Any = probs
        super().__init__(batch_shape=jnp.shape(probs), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        # the integer part of an exponential variable whose rate is -log(1 - p)
        waiting = random.exponential(key, sample_shape + self.batch_shape)
        return jnp.floor(waiting / -jnp.log1p(-jnp.asarray(self.probs)))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, 0)
        count = jnp.where(inside, value, 0)
        return where_inside(inside, xlog1py(count, -jnp.asarray(self.probs)) + jnp.log(self.probs))

    @lazy_property
    def logits(self) -> Array:
        return logits_of_probs(self.probs)

    def cdf(self, value: ArrayLike) -> Array:
        trials = jnp.maximum(jnp.floor(value) + 1, 0)
        return -jnp.expm1(xlog1py(trials, -jnp.asarray(self.probs)))

    def icdf(self, q: ArrayLike) -> Array:
        return _quantile(self.cdf, q, -jnp.log1p(-jnp.asarray(self.probs)))

    def entropy(self) -> Array:
        p = jnp.asarray(self.probs)
        return -(xlogy(p, p) + xlog1py(1 - p, -p)) / p

    @property
    def mean(self) -> Array:
        return broadcast_to(1 / jnp.asarray(self.probs) - 1, self.batch_shape)

    @property
    def mode(self) -> Array:
        return jnp.zeros(self.batch_shape)

    @property
    def variance(self) -> Array:
        return self.mean / jnp.asarray(self.probs)


class GeometricLogits(Distribution):
    r"""The number of failures before the first success, by the log odds of a success.

    .. math:: p(k) = \frac{e^l}{(1 + e^l)^{k + 1}}, \quad k = 0, 1, \dots

    :param logits: log odds of a success :math:`l`, a real number.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 5.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, logits: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.logits: Any = logits
        super().__init__(batch_shape=jnp.shape(logits), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        # -log(1 - p) = softplus(l)
        waiting = random.exponential(key, sample_shape + self.batch_shape)
        return jnp.floor(waiting / softplus(jnp.asarray(self.logits)))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        logits = jnp.asarray(self.logits)
        inside = jnp.greater_equal(value, 0)
        count = jnp.where(inside, value, 0)
        return where_inside(inside, -(softplus(-logits) + count * softplus(logits)))

    @lazy_property
    def probs(self) -> Array:
        return expit(self.logits)

    def cdf(self, value: ArrayLike) -> Array:
        trials = jnp.maximum(jnp.floor(value) + 1, 0)
        return -jnp.expm1(-trials * softplus(jnp.asarray(self.logits)))

    def icdf(self, q: ArrayLike) -> Array:
        return _quantile(self.cdf, q, softplus(jnp.asarray(self.logits)))

    def entropy(self) -> Array:
        logits = jnp.asarray(self.logits)
        return softplus(-logits) + jnp.exp(-logits) * softplus(logits)

    @property
    def mean(self) -> Array:
        return broadcast_to(jnp.exp(-jnp.asarray(self.logits)), self.batch_shape)

    @property
    def mode(self) -> Array:
        return jnp.zeros(self.batch_shape)

    @property
    def variance(self) -> Array:
        return self.mean * (1 + self.mean)


def Geometric(
    probs: ArrayLike | None = None, logits: ArrayLike | None = None, *, validate_args: bool | None = None
) -> GeometricProbs | GeometricLogits:
    """The number of failures before the first success, by the probability or the log odds of a success.

    :param probs: probability of a success.
    :param logits: log odds of a success. Exactly one of the two is to be given.
    :return: :class:`GeometricProbs` or :class:`GeometricLogits`.
    :raises ValueError: when none or both are given.
    """
    name, parameter = require_one_of(probs=probs, logits=logits)
    if name == "probs":
        return GeometricProbs(parameter, validate_args=validate_args)
    return GeometricLogits(parameter, validate_args=validate_args)


Geometric.__module__ = "numpyro.distributions.discrete"
