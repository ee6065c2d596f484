"""Symmetric distributions of angles, made asymmetric by a sine."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.directional.von_mises import wrap_angle
from numpyro.distributions.distribution import Distribution


class SineSkewed(Distribution):
    r"""A distribution of angles that is point symmetric around its mean, skewed by sines.

    .. math:: p(x) = p_0(x) \Bigl(1 + \sum_i \lambda_i \sin(x_i - \mu_i)\Bigr)

    :param base_dist: distribution :math:`p_0` of vectors of :math:`d` angles, of mean :math:`\mu`, with
        :math:`p_0(\mu + x) = p_0(\mu - x)`; say ``VonMises(loc, concentration).to_event(1)``,
        :class:`SineBivariateVonMises`, or a uniform distribution.
    :param skewness: :math:`\lambda`, of shape ``(..., d)``; the absolute values add up to at most 1.
    :support: :math:`x \in [-\pi, \pi]^d`
    :raises ValueError: when events of ``base_dist`` are no vectors of the size of ``skewness``.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> base = dist.VonMises(jnp.zeros(2), 3.0).to_event(1)
    >>> d = dist.SineSkewed(base, jnp.array([0.7, -0.2]))
    >>> value = jnp.array([0.5, 0.1])
    >>> round(float(d.log_prob(value) - base.log_prob(value)), 4)
    0.2743

    **Reference:** J. Ameijeiras-Alonso, C. Ley (2022), "Sine-skewed toroidal distributions and their application in
    protein bioinformatics".
    """

    __module__ = "numpyro.distributions.directional"
    arg_constraints = {"skewness": constraints.l1_ball}
    support = constraints.independent(constraints.circular, 1)
    pytree_data_fields = ("base_dist",)
    _reasons = {
        "variance": "it takes means of sin(x_i) sin(x_j), which base distributions do not tell; estimate it by draws",
        "entropy": "the mean of log(1 + sum_i skewness_i sin(x_i - mean_i)) has no closed form",
    }

    def __init__(self, base_dist: Distribution, skewness: ArrayLike, *, validate_args: bool | None = None) -> None:
        shape = jnp.shape(skewness)
        if base_dist.event_dim != 1 or shape[-1:] != base_dist.event_shape:
            raise UsageError(
                "SineSkewed expected one `skewness` for each of the angles of a vector, but `skewness` has shape "
                f"{shape} and {type(base_dist).__name__} event shape {base_dist.event_shape}. Make a vector of single "
                "angles by base_dist.to_event(1)."
            )
        batch_shape = lax.broadcast_shapes(shape[:-1], base_dist.batch_shape)
        self.base_dist = base_dist.expand(batch_shape)
        (self.skewness,) = promote_shapes(skewness, shape=batch_shape + base_dist.event_shape)
        super().__init__(batch_shape=batch_shape, event_shape=base_dist.event_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_base, key_side = random.split(key)
        x = self.base_dist.sample(key_base, sample_shape)
        # of a point and its mirror image, the one with a probability in the ratio of their densities
        u = random.uniform(key_side, x.shape[:-1], x.dtype)
        stays = 2 * u < 1 + self._tilt(x)
        return wrap_angle(jnp.where(stays[..., None], x, 2 * self.base_dist.mean - x))

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        # the sum may be rounded below -1
        return self.base_dist.log_prob(value) + jnp.log1p(jnp.maximum(self._tilt(value), -1))

    def _tilt(self, value: ArrayLike) -> Array:
        return jnp.sum(self.skewness * jnp.sin(value - self.base_dist.mean), -1)

    @property
    def mean(self) -> Array:
        """The mean of the base distribution, around which it was symmetric."""
        return broadcast_to(self.base_dist.mean, self.shape())
