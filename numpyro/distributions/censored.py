r"""Distributions of values of which some are known by bounds only.

An observation that is not censored counts by its density, a censored one by the probability of what it may be. These
distributions are for observed values; their draws are those of the base distribution, which the censoring then hides.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._interval_mass import log_interval_mass
from numpyro.distributions._maths import broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.ops.special import log1mexp

__all__ = ["IntervalCensoredDistribution", "LeftCensoredDistribution", "RightCensoredDistribution"]


class _Censored(Distribution):
    """What censored distributions share, whichever sides they are censored on."""

    pytree_data_fields = ("base_dist",)
    base_dist: Any
    _reasons = {
        "entropy": "what it gives censored values are probabilities of sets of values, not a density",
    }

    def __init__(
        self, base_dist: Distribution, event_shape: Shape, validate_args: bool | None, **flags: ArrayLike
    ) -> None:
        if base_dist.event_shape:
            raise ValueError(
                f"{type(self).__name__} needs a univariate base_dist, but the events of {type(base_dist).__name__} "
                f"have shape {base_dist.event_shape}. Censor the components, and call to_event on the result."
            )
        self.base_dist = base_dist
        batch_shape = lax.broadcast_shapes(base_dist.batch_shape, *map(jnp.shape, flags.values()))
        arrays = [np.asarray(flag) if isinstance(flag, (bool, int)) else flag for flag in flags.values()]
        for name, flag in zip(flags, promote_shapes(*arrays, shape=batch_shape), strict=True):
            setattr(self, name, flag)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return self.base_dist.expand(self.batch_shape).sample(key, sample_shape)


class _OneSided(_Censored):
    """Distributions of single numbers: draws, and so moments and quantiles, are those of the base distribution."""

    arg_constraints = {"censored": constraints.boolean}
    censored: Any

    def __init__(
        self, base_dist: Distribution, censored: ArrayLike = False, *, validate_args: bool | None = False
    ) -> None:
        super().__init__(base_dist, (), validate_args, censored=censored)

    @constraints.dependent_property(event_dim=0)
    def support(self) -> Any:
        return self.base_dist.support

    def _log_mass(self, value: ArrayLike) -> Array:
        """The logarithm of the probability of what an observation censored at ``value`` may be."""
        raise NotImplementedError

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        log_mass = self._log_mass(value)
        return jnp.where(jnp.not_equal(self.censored, 0), log_mass, self.base_dist.log_prob(value))

    @property
    def mean(self) -> Array:
        """That of the base distribution, as of draws."""
        return broadcast_to(self.base_dist.mean, self.batch_shape)

    @property
    def variance(self) -> Array:
        """That of the base distribution, as of draws."""
        return broadcast_to(self.base_dist.variance, self.batch_shape)

    def cdf(self, value: ArrayLike) -> Array:
        """That of the base distribution, as of draws, whether values are censored or not."""
        return self.base_dist.expand(self.batch_shape).cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        """That of the base distribution, as of draws, whether values are censored or not."""
        return self.base_dist.expand(self.batch_shape).icdf(q)


class LeftCensoredDistribution(_OneSided):
    r"""A univariate distribution of which some values are known to be at most so large.

    .. math:: \log p(x) = \log f(x) \text{ if not censored}, \quad \log F(x) \text{ if censored}

    with density :math:`f` and cdf :math:`F` of the base distribution.

    :param base_dist: a distribution of single numbers with a ``cdf``.
    :param censored: whether values are censored, a boolean or an array of booleans (or of 0 and 1) that broadcasts with
        the batch shape; default ``False``.
    :param validate_args: whether to check ``censored`` and values; default ``False``.
    :support: that of ``base_dist``
    :raises ValueError: when events of ``base_dist`` are not single numbers.

    **Reference:** J. P. Klein, M. L. Moeschberger (2003), "Survival Analysis: Techniques for Censored and Truncated
    Data", chapter 3.
    """

    __module__ = "numpyro.distributions.censored"

    def _log_mass(self, value: ArrayLike) -> Array:
        return log_interval_mass(self.base_dist, None, value)


class RightCensoredDistribution(_OneSided):
    r"""A univariate distribution of which some values are known to be more than so large.

    .. math:: \log p(x) = \log f(x) \text{ if not censored}, \quad \log (1 - F(x)) \text{ if censored}

    with density :math:`f` and cdf :math:`F` of the base distribution: survival times of which some are still going on.

    :param base_dist: a distribution of single numbers with a ``cdf``.
    :param censored: whether values are censored, a boolean or an array of booleans (or of 0 and 1) that broadcasts with
        the batch shape; default ``False``.
    :param validate_args: whether to check ``censored`` and values; default ``False``.
    :support: that of ``base_dist``
    :raises ValueError: when events of ``base_dist`` are not single numbers.

    >>> import numpy as np, numpyro.distributions as dist
    >>> d = RightCensoredDistribution(dist.Exponential(0.5), np.array([False, True]))
    >>> d.log_prob(np.array([2.0, 2.0])).round(4).tolist()
    [-1.6930999755859375, -1.0]

    **Reference:** J. P. Klein, M. L. Moeschberger (2003), "Survival Analysis: Techniques for Censored and Truncated
    Data", chapter 3.
    """

    __module__ = "numpyro.distributions.censored"

    def _log_mass(self, value: ArrayLike) -> Array:
        return log_interval_mass(self.base_dist, value, None)


class IntervalCensoredDistribution(_Censored):
    r"""A univariate distribution of which values are known by two bounds, an event being the pair :math:`(l, u)`.

    ========  =========  =================================================  ===========================
    left      right      log density                                        the value
    ========  =========  =================================================  ===========================
    False     False      :math:`\log f(l)` if :math:`l = u`                 is :math:`l`
    False     False      :math:`\log (F(u) - F(l))` if :math:`l < u`        is between the bounds
    True      False      :math:`\log F(u)`                                  is at most :math:`u`
    False     True       :math:`\log (1 - F(l))`                            is more than :math:`l`
    True      True       :math:`\log (1 - (F(u) - F(l)))`                   is not between the bounds
    ========  =========  =================================================  ===========================

    with density :math:`f` and cdf :math:`F` of the base distribution. A draw is a pair of two equal numbers.

    :param base_dist: a distribution of single numbers with a ``cdf``.
    :param left_censored: whether the lower bound says nothing, a boolean or an array of booleans (or of 0 and 1) that
        broadcasts with the batch shape.
    :param right_censored: whether the upper bound says nothing, likewise; where both are, the value is not between the
        bounds.
    :param validate_args: whether to check flags and values; default ``False``.
    :support: pairs of values in the support of ``base_dist``
    :raises ValueError: when events of ``base_dist`` are not single numbers.

    **Reference:** J. P. Klein, M. L. Moeschberger (2003), "Survival Analysis: Techniques for Censored and Truncated
    Data", chapter 3.
    """

    __module__ = "numpyro.distributions.censored"
    arg_constraints = {"left_censored": constraints.boolean, "right_censored": constraints.boolean}
    left_censored: Any
    right_censored: Any

    def __init__(
        self,
        base_dist: Distribution,
        left_censored: ArrayLike,
        right_censored: ArrayLike,
        *,
        validate_args: bool | None = False,
    ) -> None:
        super().__init__(base_dist, (2,), validate_args, left_censored=left_censored, right_censored=right_censored)

    @constraints.dependent_property(event_dim=1)
    def support(self) -> Any:
        return constraints.independent(self.base_dist.support, 1)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        exact = super().sample(key, sample_shape)
        return jnp.stack([exact, exact], -1)

    @property
    def mean(self) -> Array:
        """That of the base distribution, of both bounds, as of draws."""
        return broadcast_to(jnp.asarray(self.base_dist.mean)[..., None], self.shape())

    @property
    def variance(self) -> Array:
        """That of the base distribution, of both bounds, as of draws."""
        return broadcast_to(jnp.asarray(self.base_dist.variance)[..., None], self.shape())

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value = jnp.asarray(value)
        low, high = value[..., 0], value[..., 1]
        left, right = jnp.not_equal(self.left_censored, 0), jnp.not_equal(self.right_censored, 0)
        base = self.base_dist
        exact = ~left & ~right & (low == high)
        between = log_interval_mass(base, low, high)
        log_mass = jnp.where(left, log_interval_mass(base, None, high), log_interval_mass(base, low, None))
        log_mass = jnp.where(left & right, log1mexp(jnp.where(left & right, between, -1.0)), log_mass)
        log_mass = jnp.where(~left & ~right, between, log_mass)
        return jnp.where(exact, base.log_prob(low), log_mass)
