"""The standard normal distribution by its tails, from Mills' ratio."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import erf, ndtri

from numpyro._typing import Array
from numpyro.distributions._maths import HALF_LOG_TWO_PI
from numpyro.distributions.truncated.standard import Symmetric

# Of (1 + z) times Mills' ratio in t = (z - 4) / (z + 4), which maps the half line to [-1, 1]: computed with 50 digits.
# For single precision the first 14 suffice.
_CHEBYSHEV = (
    *(1.1670525350882472, -0.1610195767134654, -0.028002821825452974, 0.03167452189239266, -0.012103231162345369),
    *(0.0027056129762167095, -0.00029931636202703166, -1.716686526879361e-05, 1.0178489264109868e-05),
    *(-4.894829570004192e-07, -2.844006500151048e-07, 3.0766283713811506e-08, 9.180378674469537e-09),
    *(-1.2756102213808737e-09, -3.660279376104134e-10, 4.5926359348595205e-11, 1.7189314687646526e-11),
    *(-1.2726833698700693e-12, -8.668081913316188e-13, 1.1061557204136741e-15, 4.2750210770103334e-14),
    *(3.790937692263904e-15, -1.8474103010592332e-15, -4.0419094130708177e-16, 5.340854385017358e-17),
    2.941479937590055e-17,
)
_SQRT_HALF = 0.7071067811865476
_LOG_SQRT_HALF_PI = 0.22579135264472744


def mills_ratio(z: Array) -> Array:
    r"""The mass above :math:`z \ge 0` over the density there, to within rounding.

    Reference: M. Shepherd, J. Laframboise (1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", whose map of
    the half line to an interval is used here with another constant.
    """
    terms = _CHEBYSHEV if z.dtype == jnp.float64 else _CHEBYSHEV[:14]
    t = 1 - 8 / (z + 4)
    last = before = jnp.zeros_like(z)
    for coefficient in terms[:0:-1]:  # Clenshaw's recurrence
        last, before = 2 * t * last - before + coefficient, last
    return (t * last - before + terms[0]) / (1 + z)


class StandardNormal(Symmetric):
    def log_pdf(self, theta: Any, z: Array) -> Array:
        return -0.5 * lax.square(z) - HALF_LOG_TWO_PI

    def log_ratio(self, theta: Any, z: Array, r: Array) -> Array:
        return -0.5 * (z - r) * (z + r)

    def log_sf(self, theta: Any, z: Array) -> Array:
        size = jnp.abs(z)
        log_tail = -0.5 * lax.square(size) - HALF_LOG_TWO_PI + jnp.log(mills_ratio(size))
        return jnp.where(z > 0, log_tail, jnp.log1p(-jnp.exp(log_tail)))

    def upper_quantile(self, theta: Any, log_upper: Array) -> Array:
        least = -80.0 if log_upper.dtype == jnp.float32 else -650.0
        near = -ndtri(jnp.exp(jnp.maximum(log_upper, least)))
        # beyond, Newton's method on z^2 / 2 - log(mills_ratio(z)) = target, whose slope is 1 / mills_ratio(z)
        target = -jnp.minimum(log_upper, least) - HALF_LOG_TWO_PI
        far = jnp.sqrt(2 * target - jnp.log(2 * target))
        for _ in range(2):
            ratio = _far_mills_ratio(far)
            far = far - ratio * (0.5 * lax.square(far) - jnp.log(ratio) - target)
        far = jnp.where(jnp.isneginf(log_upper), jnp.inf, far)
        return jnp.where(log_upper < least, far, near)

    def upper_log_mass(self, theta: Any, a: Array, b: Array) -> Array:
        above = jnp.maximum(a, 0)
        log_fall = self.log_ratio(theta, b, above)
        # differences of tails in units of the density at a, for a > 0
        difference = jnp.log(mills_ratio(above) - jnp.exp(log_fall) * mills_ratio(jnp.maximum(b, 0)))
        is_narrow = (b - above) * (1 + above) < 1
        narrow = self.narrow_log_mass(theta, jnp.where(is_narrow, above, 0.0), jnp.where(is_narrow, b, 1.0), above)
        around = jnp.log(erf(_SQRT_HALF * b) + erf(-_SQRT_HALF * a)) + _LOG_SQRT_HALF_PI
        return jnp.where(a < 0, around, jnp.where(is_narrow, narrow, difference))


def _far_mills_ratio(z: Array) -> Array:
    """Mills' ratio for ``z > 12``, by its continued fraction ``1 / (z + 1 / (z + 2 / (z + ...)))``."""
    denominator = z
    for k in range(8, 0, -1):
        denominator = z + k / denominator
    return 1 / denominator
