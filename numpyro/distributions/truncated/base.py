"""What all truncated families share, whichever ends they have: the maths of an interval, for a base distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions._maths import broadcast_to
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.truncated import interval
from numpyro.distributions.truncated.families import standard_points, standardize
from numpyro.distributions.truncated.order import check_order
from numpyro.distributions.truncated.standard import Standard


class Truncated(Distribution):
    r"""A univariate distribution, given that it lies between two bounds.

    .. math:: p(x) = \frac{f(x)}{F(b) - F(a)}, \quad a \le x \le b

    where :math:`f` and :math:`F` are density and cdf of the base distribution. A subclass says which base
    distributions it supports, and which of the bounds are parameters. Everything holds far into the tails, where the
    mass between the bounds underflows.
    """

    supported_types: ClassVar[tuple[type, ...]] = ()
    pytree_data_fields = ("base_dist",)
    base_dist: Any
    low: Any = -np.inf
    high: Any = np.inf

    def __init__(self, base_dist: Distribution, validate_args: bool | None = None, **bounds: ArrayLike) -> None:
        if not isinstance(base_dist, self.supported_types):
            raise UsageError(self._unsupported(base_dist))
        self.base_dist = base_dist
        batch_shape = lax.broadcast_shapes(base_dist.batch_shape, *map(jnp.shape, bounds.values()))
        names = tuple(bounds)
        for name, bound in zip(names, promote_shapes(*bounds.values(), shape=batch_shape), strict=True):
            setattr(self, name, bound)
        super().__init__(batch_shape, validate_args=validate_args)

    def _unsupported(self, base_dist: Any) -> str:
        names = ", ".join(sorted(family.__name__ for family in self.supported_types))
        return (
            f"{type(base_dist).__name__} is not supported by {type(self).__name__}, which truncates {names}. Expand, "
            "mask or call to_event after truncating; for a Gamma base distribution use "
            "numpyro.distributions.TruncatedGamma."
        )

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_order(self)

    def _interval(self, *values: ArrayLike) -> tuple[Standard, Any, list[Array], Any]:
        """Standard distribution, shape parameter, standardised low, high and values in one shape, and scale."""
        family, theta, loc, scale = standardize(self.base_dist)
        return family, theta, standard_points(loc, scale, self.low, self.high, *values), scale

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        dtype = jnp.result_type(float)
        # midpoints of the steps of uniform draws: neither 0 nor 1, so that both ends are treated alike
        u = random.uniform(key, sample_shape + self.batch_shape, dtype) + float(jnp.finfo(dtype).eps) / 2
        return self.icdf(u)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, self.low) & jnp.less_equal(value, self.high)
        family, theta, (a, b), scale = self._interval()
        r = interval.reference(family, theta, a, b)
        z = (value - standardize(self.base_dist)[2]) / scale
        log_density = interval.log_density(family, theta, a, b, jnp.where(inside, z, r)) - jnp.log(scale)
        return jnp.where(inside, log_density, -jnp.inf)

    def cdf(self, value: ArrayLike) -> Array:
        family, theta, (a, b, z), _ = self._interval(value)
        return interval.probability(family, theta, a, b, z)

    def icdf(self, q: ArrayLike) -> Array:
        family, theta, (a, b), scale = self._interval()
        shape = lax.broadcast_shapes(jnp.shape(q), self.batch_shape)
        q = jnp.broadcast_to(jnp.asarray(q, a.dtype), shape)
        a, b = jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape)
        z = interval.quantile(family, theta, a, b, q, 1 - q)
        return jnp.clip(standardize(self.base_dist)[2] + scale * z, self.low, self.high)

    def _nodes(self) -> tuple[Array, Array, Array]:
        """Standardised points and their weights in an expectation, along a last dimension, and scale."""
        family, theta, (a, b), scale = self._interval()
        return *interval.nodes(family, theta, a, b), scale

    def entropy(self) -> Array:
        family, theta, (a, b), scale = self._interval()
        points, weights = interval.nodes(family, theta, a, b)
        theta = None if theta is None else jnp.asarray(theta)[..., None]
        log_density = interval.log_density(family, theta, a[..., None], b[..., None], points)
        # quantiles that underflow to where the density is infinite have next to no weight
        log_density = jnp.where(jnp.isfinite(log_density), log_density, 0)
        return broadcast_to(jnp.log(scale) - jnp.sum(weights * log_density, -1), self.batch_shape)

    @property
    def mean(self) -> Array:
        points, weights, scale = self._nodes()
        mean = standardize(self.base_dist)[2] + scale * jnp.sum(weights * points, -1)
        return broadcast_to(self._infinite_beyond(1, mean), self.batch_shape)

    @property
    def variance(self) -> Array:
        points, weights, scale = self._nodes()
        deviations = points - jnp.sum(weights * points, -1, keepdims=True)
        variance = jnp.square(scale) * jnp.sum(weights * jnp.square(deviations), -1)
        return broadcast_to(self._infinite_beyond(2, variance), self.batch_shape)

    def _infinite_beyond(self, order: int, moment: Array) -> Array:
        """The moment of this order; where it does not exist, an infinity."""
        return moment
