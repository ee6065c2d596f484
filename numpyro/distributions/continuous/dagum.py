"""The Dagum distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import EULER_GAMMA, broadcast_to, softplus, where_inside, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.ops.log_gamma import gammaln, gammaln_ratio
from numpyro.ops.special import log1mexp


class Dagum(Distribution):
    r"""The Dagum distribution, also inverse Burr or Burr III, of incomes.

    .. math:: F(x) = \bigl(1 + (x/b)^{-a}\bigr)^{-p}, \quad
        p(x) = \frac{a p}{x} \frac{(x/b)^{a p}}{\bigl((x/b)^a + 1\bigr)^{p + 1}}, \quad x > 0

    :param concentration: :math:`p > 0`, which shapes the lower tail.
    :param sharpness: :math:`a > 0`; moments of this order and above are infinite.
    :param scale: :math:`b > 0`.
    :support: :math:`x > 0`

    **Reference:** C. Dagum (1977), "A new model of personal income distribution: specification and estimation".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "concentration": constraints.positive,
        "sharpness": constraints.positive,
        "scale": constraints.positive,
    }
    support = constraints.positive
    reparametrized_params = ["concentration", "sharpness", "scale"]

    def __init__(
        self, concentration: ArrayLike, sharpness: ArrayLike, scale: ArrayLike, *, validate_args: bool | None = None
    ) -> None:
        self.concentration, self.sharpness, self.scale = promote_shapes(concentration, sharpness, scale)
        batch_shape = lax.broadcast_shapes(jnp.shape(concentration), jnp.shape(sharpness), jnp.shape(scale))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        surprise = random.exponential(key, sample_shape + self.batch_shape)  # -log F(x)
        tiny = jnp.finfo(surprise.dtype).tiny
        return jnp.maximum(self._quantile(-jnp.maximum(surprise, tiny)), tiny)

    def _quantile(self, log_q: Array) -> Array:
        # F^(1/p) is the logistic function of a log(x/b)
        log_power = log_q / self.concentration
        return self.scale * jnp.exp((log_power - log1mexp(log_power)) / self.sharpness)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        p, a = self.concentration, self.sharpness
        inside = jnp.greater_equal(value, 0)
        z = jnp.where(inside, value, 1) / self.scale
        positive = z > 0
        log_one_more = jnp.where(positive, softplus(a * jnp.log(jnp.where(positive, z, 1))), 0)
        log_density = xlogy(a * p - 1, z) - (p + 1) * log_one_more
        return where_inside(inside, log_density + jnp.log(a) + jnp.log(p / self.scale))

    def cdf(self, value: ArrayLike) -> Array:
        positive = jnp.greater(value, 0)
        log_z = jnp.log(jnp.where(positive, value, 1) / self.scale)
        return jnp.where(positive, jnp.exp(-self.concentration * softplus(-self.sharpness * log_z)), 0)

    def icdf(self, q: ArrayLike) -> Array:
        return self._quantile(jnp.log(jnp.asarray(q, jnp.result_type(float, q))))

    def entropy(self) -> Array:
        # with w = F^(1/p), of distribution Beta(p, 1): E[log w] - E[log(1 - w)] = psi(p) + gamma
        p, a = self.concentration, self.sharpness
        log_moments = (p + 1) * (digamma(p + 1.0) + EULER_GAMMA) - (p - 1 / a) * (digamma(1.0 * p) + EULER_GAMMA)
        return broadcast_to(log_moments - jnp.log(a) - jnp.log(p / self.scale), self.batch_shape)

    def _log_moment(self, order: int, sharpness: ArrayLike) -> Array:
        """The logarithm of ``E[(x / scale)**order]``, for a sharpness above the order."""
        return gammaln(1 - order / sharpness) + gammaln_ratio(self.concentration, order / sharpness)

    @property
    def mean(self) -> Array:
        """Infinite for ``sharpness <= 1``."""
        a = jnp.asarray(self.sharpness)
        mean = self.scale * jnp.exp(self._log_moment(1, jnp.where(a > 1, a, 2)))
        return broadcast_to(jnp.where(a > 1, mean, jnp.inf), self.batch_shape)

    @property
    def mode(self) -> Array:
        p, a = self.concentration, self.sharpness
        return broadcast_to(self.scale * (jnp.maximum(a * p - 1, 0) / (a + 1)) ** (1 / a), self.batch_shape)

    @property
    def variance(self) -> Array:
        """Infinite for ``sharpness <= 2``."""
        a = jnp.asarray(self.sharpness)
        safe = jnp.where(a > 2, a, 3)
        log_mean = self._log_moment(1, safe)
        excess = jnp.expm1(self._log_moment(2, safe) - 2 * log_mean)
        variance = jnp.square(self.scale * jnp.exp(log_mean)) * excess
        return broadcast_to(jnp.where(a > 2, variance, jnp.inf), self.batch_shape)
