"""The Laplace distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import LOG_TWO, broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence


class Laplace(Distribution):
    r"""The Laplace (double exponential) distribution.

    .. math:: p(x) = \frac{1}{2b} \exp\Bigl(-\frac{|x - \mu|}{b}\Bigr)

    :param loc: centre :math:`\mu`.
    :param scale: mean distance from the centre, :math:`b > 0`.
    :support: :math:`x \in \mathbb{R}`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 24.
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
        return self.loc + self.scale * random.laplace(key, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        return -jnp.abs((value - self.loc) / self.scale) - (jnp.log(self.scale) + LOG_TWO)

    def cdf(self, value: ArrayLike) -> Array:
        z = (value - self.loc) / self.scale
        tail = 0.5 * jnp.exp(-jnp.abs(z))
        return jnp.where(z < 0, tail, 1 - tail)

    def icdf(self, q: ArrayLike) -> Array:
        # the distance from the centre by the nearer tail
        q = jnp.asarray(q, jnp.result_type(float, q))
        return self.loc + self.scale * jnp.sign(0.5 - q) * jnp.log(2 * jnp.minimum(q, 1 - q))

    def entropy(self) -> Array:
        return broadcast_to(1 + LOG_TWO + jnp.log(self.scale), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.loc, self.batch_shape)

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return broadcast_to(2 * jnp.square(self.scale), self.batch_shape)


@kl_divergence.register(Laplace, Laplace)
def _kl_laplace_laplace(p: Laplace, q: Laplace) -> Array:
    r""":math:`\log\frac{b'}{b} + \frac{b\, e^{-|\mu - \mu'| / b} + |\mu - \mu'|}{b'} - 1`."""
    distance = jnp.abs(p.loc - q.loc)
    ratio = (p.scale * jnp.exp(-distance / p.scale) + distance) / q.scale
    return jnp.log(q.scale / p.scale) + ratio - 1
