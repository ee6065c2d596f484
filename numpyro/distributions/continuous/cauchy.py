"""The Cauchy distribution, and the half Cauchy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import LOG_PI, LOG_TWO, broadcast_to, log1p_square, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence

_PI = 3.141592653589793


class Cauchy(Distribution):
    r"""The Cauchy (Lorentz) distribution.

    .. math:: p(x) = \frac{1}{\pi\gamma\,(1 + ((x - x_0)/\gamma)^2)}

    :param loc: median :math:`x_0`.
    :param scale: half the width at half the maximum, :math:`\gamma > 0`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 16.
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
        return self.loc + self.scale * random.cauchy(key, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        return -log1p_square((value - self.loc) / self.scale) - (jnp.log(self.scale) + LOG_PI)

    def cdf(self, value: ArrayLike) -> Array:
        # arctan2(1, -z) / pi counts from the lower tail, where 1/2 + arctan(z) / pi would cancel
        return jnp.arctan2(1.0, (self.loc - value) / self.scale) / _PI

    def icdf(self, q: ArrayLike) -> Array:
        # tan(pi (q - 1/2)) = -1 / tan(pi q), from the nearer end
        q = jnp.asarray(q, jnp.result_type(float, q))
        lower = -1 / jnp.tan(_PI * jnp.minimum(q, 0.5))
        upper = 1 / jnp.tan(_PI * (1 - jnp.maximum(q, 0.5)))
        return self.loc + self.scale * jnp.where(q == 0.5, 0.0, jnp.where(q < 0.5, lower, upper))

    def entropy(self) -> Array:
        return broadcast_to(jnp.log(self.scale) + (LOG_PI + 2 * LOG_TWO), self.batch_shape)

    @property
    def mean(self) -> Array:
        """Not a number: the integral does not exist."""
        return jnp.full(self.batch_shape, jnp.nan)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        """Not a number: the integral does not exist."""
        return jnp.full(self.batch_shape, jnp.nan)


class HalfCauchy(Distribution):
    r"""The distribution of the absolute value of a centred Cauchy variable.

    .. math:: p(x) = \frac{2}{\pi\gamma\,(1 + (x/\gamma)^2)}, \quad x > 0

    :param scale: median :math:`\gamma > 0`.
    :support: :math:`x > 0`

    **Reference:** A. Gelman (2006), "Prior distributions for variance parameters in hierarchical models".
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
        return self.scale * jnp.abs(random.cauchy(key, sample_shape + self.batch_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        log_density = -log1p_square(value / self.scale) - (jnp.log(self.scale) + (LOG_PI - LOG_TWO))
        return where_inside(jnp.greater_equal(value, 0), log_density)

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.arctan(jnp.maximum(value, 0) / self.scale) * (2 / _PI)

    def icdf(self, q: ArrayLike) -> Array:
        q = jnp.asarray(q, jnp.result_type(float, q))
        lower = jnp.tan(0.5 * _PI * jnp.minimum(q, 0.5))
        upper = 1 / jnp.tan(0.5 * _PI * (1 - jnp.maximum(q, 0.5)))
        return self.scale * jnp.where(q < 0.5, lower, upper)

    def entropy(self) -> Array:
        return broadcast_to(jnp.log(self.scale) + (LOG_PI + LOG_TWO), self.batch_shape)

    @property
    def mean(self) -> Array:
        """Infinite."""
        return jnp.full(self.batch_shape, jnp.inf)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.zeros_like(self.scale), self.batch_shape)

    @property
    def variance(self) -> Array:
        """Infinite."""
        return jnp.full(self.batch_shape, jnp.inf)


@kl_divergence.register(Cauchy, Cauchy)
def _kl_cauchy_cauchy(p: Cauchy, q: Cauchy) -> Array:
    r""":math:`\log\frac{(\gamma + \gamma')^2 + (x_0 - x_0')^2}{4 \gamma \gamma'}`."""
    # ((s + t)^2 + (a - b)^2) / (4 s t) = 1 + ((s - t)^2 + (a - b)^2) / (4 s t); Chyzak and Nielsen (2019)
    squares = jnp.square(p.scale - q.scale) + jnp.square(p.loc - q.loc)
    return jnp.log1p(squares / (4 * p.scale * q.scale))
