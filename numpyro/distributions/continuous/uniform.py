"""The continuous uniform distribution."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, check_order, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence


class Uniform(Distribution):
    r"""The uniform distribution on an interval.

    .. math:: p(x) = \frac{1}{b - a}, \quad a \le x \le b

    :param low: lower end :math:`a`.
    :param high: upper end :math:`b > a`.
    :support: :math:`a \le x \le b`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 26.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }
    reparametrized_params = ["low", "high"]

    def __init__(self, low: ArrayLike = 0.0, high: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.low, self.high = promote_shapes(low, high)
        batch_shape = lax.broadcast_shapes(jnp.shape(low), jnp.shape(high))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_order(self, self.low, self.high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        # a weighted mean of the ends: the width of an interval may overflow where its ends do not
        weight = random.uniform(key, sample_shape + self.batch_shape)
        return jnp.clip((1 - weight) * self.low + weight * self.high, self.low, self.high)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        return where_inside((value >= self.low) & (value <= self.high), -jnp.log(self.high - self.low))

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.clip((value - self.low) / (self.high - self.low), 0.0, 1.0)

    def icdf(self, q: ArrayLike) -> Array:
        return self.low + q * (self.high - self.low)

    def entropy(self) -> Array:
        return broadcast_to(jnp.log(self.high - self.low), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(0.5 * self.low + 0.5 * self.high, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(jnp.square(self.high - self.low) / 12.0, self.batch_shape)


@kl_divergence.register(Uniform, Uniform)
def _kl_uniform_uniform(p: Uniform, q: Uniform) -> Array:
    r""":math:`\log\frac{b' - a'}{b - a}` if :math:`[a, b] \subseteq [a', b']`, else :math:`\infty`."""
    inside = (p.low >= q.low) & (p.high <= q.high)
    return jnp.where(inside, jnp.log((q.high - q.low) / (p.high - p.low)), jnp.inf)
