"""The gamma distribution and its kin: chi squared and inverse gamma."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import digamma, gammainc, gammaincc

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution, TransformedDistribution
from numpyro.distributions.kl import kl_divergence
from numpyro.distributions.transforms import PowerTransform
from numpyro.ops import rejection
from numpyro.ops.log_gamma import gammaln, gammaln_ratio, log_gamma_density, log_poisson
from numpyro.ops.special import gammaincinv


class Gamma(Distribution):
    r"""The gamma distribution.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x}, \quad x > 0

    :param concentration: shape :math:`\alpha > 0`.
    :param rate: inverse scale :math:`\beta > 0`.
    :support: :math:`x > 0`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 17.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, concentration: ArrayLike, rate: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = promote_shapes(concentration, rate)
        batch_shape = lax.broadcast_shapes(jnp.shape(concentration), jnp.shape(rate))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        draws = rejection.gamma(key, self.concentration, sample_shape + self.batch_shape) / self.rate
        # for a tiny concentration most draws underflow; the support is open
        return jnp.maximum(draws, jnp.finfo(draws.dtype).tiny)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, 0)
        return where_inside(inside, log_gamma_density(jnp.where(inside, value, 1), self.concentration, self.rate))

    def cdf(self, value: ArrayLike) -> Array:
        return gammainc(self.concentration, self.rate * jnp.maximum(value, 0))

    def icdf(self, q: ArrayLike) -> Array:
        return gammaincinv(self.concentration, q) / self.rate

    def entropy(self) -> Array:
        a = self.concentration
        return broadcast_to(a - jnp.log(self.rate) + gammaln(a) + (1 - a) * digamma(a), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.concentration / self.rate, self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.maximum(self.concentration - 1, 0) / self.rate, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(self.concentration / jnp.square(self.rate), self.batch_shape)


class Chi2(Gamma):
    r"""The chi squared distribution: of a sum of squares of ``df`` standard normal variables.

    .. math:: p(x) = \frac{x^{\nu/2 - 1} e^{-x/2}}{2^{\nu/2}\, \Gamma(\nu/2)}, \quad x > 0

    It is the gamma distribution of concentration :math:`\nu/2` and rate :math:`1/2`.

    :param df: degrees of freedom :math:`\nu > 0`.
    :support: :math:`x > 0`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 18.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"df": constraints.positive}
    reparametrized_params = ["df"]

    def __init__(self, df: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.df: Any = df
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)


class InverseGamma(TransformedDistribution):
    r"""The distribution of ``1 / x`` where ``x`` has a gamma distribution.

    .. math:: p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{-\alpha - 1} e^{-\beta / x}, \quad x > 0

    :param concentration: shape :math:`\alpha > 0`.
    :param rate: scale :math:`\beta > 0` of the result, rate of the gamma distribution.
    :support: :math:`x > 0`

    **Reference:** A. Gelman, J. B. Carlin, H. S. Stern, D. B. Dunson, A. Vehtari, D. B. Rubin (2013), "Bayesian Data
    Analysis", appendix A.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, concentration: ArrayLike, rate: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=False)
        self.concentration, self.rate = base.concentration, base.rate
        super().__init__(base, PowerTransform(-1.0), validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        # with t = rate / x the density is t^(a + 1) e^-t / (gamma(a) rate), from 0 at the origin
        inside = jnp.greater(value, 0)
        a = jnp.asarray(self.concentration)
        log_power = log_poisson(a + 1, self.rate / jnp.where(inside, value, 1))
        return where_inside(inside, log_power + (jnp.log(a) + jnp.log1p(a) - jnp.log(self.rate)))

    def cdf(self, value: ArrayLike) -> Array:
        return gammaincc(self.concentration, self.rate / jnp.maximum(value, 0))

    def icdf(self, q: ArrayLike) -> Array:
        return 1 / self.base_dist.icdf(1 - q)

    def entropy(self) -> Array:
        a = self.concentration
        return broadcast_to(a + jnp.log(self.rate) + gammaln(a) - (1 + a) * digamma(a), self.batch_shape)

    @property
    def mean(self) -> Array:
        a = jnp.asarray(self.concentration)
        mean = self.rate / jnp.where(a > 1, a - 1, 1)
        return broadcast_to(jnp.where(a > 1, mean, jnp.inf), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.rate / (self.concentration + 1), self.batch_shape)

    @property
    def variance(self) -> Array:
        a = jnp.asarray(self.concentration)
        above = jnp.where(a > 2, a, 3)
        variance = jnp.square(self.rate / (above - 1)) / (above - 2)
        return broadcast_to(jnp.where(a > 2, variance, jnp.inf), self.batch_shape)


@kl_divergence.register(Gamma, Gamma)
def _kl_gamma_gamma(p: Gamma, q: Gamma) -> Array:
    r""":math:`(\alpha - \alpha')\,\psi(\alpha) - \log\frac{\Gamma(\alpha)}{\Gamma(\alpha')} + \alpha'
    \log\frac{\beta}{\beta'} + \alpha \frac{\beta' - \beta}{\beta}`.
    """
    a, b = p.concentration, q.concentration
    shapes = (a - b) * digamma(a) - gammaln_ratio(b, a - b)
    rates = b * jnp.log(p.rate / q.rate) + a * (q.rate - p.rate) / p.rate
    return shapes + rates
