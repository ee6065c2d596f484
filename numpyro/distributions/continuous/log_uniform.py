"""The log-uniform distribution."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_order, validate_sample
from numpyro.distributions.continuous.uniform import Uniform
from numpyro.distributions.distribution import TransformedDistribution
from numpyro.distributions.transforms import ExpTransform


class LogUniform(TransformedDistribution):
    r"""The distribution of a positive number whose logarithm is uniform, also called reciprocal.

    .. math:: p(x) = \frac{1}{x \log(b / a)}, \quad a \le x \le b

    :param low: lower end :math:`a > 0`.
    :param high: upper end :math:`b > a`.
    :support: :math:`a \le x \le b`

    **Reference:** R. W. Hamming (1970), "On the distribution of numbers".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"low": constraints.positive, "high": constraints.positive}
    reparametrized_params = ["low", "high"]

    def __init__(self, low: ArrayLike, high: ArrayLike, *, validate_args: bool | None = None) -> None:
        self.low, self.high = promote_shapes(low, high)
        base = Uniform(_log(self.low), _log(self.high), validate_args=False)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        super().validate_args(strict)
        check_order(self, self.low, self.high)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:  # type: ignore[override]
        return constraints.interval(self.low, self.high)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        # the exponential of a rounded logarithm may lie beyond the end that it came from
        return jnp.clip(super().sample(key, sample_shape), self.low, self.high)

    def rsample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.sample(key, sample_shape)

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Any]]:
        return self.sample(key, sample_shape), []

    def _log_ratio(self, high: ArrayLike | None = None) -> Array:
        """The logarithm of ``high`` by ``self.low``, also where the two are close, or their ratio overflows."""
        low, high = jnp.asarray(self.low), jnp.asarray(self.high if high is None else high)
        wide = high > 2 * low
        return jnp.where(wide, jnp.log(high) - jnp.log(low), jnp.log1p(jnp.where(wide, 0, high - low) / low))

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        inside = jnp.greater_equal(value, self.low) & jnp.less_equal(value, self.high)
        return where_inside(inside, -jnp.log(jnp.where(inside, value, 1)) - jnp.log(self._log_ratio()))

    def cdf(self, value: ArrayLike) -> Array:
        return self._log_ratio(jnp.clip(value, self.low, self.high)) / self._log_ratio()

    def icdf(self, q: ArrayLike) -> Array:
        return jnp.clip(self.low * jnp.exp(q * self._log_ratio()), self.low, self.high)

    def entropy(self) -> Array:
        half = 0.5 * self._log_ratio()
        return broadcast_to(jnp.log(self.low) + half + jnp.log(2 * half), self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to((self.high - self.low) / self._log_ratio(), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(self.low, self.batch_shape)

    @property
    def variance(self) -> Array:
        # with h = log(b/a) / 2: a b s (cosh(h) - s), where s = sinh(h) / h is the mean by the geometric mean
        half = 0.5 * self._log_ratio()
        mean = self.mean
        size = jnp.square(half)
        small = half < 1
        # cosh(h) - sinh(h) / h = sum over k of 2 k h^(2 k) / (2 k + 1)!
        y = jnp.where(small, size, 0)
        series = sum(2 * k / math.factorial(2 * k + 1) * y**k for k in range(1, 9))
        h = jnp.where(small, 1, half)
        difference = jnp.where(small, series, jnp.cosh(h) - jnp.sinh(h) / h)
        return broadcast_to(mean * jnp.sqrt(self.low) * jnp.sqrt(self.high) * difference, self.batch_shape)


def _log(x: Any) -> Any:
    """Logarithm, by numpy of what is not on a device."""
    if isinstance(x, jax.Array):
        return jnp.log(x)
    with np.errstate(all="ignore"):
        return np.log(x)
