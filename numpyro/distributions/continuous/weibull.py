"""The Weibull distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import EULER_GAMMA, broadcast_to, where_inside, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.continuous.gamma import Gamma
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.log_gamma import gammaln


class Weibull(Distribution):
    r"""The Weibull distribution.

    .. math:: p(x) = \frac{k}{\lambda} \Bigl(\frac{x}{\lambda}\Bigr)^{k - 1} e^{-(x/\lambda)^k}, \quad x > 0

    :param scale: scale :math:`\lambda > 0`.
    :param concentration: shape :math:`k > 0`.
    :support: :math:`x > 0`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 21.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["scale", "concentration"]

    def __init__(self, scale: ArrayLike, concentration: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = promote_shapes(scale, concentration)
        batch_shape = lax.broadcast_shapes(jnp.shape(scale), jnp.shape(concentration))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return self.scale * random.exponential(key, sample_shape + self.batch_shape) ** (1 / self.concentration)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, 0)
        z = jnp.where(inside, value, 1) / self.scale
        log_density = xlogy(self.concentration - 1, z) - z**self.concentration
        return where_inside(inside, log_density + jnp.log(self.concentration / self.scale))

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1(-((jnp.maximum(value, 0) / self.scale) ** self.concentration))

    def icdf(self, q: ArrayLike) -> Array:
        return self.scale * (-jnp.log1p(-jnp.asarray(q))) ** (1 / self.concentration)

    def entropy(self) -> Array:
        entropy = EULER_GAMMA * (1 - 1 / self.concentration) + jnp.log(self.scale / self.concentration) + 1
        return broadcast_to(entropy, self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.scale * jnp.exp(gammaln(1 + 1 / self.concentration)), self.batch_shape)

    @property
    def mode(self) -> Array:
        k = jnp.maximum(self.concentration, 1)
        return broadcast_to(self.scale * ((k - 1) / k) ** (1 / k), self.batch_shape)

    @property
    def variance(self) -> Array:
        log_mean = gammaln(1 + 1 / self.concentration)
        # E[x^2] - E[x]^2 = E[x]^2 (exp(...) - 1)
        excess = jnp.expm1(gammaln(1 + 2 / self.concentration) - 2 * log_mean)
        return broadcast_to(jnp.square(self.scale * jnp.exp(log_mean)) * excess, self.batch_shape)


@kl_divergence.register(Weibull, Gamma)
def _kl_weibull_gamma(p: Weibull, q: Gamma) -> Array:
    r""":math:`\log\frac{k}{\lambda} - \gamma \Bigl(1 - \frac1k\Bigr) - 1 - \alpha \log \beta + \log \Gamma(\alpha) -
    (\alpha - 1) \Bigl(\log \lambda - \frac{\gamma}{k}\Bigr) + \beta \lambda\, \Gamma\Bigl(1 + \frac1k\Bigr)`.
    """
    a, b, k = q.concentration, q.rate, p.concentration
    # E[log x] = log(scale) - gamma / k, E[x] = mean
    mean_log = jnp.log(p.scale) - EULER_GAMMA / k
    negative_entropy = jnp.log(k / p.scale) - EULER_GAMMA * (1 - 1 / k) - 1
    return negative_entropy - (a * jnp.log(b) - gammaln(a) + (a - 1) * mean_log) + b * p.mean
