"""The soft Laplace distribution."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import LOG_PI, LOG_TWO, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution


class SoftLaplace(Distribution):
    r"""The hyperbolic secant distribution: exponential tails, as the Laplace distribution has, and a smooth centre.

    .. math:: p(x) = \frac{2}{\pi\sigma} \frac{1}{e^z + e^{-z}}, \quad z = \frac{x - \mu}{\sigma}

    :param loc: centre :math:`\mu`.
    :param scale: :math:`\sigma > 0`; the standard deviation is :math:`\pi\sigma/2`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** M. J. Fischer (2014), "Generalized Hyperbolic Secant Distributions", chapter 1.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    reparametrized_params = ["loc", "scale"]

    def __init__(self, loc: ArrayLike, scale: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.loc, self.scale = promote_shapes(loc, scale)
        batch_shape = lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        dtype = jnp.result_type(float)
        smallest = float(jnp.finfo(dtype).tiny)
        return self.icdf(random.uniform(key, sample_shape + self.batch_shape, dtype, minval=smallest))

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        size = jnp.abs((value - self.loc) / self.scale)
        return (LOG_TWO - LOG_PI) - size - jnp.log1p(jnp.exp(-2 * size)) - jnp.log(self.scale)

    def cdf(self, value: ArrayLike) -> Array:
        z = (value - self.loc) / self.scale
        tail = 2 / math.pi * jnp.arctan(jnp.exp(-jnp.abs(z)))
        return jnp.where(z < 0, tail, 1 - tail)

    def icdf(self, q: ArrayLike) -> Array:
        # the distance from the centre by the nearer tail
        q = jnp.asarray(q, jnp.result_type(float, q))
        distance = -jnp.log(jnp.tan(math.pi / 2 * jnp.minimum(q, 1 - q)))
        return self.loc + self.scale * jnp.where(q < 0.5, -distance, distance)

    def entropy(self) -> Array:
        return broadcast_to(LOG_TWO + LOG_PI + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return broadcast_to((math.pi / 2) ** 2 * jnp.square(self.scale), self.batch_shape)
