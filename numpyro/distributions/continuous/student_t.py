"""Student's t distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import LOG_PI, broadcast_to, log1p_square
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.ops.log_gamma import betaln, gammaln_ratio
from numpyro.ops.rejection import loggamma
from numpyro.ops.special import betainc, betaincinv


class StudentT(Distribution):
    r"""Student's t distribution.

    .. math:: p(x) = \frac{\Gamma((\nu + 1)/2)}{\Gamma(\nu/2) \sqrt{\nu\pi}\,\sigma}
        \Bigl(1 + \frac{(x - \mu)^2}{\nu\sigma^2}\Bigr)^{-(\nu + 1)/2}

    :param df: degrees of freedom :math:`\nu > 0`.
    :param loc: centre :math:`\mu`.
    :param scale: scale :math:`\sigma > 0`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 28.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["df", "loc", "scale"]

    def __init__(
        self,
        df: ArrayLike,
        loc: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.df, self.loc, self.scale = promote_shapes(df, loc, scale)
        batch_shape = lax.broadcast_shapes(jnp.shape(df), jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        shape = sample_shape + self.batch_shape
        key_normal, key_gamma = random.split(key)
        half_df = 0.5 * self.df
        # the mean of squares in the logarithm: for few degrees of freedom it underflows
        log_mean_square = loggamma(key_gamma, half_df, shape) - jnp.log(half_df)
        return self.loc + self.scale * random.normal(key_normal, shape) * jnp.exp(-0.5 * log_mean_square)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        root_df = jnp.sqrt(self.df)
        z = (value - self.loc) / (self.scale * root_df)
        normalizer = jnp.log(self.scale * root_df) + 0.5 * LOG_PI - gammaln_ratio(0.5 * self.df, 0.5)
        return -0.5 * (self.df + 1) * log1p_square(z) - normalizer

    def cdf(self, value: ArrayLike) -> Array:
        z = (value - self.loc) / self.scale
        # half the mass beyond |z| on either side: I_{df / (df + z^2)}(df/2, 1/2) / 2
        tail = 0.5 * betainc(0.5 * self.df, 0.5, 1 / (1 + lax.square(z / jnp.sqrt(self.df))))
        return jnp.where(z > 0, 1 - tail, tail)

    def icdf(self, q: ArrayLike) -> Array:
        q = jnp.asarray(q, jnp.result_type(float, q))
        tail = 2 * jnp.minimum(q, 1 - q)
        # 1 - x from its own equation: near the median x is close to 1
        one_minus = betaincinv(0.5, 0.5 * self.df, 1 - tail)
        x = betaincinv(0.5 * self.df, 0.5, tail)
        size = jnp.sqrt(self.df * jnp.where(one_minus < 0.5, one_minus / (1 - one_minus), (1 - x) / x))
        return self.loc + self.scale * jnp.sign(q - 0.5) * size

    def entropy(self) -> Array:
        half, half_next = 0.5 * self.df, 0.5 * (self.df + 1)
        entropy = half_next * (digamma(half_next) - digamma(half)) + 0.5 * jnp.log(self.df) + betaln(half, 0.5)
        return broadcast_to(entropy + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        """Centre; infinite for ``df <= 1``, where the integral does not exist."""
        return broadcast_to(jnp.where(jnp.less_equal(self.df, 1), jnp.inf, self.loc), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        """Infinite for ``1 < df <= 2``, not a number below."""
        df = jnp.asarray(self.df)
        safe_df = jnp.where(df > 2, df, 3)
        variance = jnp.where(df > 2, jnp.square(self.scale) * safe_df / (safe_df - 2), jnp.inf)
        return broadcast_to(jnp.where(df <= 1, jnp.nan, variance), self.batch_shape)
