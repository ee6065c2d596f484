"""The distribution of an absolute value."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.distribution.base import MODULE, Distribution
from numpyro.distributions.distribution.transformed import TransformedDistribution
from numpyro.distributions.transforms import AbsTransform


class FoldedDistribution(TransformedDistribution):
    r"""The distribution of :math:`|x|`, :math:`x` from a univariate ``base_dist``.

    .. math:: p(y) = p_X(y) + p_X(-y), \quad y > 0

    :param base_dist: distribution of scalar events.
    :param validate_args: whether to check values.
    :support: :math:`y > 0`
    :raises ValueError: when events are not scalars.

    **Reference:** F. C. Leone, L. S. Nelson, R. B. Nottingham (1961), "The folded normal distribution".
    """

    __module__ = MODULE

    support = constraints.positive

    def __init__(self, base_dist: Distribution, *, validate_args: bool | None = None) -> None:
        if base_dist.event_shape:
            raise ValueError(
                f"Only univariate distributions can be folded. {type(base_dist).__name__} has event shape "
                f"{base_dist.event_shape}."
            )
        super().__init__(base_dist, AbsTransform(), validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        value = jnp.asarray(value)
        log_prob = jnp.logaddexp(self.base_dist.log_prob(value), self.base_dist.log_prob(-value))
        return jnp.where(value < 0, -jnp.inf, log_prob)

    def cdf(self, value: ArrayLike) -> Array:
        value = jnp.maximum(value, 0.0)
        return self.base_dist.cdf(value) - self.base_dist.cdf(-value)

    def icdf(self, q: ArrayLike) -> Array:
        raise NotImplementedError("FoldedDistribution has no icdf: it would take solving cdf(x) = q.")
