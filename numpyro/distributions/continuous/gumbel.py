"""The Gumbel distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import EULER_GAMMA, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution

_PI_SQUARED = 9.869604401089358


class Gumbel(Distribution):
    r"""The Gumbel distribution: the limit of the largest of many values.

    .. math:: p(x) = \frac{1}{\beta} \exp(-z - e^{-z}), \quad z = \frac{x - \mu}{\beta}

    :param loc: mode :math:`\mu`.
    :param scale: scale :math:`\beta > 0`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 22.
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
        return self.loc + self.scale * random.gumbel(key, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        z = (value - self.loc) / self.scale
        return -(z + jnp.exp(-z)) - jnp.log(self.scale)

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.exp(-jnp.exp((self.loc - value) / self.scale))

    def icdf(self, q: ArrayLike) -> Array:
        # log(-log(q)), with log1p towards the upper end
        q = jnp.asarray(q, jnp.result_type(float, q))
        log_q = jnp.where(q < 0.5, jnp.log(q), jnp.log1p(-(1 - q)))
        return self.loc - self.scale * jnp.log(-log_q)

    def entropy(self) -> Array:
        return broadcast_to(1 + EULER_GAMMA + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc + self.scale * EULER_GAMMA, self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(_PI_SQUARED / 6 * jnp.square(self.scale), self.batch_shape)
