"""The normal distribution over arrays that sum to zero."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.continuous.normal import Normal
from numpyro.distributions.distribution import TransformedDistribution
from numpyro.distributions.transforms import ZeroSumTransform


class ZeroSumNormal(TransformedDistribution):
    r"""Normal numbers given that they sum to zero along each dimension of an event of :math:`n_1 \times n_2 \dots`.

    .. math:: p(x) = \prod_{i=1}^{m} \frac{1}{\sqrt{2\pi}\sigma} e^{-z_i^2 / 2\sigma^2}, \quad
        m = \prod_j (n_j - 1), \quad |z| = |x|

    where :math:`z` are coordinates of the subspace in an orthonormal basis. The variance of a component is
    :math:`\sigma^2 \prod_j (1 - 1/n_j)`.

    :param scale: :math:`\sigma > 0`, of the batch shape.
    :param event_shape: shape of one event.
    :support: :math:`x \in \mathbb{R}^{n_1 \times n_2 \times \dots}` with sum zero along each dimension
    :raises TypeError: when ``event_shape`` is no tuple.

    **Reference:** H. Rue, L. Held (2005), "Gaussian Markov Random Fields", chapter 2.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"scale": constraints.positive}
    reparametrized_params = ["scale"]

    def __init__(self, scale: ArrayLike, event_shape: Shape, *, validate_args: bool | None = None) -> None:
        if not isinstance(event_shape, (tuple, list)):
            raise TypeError(
                f"ZeroSumNormal: `event_shape` must be a tuple of integers, such as (3,); got {event_shape!r}."
            )
        ndims = len(event_shape)
        self.scale: Any = scale
        batch_shape = jnp.shape(scale)
        wide_scale = jnp.reshape(scale, batch_shape + (1,) * ndims) if batch_shape and ndims else scale
        free = Normal(0.0, wide_scale, validate_args=False).expand((*batch_shape, *(n - 1 for n in event_shape)))
        super().__init__(free.to_event(ndims), ZeroSumTransform(ndims), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.zero_sum(self.event_dim)

    def _freedom(self) -> int:
        return math.prod(n - 1 for n in self.event_shape)

    def _wide_scale(self) -> Array:
        return jnp.expand_dims(self.scale, tuple(range(-self.event_dim, 0)))

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        # the transform keeps lengths
        squares = jnp.sum(jnp.square(value / self._wide_scale()), tuple(range(-self.event_dim, 0)))
        return -0.5 * squares - self._freedom() * (jnp.log(self.scale) + HALF_LOG_TWO_PI)

    def entropy(self) -> Array:
        return broadcast_to(self._freedom() * (0.5 + HALF_LOG_TWO_PI + jnp.log(self.scale)), self.batch_shape)

    @property
    def mean(self) -> Array:
        return jnp.zeros(self.shape(), jnp.result_type(float, self.scale))

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        share = math.prod(1 - 1 / n for n in self.event_shape)
        return broadcast_to(share * jnp.square(self._wide_scale()), self.shape())
