"""The logistic distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution

_PI_SQUARED = 9.869604401089358


class Logistic(Distribution):
    r"""The logistic distribution.

    .. math:: p(x) = \frac{e^{-z}}{s\,(1 + e^{-z})^2}, \quad z = \frac{x - \mu}{s}

    :param loc: centre :math:`\mu`.
    :param scale: scale :math:`s > 0`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 23.
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
        return self.loc + self.scale * random.logistic(key, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # the density is even in z: with |z| nothing overflows
        distance = jnp.abs((value - self.loc) / self.scale)
        return -(distance + 2 * jnp.log1p(jnp.exp(-distance))) - jnp.log(self.scale)

    def cdf(self, value: ArrayLike) -> Array:
        return expit((value - self.loc) / self.scale)

    def icdf(self, q: ArrayLike) -> Array:
        return self.loc + self.scale * (jnp.log(q) - jnp.log1p(-jnp.asarray(q)))

    def entropy(self) -> Array:
        return broadcast_to(2 + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return broadcast_to(_PI_SQUARED / 3 * jnp.square(self.scale), self.batch_shape)
