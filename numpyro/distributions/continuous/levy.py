"""The Lévy distribution."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import erfc, erfinv, ndtri

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import EULER_GAMMA, HALF_LOG_TWO_PI, LOG_PI, LOG_TWO, broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution


class Levy(Distribution):
    r"""The Lévy distribution: of :math:`\mu + c / z^2`, where :math:`z` is standard normal.

    .. math:: p(x) = \sqrt{\frac{c}{2\pi}} (x - \mu)^{-3/2} \exp\Bigl(-\frac{c}{2 (x - \mu)}\Bigr), \quad x > \mu

    :param loc: lower end :math:`\mu` of the support.
    :param scale: :math:`c > 0`.
    :support: :math:`x > \mu`

    **Reference:** J. P. Nolan (2020), "Univariate Stable Distributions", chapter 1.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: ArrayLike, scale: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.loc, self.scale = promote_shapes(loc, scale)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.greater_than(self.loc)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        normal = random.normal(key, sample_shape + self.batch_shape)
        # a normal draw that rounds to 0 would be infinite, a distance that rounds to 0 at the end of the support
        size = jnp.maximum(jnp.abs(normal), jnp.finfo(normal.dtype).eps)
        draws = self.loc + self.scale / jnp.square(size)
        return jnp.maximum(draws, jnp.nextafter(jnp.asarray(self.loc, draws.dtype), jnp.inf))

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        distance = value - self.loc
        inside = distance > 0
        distance = jnp.where(inside, distance, 1)
        log_density = 0.5 * jnp.log(self.scale) - 1.5 * jnp.log(distance) - 0.5 * self.scale / distance
        return where_inside(inside, log_density - HALF_LOG_TWO_PI)

    def cdf(self, value: ArrayLike) -> Array:
        distance = value - self.loc
        inside = distance > 0
        return jnp.where(inside, erfc(jnp.sqrt(0.5 * self.scale / jnp.where(inside, distance, 1))), 0)

    def icdf(self, q: ArrayLike) -> Array:
        # the normal quantile of 1 - q/2, each half of the range by the function that is exact there
        q = jnp.asarray(q, jnp.result_type(float, q))
        low = q < 0.5
        normal = jnp.where(low, ndtri(0.5 * jnp.where(low, q, 0.5)), math.sqrt(2) * erfinv(1 - jnp.where(low, 0.5, q)))
        return self.loc + self.scale / jnp.square(normal)

    def entropy(self) -> Array:
        return broadcast_to(0.5 * (1 + 3 * EULER_GAMMA + 4 * LOG_TWO + LOG_PI) + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(jnp.full_like(self.loc, jnp.inf, jnp.result_type(float, self.loc)), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.add(self.loc, jnp.divide(self.scale, 3)), self.batch_shape)

    @property
    def variance(self) -> Array:
        return self.mean
