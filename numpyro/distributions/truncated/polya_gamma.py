"""The Polya-gamma distribution PG(1, 0) below a bound that few draws exceed."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.scipy.special import erfc, ndtri

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, LOG_PI
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution

_PI = 3.141592653589793
_SQRT_HALF = 0.7071067811865476
_BEYOND = 5.584916780500388e-06  # the mass of PG(1, 0) above 2.5, then moments of what is below
_MEAN = 0.24998630211998487
_VARIANCE = 0.041633073844426054
_SWITCH = 0.16  # the series in exp(-1 / x) serves below, that in exp(-x) above


class TruncatedPolyaGamma(Distribution):
    r"""The Polya-gamma distribution PG(1, 0), given that it is at most 2.5.

    .. math:: p(x) \propto \sum_{n \ge 0} (-1)^n \frac{2n + 1}{\sqrt{2\pi x^3}}\, e^{-(2n + 1)^2 / 8x},
        \quad 0 < x \le 2.5

    :param batch_shape: shape of the batch; default ``()``.
    :support: :math:`0 < x \le 2.5`

    **Reference:** N. Polson, J. Scott, J. Windle (2013), "Bayesian inference for logistic models using Polya-gamma
    latent variables".
    """

    __module__ = "numpyro.distributions.truncated"
    arg_constraints = {}
    truncation_point: ClassVar[float] = 2.5
    num_log_prob_terms: ClassVar[int] = 7
    num_gamma_variates: ClassVar[int] = 8  # of a sum that approximates a draw; draws here are by exact inversion
    support = constraints.interval(0.0, truncation_point)

    def __init__(self, batch_shape: Shape = (), *, validate_args: bool | None = None) -> None:
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        dtype = jnp.result_type(float)
        u = random.uniform(key, sample_shape + self.batch_shape, dtype)
        return self.icdf(u + float(jnp.finfo(dtype).eps) / 2)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value = jnp.asarray(value)
        inside = (value > 0) & (value <= self.truncation_point)
        log_density = self._log_density(jnp.where(inside, value, _SWITCH)) - float(np.log1p(-_BEYOND))
        log_density = jnp.where(inside, log_density, -jnp.inf)
        return jnp.broadcast_to(log_density, lax.broadcast_shapes(value.shape, self.batch_shape))

    def _log_density(self, x: Array) -> Array:
        """That of PG(1, 0), from the series of which the first term dominates."""
        below = jnp.minimum(x, _SWITCH)
        near = -0.125 / below - 1.5 * jnp.log(below) - HALF_LOG_TWO_PI + jnp.log(self._series(1 / below / 8, 1))
        above = jnp.maximum(x, _SWITCH)
        rate = 0.5 * _PI**2 * above
        far = -rate + jnp.log(self._series(rate, 1)) + (LOG_PI + 0.6931471805599453)
        return jnp.where(x < _SWITCH, near, far)

    def _series(self, rate: Array, power: int) -> Array:
        """The sum of ``(-1)^n (2n + 1)^power exp(-((2n + 1)^2 - 1) rate)``."""
        odd = [2 * n + 1 for n in range(self.num_log_prob_terms)]
        terms = ((-1) ** n * float(m) ** power * jnp.exp(-(m * m - 1) * rate) for n, m in enumerate(odd))
        return sum(terms, start=jnp.zeros_like(rate))

    def _lower(self, x: Array) -> Array:
        """The mass of PG(1, 0) below ``x``, for small ``x``."""
        root = _SQRT_HALF / jnp.sqrt(4 * x)
        return 2 * sum((-1) ** n * erfc((2 * n + 1) * root) for n in range(self.num_log_prob_terms))

    def _upper(self, x: Array) -> Array:
        """The mass of PG(1, 0) above ``x``, for large ``x``."""
        rate = 0.5 * _PI**2 * x
        return (4 / _PI) * jnp.exp(-rate) * self._series(rate, -1)

    def cdf(self, value: ArrayLike) -> Array:
        x = jnp.clip(jnp.asarray(value, jnp.result_type(float, value)), 0, self.truncation_point)
        below = self._lower(jnp.clip(x, 1e-12, _SWITCH))
        above = 1 - self._upper(jnp.maximum(x, _SWITCH))
        share = jnp.where(x < _SWITCH, below, above) / (1 - _BEYOND)
        share = jnp.where(x <= 0, 0.0, jnp.where(x >= self.truncation_point, 1.0, share))
        return jnp.broadcast_to(share, lax.broadcast_shapes(x.shape, self.batch_shape))

    def icdf(self, q: ArrayLike) -> Array:
        q = jnp.asarray(q, jnp.result_type(float, q))
        q = jnp.broadcast_to(q, lax.broadcast_shapes(q.shape, self.batch_shape))
        lower = jnp.clip(q, jnp.finfo(q.dtype).tiny, 0.5) * (1 - _BEYOND)
        upper = jnp.clip(1 - q, 0, 0.9) * (1 - _BEYOND) + _BEYOND
        # roots of the first terms, 4 ndtr(-1 / sqrt(4 x)) and 4 / pi * exp(-pi^2 x / 2), good to three digits
        near = 0.25 / jnp.square(ndtri(0.25 * lower))
        far = (2 / _PI**2) * jnp.log(4 / (_PI * upper))
        for _ in range(3):  # Newton's method on the logarithm of the mass
            mass, log_density = self._lower(near), self._log_density(near)
            step = jnp.log(mass / lower) * jnp.exp(jnp.log(mass) - log_density)
            near = jnp.clip(near - step, 0.5 * near, 2 * near)
            mass, log_density = self._upper(far), self._log_density(far)
            far = far + jnp.log(mass / upper) * jnp.exp(jnp.log(mass) - log_density)
        x = jnp.clip(jnp.where(q < 0.3, near, far), 0, self.truncation_point)
        return jnp.where(
            (q >= 0) & (q <= 1), jnp.where(q == 0, 0.0, jnp.where(q == 1, self.truncation_point, x)), jnp.nan
        )

    @property
    def mean(self) -> Array:
        return jnp.full(self.batch_shape, _MEAN)

    @property
    def variance(self) -> Array:
        return jnp.full(self.batch_shape, _VARIANCE)
