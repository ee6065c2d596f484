r"""Standard distributions, of location 0 and scale 1, as truncation needs them: by the logarithms of both tails.

A truncated density is the density over the mass :math:`Z` between the bounds. Far in a tail both underflow, or cancel.
So all is measured against the density at a point :math:`r` between the bounds, the *reference*, where it is largest:
:math:`\log f(z) - \log f(r)` and :math:`\log M` with :math:`M = Z / f(r) = \int_a^b f(t) / f(r)\, dt` are of moderate
size.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array
from numpyro.distributions._maths import LOG_PI, LOG_TWO, log1p_square, softplus
from numpyro.ops.special import log1mexp

_PI = 3.141592653589793
_NODES, _WEIGHTS = (array * 0.5 for array in np.polynomial.legendre.leggauss(8))
_NODES = _NODES + 0.5  # on the unit interval


class Standard:
    """A standard distribution on the line or on the half line, as a bundle of functions.

    ``theta`` is its shape parameter, ``None`` where it has none; ``z``, ``a < b`` and the reference ``r`` between them
    are points, ``a`` and ``b`` possibly infinite.
    """

    has_kink: ClassVar[bool] = False  # whether the density has one, at 0

    def log_pdf(self, theta: Any, z: Array) -> Array:
        """The logarithm of the density."""
        raise NotImplementedError

    def log_ratio(self, theta: Any, z: Array, r: Array) -> Array:
        """The logarithm of the density at ``z`` over that at ``r``."""
        return self.log_pdf(theta, z) - self.log_pdf(theta, r)

    def log_cdf(self, theta: Any, z: Array) -> Array:
        """The logarithm of the mass below ``z``."""
        raise NotImplementedError

    def log_sf(self, theta: Any, z: Array) -> Array:
        """The logarithm of the mass above ``z``."""
        raise NotImplementedError

    def quantile(self, theta: Any, log_lower: Array, log_upper: Array) -> Array:
        """The point with these logarithms of the masses below and above it, found from the smaller of the two."""
        raise NotImplementedError

    def reference(self, theta: Any, a: Array, b: Array) -> Array:
        """A point in the interval where the density is about as large as anywhere in it."""
        raise NotImplementedError

    def log_mass(self, theta: Any, a: Array, b: Array, r: Array) -> Array:
        """The logarithm of the mass of the interval over the density at ``r``, its reference."""
        raise NotImplementedError

    def masses(self, theta: Any, a: Array, b: Array, r: Array) -> tuple[Array, Array, Array]:
        """The logarithms of the mass below the interval, of ``log_mass`` of it, and of the mass above it."""
        return self.log_cdf(theta, a), self.log_mass(theta, a, b, r), self.log_sf(theta, b)

    def drift(self, theta: Any, z: Array) -> Array:
        """How fast a quantile, now at ``z``, moves with the shape parameter."""
        return jnp.zeros_like(z)

    def narrow_log_mass(self, theta: Any, a: Array, b: Array, r: Array) -> Array:
        """``log_mass`` of an interval over which the density changes little, where a difference of tails would cancel.

        By Gauss-Legendre quadrature, exact to rounding while the logarithm of the density changes by less than 1.
        """
        width = b - a
        points = a[..., None] + width[..., None] * _NODES.astype(a.dtype)
        theta = None if theta is None else jnp.asarray(theta)[..., None]
        ratios = jnp.exp(self.log_ratio(theta, points, r[..., None]))
        return jnp.log(width) + jnp.log(jnp.sum(_WEIGHTS.astype(a.dtype) * ratios, -1))


class Symmetric(Standard):
    """A standard distribution that is symmetric around 0, where its density is largest."""

    def log_cdf(self, theta: Any, z: Array) -> Array:
        return self.log_sf(theta, -z)

    def quantile(self, theta: Any, log_lower: Array, log_upper: Array) -> Array:
        # of a probability that has been rounded to more than one half, one half is meant
        z = self.upper_quantile(theta, jnp.minimum(jnp.minimum(log_lower, log_upper), -LOG_TWO))
        return jnp.where(log_lower < log_upper, -z, z)

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        """The point above which this mass lies, its logarithm being at most ``log(1/2)``."""
        raise NotImplementedError

    def reference(self, theta: Any, a: Array, b: Array) -> Array:
        return jnp.clip(jnp.zeros_like(a), a, b)

    def log_mass(self, theta: Any, a: Array, b: Array, r: Array) -> Array:
        mirrored = a + b < 0
        return self.upper_log_mass(theta, jnp.where(mirrored, -b, a), jnp.where(mirrored, -a, b))

    def upper_log_mass(self, theta: Any, a: Array, b: Array) -> Array:
        """``log_mass`` of an interval with ``a + b >= 0``, whose reference is ``max(a, 0)``."""
        raise NotImplementedError


class StandardCauchy(Symmetric):
    def log_pdf(self, theta: Any, z: Array) -> Array:
        return -log1p_square(z) - LOG_PI

    def log_sf(self, theta: Any, z: Array) -> Array:
        return jnp.log(jnp.arctan2(1.0, z)) - LOG_PI

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        return jnp.where(log_upper == -LOG_TWO, 0.0, 1 / jnp.tan(_PI * jnp.exp(log_upper)))

    def upper_log_mass(self, theta: Any, a: Array, b: Array) -> Array:
        # arctan b - arctan a is the angle of (1 + a b, b - a), here divided by b, which may be infinite
        bounded = jnp.where(jnp.isinf(b), 1.0, b)
        rise = jnp.where(jnp.isinf(b), jnp.where(jnp.isinf(a), 2.0, 1.0), (bounded - a) / bounded)
        return jnp.log(jnp.arctan2(rise, a + 1 / b)) + log1p_square(jnp.maximum(a, 0))


class StandardLaplace(Symmetric):
    has_kink = True

    def log_pdf(self, theta: Any, z: Array) -> Array:
        return -jnp.abs(z) - LOG_TWO

    def log_ratio(self, theta: Any, z: Array, r: Array) -> Array:
        return jnp.abs(r) - jnp.abs(z)

    def log_sf(self, theta: Any, z: Array) -> Array:
        below = jnp.log1p(-0.5 * jnp.exp(jnp.minimum(z, 0)))
        return jnp.where(z > 0, -z - LOG_TWO, below)

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        return -log_upper - LOG_TWO

    def upper_log_mass(self, theta: Any, a: Array, b: Array) -> Array:
        # 1 - exp(-(b - a)) above 0; around it the sum of both sides
        below = jnp.expm1(jnp.minimum(a, 0))
        return jnp.log(-below - jnp.expm1(jnp.maximum(a, 0) - b))


class StandardLogistic(Symmetric):
    def log_pdf(self, theta: Any, z: Array) -> Array:
        size = jnp.abs(z)
        return -size - 2 * jnp.log1p(jnp.exp(-size))

    def log_ratio(self, theta: Any, z: Array, r: Array) -> Array:
        z, r = jnp.abs(z), jnp.abs(r)
        return r - z + 2 * (jnp.log1p(jnp.exp(-r)) - jnp.log1p(jnp.exp(-z)))

    def log_sf(self, theta: Any, z: Array) -> Array:
        return -softplus(z)

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        return log1mexp(log_upper) - log_upper

    def upper_log_mass(self, theta: Any, a: Array, b: Array) -> Array:
        # F(b) - F(a) = (1 - exp(a - b)) / ((1 + exp(a)) (1 + exp(-b)))
        log_odds = log1mexp(a - b) - softplus(-b) - jnp.log1p(jnp.exp(-jnp.abs(a)))
        return log_odds + 2 * jnp.log1p(jnp.exp(-jnp.maximum(a, 0)))


class StandardSoftLaplace(Symmetric):
    """Of density ``2 / pi / (exp(z) + exp(-z))``, the hyperbolic secant distribution."""

    def log_pdf(self, theta: Any, z: Array) -> Array:
        size = jnp.abs(z)
        return (LOG_TWO - LOG_PI) - size - jnp.log1p(jnp.exp(-2 * size))

    def log_ratio(self, theta: Any, z: Array, r: Array) -> Array:
        z, r = jnp.abs(z), jnp.abs(r)
        return r - z + (jnp.log1p(jnp.exp(-2 * r)) - jnp.log1p(jnp.exp(-2 * z)))

    def log_sf(self, theta: Any, z: Array) -> Array:
        above = jnp.maximum(z, 0)
        upper = log_arctan_over(jnp.exp(-above)) - above
        return (LOG_TWO - LOG_PI) + jnp.where(z > 0, upper, jnp.log(jnp.arctan2(1.0, jnp.exp(jnp.minimum(z, 0)))))

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        # -log tan(pi / 2 * exp(log_upper)), where the angle may underflow
        angle = 0.5 * _PI * jnp.exp(log_upper)
        safe = jnp.where(angle < 1e-8, 1.0, angle)
        log_tan_over = jnp.where(angle < 1e-8, 0.0, jnp.log(jnp.tan(safe) / safe))
        return jnp.where(log_upper == -LOG_TWO, 0.0, -(log_tan_over + log_upper + (LOG_PI - LOG_TWO)))

    def upper_log_mass(self, theta: Any, a: Array, b: Array) -> Array:
        # arctan exp(b) - arctan exp(a) = arctan(t exp(-a)) with t = (1 - exp(a - b)) / (1 + exp(-a - b))
        t = -jnp.expm1(a - b) / (1 + jnp.exp(jnp.where(jnp.isinf(a), 0.0, -a - b)))
        above = jnp.maximum(a, 0)
        upper = log_arctan_over(t * jnp.exp(-above)) + jnp.log(t) + jnp.log1p(jnp.exp(-2 * above))
        around = jnp.log(jnp.arctan(t * jnp.exp(-jnp.minimum(a, 0)))) + LOG_TWO
        return jnp.where(a > 0, upper, around)


def log_arctan_over(x: Array) -> Array:
    """``log(arctan(x) / x)``, 0 at 0."""
    small = jnp.abs(x) < 1e-8
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 0.0, jnp.log(jnp.arctan(safe) / safe))


def finite_or(x: Array, other: Array) -> tuple[Array, Array]:
    """Whether ``x`` is finite, and ``x`` with ``other`` in place of what is not."""
    finite = lax.is_finite(x)
    return finite, jnp.where(finite, x, other)
