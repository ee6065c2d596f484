"""The Pareto distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.continuous.exponential import Exponential
from numpyro.distributions.distribution import TransformedDistribution
from numpyro.distributions.transforms import AffineTransform, ExpTransform


class Pareto(TransformedDistribution):
    r"""The Pareto distribution, a power law above a threshold.

    .. math:: p(x) = \frac{\alpha m^\alpha}{x^{\alpha + 1}}, \quad x > m

    It is the distribution of :math:`m e^t` where :math:`t` is exponential with rate :math:`\alpha`.

    :param scale: threshold :math:`m > 0`.
    :param alpha: index :math:`\alpha > 0`.
    :support: :math:`x > m`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1994), "Continuous Univariate Distributions", volume 1,
    chapter 20.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"scale": constraints.positive, "alpha": constraints.positive}
    reparametrized_params = ["scale", "alpha"]

    def __init__(self, scale: ArrayLike, alpha: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = promote_shapes(scale, alpha)
        to_threshold = AffineTransform(0.0, self.scale, domain=constraints.greater_than(1.0))
        base = Exponential(self.alpha, validate_args=False)
        super().__init__(base, [ExpTransform(), to_threshold], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.greater_than(self.scale)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        inside = jnp.greater_equal(value, self.scale)
        value = jnp.where(inside, value, self.scale)
        return where_inside(inside, jnp.log(self.alpha / value) - self.alpha * jnp.log(value / self.scale))

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1(-self.alpha * jnp.log(jnp.maximum(value, self.scale) / self.scale))

    def icdf(self, q: ArrayLike) -> Array:
        return self.scale * jnp.exp(-jnp.log1p(-jnp.asarray(q)) / self.alpha)

    def entropy(self) -> Array:
        return broadcast_to(jnp.log(self.scale / self.alpha) + 1 / self.alpha + 1, self.batch_shape)

    @property
    def mean(self) -> Array:
        """Infinite for ``alpha <= 1``."""
        above = jnp.where(jnp.greater(self.alpha, 1), self.alpha, 2)
        mean = jnp.where(jnp.greater(self.alpha, 1), self.scale * above / (above - 1), jnp.inf)
        return broadcast_to(mean, self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.scale, self.batch_shape)

    @property
    def variance(self) -> Array:
        """Infinite for ``alpha <= 2``."""
        above = jnp.where(jnp.greater(self.alpha, 2), self.alpha, 3)
        variance = jnp.square(self.scale / (above - 1)) * above / (above - 2)
        return broadcast_to(jnp.where(jnp.greater(self.alpha, 2), variance, jnp.inf), self.batch_shape)
