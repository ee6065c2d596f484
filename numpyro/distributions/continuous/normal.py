"""The normal distribution, folded at zero (half normal) and of the logarithm (log normal)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import erf, erfinv, log_ndtr, ndtr, ndtri

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, LOG_TWO, broadcast_to, log, log1p_excess, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.distributions.kl import kl_divergence
from numpyro.distributions.transforms import ExpTransform

_SQRT_TWO = 1.4142135623730951
_SQRT_TWO_OVER_PI = 0.7978845608028654


class Normal(Distribution):
    r"""The normal distribution.

    .. math:: p(x) = \frac{1}{\sigma\sqrt{2\pi}} \exp\Bigl(-\frac{(x-\mu)^2}{2\sigma^2}\Bigr)

    :param loc: mean :math:`\mu`.
    :param scale: standard deviation :math:`\sigma > 0`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 13.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.loc, self.scale = promote_shapes(loc, scale)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return self.loc + self.scale * random.normal(key, sample_shape + self.batch_shape + self.event_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        z = (value - self.loc) / self.scale
        return -0.5 * lax.square(z) - (log(self.scale) + HALF_LOG_TWO_PI)

    def cdf(self, value: ArrayLike) -> Array:
        return ndtr((value - self.loc) / self.scale)

    def log_cdf(self, value: ArrayLike) -> Array:
        """The logarithm of the cdf, right far into both tails."""
        return log_ndtr((value - self.loc) / self.scale)

    def icdf(self, q: ArrayLike) -> Array:
        return self.loc + self.scale * ndtri(q)

    def entropy(self) -> Array:
        return broadcast_to(0.5 + HALF_LOG_TWO_PI + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return broadcast_to(jnp.square(self.scale), self.batch_shape)


class HalfNormal(Distribution):
    r"""The distribution of the absolute value of a centred normal.

    .. math:: p(x) = \frac{1}{\sigma} \sqrt{\frac{2}{\pi}} \exp\Bigl(-\frac{x^2}{2\sigma^2}\Bigr), \quad x > 0

    :param scale: the scale :math:`\sigma > 0` of the normal.
    :support: :math:`x > 0`

    **Reference:** F. C. Leone, L. S. Nelson, R. B. Nottingham (1961), "The folded normal distribution".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"scale": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["scale"]

    def __init__(self, scale: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.scale: Any = scale
        super().__init__(batch_shape=jnp.shape(scale), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return self.scale * jnp.abs(random.normal(key, sample_shape + self.batch_shape + self.event_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        z = value / self.scale
        log_density = -0.5 * lax.square(z) - (jnp.log(self.scale) + (HALF_LOG_TWO_PI - LOG_TWO))
        return where_inside(jnp.greater_equal(value, 0), log_density)

    def cdf(self, value: ArrayLike) -> Array:
        return erf(jnp.maximum(value, 0) / (self.scale * _SQRT_TWO))

    def icdf(self, q: ArrayLike) -> Array:
        # ndtri((1 + q) / 2) would lose small q in the sum
        return self.scale * _SQRT_TWO * erfinv(q)

    def entropy(self) -> Array:
        return broadcast_to(0.5 + (HALF_LOG_TWO_PI - LOG_TWO) + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(_SQRT_TWO_OVER_PI * jnp.asarray(self.scale), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.zeros_like(self.scale), self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to((1 - _SQRT_TWO_OVER_PI**2) * jnp.square(self.scale), self.batch_shape)


class LogNormal(TransformedDistribution):
    r"""The distribution of ``exp(x)`` where ``x`` is normal.

    .. math:: p(x) = \frac{1}{x \sigma\sqrt{2\pi}} \exp\Bigl(-\frac{(\log x-\mu)^2}{2\sigma^2}\Bigr), \quad x > 0

    :param loc: mean :math:`\mu` of the logarithm.
    :param scale: standard deviation :math:`\sigma > 0` of the logarithm.
    :support: :math:`x > 0`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 14.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=False)
        self.loc, self.scale = base.loc, base.scale
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        # outside the support the logarithm is not a number, in its gradient too
        inside = jnp.greater(value, 0)
        log_value = jnp.log(jnp.where(inside, value, 1))
        return where_inside(inside, self.base_dist.log_prob(log_value) - log_value)

    def cdf(self, value: ArrayLike) -> Array:
        return self.base_dist.cdf(jnp.log(jnp.maximum(value, 0)))

    def icdf(self, q: ArrayLike) -> Array:
        return jnp.exp(self.base_dist.icdf(q))

    def entropy(self) -> Array:
        return self.base_dist.entropy() + self.loc

    @property
    def mean(self) -> Array:
        return broadcast_to(jnp.exp(self.loc + 0.5 * jnp.square(self.scale)), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.exp(self.loc - jnp.square(self.scale)), self.batch_shape)

    @property
    def variance(self) -> Array:
        square = jnp.square(self.scale)
        return broadcast_to(jnp.expm1(square) * jnp.exp(2 * self.loc + square), self.batch_shape)


@kl_divergence.register(Normal, Normal)
def _kl_normal_normal(p: Normal, q: Normal) -> Array:
    r""":math:`\log\frac{\sigma'}{\sigma} + \frac{\sigma^2 + (\mu - \mu')^2}{2 \sigma'^2} - \frac12`."""
    variance_ratio_excess = (p.scale - q.scale) * (p.scale + q.scale) / jnp.square(q.scale)
    return 0.5 * (log1p_excess(variance_ratio_excess) + jnp.square((p.loc - q.loc) / q.scale))


@kl_divergence.register(HalfNormal, HalfNormal)
def _kl_half_normal_half_normal(p: HalfNormal, q: HalfNormal) -> Array:
    r""":math:`\log\frac{\sigma'}{\sigma} + \frac{\sigma^2}{2 \sigma'^2} - \frac12`."""
    return 0.5 * log1p_excess((p.scale - q.scale) * (p.scale + q.scale) / jnp.square(q.scale))
